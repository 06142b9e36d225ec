"""Figures before the run, against simulated runs and against each other."""

import numpy as np
import pytest
from scipy.stats import binom, binomtest, fisher_exact

from meddiff.case import MedDiffError
from meddiff.stress.compare import sign_flip
from meddiff.stress.power import cases_for, detectable, detectable_paired, expected_interval, power


def test_the_expected_interval_is_wilsons():
    known = binomtest(80, 100).proportion_ci(method="wilson")
    assert expected_interval(100, 0.8) == pytest.approx((known.high - known.low) / 2)


@pytest.mark.parametrize(("half_width", "p"), [(0.1, 0.8), (0.05, 0.5), (0.02, 0.97), (0.4, 0.5)])
def test_so_many_cases_are_enough_and_one_fewer_is_not(half_width, p):
    n = cases_for(half_width, p)
    assert expected_interval(n, p) <= half_width < expected_interval(n - 1, p) if n > 1 else True


def test_a_difference_that_is_called_detectable_is_detected_in_four_of_five_runs():
    n, p = 120, 0.8
    q = p - detectable(n, p)
    a, b = np.arange(n + 1), np.arange(n + 1)
    told = np.zeros((n + 1, n + 1))
    rows = np.flatnonzero(binom.pmf(a, n, p) > 1e-4), np.flatnonzero(binom.pmf(b, n, q) > 1e-4)
    for i in rows[0]:
        for j in rows[1]:
            pooled = (i + j) / (2 * n)
            told[i, j] = abs(i - j) / n > 1.96 * np.sqrt(2 * pooled * (1 - pooled) / n)
    assert binom.pmf(a, n, p) @ told @ binom.pmf(b, n, q) == pytest.approx(0.8, abs=0.03)
    assert fisher_exact([[96, 24], [round(q * n), n - round(q * n)]]).pvalue < 0.05


def test_a_paired_difference_is_detected_in_about_four_of_five_runs():
    n = 200
    d = detectable_paired(n)
    rng = np.random.default_rng(0)
    runs = rng.multinomial(n, [(0.2 + d) / 2, (0.2 - d) / 2, 0.8], size=400)
    told = [sign_flip(np.repeat([1, -1], row[:2])) < 0.05 for row in runs]
    assert np.mean(told) == pytest.approx(0.8, abs=0.08)  # the exact test is a little cautious
    assert d < detectable(n, 0.8)  # pairs tell more than two groups


def test_too_few_cases_tell_no_difference():
    assert detectable(3, 0.5) is None and detectable_paired(5) is None
    told = power(400)
    assert told.paired < told.unpaired < 0.1 and told.half_width < 0.05


@pytest.mark.parametrize(
    "asked", [lambda: cases_for(0, 0.8), lambda: cases_for(1e-9, 0.8), lambda: power(0), lambda: power(9, 1.2)]
)
def test_what_cannot_be_planned_is_said(asked):
    with pytest.raises(MedDiffError, match=r"give|plan|allow"):
        asked()
