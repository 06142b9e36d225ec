"""A faint, small lesion with many look-alikes is predicted to be hard; answers correct the prediction."""

import pytest

from meddiff.case import MedDiffError
from meddiff.teaching.difficulty import LEVEL, OF_NORMAL, WORTH, corrected, difficulty_of
from tests.teaching.case_support import made_case


def test_fainter_smaller_and_with_more_look_alikes_is_harder():
    usual = difficulty_of(made_case("meningioma", cnr=2, radius=10))
    assert difficulty_of(made_case("meningioma", cnr=0.5, radius=10)) > usual
    assert difficulty_of(made_case("meningioma", cnr=6, radius=10)) < usual
    assert difficulty_of(made_case("meningioma", cnr=2, radius=4)) > usual
    assert difficulty_of(made_case("meningioma", cnr=2, radius=30)) < usual
    assert difficulty_of(made_case("glioblastoma", cnr=2, radius=10)) > usual  # five look-alikes, not three


def test_a_usual_lesion_has_the_level_and_no_lesion_its_own():
    assert LEVEL == -0.4  # the 40% that the module tells
    assert difficulty_of(made_case("meningioma", cnr=2, radius=9.7)) == pytest.approx(0.4, abs=0.01)
    assert difficulty_of(made_case(None)) == OF_NORMAL


def test_it_stays_within_its_range_and_without_a_measurement_counts_as_usual():
    assert 0.8 < difficulty_of(made_case("glioblastoma", cnr=0, radius=1)) < 1
    assert 0 < difficulty_of(made_case("meningioma", cnr=500, radius=90)) < 0.1
    bare = made_case("meningioma", cnr=9, radius=9.7).model_copy(update={"measurements": ()})
    assert difficulty_of(bare) == difficulty_of(made_case("meningioma", cnr=2, radius=9.7))


def test_answers_correct_it_little_at_first_and_wholly_in_the_end():
    assert corrected(0.4, 0, 0) == 0.4
    assert corrected(0.4, 0, 1) == pytest.approx((WORTH * 0.4 + 1) / (WORTH + 1))
    assert corrected(0.4, 5, WORTH) == pytest.approx((0.4 + 0.5) / 2, abs=0.01)
    assert corrected(0.4, 900, 1000) == pytest.approx(0.1, abs=0.01)


def test_impossible_counts_are_refused():
    for predicted, right, total in ((1.2, 1, 2), (0.5, 3, 2), (0.5, -1, 2)):
        with pytest.raises(MedDiffError, match="not possible"):
            corrected(predicted, right, total)
