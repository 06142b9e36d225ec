"""The tables of teaching, in the bank's database beside the bank's own.

| table | one row is |
|---|---|
| `items` | an item as it stands: its newest version, its state, what it is searched by |
| `item_cases` | one case that an item shows |
| `item_versions` | one wording of an item, and when it was approved; never changed otherwise |
| `item_history` | one change of an item: who, when, what, why |
| `quizzes`, `quiz_versions` | the same for quizzes |
| `learners` | a pseudonym |
| `answers` | one answer; rows are only ever added, until their learner is erased |
| `sittings` | which version of a quiz a learner began, and when |
| `practice_cards` | what spaced repetition knows of one learner and one item, in fsrs's own JSON |
| `practice_open` | the item that lies before a learner |
| `accounts` | somebody who may log in |
| `teaching_schema` | the number of this layout |

The layout has a number of its own: the bank's does not change with it. A database of a newer layout is refused.
"""

from __future__ import annotations

import json

from sqlalchemy import (
    Boolean,
    Connection,
    Engine,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    String,
    Text,
    UniqueConstraint,
    insert,
    inspect,
    select,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from meddiff.bank.tables import bring_to

SCHEMA = 2  # 2: `item_cases`, `accounts`
_MIGRATING = 0x6D656465  # advisory lock of PostgreSQL, beside the bank's


class Base(DeclarativeBase):
    """Of all tables of teaching."""


class ItemRow(Base):
    """One item as it stands."""

    __tablename__ = "items"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    version: Mapped[int] = mapped_column(Integer)  # the newest
    state: Mapped[str] = mapped_column(String(16), index=True)
    kind: Mapped[str] = mapped_column(String(16), index=True)
    pathology: Mapped[str] = mapped_column(String(64), index=True)  # empty: normal
    language: Mapped[str] = mapped_column(String(8))
    difficulty: Mapped[float | None] = mapped_column(Float)  # 0 to 1; changes without a new version
    words: Mapped[str] = mapped_column(Text)  # all that a search for text looks at
    record: Mapped[str] = mapped_column(Text)
    changed: Mapped[str] = mapped_column(String(32))  # ISO 8601, UTC, as all times here
    who: Mapped[str] = mapped_column(String(200))


class ItemCaseRow(Base):
    """One case that an item shows; an item stands for its cases, so that this never changes."""

    __tablename__ = "item_cases"
    item_id: Mapped[str] = mapped_column(ForeignKey("items.id"), primary_key=True)
    case_id: Mapped[str] = mapped_column(String(200), primary_key=True, index=True)


class ItemVersionRow(Base):
    """One wording of an item."""

    __tablename__ = "item_versions"
    item_id: Mapped[str] = mapped_column(ForeignKey("items.id"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    record: Mapped[str] = mapped_column(Text)
    approved: Mapped[str] = mapped_column(String(32))  # when first; empty: never, so no learner has seen it


class ItemHistoryRow(Base):
    """One change of an item."""

    __tablename__ = "item_history"
    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    item_id: Mapped[str] = mapped_column(ForeignKey("items.id"), index=True)
    version: Mapped[int] = mapped_column(Integer)
    at: Mapped[str] = mapped_column(String(32))
    who: Mapped[str] = mapped_column(String(200))
    what: Mapped[str] = mapped_column(String(16))  # written, edited, approved, retired
    why: Mapped[str] = mapped_column(Text)


class QuizRow(Base):
    """One quiz as it stands."""

    __tablename__ = "quizzes"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    version: Mapped[int] = mapped_column(Integer)
    title: Mapped[str] = mapped_column(String(200))
    changed: Mapped[str] = mapped_column(String(32), index=True)
    who: Mapped[str] = mapped_column(String(200))
    deleted: Mapped[str] = mapped_column(String(32), default="")  # when; empty: it is not


class QuizVersionRow(Base):
    """One version of a quiz."""

    __tablename__ = "quiz_versions"
    quiz_id: Mapped[str] = mapped_column(ForeignKey("quizzes.id"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    record: Mapped[str] = mapped_column(Text)
    at: Mapped[str] = mapped_column(String(32))
    who: Mapped[str] = mapped_column(String(200))


class LearnerRow(Base):
    """One pseudonym."""

    __tablename__ = "learners"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    name: Mapped[str] = mapped_column(String(80))
    joined: Mapped[str] = mapped_column(String(32))


class AnswerRow(Base):
    """One answer."""

    __tablename__ = "answers"
    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    learner: Mapped[str] = mapped_column(ForeignKey("learners.id"))
    token: Mapped[str] = mapped_column(String(64))  # the client's: the same answer sent twice is one row
    item: Mapped[str] = mapped_column(String(32))
    version: Mapped[int] = mapped_column(Integer)
    quiz: Mapped[str | None] = mapped_column(String(32), index=True)  # none: practice
    quiz_version: Mapped[int | None] = mapped_column(Integer)
    credit: Mapped[float] = mapped_column(Float)
    is_right: Mapped[bool] = mapped_column(Boolean)
    confidence: Mapped[int | None] = mapped_column(Integer)
    seconds: Mapped[float | None] = mapped_column(Float)
    answer: Mapped[str] = mapped_column(Text)  # JSON
    at: Mapped[str] = mapped_column(String(32))
    __table_args__ = (
        UniqueConstraint("learner", "token"),
        ForeignKeyConstraint(["item", "version"], ["item_versions.item_id", "item_versions.number"]),
        ForeignKeyConstraint(["quiz", "quiz_version"], ["quiz_versions.quiz_id", "quiz_versions.number"]),
        Index("ix_answers_item", "item", "version"),
        {"sqlite_autoincrement": True},
    )


class SittingRow(Base):
    """One learner before one quiz."""

    __tablename__ = "sittings"
    learner: Mapped[str] = mapped_column(ForeignKey("learners.id"), primary_key=True)
    quiz: Mapped[str] = mapped_column(String(32), primary_key=True)
    version: Mapped[int] = mapped_column(Integer)
    began: Mapped[str] = mapped_column(String(32))
    __table_args__ = (ForeignKeyConstraint(["quiz", "version"], ["quiz_versions.quiz_id", "quiz_versions.number"]),)


class CardRow(Base):
    """What spaced repetition knows of one learner and one item."""

    __tablename__ = "practice_cards"
    learner: Mapped[str] = mapped_column(ForeignKey("learners.id"), primary_key=True)
    item: Mapped[str] = mapped_column(ForeignKey("items.id"), primary_key=True)
    card: Mapped[str] = mapped_column(Text)  # fsrs's JSON
    due: Mapped[str] = mapped_column(String(32))
    reviewed: Mapped[str] = mapped_column(String(32))
    reviews: Mapped[int] = mapped_column(Integer)


class OpenRow(Base):
    """The item that lies before a learner."""

    __tablename__ = "practice_open"
    learner: Mapped[str] = mapped_column(ForeignKey("learners.id"), primary_key=True)
    item: Mapped[str] = mapped_column(ForeignKey("items.id"))
    version: Mapped[int] = mapped_column(Integer)
    opened: Mapped[str] = mapped_column(String(32))


class AccountRow(Base):
    """Somebody who may log in."""

    __tablename__ = "accounts"
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    role: Mapped[str] = mapped_column(String(16))
    password: Mapped[str] = mapped_column(String(200))  # scrypt's parameters, salt and hash
    learner: Mapped[str] = mapped_column(String(32))  # a pseudonym; it may be erased and the account stay
    changed: Mapped[str] = mapped_column(String(32))


class SchemaRow(Base):
    """The number of this layout; one row."""

    __tablename__ = "teaching_schema"
    number: Mapped[int] = mapped_column(Integer, primary_key=True)


def prepare(engine: Engine) -> None:
    """Makes the tables of teaching where they are not there yet; the bank's are left alone.

    Raises:
        MedDiffError: the database is of a newer layout than this software knows.
    """

    def bring(connection: Connection, number: int) -> None:
        Base.metadata.create_all(connection)
        _fill_item_cases(connection)
        connection.execute(insert(SchemaRow).values(number=SCHEMA))

    bring_to(engine, SCHEMA, _number, bring, _MIGRATING, "The questions in this bank have")


def _number(connection: Connection) -> int:
    """Layout of the tables: 0 where there are none yet."""
    if not inspect(connection).has_table("teaching_schema"):
        return 0
    return connection.scalar(select(SchemaRow.number).order_by(SchemaRow.number.desc()).limit(1)) or 0


def _fill_item_cases(connection: Connection) -> None:
    """Which cases the items of an older layout show."""
    rows = connection.execute(select(ItemRow.id, ItemRow.record).where(ItemRow.id.not_in(select(ItemCaseRow.item_id))))
    found = [{"item_id": row.id, "case_id": case} for row in rows for case in {*json.loads(row.record)["cases"]}]
    if found:
        connection.execute(insert(ItemCaseRow), found)
