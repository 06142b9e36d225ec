"""Figures with their intervals, as the parts that judge case by case need them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from meddiff.evaluation.records import Figure
from meddiff.statistics import bootstrap_mean, wilson

DRAWS = 2000


def mean_figure(key: str, name: str, values: np.ndarray, **told: Any) -> Figure:
    """A mean over cases with its bootstrap interval.

    Args:
        values: [N]; NaN: not measured of that case, left out.
        told: other fields of the figure; `real` and `baseline` may be arrays: their means are taken.
    """
    values = np.asarray(values, float)
    known = values[~np.isnan(values)]
    low, high = bootstrap_mean(known, DRAWS) if len(known) > 1 else (None, None)
    value = float(known.mean()) if len(known) else None
    return Figure(key=key, name=name, value=value, low=low, high=high, count=len(known), **_plain(told))


def share_figure(key: str, name: str, hits: np.ndarray, **told: Any) -> Figure:
    """A share of cases with Wilson's interval; arguments as `mean_figure`, `hits` 0, 1 or NaN."""
    hits = np.asarray(hits, float)
    known = hits[~np.isnan(hits)]
    if not len(known):
        return Figure(key=key, name=name, value=None, **_plain(told))
    low, high = wilson(float(known.sum()), len(known))
    return Figure(key=key, name=name, value=float(known.mean()), low=low, high=high, count=len(known), **_plain(told))


def ratio_figure(key: str, name: str, values: np.ndarray, over: np.ndarray, **told: Any) -> Figure:
    """The mean of `values` divided by that of `over`, both over cases of their own and resampled; None where the divisor is 0."""
    values, over = (x[~np.isnan(x)] for x in (np.asarray(values, float), np.asarray(over, float)))
    if not len(values) or not len(over) or over.mean() == 0:
        return Figure(key=key, name=name, value=None, **_plain(told))
    divisors = np.maximum(resampled(lambda i: over[i].mean(1), len(over), 1), 1e-9)
    low, high = np.quantile(resampled(lambda i: values[i].mean(1), len(values), 0) / divisors, [0.025, 0.975])
    value = float(values.mean() / over.mean())
    return Figure(key=key, name=name, value=value, low=float(low), high=float(high), count=len(values), **_plain(told))


def resampled(statistic: Callable[[np.ndarray], np.ndarray], count: int, seed: int) -> np.ndarray:
    """A statistic of cases drawn with replacement, float [draws]; it takes indices int [draws, count]."""
    return statistic(np.random.default_rng(seed).integers(0, count, (DRAWS, count)))


def correlation(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Pearson's r along the last axis; NaN where one side does not vary."""
    x, y = x - x.mean(-1, keepdims=True), y - y.mean(-1, keepdims=True)
    spread = np.sqrt((x**2).sum(-1) * (y**2).sum(-1))
    return np.where(spread > 0, (x * y).sum(-1) / np.where(spread > 0, spread, 1), np.nan)


def correlation_figure(key: str, name: str, x: np.ndarray, y: np.ndarray, **told: Any) -> Figure:
    """Pearson's r of two measures of the same cases [N] with its bootstrap interval; cases with a NaN are left out."""
    both = ~(np.isnan(x) | np.isnan(y))
    x, y = x[both], y[both]
    value = float(correlation(x, y)) if len(x) > 2 else np.nan
    if np.isnan(value):
        return Figure(key=key, name=name, value=None, count=len(x), **_plain(told))
    drawn = resampled(lambda i: correlation(x[i], y[i]), len(x), 0)
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return Figure(key=key, name=name, value=value, low=float(low), high=float(high), count=len(x), **_plain(told))


def known_mean(values: np.ndarray) -> float | None:
    """Mean of what is known; None where nothing is."""
    values = np.asarray(values, float)
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


def _plain(told: dict[str, Any]) -> dict[str, Any]:
    return {name: known_mean(value) if isinstance(value, np.ndarray) else value for name, value in told.items()}
