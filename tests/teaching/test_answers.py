"""Answers: none is lost, none is counted twice, however many come at once."""

import json
import sqlite3
import threading
import time

import pytest
from sqlalchemy import event, func, select

from meddiff.case import MedDiffError
from meddiff.teaching import store
from meddiff.teaching.answers import LONGEST_SECONDS, Answers
from meddiff.teaching.learner import erase_learner, new_learner
from meddiff.teaching.quiz import Quiz, new_quiz_id, save_quiz
from meddiff.teaching.tables import AnswerRow
from tests.teaching.store_support import answer_to, approve, made

THREADS, EACH = 20, 5


def kept(questions):
    return questions.read(lambda session: session.scalar(select(func.count()).select_from(AnswerRow)))


def together(act, numbers):
    """Runs `act(number)` in a thread each, all at once; returns what went wrong."""
    failed, gate = [], threading.Barrier(len(numbers))

    def run(number):
        try:
            gate.wait(30)
            act(number)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in numbers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failed


def test_an_answer_comes_back_as_it_was_given(questions):
    (item,) = approve(questions, [made(1)])
    learner = new_learner(questions).id
    answer = answer_to(item, learner, credit=0.5, right=False, confidence=2, seconds=12.5, answer='{"outline":[[1,2]]}')
    receipt = questions.answer(answer)
    assert receipt.new
    (given,) = questions.answers()
    assert given == receipt.given and given.answer == answer and given.at


def test_the_same_answer_sent_twice_is_one(questions):
    (item,) = approve(questions, [made(1)])
    learner, other = new_learner(questions).id, new_learner(questions).id
    first = questions.answer(answer_to(item, learner, token="token-of-one"))
    again = questions.answer(answer_to(item, learner, token="token-of-one", credit=0.0, right=False))
    assert not again.new and again.given == first.given
    assert questions.answer(answer_to(item, other, token="token-of-one")).new  # tokens are each learner's own
    assert len(questions.answers()) == 2


def test_a_class_that_answers_at_once_loses_nothing(questions):
    items = approve(questions, [made(number) for number in range(EACH)])
    learners = [new_learner(questions).id for _ in range(THREADS)]

    def act(number):
        for item in items:
            assert questions.answer(answer_to(item, learners[number])).new

    assert together(act, range(THREADS)) == []
    assert kept(questions) == THREADS * EACH
    for learner in learners:
        assert {given.answer.item for given in questions.answers(Answers(learner=learner))} == {i.id for i in items}


def test_one_answer_that_twenty_connections_send_at_once_is_one(questions):
    (item,) = approve(questions, [made(1)])
    answer, new = answer_to(item, new_learner(questions).id), []
    assert together(lambda number: new.append(questions.answer(answer).new), range(THREADS)) == []
    assert sorted(new) == [False] * (THREADS - 1) + [True]
    assert kept(questions) == 1


@pytest.fixture
def impatient(tmp_path):
    """A store whose SQLite waits not at all by itself, and its file."""
    questions = store.Questions(tmp_path)

    @event.listens_for(questions.engine, "connect")
    def _hurry(connection, _record):
        connection.execute("PRAGMA busy_timeout=0")

    return questions, tmp_path / "bank.sqlite"


def locked(path):
    """A connection that holds the write lock of a database."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("BEGIN IMMEDIATE")
    return connection


def test_an_answer_waits_for_a_locked_database(impatient):
    questions, path = impatient
    (item,) = approve(questions, [made(1)])
    answer = answer_to(item, new_learner(questions).id)
    other = locked(path)
    release = threading.Timer(0.5, other.rollback)
    release.start()
    began = time.monotonic()
    assert questions.answer(answer).new
    assert time.monotonic() - began > 0.4
    release.join()
    other.close()


def test_a_database_that_stays_locked_is_told_after_a_bounded_wait(impatient, monkeypatch):
    monkeypatch.setattr(store, "WAIT_SECONDS", 0.3)
    questions, path = impatient
    (item,) = approve(questions, [made(1)])
    answer = answer_to(item, new_learner(questions).id)
    other = locked(path)
    with pytest.raises(MedDiffError, match=r"did not answer: database is locked\. Nothing was changed"):
        questions.answer(answer)
    other.rollback()
    other.close()
    assert questions.answer(answer).new


def test_threads_write_in_the_order_in_which_they_came():
    turns, came = store._Turns(60), []

    def act(number):
        with turns:
            came.append(number)

    threads = [threading.Thread(target=act, args=(number,)) for number in range(8)]
    with turns:
        for number, thread in enumerate(threads, 1):
            thread.start()
            while len(turns._queue) <= number:
                time.sleep(0.001)
    for thread in threads:
        thread.join()
    assert came == list(range(8))


def test_a_thread_whose_turn_does_not_come_gives_up_and_blocks_nobody():
    turns, told = store._Turns(0.05), []

    def act():
        try:
            with turns:
                told.append("wrote")
        except MedDiffError as error:
            told.append(str(error))

    with turns:
        late = threading.Thread(target=act)
        late.start()
        late.join(30)
    act()
    assert told[0].endswith("nothing was changed, try again.") and told[1:] == ["wrote"]


def test_only_what_was_once_approved_can_be_answered(questions):
    questions.add([made(1)])
    learner = new_learner(questions).id
    with pytest.raises(MedDiffError, match="never approved"):
        questions.answer(answer_to(made(1), learner))
    item = questions.approve(made(1).id, "Ann")
    (edited,) = questions.edit([item.model_copy(update={"stem": "What is it?"})], "Ann")
    assert questions.answer(answer_to(item, learner)).new  # it was shown when it was edited
    with pytest.raises(MedDiffError, match="Version 2 .* never approved"):
        questions.answer(answer_to(edited, learner))


def test_an_answer_in_a_quiz_is_to_an_item_of_that_quiz(questions):
    inside, outside = approve(questions, [made(1), made(2)])
    quiz = save_quiz(questions, Quiz(id=new_quiz_id(), title="Heads", items=(inside.id,)))
    learner = new_learner(questions).id
    asked = {"quiz": quiz.id, "quiz_version": 1}
    assert questions.answer(answer_to(inside, learner, **asked)).new
    for changes in ({"item": outside.id}, {"quiz_version": 2}, {"quiz": new_quiz_id()}):
        with pytest.raises(MedDiffError, match="load the quiz again"):
            questions.answer(answer_to(inside, learner, **{**asked, **changes}))
    with pytest.raises(ValueError, match="a quiz with its version, or neither"):
        answer_to(inside, learner, quiz=quiz.id)


def test_an_unknown_learner_is_told(questions):
    (item,) = approve(questions, [made(1)])
    with pytest.raises(MedDiffError, match="learner is not known"):
        questions.answer(answer_to(item, "LR-0000000000000000"))


def test_answers_are_found_by_what_they_belong_to(questions):
    one, two = approve(questions, [made(1), made(2)])
    ann, bob = new_learner(questions).id, new_learner(questions).id
    quiz = save_quiz(questions, Quiz(id=new_quiz_id(), title="Heads", items=(one.id, two.id)))
    asked = {"quiz": quiz.id, "quiz_version": 1}
    told = [
        answer_to(one, ann),
        answer_to(one, ann, right=False, credit=0),
        answer_to(one, ann, **asked),
        answer_to(two, bob, **asked),
        answer_to(two, bob, **asked),
    ]
    for answer in told:
        questions.answer(answer)
    for wanted, numbers in (
        (Answers(), [0, 1, 2, 3, 4]),
        (Answers(learner=ann), [0, 1, 2]),
        (Answers(item=two.id), [3, 4]),
        (Answers(quiz=quiz.id), [2, 3, 4]),
        (Answers(practice=True), [0, 1]),
        (Answers(practice=False, item=one.id), [2]),
        (Answers(first=True), [0, 2, 3]),
        (Answers(item=one.id, version=2), []),
    ):
        assert [given.answer for given in questions.answers(wanted)] == [told[number] for number in numbers], wanted


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"credit": 1.01}, "less than or equal to 1"),
        ({"credit": float("nan")}, "credit"),
        ({"confidence": 6}, "less than or equal to 5"),
        ({"seconds": float("inf")}, "finite"),
        ({"answer": "{"}, "an answer is JSON"),
        ({"answer": "[NaN]"}, "no number of JSON"),
        ({"answer": '"' + "a" * 200_000 + '"'}, "at most 200000"),
        ({"token": "short"}, "pattern"),
    ],
)
def test_an_answer_out_of_range_is_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        answer_to(made(1), "LR-0000000000000000", **changes)


def test_a_page_left_open_overnight_counts_as_a_day(questions):
    assert answer_to(made(1), "LR-0000000000000000", seconds=1e9).seconds == LONGEST_SECONDS


def test_signs_that_no_database_keeps_come_back(questions):
    (item,) = approve(questions, [made(1)])
    learner = new_learner(questions).id
    told = {"text": "\0 \ud800 胶质瘤 🧠"}
    questions.answer(answer_to(item, learner, answer=json.dumps(told)))
    assert json.loads(questions.answers()[0].answer.answer) == told


def test_an_answer_and_an_erasure_at_once_leave_no_answer_without_a_learner(questions):
    (item,) = approve(questions, [made(1)])
    learners = [new_learner(questions).id for _ in range(4)]

    def act(number):
        learner = learners[number % 4]
        if number < 4:
            erase_learner(questions, learner)
        else:
            try:
                questions.answer(answer_to(item, learner))
            except MedDiffError as error:
                assert "not known" in str(error)

    assert together(act, range(16)) == []
    assert kept(questions) == 0
