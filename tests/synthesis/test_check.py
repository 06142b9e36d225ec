"""The check sees what is there."""

import numpy as np
import pytest
from scipy import ndimage

from meddiff.case import Finding, Findings, Margin, Plane, Region, Request, Side, Status, Task
from meddiff.synthesis.check import check, dice
from meddiff.synthesis.finder import Found


class Painted:
    """A finder whose answers are known: what is brighter than 0.6 inside the head is the lesion."""

    def find(self, pictures):
        bright = np.stack(
            [(p > 0.6) & ndimage.binary_erosion(ndimage.binary_fill_holes(p > 0.2), iterations=16) for p in pictures]
        )
        return Found(bright.astype(np.float32), np.tile([0.1, 0.8, 0.1], (len(pictures), 1)))


REQUEST = Request(findings=Findings(plane=Plane.AXIAL, finding=Finding(pathology="glioma", side=Side.LEFT)))


@pytest.fixture
def healthy(phantom, phantom_mask):
    return np.where(ndimage.binary_dilation(phantom_mask, iterations=2), 0.35, phantom).astype(np.float32)


def judge(picture, twin, outline, outside=0):
    return check(REQUEST, "glioma", picture, twin, outline, outside, Painted(), 0.98)


def test_what_was_asked_and_is_there_is_accepted(phantom, healthy, phantom_mask):
    verdict = judge(phantom, healthy, phantom_mask)
    assert verdict.status is Status.ACCEPTED and not verdict.reason
    rows = {row.name: row for row in verdict.measurements}
    assert rows["overlap with the outline (Dice)"].value > 0.9
    assert rows["side"].measured == "left"
    assert rows["longest diameter"].ok


def test_a_lesion_that_is_missing_elsewhere_or_left_in_the_twin_is_rejected_in_words(phantom, healthy, phantom_mask):
    assert "elsewhere or not at all" in judge(healthy, healthy, phantom_mask).reason
    moved = np.roll(phantom_mask, 60, 0)
    assert "none was asked" in judge(phantom, healthy, moved).reason
    assert "twin" in judge(phantom, phantom, phantom_mask).reason


def test_one_grey_level_outside_the_edit_region_is_one_too_many(phantom, healthy, phantom_mask):
    assert "outside the edit region" in judge(phantom, healthy, phantom_mask, outside=1).reason


def test_a_removal_is_judged_by_what_is_left_not_by_what_was_given(phantom, healthy, phantom_mask):
    request = Request(task=Task.REMOVE, background_sha256="0" * 64, findings=Findings(plane=Plane.AXIAL))

    def taken_out(given, made):
        return check(request, None, given, made, phantom_mask, 0, Painted(), 0.98)

    assert taken_out(phantom, healthy).status is Status.ACCEPTED
    failed = taken_out(phantom, phantom)
    assert failed.status is Status.REJECTED and "still" in failed.reason
    assert taken_out(phantom, healthy).score > failed.score
    assert taken_out(healthy, healthy).status is Status.ACCEPTED  # the given slice is not what is judged


def test_a_second_lesion_of_the_given_slice_is_not_held_against_an_insert(phantom, healthy, phantom_mask):
    rows, columns = np.mgrid[:256, :256]
    second = np.hypot(rows - 170, columns - 100) < 18
    request = REQUEST.model_copy(update={"task": Task.INSERT, "background_sha256": "0" * 64})
    case, given = (np.where(second, np.float32(0.7), picture) for picture in (phantom, healthy))
    assert check(request, "glioma", case, given, phantom_mask, 0, Painted(), 0.98).status is Status.ACCEPTED
    assert "none was asked" in judge(case, given, phantom_mask).reason  # where the model made all, it made that one too


def test_place_and_margin_stand_beside_what_was_asked(phantom, healthy, phantom_mask):
    finding = Finding(pathology="glioma", region=Region.FRONTAL, margin=Margin.SMOOTH)
    request = Request(findings=Findings(plane=Plane.AXIAL, finding=finding))
    verdict = check(request, "glioma", phantom, healthy, phantom_mask, 0, Painted(), 0.98)
    rows = {row.name: row for row in verdict.measurements}
    assert (rows["region"].asked, rows["margin"].asked) == ("frontal", "smooth")
    assert rows["margin"].measured == "smooth" and "side" not in rows


def test_the_wrong_type_and_the_wrong_side_are_misses(phantom, healthy, phantom_mask):
    def reason(kind, side):
        finding = Finding(pathology=kind, side=side)
        request = Request(findings=Findings(plane=Plane.AXIAL, finding=finding))
        return check(request, kind, phantom, healthy, phantom_mask, 0, Painted(), 0.98).reason

    assert reason("glioma", Side.LEFT) == ""
    assert "looks like a glioma" in reason("meningioma", Side.LEFT)
    assert "on the left, right was asked" in reason("glioma", Side.RIGHT)
    assert reason("glioma", Side.MIDLINE) == ""  # a lesion near the middle is called either


def test_what_no_finder_looked_at_is_said_not_to_be_judged(phantom, healthy, phantom_mask):
    verdict = check(REQUEST, "glioma", phantom, healthy, phantom_mask, 0, None, 0.98)
    row = next(row for row in verdict.measurements if row.name == "lesion seen by the finder")
    assert row.ok is None and "not judged" in row.measured


def test_a_slice_without_a_lesion_says_what_the_finder_sees_in_it(phantom, healthy):
    request = Request(findings=Findings(plane=Plane.AXIAL))
    nothing = np.zeros(phantom.shape, bool)

    def seen(picture):
        verdict = check(request, None, picture, picture, nothing, 0, Painted(), 0.98)
        return next(row for row in verdict.measurements if row.name == "lesion seen by the finder")

    assert seen(healthy).measured == "nothing"
    assert seen(phantom).value == pytest.approx(30, abs=3)


def test_dice_of_known_overlaps():
    a = np.zeros((4, 4), bool)
    a[:2] = True
    assert dice(a, a) == 1 and dice(a, ~a) == 0 and dice(a, np.roll(a, 1, 0)) == 0.5
    assert dice(np.zeros((2, 2), bool), np.zeros((2, 2), bool)) == 1
