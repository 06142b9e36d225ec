"""A worse scan of the same patient: turned, blurred, coarser, ghosted, unevenly lit, too bright, noisy, compressed.

The parts are applied in the order in which a scanner and an archive would add them:

    geometry (turn) -> point spread (blur, pixels) -> k-space (ghosts) -> coil (bias, gain) -> receiver (noise) -> file (JPEG)

Noise is Rician, as a magnitude picture has it: |s + n1 + i n2| with n1, n2 normal (Gudbjartsson and Patz, *MRM* 34, 1995).
Ghosts are what a regular disturbance of every other line of k-space gives: the picture again, shifted by half the field of
view (Heiland, *Neuroradiology* 50, 2008). The field of a coil is a smooth surface of second order with the stated reach.

    severities("noise")                      # five strengths, mild to severe
    acquire(pixels, Acquisition(noise=0.05), (0.98, 0.98))
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from scipy import ndimage

from meddiff.case import Acquisition, MedDiffError

# Five strengths a part, from what a reader hardly notices to what would be scanned again. The author's choice, by looking.
SEVERITIES: dict[str, tuple[float, ...]] = {
    "noise": (0.02, 0.04, 0.07, 0.11, 0.16),
    "blur_mm": (0.6, 1.0, 1.6, 2.4, 3.5),
    "bias": (0.15, 0.3, 0.45, 0.6, 0.75),
    "gain": (1.15, 1.35, 1.6, 1.9, 2.3),
    "pixel_factor": (1.5, 2.0, 2.6, 3.3, 4.0),
    "degrees": (4.0, 8.0, 13.0, 19.0, 26.0),
    "ghosting": (0.06, 0.12, 0.2, 0.3, 0.42),
    "jpeg_quality": (60, 35, 20, 10, 5),
}

MIDDLE = 0.65  # of half the field of view


def severities(part: str) -> tuple[float, ...]:
    """The five strengths of a part of an `Acquisition`.

    Raises:
        MedDiffError: no such part.
    """
    if part not in SEVERITIES:
        raise MedDiffError(f"{part!r} is nothing that an acquisition has: choose among {', '.join(SEVERITIES)}.")
    return SEVERITIES[part]


def acquire(pixels: np.ndarray, change: Acquisition, spacing_mm: tuple[float, float]) -> np.ndarray:
    """Pixels uint8 [H, W] as this acquisition would have given them, uint8 [H, W].

    A case and its twin under the same `change` get the very same noise: nothing but the lesion differs between them.
    """
    picture = pixels / np.float64(255)
    if change.degrees:
        picture = _turn(picture, change.degrees)
    if change.blur_mm:
        picture = ndimage.gaussian_filter(picture, [change.blur_mm / spacing for spacing in spacing_mm])
    if change.pixel_factor > 1:
        picture = _coarser(picture, change.pixel_factor)
    if change.ghosting:
        picture = _ghosted(picture, change.ghosting)
    picture = picture * _coil(picture.shape, change.bias, change.seed) * change.gain
    if change.noise:
        real, imaginary = np.random.default_rng([change.seed, 1]).normal(0, change.noise, (2, *picture.shape))
        picture = np.hypot(picture + real, imaginary)
    out = np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    return out if change.jpeg_quality is None else _compressed(out, change.jpeg_quality)


def turned(mask: np.ndarray, change: Acquisition) -> np.ndarray:
    """An outline bool [H, W] as it lies in this acquisition."""
    return _turn(mask.astype(np.float64), change.degrees) > 0.5 if change.degrees else mask


def _turn(picture: np.ndarray, degrees: float) -> np.ndarray:
    # Bilinear: a lesion's edge shall not ring.
    return ndimage.rotate(picture, degrees, reshape=False, order=1, mode="constant")


def _coarser(picture: np.ndarray, factor: float) -> np.ndarray:
    """Fewer, larger pixels that average what they cover, then interpolated back as a viewer does."""
    small = tuple(max(8, round(side / factor)) for side in picture.shape)
    coarse = Image.fromarray(picture.astype(np.float32)).resize(small[::-1], Image.Resampling.BOX)
    return np.asarray(coarse.resize(picture.shape[::-1], Image.Resampling.BILINEAR), np.float64)


def _ghosted(picture: np.ndarray, strength: float) -> np.ndarray:
    """Every other line of k-space weaker: the picture, and itself half a field of view away."""
    ghost = np.roll(picture, picture.shape[0] // 2, axis=0)
    return np.abs(picture * (1 - strength / 2) + ghost * strength / 2)


def _coil(shape: tuple[int, ...], reach: float, seed: int) -> np.ndarray:
    """A smooth factor [H, W] whose largest departure from 1 in the middle, where the head lies, is `reach`."""
    if not reach:
        return np.ones(shape)
    rows, columns = (np.linspace(-1, 1, side) for side in shape)
    y, x = np.meshgrid(rows, columns, indexing="ij")
    terms = np.stack([y, x, y * x, y**2 - 1 / 3, x**2 - 1 / 3])
    field = np.tensordot(np.random.default_rng([seed, 2]).normal(size=5), terms, 1)
    middle = np.hypot(y, x) < MIDDLE
    return np.maximum(1 + reach * field / np.abs(field[middle]).max(), 0.05)


def _compressed(pixels: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="JPEG", quality=quality)
    with Image.open(buffer) as image:
        return np.asarray(image)
