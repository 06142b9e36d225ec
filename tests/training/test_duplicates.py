"""What stands in the set twice is found, however it was saved, and is drawn as often as one; what is only alike is left alone."""

import csv

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter

from meddiff.case import MedDiffError, Plane
from meddiff.cli import main
from meddiff.training.dataset import BrainSet
from meddiff.training.duplicates import altered, copies_of, group_of
from meddiff.training.portable import read_slices, training_slices, write_slices
from meddiff.training.slices import even_weights, prepare


def head(seed: int, blend: float = 0.0) -> np.ndarray:
    """A made-up slice, uint8 [256, 256]: structures of an ellipse, `blend` of them those of another seed, as on a neighbouring plane."""
    rows, columns = np.mgrid[:256, :256] / 256 - 0.5
    inside = np.hypot(rows / 0.4, columns / 0.33) < 1

    def inner(number: int) -> np.ndarray:
        field = gaussian_filter(np.random.default_rng(number).normal(size=(256, 256)), 6)
        return field / field.std()

    field = (1 - blend) * inner(seed) + blend * inner(seed + 1000)
    return np.clip((110 + 40 * field) * inside, 0, 255).astype(np.uint8)


def set_of(pictures: np.ndarray, types: tuple[str, ...] | None = None) -> BrainSet:
    mask = np.zeros((256, 256), np.uint8)
    mask[100:130, 110:140] = 255
    count = len(pictures)
    return BrainSet(
        names=tuple(f"images/{i}.png" for i in range(count)),
        pictures=pictures,
        masks=np.stack([mask] * count),
        types=types or ("glioma",) * count,
        planes=(Plane.AXIAL,) * count,
        spacing_mm=0.98,
        split=("train",) * count,
    )


@pytest.fixture(scope="module")
def different() -> np.ndarray:
    return np.stack([head(seed) for seed in range(5)])


@pytest.mark.parametrize("way", sorted(altered(np.zeros((1, 64, 64), np.uint8))))
def test_a_planted_copy_is_found_however_it_was_saved(different, way):
    copy = altered(different[1:2])[way]
    assert not np.array_equal(copy[0], different[1])
    groups, most = group_of(np.concatenate([different, copy]))
    assert groups[5] == groups[1] and len(np.unique(groups)) == 5
    assert most < 0.985
    assert copies_of(np.concatenate([different, copy])).tolist() == [1, 2, 1, 1, 1, 2]


def test_an_exact_copy_is_found_at_the_highest_limit_too(different):
    groups, _ = group_of(np.concatenate([different, different[2:3]]), alike=1.0)
    assert groups[5] == groups[2] and len(np.unique(groups)) == 5


def test_a_neighbouring_plane_is_alike_and_no_duplicate(different):
    pictures = np.concatenate([different, head(0, 0.4)[None]])
    groups, most = group_of(pictures)
    assert 0.95 < most < 0.985  # more alike than two patients, less than a copy
    assert len(np.unique(groups)) == 6


def test_copies_of_copies_are_one_group(different):
    steps = np.stack([head(0, blend) for blend in (0.0, 0.25, 0.5)])
    assert len(np.unique(group_of(steps[[0, 2]])[0])) == 2  # the first and the last are not near enough
    assert len(np.unique(group_of(np.concatenate([steps, different[1:]]))[0])) == 5


def test_sets_larger_than_one_block_are_compared_as_a_whole(different, monkeypatch):
    pictures = np.concatenate([different, different[:2]])
    whole = group_of(pictures)
    monkeypatch.setattr("meddiff.training.duplicates.ROWS", 2)
    parts = group_of(pictures)
    assert np.array_equal(parts[0], whole[0]) and parts[1] == pytest.approx(whole[1])


def test_a_limit_that_is_no_correlation_is_refused(different):
    for limit in (0.0, 1.5, float("nan")):
        with pytest.raises(MedDiffError, match="above 0, at most 1"):
            group_of(different, limit)


def test_copies_together_are_drawn_as_often_as_the_one_picture_was(different):
    types = ("glioma", "glioma", "glioma", "meningioma", "meningioma")
    once = set_of(different, types)
    twice = set_of(np.concatenate([different, different[:1], different[:1]]), (*types, "glioma", "glioma"))
    wanted, blind = even_weights(once), even_weights(twice)
    weight = even_weights(twice, copies_of(twice.pictures))
    assert torch.allclose(weight[[0, 5, 6]], wanted[0] / 3)
    assert torch.allclose(weight[1:5], wanted[1:])
    assert blind[[0, 5, 6]].sum() > 1.5 * wanted[0]
    made = prepare(twice, wordings=1, distinct=True)
    assert torch.equal(made.weight, weight) and len(made.pictures) == 7
    assert torch.equal(prepare(twice, wordings=1).weight, blind)


def test_the_file_for_a_lent_machine_keeps_how_often_slices_are_drawn(different, tmp_path):
    from dataclasses import replace

    data = set_of(np.concatenate([different, different[:1]]))
    slices = replace(prepare(data, wordings=1, distinct=True), heads=torch.zeros(6, 128, 128, dtype=torch.uint8))
    path = write_slices(tmp_path / "set.npz", slices, data)
    assert torch.equal(read_slices(path).weight, slices.weight)
    with pytest.raises(MedDiffError, match="train portable"):
        training_slices(None, path, tmp_path, distinct=True)


def test_the_command_names_each_group_and_writes_it(different, tmp_path, capsys):
    pictures = np.concatenate([different, altered(different[3:4])["JPEG of quality 30"]])
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    rows = ["image,mask,tumor,plane,pixel_spacing_mm,split"]
    mask = np.zeros((256, 256), bool)
    mask[100:130, 110:140] = True
    for i, picture in enumerate(pictures):
        Image.fromarray(picture).save(tmp_path / "images" / f"{i}.png")
        Image.fromarray(mask).save(tmp_path / "masks" / f"{i}.png")
        rows.append(f"images/{i}.png,masks/{i}.png,glioma,axial,0.98,{'val' if i == 5 else 'train'}")
    (tmp_path / "cases.csv").write_text("\n".join(rows) + "\n")
    out = tmp_path / "out" / "duplicates.csv"
    assert main(["train", "duplicates", "--data", str(tmp_path), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "the same picture: images/3.png (train), images/5.png (val)" in said
    assert "1 groups of duplicates with 2 of 6 slices" in said
    assert list(csv.reader(out.read_text().splitlines()))[1:] == [
        ["1", "images/3.png", "train"],
        ["1", "images/5.png", "val"],
    ]
