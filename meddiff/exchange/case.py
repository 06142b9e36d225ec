"""A whole case as files: picture, twin, outline, record, and what belongs to them in each format."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from meddiff.case import SYNTHETIC_NOTICE, MedDiffError, Task
from meddiff.exchange.atomic import write_atomic
from meddiff.exchange.coco import NAME, add_to_coco, png_name
from meddiff.exchange.dicom import write_dicom
from meddiff.exchange.gif import write_blink
from meddiff.exchange.nifti import write_mask_nifti, write_nifti
from meddiff.exchange.png import write_mask_png, write_png, write_png16
from meddiff.marking.seal import SealedCase, require_sealed

FORMATS = {
    "png": "PNG, 8 or 16 bit as the case is",
    "png16": "PNG, 16 bit",
    "dicom": "DICOM: both pictures, the outline as SEG, asked and measured as SR",
    "nifti": "NIfTI with the record beside it",
    "coco": "PNG, and coco.json with masks and boxes of all cases in the folder",
    "gif": "case and twin blinking",
}


def write_case(case: SealedCase, folder: Path, formats: Iterable[str]) -> list[Path]:
    """Writes case, twin, outline and record into a folder; returns the files.

    All are written beside the folder's files first and then renamed: a case is there with all its files, or not at all.

    Args:
        formats: keys of `FORMATS`.

    Raises:
        MedDiffError: not sealed, an unknown format, or the folder cannot be written; nothing half-written remains.
        OSError: when the folder cannot be made.
    """
    wanted = list(dict.fromkeys(formats))
    if unknown := [kind for kind in wanted if kind not in FORMATS]:
        raise MedDiffError(f"{unknown[0]!r} is no format: choose among {', '.join(FORMATS)}.")
    image, twin = (require_sealed(getattr(case, role, None)) for role in ("image", "twin"))
    name = case.case.id
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".meddiff-") as hidden:
        stage = Path(hidden)
        for picture, role in ((image, ""), (twin, "-twin")):
            if "png" in wanted or "coco" in wanted:
                write_png(picture, stage / png_name(picture))
            if "png16" in wanted:
                write_png16(picture, stage / f"{name}{role}-16bit.png")
            if "dicom" in wanted:
                write_dicom(picture, stage / f"{name}{role}.dcm")
            if "nifti" in wanted:
                write_nifti(picture, stage / f"{name}{role}.nii.gz")
        if "dicom" in wanted:
            _dicom_objects(case, stage)
        if "nifti" in wanted:
            write_mask_nifti(case.mask, stage / f"{name}-outline.nii.gz", image)
        if "gif" in wanted:
            write_blink(case, stage / f"{name}-blink.gif")
        write_mask_png(case.mask, stage / f"{name}-outline.png", image)
        told = {
            "notice": SYNTHETIC_NOTICE,
            **case.case.model_dump(mode="json"),
            "provenance": image.provenance.model_dump(mode="json"),
        }
        record = json.dumps(told, indent=1, ensure_ascii=False) + "\n"
        write_atomic(stage / f"{name}-record.json", lambda t: t.write_text(record, encoding="utf-8"))
        if "coco" in wanted:
            if (folder / NAME).exists():
                shutil.copyfile(folder / NAME, stage / NAME)
            add_to_coco(case, stage)
        return [path.replace(folder / path.name) for path in sorted(stage.iterdir())]


def _dicom_objects(case: SealedCase, folder: Path) -> None:
    from meddiff.exchange.seg import write_seg  # highdicom comes with them
    from meddiff.exchange.sr import write_sr

    shown = case.twin if case.case.request.task is Task.REMOVE else case.image
    if case.mask.any():
        write_seg(case.mask, folder / f"{case.case.id}-outline.dcm", like=shown)
    write_sr(case, folder / f"{case.case.id}-report.dcm")
