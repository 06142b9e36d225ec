"""An answer against an item: how much of it is right, and what the learner is told.

Credits go from 0 to 1. Places are judged on the true outline of the case, in mm, free text by synonyms; nothing here looks
at pixels of a picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Annotated

import numpy as np
from pydantic import Field, FiniteFloat, model_validator

from meddiff.case import MaskSpec, MedDiffError, Record
from meddiff.conditions.measure import dice
from meddiff.teaching.free_text import Said, hear
from meddiff.teaching.item import ChoiceItem, FreeTextItem, Item, LocaliseItem, OrderItem, SizeItem

_FORMS = ("chosen", "click", "outline", "text", "order", "size_mm")  # of an answer; at most one is given


class Answer(Record):
    """What a learner answered; nothing of `chosen` to `size_mm`: passed over.

    Attributes:
        item, version: as they were answered.
        chosen: position of the choice, from 0.
        click: row and column in pixels of the picture, from 0; pixel centres are whole numbers.
        outline: drawn on the picture's own pixels.
        order: ids of the cases, the earliest first.
        confidence: 0 (a guess) to 1 (certain); None: not asked.
        seconds: from the question to the answer; None: not timed.
    """

    item: str
    version: Annotated[int, Field(ge=1)] = 1
    chosen: Annotated[int, Field(ge=0)] | None = None
    click: tuple[FiniteFloat, FiniteFloat] | None = None
    outline: MaskSpec | None = None
    text: Annotated[str, Field(max_length=4000)] = ""
    order: tuple[str, ...] = ()
    size_mm: Annotated[float, Field(ge=0, le=1000)] | None = None
    confidence: Annotated[float, Field(ge=0, le=1)] | None = None
    seconds: Annotated[FiniteFloat, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _one_form(self) -> Answer:
        if len(given := self.given) > 1:
            raise ValueError(f"{' and '.join(given)} are given: answer in one way")
        return self

    @property
    def given(self) -> tuple[str, ...]:
        """The form the answer has; empty where the item was passed over."""
        return tuple(name for name in _FORMS if getattr(self, name) not in (None, "", ()))


@dataclass(frozen=True, eq=False)
class Truth:
    """The true outline of an item's case: bool [H, W] on the picture's own pixels, without the rows that the stamp appends.

    Attributes:
        spacing_mm: between pixels, row and column.
    """

    mask: np.ndarray
    spacing_mm: tuple[float, float]


class Heard(Record):
    """One thing that a free-text answer should have said, or (`against`) should not."""

    name: str
    way: str  # as it is shown
    said: Said
    against: bool = False


class Score(Record):
    """What an answer is worth: credit 0 to 1, whether it counts as right, what the learner is told."""

    credit: Annotated[float, Field(ge=0, le=1)]
    right: bool
    feedback: str
    heard: tuple[Heard, ...] = ()  # of free text


def score(item: Item, answer: Answer, truth: Truth | None = None) -> Score:
    """Scores one answer.

    | kind | right | credit |
    |---|---|---|
    | choice | the key is chosen | 1 or 0 |
    | localise, a click | within `tolerance_mm` of the outline, 0 mm inside it | 1 or 0 |
    | localise, an outline | Dice of `least_dice` or more | the Dice |
    | size | within `tolerance_mm` | 1, falling to 0 at twice the tolerance |
    | order | all in order | share of pairs in order (Kendall, *Biometrika* 30, 1938) |
    | free text | a credit of `pass_share` or more | weight of what is said less that of what is denied or said against it, over all |

    Args:
        truth: for a localise item.

    Raises:
        MedDiffError: the answer is to another item or version, or in a form that this item does not have; a localise item
            without the outline of its case, or an outline drawn on another size.
    """
    if answer.item != item.id or answer.version != item.version:
        raise MedDiffError(
            f"The answer is to {answer.item}, version {answer.version}, and the item is {item.id}, version {item.version}: "
            "score it against the version that was shown."
        )
    if not answer.given:
        return Score(credit=0, right=False, feedback=_say(item, "blank", key=_key(item)))
    form = answer.given[0]
    if isinstance(item, ChoiceItem) and form == "chosen":
        return _choice(item, answer)
    if isinstance(item, LocaliseItem) and form in ("click", "outline"):
        return _place(item, answer, truth)
    if isinstance(item, SizeItem) and answer.size_mm is not None:
        return _size(item, answer.size_mm)
    if isinstance(item, OrderItem) and form == "order":
        return _order(item, answer.order)
    if isinstance(item, FreeTextItem) and form == "text":
        return _free_text(item, answer.text)
    raise MedDiffError(f"{item.id} asks for {item.kind.value.replace('_', ' ')}: it cannot be answered by {form}.")


def click_distance_mm(click: tuple[float, float], truth: Truth) -> float:
    """Distance in mm from a click (row, column) to the nearest pixel of the outline, by pixel centres; 0 inside it.

    A click beside the picture, on the rows that the stamp appends to it, is merely far away.

    Raises:
        MedDiffError: there is no outline.
    """
    _check(truth)
    place = np.array([round(part) for part in click])
    return float(np.linalg.norm((np.argwhere(truth.mask) - place) * truth.spacing_mm, axis=1).min())


def _choice(item: ChoiceItem, answer: Answer) -> Score:
    chosen = answer.chosen or 0
    if chosen >= len(item.choices):
        raise MedDiffError(f"{item.id} has {len(item.choices)} choices, and choice {chosen + 1} was answered.")
    right, choice = chosen == item.key, item.choices[chosen]
    told = _say(item, "right" if right else "chosen", key=_key(item), answer=choice.text)
    return Score(credit=float(right), right=right, feedback=f"{told} {choice.feedback}".strip())


def _place(item: LocaliseItem, answer: Answer, truth: Truth | None) -> Score:
    if truth is None:
        raise MedDiffError(f"{item.id} asks where the lesion is: give the outline of its case to score it.")
    if answer.click is not None:
        away = click_distance_mm(answer.click, truth)
        right = away <= item.tolerance_mm
        told = _say(item, ("inside" if away == 0 else "near") if right else "away", away=away, limit=item.tolerance_mm)
        return Score(credit=float(right), right=right, feedback=told)
    _check(truth)
    assert answer.outline is not None
    drawn = answer.outline.to_array()
    if drawn.shape != truth.mask.shape:
        raise MedDiffError(
            f"The outline is {drawn.shape[0]} by {drawn.shape[1]} pixels and the picture {truth.mask.shape[0]} by "
            f"{truth.mask.shape[1]}: draw it on the picture."
        )
    overlap = dice(drawn, truth.mask)
    right = overlap >= item.least_dice
    return Score(credit=overlap, right=right, feedback=_say(item, "overlap", overlap=overlap, limit=item.least_dice))


def _size(item: SizeItem, size_mm: float) -> Score:
    error = abs(size_mm - item.key_mm)
    right = error <= item.tolerance_mm
    credit = 1.0 if right else max(0.0, 2 - error / item.tolerance_mm)
    return Score(credit=credit, right=right, feedback=_say(item, "size", key=item.key_mm, limit=item.tolerance_mm))


def _order(item: OrderItem, order: tuple[str, ...]) -> Score:
    if sorted(order) != sorted(item.key):
        raise MedDiffError(f"{item.id} shows {len(item.key)} cases: put each of them in order, once.")
    at = {case: place for place, case in enumerate(item.key)}
    pairs = [at[before] < at[after] for before, after in combinations(order, 2)]
    credit = sum(pairs) / len(pairs) if pairs else 1.0
    return Score(credit=credit, right=all(pairs), feedback=_say(item, "order", good=sum(pairs), all=len(pairs)))


def _free_text(item: FreeTextItem, text: str) -> Score:
    listened = (*item.expected, *item.against)
    heard = tuple(
        Heard(name=one.name, way=one.ways[0], said=said, against=number >= len(item.expected))
        for number, (one, said) in enumerate(zip(listened, hear(text, listened), strict=True))
    )
    worth = sum(one.weight for one in item.expected)
    got = 0.0
    for one, found in zip(listened, heard, strict=True):
        if found.against:
            got -= one.weight * (found.said is Said.SAID)
        else:
            got += one.weight * {Said.SAID: 1, Said.DENIED: -1, Said.MISSED: 0}[found.said]
    credit = max(0.0, got / worth)
    told = heard[: len(item.expected)] + tuple(one for one in heard if one.against and one.said is Said.SAID)
    right = credit >= item.pass_share
    return Score(credit=credit, right=right, feedback=_told(item, told), heard=told)


def _told(item: FreeTextItem, heard: tuple[Heard, ...]) -> str:
    """One sentence for each of: said, missed, contradicted."""
    groups = {
        "said": [one.way for one in heard if one.said is Said.SAID and not one.against],
        "missed": [one.way for one in heard if one.said is Said.MISSED],
        "denied": [one.way for one in heard if one.said is Said.DENIED],
        "against": [one.way for one in heard if one.against],
    }
    comma = "、" if item.language == "zh" else ", "
    return " ".join(_say(item, name, list=comma.join(ways)) for name, ways in groups.items() if ways)


def _check(truth: Truth) -> None:
    if not truth.mask.any():
        raise MedDiffError("The true outline is empty: nothing can be found in this picture. Ask where a lesion is.")


def _key(item: Item) -> str:
    """What the right answer is, in words; empty where it is a place or an order."""
    if isinstance(item, ChoiceItem):
        return item.choices[item.key].text
    if isinstance(item, SizeItem):
        return f"{item.key_mm:.0f} mm"
    if isinstance(item, FreeTextItem):
        return ("、" if item.language == "zh" else ", ").join(one.ways[0] for one in item.expected)
    return ""


_SENTENCES = {
    "en": {
        "blank": "Not answered.{then}",
        "right": "Right: {key}.",
        "chosen": "You chose {answer}; the answer is {key}.",
        "inside": "Right: inside the lesion.",
        "near": "Right: {away:.1f} mm from the lesion's edge, {limit:g} mm are allowed.",
        "away": "The click lies {away:.1f} mm from the lesion; {limit:g} mm are allowed.",
        "overlap": "Your outline overlaps the true one with a Dice of {overlap:.2f}; {limit:g} counts as right.",
        "size": "It measures {key:.0f} mm; answers within {limit:.0f} mm count as right.",
        "order": "{good} of {all} pairs are in order.",
        "said": "Said: {list}.",
        "missed": "Missing: {list}.",
        "denied": "Denied, but shown: {list}.",
        "against": "Said, but not so: {list}.",
    },
    "zh": {
        "blank": "未作答。{then}",
        "right": "正确：{key}。",
        "chosen": "您选择了{answer}；正确答案是{key}。",
        "inside": "正确：位于病灶内。",
        "near": "正确：距病灶边缘 {away:.1f} mm，允许 {limit:g} mm。",
        "away": "点击处距病灶 {away:.1f} mm；允许 {limit:g} mm。",
        "overlap": "您的轮廓与真实轮廓的 Dice 为 {overlap:.2f}；{limit:g} 及以上为正确。",
        "size": "实测 {key:.0f} mm；误差在 {limit:.0f} mm 以内为正确。",
        "order": "{all} 对中有 {good} 对顺序正确。",
        "said": "已答出：{list}。",
        "missed": "遗漏：{list}。",
        "denied": "否认但存在：{list}。",
        "against": "答出但不符：{list}。",
    },
}
_THEN = {"en": " The answer is {key}.", "zh": "正确答案是{key}。"}


def _say(item: Item, name: str, **told: object) -> str:
    """A sentence in the item's language."""
    then = _THEN[item.language].format(**told) if told.get("key") else ""
    return _SENTENCES[item.language][name].format(**told, then=then)
