"""How hard a case is: predicted before anybody answered, corrected by the answers.

Predicted on the logit scale, as item response models have it (Rasch, *Probabilistic Models*, 1960):

    logit d = LEVEL - PER_CONTRAST ln(c / CONTRAST) - PER_SIZE ln(s / SIZE_MM) + PER_LOOK_ALIKE (n - LOOK_ALIKES)

with c the lesion's contrast to noise, s its longest diameter in mm, n the number of look-alikes of its pathology. All
constants are the author's estimates: they say which case is harder, not how many will be right. Answers do.
"""

from __future__ import annotations

import math

from meddiff.case import Case, Measurement, MedDiffError
from meddiff.conditions.measure import longest_diameter_mm
from meddiff.conditions.vocabulary import load_pathologies

# Author's estimates. A lesion of CONTRAST and SIZE_MM with LOOK_ALIKES look-alikes is missed by LEVEL, in logits (40%).
LEVEL = -0.4
CONTRAST, PER_CONTRAST = 2.0, 0.6
SIZE_MM, PER_SIZE = 20.0, 0.5
LOOK_ALIKES, PER_LOOK_ALIKE = 3, 0.15
OF_NORMAL = 0.3  # a picture without a lesion: how often one is seen in it all the same
WORTH = 10  # answers that a prediction weighs as much as

_CONTRASTS, _SIZES_MM = (0.2, 20.0), (2.0, 150.0)  # beyond these nothing gets harder or easier


def difficulty_of(case: Case) -> float:
    """Share of learners expected to be wrong, 0 to 1; see the module's formula. What was not measured counts as usual."""
    finding = case.request.findings.finding
    if finding is None:
        return OF_NORMAL
    contrast = measured(case, "conspicuity")
    c = CONTRAST if contrast is None or contrast.value is None else contrast.value
    s = diameter_mm(case) or SIZE_MM
    return difficulty_at(c, s, finding.pathology)


def difficulty_at(contrast: float, size_mm: float, pathology: str | None) -> float:
    """The module's formula, 0 to 1.

    Args:
        contrast: to noise, as `measure` has it.
        size_mm: longest diameter.
        pathology: key, whose look-alikes count; None or unknown: as many as usual.
    """
    known = load_pathologies().get(pathology or "")
    n = len(known.look_alikes) if known else LOOK_ALIKES
    logit = (
        LEVEL
        - PER_CONTRAST * math.log(_within(contrast, *_CONTRASTS) / CONTRAST)
        - PER_SIZE * math.log(_within(size_mm, *_SIZES_MM) / SIZE_MM)
        + PER_LOOK_ALIKE * (n - LOOK_ALIKES)
    )
    return round(1 / (1 + math.exp(-logit)), 3)


def corrected(predicted: float, right: int, total: int) -> float:
    """A predicted difficulty after `right` of `total` answers, 0 to 1: the mean of the posterior of a beta-binomial model.

    The prior is a beta distribution whose mean is `predicted` and that weighs as much as `WORTH` answers; so few answers move it
    little, and many replace it. Gelman et al., *Bayesian Data Analysis*, 3rd ed., 2013, section 2.4.

    Raises:
        MedDiffError: a difficulty outside 0 to 1, or more right answers than answers.
    """
    if not 0 <= predicted <= 1:
        raise MedDiffError(f"A difficulty of {predicted:g} is not possible: give 0 (all are right) to 1 (nobody is).")
    if not 0 <= right <= total:
        raise MedDiffError(f"{right} right of {total} answers is not possible: count the same answers in both.")
    return (WORTH * predicted + total - right) / (WORTH + total)


def measured(case: Case, name: str) -> Measurement | None:
    """The row of the table asked / measured with that name; None where there is none."""
    return next((row for row in case.measurements if row.name == name), None)


def diameter_mm(case: Case) -> float | None:
    """Longest diameter of the case's outline in mm; without an outline the one asked for, or None."""
    mask = case.request.mask
    if mask is not None and mask.png is not None:
        return longest_diameter_mm(mask.to_array(), case.spacing_mm) or None
    return case.request.findings.finding.size_mm if case.request.findings.finding else None


def _within(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)
