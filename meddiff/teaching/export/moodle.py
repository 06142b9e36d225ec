"""Moodle XML: one category with a question an item, pictures inside the file.

Written for the importer of Moodle 4.4 and later (`question/format/xml/format.php`, and `import_from_xml` of the question types
ddmarker and ordering, which is part of Moodle since 4.4).

| item | Moodle question |
|---|---|
| single best answer | multichoice, feedback for each choice |
| localise | ddmarker: the drop zone is the outline grown by the tolerance |
| size | numerical with tolerance, in mm or cm |
| order | ordering |
| free text with one thing to say | shortanswer, each way to say it as a pattern |
| free text with several | essay, with what is expected for whoever marks it |
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from xml.etree import ElementTree

from meddiff.teaching.export import html
from meddiff.teaching.export.outline import Polygon, joined
from meddiff.teaching.export.quiz import Picture, Question, Quiz
from meddiff.teaching.item import ChoiceItem, FreeTextItem, LocaliseItem, OrderItem, SizeItem

Element = ElementTree.Element
CENTIMETRE = 0.1  # of a value in mm, which is Moodle's first unit here


def moodle_bytes(quiz: Quiz) -> bytes:
    """A quiz as Moodle XML; the same quiz gives the same bytes.

    Read by Moodle: question bank, Import, Moodle XML format.
    """
    root = Element("quiz")
    category = _add(root, "question", type="category")
    # A slash ends a category's name; two stand for one.
    _text(_add(category, "category"), f"$course$/top/MedDiff/{quiz.title.replace('/', '//')}")
    _text(_add(category, "info", format="plain_text"), quiz.notice)
    for question in quiz.questions:
        _question(root, question)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"


def _question(root: Element, question: Question) -> None:
    item = question.item
    shown = [view.picture for view in question.views]
    match item:
        case ChoiceItem():
            made = _headed(root, "multichoice", question, shown)
            _choices(made, question)
        case LocaliseItem():
            made = _headed(root, "ddmarker", question, [])
            _marker(made, question)
        case SizeItem():
            made = _headed(root, "numerical", question, shown)
            _number(made, item)
        case OrderItem():
            made = _headed(root, "ordering", question, [])
            _ordering(made, question)
        case FreeTextItem() if len(item.expected) == 1:
            made = _headed(root, "shortanswer", question, shown)
            _patterns(made, item)
        case FreeTextItem():
            made = _headed(root, "essay", question, shown)
            _essay(made, question)
    tags = _add(made, "tags")
    for tag in filter(None, ("MedDiff", "synthetic", item.kind.value, item.pathology)):
        _text(_add(tags, "tag"), tag)


def _headed(root: Element, kind: str, question: Question, shown: list[Picture]) -> Element:
    """A question of a type, with what all types have; `shown` are the pictures inside its text."""
    made = _add(root, "question", type=kind)
    # The ordering type cuts names at 42 bytes.
    _text(_add(made, "name"), f"{question.number:02d} {question.item.kind.value} {question.item.id}")
    stem = html.paragraphs(question.item.stem)
    views = html.views(question.views, _address) if shown else ""
    _html(made, "questiontext", stem + views + html.paragraphs(question.words.notice), shown)
    explained = [one.picture for one in question.explained]
    _html(made, "generalfeedback", html.closing(question, _address), explained)
    _add(made, "defaultgrade").text = "1"
    _add(made, "penalty").text = "0"
    _add(made, "hidden").text = "0"
    _add(made, "idnumber").text = question.item.id
    return made


def _choices(made: Element, question: Question) -> None:
    _add(made, "single").text = "true"
    _add(made, "shuffleanswers").text = "false"  # the quiz balanced the places of its keys
    _add(made, "answernumbering").text = "ABCD"
    _add(made, "showstandardinstruction").text = "0"
    _combined(made, question)
    for option in question.options:
        answer = _html(made, "answer", html.paragraphs(option.text), fraction="100" if option.right else "0")
        _html(answer, "feedback", html.paragraphs(option.feedback))


def _marker(made: Element, question: Question) -> None:
    _combined(made, question)
    _add(made, "showmisplaced")  # shows the outline to whoever missed it
    _file(made, question.views[0].picture)
    drag = _add(made, "drag")
    _add(drag, "no").text = "1"
    _text(drag, question.words.lesion)
    _add(drag, "noofdrags").text = "1"
    drop = _add(made, "drop")
    _add(drop, "no").text = "1"
    _add(drop, "shape").text = "polygon"
    # One marker finds one zone: a lesion of several parts is one polygon.
    _add(drop, "coords").text = _coordinates(joined(question.target.areas))
    _add(drop, "choice").text = "1"


def _number(made: Element, item: SizeItem) -> None:
    answer = _add(made, "answer", fraction="100", format="plain_text")
    _text(answer, f"{item.key_mm:g}")
    _html(answer, "feedback", "")
    _add(answer, "tolerance").text = f"{item.tolerance_mm:g}"
    units = _add(made, "units")
    for name, multiplier in (("mm", 1), ("cm", CENTIMETRE)):
        unit = _add(units, "unit")
        _add(unit, "multiplier").text = f"{multiplier:g}"
        _add(unit, "unit_name").text = name
    _add(made, "unitgradingtype").text = "0"  # a unit may be left out
    _add(made, "unitpenalty").text = "0"
    _add(made, "showunits").text = "0"
    _add(made, "unitsleft").text = "0"


def _ordering(made: Element, question: Question) -> None:
    _add(made, "layouttype").text = "HORIZONTAL"
    _add(made, "selecttype").text = "ALL"
    _add(made, "selectcount").text = str(len(question.views))
    _add(made, "gradingtype").text = "ABSOLUTE_POSITION"
    _add(made, "showgrading").text = "SHOW"
    _add(made, "numberingstyle").text = "none"
    _combined(made, question)
    for place, shown in enumerate(question.in_order, 1):  # in the right order: Moodle shuffles them
        view = question.views[shown]
        _html(made, "answer", html.views([view], _address), [view.picture], fraction=str(place))


def _patterns(made: Element, item: FreeTextItem) -> None:
    _add(made, "usecase").text = "0"
    # The first pattern that fits decides, so what contradicts the answer comes first.
    both = [(way, "0") for one in item.against for way in one.ways] + [(way, "100") for way in item.expected[0].ways]
    for way, fraction in both:
        answer = _add(made, "answer", fraction=fraction, format="plain_text")
        _text(answer, f"*{way.replace('*', chr(92) + '*')}*")
        _html(answer, "feedback", "")


def _essay(made: Element, question: Question) -> None:
    _add(made, "responseformat").text = "plain"
    _add(made, "responserequired").text = "1"
    _add(made, "responsefieldlines").text = "10"
    _add(made, "attachments").text = "0"
    _add(made, "attachmentsrequired").text = "0"
    _html(made, "graderinfo", html.lists(question.scheme))
    _html(made, "responsetemplate", "")


def _combined(made: Element, question: Question) -> None:
    for tag, text in (
        ("correctfeedback", question.words.well_done),
        ("partiallycorrectfeedback", question.words.not_yet),
        ("incorrectfeedback", question.words.not_yet),
    ):
        _html(made, tag, html.paragraphs(text))


def _coordinates(polygon: Polygon) -> str:
    return ";".join(f"{x},{y}" for x, y in polygon)


def _address(picture: Picture) -> str:
    return f"@@PLUGINFILE@@/{picture.name}"


def _html(parent: Element, tag: str, text: str, pictures: Iterable[Picture] = (), **attributes: str) -> Element:
    made = _add(parent, tag, format="html", **attributes)
    _text(made, text)
    for picture in {picture.name: picture for picture in pictures}.values():
        _file(made, picture)
    return made


def _file(parent: Element, picture: Picture) -> None:
    data = base64.b64encode(picture.data).decode()
    _add(parent, "file", name=picture.name, path="/", encoding="base64").text = data


def _text(parent: Element, text: str) -> None:
    _add(parent, "text").text = text


def _add(parent: Element, tag: str, **attributes: str) -> Element:
    return ElementTree.SubElement(parent, tag, attributes)
