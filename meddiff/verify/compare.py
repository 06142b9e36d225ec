"""A picture laid on the kept one it came from: how it was turned, cut, resized and windowed, and where it was painted over.

The place is found coarsely, by normalised correlation over scales, flips and shifts of shrunken pictures, then finely by ITK's correlation metric over
similarity transforms. Grey levels are brought together by a curve of medians, which a painted region does not move. What then still differs, beyond
what resampling and compression explain, was altered.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from meddiff.marking.seal import SealedImage

WORKING = 96  # pixels of the kept picture's longer side while its place is searched
SCALES = np.geomspace(0.25, 4.0, 57)
SAME = 0.97  # correlation from which no further search is needed
DIFFERENT = 0.6  # correlation below which it is another picture
NOTICEABLE = 12.0  # grey levels of 255, mean over 5 x 5 pixels, beyond what resampling explains
SMALLEST_SHARE = 0.0004  # of the picture: 26 of 256 x 256 pixels, a lesion of 6 mm


@dataclass(frozen=True)
class Change:
    """One thing that was done to a picture since it left; `harmless` where it hides and forges nothing."""

    name: str
    said: str
    harmless: bool = True


@dataclass(frozen=True)
class Comparison:
    """How a picture and a kept one lie on each other.

    Attributes:
        likeness: 0 to 1, correlation where they overlap, grey levels brought together.
        changes: in words.
    """

    likeness: float
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class _Pose:
    """The kept picture turned (transposed, upside down, mirrored), resized, then shifted: where it lies in the found one."""

    transposed: bool
    upside_down: bool
    mirrored: bool
    scale: float  # found pixels a kept pixel
    row: float  # of the kept picture's first pixel, in found pixels
    column: float
    score: float

    def turn(self, pixels: np.ndarray) -> np.ndarray:
        return _turned(pixels, self.transposed, self.upside_down, self.mirrored)


def _turned(pixels: np.ndarray, transposed: bool, upside_down: bool, mirrored: bool) -> np.ndarray:
    pixels = pixels.T if transposed else pixels
    return pixels[:: -1 if upside_down else 1, :: -1 if mirrored else 1]


def compare(found: np.ndarray, kept: SealedImage) -> Comparison:
    """What was done to `found` [H, W], any type, since it left as `kept`."""
    if found.shape == kept.pixels.shape and np.array_equal(found, kept.pixels):
        depth = () if found.dtype == kept.pixels.dtype else (_depth(found, kept),)
        return Comparison(1.0, depth)
    seen, stored = _in_levels(found), _in_levels(kept.pixels)
    pose = _pose(seen, stored)
    if pose is None:
        return _other(0.0)
    transform = _refined(seen, pose.turn(stored), pose)
    laid = _laid(pose.turn(stored), transform, seen.shape)
    inside = _laid(np.ones(stored.shape, np.float32), transform, seen.shape, nearest=True) > 0.5
    if inside.sum() < 400:
        return _other(0.0)
    curve, levels = _curve(laid[inside], seen[inside])
    expected = np.interp(laid, levels, curve)
    likeness = _correlation(expected[inside], seen[inside])
    if likeness < DIFFERENT:
        return _other(likeness)
    stamp = _laid(pose.turn(_stamp_of(kept)), transform, seen.shape, nearest=True) > 0.5
    whole = _laid(pose.turn(kept.outside_stamp.astype(np.float32)), transform, seen.shape, nearest=True) > 0.5
    changes = [
        *_geometry(seen, stored, pose, transform, inside, kept),
        *_greys(curve, levels),
        *([_depth(found, kept)] if (found.dtype == np.uint8) != (kept.pixels.dtype == np.uint8) else []),
        *_stamp(expected, seen, stamp, kept),
        *_altered(expected, seen, whole & inside),
    ]
    return Comparison(likeness, tuple(changes) or (Change("touched", "Some grey levels differ by very little."),))


def _other(likeness: float) -> Comparison:
    return Comparison(
        likeness,
        (Change("not the kept picture", "The pixels do not show the case that is kept under this name.", False),),
    )


def _depth(found: np.ndarray, kept: SealedImage) -> Change:
    return Change(
        "bit depth",
        f"It is stored in {found.dtype.itemsize * 8} bits now, and left in {kept.pixels.dtype.itemsize * 8}.",
    )


def _in_levels(pixels: np.ndarray) -> np.ndarray:
    """float32 [H, W] on a scale of 255: 8 bits as they are, others by their range."""
    grey = pixels.astype(np.float32)
    if pixels.dtype == np.uint8:
        return grey
    low, high = float(grey.min()), float(grey.max())
    return (grey - low) / max(high - low, 1e-9) * 255


# ---------------------------------------------------------------- where it lies


def _resized(pixels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    from skimage.transform import resize

    return np.asarray(resize(pixels, shape, order=1, anti_aliasing=True, preserve_range=True), np.float32)


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    one, other = one - one.mean(), other - other.mean()
    return float((one * other).sum() / max(float(np.sqrt((one**2).sum() * (other**2).sum())), 1e-9))


def _pose(seen: np.ndarray, stored: np.ndarray) -> _Pose | None:
    """The likeliest place, flips and scale; None where nothing fits."""
    from skimage.feature import match_template

    turns = [(t, u, m) for t in (False, True) for u in (False, True) for m in (False, True)]
    best: _Pose | None = None
    alike = 0.0
    small = WORKING / max(stored.shape)
    for turn in turns:  # shown whole, only resized
        kept = _turned(stored, *turn)
        scale = seen.shape[0] / kept.shape[0]
        if abs(seen.shape[1] / (kept.shape[1] * scale) - 1) > 0.02:
            continue
        shape = (max(round(kept.shape[0] * small), 8), max(round(kept.shape[1] * small), 8))
        like = abs(_correlation(_resized(kept, shape), _resized(seen, shape)))
        score = _weight(like, shape[0] * shape[1])
        if best is None or score > best.score:
            best, alike = _Pose(*turn, scale, 0.0, 0.0, score), like
    if alike > SAME:
        return best
    kept_small = _resized(stored, (round(stored.shape[0] * small), round(stored.shape[1] * small)))
    for scale in SCALES:
        shape = (round(seen.shape[0] * small / scale), round(seen.shape[1] * small / scale))
        if min(shape) < 20 or max(shape) > 6 * WORKING:
            continue
        shrunk = _resized(seen, shape)
        for turn in turns:
            kept = np.ascontiguousarray(_turned(kept_small, *turn))
            if all(a <= b for a, b in zip(shape, kept.shape, strict=True)):
                match, sign = match_template(kept, shrunk), -1
            elif all(a >= b for a, b in zip(shape, kept.shape, strict=True)):
                match, sign = match_template(shrunk, kept), 1
            else:
                continue
            at = np.unravel_index(int(np.abs(match).argmax()), match.shape)
            score = _weight(float(abs(match[at])), min(shrunk.size, kept.size))
            if best is None or score > best.score:
                step = scale / small * sign
                best = _Pose(*turn, float(scale), float(at[0] * step), float(at[1] * step), score)
    return best


def _weight(correlation: float, pixels: int) -> float:
    """How unlikely a correlation is by chance: Fisher's z times the root of the pixels compared; small windows match easily."""
    return float(np.arctanh(min(correlation, 0.995)) * np.sqrt(pixels))


def _refined(seen: np.ndarray, kept: np.ndarray, pose: _Pose) -> sitk.Transform:
    """From a place in the found picture to the place in the kept one (turned) that it shows."""
    start = sitk.Similarity2DTransform()
    start.SetCenter([seen.shape[1] / 2, seen.shape[0] / 2])
    start.SetScale(1 / pose.scale)
    centre = np.array([seen.shape[1] / 2, seen.shape[0] / 2])
    # The middle of pixel 0 lies at 0: half a pixel on either side.
    wanted = (centre + 0.5 - np.array([pose.column, pose.row])) / pose.scale - 0.5
    start.SetTranslation([float(v) for v in wanted - centre])
    fixed, moving = (
        sitk.GetImageFromArray(seen.astype(np.float32)),
        sitk.GetImageFromArray(np.ascontiguousarray(kept, np.float32)),
    )

    def fit(transform: sitk.Transform) -> float:
        laid = _laid(kept, transform, seen.shape)
        inside = _laid(np.ones(kept.shape, np.float32), transform, seen.shape, nearest=True) > 0.5
        return abs(_correlation(laid[inside], seen[inside])) if inside.sum() > 400 else 0.0

    if fit(start) > 0.999:
        return start
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsCorrelation()
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-4, 150, 0.6, 1e-8)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([4, 2, 1] if min(seen.shape) >= 128 else [2, 1])
    method.SetSmoothingSigmasPerLevel([2, 1, 0] if min(seen.shape) >= 128 else [1, 0])
    method.SetInitialTransform(sitk.Similarity2DTransform(start), inPlace=False)
    try:
        better = method.Execute(fixed, moving)
    except RuntimeError:
        return start

    return better if fit(better) > fit(start) else start


def _laid(kept: np.ndarray, transform: sitk.Transform, shape: tuple[int, ...], nearest: bool = False) -> np.ndarray:
    """The kept picture (turned) on the found one's pixels; 0 where it does not reach."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(kept, np.float32))
    grid = sitk.Image(int(shape[1]), int(shape[0]), sitk.sitkFloat32)
    # Shrunk pictures are averages: so is what is laid under them.
    shrink = _scale_of(transform)
    if shrink > 1.2 and not nearest:
        image = sitk.SmoothingRecursiveGaussian(image, 0.4 * shrink)
    kind = sitk.sitkNearestNeighbor if nearest else sitk.sitkLinear
    return np.asarray(sitk.GetArrayFromImage(sitk.Resample(image, grid, transform, kind, 0.0)), np.float32)


def _scale_of(transform: sitk.Transform) -> float:
    """Kept pixels a found pixel."""
    one, other = transform.TransformPoint([0.0, 0.0]), transform.TransformPoint([1.0, 0.0])
    return float(np.hypot(other[0] - one[0], other[1] - one[1]))


def _geometry(
    seen: np.ndarray, stored: np.ndarray, pose: _Pose, transform: sitk.Transform, inside: np.ndarray, kept: SealedImage
) -> list[Change]:
    told = []
    turn = (pose.transposed, pose.upside_down, pose.mirrored)
    if sum(turn) % 2:
        told.append(Change("mirrored", "It is mirrored: the patient's sides are exchanged.", False))
    elif any(turn):
        told.append(Change("turned", "It is turned by a quarter or half a turn."))
    one, other = transform.TransformPoint([0.0, 0.0]), transform.TransformPoint([1.0, 0.0])
    angle = float(np.degrees(np.arctan2(other[1] - one[1], other[0] - one[0])))
    if abs(angle) > 0.3:
        told.append(Change("rotated", f"It is rotated by {abs(angle):.1f} degrees."))
    scale = 1 / _scale_of(transform)
    if abs(scale - 1) > 0.01:
        told.append(Change("resized", f"It is resized to {scale:.0%}."))
    turned = pose.turn(stored)
    # Which pixels of the kept picture the found one shows.
    shown = np.zeros(turned.shape, bool)
    corners = [
        transform.TransformPoint([float(c), float(r)]) for r in (0, seen.shape[0] - 1) for c in (0, seen.shape[1] - 1)
    ]
    (left, right), (top, bottom) = ((min(v), max(v)) for v in zip(*corners, strict=True))
    rows = slice(max(round(top), 0), max(round(bottom) + 1, 0))
    columns = slice(max(round(left), 0), max(round(right) + 1, 0))
    shown[rows, columns] = True
    share = float(shown.mean())
    if share < 0.97:
        told.append(
            Change(
                "cropped",
                f"It is cut to {share:.0%} of the picture: rows {rows.start} to {min(rows.stop, turned.shape[0]) - 1}, "
                f"columns {columns.start} to {min(columns.stop, turned.shape[1]) - 1} of {turned.shape[0]} x {turned.shape[1]}.",
            )
        )
    if inside.mean() < 0.95:
        told.append(
            Change(
                "framed",
                f"It stands in a larger picture and fills {inside.mean():.0%} of it: a screenshot or a page, perhaps.",
            )
        )
    return told


# ---------------------------------------------------------------- grey levels


def _curve(kept: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median found level for each kept level: (curve, levels), both float [n]."""
    # By their numbers and by their range: few pixels are bright, and a window bends there.
    edges = np.unique([*np.quantile(kept, np.linspace(0, 1, 49)), *np.linspace(kept.min(), kept.max(), 33)])
    if len(edges) < 3:
        return np.array([np.median(seen)] * 2), np.array([0.0, 255.0])
    which = np.clip(np.searchsorted(edges, kept, "right") - 1, 0, len(edges) - 2)
    medians, levels = [], []
    for index in range(len(edges) - 1):
        chosen = which == index
        if chosen.sum() >= 8:
            medians.append(float(np.median(seen[chosen])))
            levels.append(float(np.median(kept[chosen])))
    levels_, order = np.unique(levels, return_index=True)
    curve = np.asarray(medians)[order]
    rising = curve[-1] >= curve[0]
    monotone = np.maximum.accumulate(curve if rising else -curve)
    return (monotone if rising else -monotone), levels_


def _greys(curve: np.ndarray, levels: np.ndarray) -> list[Change]:
    told: list[Change] = []
    if len(levels) < 3:
        return told
    if curve[-1] < curve[0]:
        told.append(Change("inverted", "Black and white are exchanged."))
        curve = 255 - curve
    if np.abs(curve - levels).mean() <= 5:  # compression and blur bend the ends
        return told
    free = (curve > 2) & (curve < 253)
    free = free if free.sum() >= 4 else np.ones(len(curve), bool)
    x, y = levels[free], curve[free]
    gain, offset = np.polyfit(x, y, 1)
    straight = float(np.abs(gain * x + offset - y).mean())
    powers = np.arange(0.4, 2.55, 0.05)
    bent = [float(np.abs(np.polyval(np.polyfit((x / 255) ** g, y, 1), (x / 255) ** g) - y).mean()) for g in powers]
    power = float(powers[int(np.argmin(bent))])
    if min(bent) < 0.6 * straight and abs(power - 1) > 0.08:
        told.append(Change("gamma", f"Its grey levels follow a gamma of about {power:.2f}."))
    else:
        told.append(
            Change(
                "windowed",
                f"Its window was changed: grey levels are about {gain:.2f} x those that left {offset:+.0f} of 255.",
            )
        )
    return told


# ---------------------------------------------------------------- what was painted over


def _stamp_of(kept: SealedImage) -> np.ndarray:
    """float32 of the sealed picture's shape: 1 inside the stamp's box."""
    box = np.zeros(kept.pixels.shape, np.float32)
    box[kept.box.area] = 1
    return box


def _stamp(expected: np.ndarray, seen: np.ndarray, box: np.ndarray, kept: SealedImage) -> list[Change]:
    """Whether the words are still there: all of their box, and like those that were written."""
    rows, columns = np.flatnonzero(box.any(1)), np.flatnonzero(box.any(0))
    area = kept.box.height * kept.box.width
    if not len(rows) or box.sum() < 16 or area == 0:
        return [Change("stamp removed", "The visible stamp was cut off.", False)]
    part = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    if np.ptp(seen[part]) < 8 or _correlation(expected[part], seen[part]) < 0.5:
        return [Change("stamp removed", "The visible stamp was painted over or removed.", False)]
    return []


def _altered(expected: np.ndarray, seen: np.ndarray, valid: np.ndarray) -> list[Change]:
    """Regions that resampling, noise and compression do not explain, and how the rest was compressed."""
    if valid.sum() < 400:
        return []
    valid = ndimage.binary_erosion(valid, iterations=2)
    apart = np.abs(expected - seen)
    apart[~valid] = 0
    # Where the picture is steep, half a pixel of misplacement makes this much.
    steep = ndimage.gaussian_gradient_magnitude(expected, 1.0)
    noise = float(np.median(apart[valid])) * 1.4826
    beyond = ndimage.uniform_filter(np.maximum(apart - ndimage.maximum_filter(steep, 5), 0), 5)
    labels, count = ndimage.label(beyond > max(NOTICEABLE, 4 * noise))
    told = []
    if count:
        sizes = np.bincount(labels.ravel())[1:]
        large = [i for i in np.argsort(-sizes) if sizes[i] >= max(SMALLEST_SHARE * valid.sum(), 12)]
        if large:
            boxes = ndimage.find_objects(labels)
            rows, columns = boxes[large[0]]
            share = float(sizes[large].sum() / valid.sum())
            told.append(
                Change(
                    "altered",
                    f"{share:.1%} of the picture shows something else than what left: the largest such region lies in rows "
                    f"{rows.start} to {rows.stop - 1}, columns {columns.start} to {columns.stop - 1}. Something was painted in or out.",
                    False,
                )
            )
            valid &= ~ndimage.binary_dilation(np.isin(labels, np.asarray(large) + 1), iterations=4)
    mean_square = float((apart[valid] ** 2).mean()) if valid.any() else 0.0
    if mean_square > 0.3:
        blocks = " in blocks of 8 x 8 pixels, as JPEG makes them" if _blocky(expected - seen, valid) else ""
        told.append(
            Change(
                "recompressed",
                f"Grey levels differ a little everywhere{blocks}: PSNR {10 * np.log10(255**2 / mean_square):.0f} dB.",
            )
        )
    return told


def _blocky(rest: np.ndarray, valid: np.ndarray) -> bool:
    """Whether the rest jumps more at every eighth column and row than between them."""
    ratios = []
    for axis in (0, 1):
        jumps = np.abs(np.diff(rest, axis=axis))
        both = (valid[1:] & valid[:-1]) if axis == 0 else (valid[:, 1:] & valid[:, :-1])
        jumps = np.where(both, jumps, 0).sum(1 - axis) / np.maximum(both.sum(1 - axis), 1)
        if len(jumps) < 24:
            return False
        edges = [jumps[start::8].mean() for start in range(8)]
        ratios.append(max(edges) / max(float(np.median(edges)), 1e-6))
    return min(ratios) > 1.15
