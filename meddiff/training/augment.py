"""Augmentation on whole batches, as training needs it: small affine moves, mirror, gamma and gain, in one resampling.

`imaging.augmentation` is the careful, one-picture form; this is its fast cousin for the inner loop.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def affine_grid(
    count: int, generator: torch.Generator, size: int, degrees: float = 8, scale: float = 0.1, shift: float = 0.04
) -> Tensor:
    """Sampling grids [count, size, size, 2] of small rotations, scalings and shifts, each uniform in +- its bound."""
    device = generator.device
    draw = torch.rand(count, 4, generator=generator, device=device) * 2 - 1
    angle = draw[:, 0] * math.radians(degrees)
    factor = 1 + draw[:, 1] * scale
    theta = torch.zeros(count, 2, 3, device=device)
    theta[:, 0, 0] = theta[:, 1, 1] = factor * angle.cos()
    theta[:, 0, 1] = -factor * angle.sin()
    theta[:, 1, 0] = factor * angle.sin()
    theta[:, :, 2] = draw[:, 2:] * shift * 2
    return F.affine_grid(theta, [count, 1, size, size], align_corners=False)


def augment(
    pictures: Tensor, masks: Tensor, generator: torch.Generator, mirror: Tensor, strength: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Moves and recolours pictures [B, C, H, W] and masks [B, 1, H, W] in [0, 1] together; all on the generator's device.

    Args:
        mirror: bool [B], whether each is flipped left to right (the words must follow: the caller knows).
        strength: scales all bounds; 0 leaves all but the mirror as it is.
    """
    count, size = len(pictures), pictures.shape[-1]
    grid = affine_grid(count, generator, size, 8 * strength, 0.1 * strength, 0.04 * strength)
    both = F.grid_sample(torch.cat([pictures, masks], 1), grid, mode="bilinear", align_corners=False)
    both = torch.where(mirror.view(-1, 1, 1, 1), both.flip(-1), both)
    draw = torch.rand(count, 2, 1, 1, 1, generator=generator, device=generator.device) * 2 - 1
    gamma, gain = torch.exp(draw[:, 0] * 0.2 * strength), torch.exp(draw[:, 1] * 0.1 * strength)
    return (both[:, :-1].clamp(0, 1) ** gamma * gain).clamp(0, 1), both[:, -1:]
