"""Nothing leaves without its mark."""

import numpy as np
import pytest

from meddiff.case import MedDiffError, Provenance, Request, pixel_sha256
from meddiff.exchange import WRITERS
from meddiff.marking import SealedImage, seal
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
    assert np.array_equal(sealed.pixels[~area], pixels[~area])
    assert sealed.pixels[area].max() > 200


def test_where_anatomy_fills_the_picture_rows_are_appended_below():
    full = np.full((256, 256), 120, np.uint8) + np.random.default_rng(0).integers(0, 40, (256, 256), dtype=np.uint8)
    full[0, 0] = 0
    sealed = sealed_of(full)
    assert sealed.box.appended_rows > 0
    assert sealed.pixels.shape[0] == 256 + sealed.box.appended_rows
    assert np.array_equal(sealed.pixels[:256], full)


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
