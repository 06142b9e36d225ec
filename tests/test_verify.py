"""Any file: made by MedDiff or not known, which case, how sure, and what was done to it since."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo
from scipy import ndimage

from meddiff.bank import Bank
from meddiff.case import pixel_sha256
from meddiff.cli import main
from meddiff.exchange import FORMATS, write_case, write_png
from meddiff.marking import SealedCase, SealedImage
from meddiff.marking.provenance import png_text
from meddiff.settings import settings
from meddiff.verify import Answer, Verdict, verify_file, verify_folder
from tests.conftest import make_phantom
from tests.exchange.test_case_files import make_case

ROLES = {  # what each file that write_case writes is told to be, by what follows the case's id
    ".png": "case", "-16bit.png": "case", ".dcm": "case", ".nii.gz": "case", "-twin.png": "twin", "-twin-16bit.png": "twin",
    "-twin.dcm": "twin", "-twin.nii.gz": "twin", "-blink.gif": "case, twin", "-outline.png": "outline", "-outline.dcm": "outline",
    "-outline.nii.gz": "outline", "-report.dcm": "report", "-record.json": "record", ".json": "record", "-twin.json": "record",
    "coco.json": "COCO file",
}  # fmt: skip
PICTURES = {ending: role for ending, role in ROLES.items() if "case" in role or "twin" in role}


def head(seed: int = 0) -> np.ndarray:
    """A head with texture in it, in [0, 1], float32 [256, 256]."""
    picture, random = make_phantom(), np.random.default_rng(seed)
    texture = sum(ndimage.gaussian_filter(random.normal(size=picture.shape), sigma) * sigma for sigma in (3, 6, 12))
    return np.clip(picture + 0.06 * texture * (picture > 0.05), 0, 1).astype(np.float32)


def to_bytes(picture: np.ndarray) -> np.ndarray:
    """Clipped and rounded to 8 bit."""
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def case() -> SealedCase:
    return make_case(to_bytes(head() * 230))


@pytest.fixture(scope="module")
def deep() -> SealedCase:
    """A case of 16 bit."""
    return make_case((head(5)[::-1] * 3000).astype(np.uint16), seed=9)


@pytest.fixture(scope="module")
def bank(case, deep, tmp_path_factory) -> Bank:
    bank = Bank(tmp_path_factory.mktemp("verify-bank"))
    bank.keep(case)
    bank.keep(deep)
    return bank


@pytest.fixture(scope="module")
def exported(case, tmp_path_factory) -> Path:
    """A folder with every file that the case can be written as."""
    folder = tmp_path_factory.mktemp("exported")
    write_case(case, folder, FORMATS)
    return folder


@pytest.fixture(scope="module")
def exported_deep(deep, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("exported-deep")
    write_case(deep, folder, FORMATS)
    return folder


def names(verdict: Verdict) -> set[str]:
    return {change.name for change in verdict.changes}


def witnesses(verdict: Verdict) -> set[str]:
    return {each.witness for each in verdict.evidence}


# ---------------------------------------------------------------- what left, as it left


@pytest.mark.parametrize("ending", sorted(ROLES))
@pytest.mark.parametrize(("bits", "keeps"), [(8, False), (16, True)], ids=["8 bit, no bank", "16 bit, in the bank"])
def test_every_file_of_a_case_is_known_and_told_what_it_is(ending, bits, keeps, request):
    case = request.getfixturevalue("case" if bits == 8 else "deep").case
    folder = request.getfixturevalue("exported" if bits == 8 else "exported_deep")
    path = folder / (ending if ending == "coco.json" else f"{case.id}{ending}")
    verdicts = verify_file(path, request.getfixturevalue("bank") if keeps else None)
    assert ", ".join(verdict.role for verdict in verdicts) == ROLES[ending]
    for verdict in verdicts:
        assert (verdict.answer, verdict.case_id, verdict.changes) == (Answer.OURS, case.id, ())
        assert verdict.kept == keeps
        if ending in PICTURES:
            assert "exactly those that left" in verdict.said and "mark" in witnesses(verdict)
        else:
            assert "mark" not in witnesses(verdict) and "fingerprint" not in witnesses(verdict)


def test_every_file_that_a_case_is_written_as_is_in_the_table(case, exported):
    assert {path.name.removeprefix(case.case.id) for path in exported.iterdir()} == set(ROLES)


def test_a_record_is_told_to_be_words_alone(case, exported):
    (verdict,) = verify_file(exported / f"{case.case.id}-record.json")
    assert "words alone" in verdict.said and "anybody can copy" in verdict.sure


# ---------------------------------------------------------------- pictures that were handled


def resized(picture: np.ndarray, factor: float) -> np.ndarray:
    rows, columns = (round(side * factor) for side in picture.shape)
    return np.asarray(Image.fromarray(picture).resize((columns, rows), Image.Resampling.BICUBIC))


def cropped(picture: np.ndarray, share: float) -> np.ndarray:
    """The middle, a share of the area."""
    rows, columns = (round(side * share**0.5) for side in picture.shape)
    top, left = (picture.shape[0] - rows) // 2, (picture.shape[1] - columns) // 2
    return picture[top : top + rows, left : left + columns]


def with_lesion(picture: np.ndarray) -> np.ndarray:
    """A bright blob, painted in around row 150, column 90."""
    rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]]
    return to_bytes(picture + 100 * np.exp(-((rows - 150) ** 2 + (columns - 90) ** 2) / (2 * 7**2)))


def without_stamp(picture: np.ndarray) -> np.ndarray:
    """The stamp of `make_case` painted black."""
    painted = picture.copy()
    painted[224:] = 0
    return painted


def screenshot(picture: np.ndarray) -> np.ndarray:
    """The picture at 140% on a page with a title bar."""
    shown = resized(picture, 1.4)
    page = Image.new("L", (shown.shape[1] + 200, shown.shape[0] + 130), 235)
    draw = ImageDraw.Draw(page)
    draw.rectangle((0, 0, page.width, 34), fill=60)
    draw.text((10, 10), "Viewer - case 3 of 10    File  Edit  View", fill=230)
    page.paste(Image.fromarray(shown), (90, 80))
    return np.asarray(page)


def blurred(picture: np.ndarray) -> np.ndarray:
    return to_bytes(ndimage.gaussian_filter(picture.astype(np.float32), 3))


Handling = Callable[[np.ndarray], np.ndarray]
HANDLED: dict[str, tuple[Handling, int | None, set[str], int]] = {
    # what was done: how, JPEG quality, what is told, exit code
    "saved again": (lambda p: p, None, set(), 0),
    "JPEG 50": (lambda p: p, 50, {"recompressed"}, 0),
    "smaller": (lambda p: resized(p, 0.6), None, {"resized"}, 0),
    "larger": (lambda p: resized(p, 1.8), None, {"resized"}, 0),
    "cut to half its area": (lambda p: cropped(p, 0.5), None, {"cropped", "stamp cut off"}, 0),
    "mirrored": (lambda p: p[:, ::-1], None, {"mirrored"}, 3),
    "upside down": (lambda p: p[::-1], None, {"mirrored"}, 3),
    "half a turn": (lambda p: p[::-1, ::-1], None, {"turned"}, 0),
    "a quarter turn": (np.rot90, None, {"turned"}, 0),
    "a quarter turn, mirrored": (lambda p: p.T, None, {"mirrored"}, 3),
    "mirrored, cut, JPEG 85": (lambda p: cropped(p[:, ::-1], 0.6), 85, {"mirrored", "cropped", "stamp cut off", "recompressed"}, 3),
    "inverted": (lambda p: 255 - p, None, {"inverted"}, 0),
    "another window": (lambda p: to_bytes((p - 20.0) * 255 / 130), None, {"windowed"}, 0),
    "another gamma": (lambda p: to_bytes((p / 255) ** 0.6 * 255), None, {"gamma"}, 0),
    "rotated": (lambda p: ndimage.rotate(p, 2, reshape=False, order=1), None, {"rotated"}, 0),
    "a lesion painted in": (with_lesion, None, {"altered"}, 3),
    "a lesion painted in, JPEG 70": (with_lesion, 70, {"altered", "recompressed"}, 3),
    "stamp painted over": (without_stamp, None, {"stamp removed"}, 3),
    "screenshot": (screenshot, 80, {"resized", "framed", "recompressed"}, 0),
    "16 bit": (lambda p: p.astype(np.uint16) * 257, None, {"bit depth"}, 0),
}  # fmt: skip


def saved(picture: np.ndarray, folder: Path, quality: int | None = None) -> Path:
    """A picture as PNG, or as JPEG, without its record."""
    path = folder / ("x.png" if quality is None else "x.jpg")
    Image.fromarray(np.ascontiguousarray(picture)).save(path, **({} if quality is None else {"quality": quality}))
    return path


@pytest.mark.parametrize("handling", HANDLED)
def test_a_handled_picture_is_known_and_what_was_done_is_told(handling, case, bank, tmp_path):
    handle, quality, told, code = HANDLED[handling]
    (verdict,) = verify_file(saved(handle(case.image.pixels), tmp_path, quality), bank)
    assert verdict.case_id == case.case.id and "mark" in witnesses(verdict)
    assert verdict.role == "case"
    assert names(verdict) == told | {"record lost"}
    assert verdict.exit_code == code


def test_a_painted_lesion_is_told_where_it_is(case, bank, tmp_path):
    (verdict,) = verify_file(saved(with_lesion(case.image.pixels), tmp_path), bank)
    said = next(change.said for change in verdict.changes if change.name == "altered")
    top, bottom, left, right = (int(n) for n in re.findall(r"\d+", said.split("lies in")[1]))
    assert top < 150 < bottom and left < 90 < right and bottom - top < 40 and right - left < 40


def test_sixteen_bits_made_eight_are_the_case_of_sixteen(deep, bank, tmp_path):
    shown = to_bytes(deep.twin.pixels / deep.twin.pixels.max() * 255)
    (verdict,) = verify_file(saved(shown, tmp_path), bank)
    assert (verdict.case_id, verdict.role, verdict.exit_code) == (deep.case.id, "twin", 0)
    assert names(verdict) == {"bit depth", "record lost"}


def test_where_the_mark_is_gone_the_fingerprint_speaks_and_the_answer_says_so(case, bank, tmp_path):
    path = saved(blurred(case.image.pixels), tmp_path)
    (verdict,) = verify_file(path, bank)
    assert (verdict.case_id, verdict.exit_code) == (case.case.id, 0)
    assert witnesses(verdict) == {"fingerprint"} and names(verdict) == {"blurred", "record lost"}
    assert "the fingerprint) alone" in verdict.sure and "No mark was found" in verdict.sure


def test_a_stretched_picture_is_not_taken_for_another(case, bank, tmp_path):
    wide = np.asarray(Image.fromarray(case.image.pixels).resize((340, 256)))
    (verdict,) = verify_file(saved(wide, tmp_path), bank)
    assert (verdict.case_id, verdict.exit_code) == (case.case.id, 0) and "stretched" in names(verdict)


def test_without_a_bank_the_mark_tells_that_a_picture_is_mirrored(case, tmp_path):
    (verdict,) = verify_file(saved(case.image.pixels[:, ::-1], tmp_path))
    assert (verdict.case_id, verdict.exit_code) == (case.case.id, 3) and "mirrored" in names(verdict)


# ---------------------------------------------------------------- files that other programs made of ours


def test_a_volume_that_was_renamed_and_moved_without_its_json_is_known_to_the_pixel(case, exported, tmp_path):
    shutil.copy(exported / f"{case.case.id}-twin.nii.gz", tmp_path / "scan.nii.gz")
    (verdict,) = verify_file(tmp_path / "scan.nii.gz")
    assert (verdict.role, verdict.exit_code) == ("twin", 0) and "exactly those that left" in verdict.said


def test_a_volume_stored_the_other_way_round_is_not_mirrored_and_one_that_is_shows(case, exported, tmp_path):
    volume = nibabel.load(exported / f"{case.case.id}.nii.gz")
    nibabel.save(nibabel.as_closest_canonical(volume), tmp_path / "ras.nii.gz")
    (verdict,) = verify_file(tmp_path / "ras.nii.gz")
    assert "exactly those that left" in verdict.said
    flipped = np.ascontiguousarray(np.asarray(volume.dataobj)[::-1])
    nibabel.save(nibabel.Nifti1Image(flipped, volume.affine, volume.header), tmp_path / "mirrored.nii.gz")
    (verdict,) = verify_file(tmp_path / "mirrored.nii.gz")
    assert verdict.exit_code == 3 and "mirrored" in names(verdict)


def without_private_tags(path: Path, out: Path) -> Path:
    dataset = pydicom.dcmread(path)
    dataset.remove_private_tags()
    dataset.save_as(out)
    return out


def test_of_a_dicom_file_from_an_archive_that_strips_private_tags_mark_and_attributes_speak(
    case, bank, exported, tmp_path
):
    path = without_private_tags(exported / f"{case.case.id}.dcm", tmp_path / "x.dcm")
    (verdict,) = verify_file(path, bank)
    assert witnesses(verdict) == {"mark", "fingerprint", "attributes"}
    assert verdict.said == f"It is MedDiff's case {case.case.id}. The pixels are exactly those that left. Done to it since: record lost."  # fmt: skip
    attributes = next(each for each in verdict.evidence if each.witness == "attributes")
    assert attributes.case_id == case.case.id and "Synthetic Data (0008,001C) = YES" in attributes.said


@pytest.mark.parametrize("what", ["outline", "report"])
def test_outline_and_report_from_such_an_archive_are_known_by_their_attributes(case, exported, tmp_path, what):
    path = without_private_tags(exported / f"{case.case.id}-{what}.dcm", tmp_path / "x.dcm")
    (verdict,) = verify_file(path)
    assert (verdict.exit_code, verdict.role, verdict.case_id) == (0, what, case.case.id)
    assert "words alone" in verdict.sure


def test_a_dicom_file_of_ours_that_no_longer_says_synthetic_is_not_to_be_trusted(case, exported, tmp_path):
    dataset = pydicom.dcmread(exported / f"{case.case.id}.dcm")
    dataset.SyntheticData, dataset.PatientName, dataset.PatientID = "NO", "Doe^John", "1"
    del dataset.ContributingEquipmentSequence
    dataset.save_as(tmp_path / "x.dcm")
    (verdict,) = verify_file(tmp_path / "x.dcm")
    assert verdict.exit_code == 3 and "attributes stripped" in names(verdict)


def test_a_changed_outline_and_a_changed_report_are_altered(case, exported, tmp_path):
    outline = pydicom.dcmread(exported / f"{case.case.id}-outline.dcm")
    outline.PixelData = outline.PixelData[:3000] + b"\xff" * 100 + outline.PixelData[3100:]
    report = pydicom.dcmread(exported / f"{case.case.id}-report.dcm")
    report.ContentSequence.pop()
    for dataset in (outline, report):
        dataset.save_as(tmp_path / "x.dcm")
        (verdict,) = verify_file(tmp_path / "x.dcm")
        assert verdict.exit_code == 3 and names(verdict) == {"altered"}


def test_an_outline_without_a_hash_is_held_against_the_kept_one(case, bank, exported, tmp_path):
    with Image.open(exported / f"{case.case.id}-outline.png") as image:
        mask, info = np.array(image), PngInfo()
        info.add_text("Comment", image.text["Comment"])
    moved, mirrored = np.roll(mask, 30, 0), mask[:, ::-1]
    for changed, told in ((moved, "altered"), (mirrored, "mirrored")):
        Image.fromarray(np.ascontiguousarray(changed)).save(tmp_path / "x.png", pnginfo=info)
        (verdict,) = verify_file(tmp_path / "x.png", bank)
        assert verdict.exit_code == 3 and names(verdict) == {told}


def test_an_edited_record_is_found_out(case, bank, exported, tmp_path):
    held = json.loads((exported / f"{case.case.id}-record.json").read_text())
    held["measurements"][0]["measured"] = "99"
    (tmp_path / "x.json").write_text(json.dumps(held))
    (verdict,) = verify_file(tmp_path / "x.json", bank)
    assert verdict.exit_code == 3 and "measurements" in verdict.said
    held["request"]["seed"] = held["provenance"]["request"]["seed"] = (
        99  # the id is the request's hash: no bank is needed
    )
    (tmp_path / "x.json").write_text(json.dumps(held))
    (verdict,) = verify_file(tmp_path / "x.json")
    assert verdict.exit_code == 3 and "request" in verdict.said


# ---------------------------------------------------------------- forgeries and contradictions


def with_record(pixels: np.ndarray, image: SealedImage, path: Path, **changes: object) -> Path:
    """A picture with the record of a sealed one in it."""
    record = image.provenance.model_copy(update=changes)
    Image.fromarray(pixels).save(path, pnginfo=png_text(record, (1.0, 1.0), image.box))
    return path


def stranger() -> np.ndarray:
    """A picture that nobody made a case of, uint8 [200, 200]."""
    blobs = ndimage.gaussian_filter(np.random.default_rng(3).normal(size=(200, 200)), 9)
    return np.clip(120 + 900 * blobs, 0, 255).astype(np.uint8)


def test_a_record_copied_onto_another_picture_is_no_proof(case, tmp_path):
    (verdict,) = verify_file(with_record(stranger(), case.image, tmp_path / "x.png"))
    assert verdict.exit_code == 3 and names(verdict) == {"mark missing", "changed"}
    assert "do not believe it" in verdict.said


def test_a_record_forged_to_name_another_pictures_pixels_is_no_proof_either(case, tmp_path):
    forged = {"sealed_sha256": pixel_sha256(stranger()), "mark_version": None}  # so it says that it carries no mark
    (verdict,) = verify_file(with_record(stranger(), case.image, tmp_path / "x.png", **forged))
    assert verdict.exit_code == 3 and names(verdict) == {"mark missing"}


def test_a_painted_picture_whose_record_was_forged_to_fit_is_found_out_by_the_bank(case, bank, tmp_path):
    painted = with_lesion(case.image.pixels)
    path = with_record(painted, case.image, tmp_path / "x.png", sealed_sha256=pixel_sha256(painted))
    (verdict,) = verify_file(path, bank)
    assert verdict.exit_code == 3 and names(verdict) == {"altered"}


def test_two_witnesses_that_contradict_each_other_are_both_named(case, deep, bank, tmp_path):
    (verdict,) = verify_file(with_record(case.image.pixels, deep.image, tmp_path / "x.png"), bank)
    assert verdict.exit_code == 3 and "contradiction" in names(verdict)
    assert verdict.case_id == case.case.id  # pixels are believed before words
    assert case.case.id in verdict.said and deep.case.id in verdict.said


def test_the_twins_pixels_under_the_cases_record_are_a_contradiction(case, bank, tmp_path):
    (verdict,) = verify_file(with_record(case.twin.pixels, case.image, tmp_path / "x.png"), bank)
    assert (verdict.exit_code, verdict.role) == (3, "twin") and "role" in names(verdict)


def test_a_record_that_was_edited_in_a_kept_picture_is_found_out(case, bank, tmp_path):
    (verdict,) = verify_file(with_record(case.image.pixels, case.image, tmp_path / "x.png", reason="none"), bank)
    assert verdict.exit_code == 3 and names(verdict) == {"record changed"}


# ---------------------------------------------------------------- what is not ours


@pytest.mark.parametrize("picture", ["a stranger", "a head that was never kept", "an outline of nobody's"])
def test_what_is_not_ours_is_not_known_and_never_called_real(picture, case, bank, tmp_path):
    other = to_bytes(ndimage.rotate(head(11), 20, reshape=False, order=1)[:, ::-1] * 200)
    pixels = {"a stranger": stranger(), "a head that was never kept": other, "an outline of nobody's": case.mask}
    (verdict,) = verify_file(saved(pixels[picture], tmp_path), bank)
    assert (verdict.exit_code, verdict.case_id, verdict.changes, verdict.evidence) == (1, "", (), ())
    assert verdict.answer is Answer.UNKNOWN and "real" not in verdict.said


def test_somebody_elses_segmentation_is_not_known(case, exported, tmp_path):
    dataset = pydicom.dcmread(without_private_tags(exported / f"{case.case.id}-outline.dcm", tmp_path / "x.dcm"))
    dataset.PatientName, dataset.PatientID, dataset.StudyID = "Doe^Jane", "1", "1"
    del dataset.SyntheticData, dataset.ContributingEquipmentSequence
    dataset.save_as(tmp_path / "x.dcm")
    (verdict,) = verify_file(tmp_path / "x.dcm")
    assert verdict.exit_code == 1 and not verdict.evidence


@pytest.mark.parametrize("text", [b"This is a letter.", b"", b"\x89PNG\r\n\x1a\n cut off"])
def test_what_cannot_be_read_is_a_sentence(tmp_path, text):
    path = tmp_path / "x.png"
    path.write_bytes(text)
    (verdict,) = verify_file(path)
    assert verdict.exit_code == 2 and "x.png" in verdict.said


def test_a_picture_that_says_it_is_huge_is_refused_before_it_is_unpacked(tmp_path):
    buffer = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(buffer, "PNG")
    (tmp_path / "bomb.png").write_bytes(buffer.getvalue())
    (verdict,) = verify_file(tmp_path / "bomb.png")
    assert verdict.exit_code == 2 and "pixels" in verdict.said


# ---------------------------------------------------------------- folders and scripts


def test_of_a_folder_pictures_are_looked_at_and_json_only_where_it_is_ours(case, exported, tmp_path):
    for name in (f"{case.case.id}.png", f"{case.case.id}-record.json", "coco.json"):
        shutil.copy(exported / name, tmp_path / name)
    (tmp_path / "settings.json").write_text('{"window": 80}')
    (tmp_path / "notes.txt").write_text("MedDiff")
    seen = {Path(verdict.file).name: verdict.role for verdict in verify_folder(tmp_path)}
    assert seen == {f"{case.case.id}.png": "case", f"{case.case.id}-record.json": "record", "coco.json": "COCO file"}


def test_a_folder_is_a_line_a_file_and_json_is_one_object_a_line(case, bank, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("MEDDIFF_CASEBANK", str(Path(bank.folder)))
    settings.cache_clear()
    write_png(case.image, tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no picture")
    assert main(["verify", str(tmp_path)]) == 2
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 3 and "made by MedDiff" in out[0] and "cannot be read" in out[1]
    assert main(["verify", str(tmp_path / "a.png"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["case_id"] == case.case.id
    settings.cache_clear()
