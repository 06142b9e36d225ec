"""What learners saw and what they missed, by the lesion's contrast to noise: the axis that people and detectors share."""

from __future__ import annotations

from meddiff.bank import Bank
from meddiff.case import MedDiffError
from meddiff.teaching.answers import Answers
from meddiff.teaching.difficulty import measured
from meddiff.teaching.item import CASE, Item, Kind, State
from meddiff.teaching.item_report import answers_to, first_answers
from meddiff.teaching.store import Questions

SEEING = (Kind.NORMAL, Kind.LOCALISE)  # ask whether or where there is a lesion; others ask what it is


def readings_by_conspicuity(questions: Questions, bank: Bank) -> list[tuple[float, bool]]:
    """Learners' first answers to approved questions that ask whether or where there is a lesion in one case that holds one.

    Returns:
        (contrast to noise as it was measured, right), in the order in which they were given. Cases that the bank no longer has, and
        those whose contrast was not measured, are left out.
    """
    given = first_answers(questions.answers(Answers()))
    asked = {item.id: item for item in questions.items(sorted({one.answer.item for one in given})) if _tells(item)}
    counted = answers_to(questions, asked, [one for one in given if one.answer.item in asked])
    contrast = {item.id: _contrast(bank, item.cases[0]) for item in asked.values()}
    return [(value, answer.right) for answer in counted if (value := contrast[answer.item]) is not None]


def _tells(item: Item) -> bool:
    return (
        item.state is State.APPROVED
        and item.kind in SEEING
        and len(item.cases) == 1
        and item.shown[0][1] == CASE
        and bool(item.pathology)
    )


def _contrast(bank: Bank, case_id: str) -> float | None:
    try:
        case = bank.entry(case_id).case
    except MedDiffError:
        return None
    row = measured(case, "conspicuity")
    return None if row is None or row.value is None or case.request.findings.finding is None else float(row.value)
