"""A picture whose mark is gone is recognised by its looks, and another is not."""

import io

import numpy as np
import pytest
from PIL import Image

from meddiff.bank import Bank
from meddiff.case import MedDiffError
from tests.bank.test_archive import make_head
from tests.conftest import make_phantom


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    bank = Bank(tmp_path_factory.mktemp("bank"))
    cases = [make_head(seed) for seed in range(3)]
    for case in cases:
        bank.keep(case)
    return bank, cases


def _jpeg(picture):
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="JPEG", quality=50)
    return np.asarray(Image.open(buffer))


ATTACKS = {
    "half the size": lambda p: np.asarray(Image.fromarray(p).resize((p.shape[1] // 2, p.shape[0] // 2))),
    "JPEG 50": _jpeg,
    "window": lambda p: np.clip((p.astype(float) - 20) * 1.6, 0, 255).astype(np.uint8),
    "gamma": lambda p: (255 * (p / 255) ** 1.8).astype(np.uint8),
    "inverted": lambda p: 255 - p,
    "mirrored": lambda p: p[:, ::-1],
    "upside down": lambda p: p[::-1],
    "16 bit": lambda p: p.astype(np.uint16) * 200,
    "without its margin": lambda p: p[12:-12, 12:-12],
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_handled_picture_is_recognised(kept, attack):
    bank, cases = kept
    case = cases[1]
    pixels = np.array(case.image.pixels)
    pixels[case.image.box.area] = 0  # the stamp is painted over
    found = bank.recognise(ATTACKS[attack](pixels))
    assert found is not None
    assert found.case_id == case.case.id and found.distance <= 40 and found.bits == 256 and found.chance < 0.01


def test_another_picture_is_not_recognised(kept):
    bank, _ = kept
    assert bank.recognise((np.rot90(make_phantom()) * 255).astype(np.uint8)) is None
    assert bank.recognise(np.zeros((64, 64), np.uint8)) is None
    with pytest.raises(MedDiffError, match="cannot be recognised"):
        bank.recognise(np.zeros((64, 64, 3), np.uint8))


def test_a_deleted_case_is_not_recognised_until_it_is_back(kept):
    bank, cases = kept
    name, pixels = cases[0].case.id, cases[0].image.pixels
    assert bank.recognise(pixels).case_id == name
    bank.delete(name)
    found = bank.recognise(pixels)
    assert found is None or found.case_id != name
    bank.undo(name)
    assert bank.recognise(pixels).case_id == name


def test_chance_grows_with_the_bank_and_with_the_distance():
    from meddiff.bank.fingerprint import THRESHOLD, chance

    assert chance(10, 1000) < chance(20, 1000) < chance(20, 100_000) <= 1
    assert chance(THRESHOLD, 1000) < 1e-3  # what the threshold was chosen for


def test_a_bank_of_ten_thousand_cases_answers_within_a_second():
    import time

    from meddiff.bank.fingerprint import VIEWS, asked_bits, nearest

    many = np.random.default_rng(0).integers(0, 2**63, (20_000 * VIEWS, 4), np.uint64)
    asked = asked_bits((make_phantom() * 255).astype(np.uint8))
    many[123_456] = asked[5]
    began = time.perf_counter()
    assert nearest(asked, many) == (123_456, 0)
    assert time.perf_counter() - began < 1
