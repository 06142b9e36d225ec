"""A run's scores as SVG, made of the parts in `meddiff.plot`."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from meddiff.plot import (
    BOTTOM,
    DASHES,
    HIGH,
    KEY,
    LINE,
    OTHERS,
    Axes,
    intervals_plot,
    legend,
    short,
    signed,
    svg,
)
from meddiff.stress.curves import Calibration, Froc, Roc
from meddiff.stress.psychometric import TARGETS, Psychometric, fit
from meddiff.stress.scores import Acceptance
from meddiff.stress.slices import Subgroups

QUARTERS = (0, 0.25, 0.5, 0.75, 1)
LEARNERS = "learners"
_COLOURS = (KEY, *OTHERS)
_LINES = ("", *DASHES)
_NICE = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
_FINER = (0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 4, 5, 7, 10, 15, 20, 30, 50)


def psychometric_plot(curves: Sequence[tuple[str, Psychometric]], learners: Sequence[tuple[float, bool]] = ()) -> str:
    """Share found against conspicuity (logarithmic), with dots, bands, and where each curve crosses 50% and 80%.

    Args:
        curves: (detector, curve), at least one with trials; up to five tell themselves apart.
        learners: (conspicuity, right) of each answer of the question bank, on the same axis.
    """
    rows = [(name, curve) for name, curve in curves if curve.n]
    if learners:
        seen, right = zip(*learners, strict=True)
        rows.append((LEARNERS, fit(seen, right)))
    least = min((curve.least or 1 for _, curve in rows), default=0.5)
    most = max((curve.most or 1 for _, curve in rows), default=10)
    axes = Axes((math.log(least / 1.08), math.log(most * 1.08)), (0, 1))
    ticks = [math.log(value) for value in _ticks(least / 1.08, most * 1.08)]
    parts = [axes.grid(ticks, QUARTERS, lambda at: signed(math.exp(at)))]
    parts += [_curve(axes, number, name, curve) for number, (name, curve) in enumerate(rows)]
    parts.append(axes.names("Conspicuity (contrast to noise)", "Share found"))
    words = [_crossings(name, curve) for name, curve in rows]
    parts.append(legend([(said, *_look(number)) for number, said in enumerate(words)], HIGH + 6))
    return svg(HIGH + LINE * len(rows) + 6, f"Share found against conspicuity. {'; '.join(words)}", parts)


def _curve(axes: Axes, number: int, name: str, curve: Psychometric) -> str:
    colour, dash = _look(number)
    parts = []
    if curve.line:
        at = [math.log(row[0]) for row in curve.line]
        lows, values, highs = ([row[part] for row in curve.line] for part in (2, 1, 3))
        parts.append(axes.band(list(zip(at, lows, strict=True)), list(zip(at, highs, strict=True)), colour))
        parts.append(axes.line(list(zip(at, values, strict=True)), colour, 2.5, dash))
    for dot in curve.dots:
        told = f"{name}: {dot.share:.0%} of {dot.n} near {dot.conspicuity:.2g} ({dot.low:.0%} to {dot.high:.0%})"
        parts.append(axes.dot((math.log(dot.conspicuity), dot.share), colour, told, (dot.low, dot.high), 3))
    for point in curve.points:
        if point.value is not None:
            x, y = axes.place((math.log(point.value), point.target))
            parts.append(
                f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y:.1f}" y2="{HIGH - BOTTOM}" stroke="{colour}" stroke-dasharray="3 3"/>'
            )
    return "".join(parts)


def _ticks(least: float, most: float) -> list[float]:
    """Round numbers in a range on a logarithmic axis: fewer where it is wide."""
    inside = [value for value in _NICE if least <= value <= most]
    return inside if len(inside) >= 3 else [value for value in _FINER if least <= value <= most]


def _crossings(name: str, curve: Psychometric) -> str:
    points = [curve.point(target) for target in TARGETS]
    told = ", ".join(f"{100 * p.target:.0f}% at {p.value:.2g}" for p in points if p.value is not None)
    return f"{short(name, 20)}: {told or 'no 50% or 80%'}"


def sensitivity_plot(rows: Sequence[tuple[str, Subgroups]]) -> str:
    """Sensitivity by the levels of one attribute, a row a level and detector.

    Args:
        rows: (detector, its subgroups), all of one attribute; at least one.
    """
    attribute = rows[0][1].attribute
    levels = list(dict.fromkeys(group.level for _, subgroups in rows for group in subgroups.groups))
    found = []
    for level in levels:
        for number, (name, subgroups) in enumerate(rows):
            for group in subgroups.groups:
                told = group.sensitivity
                if group.level == level and told.value is not None:
                    words = f"{level} (n {told.n})" if len(rows) == 1 else f"{level}, {name}"
                    found.append((words, number, told.value, told.interval))
    return intervals_plot(found, (0, 1), "Sensitivity", f"Sensitivity by {attribute}")


def acceptance_plot(rows: Sequence[Acceptance]) -> str:
    """Share of trials that count by the levels of one factor."""
    found = [(f"{row.level} (n {row.trials})", 0, row.counted / row.trials, None) for row in rows]
    return intervals_plot(found, (0, 1), "Share that counts", f"Share of trials that count by {rows[0].factor}")


def roc_plot(rows: Sequence[tuple[str, Roc]], located: bool = False) -> str:
    """ROC of several detectors, or LROC: cases found (at the right place) against clean twins alarmed."""
    axes = Axes((0, 1), (0, 1))
    what = "LROC" if located else "ROC"
    parts = [axes.grid(QUARTERS, QUARTERS)]
    if not located:
        parts.append(axes.line([(0, 0), (1, 1)], OTHERS[4], 1.5, "4 4"))
    words = []
    for number, (name, roc) in enumerate(rows):
        parts.append(axes.line(roc.curve, *_drawn(number)))
        words.append(f"{short(name, 24)}: area {roc.area.value:.2f}" if roc.area.value is not None else name)
    parts.append(axes.names("Clean twins alarmed", "Cases found at the place" if located else "Cases alarmed"))
    parts.append(legend([(said, *_look(number)) for number, said in enumerate(words)], HIGH + 6))
    return svg(HIGH + LINE * len(rows) + 6, f"{what}: {'; '.join(words)}", parts)


def froc_plot(rows: Sequence[tuple[str, Froc]]) -> str:
    """FROC of several detectors, a dot at each one's operating point."""
    most = max([0.05, *(point[0] for _, froc in rows for point in froc.curve)])
    step = next(step for step in (0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 50, math.inf) if most / step <= 6)
    most = step * math.ceil(most / step - 1e-9) if math.isfinite(step) else most
    axes = Axes((0, most), (0, 1))
    ticks = [step * at for at in range(round(most / step) + 1)] if math.isfinite(step) else [0, most]
    parts, words = [axes.grid(ticks, QUARTERS)], []
    for number, (name, froc) in enumerate(rows):
        parts.append(axes.line(froc.curve, *_drawn(number)))
        x, y = froc.operating
        told = f"{name}: {y:.0%} found at {x:.2f} false marks a picture"
        parts.append(axes.dot((x, y), _look(number)[0], told))
        words.append(told)
    parts.append(axes.names("False marks a picture", "Cases found"))
    names = [
        (f"{short(name, 24)}: {froc.operating[1]:.0%} at {froc.operating[0]:.2f}", *_look(at))
        for at, (name, froc) in enumerate(rows)
    ]
    parts.append(legend(names, HIGH + 6))
    return svg(HIGH + LINE * len(rows) + 6, f"FROC: {'; '.join(words)}", parts)


def reliability_plot(rows: Sequence[tuple[str, Calibration]]) -> str:
    """Share with a lesion against the mean score, of bins of the score; on the diagonal a score is a probability."""
    axes = Axes((0, 1), (0, 1))
    parts, words = [axes.grid(QUARTERS, QUARTERS), axes.line([(0, 0), (1, 1)], OTHERS[4], 1.5, "4 4")], []
    for number, (name, told) in enumerate(rows):
        colour, wide, dash = _drawn(number)
        parts.append(axes.line([(row.score, row.share) for row in told.bins], colour, wide, dash))
        for row in told.bins:
            said = f"{name}: of {row.n} pictures with scores near {row.score:.2f}, {row.share:.0%} hold a lesion"
            parts.append(axes.dot((row.score, row.share), colour, said, radius=2 + 4 * math.sqrt(row.n / told.ece.n)))
        words.append(
            f"{short(name, 20)}: calibration error {told.ece.value:.2f}" if told.ece.value is not None else name
        )
    parts.append(axes.names("Score", "Share with a lesion"))
    parts.append(legend([(said, *_look(number)) for number, said in enumerate(words)], HIGH + 6))
    return svg(HIGH + LINE * len(rows) + 6, f"Reliability: {'; '.join(words)}", parts)


def outline_svg(mask: np.ndarray) -> str:
    """The border of a mask [H, W] as one SVG path in pixels: every edge between a pixel inside and one outside."""
    inside = np.pad(np.asarray(mask) > 0, 1)
    across = np.argwhere(inside[1:, 1:-1] != inside[:-1, 1:-1])  # horizontal edges, above row r
    down = np.argwhere(inside[1:-1, 1:] != inside[1:-1, :-1])
    path = "".join(f"M{c} {r}h1" for r, c in across) + "".join(f"M{c} {r}v1" for r, c in down)
    return f'<path d="{path}" fill="none"/>'


def _look(number: int) -> tuple[str, str]:
    """Colour and dash of the detector of a number."""
    return _COLOURS[number % len(_COLOURS)], _LINES[number % len(_LINES)]


def _drawn(number: int) -> tuple[str, float, str]:
    colour, dash = _look(number)
    return colour, 2.5, dash
