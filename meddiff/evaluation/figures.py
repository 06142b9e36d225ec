"""Figures with their intervals, as the parts that judge case by case need them."""

from __future__ import annotations

from typing import Any

import numpy as np

from meddiff.evaluation.records import Figure
from meddiff.statistics import bootstrap_mean, bootstrap_means, draw_groups, share_interval

DRAWS = 2000


def mean_figure(key: str, name: str, values: np.ndarray, groups: np.ndarray | None = None, **told: Any) -> Figure:
    """A mean over cases with its bootstrap interval.

    Args:
        values: [N]; NaN: not measured of that case, left out.
        groups: [N], cases with the same number are drawn together (`heads.same_heads`); None: every case is its own.
        told: other fields of the figure; `real` and `baseline` may be arrays: their means are taken.
    """
    values = np.asarray(values, float)
    known = values[~np.isnan(values)]
    low, high = bootstrap_mean(values, DRAWS, groups=groups) if len(known) > 1 else (None, None)
    value = float(known.mean()) if len(known) else None
    return Figure(key=key, name=name, value=value, low=low, high=high, count=len(known), **_plain(told))


def share_figure(key: str, name: str, hits: np.ndarray, groups: np.ndarray | None = None, **told: Any) -> Figure:
    """A share of cases with Wilson's interval; arguments as `mean_figure`, `hits` 0, 1 or NaN."""
    hits = np.asarray(hits, float)
    measured = ~np.isnan(hits)
    known = hits[measured]
    if not len(known):
        return Figure(key=key, name=name, value=None, **_plain(told))
    low, high = share_interval(known, groups[measured] if groups is not None else None)
    return Figure(key=key, name=name, value=float(known.mean()), low=low, high=high, count=len(known), **_plain(told))


def ratio_figure(
    key: str,
    name: str,
    values: np.ndarray,
    over: np.ndarray,
    groups: tuple[np.ndarray | None, np.ndarray | None] = (None, None),
    **told: Any,
) -> Figure:
    """The mean of `values` divided by that of `over`, both over cases (and groups) of their own and resampled; None where the divisor is 0."""
    if known_mean(values) is None or not known_mean(over):
        return Figure(key=key, name=name, value=None, **_plain(told))
    drawn, divisors = (
        bootstrap_means(x, DRAWS, i, g) for i, (x, g) in enumerate(zip((values, over), groups, strict=True))
    )
    low, high = np.quantile(drawn / np.maximum(divisors, 1e-9), [0.025, 0.975])
    count = int((~np.isnan(np.asarray(values, float))).sum())
    value = float(np.nanmean(values) / np.nanmean(over))
    return Figure(key=key, name=name, value=value, low=float(low), high=float(high), count=count, **_plain(told))


def correlation(x: np.ndarray, y: np.ndarray, times: np.ndarray | None = None) -> np.ndarray:
    """Pearson's r of two measures [N]; NaN where one side does not vary.

    Args:
        times: [draws, N], how often each case counts in each draw; None: once, and one r comes back.
    """
    x, y = x - x.mean(), y - y.mean()
    weight = np.ones(len(x)) if times is None else times
    total = weight.sum(-1)
    mean_x, mean_y = weight @ x / total, weight @ y / total
    spread = (weight @ x**2 / total - mean_x**2) * (weight @ y**2 / total - mean_y**2)
    known = spread > 1e-12 * (x.var() * y.var() + 1e-300)
    return np.where(known, (weight @ (x * y) / total - mean_x * mean_y) / np.sqrt(np.where(known, spread, 1)), np.nan)


def correlation_figure(
    key: str, name: str, x: np.ndarray, y: np.ndarray, groups: np.ndarray | None = None, **told: Any
) -> Figure:
    """Pearson's r of two measures of the same cases [N] with its bootstrap interval; cases with a NaN are left out."""
    both = ~(np.isnan(x) | np.isnan(y))
    x, y = x[both], y[both]
    value = float(correlation(x, y)) if len(x) > 2 else np.nan
    if np.isnan(value):
        return Figure(key=key, name=name, value=None, count=len(x), **_plain(told))
    place = np.arange(len(x)) if groups is None else np.unique(groups[both], return_inverse=True)[1]
    drawn = correlation(x, y, draw_groups(int(place.max()) + 1, DRAWS)[:, place])
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return Figure(key=key, name=name, value=value, low=float(low), high=float(high), count=len(x), **_plain(told))


def known_mean(values: np.ndarray) -> float | None:
    """Mean of what is known; None where nothing is."""
    values = np.asarray(values, float)
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


def _plain(told: dict[str, Any]) -> dict[str, Any]:
    return {name: known_mean(value) if isinstance(value, np.ndarray) else value for name, value in told.items()}
