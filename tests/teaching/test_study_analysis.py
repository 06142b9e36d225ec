"""The analysis finds what was planted in made-up readings, and nothing where nothing was."""

import csv
import io
import re

import numpy as np
import pytest
from scipy.stats import mannwhitneyu, norm

from meddiff.case import MedDiffError
from meddiff.statistics import holm
from meddiff.teaching.study import Design, Question, Source
from meddiff.teaching.study_analysis import (
    COLUMNS,
    alphas,
    analyse,
    cohen_kappa,
    csv_text,
    fleiss_kappa,
    imrmc_text,
)
from tests.teaching.study_support import (
    READERS,
    arm_of,
    guess,
    paired,
    plan_of,
    reading,
    readings_of,
    separated,
    suspect,
    unpaired,
)


def sure(arm, rng):
    return suspect(4 if arm != "real" else -4)


def rated(question: Question, of_arm: dict[str, int], noise: float = 0.7):
    """A rating around what is planted for each arm."""

    def rate(arm, rng):
        return {question.value: int(np.clip(round(rng.normal(of_arm[arm], noise)), 1, 5))}

    return rate


# ------------------------------------------------------------ real or made


def test_the_planted_separation_is_the_area():
    plan = unpaired(cases=80)
    (found,) = analyse(plan, readings_of(plan, separated(1.5))).detection
    truth = norm.cdf(1.5 / np.sqrt(2))  # binormal, equal spreads: 0.856
    assert found.auc == pytest.approx(truth, abs=0.03) and found.arm == "made" and found.readers == 6
    low, high = found.auc_interval
    assert low < found.auc < high and low > 0.75 and high - low < 0.12
    assert found.afc2 == found.auc and found.afc2_of == "all pairs"


def test_the_area_is_the_mean_of_the_readers_own_counted_pair_by_pair():
    plan = unpaired(cases=9)
    readings = [
        row
        for row in readings_of(plan, separated(1.0))
        if not (row.reader == "ben" and row.seconds and row.suspicion == 1)
    ]
    arms = arm_of(plan)
    areas = []
    for reader in plan.readers:
        made, real = (
            [row.suspicion for row in readings if row.reader == reader and (arms[row.picture] == "made") is is_made]
            for is_made in (True, False)
        )
        areas.append(mannwhitneyu(made, real).statistic / (len(made) * len(real)))
    (found,) = analyse(plan, readings).detection
    assert found.auc == pytest.approx(np.mean(areas))
    x, y = np.array(found.curve).T
    assert np.trapezoid(y, x) == pytest.approx(found.auc, abs=1e-5)
    assert (
        found.curve[0] == (0, 0) and found.curve[-1] == (1, 1) and (np.diff(x) >= 0).all() and (np.diff(y) >= 0).all()
    )


def test_certain_readers_have_an_area_of_one_and_guessing_ones_of_one_half():
    plan = unpaired(cases=40)
    (certain,) = analyse(plan, readings_of(plan, sure)).detection
    assert certain.auc == 1 and certain.auc_interval == (1, 1) and certain.curve == ((0, 0), (0, 1), (1, 1))
    (guessing,) = analyse(plan, readings_of(plan, guess)).detection
    assert guessing.auc_interval[0] < 0.5 < guessing.auc_interval[1] and abs(guessing.auc - 0.5) < 0.08


def test_readers_who_differ_widen_the_interval():
    plan = unpaired(cases=40)
    arms = arm_of(plan)
    rng = np.random.default_rng(0)
    mixed = [
        reading(reader, name, **(sure if reader in READERS[:3] else guess)(arm, rng))
        for reader in READERS
        for name, arm in arms.items()
    ]
    (found,) = analyse(plan, mixed).detection
    assert found.auc == pytest.approx(0.75, abs=0.05)
    assert found.auc_interval[0] < 0.62 and found.auc_interval[1] > 0.88  # which readers come decides
    (alike,) = analyse(plan, readings_of(plan, separated(0.95))).detection  # the same area, readers alike
    assert alike.auc == pytest.approx(0.75, abs=0.05)
    assert np.diff(alike.auc_interval) < 0.6 * np.diff(found.auc_interval)


def test_forced_choice_is_over_pairs_of_the_same_case_where_there_are_any():
    """Suspicion that follows the case and not the arm hides a difference from the ROC, and not from the pairs."""
    plan = paired(cases=30)
    level = {case: 4 * (number % 2) - 2 for number, case in enumerate(sorted({p.case for p in plan.arms[0].pictures}))}
    readings = [
        reading(reader, picture.id, **suspect(level[picture.case] + (0.5 if arm.name == "a" else -0.5)))
        for reader in READERS
        for arm in plan.arms
        for picture in arm.pictures
    ]
    found = {row.arm: row for row in analyse(plan, readings).detection}
    assert found["a"].afc2 == 1 and found["a"].afc2_of == "pairs of the same case"
    assert found["a"].auc == pytest.approx(0.75)
    assert found["b"].afc2 == 0.5 and found["b"].auc == 0.5  # ties


def test_without_real_pictures_there_is_nothing_to_tell_apart():
    plan = plan_of({"a": (Source.SYNTHETIC, ["1", "2"]), "b": (Source.SYNTHETIC, ["3", "4"])})
    assert analyse(plan, readings_of(plan, guess)).detection == ()


# ------------------------------------------------------------ arms


def test_a_planted_difference_of_paired_arms_is_found_and_no_other():
    plan = paired(cases=25)
    rate = rated(Question.REALISM, {"real": 4, "a": 4, "b": 3})
    found = {(row.question, row.arm, row.other): row for row in analyse(plan, readings_of(plan, rate)).comparisons}
    assert len(found) == 4 * 3
    planted = found[Question.REALISM, "real", "b"]
    assert planted.test == "Wilcoxon signed rank" and planted.n == 25
    assert planted.difference == pytest.approx(1, abs=0.2) and planted.p_holm < 0.001
    assert planted.interval[0] > 0.6 and planted.interval[1] < 1.4
    same = found[Question.REALISM, "real", "a"]
    assert same.p_holm > 0.05 and same.interval[0] < 0 < same.interval[1]
    assert found[Question.ANATOMY, "real", "b"].p == 1 and found[Question.ANATOMY, "real", "b"].difference == 0
    assert all(row.p_holm >= row.p for row in found.values())


def test_arms_of_different_cases_are_compared_by_ranks_of_pictures():
    plan = unpaired(cases=20)
    rate = rated(Question.MISLEADING, {"real": 2, "made": 3})
    found = {row.question: row for row in analyse(plan, readings_of(plan, rate)).comparisons}
    row = found[Question.MISLEADING]
    assert row.test == "Mann-Whitney rank sum" and row.n == 40 and row.p_holm < 0.001
    assert row.difference == pytest.approx(-1, abs=0.25) and row.interval[1] < -0.5


def test_pairs_are_of_readers_who_rated_both():
    """A harsh reader who read one arm only does not make a difference of arms."""
    plan = paired(cases=10)
    arms = arm_of(plan)
    readings = [
        reading(reader, name, realism=1 if reader == "fay" else 4)
        for reader in READERS
        for name, arm in arms.items()
        if reader != "fay" or arm == "a"
    ]
    found = {(row.arm, row.other): row for row in analyse(plan, readings).comparisons if row.question == "realism"}
    assert found["real", "a"].difference == 0 and found["real", "a"].p == 1


def test_too_few_cases_get_no_p_and_do_not_count_in_the_correction():
    plan = paired(cases=5)
    rows = analyse(plan, readings_of(plan, rated(Question.REALISM, {"real": 5, "a": 1, "b": 3}))).comparisons
    assert all(row.p is None and row.p_holm is None for row in rows)
    small = unpaired(cases=3)
    assert all(row.p is None for row in analyse(small, readings_of(small, guess)).comparisons)


def test_a_lesion_that_nobody_could_see_is_left_out():
    plan = unpaired(cases=8)
    result = analyse(plan, readings_of(plan, lambda arm, rng: {"visibility": None}))
    assert Question.VISIBILITY not in {row.question for row in result.comparisons}
    assert Question.VISIBILITY not in {mean.question for arm in result.arms for mean in arm.means}
    assert [row.value for row in result.agreement if row.question == "visibility"] == [None]


def test_an_arm_is_summed_up():
    plan = unpaired(cases=10)
    said = {"real": {"realism": 5, "seconds": 4}, "made": {"realism": 2, "seconds": 8, "ai_suspected": True}}
    real, made = analyse(plan, readings_of(plan, lambda arm, rng: said[arm])).arms
    assert (real.suspected, made.suspected) == (0, 1) and (real.median_seconds, made.median_seconds) == (4, 8)
    assert real.readings == 60 and real.means[0].mean == 5 and made.means[0].interval == (2, 2)


def test_holms_correction_steps_down():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1, 1] and holm([]) == []


# ------------------------------------------------------------ agreement


def test_identical_readers_agree_wholly_and_independent_ones_not_at_all():
    plan = unpaired(cases=40)
    rng = np.random.default_rng(1)
    of_picture = {name: {"realism": int(rng.integers(1, 6)), **suspect(rng.normal())} for name in arm_of(plan)}
    alike = [reading(reader, name, **said) for reader in READERS for name, said in of_picture.items()]
    found = {(row.question, row.method): row for row in analyse(plan, alike).agreement}
    assert found["realism", "Krippendorff's alpha, ordinal"].value == pytest.approx(1)
    assert found["ai suspected", "Krippendorff's alpha, nominal"].value == pytest.approx(1)
    assert found["ai suspected", "Fleiss' kappa"].value == pytest.approx(1)
    assert found["anatomy", "Krippendorff's alpha, ordinal"].value is None  # all say 3: chance agrees too
    apart = readings_of(plan, lambda arm, rng: {"realism": int(rng.integers(1, 6)), **suspect(rng.normal())})
    for row in analyse(plan, apart).agreement:
        assert row.value is None or abs(row.value) < 0.1


def test_ordinal_agreement_counts_how_far_apart_ratings_are():
    plan = unpaired(cases=20, readers=["anna", "ben"])
    names = list(arm_of(plan))

    def alpha(gap):
        rows = [reading("anna", name, realism=1 + at % 4) for at, name in enumerate(names)]
        rows += [reading("ben", name, realism=min(5, 1 + at % 4 + gap)) for at, name in enumerate(names)]
        return analyse(plan, rows).agreement[0].value

    assert 1 == alpha(0) > alpha(1) > alpha(2)


def test_two_readers_have_cohens_kappa_and_gaps_are_borne():
    plan = unpaired(cases=20, readers=["anna", "ben"])
    readings = [row for row in readings_of(plan, guess) if not (row.reader == "ben" and row.suspicion == 2)]
    found = {row.method: row for row in analyse(plan, readings).agreement if row.question == "ai suspected"}
    missing = 80 - len(readings)
    assert missing > 0 and found["Cohen's kappa"].pictures == 40 - missing
    assert found["Cohen's kappa"].value == pytest.approx(found["Krippendorff's alpha, nominal"].value, abs=0.05)


@pytest.mark.parametrize(("level", "domain"), [("ordinal", np.arange(1, 6)), ("nominal", np.array([0, 1]))])
def test_weighted_alpha_is_the_librarys_and_a_weight_of_two_is_a_picture_twice(level, domain):
    from krippendorff import alpha

    rng = np.random.default_rng(5)
    values = rng.choice(domain, (4, 15)).astype(float)
    values[rng.random(values.shape) < 0.3] = np.nan
    weight = np.ones((2, 15))
    weight[1, 3:6] = 2, 0, 2
    twice = np.repeat(values, weight[1].astype(int), axis=1)
    expected = [
        alpha(reliability_data=data, value_domain=domain, level_of_measurement=level) for data in (values, twice)
    ]
    assert alphas(values, domain, level, weight) == pytest.approx(expected)


def test_intervals_of_agreement_hold_the_value_and_shrink_with_pictures():
    few, many = (
        analyse(plan, readings_of(plan, separated(1)), resamples=300).agreement
        for plan in (unpaired(cases=8), unpaired(cases=80))
    )
    widths = {}
    for row in (*few, *many):
        if row.question == "ai suspected":
            low, high = row.interval
            assert low < row.value < high
            widths.setdefault(row.method, []).append(high - low)
    assert len(widths) == 2 and all(small > 1.5 * large for small, large in widths.values())


def test_kappas_are_those_of_worked_examples():
    yes_yes, yes_no, no_yes, no_no = 20, 5, 10, 15  # Wikipedia, Cohen's kappa: 0.4
    one = [1] * (yes_yes + yes_no) + [0] * (no_yes + no_no)
    other = [1] * yes_yes + [0] * yes_no + [1] * no_yes + [0] * no_no
    assert cohen_kappa(one, other) == pytest.approx(0.4)
    assert cohen_kappa([1, 1], [1, 1]) is None
    table = """0 0 0 0 14;0 2 6 4 2;0 0 3 5 6;0 3 9 2 0;2 2 8 1 1;7 7 0 0 0;3 2 6 3 0;2 5 3 2 2;6 5 2 1 0;0 2 2 3 7"""
    counts = np.array([[int(count) for count in row.split()] for row in table.split(";")])
    assert fleiss_kappa(counts) == pytest.approx(0.210, abs=5e-4)  # Wikipedia, Fleiss' kappa
    assert fleiss_kappa(np.array([[3, 0], [3, 0]])) is None


# ------------------------------------------------------------ the whole


def test_the_same_seed_gives_the_same_results_and_another_other_intervals():
    plan = unpaired(cases=10)
    readings = readings_of(plan, separated(1))
    one, again, other = (analyse(plan, readings, seed, 300) for seed in (1, 1, 2))
    assert one == again and one.plan == plan.digest()
    assert one.detection[0].auc == other.detection[0].auc
    assert one.detection[0].auc_interval != other.detection[0].auc_interval


def test_a_suspended_case_is_named_and_its_readings_stay():
    plan = unpaired(cases=10)
    bad = plan.arms[1].pictures[0]
    readings = [
        row.model_copy(update={"red_alert": row.picture == bad.id and row.reader in ("anna", "ben")})
        for row in readings_of(plan, guess)
    ]
    result = analyse(plan, readings, resamples=100)
    assert result.suspended == (bad.case,) and result.arms[1].readings == 60
    assert result.arms[1].red_alerts == pytest.approx(2 / 60) and any("suspended" in note for note in result.notes)


def test_the_first_reading_counts_and_missing_ones_are_told():
    plan = unpaired(cases=10, readers=["anna"])
    name = plan.arms[0].pictures[0].id
    result = analyse(plan, [reading("anna", name, realism=5), reading("anna", name, realism=1)], resamples=100)
    assert result.readings == 1 and result.arms[0].means[0].mean == 5
    assert result.notes[0].startswith("19 of 20 readings are missing") and result.notes[1].startswith("One reader")
    assert result.detection == () and result.comparisons == ()


def test_what_cannot_be_analysed_is_refused_in_words():
    plan = unpaired(cases=3)
    with pytest.raises(MedDiffError, match="no readings yet"):
        analyse(plan, [])
    with pytest.raises(MedDiffError, match="give 100 to 10000"):
        analyse(plan, readings_of(plan, guess), resamples=10**6)
    with pytest.raises(MedDiffError, match="has no picture"):
        analyse(plan, [reading("anna", "RP-000000000000")])


# ------------------------------------------------------------ exports


def test_imrmc_input_says_what_its_header_counts():
    plan = paired(cases=6)
    readings = [row for row in readings_of(plan, separated(1)) if row.reader != "ben"]
    header, _, data = imrmc_text(plan, readings).partition("BEGIN DATA:\n")
    sizes = {name: int(count) for name, count in re.findall(r"^(NR|N0|N1|NM): (\d+)$", header, re.MULTILINE)}
    rows = [line.split(",") for line in data.splitlines()]
    truth = {case: int(score) for reader, case, modality, score in rows if reader == "-1" and modality == "truth"}
    scores = {(reader, case, modality): int(score) for reader, case, modality, score in rows if reader != "-1"}
    assert sizes == {"NR": 5, "N0": 6, "N1": 12, "NM": 2}
    assert sum(value == 0 for value in truth.values()) == 6 and sum(truth.values()) == 12
    assert len(rows) == len(truth) + len(scores) and len(scores) == 5 * 2 * (6 + 6)  # the real ones in both modalities
    assert len({reader for reader, _, _ in scores}) == 5 and {modality for _, _, modality in scores} == {"1", "2"}
    assert all(-5 <= score <= 5 and score for score in scores.values())


def test_imrmc_input_gives_the_same_areas_as_the_analysis():
    plan = unpaired(cases=12)
    readings = readings_of(plan, separated(1))
    rows = [line.split(",") for line in imrmc_text(plan, readings).partition("BEGIN DATA:\n")[2].splitlines()]
    truth = {case: score for reader, case, _, score in rows if reader == "-1"}
    areas = []
    for reader in {row[0] for row in rows} - {"-1"}:
        made, real = ([float(r[3]) for r in rows if r[0] == reader and truth[r[1]] == kind] for kind in "10")
        areas.append(mannwhitneyu(made, real).statistic / (len(made) * len(real)))
    assert np.mean(areas) == pytest.approx(analyse(plan, readings).detection[0].auc)


def test_a_title_cannot_be_taken_for_a_field_of_the_header():
    plan = unpaired(cases=2).model_copy(update={"title": "NR: 99\nBEGIN DATA: of N0: 3"})
    lines = imrmc_text(plan, readings_of(plan, guess)).splitlines()
    assert sum("NR:" in line for line in lines) == 1 and sum("BEGIN DATA:" in line for line in lines) == 1
    assert lines[2] == "NR: 6"


def test_imrmc_needs_both_kinds_of_pictures():
    plan = unpaired(cases=2)
    only_real = [row for row in readings_of(plan, guess) if arm_of(plan)[row.picture] == "real"]
    with pytest.raises(MedDiffError, match="real and of made"):
        imrmc_text(plan, only_real)


def test_the_table_has_a_line_a_reading_with_its_arm():
    plan = unpaired(cases=2)
    readings = readings_of(plan, lambda arm, rng: {**sure(arm, rng), "visibility": None})
    rows = list(csv.DictReader(io.StringIO(csv_text(plan, readings))))
    assert tuple(rows[0]) == COLUMNS and len(rows) == 24
    assert all((row["suspicion"] == "4") == (row["arm"] == "made") and row["visibility"] == "" for row in rows)
    assert {row["case"] for row in rows} == {p.case for arm in plan.arms for p in arm.pictures}


# ------------------------------------------------------------ pairs shown side by side


def test_the_share_of_right_choices_is_found_in_pairs_and_iMRMC_is_refused():
    labels = [f"pair {n}" for n in range(40)]
    plan = plan_of({"real": (Source.REAL, labels), "made": (Source.SYNTHETIC, labels)}, design=Design.PAIRS)
    rng = np.random.default_rng(1)
    said = []
    for who in plan.readers:
        for one, other in zip(*(sorted(arm.pictures, key=lambda p: p.case) for arm in plan.arms), strict=True):
            right = bool(rng.random() < 0.8)
            said += [reading(who, one.id, ai_suspected=not right), reading(who, other.id, ai_suspected=right)]
    result = analyse(plan, said, resamples=300)
    (found,) = result.detection
    assert found.afc2_of == "pairs shown side by side" and found.curve == () and found.auc == found.afc2
    low, high = found.afc2_interval
    assert 0.7 < low < found.afc2 < high < 0.9 and result.comparisons == ()
    with pytest.raises(MedDiffError, match="shows pairs, and iMRMC takes scores of single pictures"):
        imrmc_text(plan, said)
