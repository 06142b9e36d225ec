"""A picture laid on the kept one it came from: how it was turned, cut, resized and windowed, and where it was painted over.

`place` finds where it lies. Grey levels are brought together by a curve of medians, which a painted region does not move, and by the blur that
makes the two most alike. What then still differs, beyond what resampling and compression explain, was altered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import fft, ndimage

from meddiff.marking.seal import SealedImage
from meddiff.verify.answer import Change
from meddiff.verify.place import LEAST, SAME, Hint, Placement, correlation, places, turned, unstretched

if TYPE_CHECKING:
    from meddiff.marking.detect import Reading

DETAIL = (
    2.0,
    6.0,
)  # kept pixels, or blurs: the Gaussians between which the detail lies that one picture has and no other
SHARED = 0.93  # median local correlation of that detail: 0.98 and more of handled copies, 0.8 and less of other heads
EQUAL = 1e-5  # difference of correlations below which case and twin lie equally well
NOTICEABLE = 12.0  # grey levels of 255, mean over 5 x 5 pixels, beyond what resampling explains
SMALLEST_SHARE = 0.0004  # of the picture: 26 of 256 x 256 pixels, a lesion of 6 mm
BLURS = (0.7, 1.0, 1.5, 2.0, 3.0, 4.0)  # found pixels, the Gaussians that are tried
CALM = 0.85  # share of the picture, by steepness, that the curve of grey levels is drawn through
LEAST_IN_BIN = 8  # pixels that tell where a grey level went
SAMPLED = 50_000  # pixels that a curve of grey levels is drawn through, at most
BLURRED = 0.995  # correlation below which a blur is looked for
RESAMPLED_DB = 36  # PSNR from which resampling or a new window explains that grey levels differ a little
STAMP_SHOWN = 0.3  # share of the stamp below which it was cut off
STAMP_LIKE = 0.5  # correlation below which its words are not there


@dataclass(frozen=True)
class Comparison:
    """How a picture and a kept one lie on each other.

    Attributes:
        lies_on: whether it is the kept picture at all, whatever was done to it.
        role: which of the kept ones it is nearest to: "case" or "twin"; "" where both lie equally well.
        changes: in words.
    """

    lies_on: bool
    role: str
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class _Fit:
    """A found picture [H, W] and what the kept one is expected to look like there, both on a scale of 255."""

    seen: np.ndarray
    kept: SealedImage
    placed: Placement
    inside: np.ndarray  # bool: where the kept picture reaches
    picture: np.ndarray  # bool: and is no stamp
    expected: np.ndarray
    likeness: float
    curve: np.ndarray  # found level of each of `levels`
    levels: np.ndarray
    blur: float  # sigma in found pixels


def compare(
    found: np.ndarray, kept: Sequence[SealedImage], reading: Reading | None = None, saved_as: str = ""
) -> Comparison:
    """What was done to `found` [H, W], any type, since it left as the nearest of `kept`.

    Args:
        kept: a case and its twin: of one size, and alike but for the lesion.
        reading: of the mark in `found`, which tells where it lies.
        saved_as: the file's format, if it loses something: "JPEG" or "WebP".
    """
    for image in kept:
        if found.shape == image.pixels.shape and np.array_equal(found, image.pixels):
            return Comparison(True, image.provenance.role, tuple(_depth(found, image)))
    seen = _in_levels(found)
    fit, also, changes = None, False, []
    straight = None if reading else unstretched(seen, _in_levels(kept[0].pixels))
    if straight is not None:
        fit, also = _nearest(straight, kept, None)
        said = f"It is stretched: {seen.shape[1] / straight.shape[1]:.0%} as wide for its height as it left. Nothing can be measured in it."
        changes.append(Change("stretched", said))
    if fit is None or fit.likeness < SAME or not _shares_detail(fit):
        changes.clear()
        fit, also = _nearest(seen, kept, Hint.of(reading, kept[0]) if reading else None)
    if fit is None or not _shares_detail(fit):
        said = "The pixels do not show the case that is kept under this name."
        return Comparison(False, "", (Change("not the kept picture", said, False),))
    changes += [*_geometry(fit), *_greys(fit), *_depth(found, fit.kept), *_stamp(fit)]
    changes += _altered(fit, saved_as, bool(changes))
    if also:
        changes.append(Change("common part", "It shows a part in which the case and its twin are alike."))
    touched = Change("touched", "Some grey levels differ by very little.")
    return Comparison(True, "" if also else fit.kept.provenance.role, tuple(changes) or (touched,))


def _nearest(seen: np.ndarray, kept: Sequence[SealedImage], hint: Hint | None) -> tuple[_Fit | None, bool]:
    """The kept picture that lies best, and whether the others lie as well; all lie in the places of the first."""
    first: _Fit | None = None
    for found, enough in places(seen, _in_levels(kept[0].pixels), kept[0].outside_stamp, hint):
        fits = [fit for placed in found if (fit := _fit(seen, kept[0], placed))]
        first = max([*fits, *([first] if first else [])], key=lambda fit: fit.likeness, default=None)
        if first and first.likeness > enough:
            break
    if first is None:
        return None, False
    fits = [first, *(fit for image in kept[1:] if (fit := _fit(seen, image, first.placed)))]
    best = max(fits, key=lambda fit: fit.likeness)
    return best, len(fits) > 1 and all(best.likeness - fit.likeness < EQUAL for fit in fits)


def _fit(seen: np.ndarray, kept: SealedImage, placed: Placement) -> _Fit | None:
    inside = placed.lay_mask(np.ones(kept.pixels.shape, np.float32))
    picture = inside & placed.lay_mask(kept.outside_stamp.astype(np.float32))
    if picture.sum() < LEAST:
        return None
    laid = placed.lay(_in_levels(kept.pixels))
    # Between two tissues lie few pixels, and a small error of place shows most there: they do not count for the curve.
    steep = ndimage.gaussian_gradient_magnitude(laid, 1.0)
    calm = steep[picture] <= np.quantile(steep[picture], CALM)
    fits = []
    for blur in (0.0, *BLURS):
        soft = ndimage.gaussian_filter(laid, blur) if blur else laid
        curve, levels = _curve(soft[picture], seen[picture], calm)
        expected = np.interp(soft, levels, curve).astype(np.float32)
        likeness = correlation(expected[picture], seen[picture])
        fits.append(_Fit(seen, kept, placed, inside, picture, expected, likeness, curve, levels, blur))
        if fits[0].likeness > BLURRED or fits[-1].likeness < max(fit.likeness for fit in fits):
            break  # sharp enough, or past the best
    return max(fits, key=lambda fit: fit.likeness)


def _shares_detail(fit: _Fit) -> bool:
    """Whether fine detail is the same nearly everywhere: heads of two patients share their outline at most."""
    fine = max(DETAIL[0] * max(fit.placed.scale, 1.0), fit.blur)
    coarse = fine * DETAIL[1] / DETAIL[0]

    def detail(picture: np.ndarray) -> np.ndarray:
        shown = np.where(fit.picture, picture, 0)
        return ndimage.gaussian_filter(shown, fine) - ndimage.gaussian_filter(shown, coarse)

    def near(values: np.ndarray) -> np.ndarray:
        return ndimage.gaussian_filter(values, 4 * fine)

    one, other = detail(fit.expected), detail(fit.seen)
    spread = near(one * one) - near(one) ** 2
    both = np.maximum(spread * (near(other * other) - near(other) ** 2), 1e-9)
    alike = (near(one * other) - near(one) * near(other)) / np.sqrt(both)
    busy = fit.picture & (spread >= np.median(spread[fit.picture]))
    return float(np.median(alike[busy])) >= SHARED


def _in_levels(pixels: np.ndarray) -> np.ndarray:
    """float32 [H, W] on a scale of 255: 8 bits as they are, also where they were widened to 16; others by their range."""
    grey = pixels.astype(np.float32)
    if pixels.dtype == np.uint8:
        return grey
    if pixels.dtype == np.uint16 and not (pixels % 257).any():
        return grey / 257
    low, high = float(grey.min()), float(grey.max())
    return (grey - low) / max(high - low, 1e-9) * 255


# ---------------------------------------------------------------- where it lies


def _depth(found: np.ndarray, kept: SealedImage) -> list[Change]:
    if found.dtype.itemsize == kept.pixels.dtype.itemsize:
        return []
    now, then = (pixels.dtype.itemsize * 8 for pixels in (found, kept.pixels))
    return [Change("bit depth", f"It is stored in {now} bits now, and left in {then}.")]


def _geometry(fit: _Fit) -> list[Change]:
    placed, told = fit.placed, []
    if placed.mirrored:
        told.append(Change("mirrored", "It is mirrored: the patient's sides are exchanged.", False))
    elif any(placed.turn):
        told.append(Change("turned", "It is turned by a quarter or half a turn."))
    if placed.rotation_deg > 0.3:
        told.append(Change("rotated", f"It is rotated by {placed.rotation_deg:.1f} degrees."))
    if abs(placed.scale - 1) > 0.01:
        told.append(Change("resized", f"It is resized to {placed.scale:.0%}."))
    rows, columns = placed.shown(fit.kept.pixels.shape)
    height, width = turned(fit.kept.pixels, placed.turn).shape
    share = (rows.stop - rows.start) * (columns.stop - columns.start) / (height * width)
    if share < 0.97:
        where = (
            f"rows {rows.start} to {rows.stop - 1}, columns {columns.start} to {columns.stop - 1} of {height} x {width}"
        )
        told.append(Change("cropped", f"It is cut to {share:.0%} of the picture: {where}."))
    if (fills := float(fit.inside.mean())) < 0.95:
        said = f"It stands in a larger picture and fills {fills:.0%} of it: a screenshot or a page, perhaps."
        told.append(Change("framed", said))
    return told


# ---------------------------------------------------------------- grey levels


def _curve(kept: np.ndarray, seen: np.ndarray, calm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median found level for each kept level: (curve, levels), both float [n].

    Args:
        calm: bool, the pixels that are not on an edge; those that are count only beyond the levels that calm ones have.
    """
    step = -(-kept.size // SAMPLED)
    kept, seen, calm = kept[::step], seen[::step], calm[::step]
    # By their numbers and by their range: few pixels are bright, and a window bends there.
    edges = np.unique([*np.quantile(kept, np.linspace(0, 1, 49)), *np.linspace(kept.min(), kept.max(), 33)])
    if len(edges) < 3:
        return np.array([np.median(seen)] * 2), np.array([0.0, 255.0])
    which = np.clip(np.searchsorted(edges, kept, "right") - 1, 0, len(edges) - 2)
    known = np.flatnonzero(np.bincount(which[calm], minlength=1) >= LEAST_IN_BIN)
    use = (calm | (which < known[0]) | (which > known[-1])) if len(known) else np.ones(len(kept), bool)
    kept, seen, which = kept[use], seen[use], which[use]
    order = np.argsort(which, kind="stable")
    bins = np.split(order, np.searchsorted(which[order], np.arange(1, len(edges) - 1)))
    bins = [chosen for chosen in bins if len(chosen) >= LEAST_IN_BIN]
    medians = [float(np.median(seen[chosen])) for chosen in bins]
    levels = [float(np.median(kept[chosen])) for chosen in bins]
    levels_, first = np.unique(levels, return_index=True)
    curve = np.asarray(medians)[first]
    rising = curve[-1] >= curve[0]
    monotone = np.maximum.accumulate(curve if rising else -curve)
    return (monotone if rising else -monotone), levels_


def _greys(fit: _Fit) -> list[Change]:
    """What was done to all grey levels alike."""
    curve, levels, told = fit.curve, fit.levels, []
    if fit.blur >= 1:
        said = f"It is blurred, as by a Gaussian of {fit.blur:g} pixels: fine detail is gone."
        told.append(Change("blurred", said))
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
    powers = np.arange(0.3, 3.01, 0.05)
    # A gamma leaves black and white where they are; a window moves them.
    bent = [float(np.abs(255 * (x / 255) ** power - y).mean()) for power in powers]
    if min(bent) < min(straight, 3.0):
        said = f"Its grey levels follow a gamma of about {powers[int(np.argmin(bent))]:.2f}."
        return [*told, Change("gamma", said)]
    shift = f" {'+' if offset > 0 else '-'} {abs(offset):.0f} of 255" if abs(offset) >= 0.5 else ""
    said = f"Its window was changed: grey levels are about {gain:.2f} x those that left{shift}."
    return [*told, Change("windowed", said)]


# ---------------------------------------------------------------- what was painted over


def _stamp(fit: _Fit) -> list[Change]:
    """Whether the words are still there, and like those that were written."""
    box = np.zeros(fit.kept.pixels.shape, np.float32)
    box[fit.kept.box.area] = 1
    here = fit.placed.lay_mask(box)
    if here.sum() < STAMP_SHOWN * box.sum() * fit.placed.scale**2:
        said = "The visible stamp was cut off with what lay around: nothing on the picture says that it is synthetic."
        return [Change("stamp cut off", said)]
    rows, columns = np.flatnonzero(here.any(1)), np.flatnonzero(here.any(0))
    part = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    if np.ptp(fit.seen[part]) < 8 or correlation(fit.expected[part], fit.seen[part]) < STAMP_LIKE:
        return [Change("stamp removed", "The visible stamp was painted over or removed.", False)]
    return []


def _altered(fit: _Fit, saved_as: str, handled: bool) -> list[Change]:
    """Regions that resampling, noise and compression do not explain, and how the rest was compressed.

    Args:
        handled: whether something else was done to it, which explains small differences.
    """
    valid = ndimage.binary_erosion(fit.picture, iterations=2)
    if valid.sum() < LEAST:
        return []
    rest = fit.expected - fit.seen
    apart = np.abs(rest)
    apart[~valid] = 0
    # Where the picture is steep, half a pixel of misplacement makes this much.
    steep = ndimage.gaussian_gradient_magnitude(fit.expected, 1.0)
    noise = float(np.median(apart[valid])) * 1.4826
    beyond = ndimage.uniform_filter(np.maximum(apart - ndimage.maximum_filter(steep, 5), 0), 5)
    labels, _ = ndimage.label(beyond > max(NOTICEABLE, 4 * noise))
    sizes = np.bincount(labels.ravel())[1:]
    large = [i for i in np.argsort(-sizes) if sizes[i] >= max(SMALLEST_SHARE * valid.sum(), 12)]
    told = []
    if large:
        rows, columns = ndimage.find_objects(labels)[large[0]]
        share = float(sizes[large].sum() / valid.sum())
        said = (
            f"{share:.1%} of the picture shows something else than what left: the largest such region lies in rows "
            f"{rows.start} to {rows.stop - 1}, columns {columns.start} to {columns.stop - 1}. Something was painted in or out."
        )
        told.append(Change("altered", said, False))
        valid &= ~ndimage.binary_dilation(np.isin(labels, np.asarray(large) + 1), iterations=4)
    mean_square = float((rest[valid] ** 2).mean()) if valid.any() else 0.0
    psnr = 10 * np.log10(255**2 / max(mean_square, 1e-9))
    if mean_square <= 0.3 and not saved_as:
        return told
    little = f"grey levels differ a little everywhere (PSNR {psnr:.0f} dB)"
    if saved_as or _in_blocks(fit.seen, valid):
        how = f"as {saved_as}" if saved_as else "as JPEG, whose blocks of 8 x 8 pixels are in it"
        told.append(Change("recompressed", f"It was saved {how}: {little}."))
    elif psnr < RESAMPLED_DB or not (told or handled):
        told.append(Change("touched", f"All {little}, as after smoothing, noise or another program's saving."))
    return told


def _in_blocks(seen: np.ndarray, valid: np.ndarray) -> bool:
    """Whether a picture was JPEG: in blocks of 8 x 8 on one grid, and on no other, most fine detail is exactly nothing.

    JPEG rounds the cosine coefficients of each block to multiples of steps, and those of fine detail to 0 (ITU-T T.81, A.3.4).
    """
    rows, columns = (side // 8 - 1 for side in seen.shape)
    if min(rows, columns) < 3:
        return False
    fine = np.add.outer(np.arange(8), np.arange(8)) >= 7
    empty = []
    for top in range(8):
        for left in range(8):
            part = slice(top, top + 8 * rows), slice(left, left + 8 * columns)
            blocks = seen[part].reshape(rows, 8, columns, 8).swapaxes(1, 2)
            whole = valid[part].reshape(rows, 8, columns, 8).swapaxes(1, 2).all((2, 3))
            whole &= np.ptp(blocks, axis=(2, 3)) >= 4
            if whole.sum() < 9:
                return False
            cosines = fft.dctn(blocks[whole], axes=(1, 2), norm="ortho")[:, fine]
            empty.append(float((np.abs(cosines) < 1).mean()))  # rounding grey levels adds 0.3
    others = np.delete(empty, int(np.argmax(empty)))
    return max(empty) > 0.5 and max(empty) - max(others) > 0.05
