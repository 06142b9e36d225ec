"""Detectors under test: one small interface over ONNX, TorchScript, OpenVINO, TFLite, HTTP and Python.

    with Guarded("mine.onnx", timeout_s=30) as detector:  # in a process of its own: it may crash or hang
        answers = detector.look(images)                   # one Answer a sealed picture, in the case's pixels
    marked = mark_hits(answers[0], outline, images[0].spacing_mm)

A file is a format; `prepare` makes a picture what the contract asks for, `read` makes an answer of what comes back.
"""

from meddiff.stress.detectors.detector import ArrayDetector, Detector, probe, probe_image
from meddiff.stress.detectors.guarded import Guarded
from meddiff.stress.detectors.hits import mark_hits
from meddiff.stress.detectors.load import REFERENCES, load_detector
from meddiff.stress.detectors.read import Nonsense

__all__ = [
    "REFERENCES",
    "ArrayDetector",
    "Detector",
    "Guarded",
    "Nonsense",
    "load_detector",
    "mark_hits",
    "probe",
    "probe_image",
]
