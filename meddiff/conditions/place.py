"""Side and region of a point in the head, by plane, and a plausible point for a region.

Coordinates are shares of the head's bounding box: down (0 at the top of the picture) and across (0 at its left edge).
Axial and coronal slices are shown as radiologists see them: the patient's left is on the right of the screen.
Sagittal slices look to the left of the screen; they do not tell the side.
The head's box in coronal and sagittal slices often includes face and neck, so heights are measured in head widths there.
"""

from __future__ import annotations

import numpy as np

from meddiff.case import Plane, Region, Side

MIDLINE = 0.06  # share of the head's width to each side that counts as the midline


def box(head: np.ndarray) -> tuple[float, float, float, float]:
    """Top, left, height, width of a head mask [H, W] in pixels.

    Raises:
        ValueError: for an empty mask.
    """
    rows, columns = np.flatnonzero(head.any(1)), np.flatnonzero(head.any(0))
    if not len(rows):
        raise ValueError("the head mask is empty")
    return rows[0], columns[0], rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1


def relative(point: tuple[float, float], head: np.ndarray, plane: Plane) -> tuple[float, float]:
    """A pixel (row, column) as (down, across); outside axial slices `down` is in units a skull is high, about 0.9 widths."""
    top, left, height, width = box(head)
    if plane is Plane.CORONAL:
        height = min(height, 1.05 * width)
    elif plane is Plane.SAGITTAL:
        height = min(height, 0.85 * width)
    return (point[0] - top) / height, (point[1] - left) / width


def side_of(across: float, plane: Plane) -> Side:
    """Patient's side of a point; unknown in sagittal slices."""
    if plane is Plane.SAGITTAL:
        return Side.UNKNOWN
    if abs(across - 0.5) < MIDLINE:
        return Side.MIDLINE
    return Side.LEFT if across > 0.5 else Side.RIGHT


def region_of(down: float, across: float, plane: Plane) -> Region:
    """Coarse region of a point. Boxes were drawn on real slices; lobes have no straight borders, so this is a rough word."""
    off = abs(across - 0.5)
    if plane is Plane.AXIAL:  # front is up
        if off < 0.14 and 0.36 < down < 0.62:
            return Region.CENTRAL
        if down < 0.40:
            return Region.FRONTAL
        if down > 0.70:
            return Region.OCCIPITAL
        if off > 0.16 and down < 0.60:
            return Region.TEMPORAL
        return Region.PARIETAL
    if plane is Plane.CORONAL:  # top is up
        if off < 0.16 and 0.50 < down < 0.78:
            return Region.SELLAR if down > 0.58 else Region.CENTRAL
        if down > 0.80:
            return Region.POSTERIOR_FOSSA
        if off > 0.2 and down > 0.46:
            return Region.TEMPORAL
        if off < 0.16 and 0.36 < down:
            return Region.CENTRAL
        return Region.UNKNOWN  # frontal or parietal: a coronal slice alone does not tell
    # Sagittal: front is on the left.
    if down > 0.62 and across > 0.52:
        return Region.POSTERIOR_FOSSA
    if 0.25 < across < 0.5 and down > 0.58:
        return Region.SELLAR
    if across < 0.36:
        return Region.FRONTAL
    if across > 0.78:
        return Region.OCCIPITAL
    if down > 0.36 and 0.36 <= across < 0.62:
        return Region.CENTRAL
    return Region.PARIETAL


def region_prior(point: tuple[float, float], head: np.ndarray, plane: Plane) -> tuple[Side, Region]:
    """Side and region of a pixel (row, column)."""
    down, across = relative(point, head, plane)
    return side_of(across, plane), region_of(down, across, plane)
