"""Small pictures for lists, which say what they are as plainly as the large ones."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from meddiff.case import pixel_sha256
from meddiff.marking.provenance import png_text
from meddiff.marking.seal import SealedImage, require_sealed
from meddiff.marking.stamp import stamp


def thumbnail(sealed: SealedImage, width: int = 160) -> bytes:
    """A sealed image as a small 8-bit PNG with its provenance.

    Shrunk words could not be read, so they are written again at their own size, in rows below.

    Args:
        width: in pixels, at least 64.

    Raises:
        MedDiffError: not a sealed image, or a width with no room for the words.
    """
    sealed = require_sealed(sealed)
    low, high = np.percentile(sealed.pixels[sealed.outside_stamp], (0.5, 99.5))
    grey = np.clip((sealed.pixels[: sealed.height] - low) / max(high - low, 1e-6), 0, 1) * 255
    rows = max(round(sealed.height * width / grey.shape[1]), 1)
    small = np.asarray(Image.fromarray(np.rint(grey).astype(np.uint8)).resize((width, rows), Image.Resampling.LANCZOS))
    stamped, box = stamp(
        small, sealed.provenance.case_id, avoid=np.ones(small.shape, bool), language=sealed.box.language
    )
    spacing = (sealed.spacing_mm[0] * sealed.height / rows, sealed.spacing_mm[1] * grey.shape[1] / width)
    provenance = sealed.provenance.model_copy(update={"sealed_sha256": pixel_sha256(stamped)})
    buffer = io.BytesIO()
    Image.fromarray(stamped).save(buffer, format="PNG", pnginfo=png_text(provenance, spacing, box))
    return buffer.getvalue()
