"""Distances of sets of features, on distributions whose true distance is known."""

from __future__ import annotations

import numpy as np
import pytest

from meddiff.evaluation.distances import (
    coverage_of_equals,
    frechet,
    frechet_at_infinity,
    frechet_at_infinity_with_interval,
    frechet_of_moments,
    frechet_with_interval,
    kernel_distance,
    manifolds,
    squared_mmd,
)


def normal(count: int, dimension: int, seed: int, shift: float = 0.0, spread: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, spread, (count, dimension))


def test_the_frechet_distance_of_two_normal_distributions_is_the_formula():
    # Commuting covariances: |m|^2 + sum (s1 - s2)^2.
    first, second = np.diag([1.0, 4.0, 9.0]), np.diag([4.0, 4.0, 1.0])
    shift = np.array([1.0, 2.0, 0.0])
    assert frechet_of_moments(np.zeros(3), first, shift, second) == pytest.approx(5 + 1 + 0 + 4)


def test_the_frechet_distance_is_blind_to_a_common_rotation_and_knows_covariances_that_do_not_commute():
    rng = np.random.default_rng(0)
    a, b = (m @ m.T for m in rng.normal(size=(2, 4, 4)))
    from scipy.linalg import sqrtm

    root = sqrtm(a)
    expected = np.trace(a + b - 2 * np.real(sqrtm(root @ b @ root)))
    turn, _ = np.linalg.qr(rng.normal(size=(4, 4)))
    zero = np.zeros(4)
    assert frechet_of_moments(zero, a, zero, b) == pytest.approx(expected)
    assert frechet_of_moments(zero, turn @ a @ turn.T, zero, turn @ b @ turn.T) == pytest.approx(expected)


def test_a_shift_of_a_normal_distribution_is_measured_from_samples():
    value = frechet(normal(4000, 4, 0), normal(4000, 4, 1, shift=1.5))
    assert value == pytest.approx(4 * 1.5**2, rel=0.05)


def test_fewer_cases_than_features_give_the_distance_of_their_own_moments_without_trouble():
    one, other = normal(12, 40, 0), normal(15, 40, 1, shift=0.5)
    moments = [x for part in (one, other) for x in (part.mean(0), np.cov(part.T))]
    assert frechet(one, other) == pytest.approx(frechet_of_moments(*moments), rel=1e-6)
    assert frechet(one, one) == pytest.approx(0, abs=1e-9)


def test_few_cases_are_biased_upwards_and_infinity_takes_most_of_it_away():
    biased, unbiased = [], []
    for seed in range(6):
        one, other = normal(96, 16, 2 * seed), normal(96, 16, 2 * seed + 1, shift=0.5)
        biased.append(frechet(one, other))
        unbiased.append(frechet_at_infinity(one, other))
    true = 16 * 0.25
    assert np.mean(biased) > true + 1
    assert abs(np.mean(unbiased) - true) < 0.4 * (np.mean(biased) - true)


def test_the_intervals_hold_the_value_and_shrink_with_more_cases():
    few = frechet_with_interval(normal(60, 4, 0), normal(60, 4, 1, shift=1))
    many = frechet_with_interval(normal(600, 4, 0), normal(600, 4, 1, shift=1))
    assert few.low < few.value < few.high
    assert many.high - many.low < 0.5 * (few.high - few.low)
    carried = frechet_at_infinity_with_interval(normal(200, 4, 0), normal(200, 4, 1, shift=1))
    assert carried.low < 4 < carried.high


def test_the_kernel_distance_of_equal_distributions_is_zero_on_average():
    values = [squared_mmd(normal(40, 8, 2 * s), normal(40, 8, 2 * s + 1)) for s in range(200)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(len(values))
    assert min(values) < 0 < max(values)


def test_the_kernel_distance_of_a_shifted_normal_distribution_is_the_polynomial_of_its_moments():
    s = 1.0  # moments of N(s, 1): s, 1 + s^2, s^3 + 3 s; the kernel (xy + 1)^3 weighs them 3, 3, 1
    true = (s**3 + 3 * s) ** 2 + 3 * s**4 + 3 * s**2
    found = kernel_distance(normal(1500, 1, 0), normal(1500, 1, 1, shift=s))
    assert found.low < true < found.high
    assert found.value == pytest.approx(true, rel=0.2)


def test_the_block_error_covers_the_truth_about_as_often_as_it_says():
    held = []
    for seed in range(100):
        found = kernel_distance(normal(100, 4, 2 * seed), normal(100, 4, 2 * seed + 1), seed=seed)
        held.append(found.low < 0 < found.high)
    assert np.mean(held) > 0.85


def test_equal_distributions_have_the_coverage_that_theory_expects():
    found = [manifolds(normal(150, 3, 2 * s), normal(150, 3, 2 * s + 1)) for s in range(6)]
    assert np.mean([m.coverage.mean() for m in found]) == pytest.approx(coverage_of_equals(150, 150), abs=0.02)
    assert np.mean([m.density.mean() for m in found]) == pytest.approx(1, abs=0.08)


def test_a_dropped_mode_costs_recall_and_coverage_and_no_precision():
    rng = np.random.default_rng(0)
    real = np.concatenate([rng.normal(0, 1, (100, 2)), rng.normal(30, 1, (100, 2))])
    made = rng.normal(0, 1, (200, 2))
    found = manifolds(real, made)
    assert found.precision.mean() > 0.9
    assert found.recall.mean() < 0.55
    assert found.coverage[:100].mean() > 0.9
    assert not found.coverage[100:].any()


def test_an_invented_mode_costs_precision_and_density_and_no_recall():
    rng = np.random.default_rng(0)
    made = np.concatenate([rng.normal(0, 1, (100, 2)), rng.normal(30, 1, (100, 2))])
    found = manifolds(rng.normal(0, 1, (200, 2)), made)
    assert found.recall.mean() > 0.9
    assert found.precision[:100].mean() > 0.9
    assert not found.precision[100:].any()
    assert not found.density[100:].any()


def test_sets_that_are_too_small_or_of_another_space_are_refused():
    with pytest.raises(ValueError, match="one space"):
        frechet(normal(5, 3, 0), normal(5, 4, 0))
    with pytest.raises(ValueError, match="more than 5"):
        manifolds(normal(5, 2, 0), normal(9, 2, 0))
    with pytest.raises(ValueError, match="halve"):
        frechet_at_infinity(normal(8, 2, 0), normal(30, 2, 0))
