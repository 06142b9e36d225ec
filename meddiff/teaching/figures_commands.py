"""`meddiff items statistics`, `correct` and `more`: how questions did, their difficulty by the answers, and more cases at a difficulty."""

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
    from meddiff.teaching.commands import add_who  # which imports this module

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
    more = acts.add_parser(
        "more",
        help="make cases that are expected to be so hard, keep those that are, and write their questions",
        description="Make cases of a wished difficulty; those that are accepted and fall within it are kept, with questions as drafts.",
    )
    more.add_argument("--from-difficulty", type=float, required=True, metavar="D", help="at least so hard, 0 to 1")
    more.add_argument("--to-difficulty", type=float, required=True, metavar="D", help="at most so hard, 0 to 1")
    more.add_argument(
        "--pathology", action="append", default=[], metavar="KEY", help="may be given several times (default any)"
    )
    more.add_argument("--number", type=int, default=5, metavar="N", help="how many cases (default 5)")
    more.add_argument("--seed", type=int, default=0, help="of what is asked for (default 0)")
    more.add_argument("--pack", default="brain-t1gd", help="model pack (default brain-t1gd)")
    more.add_argument("--precision", choices=("int8", "bf16", "fp32"), default="int8", help="default int8")
    add_who(more)
    more.set_defaults(act=_more)


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


def _more(args: argparse.Namespace) -> int:
    from meddiff.bank import Bank
    from meddiff.case import Request
    from meddiff.synthesis.studio import Studio
    from meddiff.teaching.more import Wish, make_more, reachable, told
    from meddiff.teaching.store import Questions

    wish = Wish(
        pathologies=tuple(args.pathology), difficulty_from=args.from_difficulty, difficulty_to=args.to_difficulty,
        number=args.number, seed=args.seed,
    )  # fmt: skip
    reachable(wish)  # says at once what cannot be had
    studio = Studio(args.pack, args.precision)
    info = studio.load().info
    request = Request(pack=info.name, precision=args.precision, steps=info.steps, guidance=info.guidance)
    made = None
    for made in make_more(studio, Bank(), Questions(), wish, args.who, request):
        print("rejected by its check" if made.difficulty is None else f"difficulty {made.difficulty:.2f}", flush=True)
    if made is None:
        return 1
    print(told(made, wish))
    print("\n".join(made.kept))
    return 0 if len(made.kept) == wish.number else 1
