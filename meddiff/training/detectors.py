"""Recipe: the stress lab's two reference detectors, on real images only. `meddiff train detectors --data DIR --volumes DIR`

A segmenter outlines the lesion, a classifier says whether a slice shows one. Neither shares a weight or an architecture with the
finder (`synthesis.finder`), which judges the cases that they are tested on. What they learn from:

- slices of `brain_t1gd`, split `train`: every one shows a lesion, so that healthy brain is what lies away from it;
- axial slices of `brain_progression`, six of eight patients: tumour-free ones, and (the classifier) ones with tumour, so that
  which set a slice is from tells nothing.

The end of each run of slices of `train`, and one of those patients, are not trained on: thresholds are chosen there.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import yaml
from scipy import ndimage, optimize
from torch import Tensor, nn

from meddiff.case import MedDiffError
from meddiff.conditions.measure import dice
from meddiff.training.augment import augment
from meddiff.training.dataset import SIZE, BrainSet, load_brain_t1gd
from meddiff.training.run import Average, Run, learning_rate

FOLD = 4  # pictures are folded to 16 channels of 64 x 64: whole pictures in a sixteenth of the places
CELL = 16  # pixels a side of a cell of the classifier's grid
BRIGHT = 0.72  # of the range: where the 99.5th percentile of a slice of brain_t1gd lies in the median
GAP = 2  # slices of 5 to 6 mm between a tumour-free slice and the tumour
CLEAR_MM = 24.0  # cells farther from the outline are called healthy; nearer ones may show oedema or mass effect
LEAST_MM2 = 30.0  # a piece smaller than this is no mark: half the smallest lesion of brain_t1gd
HELD_BACK = {"val": ("05", "11"), "tune": ("04",)}  # patients of brain_progression: every fourth, and one

Look = Callable[[np.ndarray], np.ndarray]  # pictures float32 [N, 1, 256, 256] in [0, 1] -> [N, 1, 256, 256] or [N, 1]


# ---------------------------------------------------------------- data


@dataclass(frozen=True)
class Slices:
    """Real slices. `pictures`, `masks`: uint8 [N, 256, 256], masks 0 or 255; `groups`: type or patient of each, [N]."""

    pictures: np.ndarray
    masks: np.ndarray
    groups: np.ndarray

    def where(self, keep: np.ndarray) -> Slices:
        """Those of a bool [N]."""
        return Slices(self.pictures[keep], self.masks[keep], self.groups[keep])

    @property
    def lesion(self) -> np.ndarray:
        """bool [N]: whether each shows one."""
        return np.asarray(self.masks.any((1, 2)))

    @property
    def x(self) -> np.ndarray:
        """float32 [N, 1, 256, 256] in [0, 1]."""
        return self.pictures[:, None].astype(np.float32) / 255

    def __len__(self) -> int:
        return len(self.pictures)

    def __add__(self, other: Slices) -> Slices:
        return Slices(*(np.concatenate([getattr(self, n), getattr(other, n)]) for n in ("pictures", "masks", "groups")))


def of_brain(data: BrainSet) -> Slices:
    """Slices of brain_t1gd, grouped by type."""
    return Slices(data.pictures, np.where(data.masks > 127, 255, 0).astype(np.uint8), np.array(data.types))


def tune_part(data: BrainSet, share: float = 0.08) -> np.ndarray:
    """bool [N]: the end of each run of one type and plane, where mostly other patients are than before it."""
    runs: dict[tuple[str, str], list[int]] = {}
    for i, key in enumerate(zip(data.types, data.planes, strict=True)):
        runs.setdefault(key, []).append(i)
    kept_back = np.zeros(len(data), bool)
    for members in runs.values():
        kept_back[members[len(members) - math.ceil(share * len(members)) :]] = True
    return kept_back


def load_volumes(folder: str | Path) -> Slices:
    """Axial slices of brain_progression: with tumour (at least 30 pixels of it), and tumour-free.

    Tumour-free is a slice that lies more than `GAP` slices from any pixel of either visit's outline. What lies between is left out.
    Each slice is scaled like brain_t1gd, front upwards, the patient's right on the left. Outlines are closed: the source's are rims, and speckled.

    Raises:
        MedDiffError: naming what is missing.
    """
    folder = Path(folder)
    parts = [_patient(path) for path in sorted(folder.iterdir()) if path.is_dir()] if folder.is_dir() else []
    if not parts:
        raise MedDiffError(f"No patient's folder in {folder}: give the folder of brain_progression (docs/data.md).")
    whole = parts[0]
    for part in parts[1:]:
        whole += part
    return whole


def clear_slices(folder: str | Path) -> np.ndarray:
    """The tumour-free slices of those patients that train, uint8 [N, 256, 256]; see `load_volumes`."""
    volumes = load_volumes(folder)
    kept_back = [patient for group in HELD_BACK.values() for patient in group]
    return volumes.pictures[~volumes.lesion & ~np.isin(volumes.groups, kept_back)]


def _patient(folder: Path) -> Slices:
    import nibabel

    volumes = {}
    for name in ("Pre_Scan_T1", "Pre_Mask", "Post_Scan_T1", "Post_Mask"):
        try:
            image = nibabel.as_closest_canonical(nibabel.load(folder / f"{name}.nii.gz"))
        except (OSError, nibabel.filebasedimages.ImageFileError) as error:
            raise MedDiffError(f"{folder / name}.nii.gz cannot be read: fetch the data set again.") from error
        # Right, front, up -> slices of rows from the front and columns from the patient's right, which a viewer shows on the left.
        right_first = np.asarray(image.dataobj, np.float32)[::-1]
        volumes[name] = right_first.transpose(2, 1, 0)[:, ::-1]
    if any(volume.shape[1:] != (SIZE, SIZE) for volume in volumes.values()):
        raise MedDiffError(f"The volumes in {folder} are not {SIZE} x {SIZE} in plane: resample them first.")
    near = ndimage.maximum_filter1d(
        (volumes["Pre_Mask"] + volumes["Post_Mask"] > 0).any((1, 2)).astype(np.uint8), 2 * GAP + 1, mode="constant"
    )
    pictures, masks = [], []
    for visit in ("Pre", "Post"):
        for picture, mask, close in zip(volumes[f"{visit}_Scan_T1"], volumes[f"{visit}_Mask"] > 0, near, strict=True):
            top = float(np.percentile(picture, 99.5))
            if top <= 0 or (close and mask.sum() < 30):  # padding; or neither one thing nor the other
                continue
            if mask.any():
                mask = ndimage.binary_fill_holes(ndimage.binary_closing(mask, iterations=3, border_value=0))
            pictures.append(np.clip(np.rint(picture / top * BRIGHT * 255), 0, 255).astype(np.uint8))
            masks.append(np.where(mask, 255, 0).astype(np.uint8))
    return Slices(np.stack(pictures), np.stack(masks), np.array([folder.name] * len(pictures)))


@dataclass(frozen=True)
class Sets:
    """Slices to train on, to choose thresholds on, and to measure on; of both sets apart."""

    brain: dict[str, Slices]
    volumes: dict[str, Slices]


def load_sets(data: Path, volumes: Path, cache: Path | None = None) -> Sets:
    """Parts `train`, `tune`, `val` of both sets. Raises MedDiffError as the loaders do."""
    brain = load_brain_t1gd(data, cache)
    train, val = brain.where("train"), of_brain(brain.where("val"))
    kept_back = tune_part(train)
    slices = of_brain(train)
    patients = load_volumes(volumes)
    part = {name: np.isin(patients.groups, HELD_BACK[name]) for name in HELD_BACK}
    part["train"] = ~(part["val"] | part["tune"])
    return Sets(
        {"train": slices.where(~kept_back), "tune": slices.where(kept_back), "val": val},
        {name: patients.where(keep) for name, keep in part.items()},
    )


# ---------------------------------------------------------------- models


class Residual(nn.Module):
    """Two 3 x 3 convolutions with batch norm beside a shortcut (He et al., *Deep residual learning*, 2015)."""

    def __init__(self, before: int, width: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(before, width, 3, stride, dilation, dilation, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, 1, dilation, dilation, bias=False),
            nn.BatchNorm2d(width),
        )
        same = before == width and stride == 1
        self.past = nn.Identity() if same else nn.Sequential(nn.Conv2d(before, width, 1, stride), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        """[B, before, H, W] -> [B, width, H / stride, W / stride]."""
        return F.relu(self.body(x) + self.past(x))


def folded(picture: Tensor) -> Tensor:
    """Picture [B, 1, 256, 256] -> its own contrast, folded: [B, 16, 64, 64]."""
    centred = picture - picture.mean((1, 2, 3), keepdim=True)
    spread = centred.square().mean((1, 2, 3), keepdim=True).sqrt()
    return F.pixel_unshuffle(centred / (spread + 1e-3), FOLD)


class Segmenter(nn.Module):
    """Picture [B, 1, 256, 256] in [0, 1] -> lesion logits [B, 1, 256, 256].

    A residual U-Net whose levels are added, not joined (Lin et al., *Feature pyramid networks*, 2017), unfolded at its end (Shi et al., 2016).
    """

    def __init__(self, widths: tuple[int, int, int, int] = (24, 56, 104, 144)) -> None:
        super().__init__()
        a, b, c, d = widths
        self.down = nn.ModuleList([Residual(FOLD**2, a), Residual(a, b, 2), Residual(b, c, 2), Residual(c, d, 2)])
        self.deep = nn.Sequential(nn.Dropout2d(0.1), Residual(d, d))
        self.narrow = nn.ModuleList([nn.Conv2d(d, c, 1), nn.Conv2d(c, b, 1), nn.Conv2d(b, a, 1)])
        self.up = nn.ModuleList([Residual(c, c), Residual(b, b), Residual(a, a)])
        self.outline = nn.Sequential(nn.Conv2d(a, FOLD**2, 3, padding=1), nn.PixelShuffle(FOLD))

    def forward(self, picture: Tensor) -> Tensor:
        """See the class."""
        x, skips = folded(picture), []
        for block in self.down:
            x = block(x)
            skips.append(x)
        x = self.deep(skips.pop())  # [B, 144, 8, 8]
        for narrow, block in zip(self.narrow, self.up, strict=True):
            x = block(F.interpolate(narrow(x), scale_factor=2.0, mode="nearest") + skips.pop())
        outline: Tensor = self.outline(x)
        return outline


class GridClassifier(nn.Module):
    """Picture [B, 1, 256, 256] in [0, 1] -> lesion logits of cells of 16 x 16 pixels, [B, 1, 16, 16]."""

    def __init__(self, widths: tuple[int, int, int] = (24, 64, 112)) -> None:
        super().__init__()
        a, b, c = widths
        self.body = nn.Sequential(
            Residual(FOLD**2, a),
            Residual(a, b, 2),  # [B, 64, 32, 32]
            Residual(b, c, 2),  # [B, 112, 16, 16]
            Residual(c, c, dilation=2),
            Residual(c, c, dilation=4),
            nn.Dropout2d(0.1),
        )
        self.cell = nn.Conv2d(2 * c, 1, 1)

    def forward(self, picture: Tensor) -> Tensor:
        """See the class."""
        x = self.body(folded(picture))
        logits: Tensor = self.cell(torch.cat([x, x.mean((2, 3), keepdim=True).expand_as(x)], dim=1))
        return logits


class Probabilities(nn.Module):
    """What is exported: a model whose logits, the highest of a picture where `whole`, become `sigmoid(gain * logit + offset)`."""

    def __init__(self, model: nn.Module, whole: bool = False, gain: float = 1.0, offset: float = 0.0) -> None:
        super().__init__()
        self.model, self.whole, self.gain, self.offset = model, whole, gain, offset

    def forward(self, picture: Tensor) -> Tensor:
        """[N, 1, 256, 256] in [0, 1] -> [N, 1, 256, 256], or [N, 1] of whole pictures."""
        logits = self.model(picture)
        if self.whole:
            logits = logits.amax((2, 3))
        return (self.gain * logits + self.offset).sigmoid()

    @torch.inference_mode()
    def look(self, pictures: np.ndarray) -> np.ndarray:
        """The same of an array, 16 at a time."""
        return np.concatenate([self(chunk).numpy() for chunk in torch.from_numpy(pictures).split(16)])


# ---------------------------------------------------------------- training


def segmenter_loss(logits: Tensor, mask: Tensor) -> Tensor:
    """Cross-entropy and soft Dice (Milletari et al., 2016) of logits and mask [B, 1, H, W]; Dice only where there is a lesion."""
    p = logits.sigmoid()
    there = mask.amax((1, 2, 3))
    overlap = (2 * (p * mask).sum((1, 2, 3)) + 1) / (p.sum((1, 2, 3)) + mask.sum((1, 2, 3)) + 1)
    missed = ((1 - overlap) * there).sum() / there.sum().clamp(min=1)
    return 4 * F.binary_cross_entropy_with_logits(logits, mask) + missed


def cells(mask: Tensor, spacing_mm: float = 0.98) -> tuple[Tensor, Tensor]:
    """Which cells show the lesion and which are healthy, bool [B, 1, 16, 16], of masks [B, 1, 256, 256]; border cells are neither.

    A cell shows it when a quarter of it is lesion, or when it holds most of a small one; it is healthy when no lesion lies within `CLEAR_MM`.
    """
    share = F.avg_pool2d((mask > 0.5).float(), CELL)
    fullest = share.amax((2, 3), keepdim=True)
    shows = (share >= 0.25) | ((share > 0) & (share == fullest))
    reach = round(CLEAR_MM / spacing_mm / CELL)
    near = F.max_pool2d((share > 0).float(), 2 * reach + 1, 1, reach) > 0
    return shows, ~near


def classifier_loss(logits: Tensor, mask: Tensor) -> Tensor:
    """Cross-entropy of cells, and of pictures by their highest cell; logits [B, 1, 16, 16], mask [B, 1, 256, 256].

    Healthy cells of a slice with a lesion are a picture without one, too: no slice of brain_t1gd is tumour-free.
    """
    shows, healthy = cells(mask)
    each = F.binary_cross_entropy_with_logits(logits, shows.float(), reduction="none")
    there = shows.any(1).flatten(1).any(1)
    of_cells = (each * healthy).sum() / healthy.sum() + (each * shows).sum() / shows.sum().clamp(min=1)
    with_lesion = logits.masked_fill(~shows, -30).flatten(1).amax(1)[there]
    without = logits.masked_fill(~healthy, -30).flatten(1).amax(1)
    # A mean over no picture is not a number.
    found = F.softplus(-with_lesion).sum() / there.sum().clamp(min=1)
    return of_cells + 0.5 * (found + F.softplus(without).mean())


def train(
    model: nn.Module,
    loss_of: Callable[[Tensor, Tensor], Tensor],
    slices: Slices,
    weight: np.ndarray,
    folder: Path,
    seconds: float,
    batch: int = 16,
    rate: float = 2e-3,
    seed: int = 7,
) -> nn.Module:
    """Trains on slices drawn by weight [N]; returns the averaged model, in evaluation mode. With 0 seconds, as it was left."""
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = Average(model, 0.995)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=1e-2)
    run = Run(folder, seconds or 1)
    run.keep(model=model, average=average, optimizer=optimizer)
    if not run.resume() and not seconds:
        raise MedDiffError(f"There is no trained state in {folder}: give a number of minutes above zero.")
    generator = torch.Generator().manual_seed(seed + run.step)
    pictures, masks, chances = (
        torch.from_numpy(slices.pictures),
        torch.from_numpy(slices.masks),
        torch.from_numpy(weight),
    )

    def loss() -> Tensor:
        picks = torch.multinomial(chances, batch, replacement=True, generator=generator)
        mirror = torch.rand(batch, generator=generator) < 0.5
        x, m = (part[picks].unsqueeze(1).float() / 255 for part in (pictures, masks))
        x, m = augment(x, m, generator, mirror, strength=1.5)
        x = x + torch.randn(x.shape, generator=generator) * 0.04 * torch.rand(batch, 1, 1, 1, generator=generator)
        return loss_of(model(x.contiguous(memory_format=torch.channels_last)), m)

    if seconds:
        run.descend(model, optimizer, average, lambda gone: learning_rate(rate, run.step, gone), loss, batch)
    return average.module.eval()


def drawn(brain: Slices, volumes: Slices, share: float) -> tuple[Slices, np.ndarray]:
    """Slices of both sets and how often each is drawn: `share` of the draws from volumes; every type as often as the others, so every
    patient; and of a patient, slices with and without a tumour."""
    weights = []
    for slices, total in ((brain, 1 - share), (volumes, share)):
        _, group, count = np.unique(
            [f"{name} {lesion}" for name, lesion in zip(slices.groups, slices.lesion, strict=True)],
            return_inverse=True, return_counts=True,
        )  # fmt: skip
        each = 1.0 / count[group]
        weights.append(each / each.sum() * total)
    return brain + volumes, np.concatenate(weights)


# ---------------------------------------------------------------- what they reach


def pieces(mask: np.ndarray, spacing_mm: float, least_mm2: float = LEAST_MM2) -> np.ndarray:
    """Connected pieces of a mask [H, W] of at least that area, numbered from 1 in an int [H, W]."""
    labels, _ = ndimage.label(mask, np.ones((3, 3)))
    large = np.bincount(labels.ravel()) * spacing_mm**2 >= least_mm2
    return np.where(large[labels], labels, 0)


@dataclass(frozen=True)
class SegmenterFigures:
    """Dice is that of slices with a lesion; sensitivity counts pieces of outlines that a piece of the answer touches."""

    dice: float
    median_dice: float
    lesions: int
    sensitivity: float
    false_per_slice: float
    free_false_per_slice: float


def segmenter_figures(
    probability: np.ndarray, slices: Slices, free: np.ndarray, threshold: float, spacing_mm: float
) -> SegmenterFigures:
    """Of answers [N, H, W] to slices with lesions, and [M, H, W] to tumour-free ones."""
    scores, found, lesions, false = [], 0, 0, 0
    for answer, outline in zip(probability >= threshold, slices.masks > 127, strict=True):
        scores.append(dice(answer, outline))
        true, said = pieces(outline, spacing_mm, 0), pieces(answer, spacing_mm)
        lesions += len(np.unique(true)) - 1
        found += len(np.unique(true[(said > 0) & (true > 0)]))
        false += len(np.setdiff1d(said, np.append(said[outline], 0)))
    free_false = [len(np.unique(pieces(answer, spacing_mm))) - 1 for answer in free >= threshold]
    return SegmenterFigures(
        float(np.mean(scores)), float(np.median(scores)), lesions, found / lesions, false / len(slices),
        float(np.mean(free_false)) if len(free) else math.nan,
    )  # fmt: skip


def auc(positive: np.ndarray, negative: np.ndarray) -> float:
    """Share of pairs in which the positive scores higher, ties half: the area under the ROC curve (Mann-Whitney)."""
    difference = np.asarray(positive)[:, None] - np.asarray(negative)[None]
    return float((difference > 0).mean() + 0.5 * (difference == 0).mean())


# ---------------------------------------------------------------- the recipe


def best_threshold(probability: np.ndarray, slices: Slices) -> float:
    """Threshold from 0.2 to 0.8 of the highest mean Dice of answers [N, H, W]."""
    outlines = slices.masks > 127
    tried = np.arange(0.2, 0.81, 0.05)
    means = [np.mean([dice(a >= t, o) for a, o in zip(probability, outlines, strict=True)]) for t in tried]
    return round(float(tried[np.argmax(means)]), 2)


def platt(positive: np.ndarray, negative: np.ndarray) -> tuple[float, float]:
    """Gain and offset that make logits probabilities, both groups counting the same (Platt, *Probabilistic outputs*, 1999)."""

    def loss(line: np.ndarray) -> float:
        gain, offset = np.exp(line[0]), line[1]
        return float(
            np.logaddexp(0, -(gain * positive + offset)).mean() + np.logaddexp(0, gain * negative + offset).mean()
        )

    gain, offset = optimize.minimize(loss, np.zeros(2), method="Nelder-Mead").x
    return round(float(np.exp(gain)), 4), round(float(offset), 4)


@torch.inference_mode()
def highest(model: nn.Module, slices: Slices, healthy: bool = False) -> np.ndarray:
    """The grid classifier's highest logit of each slice, of healthy cells alone where asked, [N]."""
    scores = []
    for x, mask in zip(torch.from_numpy(slices.x).split(16), torch.from_numpy(slices.masks).split(16), strict=True):
        logits = model(x)
        if healthy:
            logits = logits.masked_fill(~cells(mask.unsqueeze(1).float() / 255)[1], -30)
        scores.append(logits.amax((1, 2, 3)).numpy())
    return np.concatenate(scores)


def train_segmenter(sets: Sets, folder: Path, seconds: float) -> tuple[Probabilities, float]:
    """The segmenter and its threshold. Of volumes it sees tumour-free slices alone: their outlines mean something else."""
    volumes = sets.volumes["train"]
    slices, weight = drawn(sets.brain["train"], volumes.where(~volumes.lesion), 0.12)
    torch.manual_seed(101)
    model = Probabilities(train(Segmenter(), segmenter_loss, slices, weight, folder, seconds)).eval()
    return model, best_threshold(model.look(sets.brain["tune"].x)[:, 0], sets.brain["tune"])


def train_classifier(sets: Sets, folder: Path, seconds: float) -> tuple[Probabilities, float]:
    """The classifier, its logits made probabilities, and its threshold."""
    slices, weight = drawn(sets.brain["train"], sets.volumes["train"], 0.3)
    torch.manual_seed(202)
    model = train(GridClassifier(), classifier_loss, slices, weight, folder, seconds)
    brain, patient = sets.brain["tune"], sets.volumes["tune"]
    positive = np.concatenate([highest(model, brain), highest(model, patient.where(patient.lesion))])
    negative = np.concatenate([highest(model, brain, healthy=True), highest(model, patient.where(~patient.lesion))])
    return Probabilities(model, True, *platt(positive, negative)).eval(), 0.5


def figures(name: str, look: Look, threshold: float, sets: Sets, spacing_mm: float = 0.98) -> dict[str, float]:
    """What the segmenter or the classifier reaches on `val`: real slices that it was neither trained nor tuned on, patients held back."""
    brain, patients = sets.brain["val"], sets.volumes["val"]
    free, ill = patients.where(~patients.lesion), patients.where(patients.lesion)
    if name == "segmenter":
        of = segmenter_figures(look(brain.x)[:, 0], brain, look(free.x)[:, 0], threshold, spacing_mm)
        return {
            "slices": len(brain), "Dice, mean": of.dice, "Dice, median": of.median_dice,
            "lesions": of.lesions, "lesions found": of.sensitivity, "false marks a slice": of.false_per_slice,
            "tumour-free slices": len(free), "false marks a tumour-free slice": of.free_false_per_slice,
        }  # fmt: skip
    positive, negative, third = (look(part.x)[:, 0] for part in (brain, free, ill))
    return {
        "slices": len(brain), "sensitivity": float((positive >= threshold).mean()),
        "tumour-free slices": len(free), "specificity": float((negative < threshold).mean()),
        "AUC": auc(positive, negative),
        "slices with tumour, same patients": len(ill), "sensitivity, same patients": float((third >= threshold).mean()),
        "AUC, same patients": auc(third, negative),
    }  # fmt: skip


def export(model: Probabilities, folder: Path, threshold: float) -> None:
    """Writes `model.onnx` (any number of pictures at once) and `contract.yaml`."""
    folder.mkdir(parents=True, exist_ok=True)
    out = "probability"
    torch.onnx.export(
        model, (torch.rand(1, 1, SIZE, SIZE),), str(folder / "model.onnx"), dynamo=False, opset_version=17,
        input_names=["picture"], output_names=[out], dynamic_axes={"picture": {0: "n"}, out: {0: "n"}},
    )  # fmt: skip
    contract = {
        "kind": "classifier" if model.whole else "mask", "size": [SIZE, SIZE], "channels": 1, "low": 0.0, "high": 1.0,
        "spacing_mm": 0.98, "threshold": threshold,
    }  # fmt: skip
    if not model.whole:
        contract["least_mm2"] = LEAST_MM2
    (folder / "contract.yaml").write_text(yaml.safe_dump(contract, sort_keys=False))


RECIPES = {"segmenter": train_segmenter, "classifier": train_classifier}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `meddiff train detectors`."""
    parser.add_argument("--data", type=Path, required=True, help="folder of the brain_t1gd set (docs/data.md)")
    parser.add_argument("--volumes", type=Path, required=True, help="folder of brain_progression (docs/data.md)")
    parser.add_argument("--run", type=Path, default=Path("runs/detectors"), help="folder of states, logs and results")
    parser.add_argument("--minutes", type=float, default=25, help="how long to train each (default 25; 0: only export)")
    parser.add_argument("--only", choices=list(RECIPES), help="one of the two")


def main(args: argparse.Namespace) -> int:
    """Trains, writes `segmenter/` and `classifier/` into the run's folder, prints what they reach."""
    sets = load_sets(args.data, args.volumes)
    for name in [args.only] if args.only else list(RECIPES):
        model, threshold = RECIPES[name](sets, args.run / name, args.minutes * 60)
        print(f"{name}: threshold {threshold:g}")
        for what, value in figures(name, model.look, threshold, sets).items():
            print(f"  {what:34s} {value:.3f}" if isinstance(value, float) else f"  {what:34s} {value}")
        export(model, args.run / name, threshold)
    return 0
