"""A whole series as files: a folder a visit, all visits as an animation, what was measured as a table, and the report."""

from __future__ import annotations

import csv
import io
import json
import re
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from meddiff.case import MedDiffError, Record
from meddiff.exchange.atomic import write_atomic
from meddiff.exchange.case import FORMATS, write_case
from meddiff.exchange.gif import write_gif
from meddiff.marking.seal import SealedCase

SERIES_FORMATS = {
    **FORMATS,
    "gif": "all visits one after the other",
    "mp4": "the same as a film",
    "csv": "what was asked and measured, a line a visit",
}
REPORT, TABLE = "series.json", "measurements.csv"
COLUMNS = (
    "series", "visit", "day", "date", "case", "asked_mm2", "drawn_mm2", "measured_mm2", "longest_mm", "perpendicular_mm",
    "RANO", "RECIST 1.1", "attempts", "status", "origin",
)  # fmt: skip
SERIES_ID = re.compile(r"MS-[0-9a-f]{12}")
_WHOLE = {"gif", "mp4", "csv"}  # of the series, not of a visit


class _Told(BaseModel):
    """What is read of a report; there may be more."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class _Category(_Told):
    category: str
    sentence: str


class ReportedVisit(_Told):
    """One visit of a report. Areas in mm2, lengths in mm."""

    number: int
    day: int
    date: str
    case_id: str
    asked_mm2: float
    drawn_mm2: float
    measured_mm2: float
    longest_mm: float
    perpendicular_mm: float
    rano: _Category
    recist: _Category
    attempts: int
    status: str
    reason: str = ""


class Report(_Told):
    """A series' report, as far as files need it."""

    series: Annotated[str, Field(pattern=SERIES_ID.pattern)]
    visits: Annotated[tuple[ReportedVisit, ...], Field(min_length=1)]


def report_text(report: Record) -> str:
    """A report as it stands in `series.json` and in the bank."""
    return json.dumps(report.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"


def read_report(text: str | bytes) -> Report:
    """A report out of its JSON.

    Raises:
        MedDiffError: it is none.
    """
    try:
        return Report.model_validate_json(text)
    except ValidationError as error:
        raise MedDiffError("This is no report of a series that MedDiff wrote, or it was changed.") from error


def write_series(visits: Sequence[SealedCase], report: Record, folder: Path, formats: Iterable[str]) -> list[Path]:
    """Writes every visit into a folder of its own, `day-000` and so on, and what belongs to the series beside them.

    All is written beside the folder's files first and then renamed, the report last: where it lies, the series is whole.

    Args:
        visits: in order of time.
        report: of the same visits, a `synthesis.series.SeriesReport`.
        formats: keys of `SERIES_FORMATS`.

    Raises:
        MedDiffError: not sealed, an unknown format, a report of other visits, a folder that holds another series or cannot be written.
        OSError: when the folder cannot be made.
    """
    wanted = list(dict.fromkeys(formats))
    if unknown := [kind for kind in wanted if kind not in SERIES_FORMATS]:
        raise MedDiffError(f"{unknown[0]!r} is no format: choose among {', '.join(SERIES_FORMATS)}.")
    told = read_report(report_text(report))
    if [visit.case.id for visit in visits] != [row.case_id for row in told.visits]:
        raise MedDiffError(f"The report of {told.series} is not of these visits: give both of one series.")
    _free(folder, told.series)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".meddiff-") as hidden:
        stage = Path(hidden)
        days = max(3, len(str(told.visits[-1].day)))
        written = []
        for visit, row in zip(visits, told.visits, strict=True):
            of_visit = [kind for kind in wanted if kind not in _WHOLE]
            written += write_case(visit, stage / f"day-{row.day:0{days}d}", of_visit)
        pictures = [visit.image for visit in visits]
        if "gif" in wanted:
            written.append(write_gif(pictures, stage / f"{told.series}.gif", 1.0))
        if "mp4" in wanted:
            from meddiff.exchange.mp4 import write_mp4

            written.append(write_mp4(pictures, stage / f"{told.series}.mp4"))
        if "csv" in wanted:
            table = table_text(told)
            written.append(write_atomic(stage / TABLE, lambda t: t.write_text(table, encoding="utf-8", newline="")))
        text = report_text(report)
        written.append(write_atomic(stage / REPORT, lambda t: t.write_text(text, encoding="utf-8")))
        return [_moved(path, folder / path.relative_to(stage)) for path in written]


def table_text(report: Report) -> str:
    """The measurements as CSV: a line a visit, areas in mm2, diameters in mm."""
    out = io.StringIO()
    rows = csv.writer(out)
    rows.writerow(COLUMNS)
    for row in report.visits:
        numbers = (row.asked_mm2, row.drawn_mm2, row.measured_mm2, row.longest_mm, row.perpendicular_mm)
        rows.writerow(
            [report.series, row.number, row.day, row.date, row.case_id, *(f"{number:.1f}" for number in numbers),
             row.rano.category, row.recist.category, row.attempts, row.status, "synthetic"]
        )  # fmt: skip
    return out.getvalue()


def _free(folder: Path, series: str) -> None:
    """Refuses a folder where another series lies: its visits would lie among these."""
    if not (folder / REPORT).exists():
        return
    try:
        there = read_report((folder / REPORT).read_bytes()).series
    except MedDiffError as error:
        raise MedDiffError(f"{folder / REPORT} is no report of MedDiff: choose another folder.") from error
    if there != series:
        raise MedDiffError(f"{folder} holds the series {there}: choose another folder for {series}.")


def _moved(path: Path, to: Path) -> Path:
    to.parent.mkdir(exist_ok=True)
    return path.replace(to)
