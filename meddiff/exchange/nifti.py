"""NIfTI out: one slice as a volume, with a JSON sidecar that says what it is."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np

from meddiff.case import Plane
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
    """Voxel (column, row, 0) to mm, RAS+, centred on the picture."""
    across, down, through = axes(plane)
    matrix = np.eye(4)
    matrix[:3, 0], matrix[:3, 1], matrix[:3, 2] = across * spacing_mm[1], down * spacing_mm[0], through * SLICE_MM
    centre = np.array([(shape[1] - 1) / 2, (shape[0] - 1) / 2, 0])
    matrix[:3, 3] = -matrix[:3, :3] @ centre
    return matrix


def write_nifti(sealed: SealedImage, path: str | Path) -> Path:
    """Writes `path` (.nii.gz) and its provenance beside it (.json)."""
    sealed = require_sealed(sealed)
    path = Path(path)
    plane = sealed.provenance.request.findings.plane
    volume = nibabel.Nifti1Image(
        np.ascontiguousarray(sealed.pixels.T[..., None]),
        affine(plane, sealed.pixels.shape, sealed.spacing_mm),  # type: ignore[arg-type]
    )
    volume.header.set_xyzt_units("mm")
    volume.header["descrip"] = b"SYNTHETIC (MedDiff), not for diagnosis"
    volume.header["aux_file"] = sealed.provenance.case_id.encode()
    record = sealed.provenance.model_dump_json(indent=1) + "\n"
    stem = path.name.removesuffix(".gz").removesuffix(".nii")
    write_atomic(path.with_name(stem + ".json"), lambda temporary: temporary.write_text(record, encoding="utf-8"))
    return write_atomic(path, lambda temporary: nibabel.save(volume, temporary))
