"""What the rooms of the stress lab exchange: what a detector wants and answers, and what one trial gave."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, model_validator

from meddiff.case import Record, Request

Share = Annotated[float, Field(ge=0, le=1)]
Level = str | float  # of a factor: a word or a number


class Kind(StrEnum):
    """What a detector answers."""

    CLASSIFIER = "classifier"  # one probability a picture: does it show a lesion?
    BOXES = "boxes"  # boxes with scores
    MASK = "mask"  # a probability a pixel


class Contract(Record):
    """What a detector takes and gives; declared beside it, checked before the run and at every answer.

    Attributes:
        kind: what it answers.
        size: rows and columns of the pictures it takes.
        channels: 1, or 3 equal ones.
        low, high: what black and white are in its range (0 and 1, 0 and 255, -1 and 1).
        spacing_mm: pixel size that it was made for; a picture of another is resampled about its middle. None: as it comes.
        layout: of its input, NCHW or NHWC.
        standardised: mean and standard deviation of each picture are made 0 and 1 after that.
        logits: its outputs are logits, not probabilities.
        positive: column of the lesion where a classifier or mask has several; counted from the end where negative.
        threshold: score from which its answer is "lesion": its operating point.
        least_mm2: pieces of a mask smaller than this are no mark.
    """

    kind: Kind
    size: tuple[Annotated[int, Field(ge=16, le=4096)], Annotated[int, Field(ge=16, le=4096)]] = (256, 256)
    channels: Literal[1, 3] = 1
    low: float = 0.0
    high: float = 1.0
    spacing_mm: Annotated[float, Field(gt=0, le=10)] | None = None
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    standardised: bool = False
    logits: bool = False
    positive: int = -1
    threshold: Share = 0.5
    least_mm2: Annotated[float, Field(ge=0)] = 10.0

    @model_validator(mode="after")
    def _has_a_range(self) -> Contract:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"low {self.low:g} must be below high {self.high:g}: they are what black and white are")
        return self


class DetectorSpec(Record):
    """A detector as somebody names it.

    Attributes:
        spec: file, address, `package.module:function`, or the name of a reference detector.
        contract: where none lies beside it.
        name: in results and reports; empty: after its spec.
    """

    spec: str
    contract: Contract | None = None
    name: str = ""


class Mark(Record):
    """One place that a detector points at, in pixels of the case.

    Attributes:
        row, column: its middle.
        box: first row, first column, last row, last column, of its corners.
        score: 0 to 1.
        overlap: of its box with the lesion's (or a piece's), intersection over union. 0 without a lesion.
        hit: whether it counts as the lesion found, by the plan's `Hit`.
    """

    row: float
    column: float
    box: tuple[float, float, float, float]
    score: Share
    overlap: Share = 0.0
    hit: bool = False


class FaultKind(StrEnum):
    """How a detector failed to answer."""

    CRASH = "crash"
    HANG = "hang"
    NONSENSE = "nonsense"


class Fault(Record):
    """A detector that crashed, hung or answered nonsense at one picture: a finding."""

    kind: FaultKind
    message: str


class Answer(Record):
    """What a detector said of one picture.

    Attributes:
        score: 0 to 1, that there is a lesion: the classifier's, or the highest of its marks (0 without a mark).
        marks: highest score first; none of a classifier.
        fault: why there is no answer; then score is 0 and there are no marks.
    """

    score: Share = 0.0
    marks: tuple[Mark, ...] = ()
    fault: Fault | None = None


class Pair(Record):
    """A detector's answers to a lesion case and to its clean twin."""

    case: Answer
    twin: Answer


class Measures(Record):
    """What was measured of a trial's case, before its acquisition where nothing else is said.

    Attributes:
        conspicuity: contrast to noise of the lesion, the question bank's axis.
        conspicuity_acquired: the same in the picture that the detector sees, and never more than before: no acquisition shows more, but blur
            smooths the tissue that noise is measured in, and gain cuts it off.
        size_mm: longest diameter of the outline (of its largest piece).
        area_mm2: of the outline.
        lesions: pieces of the outline.
        side, region, margin, enhancement: as measured, in words.
        distance: to the nearest training slice, in the finder's features.
        drawn: how far case and twin are apart in the outline, mean of the absolute difference over the noise around it.
    """

    conspicuity: float
    conspicuity_acquired: float
    size_mm: float
    area_mm2: float
    lesions: int
    side: str
    region: str
    margin: str
    enhancement: str
    distance: float | None = None
    drawn: float | None = None


class Outcome(Record):
    """What one trial gave: one line of a run's journal.

    Attributes:
        trial: number in the plan, from 0.
        block: trials with the same number are the same patient (same seed), under other levels.
        levels: of each factor, as asked.
        case: id of the case (MD-...).
        request: completed: makes the case again; as the plan asked where no case could be made.
        counts: whether the trial is a fair one by the plan's bound; those that are not are kept, and not scored.
        accepted: by the check of single cases.
        reason: why not.
        measures: of the case; None only where none could be made: then it does not count.
        sealed: SHA-256 of the sealed pixels of case and twin.
        answers: by the detectors' names.
    """

    trial: int
    block: int
    levels: dict[str, Level]
    case: str
    request: Request
    counts: bool
    accepted: bool
    reason: str = ""
    measures: Measures | None = None
    sealed: tuple[str, str] = ("", "")
    answers: dict[str, Pair] = Field(default_factory=dict)

    @property
    def measured(self) -> Measures:
        """The measures of a trial whose case could be made. Raises ValueError for others."""
        if self.measures is None:
            raise ValueError(f"trial {self.trial} has no case: {self.reason}")
        return self.measures
