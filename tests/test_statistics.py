"""Intervals of means and areas, against what theory says of them."""

from __future__ import annotations

import numpy as np
import pytest

from meddiff.statistics import bootstrap_mean, roc_area, share_interval, wilson


def test_the_bootstrap_of_a_mean_is_about_as_wide_as_its_standard_error_says():
    values = np.random.default_rng(0).normal(5, 2, 400)
    low, high = bootstrap_mean(values)
    assert low < values.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * 2 / 20, rel=0.1)
    assert bootstrap_mean(values) == (low, high)
    assert bootstrap_mean([3.0, 3.0]) == (3.0, 3.0)


def test_the_area_of_two_normal_scores_is_the_normal_integral_of_their_distance():
    rng = np.random.default_rng(1)
    area, low, high = roc_area(rng.normal(1, 1, 2000), rng.normal(0, 1, 2000))
    assert area == pytest.approx(0.7602, abs=0.02)  # Phi(1 / sqrt 2)
    assert low < 0.7602 < high
    assert high - low == pytest.approx(2 * 1.96 * 0.0075, rel=0.2)


def test_equal_scores_are_ties_and_parted_ones_keep_an_interval():
    assert roc_area([1, 1, 1], [1, 1])[0] == 0.5
    area, low, high = roc_area(np.arange(30) + 100, np.arange(40))
    assert (area, high) == (1, 1)
    assert 0.8 < low < 1


def test_cases_of_one_group_are_drawn_together():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(50), 8)
    alike = rng.normal(size=50)[groups]
    low, high = bootstrap_mean(alike, groups=groups)
    assert high - low == pytest.approx(2 * 1.96 / 50**0.5, rel=0.2)  # fifty cases, not four hundred
    one, other = bootstrap_mean(alike)
    assert other - one < 0.5 * (high - low)
    assert bootstrap_mean(alike, groups=np.arange(400)) == (one, other)
    with_gap = np.where(groups == 7, np.nan, alike)
    assert bootstrap_mean(with_gap, groups=groups) == bootstrap_mean(alike[groups != 7], groups=groups[groups != 7])


def test_a_share_of_groups_that_agree_is_a_share_of_groups():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(60), 5)
    agreed = (rng.random(60) < 0.4)[groups]
    low, high = share_interval(agreed, groups)
    as_groups = wilson(agreed.mean() * 60, 60)
    assert (low, high) == pytest.approx(as_groups, abs=0.02)
    mixed = rng.random(300) < 0.4
    assert np.ptp(share_interval(mixed, groups)) < 0.75 * (high - low)
    assert share_interval(mixed) == share_interval(mixed, np.arange(300)) == wilson(mixed.sum(), 300)
    # Nobody knows how groups differ where hardly any case is a hit.
    assert share_interval(np.zeros(300), groups) == wilson(0, 60)


def test_the_interval_of_an_area_with_groups_is_that_of_drawing_the_groups_again():
    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(40), 6)
    negative = rng.normal(size=40)[groups] + 0.3 * rng.normal(size=240)
    positive = (
        0.6 + 0.7 * rng.normal(size=40)[groups] + 0.7 * negative
    )  # broken copies: both sides have the same groups
    area, low, high = roc_area(positive, negative, groups=(groups, groups))
    drawn = []
    for _ in range(400):
        picked = np.concatenate([np.flatnonzero(groups == g) for g in rng.integers(0, 40, 40)])
        drawn.append(roc_area(positive[picked], negative[picked])[0])
    assert (high - low) == pytest.approx(2 * 1.96 * np.std(drawn), rel=0.2)
    apart = roc_area(positive, negative, groups=(groups, groups + 40))
    assert area == apart[0] and np.ptp(apart[1:]) > 1.2 * (high - low)  # what both sides share cancels
    alone = roc_area(positive, negative)
    assert roc_area(positive, negative, groups=(np.arange(240), np.arange(240, 480))) == pytest.approx(alone)


def test_an_interval_that_knows_the_groups_holds_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(50), 4)
    held, blind = [], []
    for _ in range(300):
        positive, negative = (rng.normal(d, 1, 50)[groups] + 0.3 * rng.normal(size=200) for d in (0.5, 0))
        truth = 0.6323  # Phi(0.5 / sqrt(2 * 1.09))
        for found, how in ((held, (groups, groups + 50)), (blind, None)):
            _, low, high = roc_area(positive, negative, groups=how)
            found.append(low < truth < high)
    assert np.mean(held) > 0.91 and np.mean(blind) < 0.8
