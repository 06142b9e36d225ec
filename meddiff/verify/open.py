"""A file opened: its frames as they are shown, what it says of itself, and whether it is one that MedDiff writes beside its pictures."""

from __future__ import annotations

import json
import re
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from meddiff.case import Case, MedDiffError, Provenance
from meddiff.marking.provenance import RECORD, read_private_block, require_unchanged
from meddiff.settings import settings

LARGEST_PIXELS = 64_000_000  # of one frame: more is no picture but an attack on the memory
MOST_FRAMES = 16  # of one file that are looked at, evenly spread
SMALLEST = 48  # pixels along a side: below, nothing can be read
SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"  # SOP class of DICOM SEG
LOSSY = {"JPEG": "JPEG", "MPO": "JPEG", "WEBP": "WebP"}  # by Pillow's name of a format
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".dcm", ".dicom", ".ima", ".nii", ".gz")
CASE_ID = re.compile(r"MD-[0-9a-f]{12}")


@dataclass(frozen=True)
class Frame:
    """One picture of a file.

    Attributes:
        number: counted from 1.
        pixels: [H, W], any type, as they are shown.
        record: the frame's own, or None.
    """

    number: int
    pixels: np.ndarray
    record: Provenance | None = None


@dataclass(frozen=True)
class Companion:
    """A file that lies beside pictures and is none.

    Attributes:
        kind: "outline", "report", "record" or "COCO file".
        names: the cases that it names.
        records: whole records that stand in it.
        case: of a `-record.json`.
        outlines: case and bool [H, W].
        unchanged: what the hash in a DICOM file says of its content; None where there is none.
        complaint: why it says that it was changed.
    """

    kind: str
    names: tuple[str, ...] = ()
    records: tuple[Provenance, ...] = ()
    case: Case | None = None
    outlines: tuple[tuple[str, np.ndarray], ...] = ()
    unchanged: bool | None = None
    complaint: str = ""


@dataclass
class Opened:
    """A file's frames, and what the file itself says.

    Attributes:
        count: frames in the file; `frames` has those that are looked at.
        complaint: of a record that is there and cannot be read.
        attributes: what else in the file says synthetic, in words.
        named: the case that those attributes name, or "".
        dicom: whether it is DICOM, which has attributes for synthetic data.
        saved_as: the format, if it loses something.
        companion: what it is, if it is no picture; then there are no frames.
    """

    name: str
    frames: list[Frame] = field(default_factory=list)
    count: int = 1
    complaint: str = ""
    attributes: list[str] = field(default_factory=list)
    named: str = ""
    dicom: bool = False
    coloured: bool = False
    saved_as: str = ""
    companion: Companion | None = None


def open_file(path: Path) -> Opened:
    """The frames of a file and what it says of itself.

    Raises:
        MedDiffError: not there, too large, damaged, or nothing that can be told of.
    """
    head = _head(path)
    name = path.name.lower()
    if name.endswith(".json"):
        opened = _json(path)
    elif head[128:132] == b"DICM" or name.endswith((".dcm", ".dicom", ".ima")):
        opened = _dicom(path)
    elif name.endswith((".nii", ".nii.gz")):
        opened = _nifti(path)
    else:
        opened = _picture(path)
    for frame in opened.frames:
        rows, columns = frame.pixels.shape
        if min(rows, columns) < SMALLEST:
            raise MedDiffError(
                f"{path.name} is too small ({columns} x {rows} pixels): a side needs {SMALLEST} for anything to be read."
            )
    return opened


def may_be_looked_at(path: Path) -> bool:
    """Whether a file of a folder is a picture by its name or its first bytes, or a JSON file of MedDiff's."""
    try:
        if path.name.lower().endswith(PICTURES):
            return True
        if path.suffix.lower() == ".json":
            return path.stat().st_size <= settings().max_upload_mb * 2**20 and _says_ours(path.read_bytes())
        with open(path, "rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def two_valued(pixels: np.ndarray) -> bool:
    """Whether a picture has two grey levels at most: an outline or a drawing, in which no mark can lie."""
    return bool(((pixels == pixels.min()) | (pixels == pixels.max())).all())


def _head(path: Path) -> bytes:
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
    return head


def _allowed(name: str, rows: int, columns: int) -> None:
    if rows * columns > LARGEST_PIXELS or rows <= 0 or columns <= 0:
        raise MedDiffError(
            f"{name} says that it has {columns} x {rows} pixels: no more than {LARGEST_PIXELS:,} are read. Make it smaller."
        )


def _spread(count: int) -> list[int]:
    """Which of `count` frames are looked at, counted from 0."""
    return sorted({round(place) for place in np.linspace(0, count - 1, min(count, MOST_FRAMES))})


# ---------------------------------------------------------------- PNG, JPEG, GIF and other pictures


def _picture(path: Path) -> Opened:
    opened = Opened(str(path))
    text: dict[str, Any] = {}
    comment: object = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                _allowed(path.name, image.height, image.width)
                opened.saved_as = LOSSY.get(image.format or "", "")
                # Further frames of a phone's JPEG are previews.
                opened.count = 1 if opened.saved_as == "JPEG" else getattr(image, "n_frames", 1)
                comment = image.info.get("comment")
                shown = []
                for number in _spread(opened.count):
                    image.seek(number)
                    _allowed(path.name, image.height, image.width)
                    image.load()
                    pixels, coloured = _luminance(ImageOps.exif_transpose(image))
                    shown.append((number, pixels))
                    opened.coloured |= coloured
                text = getattr(image, "text", {})
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
    said = str(text.get("Comment", ""))
    if len(shown) == 1 and two_valued(shown[0][1]) and said.startswith("Outline of ") and (id_ := CASE_ID.search(said)):
        outline = (id_[0], shown[0][1] > shown[0][1].min())
        opened.companion = Companion("outline", (id_[0],), outlines=(outline,))
        opened.attributes, opened.named = ["the file's text says that it is the outline"], id_[0]
        return opened
    records = _records(text.get(RECORD), comment, opened)
    opened.frames = [Frame(n + 1, pixels, records[n] if n < len(records) else None) for n, pixels in shown]
    if not any(records) and str(text.get("Software", "")).startswith("MedDiff"):
        opened.attributes = [f"the file's text says that {text['Software']} wrote it"]
    return opened


def _records(text: object, comment: object, opened: Opened) -> list[Provenance | None]:
    """The records in a PNG's chunk, or of each frame in a GIF's comment; complains of what cannot be read."""
    try:
        if text is not None:
            return [Provenance.model_validate(json.loads(str(text))["provenance"])]
        if isinstance(comment, bytes) and b'"case_id"' in comment:
            return [Provenance.model_validate(held) for held in json.loads(comment)]
    except (KeyError, TypeError, ValueError):
        opened.complaint = "The file has a MedDiff record that cannot be read: it was changed or is of another version."
    return []


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
    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L")), False
    spread = np.ptp(np.asarray(image.convert("RGB")), axis=2)  # lossy formats tint grey a little
    return np.asarray(image.convert("L")), bool((spread > 16).mean() > 0.001)


# ---------------------------------------------------------------- DICOM


def _dicom(path: Path) -> Opened:
    import pydicom

    opened = Opened(str(path), dicom=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset = pydicom.dcmread(path, force=True)
            if "PixelData" not in dataset and "SOPClassUID" not in dataset:
                raise MedDiffError(f"{path.name} is no DICOM, or cut off before its pixels (7FE0,0010): get it again.")
            opened.attributes, opened.named = _synthetic_attributes(dataset)
            if "PixelData" not in dataset or dataset.get("SOPClassUID") == SEGMENTATION:
                opened.companion = _dicom_companion(dataset, path.name, opened)
                return opened
            shown = _dicom_frames(dataset, path.name, opened)
            record = _dicom_record(dataset, path.name, opened)
        except MedDiffError:
            raise
        except Exception as error:  # a header is parsed where it is touched, and a damaged one raises anything
            raise MedDiffError(f"{path.name} is damaged, cut off, or compressed in a way that is not known.") from error
    opened.frames = [Frame(number + 1, pixels, record) for number, pixels in shown]
    return opened


def _dicom_frames(dataset: Any, name: str, opened: Opened) -> list[tuple[int, np.ndarray]]:
    from pydicom.pixels import pixel_array
    from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

    _allowed(name, int(dataset.Rows), int(dataset.Columns))
    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit = dataset.original_encoding[0]
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    opened.count = int(dataset.get("NumberOfFrames") or 1)
    shown = []
    for number in _spread(opened.count):
        pixels = np.asarray(pixel_array(dataset, index=number))
        if pixels.ndim == 3:
            pixels, opened.coloured = np.asarray(Image.fromarray(pixels).convert("L")), True
        if dataset.get("PhotometricInterpretation") == "MONOCHROME1":  # the lowest value is shown white
            pixels = (1 << int(dataset.BitsStored)) - 1 - pixels.astype(np.int32)
            pixels = pixels.astype(np.uint16) if pixels.min() >= 0 else pixels
        if int(dataset.get("BitsStored", 16)) <= 8 and pixels.max() <= 255 and pixels.min() >= 0:
            pixels = pixels.astype(np.uint8)
        shown.append((number, pixels))
    return shown


def _dicom_record(dataset: Any, name: str, opened: Opened) -> Provenance | None:
    try:
        return read_private_block(dataset, name)
    except MedDiffError as error:
        if "cannot be read" in str(error):
            opened.complaint = str(error)
        return None


def _dicom_companion(dataset: Any, name: str, opened: Opened) -> Companion:
    """A DICOM file without a picture: outline (SEG), or report (SR) and anything else that has no pixels."""
    record = _dicom_record(dataset, name, opened)
    names = (record.case_id,) if record else (opened.named,) if opened.named else ()
    outlines: tuple[tuple[str, np.ndarray], ...] = ()
    kind = "outline" if dataset.get("SOPClassUID") == SEGMENTATION else "report"
    if kind == "outline" and names:
        _allowed(name, int(dataset.Rows), int(dataset.Columns))
        shown = np.asarray(dataset.pixel_array)
        outlines = ((names[0], np.asarray(shown.reshape(-1, *shown.shape[-2:]).max(0) > 0)),)
    if record is None:
        return Companion(kind, names, outlines=outlines)
    try:
        require_unchanged(dataset, name)
        complaint = ""
    except MedDiffError as error:
        complaint = str(error).removesuffix("Export the case again.").rstrip()
    return Companion(kind, names, (record,), None, outlines, not complaint, complaint)


def _synthetic_attributes(dataset: Any) -> tuple[list[str], str]:
    """Standard attributes that say synthetic, and the case that they name.

    PS3.3 C.12.1.1.1 (0008,001C), C.7.6.1.1.2 (0008,0008), C.7.5.3 (0018,A001).
    """
    said, maker = [], ""
    if dataset.get("SyntheticData") == "YES":
        said.append("Synthetic Data (0008,001C) = YES")
    if str(dataset.get("PatientName", "")).upper().startswith("SYNTHETIC"):
        said.append("Patient's Name SYNTHETIC")
    for item in dataset.get("ContributingEquipmentSequence") or ():
        purpose = item.get("PurposeOfReferenceCodeSequence") or ()
        if any(code.get("CodeValue") == "109100" for code in purpose):
            maker = str(item.get("Manufacturer", ""))
            said.append(f"Synthesizing Equipment {maker}".rstrip())
    if (
        said and (dataset.get("ImageType") or [""])[0] == "DERIVED"
    ):  # alone it says nothing: reformatted CT is DERIVED too
        said.append("Image Type DERIVED")
    if maker != "MedDiff":
        return said, ""
    whose = " ".join(str(dataset.get(keyword, "")) for keyword in ("PatientID", "PatientName", "StudyID"))
    named = CASE_ID.search(whose)
    return said, named[0] if named else ""


# ---------------------------------------------------------------- NIfTI


def _nifti(path: Path) -> Opened:
    import nibabel

    from meddiff.exchange.nifti import read_nifti_record

    opened = Opened(str(path))
    try:
        image: Any = nibabel.load(path)
        shape = image.shape
        if len(shape) < 2 or np.prod([int(side) for side in shape]) > LARGEST_PIXELS:
            raise MedDiffError(f"{path.name} is a volume of {shape}: more than is read, or no picture. Cut it first.")
        volume = _hung(np.asarray(image.dataobj.get_unscaled()), image.affine)
        aside = b" ".join(image.header[key].item() for key in ("descrip", "aux_file") if key in image.header)
        outline = b"outline" in image.header.get("intent_name", np.array(b"")).item()
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
    if b"SYNTHETIC" in aside:
        opened.attributes = ["the header's description says SYNTHETIC"]
        named = CASE_ID.search(aside.decode("latin-1")) if b"MedDiff" in aside else None
        opened.named = named[0] if named else ""
    record = None
    try:
        record = read_nifti_record(path)
    except MedDiffError:
        if any(b"case_id" in extension.content for extension in image.header.extensions):
            opened.complaint = f"The MedDiff record in the header of {path.name} cannot be read: it was changed."
    named_case = record.case_id if record else opened.named
    if named_case and (outline or two_valued(volume)):
        mask = (named_case, volume[..., 0].T > 0)
        opened.companion = Companion("outline", (named_case,), (record,) if record else (), None, (mask,))
        return opened
    opened.count = volume.shape[2]
    numbers = _spread(opened.count)
    opened.frames = [Frame(n + 1, np.ascontiguousarray(volume[:, :, n].T), record) for n in numbers]
    return opened


def _hung(volume: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """A volume with each axis running towards the patient's left, back or feet, as we write them: other programs store
    the same picture the other way round and say so in the affine, which is no mirroring.
    """
    import nibabel

    stack = volume.ndim > 2 and min(volume.shape[:2]) > 1  # then the third axis runs from slice to slice
    for axis, code in enumerate(nibabel.aff2axcodes(affine)[: 2 if stack else volume.ndim]):
        if code in ("R", "A", "S"):
            volume = np.flip(volume, axis)
    return volume


# ---------------------------------------------------------------- JSON


def _json(path: Path) -> Opened:
    """A record (`-record.json`, or the file beside a NIfTI volume) or `coco.json`."""
    data = path.read_bytes()
    if not _says_ours(data):
        raise MedDiffError(f"{path.name} is no record and no COCO file of MedDiff's: give a picture or its record.")
    try:
        held = json.loads(data)
        if "images" in held:
            companion = _coco(held)
        elif "provenance" in held:
            record = Provenance.model_validate(held.pop("provenance"))
            held.pop("notice", None)
            companion = Companion("record", (record.case_id,), (record,), Case.model_validate(held))
        else:
            record = Provenance.model_validate(held)
            companion = Companion("record", (record.case_id,), (record,))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise MedDiffError(
            f"The MedDiff record in {path.name} cannot be read: it was changed, is damaged or of another version."
        ) from error
    return Opened(str(path), companion=companion)


def _says_ours(data: bytes) -> bool:
    return b"MedDiff" in data and b'"case_id"' in data


def _coco(held: dict[str, Any]) -> Companion:
    """A COCO file of ours: every image has its record.

    Raises:
        KeyError, TypeError, ValueError: somebody else's, or damaged.
    """
    records = {image["id"]: Provenance.model_validate(image["provenance"]) for image in held["images"]}
    if not records:
        raise ValueError("no image")
    outlines = []
    for annotation in held["annotations"]:
        rows, columns = (int(side) for side in annotation["segmentation"]["size"])
        runs = np.asarray(annotation["segmentation"]["counts"], int)
        if not 0 < rows * columns <= LARGEST_PIXELS or runs.sum() != rows * columns or runs.min() < 0:
            raise ValueError("runs that fill no picture")
        flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
        outlines.append((records[annotation["image_id"]].case_id, flat.reshape(columns, rows).T))
    names = tuple(dict.fromkeys(record.case_id for record in records.values()))
    return Companion("COCO file", names, tuple(records.values()), outlines=tuple(outlines))
