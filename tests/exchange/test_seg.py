"""The outline as DICOM SEG: the exact mask back, in the picture's place, marked, and accepted by a verifier."""

import highdicom
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from meddiff.case import MedDiffError, Plane, Task
from meddiff.exchange.dicom import to_dataset, write_dicom
from meddiff.exchange.seg import to_seg, write_seg
from tests.exchange.dicom_support import case_of, errors_of, flag, request_of, sealed_of
from tests.exchange.test_dicom import PLACE


@pytest.mark.parametrize("plane", list(Plane))
def test_an_asymmetric_outline_comes_back_exactly_and_in_its_place(plane, tmp_path):
    case = case_of(request_of(plane))
    path = write_seg(case.mask, tmp_path / "outline.dcm", case.image)

    assert np.array_equal(pydicom.dcmread(path).pixel_array > 0, flag())
    segment = highdicom.seg.segread(path)
    assert np.array_equal(
        segment.get_pixels_by_source_instance([to_dataset(case.image).SOPInstanceUID])[0, ..., 0], flag()
    )
    volume = segment.get_volume(combine_segments=True)
    slice_, row, column = (index.mean() for index in np.nonzero(volume.array))
    assert volume.map_indices_to_reference(np.array([[slice_, row, column]]))[0] == pytest.approx(
        PLACE[plane], abs=0.01
    )

    outline = sitk.ReadImage(str(path))
    picture = sitk.ReadImage(str(write_dicom(case.image, tmp_path / "a.dcm")))
    assert np.array_equal(sitk.GetArrayFromImage(outline)[0] > 0, flag())
    for told in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
        assert getattr(outline, told)() == pytest.approx(getattr(picture, told)())


@pytest.mark.parametrize("modality", ["MR", "CT", "CR", "PT"])
def test_no_error_is_found_in_an_outline(modality, tmp_path):
    case = case_of(request_of(modality=modality))
    for sealed in (case.image, case.twin):
        assert errors_of(write_seg(case.mask, tmp_path / "outline.dcm", sealed)) == ("Segmentation", [])


def test_an_outline_has_the_size_of_its_picture_though_rows_were_appended(tmp_path):
    full = np.random.default_rng(0).integers(90, 160, (128, 128), dtype=np.uint8)
    sealed = sealed_of(full)
    mask = np.zeros((128, 128), bool)
    mask[100:120, 90:95] = True
    outline = highdicom.seg.segread(write_seg(mask, tmp_path / "outline.dcm", sealed))
    assert sealed.box.appended_rows and (outline.Rows, outline.Columns) == sealed.pixels.shape
    assert np.array_equal(outline.pixel_array[:128] > 0, mask) and not outline.pixel_array[128:].any()


def test_an_outline_says_what_it_is_who_made_it_and_of_which_picture():
    case = case_of()
    outline, picture = to_seg(case.image, case.mask), to_dataset(case.image)
    segment = outline.SegmentSequence[0]
    assert segment.SegmentLabel == "synthetic glioma" and segment.TrackingID == f"{case.case.id} lesion"
    assert segment.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Lesion"
    assert segment.AnatomicRegionSequence[0].CodeMeaning == "Brain"
    assert segment.SegmentAlgorithmType == "SEMIAUTOMATIC"
    assert segment.SegmentationAlgorithmIdentificationSequence[0].AlgorithmSource == "MedDiff"
    reference = outline.ReferencedSeriesSequence[0]
    assert reference.SeriesInstanceUID == picture.SeriesInstanceUID
    assert reference.ReferencedInstanceSequence[0].ReferencedSOPInstanceUID == picture.SOPInstanceUID


@pytest.mark.parametrize(
    ("task", "role", "here"),
    [
        (Task.GENERATE, "case", True),
        (Task.GENERATE, "twin", False),
        (Task.INSERT, "case", True),
        (Task.REMOVE, "case", False),
        (Task.REMOVE, "twin", True),
    ],
)
def test_an_outline_is_called_a_lesion_only_on_the_picture_that_has_it(task, role, here):
    case = case_of(request_of(task=task))
    segment = to_seg(case.image if role == "case" else case.twin, case.mask).SegmentSequence[0]
    assert (segment.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Lesion") == here
    assert ("no lesion" not in segment.SegmentLabel) == here


def test_a_second_export_is_the_same_file_and_another_outline_another_instance(tmp_path):
    case = case_of()
    first, again = (write_seg(case.mask, tmp_path / name, case.image).read_bytes() for name in ("a.dcm", "b.dcm"))
    assert first == again
    other = case.mask.copy()
    other[0, 0] = True
    assert to_seg(case.image, other).SOPInstanceUID != to_seg(case.image, case.mask).SOPInstanceUID


def test_what_cannot_be_an_outline_is_refused_with_a_sentence(tmp_path):
    case = case_of()
    with pytest.raises(MedDiffError, match="is empty: there is no lesion"):
        write_seg(np.zeros_like(case.mask), tmp_path / "a.dcm", case.image)
    with pytest.raises(MedDiffError, match="give the outline that was made with the picture"):
        write_seg(case.mask[:64], tmp_path / "a.dcm", case.image)
    with pytest.raises(MedDiffError, match="Only sealed images"):
        write_seg(case.mask, tmp_path / "a.dcm", case.image.pixels)
    assert not list(tmp_path.iterdir())
