"""Statistics that several rooms need: intervals of a share and of a mean, and p values corrected for their number. This module knows nobody."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import norm


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


def bootstrap_mean(values: Sequence[float] | np.ndarray, draws: int = 2000, seed: int = 0) -> tuple[float, float]:
    """95% interval of a mean: percentiles of the means of cases drawn with replacement (Efron & Tibshirani, 1993).

    Args:
        values: [N], one a case; NaN: not measured, left out.

    Raises:
        ValueError: when no value is left.
    """
    known = np.asarray(values, float)
    known = known[~np.isnan(known)]
    if not len(known):
        raise ValueError("there is no value to tell an interval of")
    rng = np.random.default_rng(seed)
    lots = np.array_split(np.arange(draws), max(1, draws * len(known) // 5_000_000))
    means = np.concatenate([known[rng.integers(0, len(known), (len(lot), len(known)))].mean(1) for lot in lots])
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def holm(p: Sequence[float]) -> list[float]:
    """P values corrected for their number by Holm's step-down (1979), in the order given; each in [0, 1]."""
    order = np.argsort(p)
    stepped = np.maximum.accumulate(np.asarray(p, float)[order] * np.arange(len(p), 0, -1))
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(stepped, 1)
    return corrected.tolist()
