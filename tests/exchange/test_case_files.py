"""A whole case as files: every one says where it comes from, and outlines lie where the lesion is."""

from __future__ import annotations

import io
import json
import zipfile

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image
from pycocotools.coco import COCO

from meddiff.case import Case, Measurement, MedDiffError, Plane, Provenance, Request, pixel_sha256
from meddiff.exchange import FORMATS, write_case, write_zip
from meddiff.exchange.coco import NAME
from meddiff.exchange.gif import read_gif_records, write_gif
from meddiff.exchange.nifti import read_nifti_record, write_nifti
from meddiff.exchange.png import read_png_record
from meddiff.marking import SealedCase, seal, thumbnail
from meddiff.marking.provenance import read_private_block

PARENT = "c" * 64


def hook(shape: tuple[int, int] = (256, 256)) -> np.ndarray:
    """An outline that looks like itself from one side only."""
    mask = np.zeros(shape, bool)
    mask[90:130, 150:156] = True
    mask[124:130, 150:176] = True
    return mask


def make_case(picture: np.ndarray, seed: int = 4, pathology: str = "glioma", language="en", mask=None) -> SealedCase:
    """A sealed case, its lesion the hook."""
    mask = hook() if mask is None else mask
    request = Request.model_validate(
        {
            "seed": seed,
            "sentence": "Axial T1 post-contrast, glioma",
            "findings": {"plane": Plane.AXIAL, "finding": {"pathology": pathology}},
        }
    )
    checks = (Measurement(name="diameter", asked="30", measured="29", unit="mm", ok=True),)
    top = 250 if picture.dtype == np.uint8 else 4000
    pixels = np.where(mask, picture.dtype.type(top), picture)

    def sealed(pixels, role, beside=None):
        record = Provenance(
            case_id=request.case_id(), role=role, request=request, pack="brain-t1gd", pack_sha256="a" * 64,
            pixel_sha256=pixel_sha256(pixels), parent_sha256=PARENT, checks=checks,
            created="2026-11-24T01:02:03+00:00",
        )  # fmt: skip
        return seal(pixels, record, avoid=mask, language=language, beside=beside)

    image = sealed(pixels, "case")
    case = Case(id=request.case_id(), request=request, measurements=checks, created="2026-11-24T01:02:03+00:00")
    return SealedCase(case, image, sealed(picture, "twin", image), mask)


@pytest.fixture(params=[np.uint8, np.uint16], ids=["8 bit", "16 bit"])
def case(request, phantom) -> SealedCase:
    return make_case((phantom * (255 if request.param is np.uint8 else 3000)).astype(request.param))


def test_every_file_of_every_format_holds_the_whole_record(case, tmp_path):
    written = write_case(case, tmp_path, FORMATS)
    name = case.case.id
    told: dict[str, str] = {}
    for path in written:
        if path.name.endswith(".gif"):
            with Image.open(path) as image:
                told[path.name] = image.info["comment"].decode()
        elif path.suffix == ".png":
            with Image.open(path) as image:
                told[path.name] = image.text.get("MedDiff", "") + image.text["Comment"]
        elif path.suffix == ".dcm":
            told[path.name] = pydicom.dcmread(path).private_block(0x0099, "MEDDIFF PROVENANCE")[0x01].value
        elif path.name.endswith(".nii.gz"):
            told[path.name] = nibabel.load(path).header.extensions[0].content.decode()
        else:
            told[path.name] = path.read_text(encoding="utf-8")
    # Two pictures in four formats and two JSON beside NIfTI; outline in three; report, GIF, record, COCO.
    assert len(told) == 2 * 4 + 2 + 3 + 4
    for file, words in told.items():
        assert "synthetic, not for diagnosis" in words.lower(), file
        assert name in words, file
        if file != f"{name}-outline.png":  # an answer key of zeros and ones names its case and says synthetic
            for wanted in ("a" * 64, PARENT, '"seed"', "glioma", "MedDiff 0.", '"precision"', "int8", "diameter", "CC BY 4.0"):  # fmt: skip
                assert wanted in words, (file, wanted)


def test_a_second_export_is_the_same_in_every_byte(case, tmp_path):
    first = {path.name: path.read_bytes() for path in write_case(case, tmp_path / "a", FORMATS)}
    second = {path.name: path.read_bytes() for path in write_case(case, tmp_path / "b", FORMATS)}
    assert first == second


def test_a_zip_holds_every_file_of_every_format_and_is_the_same_in_every_byte(case, tmp_path):
    written = write_case(case, tmp_path / "files", FORMATS)
    first, second = (write_zip(case, tmp_path / name) for name in ("a.zip", "b.zip"))
    with zipfile.ZipFile(first) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    assert list(held) == sorted(held)
    assert held == {f"{case.case.id}/{path.name}": path.read_bytes() for path in written}
    assert first.read_bytes() == second.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip", "b.zip", "files"]


def test_a_zip_that_cannot_be_written_says_why_and_leaves_nothing(case, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(MedDiffError, match="a part of its path is a file"):
        write_zip(case, tmp_path / "file" / "a.zip")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_an_unknown_format_is_named_and_nothing_is_written(case, tmp_path):
    with pytest.raises(MedDiffError, match="'jpeg' is no format"):
        write_case(case, tmp_path / "out", ["jpeg"])
    assert not (tmp_path / "out").exists()


def test_sixteen_bit_png_keeps_every_grey_level(case, tmp_path):
    write_case(case, tmp_path, ["png16"])
    path = tmp_path / f"{case.case.id}-16bit.png"
    with Image.open(path) as image:
        deep = np.asarray(image).astype(np.uint16)
    factor = 257 if case.image.pixels.dtype == np.uint8 else 1
    assert np.array_equal(deep, case.image.pixels.astype(np.uint16) * factor)
    record = read_png_record(path)[0]
    assert record.sealed_sha256 == pixel_sha256(deep)


def test_coco_is_read_by_its_own_tools_and_the_mask_is_not_flipped(case, phantom, tmp_path):
    other = make_case((phantom * 255).astype(np.uint8), seed=9, pathology="meningioma")
    for one in (case, other, case):  # written twice, it stands there once
        write_case(one, tmp_path, ["coco"])
    coco = COCO(tmp_path / NAME)
    assert len(coco.imgs) == 4 and len(coco.anns) == 2
    assert {c["name"] for c in coco.loadCats(coco.getCatIds())} == {"glioma", "meningioma"}
    for one in (case, other):
        image = next(i for i in coco.imgs.values() if i["file_name"] == f"{one.case.id}.png")
        (annotation,) = coco.loadAnns(coco.getAnnIds(imgIds=image["id"]))
        assert np.array_equal(coco.annToMask(annotation) > 0, one.image.fit(one.mask))
        assert annotation["bbox"] == [150, 90, 26, 40] and annotation["area"] == one.mask.sum()
        with Image.open(tmp_path / image["file_name"]) as picture:
            assert picture.size == (image["width"], image["height"])
        assert image["provenance"]["case_id"] == one.case.id
    twin = next(i for i in coco.imgs.values() if i["file_name"] == f"{case.case.id}-twin.png")
    assert not coco.getAnnIds(imgIds=twin["id"])


def test_somebody_elses_coco_file_is_left_alone(case, tmp_path):
    (tmp_path / NAME).write_text('{"images": [{"id": 1}], "annotations": [], "categories": [], "licenses": []}')
    before = (tmp_path / NAME).read_bytes()
    with pytest.raises(MedDiffError, match="no COCO file of MedDiff"):
        write_case(case, tmp_path, ["coco"])
    assert (tmp_path / NAME).read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_case_and_twin_blink_and_every_frame_is_stamped(case, tmp_path):
    path = write_gif([case.image, case.twin], tmp_path / "a.gif", 0.5)
    with Image.open(path) as image:
        assert image.n_frames == 2 and image.info["loop"] == 0 and image.info["duration"] == 500
        frames = []
        for number in range(2):
            image.seek(number)
            frames.append(np.asarray(image.convert("L")))
    area = case.image.box.area
    assert np.array_equal(frames[0][area], frames[1][area])
    assert frames[0][area].max() > 200 and frames[0][area].min() < 10
    assert frames[0][case.mask].mean() > frames[1][case.mask].mean() + 20
    if case.image.pixels.dtype == np.uint8:
        assert np.array_equal(frames[0], case.image.pixels) and np.array_equal(frames[1], case.twin.pixels)
    assert [record.role for record in read_gif_records(path)] == ["case", "twin"]


def test_frames_of_several_sizes_and_none_are_refused(case, phantom, tmp_path):
    with pytest.raises(MedDiffError, match="no picture"):
        write_gif([], tmp_path / "a.gif")
    with pytest.raises(MedDiffError, match="Only sealed images"):
        write_gif([phantom], tmp_path / "a.gif")
    other = make_case((phantom[:200] * 255).astype(np.uint8), mask=hook((200, 256)))
    with pytest.raises(MedDiffError, match="have 2"):
        write_gif([case.image, other.image], tmp_path / "a.gif")
    assert not list(tmp_path.iterdir())


def test_a_nifti_file_alone_gives_its_record_back(case, tmp_path):
    path = write_nifti(case.image, tmp_path / "a.nii.gz")
    (tmp_path / "a.json").unlink()
    assert read_nifti_record(path) == case.image.provenance
    plain = nibabel.Nifti1Image(np.zeros((4, 4, 1), np.uint8), np.eye(4))
    nibabel.save(plain, tmp_path / "other.nii")
    with pytest.raises(MedDiffError, match="carries no MedDiff record"):
        read_nifti_record(tmp_path / "other.nii")


def test_a_case_without_a_lesion_has_no_segmentation_but_all_else(case, tmp_path):
    empty = SealedCase(case.case, case.image, case.twin, np.zeros_like(case.mask))
    names = {path.name for path in write_case(empty, tmp_path, ["dicom", "coco"])}
    assert f"{case.case.id}-outline.dcm" not in names and f"{case.case.id}-report.dcm" in names
    assert json.loads((tmp_path / NAME).read_text())["annotations"] == []
    report = pydicom.dcmread(tmp_path / f"{case.case.id}-report.dcm")
    assert read_private_block(report, "report").case_id == case.case.id


@pytest.mark.parametrize("language", ["en", "zh"])
def test_thumbnails_speak_the_language_of_their_picture(phantom, language):
    case = make_case((phantom * 255).astype(np.uint8), language=language)
    assert case.image.box.language == case.twin.box.language == language
    assert f'"language": "{language}"' in Image.open(io.BytesIO(thumbnail(case.image))).text["MedDiff"]
