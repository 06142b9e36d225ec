"""Response categories from measured diameters, by the imaging rules of RANO (high-grade glioma) and RECIST 1.1.

RANO: Wen et al., *J Clin Oncol* 28(11), 2010. RECIST 1.1: Eisenhauer et al., *Eur J Cancer* 45(2), 2009.

Only what diameters tell: one target lesion, visit by visit. Steroids, clinical status, FLAIR and the confirming scan (for CR and PR,
after four weeks by RANO) are parts of the rules that are not known here, and so is whether growth within twelve weeks of
radiotherapy is pseudoprogression: a category is what a reader would note from these images, not a patient's response.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from meddiff.case import MedDiffError, Record

MEASURABLE_MM = 10  # at baseline: both diameters by RANO, the longest by RECIST
CAVEAT = "from these images alone; steroids, clinical status and a confirming scan are not known"


class Rule(StrEnum):
    """Whose rules."""

    RANO = "RANO"  # product of the two diameters
    RECIST = "RECIST 1.1"  # longest diameter


class Category(StrEnum):
    """Response category."""

    BASELINE = "baseline"
    CR = "CR"
    PR = "PR"
    SD = "SD"
    PD = "PD"
    NE = "NE"  # not evaluable: not measurable at baseline


class Measured(NamedTuple):
    """A visit's target lesion; 0 mm where it is gone. `new_lesion`: another one that the visit before did not show."""

    longest_mm: float
    perpendicular_mm: float
    new_lesion: bool = False


class Assessment(Record):
    """A visit's category, the change of what the rule measures in percent, and one sentence for people.

    The nadir is the smallest of all earlier visits. A change is None at baseline, and from what was 0.
    """

    category: Category
    from_baseline_percent: float | None = None
    from_nadir_percent: float | None = None
    sentence: str


class _Thresholds(NamedTuple):
    """Shares of change, and the least growth in mm, that make a category."""

    of_what: str
    response: float  # at most this change from baseline, percent
    progression: float  # at least this change from nadir, percent
    progression_mm: float


_THRESHOLDS = {
    Rule.RANO: _Thresholds("product of the two diameters", -50, 25, 0),
    Rule.RECIST: _Thresholds("longest diameter", -30, 20, 5),
}
_NAMES = {
    Category.CR: "Complete response",
    Category.PR: "Partial response",
    Category.SD: "Stable disease",
    Category.PD: "Progressive disease",
}


def respond(rule: Rule, measured: Sequence[tuple[float, float, bool]]) -> tuple[Assessment, ...]:
    """One assessment a visit; the first visit is the baseline. Visits in order of time, each as `Measured`.

    | | RANO, product of diameters | RECIST 1.1, longest diameter |
    |---|---|---|
    | CR | gone | gone |
    | PR | 50% or more below baseline | 30% or more below baseline |
    | PD | 25% or more above nadir, or new lesion | 20% and 5 mm or more above nadir, or new lesion |
    | SD | else | else |

    PD goes before PR; a lesion that comes back after it had gone is PD. A lesion below `MEASURABLE_MM` at baseline has no category
    but PD by a new one. Where a trial would end at PD, this goes on.

    Raises:
        MedDiffError: without visits, for diameters that are none, for a new lesion at baseline.
    """
    visits = [_checked(number, Measured(*visit)) for number, visit in enumerate(measured, 1)]
    if not visits:
        raise MedDiffError(f"{rule} compares visits, and there is none: give the diameters of the baseline at least.")
    if visits[0].new_lesion:
        raise MedDiffError(
            "The first visit is the baseline, where no lesion can be new: say so at the visit that shows it first."
        )
    sizes = [_size(rule, visit) for visit in visits]
    measurable = _measurable(rule, visits[0])
    later = [_assess(rule, visits[i], measurable, sizes[0], min(sizes[:i]), sizes[i]) for i in range(1, len(visits))]
    return (_baseline(rule, visits[0], measurable), *later)


def _baseline(rule: Rule, visit: Measured, measurable: bool) -> Assessment:
    size = f"{visit.longest_mm:.0f} mm by {visit.perpendicular_mm:.0f} mm"
    needs = "both diameters" if rule is Rule.RANO else "the longest diameter"
    words = (
        f"Baseline: {size}"
        if measurable
        else f"Baseline: {size}, not measurable by {rule}, which needs {MEASURABLE_MM} mm in {needs}"
    )
    return Assessment(category=Category.BASELINE, sentence=f"{words}.")


def _assess(rule: Rule, visit: Measured, measurable: bool, baseline: float, nadir: float, size: float) -> Assessment:
    """A later visit's assessment. Sizes are what the rule measures: mm2 by RANO, mm by RECIST."""
    limits = _THRESHOLDS[rule]
    change, growth = _percent(size, baseline), _percent(size, nadir)
    grown = growth is not None and growth >= limits.progression and round(size - nadir, 9) >= limits.progression_mm
    back = nadir == 0 and size > 0
    if visit.new_lesion:
        category, why = Category.PD, "a new lesion is seen"
    elif not measurable:
        category, why = Category.NE, f"the lesion was below {MEASURABLE_MM} mm at baseline"
    elif size == 0:
        category, why = Category.CR, "the lesion is no longer seen"
    elif back:
        category, why = Category.PD, "the lesion is back after it had gone"
    elif grown:
        category, why = Category.PD, f"the {limits.of_what} is {_beside(growth)} its smallest so far"
    elif change is not None and change <= limits.response:
        category, why = Category.PR, f"the {limits.of_what} is {_beside(change)} the baseline"
    else:
        category, why = (
            Category.SD,
            f"the {limits.of_what} is {_beside(change)} the baseline and {_beside(growth)} its smallest so far",
        )
    name = _NAMES.get(category, "No category")
    small = (
        ", now too small to measure well"
        if size > 0 and not _measurable(rule, visit) and category is not Category.NE
        else ""
    )
    return Assessment(
        category=category,
        from_baseline_percent=change,
        from_nadir_percent=growth,
        sentence=f"{name} by {rule}: {why}{small}; {CAVEAT}.",
    )


def _checked(number: int, visit: Measured) -> Measured:
    longest, across, _ = visit
    if not (math.isfinite(longest) and 0 <= across <= longest and (across > 0 or longest == 0)):
        raise MedDiffError(
            f"Visit {number} measures {longest:g} mm by {across:g} mm: give the longest diameter first, and 0 by 0 where the lesion is gone."
        )
    return visit


def _size(rule: Rule, visit: Measured) -> float:
    return visit.longest_mm * visit.perpendicular_mm if rule is Rule.RANO else visit.longest_mm


def _measurable(rule: Rule, visit: Measured) -> bool:
    return (visit.perpendicular_mm if rule is Rule.RANO else visit.longest_mm) >= MEASURABLE_MM


def _percent(size: float, reference: float) -> float | None:
    """Change in percent, to nine decimals, so that 15 mm after 12.5 mm is 20% and not a hair less."""
    return round(100 * (size / reference - 1), 9) if reference > 0 else None


def _beside(change: float | None) -> str:
    """`12.5% above`, `3% below`; `the same as` where nothing changed that could be said so."""
    if change is None or abs(change) < 0.05:
        return "the same as"
    return f"{f'{abs(change):.1f}'.removesuffix('.0')}% {'above' if change > 0 else 'below'}"
