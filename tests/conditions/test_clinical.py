"""Clinical values become ten numbers, and what is unknown stays zero."""

from __future__ import annotations

import numpy as np
import pytest

from meddiff.case import Clinical, Conspicuity, MedDiffError, Sex
from meddiff.conditions.clinical import CLINICAL_DIM, clinical_vector


def test_nothing_known_is_all_zero() -> None:
    vector = clinical_vector()
    assert vector.shape == (CLINICAL_DIM,) and vector.dtype == np.float32 and not vector.any()


def test_every_value_stands_in_its_place() -> None:
    vector = clinical_vector(Clinical(age_years=50, sex=Sex.FEMALE), 30, Conspicuity.MODERATE)
    assert vector.tolist() == pytest.approx([0.5, 1, 1, 0, 1, 0.3, 1, 0, 1, 0])


def test_age_zero_is_known_and_not_unknown() -> None:
    assert clinical_vector(Clinical(age_years=0)).tolist() == [0, 1, 0, 0, 0, 0, 0, 0, 0, 0]


def test_the_sexes_differ() -> None:
    assert clinical_vector(Clinical(sex=Sex.MALE))[2:5].tolist() == [0, 1, 1]
    assert clinical_vector(Clinical(sex=Sex.FEMALE))[2:5].tolist() == [1, 0, 1]


@pytest.mark.parametrize("word", list(Conspicuity))
def test_conspicuity_is_one_of_three_or_none(word: Conspicuity) -> None:
    assert clinical_vector(conspicuity=word)[7:].sum() == (word is not Conspicuity.UNKNOWN)


@pytest.mark.parametrize("size", [0, -3, float("nan"), float("inf")])
def test_a_size_that_is_no_length_is_refused(size: float) -> None:
    with pytest.raises(MedDiffError, match="above 0 mm"):
        clinical_vector(size_mm=size)
