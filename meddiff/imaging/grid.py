"""From a slice's own pixels to the pack's grid and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage


@dataclass(frozen=True)
class GridTransform:
    """How a grid lies over a native slice: native = start + step * grid, for rows and columns of pixel centres.

    Attributes:
        native: native shape.
        size: pixels a side of the grid.
        start, step: in native pixels.
    """

    native: tuple[int, int]
    size: int
    start: tuple[float, float]
    step: tuple[float, float]

    @property
    def identity(self) -> bool:
        """Whether grid and native pixels are the same."""
        return self.native == (self.size, self.size) and self.step == (1.0, 1.0) and self.start == (0.0, 0.0)

    def forward(self, native: np.ndarray, order: int = 1) -> np.ndarray:
        """Native [H, W] -> grid [size, size], float32; outside the slice it is 0."""
        if self.identity:
            return np.asarray(native, np.float32)
        values = np.asarray(native, np.float32)
        if order and max(self.step) > 1.2:  # average over what falls into a grid pixel
            values = ndimage.gaussian_filter(values, [max(step - 1, 0) * 0.42 for step in self.step])
        return ndimage.affine_transform(
            values, np.array(self.step), self.start, (self.size, self.size), order=order, mode="constant"
        )

    def back(self, grid: np.ndarray, order: int = 1) -> np.ndarray:
        """Grid [size, size] -> native [H, W], float32; 0 where the grid does not reach."""
        if self.identity:
            return np.asarray(grid, np.float32)
        step = np.array(self.step)
        return ndimage.affine_transform(
            np.asarray(grid, np.float32),
            1 / step,
            -np.array(self.start) / step,
            self.native,
            order=order,
            mode="constant",
        )


def to_grid(
    picture: np.ndarray, spacing: tuple[float, float] | None, size: int = 256, grid_mm: float = 0.98
) -> tuple[np.ndarray, GridTransform]:
    """Lays a grid of `size` pixels at `grid_mm` over the middle of a picture [H, W].

    Without a known spacing the longer side is taken to be the whole field of view.
    """
    shape = (int(picture.shape[0]), int(picture.shape[1]))
    if spacing is None:
        step = (max(shape) / size,) * 2
    else:
        step = (grid_mm / spacing[0], grid_mm / spacing[1])
        step = tuple(1.0 if abs(s - 1) < 0.01 else s for s in step)  # type: ignore[assignment]
    start = tuple((side - 1) / 2 - s * (size - 1) / 2 for side, s in zip(shape, step, strict=True))
    transform = GridTransform(shape, size, (start[0], start[1]), (step[0], step[1]))
    return transform.forward(picture), transform
