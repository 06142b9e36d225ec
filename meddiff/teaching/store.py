"""The store of teaching: items with every version, and answers; quizzes, learners and practice stand on it.

It lies in the bank's database. Every change is one transaction, and one that meets a locked database is tried again for a
minute, so that a class that answers all at once loses nothing. An item is put before learners only while it is approved;
editing makes a new version and a draft of it again, and what was answered stays with the version that was shown.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from functools import lru_cache
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import Field, model_validator
from sqlalchemy import ColumnElement, Engine, Select, func, select
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

from meddiff.bank.review import Review, name_of, now, plain
from meddiff.bank.tables import CaseRow, engine_of
from meddiff.bank.tables import prepare as prepare_bank
from meddiff.case import MedDiffError, Record
from meddiff.settings import settings
from meddiff.teaching import answers as answering
from meddiff.teaching.answers import Answer, Answers, Given, Receipt
from meddiff.teaching.item import ChoiceItem, Item, Kind, State, read_item
from meddiff.teaching.tables import ItemCaseRow, ItemHistoryRow, ItemRow, ItemVersionRow, prepare

T = TypeVar("T")

WAIT_SECONDS = 60.0  # for a locked database, beside the half minute that SQLite waits by itself at each try
LONGEST_REASON = 4000
_PASSES = {"40001", "40P01", "53300", "55P03"}  # PostgreSQL: serialisation, deadlock, too many connections, lock
_ATTEMPTS = 5  # when another process writes the same row in the same moment
_NOT_WORDS = {"version", "state", "author", "difficulty"}  # fields that are no part of what an item says
_FIXED = ("kind", "cases")  # what an id stands for


class ItemSearch(Record):
    """What items shall have; whatever is left empty lets everything pass.

    Attributes:
        kinds, pathologies: any of them; the pathology of a normal item is "".
        modality: of a case that it shows, as the case's record in the bank has it ("MR").
        difficulty_from, difficulty_to: 0 to 1, both ends included; an item of unknown difficulty passes neither.
        text: every word of it, in stem, choices, feedback, points or id, whatever the case of its letters.
        limit: at most so many, None: all; `offset`: pass over so many first.
    """

    kinds: tuple[Kind, ...] = ()
    pathologies: tuple[str, ...] = ()
    state: State | None = None
    language: str = ""
    modality: str = ""
    difficulty_from: Annotated[float | None, Field(ge=0, le=1)] = None
    difficulty_to: Annotated[float | None, Field(ge=0, le=1)] = None
    text: str = ""
    limit: Annotated[int | None, Field(ge=0)] = None
    offset: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _in_order(self) -> ItemSearch:
        low, high = self.difficulty_from, self.difficulty_to
        if low is not None and high is not None and low > high:
            raise ValueError(f"the lowest difficulty, {low:g}, is above the highest, {high:g}")
        return self


class FoundItems(Record):
    """One page of items, the newest change first, and how many there are in all."""

    items: tuple[Item, ...]
    total: int


class ItemChange(Record):
    """One line of an item's history. `what` is written, edited, approved or retired; `at` is ISO 8601 in UTC."""

    at: str
    who: str
    version: int
    what: str
    why: str


class Added(Record):
    """Ids of items that were new, that were there in the same words, and that were there in other words and stayed so."""

    new: tuple[str, ...]
    there: tuple[str, ...]
    differ: tuple[str, ...]


class Questions:
    """Items, quizzes, learners and answers, in the bank's database.

    Args:
        where: SQLAlchemy URL of that database, or the bank's folder; default: the bank of the settings.

    Raises:
        MedDiffError: it cannot be opened, or is of a newer MedDiff.
    """

    def __init__(self, where: str | Path | None = None) -> None:
        url = _url(where)
        try:
            self.engine: Engine = engine_of(url)
            if (path := self.engine.url.database) and url.startswith("sqlite"):
                Path(path).parent.mkdir(parents=True, exist_ok=True)
            self._turns = _turns_of(url) if url.startswith("sqlite") else nullcontext()
            self._patiently(lambda: prepare_bank(self.engine))  # which cases learners may see stands there
            self._patiently(lambda: prepare(self.engine))
        except (OSError, ImportError, SQLAlchemyError) as error:
            raise MedDiffError(
                f"The store of questions cannot be opened: {_reason(error)}. "
                "Check the bank's folder (MEDDIFF_CASEBANK) and database (MEDDIFF_DATABASE_URL)."
            ) from error

    # ------------------------------------------------------------ items

    def add(self, items: Iterable[Item], who: str = "") -> Added:
        """Takes in items as drafts, all or none, whatever state they claim.

        An item whose id is there already is never overwritten: somebody may have edited it. `edit` changes it.
        """
        given, by = list(items), name_of(who)

        def act(session: Session) -> Added:
            fate: dict[str, list[str]] = {"new": [], "there": [], "differ": []}
            for item in given:
                fate[_add(session, item, by)].append(item.id)
            return Added(**{name: tuple(ids) for name, ids in fate.items()})

        return self.write(act)

    def edit(self, items: Iterable[Item], who: str, why: str = "") -> tuple[Item, ...]:
        """Puts new words to items, all or none: each a new version, and a draft again. The same words change nothing.

        Args:
            items: as they shall be; the `version` of each is the one that was looked at.

        Raises:
            MedDiffError: an unknown id, no name, somebody else changed one in between, or another kind or other cases: what
                was answered so far was answered to those.
        """
        given, who, why = list(items), _name(who, "edits"), _why(why)
        return self.write(lambda session: tuple(_edit(session, item, who, why) for item in given))

    def approve(self, item_id: str, who: str, version: int | None = None, why: str = "") -> Item:
        """Lets learners see an item, a retired one again too.

        Args:
            version: the one that was looked at; None: the newest.

        Raises:
            MedDiffError: an unknown id, no name, or a newer version than that.
        """
        who, why = _name(who, "approves"), _why(why)

        def act(session: Session) -> Item:
            row = _row(session, item_id)
            if version is not None and version != row.version:
                raise MedDiffError(f"{item_id} is now version {row.version}: look at that one before you approve it.")
            words = session.get_one(ItemVersionRow, (row.id, row.version))
            words.approved = words.approved or now()
            return _decide(session, row, State.APPROVED, who, why)

        return self.write(act)

    def retire(self, item_id: str, who: str, why: str = "") -> Item:
        """Takes an item out of use; its versions and answers stay.

        Raises:
            MedDiffError: an unknown id, or no name.
        """
        who, why = _name(who, "retires"), _why(why)
        return self.write(lambda session: _decide(session, _row(session, item_id), State.RETIRED, who, why))

    def set_difficulties(self, difficulties: Mapping[str, float | None]) -> None:
        """Puts what is now known of how hard items are, 0 (everybody is right) to 1; no new version, no new approval.

        Raises:
            MedDiffError: an unknown id, or a difficulty outside 0 to 1; then none is changed.
        """

        def act(session: Session) -> None:
            for item_id, value in difficulties.items():
                if value is not None and not 0 <= value <= 1:
                    raise MedDiffError(f"The difficulty of {item_id} is 0 to 1, not {value:g}.")
                _row(session, item_id).difficulty = value

        self.write(act)

    def predictions(self) -> dict[str, float | None]:
        """Difficulty of every item as it was first written, before anybody answered; by id."""
        first = select(ItemVersionRow.item_id, ItemVersionRow.record).where(ItemVersionRow.number == 1)
        return self.read(
            lambda session: {item_id: read_item(record).difficulty for item_id, record in session.execute(first)}
        )

    def item(self, item_id: str, version: int | None = None) -> Item:
        """An item, as it stands or as an older version had it; its `state` is that of the item.

        Raises:
            MedDiffError: an unknown id or version.
        """

        def act(session: Session) -> Item:
            row = _row(session, item_id, lock=False)
            if version is None or version == row.version:
                return _item(row)
            words = session.get(ItemVersionRow, (item_id, version))
            if words is None:
                raise MedDiffError(f"{item_id} has no version {version}: it has 1 to {row.version}.")
            return read_item(words.record).model_copy(update={"version": version, "state": State(row.state)})

        return self.read(act)

    def items(self, ids: Sequence[str]) -> tuple[Item, ...]:
        """These items as they stand, in this order.

        Raises:
            MedDiffError: an unknown id.
        """
        return self.read(lambda session: items_of(session, ids))

    def modalities(self, ids: Sequence[str] | None = None) -> dict[str, int]:
        """How many items show a case of each modality, the modality's name first in the alphabet first.

        Args:
            ids: of items that count; None: all.
        """
        query = select(ItemCaseRow.item_id, CaseRow.record).join(CaseRow, CaseRow.id == ItemCaseRow.case_id)
        if ids is not None:
            query = query.where(ItemCaseRow.item_id.in_(ids))

        def act(session: Session) -> dict[str, int]:
            known: dict[str, str] = {}  # by record: several items show one case
            found: dict[str, set[str]] = {}
            for item_id, record in session.execute(query):
                if record not in known:
                    known[record] = json.loads(record)["request"]["findings"]["modality"]
                found.setdefault(known[record], set()).add(item_id)
            return {name: len(found[name]) for name in sorted(found)}

        return self.read(act)

    def held_back(self) -> tuple[str, ...]:
        """Ids of approved items that learners do not see, since a case of theirs was deleted from the bank or rejected there."""
        met = shown_to_learners()
        query = select(ItemRow.id).where(met[0], ~met[1]).order_by(ItemRow.id)
        return self.read(lambda session: tuple(session.scalars(query)))

    def find(self, wanted: ItemSearch) -> FoundItems:
        """Items that are asked for, the newest change first."""
        met = _met(wanted)
        page = select(ItemRow).where(*met).order_by(ItemRow.changed.desc(), ItemRow.id).offset(wanted.offset)
        counted = select(func.count()).select_from(ItemRow).where(*met)

        def act(session: Session) -> FoundItems:
            rows = session.scalars(page if wanted.limit is None else page.limit(wanted.limit))
            return FoundItems(items=tuple(_item(row) for row in rows), total=session.scalar(counted) or 0)

        return self.read(act)

    def history(self, item_id: str) -> tuple[ItemChange, ...]:
        """Every change of an item, oldest first.

        Raises:
            MedDiffError: an unknown id.
        """

        def act(session: Session) -> tuple[ItemChange, ...]:
            _row(session, item_id, lock=False)
            rows = session.scalars(
                select(ItemHistoryRow).where(ItemHistoryRow.item_id == item_id).order_by(ItemHistoryRow.id)
            )
            return tuple(ItemChange(at=r.at, who=r.who, version=r.version, what=r.what, why=r.why) for r in rows)

        return self.read(act)

    # ------------------------------------------------------------ answers

    def answer(self, answer: Answer) -> Receipt:
        """Keeps an answer for good; the same token of the same learner again gives back the first.

        Raises:
            MedDiffError: an unknown learner, item or quiz, an item no learner may see, or a database that stays locked
                (send it again then, with the same token).
        """
        return self.write(lambda session: answering.take(session, answer, now()))

    def answers(self, wanted: Answers = Answers()) -> tuple[Given, ...]:  # noqa: B008 (frozen)
        """The answers asked for, in the order in which they came."""
        return self.read(lambda session: answering.read(session, wanted))

    # ------------------------------------------------------------ transactions

    def read(self, act: Callable[[Session], T]) -> T:
        """What `act` reads, all of one moment where the database is SQLite.

        Raises:
            MedDiffError: what `act` raises, or the database does not answer.
        """
        return self._run(act, writes=False)

    def write(self, act: Callable[[Session], T]) -> T:
        """Runs `act` in one transaction: all of it or nothing. It may run again, so it changes nothing but the session.

        A locked database is waited for, about two minutes at most; threads of one process take turns (`_Turns`).

        Raises:
            MedDiffError: what `act` raises, or the database does not answer; nothing was changed then.
        """
        return self._run(act, writes=True)

    def _run(self, act: Callable[[Session], T], writes: bool) -> T:
        try:
            for _ in range(_ATTEMPTS):
                try:
                    return self._patiently(lambda: self._once(act, writes))
                except IntegrityError:  # a row came in between: look again
                    continue
        except SQLAlchemyError as error:
            raise MedDiffError(
                f"The database {self.engine.url.render_as_string()} did not answer: {_reason(error)}. "
                "Nothing was changed: check the disk and MEDDIFF_DATABASE_URL, then try again."
            ) from error
        raise MedDiffError("The same is being written by others all the time: try again.")

    def _once(self, act: Callable[[Session], T], writes: bool) -> T:
        with self.engine.connect().execution_options(writes=writes) as connection:
            with self._turns if writes else nullcontext(), Session(connection) as session, connection.begin():
                told = act(session)
                session.flush()
                return told

    @staticmethod
    def _patiently(act: Callable[[], T]) -> T:
        retrying = Retrying(
            retry=retry_if_exception(_will_pass),
            stop=stop_after_delay(WAIT_SECONDS),
            wait=wait_random_exponential(multiplier=0.05, max=1.0),
            reraise=True,
        )
        return retrying(act)


def items_of(session: Session, ids: Sequence[str]) -> tuple[Item, ...]:
    """These items as they stand, in this order.

    Raises:
        MedDiffError: an unknown id.
    """
    rows = {row.id: row for row in session.scalars(select(ItemRow).where(ItemRow.id.in_(ids)))}
    if missing := [item_id for item_id in ids if item_id not in rows]:
        raise MedDiffError(_no_item(missing[0]))
    return tuple(_item(rows[item_id]) for item_id in ids)


def shown_to_learners() -> tuple[ColumnElement[bool], ...]:
    """What a row of `items` must meet for learners to see it: approved, and no case of it withdrawn from the bank."""
    withdrawn = (
        select(ItemCaseRow.item_id)
        .join(CaseRow, CaseRow.id == ItemCaseRow.case_id)
        .where((CaseRow.deleted != "") | (CaseRow.review == Review.REJECTED.value))
    )
    return ItemRow.state == State.APPROVED.value, ItemRow.id.not_in(withdrawn)


def approved(session: Session, wanted: ItemSearch, language: str = "") -> dict[str, int]:
    """Ids of all items that learners may see and that are asked for, with their versions.

    Those in `language` where there are any, else those in every language.
    """
    met = (*_met(wanted), *shown_to_learners())
    rows = session.execute(select(ItemRow.id, ItemRow.version, ItemRow.language).where(*met)).all()
    spoken = [row for row in rows if row.language == language] or rows
    return {row.id: row.version for row in spoken}


def _add(session: Session, item: Item, who: str) -> str:
    """Takes in one item; whether it is "new", or "there", or there but they "differ"."""
    row = session.get(ItemRow, item.id, with_for_update=True)
    if row is not None:
        return "there" if words_of(_item(row)) == words_of(item) else "differ"
    row = ItemRow(id=item.id, version=1, state=State.DRAFT.value, kind=item.kind.value, difficulty=item.difficulty)
    session.add(row)
    _put(session, row, item, who or item.author, "written", "")
    session.add_all(ItemCaseRow(item_id=item.id, case_id=case) for case in dict.fromkeys(item.cases))
    return "new"


def _edit(session: Session, item: Item, who: str, why: str) -> Item:
    row = _row(session, item.id)
    if row.version != item.version:
        raise MedDiffError(
            f"{item.id} was changed by {row.who or 'somebody'} on {_day(row.changed)} and is now version {row.version}: "
            "open it again and make your change there."
        )
    before = _item(row)
    for field in _FIXED:
        if getattr(before, field) != getattr(item, field):
            raise MedDiffError(
                f"{item.id} stands for its kind and cases and can have no other {field}: write a new item."
            )
    row.difficulty = item.difficulty
    if words_of(before) != words_of(item):
        row.version, row.state = row.version + 1, State.DRAFT.value
        _put(session, row, item, who, "edited", why)
    return _item(row)


def _put(session: Session, row: ItemRow, item: Item, who: str, what: str, why: str) -> None:
    """Writes the words of an item as the version that its row says."""
    author = who or item.author
    item = item.model_copy(update={"version": row.version, "state": State.DRAFT, "author": author})
    row.pathology, row.language, row.words = item.pathology, item.language, searched(item)
    row.record = item.canonical_json()
    row.changed, row.who = now(), who
    session.flush()  # the other tables refer to it
    session.add(ItemVersionRow(item_id=row.id, number=row.version, record=row.record, approved=""))
    _note(session, row, what, why)


def _decide(session: Session, row: ItemRow, state: State, who: str, why: str) -> Item:
    if row.state != state.value:
        row.state, row.changed, row.who = state.value, now(), who
        _note(session, row, state.value, why)
    return _item(row)


def _note(session: Session, row: ItemRow, what: str, why: str) -> None:
    session.add(ItemHistoryRow(item_id=row.id, version=row.version, at=row.changed, who=row.who, what=what, why=why))


def _row(session: Session, item_id: str, lock: bool = True) -> ItemRow:
    row = session.get(ItemRow, item_id, with_for_update=True if lock else None)
    if row is None:
        raise MedDiffError(_no_item(item_id))
    return row


def _no_item(item_id: str) -> str:
    return f"There is no item {item_id!r} here: `meddiff items list` shows what is."


def _item(row: ItemRow) -> Item:
    """An item of its row, which knows its state and difficulty."""
    now_is = {"version": row.version, "state": State(row.state), "difficulty": row.difficulty}
    return read_item(row.record).model_copy(update=now_is)


def words_of(item: Item) -> dict[str, object]:
    """What makes one version another."""
    return item.model_dump(mode="json", exclude=_NOT_WORDS)


def searched(item: Item) -> str:
    """All words of an item, in one text."""
    choices = item.choices if isinstance(item, ChoiceItem) else ()
    told = [item.id, item.stem, item.pathology, item.feedback, *item.points, *item.cases]
    return plain("\n".join(told + [word for choice in choices for word in (choice.text, choice.feedback)]))


def _met(wanted: ItemSearch) -> list[ColumnElement[bool]]:
    met: list[ColumnElement[bool]] = []
    if wanted.kinds:
        met.append(ItemRow.kind.in_([kind.value for kind in wanted.kinds]))
    if wanted.pathologies:
        met.append(ItemRow.pathology.in_(wanted.pathologies))
    if wanted.state:
        met.append(ItemRow.state == wanted.state.value)
    if wanted.language:
        met.append(ItemRow.language == wanted.language)
    if wanted.modality:
        met.append(ItemRow.id.in_(_of_modality(wanted.modality)))
    if wanted.difficulty_from is not None:
        met.append(ItemRow.difficulty >= wanted.difficulty_from)
    if wanted.difficulty_to is not None:
        met.append(ItemRow.difficulty <= wanted.difficulty_to)
    return met + [ItemRow.words.icontains(word, autoescape=True) for word in plain(wanted.text).split()]


def _of_modality(modality: str) -> Select[str]:
    """Ids of the items that show a case of a modality; a record is canonical JSON, without spaces."""
    told = f'"modality":{json.dumps(modality)}'
    shown = select(ItemCaseRow.item_id).join(CaseRow, CaseRow.id == ItemCaseRow.case_id)
    return shown.where(CaseRow.record.contains(told, autoescape=True))


def _name(who: str, does: str) -> str:
    if not (name := name_of(who)):
        raise MedDiffError(f"Say who {does} the item: the history keeps a name.")
    return name


def _why(why: str) -> str:
    if len(why := plain(why.strip())) > LONGEST_REASON:
        raise MedDiffError(f"A reason has at most {LONGEST_REASON} letters.")
    return why


def _day(at: str) -> str:
    return f"{at[:16].replace('T', ' at ')} UTC"


def _url(where: str | Path | None) -> str:
    if where is None:
        return settings().bank_url
    if isinstance(where, str) and "://" in where:
        return where
    return f"sqlite:///{Path(where).resolve() / 'bank.sqlite'}"


class _Turns:
    """A lock that threads get in the order in which they came; each waits for `seconds` at most.

    SQLite lets waiting writers poll: where a class answers all at once, the unluckiest of them waits for nearly all others.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds, self._guard, self._queue = seconds, threading.Lock(), deque[threading.Lock]()

    def __enter__(self) -> None:
        mine = threading.Lock()
        mine.acquire()
        with self._guard:
            self._queue.append(mine)
            if len(self._queue) == 1:
                return
        came = False
        try:
            came = mine.acquire(timeout=self._seconds)  # until whoever is before lets it go
        finally:
            if not came:
                self._leave(mine)
        if not came:
            raise MedDiffError("The database is being written by others all the time: nothing was changed, try again.")

    def __exit__(self, *_: object) -> None:
        self._leave(self._queue[0])

    def _leave(self, mine: threading.Lock) -> None:
        with self._guard:
            first = self._queue[0] is mine
            self._queue.remove(mine)
            if first and self._queue:
                self._queue[0].release()


@lru_cache(maxsize=64)
def _turns_of(url: str) -> _Turns:
    """Who writes next into an SQLite database, among the threads of this process."""
    return _Turns(WAIT_SECONDS)


def _will_pass(error: BaseException) -> bool:
    """Whether nothing was done, and trying again is worth it."""
    if isinstance(error, PoolTimeout):
        return True
    if not isinstance(error, DBAPIError):
        return False
    if getattr(error.orig, "sqlstate", None) in _PASSES:
        return True
    return isinstance(error, OperationalError) and any(word in str(error.orig) for word in ("locked", "busy"))


def _reason(error: Exception) -> str:
    """What went wrong in the driver's own words, without the statement."""
    return str(getattr(error, "orig", None) or error).splitlines()[0].rstrip(".")
