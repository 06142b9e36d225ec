"""Recipe: the independent lesion finder, on real images only. `meddiff train finder --data DIR --run runs/finder`"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from meddiff.synthesis import check
from meddiff.synthesis.finder import LesionFinder
from meddiff.training.augment import augment
from meddiff.training.dataset import load_brain_t1gd
from meddiff.training.detectors import clear_slices
from meddiff.training.portable import add_source, read_portable
from meddiff.training.run import Average, Run, learning_rate

CLEAR, WINDOWS = 0.1, 0.2  # shares of slices without a lesion and of windows into a slice


def finder_loss(outline: Tensor, kind: Tensor, mask: Tensor, types: Tensor, shown: Tensor) -> Tensor:
    """Cross-entropy and soft Dice of the outline (logits and mask [B, 1, h, w]) plus cross-entropy of the type where it is `shown` [B]."""
    p = outline.sigmoid()
    overlap = (2 * (p * mask).sum((1, 2, 3)) + 1) / (p.sum((1, 2, 3)) + mask.sum((1, 2, 3)) + 1)
    pixels = F.binary_cross_entropy_with_logits(outline, mask)
    told = F.cross_entropy(kind, types, label_smoothing=0.05, reduction="none") * shown
    return 4 * pixels + (1 - overlap).mean() + 0.5 * told.sum() / shown.sum().clamp_min(1)


def dice(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Dice of two stacks of outlines [B, H, W], as the check measures it, [B]."""
    return np.array([check.dice(one, other) for one, other in zip(first, second, strict=True)])


@torch.no_grad()
def draw_pictures(
    pictures: Tensor, masks: Tensor, types: Tensor, clear: Tensor | None, count: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A batch: pictures and outlines [B, 1, 256, 256] in [0, 1], types [B], and whether enough of a lesion shows to tell its type [B].

    Types are drawn evenly: pituitary tumours are small and few. All slices of the set show a lesion, so that a finder trained on
    whole slices alone finds one wherever it looks; so every fifth picture is a window into a slice, most of which show none, and every
    tenth one of `clear`, slices without a lesion, where there are any.
    """
    device = generator.device
    weight = 1.0 / torch.bincount(types).float()[types]
    picks = torch.multinomial(weight, count, replacement=True, generator=generator)
    x, m = pictures[picks].unsqueeze(1).float() / 255, (masks[picks] > 127).unsqueeze(1).float()
    if clear is not None:
        instead = (torch.rand(count, generator=generator, device=device) < CLEAR).view(-1, 1, 1, 1)
        others = torch.randint(len(clear), (count,), generator=generator, device=device)
        x = torch.where(instead, clear[others].unsqueeze(1).float() / 255, x)
        m = m * ~instead
    before = m.sum((1, 2, 3))
    mirror = torch.rand(count, generator=generator, device=device) < 0.5
    x, m = augment(x, m, generator, mirror, strength=1.5)
    draw = torch.rand(count, 3, generator=generator, device=device)
    window = torch.rand(count, generator=generator, device=device) < WINDOWS
    side = torch.where(window, 0.35 + 0.35 * draw[:, 0], torch.ones_like(draw[:, 0]))
    theta = torch.zeros(count, 2, 3, device=device)
    theta[:, 0, 0] = theta[:, 1, 1] = side
    theta[:, :, 2] = (
        (draw[:, 1:] * 2 - 1) * (1 - side).unsqueeze(1) * 0.8
    )  # the middle of the picture, where the head is
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    both = F.grid_sample(torch.cat([x, m], 1), grid, mode="bilinear", align_corners=False)
    x, m = both[:, :1], both[:, 1:]
    shown = m.sum((1, 2, 3)) * side**2 > 0.6 * before.clamp_min(1)
    x = x + torch.randn(x.shape, generator=generator, device=device) * 0.02
    return x, m, types[picks], shown


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
    clear: Tensor | None = None,
    widths: tuple[int, ...] = (32, 64, 128, 192),
) -> LesionFinder:
    """Trains on pictures and masks [N, 256, 256] uint8 and types [N]; returns the averaged model, on the CPU.

    Args:
        clear: real pictures [M, 256, 256] uint8 without a lesion, or None.
    """
    torch.manual_seed(seed)
    run = Run(folder, seconds)
    device = run.accelerator.device
    model = LesionFinder(widths).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = Average(model, 0.995)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=1e-3)
    run.keep(model=model, average=average, optimizer=optimizer)
    run.resume()
    generator = torch.Generator(device).manual_seed(seed + run.step)
    model_, optimizer_ = run.accelerator.prepare(model, optimizer)
    pictures, masks, types = (part.to(device) for part in (pictures, masks, types))
    clear = None if clear is None else clear.to(device)

    def loss() -> Tensor:
        x, m, kinds, shown = draw_pictures(pictures, masks, types, clear, batch, generator)
        outline, kind = model_(x.to(memory_format=torch.channels_last))
        return finder_loss(outline, kind, F.avg_pool2d(m, 2), kinds, shown)

    run.descend(model, optimizer_, average, lambda gone: learning_rate(rate, run.step, gone), loss, batch)
    best = cast(LesionFinder, average.module.cpu())
    found = best.find(val[0].float() / 255)
    score = dice(found.mask(), (val[1] > 127).numpy())
    right = found.type_probability.argmax(1) == val[2].numpy()
    run.log(dice_val=round(float(score.mean()), 4), type_val=round(float(right.mean()), 4))
    return best


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `meddiff train finder`."""
    add_source(parser)
    parser.add_argument(
        "--volumes", type=Path, help="folder of brain_progression, whose tumour-free slices are learned from too"
    )
    parser.add_argument("--run", type=Path, default=Path("runs/finder"), help="folder of state, log and result")
    parser.add_argument("--minutes", type=float, default=30, help="how long to train (default 30)")
    parser.add_argument("--batch", type=int, default=12, help="pictures a step (default 12)")
    parser.add_argument("--rate", type=float, default=1.5e-3, help="peak learning rate (default 1.5e-3)")
    parser.add_argument("--widths", type=int, nargs="+", default=[32, 64, 128, 192], help="of the four levels")


def main(args: argparse.Namespace) -> int:
    """Trains and writes `check/` into the run's folder."""
    if args.portable is not None:
        held = read_portable(args.portable)
        train, val = (tuple(held[before + name] for name in ("pictures", "masks", "types")) for before in ("", "val_"))
        clear = held.get("clear")
    else:
        data = load_brain_t1gd(args.data)
        train, val = (
            tuple(torch.from_numpy(a) for a in (part.pictures, part.masks, part.type_numbers()))
            for part in (data.where("train"), data.where("val"))
        )
        clear = None if args.volumes is None else torch.from_numpy(clear_slices(args.volumes))
    pictures, masks, types = train
    model = train_finder(
        pictures,
        masks,
        types,
        val=val,  # type: ignore[arg-type]
        folder=args.run,
        seconds=args.minutes * 60,
        batch=args.batch,
        rate=args.rate,
        clear=clear,
        widths=tuple(args.widths),
    )
    model.save_pretrained(args.run / "check")
    return 0
