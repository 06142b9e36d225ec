"""The bank's cases become questions: drafts of every accepted case that its reviewers did not reject."""

from __future__ import annotations

from typing import Literal

from meddiff.bank import Bank, Review, Search
from meddiff.case import Case, Record
from meddiff.teaching.quality import balanced
from meddiff.teaching.store import Questions
from meddiff.teaching.write import items_of

PAGE = 200  # cases read at a time


class Written(Record):
    """What came of it: ids of new drafts, and how many cases were looked at. Questions that were there stay as they are."""

    new: tuple[str, ...]
    cases: int


def write_from_bank(
    questions: Questions, bank: Bank, who: str = "", seed: int = 0, language: Literal["en", "zh"] = "en"
) -> Written:
    """Writes drafts of all questions that the bank's accepted cases are good for.

    Args:
        who: asks for it; stands in each item's history.
        seed: of what is chosen among possible questions and of where the right choice stands.
        language: of their words.

    Raises:
        MedDiffError: the bank or the store cannot be read or written.
    """
    cases: list[Case] = []
    wanted = Search(status="accepted", limit=PAGE)
    while found := bank.find(wanted).entries:
        cases += [entry.case for entry in found if entry.review is not Review.REJECTED]
        wanted = wanted.model_copy(update={"offset": wanted.offset + PAGE})
    items = balanced([item for case in cases for item in items_of(case, seed, language=language)], seed)
    return Written(new=questions.add(items, who).new, cases=len(cases))
