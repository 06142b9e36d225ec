"""What every detector is: a name, a contract, and an answer to a picture; and the probe that holds it to its contract before a run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

import numpy as np

from meddiff.case import MedDiffError
from meddiff.stress.detectors.prepare import Placement, View, prepare
from meddiff.stress.detectors.read import Nonsense, answer_of, read
from meddiff.stress.records import Answer, Contract, Fault, FaultKind

if TYPE_CHECKING:
    from meddiff.marking.seal import SealedImage

MOST_MARKS = 100  # of one picture, the highest: as COCO counts them
_LONGEST = 500  # letters of a fault's message: a model's own error may be a page


class Late(Exception):
    """No answer in time, in a sentence."""


class Model(Protocol):
    """A model as a file format loads it.

    Attributes:
        shape: of its input, None for a side that it leaves open; None where the format does not tell.
        dtype: of its input; None: float32.
    """

    shape: tuple[int | None, ...] | None
    dtype: np.dtype | None

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        """Outputs for an input of one picture."""
        ...


class Detector(ABC):
    """A detector under test.

    Attributes:
        name: how results call it.
        contract: what it takes and gives.
        wants_png: whether `View.png` must be filled in.
    """

    wants_png = False

    def __init__(self, name: str, contract: Contract) -> None:
        self.name, self.contract = name, contract

    @abstractmethod
    def see(self, view: View) -> Answer:
        """The answer to one picture, in its pixels.

        Raises:
            Nonsense: what came cannot be an answer.
            Late: none came in time.
            Exception: whatever else the detector raises.
        """

    def answer(self, view: View) -> Answer:
        """The same without marks on the stamp, which is ours, and at most `MOST_MARKS`; a detector that raises has crashed."""
        try:
            return _settled(self.see(view), view)
        except Nonsense as error:
            return faulty(FaultKind.NONSENSE, str(error))
        except Late as error:
            return faulty(FaultKind.HANG, str(error))
        except Exception as error:
            return faulty(FaultKind.CRASH, f"{type(error).__name__}: {error}")

    def look(self, images: Sequence[SealedImage]) -> list[Answer]:
        """Answers to sealed pictures, in this process: `Guarded` looks from another one.

        Raises:
            MedDiffError: a picture that is not sealed.
        """
        return [self.answer(view_of(image, self.wants_png)) for image in images]


class ArrayDetector(Detector):
    """A detector that takes an array and gives arrays: any model file, and any Python callable.

    Raises:
        MedDiffError: a contract that does not fit the input that the model's file declares.
    """

    def __init__(self, name: str, contract: Contract, model: Model) -> None:
        super().__init__(name, contract)
        self.model = model
        _check_input(name, contract, model)

    def prepare(self, pixels: np.ndarray, spacing_mm: tuple[float, float]) -> tuple[np.ndarray, Placement]:
        """The model's input for pixels uint8 or uint16 [H, W], float32 (or what the model takes), and where it lies on them."""
        batch, placement = prepare(View(pixels, spacing_mm), self.contract)
        if self.model.dtype is not None and self.model.dtype != np.float32:
            if self.model.dtype.kind in "iu":
                limits = np.iinfo(self.model.dtype)
                batch = np.clip(np.rint(batch), limits.min, limits.max)
            batch = batch.astype(self.model.dtype)
        return batch, placement

    def read(self, outputs: Sequence[np.ndarray], placement: Placement) -> Answer:
        """The answer in the model's outputs for one picture. Raises Nonsense as `read.read` does."""
        return read(outputs, self.contract, placement)

    def see(self, view: View) -> Answer:
        """See `Detector.see`."""
        batch, placement = self.prepare(view.pixels, view.spacing_mm)
        return self.read(self.model(batch), placement)


def _settled(answer: Answer, view: View) -> Answer:
    row, column, height, width = view.stamp
    marks = [m for m in answer.marks if not (0 <= m.row - row < height and 0 <= m.column - column < width)]
    return answer_of(marks[:MOST_MARKS]) if answer.marks else answer


def faulty(kind: FaultKind, message: str) -> Answer:
    """No answer, and why, on one line."""
    line = " ".join(message.split())
    return Answer(fault=Fault(kind=kind, message=line if len(line) <= _LONGEST else line[: _LONGEST - 3] + "..."))


def view_of(image: SealedImage, with_png: bool = False) -> View:
    """A sealed picture for a detector. The PNG is the whole of it, without the record: that holds the answer.

    Raises:
        MedDiffError: not sealed.
    """
    from meddiff.exchange.png import screen_bytes
    from meddiff.marking.seal import require_sealed

    sealed = require_sealed(image)
    png = screen_bytes(sealed, record=False) if with_png else b""
    box = sealed.box
    stamp = (box.row, box.column, box.height, box.width)
    return View(np.asarray(sealed.pixels)[: sealed.height], sealed.spacing_mm, stamp, png)


@lru_cache(maxsize=1)
def probe_image() -> SealedImage:
    """A picture like a head, 256 x 256 at 0.98 mm, the same every time: bright skull, grey brain, dark ventricles, a bright spot. Sealed."""
    from meddiff.case import Provenance, Request, pixel_sha256
    from meddiff.marking.seal import seal

    rows, columns = np.mgrid[:256, :256] / 256 - 0.5
    radius = np.hypot(rows / 0.4, columns / 0.33)
    head = np.where(radius < 1, 0.35 + 0.05 * np.sin(40 * rows) * np.sin(40 * columns), 0.0)
    head[(radius > 0.92) & (radius < 1)] = 0.8
    head[np.hypot((rows + 0.02) / 0.1, (np.abs(columns) - 0.03) / 0.02) < 1] = 0.1
    head[np.hypot(rows + 0.12, columns - 0.14) < 0.05] = 0.75
    pixels = np.rint(head * 255).astype(np.uint8)
    request = Request(sentence="probe")
    record = Provenance(
        case_id=request.case_id(),
        request=request,
        pack="probe",
        pack_sha256="0" * 64,
        pixel_sha256=pixel_sha256(pixels),
        created="2026-01-01T00:00:00+00:00",
    )
    return seal(pixels, record)


def probe(detector: Detector) -> None:
    """Shows a detector the probe picture and holds its answer to its contract.

    Raises:
        MedDiffError: saying what was declared and what came, or what it raised.
    """
    held(detector.name, detector.answer(view_of(probe_image(), detector.wants_png)))


def held(name: str, answer: Answer) -> None:
    """Raises MedDiffError where the answer to the probe is a fault."""
    if answer.fault is not None:
        raise MedDiffError(
            f"{name} was shown a probe picture before the run and did not keep its contract ({answer.fault.kind}): "
            f"{answer.fault.message} Mend the detector or its contract, and start again."
        )


def _check_input(name: str, contract: Contract, model: Model) -> None:
    height, width = contract.size
    declared = (
        (1, contract.channels, height, width) if contract.layout == "NCHW" else (1, height, width, contract.channels)
    )
    if model.shape is not None:
        fits = len(model.shape) == 4 and all(
            own in (None, asked) for own, asked in zip(model.shape, declared, strict=True)
        )
        if not fits:
            own = " x ".join("?" if side is None else str(side) for side in model.shape)
            raise MedDiffError(
                f"{name} takes an input of {own}, and its contract declares {' x '.join(map(str, declared))} ({contract.layout}): "
                "mend size, channels or layout in the contract."
            )
    dtype = model.dtype
    if dtype is not None and dtype.kind != "f":
        limits = np.iinfo(dtype) if dtype.kind in "iu" else None
        if limits is None or not limits.min <= contract.low < contract.high <= limits.max or contract.high <= 1:
            raise MedDiffError(
                f"{name} takes {dtype.name}, and its contract declares values from {contract.low:g} to {contract.high:g}: "
                "set low and high in the contract to what black and white are in that type (0 and 255)."
            )
