"""Parts of plots as SVG in plain text, drawn without a plotting library: no page, no style sheet needed. This module knows nobody.

All plots are `WIDE` units wide, about what a phone shows. Words take the colour of the text around them; where the file stands
alone that is black. Colours are told apart by the colour-blind (Wong 2011), and lines by their dashes too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

import numpy as np

WIDE, HIGH = 360, 230
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 14, 40  # margins, for the words
KEY, OTHERS = "#2b8f81", ("#d9822b", "#5b6fb5", "#b5467c", "#8a7d2b", "#6b6b6b")
DASHES = ("6 3", "2 3", "9 3 2 3", "4 2 1 2", "1 2")
LINE = 13  # height of a line of words
MOST_WORDS = 34  # characters of a label
LEGEND_WORDS = 44  # of one in a legend, which has the whole width
GRID = 'stroke="currentColor" stroke-opacity="0.18"'

Point = tuple[float, float]


def signed(value: float) -> str:
    """A number with a true minus sign; a zero without one."""
    return f"{round(value, 2) + 0.0:g}".replace("-", "\N{MINUS SIGN}")


class Axes:
    """A rectangle of the picture in the units of its two axes."""

    def __init__(self, x: tuple[float, float], y: tuple[float, float]) -> None:
        self.x, self.y = x, y

    def place(self, point: Point) -> Point:
        """Where a point lies in the picture."""
        x = (point[0] - self.x[0]) / (self.x[1] - self.x[0])
        y = (point[1] - self.y[0]) / (self.y[1] - self.y[0])
        return LEFT + x * (WIDE - LEFT - RIGHT), HIGH - BOTTOM - y * (HIGH - BOTTOM - TOP)

    def grid(self, x: Sequence[float], y: Sequence[float], says_x: Callable[[float], str] = signed) -> str:
        """Lines at the ticks of y, and the numbers of both axes; `says_x` turns a place on x into words (log axes)."""
        parts = []
        for value in y:
            _, at = self.place((self.x[0], value))
            parts.append(f'<line x1="{LEFT}" x2="{WIDE - RIGHT}" y1="{at:.1f}" y2="{at:.1f}" {GRID}/>')
            parts.append(f'<text x="{LEFT - 5}" y="{at + 3.5:.1f}" text-anchor="end">{signed(value)}</text>')
        for value in x:
            at, _ = self.place((value, self.y[0]))
            parts.append(f'<text x="{at:.1f}" y="{HIGH - BOTTOM + 15}">{says_x(value)}</text>')
        return "".join(parts)

    def line(self, points: Sequence[Point], colour: str, wide: float = 2.5, dash: str = "") -> str:
        """A line through points."""
        places = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(self.place, points))
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        return f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="{wide}"{dashed}/>'

    def band(self, lows: Sequence[Point], highs: Sequence[Point], colour: str) -> str:
        """The area between two lines, pale: an interval along a curve."""
        places = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(self.place, [*lows, *reversed(highs)]))
        return f'<polygon points="{places}" fill="{colour}" fill-opacity="0.16"/>'

    def dot(
        self, point: Point, colour: str, told: str, interval: tuple[float, float] | None = None, radius: float = 4
    ) -> str:
        """A dot that tells its figures, with its interval on y."""
        x, y = self.place(point)
        bar = ""
        if interval is not None:
            ends = [self.place((point[0], end))[1] for end in interval]
            bar = f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{ends[0]:.1f}" y2="{ends[1]:.1f}" stroke="{colour}" stroke-opacity="0.6"/>'
        return f'{bar}<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" fill="{colour}"><title>{escape(told)}</title></circle>'

    def names(self, x: str, y: str) -> str:
        """What the axes show."""
        middle = TOP + (HIGH - TOP - BOTTOM) / 2
        return (
            f'<text x="{LEFT + (WIDE - LEFT - RIGHT) / 2}" y="{HIGH - 8}">{x}</text>'
            f'<text transform="translate(11 {middle}) rotate(-90)">{y}</text>'
        )


def svg(high: float, said: str, parts: Sequence[str]) -> str:
    """The picture, `WIDE` by `high`; `said` is for those who hear it."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="md-plot" viewBox="0 0 {WIDE} {high:g}" role="img" '
        f'font-family="inherit, sans-serif" font-size="11" text-anchor="middle" fill="currentColor" '
        f'aria-label="{escape(said)}">{"".join(parts)}</svg>'
    )


def legend(rows: Sequence[tuple[str, str, str]], top: float) -> str:
    """One row of words a line, below `top`: (words, colour, dash); each is `LINE` high."""
    parts = []
    for number, (words, colour, dash) in enumerate(rows):
        y = top + LINE * number
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        parts.append(
            f'<line x1="{LEFT}" x2="{LEFT + 26}" y1="{y}" y2="{y}" stroke="{colour}" stroke-width="2.5"{dashed}/>'
            f'<text x="{LEFT + 32}" y="{y + 3.5}" text-anchor="start">{escape(short(words, LEGEND_WORDS))}</text>'
        )
    return "".join(parts)


def short(words: str, most: int) -> str:
    """Words of `most` characters, with an ellipsis where some are left out."""
    return words if len(words) <= most else words[: most - 1].rstrip() + "…"


def intervals_plot(
    rows: Sequence[tuple[str, int, float, tuple[float, float] | None]], reach: tuple[float, float], axis: str, said: str
) -> str:
    """Values as dots on lines that are their intervals, one a row, as a forest plot.

    Args:
        rows: (words, colour, value, interval); rows of one colour belong together, colours count from 0.
        reach: least and most of the axis; what lies beyond it ends at its edge.
        axis: what is shown, in words.
        said: about what, for those who hear the picture.
    """
    low, high = reach
    left, row_high = 150, 22
    tall = TOP + BOTTOM + row_high * len(rows)

    def x(value: float) -> float:
        return left + (min(max(value, low), high) - low) / (high - low) * (WIDE - left - RIGHT)

    parts = []
    for tick in np.linspace(low, high, 5):
        parts.append(f'<line x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{TOP}" y2="{tall - BOTTOM}" {GRID}/>')
        parts.append(f'<text x="{x(tick):.1f}" y="{tall - BOTTOM + 15}">{signed(tick)}</text>')
    heard = []
    for number, (words, colour, value, interval) in enumerate(rows):
        y = TOP + row_high * (number + 0.5)
        ink = (KEY, *OTHERS)[colour % (len(OTHERS) + 1)]
        told = f"{words}: {value:.2f}"
        if interval is not None:
            told += f", {interval[0]:.2f} to {interval[1]:.2f}"
            ends = f'x1="{x(interval[0]):.1f}" x2="{x(interval[1]):.1f}"'
            parts.append(f'<line {ends} y1="{y}" y2="{y}" stroke="{ink}" stroke-width="2.5"/>')
        parts.append(
            f'<circle cx="{x(value):.1f}" cy="{y}" r="4.5" fill="{ink}"><title>{escape(told)}</title></circle>'
        )
        parts.append(f'<text x="{left - 8}" y="{y + 3.5}" text-anchor="end">{escape(short(words, 22))}</text>')
        heard.append(told)
    parts.append(f'<text x="{left + (WIDE - left - RIGHT) / 2}" y="{tall - 8}">{escape(axis)}</text>')
    return svg(tall, f"{said}. {'; '.join(heard)}", parts)
