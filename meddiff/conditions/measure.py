"""What a lesion shows in a slice, measured: size, place, contrast, enhancement, margin.

Used on real slices to write captions and on synthetic ones to check them, so that asked and measured mean the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist
from skimage.filters import threshold_otsu
from skimage.measure import perimeter_crofton

from meddiff.case import Conspicuity, Enhancement, Margin, Plane, Region, Side
from meddiff.conditions.place import region_prior

SUBTLE_BELOW, OBVIOUS_FROM = 1.5, 4.0  # contrast to noise
RING_FROM = 1.25  # brightest shell over core, means
SOLID_BELOW = 0.18  # coefficient of variation inside
ENHANCES_FROM = 0.12  # lesion over surrounding tissue - 1
IRREGULAR_BELOW = 0.80  # 4 pi area / perimeter^2


@dataclass(frozen=True)
class LesionMeasures:
    """Measures of one lesion; lengths in mm, intensities in the picture's units."""

    diameter_mm: float
    area_mm2: float
    centroid: tuple[float, float]  # row, column in pixels
    side: Side
    region: Region
    enhancement: Enhancement
    margin: Margin
    contrast: float  # mean inside minus mean of the surrounding ring
    noise: float  # robust standard deviation of that ring
    conspicuity: Conspicuity
    rim_over_core: float
    variation: float
    compactness: float


def head_mask(picture: np.ndarray) -> np.ndarray:
    """The head in a picture [H, W] in [0, 1]: above a third of Otsu's threshold, largest piece, closed and filled."""
    low = max(threshold_otsu(picture) / 3, 0.02) if picture.max() > picture.min() else 1.0
    pieces, count = ndimage.label(ndimage.binary_opening(ndimage.gaussian_filter(picture, 1) > low, iterations=2))
    if not count:
        return np.zeros(picture.shape, bool)
    largest = pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:])
    return ndimage.binary_fill_holes(ndimage.binary_closing(largest, iterations=4))


def longest_diameter_mm(mask: np.ndarray, spacing_mm: tuple[float, float]) -> float:
    """Largest Feret diameter of an outline [H, W], from pixel centres plus one pixel; 0 for an empty one."""
    points = np.argwhere(mask) * np.asarray(spacing_mm)
    if len(points) == 0:
        return 0.0
    pixel = float(np.mean(spacing_mm))
    if len(points) > 3:
        try:
            points = points[ConvexHull(points).vertices]
        except QhullError:  # all on one line
            pass
    return float(pdist(points).max() + pixel) if len(points) > 1 else pixel


def surrounding(mask: np.ndarray, head: np.ndarray, width: int = 6, gap: int = 2) -> np.ndarray:
    """A ring `width` pixels wide around an outline, `gap` pixels away, inside the head."""
    inner = ndimage.binary_dilation(mask, iterations=gap)
    return ndimage.binary_dilation(inner, iterations=width) & ~inner & head


def measure_lesion(
    picture: np.ndarray, mask: np.ndarray, plane: Plane | None, spacing_mm: tuple[float, float] = (0.98, 0.98)
) -> LesionMeasures:
    """Measures the lesion outlined by mask [H, W] in a picture [H, W] in [0, 1].

    Raises:
        ValueError: for an empty mask or different shapes.
    """
    mask = np.asarray(mask) > 0
    if mask.shape != picture.shape:
        raise ValueError(f"mask {mask.shape} and picture {picture.shape} differ in shape")
    if not mask.any():
        raise ValueError("the mask is empty: there is nothing to measure")
    head = head_mask(picture) | mask
    ring = surrounding(mask, head)
    around = picture[ring] if ring.sum() > 8 else picture[head & ~mask]
    inside = picture[mask]
    contrast = float(inside.mean() - np.median(around))
    noise = float(1.4826 * np.median(np.abs(around - np.median(around)))) + 1e-3
    ratio = abs(contrast) / noise

    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    # Outlines are drawn a little outside or inside the bright rim: the brightest of four outer shells stands for it.
    share = depth / depth.max()
    shells = [picture[mask & (share > low) & (share <= low + 0.2)] for low in (0.0, 0.2, 0.4, 0.6)]
    core = picture[mask & (share > 0.8)]
    rim_over_core = float(max(shell.mean() for shell in shells if shell.size) / (core.mean() + 1e-3)) if core.size else 1.0
    deep = picture[mask & (depth > 1.5)]
    variation = float(deep.std() / (deep.mean() + 1e-3)) if deep.size else 0.0
    compactness = float(min(1.0, 4 * np.pi * mask.sum() / max(perimeter_crofton(mask, 4), 1e-3) ** 2))
    centroid = tuple(float(v) for v in ndimage.center_of_mass(mask))
    side, region = region_prior(centroid, head, plane) if plane else (Side.UNKNOWN, Region.UNKNOWN)  # type: ignore[arg-type]
    return LesionMeasures(
        diameter_mm=longest_diameter_mm(mask, spacing_mm),
        area_mm2=float(mask.sum() * spacing_mm[0] * spacing_mm[1]),
        centroid=centroid,  # type: ignore[arg-type]
        side=side,
        region=region,
        enhancement=_enhancement(rim_over_core, variation, contrast / (float(np.median(around)) + 1e-3), inside, around),
        margin=Margin.IRREGULAR if compactness < IRREGULAR_BELOW else Margin.SMOOTH,
        contrast=contrast,
        noise=noise,
        conspicuity=conspicuity_of(ratio),
        rim_over_core=rim_over_core,
        variation=variation,
        compactness=compactness,
    )


def conspicuity_of(ratio: float) -> Conspicuity:
    """Contrast to noise in a word."""
    if ratio < SUBTLE_BELOW:
        return Conspicuity.SUBTLE
    return Conspicuity.OBVIOUS if ratio >= OBVIOUS_FROM else Conspicuity.MODERATE


def _enhancement(
    rim_over_core: float, variation: float, lift: float, inside: np.ndarray, around: np.ndarray
) -> Enhancement:
    """Pattern of enhancement: by how much anything stands out, then rim against core, then evenness."""
    brightest = float(np.percentile(inside, 90) / (np.median(around) + 1e-3)) - 1
    if brightest < 2 * ENHANCES_FROM or (lift < -ENHANCES_FROM and rim_over_core < RING_FROM):
        return Enhancement.NONE
    if rim_over_core >= RING_FROM:
        return Enhancement.RING
    return Enhancement.SOLID if variation < SOLID_BELOW else Enhancement.HETEROGENEOUS
