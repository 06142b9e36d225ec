"""Broken slices are told from whole ones, and changes faster than biology from slow ones; on phantoms and made-up numbers."""

import numpy as np
import pytest
from scipy.stats import norm

from meddiff.case import Plane
from meddiff.conditions.growth import Limits
from meddiff.evaluation import hallucination as part
from meddiff.evaluation.hallucination import (
    BROKEN,
    SCORES,
    area_under,
    asymmetry,
    broken,
    faster_than_biology,
    follows_law,
    head_shape,
    mahalanobis,
    roc,
    skull_missing,
    threshold_of,
    volume_ratios,
    warped,
    worst_rank,
)
from meddiff.statistics import roc_area
from tests.conftest import make_phantom
from tests.evaluation.made_up import disc, heads, material_of

NOTHING = np.zeros((256, 256), bool)


def symmetric() -> np.ndarray:
    """A phantom without its lesion, made its own mirror image."""
    phantom = make_phantom()
    phantom = np.where(disc((97, 159), 20), 0.35, phantom)
    return ((phantom + phantom[:, ::-1]) / 2).astype(np.float32)


def test_each_way_of_breaking_changes_a_slice_and_the_same_seed_breaks_the_same():
    pictures = heads(5).unit
    bad, ways = broken(pictures, 3)
    assert ways.tolist() == [0, 1, 2, 3, 4] and len(BROKEN) == 5
    for way, (whole, other) in zip(BROKEN, zip(pictures, bad, strict=True), strict=True):
        assert np.abs(whole - other).mean() > 5e-4, way
    assert (broken(pictures, 3)[0] == bad).all() and not (broken(pictures, 4)[0] == bad).all()
    assert bad.dtype == np.float32 and bad.min() >= 0 and bad.max() <= 1


def test_a_symmetric_head_is_its_own_mirror_image_wherever_it_lies():
    head = symmetric()
    assert asymmetry(head, NOTHING, Plane.AXIAL) < 0.02
    assert asymmetry(np.roll(head, 7, 1), NOTHING, Plane.AXIAL) < 0.02
    assert np.isnan(asymmetry(head, NOTHING, Plane.SAGITTAL))


def test_asymmetry_does_not_blame_the_lesion_but_a_bent_half():
    head = symmetric()
    lesion = disc((110, 160), 18)
    assert asymmetry(np.where(lesion, 0.9, head), lesion, Plane.AXIAL) < 0.03
    bent = warped(head, head, np.random.default_rng(0)).astype(np.float32)
    assert asymmetry(bent, NOTHING, Plane.AXIAL) > 5 * asymmetry(head, NOTHING, Plane.AXIAL)


def test_a_bite_out_of_the_head_lies_far_from_whole_heads():
    whole = heads(40, 5)
    shapes = np.stack([head_shape(picture) for picture in whole.unit])
    planes = [Plane.AXIAL] * 40
    bitten = [
        head_shape(skull_missing(p, p, np.random.default_rng(i)).astype(np.float32))
        for i, p in enumerate(whole.unit[:6])
    ]
    apart = mahalanobis(np.stack(bitten), planes[:6], shapes, planes)
    assert apart.min() > np.quantile(mahalanobis(shapes, planes, shapes, planes), 0.9)


def test_no_head_is_infinitely_far_and_a_plane_nobody_knows_has_no_distance():
    assert np.isnan(head_shape(np.zeros((256, 256), np.float32))).all()
    known = np.random.default_rng(0).normal(size=(50, 6))
    empty = np.full((1, 6), np.nan)
    assert mahalanobis(empty, [Plane.AXIAL], known, [Plane.AXIAL] * 50)[0] == np.inf
    assert np.isnan(mahalanobis(known[:1], [Plane.CORONAL], known, [Plane.AXIAL] * 50)[0])


def test_the_mahalanobis_distance_of_normal_numbers_is_their_own():
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(6, 6))
    known = rng.normal(size=(4000, 6)) @ mix
    planes = [Plane.AXIAL] * 4000
    assert (mahalanobis(known, planes, known, planes) ** 2).mean() == pytest.approx(6, rel=0.05)


def test_the_area_under_two_normal_curves_is_the_textbooks():
    rng = np.random.default_rng(0)
    real, bad = rng.normal(size=4000), rng.normal(1, 1, 4000)
    assert area_under(real, bad) == pytest.approx(norm.cdf(1 / np.sqrt(2)), abs=0.015)
    assert area_under(real, real) == pytest.approx(0.5)
    assert area_under(np.array([0.0, np.nan]), np.array([1.0, np.nan])) == 1


def test_the_roc_runs_from_corner_to_corner_and_its_area_is_the_area():
    rng = np.random.default_rng(1)
    real, bad = rng.normal(size=500), rng.normal(1.5, 1, 500)
    x, y = roc(real, bad, 200)
    assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1) and list(x) == sorted(x)
    assert np.trapezoid(y, x) == pytest.approx(area_under(real, bad), abs=0.01)


def test_a_threshold_keeps_95_of_100_real_slices():
    real = np.append(np.arange(100.0), np.nan)
    assert (real[:-1] <= threshold_of(real)).mean() == pytest.approx(0.95, abs=0.01)


def test_the_oddest_picture_is_odd_by_any_score():
    real = {"a": np.arange(10.0), "b": np.full(10, np.nan)}
    ranks = worst_rank({"a": np.array([0.0, 5.0, 50.0]), "b": np.zeros(3)}, real)
    assert ranks.argmax() == 2 and ranks[0] < ranks[1] < 1 < ranks[2]


def test_figures_of_broken_pictures_say_that_they_are_broken():
    rng = np.random.default_rng(0)
    real = {key: rng.normal(size=200) for key in SCORES}
    bad = {key: rng.normal(4, 1, 200) for key in SCORES}
    rows = {f.key: f for f in part.anatomy_figures({"real": real, "broken": bad, "made": bad}, np.arange(200) % 5)}
    assert rows["hallucination.head.auc"].value > 0.98
    assert rows["hallucination.head.beyond"].value > 0.9 and rows["hallucination.head.beyond"].real == pytest.approx(
        0.05
    )
    rows = {f.key: f for f in part.anatomy_figures({"real": real, "broken": bad, "made": real}, np.arange(200) % 5)}
    assert rows["hallucination.head.beyond"].value == pytest.approx(0.05)


def test_the_area_has_delongs_interval_and_a_wider_one_where_slices_share_heads():
    rng = np.random.default_rng(2)
    head = np.repeat(np.arange(40), 5)
    real = {key: rng.normal(size=40)[head] + 0.2 * rng.normal(size=200) for key in SCORES}
    bad = {key: rng.normal(1, 1, 40)[head] + 0.2 * rng.normal(size=200) for key in SCORES}
    scores, ways = {"real": real, "broken": bad, "made": real}, np.arange(200) % 5

    def width(heads):
        row = {f.key: f for f in part.anatomy_figures(scores, ways, heads)}["hallucination.head.auc"]
        return row, row.high - row.low

    alone, narrow = width({})
    assert (alone.value, alone.low, alone.high) == roc_area(bad["head"], real["head"]) and "heads" not in alone.note
    together, wide = width({"real": head, "broken": head + 100, "made": head})
    assert together.value == alone.value and wide > 1.7 * narrow and "(40 heads)" in together.note


def test_volumes_of_similar_shapes_go_with_the_area_to_one_and_a_half():
    assert volume_ratios([100, 400, 0, 100])[0] == pytest.approx(8)
    assert np.isnan(volume_ratios([100, 400, 0, 100])[1:]).all()


def test_a_series_that_keeps_to_its_law_follows_it_and_one_that_jumps_does_not():
    asked = [100, 150, 220]
    assert follows_law(asked, [90, 140, 200]).tolist() == [1, 1]
    assert follows_law(asked, [90, 300, 310]).tolist() == [0, 0]
    assert np.isnan(follows_law(asked, [90, 0, 200])).all()


def test_what_doubles_in_a_week_is_faster_than_a_disease_that_takes_months():
    limits = Limits(doubling_days=60, halving_days=30, source="made up")
    areas = [100, 100 * 2 ** (2 / 3), 100 * 2 ** (4 / 3)]  # volume doubles twice
    assert faster_than_biology(limits, (0, 60, 120), areas).tolist() == [0, 0]
    assert faster_than_biology(limits, (0, 7, 14), areas).tolist() == [1, 1]
    assert faster_than_biology(limits, (0, 7, 14), areas[::-1]).tolist() == [1, 1]


def test_the_part_runs_to_its_end_and_resumes(tmp_path, tiny_studio, monkeypatch):
    material = material_of(tmp_path, heads(3, 3), studio=tiny_studio)
    monkeypatch.setattr(part, "SHOWN", 1)
    monkeypatch.setattr(part, "SERIES", ((part.SERIES[0][0], (0, 60)),))
    found = part.hallucination(material, lambda *what: None)
    keys = [figure.key for figure in found.figures]
    assert len(keys) == len(set(keys)) and "hallucination.series.pace" in keys
    assert (tmp_path / found.plates[0].file).exists() and found.plates[0].synthetic
    assert all(len(line.x) == len(line.y) for line in found.curves[0].lines)
    monkeypatch.setattr(part, "make_series", None)  # nothing is worked out again
    monkeypatch.setattr(part, "residuals", None)
    assert part.hallucination(material, lambda *what: None).figures == found.figures
