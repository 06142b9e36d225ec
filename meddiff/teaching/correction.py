"""How hard questions are, corrected by what learners answered (`difficulty.corrected`).

It starts from the prediction each time, which stays in the first version of an item: correcting twice gives the same as correcting
once. First answers to the question as it is asked today count, as in the statistics; an item that nobody answered stays as it is.
"""

from __future__ import annotations

from meddiff.case import Record
from meddiff.teaching.answers import Answers
from meddiff.teaching.difficulty import corrected
from meddiff.teaching.item import Item
from meddiff.teaching.item_report import answers_to, first_answers
from meddiff.teaching.store import ItemSearch, Questions

NOT_PREDICTED = 0.5  # of an item without a prediction (series), which as many answers as ever outweigh
SAME = 5e-4  # difficulties are shown with two digits


class Correction(Record):
    """What answers make of one difficulty, 0 (everybody is right) to 1; `predicted` None: nobody predicted one."""

    item: str
    predicted: float | None
    before: float | None
    after: float
    right: int
    answers: int


class Corrected(Record):
    """All items that were answered."""

    items: tuple[Correction, ...]

    @property
    def answers(self) -> int:
        """How many answers count."""
        return sum(one.answers for one in self.items)

    @property
    def changed(self) -> tuple[Correction, ...]:
        """Those whose difficulty changes."""
        return tuple(one for one in self.items if one.before is None or abs(one.before - one.after) >= SAME)


def corrections(questions: Questions) -> Corrected:
    """What all answers that there are would make of the difficulties; nothing is changed."""
    items = {item.id: item for item in questions.find(ItemSearch()).items}
    predicted = questions.predictions()
    given = [one for one in first_answers(questions.answers(Answers())) if one.answer.item in items]
    right: dict[str, list[bool]] = {}
    for answer in answers_to(questions, items, given):
        right.setdefault(answer.item, []).append(answer.right)
    return Corrected(items=tuple(_correction(items[key], predicted.get(key), right[key]) for key in sorted(right)))


def correct(questions: Questions) -> Corrected:
    """Puts the difficulties that the answers tell; returns what there was and is. The quiz builder goes by them from then on."""
    told = corrections(questions)
    questions.set_difficulties({one.item: one.after for one in told.changed})
    return told


def _correction(item: Item, predicted: float | None, right: list[bool]) -> Correction:
    prior = NOT_PREDICTED if predicted is None else predicted
    return Correction(
        item=item.id,
        predicted=predicted,
        before=item.difficulty,
        after=round(corrected(prior, sum(right), len(right)), 3),
        right=sum(right),
        answers=len(right),
    )
