"""Where a kept picture lies in a found one: turned, resized, shifted, a little rotated.

The place is found coarsely, by normalised correlation over scales, flips and shifts of shrunken pictures, then finely by ITK's correlation metric over
similarity transforms. Where the invisible mark was read, it has told scale and flips already, and only the shift is looked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk
from PIL import Image

if TYPE_CHECKING:
    from meddiff.marking.detect import Reading
    from meddiff.marking.seal import SealedImage

WORKING = 96  # pixels of the kept picture's longer side while its place is searched
SCALES = np.geomspace(0.25, 4.0, 57)
SAME = 0.97  # correlation from which no further search is needed
CLOSE = 0.85  # correlation of shrunken pictures that lie where the mark says
SAMPLED = 70_000  # pixels that the fine metric is taken from
LEAST = 400  # pixels that two pictures must share

Turn = tuple[bool, bool, bool]  # rows and columns exchanged, then upside down, then mirrored
TURNS: list[Turn] = [(t, u, m) for t in (False, True) for u in (False, True) for m in (False, True)]


@dataclass(frozen=True)
class Hint:
    """What the invisible mark tells of the place: the kept picture's turn, found pixels a kept pixel, and an angle of unknown sense."""

    turn: Turn
    scale: float
    rotation_deg: float

    @staticmethod
    def of(reading: Reading, kept: SealedImage) -> Hint:
        """From the mark that was read in the found picture."""
        # The reading tells how to turn the found picture back: after an exchange of rows and columns the flips change places.
        flips = (reading.upside_down, reading.mirrored)
        turn = (reading.turned, *(flips[::-1] if reading.turned else flips))
        # The mark lies in the picture without the rows that were added for the stamp.
        return Hint(turn, reading.short_side_px / min(kept.height, kept.pixels.shape[1]), reading.rotation_deg)


@dataclass(frozen=True)
class Placement:
    """How a kept picture [H, W] is brought onto the found one's pixels.

    Attributes:
        turn: done to the kept picture first.
        transform: from a point of the found picture (column, row) to the point of the turned kept one that it shows.
        shape: of the found picture.
    """

    turn: Turn
    transform: sitk.Transform
    shape: tuple[int, int]

    def lay(self, kept: np.ndarray) -> np.ndarray:
        """A kept picture on the found one's pixels, float32; 0 where it does not reach."""
        return _laid(turned(kept, self.turn), self.transform, self.shape)

    def lay_mask(self, kept: np.ndarray) -> np.ndarray:
        """A mask of the kept picture on the found one's pixels, bool; False where it does not reach."""
        return _laid(turned(kept, self.turn), self.transform, self.shape, nearest=True) > 0.5

    @property
    def mirrored(self) -> bool:
        """Whether left and right of the patient are exchanged on the screen."""
        return sum(self.turn) % 2 == 1

    @property
    def rotation_deg(self) -> float:
        """What remains after the turn, unsigned."""
        across, down = _step(self.transform)
        return abs(float(np.degrees(np.arctan2(down, across))))

    @property
    def scale(self) -> float:
        """Found pixels a kept pixel."""
        return 1 / _shrink(self.transform)

    def shown(self, kept_shape: tuple[int, ...]) -> tuple[slice, slice]:
        """Rows and columns of the turned kept picture that the found one shows."""
        rows, columns = kept_shape[::-1] if self.turn[0] else kept_shape
        ends = [
            self.transform.TransformPoint([float(column), float(row)])
            for row in (0, self.shape[0] - 1)
            for column in (0, self.shape[1] - 1)
        ]
        (left, right), (top, bottom) = ((min(v), max(v)) for v in zip(*ends, strict=True))
        return (
            slice(min(max(round(top), 0), rows), min(max(round(bottom) + 1, 0), rows)),
            slice(min(max(round(left), 0), columns), min(max(round(right) + 1, 0), columns)),
        )


def turned(pixels: np.ndarray, turn: Turn) -> np.ndarray:
    """Pixels [H, W] with rows and columns exchanged, then upside down, then mirrored."""
    transposed, upside_down, mirrored = turn
    pixels = pixels.T if transposed else pixels
    return pixels[:: -1 if upside_down else 1, :: -1 if mirrored else 1]


def places(
    seen: np.ndarray, stored: np.ndarray, picture: np.ndarray, hint: Hint | None = None
) -> Iterator[tuple[list[Placement], float]]:
    """Where `stored` [h, w] may lie in `seen` [H, W], both float32, what is quickly found first.

    Args:
        picture: bool [h, w], what counts in `stored`: the stamp does not, which may be painted over.

    Yields:
        a place, as found coarsely and finely, and the correlation from which no other needs to be looked for.
    """
    angles = {0.0, hint.rotation_deg, -hint.rotation_deg} if hint else {0.0}
    for pose, enough in _poses(seen, stored, hint):
        found = _refined(seen, turned(stored, pose.turn), turned(picture, pose.turn), pose, angles)
        yield [Placement(pose.turn, transform, (seen.shape[0], seen.shape[1])) for transform in found], enough


def unstretched(seen: np.ndarray, stored: np.ndarray) -> np.ndarray | None:
    """`seen` with the proportions of `stored`, if it looks like all of it with other proportions; else None."""
    best, like = stored.shape, 0.0
    for turn in TURNS:
        kept = turned(stored, turn)
        shape = _working(kept.shape)
        if (alike := abs(correlation(resized(kept, shape), resized(seen, shape)))) > like:
            best, like = kept.shape, alike
    wanted = round(seen.shape[0] * best[1] / best[0])
    if like < CLOSE or abs(wanted / seen.shape[1] - 1) < 0.02:
        return None
    return resized(seen, (seen.shape[0], wanted))


def resized(pixels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """float32 [H, W] at another size, averaged where it is made smaller."""
    image = Image.fromarray(np.ascontiguousarray(pixels, np.float32))
    return np.asarray(image.resize(shape[::-1], Image.Resampling.BILINEAR))


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Pearson's, -1 to 1; 0 where one is even."""
    one, other = one - one.mean(), other - other.mean()
    return float((one * other).sum() / max(float(np.sqrt((one**2).sum() * (other**2).sum())), 1e-9))


# ---------------------------------------------------------------- coarsely


@dataclass(frozen=True)
class _Pose:
    """The kept picture turned, resized, then shifted."""

    turn: Turn
    scale: float  # found pixels a kept pixel
    row: float  # of the kept picture's first pixel, in found pixels
    column: float
    like: float  # correlation
    score: float


def _poses(seen: np.ndarray, stored: np.ndarray, hint: Hint | None) -> Iterator[tuple[_Pose, float]]:
    """The likeliest places, and the correlation from which no further one is needed: shown whole, where the mark says, anywhere."""
    whole = [pose for pose in _whole(seen, stored) if hint is None or pose.turn == hint.turn]
    best = _best(whole)
    if best and best.like > CLOSE:
        yield best, SAME
    if hint:
        told = _best(_searched(seen, stored, hint.scale * np.array([0.995, 1.0, 1.005]), [hint.turn]))
        if told and told.like > CLOSE:
            yield told, CLOSE
    found = _best([*_searched(seen, stored, SCALES, TURNS), *whole])
    if found:
        yield found, 0.0


def _best(poses: Iterable[_Pose]) -> _Pose | None:
    return max(poses, key=lambda pose: pose.score, default=None)


def _whole(seen: np.ndarray, stored: np.ndarray) -> Iterable[_Pose]:
    """Every turn of the kept picture, shown whole and only resized."""
    for turn in TURNS:
        kept = turned(stored, turn)
        scale = seen.shape[0] / kept.shape[0]
        if abs(seen.shape[1] / (kept.shape[1] * scale) - 1) > 0.02:
            continue
        shape = _working(kept.shape)
        like = abs(correlation(resized(kept, shape), resized(seen, shape)))
        yield _Pose(turn, scale, 0.0, 0.0, like, _weight(like, shape[0] * shape[1]))


def _searched(seen: np.ndarray, stored: np.ndarray, scales: np.ndarray, turns: list[Turn]) -> Iterable[_Pose]:
    """The best shift at every scale and turn."""
    from skimage.feature import match_template

    kept_small = resized(stored, _working(stored.shape))
    small = kept_small.shape[0] / stored.shape[0]
    for scale in scales:
        shape = (round(seen.shape[0] * small / scale), round(seen.shape[1] * small / scale))
        if min(shape) < 20 or max(shape) > 6 * WORKING:
            continue
        shrunk = resized(seen, shape)
        for turn in turns:
            kept = np.ascontiguousarray(turned(kept_small, turn))
            if all(a <= b for a, b in zip(shape, kept.shape, strict=True)):
                match, sign = match_template(kept, shrunk), -1
            elif all(a >= b for a, b in zip(shape, kept.shape, strict=True)):
                match, sign = match_template(shrunk, kept), 1
            else:
                continue
            at = np.unravel_index(int(np.abs(match).argmax()), match.shape)
            like, step = float(abs(match[at])), scale / small * sign
            score = _weight(like, min(shrunk.size, kept.size))
            yield _Pose(turn, float(scale), float(at[0] * step), float(at[1] * step), like, score)


def _working(shape: tuple[int, ...]) -> tuple[int, int]:
    small = WORKING / max(shape)
    return max(round(shape[0] * small), 8), max(round(shape[1] * small), 8)


def _weight(like: float, pixels: int) -> float:
    """How unlikely a correlation is by chance: Fisher's z times the root of the pixels compared; small windows match easily."""
    return float(np.arctanh(min(like, 0.9999)) * np.sqrt(pixels))


# ---------------------------------------------------------------- finely


def _refined(
    seen: np.ndarray, kept: np.ndarray, picture: np.ndarray, pose: _Pose, angles: Iterable[float]
) -> list[sitk.Transform]:
    """From a place in the found picture to the place in the kept one (turned) that it shows: as it is, and refined.

    Both, because the correlation is taken before grey levels are brought together: where they were bent it errs by a part of a pixel.
    """
    shape = (seen.shape[0], seen.shape[1])

    def fit(transform: sitk.Transform) -> float:
        laid = _laid(kept, transform, shape)
        inside = _laid(picture, transform, shape, nearest=True) > 0.5
        return abs(correlation(laid[inside], seen[inside])) if inside.sum() > LEAST else 0.0

    start = max((_start(pose, shape, angle) for angle in angles), key=fit)
    if fit(start) > 0.999:
        return [start]
    fixed, moving = (sitk.GetImageFromArray(np.ascontiguousarray(picture, np.float32)) for picture in (seen, kept))
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsCorrelation()
    method.SetMetricMovingMask(sitk.GetImageFromArray(np.ascontiguousarray(picture, np.uint8)))
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-3, 150, 0.6, 1e-8)
    method.SetOptimizerScalesFromPhysicalShift()
    shrink = [4, 2, 1] if min(shape) >= 128 else [2, 1]
    method.SetShrinkFactorsPerLevel(shrink)
    method.SetSmoothingSigmasPerLevel([factor / 2 if factor > 1 else 0 for factor in shrink])
    share = [min(SAMPLED * factor**2 / seen.size, 1.0) for factor in shrink]
    if min(share) < 1:
        method.SetMetricSamplingStrategy(method.REGULAR)
        method.SetMetricSamplingPercentagePerLevel(share, seed=1)
    method.SetNumberOfThreads(1)  # sums in one order: the same file gives the same verdict
    method.SetInitialTransform(sitk.Similarity2DTransform(start), inPlace=False)
    try:
        better = method.Execute(fixed, moving)
    except RuntimeError:
        return [start]
    return [start, better]


def _start(pose: _Pose, shape: tuple[int, int], angle_deg: float) -> sitk.Similarity2DTransform:
    start = sitk.Similarity2DTransform()
    centre = np.array([shape[1] / 2, shape[0] / 2])
    start.SetCenter(centre.tolist())
    start.SetScale(1 / pose.scale)
    start.SetAngle(float(np.radians(angle_deg)))
    # The middle of pixel 0 lies at 0: half a pixel on either side.
    wanted = (centre + 0.5 - np.array([pose.column, pose.row])) / pose.scale - 0.5
    start.SetTranslation([float(v) for v in wanted - centre])
    return start


def _laid(kept: np.ndarray, transform: sitk.Transform, shape: tuple[int, int], nearest: bool = False) -> np.ndarray:
    """The kept picture (turned) on the found one's pixels; 0 where it does not reach."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(kept, np.float32))
    grid = sitk.Image(int(shape[1]), int(shape[0]), sitk.sitkFloat32)
    # Shrunk pictures are averages: so is what is laid under them.
    shrink = _shrink(transform)
    if shrink > 1.2 and not nearest:
        image = sitk.SmoothingRecursiveGaussian(image, 0.4 * shrink)
    kind = sitk.sitkNearestNeighbor if nearest else sitk.sitkLinear
    return np.asarray(sitk.GetArrayFromImage(sitk.Resample(image, grid, transform, kind, 0.0)), np.float32)


def _step(transform: sitk.Transform) -> tuple[float, float]:
    """How far a found pixel to the right goes in the kept picture: columns, rows."""
    one, other = transform.TransformPoint([0.0, 0.0]), transform.TransformPoint([1.0, 0.0])
    return other[0] - one[0], other[1] - one[1]


def _shrink(transform: sitk.Transform) -> float:
    """Kept pixels a found pixel."""
    return float(np.hypot(*_step(transform)))
