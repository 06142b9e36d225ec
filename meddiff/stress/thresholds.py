"""What a detector must reach, so that a run can stand in somebody's CI: `--fail-under "sensitivity=0.8"`.

Grammar, one threshold a text:

    MEASURE[.FACTOR[.LEVEL]][@DETECTOR]=LIMIT

MEASURE is one of `MEASURES`. FACTOR and LEVEL are allowed for `sensitivity` alone: an attribute of the run (`size_mm`, `noise`,
`measured region`) and one of its levels; without a LEVEL every level must reach the limit. LEVEL may hold dots (`noise.0.5`).
Without @DETECTOR every detector must. LIMIT is a number. Of measures where more is better the limit is the least, of the others
the most (`MEASURES` says which); a value equal to it passes. A value that could not be told fails, with the reason.

Judged is the value itself, or with `strict` the bad end of its 95% interval: the lower one where more is better. An end that is
open fails.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from meddiff.case import MedDiffError, Record
from meddiff.stress.intervals import Estimate
from meddiff.stress.psychometric import Point
from meddiff.stress.scores import DetectorScores, Scores

LEAST, MOST = "at least", "at most"
MEASURES = {
    "sensitivity": (LEAST, "share of cases found"),
    "pairs_right": (LEAST, "share of pairs with the case found and the twin clean"),
    "auc": (LEAST, "area under the ROC"),
    "lroc": (LEAST, "area under the LROC"),
    "false_positive_share": (MOST, "share of clean twins with a false mark"),
    "false_positives_per_twin": (MOST, "false marks a clean twin"),
    "c50": (MOST, "conspicuity from which half are found"),
    "c80": (MOST, "conspicuity from which 80% are found"),
    "ece": (MOST, "expected calibration error"),
    "brier": (MOST, "Brier score"),
    "faults": (MOST, "pictures without an answer"),
}
GRAMMAR = "MEASURE[.FACTOR[.LEVEL]][@DETECTOR]=LIMIT, as in sensitivity.size_mm.20=0.7"


@dataclass(frozen=True)
class Threshold:
    """One threshold; `text` as it was given."""

    text: str
    measure: str
    limit: float
    factor: str = ""
    level: str = ""
    detector: str = ""

    @property
    def direction(self) -> str:
        """`at least` or `at most`."""
        return MEASURES[self.measure][0]


class Verdict(Record):
    """One threshold held against one detector (and one level).

    Attributes:
        name: what was judged, `sensitivity at size_mm 20`.
        value, low, high: the figure; None where it, or that end, could not be told.
        figure: it with its interval, in words, or why it could not be told.
        said: the same with the limit, as a sentence.
    """

    threshold: str
    detector: str
    name: str
    direction: str
    limit: float
    value: float | None
    low: float | None
    high: float | None
    strict: bool
    passed: bool
    figure: str
    said: str


def parse(text: str) -> Threshold:
    """A threshold from its text.

    Raises:
        MedDiffError: a text that is no threshold, an unknown measure, or a limit that is no number.
    """
    left, equals, right = text.rpartition("=")
    if not equals:
        raise MedDiffError(f"{text!r} is no threshold: write {GRAMMAR}.")
    what, _, detector = left.strip().partition("@")
    measure, _, where = what.strip().partition(".")
    factor, _, level = where.partition(".")
    if measure not in MEASURES:
        raise MedDiffError(f"{text!r} names no measure: take one of {', '.join(MEASURES)}.")
    if factor and measure != "sensitivity":
        raise MedDiffError(f"{text!r} asks for {measure} by level: only sensitivity is told by level.")
    try:
        limit = float(right)
    except ValueError:
        limit = math.nan
    if not math.isfinite(limit):
        raise MedDiffError(f"{text!r} has no number as its limit: write {GRAMMAR}.")
    return Threshold(text.strip(), measure, limit, factor.strip(), level.strip(), detector.strip())


def check(thresholds: Sequence[Threshold | str], scores: Scores, strict: bool = False) -> tuple[Verdict, ...]:
    """Each threshold held against each detector that it is for, in the order given.

    Raises:
        MedDiffError: as `parse`; a detector, factor or level that the run does not have.
    """
    found = []
    for given in thresholds:
        threshold = parse(given) if isinstance(given, str) else given
        detectors = [scores.detector(threshold.detector)] if threshold.detector else scores.detectors
        if not detectors:
            raise MedDiffError(f"{threshold.text!r} cannot be judged: the run has no detector's answers.")
        for detector in detectors:
            for name, estimate, why in _figures(threshold, detector):
                found.append(_verdict(threshold, detector.name, name, estimate, why, strict))
    return tuple(found)


def failed(verdicts: Sequence[Verdict]) -> tuple[Verdict, ...]:
    """Those that did not pass: a run fails where there is one."""
    return tuple(verdict for verdict in verdicts if not verdict.passed)


def _figures(threshold: Threshold, detector: DetectorScores) -> Iterator[tuple[str, Estimate, str]]:
    """What the threshold judges: its name, its figure, and why there is none."""
    measure = threshold.measure
    if threshold.factor:
        yield from _levels(threshold, detector)
        return
    why = "" if detector.trials else "no trial was scored"
    if measure in ("c50", "c80"):
        point = detector.psychometric.point({"c50": 0.5, "c80": 0.8}[measure])
        yield measure, _of_point(point, detector), point.said if point.value is None else ""
    elif measure == "faults":
        count = float(detector.fault_count)
        yield measure, Estimate(value=count, low=count, high=count), ""
    elif measure in ("auc", "lroc"):
        area = detector.roc if measure == "auc" else detector.lroc
        yield measure, Estimate() if area is None else area.area, why or "this detector does not say where"
    elif measure in ("ece", "brier"):
        told = detector.calibration
        yield measure, Estimate() if told is None else getattr(told, measure), why
    else:
        yield measure, getattr(detector, measure), why


def _levels(threshold: Threshold, detector: DetectorScores) -> Iterator[tuple[str, Estimate, str]]:
    by_name = {row.attribute: row for row in detector.subgroups}
    if threshold.factor not in by_name:
        known = ", ".join(by_name) or "none"
        raise MedDiffError(
            f"{threshold.text!r} names {threshold.factor!r}, by which the scored trials do not differ: there is {known}."
        )
    groups = {group.level: group.sensitivity for group in by_name[threshold.factor].groups}
    if threshold.level and threshold.level not in groups:
        raise MedDiffError(
            f"{threshold.text!r} names a level that {threshold.factor} does not have among the scored trials: "
            f"there is {', '.join(groups)}."
        )
    for level in [threshold.level] if threshold.level else groups:
        yield f"{threshold.measure} at {threshold.factor} {level}", groups[level], ""


def _of_point(point: Point, detector: DetectorScores) -> Estimate:
    n = detector.psychometric.n
    return Estimate(value=point.value, low=point.low, high=point.high, n=n, blocks=detector.blocks)


def _verdict(threshold: Threshold, detector: str, name: str, estimate: Estimate, why: str, strict: bool) -> Verdict:
    least = threshold.direction == LEAST
    end = estimate.low if least else estimate.high
    judged = end if strict else estimate.value
    passed = judged is not None and (judged >= threshold.limit if least else judged <= threshold.limit)
    if estimate.value is None:
        figure = f"could not be told ({why.rstrip('.') or 'no figure'})"
    else:
        figure = f"{estimate.value:.3g}{interval_words(estimate)}"
        if strict and end is None:
            figure += ", whose bad end is open"
    of = f" (judged by the {'lower' if least else 'upper'} end of the interval)" if strict else ""
    return Verdict(
        threshold=threshold.text,
        detector=detector,
        name=name,
        direction=threshold.direction,
        limit=threshold.limit,
        value=estimate.value,
        low=estimate.low,
        high=estimate.high,
        strict=strict,
        passed=passed,
        figure=figure,
        said=f"{name} of {detector}: {figure}; it must be {threshold.direction} {threshold.limit:g}{of}.",
    )


def interval_words(estimate: Estimate) -> str:
    """` (0.71 to 0.86)`; empty without an interval, `(2.1 to more than measured)` with an open end."""
    low, high = estimate.low, estimate.high
    if low == high:  # neither known, or a count
        return ""
    ends = (
        "less than measured" if low is None else f"{low:.3g}",
        "more than measured" if high is None else f"{high:.3g}",
    )
    return f" ({ends[0]} to {ends[1]})"
