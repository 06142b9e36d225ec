"""What a lesion shows in a slice, measured: size, place, contrast, enhancement, margin.

Used on real slices to write captions and on synthetic ones to check them, so that asked and measured mean the same.
The thresholds below were set by looking at real post-contrast T1 slices sorted by each measure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist
from skimage.filters import threshold_otsu
from skimage.measure import perimeter_crofton

from meddiff.case import Conspicuity, Enhancement, Margin, MedDiffError, Plane, Region, Side
from meddiff.conditions.place import region_prior, slice_level, without_scalp

SUBTLE_BELOW, OBVIOUS_FROM = 1.5, 4.0  # contrast to noise
ENHANCING = 1.3  # times the surrounding tissue: below, white and grey matter reach it too
NONE_BELOW = 0.06  # share of the lesion that enhances: below, a few vessels cross it at most
RING_FROM = 1.18  # brightest shell over core, means
DARK_CORE_FROM = 0.6  # share of the core darker than that shell: a speckled core is no ring
SOLID_BELOW = 0.18  # coefficient of variation inside
IRREGULAR_BELOW = 0.86  # compactness over that of the ellipse of the same moments
LEAST_PIXELS = 12  # fewer say nothing of a part's mean
PERPENDICULAR_WITHIN = 5  # degrees


@dataclass(frozen=True)
class LesionMeasures:
    """Measures of one lesion; lengths in mm, intensities in the picture's units.

    Attributes:
        diameter_mm: longest diameter (largest Feret diameter) in the slice.
        area_mm2: area in the slice.
        centroid: row, column in pixels.
        side, region: where, by `conditions.place`; UNKNOWN where the slice does not tell.
        enhancement, margin, conspicuity: in words, by the thresholds of this module.
        contrast: mean inside minus median of the surrounding ring, signed.
        part_contrast: the same of the concentric part that differs most; the mean of a ring may equal its surroundings.
        noise: robust standard deviation (1.4826 MAD) of that ring.
        rim_over_core: mean of the brightest shell over that of the core.
        variation: standard deviation over mean, without the outermost pixels.
        compactness: 4 pi area / perimeter^2 over the same of an ellipse with the lesion's moments; 1 = an ellipse.
        enhancing_share: share of the lesion brighter than `ENHANCING` times its surroundings.
        level: of the slice, by `place.slice_level`; NaN without a plane.
    """

    diameter_mm: float
    area_mm2: float
    centroid: tuple[float, float]
    side: Side
    region: Region
    enhancement: Enhancement
    margin: Margin
    contrast: float
    noise: float
    conspicuity: Conspicuity
    part_contrast: float
    rim_over_core: float
    variation: float
    compactness: float
    enhancing_share: float
    level: float

    @property
    def contrast_to_noise(self) -> float:
        """|part_contrast| / noise: what `conspicuity` says in a word."""
        return abs(self.part_contrast) / self.noise

    @property
    def conspicuity_words(self) -> str:
        """As tables of asked and measured tell it: `moderate (2.3)`."""
        return f"{self.conspicuity.value} ({self.contrast_to_noise:.1f})"


def dice(first: np.ndarray, second: np.ndarray) -> float:
    """Dice of two outlines [H, W]; two empty ones agree. Dice, *Ecology* 26, 1945."""
    total = int(first.sum() + second.sum())
    return 2 * int((first & second).sum()) / total if total else 1.0


def largest_piece(mask: np.ndarray) -> np.ndarray:
    """The largest connected piece of a mask [H, W]; an empty one stays empty."""
    pieces, count = ndimage.label(mask)
    return mask if count < 2 else pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:])


def margin_of(compactness: float) -> Margin:
    """Margin in a word, of an outline with that `compactness_of`."""
    return Margin.IRREGULAR if compactness < IRREGULAR_BELOW else Margin.SMOOTH


def head_mask(picture: np.ndarray) -> np.ndarray:
    """The head in a picture [H, W] in [0, 1]: above a third of Otsu's threshold, largest piece, closed and filled.

    Otsu, *IEEE Trans. SMC* 9, 1979. All False where there is nothing to see.
    """
    low = max(threshold_otsu(picture) / 3, 0.02) if picture.max() > picture.min() else 1.0
    largest = largest_piece(ndimage.binary_opening(ndimage.gaussian_filter(picture, 1) > low, iterations=2))
    # Padded, because closing eats into a head that is cut off by the picture's edge.
    closed = ndimage.binary_closing(np.pad(largest, 8, mode="edge"), iterations=4)[8:-8, 8:-8]
    return ndimage.binary_fill_holes(closed)


def longest_diameter_mm(mask: np.ndarray, spacing_mm: tuple[float, float]) -> float:
    """Largest Feret diameter of an outline [H, W], from pixel centres plus one pixel; 0 for an empty one."""
    corners = _corners_mm(mask, spacing_mm)
    return math.hypot(*_longest(corners)) + float(np.mean(spacing_mm)) if len(corners) else 0.0


def perpendicular_mm(mask: np.ndarray, spacing_mm: tuple[float, float]) -> float:
    """Longest diameter within 5 degrees of the perpendicular to the longest one, of an outline [H, W]; 0 for an empty one.

    Both are diameters of the outline's convex hull, from pixel centres plus one pixel: a dent in the outline shortens neither.
    """
    corners = _corners_mm(mask, spacing_mm)
    if len(corners) == 0:
        return 0.0
    longest = _longest(corners)
    across = math.atan2(*longest) + math.pi / 2
    tilts = np.radians(np.arange(-PERPENDICULAR_WITHIN, PERPENDICULAR_WITHIN + 1))
    widest = max(_widest(corners, across + tilt) for tilt in tilts)
    return min(widest, math.hypot(*longest)) + float(np.mean(spacing_mm))


def surrounding(mask: np.ndarray, head: np.ndarray, width: int = 6, gap: int = 2) -> np.ndarray:
    """A ring `width` pixels wide around an outline, `gap` pixels away, inside the head."""
    inner = ndimage.binary_dilation(mask, iterations=gap)
    return ndimage.binary_dilation(inner, iterations=width) & ~inner & head


def compactness_of(mask: np.ndarray) -> float:
    """Compactness of an outline [H, W] against an ellipse with its second moments: long and smooth is still smooth.

    Perimeters by Crofton's formula and, of the ellipse, Ramanujan's (1914).
    """
    points = np.argwhere(mask).astype(float)
    # A pixel is a square, not a point: 1/12 is its own variance along each axis.
    spread = np.linalg.eigvalsh(np.cov(points.T, bias=True) + np.eye(2) / 12) if len(points) > 1 else np.ones(2) / 12
    b, a = 2 * np.sqrt(spread)
    h = ((a - b) / (a + b)) ** 2
    around = math.pi * (a + b) * (1 + 3 * h / (10 + math.sqrt(4 - 3 * h)))
    ellipse = 4 * math.pi * (math.pi * a * b) / around**2
    own = 4 * math.pi * len(points) / max(perimeter_crofton(mask, 4), 1e-3) ** 2
    return float(min(1.0, own / ellipse))


def measure_lesion(
    picture: np.ndarray, mask: np.ndarray, plane: Plane | None, spacing_mm: tuple[float, float] = (0.98, 0.98)
) -> LesionMeasures:
    """Measures the lesion outlined by mask [H, W] (nonzero = lesion) in a picture [H, W] in [0, 1].

    Raises:
        MedDiffError: for an empty mask or different shapes.
    """
    mask = np.asarray(mask) > 0
    if mask.shape != picture.shape:
        raise MedDiffError(f"The outline is {mask.shape} and the picture {picture.shape}: give both on the same grid.")
    if not mask.any():
        raise MedDiffError("The outline is empty: there is nothing to measure. Draw an outline.")
    head = head_mask(picture) | mask
    # Scalp and skull beside a superficial lesion are no tissue to compare it with, if there is any other.
    rings = (surrounding(mask, without_scalp(head)), surrounding(mask, head), ~mask)
    around = next((picture[ring] for ring in rings if ring.sum() >= 4 * LEAST_PIXELS), picture)
    base = float(np.median(around))
    noise = float(1.4826 * np.median(np.abs(around - base))) + 1e-3
    inside = picture[mask]
    contrast = float(inside.mean()) - base

    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    share = depth / depth.max()
    # Outlines are drawn a little outside or inside the bright rim: the brightest of three outer shells stands for it.
    means = [_mean(picture, mask & (share > low) & (share <= low + 0.2)) for low in (0.0, 0.2, 0.4)]
    core = picture[mask & (share > 0.6)]  # never empty: the deepest pixel has a share of 1
    rim = max((m for m in means if m is not None), default=float(inside.mean()))
    rim_over_core = rim / (float(core.mean()) + 1e-3)
    dark_core = float((core < rim).mean())
    # The outermost shell is half surroundings: it does not say what the lesion looks like.
    parts = [m - base for m in (*means[1:], _mean(picture, mask & (share > 0.6))) if m is not None]
    part_contrast = max([contrast, *parts], key=abs)

    deep = picture[mask & (depth > 1.5)]
    variation = float(deep.std() / (deep.mean() + 1e-3)) if deep.size else 0.0
    enhancing = float((ndimage.gaussian_filter(picture, 0.7)[mask] > ENHANCING * base).mean())
    compactness = compactness_of(mask)
    row, column = ndimage.center_of_mass(mask)
    centroid = (float(row), float(column))
    level = slice_level(picture, head, plane) if plane else math.nan
    side, region = region_prior(centroid, head, plane, level) if plane else (Side.UNKNOWN, Region.UNKNOWN)
    return LesionMeasures(
        diameter_mm=longest_diameter_mm(mask, spacing_mm),
        area_mm2=float(mask.sum() * spacing_mm[0] * spacing_mm[1]),
        centroid=centroid,
        side=side,
        region=region,
        enhancement=enhancement_of(enhancing, rim_over_core, rim / (base + 1e-3), dark_core, variation),
        margin=margin_of(compactness),
        contrast=contrast,
        noise=noise,
        conspicuity=conspicuity_of(abs(part_contrast) / noise),
        part_contrast=part_contrast,
        rim_over_core=rim_over_core,
        variation=variation,
        compactness=compactness,
        enhancing_share=enhancing,
        level=level,
    )


def conspicuity_of(ratio: float) -> Conspicuity:
    """Contrast to noise in a word."""
    if ratio < SUBTLE_BELOW:
        return Conspicuity.SUBTLE
    return Conspicuity.OBVIOUS if ratio >= OBVIOUS_FROM else Conspicuity.MODERATE


def enhancement_of(
    enhancing_share: float, rim_over_core: float, rim_over_around: float, dark_core: float, variation: float
) -> Enhancement:
    """Pattern of enhancement: whether anything enhances, then a bright rim around a dark core, then evenness."""
    if enhancing_share < NONE_BELOW:
        return Enhancement.NONE
    if rim_over_core >= RING_FROM and rim_over_around > 1 and dark_core >= DARK_CORE_FROM:
        return Enhancement.RING
    return Enhancement.SOLID if variation < SOLID_BELOW else Enhancement.HETEROGENEOUS


def _mean(picture: np.ndarray, where: np.ndarray) -> float | None:
    """Mean of a part, None where it has too few pixels."""
    values = picture[where]
    return float(values.mean()) if values.size >= LEAST_PIXELS else None


def _corners_mm(mask: np.ndarray, spacing_mm: tuple[float, float]) -> np.ndarray:
    """Corners [N, 2], in mm, of the convex hull of a mask's pixel centres, in order around it; all points where they lie on a line."""
    points = np.argwhere(mask) * np.asarray(spacing_mm)
    if len(points) > 3:
        try:
            return points[ConvexHull(points).vertices]
        except QhullError:  # all on one line
            pass
    return points


def _longest(corners: np.ndarray) -> tuple[float, float]:
    """The way, down and right in mm, between the two corners [N, 2] that are farthest apart."""
    if len(corners) < 2:
        return 0.0, 0.0
    first, second = np.triu_indices(len(corners), 1)
    far = int(pdist(corners).argmax())
    down, right = corners[second[far]] - corners[first[far]]
    return float(down), float(right)


def _widest(corners: np.ndarray, angle: float) -> float:
    """Longest chord, in mm, of a convex polygon [N, 2] in the direction `angle`, measured from rightwards to downwards.

    The chord's length is concave and, between corners, linear across the polygon: the longest one goes through a corner.
    """
    along = corners @ (math.sin(angle), math.cos(angle))
    at = corners @ (math.cos(angle), -math.sin(angle))
    end_along, end_at = np.roll(along, -1), np.roll(at, -1)
    length = np.where(end_at == at, 1.0, end_at - at)  # an edge along the chord: its ends are its neighbours' ends
    share = (at[:, None] - at) / length  # [N corners, N edges]: where on each edge the chord through a corner meets it
    meets = (share >= 0) & (share <= 1) & (end_at != at)
    hit = along + share * (end_along - along)
    chords = np.where(meets, hit, -np.inf).max(1) - np.where(meets, hit, np.inf).min(1)
    return float(max(chords.max(), 0.0))
