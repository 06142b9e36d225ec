"""Items written from a case: what it was made to show and what was measured in it become questions, choices and feedback.

A key is certain or measured, and nothing is asked that is neither. Certain are the outline and, of an accepted case, the
pathology. Looks and places are asked only where what was asked for and what was measured are the same word: a lesion between
two lobes has no one best answer. A twin counts as normal only where the independent finder sees nothing left in it; a case made
without a lesion is normal because none was drawn (the finder was trained on slices with a lesion: what it sees there is no
verdict). A slice that somebody gave is never asked to be normal: nobody here knows what it shows.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Any, Literal

import numpy as np

from meddiff.case import Case, Enhancement, Finding, Margin, MedDiffError, Plane, Region, Side, Status, Task
from meddiff.conditions.place import region_of
from meddiff.conditions.vocabulary import Pathology, load_pathologies, load_vocabulary
from meddiff.teaching.difficulty import OF_NORMAL, diameter_mm, difficulty_of, measured
from meddiff.teaching.item import (
    CASE,
    TWIN,
    Choice,
    ChoiceItem,
    Expected,
    FreeTextItem,
    Item,
    Kind,
    LocaliseItem,
    Role,
    SizeItem,
    item_id,
)
from meddiff.teaching.quality import too_long
from meddiff.teaching.wording import Words, intro_of, name_of, place_of, sequence_of, words_of

WRONG_CHOICES = 3
LEFT_IN_TWIN = 0.05  # of the outline's area: what the finder may still see in a twin that counts as normal
SIZE_TOLERANCE_MM, SIZE_TOLERANCE = 3.0, 0.15  # the larger of the two, the second as a share of the diameter
LEAST_ODDS = 2.0  # by which the looks of two cases must speak for which is which, where both are drawn as one type
_BORDERING = {
    Region.SELLAR,
    Region.CENTRAL,
}  # lie on each other: the level of a slice is known too roughly to tell them


def items_of(
    case: Case, seed: int = 0, kinds: Iterable[Kind] | None = None, language: Literal["en", "zh"] = "en"
) -> tuple[Item, ...]:
    """The items that a case is good for, as drafts, in `language`.

    Nothing is written of a case that its check rejected, nor of a removal: what was removed is not known.

    Args:
        seed: of which look-alikes are offered and where the key stands; another seed gives other items.
        kinds: to write; None: all. Response and order are of series (`series_items`).

    Raises:
        MedDiffError: another language; a pathology that `prompts/` does not have; a damaged outline.
    """
    if case.status is not Status.ACCEPTED or case.request.task is Task.REMOVE:
        return ()
    subject = _subject(case, seed, words_of(language))
    wanted = set(Kind if kinds is None else kinds)
    return tuple(item for kind, write in _WRITERS.items() if kind in wanted for item in write(subject))


def compare_items(
    one: Case, other: Case, seed: int = 0, language: Literal["en", "zh"] = "en"
) -> tuple[ChoiceItem, ...]:
    """What two cases are asked side by side: which lesion is larger, and which is which disease.

    Larger is asked where the diameters differ by more than the tolerance of a size item. Which disease is asked where the two are
    drawn as different types, or their measured looks speak for it by `LEAST_ODDS` by the shares in `prompts/`.

    Raises:
        MedDiffError: the same case twice, or as `items_of`.
    """
    if one.id == other.id:
        raise MedDiffError(f"{one.id} cannot be compared with itself: give two cases.")
    if any(case.status is not Status.ACCEPTED or case.request.task is Task.REMOVE for case in (one, other)):
        return ()
    words = words_of(language)
    pair = (_subject(one, seed, words), _subject(other, seed, words))
    return (*_which_is_larger(pair), *_which_is(pair))


def size_tolerance_mm(diameter: float) -> float:
    """How far an answer may be from a diameter: the larger of 3 mm and 15%."""
    return max(SIZE_TOLERANCE_MM, SIZE_TOLERANCE * diameter)


# ---------------------------------------------------------------- what is known of a case


@dataclass(frozen=True)
class _Subject:
    """A case and what is certain or measured of it; None and UNKNOWN where nothing is, or asked and measured differ."""

    case: Case
    words: Words
    seed: int
    finding: Finding | None
    pathology: Pathology | None
    plane: Plane
    side: Side
    region: Region
    enhancement: Enhancement
    margin: Margin
    size_mm: float | None

    @property
    def place(self) -> str:
        """Side and region in words; empty where they are not sure."""
        if self.region is Region.UNKNOWN or (self.side is Side.UNKNOWN and self.plane is not Plane.SAGITTAL):
            return ""
        return place_of(self.side, self.region, self.words)

    @property
    def in_place(self) -> str:
        """The place in brackets, to stand in a sentence."""
        return self.words.bracket.format(place=self.place) if self.place else ""


def _subject(case: Case, seed: int, words: Words) -> _Subject:
    findings = case.request.findings
    finding = findings.finding
    key = finding.pathology if finding else None
    if key is not None and key not in load_pathologies():
        raise MedDiffError(f"{case.id} shows {key!r}, which prompts/ does not have: no item can be written of it.")
    return _Subject(
        case,
        words,
        seed,
        finding,
        load_pathologies()[key].told_in(words.language) if key else None,
        findings.plane or Plane.AXIAL,
        Side(_agreed(case, "side")),
        Region(_agreed(case, "region")),
        Enhancement(_agreed(case, "enhancement in the outline")),
        Margin(_agreed(case, "margin")),
        _size_mm(case) if finding else None,
    )


def _agreed(case: Case, name: str) -> str:
    """The measured word, where nothing else was asked for."""
    row = measured(case, name)
    return row.measured if row and row.asked in ("", "unknown", row.measured) else "unknown"


def _size_mm(case: Case) -> float | None:
    """Longest diameter of the outline; None without one, or where the finder measured another."""
    mask = case.request.mask
    size, seen = diameter_mm(case), measured(case, "longest diameter")
    if mask is None or mask.png is None or size is None:
        return None
    if seen and seen.value is not None and abs(seen.value - size) > size_tolerance_mm(size):
        return None
    return round(size, 1)


def _twin_is_normal(case: Case) -> bool:
    """Whether the twin was made here and the finder sees no lesion in it."""
    left = measured(case, "lesion left in the twin")
    seen = left is not None and left.value is not None and left.value <= LEFT_IN_TWIN
    return seen and not case.request.on_given_slice


def _in_its_place(case: Case, pathology: Pathology) -> bool:
    """Whether the lesion was measured where its disease may lie; also where the place was not measured."""
    row = measured(case, "region")
    if row is None or row.measured in ("unknown", row.asked):
        return True
    seen = Region(row.measured)
    return seen in pathology.regions or (seen in _BORDERING and bool(_BORDERING & set(pathology.regions)))


# ---------------------------------------------------------------- one writer a kind


def _diagnosis(subject: _Subject) -> Iterator[Item]:
    """Not where the lesion was measured in a region that its disease does not have."""
    if not (pathology := subject.pathology) or not _in_its_place(subject.case, pathology):
        return
    words = subject.words
    right = Choice(
        text=name_of(pathology, words),
        feedback=words.right_diagnosis.format(look=pathology.looks.get("T1 post-contrast", pathology.course)),
        key=pathology.key,
    )
    feedback = words.made_to_show.format(name=name_of(pathology, words))
    if pathology.drawn_note:
        feedback += words.space + words.drawing.format(note=pathology.drawn_note)
    stem = words.space.join([*_not_shown(subject), words.diagnosis])
    yield _chosen(subject, Kind.DIAGNOSIS, stem, right, _wrong_diagnoses(subject), feedback)


def _finding(subject: _Subject) -> Iterator[Item]:
    """The enhancement, or the margin where the enhancement is not sure: it is told by an outline alone."""
    words = subject.words
    asked: tuple[tuple[Enhancement | Margin, str], ...] = (
        (subject.enhancement, words.enhancement),
        (subject.margin, words.margin),
    )
    for key, stem in asked:
        if key in words.look:
            looks = [look for look in type(key) if look in words.look]
            choices = {
                look: Choice(
                    text=words.look[look],
                    feedback=words.measured_look.format(
                        look=_capital(words.look[look]), means=words.look_is[look], key=words.look[key]
                    ),
                    key=look.value,
                )
                for look in looks
            }
            wrong = [choices[look] for look in looks if look is not key]
            yield _chosen(subject, Kind.FINDING, stem, choices[key], wrong)
            return


def _location(subject: _Subject) -> Iterator[Item]:
    if not subject.place:
        return
    words, side, region = subject.words, subject.side, subject.region
    opposite = {Side.LEFT: Side.RIGHT, Side.RIGHT: Side.LEFT}.get(side)
    others = [(side, one) for one in regions_beside(region, subject.plane)]
    _chance(subject, Kind.LOCATION).shuffle(others)
    if opposite:
        others.insert(0, (opposite, region))
    wrong = []
    for at, one in others[:WRONG_CHOICES]:
        place = place_of(at, one, words)
        told = words.place_in.format(place=_capital(place), means=words.region_is[one], key=subject.place)
        wrong.append(Choice(text=place, feedback=words.other_side if at is opposite else told, key=_place_key(at, one)))
    right = Choice(
        text=subject.place,
        feedback=words.measured_place.format(means=words.region_is[region]),
        key=_place_key(side, region),
    )
    if wrong:
        yield _chosen(subject, Kind.LOCATION, words.location, right, wrong)


def _next_step(subject: _Subject) -> Iterator[Item]:
    """As `prompts/` has the steps."""
    if not subject.pathology or not subject.pathology.next_steps:
        return
    told = subject.pathology.next_steps
    choices = [Choice(text=step.text, feedback=step.why) for step in told.steps]
    best = next(place for place, step in enumerate(told.steps) if step.best)
    stem = subject.words.next_step.format(name=name_of(subject.pathology, subject.words))
    item = _chosen(subject, Kind.NEXT_STEP, stem, choices.pop(best), choices)
    yield item.model_copy(update={"sources": (told.source, *item.sources)})


def _normal(subject: _Subject) -> Iterator[Item]:
    """Is there a lesion: of the case, and of its twin, which is the normal one."""
    words, case = subject.words, subject.case
    if subject.finding and _outlined(case):
        told = (words.lesion_there.format(place=subject.in_place), words.lesion_missed.format(place=subject.in_place))
        yield _yes_or_no(subject, CASE, True, *told)
        if _twin_is_normal(case):
            yield _yes_or_no(subject, TWIN, False, words.twin_wrong, words.twin_right)
    elif not subject.finding and not case.request.on_given_slice:
        yield _yes_or_no(subject, CASE, False, words.twin_wrong, words.twin_right)


def _yes_or_no(subject: _Subject, role: Role, lesion: bool, if_yes: str, if_no: str) -> ChoiceItem:
    words = subject.words
    choices = (Choice(text=words.lesion_yes, feedback=if_yes), Choice(text=words.lesion_no, feedback=if_no))
    base = _base(subject, Kind.NORMAL, words.normal, roles=(role,))
    if not lesion:
        base |= {"pathology": "", "difficulty": OF_NORMAL, "points": (), "sources": ()}
    return ChoiceItem(**base, choices=choices, key=0 if lesion else 1)


def _compare(subject: _Subject) -> Iterator[Item]:
    """The case beside its twin: which one shows the lesion."""
    words, case = subject.words, subject.case
    if not (subject.finding and _outlined(case)) or not _twin_is_normal(case):
        return
    roles: tuple[Role, Role] = (CASE, TWIN) if _chance(subject, Kind.COMPARE).random() < 0.5 else (TWIN, CASE)
    told = {CASE: words.has_lesion.format(place=subject.in_place), TWIN: words.is_twin}
    yield ChoiceItem(
        **_base(subject, Kind.COMPARE, words.with_lesion, words.with_lesion_feedback, roles=roles),
        choices=_first_and_second(words, [told[role] for role in roles]),
        key=roles.index(CASE),
    )


def _localise(subject: _Subject) -> Iterator[Item]:
    if subject.finding and _outlined(subject.case):
        words = subject.words
        yield LocaliseItem(**_base(subject, Kind.LOCALISE, words.localise, words.localise_feedback))


def _size(subject: _Subject) -> Iterator[Item]:
    if (size := subject.size_mm) is None:
        return
    words = subject.words
    yield SizeItem(
        **_base(subject, Kind.SIZE, words.size, words.size_feedback.format(size=size)),
        key_mm=size,
        tolerance_mm=round(size_tolerance_mm(size), 1),
    )


def _free_text(subject: _Subject) -> Iterator[Item]:
    """Diagnosis, side, region and enhancement, as far as they are sure, in both languages: a learner may use either."""
    vocabulary, words = load_vocabulary(), subject.words
    expected: list[Expected] = []
    against: list[Expected] = []

    def expect(name: str, ways: Sequence[str], shown: str, weight: float = 1.0) -> None:
        expected.append(Expected(name=name, ways=tuple(dict.fromkeys([shown, *ways])), weight=weight))

    if pathology := subject.pathology:
        expect("diagnosis", pathology.names, name_of(pathology, words), 2.0)
        for other in load_pathologies().values():
            if not akin(pathology, other):
                against.append(Expected(name="diagnosis", ways=(name_of(other, words), *other.names), weight=1.0))
    if subject.side in words.side:
        expect("side", vocabulary.side[subject.side], words.side[subject.side])
    opposite = {Side.LEFT: Side.RIGHT, Side.RIGHT: Side.LEFT}.get(subject.side)
    if opposite:
        against.append(Expected(name="side", ways=(words.side[opposite], *vocabulary.side[opposite])))
    if subject.region in words.region:
        expect("region", vocabulary.region[subject.region], words.region[subject.region])
    if subject.enhancement in words.look:
        expect("enhancement", vocabulary.enhancement[subject.enhancement], words.look[subject.enhancement])
        looks = [Enhancement.NONE] if subject.enhancement is not Enhancement.NONE else [Enhancement.RING]
        against += [Expected(name="enhancement", ways=(words.look[one], *vocabulary.enhancement[one])) for one in looks]
    if expected and _outlined(subject.case):
        no_lesion = tuple(
            way for way in vocabulary.absence if " " in way or way.endswith(vocabulary.lesion)
        )  # "normal", or "未见异常", says other things too
        against.append(Expected(name="lesion", ways=(words.lesion_no, *no_lesion)))
        yield FreeTextItem(
            **_base(subject, Kind.FREE_TEXT, words.free_text), expected=tuple(expected), against=tuple(against)
        )


_WRITERS: dict[Kind, Callable[[_Subject], Iterator[Item]]] = {
    Kind.DIAGNOSIS: _diagnosis,
    Kind.FINDING: _finding,
    Kind.LOCATION: _location,
    Kind.NEXT_STEP: _next_step,
    Kind.NORMAL: _normal,
    Kind.COMPARE: _compare,
    Kind.LOCALISE: _localise,
    Kind.SIZE: _size,
    Kind.FREE_TEXT: _free_text,
}


# ---------------------------------------------------------------- two cases


def _which_is_larger(pair: tuple[_Subject, _Subject]) -> Iterator[ChoiceItem]:
    words, sizes = pair[0].words, [one.size_mm for one in pair]
    if sizes[0] is None or sizes[1] is None or abs(sizes[0] - sizes[1]) <= size_tolerance_mm(max(sizes[0], sizes[1])):
        return
    larger = 0 if sizes[0] > sizes[1] else 1
    told = [words.measures.format(size=size) for size in sizes]
    yield _pair(pair, "larger", words.larger, larger, told, "")


def _which_is(pair: tuple[_Subject, _Subject]) -> Iterator[ChoiceItem]:
    one, other = pair
    if not one.pathology or not other.pathology or akin(one.pathology, other.pathology):
        return
    if one.pathology.drawn_as == other.pathology.drawn_as and _odds(one, other) < LEAST_ODDS:
        return
    words, names = one.words, [name_of(one.pathology, one.words), name_of(other.pathology, one.words)]
    stem = words.which_is.format(name=names[0], other=names[1])
    told = [
        words.shows.format(name=names[0], apart=_apart(other.pathology, one.pathology, words)).strip(),
        words.shows.format(name=names[1], apart=_apart(one.pathology, other.pathology, words)).strip(),
    ]
    yield _pair(pair, one.pathology.key, stem, 0, told, one.pathology.key)


def _odds(one: _Subject, other: _Subject) -> float:
    """How much the measured looks speak for who is who, against the other way round; 1: not at all."""
    assert one.pathology and other.pathology

    def share(pathology: Pathology, look: Enhancement) -> float:
        return 1.0 if look is Enhancement.UNKNOWN else pathology.enhancement.get(look, 0) + 0.02

    so = share(one.pathology, one.enhancement) * share(other.pathology, other.enhancement)
    swapped = share(other.pathology, one.enhancement) * share(one.pathology, other.enhancement)
    return so / swapped


def _pair(
    pair: tuple[_Subject, _Subject], about: str, stem: str, key: int, told: Sequence[str], pathology: str
) -> ChoiceItem:
    """Two cases side by side, in an order drawn from the seed, whichever was named first."""
    words = pair[0].words
    ids = [one.case.id for one in pair]
    made = _id(pair[0], Kind.COMPARE, sorted(ids), about)
    order = sorted((0, 1), key=lambda place: ids[place], reverse=random.Random(made).random() < 0.5)
    known = [one.pathology for one in pair if one.pathology]
    return ChoiceItem(
        id=made,
        kind=Kind.COMPARE,
        stem=stem,
        cases=tuple(ids[place] for place in order),
        choices=_first_and_second(words, [told[place] for place in order]),
        key=order.index(key),
        points=known[0].teaching_points if pathology and known else (),
        sources=tuple(dict.fromkeys(source for one in known for source in one.sources)) if pathology else (),
        pathology=pathology,
        difficulty=round(sum(difficulty_of(one.case) for one in pair) / 2, 3),
        language=words.language,
    )


# ---------------------------------------------------------------- wrong choices


def _wrong_diagnoses(subject: _Subject) -> list[Choice]:
    """Look-alikes as wrong choices, then pathologies that list this one as theirs, then those of the same place and look.

    Of these the first three whose names are of like length, so that no choice stands out. A name that covers another is never
    offered beside it (`covers` in `prompts/`).
    """
    own, words = subject.pathology, subject.words
    assert own is not None
    known = {key: one.told_in(words.language) for key, one in load_pathologies().items()}
    chance = _chance(subject, Kind.DIAGNOSIS)
    others = [one for key, one in known.items() if key != own.key and not akin(own, one)]
    chance.shuffle(others)
    listed = {entry.key for entry in own.look_alikes}
    listing = {one.key for one in others if own.key in {entry.key for entry in one.look_alikes}}

    def rank(one: Pathology) -> tuple[int, float]:
        return (0, 0) if one.key in listed else (1, 0) if one.key in listing else (2, -_likeness(subject, one))

    others.sort(key=rank)
    names = {one.key: name_of(one, words) for one in (own, *others)}
    sets = sorted(
        (
            places
            for places in combinations(range(len(others)), WRONG_CHOICES)
            if not any(akin(others[first], others[second]) for first, second in combinations(places, 2))
        ),
        key=lambda places: (sum(places), places),
    )
    chosen = next(
        (places for places in sets if not too_long([names[own.key], *(names[others[place].key] for place in places)])),
        sets[0],
    )
    return [
        Choice(text=names[others[place].key], feedback=_apart(own, others[place], words), key=others[place].key)
        for place in chosen
    ]


def akin(one: Pathology, other: Pathology) -> bool:
    """Whether one name covers the other, so that neither is wrong beside it."""
    return one.key == other.key or one.key in other.covers or other.key in one.covers


@lru_cache(maxsize=32)
def regions_beside(region: Region, plane: Plane) -> tuple[Region, ...]:
    """Other regions that a slice in that plane shows together with this one, those seen at most of its levels first."""
    shares = np.linspace(0.05, 0.95, 19)
    counts: dict[Region, int] = {}
    for level in np.linspace(0, 2, 21):
        seen = {region_of(down, across, plane, level) for down in shares for across in shares}
        if region in seen:
            for one in seen - {region, Region.UNKNOWN}:
                counts[one] = counts.get(one, 0) + 1
    return tuple(sorted(counts, key=lambda one: (-counts[one], one.value)))


def _likeness(subject: _Subject, other: Pathology) -> float:
    """Share of cases of another pathology that lie where this one does and enhance as it does, 0 to 1."""
    finding = subject.finding
    assert finding is not None
    region = finding.region if subject.region is Region.UNKNOWN else subject.region
    enhancement = finding.enhancement if subject.enhancement is Enhancement.UNKNOWN else subject.enhancement
    here = other.regions.get(region, 0.0) if region is not Region.UNKNOWN else 1.0
    alike = other.enhancement.get(enhancement, 0.0) if enhancement is not Enhancement.UNKNOWN else 1.0
    return (here + 0.01) * (alike + 0.01)


def _apart(own: Pathology, other: Pathology, words: Words) -> str:
    """What tells another pathology from this one, as either of the two files says it; else how the other looks."""
    for mine, theirs in ((own, other), (other, own)):
        for entry in mine.look_alikes:
            if entry.key == theirs.key:
                return entry.apart
    look = other.looks.get("T1 post-contrast", other.course)
    return words.typical.format(name=name_of(other, words), look=look)


def _not_shown(subject: _Subject) -> list[str]:
    """How the pathology looks on other sequences, which the picture cannot show; nothing that names a disease."""
    assert subject.pathology is not None
    own = subject.case.request.findings.sequence
    return [
        subject.words.not_shown.format(sequence=_capital(sequence_of(sequence, subject.words)), look=look)
        for sequence, look in subject.pathology.looks.items()
        if sequence not in (own, "planes") and not _names_a_disease(look)
    ]


def _names_a_disease(text: str) -> bool:
    plain = text.casefold()
    return re.search(r"omas?\b|瘤", plain) is not None or any(
        name.casefold() in plain for one in load_pathologies().values() for name in one.names
    )


# ---------------------------------------------------------------- what all items have


def _base(subject: _Subject, kind: Kind, stem: str, feedback: str = "", roles: tuple[Role, ...] = ()) -> dict[str, Any]:
    """The fields that all items of a case share; `roles` names the pictures where the twin is among them."""
    case, pathology = subject.case, subject.pathology
    shown = (case.id,) * (len(roles) or 1)
    pictures = sorted(roles) if TWIN in roles else [CASE] * len(shown)
    return {
        "id": _id(subject, kind, [f"{case.id}/{one}" if one == TWIN else case.id for one in pictures]),
        "kind": kind,
        "stem": f"{intro_of(case.request.findings, case.request.clinical, subject.words)}{subject.words.space}{stem}",
        "cases": shown,
        "roles": roles if TWIN in roles else (),
        "feedback": feedback,
        "points": pathology.teaching_points if pathology else (),
        "sources": pathology.sources if pathology else (),
        "pathology": pathology.key if pathology else "",
        "difficulty": difficulty_of(case),
        "language": subject.words.language,
    }


def _chosen(
    subject: _Subject, kind: Kind, stem: str, right: Choice, wrong: Sequence[Choice], feedback: str = ""
) -> ChoiceItem:
    """A single best answer with its choices in an order drawn from the item's id."""
    base = _base(subject, kind, stem, feedback)
    choices = [right, *wrong]
    random.Random(base["id"]).shuffle(choices)
    return ChoiceItem(**base, choices=tuple(choices), key=choices.index(right))


def _first_and_second(words: Words, told: Sequence[str]) -> tuple[Choice, Choice]:
    return Choice(text=words.first, feedback=told[0]), Choice(text=words.second, feedback=told[1])


def _id(subject: _Subject, kind: Kind, shown: Sequence[str], about: str = "") -> str:
    """The same item in another language is another item: it has versions of its own."""
    language = "" if subject.words.language == "en" else subject.words.language
    return item_id(kind, [*shown, *filter(None, (about, language))], subject.seed)


def _chance(subject: _Subject, kind: Kind) -> random.Random:
    return random.Random(f"{subject.case.id} {kind.value} {subject.seed}")


def _outlined(case: Case) -> bool:
    mask = case.request.mask
    return mask is not None and mask.png is not None and bool(mask.to_array().any())


def _place_key(side: Side, region: Region) -> str:
    return region.value if side is Side.UNKNOWN else f"{side.value} {region.value}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
