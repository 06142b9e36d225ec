"""One patient over time: one anatomy, a lesion that changes as the law says, and measurements that would tell if it did not."""

import json

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import ndimage

from meddiff.case import MedDiffError, Request, Status, Task, Tolerance
from meddiff.conditions.masks import draw_ellipse, edit_region
from meddiff.synthesis.series import (
    DIFFERS,
    Plan,
    change_level,
    curve,
    lesion_by_difference,
    make_series,
    plan_of,
)

SENTENCE = "Axial T1 post-contrast, left frontal glioblastoma, 24 mm"
DAYS = (0, 60, 120)


def asked(sentence: str = SENTENCE, seed: int = 3) -> Request:
    return Request(sentence=sentence, seed=seed, steps=2, precision="fp32", tolerance=Tolerance(redraws=0))


def planned(days=DAYS, law: str = "gompertz", **options) -> Plan:
    return plan_of(asked(), days, law, redraws=0, **options)


@pytest.fixture(scope="module")
def studio(tiny_studio):
    return tiny_studio


@pytest.fixture(scope="module")
def series(studio):
    return make_series(planned(), studio)


# ---------------------------------------------------------------- the plan


def test_visits_are_put_into_order_and_a_plan_names_its_series():
    plan = planned(days=(120, 0, 60))
    assert plan.days == DAYS and plan.date_of(60) == "2030-03-02"
    assert plan.series_id() == planned().series_id() != planned(law="stable").series_id()
    assert Plan.model_validate_json(plan.canonical_json()) == plan


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"days": (0, 60, 60)}, "two visits on day 60"),
        ({"days": (-5, 60)}, "day -5 lies before the first visit"),
        ({"days": ()}, "at least 1"),
        ({"days": tuple(range(41))}, "at most 40"),
        ({"first_date": "in spring"}, "is no date"),
        ({"mass_effect": 1.5}, "less than or equal to 1"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_in_words(options, words):
    with pytest.raises(ValidationError, match=words):
        planned(**options)


def test_without_a_lesion_or_a_disease_there_is_no_series():
    with pytest.raises(MedDiffError, match="no lesion"):
        plan_of(asked("Axial T1 post-contrast, no focal lesion"), DAYS)
    with pytest.raises(MedDiffError, match="name one"):
        plan_of(asked("Axial T1 post-contrast, ring-enhancing left frontal mass, 24 mm"), DAYS)


def test_without_a_law_the_disease_follows_its_own():
    assert plan_of(asked(), DAYS).law.law == "gompertz"


def test_a_law_that_outgrows_the_head_names_the_day_before_anything_is_drawn(studio):
    with pytest.raises(MedDiffError, match=r"Day 900: The law outgrows the head"):
        make_series(planned(days=(0, 900), law="exponential:doubling_days=40"), studio)


# ---------------------------------------------------------------- the visits


def test_every_visit_is_a_sealed_case_of_one_series(series):
    assert len(series.visits) == 3
    for number, (visit, day) in enumerate(zip(series.visits, DAYS, strict=True), 1):
        told = visit.image.provenance.request.visit
        assert (told.number, told.of, told.day) == (number, 3, day)
        assert told.series == series.report.series and visit.case.request.task is Task.INSERT
    assert len({visit.case.id for visit in series.visits}) == 3
    boxes = {(v.image.box.row, v.image.box.column) for v in series.visits}
    assert len(boxes) == 1  # the stamp begins at the same place; how wide it is depends on the letters of the id


def test_outlines_have_the_areas_of_the_law_and_lie_in_each_other(series):
    first = series.visits[0].mask.sum()
    days, areas = curve(series.report.plan, float(first))
    for visit, day in zip(series.visits, DAYS, strict=True):
        assert visit.mask.sum() == pytest.approx(np.interp(day, days, areas), rel=0.01, abs=1)
    for one, other in zip(series.visits, series.visits[1:], strict=False):
        assert not (one.mask & ~other.mask).any() and other.mask.sum() > one.mask.sum()


def test_without_mass_effect_every_pixel_outside_the_edit_regions_is_the_same_before_its_marks(studio):
    made = make_series(planned(days=(0, 120), mass_effect=0), studio)
    first, last = (visit.image.pixels[: visit.image.height].astype(int) for visit in made.visits)
    still = ~np.logical_or.reduce([edit_region(v.mask, 8.0, (0.98, 0.98)) for v in made.visits])
    for visit in made.visits:
        still &= visit.image.outside_stamp[: visit.image.height]
    assert np.abs(first - last)[still].max() <= 4  # two invisible marks of two grey levels each
    assert len({v.image.provenance.request.background_sha256 for v in made.visits}) == 1
    assert made.report.visits[1].same_outside > 0.9999


def test_the_brain_moves_aside_only_where_it_is_near(series):
    hashes = {v.image.provenance.request.background_sha256 for v in series.visits}
    assert len(hashes) == 3
    assert min(row.same_outside for row in series.report.visits[1:]) > 0.98


def test_the_same_plan_gives_the_same_pixels(series, studio):
    again = make_series(planned(), studio)
    assert [v.image.provenance.pixel_sha256 for v in again.visits] == [
        v.image.provenance.pixel_sha256 for v in series.visits
    ]


def test_a_lesion_that_was_resected_is_gone_and_its_visit_says_no_lesion(studio):
    law = "resection:surgery_day=30,residual_share=0,recurrence_delay_days=200,recurrence_doubling_days=30"
    made = make_series(planned(days=(0, 60), law=law), studio)
    gone = made.visits[1]
    assert not gone.mask.any() and gone.case.request.findings.finding is None
    assert np.array_equal(gone.image.pixels, gone.twin.pixels)
    assert made.report.visits[1].measured_mm2 == 0 and made.report.visits[1].longest_mm == 0
    assert made.report.visits[1].rano.category == "CR"


def test_a_response_shrinks_and_satellites_and_a_core_are_drawn(studio):
    made = make_series(planned(law="response:nadir_share=0.3,nadir_day=120"), studio)
    assert made.visits[0].mask.sum() > made.visits[1].mask.sum() > made.visits[2].mask.sum()
    grown = make_series(planned(satellites=2, necrosis=0.6), studio)
    pieces = [ndimage.label(v.mask)[1] for v in grown.visits]
    assert pieces[0] == 1 and max(pieces) > 1


def test_follow_ups_may_differ_as_scanners_do_and_the_outline_turns_with_the_picture(studio):
    made = make_series(planned(acquisition=1.0, law="stable"), studio)
    first, second = made.visits[0].image.pixels, made.visits[1].image.pixels
    assert not np.array_equal(first[:200], second[:200])
    row = next(check for check in made.report.checks if "SSIM" in check.name)
    assert row.ok is None  # told, not judged
    overlap = (made.visits[0].mask & made.visits[1].mask).sum() / made.visits[0].mask.sum()
    assert 0.6 < overlap <= 1


def test_twenty_visits_are_made(studio):
    made = make_series(planned(days=tuple(range(0, 200, 10)), law="linear:mm_per_year=20"), studio)
    assert len(made.visits) == 20 and made.report.visits[-1].day == 190
    areas = [visit.mask.sum() for visit in made.visits]
    assert areas == sorted(areas)


def test_what_misses_is_rejected_in_words_and_the_report_survives_json(series):
    # Random weights draw no lesion: the areas must be found to miss.
    assert series.report.status is Status.REJECTED and "area" in series.report.reason
    assert type(series.report).model_validate_json(series.report.canonical_json()) == series.report
    assert json.loads(series.report.canonical_json())["visits"][0]["day"] == 0


# ---------------------------------------------------------------- measuring


def test_a_lesion_is_measured_by_what_its_twin_lacks():
    rng = np.random.default_rng(2)
    twin = np.clip(0.3 + 0.02 * rng.standard_normal((256, 256)), 0, 1).astype(np.float32)
    asked = draw_ellipse((256, 256), (120, 140), (14, 11))
    for truth in (asked, draw_ellipse((256, 256), (120, 140), (17, 13)), draw_ellipse((256, 256), (120, 140), (9, 8))):
        rim = truth & ~ndimage.binary_erosion(truth, iterations=4)
        picture = np.where(rim, 0.6, np.where(truth, 0.28, twin)).astype(
            np.float32
        )  # a ring whose core is like the brain
        found = lesion_by_difference(picture, twin, asked, change_level(picture, twin, asked))
        around = 2 * np.sqrt(np.pi * truth.sum())  # half a pixel all around is as near as it can be told
        assert found.sum() == pytest.approx(truth.sum(), abs=0.7 * around)
    assert change_level(twin, twin, asked) == DIFFERS
    assert not lesion_by_difference(twin, twin, asked, DIFFERS).any()
    far = np.where(draw_ellipse((256, 256), (40, 40), (10, 10)), 0.9, twin).astype(np.float32)
    assert not lesion_by_difference(far, twin, asked, DIFFERS).any()
