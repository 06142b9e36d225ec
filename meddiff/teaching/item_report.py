"""From the answers that are kept to the figures of `statistics`: which answers count, what is still unknown, and the table as CSV.

A learner's first answer to a question counts, and only where it was given to the question as it is asked today: after the stem, the
choices or the key were edited, earlier answers are answers to another question. Feedback and teaching points may change.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

from pydantic import Field, model_validator

from meddiff.case import Record
from meddiff.teaching.answers import Answers, Given
from meddiff.teaching.item import ChoiceItem, Item
from meddiff.teaching.quiz import open_quiz
from meddiff.teaching.statistics import (
    FEW_ANSWERS,
    LEAST_ANSWERS,
    LEAST_FOR_CHOICES,
    Answer,
    ItemStatistics,
    QuizStatistics,
    Table,
    advice,
    statistics,
    table_of,
)
from meddiff.teaching.store import Questions

_TOLD_AFTER = {"version", "state", "author", "difficulty", "feedback", "points", "sources"}  # no part of what is asked
_Day = Annotated[str, Field(pattern=r"^(\d{4}-\d{2}-\d{2})?$")]
COLUMNS = (
    "item", "version", "state", "kind", "pathology", "question", "answers", "right", "right_low", "right_high", "difficulty",
    "upper_lower", "point_biserial", "unused_choices", "rasch_logit", "rasch_se", "slope", "slope_logit", "what_to_change",
)  # fmt: skip


class Span(Record):
    """Which answers are looked at; what is left empty lets everything pass.

    Attributes:
        quiz: id; each learner's first answers in that quiz. Empty: their first answers anywhere.
        since, until: ISO dates in UTC, both included.
    """

    quiz: str = ""
    since: _Day = ""
    until: _Day = ""

    @model_validator(mode="after")
    def _in_order(self) -> Span:
        if self.since and self.until and self.since > self.until:
            raise ValueError(f"the first day, {self.since}, is after the last, {self.until}")
        return self

    def holds(self, at: str) -> bool:
        """Whether a moment (ISO 8601, UTC) lies in it."""
        return self.since <= at[:10] and (not self.until or at[:10] <= self.until)


@dataclass(frozen=True)
class Report:
    """What the answers say.

    Attributes:
        items: of the quiz, or those that were answered, as they stand.
        answers: those that count, in the order in which they came.
        reworded: answers that were given to another wording and do not count.
        removed: answers in the quiz to questions that are no longer in it.
    """

    items: tuple[Item, ...]
    answers: tuple[Answer, ...]
    reworded: int
    removed: int

    @cached_property
    def statistics(self) -> QuizStatistics:
        return statistics(self.answers, self.items)

    @cached_property
    def table(self) -> Table:
        return table_of(self.answers, [item.id for item in self.items])

    @cached_property
    def advice(self) -> dict[str, tuple[str, ...]]:
        """What to change, by id, of the items that have something to change, the most answered first."""
        pairs = sorted(zip(self.items, self.statistics.items, strict=True), key=lambda pair: -pair[1].n)
        return {item.id: told for item, row in pairs if (told := advice(item, row))}

    def of(self, item: str) -> tuple[Item, ItemStatistics]:
        """An item and its figures.

        Raises:
            KeyError: it is not in the report.
        """
        known = {one.id: (one, row) for one, row in zip(self.items, self.statistics.items, strict=True)}
        return known[item]


def report(questions: Questions, span: Span = Span()) -> Report:  # noqa: B008 (frozen)
    """The answers of a span, ready for their figures.

    Raises:
        MedDiffError: an unknown or deleted quiz.
    """
    firsts = first_answers(questions.answers(Answers(quiz=span.quiz)))
    given = [one for one in firsts if span.holds(one.at)]
    ids = open_quiz(questions, span.quiz).items if span.quiz else tuple(sorted({one.answer.item for one in given}))
    items = {item.id: item for item in questions.items(ids)}
    mine = [one for one in given if one.answer.item in items]
    counted = answers_to(questions, items, mine)
    return Report(tuple(items.values()), counted, len(mine) - len(counted), len(given) - len(mine))


def first_answers(given: Iterable[Given]) -> list[Given]:
    """The first answer of each learner to each item, in the order in which they came."""
    firsts: dict[tuple[str, str], Given] = {}
    for one in given:
        firsts.setdefault((one.answer.learner, one.answer.item), one)
    return list(firsts.values())


def answers_to(questions: Questions, items: dict[str, Item], given: Iterable[Given]) -> tuple[Answer, ...]:
    """Kept answers as the statistics take them; those to another wording of their item are left out.

    Args:
        items: by id, as they stand.
    """
    shown: dict[tuple[str, int], Item] = {(item.id, item.version): item for item in items.values()}
    found = []
    for one in given:
        told = one.answer
        if (told.item, told.version) not in shown:
            shown[told.item, told.version] = questions.item(told.item, told.version)
        asked, item = shown[told.item, told.version], items[told.item]
        if same_question(asked, item):
            choice = _choice(asked, item, told.answer)
            found.append(
                Answer(learner=told.learner, item=item.id, right=told.right, credit=told.credit, choice=choice)
            )
    return tuple(found)


def same_question(one: Item, other: Item) -> bool:
    """Whether two versions of an item ask the same and take the same as right; choices may stand in another order."""
    return _asked(one) == _asked(other)


def limits(told: Report) -> tuple[str, ...]:
    """What the answers cannot tell yet, and why, a sentence each."""
    known = told.statistics
    if not told.answers:
        return ("Nobody has answered these questions yet: no figure can be given.",)
    found = []
    few = sum(row.n < LEAST_ANSWERS for row in known.items)
    if few:
        found.append(
            f"{few} of {len(known.items)} questions have fewer than {LEAST_ANSWERS} answers: no discrimination and no advice for them yet."
        )
    some = sum(LEAST_ANSWERS <= row.n < LEAST_FOR_CHOICES for row in known.items)
    if some:
        found.append(f"{some} have fewer than {LEAST_FOR_CHOICES}: no advice on single wrong choices for them yet.")
    least = min((row.n for row in known.items if row.n >= LEAST_ANSWERS), default=FEW_ANSWERS)
    if least < FEW_ANSWERS:
        found.append(f"Advice stands on as few as {least} answers: look again before you change much.")
    if known.kr20 is None:
        all_of = f"all {len(known.items)} questions" if len(known.items) > 1 else "the question"
        found.append(
            f"Reliability (KR-20, alpha) needs two or more questions, answered in full by learners whose points differ: "
            f"{known.complete} answered {all_of}."
        )
    found += list(dict.fromkeys(why for why in (known.no_scale, known.no_slopes) if why))
    if told.reworded:
        found.append(f"{told.reworded} answers were given before a question was reworded and do not count.")
    if told.removed:
        found.append(f"{told.removed} answers are to questions that are no longer in this quiz and do not count.")
    return tuple(found)


def csv_bytes(told: Report) -> bytes:
    """The table, an item a row, as CSV (RFC 4180) in UTF-8 with byte order mark; what is not known is empty."""
    from meddiff.teaching.export.table import safe

    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for item, row in zip(told.items, told.statistics.items, strict=True):
        unused = "\n".join(item.choices[n].text for n in row.unused) if isinstance(item, ChoiceItem) else ""
        cells: list[Any] = [
            item.id, item.version, item.state.value, item.kind.value, item.pathology or "normal", item.stem, row.n, row.right, row.right_low,
            row.right_high, row.difficulty, row.upper_lower, row.point_biserial, unused, row.rasch, row.rasch_se, row.slope, row.slope_logit,
            "\n".join(told.advice.get(item.id, ())),
        ]  # fmt: skip
        writer.writerow([round(cell, 4) if isinstance(cell, float) else safe(cell) for cell in cells])
    return lines.getvalue().encode("utf-8-sig")


def _asked(item: Item) -> dict[str, Any]:
    told = item.model_dump(mode="json", exclude=_TOLD_AFTER)
    if isinstance(item, ChoiceItem):
        told |= {"choices": sorted(choice.text for choice in item.choices), "key": item.choices[item.key].text}
    return told


def _choice(asked: Item, item: Item, answer: str) -> int | None:
    """Where the choice that was taken stands today; None where none was."""
    told = json.loads(answer)
    chosen = told.get("chosen") if isinstance(told, dict) else None
    if not isinstance(asked, ChoiceItem) or not isinstance(item, ChoiceItem) or not isinstance(chosen, int):
        return None
    if not 0 <= chosen < len(asked.choices):
        return None
    return [choice.text for choice in item.choices].index(asked.choices[chosen].text)
