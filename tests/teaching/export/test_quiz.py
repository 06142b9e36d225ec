"""A quiz is approved, whole and sealed before any exporter sees it."""

import numpy as np
import pytest

from meddiff.case import MaskSpec, MedDiffError, Task
from meddiff.marking import SealedCase
from meddiff.teaching.export.quiz import Picture, read_quiz
from meddiff.teaching.item import Kind, LocaliseItem, State, item_id
from tests.exchange.dicom_support import case_of, flag, request_of
from tests.teaching.export.quiz_support import HOSTILE, TITLE, items, pixels_of, provenance_of


@pytest.mark.parametrize(("state", "words"), [(State.DRAFT, "approve it first"), (State.RETIRED, "retired")])
def test_an_item_that_is_not_approved_is_refused_by_its_place_and_id(known, state, words):
    asked = items(known)
    asked[2] = asked[2].model_copy(update={"state": state})
    with pytest.raises(MedDiffError, match=rf"Item 3 \({asked[2].id}\) is .*{words}"):
        read_quiz(TITLE, asked, known.__getitem__)


def test_an_item_that_stands_twice_no_item_and_no_title_are_refused(known):
    asked = items(known)
    for title, chosen, words in (
        (TITLE, [asked[0], asked[0]], "twice"),
        (TITLE, [], "no item"),
        (" \n", asked, "title"),
        ("x" * 201, asked, "title"),
    ):
        with pytest.raises(MedDiffError, match=words):
            read_quiz(title, chosen, known.__getitem__)


def test_a_case_that_cannot_be_had_says_so_itself(known):
    def none(case: str) -> SealedCase:
        raise MedDiffError(f"{case} was deleted.")

    with pytest.raises(MedDiffError, match="was deleted"):
        read_quiz(TITLE, items(known), none)


def test_a_picture_cannot_be_made_of_pixels(known):
    for raw in (np.zeros((8, 8), np.uint8), b"\x89PNG", None):
        with pytest.raises(MedDiffError, match="sealed"):
            Picture(raw, "")
    with pytest.raises(TypeError):
        Picture(next(iter(known.values())).image, "", data=b"")


def test_pictures_carry_their_pixels_and_not_their_record_which_holds_the_answer(quiz, known):
    for question in quiz.questions:
        for picture in question.pictures:
            assert provenance_of(picture.data).case_id == picture.sealed.provenance.case_id
            assert pixels_of(picture.data).shape[::-1] == picture.size
            assert len(picture.name) == 28 and "twin" not in picture.name


def test_sixteen_bits_are_shown_in_eight_and_case_and_twin_at_one_window(quiz):
    question = quiz.questions[1]
    shown, twin = question.views[0].picture, question.explained[1].picture
    assert shown.sealed.pixels.dtype == np.uint16
    one, other = pixels_of(shown.data), pixels_of(twin.data)
    assert one.dtype == np.uint8 and one.max() == 255
    same = shown.sealed.pixels == twin.sealed.pixels
    assert np.array_equal(one[same], other[same])


def test_the_answer_is_told_in_words(quiz):
    assert [question.answer for question in quiz.questions] == [
        "B. brain abscess <b>",
        "A. 胶质母细胞瘤",
        "A. the first",
        "inside the outline, or within 3 mm of it",
        "28.75 mm, plus or minus 3 mm",
        "Picture 2, Picture 4, Picture 1, Picture 3",
        "glioblastoma",
        "glioblastoma; left",
    ]


def test_what_no_file_can_hold_is_a_space(quiz):
    assert quiz.questions[0].item.stem == HOSTILE.replace("\x0b", " ")


def test_feedback_shows_the_lesion_outlined_and_the_twin_without_it(quiz, known):
    question = quiz.questions[0]
    case = known[question.item.cases[0]]
    outlined, twin = question.explained
    assert outlined.picture.sealed is case.image and outlined.outline
    assert twin.picture.sealed is case.twin and not twin.outline
    assert not quiz.questions[5].explained, "four visits would bury the words"


def test_where_a_lesion_was_taken_out_the_outline_is_on_the_picture_that_has_it(known):
    case = case_of(request_of(task=Task.REMOVE).model_copy(update={"mask": MaskSpec.from_array(flag())}))
    item = LocaliseItem(
        id=item_id(Kind.LOCALISE, [case.case.id]), stem="Where?", cases=(case.case.id,), state=State.APPROVED
    )
    with pytest.raises(MedDiffError, match="needs one case, with an outline of a lesion that its picture shows"):
        read_quiz(TITLE, [item], {case.case.id: case}.__getitem__)
    normal = items(known)[0].model_copy(update={"cases": (case.case.id,)})
    (shown,) = read_quiz(TITLE, [normal], {case.case.id: case}.__getitem__).questions[0].explained
    assert shown.picture.sealed is case.twin and "taken out" in shown.caption


def test_nothing_that_a_learner_reads_before_answering_names_the_answer(quiz):
    for question in quiz.questions:
        for view in question.views:
            told = f"{view.picture.name} {view.picture.alternative} {view.label}".lower()
            assert not any(word in told for word in ("glio", "lesion", "twin", "left", "abscess"))


def test_a_twin_is_shown_where_the_item_shows_the_twin(known):
    case = next(iter(known))
    asked = items(known)[0].model_copy(update={"roles": ("twin",)})
    (question,) = read_quiz(TITLE, [asked], known.__getitem__).questions
    assert provenance_of(question.views[0].picture.data).role == "twin"
    assert provenance_of(question.views[0].picture.data).case_id == case
