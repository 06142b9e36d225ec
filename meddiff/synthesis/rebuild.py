"""The same request gives the same pixels: `rebuild` proves it, or says how far it is off and why."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from meddiff.case import MedDiffError, Request, pixel_sha256
from meddiff.imaging.read import Slice
from meddiff.marking.provenance import read_png
from meddiff.marking.seal import SealedCase
from meddiff.marking.stamp import StampBox
from meddiff.synthesis.native import prepare_background
from meddiff.synthesis.studio import Made, Studio


@dataclass(frozen=True)
class RebuildReport:
    """What rebuilding a case gave."""

    case_id: str
    identical: bool
    largest_difference: int  # grey levels, picture and twin, stamp left out
    note: str


def rebuild(kept: SealedCase, studio: Studio, background: Slice | None = None) -> RebuildReport:
    """Makes a kept case again and compares.

    Raises:
        MedDiffError: when the background it was made on is needed and not given.
    """
    made = _made(kept.case.request, studio, background)
    largest = max(
        _apart(made.pixels, kept.image.pixels, kept.image.box), _apart(made.twin, kept.twin.pixels, kept.twin.box)
    )
    return _report(kept.case.request, kept.case.id, largest, studio)


def rebuild_picture(path: Path, studio: Studio, background: Slice | None = None) -> RebuildReport:
    """Makes the case of a PNG that MedDiff wrote again, from the record in it alone, and compares.

    Raises:
        MedDiffError: no record in the file, a picture that was cut or resized since, or the background is needed and
            not given.
    """
    pixels, provenance, _, box = read_png(path, str(path))
    made = _made(provenance.request, studio, background)
    largest = _apart(made.twin if provenance.role == "twin" else made.pixels, pixels, box)
    return _report(provenance.request, provenance.case_id, largest, studio)


def _made(request: Request, studio: Studio, background: Slice | None) -> Made:
    info = studio.load().info
    if not request.background_sha256:
        return studio.make(request)
    if background is None:
        raise MedDiffError("This case was made on a background: give the same file with --background.")
    native = prepare_background(background, info.modality, info.size, info.spacing_mm)
    if pixel_sha256(native.pixels) != request.background_sha256:
        raise MedDiffError(
            "The background is not the one this case was made on: give the same file, and the same slice of it."
        )
    return studio.make(request, native)


def _apart(pixels: np.ndarray, stamped: np.ndarray, box: StampBox) -> int:
    """Largest difference between made and stamped pixels, the stamp left out."""
    height = stamped.shape[0] - box.appended_rows
    if stamped[:height].shape != pixels.shape:
        raise MedDiffError(
            f"The picture is {' x '.join(map(str, stamped[:height].shape))} pixels, its request makes "
            f"{' x '.join(map(str, pixels.shape))}: it was cut or resized since. Give the file as MedDiff wrote it."
        )
    apart = np.abs(pixels.astype(np.int64) - stamped[:height].astype(np.int64))
    if not box.appended_rows:
        apart[box.area] = 0
    return int(apart.max())


def _report(request: Request, case_id: str, largest: int, studio: Studio) -> RebuildReport:
    info = studio.load().info
    reasons = []
    if request.pack_sha256 != info.sha256:
        reasons.append(f"made with pack {str(request.pack_sha256)[:12]}, rebuilt with {info.sha256[:12]}")
    if request.precision != studio.precision:
        reasons.append(f"made at {request.precision}, rebuilt at {studio.precision}")
    if largest and not reasons:
        reasons.append("same pack and precision: another processor or library version rounds differently")
    return RebuildReport(case_id, largest == 0, largest, "; ".join(reasons))
