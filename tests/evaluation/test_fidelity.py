"""Fidelity: measures that agree with their definitions, and distances that know bad pictures from real ones."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.data import camera
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from skimage.transform import resize

from meddiff.evaluation import fidelity as part
from meddiff.evaluation.features import radiomic_space
from meddiff.evaluation.fidelity import (
    blurred,
    coarser,
    distances,
    fidelity,
    half,
    ms_ssim,
    noisy,
    psnr,
    sets_of,
    ssim_terms,
)
from tests.evaluation.made_up import heads, material_of, told, without_lesions


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return resize(camera(), (256, 256), anti_aliasing=True).astype(np.float32)


def test_psnr_and_ssim_agree_with_the_library(picture):
    other = np.clip(picture + np.random.default_rng(0).normal(0, 0.05, picture.shape), 0, 1)
    assert psnr(picture, other) == pytest.approx(peak_signal_noise_ratio(picture.astype(float), other, data_range=1))
    library = structural_similarity(
        picture.astype(float), other, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1
    )
    assert ssim_terms(picture, other)[0] == pytest.approx(library, abs=1e-6)
    assert psnr(picture, picture) == np.inf


def test_ms_ssim_is_one_of_equals_and_forgives_what_is_seen_at_no_coarse_scale(picture):
    assert ms_ssim(picture, picture) == pytest.approx(1)
    rng = np.random.default_rng(0)
    fine = rng.normal(0, 0.05, picture.shape)
    coarse = rng.normal(0, 0.05, (8, 8)).repeat(32, 0).repeat(32, 1)
    assert ms_ssim(picture, picture + fine) > ssim_terms(picture, picture + fine)[0] + 0.1
    assert ssim_terms(picture, picture + coarse)[0] > ssim_terms(picture, picture + fine)[0]
    assert ms_ssim(picture, picture + 2 * fine) < ms_ssim(picture, picture + fine)
    with pytest.raises(ValueError, match="176"):
        ms_ssim(picture[:100], picture[:100])


def test_ms_ssim_of_a_changed_contrast_is_the_formula():
    # y = a x: structure and luminance are each 2 a / (1 + a^2) where the constants are small beside x; luminance counts at one scale.
    x = 100 * np.random.default_rng(0).normal(0, 1, (256, 256))
    assert ssim_terms(x, 0.5 * x)[1] == pytest.approx(0.8, abs=1e-4)
    assert ms_ssim(x, 0.5 * x) == pytest.approx(0.8 ** (sum(part.WEIGHTS) + part.WEIGHTS[-1]), abs=1e-3)


def test_pictures_that_are_bad_on_purpose_keep_their_brightness():
    pixels = heads(2, 0).pixels
    for spoilt in (blurred(pixels), coarser(pixels, 4)):
        assert spoilt.shape == pixels.shape
        assert spoilt.dtype == np.uint8
        assert spoilt.mean() == pytest.approx(pixels.mean(), abs=0.5)
    assert half(pixels).shape == (2, 128, 128)
    rough = noisy(pixels, 0).astype(float) - pixels
    assert rough[(pixels > 80) & (pixels < 180)].std() == pytest.approx(part.NOISE, rel=0.05)
    np.testing.assert_array_equal(noisy(pixels, 3), noisy(pixels, 3))


def test_distances_of_features_know_a_shift_and_pass_equals():
    rng = np.random.default_rng(0)
    base = rng.normal(size=(4, 300, 6))
    features = {
        "fitted": base[0],
        "reference": base[1],
        "made": base[2],
        "floor": base[3],
        "soft": rng.normal(1, 1, (300, 6)),
        "noise": rng.normal(0, 3, (300, 6)),
    }
    found = distances(features, 0, draws=50)
    for compared in found.values():
        assert compared.made.value < 0.3 * compared.soft
        assert compared.made.value < 0.3 * compared.noise
    assert found["frechet"].soft == pytest.approx(6, rel=0.25)  # a shift of 1 in each of 6
    assert found["kid"].made.low < 0 < found["kid"].made.high


def test_sets_are_disjoint_and_mixed_as_asked(tmp_path):
    made = heads(12, 9)
    stuff = material_of(tmp_path, made, without_lesions(12, 9))
    sets = sets_of(stuff)
    bytes_of = {name: {p.tobytes() for p in pictures.pixels} for name, pictures in sets.each().items()}
    assert not bytes_of["fitted"] & bytes_of["floor"]
    assert not bytes_of["fitted"] & bytes_of["reference"]
    assert len(sets.floor) == len(made)
    assert sorted(sets.floor.types) == sorted(made.types)


def test_the_part_finds_made_heads_of_the_same_kind_nearer_than_spoilt_ones(tiny_house, tmp_path, monkeypatch):
    # Radiomic features alone: a finder with random weights knows no heads, and the backbone may not be installed.
    monkeypatch.setattr(part, "spaces", lambda finder: (radiomic_space(),))
    found = fidelity(material_of(tmp_path, heads(12, 9), without_lesions(12, 9)), told)
    keys = {figure.key: figure for figure in found.figures}
    assert len(keys) == len(found.figures)
    whole = keys["fidelity.kid.radiomic"]
    assert whole.value < whole.baseline
    assert keys["fidelity.kid.radiomic_noise"].value < keys["fidelity.kid.radiomic_noise"].baseline
    assert keys["fidelity.psnr"].low < keys["fidelity.psnr"].value < keys["fidelity.psnr"].high
    assert keys["fidelity.frechet.imagenet"].value is None
    assert "pip install" in keys["fidelity.frechet.imagenet"].note
    assert [line.name for line in found.curves[0].lines] == ["made", "real train", "blurred real train"]
    assert list((tmp_path / "fidelity").glob("radiomic-*.safetensors"))
