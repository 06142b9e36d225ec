"""Training sets from the folder they are given: 256x256 pictures, outlines and what is known of each."""

from __future__ import annotations

import csv
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
        keep = [i for i, name in enumerate(self.split) if name == split]
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


def _read(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("L").resize((SIZE, SIZE), Image.Resampling.BOX))
    except (OSError, ValueError) as error:
        raise MedDiffError(f"The training image {path} cannot be read: fetch the data set again.") from error


def load_brain_t1gd(folder: str | Path) -> BrainSet:
    """Reads `cases.csv` and all images and masks of a folder laid out as `docs/data.md` says.

    Raises:
        MedDiffError: naming the file or the row that is missing or wrong.
    """
    folder = Path(folder)
    table = folder / "cases.csv"
    if not table.exists():
        raise MedDiffError(f"No cases.csv in {folder}: give the folder of the brain_t1gd set (docs/data.md says how to lay it out).")
    with open(table, newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows or any(column not in rows[0] for column in COLUMNS):
        raise MedDiffError(f"{table} must have the columns {', '.join(COLUMNS)} and at least one row.")
    for number, row in enumerate(rows, 2):
        if row["tumor"] not in TYPES or row["plane"] not in {p.value for p in Plane}:
            raise MedDiffError(f"{table}, line {number}: tumor {row['tumor']!r} or plane {row['plane']!r} is not known.")
    return BrainSet(
        names=tuple(row["image"] for row in rows),
        pictures=np.stack([_read(folder / row["image"]) for row in rows]),
        masks=np.stack([_read(folder / row["mask"]) for row in rows]),
        types=tuple(TYPES[row["tumor"]] for row in rows),
        planes=tuple(Plane(row["plane"]) for row in rows),
        spacing_mm=float(rows[0]["pixel_spacing_mm"]) * 512 / SIZE,
        split=tuple(row["split"] for row in rows),
    )
