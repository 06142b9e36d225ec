"""The starter comes in whole, once, and what ships is what it says."""

import json
from pathlib import Path

import pytest

from meddiff.bank import Bank, Review, Search
from meddiff.bank.archive import export_bank
from meddiff.case import MedDiffError
from meddiff.settings import HOUSE, settings
from meddiff.teaching.files import read_item_file, write_item_file
from meddiff.teaching.item import State
from meddiff.teaching.quiz import Quiz, list_quizzes
from meddiff.teaching.starter import CASES, ITEMS, QUIZZES, sentences, take_in, take_in_once
from meddiff.teaching.store import ItemSearch, Questions
from tests.exchange.series_support import series_of
from tests.web.test_practice import questions_on

SHIPPED = HOUSE / "casebank" / "starter"


@pytest.fixture(scope="module")
def starter(tmp_path_factory) -> Path:
    """A starter of three cases, four questions and a quiz."""
    visits = series_of(3)[0]
    folder = tmp_path_factory.mktemp("casebank") / "starter"
    bank = Bank(tmp_path_factory.mktemp("made"))
    for visit in visits:
        bank.keep(visit)
        bank.review(visit.case.id, Review.APPROVED, "Ann", "typical")
    items = questions_on(visits)
    folder.mkdir()
    export_bank(bank, folder / CASES)
    write_item_file(items, folder / ITEMS)
    quiz = Quiz(id="QZ-00000000000a", title="Rings", items=tuple(item.id for item in items))
    (folder / QUIZZES).write_text(json.dumps([quiz.model_dump(mode="json")]), encoding="utf-8")
    return folder


def test_cases_questions_and_quizzes_come_in_and_can_be_used_at_once(starter, tmp_path):
    bank, questions = Bank(tmp_path), Questions(tmp_path)
    came = take_in(starter, bank, questions)
    assert (came.cases, came.items, came.quizzes, came.refused) == (3, 4, 1, ())
    assert bank.find(Search(review=Review.APPROVED)).total == 3
    assert questions.find(ItemSearch(state=State.APPROVED)).total == 4
    assert [entry.waiting for entry in list_quizzes(questions)] == [()]
    again = take_in(starter, bank, questions)
    assert (again.cases, again.items, again.quizzes) == (0, 0, 0)


def test_only_an_empty_bank_takes_in_what_lies_in_its_folder(starter, monkeypatch):
    monkeypatch.setenv("MEDDIFF_CASEBANK", str(starter.parent))
    settings.cache_clear()
    try:
        came = take_in_once()
        assert came is not None and came.cases == 3
        assert take_in_once() is None
        bank = Bank()
        for entry in bank.find(Search()).entries:
            bank.delete(entry.case.id)
        assert take_in_once() is None  # they were deleted by somebody
    finally:
        settings.cache_clear()


def test_where_none_lies_nothing_happens_or_it_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDDIFF_CASEBANK", str(tmp_path / "bank"))
    settings.cache_clear()
    try:
        assert take_in_once() is None and not (tmp_path / "bank").exists()
    finally:
        settings.cache_clear()
    with pytest.raises(MedDiffError, match="There is no starter bank in"):
        take_in(tmp_path, Bank(tmp_path / "b"), Questions(tmp_path / "b"))


def test_every_disease_is_asked_for_in_every_plane_sooner_or_later():
    asked = sentences()
    some = [next(asked) for _ in range(400)]
    assert sum("no focal lesion" in sentence for sentence in some) in range(40, 70)
    for plane in ("Axial", "Coronal", "Sagittal"):
        assert any(sentence.startswith(plane) and "metastasis" in sentence for sentence in some)


@pytest.mark.shipped_pack
def test_the_starter_that_ships_is_whole(tmp_path):
    bank, questions = Bank(tmp_path), Questions(tmp_path)
    came = take_in(SHIPPED, bank, questions)
    assert came.cases >= 60 and came.quizzes >= 3 and came.refused == ()
    assert all(entry.waiting == () for entry in list_quizzes(questions))
    known = {entry.case.id for entry in bank.find(Search(limit=500)).entries}
    assert {case for item in read_item_file(SHIPPED / ITEMS) for case in item.cases} <= known
