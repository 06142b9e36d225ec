"""Memorising: a planted copy is found, a planted leak detected, and neither where there is none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from meddiff.case import MedDiffError
from meddiff.conditions.tensors import Conditions
from meddiff.evaluation.features import Frame, finder_space
from meddiff.evaluation.material import Pictures
from meddiff.evaluation.memorising import (
    Nearest,
    _attack,
    _heads_of,
    attacks_by_asking,
    copies,
    denoising_losses,
    feature_distances,
    memorising,
    nearest,
    nearest_made,
    neighbour_figures,
    own_picture,
    pixel_distances,
    stretches,
    thumbnails,
    write_pairs,
)
from meddiff.statistics import roc_area
from tests.evaluation.made_up import heads, material_of, told, without_lesions


@pytest.fixture(scope="module")
def slices() -> np.ndarray:
    """Heads that differ in more than their shape: smooth fields of their own inside."""
    from scipy.ndimage import gaussian_filter

    pictures = heads(24, 3).pixels.astype(np.float32)
    fields = gaussian_filter(np.random.default_rng(0).normal(0, 1, pictures.shape), (0, 12, 12))
    return np.clip(pictures + 1500 * fields * (pictures > 20), 0, 255).astype(np.uint8)


def test_a_copy_is_near_in_pixels_though_moved_and_mirrored(slices):
    small = thumbnails(slices)
    moved = np.roll(slices[:, :, ::-1], (7, -8), (1, 2))
    apart = pixel_distances(thumbnails(moved), small)
    assert (apart.argmin(1) == np.arange(len(slices))).all()
    assert np.diag(apart).max() < 0.05
    assert (np.diag(apart) < 0.5 * np.partition(apart, 1, axis=1)[:, 1]).all()
    np.testing.assert_allclose(np.diag(pixel_distances(small, small)), 0, atol=1e-5)


def test_planted_copies_are_still_their_slices(slices):
    planted = copies(slices, 0)
    assert {len(shown) for shown in planted.values()} == {len(slices)}
    small = thumbnails(slices)
    for kind, shown in planted.items():
        assert shown.dtype == np.uint8
        assert not (shown == slices).all(), kind
        nearest_slice = pixel_distances(thumbnails(shown), small).argmin(1)
        assert (nearest_slice == np.arange(len(slices))).mean() > 0.9, kind
    np.testing.assert_array_equal(copies(slices, 0)["all_of_it"], planted["all_of_it"])


def test_copies_are_nearer_to_training_slices_than_to_others_and_new_ones_are_not():
    rng = np.random.default_rng(0)
    train, val = rng.normal(size=(200, 6)), rng.normal(size=(80, 6))
    picks = [rng.choice(200, 80, replace=False) for _ in range(8)]
    new = rng.normal(size=(100, 6))
    fair = nearest(feature_distances(new, train), feature_distances(new, val), picks)
    assert fair.log_ratio.mean() == pytest.approx(0, abs=0.1)
    assert fair.nearer.mean() == pytest.approx(0.5, abs=0.1)
    # Against all training slices at once, more of them would be nearer for their number alone.
    crowd = nearest(feature_distances(new, train), feature_distances(new, val), [np.arange(200)])
    assert crowd.nearer.mean() > 0.6
    copied = train[picks[0]] + 0.05 * rng.normal(size=(80, 6))
    found = nearest(feature_distances(copied, train), feature_distances(copied, val), picks[:1])
    assert found.log_ratio.mean() < np.log(0.2)
    assert found.nearer.mean() == 1


def test_training_slices_are_compared_in_stretches_as_val_is_one():
    among = ["a"] * 20 + ["b"] * 10 + ["c"] * 3
    for seed in range(5):
        picks = stretches(["a"] * 6 + ["c"] * 5, among, seed)
        kinds = [among[i] for i in picks]
        assert (kinds.count("a"), kinds.count("b"), kinds.count("c")) == (6, 0, 3)
        gaps = np.diff([i for i in picks if i < 20])
        assert (gaps != 1).sum() <= 1  # one stretch; it may go on at the beginning


def test_few_patients_are_not_taken_for_a_copying_pack():
    # 40 patients of ten slices, the last eight held out: slices drawn one by one would show all the others' heads.
    rng = np.random.default_rng(0)
    slices = (rng.normal(size=(40, 1, 4)) + 0.05 * rng.normal(size=(40, 10, 4))).reshape(400, 4)
    train, val, new = slices[:320], slices[320:], rng.normal(size=(300, 4))
    distances = feature_distances(new, train), feature_distances(new, val)
    one_by_one = nearest(*distances, [rng.choice(320, 80, replace=False) for _ in range(8)])
    in_runs = nearest(*distances, [stretches(["x"] * 80, ["x"] * 320, seed) for seed in range(8)])
    assert one_by_one.log_ratio.mean() < -0.25
    assert abs(in_runs.log_ratio.mean()) < 0.5 * abs(one_by_one.log_ratio.mean())


def test_a_planted_leak_is_detected_and_none_where_there_is_none():
    rng = np.random.default_rng(0)
    train, val = rng.normal(size=(2, 150, 6))
    none = np.full(150, -1)

    def area(made: np.ndarray) -> tuple[float, float, float]:
        scores = (-nearest_made(feature_distances(real, made), none) for real in (train, val))
        return roc_area(*scores)

    leak = area(train + 0.05 * rng.normal(size=train.shape))
    assert leak[0] > 0.99
    fair = area(rng.normal(size=(150, 6)))
    assert fair[1] < 0.5 < fair[2]


def test_slices_of_few_heads_make_attacks_and_neighbours_less_certain(tiny_house, tmp_path):
    made = heads(24, 9)
    stuff = material_of(tmp_path, made, without_lesions(24, 9), val=24)
    few = np.repeat(np.arange(6), 4)
    rng = np.random.default_rng(0)
    scores = {side: rng.normal(size=6)[few] + 0.1 * rng.normal(size=24) for side in ("train", "val")}
    sides = _heads_of(replace(stuff.train, heads=few), replace(stuff.val, heads=few))
    assert not set(sides[0]) & set(sides[1])
    alone, known = (_attack("x", "", scores["train"], scores["val"], "", given) for given in (None, sides))
    assert known.value == alone.value and known.high - known.low > 1.4 * (alone.high - alone.low)
    assert "(12 heads)" in known.note and not alone.note
    assert _heads_of(replace(stuff.train, heads=None), stuff.val) is None
    near = Nearest(np.exp(0.1 * rng.normal(size=6)[few])[None], np.ones(24))
    blind, told_so = (neighbour_figures("pixels", near, 0, given) for given in (None, few))
    for before, after in zip(blind, told_so, strict=True):
        assert after.value == before.value and after.high - after.low > 1.4 * (before.high - before.low)
        assert "(6 heads)" in after.note and "heads" not in before.note


def test_a_slices_own_picture_does_not_count():
    distances = np.array([[0.1, 2.0], [3.0, 0.2], [1.0, 4.0]])
    np.testing.assert_allclose(nearest_made(distances, np.array([0, -1, 1])), [2.0, 0.2, 1.0])
    outlines = np.eye(9, dtype=bool)[:3].reshape(3, 3, 3)
    np.testing.assert_array_equal(own_picture(outlines, outlines[[2, 0]]), [1, -1, 0])


def test_the_loss_of_a_denoiser_that_knows_its_slices_by_heart_gives_them_away():
    generator = torch.Generator().manual_seed(0)
    train, val = torch.randn(2, 12, 16, 4, 4, generator=generator)

    def by_heart(inputs, time, context, clinical):
        """Answers with the direction to the nearest slice it was trained on, as a network of that memory would."""
        t, x = time / 1000, inputs[:, :16]
        near = train[((x / (1 - t) - train) ** 2).sum((1, 2, 3)).argmin()]
        spread = (1 - t) ** 2 + t**2
        return ((x - near) / t - (2 * t - 1) / spread * x) * spread**0.5

    zeros = torch.zeros(12, 1, 32, 32)
    told = Conditions(torch.zeros(12, 16, 128), zeros, zeros + 1, torch.zeros(12, 10))
    members, outsiders = (denoising_losses(by_heart, x, told, times=(0.1, 0.3)) for x in (train, val))
    assert members.max() < 1e-6
    assert roc_area(-members, -outsiders)[0] == 1


def test_a_denoiser_that_knows_nothing_gives_nothing_away():
    latents = torch.randn(2, 150, 16, 4, 4, generator=torch.Generator().manual_seed(0))
    zeros = torch.zeros(150, 1, 32, 32)
    told = Conditions(torch.zeros(150, 16, 128), zeros, zeros + 1, torch.zeros(150, 10))
    losses = [denoising_losses(lambda x, t, c, k: torch.zeros_like(x[:, :16]), part, told) for part in latents]
    # With the best linear guess alone, of whitened latents, the rest has a variance of 1.
    assert np.mean(losses) == pytest.approx(1, abs=0.1)
    _, low, high = roc_area(-losses[0], -losses[1])
    assert low < 0.5 < high


def test_a_plate_takes_sealed_pictures_alone(tmp_path, phantom):
    pixels = (phantom * 255).astype(np.uint8)
    with pytest.raises(MedDiffError, match="sealed"):
        write_pairs(tmp_path / "pairs.png", [(pixels, pixels)])
    assert not list(tmp_path.iterdir())


def test_the_part_finds_the_copies_among_made_pictures_and_lists_them(tiny_house, tmp_path, monkeypatch):
    monkeypatch.setattr("meddiff.evaluation.memorising.PLANTED", 8)
    made = heads(12, 9)
    stuff = material_of(tmp_path, made, without_lesions(12, 9))
    pixels = made.pixels.copy()
    pixels[:4] = stuff.train.pixels[:4]  # what a pack that copies would show
    leaky = Pictures(pixels, made.outlines, made.types, made.planes, made.findings, made.spacing_mm)
    stuff = material_of(tmp_path, leaky, without_lesions(12, 9))
    found = memorising(stuff, told)
    keys = {figure.key: figure for figure in found.figures}
    assert keys["memorising.near_copies"].value >= 4 / 12
    assert sum(remark.startswith("Near-copy") for remark in found.remarks) >= 4
    assert keys["memorising.nearest_ratio.pixels"].low < 0.9
    assert keys["memorising.caught.mirrored"].value > 0.9
    assert keys["memorising.attack_asking.pixels"].value is None  # nothing was asked for by training slices
    assert all("heads)" in figure.note for key, figure in keys.items() if "attack_distance" in key or "near" in key)
    assert 0 <= keys["memorising.attack_loss"].low <= keys["memorising.attack_loss"].high <= 1
    assert keys["memorising.recall"].baseline <= keys["memorising.recall"].real
    plate = found.plates[0]
    assert not plate.synthetic
    with Image.open(tmp_path / plate.file) as image:
        assert image.size[0] > 4 * 256
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "memorising").iterdir()}
    again = memorising(stuff, told)  # goes on from what is kept
    assert kept == {path: path.stat().st_mtime_ns for path in (tmp_path / "memorising").iterdir()}
    assert again.figures == found.figures


def test_pictures_that_give_back_the_slice_they_were_asked_for_are_a_leak(tiny_house, tmp_path):
    made = heads(24, 9)
    stuff = material_of(tmp_path, made, without_lesions(24, 9), val=24)
    space = finder_space(stuff.finder)
    frame = Frame.of(space.see(stuff.train.pixels, stuff.train.outlines).whole)
    copied = replace(stuff, extra=stuff.train.take(np.arange(24)))
    leak = {figure.key: figure for figure in attacks_by_asking(copied, space, frame)}
    assert leak["memorising.attack_asking.pixels"].value > 0.99
    assert leak["memorising.attack_asking.finder"].value > 0.99
    others = heads(24, 10)
    fair = Pictures(others.pixels, stuff.train.outlines[:24], others.types, others.planes, others.findings, 0.98)
    none = {figure.key: figure for figure in attacks_by_asking(replace(stuff, extra=fair), space, frame)}
    assert none["memorising.attack_asking.pixels"].low < 0.5 < none["memorising.attack_asking.pixels"].high
