"""The border of a lesion as polygons, for formats that ask for a place by one, and for lines drawn over a picture.

A polygon is a list of corners (x, y) of pixels: pixel (row r, column c) is the square from (c, r) to (c + 1, r + 1). It is the
outline itself, not an approximation. Holes are filled: whoever points into a lesion's necrotic core has found the lesion.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

Point = tuple[int, int]
Polygon = tuple[Point, ...]


def polygons(mask: np.ndarray) -> tuple[Polygon, ...]:
    """The border of each part of a mask [H, W], largest part first; corners clockwise on the screen, not closed."""
    parts, count = ndimage.label(ndimage.binary_fill_holes(np.asarray(mask) > 0))
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    return tuple(_border(parts == part) for part in sorted(range(1, count + 1), key=lambda part: -sizes[part]))


def within(mask: np.ndarray, spacing_mm: tuple[float, float], tolerance_mm: float) -> np.ndarray:
    """bool [H, W]: pixels of a mask, and those whose centre is within `tolerance_mm` of the centre of one of them."""
    inside = np.asarray(mask) > 0
    if not inside.any():
        return inside
    return np.asarray(ndimage.distance_transform_edt(~inside, sampling=spacing_mm) <= tolerance_mm)


def deepest(mask: np.ndarray) -> Point:
    """(x, y) of the pixel of a mask [H, W] that is farthest from its border."""
    depth = ndimage.distance_transform_edt(np.pad(np.asarray(mask) > 0, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return int(column), int(row)


def joined(parts: Sequence[Polygon]) -> Polygon:
    """Several polygons as one, by ways there and back that enclose nothing: for formats that take one alone."""
    first, *others = parts
    whole = list(first)
    for other in others:
        whole += [first[0], *other, other[0]]
    return tuple([*whole, first[0]] if others else whole)


def _border(part: np.ndarray) -> Polygon:
    """The border of one part without holes. Its corners are never shared: it is connected by sides, and so is what surrounds it."""
    inside = np.pad(part, 1)
    after: dict[Point, Point] = {}
    # Neighbour to look at (rows, columns), then the side towards it, walked with the part on the right.
    sides = (((-1, 0), (0, 0), (1, 0)), ((0, 1), (1, 0), (1, 1)), ((1, 0), (1, 1), (0, 1)), ((0, -1), (0, 1), (0, 0)))
    for (down, right), start, end in sides:
        free = inside[1:-1, 1:-1] & ~np.roll(inside, (-down, -right), (0, 1))[1:-1, 1:-1]
        for row, column in np.argwhere(free).tolist():
            after[column + start[0], row + start[1]] = (column + end[0], row + end[1])
    walked = [min(after)]
    while (corner := after[walked[-1]]) != walked[0]:
        walked.append(corner)
    turns = zip([walked[-1], *walked], walked, [*walked[1:], walked[0]], strict=False)
    return tuple(here for before, here, then in turns if not _straight(before, here, then))


def _straight(before: Point, here: Point, then: Point) -> bool:
    return (here[0] - before[0]) * (then[1] - here[1]) == (here[1] - before[1]) * (then[0] - here[0])
