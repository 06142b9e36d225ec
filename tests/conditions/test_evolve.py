"""Outlines that grow and shrink: the area asked for, one inside the other, around barriers; satellites and cores."""

from __future__ import annotations

import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from meddiff.case import MedDiffError, Plane
from meddiff.conditions.evolve import (
    GrowthField,
    growth_field,
    labels_at,
    necrotic_core,
    outline_at,
    with_satellites,
)
from meddiff.conditions.masks import MOST_OF_HEAD, draw_ellipse, draw_polygon, signed_distance, standard_head
from meddiff.conditions.measure import compactness_of, longest_diameter_mm

SHAPE = (256, 256)
HEAD = standard_head(Plane.AXIAL)
OPEN = ndimage.binary_erosion(HEAD, iterations=14).astype(np.float32)  # a brain without barriers
MOST = int(MOST_OF_HEAD * HEAD.sum())
DISC = draw_ellipse(SHAPE, (110, 150), (12, 12))


def grown(
    outline: np.ndarray = DISC, speed: np.ndarray = OPEN, seed: int = 0, irregularity: float = 0.4
) -> GrowthField:
    return growth_field(outline, speed, HEAD, seed, irregularity=irregularity)


def pieces(mask: np.ndarray) -> int:
    return int(ndimage.label(mask)[1])


@st.composite
def outlines(draw: st.DrawFn) -> np.ndarray:
    """Star-shaped outlines, from smooth to spiky, somewhere in the brain."""
    radii = np.array(draw(st.lists(st.floats(3, 22), min_size=5, max_size=14)))
    angles = np.arange(len(radii)) * 2 * np.pi / len(radii)
    row, column = draw(st.integers(95, 160)), draw(st.integers(100, 155))
    mask = draw_polygon(SHAPE, list(zip(row + radii * np.sin(angles), column + radii * np.cos(angles), strict=True)))
    labels, _ = ndimage.label(mask)
    return labels == labels[row, column] if mask[row, column] else mask | draw_ellipse(SHAPE, (row, column), (3, 3))


@settings(max_examples=12, deadline=None)
@given(outlines(), st.integers(0, 2**32), st.floats(0, 1), st.lists(st.floats(0, 4), min_size=2, max_size=6))
def test_every_area_is_hit_in_one_piece_inside_every_larger_one(
    outline: np.ndarray, seed: int, irregularity: float, shares: list[float]
) -> None:
    field = grown(outline, seed=seed, irregularity=irregularity)
    assert ((field.phi <= 0) == outline).all()
    assert (outline_at(field, outline.sum()) == outline).all()
    start = pieces(outline)
    smaller = np.zeros(SHAPE, bool)
    for share in sorted(shares):
        mask = outline_at(field, share * outline.sum())
        assert abs(mask.sum() - share * outline.sum()) <= 0.5
        assert not (smaller & ~mask).any()
        assert pieces(mask) <= start
        smaller = mask


def test_the_same_seed_gives_the_same_field_bit_for_bit_and_another_another() -> None:
    one, same, other = grown(seed=4), grown(seed=4), grown(seed=5)
    for name in ("phi", "order", "focus", "speed"):
        assert getattr(one, name).tobytes() == getattr(same, name).tobytes()
    assert (outline_at(one, 1500) != outline_at(other, 1500)).sum() > 50
    assert (outline_at(one, 150) != outline_at(other, 150)).sum() > 5


def test_a_disc_without_barriers_and_waves_stays_a_disc() -> None:
    field = grown(irregularity=0)
    for share in (0.3, 2, 6):
        mask = outline_at(field, share * DISC.sum())
        edge = np.argwhere(mask & ~ndimage.binary_erosion(mask)) - ndimage.center_of_mass(mask)
        reach = np.hypot(*edge.T)
        assert reach.max() - reach.min() < 2
    assert ndimage.center_of_mass(outline_at(field, 6 * DISC.sum())) == pytest.approx((110, 150), abs=1)


def test_irregular_growth_makes_lobes_and_leans_to_a_side() -> None:
    smooth, lobed = (
        [outline_at(grown(seed=seed, irregularity=x), 4 * DISC.sum()) for seed in range(5)] for x in (0.1, 1)
    )
    assert np.mean([compactness_of(m) for m in lobed]) < np.mean([compactness_of(m) for m in smooth]) - 0.1
    off = [np.hypot(*(np.array(ndimage.center_of_mass(m)) - (110, 150))) for m in lobed]
    assert np.mean(off) > 2


def test_nothing_grows_outside_the_brain() -> None:
    beside = draw_ellipse(SHAPE, (128, int(np.flatnonzero(OPEN[128])[-1]) - 8), (10, 8))
    field = grown(beside)
    assert not (outline_at(field, field.most_px) & (OPEN == 0) & ~beside).any()
    assert not np.isfinite(field.phi[(OPEN == 0) & ~beside]).any()


def test_an_outline_that_lies_partly_outside_the_brain_keeps_that_part() -> None:
    across = draw_ellipse(SHAPE, (128, int(np.flatnonzero(OPEN[128])[-1])), (10, 8))
    field = grown(across)
    assert (outline_at(field, across.sum()) == across).all()
    more = outline_at(field, 2 * across.sum())
    assert more.sum() == 2 * across.sum() and not (more & ~across & (OPEN == 0)).any()


def test_a_falx_is_crossed_late() -> None:
    falx = OPEN.copy()
    falx[:, 166:169] = 0.1
    beyond = np.zeros(SHAPE, bool)
    beyond[:, 169:] = True
    free, held = grown(irregularity=0), grown(speed=falx * OPEN, irregularity=0)

    def crossed_at(field: GrowthField) -> int:
        return int(field.order[beyond & (field.order >= 0)].min())

    assert crossed_at(free) < 3 * DISC.sum()
    assert 5 * DISC.sum() < crossed_at(held) < MOST


def test_growth_is_longer_along_a_fast_band() -> None:
    speed = OPEN.copy()
    speed[105:116] *= 1.6
    mask = outline_at(grown(speed=speed, irregularity=0), 4 * DISC.sum())
    assert mask.any(0).sum() > 1.25 * mask.any(1).sum()


def test_a_sulcus_that_is_left_behind_is_taken_when_it_is_enclosed() -> None:
    speed = OPEN.copy()
    sulcus = draw_ellipse(SHAPE, (110, 168), (3, 3))
    speed[sulcus] = 0.01
    mask = outline_at(grown(speed=speed, irregularity=0), 6 * DISC.sum())
    assert mask[sulcus].all() and (ndimage.binary_fill_holes(mask) == mask).all()


def test_a_dumbbell_shrinks_in_one_piece_into_its_deeper_half() -> None:
    dumbbell = draw_ellipse(SHAPE, (110, 110), (14, 14)) | draw_ellipse(SHAPE, (110, 145), (9, 9))
    dumbbell[108:112, 110:145] = True
    field = grown(dumbbell)
    for share in (0.9, 0.7, 0.5, 0.3, 0.05):
        assert pieces(outline_at(field, share * dumbbell.sum())) == 1
    assert ndimage.center_of_mass(outline_at(field, 0.2 * dumbbell.sum()))[1] < 125


def test_a_lesion_that_vanished_comes_back_at_its_deepest_part() -> None:
    field = grown()
    assert not outline_at(field, 0).any()
    assert not outline_at(field, 0.4).any()
    first = outline_at(field, 12)
    assert signed_distance(DISC)[first].min() > 5


def test_pieces_of_an_outline_stay_and_shrink_each_for_itself() -> None:
    two = DISC | draw_ellipse(SHAPE, (110, 100), (8, 8))
    field = grown(two)
    assert (outline_at(field, two.sum()) == two).all()
    assert pieces(outline_at(field, 0.6 * two.sum())) == 2


def test_an_outline_with_a_hole_is_given_back_with_it_and_loses_it_when_it_grows() -> None:
    ring = DISC & ~draw_ellipse(SHAPE, (110, 150), (6, 6))
    field = grown(ring)
    assert (outline_at(field, ring.sum()) == ring).all()
    assert outline_at(field, DISC.sum() + 1)[110, 150]


def test_a_law_that_outgrows_the_head_is_refused_with_the_size_that_fits() -> None:
    field = grown()
    assert field.most_px == MOST
    assert outline_at(field, field.most_px).sum() == field.most_px
    most = 2 * np.sqrt(field.most_px / np.pi) * 0.98
    with pytest.raises(MedDiffError, match=rf"outgrows the head.*at most {most:.0f} mm.*fewer days or a slower law"):
        outline_at(field, field.most_px + 1)


def test_a_lesion_in_a_small_room_outgrows_that() -> None:
    room = np.where(draw_ellipse(SHAPE, (110, 150), (16, 16)), OPEN, 0)
    field = grown(speed=room)
    assert field.most_px == int((room > 0).sum())
    with pytest.raises(MedDiffError, match="outgrows"):
        outline_at(field, 2 * DISC.sum())


@pytest.mark.parametrize("area", [-1, float("nan"), float("inf")])
def test_what_is_no_area_is_refused(area: float) -> None:
    with pytest.raises(MedDiffError, match="0 pixels or more"):
        outline_at(grown(), area)


def test_what_cannot_grow_is_said() -> None:
    with pytest.raises(MedDiffError, match="empty"):
        grown(np.zeros(SHAPE, bool))
    with pytest.raises(MedDiffError, match="same grid"):
        grown(np.ones((64, 64), bool))
    with pytest.raises(MedDiffError, match="from 0 to 1"):
        grown(irregularity=1.2)


def test_a_field_is_made_in_about_half_a_second() -> None:
    begun = time.process_time()
    grown(draw_ellipse(SHAPE, (120, 130), (30, 25)))
    assert time.process_time() - begun < 1.0  # 0.2 s on the machine it was written on


# ------------------------------------------------------------ satellites


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 4))
def test_satellites_appear_after_the_threshold_and_count_into_the_area(seed: int, count: int) -> None:
    threshold = 1.4 * DISC.sum()
    field = with_satellites(grown(), count, seed, threshold)
    assert (outline_at(field, DISC.sum()) == DISC).all()
    assert pieces(outline_at(field, threshold)) == 1
    many = 1
    smaller = outline_at(field, threshold)
    for share in (1.5, 1.8, 2.5, 4):
        mask, labels = outline_at(field, share * DISC.sum()), labels_at(field, share * DISC.sum())
        assert mask.sum() == round(share * DISC.sum())
        assert not (smaller & ~mask).any()
        assert ((labels > 0) == mask).all()
        assert len(np.unique(labels)) - 1 == pieces(mask)
        many, smaller = max(many, labels.max()), mask
    assert 2 <= many <= count + 1


def test_satellites_lie_at_the_distance_asked_for_and_apart() -> None:
    field = with_satellites(grown(), 3, 7, 1.1 * DISC.sum(), away_mm=(10, 20))
    seeds = [
        np.argwhere((field.focus == k) & (field.order == field.order[field.focus == k].min()))[0] for k in (2, 3, 4)
    ]
    away = [-signed_distance(DISC)[tuple(seed)] * 0.98 for seed in seeds]
    assert all(9 <= a <= 21 for a in away)
    assert min(np.hypot(*(a - b)) for a in seeds for b in seeds if a is not b) * 0.98 > 8


def test_a_satellite_is_seen_at_once_grows_and_stays_smaller_than_the_lesion() -> None:
    field = with_satellites(grown(), 1, 3, 1.2 * DISC.sum())
    areas = [int((labels_at(field, share * DISC.sum()) == 2).sum()) for share in (1.2, 1.3, 1.6, 2)]
    assert areas[0] == 0 and 10 <= areas[1] < areas[2] < areas[3] < DISC.sum()


def test_a_satellite_that_the_lesion_has_reached_is_part_of_it() -> None:
    field = with_satellites(grown(), 1, 3, 1.2 * DISC.sum(), away_mm=(5, 9))
    assert labels_at(field, 1.5 * DISC.sum()).max() == 2
    assert labels_at(field, 12 * DISC.sum()).max() == 1


def test_satellites_follow_their_seed() -> None:
    one, same, other = (with_satellites(grown(), 2, seed, 600) for seed in (1, 1, 2))
    assert one.order.tobytes() == same.order.tobytes()
    assert (one.order != other.order).any()


def test_there_are_fewer_satellites_where_there_is_no_room() -> None:
    room = np.where(draw_ellipse(SHAPE, (110, 150), (16, 16)), OPEN, 0)
    field = with_satellites(grown(speed=room), 3, 0, DISC.sum())
    assert field.focus.max() == 1


def test_satellites_that_cannot_be_placed_are_refused() -> None:
    with pytest.raises(MedDiffError, match="come later"):
        with_satellites(grown(), 1, 0, DISC.sum() - 1)
    with pytest.raises(MedDiffError, match="near to far"):
        with_satellites(grown(), 1, 0, 600, away_mm=(20, 10))
    with pytest.raises(MedDiffError, match="0 or more"):
        with_satellites(grown(), -1, 0, 600)


# ------------------------------------------------------------ necrosis


def disc(diameter_mm: float) -> np.ndarray:
    return draw_ellipse(SHAPE, (120, 130), (diameter_mm / 2, diameter_mm / 2))


@pytest.mark.parametrize("size", [6, 10, 15])
def test_small_lesions_have_no_necrotic_core(size: float) -> None:
    mask = disc(size - 1)
    assert longest_diameter_mm(mask, (1, 1)) <= 15
    assert not necrotic_core(mask, 1.0, 0.8, 0).any()


@pytest.mark.parametrize("seed", range(4))
def test_a_core_grows_with_the_lesion_and_leaves_a_living_rim(seed: int) -> None:
    before, shares = np.zeros(SHAPE, bool), []
    for size in (20, 26, 32, 40, 50):
        mask = disc(size)
        core = necrotic_core(mask, 1.0, 0.45, seed)
        assert signed_distance(mask)[core].min() >= 3
        assert (before & ~core).sum() <= 0.03 * before.sum()  # what is dead stays dead
        shares.append(core.sum() / mask.sum())
        before = core
    assert shares[0] < shares[1] < shares[2] < shares[3]
    assert shares[-1] == pytest.approx(0.45, abs=0.05)


def test_a_core_is_one_smooth_piece_and_no_copy_of_the_outline() -> None:
    mask = disc(44)
    cores = [necrotic_core(mask, 1.0, 0.4, seed) for seed in range(6)]
    assert all(pieces(core) == 1 for core in cores)
    assert min(compactness_of(core) for core in cores) > 0.6
    assert (cores[0] == necrotic_core(mask, 1.0, 0.4, 0)).all()
    assert all((a != b).sum() > 30 for a, b in pairwise(cores))


def test_a_thin_lesion_has_no_core_however_long_it_is() -> None:
    assert not necrotic_core(draw_ellipse(SHAPE, (120, 130), (3, 30)), 1.0, 0.8, 0).any()


def test_no_share_gives_no_core_and_a_wrong_one_is_refused() -> None:
    assert not necrotic_core(disc(40), 1.0, 0, 0).any()
    assert not necrotic_core(np.zeros(SHAPE, bool), 1.0, 0.5, 0).any()
    with pytest.raises(MedDiffError, match="from 0 to 1"):
        necrotic_core(disc(40), 1.0, 1.5, 0)
