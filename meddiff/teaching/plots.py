"""How items and learners did, as SVG; the parts that plots are made of stand in `meddiff.plot`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import numpy as np
from scipy.special import expit

from meddiff.plot import (
    BOTTOM,
    DASHES,
    GRID,
    HIGH,
    KEY,
    LEFT,
    LINE,
    MOST_WORDS,
    OTHERS,
    TOP,
    WIDE,
    Axes,
    Point,
    short,
    signed,
    svg,
)


def characteristic_curve(
    difficulty: float, slope: float = 1.0, seen: Sequence[tuple[float, float, int]] = (), title: str = ""
) -> str:
    """The share right that a model expects at each ability, and what was seen as dots.

    Args:
        difficulty: in logits.
        slope: 1 in the Rasch model.
        seen: (ability in logits, share right, learners), as `statistics.right_by_ability` gives.
        title: of the item, for those who hear the picture.
    """
    least = math.floor(min([-3, difficulty - 1, *(point[0] for point in seen)]))
    most = math.ceil(max([3, difficulty + 1, *(point[0] for point in seen)]))
    axes = Axes((least, most), (0, 1))
    ability = np.linspace(least, most, 81)
    line = list(zip(ability, expit(slope * (ability - difficulty)), strict=True))
    parts = [axes.grid(range(least, most + 1, max(1, (most - least) // 6)), (0, 0.25, 0.5, 0.75, 1))]
    parts.append(axes.line(line, KEY))
    x, y = axes.place((difficulty, 0.5))
    parts.append(
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y:.1f}" y2="{HIGH - BOTTOM}" stroke="{KEY}" stroke-dasharray="3 3"/>'
    )
    for at, share, learners in seen:
        x, y = axes.place((at, share))
        told = f"{learners} learners near {signed(at)}: {100 * share:.0f}% right"
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{OTHERS[0]}"><title>{told}</title></circle>')
    said = f"Share right by ability{_of(title)}: half are right at {signed(difficulty)} logits"
    return svg(HIGH, said, [*parts, axes.names("Ability (logits)", "Share right")])


def wright_map(abilities: Sequence[float], difficulties: Sequence[tuple[str, float]]) -> str:
    """Learners (bars on the left) and items (names on the right) on one scale in logits, the able and the difficult on top.

    Args:
        abilities: in logits; at least one.
        difficulties: (name, logits) of each item; at least one. Names that would lie on each other are moved down or up and
            stay tied to their place by a line, so that the picture grows with the number of items.
    """
    every = [*abilities, *(logit for _, logit in difficulties)]
    least, most = math.floor(min(every)), math.ceil(max(every) + 1e-9)
    most = max(most, least + 1)
    names = sorted(difficulties, key=lambda pair: -pair[1])
    high = max(HIGH, TOP + BOTTOM + LINE * len(names))
    middle = WIDE * 0.45

    def y(logit: float) -> float:
        return TOP + (most - logit) / (most - least) * (high - TOP - BOTTOM)

    parts = []
    for tick in range(least, most + 1, max(1, (most - least) // 8)):
        parts.append(f'<line x1="{LEFT}" x2="{middle}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" {GRID}/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y(tick) + 3.5:.1f}" text-anchor="end">{signed(tick)}</text>')
    counts, edges = np.histogram(abilities, bins=np.arange(least, most + 0.25, 0.5))
    for count, low, up in zip(counts, edges[:-1], edges[1:], strict=True):
        long = (middle - LEFT - 6) * count / counts.max()
        told = f"{count} learners from {signed(low)} to {signed(up)}"
        parts.append(
            f'<rect x="{middle - long:.1f}" y="{y(up) + 1:.1f}" width="{long:.1f}" height="{y(low) - y(up) - 2:.1f}" '
            f'fill="{KEY}" fill-opacity="0.75"><title>{told}</title></rect>'
        )
    parts.append(
        f'<line x1="{middle}" x2="{middle}" y1="{TOP}" y2="{high - BOTTOM}" stroke="currentColor" stroke-opacity="0.6"/>'
    )
    for (name, logit), place in zip(names, _apart([y(logit) for _, logit in names], TOP, high - BOTTOM), strict=True):
        parts.append(
            f'<polyline points="{middle},{y(logit):.1f} {middle + 6},{y(logit):.1f} {middle + 18},{place:.1f}" fill="none" '
            f'stroke="{OTHERS[0]}"/><text x="{middle + 22}" y="{place + 3.5:.1f}" text-anchor="start">'
            f"{escape(short(name, 28))}<title>{escape(name)}: {signed(logit)}</title></text>"
        )
    parts.append(f'<text x="{(LEFT + middle) / 2}" y="{high - 10}">Learners</text>')
    parts.append(f'<text x="{(WIDE + middle) / 2}" y="{high - 10}">Items (logits)</text>')
    hardest, easiest = names[0], names[-1]
    said = (
        f"{len(abilities)} learners and {len(names)} items on one scale; hardest {hardest[0]} at {signed(hardest[1])}, "
        f"easiest {easiest[0]} at {signed(easiest[1])} logits"
    )
    return svg(high, said, parts)


def distractor_curves(shares: np.ndarray, choices: Sequence[str], key: int, title: str = "") -> str:
    """How often each choice is taken from the weakest to the strongest learners; the key's line is thick.

    Args:
        shares: [groups, choices] in [0, 1], as `statistics.choices_by_score` gives; at least one group.
        choices: their words, at most six.
        key: position of the right one, from 0.
    """
    groups = len(shares)
    axes = Axes((1, max(groups, 2)), (0, 1))
    parts = [axes.grid((), (0, 0.25, 0.5, 0.75, 1))]
    legend = []
    others = iter(zip(OTHERS, DASHES, strict=True))
    for choice, words in enumerate(choices):
        colour, dash = (KEY, "") if choice == key else next(others)
        wide = 3.5 if choice == key else 2
        points = [(group + 1, share) for group, share in enumerate(shares[:, choice])]
        parts.append(axes.line(points, colour, wide, dash))
        for group, share in points:
            x, y = axes.place((group, share))
            told = f"{escape(words)}: {100 * share:.0f}% of group {group}"
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"><title>{told}</title></circle>')
        at = HIGH + 4 + LINE * choice
        stroke = f'stroke="{colour}" stroke-width="{wide}" stroke-dasharray="{dash}"'
        mark = " (key)" if choice == key else ""
        legend.append(
            f'<line x1="{LEFT}" x2="{LEFT + 26}" y1="{at}" y2="{at}" {stroke}/>'
            f'<text x="{LEFT + 32}" y="{at + 3.5}" text-anchor="start">{escape(short(words, MOST_WORDS))}{mark}</text>'
        )
    for group, words in ((1, "weakest"), (groups, "strongest")):
        x, _ = axes.place((group, 0))
        anchor = "start" if group == 1 else "end"
        parts.append(f'<text x="{x:.1f}" y="{HIGH - BOTTOM + 15}" text-anchor="{anchor}">{words}</text>')
        if groups == 1:
            break
    trend = "; ".join(
        f"{words} {100 * shares[0, at]:.0f}% to {100 * shares[-1, at]:.0f}%" for at, words in enumerate(choices)
    )
    said = f"Choices from the weakest to the strongest learners{_of(title)}: {trend}"
    high = HIGH + LINE * len(choices) + 4
    return svg(high, said, [*parts, axes.names("Learners by their other answers", "Share choosing it"), *legend])


def roc_curve(points: Sequence[Point], auc: float, title: str = "") -> str:
    """A ROC curve: hits over false alarms, beside the line of guessing.

    Args:
        points: (false alarm share, hit share) in rising order, from (0, 0) to (1, 1).
        auc: area under it, 0 to 1.
    """
    axes = Axes((0, 1), (0, 1))
    ticks = (0, 0.25, 0.5, 0.75, 1)
    parts = [axes.grid(ticks, ticks), axes.line([(0, 0), (1, 1)], OTHERS[4], 1.5, "4 4"), axes.line(points, KEY)]
    x, y = axes.place((0.97, 0.06))
    parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="end" font-weight="600">AUC {auc:.2f}</text>')
    return svg(
        HIGH, f"ROC curve{_of(title)}, area {auc:.2f}", [*parts, axes.names("Real taken for made", "Made found")]
    )


def _apart(places: Sequence[float], least: float, most: float) -> list[float]:
    """Places in rising order, moved until each is `LINE` from the next; those past the end push the others back."""
    moved: list[float] = []
    for place in places:
        moved.append(max(place, moved[-1] + LINE if moved else least))
    limit = most
    for at in range(len(moved) - 1, -1, -1):
        moved[at] = min(moved[at], limit)
        limit = moved[at] - LINE
    return moved


def _of(title: str) -> str:
    return f" of {title}" if title else ""
