"""Outlines: drawn, read, sampled, grown, checked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from meddiff.case import Finding, Findings, Margin, MedDiffError, Plane, Region, Side
from meddiff.conditions.masks import (
    check_mask,
    draw_ellipse,
    draw_polygon,
    edit_region,
    grow_to_size,
    mirror_profile,
    radial_profile,
    read_mask,
    sample_outline,
    standard_head,
)
from meddiff.conditions.measure import IRREGULAR_BELOW, compactness_of, longest_diameter_mm
from meddiff.conditions.place import brain_of, region_prior

SHAPE = (256, 256)
GRID = (0.98, 0.98)


def asked(**said: object) -> Findings:
    return Findings(finding=Finding(**said))  # type: ignore[arg-type]


def test_an_ellipse_has_its_area_and_its_turn() -> None:
    upright = draw_ellipse(SHAPE, (128, 100), (30, 10))
    turned = draw_ellipse(SHAPE, (128, 100), (30, 10), 90)
    assert upright.sum() == pytest.approx(np.pi * 300, rel=0.02)
    assert upright.any(1).sum() == turned.any(0).sum() == 61
    rising = draw_ellipse(SHAPE, (128, 100), (30, 10), -45)  # clockwise from upright: its top leans right
    assert rising[108, 120] and not rising[108, 80]


def test_a_polygon_closes_itself_and_needs_three_points() -> None:
    square = draw_polygon(SHAPE, [(10, 10), (10, 30), (30, 30), (30, 10)])
    assert square[20, 20] and not square[40, 20] and 360 <= square.sum() <= 441
    with pytest.raises(MedDiffError, match="three points"):
        draw_polygon(SHAPE, [(1, 1), (2, 2)])


def test_an_ellipse_without_width_is_refused() -> None:
    with pytest.raises(MedDiffError, match="above 0"):
        draw_ellipse(SHAPE, (10, 10), (0, 5))


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "RGBA", "P"])
def test_masks_of_any_kind_of_png_are_read(tmp_path: Path, mode: str) -> None:
    mask = draw_ellipse((60, 80), (30, 40), (12, 9))
    image = Image.fromarray(mask)
    if mode == "RGBA":  # drawn in red on a transparent ground
        layers = np.zeros((60, 80, 4), np.uint8)
        layers[mask] = (200, 0, 0, 255)
        image = Image.fromarray(layers)
    else:
        image = image.convert(mode)
    image.save(tmp_path / "m.png")
    assert (read_mask(tmp_path / "m.png") == mask).all()


def test_a_mask_of_ones_is_read_as_a_mask(tmp_path: Path) -> None:
    mask = draw_ellipse((60, 80), (30, 40), (12, 9))
    Image.fromarray(mask.astype(np.uint8)).save(tmp_path / "m.png")
    assert (read_mask(tmp_path / "m.png") == mask).all()


def test_files_that_are_no_masks_are_refused_by_name(tmp_path: Path) -> None:
    Image.new("L", (32, 32)).save(tmp_path / "empty.png")
    photo = np.random.default_rng(0).integers(0, 255, (32, 32)).astype(np.uint8)
    Image.fromarray(photo).save(tmp_path / "photo.png")
    (tmp_path / "text.png").write_text("not an image")
    Image.fromarray(draw_ellipse((256, 256), (90, 90), (40, 30))).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:120])
    for name, reason in {
        "empty.png": "is empty",
        "photo.png": "looks like a picture",
        "text.png": "cannot be read",
        "cut.png": "cannot be read",
        "none.png": "no mask file",
    }.items():
        with pytest.raises(MedDiffError, match=reason) as caught:
            read_mask(tmp_path / name)
        assert name in str(caught.value)


def test_only_outlines_a_lesion_fits_in_pass() -> None:
    head = standard_head(Plane.AXIAL)
    good = draw_ellipse(SHAPE, (110, 150), (10, 10))
    assert (check_mask(good.astype(np.uint8) * 255, head) == good).all()
    for mask, reason in (
        (np.zeros(SHAPE), "empty"),
        (np.ones((64, 64)), "same picture"),
        (draw_ellipse(SHAPE, (5, 5), (6, 6)), "outside the head"),
        (draw_ellipse(SHAPE, (110, 150), (1, 1)), "make it larger"),
        (draw_ellipse(SHAPE, (115, 128), (70, 60)), "make it smaller"),
    ):
        with pytest.raises(MedDiffError, match=reason):
            check_mask(mask, head)
    with pytest.raises(MedDiffError, match="No head"):
        check_mask(good, np.zeros(SHAPE, bool))


@settings(max_examples=20, deadline=None)
@given(
    size=st.floats(8, 120),
    radii=st.tuples(st.floats(10, 30), st.floats(10, 30)),
    angle=st.floats(0, 180),
)
def test_an_outline_grows_to_its_size_to_less_than_a_pixel(
    size: float, radii: tuple[float, float], angle: float
) -> None:
    grown = grow_to_size(draw_ellipse(SHAPE, (128, 128), radii, angle), size, GRID)
    assert abs(longest_diameter_mm(grown, GRID) - size) < 0.98


def test_growing_keeps_place_and_shape() -> None:
    before = draw_ellipse(SHAPE, (120, 140), (20, 10), 20)
    after = grow_to_size(before, 80, GRID)
    assert np.allclose(ndimage.center_of_mass(after), (120, 140), atol=0.6)
    assert after.sum() / before.sum() == pytest.approx(4, rel=0.08)
    assert compactness_of(after) > 0.9


def test_growing_knows_pixels_that_are_not_square() -> None:
    before = draw_ellipse(SHAPE, (128, 128), (10, 10))
    grown = grow_to_size(before, 60, (2.0, 1.0))
    assert longest_diameter_mm(grown, (2.0, 1.0)) == pytest.approx(60, abs=2)


@pytest.mark.parametrize("size", [0, -4, 1.0, 400, float("nan")])
def test_a_size_that_cannot_be_drawn_is_refused(size: float) -> None:
    with pytest.raises(MedDiffError):
        grow_to_size(draw_ellipse(SHAPE, (128, 128), (10, 10)), size, GRID)


def test_what_would_be_thinner_than_a_pixel_is_refused() -> None:
    with pytest.raises(MedDiffError, match="thinner than a pixel"):
        grow_to_size(draw_ellipse(SHAPE, (128, 128), (40, 1), 45), 5, GRID)


def test_growing_off_the_picture_is_refused() -> None:
    with pytest.raises(MedDiffError, match="runs off"):
        grow_to_size(draw_ellipse(SHAPE, (20, 20), (10, 10)), 180, GRID)


def test_the_edit_region_reaches_as_far_as_its_margin() -> None:
    mask = draw_ellipse(SHAPE, (128, 128), (10, 10))
    assert (edit_region(mask, 0, GRID) == mask).all()
    region = edit_region(mask, 9.8, GRID)
    assert region[128, 128 + 20] and not region[128, 128 + 21]
    tall = edit_region(mask, 8, (4.0, 1.0))
    assert tall[128 - 12, 128] and not tall[128 - 13, 128] and tall[128, 128 + 18]
    with pytest.raises(MedDiffError, match="empty"):
        edit_region(np.zeros(SHAPE, bool), 8, GRID)
    with pytest.raises(MedDiffError, match="margin"):
        edit_region(mask, -1, GRID)


def test_a_radial_profile_gives_its_outline_back_and_mirrors() -> None:
    mask = draw_ellipse(SHAPE, (128, 128), (30, 15), 30)
    radii, centre = radial_profile(mask)
    angles = np.arange(64) * 2 * np.pi / 64

    def drawn(profile: np.ndarray) -> np.ndarray:
        corners = zip(centre[0] + profile * np.sin(angles), centre[1] + profile * np.cos(angles), strict=True)
        return draw_polygon(SHAPE, list(corners))

    again, flipped = drawn(radii), drawn(mirror_profile(radii))
    assert (again & mask).sum() / (again | mask).sum() > 0.93
    across = draw_ellipse(SHAPE, (128, 128), (30, 15), -30)
    assert (flipped & across).sum() / (flipped | across).sum() > 0.93


@pytest.mark.parametrize("plane", list(Plane))
@pytest.mark.parametrize("kind", ["meningioma", "glioma", "pituitary_tumor"])
def test_sampled_outlines_are_one_piece_inside_the_brain(kind: str, plane: Plane) -> None:
    head = standard_head(plane)
    for seed in range(3):
        mask = sample_outline(asked(pathology=kind), plane, head, seed)
        assert mask.shape == SHAPE and mask.dtype == bool
        assert ndimage.label(mask)[1] == 1
        assert (mask & ~brain_of(head, plane)).sum() <= 0.02 * mask.sum()


def test_the_same_seed_gives_the_same_outline_and_another_another() -> None:
    first, again, other = (sample_outline(asked(pathology="glioma"), Plane.AXIAL, None, s) for s in (5, 5, 6))
    assert (first == again).all() and (first != other).any()


@pytest.mark.parametrize("margin", [Margin.SMOOTH, Margin.IRREGULAR])
def test_a_sampled_outline_is_what_was_asked(margin: Margin) -> None:
    findings = asked(pathology="glioma", side=Side.RIGHT, region=Region.FRONTAL, margin=margin, size_mm=35)
    head = standard_head(Plane.AXIAL)
    for seed in range(3):
        mask = sample_outline(findings, Plane.AXIAL, head, seed, GRID, level=1.2)
        assert longest_diameter_mm(mask, GRID) == pytest.approx(35, abs=0.98)
        assert (compactness_of(mask) < IRREGULAR_BELOW) == (margin is Margin.IRREGULAR)
        side, region = region_prior(ndimage.center_of_mass(mask), head, Plane.AXIAL, 1.2)
        assert side is Side.RIGHT and region is Region.FRONTAL


def test_an_unknown_disease_borrows_the_shapes_of_the_type_it_is_drawn_as() -> None:
    rare = sample_outline(asked(pathology="lymphoma"), Plane.AXIAL, None, 3, drawn_as="glioma")
    assert (rare == sample_outline(asked(pathology="glioma"), Plane.AXIAL, None, 3)).all()
    assert sample_outline(Findings(), Plane.AXIAL, None, 3).any()


def test_a_larger_grid_gives_the_same_size_in_mm() -> None:
    head = standard_head(Plane.AXIAL, (512, 512))
    mask = sample_outline(asked(size_mm=30), Plane.AXIAL, head, 1, (0.49, 0.49))
    assert mask.shape == (512, 512)
    assert longest_diameter_mm(mask, (0.49, 0.49)) == pytest.approx(30, abs=0.49)


def test_a_lesion_too_large_for_its_place_is_refused_in_words() -> None:
    with pytest.raises(MedDiffError, match="190 mm .* does not fit"):
        sample_outline(asked(size_mm=190, side=Side.LEFT), Plane.AXIAL, None, 0)
