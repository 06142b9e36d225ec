"""Laws say what their formulas say, go the way they claim to, stay within their disease, and are asked for in words that are checked."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from scipy.stats import t as student_t

from meddiff.case import MedDiffError
from meddiff.conditions.growth import (
    SEED_SHARE,
    Exponential,
    Gompertz,
    Law,
    Limits,
    Linear,
    Logistic,
    Population,
    Pseudoprogression,
    Resection,
    Response,
    Stable,
    area_ratio,
    diameter_mm,
    direction,
    fastest,
    first_size_mm,
    fit_population,
    parse_law,
    predict,
    too_fast,
    volume_ratio,
)
from meddiff.conditions.vocabulary import load_pathologies

days = st.floats(1, 2000)
laws = st.one_of(
    st.builds(Exponential, doubling_days=days),
    st.builds(Gompertz, doubling_days=days, limit_mm=st.floats(41, 150)),
    st.builds(Logistic, doubling_days=days, limit_mm=st.floats(41, 150)),
    st.builds(Linear, mm_per_year=st.floats(0.01, 50)),
    st.builds(
        Response,
        nadir_share=st.floats(0.001, 0.99),
        nadir_day=st.floats(5, 700),
        regrowth_doubling_days=st.none() | days,
    ),
    st.builds(
        Pseudoprogression,
        peak_share=st.floats(1.01, 5),
        peak_day=st.floats(5, 500),
        settling_share=st.floats(0.01, 1),
        settling_days=st.floats(5, 500),
    ),
    st.just(Stable()),
    st.builds(
        Resection,
        surgery_day=st.floats(1, 300),
        residual_share=st.just(0.0) | st.floats(0.001, 0.9),
        recurrence_delay_days=st.just(0.0) | st.floats(0, 500),
        recurrence_doubling_days=st.none() | days,
    ),
)
START = 40.0  # mm; every Gompertz and logistic law above can start from it


@given(laws)
@settings(deadline=None)
def test_every_law_starts_from_the_volume_it_is_given(law):
    assert volume_ratio(law, 0, START) == pytest.approx(1)


@given(laws)
@settings(deadline=None)
def test_every_law_goes_to_json_and_back(law):
    adapter = TypeAdapter(Law)
    assert adapter.validate_json(adapter.dump_json(law)) == law


@given(laws, st.floats(0, 800), st.floats(0, 800))
@settings(deadline=None)
def test_a_law_goes_the_way_it_says(law, first, last):
    first, last = sorted((first, last))
    way = direction(law, first, last)
    steps = np.diff(np.log(volume_ratio(law, np.linspace(first, last, 400), START) + 1e-12))
    if way == 0:
        assert np.allclose(steps, 0)
    elif way is not None:
        assert (way * steps >= -1e-9).all()


@given(st.floats(0.01, 0.9), st.floats(10, 400), st.floats(10, 800))
@settings(deadline=None)
def test_what_is_called_not_monotone_goes_both_ways(share, nadir, doubling):
    law = Response(nadir_share=share, nadir_day=nadir, regrowth_doubling_days=doubling)
    before, between, after = volume_ratio(law, [nadir / 2, nadir, nadir * 2], START)
    assert direction(law, nadir / 2, nadir * 2) is None
    assert before > between < after


def test_exponential_doubles_and_its_diameter_grows_by_the_cube_root():
    law = Exponential(doubling_days=50)
    assert volume_ratio(law, [0, 50, 100, 150], 30) == pytest.approx([1, 2, 4, 8])
    assert diameter_mm(law, 150, 30) == pytest.approx(60)
    assert area_ratio(law, 150, 30) == pytest.approx(4)


def test_gompertz_by_hand():
    # K/V0 = 8, so a = ln 2 / (T ln 8) = 1 / (3 T), and V(3 T)/V0 = 8^(1 - 1/e).
    law = Gompertz(doubling_days=20, limit_mm=60)
    assert volume_ratio(law, 60, 30) == pytest.approx(8 ** (1 - 1 / math.e))


def test_logistic_by_hand():
    # K/V0 = 8, so r = ln 2 / (7 T / 8), and after 7 T / 8 days exp(-r t) = 1/2.
    law = Logistic(doubling_days=16, limit_mm=60)
    assert volume_ratio(law, 14, 30) == pytest.approx(8 / (1 + 7 / 2))


@pytest.mark.parametrize("kind", [Gompertz, Logistic])
@given(doubling=st.floats(5, 500), start=st.floats(2, 99))
@settings(deadline=None)
def test_limited_growth_begins_at_its_doubling_time_and_ends_at_its_limit(kind, doubling, start):
    law = kind(doubling_days=doubling, limit_mm=100)
    rate = (volume_ratio(law, 1e-4 * doubling, start) - 1) / 1e-4
    assert rate == pytest.approx(math.log(2), rel=0.02)
    assert diameter_mm(law, 200 * doubling, start) == pytest.approx(100, rel=1e-3)


def test_linear_growth_adds_millimetres_a_year_whatever_the_start():
    law = Linear(mm_per_year=4)
    assert diameter_mm(law, [365.25, 730.5], 10) == pytest.approx([14, 18])
    assert diameter_mm(law, [365.25, 730.5], 40) == pytest.approx([44, 48])


@given(st.floats(0.001, 0.99), st.floats(5, 700), st.floats(5, 3000))
@settings(deadline=None)
def test_a_response_reaches_its_nadir_on_its_day_and_regrows_at_its_doubling_time(share, nadir, doubling):
    law = Response(nadir_share=share, nadir_day=nadir, regrowth_doubling_days=doubling)
    around = volume_ratio(law, [nadir * 0.999, nadir, nadir * 1.001], START)
    assert around[1] == pytest.approx(share, rel=1e-6)
    assert around.min() == pytest.approx(around[1], rel=1e-9)
    late = nadir + 40 * doubling
    if late < 900 * doubling:  # beyond, the volume has no number
        assert np.divide(*volume_ratio(law, [late + doubling, late], START)) == pytest.approx(2)


def test_a_response_by_hand():
    # A resistant fifth that doubles in T while the rest falls to a quarter: V = 0.8 / 4^k + 0.2 2^k after k T, at its lowest, 0.6, at k = 1.
    law = Response(nadir_share=0.6, nadir_day=70, regrowth_doubling_days=70)
    k = np.array([0, 0.5, 1, 2, 3])
    assert volume_ratio(law, 70 * k, START) == pytest.approx(0.8 / 4**k + 0.2 * 2**k)


def test_a_response_without_regrowth_rests_at_its_nadir():
    law = Response(nadir_share=0.1, nadir_day=60)
    assert volume_ratio(law, [30, 60, 61, 5000], START) == pytest.approx([math.sqrt(0.1), 0.1, 0.1, 0.1])
    assert direction(law, 60, 5000) == 0


def test_pseudoprogression_peaks_and_settles():
    law = Pseudoprogression(peak_share=2, peak_day=60, settling_share=0.5, settling_days=100)
    assert volume_ratio(law, [30, 60, 110, 160, 900], START) == pytest.approx([math.sqrt(2), 2, 1, 0.5, 0.5])
    assert [direction(law, *span) for span in [(0, 60), (60, 160), (160, 900), (0, 61)]] == [1, -1, 0, None]


def test_a_resection_leaves_its_residual_from_its_day_on_and_recurs_after_its_delay():
    law = Resection(surgery_day=30, residual_share=0.25, recurrence_delay_days=100, recurrence_doubling_days=50)
    assert volume_ratio(law, [29.9, 30, 130, 180, 230], START) == pytest.approx([1, 0.25, 0.25, 0.5, 1])
    assert [direction(law, *span) for span in [(0, 29), (0, 30), (30, 130), (130, 200), (0, 200)]] == [
        0,
        -1,
        0,
        1,
        None,
    ]


def test_after_a_complete_resection_nothing_is_there_until_the_recurrence_is_seen():
    law = Resection(surgery_day=30, residual_share=0, recurrence_delay_days=100, recurrence_doubling_days=50)
    assert volume_ratio(law, [30, 129, 130, 180], START) == pytest.approx([0, 0, SEED_SHARE, 2 * SEED_SHARE])
    assert direction(law, 30, 129) == 0
    assert direction(law, 129, 130) == 1
    cured = Resection(surgery_day=30, residual_share=0)
    assert volume_ratio(cured, [30, 9999], START) == pytest.approx([0, 0])


def test_ratios_have_the_shape_of_the_days():
    assert volume_ratio(Stable(), np.zeros((2, 3)), START).shape == (2, 3)
    assert volume_ratio(Resection(surgery_day=1, residual_share=0), [], START).shape == (0,)


@pytest.mark.parametrize(
    ("law", "when", "start", "sentence"),
    [
        (Exponential(doubling_days=5), [0, -3], 20, "not -3: give days of 0 or later"),
        (Exponential(doubling_days=5), [math.nan], 20, "give days of 0 or later"),
        (Exponential(doubling_days=5), [10], 0, "above 0 mm, not 0"),
        (Gompertz(doubling_days=5, limit_mm=40), [10], 40, "40 mm cannot grow towards 40 mm: give a limit_mm above"),
        (Logistic(doubling_days=5, limit_mm=40), [10], 50, "50 mm cannot grow towards 40 mm"),
        (Exponential(doubling_days=1), [5000], 20, "day 5000 is beyond all numbers"),
    ],
)
def test_what_cannot_be_computed_is_said(law, when, start, sentence):
    with pytest.raises(MedDiffError, match=sentence):
        volume_ratio(law, when, start)


def test_days_out_of_order_have_no_direction():
    with pytest.raises(MedDiffError, match="no span"):
        direction(Stable(), 10, 5)


@pytest.mark.parametrize(
    ("kind", "figures"),
    [
        (Exponential, {"doubling_days": 0}),
        (Exponential, {"doubling_days": math.inf}),
        (Linear, {"mm_per_year": -1}),
        (Response, {"nadir_share": 1, "nadir_day": 30}),
        (Pseudoprogression, {"peak_share": 1, "peak_day": 9, "settling_share": 0.5, "settling_days": 9}),
        (Pseudoprogression, {"peak_share": 2, "peak_day": 9, "settling_share": 2, "settling_days": 9}),
        (Resection, {"surgery_day": 0, "residual_share": 0}),
        (Resection, {"surgery_day": 5, "residual_share": 1}),
        (Stable, {"wobble": 0.1}),
    ],
)
def test_impossible_figures_make_no_law(kind, figures):
    with pytest.raises(ValidationError):
        kind(**figures)


# --- of a pathology ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", sorted(load_pathologies()))
def test_no_law_of_a_pathology_is_faster_than_its_limits_from_any_of_its_sizes(key):
    pathology = load_pathologies()[key]
    week = np.arange(0, 2000, 7.0)
    for law in (entry.law for entry in pathology.growth.laws):
        if isinstance(law, Resection):  # a knife is faster
            week = week[week > law.surgery_day + law.recurrence_delay_days]
        for start in (pathology.size_mm.min, pathology.size_mm.typical, pathology.size_mm.max):
            volumes = volume_ratio(law, week, start)
            told = [
                too_fast(fastest(pathology), 7, ratio, 1e-9)
                for ratio in volumes[1:] / np.maximum(volumes[:-1], 1e-9)
                if ratio > 0
            ]
            assert not any(told), (law, start)


LIMITS = Limits(doubling_days=10, halving_days=20, source="made up")


@pytest.mark.parametrize(("ratio", "allowed"), [(2.0, True), (2.01, False), (0.71, True), (0.70, False), (1.0, True)])
def test_a_change_is_held_against_the_shortest_doubling_and_halving_times(ratio, allowed):
    assert (too_fast(LIMITS, 10, ratio) is None) == allowed


def test_too_fast_a_change_is_told_with_the_limit_and_an_error_of_measuring_is_granted():
    assert too_fast(LIMITS, 10, 3) == "The volume grew 3.00-fold in 10 days, but doubles in 10 days at the fastest."
    assert too_fast(LIMITS, 10, 0.25) == "The volume fell to 25.0% in 10 days, but halves in 20 days at the fastest."
    assert too_fast(LIMITS, 0, 1.05) and too_fast(LIMITS, 0, 1.05, slack=0.1) is None
    with pytest.raises(MedDiffError, match="volume ratio above 0"):
        too_fast(LIMITS, 10, 0)


def test_a_law_by_name_takes_the_pathologys_figures():
    glioblastoma = load_pathologies()["glioblastoma"]
    assert parse_law("gompertz", glioblastoma) == glioblastoma.growth.default
    assert parse_law("stable", glioblastoma) == Stable()


def test_figures_on_the_command_line_go_before_the_pathologys():
    glioblastoma = load_pathologies()["glioblastoma"]
    assert parse_law("gompertz:doubling_days=90,limit_mm=80", glioblastoma) == Gompertz(doubling_days=90, limit_mm=80)
    changed = parse_law(" response : nadir_share = 0.2 , regrowth_doubling_days = none ", glioblastoma)
    own = next(entry.law for entry in glioblastoma.growth.laws if entry.law.law == "response")
    assert changed == own.model_copy(update={"nadir_share": 0.2, "regrowth_doubling_days": None})


def test_a_law_without_figures_in_the_pathology_can_be_given_all_of_its_own():
    assert parse_law("logistic:doubling_days=9,limit_mm=70", load_pathologies()["ganglioglioma"]) == Logistic(
        doubling_days=9, limit_mm=70
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "gompertzian",
            r"no law 'gompertzian': choose one of exponential, .*resection; ganglioglioma has figures for stable, linear",
        ),
        ("", "no law ''"),
        (
            "gompertz",
            "ganglioglioma has no figures for the law gompertz: give doubling_days and limit_mm, or choose stable or linear",
        ),
        ("linear:speed=3", "The law linear has no parameter 'speed': it takes mm_per_year"),
        ("stable:speed=3", "The law stable has no parameter 'speed': it takes none"),
        ("linear:mm_per_year", "mm_per_year: '' is no number"),
        ("linear:mm_per_year=fast", "mm_per_year: 'fast' is no number"),
        ("linear:mm_per_year=3,mm_per_year=4", "given mm_per_year twice"),
        ("linear:mm_per_year=-3", "The law linear, mm_per_year: it must be greater than 0, not -3"),
        ("linear:mm_per_year=inf", "The law linear, mm_per_year: it must be a finite number, not inf"),
        ("linear:mm_per_year=none", "The law linear, mm_per_year: it must be a valid number, not None"),
        (
            "pseudoprogression:peak_share=2,peak_day=9,settling_share=3,settling_days=9",
            "The law pseudoprogression: settling_share 3 must lie below peak_share 2",
        ),
    ],
)
def test_a_law_that_cannot_be_read_is_answered_with_what_is_allowed(text, sentence):
    with pytest.raises(MedDiffError, match=sentence):
        parse_law(text, load_pathologies()["ganglioglioma"])


# --- a population -----------------------------------------------------------------------------------------------


def test_a_population_is_the_mean_and_deviation_of_specific_growth_rates():
    found = fit_population([10, 20, 100], [math.exp(0.1), math.exp(0.4), math.exp(3)])
    assert (found.count, found.mean, found.sd) == (3, pytest.approx(0.02), pytest.approx(0.01))


def test_a_prediction_is_students_interval_for_one_more_patient():
    low, median, high = predict(Population(count=4, mean=0.01, sd=0.02), [0, 50], 0.9)
    reach = student_t.ppf(0.95, 3) * 0.02 * math.sqrt(1.25)
    assert median == pytest.approx([1, math.exp(0.5)])
    assert low == pytest.approx([1, math.exp(50 * (0.01 - reach))])
    assert high == pytest.approx([1, math.exp(50 * (0.01 + reach))])


def test_of_new_patients_as_many_fall_within_the_interval_as_it_says():
    random = np.random.default_rng(0)
    inside = []
    for rates in random.normal(0.012, 0.008, (1500, 8)):
        low, _, high = predict(fit_population([60.0] * 7, np.exp(60 * rates[:7])), 90)
        inside.append(low <= math.exp(90 * rates[7]) <= high)
    assert np.mean(inside) == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize(
    ("spans", "ratios", "sentence"),
    [
        ([30], [2], "two patients at least"),
        ([30, 40], [2], "2 spans and 1 volume ratios"),
        ([30, 0], [2, 2], "leave out pairs of one day or without a lesion"),
        ([30, 40], [2, 0], "leave out pairs of one day or without a lesion"),
    ],
)
def test_pairs_that_give_no_rate_are_refused(spans, ratios, sentence):
    with pytest.raises(MedDiffError, match=sentence):
        fit_population(spans, ratios)


def test_a_prediction_needs_a_level_and_days_to_come():
    population = Population(count=4, mean=0.01, sd=0.02)
    with pytest.raises(MedDiffError, match="between 0 and 1, not at 80"):
        predict(population, 10, 80)
    with pytest.raises(MedDiffError, match="not -1"):
        predict(population, -1)


def test_a_lesion_that_only_grows_starts_small_and_one_that_shrinks_at_its_usual_size():
    glioma = load_pathologies()["glioma"]
    grows, shrinks = parse_law("exponential:doubling_days=60", glioma), parse_law("response", glioma)
    assert glioma.size_mm.min < first_size_mm(glioma, grows, 100) < glioma.size_mm.typical
    assert first_size_mm(glioma, shrinks, 100) == first_size_mm(glioma, grows, 0) == glioma.size_mm.typical
