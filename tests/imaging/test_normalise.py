"""Native units to [0, 1], and to the pack's grid and back."""

import numpy as np
import pytest

from meddiff.case import MedDiffError
from meddiff.imaging import normalise as normalised
from meddiff.imaging.grid import to_grid
from meddiff.imaging.normalise import CT_WINDOWS, clip_suv, ct_window, equalise, percentile, suv, window, z_score
from meddiff.imaging.read import Slice


@pytest.mark.parametrize("name", sorted(CT_WINDOWS))
def test_ct_windows_put_their_centre_in_the_middle_and_clip_at_their_edges(name):
    centre, width = CT_WINDOWS[name]
    values = ct_window(np.array([[centre - 0.5, centre - width, centre + width]]), name)
    assert values.tolist() == [[0.5, 0.0, 1.0]]


def test_windows_that_make_no_sense_are_refused():
    with pytest.raises(MedDiffError, match="width"):
        window(np.zeros((2, 2)), 0, 0)
    with pytest.raises(MedDiffError, match="use one of"):
        ct_window(np.zeros((2, 2)), "liver?")


def test_mr_does_not_depend_on_gain(phantom):
    assert np.allclose(percentile(phantom * 900 + 30), percentile(phantom), atol=1e-4)
    assert np.allclose(z_score(phantom * 900), z_score(phantom), atol=1e-4)


def test_suv_follows_its_formula():
    # 5 kBq/ml in 70 kg after 370 MBq: 0.946 at once, twice that after one half-life.
    activity = np.array([[5000.0]])
    at_once = suv(activity, 70, 370e6, 0)
    assert at_once == pytest.approx(5000 * 70_000 / 370e6)
    assert suv(activity, 70, 370e6, 6586.2) == pytest.approx(2 * at_once)
    assert clip_suv(np.array([5.0, 25.0])).tolist() == [0.5, 1.0]
    with pytest.raises(MedDiffError, match="weight"):
        suv(activity, 0, 1, 0)


def test_radiographs_are_spread_over_the_range(phantom):
    flat = equalise(phantom**4)
    shown = phantom > 0.05
    assert np.median((phantom**4)[shown]) < 0.1
    assert np.median(flat[shown]) > 0.5  # what was crowded at the dark end is spread


def test_each_modality_gets_its_own(phantom):
    for modality in ("MR", "CT", "PT", "CR", "unknown"):
        picture = normalised(Slice(phantom * 100, phantom, modality=modality))
        assert picture.dtype == np.float32 and 0 <= picture.min() <= picture.max() <= 1
    with pytest.raises(MedDiffError, match="no normalising"):
        normalised(Slice(phantom, phantom), "magic")


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


def test_without_spacing_the_longer_side_is_the_field_of_view():
    picture, grid = to_grid(np.ones((256, 512), np.float32), None)
    assert grid.step == (2.0, 2.0)
    assert picture[128].min() == pytest.approx(1) and picture[0].max() == 0
