"""The check sees what is there."""

import numpy as np
import pytest
from scipy import ndimage

from meddiff.case import Finding, Findings, Plane, Request, Side, Status
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


def test_dice_of_known_overlaps():
    a = np.zeros((4, 4), bool)
    a[:2] = True
    assert dice(a, a) == 1 and dice(a, ~a) == 0 and dice(a, np.roll(a, 1, 0)) == 0.5
    assert dice(np.zeros((2, 2), bool), np.zeros((2, 2), bool)) == 1
