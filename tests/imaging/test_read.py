"""Files in: right way up, in native units, without a name; and a sentence for what cannot be read."""

import pickle
import random
import struct

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from PIL import Image
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    MPEG2MPML,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    RLELossless,
    generate_uid,
)

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
    if syntax == JPEGLosslessSV1:  # pydicom decodes it and has no encoder
        ds.PixelData = encapsulate([jpeg_lossless(pixels)])
        ds["PixelData"].VR, ds.file_meta.TransferSyntaxUID = "OB", syntax
    elif syntax != ExplicitVRLittleEndian:
        ds.compress(syntax)
    ds.save_as(path, enforce_file_format=True)
    return path


def jpeg_lossless(pixels):
    """A JPEG Lossless stream (process 14, selection value 1, ITU-T T.81 annex H) of uint16 [H, W]."""
    left = pixels.astype(np.int64)
    predicted = np.empty_like(left)
    predicted[:, 1:], predicted[1:, 0], predicted[0, 0] = left[:, :-1], left[:-1, 0], 1 << 15
    bits = []
    for difference in (((left - predicted) + 32768) % 65536 - 32768).ravel().tolist():
        category = abs(difference).bit_length()  # its code is its own number in five bits
        bits.append(f"{category:05b}")
        if 0 < category < 16:
            bits.append(f"{difference if difference > 0 else difference + (1 << category) - 1:0{category}b}")
    text = "".join(bits)
    text += "1" * (-len(text) % 8)
    body = int(text, 2).to_bytes(len(text) // 8, "big").replace(b"\xff", b"\xff\x00")
    frame = b"\xff\xc3" + struct.pack(">HBHHBBBB", 11, 16, *pixels.shape, 1, 1, 0x11, 0)
    codes = b"\xff\xc4" + struct.pack(">HB16B", 2 + 1 + 16 + 17, 0, *[17 if n == 5 else 0 for n in range(1, 17)])
    scan = b"\xff\xda" + struct.pack(">HBBBBBB", 8, 1, 1, 0, 1, 0, 0)
    return b"\xff\xd8" + frame + codes + bytes(range(17)) + scan + body + b"\xff\xd9"


@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, RLELossless, JPEG2000Lossless, JPEGLosslessSV1], ids=lambda s: s.name
)
def test_dicom_compressed_or_not(tmp_path, syntax):
    found = read_image(write_dicom(tmp_path / "a.dcm", syntax=syntax))
    assert np.array_equal(found.stored, ASYMMETRIC)
    assert (found.spacing_mm, found.modality, found.format) == ((0.5, 0.7), "MR", "DICOM")


def test_old_dicom_without_preamble(tmp_path):
    ds = pydicom.dcmread(write_dicom(tmp_path / "a.dcm"))
    pydicom.dcmwrite(tmp_path / "old.dcm", pydicom.Dataset(ds), implicit_vr=True, little_endian=True)
    assert (tmp_path / "old.dcm").read_bytes()[128:132] != b"DICM"
    assert np.array_equal(read_image(tmp_path / "old.dcm").stored, ASYMMETRIC)


def test_rescale_gives_hounsfield_units(tmp_path):
    found = read_image(write_dicom(tmp_path / "a.dcm", Modality="CT", RescaleSlope=2, RescaleIntercept=-1024))
    assert np.array_equal(found.pixels, ASYMMETRIC * 2.0 - 1024)
    assert found.unit == "HU"


def test_monochrome1_is_shown_bright_on_dark(tmp_path):
    wide = (ASYMMETRIC.astype(int) * 190 + 5).astype(
        np.uint16
    )  # its least and greatest add up to more than 16 bits hold
    wide[-1, -1] = 65535
    found = read_image(write_dicom(tmp_path / "a.dcm", wide, PhotometricInterpretation="MONOCHROME1"))
    assert found.pixels[0, 0] == found.pixels.max() == 65535
    assert found.pixels[-1, -1] == found.pixels.min() == 5
    assert np.allclose(found.slope * found.stored + found.intercept, found.pixels)


def test_nothing_that_identifies_a_person_leaves_the_reader(tmp_path):
    path = write_dicom(
        tmp_path / "a.dcm", PatientBirthDate="19500203", InstitutionName="St Elsewhere", PatientWeight=81
    )
    everything = pickle.dumps(read_image(path))
    assert b"Doe" in path.read_bytes()
    for word in (b"Doe", b"12345", b"19500203", b"Elsewhere", pydicom.dcmread(path).SOPInstanceUID.encode(), b"a.dcm"):
        assert word not in everything


def test_a_name_written_into_the_pixels_is_refused(tmp_path):
    with pytest.raises(MedDiffError, match="identify the patient"):
        read_image(write_dicom(tmp_path / "a.dcm", BurnedInAnnotation="YES"))
    assert read_image(write_dicom(tmp_path / "b.dcm", BurnedInAnnotation="NO")).stored.any()
    stamped = write_dicom(tmp_path / "c.dcm", BurnedInAnnotation="YES", SyntheticData="YES")
    assert np.array_equal(read_image(stamped).stored, ASYMMETRIC)  # a stamp names no patient


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
    assert np.array_equal(found.hanging.take_down(found.stored), ASYMMETRIC)
    assert found.spacing_mm == ((0.7, 0.5) if turned.shape == (100, 80) else (0.5, 0.7))


@pytest.mark.parametrize("orientation", [[0, 0, 0, 0, 0, 0], [1, 0, 0, 1, 0, 0]])
def test_an_orientation_that_says_nothing_gives_no_plane(tmp_path, orientation):
    found = read_image(write_dicom(tmp_path / "a.dcm", ImageOrientationPatient=orientation))
    assert found.plane is None and np.array_equal(found.stored, ASYMMETRIC)


@pytest.mark.parametrize("spacing", [[0, 0], [-1, 1], [1e-6, 1e-6]])
def test_a_spacing_that_cannot_be_is_taken_as_unknown(tmp_path, spacing):
    assert read_image(write_dicom(tmp_path / "a.dcm", PixelSpacing=spacing)).spacing_mm is None


def group(**sequences):
    """An item of functional groups: one sequence of one item each."""
    item = pydicom.Dataset()
    for name, attributes in sequences.items():
        inner = pydicom.Dataset()
        for keyword, value in attributes.items():
            setattr(inner, keyword, value)
        setattr(item, name, [inner])
    return item


def test_enhanced_objects_keep_their_geometry_in_functional_groups(tmp_path):
    path = write_dicom(
        tmp_path / "a.dcm",
        np.stack([ASYMMETRIC, ASYMMETRIC]),
        PixelSpacing=None,
        SharedFunctionalGroupsSequence=[
            group(
                PixelMeasuresSequence={"PixelSpacing": [0.9, 0.8]},
                PlaneOrientationSequence={"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]},
            )
        ],
        PerFrameFunctionalGroupsSequence=[
            group(PixelValueTransformationSequence={"RescaleSlope": slope, "RescaleIntercept": 0}) for slope in (1, 3)
        ],
    )
    first, second = read_image(path, 0), read_image(path, 1)
    assert first.spacing_mm == (0.9, 0.8) and first.plane is Plane.CORONAL
    assert np.array_equal(second.pixels, first.pixels * 3)


def pet(path, **changes):
    """5 kBq/ml in 70 kg, an hour after 370 MBq of F-18."""
    attributes = {
        "Modality": "PT",
        "Units": "BQML",
        "CorrectedImage": ["ATTN", "DECY"],
        "DecayCorrection": "START",
        "PatientWeight": 70,
        "SeriesDate": "20200102",
        "SeriesTime": "003000",
        "AcquisitionDate": "20200102",
        "AcquisitionTime": "003100",
        "RescaleSlope": 10,
    }
    info = pydicom.Dataset()
    info.RadionuclideTotalDose, info.RadionuclideHalfLife = 370e6, 6586.2
    info.RadiopharmaceuticalStartTime = "233000"  # the day before
    return write_dicom(path, **(attributes | {"RadiopharmaceuticalInformationSequence": [info]} | changes))


def test_pet_becomes_suv_where_its_header_tells_enough(tmp_path):
    found = read_image(pet(tmp_path / "a.dcm"))
    left = 370e6 * 2 ** (-3600 / 6586.2)
    assert found.unit == "SUV"
    assert np.allclose(found.pixels, ASYMMETRIC * 10.0 * 70_000 / left)
    at_injection = read_image(pet(tmp_path / "b.dcm", DecayCorrection="ADMIN"))
    assert np.allclose(at_injection.pixels, ASYMMETRIC * 10.0 * 70_000 / 370e6)
    assert np.allclose(read_image(pet(tmp_path / "c.dcm", Units="GML")).pixels, ASYMMETRIC * 10.0)


@pytest.mark.parametrize(
    "missing",
    [
        {"PatientWeight": None},
        {"PatientWeight": 0},
        {"CorrectedImage": ["ATTN"]},
        {"DecayCorrection": "NONE"},
        {"SeriesTime": None},
        {"SeriesTime": "020000"},  # after the acquisition: not the time that decay is corrected to
        {"RadiopharmaceuticalInformationSequence": None},
    ],
    ids=str,
)
def test_pet_stays_in_its_units_where_a_value_is_missing(tmp_path, missing):
    found = read_image(pet(tmp_path / "a.dcm", **missing))
    assert found.unit == "Bq/ml" and np.array_equal(found.pixels, ASYMMETRIC * 10.0)


def test_frames_and_volume_slices_are_picked_by_number(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", np.stack([ASYMMETRIC, ASYMMETRIC + 7]))
    assert read_image(path, 1).stored[0, 0] == 7
    with pytest.raises(MedDiffError, match="no slice 2"):
        read_image(path, 2)
    with pytest.raises(MedDiffError, match="holds one slice"):
        read_image(write_dicom(tmp_path / "one.dcm"), 3)


@pytest.mark.parametrize("plane", list(Plane))
def test_volumes_are_cut_in_every_plane_with_their_spacing(tmp_path, plane):
    volume = np.random.default_rng(0).integers(0, 500, (90, 80, 70)).astype(np.int16)  # x, y, z in RAS
    nibabel.save(nibabel.Nifti1Image(volume, np.diag([2.0, 3.0, 4.0, 1.0])), tmp_path / "v.nii.gz")
    found = read_image(tmp_path / "v.nii.gz", plane=plane)
    wanted = {Plane.AXIAL: (3.0, 2.0), Plane.CORONAL: (4.0, 2.0), Plane.SAGITTAL: (4.0, 3.0)}[plane]
    assert found.spacing_mm == pytest.approx(wanted)
    if plane is Plane.AXIAL:  # right on the left of the screen, front up
        assert np.array_equal(found.stored, volume[::-1, ::-1, 35].T)


@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, 1), (1, -1, -1)])
def test_volumes_hang_the_same_however_they_are_stored(tmp_path, flips):
    volume = np.random.default_rng(0).integers(0, 500, (66, 68, 70)).astype(np.int16)  # x, y, z in RAS
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), tmp_path / "ras.nii")
    steps = tuple(slice(None, None, step) for step in flips)
    nibabel.save(nibabel.Nifti1Image(volume[steps], np.diag([*flips, 1.0])), tmp_path / "other.nii")
    lps = sitk.GetImageFromArray(np.ascontiguousarray(volume[::-1, ::-1].T))
    sitk.WriteImage(lps, str(tmp_path / "v.nrrd"))
    for plane in Plane:
        wanted = read_image(tmp_path / "ras.nii", 20, plane).stored
        assert np.array_equal(read_image(tmp_path / "other.nii", 20, plane).stored, wanted)
        assert np.array_equal(read_image(tmp_path / "v.nrrd", 20, plane).stored, wanted)


def test_a_nifti_keeps_its_own_numbers_beside_the_scaled_ones(tmp_path):
    image = nibabel.Nifti1Image(ASYMMETRIC.T[..., None].astype(np.int16), np.diag([-1.0, -1, 1, 1]))
    image.header.set_slope_inter(2.0, -100.0)
    nibabel.save(image, tmp_path / "v.nii")
    found = read_image(tmp_path / "v.nii")
    assert found.stored.dtype == np.int16 and np.array_equal(found.stored, ASYMMETRIC)
    assert np.array_equal(found.pixels, ASYMMETRIC * 2.0 - 100)
    assert found.modality == "unknown"


def test_a_volume_in_hounsfield_units_is_not_taken_for_mr(tmp_path):
    nibabel.save(nibabel.Nifti1Image(ASYMMETRIC[..., None].astype(np.int16) - 1000, np.eye(4)), tmp_path / "v.nii")
    found = read_image(tmp_path / "v.nii")
    assert (found.modality, found.unit) == ("CT", "HU")


@pytest.mark.parametrize(
    ("shape", "plane"), [((80, 90, 1), Plane.AXIAL), ((80, 1, 90), Plane.CORONAL), ((1, 80, 90), Plane.SAGITTAL)]
)
def test_a_volume_one_slice_thick_is_cut_in_its_own_plane(tmp_path, shape, plane):
    nibabel.save(nibabel.Nifti1Image(np.random.default_rng(0).random(shape, np.float32), np.eye(4)), tmp_path / "v.nii")
    found = read_image(tmp_path / "v.nii")
    assert found.plane is plane and found.stored.shape == (90, 80)


def test_spacing_in_metres_is_read_as_such(tmp_path):
    image = nibabel.Nifti1Image(ASYMMETRIC[..., None].astype(np.int16), np.diag([0.001, 0.002, 0.001, 1]))
    image.header.set_xyzt_units("meter")
    nibabel.save(image, tmp_path / "v.nii")
    assert read_image(tmp_path / "v.nii").spacing_mm == pytest.approx((2.0, 1.0))


def test_nrrd_and_pictures(tmp_path):
    sitk.WriteImage(sitk.GetImageFromArray(ASYMMETRIC[None].repeat(65, 0)), str(tmp_path / "v.nrrd"))
    assert read_image(tmp_path / "v.nrrd").stored.shape == (80, 100)
    Image.fromarray(ASYMMETRIC).save(tmp_path / "deep.png")
    assert np.array_equal(read_image(tmp_path / "deep.png").stored, ASYMMETRIC)
    Image.fromarray((ASYMMETRIC / 2).astype(np.uint8)).save(tmp_path / "a.jpg")
    assert read_image(tmp_path / "a.jpg").stored.dtype == np.uint8


def test_a_photo_is_turned_as_its_exif_says(tmp_path):
    grey = (ASYMMETRIC / 2).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise by 90 degrees
    Image.fromarray(grey).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_image(tmp_path / "a.png").stored, np.rot90(grey, -1))


def test_what_is_transparent_is_black_whatever_hides_below(tmp_path):
    grey = np.full((80, 80, 2), 200, np.uint8)
    grey[:40, :, 1], grey[40:, :, 1] = 0, 255
    Image.fromarray(grey, "LA").save(tmp_path / "a.png")
    found = read_image(tmp_path / "a.png")
    assert found.stored[:40].max() == 0 and found.stored[40:].min() == 200


def test_pages_of_a_tiff_are_picked_by_number(tmp_path):
    pages = [Image.fromarray(ASYMMETRIC + n) for n in range(3)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    assert [read_image(tmp_path / "a.tif", n).stored[0, 0] for n in (0, 2, None)] == [0, 2, 1]


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
    write_dicom(folder / "palette.dcm", PhotometricInterpretation="PALETTE COLOR")
    film = pydicom.dcmread(folder / "whole.dcm")
    film.PixelData, film.file_meta.TransferSyntaxUID = encapsulate([b"\0" * 64]), MPEG2MPML
    film.save_as(folder / "film.dcm")
    volume = nibabel.Nifti1Image(np.random.default_rng(0).random((70, 70, 70), np.float32), np.eye(4))
    nibabel.save(volume, folder / "whole.nii")
    (folder / "cut.nii").write_bytes((folder / "whole.nii").read_bytes()[:-4])
    nibabel.save(nibabel.Nifti1Image(np.full((70, 70, 1), np.nan, np.float32), np.eye(4)), folder / "nan.nii")
    (folder / "sub").mkdir()
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
        "palette.dcm": "colour",
        "film.dcm": "MPEG2.*0002,0010",
        "cut.nii": "cut off",
        "nan.nii": "NaN",
        "sub": "is a folder",
        "n" * 300 + ".png": "cannot be opened",
        "zero\0.png": "cannot be opened",
    }


def test_what_cannot_be_read_is_answered_in_one_sentence(tmp_path):
    for name, words in bad_files(tmp_path).items():
        with pytest.raises(MedDiffError, match=words):
            read_image(tmp_path / name)


@pytest.mark.parametrize("kind", ["plain", "jpeg2000", "png", "nii"])
def test_a_damaged_file_never_ends_in_anything_but_a_sentence(tmp_path, kind):
    if kind in ("plain", "jpeg2000"):
        syntax = JPEG2000Lossless if kind == "jpeg2000" else ExplicitVRLittleEndian
        turned = {"ImageOrientationPatient": [0, 1, 0, 0, 0, -1], "RescaleSlope": 2, "RescaleIntercept": -5}
        path = write_dicom(tmp_path / "a.dcm", syntax=syntax, **turned)
    elif kind == "png":
        path = tmp_path / "a.png"
        Image.fromarray(ASYMMETRIC).save(path)
    else:
        path = tmp_path / "a.nii"
        nibabel.save(nibabel.Nifti1Image(ASYMMETRIC[..., None].astype(np.int16), np.eye(4)), path)
    whole, refused, rng = path.read_bytes(), 0, random.Random(0)
    for attempt in range(120):
        damaged = bytearray(whole)
        if attempt % 3 == 0:
            damaged = damaged[: rng.randrange(1, len(whole))]
        else:
            for _ in range(4):
                damaged[rng.randrange(min(900, len(whole)))] = rng.randrange(256)
        path.write_bytes(damaged)
        try:
            read_image(path)
        except MedDiffError as error:
            refused += 1
            assert str(error).endswith((".", "NaN)")) and "\n" not in str(error)
    assert refused >= 40  # every one that was cut off, at least
