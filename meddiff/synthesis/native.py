"""A user's own slice: into the model's range and back, with every pixel outside the edit region as it was."""

from __future__ import annotations

from dataclasses import dataclass

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
        pixels: uint8 or uint16 [H, W], the slice's own numbers (shifted above zero where they go below).
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

    def reaches(self, mask: np.ndarray) -> bool:
        """Whether the model's grid covers a native mask."""
        return bool((self.grid.back(np.ones((self.grid.size, self.grid.size)), order=0)[mask] > 0).all())


def feather(edit: np.ndarray, spacing_mm: tuple[float, float]) -> np.ndarray:
    """Weights in [0, 1]: 0 outside the edit region and at its border, 1 from `FEATHER_MM` inside."""
    inside = ndimage.distance_transform_edt(np.pad(edit, 1), sampling=spacing_mm)[1:-1, 1:-1]
    ramp = np.clip(inside / FEATHER_MM, 0, 1)
    return ramp * ramp * (3 - 2 * ramp)


def carrier(image: Slice) -> np.ndarray:
    """A slice's numbers as uint8 or uint16: unchanged where they fit, shifted above zero, or (fractions) scaled to 16 bit."""
    values = image.pixels.astype(np.float64)
    low, high = float(values.min()), float(values.max())
    if np.allclose(values, np.rint(values)) and high - min(low, 0) <= 65535:
        values = np.rint(values - min(low, 0))
    else:
        values = np.rint((values - low) / (high - low) * 65535)
    return values.astype(np.uint8 if values.max() <= 255 else np.uint16)


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
    scaled = np.clip((pixels - low) / (high - low) * BRIGHT, 0, 1).astype(np.float32)
    picture, grid = to_grid(scaled, image.spacing_mm, size, grid_mm)
    spacing = image.spacing_mm or (grid_mm / grid.step[0], grid_mm / grid.step[1])
    return Native(pixels, np.clip(picture, 0, 1), grid, low, high, spacing)
