"""What a picture looks like, in bits: a kept case is recognised even where its mark is gone.

A picture is brought to what survives handling: the head alone, cut to its bounding box, its grey levels replaced by
their ranks (which no window, level or gamma changes, but for what they clip). Of that, ImageHash's `phash` is taken:
the signs of the lowest 16 x 16 cosine coefficients about their median (Zauner, *Implementation and Benchmarking of
Perceptual Image Hash Functions*, 2010), 256 bits. Kept pictures are hashed whole and in overlapping crops; a picture
that is asked about is hashed in every flip, and inverted. `python -m benchmarks.fingerprint` prints how far
apart pictures lie after handling and how far apart different cases do; `THRESHOLD` comes from there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage
from scipy.stats import rankdata
from skimage.filters import threshold_li

from meddiff.case import MedDiffError
from meddiff.marking.seal import SealedImage

METHOD = "phash16-1"  # stored beside the bits: another method is another name, and what is missing is made anew
SIDE = 16
BITS = SIDE * SIDE
SEEN_BITS, SEEN_SHARE = 48, 2 / 471_270  # `python -m benchmarks.fingerprint`: pairs of strangers this near
THRESHOLD = 40  # bits of 256 that may differ: 0 of 683 strangers came within 44 of any of 690 kept slices
WORKING_PIXELS = 192  # longest side the head is looked for at
CROP = 0.866  # of a side: three quarters of the area
GAMMAS = (1.0, 0.5, 2.0)  # tried on what is asked about
_PLACES = [(row, column) for row in (0.0, 0.5, 1.0) for column in (0.0, 0.5, 1.0)]
VIEWS = 1 + len(_PLACES)  # hashes of a kept picture


@dataclass(frozen=True)
class Recognised:
    """The kept picture that looks most like the one asked about.

    Attributes:
        case_id, version, role: which one; role is "case" or "twin".
        distance: bits that differ.
        bits: of how many.
        chance: about how likely a picture of something else comes this near to any picture in a bank of this size.
    """

    case_id: str
    version: int
    role: str
    distance: int
    bits: int
    chance: float


def kept_bits(pixels: np.ndarray) -> bytes:
    """Hashes of a picture [H, W] that is kept, whole and in crops: `VIEWS` times 32 bytes.

    Args:
        pixels: without the rows appended for the stamp, and with the stamp's box at the picture's darkest.
    """
    grey = _small(pixels)
    rows, columns = grey.shape
    height, width = round(rows * CROP), round(columns * CROP)
    crops = [grey]
    for down, right in _PLACES:
        row, column = round((rows - height) * down), round((columns - width) * right)
        crops.append(grey[row : row + height, column : column + width])
    return b"".join(_hash(_head(crop)) for crop in crops)


def asked_bits(pixels: np.ndarray) -> np.ndarray:
    """Hashes of a picture [H, W] that is asked about, uint64 [variants, 4]: each flip, as it is and inverted, at three gammas.

    Raises:
        MedDiffError: no grey picture of at least 32 x 32 pixels.
    """
    if pixels.ndim != 2 or min(pixels.shape) < 32:
        raise MedDiffError(
            f"A picture of shape {np.shape(pixels)} cannot be recognised: give grey pixels [H, W], at least 32 x 32."
        )
    grey = _small(pixels)
    hashes = []
    unit = (grey - grey.min()) / max(float(np.ptp(grey)), 1e-6)
    for positive in (unit, 1 - unit):
        for gamma in GAMMAS:  # ranks do not change with it, but where the head ends does
            head = _head(positive**gamma)
            hashes += [_hash(turned) for turned in (head, head[:, ::-1], head[::-1], head[::-1, ::-1])]
    return words(b"".join(hashes))


def unstamped(image: SealedImage) -> np.ndarray:
    """The pixels [H, W] of a sealed image without the rows appended for the stamp, its box at the darkest level."""
    pixels = np.array(image.pixels)
    pixels[image.box.area] = pixels.min()
    return pixels[: image.height]


def words(bits: bytes) -> np.ndarray:
    """Packed hashes as uint64 [hashes, 4]."""
    return np.frombuffer(bits, np.uint64).reshape(-1, BITS // 64)


def nearest(asked: np.ndarray, kept: np.ndarray) -> tuple[int, int]:
    """Index of the kept hash nearest to any of those asked, and how many bits differ.

    Args:
        asked: uint64 [variants, 4].
        kept: uint64 [hashes, 4], at least one.
    """
    least = np.full(len(kept), BITS, np.int64)
    for one in asked:
        np.minimum(least, np.bitwise_count(kept ^ one).sum(1, dtype=np.int64), out=least)
    index = int(least.argmin())
    return index, int(least[index])


def chance(distance: int, pictures: int) -> float:
    """How likely a picture of something else comes within `distance` bits of any of `pictures` kept ones, 0 to 1.

    Of 471,270 pairs of slices of different patients 2 lay within 48 bits, and every 4 bits fewer made it at least 3 times
    rarer; beyond what was seen, this is carried on.
    """
    one = min(SEEN_SHARE * 3 ** ((distance - SEEN_BITS) / 4), 0.5)
    return -math.expm1(pictures * math.log1p(-one))


def _small(pixels: np.ndarray) -> np.ndarray:
    """float32, longest side at most `WORKING_PIXELS`: what the hash does not see is not worked on."""
    grey = np.asarray(pixels, np.float32)
    factor = WORKING_PIXELS / max(grey.shape)
    size = (max(round(grey.shape[1] * factor), 8), max(round(grey.shape[0] * factor), 8))
    return np.asarray(
        Image.fromarray(grey).resize(size, Image.Resampling.BOX if factor < 1 else Image.Resampling.BILINEAR)
    )


def _head(grey: np.ndarray) -> np.ndarray:
    """The largest thing shown, cut to its box, its grey levels as ranks 0 to 1; around it 0. float32 [h, w]."""
    smooth = ndimage.gaussian_filter(grey, 1.0)
    shown = ndimage.binary_opening(smooth > threshold_li(smooth), iterations=2) if np.ptp(smooth) > 0 else smooth > 0
    labels, count = ndimage.label(shown)
    if count:
        sizes = np.bincount(labels.ravel())[1:]
        shown = ndimage.binary_fill_holes(labels == 1 + sizes.argmax())
    else:
        shown = np.ones(grey.shape, bool)
    rows, columns = np.flatnonzero(shown.any(1)), np.flatnonzero(shown.any(0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    inside, head = shown[box], np.zeros(shown[box].shape, np.float32)
    head[inside] = rankdata(smooth[box][inside]) / max(int(inside.sum()), 1)
    return head


def _hash(head: np.ndarray) -> bytes:
    """phash of a picture in [0, 1], 32 bytes."""
    import imagehash

    image = Image.fromarray(np.rint(np.clip(head, 0, 1) * 255).astype(np.uint8))
    return np.packbits(imagehash.phash(image, hash_size=SIDE, highfreq_factor=4).hash.ravel()).tobytes()
