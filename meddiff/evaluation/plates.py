"""Pictures of an evaluation that leave it, each of them sealed; and how a map is laid over a picture."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from meddiff.case import SYNTHETIC_NOTICE, Provenance, Request, Status, pixel_sha256
from meddiff.exchange.atomic import write_atomic
from meddiff.marking.seal import SealedImage, require_sealed, seal
from meddiff.synthesis.studio import Studio

GAP = 4  # black pixels between two tiles
HOT = np.array([255.0, 120.0, 0.0])  # orange: told from grey in print and by the colour-blind


def sealed(studio: Studio, request: Request, pixels: np.ndarray, outline: np.ndarray | None = None) -> SealedImage:
    """A made picture, uint8 [256, 256], as one that may be shown; neither stamp nor mark lies on the outline, bool [256, 256]."""
    info = studio.load().info
    provenance = Provenance(
        case_id=request.case_id(),
        request=request,
        pack=info.name,
        pack_sha256=info.sha256,
        pixel_sha256=pixel_sha256(pixels),
        status=Status.REJECTED,
        reason="made for an evaluation and not checked: no case",
        licence=info.licence,
    )
    return seal(pixels, provenance, (info.spacing_mm, info.spacing_mm), outline)


def overlay(picture: np.ndarray, heat: np.ndarray, strength: float = 0.6) -> np.ndarray:
    """A map laid over a picture: the more of it, the more orange, as uint8 RGB [H, W, 3].

    Args:
        picture: uint8 [H, W], sealed before it leaves; rows appended for its stamp may lie below the map's.
        heat: float [h, W], h <= H, at least 0; its own largest value gets the full `strength`, a map of zeros nothing.
        strength: share of orange there, 0 to 1.

    Raises:
        ValueError: for a map of another size.
    """
    rows = len(picture) - len(heat)
    if rows < 0 or picture.shape[1:] != heat.shape[1:]:
        raise ValueError(f"a map of {heat.shape} does not fit a picture of {picture.shape}")
    top = float(heat.max())
    share = np.pad(heat / top if top > 0 else heat, ((0, rows), (0, 0)))[..., None] * strength
    return np.rint(picture[..., None] * (1 - share) + HOT * share).astype(np.uint8)


def plate_png(
    rows: Sequence[Sequence[SealedImage]],
    over: Sequence[Sequence[np.ndarray | None]] | None = None,
) -> bytes:
    """Rows of sealed pictures as one PNG.

    Args:
        over: maps [H, W] to lay over them, in the same rows; None: nothing.

    Raises:
        MedDiffError: a picture that is not sealed.
    """
    told = over or [[None] * len(row) for row in rows]
    tiles = [
        [_tile(require_sealed(image), heat) for image, heat in zip(row, heats, strict=True)]
        for row, heats in zip(rows, told, strict=True)
    ]
    held, text = io.BytesIO(), PngInfo()
    text.add_text("Comment", SYNTHETIC_NOTICE)
    Image.fromarray(_grid(tiles)).save(held, format="PNG", pnginfo=text, optimize=True)
    return held.getvalue()


def write_plate(
    path: Path,
    rows: Sequence[Sequence[SealedImage]],
    over: Sequence[Sequence[np.ndarray | None]] | None = None,
) -> Path:
    """Writes `plate_png` of the same arguments. Raises MedDiffError as it does."""
    data = plate_png(rows, over)
    return write_atomic(path, lambda temporary: temporary.write_bytes(data))


def _tile(image: SealedImage, heat: np.ndarray | None) -> np.ndarray:
    """uint8 [H, W, 3]."""
    return np.repeat(image.pixels[..., None], 3, 2) if heat is None else overlay(np.asarray(image.pixels), heat)


def _grid(rows: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """Tiles uint8 [H, W, 3], each row aligned at its top, as one picture."""
    high = [max(len(tile) for tile in row) for row in rows]
    wide = max(sum(tile.shape[1] + GAP for tile in row) for row in rows) - GAP
    page = np.zeros((sum(high) + GAP * (len(rows) - 1), wide, 3), np.uint8)
    top = 0
    for row, tall in zip(rows, high, strict=True):
        left = 0
        for tile in row:
            page[top : top + len(tile), left : left + tile.shape[1]] = tile
            left += tile.shape[1] + GAP
        top += tall + GAP
    return page
