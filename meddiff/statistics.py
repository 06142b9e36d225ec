"""Statistics that several rooms need: intervals of shares, means and areas, and p values corrected for their number. This module knows nobody."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import norm, rankdata

FEW = 5  # hits or misses below which cases tell too little of how groups differ


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


def share_interval(
    hits: Sequence[float] | np.ndarray, groups: np.ndarray | None = None, level: float = 0.95
) -> tuple[float, float]:
    """Wilson's interval of a share of cases [N] of which those of one group are alike.

    The cases count as so many independent ones as have their variance between groups (the design effect of Kish, *Survey Sampling*,
    1965; with Wilson's interval: Dean & Pagano, *J. Surv. Stat. Methodol.* 3, 2015), never more than there are. With fewer than
    `FEW` hits or misses that variance is not known, and each group counts once.

    Args:
        hits: 0 to 1 each, at least one.
        groups: [N] any numbers; None: every case is its own.
        level: coverage, 0 to 1.
    """
    cases = np.asarray(hits, float)
    share, n = float(cases.mean()), float(len(cases))
    if groups is not None:
        sums, counts = _by_group(cases, groups)
        few = len(counts)
        if few < 2 or min(cases.sum(), n - cases.sum()) < FEW:
            n = float(few)
        elif few < n:
            between = few / (few - 1) * float(((sums - share * counts) ** 2).sum()) / n**2
            n /= max(1.0, between * n / float(cases.var(ddof=1)))
    return wilson(share * n, n, level)


def bootstrap_means(
    values: Sequence[float] | np.ndarray, draws: int = 2000, seed: int = 0, groups: np.ndarray | None = None
) -> np.ndarray:
    """Means [draws] of values [N] drawn again with replacement (Efron & Tibshirani, 1993), those of one group together or not at all.

    Args:
        values: one a case; NaN: not measured, left out.
        groups: [N] any numbers; None: every case is its own.

    Raises:
        ValueError: when no value is left.
    """
    cases = np.asarray(values, float)
    known = ~np.isnan(cases)
    if not known.any():
        raise ValueError("there is no value to tell an interval of")
    sums, counts = _by_group(cases[known], np.arange(len(cases))[known] if groups is None else groups[known])
    times = draw_groups(len(counts), draws, seed)
    return times @ sums / (times @ counts)


def draw_groups(count: int, draws: int = 2000, seed: int = 0) -> np.ndarray:
    """How often each of `count` groups is drawn when as many are drawn with replacement, int [draws, count]."""
    # How often, in place of which: sums over all draws are then one product.
    return np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=draws)


def _by_group(values: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums and numbers of values [N] by group, float [G] and int [G], groups in rising order."""
    _, place, counts = np.unique(groups, return_inverse=True, return_counts=True)
    return np.bincount(place, values, len(counts)), counts


def bootstrap_mean(
    values: Sequence[float] | np.ndarray,
    draws: int = 2000,
    seed: int = 0,
    level: float = 0.95,
    groups: np.ndarray | None = None,
) -> tuple[float, float]:
    """Percentile interval of the mean of values [N] over `bootstrap_means` of the same arguments.

    Args:
        level: coverage, 0 to 1.

    Raises:
        ValueError: when no value is left.
    """
    low, high = np.quantile(bootstrap_means(values, draws, seed, groups), ((1 - level) / 2, (1 + level) / 2))
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
    positive: Sequence[float] | np.ndarray,
    negative: Sequence[float] | np.ndarray,
    level: float = 0.95,
    groups: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[float, float, float]:
    """Area under the ROC curve with its interval (area, low, high): DeLong, DeLong & Clarke-Pearson (1988).

    The area is the chance that a positive scores higher than a negative, ties half. The interval is laid on the logit, so that it
    stays in [0, 1]; where the scores part the groups wholly it has no variance and is that of a share of the smaller side (Wilson, 1927).
    Cases of one group are not independent: placements are then summed by group (Obuchowski, *Biometrics* 53, 1997), which is DeLong's
    variance where every case is its own group.

    Args:
        positive, negative: scores [M] and [N], two of each at least.
        level: coverage, 0 to 1.
        groups: of both sides, [M] and [N]; the same number on both sides is the same group. None: every case is its own.
    """
    of_one, of_other = placements(positive, negative)
    m, n = len(of_one), len(of_other)
    area = float(of_one.mean())
    mine, theirs = groups if groups is not None else (np.arange(m), np.arange(m, m + n))
    few = min(len(np.unique(mine)), len(np.unique(theirs)))
    if not 0 < area < 1 or few < 2:
        low, high = wilson(area * few, few, level)
        return area, low, high
    names = np.unique(np.concatenate([mine, theirs]))
    one, other = (
        np.bincount(np.searchsorted(names, own), placed - area, len(names))
        for own, placed in ((mine, of_one), (theirs, of_other))
    )
    of_groups = [len(np.unique(own)) for own in (mine, theirs, names)]
    freed = [count / (count - 1) for count in of_groups]
    variance = freed[0] * (one**2).sum() / m**2 + freed[1] * (other**2).sum() / n**2
    variance += 2 * freed[2] * (one * other).sum() / (m * n)
    half = norm.ppf((1 + level) / 2) * math.sqrt(max(variance, 0.0)) / (area * (1 - area))
    middle = math.log(area / (1 - area))
    low, high = (float(1 / (1 + math.exp(-(middle + way * half)))) for way in (-1, 1))
    return area, low, high
