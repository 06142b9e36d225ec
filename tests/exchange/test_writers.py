"""Files out: the same pixels back, nothing flipped, marked as synthetic in each format."""

import json

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image

from meddiff.case import Finding, Findings, MedDiffError, Plane, Provenance, Request, pixel_sha256
from meddiff.exchange import WRITERS, write_dicom, write_mask_nifti, write_mask_png, write_nifti, write_png
from meddiff.exchange.atomic import write_atomic
from meddiff.exchange.png import eight_bits, read_png_record, screen_bytes
from meddiff.imaging.read import read_image
from meddiff.marking import seal


def sealed_of(pixels, plane=Plane.AXIAL, modality="MR", spacing_mm=(0.98, 0.98)):
    asked = Request(findings=Findings(modality=modality, plane=plane, finding=Finding(pathology="glioma")), seed=2)
    record = Provenance(
        case_id=asked.case_id(),
        request=asked,
        pack="brain-t1gd",
        pack_sha256="a" * 64,
        pixel_sha256=pixel_sha256(pixels),
    )
    return seal(pixels, record, spacing_mm)


@pytest.fixture(params=[(np.uint8, Plane.AXIAL), (np.uint16, Plane.CORONAL), (np.uint8, Plane.SAGITTAL)], ids=str)
def sealed(request, phantom):
    kind, plane = request.param
    pixels = (phantom * (255 if kind is np.uint8 else 3000)).astype(kind)
    return sealed_of(pixels, plane, spacing_mm=(0.98, 0.5))


def test_png_gives_pixels_and_record_back(sealed, tmp_path):
    path = write_png(sealed, tmp_path / "a.png")
    record, spacing, box = read_png_record(path)
    assert np.array_equal(np.asarray(Image.open(path)), sealed.pixels)
    assert (record, spacing, box) == (sealed.provenance, sealed.spacing_mm, sealed.box)
    assert "not for diagnosis" in Image.open(path).text["Comment"]


def test_a_screen_is_given_eight_bits_with_the_record_of_what_it_shows(sealed, tmp_path):
    (tmp_path / "a.png").write_bytes(screen_bytes(sealed))
    shown = np.asarray(Image.open(tmp_path / "a.png"))
    record, spacing, box = read_png_record(tmp_path / "a.png")
    assert shown.dtype == np.uint8 and shown.max() == 255 and (spacing, box) == (sealed.spacing_mm, sealed.box)
    assert record.sealed_sha256 == pixel_sha256(shown) and record.case_id == sealed.provenance.case_id
    if sealed.pixels.dtype == np.uint8:
        assert np.array_equal(shown, sealed.pixels)
    else:
        order = np.argsort(sealed.pixels, axis=None)
        assert (np.diff(shown.ravel()[order].astype(int)) >= 0).all()


def test_sixteen_bits_are_shown_at_the_window_of_another_picture(phantom):
    bright, dim = (sealed_of((phantom * top).astype(np.uint16)) for top in (3000, 1500))
    assert eight_bits(dim, like=bright).max() < 150 < eight_bits(dim).max()


def test_dicom_and_nifti_come_back_unflipped_in_their_plane(sealed, tmp_path):
    plane = sealed.provenance.request.findings.plane
    from_dicom = read_image(write_dicom(sealed, tmp_path / "a.dcm"))
    from_nifti = read_image(write_nifti(sealed, tmp_path / "a.nii.gz"), plane=plane)
    for back in (from_dicom, from_nifti):
        assert np.array_equal(back.stored, sealed.pixels)
        assert back.plane is plane
        assert back.spacing_mm == pytest.approx(sealed.spacing_mm, abs=1e-5)
    sidecar = json.loads((tmp_path / "a.json").read_text())
    assert "not for diagnosis" in sidecar["notice"]
    assert b"SYNTHETIC" in nibabel.load(tmp_path / "a.nii.gz").header["descrip"].tobytes()


@pytest.mark.parametrize("name", sorted(WRITERS))
def test_a_second_export_is_the_same_file(name, sealed, tmp_path):
    ending, write = WRITERS[name]
    assert write(sealed, tmp_path / f"a{ending}").read_bytes() == write(sealed, tmp_path / f"b{ending}").read_bytes()


def test_the_lesion_lies_where_the_patient_has_it(phantom, phantom_mask, tmp_path):
    pixels = np.where(phantom_mask, 255, 0).astype(
        np.uint8
    )  # up and right on an axial screen: the patient's left, in front
    sealed = sealed_of(pixels)
    ds = pydicom.dcmread(write_dicom(sealed, tmp_path / "a.dcm"))
    rows, columns = np.nonzero((ds.pixel_array > 0) & sealed.outside_stamp)
    across, down = (np.array(ds.ImageOrientationPatient[at : at + 3], float) for at in (0, 3))
    corner, (row_mm, column_mm) = np.array(ds.ImagePositionPatient, float), ds.PixelSpacing
    left, back, _ = corner + across * columns.mean() * column_mm + down * rows.mean() * row_mm  # LPS+, mm
    assert (left, back) == pytest.approx((0.12 * 256 * 0.98, -0.12 * 256 * 0.98), abs=1.5)

    image = nibabel.load(write_nifti(sealed, tmp_path / "a.nii.gz"))
    mask = nibabel.load(write_mask_nifti(phantom_mask, tmp_path / "a-outline.nii.gz", sealed))
    for volume in (image, mask):
        lesion = np.argwhere((np.asarray(volume.dataobj)[..., 0] > 0) & sealed.outside_stamp.T).mean(0)
        place = volume.affine @ [*lesion, 0, 1]  # RAS+, mm
        assert place[:2] == pytest.approx((-left, -back), abs=0.01)


def test_rows_appended_for_the_stamp_move_nothing(tmp_path):
    full = np.random.default_rng(0).integers(90, 160, (128, 128), dtype=np.uint8)
    open_ = full.copy()
    open_[:, :64] = 0
    taller, plain = sealed_of(full), sealed_of(open_)
    assert taller.box.appended_rows and not plain.box.appended_rows
    mask = np.zeros((128, 128), bool)
    mask[100:120, 90:95] = True

    first, second = (pydicom.dcmread(write_dicom(s, tmp_path / "a.dcm")) for s in (taller, plain))
    assert first.ImagePositionPatient == second.ImagePositionPatient
    assert first.Rows == 128 + taller.box.appended_rows
    image = nibabel.load(write_nifti(taller, tmp_path / "a.nii.gz"))
    outline = nibabel.load(write_mask_nifti(mask, tmp_path / "a-outline.nii.gz", taller))
    assert image.shape == outline.shape and np.array_equal(image.affine, outline.affine)
    assert np.array_equal(image.affine, nibabel.load(write_nifti(plain, tmp_path / "b.nii.gz")).affine)
    with Image.open(write_mask_png(mask, tmp_path / "a-outline.png", taller)) as picture:
        assert picture.size == (128, taller.pixels.shape[0])
        assert np.array_equal(np.asarray(picture)[:128], mask)


def test_the_stamp_does_not_decide_the_window(phantom, tmp_path):
    sealed = sealed_of((phantom * 100).astype(np.uint8))  # words at 255, anatomy up to about 84
    ds = pydicom.dcmread(write_dicom(sealed, tmp_path / "a.dcm"))
    assert ds.WindowCenter + ds.WindowWidth / 2 < 100
    assert nibabel.load(write_nifti(sealed, tmp_path / "a.nii.gz")).header["cal_max"] < 100


@pytest.mark.parametrize("name", sorted(WRITERS))
def test_a_file_that_cannot_be_finished_leaves_nothing(name, phantom, tmp_path):
    resource = pytest.importorskip("resource", reason="file size limits are a Unix thing")
    ending, write = WRITERS[name]
    sealed = sealed_of((phantom * 255).astype(np.uint8))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))  # the system stops the write in the middle of the file
    try:
        with pytest.raises(MedDiffError, match=f"a{ending} was not written: the file is larger than"):
            write(sealed, tmp_path / f"a{ending}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_a_file_is_said_to_be_one(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MedDiffError, match="is a file and not a folder"):
        write_atomic(tmp_path / "file" / "a.txt", lambda temporary: None)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail(temporary):
        temporary.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(MedDiffError, match="the disk is full"):
        write_atomic(path, fail)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_file_without_our_record_is_said_to_be_none_of_ours(tmp_path):
    Image.new("L", (80, 80), 3).save(tmp_path / "other.png")
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(MedDiffError, match="carries no MedDiff record"):
        read_png_record(tmp_path / "other.png")
    with pytest.raises(MedDiffError, match="damaged or no PNG"):
        read_png_record(tmp_path / "text.png")
