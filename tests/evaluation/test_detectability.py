"""Detectability: an observer whose d' is known, an index that knows a faint lesion from a plain one."""

from __future__ import annotations

import numpy as np
import pytest

from meddiff.case import Plane
from meddiff.evaluation.detectability import (
    CAP,
    across_midline,
    channels,
    conspicuities,
    contrast_sensitivity,
    contrast_to_noise,
    detectability,
    index,
    mirrored_pairs,
    observe,
    patches,
    visibility,
)
from meddiff.evaluation.material import Pictures
from tests.evaluation.made_up import heads, material_of, told, without_lesions


def test_contrast_to_noise_is_that_of_the_ring():
    rng = np.random.default_rng(0)
    picture = rng.normal(100, 5, (80, 80))
    outline = np.zeros((80, 80), bool)
    outline[30:50, 30:50] = True
    picture[outline] += 20
    everywhere = np.ones((80, 80), bool)
    assert contrast_to_noise(picture, outline, everywhere) == pytest.approx(4, rel=0.15)
    far = picture.copy()
    far[:20] += 1000  # beyond the ring: of no account
    assert contrast_to_noise(far, outline, everywhere) == contrast_to_noise(picture, outline, everywhere)
    assert np.isnan(contrast_to_noise(picture, outline, outline))  # no head around it, no ring


def test_the_eye_is_most_sensitive_to_a_few_cycles_a_degree_and_to_large_things():
    frequencies = np.geomspace(0.1, 50, 200)
    curve = contrast_sensitivity(frequencies, 10.0)
    assert 2 < frequencies[curve.argmax()] < 6  # Barten (1999), figure 3.1 and others
    assert 300 < curve.max() < 700
    sizes = [visibility(mm) for mm in (2, 5, 10, 20, 40, 80)]
    assert sizes == sorted(sizes)
    assert sizes[0] < 0.2 < 0.7 < sizes[-1] <= 1


def test_the_index_is_one_for_lesions_as_plain_as_real_ones_and_is_capped():
    real, types = np.array([1.0, 3.0, 10.0]), ("glioma", "glioma", "meningioma")
    found = index(np.array([2.0, 40.0, 5.0, 1.0]), ("glioma", "glioma", "meningioma", "pituitary_tumor"), real, types)
    np.testing.assert_allclose(found[:3], [1, CAP, 0.5])
    assert np.isnan(found[3])


def test_faint_lesions_are_less_conspicuous_than_plain_ones():
    plain, faint = heads(4, 0), heads(4, 0, lesion=0.05)
    assert (conspicuities(faint) < 0.5 * conspicuities(plain)).all()


def test_channels_that_fit_their_patch_are_orthonormal():
    shapes = channels(64, 4, width=16)
    np.testing.assert_allclose(shapes.T @ shapes, np.eye(4), atol=0.01)


def test_the_observer_of_a_known_signal_in_white_noise_reaches_its_analytic_d():
    # A signal in the channels' span: the channelised observer loses nothing, d' = |signal| / noise.
    rng = np.random.default_rng(0)
    size, count, d = 24, 600, 2.0
    shapes = channels(size, 4)
    signal = (d * shapes[:, 0]).reshape(size, size)
    absent = rng.normal(0, 1, (count, size, size))
    present = rng.normal(0, 1, (count, size, size)) + signal
    found = observe(present, absent, shapes)
    assert found.d == pytest.approx(d, abs=0.12)
    assert found.low < d < found.high
    assert found.auc == pytest.approx(0.921, abs=0.012)  # Phi(2 / sqrt 2)


def test_the_observer_whitens_what_is_correlated():
    # Two channels with noise of correlation r, a signal in the first alone: d'^2 = 1 / (1 - r^2), not 1.
    rng = np.random.default_rng(0)
    r = 0.9
    noise = [rng.multivariate_normal([0, 0], [[1, r], [r, 1]], 1500).reshape(-1, 1, 2) for _ in range(2)]
    found = observe(noise[0] + np.array([1.0, 0.0]), noise[1], np.eye(2))
    assert found.d == pytest.approx((1 - r**2) ** -0.5, rel=0.08)


def test_the_observer_sees_nothing_where_there_is_nothing():
    found = [
        observe(*np.random.default_rng(seed).normal(0, 1, (2, 60, 16, 16)), seed=seed).d for seed in range(20)
    ]  # fmt: skip
    assert abs(np.mean(found)) < 0.2  # found on the same pairs, six channels would give about 0.6
    with pytest.raises(ValueError, match="pairs"):
        observe(np.zeros((3, 8, 8)), np.zeros((3, 8, 8)))


def test_the_other_side_is_found_though_the_head_is_not_in_the_middle():
    picture = np.zeros((256, 256), np.uint8)
    picture[40:200, 20:180] = 90
    picture[100:120, 40:60] = 200
    turned = across_midline(picture, picture)
    np.testing.assert_array_equal(turned[100:120, 140:160], 200)
    np.testing.assert_array_equal(turned > 0, picture > 0)


def test_lesions_on_the_midline_and_sagittal_slices_have_no_healthy_other_side():
    pictures = heads(4, 0)
    middle = pictures.outlines.copy()
    middle[0] = False
    middle[0, 120:140, 118:138] = True
    planes = (Plane.AXIAL, Plane.SAGITTAL, Plane.AXIAL, Plane.CORONAL)
    some = Pictures(pictures.pixels, middle, pictures.types, planes, pictures.findings, 0.98)
    present, absent = mirrored_pairs(some)
    assert len(present) == len(absent) == 2
    assert (present[:, 32, 32] > absent[:, 32, 32] + 0.5).all()


def test_patches_show_every_lesion_in_one_size_and_gain():
    pictures = heads(3, 0)
    dim = (pictures.pixels * 0.5).astype(np.uint8)
    shown = patches(pictures.pixels, pictures.outlines)
    assert shown.shape == (3, 64, 64)
    np.testing.assert_allclose(patches(dim, pictures.outlines), shown, atol=0.15)


def test_the_part_finds_plain_lesions_as_detectable_as_real_ones_and_none_on_twins(tiny_house, tmp_path):
    made = heads(36, 9)  # two thirds have another side
    found = detectability(material_of(tmp_path, made, without_lesions(36, 9), val=36), told)
    keys = {figure.key: figure for figure in found.figures}
    whole = keys["detectability.index"]
    assert whole.value == pytest.approx(1, abs=0.25)
    assert whole.real == pytest.approx(1, abs=0.25)
    assert whole.baseline < 0.3
    assert keys["detectability.cho.twin"].value > 3
    assert keys["detectability.cho.midline"].real > 3
    assert abs(keys["detectability.cho.midline"].baseline) < 1.5
    assert {"detectability.index.glioma", "detectability.cho_auc.twin"} <= set(keys)
