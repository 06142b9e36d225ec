"""Thresholds: their grammar, their directions, and what fails."""

import pytest

from meddiff.case import MedDiffError
from meddiff.stress.scores import score
from meddiff.stress.thresholds import LEAST, MEASURES, MOST, check, failed, parse
from tests.stress.simulated import CONTRACTS, simulate

NAMES = ("boxes.onnx", "classifier.onnx")


@pytest.fixture(scope="module")
def scores():
    return score(simulate(24, names=NAMES), CONTRACTS)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("sensitivity=0.8", ("sensitivity", "", "", "", 0.8)),
        (" sensitivity.size_mm.20 = .7 ", ("sensitivity", "size_mm", "20", "", 0.7)),
        ("sensitivity.noise.0.5@mine.onnx=0.7", ("sensitivity", "noise", "0.5", "mine.onnx", 0.7)),
        (
            "sensitivity.measured region.posterior fossa=0.1",
            ("sensitivity", "measured region", "posterior fossa", "", 0.1),
        ),
        ("faults=0", ("faults", "", "", "", 0)),
        ("c80@a=b=2.5", ("c80", "", "", "a=b", 2.5)),
    ],
)
def test_a_threshold_is_read(text, parts):
    found = parse(text)
    assert (found.measure, found.factor, found.level, found.detector, found.limit) == parts


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sensitivity", "is no threshold"),
        ("recall=0.8", "names no measure"),
        ("auc.size_mm.8=0.8", "only sensitivity is told by level"),
        ("sensitivity=much", "no number"),
        ("sensitivity=nan", "no number"),
    ],
)
def test_what_is_no_threshold_is_said(text, words):
    with pytest.raises(MedDiffError, match=words):
        parse(text)


@pytest.mark.parametrize("measure", MEASURES)
def test_each_measure_is_judged_in_its_direction(measure, scores):
    (verdict,) = check([f"{measure}@boxes.onnx=0"], scores)
    assert verdict.direction == MEASURES[measure][0]
    value = verdict.value
    if value is None:
        assert not verdict.passed
        return
    step = 0.001 if verdict.direction == LEAST else -0.001
    for limit, passed in ((value, True), (value - step, True), (value + step, False)):
        assert check([f"{measure}@boxes.onnx={limit!r}"], scores)[0].passed is passed


def test_strictly_the_bad_end_of_the_interval_is_judged(scores):
    for text, end in (("sensitivity@boxes.onnx", "low"), ("false_positive_share@boxes.onnx", "high")):
        (verdict,) = check([f"{text}=0.5"], scores)
        bad = getattr(verdict, end)
        between = (verdict.value + bad) / 2
        assert check([f"{text}={between}"], scores)[0].passed
        (strict,) = check([f"{text}={between}"], scores, strict=True)
        assert not strict.passed and "judged by the" in strict.said
        assert check([f"{text}={bad!r}"], scores, strict=True)[0].passed


def test_without_a_detector_all_must_and_without_a_level_all_levels(scores):
    assert [v.detector for v in check(["auc=0.5"], scores)] == list(NAMES)
    rows = check(["sensitivity.size_mm@boxes.onnx=0"], scores)
    assert [row.name for row in rows] == [f"sensitivity at size_mm {level}" for level in ("8", "16", "32")]
    told = {
        g.level: g.sensitivity.value
        for s in scores.detectors[0].subgroups
        if s.attribute == "size_mm"
        for g in s.groups
    }
    assert [row.value for row in rows] == list(told.values())
    least = min(told.values())
    rows = check([f"sensitivity.size_mm@boxes.onnx={least + 1e-6}"], scores)
    assert [row.value for row in failed(rows)] == [least]


def test_what_could_not_be_told_fails_with_the_reason(scores):
    (verdict,) = check(["lroc@classifier.onnx=0.1"], scores)
    assert not verdict.passed and "does not say where" in verdict.said
    easy = score(simulate(10, truth=lambda levels, m: 1.0, faults=False), CONTRACTS)
    (verdict,) = check(["c80=100"], easy)
    assert not verdict.passed and "Every lesion was found" in verdict.said
    nothing = score([simulate(1)[0].model_copy(update={"counts": False})], CONTRACTS)
    assert "no trial was scored" in check(["sensitivity=0.1"], nothing)[0].said


def test_faults_are_counted(scores):
    broken, whole = check(["faults=0"], scores)
    assert (broken.value, broken.passed, whole.value, whole.passed) == (3, False, 0, True)
    assert broken.said == "faults of boxes.onnx: 3; it must be at most 0." and broken.direction == MOST
    assert check(["faults@boxes.onnx=3"], scores, strict=True)[0].passed


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("auc@mine=0.5", "boxes.onnx, classifier.onnx"),
        ("sensitivity.blur=0.5", "there is size_mm, noise"),
        ("sensitivity.size_mm.20=0.5", "there is 8, 16, 32"),
    ],
)
def test_what_the_run_does_not_have_is_named_with_what_it_has(text, words, scores):
    with pytest.raises(MedDiffError, match=words):
        check([text], scores)


def test_a_run_without_answers_judges_nothing():
    with pytest.raises(MedDiffError, match="no detector"):
        check(["faults=0"], score([], {}))
