"""From native units to a picture in [0, 1], by modality."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from skimage.exposure import equalize_adapthist, equalize_hist

from meddiff.case import MedDiffError
from meddiff.imaging.read import Slice

CT_WINDOWS = {
    "brain": (40.0, 80.0),
    "lung": (-600.0, 1500.0),
    "soft tissue": (60.0, 300.0),
    "bone": (400.0, 1800.0),
}  # HU
SUV_CLIP = 10.0
F18_HALF_LIFE_S = 6586.2


def window(pixels: np.ndarray, centre: float, width: float) -> np.ndarray:
    """Linear window of pixels [H, W] to [0, 1]: DICOM PS3.3 C.11.2.1.2.1, (x - (c - 0.5)) / (w - 1) + 0.5.

    Raises:
        MedDiffError: for a width below 1.
    """
    if width < 1:
        raise MedDiffError(f"A window of width {width:g} shows nothing: give a width of at least 1.")
    if width == 1:
        return (pixels > centre - 0.5).astype(np.float32)
    return np.clip((pixels - (centre - 0.5)) / (width - 1) + 0.5, 0, 1).astype(np.float32)


def ct_window(pixels: np.ndarray, name: str) -> np.ndarray:
    """A named CT window of pixels in HU."""
    if name not in CT_WINDOWS:
        raise MedDiffError(f"There is no CT window {name!r}: use one of {', '.join(CT_WINDOWS)}, or centre and width.")
    return window(pixels, *CT_WINDOWS[name])


def percentile(pixels: np.ndarray, low: float = 0.5, high: float = 99.5) -> np.ndarray:
    """Linear between two percentiles, for MR, whose units mean nothing by themselves."""
    bottom, top = np.percentile(pixels, [low, high])
    if top <= bottom:
        raise MedDiffError("The picture is nearly constant: choose a slice that shows something.")
    return np.clip((pixels - bottom) / (top - bottom), 0, 1).astype(np.float32)


def z_score(pixels: np.ndarray, reach: float = 3.0) -> np.ndarray:
    """Mean 0 and deviation 1 over what is not background, +- `reach` deviations mapped to [0, 1]."""
    shown = pixels[pixels > pixels.mean() * 0.2] if (pixels > 0).any() else pixels
    deviation = float(shown.std())
    if deviation == 0:
        raise MedDiffError("The picture is constant: choose a slice that shows something.")
    return np.clip((pixels - shown.mean()) / deviation / (2 * reach) + 0.5, 0, 1).astype(np.float32)


def suv(
    activity: np.ndarray,
    weight_kg: float,
    dose_bq: float,
    seconds_since_injection: float,
    half_life_s: float = F18_HALF_LIFE_S,
) -> np.ndarray:
    """Standardised uptake value, body weight: activity in Bq/ml times weight in g over the dose decayed to the scan.

    Raises:
        MedDiffError: for weight or dose that are not positive.
    """
    if weight_kg <= 0 or dose_bq <= 0:
        raise MedDiffError("SUV needs the patient's weight and the injected dose, both above zero.")
    left = dose_bq * math.exp(-math.log(2) * seconds_since_injection / half_life_s)
    return (activity * weight_kg * 1000 / left).astype(np.float32)


def clip_suv(values: np.ndarray) -> np.ndarray:
    """SUV clipped at 10, to [0, 1]."""
    return np.clip(values / SUV_CLIP, 0, 1).astype(np.float32)


def equalise(pixels: np.ndarray, adaptive: bool = False) -> np.ndarray:
    """Histogram equalisation of a radiograph; adaptive (CLAHE, Zuiderveld 1994) on request."""
    scaled = percentile(pixels, 0, 100)
    return (equalize_adapthist(scaled) if adaptive else equalize_hist(scaled)).astype(np.float32)


def normalise(image: Slice, method: str | None = None) -> np.ndarray:
    """A picture float32 [H, W] in [0, 1].

    Args:
        method: percentile, z-score, equalise, suv, or a CT window's name; by default what the modality asks for.

    Raises:
        MedDiffError: for a method that is not known.
    """
    method = method or {"CT": "brain", "PT": "suv", "CR": "equalise"}.get(image.modality, "percentile")
    if method in CT_WINDOWS:
        return ct_window(image.pixels, method)
    methods: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "percentile": percentile,
        "z-score": z_score,
        "equalise": equalise,
        "suv": clip_suv,
    }
    if method not in methods:
        raise MedDiffError(f"There is no normalising {method!r}: use one of {', '.join([*methods, *CT_WINDOWS])}.")
    return methods[method](image.pixels)
