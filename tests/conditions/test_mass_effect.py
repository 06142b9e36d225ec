"""The brain is pushed away as far as asked, never folded, and the skull stands still."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from meddiff.case import MedDiffError, Plane
from meddiff.conditions.masks import draw_ellipse, standard_head
from meddiff.conditions.mass_effect import jacobian_of, mass_effect, warp
from meddiff.conditions.place import brain_of

SHAPE = (256, 256)
BRAIN = brain_of(standard_head(Plane.AXIAL), Plane.AXIAL)
NOTHING = np.zeros(SHAPE, bool)
CENTRE = (128, 128)


def disc(radius: float, centre: tuple[float, float] = CENTRE) -> np.ndarray:
    return draw_ellipse(SHAPE, centre, (radius, radius))


def length(displacement: np.ndarray) -> np.ndarray:
    return np.hypot(*displacement)


def outwards(displacement: np.ndarray) -> np.ndarray:
    """The part of a displacement that points away from the centre, [H, W]."""
    away = np.indices(SHAPE) - np.array(CENTRE)[:, None, None]
    return (displacement * away).sum(0) / np.maximum(np.hypot(*away), 1)


def radius(mask: np.ndarray) -> float:
    return float(np.sqrt(mask.sum() / np.pi))


@pytest.mark.parametrize("amplitude", [0.25, 0.5, 1.0])
def test_growth_pushes_by_the_amplitude_times_the_growth_of_the_radius(amplitude: float) -> None:
    small, large = disc(10), disc(18)
    push = mass_effect(small, large, BRAIN, 0.98, amplitude)
    assert push.shape == (2, *SHAPE) and push.dtype == np.float32
    assert length(push).max() == pytest.approx(amplitude * (radius(large) - radius(small)), rel=1e-3)
    pull = mass_effect(large, small, BRAIN, 0.98, amplitude)
    assert length(pull).max() == pytest.approx(length(push).max(), rel=0.03)


def test_growth_pushes_away_most_at_the_outline_and_less_farther_off() -> None:
    push = mass_effect(disc(10), disc(18), BRAIN, 0.98, 0.8)
    outside = BRAIN & ~disc(18)
    assert (outwards(push)[outside] >= 0).all()
    along = [outwards(push)[128, 128 + step] for step in (18, 25, 35, 50)]
    assert along == sorted(along, reverse=True) and along[-1] < 0.3 * along[0]


def test_shrinking_pulls_back_and_undoes_growth() -> None:
    small, large = disc(12, (110, 150)), disc(20, (112, 148))
    push, pull = mass_effect(small, large, BRAIN, 0.98, 0.8), mass_effect(large, small, BRAIN, 0.98, 0.8)
    rows, columns = np.indices(SHAPE)
    picture = np.sin(rows / 9) * np.cos(columns / 11)
    there = warp(picture, push)
    assert np.abs(there - picture).max() > 0.3
    assert np.abs(warp(there, pull) - picture).max() < 0.03


def test_what_lay_at_the_old_outline_lies_at_the_new_one_at_full_amplitude() -> None:
    small, large = disc(12), disc(20)
    moved = warp(small.astype(float), mass_effect(small, large, BRAIN, 0.98, 1.0)) > 0.5
    assert (moved & large).sum() / (moved | large).sum() > 0.9
    back = warp(large.astype(float), mass_effect(large, small, BRAIN, 0.98, 1.0)) > 0.5
    assert (back & small).sum() / (back | small).sum() > 0.85


def test_one_sided_growth_pushes_on_that_side() -> None:
    push = mass_effect(disc(12), disc(12) | disc(12, (128, 140)), BRAIN, 0.98, 0.8)
    assert push[1, 128, 156] > 3 * abs(push[1, 128, 112])


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(st.integers(60, 200), st.integers(70, 185)),
    st.tuples(st.floats(-12, 12), st.floats(-12, 12)),
    st.floats(0, 30),
    st.floats(0, 30),
    st.floats(0, 1),
)
def test_nothing_folds_and_nothing_moves_outside_the_brain(
    centre: tuple[int, int], shift: tuple[float, float], first: float, second: float, amplitude: float
) -> None:
    before = disc(first, centre) if first > 1 else NOTHING
    after = draw_ellipse(SHAPE, (centre[0] + shift[0], centre[1] + shift[1]), (second + 0.5, second / 2 + 0.5), 30)
    displacement = mass_effect(before, after, BRAIN, 0.98, amplitude)
    assert jacobian_of(displacement).min() > 0
    assert (displacement[:, ~BRAIN] == 0).all()
    assert length(displacement).max() <= amplitude * abs(radius(after) - radius(before)) * 1.001 + 1e-6


def test_a_lesion_that_comes_from_nothing_or_goes_into_nothing_moves_tissue_too() -> None:
    coming, going = mass_effect(NOTHING, disc(12), BRAIN, 0.98, 0.5), mass_effect(disc(12), NOTHING, BRAIN, 0.98, 0.5)
    outside = ndimage.binary_dilation(disc(12), iterations=8) & ~disc(12)
    assert (outwards(coming)[outside] > 0).all() and (outwards(going)[outside] < 0).all()


def test_nothing_moves_without_change_amplitude_or_brain() -> None:
    for displacement in (
        mass_effect(disc(12), disc(12), BRAIN, 0.98, 1.0),
        mass_effect(disc(12), disc(20), BRAIN, 0.98, 0.0),
        mass_effect(disc(12), disc(20), NOTHING, 0.98, 1.0),
        mass_effect(NOTHING, NOTHING, BRAIN, 0.98, 1.0),
    ):
        assert not displacement.any()


def test_a_warp_moves_pictures_and_masks_alike() -> None:
    shift = np.zeros((2, *SHAPE), np.float32)
    shift[0], shift[1] = 5, -3
    mask = disc(9)
    moved = warp(mask, shift)
    assert moved.dtype == bool and (moved == np.roll(mask, (5, -3), (0, 1))).all()
    picture = mask.astype(np.float32)
    assert warp(picture, shift).dtype == np.float32
    assert np.allclose(warp(picture, shift), moved)
    assert (warp(picture, np.zeros_like(shift)) == picture).all()


def test_the_jacobian_tells_folds_and_areas() -> None:
    rows, columns = np.indices(SHAPE).astype(float)
    assert np.allclose(jacobian_of(np.stack([0.5 * rows, 0 * columns])), 0.5)  # half the area lay there before
    assert (jacobian_of(np.stack([0 * rows, 1.5 * columns])) < 0).all()


def test_what_cannot_push_is_said() -> None:
    with pytest.raises(MedDiffError, match="from 0 to 1"):
        mass_effect(disc(12), disc(20), BRAIN, 0.98, 1.1)
    with pytest.raises(MedDiffError, match="same grid"):
        mass_effect(disc(12), np.ones((64, 64), bool), BRAIN, 0.98, 0.5)
