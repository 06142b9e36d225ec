"""ONNX by onnxruntime, on the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from meddiff.case import MedDiffError

_TYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
}


class OnnxModel:
    """One input, any number of outputs. One thread: runs go over processes, and figures must not depend on the cores.

    Raises:
        MedDiffError: a file that cannot be loaded, or that takes something else than one picture.
    """

    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors share no base
            raise MedDiffError(f"{path} cannot be loaded as ONNX: {' '.join(str(error).split())[:300]}") from error
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or inputs[0].type not in _TYPES:
            told = ", ".join(f"{each.name} ({each.type})" for each in inputs)
            raise MedDiffError(
                f"{path} takes {told}: a detector takes one picture, of floats or whole numbers of 8 bits."
            )
        self._name = inputs[0].name
        self.shape = tuple(side if isinstance(side, int) else None for side in inputs[0].shape) or None
        self.dtype: np.dtype | None = np.dtype(_TYPES[inputs[0].type])

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        """See `detector.Model`."""
        return [np.asarray(output) for output in self._session.run(None, {self._name: batch})]
