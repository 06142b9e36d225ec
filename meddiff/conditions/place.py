"""Side and region of a point in the head, by plane; and a plausible point for a region.

Coordinates are shares of the head's bounding box: down (0 at the top of the picture) and across (0 at its left edge).
Axial and coronal slices are shown as radiologists see them: the patient's left is on the right of the screen.
Sagittal slices look to the left of the screen; they do not tell the side.

A point alone does not tell a lobe: the middle of an axial slice is the sella in a low slice and the ventricles in a
higher one. So the place of the slice in the head, its *level*, is estimated from the picture (`slice_level`):

| plane | 0 | 1 | 2 |
|---|---|---|---|
| axial | orbits, skull base, cerebellum | ventricles | vertex |
| coronal | orbits and nose | sella | occiput |
| sagittal | midline | orbit | side of the head |

Lobes have no straight borders; `Region` is a rough word, and UNKNOWN where the slice does not tell.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

from meddiff.case import MedDiffError, Plane, Region, Side

MIDLINE = 0.06  # share of the head's width to each side that counts as the midline
SKULL_HEIGHT = {Plane.AXIAL: None, Plane.CORONAL: 1.05, Plane.SAGITTAL: 0.85}  # in head widths; below it: face and neck
VIEW_HEIGHT = {
    Plane.AXIAL: None,
    Plane.CORONAL: 1.3,
    Plane.SAGITTAL: 1.05,
}  # what `slice_level` looks at, in head widths
VIEW = 24  # cells along that view
BRAIN_DEPTH = 0.07  # scalp and skull, as a share of the head's width


@dataclass(frozen=True)
class Box:
    """Bounding box of a head in pixels."""

    top: int
    left: int
    height: int
    width: int


@lru_cache(maxsize=1)
def statistics() -> dict[str, Any]:
    """What real slices teach, as `meddiff.training.outlines` wrote it (`outlines.json`): shapes, places, levels."""
    return json.loads((Path(__file__).parent / "outlines.json").read_text())


def box(head: np.ndarray) -> Box:
    """Bounding box of a head mask [H, W].

    Raises:
        MedDiffError: for an empty mask.
    """
    rows, columns = np.flatnonzero(head.any(1)), np.flatnonzero(head.any(0))
    if not len(rows):
        raise MedDiffError("No head was found in this picture: give a slice that shows one, not an empty picture.")
    return Box(int(rows[0]), int(columns[0]), int(rows[-1] - rows[0] + 1), int(columns[-1] - columns[0] + 1))


def relative(point: tuple[float, float], head: np.ndarray, plane: Plane) -> tuple[float, float]:
    """A pixel (row, column) as (down, across). Outside axial slices `down` is in skull heights, without neck."""
    down, across = relative_all(np.array(point[0]), np.array(point[1]), head, plane)
    return float(down), float(across)


def relative_all(
    rows: np.ndarray, columns: np.ndarray, head: np.ndarray, plane: Plane
) -> tuple[np.ndarray, np.ndarray]:
    """`relative` of many pixels at once."""
    around, share = box(head), SKULL_HEIGHT[plane]
    height = around.height if share is None else min(around.height, share * around.width)
    return (rows - around.top) / height, (columns - around.left) / around.width


def slice_level(picture: np.ndarray, head: np.ndarray, plane: Plane) -> float:
    """Where in the head a slice [H, W] in [0, 1] lies, about 0 to 2 (see the module's table).

    A linear reading of `level_view`, fitted on slices whose level was judged by eye (`meddiff.training.outlines`, which
    also prints how well it does on slices left out).
    """
    fit = statistics()["levels"][plane.value]
    return float(level_view(picture, head, plane) @ np.asarray(fit["weights"]) + fit["bias"])


def level_view(picture: np.ndarray, head: np.ndarray, plane: Plane) -> np.ndarray:
    """The head seen from afar: roots of its brightness on a coarse grid; [576] sagittal, else [288], sides averaged."""
    around, share = box(head), VIEW_HEIGHT[plane]
    height = around.height if share is None else share * around.width
    corners = (around.left, around.top, around.left + around.width, around.top + height)
    seen = Image.fromarray(np.where(head, picture, 0).astype(np.float32)).transform(
        (4 * VIEW, 4 * VIEW), Image.Transform.EXTENT, corners, Image.Resampling.BILINEAR
    )
    cells = np.asarray(seen).reshape(VIEW, 4, VIEW, 4).mean((1, 3))
    shown = cells[cells > 0]
    cells = np.sqrt(cells / (np.median(shown) if shown.size else 1.0)).clip(0, 2)
    if plane is not Plane.SAGITTAL:
        cells = ((cells + cells[:, ::-1]) / 2)[:, : VIEW // 2]
    return cells.ravel()


def side_of(across: float, plane: Plane) -> Side:
    """Patient's side of a point; unknown in sagittal slices."""
    if plane is Plane.SAGITTAL:
        return Side.UNKNOWN
    if abs(across - 0.5) < MIDLINE:
        return Side.MIDLINE
    return Side.LEFT if across > 0.5 else Side.RIGHT


def region_of(down: float, across: float, plane: Plane, level: float) -> Region:
    """Coarse region of a point in a slice of that level. Borders were set by eye on real slices."""
    if plane is Plane.AXIAL:
        return _axial(down, abs(across - 0.5), level)
    if plane is Plane.CORONAL:
        return _coronal(down, abs(across - 0.5), level)
    return _sagittal(down, across, level)


def _axial(down: float, off: float, level: float) -> Region:
    """Front is up."""
    if (
        level < 0.55
    ):  # petrous bones or orbits in view: what lies behind them is cerebellum, pons, or the lowest occipital
        if off < 0.13 and 0.28 < down < 0.50:
            return Region.SELLAR
        if down < 0.36:
            return Region.FRONTAL
        if down > 0.52 and (level < 0.35 or off < 0.15):
            return Region.POSTERIOR_FOSSA
        if off < 0.10:
            return Region.CENTRAL
        return Region.OCCIPITAL if down > 0.70 else Region.TEMPORAL
    if (
        level > 1.5
    ):  # above the ventricles: no deep grey matter, no temporal lobe; the central sulcus is near the middle
        return Region.FRONTAL if down < 0.48 else Region.PARIETAL if down < 0.85 else Region.OCCIPITAL
    if off < 0.14 and 0.38 < down < 0.64:
        return Region.CENTRAL
    if down < 0.42:
        return Region.FRONTAL
    if down > 0.72:
        return Region.OCCIPITAL
    if level < 1.15:  # the Sylvian fissure is in view
        return Region.TEMPORAL if off > 0.14 and down < 0.62 else Region.PARIETAL if off > 0.14 else Region.OCCIPITAL
    return Region.FRONTAL if down < 0.48 else Region.PARIETAL


def _coronal(down: float, off: float, level: float) -> Region:
    """Top is up."""
    if level < 0.5:  # orbits and nose: only frontal lobes
        return Region.FRONTAL if down < 0.62 else Region.UNKNOWN
    if level > 1.55:  # cerebellum below, parietal and occipital lobes above
        if down > 0.60:
            return Region.POSTERIOR_FOSSA if off < 0.3 else Region.TEMPORAL
        return Region.OCCIPITAL if down > 0.45 else Region.PARIETAL
    if off < 0.17 and down > 0.40:
        if down < 0.58:
            return Region.CENTRAL
        return Region.SELLAR if level < 1.22 else Region.POSTERIOR_FOSSA
    if off < 0.10 and down > 0.30:
        return Region.CENTRAL
    if down > 0.80:
        return Region.POSTERIOR_FOSSA if level > 1.22 else Region.UNKNOWN
    if down > 0.47:
        return Region.TEMPORAL
    if level < 1.02:  # the central sulcus meets the vertex well behind the sella
        return Region.FRONTAL
    return Region.PARIETAL if level > 1.3 else Region.UNKNOWN


def _sagittal(down: float, across: float, level: float) -> Region:
    """Front is on the left. The central sulcus runs from the vertex, behind the middle, forward and down."""
    if down > 0.62 and across > 0.52:
        return Region.POSTERIOR_FOSSA
    if across > 0.78 and down > 0.30:
        return Region.OCCIPITAL
    if down > 0.56 and across > 0.22:
        if level < 0.55:
            return Region.SELLAR if across < 0.50 else Region.CENTRAL  # behind the clivus: midbrain and pons
        return Region.TEMPORAL
    sulcus = 0.56 - 0.25 * down
    if level < 0.9 and down > 0.34 and sulcus - 0.12 < across < 0.62:
        return Region.CENTRAL
    return Region.FRONTAL if across < sulcus else Region.PARIETAL


def region_prior(
    point: tuple[float, float], head: np.ndarray, plane: Plane, level: float | None = None
) -> tuple[Side, Region]:
    """Side and region of a pixel (row, column) in a slice of that level; without a level the region is unknown.

    The side is told from the middle of the head at the point's own height: ears, neck and a tilted head mislead a box.
    """
    down, across = relative(point, head, plane)
    rows = slice(max(round(point[0]) - 6, 0), round(point[0]) + 7)
    columns = np.flatnonzero(head[rows].any(0))
    own = (point[1] - columns[0]) / (columns[-1] - columns[0] + 1) if len(columns) else across
    region = Region.UNKNOWN if level is None else region_of(down, across, plane, level)
    return side_of(own, plane), region


def without_scalp(head: np.ndarray) -> np.ndarray:
    """A head mask [H, W] without scalp and skull, which are about 7% of its width."""
    return ndimage.distance_transform_edt(np.pad(head, 1))[1:-1, 1:-1] > BRAIN_DEPTH * box(head).width


def brain_of(head: np.ndarray, plane: Plane) -> np.ndarray:
    """Where a lesion of the brain or its coverings may lie: the head [H, W] without scalp, skull, face and neck."""
    deep = without_scalp(head)
    rows, columns = np.mgrid[: head.shape[0], : head.shape[1]]
    down, across = relative_all(rows, columns, head, plane)
    if plane is Plane.CORONAL:
        return deep & (down < 0.90)
    if plane is Plane.SAGITTAL:  # the skull base falls in steps: roof of the orbit, sella, foramen magnum
        base = np.interp(across, [0.12, 0.27, 0.36, 0.52, 0.72], [0.45, 0.52, 0.77, 0.78, 0.88])
        return deep & (across > 0.12) & (down < base)
    return deep


def place_point(
    region: Region,
    side: Side,
    plane: Plane,
    head: np.ndarray,
    rng: np.random.Generator,
    drawn_as: str | None = None,
    level: float | None = None,
) -> tuple[float, float]:
    """Draws a plausible centre (row, column) for a lesion in a region and on a side.

    Points are drawn as often as real lesions of the type `drawn_as` (None: any) lie there; then the first is taken
    that `region_prior` calls by the words asked for.

    Args:
        region, side: UNKNOWN means anywhere. The side is ignored in sagittal slices.
        head: bool [H, W].
        level: of the slice whose head it is; None where the slice is still to be made.

    Raises:
        MedDiffError: if this slice does not show that region on that side.
    """
    rows, columns = np.nonzero(brain_of(head, plane))
    down, across = relative_all(rows, columns, head, plane)
    if not len(rows):
        raise MedDiffError("The head in this slice is too small for a lesion: give a larger slice.")
    chance = _frequency(down, across, plane, drawn_as)
    # The level is known to about 0.2 only: a neighbouring slice may show the region too.
    levels = np.linspace(0, 2, 11) if level is None else level + np.array([0, 0.1, -0.1, 0.2, -0.2, 0.3, -0.3])
    wanted_side = Side.UNKNOWN if plane is Plane.SAGITTAL else side
    for pick in rng.choice(len(rows), size=min(6000, len(rows)), replace=False, p=chance):
        point = float(rows[pick]), float(columns[pick])
        if wanted_side is not Side.UNKNOWN and region_prior(point, head, plane)[0] is not wanted_side:
            continue
        if region is Region.UNKNOWN or any(region_of(down[pick], across[pick], plane, x) is region for x in levels):
            return point
    where = f"{'' if wanted_side is Side.UNKNOWN else wanted_side.value + ' '}{region.value}"
    raise MedDiffError(
        f"This {plane.value} slice does not show a {where} place: choose another region, side or plane, "
        "or draw the outline."
    )


def _frequency(down: np.ndarray, across: np.ndarray, plane: Plane, drawn_as: str | None) -> np.ndarray:
    """How often real lesions lie at each point (sums to 1), from a coarse histogram; nowhere quite never."""
    groups = statistics()["places"]
    chosen = [np.asarray(h) for name, h in groups.items() if name.endswith(f"/{plane.value}")]
    if drawn_as is not None and f"{drawn_as}/{plane.value}" in groups:
        chosen = [np.asarray(groups[f"{drawn_as}/{plane.value}"])]
    histogram = np.sum(chosen, axis=0)
    cells = len(histogram)
    row = np.clip((down * cells).astype(int), 0, cells - 1)
    column = np.clip((across * cells).astype(int), 0, cells - 1)
    chance = histogram[row, column] + 1e-4 * histogram.max()
    return chance / chance.sum()
