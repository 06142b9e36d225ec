"""One trial in this process: what is fair to a detector, several lesions in a slice, what cannot be made."""

from dataclasses import replace

import numpy as np
import pytest

from meddiff.case import Status
from meddiff.stress.lab import DRAWN, Lab
from meddiff.stress.plan import StressPlan, trials
from meddiff.stress.records import DetectorSpec

BASE = {"patients": 1, "steps": 1, "precision": "fp32", "redraws": 0, "base": {"pathology": "glioma"}}


def plan_of(**fields):
    return StressPlan.model_validate({**BASE, **fields})


def made(lab):
    return [one for trial in trials(lab.plan) for one in lab.run([trial])]


def test_a_case_is_fair_where_a_lesion_was_drawn_and_not_where_nothing_was(tiny_house, monkeypatch):
    with Lab(plan_of(factors={"size_mm": [25]})) as lab:
        (trial,) = trials(lab.plan)
        (one,) = lab.run([trial])
        assert one.outcome.counts and one.outcome.measured.drawn >= DRAWN
        attempt = lab._attempt(trial)
        same = replace(attempt.made, twin_picture=attempt.made.picture)
        assert "no lesion was drawn" in lab._unfair(replace(attempt, made=same))


def test_under_the_strict_bound_the_check_decides(tiny_house):
    with Lab(plan_of(factors={"size_mm": [25]}, bound="check")) as lab:
        (one,) = made(lab)
        assert one.outcome.counts is one.outcome.accepted is (one.case.case.status is Status.ACCEPTED)


def test_several_lesions_lie_apart_and_are_measured_by_the_largest(tiny_house):
    with Lab(plan_of(factors={"lesions": [1, 3]}, base={"pathology": "meningioma", "size_mm": 15})) as lab:
        one, three = made(lab)
    assert (one.outcome.measured.lesions, three.outcome.measured.lesions) == (1, 3)
    assert three.outcome.measured.size_mm == pytest.approx(15, abs=1.5)
    assert (
        three.case.mask & one.case.mask
    ).sum() == one.case.mask.sum() and three.case.mask.sum() > 2 * one.case.mask.sum()


def test_what_cannot_be_made_is_an_outcome_that_says_why(tiny_house, monkeypatch):
    monkeypatch.setattr("meddiff.stress.lab.TRIES", 1)
    plan = plan_of(factors={"lesions": [5]}, base={"pathology": "glioma", "size_mm": 70})
    with Lab(plan, [DetectorSpec(spec="tests.stress.seeing:left_half")]) as lab:
        (one,) = made(lab)
    assert one.case is None and not one.outcome.counts and one.outcome.measures is None and not one.outcome.answers
    assert one.outcome.reason.startswith("cannot be made: 5 lesions of 70 mm do not find room")


def test_a_lesion_that_turns_out_of_the_picture_does_not_count(tiny_house):
    with Lab(plan_of(factors={"rotation": [5]})) as lab:
        before, after = made(lab)
        assert after.outcome.counts and not np.array_equal(before.case.mask, after.case.mask)
        assert after.outcome.measured.conspicuity_acquired <= after.outcome.measured.conspicuity
