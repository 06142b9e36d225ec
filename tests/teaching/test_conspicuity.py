"""Learners' answers on the axis of conspicuity: whether they saw, not whether they knew."""

from meddiff.bank import Bank
from meddiff.teaching.answers import Answer
from meddiff.teaching.conspicuity import readings_by_conspicuity
from meddiff.teaching.difficulty import measured
from meddiff.teaching.learner import new_learner
from meddiff.teaching.store import Questions
from tests.exchange.series_support import series_of
from tests.web.test_practice import questions_on


def test_first_answers_to_questions_of_seeing_stand_at_their_lesions_contrast(tmp_path):
    bank, questions, visits = Bank(tmp_path), Questions(tmp_path), series_of(3)[0]
    told = [visit.case.model_copy(update={"measurements": with_contrast(visit.case, 2.5)}) for visit in visits]
    for visit, case in zip(visits, told, strict=True):
        bank.keep(type(visit)(case, visit.image, visit.twin, visit.mask))
    items = questions_on(visits)
    questions.add(items)
    for item in items:
        questions.approve(item.id, "Ann")
    assert readings_by_conspicuity(questions, bank) == []
    ann, bob = (new_learner(questions).id for _ in range(2))
    for turn, (learner, item, right) in enumerate(
        [
            (ann, items[1], False),
            (ann, items[1], True),
            (bob, items[1], True),
            (ann, items[0], True),
            (ann, items[2], True),
        ]
    ):
        questions.answer(
            Answer(
                learner=learner,
                item=item.id,
                version=1,
                token=f"token-{turn}-x",
                credit=right,
                right=right,
                answer="{}",
            )
        )
    assert readings_by_conspicuity(questions, bank) == [(2.5, False), (2.5, True)]
    bank.delete(visits[1].case.id, "Ann")
    questions.retire(items[1].id, "Ann", "poor")
    assert readings_by_conspicuity(questions, bank) == []


def with_contrast(case, value):
    from meddiff.case import Measurement

    row = Measurement(name="conspicuity", asked="", measured=f"{value}", value=value, ok=None)
    return (*(one for one in case.measurements if one is not measured(case, "conspicuity")), row)
