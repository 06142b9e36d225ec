"""Lines for people, as SVG in plain text: visits on a timeline, a lesion's area over days, a learner's answers day by day.

All are 360 units wide, about what a phone shows, so that their words can be read there; colours are the page's own (`style.CSS`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import numpy as np

WIDE = 360
LEFT, RIGHT, TOP, BOTTOM = 50, 12, 14, 42  # margins of the growth curve, for its words
HIGH = 220
LABEL = 66  # width of a date on the timeline

Point = tuple[float, float]  # day, area in mm2


def timeline(visits: Sequence[tuple[int, str]]) -> str:
    """Visits, (day, date) in order of time, as dots on a line; dates that would lie on each other are left to the list's words."""
    last = max(visits[-1][0], 1)
    edge = LABEL / 2
    at = [edge + (WIDE - 2 * edge) * day / last for day, _ in visits]
    free = [-math.inf, -math.inf]  # where the last label above and below the line ends
    marks = []
    for x, (day, date) in zip(at, visits, strict=True):
        marks.append(f'<circle cx="{x:.1f}" cy="46" r="5"><title>Day {day}, {escape(date)}</title></circle>')
        row = next((row for row in (0, 1) if x - edge >= free[row]), None)
        if row is None:
            continue
        free[row] = x + edge
        y = (16, 72)[row]
        marks.append(
            f'<text x="{x:.1f}" y="{y}"><tspan class="strong">day {day}</tspan>'
            f'<tspan x="{x:.1f}" dy="14">{escape(date)}</tspan></text>'
        )
    said = "; ".join(f"day {day}, {date}" for day, date in visits)
    high = 92 if free[1] > 0 else 54
    return (
        f'<svg class="md-timeline" viewBox="0 0 {WIDE} {high}" role="img" aria-label="Visits: {escape(said)}">'
        f'<line x1="{at[0]:.1f}" x2="{at[-1]:.1f}" y1="46" y2="46"/>{"".join(marks)}</svg>'
    )


def growth_curve(
    law: Sequence[Point], asked: Sequence[Point] = (), measured: Sequence[Point] = (), most_mm2: float | None = None
) -> str:
    """The area that a law asks for over days, the visits on it as rings, and what was measured as dots.

    Args:
        most_mm2: about what the slice of the head holds; drawn where the curve comes near it.
    """
    highest = max(area for _, area in (*law, *asked, *measured))
    near = most_mm2 is not None and highest > 0.6 * most_mm2
    days = ticks(max(max(day for day, _ in (*law, *asked, *measured)), 1))
    areas = ticks(max(highest, most_mm2 if near and most_mm2 else 0, 1))

    def place(point: Point) -> Point:
        x = LEFT + (WIDE - LEFT - RIGHT) * point[0] / days[-1]
        return x, HIGH - BOTTOM - (HIGH - BOTTOM - TOP) * point[1] / areas[-1]

    parts = []
    for area in areas:
        x, y = place((0, area))
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{WIDE - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="y" x="{x - 5:.1f}" y="{y + 3.5:.1f}">{area:g}</text>')
    for day in days:
        x, y = place((day, 0))
        parts.append(f'<text x="{x:.1f}" y="{y + 14:.1f}">{day:g}</text>')
    if near and most_mm2 is not None:
        x, y = place((0, most_mm2))
        parts.append(f'<line class="most" x1="{x:.1f}" x2="{WIDE - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="most" x="{x + 4:.1f}" y="{y - 4:.1f}">about all that fits the head</text>')
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(place, law))
    parts.append(f'<polyline points="{line}"/>')
    for name, points in (("asked", asked), ("measured", measured)):
        for point in points:
            x, y = place(point)
            words = f"Day {point[0]:g}: {point[1]:.0f} mm² {name}"
            parts.append(f'<circle class="{name}" cx="{x:.1f}" cy="{y:.1f}" r="4.5"><title>{words}</title></circle>')
    said = "; ".join(f"day {day:g} {area:.0f} mm²" for day, area in measured or asked)
    middle = TOP + (HIGH - TOP - BOTTOM) / 2
    return (
        f'<svg class="md-curve" viewBox="0 0 {WIDE} {HIGH}" role="img" aria-label="Area of the lesion over days: {said}">'
        f"{''.join(parts)}"
        f'<text x="{LEFT + (WIDE - LEFT - RIGHT) / 2}" y="{HIGH - 10}">Days since day 0</text>'
        f'<text transform="translate(11 {middle}) rotate(-90)">Area in the slice (mm²)</text></svg>'
    )


def ticks(highest: float, about: int = 4) -> list[float]:
    """Round numbers from 0 to `highest` > 0 or just above it, `about` steps of 1, 2 or 5 times a power of ten."""
    rough = highest / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    return [float(value) for value in step * np.arange(math.ceil(highest / step - 1e-9) + 1)]


def days_plot(days: Sequence[tuple[str, int, int]]) -> str:
    """A learner's days, (ISO date, right, answers), as bars: all answers, and in them those that were right; 30 days at most."""
    shown = days[-30:]
    most = max((answers for _, _, answers in shown), default=1)
    step = (WIDE - 20) / max(len(shown), 7)
    bars = []
    for number, (day, right, answers) in enumerate(shown):
        x, wide = 10 + number * step, step * 0.7
        for count, kind in ((answers, "all"), (right, "right")):
            high = 70 * count / most
            bars.append(
                f'<rect class="{kind}" x="{x:.1f}" y="{80 - high:.1f}" width="{wide:.1f}" height="{high:.1f}"/>'
            )
        bars.append(f"<title>{escape(day)}: {right} of {answers} right</title>")
        if number in (0, len(shown) - 1):
            anchor = "start" if number == 0 else "end"
            bars.append(
                f'<text x="{x if number == 0 else x + wide:.1f}" y="96" text-anchor="{anchor}">{escape(day[5:])}</text>'
                if number == 0 or len(shown) > 3
                else ""
            )
    said = "; ".join(f"{day}, {right} of {answers}" for day, right, answers in shown)
    return (
        f'<svg class="md-days" viewBox="0 0 {WIDE} 100" role="img" aria-label="Right answers by day: {escape(said)}">'
        f'<line x1="10" x2="{WIDE - 10}" y1="80" y2="80"/>{"".join(bars)}</svg>'
    )
