"""The process that a guarded detector lives in: pictures come in on standard input, answers go out on standard output.

In:  a line of JSON (what follows: shape, type, spacing, length of the PNG), then the pixels and the PNG as they are.
Out: a line of JSON each: first {"ready": ...} or {"failed": sentence}, then an answer a picture.
Nothing is pickled: whatever a detector does to its process, the run reads plain text.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from typing import IO

import numpy as np

from meddiff.case import MedDiffError
from meddiff.stress.detectors.detector import Detector
from meddiff.stress.detectors.load import load_detector
from meddiff.stress.detectors.prepare import View
from meddiff.stress.records import Contract


def main() -> None:
    """Serves the detector of the arguments (as JSON: spec, contract, name) until standard input ends."""
    asked = json.loads(sys.argv[2])
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what the detector prints must not stand among the answers
    threading.Thread(target=_leave_with_parent, args=(os.getppid(),), daemon=True).start()
    try:
        contract = Contract.model_validate(asked["contract"]) if asked["contract"] else None
        detector = load_detector(asked["spec"], contract, asked["name"])
    except MedDiffError as error:
        _say(out, {"failed": str(error)})
        return
    except BaseException as error:  # a detector's module may even exit as it is imported
        _say(out, {"failed": f"{asked['spec']} cannot be loaded ({type(error).__name__}: {error})."})
        return
    told = {"name": detector.name, "contract": detector.contract.model_dump(mode="json"), "png": detector.wants_png}
    _say(out, {"ready": told})
    serve(detector, sys.stdin.buffer, out)


def serve(detector: Detector, pictures: IO[bytes], out: IO[bytes]) -> None:
    """Answers each picture that comes in."""
    while line := pictures.readline():
        out.write(detector.answer(receive(line, pictures)).model_dump_json().encode() + b"\n")


def send(view: View, to: IO[bytes]) -> None:
    """A picture as `receive` takes it."""
    pixels = np.ascontiguousarray(view.pixels)
    head = {
        "shape": pixels.shape,
        "dtype": pixels.dtype.str,
        "spacing_mm": view.spacing_mm,
        "stamp": view.stamp,
        "png": len(view.png),
    }
    to.write(json.dumps(head).encode() + b"\n" + pixels.tobytes() + view.png)
    to.flush()


def receive(line: bytes, rest: IO[bytes]) -> View:
    """The picture that a line announces."""
    head = json.loads(line)
    shape, dtype = tuple(head["shape"]), np.dtype(head["dtype"])
    pixels = np.frombuffer(rest.read(int(np.prod(shape)) * dtype.itemsize), dtype).reshape(shape)
    row, column = head["spacing_mm"]
    return View(pixels, (row, column), tuple(head["stamp"]), rest.read(head["png"]))


def _say(out: IO[bytes], what: dict[str, object]) -> None:
    out.write(json.dumps(what).encode() + b"\n")


def _leave_with_parent(parent: int) -> None:
    """Ends this process when the one that started it is gone, even while the detector hangs."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
