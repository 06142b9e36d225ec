"""Curves against the truth they were drawn from, and the sentences where there is none."""

import math

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit

from meddiff.stress.psychometric import LEAST_TRIALS, fit, probability

OFFSET, SLOPE, LAPSE = -1.0, 2.0, 0.02


def answers(
    n: int, seed: int, gamma: float = 0.0, reach: tuple[float, float] = (-1, 2)
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = np.exp(rng.uniform(*reach, n))
    p = gamma + (1 - gamma - LAPSE) * expit(OFFSET + SLOPE * np.log(x))
    return x, rng.random(n) < p


def true_point(target: float, gamma: float = 0.0) -> float:
    s = (target - gamma) / (1 - gamma - LAPSE)
    return math.exp((math.log(s / (1 - s)) - OFFSET) / SLOPE)


def test_without_lapses_it_is_scipys_logistic_regression():
    x, found = answers(400, 1)
    curve = fit(x, found)

    def loss(parameters: np.ndarray) -> float:
        p = np.clip((1 - curve.lapse) * expit(parameters[0] + parameters[1] * np.log(x)), 1e-12, 1 - 1e-12)
        return -np.where(found, np.log(p), np.log(1 - p)).sum()

    best = minimize(loss, (0, 1), method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-9}).x
    assert (curve.offset, curve.slope) == pytest.approx(tuple(best), abs=1e-3)


def test_the_intervals_of_both_points_cover_the_truth():
    """Over 200 runs of 250 trials: 93% (c50) and 92% (c80); a few runs here can only tell that they are not far off."""
    covered, runs, gamma = np.zeros(2), 25, 0.15
    for seed in range(runs):
        x, found = answers(250, seed, gamma)
        alarm = np.random.default_rng(1000 + seed).random(250) < gamma
        points = fit(x, found, false_alarm=alarm).points
        for at, point in enumerate(points):
            true = true_point(point.target, gamma)
            covered[at] += (point.low is None or point.low <= true) and (point.high is None or true <= point.high)
    assert (covered / runs >= 0.8).all()


def test_points_lie_where_the_curve_has_their_probability():
    curve = fit(*answers(3000, 5))
    for target in (0.5, 0.8):
        point = curve.point(target)
        assert probability(curve, np.array([point.value]))[0] == pytest.approx(target, abs=1e-6)
        assert point.value == pytest.approx(true_point(target), rel=0.1)
    for at, value, low, high in curve.line:
        assert low <= value <= high and value == pytest.approx(float(probability(curve, np.array([at]))[0]))


def test_lapses_of_a_good_detector_do_not_flatten_its_curve():
    rng = np.random.default_rng(2)
    x = np.exp(rng.uniform(-1, 3, 2000))
    found = rng.random(2000) < 0.94 * expit(-2 + 4 * np.log(x))
    curve = fit(x, found)
    assert curve.lapse == pytest.approx(0.06, abs=0.021) and curve.slope == pytest.approx(4, rel=0.2)


def test_patients_who_are_alike_in_all_trials_widen_the_points():
    x, found = answers(80, 3)
    alone = fit(np.tile(x, 5), np.tile(found, 5)).point(0.5)
    grouped = fit(np.tile(x, 5), np.tile(found, 5), np.tile(np.arange(80), 5)).point(0.5)
    assert grouped.value == alone.value
    assert grouped.high / grouped.low > 1.5 * (alone.high / alone.low - 1) + 1


@pytest.mark.parametrize(
    ("x", "found", "words"),
    [
        (np.linspace(1, 9, 50), np.ones(50, bool), "Every lesion was found, down to conspicuity 1"),
        (np.linspace(1, 9, 50), np.zeros(50, bool), "No lesion was found, up to conspicuity 9"),
        (np.linspace(1, 9, LEAST_TRIALS - 1), np.arange(LEAST_TRIALS - 1) > 5, "needs 20 scored trials"),
        (np.full(50, 2.0), np.arange(50) > 20, "about the same conspicuity"),
        (np.empty(0), np.empty(0, bool), "No trial"),
    ],
)
def test_data_that_do_not_span_a_curve_give_a_sentence(x, found, words):
    curve = fit(x, found)
    assert words in curve.said and curve.slope is None and curve.point(0.5).value is None
    assert not curve.line and (not len(x) or curve.dots)


def test_a_point_beyond_what_was_measured_is_not_told():
    x, found = answers(400, 4, reach=(-1, 0.3))  # 80% lie at 3.6, and the clearest at 1.35
    point = fit(x, found).point(0.8)
    assert point.value is None and "above the clearest lesion measured (1.3)" in point.said
    x, found = answers(400, 4, reach=(1.5, 3))
    assert "below the faintest lesion measured" in fit(x, found).point(0.5).said


def test_an_end_of_an_interval_beyond_what_was_measured_is_open():
    x, found = answers(60, 11, reach=(-1, 1.2))
    point = fit(x, found).point(0.8)
    assert point.value is not None and point.high is None and "upper end" in point.said


def test_who_alarms_at_most_clean_twins_has_no_half():
    x, found = answers(300, 0, gamma=0.6)
    alarm = np.arange(300) % 10 < 6
    assert "60% of the clean twins" in fit(x, found, false_alarm=alarm).point(0.5).said


def test_a_curve_that_falls_has_no_points():
    x, found = answers(300, 0)
    assert "not found more often" in fit(1 / x, found).point(0.5).said


def test_a_step_is_fitted_and_stays_finite():
    x = np.linspace(0.5, 8, 60)
    curve = fit(x, x > 3)
    assert curve.point(0.5).value == pytest.approx(3, abs=0.2)
    assert all(np.isfinite(row).all() for row in np.array(curve.line))


def test_a_contrast_of_nothing_is_no_infinity():
    x, found = answers(100, 1)
    x[0] = 0
    assert np.isfinite(fit(x, found).offset)
    without = fit(x[3:], found[3:])
    x[:3] = np.nan, np.inf, -np.inf
    assert fit(x, found).offset == without.offset
