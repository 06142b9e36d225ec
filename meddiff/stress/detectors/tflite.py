"""TFLite by ai-edge-litert, on the CPU; quantised models too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from meddiff.case import MedDiffError


class TfliteModel:
    """One input, any number of outputs; whole numbers are what their scale and zero point say: real = scale * (whole - zero point).

    Raises:
        MedDiffError: a file that cannot be loaded, or that takes something else than one picture.
    """

    dtype: np.dtype | None = None  # float32 goes in; quantising is done here

    def __init__(self, path: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter

        try:
            self._interpreter = Interpreter(model_path=str(path), num_threads=1)
            self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise MedDiffError(f"{path} cannot be loaded as TFLite: {' '.join(str(error).split())[:300]}") from error
        inputs = self._interpreter.get_input_details()
        if len(inputs) != 1:
            raise MedDiffError(f"{path} takes {len(inputs)} inputs: a detector takes one picture.")
        (self._input,) = inputs
        self._outputs = self._interpreter.get_output_details()
        self.shape: tuple[int | None, ...] | None = tuple(int(side) for side in self._input["shape"])
        scale, _ = self._input["quantization"]
        if not scale:
            self.dtype = np.dtype(self._input["dtype"])

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        """See `detector.Model`."""
        self._interpreter.set_tensor(self._input["index"], _quantised(batch, self._input))
        self._interpreter.invoke()
        return [_real(self._interpreter.get_tensor(output["index"]), output) for output in self._outputs]


def _quantised(values: np.ndarray, detail: dict[str, Any]) -> np.ndarray:
    scale, zero = detail["quantization"]
    if not scale:
        return values
    limits = np.iinfo(detail["dtype"])
    return np.clip(np.rint(values / scale + zero), limits.min, limits.max).astype(detail["dtype"])


def _real(values: np.ndarray, detail: dict[str, Any]) -> np.ndarray:
    scale, zero = detail["quantization"]
    return (values.astype(np.float32) - zero) * np.float32(scale) if scale else values.copy()
