"""Words and pictures as HTML, for formats whose texts are HTML: Moodle and Anki. Every word is escaped."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from html import escape

from meddiff.teaching.export.outline import Polygon
from meddiff.teaching.export.quiz import Explained, Picture, Question, View

LINE = "#ffb000"  # of the outline: seen on black and on white, by the colour-blind too

Address = Callable[[Picture], str]


def paragraphs(text: str) -> str:
    """A text as paragraphs, one a line."""
    return "".join(f"<p>{escape(line.strip())}</p>" for line in text.splitlines() if line.strip())


def lists(parts: Iterable[tuple[str, tuple[str, ...]]]) -> str:
    """Headings with lines."""
    return "".join(
        f"<p><strong>{escape(heading)}</strong></p><ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"
        for heading, lines in parts
    )


def views(shown: Iterable[View], address: Address) -> str:
    """The pictures that are asked about, side by side."""
    return "".join(_framed(_image(view.picture, address), view.label) for view in shown)


def explained(shown: Iterable[Explained], address: Address) -> str:
    """The pictures of the feedback, the outline as lines over its picture: the picture itself stays as it was sealed."""
    return "".join(
        _framed(_image(one.picture, address) + _lines(one.outline, one.picture), one.caption) for one in shown
    )


def closing(question: Question, address: Address) -> str:
    """What everybody is told after the answer."""
    return (
        paragraphs(question.words.answer.format(question.answer))
        + paragraphs(question.item.feedback)
        + explained(question.explained, address)
        + lists(question.lessons)
    )


def _image(picture: Picture, address: Address) -> str:
    width, height = picture.size
    source, alternative = escape(address(picture)), escape(picture.alternative)
    style = "display:block;max-width:100%;height:auto"  # narrower on a phone, and the outline with it
    return f'<img src="{source}" alt="{alternative}" width="{width}" height="{height}" style="{style}">'


def _lines(outline: tuple[Polygon, ...], picture: Picture) -> str:
    if not outline:
        return ""
    width, height = picture.size
    drawn = "".join(
        f'<polygon points="{" ".join(f"{x},{y}" for x, y in polygon)}" fill="none" stroke="{LINE}"/>'
        for polygon in outline
    )
    style = "position:absolute;left:0;top:0;width:100%;height:100%"
    return f'<svg viewBox="0 0 {width} {height}" style="{style}">{drawn}</svg>'


def _framed(inside: str, caption: str) -> str:
    held = f'<div style="display:inline-block;position:relative">{inside}</div>'
    below = f"<div>{escape(caption)}</div>" if caption else ""
    return f'<div style="display:inline-block;margin:4px">{held}{below}</div>'
