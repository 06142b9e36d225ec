"""Sides are the patient's, regions follow the plane and the level of the slice, points fall where they are asked."""

from __future__ import annotations

import numpy as np
import pytest

from meddiff.case import MedDiffError, Plane, Region, Side
from meddiff.conditions.masks import standard_head
from meddiff.conditions.place import (
    box,
    brain_of,
    level_view,
    place_point,
    region_of,
    region_prior,
    relative,
    side_of,
    slice_level,
)


def test_the_patients_left_is_on_the_right_of_the_screen() -> None:
    for plane in (Plane.AXIAL, Plane.CORONAL):
        assert side_of(0.8, plane) is Side.LEFT
        assert side_of(0.2, plane) is Side.RIGHT
        assert side_of(0.52, plane) is Side.MIDLINE


def test_sagittal_slices_do_not_tell_the_side() -> None:
    assert {side_of(x, Plane.SAGITTAL) for x in (0.1, 0.5, 0.9)} == {Side.UNKNOWN}


def test_an_ear_does_not_move_the_midline() -> None:
    head = standard_head(Plane.AXIAL)
    around = box(head)
    middle = around.left + around.width / 2
    row = around.top + around.height * 0.3
    eared = head.copy()
    eared[around.top + 110 : around.top + 130, around.left - 25 : around.left + 5] = True
    assert region_prior((row, middle), head, Plane.AXIAL)[0] is Side.MIDLINE
    assert region_prior((row, middle), eared, Plane.AXIAL)[0] is Side.MIDLINE


@pytest.mark.parametrize(
    ("down", "across", "plane", "level", "region"),
    [
        (0.25, 0.7, Plane.AXIAL, 1.0, Region.FRONTAL),
        (0.85, 0.6, Plane.AXIAL, 1.0, Region.OCCIPITAL),
        (0.50, 0.5, Plane.AXIAL, 1.0, Region.CENTRAL),
        (0.50, 0.8, Plane.AXIAL, 0.9, Region.TEMPORAL),
        (0.40, 0.5, Plane.AXIAL, 0.2, Region.SELLAR),  # the same place, below
        (0.70, 0.6, Plane.AXIAL, 0.1, Region.POSTERIOR_FOSSA),
        (0.60, 0.5, Plane.AXIAL, 1.9, Region.PARIETAL),  # and above
        (0.20, 0.7, Plane.CORONAL, 0.3, Region.FRONTAL),
        (0.20, 0.7, Plane.CORONAL, 1.4, Region.PARIETAL),
        (0.20, 0.7, Plane.CORONAL, 1.15, Region.UNKNOWN),  # about the central sulcus
        (0.62, 0.5, Plane.CORONAL, 1.0, Region.SELLAR),
        (0.62, 0.8, Plane.CORONAL, 1.0, Region.TEMPORAL),
        (0.70, 0.5, Plane.CORONAL, 1.7, Region.POSTERIOR_FOSSA),
        (0.20, 0.3, Plane.SAGITTAL, 1.0, Region.FRONTAL),
        (0.20, 0.7, Plane.SAGITTAL, 1.0, Region.PARIETAL),
        (0.50, 0.9, Plane.SAGITTAL, 0.1, Region.OCCIPITAL),
        (0.66, 0.42, Plane.SAGITTAL, 0.1, Region.SELLAR),
        (0.66, 0.42, Plane.SAGITTAL, 1.4, Region.TEMPORAL),
        (0.75, 0.65, Plane.SAGITTAL, 0.1, Region.POSTERIOR_FOSSA),
    ],
)
def test_regions_follow_plane_and_level(down: float, across: float, plane: Plane, level: float, region: Region) -> None:
    assert region_of(down, across, plane, level) is region


@pytest.mark.parametrize("plane", [Plane.AXIAL, Plane.CORONAL])
def test_regions_are_the_same_on_both_sides(plane: Plane) -> None:
    for level in np.linspace(0, 2, 9):
        for down in np.linspace(0.1, 0.9, 9):
            for off in (0.03, 0.12, 0.2, 0.35):
                assert region_of(down, 0.5 - off, plane, level) is region_of(down, 0.5 + off, plane, level)


def test_without_a_level_the_region_is_unknown() -> None:
    assert region_prior((100, 150), standard_head(Plane.AXIAL), Plane.AXIAL)[1] is Region.UNKNOWN


@pytest.mark.parametrize("plane", list(Plane))
@pytest.mark.parametrize("side", [Side.LEFT, Side.RIGHT])
def test_points_fall_into_the_region_and_side_asked_for(plane: Plane, side: Side) -> None:
    head = standard_head(plane)
    for region in (r for r in Region if r is not Region.UNKNOWN):
        point = place_point(region, side, plane, head, np.random.default_rng(3))
        assert brain_of(head, plane)[round(point[0]), round(point[1])]
        got, _ = region_prior(point, head, plane)
        assert got is (Side.UNKNOWN if plane is Plane.SAGITTAL else side)
        down, across = relative(point, head, plane)
        assert region in {region_of(down, across, plane, level) for level in np.linspace(0, 2, 11)}


def test_points_follow_the_seed_and_vary_with_it() -> None:
    head = standard_head(Plane.AXIAL)

    def draw(seed: int) -> tuple[float, float]:
        return place_point(Region.FRONTAL, Side.UNKNOWN, Plane.AXIAL, head, np.random.default_rng(seed))

    assert draw(1) == draw(1)
    assert len({draw(seed) for seed in range(8)}) > 4


def test_pituitary_tumours_lie_in_the_middle() -> None:
    head = standard_head(Plane.CORONAL)
    across = [
        relative(
            place_point(
                Region.UNKNOWN, Side.UNKNOWN, Plane.CORONAL, head, np.random.default_rng(seed), "pituitary_tumor"
            ),
            head,
            Plane.CORONAL,
        )[1]
        for seed in range(20)
    ]
    assert np.abs(np.array(across) - 0.5).max() < 0.2


def test_a_slice_that_does_not_show_the_place_is_refused() -> None:
    with pytest.raises(MedDiffError, match="does not show a left sellar place"):
        place_point(
            Region.SELLAR, Side.LEFT, Plane.AXIAL, standard_head(Plane.AXIAL), np.random.default_rng(0), level=1.9
        )


def test_an_empty_head_is_refused() -> None:
    with pytest.raises(MedDiffError, match="No head"):
        box(np.zeros((64, 64), bool))


def test_a_level_does_not_depend_on_gain_place_or_size_of_the_head() -> None:
    head = standard_head(Plane.AXIAL)
    rng = np.random.default_rng(0)
    picture = np.where(head, 0.3 + 0.1 * rng.random(head.shape), 0).astype(np.float32)
    level = slice_level(picture, head, Plane.AXIAL)
    assert slice_level(picture * 0.5, head, Plane.AXIAL) == pytest.approx(level, abs=0.01)
    moved = [np.roll(a, (6, -9), (0, 1)) for a in (picture, head)]
    assert slice_level(moved[0], moved[1], Plane.AXIAL) == pytest.approx(level, abs=0.01)
    doubled = [a.repeat(2, 0).repeat(2, 1) for a in (picture, head)]
    assert slice_level(doubled[0], doubled[1], Plane.AXIAL) == pytest.approx(level, abs=0.05)


def test_a_level_is_the_same_in_the_mirror_except_sagittally() -> None:
    head = standard_head(Plane.CORONAL)
    picture = np.where(head, np.random.default_rng(0).random(head.shape), 0).astype(np.float32)
    for plane, alike in ((Plane.CORONAL, True), (Plane.SAGITTAL, False)):
        there = level_view(picture, head, plane)
        back = level_view(picture[:, ::-1], head[:, ::-1], plane)
        assert np.allclose(there, back, atol=1e-4) is alike
