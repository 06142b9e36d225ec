"""PNG out and in: lossless, 8 or 16 bit, with the provenance in text chunks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydantic import ValidationError

from meddiff.case import MedDiffError, Provenance
from meddiff.exchange.atomic import write_atomic
from meddiff.marking.seal import SealedImage, require_sealed
from meddiff.marking.stamp import StampBox

RECORD = "MedDiff"  # keyword of the chunk that holds the whole provenance as JSON


def png_info(sealed: SealedImage) -> PngInfo:
    """Text chunks of a sealed image: the notice under standard keywords, the whole record under ours."""
    info = PngInfo()
    info.add_text("Comment", sealed.provenance.notice)
    info.add_text("Software", sealed.provenance.software)
    info.add_text("Source", f"synthetic, {sealed.provenance.pack} {sealed.provenance.pack_sha256[:12]}")
    record = {
        "provenance": sealed.provenance.model_dump(mode="json"),
        "spacing_mm": sealed.spacing_mm,
        "stamp": vars(sealed.box),
    }
    info.add_itxt(RECORD, json.dumps(record, sort_keys=True, ensure_ascii=False))
    return info


def write_png(sealed: SealedImage, path: str | Path) -> Path:
    """Writes a sealed image as PNG."""
    sealed = require_sealed(sealed)
    image = Image.fromarray(np.asarray(sealed.pixels))
    return write_atomic(path, lambda temporary: image.save(temporary, format="PNG", pnginfo=png_info(sealed)))


def write_mask_png(mask: np.ndarray, path: str | Path) -> Path:
    """Writes an outline [H, W] as 1-bit PNG: an answer key, no picture, so it needs no seal."""
    return write_atomic(path, lambda temporary: Image.fromarray(np.asarray(mask) > 0).save(temporary, format="PNG"))


def read_png_record(path: str | Path) -> tuple[Provenance, tuple[float, float], StampBox]:
    """Provenance, spacing and stamp of a PNG that MedDiff wrote.

    Raises:
        MedDiffError: not a PNG of ours, or its record is damaged.
    """
    try:
        with Image.open(path) as image:
            image.load()
            text = image.text.get(RECORD)  # type: ignore[attr-defined]
        if text is None:
            raise MedDiffError(f"{path} carries no MedDiff record: it was not made by MedDiff, or its text was stripped.")
        record = json.loads(text)
        spacing = record["spacing_mm"]
        return Provenance.model_validate(record["provenance"]), (spacing[0], spacing[1]), StampBox(**record["stamp"])
    except (OSError, AttributeError, KeyError, TypeError, ValueError, ValidationError) as error:
        raise MedDiffError(f"The MedDiff record in {path} cannot be read: the file is damaged or no PNG.") from error
