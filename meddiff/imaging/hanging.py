"""How a stored slice is turned so that it hangs as radiologists expect, and how content is turned back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from meddiff.case import Plane

# Screen directions (right, down) in the patient's coordinates LPS, x to the left, y to the back, z to the head.
SCREEN = {
    Plane.AXIAL: ((1, 0, 0), (0, 1, 0)),
    Plane.CORONAL: ((1, 0, 0), (0, 0, -1)),
    Plane.SAGITTAL: ((0, 1, 0), (0, 0, -1)),
}
NORMAL = (Plane.SAGITTAL, Plane.CORONAL, Plane.AXIAL)  # plane whose normal lies along x, y, z


@dataclass(frozen=True)
class Hanging:
    """Turns of a slice [H, W], done in this order: rows and columns exchanged, then mirrored.

    Attributes:
        transpose: rows become columns.
        flip_rows: top and bottom exchanged.
        flip_columns: left and right exchanged.
    """

    transpose: bool = False
    flip_rows: bool = False
    flip_columns: bool = False

    def hang(self, stored: np.ndarray) -> np.ndarray:
        """As the file has it -> as it is shown."""
        turned = self._mirror(stored.T if self.transpose else stored)
        return np.ascontiguousarray(turned)

    def take_down(self, shown: np.ndarray) -> np.ndarray:
        """As it is shown -> as the file has it: undoes `hang` exactly."""
        turned = self._mirror(shown)
        return np.ascontiguousarray(turned.T if self.transpose else turned)

    def spacing(self, spacing_mm: tuple[float, float]) -> tuple[float, float]:
        """Row and column spacing of the slice as it is shown."""
        return (spacing_mm[1], spacing_mm[0]) if self.transpose else spacing_mm

    def _mirror(self, pixels: np.ndarray) -> np.ndarray:
        return pixels[:: -1 if self.flip_rows else 1, :: -1 if self.flip_columns else 1]


def hanging_of(orientation: Sequence[float] | None) -> tuple[Plane | None, Hanging]:
    """Plane and turns of a slice with *Image Orientation (Patient)* (0020,0037), PS3.3 C.7.6.2.1.1.

    Axial and coronal slices hang with the patient's right on the left of the screen, sagittal ones face left. An oblique
    slice counts as the plane that it is nearest to. Without a usable orientation: no plane, and no turn.
    """
    if orientation is None or len(orientation) != 6:
        return None, Hanging()
    across, down = np.array(orientation[:3], float), np.array(orientation[3:], float)
    normal = np.abs(np.cross(across, down))
    if not normal.max() > 0.1:  # zeros, NaN, or two parallel directions: the header says nothing
        return None, Hanging()
    plane = NORMAL[int(normal.argmax())]
    right, below = (np.array(direction) for direction in SCREEN[plane])
    transpose = bool(abs(across @ right) < abs(down @ right))
    if transpose:
        across, down = down, across
    return plane, Hanging(transpose, bool(down @ below < 0), bool(across @ right < 0))
