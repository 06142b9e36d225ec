"""Any picture: made by MedDiff or not known, which case, and what was done to it since."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from scipy import ndimage

from meddiff.bank import Bank
from meddiff.case import pixel_sha256
from meddiff.cli import main
from meddiff.exchange import WRITERS, write_png
from meddiff.marking.provenance import png_text
from meddiff.verify import Answer, verify_file
from tests.conftest import make_phantom
from tests.exchange.test_case_files import make_case

SENTENCE = "Axial T1 post-contrast, ring-enhancing left frontal glioma, 35 mm"


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A bank with one case, and the case."""
    case = make_case((make_phantom() * 230).astype(np.uint8))
    bank = Bank(tmp_path_factory.mktemp("verify-bank"))
    bank.keep(case)
    return bank, case


def stranger() -> np.ndarray:
    """A picture that nobody made a case of, uint8 [200, 200]."""
    blobs = ndimage.gaussian_filter(np.random.default_rng(3).normal(size=(200, 200)), 9)
    return np.clip(120 + 900 * blobs, 0, 255).astype(np.uint8)


def names(verdict) -> set[str]:
    return {change.name for change in verdict.changes}


@pytest.mark.parametrize("kind", sorted(WRITERS))
def test_what_left_is_known_to_the_pixel_in_every_format(kept, tmp_path, kind):
    _, case = kept
    ending, write = WRITERS[kind]
    (verdict,) = verify_file(write(case.image, tmp_path / f"x{ending}"))
    assert verdict.answer is Answer.OURS and verdict.case_id == case.case.id
    assert "exactly those that left" in verdict.said


def test_a_record_copied_onto_another_picture_is_no_proof(kept, tmp_path):
    _, case = kept
    source = write_png(case.image, tmp_path / "x.png")
    info = PngInfo()
    with Image.open(source) as image:
        info.add_itxt("MedDiff", image.text["MedDiff"])
    Image.fromarray((make_phantom() * 255).astype(np.uint8)).save(tmp_path / "forged.png", pnginfo=info)
    (verdict,) = verify_file(tmp_path / "forged.png")
    assert verdict.exit_code == 3 and "changed" in names(verdict)


def test_a_record_forged_to_name_another_pictures_pixels_is_no_proof_either(kept, tmp_path):
    _, case = kept
    other = stranger()
    record = case.image.provenance.model_copy(update={"sealed_sha256": pixel_sha256(other)})
    Image.fromarray(other).save(tmp_path / "forged.png", pnginfo=png_text(record, (1.0, 1.0), case.image.box))
    (verdict,) = verify_file(tmp_path / "forged.png")
    assert verdict.exit_code == 3 and "mark missing" in names(verdict)


def test_a_stranger_is_not_known_and_never_called_real(kept, tmp_path):
    Image.fromarray(stranger()).save(tmp_path / "stranger.png")
    (verdict,) = verify_file(tmp_path / "stranger.png", kept[0])
    assert verdict.exit_code == 1 and "does not mean" in verdict.said


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


def test_a_folder_is_a_line_a_file_and_json_is_one_object_a_line(kept, tmp_path, capsys, monkeypatch):
    from meddiff.settings import settings

    bank, case = kept
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
