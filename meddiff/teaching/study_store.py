"""Reader studies kept: plans and readings in the bank's database, added to and never changed.

| table | one row is |
|---|---|
| `study_plans` | a plan as it stood; a study gains a row when readers join it, and its newest row is the plan |
| `study_readings` | one reading; a reader reads a picture once |
| `study_decisions` | what a person decided on a flagged case |
| `study_showings` | where a study's pictures are and how they are shown; its newest row counts |

A reading is recorded in one transaction before the reader sees the next picture, so that a kill loses nothing that was answered.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from sqlalchemy import Connection, Integer, String, Text, func, insert, inspect, select
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from meddiff.bank.tables import bring_to, engine_of, writing
from meddiff.case import MedDiffError
from meddiff.settings import settings
from meddiff.teaching.study import Decision, Plan, Reading, check_together, flagged_cases, suspended_cases
from meddiff.teaching.study_pictures import Showing

_MAKING = 0x6D647273  # advisory lock of PostgreSQL while the tables are made: "mdrs"


class Base(DeclarativeBase):
    """Of the tables of studies."""


class Numbered:
    """Records of a study, one after the other; the newest is the one with the largest number."""

    study: Mapped[str] = mapped_column(String(16), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    at: Mapped[str] = mapped_column(String(32))  # ISO 8601, UTC
    record: Mapped[str] = mapped_column(Text)


class PlanRow(Numbered, Base):
    """A plan as it stood from `at` on."""

    __tablename__ = "study_plans"


class ReadingRow(Base):
    """One reading, and when it came."""

    __tablename__ = "study_readings"
    study: Mapped[str] = mapped_column(String(16), primary_key=True)
    reader: Mapped[str] = mapped_column(String(64), primary_key=True)
    picture: Mapped[str] = mapped_column(String(16), primary_key=True)
    at: Mapped[str] = mapped_column(String(32))
    record: Mapped[str] = mapped_column(Text)


class DecisionRow(Numbered, Base):
    """A decision on a case of a study."""

    __tablename__ = "study_decisions"


class ShowingRow(Numbered, Base):
    """How a study's pictures are shown from `at` on."""

    __tablename__ = "study_showings"


def _number(connection: Connection) -> int:
    """Layout of the tables: 0 where there are none yet, 1 without decisions and showings."""
    there = inspect(connection).has_table
    return sum(there(row.__tablename__) for row in (ReadingRow, ShowingRow))


class StudyStore:
    """Plans and readings in a database.

    Args:
        url: SQLAlchemy URL; default the bank's.

    Raises:
        MedDiffError: the database cannot be opened.
    """

    def __init__(self, url: str | None = None) -> None:
        try:
            if url is None:
                settings().casebank.mkdir(parents=True, exist_ok=True)
            self.engine = engine_of(url or settings().bank_url)
            bring_to(
                self.engine,
                2,
                _number,
                lambda connection, _: Base.metadata.create_all(connection),
                _MAKING,
                "The studies have",
            )
        except (OSError, ImportError, SQLAlchemyError) as error:
            raise MedDiffError(
                f"The studies' database cannot be opened: {_reason(error)}. "
                "Check the folder (MEDDIFF_CASEBANK) and the database (MEDDIFF_DATABASE_URL)."
            ) from error

    def keep(self, plan: Plan) -> bool:
        """Keeps a plan; of a study that is kept, only readers can be added, at the end. Returns whether it was new.

        Raises:
            MedDiffError: the study is kept with other questions, or with readers that are missing or in another order.
        """
        with self._writing() as connection:
            rows = connection.execute(
                select(PlanRow.record).where(PlanRow.study == plan.id).order_by(PlanRow.number)
            ).scalars()
            kept = [Plan.model_validate_json(row) for row in rows]
            if kept and kept[-1] == plan:
                return False
            if kept and not _joined(kept[-1], plan):
                raise MedDiffError(
                    f"{plan.id} is kept with other questions or readers ({', '.join(kept[-1].readers)}): name these first and "
                    "in this order, then who joins, or plan another study with another seed."
                )
            connection.execute(
                insert(PlanRow).values(study=plan.id, number=len(kept) + 1, at=_now(), record=plan.canonical_json())
            )
        return True

    def plan(self, study: str) -> Plan:
        """A study's plan as it stands.

        Raises:
            MedDiffError: unknown study.
        """
        found = self._newest(PlanRow, study)
        if found is None:
            known = ", ".join(plan.id for plan in self.plans()) or "none yet"
            raise MedDiffError(f"There is no study {study}; kept are: {known}.")
        return Plan.model_validate_json(found)

    def plans(self) -> tuple[Plan, ...]:
        """The plans of all studies as they stand, the oldest study first."""
        with self._reading() as connection:
            rows = connection.execute(select(PlanRow.study, PlanRow.record).order_by(PlanRow.at, PlanRow.number)).all()
        newest: dict[str, str] = {}
        for study, record in rows:
            newest[study] = record
        return tuple(map(Plan.model_validate_json, newest.values()))

    def record(self, study: str, *readings: Reading) -> bool:
        """Records a reading, or both of a pair: all or none. The same again changes nothing; returns whether it was new.

        A picture whose case was suspended while it was being read is still recorded: nothing that was said is lost.

        Raises:
            MedDiffError: it does not fit the plan (`check_together`), or this reader has said something else of this picture.
        """
        check_together(self.plan(study), readings)
        rows = [{"study": study, "reader": said.reader, "picture": said.picture} for said in readings]
        try:
            with self._writing() as connection:
                for row, said in zip(rows, readings, strict=True):
                    connection.execute(insert(ReadingRow).values(**row, at=_now(), record=said.canonical_json()))
            return True
        except IntegrityError:
            with self._reading() as connection:
                kept = [connection.scalar(select(ReadingRow.record).filter_by(**row)) for row in rows]
            for record, said in zip(kept, readings, strict=True):
                if record is None or Reading.model_validate_json(record) != said:
                    raise MedDiffError(
                        f"{said.reader} has read {said.picture} already: the first reading counts and is not changed."
                    ) from None
            return False

    def readings(self, study: str) -> tuple[Reading, ...]:
        """All readings of a study in the order that they came.

        Raises:
            MedDiffError: unknown study.
        """
        self.plan(study)
        query = select(ReadingRow.record).where(ReadingRow.study == study).order_by(ReadingRow.at, ReadingRow.reader)
        with self._reading() as connection:
            return tuple(Reading.model_validate_json(record) for record in connection.execute(query).scalars())

    def suspended(self, study: str) -> tuple[str, ...]:
        """Cases that red alerts have suspended; see `suspended_cases`.

        Raises:
            MedDiffError: unknown study.
        """
        return suspended_cases(self.plan(study), self.readings(study), self.decisions(study))

    def decide(self, study: str, case: str, shown: bool, who: str, why: str) -> Decision:
        """Decides whether readers go on seeing a case.

        Raises:
            MedDiffError: unknown study or case, or no name or reason is given.
        """
        plan = self.plan(study)
        if case not in {picture.case for _, picture in plan.places.values()}:
            raise MedDiffError(f"{plan.id} has no case {case}: take its name from the flagged cases.")
        if not (who.strip() and why.strip()):
            raise MedDiffError("A decision needs your name and a reason: give both.")
        flagged = flagged_cases(plan, self.readings(study))
        heard = {reader for one in flagged if one.case == case for reader, _, _ in one.said}
        decision = Decision(
            case=case, shown=shown, who=who.strip()[:200], why=why.strip()[:500], heard=tuple(sorted(heard))
        )
        self._add(DecisionRow, study, decision)
        return decision

    def decisions(self, study: str) -> tuple[Decision, ...]:
        """All decisions on cases of a study in the order that they were made."""
        query = select(DecisionRow.record).where(DecisionRow.study == study).order_by(DecisionRow.number)
        with self._reading() as connection:
            return tuple(Decision.model_validate_json(record) for record in connection.execute(query).scalars())

    def show(self, study: str, showing: Showing) -> None:
        """Keeps where a study's pictures are and how they are shown.

        Raises:
            MedDiffError: unknown study, or a picture is missing.
        """
        if missing := self.plan(study).places.keys() - showing.places.keys():
            raise MedDiffError(f"Where {min(missing)} of {study} is, is not said: name the place of every picture.")
        self._add(ShowingRow, study, showing)

    def showing(self, study: str) -> Showing:
        """Where a study's pictures are and how they are shown.

        Raises:
            MedDiffError: it was never said.
        """
        found = self._newest(ShowingRow, study)
        if found is None:
            raise MedDiffError(
                f"Where the pictures of {study} are, is not kept: say it with `meddiff study pictures {study} FOLDER`."
            )
        return Showing.model_validate_json(found)

    def _newest(self, table: type[Numbered], study: str) -> str | None:
        query = select(table.record).where(table.study == study).order_by(table.number.desc()).limit(1)
        with self._reading() as connection:
            return connection.scalar(query)

    def _add(self, table: type[DecisionRow] | type[ShowingRow], study: str, record: Decision | Showing) -> None:
        with self._writing() as connection:
            last = connection.scalar(select(func.max(table.number)).where(table.study == study))
            row = {"study": study, "number": (last or 0) + 1, "at": _now(), "record": record.canonical_json()}
            connection.execute(insert(table).values(**row))

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        try:
            with writing(self.engine) as connection:
                yield connection
        except IntegrityError:
            raise
        except SQLAlchemyError as error:
            raise MedDiffError(
                f"The studies' database did not take it: {_reason(error)}. Nothing was recorded; try again."
            ) from error

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        try:
            with self.engine.connect() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise MedDiffError(f"The studies' database does not answer: {_reason(error)}. Try again.") from error


def _joined(kept: Plan, plan: Plan) -> bool:
    """Whether a plan is the kept one with more readers at the end."""
    with_more = kept.model_copy(update={"readers": plan.readers})
    return plan.readers[: len(kept.readers)] == kept.readers and with_more == plan


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _reason(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).splitlines()[0]
