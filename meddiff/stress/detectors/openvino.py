"""OpenVINO's intermediate representation (.xml with its .bin beside it), on the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from meddiff.case import MedDiffError


class OpenVinoModel:
    """One input, any number of outputs; computed in float32 by one thread, so that every machine gives the same.

    Raises:
        MedDiffError: a file that cannot be loaded, or that takes something else than one picture.
    """

    def __init__(self, path: Path) -> None:
        import openvino

        try:
            core = openvino.Core()
            model = core.read_model(path)
            how = {"INFERENCE_NUM_THREADS": "1", "INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": "1"}
            self._model = core.compile_model(model, "CPU", how)
        except RuntimeError as error:
            raise MedDiffError(
                f"{path} cannot be loaded as OpenVINO IR (its weights lie in {path.with_suffix('.bin').name} beside it): "
                f"{' '.join(str(error).split())[:300]}"
            ) from error
        if len(model.inputs) != 1:
            raise MedDiffError(f"{path} takes {len(model.inputs)} inputs: a detector takes one picture.")
        sides = model.inputs[0].partial_shape
        self.shape = (
            None if sides.rank.is_dynamic else tuple(side.get_length() if side.is_static else None for side in sides)
        )
        self.dtype: np.dtype | None = np.dtype(model.inputs[0].element_type.to_dtype())

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        """See `detector.Model`."""
        found = self._model([batch])
        return [np.array(found[output]) for output in self._model.outputs]
