"""Where a detector does worse: sensitivity by each attribute of a trial, and the worst slices, found without being asked for.

Attributes are the plan's factors, what the case's request says (plane, type, age, sex) and what was measured of it. Of a plan that
changes one factor at a time, a factor's levels are compared among trials that leave the others where they usually are.

Trials of one patient resemble each other. Tests on counts therefore take effective counts (Rao & Scott 1992): n / d and found / d
with the design effect d = 1 + (m - 1) r, m the mean number of trials of a patient in the group (weighted by trials) and r the
correlation within patients (analysis of variance; Donner 1986), 0 at least. Where each patient gave one trial, d is 1.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from scipy.stats import chi2_contingency, false_discovery_control, hypergeom

from meddiff.case import Record
from meddiff.statistics import holm
from meddiff.stress.curves import Figure
from meddiff.stress.intervals import DRAWN, Estimate, percentiles, share
from meddiff.stress.plan import LEVELS
from meddiff.stress.reads import Reads
from meddiff.stress.records import Outcome

LEAST = 8  # trials of a group, below which it is told but not judged
ALPHA = 0.05  # false discoveries among the slices reported (Benjamini & Hochberg 1995)
MOST_SLICES = 12
MOST_LEVELS, BANDS = (
    10,
    5,
)  # more levels in numbers than that (a Latin hypercube) are gathered in bands of as many trials
SIZES_MM = (0.0, 10.0, 20.0, 30.0, 45.0)  # lower ends of the bands
AGES = (0.0, 18.0, 40.0, 60.0, 80.0)
CONSPICUITIES = (0.0, 1.5, 4.0)  # subtle, moderate, obvious, as `conditions.measure` has them

Source = Literal["factor", "asked", "measured"]


@dataclass(frozen=True)
class Attribute:
    """One thing by which trials differ.

    Attributes:
        levels: in their order, in words.
        level: int [T], position of each trial's; -1: unknown, or not to be compared.
    """

    name: str
    source: Source
    levels: tuple[str, ...]
    level: np.ndarray


class Group(Record):
    """Trials of one level: how sensitive the detector is there."""

    level: str
    sensitivity: Estimate


class Subgroups(Record):
    """Sensitivity by the levels of one attribute.

    Attributes:
        source: a factor of the plan, asked for in the request, or measured.
        best, worst: levels with `LEAST` trials at least; gap: the difference of their sensitivities. Empty with fewer than two.
            They were chosen because they lie far apart: p, not the gap's interval, tells whether there is a difference.
        p: that all levels are alike (chi-squared, effective counts); p_holm: corrected for all attributes.
    """

    attribute: str
    source: Source
    groups: tuple[Group, ...]
    best: str = ""
    worst: str = ""
    gap: Estimate | None = None
    p: float | None = None
    p_holm: float | None = None


class Slice(Record):
    """Trials that share one or two levels, and are found less often than the rest.

    Attributes:
        conditions: (attribute, level).
        p: Fisher's exact test, one-sided, effective counts; q: corrected for all slices looked at (Benjamini & Hochberg 1995).
        rest: sensitivity of all other trials.
    """

    conditions: tuple[tuple[str, str], ...]
    n: int
    found: int
    sensitivity: float
    rest: float
    p: float
    q: float

    @property
    def words(self) -> str:
        """`size_mm 8 and region posterior fossa`."""
        return " and ".join(f"{name} {level}" for name, level in self.conditions)


# ------------------------------------------------------------ attributes


def attributes_of(outcomes: Sequence[Outcome]) -> list[Attribute]:
    """All attributes that take two levels at least; of two that divide the trials alike, the first. No name stands twice."""
    found = [*_factors(outcomes), *_asked(outcomes), *_measured(outcomes)]
    kept: list[Attribute] = []
    divisions = set()
    for attribute in found:
        division = _division(attribute.level)
        if len(set(attribute.level.tolist()) - {-1}) >= 2 and division not in divisions:
            divisions.add(division)
            taken = any(attribute.name == other.name for other in kept)  # by a factor
            kept.append(replace(attribute, name=f"{attribute.source} {attribute.name}") if taken else attribute)
    return kept


def level_name(level: str | float | None) -> str | None:
    """A level in words: 20.0 is `20`."""
    return None if level is None else level if isinstance(level, str) else f"{level:g}"


def _factors(outcomes: Sequence[Outcome]) -> list[Attribute]:
    names = list(dict.fromkeys(name for outcome in outcomes for name in outcome.levels))
    levels = {name: [outcome.levels.get(name) for outcome in outcomes] for name in names}
    found = [_factor(name, levels[name]) for name in names]
    usual = np.array([_is_usual(attribute.level) for attribute in found])  # [F, T]
    if len(found) > 1 and ((~usual).sum(axis=0) <= 1).all():  # one at a time
        return [
            Attribute(a.name, a.source, a.levels, np.where(np.delete(usual, at, axis=0).all(axis=0), a.level, -1))
            for at, a in enumerate(found)
        ]
    return found


def _factor(name: str, values: Sequence[str | float | None]) -> Attribute:
    numbers = np.array([value for value in values if isinstance(value, float | int)])
    if len(np.unique(numbers)) <= MOST_LEVELS:
        return _attribute(name, "factor", values)
    ends = np.unique(np.quantile(numbers, np.linspace(0, 1, BANDS + 1)))
    levels = tuple(f"{low:.3g} to {high:.3g}" for low, high in pairwise(ends))
    level = [
        int(np.clip(np.searchsorted(ends, value, "right") - 1, 0, len(levels) - 1))
        if isinstance(value, float | int)
        else -1
        for value in values
    ]
    return Attribute(name, "factor", levels, np.array(level, int))


def _place(word: str) -> tuple[int, str]:
    """Words in the order that the plan's factors have them (subtle, moderate, obvious), others behind by their letters."""
    known = [level for levels in LEVELS.values() for level in levels]
    return (known.index(word) if word in known else len(known)), word


def _is_usual(level: np.ndarray) -> np.ndarray:
    """Where a trial has the commonest level of a factor, or none."""
    known = level[level >= 0]
    return (level < 0) | (level == (np.bincount(known).argmax() if len(known) else -1))


def _asked(outcomes: Sequence[Outcome]) -> list[Attribute]:
    findings = [outcome.request.findings for outcome in outcomes]
    clinical = [outcome.request.clinical for outcome in outcomes]
    return [
        _attribute("plane", "asked", [str(f.plane.value) if f.plane else None for f in findings]),
        _attribute("type", "asked", [f.finding.pathology if f.finding else None for f in findings]),
        _attribute("sex", "asked", [_known(c.sex.value) for c in clinical]),
        _banded("age band", "asked", [c.age_years for c in clinical], AGES, "years"),
    ]


def _measured(outcomes: Sequence[Outcome]) -> list[Attribute]:
    measures = [outcome.measured for outcome in outcomes]
    return [
        *(
            _attribute(f"measured {name}", "measured", [_known(getattr(m, name)) for m in measures])
            for name in ("side", "region", "margin", "enhancement")
        ),
        _banded("measured size", "measured", [m.size_mm for m in measures], SIZES_MM, "mm"),
        _banded("measured conspicuity", "measured", [m.conspicuity_acquired for m in measures], CONSPICUITIES, ""),
    ]


def _attribute(name: str, source: Source, values: Sequence[str | float | None]) -> Attribute:
    numbers = sorted({value for value in values if isinstance(value, float | int)})
    words = sorted({value for value in values if isinstance(value, str)}, key=_place)
    ordered: list[str | float] = [*numbers, *words]
    place = {value: at for at, value in enumerate(ordered)}
    level = np.array([-1 if value is None else place[value] for value in values], int)
    return Attribute(name, source, tuple(level_name(value) or "" for value in place), level)


def _banded(name: str, source: Source, values: Sequence[float | None], ends: Sequence[float], unit: str) -> Attribute:
    known = [f"{low:g} to {high:g} {unit}".strip() for low, high in pairwise(ends)]
    levels = (*known, f"from {ends[-1]:g} {unit}".strip())
    level = [-1 if v is None or math.isnan(v) else max(0, int(np.searchsorted(ends, v, "right")) - 1) for v in values]
    return Attribute(name, source, levels, np.array(level, int))


def _known(word: str) -> str | None:
    return None if word in ("", "unknown") else word


def _division(level: np.ndarray) -> bytes:
    """The same for attributes that divide the trials alike, whatever they call it."""
    seen: dict[int, int] = {}
    return np.array([seen.setdefault(int(value), len(seen)) for value in level]).tobytes()


# ------------------------------------------------------------ subgroups


def gap_figures(reads: Reads, attributes: Sequence[Attribute]) -> dict[str, Figure]:
    """What `intervals.drawn` shall draw for `subgroups`."""
    wanted = {}
    for attribute in attributes:
        ends = _extremes(reads, attribute)
        if ends is not None:
            wanted[f"gap {attribute.name}"] = _gap(reads, attribute, *ends)
    return wanted


def subgroups(reads: Reads, attributes: Sequence[Attribute], drawn: dict[str, np.ndarray]) -> tuple[Subgroups, ...]:
    """Sensitivity by each attribute, with the gap of the extremes and a test corrected for all attributes."""
    correlation = within_patients(reads.found, reads.place)
    rows = [_subgroup(reads, attribute, drawn, correlation) for attribute in attributes]
    tested = [at for at, row in enumerate(rows) if row.p is not None]
    for at, p in zip(tested, holm([rows[at].p or 0.0 for at in tested]), strict=True):
        rows[at] = rows[at].model_copy(update={"p_holm": p})
    return tuple(rows)


def shares_of(reads: Reads, attribute: Attribute) -> Subgroups:
    """Sensitivity by one attribute without any test: quick, for a run that is still growing."""
    groups = tuple(
        Group(level=words, sensitivity=share(reads.found[mine], reads.place[mine]))
        for at, words in enumerate(attribute.levels)
        if (mine := attribute.level == at).any()
    )
    return Subgroups(attribute=attribute.name, source=attribute.source, groups=groups)


def _subgroup(reads: Reads, attribute: Attribute, drawn: dict[str, np.ndarray], correlation: float) -> Subgroups:
    plain = shares_of(reads, attribute)
    told: dict[str, Any] = {"attribute": plain.attribute, "source": plain.source, "groups": plain.groups}
    ends = _extremes(reads, attribute)
    if ends is None:
        return Subgroups(**told)
    worst, best = ends
    value = float(reads.found[attribute.level == best].mean() - reads.found[attribute.level == worst].mean())
    mine = np.isin(attribute.level, ends)
    interval = percentiles(drawn[f"gap {attribute.name}"])
    low, high = interval if interval is not None else (None, None)
    return Subgroups(
        **told,
        best=attribute.levels[best],
        worst=attribute.levels[worst],
        gap=Estimate(
            value=value, low=low, high=high, n=int(mine.sum()), blocks=len(np.unique(reads.place[mine])), method=DRAWN,
            draws=len(drawn[f"gap {attribute.name}"]),
        ),
        p=_levels_differ_p(reads, attribute, correlation),
    )  # fmt: skip


def _extremes(reads: Reads, attribute: Attribute) -> tuple[int, int] | None:
    """Worst and best level among those with enough trials; None with fewer than two such."""
    shares = {
        at: reads.found[mine].mean()
        for at in range(len(attribute.levels))
        if (mine := attribute.level == at).sum() >= LEAST
    }
    if len(shares) < 2:
        return None
    ordered = sorted(shares, key=lambda at: float(shares[at]))
    return ordered[0], ordered[-1]


def _gap(reads: Reads, attribute: Attribute, worst: int, best: int) -> Figure:
    parts = []
    for level in (best, worst):
        mine = attribute.level == level
        parts.append(np.bincount(reads.place[mine], reads.found[mine], reads.blocks))
        parts.append(np.bincount(reads.place[mine], minlength=reads.blocks).astype(float))
    sums = np.stack(parts, axis=1)  # [B, 4]

    def figure(w: np.ndarray) -> np.ndarray:
        found = w @ sums
        with np.errstate(invalid="ignore", divide="ignore"):  # a draw without a patient of the level
            gap: np.ndarray = found[:, 0] / found[:, 1] - found[:, 2] / found[:, 3]
        return gap

    return figure


def _levels_differ_p(reads: Reads, attribute: Attribute, correlation: float) -> float | None:
    counts = []
    for at in range(len(attribute.levels)):
        mine = attribute.level == at
        if mine.sum() >= LEAST:
            d = design_effect(reads.place[mine], correlation)
            found = reads.found[mine].sum() / d
            counts.append((found, mine.sum() / d - found))
    table = np.array(counts).T
    if (table.sum(axis=1) == 0).any():
        return 1.0  # all found, or none
    return float(chi2_contingency(table, correction=False).pvalue)


def within_patients(found: np.ndarray, place: np.ndarray) -> float:
    """Correlation of trials of the same patient, 0 to 1, by a one-way analysis of variance (Donner 1986)."""
    trials = np.bincount(place)
    trials = trials[trials > 0]
    n, k = len(found), len(trials)
    if k < 2 or n == k:
        return 0.0
    x = np.bincount(place, found)[np.bincount(place) > 0]
    between = float((trials * (x / trials - found.mean()) ** 2).sum()) / (k - 1)
    within = float((x - x**2 / trials).sum()) / (n - k)
    usual = (n - float((trials**2).sum()) / n) / (k - 1)
    spread = between + (usual - 1) * within
    return float(np.clip((between - within) / spread, 0, 1)) if spread > 0 else 0.0


def design_effect(place: np.ndarray, correlation: float) -> float:
    """How many trials are worth one: 1 + (m - 1) r, see the module."""
    trials = np.bincount(place)
    return 1 + (float((trials**2).sum()) / len(place) - 1) * correlation


# ------------------------------------------------------------ worst slices


def worst_slices(reads: Reads, attributes: Sequence[Attribute]) -> tuple[tuple[Slice, ...], int]:
    """Slices by one level, and by two of different attributes, that are found less often than the rest; and how many were looked at.

    Each has `LEAST` trials at least, and as many outside it. All that were looked at count in the correction. A slice of two
    levels is left out where it is no worse than one of its two levels that is told already (Fisher within that level, 5%).
    """
    looked_at = _slices(attributes, len(reads.found))
    if not looked_at:
        return (), 0
    correlation = within_patients(reads.found, reads.place)
    p = np.array([_fisher(reads, mask, correlation) for _, mask in looked_at])
    q = false_discovery_control(np.clip(p, 0, 1))
    told: dict[tuple[tuple[str, str], ...], np.ndarray] = {}
    rows = []
    for at in np.lexsort((p, np.array([len(conditions) for conditions, _ in looked_at]))):  # single levels first
        conditions, mask = looked_at[at]
        worse = reads.found[mask].mean() < reads.found[~mask].mean()
        if q[at] > ALPHA or not worse or _is_its_parent(reads, conditions, mask, told, correlation):
            continue
        told[conditions] = mask
        rows.append(
            Slice(
                conditions=conditions,
                n=int(mask.sum()),
                found=int(reads.found[mask].sum()),
                sensitivity=float(reads.found[mask].mean()),
                rest=float(reads.found[~mask].mean()),
                p=float(p[at]),
                q=float(q[at]),
            )
        )
    return tuple(sorted(rows, key=lambda row: (row.q, row.sensitivity))[:MOST_SLICES]), len(looked_at)


_Conditions = tuple[tuple[str, str], ...]


def _slices(attributes: Sequence[Attribute], trials: int) -> list[tuple[_Conditions, np.ndarray]]:
    singles = [
        (number, ((attribute.name, words),), attribute.level == at)
        for number, attribute in enumerate(attributes)
        for at, words in enumerate(attribute.levels)
    ]
    found, seen = [], set()
    pairs = (
        (one[1] + other[1], one[2] & other[2])
        for at, one in enumerate(singles)
        for other in singles[at + 1 :]
        if one[0] != other[0]
    )
    for conditions, mask in (*((words, mask) for _, words, mask in singles), *pairs):
        inside = int(mask.sum())
        if LEAST <= inside <= trials - LEAST and (key := mask.tobytes()) not in seen:
            seen.add(key)
            found.append((conditions, mask))
    return found


def _fisher(reads: Reads, mask: np.ndarray, correlation: float, within: np.ndarray | None = None) -> float:
    """One-sided p of Fisher's exact test that what `mask` holds is not found less often than the rest (of `within`)."""
    rest = ~mask if within is None else within & ~mask
    counts = []
    for mine in (mask, rest):
        d = design_effect(reads.place[mine], correlation)
        counts.append((round(float(reads.found[mine].sum()) / d), round(int(mine.sum()) / d)))
    (found, n), (others, m) = counts
    return float(hypergeom.cdf(found, n + m, found + others, n))


def _is_its_parent(
    reads: Reads,
    conditions: _Conditions,
    mask: np.ndarray,
    told: dict[_Conditions, np.ndarray],
    correlation: float,
) -> bool:
    """Whether a slice of two levels only repeats what is told of one of them."""
    if len(conditions) < 2:
        return False
    parents = [told[(condition,)] for condition in conditions if (condition,) in told]
    return any(
        (parent & ~mask).sum() < LEAST or _fisher(reads, mask, correlation, parent) > ALPHA for parent in parents
    )


def acceptance_of(outcomes: Sequence[Outcome]) -> dict[str, dict[str, tuple[int, int, int]]]:
    """By factor and level: trials, those that count, and those that the check accepted."""
    names = list(dict.fromkeys(name for outcome in outcomes for name in outcome.levels))
    found = {}
    for name in names:
        attribute = _factor(name, [outcome.levels.get(name) for outcome in outcomes])
        counted: Counter[int] = Counter()
        accepted: Counter[int] = Counter()
        trials: Counter[int] = Counter()
        for at, outcome in zip(attribute.level.tolist(), outcomes, strict=True):
            trials[at] += 1
            counted[at] += outcome.counts
            accepted[at] += outcome.accepted
        found[name] = {words: (trials[at], counted[at], accepted[at]) for at, words in enumerate(attribute.levels)}
    return found
