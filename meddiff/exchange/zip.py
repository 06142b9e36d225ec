"""A whole case as one file: everything that `write_case` writes in all formats, in a folder with the case's name."""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path

from meddiff.exchange.atomic import write_atomic
from meddiff.exchange.case import FORMATS, write_case
from meddiff.marking.seal import SealedCase


def write_zip(case: SealedCase, path: str | Path) -> Path:
    """Writes a sealed case in every format as one ZIP; the same case gives the same bytes.

    Members stand in the folder of the case, so that cases unpacked side by side do not overwrite each other's `coco.json`.

    Raises:
        MedDiffError: picture or twin is not sealed, or the file cannot be written; nothing half-written remains.
    """

    def write(temporary: Path) -> None:
        with (
            tempfile.TemporaryDirectory(dir=temporary.parent, prefix=".meddiff-") as stage,
            zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive,
        ):
            for file in sorted(write_case(case, Path(stage), FORMATS)):
                member = zipfile.ZipInfo(f"{case.case.id}/{file.name}")  # dated 1980, the first day a ZIP can name
                member.create_system, member.external_attr = 3, 0o644 << 16  # the same on every system
                archive.writestr(member, file.read_bytes(), zipfile.ZIP_DEFLATED)

    return write_atomic(path, write)
