"""Recipe: the denoiser. `meddiff train denoiser --data DIR --run runs/denoiser --minutes 90`

Rectified flow on whitened latents, four tasks from one set of slices that all show a lesion:

| task | share | background | edit region | outline | sentence | not trained on |
|---|---|---|---|---|---|---|
| from nothing, lesion | 0.58 | the slice's head | everywhere | the lesion | its caption | - |
| from nothing, healthy | 0.12 | the slice's head | everywhere | blank | no focal lesion | the lesion's cells (noise there) |
| insert | 0.20 | the rest | the lesion, grown 4 to 14 mm | the lesion | its caption | outside the edit region |
| remove | 0.10 | the rest | another outline, off the lesion | blank | no focal lesion | outside the edit region |

Half of the lesions that are inserted, where the set shows the same lesion on a neighbouring slice, are **follow-ups**: not the slice is lost in
noise, but the neighbour's lesion stretched into this one's outline (`conditions.carry`), or what lies between it and the slice; the network learns to
make this slice of it. That is what a series asks of it at every visit (`docs/progression.md`).

`--latent-noise S` lets no slice be learned to its last digit: what the network is taught to make is the slice with Gaussian noise of S standard
deviations on its whitened latents, other noise every time. A network that has learned the whole set by heart then gives back a cloud of width S around a slice, not
the slice (training with noise smooths: Bishop, *Neural Computation*, 1995); training on noised data made a fine-tuned SDXL memorise less (Daras et al.,
*Consistent Diffusion Meets Tweedie*, ICML 2024, whose noise stays with its picture and whose loss takes it off again; this does neither). Made pictures carry
the noise too. 0, the default, is what the shipped weights were trained with.

`--start FOLDER` goes on from trained weights (a pack's `unet/`) where the run has no state of its own.

A slice's head is what the prior would draw for it (`meddiff train prior`): anatomy without texture or lesion. One in ten is blank. Pictures
are moved and mirrored before they are encoded: the encoder is one linear layer, so this costs nothing.
"""

from __future__ import annotations

import argparse
import copy
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from torch import Tensor

from meddiff.case import MedDiffError, Plane
from meddiff.conditions.tensors import Conditions, edit_cells
from meddiff.diffusion.autoencoder import PatchAutoencoder
from meddiff.diffusion.denoiser import build_denoiser, fixed_channels, takes_guidance, with_guidance
from meddiff.diffusion.flow import Sampler, direction, logit_normal, mix, solver
from meddiff.diffusion.pipeline import head_latents, sample_latents
from meddiff.diffusion.precision import torch_denoise
from meddiff.diffusion.prior import HeadPrior
from meddiff.training.augment import augment
from meddiff.training.pack import GUIDANCE, SHIFT, STEPS
from meddiff.training.portable import add_distinct, add_source, training_slices
from meddiff.training.run import (
    Average,
    Run,
    learning_rate,
    read_record,
    write_record,
    write_sheet,
)
from meddiff.training.slices import Slices
from meddiff.training.text import read_back

SHARES = {"lesion": 0.58, "healthy": 0.12, "insert": 0.20, "remove": 0.10}
FOLLOWS = 0.5  # of the inserted lesions that a neighbouring slice shows too
CARRIED = (0.15, 0.6)  # times at which a follow-up is trained
SHARE, MOST = 0.25, 16.0  # what a lesion and its rim add to the weight of a picture's cells, and to that of any one
WIDTHS = (96, 192, 288)  # 24M parameters: with guidance in one pass as fast as 11M with two
MOVED = 0.4  # of the full augmentation: more keeps a short training from ever seeing the same head twice


def grow(mask: Tensor, pixels: int) -> Tensor:
    """Outline [B, 1, H, W] grown by a square of so many pixels."""
    side = 2 * pixels + 1  # rows, then columns: a square's maximum is the maximum of both
    return F.max_pool2d(F.max_pool2d(mask, (side, 1), 1, (pixels, 0)), (1, side), 1, (0, pixels))


@dataclass(frozen=True)
class Batch:
    """One step's inputs: latents [B, 16, h, w], conditions, whether the background is given [B], loss weight [B, 1, h, w]."""

    latents: Tensor
    conditions: Conditions
    given: Tensor
    weight: Tensor
    hidden: Tensor  # [B, 1, h, w] cells that are pure noise at every time, and not trained on
    head: Tensor | None = None  # [B, 16, h, w] latents of the head to follow, zeros where none is shown
    carried: Tensor | None = None  # [B, 16, h, w] latents of the slice with its neighbour's lesion
    follows: Tensor | None = None  # [B] bool: follow-ups, made from `carried`
    masks: Tensor | None = None  # [B, 1, H, W] in [0, 1], the lesion of the slice, told or not
    types: Tensor | None = None  # long [B], of the finder's `TYPES`, told or not
    said: Tensor | None = None  # [B, 16, 128], the caption of the slice, told or not
    shown: Tensor | None = None  # [B] in {0, 1}: whether the task asks for the lesion


@torch.no_grad()
def draw_batch(
    data: Slices,
    vae: PatchAutoencoder,
    count: int,
    generator: torch.Generator,
    moved_by: float = MOVED,
    latent_noise: float = 0.0,
    picks: Tensor | None = None,
) -> Batch:
    """Draws slices, moves them, gives each a task and hides what each task hides.

    Args:
        data: on the device of the generator and of the autoencoder.
        moved_by: strength of the augmentation, 1 for all of it.
        latent_noise: standard deviation of the noise on the latents that are to be made; a background that is given stays clean, as
            it is when a case is made.
        picks: the slices [count] to take, rather than some drawn by their weights.
    """
    device = generator.device

    def chance(p: float) -> Tensor:
        return torch.rand(count, generator=generator, device=device) < p

    if picks is None:
        picks = torch.multinomial(data.weight, count, replacement=True, generator=generator)
    mirror = chance(0.5) & data.mirrorable[picks]
    pictures = data.pictures[picks].unsqueeze(1).float() / 255
    if data.heads is not None:
        guides = data.heads[picks].unsqueeze(1).float() / 255
        guides = F.interpolate(guides, size=pictures.shape[-2:], mode="bilinear", align_corners=False)
        pictures = torch.cat([pictures, guides], 1)
    if data.carried is not None:
        pictures = torch.cat([pictures, data.carried[picks].unsqueeze(1).float() / 255], 1)
    pictures, masks = augment(
        pictures,
        (data.masks[picks] > 127).unsqueeze(1).float(),
        generator,
        mirror,
        moved_by,
    )
    latents = vae.encode(pictures[:, :1] * 2 - 1)
    wording = torch.randint(data.contexts.shape[2], (count,), generator=generator, device=device)
    shares = torch.tensor(list(SHARES.values()), device=device)
    task = torch.multinomial(shares, count, replacement=True, generator=generator)
    lesion, insert, remove = task == 0, task == 2, task == 3
    shown = (lesion | insert).view(-1, 1, 1, 1)

    # Edit regions: everywhere, the lesion grown, or another lesion's place laid over healthy tissue.
    margin, down, across = torch.randint(0, 81, (3,), generator=generator, device=device).tolist()
    grown = grow(masks, 4 + margin % 11)
    moved = torch.roll(grown.roll(1, 0), (down - 40, across - 40), (2, 3))
    near = grow(masks, 6)
    edit = torch.ones_like(masks)
    edit = torch.where(insert.view(-1, 1, 1, 1), grown, edit)
    edit = torch.where(remove.view(-1, 1, 1, 1), moved * (1 - near), edit)
    outline = masks * shown

    # Told or not told: text, outline and clinical values are dropped apart and together.
    nothing = chance(0.08)
    said = data.contexts[picks, mirror.long(), wording]
    context = torch.where(
        shown,
        said.flatten(1).view(count, 1, 1, -1),
        data.healthy[picks, wording].flatten(1).view(count, 1, 1, -1),
    ).view(count, *data.contexts.shape[-2:])
    context = context.float() * ~(chance(0.05) | nothing).view(-1, 1, 1)
    outline = outline * ~(chance(0.05) | nothing).view(-1, 1, 1, 1)
    clinical = data.clinical[picks] * shown.view(-1, 1) * ~(chance(0.4) | nothing).view(-1, 1)

    head = None
    if data.heads is not None:
        blank = insert | remove | chance(0.1)
        head = vae.encode(pictures[:, 1:2] * 2 - 1) * ~blank.view(-1, 1, 1, 1)
    carried_ = follows = None
    if data.carried is not None and data.follows is not None:
        carried_ = vae.encode(pictures[:, -1:] * 2 - 1)
        follows = insert & data.follows[picks] & chance(FOLLOWS)
    cells = edit_cells(edit)
    if latent_noise > 0:  # drawn only then: without it a seed gives the batches that it always gave
        noise = torch.randn(latents.shape, generator=generator, device=device)
        latents = latents + latent_noise * noise * cells
    # A small lesion counts as much as a large one. Types are told apart by rim and surroundings too.
    lesion_cells = F.avg_pool2d(near, 8)
    extra = (SHARE / lesion_cells.mean((1, 2, 3), keepdim=True).clamp_min(1e-3)).clamp_max(MOST)
    hidden = (F.max_pool2d(near, 8) > 0).float() * (task == 1).view(-1, 1, 1, 1)
    weight = (1 + extra * lesion_cells * shown) * torch.where(
        (insert | remove).view(-1, 1, 1, 1), cells, torch.ones_like(cells)
    )
    conditions = Conditions(context, outline, edit, clinical)
    return Batch(
        latents,
        conditions,
        insert | remove,
        weight * (1 - hidden),
        hidden,
        head,
        carried_,
        follows,
        masks,
        None if data.types is None else data.types[picks].long(),
        said.float(),
        shown.flatten().float(),
    )


@dataclass(frozen=True)
class Lost:
    """A batch lost in noise: x_t [B, 16, h, w] at times t [B, 1, 1, 1], what else the network sees, and where errors count.

    Attributes:
        straight: [B, 16, h, w], the direction that leads from x_t to the slice.
        certain: [B, 1, 1, 1], less than 1 where a follow-up begins near the picture.
    """

    x_t: Tensor
    t: Tensor
    straight: Tensor
    certain: Tensor


def lose(batch: Batch, generator: torch.Generator, apart: bool = False) -> Lost:
    """Draws times and noise for a batch.

    Args:
        apart: draw each sample's time for itself, so that no sample depends on how many others there are.
    """
    x0, device = batch.latents, generator.device
    noise = torch.randn(x0.shape, generator=generator, device=device)
    times = torch.cat([logit_normal(1, generator) for _ in x0]) if apart else logit_normal(len(x0), generator)
    t = times.view(-1, 1, 1, 1)
    x_t = mix(x0, noise, t)
    certain = torch.ones_like(t)
    if batch.carried is not None and batch.follows is not None:
        follows = batch.follows.view(-1, 1, 1, 1)
        early, late = CARRIED
        t = torch.where(follows, early + (late - early) * torch.rand(t.shape, generator=generator, device=device), t)
        # Later passes see less of the neighbour's lesion and more of what the network has made of it.
        share = torch.rand(t.shape, generator=generator, device=device)
        x_t = torch.where(follows, mix(x0 + share * (batch.carried - x0), noise, t), mix(x0, noise, t))
        certain = torch.where(follows, t * t, certain)  # errors of the picture: those of v grow without end near it
    x_t = torch.where(batch.hidden > 0, noise, x_t)
    # To the slice from where it starts: noise - x0 where that is the slice lost in noise.
    return Lost(x_t, t, (x_t - x0) / t, certain)


def answer(model: torch.nn.Module, x_t: Tensor, t: Tensor, fixed: Tensor, context: Tensor, clinical: Tensor) -> Tensor:
    """The network's raw output [B, 16, h, w] in float32; on a GPU it computes in bfloat16."""
    inputs = torch.cat([x_t, fixed], 1).contiguous(memory_format=torch.channels_last)
    with torch.autocast(x_t.device.type, torch.bfloat16, enabled=x_t.is_cuda):
        output = model(inputs, t.flatten() * 1000, encoder_hidden_states=context, class_labels=clinical).sample
    return output.float()


def flow_loss(
    model: torch.nn.Module, batch: Batch, vae: PatchAutoencoder, generator: torch.Generator, apart: bool = False
) -> Tensor:
    """Mean squared error of the predicted direction where the task is trained, each sample counting the same; `apart` as in `lose`."""
    lost = lose(batch, generator, apart)
    # Where no background is given every cell is open, and `fixed_channels` shows nothing of x0 in open cells.
    fixed = fixed_channels(batch.conditions, batch.latents, batch.head)
    clinical = batch.conditions.clinical
    clinical = with_guidance(clinical, 1.0) if takes_guidance(model) else clinical
    output = answer(model, lost.x_t, lost.t, fixed, batch.conditions.context, clinical)
    # Errors of the output, not of v: every time counts the same.
    spread = (1 - lost.t) ** 2 + lost.t**2
    error = (direction(lost.x_t, output, lost.t) - lost.straight).square() * spread
    return weighted_mean(error * lost.certain, batch, vae, lost.t)


def weighted_mean(error: Tensor, batch: Batch, vae: PatchAutoencoder, t: Tensor) -> Tensor:
    """Squared errors [B, 16, h, w] at times t [B, 1, 1, 1] as one number: channels and cells as they count, samples alike."""
    weighted = (error * channel_weights(vae, t) * batch.weight).sum((1, 2, 3))
    return (weighted / (batch.weight.sum((1, 2, 3)) * error.shape[1] + 50)).mean()


def channel_weights(vae: PatchAutoencoder, t: Tensor) -> Tensor:
    """Weights of the channels' errors at times t [B, 1, 1, 1], mean 1: [B, 16, 1, 1].

    Coarse channels carry more of the picture. Near the picture they count by the root of their spread; far in the noise, where
    fine channels cannot be told at all and would only add noise to the gradient, by its square: errors of pixels.
    """
    power = 0.5 + 1.5 * ((t - 0.5) / 0.4).clamp(0, 1)
    weights = vae.latent_std**power
    return weights / weights.mean(1, keepdim=True)


def train_denoiser(
    data: Slices,
    vae: PatchAutoencoder,
    folder: str | Path,
    seconds: float,
    batch: int = 8,
    rate: float = 4e-4,
    widths: tuple[int, ...] = WIDTHS,
    average_decay: float = 0.999,
    floor: float = 0.05,
    seed: int = 0,
    start: str | Path | None = None,
    guided: bool = False,
    moved_by: float = MOVED,
    compiled: bool = False,
    latent_noise: float = 0.0,
) -> UNet2DConditionModel:
    """Trains, resuming from the folder's state, and returns the averaged denoiser, on the CPU.

    Args:
        start: a saved denoiser (a pack's `unet/`) to go on from when the folder has no state yet; see `go_on_from`.
        guided: build a network that takes guidance; `training.distillation` teaches it.
        moved_by: strength of the augmentation.
        compiled: let torch compile the network first: a minute, and worth it on a GPU.
        latent_noise: of the slices that are learned (`draw_batch`), 0 or more.

    Raises:
        MedDiffError: when the state or `start` is of another model, or `start` is no denoiser, or the noise is below 0.
    """
    if not 0 <= latent_noise < math.inf:
        raise MedDiffError(f"Latent noise of {latent_noise:g} standard deviations: give 0 or more (--latent-noise).")
    torch.manual_seed(seed)
    run = Run(folder, seconds)
    device = run.accelerator.device
    model = build_denoiser(widths, guided=guided).to(device, memory_format=torch.channels_last)
    average = Average(model, average_decay)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
    run.keep(model=model, average=average, optimizer=optimizer)
    resumed = run.resume()
    if start is not None and not resumed:
        go_on_from(Path(start), model, average, run)
    # A state has the optimiser's moments and needs no second warm-up. Trained weights come without: the warm-up's 100 steps
    # are the memory of the second moment (beta 0.99), so it is known by the time the rate is full.
    warm = 10_000 if resumed else -run.step
    generator = torch.Generator(device).manual_seed(seed + run.step)
    there, encoder = data.to(device), copy.deepcopy(vae).to(device)
    prepared, optimizer_ = run.accelerator.prepare(model, optimizer)
    network: Any = torch.compile(prepared) if compiled else prepared
    run.descend(
        model,
        optimizer_,
        average,
        lambda gone: learning_rate(rate, run.step + warm, gone, floor=floor),
        lambda: flow_loss(
            network, draw_batch(there, encoder, batch, generator, moved_by, latent_noise), encoder, generator
        ),
        batch,
    )
    write_record(Path(folder) / "unet", run.step, run.samples)
    return average.module.cpu()  # type: ignore[return-value]


def go_on_from(folder: Path, model: UNet2DConditionModel, average: Average, run: Run) -> None:
    """Puts a saved denoiser's weights into a fresh model and its average; the run's counters go on from its record.

    A saved denoiser is the average of its run. Its own count is that run's steps, so that it moves at its full decay and
    is not forgotten within a few steps; weights without a record (`training.json`) count as past the warm-up, from step 0.

    Raises:
        MedDiffError: when the folder holds no denoiser, or one of another size, or a damaged record.
    """
    try:
        weights = UNet2DConditionModel.from_pretrained(folder, local_files_only=True).state_dict()
        model.load_state_dict(weights)
    except (OSError, ValueError, RuntimeError) as error:
        raise MedDiffError(
            f"Training cannot start from {folder}: it holds no denoiser that this recipe builds. "
            "Give the unet folder of a pack or a run (--start)."
        ) from error
    average.module.load_state_dict(weights)
    run.step, run.samples = read_record(folder)
    average.count.fill_(max(run.step, round(10 / (1 - average.decay))))


SHEET = 8  # pictures on a sample sheet


@torch.no_grad()
def sample_sheet(
    model: UNet2DConditionModel,
    data: Slices,
    vae: PatchAutoencoder,
    path: Path,
    prior: HeadPrior | None = None,
    steps: int = STEPS,
    sampler: Sampler | None = None,
) -> None:
    """The same requests after every run, from nothing, outline above picture: whether training helps is seen here first."""
    generator = torch.Generator().manual_seed(0)
    count = min(SHEET, len(data.weight))
    picks = torch.multinomial(data.weight, count, replacement=False, generator=generator)
    outlines = (data.masks[picks] > 127).unsqueeze(1).float()
    everywhere = torch.ones_like(outlines)
    made = []
    for number, pick in enumerate(picks.tolist()):
        row = slice(number, number + 1)
        asked = Conditions(
            data.contexts[pick, 0, :1].float(), outlines[row], everywhere[row], data.clinical[pick : pick + 1]
        )
        said = read_back(asked.context, "plane", [plane.value for plane in Plane])[0]
        head = head_latents(prior, vae, Plane(said), asked.mask, number) if prior is not None else None
        until = prior.config.until if prior is not None else 1.0
        latents = sample_latents(
            torch_denoise(model),
            sampler or solver(SHIFT),
            asked,
            number,
            steps,
            GUIDANCE,
            head=head,
            until=until,
            one_pass=takes_guidance(model),
        )
        made.append(vae.decode(latents) / 2 + 0.5)
    write_sheet(torch.cat([outlines, *made]), path, count)


def add_training(parser: argparse.ArgumentParser, run: str, minutes: float, rate: float) -> None:
    """The arguments that every recipe which trains a denoiser takes; `run`, `minutes` and `rate` are its defaults."""
    add_source(parser)
    add_distinct(parser)
    parser.add_argument("--vae", type=Path, default=Path("checkpoints/brain-t1gd/vae"), help="autoencoder to train on")
    parser.add_argument("--run", type=Path, default=Path(run), help="folder of state, log and result")
    parser.add_argument(
        "--prior",
        type=Path,
        default=Path("runs/prior"),
        help="folder that meddiff train prior wrote (default runs/prior)",
    )
    parser.add_argument(
        "--minutes", type=float, default=minutes, help=f"how long to train in this call (default {minutes:g})"
    )
    parser.add_argument("--rate", type=float, default=rate, help=f"peak learning rate (default {rate:g})")
    parser.add_argument("--batch", type=int, default=8, help="samples a step (default 8)")
    parser.add_argument(
        "--moved", type=float, default=MOVED, help=f"strength of the augmentation, 0 to 1 (default {MOVED})"
    )


def write_result(
    model: UNet2DConditionModel,
    data: Slices,
    vae: PatchAutoencoder,
    args: argparse.Namespace,
    steps: int = STEPS,
    sampler: Sampler | None = None,
) -> None:
    """Writes what such a recipe gives into its run's folder: `unet/` and a sample sheet; `args` of `add_training`."""
    model.save_pretrained(args.run / "unet")
    prior = args.prior / "prior"
    drawn = HeadPrior.from_pretrained(prior).float() if prior.exists() else None
    sample_sheet(model, data, vae, args.run / "sheet.png", drawn, steps, sampler)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `meddiff train denoiser`."""
    add_training(parser, run="runs/denoiser", minutes=90, rate=4e-4)
    parser.add_argument(
        "--start", type=Path, help="denoiser to go on from where the run has no state, e.g. checkpoints/brain-t1gd/unet"
    )
    parser.add_argument(
        "--floor", type=float, default=0.05, help="share of the rate that is left at the end (default 0.05)"
    )
    parser.add_argument(
        "--widths", type=int, nargs="+", default=list(WIDTHS), help=f"of the three levels (default {WIDTHS})"
    )
    parser.add_argument(
        "--latent-noise",
        type=float,
        default=0.0,
        help="noise on the slices that are learned, in standard deviations of the latents, against learning by heart (default 0: none)",
    )
    parser.add_argument(
        "--compile", action="store_true", help="let torch compile the network first (worth it on a GPU)"
    )
    parser.add_argument(
        "--average",
        type=float,
        default=0.999,
        help="decay a step of the averaged weights (default 0.999, the last 1,000 steps; less for a shorter run)",
    )


def main(args: argparse.Namespace) -> int:
    """Trains, resuming, and writes the averaged `unet/` and a sample sheet into the run's folder."""
    vae: PatchAutoencoder = PatchAutoencoder.from_pretrained(args.vae).eval()
    data = training_slices(args.data, args.portable, args.prior, args.distinct)
    assert data.follows is not None
    print(f"{int(data.follows.sum())} of {len(data.weight)} slices have a neighbour that shows the same lesion")
    model = train_denoiser(
        data,
        vae,
        args.run,
        args.minutes * 60,
        batch=args.batch,
        rate=args.rate,
        widths=tuple(args.widths),
        average_decay=args.average,
        floor=args.floor,
        start=args.start,
        guided=takes_guidance_at(args.start),
        moved_by=args.moved,
        compiled=args.compile,
        latent_noise=args.latent_noise,
    )
    write_result(model, data, vae, args)
    return 0


def takes_guidance_at(start: Path | None) -> bool:
    """Whether to build a network that takes guidance: as the one to go on from, and always for a new one."""
    if start is None or not (start / "config.json").exists():
        return True
    return takes_guidance(UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(start)))
