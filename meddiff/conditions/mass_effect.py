"""Mass effect: how the brain around a lesion moves when the lesion grows or shrinks."""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage
from scipy.signal import fftconvolve

from meddiff.case import MedDiffError

DECAY_MM, TAPER_MM = 20.0, 15.0  # of the push: with the distance from the lesion, and towards the skull
LEAST_JACOBIAN = 0.1


def mass_effect(
    before: np.ndarray, after: np.ndarray, brain: np.ndarray, spacing_mm: float, amplitude: float
) -> np.ndarray:
    """How the surroundings move when a lesion grows or shrinks, float32 [2, H, W] in pixels, rows then columns.

    The displacement at a pixel is how far the tissue now seen there has come; `warp` applies it. Growth pushes away
    from the lesion, most where the outline has moved most, as a source spread over the lesion would push a fluid (1 / r),
    with a decay of 20 mm, down to nothing at the brain's border. Shrinking is growth undone. The largest displacement
    is `amplitude` times the change of the equivalent radius, less where that would fold the picture.

    Args:
        before, after: bool [H, W]; either may be empty.
        brain: bool [H, W], what can move: `barriers(...) > 0`.
        amplitude: 0 (the lesion replaces tissue) to 1 (it pushes all of it aside).

    Raises:
        MedDiffError: for different shapes or an amplitude that is not from 0 to 1.
    """
    before, after, brain = (np.asarray(mask) > 0 for mask in (before, after, brain))
    if not before.shape == after.shape == brain.shape:
        raise MedDiffError(
            f"The outlines are {before.shape} and {after.shape}, the brain {brain.shape}: give all on the same grid."
        )
    if not 0 <= amplitude <= 1:
        raise MedDiffError(f"The amplitude of the mass effect goes from 0 to 1, not {amplitude:g}.")
    displacement = np.zeros((2, *before.shape), np.float32)
    grown = float(np.sqrt(after.sum() / math.pi) - np.sqrt(before.sum() / math.pi))
    if grown == 0 or amplitude == 0 or not brain.any():
        return displacement
    window = ndimage.find_objects((brain | before | after).astype(int))[0]
    small, large = (before, after) if grown > 0 else (after, before)
    push = _push(small[window], large[window], brain[window], spacing_mm)
    longest = float(np.hypot(*push).max())
    if longest > 0:
        push *= amplitude * abs(grown) / longest
        while _folds(push) or _folds(moved := push if grown > 0 else _undone(push)):
            push *= 0.95
        displacement[:, *window] = moved
    return displacement


def warp(picture: np.ndarray, displacement: np.ndarray) -> np.ndarray:
    """A picture [H, W], or a mask (bool stays bool), moved by a displacement [2, H, W] in pixels."""
    where = np.indices(picture.shape) - displacement
    if picture.dtype == bool:
        return ndimage.map_coordinates(picture.astype(np.uint8), where, order=0, mode="nearest") > 0
    return ndimage.map_coordinates(picture, where, order=1, mode="nearest")


def jacobian_of(displacement: np.ndarray) -> np.ndarray:
    """Area in the picture before, of each pixel after `warp`, [H, W]: 1 where nothing changes, 0 or less where it folds."""
    down, across = (np.gradient(part) for part in displacement)
    return (1 - down[0]) * (1 - across[1]) - down[1] * across[0]


def _folds(displacement: np.ndarray) -> bool:
    """Whether a displacement [2, H, W] folds, or presses an area together so much that it nearly does."""
    return float(jacobian_of(displacement).min()) < LEAST_JACOBIAN


def _push(small: np.ndarray, large: np.ndarray, brain: np.ndarray, spacing_mm: float) -> np.ndarray:
    """Direction and relative strength of a push by growth from `small` to `large`, float64 [2, H, W]."""
    height, width = large.shape
    y, x = np.mgrid[1 - height : height, 1 - width : width].astype(float)
    squared = y * y + x * x
    squared[height - 1, width - 1] = 1.0  # the vector there is 0
    flow = np.stack([fftconvolve(large, part / squared, mode="same") for part in (y, x)])

    edge = large & ~ndimage.binary_erosion(large)
    moved = ndimage.distance_transform_edt(~small) if small.any() else np.ones(large.shape)
    reach = max(2.0, 0.5 * math.sqrt(large.sum() / math.pi))
    near = (1 + (y * y + x * x) / reach**2) ** -2
    here = fftconvolve(edge * moved, near, mode="same") / fftconvolve(edge, near, mode="same").clip(1e-9)

    decay = np.exp(-ndimage.distance_transform_edt(~large) * spacing_mm / DECAY_MM)
    rise = np.clip(ndimage.distance_transform_edt(np.pad(brain, 1))[1:-1, 1:-1] * spacing_mm / TAPER_MM, 0, 1)
    return flow * here * decay * (rise * rise * (3 - 2 * rise)) * brain


def _undone(push: np.ndarray) -> np.ndarray:
    """The displacement that takes back `push`, [2, H, W]: solves x - push(x) = y for x, and gives y - x.

    Damped fixed-point iteration: x - push(x) does not fold and stretches at most a few times, so that it converges.
    """
    y = np.indices(push.shape[1:]).astype(float)
    x = y.copy()
    for _ in range(100):
        off = x - np.stack([ndimage.map_coordinates(part, x, order=1, mode="nearest") for part in push]) - y
        if np.abs(off).max() < 0.01:
            break
        x -= 0.45 * off
    return y - x
