"""Questions travel with their cases: an exported bank holds the items and quizzes of its cases, and importing brings them as they were.

They lie in the bank's archive as `teaching/questions.json` (`bank.archive` checks its hash): every version of an item, its state,
difficulty and history, and quizzes whose items all go. Learners and answers never leave this way.

What is here wins, as with cases: an item that was edited here, or is here in other words, stays; one that is here in an earlier
version gets the later ones. An item comes in only where the bank has its cases, a quiz only where the store has its items.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from meddiff.bank import Bank, Search
from meddiff.bank.archive import Exported, Imported, export_bank, import_bank
from meddiff.bank.review import name_of, now
from meddiff.case import MedDiffError, Record
from meddiff.teaching.item import Item, State, read_item
from meddiff.teaching.quiz import Quiz
from meddiff.teaching.store import ItemChange, Questions, searched, words_of
from meddiff.teaching.tables import (
    ItemCaseRow,
    ItemHistoryRow,
    ItemRow,
    ItemVersionRow,
    QuizRow,
    QuizVersionRow,
)

NAME = "teaching/questions.json"


class ArchivedWords(Record):
    """One version of an item, and when it was first approved (ISO 8601, UTC; empty: never)."""

    item: Item
    approved: str = Field(max_length=32)


class ArchivedItem(Record):
    """All of one item. `versions` count up from 1."""

    id: str
    state: State
    difficulty: float | None = Field(ge=0, le=1)
    versions: tuple[ArchivedWords, ...] = Field(min_length=1)
    history: tuple[ItemChange, ...]


class ArchivedQuiz(Record):
    """A quiz: those of its versions whose items all go, oldest first, and who saved it last."""

    versions: tuple[Quiz, ...] = Field(min_length=1)
    changed: str = Field(max_length=32)
    who: str = Field(max_length=200)


class Archived(Record):
    """The file."""

    format: Literal["meddiff-teaching-1"] = "meddiff-teaching-1"
    items: tuple[ArchivedItem, ...]
    quizzes: tuple[ArchivedQuiz, ...]


class Taken(Record):
    """How many items and quizzes were new, got later versions, or were there and stayed; and what did not come in, and why."""

    items: int = 0
    items_newer: int = 0
    items_there: int = 0
    quizzes: int = 0
    quizzes_newer: int = 0
    quizzes_there: int = 0
    refused: tuple[str, ...] = ()

    def __str__(self) -> str:
        """In words."""
        parts = [
            _counted(*counts)
            for counts in (
                ("question", self.items, self.items_newer, self.items_there),
                ("quiz", self.quizzes, self.quizzes_newer, self.quizzes_there),
            )
        ]
        return "; ".join(part for part in parts if part) or "no questions in the file"


def export_with_questions(
    bank: Bank, questions: Questions, path: str | Path, wanted: Search | None = None
) -> tuple[Exported, Archived]:
    """Writes the cases that are asked for, with their questions and quizzes, into one file.

    Raises:
        MedDiffError: as `export_bank`.
    """
    gone: list[Archived] = []

    def more(cases: Sequence[str]) -> Mapping[str, bytes]:
        gone.append(collect(questions, cases))
        return {NAME: gone[-1].canonical_json().encode()} if gone[-1].items else {}

    out = export_bank(bank, path, wanted, more)
    return out, gone[-1]


def import_with_questions(
    bank: Bank,
    questions: Questions,
    path: str | Path,
    who: str = "",
    progress: Callable[[float], None] | None = None,
) -> tuple[Imported, Taken]:
    """Takes the cases of an exported file into a bank, then their questions and quizzes.

    Raises:
        MedDiffError: as `import_bank`; or the questions in it cannot be read: the cases are in then.
    """
    taken = [Taken()]

    def take_them(files: Mapping[str, bytes]) -> None:
        if NAME in files:
            taken.append(take(questions, bank, files[NAME], who))

    came = import_bank(bank, path, who, progress, take_them)
    return came, taken[-1]


# ---------------------------------------------------------------- out


def collect(questions: Questions, cases: Sequence[str]) -> Archived:
    """The items that show these cases and no others, and the quizzes of these items."""

    def act(session: Session) -> Archived:
        shown: dict[str, set[str]] = {}
        for item_id, case in session.execute(select(ItemCaseRow.item_id, ItemCaseRow.case_id)):
            shown.setdefault(item_id, set()).add(case)
        there = set(cases)
        ids = sorted(item_id for item_id, of in shown.items() if of <= there)
        return Archived(
            items=tuple(_archived(session, session.get_one(ItemRow, item_id)) for item_id in ids),
            quizzes=_quizzes(session, set(ids)),
        )

    return questions.read(act)


def _archived(session: Session, row: ItemRow) -> ArchivedItem:
    versions = session.scalars(
        select(ItemVersionRow).where(ItemVersionRow.item_id == row.id).order_by(ItemVersionRow.number)
    )
    history = session.scalars(
        select(ItemHistoryRow).where(ItemHistoryRow.item_id == row.id).order_by(ItemHistoryRow.id)
    )
    return ArchivedItem(
        id=row.id,
        state=State(row.state),
        difficulty=row.difficulty,
        versions=tuple(ArchivedWords(item=read_item(one.record), approved=one.approved) for one in versions),
        history=tuple(ItemChange(at=h.at, who=h.who, version=h.version, what=h.what, why=h.why) for h in history),
    )


def _quizzes(session: Session, items: set[str]) -> tuple[ArchivedQuiz, ...]:
    found = []
    for row in session.scalars(select(QuizRow).where(QuizRow.deleted == "").order_by(QuizRow.id)):
        records = session.scalars(
            select(QuizVersionRow.record).where(QuizVersionRow.quiz_id == row.id).order_by(QuizVersionRow.number)
        )
        versions = [Quiz.model_validate_json(record) for record in records]
        if items.issuperset(versions[-1].items):
            whole = tuple(one for one in versions if items.issuperset(one.items))
            found.append(ArchivedQuiz(versions=whole, changed=row.changed, who=row.who))
    return tuple(found)


# ---------------------------------------------------------------- in


def take(questions: Questions, bank: Bank, data: bytes, who: str = "") -> Taken:
    """Takes in what `collect` gave; see the module for what wins.

    Args:
        who: imports; stands in the history of each item.

    Raises:
        MedDiffError: it cannot be read; nothing was changed.
    """
    by = name_of(who)
    try:
        given = Archived.model_validate_json(data)
    except (ValidationError, MedDiffError) as error:
        raise MedDiffError(
            "The cases are in, and the questions in the file cannot be read: get the file again, or update MedDiff."
        ) from error
    known = {case: bank.knows(case) for item in given.items for case in item.versions[0].item.cases}
    fates: dict[str, list[str]] = {"new": [], "newer": [], "there": [], "refused": []}
    quizzes: dict[str, list[str]] = {"new": [], "newer": [], "there": [], "refused": []}

    def act(session: Session) -> None:
        for fate in (*fates.values(), *quizzes.values()):
            fate.clear()  # a locked database is tried again
        for item in given.items:
            why = _wrong(item) or next(
                (f"the bank has no {case}" for case in item.versions[0].item.cases if not known[case]), ""
            )
            fates["refused" if why else _take_item(session, item, by)].append(f"{item.id}: {why}" if why else item.id)
        for quiz in given.quizzes:
            why = _missing(session, quiz)
            name = quiz.versions[-1].id
            quizzes["refused" if why else _take_quiz(session, quiz)].append(f"{name}: {why}" if why else name)

    questions.write(act)
    return Taken(
        items=len(fates["new"]), items_newer=len(fates["newer"]), items_there=len(fates["there"]),
        quizzes=len(quizzes["new"]), quizzes_newer=len(quizzes["newer"]), quizzes_there=len(quizzes["there"]),
        refused=(*fates["refused"], *quizzes["refused"]),
    )  # fmt: skip


def _wrong(item: ArchivedItem) -> str:
    """Why an item cannot be one; empty where it can."""
    numbers = [one.item.version for one in item.versions]
    same = {(one.item.id, one.item.kind, one.item.cases) for one in item.versions}
    if len(same) != 1 or item.versions[0].item.id != item.id or numbers != [*range(1, len(numbers) + 1)]:
        return "its versions are not of one question"
    if item.state is State.APPROVED and not item.versions[-1].approved:
        return "it is approved, and its last version never was"
    return ""


def _take_item(session: Session, item: ArchivedItem, who: str) -> str:
    """Writes an item, or the versions that are not here yet: "new", "newer", or "there"."""
    row = session.get(ItemRow, item.id, with_for_update=True)
    first, fate = 0, "new"
    if row is not None:
        kept = session.scalars(
            select(ItemVersionRow.record).where(ItemVersionRow.item_id == item.id).order_by(ItemVersionRow.number)
        ).all()
        ours = [words_of(read_item(record)) for record in kept]
        if len(ours) >= len(item.versions) or ours != [words_of(one.item) for one in item.versions[: len(ours)]]:
            return "there"
        first, fate = len(ours), "newer"
    newest = item.versions[-1].item
    if row is None:
        row = ItemRow(id=item.id, kind=newest.kind.value)
        session.add(row)
    row.version, row.state, row.difficulty = newest.version, item.state.value, item.difficulty
    row.pathology, row.language, row.words = newest.pathology, newest.language, searched(newest)
    row.record, row.changed, row.who = newest.canonical_json(), now(), who
    session.flush()  # the other tables refer to it
    if fate == "new":
        session.add_all(ItemCaseRow(item_id=item.id, case_id=case) for case in dict.fromkeys(newest.cases))
    for one in item.versions[first:]:
        session.add(
            ItemVersionRow(
                item_id=item.id, number=one.item.version, record=one.item.canonical_json(), approved=one.approved
            )
        )
    last = session.scalar(select(func.max(ItemHistoryRow.at)).where(ItemHistoryRow.item_id == item.id)) or ""
    for change in item.history:
        if change.at > last:
            session.add(ItemHistoryRow(item_id=item.id, **change.model_dump()))
    session.add(
        ItemHistoryRow(item_id=item.id, version=newest.version, at=row.changed, who=who, what="imported", why="")
    )
    return fate


def _missing(session: Session, quiz: ArchivedQuiz) -> str:
    """Why a quiz cannot come in; empty where it can."""
    wanted = {item for one in quiz.versions for item in one.items}
    there = set(session.scalars(select(ItemRow.id).where(ItemRow.id.in_(wanted))))
    return f"the store has no {min(wanted - there)}" if wanted - there else ""


def _take_quiz(session: Session, quiz: ArchivedQuiz) -> str:
    newest = quiz.versions[-1]
    row = session.get(QuizRow, newest.id, with_for_update=True)
    fate = "new"
    if row is not None:
        kept = session.get_one(QuizVersionRow, (row.id, row.version)).record
        if row.deleted or row.version >= newest.version or Quiz.model_validate_json(kept) not in quiz.versions:
            return "there"
        fate = "newer"
    first = 0 if row is None else row.version
    if row is None:
        row = QuizRow(id=newest.id)
        session.add(row)
    row.version, row.title, row.changed, row.who = newest.version, newest.title, quiz.changed, quiz.who
    session.flush()
    for one in quiz.versions:
        if one.version > first:
            session.add(
                QuizVersionRow(
                    quiz_id=one.id, number=one.version, record=one.canonical_json(), at=quiz.changed, who=quiz.who
                )
            )
    return fate


def _counted(name: str, new: int, newer: int, there: int) -> str:
    many = {"quiz": "quizzes"}.get(name, f"{name}s")
    if not new + newer + there:
        return ""
    rest = f", {newer} with later versions" if newer else ""
    return f"{new} new {name if new == 1 else many}{rest}, {there} were there"
