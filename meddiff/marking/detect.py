"""Reading the invisible mark out of any picture: nothing is known beforehand, not its size, not what was cut off, not how it was turned.

A picture shown whole has two tiles along its short side: that is tried first, in all eight ways a picture can be flipped and turned. Then
pictures cut out of larger ones, at every scale; then slight rotations. For each geometry the frequencies known beforehand tell the shifts that are most
likely, by one correlation; the best of all are decoded, and the checksum decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy import fft, ndimage

from meddiff.marking.code import CHANCE, VERSION, case_id_of, decode
from meddiff.marking.watermark import ACROSS, SYNC, TILE, analysed, pattern, resized

SCALE_STEP = 1.0045  # from one scale to the next: the pattern moves half a cycle at most over two tiles
LADDER = 1.2  # from one analysed size to the next
PEAKS = 6  # shifts taken from one geometry
ATTEMPTS = 128  # words decoded at a stage
LARGEST = 4096  # pixels of the longer side; larger pictures are shrunk first


@dataclass(frozen=True)
class Reading:
    """What the mark in a picture says.

    Attributes:
        case_id: `MD-` and 12 hex digits.
        version: of the mark.
        false_alarm: chance that a picture without a mark gives any reading, after as many attempts as were made.
        agreement: how far the picture agrees with the whole pattern of this case, in standard deviations of chance.
        short_side_px: how many pixels of this picture the short side of the marked one spans, whole or not.
        rotation_deg: anticlockwise, within +-4.
        mirrored, upside_down, turned: flipped left to right, then top to bottom, after rows and columns were exchanged.
        inverted: black shown as white.
    """

    case_id: str
    version: int
    false_alarm: float
    agreement: float
    short_side_px: float
    rotation_deg: float = 0.0
    mirrored: bool = False
    upside_down: bool = False
    turned: bool = False
    inverted: bool = False


@dataclass(frozen=True)
class _Geometry:
    """How tiles might lie in a picture: pixels a tile, and an angle."""

    tile_px: float
    rotation_deg: float = 0.0


@dataclass(frozen=True)
class _Candidate:
    """One way to read a picture: geometry, flips, shift, polarity, and the spectrum [F] that it gives."""

    score: float
    geometry: _Geometry
    turned: bool
    upside_down: bool
    mirrored: bool
    inverted: bool
    spectrum: np.ndarray


def read_mark(picture: np.ndarray) -> Reading | None:
    """The mark in a picture, or None where none is found (which does not mean that the picture is real).

    Args:
        picture: [H, W], any integer or float type; colours must have been made grey before.
    """
    picture = np.asarray(picture)
    if picture.ndim != 2 or min(picture.shape) < 48 or not np.isfinite(picture).all():
        return None
    search = Search(picture)
    return next((found for stage in search.stages() if (found := search.decoded(stage))), None)


class Search:
    """One picture and every way in which a mark might lie in it."""

    def __init__(self, picture: np.ndarray) -> None:
        grey = picture.astype(np.float32)
        if picture.dtype != np.uint8:
            low, high = np.percentile(grey, (0.1, 99.9))
            grey = (grey - low) / max(high - low, 1e-9) * 255
        self.shrunk = min(LARGEST / max(grey.shape), 1.0)
        if self.shrunk < 1:
            grey = resized(grey, tuple(round(side * self.shrunk) for side in grey.shape))
        self.grey = grey
        self.marks = pattern()
        self.attempts = 0
        self._seen: dict[tuple[int, float], np.ndarray] = {}

    def stages(self) -> Iterator[list[_Candidate]]:
        """Candidates in the order of how often they are the right ones."""
        short, long = min(self.grey.shape), max(self.grey.shape)
        whole = [_Geometry(side / ACROSS) for side in dict.fromkeys((short, self.grey.shape[1], long))]
        yield [c for g in whole for turned in (False, True) for c in self._candidates(g, turned, 2 * PEAKS)]
        # Cut out of a picture of a usual size and not resized.
        cut = [_Geometry(tile * self.shrunk) for tile in (128.0, 256.0, 192.0, 160.0)]
        yield self._best(c for g in cut for c in self._candidates(g, peaks=ATTEMPTS // len(cut)))
        scales = short / ACROSS * np.geomspace(0.3, 2.4, round(np.log(2.4 / 0.3) / np.log(SCALE_STEP)))
        yield self._best(c for tile in scales for c in self._candidates(_Geometry(float(tile))))
        angles = [a for a in np.arange(-3.75, 3.76, 0.25) if a]
        near = short / ACROSS * SCALE_STEP ** np.arange(-6, 7, 2)
        yield self._best(c for a in angles for tile in near for c in self._candidates(_Geometry(float(tile), float(a))))

    @staticmethod
    def _best(candidates: Iterable[_Candidate]) -> list[_Candidate]:
        return sorted(candidates, key=lambda c: -c.score)[:ATTEMPTS]

    def decoded(self, candidates: list[_Candidate]) -> Reading | None:
        """The reading of the likeliest candidate whose checksum agrees."""
        if not candidates:
            return None
        seen = np.stack([c.spectrum for c in candidates])
        self.attempts += len(candidates)
        numbers = decode(self.marks.soft(seen))
        read = [(c, n) for c, n in zip(candidates, numbers, strict=True) if n is not None]
        if not read:
            return None
        # Beside the right place and way lie others that can be read too, and tell the geometry wrongly.
        best, number = max(read, key=lambda one: one[0].score)
        return Reading(
            case_id_of(number),
            VERSION,
            self.attempts * CHANCE,
            float(self.marks.sync(best.spectrum).sum() / np.sqrt(SYNC / 2)),
            best.geometry.tile_px * ACROSS / self.shrunk,
            best.geometry.rotation_deg,
            best.mirrored,
            best.upside_down,
            best.turned,
            best.inverted,
        )

    def _candidates(self, geometry: _Geometry, turned: bool = False, peaks: int = PEAKS) -> list[_Candidate]:
        """The likeliest shifts of one geometry over the four flips and both polarities."""
        tile = self._tile(geometry)
        spectrum = fft.fft2(tile.T if turned else tile)
        rows, columns = self.marks.rows, self.marks.columns
        flips = [(up, side) for up in (False, True) for side in (False, True)]
        seen = np.stack([spectrum[-rows if up else rows, -columns if side else columns] for up, side in flips])
        seen = self.marks.whiten(seen)
        grid = np.zeros((len(flips), TILE, TILE), np.complex64)
        known = self.marks.phase[:SYNC] * (1 + 1j) / np.sqrt(2)
        grid[:, rows[:SYNC], columns[:SYNC]] = seen[:, :SYNC] * np.conj(known)
        match = fft.ifft2(grid, overwrite_x=True).real * (TILE**2 / np.sqrt(SYNC / 2))
        strength = np.abs(match).ravel()
        found = []
        for place in np.argpartition(strength, -peaks)[-peaks:]:
            flip, row, column = (int(at) for at in np.unravel_index(place, match.shape))
            sign = -1 if match.ravel()[place] < 0 else 1
            shift = self._between(sign * seen[flip], row, column)
            turn = sign * np.exp(2j * np.pi * (rows * shift[0] + columns * shift[1]) / TILE)
            up, side = flips[flip]
            found.append(_Candidate(float(strength[place]), geometry, turned, up, side, sign < 0, seen[flip] * turn))
        return found

    def _between(self, seen: np.ndarray, row: int, column: int) -> tuple[float, float]:
        """The shift in half samples, around one in whole samples, at which the known frequencies agree best."""
        halves = np.array([-0.5, 0.0, 0.5])
        down = np.exp(2j * np.pi * np.outer(row + halves, self.marks.rows[:SYNC]) / TILE)
        along = np.exp(2j * np.pi * np.outer(column + halves, self.marks.columns[:SYNC]) / TILE)
        known = seen[:SYNC] * np.conj(self.marks.phase[:SYNC]) * (1 - 1j)
        best = int(((down * known) @ along.T).real.argmax())
        return row + halves[best // 3], column + halves[best % 3]

    def _tile(self, geometry: _Geometry) -> np.ndarray:
        """All tiles of the analysed picture added up, [TILE, TILE]."""
        wanted = TILE / geometry.tile_px  # samples a pixel
        seen = self._analysed(round(float(np.log(wanted) / np.log(LADDER))), geometry.rotation_deg)
        rows, columns = (
            _folding(have, max(round(side * wanted), 1)) for have, side in zip(seen.shape, self.grey.shape, strict=True)
        )
        return rows @ seen @ columns.T

    def _analysed(self, rung: int, rotation_deg: float) -> np.ndarray:
        """The picture at one rung of the ladder of sizes as the reader sees it, turned back by an angle; kept."""
        if (rung, rotation_deg) not in self._seen:
            if rotation_deg:
                upright = self._analysed(rung, 0.0)
                turned = ndimage.rotate(upright, -rotation_deg, reshape=False, order=1, output=np.float32)
                self._seen[rung, rotation_deg] = turned
            else:
                shape = tuple(max(round(side * LADDER**rung), 8) for side in self.grey.shape)
                self._seen[rung, 0.0] = analysed(resized(self.grey, shape))
        return self._seen[rung, rotation_deg]


def _folding(have: int, wanted: int) -> np.ndarray:
    """float32 [TILE, have]: brings `have` samples to `wanted` by linear interpolation, and adds up every tile of them."""
    at = np.clip((np.arange(wanted) + 0.5) * have / wanted - 0.5, 0, have - 1)
    low = np.minimum(at.astype(int), have - 2)
    share = at - low
    into = np.arange(wanted) % TILE * have
    weights = np.bincount(into + low, 1 - share, TILE * have) + np.bincount(into + low + 1, share, TILE * have)
    return weights.reshape(TILE, have).astype(np.float32)
