"""How far two sets of features lie apart: four measures, each with what its sample size does to it.

| measure | says | bias of N cases |
|---|---|---|
| Frechet distance | how far means and covariances lie apart (Dowson & Landau, 1982; Heusel et al., 2017) | upwards, about as 1/N: compare equal N, or take the value at infinity |
| ... at infinity | the same, carried to 1/N = 0 by a straight line (Chong & Forsyth, 2020) | little, where N is well above the dimension |
| kernel distance (KID) | squared maximum mean discrepancy of a cubic kernel (Binkowski et al., 2018) | none |
| precision, recall; density, coverage | whether the made lie among the real and the real among the made (Kynkaanniemi et al., 2019; Naeem et al., 2020) | all depend on N: compare equal N |

Features are float [N, D] throughout, one row a case.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist

NEIGHBOURS = 5  # of density and coverage (Naeem et al., 2020)
SIZES = 6  # at which a distance is taken, from half of the cases to all, to carry it to infinity
REPEATS = 5  # random orders, whose first cases are the subsets
GROUPS = 10  # of cases, left out one by one
FEWEST = 6  # cases from which a covariance says anything


@dataclass(frozen=True)
class Estimate:
    """A distance and its 95% interval, which tells how it varies between samples of this size, not its bias."""

    value: float
    low: float
    high: float


# ---------------------------------------------------------------- Frechet


def frechet(one: np.ndarray, other: np.ndarray) -> float:
    """Squared Frechet distance of the normal distributions fitted to features [N, D] and [M, D]: at least 0.

    |m1 - m2|^2 + tr C1 + tr C2 - 2 tr (C1 C2)^(1/2). No matrix root is taken: with C = X' X, X the centred rows over the root of N - 1,
    the eigenvalues of C1 C2 are the squared singular values of X1 X2', so the last trace is their sum. This is exact and steady
    where there are fewer cases than features and both covariances are singular; the bias of few cases stays.

    Raises:
        ValueError: fewer than two cases, or features of different lengths.
    """
    return _apart(*_centred(one), *_centred(other))


def frechet_of_moments(mean: np.ndarray, covariance: np.ndarray, mean2: np.ndarray, covariance2: np.ndarray) -> float:
    """The same of two normal distributions given by means [D] and covariances [D, D], positive semidefinite."""
    return _apart(mean, _root(covariance), mean2, _root(covariance2))


def frechet_with_interval(one: np.ndarray, other: np.ndarray, draws: int = 200, seed: int = 0) -> Estimate:
    """`frechet` with 1.96 standard deviations of a bootstrap over both sets to each side.

    Not its percentiles: a set drawn with replacement has fewer different cases, so every draw is biased upwards once more, and
    the interval would lie above the value itself.
    """
    rng = np.random.default_rng(seed)
    value = frechet(one, other)
    drawn = [frechet(one[_again(len(one), rng)], other[_again(len(other), rng)]) for _ in range(draws)]
    half = 1.96 * float(np.std(drawn, ddof=1))
    return Estimate(value, max(0.0, value - half), value + half)


def frechet_at_infinity(one: np.ndarray, other: np.ndarray, seed: int = 0) -> float:
    """`frechet` carried to infinitely many cases (Chong & Forsyth, *Effectively unbiased FID*, CVPR 2020).

    It is taken of random subsets of both sets, from half of them to all; a line through it over 1 / share gives the value where
    that is 0. Both sets shrink by the same share, so the bias of both goes. The bias is a line in 1/N only where N is well
    above D: give features of few dimensions. May come out a little below 0 where the sets are alike.

    Raises:
        ValueError: fewer than 12 cases in a set.
    """
    return _intercept(one, other, _orders(len(one), len(other), np.random.default_rng(seed)))


def frechet_at_infinity_with_interval(one: np.ndarray, other: np.ndarray, seed: int = 0) -> Estimate:
    """The same with a jackknife's interval over ten groups of cases (Efron & Stein, 1981)."""
    rng = np.random.default_rng(seed)
    orders = _orders(len(one), len(other), rng)
    value = _intercept(one, other, orders)
    group1, group2 = (rng.permutation(np.arange(len(x)) % GROUPS) for x in (one, other))
    # In the same orders without the group: else what differs would be the chance of the subsets, not the cases.
    left_out = [
        _intercept(one, other, [(a[group1[a] != g], b[group2[b] != g]) for a, b in orders]) for g in range(GROUPS)
    ]
    half = 1.96 * float(np.sqrt((GROUPS - 1) * np.var(left_out)))
    return Estimate(value, value - half, value + half)


def _orders(count: int, other: int, rng: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
    if min(count, other) < 2 * FEWEST:
        raise ValueError(f"{count} and {other} cases: {2 * FEWEST} of each are needed to halve them.")
    return [(rng.permutation(count), rng.permutation(other)) for _ in range(REPEATS)]


def _intercept(one: np.ndarray, other: np.ndarray, orders: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """The line's value at infinity; subsets are the first cases of each order, int [n] and [m]."""
    inverse, values = [], []
    for share in np.linspace(0.5, 1, SIZES):
        # All cases are the same in any order.
        for first, second in orders if share < 1 else orders[:1]:
            n, m = (max(FEWEST // 2, round(share * len(order))) for order in (first, second))
            inverse.append(1 / share)
            values.append(frechet(one[first[:n]], other[second[:m]]))
    return float(np.polynomial.Polynomial.fit(inverse, values, 1)(0))


def _apart(mean: np.ndarray, root: np.ndarray, mean2: np.ndarray, root2: np.ndarray) -> float:
    """Frechet distance of means [D] and roots [n, D], [m, D] of covariances, C = root' root."""
    if mean.shape != mean2.shape:
        raise ValueError(f"features of {len(mean)} and of {len(mean2)} numbers: give both of one space.")
    shared = np.linalg.svd(root @ root2.T, compute_uv=False).sum()
    return max(0.0, float(((mean - mean2) ** 2).sum() + (root**2).sum() + (root2**2).sum() - 2 * shared))


def _centred(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean [D] and a root of the covariance, [min(N, D), D]."""
    x = np.asarray(features, float)
    if x.ndim != 2 or len(x) < 2:
        raise ValueError(f"features {x.shape}: a covariance needs [N, D] with two cases at least.")
    mean = x.mean(0)
    root = (x - mean) / np.sqrt(len(x) - 1)
    # Any rotation of the rows is a root too: the triangle of a QR has no more than D of them.
    return mean, np.asarray(np.linalg.qr(root, mode="r")) if len(x) > x.shape[1] else root


def _root(covariance: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(np.asarray(covariance, float))
    return np.sqrt(values.clip(0))[:, None] * vectors.T


def _again(count: int, rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, count, count)


# ---------------------------------------------------------------- kernel distance


def kernel_distance(one: np.ndarray, other: np.ndarray, blocks: int = 10, seed: int = 0) -> Estimate:
    """KID: unbiased squared MMD under k(x, y) = (x y / D + 1)^3 (Binkowski et al., *Demystifying MMD GANs*, ICLR 2018).

    Unbiased: below 0 about as often as above where both distributions are the same. The interval is 1.96 standard errors, from
    disjoint blocks of cases, each with a distance of its own; ten blocks at most and ten cases a block at least.

    Raises:
        ValueError: fewer than two cases in a set.
    """
    if min(len(one), len(other)) < 2:
        raise ValueError(f"{len(one)} and {len(other)} cases: two of each are needed.")
    value = squared_mmd(one, other)
    count = max(2, min(blocks, len(one) // 10, len(other) // 10))
    if min(len(one), len(other)) < 2 * count:
        return Estimate(value, -np.inf, np.inf)
    rng = np.random.default_rng(seed)
    parts = [np.array_split(x[rng.permutation(len(x))], count) for x in (one, other)]
    of_blocks = [squared_mmd(a, b) for a, b in zip(*parts, strict=True)]
    half = 1.96 * float(np.std(of_blocks, ddof=1) / np.sqrt(count))
    return Estimate(value, value - half, value + half)


def squared_mmd(one: np.ndarray, other: np.ndarray) -> float:
    """Unbiased estimate of the squared MMD under the cubic kernel, of features [N, D] and [M, D]."""
    x, y = np.asarray(one, float), np.asarray(other, float)

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a @ b.T / x.shape[1] + 1) ** 3

    def of_pairs(a: np.ndarray) -> float:
        k = kernel(a, a)
        return float((k.sum() - np.trace(k)) / (len(a) * (len(a) - 1)))

    return of_pairs(x) + of_pairs(y) - 2 * float(kernel(x, y).mean())


# ---------------------------------------------------------------- manifolds


@dataclass(frozen=True)
class Manifolds:
    """How two sets lie among each other, case by case; each mean is the measure.

    Attributes:
        precision: bool [M], whether a made case lies within the reach of any real one.
        recall: bool [N], whether a real case lies within the reach of any made one.
        density: float [M], real cases within whose reach a made one lies, over k: above 1 where the made crowd.
        coverage: bool [N], whether any made case lies within a real one's reach.
    """

    precision: np.ndarray
    recall: np.ndarray
    density: np.ndarray
    coverage: np.ndarray


def manifolds(real: np.ndarray, made: np.ndarray, k: int = NEIGHBOURS) -> Manifolds:
    """Precision and recall (Kynkaanniemi et al., NeurIPS 2019), density and coverage (Naeem et al., ICML 2020).

    A case's reach is its distance to the k-th nearest of its own set. One outlier has a wide reach and lends its set precision or
    recall that it has not; density and coverage are steadier.

    Raises:
        ValueError: when a set has no more than k cases.
    """
    if min(len(real), len(made)) <= k:
        raise ValueError(f"{len(real)} real and {len(made)} made: more than {k} of each are needed.")
    apart = cdist(real, made)  # [N, M]
    inside_real = apart <= _reach(real, k)[:, None]
    inside_made = apart <= _reach(made, k)[None]
    return Manifolds(inside_real.any(0), inside_made.any(1), inside_real.sum(0) / k, inside_real.any(1))


def coverage_of_equals(real: int, made: int, k: int = NEIGHBOURS) -> float:
    """Coverage to be expected of `real` and `made` cases from one distribution (Naeem et al., 2020, lemma 2).

    Of a real case and all others, none of the made is among the k nearest: 1 - (N-1)...(N-k) / ((M+N-1)...(M+N-k)).
    """
    steps = np.arange(1, k + 1)
    return 1 - float(np.prod((real - steps) / (real + made - steps)))


def _reach(features: np.ndarray, k: int) -> np.ndarray:
    apart = cdist(features, features)
    return np.partition(apart, k, axis=1)[:, k]  # the nearest is the case itself
