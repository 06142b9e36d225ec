"""How a lesion's volume changes over time: laws of growth and of response as data, and what real pairs of scans predict.

Pure mathematics, no picture. Day 0 is the first visit; V is the volume, V0 that of day 0, D the diameter of a ball of the same volume.
Lengths in mm, times in days, rates per day. A law says V(t)/V0; `pathology.growth` says which laws a disease follows, from which source.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field, ValidationError, field_validator, model_validator

from meddiff.case import MedDiffError, Record

if TYPE_CHECKING:
    from meddiff.conditions.vocabulary import Pathology

DAYS_A_YEAR = 365.25
ESTIMATE = "author's estimate; needs a radiologist's review"  # how a figure without a publication is marked
SEED_SHARE = 0.001  # of V0: a recurrence after complete removal begins to be seen at a tenth of the former diameter

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Phase = tuple[float, float, int]  # from day, to day, direction; a leap begins and ends on the same day


class _Law(Record):
    """Base of all laws."""

    @abstractmethod
    def _ratio(self, t: np.ndarray, start_mm: float) -> np.ndarray:
        """V(t)/V0 for t >= 0."""

    def _phases(self) -> tuple[Phase, ...]:
        """When it goes which way; between the phases nothing changes."""
        return ((0, math.inf, 1),)


class Exponential(_Law):
    """V(t) = V0 2^(t/T), T the volume doubling time. Collins, Loeffler, Tivey, *AJR* 76, 1956; Schwartz, *Cancer* 14, 1961."""

    law: Literal["exponential"] = "exponential"
    doubling_days: Positive

    def _ratio(self, t: np.ndarray, start_mm: float) -> np.ndarray:
        return np.exp2(t / self.doubling_days)


class Gompertz(_Law):
    """V(t) = K (V0/K)^exp(-a t): growth that slows down from the first day towards the volume K of a ball of `limit_mm`.

    a follows from the doubling time T of the rate at day 0: V'(0)/V0 = a ln(K/V0) = ln 2 / T. Laird, *Br J Cancer* 18, 1964;
    in untreated glioblastoma: Stensjøen et al., *Neuro-Oncology* 17, 2015.
    """

    law: Literal["gompertz"] = "gompertz"
    doubling_days: Positive
    limit_mm: Positive

    def _ratio(self, t: np.ndarray, start_mm: float) -> np.ndarray:
        log_k = 3 * math.log(_limit_over_start(self.law, self.limit_mm, start_mm))
        a = math.log(2) / self.doubling_days / log_k
        return np.exp(-log_k * np.expm1(-a * t))


class Logistic(_Law):
    """V(t) = K / (1 + (K/V0 - 1) exp(-r t)): nearly exponential while small, slowing down near the volume K of a ball of `limit_mm`.

    r follows from the doubling time T of the rate at day 0: V'(0)/V0 = r (1 - V0/K) = ln 2 / T. Verhulst, 1838; for tumours:
    Benzekry et al., *PLoS Comput Biol* 10, 2014.
    """

    law: Literal["logistic"] = "logistic"
    doubling_days: Positive
    limit_mm: Positive

    def _ratio(self, t: np.ndarray, start_mm: float) -> np.ndarray:
        k = _limit_over_start(self.law, self.limit_mm, start_mm) ** 3
        r = math.log(2) / self.doubling_days / (1 - 1 / k)
        return k / (1 + (k - 1) * np.exp(-r * t))


class Linear(_Law):
    """D(t) = D0 + v t: the mean diameter grows evenly, v in mm a year. Mandonnet et al., *Ann Neurol* 53, 2003."""

    law: Literal["linear"] = "linear"
    mm_per_year: Positive

    def _ratio(self, t: np.ndarray, start_mm: float) -> np.ndarray:
        return (1 + self.mm_per_year * t / DAYS_A_YEAR / start_mm) ** 3


class Response(_Law):
    """Shrinks under treatment to `nadir_share` of V0 at `nadir_day`, then grows again, or stays.

    With regrowth: V(t) = V0 ((1 - f) exp(-d t) + f exp(g t)), a part that dies at the rate d and a resistant part f that grows with
    the doubling time ln 2 / g; d and f are those that give the nadir its day and depth. Wilkerson et al., *Lancet Oncol* 18, 2017.
    Without: ln(V/V0) falls by a smooth step, 3u^2 - 2u^3 with u = t / nadir_day, and rests; this step is ours.
    """

    law: Literal["response"] = "response"
    nadir_share: Annotated[float, Field(gt=0, lt=1)]
    nadir_day: Positive
    regrowth_doubling_days: Positive | None = None

    def _ratio(self, t: np.ndarray, start_mm: float) -> np.ndarray:
        s, u = self.nadir_share, t / self.nadir_day
        if self.regrowth_doubling_days is None:
            return np.exp(math.log(s) * _step(u))
        from scipy.optimize import brentq  # takes a second to load, and the page shows the vocabulary first

        # With g and d per nadir_day: V'(1) = 0 and V(1) = s give f = s d / (g + d) exp(-g), and d as the root of a concave function.
        g = math.log(2) * self.nadir_day / self.regrowth_doubling_days
        high = 2 * math.log((1 + g) / (s * g)) + 2  # always beyond the root
        d = brentq(lambda d: g + d * (1 - s * math.exp(-g)) - s * g * math.exp(d), 0, high, xtol=1e-14)
        f = s * d / (g + d) * math.exp(-g)
        return (1 - f) * np.exp(-d * u) + f * np.exp(g * u)

    def _phases(self) -> tuple[Phase, ...]:
        rests = self.regrowth_doubling_days is None
        return ((0, self.nadir_day, -1), (self.nadir_day, math.inf, 0 if rests else 1))


class Pseudoprogression(_Law):
    """Swells after treatment to `peak_share` of V0 at `peak_day`, then settles at `settling_share` within `settling_days` more.

    ln(V/V0) rises and falls by smooth steps, 3u^2 - 2u^3; the steps are ours, the course is that of Brandsma et al., *Lancet Oncol* 9, 2008.
    """

    law: Literal["pseudoprogression"] = "pseudoprogression"
    peak_share: Annotated[float, Field(gt=1, allow_inf_nan=False)]
    peak_day: Positive
    settling_share: Positive
    settling_days: Positive

    @model_validator(mode="after")
    def _settles_below_the_peak(self) -> Pseudoprogression:
        if self.settling_share >= self.peak_share:
            raise ValueError(f"settling_share {self.settling_share:g} must lie below peak_share {self.peak_share:g}")
        return self

    def _ratio(self, t: np.ndarray, start_mm: float) -> np.ndarray:
        peak, end = math.log(self.peak_share), math.log(self.settling_share)
        rise, fall = _step(t / self.peak_day), _step((t - self.peak_day) / self.settling_days)
        return np.exp(peak * rise + (end - peak) * fall)

    def _phases(self) -> tuple[Phase, ...]:
        return ((0, self.peak_day, 1), (self.peak_day, self.peak_day + self.settling_days, -1))


class Stable(_Law):
    """V(t) = V0."""

    law: Literal["stable"] = "stable"

    def _ratio(self, t: np.ndarray, start_mm: float) -> np.ndarray:
        return np.ones_like(t)

    def _phases(self) -> tuple[Phase, ...]:
        return ()


class Resection(_Law):
    """V0 until `surgery_day`, `residual_share` of it from that day on; after `recurrence_delay_days` it doubles every `recurrence_doubling_days`.

    Without a doubling time nothing recurs. Where nothing was left, a recurrence begins at `SEED_SHARE`: a volume of 0 cannot double.
    """

    law: Literal["resection"] = "resection"
    surgery_day: Positive
    residual_share: Annotated[float, Field(ge=0, lt=1)]
    recurrence_delay_days: NotNegative = 0
    recurrence_doubling_days: Positive | None = None

    def _ratio(self, t: np.ndarray, start_mm: float) -> np.ndarray:
        left = np.where(t < self.surgery_day, 1.0, self.residual_share)
        if self.recurrence_doubling_days is None:
            return left
        growing = t - self.surgery_day - self.recurrence_delay_days
        regrown = (self.residual_share or SEED_SHARE) * np.exp2(np.maximum(growing, 0) / self.recurrence_doubling_days)
        return np.where(growing < 0, left, regrown)

    def _phases(self) -> tuple[Phase, ...]:
        cut = self.surgery_day
        phases: tuple[Phase, ...] = ((cut, cut, -1),)
        if self.recurrence_doubling_days is None:
            return phases
        back = cut + self.recurrence_delay_days
        if self.residual_share == 0 and back > cut:
            phases += ((back, back, 1),)
        return (*phases, (back, math.inf, 1))


_Any = Exponential | Gompertz | Logistic | Linear | Response | Pseudoprogression | Stable | Resection
Law = Annotated[_Any, Field(discriminator="law")]
LAWS: dict[str, type[_Law]] = {kind.model_fields["law"].default: kind for kind in get_args(_Any)}


class SourcedLaw(Record):
    """A law with a disease's figures, and where these come from."""

    law: Law
    source: Annotated[str, Field(min_length=1)]


class Limits(Record):
    """How fast a disease can credibly change, surgery apart: shortest doubling and halving times of its volume."""

    doubling_days: Positive
    halving_days: Positive
    source: Annotated[str, Field(min_length=1)]


class Growth(Record):
    """The laws that a disease follows, the first is taken where none is asked for, and its limits of change."""

    laws: Annotated[tuple[SourcedLaw, ...], Field(min_length=1)]
    limits: Limits

    @field_validator("laws")
    @classmethod
    def _each_once(cls, value: tuple[SourcedLaw, ...]) -> tuple[SourcedLaw, ...]:
        names = [entry.law.law for entry in value]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"the law {twice.pop()!r} stands there twice")
        return value

    @property
    def default(self) -> Law:
        return self.laws[0].law


def volume_ratio(law: Law, days: ArrayLike, start_mm: float) -> np.ndarray:
    """V(t)/V0 at `days` [...] >= 0, for a lesion of `start_mm` equivalent diameter at day 0.

    Raises:
        MedDiffError: for days before 0, a start that is no length, a start beyond the law's limit, a volume beyond all numbers.
    """
    t = np.asarray(days, float)
    if not (np.isfinite(t) & (t >= 0)).all():
        raise MedDiffError(f"Days count from the first visit, day 0, not {t.min():g}: give days of 0 or later.")
    if not (math.isfinite(start_mm) and start_mm > 0):
        raise MedDiffError(f"A lesion starts with a diameter above 0 mm, not {start_mm:g}: give its size at day 0.")
    with np.errstate(over="ignore"):
        ratio = law._ratio(t, start_mm)
    if not np.isfinite(ratio).all():
        raise MedDiffError(
            f"By the law {law.law} the volume at day {t.max():g} is beyond all numbers: ask for an earlier day or slower growth."
        )
    return ratio


def diameter_mm(law: Law, days: ArrayLike, start_mm: float) -> np.ndarray:
    """Equivalent diameter D(t) = D0 (V(t)/V0)^(1/3) in mm at `days` [...]. Raises as `volume_ratio`."""
    return start_mm * np.cbrt(volume_ratio(law, days, start_mm))


def area_ratio(law: Law, days: ArrayLike, start_mm: float) -> np.ndarray:
    """A(t)/A0 = (V(t)/V0)^(2/3) at `days` [...]: what one slice shows. Raises as `volume_ratio`.

    Assumes similar shapes: that the lesion keeps its proportions, and that the slice goes through it at the same relative place.
    """
    return np.cbrt(volume_ratio(law, days, start_mm)) ** 2


def direction(law: Law, day_from: float, day_to: float) -> Literal[-1, 0, 1] | None:
    """Which way the volume goes between two days: 1 never down, -1 never up, 0 no change, None up and down.

    Raises:
        MedDiffError: for days before 0 or out of order.
    """
    if not 0 <= day_from <= day_to:
        raise MedDiffError(
            f"Day {day_from:g} to day {day_to:g} is no span: give two days from 0 on, the earlier first."
        )
    ways = {
        way
        for begin, end, way in law._phases()
        if way and ((day_from < end and begin < day_to) or day_from < begin == end <= day_to)
    }
    if len(ways) > 1:
        return None
    return 0 if not ways else 1 if 1 in ways else -1


def first_size_mm(pathology: Pathology, law: Law, last_day: int) -> float:
    """Longest diameter at day 0 where the sentence names none: small where it only grows, so that there is room, else the typical one."""
    size = pathology.size_mm
    grows = last_day > 0 and direction(law, 0, last_day) == 1
    return float(round((size.min * size.typical) ** 0.5 if grows else size.typical))


def fastest(pathology: Pathology) -> Limits:
    """The pathology's limit of change, for `too_fast`."""
    return pathology.growth.limits


def too_fast(limits: Limits, days: float, ratio: float, slack: float = 0.0) -> str | None:
    """A sentence where a volume that changed by `ratio` within `days` >= 0 changed faster than the limits allow; else None.

    Args:
        slack: relative error of the measured ratio, 0.1 for 10%; without it nothing may change between two visits on one day.

    Raises:
        MedDiffError: for a ratio that is not above 0: what has gone has no rate.
    """
    if not (math.isfinite(ratio) and ratio > 0 and days >= 0):
        raise MedDiffError(f"A rate needs a volume ratio above 0 and days from 0 on, not {ratio:g} in {days:g} days.")
    change, error = math.log2(ratio), math.log2(1 + slack)
    if change > days / limits.doubling_days + error:
        return f"The volume grew {ratio:.2f}-fold in {days:g} days, but doubles in {limits.doubling_days:g} days at the fastest."
    if -change > days / limits.halving_days + error:
        return f"The volume fell to {ratio:.1%} in {days:g} days, but halves in {limits.halving_days:g} days at the fastest."
    return None


def parse_law(text: str, pathology: Pathology) -> Law:
    """The law that a command line names: `gompertz` with the pathology's figures, `gompertz:doubling_days=90,limit_mm=80` with others.

    A law for which the pathology has no figures can be asked for with all of its own. `none` leaves an optional one out.

    Raises:
        MedDiffError: saying what is allowed.
    """
    name, _, rest = (part.strip() for part in text.partition(":"))
    own = {entry.law.law: entry.law for entry in pathology.growth.laws}
    if name not in LAWS:
        raise MedDiffError(
            f"There is no law {name!r}: choose one of {', '.join(LAWS)}; {pathology.name} has figures for {', '.join(own)}."
        )
    figures = own[name].model_dump() if name in own else {}
    try:
        return LAWS[name].model_validate({**figures, **_figures(rest, name)})  # type: ignore[return-value]
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "missing":
            missing = [str(e["loc"][0]) for e in error.errors() if e["type"] == "missing"]
            raise MedDiffError(
                f"{pathology.name} has no figures for the law {name}: give {' and '.join(missing)}, or choose {' or '.join(own)}."
            ) from error
        where = ", ".join([f"The law {name}", *map(str, first["loc"])])
        what = first["msg"].removeprefix("Value error, ").replace("Input should be", "it must be")
        given = f", not {first['input']}" if first["loc"] else ""
        raise MedDiffError(f"{where}: {what}{given}.") from error


class Population(Record):
    """Specific growth rates of patients, per day: mean, standard deviation, number of patients."""

    count: Annotated[int, Field(ge=2)]
    mean: Annotated[float, Field(allow_inf_nan=False)]
    sd: NotNegative


def fit_population(days: Sequence[float], ratios: Sequence[float]) -> Population:
    """Growth rates from one pair of scans a patient: days between the two, V2/V1.

    The specific growth rate ln(V2/V1) / dt is nearer to normal than doubling times, which have no value where nothing grows:
    Mehrara et al., *Cancer Research* 67(8), 2007.

    Raises:
        MedDiffError: for fewer than two pairs, lists of different length, or a pair without days or volume.
    """
    if len(days) != len(ratios) or len(days) < 2:
        raise MedDiffError(
            f"{len(days)} spans and {len(ratios)} volume ratios: give one of each a patient, two patients at least."
        )
    dt, ratio = np.asarray(days, float), np.asarray(ratios, float)
    if not (np.isfinite(dt) & np.isfinite(ratio) & (dt > 0) & (ratio > 0)).all():
        raise MedDiffError(
            "Each pair of scans needs days and a volume ratio above 0: leave out pairs of one day or without a lesion."
        )
    rates = np.log(ratio) / dt
    return Population(count=len(rates), mean=float(rates.mean()), sd=float(rates.std(ddof=1)))


def predict(population: Population, days: ArrayLike, level: float = 0.8) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """V(t)/V0 of a new patient of that population at `days` [...] >= 0: low, median, high of the predictive interval.

    The rate lies within mean +- t(n-1) sd sqrt(1 + 1/n) with probability `level`, Student's t; it is taken as normal among patients
    and as constant in each, so that far beyond the spans it was fitted on the interval says too little.

    Raises:
        MedDiffError: for a level outside 0 to 1 or days before 0.
    """
    from scipy.special import stdtrit

    t = np.asarray(days, float)
    if not 0 < level < 1:
        raise MedDiffError(f"The level of an interval lies between 0 and 1, not at {level:g}: give 0.8 for 80%.")
    if not (np.isfinite(t) & (t >= 0)).all():
        raise MedDiffError(f"Days count from the first visit, day 0, not {t.min():g}: give days of 0 or later.")
    n = population.count
    reach = float(stdtrit(n - 1, (1 + level) / 2)) * population.sd * math.sqrt(1 + 1 / n)
    with np.errstate(over="ignore"):
        low, median, high = (
            np.exp(rate * t) for rate in (population.mean - reach, population.mean, population.mean + reach)
        )
    return low, median, high


def _limit_over_start(law: str, limit_mm: float, start_mm: float) -> float:
    """Limiting diameter over the start, above 1."""
    if limit_mm <= start_mm:
        raise MedDiffError(
            f"By the law {law} a lesion of {start_mm:g} mm cannot grow towards {limit_mm:g} mm: give a limit_mm above its start."
        )
    return limit_mm / start_mm


def _step(u: np.ndarray) -> np.ndarray:
    """A smooth step from 0 at u <= 0 to 1 at u >= 1, flat at both ends."""
    u = np.clip(u, 0, 1)
    return u * u * (3 - 2 * u)


def _figures(text: str, law: str) -> dict[str, Any]:
    """`a=1,b=none` as a dictionary of floats and None, of the law's parameters only."""
    allowed = [name for name in LAWS[law].model_fields if name != "law"]
    found: dict[str, Any] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = (side.strip() for side in part.partition("="))
        if name not in allowed:
            takes = f"it takes {', '.join(allowed)}" if allowed else "it takes none"
            raise MedDiffError(f"The law {law} has no parameter {name!r}: {takes}.")
        if name in found:
            raise MedDiffError(f"The law {law} is given {name} twice: give it once.")
        try:
            found[name] = None if value == "none" else float(value)
        except ValueError:
            raise MedDiffError(
                f"The law {law}, {name}: {value!r} is no number. Write {name}=90, for example."
            ) from None
    return found
