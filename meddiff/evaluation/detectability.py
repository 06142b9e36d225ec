"""How well a made lesion can be seen: the lesion detectability index, and beside it the field's own measure, a model observer.

The index is contrast to noise over a ring around the lesion, weighed by how sensitive the eye is to something of that size, relative to
real lesions of the same type. Its weaknesses: noise is whatever varies in the ring, anatomy too; a ring in fluid is another task than a
ring in white matter; mean contrast of a ring-enhancing lesion is small though it is plain to see; and a lesion that is twice as plain as
real ones counts as better. The channelised Hotelling observer has none of these: it is told the mean lesion and the covariance of what
surrounds it, and asked which of two patches holds the lesion (Barrett & Myers, *Foundations of Image Science*, 2004, chapter 14).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.special import eval_laguerre
from scipy.stats import norm

from meddiff.case import Plane
from meddiff.conditions.measure import head_mask
from meddiff.evaluation.features import crop, kinds, lesion_box, matched
from meddiff.evaluation.figures import known_mean
from meddiff.evaluation.heads import noted
from meddiff.evaluation.material import Material, Pictures, Progress
from meddiff.evaluation.records import Figure, Part
from meddiff.statistics import bootstrap_mean

PART = "detectability"
CAP = 2.0  # of the index: no lesion counts as more than twice as detectable as real ones
RING = 6  # pixels by which the outline is grown
LEAST_RING = 30  # pixels: a ring of fewer says nothing of noise
VIEWING_MM = 600.0  # from the eye to a screen that shows the slice in its own size
LUMINANCE = 100.0  # of the screen, cd/m^2
PATCH, PATCH_MARGIN = (
    64,
    2.0,
)  # side of an observer's patch in pixels, and of what it shows over the lesion's longer side
CHANNELS = 6
WIDTH = 0.4  # of the channels' Gaussian, over the patch's side: its half height lies just inside the lesion's edge
FOLDS = 5
OVERLAP = 0.1  # share of the lesion that its mirror image may cover: beyond, the other side is not healthy
FEWEST = 20  # pairs for an observer of six channels


# ---------------------------------------------------------------- the index


def contrast_to_noise(picture: np.ndarray, outline: np.ndarray, head: np.ndarray, width: int = RING) -> float:
    """|mean of the lesion - mean of its ring| over the ring's standard deviation, in a picture [H, W]; NaN where there is no ring.

    The ring is the outline grown by `width` pixels without the outline, inside the head: what a radiologist sees it against.
    """
    ring = ndimage.binary_dilation(outline, iterations=width) & ~outline & head
    if ring.sum() < LEAST_RING or not outline.any():
        return float("nan")
    around = picture[ring].astype(float)
    return float(abs(picture[outline].mean() - around.mean()) / (around.std() + 1e-6))


def contrast_sensitivity(frequency: np.ndarray, size_deg: float, luminance: float = LUMINANCE) -> np.ndarray:
    """The eye's contrast sensitivity to gratings of `frequency` cycles per degree in a field of `size_deg` degrees a side.

    Barten, *Formula for the contrast sensitivity of the human eye*, Proc. SPIE 5294, 2004; luminance in cd/m^2.
    """
    u = np.asarray(frequency, float)
    neural = 63 / luminance**0.83 + 1 / -np.expm1(-0.02 * u**2)
    field = 1 + 144 / size_deg**2 + 0.64 * u**2
    return 5200 * np.exp(-0.0016 * u**2 * (1 + 100 / luminance) ** 0.08) / np.sqrt(field * neural)


def visibility(diameter_mm: float, viewing_mm: float = VIEWING_MM) -> float:
    """How sensitive the eye is to a lesion of that diameter, over its best for any; in (0, 1], growing with size and levelling off.

    The highest of `contrast_sensitivity` over all frequencies of which half a cycle fits into the lesion, in a field of its size.
    """
    return _best(np.degrees(2 * np.arctan(diameter_mm / 2 / viewing_mm))) / _best(60.0)


def _best(size_deg: float) -> float:
    frequencies = np.geomspace(0.05, 60, 400)
    fits = frequencies >= min(1 / (2 * size_deg), 60)
    return float(contrast_sensitivity(frequencies[fits], size_deg).max())


def conspicuities(pictures: Pictures, pixels: np.ndarray | None = None) -> np.ndarray:
    """Contrast to noise times visibility of each lesion, [N]; NaN where it has no ring. `pixels` in place of the pictures' own."""
    values = []
    for picture, outline in zip(pictures.pixels if pixels is None else pixels, pictures.outlines, strict=True):
        across = 2 * np.sqrt(outline.sum() / np.pi) * pictures.spacing_mm  # of the disc of its area
        head = head_mask(picture / np.float32(255)) | outline
        values.append(contrast_to_noise(picture, outline, head) * visibility(float(across)))
    return np.array(values)


def index(values: np.ndarray, types: tuple[str, ...], real: np.ndarray, real_types: tuple[str, ...]) -> np.ndarray:
    """Conspicuities [N] over the mean of real ones [M] of the same type, at most `CAP`; NaN where there are none."""
    of_type = {kind: np.nanmean(real[[t == kind for t in real_types]]) for kind in set(types) & set(real_types)}
    means = np.array([of_type.get(kind, np.nan) for kind in types])
    return np.minimum(values / means, CAP)


# ---------------------------------------------------------------- the observer


def channels(size: int = PATCH, count: int = CHANNELS, width: float | None = None) -> np.ndarray:
    """Laguerre-Gauss channels [size^2, count] of unit length: Gallas & Barrett, *J. Opt. Soc. Am. A* 20, 2003.

    sqrt(2) / a exp(-pi r^2 / a^2) L_p(2 pi r^2 / a^2), p = 0, 1, ...; `width` is a, in pixels.
    """
    a = WIDTH * size if width is None else width
    axis = np.arange(size) - (size - 1) / 2
    r2 = (axis[:, None] ** 2 + axis[None] ** 2).ravel()
    shapes = np.stack([np.exp(-np.pi * r2 / a**2) * eval_laguerre(p, 2 * np.pi * r2 / a**2) for p in range(count)], 1)
    return shapes / np.linalg.norm(shapes, axis=0)


@dataclass(frozen=True)
class Observer:
    """What the observer did.

    Attributes:
        d: its detectability d'; below 0 where it does worse than chance.
        low, high: 95% interval, by bootstrap over pairs.
        pairs: how many.
    """

    d: float
    low: float
    high: float
    pairs: int

    @property
    def auc(self) -> float:
        """Share of two-alternative choices that are right if scores are normal, Phi(d' / sqrt 2)."""
        return float(norm.cdf(self.d / np.sqrt(2)))


def observe(
    present: np.ndarray, absent: np.ndarray, shapes: np.ndarray | None = None, draws: int = 2000, seed: int = 0
) -> Observer:
    """Channelised Hotelling observer of pairs of patches [N, S, S], with the lesion and without; no internal noise.

    Its template S^-1 (mean present - mean absent), S the mean covariance of both, is found on four fifths of the pairs and scores the
    last fifth: on the pairs it was found on, d' would be too high. d' is the difference of mean scores over their mean deviation.

    Raises:
        ValueError: for fewer than `FEWEST` pairs, or sets of different numbers.
    """
    if len(present) != len(absent) or len(present) < FEWEST:
        raise ValueError(f"{len(present)} and {len(absent)} patches: give pairs, {FEWEST} at least.")
    basis = channels(present.shape[-1]) if shapes is None else shapes
    on, off = (patches.reshape(len(patches), -1).astype(float) @ basis for patches in (present, absent))
    rng = np.random.default_rng(seed)
    fold = rng.permutation(np.arange(len(on)) % FOLDS)
    scores = np.empty((len(on), 2))
    for k in range(FOLDS):
        rest, here = fold != k, fold == k
        spread = np.atleast_2d(np.cov(on[rest].T) + np.cov(off[rest].T)) / 2
        template = np.linalg.lstsq(spread, on[rest].mean(0) - off[rest].mean(0), rcond=1e-8)[0]
        found = np.stack([on @ template, off @ template], 1)
        # One scale for all folds: zero between both means, one deviation of the pairs the template was found on.
        middle, deviation = found[rest].mean(), np.sqrt(found[rest].var(0).mean())
        scores[here] = (found[here] - middle) / (deviation + 1e-12)
    times = rng.multinomial(len(on), np.full(len(on), 1 / len(on)), size=draws)
    mean, square = times @ scores / len(on), times @ scores**2 / len(on)
    drawn = (mean[:, 0] - mean[:, 1]) / np.sqrt((square - mean**2).mean(1) + 1e-12)
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Observer(float(detectability_of(scores)), float(low), float(high), len(on))


def detectability_of(scores: np.ndarray) -> float:
    """d' of scores [N, 2] of patches with and without."""
    return float((scores[:, 0].mean() - scores[:, 1].mean()) / np.sqrt(scores.var(0).mean() + 1e-12))


# ---------------------------------------------------------------- patches


def patches(pixels: np.ndarray, outlines: np.ndarray) -> np.ndarray:
    """What lies at each outline in pictures uint8 [N, H, W], float32 [N, 64, 64], in deviations of each picture's head.

    The lesion's longer side fills half a patch, whatever its size. Gain differs between scanners and means nothing.
    """
    found = []
    for picture, outline in zip(pixels, outlines, strict=True):
        head = head_mask(picture / np.float32(255)) | outline
        inside = picture[head].astype(float)
        scaled = (picture - inside.mean()) / (inside.std() + 1e-6)
        found.append(crop(scaled, lesion_box(outline, PATCH_MARGIN), PATCH))
    return np.stack(found)


def across_midline(picture: np.ndarray, turned: np.ndarray) -> np.ndarray:
    """`turned` [H, W] mirrored at the middle of the columns of the head that a picture uint8 [H, W] shows.

    What leaves at one edge comes back at the other: air.
    """
    columns = np.flatnonzero(head_mask(picture / np.float32(255)).any(0))
    shift = int(columns[0] + columns[-1]) - (picture.shape[1] - 1) if len(columns) else 0
    return np.roll(turned[:, ::-1], shift, axis=1)


def mirrored_pairs(pictures: Pictures, pixels: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Patches with the lesion and, of the same pictures mirrored across the midline, without, each [M, 64, 64].

    Axial and coronal slices alone, and lesions alone that their mirror image does not meet: else the other side is not healthy.
    """
    shown = pictures.pixels if pixels is None else pixels
    kept, other = [], []
    for number, (picture, outline, plane) in enumerate(zip(shown, pictures.outlines, pictures.planes, strict=True)):
        if plane is Plane.SAGITTAL:
            continue
        over = across_midline(picture, outline) & outline
        if over.sum() <= OVERLAP * outline.sum():
            kept.append(number)
            other.append(across_midline(picture, picture))
    if not kept:
        return np.empty((0, PATCH, PATCH), np.float32), np.empty((0, PATCH, PATCH), np.float32)
    where = pictures.outlines[kept]
    return patches(shown[kept], where), patches(np.stack(other), where)


# ---------------------------------------------------------------- the part


def detectability(material: Material, progress: Progress) -> Part:
    """The index, over all and by type; the observer's d' and area, against twins and across the midline."""
    progress(0, 3, "contrast of real lesions")
    made = material.made
    picks = matched(kinds(made), kinds(material.train), len(material.val), material.seed)
    real, train = conspicuities(material.val), material.train.take(picks)
    of_train = index(conspicuities(train), train.types, real, material.val.types)
    progress(1, 3, "contrast of made lesions")
    of_made = index(conspicuities(made), made.types, real, material.val.types)
    of_twins = index(conspicuities(made, material.twins), made.types, real, material.val.types)
    figures = index_figures(of_made, of_train, of_twins, made.types, train.types, material.seed, made.heads)
    progress(2, 3, "observer")
    figures += observer_figures(material)
    progress(3, 3, "")
    return Part(
        name=PART,
        title="Detectability",
        figures=tuple(figures),
        remarks=(
            "The index calls anatomy in the ring noise, hides a ring-enhancing lesion in its mean, caps what is too plain and hides "
            "that beyond its cap; 1 is as real, and more is not better. Sizes are as asked, so its weight by size nearly cancels.",
            f"Visibility: Barten (2004), slices in their own size at {VIEWING_MM:g} mm on a screen of {LUMINANCE:g} cd/m2.",
            "The observer against the twin knows all of the background, which no reader does; across the midline it knows it no "
            "better than for a real lesion, and is the fair comparison. One linear template for bright and dark lesions of all types "
            "sees less than a reader, in real slices too.",
            "Both sides of a twin show no lesion: what the observer still tells apart there is a trace of taking it out.",
        ),
    )


def index_figures(
    made: np.ndarray,
    train: np.ndarray,
    twins: np.ndarray,
    types: tuple[str, ...],
    train_types: tuple[str, ...],
    seed: int,
    heads: np.ndarray | None = None,
) -> list[Figure]:
    """The index of made lesions [N], of real training ones [M], and at the outlines of twins [N]; over all and by type.

    Args:
        heads: int [N], of the slices that the made lesions were asked for by, or None.
    """
    figures = []
    for kind in ("", *sorted(set(types))):
        of_kind, of_train = (np.array([not kind or t == kind for t in names]) for names in (types, train_types))
        values, real, none = made[of_kind], train[of_train], twins[of_kind]
        known = np.isfinite(values)
        values, of_heads = values[known], None if heads is None else heads[of_kind][known]
        if not len(values):
            continue
        low, high = bootstrap_mean(values, seed=seed, groups=of_heads)
        figures.append(
            Figure(
                key=f"{PART}.index" + (f".{kind}" if kind else ""),
                name="Lesion detectability index" + (f", {kind.replace('_', ' ')}" if kind else ""),
                value=float(values.mean()),
                low=low,
                high=high,
                real=known_mean(real),
                baseline=known_mean(none),
                baseline_name="same outline on the twin, no lesion",
                count=len(values),
                note=noted(
                    f"Contrast to noise over a ring, weighed by size, over that of real val lesions of the type; capped at {CAP:g} a case.",
                    of_heads,
                ),
            )
        )
    return figures


def observer_figures(material: Material) -> list[Figure]:
    """d' and area of the observer: made lesion against its twin; made and real lesion against the other side of their own slice."""
    made, twins = material.made, material.twins
    against_twin = _observed(patches(made.pixels, made.outlines), patches(twins, made.outlines), material.seed)
    across = _observed(*mirrored_pairs(made), material.seed)
    real = _observed(*mirrored_pairs(material.val), material.seed)
    empty = _observed(*mirrored_pairs(made, twins), material.seed)
    told = (
        ("twin", "against its twin", against_twin, "Real ones have no twin: theirs is against the other side of the slice."),
        ("midline", "against the other side of its slice", across, "Axial and coronal slices, lesions off the midline."),
    )  # fmt: skip
    figures = []
    for key, words, found, note in told:
        for measure, name in (("cho", "Hotelling observer d'"), ("cho_auc", "Hotelling observer, area of two choices")):
            figures.append(
                Figure(
                    key=f"{PART}.{measure}.{key}",
                    name=f"{name}: made lesion {words}",
                    value=_of(found, measure),
                    low=_of(found, measure, "low"),
                    high=_of(found, measure, "high"),
                    real=_of(real, measure),
                    baseline=_of(empty, measure),
                    baseline_name="both sides of the twin, no lesion",
                    count=found.pairs if found else 0,
                    note=note if found else f"Not measured: fewer than {FEWEST} pairs.",
                )
            )
    return figures


def _observed(present: np.ndarray, absent: np.ndarray, seed: int) -> Observer | None:
    return observe(present, absent, seed=seed) if len(present) >= FEWEST else None


def _of(found: Observer | None, measure: str, which: str = "d") -> float | None:
    if found is None:
        return None
    d = getattr(found, which)
    return float(norm.cdf(d / np.sqrt(2))) if measure == "cho_auc" else float(d)
