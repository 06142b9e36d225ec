"""A quiz to print: questions with their pictures first, the key with all feedback on pages of its own at the end."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from xml.sax.saxutils import escape

from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.lib.utils import ImageReader
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    Flowable,
    HRFlowable,
    KeepTogether,
    PageBreak,
    Paragraph,
    SimpleDocTemplate,
    Spacer,
    Table,
)

from meddiff.teaching.export.html import LINE
from meddiff.teaching.export.outline import Polygon
from meddiff.teaching.export.quiz import Picture, Question, Quiz
from meddiff.teaching.export.words import Language
from meddiff.teaching.item import FreeTextItem, OrderItem, SizeItem

CHINESE_FONT = Path(__file__).parent / "fonts" / "text-zh.ttf"
CHINESE, LATIN, BOLD = "MedDiffChinese", "Helvetica", "Helvetica-Bold"
MARGIN = 20 * mm
WIDTH = A4[0] - 2 * MARGIN
ASKED = {1: 90 * mm, 2: 80 * mm, 3: 54 * mm}  # width of a picture by how many stand in a row
IN_KEY = 60 * mm
WRITING_LINES = 4


def pdf_bytes(quiz: Quiz) -> bytes:
    """A quiz as PDF, A4; the same quiz gives the same bytes.

    Read by every PDF viewer; its fonts are in the file or among the 14 that each viewer has.
    """
    _chinese()
    buffer = io.BytesIO()
    document = SimpleDocTemplate(
        buffer, pagesize=A4, leftMargin=MARGIN, rightMargin=MARGIN, topMargin=MARGIN, bottomMargin=MARGIN,
        title=quiz.title, subject=quiz.notice, author="MedDiff", creator="MedDiff", lang=quiz.words.language, invariant=1,
    )  # fmt: skip

    def footer(canvas: Canvas, document: SimpleDocTemplate) -> None:
        page = quiz.words.page.format(document.page)
        line = Paragraph(_set(f"{quiz.notice}   {page}"), _style("footer", quiz.words.language))
        _, height = line.wrap(WIDTH, MARGIN)
        line.drawOn(canvas, MARGIN, 10 * mm - height / 2)

    document.build([*_asked(quiz), PageBreak(), *_key(quiz)], onFirstPage=footer, onLaterPages=footer)
    return buffer.getvalue()


def _asked(quiz: Quiz) -> Iterator[Flowable]:
    language = quiz.words.language
    yield Paragraph(_set(quiz.title), _style("title", language))
    rule = "_" * 24
    yield Paragraph(_set(f"{quiz.words.name} {rule}   {quiz.words.date} {rule}"), _style("text", language))
    yield Spacer(0, 6 * mm)
    for question in quiz.questions:
        yield KeepTogether(list(_question(question)))
        yield Spacer(0, 8 * mm)


def _question(question: Question) -> Iterator[Flowable]:
    language = question.words.language
    first, *others = question.item.stem.splitlines()
    yield Paragraph(_set(f"{question.number}. {first}"), _style("heading", language))
    yield from _lines([*others, question.task], language)
    across = min(len(question.views), max(ASKED))
    drawn = [_Drawn(view.picture, ASKED[across]) for view in question.views]
    yield from _rows(drawn, [view.label for view in question.views], across, language)
    yield from _lines([f"{option.letter}.  {option.text}" for option in question.options], language)
    match question.item:
        case SizeItem():
            yield from _lines(["____________ mm"], language)
        case OrderItem():
            yield from _lines([",  ".join(["______"] * len(question.views))], language)
        case FreeTextItem():
            yield from (HRFlowable(width="100%", color="grey", spaceBefore=8 * mm) for _ in range(WRITING_LINES))


def _key(quiz: Quiz) -> Iterator[Flowable]:
    yield Paragraph(_set(f"{quiz.title}: {quiz.words.key}"), _style("title", quiz.words.language))
    for question in quiz.questions:
        yield KeepTogether(list(_answer(question)))
        yield Spacer(0, 6 * mm)


def _answer(question: Question) -> Iterator[Flowable]:
    language, item = question.words.language, question.item
    yield Paragraph(
        _set(f"{question.number}. {question.words.answer.format(question.answer)}"), _style("heading", language)
    )
    yield from _lines(
        [f"{option.letter}.  {option.text}: {option.feedback}" for option in question.options if option.feedback],
        language,
    )
    yield from _headed(question.scheme, language)
    yield from _lines(item.feedback.splitlines(), language)
    drawn = [_Drawn(one.picture, IN_KEY, one.outline) for one in question.explained]
    yield from _rows(drawn, [one.caption for one in question.explained], 2, language)
    yield from _headed(question.lessons, language)
    yield from _lines([f"{item.id} v{item.version}; {', '.join(item.cases)}"], language, "small")


def _lines(lines: Iterable[str], language: Language, kind: str = "text") -> Iterator[Flowable]:
    return (Paragraph(_set(line), _style(kind, language)) for line in lines if line.strip())


def _headed(parts: Iterable[tuple[str, tuple[str, ...]]], language: Language) -> Iterator[Flowable]:
    for heading, lines in parts:
        yield Paragraph(_set(heading), _style("label", language))
        yield from _lines([f"- {line}" for line in lines], language)


def _rows(pictures: Sequence[_Drawn], captions: Sequence[str], across: int, language: Language) -> Iterator[Flowable]:
    """Pictures side by side, `across` in a row, each above its caption."""
    if not pictures:
        return
    cells: list[list[Flowable]] = [
        [picture, *_lines([caption], language, "caption")] for picture, caption in zip(pictures, captions, strict=True)
    ]
    parts = [cells[start : start + across] for start in range(0, len(cells), across)]
    rows = [[*row, *[""] * (across - len(row))] for row in parts]
    style = [("LEFTPADDING", (0, 0), (-1, -1), 0), ("VALIGN", (0, 0), (-1, -1), "TOP")]
    yield Table(rows, colWidths=[pictures[0].width + 4 * mm] * across, hAlign="LEFT", style=style)
    yield Spacer(0, 2 * mm)


class _Drawn(Flowable):
    """A sealed picture at a width in points, and an outline as lines over it."""

    def __init__(self, picture: Picture, width: float, outline: tuple[Polygon, ...] = ()) -> None:
        super().__init__()
        self.picture, self.outline = picture, outline
        columns, rows = picture.size
        self.width, self.height = width, width * rows / columns

    def wrap(self, *_: float) -> tuple[float, float]:
        return self.width, self.height

    def draw(self) -> None:
        self.canv.drawImage(ImageReader(io.BytesIO(self.picture.data)), 0, 0, self.width, self.height)
        scale = self.width / self.picture.size[0]
        self.canv.setStrokeColor(HexColor(LINE))
        self.canv.setLineWidth(1)
        for polygon in self.outline:
            path = self.canv.beginPath()
            for place, (x, y) in enumerate(polygon):
                (path.lineTo if place else path.moveTo)(x * scale, self.height - y * scale)
            path.close()
            self.canv.drawPath(path)


_SIZES = {"title": 18, "heading": 12, "label": 10, "text": 10, "caption": 9, "footer": 9, "small": 7}


@lru_cache
def _style(kind: str, language: Language) -> ParagraphStyle:
    size = _SIZES[kind]
    bold = kind in ("title", "heading", "label")
    return ParagraphStyle(
        f"{kind}-{language}", fontName=BOLD if bold else LATIN, fontSize=size, leading=size * 1.35, spaceAfter=size * 0.3,
        spaceBefore=size * 0.3 if kind == "caption" else 0,
        wordWrap="CJK" if language == "zh" else None, splitLongWords=1,
    )  # fmt: skip


@lru_cache
def _chinese() -> frozenset[int]:
    """Registers the Chinese font; the characters that are set in it: all that it has and Latin 1 has not."""
    font = TTFont(CHINESE, str(CHINESE_FONT))
    pdfmetrics.registerFont(font)
    return frozenset(code for code in font.face.charToGlyph if code > 0xFF)


def _set(text: str) -> str:
    """A text in reportlab's markup: escaped, each run of characters in the font that has them."""
    chinese = _chinese()
    runs = ((run, "".join(letters)) for run, letters in groupby(text, lambda letter: ord(letter) in chinese))
    return "".join(f'<font name="{CHINESE}">{escape(run)}</font>' if other else escape(run) for other, run in runs)
