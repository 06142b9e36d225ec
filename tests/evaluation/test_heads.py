"""Neighbours that show one head are counted together, others are not."""

from dataclasses import replace

import numpy as np

from meddiff.evaluation.heads import likeness, noted, same_heads
from tests.evaluation.made_up import PLANES, heads


def runs():
    """Three heads of four slices each, as a set has them: one type and plane, the lesion grows, noise differs."""
    few = heads(3, 5)
    rows = np.repeat(np.arange(3), 4)
    noise = np.random.default_rng(0).normal(0, 3, (12, 256, 256))
    # Heads of one plane differ more than made-up ones: each lies elsewhere.
    moved = np.stack([np.roll(few.pixels[i], 40 * (i - 1), 0) for i in rows])
    pixels = np.clip(moved + noise, 0, 255).astype(np.uint8)
    return replace(few.take(rows), pixels=pixels, types=("glioma",) * 12, planes=(PLANES[0],) * 12)


def test_slices_of_one_head_get_one_number_and_the_next_head_another():
    assert same_heads(runs()).tolist() == [0] * 4 + [1] * 4 + [2] * 4


def test_another_type_or_plane_is_another_head_though_pictures_are_alike():
    pictures = runs()
    turned = replace(pictures, planes=(*pictures.planes[:2], PLANES[1], PLANES[1], *pictures.planes[4:]))
    assert same_heads(turned).tolist()[:5] == [0, 0, 1, 1, 2]
    other = replace(pictures, types=("meningioma", *pictures.types[1:]))
    assert same_heads(other).tolist()[:4] == [0, 1, 1, 1]


def test_heads_go_along_when_pictures_are_taken():
    pictures = runs()
    numbered = replace(pictures, heads=same_heads(pictures))
    assert numbered.take(np.array([0, 5, 6, 11])).heads.tolist() == [0, 1, 1, 2]
    assert pictures.take(np.array([0, 5])).heads is None


def test_likeness_is_a_correlation():
    pixels = heads(1, 0).pixels[[0, 0]]
    assert likeness(np.concatenate([pixels, 255 - pixels[:1]])).round(4).tolist() == [1, -1]


def test_a_note_says_how_many_heads_an_interval_knows():
    assert (
        noted("Read it so.", np.array([0, 0, 3]))
        == "Read it so. Interval: slices of one head count together (2 heads)."
    )
    assert noted("Read it so.", None) == "Read it so."
