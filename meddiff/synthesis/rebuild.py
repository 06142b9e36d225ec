"""The same request gives the same pixels: `rebuild` proves it, or says how far it is off and why."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meddiff.case import MedDiffError
from meddiff.imaging.read import Slice
from meddiff.marking.seal import SealedCase
from meddiff.synthesis.native import prepare_background
from meddiff.synthesis.studio import Studio


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
    request = kept.case.request
    info = studio.load().info
    native = None
    if request.background_sha256:
        if background is None:
            raise MedDiffError("This case was made on a background: give the same file with --background.")
        native = prepare_background(background, info.modality, info.size, info.spacing_mm)
    made = studio.make(request, native)
    differences = []
    for pixels, sealed in ((made.pixels, kept.image), (made.twin, kept.twin)):
        box = sealed.box
        height = sealed.pixels.shape[0] - box.appended_rows
        if pixels.shape != (height, sealed.pixels.shape[1]):
            raise MedDiffError("The background is not the one this case was made on: its size differs.")
        apart = np.abs(pixels.astype(np.int64) - sealed.pixels[:height].astype(np.int64))
        if not box.appended_rows:
            apart[box.row : box.row + box.height, box.column : box.column + box.width] = 0
        differences.append(int(apart.max()))
    largest = max(differences)
    reasons = []
    if request.pack_sha256 != info.sha256:
        reasons.append(f"made with pack {str(request.pack_sha256)[:12]}, rebuilt with {info.sha256[:12]}")
    if request.precision != studio.precision:
        reasons.append(f"made at {request.precision}, rebuilt at {studio.precision}")
    if largest and not reasons:
        reasons.append("same pack and precision: another processor or library version rounds differently")
    return RebuildReport(kept.case.id, largest == 0, largest, "; ".join(reasons))
