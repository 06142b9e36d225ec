"""Many files as one: a whole case, or whatever else is written into a folder, as one ZIP."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Callable
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
    return zipped(path, case.case.id, lambda stage: write_case(case, stage, FORMATS))


def zipped(path: str | Path, name: str, write: Callable[[Path], object]) -> Path:
    """Writes as one ZIP what `write` writes into the folder that it is given; the same files give the same bytes.

    Args:
        name: of the folder that the members stand in.

    Raises:
        MedDiffError: what `write` raises, or the file cannot be written; nothing half-written remains.
    """

    def fill(temporary: Path) -> None:
        with (
            tempfile.TemporaryDirectory(dir=temporary.parent, prefix=".meddiff-") as hidden,
            zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive,
        ):
            stage = Path(hidden)
            write(stage)
            for file in sorted(found for found in stage.rglob("*") if found.is_file()):
                member = zipfile.ZipInfo(
                    f"{name}/{file.relative_to(stage).as_posix()}"
                )  # dated 1980, the first day a ZIP can name
                member.create_system, member.external_attr = 3, 0o644 << 16  # the same on every system
                archive.writestr(member, file.read_bytes(), zipfile.ZIP_DEFLATED)

    return write_atomic(path, fill)
