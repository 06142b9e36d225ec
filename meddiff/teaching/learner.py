"""Learners: pseudonyms that are made, exported and erased.

A learner is a random id and, if they like, a name of their own choosing. Nothing else is asked, and nothing here leads to a
person. All that is kept of a learner can be had as one JSON, and can be erased: answers too, wholly, not merely their name.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from contextlib import closing
from typing import Annotated

from pydantic import Field, JsonValue
from sqlalchemy import Engine, delete, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from meddiff.bank.review import now, plain
from meddiff.case import MedDiffError, Record
from meddiff.teaching.answers import Answers, Given, learner_row, read
from meddiff.teaching.store import Questions
from meddiff.teaching.tables import AnswerRow, CardRow, LearnerRow, OpenRow, SittingRow

LONGEST_NAME = 80


class Learner(Record):
    """A pseudonym. `id` is `LR-` and 16 hex digits, random; `name` is of their choice or empty; `joined` ISO 8601, UTC."""

    id: Annotated[str, Field(pattern=r"^LR-[0-9a-f]{16}$")]
    name: Annotated[str, Field(max_length=LONGEST_NAME)] = ""
    joined: str


class PracticeCard(Record):
    """What spaced repetition knows of an item for a learner; `card` is fsrs's own JSON, times are ISO 8601 in UTC."""

    item: str
    card: dict[str, JsonValue]
    due: str
    reviewed: str
    reviews: int


class Sitting(Record):
    """That a learner began a quiz."""

    quiz: str
    version: int
    began: str


class LearnerData(Record):
    """All that is kept of a learner; `open` is the id of the item that lies before them in practice, or empty."""

    learner: Learner
    exported: str
    answers: tuple[Given, ...]
    sittings: tuple[Sitting, ...]
    practice: tuple[PracticeCard, ...]
    open: str


class Erased(Record):
    """How much was erased with a learner."""

    answers: int
    sittings: int
    practice: int


def new_learner(questions: Questions, name: str = "") -> Learner:
    """Makes a pseudonym.

    Args:
        name: to be shown, at most 80 letters; need not be, and should not be, a real one.

    Raises:
        MedDiffError: a name that is too long.
    """
    learner = Learner(id="LR-" + secrets.token_hex(8), name=_shown(name), joined=now())
    questions.write(lambda session: session.add(LearnerRow(**learner.model_dump())))
    return learner


def open_learner(questions: Questions, learner_id: str) -> Learner:
    """A learner of their id.

    Raises:
        MedDiffError: there is none, or they were erased.
    """
    return questions.read(lambda session: _learner(learner_row(session, learner_id)))


def rename_learner(questions: Questions, learner_id: str, name: str) -> Learner:
    """Gives a learner another name to be shown, or none.

    Raises:
        MedDiffError: an unknown learner, or a name that is too long.
    """
    name = _shown(name)

    def act(session: Session) -> Learner:
        row = learner_row(session, learner_id)
        row.name = name
        return _learner(row)

    return questions.write(act)


def export_learner(questions: Questions, learner_id: str) -> str:
    """All that is kept of a learner, the JSON of a `LearnerData`.

    Raises:
        MedDiffError: an unknown learner.
    """

    def act(session: Session) -> LearnerData:
        learner = _learner(learner_row(session, learner_id))
        cards = session.scalars(select(CardRow).where(CardRow.learner == learner_id).order_by(CardRow.item))
        sittings = session.scalars(
            select(SittingRow).where(SittingRow.learner == learner_id).order_by(SittingRow.began)
        )
        lies = session.get(OpenRow, learner_id)
        return LearnerData(
            learner=learner,
            exported=now(),
            answers=read(session, Answers(learner=learner_id)),
            sittings=tuple(Sitting(quiz=row.quiz, version=row.version, began=row.began) for row in sittings),
            practice=tuple(_card(row) for row in cards),
            open=lies.item if lies else "",
        )

    return questions.read(act).model_dump_json(indent=1)


def erase_learner(questions: Questions, learner_id: str) -> Erased:
    """Erases a learner and all that is kept of them. What items' statistics counted of them is gone as well.

    In SQLite the freed pages are overwritten with zeros and the write-ahead log is emptied (unless somebody reads at that
    moment; it is then overwritten by the next writes). PostgreSQL keeps dead rows until its next vacuum, and both keep them in
    backups.

    Raises:
        MedDiffError: an unknown learner.
    """

    def act(session: Session) -> Erased:
        learner_row(session, learner_id, lock=True)
        if questions.engine.dialect.name == "sqlite":
            session.connection().exec_driver_sql("PRAGMA secure_delete=ON")
        counts = {}
        for name, table in (("open", OpenRow), ("practice", CardRow), ("sittings", SittingRow), ("answers", AnswerRow)):
            mine = table.learner == learner_id
            counts[name] = session.scalar(select(func.count()).select_from(table).where(mine)) or 0
            session.execute(delete(table).where(mine))
        session.execute(delete(LearnerRow).where(LearnerRow.id == learner_id))
        return Erased(answers=counts["answers"], sittings=counts["sittings"], practice=counts["practice"])

    erased = questions.write(act)
    if questions.engine.dialect.name == "sqlite":
        _empty_log(questions.engine)
    return erased


def _empty_log(engine: Engine) -> None:
    """Moves SQLite's write-ahead log into the database; older pages do not stay in it."""
    try:
        with closing(engine.raw_connection()) as connection:  # not begun: a checkpoint runs in no transaction
            connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except (SQLAlchemyError, sqlite3.Error):  # the learner is erased all the same
        pass


def _shown(name: str) -> str:
    name = plain(" ".join(name.split()))
    if len(name) > LONGEST_NAME:
        raise MedDiffError(f"A name to be shown has at most {LONGEST_NAME} letters.")
    return name


def _learner(row: LearnerRow) -> Learner:
    return Learner(id=row.id, name=row.name, joined=row.joined)


def _card(row: CardRow) -> PracticeCard:
    return PracticeCard(
        item=row.item, card=json.loads(row.card), due=row.due, reviewed=row.reviewed, reviews=row.reviews
    )
