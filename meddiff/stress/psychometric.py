"""Sensitivity against conspicuity: a psychometric curve, and where it crosses 50% and 80%.

After Wichmann & Hill (2001, *Perception & Psychophysics* 63:1293), with c the lesion's contrast to noise:

    P(found) = gamma + (1 - gamma - lambda) / (1 + exp(-(alpha + beta ln c)))

gamma, the guess rate, is not fitted: it is how often the detector would be right without seeing anything. lambda, the lapse
rate, is fitted within 0 to 0.1, since a single miss of an obvious lesion would otherwise flatten the whole curve. By maximum
likelihood: Fisher scoring in alpha and beta at each lambda of a grid, for all draws of the bootstrap at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import expit, logit, xlogy

from meddiff.case import Record
from meddiff.stress.intervals import percentiles, share, weights

TARGETS = (0.5, 0.8)  # probabilities of detection
LEAST = 0.05  # contrast to noise; less counts as this, for the logarithm
LEAST_TRIALS = 20
DRAWS = 1000
LAPSES = np.linspace(0, 0.1, 6)
_DRAWN_LAPSES = LAPSES[[0, 2, 5]]  # enough for the spread, at half the time
_BINS = 40  # that conspicuities are gathered in for the bootstrap: finer than any curve can tell
_DOTS = 8
_STEPS = 25
_NEAR = 1e-3  # logits: a step this small is the last
_FARTHEST = 20.0  # slope and offset, in logits a standard deviation of ln c: a step, to the eye and to the likelihood


class Point(Record):
    """The conspicuity from which a lesion is found with a probability.

    Attributes:
        target: that probability, 0.5 or 0.8.
        value: contrast to noise; None where the data do not tell.
        low, high: of the 95% interval; None where that end lies beyond the measured range.
        said: why there is no value, or which end is open.
    """

    target: float
    value: float | None = None
    low: float | None = None
    high: float | None = None
    said: str = ""


class Dot(Record):
    """Trials of about one conspicuity: their geometric mean, the share found and its interval."""

    conspicuity: float
    share: float
    low: float
    high: float
    n: int


class Psychometric(Record):
    """A fitted curve.

    Attributes:
        n: trials.
        least, most: conspicuities measured.
        gamma, lapse: guess and lapse rate.
        offset, slope: alpha and beta, in logits; None where nothing can be fitted.
        points: of `TARGETS`.
        line: (conspicuity, probability, low, high) from `least` to `most`.
        dots: what was seen.
        draws: of the bootstrap over patients.
        said: why there is no curve.
    """

    n: int
    least: float | None = None
    most: float | None = None
    gamma: float = 0.0
    lapse: float | None = None
    offset: float | None = None
    slope: float | None = None
    points: tuple[Point, ...] = ()
    line: tuple[tuple[float, float, float, float], ...] = ()
    dots: tuple[Dot, ...] = ()
    draws: int = 0
    said: str = ""

    def point(self, target: float) -> Point:
        """The point of a target."""
        return next((p for p in self.points if p.target == target), Point(target=target, said=self.said))


def fit(
    conspicuity: Sequence[float] | np.ndarray,
    found: Sequence[bool] | np.ndarray,
    block: Sequence[int] | np.ndarray | None = None,
    false_alarm: Sequence[bool] | np.ndarray | None = None,
    seed: int = 0,
) -> Psychometric:
    """The curve of a detector's (or of learners') answers.

    Args:
        conspicuity: contrast to noise [T]; what is below `LEAST` counts as that, and trials without a finite one are left out.
        found: [T].
        block: patient of each trial [T]; default: each its own.
        false_alarm: [T], of a classifier: whether the trial's clean twin alarmed. Their share is gamma, drawn again with the
            patients. Default: gamma 0, of who must point at the lesion: a false mark elsewhere finds nothing.
        seed: of the bootstrap.
    """
    known = np.isfinite(np.asarray(conspicuity, float))
    x = np.log(np.maximum(np.asarray(conspicuity, float)[known], LEAST))
    y = np.asarray(found, float)[known]
    n = len(y)
    patients = np.arange(n) if block is None else np.asarray(block)[known]
    alarms = np.zeros(n) if false_alarm is None else np.asarray(false_alarm, float)[known]
    if n == 0:
        return Psychometric(n=0, said="No trial was scored.")
    gamma = float(min(alarms.mean(), 0.99))
    told: dict[str, Any] = {
        "n": n,
        "least": float(np.exp(x.min())),
        "most": float(np.exp(x.max())),
        "gamma": gamma,
        "dots": _dots(x, y, patients),
    }
    if why := _unfit(x, y):
        points = tuple(Point(target=target, said=why) for target in TARGETS)
        return Psychometric(**told, points=points, said=why)
    middle, spread = float(x.mean()), float(x.std())
    z = (x - middle) / spread
    fitted = _over_lapses(z, y[None], np.ones((1, n)), np.array([gamma]), LAPSES, (0.0, 1.0))
    drawn = _redrawn(z, y, patients, alarms, seed, (float(fitted[0][0]), float(fitted[1][0])))
    points = tuple(_point(target, fitted, drawn, (gamma, middle, spread), x) for target in TARGETS)
    a, b, lapse = (float(value[0]) for value in fitted[:3])
    return Psychometric(
        **told,
        lapse=lapse,
        slope=b / spread,
        offset=a - b * middle / spread,
        points=points,
        line=_line(x, middle, spread, fitted, drawn),
        draws=len(drawn[0]),
    )


def probability(curve: Psychometric, conspicuity: np.ndarray) -> np.ndarray:
    """P(found) of a fitted curve at contrasts to noise."""
    eta = (curve.offset or 0.0) + (curve.slope or 0.0) * np.log(np.maximum(conspicuity, LEAST))
    return curve.gamma + (1 - curve.gamma - (curve.lapse or 0.0)) * expit(eta)


# ------------------------------------------------------------ maximum likelihood, many at once

_Fits = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # alpha, beta (of z), lambda, gamma, each [D]


def _over_lapses(
    z: np.ndarray,
    hits: np.ndarray,
    trials: np.ndarray,
    gamma: np.ndarray,
    lapses: np.ndarray,
    start: tuple[float, float],
) -> _Fits:
    """The likeliest of all lapse rates, for each of D data sets.

    Args:
        z: [K], standardised ln c.
        hits, trials: [D, K].
        gamma: [D].
        start: alpha and beta to begin with.
    """
    draws, rates = len(hits), len(lapses)
    hits, trials, guess = (np.repeat(values, rates, axis=0) for values in (hits, trials, gamma))
    lapse = np.tile(lapses, draws)
    a, b, likelihood = _fisher(z, hits, trials, guess, lapse, start)
    # A rate must be worth its place: the smallest of those that are equally likely.
    best = np.argmax(np.round(likelihood.reshape(draws, rates), 6), axis=1) + rates * np.arange(draws)
    return a[best], b[best], lapse[best], gamma


def _fisher(
    z: np.ndarray,
    hits: np.ndarray,
    trials: np.ndarray,
    gamma: np.ndarray,
    lapse: np.ndarray,
    start: tuple[float, float],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """alpha, beta and log likelihood [D] by Fisher scoring; a step that makes it worse is halved and tried again."""
    a, b, pace = np.full(len(hits), start[0]), np.full(len(hits), start[1]), np.ones(len(hits))
    a_next, b_next = a, b
    best = np.full(len(hits), -np.inf)
    step_a = step_b = np.zeros(len(hits))
    reach = (1 - gamma - lapse)[:, None]
    for _ in range(_STEPS):
        s = expit(a_next[:, None] + b_next[:, None] * z)
        p = np.clip(gamma[:, None] + reach * s, 1e-9, 1 - 1e-9)
        likelihood = (xlogy(hits, p) + xlogy(trials - hits, 1 - p)).sum(axis=1)
        better = likelihood >= best
        a, b = np.where(better, a_next, a), np.where(better, b_next, b)
        best = np.maximum(likelihood, best)
        rise = reach * s * (1 - s)
        per = rise / (p * (1 - p))
        score, weight = (hits - trials * p) * per, trials * rise * per
        i_aa, i_ab, i_bb = weight.sum(axis=1) + 1e-6, weight @ z, weight @ z**2 + 1e-6
        u_a, u_b = score.sum(axis=1), score @ z
        determinant = np.maximum(i_aa * i_bb - i_ab**2, 1e-12)
        new_a, new_b = (i_bb * u_a - i_ab * u_b) / determinant, (i_aa * u_b - i_ab * u_a) / determinant
        step_a, step_b = np.where(better, new_a, step_a), np.where(better, new_b, step_b)
        pace = np.where(better, np.minimum(2 * pace, 1), pace / 4)
        a_next = np.clip(a + pace * np.clip(step_a, -3, 3), -_FARTHEST, _FARTHEST)
        b_next = np.clip(b + pace * np.clip(step_b, -3, 3), -_FARTHEST, _FARTHEST)
        if max(np.abs(a_next - a).max(), np.abs(b_next - b).max()) < _NEAR:
            break
    return a, b, best


def _redrawn(
    z: np.ndarray, y: np.ndarray, block: np.ndarray, alarms: np.ndarray, seed: int, start: tuple[float, float]
) -> _Fits:
    """The fit to each draw of patients; conspicuities are gathered in bins, so that a draw is one product of matrices."""
    _, place = np.unique(block, return_inverse=True)
    blocks = int(place.max()) + 1
    edges = np.unique(np.quantile(z, np.linspace(0, 1, _BINS + 1)[1:-1]))
    bin_of = np.searchsorted(edges, z)
    bins = len(edges) + 1
    within = np.bincount(bin_of, minlength=bins)
    centre = np.bincount(bin_of, z, bins) / np.maximum(within, 1)
    hits, trials = np.zeros((blocks, bins), np.float32), np.zeros((blocks, bins), np.float32)
    np.add.at(hits, (place, bin_of), y)
    np.add.at(trials, (place, bin_of), 1)
    alarmed = np.bincount(place, alarms, blocks)
    lots = []
    for w in weights(blocks, len(y), seed, DRAWS):
        drawn = (w @ trials).astype(float)
        gamma = np.minimum(w @ alarmed / drawn.sum(axis=1), 0.99)
        lots.append(_over_lapses(centre, (w @ hits).astype(float), drawn, gamma, _DRAWN_LAPSES, start))
    a, b, lapse, gamma = (np.concatenate(parts) for parts in zip(*lots, strict=True))
    return a, b, lapse, gamma


# ------------------------------------------------------------ what is told


def _unfit(x: np.ndarray, y: np.ndarray) -> str:
    least, most = np.exp([x.min(), x.max()])
    if len(y) < LEAST_TRIALS:
        return f"A curve needs {LEAST_TRIALS} scored trials, and there are {len(y)}: add cases."
    if y.all():
        return f"Every lesion was found, down to conspicuity {least:.2g}: ask for fainter ones to see where the detector breaks."
    if not y.any():
        return f"No lesion was found, up to conspicuity {most:.2g}: ask for clearer ones, or look at the detector's threshold."
    if most / least < 1.1:
        return f"All lesions have about the same conspicuity, {least:.2g} to {most:.2g}: vary it to see a curve."
    return ""


def _point(target: float, fitted: _Fits, drawn: _Fits, scale: tuple[float, float, float], x: np.ndarray) -> Point:
    gamma, middle, spread = scale
    least, most = x.min(), x.max()
    b, lapse = float(fitted[1][0]), float(fitted[2][0])
    share_found, said = f"{100 * target:.0f}%", ""
    at = float(_crossing(target, fitted)[0] * spread + middle)
    if gamma >= target:
        said = f"It calls {gamma:.0%} of the clean twins a lesion: {share_found} are found by guessing alone."
    elif b <= 0:
        said = "Clearer lesions are not found more often than faint ones here: conspicuity is not what decides."
    elif 1 - lapse <= target:
        said = f"The fitted curve never reaches {share_found}: it ends at {1 - lapse:.0%}."
    elif at < least:
        said = f"{share_found} lie below the faintest lesion measured ({np.exp(least):.2g}): ask for fainter ones."
    elif at > most:
        said = f"{share_found} lie above the clearest lesion measured ({np.exp(most):.2g}): ask for clearer ones."
    if said:
        return Point(target=target, said=said)
    low, high = _quantiles(_crossing(target, drawn) * spread + middle)
    open_ends = [
        words
        for words, is_open in (
            (f"the lower end lies below what was measured ({np.exp(least):.2g})", low < least),
            (f"the upper end lies above what was measured ({np.exp(most):.2g})", high > most),
        )
        if is_open
    ]
    return Point(
        target=target,
        value=float(np.exp(at)),
        low=float(np.exp(low)) if low >= least else None,
        high=float(np.exp(high)) if high <= most else None,
        said="; ".join(open_ends),
    )


def _crossing(target: float, fits: _Fits) -> np.ndarray:
    """Where each curve reaches the target, in z: infinite where it never does, minus infinite where it always does."""
    a, b, lapse, gamma = fits
    s = (target - gamma) / (1 - gamma - lapse)
    with np.errstate(divide="ignore", invalid="ignore"):
        at = (logit(np.clip(s, 0, 1)) - a) / b
    flat = np.where(expit(a) >= s, -np.inf, np.inf)  # a curve that falls: by what it says in the middle
    return np.where(s <= 0, -np.inf, np.where(s >= 1, np.inf, np.where(b <= 0, flat, at)))


def _quantiles(values: np.ndarray) -> tuple[float, float]:
    """2.5% and 97.5%, of values that may be infinite."""
    ordered = np.sort(values)
    return float(ordered[int(0.025 * len(ordered))]), float(ordered[int(np.ceil(0.975 * len(ordered))) - 1])


def _line(
    x: np.ndarray, middle: float, spread: float, fitted: _Fits, drawn: _Fits
) -> tuple[tuple[float, float, float, float], ...]:
    line = []
    for at in np.linspace(x.min(), x.max(), 41):
        (value,), many = _at(fitted, (at - middle) / spread), _at(drawn, (at - middle) / spread)
        low, high = percentiles(many) or (float(value), float(value))
        line.append((float(np.exp(at)), float(value), low, high))
    return tuple(line)


def _at(fits: _Fits, z: float) -> np.ndarray:
    a, b, lapse, gamma = fits
    return gamma + (1 - gamma - lapse) * expit(a + b * z)


def _dots(x: np.ndarray, y: np.ndarray, block: np.ndarray) -> tuple[Dot, ...]:
    """Equal numbers of trials in each dot; trials of one conspicuity stay together."""
    edges = np.unique(np.quantile(x, np.linspace(0, 1, _DOTS + 1)[1:-1]))
    bin_of = np.searchsorted(edges, x)
    found = []
    for number in np.unique(bin_of):
        mine = bin_of == number
        seen = share(y[mine] > 0, block[mine])
        if seen.value is not None and seen.interval is not None:
            low, high = seen.interval
            at = float(np.exp(x[mine].mean()))
            found.append(Dot(conspicuity=at, share=seen.value, low=low, high=high, n=int(mine.sum())))
    return tuple(found)
