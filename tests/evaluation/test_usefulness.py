"""What a small network learns from discs: the same from synthetic ones that are the real ones, nothing from garbage."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from meddiff.case import Findings, Plane
from meddiff.evaluation import usefulness as part
from meddiff.evaluation.material import Pictures
from meddiff.evaluation.usefulness import (
    Draws,
    Form,
    Learnt,
    balanced_accuracy,
    compared,
    fixed_outline,
    mean_dice,
    moved,
    some,
    training_set,
)
from meddiff.synthesis.finder import TYPES
from tests.evaluation.made_up import disc

FORM = Form((1.0,), seeds=1, steps=60, batch=12, widths=(8, 16))


def discs(count: int, seed: int, side: int = 64) -> Pictures:
    """Bright, middling and dark discs on grey noise; the type is how bright they are."""
    rng = np.random.default_rng(seed)
    kinds = [i % 3 for i in range(count)]
    outlines = np.stack([disc(tuple(rng.uniform(16, 48, 2)), rng.uniform(7, 11), side) for _ in kinds])
    noise = rng.normal(100, 12, (count, side, side))
    level = np.array([240, 190, 20])[kinds][:, None, None]
    pixels = np.clip(np.where(outlines, level, noise), 0, 255).astype(np.uint8)
    types = tuple(TYPES[kind] for kind in kinds)
    return Pictures(pixels, outlines, types, (Plane.AXIAL,) * count, (Findings(),) * count, 0.98)


@pytest.fixture(scope="module")
def real() -> Pictures:
    return discs(45, 0)


@pytest.fixture(scope="module")
def test_set() -> Pictures:
    return discs(30, 1)


def values(real, synthetic, test, folder) -> dict[str, object]:
    done = compared(real, synthetic, test, FORM, folder, lambda *what: None)
    keys = [figure.key for figure in done.figures]
    assert len(keys) == len(set(keys))
    return {figure.key.removeprefix("usefulness."): figure for figure in done.figures}


def test_synthetic_pictures_that_are_the_real_ones_teach_the_same(real, test_set, tmp_path):
    found = values(real, real, test_set, tmp_path)
    assert found["dice.synthetic"].value == found["dice.real_100"].value > 0.6
    assert found["dice.synthetic"].real == found["dice.real_100"].value
    assert abs(found["dice.gain_100"].value) < 0.1
    assert found["dice.real_100"].value > found["dice.real_100"].baseline + 0.15
    assert len(list(tmp_path.iterdir())) == 3


def test_garbage_teaches_nothing_and_brings_no_gain(real, test_set, tmp_path):
    corners = np.stack([disc((4 + i % 5, 6), 5, 64) for i in range(len(real))])  # outlines where nothing is
    garbage = replace(real, outlines=corners, types=real.types[1:] + real.types[:1])
    found = values(real, garbage, test_set, tmp_path)
    assert found["dice.synthetic"].value < 0.1
    assert found["dice.gain_100"].value < 0.02 and found["type.gain_100"].value < 0.1


def test_what_was_trained_is_not_trained_again(real, test_set, tmp_path, monkeypatch):
    form = replace(FORM, steps=2, shares=(1.0,))
    first = compared(real, real, test_set, form, tmp_path, lambda *what: None)
    monkeypatch.setattr(part, "trained", None)
    assert compared(real, real, test_set, form, tmp_path, lambda *what: None) == first


def test_a_smaller_share_lies_in_a_larger_one_and_has_all_types(real):
    few, many = set(some(real.types, 0.2, 3)), set(some(real.types, 0.6, 3))
    assert few < many and len(few) == 9 and len(many) == 27
    assert {real.types[i] for i in few} == set(TYPES)
    assert set(some(real.types, 0.2, 4)) != few


def test_a_training_sees_what_its_name_says(real, test_set):
    assert len(training_set("synthetic", 1.0, 0, real, test_set)) == 30
    assert len(training_set("real", 0.2, 0, real, test_set)) == 9
    assert len(training_set("both", 0.2, 0, real, test_set)) == 39


def test_a_picture_and_its_mask_move_together():
    pictures = torch.zeros(8, 1, 64, 64)
    pictures[:, :, 20:30, 12:25] = 1
    x, m = moved(pictures, pictures, torch.Generator().manual_seed(0))
    assert torch.equal(x, m) and not torch.equal(x, pictures)
    assert x.sum() == pictures.sum()  # nothing left the picture, nothing was bent


def test_means_over_seeds_and_cases_are_the_textbooks_and_spread_with_both():
    rng = np.random.default_rng(0)
    seeds, cases = rng.normal(0, 0.05, 5)[:, None], rng.normal(0, 0.1, 200)[None]
    found = Learnt(0.6 + seeds + cases, np.zeros((5, 200), int))
    drawn = mean_dice(found, Draws.of(5, 200))
    assert drawn[0] == pytest.approx(found.dice.mean())
    assert drawn[1:].std() == pytest.approx(np.hypot(seeds.std() / np.sqrt(5), cases.std() / np.sqrt(200)), rel=0.1)


def test_balanced_accuracy_counts_rare_types_as_much_as_common_ones():
    types = np.array([0] * 90 + [1] * 10)
    blind = Learnt(np.zeros((2, 100)), np.zeros((2, 100), int))
    assert balanced_accuracy(blind, types, Draws.of(2, 100, 50))[0] == pytest.approx(0.5)


def test_one_fixed_outline_is_right_only_where_all_lesions_lie_alike(real):
    same = replace(real, outlines=np.repeat(real.outlines[:1], len(real), 0))
    assert fixed_outline(same, same) == 1 and fixed_outline(real, real) < 0.4
