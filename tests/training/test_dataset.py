"""A training set is read whole from its folder, and what is wrong with one is said by file and line."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from meddiff.case import MedDiffError, Plane
from meddiff.conditions.masks import draw_ellipse, standard_head
from meddiff.training.dataset import COLUMNS, load_brain_t1gd


def make_set(folder: Path, count: int = 4, size: int = 512) -> list[dict[str, str]]:
    """A folder as `docs/data.md` lays it out: bright discs in heads."""
    rows = []
    for sub in ("images", "masks"):
        (folder / sub).mkdir(parents=True, exist_ok=True)
    for i in range(count):
        plane = list(Plane)[i % 3]
        mask = draw_ellipse((size, size), (size * 0.45, size * 0.6), (size / 16, size / 16))
        head = np.asarray(Image.fromarray(standard_head(plane)).resize((size, size)))
        Image.fromarray((head * 80 + (head & mask) * 100).astype(np.uint8)).save(folder / f"images/{i}.png")
        Image.fromarray(mask).save(folder / f"masks/{i}.png")
        kind = ("meningioma", "glioma", "pituitary tumor")[i % 3]
        values = (f"images/{i}.png", f"masks/{i}.png", kind, plane.value, "0.49", "val" if i == count - 1 else "train")
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    write_table(folder, rows)
    return rows


def write_table(folder: Path, rows: list[dict[str, str]]) -> None:
    with open(folder / "cases.csv", "w", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)


def test_slices_come_on_the_grid_with_what_is_known(tmp_path: Path) -> None:
    make_set(tmp_path)
    data = load_brain_t1gd(tmp_path)
    assert data.pictures.shape == data.masks.shape == (4, 256, 256) and data.pictures.dtype == np.uint8
    assert data.spacing_mm == pytest.approx(0.98)
    assert data.types == ("meningioma", "glioma", "pituitary_tumor", "meningioma")
    assert data.planes[:3] == tuple(Plane)
    assert (data.masks > 127).sum((1, 2)) == pytest.approx(np.pi * 16**2, rel=0.03)
    assert list(data.type_numbers()) == [0, 1, 2, 0]


def test_a_split_keeps_rows_together(tmp_path: Path) -> None:
    make_set(tmp_path)
    data = load_brain_t1gd(tmp_path)
    val = data.where("val")
    assert val.names == ("images/3.png",) and len(data.where("train")) == 3
    assert (val.pictures[0] == data.pictures[3]).all() and val.planes == (data.planes[3],)


def test_pictures_are_averaged_not_sampled(tmp_path: Path) -> None:
    rows = make_set(tmp_path, 1)
    stripes = np.zeros((512, 512), np.uint8)
    stripes[::2] = 200
    Image.fromarray(stripes).save(tmp_path / rows[0]["image"])
    assert (load_brain_t1gd(tmp_path).pictures == 100).all()


def test_the_cache_gives_the_same_and_notices_changes(tmp_path: Path) -> None:
    make_set(tmp_path / "set", 2)
    first = load_brain_t1gd(tmp_path / "set", tmp_path / "cache")
    kept = list((tmp_path / "cache").iterdir())
    assert len(kept) == 1 and kept[0].suffix == ".npz"
    assert (load_brain_t1gd(tmp_path / "set", tmp_path / "cache").pictures == first.pictures).all()
    Image.new("L", (512, 512), 77).save(tmp_path / "set/images/0.png")
    assert (load_brain_t1gd(tmp_path / "set", tmp_path / "cache").pictures[0] == 77).all()


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("tumor", "lymphoma", "line 3: tumor 'lymphoma'"),
        ("plane", "oblique", "line 3: plane 'oblique'"),
        ("split", "test", "line 3: split 'test'"),
        ("pixel_spacing_mm", "wide", "line 3: pixel_spacing_mm 'wide'"),
        ("pixel_spacing_mm", "-1", "line 3: pixel_spacing_mm '-1'"),
        ("pixel_spacing_mm", "0.7", "line 3: .* one field of view"),
        ("image", "images/none.png", "images/none.png"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, column: str, value: str, reason: str) -> None:
    rows = make_set(tmp_path, 2)
    rows[1][column] = value
    write_table(tmp_path, rows)
    with pytest.raises(MedDiffError, match=reason):
        load_brain_t1gd(tmp_path)


def test_wrong_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(MedDiffError, match=r"No cases\.csv"):
        load_brain_t1gd(tmp_path)
    make_set(tmp_path, 2)
    Image.new("1", (512, 512)).save(tmp_path / "masks/1.png")
    with pytest.raises(MedDiffError, match=r"line 3: the mask masks/1.png is empty"):
        load_brain_t1gd(tmp_path)
    Image.new("1", (256, 256), 1).save(tmp_path / "masks/1.png")
    with pytest.raises(MedDiffError, match="256 pixels wide"):
        load_brain_t1gd(tmp_path)
    Image.new("L", (512, 400)).save(tmp_path / "images/1.png")
    with pytest.raises(MedDiffError, match="must be square"):
        load_brain_t1gd(tmp_path)
    (tmp_path / "images/1.png").write_bytes(b"\x89PNG broken")
    with pytest.raises(MedDiffError, match=r"images/1.png cannot be read"):
        load_brain_t1gd(tmp_path)
    (tmp_path / "cases.csv").write_text("image,mask\n")
    with pytest.raises(MedDiffError, match="columns"):
        load_brain_t1gd(tmp_path)
