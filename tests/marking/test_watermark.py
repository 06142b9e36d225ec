"""The invisible mark is read back from pictures that something happened to, and from nothing else."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from meddiff.case import MedDiffError
from meddiff.marking.code import CHANCE, CODED_BITS, case_id_of, code_words, decode, number_of
from meddiff.marking.detect import read_mark
from meddiff.marking.watermark import LEVELS, PSNR_DB, can_carry, embed

NUMBER = 0x0123456789AB
CASE = "MD-0123456789ab"


@pytest.fixture(scope="module")
def host() -> np.ndarray:
    """A head with soft texture, uint8 [256, 256]."""
    from scipy import ndimage

    from tests.conftest import make_phantom

    texture = ndimage.gaussian_filter(np.random.default_rng(1).normal(0, 12, (256, 256)), 2) * 2
    phantom = make_phantom()
    return np.clip(phantom * 220 + texture * (phantom > 0.05), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def marked(host: np.ndarray) -> np.ndarray:
    return (host + embed(host, NUMBER)).astype(np.uint8)


def jpeg(picture: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def resized(picture: np.ndarray, factor: float) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).resize([round(side * factor) for side in picture.shape[::-1]], 3))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda p: p, id="nothing"),
        pytest.param(lambda p: jpeg(p, 50), id="JPEG 50"),
        pytest.param(lambda p: np.clip((p - 30.0) * 2, 0, 255).astype(np.uint8), id="window"),
        pytest.param(lambda p: np.rint((p / 255.0) ** 0.6 * 255).astype(np.uint8), id="gamma"),
        pytest.param(lambda p: resized(p, 0.5), id="half the size"),
        pytest.param(lambda p: resized(p, 1.7), id="170%"),
        pytest.param(lambda p: p[37:219, 20:202], id="cut to half the area"),
        pytest.param(lambda p: p.astype(np.uint16) * 257, id="16 bit"),
        pytest.param(lambda p: p / np.float32(255), id="float"),
        pytest.param(lambda p: np.pad(p, ((60, 90), (40, 130)), constant_values=230), id="in a larger page"),
    ],
)
def test_the_mark_outlives(change, marked):
    reading = read_mark(change(marked))
    assert reading is not None and reading.case_id == CASE
    assert reading.false_alarm < 1e-5 and not (reading.mirrored or reading.upside_down or reading.inverted)


def test_the_reading_tells_how_the_picture_was_turned_and_scaled(marked):
    mirrored = read_mark(marked[:, ::-1])
    assert mirrored is not None and mirrored.mirrored and not mirrored.upside_down
    turned = read_mark(np.rot90(marked))
    assert turned is not None and turned.turned
    negative = read_mark(255 - marked)
    assert negative is not None and negative.inverted
    larger = read_mark(resized(marked[30:226, 40:236], 1.5))
    assert larger is not None and larger.short_side_px == pytest.approx(384, rel=0.01)
    slanted = read_mark(np.asarray(Image.fromarray(marked).rotate(2, 3)))
    assert slanted is not None and slanted.rotation_deg == pytest.approx(2, abs=0.5)


def test_it_changes_little_and_nothing_where_it_may_not(host, phantom_mask):
    change = embed(host, NUMBER, spare=phantom_mask)
    assert 0 < np.abs(change).max() <= LEVELS
    assert not change[phantom_mask].any()
    assert 10 * np.log10(255**2 / np.mean(change.astype(float) ** 2)) >= PSNR_DB
    assert (host + change).min() >= 0 and (host + change).max() <= 255
    assert not change[:20, :20].any()  # the black background stays black
    assert np.array_equal(change, embed(host, NUMBER, spare=phantom_mask))


def test_sixteen_bits_change_by_the_same_share_of_their_own_range(host):
    deep = host.astype(np.uint16) * 12  # up to about 3000, as scanners have it
    change = embed(deep, NUMBER)
    most = float(np.percentile(deep, 99.9)) * LEVELS / 255
    assert LEVELS < np.abs(change).max() <= most + 1
    reading = read_mark((deep + change).astype(np.uint16))
    assert reading is not None and reading.case_id == CASE


@pytest.mark.parametrize("shape", [(128, 128), (200, 320), (384, 256)])
def test_any_size_from_128_pixels_carries_it(host, shape):
    picture = np.asarray(Image.fromarray(host).resize(shape[::-1], 3))
    reading = read_mark((picture + embed(picture, NUMBER)).astype(np.uint8))
    assert reading is not None and reading.case_id == CASE


def test_a_picture_without_a_mark_says_nothing(host):
    assert read_mark(host) is None
    assert read_mark(np.zeros((256, 256), np.uint8)) is None
    assert read_mark(np.full((40, 40), 7, np.uint8)) is None
    assert read_mark(np.full((256, 256), np.nan)) is None


def test_a_picture_with_no_room_for_it_is_known(host):
    assert can_carry(host) and not can_carry(host[:120]) and not can_carry(np.zeros((256, 256), np.uint8))


def test_the_code_corrects_noise_and_refuses_what_it_cannot():
    words = code_words(NUMBER)
    assert words.shape == (4096, CODED_BITS) and len(np.unique(words, axis=0)) == 4096
    random = np.random.default_rng(0)
    sent = words[random.integers(0, 4096, 200)]
    assert decode(sent) == [NUMBER] * 200
    said = decode(sent + random.normal(0, 0.9, sent.shape))
    assert said.count(NUMBER) > 190 and set(said) <= {NUMBER, None}
    assert set(decode(random.normal(0, 1, (500, CODED_BITS)))) == {None}
    assert CHANCE < 1e-8


def test_case_ids_are_numbers_and_back():
    assert number_of(CASE) == NUMBER and case_id_of(NUMBER) == CASE
    with pytest.raises(MedDiffError, match="12 hex digits"):
        number_of("MD-xyz")
