"""A moved head is found again, and the score tells good from bad."""

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from meddiff.case import MedDiffError
from meddiff.imaging.registration import GOOD_FROM, quality, register


@pytest.fixture
def two_threads():
    """ITK's default for the whole process set to two, whatever the machine has."""
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(2)
    yield
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)


def test_a_known_move_is_undone(phantom):
    moved = ndimage.shift(ndimage.rotate(phantom, 6, reshape=False, order=1), (5, -7), order=1)
    found = register(phantom, moved, (0.98, 0.98), (0.98, 0.98))
    assert np.abs(found.pixels - phantom).mean() < 0.4 * np.abs(moved - phantom).mean()
    assert abs(np.degrees(found.parameters[0])) == pytest.approx(6, abs=1)
    assert found.good and "lie on each other (" in found.verdict


def test_a_slice_at_another_spacing_comes_onto_the_fixed_ones_grid(phantom):
    coarse = ndimage.zoom(phantom, 0.5, order=1)
    found = register(phantom, coarse, (1, 1), (2, 2))
    assert found.pixels.shape == phantom.shape
    assert quality(phantom, found.pixels) > 0.9


def test_a_volume_is_found_again(phantom):
    volume = np.stack([phantom[::4, ::4] * (1 - abs(k - 8) / 20) for k in range(16)])
    moved = ndimage.shift(volume, (1, 3, -2), order=1)
    found, again = (register(volume, moved, (3, 4, 4), (3, 4, 4)) for _ in range(2))
    assert found.parameters == again.parameters
    assert found.parameters[3:] == pytest.approx((-8, 12, 3), abs=2)  # x, y, z in mm
    assert found.quality > quality(volume, moved) and found.good


def test_the_same_input_gives_the_same_result_and_leaves_other_work_its_threads(phantom, two_threads):
    moved = ndimage.shift(phantom, (3, 2), order=1)
    first, *others = (register(phantom, moved, (1, 1), (1, 1)) for _ in range(4))
    for other in others:
        assert other.parameters == first.parameters and np.array_equal(other.pixels, first.pixels)
    assert sitk.ProcessObject.GetGlobalDefaultNumberOfThreads() == 2


def test_the_score_is_high_for_itself_and_low_for_another_thing(phantom):
    assert quality(phantom, phantom) == pytest.approx(1)
    assert quality(phantom, np.random.default_rng(0).random(phantom.shape)) < GOOD_FROM
    assert quality(phantom, np.zeros_like(phantom)) == 0


def test_the_score_does_not_depend_on_where_the_units_begin(phantom):
    moved = ndimage.shift(phantom, (6, 4), order=1)
    assert quality(phantom * 2000 - 1000, moved * 2000 - 1000) == pytest.approx(quality(phantom, moved), abs=1e-3)


def test_a_bad_fit_is_said_in_words(phantom):
    other = np.random.default_rng(0).random((64, 64)).astype(np.float32)
    found = register(phantom[::4, ::4], other, (1, 1), (1, 1))
    assert not found.good and "not" in found.verdict and f"{GOOD_FROM:.2f}" in found.verdict


def test_what_cannot_be_registered_is_answered_in_a_sentence(phantom):
    with pytest.raises(MedDiffError, match="2D with 3D"):
        register(phantom, phantom[None], (1, 1), (1, 1, 1))
    with pytest.raises(MedDiffError, match="shows nothing"):
        register(phantom, np.zeros_like(phantom), (1, 1), (1, 1))
    with pytest.raises(MedDiffError, match="side below"):
        register(phantom, phantom[:5], (1, 1), (1, 1))
