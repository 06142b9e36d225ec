"""Anki decks (.apkg): a card an item, picture and question in front, answer, feedback and the pictures of the feedback behind.

What makes a second import update and not duplicate: a note's GUID is its item's id, the ids of the note type and of the deck
come from hashes of fixed names and of the title, and each export is dated, so that Anki takes the newer one (Anki manual,
Importing, Packaged decks: notes are matched by GUID and note type, and replaced by newer ones).
"""

from __future__ import annotations

import hashlib
import itertools
import json
import sqlite3
import time
from html import escape

import genanki

from meddiff.teaching.export import html
from meddiff.teaching.export.archive import packed
from meddiff.teaching.export.quiz import Picture, Question, Quiz

# Another set of fields needs another name: Anki updates notes of one note type only.
NOTE_TYPE = "MedDiff question 1"
FIELDS = ("Item", "Question", "Answer", "Notice")
FRONT = '{{Question}}<p class="notice">{{Notice}}</p>'
BACK = '{{FrontSide}}<hr id="answer">{{Answer}}'
STYLE = """
.card { font-family: sans-serif; font-size: 18px; text-align: left; max-width: 46em; margin: auto; }
.notice { font-size: 13px; opacity: 0.7; }
.right { font-weight: bold; }
"""


def anki_bytes(quiz: Quiz, now: float | None = None) -> bytes:
    """A quiz as Anki package; the same quiz at the same time gives the same bytes.

    Read by Anki 2.1 and later, AnkiDroid and AnkiMobile: File, Import.

    Args:
        now: seconds since 1970; default the clock's. A later export wins over an earlier one.
    """
    made = time.time() if now is None else now
    deck = genanki.Deck(_number(f"deck {quiz.title}"), quiz.title.replace("::", ":"), html.paragraphs(quiz.notice))
    kind = genanki.Model(
        _number(NOTE_TYPE), NOTE_TYPE, fields=[{"name": name} for name in FIELDS],
        templates=[{"name": "Question", "qfmt": FRONT, "afmt": BACK}], css=STYLE,
    )  # fmt: skip
    for question in quiz.questions:
        deck.add_note(_note(question, kind))
    # genanki's own writer leaves its temporary database behind, and dates the members of the ZIP.
    with sqlite3.connect(":memory:") as connection:
        genanki.Package(deck).write_to_db(connection.cursor(), made, itertools.count(int(made * 1000)))
        connection.commit()
        collection = connection.serialize()
    connection.close()
    files = quiz.files
    names = json.dumps({str(place): name for place, name in enumerate(files)})
    pictures = {str(place): data for place, data in enumerate(files.values())}
    return packed({"collection.anki2": collection, "media": names.encode(), **pictures})


def _note(question: Question, kind: genanki.Model) -> genanki.Note:
    item = question.item
    tags = [tag.replace(" ", "_") for tag in ("MedDiff", "synthetic", item.kind.value, item.pathology) if tag]
    return genanki.Note(
        model=kind, guid=item.id, due=question.number, tags=tags, sort_field=item.id,
        fields=[item.id, _front(question), _back(question), escape(question.words.notice)],
    )  # fmt: skip


def _front(question: Question) -> str:
    choices = "".join(f"<li>{escape(option.text)}</li>" for option in question.options)
    return (
        html.paragraphs(question.item.stem)
        + html.views(question.views, _address)
        + (f'<ol type="A">{choices}</ol>' if choices else html.paragraphs(question.task))
    )


def _back(question: Question) -> str:
    rows = "".join(
        f'<li class="{_KIND[option.right]}">{escape(option.text)}{html.paragraphs(option.feedback)}</li>'
        for option in question.options
    )
    choices = f'<ol type="A">{rows}</ol>' if rows else ""
    return html.closing(question, _address) + choices + html.lists(question.scheme)


_KIND = {True: "right", False: "other"}


def _address(picture: Picture) -> str:
    return picture.name


def _number(name: str) -> int:
    """The id of a name: 2^30 to 2^31 - 1, as genanki's manual asks for."""
    return int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) % 2**30 + 2**30
