"""Two detectors on the same trials.

- Found or missed: McNemar's exact test (1947), patient by patient. Trials of one patient are not independent, so what is turned
  round is the patient's whole difference (a sign-flip test; where every patient has one trial that is McNemar's).
- Area under the ROC: DeLong, DeLong & Clarke-Pearson (1988), by the midranks of Sun & Xu (2014), with the components summed by
  patient (Obuchowski 1997), since a case, its twin and its other levels show one patient.

Both are corrected for all pairs of detectors by Holm (1979), each test among its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from scipy import fft
from scipy.stats import norm

from meddiff.case import Record
from meddiff.statistics import holm, placements
from meddiff.stress.intervals import Estimate, by_block, ratio
from meddiff.stress.reads import Reads

_MOST_STEPS = 2**20  # that the sum of differences can take, for the exact test


class Comparison(Record):
    """One detector less another.

    Attributes:
        both, only_one, only_other, neither: trials found.
        difference: in sensitivity, paired.
        p_found: exact, two-sided; `p_found_holm` corrected for all pairs.
        auc_difference: with DeLong's interval; `p_auc` two-sided, `p_auc_holm` corrected. None where both scores are alike.
    """

    one: str
    other: str
    n: int
    both: int
    only_one: int
    only_other: int
    neither: int
    difference: Estimate
    p_found: float
    p_found_holm: float | None = None
    auc_difference: Estimate
    p_auc: float | None = None
    p_auc_holm: float | None = None


def compare_all(detectors: Sequence[Reads]) -> tuple[Comparison, ...]:
    """All pairs of detectors, each read the same trials in the same order."""
    found = [compare(one, other) for one, other in combinations(detectors, 2) if len(one.found)]
    for name in ("p_found", "p_auc"):
        known = [at for at, row in enumerate(found) if getattr(row, name) is not None]
        corrected = holm([getattr(found[at], name) for at in known])
        for at, p in zip(known, corrected, strict=True):
            found[at] = found[at].model_copy(update={f"{name}_holm": p})
    return tuple(found)


def compare(one: Reads, other: Reads) -> Comparison:
    """Two detectors; p values not yet corrected."""
    a, b = one.found, other.found
    apart = a.astype(int) - b.astype(int)
    areas, covariance = delong([(one.case, one.twin), (other.case, other.twin)], one.place)
    difference, variance = float(areas[0] - areas[1]), float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    told: dict[str, Any] = {"value": difference, "n": 2 * len(a), "blocks": one.blocks}
    p_auc, auc = None, Estimate(**told, method="scores rank alike: no interval")
    if variance > 1e-12:
        half = float(norm.ppf(0.975)) * variance**0.5
        auc = Estimate(**told, low=difference - half, high=difference + half, method="DeLong by patient")
        p_auc = float(2 * norm.sf(abs(difference) / variance**0.5))
    return Comparison(
        one=one.name,
        other=other.name,
        n=len(a),
        both=int((a & b).sum()),
        only_one=int((a & ~b).sum()),
        only_other=int((~a & b).sum()),
        neither=int((~a & ~b).sum()),
        difference=ratio(apart, one.place),
        p_found=sign_flip(by_block(apart, one.place)[0]),
        auc_difference=auc,
        p_auc=p_auc,
    )


def sign_flip(differences: np.ndarray) -> float:
    """Two-sided exact p that whole numbers [B], one a patient, sum to so much by chance: each sign is as likely as its opposite.

    The distribution of the sum is one inverse Fourier transform of a product of cosines. Of differences of 1 and -1 it is the
    binomial, and the test McNemar's exact one.
    """
    sizes = np.abs(differences[differences != 0]).astype(int)
    if not len(sizes):
        return 1.0
    reach, seen = int(sizes.sum()), int(abs(differences.sum()))
    if 2 * reach + 1 > _MOST_STEPS:
        return float(2 * norm.sf(seen / np.sqrt((sizes.astype(float) ** 2).sum())))
    steps = 2 * reach + 1
    angle = 2 * np.pi * np.arange(reach + 1) / steps  # the half that a real transform needs
    product = np.ones(reach + 1)
    for size, many in zip(*np.unique(sizes, return_counts=True), strict=True):
        product *= np.cos(size * angle) ** int(many)
    chance = fft.irfft(product, steps)  # of a sum of 0, 1, ... reach, -reach, ... -1
    sums = np.abs((np.arange(steps) + reach) % steps - reach)
    return float(np.clip(chance[sums >= seen].sum(), 0, 1))


def delong(
    scores: Sequence[tuple[np.ndarray, np.ndarray]], place: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Areas [D] of D detectors on the same pictures, and their covariance [D, D].

    Args:
        scores: of each detector, of m positive pictures [m] and n negative ones [n].
        place: patient of each picture, int [m], the same for positives and negatives (m equals n): the covariance of
            Obuchowski (1997). Default: all pictures are independent, DeLong's own.
    """
    of_positives, of_negatives, areas = [], [], []
    for positive, negative in scores:
        each_positive, each_negative = placements(positive, negative)
        of_positives.append(each_positive)
        of_negatives.append(each_negative)
        areas.append(each_positive.mean())
    v10, v01, auc = np.array(of_positives), np.array(of_negatives), np.array(areas)
    m, n = v10.shape[1], v01.shape[1]
    if place is None:
        return auc, np.atleast_2d(np.cov(v10)) / m + np.atleast_2d(np.cov(v01)) / n
    parts = (v10 - auc[:, None]) / m + (v01 - auc[:, None]) / n
    summed = np.stack([by_block(row, place)[0] for row in parts])
    blocks = summed.shape[1]
    return auc, summed @ summed.T * blocks / max(blocks - 1, 1)
