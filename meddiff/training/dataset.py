"""Training sets from the folder they are given: 256x256 pictures, outlines and what is known of each."""

from __future__ import annotations

import csv
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from meddiff.case import MedDiffError, Plane

SIZE = 256
COLUMNS = ("image", "mask", "tumor", "plane", "pixel_spacing_mm", "split")
TYPES = {"meningioma": "meningioma", "glioma": "glioma", "pituitary tumor": "pituitary_tumor"}


@dataclass(frozen=True)
class BrainSet:
    """Slices of `brain_t1gd` in memory.

    Attributes:
        names: N image paths, relative to the folder.
        pictures, masks: uint8 [N, 256, 256]; masks are 0 to 255, averaged over the pixels they stand for.
        types: N keys of pathologies.
        planes: N planes.
        spacing_mm: pixel size at 256 pixels.
        split: N names, `train` or `val`.
    """

    names: tuple[str, ...]
    pictures: np.ndarray
    masks: np.ndarray
    types: tuple[str, ...]
    planes: tuple[Plane, ...]
    spacing_mm: float
    split: tuple[str, ...]

    def where(self, split: str) -> BrainSet:
        """The slices of one split, in order."""
        return self.take([i for i, name in enumerate(self.split) if name == split])

    def take(self, keep: list[int]) -> BrainSet:
        """The slices at these positions, in that order."""
        return BrainSet(
            tuple(self.names[i] for i in keep),
            self.pictures[keep],
            self.masks[keep],
            tuple(self.types[i] for i in keep),
            tuple(self.planes[i] for i in keep),
            self.spacing_mm,
            tuple(self.split[i] for i in keep),
        )

    def type_numbers(self) -> np.ndarray:
        """Types as positions in the finder's order, [N]."""
        order = list(TYPES.values())
        return np.array([order.index(kind) for kind in self.types])

    def __len__(self) -> int:
        return len(self.names)


def load_brain_t1gd(folder: str | Path, cache: str | Path | None = None) -> BrainSet:
    """Reads `cases.csv` and all images and masks of a folder laid out as `docs/data.md` says.

    Args:
        folder: with `cases.csv` (columns `COLUMNS`) and the files that it names.
        cache: folder for a copy that loads in a second; it is made anew when the table or any file changes.

    Raises:
        MedDiffError: naming the file or the row that is missing or wrong.
    """
    folder = Path(folder)
    table = folder / "cases.csv"
    rows = _rows(table)
    pixels = _cached(folder, rows, Path(cache)) if cache else _pixels(folder, rows)
    spacings = np.array([float(row["pixel_spacing_mm"]) for row in rows]) * pixels["widths"] / SIZE
    odd = np.flatnonzero(np.abs(spacings - spacings[0]) > 0.01 * spacings[0])
    if len(odd):
        raise MedDiffError(
            f"{table}, line {odd[0] + 2}: {SIZE} pixels of {spacings[odd[0]]:.2f} mm, "
            f"the first row's are {spacings[0]:.2f} mm; all slices must show one field of view: resample them first."
        )
    return BrainSet(
        names=tuple(row["image"] for row in rows),
        pictures=pixels["pictures"],
        masks=pixels["masks"],
        types=tuple(TYPES[row["tumor"]] for row in rows),
        planes=tuple(Plane(row["plane"]) for row in rows),
        spacing_mm=float(spacings[0]),
        split=tuple(row["split"] for row in rows),
    )


def _rows(table: Path) -> list[dict[str, str]]:
    """The table's rows, each checked."""
    if not table.exists():
        raise MedDiffError(
            f"No cases.csv in {table.parent}: give the folder of the brain_t1gd set, laid out as docs/data.md says."
        )
    with open(table, newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows or any(column not in rows[0] for column in COLUMNS):
        raise MedDiffError(f"{table} must have the columns {', '.join(COLUMNS)} and at least one row.")
    known: dict[str, tuple[str, ...]] = {
        "tumor": tuple(TYPES),
        "plane": tuple(p.value for p in Plane),
        "split": ("train", "val"),
    }
    for number, row in enumerate(rows, 2):
        for column, words in known.items():
            if row[column] not in words:
                raise MedDiffError(
                    f"{table}, line {number}: {column} {row[column]!r} is not one of {', '.join(words)}."
                )
        try:
            positive = float(row["pixel_spacing_mm"]) > 0
        except (TypeError, ValueError):
            positive = False
        if not positive:
            raise MedDiffError(
                f"{table}, line {number}: pixel_spacing_mm {row['pixel_spacing_mm']!r} is not a length above 0."
            )
    return rows


def _pixels(folder: Path, rows: list[dict[str, str]]) -> dict[str, np.ndarray]:
    """`pictures` and `masks` uint8 [N, 256, 256], and the `widths` [N] of the originals."""
    pictures, masks, widths = [], [], []
    for number, row in enumerate(rows, 2):
        picture, width = _read(folder / row["image"])
        mask, mask_width = _read(folder / row["mask"])
        if mask_width != width or mask.max() <= 127:
            wrong = "is empty" if mask_width == width else f"is {mask_width} pixels wide, its image {width}"
            raise MedDiffError(f"{folder / 'cases.csv'}, line {number}: the mask {row['mask']} {wrong}.")
        pictures.append(picture)
        masks.append(mask)
        widths.append(width)
    return {"pictures": np.stack(pictures), "masks": np.stack(masks), "widths": np.array(widths)}


def _read(path: Path) -> tuple[np.ndarray, int]:
    """A square image as uint8 [256, 256], averaged over the pixels each stands for, and its own width."""
    try:
        with Image.open(path) as image:
            width, height = image.size
            pixels = np.asarray(image.convert("L").resize((SIZE, SIZE), Image.Resampling.BOX))
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise MedDiffError(f"The training image {path} cannot be read: fetch the data set again.") from error
    if width != height:
        raise MedDiffError(f"The training image {path} is {width}x{height}; slices must be square: pad it with black.")
    return pixels, width


def _cached(folder: Path, rows: list[dict[str, str]], cache: Path) -> dict[str, np.ndarray]:
    """`_pixels` through a file named by the table and by size and time of every file it names."""
    digest = hashlib.sha256((folder / "cases.csv").read_bytes())
    for row in rows:
        for name in (row["image"], row["mask"]):
            try:
                state = (folder / name).stat()
            except OSError as error:
                raise MedDiffError(
                    f"The training image {folder / name} is missing: fetch the data set again."
                ) from error
            digest.update(f"{name} {state.st_size} {state.st_mtime_ns};".encode())
    path = cache / f"brain_t1gd-{digest.hexdigest()[:12]}.npz"
    if path.exists():
        with np.load(path) as kept:
            return {name: kept[name] for name in ("pictures", "masks", "widths")}
    pixels = _pixels(folder, rows)
    cache.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with open(part, "wb") as file:
        np.savez(file, **pixels)  # type: ignore[arg-type]
    os.replace(part, path)
    return pixels
