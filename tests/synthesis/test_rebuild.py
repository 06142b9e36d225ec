"""From a record alone the same pixels come again, or it is said how far others are off."""

import numpy as np
import pytest

from meddiff.case import Acquisition, MedDiffError, Request, Tolerance, pixel_sha256
from meddiff.cli import main
from meddiff.exchange import WRITERS, write_png
from meddiff.exchange.gif import write_blink
from meddiff.synthesis.rebuild import old_pixels, read_record, rebuild, rebuild_record
from meddiff.synthesis.series import make_series, plan_of
from meddiff.synthesis.studio import Studio

SENTENCE = "Axial T1 post-contrast, ring-enhancing left frontal glioma, 35 mm"


@pytest.fixture
def studio(tiny_house) -> Studio:
    return Studio("brain-t1gd", "fp32")


@pytest.fixture
def case(studio):
    asked = Request(sentence=SENTENCE, steps=2, precision="fp32", tolerance=Tolerance(redraws=0))
    return next(studio.create(asked))


@pytest.mark.parametrize("role", ["image", "twin"])
@pytest.mark.parametrize("kind", sorted(WRITERS))
def test_the_record_in_a_file_of_any_kind_gives_the_same_pixels(case, studio, tmp_path, kind, role):
    ending, write = WRITERS[kind]
    path = write(getattr(case, role), tmp_path / f"case{ending}")
    report = rebuild_record(read_record(path), studio, old=old_pixels(path))
    assert report.identical and report.largest_difference == 0
    assert np.array_equal(getattr(report.sealed, role).pixels, getattr(case, role).pixels)


def test_the_record_of_an_acquired_case_gives_the_same_pixels_and_the_outline_turned(studio, case, tmp_path):
    change = Acquisition(seed=3, noise=0.04, degrees=13, ghosting=0.2, jpeg_quality=35)
    asked = case.case.request.model_copy(update={"acquisition": change})
    acquired = next(studio.create(asked))
    assert acquired.case.id != case.case.id and not np.array_equal(acquired.mask, case.mask)
    assert [row.name for row in acquired.case.measurements][-1] == "conspicuity as acquired"
    path = write_png(acquired.image, tmp_path / "case.png")
    report = rebuild_record(read_record(path), studio, old=old_pixels(path))
    assert report.identical and np.array_equal(report.sealed.image.pixels, acquired.image.pixels)
    assert np.array_equal(report.sealed.twin.pixels, acquired.twin.pixels)
    assert np.array_equal(report.sealed.mask, acquired.mask)


def test_the_record_in_a_gif_is_enough(case, studio, tmp_path):
    path = write_blink(case, tmp_path / "blink.gif")
    assert rebuild_record(read_record(path), studio, old=old_pixels(path)).identical


def test_from_the_json_alone_the_same_png_comes_byte_for_byte(case, tiny_house, tmp_path, capsys):
    record = tmp_path / "record.json"
    record.write_text(case.image.provenance.model_dump_json())
    before = write_png(case.image, tmp_path / "before.png")
    assert main(["rebuild", str(record), "--out", str(tmp_path / "again")]) == 0
    assert "identical" in capsys.readouterr().out
    assert (tmp_path / "again" / f"{case.case.id}.png").read_bytes() == before.read_bytes()


def test_other_steps_give_other_pixels_and_the_difference_is_stated(case, studio):
    record = case.image.provenance
    other = record.model_copy(update={"request": record.request.model_copy(update={"steps": 3})})
    report = rebuild_record(other, studio, old=(case.image.pixels, case.image.box))
    assert not report.identical and report.largest_difference > 0 and "rounds differently" in report.note
    assert rebuild_record(other, studio).largest_difference is None  # nothing to compare with
    assert report.sealed.image.provenance.pixel_sha256 != record.pixel_sha256


def test_another_pack_is_stated_plainly(case, studio):
    record = case.image.provenance.model_copy(update={"pack_sha256": "1" * 64})
    assert "made with pack 111111111111" in rebuild_record(record, studio).note


def test_pixels_that_were_changed_beside_a_good_record_are_no_proof(case, studio):
    changed = case.image.pixels.copy()
    changed[100, 100] ^= 64
    report = rebuild_record(case.image.provenance, studio, old=(changed, case.image.box))
    assert not report.identical and report.largest_difference == 64
    assert "changed since it left" in report.note


def test_a_kept_case_is_rebuilt_although_its_pixels_carry_a_mark(case, studio):
    assert case.image.provenance.pixel_sha256 != pixel_sha256(case.image.pixels)
    assert rebuild(case, studio).identical


def test_a_file_without_a_record_is_answered_in_words(tmp_path):
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(MedDiffError, match="no provenance record"):
        read_record(tmp_path / "x.json")


def test_a_visit_is_made_again_from_its_record_alone_with_its_stamp_in_its_place(studio, tmp_path):
    first = Request(sentence=SENTENCE, seed=5, steps=1, precision="fp32", tolerance=Tolerance(redraws=1))
    # Nothing passes the check of random weights: the best of two seeds is taken, and the plan in the record names it.
    plan = plan_of(first, (0, 60), "gompertz", redraws=1, satellites=1, necrosis=0.3, acquisition=0.5)
    visit = make_series(plan, studio).visits[1]
    for kind, role in (("png", "image"), ("dicom", "twin")):
        ending, write = WRITERS[kind]
        path = write(getattr(visit, role), tmp_path / f"visit{ending}")
        report = rebuild_record(read_record(path), studio, old=old_pixels(path))
        assert report.identical and report.largest_difference == 0
        assert report.sealed.image.pixels.tobytes() == visit.image.pixels.tobytes()
    assert np.array_equal(report.sealed.mask, visit.mask)


def test_a_visit_whose_plan_was_changed_is_refused_in_words(case, studio):
    from meddiff.case import Visit

    visit = Visit(series="MS-0123456789ab", number=1, of=1, day=0, date="2030-01-01", plan="{}")
    request = case.case.request.model_copy(update={"visit": visit})
    record = case.image.provenance.model_copy(update={"request": request})
    with pytest.raises(MedDiffError, match="plan of the series MS-0123456789ab .* cannot be read"):
        rebuild_record(record, studio)
