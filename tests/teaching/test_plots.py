"""Plots are SVG that stands alone, says in words what it shows, and puts things where they belong."""

import re

import numpy as np
import pytest
from lxml import etree

from meddiff.teaching.plots import LINE, WIDE, characteristic_curve, distractor_curves, roc_curve, wright_map

SVG = "{http://www.w3.org/2000/svg}"
SHARES = np.array([[0.3, 0.5, 0.2], [0.8, 0.15, 0.05]])


def words_of(drawing: str) -> list[str]:
    return ["".join(node.itertext()) for node in etree.fromstring(drawing).iter(f"{SVG}text")]


@pytest.mark.parametrize(
    "drawing",
    [
        characteristic_curve(0.5, seen=[(-1.0, 0.2, 10), (4.6, 0.9, 12)]),
        characteristic_curve(-5.5, 0.3),
        wright_map(np.linspace(-5, 5, 40), [(f"item {at}", at / 10) for at in range(40)]),
        wright_map([0.0], [("one", 0.0)]),
        distractor_curves(SHARES, ["a", "b", "c"], 0),
        distractor_curves(SHARES[:1], ["a", "b", "c"], 2),
        roc_curve([(0, 0), (0.2, 0.7), (1, 1)], 0.75),
    ],
)
def test_everything_lies_inside_the_picture(drawing):
    root = etree.fromstring(drawing)
    _, _, wide, high = map(float, root.get("viewBox").split())
    assert wide == WIDE and root.get("aria-label")
    for node in root.iter(f"{SVG}polyline"):
        for x, y in (pair.split(",") for pair in node.get("points").split()):
            assert -0.1 <= float(x) <= wide + 0.1 and -0.1 <= float(y) <= high + 0.1
    for node in root.iter(f"{SVG}circle"):
        assert 0 <= float(node.get("cx")) <= wide and 0 <= float(node.get("cy")) <= high


def test_words_of_a_person_cannot_become_markup():
    rude = '<script>alert("&")</script>'
    for drawing in (
        characteristic_curve(0, title=rude),
        wright_map([0.0], [(rude, 0.0)]),
        distractor_curves(SHARES, [rude, "b", "c"], 0),
        roc_curve([(0, 0), (1, 1)], 0.5, rude),
    ):
        assert not list(etree.fromstring(drawing).iter("{*}script"))


def test_a_curve_crosses_one_half_at_its_difficulty():
    root = etree.fromstring(characteristic_curve(1.0))
    half = next(node for node in root.iter(f"{SVG}line") if node.get("stroke-dasharray"))
    (curve,) = root.iter(f"{SVG}polyline")
    points = [tuple(map(float, pair.split(","))) for pair in curve.get("points").split()]
    nearest = min(points, key=lambda point: abs(point[0] - float(half.get("x1"))))
    assert nearest[1] == pytest.approx(float(half.get("y1")), abs=3)  # points lie 2 units apart


def test_names_on_a_map_stand_apart_and_in_order():
    drawing = wright_map(np.zeros(5), [(f"item {at}", 0.01 * at) for at in range(30)])
    places = {
        "".join(node.itertext()): float(node.get("y"))
        for node in etree.fromstring(drawing).iter(f"{SVG}text")
        if node.get("text-anchor") == "start"
    }
    names = sorted(places, key=places.get)
    assert [int(re.search(r"item (\d+)", name)[1]) for name in names] == list(range(29, -1, -1))
    assert np.diff(sorted(places.values())).min() >= LINE - 0.11


def test_the_key_is_named_and_each_choice_has_its_words():
    said = words_of(distractor_curves(SHARES, ["glioma", "abscess", "x" * 60], 0))
    assert "glioma (key)" in said and "abscess" in said and any(word.endswith("…") for word in said)


def test_a_map_tells_how_many_learners_a_bar_is():
    titles = [node.text for node in etree.fromstring(wright_map([0.1, 0.2, 1.7], [("a", 0.0)])).iter(f"{SVG}title")]
    assert "2 learners from 0 to 0.5" in titles and "1 learners from 1.5 to 2" in titles
