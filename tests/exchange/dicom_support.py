"""What the DICOM tests share: sealed pictures and cases, an asymmetric lesion, and dciodvfy."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from meddiff.case import (
    Case,
    Clinical,
    Enhancement,
    Finding,
    Findings,
    MaskSpec,
    Measurement,
    Plane,
    Provenance,
    Region,
    Request,
    Sex,
    Side,
    Status,
    Task,
    pixel_sha256,
)
from meddiff.marking import SealedCase, SealedImage, seal
from tests.conftest import make_phantom

SPACING_MM = (0.98, 0.5)
ROWS = (
    Measurement(name="longest diameter", asked="31", measured="29", unit="mm", ok=True, value=28.75),
    Measurement(name="overlap with the outline (Dice)", asked=">= 0.5", measured="0.81", ok=True, value=0.81),
    Measurement(name="change outside the edit region", asked="0", measured="0", unit="grey levels", ok=True, value=0.0),
    Measurement(name="found elsewhere", asked="nothing", measured="70% of the outline's area", ok=False, value=0.7),
    Measurement(name="side", asked="left", measured="left", ok=True),
    Measurement(name="region", asked="frontal", measured="parietal"),
    Measurement(name="margin", asked="irregular", measured="smooth"),
)
# What the Debian release of 2022 says of (0008,001C) Synthetic Data, which is younger than its dictionary.
UNKNOWN_TO_OLD = (
    "Error - Attribute with an even group number is not a recognized standard attribute - (0x0008,0x001c)  ?"
)


def flag(shape: tuple[int, int] = (256, 256)) -> np.ndarray:
    """An outline like the letter F, up and right: no flip, turn or transposition leaves it as it is."""
    mask = np.zeros(shape, bool)
    mask[60:110, 150:158] = mask[60:68, 150:190] = mask[80:88, 150:175] = True
    return mask


def request_of(plane: Plane | None = Plane.AXIAL, modality: str = "MR", task: Task = Task.GENERATE) -> Request:
    """A completed request with a lesion of every kind of word."""
    finding = Finding(pathology="glioma", side=Side.LEFT, region=Region.FRONTAL, enhancement=Enhancement.RING)
    return Request(
        task=task,
        findings=Findings(modality=modality, plane=plane, finding=None if task is Task.REMOVE else finding),
        mask=MaskSpec.from_array(flag()),
        clinical=Clinical(age_years=61, sex=Sex.FEMALE),
        background_sha256=None if task is Task.GENERATE else "b" * 64,
        sentence="左额叶胶质瘤, ring-enhancing",
        seed=2,
    )


def sealed_of(
    pixels: np.ndarray,
    request: Request | None = None,
    role: str = "case",
    spacing_mm: tuple[float, float] = SPACING_MM,
    beside: SealedImage | None = None,
) -> SealedImage:
    """Pixels, sealed as a picture of this request."""
    asked = request or request_of()
    record = Provenance(
        case_id=asked.case_id(),
        role=role,
        request=asked,
        pack="brain-t1gd",
        pack_sha256="a" * 64,
        pixel_sha256=pixel_sha256(pixels),
        checks=ROWS,
        created="2026-11-24T01:02:03+00:00",
    )
    return seal(pixels, record, spacing_mm, beside=beside)


def case_of(
    request: Request | None = None, kind: type = np.uint8, lesion: bool = True, rows: tuple[Measurement, ...] = ROWS
) -> SealedCase:
    """A sealed case of the phantom, with the lesion of `flag()` and its twin without."""
    asked = request or request_of()
    top = 255 if kind is np.uint8 else 3000
    healthy = (np.minimum(make_phantom(), 0.5) * top).astype(kind)
    mask = flag() & lesion
    with_lesion = np.where(mask, top, healthy).astype(kind)
    image = sealed_of(with_lesion, asked)
    record = Case(
        id=asked.case_id(),
        request=asked,
        measurements=rows,
        status=Status.REJECTED,
        reason="the finder also sees a lesion where none was asked",
        spacing_mm=SPACING_MM,
        created=image.provenance.created,
    )
    return SealedCase(record, image, sealed_of(healthy, asked, "twin", beside=image), mask)


def dciodvfy() -> str:
    """The verifier: of the virtual environment (requirements-dev.txt), else of the system."""
    found = shutil.which("dciodvfy", path=str(Path(sys.executable).parent)) or shutil.which("dciodvfy")
    return found or pytest.skip("dciodvfy is not installed (dicom3tools, in requirements-dev.txt)")


def errors_of(path: Path) -> tuple[str, list[str]]:
    """What dciodvfy takes a file for, and the errors that it finds in it."""
    said = subprocess.run([dciodvfy(), str(path)], capture_output=True, text=True, errors="replace")
    lines = [line.strip() for line in (said.stdout + said.stderr).splitlines()]
    kind = next((line for line in lines if line.isalnum()), "")
    return kind, [line for line in lines if line.startswith("Error") and line != UNKNOWN_TO_OLD]
