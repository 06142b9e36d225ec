"""Native units to [0, 1], each modality in its own way, and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meddiff.case import MedDiffError
from meddiff.imaging.normalise import CT_WINDOWS, Normalisation, equalise, fit, normalise, percentile, window, z_score
from meddiff.imaging.read import Slice


def slice_of(pixels, modality="MR", unit=""):
    return Slice(np.asarray(pixels, np.float32), np.asarray(pixels), modality=modality, unit=unit)


@pytest.mark.parametrize(("name", "hu"), [("brain", (40, 80)), ("lung", (-600, 1500)), ("soft tissue", (60, 300))])
def test_ct_windows_put_their_centre_in_the_middle_and_clip_at_their_edges(name, hu):
    centre, width = hu
    values = normalise(slice_of([[centre - 0.5, centre - width, centre + width]], "CT"), name)
    assert values.tolist() == [[0.5, 0.0, 1.0]]


def test_a_window_ends_where_the_standard_says():
    # PS3.3 C.11.2.1.2.1, its own example: centre 2048, width 4096 leaves 0..4095 as they are.
    line = window(2048, 4096)
    assert (line.low, line.high) == (0, 4095)
    assert window(10, 1).forward(np.array([9.5, 9.6])).tolist() == [0.0, 1.0]  # width 1 is a threshold


def test_any_window_can_be_named_by_its_numbers():
    hu = slice_of(np.linspace(-1000, 1000, 64).reshape(8, 8), "CT")
    assert np.array_equal(normalise(hu, (40.0, 80.0)), normalise(hu, "brain"))
    assert np.array_equal(normalise(hu), normalise(hu, "brain"))


@pytest.mark.parametrize("width", [0, -5, float("nan")])
def test_windows_that_make_no_sense_are_refused(width):
    with pytest.raises(MedDiffError, match="width"):
        window(0, width)


def test_a_window_in_hounsfield_units_is_not_laid_over_mr(phantom):
    with pytest.raises(MedDiffError, match="this slice is MR"):
        normalise(slice_of(phantom), "lung")


def test_mr_does_not_depend_on_gain(phantom):
    for method in ("percentile", "z-score"):
        assert np.allclose(normalise(slice_of(phantom * 900), method), normalise(slice_of(phantom), method), atol=1e-4)


def test_percentiles_and_z_scores_land_where_they_say(phantom):
    native = phantom * 500
    picture = percentile(native, 1, 99).forward(native)
    assert np.percentile(picture, [1, 99]) == pytest.approx([0, 1], abs=1e-3)
    head = native > native.mean() * 0.2
    scored = z_score(native).forward(native)[head]
    assert scored.mean() == pytest.approx(0.5, abs=0.02) and scored.std() == pytest.approx(1 / 6, abs=0.02)


def test_a_constant_slice_is_refused():
    for method in (percentile, z_score):
        with pytest.raises(MedDiffError, match="constant"):
            method(np.ones((8, 8)))


@given(
    low=st.floats(-5000, 5000),
    width=st.floats(1, 1e5),
    picture=st.lists(st.floats(0, 1, width=32), min_size=1, max_size=20),
)
def test_the_way_back_undoes_the_way_there(low, width, picture):
    line = Normalisation(low, low + width)
    native = line.backward(np.array(picture))
    assert native.dtype == np.float32
    assert np.allclose(line.forward(native.astype(np.float64)), picture, atol=2e-3)


@pytest.mark.parametrize("method", ["percentile", "z-score", (40.0, 300.0)])
def test_generated_content_comes_back_in_native_units(phantom, method):
    image = slice_of(phantom * 300, "CT")
    line = fit(image, method)
    back, wanted = line.backward(line.forward(image.pixels)), np.clip(image.pixels, line.low, line.high)
    assert np.allclose(back, wanted, atol=0.01)


def test_equalising_has_no_way_back(phantom):
    with pytest.raises(MedDiffError, match="no way back"):
        fit(slice_of(phantom, "CR"))


def test_radiographs_are_spread_over_the_range(phantom):
    dark = phantom**4
    flat, shown = equalise(dark), phantom > 0.05
    assert np.median(dark[shown]) < 0.1 and np.median(flat[shown]) > 0.5
    assert np.array_equal(normalise(slice_of(dark, "CR")), flat)


def test_pet_is_clipped_at_ten_suv():
    suv = slice_of([[5.0, 25.0]], "PT", "SUV")
    assert normalise(suv).tolist() == [[0.5, 1.0]]


def test_pet_that_is_not_in_suv_is_shown_by_percentiles_and_says_so_when_asked(phantom):
    activity = slice_of(phantom * 40_000, "PT", "Bq/ml")
    assert 0.3 < normalise(activity)[phantom > 0.3].mean() < 0.9  # clipping at 10 would make it white
    with pytest.raises(MedDiffError, match="not in SUV"):
        normalise(activity, "suv")


@pytest.mark.parametrize("modality", ["MR", "CT", "PT", "CR", "unknown"])
def test_each_modality_has_a_way(phantom, modality):
    picture = normalise(slice_of(phantom * 100, modality))
    assert picture.dtype == np.float32 and 0 <= picture.min() < picture.max() <= 1


def test_a_method_that_is_not_known_is_answered_with_those_that_are(phantom):
    with pytest.raises(MedDiffError, match="no normalising 'magic'") as answer:
        normalise(slice_of(phantom), "magic")
    assert all(name in str(answer.value) for name in CT_WINDOWS)
