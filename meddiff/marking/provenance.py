"""The provenance of a picture, in the text of a PNG and in a private block of a DICOM data set, and back.

Both carry the whole record as JSON; a PNG carries the spacing and the place of the stamp too, which a DICOM file has
attributes for.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from meddiff.case import MedDiffError, Provenance, pixel_sha256
from meddiff.marking.stamp import StampBox

if TYPE_CHECKING:  # pydicom takes long to load, and a PNG does not need it
    from pydicom import Dataset

RECORD = "MedDiff"  # keyword of the chunk that holds the whole provenance as JSON
PRIVATE_CREATOR = "MEDDIFF PROVENANCE"
PRIVATE_GROUP = 0x0099
PRIVATE_ELEMENT = 0x01
CONTENT_ELEMENT = 0x02  # SHA-256 of what the data set shows, as it left


def png_text(provenance: Provenance, spacing_mm: tuple[float, float], box: StampBox, record: bool = True) -> PngInfo:
    """Text chunks of a picture: the notice under standard keywords, the whole record under ours (iTXt, UTF-8).

    Args:
        record: False for a picture that asks a question: its record holds the answer. The notice, the stamp and the invisible mark
            stay, and the mark leads to the case.
    """
    info = PngInfo()
    info.add_text("Comment", provenance.notice)
    info.add_text("Software", provenance.software)
    info.add_text("Source", f"synthetic, {provenance.pack} {provenance.pack_sha256[:12]}")
    if record:
        told = {"provenance": provenance.model_dump(mode="json"), "spacing_mm": spacing_mm, "stamp": vars(box)}
        info.add_itxt(RECORD, json.dumps(told, sort_keys=True, ensure_ascii=False))
    return info


def read_png(source: bytes | Path, name: str) -> tuple[np.ndarray, Provenance, tuple[float, float], StampBox]:
    """Pixels [H, W] uint8 or uint16, provenance, spacing and stamp of a PNG that MedDiff wrote.

    Args:
        name: what a message shall call the file.

    Raises:
        MedDiffError: not a PNG of ours, or it is damaged.
    """
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=["PNG"]) as image:
            pixels = np.asarray(image)
            text = image.text.get(RECORD)  # type: ignore[attr-defined]
        if text is None:
            raise MedDiffError(
                f"{name} carries no MedDiff record: it was not made by MedDiff, or its text was stripped."
            )
        record = json.loads(text)
        row, column = (float(value) for value in record["spacing_mm"])
        provenance, box = Provenance.model_validate(record["provenance"]), StampBox(**record["stamp"])
    except (OSError, SyntaxError, KeyError, TypeError, ValueError, struct.error, Image.DecompressionBombError) as error:
        raise MedDiffError(f"The MedDiff record in {name} cannot be read: the file is damaged or no PNG.") from error
    # Pillow before 11.3 opens 16-bit grey as int32.
    return (pixels.astype(np.uint16) if pixels.dtype == np.int32 else pixels), provenance, (row, column), box


def add_private_block(dataset: Dataset, provenance: Provenance) -> None:
    """Puts the record, and a hash of what the data set shows, into a private block of it: PS3.5 section 7.8.1.

    Call it when pixels (or the content of a report) stand in the data set; a lossless compression may follow.
    """
    block = dataset.private_block(PRIVATE_GROUP, PRIVATE_CREATOR, create=True)
    block.add_new(PRIVATE_ELEMENT, "UT", provenance.canonical_json())
    block.add_new(CONTENT_ELEMENT, "LO", content_sha256(dataset))


def content_sha256(dataset: Dataset) -> str:
    """SHA-256 of a data set's decoded pixels, or of the content tree of a report; 64 hex digits.

    It does not depend on transfer syntax or on attributes that a server may add.
    """
    if "PixelData" in dataset:
        return pixel_sha256(dataset.pixel_array)
    from pydicom import Dataset
    from pydicom.filereader import read_dataset

    content = Dataset()
    content.SpecificCharacterSet = "ISO_IR 192"
    content.ContentSequence = dataset.get("ContentSequence")
    encoded = io.BytesIO()  # there and back, because writing shortens numbers (DS: PS3.5 section 6.2)
    content.save_as(encoded, implicit_vr=False, little_endian=True)
    encoded.seek(0)
    written = read_dataset(encoded, is_implicit_VR=False, is_little_endian=True)
    return hashlib.sha256(json.dumps(written.to_json_dict(), sort_keys=True).encode()).hexdigest()


def require_unchanged(dataset: Dataset, name: str) -> Provenance:
    """The record of a DICOM data set that MedDiff made and nobody changed since.

    Raises:
        MedDiffError: no record of ours, another content than it left with, or no longer marked as synthetic:
            (0008,001C) *Synthetic Data* and (0010,0010) *Patient's Name*.
    """
    provenance = read_private_block(dataset, name)
    if dataset.get("SyntheticData") != "YES" or "SYNTHETIC" not in str(dataset.get("PatientName", "")).upper():
        raise MedDiffError(
            f"{name} no longer says that it is synthetic, in Synthetic Data (0008,001C) or in the patient's name: "
            "it was changed since MedDiff wrote it. Export the case again."
        )
    kept = dataset.get(dataset.private_block(PRIVATE_GROUP, PRIVATE_CREATOR).get_tag(CONTENT_ELEMENT))
    try:
        same = kept is not None and _text(kept.value) == content_sha256(dataset)
    except (AttributeError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        raise MedDiffError(f"What {name} shows cannot be read: the file is damaged. Export the case again.") from error
    if not same:
        raise MedDiffError(
            f"{name} does not show what MedDiff wrote: it was changed since, or an older MedDiff wrote it, which kept no "
            "hash of it. Export the case again."
        )
    return provenance


def _text(value: str | bytes) -> str:
    """A private value; a system that does not know the block may have written it as UN: bytes."""
    return value.rstrip(b"\0 ").decode("utf-8") if isinstance(value, bytes) else value


def read_private_block(dataset: Dataset, name: str) -> Provenance:
    """The record of a DICOM data set that MedDiff made.

    Raises:
        MedDiffError: there is none, or it is damaged.
    """
    try:
        value = dataset.private_block(PRIVATE_GROUP, PRIVATE_CREATOR)[PRIVATE_ELEMENT].value
    except KeyError as error:
        raise MedDiffError(
            f"{name} carries no MedDiff record: it was not made by MedDiff, or its private attributes were removed."
        ) from error
    try:
        return Provenance.model_validate_json(_text(value))
    except ValueError as error:
        raise MedDiffError(f"The MedDiff record in {name} cannot be read: the file is damaged.") from error
