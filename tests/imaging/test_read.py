"""Files in: right way up, in native units, without a name; and a sentence for what cannot be read."""

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from PIL import Image
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, RLELossless, generate_uid

from meddiff.case import MedDiffError, Plane
from meddiff.imaging.read import read_image

ASYMMETRIC = np.add.outer(np.arange(80) * 3, np.arange(100)).astype(np.uint16)


def write_dicom(path, pixels=ASYMMETRIC, syntax=ExplicitVRLittleEndian, **attributes):
    ds = pydicom.Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = generate_uid()
    ds.PatientName, ds.PatientID, ds.Modality = "Doe^Jane", "12345", "MR"
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = pixels.shape[-2:]
    if pixels.ndim == 3:
        ds.NumberOfFrames = len(pixels)
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation = 15, 0
    ds.PixelSpacing = [0.5, 0.7]
    for name, value in attributes.items():
        setattr(ds, name, value)
    ds.PixelData = pixels.tobytes()
    ds["PixelData"].VR = "OW"
    if syntax != ExplicitVRLittleEndian:
        ds.compress(syntax)
    ds.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless, JPEG2000Lossless], ids=lambda s: s.name)
def test_dicom_compressed_or_not(tmp_path, syntax):
    try:
        path = write_dicom(tmp_path / "a.dcm", syntax=syntax)
    except (RuntimeError, NotImplementedError) as error:
        pytest.skip(f"no encoder for {syntax.name} here: {error}")
    found = read_image(path)
    assert np.array_equal(found.stored, ASYMMETRIC)
    assert (found.spacing_mm, found.modality, found.format) == ((0.5, 0.7), "MR", "DICOM")


def test_rescale_gives_hounsfield_units(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", Modality="CT", RescaleSlope=2, RescaleIntercept=-1024)
    assert read_image(path).pixels.min() == -1024


def test_monochrome1_is_shown_bright_on_dark(tmp_path):
    found = read_image(write_dicom(tmp_path / "a.dcm", PhotometricInterpretation="MONOCHROME1"))
    assert found.pixels[0, 0] == found.pixels.max()


def test_nothing_that_identifies_a_person_leaves_the_reader(tmp_path):
    found = read_image(write_dicom(tmp_path / "a.dcm"))
    assert "Doe" not in repr(found) and "12345" not in repr(found)


@pytest.mark.parametrize(
    ("orientation", "plane", "turned"),
    [
        ([1, 0, 0, 0, 1, 0], Plane.AXIAL, ASYMMETRIC),
        ([-1, 0, 0, 0, 1, 0], Plane.AXIAL, ASYMMETRIC[:, ::-1]),
        ([1, 0, 0, 0, 0, -1], Plane.CORONAL, ASYMMETRIC),
        ([0, 1, 0, 0, 0, -1], Plane.SAGITTAL, ASYMMETRIC),
        ([0, 1, 0, 0, 0, 1], Plane.SAGITTAL, ASYMMETRIC[::-1]),
        ([0, 1, 0, 1, 0, 0], Plane.AXIAL, ASYMMETRIC.T),
    ],
)
def test_slices_are_hung_as_radiologists_do(tmp_path, orientation, plane, turned):
    found = read_image(write_dicom(tmp_path / "a.dcm", ImageOrientationPatient=orientation))
    assert found.plane is plane
    assert np.array_equal(found.stored, turned)


def test_frames_and_volume_slices_are_picked_by_number(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", np.stack([ASYMMETRIC, ASYMMETRIC + 7]))
    assert read_image(path, 1).stored[0, 0] == 7
    with pytest.raises(MedDiffError, match="no slice 2"):
        read_image(path, 2)


@pytest.mark.parametrize("plane", list(Plane))
def test_volumes_are_cut_in_every_plane_with_their_spacing(tmp_path, plane):
    volume = np.random.default_rng(0).integers(0, 500, (90, 80, 70)).astype(np.int16)  # x, y, z in RAS
    nibabel.save(nibabel.Nifti1Image(volume, np.diag([2.0, 3.0, 4.0, 1.0])), tmp_path / "v.nii.gz")
    found = read_image(tmp_path / "v.nii.gz", plane=plane)
    wanted = {Plane.AXIAL: (3.0, 2.0), Plane.CORONAL: (4.0, 2.0), Plane.SAGITTAL: (4.0, 3.0)}[plane]
    assert found.spacing_mm == pytest.approx(wanted)
    if plane is Plane.AXIAL:  # right on the left of the screen, front up
        assert np.array_equal(found.stored, volume[::-1, ::-1, 35].T)


def test_nrrd_and_pictures(tmp_path):
    sitk.WriteImage(sitk.GetImageFromArray(ASYMMETRIC[None].repeat(65, 0)), str(tmp_path / "v.nrrd"))
    assert read_image(tmp_path / "v.nrrd").stored.shape == (80, 100)
    Image.fromarray(ASYMMETRIC).save(tmp_path / "deep.png")
    assert np.array_equal(read_image(tmp_path / "deep.png").stored, ASYMMETRIC)
    Image.fromarray((ASYMMETRIC / 2).astype(np.uint8)).save(tmp_path / "a.jpg")
    assert read_image(tmp_path / "a.jpg").stored.dtype == np.uint8


def bad_files(folder):
    """(file, words of the answer)."""
    whole = write_dicom(folder / "whole.dcm").read_bytes()
    (folder / "cut.dcm").write_bytes(whole[: len(whole) // 2])
    (folder / "no.dcm").write_bytes(b"hello world" * 20)
    (folder / "text.png").write_text("not a picture")
    (folder / "empty.png").write_bytes(b"")
    (folder / "bad.nii.gz").write_bytes(b"\x1f\x8b" + b"0" * 50)
    Image.new("L", (80, 80), 9).save(folder / "flat.png")
    Image.new("L", (20, 80), 9).save(folder / "small.png")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (80, 80, 3), dtype=np.uint8)).save(folder / "colour.png")
    report = pydicom.dcmread(folder / "whole.dcm")
    del report.PixelData
    report.save_as(folder / "report.dcm")
    return {
        "cut.dcm": "cut off",
        "no.dcm": "no DICOM file",
        "text.png": "not an image",
        "empty.png": "empty",
        "bad.nii.gz": "cannot be read",
        "flat.png": "shows nothing",
        "small.png": "too small",
        "colour.png": "colour",
        "report.dcm": "without pixels",
        "missing.png": "no file",
    }


def test_what_cannot_be_read_is_answered_in_one_sentence(tmp_path):
    for name, words in bad_files(tmp_path).items():
        with pytest.raises(MedDiffError, match=words):
            read_image(tmp_path / name)
