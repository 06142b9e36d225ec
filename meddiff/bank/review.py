"""What people say of a case: review, tags, notes, deletion; each change is kept, and can be taken back.

The check's verdict (`Status`) is the machine's and never changes. A *review* is a person's, with a name and a reason.
Every change bumps the case's revision. Who gives the revision they looked at is told when somebody else was faster,
instead of overwriting what they have not seen. An undo is a change too: it puts back what the last change replaced, and
is itself kept in the history.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import Select, delete, select
from sqlalchemy.orm import Session

from meddiff.bank.tables import CaseRow, HistoryRow, TagRow
from meddiff.case import MedDiffError, Record

LONGEST_NOTE = 4000
LONGEST_NAME = 200
MOST_TAGS = 50
_TAG = re.compile(r"[\w][\w .:+-]{0,63}")
_CHANGEABLE = ("review", "tags", "notes", "deleted")  # what `undo` can put back

_BARRIERS = ("version", "imported")  # an earlier review is of other pixels; an earlier change was made in another bank


class Review(StrEnum):
    """What people decided about a case."""

    DRAFT = "draft"
    APPROVED = "approved"
    REJECTED = "rejected"


class Change(Record):
    """One line of a case's history; `before` and `after` hold only what changed."""

    id: int
    at: Annotated[str, Field(max_length=32)]  # ISO 8601, UTC
    who: Annotated[str, Field(max_length=LONGEST_NAME)]
    what: Annotated[str, Field(max_length=32)]  # kept, version, imported, review, tags, notes, deleted, restored, undo
    why: str
    before: dict[str, Any]
    after: dict[str, Any]
    undoes: int | None = None


def now() -> str:
    """This moment, ISO 8601 in UTC with microseconds: sorts as text."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def name_of(who: str, needed: bool = False) -> str:
    """A person's name without spaces around it.

    Raises:
        MedDiffError: too long, or empty where it is needed.
    """
    who = plain(" ".join(who.split()))
    if needed and not who:
        raise MedDiffError("Say who reviews: a review counts only with a name.")
    if len(who) > LONGEST_NAME:
        raise MedDiffError(f"A name has at most {LONGEST_NAME} letters.")
    return who


def plain(words: str) -> str:
    """Words without the sign 0, which not every database can keep."""
    return words.replace("\0", "")


def tag_of(tag: str) -> str:
    """A tag in small letters.

    Raises:
        MedDiffError: for one that has other signs than letters, digits, spaces and . : + - _
    """
    tag = " ".join(tag.lower().split())
    if not _TAG.fullmatch(tag):
        raise MedDiffError(
            f"{tag!r} is no tag: take 1 to 64 letters, digits, spaces or any of . : + - _, beginning with a letter or digit."
        )
    return tag


def note(session: Session, case_id: str, what: str, who: str, why: str, before: object, after: object, undoes: int | None = None, at: str = "") -> None:  # fmt: skip
    """Adds a line to a case's history."""
    session.add(
        HistoryRow(
            case_id=case_id, at=at or now(), who=who, what=what, why=why, undoes=undoes,
            before=json.dumps(before, ensure_ascii=False), after=json.dumps(after, ensure_ascii=False),
        )
    )  # fmt: skip


def newest(case_id: str) -> Select[HistoryRow]:
    """The last line of a case's history."""
    return select(HistoryRow).where(HistoryRow.case_id == case_id).order_by(HistoryRow.id.desc()).limit(1)


def unchanged_since(session: Session, row: CaseRow, revision: int | None) -> None:
    """Refuses a change of somebody who has not seen the last one.

    Raises:
        MedDiffError: names who changed the case, and when.
    """
    if revision is None or row.revision == revision:
        return
    last = session.scalars(newest(row.id)).first()
    by = f" by {last.who}" if last and last.who else ""
    at = f" on {last.at[:16].replace('T', ' at ')} UTC" if last else ""
    raise MedDiffError(f"{row.id} was changed{by}{at}, after you opened it: open it again, look, and decide anew.")


def set_review(session: Session, row: CaseRow, state: Review, who: str, why: str) -> None:
    """Records what a person decided.

    Raises:
        MedDiffError: a decision without a name or a reason.
    """
    who, why = name_of(who, needed=True), plain(why.strip())
    if state is not Review.DRAFT and not why:
        raise MedDiffError(
            f"Say why it is {state.value}: one word is enough for an approval, a rejection needs its reason."
        )
    if len(why) > LONGEST_NOTE:
        raise MedDiffError(f"A reason has at most {LONGEST_NOTE} letters.")
    before = review_of(row)
    row.review, row.reviewer, row.why, row.reviewed = state.value, who, why, now()
    row.revision += 1
    note(session, row.id, "review", who, why, {"review": before}, {"review": review_of(row)})


def set_tags(session: Session, row: CaseRow, tags: list[str], who: str, why: str) -> None:
    """Replaces the tags of a case; the same ones again change nothing.

    Raises:
        MedDiffError: a tag that is none, or too many.
    """
    wanted = sorted({tag_of(tag) for tag in tags})
    if len(wanted) > MOST_TAGS:
        raise MedDiffError(f"A case has at most {MOST_TAGS} tags.")
    before = tags_of(session, row.id)
    if wanted == before:
        return
    _put_tags(session, row.id, wanted)
    row.revision += 1
    note(session, row.id, "tags", name_of(who), why, {"tags": before}, {"tags": wanted})


def set_notes(session: Session, row: CaseRow, notes: str, who: str) -> None:
    """Replaces the notes of a case.

    Raises:
        MedDiffError: notes that are too long.
    """
    notes = plain(notes.strip())
    if len(notes) > LONGEST_NOTE:
        raise MedDiffError(f"Notes have at most {LONGEST_NOTE} letters.")
    if notes == row.notes:
        return
    before, row.notes = row.notes, notes
    row.revision += 1
    note(session, row.id, "notes", name_of(who), "", {"notes": before}, {"notes": notes})


def set_deleted(session: Session, row: CaseRow, deleted: bool, who: str, why: str) -> None:
    """Takes a case out of sight, or back."""
    before, row.deleted = row.deleted, now() if deleted else ""
    row.revision += 1
    what = "deleted" if deleted else "restored"
    note(session, row.id, what, name_of(who), why, {"deleted": before}, {"deleted": row.deleted})


def undo(session: Session, row: CaseRow, who: str) -> str:
    """Takes back the last change of a case that was not taken back yet; returns what it was.

    Raises:
        MedDiffError: nothing is left to take back.
    """
    lines = session.scalars(select(HistoryRow).where(HistoryRow.case_id == row.id).order_by(HistoryRow.id.desc())).all()
    taken_back = {line.undoes for line in lines}
    for line in lines:
        if line.what in _BARRIERS:
            break
        before = json.loads(line.before)
        if line.undoes is None and line.id not in taken_back and before and set(before) <= set(_CHANGEABLE):
            break
    else:
        line = None  # type: ignore[assignment]
    if line is None or line.what in _BARRIERS:
        raise MedDiffError(f"Nothing of {row.id} is left to undo: `meddiff bank history {row.id}` shows what was done.")
    now_is: dict[str, Any] = {}
    if "review" in before:
        now_is["review"] = review_of(row)
        row.review, row.reviewer, row.why, row.reviewed = before["review"]
    if "tags" in before:
        now_is["tags"] = tags_of(session, row.id)
        _put_tags(session, row.id, before["tags"])
    if "notes" in before:
        now_is["notes"], row.notes = row.notes, before["notes"]
    if "deleted" in before:
        now_is["deleted"], row.deleted = row.deleted, before["deleted"]
    row.revision += 1
    note(session, row.id, "undo", name_of(who), f"undid: {line.what}", now_is, before, undoes=line.id)
    return line.what


def history(session: Session, case_id: str) -> tuple[Change, ...]:
    """All changes of a case, oldest first."""
    rows = session.scalars(select(HistoryRow).where(HistoryRow.case_id == case_id).order_by(HistoryRow.id))
    return tuple(
        Change(
            id=row.id, at=row.at, who=row.who, what=row.what, why=row.why,
            before=json.loads(row.before), after=json.loads(row.after), undoes=row.undoes,
        )
        for row in rows
    )  # fmt: skip


def tags_of(session: Session, case_id: str) -> list[str]:
    """Tags of a case, in order."""
    return sorted(session.scalars(select(TagRow.tag).where(TagRow.case_id == case_id)))


def _put_tags(session: Session, case_id: str, tags: list[str]) -> None:
    session.execute(delete(TagRow).where(TagRow.case_id == case_id))
    session.add_all(TagRow(case_id=case_id, tag=tag) for tag in tags)


def review_of(row: CaseRow) -> list[str]:
    """State, reviewer, reason and time, as the history keeps them."""
    return [row.review, row.reviewer, row.why, row.reviewed]
