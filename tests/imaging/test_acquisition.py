"""A worse scan of the same patient: each part does what its name says, case and twin alike, and can be replayed."""

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import ndimage

from meddiff.case import Acquisition, MedDiffError
from meddiff.imaging.acquisition import SEVERITIES, acquire, severities, turned

SPACING = (0.98, 0.98)


@pytest.fixture
def pixels(phantom):
    return np.rint(phantom * 255).astype(np.uint8)


@pytest.mark.parametrize("part", SEVERITIES)
def test_each_severity_takes_a_picture_farther_from_what_it_was(pixels, part):
    apart = [
        np.abs(acquire(pixels, Acquisition(seed=5, **{part: strength}), SPACING).astype(int) - pixels).mean()
        for strength in severities(part)
    ]
    assert apart[0] > 0.05 and all(np.diff(apart) > 0)


def test_nothing_asked_changes_nothing_and_the_same_is_drawn_again(pixels):
    assert np.array_equal(acquire(pixels, Acquisition(seed=3), SPACING), pixels)
    change = Acquisition(seed=3, noise=0.1, bias=0.4)
    assert np.array_equal(acquire(pixels, change, SPACING), acquire(pixels, change, SPACING))
    assert not np.array_equal(
        acquire(pixels, change.model_copy(update={"seed": 4}), SPACING), acquire(pixels, change, SPACING)
    )


def test_noise_is_rician():
    dark, bright = np.zeros((256, 256), np.uint8), np.full((256, 256), 153, np.uint8)
    change = Acquisition(seed=1, noise=0.05)
    # Of nothing: a Rayleigh distribution, mean sigma sqrt(pi/2); of much signal: normal, standard deviation sigma.
    assert acquire(dark, change, SPACING).mean() / 255 == pytest.approx(0.05 * np.sqrt(np.pi / 2), rel=0.02)
    seen = acquire(bright, change, SPACING) / 255
    assert seen.std() == pytest.approx(0.05, rel=0.03) and seen.mean() == pytest.approx(np.hypot(0.6, 0.05), rel=0.005)


def test_a_case_and_its_twin_get_the_same_noise_so_that_only_the_lesion_differs(pixels, phantom_mask):
    twin = np.where(phantom_mask, 90, pixels).astype(np.uint8)
    change = Acquisition(seed=9, noise=0.04, bias=0.3, degrees=8)
    case, without = acquire(pixels, change, SPACING), acquire(twin, change, SPACING)
    away = ~ndimage.binary_dilation(turned(phantom_mask, change), iterations=2)
    assert np.array_equal(case[away], without[away]) and not np.array_equal(case, without)


def test_the_outline_turns_with_the_picture(pixels, phantom_mask):
    for degrees in (13, -26):
        change = Acquisition(degrees=degrees)
        bright = acquire(np.where(phantom_mask, 255, 0).astype(np.uint8), change, SPACING) > 127
        moved = turned(phantom_mask, change)
        assert 2 * (bright & moved).sum() / (bright.sum() + moved.sum()) > 0.97
        assert (moved & phantom_mask).sum() < 0.9 * phantom_mask.sum()


def test_blur_is_in_mm_and_a_ghost_lies_half_a_field_of_view_away(pixels):
    square = np.zeros((256, 256), np.uint8)
    square[96:105, 56:65] = 255
    spread = acquire(square, Acquisition(blur_mm=1.96), SPACING).astype(float).sum(1)
    variance = (spread * (np.arange(256) - 100) ** 2).sum() / spread.sum()
    assert variance == pytest.approx((9**2 - 1) / 12 + 2**2, rel=0.05)  # of the square, and of 1.96 mm as pixels
    point = np.zeros((256, 256), np.uint8)
    point[100, 60] = 255
    ghosted = acquire(point, Acquisition(ghosting=0.4), SPACING)
    assert ghosted[228, 60] == 51 and ghosted[100, 60] == 204


def test_the_coil_reaches_what_is_stated_over_the_head_and_pixels_grow():
    flat = np.full((256, 256), 120, np.uint8)
    seen = acquire(flat, Acquisition(seed=2, bias=0.3), SPACING) / 120
    rows, columns = np.mgrid[-1:1:256j, -1:1:256j]
    assert np.abs(seen[np.hypot(rows, columns) < 0.65] - 1).max() == pytest.approx(0.3, abs=0.01)
    stripes = np.tile([0, 200], (256, 128)).astype(np.uint8)
    assert acquire(stripes, Acquisition(pixel_factor=4), SPACING)[:, 8:-8].std() < 5


def test_what_no_scanner_gives_is_refused():
    with pytest.raises(MedDiffError, match="'fog' is nothing that an acquisition has"):
        severities("fog")
    for wrong in ({"noise": -0.1}, {"jpeg_quality": 0}, {"degrees": 120}, {"gain": float("nan")}):
        with pytest.raises(ValidationError):
            Acquisition(**wrong)
