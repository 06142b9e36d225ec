"""Questions that a series answers by itself: which visit came first, and which response category a visit is.

An item is data: it names cases by their ids, never pixels, and its key comes from what was measured, not from what was asked.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from meddiff.case import SYNTHETIC_NOTICE, Record, Status
from meddiff.conditions.response import Category
from meddiff.exchange.atomic import write_atomic
from meddiff.synthesis.series import SeriesReport, VisitReport

FILE = "items.json"
LEAST_CHANGE = 0.2  # of the larger of two areas in a row: what an eye can order
LEAST_VISITS = 3  # two can be put in order by a guess
OPTIONS = (Category.CR, Category.PR, Category.SD, Category.PD)


class OrderItem(Record):
    """Put these visits in order. `cases` are shown as they stand, `key` is their order in time."""

    kind: Literal["order"] = "order"
    stem: str
    cases: tuple[str, ...]
    key: tuple[str, ...]
    feedback: str


class ResponseItem(Record):
    """Which category is the last of these visits? Single best answer; `cases` in order of time, from the baseline on."""

    kind: Literal["response"] = "response"
    stem: str
    cases: tuple[str, ...]
    options: tuple[Category, ...] = OPTIONS
    key: Category
    feedback: str


Item = Annotated[OrderItem | ResponseItem, Field(discriminator="kind")]


class SeriesItems(Record):
    """The items of a series, as they stand in `items.json`."""

    notice: str = SYNTHETIC_NOTICE
    series: str
    seed: int
    items: tuple[Item, ...]


def series_items(report: SeriesReport, seed: int = 0) -> SeriesItems:
    """The items that a series is good for; none where its visits missed what was asked.

    Args:
        seed: of the order in which visits are shown.
    """
    order = order_item(report, seed)
    items: list[OrderItem | ResponseItem] = [order] if order else []
    return SeriesItems(series=report.series, seed=seed, items=(*items, *response_items(report)))


def order_item(report: SeriesReport, seed: int) -> OrderItem | None:
    """Put these visits in order, shuffled by `seed`.

    None where the order cannot be seen: fewer than `LEAST_VISITS`, areas in a row that differ by less than `LEAST_CHANGE`, a
    lesion that both grows and shrinks, a visit that missed its area.
    """
    visits = report.visits
    areas = [visit.measured_mm2 for visit in visits]
    if len(visits) < LEAST_VISITS or any(visit.status is not Status.ACCEPTED for visit in visits):
        return None
    steps = [_step(before, after) for before, after in pairwise(areas)]
    grows = steps[0] > 0
    if any(abs(step) < LEAST_CHANGE or (step > 0) != grows for step in steps):
        return None
    key = [visit.case_id for visit in visits]
    what, way = ("grows", "smallest") if grows else ("shrinks", "largest")
    return OrderItem(
        stem=f"One patient, {len(visits)} visits. The lesion {what} from visit to visit. Put the visits in order of time.",
        cases=_shuffled(key, seed),
        key=tuple(key),
        feedback=f"From the {way}: {', '.join(f'day {v.day} {v.measured_mm2:.0f} mm2' for v in visits)}.",
    )


def response_items(report: SeriesReport) -> tuple[ResponseItem, ...]:
    """Which category by RANO, for each later visit that has one and, like all before it, shows what was asked."""
    items = []
    for number, visit in enumerate(report.visits[1:], 2):
        shown = report.visits[:number]
        if visit.rano.category in OPTIONS and all(one.status is Status.ACCEPTED for one in shown):
            items.append(_response(visit, shown))
    return tuple(items)


def write_items(items: SeriesItems, folder: Path) -> Path:
    """Writes `items.json` beside the series.

    Raises:
        MedDiffError: the file cannot be written; nothing half-written remains.
    """
    text = items.model_dump_json(indent=1) + "\n"
    return write_atomic(folder / FILE, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def _response(visit: VisitReport, shown: Sequence[VisitReport]) -> ResponseItem:
    return ResponseItem(
        stem=f"Which response category by RANO at day {visit.day}? The first visit is the baseline.",
        cases=tuple(one.case_id for one in shown),
        key=visit.rano.category,
        feedback=visit.rano.sentence,
    )


def _step(before: float, after: float) -> float:
    """Change of an area as a share of the larger of the two, -1 to 1."""
    larger = max(before, after)
    return (after - before) / larger if larger else 0.0


def _shuffled(key: list[str], seed: int) -> tuple[str, ...]:
    """The same cases in another order: an item whose answer is the order shown would teach to do nothing."""
    shown = list(key)
    chance = random.Random(seed)
    while shown == key:
        chance.shuffle(shown)
    return tuple(shown)
