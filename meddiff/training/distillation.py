"""Recipe: guidance in one pass. `meddiff train distillation --data DIR --unet runs/denoiser/unet --run runs/distillation --minutes 15`

Classifier-free guidance (Ho & Salimans, 2022) asks the network twice a step, with and without the request, and multiplies their
difference: twice the time, and the errors of INT8 multiplied with it. A student with the teacher's own weights learns to give the
guided answer itself, for any strength between 1 and 5, which it is told as a clinical value (`diffusion.denoiser.with_guidance`);
Meng et al., *On Distillation of Guided Diffusion Models*, CVPR 2023, their first stage. The teacher is a denoiser built to take
guidance and trained at 1 (`meddiff train denoiser`).
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from meddiff.case import MedDiffError
from meddiff.diffusion.autoencoder import PatchAutoencoder
from meddiff.diffusion.denoiser import (
    LEAST_GUIDANCE,
    MOST_GUIDANCE,
    fixed_channels,
    takes_guidance,
    with_guidance,
)
from meddiff.training.denoiser import Batch, add_training, answer, draw_batch, lose, weighted_mean, write_result
from meddiff.training.portable import training_slices
from meddiff.training.run import Average, Run, learning_rate, read_record, write_record
from meddiff.training.slices import Slices

AS_IT_IS = 0.15  # of the samples are asked for at guidance 1, where the student must stay its teacher


def guidance_loss(
    student: torch.nn.Module,
    teacher: torch.nn.Module,
    batch: Batch,
    vae: PatchAutoencoder,
    generator: torch.Generator,
) -> Tensor:
    """Mean squared error of the student's one pass against the teacher's two, guided by a strength drawn for each sample."""
    lost = lose(batch, generator)
    count, device = len(lost.x_t), generator.device
    spread = MOST_GUIDANCE - LEAST_GUIDANCE
    strength = LEAST_GUIDANCE + spread * torch.rand(count, generator=generator, device=device)
    as_it_is = torch.rand(count, generator=generator, device=device) < AS_IT_IS
    strength = torch.where(as_it_is, torch.full_like(strength, LEAST_GUIDANCE), strength)
    asked, nothing = batch.conditions, batch.conditions.unconditional()
    fixed, fixed_nothing = (fixed_channels(c, batch.latents, batch.head) for c in (asked, nothing))
    with torch.no_grad():
        both = answer(
            teacher,
            lost.x_t.repeat(2, 1, 1, 1),
            lost.t.repeat(2, 1, 1, 1),
            torch.cat([fixed, fixed_nothing]),
            torch.cat([asked.context, nothing.context]),
            with_guidance(torch.cat([asked.clinical, nothing.clinical]), LEAST_GUIDANCE),
        )
        told, untold = both.chunk(2)
        guided = untold + strength.view(-1, 1, 1, 1) * (told - untold)
    output = answer(student, lost.x_t, lost.t, fixed, asked.context, with_guidance(asked.clinical, strength))
    # Weights are those of training; cells that are noise at every time are free.
    return weighted_mean((output - guided).square(), batch, vae, lost.t)


def distil(
    teacher: UNet2DConditionModel,
    data: Slices,
    vae: PatchAutoencoder,
    folder: str | Path,
    seconds: float,
    batch: int = 8,
    rate: float = 1e-4,
    average_decay: float = 0.995,
    seed: int = 0,
    compiled: bool = False,
    moved_by: float = 0.4,
) -> UNet2DConditionModel:
    """Teaches a copy of the teacher, resuming from the folder's state; returns the averaged student, on the CPU.

    Raises:
        MedDiffError: when the teacher does not take guidance.
    """
    if not takes_guidance(teacher):
        raise MedDiffError(
            "This denoiser was not built to take guidance, so that it cannot be taught it: "
            "train one with `meddiff train denoiser` without --start."
        )
    torch.manual_seed(seed)
    run = Run(folder, seconds)
    device = run.accelerator.device
    teacher = copy.deepcopy(teacher).to(device, memory_format=torch.channels_last).eval().requires_grad_(False)
    student = copy.deepcopy(teacher).requires_grad_(True).train()
    average = Average(student, average_decay)
    optimizer = torch.optim.AdamW(student.parameters(), lr=rate, betas=(0.9, 0.99), weight_decay=0.0, fused=True)
    run.keep(model=student, average=average, optimizer=optimizer)
    run.resume()
    generator = torch.Generator(device).manual_seed(seed + run.step)
    there, encoder = data.to(device), copy.deepcopy(vae).to(device)
    prepared, optimizer_ = run.accelerator.prepare(student, optimizer)
    pupil: Any = torch.compile(prepared) if compiled else prepared
    master: Any = torch.compile(teacher) if compiled else teacher
    run.descend(
        student,
        optimizer_,
        average,
        lambda gone: learning_rate(rate, run.step, gone),
        lambda: guidance_loss(
            pupil, master, draw_batch(there, encoder, batch, generator, moved_by), encoder, generator
        ),
        batch,
    )
    return average.module.cpu()  # type: ignore[return-value]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `meddiff train distillation`."""
    add_training(parser, run="runs/distillation", minutes=15, rate=1e-4)
    parser.add_argument("--unet", type=Path, required=True, help="the teacher: a unet folder that takes guidance")
    parser.add_argument(
        "--compile", action="store_true", help="let torch compile the network first (worth it on a GPU)"
    )


def main(args: argparse.Namespace) -> int:
    """Teaches the student and writes the averaged `unet/` and a sample sheet into the run's folder."""
    vae: PatchAutoencoder = PatchAutoencoder.from_pretrained(args.vae).eval()
    data = training_slices(args.data, args.portable, args.prior, args.distinct)
    teacher: UNet2DConditionModel = UNet2DConditionModel.from_pretrained(args.unet)  # type: ignore[assignment]
    student = distil(
        teacher,
        data,
        vae,
        args.run,
        args.minutes * 60,
        batch=args.batch,
        rate=args.rate,
        compiled=args.compile,
        moved_by=args.moved,
    )
    write_record(args.run / "unet", *read_record(args.unet))
    write_result(student, data, vae, args)
    return 0
