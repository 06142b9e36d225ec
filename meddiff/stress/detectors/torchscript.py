"""TorchScript by torch.jit, on the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from meddiff.case import MedDiffError
from meddiff.stress.detectors.outputs import arrays_of


class TorchScriptModel:
    """A scripted or traced module. It does not say what it takes: the probe finds out.

    Raises:
        MedDiffError: a file that is no TorchScript.
    """

    shape: tuple[int | None, ...] | None = None
    dtype: np.dtype | None = None

    def __init__(self, path: Path) -> None:
        import torch

        torch.set_num_threads(1)
        try:
            self._module = torch.jit.load(str(path), map_location="cpu").eval()
        except (RuntimeError, ValueError, OSError) as error:
            raise MedDiffError(
                f"{path} is no TorchScript. Pickled models and state dictionaries are not loaded, because a pickle can run any "
                "code: save the model with torch.jit.script(model).save(...) or export it to ONNX."
            ) from error

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        """See `detector.Model`."""
        import torch

        with torch.inference_mode():
            return arrays_of(self._module(torch.from_numpy(batch)))
