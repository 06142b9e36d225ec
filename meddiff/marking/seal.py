"""The only door out: `seal()` turns pixels into a `SealedImage`, and everything that leaves takes nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np

from meddiff.case import Case, MedDiffError, Provenance, pixel_sha256
from meddiff.marking.stamp import StampBox, stamp

_KEY = object()  # only this module makes sealed images


@dataclass(frozen=True)
class SealedImage:
    """Pixels that carry their mark, with where they come from. Made by `seal()` and by the bank, which reopens what was sealed.

    Attributes:
        pixels: uint8 or uint16 [H, W], stamped, read-only.
        provenance: stands in every file made of it.
        spacing_mm: row and column spacing.
        box: where the stamp lies.
    """

    pixels: np.ndarray
    provenance: Provenance
    spacing_mm: tuple[float, float]
    box: StampBox
    key: object = field(repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.key is not _KEY:
            raise MedDiffError("A sealed image cannot be made by hand: give the pixels to meddiff.marking.seal().")
        self.pixels.setflags(write=False)


def seal(
    pixels: np.ndarray,
    provenance: Provenance,
    spacing_mm: tuple[float, float] = (0.98, 0.98),
    avoid: np.ndarray | None = None,
) -> SealedImage:
    """Marks pixels [H, W] uint8 or uint16 as synthetic, once and for ever.

    Args:
        avoid: bool [H, W], where the stamp must not lie (lesion, edit region).

    Raises:
        MedDiffError: for other shapes or types, or pixels that are not those the provenance names.
    """
    if pixels.ndim != 2 or pixels.dtype not in (np.uint8, np.uint16):
        raise MedDiffError(f"Only grey pixels of 8 or 16 bit can be sealed, not {pixels.dtype} {pixels.shape}.")
    if pixel_sha256(pixels) != provenance.pixel_sha256:
        raise MedDiffError("These pixels are not those that the provenance names: seal what was made, unchanged.")
    if not provenance.created:
        provenance = provenance.model_copy(update={"created": datetime.now(UTC).isoformat(timespec="seconds")})
    # The invisible mark goes here, before the stamp: it must lie in the whole picture.
    stamped, box = stamp(pixels, provenance.case_id, avoid)
    return SealedImage(stamped, provenance, spacing_mm, box, _KEY)


def reopen(pixels: np.ndarray, provenance: Provenance, spacing_mm: tuple[float, float], box: StampBox) -> SealedImage:
    """A sealed image read back by the bank, whose file's hash it has just checked; the stamp is already in the pixels."""
    return SealedImage(np.array(pixels), provenance, spacing_mm, box, _KEY)


@dataclass(frozen=True)
class SealedCase:
    """A finished case: its record, its picture, its twin (same anatomy, no lesion) and the outline, bool [H, W]."""

    case: Case
    image: SealedImage
    twin: SealedImage
    mask: np.ndarray


def require_sealed(image: object) -> SealedImage:
    """The sealed image itself.

    Raises:
        MedDiffError: for anything else; every exporter calls this first.
    """
    if not isinstance(image, SealedImage):
        raise MedDiffError("Only sealed images leave MedDiff: pass the picture through meddiff.marking.seal() first.")
    return image
