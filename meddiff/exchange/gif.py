"""GIF out: sealed pictures one after the other. A case and its twin blink, and the eye finds what differs."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from meddiff.case import MedDiffError, Provenance, pixel_sha256
from meddiff.exchange.atomic import write_atomic
from meddiff.exchange.png import eight_bits
from meddiff.marking.seal import SealedCase, SealedImage, require_sealed


def write_gif(frames: Sequence[SealedImage], path: str | Path, seconds: float = 0.8) -> Path:
    """Writes sealed images as an animated GIF that runs for ever; the stamp is in every frame, every record in the comment.

    All frames are shown at one window, the first frame's: 16 bits become 8. Each record names the pixels that its frame shows.

    Args:
        seconds: each frame is shown, 0.02 at least.

    Raises:
        MedDiffError: no frame, one that is not sealed, frames of several sizes, or the file cannot be written.
    """
    shown = frames_of(frames)
    pictures = [Image.fromarray(grey) for grey in shown]
    comment = records_of(frames, shown)
    buffer = io.BytesIO()
    pictures[0].save(
        buffer, format="GIF", save_all=True, append_images=pictures[1:], loop=0, optimize=False,
        duration=max(round(seconds * 1000), 20), comment=comment.encode("ascii"),
    )  # fmt: skip
    return write_atomic(path, lambda temporary: temporary.write_bytes(buffer.getvalue()))


def write_blink(case: SealedCase, path: str | Path) -> Path:
    """Writes a case and its twin, blinking.

    Raises:
        MedDiffError: as `write_gif`.
    """
    return write_gif([case.image, case.twin], path)


def read_gif_records(path: str | Path) -> list[Provenance]:
    """The record of each frame of a GIF that MedDiff wrote.

    Raises:
        MedDiffError: not a GIF of ours, or damaged.
    """
    try:
        with Image.open(path, formats=["GIF"]) as image:
            return [Provenance.model_validate(record) for record in json.loads(image.info["comment"])]
    except (OSError, SyntaxError, KeyError, TypeError, ValueError, EOFError) as error:
        raise MedDiffError(
            f"{path} carries no MedDiff record that can be read: it is no GIF of MedDiff, or damaged."
        ) from error


def frames_of(pictures: Sequence[SealedImage]) -> list[np.ndarray]:
    """Sealed images as frames uint8 [H, W] of one size; rows appended for a stamp are black where a picture has none.

    Raises:
        MedDiffError: no frame, one that is not sealed, pictures of several sizes.
    """
    sealed = [require_sealed(picture) for picture in pictures]
    if not sealed:
        raise MedDiffError("There is no picture to put into the animation.")
    shapes = {(picture.height, picture.pixels.shape[1]) for picture in sealed}
    if len(shapes) > 1:
        raise MedDiffError(
            f"The frames of an animation have one size, these have {len(shapes)}: export them as PNG, or cut them to one size before they are made."
        )
    rows = max(picture.pixels.shape[0] for picture in sealed)
    return [
        np.pad(grey, ((0, rows - grey.shape[0]), (0, 0)))
        for grey in (eight_bits(picture, sealed[0]) for picture in sealed)
    ]


def records_of(pictures: Sequence[SealedImage], shown: Sequence[np.ndarray] = ()) -> str:
    """The record of each picture, as one JSON text; each names the pixels that are `shown`, where they are kept without loss."""
    records = [picture.provenance for picture in pictures]
    if shown:
        records = [
            record.model_copy(update={"sealed_sha256": pixel_sha256(grey)})
            for record, grey in zip(records, shown, strict=True)
        ]
    return json.dumps([record.model_dump(mode="json") for record in records], sort_keys=True)
