"""`meddiff items statistics` and `meddiff items correct`: how questions did, and their difficulty as the answers have it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from meddiff.teaching.item import Item
    from meddiff.teaching.item_report import Report
    from meddiff.teaching.statistics import ItemStatistics

STEM = 46  # letters of a question in a row


def add_parsers(acts: Any) -> None:
    """Adds what can be done to the verbs of `meddiff items`."""
    told = acts.add_parser(
        "statistics",
        help="show how questions did, and what to change in poor ones",
        description="Show difficulty, discrimination and unused choices of each question, reliability, and what to change in poor ones.",
    )
    told.add_argument(
        "--quiz", default="", metavar="QUIZ", help="only answers in this quiz, QZ-... (default: all answers)"
    )
    told.add_argument("--from", dest="since", default="", metavar="DAY", help="only answers since this day, 2026-11-30")
    told.add_argument("--to", dest="until", default="", metavar="DAY", help="only answers up to this day")
    told.add_argument("--csv", type=Path, metavar="FILE.csv", help="also write the table")
    told.set_defaults(act=_statistics)
    set_right = acts.add_parser(
        "correct",
        help="correct predicted difficulties by what learners answered",
        description="Correct the predicted difficulties by the first answers of all learners; again gives the same.",
    )
    set_right.set_defaults(act=_correct)


def _statistics(args: argparse.Namespace) -> int:
    from meddiff.exchange.atomic import write_atomic
    from meddiff.teaching.item_report import Span, csv_bytes, limits, report
    from meddiff.teaching.store import Questions

    told = report(Questions(), Span(quiz=args.quiz, since=args.since, until=args.until))
    print("\n".join(_lines(told)))
    for words in limits(told):
        print(words)
    if args.csv:
        data = csv_bytes(told)
        print(f"written to {write_atomic(args.csv, lambda temporary: temporary.write_bytes(data))}")
    return 0


def _lines(told: Report) -> list[str]:
    if not told.answers:
        return []
    known = told.statistics
    lines = [f"{len(told.answers)} first answers of {known.learners} learners to {len(told.items)} questions"]
    if known.kr20 is not None:
        lines.append(
            f"KR-20 {known.kr20:.2f}, alpha {_figure(known.alpha)}, points {_figure(known.mean)} ± {_figure(known.sd)} "
            f"(standard error {_figure(known.sem)}), of {known.complete} who answered all"
        )
    lines.append("item             answers  right  27%    r      logit  unused")
    lines += [_line(item, row) for item, row in zip(told.items, known.items, strict=True)]
    for item, words in told.advice.items():
        lines += [f"{item}  {sentence}" for sentence in words]
    return lines


def _line(item: Item, row: ItemStatistics) -> str:
    right = "–" if row.right is None else f"{row.right:.0%}"
    figures = "  ".join(f"{_figure(value):5s}" for value in (row.upper_lower, row.point_biserial, row.rasch))
    return f"{item.id}  {row.n:7d}  {right:>5s}  {figures}  {len(row.unused):6d}  {item.stem[:STEM]}"


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _correct(args: argparse.Namespace) -> int:
    from meddiff.teaching.correction import correct
    from meddiff.teaching.store import Questions

    told = correct(Questions())
    for one in told.changed:
        print(f"{one.item}  {_figure(one.before)} -> {_figure(one.after)}  ({one.right} of {one.answers} right)")
    print(f"{len(told.changed)} difficulties corrected by {told.answers} first answers to {len(told.items)} questions")
    return 0
