"""Asked and measured, side by side: every case is judged by a finder that has seen real images only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from meddiff.case import Measurement, Plane, Request, Side, Status, Task
from meddiff.conditions.measure import dice, largest_piece, longest_diameter_mm, measure_lesion
from meddiff.synthesis.finder import TYPES, LesionFinder
from meddiff.synthesis.neighbours import Neighbours

NEAR = 6  # pixels around the outline in which what is found still counts as the lesion
STRAY_LIMIT = 0.6  # found elsewhere, as a share of the outline's area, from which a case is not plausible


@dataclass(frozen=True)
class Verdict:
    """The table asked / measured, and what follows from it."""

    measurements: tuple[Measurement, ...]
    status: Status
    reason: str
    score: float  # of attempts that all miss, the highest is kept
    seen_px: int | None = (
        None  # area near the outline that the finder takes for the lesion; None: it did not look for one
    )


def check(
    request: Request,
    drawn_as: str | None,
    picture: np.ndarray,
    twin: np.ndarray,
    outline: np.ndarray,
    outside_change: int,
    finder: LesionFinder | None,
    spacing_mm: float,
    neighbours: Neighbours | None = None,
) -> Verdict:
    """Measures a case on the pack's grid.

    Args:
        picture, twin: float32 [256, 256] in [0, 1]; the one with the lesion and the one without.
        outline: bool [256, 256], where the lesion was asked; empty for a slice without one.
        outside_change: largest difference between background or twin and case outside the edit region, grey levels.
        finder: of the pack; without one only what needs none is measured.
        neighbours: the pack's training slices, from which a picture made from nothing must keep away.
    """
    tolerance = request.tolerance
    rows: list[Measurement] = []
    misses: list[str] = []

    def judge(
        name: str, asked: str, measured: str, ok: bool | None, why: str = "", value: float | None = None, unit: str = ""
    ) -> None:
        rows.append(Measurement(name=name, asked=asked, measured=measured, ok=ok, value=value, unit=unit))
        if ok is False:
            misses.append(why)

    judge(
        "change outside the edit region",
        "0",
        str(outside_change),
        outside_change <= tolerance.outside_grey_levels,
        f"pixels outside the edit region changed by up to {outside_change} grey levels",
        float(outside_change),
        "grey levels",
    )
    finding = request.findings.finding
    score, seen_px = 0.0, None
    if finder is None:
        judge("lesion seen by the finder", "", "not judged: this pack has no finder", None)
    elif not outline.any():
        _look_for_any(picture, finder, spacing_mm, judge)
    elif request.task is Task.REMOVE:
        score = _judge_removal(picture, twin, outline, finder, judge)
    else:
        score, seen_px = _judge_lesion(request, drawn_as, picture, twin, outline, finder, spacing_mm, judge)
    if finder is not None and neighbours is not None and request.task is Task.GENERATE:
        _judge_distance(picture, finder, neighbours, judge)
    if outline.any() and request.task is not Task.REMOVE:
        seen = measure_lesion(picture, outline, request.findings.plane or Plane.AXIAL, (spacing_mm, spacing_mm))
        asked = finding.enhancement.value if finding else "unknown"
        judge("enhancement in the outline", asked, seen.enhancement.value, None)
        asked = finding.conspicuity.value if finding else "unknown"
        judge(
            "conspicuity",
            asked,
            seen.conspicuity_words,
            None,
            value=seen.contrast_to_noise,
        )
    status = Status.REJECTED if misses else Status.ACCEPTED
    return Verdict(tuple(rows), status, "; ".join(misses), score - len(misses), seen_px)


def _judge_distance(
    picture: np.ndarray, finder: LesionFinder, neighbours: Neighbours, judge: Callable[..., None]
) -> None:
    """Too near to a training slice is a copy; farther from all of them than real slices are is no plausible head."""
    apart = float(neighbours.distance(finder, picture[None])[0])
    copied = apart < neighbours.near
    judge(
        "distance to the nearest training slice",
        f"{neighbours.near:.2f} to {neighbours.far:.2f}, as real slices",
        f"{apart:.2f}",
        neighbours.near <= apart <= neighbours.far,
        "it is nearly a copy of a slice the model was trained on"
        if copied
        else "its anatomy is farther from all training slices than that of real ones: it is not plausible",
        apart,
    )


def _look_for_any(picture: np.ndarray, finder: LesionFinder, spacing_mm: float, judge: Callable[..., None]) -> None:
    """For information only: the finder was trained on slices with a lesion, what it sees in others is no verdict."""
    seen_mm = longest_diameter_mm(finder.find(picture[None]).mask()[0], (spacing_mm, spacing_mm))
    judge(
        "lesion seen by the finder", "nothing", f"{seen_mm:.0f} mm across" if seen_mm else "nothing", None, "", seen_mm
    )


def _judge_removal(
    given: np.ndarray, made: np.ndarray, outline: np.ndarray, finder: LesionFinder, judge: Callable[..., None]
) -> float:
    """What counts is what is left in the made picture; the given one is as it is, and no seed changes it."""
    near = ndimage.binary_dilation(outline, iterations=NEAR)
    before, after = finder.find(np.stack([given, made])).mask()
    overlap = dice(before & near, outline)
    judge("overlap with the lesion seen before (Dice)", "", f"{overlap:.2f}", None, "", overlap)
    left = float((after & near).sum() / outline.sum())
    judge(
        "lesion left",
        "nothing",
        f"{left:.0%} of the outline's area",
        left <= STRAY_LIMIT,
        f"the finder still sees a lesion that should have been taken out ({left:.0%} of the outline's area)",
        left,
    )
    return -left


def _judge_lesion(request, drawn_as, picture, twin, outline, finder, spacing_mm, judge) -> tuple[float, int]:  # type: ignore[no-untyped-def]
    tolerance, finding = request.tolerance, request.findings.finding
    found = finder.find(np.stack([picture, twin]))
    near = ndimage.binary_dilation(outline, iterations=NEAR)
    with_lesion, without = found.mask()
    here, elsewhere = with_lesion & near, with_lesion & ~near
    if request.task is Task.INSERT:  # what the given slice already shows was not made here
        elsewhere &= ~without
    overlap = dice(here, outline)
    judge(
        "overlap with the outline (Dice)",
        f">= {tolerance.dice:g}",
        f"{overlap:.2f}",
        overlap >= tolerance.dice,
        f"the independent finder sees the lesion elsewhere or not at all (Dice {overlap:.2f}, at least {tolerance.dice:g} asked)",
        overlap,
    )
    # Largest pieces: a diameter shall not reach from one lesion to the next, nor to a stray pixel.
    asked_mm = longest_diameter_mm(largest_piece(outline), (spacing_mm, spacing_mm))
    if here.any():
        seen_mm = longest_diameter_mm(largest_piece(here), (spacing_mm, spacing_mm))
        allowed = max(tolerance.size_mm, tolerance.size_relative * asked_mm)
        judge(
            "longest diameter",
            f"{asked_mm:.0f}",
            f"{seen_mm:.0f}",
            abs(seen_mm - asked_mm) <= allowed,
            f"its diameter was measured as {seen_mm:.0f} mm, {asked_mm:.0f} mm was asked",
            seen_mm,
            "mm",
        )
        centre, seen = (np.array(ndimage.center_of_mass(m)) for m in (outline, here))
        offset = float(np.linalg.norm(centre - seen)) * spacing_mm
        judge(
            "distance of the centres",
            "0",
            f"{offset:.1f}",
            offset <= tolerance.centroid_mm,
            f"its centre was found {offset:.0f} mm away from where it was asked",
            offset,
            "mm",
        )
    stray = float(elsewhere.sum() / outline.sum())
    judge(
        "found elsewhere",
        "nothing",
        f"{stray:.0%} of the outline's area",
        stray <= STRAY_LIMIT,
        "the finder also sees a lesion where none was asked",
        stray,
    )
    left = float((without & near).sum() / outline.sum())
    judge(
        "lesion left in the twin",
        "nothing",
        f"{left:.0%} of the outline's area",
        left <= STRAY_LIMIT,
        "the slice given already shows a lesion in this place"
        if request.task is Task.INSERT
        else "the twin, which should have none, still shows a lesion",
        left,
    )
    if drawn_as in TYPES:
        share = float(found.type_probability[0, TYPES.index(drawn_as)])
        seen_type = TYPES[int(found.type_probability[0].argmax())]
        judge(
            "type",
            drawn_as.replace("_", " "),
            f"{seen_type.replace('_', ' ')} ({share:.0%} for the one asked)",
            share >= tolerance.type_probability,
            f"it looks like a {seen_type.replace('_', ' ')} to the independent classifier, {drawn_as.replace('_', ' ')} was asked",
            share,
        )
    if finding and here.any():
        measures = measure_lesion(picture, here, request.findings.plane or Plane.AXIAL, (spacing_mm, spacing_mm))
        for name in ("side", "region", "margin"):
            asked = getattr(finding, name).value
            if asked != "unknown":
                seen = getattr(measures, name)
                # Lobes and margins have no sharp border, a side has: only the opposite one is wrong.
                opposite = {finding.side, seen} == {Side.LEFT, Side.RIGHT}
                ok = not opposite if name == "side" else None
                judge(name, asked, seen.value, ok, f"the finder sees it on the {seen.value}, {asked} was asked")
    return overlap, int(here.sum())
