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
from sqlalchemy import text

from meddiff.bank import Bank, Review, Search
from meddiff.bank.tables import engine_of
from meddiff.case import Case, Finding, Findings, Measurement, MedDiffError, Plane, Provenance, Request, pixel_sha256
from meddiff.exchange.png import png_bytes
from meddiff.marking import SealedCase, seal


def make_case(
    seed: int = 0,
    pathology: str = "glioma",
    plane: Plane = Plane.AXIAL,
    size_mm: float | None = None,
    measured_mm: float | None = None,
    pixels_seed: int | None = None,
) -> SealedCase:
    """A sealed case with random pixels, too small for the invisible mark, whose making takes long.

    Args:
        pixels_seed: gives the same request other pixels.
    """
    rng = np.random.default_rng(seed if pixels_seed is None else pixels_seed)
    finding = Finding(pathology=pathology, size_mm=size_mm)
    request = Request(seed=seed, sentence=f"case {seed}", findings=Findings(plane=plane, finding=finding))
    rows = (
        ()
        if measured_mm is None
        else (
            Measurement(name="longest diameter", asked="", measured=f"{measured_mm:g}", value=measured_mm, unit="mm"),
        )
    )
    case = Case(id=request.case_id(), request=request, measurements=rows)

    def sealed(role):
        pixels = np.zeros((120, 120), np.uint8)
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

    mask = np.zeros((120, 120), bool)
    mask[40:60, 40:70] = True
    return SealedCase(case, sealed("case"), sealed("twin"), mask)


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
    assert bank.tidy() == 0  # the deleted case can still be brought back
    assert bank.tidy(deleted_days=1) == 0
    assert bank.tidy(deleted_days=0) >= 2
    bank.open(name)
    with pytest.raises(MedDiffError, match="no case"):
        bank.undo(make_case(2).case.id)


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
    pixels = np.zeros((120, 120), np.uint8)
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
cases = [make_case(seed) for seed in range({start}, {start} + {count})]
bank = Bank({folder!r}, {url!r})
print("ready", flush=True)
for case in cases:
    print(bank.keep(case, "writer {start}"), flush=True)
"""


def writer(bank_folder, url, start, count):
    """A process that keeps cases and prints each id once it is kept."""
    code = WRITER.format(tests=os.path.dirname(__file__), folder=str(bank_folder), url=url, start=start, count=count)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


def test_two_processes_that_write_at_once_lose_nothing(bank, url):
    processes = [writer(bank.folder, url, start, 8) for start in (0, 4)]  # four cases are kept by both
    shown = [line for process in processes for line in process.communicate(timeout=120)[0].split()[1:]]
    assert [process.returncode for process in processes] == [0, 0]
    assert set(shown) == {case.id for case in bank.list(limit=1000)} == {make_case(seed).case.id for seed in range(12)}
    for name in set(shown):
        bank.open(name)
        assert [change.what for change in bank.history(name)] == ["kept"]


def test_a_kill_at_any_moment_loses_nothing_that_was_shown_as_kept(bank, url):
    pauses = np.random.default_rng(0).uniform(0.0, 1.5, 8)
    shown = []
    for turn in range(0, len(pauses), 4):  # four at once: they also wait for each other when they are killed
        processes = [writer(bank.folder, url, (turn + n) * 100, 6) for n in range(4)]
        for process in processes:
            assert process.stdout.readline() == "ready\n"
        for process, pause in zip(processes, np.diff(np.sort([0, *pauses[turn : turn + 4]])), strict=True):
            time.sleep(pause)
            process.send_signal(signal.SIGKILL)
        for process in processes:
            shown += process.stdout.read().split("\n")[:-1]
            process.wait()
    kept = {case.id for case in bank.list(limit=10_000)}
    assert len(shown) >= 5
    assert set(shown) <= kept
    old = time.time() - 3600
    for path in (bank.folder / "objects").glob("*/*"):
        os.utime(path, (old, old))
    bank.tidy()
    for name in kept:
        bank.open(name)
        assert [change.what for change in bank.history(name)] == ["kept"]
    named = {n for name in kept for v in bank.versions(name) for n in (v.image, v.twin, v.mask)}
    assert {path.stem for path in (bank.folder / "objects").glob("*/*")} == named  # nothing half-written remains


def test_other_pixels_of_the_same_request_are_a_second_version_and_a_draft_again(bank):
    first, second = make_case(1), make_case(1, pixels_seed=7)
    name = bank.keep(first, "Ann")
    bank.review(name, Review.APPROVED, "Ann", "typical")
    assert bank.keep(second, "Bob") == name
    assert np.array_equal(bank.open(name).image.pixels, second.image.pixels)
    assert np.array_equal(bank.open(name, version=1).image.pixels, first.image.pixels)
    entry = bank.entry(name)
    assert (entry.version, entry.versions, entry.review) == (2, 2, Review.DRAFT)
    assert [change.what for change in bank.history(name)] == ["kept", "review", "version"]
    with pytest.raises(MedDiffError, match="Nothing of"):
        bank.undo(name)  # that approval was of other pixels
    bank.keep(first)
    assert bank.entry(name).version == 2  # seen before: nothing new
    with pytest.raises(MedDiffError, match="no version 3"):
        bank.open(name, version=3)


def test_a_deleted_case_is_out_of_sight_until_it_is_undone_or_kept_again(bank):
    name = bank.keep(make_case(1))
    bank.delete(name, "Ann", "face to be seen")
    assert bank.list() == [] and bank.find(Search(deleted=True)).total == 1
    with pytest.raises(MedDiffError, match=f"bank undo {name}"):
        bank.open(name)
    assert bank.undo(name) == "deleted"
    bank.open(name)
    bank.delete(name)
    bank.keep(make_case(1))
    bank.open(name)
    assert [change.what for change in bank.history(name)] == ["kept", "deleted", "undo", "deleted", "restored"]


# As the first MedDiff made it; not made by today's code.
LAYOUT_1 = """
CREATE TABLE cases (id VARCHAR(32) NOT NULL, kept VARCHAR(32) NOT NULL, status VARCHAR(16) NOT NULL,
  pathology VARCHAR(64) NOT NULL, plane VARCHAR(16) NOT NULL, sentence TEXT NOT NULL, record TEXT NOT NULL,
  background VARCHAR(64) NOT NULL, image VARCHAR(64) NOT NULL, twin VARCHAR(64) NOT NULL, mask VARCHAR(64) NOT NULL,
  PRIMARY KEY (id));
CREATE INDEX ix_cases_status ON cases (status);
CREATE INDEX ix_cases_pathology ON cases (pathology);
CREATE INDEX ix_cases_plane ON cases (plane);
"""


def test_a_bank_of_the_first_layout_opens_and_loses_nothing(url, tmp_path):
    other = Bank(tmp_path / "bank")  # whose files the old database names
    kept = make_case(1, size_mm=30, measured_mm=27.5)
    other.keep(kept)
    (version,) = other.versions(kept.case.id)
    for path in (tmp_path / "bank").glob("bank.sqlite*"):
        path.unlink()
    engine = engine_of(url)
    old = {
        "id": kept.case.id, "kept": "2026-01-01T00:00:00.000000+00:00", "status": "accepted", "pathology": "glioma",
        "plane": "axial", "sentence": "case 1", "record": kept.case.canonical_json(), "background": "",
        "image": version.image, "twin": version.twin, "mask": version.mask,
    }  # fmt: skip
    with engine.begin() as connection:
        for statement in LAYOUT_1.split(";")[:-1]:
            connection.exec_driver_sql(statement)
        names = ", ".join(old)
        connection.execute(text(f"INSERT INTO cases ({names}) VALUES (:{names.replace(', ', ', :')})"), old)
    bank = Bank(tmp_path / "bank", url)
    back = bank.open(kept.case.id)
    assert back.case == kept.case and np.array_equal(back.image.pixels, kept.image.pixels)
    entry = bank.entry(kept.case.id)
    assert (entry.review, entry.version, entry.size_mm, entry.kept) == (Review.DRAFT, 1, 27.5, old["kept"])
    bank.keep(kept)  # the same pixels: no second version
    assert bank.entry(kept.case.id).versions == 1
    found = bank.recognise(kept.image.pixels)  # its fingerprint is taken when it is needed
    assert found is not None and found.case_id == kept.case.id
    bank.review(kept.case.id, Review.APPROVED, "Ann", "fine")
    assert Bank(tmp_path / "bank", url).entry(kept.case.id).review is Review.APPROVED


def test_a_bank_of_a_newer_layout_is_refused(bank, url):
    with bank.engine.begin() as connection:
        connection.execute(text("UPDATE bank_schema SET number = 99"))
    with pytest.raises(MedDiffError, match="layout 99"):
        Bank(bank.folder, url)


def test_a_server_that_is_not_there_is_one_sentence_without_the_password(tmp_path):
    with pytest.raises(MedDiffError, match="cannot be opened") as error:
        Bank(tmp_path, "postgresql://ann:secret@127.0.0.1:1/bank")
    assert "secret" not in str(error.value) and "\n" not in str(error.value)


def test_the_package_is_entered_by_any_door_at_once():
    """Each thread imports another module of it first, as tabs of the page do that are opened together."""
    script = """
import sys, threading
sys.setswitchinterval(1e-6)
doors = ["meddiff.bank", "meddiff.bank.review", "meddiff.bank.tables", "meddiff.bank.store", "meddiff.teaching.store"]
together, wrong = threading.Barrier(len(doors)), []
def enter(door):
    together.wait()
    try:
        __import__(door)
        from meddiff.bank import Bank, Review
        Bank.keep, Review.REJECTED
    except BaseException as error:
        wrong.append(f"{door}: {error!r}")
threads = [threading.Thread(target=enter, args=[door]) for door in doors]
[thread.start() for thread in threads], [thread.join() for thread in threads]
sys.exit("\\n".join(wrong) or 0)
"""
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
