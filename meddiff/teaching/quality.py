"""Is an item well written? Rules that tell a learner nothing but the question, as sentences an educator can act on.

After Haladyna, Downing, Rodriguez, *Applied Measurement in Education* 15(3), 2002, and NBME, *Item-Writing Guide*, 2020.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from statistics import median

from meddiff.case import Enhancement, Margin, Region
from meddiff.conditions.response import Category
from meddiff.conditions.vocabulary import load_pathologies
from meddiff.teaching.free_text import Said, hear
from meddiff.teaching.item import Choice, ChoiceItem, FreeTextItem, Item, Kind

LONGEST = 1.6  # times the median length of an item's choices
LEAST_LETTERS = 4  # of a word that can be a clue
_ABSOLUTE = re.compile(
    r"\b(?:always|never|(?:all|none|both|any) of (?:the above|these|them)|a and b)\b|以上都|以上皆|总是|从不", re.I
)
_COMMON = {"what", "which", "that", "this", "these", "with", "without", "from", "most", "does", "shown", "show", "the"}
_ARTICLE = re.compile(r"\b(an?)\W*$", re.I)
_SWAPPED = {
    Kind.DIAGNOSIS,
    Kind.FINDING,
    Kind.LOCATION,
    Kind.NEXT_STEP,
}  # the others' choices have an order of their own


def faults(item: Item) -> tuple[str, ...]:
    """What is to be changed before an item is used; none for a good one."""
    if isinstance(item, ChoiceItem):
        checks = (_without_feedback, _said_twice, _too_long, _of_other_kind, _absolute, _clues, _article)
        return tuple(fault for check in checks for fault in check(item))
    return tuple(_given_away(item)) if isinstance(item, FreeTextItem) else ()


def balanced(items: Sequence[Item], seed: int = 0) -> tuple[Item, ...]:
    """The same items with the right answers at each place equally often, to within one, in an order drawn from `seed`.

    Choices move, where they have no order of their own; of two pictures to compare, the pictures change places. For
    drafts: an answer names a choice by its place.
    """
    chance = random.Random(seed)
    placed = list(items)
    groups: dict[tuple[bool, int], list[int]] = {}
    for number, item in enumerate(items):
        if isinstance(item, ChoiceItem) and (item.kind in _SWAPPED or _is_pair(item)):
            groups.setdefault((_is_pair(item), len(item.choices)), []).append(number)
    for (pair, count), numbers in sorted(groups.items()):
        first = chance.randrange(count)  # so that what is left over does not fall to the first place
        places = [(first + i) % count for i in range(len(numbers))]
        chance.shuffle(places)
        for number, place in zip(numbers, places, strict=True):
            item = items[number]
            assert isinstance(item, ChoiceItem)
            placed[number] = _pair_at(item, place) if pair else _key_at(item, place)
    return tuple(placed)


def length_of(text: str) -> int:
    """Length of a choice: characters, spaces around and between words counted once."""
    return len(" ".join(text.split()))


def too_long(texts: Sequence[str]) -> list[int]:
    """Places of the texts that are longer than `LONGEST` times the median."""
    limit = LONGEST * median(map(length_of, texts))
    return [place for place, text in enumerate(texts) if length_of(text) > limit]


def _without_feedback(item: ChoiceItem) -> list[str]:
    return [
        f"{_named(item, place)} has no feedback: say what whoever chooses it should learn."
        for place, choice in enumerate(item.choices)
        if not choice.feedback.strip()
    ]


def _said_twice(item: ChoiceItem) -> list[str]:
    seen: dict[str, int] = {}
    found = []
    for place, choice in enumerate(item.choices):
        first = seen.setdefault("".join(re.findall(r"\w+", choice.text.casefold())), place)
        if first != place:
            found.append(f"{_named(item, place)} says the same as choice {first + 1}: replace one of them.")
    keys = [choice.key for choice in item.choices if choice.key]
    if len(set(keys)) < len(keys):
        found.append("Two choices stand for the same thing: replace one of them.")
    return found


def _too_long(item: ChoiceItem) -> list[str]:
    return [
        f"{_named(item, place)} is much longer than the others, which draws the eye: shorten it or lengthen the others."
        for place in too_long([choice.text for choice in item.choices])
    ]


def _of_other_kind(item: ChoiceItem) -> list[str]:
    """What most choices stand for; those that stand for something else."""
    kinds = [_stands_for(choice) for choice in item.choices]
    usual = max(kinds, key=kinds.count)
    return [
        f"{_named(item, place)} stands for {kind}, the others for {usual}: offer choices of one kind."
        for place, kind in enumerate(kinds)
        if kind != usual
    ]


def _absolute(item: ChoiceItem) -> list[str]:
    return [
        f'{_named(item, place)} says "{found.group(0)}", which test-wise learners choose by: say it without.'
        for place, choice in enumerate(item.choices)
        if (found := _ABSOLUTE.search(choice.text))
    ]


def _clues(item: ChoiceItem) -> list[str]:
    others = [_clue_words(choice.text) for place, choice in enumerate(item.choices) if place != item.key]
    shared = _clue_words(item.stem) & _clue_words(item.choices[item.key].text)
    return [
        f'"{word}" stands in the stem and, of all choices, in the right one only: take it out of the stem, or put it into a wrong choice too.'
        for word in sorted(shared)
        if not any(word in words for words in others)
    ]


def _article(item: ChoiceItem) -> list[str]:
    """The stem's last word is "a" or "an", and a choice does not go with it."""
    found = _ARTICLE.search(item.stem)
    if not found:
        return []
    asks = found.group(1).casefold() == "an"
    return [
        f'The stem ends with "{found.group(1)}", which does not go with {choice.text!r}: end it with "a(n)", or put the article into the choices.'
        for choice in item.choices
        if (choice.text.strip()[:1].casefold() in "aeiou") != asks
    ][:1]


def _given_away(item: FreeTextItem) -> list[str]:
    return [
        f"The stem says what is asked for ({one.name}: {one.ways[0]}): take it out."
        for one, said in zip(item.expected, hear(item.stem, item.expected), strict=True)
        if said is not Said.MISSED
    ]


def _named(item: ChoiceItem, place: int) -> str:
    return f'Choice {place + 1} ("{item.choices[place].text}")'


def _stands_for(choice: Choice) -> str:
    """The kind of thing that a choice's key names."""
    if choice.key in load_pathologies():
        return "a pathology"
    if choice.key in (*Enhancement, *Margin):
        return "a look"
    if choice.key in tuple(Category):
        return "a response"
    if choice.key and any(choice.key.endswith(region.value) for region in Region):
        return "a place"
    return "something else"


def _clue_words(text: str) -> set[str]:
    """Words of four letters or more without their plural s, and pairs of Chinese characters."""
    words = {word.removesuffix("s") for word in re.findall(r"[a-z]+", text.casefold()) if len(word) >= LEAST_LETTERS}
    runs = re.findall(r"[\u4e00-\u9fff]+", text)
    return (words - _COMMON) | {run[i : i + 2] for run in runs for i in range(len(run) - 1)}


def _is_pair(item: ChoiceItem) -> bool:
    return item.kind is Kind.COMPARE and len(item.cases) == len(item.choices) == 2


def _key_at(item: ChoiceItem, place: int) -> ChoiceItem:
    choices = [choice for number, choice in enumerate(item.choices) if number != item.key]
    choices.insert(place, item.choices[item.key])
    return item.model_copy(update={"choices": tuple(choices), "key": place})


def _pair_at(item: ChoiceItem, place: int) -> ChoiceItem:
    """A pair of pictures with the right one at a place: the pictures change, "the first" stays the first."""
    if item.key == place:
        return item
    one, other = item.choices
    choices = (
        one.model_copy(update={"feedback": other.feedback, "key": other.key}),
        other.model_copy(update={"feedback": one.feedback, "key": one.key}),
    )
    return item.model_copy(
        update={"cases": item.cases[::-1], "roles": item.roles[::-1], "choices": choices, "key": place}
    )
