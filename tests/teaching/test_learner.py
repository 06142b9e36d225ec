"""A learner is a pseudonym whose data can be had and can be erased, wholly."""

import json
import sqlite3

import pytest
from sqlalchemy import event, inspect, text

from meddiff.case import MedDiffError
from meddiff.teaching.answers import Answers
from meddiff.teaching.learner import (
    LearnerData,
    erase_learner,
    export_learner,
    new_learner,
    open_learner,
    rename_learner,
)
from meddiff.teaching.practice import answer_turn, next_turn
from meddiff.teaching.quiz import Quiz, new_quiz_id, save_quiz, sit
from meddiff.teaching.store import Questions
from tests.teaching.store_support import answer_to, approve, made


@pytest.fixture
def items(questions):
    return approve(questions, [made(1), made(2), made(3)])


def busy(questions, items, name: str) -> str:
    """A learner who has done all that can be done."""
    learner = new_learner(questions, name).id
    quiz = save_quiz(questions, Quiz(id=new_quiz_id(), title="Heads", items=tuple(item.id for item in items)))
    sheet = sit(questions, learner, quiz.id)
    told = json.dumps({"text": f"answer of {name}"})
    questions.answer(answer_to(sheet.items[0], learner, quiz=quiz.id, quiz_version=1, answer=told))
    answer_turn(questions, answer_to(next_turn(questions, learner).item, learner, answer=told, confidence=3))
    assert next_turn(questions, learner)
    return learner


def everything(questions) -> dict[str, str]:
    """All rows of all tables, as text."""
    with questions.engine.connect() as connection:
        return {
            table: str(connection.execute(text(f'SELECT * FROM "{table}"')).all())
            for table in inspect(connection).get_table_names()
        }


def test_learners_have_random_ids_and_a_name_only_if_they_like(questions):
    made_ones = [new_learner(questions) for _ in range(5)] + [new_learner(questions, "  Blue   Whale ")]
    assert len({learner.id for learner in made_ones}) == 6
    assert [learner.name for learner in made_ones] == ["", "", "", "", "", "Blue Whale"]
    assert open_learner(questions, made_ones[-1].id) == made_ones[-1]
    assert rename_learner(questions, made_ones[-1].id, "").name == ""
    with pytest.raises(MedDiffError, match="at most 80 letters"):
        new_learner(questions, "a" * 81)


def test_all_that_is_kept_of_a_learner_comes_in_one_json(questions, items):
    learner = busy(questions, items, "Blue Whale")
    busy(questions, items, "Red Fox")
    text_of_it = export_learner(questions, learner)
    data = LearnerData.model_validate_json(text_of_it)
    assert data.learner == open_learner(questions, learner)
    assert data.answers == questions.answers(Answers(learner=learner)) and len(data.answers) == 2
    assert len(data.sittings) == 1 and len(data.practice) == 1
    assert data.practice[0].card["last_review"] and data.open
    assert "Red Fox" not in text_of_it


def test_an_erased_learner_is_nowhere_and_the_others_stay(questions, items):
    learner, other = busy(questions, items, "Blue Whale"), busy(questions, items, "Red Fox")
    before = export_learner(questions, other)
    held = {table for table, rows in everything(questions).items() if learner in rows}
    assert held == {"learners", "answers", "sittings", "practice_cards", "practice_open"}
    erased = erase_learner(questions, learner)
    assert (erased.answers, erased.sittings, erased.practice) == (2, 1, 1)
    assert not any(learner in rows or "Blue Whale" in rows for rows in everything(questions).values())
    after = json.loads(export_learner(questions, other))
    assert after | {"exported": ""} == json.loads(before) | {"exported": ""}
    for act in (open_learner, export_learner, erase_learner, next_turn):
        with pytest.raises(MedDiffError, match="not known here, or was erased"):
            act(questions, learner)


def test_an_erased_learner_is_not_in_the_files_of_the_database_either(tmp_path):
    questions = Questions(tmp_path)

    @event.listens_for(questions.engine, "connect")
    def _keep_freed_pages(connection, _record):
        connection.execute("PRAGMA secure_delete=OFF")  # as SQLite is where it was not built otherwise

    other = sqlite3.connect(tmp_path / "bank.sqlite")  # as long as it is open, the log stays
    assert other.execute("SELECT count(*) FROM learners").fetchone() == (0,)
    items = approve(questions, [made(1), made(2), made(3)])
    learner = busy(questions, items, "Blue Whale")

    def found() -> bool:
        held = b"".join(path.read_bytes() for path in tmp_path.glob("bank.sqlite*"))
        return b"Blue Whale" in held or learner.encode() in held

    assert found()
    erase_learner(questions, learner)
    assert not found()
    other.close()
