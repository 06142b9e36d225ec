"""Out of the house, through the one door: every writer takes a `SealedImage` and nothing else."""

from collections.abc import Callable
from pathlib import Path

from meddiff.exchange.case import FORMATS, write_case
from meddiff.exchange.dicom import write_dicom
from meddiff.exchange.nifti import write_mask_nifti, write_nifti
from meddiff.exchange.png import write_mask_png, write_png, write_png16
from meddiff.exchange.zip import write_zip
from meddiff.marking.seal import SealedImage

WRITERS: dict[str, tuple[str, Callable[[SealedImage, str | Path], Path]]] = {
    "png": (".png", write_png),
    "png16": (".png", write_png16),
    "dicom": (".dcm", write_dicom),
    "nifti": (".nii.gz", write_nifti),
}

__all__ = [
    "FORMATS",
    "WRITERS",
    "write_case",
    "write_dicom",
    "write_mask_nifti",
    "write_mask_png",
    "write_nifti",
    "write_png",
    "write_zip",
]
