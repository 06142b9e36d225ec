"""Drawn first, applied after, replayed at will."""

import numpy as np
import pytest

from meddiff.imaging.augmentation import Augmentation, Bounds, apply, draw, sampling


def test_a_seed_gives_the_same_parameters_and_the_same_picture(phantom, phantom_mask):
    assert draw(5) == draw(5) != draw(6)
    one, two = (apply(draw(5), phantom, phantom_mask) for _ in range(2))
    assert np.array_equal(one[0], two[0]) and np.array_equal(one[1], two[1])


def test_what_was_drawn_is_kept_as_text_and_replayed_from_it(phantom):
    drawn = draw(11, mirror=True)
    kept = Augmentation.model_validate_json(drawn.canonical_json())
    assert kept == drawn
    assert np.array_equal(apply(kept, phantom)[0], apply(drawn, phantom)[0])


def test_nothing_drawn_changes_nothing(phantom, phantom_mask):
    picture, mask = apply(Augmentation(seed=0), phantom, phantom_mask)
    assert np.allclose(picture, phantom, atol=1e-6) and np.array_equal(mask, phantom_mask)


@pytest.mark.parametrize("seed", range(6))
def test_picture_and_outline_move_together_and_stay_plausible(phantom, phantom_mask, seed):
    drawn = draw(seed, mirror=True)
    picture, mask = apply(drawn, phantom, phantom_mask)
    assert picture.shape == phantom.shape and 0 <= picture.min() <= picture.max() <= 1
    assert picture[mask].mean() > picture[~mask & (picture > 0.1)].mean()  # the bright lesion is under its outline
    assert 0.6 < mask.sum() / phantom_mask.sum() < 1.5


def test_each_parameter_does_what_it_says(phantom, phantom_mask):
    _, wider = apply(Augmentation(seed=0, scale=(1.0, 1.1)), phantom, phantom_mask)
    assert wider.any(0).sum() / phantom_mask.any(0).sum() == pytest.approx(1.1, abs=0.05)
    assert wider.any(1).sum() == phantom_mask.any(1).sum()
    assert np.allclose(apply(Augmentation(seed=0, gamma=1.2), phantom)[0], phantom**1.2, atol=1e-5)
    noisy, _ = apply(Augmentation(seed=0, noise=0.03), np.full((64, 64), 0.5, np.float32))
    assert noisy.std() == pytest.approx(0.03, rel=0.1)
    flipped, mask = apply(Augmentation(seed=0, mirror=True), phantom, phantom_mask)
    assert np.allclose(flipped, phantom[:, ::-1], atol=1e-6) and np.array_equal(mask, phantom_mask[:, ::-1])
    turned, _ = apply(Augmentation(seed=0, degrees=90), phantom)
    assert np.allclose(turned, np.rot90(phantom), atol=1e-4) or np.allclose(turned, np.rot90(phantom, -1), atol=1e-4)


def test_the_strongest_elastic_field_bends_tissue_and_never_folds_it():
    for seed in range(20):
        rows, columns = sampling(Augmentation(seed=seed, elastic_px=Bounds().elastic_px), (256, 256))
        (rr, rc), (cr, cc) = np.gradient(rows), np.gradient(columns)
        stretch = rr * cc - rc * cr  # determinant of the Jacobian: 1 keeps areas, 0 and below folds
        assert stretch.min() > 0.5 and stretch.max() < 1.6
        assert stretch.std() > 0.005


def test_draws_keep_within_their_bounds():
    bounds = Bounds()
    for seed in range(50):
        drawn = draw(seed, bounds)
        assert drawn.elastic_px <= bounds.elastic_px and drawn.noise <= bounds.noise
        assert abs(np.log(drawn.gamma)) <= bounds.gamma + 1e-9 and abs(drawn.degrees) <= bounds.degrees
        assert all(abs(s - 1) <= bounds.scale for s in drawn.scale) and not drawn.mirror
    assert {draw(seed, mirror=True).mirror for seed in range(10)} == {True, False}
