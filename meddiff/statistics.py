"""Statistics that several rooms need: intervals of shares, means and areas, and p values corrected for their number. This module knows nobody."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import norm, rankdata


def wilson(hits: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """Interval of a share, both ends in [0, 1]: Wilson (1927), which is also right near 0 and 1 and for few trials.

    Args:
        hits: may be a fraction (an effective number).
        n: above 0.
        level: coverage, 0 to 1.
    """
    z = norm.ppf((1 + level) / 2)
    p = hits / n
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return max(0.0, min(p, float(middle - half))), min(1.0, max(p, float(middle + half)))


def holm(p: Sequence[float]) -> list[float]:
    """P values corrected for their number by Holm's step-down (1979), in the order given; each in [0, 1]."""
    order = np.argsort(p)
    stepped = np.maximum.accumulate(np.asarray(p, float)[order] * np.arange(len(p), 0, -1))
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(stepped, 1)
    return corrected.tolist()


def bootstrap_mean(
    values: Sequence[float] | np.ndarray, draws: int = 2000, seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
    """Percentile interval of the mean of values [N], by drawing cases again with replacement (Efron & Tibshirani, 1993).

    Args:
        values: one a case; NaN: not measured, left out.
        level: coverage, 0 to 1.

    Raises:
        ValueError: when no value is left.
    """
    cases = np.asarray(values, float)
    cases = cases[~np.isnan(cases)]
    if not len(cases):
        raise ValueError("there is no value to tell an interval of")
    # How often each case is drawn, in place of which: the means of all draws are then one product.
    times = np.random.default_rng(seed).multinomial(len(cases), np.full(len(cases), 1 / len(cases)), size=draws)
    low, high = np.quantile(times @ cases / len(cases), ((1 - level) / 2, (1 + level) / 2))
    return float(low), float(high)


def placements(
    positive: Sequence[float] | np.ndarray, negative: Sequence[float] | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Of each positive [M] the share of negatives below it, of each negative [N] that of positives above it, ties half.

    Either mean is the area under the ROC curve, and their variances make that of the area (DeLong et al., 1988); by midranks (Sun & Xu, 2014).
    """
    one, other = np.asarray(positive, float), np.asarray(negative, float)
    ranks = rankdata(np.concatenate([one, other]))
    return (ranks[: len(one)] - rankdata(one)) / len(other), 1 - (ranks[len(one) :] - rankdata(other)) / len(one)


def roc_area(
    positive: Sequence[float] | np.ndarray, negative: Sequence[float] | np.ndarray, level: float = 0.95
) -> tuple[float, float, float]:
    """Area under the ROC curve with its interval (area, low, high): DeLong, DeLong & Clarke-Pearson (1988).

    The area is the chance that a positive scores higher than a negative, ties half. The interval is laid on the logit, so that it
    stays in [0, 1]; where the scores part the groups wholly it has no variance and is that of a share of the smaller group (Wilson, 1927).

    Args:
        positive, negative: scores [M] and [N] of independent cases, two of each at least.
        level: coverage, 0 to 1.
    """
    of_one, of_other = placements(positive, negative)
    area = float(of_one.mean())
    if not 0 < area < 1:
        few = min(len(of_one), len(of_other))
        low, high = wilson(area * few, few, level)
        return area, low, high
    spread = math.sqrt(of_one.var(ddof=1) / len(of_one) + of_other.var(ddof=1) / len(of_other))
    half = norm.ppf((1 + level) / 2) * spread / (area * (1 - area))
    middle = math.log(area / (1 - area))
    low, high = (float(1 / (1 + math.exp(-(middle + way * half)))) for way in (-1, 1))
    return area, low, high
