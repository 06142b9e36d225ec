"""The printed quiz, read again by poppler."""

import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from meddiff.teaching.export.pdf import pdf_bytes
from meddiff.teaching.export.quiz import read_quiz
from meddiff.teaching.item import Choice
from tests.teaching.export.quiz_support import NOTICE, NOTICE_ZH, items, pixels_of

pytestmark = pytest.mark.skipif(shutil.which("pdftotext") is None, reason="poppler is not installed: apt-get install poppler-utils")  # fmt: skip


def pages_of(data: bytes, tmp_path) -> list[str]:
    (tmp_path / "quiz.pdf").write_bytes(data)
    told = subprocess.run(
        ["pdftotext", "-layout", tmp_path / "quiz.pdf", "-"], capture_output=True, text=True, check=True
    )
    assert not told.stderr
    return told.stdout.split("\f")[:-1]


@pytest.fixture(scope="module")
def pages(quiz, tmp_path_factory) -> list[str]:
    return pages_of(pdf_bytes(quiz), tmp_path_factory.mktemp("pdf"))


def test_every_page_says_that_its_images_are_synthetic(pages):
    assert len(pages) > 2
    for number, page in enumerate(pages, 1):
        assert NOTICE in page and NOTICE_ZH in page and f"Page {number}" in page


def test_the_key_stands_on_pages_of_its_own_at_the_end(pages, quiz):
    (start,) = [number for number, page in enumerate(pages) if page.lstrip().startswith(f"{quiz.title}: Key")]
    asked, key = "\n".join(pages[:start]), "\n".join(pages[start:])
    for question in quiz.questions:
        assert f"{question.number}. " in asked
        assert question.words.answer.format(question.answer) in key
    for word in ("restricted", "Look at the rim", "outlined", "left-sided", "28.75"):
        assert word in key and word not in asked


def test_chinese_and_signs_are_read_as_they_were_written(pages):
    whole = "\n".join(pages)
    for words in ("最可能的诊断是什么？病灶 ≥ 20 mm。", "A. 胶质母细胞瘤", "环形强化，壁厚而不规则。", "教学要点"):
        assert words in whole


def test_words_are_words_and_never_markup(pages):
    assert 'Is 5 < 6 & "7" > 8? <script>alert(1)</script> ]]>' in pages[0] and "B. brain abscess <b>" in pages[0]


def test_all_fonts_but_those_that_every_viewer_has_are_inside(quiz, tmp_path):
    pages_of(pdf_bytes(quiz), tmp_path)
    told = subprocess.run(["pdffonts", tmp_path / "quiz.pdf"], capture_output=True, text=True, check=True).stdout
    fonts = [line.split() for line in told.splitlines()[2:]]
    assert any("Droid" in font[0] for font in fonts)
    for font in fonts:
        assert font[-5] == "yes" or font[0] in ("Helvetica", "Helvetica-Bold", "Symbol")


def test_every_picture_has_the_pixels_of_a_sealed_one_stamp_and_all(quiz, tmp_path):
    pages_of(pdf_bytes(quiz), tmp_path)
    subprocess.run(["pdfimages", "-png", tmp_path / "quiz.pdf", tmp_path / "got"], check=True)
    sealed = {pixels_of(data).tobytes() for data in quiz.files.values()}
    found = [np.asarray(Image.open(path).convert("L")).tobytes() for path in tmp_path.glob("got*.png")]
    assert set(found) == sealed and len(found) == sum(len(question.pictures) for question in quiz.questions)


def test_the_longest_words_that_an_item_may_have_find_room(known, tmp_path):
    item = items(known)[0]
    long = tuple(Choice(text=f"{letter}{'x' * 299}", feedback="word " * 399) for letter in "abcdef")
    changes = {"stem": "y" * 2000, "choices": long, "feedback": "z " * 1999, "points": ("p " * 999,) * 8}
    quiz = read_quiz("Long", [item.model_copy(update=changes)], known.__getitem__)
    whole = "\n".join(pages_of(pdf_bytes(quiz), tmp_path))
    assert whole.count("y") >= 2000 and whole.count("word") == 399 * 6
