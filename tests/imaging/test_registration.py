"""A moved head is found again, and the score tells good from bad."""

import numpy as np
import pytest
from scipy import ndimage

from meddiff.case import MedDiffError
from meddiff.imaging.registration import quality, register


def test_a_known_move_is_undone(phantom):
    moved = ndimage.shift(ndimage.rotate(phantom, 6, reshape=False, order=1), (5, -7), order=1)
    found = register(phantom, moved, (0.98, 0.98), (0.98, 0.98))
    assert np.abs(found.pixels - phantom).mean() < 0.4 * np.abs(moved - phantom).mean()
    assert np.degrees(found.parameters[0]) == pytest.approx(-6, abs=1) or np.degrees(
        found.parameters[0]
    ) == pytest.approx(6, abs=1)
    assert found.good


def test_the_same_input_gives_the_same_result(phantom):
    moved = ndimage.shift(phantom, (3, 2), order=1)
    one, two = (register(phantom, moved, (1, 1), (1, 1)) for _ in range(2))
    assert one.parameters == two.parameters


def test_the_score_is_high_for_itself_and_low_for_another_thing(phantom):
    assert quality(phantom, phantom) == pytest.approx(1)
    assert quality(phantom, np.random.default_rng(0).random(phantom.shape)) < 0.75


def test_a_slice_is_not_registered_with_a_volume(phantom):
    with pytest.raises(MedDiffError, match="2D with 3D"):
        register(phantom, phantom[None], (1, 1), (1, 1, 1))
