"""NIfTI out: one slice as a volume with a JSON sidecar that says what it is, and the outline that lies on it."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.nifti1 import Nifti1Extension

from meddiff.case import MedDiffError, Plane, Provenance
from meddiff.exchange.atomic import write_atomic
from meddiff.marking.seal import SealedImage, require_sealed

SLICE_MM = 6.0  # thickness of the slices the pack was trained on


def axes(plane: Plane | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Directions of columns (to the right on screen), rows (down) and the slice, as unit vectors in RAS+.

    Axial and coronal slices are shown with the patient's left on the right of the screen; sagittal ones face left.
    """
    left, anterior, superior = np.array([-1.0, 0, 0]), np.array([0, 1.0, 0]), np.array([0, 0, 1.0])
    if plane is Plane.CORONAL:
        return left, -superior, anterior
    if plane is Plane.SAGITTAL:
        return -anterior, -superior, left
    return left, -anterior, superior


def affine(plane: Plane | None, shape: tuple[int, int], spacing_mm: tuple[float, float]) -> np.ndarray:
    """Voxel (column, row, 0) to mm, RAS+, centred on the picture [H, W], rows appended for the stamp not counted."""
    across, down, through = axes(plane)
    matrix = np.eye(4)
    matrix[:3, 0], matrix[:3, 1], matrix[:3, 2] = across * spacing_mm[1], down * spacing_mm[0], through * SLICE_MM
    centre = np.array([(shape[1] - 1) / 2, (shape[0] - 1) / 2, 0])
    matrix[:3, 3] = -matrix[:3, :3] @ centre
    return matrix


def write_nifti(sealed: SealedImage, path: str | Path) -> Path:
    """Writes `path` (.nii or .nii.gz) and its provenance beside it (.json).

    Raises:
        MedDiffError: not sealed, or a file cannot be written; nothing half-written remains.
    """
    sealed = require_sealed(sealed)
    path = Path(path)
    volume = _volume(sealed.pixels, sealed)
    # The window viewers open with: 0 (cal_min) to the brightest pixel of the picture.
    volume.header["cal_max"] = max(int(sealed.pixels[sealed.outside_stamp].max()), 1)
    record = sealed.provenance.model_dump_json(indent=1) + "\n"
    stem = path.name.removesuffix(".gz").removesuffix(".nii")

    def write(temporary: Path) -> None:
        temporary.write_bytes(_packed(volume, path))
        # Second, so that a disk that fills up leaves no sidecar without its volume.
        write_atomic(path.with_name(stem + ".json"), lambda beside: beside.write_text(record, encoding="utf-8"))

    return write_atomic(path, write)


def write_mask_nifti(mask: np.ndarray, path: str | Path, like: SealedImage) -> Path:
    """Writes an outline [H, W] as a volume of 0 and 1, of the size and in the place of its picture: an answer key.

    Raises:
        MedDiffError: an outline of another size than the picture, or the file cannot be written.
    """
    volume = _volume(require_sealed(like).fit(mask).astype(np.uint8), like)
    volume.header["intent_name"] = b"lesion outline"
    return write_atomic(path, lambda temporary: temporary.write_bytes(_packed(volume, Path(path))))


def _volume(pixels: np.ndarray, sealed: SealedImage) -> nibabel.Nifti1Image:
    """Pixels [H, W] as a volume [W, H, 1], placed where the sealed picture lies and labelled as it is."""
    place = affine(sealed.provenance.request.findings.plane, (sealed.height, pixels.shape[1]), sealed.spacing_mm)
    volume = nibabel.Nifti1Image(np.ascontiguousarray(pixels.T[..., None]), place)  # type: ignore[arg-type]
    volume.header.set_xyzt_units("mm")
    volume.header["descrip"] = b"SYNTHETIC (MedDiff), not for diagnosis"
    volume.header["aux_file"] = sealed.provenance.case_id.encode()
    # Beside the JSON file, which can be lost: a comment extension (code 6) of the header itself.
    record = sealed.provenance.canonical_json().encode()
    volume.header.extensions.append(Nifti1Extension("comment", record))  # type: ignore[no-untyped-call]
    return volume


def _packed(volume: nibabel.Nifti1Image, path: Path) -> bytes:
    """The bytes of a file, the same at every export: gzip's time and name are left out."""
    data: bytes = volume.to_bytes()
    return gzip.compress(data, mtime=0) if path.name.endswith(".gz") else data


def read_nifti_record(path: str | Path) -> Provenance:
    """The record in the header of a NIfTI file that MedDiff wrote, or in the JSON file beside it.

    Raises:
        MedDiffError: there is none, or it is damaged.
    """
    path = Path(path)
    try:
        for extension in nibabel.load(path).header.extensions:  # type: ignore[attr-defined]
            if extension.get_code() == 6 and b"case_id" in extension.content:
                return Provenance.model_validate_json(extension.content.rstrip(b"\0"))
        beside = path.with_name(path.name.removesuffix(".gz").removesuffix(".nii") + ".json")
        return Provenance.model_validate_json(beside.read_bytes())
    except (OSError, ValueError, ImageFileError, EOFError, zlib.error) as error:
        raise MedDiffError(
            f"{path} carries no MedDiff record that can be read, and there is none beside it."
        ) from error
