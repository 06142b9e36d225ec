"""Quizzes: which items in which order, how they are kept, and how a learner sits before one.

A quiz names items and holds no words of its own, so an edited item is edited in every quiz. Each save is a version; a
learner who began with one goes on with it. Items that wait for approval are left out of what learners see until somebody
approves them.
"""

from __future__ import annotations

import random
import secrets
from datetime import datetime, timedelta
from typing import Annotated, Literal

from pydantic import Field, field_validator
from sqlalchemy import select
from sqlalchemy.orm import Session

from meddiff.bank.review import name_of, now, plain
from meddiff.case import MedDiffError, Record
from meddiff.teaching.answers import learner_row
from meddiff.teaching.item import Item, State
from meddiff.teaching.store import Questions, items_of, shown_to_learners
from meddiff.teaching.tables import AnswerRow, ItemRow, QuizRow, QuizVersionRow, SittingRow

LONGEST_TITLE = 200
MOST_ITEMS = 200


class QuizSettings(Record):
    """How a quiz is put.

    Attributes:
        shuffle: each learner has an order of their own, always the same.
        seconds: for the whole quiz, 10 to 86 400; None: no limit.
        language: of the page around the items.
    """

    shuffle: bool = False
    seconds: Annotated[int | None, Field(ge=10, le=86_400)] = None
    language: Literal["en", "zh"] = "en"


class Quiz(Record):
    """Items in order.

    Attributes:
        id: `QZ-` and 12 hex digits (`new_quiz_id`).
        version: counts saves, from 1.
        items: ids, each once, 1 to 200.
    """

    id: Annotated[str, Field(pattern=r"^QZ-[0-9a-f]{12}$")]
    version: Annotated[int, Field(ge=1)] = 1
    title: Annotated[str, Field(min_length=1, max_length=LONGEST_TITLE)]
    items: Annotated[tuple[str, ...], Field(min_length=1, max_length=MOST_ITEMS)]
    settings: QuizSettings = QuizSettings()

    @field_validator("title")
    @classmethod
    def _one_line(cls, title: str) -> str:
        if not (title := plain(" ".join(title.split()))):
            raise ValueError("a quiz has a title")
        return title

    @field_validator("items")
    @classmethod
    def _each_once(cls, items: tuple[str, ...]) -> tuple[str, ...]:
        if twice := [item for item in items if items.count(item) > 1]:
            raise ValueError(f"the item {twice[0]} stands in it twice")
        return items


class QuizEntry(Record):
    """A kept quiz in a list. `waiting`: ids of its items that no learner sees; `deleted`: when, or empty."""

    quiz: Quiz
    changed: str
    who: str
    waiting: tuple[str, ...]
    deleted: str


class Sheet(Record):
    """What lies before a learner: the same again after a reload.

    Attributes:
        quiz: the version that the learner began with.
        items: approved items in the learner's order.
        answered: ids of those that this learner has answered in this quiz.
        began, ends: ISO 8601, UTC; `ends` is empty where there is no limit. Answers after it are still taken.
    """

    quiz: Quiz
    items: tuple[Item, ...]
    answered: tuple[str, ...]
    began: str
    ends: str


def new_quiz_id() -> str:
    """An id that no other quiz has."""
    return "QZ-" + secrets.token_hex(6)


def save_quiz(questions: Questions, quiz: Quiz, who: str = "") -> Quiz:
    """Keeps a quiz: a new one as it is, a kept one as its next version; the same again changes nothing.

    Args:
        quiz: its `version` is the one that was looked at, 1 for a new one.

    Raises:
        MedDiffError: an item that is not in the store or is retired, somebody else saved in between, or a deleted quiz.
    """
    by = name_of(who)

    def act(session: Session) -> Quiz:
        for item in items_of(session, quiz.items):
            if item.state is State.RETIRED:
                raise MedDiffError(f"{item.id} is retired: take it out of the quiz, or approve it again.")
        row = session.get(QuizRow, quiz.id, with_for_update=True)
        if row is None:
            row = QuizRow(id=quiz.id, version=0)
            session.add(row)
        else:
            _there(row, quiz.id)
            if row.version != quiz.version:
                raise MedDiffError(
                    f"The quiz {quiz.id} was saved by {row.who or 'somebody'} and is now version {row.version}: "
                    "open it again and make your change there."
                )
            if _quiz(session, quiz.id, row.version) == quiz:
                return quiz
        saved = quiz.model_copy(update={"version": row.version + 1})
        row.version, row.title, row.changed, row.who = saved.version, saved.title, now(), by
        session.flush()  # the versions refer to it
        session.add(
            QuizVersionRow(quiz_id=quiz.id, number=saved.version, record=saved.canonical_json(), at=row.changed, who=by)
        )
        return saved

    return questions.write(act)


def open_quiz(questions: Questions, quiz_id: str, version: int | None = None) -> Quiz:
    """A kept quiz, or an older version of it.

    Raises:
        MedDiffError: an unknown id or version, or a deleted quiz.
    """

    def act(session: Session) -> Quiz:
        row = _there(session.get(QuizRow, quiz_id), quiz_id)
        return _quiz(session, quiz_id, version or row.version)

    return questions.read(act)


def list_quizzes(questions: Questions, text: str = "", deleted: bool = False) -> tuple[QuizEntry, ...]:
    """Kept quizzes, the newest change first.

    Args:
        text: every word of it in title or id.
        deleted: the deleted ones instead of the others.
    """
    met = [QuizRow.deleted != "" if deleted else QuizRow.deleted == ""]
    for word in plain(text).split():
        met.append(QuizRow.title.icontains(word, autoescape=True) | QuizRow.id.icontains(word, autoescape=True))

    def act(session: Session) -> tuple[QuizEntry, ...]:
        rows = session.scalars(select(QuizRow).where(*met).order_by(QuizRow.changed.desc(), QuizRow.id)).all()
        quizzes = [_quiz(session, row.id, row.version) for row in rows]
        approved = set(session.scalars(select(ItemRow.id).where(*shown_to_learners())))
        return tuple(
            QuizEntry(
                quiz=quiz,
                changed=row.changed,
                who=row.who,
                waiting=tuple(item for item in quiz.items if item not in approved),
                deleted=row.deleted,
            )
            for row, quiz in zip(rows, quizzes, strict=True)
        )

    return questions.read(act)


def copy_quiz(questions: Questions, quiz_id: str, who: str = "", title: str = "") -> Quiz:
    """Keeps the newest version of a quiz again as a quiz of its own.

    Args:
        title: of the copy; default "Copy of" and the title.

    Raises:
        MedDiffError: an unknown or deleted quiz, or one with an item that was retired since.
    """
    quiz = open_quiz(questions, quiz_id)
    title = title or f"Copy of {quiz.title}"[:LONGEST_TITLE]
    return save_quiz(questions, Quiz(id=new_quiz_id(), title=title, items=quiz.items, settings=quiz.settings), who)


def delete_quiz(questions: Questions, quiz_id: str, who: str = "") -> None:
    """Takes a quiz out of sight; its versions and answers stay, and `restore_quiz` brings it back.

    Raises:
        MedDiffError: an unknown quiz, or one that is deleted already.
    """
    _set_deleted(questions, quiz_id, who, deleted=True)


def restore_quiz(questions: Questions, quiz_id: str, who: str = "") -> None:
    """Brings a deleted quiz back; one that is not deleted stays as it is.

    Raises:
        MedDiffError: an unknown quiz.
    """
    _set_deleted(questions, quiz_id, who, deleted=False)


def order_for(quiz: Quiz, learner: str) -> tuple[str, ...]:
    """The items in the order in which this learner sees them, the same at each call."""
    order = list(quiz.items)
    if quiz.settings.shuffle:
        random.Random(f"{quiz.id} {quiz.version} {learner}").shuffle(order)
    return tuple(order)


def sit(questions: Questions, learner: str, quiz_id: str) -> Sheet:
    """Puts a quiz before a learner: begins it, or goes on with it where it was begun.

    Raises:
        MedDiffError: an unknown learner, an unknown or deleted quiz, or no item of it is approved.
    """

    key = (learner, quiz_id)

    def begun(session: Session) -> bool:
        return session.get(SittingRow, key) is not None

    def begin(session: Session) -> None:
        learner_row(session, learner)
        row = _there(session.get(QuizRow, quiz_id), quiz_id)
        if not begun(session):
            _seen(session, _quiz(session, quiz_id, row.version))
            session.add(SittingRow(learner=learner, quiz=quiz_id, version=row.version, began=now()))

    def sheet(session: Session) -> Sheet:
        learner_row(session, learner)
        _there(session.get(QuizRow, quiz_id), quiz_id)
        sitting = session.get_one(SittingRow, key)
        quiz = _quiz(session, quiz_id, sitting.version)
        seen = _seen(session, quiz)
        items = items_of(session, [item for item in order_for(quiz, learner) if item in seen])
        mine = select(AnswerRow.item).where(AnswerRow.learner == learner, AnswerRow.quiz == quiz_id).distinct()
        answered = set(session.scalars(mine))
        return Sheet(
            quiz=quiz,
            items=items,
            answered=tuple(item.id for item in items if item.id in answered),
            began=sitting.began,
            ends=_ends(sitting.began, quiz.settings.seconds),
        )

    if not questions.read(begun):
        questions.write(begin)
    return questions.read(sheet)


def _seen(session: Session, quiz: Quiz) -> set[str]:
    """Ids of the items of a quiz that learners see."""
    approved = select(ItemRow.id).where(ItemRow.id.in_(quiz.items), *shown_to_learners())
    if not (seen := set(session.scalars(approved))):
        raise MedDiffError(
            f"The quiz {quiz.title!r} has no approved question yet that can be shown: ask whoever teaches."
        )
    return seen


def _ends(began: str, seconds: int | None) -> str:
    if seconds is None:
        return ""
    return (datetime.fromisoformat(began) + timedelta(seconds=seconds)).isoformat(timespec="microseconds")


def _set_deleted(questions: Questions, quiz_id: str, who: str, deleted: bool) -> None:
    by = name_of(who)

    def act(session: Session) -> None:
        row = session.get(QuizRow, quiz_id, with_for_update=True)
        if row is None or deleted:
            row = _there(row, quiz_id)
        if bool(row.deleted) != deleted:
            row.deleted, row.changed, row.who = now() if deleted else "", now(), by

    questions.write(act)


def _there(row: QuizRow | None, quiz_id: str) -> QuizRow:
    if row is None:
        raise MedDiffError(f"There is no quiz {quiz_id!r} here: `meddiff quiz list` shows what is.")
    if row.deleted:
        raise MedDiffError(
            f"The quiz {quiz_id} was deleted on {row.deleted[:10]}: `meddiff quiz restore {quiz_id}` brings it back."
        )
    return row


def _quiz(session: Session, quiz_id: str, version: int) -> Quiz:
    row = session.get(QuizVersionRow, (quiz_id, version))
    if row is None:
        raise MedDiffError(f"The quiz {quiz_id} has no version {version}.")
    return Quiz.model_validate_json(row.record)
