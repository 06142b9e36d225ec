"""What guards against learning slices by heart cost: `python -m benchmarks.private --data DIR [--pack checkpoints/brain-t1gd]`

Needs opacus (`meddiff.training.private`). Prints three tables:

1. Seconds a step of the ordinary and of the private recipe, at the same batch, in turns in one process (median, and of the processor:
   other work on the machine slows both), and each one's peak memory (a process of its own).
2. The loss on `val` slices, on the same noise and times, after the same few steps of a small network from nothing: ordinary, and private at
   epsilon infinity (clipped, no noise), 8 and 1. One seed each: steps are few, and the losses say how fast learning begins, not where it ends.
3. How much of a picture is left when latent noise (`meddiff train denoiser --latent-noise`) lies on it: PSNR on `val` slices, decoded with and
   without.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from meddiff.diffusion.autoencoder import PatchAutoencoder
from meddiff.diffusion.checkpoint import open_pipeline
from meddiff.diffusion.denoiser import build_denoiser
from meddiff.training.dataset import BrainSet, load_brain_t1gd
from meddiff.training.denoiser import MOVED, WIDTHS, draw_batch, flow_loss
from meddiff.training.prior import heads_of
from meddiff.training.private import (
    AT_ONCE,
    Budget,
    Ledger,
    alone,
    by_sample,
    private_optimizer,
    private_step,
    train_private,
)
from meddiff.training.run import Average, learning_rate, set_learning_rate
from meddiff.training.slices import Slices, prepare

PARTS = ("speed", "loss", "noise")
SMALL = (32, 64, 64)  # 1.8M parameters
FOREVER = 1e9  # seconds: steps end the run
NOISES = (0.05, 0.1, 0.2, 0.4)
SHOWN = 64  # slices that latent noise is laid on
TIMED = 64  # slices that steps are timed on
JUDGED = 256  # draws of val slices that the loss is taken of
RATE = 4e-4


def some(brain: BrainSet, count: int, seed: int = 0) -> BrainSet:
    """Some of a set's slices, in its order."""
    keep = np.sort(np.random.default_rng(seed).choice(len(brain), min(count, len(brain)), replace=False)).tolist()
    return brain.take(keep)


# ---------------------------------------------------------------- seconds and memory


def steps_of(
    kind: str, data: Slices, vae: PatchAutoencoder, widths: tuple[int, ...], batch: int
) -> Callable[[], object]:
    """One step of a recipe, ordinary or private, on a network of its own; the private one of exactly `batch` slices."""
    torch.manual_seed(0)
    draws = torch.Generator().manual_seed(0)
    model = build_denoiser(widths, guided=True).train()
    if kind == "private":
        descent = torch.optim.AdamW(model.parameters(), lr=RATE)
        ledger = Ledger(Budget(8.0, 1000, batch, 1.0, len(data.weight)))
        optimizer, network = private_optimizer(descent, ledger, draws), by_sample(model)

        def loss(picks: torch.Tensor) -> torch.Tensor:
            return flow_loss(network, draw_batch(data, vae, len(picks), draws, MOVED, picks=picks), vae, draws, True)

        return lambda: private_step(optimizer, torch.randperm(len(data.weight), generator=draws)[:batch], loss)

    model = model.to(memory_format=torch.channels_last)
    plain = torch.optim.AdamW(model.parameters(), lr=RATE, fused=True)

    def step() -> None:
        flow_loss(model, draw_batch(data, vae, batch, draws, MOVED), vae, draws).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        plain.step()
        plain.zero_grad()

    return step


def speed(data: Slices, vae: PatchAutoencoder, batches: list[int], turns: int) -> None:
    """The first table, but for memory."""
    for batch in batches:
        both = {kind: steps_of(kind, data, vae, WIDTHS, batch) for kind in ("ordinary", "private")}
        spent: dict[str, list[tuple[float, float]]] = {kind: [] for kind in both}
        for turn in range(turns + 1):
            for kind, step in both.items():
                begun = time.perf_counter(), time.process_time()
                step()
                if turn:  # the first is a warm-up
                    spent[kind].append((time.perf_counter() - begun[0], time.process_time() - begun[1]))
        medians = {kind: [statistics.median(row) for row in zip(*rows, strict=True)] for kind, rows in spent.items()}
        for kind, (wall, processor) in medians.items():
            print(f"batch {batch}, {kind}: {wall:.2f} s a step, {processor:.2f} s of processor (median of {turns})")
        ratio = medians["private"][1] / medians["ordinary"][1]
        print(f"batch {batch}: a private step takes {ratio:.1f} times the processor's time", flush=True)


def memory(kind: str, batch: int) -> float:
    """Peak memory of a process after three steps on made-up pictures, GiB."""
    rng = np.random.default_rng(0)
    count = 4 * batch
    pictures = torch.from_numpy(rng.integers(0, 255, (count, 256, 256), dtype=np.uint8))
    masks = torch.zeros(count, 256, 256, dtype=torch.uint8)
    masks[:, 100:140, 100:140] = 255
    data = Slices(
        pictures,
        masks,
        torch.zeros(count, 2, 1, 16, 128).half(),
        torch.zeros(count, 1, 16, 128).half(),
        torch.zeros(count, 10),
        torch.ones(count, dtype=torch.bool),
        torch.ones(count),
    )
    vae = PatchAutoencoder(width=16, blocks=1)
    vae.start_from_components(pictures[:4, None].float() / 127.5 - 1)
    step = steps_of(kind, data, vae.eval(), WIDTHS, batch)
    for _ in range(3):
        step()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


# ---------------------------------------------------------------- loss


@torch.no_grad()
def held_out(model: torch.nn.Module, val: Slices, vae: PatchAutoencoder) -> float:
    """The loss on val slices, the same draws for every network."""
    draws = torch.Generator().manual_seed(1)
    picks = torch.arange(JUDGED) % len(val.weight)
    model.eval()
    return float(
        np.mean(
            [
                float(flow_loss(model, draw_batch(val, vae, len(part), draws, 0.0, picks=part), vae, draws))
                for part in picks.split(32)
            ]
        )
    )


def ordinary(data: Slices, vae: PatchAutoencoder, steps: int, batch: int, seed: int) -> torch.nn.Module:
    """The averaged network after so many steps of the ordinary recipe, which else stops on the clock."""
    torch.manual_seed(seed)
    model = build_denoiser(SMALL, guided=True).to(memory_format=torch.channels_last).train()
    average = Average(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
    draws = torch.Generator().manual_seed(seed)
    for step in range(steps):
        set_learning_rate(optimizer, learning_rate(RATE, step, step / steps, warmup=min(100, 1 + steps // 20)))
        flow_loss(model, draw_batch(data, vae, batch, draws), vae, draws).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        average.update(model)
    return average.module


def losses(train: Slices, val: Slices, vae: PatchAutoencoder, steps: int, batch: int, clip: float) -> None:
    """The second table."""
    torch.manual_seed(0)
    untrained = held_out(build_denoiser(SMALL, guided=True), val, vae)
    print(f"loss on val, untrained: {untrained:.4f}", flush=True)
    train, val = alone(train), alone(val)
    print(
        f"ordinary, {steps} steps of {batch}: {held_out(ordinary(train, vae, steps, batch, 0), val, vae):.4f}",
        flush=True,
    )
    for epsilon in (math.inf, 8.0, 1.0):
        budget = Budget(epsilon, steps, batch, clip, len(train.weight))
        with tempfile.TemporaryDirectory() as folder:
            model, ledger = train_private(train, vae, folder, FOREVER, budget, rate=RATE, widths=SMALL, seed=0)
        print(
            f"private, {ledger.taken} steps of {batch} on average, noise {ledger.noise:.3f}, clip {clip:g}, epsilon {ledger.spent:.2f} "
            f"at delta {budget.delta:.1e}: {held_out(model, val, vae):.4f}",
            flush=True,
        )


# ---------------------------------------------------------------- latent noise


@torch.no_grad()
def latent_noise(val: BrainSet, vae: PatchAutoencoder) -> None:
    """The third table."""
    real = torch.from_numpy(some(val, SHOWN).pictures).unsqueeze(1).float() / 127.5 - 1
    latents = vae.encode(real)
    clean = vae.decode(latents).clamp(-1, 1)
    generator = torch.Generator().manual_seed(0)
    for noise in NOISES:
        noisy = vae.decode(latents + noise * torch.randn(latents.shape, generator=generator)).clamp(-1, 1)
        apart = ((noisy - clean) / 2).square().mean((1, 2, 3))
        print(
            f"latent noise {noise:g}: PSNR {float((-10 * apart.log10()).mean()):.1f} dB of {len(real)} decoded slices"
        )


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the brain_t1gd set (docs/data.md)")
    parser.add_argument("--pack", type=Path, default=Path("checkpoints/brain-t1gd"), help="whose autoencoder and heads")
    parser.add_argument("--part", choices=PARTS, nargs="+", default=list(PARTS), help="tables to print (default all)")
    parser.add_argument("--batch", type=int, nargs="+", default=[8], help="batches to time steps at (default 8)")
    parser.add_argument("--turns", type=int, default=5, help="timed steps of each recipe (default 5)")
    parser.add_argument("--steps", type=int, default=40, help="steps of the small network (default 40)")
    parser.add_argument("--mean-batch", type=int, default=16, help="slices a step of the small network (default 16)")
    parser.add_argument("--clip", type=float, default=1.0, help="of its gradients (default 1)")
    parser.add_argument("--memory", nargs=2, metavar=("KIND", "BATCH"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.memory:
        print(json.dumps(memory(args.memory[0], int(args.memory[1]))))
        return
    if args.data is None:
        parser.error("--data is needed")
    pipeline = open_pipeline(args.pack)
    vae, whole = pipeline.vae.eval(), load_brain_t1gd(args.data)

    def ready(brain: BrainSet) -> Slices:
        return prepare(brain, wordings=2, heads=None if pipeline.prior is None else heads_of(pipeline.prior, brain))

    if "speed" in args.part:
        for kind in ("ordinary", "private"):
            command = [sys.executable, "-m", "benchmarks.private", "--memory", kind, str(args.batch[0])]
            peak = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            print(
                f"batch {args.batch[0]}, {kind}: {peak:.2f} GiB at most ({AT_ONCE} gradients held at once)", flush=True
            )
        speed(ready(some(whole.where("train"), TIMED)), vae, args.batch, args.turns)
    if "loss" in args.part:
        val = ready(some(whole.where("val"), 128))
        losses(ready(whole.where("train")), val, vae, args.steps, args.mean_batch, args.clip)
    if "noise" in args.part:
        latent_noise(whole.where("val"), vae)


if __name__ == "__main__":
    main()
