"""To the pack's grid and back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from meddiff.imaging.grid import to_grid


def test_the_packs_own_grid_is_the_identity(phantom):
    picture, grid = to_grid(phantom, (0.98, 0.98))
    assert grid.identity and np.array_equal(picture, phantom) and np.array_equal(grid.back(picture), phantom)


def test_sizes_in_mm_are_kept_on_the_grid_and_places_come_back():
    wide = np.zeros((300, 400), np.float32)
    wide[140:180, 250:290] = 1  # 20 mm x 20 mm at 0.5 mm
    picture, grid = to_grid(wide, (0.5, 0.5))
    area = (picture > 0.5).sum() * 0.98**2
    assert area == pytest.approx(400, rel=0.06)
    back = grid.back(picture) > 0.5
    overlap = 2 * (back & (wide > 0)).sum() / (back.sum() + wide.sum())
    assert overlap > 0.95


def test_pixels_that_are_not_square_become_square():
    native = np.zeros((100, 300), np.float32)
    native[40:60, 120:180] = 1  # 20 x 2.0 mm by 60 x 0.7 mm
    picture, _ = to_grid(native, (2.0, 0.7))
    rows, columns = np.flatnonzero((picture > 0.5).any(1)), np.flatnonzero((picture > 0.5).any(0))
    assert len(rows) * 0.98 == pytest.approx(40, abs=1.5) and len(columns) * 0.98 == pytest.approx(42, abs=1.5)


def test_without_spacing_the_longer_side_is_the_field_of_view():
    picture, grid = to_grid(np.ones((256, 512), np.float32), None)
    assert grid.step == (2.0, 2.0)
    assert picture[128].min() == pytest.approx(1) and picture[0].max() == 0


@settings(max_examples=25, deadline=None)
@given(
    shape=st.tuples(st.integers(64, 320), st.integers(64, 320)),
    spacing=st.none() | st.tuples(st.floats(0.4, 2.5), st.floats(0.4, 2.5)),
)
def test_smooth_content_comes_back_to_its_place_and_height(shape, spacing):
    blob = np.zeros(shape, np.float32)
    blob[shape[0] // 2 - 8 : shape[0] // 2 + 8, shape[1] // 2 - 8 : shape[1] // 2 + 8] = 1
    blob = ndimage.gaussian_filter(blob, 6)
    picture, grid = to_grid(blob, spacing)
    back = grid.back(picture)
    assert picture.shape == (256, 256) and back.shape == shape and back.dtype == np.float32
    assert np.allclose(ndimage.center_of_mass(back), ndimage.center_of_mass(blob), atol=0.5)
    assert back.max() == pytest.approx(blob.max(), rel=0.2)
