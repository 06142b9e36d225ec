"""Real images in: DICOM, PNG, JPEG, NIfTI, NRRD. What identifies a person never leaves this module."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from meddiff.case import MedDiffError, Plane, pixel_sha256
from meddiff.imaging.hanging import Hanging, hanging_of

SMALLEST = 64  # pixels along a side
COLOURED = 24  # of 255: JPEG makes grey a little coloured, by less than this
PLAUSIBLE_MM = (0.01, 20.0)  # a pixel outside this is a header filled with nonsense, not a scanner
AIR_HU = -500  # only CT has numbers this low: air is -1000 HU
KNOWN = "DICOM, PNG, JPEG, TIFF, NIfTI (.nii, .nii.gz) and NRRD"
MODALITIES = {"MR": "MR", "CT": "CT", "PT": "PT", "CR": "CR", "DX": "CR", "DR": "CR"}


@dataclass(frozen=True)
class Slice:
    """One real slice, without a trace of whose it is.

    Attributes:
        pixels: float32 [H, W] in native units (HU, SUV, MR units, grey levels), shown as radiologists see it.
        stored: the file's own numbers [H, W], same orientation, integer or float.
        slope, intercept: pixels = slope * stored + intercept.
        spacing_mm: row and column spacing, or None where the file does not say.
        modality: MR, CT, PT, CR or unknown.
        plane: as the file says, or None.
        format: what kind of file it was.
        unit: of `pixels`: HU, SUV, Bq/ml, or nothing.
        hanging: how a DICOM slice was turned to be shown; `hanging.take_down` brings content back into the file's order.
    """

    pixels: np.ndarray
    stored: np.ndarray
    slope: float = 1.0
    intercept: float = 0.0
    spacing_mm: tuple[float, float] | None = None
    modality: str = "unknown"
    plane: Plane | None = None
    format: str = ""
    unit: str = ""
    hanging: Hanging = field(default_factory=Hanging)
    sha256: str = field(default="")

    def __post_init__(self) -> None:
        object.__setattr__(self, "sha256", pixel_sha256(self.stored))


def read_image(path: str | Path, slice_index: int | None = None, plane: Plane | None = None) -> Slice:
    """Reads one slice.

    Args:
        slice_index: which frame of a DICOM or TIFF file (the middle one by default), or which slice of a volume:
            axial ones are counted upwards, coronal ones backwards, sagittal ones from the patient's right.
        plane: in which plane to cut a volume: by default axial, or the plane of a volume that is one slice thick.

    Raises:
        MedDiffError: in one sentence: what was wrong with the file and what to do.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise MedDiffError(f"{path} is a folder: choose one file in it.")
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise MedDiffError(f"There is no file {path}.") from error
    except (OSError, ValueError) as error:  # no permission, a name too long, a zero byte in it
        reason = getattr(error, "strerror", None) or error
        raise MedDiffError(f"{str(path)[:200]} cannot be opened: {reason}.") from error
    if not data:
        raise MedDiffError(f"{path.name} is empty (0 bytes): choose another file.")
    name = path.name.lower()
    if data[128:132] == b"DICM" or name.endswith((".dcm", ".dicom", ".ima")):
        found = _dicom(data, path.name, slice_index)
    elif name.endswith((".nii", ".nii.gz")):
        found = _nifti(path, slice_index, plane)
    elif name.endswith((".nrrd", ".nhdr", ".mha")):
        found = _nrrd(path, slice_index, plane)
    else:
        found = _picture(data, path.name, slice_index)
    return _checked(found, path.name)


def _checked(found: Slice, name: str) -> Slice:
    height, width = found.pixels.shape
    if min(height, width) < SMALLEST:
        raise MedDiffError(f"{name} is too small ({width}x{height} pixels): a side needs at least {SMALLEST}.")
    if not np.isfinite(found.pixels).all():
        raise MedDiffError(f"{name} holds numbers that are not finite (NaN): set them to 0 and export it again.")
    if float(found.pixels.max()) <= float(found.pixels.min()):
        raise MedDiffError(f"{name} shows nothing: all its pixels are equal.")
    return found


def _pick(count: int, index: int | None, name: str) -> int:
    index = count // 2 if index is None else index
    if count == 1 and index != 0:
        raise MedDiffError(f"{name} holds one slice: leave the slice number out, or say 0.")
    if not 0 <= index < count:
        raise MedDiffError(f"{name} has {count} slices, 0 to {count - 1}: there is no slice {index}.")
    return index


def _plausible(spacing: Any) -> tuple[float, float] | None:
    """Row and column spacing in mm, or None where the numbers cannot be a pixel's size."""
    if spacing is None or len(spacing) != 2:
        return None
    row, column = float(spacing[0]), float(spacing[1])
    low, high = PLAUSIBLE_MM
    return (row, column) if low <= row <= high and low <= column <= high else None


# ---------------------------------------------------------------- DICOM


def _dicom(data: bytes, name: str, index: int | None) -> Slice:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return _dicom_slice(_parsed(data, name), name, index)
        except MedDiffError:
            raise
        except Exception as error:  # a header is parsed where it is touched, and a damaged one raises anything
            raise MedDiffError(f"The header of {name} is damaged: export it again.") from error


def _dicom_slice(dataset: Any, name: str, index: int | None) -> Slice:
    frame = _pick(int(dataset.get("NumberOfFrames") or 1), index, name)
    stored = _decoded(dataset, name, frame)
    if dataset.get("ModalityLUTSequence"):  # (0028,3000): units by table instead of by slope and intercept
        from pydicom.pixels import apply_modality_lut

        stored = apply_modality_lut(stored, dataset)
    modality = MODALITIES.get(str(dataset.get("Modality", "")), "unknown")
    slope = float(_attribute(dataset, frame, "RescaleSlope") or 1)
    intercept = float(_attribute(dataset, frame, "RescaleIntercept") or 0)
    unit = {"CT": "HU"}.get(modality, "")
    if modality == "PT":
        slope, intercept, unit = _in_suv(dataset, slope, intercept)
    if dataset.get("PhotometricInterpretation") == "MONOCHROME1":  # (0028,0004): low numbers are bright
        slope, intercept = -slope, intercept + slope * (float(stored.max()) + float(stored.min()))
    plane, hanging = hanging_of(_attribute(dataset, frame, "ImageOrientationPatient"))
    spacing = _plausible(_attribute(dataset, frame, "PixelSpacing") or dataset.get("ImagerPixelSpacing"))
    stored = hanging.hang(stored)
    return Slice(
        pixels=(stored * np.float32(slope) + np.float32(intercept)).astype(np.float32),
        stored=stored,
        slope=slope,
        intercept=intercept,
        spacing_mm=hanging.spacing(spacing) if spacing else None,
        modality=modality,
        plane=plane,
        format="DICOM",
        unit=unit,
        hanging=hanging,
    )


def _parsed(data: bytes, name: str) -> Any:
    """The data set, if it is one grey image that names nobody in its pixels."""
    import pydicom
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    try:
        dataset = pydicom.dcmread(io.BytesIO(data), force=True)  # old files have no preamble
        known = "SOPClassUID" in dataset or "Rows" in dataset
    except Exception as error:  # as in `_dicom`
        raise MedDiffError(f"{name} is no DICOM file, or it is cut off: export it again.") from error
    if not known:
        raise MedDiffError(f"{name} is no DICOM file, or it is cut off: export it again.")
    if "PixelData" not in dataset:
        raise MedDiffError(
            f"{name} is DICOM without pixels (7FE0,0010): a report perhaps, or cut off. Choose an image, or export it again."
        )
    colours = str(dataset.get("PhotometricInterpretation", "MONOCHROME2"))
    if int(dataset.get("SamplesPerPixel", 1)) != 1 or not colours.startswith("MONOCHROME"):
        raise MedDiffError(f"{name} is a colour image: MedDiff works on grey ones. Choose another series.")
    # Synthetic Data (0008,001C): the writing on a sealed case is our stamp, and there is no patient to name.
    if dataset.get("BurnedInAnnotation") == "YES" and dataset.get("SyntheticData") != "YES":
        raise MedDiffError(
            f"{name} says that its pixels themselves identify the patient (0028,0301): blank out the writing and set the "
            "tag to NO, or choose another image."
        )
    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit, little = dataset.original_encoding
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
    return dataset


def _decoded(dataset: Any, name: str, frame: int) -> np.ndarray:
    """Stored numbers [H, W] of one frame."""
    from pydicom.pixels import get_decoder, pixel_array

    syntax = dataset.file_meta.TransferSyntaxUID
    try:
        usable = get_decoder(syntax).is_available
    except NotImplementedError:
        usable = False
    if not usable:
        raise MedDiffError(
            f"{name} is compressed in a way that MedDiff does not know ({syntax.name}, tag (0002,0010)): export it "
            "uncompressed, or as JPEG Lossless or JPEG 2000."
        )
    try:
        return np.asarray(pixel_array(dataset, index=frame))
    except Exception as error:  # decoders raise anything
        raise MedDiffError(
            f"The pixels of {name} cannot be decoded ({syntax.name}): the file is cut off or damaged. Export it again, "
            "uncompressed if you can."
        ) from error


def _in_suv(dataset: Any, slope: float, intercept: float) -> tuple[float, float, str]:
    """Slope, intercept and unit of a PET slice: SUV where the header tells enough, as it is otherwise."""
    from meddiff.imaging.suv import suv_factor

    factor = suv_factor(dataset)
    if factor is None:
        return slope, intercept, "Bq/ml" if dataset.get("Units") == "BQML" else ""
    return slope * factor, intercept * factor, "SUV"


def _attribute(dataset: Any, frame: int, keyword: str) -> Any:
    """An attribute at the top, or for enhanced objects in the frame's or the shared functional groups: PS3.3 C.7.6.16."""
    if dataset.get(keyword) is not None:
        return dataset.get(keyword)
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence") or ()
    shared = dataset.get("SharedFunctionalGroupsSequence") or ()
    for group in (*per_frame[frame : frame + 1], *shared[:1]):
        for element in group:
            if element.VR == "SQ" and element.value and element.value[0].get(keyword) is not None:
                return element.value[0].get(keyword)
    return None


# ---------------------------------------------------------------- volumes


def _nifti(path: Path, index: int | None, plane: Plane | None) -> Slice:
    import nibabel
    from nibabel.orientations import apply_orientation, axcodes2ornt, io_orientation, ornt_transform

    try:
        image: Any = nibabel.load(path)
        stored = image.dataobj.get_unscaled()
        slope, intercept = float(image.dataobj.slope), float(image.dataobj.inter)
        turn = ornt_transform(io_orientation(image.affine), axcodes2ornt(("L", "P", "S")))
        metres = {"meter": 1000.0, "micron": 0.001}.get(image.header.get_xyzt_units()[0], 1.0)
        sizes = nibabel.affines.voxel_sizes(image.affine) * metres
    except Exception as error:  # nibabel, gzip and numpy each raise their own
        raise MedDiffError(f"{path.name} cannot be read: it is damaged, cut off, or not what its name says.") from error
    if stored.dtype.names:
        raise MedDiffError(f"{path.name} is a colour image: MedDiff works on grey ones.")
    if np.iscomplexobj(stored):
        raise MedDiffError(f"{path.name} holds complex numbers: export its magnitude.")
    while stored.ndim < 3:
        stored = stored[..., None]
    volume = apply_orientation(stored[(..., *(0,) * (stored.ndim - 3))], turn)  # of a series, the first volume
    sizes = tuple(float(sizes[int(np.flatnonzero(turn[:, 0] == axis)[0])]) for axis in range(3))
    return _cut(volume, sizes, slope, intercept, path.name, index, plane)


def _nrrd(path: Path, index: int | None, plane: Plane | None) -> Slice:
    import SimpleITK as sitk

    try:
        image = sitk.ReadImage(str(path))
        if image.GetNumberOfComponentsPerPixel() != 1:
            raise MedDiffError(f"{path.name} is a colour image: MedDiff works on grey ones.")
        if image.GetDimension() == 2:
            image = sitk.JoinSeries(image)
        elif image.GetDimension() == 4:
            image = image[..., 0]
        image = sitk.DICOMOrient(image, "LPS")
    except RuntimeError as error:
        raise MedDiffError(f"{path.name} cannot be read: it is damaged, cut off, or not what its name says.") from error
    return _cut(sitk.GetArrayFromImage(image).T, image.GetSpacing(), 1.0, 0.0, path.name, index, plane)


def _cut(
    volume: np.ndarray,
    sizes: tuple[float, ...],
    slope: float,
    intercept: float,
    name: str,
    index: int | None,
    plane: Plane | None,
) -> Slice:
    """One slice of a volume [x, y, z] with x to the left, y to the back, z to the head; voxel sizes in mm."""
    thin = [axis for axis in range(3) if volume.shape[axis] == 1]
    plane = plane or ((Plane.SAGITTAL, Plane.CORONAL, Plane.AXIAL)[thin[0]] if len(thin) == 1 else Plane.AXIAL)
    axis = {Plane.SAGITTAL: 0, Plane.CORONAL: 1, Plane.AXIAL: 2}[plane]
    across, down = (other for other in range(3) if other != axis)
    stored = volume.take(_pick(volume.shape[axis], index, name), axis=axis).T
    stored = np.ascontiguousarray(stored if plane is Plane.AXIAL else stored[::-1])  # head up
    pixels = (stored * np.float64(slope) + intercept).astype(np.float32)
    # These formats do not say their modality; what looks like Hounsfield units is not taken for MR.
    modality = "CT" if pixels.min() < AIR_HU else "unknown"
    return Slice(
        pixels=pixels,
        stored=stored,
        slope=slope,
        intercept=intercept,
        spacing_mm=_plausible((sizes[down], sizes[across])),
        modality=modality,
        plane=plane,
        format="volume",
        unit="HU" if modality == "CT" else "",
    )


# ---------------------------------------------------------------- pictures


def _picture(data: bytes, name: str, index: int | None) -> Slice:
    try:
        with Image.open(io.BytesIO(data)) as image:
            if index is None and image.format != "TIFF":
                index = 0  # further frames of a phone's JPEG are previews and depth maps
            image.seek(_pick(getattr(image, "n_frames", 1), index, name))
            image.load()
            stored = _grey(ImageOps.exif_transpose(image), name)  # cameras turn by a note, not by pixels
    except UnidentifiedImageError as error:
        raise MedDiffError(f"{name} is not an image that can be read: choose one of {KNOWN}.") from error
    except MedDiffError:
        raise
    except Exception as error:  # Pillow's decoders raise anything
        raise MedDiffError(f"{name} is damaged or cut off: export it again.") from error
    return Slice(stored.astype(np.float32), stored, format="picture")


def _grey(image: Image.Image, name: str) -> np.ndarray:
    """Numbers [H, W] of a grey picture: uint8, uint16, int32 or float32. What is transparent is black."""
    if image.mode == "F":
        return np.asarray(image)
    if image.mode.startswith("I"):
        values = np.asarray(image)
        return values.astype(np.uint16) if values.min() >= 0 and values.max() <= 65535 else values
    if image.has_transparency_data:
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, image.convert("RGBA"))
    if image.mode not in ("1", "L"):
        colours = np.asarray(image.convert("RGB")).astype(np.int16)
        if np.abs(colours - colours[..., :1]).max() > COLOURED:
            raise MedDiffError(f"{name} is a colour picture: MedDiff works on grey ones.")
    return np.asarray(image.convert("L"))
