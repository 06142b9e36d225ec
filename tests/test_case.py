"""Records are what they say and survive JSON."""

import numpy as np
import pytest
from pydantic import ValidationError

from meddiff.case import (
    Acquisition,
    Case,
    Clinical,
    Finding,
    Findings,
    MaskSpec,
    Measurement,
    MedDiffError,
    Plane,
    Provenance,
    Request,
    Sex,
    Task,
    Tolerance,
    Visit,
    pixel_sha256,
)


def test_a_request_survives_json_and_keeps_its_id():
    request = Request(findings=Findings(plane=Plane.CORONAL, finding=Finding(pathology="glioma", size_mm=31.5)), seed=9)
    again = Request.model_validate_json(request.canonical_json())
    assert again == request
    assert again.case_id() == request.case_id()


OTHER_VALUES = {
    "task": Task.REMOVE,
    "pack": "another-pack",
    "pack_sha256": "f" * 64,
    "sentence": "left frontal glioma",
    "text_encoder": "ward-bert@0123456789ab",
    "findings": Findings(plane=Plane.CORONAL),
    "mask": MaskSpec(sample_seed=4),
    "clinical": Clinical(age_years=60, sex=Sex.FEMALE),
    "background_sha256": "0" * 64,
    "edit_margin_mm": 9.0,
    "seed": 2,
    "steps": 17,
    "guidance": 2.5,
    "precision": "fp32",
    "tolerance": Tolerance(redraws=0),
    "visit": Visit(series="MS-000000000000", number=1, of=2, day=0, date="2030-01-01", plan="{}"),
    "acquisition": Acquisition(noise=0.1),
}


def test_a_request_of_a_single_case_keeps_the_name_it_had_before_there_were_series():
    request = Request(seed=1)
    assert request.case_id() == "MD-7ad6d7eda634" and '"visit"' not in request.canonical_json()


def test_an_acquisition_belongs_to_a_case_from_nothing():
    with pytest.raises(ValidationError, match="a given slice or a visit has its own"):
        Request(task=Task.INSERT, background_sha256="0" * 64, acquisition=Acquisition(noise=0.1))


def test_every_field_of_a_request_changes_the_id():
    assert OTHER_VALUES.keys() == Request.model_fields.keys()
    request = Request(seed=1)
    ids = {request.model_copy(update={name: value}).case_id() for name, value in OTHER_VALUES.items()}
    assert len(ids | {request.case_id()}) == len(OTHER_VALUES) + 1


def test_records_with_words_of_other_scripts_survive_json():
    request = Request(sentence="左额叶 30 mm, Größe ½", seed=3)
    case = Case(id=request.case_id(), request=request, measurements=(Measurement(name="Ø", asked="30", measured="29"),))
    assert Case.model_validate_json(case.canonical_json()) == case
    provenance = Provenance(case_id=case.id, request=request, pack="p", pack_sha256="a", pixel_sha256="b")
    assert Provenance.model_validate_json(provenance.canonical_json()) == provenance
    assert "synthetic, not for diagnosis" in provenance.notice.lower()


def test_a_record_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        Request().seed = 5


def test_a_request_without_a_drawn_outline_says_so():
    with pytest.raises(MedDiffError, match="draw one"):
        MaskSpec(sample_seed=1).to_array()


def test_a_mask_comes_back_pixel_for_pixel():
    mask = np.random.default_rng(0).random((70, 91)) > 0.5
    assert np.array_equal(MaskSpec.from_array(mask).to_array(), mask)


@pytest.mark.parametrize("png", ["not base64!", "AAAA"])
def test_a_damaged_outline_is_said_to_be_damaged(png):
    with pytest.raises(MedDiffError, match="damaged"):
        MaskSpec(png=png).to_array()


@pytest.mark.parametrize(
    "wrong",
    [
        {"precision": "int4"},
        {"steps": 0},
        {"seed": -1},
        {"task": Task.INSERT},
        {"colour": "red"},
        {"guidance": float("nan")},
    ],
)
def test_a_request_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValidationError):
        Request(**wrong)


def test_the_pixel_hash_sees_shape_and_type():
    zeros = np.zeros((4, 6), np.uint8)
    assert len({pixel_sha256(zeros), pixel_sha256(zeros.T), pixel_sha256(zeros.astype(np.uint16))}) == 3
