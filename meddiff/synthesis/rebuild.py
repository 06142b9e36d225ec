"""The same request gives the same pixels: `rebuild` proves it, or says how far it is off and why."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import ValidationError
from scipy import ndimage

from meddiff.case import Case, MedDiffError, Provenance, Request, Visit, pixel_sha256
from meddiff.imaging.read import Slice
from meddiff.marking.provenance import read_png
from meddiff.marking.seal import SealedCase, SealedImage, seal
from meddiff.marking.stamp import StampBox
from meddiff.synthesis.native import Native, prepare_background
from meddiff.synthesis.series import Plan, visit_again
from meddiff.synthesis.studio import Made, Studio, acquire_made

ROUNDING = "same pack and precision: another processor or library version rounds differently"


@dataclass(frozen=True)
class RebuildReport:
    """What rebuilding a case gave.

    Attributes:
        identical: the made pixels have the hash that the record names.
        largest_difference: grey levels, of sealed pictures outside the stamp; None where there is no old picture to compare with.
        note: why they differ, where they do.
        sealed: the case made again, sealed with the record's own time: a PNG of it is the old one, byte for byte, where its pixels are.
    """

    case_id: str
    identical: bool
    largest_difference: int | None
    note: str
    sealed: SealedCase


def rebuild(kept: SealedCase, studio: Studio, background: Slice | None = None) -> RebuildReport:
    """Makes a kept case again and compares.

    Raises:
        MedDiffError: when the background it was made on is needed and not given.
    """
    record = kept.image.provenance.model_copy(update={"request": kept.case.request})
    made, again = _made_and_sealed(record, studio, background)
    same = (pixel_sha256(made.pixels), pixel_sha256(made.twin)) == (
        kept.image.provenance.pixel_sha256,
        kept.twin.provenance.pixel_sha256,
    )
    pairs = ((again.image, kept.image), (again.twin, kept.twin))
    largest = 0 if same else max(_apart(new, old.pixels, old.box) for new, old in pairs)
    return _report(record, same, largest, studio, again)


def rebuild_picture(path: Path, studio: Studio, background: Slice | None = None) -> RebuildReport:
    """Makes the case of a PNG that MedDiff wrote again, from the record in it alone, and compares.

    Raises:
        MedDiffError: no record in the file, a picture that was cut or resized since, or the background is needed and
            not given.
    """
    pixels, provenance, _, box = read_png(path, str(path))
    return rebuild_record(provenance, studio, background, (pixels, box))


def old_pixels(path: Path) -> tuple[np.ndarray, StampBox | None] | None:
    """The sealed pixels [H, W] of a file that MedDiff wrote, and their stamp's place where the file tells it; None of a record alone."""
    name = path.name.lower()
    if name.endswith((".json", ".gif")):  # a GIF shows 16 bits as 8: its records alone are exact
        return None
    if name.endswith((".nii", ".nii.gz")):
        import nibabel

        return np.asarray(nibabel.load(path).dataobj)[..., 0].T, None  # type: ignore[attr-defined]
    if name.endswith((".dcm", ".dicom", ".ima")):
        import pydicom

        return pydicom.dcmread(path).pixel_array, None
    pixels, _, _, box = read_png(path, str(path))
    return pixels, box


def rebuild_record(
    provenance: Provenance,
    studio: Studio,
    background: Slice | None = None,
    old: tuple[np.ndarray, StampBox | None] | None = None,
) -> RebuildReport:
    """Makes the case of a record again, from the record alone, on any machine that has the pack.

    Args:
        old: the sealed pixels [H, W] that came with the record and their stamp's place, if they are at hand: how far others are off is then said.

    Raises:
        MedDiffError: another text encoder than the record names, an old picture that was cut or resized, or the background is needed and not
            given.
    """
    made, again = _made_and_sealed(provenance, studio, background)
    twin = provenance.role == "twin"
    same = pixel_sha256(made.twin if twin else made.pixels) == provenance.pixel_sha256
    image = again.twin if twin else again.image
    # Compared even where the hash agrees: the record may lie beside pixels that were changed since.
    largest = _apart(image, old[0], old[1] or image.box) if old else (0 if same else None)
    return _report(provenance, same and not largest, largest, studio, again)


def _made_and_sealed(record: Provenance, studio: Studio, background: Slice | None) -> tuple[Made, SealedCase]:
    """The pixels of a record's request, and the same sealed again as they were."""
    request, info = record.request, studio.load().info
    spacing = (info.spacing_mm, info.spacing_mm)
    if request.visit:
        again = visit_again(_plan(request.visit), request.visit.number, studio)
        made, outline, free = again.made, again.outline, again.outline | again.shown
    else:
        native = _native(request, studio, background)
        made = studio.make(request, native)
        spacing = native.spacing_mm if native else spacing
        outline = request.mask.to_array() if request.mask else np.zeros(made.pixels.shape, bool)
        if request.acquisition:
            made, outline = acquire_made(made, outline, request.acquisition, info.spacing_mm)
        free = outline
    avoid = ndimage.binary_dilation(free, iterations=3) if free.any() else None  # as the studio does

    def named(pixels: np.ndarray, role: str) -> Provenance:
        return record.model_copy(
            update={"role": role, "pixel_sha256": pixel_sha256(pixels), "pack_sha256": info.sha256}
        )

    image = seal(made.pixels, named(made.pixels, "case"), spacing, avoid)
    twin = seal(made.twin, named(made.twin, "twin"), spacing, avoid, beside=image)
    case = Case(
        id=record.case_id,
        request=request,
        measurements=record.checks,
        status=record.status,
        reason=record.reason,
        spacing_mm=spacing,
        created=record.created,
    )
    return made, SealedCase(case, image, twin, outline)


def _plan(visit: Visit) -> Plan:
    try:
        return Plan.model_validate_json(visit.plan)
    except ValidationError as error:
        raise MedDiffError(
            f"The plan of the series {visit.series} in this record cannot be read: another version of MedDiff made it, or it was changed."
        ) from error


def read_record(path: Path) -> Provenance:
    """The provenance that a PNG, DICOM, NIfTI or GIF file carries, or that stands in a JSON file.

    Raises:
        MedDiffError: there is none, or it is damaged.
    """
    name = path.name.lower()
    if name.endswith((".nii", ".nii.gz")):
        from meddiff.exchange.nifti import read_nifti_record

        return read_nifti_record(path)
    if name.endswith(".json"):
        try:
            record = json.loads(path.read_bytes())
            return Provenance.model_validate(record.get("provenance", record))  # of a case's record, or alone
        except (OSError, ValueError, AttributeError) as error:
            raise MedDiffError(f"{path} holds no provenance record of MedDiff, or it was changed.") from error
    if name.endswith((".dcm", ".dicom", ".ima")):
        from meddiff.exchange.dicom import read_dicom_record

        return read_dicom_record(path)
    if name.endswith(".gif"):
        from meddiff.exchange.gif import read_gif_records

        return read_gif_records(path)[0]
    return read_png(path, str(path))[1]


def _native(request: Request, studio: Studio, background: Slice | None) -> Native | None:
    info = studio.load().info
    if not request.background_sha256:
        return None
    if background is None:
        raise MedDiffError("This case was made on a background: give the same file with --background.")
    native = prepare_background(background, info.modality, info.size, info.spacing_mm)
    if pixel_sha256(native.pixels) != request.background_sha256:
        raise MedDiffError(
            "The background is not the one this case was made on: give the same file, and the same slice of it."
        )
    return native


def _apart(new: SealedImage, old: np.ndarray, box: StampBox) -> int:
    """Largest difference between two sealed pictures in grey levels of the new one, outside both stamps."""
    height = old.shape[0] - box.appended_rows
    made = new.pixels[: new.height]
    if old[:height].shape != made.shape:
        raise MedDiffError(
            f"The picture is {' x '.join(map(str, old[:height].shape))} pixels, its request makes "
            f"{' x '.join(map(str, made.shape))}: it was cut or resized since. Give the file as MedDiff wrote it."
        )
    level = 1
    if new.pixels.dtype == np.uint8 and old.max() > 255:  # a 16-bit PNG holds each of 256 levels x 257
        level = 257
    apart = -(-np.abs(made.astype(np.int64) * level - old[:height].astype(np.int64)) // level)
    for stamp in (box, new.box):
        if not stamp.appended_rows:
            apart[stamp.area] = 0
    return int(apart.max())


def _report(record: Provenance, same: bool, largest: int | None, studio: Studio, again: SealedCase) -> RebuildReport:
    request, info = record.request, studio.load().info
    reasons = []
    if record.pack_sha256 != info.sha256 or request.pack_sha256 not in (None, info.sha256):
        reasons.append(f"made with pack {record.pack_sha256[:12]}, rebuilt with {info.sha256[:12]}")
    if request.precision != studio.precision:
        reasons.append(f"made at {request.precision}, rebuilt at {studio.precision}")
    if not same and not reasons:
        made = again.twin if record.role == "twin" else again.image
        hit = made.provenance.pixel_sha256 == record.pixel_sha256
        reasons.append("the picture was changed since it left" if hit else ROUNDING)
    return RebuildReport(record.case_id, same, largest, "; ".join(reasons), again)
