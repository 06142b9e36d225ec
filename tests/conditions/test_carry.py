"""A lesion's look follows its outline: larger, smaller, moved, in pieces."""

import numpy as np
from scipy import ndimage

from meddiff.conditions.carry import carried, stretched
from meddiff.conditions.masks import draw_ellipse

SIZE = (256, 256)
BEFORE = draw_ellipse(SIZE, (120, 140), (14, 11))


def ring(mask: np.ndarray, inside: float = 0.2, rim: float = 0.8, around: float = 0.4) -> np.ndarray:
    """A picture with a lesion whose outer half in area is a bright rim."""
    deep = ndimage.distance_transform_edt(mask)
    return np.where(mask, np.where(deep > 0.35 * deep.max(), inside, rim), around).astype(np.float32)


def test_into_its_own_outline_a_lesion_is_carried_as_it_is():
    picture = ring(BEFORE)
    deep = ndimage.binary_erosion(BEFORE, iterations=2)
    assert np.abs(stretched(picture, BEFORE, BEFORE) - picture)[deep].mean() < 0.06
    assert np.abs(carried(picture, BEFORE, BEFORE, np.full(SIZE, 0.4)) - picture)[deep].mean() < 0.06


def test_a_ring_stays_a_ring_when_it_grows_shrinks_and_moves():
    picture, healthy = ring(BEFORE), np.full(SIZE, 0.4, np.float32)
    for middle, radii in (((120, 140), (24, 20)), ((120, 140), (8, 7)), ((90, 100), (14, 16))):
        after = draw_ellipse(SIZE, middle, radii)
        shown = carried(picture, BEFORE, after, healthy)
        deep = ndimage.distance_transform_edt(after)
        core, rim = deep > 0.6 * deep.max(), after & (deep < 0.25 * deep.max()) & (deep > 1)
        assert shown[core].mean() < 0.3 and shown[rim].mean() > 0.55
        away = ~ndimage.binary_dilation(after, iterations=8)
        assert np.array_equal(shown[away], healthy[away])


def test_every_piece_shows_the_lesion_and_an_empty_outline_shows_none():
    picture, healthy = ring(BEFORE, inside=0.7), np.full(SIZE, 0.4, np.float32)
    pieces = draw_ellipse(SIZE, (120, 140), (16, 14)) | draw_ellipse(SIZE, (60, 90), (5, 5))
    shown = carried(picture, BEFORE, pieces, healthy)
    assert shown[pieces].mean() > 0.65
    nothing = np.zeros(SIZE, bool)
    assert np.array_equal(carried(picture, BEFORE, nothing, healthy), healthy)
    assert np.array_equal(carried(picture, nothing, BEFORE, healthy), healthy)
