"""A quiz becomes a file, whole or not at all, in every format."""

import pytest

from meddiff.case import MedDiffError
from meddiff.teaching.export import FORMATS, export_quiz
from meddiff.teaching.item import State
from tests.teaching.export.quiz_support import TITLE, items


@pytest.mark.parametrize("format", FORMATS)
def test_a_folder_gets_a_file_with_the_titles_name_and_a_file_its_own(format, known, tmp_path):
    ending = FORMATS[format].ending
    path = export_quiz(TITLE, items(known), known.__getitem__, tmp_path / "new", format)
    assert path == tmp_path / "new" / f"Brain-masses-rings-part-1{ending}" and path.stat().st_size > 500
    own = tmp_path / f"mine.{ending.rpartition('.')[2]}"
    assert export_quiz(TITLE, items(known), known.__getitem__, own, format) == own and own.is_file()
    assert sorted(tmp_path.rglob("*")) == sorted([path.parent, path, own])


@pytest.mark.parametrize(
    "format", [format for format in FORMATS if format != "anki"]
)  # dated, so that Anki takes the newer
def test_the_same_quiz_is_the_same_file(format, known, quiz):
    assert FORMATS[format].write(quiz) == FORMATS[format].write(quiz)


@pytest.mark.parametrize("format", FORMATS)
def test_a_draft_leaves_in_no_format(format, known, tmp_path):
    asked = items(known)
    asked[0] = asked[0].model_copy(update={"state": State.DRAFT})
    with pytest.raises(MedDiffError, match="approve it first"):
        export_quiz(TITLE, asked, known.__getitem__, tmp_path, format)
    assert not list(tmp_path.iterdir())


def test_an_unknown_format_names_those_there_are(known, tmp_path):
    with pytest.raises(MedDiffError, match="'word' is no format of a quiz: choose among moodle, qti21"):
        export_quiz(TITLE, items(known), known.__getitem__, tmp_path, "word")


def test_a_title_cannot_lead_out_of_the_folder(known, tmp_path):
    for title, name in (("../../etc/passwd", "etc-passwd.csv"), ("...", "quiz.csv"), ("脑肿瘤 1", "脑肿瘤-1.csv")):
        assert export_quiz(title, items(known), known.__getitem__, tmp_path, "table") == tmp_path / name
