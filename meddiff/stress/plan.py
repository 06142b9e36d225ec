"""A stress test as data: what varies, over which levels, in which design, on how many synthetic patients.

    name: size and noise
    design: one-at-a-time          # or full, fractional, latin-hypercube
    patients: 20
    base: {pathology: glioma, plane: axial}
    factors:
      size_mm: [10, 15, 20, 30, 45]
      noise: all                   # five severities

A patient is one seed: under every level the same anatomy is drawn from the same noise, so that levels are compared on the same
patients. Every case has its clean twin. A trial is one patient under one set of levels.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from meddiff.case import (
    Acquisition,
    Clinical,
    Conspicuity,
    Enhancement,
    Finding,
    Findings,
    Margin,
    MedDiffError,
    Plane,
    Record,
    Region,
    Request,
    Sex,
    Side,
    Tolerance,
)
from meddiff.conditions.vocabulary import load_pathologies
from meddiff.imaging.acquisition import SEVERITIES
from meddiff.stress.records import Level

MOST_TRIALS = 100_000
WORST = 5  # severity of an acquisition: 0 is none
# Factors of an acquisition, and the part of `Acquisition` that each is.
ACQUISITION = {
    "noise": "noise",
    "blur": "blur_mm",
    "bias": "bias",
    "gain": "gain",
    "resolution": "pixel_factor",
    "rotation": "degrees",
    "ghosting": "ghosting",
    "jpeg": "jpeg_quality",
}
NEUTRAL = {"noise": 0.0, "blur": 0.0, "bias": 0.0, "gain": 1.0, "resolution": 1.0, "rotation": 0.0, "ghosting": 0.0}
NO_JPEG = 95  # quality from which severities of a JPEG are counted: what is above hardly differs from none


def _known(words: type[StrEnum]) -> tuple[str, ...]:
    return tuple(word.value for word in words if word.value != "unknown")


# What `all` stands for. Sizes from what the model can just draw to a lesion that nobody overlooks.
LEVELS: dict[str, tuple[Level, ...]] = {
    "size_mm": (8.0, 12.0, 18.0, 27.0, 40.0),
    "conspicuity": _known(Conspicuity),
    "margin": _known(Margin),
    "enhancement": _known(Enhancement),
    "region": _known(Region),
    "side": (Side.LEFT.value, Side.RIGHT.value),
    "plane": _known(Plane),
    "pathology": ("glioma", "meningioma", "pituitary_tumor"),
    "lesions": (1.0, 2.0, 3.0, 4.0, 5.0),
    "age_years": (10.0, 30.0, 50.0, 70.0, 85.0),
    "sex": (Sex.FEMALE.value, Sex.MALE.value),
    **{name: tuple(float(severity) for severity in range(1, WORST + 1)) for name in ACQUISITION},
}
NUMBERS: dict[str, tuple[float, float]] = {
    "size_mm": (4, 120),
    "lesions": (1, 5),
    "age_years": (0, 120),
    **{name: (0, WORST) for name in ACQUISITION},
}
WHOLE = {"lesions"}


class Design(StrEnum):
    """Which combinations of levels are tried."""

    ONE_AT_A_TIME = "one-at-a-time"  # each level of each factor, the others as in `base`
    FULL = "full"  # every combination
    FRACTIONAL = "fractional"  # a balanced part of them; another part for the next patient
    LATIN_HYPERCUBE = "latin-hypercube"  # each patient at a point of its own, spread evenly


class Bound(StrEnum):
    """Which cases are fair to a detector."""

    PLAUSIBLE = (
        "plausible"  # a head as real ones are, with a lesion that was drawn where it was asked: measured, not found
    )
    CHECK = "check"  # accepted by the check of single cases: the finder, too, must see the lesion as it was asked, and nothing else


class Hit(Record):
    """When a mark counts as the lesion found: its middle within `tolerance_mm` of the outline, or an overlap of `iou`."""

    tolerance_mm: Annotated[float, Field(ge=0, le=50)] = 5.0
    iou: Annotated[float, Field(gt=0, le=1)] = 0.1


class StressPlan(Record):
    """See the module.

    Attributes:
        patients: how many synthetic patients; each is tried under every level (in a Latin hypercube: at one point).
        base: levels of what does not vary, by the names of factors; what is left open is drawn as the pathology usually has it.
        factors: levels of what varies; `all` for `LEVELS`. In a Latin hypercube two numbers are the ends of a range.
        fraction: in a fractional design one of so many combinations is tried.
        bound: which cases count.
        redraws: seeds tried again where a case misses the bound.
        hit: when a mark counts.
        timeout_s: how long a detector may take for a picture.
    """

    name: Annotated[str, Field(min_length=1, max_length=100)] = "stress test"
    pack: str = "brain-t1gd"
    precision: str = "int8"
    steps: Annotated[int, Field(ge=1, le=200)] | None = None
    guidance: Annotated[float, Field(ge=0, le=20)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    design: Design = Design.ONE_AT_A_TIME
    patients: Annotated[int, Field(ge=1, le=MOST_TRIALS)] = 20
    fraction: Annotated[int, Field(ge=2, le=64)] = 2
    base: dict[str, Level] = Field(default_factory=dict)
    factors: dict[str, tuple[Level, ...]] = Field(default_factory=dict)
    bound: Bound = Bound.PLAUSIBLE
    redraws: Annotated[int, Field(ge=0, le=20)] = 2
    hit: Hit = Hit()
    timeout_s: Annotated[float, Field(gt=0, le=3600)] = 30.0

    @field_validator("factors", mode="before")
    @classmethod
    def _spelled_out(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        named = {name: LEVELS.get(name, ()) if levels in ("all", None) else levels for name, levels in value.items()}
        # In one order whatever the file's: trials are numbered by it, and JSON of a run's folder forgets it.
        known = [name for name in LEVELS if name in named]
        ordered = {name: named[name] for name in (*known, *(name for name in named if name not in known))}
        return {name: levels if isinstance(levels, list | tuple) else (levels,) for name, levels in ordered.items()}

    @model_validator(mode="after")
    def _can_be_drawn(self) -> StressPlan:
        for name, level in self.base.items():
            _check_level(name, level)
        for name, levels in self.factors.items():
            if not levels:
                raise ValueError(f"the factor {name!r} has no level: give at least one, or `all`")
            for level in levels:
                _check_level(name, level)
            if len(set(levels)) < len(levels):
                raise ValueError(f"the factor {name!r} names a level twice: give each once")
            if name in self.base:
                raise ValueError(f"{name!r} stands in base and in factors: let it vary, or fix it")
        if self.trials() > MOST_TRIALS:
            raise ValueError(
                f"this plan has {self.trials():,} trials, more than {MOST_TRIALS:,}: take fewer levels or patients, or a "
                "fractional design"
            )
        return self

    def cells(self) -> int:
        """Combinations of levels that each patient is tried under."""
        counts = [len(levels) for levels in self.factors.values()]
        if self.design is Design.FULL:
            return math.prod(counts)
        if self.design is Design.FRACTIONAL:
            return -(-math.prod(counts) // self.fraction)
        if self.design is Design.LATIN_HYPERCUBE:
            return 1
        return len(self.reference()) + sum(counts)

    def reference(self) -> list[dict[str, Level]]:
        """One at a time: the levels of the picture as it was made, for all factors of an acquisition; none where it stands in the plan."""
        zero: dict[str, Level] = {
            name: 0.0 for name, levels in self.factors.items() if name in ACQUISITION and 0.0 not in levels
        }
        return [zero] if zero or not self.factors else []

    def trials(self) -> int:
        """How many trials the plan has; in a fractional design up to rounding."""
        return self.cells() * self.patients


@dataclass(frozen=True)
class Trial:
    """One patient under one set of levels.

    Attributes:
        number: from 0, in the plan's order.
        block: of the patient.
        levels: what this trial sets, by factors' names. One at a time: one factor, or every factor that has a zero (the reference).
        request: the case before its acquisition, with what is left open still open.
        lesions: how many pieces the lesion has.
        acquisition: None: as made.
        head: seed of the anatomy, where it is to be this one whatever the bound says of it; None: the request's, redrawn as the plan allows.
    """

    number: int
    block: int
    levels: dict[str, Level]
    request: Request
    lesions: int
    acquisition: Acquisition | None
    head: int | None = None


def read_plan(path: str | Path) -> StressPlan:
    """Reads a plan from a YAML or JSON file.

    Raises:
        MedDiffError: no such file, no YAML, or a field that is wrong, named.
    """
    path = Path(path)
    try:
        return plan_of_text(path.read_text(encoding="utf-8"), f"The plan {path}")
    except OSError as error:
        raise MedDiffError(f"The plan {path} cannot be read: {error.strerror or error}. Check the path.") from error
    except UnicodeDecodeError as error:
        raise MedDiffError(f"The plan {path} is no YAML: check indents, colons and brackets.") from error


def plan_of_text(text: str, where: str = "The plan") -> StressPlan:
    """A plan from YAML or JSON.

    Args:
        where: how a message begins.

    Raises:
        MedDiffError: no YAML, or a field that is wrong, named.
    """
    try:
        told = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise MedDiffError(f"{where}{line} is no YAML: check indents, colons and brackets.") from error
    if not isinstance(told, dict):
        raise MedDiffError(f"{where} holds no fields: write `name: value` lines, `factors:` at least.")
    try:
        return StressPlan.model_validate(told)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        said = first["msg"].removeprefix("Value error, ")
        raise MedDiffError(f"{where}{', ' + field if field else ''}: {said}.") from error


def plan_text(plan: StressPlan) -> str:
    """A plan as YAML that `read_plan` takes; of what stands as it does by default only the commonest is told."""
    usual, always = StressPlan().model_dump(mode="json"), ("name", "design", "patients", "seed")
    told = {
        name: value for name, value in plan.model_dump(mode="json").items() if name in always or value != usual[name]
    }
    return yaml.safe_dump(told, sort_keys=False, allow_unicode=True, default_flow_style=None, width=100)


def trials(plan: StressPlan) -> Iterator[Trial]:
    """The plan's trials in order, patients first: those that share a case stand together."""
    number = 0
    for block, cells in _designed(plan):
        seed = patient_seed(plan, block)
        for levels in cells:
            asked = {**plan.base, **levels}
            change = acquisition_of(asked, seed)
            yield Trial(number, block, levels, request_of(plan, asked, seed), int(asked.get("lesions", 1)), change)
            number += 1


def units(wanted: Iterable[Trial]) -> Iterator[list[Trial]]:
    """Trials that share one case but for its acquisition, together."""
    for _, together in itertools.groupby(wanted, key=lambda trial: (trial.block, trial.lesions, trial.request)):
        yield list(together)


def patient_seed(plan: StressPlan, block: int) -> int:
    """The seed of a plan's patient."""
    return int(np.random.default_rng([plan.seed, block]).integers(2**48))


def request_of(plan: StressPlan, levels: dict[str, Level], seed: int) -> Request:
    """The request of a case with these levels; an acquisition is not in it.

    Raises:
        MedDiffError: levels that exclude each other.
    """
    finding = Finding.model_validate(
        {
            name: levels[name]
            for name in ("pathology", "side", "region", "enhancement", "margin", "conspicuity", "size_mm")
            if name in levels
        }
    )
    request = Request(
        pack=plan.pack,
        precision=plan.precision,
        findings=Findings(plane=Plane(str(levels.get("plane", Plane.AXIAL))), finding=finding),
        clinical=Clinical(
            age_years=float(levels["age_years"]) if "age_years" in levels else None,
            sex=Sex(str(levels["sex"])) if "sex" in levels else Sex.UNKNOWN,
        ),
        seed=seed,
        tolerance=Tolerance(redraws=plan.redraws),
    )
    told = {"steps": plan.steps, "guidance": plan.guidance}
    return request.model_copy(update={name: value for name, value in told.items() if value is not None})


def acquisition_of(levels: dict[str, Level], seed: int) -> Acquisition | None:
    """The acquisition that these levels ask for; None where they ask for none."""
    parts = {
        part: strength(name, float(levels[name]))
        for name, part in ACQUISITION.items()
        if float(levels.get(name, 0)) > 0
    }
    return Acquisition(seed=seed, **parts) if parts else None  # type: ignore[arg-type]


def strength(name: str, severity: float) -> float | int:
    """The value of an acquisition's part at a severity in [0, 5]: the table's at whole numbers, between them a straight line."""
    start = float(NO_JPEG) if name == "jpeg" else NEUTRAL[name]
    table = (start, *SEVERITIES[ACQUISITION[name]])
    value = float(np.interp(severity, range(len(table)), table))
    return round(value) if name == "jpeg" else round(value, 4)


def _designed(plan: StressPlan) -> Iterator[tuple[int, list[dict[str, Level]]]]:
    """Each patient with the sets of levels that it is tried under."""
    names, levels = list(plan.factors), list(plan.factors.values())
    if plan.design is Design.LATIN_HYPERCUBE:
        points = _hypercube(plan)
        yield from ((block, [point]) for block, point in enumerate(points))
        return
    if plan.design is Design.FRACTIONAL and names:
        parts = _fractions(plan)
    elif plan.design is Design.ONE_AT_A_TIME:
        parts = [[*plan.reference(), *({name: level} for name in names for level in plan.factors[name])]]
    else:
        parts = [[dict(zip(names, cell, strict=True)) for cell in itertools.product(*levels)]]
    parts = [sorted(cells, key=_case_first) for cells in parts]
    for block in range(plan.patients):
        yield block, parts[block % len(parts)]


def _case_first(levels: dict[str, Level]) -> str:
    """Sets of levels that differ in their acquisition alone share a case: they shall stand together."""
    return repr(sorted((name, str(level)) for name, level in levels.items() if name not in ACQUISITION))


def _fractions(plan: StressPlan) -> list[list[dict[str, Level]]]:
    """Complementary parts of all combinations, balanced over levels: a generalised subset design.

    Surowiec et al., *Anal. Chem.* 89, 2017; by pyDOE3.

    Raises:
        MedDiffError: too few combinations for parts that small.
    """
    from pyDOE3 import gsd

    names = list(plan.factors)
    counts = [len(plan.factors[name]) for name in names]
    try:
        designs = gsd(counts, plan.fraction, n=plan.fraction)
    except (ValueError, AssertionError) as error:  # pyDOE3 asserts that each part has something of each factor
        raise MedDiffError(
            f"A fraction of 1 in {plan.fraction} leaves nothing of {math.prod(counts)} combinations: take a larger part, or more levels."
        ) from error
    return [
        [{name: plan.factors[name][int(at)] for name, at in zip(names, row, strict=True)} for row in design]
        for design in designs
    ]


def _hypercube(plan: StressPlan) -> list[dict[str, Level]]:
    """A point a patient (McKay et al., *Technometrics* 21, 1979; by scipy). Two numbers are a range, else levels are chosen."""
    from scipy.stats import qmc

    if not plan.factors:
        return [{} for _ in range(plan.patients)]
    drawn = qmc.LatinHypercube(len(plan.factors), rng=np.random.default_rng(plan.seed)).random(plan.patients)

    def at(name: str, share: float) -> Level:
        levels = plan.factors[name]
        if len(levels) == 2 and name in NUMBERS and name not in WHOLE:
            low, high = (float(level) for level in levels)
            return round(low + share * (high - low), 3)
        return levels[int(share * len(levels))]

    return [{name: at(name, share) for name, share in zip(plan.factors, row, strict=True)} for row in drawn]


def _check_level(name: str, level: Level) -> None:
    """Raises ValueError, naming what is possible."""
    if name not in LEVELS:
        raise ValueError(f"{name!r} is no factor: choose among {', '.join(LEVELS)}")
    if name in NUMBERS:
        low, high = NUMBERS[name]
        number = not isinstance(level, str) and math.isfinite(level)
        if not number or not low <= float(level) <= high or (name in WHOLE and float(level) != int(level)):
            kind = "a whole number" if name in WHOLE else "a number"
            raise ValueError(f"{name} {level!r} is not possible: give {kind} from {low:g} to {high:g}")
        return
    words: tuple[Any, ...] = LEVELS[name]
    if name == "side":
        words = _known(Side)
    elif name == "pathology":
        words = tuple(load_pathologies())
    if level not in words:
        raise ValueError(f"{name} {level!r} is not known: choose among {', '.join(words)}")
