"""Gaps that are there are found, gaps by chance are not called such, and what nobody knows is said to be unknown."""

import numpy as np
import pytest

from meddiff.case import Clinical, Sex
from meddiff.evaluation.fairness import (
    MEASURES,
    age_band,
    fairness,
    gap,
    gap_figures,
    gap_p,
    group_figures,
    groups_of,
    size_class,
)
from tests.evaluation.made_up import heads, material_of


def made_up(count: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        m.key: (rng.random(count) < 0.7).astype(float) if m.share else rng.normal(0.7, 0.1, count) for m in MEASURES
    }


def test_sizes_and_ages_fall_into_their_bands():
    assert [size_class(mm) for mm in (5, 19.9, 20, 35, 90)] == [
        "below_20_mm", "below_20_mm", "20_to_35_mm", "above_35_mm", "above_35_mm",
    ]  # fmt: skip
    assert [age_band(a) for a in (None, 0, 39.5, 40, 65, 120)] == [
        None, "below_40", "below_40", "40_to_64", "from_65", "from_65",
    ]  # fmt: skip


def test_the_gap_is_between_the_best_and_the_worst_group_and_leaves_out_tiny_ones():
    groups = ["a"] * 6 + ["b"] * 6 + ["c"]
    values = np.array([1.0] * 6 + [0.4] * 6 + [-9])
    assert gap(values, groups) == pytest.approx(0.6)
    assert np.isnan(gap(values, ["a"] * 13)) and np.isnan(gap(values, [None] * 13))


def test_a_planted_gap_is_significant_and_chance_is_not():
    rng = np.random.default_rng(0)
    groups = [("a", "b", "c")[i % 3] for i in range(90)]
    fair = rng.normal(0.7, 0.1, 90)
    unfair = fair - 0.2 * np.array([g == "b" for g in groups])
    assert gap_p(unfair, groups) < 0.001
    assert gap_p(fair, groups) > 0.05


def test_p_is_uniform_where_there_is_no_gap():
    rng = np.random.default_rng(1)
    groups = [("a", "b")[i % 2] for i in range(40)]
    p = np.array([gap_p(rng.normal(size=40), groups, seed=i, permutations=400) for i in range(200)])
    assert (p < 0.05).mean() < 0.1 and 0.4 < p.mean() < 0.6


def test_values_that_were_not_measured_do_not_count():
    groups = ["a", "b"] * 12
    assert np.isnan(gap_p(np.array([1.0, np.nan] * 12), groups))  # nothing of b was measured: there is no gap
    values = np.random.default_rng(0).normal(size=24)
    some = np.append(values, np.nan)
    assert gap(some, [*groups, "a"]) == gap(values, groups)


def test_holm_counts_all_gaps_and_a_planted_one_is_named():
    made, real = made_up(90), made_up(300, 1)
    groups = {"plane": [("axial", "coronal", "sagittal")[i % 3] for i in range(90)], "age": [None] * 90}
    theirs = {"plane": [("axial", "coronal", "sagittal")[i % 3] for i in range(300)], "age": [None] * 300}
    made["dice"] -= 0.3 * np.array([g == "coronal" for g in groups["plane"]])
    rows = {f.key: f for f in gap_figures(made, groups, real, theirs)}
    assert len(rows) == len(MEASURES)  # of the plane alone: nobody's age is known
    assert rows["fairness.gap.plane.dice"].value == pytest.approx(0.3, abs=0.05)
    assert "more than chance" in rows["fairness.gap.plane.dice"].note
    assert f"for {len(MEASURES)} gaps" in rows["fairness.gap.plane.dice"].note
    assert rows["fairness.gap.plane.dice"].real < 0.1
    assert "more than chance" not in rows["fairness.gap.plane.distance"].note


def test_age_and_sex_are_unknown_until_a_request_names_them(tmp_path, tiny_studio):
    material = material_of(tmp_path, heads(6, 3), studio=tiny_studio)
    groups = groups_of(material.made, material.requests)
    assert groups["age"] == [None] * 6 and groups["sex"] == [None] * 6
    told = [
        request.model_copy(
            update={"clinical": Clinical(age_years=30 + 20 * (i % 2), sex=Sex.FEMALE if i < 4 else Sex.UNKNOWN)}
        )
        for i, request in enumerate(material.requests)
    ]
    groups = groups_of(material.made, told)
    assert groups["age"] == ["below_40", "40_to_64"] * 3
    assert groups["sex"] == ["female"] * 4 + [None] * 2
    made = made_up(6)
    keys = {f.key for f in group_figures(made, groups, made_up(20, 1), groups_of(material.val))}
    assert {"fairness.age.40_to_64.dice", "fairness.sex.female.type"} <= keys
    assert not any("unknown" in key for key in keys)


def test_every_measure_has_a_figure_in_every_group_with_an_interval():
    pictures = heads(30)
    made = made_up(30)
    groups = groups_of(pictures)
    rows = {f.key: f for f in group_figures(made, groups, made, groups)}
    for level in ("axial", "coronal", "sagittal"):
        for measure in MEASURES:
            row = rows[f"fairness.plane.{level}.{measure.key}"]
            assert row.low <= row.value <= row.high and row.count == 10 and row.real == pytest.approx(row.value)
    unknown = rows["fairness.age.unknown"]
    assert unknown.value is None and "neither the data set" in unknown.note


def test_the_part_runs_without_making_a_picture(tmp_path, tiny_studio, monkeypatch):
    material = material_of(tmp_path, heads(6, 3), studio=tiny_studio)
    monkeypatch.setattr(type(tiny_studio), "make_lesion", None)
    found = fairness(material, lambda *what: None)
    keys = [figure.key for figure in found.figures]
    assert len(keys) == len(set(keys)) and "fairness.sex.unknown" in keys
