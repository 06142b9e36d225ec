"""Painted heads: skull, ventricles, falx and white matter slow, stop or speed a lesion; where none is seen, nothing does."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from meddiff.case import MedDiffError, Plane
from meddiff.conditions.barriers import CSF, FALX, WHITE_MATTER, barriers
from meddiff.conditions.masks import draw_ellipse, standard_head
from meddiff.conditions.measure import head_mask
from meddiff.conditions.place import brain_of

SHAPE = (256, 256)
BRAIN = draw_ellipse(SHAPE, (128, 128), (88, 70))
VENTRICLE = draw_ellipse(SHAPE, (128, 108), (22, 8))
LINE = np.zeros(SHAPE, bool)
LINE[42:100, 127:129] = True


def painted(*layers: tuple[np.ndarray, float], noise: float = 0.0) -> np.ndarray:
    """Scalp 0.9, skull 0.05, brain 0.4, the layers on it, and Rician-like noise."""
    picture = np.where(draw_ellipse(SHAPE, (128, 128), (104, 86)), 0.9, 0.0)
    picture[draw_ellipse(SHAPE, (128, 128), (98, 80))] = 0.05
    picture[BRAIN] = 0.4
    for mask, value in layers:
        picture[mask] = value
    return np.abs(picture + np.random.default_rng(0).normal(0, noise, SHAPE)).clip(0, 1).astype(np.float32)


def inner(mask: np.ndarray, by: int) -> np.ndarray:
    return ndimage.binary_erosion(mask, iterations=by)


@pytest.mark.parametrize("plane", list(Plane))
@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_an_even_brain_has_the_speed_1_and_what_is_around_it_0(plane: Plane, noise: float) -> None:
    speed = barriers(painted(noise=noise), plane)
    assert speed.dtype == np.float32 and speed.shape == SHAPE
    assert (speed[~ndimage.binary_dilation(BRAIN, iterations=2)] == 0).all()
    shown = inner(BRAIN & brain_of(head_mask(painted()), plane), 12)
    assert np.mean(speed[shown] == 1) > 0.98


def test_the_brain_is_found_more_exactly_than_by_the_heads_outline() -> None:
    picture = painted((BRAIN & ~draw_ellipse(SHAPE, (128, 128), (78, 60)), 0.15))  # a shrunken brain in CSF
    assert (barriers(picture, Plane.AXIAL)[inner(BRAIN, 1) & ~draw_ellipse(SHAPE, (128, 128), (80, 62))] == 0).all()


def test_ventricles_are_slow() -> None:
    speed = barriers(painted((VENTRICLE, 0.12), noise=0.02), Plane.AXIAL)
    assert np.allclose(speed[inner(VENTRICLE, 2)], CSF)
    assert np.median(speed[ndimage.binary_dilation(VENTRICLE, iterations=12) & ~VENTRICLE]) == 1


@pytest.mark.parametrize("value", [0.2, 0.6])
@pytest.mark.parametrize("plane", [Plane.AXIAL, Plane.CORONAL])
def test_a_falx_is_slow_whether_it_is_dark_or_bright(plane: Plane, value: float) -> None:
    speed = barriers(painted((LINE, value), noise=0.02), plane)
    assert np.mean(speed[56:96, 126:130].min(1) <= FALX) > 0.9  # in each row there is no way past it
    assert np.mean(speed[130:170, 120:136] == 1) > 0.95  # where it has ended, hemispheres are joined


def test_a_falx_is_followed_where_a_head_lies_askew() -> None:
    picture = ndimage.rotate(painted((LINE, 0.2)), 10, reshape=False, order=1)
    line = ndimage.rotate(LINE.astype(float), 10, reshape=False, order=1) > 0.5
    speed = barriers(picture, Plane.AXIAL)
    assert np.mean(speed[line & inner(BRAIN, 14)] <= FALX) > 0.8


def test_a_sagittal_slice_has_no_falx() -> None:
    line = LINE & inner(BRAIN, 14)
    assert (barriers(painted((line, 0.6)), Plane.SAGITTAL)[line] >= 1).all()


def test_bands_of_white_matter_are_fast_in_spite_of_shading() -> None:
    band = draw_ellipse(SHAPE, (150, 150), (30, 7), 20)
    shading = np.linspace(0.8, 1.2, SHAPE[1])
    speed = barriers((painted((band, 0.45), noise=0.02) * shading).astype(np.float32), Plane.AXIAL)
    assert speed[inner(band, 3)].mean() > (1 + WHITE_MATTER) / 2
    assert np.mean(speed[inner(BRAIN, 14) & ~ndimage.binary_dilation(band, iterations=12)] == 1) > 0.95


def test_a_lesion_counts_as_brain_and_hides_no_barrier() -> None:
    lesion = draw_ellipse(SHAPE, (100, 175), (20, 20))
    for value in (0.05, 1.0):
        speed = barriers(painted((VENTRICLE, 0.12), (lesion, value)), Plane.AXIAL, lesion)
        assert (speed[lesion] > 0).all()
        assert np.allclose(speed[inner(VENTRICLE, 2)], CSF)


def test_a_lesion_cut_off_from_the_brain_has_room_beside_it() -> None:
    bone = draw_ellipse(SHAPE, (70, 128), (25, 25))
    cistern = draw_ellipse(SHAPE, (70, 128), (17, 17))
    lesion = draw_ellipse(SHAPE, (70, 128), (9, 9))
    speed = barriers(painted((bone, 0.02), (cistern, 0.2), (lesion, 0.8)), Plane.AXIAL, lesion)
    assert (speed[inner(cistern, 3)] > 0).all()


def test_a_picture_in_which_no_brain_is_found_is_slow_nowhere_in_the_brains_place() -> None:
    head = standard_head(Plane.AXIAL)
    stripes = np.where(head, 0.1 + 0.8 * (np.indices(SHAPE).sum(0) % 8 < 4), 0).astype(np.float32)
    assert ((barriers(stripes, Plane.AXIAL) > 0) == brain_of(head_mask(stripes), Plane.AXIAL)).all()


def test_what_cannot_be_searched_is_said() -> None:
    with pytest.raises(MedDiffError, match="No head"):
        barriers(np.zeros(SHAPE, np.float32), Plane.AXIAL)
    with pytest.raises(MedDiffError, match="same grid"):
        barriers(painted(), Plane.AXIAL, np.ones((64, 64), bool))
