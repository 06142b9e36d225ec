"""One question, as data: what is asked of which cases, what is right, and what each answer is told.

An item names cases by their ids and never holds pixels. Its key comes from what was measured or is certain of a case (the
outline, the twin, the pathology that was asked for and accepted), so that the answer key is right by construction. Whoever
teaches may edit every word; an item is used only once it is approved.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, model_validator

from meddiff.case import MedDiffError, Record

LEAST_CHOICES, MOST_CHOICES = 2, 6
Role = Literal["case", "twin"]  # as `Provenance.role`; the twin has the same anatomy and no lesion
CASE: Role = "case"
TWIN: Role = "twin"


class Kind(StrEnum):
    """What is asked."""

    DIAGNOSIS = "diagnosis"
    FINDING = "finding"
    LOCATION = "location"
    NEXT_STEP = "next_step"
    NORMAL = "normal"  # is there a lesion at all
    COMPARE = "compare"  # which of two
    RESPONSE = "response"  # category of the last visit
    LOCALISE = "localise"  # click or outline
    SIZE = "size"
    ORDER = "order"  # visits in order of time
    FREE_TEXT = "free_text"


class State(StrEnum):
    """Where an item stands: only approved ones are shown to learners."""

    DRAFT = "draft"
    APPROVED = "approved"
    RETIRED = "retired"


class Choice(Record):
    """One answer to choose, and what whoever chooses it is told."""

    text: Annotated[str, Field(min_length=1, max_length=300)]
    feedback: Annotated[str, Field(max_length=2000)] = ""
    key: str = ""  # of the pathology, region or category that it stands for, or empty


class _Item(Record):
    """What all items have.

    Attributes:
        id: `IT-` and 12 hex digits, of kind, cases and seed: the same however the words are edited (`item_id`).
        version: counts edits, from 1.
        stem: the question, one or more sentences.
        cases: ids of the cases shown, in the order shown.
        roles: which picture of each of `cases` is shown, the case or its twin; empty: the case of each.
        feedback: told to everybody after the answer.
        points: teaching points, after the feedback.
        sources: of points and feedback.
        pathology: key in `prompts/pathologies`, or empty for a normal case.
        difficulty: 0 (everybody is right) to 1 (nobody), predicted or as answered; None: not known.
        language: of the words.
    """

    id: Annotated[str, Field(pattern=r"^IT-[0-9a-f]{12}$")]
    version: Annotated[int, Field(ge=1)] = 1
    state: State = State.DRAFT
    stem: Annotated[str, Field(min_length=1, max_length=2000)]
    cases: Annotated[tuple[str, ...], Field(min_length=1, max_length=40)]
    roles: tuple[Role, ...] = ()
    feedback: Annotated[str, Field(max_length=4000)] = ""
    points: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    pathology: str = ""
    difficulty: Annotated[float | None, Field(ge=0, le=1)] = None
    language: Literal["en", "zh"] = "en"
    author: str = ""

    @model_validator(mode="after")
    def _a_role_each(self) -> _Item:
        if self.roles and len(self.roles) != len(self.cases):
            raise ValueError(f"{len(self.cases)} cases are shown with {len(self.roles)} roles: give one each, or none")
        return self

    @property
    def shown(self) -> tuple[tuple[str, Role], ...]:
        """The pictures, in the order shown: id of the case, and which of its two."""
        return tuple(zip(self.cases, self.roles or (CASE,) * len(self.cases), strict=True))


class ChoiceItem(_Item):
    """Single best answer. `key` is the position of the right choice, from 0."""

    kind: Literal[Kind.DIAGNOSIS, Kind.FINDING, Kind.LOCATION, Kind.NEXT_STEP, Kind.NORMAL, Kind.COMPARE, Kind.RESPONSE]
    choices: Annotated[tuple[Choice, ...], Field(min_length=LEAST_CHOICES, max_length=MOST_CHOICES)]
    key: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def _can_be_answered(self) -> ChoiceItem:
        if self.key >= len(self.choices):
            raise ValueError(f"the key is choice {self.key + 1}, and there are {len(self.choices)}")
        texts = [" ".join(choice.text.casefold().split()) for choice in self.choices]
        if twice := {text for text in texts if texts.count(text) > 1}:
            raise ValueError(f"two choices say {min(twice)!r}: write each once")
        return self


class LocaliseItem(_Item):
    """Where is the lesion? A click is right within `tolerance_mm` of the true outline; an outline is scored by its Dice."""

    kind: Literal[Kind.LOCALISE] = Kind.LOCALISE
    tolerance_mm: Annotated[float, Field(ge=0, le=50)] = 3.0
    least_dice: Annotated[float, Field(gt=0, le=1)] = 0.5


class SizeItem(_Item):
    """How large is it? In mm, right within `tolerance_mm`."""

    kind: Literal[Kind.SIZE] = Kind.SIZE
    key_mm: Annotated[float, Field(gt=0)]
    tolerance_mm: Annotated[float, Field(gt=0)]


class OrderItem(_Item):
    """Put these visits in order: `cases` as they are shown, `key` in order of time."""

    kind: Literal[Kind.ORDER] = Kind.ORDER
    key: tuple[str, ...]

    @model_validator(mode="after")
    def _same_cases(self) -> OrderItem:
        if sorted(self.key) != sorted(self.cases):
            raise ValueError("the key must name the cases shown, each once")
        return self


class Expected(Record):
    """One thing that a free-text answer should say, and all ways to say it; the first is shown in the feedback."""

    name: str  # diagnosis, side, region, enhancement, ...
    ways: Annotated[tuple[str, ...], Field(min_length=1)]
    weight: Annotated[float, Field(gt=0)] = 1.0


class FreeTextItem(_Item):
    """Describe what you see: scored by how much of `expected` is said, by synonyms; `against` is what would contradict it."""

    kind: Literal[Kind.FREE_TEXT] = Kind.FREE_TEXT
    expected: Annotated[tuple[Expected, ...], Field(min_length=1)]
    against: tuple[Expected, ...] = ()
    pass_share: Annotated[float, Field(gt=0, le=1)] = 0.5


Item = Annotated[ChoiceItem | LocaliseItem | SizeItem | OrderItem | FreeTextItem, Field(discriminator="kind")]
_ITEM: TypeAdapter[Item] = TypeAdapter(Item)


def item_id(kind: Kind, cases: Sequence[str], seed: int = 0) -> str:
    """The id of an item that asks this of these cases; another seed is another item of the same kind."""
    told = "\n".join((kind.value, *cases, str(seed)))
    return "IT-" + hashlib.sha256(told.encode()).hexdigest()[:12]


def read_item(text: str | bytes) -> Item:
    """An item of its JSON.

    Raises:
        MedDiffError: it is no item, or holds what no item may.
    """
    try:
        return _ITEM.validate_json(text)
    except ValueError as error:
        raise MedDiffError(f"This is no item of MedDiff, or it was changed: {_first(error)}") from error


def _first(error: ValueError) -> str:
    told = getattr(error, "errors", None)
    if told is None:
        return str(error)
    first = told()[0]
    place = ".".join(map(str, first["loc"]))
    return f"{place + ': ' if place else ''}{first['msg'].removeprefix('Value error, ')}."
