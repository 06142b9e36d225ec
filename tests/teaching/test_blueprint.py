"""A quiz built by wishes has what was wished for, or says what is missing."""

import pytest

from meddiff.case import MedDiffError
from meddiff.teaching.blueprint import EXPECTED_SECONDS, Blueprint, Count, band, blueprint_of, build_quiz
from meddiff.teaching.item import Kind
from meddiff.teaching.quiz import Quiz, QuizSettings, new_quiz_id
from meddiff.teaching.store import Questions
from tests.teaching.store_support import approve, made

KINDS = (Kind.DIAGNOSIS, Kind.LOCATION)


@pytest.fixture
def questions(tmp_path):
    """A store on SQLite: what is picked does not depend on the database."""
    return Questions(tmp_path)


@pytest.fixture
def stocked(questions):
    """Twelve lesion cases of three pathologies with two items each, and six normal cases."""
    pathologies = ("glioma", "meningioma", "metastasis")
    lesions = [
        made(number, kind, pathologies[number % 3], difficulty=number / 12) for number in range(12) for kind in KINDS
    ]
    normals = [made(100 + number, Kind.NORMAL, "", difficulty=0.5) for number in range(6)]
    approve(questions, lesions + normals)
    return questions


def picked(questions, wishes, seed=0):
    return questions.items(build_quiz(questions, wishes, seed).items)


def test_no_case_comes_twice_and_pathologies_and_kinds_come_in_turn(stocked):
    items = picked(stocked, Blueprint(number=12))
    assert len({case for item in items for case in item.cases}) == 12
    table = blueprint_of(stocked, build_quiz(stocked, Blueprint(number=6)))
    assert {count.items for count in table.pathologies} == {2}
    assert {count.items for count in table.kinds} == {3}


def test_the_same_seed_picks_the_same_and_another_another(stocked):
    wishes = Blueprint(number=6, normal_share=0.5)
    assert picked(stocked, wishes, 1) == picked(stocked, wishes, 1)
    assert len({tuple(item.id for item in picked(stocked, wishes, seed)) for seed in range(8)}) > 4
    assert build_quiz(stocked, wishes).id != build_quiz(stocked, wishes).id


@pytest.mark.parametrize(("number", "share", "normals"), [(10, 0.25, 3), (10, 0.0, 0), (4, 1.0, 4), (5, 0.5, 3)])
def test_normals_come_in_their_share(stocked, number, share, normals):
    items = picked(stocked, Blueprint(number=number, normal_share=share))
    assert len(items) == number and sum(not item.pathology for item in items) == normals


def test_normals_stand_anywhere_in_the_quiz(stocked):
    places = {
        tuple(bool(item.pathology) for item in picked(stocked, Blueprint(number=4, normal_share=0.5), seed))
        for seed in range(12)
    }
    assert len(places) > 2


def test_only_what_was_wished_for_comes(stocked):
    wishes = Blueprint(
        number=2, pathologies=("glioma",), kinds=(Kind.LOCATION,), difficulty_from=0.2, difficulty_to=0.5
    )
    items = picked(stocked, wishes)
    assert {(item.pathology, item.kind, item.difficulty) for item in items} == {
        ("glioma", Kind.LOCATION, 0.25),
        ("glioma", Kind.LOCATION, 0.5),
    }


def test_only_approved_items_of_the_language_come(questions):
    approve(questions, [made(1), made(2, language="zh")])
    questions.add([made(3)])
    for language, number in (("en", 1), ("zh", 2)):
        wishes = Blueprint(number=1, settings=QuizSettings(language=language))
        assert [item.id for item in picked(questions, wishes)] == [made(number).id]


def test_too_few_is_said_with_what_is_there_and_what_waits(stocked):
    stocked.add([made(50), made(51)])
    with pytest.raises(
        MedDiffError,
        match=r"has 4 approved items of glioma that fit, each with a case of its own, and 5 are wanted\. "
        r"2 more wait for approval\. Approve more items, widen the wishes, or ask for fewer\.",
    ):
        build_quiz(stocked, Blueprint(number=5, pathologies=("glioma",)))
    with pytest.raises(MedDiffError, match=r"6 approved items on a normal case that fit.* 8 are wanted\. Approve"):
        build_quiz(stocked, Blueprint(number=16, normal_share=0.5))
    with pytest.raises(MedDiffError, match=r"no approved items of chordoma that fit.* 1 is wanted"):
        build_quiz(stocked, Blueprint(number=1, pathologies=("chordoma",)))


def test_items_of_many_cases_do_not_block_the_others(questions):
    """Taken in turn of kind, the comparisons would use up the cases of three diagnoses each."""
    singles = [made(number) for number in range(6)]
    pairs = [
        made(kind=Kind.COMPARE, cases=tuple(f"MD-{number:012x}" for number in three))
        for three in ((0, 1, 2), (3, 4, 5))
    ]
    approve(questions, singles + pairs)
    assert {item.kind for item in picked(questions, Blueprint(number=6))} == {Kind.DIAGNOSIS}


def test_the_scarcer_of_lesions_and_normals_is_served_first(questions):
    """The only normal case stands in a comparison too."""
    normal = made(1, Kind.NORMAL, "")
    approve(questions, [normal, made(2), made(kind=Kind.COMPARE, cases=(*normal.cases, "MD-000000000009"))])
    for seed in range(6):
        items = picked(questions, Blueprint(number=2, normal_share=0.5), seed)
        assert {item.id for item in items} == {normal.id, made(2).id}


def test_the_table_counts_what_a_quiz_covers(questions):
    glioma, again = made(1, difficulty=0.1), made(1, Kind.LOCATION, difficulty=0.9)
    normal = made(2, Kind.NORMAL, "")
    approve(questions, [glioma, normal])
    questions.add([again])
    quiz = Quiz(id=new_quiz_id(), title="Heads", items=(glioma.id, again.id, normal.id))
    table = blueprint_of(questions, quiz)
    assert table.pathologies == (Count(name="glioma", items=2), Count(name="normal", items=1))
    assert {(count.name, count.items) for count in table.kinds} == {("diagnosis", 1), ("location", 1), ("normal", 1)}
    assert [count.name for count in table.difficulties] == ["easy", "hard", "not known"]
    assert table.normal_share == pytest.approx(1 / 3)
    assert table.minutes == pytest.approx(
        sum(EXPECTED_SECONDS[kind] for kind in (Kind.DIAGNOSIS, Kind.LOCATION, Kind.NORMAL)) / 60
    )
    assert table.repeated_cases == glioma.cases and table.waiting == (again.id,)


def test_every_kind_has_a_time_and_every_difficulty_a_band():
    assert set(EXPECTED_SECONDS) == set(Kind)
    assert [band(value) for value in (0.0, 0.3, 0.31, 0.7, 1.0, None)] == [
        "easy", "easy", "medium", "medium", "hard", "not known",
    ]  # fmt: skip


def test_wishes_against_each_other_are_refused():
    with pytest.raises(ValueError, match="above the highest"):
        Blueprint(difficulty_from=0.6, difficulty_to=0.5)
