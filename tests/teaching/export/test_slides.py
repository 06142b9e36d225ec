"""Slides, read again by python-pptx."""

import io
import zipfile

import pytest
from pptx import Presentation
from pptx.enum.shapes import MSO_SHAPE_TYPE

from meddiff.teaching.export.quiz import read_quiz
from meddiff.teaching.export.slides import slides_bytes
from tests.teaching.export.quiz_support import NOTICE, NOTICE_ZH, TITLE, items, provenance_of


def texts_of(slide) -> str:
    return "\n".join(shape.text_frame.text for shape in slide.shapes if shape.has_text_frame)


def pictures_of(slide) -> list:
    return [shape for shape in slide.shapes if shape.shape_type is MSO_SHAPE_TYPE.PICTURE]


@pytest.fixture(scope="module")
def show(quiz):
    return Presentation(io.BytesIO(slides_bytes(quiz)))


def test_an_item_has_a_slide_and_its_answer_the_next(show, quiz):
    first, *others = show.slides
    assert first.shapes.title.text == TITLE
    assert len(others) == 2 * len(quiz.questions)
    for question, asked, answered in zip(quiz.questions, others[::2], others[1::2], strict=True):
        assert question.item.stem.split()[0] in texts_of(asked)
        assert question.words.answer.format(question.answer) in texts_of(answered)
        assert question.answer not in texts_of(asked) or question.options
        assert "Look at the rim." in texts_of(answered) and "Look at the rim." not in texts_of(asked)
        notes = asked.notes_slide.notes_text_frame.text
        assert question.words.answer.format(question.answer) in notes and "A ring" in notes


def test_every_slide_says_that_its_images_are_synthetic_and_has_a_title(show):
    for slide in show.slides:
        assert NOTICE in texts_of(slide) and NOTICE_ZH in texts_of(slide) and slide.shapes.title.text


def test_pictures_are_sealed_those_of_the_item_and_described_without_the_answer(show, quiz):
    _, *others = show.slides
    for question, asked in zip(quiz.questions, others[::2], strict=True):
        shown = [provenance_of(picture.image.blob) for picture in pictures_of(asked)]
        assert [(record.case_id, record.role) for record in shown] == [(case, "case") for case in question.item.cases]
        for picture in pictures_of(asked):
            words = picture._element.nvPicPr.cNvPr.get("descr")
            assert ("not of a patient" in words or "并非患者图像" in words) and "lesion" not in words


def test_no_other_picture_is_in_the_file(quiz):
    archive = zipfile.ZipFile(io.BytesIO(slides_bytes(quiz)))
    media = [name for name in archive.namelist() if name.startswith("ppt/media/")]
    assert len(media) == len(quiz.files)
    for name in media:
        provenance_of(archive.read(name))


def test_the_outline_lies_over_the_lesion_of_its_picture(show, quiz):
    answered = show.slides[2]
    picture = pictures_of(answered)[0]
    (line,) = [shape for shape in answered.shapes if shape.shape_type is MSO_SHAPE_TYPE.FREEFORM]
    columns, rows = quiz.questions[0].views[0].picture.size
    # The flag of the phantom: rows 60 to 110, columns 150 to 190.
    for found, start, length, pixels, wanted in (
        (line.left, picture.left, picture.width, columns, 150),
        (line.left + line.width, picture.left, picture.width, columns, 190),
        (line.top, picture.top, picture.height, rows, 60),
        (line.top + line.height, picture.top, picture.height, rows, 110),
    ):
        assert (found - start) / length * pixels == pytest.approx(wanted, abs=0.1)


def test_nothing_lies_outside_a_slide(show):
    for slide in show.slides:
        for shape in slide.shapes:
            assert shape.left >= 0 and shape.top >= 0
            assert shape.left + shape.width <= show.slide_width and shape.top + shape.height <= show.slide_height


def test_words_that_do_not_fit_go_on_on_the_next_slide_and_none_is_lost(known):
    item = items(known)[0].model_copy(update={"feedback": "word " * 799})
    show = Presentation(io.BytesIO(slides_bytes(read_quiz("Long", [item], known.__getitem__))))
    slides = list(show.slides)[2:]
    assert len(slides) > 1 and all("(continued)" in slide.shapes.title.text for slide in slides[1:])
    assert sum(texts_of(slide).count("word") for slide in slides) == 799
