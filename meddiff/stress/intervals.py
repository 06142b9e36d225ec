"""Shares and their 95% intervals, by a bootstrap over patients: trials of one patient (a block) are drawn together or not at all.

A share is a ratio of two sums over blocks, `hits / trials`, and both are small whole numbers. Blocks with the same two numbers
are the same to the bootstrap, so that B blocks become a few distinct patterns with probabilities (the multinomial form of the
bootstrap, Efron & Tibshirani 1993, *An Introduction to the Bootstrap*, 4.3 and 6.2). The pair of sums of B patterns drawn with
replacement is the B-fold convolution of that table with itself, which is one Fourier transform: the *ideal* bootstrap, of which
a million draws are a sample. It takes some milliseconds, and no seed decides it.

Figures that are no ratio of small whole numbers (areas, calibration, curves) are drawn: see `weights`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from scipy import fft

from meddiff.case import Record
from meddiff.statistics import wilson

LEVEL = 0.95
FEW = 5  # hits or misses below which a bootstrap knows too little of the spread
MOST_DRAWS, LEAST_DRAWS = 10_000, 1000
_MOST_NUMBERS = 10_000_000  # draws x trials of one bootstrap: about a second a figure
_MOST_CELLS = 2**22  # of a convolution's grid
_REACH = 16  # standard deviations that the grid is wide where the sums could reach further
_LOT = 4_000_000  # numbers of one lot of weights, 16 MB
EXACT, DRAWN, FEW_SEEN = "ideal bootstrap by patient", "bootstrap by patient", "Wilson, patients counted once"


class Estimate(Record):
    """A figure with its 95% interval.

    Attributes:
        value: None where there is no trial.
        low, high: None where no interval can be told.
        n: trials (or pictures) behind it.
        blocks: patients behind them.
        method: of the interval.
        draws: of a bootstrap; 0 where nothing is drawn by chance.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    blocks: int = 0
    method: str = ""
    draws: int = 0

    @property
    def interval(self) -> tuple[float, float] | None:
        """Both ends, where both are known."""
        return None if self.low is None or self.high is None else (self.low, self.high)


def share(hits: np.ndarray, block: np.ndarray) -> Estimate:
    """A share of trials, with the interval of the ideal bootstrap over blocks (see the module).

    With fewer than `FEW` hits or misses the bootstrap's interval is too narrow, and without any it has no width at all: there
    Wilson's interval (1927) stands, and each patient counts once however many trials they gave.

    Args:
        hits: bool [T].
        block: int [T], patient of each trial, any numbers.
    """
    if not len(hits):
        return Estimate()
    x, m = by_block(np.asarray(hits, np.int64), block)
    value = float(x.sum() / m.sum())
    told: dict[str, Any] = {"value": value, "n": len(hits), "blocks": len(m)}
    if min(x.sum(), m.sum() - x.sum()) < FEW:
        low, high = wilson(value * len(m), len(m))
        return Estimate(**told, low=low, high=high, method=FEW_SEEN)
    return Estimate(**told, **_ratio_interval(x, m))


def ratio(values: np.ndarray, block: np.ndarray) -> Estimate:
    """The mean of whole numbers a trial (marks a picture, differences of found and found), as `share` has it.

    Where all blocks are alike there is no spread to learn from, and no interval.
    """
    if not len(values):
        return Estimate()
    x, m = by_block(np.asarray(values, np.int64), block)
    told: dict[str, Any] = {"value": float(x.sum() / m.sum()), "n": len(values), "blocks": len(m)}
    if len({*zip(x.tolist(), m.tolist(), strict=True)}) == 1:
        return Estimate(**told, method="all patients alike: no interval")
    return Estimate(**told, **_ratio_interval(x, m))


def by_block(values: np.ndarray, block: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums [B] of values [T] by block, and the trials [B] of each; blocks in rising order."""
    _, place, trials = np.unique(block, return_inverse=True, return_counts=True)
    sums = np.zeros(len(trials), values.dtype)
    np.add.at(sums, place, values)
    return sums, trials


def ideal_bootstrap(x: np.ndarray, m: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """All values that sum(x) / sum(m) takes in a bootstrap over blocks, in rising order, and their probabilities.

    Args:
        x, m: int [B], of each block; m at least 1.

    Returns:
        None where the table would be too large.
    """
    blocks = len(x)
    patterns, counts = np.unique(np.stack([x, m], axis=1), axis=0, return_counts=True)
    least = patterns.min(axis=0)
    steps = patterns - least  # from 0, so that a column that never differs takes one cell
    probability = counts / blocks
    sizes, lows = zip(*(_grid(steps[:, axis], probability, blocks) for axis in (0, 1)), strict=True)
    if sizes[0] * sizes[1] > _MOST_CELLS:
        return None
    table = np.zeros(sizes)
    np.add.at(table, (steps[:, 0] % sizes[0], steps[:, 1] % sizes[1]), probability)
    chance = fft.irfft2(fft.rfft2(table) ** blocks, sizes).ravel()
    # The transform counts modulo its size; the sums lie in one window of that size about their mean.
    sums = [low + (np.arange(size) - low) % size for size, low in zip(sizes, lows, strict=True)]
    likely = np.flatnonzero(chance > 1e-13)
    rows, columns = np.unravel_index(likely, sizes)
    values = (sums[0][rows] + blocks * least[0]) / (sums[1][columns] + blocks * least[1])
    order = np.argsort(values, kind="stable")
    chances = chance[likely][order]
    return values[order], chances / chances.sum()


def weights(blocks: int, trials: int, seed: int, draws: int | None = None) -> Iterator[np.ndarray]:
    """How often each block is drawn: float32 [lot, B] of each lot, `draws_for(trials)` rows together.

    All lots are drawn from the seed alone, so that detectors are compared on the same patients.
    """
    rng = np.random.default_rng(seed)
    left = draws_for(trials) if draws is None else draws
    lot = max(1, _LOT // max(blocks, 2 * trials))
    while left > 0:
        rows = min(lot, left)
        places = rng.integers(0, blocks, (rows, blocks), dtype=np.int32)
        places += blocks * np.arange(rows, dtype=np.int32)[:, None]
        yield np.bincount(places.ravel(), minlength=rows * blocks).reshape(rows, blocks).astype(np.float32)
        left -= rows


def draws_for(trials: int) -> int:
    """Draws that a bootstrap of so many trials is given: 10,000, and fewer (1,000 at least) above 1,000 trials."""
    return int(np.clip(_MOST_NUMBERS // max(trials, 1), LEAST_DRAWS, MOST_DRAWS))


def drawn(
    figures: Mapping[str, Callable[[np.ndarray], np.ndarray]], blocks: int, trials: int, seed: int
) -> dict[str, np.ndarray]:
    """Each figure in all draws, float64 [draws]; a figure is a function of weights [lot, B], blocks in rising order."""
    found: dict[str, list[np.ndarray]] = {name: [] for name in figures}
    for lot in weights(blocks, trials, seed):
        for name, figure in figures.items():
            found[name].append(figure(lot))
    return {name: np.concatenate(lots) for name, lots in found.items()}


def percentiles(found: np.ndarray, level: float = LEVEL) -> tuple[float, float] | None:
    """The middle of what was drawn, nan left out; None where nothing was found."""
    known = found[~np.isnan(found)]
    if not len(known):
        return None
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _ratio_interval(x: np.ndarray, m: np.ndarray) -> dict[str, Any]:
    ideal = ideal_bootstrap(x, m)
    if ideal is not None:
        values, chances = ideal
        below = np.cumsum(chances)
        ends = np.searchsorted(below, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]).clip(max=len(values) - 1)
        return {"low": float(values[ends[0]]), "high": float(values[ends[1]]), "method": EXACT}
    sums = np.concatenate([w @ np.stack([x, m], axis=1) for w in weights(len(x), len(x), 0)])
    low, high = percentiles(sums[:, 0] / sums[:, 1]) or (math.nan, math.nan)
    return {"low": low, "high": high, "method": DRAWN, "draws": len(sums)}


def _grid(steps: np.ndarray, probability: np.ndarray, blocks: int) -> tuple[int, int]:
    """Cells that the sum of `blocks` draws is told in, and the least sum that they hold."""
    whole = int(steps.max()) * blocks + 1
    mean = float(probability @ steps)
    sd = math.sqrt(blocks * max(float(probability @ steps**2) - mean**2, 0.0))
    wide = 8 * int(steps.max()) + math.ceil(_REACH * sd) + 1
    if wide >= whole:
        return fft.next_fast_len(whole, real=True), 0
    size = fft.next_fast_len(wide, real=True)
    return size, max(0, round(blocks * mean) - size // 2)
