"""Drawn first, applied after, replayed at will."""

import numpy as np
import pytest

from meddiff.imaging.augmentation import Augmentation, Bounds, apply, draw


def test_a_seed_gives_the_same_parameters_and_the_same_picture(phantom, phantom_mask):
    assert draw(5) == draw(5) != draw(6)
    one, two = (apply(draw(5), phantom, phantom_mask) for _ in range(2))
    assert np.array_equal(one[0], two[0]) and np.array_equal(one[1], two[1])


def test_nothing_drawn_changes_nothing(phantom, phantom_mask):
    still = Augmentation(0, 0.0, 1.0, 0.0, (1.0, 1.0), 0.0)
    picture, mask = apply(still, phantom, phantom_mask)
    assert np.allclose(picture, phantom, atol=1e-6) and np.array_equal(mask, phantom_mask)


@pytest.mark.parametrize("seed", range(6))
def test_picture_and_outline_move_together_and_stay_plausible(phantom, phantom_mask, seed):
    drawn = draw(seed, mirror=True)
    picture, mask = apply(drawn, phantom, phantom_mask)
    assert picture.shape == phantom.shape and 0 <= picture.min() <= picture.max() <= 1
    assert picture[mask].mean() > picture[~mask & (picture > 0.1)].mean()  # the bright lesion is under its outline
    assert 0.6 < mask.sum() / phantom_mask.sum() < 1.5


def test_draws_keep_within_their_bounds():
    bounds = Bounds()
    for seed in range(50):
        drawn = draw(seed, bounds)
        assert drawn.elastic_px <= bounds.elastic_px and drawn.noise <= bounds.noise
        assert abs(np.log(drawn.gamma)) <= bounds.gamma + 1e-9 and abs(drawn.degrees) <= bounds.degrees
        assert all(abs(s - 1) <= bounds.scale for s in drawn.scale) and not drawn.mirror
