"""Anki decks, opened as what they are: a ZIP with a database of notes, models and decks."""

import io
import json
import re
import sqlite3
import zipfile

import pytest

from meddiff.teaching.export.anki import anki_bytes
from meddiff.teaching.export.quiz import read_quiz
from tests.teaching.export.quiz_support import NOTICE, TITLE, items, provenance_of

NOW = 1_800_000_000.0


class Deck:
    """A package: notes by GUID as (model, modified, fields), the decks' and models' ids, media by name."""

    def __init__(self, data: bytes) -> None:
        archive = zipfile.ZipFile(io.BytesIO(data))
        database = sqlite3.connect(":memory:")
        database.deserialize(archive.read("collection.anki2"))
        rows = database.execute("SELECT guid, mid, mod, flds FROM notes").fetchall()
        self.notes = {guid: (model, modified, fields.split("\x1f")) for guid, model, modified, fields in rows}
        assert len(self.notes) == len(rows)
        models, decks = database.execute("SELECT models, decks FROM col").fetchone()
        self.models, self.decks = json.loads(models), json.loads(decks)
        self.cards = database.execute("SELECT did, due FROM cards ORDER BY due").fetchall()
        media = json.loads(archive.read("media"))
        assert len(set(media.values())) == len(media)
        self.media = {name: archive.read(number) for number, name in media.items()}
        database.close()


def imported(collection: dict, deck: Deck) -> None:
    """What Anki's manual says of a packaged deck: a note is known by its GUID, and a newer one of its own type replaces it."""
    for guid, (model, modified, fields) in deck.notes.items():
        old = collection.get(guid)
        if old is None or (old[0] == model and old[1] < modified):
            collection[guid] = (model, modified, fields)


@pytest.fixture(scope="module")
def deck(quiz) -> Deck:
    return Deck(anki_bytes(quiz, NOW))


def test_a_second_import_updates_what_was_edited_and_duplicates_nothing(known, deck):
    asked = items(known)
    asked[0] = asked[0].model_copy(update={"stem": "Edited", "version": 2})
    again = Deck(anki_bytes(read_quiz(TITLE, asked, known.__getitem__), NOW + 60))
    collection: dict = {}
    imported(collection, deck)
    imported(collection, again)
    assert len(collection) == len(asked)
    assert "Edited" in collection[asked[0].id][2][1]
    assert again.models.keys() == deck.models.keys() and again.decks.keys() == deck.decks.keys()


def test_an_older_export_does_not_undo_an_edit(known, deck, quiz):
    collection: dict = {}
    imported(collection, deck)
    imported(collection, Deck(anki_bytes(quiz, NOW - 60)))
    assert {modified for _, modified, _ in collection.values()} == {int(NOW)}


def test_ids_are_fixed_for_ever(deck, quiz):
    assert list(deck.notes) == [question.item.id for question in quiz.questions]
    assert {model for model, _, _ in deck.notes.values()} == {2005154825}
    assert [did for did, _ in deck.cards] == [2065211620] * len(quiz.questions)
    assert deck.decks["2065211620"]["name"] == TITLE


def test_another_title_is_another_deck_of_the_same_notes(known, deck):
    other = Deck(anki_bytes(read_quiz("Another", items(known), known.__getitem__), NOW))
    assert other.notes.keys() == deck.notes.keys() and {did for did, _ in other.cards} != {did for did, _ in deck.cards}


def test_media_are_the_sealed_pictures_that_the_cards_show(deck):
    shown = {name for _, _, fields in deck.notes.values() for name in re.findall('src="([^"]+)"', "".join(fields))}
    assert shown == set(deck.media) and len(shown) == 10
    for name, data in deck.media.items():
        assert len(name) == 28
        provenance_of(data)


def test_the_front_asks_and_the_back_answers(deck, quiz, known):
    for question in quiz.questions:
        _, _, (item, front, back, notice) = deck.notes[question.item.id]
        assert item == question.item.id and notice in (NOTICE, "合成图像，不得用于诊断。")
        assert (
            "<svg" not in front
            and "Answer" not in front
            and not any(one.picture.name in front for one in question.explained if not one.outline)
        )
        assert all(one.picture.name in back for one in question.explained)
    first = deck.notes[quiz.questions[0].item.id][2]
    assert "<script" not in first[1] and "&lt;script&gt;" in first[1]
    assert '<li class="right">brain abscess &lt;b&gt;<p>Its ring is thin' in first[2]
    assert "Look at the rim." in first[2] and first[2].count("<polygon") == 1


def test_the_same_quiz_at_the_same_time_is_the_same_file(quiz):
    assert anki_bytes(quiz, NOW) == anki_bytes(quiz, NOW)
