"""Thresholds left open: ROC, LROC and FROC of a detector, and whether its scores are probabilities.

- ROC: the picture's score, cases against their clean twins (Hanley & McNeil 1982). All kinds of detectors.
- LROC: a case counts as found where the *highest* mark hits (Swensson 1996), against the highest mark of each twin.
- FROC: cases found by any mark, against false marks a picture (Bunch et al. 1978; Chakraborty 1989). A case with several
  lesions is found with one of them. False marks are those on the case beside the lesion and all on the twin.
- Calibration: scores of cases and twins against the truth; half of the pictures hold a lesion, by design.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from meddiff.case import Record
from meddiff.stress.intervals import DRAWN, Estimate, percentiles
from meddiff.stress.reads import NOWHERE, Reads

BINS = 10  # of the reliability table
MOST_POINTS = 200  # of a curve, for its picture
Figure = Callable[[np.ndarray], np.ndarray]  # weights [draws, B] to values [draws]
Curve = tuple[tuple[float, float], ...]


class Roc(Record):
    """A ROC or LROC: (share of twins alarmed, share of cases found) from the strictest threshold on, and the area below it."""

    curve: Curve
    area: Estimate


class Froc(Record):
    """(False marks a picture, share of cases found) from the strictest threshold on; `operating`: at the detector's own."""

    curve: Curve
    operating: tuple[float, float]
    pictures: int
    of: str = "false marks on cases (beside the lesion) and on clean twins, a picture"


class CalibrationBin(Record):
    """Pictures with scores from `low` to `high`: their mean score, and the share that holds a lesion."""

    low: float
    high: float
    n: int
    score: float
    share: float


class Calibration(Record):
    """Whether a score of 0.7 means seven of ten.

    Attributes:
        ece: expected calibration error (Naeini et al. 2015), the mean distance of score and share over the bins.
        brier: mean squared error (Brier 1950); 0.25 is what always answering 0.5 gets.
    """

    bins: tuple[CalibrationBin, ...]
    ece: Estimate
    brier: Estimate


def figures(reads: Reads) -> dict[str, Figure]:
    """What `intervals.drawn` shall draw for the functions below."""
    wanted: dict[str, Figure] = {
        "auc": _area(reads.case, reads.twin, reads),
        "brier": _brier(reads),
        "ece": _ece(reads),
    }
    if reads.locates:
        wanted["lroc"] = _area(reads.located, reads.twin, reads)
    return wanted


def roc(reads: Reads, drawn: dict[str, np.ndarray]) -> Roc:
    """Cases against twins by the picture's score."""
    return Roc(curve=_curve(reads.case, reads.twin), area=_estimate(reads, "auc", drawn, 1))


def lroc(reads: Reads, drawn: dict[str, np.ndarray]) -> Roc:
    """Cases whose highest mark hits, against twins."""
    return Roc(curve=_curve(reads.located, reads.twin), area=_estimate(reads, "lroc", drawn, 1))


def froc(reads: Reads) -> Froc:
    """Cases found against false marks a picture, at every threshold."""
    pictures = 2 * len(reads.case)
    scores = np.concatenate([reads.hit[reads.hit > NOWHERE], reads.false_marks])
    steps = _thinned(np.unique(scores)[::-1])
    x = _at_least(reads.false_marks, steps) / max(pictures, 1)
    y = _at_least(reads.hit, steps) / max(len(reads.hit), 1)
    operating = np.array([reads.contract.threshold])
    return Froc(
        curve=((0.0, 0.0), *zip(x.tolist(), y.tolist(), strict=True)),
        operating=(
            float(_at_least(reads.false_marks, operating)[0] / max(pictures, 1)),
            float(_at_least(reads.hit, operating)[0] / max(len(reads.hit), 1)),
        ),
        pictures=pictures,
    )


def calibration(reads: Reads, drawn: dict[str, np.ndarray]) -> Calibration:
    """Reliability table, ECE and Brier score of all pictures."""
    score, truth, _ = _pictures(reads)
    bins = []
    number = _bin_of(score)
    for at in range(BINS):
        mine = number == at
        if mine.any():
            bins.append(
                CalibrationBin(
                    low=at / BINS,
                    high=(at + 1) / BINS,
                    n=int(mine.sum()),
                    score=float(score[mine].mean()),
                    share=float(truth[mine].mean()),
                )
            )
    return Calibration(
        bins=tuple(bins), ece=_estimate(reads, "ece", drawn, 2), brier=_estimate(reads, "brier", drawn, 2)
    )


def area(cases: np.ndarray, twins: np.ndarray) -> float:
    """Share of pairs of a case and a twin, any, in which the case scores more; a tie is one half (Mann & Whitney 1947)."""
    ordered = np.sort(twins)
    below, above = np.searchsorted(ordered, cases, "left"), np.searchsorted(ordered, cases, "right")
    return float((below + above).mean() / 2 / len(twins))


def _estimate(reads: Reads, name: str, drawn: dict[str, np.ndarray], pictures: int) -> Estimate:
    if not len(reads.case):
        return Estimate()
    value = float(figures(reads)[name](np.ones((1, reads.blocks), np.float32))[0])
    told: dict[str, Any] = {"value": value, "n": pictures * len(reads.case), "blocks": reads.blocks}
    ends = percentiles(drawn[name])
    if ends is None or ends[1] - ends[0] < 1e-6:
        return Estimate(**told, method="all draws alike: no interval")
    return Estimate(**told, low=ends[0], high=ends[1], method=DRAWN, draws=len(drawn[name]))


def _area(cases: np.ndarray, twins: np.ndarray, reads: Reads) -> Figure:
    """The area as a function of weights: both scores counted by distinct value, so that a draw costs one running sum."""
    values, place = np.unique(np.concatenate([cases, twins]), return_inverse=True)
    n, ones = len(cases), np.ones(len(cases), np.float32)
    shape = (reads.blocks, len(values))
    of_cases = csr_array((ones, (reads.place, place[:n])), shape)
    of_twins = csr_array((ones, (reads.place, place[n:])), shape)

    def figure(w: np.ndarray) -> np.ndarray:
        mine, theirs = (np.asarray((part.T @ w.T).T, np.float64) for part in (of_cases, of_twins))
        below = np.cumsum(theirs, axis=1) - theirs / 2
        return (mine * below).sum(axis=1) / (mine.sum(axis=1) * theirs.sum(axis=1))

    return figure


def _pictures(reads: Reads) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Score, truth (0 or 1) and patient of all pictures, cases first."""
    n = len(reads.case)
    return np.concatenate([reads.case, reads.twin]), np.repeat([1.0, 0.0], n), np.tile(reads.place, 2)


def _brier(reads: Reads) -> Figure:
    score, truth, place = _pictures(reads)
    error = np.bincount(place, (score - truth) ** 2, reads.blocks)
    n = np.bincount(place, minlength=reads.blocks)
    return lambda w: (w @ error) / (w @ n)


def _ece(reads: Reads) -> Figure:
    score, truth, place = _pictures(reads)
    apart = np.zeros((reads.blocks, BINS))
    np.add.at(apart, (place, _bin_of(score)), score - truth)
    n = np.bincount(place, minlength=reads.blocks)
    return lambda w: np.abs(w @ apart).sum(axis=1) / (w @ n)


def _bin_of(score: np.ndarray) -> np.ndarray:
    return np.minimum((score * BINS).astype(int), BINS - 1)


def _curve(cases: np.ndarray, twins: np.ndarray) -> Curve:
    steps = _thinned(np.unique(np.concatenate([cases, twins]))[::-1])
    x, y = (_at_least(scores, steps) / max(len(scores), 1) for scores in (twins, cases))
    return ((0.0, 0.0), *zip(x.tolist(), y.tolist(), strict=True))


def _at_least(scores: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """How many scores are at or above each step."""
    return len(scores) - np.searchsorted(np.sort(scores), steps, "left")


def _thinned(steps: np.ndarray) -> np.ndarray:
    """At most `MOST_POINTS` of the thresholds, the first and the last among them."""
    steps = steps[np.isfinite(steps)]
    if len(steps) <= MOST_POINTS:
        return steps
    return steps[np.unique(np.linspace(0, len(steps) - 1, MOST_POINTS).round().astype(int))]
