"""Two detectors compared: exact small cases, scipy, and DeLong against counting pairs."""

import numpy as np
import pytest
from scipy.stats import binomtest, mannwhitneyu

from meddiff.statistics import holm
from meddiff.stress.compare import compare, compare_all, delong, sign_flip
from meddiff.stress.curves import area
from meddiff.stress.reads import reads_of
from tests.stress.simulated import CONTRACTS, chance, simulate


@pytest.mark.parametrize(("one", "other"), [(10, 2), (5, 5), (0, 6), (1, 0), (30, 48)])
def test_of_single_trials_the_test_is_mcnemars_exact(one, other):
    differences = np.array([1] * one + [-1] * other + [0] * 17)
    assert sign_flip(differences) == pytest.approx(binomtest(one, one + other).pvalue)


def test_of_patients_with_several_trials_it_counts_all_signs():
    differences = np.array([3, -1, 2, 2, 0])
    signs = np.array(np.meshgrid(*[[-1, 1]] * 4)).reshape(4, -1)
    sums = np.abs(signs.T @ [3, 1, 2, 2])
    assert sign_flip(differences) == pytest.approx((sums >= 6).mean())


def test_alike_is_alike():
    assert sign_flip(np.zeros(9, int)) == 1


def test_delong_is_the_variance_of_its_structural_components_counted_by_hand():
    """Three positives and two negatives: V10 = 1, 1/2, 1 and V01 = 1, 2/3, so that the area is 5/6."""
    positive, negative = np.array([0.9, 0.4, 0.7]), np.array([0.2, 0.5])
    areas, covariance = delong([(positive, negative)])
    assert areas[0] == pytest.approx(5 / 6)
    v10, v01 = np.var([1, 0.5, 1], ddof=1), np.var([1, 2 / 3], ddof=1)
    assert covariance[0, 0] == pytest.approx(v10 / 3 + v01 / 2)


def test_delong_with_ties_and_two_detectors_is_counting_pairs():
    rng = np.random.default_rng(0)
    scores = [(rng.integers(0, 8, 40) + 2, rng.integers(0, 8, 55)) for _ in range(2)]
    areas, covariance = delong(scores)
    kernels = [np.where(p[:, None] > n, 1.0, np.where(p[:, None] == n, 0.5, 0.0)) for p, n in scores]
    for at, ((positive, negative), kernel) in enumerate(zip(scores, kernels, strict=True)):
        assert areas[at] == pytest.approx(kernel.mean())
        assert areas[at] == pytest.approx(mannwhitneyu(positive, negative).statistic / (40 * 55))
        assert areas[at] == pytest.approx(area(positive, negative))
    v10, v01 = np.array([k.mean(axis=1) for k in kernels]), np.array([k.mean(axis=0) for k in kernels])
    assert covariance == pytest.approx(np.cov(v10) / 40 + np.cov(v01) / 55)


def test_the_error_of_an_area_by_patient_is_what_repetition_shows():
    """Case and twin share a patient's bias: DeLong's own variance would be too large, since it drops out of the pair."""
    found, told = [], []
    for seed in range(400):
        rng = np.random.default_rng(seed)
        bias = rng.normal(0, 1, 50)
        positive, negative = (shift + bias + rng.normal(0, 1, 50) for shift in (1, 0))
        areas, covariance = delong([(positive, negative)], np.arange(50))
        found.append(areas[0])
        told.append(covariance[0, 0])
    assert np.mean(told) == pytest.approx(np.var(found), rel=0.2)
    assert np.mean(told) < 0.8 * delong([(positive, negative)])[1][0, 0]


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == [] and holm([0.9, 0.8]) == [1, 1]


def test_a_better_detector_is_told_from_two_equal_ones():
    outcomes = simulate(60, names=("boxes.onnx", "second.onnx"), faults=False, rejected_at=(0, 0))
    blind = simulate(60, truth=lambda levels, m: 0.3 * chance(levels, m), faults=False, rejected_at=(0, 0))
    joined = [
        outcome.model_copy(update={"answers": {**outcome.answers, "blind": poor.answers["boxes.onnx"]}})
        for outcome, poor in zip(outcomes, blind, strict=True)
    ]
    contracts = {**CONTRACTS, "blind": CONTRACTS["boxes.onnx"]}
    rows = compare_all([reads_of(name, contracts[name], joined) for name in ("boxes.onnx", "second.onnx", "blind")])
    alike, *told = rows
    assert alike.p_found_holm > 0.05 and alike.difference.low < 0 < alike.difference.high
    for row in told:
        assert row.other == "blind" and row.p_found_holm < 1e-4 and row.difference.low > 0.1
        assert (
            row.p_found <= row.p_found_holm and row.both + row.only_one + row.only_other + row.neither == row.n == 540
        )


def test_a_detector_is_no_better_than_itself():
    reads = reads_of("boxes.onnx", CONTRACTS["boxes.onnx"], simulate(10))
    row = compare(reads, reads)
    assert row.p_found == 1 and row.p_auc is None and row.auc_difference.interval is None and row.difference.value == 0
