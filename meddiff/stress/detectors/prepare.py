"""From a case's pixels to the array that a detector takes, and the way back for what it points at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meddiff.stress.records import Contract


@dataclass(frozen=True)
class View:
    """A sealed picture as a detector's process gets it.

    Attributes:
        pixels: uint8 or uint16 [H, W], without rows appended for the stamp.
        spacing_mm: of rows and columns.
        stamp: first row, first column, height and width of the visible stamp.
        png: the whole sealed picture as an 8-bit PNG without its record, for detectors that want files; else empty.
    """

    pixels: np.ndarray
    spacing_mm: tuple[float, float]
    stamp: tuple[int, int, int, int] = (0, 0, 0, 0)
    png: bytes = b""


@dataclass(frozen=True)
class Placement:
    """How a detector's picture lies over a case: case = start + step * picture, for rows and columns of pixel centres.

    Attributes:
        case, picture: shapes.
        start, step: in pixels of the case.
        spacing_mm: of the case.
    """

    case: tuple[int, int]
    picture: tuple[int, int]
    start: tuple[float, float]
    step: tuple[float, float]
    spacing_mm: tuple[float, float]

    @staticmethod
    def of(case: tuple[int, int], spacing_mm: tuple[float, float], contract: Contract) -> Placement:
        """The contract's picture laid on the middle of a case [H, W] of that spacing."""
        asked = contract.spacing_mm
        step = [1.0, 1.0] if asked is None else [asked / own for own in spacing_mm]
        step = [1.0 if abs(s - 1) < 0.01 else s for s in step]  # nobody sees a hundredth, everybody an interpolation
        start = [(have - 1) / 2 - s * (want - 1) / 2 for have, want, s in zip(case, contract.size, step, strict=True)]
        # Whole pixels where nothing is resampled: cutting or padding by an odd number goes to the end.
        start = [float(np.floor(at)) if s == 1 else at for at, s in zip(start, step, strict=True)]
        return Placement(case, contract.size, (start[0], start[1]), (step[0], step[1]), spacing_mm)

    @property
    def identity(self) -> bool:
        """Whether both have the same pixels."""
        return self.case == self.picture and self.step == (1.0, 1.0)

    def forward(self, case: np.ndarray) -> np.ndarray:
        """[H, W] of the case -> float32 [rows, columns] of the picture; 0 outside the case."""
        values = np.asarray(case, np.float32)
        if self.identity:
            return values
        if max(self.step) > 1.2:  # average over what falls into a pixel
            from scipy import ndimage

            values = ndimage.gaussian_filter(values, [max(s - 1, 0) * 0.42 for s in self.step])
        return _laid(values, self.start, self.step, self.picture)

    def back(self, picture: np.ndarray) -> np.ndarray:
        """[rows, columns] of the picture -> float32 [H, W] of the case; 0 where the picture does not reach."""
        values = np.asarray(picture, np.float32)
        if self.identity:
            return values
        start = tuple(-at / s for at, s in zip(self.start, self.step, strict=True))
        return _laid(values, start, tuple(1 / s for s in self.step), self.case)

    def edges(self, rows_and_columns: np.ndarray) -> np.ndarray:
        """Edges [N, 2] in the picture -> in the case; the first pixel goes from 0 to 1 in both."""
        return np.array(self.start) + np.array(self.step) * (rows_and_columns - 0.5) + 0.5


def _laid(values: np.ndarray, start: tuple[float, ...], step: tuple[float, ...], shape: tuple[int, int]) -> np.ndarray:
    from scipy import ndimage  # half of a detector's start, which many never need

    return ndimage.affine_transform(values, np.array(step), start, shape, order=1, mode="grid-constant")


def prepare(view: View, contract: Contract) -> tuple[np.ndarray, Placement]:
    """The array that a detector takes, float32 [1, C, H, W] or [1, H, W, C] by the contract's layout, and where it lies."""
    placement = Placement.of((view.pixels.shape[0], view.pixels.shape[1]), view.spacing_mm, contract)
    bright = placement.forward(view.pixels) / np.iinfo(view.pixels.dtype).max
    x = contract.low + bright * (contract.high - contract.low)
    if contract.standardised:
        x = (x - x.mean()) / max(float(x.std()), 1e-8)
    planes = np.repeat(x[None].astype(np.float32), contract.channels, axis=0)
    return np.ascontiguousarray(planes if contract.layout == "NCHW" else planes.transpose(1, 2, 0))[None], placement
