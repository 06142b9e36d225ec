"""Nothing leaves without its mark."""

import dataclasses
import hashlib
import re
from pathlib import Path

import numpy as np
import pytest

import meddiff
from meddiff.case import MedDiffError, Provenance, Request, pixel_sha256
from meddiff.exchange import WRITERS
from meddiff.exchange.png import png_bytes
from meddiff.marking import SealedImage, seal, thumbnail
from meddiff.marking.provenance import read_png
from meddiff.marking.seal import reopen
from meddiff.marking.stamp import anatomy_of, stamp


def sealed_of(pixels, avoid=None):
    request = Request(seed=4)
    provenance = Provenance(
        case_id=request.case_id(),
        request=request,
        pack="brain-t1gd",
        pack_sha256="0" * 64,
        pixel_sha256=pixel_sha256(pixels),
    )
    return seal(pixels, provenance, avoid=avoid)


@pytest.fixture
def pixels(phantom):
    return (phantom * 255).round().astype(np.uint8)


def test_the_stamp_lies_off_the_anatomy_and_nothing_else_changes(pixels):
    sealed = sealed_of(pixels)
    box = sealed.box
    area = np.zeros(pixels.shape, bool)
    area[box.row : box.row + box.height, box.column : box.column + box.width] = True
    assert box.appended_rows == 0
    assert not (anatomy_of(pixels) & area).any()
    assert np.array_equal(sealed.pixels[~area], (pixels + sealed.change)[~area])
    assert 0 < np.abs(sealed.change).max() <= 2
    assert sealed.pixels[area].max() > 200


def test_where_anatomy_fills_the_picture_rows_are_appended_below():
    full = np.full((256, 256), 120, np.uint8) + np.random.default_rng(0).integers(0, 40, (256, 256), dtype=np.uint8)
    full[0, 0] = 0
    sealed = sealed_of(full)
    assert sealed.box.appended_rows > 0
    assert sealed.pixels.shape[0] == 256 + sealed.box.appended_rows
    assert np.array_equal(sealed.pixels[:256], full + sealed.change)


def test_the_stamp_stays_off_what_it_is_told_to_avoid(pixels):
    avoid = np.zeros(pixels.shape, bool)
    avoid[200:, :] = True
    box = sealed_of(pixels, avoid).box
    assert box.row + box.height <= 200


def test_sixteen_bit_pixels_keep_their_numbers(phantom):
    deep = (phantom * 3000).astype(np.uint16)
    stamped, box = stamp(deep, "MD-0")
    outside = np.ones(deep.shape, bool)
    outside[box.row : box.row + box.height, box.column : box.column + box.width] = False
    assert np.array_equal(stamped[:256][outside], deep[outside])


def test_a_sealed_image_cannot_be_made_by_hand_or_written_on(pixels):
    sealed = sealed_of(pixels)
    with pytest.raises(MedDiffError, match="by hand"):
        SealedImage(pixels, sealed.provenance, (1.0, 1.0), sealed.box, object())
    with pytest.raises(ValueError, match="read-only"):
        sealed.pixels[0, 0] = 1


def test_pixels_that_are_not_those_of_the_record_are_refused(pixels):
    provenance = sealed_of(pixels).provenance
    with pytest.raises(MedDiffError, match="not those"):
        seal(pixels + np.uint8(1), provenance)


@pytest.mark.parametrize("wrong", [np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.float32)])
def test_only_grey_integers_are_sealed(wrong, pixels):
    with pytest.raises(MedDiffError, match="Only grey"):
        seal(wrong, sealed_of(pixels).provenance)


@pytest.mark.parametrize("name", sorted(WRITERS))
def test_no_writer_takes_unsealed_pixels(name, pixels, tmp_path):
    ending, write = WRITERS[name]
    with pytest.raises(MedDiffError, match="Only sealed images"):
        write(pixels, tmp_path / f"x{ending}")
    assert not list(tmp_path.iterdir())


def test_a_seal_cannot_be_carried_to_other_pixels(pixels):
    sealed = sealed_of(pixels)
    with pytest.raises(ValueError, match="key"):
        dataclasses.replace(sealed, pixels=pixels)
    with pytest.raises(ValueError, match="WRITEABLE"):
        sealed.pixels.setflags(write=True)


@pytest.mark.parametrize("level", [0.02, 0.3, 0.7])
@pytest.mark.parametrize("width", [0.01, 0.2, 3.0])
def test_sixteen_bit_words_can_be_read_at_any_window_that_shows_the_picture(phantom, level, width):
    deep = (phantom * 3000).astype(np.uint16)
    sealed = sealed_of(deep)
    low, span = level * 3000 - width * 1500, width * 3000
    shown = np.clip((sealed.pixels - low) / span, 0, 1)
    words = shown[sealed.box.area]
    assert words.max() == shown[sealed.outside_stamp].max()  # as bright as anything
    assert words.min() == shown.min()
    assert words.max() - words.min() > 0.2


def test_case_and_twin_carry_the_stamp_in_one_place(pixels, phantom_mask):
    sealed = sealed_of(pixels, phantom_mask)
    without = pixels.copy()
    without[phantom_mask] = 0
    without[-40:, :60] = 200  # where a stamp of its own would not go
    record = sealed.provenance.model_copy(update={"role": "twin", "pixel_sha256": pixel_sha256(without)})
    twin = seal(without, record, beside=sealed)
    assert twin.box == sealed.box
    assert np.array_equal(twin.pixels[twin.box.area], sealed.pixels[sealed.box.area])
    marked = np.clip(without + sealed.change, 0, 255)
    assert np.array_equal(twin.pixels[twin.outside_stamp], marked[sealed.outside_stamp[:256]])
    with pytest.raises(MedDiffError, match="sealed together"):
        seal(without, record.model_copy(update={"case_id": "MD-other"}), beside=sealed)


def test_an_outline_fits_its_picture_though_rows_were_appended():
    full = np.random.default_rng(0).integers(90, 160, (128, 128), dtype=np.uint8)
    sealed = sealed_of(full)
    mask = np.zeros(full.shape, bool)
    mask[30:40, 50:55] = True
    fitted = sealed.fit(mask)
    assert fitted.shape == sealed.pixels.shape and sealed.height == 128
    assert np.array_equal(fitted[:128], mask) and not fitted[128:].any()
    with pytest.raises(MedDiffError, match="has 64 x 64 pixels and its picture 128 x 128"):
        sealed.fit(mask[:64, :64])


@pytest.mark.parametrize("columns", [64, 96, 128])
def test_words_are_never_cut_off(columns):
    full = np.random.default_rng(0).integers(90, 160, (128, columns), dtype=np.uint8)
    box = sealed_of(full).box
    assert box.width <= columns and box.appended_rows == box.height
    with pytest.raises(MedDiffError, match="no room for the words"):
        sealed_of(full[:, :40])


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_thumbnail_says_what_it_is_in_words_and_in_its_record(phantom, kind):
    sealed = sealed_of((phantom * 255).astype(kind))
    data = thumbnail(sealed, width=160)
    pixels, record, spacing, box = read_png(data, "thumbnail")
    assert pixels.shape == (160 + box.appended_rows, 160) and pixels.dtype == np.uint8
    assert record == sealed.provenance.model_copy(update={"sealed_sha256": pixel_sha256(pixels)})
    assert spacing == pytest.approx((0.98 * 1.6, 0.98 * 1.6))
    assert box.height >= 2 * 9 and pixels[box.area].max() > 200  # two lines of the smallest size that can be read
    with pytest.raises(MedDiffError, match="Only sealed images"):
        thumbnail(sealed.pixels)


def test_only_what_was_sealed_is_reopened_and_only_by_the_bank_and_stress_packs(pixels):
    data = png_bytes(sealed_of(pixels))
    name = hashlib.sha256(data).hexdigest()
    assert np.array_equal(reopen(data, name, "a.png").pixels, sealed_of(pixels).pixels)
    with pytest.raises(MedDiffError, match=r"a\.png is not what was kept"):
        reopen(data[:-1], name, "a.png")
    house = Path(meddiff.__file__).parent
    users = {str(path.relative_to(house)) for path in house.rglob("*.py") if re.search(r"\breopen\b", path.read_text())}
    assert users == {"marking/seal.py", "bank/store.py", "stress/pack.py"}


def test_a_chinese_stamp_names_its_case(pixels):
    areas = []
    for case_id in ("MD-000000000001", "MD-000000000008"):
        stamped, box = stamp(pixels, case_id, language="zh")
        assert box.language == "zh" and stamped[box.area].max() > 200
        areas.append(stamped[box.area])
    assert not np.array_equal(*areas)
    lines = np.flatnonzero(np.diff((areas[0] > 60).any(1).astype(int)) == 1)
    assert len(lines) == 2  # the words, and the id below
