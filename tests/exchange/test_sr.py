"""Asked and measured as DICOM SR: every row of the table back, by the outline and the picture, accepted by a verifier."""

import dataclasses

import highdicom
import pydicom
import pytest
from pydicom.sr.codedict import codes

from meddiff.case import Measurement, MedDiffError, Request, Task
from meddiff.exchange.dicom import to_dataset
from meddiff.exchange.seg import to_seg
from meddiff.exchange.sr import coded, to_sr, write_sr
from meddiff.marking import SealedCase
from meddiff.synthesis.studio import Studio
from tests.exchange.dicom_support import ROWS, SPACING_MM, case_of, errors_of, request_of


def report_of(case, folder):
    """The report as highdicom reads it from a file."""
    return highdicom.sr.srread(write_sr(case, folder / "report.dcm")).content


def properties(item):
    """What hangs below a measured item: {"asked": ..., "measured": ..., "verdict": ...}."""
    below = [child for child in item.ContentSequence if child.RelationshipType == "HAS PROPERTIES"]
    return {child.name.meaning: getattr(child.value, "meaning", child.value) for child in below}


def test_what_was_asked_refers_to_the_outline(tmp_path):
    case = case_of()
    (group,) = report_of(case, tmp_path).get_planar_roi_measurement_groups()
    outline = to_seg(case.image, case.mask)
    assert group.referenced_segmentation_frame.referenced_sop_instance_uid == outline.SOPInstanceUID
    assert group.tracking_uid == outline.SegmentSequence[0].TrackingUID
    asked = {m.name.meaning: (m.value, m.unit.value) for m in group.get_measurements()}
    assert asked["Long axis"] == (31, "mm")
    assert asked["Area"] == (pytest.approx(case.mask.sum() * SPACING_MM[0] * SPACING_MM[1]), "mm2")
    assert group.finding_type == codes.SCT.Lesion
    (site,) = group.finding_sites
    assert (site.value, site.laterality) == (codes.SCT.FrontalLobe, codes.SCT.Left)
    told = {q.name.meaning: q.value.meaning for q in group.get_qualitative_evaluations()}
    assert told["enhancement"] == "ring" and told["pathology"] == "glioma" and "margin" not in told


def test_every_row_of_the_table_comes_back_with_what_was_asked_and_the_verdict(tmp_path):
    case = case_of()
    (group,) = report_of(case, tmp_path).get_image_measurement_groups()
    assert group.source_images[0].referenced_sop_instance_uid == to_dataset(case.image).SOPInstanceUID
    numbers = {m.name.meaning: (m.value, m.unit.meaning, m[0]) for m in group.get_measurements()}
    items = [item for item in group[0].ContentSequence if item.ValueType == "CODE"]  # with what hangs below them
    words = {item.name.meaning: (item.value.meaning, item) for item in items}
    for row in ROWS:
        name = {"longest diameter": "Long axis"}.get(row.name, row.name)
        verdict = {True: "as asked", False: "missed", None: "not judged"}[row.ok]
        if row.value is not None:
            value, unit, item = numbers[name]
            assert value == row.value and unit in (row.unit, "millimeter", "no units")
        else:
            word, item = words[name]
            assert word.lower().removesuffix(" lobe") == row.measured
        assert properties(item) == {"asked": row.asked, "measured": row.measured, "verdict": verdict}


def test_the_report_says_that_it_is_synthetic_and_how_the_case_ended(tmp_path):
    case = case_of()
    path = write_sr(case, tmp_path / "report.dcm")
    ds = pydicom.dcmread(path)
    (whole,) = (item for item in ds.ContentSequence if item.ConceptNameCodeSequence[0].CodeValue == "C0034375")
    texts = [item.TextValue for item in whole.ContentSequence if item.ValueType == "TEXT"]
    assert texts == [case.image.provenance.notice, case.case.reason]
    assert "not for diagnosis" in texts[0]
    assert whole.ContentSequence[1].ConceptCodeSequence[0].CodeMeaning == "rejected"
    assert ds.VerificationFlag == "UNVERIFIED" and ds.PreliminaryFlag == "PRELIMINARY"
    (scheme,) = ds.CodingSchemeIdentificationSequence
    assert scheme.CodingSchemeDesignator == "99MEDDIFF"
    evidence = [
        item.ReferencedSOPInstanceUID
        for study in ds.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    ]
    assert set(evidence) == {to_dataset(case.image).SOPInstanceUID, to_seg(case.image, case.mask).SOPInstanceUID}
    (observer,) = highdicom.sr.srread(path).content.get_observer_contexts()
    assert observer.observer_identifying_attributes.name == "MedDiff"


@pytest.mark.parametrize("modality", ["MR", "CT", "CR", "PT"])
@pytest.mark.parametrize("task", list(Task))
def test_no_error_is_found_in_a_report(modality, task, tmp_path):
    case = case_of(request_of(modality=modality, task=task))
    assert errors_of(write_sr(case, tmp_path / "report.dcm")) == ("Comprehensive3DSR", [])


def test_a_case_without_a_lesion_has_a_report_without_an_outline(tmp_path):
    case = case_of(lesion=False)
    report = report_of(case, tmp_path)
    assert not report.get_planar_roi_measurement_groups()
    (group,) = report.get_image_measurement_groups()
    assert group.tracking_identifier == f"{case.case.id} slice"
    assert errors_of(tmp_path / "report.dcm") == ("Comprehensive3DSR", [])


def test_a_new_row_needs_no_new_code(tmp_path):
    row = Measurement(name="sharpness, 第一", asked="", measured="0.4", unit="line pairs per mm", value=0.4)
    case = case_of(rows=(row,))
    (group,) = report_of(case, tmp_path).get_image_measurement_groups()
    (measured,) = group.get_measurements()
    assert (measured.name.meaning, measured.value, measured.unit.meaning) == (row.name, 0.4, row.unit)
    assert coded(row.name) == measured.name != coded("sharpness")
    assert errors_of(tmp_path / "report.dcm") == ("Comprehensive3DSR", [])


def test_a_second_export_is_the_same_file_and_other_measurements_another_instance(tmp_path):
    case = case_of()
    first, again = (write_sr(case, tmp_path / name).read_bytes() for name in ("a.dcm", "b.dcm"))
    assert first == again
    assert to_sr(case_of(rows=ROWS[:3])).SOPInstanceUID != to_sr(case).SOPInstanceUID


def test_parts_of_different_cases_make_no_report():
    case = case_of()
    other = case_of(request_of(modality="CT"))
    with pytest.raises(MedDiffError, match="give those of one case"):
        to_sr(dataclasses.replace(case, image=other.image))
    with pytest.raises(MedDiffError, match="Only sealed images"):
        to_sr(SealedCase(case.case, case.image.pixels, case.twin, case.mask))


def test_a_case_as_the_studio_makes_it_has_its_report(tiny_house, tmp_path):
    request = Request(sentence="Axial T1 post-contrast, ring-enhancing left frontal glioma, 30 mm", seed=1, steps=2)
    (case,) = Studio(precision="fp32").create(request)
    report = report_of(case, tmp_path)
    (group,) = report.get_image_measurement_groups()
    measured = group.get_measurements() + group.get_qualitative_evaluations()
    names = {item.name.meaning for item in measured} - {"Algorithm Family"}
    assert names == {{"longest diameter": "Long axis"}.get(row.name, row.name) for row in case.case.measurements}
    assert errors_of(tmp_path / "report.dcm") == ("Comprehensive3DSR", [])


def test_a_number_that_is_none_is_told_in_words(tmp_path):
    row = Measurement(name="contrast", asked="", measured="no surroundings to compare with", value=float("nan"))
    (group,) = report_of(case_of(rows=(row,)), tmp_path).get_image_measurement_groups()
    assert not group.get_measurements()
    assert row.measured in {q.value.meaning for q in group.get_qualitative_evaluations()}
    assert errors_of(tmp_path / "report.dcm") == ("Comprehensive3DSR", [])
