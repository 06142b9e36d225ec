"""The pipeline owns the sampling loop and nothing else; every component is a folder of the pack."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from diffusers import DiffusionPipeline, UNet2DConditionModel
from torch import Tensor

from meddiff.case import Plane
from meddiff.conditions.tensors import Conditions, edit_cells
from meddiff.conditions.text import Resampler, TextEncoder
from meddiff.diffusion.autoencoder import BLOCK, PatchAutoencoder
from meddiff.diffusion.denoiser import (
    LATENT_CHANNELS,
    LEAST_GUIDANCE,
    MOST_GUIDANCE,
    fixed_channels,
    takes_guidance,
    with_guidance,
)
from meddiff.diffusion.flow import Sampler, direction, mix, path
from meddiff.diffusion.precision import Denoise, torch_denoise
from meddiff.diffusion.prior import HeadPrior

Progress = Callable[[int, int], None]

AROUND = 0.82  # time at which an edit region filled with what surrounds it is handed to the denoiser
APART = 2**40  # between the seeds of a sample's noise and of its head


class MedDiffPipeline(DiffusionPipeline):
    """Conditions and seeds in, pictures out. `MedDiffPipeline.from_pretrained(checkpoints/<pack>)` loads it.

    `denoise` may be exchanged for the same network at another precision (`diffusion.precision`).
    """

    _optional_components = ["prior"]  # noqa: RUF012, diffusers' own way to say it

    def __init__(
        self,
        vae: PatchAutoencoder,
        unet: UNet2DConditionModel,
        scheduler: Sampler,
        text_encoder: torch.nn.Module,
        tokenizer: object,
        resampler: Resampler,
        prior: HeadPrior | None = None,
    ) -> None:
        super().__init__()
        self.register_modules(
            vae=vae,
            unet=unet,
            scheduler=scheduler,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            resampler=resampler,
            prior=prior.float() if prior is not None else None,  # stored in half precision
        )
        self.denoise: Denoise = torch_denoise(unet)
        self.text = TextEncoder(tokenizer, text_encoder, resampler)

    @torch.inference_mode()
    def __call__(
        self,
        conditions: Conditions,
        seeds: Sequence[int],
        steps: int = 16,
        guidance: float = 2.0,
        background: Tensor | None = None,
        progress: Progress | None = None,
        plane: Plane | None = None,
        start: Tensor | None = None,
        begin: float = AROUND,
        place: Tensor | None = None,
    ) -> Tensor:
        """Makes one picture a seed.

        Args:
            conditions: of B samples, at the pack's size H x W.
            seeds: B seeds; each sample's noise is drawn on the CPU from its own, whatever the batch.
            steps: passes along the flow.
            guidance: 1 follows the conditions as trained; more follows them harder (classifier-free guidance).
            background: known pictures [B, 1, H, W] in [0, 1], kept outside the edit region, or None.
            progress: called as (passes done, passes in all).
            plane: whose heads the pack's prior shall draw from; None, and no background: noise alone, no head to follow.
            start: pictures [B, 1, H, W] in [0, 1], what the edit region of a background shall be made from; None: from what surrounds it.
            begin: time in (0, 1] at which that start is lost in noise: the less, the more of it stays, and the fewer the passes.
            place: masks [B, 1, H, W], where a lesion will lie that is not drawn yet, so that heads have room for it; None: the outlines.

        Returns:
            pictures [B, 1, H, W] in [0, 1]. Outside the edit region they are the background as the autoencoder sees
            it; the caller lays the exact background pixels over them.
        """
        if len(seeds) != len(conditions.context):
            raise ValueError(f"{len(seeds)} seeds for {len(conditions.context)} conditions")
        pictures = []
        for index, seed in enumerate(
            seeds
        ):  # one by one: a sample must not depend on its batch, and a CPU gains nothing
            one = slice(index, index + 1)
            known = None if background is None else self._latents(background[one])
            outline = conditions.mask[one] if place is None else place[one]
            done = index * steps
            latents = sample_latents(
                self.denoise,
                self.scheduler,
                conditions.sample(index),
                seed,
                steps,
                guidance,
                known,
                self.head(plane, outline, seed) if plane and known is None else None,
                self.prior.config.until if self.prior is not None else 1.0,
                _counted(progress, done, len(seeds) * steps) if progress else None,
                None if start is None else self._latents(start[one]),
                begin,
                takes_guidance(self.unet),
            )
            pictures.append(self.vae.decode(latents.to(self._dtype)).float() / 2 + 0.5)
        return torch.cat(pictures).clamp(0, 1).clone()

    def head(self, plane: Plane, mask: Tensor, seed: int) -> Tensor | None:
        """Whitened latents [1, 16, h, w] of the head that a sample of this seed follows; None when the pack has no prior."""
        if self.prior is None:
            return None
        return head_latents(self.prior, self.vae, plane, mask, seed + APART)

    def _latents(self, pictures: Tensor) -> Tensor:
        """Whitened latents [B, 16, h, w] of pictures [B, 1, H, W] in [0, 1]."""
        return self.vae.encode(pictures.to(self._dtype) * 2 - 1).float()

    @property
    def _dtype(self) -> torch.dtype:
        return self.vae.encoder.weight.dtype


@torch.inference_mode()
def head_latents(prior: HeadPrior, vae: PatchAutoencoder, plane: Plane, mask: Tensor, seed: int) -> Tensor:
    """Whitened latents [1, 16, h, w] of the head that a prior draws from a seed for mask [1, 1, 256, 256]."""
    picture = prior.draw(plane, mask, torch.Generator().manual_seed(seed))
    return vae.encode(picture.to(vae.encoder.weight.dtype) * 2 - 1).float()


@torch.inference_mode()
def sample_latents(
    denoise: Denoise,
    scheduler: Sampler,
    asked: Conditions,
    seed: int,
    steps: int,
    guidance: float,
    known: Tensor | None = None,
    head: Tensor | None = None,
    until: float = 1.0,
    progress: Callable[[int], None] | None = None,
    start: Tensor | None = None,
    begin: float = AROUND,
    one_pass: bool = False,
) -> Tensor:
    """Whitened latents [1, 16, h, w] of one sample, from its own noise.

    Args:
        scheduler: names the solver and its settings; it is not changed.
        known: latents [1, 16, h, w] of the background, or None.
        head: latents [1, 16, h, w] of the head to follow, or None. With a background the start is what surrounds the edit
            region; with a head it is the head; with neither it is noise alone.
        until: how far a head is lost in noise at the start, in (0, 1].
        progress: called with the passes done.
        start: latents [1, 16, h, w] that the edit region of a background is made from; None: what surrounds it.
        begin: time at which such a start is lost in noise, in (0, 1]. Passes are as dense as from `AROUND`, so that there are fewer
            (Meng et al., SDEdit, 2022).
        one_pass: the network takes guidance itself, in the range that it was taught; else two passes a step are guided.
    """
    height, width = (side // BLOCK for side in asked.mask.shape[-2:])
    generator = torch.Generator().manual_seed(seed)
    x = noise = torch.randn(1, LATENT_CHANNELS, height, width, generator=generator)
    cells = edit_cells(asked.edit)
    if known is not None and start is not None:
        steps = passes(steps, begin)
        x = mix(start, noise, begin)
    elif known is not None:
        begin = AROUND
        x = mix(filled(known, cells), noise, begin)
    elif head is not None:
        begin = until
        x = mix(head, noise, begin)
    else:
        begin = 1.0
    alone = guidance == 1 or (one_pass and LEAST_GUIDANCE <= guidance <= MOST_GUIDANCE)
    both = [asked] if alone else [asked, asked.unconditional()]
    fixed = torch.cat([fixed_channels(c, known, head) for c in both])  # [2, 21, h, w]
    context = torch.cat([c.context for c in both])
    clinical = torch.cat([c.clinical for c in both])
    if one_pass:
        clinical = with_guidance(clinical, guidance if alone else LEAST_GUIDANCE)

    solver = path(scheduler, steps, begin)
    for step, (t, tick) in enumerate(zip(solver.sigmas.tolist()[:-1], solver.timesteps, strict=True)):
        if known is not None:  # what is known is known at every noise level (Lugmayr et al., RePaint, 2022)
            x = torch.where(cells > 0, x, mix(known, noise, t))
        out = denoise(torch.cat([x.expand(len(both), -1, -1, -1), fixed], 1), t * 1000, context, clinical)
        if not alone:
            out = out[1:] + guidance * (out[:1] - out[1:])
        x = solver.step(direction(x, out, t), tick, x, generator=generator, return_dict=False)[0]
        if progress:
            progress(step + 1)
    return x if known is None else torch.where(cells > 0, x, known)


def passes(steps: int, begin: float) -> int:
    """Passes of a sample that starts at the time `begin`, of one that takes `steps` from `AROUND`: 2 at least."""
    return max(2, round(steps * begin / AROUND))


def filled(known: Tensor, cells: Tensor, reach: int = 7) -> Tensor:
    """Latents [1, 16, h, w] whose open cells (1 in cells [1, 1, h, w]) hold the mean of the known ones within `reach` cells."""
    kept = 1 - cells
    around = [F.avg_pool2d(x, 2 * reach + 1, 1, reach) for x in (known * kept, kept)]
    return torch.where(cells > 0, around[0] / around[1].clamp_min(1e-3), known)


def _counted(progress: Progress, done: int, total: int) -> Callable[[int], None]:
    """Progress of one sample as progress of all."""
    return lambda step: progress(done + step, total)
