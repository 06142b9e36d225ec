"""The records of a verdict: the answer, who said what, what was done to the picture since, and the exit code for scripts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Answer(StrEnum):
    """What is known of a file."""

    OURS = "made by MedDiff"
    ALTERED = "made by MedDiff, but altered or contradictory"
    UNKNOWN = "not known to MedDiff"
    UNREADABLE = "cannot be read"


EXIT_CODES = {Answer.OURS: 0, Answer.UNKNOWN: 1, Answer.UNREADABLE: 2, Answer.ALTERED: 3}


@dataclass(frozen=True)
class Evidence:
    """What one witness says.

    Attributes:
        witness: "record", "mark", "fingerprint", "attributes", or "bank" (what is kept agrees with a file that is no picture).
        said: in a sentence.
        case_id: which case it names, or "".
        chance: how likely it would say so of a picture that MedDiff never made; None where that cannot be given as a number.
    """

    witness: str
    said: str
    case_id: str = ""
    chance: float | None = None


@dataclass(frozen=True)
class Change:
    """One thing that was done to a picture since it left; `harmless` where it forges nothing."""

    name: str
    said: str
    harmless: bool = True


@dataclass(frozen=True)
class Verdict:
    """What is known of one file, or of one frame of it.

    Attributes:
        role: "case" or "twin" of a picture, where that is known; "outline", "report", "record" or "COCO file" of what lies beside.
        changes: what was done to it since; those that are not `harmless` make it ALTERED.
        frame: counted from 1, of `frames`.
        kept: whether the bank has the case.
    """

    file: str
    answer: Answer
    said: str
    case_id: str = ""
    role: str = ""
    sure: str = ""
    evidence: tuple[Evidence, ...] = ()
    changes: tuple[Change, ...] = ()
    frame: int = 1
    frames: int = 1
    kept: bool = False

    @property
    def exit_code(self) -> int:
        """0 made by MedDiff, 1 not known, 2 cannot be read, 3 altered or contradictory."""
        return EXIT_CODES[self.answer]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "answer": self.answer.value, "exit_code": self.exit_code}
