"""Intervals of shares against what is known exactly, and against draws."""

from itertools import product

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from meddiff.statistics import wilson
from meddiff.stress.intervals import (
    DRAWN,
    EXACT,
    FEW_SEEN,
    by_block,
    draws_for,
    ideal_bootstrap,
    ratio,
    share,
    weights,
)


def patients(blocks: int, each: int, seed: int, kept: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Found or not, and patient, of trials of patients who differ; some trials are missing."""
    rng = np.random.default_rng(seed)
    block = np.repeat(np.arange(blocks) * 3 + 7, each)
    found = rng.random(len(block)) < np.repeat(rng.beta(4, 2, blocks), each)
    here = rng.random(len(block)) < kept
    return found[here], block[here]


def test_of_independent_trials_the_ideal_bootstrap_is_the_binomial():
    found = np.arange(200) < 130
    estimate = share(found, np.arange(200))
    assert estimate.value == 0.65 and estimate.n == estimate.blocks == 200 and estimate.method == EXACT
    assert estimate.interval == pytest.approx(tuple(binom.ppf([0.025, 0.975], 200, 0.65) / 200))
    exact = binomtest(130, 200).proportion_ci(method="exact")
    assert estimate.interval == pytest.approx((exact.low, exact.high), abs=0.01)


def test_of_a_few_patients_it_is_what_counting_every_draw_gives():
    x, m = np.array([0, 2, 3]), np.array([1, 2, 4])
    values, chances = ideal_bootstrap(x, m)
    every = [sum(x[list(draw)]) / sum(m[list(draw)]) for draw in product(range(3), repeat=3)]
    assert chances.sum() == pytest.approx(1)
    for value in set(every):
        known = np.isclose(every, value).mean()
        assert chances[np.isclose(values, value)].sum() == pytest.approx(known)


@pytest.mark.parametrize(("blocks", "each", "kept"), [(60, 1, 1.0), (60, 9, 1.0), (60, 9, 0.7)])
def test_a_hundred_thousand_draws_agree_with_the_ideal(blocks, each, kept):
    found, block = patients(blocks, each, 3, kept)
    x, m = by_block(found.astype(int), block)
    patterns, counts = np.unique(np.stack([x, m], 1), axis=0, return_counts=True)
    rng = np.random.default_rng(0)
    draws = rng.choice(len(patterns), (100_000, blocks), p=counts / blocks)
    sums = patterns[:, 0][draws].sum(1) / patterns[:, 1][draws].sum(1)
    assert share(found, block).interval == pytest.approx(tuple(np.quantile(sums, [0.025, 0.975])), abs=0.004)


def test_trials_of_one_patient_widen_the_interval():
    found = np.repeat(np.arange(40) < 24, 10)  # each patient all or nothing
    together, apart = (share(found, block) for block in (np.repeat(np.arange(40), 10), np.arange(400)))
    width = [estimate.high - estimate.low for estimate in (together, apart)]
    assert width[0] == pytest.approx(width[1] * 10**0.5, rel=0.1)


def test_with_few_misses_wilson_stands_and_each_patient_counts_once():
    estimate = share(np.ones(50, bool), np.repeat(np.arange(10), 5))
    assert estimate.method == FEW_SEEN and estimate.value == 1
    assert estimate.interval == pytest.approx(tuple(binomtest(10, 10).proportion_ci(method="wilson")))
    assert estimate.low < 0.75  # the bootstrap would say 1 to 1


@pytest.mark.parametrize(("hits", "n"), [(0, 7), (7, 7), (3, 20), (500, 1000)])
def test_wilson_is_scipys(hits, n):
    assert wilson(hits, n) == pytest.approx(tuple(binomtest(hits, n).proportion_ci(method="wilson")), abs=1e-12)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    covered = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        chance = np.repeat(rng.beta(6, 3, 40), 4)  # mean 2/3
        low, high = share(rng.random(160) < chance, np.repeat(np.arange(40), 4)).interval
        covered += low <= 2 / 3 <= high
    assert 0.9 <= covered / 300 <= 0.98


def test_marks_and_differences_are_means_of_whole_numbers():
    estimate = ratio(np.array([-1, 0, 0, 1, 1, 1, 0, 2]), np.repeat(np.arange(4), 2))
    assert estimate.value == 0.5 and estimate.low < 0.5 < estimate.high
    assert ratio(np.zeros(9, int), np.arange(9)).interval is None  # no spread, no interval


def test_tables_that_are_too_large_are_drawn_and_say_how_often():
    rng = np.random.default_rng(0)
    block = np.repeat(np.arange(300), 40)[rng.random(12_000) < 0.5]
    estimate = ratio(rng.integers(0, 400, len(block)), block)
    assert estimate.method == DRAWN and estimate.draws == draws_for(300)
    assert estimate.low < estimate.value < estimate.high


def test_weights_draw_as_many_patients_as_there_are_and_do_so_again():
    lots = list(weights(30, 1000, 5, draws=5000))
    assert len(lots) > 1 and sum(map(len, lots)) == 5000
    assert all((lot.sum(axis=1) == 30).all() for lot in lots)
    assert np.array_equal(np.concatenate(lots), np.concatenate(list(weights(30, 1000, 5, draws=5000))))
    assert np.concatenate(lots).mean(axis=0) == pytest.approx(1, abs=0.06)


def test_nothing_is_said_of_no_trial():
    assert share(np.empty(0, bool), np.empty(0, int)).value is None and ratio(np.empty(0), np.empty(0)).interval is None
