"""A lesion's look carried from one outline into another: what an earlier visit tells a later one."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from meddiff.conditions.masks import DIRECTIONS, radial_profile
from meddiff.conditions.measure import largest_piece

SMOOTH = 1.5  # directions, over which radii are smoothed: no seams where an outline has a corner
FADE = 1.2  # pixels, over which a carried lesion fades into what lies around it


def stretched(picture: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """A picture float [H, W] whose lesion is stretched or shrunk from one outline, bool [H, W], to the other.

    In each direction from its centre the lesion is scaled by the ratio of the radii; what lies around it is shifted along. Neither
    outline may be empty.
    """
    (old, old_centre), (new, centre) = radial_profile(before), radial_profile(after)
    old, new = (ndimage.gaussian_filter1d(profile, SMOOTH, mode="wrap") for profile in (old, new))
    rows, columns = np.indices(picture.shape).astype(float)
    down, across = rows - centre[0], columns - centre[1]
    radius, angle = np.hypot(down, across), np.arctan2(down, across) % (2 * np.pi)
    directions = np.arange(DIRECTIONS + 1) * 2 * np.pi / DIRECTIONS
    r_old, r_new = (np.interp(angle, directions, np.append(profile, profile[0])) for profile in (old, new))
    source = np.where(radius <= r_new, radius * r_old / r_new, radius - r_new + r_old)
    where = [old_centre[0] + source * np.sin(angle), old_centre[1] + source * np.cos(angle)]
    return ndimage.map_coordinates(picture, where, order=1, mode="nearest")


def carried(picture: np.ndarray, before: np.ndarray, after: np.ndarray, onto: np.ndarray) -> np.ndarray:
    """Another picture, `onto`, that shows a picture's lesion in the outline `after`; float32 [H, W].

    Each piece of `after` shows the largest piece of `before`. Either outline may be empty: then `onto` is as it was.

    Args:
        picture, onto: float [H, W], the same grey levels.
        before, after: bool [H, W].
    """
    shown = np.array(onto, np.float32)
    if not before.any():
        return shown
    source = largest_piece(before)
    pieces, count = ndimage.label(after)
    for number in range(1, count + 1):
        piece = pieces == number
        weight = ndimage.gaussian_filter(ndimage.binary_dilation(piece).astype(np.float32), FADE)
        shown += weight * (stretched(picture, source, piece) - shown)
    return shown
