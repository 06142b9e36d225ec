"""Quizzes built by wishes, and the table of what a quiz covers.

Only approved items are taken, no case stands in a quiz twice, and pathologies and kinds are taken in turn, so that none
crowds out the others. The same store, wishes and seed give the same items in the same order.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Annotated

from pydantic import Field, model_validator
from sqlalchemy import select

from meddiff.case import MedDiffError, Record
from meddiff.teaching.item import Item, Kind, State
from meddiff.teaching.quiz import MOST_ITEMS, Quiz, QuizSettings, new_quiz_id
from meddiff.teaching.store import ItemSearch, Questions, shown_to_learners
from meddiff.teaching.tables import ItemRow

NORMAL = "normal"  # how a table names the items without a pathology
BANDS = (
    ("easy", 0.3),
    ("medium", 0.7),
    ("hard", 1.0),
)  # of difficulty, up to and including; 1 - p of classical item analysis
UNKNOWN = "not known"
# How long an answer takes with the picture and the feedback, seconds: author's estimate, until answers tell.
EXPECTED_SECONDS = {
    Kind.DIAGNOSIS: 60,
    Kind.FINDING: 45,
    Kind.LOCATION: 40,
    Kind.NEXT_STEP: 75,
    Kind.NORMAL: 40,
    Kind.COMPARE: 75,
    Kind.RESPONSE: 90,
    Kind.LOCALISE: 45,
    Kind.SIZE: 60,
    Kind.ORDER: 90,
    Kind.FREE_TEXT: 120,
}


class Blueprint(Record):
    """What a quiz shall have; pathologies, kinds or difficulties that are left empty may all come.

    Attributes:
        number: of items, 1 to 200.
        pathologies: keys, of the items with a lesion.
        kinds: of all items.
        modality: of all items' cases, "MR"; empty: any.
        normal_share: 0 to 1, of items on a normal case; their number is rounded to the nearest, halves up.
        difficulty_from, difficulty_to: 0 (everybody is right) to 1, both ends included; items whose difficulty is not
            known come only where both are None.
    """

    title: str = "Quiz"
    number: Annotated[int, Field(ge=1, le=MOST_ITEMS)] = 10
    pathologies: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    kinds: tuple[Kind, ...] = ()
    modality: str = ""
    normal_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    difficulty_from: Annotated[float | None, Field(ge=0, le=1)] = None
    difficulty_to: Annotated[float | None, Field(ge=0, le=1)] = None
    settings: QuizSettings = QuizSettings()

    @model_validator(mode="after")
    def _difficulties_in_order(self) -> Blueprint:
        low, high = self.difficulty_from, self.difficulty_to
        if low is not None and high is not None and low > high:
            raise ValueError(f"the lowest difficulty, {low:g}, is above the highest, {high:g}")
        return self

    @property
    def normals(self) -> int:
        """How many items are on a normal case."""
        return int(self.number * self.normal_share + 0.5)


class Count(Record):
    """How many items of a quiz have this."""

    name: str
    items: int


class BlueprintTable(Record):
    """What a quiz covers.

    Attributes:
        pathologies, kinds, difficulties: the most frequent first, difficulties from easy to hard.
        normal_share: 0 to 1.
        minutes: expected for all items together.
        repeated_cases: ids of cases that stand in more than one item: the feedback of one gives away the other.
        waiting: ids of items that learners do not see, because they are not approved.
        modalities: of the items whose cases are in the bank.
        held_back: ids of approved items that learners do not see, because a case of theirs was deleted or rejected.
    """

    items: int
    pathologies: tuple[Count, ...]
    kinds: tuple[Count, ...]
    difficulties: tuple[Count, ...]
    normal_share: float
    minutes: float
    repeated_cases: tuple[str, ...]
    waiting: tuple[str, ...]
    held_back: tuple[str, ...] = ()
    modalities: tuple[Count, ...] = ()


def build_quiz(questions: Questions, wishes: Blueprint, seed: int = 0) -> Quiz:
    """Picks a quiz out of the approved items; it is not kept yet (`quiz.save_quiz`). Each call gives a new id.

    Args:
        seed: of what is picked and of the order.

    Raises:
        MedDiffError: the store has too few; it says how many there are, and how many wait for approval.
    """
    chance = random.Random(seed)
    pools = {normal: _candidates(questions, wishes, State.APPROVED, normal) for normal in (False, True)}
    numbers = {False: wishes.number - wishes.normals, True: wishes.normals}
    picked: list[Item] = []
    # The scarcer ones first: an item that compares a lesion with a normal case would otherwise use its case up.
    for normal in sorted(pools, key=lambda normal: len(pools[normal]) - numbers[normal]):
        used = {case for item in picked for case in item.cases}
        got = _pick(pools[normal], numbers[normal], used, chance)
        if len(got) < numbers[normal]:
            raise MedDiffError(_too_few(questions, wishes, normal, len(got), numbers[normal]))
        picked += got
    chance.shuffle(picked)
    ids = tuple(item.id for item in picked)
    return Quiz(id=new_quiz_id(), title=wishes.title, items=ids, settings=wishes.settings)


def blueprint_of(questions: Questions, quiz: Quiz) -> BlueprintTable:
    """The table of what a quiz covers, kept or not.

    Raises:
        MedDiffError: an item of it is not in the store.
    """
    items = questions.items(quiz.items)
    cases = Counter(case for item in items for case in set(item.cases))
    normals = sum(not item.pathology for item in items)
    bands = Counter(band(item.difficulty) for item in items)
    held_back = set(questions.held_back())
    return BlueprintTable(
        items=len(items),
        pathologies=_counts(Counter(item.pathology or NORMAL for item in items)),
        kinds=_counts(Counter(item.kind.value for item in items)),
        difficulties=tuple(
            Count(name=name, items=bands[name]) for name in (*(name for name, _ in BANDS), UNKNOWN) if bands[name]
        ),
        normal_share=normals / len(items),
        minutes=sum(EXPECTED_SECONDS[item.kind] for item in items) / 60,
        repeated_cases=tuple(sorted(case for case, number in cases.items() if number > 1)),
        waiting=tuple(item.id for item in items if item.state is not State.APPROVED),
        modalities=_counts(Counter(questions.modalities(quiz.items))),
        held_back=tuple(item_id for item_id in quiz.items if item_id in held_back),
    )


def band(difficulty: float | None) -> str:
    """Easy (up to 0.3), medium (up to 0.7), hard, or not known."""
    if difficulty is None:
        return UNKNOWN
    return next(name for name, end in BANDS if difficulty <= end)


def range_of(name: str) -> tuple[float, float]:
    """The difficulties of a band, both ends included; all where there is no such band."""
    low = 0.0
    for band_name, end in BANDS:
        if band_name == name:
            return low, end
        low = end
    return 0.0, 1.0


def bands_of(questions: Questions) -> list[str]:
    """Bands of which learners can be shown a question; none where all are of one band."""
    query = select(ItemRow.difficulty).where(*shown_to_learners()).distinct()
    known = [one for one in questions.read(lambda session: session.scalars(query).all()) if one is not None]
    ends = {name: range_of(name) for name, _ in BANDS}
    found = [name for name, (low, high) in ends.items() if any(low <= one <= high for one in known)]
    return found if len(found) > 1 else []


def _candidates(questions: Questions, wishes: Blueprint, state: State, normal: bool) -> list[Item]:
    """Items with a lesion, or on normal cases, that meet the wishes, by id."""
    wanted = ItemSearch(
        kinds=wishes.kinds,
        state=state,
        language=wishes.settings.language,
        modality=wishes.modality,
        pathologies=("",) if normal else wishes.pathologies,
        difficulty_from=wishes.difficulty_from,
        difficulty_to=wishes.difficulty_to,
    )
    items = sorted(questions.find(wanted).items, key=lambda item: item.id)
    held_back = set(questions.held_back())
    return [item for item in items if (not item.pathology) is normal and item.id not in held_back]


def _pick(pool: Sequence[Item], number: int, used: set[str], chance: random.Random) -> list[Item]:
    """Up to `number` items that share no case, in turn of pathology and kind.

    Where items show several cases each, taking them in turn can block others; items of few cases first leave most room.
    """
    shuffled = list(pool)
    chance.shuffle(shuffled)
    got = _in_turn(shuffled, number, used, lambda item: 0)
    if len(got) < number:
        got = max(got, _in_turn(shuffled, number, used, lambda item: len(item.cases)), key=len)
    return got


def _in_turn(pool: Sequence[Item], number: int, used: set[str], first: Callable[[Item], int]) -> list[Item]:
    free, taken, got = list(pool), set(used), list[Item]()
    pathologies, kinds = Counter[str](), Counter[Kind]()
    while len(got) < number and (free := [item for item in free if taken.isdisjoint(item.cases)]):
        item = min(free, key=lambda one: (first(one), pathologies[one.pathology], kinds[one.kind]))
        got.append(item)
        taken.update(item.cases)
        pathologies[item.pathology] += 1
        kinds[item.kind] += 1
    return got


def _too_few(questions: Questions, wishes: Blueprint, normal: bool, got: int, number: int) -> str:
    of = f"of {', '.join(wishes.pathologies)}" if wishes.pathologies else "with a lesion"
    on = f" on {wishes.modality}" if wishes.modality else ""
    drafts = len(_candidates(questions, wishes, State.DRAFT, normal))
    wait = f" {drafts} more {'waits' if drafts == 1 else 'wait'} for approval." if drafts else ""
    return (
        f"The store has {got or 'no'} approved {_plural('item', got)} {'on a normal case' if normal else of}{on} "
        f"that {'fits' if got == 1 else 'fit'}, each with a case of its own, and {number} {'is' if number == 1 else 'are'} wanted."
        f"{wait} Approve more items, widen the wishes, or ask for fewer."
    )


def _plural(word: str, number: int) -> str:
    return word if number == 1 else f"{word}s"


def _counts(counted: Counter[str]) -> tuple[Count, ...]:
    order = sorted(counted.items(), key=lambda pair: (-pair[1], pair[0]))
    return tuple(Count(name=name, items=number) for name, number in order)
