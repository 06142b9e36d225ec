"""One learner's answer to one item, and how answers are kept and read.

An answer that was taken is never changed. It may be sent again by a phone that did not hear that it arrived: the client
gives each answer a token, and the same token is the same answer. Only an item version that was approved at some time can be
answered; one that was edited while a learner looked at it still takes the answer to what was shown.
"""

from __future__ import annotations

import json
from typing import Annotated

from pydantic import Field, field_validator, model_validator
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from meddiff.case import MedDiffError, Record
from meddiff.teaching.tables import AnswerRow, ItemVersionRow, LearnerRow, QuizVersionRow

LONGEST_ANSWER = 200_000  # letters of JSON: an outline is a few thousand
LEAST_CONFIDENCE, MOST_CONFIDENCE = 1, 5
LONGEST_SECONDS = 86_400.0  # a page left open overnight tells nothing

Confidence = Annotated[int, Field(ge=LEAST_CONFIDENCE, le=MOST_CONFIDENCE)]


class Answer(Record):
    """What a learner answered, as it was scored.

    Attributes:
        learner: `LR-` and hex digits.
        item, version: what was shown.
        quiz, quiz_version: where it was asked; both None in practice.
        token: the client's, new for each answer, the same where it sends one again; 8 to 64 letters.
        credit: 0 to 1.
        right: whether that counts as right.
        confidence: 1 (a guess) to 5 (certain); None: not asked.
        seconds: from showing the item to the answer, at most a day; None: not measured.
        answer: what was chosen, drawn or written, JSON of at most 200 000 letters.

    Raises:
        ValueError: as of pydantic, for anything out of these ranges.
    """

    learner: str
    item: str
    version: Annotated[int, Field(ge=1)]
    quiz: str | None = None
    quiz_version: Annotated[int | None, Field(ge=1)] = None
    token: Annotated[str, Field(pattern=r"^[\w.:-]{8,64}$")]
    credit: Annotated[float, Field(ge=0, le=1)]
    right: bool
    confidence: Confidence | None = None
    seconds: Annotated[float | None, Field(ge=0, allow_inf_nan=False)] = None
    answer: Annotated[str, Field(max_length=LONGEST_ANSWER)]

    @field_validator("seconds")
    @classmethod
    def _of_one_day(cls, seconds: float | None) -> float | None:
        return None if seconds is None else min(seconds, LONGEST_SECONDS)

    @field_validator("answer")
    @classmethod
    def _json(cls, answer: str) -> str:
        """In one way of writing, in ASCII: every database can keep it."""
        try:
            told = json.loads(answer, parse_constant=_no_number)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"an answer is JSON: {error}") from error
        return json.dumps(told, separators=(",", ":"), allow_nan=False)

    @model_validator(mode="after")
    def _a_quiz_has_a_version(self) -> Answer:
        if (self.quiz is None) != (self.quiz_version is None):
            raise ValueError("an answer names a quiz with its version, or neither")
        return self


class Given(Record):
    """An answer as it is kept: its number, which counts up with time, and when it was taken (ISO 8601, UTC)."""

    id: int
    at: str
    answer: Answer


class Receipt(Record):
    """That an answer is kept; `new` is false where it was sent before and the first one stands."""

    given: Given
    new: bool


class Answers(Record):
    """Which answers are asked for; what is left empty lets everything pass.

    Attributes:
        practice: only those in practice (True), only those in quizzes (False), both (None).
        first: only the first answer of each learner to each item, in each quiz and in practice: what item statistics
            count, since later ones know the feedback.
    """

    learner: str = ""
    item: str = ""
    version: int | None = None
    quiz: str = ""
    practice: bool | None = None
    first: bool = False


def take(session: Session, answer: Answer, at: str) -> Receipt:
    """Keeps an answer, or finds it where it was sent before.

    Args:
        at: when it was given, ISO 8601 in UTC with microseconds.

    Raises:
        MedDiffError: an unknown learner, item or quiz, or an item that no learner may see.
    """
    learner_row(session, answer.learner)
    before = session.scalars(
        select(AnswerRow).where(AnswerRow.learner == answer.learner, AnswerRow.token == answer.token)
    ).first()
    if before is not None:
        return Receipt(given=given(before), new=False)
    _may_be_answered(session, answer)
    fields = answer.model_dump()
    row = AnswerRow(is_right=fields.pop("right"), at=at, **fields)
    session.add(row)
    session.flush()  # gives it its number
    return Receipt(given=given(row), new=True)


def learner_row(session: Session, learner: str, lock: bool = False) -> LearnerRow:
    """The row of a learner.

    Args:
        lock: until the transaction ends, where the database locks rows.

    Raises:
        MedDiffError: there is none, or they were erased.
    """
    row = session.get(LearnerRow, learner, with_for_update=True if lock else None)
    if row is None:
        raise MedDiffError("This learner is not known here, or was erased: join again to go on.")
    return row


def read(session: Session, wanted: Answers) -> tuple[Given, ...]:
    """The answers asked for, in the order in which they came."""
    return tuple(given(row) for row in session.scalars(select(AnswerRow).where(*_met(wanted)).order_by(AnswerRow.id)))


def given(row: AnswerRow) -> Given:
    """An answer of its row."""
    names = [name for name in Answer.model_fields if name != "right"]
    fields = {name: getattr(row, name) for name in names}
    return Given(id=row.id, at=row.at, answer=Answer(**fields, right=row.is_right))


def _may_be_answered(session: Session, answer: Answer) -> None:
    version = session.get(ItemVersionRow, (answer.item, answer.version))
    if version is None or not version.approved:
        raise MedDiffError(
            f"Version {answer.version} of {answer.item} cannot be answered: it was never approved. Load the question again."
        )
    if answer.quiz is None:
        return
    quiz = session.get(QuizVersionRow, (answer.quiz, answer.quiz_version))
    if quiz is None or answer.item not in json.loads(quiz.record)["items"]:
        raise MedDiffError(
            f"{answer.item} is not in version {answer.quiz_version} of the quiz {answer.quiz}: load the quiz again."
        )


def _met(wanted: Answers) -> list[ColumnElement[bool]]:
    met: list[ColumnElement[bool]] = []
    for column, value in (
        (AnswerRow.learner, wanted.learner),
        (AnswerRow.item, wanted.item),
        (AnswerRow.version, wanted.version),
        (AnswerRow.quiz, wanted.quiz),
    ):
        if value:
            met.append(column == value)
    if wanted.practice is not None:
        met.append(AnswerRow.quiz.is_(None) if wanted.practice else AnswerRow.quiz.is_not(None))
    if wanted.first:
        firsts = select(func.min(AnswerRow.id)).group_by(AnswerRow.learner, AnswerRow.item, AnswerRow.quiz)
        met.append(AnswerRow.id.in_(firsts))
    return met


def _no_number(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON")
