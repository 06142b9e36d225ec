"""Whether the pack shows all that real slices show, and whether it shows again what it was trained on.

| question | answered by |
|---|---|
| is anything missing, is anything invented? | precision, recall, density, coverage among real `val` slices |
| are made pictures nearer to training slices than to others? | nearest neighbours in pixels and in features, against as many of each |
| can somebody tell from made pictures whether a slice was trained on? | membership inference by distance (Chen et al., *GAN-Leaks*, CCS 2020): an area of 0.5 is none |
| ... by asking for the slice's own caption and outline? | the same, of that one picture |
| can somebody who has the weights? | membership inference by the denoiser's loss (Matsumoto et al., 2023; Carlini et al., *Extracting training data*, 2023) |
| is anything a copy? | the check's distance and threshold (`synthesis.neighbours`), and what it catches of planted copies |

Slices of one patient are alike and may stand in `train` and `val` both: that makes both alike and every attack weaker than one on patients.
Intervals count those of one head together (`heads`): areas by DeLong's variance for groups, means and shares by groups drawn again.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter, rotate, shift, zoom
from scipy.spatial.distance import cdist
from torch import Tensor

from meddiff.conditions.clinical import clinical_vector
from meddiff.conditions.prompt import write_sentence
from meddiff.conditions.tensors import Conditions
from meddiff.diffusion.denoiser import LEAST_GUIDANCE, fixed_channels, takes_guidance, with_guidance
from meddiff.diffusion.flow import direction, mix
from meddiff.diffusion.pipeline import MedDiffPipeline
from meddiff.diffusion.precision import Denoise
from meddiff.evaluation.distances import NEIGHBOURS, Manifolds, coverage_of_equals, manifolds
from meddiff.evaluation.features import Frame, Space, finder_space, kinds, matched
from meddiff.evaluation.figures import share_figure
from meddiff.evaluation.heads import noted, thumbnails
from meddiff.evaluation.keep import kept_arrays
from meddiff.evaluation.material import Material, Pictures, Progress
from meddiff.evaluation.plates import sealed
from meddiff.evaluation.records import Better, Figure, Part, Plate
from meddiff.exchange.atomic import write_atomic
from meddiff.marking.seal import SealedImage, require_sealed
from meddiff.statistics import bootstrap_mean, roc_area, share_interval
from meddiff.synthesis.finder import LesionFinder
from meddiff.synthesis.neighbours import Neighbours

PART = "memorising"
SHIFTS = (-2, 0, 2)  # pixels of a thumbnail by which a picture is moved to lie best on another, down and across
TIMES = (0.25, 0.5, 0.75)  # of the denoiser's loss: from nearly the slice to nearly noise
ATTACKED = 150  # slices of each split that the loss is taken of in the short form
PLANTED = 64  # copies of each kind
SAMPLES = 8  # of training slices, as many as there are val slices
SHOWN = 6  # pairs on the plate
FEWEST = 20  # pictures asked for by training slices


# ---------------------------------------------------------------- pixels


def pixel_distances(one: np.ndarray, other: np.ndarray, shifts: Sequence[int] = SHIFTS) -> np.ndarray:
    """1 - correlation of thumbnails [N, 64, 64] and [M, 64, 64], float32 [N, M]: the least over small shifts and the mirror."""
    rows = other.reshape(len(other), -1).T
    best = np.full((len(one), len(other)), -np.inf, np.float32)
    for seen in (one, one[:, :, ::-1]):
        for down in shifts:
            for across in shifts:
                # What leaves at one edge comes back at the other: air.
                moved = np.roll(seen, (down, across), (1, 2))
                np.maximum(best, moved.reshape(len(one), -1) @ rows, out=best)
    return 1 - best


def paired_distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """`pixel_distances` of each thumbnail [N, 64, 64] from the one in its own place, [N]."""
    return np.array([pixel_distances(a[None], b[None])[0, 0] for a, b in zip(one, other, strict=True)])


def feature_distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Euclidean distances [N, M] of features [N, D] and [M, D]."""
    return cdist(one, other)


# ---------------------------------------------------------------- nearest neighbours


@dataclass(frozen=True)
class Nearest:
    """How near each of N made pictures' nearest training slice is, against its nearest slice of as many that were not trained on.

    Attributes:
        train: distances [K, N], to K samples of training slices.
        val: distances [N].
    """

    train: np.ndarray
    val: np.ndarray

    @property
    def log_ratio(self) -> np.ndarray:
        """Logarithm of nearest training over nearest other, [N]: 0 on average where nothing is copied; not below that of 1/1000."""
        ratio = np.maximum(self.train, 1e-9) / np.maximum(self.val, 1e-9)
        return np.log(ratio.clip(1e-3, 1e3)).mean(0)

    @property
    def nearer(self) -> np.ndarray:
        """Share of the samples in which the training slice is the nearer one, a tie half; [N]."""
        return ((self.train < self.val) + 0.5 * (self.train == self.val)).mean(0)


def nearest(to_train: np.ndarray, to_val: np.ndarray, picks: Sequence[np.ndarray]) -> Nearest:
    """Of distances of made pictures from training [N, T] and val slices [N, V].

    The more slices, the nearer the nearest: training slices are taken as many at a time as there are val slices (`stretches`).

    Args:
        picks: such samples, positions of training slices.
    """
    return Nearest(np.stack([to_train[:, pick].min(1) for pick in picks]), to_val.min(1))


def stretches(like: Sequence[Hashable], among: Sequence[Hashable], seed: int) -> np.ndarray:
    """Positions in `among` of as many slices of each kind as `like` has, int [N]: one stretch of each kind's slices, begun anywhere.

    Not slices drawn one by one: sets run patient by patient, and `val` is a stretch of few patients. As many slices from all over
    the training set show more heads, and one of them is nearer to anything for that reason alone. Where a kind has too few: all.
    """
    rng = np.random.default_rng(seed)
    picked: list[int] = []
    for kind, count in Counter(like).items():
        members = np.array([i for i, other in enumerate(among) if other == kind], int)
        if len(members):
            picked += np.roll(members, -int(rng.integers(len(members))))[:count].tolist()
    return np.sort(np.array(picked, int))


# ---------------------------------------------------------------- membership inference


def nearest_made(distances: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Distance of each real slice to its nearest made picture, of distances [R, M].

    Args:
        own: int [R], the picture made for a slice's own caption and outline, which is nearer for that reason alone and left out; -1: none.
    """
    masked = distances.copy()
    has = np.flatnonzero(own >= 0)
    masked[has, own[has]] = np.inf
    return masked.min(1)


def own_picture(outlines: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Which picture was asked for with each slice's outline: of outlines bool [R, H, W], positions in `asked` [M, H, W]; -1: none.

    The first, if several were.
    """
    place: dict[bytes, int] = {}
    for number, outline in enumerate(asked):
        place.setdefault(np.packbits(outline).tobytes(), number)
    return np.array([place.get(np.packbits(outline).tobytes(), -1) for outline in outlines], int)


@torch.inference_mode()
def denoising_losses(
    denoise: Denoise,
    latents: Tensor,
    conditions: Conditions,
    times: Sequence[float] = TIMES,
    seed: int = 0,
    one_pass: bool = False,
) -> np.ndarray:
    """Loss of a denoiser on slices, [N]: mean squared error of its output over cells, channels and times.

    Every slice is lost in the same noise, so that what differs is the slice. It is told the slice's own caption and outline: the
    attacker knows them, too.

    Args:
        latents: whitened, [N, 16, h, w].
        conditions: of N samples.
        times: in (0, 1).
        one_pass: the denoiser takes guidance, and is asked without any.
    """
    noise = torch.randn(1, *latents.shape[1:], generator=torch.Generator().manual_seed(seed))
    losses = np.zeros(len(latents))
    for index in range(len(latents)):
        told, x0 = conditions.sample(index), latents[index : index + 1]
        fixed = fixed_channels(told, None)
        clinical = with_guidance(told.clinical, LEAST_GUIDANCE) if one_pass else told.clinical
        for t in times:
            x = mix(x0, noise, t)
            out = denoise(torch.cat([x, fixed], 1), t * 1000, told.context, clinical)
            spread = (1 - t) ** 2 + t**2  # errors of the output, as it was trained: every time counts the same
            losses[index] += float(((direction(x, out, t) - (noise - x0)) ** 2).mean() * spread) / len(times)
    return losses


# ---------------------------------------------------------------- planted copies


def copies(pixels: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """What a pack that copies would make of training slices uint8 [N, H, W]: blurred, moved, recoloured, mirrored, and all of it."""
    rng = np.random.default_rng(seed)
    soft = _bytes(gaussian_filter(pixels.astype(np.float32), (0, 1.5, 1.5)))
    moved = np.stack([_moved(p, *rng.uniform(-1, 1, 4)) for p in pixels])
    recoloured = _recoloured(pixels, rng)
    return {
        "blurred": soft,
        "moved": moved,
        "recoloured": recoloured,
        "mirrored": pixels[:, :, ::-1],
        "all_of_it": _bytes(
            gaussian_filter(_recoloured(moved, rng).astype(np.float32), (0, 1, 1)) + rng.normal(0, 4, pixels.shape)
        ),
    }


def _moved(picture: np.ndarray, down: float, across: float, turn: float, grow: float) -> np.ndarray:
    """Moved by up to 8 pixels, turned by up to 5 degrees and scaled by up to 4%; each argument in [-1, 1]."""
    turned = rotate(picture.astype(np.float32), 5 * turn, reshape=False, order=1)
    scaled = zoom(turned, 1 + 0.04 * grow, order=1)
    return _bytes(shift(_fitted(scaled, picture.shape), (8 * down, 8 * across), order=1))


def _fitted(picture: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The middle of a picture, or the picture in the middle of air."""
    canvas = np.zeros(shape, picture.dtype)
    spans = []
    for have, want in zip(picture.shape, shape, strict=True):
        both = min(have, want)
        spans.append(
            (slice((want - both) // 2, (want - both) // 2 + both), slice((have - both) // 2, (have - both) // 2 + both))
        )
    canvas[spans[0][0], spans[1][0]] = picture[spans[0][1], spans[1][1]]
    return canvas


def _recoloured(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Gamma from 0.7 to 1.4 and gain from 0.8 to 1.2, drawn for each."""
    gamma, gain = (rng.uniform(low, high, (len(pixels), 1, 1)) for low, high in ((0.7, 1.4), (0.8, 1.2)))
    return _bytes(255 * gain * (pixels / 255) ** gamma)


def _bytes(pictures: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(pictures), 0, 255).astype(np.uint8)


# ---------------------------------------------------------------- the part


@dataclass(frozen=True)
class Views:
    """Made and real slices, as pixels and as features of the finder in the frame of training slices.

    Attributes:
        made, train, val: features [N, d], [T, d], [V, d].
        made_small, train_small, val_small: thumbnails.
    """

    made: np.ndarray
    train: np.ndarray
    val: np.ndarray
    made_small: np.ndarray
    train_small: np.ndarray
    val_small: np.ndarray

    def distances(self, split: str) -> dict[str, np.ndarray]:
        """Distances of made pictures from a split, [N, T] or [N, V], in both spaces."""
        small, deep = getattr(self, f"{split}_small"), getattr(self, split)
        return {"pixels": pixel_distances(self.made_small, small), "finder": feature_distances(self.made, deep)}


SPACES = {"pixels": "in pixels, aligned", "finder": "as our finder sees them"}


def memorising(material: Material, progress: Progress) -> Part:
    """Diversity, nearest neighbours, both attacks, copies and what the check catches of them."""
    progress(0, 5, "features")
    space = finder_space(material.finder)
    views, frame = looked_at(material, space)
    progress(1, 5, "precision, recall, density, coverage")
    figures = diversity(material, views, space, frame)
    progress(2, 5, "nearest neighbours and attacks by distance")
    from_train, from_val = views.distances("train"), views.distances("val")
    like, among = kinds(material.val), kinds(material.train)
    picks = [stretches(like, among, material.seed + i) for i in range(SAMPLES)]
    members = matched(like, among, len(material.val), material.seed)
    for key in SPACES:
        near = nearest(from_train[key], from_val[key], picks)
        figures += neighbour_figures(key, near, material.seed, material.made.heads)
        figures.append(attack_by_distance(key, from_train[key], from_val[key], material, members))
    figures += attacks_by_asking(material, space, frame)
    progress(3, 5, "attack by the denoiser's loss")
    figures.append(attack_by_loss(material))
    progress(4, 5, "copies")
    figures += threshold_figures(material)
    plate, remarks = near_copies(material, from_train["pixels"])
    progress(5, 5, "")
    return Part(
        name=PART,
        title="Diversity and memorising",
        figures=tuple(figures),
        plates=(plate,) if plate else (),
        remarks=(
            *remarks,
            "A patient may stand in train and val: both are then alike, and an area near 0.5 says less than it seems to.",
        ),
    )


def looked_at(material: Material, space: Space) -> tuple[Views, Frame]:
    """All slices as both spaces see them, and the frame of the training ones."""
    sets = (material.made, material.train, material.val)
    seen = [space.see(p.pixels, p.outlines, material.folder / PART).whole for p in sets]
    frame = Frame.of(seen[1])
    small = [thumbnails(p.pixels) for p in sets]
    return Views(*(frame.reduced(x) for x in seen), *small), frame


# ---------------------------------------------------------------- its figures


def diversity(material: Material, views: Views, space: Space, frame: Frame) -> list[Figure]:
    """Precision, recall, density and coverage of made pictures among as many val slices."""
    made, seed = material.made, material.seed
    reference = matched(kinds(made), kinds(material.val), len(made), seed)
    train = matched(kinds(made), kinds(material.train), len(made), seed)
    real = views.val[reference]
    if min(len(real), len(made)) <= NEIGHBOURS:
        return []
    turned = material.train.take(train)  # the finder looks past blur and noise: anatomy must be wrong
    upside = space.see(turned.pixels[:, ::-1], turned.outlines[:, ::-1], material.folder / PART).whole
    few = views.train[train[np.arange(len(train)) // 10 * 10]]
    among = {
        "made": manifolds(real, views.made),
        "real": manifolds(real, views.train[train]),
        "real train upside down": manifolds(real, frame.reduced(upside)),
        "a tenth of real train, ten times each": manifolds(real, few),
    }
    told = (
        ("precision", "made pictures that lie among real ones", "real train upside down", ""),
        ("density", "how densely real ones lie around made ones", "real train upside down", "Above 1 where made ones crowd where real ones are dense."),
        ("recall", "real ones that lie among made ones", "a tenth of real train, ten times each", ""),
        (
            "coverage",
            "real ones with a made one near by",
            "a tenth of real train, ten times each",
            f"Equal sets of this size have {coverage_of_equals(len(real), len(made)):.2f}.",
        ),
    )  # fmt: skip
    # Recall and coverage are of real cases, the others of made ones.
    heads = {"recall": material.val.take(reference).heads, "coverage": material.val.take(reference).heads}
    return [
        _manifold_figure(measure, words, among, worse, note, heads.get(measure, made.heads), seed)
        for measure, words, worse, note in told
    ]


def _manifold_figure(
    measure: str, words: str, among: dict[str, Manifolds], worse: str, note: str, heads: np.ndarray | None, seed: int
) -> Figure:
    cases = {name: getattr(found, measure) for name, found in among.items()}
    values = cases["made"]
    low, high = (
        bootstrap_mean(values, seed=seed, groups=heads) if measure == "density" else share_interval(values, heads)
    )
    return Figure(
        key=f"{PART}.{measure}",
        name=f"{measure.capitalize()}: {words}",
        value=float(values.mean()),
        low=low,
        high=high,
        real=float(cases["real"].mean()),
        baseline=float(cases[worse].mean()),
        baseline_name=worse,
        count=len(values),
        better="more",
        note=noted(
            f"In the finder's space, {NEIGHBOURS} neighbours; depends on the number of cases. {note}".strip(), heads
        ),
    )


def neighbour_figures(key: str, found: Nearest, seed: int, heads: np.ndarray | None = None) -> list[Figure]:
    """The ratio of distances, and how often the training slice is nearer; `heads` int [N] of the slices that were asked for, or None."""
    low, high = bootstrap_mean(found.log_ratio, seed=seed, groups=heads)
    low2, high2 = share_interval(found.nearer, heads)
    return [
        Figure(
            key=f"{PART}.nearest_ratio.{key}",
            name=f"Nearest training slice over nearest val slice, distance {SPACES[key]}",
            value=float(np.exp(found.log_ratio.mean())),
            low=float(np.exp(low)),
            high=float(np.exp(high)),
            real=1.0,
            count=len(found.val),
            better="more",
            note=noted(
                "Geometric mean, against as many slices of each; 1 is expected of a pack that copies nothing, 0 of one that copies. A picture "
                "asked for by a val slice's outline is a little nearer to that slice.",
                heads,
            ),
        ),
        Figure(
            key=f"{PART}.nearer_to_train.{key}",
            name=f"Made pictures nearer to a training slice than to any val slice, {SPACES[key]}",
            value=float(found.nearer.mean()),
            low=low2,
            high=high2,
            real=0.5,
            count=len(found.nearer),
            better="less",
            note=noted("Against as many slices of each: 0.5 is chance.", heads),
        ),
    ]


def attack_by_distance(
    key: str, from_train: np.ndarray, from_val: np.ndarray, material: Material, members: np.ndarray
) -> Figure:
    """Membership inference: training slices [N, T] shall not be nearer to made pictures than val slices [N, V]."""
    own = own_picture(material.val.outlines, material.made.outlines)
    score = {
        "train": -nearest_made(from_train.T[members], _as_often(own, len(members), from_train.shape[0], material.seed)),
        "val": -nearest_made(from_val.T, own),
    }
    return _attack(
        f"distance.{key}",
        f"by distance to the nearest made picture, {SPACES[key]}",
        score["train"],
        score["val"],
        "0.5 is no leak. A slice's own picture does not count; a picture for another slice of its patient does, and draws the area below 0.5.",
        _heads_of(material.train.take(members), material.val),
    )


def _as_often(own: np.ndarray, count: int, made: int, seed: int) -> np.ndarray:
    """For slices without a picture of their own, one left out by chance as often as others leave out theirs, int [count]."""
    rng = np.random.default_rng(seed)
    return np.where(rng.random(count) < (own >= 0).mean(), rng.integers(0, made, count), -1)


def attacks_by_asking(material: Material, space: Space, frame: Frame) -> list[Figure]:
    """Membership inference by asking: a picture for a training slice's caption and outline shall be no nearer to its slice than one
    for a val slice's. Both sides are alike but for training, which no other attack by distance here can say.
    """
    own = own_picture(material.extra.outlines, material.train.outlines)
    known = np.flatnonzero(own >= 0)
    sides = ((material.train.take(own[known]), material.extra.take(known)), (material.asked, material.made))
    if len(known) < FEWEST:
        return [
            Figure(
                key=f"{PART}.attack_asking.{key}",
                name=f"Membership inference by asking for a slice's caption and outline, {words}: area",
                value=None,
                real=0.5,
                better="less",
                note=f"Not measured: {len(known)} pictures were asked for by training slices, {FEWEST} are needed.",
            )
            for key, words in SPACES.items()
        ]
    apart: dict[str, list[np.ndarray]] = {key: [] for key in SPACES}
    for slices, pictures in sides:
        apart["pixels"].append(paired_distances(thumbnails(slices.pixels), thumbnails(pictures.pixels)))
        seen = [
            frame.reduced(space.see(p.pixels, p.outlines, material.folder / PART).whole) for p in (slices, pictures)
        ]
        apart["finder"].append(np.linalg.norm(seen[0] - seen[1], axis=1))
    figures = []
    for key, words in SPACES.items():
        members, outsiders = apart[key]
        figures.append(
            _attack(
                f"asking.{key}",
                f"by asking for a slice's caption and outline, {words}",
                -members,
                -outsiders,
                "0.5 is no leak: how near a slice lies to the picture made for its own caption and outline.",
                _heads_of(*(slices for slices, _ in sides)),
            )
        )
    return figures


def attack_by_loss(material: Material) -> Figure:
    """Membership inference with the weights at hand: training slices shall not have a lower loss than val slices."""
    count = min(len(material.val), len(material.train), ATTACKED if material.quick else len(material.val))
    rng = np.random.default_rng(material.seed)
    outsiders = material.val.take(np.sort(rng.permutation(len(material.val))[:count]))
    members = material.train.take(matched(kinds(outsiders), kinds(material.train), count, material.seed))
    losses = {
        name: losses_of(material, slices, name) for name, slices in (("members", members), ("outsiders", outsiders))
    }
    return _attack(
        "loss",
        "by the denoiser's loss",
        -losses["members"],
        -losses["outsiders"],
        f"0.5 is no leak. The attacker has the weights, the caption and the outline; times {', '.join(f'{t:g}' for t in TIMES)}, one noise for all.",
        _heads_of(members, outsiders),
    )


def _heads_of(members: Pictures, outsiders: Pictures) -> tuple[np.ndarray, np.ndarray] | None:
    """Heads of both sides, no number on both: a patient in `train` and `val` both cannot be told."""
    if members.heads is None or outsiders.heads is None:
        return None
    return members.heads, -1 - outsiders.heads


def _attack(
    key: str,
    words: str,
    members: np.ndarray,
    outsiders: np.ndarray,
    note: str,
    heads: tuple[np.ndarray, np.ndarray] | None = None,
) -> Figure:
    """How well scores tell slices that were trained on from others: the area, 0.5 where they do not."""
    area, low, high = roc_area(members, outsiders, groups=heads)
    return Figure(
        key=f"{PART}.attack_{key}",
        name=f"Membership inference {words}: area",
        value=area,
        low=low,
        high=high,
        real=0.5,
        count=len(members) + len(outsiders),
        better="less",
        note=noted(note, np.concatenate(heads) if heads is not None else None),
    )


def losses_of(material: Material, slices: Pictures, name: str, lot: int = 16) -> np.ndarray:
    """The denoiser's loss of each slice, [N]; kept lot by lot."""
    pack = material.studio.load()
    found = []
    for start in range(0, len(slices), lot):
        part = slices.take(np.arange(start, min(start + lot, len(slices))))
        told = hashlib.sha256(f"{pack.info.sha256} {material.studio.precision} {TIMES} {material.seed}".encode())
        told.update(part.pixels.tobytes() + np.packbits(part.outlines).tobytes())
        path = material.folder / PART / f"loss-{name}-{told.hexdigest()[:24]}.safetensors"
        found.append(kept_arrays(path, partial(_kept_losses, material, part))["loss"])
    return np.concatenate(found)


def _kept_losses(material: Material, slices: Pictures) -> dict[str, np.ndarray]:
    return {"loss": _losses(material, slices)}


@torch.inference_mode()
def _losses(material: Material, slices: Pictures) -> np.ndarray:
    pipeline = material.studio.load().pipeline
    latents = pipeline.vae.encode(
        (torch.from_numpy(slices.unit).unsqueeze(1) * 2 - 1).to(pipeline.vae.encoder.weight.dtype)
    )
    guided = takes_guidance(pipeline.unet)
    conditions = conditions_of(pipeline, slices)
    return denoising_losses(pipeline.denoise, latents.float(), conditions, seed=material.seed, one_pass=guided)


def conditions_of(pipeline: MedDiffPipeline, slices: Pictures) -> Conditions:
    """What the denoiser is told of slices: their captions as sentences, their outlines; everything may change."""
    outlines = torch.from_numpy(slices.outlines.astype(np.float32)).unsqueeze(1)
    clinical = [
        clinical_vector(size_mm=f.finding.size_mm, conspicuity=f.finding.conspicuity)
        if f.finding
        else clinical_vector()
        for f in slices.findings
    ]
    return Conditions(
        pipeline.text([write_sentence(findings) for findings in slices.findings]),
        outlines,
        torch.ones_like(outlines),
        torch.from_numpy(np.stack(clinical)),
    )


def threshold_figures(material: Material) -> list[Figure]:
    """The distance below which the check rejects a picture as a copy; how many made ones it rejects, real ones, and planted copies."""
    index = material.neighbours
    if index is None:
        return [
            Figure(
                key=f"{PART}.threshold",
                name="Distance below which the check rejects a copy",
                value=None,
                note="The pack has no index of its training slices: `meddiff train neighbours` makes one.",
            )
        ]
    finder, near = material.finder, index.near
    made, alarms = (index.distance(finder, p.unit) < near for p in (material.made, material.val))
    picks = np.random.default_rng(material.seed).permutation(len(material.train))[:PLANTED]
    planted = copies(material.train.pixels[np.sort(picks)], material.seed)
    planted_heads = material.train.take(np.sort(picks)).heads
    caught = {kind: caught_by(index, finder, shown) for kind, shown in planted.items()}
    figures = [
        Figure(
            key=f"{PART}.threshold",
            name="Distance below which the check rejects a picture as a copy of a training slice",
            value=near,
            count=len(index.index),
            note="1 - cosine of the finder's whitened features (`synthesis.neighbours`); set so that 1% of val slices lie below it.",
        ),
        _share(
            "near_copies", "Made pictures that the check rejects as copies", made, alarms, "less", material.made.heads
        ),
        _share(
            "false_alarms",
            "Real val slices that the check would reject as copies",
            alarms,
            None,
            "less",
            material.val.heads,
        ),
    ]
    for kind, hits in caught.items():
        words = kind.replace("_", " ")
        figures.append(
            _share(
                f"caught.{kind}", f"Planted copies caught: training slices {words}", hits, alarms, "more", planted_heads
            )
        )
    return figures


def caught_by(index: Neighbours, finder: LesionFinder, pixels: np.ndarray) -> np.ndarray:
    """Whether the check takes each picture uint8 [N, 256, 256] for a copy, bool [N]."""
    return index.distance(finder, pixels.astype(np.float32) / np.float32(255)) < index.near


def _share(
    key: str, name: str, hits: np.ndarray, real: np.ndarray | None, better: Better, heads: np.ndarray | None
) -> Figure:
    note = "" if real is None else "Beside it: the share of real val slices that the same threshold rejects."
    return share_figure(f"{PART}.{key}", name, hits, heads, real=real, better=better, note=noted(note, heads))


# ---------------------------------------------------------------- near-copies, shown


def near_copies(material: Material, distances: np.ndarray) -> tuple[Plate | None, tuple[str, ...]]:
    """The made pictures that lie nearest to one of the training slices in pixels [N, T], each beside it, and in words those that the check rejects."""
    made, index = material.made, material.neighbours
    if not len(made):
        return None, ()
    order = np.argsort(distances.min(1))[: min(SHOWN, len(made))]
    pairs = [
        (
            sealed(material.studio, material.requests[i], made.pixels[i], made.outlines[i]),
            material.train.pixels[distances[i].argmin()],
        )
        for i in order
    ]
    file = f"{PART}-nearest.png"
    write_pairs(material.folder / file, pairs)
    told = ", ".join(f"{1 - distances[i].min():.2f}" for i in order)
    plate = Plate(
        key=f"{PART}.nearest",
        caption=f"Made pictures (left) that lie nearest to a training slice (right) in pixels; correlations {told}.",
        file=file,
        synthetic=False,
    )
    copied = np.flatnonzero(caught_by(index, material.finder, made.pixels)) if index is not None else np.array([], int)
    remarks = tuple(
        f"Near-copy: request {material.requests[i].digest()[:12]}, seed {material.requests[i].seed}." for i in copied
    )
    return plate, remarks or ("No made picture lies nearer to a training slice than the check's threshold.",)


def write_pairs(path: Path, pairs: Sequence[tuple[SealedImage, np.ndarray]], columns: int = 2) -> Path:
    """Writes pairs of a sealed made picture and a real slice uint8 [H, W] side by side as one PNG, `columns` pairs a row.

    Raises:
        MedDiffError: a made picture that is not sealed.
    """
    tiles = [_pair(require_sealed(made).pixels, real) for made, real in pairs]
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    tall = max(len(tile) for tile in tiles)
    tiles = [np.pad(tile, ((0, tall - len(tile)), (0, 0))) for tile in tiles]
    rows = [np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)]
    image = Image.fromarray(np.vstack(rows))
    return write_atomic(path, lambda temporary: image.save(temporary, format="PNG", optimize=True))


def _pair(made: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Both side by side, with a rim: uint8."""
    tall = max(len(made), len(real))
    return np.pad(np.hstack([np.pad(x, ((0, tall - len(x)), (2, 2))) for x in (made, real)]), ((4, 4), (6, 6)))
