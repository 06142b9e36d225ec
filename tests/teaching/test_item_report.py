"""The figures count first answers to the question as it is asked today; difficulties follow them without compounding."""

import csv
import io
import json

import pytest

from meddiff.case import MedDiffError
from meddiff.teaching.correction import correct
from meddiff.teaching.difficulty import WORTH
from meddiff.teaching.item import Choice
from meddiff.teaching.item_report import Span, csv_bytes, limits, report
from meddiff.teaching.learner import new_learner
from meddiff.teaching.quiz import Quiz, new_quiz_id, save_quiz
from meddiff.teaching.store import Questions
from tests.teaching.store_support import answer_to, approve, made


@pytest.fixture
def store(tmp_path) -> Questions:
    return Questions(tmp_path)


def chosen(item, learner, choice, **changes):
    """An answer of the page that takes one of the choices."""
    right = choice == item.key
    return answer_to(item, learner, answer=json.dumps({"chosen": choice}), right=right, credit=float(right), **changes)


def class_answers(store, item, choices, **changes) -> None:
    """A learner each."""
    for choice in choices:
        store.answer(chosen(item, new_learner(store).id, choice, **changes))


def test_first_answers_count_and_those_to_another_wording_do_not(store):
    (item,) = approve(store, [made(1)])
    ann, bob = (new_learner(store).id for _ in range(2))
    for learner, choice in ((ann, 1), (ann, 0), (bob, 0)):
        store.answer(chosen(item, learner, choice))
    told = report(store)
    assert [(one.learner, one.choice, one.right) for one in told.answers] == [(ann, 1, False), (bob, 0, True)]

    # Feedback may change, and choices their order: the answers stand, each with its choice.
    turned = item.model_copy(
        update={"choices": tuple(reversed(item.choices)), "key": 1, "feedback": "Look at the rim."}
    )
    store.edit([turned], "Ann")
    assert [one.choice for one in report(store).answers] == [0, 1]

    store.edit([store.item(item.id).model_copy(update={"stem": "And what is it not?"})], "Ann")
    told = report(store)
    assert told.answers == () and told.reworded == 2


def test_a_quiz_and_a_span_of_days_tell_of_their_own_answers(store):
    items = approve(store, [made(1), made(2)])
    quiz = save_quiz(store, Quiz(id=new_quiz_id(), title="Two", items=tuple(item.id for item in items)))
    class_answers(store, items[0], [0, 1], quiz=quiz.id, quiz_version=1)
    class_answers(store, items[0], [0])
    assert len(report(store).answers) == 3
    told = report(store, Span(quiz=quiz.id))
    assert len(told.answers) == 2 and [row.n for row in told.statistics.items] == [2, 0]
    assert report(store, Span(until="2000-01-01")).answers == ()
    with pytest.raises(MedDiffError, match="no quiz"):
        report(store, Span(quiz="QZ-000000000000"))


def test_what_is_not_known_is_said_and_a_poor_question_gets_its_sentence(store):
    item = made(1, choices=tuple(Choice(text=word) for word in ("glioblastoma", "=abscess", "metastasis")))
    approve(store, [item])
    assert limits(report(store)) == ("Nobody has answered these questions yet: no figure can be given.",)
    class_answers(store, item, [0, 1, 1])
    few = " ".join(limits(report(store)))
    assert "fewer than 10 answers" in few and "KR-20" in few and "needs 30 learners" in few

    class_answers(store, item, [1] * 17 + [0] * 10)
    told = report(store)
    assert any("metastasis" in words and "closer look-alike" in words for words in told.advice[item.id])
    (row,) = csv.DictReader(io.StringIO(csv_bytes(told).decode("utf-8-sig")))
    assert (row["answers"], row["right"], row["unused_choices"]) == ("30", "0.3667", "metastasis")
    assert "metastasis" in row["what_to_change"] and row["rasch_logit"] == ""


def test_difficulties_are_corrected_from_the_prediction_each_time(store):
    item, unasked = approve(store, [made(1, difficulty=0.3), made(2, difficulty=0.6)])
    class_answers(store, item, [1] * 8 + [0] * 2)
    (one,) = correct(store).changed
    assert one.after == pytest.approx((WORTH * 0.3 + 8) / (WORTH + 10)) and (one.right, one.answers) == (2, 10)
    assert correct(store).changed == ()  # the same answers again change nothing
    assert store.item(item.id).difficulty == one.after and store.item(unasked.id).difficulty == 0.6

    # An edit carries the corrected figure into a new version; the prediction is still the first one's.
    store.edit([store.item(item.id).model_copy(update={"feedback": "Look."})], "Ann")
    class_answers(store, store.approve(item.id, "Ann"), [1] * 10)
    (one,) = correct(store).changed
    assert one.predicted == 0.3 and one.after == pytest.approx((WORTH * 0.3 + 18) / (WORTH + 20), abs=1e-3)
