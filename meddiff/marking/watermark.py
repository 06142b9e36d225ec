"""The invisible mark: a pattern of at most two grey levels that says which case a picture is, and outlives what happens to pictures.

The pattern is a tile of 128 x 128 samples that repeats over the picture, two tiles along its short side. It lies in the luminance
between 11 and 34 cycles a tile: below, anatomy drowns it, above, JPEG and small windows remove it. Each spatial frequency is one complex number whose phase carries two bits; some are known beforehand and find scale, shift and flips (`detect`), the others say the
code word of the case id (`code`).

`embed` knows the picture and works against it: it tries what the reader will see (as it is, after JPEG, in a narrow window, in each half alone) and
spends its two grey levels on the bits that would be read worst, where the picture is calm: spread-spectrum watermarking (Cox et al., IEEE
Trans. Image Processing 6(12), 1997) with informed coding and embedding (Miller, Doerr and Cox, 2004). Nothing is secret: anybody with this
code can read the mark, and who sets out to remove it can (docs/safety.md). It protects against accident, not against malice.
"""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from PIL import Image
from scipy import fft, ndimage

from meddiff.marking.code import CODED_BITS, code_words, decode

TILE = 128  # samples
ACROSS = 2  # tiles along the short side of a picture
LOW, HIGH = 11, 34  # cycles a tile
SYNC = 260  # frequencies known beforehand
SMALLEST = 128  # pixels of the short side that a mark needs
LEVELS = 2.0  # of 255, the most that a pixel changes
PSNR_DB = 46.0
AIR = 6.0  # grey levels of 255 below which nothing is written: a black background stays black,
LITTLE = 0.25  # unless less than this share of the picture shows anything
PASSES, MARGIN = 6, 1.0  # twelve passes were read no better (benchmarks.watermark)
FINE, COARSE = 0.6, 2.0  # samples, the Gaussians between which the detail lies
NEAR = 2.0  # samples around a place that tell how calm it is
CALM = 0.8  # share of a usual place's spread that counts as calm; at 0.5 JPEG 50 took the mark from small, dark heads


@lru_cache(maxsize=1)
def pattern() -> Pattern:
    """The one pattern of this version."""
    return Pattern()


class Pattern:
    """Which frequency of the tile carries what.

    Attributes:
        rows, columns: int [F], frequencies in cycles a tile; no two are each other's mirror through the origin.
        phase: complex [F], what each is turned by, so that the tile looks like noise.
        ring: int [F], which ring of equal radius each lies in.
        coded: int [2 (F - SYNC)], which coded bit the real parts, then the imaginary parts, of the others carry.
    """

    def __init__(self) -> None:
        random = np.random.default_rng(20261124)
        rows, columns = np.mgrid[-HIGH : HIGH + 1, 1 : HIGH + 1]  # no axes: edges of the picture lie there
        radius = np.hypot(rows, columns)
        inside = (radius > LOW) & (radius <= HIGH) & (rows != 0)
        order = random.permutation(int(inside.sum()))
        self.rows, self.columns = rows[inside][order], columns[inside][order]
        self.phase = np.exp(2j * np.pi * random.random(len(order)))
        self.ring = np.ceil(radius[inside][order]).astype(int) - LOW - 1
        members = np.eye(HIGH - LOW)[self.ring]
        self._mean = members / members.sum(0)  # [F, rings]
        bits = np.arange(2 * (len(order) - SYNC)) % CODED_BITS
        self.coded = random.permutation(bits)
        self.sign = random.choice([-1.0, 1.0], CODED_BITS)

    def target(self, word: np.ndarray) -> np.ndarray:
        """Unit phasors [F] that a tile saying the code word [288] has at the frequencies."""
        bits = (word * self.sign)[self.coded].reshape(2, -1)
        known = np.full(SYNC, (1 + 1j) / np.sqrt(2))
        return np.concatenate([known, (bits[0] + 1j * bits[1]) / np.sqrt(2)]) * self.phase

    def sync(self, seen: np.ndarray) -> np.ndarray:
        """How far the known frequencies of spectra [..., F] agree, [..., SYNC], 1 on average for a perfect mark."""
        return (seen[..., :SYNC] * np.conj(self.phase[:SYNC]) * (1 - 1j) / np.sqrt(2)).real

    def soft(self, seen: np.ndarray) -> np.ndarray:
        """Soft coded bits [N, 288] of whitened spectra [N, F] whose shift is undone.

        Each ring counts as much as its known frequencies agree: what blur and JPEG took away is not listened to.
        """
        agree = np.maximum(self.sync(seen), -2)
        share = np.stack([np.bincount(self.ring[:SYNC], a, HIGH - LOW) for a in agree])
        count = np.bincount(self.ring[:SYNC], minlength=HIGH - LOW).astype(float)
        smooth = np.array([0.1, 0.25, 0.5, 0.8, 1, 0.8, 0.5, 0.25, 0.1])
        share = ndimage.convolve1d(share, smooth, mode="constant") / ndimage.convolve1d(count, smooth, mode="constant")
        share = np.clip(share, 0.03, 0.9)
        said = (seen * np.conj(self.phase) * (share / (1 - share**2))[:, self.ring])[:, SYNC:]
        bits = np.concatenate([said.real, said.imag], axis=1)
        return np.stack([np.bincount(self.coded, b, CODED_BITS) for b in bits]) * self.sign

    def whiten(self, spectrum: np.ndarray) -> np.ndarray:
        """Spectra [..., F] with each ring brought to the same strength."""
        rings = (spectrum.real**2 + spectrum.imag**2) @ self._mean
        rings = ndimage.convolve1d(rings, [0.25, 0.5, 0.25], axis=-1, mode="nearest")
        return spectrum / np.sqrt(rings + 1e-12)[..., self.ring]

    def spectrum(self, seen: np.ndarray) -> np.ndarray:
        """Complex [F]: what the tiles of an analysed picture [H, W] add up to."""
        return fft.fft2(folded(seen))[self.rows, self.columns]

    def spread(self, spectrum: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """The adjoint of `spectrum`: complex [F] to tiles [H, W]."""
        grid = np.zeros((TILE, TILE), complex)
        grid[self.rows, self.columns] = spectrum
        tile = fft.ifft2(grid).real.astype(np.float32)
        return np.tile(tile, [-(-side // TILE) for side in shape])[: shape[0], : shape[1]]


def folded(seen: np.ndarray) -> np.ndarray:
    """Sum of all tiles of a picture [H, W]: [TILE, TILE]."""
    padded = np.pad(seen, [(0, -side % TILE) for side in seen.shape])
    return padded.reshape(padded.shape[0] // TILE, TILE, -1, TILE).sum((0, 2))


# ---------------------------------------------------------------- what the reader looks at


def analysed(picture: np.ndarray) -> np.ndarray:
    """A picture [H, W] as the reader sees it: its fine detail, each place weighed by how calm it is; float32 [H, W].

    Weighing by the inverse variance is the best that can be done against noise of known strength; edges are cut off.
    """
    detail = _detail(picture)
    spread, calm = _spread(detail)
    return np.clip(detail / spread, -2.5, 2.5) * (calm / spread)


def _detail(picture: np.ndarray) -> np.ndarray:
    picture = np.asarray(picture, np.float32)
    fine = ndimage.gaussian_filter(picture, FINE, mode="nearest", truncate=3)
    return fine - ndimage.gaussian_filter(picture, COARSE, mode="nearest", truncate=3)


def _spread(detail: np.ndarray) -> tuple[np.ndarray, float]:
    """Local standard deviation of the detail, and what counts as calm: `CALM` of what three quarters of the picture stay below."""
    variance = ndimage.gaussian_filter(detail * detail, NEAR, truncate=3)
    calm = CALM * float(np.sqrt(np.quantile(variance[::4, ::4], 0.75))) + 0.02
    return np.sqrt(variance + calm * calm), calm


# ---------------------------------------------------------------- writing


def can_carry(pixels: np.ndarray) -> bool:
    """Whether a picture [H, W] is large enough for a mark, and shows anything to hide it in."""
    return min(pixels.shape) >= SMALLEST and bool((_grey(pixels)[0] > 2 * AIR).mean() > 0.02)


def embed(pixels: np.ndarray, number: int, spare: np.ndarray | None = None) -> np.ndarray:
    """What to add to pixels so that they say `number`.

    Args:
        pixels: uint8 or uint16 [H, W], at least `SMALLEST` along the short side.
        number: 48 bits.
        spare: bool [H, W], where no pixel may change: the lesion.

    Returns:
        int32 [H, W], at most `LEVELS` of 255 (uint16: the same share of the picture's own range) up or down, such that the sum stays
        within the type and has a PSNR of at least `PSNR_DB` against the pixels.
    """
    marks = pattern()
    grey, unit = _grey(pixels)
    scale = TILE * ACROSS / min(pixels.shape)
    shape = tuple(max(round(side * scale), 1) for side in pixels.shape)
    host = resized(grey, shape)
    detail = _detail(host)
    spread, calm = _spread(detail)
    gain = (calm / spread) ** 2 * (np.abs(detail / spread) < 2.5)
    room = np.clip((ndimage.gaussian_filter(grey, 3.0) - AIR) / AIR, 0, 1)
    room = LEVELS * (room if room.mean() > LITTLE else np.ones_like(room))
    if spare is not None:
        room = np.where(spare, 0, room)
    below = np.maximum(-room, -grey)
    above = np.minimum(room, (np.iinfo(pixels.dtype).max - pixels) / unit)
    parts = _parts(shape)

    views = _views(host.round(), host, shape, parts, marks)
    soft = sum((_bits_of(marks, view) for view, _ in views), np.zeros(CODED_BITS))
    words = code_words(number)
    target = marks.target(words[int((words @ soft).argmax())])
    write, push = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    change = np.zeros(pixels.shape, np.float32)
    for step in range(PASSES):
        shown = np.rint((grey + change) * unit) / unit if step else grey
        pull = np.zeros(shape, np.float32)
        for spectrum, weight in _views(shown, resized(shown, shape), shape, parts, marks):
            agree = spectrum * np.conj(target) * np.exp(0.25j * np.pi)
            need = _need(agree.real) + 1j * _need(agree.imag)
            tiles = marks.spread(need * np.exp(-0.25j * np.pi) * target, shape)
            pull += tiles * weight * float((need.real + need.imag).mean() / (np.abs(tiles).mean() + 1e-12))
        pull = _detail(pull * gain)
        push = 0.5 * push + pull / (np.sqrt((pull**2).mean()) + 1e-12)
        write = write + push * (1 - 0.8 * step / PASSES)
        change, share = _within(resized(write, pixels.shape), below, above, unit)
        write *= share
    return np.rint(change * unit).astype(np.int32)


def can_be_read(pixels: np.ndarray, number: int) -> bool:
    """Whether a whole picture [H, W] says `number` as it is: what a picture of noise, for one, does not."""
    marks = pattern()
    scale = TILE * ACROSS / min(pixels.shape)
    seen = analysed(resized(_grey(pixels)[0], tuple(max(round(side * scale), 1) for side in pixels.shape)))
    return decode(marks.soft(marks.whiten(marks.spectrum(seen))[None])) == [number]


def _need(agree: np.ndarray) -> np.ndarray:
    """How much a bit that agrees so far still wants to be pushed, 0 to 1."""
    return 1 / (1 + np.exp(np.clip(3 * (agree - MARGIN), -30, 30)))


def _within(change: np.ndarray, below: np.ndarray, above: np.ndarray, unit: float) -> tuple[np.ndarray, float]:
    """A change [H, W] scaled to use up the PSNR that is allowed, within its bounds; and the factor."""
    most = (255 / 10 ** ((PSNR_DB + 0.02) / 20)) ** 2
    low, high = 0.02, 6.0
    for _ in range(9):
        middle = (low * high) ** 0.5
        error = float(((np.rint(np.clip(middle * change, below, above) * unit) / unit) ** 2).mean())
        low, high = (low, middle) if error > most else (middle, high)
    return np.clip(low * change, below, above), low


def _bits_of(marks: Pattern, spectrum: np.ndarray) -> np.ndarray:
    said = (spectrum * np.conj(marks.phase))[SYNC:]
    return np.bincount(marks.coded, np.concatenate([said.real, said.imag]), CODED_BITS) * marks.sign


def _views(
    shown: np.ndarray, host: np.ndarray, shape: tuple[int, ...], parts: list[np.ndarray], marks: Pattern
) -> list[tuple[np.ndarray, np.ndarray | float]]:
    """Whitened spectra of a picture as the reader may meet it, each with the part of the picture that it comes from.

    Args:
        shown: float32, grey levels of 255, in the picture's own pixels; `host` is the same on the tiles' samples [h, w] = `shape`.
    """
    whole = analysed(host)
    eight = np.clip(np.rint(shown), 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(eight).save(buffer, format="JPEG", quality=50)
    with Image.open(buffer) as image:
        jpeg = resized(np.asarray(image, np.float32), shape)
    low, high = np.percentile(host[host > 2 * AIR], (10, 90)) if (host > 2 * AIR).any() else (0, 255)
    window = np.clip((host - low) / max(high - low, 1) * 255, 0, 255)
    seen: list[tuple[np.ndarray, np.ndarray | float]] = [(whole, 1.0), (analysed(jpeg), 1.0), (analysed(window), 1.0)]
    seen += [(whole * part, part) for part in parts]
    return [(marks.whiten(marks.spectrum(picture)), weight) for picture, weight in seen]


def _parts(shape: tuple[int, ...]) -> list[np.ndarray]:
    """Five masks [h, w], each half of the picture's area: in every part and in the middle."""
    rows, columns = (round(side * 0.7) for side in shape)
    down, along = shape[0] - rows, shape[1] - columns
    masks = []
    for top, left in ((0, 0), (0, along), (down, 0), (down, along), (down // 2, along // 2)):
        mask = np.zeros(shape, np.float32)
        mask[top : top + rows, left : left + columns] = 1
        masks.append(mask)
    return masks


def _grey(pixels: np.ndarray) -> tuple[np.ndarray, float]:
    """Pixels as float32 grey levels of 255, and how many of their own units one level is."""
    if pixels.dtype == np.uint8:
        return pixels.astype(np.float32), 1.0
    unit = max(float(np.percentile(pixels, 99.9)), 255.0) / 255
    return (pixels / unit).astype(np.float32), unit


def resized(picture: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A float picture on another number of pixels, antialiased."""
    if picture.shape == tuple(shape):
        return picture.astype(np.float32)
    image = Image.fromarray(picture.astype(np.float32))
    return np.asarray(image.resize((shape[1], shape[0]), Image.Resampling.BICUBIC))
