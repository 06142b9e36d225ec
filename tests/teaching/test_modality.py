"""Quizzes and practice can be of one modality, as the cases in the bank have it, or of one difficulty."""

import pytest

from meddiff.bank import Bank
from meddiff.case import MedDiffError
from meddiff.marking import SealedCase
from meddiff.teaching.blueprint import Blueprint, bands_of, blueprint_of, build_quiz
from meddiff.teaching.learner import new_learner
from meddiff.teaching.practice import next_turn, outlook
from meddiff.teaching.store import ItemSearch, Questions
from meddiff.web.practice import modalities_of, to_do, wanted_of
from tests.exchange.series_support import series_of
from tests.teaching.store_support import approve, made


@pytest.fixture
def store(tmp_path) -> Questions:
    """An easy question on an MR case and a hard one on a CT case."""
    mr, ct = series_of(2)[0]
    findings = ct.case.request.findings.model_copy(update={"modality": "CT"})
    case = ct.case.model_copy(update={"request": ct.case.request.model_copy(update={"findings": findings})})
    bank, questions = Bank(tmp_path), Questions(tmp_path)
    for sealed in (mr, SealedCase(case, ct.image, ct.twin, ct.mask)):
        bank.keep(sealed)
    approve(questions, [made(1, cases=(mr.case.id,), difficulty=0.2), made(2, cases=(case.id,), difficulty=0.8)])
    return questions


def test_a_quiz_of_one_modality_has_no_other_and_its_table_says_so(store):
    quiz = build_quiz(store, Blueprint(number=1, modality="CT"))
    (item,) = store.items(quiz.items)
    assert item.difficulty == 0.8
    assert [(count.name, count.items) for count in blueprint_of(store, quiz).modalities] == [("CT", 1)]
    with pytest.raises(MedDiffError, match=r"1 approved item with a lesion on CT"):
        build_quiz(store, Blueprint(number=2, modality="CT"))
    assert store.find(ItemSearch(modality="PT")).total == 0


def test_a_learner_can_practise_one_modality_or_one_difficulty(store):
    assert modalities_of(store) == ["CT", "MR"] and bands_of(store) == ["easy", "hard"]
    words = dict(to_do(store, modalities_of(store)))
    learner = new_learner(store).id
    for choice, difficulty in (
        ("Practice, CT only", 0.8),
        ("Practice, MR only", 0.2),
        ("Practice, hard questions", 0.8),
        ("Practice, easy questions", 0.2),
    ):
        wanted = wanted_of(words[choice])
        assert next_turn(store, learner, wanted=wanted).item.difficulty == difficulty
        assert outlook(store, learner, wanted=wanted).new == 1
    assert outlook(store, learner, wanted=wanted_of("")).new == 2
