"""An exported bank holds the questions and quizzes of its cases; another bank gets them as they were, and what is there wins."""

import pytest

from meddiff.bank import Bank, Search
from meddiff.bank.archive import export_bank, import_bank
from meddiff.teaching.archive import export_with_questions, import_with_questions
from meddiff.teaching.item import State
from meddiff.teaching.learner import new_learner
from meddiff.teaching.quiz import Quiz, list_quizzes, new_quiz_id, open_quiz, save_quiz, sit
from meddiff.teaching.store import Questions
from tests.exchange.series_support import series_of
from tests.teaching.store_support import approve, made


@pytest.fixture(scope="module")
def visits():
    return series_of(2)[0]


@pytest.fixture
def here(visits, tmp_path):
    """A bank of two cases: an approved question in two versions and a draft on the first, one on both; a quiz in two versions."""
    bank, questions = Bank(tmp_path / "here"), Questions(tmp_path / "here")
    for visit in visits:
        bank.keep(visit)
    one, two = (visit.case.id for visit in visits)
    items = approve(
        questions, [made(1, cases=(one,), difficulty=0.3), made(2, cases=(one,), seed=1), made(3, cases=(one, two))]
    )
    questions.edit([items[0].model_copy(update={"stem": "What is it?"})], "Ann", "shorter")
    questions.approve(items[0].id, "Ann")
    questions.set_difficulties({items[0].id: 0.45})
    questions.retire(items[1].id, "Bob", "too easy")
    quiz = save_quiz(questions, Quiz(id=new_quiz_id(), title="Rings", items=(items[0].id,)), "Ann")
    quiz = save_quiz(questions, quiz.model_copy(update={"items": (items[0].id, items[2].id)}), "Ann")
    new_learner(questions)
    return bank, questions, items, quiz


def test_questions_and_quizzes_come_as_they_were_with_their_versions_states_and_history(here, tmp_path):
    bank, questions, items, quiz = here
    out, gone = export_with_questions(bank, questions, tmp_path / "bank.zip")
    assert (out.cases, len(gone.items), len(gone.quizzes)) == (2, 3, 1)

    there, asked = Bank(tmp_path / "there"), Questions(tmp_path / "there")
    came, taken = import_with_questions(there, asked, tmp_path / "bank.zip", "Eve")
    assert (
        len(came.new) == 2
        and str(taken) == "3 new questions, 0 were there; 1 new quiz, 0 were there"
        and not taken.refused
    )
    for item in items:
        assert asked.item(item.id) == questions.item(item.id)
        assert asked.history(item.id)[:-1] == questions.history(item.id)
        assert (asked.history(item.id)[-1].what, asked.history(item.id)[-1].who) == ("imported", "Eve")
    assert asked.item(items[0].id, 1) == questions.item(items[0].id, 1)
    assert asked.predictions() == questions.predictions()
    assert open_quiz(asked, quiz.id) == quiz and open_quiz(asked, quiz.id, 1) == open_quiz(questions, quiz.id, 1)
    assert len(sit(asked, new_learner(asked).id, quiz.id).items) == 2
    again = import_with_questions(there, asked, tmp_path / "bank.zip")[1]
    assert str(again) == "0 new questions, 3 were there; 0 new quizzes, 1 were there"


def test_only_questions_whose_cases_all_go_travel_and_the_bank_alone_reads_the_file(here, visits, tmp_path):
    bank, questions, items, _ = here
    _, gone = export_with_questions(bank, questions, tmp_path / "one.zip", Search(text=visits[0].case.id))
    assert {one.id for one in gone.items} == {items[0].id, items[1].id} and gone.quizzes == ()
    assert len(import_bank(Bank(tmp_path / "bare"), tmp_path / "one.zip").new) == 1
    export_bank(bank, tmp_path / "cases.zip")
    there = Bank(tmp_path / "there")
    _, taken = import_with_questions(there, Questions(tmp_path / "there"), tmp_path / "cases.zip")
    assert str(taken) == "no questions in the file"


def test_what_was_edited_here_stays_and_what_is_older_here_gets_the_later_versions(here, tmp_path):
    bank, questions, items, quiz = here
    export_with_questions(bank, questions, tmp_path / "old.zip")
    there, asked = Bank(tmp_path / "there"), Questions(tmp_path / "there")
    import_with_questions(there, asked, tmp_path / "old.zip")

    # They edit one question, we edit another: each keeps its own later words.
    theirs = asked.edit([asked.item(items[2].id).model_copy(update={"stem": "Which of the two?"})], "Eve")[0]
    ours = questions.edit([questions.item(items[0].id).model_copy(update={"stem": "And now?"})], "Ann")[0]
    questions.approve(ours.id, "Ann")
    save_quiz(questions, quiz.model_copy(update={"title": "Rings again"}), "Ann")
    export_with_questions(bank, questions, tmp_path / "new.zip")
    _, taken = import_with_questions(there, asked, tmp_path / "new.zip")
    assert (taken.items_newer, taken.items_there, taken.quizzes_newer) == (1, 2, 1)
    assert asked.item(theirs.id).stem == "Which of the two?" and asked.item(theirs.id).state is State.DRAFT
    assert asked.item(ours.id) == questions.item(ours.id)
    assert list_quizzes(asked)[0].quiz.title == "Rings again"

    # Both edited the same one: nothing is overwritten.
    asked.edit([asked.item(ours.id).model_copy(update={"stem": "Ours differs."})], "Eve")
    questions.edit([questions.item(ours.id).model_copy(update={"stem": "So does ours."})], "Ann")
    export_with_questions(bank, questions, tmp_path / "newer.zip")
    assert import_with_questions(there, asked, tmp_path / "newer.zip")[1].items_there == 3
    assert asked.item(ours.id).stem == "Ours differs."
