"""Clinical values as numbers the denoiser takes; what is unknown is said to be unknown, never guessed."""

from __future__ import annotations

import math

import numpy as np

from meddiff.case import Clinical, Conspicuity, MedDiffError, Sex

CLINICAL_DIM = 10
_CONSPICUITY = (Conspicuity.SUBTLE, Conspicuity.MODERATE, Conspicuity.OBVIOUS)


def clinical_vector(
    clinical: Clinical = Clinical(),  # noqa: B008 - a frozen record
    size_mm: float | None = None,
    conspicuity: Conspicuity = Conspicuity.UNKNOWN,
) -> np.ndarray:
    """Clinical values as float32 [10].

    | position | value |
    |---|---|
    | 0, 1 | age in years / 100, 1 if known |
    | 2, 3, 4 | female, male, 1 if known |
    | 5, 6 | longest diameter in mm / 100, 1 if known |
    | 7, 8, 9 | subtle, moderate, obvious; all 0 if unknown |

    Raises:
        MedDiffError: for a size that is not a length above 0.
    """
    if size_mm is not None and not (math.isfinite(size_mm) and size_mm > 0):
        raise MedDiffError(f"The lesion's size must be above 0 mm, not {size_mm:g}: give a longest diameter in mm.")
    vector = np.zeros(CLINICAL_DIM, np.float32)
    if clinical.age_years is not None:
        vector[0:2] = clinical.age_years / 100, 1
    if clinical.sex is not Sex.UNKNOWN:
        vector[2:5] = clinical.sex is Sex.FEMALE, clinical.sex is Sex.MALE, 1
    if size_mm is not None:
        vector[5:7] = size_mm / 100, 1
    if conspicuity in _CONSPICUITY:
        vector[7 + _CONSPICUITY.index(conspicuity)] = 1
    return vector
