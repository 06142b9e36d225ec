"""PNG out and in: lossless, 8 or 16 bit, with the provenance in text chunks."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from meddiff.case import SYNTHETIC_NOTICE, Provenance, pixel_sha256
from meddiff.exchange.atomic import write_atomic
from meddiff.marking.provenance import png_text, read_png
from meddiff.marking.seal import SealedImage, require_sealed
from meddiff.marking.stamp import StampBox


def png_info(sealed: SealedImage) -> PngInfo:
    """Text chunks of a sealed image."""
    sealed = require_sealed(sealed)
    return png_text(sealed.provenance, sealed.spacing_mm, sealed.box)


def png_bytes(sealed: SealedImage) -> bytes:
    """A sealed image as the bytes of a PNG."""
    sealed = require_sealed(sealed)
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(sealed.pixels)).save(buffer, format="PNG", pnginfo=png_info(sealed))
    return buffer.getvalue()


def eight_bits(sealed: SealedImage, like: SealedImage | None = None) -> np.ndarray:
    """A sealed image's pixels as uint8 [H, W] for a screen.

    Args:
        like: 16 bits are shown at the window of this picture, so that a case and its twin look alike; default its own.

    Raises:
        MedDiffError: not sealed.
    """
    sealed, window = require_sealed(sealed), require_sealed(sealed if like is None else like)
    if sealed.pixels.dtype == np.uint8:
        return np.asarray(sealed.pixels)
    low, high = np.percentile(window.pixels[window.outside_stamp], (0.5, 99.5))
    shown = (sealed.pixels.astype(np.float64) - low) / max(high - low, 1) * 255
    return np.clip(np.rint(shown), 0, 255).astype(np.uint8)


def screen_bytes(sealed: SealedImage, like: SealedImage | None = None, record: bool = True) -> bytes:
    """A sealed image as the bytes of an 8-bit PNG: what browsers, slides and paper show of 16 bits is the upper ones alone.

    Args:
        like: as in `eight_bits`.
        record: as in `provenance.png_text`.

    Raises:
        MedDiffError: not sealed.
    """
    sealed = require_sealed(sealed)
    shown = eight_bits(sealed, like)
    told = sealed.provenance.model_copy(update={"sealed_sha256": pixel_sha256(shown)})
    buffer = io.BytesIO()
    Image.fromarray(shown).save(buffer, format="PNG", pnginfo=png_text(told, sealed.spacing_mm, sealed.box, record))
    return buffer.getvalue()


def write_png(sealed: SealedImage, path: str | Path) -> Path:
    """Writes a sealed image as PNG.

    Raises:
        MedDiffError: not sealed, or the file cannot be written; nothing half-written remains.
    """
    data = png_bytes(sealed)
    return write_atomic(path, lambda temporary: temporary.write_bytes(data))


def write_png16(sealed: SealedImage, path: str | Path) -> Path:
    """Writes a sealed image as 16-bit PNG; 8 bits are widened to x 257, so that black and white stay black and white.

    Raises:
        MedDiffError: not sealed, or the file cannot be written; nothing half-written remains.
    """
    sealed = require_sealed(sealed)
    deep = sealed.pixels if sealed.pixels.dtype == np.uint16 else sealed.pixels.astype(np.uint16) * np.uint16(257)
    record = sealed.provenance.model_copy(update={"sealed_sha256": pixel_sha256(deep)})
    buffer = io.BytesIO()
    text = png_text(record, sealed.spacing_mm, sealed.box)
    Image.fromarray(np.asarray(deep)).save(buffer, format="PNG", pnginfo=text)
    return write_atomic(path, lambda temporary: temporary.write_bytes(buffer.getvalue()))


def mask_bytes(mask: np.ndarray) -> bytes:
    """An outline [H, W] as the bytes of a 1-bit PNG."""
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(mask) > 0).save(buffer, format="PNG")
    return buffer.getvalue()


def write_mask_png(mask: np.ndarray, path: str | Path, like: SealedImage | None = None) -> Path:
    """Writes an outline [H, W] as 1-bit PNG: an answer key, no picture, so it needs no seal.

    Args:
        like: the picture that it lies on: the file gets that picture's size, rows appended for the stamp included.
    """
    info = PngInfo()
    info.add_text("Comment", f"Outline of {like.provenance.case_id}. {SYNTHETIC_NOTICE}" if like else SYNTHETIC_NOTICE)
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(like.fit(mask) if like else mask) > 0).save(buffer, format="PNG", pnginfo=info)
    return write_atomic(path, lambda temporary: temporary.write_bytes(buffer.getvalue()))


def read_png_record(path: str | Path) -> tuple[Provenance, tuple[float, float], StampBox]:
    """Provenance, spacing and stamp of a PNG that MedDiff wrote.

    Raises:
        MedDiffError: not a PNG of ours, or its record is damaged.
    """
    _, provenance, spacing, box = read_png(Path(path), str(path))
    return provenance, spacing, box
