"""Questions that a series answers by itself: the order of visits, which of two came first, which response category a visit is.

Items as `teaching.item` has them: they name cases by their ids, never pixels, and their key comes from what was measured, not
from what was asked.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from meddiff.case import SYNTHETIC_NOTICE, Record, Status
from meddiff.conditions.response import Category
from meddiff.exchange.atomic import write_atomic
from meddiff.synthesis.series import SeriesReport, VisitReport
from meddiff.teaching.item import Choice, ChoiceItem, Item, Kind, OrderItem, item_id

FILE = "items.json"
LEAST_CHANGE = 0.2  # of the larger of two areas: what an eye can order
LEAST_VISITS = 3  # two can be put in order by a guess
# What each category asks for by RANO (Wen et al., J Clin Oncol 28(11), 2010), in the order shown.
OPTIONS = {
    Category.CR: ("complete response (CR)", "Complete response: the lesion is gone."),
    Category.PR: (
        "partial response (PR)",
        "Partial response: the product of the diameters is half the baseline or less.",
    ),
    Category.SD: ("stable disease (SD)", "Stable disease: neither response nor progression."),
    Category.PD: (
        "progressive disease (PD)",
        "Progressive disease: the product of the diameters is 25% or more above its smallest so far, or a lesion is new or back.",
    ),
}


class SeriesItems(Record):
    """The items of a series, as they stand in `items.json`."""

    notice: str = SYNTHETIC_NOTICE
    series: str
    seed: int
    items: tuple[Item, ...]


def series_items(report: SeriesReport, seed: int = 0) -> SeriesItems:
    """The items that a series is good for, as drafts; none where its visits missed what was asked.

    Args:
        seed: of the order in which visits are shown.
    """
    asked = (order_item(report, seed), first_item(report, seed), *response_items(report, seed))
    return SeriesItems(series=report.series, seed=seed, items=tuple(item for item in asked if item))


def order_item(report: SeriesReport, seed: int) -> OrderItem | None:
    """Put these visits in order, shuffled by `seed`.

    None where the order cannot be seen: fewer than `LEAST_VISITS`, areas in a row that differ by less than `LEAST_CHANGE`, a
    lesion that both grows and shrinks, a visit that missed its area.
    """
    visits, way = report.visits, _way(report)
    if len(visits) < LEAST_VISITS or way == 0:
        return None
    if any(abs(_step(a.measured_mm2, b.measured_mm2)) < LEAST_CHANGE for a, b in pairwise(visits)):
        return None
    key = [visit.case_id for visit in visits]
    what, start = ("grows", "smallest") if way > 0 else ("shrinks", "largest")
    return OrderItem(
        **_base(report, Kind.ORDER, key, seed),
        stem=f"One made-up patient, {len(visits)} visits. The lesion {what} from visit to visit. Put the visits in order of time.",
        cases=_shuffled(key, seed),
        key=tuple(key),
        feedback=f"From the {start}: {', '.join(f'day {v.day} {v.measured_mm2:.0f} mm2' for v in visits)}.",
    )


def first_item(report: SeriesReport, seed: int) -> ChoiceItem | None:
    """Which of the first and the last visit came first, shown in an order drawn from `seed`.

    None where it cannot be seen: their areas differ by less than `LEAST_CHANGE`, the lesion both grows and shrinks, a visit
    missed its area.
    """
    way, pair = _way(report), [report.visits[0], report.visits[-1]]
    if way == 0 or abs(_step(pair[0].measured_mm2, pair[1].measured_mm2)) < LEAST_CHANGE:
        return None
    base = _base(report, Kind.COMPARE, [visit.case_id for visit in pair], seed)
    shown = pair if random.Random(base["id"]).random() < 0.5 else pair[::-1]
    return ChoiceItem(
        **base,
        kind=Kind.COMPARE,
        stem=f"One made-up patient, two visits. The lesion {'grows' if way > 0 else 'shrinks'} from visit to visit. Which picture is the earlier one?",
        cases=tuple(visit.case_id for visit in shown),
        choices=tuple(
            Choice(text=text, feedback=f"Day {visit.day}: the lesion covers {visit.measured_mm2:.0f} mm2.")
            for text, visit in zip(("The first picture", "The second picture"), shown, strict=True)
        ),
        key=shown.index(pair[0]),
    )


def response_items(report: SeriesReport, seed: int = 0) -> tuple[ChoiceItem, ...]:
    """Which category by RANO, for each later visit that has one and, like all before it, shows what was asked."""
    items = []
    for number, visit in enumerate(report.visits[1:], 2):
        shown = report.visits[:number]
        if visit.rano.category in OPTIONS and all(one.status is Status.ACCEPTED for one in shown):
            items.append(_response(report, visit, shown, seed))
    return tuple(items)


def write_items(items: SeriesItems, folder: Path) -> Path:
    """Writes `items.json` beside the series.

    Raises:
        MedDiffError: the file cannot be written; nothing half-written remains.
    """
    text = items.model_dump_json(indent=1) + "\n"
    return write_atomic(folder / FILE, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def _response(report: SeriesReport, visit: VisitReport, shown: Sequence[VisitReport], seed: int) -> ChoiceItem:
    cases = [one.case_id for one in shown]
    return ChoiceItem(
        **_base(report, Kind.RESPONSE, cases, seed),
        kind=Kind.RESPONSE,
        stem=f"One made-up patient. Which response category by RANO at day {visit.day}? The first visit is the baseline.",
        cases=tuple(cases),
        choices=tuple(Choice(text=text, feedback=why, key=key.value) for key, (text, why) in OPTIONS.items()),
        key=list(OPTIONS).index(visit.rano.category),
        feedback=visit.rano.sentence,
    )


def _base(report: SeriesReport, kind: Kind, cases: Sequence[str], seed: int) -> dict[str, Any]:
    finding = report.plan.request.findings.finding
    return {"id": item_id(kind, cases, seed), "pathology": (finding and finding.pathology) or ""}


def _way(report: SeriesReport) -> int:
    """1 where the lesion grows from visit to visit, -1 where it shrinks; 0 where neither, or where a visit missed its area."""
    steps = [_step(before.measured_mm2, after.measured_mm2) for before, after in pairwise(report.visits)]
    if not steps or any(visit.status is not Status.ACCEPTED for visit in report.visits):
        return 0
    return 1 if min(steps) > 0 else -1 if max(steps) < 0 else 0


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
