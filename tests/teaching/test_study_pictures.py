"""Readers see all arms alike: no stamp, the same air, band, size, length and words, whatever a picture is."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from meddiff.bank import Bank
from meddiff.case import MedDiffError
from meddiff.exchange import write_png
from meddiff.settings import settings
from meddiff.teaching import study_pictures
from meddiff.teaching.study import Design, Source, make_plan
from meddiff.teaching.study_pictures import (
    Candidate,
    Opened,
    Place,
    Showing,
    air_of,
    alike,
    bank_picture,
    draw,
    file_pictures,
    found_again,
    gone,
    open_picture,
    picture_png,
    processed,
    showing_of,
)
from tests.conftest import make_phantom
from tests.exchange.dicom_support import case_of, sealed_of

HEAD = (make_phantom() * 255).astype(np.uint8)


@pytest.fixture
def bank(tmp_path, monkeypatch) -> Bank:
    """A bank with one case."""
    monkeypatch.setenv("MEDDIFF_CASEBANK", str(tmp_path / "bank"))
    settings.cache_clear()
    bank = Bank()
    bank.keep(case_of())
    yield bank
    settings.cache_clear()


def real_files(folder: Path, count: int = 2, side: int = 300) -> list[Path]:
    """Made-up heads as files without spacing, with a letter beside the head and noise in the air, as scanners leave them."""
    paths = []
    for number in range(count):
        pixels = np.asarray(Image.fromarray(HEAD).resize((side, side))).astype(float)
        pixels += np.abs(np.random.default_rng(number).normal(0, 3, pixels.shape))
        pixels[8:20, 8:16] = 255
        paths.append(folder / f"Smith {number}.png")
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(paths[-1])
    return paths


def study_of(bank: Bank, folder: Path):
    """A plan of a synthetic and a real arm, and how it is shown."""
    case = case_of().case.id
    arms = {
        "zebra": (Source.SYNTHETIC, [bank_picture(bank, case), bank_picture(bank, case, twin=True)]),
        "yak": (Source.REAL, file_pictures(real_files(folder))),
    }
    arms["zebra"][1][1] = Candidate("twin", arms["zebra"][1][1].place)
    chosen, places = draw(arms, 2, 1)
    plan = make_plan("Real or made", chosen, ["anna"])
    return plan, showing_of(plan, places)


def chunks_of(png: bytes) -> list[tuple[bytes, bytes]]:
    at, found = 8, []
    while at < len(png):
        size, kind = struct.unpack(">I4s", png[at : at + 8])
        found.append((kind, png[at + 8 : at + 8 + size]))
        at += 12 + size
    return found


def test_a_sealed_picture_and_the_same_unsealed_look_alike():
    """The same head with stamp and invisible mark, and without: the air is the same, the head differs by the mark alone."""
    showing = Showing(side=256, field_mm=None, places={})
    sealed = sealed_of(HEAD)
    stamp = ~sealed.outside_stamp[: sealed.height]
    assert stamp.any() and not sealed.box.appended_rows
    synthetic = Opened((sealed.pixels / 255).astype(np.float32), None, stamp, True)
    one = alike(synthetic, showing)
    other = alike(Opened((HEAD / 255).astype(np.float32), None, None, False), showing)
    assert np.abs(one.astype(int) - other).max() <= 5  # the mark: two levels, a little more where grey is stretched
    assert one[stamp].max() == 0


def test_no_stamp_no_letter_and_no_noise_is_left_in_air(tmp_path):
    (path, _) = real_files(tmp_path)
    shown = alike(open_picture(study_pictures.file_place(path)), Showing(side=256, field_mm=None, places={}))
    inside = np.asarray(Image.fromarray(HEAD > 0).resize((256, 256)))
    assert shown[:30].max() == shown[:, :30].max() == 0 and shown[inside].mean() > 60


def test_what_is_sent_has_one_length_one_band_and_one_comment_in_all_arms(bank, tmp_path):
    plan, showing = study_of(bank, tmp_path)
    assert showing.side == 256 and showing.field_mm is None  # files without spacing: each picture whole
    sent = {name: picture_png(plan, showing, name) for name in plan.places}
    assert len(sent) == 4 and len({len(png) for png in sent.values()}) == 1
    bands, words = set(), set()
    for name, png in sent.items():
        chunks = chunks_of(png)
        assert [kind for kind, _ in chunks if kind != b"IDAT"] == [b"IHDR", b"tEXt", b"IEND"]
        words.add(dict(chunks)[b"tEXt"].replace(name.encode(), b""))
        pixels = np.asarray(Image.open(io.BytesIO(png)))
        assert pixels.shape == (272, 256)
        bands.add(pixels[256:].tobytes())
        case = case_of().case
        for telling in (
            case.id,
            "Smith",
            "zebra",
            "yak",
            "glioma",
            case.request.sentence,
            *(p.sha256 for a in plan.arms for p in a.pictures),
        ):
            assert telling.encode() not in png
    assert len(bands) == len(words) == 1 and max(map(max, bands)) > 100
    assert b"NOT FOR DIAGNOSIS" in next(iter(words)).upper()


def test_pictures_that_say_their_spacing_are_shown_at_one_scale():
    near = Opened(np.zeros((200, 200), np.float32), (1.0, 1.0), None, False)
    far = Opened(np.zeros((480, 400), np.float32), (0.5, 0.5), None, False)
    near.pixels[75:125, 75:125] = 0.8  # 50 mm, both
    far.pixels[190:290, 150:250] = 0.8
    showing = Showing(side=200, field_mm=200.0, places={})
    widths = [(alike(one, showing) > 128).any(axis=0).sum() for one in (near, far)]
    assert abs(widths[0] - 50) <= 1 and abs(widths[1] - 50) <= 1


def test_a_real_arm_takes_no_synthetic_picture_and_a_stamp_that_cannot_be_found_is_refused(bank, tmp_path):
    exported = write_png(case_of().image, tmp_path / "exported.png")
    (made,) = file_pictures([exported])
    plan = make_plan("x", {"real": (Source.REAL, [("1", made.place.sha256)])}, ["anna"])
    with pytest.raises(MedDiffError, match=r"exported\.png is synthetic, and arm real is called real"):
        showing_of(plan, {made.place.sha256: made.place})
    assert open_picture(
        made.place
    ).stamp.any()  # in an arm that is called synthetic, its record says where the stamp is
    from meddiff.exchange import write_dicom

    (made,) = file_pictures([write_dicom(case_of().image, tmp_path / "exported.dcm")])
    with pytest.raises(MedDiffError, match="does not say where its stamp lies: take the case from the bank"):
        open_picture(made.place)


def test_a_picture_that_is_gone_is_told_without_its_name_and_known_again_by_its_content(bank, tmp_path):
    plan, showing = study_of(bank, tmp_path)
    lost = next(name for name, place in showing.places.items() if place.file)
    path = Path(showing.places[lost].file)
    moved = path.rename(tmp_path / "elsewhere.png")
    assert gone(showing) == (str(path),)
    with pytest.raises(MedDiffError) as told:
        picture_png(plan, showing, lost)
    assert "not where it was" in str(told.value) and "Smith" not in str(told.value)
    again, count = found_again(showing, [moved])
    assert count == 1 and not gone(again) and picture_png(plan, again, lost)
    moved.write_bytes(path.name.encode())  # another picture under its name
    with pytest.raises(MedDiffError, match="not where it was"):
        picture_png(plan, again, lost)
    with pytest.raises(MedDiffError, match="None of these files"):
        found_again(showing, [moved])


def candidates(prefix: str, labels) -> list[Candidate]:
    return [
        Candidate(label, Place(file=f"{prefix}{label}", sha256=f"{ord(prefix):02x}{int(label):062x}"))
        for label in labels
    ]


def test_the_seed_draws_the_same_cases_in_every_arm():
    arms = {"a": (Source.REAL, candidates("a", "0123456789")), "b": (Source.PROCESSED, candidates("b", "3456789012"))}
    chosen, places = draw(arms, 4, 1)
    drawn = {name: [label for label, _ in pictures] for name, (_, pictures) in chosen.items()}
    assert drawn["a"] == drawn["b"] and len(drawn["a"]) == 4 and len(places) == 8
    assert draw(arms, 4, 1)[0] == chosen != draw(arms, 4, 2)[0]


def test_pairs_take_the_same_case_of_both_arms_where_there_is_one_and_any_two_else():
    same = {"a": (Source.REAL, candidates("a", "012")), "b": (Source.SYNTHETIC, candidates("b", "210"))}
    chosen, _ = draw(same, 9, 1, Design.PAIRS)
    assert {label for label, _ in chosen["a"][1]} == {"0", "1", "2"}
    other = {"a": (Source.REAL, candidates("a", "012")), "b": (Source.SYNTHETIC, candidates("b", "56789"))}
    chosen, _ = draw(other, 9, 1, Design.PAIRS)
    assert [label for label, _ in chosen["a"][1]] == [label for label, _ in chosen["b"][1]] and len(chosen["b"][1]) == 3
    assert make_plan("x", chosen, ["anna"], design=Design.PAIRS).questions == ()


@pytest.mark.parametrize("name", study_pictures.PROCESSINGS)
def test_every_processing_changes_the_picture_and_its_hash_and_not_its_air(name):
    (plain,) = candidates("a", "1")
    (changed,) = processed([plain], name)
    assert changed.label == plain.label and changed.place.picture_sha256 != plain.place.picture_sha256
    showing = Showing(side=256, field_mm=None, places={})
    opened = Opened((HEAD / 255).astype(np.float32), None, None, False)
    one, other = alike(opened, showing), alike(opened, showing, name)
    assert 0.5 < np.abs(one[HEAD > 0].astype(int) - other[HEAD > 0]).mean() < 60
    assert other[air_of(HEAD / 255)].max() == 0
