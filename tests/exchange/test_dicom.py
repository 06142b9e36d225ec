"""A picture as DICOM: of its modality's own kind, marked, unflipped, and accepted by a verifier."""

import json

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    CTImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    SecondaryCaptureImageStorage,
)

from meddiff.case import MedDiffError, Plane, Task
from meddiff.exchange.dicom import read_dicom_record, to_dataset, write_dicom
from meddiff.exchange.seg import write_seg
from meddiff.exchange.sr import write_sr
from meddiff.imaging.read import read_image
from tests.exchange.dicom_support import case_of, errors_of, flag, request_of, sealed_of

# Where the F lies in the patient, LPS+ in mm, by what radiologists see: right on an axial or coronal screen is the patient's
# left; up is in front on an axial one and above on the others; right on a sagittal one is behind.
ROW, COLUMN = (index.mean() for index in np.nonzero(flag()))
UP_MM, RIGHT_MM = (127.5 - ROW) * 0.98, (COLUMN - 127.5) * 0.5
PLACE = {
    Plane.AXIAL: (RIGHT_MM, -UP_MM, 0),
    Plane.CORONAL: (RIGHT_MM, 0, UP_MM),
    Plane.SAGITTAL: (0, RIGHT_MM, UP_MM),
}


@pytest.fixture(params=[np.uint8, np.uint16], ids=["8 bit", "16 bit"])
def kind(request):
    return request.param


@pytest.mark.parametrize(
    ("modality", "sop_class", "said", "name"),
    [
        ("MR", MRImageStorage, "MR", "MRImage"),
        ("CT", CTImageStorage, "CT", "CTImage"),
        ("CR", ComputedRadiographyImageStorage, "CR", "CRImage"),
        ("PT", SecondaryCaptureImageStorage, "OT", "SCImage"),
    ],
)
def test_each_modality_has_its_own_kind_of_image_and_no_error(modality, sop_class, said, name, kind, tmp_path):
    case = case_of(request_of(modality=modality), kind)
    for sealed in (case.image, case.twin):
        path = write_dicom(sealed, tmp_path / "a.dcm")
        ds = pydicom.dcmread(path)
        assert (ds.SOPClassUID, ds.Modality) == (sop_class, said)
        assert np.array_equal(ds.pixel_array, sealed.pixels)
        assert errors_of(path) == (name, [])


def test_the_verifier_would_see_an_error(tmp_path):
    ds = to_dataset(case_of().image)
    del ds.ImageOrientationPatient
    ds.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    _, errors = errors_of(tmp_path / "a.dcm")
    assert len(errors) == 1 and "ImageOrientationPatient" in errors[0]


def test_a_picture_is_marked_synthetic_wherever_the_standard_has_a_place_for_it(kind, tmp_path):
    case = case_of(kind=kind)
    ds = pydicom.dcmread(write_dicom(case.image, tmp_path / "a.dcm"))
    assert ds.SyntheticData == "YES" and ds[0x0008, 0x001C].VR == "CS"
    assert ds.ContentQualification == "RESEARCH"
    assert list(ds.ImageType[:2]) == ["DERIVED", "SECONDARY"]
    assert "diffusion model" in ds.DerivationDescription and "not for diagnosis" in ds.DerivationDescription
    for words in (ds.PatientName, ds.PatientID, ds.SeriesDescription, ds.StudyDescription):
        assert "SYNTHETIC" in str(words)
    assert case.case.id in ds.PatientID
    equipment = ds.ContributingEquipmentSequence[0]
    purpose = equipment.PurposeOfReferenceCodeSequence[0]
    assert (purpose.CodeValue, purpose.CodingSchemeDesignator, purpose.CodeMeaning) == (
        "109100",
        "DCM",
        "Synthesizing Equipment",
    )
    assert equipment.Manufacturer == "MedDiff" and equipment.DeviceSerialNumber == "a" * 64
    algorithm = ds.DerivationAlgorithmSequence[0]
    assert algorithm.AlgorithmFamilyCodeSequence[0].CodeMeaning == "Artificial Intelligence"
    assert "brain-t1gd" in algorithm.AlgorithmName and "seed=2" in algorithm.AlgorithmParameters
    assert ds.private_block(0x0099, "MEDDIFF PROVENANCE")[0x01].VR == "UT"
    assert json.loads(ds[0x0099, 0x1001].value)["case_id"] == case.case.id


@pytest.mark.parametrize("task", list(Task))
@pytest.mark.parametrize("role", ["case", "twin"])
def test_a_picture_says_which_part_of_it_was_acquired(task, role):
    case = case_of(request_of(task=task))
    words = to_dataset(case.image if role == "case" else case.twin).DerivationDescription
    assert ("acquired image" in words) == (task is not Task.GENERATE)
    assert ("diffusion model" in words) == (task is Task.GENERATE or role == "case")


def test_pixels_are_stored_without_loss_and_shown_whole(kind, tmp_path):
    sealed = case_of(kind=kind).image
    ds = pydicom.dcmread(write_dicom(sealed, tmp_path / "a.dcm"))
    assert ds.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert (ds.BitsAllocated, ds.BitsStored) == (16, np.dtype(kind).itemsize * 8)
    shown = int(sealed.pixels[sealed.outside_stamp].max())
    assert ds.WindowCenter + ds.WindowWidth / 2 == pytest.approx(shown + 1)


def test_grey_levels_of_a_ct_do_not_pass_for_hounsfield_units(kind):
    ds = to_dataset(case_of(request_of(modality="CT"), kind).image)
    assert ds.RescaleType == "US" and (ds.RescaleSlope, ds.RescaleIntercept) == (1, 0)
    assert 12 <= ds.BitsStored <= 16 and ds.HighBit == ds.BitsStored - 1


@pytest.mark.parametrize("plane", list(Plane))
def test_an_asymmetric_lesion_lies_where_the_patient_has_it(plane, kind, tmp_path):
    case = case_of(request_of(plane), kind)
    path = write_dicom(case.image, tmp_path / "a.dcm")
    bright = case.image.pixels.max() * 0.8

    ds = pydicom.dcmread(path)
    lesion = (ds.pixel_array > bright) & case.image.outside_stamp
    assert np.array_equal(lesion, case.image.fit(flag()))
    across, down = (np.array(ds.ImageOrientationPatient[at : at + 3], float) for at in (0, 3))
    row, column = (index.mean() for index in np.nonzero(lesion))
    row_mm, column_mm = ds.PixelSpacing
    assert np.array(ds.ImagePositionPatient) + across * column * column_mm + down * row * row_mm == pytest.approx(
        PLACE[plane], abs=0.01
    )

    volume = sitk.ReadImage(str(path))
    again = sitk.GetArrayFromImage(volume)[0]
    assert np.array_equal(again, case.image.pixels)
    assert volume.TransformContinuousIndexToPhysicalPoint((column, row, 0.0)) == pytest.approx(PLACE[plane], abs=0.01)
    assert volume.GetSpacing() == pytest.approx((0.5, 0.98, 6))

    back = read_image(path)
    assert back.plane is plane and np.array_equal(back.stored, case.image.pixels)


def test_rows_appended_for_the_stamp_move_nothing():
    full = np.random.default_rng(0).integers(90, 160, (128, 128), dtype=np.uint8)
    half = full.copy()
    half[:, :64] = 0
    taller, plain = sealed_of(full), sealed_of(half)
    assert taller.box.appended_rows and not plain.box.appended_rows
    first, second = to_dataset(taller), to_dataset(plain)
    assert first.ImagePositionPatient == second.ImagePositionPatient
    assert first.Rows == second.Rows + taller.box.appended_rows


def test_a_case_is_one_study_of_one_patient_with_a_series_for_each_thing(tmp_path):
    case = case_of()
    files = [
        write_dicom(case.image, tmp_path / "a.dcm"),
        write_dicom(case.twin, tmp_path / "twin.dcm"),
        write_seg(case.mask, tmp_path / "outline.dcm", case.image),
        write_seg(case.mask, tmp_path / "twin-outline.dcm", case.twin),
        write_sr(case, tmp_path / "report.dcm"),
    ]
    written = [pydicom.dcmread(path) for path in files]
    for name in ("PatientID", "PatientName", "PatientSex", "PatientAge", "StudyInstanceUID", "StudyDate", "StudyTime"):
        assert len({str(ds[name].value) for ds in written}) == 1, name
    assert {ds.FrameOfReferenceUID for ds in written[:4]} == {written[0].FrameOfReferenceUID}
    for name in ("SeriesInstanceUID", "SeriesNumber", "SOPInstanceUID", "SeriesDescription"):
        assert len({str(ds[name].value) for ds in written}) == 5, name
    for path, ds in zip(files, written, strict=True):
        assert ds.SyntheticData == "YES" and "SYNTHETIC" in ds.SeriesDescription
        assert ds.ContributingEquipmentSequence[0].PurposeOfReferenceCodeSequence[0].CodeValue == "109100"
        assert len(ds.ContributingEquipmentSequence) == 1  # nothing acquired this
        assert (ds.InstanceCreationDate, ds.InstanceCreationTime) == ("20261124", "010203")
        assert read_dicom_record(path) == (case.twin if "twin" in path.name else case.image).provenance
        assert ds.StudyInstanceUID.startswith("2.25.") and ds.SOPInstanceUID.is_valid


def test_a_second_export_is_the_same_instance_and_another_content_is_not(tmp_path):
    case = case_of()
    first, again = (write_dicom(case.image, tmp_path / name).read_bytes() for name in ("a.dcm", "b.dcm"))
    assert first == again
    pixels = case.image.pixels.copy()
    pixels[5, 5] += 1
    assert to_dataset(sealed_of(pixels)).SOPInstanceUID != to_dataset(case.image).SOPInstanceUID


def test_only_our_files_give_a_record(tmp_path):
    path = write_dicom(case_of().image, tmp_path / "a.dcm")
    ds = pydicom.dcmread(path)
    del ds[0x0099, 0x1001]
    ds.save_as(tmp_path / "stripped.dcm")
    with pytest.raises(MedDiffError, match="carries no MedDiff record"):
        read_dicom_record(tmp_path / "stripped.dcm")
    (tmp_path / "text.dcm").write_text("hello")
    with pytest.raises(MedDiffError, match="cannot be read as DICOM"):
        read_dicom_record(tmp_path / "text.dcm")


def test_unsealed_pixels_do_not_become_dicom(tmp_path):
    with pytest.raises(MedDiffError, match="Only sealed images"):
        write_dicom(np.zeros((64, 64), np.uint8), tmp_path / "a.dcm")
    assert not list(tmp_path.iterdir())
