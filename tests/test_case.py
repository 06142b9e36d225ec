"""Records are what they say and survive JSON."""

import numpy as np
import pytest
from pydantic import ValidationError

from meddiff.case import Finding, Findings, MaskSpec, MedDiffError, Plane, Request, Task, pixel_sha256


def test_a_request_survives_json_and_keeps_its_id():
    request = Request(findings=Findings(plane=Plane.CORONAL, finding=Finding(pathology="glioma", size_mm=31.5)), seed=9)
    again = Request.model_validate_json(request.canonical_json())
    assert again == request
    assert again.case_id() == request.case_id()


def test_anything_that_decides_the_pixels_changes_the_id():
    request = Request(seed=1)
    changed = [{"seed": 2}, {"steps": 17}, {"guidance": 2.5}, {"precision": "fp32"}, {"edit_margin_mm": 9.0}]
    ids = {request.model_copy(update=update).case_id() for update in changed}
    assert len(ids | {request.case_id()}) == len(changed) + 1


def test_a_mask_comes_back_pixel_for_pixel():
    mask = np.random.default_rng(0).random((70, 91)) > 0.5
    assert np.array_equal(MaskSpec.from_array(mask).to_array(), mask)


@pytest.mark.parametrize("png", ["not base64!", "AAAA"])
def test_a_damaged_outline_is_said_to_be_damaged(png):
    with pytest.raises(MedDiffError, match="damaged"):
        MaskSpec(png=png).to_array()


@pytest.mark.parametrize(
    "wrong", [{"precision": "int4"}, {"steps": 0}, {"seed": -1}, {"task": Task.INSERT}, {"colour": "red"}]
)
def test_a_request_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValidationError):
        Request(**wrong)


def test_the_pixel_hash_sees_shape_and_type():
    zeros = np.zeros((4, 6), np.uint8)
    assert len({pixel_sha256(zeros), pixel_sha256(zeros.T), pixel_sha256(zeros.astype(np.uint16))}) == 3
