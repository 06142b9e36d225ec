"""The critic of the adversarial recipe: a U-Net that says of every pixel what it shows, or that it was made.

Its classes are those of a segmentation, no lesion and each trained type, and one more for made pixels: Schönfeld et al., *You Only Need
Adversarial Supervision for Semantic Image Synthesis*, ICLR 2021. So a picture pleases it only where texture is that of real slices, where a
lesion of the type asked lies inside the outline, and where none lies elsewhere. A second head reads the request back from the picture
(size, conspicuity, rim and margin are nowhere in the classes): Odena et al., *Auxiliary Classifier GANs*, ICML 2017. It learns from real slices alone.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from meddiff.conditions.codebook import CONTEXT_DIM, TOKENS
from meddiff.synthesis.finder import TYPES

NO_LESION, MADE = 0, 1 + len(TYPES)  # classes; between them the types in the finder's order
FOLD = 2  # pixels of a side in one place of the critic's map
MOST_RARE = 20.0  # how much more a pixel of a rare class counts, at most


WIDTHS = (64, 96, 160, 256, 256)


def conv(inputs: int, outputs: int, kernel: int = 3) -> nn.Module:
    """A convolution of bounded gain (Miyato et al., *Spectral Normalization*, ICLR 2018)."""
    return spectral_norm(nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2))


class Block(nn.Module):
    """Two convolutions beside a shortcut, [B, inputs, h, w] -> [B, outputs, h, w]."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first, self.second = conv(inputs, outputs), conv(outputs, outputs)
        self.short = conv(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """As the class says."""
        return self.short(x) + self.second(F.leaky_relu(self.first(F.leaky_relu(x, 0.2)), 0.2))


class Critic(nn.Module):
    """Picture [B, 1, H, W] in [-1, 1] -> logits of the classes [B, 2 + types, H/2, W/2] and the context read back [B, 16, 128].

    Args:
        widths: channels of the levels, each half the resolution of the one before.
    """

    def __init__(self, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        self.first = conv(FOLD * FOLD, widths[0])
        self.down = nn.ModuleList(Block(a, b) for a, b in zip((widths[0], *widths), widths, strict=False))
        self.up = nn.ModuleList(
            Block(below + here, here) for below, here in zip(widths[:0:-1], widths[-2::-1], strict=True)
        )
        self.last = conv(widths[0], MADE + 1, 1)
        self.said = nn.Sequential(nn.Linear(2 * widths[-1], 512), nn.SiLU(), nn.Linear(512, TOKENS * CONTEXT_DIM))

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """As the class says."""
        x = self.first(F.pixel_unshuffle(picture, FOLD))
        kept: list[Tensor] = []
        for number, block in enumerate(self.down):
            x = block(x if number == 0 else F.avg_pool2d(x, 2))
            kept.append(x)
        said = self.said(torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1)).view(-1, TOKENS, CONTEXT_DIM)
        for block, beside in zip(self.up, kept[-2::-1], strict=True):
            x = block(torch.cat([F.interpolate(x, scale_factor=2.0, mode="nearest"), beside], 1))
        return self.last(F.leaky_relu(x, 0.2)), said


def classes_of(masks: Tensor, types: Tensor) -> Tensor:
    """The class of every place of the critic's map, long [B, H/2, W/2].

    Args:
        masks: [B, 1, H, W] in [0, 1], the lesion; zeros where there is none.
        types: long [B], of the finder's `TYPES`.
    """
    inside = F.avg_pool2d(masks, FOLD).squeeze(1) > 0.5
    return torch.where(inside, (types + 1).view(-1, 1, 1), torch.zeros_like(types).view(-1, 1, 1))


def class_error(logits: Tensor, classes: Tensor, where: Tensor, rarity: Tensor) -> Tensor:
    """Mean cross-entropy over the places that count; rare classes count more, so that a small lesion is not lost in a head.

    Args:
        logits: [B, C, h, w].
        classes: long [B, h, w].
        where: [B, h, w] in [0, 1], what counts.
        rarity: [B, h, w] weights of the places (`rarity_of` the classes that the picture shows).
    """
    error = F.cross_entropy(logits.float(), classes, reduction="none")
    return (error * where * rarity).sum() / (where * rarity).sum().clamp_min(1.0)


def rarity_of(classes: Tensor) -> Tensor:
    """Weights [B, h, w] of the places of a batch: those of a class together as much as those of any other, at most `MOST_RARE` each."""
    counts = torch.bincount(classes.flatten(), minlength=MADE).clamp_min(1).float()
    there = (counts > 1).sum()
    return (classes.numel() / (there * counts)).clamp_max(MOST_RARE)[classes]
