"""Practice brings an item back when it is about to be forgotten, and goes on where it was."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
from fsrs import Card, Rating, Scheduler

from meddiff.case import MedDiffError
from meddiff.teaching.blueprint import EXPECTED_SECONDS
from meddiff.teaching.item import Kind
from meddiff.teaching.learner import LearnerData, export_learner, new_learner
from meddiff.teaching.practice import answer_turn, next_turn, outlook, progress, rating_of
from meddiff.teaching.store import Questions
from tests.teaching.store_support import answer_to, approve, made

START = datetime(2026, 3, 2, 9, tzinfo=UTC)
EXPECTED = EXPECTED_SECONDS[Kind.DIAGNOSIS]


@pytest.fixture
def learner(questions):
    return new_learner(questions).id


def after(**time) -> datetime:
    return START + timedelta(**time)


def turn(questions, learner, at, **changes):
    """Opens the next item and answers it; its id and what came of it."""
    item = next_turn(questions, learner, at=at).item
    return item.id, answer_turn(questions, answer_to(item, learner, **changes), at)


WRONG = {"credit": 0.0, "right": False}


@pytest.mark.parametrize(
    ("credit", "right", "confidence", "seconds", "rating"),
    [
        (0.0, False, None, None, Rating.Again),
        (0.7, False, 5, 1.0, Rating.Again),  # partly right is not right
        (1.0, True, None, None, Rating.Good),
        (0.8, True, 3, EXPECTED, Rating.Good),
        (0.79, True, 5, 1.0, Rating.Hard),
        (1.0, True, 2, 1.0, Rating.Hard),
        (1.0, True, 1, None, Rating.Hard),
        (1.0, True, 5, 2 * EXPECTED + 1, Rating.Hard),
        (1.0, True, 5, 2 * EXPECTED, Rating.Good),
        (1.0, True, 5, EXPECTED / 2, Rating.Easy),
        (1.0, True, 5, EXPECTED / 2 + 1, Rating.Good),
        (1.0, True, 4, 1.0, Rating.Good),
        (1.0, True, 5, None, Rating.Good),
        (1.0, True, None, 1.0, Rating.Good),
    ],
)
def test_the_rating_follows_the_table(credit, right, confidence, seconds, rating):
    assert rating_of(Kind.DIAGNOSIS, credit, right, confidence, seconds) is rating


def test_the_days_are_those_that_fsrs_says(questions, learner):
    (item,) = approve(questions, [made(1)])
    scheduler, card, at = Scheduler(enable_fuzzing=False), Card(card_id=1, due=START), START
    for changes, rating in (
        ({}, Rating.Good),
        ({}, Rating.Good),
        ({"confidence": 2}, Rating.Hard),
        (WRONG, Rating.Again),
    ):
        _, reviewed = turn(questions, learner, at, **changes)
        card, _ = scheduler.review_card(card, rating, at)
        assert reviewed.rating == rating.name.lower()
        assert datetime.fromisoformat(reviewed.due) == card.due
        at = card.due
    (kept,) = LearnerData.model_validate_json(export_learner(questions, learner)).practice
    own = Card.from_dict(kept.card)  # fsrs's own JSON
    assert (own.stability, own.difficulty, own.state) == (card.stability, card.difficulty, card.state)
    assert kept.item == item.id and kept.reviews == 4


def test_what_is_due_comes_before_what_is_new_and_the_longest_due_first(questions, learner):
    approve(questions, [made(number) for number in range(4)])
    first, _ = turn(questions, learner, START, **WRONG)
    second, _ = turn(questions, learner, after(seconds=10), **WRONG)
    third, _ = turn(questions, learner, after(seconds=20))
    assert len({first, second, third}) == 3
    order = [turn(questions, learner, after(minutes=30, seconds=n))[0] for n in range(4)]
    assert order[:3] == [first, second, third] and order[3] not in order[:3]


def test_when_nothing_is_due_or_new_there_is_no_turn_and_the_outlook_says_when(questions, learner):
    approve(questions, [made(1)])
    assert outlook(questions, learner, at=START).new == 1
    _, reviewed = turn(questions, learner, START)
    assert next_turn(questions, learner, at=after(seconds=1)) is None
    told = outlook(questions, learner, at=after(seconds=1))
    assert (told.due, told.new, told.next_due) == (0, 0, reviewed.due)
    assert outlook(questions, learner, at=after(days=9)).due == 1


def test_the_open_item_is_there_again_after_a_restart(questions, url, learner):
    approve(questions, [made(number) for number in range(5)])
    opened = next_turn(questions, learner, at=START)
    questions.engine.dispose()
    again = Questions(url)
    assert next_turn(again, learner, at=after(hours=5)) == opened
    answer_turn(again, answer_to(opened.item, learner), after(hours=5))
    assert next_turn(again, learner, at=after(hours=5)).item.id != opened.item.id
    again.engine.dispose()


def test_an_open_item_that_was_edited_or_retired_is_put_away(questions, learner):
    one, two = approve(questions, [made(1), made(2)])
    first = next_turn(questions, learner, at=START).item
    questions.edit([first.model_copy(update={"stem": "What is it?"})], "Ann")
    second = next_turn(questions, learner, at=START).item
    assert {first.id, second.id} == {one.id, two.id}
    questions.retire(second.id, "Ann")
    assert next_turn(questions, learner, at=START) is None
    questions.approve(first.id, "Ann")
    assert next_turn(questions, learner, at=START).item.stem == "What is it?"


def test_wishes_choose_among_due_and_new(questions, learner):
    approve(questions, [made(1, pathology="glioma"), made(2, pathology="meningioma"), made(3, pathology="")])
    for wish in ("meningioma", "glioma", ""):
        assert next_turn(questions, learner, [wish], START).item.pathology == wish  # what was open is put away
    answer_turn(questions, answer_to(next_turn(questions, learner, [""], START).item, learner, **WRONG), START)
    later = after(hours=1)
    assert next_turn(questions, learner, ["glioma", "meningioma"], later).item.pathology
    assert outlook(questions, learner, ["glioma", ""], later).model_dump(exclude={"next_due"}) == {"due": 1, "new": 1}
    assert next_turn(questions, learner, ["chordoma"], later) is None


def test_new_items_come_in_an_order_of_each_learners_own(questions):
    approve(questions, [made(number) for number in range(12)])
    firsts = {next_turn(questions, new_learner(questions).id, at=START).item.id for _ in range(12)}
    assert len(firsts) > 3


def test_a_case_whose_feedback_was_just_read_rests(questions, learner):
    approve(questions, [made(number, kind) for number in range(4) for kind in (Kind.DIAGNOSIS, Kind.LOCATION)])
    items = questions.items(
        [turn(questions, learner, after(seconds=n), confidence=5, seconds=1.0)[0] for n in range(4)]
    )
    assert len({item.cases for item in items}) == 4
    assert turn(questions, learner, after(seconds=5))[0] not in {item.id for item in items}  # better than nothing


def test_the_same_answer_sent_twice_is_reviewed_once(questions, learner):
    (item,) = approve(questions, [made(1)])
    next_turn(questions, learner, at=START)
    answer = answer_to(item, learner)
    first = answer_turn(questions, answer, START)
    again = answer_turn(questions, answer, after(seconds=2))
    assert first.receipt.new and not again.receipt.new and again.receipt.given == first.receipt.given
    assert LearnerData.model_validate_json(export_learner(questions, learner)).practice[0].reviews == 1


def test_of_many_tabs_all_answers_are_kept_and_one_is_reviewed(questions, learner):
    (item,) = approve(questions, [made(1)])
    opened, ratings, gate = [], [], threading.Barrier(6)

    def tab():
        gate.wait(30)
        opened.append(next_turn(questions, learner, at=START))
        gate.wait(30)
        ratings.append(answer_turn(questions, answer_to(item, learner), START).rating)

    threads = [threading.Thread(target=tab) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 6 and all(turn == opened[0] for turn in opened)
    assert sorted(ratings) == [""] * 5 + ["good"]
    assert len(questions.answers()) == 6
    assert LearnerData.model_validate_json(export_learner(questions, learner)).practice[0].reviews == 1


def test_practice_takes_no_answer_of_a_quiz_and_of_no_stranger(questions, learner):
    (item,) = approve(questions, [made(1)])
    with pytest.raises(MedDiffError, match="of a quiz"):
        answer_turn(questions, answer_to(item, learner, quiz="QZ-000000000000", quiz_version=1))
    with pytest.raises(MedDiffError, match="not known"):
        answer_turn(questions, answer_to(item, "LR-0000000000000000"))


def test_progress_has_rows_by_pathology_and_by_day(questions, learner):
    approve(questions, [made(1, pathology="glioma"), made(2, pathology="")])
    stranger = new_learner(questions).id
    turn(questions, stranger, START)

    def practise(wish, at, **changes):
        item = next_turn(questions, learner, [wish], at).item
        answer_turn(questions, answer_to(item, learner, **changes), at)

    practise("glioma", START, confidence=2, seconds=10.0, **WRONG)
    practise("", START, seconds=5.0)
    practise("glioma", after(days=1), confidence=4, credit=0.5)
    told = progress(questions, learner, after(days=1))
    assert [row.pathology for row in told.by_pathology] == ["", "glioma"]
    glioma = told.by_pathology[1]
    assert (glioma.answers, glioma.right, glioma.credit, glioma.confidence, glioma.seconds) == (2, 1, 0.25, 3, 10)
    assert (glioma.practised, glioma.due) == (1, 0)
    assert told.by_pathology[0].confidence is None and told.by_pathology[0].due == 1
    assert [(row.day, row.pathology, row.answers, row.right, row.credit) for row in told.by_day] == [
        ("2026-03-02", "", 1, 1, 1.0),
        ("2026-03-02", "glioma", 1, 0, 0.0),
        ("2026-03-03", "glioma", 1, 1, 0.5),
    ]
    later = progress(questions, learner, after(days=30)).by_pathology[1]
    assert 0 < later.recall < glioma.recall <= 1
    assert progress(questions, new_learner(questions).id).by_day == ()
