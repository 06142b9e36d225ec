"""Polygons enclose the pixels of a mask, all of them and no other."""

from itertools import pairwise

import numpy as np
import pytest
from scipy import ndimage

from meddiff.teaching.export.outline import deepest, joined, polygons, within
from tests.exchange.dicom_support import flag
from tests.teaching.export.quiz_support import centres, winding


def blobs(seed: int) -> np.ndarray:
    """Several ragged parts, some with holes, some at the picture's edge."""
    noise = np.random.default_rng(seed).normal(size=(40, 60))
    return ndimage.gaussian_filter(noise, 2) > 0.08


@pytest.mark.parametrize("seed", range(8))
def test_polygons_enclose_exactly_the_pixels_of_a_mask_with_its_holes_filled(seed):
    mask = blobs(seed)
    parts = polygons(mask)
    turns = sum(winding(part, *centres(mask.shape)) for part in parts)
    assert len(parts) > 1
    assert np.array_equal(turns, ndimage.binary_fill_holes(mask).astype(int))


@pytest.mark.parametrize("seed", range(8))
def test_one_polygon_of_many_parts_encloses_the_same_and_repeats_no_corner_in_a_row(seed):
    mask = blobs(seed)
    whole = joined(polygons(mask))
    assert np.array_equal(winding(whole, *centres(mask.shape)) != 0, ndimage.binary_fill_holes(mask))
    assert all(here != then for here, then in pairwise(whole))


def test_a_square_has_four_corners_and_one_part_stays_as_it_is():
    mask = np.zeros((9, 9), bool)
    mask[2:5, 3:7] = True
    (square,) = polygons(mask)
    assert sorted(square) == [(3, 2), (3, 5), (7, 2), (7, 5)]
    assert joined([square]) == square


def test_parts_come_largest_first():
    mask = np.zeros((9, 9), bool)
    mask[0, 0] = mask[4:8, 4:8] = True
    assert [len(part) for part in polygons(mask)] == [4, 4] and polygons(mask)[0][0] == (4, 4)


def test_tolerance_is_in_millimetres_along_rows_and_columns_alike():
    mask = np.zeros((21, 21), bool)
    mask[10, 10] = True
    grown = within(mask, (1.0, 0.5), 3.0)
    assert grown[13, 10] and not grown[14, 10]
    assert grown[10, 16] and not grown[10, 17]
    assert np.array_equal(within(mask, (1.0, 0.5), 0), mask)
    assert not within(np.zeros((4, 4), bool), (1, 1), 50).any()


def test_the_deepest_point_lies_in_the_mask():
    column, row = deepest(flag())
    assert flag()[row - 2 : row + 3, column - 2 : column + 3].all()
