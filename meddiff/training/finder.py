"""Recipe: the independent lesion finder, on real images only. `meddiff train finder --data DIR --run runs/finder`"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from meddiff.synthesis import check
from meddiff.synthesis.finder import LesionFinder
from meddiff.training.augment import augment
from meddiff.training.dataset import load_brain_t1gd
from meddiff.training.run import Average, Run, learning_rate, set_learning_rate


def finder_loss(outline: Tensor, kind: Tensor, mask: Tensor, types: Tensor) -> Tensor:
    """Cross-entropy and soft Dice of the outline (logits and mask [B, 1, h, w]) plus cross-entropy of the type."""
    p = outline.sigmoid()
    overlap = (2 * (p * mask).sum((1, 2, 3)) + 1) / (p.sum((1, 2, 3)) + mask.sum((1, 2, 3)) + 1)
    pixels = F.binary_cross_entropy_with_logits(outline, mask)
    return 4 * pixels + (1 - overlap).mean() + 0.5 * F.cross_entropy(kind, types, label_smoothing=0.05)


def dice(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Dice of two stacks of outlines [B, H, W], as the check measures it, [B]."""
    return np.array([check.dice(one, other) for one, other in zip(first, second, strict=True)])


def train_finder(
    pictures: Tensor,
    masks: Tensor,
    types: Tensor,
    val: tuple[Tensor, Tensor, Tensor],
    folder: str | Path,
    seconds: float,
    batch: int = 12,
    rate: float = 1.5e-3,
    seed: int = 0,
) -> LesionFinder:
    """Trains on pictures and masks [N, 256, 256] uint8 and types [N]; returns the averaged model."""
    torch.manual_seed(seed)
    model = LesionFinder().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = Average(model, 0.995)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=1e-3)
    run = Run(folder, seconds)
    run.keep(model=model, average=average, optimizer=optimizer)
    run.resume()
    generator = torch.Generator().manual_seed(seed + run.step)
    model_, optimizer_ = run.accelerator.prepare(model, optimizer)
    # Every type as often as the others: pituitary tumours are small and few.
    weight = 1.0 / torch.bincount(types).float()[types]
    for gone in run.clock():
        set_learning_rate(optimizer, learning_rate(rate, run.step, gone))
        picks = torch.multinomial(weight, batch, replacement=True, generator=generator)
        mirror = torch.rand(batch, generator=generator) < 0.5
        x, m = augment(
            pictures[picks].unsqueeze(1).float() / 255,
            (masks[picks] > 127).unsqueeze(1).float(),
            generator,
            mirror,
            strength=1.5,
        )
        x = x + torch.randn(x.shape, generator=generator) * 0.02
        outline, kind = model_(x.to(memory_format=torch.channels_last))
        loss = finder_loss(outline, kind, F.avg_pool2d(m, 2), types[picks])
        run.accelerator.backward(loss)
        run.accelerator.clip_grad_norm_(model.parameters(), 1.0)
        optimizer_.step()
        optimizer_.zero_grad()
        average.update(model)
        run.seen(loss, batch)
    best: LesionFinder = average.module  # type: ignore[assignment]
    found = best.find(val[0].float() / 255)
    score = dice(found.mask(), (val[1] > 127).numpy())
    right = found.type_probability.argmax(1) == val[2].numpy()
    run.log(dice_val=round(float(score.mean()), 4), type_val=round(float(right.mean()), 4))
    return best


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `meddiff train finder`."""
    parser.add_argument("--data", type=Path, required=True, help="folder of the brain_t1gd set (docs/data.md)")
    parser.add_argument("--run", type=Path, default=Path("runs/finder"), help="folder of state, log and result")
    parser.add_argument("--minutes", type=float, default=30, help="how long to train (default 30)")


def main(args: argparse.Namespace) -> int:
    """Trains and writes `check/` into the run's folder."""
    data = load_brain_t1gd(args.data)
    train, val = (
        tuple(torch.from_numpy(a) for a in (part.pictures, part.masks, part.type_numbers()))
        for part in (data.where("train"), data.where("val"))
    )
    model = train_finder(*train, val=val, folder=args.run, seconds=args.minutes * 60)  # type: ignore[misc,arg-type]
    model.save_pretrained(args.run / "check")
    return 0
