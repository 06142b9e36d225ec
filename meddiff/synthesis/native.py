"""A user's own slice: into the model's range and back, with every pixel outside the edit region as it was."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import ndimage

from meddiff.case import MedDiffError
from meddiff.imaging.grid import GridTransform, to_grid
from meddiff.imaging.read import Slice

BRIGHT = 0.72  # where the training slices have their 99.5th percentile, in the middle (`docs/data.md`)
FEATHER_MM = 4.0  # over which new content fades in, inside the edit region


@dataclass(frozen=True)
class Native:
    """A background as the model sees it and as it is.

    Attributes:
        pixels: uint8 or uint16 [H, W], the slice's own numbers (see `carrier`).
        picture: float32 [256, 256] in [0, 1].
        grid: how the two lie over each other.
        low, high: numbers in `pixels` that become 0 and `BRIGHT`.
        spacing_mm: of `pixels`.
    """

    pixels: np.ndarray
    picture: np.ndarray
    grid: GridTransform
    low: float
    high: float
    spacing_mm: tuple[float, float]

    def put(self, made: np.ndarray, edit: np.ndarray) -> np.ndarray:
        """Lays a made picture [256, 256] into the slice, inside the native edit region bool [H, W] only."""
        weight = feather(edit, self.spacing_mm)
        content = self.grid.back(made) * (self.high - self.low) / BRIGHT + self.low
        mixed = self.pixels * (1 - weight) + content * weight
        top = np.iinfo(self.pixels.dtype).max
        return np.where(edit, np.clip(np.rint(mixed), 0, top), self.pixels).astype(self.pixels.dtype)

    def shown(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels like the slice's own, changed or not, as the model sees them: float32 [256, 256] in [0, 1]."""
        return np.clip(self.grid.forward(scaled(pixels, self.low, self.high)), 0, 1)

    @cached_property
    def seen(self) -> np.ndarray:
        """Where the model's grid lies over the slice, bool [H, W]; nothing is made anywhere else."""
        # Interpolated ones: at the grid's border they fade, and so would what is made there.
        return self.grid.back(np.ones((self.grid.size, self.grid.size), np.float32)) > 1 - 1e-6


def scaled(pixels: np.ndarray, low: float, high: float) -> np.ndarray:
    """`low` to 0 and `high` to `BRIGHT`, clipped to [0, 1], float32."""
    return np.clip((pixels - low) / (high - low) * BRIGHT, 0, 1).astype(np.float32)


def feather(edit: np.ndarray, spacing_mm: tuple[float, float]) -> np.ndarray:
    """Weights in [0, 1]: 0 outside the edit region and at its border, 1 from `FEATHER_MM` inside."""
    inside = ndimage.distance_transform_edt(np.pad(edit, 1), sampling=spacing_mm)[1:-1, 1:-1]
    ramp = np.clip(inside / FEATHER_MM, 0, 1)
    return ramp * ramp * (3 - 2 * ramp)


def carrier(image: Slice) -> np.ndarray:
    """The numbers the file stores as uint8 or uint16 [H, W], bit for bit wherever they fit.

    Stored numbers, not rescaled ones: a rescale slope (0028,1053) makes fractions of them. Negative ones are shifted
    above zero; fractions, and ranges above 16 bits, are scaled to 16 bits; MONOCHROME1 is mirrored within its range.
    """
    values = image.stored.astype(np.float64)
    if image.slope < 0:
        values = values.max() + values.min() - values
    low, high = float(values.min()), float(values.max())
    if np.array_equal(values, np.rint(values)) and high - min(low, 0) <= 65535:
        values = values - min(low, 0)
    else:
        values = np.rint((values - low) / (high - low) * 65535)
    return values.astype(np.uint8 if image.stored.dtype.itemsize == 1 else np.uint16)


def prepare_background(image: Slice, modality: str, size: int, grid_mm: float) -> Native:
    """A slice made ready for the pack.

    Raises:
        MedDiffError: another modality than the pack's.
    """
    if image.modality not in (modality, "unknown"):
        raise MedDiffError(
            f"The background is {image.modality}, and this pack knows {modality}: choose a {modality} slice or another pack."
        )
    pixels = carrier(image)
    low = float(np.percentile(pixels, 0.5))
    high = float(np.percentile(pixels, 99.5))
    if high <= low:
        raise MedDiffError("The background is nearly empty: choose a slice that shows the head.")
    picture, grid = to_grid(scaled(pixels, low, high), image.spacing_mm, size, grid_mm)
    spacing = image.spacing_mm or (grid_mm / grid.step[0], grid_mm / grid.step[1])
    return Native(pixels, np.clip(picture, 0, 1), grid, low, high, spacing)
