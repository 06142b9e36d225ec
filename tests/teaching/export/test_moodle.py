"""Moodle XML, read again by the rules of Moodle's importer.

`Moodle` is what `question/format/xml/format.php` does with a file (4.4), and the `import_from_xml` of the types ddmarker and
ordering with theirs, and `shapes.php` with a drop zone: it reads what they read, and fails where they fail or guess.
"""

import base64
import re
from itertools import pairwise

import lxml.html
import numpy as np
import pytest
from lxml import etree

from meddiff.teaching.export.moodle import moodle_bytes
from meddiff.teaching.export.outline import within
from tests.teaching.export.quiz_support import HOSTILE, NOTICE, TITLE, centres, provenance_of, winding

FORMATS = {"moodle_auto_format", "html", "plain_text", "wiki_like", "markdown"}  # trans_format
NUMBERING = {"abc", "ABCD", "123", "iii", "IIII", "none"}
GRADES = {0, 100}  # of those that Moodle knows, the ones used here; others stop the import


class Moodle:
    """A file as Moodle takes it in."""

    def __init__(self, data: bytes) -> None:
        root = etree.fromstring(data)
        assert root.tag == "quiz"
        self.questions = []
        for made in root:
            assert made.tag == "question"
            if made.get("type") == "category":
                self.category = self.text(made.find("category"))
                assert self.category.startswith("$course$/")
            else:
                self.questions.append(self.question(made))

    @staticmethod
    def text(node) -> str:
        """`getpath(..., istext)`: one <text> that holds words alone, or the file is no Moodle XML."""
        (text,) = node.findall("text")
        assert not len(text)
        return (text.text or "").strip()

    def field(self, node) -> tuple[str, dict[str, bytes]]:
        """`import_text_with_files`: the words, and the files that they show."""
        assert node.get("format", "html") in FORMATS
        words, files = self.text(node), self.files(node)
        assert set(re.findall(r"@@PLUGINFILE@@/([^\"<>&? ]+)", words)) == set(files), (
            "a picture is missing, or not shown"
        )
        return words, files

    @staticmethod
    def files(node) -> dict[str, bytes]:
        """`import_files_as_draft`: two of one name would lose one."""
        found = node.findall("file")
        assert all(file.get("path") == "/" and file.get("encoding") == "base64" for file in found)
        names = [file.get("name") for file in found]
        assert len(set(names)) == len(names)
        return {file.get("name"): base64.b64decode(file.text, validate=True) for file in found}

    def question(self, made) -> dict:
        read = {
            "type": made.get("type"),
            "name": self.text(made.find("name")),
            "text": self.field(made.find("questiontext")),
            "feedback": self.field(made.find("generalfeedback")),
            "idnumber": made.findtext("idnumber"),
            "tags": [self.text(tag) for tag in made.findall("tags/tag")],
        }
        assert read["name"] and float(made.findtext("defaultgrade")) > 0 and 0 <= float(made.findtext("penalty")) <= 1
        if read["type"] in ("multichoice", "ddmarker", "ordering"):  # import_combined_feedback
            for name in ("correctfeedback", "partiallycorrectfeedback", "incorrectfeedback"):
                self.field(made.find(name))
        return read | getattr(self, read["type"])(made)

    def answers(self, made, with_files: bool) -> list[dict]:
        """`import_answer`."""
        found = []
        for answer in made.findall("answer"):
            words, files = self.field(answer) if with_files else (self.text(answer), {})
            feedback = answer.find("feedback")
            told = self.field(feedback)[0] if feedback is not None else ""
            found.append({"text": words, "files": files, "feedback": told, "fraction": float(answer.get("fraction"))})
        return found

    def multichoice(self, made) -> dict:
        answers = self.answers(made, with_files=True)
        assert made.findtext("single") == "true" and made.findtext("answernumbering") in NUMBERING
        assert len(answers) >= 2 and all(answer["text"] for answer in answers)
        assert {answer["fraction"] for answer in answers} <= GRADES
        assert sum(answer["fraction"] for answer in answers) == 100, "a single answer has one that is right"
        return {"answers": answers, "shuffled": made.findtext("shuffleanswers") == "true"}

    def shortanswer(self, made) -> dict:
        answers = self.answers(made, with_files=False)
        assert max(answer["fraction"] for answer in answers) == 100
        return {"answers": answers}

    def numerical(self, made) -> dict:
        (answer,) = made.findall("answer")
        units = {unit.findtext("unit_name"): float(unit.findtext("multiplier")) for unit in made.findall("units/unit")}
        assert next(iter(units.values())) == 1, "the first unit is that of the answer"
        assert made.findtext("unitgradingtype") == "0" and made.findtext("showunits") in "0123"
        return {"value": float(self.text(answer)), "tolerance": float(answer.findtext("tolerance")), "units": units}

    def essay(self, made) -> dict:
        assert made.findtext("responseformat") in ("editor", "editorfilepicker", "plain", "monospaced", "noinline")
        return {"grader": self.field(made.find("graderinfo"))[0]}

    def ordering(self, made) -> dict:
        answers = self.answers(made, with_files=True)
        assert len(answers) >= 2 and all(answer["text"] for answer in answers)
        assert made.findtext("layouttype") in ("VERTICAL", "HORIZONTAL") and made.findtext("selecttype") == "ALL"
        assert made.findtext("gradingtype") == "ABSOLUTE_POSITION" and made.findtext("showgrading") in ("SHOW", "HIDE")
        return {"answers": answers}

    def ddmarker(self, made) -> dict:
        (picture,) = self.files(made).values()
        (drag,), (drop,) = made.findall("drag"), made.findall("drop")
        assert drag.findtext("no") == drop.findtext("no") == drop.findtext("choice") == "1" and self.text(drag)
        assert drop.findtext("shape") == "polygon"
        parts = drop.findtext("coords").split(";")
        assert len(parts) >= 3
        assert all(re.fullmatch("[0-9]+,[0-9]+", part) for part in parts), "whole positive numbers"
        zone = [tuple(map(int, part.split(","))) for part in parts]
        assert all(here != then for here, then in pairwise(zone)), "repeated point"
        return {"zone": zone, "picture": picture}


@pytest.fixture(scope="module")
def read(quiz) -> Moodle:
    return Moodle(moodle_bytes(quiz))


def test_every_kind_of_item_is_a_question_of_its_own_type(read):
    kinds = [question["type"] for question in read.questions]
    assert kinds == ["multichoice"] * 3 + ["ddmarker", "numerical", "ordering", "shortanswer", "essay"]
    assert len({question["name"] for question in read.questions}) == len(kinds)
    assert all(len(question["name"].encode()) <= 42 for question in read.questions), (
        "the ordering type cuts longer names"
    )


def test_the_category_is_the_title_and_a_slash_does_not_end_it(read):
    parts = re.split(r"(?<!/)/(?!/)", read.category)
    assert parts[0] == "$course$" and parts[-1].replace("//", "/") == TITLE


def test_every_picture_is_sealed_and_belongs_to_the_items_cases(read, quiz):
    seen = 0
    for question, asked in zip(read.questions, quiz.questions, strict=True):
        files = [*question["text"][1].values(), *question["feedback"][1].values()]
        files += [data for answer in question.get("answers", ()) for data in answer["files"].values()]
        files += [question["picture"]] if "picture" in question else []
        seen += len(files)
        assert {provenance_of(data).case_id for data in files} == set(asked.item.cases)
    assert seen == 28


def test_words_are_words_and_never_markup(read):
    page = lxml.html.fromstring(read.questions[0]["text"][0])
    assert " ".join(HOSTILE.split()) in " ".join(page.text_content().split())
    for question in read.questions:
        for words in (
            question["text"][0],
            question["feedback"][0],
            *(a["text"] + a["feedback"] for a in question.get("answers", ())),
        ):
            assert not lxml.html.fromstring(f"<div>{words}</div>").xpath("//script | //b")
        assert any(notice in question["text"][0] for notice in (NOTICE, "合成图像"))


def test_each_choice_has_its_feedback_and_the_key_is_right(read, quiz):
    first = read.questions[0]["answers"]
    assert [answer["fraction"] for answer in first] == [0, 100, 0]
    assert "restricted" in first[1]["feedback"] and "thick" in first[0]["feedback"] and not first[2]["feedback"]
    assert not read.questions[0]["shuffled"]


def test_a_marker_is_right_within_the_tolerance_of_the_outline_and_nowhere_else(read, quiz, known):
    question, item = read.questions[3], quiz.questions[3].item
    case = known[item.cases[0]]
    wanted = case.image.fit(within(case.mask, case.image.spacing_mm, item.tolerance_mm))
    assert np.array_equal(winding(question["zone"], *centres(wanted.shape)) != 0, wanted)
    assert wanted.sum() > case.mask.sum()


def test_a_size_is_right_within_its_tolerance_in_either_unit(read):
    question = read.questions[4]
    assert (question["value"], question["tolerance"]) == (28.75, 3)
    in_cm = 2.9 / question["units"]["cm"]  # qtype_numerical divides by the multiplier
    assert abs(in_cm - question["value"]) <= question["tolerance"]


def test_the_order_is_that_of_the_key(read, quiz):
    found = [provenance_of(*answer["files"].values()).case_id for answer in read.questions[5]["answers"]]
    assert tuple(found) == quiz.questions[5].item.key
    assert found != list(quiz.questions[5].item.cases)
    labels = [lxml.html.fromstring(answer["text"]).text_content() for answer in read.questions[5]["answers"]]
    assert ", ".join(labels) == quiz.questions[5].answer


@pytest.mark.parametrize(
    ("said", "mark"), [("A Glioblastoma, left.", 100), ("gbm* it is", 100), ("no glioblastoma", 0), ("meningioma", 0)]
)
def test_a_short_answer_is_found_in_a_sentence_and_what_contradicts_it_comes_first(read, said, mark):
    """`qtype_shortanswer::compare_string_with_wildcard`, and the first answer that fits."""
    for answer in read.questions[6]["answers"]:
        pieces = re.split(r"(?<!\\)\*", answer["text"])
        pattern = ".*".join(re.escape(piece.replace(r"\*", "*")) for piece in pieces)
        if re.fullmatch(pattern, said, re.IGNORECASE):
            assert answer["fraction"] == mark
            return
    assert mark == 0


def test_whoever_marks_an_essay_is_told_what_is_expected_and_the_learner_is_not(read):
    essay = read.questions[7]
    assert "left / left-sided" in essay["grader"] and "diagnosis (2)" in essay["grader"]
    assert "left-sided" not in essay["text"][0]


def test_the_key_is_not_in_the_question(read):
    for question in read.questions:
        assert "Answer" not in question["text"][0] and "<svg" not in question["text"][0]
        assert "<svg" in question["feedback"][0] or question["type"] == "ordering"
