"""Quizzes: kept with every version, and put before learners in what is approved of them."""

import threading

import pytest

from meddiff.case import MedDiffError
from meddiff.teaching.learner import new_learner
from meddiff.teaching.quiz import (
    Quiz,
    QuizSettings,
    copy_quiz,
    delete_quiz,
    list_quizzes,
    new_quiz_id,
    open_quiz,
    order_for,
    restore_quiz,
    save_quiz,
    sit,
)
from tests.teaching.store_support import answer_to, approve, made


def quiz_of(items, /, **changes) -> Quiz:
    return Quiz.model_validate(
        {"id": new_quiz_id(), "title": "Heads", "items": tuple(item.id for item in items), **changes}
    )


@pytest.fixture
def items(questions):
    return approve(questions, [made(number) for number in range(6)])


def test_a_quiz_comes_back_as_it_was_saved(questions, items):
    quiz = quiz_of(items[::-1], settings=QuizSettings(shuffle=True, seconds=600, language="zh"))
    assert save_quiz(questions, quiz, "Ann") == quiz
    assert open_quiz(questions, quiz.id) == quiz


def test_each_change_is_a_version_and_the_same_again_is_none(questions, items):
    first = save_quiz(questions, quiz_of(items))
    second = save_quiz(questions, first.model_copy(update={"title": "Six heads"}))
    assert second.version == 2 and save_quiz(questions, second) == second
    assert open_quiz(questions, first.id) == second
    assert open_quiz(questions, first.id, 1) == first
    with pytest.raises(MedDiffError, match="no version 3"):
        open_quiz(questions, first.id, 3)


def test_who_saves_over_what_somebody_else_saved_is_told(questions, items):
    first = save_quiz(questions, quiz_of(items))
    save_quiz(questions, first.model_copy(update={"title": "Six heads"}), "Ann")
    with pytest.raises(MedDiffError, match="saved by Ann and is now version 2"):
        save_quiz(questions, first.model_copy(update={"title": "My heads"}), "Bob")


def test_of_two_who_save_at_once_one_is_told(questions, items):
    first, told = save_quiz(questions, quiz_of(items)), []

    def save(title):
        try:
            save_quiz(questions, first.model_copy(update={"title": title}))
        except MedDiffError as error:
            told.append(str(error))

    threads = [threading.Thread(target=save, args=(f"Heads {number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == 3 and open_quiz(questions, first.id).version == 2


def test_a_copy_is_a_quiz_of_its_own(questions, items):
    quiz = save_quiz(questions, quiz_of(items, settings=QuizSettings(seconds=60)))
    copy = copy_quiz(questions, quiz.id)
    assert copy.id != quiz.id and (copy.title, copy.version) == ("Copy of Heads", 1)
    assert (copy.items, copy.settings) == (quiz.items, quiz.settings)
    assert copy_quiz(questions, quiz.id, title="Autumn").title == "Autumn"
    delete_quiz(questions, quiz.id)
    assert {entry.quiz.title for entry in list_quizzes(questions)} == {"Copy of Heads", "Autumn"}


def test_a_deleted_quiz_is_out_of_sight_until_it_is_restored(questions, items):
    quiz = save_quiz(questions, quiz_of(items))
    delete_quiz(questions, quiz.id, "Ann")
    assert list_quizzes(questions) == ()
    assert [entry.who for entry in list_quizzes(questions, deleted=True)] == ["Ann"]
    for act in (open_quiz, delete_quiz, copy_quiz):
        with pytest.raises(MedDiffError, match="was deleted on"):
            act(questions, quiz.id)
    with pytest.raises(MedDiffError, match="was deleted on"):
        save_quiz(questions, quiz)
    restore_quiz(questions, quiz.id)
    assert open_quiz(questions, quiz.id) == quiz
    with pytest.raises(MedDiffError, match="no quiz 'QZ-000000000000'"):
        restore_quiz(questions, "QZ-000000000000")


def test_a_list_has_the_newest_first_and_says_what_waits(questions, items):
    save_quiz(questions, quiz_of(items, title="Old heads"))
    save_quiz(questions, quiz_of(items[:2], title="New heads"))
    questions.edit([items[5].model_copy(update={"stem": "What is it?"})], "Ann")
    assert [(entry.quiz.title, entry.waiting) for entry in list_quizzes(questions)] == [
        ("New heads", ()),
        ("Old heads", (items[5].id,)),
    ]
    assert [entry.quiz.title for entry in list_quizzes(questions, "OLD")] == ["Old heads"]


def test_a_quiz_names_items_that_are_there_and_not_retired(questions, items):
    with pytest.raises(MedDiffError, match="no item"):
        save_quiz(questions, quiz_of([made(99)]))
    questions.retire(items[0].id, "Ann")
    with pytest.raises(MedDiffError, match="is retired: take it out"):
        save_quiz(questions, quiz_of(items))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"items": ()}, "at least 1"),
        ({"items": ("IT-1", "IT-2", "IT-1")}, "IT-1 stands in it twice"),
        ({"title": " \n "}, "has a title"),
        ({"id": "QZ-1"}, "pattern"),
        ({"settings": {"seconds": 5}}, "greater than or equal to 10"),
    ],
)
def test_a_quiz_that_cannot_be_put_is_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        quiz_of([made(1)], **changes)


def test_a_shuffled_quiz_has_an_order_for_each_learner_that_stays(items):
    quiz = quiz_of(items, settings=QuizSettings(shuffle=True))
    orders = {order_for(quiz, f"LR-{number}") for number in range(20)}
    assert len(orders) > 10 and all(sorted(order) == sorted(quiz.items) for order in orders)
    assert order_for(quiz, "LR-1") == order_for(quiz, "LR-1")
    assert order_for(quiz_of(items), "LR-1") == tuple(item.id for item in items)


def test_a_learner_goes_on_where_they_were_after_a_reload(questions, items):
    quiz = save_quiz(questions, quiz_of(items, settings=QuizSettings(shuffle=True, seconds=600)))
    learner, other = new_learner(questions).id, new_learner(questions).id
    sheet = sit(questions, learner, quiz.id)
    assert sheet.answered == () and sheet.ends > sheet.began
    second = sheet.items[1]
    questions.answer(answer_to(second, learner, quiz=quiz.id, quiz_version=1))
    questions.answer(answer_to(sheet.items[2], other, quiz=quiz.id, quiz_version=1))
    questions.answer(answer_to(sheet.items[3], learner))
    assert sit(questions, learner, quiz.id) == sheet.model_copy(update={"answered": (second.id,)})


def test_a_learner_goes_on_with_the_version_they_began(questions, items):
    quiz = save_quiz(questions, quiz_of(items[:3]))
    learner = new_learner(questions).id
    sit(questions, learner, quiz.id)
    save_quiz(questions, quiz.model_copy(update={"items": tuple(item.id for item in items[3:])}))
    assert sit(questions, learner, quiz.id).quiz == quiz
    assert sit(questions, new_learner(questions).id, quiz.id).quiz.version == 2


def test_a_learner_sees_only_what_is_approved(questions, items):
    quiz = save_quiz(questions, quiz_of(items[:2]))
    learner = new_learner(questions).id
    questions.edit([items[0].model_copy(update={"stem": "What is it?"})], "Ann")
    assert [item.id for item in sit(questions, learner, quiz.id).items] == [items[1].id]
    questions.approve(items[0].id, "Ann")
    assert sit(questions, learner, quiz.id).items[0].stem == "What is it?"
    for item in items[:2]:
        questions.retire(item.id, "Ann")
    for who in (learner, new_learner(questions).id):
        with pytest.raises(MedDiffError, match="no approved question yet"):
            sit(questions, who, quiz.id)
    with pytest.raises(MedDiffError, match="learner is not known"):
        sit(questions, "LR-0000000000000000", quiz.id)
