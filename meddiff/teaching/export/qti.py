"""IMS QTI content packages, 2.1 and 3.0: a test, an item a file, pictures as resources, and the manifest that names them all.

Items are written in the words of 2.1; 3.0 says the same in other names (`_three`). Sources: IMS QTI 2.1 Assessment Test,
Section and Item Information Model (2012), 1EdTech QTI 3.0 (2022), IMS Content Packaging 1.1.4.

| item | interaction | scored by |
|---|---|---|
| single best answer | choice | the key |
| localise | select point | area mapping: the outline grown by the tolerance |
| size | text entry, float | equal within the tolerance |
| order | order | the key |
| free text | extended text | a person, with what is expected as a rubric for the scorer |
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from xml.etree import ElementTree

from meddiff.teaching.export.archive import packed
from meddiff.teaching.export.quiz import Picture, Question, Quiz, View
from meddiff.teaching.item import ChoiceItem, FreeTextItem, LocaliseItem, OrderItem, SizeItem

Element = ElementTree.Element
HTML = {"div", "p", "img", "object", "ul", "li", "strong"}  # the same in both versions
HOLDS_CONTENT = {"modalFeedback", "rubricBlock"}  # 3.0 wraps what they hold


@dataclass(frozen=True)
class Version:
    """Names of one version of the standard."""

    namespace: str
    packaging: str
    schema: tuple[str, str]
    suffix: str  # of the resource types


V21 = Version(
    "http://www.imsglobal.org/xsd/imsqti_v2p1",
    "http://www.imsglobal.org/xsd/imscp_v1p1",
    ("QTIv2.1 Package", "1.0.0"),
    "xmlv2p1",
)
V30 = Version(
    "http://www.imsglobal.org/xsd/imsqtiasi_v3p0",
    "http://www.imsglobal.org/xsd/qti/qtiv3p0/imscp_v1p1",
    ("QTI Package", "3.0.0"),
    "xmlv3p0",
)


def qti21_bytes(quiz: Quiz) -> bytes:
    """A quiz as QTI 2.1 package (ZIP); the same quiz gives the same bytes.

    Read by OpenOlat, ONYX, TAO, ILIAS (by converter), Blackboard and others that import QTI 2.1 packages.
    """
    return _package(quiz, V21)


def qti30_bytes(quiz: Quiz) -> bytes:
    """A quiz as QTI 3.0 package (ZIP); the same quiz gives the same bytes.

    Read by TAO, Citolab's QTI player and others that import QTI 3.0 packages.
    """
    return _package(quiz, V30)


def _package(quiz: Quiz, version: Version) -> bytes:
    items = {_file(question): _written(_item(question), version) for question in quiz.questions}
    members = {
        "imsmanifest.xml": _serialised(_manifest(quiz, version)),
        "test.xml": _written(_test(quiz), version),
        **items,
        **{f"images/{name}": data for name, data in quiz.files.items()},
    }
    return packed(members)


def _manifest(quiz: Quiz, version: Version) -> Element:
    digest = hashlib.sha256(quiz.title.encode()).hexdigest()[:12]
    root = Element("manifest", {"xmlns": version.packaging, "identifier": f"quiz-{digest}"})
    metadata = _add(root, "metadata")
    _add(metadata, "schema").text, _add(metadata, "schemaversion").text = version.schema
    _add(root, "organizations")
    resources = _add(root, "resources")
    items = [question.item.id for question in quiz.questions]
    _resource(resources, "test", f"imsqti_test_{version.suffix}", "test.xml", items)
    for question in quiz.questions:
        needed = dict.fromkeys(_identifier(picture.name) for picture in question.pictures)
        _resource(resources, question.item.id, f"imsqti_item_{version.suffix}", _file(question), needed)
    for name in quiz.files:
        _resource(resources, _identifier(name), "webcontent", f"images/{name}", ())
    return root


def _resource(parent: Element, identifier: str, kind: str, href: str, needed: Iterable[str]) -> None:
    made = _add(parent, "resource", identifier=identifier, type=kind, href=href)
    _add(made, "file", href=href)
    for one in needed:
        _add(made, "dependency", identifierref=one)


def _test(quiz: Quiz) -> Element:
    root = Element("assessmentTest", {"identifier": "test", "title": quiz.title})
    # One attempt at each item, its feedback straight after it.
    part = _add(root, "testPart", identifier="part", navigationMode="nonlinear", submissionMode="individual")
    _add(part, "itemSessionControl", maxAttempts="1", showFeedback="true")
    section = _add(part, "assessmentSection", identifier="section", title=quiz.title, visible="true")
    _paragraphs(_add(section, "rubricBlock", view="candidate"), quiz.notice)
    for question in quiz.questions:
        _add(section, "assessmentItemRef", identifier=question.item.id, href=_file(question))
    return root


def _item(question: Question) -> Element:
    item = question.item
    title = question.words.question.format(question.number)
    named = {"identifier": item.id, "title": title, "adaptive": "false", "timeDependent": "false"}
    root = Element("assessmentItem", {**named, "xml:lang": "zh-CN" if item.language == "zh" else "en"})
    _response(root, question)
    for name, kind, default in (("SCORE", "float", "0"), ("MAXSCORE", "float", "1"), ("FEEDBACK", "identifier", ""), ("TOLD", "identifier", "")):  # fmt: skip
        outcome = _add(root, "outcomeDeclaration", identifier=name, cardinality="single", baseType=kind)
        if default:
            _add(_add(outcome, "defaultValue"), "value").text = default
    body = _add(root, "itemBody")
    if not isinstance(item, LocaliseItem | OrderItem):
        _views(body, question.views)
    _interaction(body, question)
    _paragraphs(body, question.words.notice)
    _processing(_add(root, "responseProcessing"), question)
    _feedback(root, question)
    return root


def _response(root: Element, question: Question) -> None:
    item = question.item
    cardinality = "ordered" if isinstance(item, OrderItem) else "single"
    kind = {LocaliseItem: "point", SizeItem: "float", FreeTextItem: "string"}.get(type(item), "identifier")
    declared = _add(root, "responseDeclaration", identifier="RESPONSE", cardinality=cardinality, baseType=kind)
    right: list[str] = []
    match item:
        case ChoiceItem():
            right = [option.letter for option in question.options if option.right]
        case OrderItem():
            right = [_place(place) for place in question.in_order]
        case SizeItem():
            right = [f"{item.key_mm:g}"]
    if question.target.areas:
        right = ["{} {}".format(*question.target.point)]
    if right:
        correct = _add(declared, "correctResponse")
        for value in right:
            _add(correct, "value").text = value
    if question.target.areas:
        mapping = _add(declared, "areaMapping", lowerBound="0", upperBound="1", defaultValue="0")
        for area in question.target.areas:
            coordinates = ",".join(f"{x},{y}" for x, y in area)
            _add(mapping, "areaMapEntry", shape="poly", coords=coordinates, mappedValue="1")


def _interaction(body: Element, question: Question) -> None:
    item, told = question.item, {"responseIdentifier": "RESPONSE"}
    match item:
        case ChoiceItem():
            made = _add(body, "choiceInteraction", **told, shuffle="false", maxChoices="1")
            _prompt(made, question)
            for option in question.options:
                _add(made, "simpleChoice", identifier=option.letter).text = option.text
        case OrderItem():
            made = _add(body, "orderInteraction", **told, shuffle="false")
            _prompt(made, question)
            for place, view in enumerate(question.views):
                choice = _add(made, "simpleChoice", identifier=_place(place))
                _image(_add(choice, "p"), view.picture)
                _add(choice, "p").text = view.label
        case LocaliseItem():
            made = _add(body, "selectPointInteraction", **told, maxChoices="1")
            _prompt(made, question)
            _object(made, question.views[0].picture)
        case SizeItem():
            _paragraphs(body, item.stem)
            line = _add(body, "p")
            _add(line, "textEntryInteraction", **told, expectedLength="6").tail = " mm"
        case FreeTextItem():
            _lists(_add(body, "rubricBlock", view="scorer"), question.scheme)
            made = _add(body, "extendedTextInteraction", **told, expectedLines="6")
            _prompt(made, question)


def _processing(made: Element, question: Question) -> None:
    item = question.item
    if isinstance(item, ChoiceItem):
        _add(_add(made, "setOutcomeValue", identifier="FEEDBACK"), "variable", identifier="RESPONSE")
    if isinstance(item, LocaliseItem):
        _add(_add(made, "setOutcomeValue", identifier="SCORE"), "mapResponsePoint", identifier="RESPONSE")
    elif not isinstance(item, FreeTextItem):
        when = _add(_add(made, "responseCondition"), "responseIf")
        if isinstance(item, SizeItem):
            both = f"{item.tolerance_mm:g} {item.tolerance_mm:g}"  # below and above
            same = _add(when, "equal", toleranceMode="absolute", tolerance=both)
        else:
            same = _add(when, "match")
        _add(same, "variable", identifier="RESPONSE")
        _add(same, "correct", identifier="RESPONSE")
        _value(_add(when, "setOutcomeValue", identifier="SCORE"), "float", "1")
    _value(_add(made, "setOutcomeValue", identifier="TOLD"), "identifier", "all")


def _feedback(root: Element, question: Question) -> None:
    shown = {"showHide": "show"}
    for option in question.options:
        if option.feedback:
            made = _add(root, "modalFeedback", outcomeIdentifier="FEEDBACK", identifier=option.letter, **shown)
            _paragraphs(made, option.feedback)
    made = _add(root, "modalFeedback", outcomeIdentifier="TOLD", identifier="all", **shown)
    _paragraphs(made, question.words.answer.format(question.answer))
    _paragraphs(made, question.item.feedback)
    for one in question.explained:
        if not one.outline:  # the standard knows no lines over a picture: the one without the lesion tells where it was
            _image(_add(made, "p"), one.picture)
            _paragraphs(made, one.caption)
    _lists(made, question.lessons)


def _prompt(made: Element, question: Question) -> None:
    text = " ".join([*question.item.stem.split(), *question.task.split()])
    _add(made, "prompt").text = text


def _views(body: Element, views: Iterable[View]) -> None:
    for view in views:
        held = _add(body, "div")
        _image(_add(held, "p"), view.picture)
        _paragraphs(held, view.label)


def _image(parent: Element, picture: Picture) -> None:
    width, height = picture.size
    about = {"src": f"images/{picture.name}", "alt": picture.alternative, "width": str(width), "height": str(height)}
    _add(parent, "img", **about)


def _object(parent: Element, picture: Picture) -> None:
    width, height = picture.size
    about = {"data": f"images/{picture.name}", "type": "image/png", "width": str(width), "height": str(height)}
    _add(parent, "object", **about).text = picture.alternative


def _paragraphs(parent: Element, text: str) -> None:
    for line in text.splitlines():
        if line.strip():
            _add(parent, "p").text = line.strip()


def _lists(parent: Element, parts: Iterable[tuple[str, tuple[str, ...]]]) -> None:
    for heading, lines in parts:
        _add(_add(parent, "p"), "strong").text = heading
        listed = _add(parent, "ul")
        for line in lines:
            _add(listed, "li").text = line


def _value(parent: Element, kind: str, text: str) -> None:
    _add(parent, "baseValue", baseType=kind).text = text


def _place(place: int) -> str:
    return f"P{place + 1}"


def _file(question: Question) -> str:
    return f"{question.item.id}.xml"


def _identifier(name: str) -> str:
    return f"image-{name.removesuffix('.png')}"


def _written(root: Element, version: Version) -> bytes:
    made = _three(root) if version is V30 else root
    made.set("xmlns", version.namespace)
    return _serialised(made)


def _serialised(root: Element) -> bytes:
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"


def _three(old: Element) -> Element:
    """An element of 2.1 in the names of 3.0."""
    if old.tag in HTML:
        made = Element(old.tag, dict(old.attrib))
        if old.tag == "object":
            about = {key: old.attrib[key] for key in ("width", "height")}
            made = Element("img", {"src": old.attrib["data"], "alt": old.text or "", **about})
            made.tail = old.tail
            return made
    else:
        made = Element(f"qti-{_kebab(old.tag)}", {_kebab(name): value for name, value in old.attrib.items()})
    if old.tag == "rubricBlock":  # 3.0 asks what it is for, 2.1 does not know the word
        made.set("use", "scoring" if old.attrib["view"] == "scorer" else "instructions")
    made.text, made.tail = old.text, old.tail
    held = _add(made, "qti-content-body") if old.tag in HOLDS_CONTENT else made
    held.extend(_three(child) for child in old)
    return made


def _kebab(name: str) -> str:
    return re.sub("[A-Z]", lambda capital: f"-{capital[0].lower()}", name)


def _add(parent: Element, tag: str, **attributes: str) -> Element:
    return ElementTree.SubElement(parent, tag, attributes)
