"""From native units to a picture in [0, 1], by modality; and back, wherever the way is a straight line."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meddiff.case import MedDiffError
from meddiff.imaging.read import Slice

CT_WINDOWS = {
    "brain": (40.0, 80.0),
    "lung": (-600.0, 1500.0),
    "soft tissue": (60.0, 300.0),
    "bone": (400.0, 1800.0),
}  # centre and width in HU
METHODS = ("percentile", "z-score", "suv", "equalise", *CT_WINDOWS)


@dataclass(frozen=True)
class Normalisation:
    """A straight line between native units and [0, 1], clipped at both ends.

    Attributes:
        low, high: native values that become 0 and 1. Equal ones make a threshold: 1 above, 0 elsewhere.
    """

    low: float
    high: float

    def forward(self, native: np.ndarray) -> np.ndarray:
        """Native [H, W] -> picture float32 [H, W] in [0, 1]."""
        if self.high <= self.low:
            return (np.asarray(native) > self.low).astype(np.float32)
        return np.clip((native - self.low) / (self.high - self.low), 0, 1).astype(np.float32)

    def backward(self, picture: np.ndarray) -> np.ndarray:
        """Picture [H, W] in [0, 1] -> native units, float32; what was clipped on the way there comes back as the end."""
        return (np.asarray(picture) * (self.high - self.low) + self.low).astype(np.float32)


SUV_WINDOW = Normalisation(0.0, 10.0)  # SUV above 10 is bright enough: brain and bladder would darken all the rest


def window(centre: float, width: float) -> Normalisation:
    """Linear window: DICOM PS3.3 C.11.2.1.2.1, (x - (c - 0.5)) / (w - 1) + 0.5.

    Raises:
        MedDiffError: for a width below 1, which the standard rules out.
    """
    if not width >= 1:
        raise MedDiffError(f"A window of width {width:g} shows nothing: give a width of at least 1.")
    low = centre - 0.5 - (width - 1) / 2
    return Normalisation(low, low + width - 1)


def percentile(pixels: np.ndarray, low: float = 0.5, high: float = 99.5) -> Normalisation:
    """Between two percentiles of pixels [H, W]: for MR, whose units mean nothing by themselves.

    Raises:
        MedDiffError: where the two are equal.
    """
    bottom, top = (float(value) for value in np.percentile(pixels, [low, high]))
    if top <= bottom:
        raise MedDiffError("The picture is nearly constant: choose a slice that shows something.")
    return Normalisation(bottom, top)


def z_score(pixels: np.ndarray, reach: float = 3.0) -> Normalisation:
    """Mean of what is not background becomes 0.5, and `reach` standard deviations below and above it 0 and 1.

    Background is what lies below a fifth of the mean: in MR, air.

    Raises:
        MedDiffError: where nothing varies.
    """
    shown = pixels[pixels > pixels.mean() * 0.2] if (pixels > 0).any() else pixels
    mean, deviation = float(shown.mean()), float(shown.std())
    if deviation == 0:
        raise MedDiffError("The picture is constant: choose a slice that shows something.")
    return Normalisation(mean - reach * deviation, mean + reach * deviation)


def equalise(pixels: np.ndarray) -> np.ndarray:
    """Histogram equalisation of a radiograph [H, W] -> picture float32 [H, W]; there is no way back."""
    from skimage.exposure import equalize_hist  # costs a third of a second, which only radiographs should pay

    return equalize_hist(percentile(pixels, 0, 100).forward(pixels)).astype(np.float32)


def fit(image: Slice, method: str | tuple[float, float] | None = None) -> Normalisation:
    """The straight line that a slice is normalised by. Arguments and errors as `normalise`, and no equalising."""
    method = method or _usual(image)
    if isinstance(method, tuple):
        return window(*method)
    if method in CT_WINDOWS:
        if image.modality not in ("CT", "unknown"):
            raise MedDiffError(f"The window {method!r} is in Hounsfield units, and this slice is {image.modality}.")
        return window(*CT_WINDOWS[method])
    if method == "percentile":
        return percentile(image.pixels)
    if method == "z-score":
        return z_score(image.pixels)
    if method == "suv":
        if image.unit != "SUV":
            raise MedDiffError(
                "This slice is not in SUV: that takes a PET slice whose header tells weight, dose and times. "
                "Use percentile instead."
            )
        return SUV_WINDOW
    if method == "equalise":
        raise MedDiffError("Histogram equalisation has no way back to native units: use percentile instead.")
    raise MedDiffError(f"There is no normalising {method!r}: use one of {', '.join(METHODS)}, or centre and width.")


def normalise(image: Slice, method: str | tuple[float, float] | None = None) -> np.ndarray:
    """A picture float32 [H, W] in [0, 1].

    Args:
        method: percentile, z-score, suv, equalise, a CT window's name, or any window's centre and width. By default what
            the modality asks for: CT the brain window, PET in SUV clipped at 10, radiographs equalised, percentiles else.

    Raises:
        MedDiffError: for a method that is not known, or does not fit the slice.
    """
    if (method or _usual(image)) == "equalise":
        return equalise(image.pixels)
    return fit(image, method).forward(image.pixels)


def _usual(image: Slice) -> str:
    if image.unit == "SUV":
        return "suv"
    return {"CT": "brain", "CR": "equalise"}.get(image.modality, "percentile")
