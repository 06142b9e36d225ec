"""Activity to SUV by its formula. What the reader takes from a header is tested in test_read."""

import numpy as np
import pytest

from meddiff.case import MedDiffError
from meddiff.imaging.suv import F18_HALF_LIFE_S, suv


def test_suv_follows_its_formula():
    activity = np.array([[5000.0]])  # Bq/ml in 70 kg after 370 MBq
    at_once = suv(activity, 70, 370e6, 0)
    assert at_once == pytest.approx(5000 * 70_000 / 370e6)
    assert suv(activity, 70, 370e6, F18_HALF_LIFE_S) == pytest.approx(2 * at_once)


def test_the_whole_dose_spread_evenly_is_one():
    assert suv(np.array([370e6 / 70_000]), 70, 370e6, 0) == pytest.approx(1)


@pytest.mark.parametrize("values", [(0, 1, 0, 1), (70, 0, 0, 1), (70, 1, 0, 0), (float("nan"), 1, 0, 1)])
def test_values_that_cannot_be_are_refused(values):
    with pytest.raises(MedDiffError, match="weight"):
        suv(np.ones(1), *values)
