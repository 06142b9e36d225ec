"""Only a question whose cases lie whole and accepted in the bank can be approved; one whose case goes later is held back."""

import pytest

from meddiff.bank import Bank, Review
from meddiff.case import MedDiffError
from meddiff.teaching.approval import approve
from meddiff.teaching.blueprint import Blueprint, blueprint_of, build_quiz
from meddiff.teaching.item import State
from meddiff.teaching.learner import new_learner
from meddiff.teaching.practice import next_turn
from meddiff.teaching.quiz import list_quizzes, save_quiz, sit
from meddiff.teaching.store import Questions
from tests.exchange.series_support import series_of
from tests.teaching.store_support import made


@pytest.fixture(scope="module")
def visits():
    return series_of(2)[0]


@pytest.fixture
def rooms(visits, tmp_path):
    """A bank with two cases and a store with a draft on each."""
    bank, questions = Bank(tmp_path), Questions(tmp_path)
    for visit in visits:
        bank.keep(visit)
    items = [made(n, cases=(visit.case.id,)) for n, visit in enumerate(visits)]
    questions.add(items)
    return bank, questions, items


def test_a_case_that_is_missing_deleted_rejected_or_damaged_keeps_its_question_from_approval(rooms):
    bank, questions, (one, two) = rooms
    questions.add([lost := made(9)])
    bank.delete(one.cases[0])
    for item, why in ((lost, "the bank has no case"), (one, "was deleted: bring it back")):
        with pytest.raises(MedDiffError, match=why):
            approve(questions, bank, [two.id, item.id], "Ann")
    assert questions.item(two.id).state is State.DRAFT  # all or none
    bank.restore(one.cases[0])
    bank.review(one.cases[0], Review.REJECTED, "Bob", "blurred")
    with pytest.raises(MedDiffError, match=r"rejected by Bob \(blurred\)"):
        approve(questions, bank, [one.id], "Ann")
    bank.review(one.cases[0], Review.DRAFT, "Bob", "looked again")
    assert approve(questions, bank, [one.id], "Ann")[0].state is State.APPROVED

    version = bank.versions(two.cases[0])[-1]
    path = next(bank.folder.rglob(f"{version.image}*"))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(MedDiffError, match="is damaged"):
        approve(questions, bank, [two.id], "Ann")


def test_learners_do_not_see_a_question_while_its_case_is_out_of_use(rooms):
    bank, questions, (one, two) = rooms
    approve(questions, bank, [one.id, two.id], "Ann")
    quiz = save_quiz(questions, build_quiz(questions, Blueprint(number=2)))
    learner = new_learner(questions).id
    bank.review(one.cases[0], Review.REJECTED, "Bob", "blurred")
    assert questions.held_back() == (one.id,)
    assert next_turn(questions, learner).item.id == two.id
    assert next_turn(questions, learner, without={two.id}) is None  # its picture cannot be shown either
    assert [item.id for item in sit(questions, learner, quiz.id).items] == [two.id]
    assert list_quizzes(questions)[0].waiting == (one.id,)
    assert blueprint_of(questions, quiz).held_back == (one.id,)
    with pytest.raises(MedDiffError, match="1 approved item"):
        build_quiz(questions, Blueprint(number=2))

    bank.review(one.cases[0], Review.APPROVED, "Bob", "fine after all")
    assert questions.held_back() == () and len(sit(questions, learner, quiz.id).items) == 2
