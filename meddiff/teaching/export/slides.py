"""A quiz as slides: each item on a slide, its answer on the next, and all that is said of it in the speaker's notes."""

from __future__ import annotations

import io
import textwrap
import zipfile
from collections.abc import Iterator, Sequence
from datetime import datetime
from math import ceil, sqrt
from typing import Any

from pptx import Presentation
from pptx.dml.color import RGBColor
from pptx.util import Inches, Pt

from meddiff.teaching.export.archive import packed
from meddiff.teaching.export.html import LINE
from meddiff.teaching.export.outline import Polygon
from meddiff.teaching.export.quiz import Picture, Question, Quiz

WIDE, HIGH = 13.333, 7.5  # inches: 16 to 9
PICTURES = (0.5, 1.25, 6.9, 5.5)  # left, top, width, height in inches
BESIDE = (7.6, 1.25, 5.3, 5.5)  # words beside pictures
ALONE = (0.7, 1.25, 11.9, 5.5)  # words alone
SIZES = (20, 18, 16, 14, 12)  # points, the largest that fits
LEADING = 1.25
PIECE = 300  # characters of a long paragraph that stay together
TITLE_SLIDE, TITLE_ONLY = 0, 5  # layouts of the default template

Box = tuple[float, float, float, float]
Shown = tuple[Picture, str, tuple[Polygon, ...]]  # a picture, its caption, an outline to draw over it


def slides_bytes(quiz: Quiz) -> bytes:
    """A quiz as PowerPoint presentation (.pptx); the same quiz gives the same bytes.

    Read by PowerPoint, LibreOffice Impress, Keynote and Google Slides.
    """
    show = Presentation()
    show.slide_width, show.slide_height = Inches(WIDE), Inches(HIGH)
    told = show.core_properties
    told.title, told.subject, told.author, told.keywords = quiz.title, quiz.notice, "MedDiff", "synthetic"
    told.created = told.modified = datetime(1980, 1, 1)
    first = _slide(show, quiz, quiz.title, TITLE_SLIDE)
    first.placeholders[1].text = quiz.notice
    for question in quiz.questions:
        _asked(show, quiz, question)
        _answered(show, quiz, question)
    buffer = io.BytesIO()
    show.save(buffer)
    with zipfile.ZipFile(buffer) as archive:
        return packed({name: archive.read(name) for name in archive.namelist()})


def _asked(show: Any, quiz: Quiz, question: Question) -> None:
    title = question.words.question.format(question.number)
    lines = [*question.item.stem.splitlines(), question.task]
    lines += [f"{option.letter}.  {option.text}" for option in question.options]
    shown: list[Shown] = [(view.picture, view.label, ()) for view in question.views]
    _pages(show, quiz, title, lines, shown, notes=_told(question), again=question.words.again)


def _answered(show: Any, quiz: Quiz, question: Question) -> None:
    title = f"{question.words.question.format(question.number)}: {question.words.key}"
    shown: list[Shown] = [(one.picture, one.caption, one.outline) for one in question.explained]
    _pages(show, quiz, title, _told(question), shown, notes=[], again=question.words.again)


def _told(question: Question) -> list[str]:
    """All that is said after the answer, one paragraph a line."""
    item = question.item
    lines = [question.words.answer.format(question.answer)]
    lines += [f"{option.letter}.  {option.text}: {option.feedback}" for option in question.options if option.feedback]
    for heading, under in question.scheme:
        lines += [heading, *(f"- {line}" for line in under)]
    lines += item.feedback.splitlines()
    for heading, under in question.lessons:
        lines += [heading, *(f"- {line}" for line in under)]
    return [*lines, f"{item.id} v{item.version}; {', '.join(item.cases)}"]


def _pages(
    show: Any, quiz: Quiz, title: str, lines: Sequence[str], shown: Sequence[Shown], notes: list[str], again: str
) -> None:
    """A slide with pictures and words; words that do not fit go on on slides of their own."""
    kept = [piece for line in lines for piece in textwrap.wrap(line, PIECE)]
    box = BESIDE if shown else ALONE
    slide = _slide(show, quiz, title, TITLE_ONLY)
    _pictures(slide, shown)
    if notes:
        slide.notes_slide.notes_text_frame.text = "\n".join(notes)
    for place, page in enumerate(_filled(kept, box)):
        if place:
            slide, box = _slide(show, quiz, f"{title} {again}", TITLE_ONLY), ALONE
        _words(slide, box, page)


def _filled(lines: list[str], first: Box) -> Iterator[list[str]]:
    """Lines by slide: as many as fit at the smallest size."""
    box = first
    page: list[str] = []
    for line in lines:
        if page and not _fits([*page, line], box, SIZES[-1]):
            yield page
            page, box = [], ALONE
        page.append(line)
    yield page


def _fits(lines: Sequence[str], box: Box, size: int) -> bool:
    """Whether lines fit a box, by an estimate: a Latin letter is half as wide as it is high, a Chinese one as wide."""
    across = box[2] * 72 / size * 2 * 0.95
    rows = sum(ceil(sum(1 if letter.isascii() else 2 for letter in line) / across) for line in lines)
    return rows * size * LEADING <= box[3] * 72


def _slide(show: Any, quiz: Quiz, title: str, layout: int) -> Any:
    slide = show.slides.add_slide(show.slide_layouts[layout])
    slide.shapes.title.text = title
    if layout == TITLE_ONLY:  # the template's title is made for 4 to 3
        _place(slide.shapes.title, (0.5, 0.3, WIDE - 1, 0.8))
        slide.shapes.title.text_frame.paragraphs[0].runs[0].font.size = Pt(28)
    else:
        _place(slide.shapes.title, (1, 2, WIDE - 2, 1.5))
        _place(slide.placeholders[1], (1, 4, WIDE - 2, 1))
    _words(slide, (0.5, HIGH - 0.5, WIDE - 1, 0.4), [quiz.notice], (11,))
    return slide


def _words(slide: Any, box: Box, lines: Sequence[str], sizes: Sequence[int] = SIZES) -> None:
    frame = slide.shapes.add_textbox(*(Inches(value) for value in box)).text_frame
    frame.word_wrap = True
    size = next((size for size in sizes if _fits(lines, box, size)), sizes[-1])
    for place, line in enumerate(lines):
        paragraph = frame.paragraphs[0] if place == 0 else frame.add_paragraph()
        paragraph.text = line
        paragraph.font.size = Pt(size)


def _pictures(slide: Any, shown: Sequence[Shown]) -> None:
    """Pictures in rows and columns as equal as can be, each above its caption."""
    if not shown:
        return
    left, top, width, height = PICTURES
    columns = ceil(sqrt(len(shown)))
    rows = ceil(len(shown) / columns)
    caption = 0.35 if any(words for _, words, _ in shown) else 0.0
    for place, (picture, words, outline) in enumerate(shown):
        wide, high = picture.size
        scale = min((width / columns - 0.1) / wide, (height / rows - caption - 0.1) / high)  # inches a pixel
        x, y = left + place % columns * width / columns, top + place // columns * height / rows
        drawn = slide.shapes.add_picture(
            io.BytesIO(picture.data), Inches(x), Inches(y), Inches(wide * scale), Inches(high * scale)
        )
        _describe(drawn, picture.alternative)
        for polygon in outline:
            _line(slide, [(Inches(x + px * scale), Inches(y + py * scale)) for px, py in polygon], words)
        if words:
            _words(slide, (x, y + high * scale, width / columns - 0.1, caption), [words], (12, 11, 10))


def _line(slide: Any, points: list[tuple[int, int]], words: str) -> None:
    builder = slide.shapes.build_freeform(*points[0])
    builder.add_line_segments(points[1:], close=True)
    shape = builder.convert_to_shape()
    shape.fill.background()
    shape.line.color.rgb = RGBColor.from_string(LINE.removeprefix("#").upper())
    shape.line.width = Pt(1.5)
    shape.shadow.inherit = False
    _describe(shape, words)


def _place(shape: Any, box: Box) -> None:
    shape.left, shape.top, shape.width, shape.height = (Inches(value) for value in box)


def _describe(shape: Any, words: str) -> None:
    """What is read out to whoever cannot see it (ECMA-376, 20.1.2.2.8, `descr`)."""
    shape._element.xpath(".//p:cNvPr")[0].set("descr", words)
