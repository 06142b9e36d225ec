"""An evaluation's curves as SVG, made of the parts in `meddiff.plot`."""

from __future__ import annotations

import math
from collections.abc import Sequence

from meddiff.evaluation.records import Curve, Line
from meddiff.plot import DASHES, HIGH, KEY, LINE, OTHERS, Axes, legend, svg

_COLOURS = (KEY, *OTHERS)
_LINES = ("", *DASHES)
TICKS = 5


def nice_reach(values: Sequence[float], ticks: int = TICKS) -> tuple[float, float, list[float]]:
    """Ends and ticks of an axis that holds finite values: multiples of 1, 2 or 5 times a power of ten.

    Raises:
        ValueError: when there is no value.
    """
    low, high = min(values), max(values)
    if high - low < 1e-9 * max(1.0, abs(high)):
        low, high = low - 0.5, high + 0.5
    rough = (high - low) / (ticks - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * unit for unit in (1, 2, 5, 10) if power * unit >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return first * step, last * step, [round(n * step, 10) for n in range(first, last + 1)]


def curve_plot(curve: Curve) -> str:
    """A curve as SVG: lines with dots and their bands, the points that are marked, a legend."""
    lines = [line for line in curve.lines if line.x]
    x_low, x_high, x_ticks = nice_reach([x for line in lines for x in line.x])
    y_low, y_high, y_ticks = nice_reach([y for line in lines for y in (*line.y, *line.low, *line.high)])
    axes = Axes((x_low, x_high), (y_low, y_high))
    parts = [axes.grid(x_ticks, y_ticks)]
    for number, line in enumerate(lines):
        parts.append(_drawn(axes, number, line))
    for index, place, words in curve.marked:
        line = curve.lines[index]
        x, y = axes.place((line.x[place], line.y[place]))
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="8" fill="none" stroke="currentColor" stroke-width="1.5"/>')
        parts.append(f'<text x="{x:.1f}" y="{y - 12:.1f}">{words}</text>')
    parts.append(axes.names(curve.x_name, curve.y_name))
    parts.append(legend([(line.name, *_look(number)) for number, line in enumerate(lines)], HIGH + 6))
    return svg(HIGH + LINE * len(lines) + 6, curve.name, parts)


def _drawn(axes: Axes, number: int, line: Line) -> str:
    colour, dash = _look(number)
    points = list(zip(line.x, line.y, strict=True))
    parts = []
    if line.low and line.high:
        lows, highs = (list(zip(line.x, ends, strict=True)) for ends in (line.low, line.high))
        parts.append(axes.band(lows, highs, colour))
    if len(points) > 1:
        parts.append(axes.line(points, colour, 2.5, dash))
    if len(points) <= 12:  # more would hide the line
        parts += [
            axes.dot(point, colour, f"{line.name}: {point[1]:.3g} at {point[0]:.3g}", None, 3) for point in points
        ]
    return "".join(parts)


def _look(number: int) -> tuple[str, str]:
    return _COLOURS[number % len(_COLOURS)], _LINES[number % len(_LINES)]
