"""Recipe: transfer to a small new set by low-rank adapters. `meddiff train adapter --data DIR --pack checkpoints/brain-t1gd`

LoRA (Hu et al., ICLR 2022) on attention's projections and the clinical embedding; everything else stays. The
adapters are merged at the end, so the result is an ordinary denoiser.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from peft import LoraConfig, get_peft_model

from meddiff.diffusion.autoencoder import PatchAutoencoder
from meddiff.diffusion.checkpoint import open_pipeline
from meddiff.training.dataset import load_brain_t1gd
from meddiff.training.denoiser import draw_batch, flow_loss
from meddiff.training.prior import heads_of
from meddiff.training.run import Run, learning_rate, set_learning_rate
from meddiff.training.slices import Slices, prepare

TARGETS = ["to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out"]


def train_adapter(
    unet: UNet2DConditionModel,
    vae: PatchAutoencoder,
    data: Slices,
    folder: str | Path,
    seconds: float,
    rank: int = 8,
    batch: int = 8,
    rate: float = 1e-3,
    seed: int = 0,
) -> UNet2DConditionModel:
    """Trains adapters of the given rank and returns the denoiser with them merged in."""
    torch.manual_seed(seed)
    model = get_peft_model(unet, LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=TARGETS))  # type: ignore[arg-type]
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=rate, weight_decay=0.0)
    run = Run(folder, seconds)
    run.keep(model=model, optimizer=optimizer)
    run.resume()
    generator = torch.Generator().manual_seed(seed + run.step)
    for gone in run.clock():
        set_learning_rate(optimizer, learning_rate(rate, run.step, gone, warmup=20))
        loss = flow_loss(model, draw_batch(data, vae, batch, generator), vae, generator)
        run.accelerator.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
        run.seen(loss, batch)
    merged: UNet2DConditionModel = model.merge_and_unload()  # type: ignore[operator,assignment]
    return merged.eval()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `meddiff train adapter`."""
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of the new set, laid out as brain_t1gd (docs/data.md)"
    )
    parser.add_argument("--pack", type=Path, default=Path("checkpoints/brain-t1gd"), help="pack to start from")
    parser.add_argument("--run", type=Path, default=Path("runs/adapter"), help="folder of state, log and result")
    parser.add_argument("--minutes", type=float, default=20, help="how long to train (default 20)")
    parser.add_argument("--rank", type=int, default=8, help="rank of the adapters (default 8)")


def main(args: argparse.Namespace) -> int:
    """Trains and writes the merged `unet/` into the run's folder."""
    pipeline = open_pipeline(args.pack)
    brain = load_brain_t1gd(args.data).where("train")
    heads = heads_of(pipeline.prior, brain) if pipeline.prior is not None else None
    data = prepare(brain, heads=heads)
    train_adapter(pipeline.unet, pipeline.vae, data, args.run, args.minutes * 60, args.rank).save_pretrained(
        args.run / "unet"
    )
    return 0
