"""A plan is data: read, checked with a sentence for what is wrong, and laid out as the design says."""

import collections
import itertools
import json

import numpy as np
import pytest

from meddiff.case import MedDiffError, Plane
from meddiff.imaging.acquisition import SEVERITIES
from meddiff.stress.plan import ACQUISITION, LEVELS, Design, StressPlan, read_plan, strength, trials


def plan_of(**fields):
    return StressPlan.model_validate({"patients": 3, **fields})


def test_one_at_a_time_varies_one_factor_and_begins_acquisitions_at_zero():
    plan = plan_of(factors={"size_mm": [10, 30], "noise": "all", "blur": [2]}, base={"pathology": "glioma"})
    laid = list(trials(plan))
    assert len(laid) == plan.trials() == 3 * (1 + 2 + 5 + 1) and [t.number for t in laid] == list(range(27))
    reference = [t for t in laid if t.levels == {"noise": 0.0, "blur": 0.0}]
    assert len(reference) == 3 and all(t.acquisition is None for t in reference)
    assert all(len(t.levels) == 1 for t in laid if t not in reference)
    assert all(t.request.findings.finding.pathology == "glioma" for t in laid)
    assert {t.request.findings.finding.size_mm for t in laid} == {None, 10.0, 30.0}


def test_without_an_acquisition_no_reference_is_needed():
    assert [t.levels for t in trials(plan_of(patients=1, factors={"size_mm": [10, 20]}))] == [
        {"size_mm": 10},
        {"size_mm": 20},
    ]
    assert [t.levels for t in trials(plan_of(patients=1))] == [{}]


def test_a_patient_is_one_seed_under_every_level_and_cases_to_share_stand_together():
    laid = list(trials(plan_of(design="full", factors={"noise": [0, 3], "size_mm": [10, 30], "jpeg": [0, 5]})))
    assert len(laid) == 3 * 8
    by_patient = {block: {t.request.seed for t in group} for block, group in itertools.groupby(laid, lambda t: t.block)}
    assert all(len(seeds) == 1 for seeds in by_patient.values()) and len(set(map(tuple, by_patient.values()))) == 3
    runs = [key for key, _ in itertools.groupby(laid, lambda t: (t.block, t.request))]
    assert len(runs) == 3 * 2


def test_a_fractional_design_is_balanced_and_its_parts_make_the_whole():
    factors = {"size_mm": [10, 20, 30], "noise": [0, 2, 4], "margin": ["smooth", "irregular"]}
    laid = list(trials(plan_of(design="fractional", fraction=3, patients=3, factors=factors)))
    parts = collections.defaultdict(list)
    for t in laid:
        parts[t.block].append(tuple(t.levels[name] for name in factors))
    assert sorted(itertools.chain(*parts.values())) == sorted(itertools.product(*factors.values()))
    for part in parts.values():
        assert len(part) == 6
        for at in range(2):
            counts = collections.Counter(cell[at] for cell in part)
            assert set(counts.values()) == {2}
    with pytest.raises(MedDiffError, match="leaves nothing of 2 combinations"):
        list(trials(plan_of(design="fractional", fraction=60, factors={"margin": ["smooth", "irregular"]})))


def test_a_latin_hypercube_spreads_each_factor_evenly():
    plan = plan_of(
        design=Design.LATIN_HYPERCUBE, patients=20, factors={"size_mm": [10, 50], "noise": [0, 5], "region": "all"}
    )
    laid = list(trials(plan))
    assert len(laid) == plan.trials() == 20
    for name, high, low in (("size_mm", 50, 10), ("noise", 5, 0)):
        drawn = np.array([t.levels[name] for t in laid])
        assert sorted(((drawn - low) / (high - low) * 20).astype(int).clip(0, 19)) == list(range(20))
    assert {t.levels["region"] for t in laid} == set(LEVELS["region"])


def test_the_same_plan_gives_the_same_trials_and_another_seed_other_patients():
    plan = plan_of(factors={"noise": "all"})
    assert list(trials(plan)) == list(trials(StressPlan.model_validate_json(plan.canonical_json())))
    other = list(trials(plan.model_copy(update={"seed": 1})))
    assert not {t.request.seed for t in other} & {t.request.seed for t in trials(plan)}


@pytest.mark.parametrize("name", ACQUISITION)
def test_severities_are_the_tables_and_between_them_lines(name):
    table = SEVERITIES[ACQUISITION[name]]
    assert [strength(name, severity) for severity in range(1, 6)] == pytest.approx(table)
    low, between, high = sorted((table[1], strength(name, 2.5), table[2]))
    assert low < between < high


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"factors": {"fog": [1]}}, "'fog' is no factor"),
        ({"factors": {"size_mm": [2, 30]}}, "size_mm 2.* is not possible: give a number from 4 to 120"),
        ({"factors": {"noise": [6]}}, "noise 6.* is not possible"),
        ({"factors": {"lesions": [1.5]}}, "give a whole number from 1 to 5"),
        ({"factors": {"margin": ["spiky"]}}, "choose among smooth, irregular"),
        ({"factors": {"margin": []}}, "'margin' has no level"),
        ({"factors": {"noise": [1, 1]}}, "names a level twice"),
        ({"factors": {"noise": [1]}, "base": {"noise": 2}}, "stands in base and in factors"),
        ({"base": {"pathology": "cold"}}, "pathology 'cold' is not known"),
        ({"patients": 50_000, "factors": {"noise": "all"}}, "300,000 trials, more than 100,000"),
        ({"design": "square"}, "design"),
        ({"patiens": 3}, "patiens"),
    ],
)
def test_a_plan_that_cannot_be_run_is_refused_with_what_is_wrong(tmp_path, fields, said):
    import json

    (tmp_path / "plan.json").write_text(json.dumps(fields))
    with pytest.raises(MedDiffError, match=said):
        read_plan(tmp_path / "plan.json")


def test_a_plan_is_read_from_yaml(tmp_path):
    path = tmp_path / "plan.yaml"
    path.write_text(
        "name: sizes\npatients: 2\nbase: {plane: coronal}\nfactors:\n  size_mm: [10, 20]\n  noise: all\n  side:\n"
    )
    plan = read_plan(path)
    assert plan.factors == {"size_mm": (10.0, 20.0), "noise": (1.0, 2.0, 3.0, 4.0, 5.0), "side": ("left", "right")}
    assert all(t.request.findings.plane is Plane.CORONAL for t in trials(plan))
    for text, said in (("- a", "holds no fields"), ("a: [", "line 1 is no YAML"), ("a: b: c", "is no YAML")):
        path.write_text(text)
        with pytest.raises(MedDiffError, match=said):
            read_plan(path)
    with pytest.raises(MedDiffError, match="cannot be read"):
        read_plan(tmp_path / "none.yaml")


def test_trials_are_numbered_alike_in_whatever_order_factors_are_written():
    levels = {"noise": [1, 3], "blur": [2, 4], "size_mm": [10, 30]}
    one, other = StressPlan(factors=levels), StressPlan(factors=dict(reversed(levels.items())))
    again = StressPlan.model_validate(json.loads(json.dumps(one.model_dump(mode="json"), sort_keys=True)))
    assert list(trials(one)) == list(trials(other)) == list(trials(again))
