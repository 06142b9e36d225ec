"""A reader study that is blind on both sides: who reads what, in which order, and what a reader says of a picture.

A `Plan` is the whole design as data. What a reader gets (`assignment`) holds neutral ids in an order of the reader's own and
nothing that tells an arm; what a reader gives back (`Reading`) names the neutral id only. Arms and readings meet in
`study_analysis`. The plan's digest, noted before the first reading, proves afterwards that nobody moved a picture to another arm.

Pictures are named by their SHA-256 and a neutral id. Real pictures are the user's own: a plan holds nothing else of them, and
no label that they came with. That a stamp, a format or a size does not give an arm away is up to whoever shows the pictures:
`study_pictures` shows all arms alike.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any

import numpy as np
from pydantic import Field, SerializerFunctionWrapHandler, ValidationError, model_serializer, model_validator

from meddiff.case import MedDiffError, Record

SUSPENDS = 2  # readers whose red alerts suspend a case
STUDY_ID = r"^RS-[0-9a-f]{12}$"
PICTURE_ID = r"^RP-[0-9a-f]{12}$"
CASE_ID = r"^RC-\d{4}$"

Rating = Annotated[int, Field(ge=1, le=5)]
Name = Annotated[str, Field(pattern=r"^\w[\w .@+-]{0,63}$")]  # of an arm or a reader: a pseudonym
Words = Annotated[str, Field(max_length=500)]  # of a reader or of who plans, about a picture or a case


class Source(StrEnum):
    """Where the pictures of an arm come from."""

    REAL = "real"
    SYNTHETIC = "synthetic"
    PROCESSED = "processed"  # a picture that was changed


class Design(StrEnum):
    """How pictures are shown."""

    SINGLE = "single"  # one at a time: rated, and real or AI
    PAIRS = "pairs"  # a real and a made one side by side: which is AI? Two-alternative forced choice


class Processing(StrEnum):
    """How an arm's pictures may be changed to make another's; `study_pictures` does it."""

    SMOOTHED = "smoothed"
    SHARPENED = "sharpened"
    NOISIER = "noisier"
    COARSER = "half the resolution"
    BRIGHTER = "brighter"


class Question(StrEnum):
    """What is rated from 1 to 5."""

    REALISM = "realism"  # 5: as a real one
    ANATOMY = "anatomy"  # 5: all right
    VISIBILITY = "visibility"  # of the lesion; 5: cannot be missed
    MISLEADING = "misleading"  # risk that it leads to a wrong decision; 5: high


class Picture(Record):
    """One picture: its neutral id, what it shows (pictures of one `case` in several arms are compared in pairs), its hash."""

    id: Annotated[str, Field(pattern=PICTURE_ID)]
    case: Annotated[str, Field(pattern=CASE_ID)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Arm(Record):
    """Pictures that are of one kind, each case once."""

    name: Name
    source: Source
    pictures: Annotated[tuple[Picture, ...], Field(min_length=1, max_length=2000)]

    @model_validator(mode="after")
    def _each_case_once(self) -> Arm:
        cases = [picture.case for picture in self.pictures]
        if twice := {case for case in cases if cases.count(case) > 1}:
            raise ValueError(f"arm {self.name} shows {min(twice)} twice: put the other picture into another arm")
        return self


class Plan(Record):
    """A study. Two equal plans ask the same readers the same pictures in the same orders.

    Attributes:
        readers: pseudonyms; the order decides which version of a case each sees first.
        questions: rated from 1 to 5, none in pairs; confidence, AI suspected and red alert are always asked.
        seed: of the orders and the neutral ids.
        design: in pairs there are two arms, one of them real, and each case is in both: it is the pair.
    """

    id: Annotated[str, Field(pattern=STUDY_ID)]
    title: Annotated[str, Field(min_length=1, max_length=200)]
    arms: Annotated[tuple[Arm, ...], Field(min_length=1, max_length=8)]
    readers: Annotated[tuple[Name, ...], Field(min_length=1, max_length=100)]
    questions: tuple[Question, ...] = tuple(Question)
    seed: int = 0
    design: Design = Design.SINGLE

    @model_serializer(mode="wrap")
    def _without_the_usual_design(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Plans of single pictures read, and their digests are, as they were before there were pairs."""
        told: dict[str, Any] = handler(self)
        if self.design is Design.SINGLE:
            told.pop("design", None)
        return told

    @model_validator(mode="after")
    def _design_fits(self) -> Plan:
        if self.design is Design.SINGLE:
            if not self.questions:
                raise ValueError("no question is asked: choose at least one")
            return self
        if self.questions:
            raise ValueError("in pairs nothing is rated: leave the questions out")
        if len(self.arms) != 2 or sum(arm.source is Source.REAL for arm in self.arms) != 1:
            raise ValueError("pairs take two arms, a real one and a made one")
        one, other = ({picture.case for picture in arm.pictures} for arm in self.arms)
        if one != other:
            raise ValueError("in pairs both arms show the same cases: give the two pictures of a pair the same case")
        return self

    @cached_property
    def places(self) -> Mapping[str, tuple[Arm, Picture]]:
        """The arm and the picture of each neutral id."""
        return {picture.id: (arm, picture) for arm in self.arms for picture in arm.pictures}

    @model_validator(mode="after")
    def _names_once(self) -> Plan:
        pictures = [picture for arm in self.arms for picture in arm.pictures]
        for what, names in (
            ("arm", [arm.name for arm in self.arms]),
            ("reader", list(self.readers)),
            ("question", list(self.questions)),
            ("picture", [picture.sha256 for picture in pictures]),
            ("neutral id", [picture.id for picture in pictures]),
        ):
            if len(set(names)) < len(names):
                raise ValueError(f"the same {what} stands twice in the plan: name each once")
        return self


class Assignment(Record):
    """What one reader gets: neutral ids in order.

    Attributes:
        pictures: in pairs, two that follow each other are shown side by side, the first on the left.
        breaks: pictures after which a pause is due, so that a case is forgotten before it comes in another version.
    """

    study: str
    reader: str
    pictures: tuple[str, ...]
    questions: tuple[Question, ...]
    breaks: tuple[int, ...] = ()
    design: Design = Design.SINGLE


class Reading(Record):
    """What a reader says of a picture.

    Attributes:
        realism, anatomy, visibility, misleading: see `Question`; None: not asked, or no lesion to be seen (visibility).
        ai_suspected: whether it was made or changed by AI; in pairs, of exactly one of the two.
        confidence: in that, 1 (a guess) to 5 (certain).
        red_alert: whoever learns or decides by this picture may do harm.
        seconds: from seeing it to answering.
        ai_reason, alert_reason: why, in the reader's words.
    """

    reader: Name
    picture: Annotated[str, Field(pattern=PICTURE_ID)]
    realism: Rating | None = None
    anatomy: Rating | None = None
    visibility: Rating | None = None
    misleading: Rating | None = None
    ai_suspected: bool
    confidence: Rating
    red_alert: bool = False
    seconds: Annotated[float, Field(ge=0, le=86_400)]
    ai_reason: Words = ""
    alert_reason: Words = ""

    @property
    def suspicion(self) -> int:
        """-5 (certainly real) to 5 (certainly AI), never 0: the scale of the ROC."""
        return self.confidence if self.ai_suspected else -self.confidence


class Decision(Record):
    """What a person decided on a case that readers flagged.

    Attributes:
        shown: whether readers go on seeing it.
        heard: readers whose alerts were known then: a decision to show stands until two others flag the case.
    """

    case: Annotated[str, Field(pattern=CASE_ID)]
    shown: bool
    who: Annotated[str, Field(min_length=1, max_length=200)]
    why: Annotated[str, Field(min_length=1, max_length=500)]
    heard: tuple[Name, ...] = ()


class Flagged(Record):
    """A case that at least one reader flagged, or that a person decided on.

    Attributes:
        said: (reader, neutral id, reason) of each alert, as they came.
        decision: the last.
    """

    case: str
    said: tuple[tuple[str, str, str], ...]
    suspended: bool
    decision: Decision | None


def make_plan(
    title: str,
    arms: Mapping[str, tuple[Source, Sequence[tuple[str, str]]]],
    readers: Sequence[str],
    questions: Sequence[Question] = tuple(Question),
    seed: int = 0,
    design: Design = Design.SINGLE,
) -> Plan:
    """A plan with neutral ids of its own.

    Args:
        arms: name -> (source, (label of the case, SHA-256 of the picture) ...). Labels pair the pictures of different arms; the
            plan holds numbers in their place, in an order drawn by the seed.
        questions: of single pictures; pairs ask none.

    Raises:
        MedDiffError: what `Plan` refuses, in words.
    """
    labels = sorted({label for _, pictures in arms.values() for label, _ in pictures})
    numbers = _rng(seed, "cases").permutation(len(labels))
    cases = {label: f"RC-{number:04d}" for label, number in zip(labels, numbers, strict=True)}
    try:
        made = tuple(
            Arm(
                name=name,
                source=source,
                pictures=tuple(
                    Picture(id="RP-" + _hash(seed, sha256), case=cases[label], sha256=sha256)
                    for label, sha256 in pictures
                ),
            )
            for name, (source, pictures) in arms.items()
        )
        pairs = design is Design.PAIRS
        told = _hash(seed, title, *(arm.canonical_json() for arm in made), *([design.value] if pairs else []))
        asked = () if pairs else tuple(questions)
        return Plan(
            id="RS-" + told, title=title, arms=made, readers=tuple(readers), questions=asked, seed=seed, design=design
        )
    except ValidationError as error:
        raise MedDiffError(f"This study cannot be planned: {_first(error)}.") from error


def assignment(plan: Plan, reader: str, suspended: Collection[str] = ()) -> Assignment:
    """What a reader is to read, in which order: the same at every call.

    The order has as many parts as a case has versions, a break between them. Each part shows a case at most once and all arms in
    shares that differ by a picture or two. Which version comes first goes round over cases and readers (a Latin square), so that
    learning and fatigue fall on all arms alike. Half of the cases come in the first half of every part: at least about half a
    part lies between two versions of one case. Within each half the order is drawn for the reader. In pairs both pictures of a
    case come together; the order of the pairs and the sides are drawn for the reader, the real one on the left in half of them.

    Args:
        suspended: cases that are left out, from `suspended_cases`; the order of the others stays.

    Raises:
        MedDiffError: the reader is not in the plan.
    """
    if reader not in plan.readers:
        raise MedDiffError(f"{reader} is no reader of {plan.id}: choose one of {', '.join(plan.readers)}.")
    rng = _rng(plan.seed, plan.id, reader)
    parts = _pairs(plan, rng) if plan.design is Design.PAIRS else _parts(plan, plan.readers.index(reader), rng)
    gone = {name for name, (_, picture) in plan.places.items() if picture.case in suspended}
    kept = [[picture for picture in part if picture not in gone] for part in parts]
    ends = np.cumsum([len(part) for part in kept])
    return Assignment(
        study=plan.id,
        reader=reader,
        pictures=tuple(picture for part in kept for picture in part),
        questions=plan.questions,
        breaks=tuple(sorted({int(end) for end in ends[:-1] if 0 < end < ends[-1]})),
        design=plan.design,
    )


def check_reading(plan: Plan, reading: Reading) -> None:
    """Whether a reading belongs to a plan and answers what was asked.

    Raises:
        MedDiffError: another reader's or picture's, or a rating is missing; visibility may be, where no lesion is to be seen.
    """
    if reading.reader not in plan.readers:
        raise MedDiffError(f"{reading.reader} is no reader of {plan.id}: choose one of {', '.join(plan.readers)}.")
    if reading.picture not in plan.places:
        raise MedDiffError(f"{plan.id} has no picture {reading.picture}: take the ids from the reader's assignment.")
    for question in plan.questions:
        if question is not Question.VISIBILITY and getattr(reading, question.value) is None:
            raise MedDiffError(f"The reading of {reading.picture} does not rate {question}: give 1 to 5.")


def check_together(plan: Plan, readings: Sequence[Reading]) -> None:
    """Whether readings can be recorded together: a single one, or both of a pair.

    Raises:
        MedDiffError: one of them does not fit the plan (`check_reading`), or they are not the two sides of one choice.
    """
    for reading in readings:
        check_reading(plan, reading)
    if plan.design is Design.SINGLE:
        return
    cases = {plan.places[reading.picture][1].case for reading in readings}
    said = {(reading.reader, reading.confidence) for reading in readings}
    chosen = sum(reading.ai_suspected for reading in readings)
    if not (len({reading.picture for reading in readings}) == 2 and len(cases) == len(said) == chosen == 1):
        raise MedDiffError(
            f"{plan.id} shows pairs: record both pictures of a pair together, one of them suspected, with one confidence."
        )


def suspended_cases(plan: Plan, readings: Iterable[Reading], decisions: Iterable[Decision] = ()) -> tuple[str, ...]:
    """Cases that two or more different readers flagged, in any of their versions, and what people decided otherwise.

    All versions of a case are suspended with it: so pairs stay whole, and the worse arm does not lose its worst pictures alone.
    What was read of it before stays in the analysis.

    Args:
        decisions: as they were made; the last on a case counts.
    """
    return tuple(found.case for found in flagged_cases(plan, readings, decisions) if found.suspended)


def flagged_cases(plan: Plan, readings: Iterable[Reading], decisions: Iterable[Decision] = ()) -> tuple[Flagged, ...]:
    """Cases that a reader flagged or a person decided on, with the reasons; arguments as `suspended_cases`."""
    said: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    for reading in readings:
        if reading.red_alert and reading.picture in plan.places:
            case = plan.places[reading.picture][1].case
            said[case].append((reading.reader, reading.picture, reading.alert_reason))
    last = {decision.case: decision for decision in decisions}
    found = []
    for case in sorted(said.keys() | last.keys()):
        decision = last.get(case)
        new = {reader for reader, _, _ in said[case]} - set(decision.heard if decision else ())
        out = len(new) >= SUSPENDS or (decision is not None and not decision.shown)
        found.append(Flagged(case=case, said=tuple(said[case]), suspended=out, decision=decision))
    return tuple(found)


def _pairs(plan: Plan, rng: np.random.Generator) -> list[list[str]]:
    """Neutral ids in one part, two of a case behind each other."""
    versions: dict[str, list[str]] = defaultdict(list)
    for arm in plan.arms:
        for picture in arm.pictures:
            versions[picture.case].append(picture.id)
    cases = sorted(versions)
    turned = rng.permutation(len(cases)) % 2 == 0
    ordered = [versions[case][:: -1 if turn else 1] for case, turn in zip(cases, turned, strict=True)]
    return [[name for place in rng.permutation(len(cases)) for name in ordered[place]]]


def _parts(plan: Plan, reader: int, rng: np.random.Generator) -> list[list[str]]:
    """Neutral ids in each part, in order."""
    versions: dict[str, list[tuple[int, str]]] = defaultdict(list)  # case -> (arm, picture)
    for arm, pictures in enumerate(arm.pictures for arm in plan.arms):
        for picture in pictures:
            versions[picture.case].append((arm, picture.id))
    alike: dict[tuple[int, ...], list[str]] = defaultdict(list)  # arms -> cases shown in exactly these
    for case in sorted(versions):
        alike[tuple(arm for arm, _ in versions[case])].append(case)
    count = max(map(len, alike))
    halves: list[list[list[str]]] = [[[], []] for _ in range(count)]  # part, half
    dealt = 0
    for cases in alike.values():
        in_half = np.empty(len(cases), dtype=int)
        in_half[rng.permutation(len(cases))] = (np.arange(len(cases)) + dealt) % 2
        dealt += len(cases)
        for place, case in enumerate(cases):
            shown = versions[case]
            turn = place + reader
            shift = turn // count if len(shown) < count else 0  # cases of fewer versions change their order too
            for part in range(count):
                slot = (part + turn) % count
                if slot < len(shown):
                    halves[part][in_half[place]].append(shown[(slot + shift) % len(shown)][1])
    return [[str(name) for half in part for name in rng.permutation(half)] for part in halves]


def _rng(*told: object) -> np.random.Generator:
    return np.random.default_rng(int(_hash(*told), 16))


def _hash(*told: object) -> str:
    return hashlib.sha256("\n".join(map(str, told)).encode()).hexdigest()[:12]


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"]))
    return f"{place + ': ' if place else ''}{first['msg'].removeprefix('Value error, ')}"
