"""A detector by how somebody names it: a file, an address, a Python callable, or one of ours."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from meddiff.case import MedDiffError
from meddiff.stress.detectors.contract import contract_beside, contract_of
from meddiff.stress.detectors.detector import ArrayDetector, Detector
from meddiff.stress.records import Contract

REFERENCES = ("segmenter", "classifier")  # ship in checkpoints/detectors/, trained on real images only
FORMATS = {  # ending: module of this package, its class; imported only when it is wanted
    ".onnx": ("onnx", "OnnxModel"),
    ".pt": ("torchscript", "TorchScriptModel"),
    ".ts": ("torchscript", "TorchScriptModel"),
    ".pth": ("torchscript", "TorchScriptModel"),
    ".xml": ("openvino", "OpenVinoModel"),
    ".tflite": ("tflite", "TfliteModel"),
}
_HOW = (
    "give a file (.onnx, .pt or .ts for TorchScript, .xml for OpenVINO, .tflite), an address (http://... or https://...), "
    f"package.module:function, or one of ours ({', '.join(REFERENCES)})"
)


def load_detector(
    spec: str | Path | Callable[..., Any], contract: Contract | None = None, name: str | None = None
) -> Detector:
    """Loads a detector into this process.

    Args:
        spec: a file, by its ending; `http://...`; `package.module:callable` or the callable itself; `segmenter` or `classifier`.
        contract: what it takes and gives; by default from the file beside it (`contract.contract_beside`), of a callable also from its attribute
            `contract`, of an address from itself.
        name: in results; by default after its spec.

    Raises:
        MedDiffError: what cannot be loaded, has no contract, or one that its file contradicts.
    """
    if callable(spec):
        return _callable(spec, getattr(spec, "__name__", type(spec).__name__), contract, name)
    text = str(spec)
    if text.lower().startswith(("http://", "https://")):
        from meddiff.stress.detectors.http import HttpDetector

        return HttpDetector(text, contract, name)
    path = Path(text)
    if text in REFERENCES:
        path = _reference(text)
    elif path.suffix.lower() not in FORMATS:
        if ":" in text and not path.exists():
            from meddiff.stress.detectors.python import import_callable

            return _callable(import_callable(text), text.rpartition(":")[2], contract, name)
        raise MedDiffError(f"{text} is no detector: {_HOW}.")
    if not path.is_file():
        raise MedDiffError(f"There is no detector {path}: {_HOW}.")
    module, made = FORMATS[path.suffix.lower()]
    given = contract or contract_beside(path)
    model = getattr(importlib.import_module(f"meddiff.stress.detectors.{module}"), made)(path)
    own = path.resolve().parent.name if path.stem == "model" else path.stem
    return ArrayDetector(name or own, given, model)


def file_of(spec: str) -> Path | None:
    """The file that a detector is read from; None where it is no file."""
    path = _reference(spec) if spec in REFERENCES else Path(spec)
    return path if path.is_file() else None


def _reference(name: str) -> Path:
    from meddiff.settings import settings

    path = settings().checkpoints / "detectors" / name / "model.onnx"
    if not path.exists():
        raise MedDiffError(
            f"The reference detector {name} is not in {path.parent}: it ships with MedDiff in checkpoints/detectors/."
        )
    return path


def _callable(function: Callable[..., Any], own: str, contract: Contract | None, name: str | None) -> Detector:
    from meddiff.stress.detectors.python import PythonModel, source_of

    declared = getattr(function, "contract", None)
    if contract is None and declared is not None:
        contract = declared if isinstance(declared, Contract) else contract_of(declared, f"{own}.contract")
    if contract is None:
        source = source_of(function)
        if source is None:
            raise MedDiffError(f"Nothing says what {own} takes and gives: give a contract, or set {own}.contract.")
        contract = contract_beside(source)
    return ArrayDetector(name or own, contract, PythonModel(function))
