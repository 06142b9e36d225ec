"""Is this picture from MedDiff, which case is it, how sure is that, and what was done to it since?

Four witnesses are heard, and each is named in the answer: the record in the file (words, which anybody can copy: so the pixels are held against it),
the invisible mark in the pixels, the fingerprint of the kept cases, and the attributes that a DICOM file has for synthetic data. Where the bank keeps
the case, the picture is laid on the kept one and what differs is told. Never is a picture called real: what nobody speaks for is *not known*.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from meddiff.case import MedDiffError, Provenance, pixel_sha256
from meddiff.marking.provenance import RECORD, read_private_block
from meddiff.marking.stamp import StampBox
from meddiff.marking.watermark import can_carry
from meddiff.settings import settings
from meddiff.verify.compare import Change, compare

if TYPE_CHECKING:
    from meddiff.bank import Bank
    from meddiff.marking.detect import Reading
    from meddiff.marking.seal import SealedImage

LARGEST_PIXELS = 64_000_000  # of one frame: more is no picture but an attack on the memory
MOST_FRAMES = 32  # of one file that are looked at, evenly spread
SMALLEST = 48  # pixels along a side: below, nothing can be read
ENDINGS = [
    ".png",
    ".jpg",
    ".jpeg",
    ".webp",
    ".bmp",
    ".gif",
    ".tif",
    ".tiff",
    ".dcm",
    ".dicom",
    ".ima",
    ".nii",
    ".gz",
]  # looked at in a folder, and files that begin as DICOM does


class Answer(StrEnum):
    """What is known of a picture."""

    OURS = "made by MedDiff"
    ALTERED = "made by MedDiff, but altered or contradictory"
    UNKNOWN = "not known to MedDiff"
    UNREADABLE = "cannot be read"


EXIT_CODES = {Answer.OURS: 0, Answer.UNKNOWN: 1, Answer.UNREADABLE: 2, Answer.ALTERED: 3}


@dataclass(frozen=True)
class Evidence:
    """What one witness says.

    Attributes:
        witness: "record", "mark", "fingerprint" or "attributes".
        said: in a sentence.
        case_id: which case it names, or "".
        chance: how likely it would say so of a picture that MedDiff never made; None where that cannot be given as a number.
    """

    witness: str
    said: str
    case_id: str = ""
    chance: float | None = None


@dataclass(frozen=True)
class Verdict:
    """What is known of one picture (one frame of a file)."""

    file: str
    answer: Answer
    said: str
    case_id: str = ""
    role: str = ""  # "case" or "twin", where that is known
    sure: str = ""
    evidence: tuple[Evidence, ...] = ()
    changes: tuple[Change, ...] = ()
    frame: int = 0
    frames: int = 1
    kept: bool = False  # whether the bank has the case

    @property
    def exit_code(self) -> int:
        """0 made by MedDiff, 1 not known, 2 cannot be read, 3 altered or contradictory."""
        return EXIT_CODES[self.answer]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "answer": self.answer.value, "exit_code": self.exit_code}


@dataclass
class Opened:
    """A file's frames [H, W] as they are stored, and what the file itself says."""

    name: str
    frames: list[np.ndarray] = field(default_factory=list)
    count: int = 1
    numbers: list[int] = field(default_factory=list)  # which frames these are
    record: Provenance | None = None
    box: StampBox | None = None
    complaint: str = ""  # of a record that is there and cannot be read
    attributes: list[str] = field(default_factory=list)
    coloured: bool = False


# ---------------------------------------------------------------- from a file to verdicts


def kept_bank() -> Bank | None:
    """The bank of the settings, if there is one: looking at a picture makes none."""
    from meddiff.bank import Bank

    there = settings().database_url or (settings().casebank / "bank.sqlite").exists()
    return Bank() if there else None


def verify_file(path: str | Path, bank: Bank | None = None) -> list[Verdict]:
    """Verdicts on a file, one a frame; a file that cannot be read gets one that says why. The file is only read.

    Args:
        path: PNG, JPEG, WebP, BMP, TIFF, GIF, DICOM or NIfTI (with the JSON beside it, if it is there).
        bank: kept cases to look for; without it only the file speaks.
    """
    path = Path(path)
    try:
        opened = open_file(path)
        return [
            _judge(opened, pixels, number, bank) for number, pixels in zip(opened.numbers, opened.frames, strict=True)
        ]
    except MedDiffError as error:
        return [Verdict(str(path), Answer.UNREADABLE, str(error))]


def verify_folder(folder: str | Path, bank: Bank | None = None) -> Iterator[Verdict]:
    """Verdicts on all pictures in a folder and the folders in it, in order of their names.

    Raises:
        MedDiffError: no such folder, or no picture in it.
    """
    folder = Path(folder)
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and _looks_like_a_picture(path)]
    if not files:
        raise MedDiffError(f"There is no picture in {folder}: give a folder of PNG, JPEG, DICOM or NIfTI files.")
    for path in files:
        yield from verify_file(path, bank)


def _looks_like_a_picture(path: Path) -> bool:
    if path.name.lower().endswith(tuple(ENDINGS)):
        return True
    try:
        with open(path, "rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def open_file(path: Path) -> Opened:
    """The frames of a file and what it says of itself.

    Raises:
        MedDiffError: not there, too large, damaged, or no picture.
    """
    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            head = file.read(132)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise MedDiffError(f"{str(path)[:200]} cannot be opened: {reason}.") from error
    if not size:
        raise MedDiffError(f"{path.name} is empty (0 bytes): choose another file.")
    if size > settings().max_upload_mb * 2**20:
        raise MedDiffError(
            f"{path.name} has {size / 2**20:.0f} MB, more than the {settings().max_upload_mb} that are read: raise "
            "MEDDIFF_MAX_UPLOAD_MB, or give one picture of it."
        )
    name = path.name.lower()
    if head[128:132] == b"DICM" or name.endswith((".dcm", ".dicom", ".ima")):
        opened = _dicom(path)
    elif name.endswith((".nii", ".nii.gz")):
        opened = _nifti(path)
    else:
        opened = _picture(path)
    for pixels in opened.frames:
        if min(pixels.shape) < SMALLEST:
            raise MedDiffError(
                f"{path.name} is too small ({pixels.shape[1]} x {pixels.shape[0]} pixels): a side needs {SMALLEST}."
            )
    return opened


def _allowed(name: str, rows: int, columns: int) -> None:
    if rows * columns > LARGEST_PIXELS or rows <= 0 or columns <= 0:
        raise MedDiffError(
            f"{name} says that it has {columns} x {rows} pixels: no more than {LARGEST_PIXELS:,} are read. Make it smaller."
        )


def _spread(count: int) -> list[int]:
    """Which of `count` frames are looked at."""
    return sorted({round(place) for place in np.linspace(0, count - 1, min(count, MOST_FRAMES))})


def _picture(path: Path) -> Opened:
    opened = Opened(str(path))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                _allowed(path.name, image.height, image.width)
                opened.count = getattr(image, "n_frames", 1)
                if image.format in ("JPEG", "MPO"):
                    opened.count = 1  # further frames of a phone's JPEG are previews
                opened.numbers = _spread(opened.count)
                for number in opened.numbers:
                    image.seek(number)
                    _allowed(path.name, image.height, image.width)
                    image.load()
                    pixels, coloured = _luminance(ImageOps.exif_transpose(image))
                    opened.frames.append(pixels)
                    opened.coloured |= coloured
                text = getattr(image, "text", {}).get(RECORD)
    except UnidentifiedImageError as error:
        raise MedDiffError(
            f"{path.name} is no picture that can be read: give PNG, JPEG, WebP, TIFF, GIF, DICOM or NIfTI."
        ) from error
    except MedDiffError:
        raise
    except Image.DecompressionBombError as error:
        raise MedDiffError(f"{path.name} would unpack to more pixels than are read: make it smaller.") from error
    except Exception as error:  # Pillow's decoders raise anything
        raise MedDiffError(f"{path.name} is damaged or cut off: get it again.") from error
    if text is not None:
        try:
            held = json.loads(text)
            opened.record = Provenance.model_validate(held["provenance"])
            opened.box = StampBox(**held["stamp"])
        except (KeyError, TypeError, ValueError):
            opened.complaint = (
                "The file has a MedDiff record that cannot be read: it was changed or is of another version."
            )
    return opened


def _luminance(image: Image.Image) -> tuple[np.ndarray, bool]:
    """Grey pixels [H, W] of any picture, and whether it had colours in it; transparent is black."""
    if image.mode.startswith("I"):
        values = np.asarray(image)
        fits = values.min() >= 0 and values.max() <= 65535
        return (values.astype(np.uint16) if fits else values.astype(np.float32)), False
    if image.mode == "F":
        return np.nan_to_num(np.asarray(image)), False
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image.convert("RGBA"))
    return np.asarray(image.convert("L")), image.mode not in ("1", "L")


def _dicom(path: Path) -> Opened:
    import pydicom
    from pydicom.pixels import pixel_array
    from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

    opened = Opened(str(path))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset = pydicom.dcmread(path, force=True)
            if "PixelData" not in dataset:
                raise MedDiffError(f"{path.name} is DICOM without pixels (7FE0,0010), or no DICOM: give an image.")
            _allowed(path.name, int(dataset.Rows), int(dataset.Columns))
            if "TransferSyntaxUID" not in dataset.file_meta:
                implicit = dataset.original_encoding[0]
                dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
            opened.count = int(dataset.get("NumberOfFrames") or 1)
            opened.numbers = _spread(opened.count)
            for number in opened.numbers:
                pixels = np.asarray(pixel_array(dataset, index=number))
                if pixels.ndim == 3:
                    pixels, opened.coloured = np.asarray(Image.fromarray(pixels).convert("L")), True
                if int(dataset.get("BitsStored", 16)) <= 8 and pixels.max() <= 255 and pixels.min() >= 0:
                    pixels = pixels.astype(np.uint8)
                opened.frames.append(pixels)
            opened.attributes = _synthetic_attributes(dataset)
            block = (0x0099, 0x0010) in dataset
        except MedDiffError:
            raise
        except Exception as error:  # a header is parsed where it is touched, and a damaged one raises anything
            raise MedDiffError(f"{path.name} is damaged, cut off, or compressed in a way that is not known.") from error
        try:
            opened.record = read_private_block(dataset, path.name)
        except MedDiffError as error:
            opened.complaint = str(error) if block and "cannot be read" in str(error) else ""
    return opened


def _synthetic_attributes(dataset: Any) -> list[str]:
    """Standard attributes that say synthetic: PS3.3 C.12.1.1.1 (0008,001C), C.7.6.1.1.2 (0008,0008), C.7.5.3 (0018,A001)."""
    said = []
    if dataset.get("SyntheticData") == "YES":
        said.append("Synthetic Data (0008,001C) = YES")
    if str(dataset.get("PatientName", "")).upper().startswith("SYNTHETIC"):
        said.append("Patient's Name SYNTHETIC")
    if (dataset.get("ImageType") or [""])[0] == "DERIVED":
        said.append("Image Type DERIVED")
    for item in dataset.get("ContributingEquipmentSequence") or ():
        purpose = item.get("PurposeOfReferenceCodeSequence") or ()
        if any(code.get("CodeValue") == "109100" for code in purpose):
            said.append(f"Synthesizing Equipment {item.get('Manufacturer', '')}")
    return said if said != ["Image Type DERIVED"] else []  # alone it says nothing: reformatted CT is DERIVED too


def _nifti(path: Path) -> Opened:
    import nibabel

    opened = Opened(str(path))
    try:
        image: Any = nibabel.load(path)
        shape = image.shape
        if len(shape) < 2 or np.prod([int(side) for side in shape]) > LARGEST_PIXELS:
            raise MedDiffError(f"{path.name} is a volume of {shape}: more than is read, or no picture. Cut it first.")
        volume = np.asarray(image.dataobj.get_unscaled())
    except MedDiffError:
        raise
    except Exception as error:  # nibabel, gzip and numpy each raise their own
        raise MedDiffError(f"{path.name} is damaged, cut off, or no NIfTI.") from error
    if volume.dtype.names or np.iscomplexobj(volume):
        raise MedDiffError(f"{path.name} holds colours or complex numbers: give grey ones.")
    volume = np.nan_to_num(volume) if volume.dtype.kind == "f" else volume
    volume = volume.reshape(*volume.shape[:2], -1) if min(volume.shape[:2]) > 1 else np.squeeze(volume)
    if volume.ndim == 2:
        volume = volume[..., None]
    opened.count = volume.shape[2]
    opened.numbers = _spread(opened.count)
    opened.frames = [np.ascontiguousarray(volume[:, :, number].T) for number in opened.numbers]
    if b"SYNTHETIC" in image.header.get("descrip", np.array(b"")).item():
        opened.attributes = ["the header's description says SYNTHETIC"]
    beside = path.with_name(path.name.removesuffix(".gz").removesuffix(".nii") + ".json")
    if beside.is_file():
        try:
            opened.record = Provenance.model_validate_json(beside.read_bytes())
        except (OSError, ValueError):
            opened.complaint = f"{beside.name} beside the volume is no MedDiff record, or was changed."
    return opened


# ---------------------------------------------------------------- the witnesses


def _mark_in(pixels: np.ndarray) -> Reading | None:
    """The invisible mark of the whole picture, or of the picture inside a screenshot."""
    from meddiff.marking.detect import read_mark

    return next((found for part in parts(pixels) if (found := read_mark(pixels[part]))), None)


def parts(pixels: np.ndarray) -> list[tuple[slice, slice]]:
    """Where in [H, W] a picture may lie: everywhere, then the largest areas that are not one even colour, biggest first.

    A screenshot has even borders, bars and backgrounds; a picture on it is one connected thing that is not even.
    """
    from scipy import ndimage

    whole = (slice(0, pixels.shape[0]), slice(0, pixels.shape[1]))
    grey = pixels.astype(np.float32)
    step = max(1, round(max(pixels.shape) / 512))
    small = grey[::step, ::step]
    span = max(float(np.ptp(small)), 1e-6)
    uneven = (ndimage.maximum_filter(small, 5) - ndimage.minimum_filter(small, 5)) > 0.02 * span
    found = [whole]
    for thing in (uneven, ndimage.binary_opening(ndimage.binary_fill_holes(uneven), iterations=6)):
        labels, count = ndimage.label(ndimage.binary_closing(thing, iterations=2))
        if not count:
            continue
        sizes = np.bincount(labels.ravel())[1:]
        boxes = ndimage.find_objects(labels)
        for index in np.argsort(-sizes)[:2]:
            rows, columns = (
                slice(s.start * step, min(s.stop * step, n)) for s, n in zip(boxes[index], pixels.shape, strict=True)
            )
            part = (rows, columns)
            smaller = (rows.stop - rows.start) * (columns.stop - columns.start) < 0.97 * pixels.size
            if smaller and min(rows.stop - rows.start, columns.stop - columns.start) >= SMALLEST and part not in found:
                found.append(part)
    return found[:4]


def _fingerprint(pixels: np.ndarray, bank: Bank) -> Evidence | None:
    grey = pixels if pixels.dtype in (np.uint8, np.uint16) else _in_bytes(pixels)
    found = [seen for part in parts(grey) if (seen := bank.recognise(grey[part])) is not None]
    if not found:
        return None
    best = min(found, key=lambda seen: seen.distance)
    said = f"Its looks are those of the kept {best.role} {best.case_id}: {best.distance} of {best.bits} bits differ."
    return Evidence("fingerprint", said, best.case_id, best.chance)


def _in_bytes(pixels: np.ndarray) -> np.ndarray:
    low, high = np.percentile(pixels, (0.1, 99.9))
    return np.rint(np.clip((pixels - low) / max(float(high - low), 1e-9), 0, 1) * 255).astype(np.uint8)


def _as_sealed(pixels: np.ndarray, record: Provenance) -> bool | None:
    """Whether these are exactly the pixels that the record's file left with; None where the record does not say."""
    if not record.sealed_sha256:
        return None
    kinds = {pixels.dtype, np.dtype(np.uint8), np.dtype(np.uint16)}
    fits = [kind for kind in kinds if kind.kind == "u" and pixels.min() >= 0 and pixels.max() <= np.iinfo(kind).max]
    return any(pixel_sha256(pixels.astype(kind)) == record.sealed_sha256 for kind in fits)


# ---------------------------------------------------------------- the verdict


def _judge(opened: Opened, pixels: np.ndarray, number: int, bank: Bank | None) -> Verdict:
    record, evidence = opened.record, []
    same = _as_sealed(pixels, record) if record else None
    if record:
        evidence.append(Evidence("record", _told_of_record(record, same), record.case_id))
    elif opened.complaint:
        evidence.append(Evidence("record", opened.complaint))
    reading = _mark_in(pixels)
    if reading:
        evidence.append(
            Evidence(
                "mark",
                f"The invisible mark in the pixels says {reading.case_id}.",
                reading.case_id,
                reading.false_alarm,
            )
        )
    looks = _fingerprint(pixels, bank) if bank else None
    if looks:
        evidence.append(looks)
    if opened.attributes:
        evidence.append(Evidence("attributes", "; ".join(opened.attributes) + "."))

    # The mark lies in the pixels, looks are the pixels, and words can be copied: they are believed in this order.
    case_id = next(
        (e.case_id for kind in ("mark", "fingerprint", "record") for e in evidence if e.witness == kind and e.case_id),
        "",
    )
    kept = _kept(bank, case_id)
    changes, role = (
        _compared(pixels, kept, record, opened) if kept else (_told_by(reading), record.role if record else "")
    )
    if same:
        changes = []
    elif same is False and not kept:
        changes.append(
            Change(
                "changed",
                "The pixels are not those that left MedDiff; the case is not in this bank, so how they differ cannot be told.",
                False,
            )
        )
    if kept and not record:
        changes.append(Change("record stripped", "The record was taken out of the file."))
    quarrels = _quarrels(
        evidence, record, reading, can_carry(_in_bytes(pixels)), kept is not None and _lies_on(changes)
    )
    answer = _answer(evidence, quarrels, changes)
    return Verdict(
        opened.name,
        answer,
        _sentence(answer, case_id, quarrels, changes, same),
        case_id if answer is not Answer.UNKNOWN else "",
        role if answer is not Answer.UNKNOWN else "",
        _sure(evidence, same, kept is not None),
        tuple(evidence),
        (*quarrels, *changes),
        number,
        opened.count,
        kept is not None,
    )


def _told_of_record(record: Provenance, same: bool | None) -> str:
    held = {
        True: "its pixels are exactly those that the record names",
        False: "its pixels are not those that the record names",
        None: "the record, of an older version, does not name the pixels it left with",
    }[same]
    return f"The record in the file says {record.role} {record.case_id}, made {record.created or 'at a time it does not tell'} by {record.software}; {held}."


def _kept(bank: Bank | None, case_id: str) -> tuple[SealedImage, SealedImage] | None:
    if bank is None or not case_id:
        return None
    try:
        case = bank.open(case_id)
    except MedDiffError:  # not kept here, or damaged there: the file alone speaks then
        return None
    return case.image, case.twin


def _told_by(reading: Reading | None) -> list[Change]:
    """What the mark alone tells of a picture's geometry."""
    if reading is None:
        return []
    told = []
    if reading.mirrored or reading.upside_down or reading.turned:
        told.append(Change("mirrored", "It is mirrored or turned: the patient's sides may be exchanged."))
    if reading.inverted:
        told.append(Change("inverted", "Black and white are exchanged."))
    if abs(reading.rotation_deg) >= 0.2:
        told.append(Change("rotated", f"It is rotated by about {reading.rotation_deg:.1f} degrees."))
    return told


def _compared(
    pixels: np.ndarray, kept: tuple[SealedImage, SealedImage], record: Provenance | None, opened: Opened
) -> tuple[list[Change], str]:
    """What differs from the kept case or its twin, whichever is nearer, and which that is."""
    found = [(image, compare(pixels, image)) for image in kept]
    image, best = max(found, key=lambda pair: pair[1].likeness)
    changes = list(best.changes)
    if record and record.role != image.provenance.role and best.likeness > 0.9:
        changes.append(
            Change("role", f"The record says {record.role}, the pixels are the {image.provenance.role}'s.", False)
        )
    if opened.coloured:
        changes.append(Change("colour", "It is a colour picture now."))
    return changes, image.provenance.role


def _lies_on(changes: list[Change]) -> bool:
    return not any(change.name == "not the kept picture" for change in changes)


def _quarrels(
    evidence: list[Evidence], record: Provenance | None, reading: Reading | None, carries: bool, on_kept: bool
) -> list[Change]:
    """Witnesses that contradict each other."""
    named = {e.witness: e.case_id for e in evidence if e.case_id}
    found = []
    if len(set(named.values())) > 1:
        who = ", ".join(f"the {witness} {case_id}" for witness, case_id in named.items())
        found.append(Change("contradiction", f"The witnesses name different cases: {who}.", False))
    if record and reading is None and carries and not on_kept and not named.get("fingerprint"):
        found.append(
            Change(
                "mark missing",
                "There is a record, but no mark in the pixels, which have room for one: the record may have been put into another picture.",
                False,
            )
        )
    return found


def _answer(evidence: list[Evidence], quarrels: list[Change], changes: list[Change]) -> Answer:
    if not any(e.case_id for e in evidence):
        return Answer.UNKNOWN
    return Answer.ALTERED if any(not change.harmless for change in (*quarrels, *changes)) else Answer.OURS


def _sentence(answer: Answer, case_id: str, quarrels: list[Change], changes: list[Change], same: bool | None) -> str:
    if answer is Answer.UNKNOWN:
        return "Not known to MedDiff. That does not mean that it shows a patient: marks can be removed, and other programs make pictures too."
    told = " ".join(change.said for change in (*quarrels, *changes))
    if answer is Answer.ALTERED:
        return f"From MedDiff's case {case_id}, but do not trust it as it is. {told}"
    if same:
        return f"Made by MedDiff, case {case_id}. The pixels are exactly those that left."
    return f"Made by MedDiff, case {case_id}. {told or 'Nothing tells that it was changed.'}"


def _sure(evidence: list[Evidence], same: bool | None, kept: bool) -> str:
    """How sure the answer is, in words."""
    by = {e.witness: e for e in evidence}
    if mark := by.get("mark"):
        return f"Very sure: the mark is in the pixels; an unmarked picture says so by chance less than once in {1 / max(mark.chance or 1e-12, 1e-12):,.0f}."
    if looks := by.get("fingerprint"):
        return f"Fairly sure, by looks alone: about {looks.chance:.1g} that another picture comes as near."
    if by.get("record") and by["record"].case_id:
        if same:
            return "By the record alone, and the pixels agree with it. Words can be forged: no mark was found in the pixels."
        return "By the record alone, which anybody can copy into any file."
    if by.get("attributes"):
        return "Some program says that it is synthetic; nothing says that it was MedDiff."
    return "Nothing spoke for it: no record, no mark, no kept case that looks like it."
