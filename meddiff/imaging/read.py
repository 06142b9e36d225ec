"""Real images in: DICOM, PNG, JPEG, NIfTI, NRRD. What identifies a person never leaves this module."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from meddiff.case import MedDiffError, Plane, pixel_sha256

SMALLEST = 64  # pixels along a side
KNOWN = "DICOM, PNG, JPEG, TIFF, NIfTI (.nii, .nii.gz) and NRRD"
MODALITIES = {"MR": "MR", "CT": "CT", "PT": "PT", "CR": "CR", "DX": "CR", "DR": "CR"}


@dataclass(frozen=True)
class Slice:
    """One real slice, without a trace of whose it is.

    Attributes:
        pixels: float32 [H, W] in native units (HU, MR units, grey levels), shown as radiologists see it.
        stored: the file's own numbers [H, W], same orientation, integer or float.
        slope, intercept: pixels = slope * stored + intercept.
        spacing_mm: row and column spacing, or None where the file does not say.
        modality: MR, CT, PT, CR or unknown.
        plane: as the file says, or None.
        format: what kind of file it was.
    """

    pixels: np.ndarray
    stored: np.ndarray
    slope: float = 1.0
    intercept: float = 0.0
    spacing_mm: tuple[float, float] | None = None
    modality: str = "unknown"
    plane: Plane | None = None
    format: str = ""
    sha256: str = field(default="")

    def __post_init__(self) -> None:
        object.__setattr__(self, "sha256", pixel_sha256(self.stored))


def read_image(path: str | Path, slice_index: int | None = None, plane: Plane | None = None) -> Slice:
    """Reads one slice.

    Args:
        slice_index: which slice or frame of a volume; the middle one by default.
        plane: in which plane to cut a volume (axial by default).

    Raises:
        MedDiffError: in one sentence: what was wrong with the file and what to do.
    """
    path = Path(path)
    if not path.is_file():
        raise MedDiffError(f"There is no file {path}.")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise MedDiffError(f"{path} cannot be read: {error.strerror}.") from error
    if not data:
        raise MedDiffError(f"{path.name} is empty (0 bytes): choose another file.")
    name = path.name.lower()
    if data[128:132] == b"DICM" or name.endswith((".dcm", ".dicom", ".ima")):
        found = _dicom(data, path.name, slice_index)
    elif name.endswith((".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha")):
        found = _volume(path, slice_index, plane)
    else:
        found = _picture(data, path.name)
    return _checked(found, path.name)


def _checked(found: Slice, name: str) -> Slice:
    height, width = found.pixels.shape
    if min(height, width) < SMALLEST:
        raise MedDiffError(f"{name} is too small ({width}x{height} pixels): a side needs at least {SMALLEST}.")
    if not np.isfinite(found.pixels).all():
        raise MedDiffError(f"{name} holds numbers that are not finite: export it again.")
    if float(found.pixels.max()) <= float(found.pixels.min()):
        raise MedDiffError(f"{name} shows nothing: all its pixels are equal.")
    return found


def _pick(count: int, index: int | None, name: str) -> int:
    index = count // 2 if index is None else index
    if not 0 <= index < count:
        raise MedDiffError(f"{name} has {count} slices, 0 to {count - 1}: there is no slice {index}.")
    return index


# ---------------------------------------------------------------- DICOM


def _dicom(data: bytes, name: str, index: int | None) -> Slice:
    import pydicom
    from pydicom.errors import InvalidDicomError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset = pydicom.dcmread(io.BytesIO(data))
        except (InvalidDicomError, EOFError, ValueError, AttributeError, OSError, KeyError) as error:
            raise MedDiffError(f"{name} is no DICOM file, or it is cut off: export it again.") from error
        if "PixelData" not in dataset and "FloatPixelData" not in dataset:
            raise MedDiffError(f"{name} is DICOM without pixels (7FE0,0010), a report perhaps: choose an image.")
        if int(dataset.get("SamplesPerPixel", 1)) != 1:
            raise MedDiffError(f"{name} is a colour image: MedDiff works on grey ones. Choose another series.")
        try:
            stored = np.asarray(dataset.pixel_array)
        except Exception as error:  # decoders raise anything
            syntax = getattr(getattr(dataset, "file_meta", None), "TransferSyntaxUID", None)
            which = getattr(syntax, "name", "unknown")
            raise MedDiffError(
                f"The pixels of {name} cannot be decoded ({which}): the file is cut off, damaged or compressed in a way "
                "that is not supported. Export it again, uncompressed if you can."
            ) from error
    if stored.ndim == 3:
        stored = stored[_pick(len(stored), index, name)]
    shared = _functional_groups(dataset)
    slope = float(_first(dataset, shared, "RescaleSlope", 1) or 1)
    intercept = float(_first(dataset, shared, "RescaleIntercept", 0) or 0)
    spacing = _first(dataset, shared, "PixelSpacing", None) or dataset.get("ImagerPixelSpacing")
    if dataset.get("PhotometricInterpretation") == "MONOCHROME1":
        slope, intercept = -slope, intercept + slope * float(stored.max() + stored.min())
    plane, stored, swap = _upright(stored, _first(dataset, shared, "ImageOrientationPatient", None))
    pair = (float(spacing[0]), float(spacing[1])) if spacing else None
    if pair and (min(pair) <= 0):
        pair = None
    if pair and swap:
        pair = pair[::-1]
    return Slice(
        pixels=(stored * np.float32(slope) + np.float32(intercept)).astype(np.float32),
        stored=stored,
        slope=slope,
        intercept=intercept,
        spacing_mm=pair,
        modality=MODALITIES.get(str(dataset.get("Modality", "")), "unknown"),
        plane=plane,
        format="DICOM",
    )


def _functional_groups(dataset: Any) -> Any:
    """The first item of an enhanced object's shared groups, or None: PS3.3 C.7.6.16."""
    groups = dataset.get("SharedFunctionalGroupsSequence")
    return groups[0] if groups else None


def _first(dataset: Any, shared: Any, keyword: str, default: Any) -> Any:
    """An attribute at the top, or inside the shared functional groups."""
    if keyword in dataset:
        return dataset.get(keyword)
    for element in shared or ():
        if element.VR == "SQ" and element.value and keyword in element.value[0]:
            return element.value[0].get(keyword)
    return default


def _upright(stored: np.ndarray, orientation: Any) -> tuple[Plane | None, np.ndarray, bool]:
    """Plane of a slice, turned as radiologists hang it: (0020,0037) is in LPS, PS3.3 C.7.6.2.1.1."""
    if orientation is None or len(orientation) != 6:
        return None, stored, False
    across, down = np.array(orientation[:3], float), np.array(orientation[3:], float)
    axis = int(np.abs(np.cross(across, down)).argmax())
    plane = (Plane.SAGITTAL, Plane.CORONAL, Plane.AXIAL)[axis]
    # Screen directions in LPS: axial right = L, down = P; coronal right = L, down = I; sagittal right = P, down = I.
    right, below = {
        Plane.AXIAL: ((1, 0, 0), (0, 1, 0)),
        Plane.CORONAL: ((1, 0, 0), (0, 0, -1)),
        Plane.SAGITTAL: ((0, 1, 0), (0, 0, -1)),
    }[plane]
    swap = abs(across @ right) < abs(down @ right)
    if swap:
        stored, across, down = stored.T, down, across
    if across @ right < 0:
        stored = stored[:, ::-1]
    if down @ below < 0:
        stored = stored[::-1]
    return plane, np.ascontiguousarray(stored), bool(swap)


# ---------------------------------------------------------------- volumes


def _volume(path: Path, index: int | None, plane: Plane | None) -> Slice:
    import SimpleITK as sitk

    try:
        image = sitk.ReadImage(str(path))
        if image.GetNumberOfComponentsPerPixel() != 1:
            raise MedDiffError(f"{path.name} is a colour image: MedDiff works on grey ones.")
        if image.GetDimension() == 4:
            image = image[..., 0]
        if image.GetDimension() == 3:
            image = sitk.DICOMOrient(image, "LPS")
    except RuntimeError as error:
        raise MedDiffError(f"{path.name} cannot be read: it is damaged, cut off, or not what its name says.") from error
    volume = sitk.GetArrayFromImage(image)
    if volume.ndim == 2:
        x, y = image.GetSpacing()
        return Slice(volume.astype(np.float32), volume, spacing_mm=(y, x), modality="MR", plane=plane, format="volume")
    x, y, z = image.GetSpacing()  # array is [z, y, x] with x to the left, y to the back, z upwards
    plane = plane or Plane.AXIAL
    axis, spacing = {Plane.AXIAL: (0, (y, x)), Plane.CORONAL: (1, (z, x)), Plane.SAGITTAL: (2, (z, y))}[plane]
    cut = volume.take(_pick(volume.shape[axis], index, path.name), axis=axis)
    cut = cut if plane is Plane.AXIAL else cut[::-1]  # head up
    stored = np.ascontiguousarray(cut)
    return Slice(stored.astype(np.float32), stored, spacing_mm=spacing, modality="MR", plane=plane, format="volume")


# ---------------------------------------------------------------- pictures


def _picture(data: bytes, name: str) -> Slice:
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            if image.mode in ("I;16", "I;16B", "I"):
                stored = np.asarray(image).astype(np.uint16)
            elif image.mode in ("1", "L", "LA"):
                stored = np.asarray(image.convert("L"))
            elif image.mode == "F":
                stored = np.asarray(image)
            else:
                colours = np.asarray(image.convert("RGB")).astype(np.int16)
                if np.abs(colours - colours[..., :1]).max() > 24:  # JPEG makes grey a little coloured
                    raise MedDiffError(f"{name} is a colour picture: MedDiff works on grey ones.")
                stored = np.asarray(image.convert("L"))
    except UnidentifiedImageError as error:
        raise MedDiffError(f"{name} is not an image that can be read: choose one of {KNOWN}.") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise MedDiffError(f"{name} is damaged or cut off: export it again.") from error
    return Slice(stored.astype(np.float32), stored, format="picture")
