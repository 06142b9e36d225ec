"""Before the run: how many cases for which interval, and how small a difference the run can tell.

Trials are counted as independent, one a patient. Of a plan that shows each patient at many levels, the patients are what counts
for the sensitivity as a whole; two levels shown with the same patients are compared paired.
"""

from __future__ import annotations

import math

from scipy.optimize import brentq
from scipy.stats import norm

from meddiff.case import MedDiffError, Record
from meddiff.statistics import wilson

ALPHA, POWER = 0.05, 0.8
DISCORDANT = 0.2  # share of patients that one of two levels finds and the other does not, where nothing is known
MOST_CASES = 10_000_000


class Power(Record):
    """What so many cases a level can tell.

    Attributes:
        cases: a level, each of another patient.
        expected: sensitivity that the figures below are for.
        half_width: of the 95% interval at that sensitivity.
        unpaired: smallest fall in sensitivity, between two levels of different patients, that is told with 80% power; None: none.
        paired: the same between two levels of the same patients.
    """

    cases: int
    expected: float
    half_width: float
    unpaired: float | None
    paired: float | None


def power(cases: int, expected: float = 0.8) -> Power:
    """What `cases` a level can tell. Raises MedDiffError for none, or a share outside 0 to 1."""
    return Power(
        cases=cases,
        expected=expected,
        half_width=expected_interval(cases, expected),
        unpaired=detectable(cases, expected),
        paired=detectable_paired(cases),
    )


def expected_interval(n: int, p: float) -> float:
    """Half the width of the 95% Wilson interval (1927) of a share p seen in n cases.

    Raises:
        MedDiffError: n below 1, or p outside 0 to 1.
    """
    _require(n, p)
    low, high = wilson(p * n, n)
    return (high - low) / 2


def cases_for(half_width: float, p: float) -> int:
    """The fewest cases whose expected interval is no wider than +/- `half_width`.

    Raises:
        MedDiffError: a half width that is not between 0 and 0.5, or that takes more than ten million cases.
    """
    if not 0 < half_width < 0.5:
        raise MedDiffError(f"An interval of +/- {half_width:g} cannot be planned: give a number between 0 and 0.5.")
    _require(1, p)
    low, high = 0, 1
    while expected_interval(high, p) > half_width:
        low, high = high, 2 * high
        if high > MOST_CASES:
            raise MedDiffError(f"An interval of +/- {half_width:g} takes more than {MOST_CASES:,} cases: allow more.")
    while high - low > 1:  # the width falls with n
        middle = (low + high) // 2
        low, high = (low, middle) if expected_interval(middle, p) <= half_width else (middle, high)
    return high


def detectable(n: int, p: float) -> float | None:
    """Smallest fall from p, between two levels of n patients each, that a two-sided test at 5% tells with 80% power.

    By the arcsine of Cohen (1988, ch. 6): h = 2 asin(sqrt p) - 2 asin(sqrt q) = (z(0.975) + z(0.8)) sqrt(2 / n). None where
    even a fall to nothing would not be told.
    """
    _require(n, p)
    h = float(norm.ppf(1 - ALPHA / 2) + norm.ppf(POWER)) * math.sqrt(2 / n)
    angle = 2 * math.asin(math.sqrt(p)) - h
    return None if angle < 0 else p - math.sin(angle / 2) ** 2


def detectable_paired(n: int, discordant: float = DISCORDANT) -> float | None:
    """Smallest difference d between two levels (or detectors) of the same n patients that McNemar's test tells with 80% power.

    By Connor (1987): n = (z(0.975) sqrt(s) + z(0.8) sqrt(s - d^2))^2 / d^2, with s the share of discordant patients. None
    where even d = s, all discordant one way, would not be told.
    """
    _require(n, discordant)

    def asked(d: float) -> float:
        spread = float(norm.ppf(1 - ALPHA / 2)) * math.sqrt(discordant)
        return (spread + float(norm.ppf(POWER)) * math.sqrt(discordant - d**2)) ** 2 / d**2 - n

    if discordant == 0 or asked(discordant) > 0:
        return None
    return float(brentq(asked, 1e-9, discordant))


def _require(n: int, p: float) -> None:
    if n < 1:
        raise MedDiffError(f"{n} cases tell nothing: plan one at least.")
    if not 0 <= p <= 1:
        raise MedDiffError(f"A share of {p:g} cannot be expected: give a number from 0 to 1.")
