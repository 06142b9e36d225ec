"""Recipe: sharp pictures in few passes. `meddiff train adversarial --data DIR --unet checkpoints/brain-t1gd/unet --minutes 60`

A denoiser trained on squared errors answers with the mean of all pictures that its noise could be; a few passes of that give texture that no
scanner makes. Here the trained denoiser learns, against a critic (`training.critic`), to answer each pass with **one** picture that could be real:
Sauer et al., *Adversarial Diffusion Distillation*, 2023. Between two passes that picture is lost in fresh noise again (`flow.renoise`), so every pass but
the first sees what it was trained on: a picture in plain Gaussian noise.

What the denoiser is given is what it meets in use (Yin et al., *Improved Distribution Matching Distillation*, 2024, "backward simulation"): a head of the atlas, or a slice
with a hole, lost in noise, then its own answers of the passes before. A third are real slices lost in noise. A removal hides another place or,
half of the time, the lesion itself: no slice shows what was there, so squared errors could not teach it; the critic can.

An anchor keeps the answers near those of the denoiser it starts from, at the guidance asked, or near the real slice where one was lost: errors of pixels,
coarse channels first, so that anatomy and the request stay while texture is free.
"""

from __future__ import annotations

import argparse
import copy
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from torch import Tensor

from meddiff.case import MedDiffError
from meddiff.conditions.tensors import edit_cells
from meddiff.diffusion.autoencoder import PatchAutoencoder
from meddiff.diffusion.denoiser import LEAST_GUIDANCE, MOST_GUIDANCE, fixed_channels, takes_guidance, with_guidance
from meddiff.diffusion.flow import mix, picture, renoise, times
from meddiff.diffusion.pipeline import AROUND, filled
from meddiff.diffusion.prior import UNTIL
from meddiff.training.critic import FOLD, MADE, WIDTHS, Critic, class_error, classes_of, rarity_of
from meddiff.training.denoiser import Batch, add_training, answer, draw_batch, grow, lose, write_result
from meddiff.training.pack import FEW_STEPS, SHIFT
from meddiff.training.portable import training_slices
from meddiff.training.run import Average, Run, learning_rate, read_record, set_learning_rate, write_record
from meddiff.training.slices import Slices

PASSES = (3, 6)  # of the chains that are simulated, least and most
REAL = 0.3  # of the samples are real slices lost in noise
OVER_THE_LESION = 0.5  # of the removals hide the lesion itself
ANCHOR, SAID = 5.0, 0.5  # weights beside the critic's classes
WARM_UP = 100  # steps in which the critic alone learns


@dataclass(frozen=True)
class Asked:
    """What the student is asked in one step: x_t [B, 16, h, w] at t [B, 1, 1, 1], what goes with it, and what would be right.

    Attributes:
        batch: as drawn, edit regions of some removals moved over the lesion.
        fixed: [B, 21, h, w] the network's other channels.
        clinical: [B, 11] clinical values and guidance.
        cells: [B, 1, h, w], 1 where latents may change.
        masks: [B, 1, H, W] the lesions that the finished picture should show, asked for or there already.
        real: [B, 1, 1, 1] bool: a real slice lost in noise, so that the slice itself is what is right.
    """

    batch: Batch
    x_t: Tensor
    t: Tensor
    fixed: Tensor
    clinical: Tensor
    cells: Tensor
    masks: Tensor
    real: Tensor

    @property
    def changed(self) -> Tensor:
        """The places of the critic's map that may change, [B, H/2, W/2] in {0, 1}."""
        return (F.avg_pool2d(self.batch.conditions.edit, FOLD).squeeze(1) > 0.5).float()


def over_the_lesion(batch: Batch, generator: torch.Generator) -> Batch:
    """The same with the edit regions of half of the removals laid over the lesion itself, as a twin is made."""
    assert batch.masks is not None
    device = generator.device
    removal = batch.given & (batch.shown == 0)  # type: ignore[operator]
    chosen = removal & (torch.rand(len(removal), generator=generator, device=device) < OVER_THE_LESION)
    margin = int(torch.randint(4, 11, (), generator=generator, device=device))
    here = chosen.view(-1, 1, 1, 1)
    edit = torch.where(here, grow(batch.masks, margin), batch.conditions.edit)
    weight = torch.where(here, edit_cells(edit), batch.weight)
    # What the slice shows there is not what is right, as under the lesion of a healthy slice.
    hidden = torch.where(here, edit_cells(edit), batch.hidden)
    return replace(batch, conditions=replace(batch.conditions, edit=edit), weight=weight, hidden=hidden)


@torch.no_grad()
def ask(student: torch.nn.Module, batch: Batch, generator: torch.Generator) -> Asked:
    """Simulates the passes before the one that is trained, with the student as it is."""
    assert batch.masks is not None and batch.shown is not None
    device, x0, truth = generator.device, batch.latents, batch.masks
    count = len(x0)

    def normal() -> Tensor:
        return torch.randn(x0.shape, generator=generator, device=device)

    shown = batch.shown.view(-1, 1, 1, 1)
    batch = over_the_lesion(batch, generator)
    asked, given = batch.conditions, batch.given.view(-1, 1, 1, 1)
    cells = edit_cells(asked.edit)
    fixed = fixed_channels(asked, x0, batch.head)
    spread = MOST_GUIDANCE - LEAST_GUIDANCE
    clinical = with_guidance(
        asked.clinical, LEAST_GUIDANCE + spread * torch.rand(count, generator=generator, device=device)
    )

    # Real slices lost in noise: some, all follow-ups, and where no head is shown that a picture could start from.
    lost = lose(batch, generator)
    headless = ~given & (torch.zeros_like(given) if batch.head is None else batch.head.abs().sum((1, 2, 3), True) == 0)
    real = (torch.rand(count, generator=generator, device=device) < REAL).view(-1, 1, 1, 1) | headless
    if batch.follows is not None:
        real = real | batch.follows.view(-1, 1, 1, 1)
    hidden = batch.hidden.amax((1, 2, 3), keepdim=True) > 0  # healthy: the slice is not what is right
    real = real & ~(hidden & (given | ~headless))

    begin = torch.where(given, torch.full_like(lost.t, AROUND), torch.full_like(lost.t, UNTIL))
    steps = int(torch.randint(PASSES[0], PASSES[1] + 1, (), generator=generator, device=device))
    trained = int(torch.randint(0, steps, (), generator=generator, device=device))
    grid = times(steps, SHIFT)
    start = x0 if batch.head is None else batch.head
    noise = normal()
    x = mix(torch.where(given, filled(x0, cells), start), noise, begin)
    for now, later in pairwise(grid[: trained + 1]):
        t = begin * now
        x = torch.where(cells > 0, x, mix(x0, noise, t))
        output = answer(student, x, t, fixed, asked.context, clinical)
        x = mix(picture(x, output, t), normal(), begin * later)
    t = begin * grid[trained]
    x = torch.where(cells > 0, x, mix(x0, noise, t))
    masks = truth * (1 - asked.edit) * given + truth * asked.edit * shown
    return Asked(
        batch,
        torch.where(real, lost.x_t, x),
        torch.where(real, lost.t, t),
        fixed,
        clinical,
        cells,
        masks,
        real,
    )


def answered(model: torch.nn.Module, asked: Asked) -> Tensor:
    """A denoiser's picture [B, 16, h, w] in latents; what was given stays."""
    output = answer(model, asked.x_t, asked.t, asked.fixed, asked.batch.conditions.context, asked.clinical)
    return torch.where(asked.cells > 0, picture(asked.x_t, output, asked.t), asked.batch.latents)


def anchor_error(made: Tensor, right: Tensor, asked: Asked, vae: PatchAutoencoder) -> Tensor:
    """Squared error of latents [B, 16, h, w] as errors of pixels count, mean over what may change; the lesion as its weight says."""
    share = vae.latent_std**2
    share = share / share.sum(1, keepdim=True)
    weight = asked.batch.weight * asked.cells
    # Far in the noise there are many right pictures, and the mean of them is none.
    error = (made - right).square() * share * (1 - asked.t)
    return ((error * weight).sum((1, 2, 3)) / (weight.sum((1, 2, 3)) + 1)).mean()


def critic_error(critic: torch.nn.Module, real: Tensor, made: Tensor, asked: Asked) -> Tensor:
    """What the critic has to learn: classes and request of real pictures [B, 1, H, W], and where pixels were made."""
    batch = asked.batch
    assert batch.types is not None and batch.masks is not None and batch.said is not None
    changed = asked.changed
    of_real, of_made = classes_of(batch.masks, batch.types), classes_of(asked.masks, batch.types)
    with torch.autocast(real.device.type, torch.bfloat16, enabled=real.is_cuda):
        logits, said = critic(torch.cat([real, made]))
    seen, faked = logits.float().chunk(2)
    error = class_error(seen, of_real, torch.ones_like(changed), rarity_of(of_real))
    error = error + class_error(faked, torch.full_like(of_made, MADE), changed, rarity_of(of_made))
    return error + said_error(said.float().chunk(2)[0], batch.said)


def said_error(said: Tensor, right: Tensor, told: Tensor | float = 1.0) -> Tensor:
    """Mean squared error of contexts [B, 16, 128], whose numbers have unit variance; `told` [B, 1, 1]: which count."""
    return ((said - right).square() * told).mean()


def student_error(
    critic: torch.nn.Module, made: Tensor, latents: Tensor, right: Tensor, asked: Asked, vae: PatchAutoencoder
) -> tuple[Tensor, dict[str, Tensor]]:
    """What the student has to learn, and its parts by name.

    Args:
        made: pictures [B, 1, H, W]; `latents` the same as latents.
        right: latents [B, 16, h, w] of the anchor.
    """
    batch = asked.batch
    assert batch.types is not None and batch.said is not None and batch.shown is not None
    classes = classes_of(asked.masks, batch.types)
    with torch.autocast(made.device.type, torch.bfloat16, enabled=made.is_cuda):
        logits, said = critic(made)
    pleases = class_error(logits, classes, asked.changed, rarity_of(classes))
    told = batch.shown.view(-1, 1, 1) * (batch.conditions.context.abs().sum((1, 2), keepdim=True) > 0)
    reads = said_error(said.float(), batch.said, told)
    anchor = anchor_error(latents, right, asked, vae)
    parts = {"critic": pleases, "said": reads, "anchor": anchor}
    return pleases + SAID * reads + ANCHOR * anchor, {name: part.detach() for name, part in parts.items()}


def train_adversarial(
    start: UNet2DConditionModel,
    data: Slices,
    vae: PatchAutoencoder,
    folder: str | Path,
    seconds: float,
    batch: int = 8,
    rate: float = 1e-4,
    average_decay: float = 0.995,
    seed: int = 0,
    moved_by: float = 0.4,
    warm_up: int = WARM_UP,
    widths: tuple[int, ...] = WIDTHS,
) -> UNet2DConditionModel:
    """Trains a copy of `start`, resuming from the folder's state; returns the averaged student, on the CPU.

    Args:
        warm_up: steps in which the critic alone learns.
        widths: of the critic's levels.

    Raises:
        MedDiffError: when `start` does not take guidance.
    """
    if not takes_guidance(start):
        raise MedDiffError(
            "This denoiser was not built to take guidance: train one with `meddiff train denoiser` without --start, "
            "then `meddiff train distillation`."
        )
    torch.manual_seed(seed)
    run = Run(folder, seconds)
    device = run.accelerator.device
    anchor = copy.deepcopy(start).float().to(device, memory_format=torch.channels_last).eval().requires_grad_(False)
    student = copy.deepcopy(anchor).requires_grad_(True)
    critic = Critic(widths).to(device)
    critic.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = Average(student, average_decay)
    optimizer = torch.optim.AdamW(student.parameters(), lr=rate, betas=(0.5, 0.99), weight_decay=0.0, fused=True)
    against = torch.optim.AdamW(critic.parameters(), lr=4 * rate, betas=(0.0, 0.99), weight_decay=0.0, fused=True)
    run.keep(model=student, average=average, optimizer=optimizer, critic=critic, against=against)
    run.resume()
    generator = torch.Generator(device).manual_seed(seed + run.step)
    there, encoder = data.to(device), copy.deepcopy(vae).to(device).requires_grad_(False)
    for gone in run.clock():
        drawn = draw_batch(there, encoder, batch, generator, moved_by)
        asked = ask(student, drawn, generator)
        with torch.no_grad():
            real = encoder.decode(drawn.latents)
            right = torch.where(asked.real, drawn.latents, answered(anchor, asked))
        latents = answered(student, asked)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            made = encoder.decode(latents).float()

        set_learning_rate(against, learning_rate(4 * rate, run.step, gone, warmup=20, floor=0.2))
        told = critic_error(critic, real, made.detach(), asked)
        against.zero_grad()
        told.backward()
        torch.nn.utils.clip_grad_norm_(critic.parameters(), 5.0)
        against.step()
        parts: dict[str, Tensor] = {}

        if run.step >= warm_up:
            set_learning_rate(optimizer, learning_rate(rate, run.step - warm_up, gone, floor=0.1))
            critic.requires_grad_(False)
            loss, of_student = student_error(critic, made, latents, right, asked, encoder)
            loss.backward()
            critic.requires_grad_(True)
            torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            average.update(student)
            parts |= of_student
        run.seen(told, batch)
        run.tell(**parts)
    return average.module.cpu()  # type: ignore[return-value]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `meddiff train adversarial`."""
    add_training(parser, run="runs/adversarial", minutes=60, rate=1e-4)
    parser.add_argument(
        "--unet", type=Path, required=True, help="denoiser to start from and to stay near: a unet folder"
    )
    parser.add_argument("--warm-up", type=int, default=WARM_UP, help=f"steps of the critic alone (default {WARM_UP})")
    parser.add_argument("--critic", type=int, nargs="+", default=list(WIDTHS), help=f"its widths (default {WIDTHS})")
    parser.add_argument("--average", type=float, default=0.995, help="decay a step of the averaged weights")


def main(args: argparse.Namespace) -> int:
    """Trains the student and writes the averaged `unet/` and a sample sheet into the run's folder."""
    vae: PatchAutoencoder = PatchAutoencoder.from_pretrained(args.vae).eval()
    data = training_slices(args.data, args.portable, args.prior, args.distinct)
    start: UNet2DConditionModel = UNet2DConditionModel.from_pretrained(args.unet)  # type: ignore[assignment]
    student = train_adversarial(
        start,
        data,
        vae,
        args.run,
        args.minutes * 60,
        batch=args.batch,
        rate=args.rate,
        average_decay=args.average,
        moved_by=args.moved,
        warm_up=args.warm_up,
        widths=tuple(args.critic),
    )
    write_record(args.run / "unet", *read_record(args.unet))
    write_result(student, data, vae, args, FEW_STEPS, renoise(SHIFT))
    return 0
