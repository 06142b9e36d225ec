"""A quiz made ready to leave: approved items, sealed pictures, and the words around them. Every exporter takes this and nothing else.

The one door: a `Picture` is made of a `SealedImage` alone, so no exporter can be given pixels that are not sealed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from meddiff.case import MedDiffError, Task
from meddiff.exchange.png import screen_bytes
from meddiff.marking.seal import SealedCase, SealedImage, require_sealed
from meddiff.teaching.export.outline import Point, Polygon, deepest, polygons, within
from meddiff.teaching.export.words import WORDS, Words
from meddiff.teaching.item import (
    TWIN,
    ChoiceItem,
    FreeTextItem,
    Item,
    LocaliseItem,
    OrderItem,
    Role,
    SizeItem,
    State,
)

MOST_EXPLAINED = 2  # cases of an item whose outline and twin are shown in its feedback; more would bury the words
LONGEST_TITLE = 200
# What XML 1.0 (section 2.2) cannot hold, and half characters: no file can carry them.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")

CaseOf = Callable[[str], SealedCase]


@dataclass(frozen=True, eq=False)
class Picture:
    """A sealed picture as a file.

    Attributes:
        sealed: what it shows.
        alternative: what stands where it cannot be seen.
        like: 16 bits are shown at this picture's window.
        data: an 8-bit PNG made of `sealed`, with its notice and without its record, which holds the answer.

    Raises:
        MedDiffError: not sealed.
    """

    sealed: SealedImage
    alternative: str
    like: SealedImage | None = None
    data: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "data", screen_bytes(self.sealed, self.like, record=False))

    @property
    def name(self) -> str:
        """Of the file, 28 characters: another content is another name, and nothing in it tells the answer."""
        return f"{self.sealed.provenance.case_id}-{hashlib.sha256(self.data).hexdigest()[:8]}.png"

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        rows, columns = self.sealed.outside_stamp.shape
        return columns, rows


@dataclass(frozen=True, eq=False)
class Explained:
    """A picture of the feedback: what stands below it, and the lesion's outline to draw over it."""

    picture: Picture
    caption: str
    outline: tuple[Polygon, ...] = ()


@dataclass(frozen=True, eq=False)
class View:
    """One case of a question: the picture that is asked about, and what is shown of it afterwards."""

    picture: Picture
    label: str  # empty where a question has one picture
    explained: tuple[Explained, ...] = ()


@dataclass(frozen=True)
class Option:
    """One choice: its letter, and whether it is the key."""

    letter: str
    text: str
    feedback: str
    right: bool


@dataclass(frozen=True, eq=False)
class Target:
    """Where a click is right: the outline grown by the item's tolerance; `point` (x, y) lies deep in it."""

    areas: tuple[Polygon, ...]
    point: Point


NOWHERE = Target((), (0, 0))


@dataclass(frozen=True, eq=False)
class Question:
    """An approved item with its pictures."""

    number: int  # from 1
    item: Item
    words: Words
    views: tuple[View, ...]
    target: Target = NOWHERE  # of a `LocaliseItem`

    @property
    def options(self) -> tuple[Option, ...]:
        """The choices of a `ChoiceItem`, none of other items."""
        if not isinstance(self.item, ChoiceItem):
            return ()
        return tuple(
            Option("ABCDEF"[place], choice.text, choice.feedback, place == self.item.key)
            for place, choice in enumerate(self.item.choices)
        )

    @property
    def in_order(self) -> tuple[int, ...]:
        """Places of the views, from 0, in the order that an `OrderItem` asks for."""
        return tuple(self.item.cases.index(case) for case in self.item.key) if isinstance(self.item, OrderItem) else ()

    @property
    def answer(self) -> str:
        """The key in words."""
        match self.item:
            case ChoiceItem():
                right = self.options[self.item.key]
                return f"{right.letter}. {right.text}"
            case LocaliseItem():
                return self.words.place.format(self.item.tolerance_mm)
            case SizeItem():
                return self.words.size.format(self.item.key_mm, self.item.tolerance_mm)
            case OrderItem():
                return ", ".join(self.views[place].label for place in self.in_order)
            case FreeTextItem():
                return "; ".join(expected.ways[0] for expected in self.item.expected)

    @property
    def task(self) -> str:
        """What to do, where the pictures do not say it."""
        match self.item:
            case LocaliseItem():
                return self.words.how_to_mark
            case OrderItem():
                return self.words.how_to_order
        return ""

    @property
    def scheme(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """How a free text is scored, as headings with lines; empty for other items."""
        if not isinstance(self.item, FreeTextItem):
            return ()
        expected = [f"{one.name} ({one.weight:g}): {' / '.join(one.ways)}" for one in self.item.expected]
        against = [f"{one.name}: {' / '.join(one.ways)}" for one in self.item.against]
        told = [(self.words.expected, (*expected, self.words.how_to_score.format(self.item.pass_share)))]
        return (*told, *([(self.words.against, tuple(against))] if against else []))

    @property
    def lessons(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """Teaching points and sources, as headings with lines."""
        both = ((self.words.points, self.item.points), (self.words.sources, self.item.sources))
        return tuple((heading, lines) for heading, lines in both if lines)

    @property
    def explained(self) -> tuple[Explained, ...]:
        """The pictures of the feedback."""
        return tuple(one for view in self.views for one in view.explained)

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """All its pictures, those of the feedback too."""
        return (*(view.picture for view in self.views), *(one.picture for one in self.explained))


@dataclass(frozen=True, eq=False)
class Quiz:
    """What is exported."""

    title: str
    questions: tuple[Question, ...]

    @property
    def words(self) -> Words:
        """Of the first question's language."""
        return self.questions[0].words

    @property
    def notice(self) -> str:
        """What stands on every page, in each language that the quiz uses."""
        return " ".join(dict.fromkeys(question.words.notice for question in self.questions))

    @property
    def files(self) -> dict[str, bytes]:
        """Every picture once: name to PNG, sorted."""
        found = {picture.name: picture.data for question in self.questions for picture in question.pictures}
        return dict(sorted(found.items()))


def read_quiz(title: str, items: Sequence[Item], case_of: CaseOf) -> Quiz:
    """A quiz ready to leave.

    Args:
        case_of: the sealed case of an id, `Bank.open` for one.

    Raises:
        MedDiffError: no title, no item, one that is not approved or stands twice, a case that cannot be had or is not sealed,
            an item that asks for a place on a picture without outline.
    """
    title = " ".join(_printable(title).split())
    if not title or len(title) > LONGEST_TITLE:
        raise MedDiffError(f"Give the quiz a title of 1 to {LONGEST_TITLE} characters.")
    if not items:
        raise MedDiffError(f"The quiz {title!r} has no item: choose at least one.")
    seen: set[str] = set()
    for number, item in enumerate(items, 1):
        if item.state is not State.APPROVED:
            raise MedDiffError(f"Item {number} ({item.id}) is {_STANDING[item.state]}")
        if item.id in seen:
            raise MedDiffError(f"Item {number} ({item.id}) stands in the quiz twice: take one out.")
        seen.add(item.id)
    cases = {case: case_of(case) for item in items for case in item.cases}
    return Quiz(title, tuple(_question(number, _clean(item), cases) for number, item in enumerate(items, 1)))


_STANDING = {
    State.DRAFT: "a draft: approve it first.",
    State.RETIRED: "retired: take it out of the quiz, or approve it again.",
}


def _question(number: int, item: Item, cases: dict[str, SealedCase]) -> Question:
    words = WORDS[item.language]
    views = tuple(
        _view(cases[case], role, words, words.picture.format(place) if len(item.cases) > 1 else "", len(item.cases))
        for place, (case, role) in enumerate(item.shown, 1)
    )
    target = _target(item, [cases[case] for case in item.cases]) if isinstance(item, LocaliseItem) else NOWHERE
    return Question(number, item, words, views, target)


def _view(case: SealedCase, role: Role, words: Words, label: str, beside: int) -> View:
    image, twin = require_sealed(case.image), require_sealed(case.twin)
    alternative = f"{label}. {words.alternative}" if label else words.alternative
    picture = Picture(twin, alternative, like=image) if role == TWIN else Picture(image, alternative)
    if beside > MOST_EXPLAINED or not np.any(case.mask):
        return View(picture, label)
    before = f"{label}: " if label else ""
    removed = case.case.request.task is Task.REMOVE  # there the lesion is on the twin
    shown = Picture(twin if removed else image, alternative, like=image)
    outlined = Explained(
        shown, before + (words.lesion_taken_out if removed else words.outlined), polygons(image.fit(case.mask))
    )
    without = () if removed else (Explained(Picture(twin, alternative, like=image), before + words.without),)
    return View(picture, label, (outlined, *without))


def _target(item: LocaliseItem, cases: list[SealedCase]) -> Target:
    case = cases[0]
    if len(cases) > 1 or not np.any(case.mask) or case.case.request.task is Task.REMOVE:
        raise MedDiffError(
            f"Item {item.id} asks where the lesion is: it needs one case, with an outline of a lesion that its picture shows."
        )
    area = case.image.fit(within(case.mask, case.image.spacing_mm, item.tolerance_mm))
    return Target(polygons(area), deepest(case.image.fit(case.mask)))


def _clean(item: Item) -> Item:
    """The item without characters that no file can hold."""
    return type(item).model_validate(_cleaned(item.model_dump()))


def _cleaned(value: Any) -> Any:
    match value:
        case str():
            return _printable(value) if type(value) is str else value
        case dict():
            return {key: _cleaned(one) for key, one in value.items()}
        case list() | tuple():
            return tuple(_cleaned(one) for one in value)
    return value


def _printable(text: str) -> str:
    return _UNPRINTABLE.sub(" ", text)
