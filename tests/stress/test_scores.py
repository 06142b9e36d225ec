"""Scores of runs whose truth is known."""

import numpy as np
import pytest
from scipy.stats import fisher_exact

from meddiff.case import MedDiffError
from meddiff.stress import slices
from meddiff.stress.curves import area
from meddiff.stress.reads import reads_of
from meddiff.stress.records import Answer, Contract, Fault, FaultKind, Kind, Pair
from meddiff.stress.scores import Scores, score
from meddiff.stress.slices import attributes_of, design_effect, within_patients, worst_slices
from tests.stress.simulated import CONTRACTS, blind_in, mark_at, simulate

BOXES = "boxes.onnx"
NAMES = tuple(CONTRACTS)


@pytest.fixture(scope="module")
def outcomes():
    return simulate(40, names=NAMES)


@pytest.fixture(scope="module")
def scores(outcomes) -> Scores:
    return score(outcomes, CONTRACTS)


def answered(answers: list[Pair], **changes):
    """Outcomes with these answers, all of which count."""
    some = simulate(len(answers) // 9 + 1, rejected_at=(0, 0), faults=False)
    return [
        outcome.model_copy(update={"answers": {BOXES: pair}, "block": at, **changes})
        for at, (outcome, pair) in enumerate(zip(some, answers, strict=False))
    ]


def said(*marks) -> Answer:
    return Answer(score=max((mark.score for mark in marks), default=0), marks=marks)


def test_the_shares_are_those_counted_by_hand(outcomes, scores):
    counted = [outcome for outcome in outcomes if outcome.counts]
    found = [any(m.hit and m.score >= 0.5 for m in outcome.answers[BOXES].case.marks) for outcome in counted]
    marks = [sum(m.score >= 0.5 for m in outcome.answers[BOXES].twin.marks) for outcome in counted]
    told = scores.detector(BOXES)
    assert scores.trials == 360 and scores.counted == len(counted) < 360 and told.trials == len(counted)
    assert told.sensitivity.value == pytest.approx(np.mean(found))
    assert told.false_positives_per_twin.value == pytest.approx(np.mean(marks))
    assert told.false_positive_share.value == pytest.approx(np.mean(np.array(marks) > 0))
    assert told.pairs_right.value == pytest.approx(np.mean(np.array(found) & (np.array(marks) == 0)))
    for row in (told.sensitivity, told.false_positive_share, told.pairs_right, told.roc.area, told.calibration.brier):
        assert row.low < row.value < row.high


def test_a_mark_beside_the_lesion_finds_nothing_and_one_below_the_threshold_neither():
    beside, faint, right = mark_at(9, 9, 0.9, False), mark_at(60, 60, 0.4, True), mark_at(60, 60, 0.6, True)
    pairs = [Pair(case=said(*marks), twin=said()) for marks in ((beside,), (faint,), (right,), (beside, right), ())]
    reads = reads_of(BOXES, CONTRACTS[BOXES], answered(pairs))
    assert reads.found.tolist() == [False, False, True, True, False]
    assert reads.located.tolist() == [-np.inf, 0.4, 0.6, -np.inf, -np.inf]  # the highest mark decides
    assert reads.hit.tolist() == [-np.inf, 0.4, 0.6, 0.6, -np.inf] and reads.false_marks.tolist() == [0.9, 0.9]


def test_a_fault_is_a_miss_in_the_case_and_no_mark_in_the_twin(scores):
    crash, hang = scores.detector(BOXES).faults
    assert (crash.kind, crash.cases, crash.twins, crash.trials) == (FaultKind.CRASH, 2, 0, (9, 10))
    assert (hang.kind, hang.cases, hang.twins) == (FaultKind.HANG, 0, 1)
    assert crash.messages == (("ValueError: <shape> & 'size' disagree", 2),) and scores.detector(BOXES).fault_count == 3
    broken = Answer(fault=Fault(kind=FaultKind.NONSENSE, message="nan"))
    for kind in Kind:  # even where every score would do
        reads = reads_of(BOXES, Contract(kind=kind, threshold=0), answered([Pair(case=broken, twin=broken)]))
        assert not reads.found.any() and not reads.alarm.any() and reads.marks.tolist() == [0]


def test_what_does_not_count_is_counted_by_level_and_pointed_at(outcomes, scores):
    rows = {(row.factor, row.level): row for row in scores.acceptance}
    small = rows["size_mm", "8"]
    assert small.trials == 120 and small.counted == sum(o.counts and o.levels["size_mm"] == 8 for o in outcomes)
    assert rows["size_mm", "32"].counted == 120 and sum(row.trials for row in scores.acceptance) == 720
    assert scores.reasons == (("the lesion is smaller than asked", 360 - scores.counted),)
    assert any("unequally often by size_mm" in note and "at 8" in note for note in scores.notes)
    assert not any("by noise" in note or "patients are scored" in note for note in scores.notes)
    assert any("Only 9 patients are scored" in note for note in score(outcomes[:81], CONTRACTS).notes)


def test_sensitivity_by_level_is_that_of_its_trials(outcomes, scores):
    by_name = {row.attribute: row for row in scores.detector(BOXES).subgroups}
    noise = by_name["noise"]
    assert noise.source == "factor" and [group.level for group in noise.groups] == ["0", "1", "2"]
    reads = reads_of(BOXES, CONTRACTS[BOXES], counted := [o for o in outcomes if o.counts])
    loud = np.array([outcome.levels["noise"] == 2 for outcome in counted])
    assert noise.groups[2].sensitivity.value == pytest.approx(reads.found[loud].mean())
    assert noise.groups[2].sensitivity.n == loud.sum() and noise.gap.low <= noise.gap.value <= noise.gap.high
    assert by_name["measured conspicuity"].p_holm < 1e-4 and by_name["measured conspicuity"].worst == "0 to 1.5"
    assert by_name["sex"].p_holm > 0.05 and "size_mm" in by_name
    assert "measured size" not in by_name  # it divides the trials as the factor does


def test_of_one_factor_at_a_time_a_level_is_compared_where_the_others_are_usual():
    usual = {"size_mm": 16.0, "noise": 0.0}
    changes = [{}, {}, {"size_mm": 8.0}, {"noise": 2.0}, {"noise": 1.0}]
    some = simulate(5, faults=False)
    planned = [o.model_copy(update={"levels": usual | changes[at % 5]}) for at, o in enumerate(some)]
    size, noise, *_ = attributes_of(planned)
    assert (size.level >= 0).tolist() == [at % 5 < 3 for at in range(45)]
    assert (noise.level >= 0).tolist() == [at % 5 != 2 for at in range(45)]
    assert all((attribute.level >= 0).all() for attribute in attributes_of(some)[:2])  # a factorial uses all


def test_levels_of_a_latin_hypercube_are_gathered_in_bands():
    rng = np.random.default_rng(0)
    drawn = [o.model_copy(update={"levels": {"noise": float(rng.uniform(0, 2))}}) for o in simulate(20, faults=False)]
    scores = score(drawn, CONTRACTS)
    noise = scores.detector(BOXES).subgroups[0]
    counted = [outcome for outcome in drawn if outcome.counts]
    assert noise.attribute == "noise" and len(noise.groups) == len({row.level for row in scores.acceptance}) == 5
    assert sum(group.sensitivity.n for group in noise.groups) == len(counted)
    assert sum(row.trials for row in scores.acceptance) == 180
    assert {group.sensitivity.n for group in noise.groups} <= {len(counted) // 5, len(counted) // 5 + 1}


def test_a_factor_and_what_was_asked_do_not_take_the_same_name():
    planned = [
        o.model_copy(update={"levels": {"plane": "axial" if at % 4 else "coronal", "noise": float(at % 2)}})
        for at, o in enumerate(simulate(20, faults=False))
    ]
    names = [row.attribute for row in score(planned, CONTRACTS).detector(BOXES).subgroups]
    assert names[:3] == ["plane", "noise", "asked plane"] and len(set(names)) == len(names)


def test_the_curves_end_where_they_must(scores):
    for detector in scores.detectors:
        curve = np.array(detector.roc.curve)
        assert curve[0].tolist() == [0, 0] and curve[-1].tolist() == [1, 1] and (np.diff(curve, axis=0) >= 0).all()
        assert detector.roc.area.value == pytest.approx(np.trapezoid(curve[:, 1], curve[:, 0]), abs=0.01)
    boxes, classifier = scores.detector(BOXES), scores.detector("classifier.onnx")
    assert classifier.froc is None and classifier.lroc is None
    assert boxes.lroc.area.value < boxes.roc.area.value  # a case is also told by a mark at the wrong place
    assert boxes.froc.operating[1] == pytest.approx(boxes.sensitivity.value)
    assert boxes.froc.curve[-1][1] <= 1 and boxes.froc.pictures == 2 * boxes.trials


def test_the_froc_of_three_pictures_by_hand():
    hit, wrong = mark_at(60, 60, 0.8, True), mark_at(9, 9, 0.6, False)
    pairs = [
        Pair(case=said(hit, wrong), twin=said(wrong)),
        Pair(case=said(mark_at(60, 60, 0.4, True)), twin=said()),
        Pair(case=said(), twin=said(mark_at(9, 9, 0.9, False))),
    ]
    froc = score(answered(pairs), CONTRACTS).detector(BOXES).froc
    known = [(0, 0), (1 / 6, 0), (1 / 6, 1 / 3), (3 / 6, 1 / 3), (3 / 6, 2 / 3)]
    assert np.array(froc.curve) == pytest.approx(np.array(known)) and froc.operating == pytest.approx((0.5, 1 / 3))


def test_an_area_is_the_share_of_pairs_in_the_right_order():
    cases, twins = np.array([0.9, 0.5, 0.1]), np.array([0.5, 0.2])
    assert area(cases, twins) == pytest.approx((2 + 1.5 + 0) / 6)
    pairs = [Pair(case=Answer(score=c), twin=Answer(score=t)) for c, t in ((0.9, 0.5), (0.5, 0.2), (0.1, 0.2))]
    told = score(answered(pairs), {BOXES: CONTRACTS["classifier.onnx"]}).detector(BOXES)
    assert told.roc.area.value == pytest.approx(area(cases, np.array([0.5, 0.2, 0.2])))


def test_calibration_knows_probabilities_from_boasts():
    rng = np.random.default_rng(0)
    honest = rng.random(200)
    pairs = [Pair(case=Answer(score=max(p, 1 - p)), twin=Answer(score=min(p, 1 - p))) for p in honest]
    told = score(answered(pairs), {BOXES: CONTRACTS["classifier.onnx"]}).detector(BOXES).calibration
    assert told.brier.value == pytest.approx(np.mean(np.minimum(honest, 1 - honest) ** 2), abs=1e-6)
    boasts = [Pair(case=Answer(score=0.95), twin=Answer(score=0.95 if at % 2 else 0.05)) for at in range(100)]
    told = score(answered(boasts), {BOXES: CONTRACTS["classifier.onnx"]}).detector(BOXES).calibration
    assert told.bins[-1].share == pytest.approx(2 / 3) and told.bins[-1].n == 150
    assert told.ece.value == pytest.approx((150 * (0.95 - 2 / 3) + 50 * 0.05) / 200)


def test_of_a_classifier_the_guess_rate_is_its_false_alarms_and_who_points_does_not_guess(scores):
    classifier = scores.detector("classifier.onnx")
    assert classifier.psychometric.gamma == pytest.approx(classifier.false_positive_share.value)
    assert scores.detector(BOXES).psychometric.gamma == 0


def test_a_planted_slice_is_found_and_nothing_that_only_repeats_it():
    outcomes = simulate(80, truth=blind_in("posterior fossa"), faults=False)
    told = score(outcomes, CONTRACTS).detector(BOXES)
    planted = next(row for row in told.worst if row.conditions == (("measured region", "posterior fossa"),))
    assert planted.q < 0.01 and planted.sensitivity < 0.15 < planted.rest and told.slices_looked_at > 100
    repeats = [row for row in told.worst if len(row.conditions) == 2 and planted.conditions[0] in row.conditions]
    assert all("measured conspicuity" in dict(row.conditions) for row in repeats)  # which is a truth of its own
    assert planted.words == "measured region posterior fossa"


def test_where_nothing_but_chance_differs_no_slice_is_found(monkeypatch):
    """Patients differ, and all their nine trials with them: counted as independent, half of these runs find slices."""

    def runs_that_find() -> int:
        found = 0
        for seed in range(3):
            rng = np.random.default_rng(seed)
            liked = rng.beta(1, 1, 40)
            right, wrong = said(mark_at(60, 60, 0.9, True)), said()
            outcomes = [
                o.model_copy(
                    update={
                        "answers": {BOXES: Pair(case=right if rng.random() < liked[o.block] else wrong, twin=wrong)},
                        "measures": o.measures.model_copy(update={"conspicuity_acquired": float(rng.uniform(0.5, 8))}),
                    }
                )
                for o in simulate(40, seed, faults=False, rejected_at=(0, 0))
            ]
            reads = reads_of(BOXES, CONTRACTS[BOXES], outcomes)
            found += bool(worst_slices(reads, attributes_of(outcomes))[0])
        return found

    assert runs_that_find() == 0
    monkeypatch.setattr(slices, "within_patients", lambda found, place: 0.0)
    assert runs_that_find() >= 1


def test_of_independent_trials_a_slice_is_judged_by_fishers_exact_test():
    outcomes = [o.model_copy(update={"block": o.trial}) for o in simulate(40, truth=blind_in("parietal"), faults=False)]
    outcomes = [outcome for outcome in outcomes if outcome.counts]
    reads = reads_of(BOXES, CONTRACTS[BOXES], outcomes)
    row = next(r for r in worst_slices(reads, attributes_of(outcomes))[0] if r.words == "measured region parietal")
    others, n = int(reads.found.sum()) - row.found, len(outcomes) - row.n
    table = [[row.found, row.n - row.found], [others, n - others]]
    assert row.p == pytest.approx(fisher_exact(table, alternative="less").pvalue)


def test_the_correlation_within_patients_is_the_one_that_was_put_in():
    rng = np.random.default_rng(0)
    place = np.repeat(np.arange(2000), 6)
    found = rng.random(12_000) < np.repeat(rng.beta(2, 2, 2000), 6)  # of a beta: 1 / (a + b + 1)
    assert within_patients(found, place) == pytest.approx(0.2, abs=0.02)
    assert within_patients(rng.random(12_000) < 0.5, place) < 0.02
    assert design_effect(place, 0.2) == pytest.approx(2) and design_effect(np.arange(9), 0.9) == 1


def test_scores_go_to_json_and_back_and_are_the_same_again(scores):
    assert Scores.model_validate_json(scores.canonical_json()) == scores
    outcomes = simulate(8)
    assert score(outcomes[::-1] + outcomes[:40], CONTRACTS) == score(outcomes, CONTRACTS)  # a trial twice counts once


def test_a_run_that_has_not_begun_says_nothing_and_does_not_fall():
    nothing = score([], {})
    assert nothing.trials == 0 and nothing.detectors == () and nothing.comparisons == ()
    (one,) = score([simulate(1)[0].model_copy(update={"counts": False})], CONTRACTS).detectors
    assert one.sensitivity.value is None and one.psychometric.said == "No trial was scored."
    (one,) = score(simulate(1, faults=False)[3:4], CONTRACTS).detectors
    assert one.trials == 1 and one.worst == () and one.sensitivity.high - one.sensitivity.low > 0.7


def test_a_detector_without_a_contract_is_named():
    with pytest.raises(MedDiffError, match=r"second\.onnx"):
        score(simulate(1, names=(BOXES, "second.onnx")), {BOXES: CONTRACTS[BOXES]})
    with pytest.raises(MedDiffError, match="No detector is called 'mine'"):
        score([], {}).detector("mine")
