"""The only door out: `seal()` turns pixels into a `SealedImage`, and everything that leaves takes nothing else."""

from __future__ import annotations

import hashlib
from dataclasses import InitVar, dataclass, field
from datetime import UTC, datetime

import numpy as np

from meddiff.case import Case, MedDiffError, Provenance, pixel_sha256
from meddiff.marking.code import VERSION, number_of
from meddiff.marking.provenance import read_png
from meddiff.marking.stamp import Language, StampBox, copy_stamp, stamp
from meddiff.marking.watermark import can_be_read, can_carry, embed

_KEY = object()  # only this module makes sealed images


@dataclass(frozen=True, eq=False)
class SealedImage:
    """Pixels that carry their mark, with where they come from. Made by `seal()`, and by `reopen()` of what was sealed.

    Attributes:
        pixels: uint8 or uint16 [H + appended rows, W], stamped; cannot be written to.
        provenance: stands in every file made of it.
        spacing_mm: row and column spacing.
        box: where the stamp lies.
        change: int32 [H, W], what the invisible mark added to the pixels; known to `seal()` alone, not after reopening.
    """

    pixels: np.ndarray
    provenance: Provenance
    spacing_mm: tuple[float, float]
    box: StampBox
    key: InitVar[object]  # no field: `dataclasses.replace` cannot carry it to other pixels
    change: np.ndarray | None = field(
        default=None, repr=False
    )  # int32 [H, W], what the invisible mark added; only from `seal()`

    def __post_init__(self, key: object) -> None:
        if key is not _KEY:
            raise MedDiffError("A sealed image cannot be made by hand: give the pixels to meddiff.marking.seal().")
        # Over immutable bytes, so that not even setflags(write=True) opens them again.
        frozen = np.frombuffer(self.pixels.tobytes(), self.pixels.dtype).reshape(self.pixels.shape)
        object.__setattr__(self, "pixels", frozen)

    @property
    def height(self) -> int:
        """Rows of the picture itself, without those appended for the stamp."""
        return self.pixels.shape[0] - self.box.appended_rows

    @property
    def outside_stamp(self) -> np.ndarray:
        """bool, shape of `pixels`: where the picture is, and not the stamp or its rows."""
        outside = np.ones(self.pixels.shape, bool)
        outside[self.box.area] = False
        outside[self.height :] = False
        return outside

    def fit(self, mask: np.ndarray) -> np.ndarray:
        """An outline [H, W] of the picture as bool of the shape of `pixels`: the appended rows are empty.

        Raises:
            MedDiffError: an outline of another size.
        """
        if mask.shape != (self.height, self.pixels.shape[1]):
            raise MedDiffError(
                f"The outline has {mask.shape[0]} x {mask.shape[1]} pixels and its picture {self.height} x "
                f"{self.pixels.shape[1]}: give the outline that was made with the picture."
            )
        return np.pad(np.asarray(mask) > 0, ((0, self.box.appended_rows), (0, 0)))


def seal(
    pixels: np.ndarray,
    provenance: Provenance,
    spacing_mm: tuple[float, float] = (0.98, 0.98),
    avoid: np.ndarray | None = None,
    language: Language = "en",
    beside: SealedImage | None = None,
) -> SealedImage:
    """Marks pixels [H, W] uint8 or uint16 as synthetic, once and for ever.

    The invisible mark (`watermark`) changes a pixel by two grey levels of 255 at most. A picture that is too small, too empty or too noisy for it
    is sealed without, and its provenance says so (`mark_version` None).

    Args:
        avoid: bool [H, W], where neither stamp nor invisible mark may lie: the lesion.
        language: of the stamp.
        beside: the sealed case whose twin this is: its stamp's place and its invisible mark are taken, so that nothing but the lesion differs.

    Raises:
        MedDiffError: for other shapes or types, pixels that are not those the provenance names, or a twin that does
            not fit its case.
    """
    if pixels.ndim != 2 or pixels.dtype not in (np.uint8, np.uint16) or not pixels.size:
        raise MedDiffError(f"Only grey pixels of 8 or 16 bit can be sealed, not {pixels.dtype} {pixels.shape}.")
    if avoid is not None and np.shape(avoid) != pixels.shape:
        raise MedDiffError(
            f"The region to keep free is {np.shape(avoid)} and the picture {pixels.shape}: they must agree."
        )
    if pixel_sha256(pixels) != provenance.pixel_sha256:
        raise MedDiffError("These pixels are not those that the provenance names: seal what was made, unchanged.")
    if not provenance.created:
        provenance = provenance.model_copy(update={"created": datetime.now(UTC).isoformat(timespec="seconds")})
    if beside is not None and (
        (beside.height, beside.pixels.shape[1]) != pixels.shape or beside.provenance.case_id != provenance.case_id
    ):
        raise MedDiffError("A case and its twin are sealed together: they must have one id and one size.")
    # Before the stamp: the mark lies in the whole picture.
    number = number_of(provenance.case_id)
    fresh = beside is None and can_carry(pixels)
    change = embed(pixels, number, avoid) if fresh else beside.change if beside is not None else None
    marked = pixels if change is None else _added(pixels, change)
    version = VERSION if change is not None and can_be_read(marked, number) else None
    if beside is None:
        stamped, box = stamp(marked, provenance.case_id, avoid, language)
    else:
        box = beside.box
        stamped = copy_stamp(marked, beside.pixels.astype(pixels.dtype), box)
    told = {"mark_version": version, "sealed_sha256": pixel_sha256(stamped)}
    return SealedImage(stamped, provenance.model_copy(update=told), spacing_mm, box, _KEY, change)


def _added(pixels: np.ndarray, change: np.ndarray) -> np.ndarray:
    """Pixels [H, W] and a change of them, within their type."""
    return np.clip(pixels.astype(np.int64) + change, 0, np.iinfo(pixels.dtype).max).astype(pixels.dtype)


def reopen(data: bytes, sha256: str, name: str) -> SealedImage:
    """The sealed image in a PNG that the bank wrote, mark and stamp as they were.

    This is the same door, not a second one: `sha256` was taken when the sealed image was kept, so bytes that agree are
    that image with that provenance, and any others are refused. Only the bank and stress packs call it (a test says so).

    Args:
        name: what a message shall call the file.

    Raises:
        MedDiffError: bytes that are not those that were kept.
    """
    if hashlib.sha256(data).hexdigest() != sha256:
        raise MedDiffError(f"{name} is not what was kept.")
    return SealedImage(*read_png(data, name), _KEY)


@dataclass(frozen=True, eq=False)
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
