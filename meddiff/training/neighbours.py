"""Recipe: the training slices as the check knows them. `meddiff train neighbours --data DIR --check runs/finder/check`

Limits come from real `val` slices: 1% of them lie nearer to a training slice than `near` (neighbouring slices of one
patient may stand in both splits), 1% farther than `far`. The recipe then prints how many copies `near` catches.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from meddiff.synthesis.finder import LesionFinder
from meddiff.synthesis.neighbours import Neighbours
from meddiff.training.augment import augment
from meddiff.training.dataset import load_brain_t1gd

TAIL = 0.01  # of real slices beyond each limit
COPIES = 150


def find_neighbours(finder: LesionFinder, train: np.ndarray, others: np.ndarray) -> Neighbours:
    """The index of training pictures [N, 256, 256] in [0, 1], its limits from other real ones."""
    torch.manual_seed(0)  # the decomposition is a randomised one
    index = Neighbours.of(finder.describe(torch.from_numpy(train)))
    near, far = np.quantile(index.distance(finder, others), (TAIL, 1 - TAIL))
    return replace(index, near=float(near), far=float(far))


def copies(pictures: np.ndarray, seed: int = 0) -> dict[str, np.ndarray]:
    """What a model that copies would make of training pictures [N, 256, 256]: blurred, or moved, recoloured and noisy."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.from_numpy(pictures).unsqueeze(1)
    moved, _ = augment(x, torch.zeros_like(x), generator, torch.zeros(len(x), dtype=torch.bool), strength=0.5)
    noisy = (moved + 0.02 * torch.randn(moved.shape, generator=generator)).clamp(0, 1)
    blurred = F.avg_pool2d(F.pad(x, (2, 2, 2, 2), mode="reflect"), 5, 1)
    mirrored = blurred.flip(3)
    named = {"blurred": blurred, "blurred and mirrored": mirrored, "moved, recoloured, noisy": noisy}
    return {name: value.squeeze(1).numpy() for name, value in named.items()}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `meddiff train neighbours`."""
    parser.add_argument("--data", type=Path, required=True, help="folder of the brain_t1gd set (docs/data.md)")
    parser.add_argument(
        "--check", type=Path, default=Path("runs/finder/check"), help="the finder's folder, written into"
    )


def main(args: argparse.Namespace) -> int:
    """Writes the index beside the finder and prints what it catches."""
    data = load_brain_t1gd(args.data)
    train, val = (data.where(split).pictures.astype(np.float32) / 255 for split in ("train", "val"))
    finder = LesionFinder.load(args.check)
    index = find_neighbours(finder, train, val)
    index.save(args.check)
    print(f"{len(index.index)} training slices; real val slices lie between {index.near:.3f} and {index.far:.3f}")
    picks = np.random.default_rng(0).choice(len(train), min(COPIES, len(train)), replace=False)
    for name, pictures in copies(train[picks]).items():
        caught = (index.distance(finder, pictures) < index.near).mean()
        print(f"copies {name}: {caught:.0%} caught of {len(picks)}")
    return 0
