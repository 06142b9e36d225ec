"""The page in a real browser: from a sentence to a kept case and a file that says where it comes from."""

from __future__ import annotations

import math
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest

from meddiff.case import Provenance, Task
from meddiff.settings import settings
from tests.conftest import make_phantom
from tests.exchange.orthanc import PASSWORD, USER, Orthanc, needs_orthanc
from tests.web.browser import BROWSER

pytestmark = BROWSER


def _create(page, sentence: str) -> None:  # type: ignore[no-untyped-def]
    page.fill("#md-sentence textarea", sentence)
    page.click("#md-create")


def _exact(page) -> None:  # type: ignore[no-untyped-def]
    """Chooses the arithmetic that the pack with random weights has."""
    page.get_by_text("Advanced").click()
    page.get_by_label("Exact (fp32)").check()


def _paint(page, across: float = 0.0, down: float = 0.0, radius: float = 30) -> None:  # type: ignore[no-untyped-def]
    """Draws a closed line, a hexagon, with the mouse; pixels of the screen, from the middle of the picture."""
    canvas = page.locator("#md-editor canvas").first
    canvas.wait_for()
    page.wait_for_timeout(
        1500
    )  # the editor puts its picture into a canvas, then fits it, and says nothing when it is done
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    for step in range(7):
        angle = 2 * math.pi * step / 6
        x = box["x"] + box["width"] / 2 + across + radius * math.cos(angle)
        y = box["y"] + box["height"] / 2 + down + radius * math.sin(angle)
        page.mouse.move(x, y)
        if step == 0:
            page.mouse.down()
    page.mouse.up()


def _download(page, kind: str, path: Path) -> Path:  # type: ignore[no-untyped-def]
    with page.expect_download() as waiting:
        page.click(f"#md-create-view-{kind}")
    waiting.value.save_as(path)
    return path


def test_a_sentence_becomes_a_case_that_is_kept_and_downloaded_with_its_origin(page, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    from meddiff.exchange.png import read_png_record

    sentence = "Axial T1 post-contrast, ring-enhancing left frontal mass, 34 mm, irregular margin"
    _exact(page)
    _create(page, sentence)
    page.wait_for_selector("#md-create-view .md-head")
    assert sentence in page.inner_text("#md-create-view .md-head")
    assert page.locator(".md-table:visible tbody tr").count() >= 1
    page.wait_for_function("document.querySelectorAll('#md-create-view .md-picture img').length >= 2")
    assert all(
        page.evaluate(
            "[...document.querySelectorAll('#md-create-view .md-picture img')].map(i => i.naturalWidth === 256)"
        )
    )

    # Invert is in the browser: the filter's slope turns negative.
    page.click("#md-create-view [data-tool=invert]")
    assert page.get_attribute("#md-create-view feFuncR", "slope") == "-1"

    provenance, spacing, _ = read_png_record(_download(page, "png", tmp_path / "case.png"))
    assert "synthetic, not for diagnosis" in provenance.notice.lower()
    assert provenance.request.sentence == sentence
    assert provenance.role == "case" and spacing == (0.98, 0.98)
    assert provenance.case_id in page.inner_text("#md-create-view .md-head")
    with zipfile.ZipFile(_download(page, "zip", tmp_path / "case.zip")) as archive:
        alone = (tmp_path / "case.png").read_bytes()
        assert archive.read(f"{provenance.case_id}/{provenance.case_id}.png") == alone

    page.click("#md-keep")
    page.wait_for_selector("#md-kept .md-note")
    page.get_by_role("tab", name="Case bank").click()
    small = page.locator("#md-bank-pictures img")
    small.wait_for()
    assert small.get_attribute("alt") == "✓ lesion, axial"
    (tmp_path / "small.png").write_bytes(page.request.get(small.get_attribute("src")).body())
    small_record = read_png_record(tmp_path / "small.png")[0]
    assert small_record.sealed_sha256 != provenance.sealed_sha256  # of its own pixels
    assert small_record.model_copy(update={"sealed_sha256": provenance.sealed_sha256}) == provenance
    page.get_by_role("tab", name="List").click()
    page.get_by_text(provenance.case_id).locator("visible=true").first.click()
    page.wait_for_selector("#md-bank-view .md-head")
    page.click("#md-delete")
    page.get_by_text("The bank is empty").wait_for()
    page.click("#md-undo")
    page.get_by_text("1 case").wait_for()
    page.wait_for_selector("#md-bank-view .md-head")
    page.click("#md-delete")
    page.get_by_text("The bank is empty").wait_for()


def test_a_damaged_case_is_crossed_out_among_the_pictures_and_says_why_when_it_is_opened(page, folder: Path) -> None:  # type: ignore[no-untyped-def]
    from meddiff.bank import Bank

    before = set((folder / "bank").glob("objects/*/*"))
    _exact(page)
    _create(page, "Axial T1 post-contrast, solid glioma, 31 mm")
    page.wait_for_selector("#md-create-view .md-head")
    page.click("#md-keep")
    page.wait_for_selector("#md-kept .md-note")
    for file in set((folder / "bank").glob("objects/*/*")) - before:
        file.write_bytes(b"not what was kept")
    page.get_by_role("tab", name="Case bank").click()
    tile = page.locator("#md-bank-pictures img")
    tile.wait_for()
    assert tile.get_attribute("alt") == "! damaged: glioma, axial"
    tile.click()
    page.get_by_text("restore it from a copy").first.wait_for()
    bank = Bank(folder / "bank")
    (case,) = bank.list(text="31 mm")
    bank.delete(case.id)


def test_a_case_is_reviewed_found_deleted_found_again_and_carried_away(page, folder: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    from meddiff.bank import Bank, Review
    from tests.bank.test_archive import make_head

    bank = Bank(folder / "bank")
    name = bank.keep(make_head(5))
    page.get_by_role("tab", name="Case bank").click()
    page.locator("#md-bank-pictures img").first.click()
    page.wait_for_selector("#md-bank-view .md-head")
    page.locator("#md-review").get_by_label("Approved").check()
    page.click("#md-save")
    page.get_by_text("Say who reviews").first.wait_for()  # nothing is approved by nobody
    page.fill("#md-who input, #md-who textarea", "Dr. Ann Lee")
    page.fill("#md-why input, #md-why textarea", "typical ring")
    page.fill("#md-tags input, #md-tags textarea", "exam, week 3")
    page.click("#md-save")
    page.get_by_text("approved by Dr. Ann Lee").wait_for()
    entry = bank.entry(name)
    assert (entry.review, entry.why, entry.tags) == (Review.APPROVED, "typical ring", ("exam", "week 3"))

    bank.tag(name, ["somebody else's".replace("'", "")], who="Bob")
    page.fill("#md-notes input, #md-notes textarea", "mine")
    page.click("#md-save")
    page.get_by_text("was changed by Bob").first.wait_for()
    assert bank.entry(name).notes == ""

    page.fill("#md-search textarea, #md-search input", "week 3")
    page.keyboard.press("Enter")
    page.get_by_text("1 case").first.wait_for()
    page.get_by_text("Carry this list elsewhere").click()
    page.click("#md-export")
    page.get_by_text("1 case in the file").wait_for()
    with page.expect_download() as waiting:
        page.click("#md-export-file")
    waiting.value.save_as(tmp_path / "bank.zip")

    bank.delete(name)
    page.set_input_files("#md-import input[type=file], input[type=file][accept='.zip']", tmp_path / "bank.zip")
    page.get_by_text("1 were there").wait_for()
    page.get_by_label("Show the deleted cases instead").check()
    page.locator("#md-bank-pictures img").first.click()
    page.get_by_text("This case is deleted").wait_for()
    page.click("#md-undo")
    page.get_by_text("Review: approved").wait_for()
    assert bank.entry(name).deleted == ""
    bank.delete(name)
    bank.tidy(deleted_days=0)


def _open(page, name: str) -> None:  # type: ignore[no-untyped-def]
    """Opens a kept case, found by its name."""
    page.get_by_role("tab", name="Case bank").click()
    page.fill("#md-search textarea, #md-search input", name)
    page.keyboard.press("Enter")
    page.get_by_text("1 case", exact=True).wait_for()
    page.locator("#md-bank-pictures img").first.click()
    page.locator("#md-bank-view .md-head", has_text=name).wait_for()


def test_a_whole_case_is_downloaded_as_one_file_with_everything_that_the_command_exports(
    page, folder: Path, tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    from meddiff.bank import Bank
    from meddiff.exchange import FORMATS, write_case
    from meddiff.exchange.png import read_png_record
    from tests.exchange.dicom_support import case_of

    bank = Bank(folder / "bank")
    name = bank.keep(case_of())
    _open(page, name)
    with page.expect_download() as waiting:
        page.click("#md-bank-view-zip")
    assert waiting.value.suggested_filename == f"{name}.zip"
    waiting.value.save_as(tmp_path / "case.zip")
    with zipfile.ZipFile(tmp_path / "case.zip") as archive:
        archive.extractall(tmp_path / "out")
    exported = write_case(bank.open(name), tmp_path / "exported", FORMATS)
    unpacked = {path.name: path.read_bytes() for path in (tmp_path / "out" / name).iterdir()}
    assert unpacked == {path.name: path.read_bytes() for path in exported}
    assert read_png_record(tmp_path / "out" / name / f"{name}.png")[0] == bank.open(name).image.provenance
    bank.delete(name)
    bank.tidy(deleted_days=0)


@needs_orthanc
def test_a_case_is_sent_to_the_allowed_pacs_once_and_the_password_stays_nowhere(
    page, folder: Path, orthanc: Orthanc
) -> None:  # type: ignore[no-untyped-def]
    from meddiff.bank import Bank
    from tests.exchange.dicom_support import case_of, request_of

    bank = Bank(folder / "bank")
    name = bank.keep(case_of(request_of(task=Task.INSERT)))
    secret = page.locator("#md-pacs-password input")

    def press(button: str, password: str, said: str) -> None:
        page.fill("#md-pacs-user :is(input, textarea)", USER)
        secret.fill(password)
        page.click(button)
        page.locator("#md-pacs-told", has_text=said).wait_for()
        assert secret.input_value() == ""

    try:
        orthanc.start()
        _open(page, name)
        page.click("#md-pacs button >> nth=0")
        page.locator("#md-pacs .md-alert", has_text="its twin is that slice").wait_for()
        assert orthanc.web == page.input_value("#md-pacs-server input") and not page.is_visible("#md-pacs-aet")
        press("#md-pacs-ask", "guess", "lets nobody in without the right user name and password")
        assert page.locator("#md-pacs-told .md-alert").count() == 1
        press("#md-pacs-ask", PASSWORD, "answers and lets you in")
        assert orthanc.held() == []
        press("#md-pacs-send", PASSWORD, "4 sent, 0 already there, 0 not sent")
        press("#md-pacs-send", PASSWORD, "0 sent, 4 already there, 0 not sent")
        assert len(orthanc.held()) == orthanc.arrived() == 4  # picture, twin, outline, report
    finally:
        orthanc.kill()
    places = [folder / "log", *(folder / "tmp").rglob("*"), *(folder / "bank").rglob("*")]
    assert not [path for path in places if path.is_file() and PASSWORD.encode() in path.read_bytes()]
    bank.delete(name)
    bank.tidy(deleted_days=0)


def test_a_sentence_nobody_understands_is_answered_in_words_and_stays_in_its_box(page) -> None:  # type: ignore[no-untyped-def]
    _create(page, "Axial T1 post-contrast, flubberous left frontal mass")
    page.wait_for_selector("#md-notice .md-alert")
    assert re.search(r"Not understood: .flubberous", page.inner_text("#md-notice"))
    assert "flubberous" in page.input_value("#md-sentence textarea")
    assert page.is_enabled("#md-create")


def test_the_words_not_for_diagnosis_never_leave_the_screen(page) -> None:  # type: ignore[no-untyped-def]
    for width in (1400, 400):
        page.set_viewport_size({"width": width, "height": 800})
        box = page.locator(".md-foot").bounding_box()
        assert box is not None and box["y"] + box["height"] <= 800.5
        assert "Not for diagnosis" in page.inner_text(".md-foot")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def _own_slice(path: Path) -> np.ndarray:
    """A head as an MR DICOM file of 240 x 240 pixels of 1 mm in 16 bits; returns its numbers."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    pixels = np.rint(make_phantom(240) * 1500).astype(np.uint16)
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    ds.PatientName, ds.PatientID, ds.Modality = "Doe^Jane", "12345", "MR"
    ds.ImageOrientationPatient, ds.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, 0]
    ds.PixelSpacing, ds.Rows, ds.Columns = [1, 1], *pixels.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 0
    ds.PixelData = pixels.tobytes()
    ds.save_as(path, enforce_file_format=True)
    return pixels


def _upload(page, path: Path) -> None:  # type: ignore[no-untyped-def]
    page.get_by_label("My own slice").check()
    page.set_input_files("#md-background input[type=file]", path)


def _change_own_slice(page, folder: Path, choice: str, sentence: str) -> np.ndarray:  # type: ignore[no-untyped-def]
    """Uploads a slice, paints an outline on it for what is chosen, and waits for the case; returns the slice's numbers."""
    given = _own_slice(folder / "own.dcm")
    _exact(page)
    _upload(page, folder / "own.dcm")
    page.get_by_text("240 × 240 pixels, 1.00 × 1.00 mm a pixel").wait_for()
    page.get_by_label(choice).check()
    _paint(page)
    _create(page, sentence)
    page.wait_for_selector("#md-create-view .md-head")
    return given


def _own_slice_changed(page, folder: Path):  # type: ignore[no-untyped-def]
    """Downloads what is shown: spacing and stamp as the PNG tells them, and the DICOM file."""
    from meddiff.exchange.png import read_png_record

    _, spacing, box = read_png_record(_download(page, "png", folder / "case.png"))
    return spacing, box, _download(page, "dicom", folder / "case.dcm")


def _only_inside(provenance: Provenance, made: np.ndarray, given: np.ndarray, stamp: tuple[slice, slice]) -> bool:
    """Whether a case differs from the slice given to it by more than the invisible mark, and only in the edit region and under the stamp."""
    from meddiff.conditions.masks import edit_region
    from meddiff.marking.watermark import LEVELS

    assert provenance.request.mask is not None
    edit = edit_region(provenance.request.mask.to_array(), provenance.request.edit_margin_mm, (1.0, 1.0))
    apart = np.abs(made[: given.shape[0]].astype(int) - given)
    differs = apart > np.ceil(LEVELS * given.max() / 255)
    inside = bool((differs & edit).any())
    differs[edit] = differs[stamp] = False
    return inside and not differs.any()


def test_a_lesion_is_painted_into_an_own_dicom_slice_and_nothing_else_changes(page, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    import nibabel
    import pydicom

    from meddiff.exchange.dicom import read_dicom_record

    given = _change_own_slice(page, tmp_path, "I paint it", "T1 post-contrast, ring-enhancing glioma")
    spacing, box, dicom = _own_slice_changed(page, tmp_path)
    provenance, dataset = read_dicom_record(dicom), pydicom.dcmread(dicom)
    assert dataset.SyntheticData == "YES" and "not for diagnosis" in dataset.ImageComments
    assert spacing == (1.0, 1.0) and provenance.request.task is Task.INSERT
    assert _only_inside(provenance, dataset.pixel_array, given, box.area)
    assert b"Doe" not in dicom.read_bytes() and b"12345" not in dicom.read_bytes()

    volume = nibabel.load(_download(page, "nifti", tmp_path / "case.nii.gz"))
    assert b"SYNTHETIC" in volume.header["descrip"].item()
    assert volume.header["aux_file"].item().decode() == provenance.case_id
    assert np.array_equal(np.asarray(volume.dataobj)[..., 0].T, dataset.pixel_array)


def test_a_lesion_is_taken_out_of_an_own_dicom_slice_without_a_word(page, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    import pydicom

    from meddiff.exchange.dicom import read_dicom_record

    given = _change_own_slice(page, tmp_path, "Take the lesion out of it", "")
    page.locator("#md-create-view-png").wait_for()
    page.get_by_label("Without it").locator("visible=true").check()
    page.wait_for_timeout(1000)  # the buttons get their new files
    _, box, dicom = _own_slice_changed(page, tmp_path)
    provenance = read_dicom_record(dicom)
    assert provenance.request.task is Task.REMOVE and provenance.role == "case"
    assert _only_inside(provenance, pydicom.dcmread(dicom).pixel_array, given, box.area)


@pytest.mark.parametrize("name", ["scan.png", "scan.dcm"])
def test_a_file_that_is_no_image_is_answered_in_words(page, tmp_path: Path, name: str) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / name).write_text("This is a letter and not an image.")
    _upload(page, tmp_path / name)
    page.locator(".md-alert").first.wait_for()
    assert name in page.locator(".md-alert").first.inner_text()


def test_lesions_are_painted_on_a_slice_that_the_model_made_first(page, folder: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    from meddiff.bank import Bank
    from meddiff.imaging.read import Slice
    from meddiff.synthesis.rebuild import rebuild
    from meddiff.synthesis.studio import Studio

    sentence = "T1 post-contrast, ring-enhancing glioma"
    _exact(page)
    page.get_by_label("Made first, to draw on").check()
    _create(page, sentence)
    page.wait_for_selector("#md-notice .md-alert")
    assert "Make the slice" in page.inner_text("#md-notice")
    page.click("#md-make-first")
    page.get_by_text("Axial slice without a lesion").wait_for()
    page.locator("button:disabled", has_text="Stop").wait_for()
    _paint(page)
    page.click("#md-create")
    page.wait_for_selector("#md-create-view .md-head")
    page.click("#md-keep")
    page.wait_for_selector("#md-kept .md-note")
    page.click("#md-clear")
    _paint(page, across=20, radius=40)
    page.click("#md-create")
    page.wait_for_function("document.querySelectorAll('#md-gallery img').length === 2")
    page.click("#md-keep")
    page.wait_for_selector("#md-kept .md-note")

    bank = Bank(folder / "bank")
    cases = bank.list(text=sentence)
    assert len(cases) == 2 and len({case.request.mask.png for case in cases}) == 2
    (background,) = {case.request.background_sha256 for case in cases}
    pixels = bank.open_background(background)
    monkeypatch.setenv("MEDDIFF_CHECKPOINTS", str(folder / "packs"))
    settings.cache_clear()
    given = Slice(
        pixels.astype(np.float32), pixels, spacing_mm=cases[0].spacing_mm, plane=cases[0].request.findings.plane
    )
    assert rebuild(bank.open(cases[0].id), Studio("brain-t1gd", "fp32"), given).identical
    settings.cache_clear()
