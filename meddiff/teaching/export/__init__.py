"""Quizzes out to course systems, as cards, on paper and as slides: approved items, and pictures through the one door alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from meddiff.case import MedDiffError
from meddiff.exchange.atomic import write_atomic
from meddiff.teaching.export.anki import anki_bytes
from meddiff.teaching.export.moodle import moodle_bytes
from meddiff.teaching.export.pdf import pdf_bytes
from meddiff.teaching.export.qti import qti21_bytes, qti30_bytes
from meddiff.teaching.export.quiz import CaseOf, Quiz, read_quiz
from meddiff.teaching.export.slides import slides_bytes
from meddiff.teaching.export.table import table_bytes
from meddiff.teaching.item import Item

__all__ = ["FORMATS", "Format", "export_quiz"]

LONGEST_NAME = 60


@dataclass(frozen=True)
class Format:
    """One way out: how its files' names end, what it is, and what writes it."""

    ending: str
    about: str
    write: Callable[[Quiz], bytes]


FORMATS: dict[str, Format] = {
    "moodle": Format("-moodle.xml", "Moodle XML, pictures inside", moodle_bytes),
    "qti21": Format("-qti21.zip", "IMS QTI 2.1 package", qti21_bytes),
    "qti30": Format("-qti30.zip", "IMS QTI 3.0 package", qti30_bytes),
    "anki": Format(".apkg", "Anki deck; imported again, it updates", anki_bytes),
    "pdf": Format(".pdf", "PDF to print, key on the last pages", pdf_bytes),
    "slides": Format(".pptx", "PowerPoint, an item a slide, answers on the next and in the notes", slides_bytes),
    "table": Format(".csv", "CSV, an item a row", table_bytes),
}


def export_quiz(title: str, items: Sequence[Item], case_of: CaseOf, folder_or_file: str | Path, format: str) -> Path:
    """Writes a quiz in one format; what reads it stands at the format's own writer.

    Args:
        case_of: the sealed case of an id, `Bank.open` for one.
        folder_or_file: a name with the format's ending is the file; anything else a folder, in which the file gets the
            title's name. A file that is there is replaced.
        format: key of `FORMATS`.

    Raises:
        MedDiffError: an unknown format, an item that is not approved, a case that cannot be had or is not sealed (see
            `read_quiz`), or the file cannot be written; nothing half-written remains.
    """
    if format not in FORMATS:
        raise MedDiffError(f"{format!r} is no format of a quiz: choose among {', '.join(FORMATS)}.")
    quiz, chosen = read_quiz(title, items, case_of), FORMATS[format]
    path = Path(folder_or_file)
    if path.suffix.lower() != f".{chosen.ending.rpartition('.')[2]}" or path.is_dir():
        path = path / f"{_name(quiz.title)}{chosen.ending}"
    data = chosen.write(quiz)
    return write_atomic(path, lambda temporary: temporary.write_bytes(data))


def _name(title: str) -> str:
    """A title as a file's name: letters of any alphabet and digits, a hyphen for the rest."""
    return re.sub(r"\W+", "-", title)[:LONGEST_NAME].strip("-_") or "quiz"
