"""The independent lesion finder: a small U-Net that outlines the lesion and names its type.

It is trained on real images only and never sees a synthetic one, so that it can judge what the denoiser
made. U-Net: Ronneberger et al., 2015. Loaded from a pack's `check/` folder.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

FOLD = 4
TYPES = ("meningioma", "glioma", "pituitary_tumor")


@dataclass(frozen=True)
class Found:
    """What the finder sees: lesion probability [B, H, W] and probability of each of `TYPES` [B, 3]."""

    mask_probability: np.ndarray
    type_probability: np.ndarray

    def mask(self, threshold: float = 0.5) -> np.ndarray:
        """Outlines, bool [B, H, W]."""
        return self.mask_probability >= threshold


class LesionFinder(ModelMixin, ConfigMixin):
    """Picture [B, 1, 256, 256] in [0, 1] -> lesion logits at half resolution [B, 1, 128, 128] and type logits [B, 3]."""

    @register_to_config
    def __init__(self, widths: tuple[int, ...] = (32, 64, 128, 192), types: tuple[str, ...] = TYPES) -> None:
        super().__init__()
        self.down = nn.ModuleList(
            Twice(before, width) for before, width in zip((FOLD**2, *widths[:-1]), widths, strict=True)
        )
        self.up = nn.ModuleList(
            Twice(below + width, width) for below, width in zip(widths[:0:-1], widths[-2::-1], strict=True)
        )
        self.outline = nn.Sequential(nn.Conv2d(widths[0], 4, 3, padding=1), nn.PixelShuffle(2))
        self.kind = nn.Sequential(nn.Linear(2 * widths[-1], 64), nn.SiLU(), nn.Dropout(0.2), nn.Linear(64, len(types)))

    def levels(self, picture: Tensor) -> list[Tensor]:
        """What each level of the way down sees: [B, 32, 64, 64], [B, 64, 32, 32], [B, 128, 16, 16], [B, 192, 8, 8]."""
        # Contrast of each picture by itself: gain differs between scanners and means nothing.
        mean = picture.mean((1, 2, 3), keepdim=True)
        x = (picture - mean) / (picture.std((1, 2, 3), keepdim=True) + 1e-3)
        x = F.pixel_unshuffle(x, FOLD)  # [B, 16, 64, 64]: whole pictures in quarter the work
        seen = []
        for level, block in enumerate(self.down):
            x = block(F.max_pool2d(x, 2) if level else x)
            seen.append(x)
        return seen

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        skips = self.levels(picture)
        deepest = skips.pop()  # [B, 192, 8, 8]
        x = deepest
        for block in self.up:
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = block(torch.cat([x, skips.pop()], dim=1))
        outline = self.outline(x)
        # The type is read where the outline is, and from the whole picture beside it.
        where = F.adaptive_avg_pool2d(outline.detach().sigmoid(), (deepest.shape[-2], deepest.shape[-1]))
        there = (deepest * where).sum((2, 3)) / (where.sum((2, 3)) + 1e-2)
        return outline, self.kind(torch.cat([there, deepest.mean((2, 3))], dim=1))

    @torch.inference_mode()
    def describe(self, pictures: Tensor, batch: int = 16) -> Tensor:
        """Features [B, 2048] of pictures [B, 256, 256] in [0, 1]: the last level but one, averaged over 4 x 4 fields."""
        chunks = pictures.unsqueeze(1).split(batch)
        return torch.cat([F.adaptive_avg_pool2d(self.levels(chunk)[-2], 4).flatten(1) for chunk in chunks])

    @torch.inference_mode()
    def find(self, pictures: np.ndarray | Tensor, batch: int = 16) -> Found:
        """Looks at pictures [B, 256, 256] in [0, 1].

        Raises:
            ValueError: for another shape.
        """
        x = torch.as_tensor(pictures, dtype=torch.float32)
        if x.ndim != 3 or x.shape[1:] != (256, 256):
            raise ValueError(f"pictures {tuple(x.shape)}: the finder takes [B, 256, 256]")
        masks, types = [], []
        for chunk in x.unsqueeze(1).split(batch):
            # Seen twice, as it is and in the mirror: what both agree on is steadier (it was trained on both).
            outline, kind = self(torch.cat([chunk, chunk.flip(3)]).to(self.device))
            outline = F.interpolate(outline, scale_factor=2, mode="bilinear", align_corners=False).sigmoid()
            seen, mirrored = outline.cpu().chunk(2)
            masks.append((seen + mirrored.flip(3)).squeeze(1) / 2)
            types.append(torch.stack(kind.softmax(-1).cpu().chunk(2)).mean(0))
        return Found(torch.cat(masks).numpy(), torch.cat(types).numpy())

    @classmethod
    def load(cls, folder: str | Path) -> LesionFinder:
        """The finder of a pack, in evaluation mode."""
        return cast(LesionFinder, cls.from_pretrained(folder).eval())


class Twice(nn.Sequential):
    """Convolution, group norm, SiLU; twice."""

    def __init__(self, before: int, width: int) -> None:
        super().__init__(
            nn.Conv2d(before, width, 3, padding=1, bias=False),
            nn.GroupNorm(8, width),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.GroupNorm(8, width),
            nn.SiLU(),
        )
