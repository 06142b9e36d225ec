"""The bank's tables, and how an older bank becomes one of today.

| table | one row is |
|---|---|
| `cases` | a kept case as it stands: its newest version, review state, notes; what it is searched by |
| `versions` | one making of a case: record and the SHA-256 of its files; never changed, never overwritten |
| `tags` | one tag of one case |
| `history` | one change: who, when, what, why, and how it stood before and after |
| `fingerprints` | the perceptual hashes of one version's picture or twin |
| `bank_schema` | the number of this layout |

A case's id is its request's hash, so its record cannot change; only what people say of it does. The same request made
on another machine or at another precision may give other pixels, and then it is a new *version* under the same id:
somebody may have taught with the old one.

Layouts are numbered. A bank of an older number is brought up in place, in one transaction, when it is opened; a newer
one is refused, since what it holds might be lost. Alembic is not needed as long as each step is a few statements.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, cast

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    create_engine,
    event,
    insert,
    inspect,
    select,
    text,
    update,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateColumn

from meddiff.case import Case, MedDiffError

SCHEMA = 2  # 1: `cases` alone, without a number; 2: versions, review, tags, history, fingerprints
_MIGRATING = 0x6D656464  # advisory lock of PostgreSQL: "medd"


class Base(DeclarativeBase):
    """Of all tables."""


class CaseRow(Base):
    """One kept case; the columns beside the record are what it is searched by."""

    __tablename__ = "cases"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    kept: Mapped[str] = mapped_column(String(32), index=True)  # ISO 8601, UTC, as all times here
    status: Mapped[str] = mapped_column(String(16), index=True)
    pathology: Mapped[str] = mapped_column(String(64), index=True)
    plane: Mapped[str] = mapped_column(String(16), index=True)
    sentence: Mapped[str] = mapped_column(Text)
    record: Mapped[str] = mapped_column(Text)
    background: Mapped[str] = mapped_column(String(64))  # SHA-256 of the native pixels, or empty
    image: Mapped[str] = mapped_column(String(64))  # SHA-256 of the file, pixels and provenance; names it
    twin: Mapped[str] = mapped_column(String(64))
    mask: Mapped[str] = mapped_column(String(64))
    # From here on: layout 2. Each has a default, so that rows of layout 1 have a value.
    version: Mapped[int] = mapped_column(Integer, server_default="1", default=1)
    size_mm: Mapped[float | None] = mapped_column(Float)  # measured, else asked
    review: Mapped[str] = mapped_column(String(16), server_default="draft", default="draft")
    reviewer: Mapped[str] = mapped_column(String(200), server_default="", default="")
    why: Mapped[str] = mapped_column(Text, server_default="", default="")
    reviewed: Mapped[str] = mapped_column(String(32), server_default="", default="")
    notes: Mapped[str] = mapped_column(Text, server_default="", default="")
    deleted: Mapped[str] = mapped_column(String(32), server_default="", default="")  # when; empty: it is not
    revision: Mapped[int] = mapped_column(Integer, server_default="1", default=1)  # counts what people changed


class VersionRow(Base):
    """One making of a case."""

    __tablename__ = "versions"
    case_id: Mapped[str] = mapped_column(ForeignKey("cases.id"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    kept: Mapped[str] = mapped_column(String(32))
    record: Mapped[str] = mapped_column(Text)
    image: Mapped[str] = mapped_column(String(64))
    twin: Mapped[str] = mapped_column(String(64))
    mask: Mapped[str] = mapped_column(String(64))
    pixels: Mapped[str] = mapped_column(String(200))  # what makes it this version; empty where layout 1 did not say


class TagRow(Base):
    """One tag of one case."""

    __tablename__ = "tags"
    case_id: Mapped[str] = mapped_column(ForeignKey("cases.id"), primary_key=True)
    tag: Mapped[str] = mapped_column(String(64), primary_key=True, index=True)


class HistoryRow(Base):
    """One change of a case."""

    __tablename__ = "history"
    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    case_id: Mapped[str] = mapped_column(ForeignKey("cases.id"))
    at: Mapped[str] = mapped_column(String(32))
    who: Mapped[str] = mapped_column(String(200))
    what: Mapped[str] = mapped_column(String(32))
    why: Mapped[str] = mapped_column(Text)
    before: Mapped[str] = mapped_column(Text)  # JSON of what changed
    after: Mapped[str] = mapped_column(Text)
    undoes: Mapped[int | None] = mapped_column(Integer)  # id of the change that this one took back
    __table_args__ = (Index("ix_history_case_id", "case_id", "id"), {"sqlite_autoincrement": True})


class FingerprintRow(Base):
    """Perceptual hashes of one picture."""

    __tablename__ = "fingerprints"
    case_id: Mapped[str] = mapped_column(ForeignKey("cases.id"), primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True)
    role: Mapped[str] = mapped_column(String(8), primary_key=True)
    method: Mapped[str] = mapped_column(String(32))
    bits: Mapped[bytes] = mapped_column(LargeBinary)


class SchemaRow(Base):
    """The number of this layout; one row."""

    __tablename__ = "bank_schema"
    number: Mapped[int] = mapped_column(Integer, primary_key=True)


def engine_of(url: str) -> Engine:
    """An engine for a database URL, ready for several processes.

    SQLite: write-ahead log, synced at every commit; a connection a session, so that a replaced file is seen. Other
    databases: one pool a process, its connections tried before use.
    """
    url = re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", url)  # as servers print it; the driver is psycopg 3
    return _sqlite(url) if url.startswith("sqlite") else _server(url)


def prepare(engine: Engine) -> None:
    """Makes the tables, or brings an older bank up to today's layout; nothing is lost.

    Raises:
        MedDiffError: the bank is of a newer layout than this software knows.
    """

    def bring(connection: Connection, number: int) -> None:
        if number == 1:
            _add_columns(connection)
        Base.metadata.create_all(connection)
        if number == 1:
            _first_versions(connection)
        connection.execute(insert(SchemaRow).values(number=SCHEMA))

    bring_to(engine, SCHEMA, _number, bring, _MIGRATING, "This bank has")


def bring_to(
    engine: Engine,
    layout: int,
    number_of: Callable[[Connection], int],
    bring: Callable[[Connection, int], None],
    lock: int,
    has: str,
) -> None:
    """Brings tables to a layout, whichever of several processes comes first; the others wait and find it done.

    Args:
        number_of: the layout that is there, 0 for none.
        bring: makes the layout out of the one with that number, in one transaction.
        lock: of PostgreSQL (an advisory lock), one for each set of tables.
        has: how the sentence about a newer layout begins: "This bank has".

    Raises:
        MedDiffError: the tables are of a newer layout.
    """
    with engine.connect() as connection, connection.begin():
        if number_of(connection) == layout:
            return
    with writing(engine) as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(select(text(f"pg_advisory_xact_lock({lock})")))
        number = number_of(connection)  # again: another process may have been first
        if number > layout:
            raise MedDiffError(f"{has} layout {number} and this MedDiff knows layouts up to {layout}: update MedDiff.")
        if number != layout:
            bring(connection, number)


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One transaction that takes SQLite's write lock at its beginning: it never has to give up half-way."""
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        yield connection


def size_of(case: Case) -> float | None:
    """Longest diameter in mm that a case is searched by: as measured, else as asked; None where it has no lesion."""
    for row in case.measurements:
        if row.name == "longest diameter" and row.value is not None:
            return row.value
    finding = case.request.findings.finding
    return finding.size_mm if finding else None


def _number(connection: Connection) -> int:
    """Layout of the bank: 0 where there is none yet."""
    inspector = inspect(connection)
    if inspector.has_table("bank_schema"):
        return connection.scalar(select(SchemaRow.number).order_by(SchemaRow.number.desc()).limit(1)) or 0
    return 1 if inspector.has_table("cases") else 0


def _add_columns(connection: Connection) -> None:
    """Columns of `cases` that layout 1 did not have, with their indexes."""
    inspector = inspect(connection)
    there = {column["name"] for column in inspector.get_columns("cases")}
    table = CaseRow.__table__
    for column in table.columns:
        if column.name not in there:
            words = CreateColumn(cast(Column[Any], column)).compile(dialect=connection.dialect)
            connection.exec_driver_sql(f"ALTER TABLE cases ADD COLUMN {words}")
    indexed = {index["name"] for index in inspector.get_indexes("cases")}
    for index in table.indexes:  # type: ignore[attr-defined]
        if index.name not in indexed:
            index.create(connection)


def _first_versions(connection: Connection) -> None:
    """Every case of layout 1 is its first version."""
    columns = [CaseRow.id, CaseRow.kept, CaseRow.record, CaseRow.image, CaseRow.twin, CaseRow.mask]
    for row in connection.execute(select(*columns)).all():
        connection.execute(
            insert(VersionRow).values(
                case_id=row.id, number=1, kept=row.kept, record=row.record,
                image=row.image, twin=row.twin, mask=row.mask, pixels="",
            )
        )  # fmt: skip
        connection.execute(
            insert(HistoryRow).values(
                case_id=row.id, at=row.kept, who="", what="kept", why="before this bank had a history",
                before="{}", after="{}",
            )
        )  # fmt: skip
        try:
            size = size_of(Case.model_validate_json(row.record))
        except ValueError:  # another version's record: opening the case says so
            continue
        connection.execute(update(CaseRow).where(CaseRow.id == row.id).values(size_mm=size))


# Kept, because an engine keeps the statements that it has put into words: that is half of what a short read costs.
@lru_cache(maxsize=64)
def _sqlite(url: str) -> Engine:
    engine = create_engine(url, poolclass=NullPool)

    @event.listens_for(engine, "connect")
    def _configure(connection, _record) -> None:  # type: ignore[no-untyped-def]
        connection.isolation_level = None  # the driver begins nothing of itself: `_begin` does
        cursor = connection.cursor()
        cursor.execute("PRAGMA busy_timeout=30000")  # first: switching to WAL may have to wait too
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")  # what was shown as kept survives a power cut
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A transaction that reads first and writes later is refused when another wrote in between: take the lock now.
        words = "BEGIN IMMEDIATE" if connection.get_execution_options().get("writes") else "BEGIN"
        connection.exec_driver_sql(words)

    return engine


@lru_cache(maxsize=8)
def _server(url: str) -> Engine:
    return create_engine(url, pool_pre_ping=True)
