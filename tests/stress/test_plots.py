"""Plots of a run: everything inside the picture, and the figures where they belong."""

import math

import numpy as np
import pytest
from lxml import etree

from meddiff.plot import BOTTOM, HIGH, LEFT, RIGHT, WIDE
from meddiff.stress.plots import (
    acceptance_plot,
    froc_plot,
    outline_svg,
    psychometric_plot,
    reliability_plot,
    roc_plot,
    sensitivity_plot,
)
from meddiff.stress.psychometric import fit
from meddiff.stress.scores import score
from tests.stress.simulated import CONTRACTS, simulate

NAMES = ("boxes.onnx", "classifier.onnx")


@pytest.fixture(scope="module")
def scores():
    return score(simulate(24, names=NAMES), CONTRACTS)


def drawn(scores) -> list[str]:
    detectors = scores.detectors
    named = [d for d in detectors if d.froc]
    return [
        psychometric_plot([(d.name, d.psychometric) for d in detectors], [(0.5, False), (3.0, True)] * 20),
        *(sensitivity_plot([(d.name, row) for d in detectors for row in d.subgroups if row.attribute == name]) for name in ("size_mm", "plane")),
        acceptance_plot(scores.acceptance[:3]),
        roc_plot([(d.name, d.roc) for d in detectors]),
        roc_plot([(d.name, d.lroc) for d in named], located=True),
        froc_plot([(d.name, d.froc) for d in named]),
        reliability_plot([(d.name, d.calibration) for d in detectors]),
    ]  # fmt: skip


def test_everything_lies_inside_the_picture(scores):
    for drawing in drawn(scores):
        root = etree.fromstring(drawing)
        _, _, wide, high = map(float, root.get("viewBox").split())
        assert wide == WIDE and root.get("aria-label")
        for node in (*root.iter("{*}polyline"), *root.iter("{*}polygon")):
            for x, y in (pair.split(",") for pair in node.get("points").split()):
                assert LEFT - 0.1 <= float(x) <= wide - RIGHT + 0.1 and -0.1 <= float(y) <= HIGH - BOTTOM + 0.1
        for node in root.iter("{*}circle"):
            assert 0 <= float(node.get("cx")) <= wide and 0 <= float(node.get("cy")) <= high
        for node in root.iter("{*}text"):
            assert float(node.get("y", 0)) < high


def test_the_curve_falls_to_the_axis_where_half_are_found(scores):
    curve = scores.detector("boxes.onnx").psychometric
    root = etree.fromstring(psychometric_plot([("boxes.onnx", curve)]))
    half = next(node for node in root.iter("{*}line") if node.get("stroke-dasharray") == "3 3")
    reach = math.log(curve.least / 1.08), math.log(curve.most * 1.08)
    along = (math.log(curve.point(0.5).value) - reach[0]) / (reach[1] - reach[0])
    assert float(half.get("x1")) == pytest.approx(LEFT + along * (WIDE - LEFT - RIGHT), abs=0.1)
    ticks = [node.text for node in root.iter("{*}text") if node.get("y") == str(HIGH - BOTTOM + 15)]
    assert {"1", "2", "5"} <= set(ticks)


def test_learners_stand_on_the_same_axis(scores):
    curves = [(d.name, d.psychometric) for d in scores.detectors]
    rng = np.random.default_rng(0)
    learners = [(float(c), bool(rng.random() < 1 / (1 + c**-2))) for c in np.exp(rng.uniform(-1, 2, 200))]
    with_them = etree.fromstring(psychometric_plot(curves, learners))
    assert "learners: 50% at" in with_them.get("aria-label")
    assert len(list(with_them.iter("{*}polygon"))) == len(curves) + 1


def test_a_detector_without_a_curve_keeps_its_dots():
    curve = fit(np.linspace(1, 9, 60), np.ones(60, bool))
    root = etree.fromstring(psychometric_plot([("all", curve)]))
    assert not list(root.iter("{*}polygon")) and len(list(root.iter("{*}circle"))) == len(curve.dots)
    assert "no 50% or 80%" in root.get("aria-label")
    etree.fromstring(psychometric_plot([]))


def test_an_outline_is_the_edges_between_inside_and_outside():
    mask = np.zeros((5, 6), bool)
    mask[1:3, 2:5] = True
    path = etree.fromstring(outline_svg(mask)).get("d")
    assert path.count("h1") == 2 * 3 and path.count("v1") == 2 * 2
    assert "M2 1h1" in path and "M4 3h1" in path and "M2 1v1" in path and "M5 2v1" in path


def test_a_name_cannot_become_markup(scores):
    rude = "<b>&'\"</b>"
    d = scores.detector("boxes.onnx")
    for drawing in (
        psychometric_plot([(rude, d.psychometric)]),
        sensitivity_plot([(rude, d.subgroups[0])] * 2),
        roc_plot([(rude, d.roc)]),
        froc_plot([(rude, d.froc)]),
        reliability_plot([(rude, d.calibration)]),
    ):
        assert not list(etree.fromstring(drawing).iter("{*}b"))
