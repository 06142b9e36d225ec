"""What one detector did with all scored trials, as arrays: where every score begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from meddiff.stress.records import Answer, Contract, Kind, Outcome

NOWHERE = -np.inf  # score of a lesion that no mark points at: below all scores


@dataclass(frozen=True)
class Reads:
    """T trials. A trial with a fault counts as missed in the case and as without a mark in the twin.

    Attributes:
        place: int [T], patient of each trial, counted from 0 without gaps.
        blocks: patients.
        found: bool [T], a hit at or above the operating point; of a classifier: its score is.
        alarm: bool [T], the clean twin has a mark (or the classifier's score) at or above it.
        marks: int [T], such marks on the twin; of a classifier 1 where it alarms.
        case, twin: float [T], score of the picture, 0 to 1.
        hit: float [T], highest score of a mark that hits; `NOWHERE` without one. Of a classifier: `case`.
        located: float [T], score of the highest mark where that one hits; else `NOWHERE`.
        false_marks: float [M], scores of all marks that hit nothing, in case and twin.
    """

    name: str
    contract: Contract
    place: np.ndarray
    blocks: int
    found: np.ndarray
    alarm: np.ndarray
    marks: np.ndarray
    case: np.ndarray
    twin: np.ndarray
    hit: np.ndarray
    located: np.ndarray
    false_marks: np.ndarray

    @property
    def locates(self) -> bool:
        """Whether it says where."""
        return self.contract.kind is not Kind.CLASSIFIER

    @property
    def right(self) -> np.ndarray:
        """bool [T]: the case found and its twin left clean."""
        return self.found & ~self.alarm


def reads_of(name: str, contract: Contract, outcomes: Sequence[Outcome]) -> Reads:
    """The answers of a detector to trials that all hold one."""
    _, place = np.unique([outcome.block for outcome in outcomes], return_inverse=True)
    pairs = [outcome.answers[name] for outcome in outcomes]
    case = np.array([_score(pair.case) for pair in pairs])
    twin = np.array([_score(pair.twin) for pair in pairs])
    threshold = contract.threshold
    if contract.kind is Kind.CLASSIFIER:
        hit = located = np.where([pair.case.fault is not None for pair in pairs], NOWHERE, case)
        marks = ((twin >= threshold) & [pair.twin.fault is None for pair in pairs]).astype(int)
        wrong = np.empty(0)
    else:
        hit = np.array([max((mark.score for mark in pair.case.marks if mark.hit), default=NOWHERE) for pair in pairs])
        located = np.array([_best_if_hit(pair.case) for pair in pairs])
        marks = np.array([sum(mark.score >= threshold for mark in pair.twin.marks) for pair in pairs], int)
        wrong = np.array(
            [mark.score for pair in pairs for mark in (*pair.case.marks, *pair.twin.marks) if not mark.hit], float
        )
    return Reads(
        name=name,
        contract=contract,
        place=place.astype(int),
        blocks=int(place.max(initial=-1)) + 1,
        found=hit >= threshold,
        alarm=marks > 0,
        marks=marks,
        case=case,
        twin=twin,
        hit=hit,
        located=located,
        false_marks=wrong,
    )


def _score(answer: Answer) -> float:
    return 0.0 if answer.fault is not None else answer.score


def _best_if_hit(answer: Answer) -> float:
    best = max(answer.marks, key=lambda mark: mark.score, default=None)
    return best.score if best is not None and best.hit else NOWHERE
