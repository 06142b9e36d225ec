"""The denoiser: diffusers' `UNet2DConditionModel` that serves all tasks by its channels.

| input channels | what |
|---|---|
| 16 | noisy latents |
| 4 | lesion outline, a cell in four quarters |
| 1 | edit region: 1 where pixels may change |
| 16 | latents of the known background; inside the edit region those of the head to make a picture of, or 0 |

The sentence comes by cross-attention, the clinical values through the projected class embedding.

A network that **takes guidance** is told in an eleventh clinical value how hard to follow the request, and answers in one pass what
classifier-free guidance needs two for, whose errors it then multiplies (Meng et al., *On Distillation of Guided Diffusion Models*, CVPR 2023).
"""

from __future__ import annotations

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from meddiff.conditions.clinical import CLINICAL_DIM
from meddiff.conditions.codebook import CONTEXT_DIM
from meddiff.conditions.tensors import Conditions, edit_cells, mask_channels

LATENT_CHANNELS = 16
INPUT_CHANNELS = LATENT_CHANNELS + 4 + 1 + LATENT_CHANNELS
LEAST_GUIDANCE, MOST_GUIDANCE = 1.0, 5.0  # that a network which takes guidance is taught


def build_denoiser(
    widths: tuple[int, ...] = (64, 128, 192), sample_size: int = 32, heads: int = 4, guided: bool = False
) -> UNet2DConditionModel:
    """A denoiser with random weights: convolutions only at the first width, attention below; `guided`: it takes guidance."""
    attention = [False] + [True] * (len(widths) - 1)
    return UNet2DConditionModel(
        sample_size=sample_size,
        in_channels=INPUT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        layers_per_block=1,
        block_out_channels=widths,
        down_block_types=tuple("CrossAttnDownBlock2D" if a else "DownBlock2D" for a in attention),
        up_block_types=tuple("CrossAttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attention)),
        cross_attention_dim=CONTEXT_DIM,
        attention_head_dim=heads,
        norm_num_groups=16,
        class_embed_type="projection",
        projection_class_embeddings_input_dim=CLINICAL_DIM + guided,
    )


def takes_guidance(model: torch.nn.Module) -> bool:
    """Whether a denoiser is told how hard to follow the request."""
    return int(getattr(model, "config", {}).get("projection_class_embeddings_input_dim", 0)) > CLINICAL_DIM


def with_guidance(clinical: Tensor, guidance: Tensor | float) -> Tensor:
    """Clinical values [B, 10] and the guidance, [B, 11]: 0 where it is 1 (as trained), 1 at the most that is taught.

    Args:
        guidance: one for all, or [B]; between `LEAST_GUIDANCE` and `MOST_GUIDANCE`.
    """
    strength = torch.as_tensor(guidance, dtype=clinical.dtype, device=clinical.device)
    code = (strength - LEAST_GUIDANCE) / (MOST_GUIDANCE - LEAST_GUIDANCE)
    return torch.cat([clinical, code.expand(len(clinical)).unsqueeze(1)], dim=1)


def fixed_channels(conditions: Conditions, background: Tensor | None, head: Tensor | None = None) -> Tensor:
    """The input channels that stay the same at every step, [B, 21, h, w].

    Args:
        background: whitened latents [B, 16, h, w] of the known picture, or None: everything is to be made.
        head: whitened latents [B, 16, h, w] of a head without texture (`diffusion.prior`) to follow where
            pixels may change, or None.
    """
    outline = mask_channels(conditions.mask)
    cells = edit_cells(conditions.edit)
    if background is None:
        background = torch.zeros(len(outline), LATENT_CHANNELS, *outline.shape[-2:])
    shown = background.to(outline) * (1 - cells)
    if head is not None:
        shown = shown + head.to(outline) * cells
    return torch.cat([outline, cells, shown], dim=1)
