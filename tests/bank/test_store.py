"""What was shown as kept is there, whatever happens."""

import dataclasses
import hashlib
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from meddiff.bank import Bank
from meddiff.case import Case, Finding, Findings, MedDiffError, Plane, Provenance, Request, pixel_sha256
from meddiff.exchange.png import png_bytes
from meddiff.marking import SealedCase, seal


def make_case(seed: int = 0, pathology: str = "glioma", plane: Plane = Plane.AXIAL) -> SealedCase:
    """A sealed case with random pixels."""
    rng = np.random.default_rng(seed)
    request = Request(
        seed=seed, sentence=f"case {seed}", findings=Findings(plane=plane, finding=Finding(pathology=pathology))
    )
    case = Case(id=request.case_id(), request=request)

    def sealed(role):
        pixels = np.zeros((128, 128), np.uint8)
        pixels[20:90, 30:100] = rng.integers(60, 200, (70, 70))
        record = Provenance(
            case_id=case.id,
            role=role,
            request=request,
            pack="p",
            pack_sha256="0" * 64,
            pixel_sha256=pixel_sha256(pixels),
        )
        return seal(pixels, record)

    mask = np.zeros((128, 128), bool)
    mask[40:60, 40:70] = True
    return SealedCase(case, sealed("case"), sealed("twin"), mask)


@pytest.fixture
def bank(tmp_path):
    return Bank(tmp_path / "bank")


def test_a_case_comes_back_as_it_was_with_its_seal(bank):
    kept = make_case(1)
    back = bank.open(bank.keep(kept))
    assert back.case == kept.case
    assert np.array_equal(back.image.pixels, kept.image.pixels)
    assert np.array_equal(back.twin.pixels, kept.twin.pixels)
    assert np.array_equal(back.mask, kept.mask)
    assert back.image.provenance == kept.image.provenance
    assert back.image.box == kept.image.box


def test_keeping_twice_keeps_once(bank):
    bank.keep(make_case(1))
    bank.keep(make_case(1))
    assert len(bank.list()) == 1


def test_filters_find_what_they_name(bank):
    for seed, (pathology, plane) in enumerate(
        [("glioma", Plane.AXIAL), ("meningioma", Plane.AXIAL), ("glioma", Plane.CORONAL)]
    ):
        bank.keep(make_case(seed, pathology, plane))
    assert len(bank.list(pathology="glioma")) == 2
    assert len(bank.list(pathology="glioma", plane="coronal")) == 1
    assert [case.request.sentence for case in bank.list(text="CASE 1")] == ["case 1"]
    assert bank.list(text="%") == []
    assert len(bank.list(limit=2)) == 2 and len(bank.list(limit=2, offset=2)) == 1


def test_deleting_takes_it_out_and_unknown_ids_are_said(bank):
    name = bank.keep(make_case(1))
    bank.delete(name)
    for act in (bank.delete, bank.open):
        with pytest.raises(MedDiffError, match=f"no case '{name}'"):
            act(name)


def test_a_damaged_file_is_told_not_shown(bank):
    kept = make_case(1)
    name = bank.keep(kept)
    path = bank._object(hashlib.sha256(png_bytes(kept.image)).hexdigest())
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(MedDiffError, match="not what was kept"):
        bank.open(name)
    bank.keep(kept)  # mends it
    assert np.array_equal(bank.open(name).image.pixels, kept.image.pixels)


def test_tidy_removes_old_orphans_only(bank):
    name = bank.keep(make_case(1))
    bank.keep(make_case(2))
    bank.delete(make_case(2).case.id)
    assert bank.tidy() == 0  # young: may belong to a case being kept right now
    old = time.time() - 3600
    for path in (bank.folder / "objects").glob("*/*"):
        os.utime(path, (old, old))
    assert bank.tidy() >= 2
    bank.open(name)


def test_backgrounds_come_back_and_changed_ones_are_refused(bank):
    pixels = np.arange(200 * 100, dtype=np.uint16).reshape(200, 100)
    digest = bank.keep_background(pixels)
    assert np.array_equal(bank.open_background(digest), pixels)
    np.save(bank.folder / "backgrounds" / f"{digest}.npy", pixels + 1)
    with pytest.raises(MedDiffError, match="was changed"):
        bank.open_background(digest)
    with pytest.raises(MedDiffError, match="not in the bank"):
        bank.open_background("0" * 64)


def test_a_case_without_a_lesion_keeps_its_two_roles(bank):
    kept = make_case(1)
    twin = kept.image.provenance.model_copy(update={"role": "twin"})
    pixels = np.zeros((128, 128), np.uint8)
    pixels[20:90, 30:100] = 90
    twin = twin.model_copy(update={"pixel_sha256": pixel_sha256(pixels)})
    same = SealedCase(kept.case, seal(pixels, twin.model_copy(update={"role": "case"})), seal(pixels, twin), kept.mask)
    back = bank.open(bank.keep(same))
    assert (back.image.provenance.role, back.twin.provenance.role) == ("case", "twin")
    assert np.array_equal(back.image.pixels, back.twin.pixels)


def test_a_changed_record_in_a_kept_picture_is_told(bank):
    kept = make_case(1)
    name = bank.keep(kept)
    other = make_case(2)
    bank._object(hashlib.sha256(png_bytes(kept.image)).hexdigest()).write_bytes(png_bytes(other.image))  # a sound PNG
    with pytest.raises(MedDiffError, match="not what was kept"):
        bank.open(name)


def test_the_newest_case_comes_first(bank):
    names = [bank.keep(make_case(seed)) for seed in (3, 1, 2)]
    assert [case.id for case in bank.list()] == names[::-1]


def test_tidy_removes_backgrounds_that_no_case_needs(bank):
    pixels = np.arange(100 * 100, dtype=np.uint16).reshape(100, 100)
    needed, unused = bank.keep_background(pixels), bank.keep_background(pixels + 1)
    kept = make_case(1)
    request = kept.case.request.model_copy(update={"background_sha256": needed})
    bank.keep(dataclasses.replace(kept, case=kept.case.model_copy(update={"request": request})))
    old = time.time() - 3 * 24 * 3600
    for path in (bank.folder / "backgrounds").iterdir():
        assert path.stat().st_mode & 0o077 == 0  # nobody else reads what may show a patient
        os.utime(path, (old, old))
    assert bank.tidy() == 1
    assert np.array_equal(bank.open_background(needed), pixels)
    with pytest.raises(MedDiffError, match="not in the bank"):
        bank.open_background(unused)


def test_a_database_that_is_none_is_one_sentence(tmp_path):
    (tmp_path / "bank.sqlite").write_bytes(b"hello " * 2000)
    with pytest.raises(MedDiffError, match=r"cannot be opened: file is not a database\. Check"):
        Bank(tmp_path)


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MedDiffError, match="cannot be opened"):
        Bank(tmp_path / "file")


WRITER = """
import sys
sys.path.insert(0, {tests!r})
from test_store import make_case
from meddiff.bank import Bank
bank = Bank({folder!r})
for seed in range({start}, {start} + 1000):
    print(bank.keep(make_case(seed)), flush=True)
"""


def test_a_kill_at_any_moment_loses_nothing_that_was_shown_as_kept(tmp_path):
    folder = str(tmp_path / "bank")
    shown = []
    for turn, pause in enumerate((0.05, 0.11, 0.17)):
        code = WRITER.format(tests=os.path.dirname(__file__), folder=folder, start=turn * 1000)
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        shown.append(process.stdout.readline().strip())  # it is at work
        time.sleep(pause)
        process.send_signal(signal.SIGKILL)
        shown += process.stdout.read().split("\n")[:-1]
        process.wait()
    bank = Bank(folder)
    kept = {case.id for case in bank.list(limit=10_000)}
    assert len(shown) >= 3
    assert set(shown) <= kept
    for name in kept:
        bank.open(name)
    old = time.time() - 3600
    for path in (bank.folder / "objects").glob("*/*"):
        os.utime(path, (old, old))
    bank.tidy()
    for name in kept:
        bank.open(name)
    assert len(list((bank.folder / "objects").glob("*/*"))) == 2 * len(kept) + 1  # one outline serves them all
