"""Lesions painted with known size, contrast and pattern are measured as what they are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from meddiff.case import Conspicuity, Enhancement, Margin, MedDiffError, Plane, Side
from meddiff.conditions.masks import draw_ellipse, draw_polygon, standard_head
from meddiff.conditions.measure import (
    compactness_of,
    conspicuity_of,
    head_mask,
    longest_diameter_mm,
    measure_lesion,
    perpendicular_mm,
    surrounding,
)

SHAPE = (256, 256)


def painted(*layers: tuple[np.ndarray, float], noise: float = 0.02) -> np.ndarray:
    """A head of brightness 0.3 with noise, and lesions painted over it."""
    rng = np.random.default_rng(0)
    picture = np.where(standard_head(Plane.AXIAL), 0.3, 0.0)
    for mask, value in layers:
        picture = np.where(mask, value, picture)
    return (picture + rng.normal(0, noise, SHAPE) * (picture > 0)).clip(0, 1).astype(np.float32)


def disc(radius: float, centre: tuple[float, float] = (110, 160)) -> np.ndarray:
    return draw_ellipse(SHAPE, centre, (radius, radius))


def test_head_is_found_whole_with_its_dark_inside() -> None:
    head = standard_head(Plane.AXIAL)
    found = head_mask(painted((disc(20), 0.0)))
    assert (found & head).sum() / (found | head).sum() > 0.97
    assert found[110, 160]


def test_an_empty_picture_has_no_head() -> None:
    assert not head_mask(np.zeros(SHAPE, np.float32)).any()


@pytest.mark.parametrize("radius", [5, 12.5, 30])
def test_diameter_of_a_disc_is_right_to_a_pixel(radius: float) -> None:
    assert longest_diameter_mm(disc(radius), (0.98, 0.98)) == pytest.approx(2 * radius * 0.98, abs=0.99)


def test_diameter_knows_that_pixels_need_not_be_square() -> None:
    bar = np.zeros(SHAPE, bool)
    bar[100, 50:90] = True
    assert longest_diameter_mm(bar, (3.0, 0.5)) == pytest.approx(39 * 0.5 + 1.75)
    assert longest_diameter_mm(bar.T, (3.0, 0.5)) == pytest.approx(39 * 3.0 + 1.75)


def test_diameter_of_one_pixel_and_of_none() -> None:
    one = np.zeros(SHAPE, bool)
    assert longest_diameter_mm(one, (1, 1)) == 0
    one[5, 5] = True
    assert longest_diameter_mm(one, (1, 1)) == 1


@pytest.mark.parametrize("turned", [0, 17, 30, 45, 90, 120])
def test_the_perpendicular_diameter_of_an_ellipse_is_its_short_axis_however_it_lies(turned: float) -> None:
    ellipse = draw_ellipse(SHAPE, (128, 128), (40, 12), turned)
    assert longest_diameter_mm(ellipse, (0.5, 0.5)) == pytest.approx(40, abs=0.75)
    assert perpendicular_mm(ellipse, (0.5, 0.5)) == pytest.approx(12, abs=0.75)


def test_the_perpendicular_diameter_of_a_rectangle_crosses_its_diagonal() -> None:
    # 61 by 21 pixel centres: diagonal sqrt(60^2 + 20^2), 18.4 degrees off the long side; the widest allowed chord leans 5 degrees more.
    rectangle = np.zeros(SHAPE, bool)
    rectangle[50:71, 50:111] = True
    assert longest_diameter_mm(rectangle, (1, 1)) == pytest.approx(np.hypot(60, 20) + 1)
    lean = np.arctan2(20, 60) + np.radians(5)
    assert perpendicular_mm(rectangle, (1, 1)) == pytest.approx(20 / np.cos(lean) + 1)


def test_the_perpendicular_diameter_knows_that_pixels_need_not_be_square() -> None:
    rectangle = np.zeros(SHAPE, bool)
    rectangle[50:71, 50:54] = True  # 21 rows of 2 mm, 4 columns of 0.5 mm
    assert perpendicular_mm(rectangle, (2.0, 0.5)) == pytest.approx(1.5 + 1.25, abs=0.02)


def test_the_perpendicular_diameter_of_next_to_nothing() -> None:
    one = np.zeros(SHAPE, bool)
    assert perpendicular_mm(one, (1, 1)) == 0
    one[5, 5] = True
    assert perpendicular_mm(one, (1, 1)) == 1
    one[5, 5:30] = True  # a line is one pixel wide
    assert perpendicular_mm(one, (1, 1)) == pytest.approx(1)
    one[6, 5:30] = True
    assert perpendicular_mm(one, (1, 1)) == pytest.approx(2, abs=0.02)


@given(arrays(bool, (9, 11)), st.tuples(st.floats(0.3, 3), st.floats(0.3, 3)))
@settings(deadline=None)
def test_the_perpendicular_diameter_never_exceeds_the_longest(mask: np.ndarray, spacing: tuple[float, float]) -> None:
    across, longest = perpendicular_mm(mask, spacing), longest_diameter_mm(mask, spacing)
    assert 0 <= across <= longest
    assert (across > 0) == mask.any()


def test_a_long_smooth_outline_is_smooth_and_a_star_is_not() -> None:
    long = draw_ellipse(SHAPE, (128, 128), (40, 10), 30)
    angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    radii = np.where(np.arange(48) % 4 < 2, 30, 18)
    star = draw_polygon(SHAPE, list(zip(128 + radii * np.sin(angles), 128 + radii * np.cos(angles), strict=True)))
    assert compactness_of(long) > 0.93
    assert compactness_of(star) < 0.7
    assert measure_lesion(painted((long, 0.6)), long, Plane.AXIAL).margin is Margin.SMOOTH
    assert measure_lesion(painted((star, 0.6)), star, Plane.AXIAL).margin is Margin.IRREGULAR


def test_patterns_of_enhancement_are_told_apart() -> None:
    outline, core = disc(16), disc(11)
    speckle = np.random.default_rng(1).random((128, 128)).repeat(2, 0).repeat(2, 1) > 0.5
    seen = {
        Enhancement.SOLID: painted((outline, 0.6)),
        Enhancement.RING: painted((outline, 0.7), (core, 0.15)),
        Enhancement.HETEROGENEOUS: painted((outline, 0.4), (outline & speckle, 0.8)),
        Enhancement.NONE: painted((outline, 0.2)),
    }
    for expected, picture in seen.items():
        assert measure_lesion(picture, outline, Plane.AXIAL).enhancement is expected


def test_contrast_is_signed_and_noise_is_that_of_the_surroundings() -> None:
    outline = disc(12)
    bright = measure_lesion(painted((outline, 0.5)), outline, Plane.AXIAL)
    dark = measure_lesion(painted((outline, 0.2)), outline, Plane.AXIAL)
    assert bright.contrast == pytest.approx(0.2, abs=0.01)
    assert dark.contrast == pytest.approx(-0.1, abs=0.01)
    assert bright.noise == pytest.approx(0.02, rel=0.2)


def test_a_ring_whose_mean_equals_its_surroundings_is_still_obvious() -> None:
    outline, core = disc(20), disc(14)
    share = core.sum() / outline.sum()
    rim = (0.3 - share * 0.15) / (1 - share)  # so that the mean is 0.3, as around it
    seen = measure_lesion(painted((outline, rim), (core, 0.15)), outline, Plane.AXIAL)
    assert abs(seen.contrast) < 0.01
    assert seen.conspicuity is Conspicuity.OBVIOUS


def test_conspicuity_follows_contrast_over_noise() -> None:
    outline = disc(15)
    words = [
        measure_lesion(painted((outline, 0.3 + step * 0.05), noise=0.05), outline, Plane.AXIAL).conspicuity
        for step in (0.5, 2.5, 8)
    ]
    assert words == [Conspicuity.SUBTLE, Conspicuity.MODERATE, Conspicuity.OBVIOUS]
    assert [conspicuity_of(x) for x in (1.49, 1.5, 3.99, 4.0)] == [
        Conspicuity.SUBTLE,
        Conspicuity.MODERATE,
        Conspicuity.MODERATE,
        Conspicuity.OBVIOUS,
    ]


def test_place_area_and_centroid() -> None:
    outline = disc(10, (120, 170))
    seen = measure_lesion(painted((outline, 0.6)), outline, Plane.AXIAL, (0.5, 2.0))
    assert seen.centroid == pytest.approx((120, 170))
    assert seen.area_mm2 == outline.sum()
    assert seen.side is Side.LEFT  # on the right of the screen
    assert measure_lesion(painted((outline, 0.6)), outline, None).side is Side.UNKNOWN


def test_the_surrounding_ring_leaves_a_gap_and_stays_in_the_head() -> None:
    outline, head = disc(10), standard_head(Plane.AXIAL)
    ring = surrounding(outline, head)
    assert not (ring & disc(11)).any() and not (ring & ~head).any() and ring.any()


def test_tiny_lesions_and_full_masks_are_measured_without_failing() -> None:
    one = np.zeros(SHAPE, bool)
    one[110, 160] = True
    for mask in (one, np.ones(SHAPE, bool)):
        seen = measure_lesion(painted(), mask, Plane.AXIAL)
        assert np.isfinite([seen.contrast, seen.noise, seen.variation, seen.rim_over_core, seen.compactness]).all()


def test_what_cannot_be_measured_is_said() -> None:
    with pytest.raises(MedDiffError, match="empty"):
        measure_lesion(painted(), np.zeros(SHAPE, bool), Plane.AXIAL)
    with pytest.raises(MedDiffError, match="same grid"):
        measure_lesion(painted(), np.ones((128, 128), bool), Plane.AXIAL)
