"""What the denoiser is told, as tensors."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

CELL = 8  # pixels along one latent cell
REACH = 4  # pixels by which the encoder's kernel reaches beyond its cell


@dataclass(frozen=True)
class Conditions:
    """Conditions of B samples.

    Attributes:
        context: [B, 16, 128] text tokens; zeros = nothing said.
        mask: [B, 1, H, W] in [0, 1], the lesion's outline; zeros = no lesion, or none told.
        edit: [B, 1, H, W] in [0, 1], where pixels may change; ones = everywhere.
        clinical: [B, 10] clinical values (`conditions.clinical`); zeros = unknown.
    """

    context: Tensor
    mask: Tensor
    edit: Tensor
    clinical: Tensor

    def __post_init__(self) -> None:
        count = len(self.context)
        if not (len(self.mask) == len(self.edit) == len(self.clinical) == count):
            raise ValueError(
                "Conditions of different counts: "
                f"context {count}, mask {len(self.mask)}, edit {len(self.edit)}, clinical {len(self.clinical)}"
            )
        if self.mask.shape != self.edit.shape:
            raise ValueError(f"mask {tuple(self.mask.shape)} and edit {tuple(self.edit.shape)} differ in shape")

    def unconditional(self) -> Conditions:
        """The same place with nothing asked: what classifier-free guidance leads away from (Ho & Salimans, 2022)."""
        return replace(
            self,
            context=torch.zeros_like(self.context),
            mask=torch.zeros_like(self.mask),
            clinical=torch.zeros_like(self.clinical),
        )

    def sample(self, index: int) -> Conditions:
        """The conditions of one sample, counts of 1."""
        pick = slice(index, index + 1)
        return Conditions(self.context[pick], self.mask[pick], self.edit[pick], self.clinical[pick])


def mask_channels(mask: Tensor) -> Tensor:
    """Outline [B, 1, H, W] -> [B, 4, H/8, W/8]: each cell in four quarters, so that small lesions keep their place."""
    return F.pixel_unshuffle(F.avg_pool2d(mask, CELL // 2), 2)


def edit_cells(edit: Tensor) -> Tensor:
    """Edit region [B, 1, H, W] -> [B, 1, H/8, W/8]: 1 where any pixel that the cell's latent depends on may change."""
    reach = F.pad(edit, [REACH] * 4)
    return (F.max_pool2d(reach, CELL + 2 * REACH, stride=CELL) > 0).to(edit.dtype)
