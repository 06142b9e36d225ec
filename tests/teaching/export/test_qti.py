"""QTI packages, read again by a reader of its own: manifest against files, interactions against declarations, scores by hand."""

import io
import re
import zipfile
from pathlib import PurePosixPath

import numpy as np
import pytest
from lxml import etree

from meddiff.teaching.export.outline import within
from meddiff.teaching.export.qti import qti21_bytes, qti30_bytes
from tests.teaching.export.quiz_support import HOSTILE, centres, provenance_of, winding

# What the two versions call the same: the reader asks in the words of 2.1.
VERSIONS = {
    "2.1": (qti21_bytes, "http://www.imsglobal.org/xsd/imsqti_v2p1", "http://www.imsglobal.org/xsd/imscp_v1p1", "QTIv2.1 Package"),
    "3.0": (qti30_bytes, "http://www.imsglobal.org/xsd/imsqtiasi_v3p0", "http://www.imsglobal.org/xsd/qti/qtiv3p0/imscp_v1p1", "QTI Package"),
}  # fmt: skip
IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]*")  # no colon: section 2.2.1 of the binding
# Response declaration that each interaction must be bound to (QTI 2.1 information model, section 7).
BOUND = {
    "choiceInteraction": ("single", "identifier"),
    "orderInteraction": ("ordered", "identifier"),
    "selectPointInteraction": ("single", "point"),
    "textEntryInteraction": ("single", "float"),
    "extendedTextInteraction": ("single", "string"),
}
ORDER = ["responseDeclaration", "outcomeDeclaration", "itemBody", "responseProcessing", "modalFeedback"]
PLAIN = {"div", "p", "img", "object", "ul", "li", "strong"}


class Package:
    """A package as its reader takes it in."""

    def __init__(self, version: str, data: bytes) -> None:
        self.version, (_, self.space, packing, schema) = version, VERSIONS[version]
        self.archive = zipfile.ZipFile(io.BytesIO(data))
        self.names = self.archive.namelist()
        assert len(set(self.names)) == len(self.names)
        manifest = etree.fromstring(self.archive.read("imsmanifest.xml"))
        assert manifest.tag == f"{{{packing}}}manifest"
        space = {"m": packing}
        assert [child.tag.split("}")[1] for child in manifest] == ["metadata", "organizations", "resources"]
        assert manifest.findtext("m:metadata/m:schema", namespaces=space) == schema
        self.resources = {one.get("identifier"): one for one in manifest.iterfind("m:resources/m:resource", space)}
        self.listed = [file.get("href") for file in manifest.iterfind(".//m:file", space)]
        self.needs = {
            name: {need.get("identifierref") for need in one.iterfind("m:dependency", space)}
            for name, one in self.resources.items()
        }

    def tag(self, name: str) -> str:
        plain = name in PLAIN
        return f"{{{self.space}}}{name if plain or self.version == '2.1' else 'qti-' + self.word(name)}"

    def word(self, name: str) -> str:
        return name if self.version == "2.1" else re.sub("([A-Z])", r"-\1", name).lower()

    def all(self, node, name: str) -> list:
        return list(node.iter(self.tag(name)))

    def get(self, node, name: str) -> str | None:
        return node.get(self.word(name))

    def named(self, node) -> str:
        """The 2.1 name of an element."""
        name = etree.QName(node).localname
        return re.sub("-([a-z])", lambda m: m[1].upper(), name.removeprefix("qti-"))

    def root(self, resource: str):
        return etree.fromstring(self.archive.read(self.resources[resource].get("href")))

    @property
    def items(self) -> list:
        (test,) = [name for name, one in self.resources.items() if "_test_" in one.get("type")]
        return [self.root(self.get(ref, "identifier")) for ref in self.all(self.root(test), "assessmentItemRef")]


@pytest.fixture(scope="module", params=sorted(VERSIONS))
def package(request, quiz) -> Package:
    return Package(request.param, VERSIONS[request.param][0](quiz))


def test_the_manifest_names_every_file_once_and_nothing_else(package):
    assert sorted([*package.listed, "imsmanifest.xml"]) == sorted(package.names)
    for identifier, resource in package.resources.items():
        assert IDENTIFIER.fullmatch(identifier)
        assert package.needs[identifier] <= set(package.resources)
        assert resource.get("type") == "webcontent" or resource.get("type").endswith(
            f"_xmlv{package.version.replace('.', 'p')}"
        )
        assert not PurePosixPath(resource.get("href")).is_absolute() and ".." not in resource.get("href")


def test_a_test_asks_all_items_in_their_order(package, quiz):
    asked = [package.get(root, "identifier") for root in package.items]
    assert asked == [question.item.id for question in quiz.questions]
    assert package.needs["test"] == set(asked)


def test_an_item_declares_the_pictures_that_it_shows(package, quiz):
    for root, question in zip(package.items, quiz.questions, strict=True):
        shown = {node.get("src") or node.get("data") for node in root.iter() if node.get("src") or node.get("data")}
        needed = package.needs[question.item.id]
        assert shown <= {package.resources[name].get("href") for name in needed}
        for href in shown:
            assert provenance_of(package.archive.read(href)).case_id in question.item.cases
        for image in package.all(root, "img"):
            assert image.get("alt")


def test_every_picture_in_the_package_is_sealed(package):
    pictures = [name for name in package.names if name.endswith(".png")]
    assert len(pictures) == 10
    for name in pictures:
        provenance_of(package.archive.read(name))


def test_items_follow_the_order_of_the_standard_and_its_words(package):
    for root in package.items:
        parts = [package.named(child) for child in root]
        assert parts == sorted(parts, key=ORDER.index)
        assert parts.count("itemBody") == parts.count("responseProcessing") == 1
        assert IDENTIFIER.fullmatch(root.get("identifier")) and root.get("title")
        for node in root.iter():
            name = etree.QName(node)
            assert name.namespace == package.space
            if package.version == "3.0":
                assert (name.localname in PLAIN) != name.localname.startswith("qti-")
                assert not re.search("[A-Z]", name.localname + "".join(a for a in node.attrib if "}" not in a))
        if package.version == "3.0":
            for name in ("modalFeedback", "rubricBlock"):
                assert all([package.named(c) for c in held] == ["contentBody"] for held in package.all(root, name))


def test_a_rubric_says_what_it_is_for_in_3_0_alone(package):
    rubrics = [node for root in (package.root("test"), *package.items) for node in package.all(root, "rubricBlock")]
    wanted = {"candidate": "instructions", "scorer": "scoring"} if package.version == "3.0" else {}
    assert len(rubrics) == 3
    assert all(node.get("use") == wanted.get(node.get("view")) for node in rubrics)


def test_each_interaction_is_bound_to_the_response_that_it_needs(package):
    seen = []
    for root in package.items:
        (declared,) = package.all(root, "responseDeclaration")
        (bound,) = [node for node in root.iter() if package.get(node, "responseIdentifier")]
        assert package.get(bound, "responseIdentifier") == package.get(declared, "identifier")
        cardinality, kind = BOUND[package.named(bound)]
        assert (package.get(declared, "cardinality"), package.get(declared, "baseType")) == (cardinality, kind)
        choices = [package.get(choice, "identifier") for choice in package.all(bound, "simpleChoice")]
        right = [value.text for value in package.all(declared, "value")]
        if kind == "identifier":
            assert len(set(choices)) == len(choices) >= 2 and set(right) <= set(choices)
        seen.append(package.named(bound))
    assert set(seen) == set(BOUND)


def test_what_is_processed_is_declared(package):
    for root in package.items:
        known = {
            package.get(node, "identifier")
            for name in ("responseDeclaration", "outcomeDeclaration")
            for node in package.all(root, name)
        }
        (processing,) = package.all(root, "responseProcessing")
        used = {
            package.get(node, "identifier")
            for name in ("variable", "correct", "setOutcomeValue", "mapResponsePoint")
            for node in package.all(processing, name)
        }
        used |= {package.get(node, "outcomeIdentifier") for node in package.all(root, "modalFeedback")}
        assert used <= known
        assert len(known) == 5


def test_the_key_and_the_order_are_those_of_the_items(package, quiz):
    def right(number: int) -> list[str]:
        (correct,) = package.all(package.items[number], "correctResponse")
        return [value.text for value in package.all(correct, "value")]

    assert right(0) == ["B"] and right(1) == ["A"] and right(4) == ["28.75"]
    order = package.items[5]
    shown = {}
    for choice in package.all(order, "simpleChoice"):
        (image,) = package.all(choice, "img")
        shown[package.get(choice, "identifier")] = provenance_of(package.archive.read(image.get("src"))).case_id
    assert tuple(shown[one] for one in right(5)) == quiz.questions[5].item.key
    assert tuple(shown.values()) == quiz.questions[5].item.cases


def test_a_point_scores_within_the_tolerance_of_the_outline_and_nowhere_else(package, quiz, known):
    item, root = quiz.questions[3].item, package.items[3]
    case = known[item.cases[0]]
    wanted = case.image.fit(within(case.mask, case.image.spacing_mm, item.tolerance_mm))
    score = np.zeros(wanted.shape)
    for entry in package.all(root, "areaMapEntry"):
        numbers = list(map(int, entry.get("coords").split(",")))
        polygon = list(zip(numbers[::2], numbers[1::2], strict=True))
        assert entry.get("shape") == "poly"
        score += (winding(polygon, *centres(wanted.shape)) != 0) * float(package.get(entry, "mappedValue"))
    assert np.array_equal(score == 1, wanted) and set(np.unique(score)) == {0, 1}
    (correct,) = package.all(root, "correctResponse")
    column, row = map(int, correct[0].text.split())
    assert case.image.fit(case.mask)[row, column]
    assert package.all(root, "mapResponsePoint")


def test_a_size_is_equal_within_its_tolerance(package):
    (equal,) = package.all(package.items[4], "equal")
    assert package.get(equal, "toleranceMode") == "absolute" and equal.get("tolerance") == "3 3"


def test_each_choice_answers_with_its_own_feedback_and_everybody_hears_the_lesson(package):
    root = package.items[0]
    told = {package.get(node, "identifier"): "".join(node.itertext()) for node in package.all(root, "modalFeedback")}
    assert set(told) == {"A", "B", "all"}
    assert "restricted" in told["B"] and "Look at the rim." in told["all"] and "B. brain abscess <b>" in told["all"]
    values = [value.text for value in package.all(root, "baseValue")]
    assert "all" in values


def test_words_are_words_and_never_markup(package):
    (prompt,) = package.all(package.items[0], "prompt")
    assert prompt.text == " ".join(HOSTILE.split()) and not len(prompt)


def test_what_a_free_text_should_say_is_shown_to_the_scorer_alone(package):
    root = package.items[7]
    (rubric,), (body,) = package.all(root, "rubricBlock"), package.all(root, "itemBody")
    assert rubric.get("view") == "scorer" and "left / left-sided" in "".join(rubric.itertext())
    body.remove(rubric)
    assert "left-sided" not in "".join(body.itertext())
