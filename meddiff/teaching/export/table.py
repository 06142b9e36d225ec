"""Items as a table: one row an item, for spreadsheets."""

from __future__ import annotations

import csv
import io

from meddiff.teaching.export.quiz import Question, Quiz
from meddiff.teaching.item import MOST_CHOICES, LocaliseItem, SizeItem

# A cell that begins with one of these is a formula to a spreadsheet (OWASP, CSV injection).
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
LETTERS = "ABCDEF"[:MOST_CHOICES]
COLUMNS = (
    "number", "item", "version", "kind", "language", "stem", "cases", "pathology", "difficulty",
    *(f"choice {letter}" for letter in LETTERS), *(f"feedback {letter}" for letter in LETTERS),
    "answer", "tolerance_mm", "scheme", "feedback", "teaching points", "sources", "author", "notice",
)  # fmt: skip


def table_bytes(quiz: Quiz) -> bytes:
    """A quiz as CSV (RFC 4180) in UTF-8 with byte order mark; the same quiz gives the same bytes.

    Read by Excel, LibreOffice Calc, pandas and R. Several values in one cell stand on a line each. A text that a spreadsheet
    would take for a formula has an apostrophe before it.
    """
    lines = io.StringIO()
    writer = csv.DictWriter(lines, COLUMNS, restval="", lineterminator="\r\n")
    writer.writeheader()
    for question in quiz.questions:
        writer.writerow({name: safe(value) for name, value in _row(question).items()})
    return lines.getvalue().encode("utf-8-sig")


def _row(question: Question) -> dict[str, str | int | float]:
    item = question.item
    scheme = [line for heading, lines in question.scheme for line in (heading, *lines)]
    return {
        "number": question.number,
        "item": item.id,
        "version": item.version,
        "kind": item.kind.value,
        "language": item.language,
        "stem": item.stem,
        "cases": "\n".join(item.cases),
        "pathology": item.pathology,
        "difficulty": "" if item.difficulty is None else item.difficulty,
        **{f"choice {option.letter}": option.text for option in question.options},
        **{f"feedback {option.letter}": option.feedback for option in question.options},
        "answer": question.answer,
        "tolerance_mm": item.tolerance_mm if isinstance(item, LocaliseItem | SizeItem) else "",
        "scheme": "\n".join(scheme),
        "feedback": item.feedback,
        "teaching points": "\n".join(item.points),
        "sources": "\n".join(item.sources),
        "author": item.author,
        "notice": question.words.notice,
    }


def safe(value: str | int | float) -> str | int | float:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
