"""Intervals of means and areas, against what theory says of them."""

from __future__ import annotations

import numpy as np
import pytest

from meddiff.statistics import bootstrap_mean, roc_area


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
