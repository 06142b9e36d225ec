"""How far a made picture is from the nearest slice the denoiser was trained on: too near is a copy, too far is no head.

A picture is described by what the independent finder's second but last level sees, averaged over 4 x 4 fields, in the
whitened principal components of the training slices; the distance is 1 minus the cosine. `check/neighbours.safetensors`
of a pack holds those descriptions, not pictures, and the distances that real slices outside the training set have.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

from meddiff.synthesis.finder import LesionFinder

FILE = "neighbours.safetensors"


@dataclass(frozen=True)
class Neighbours:
    """Descriptions of the training slices.

    Attributes:
        mean: [2048], of `LesionFinder.describe`.
        components: [2048, D], principal components over their spread.
        index: [N, D], unit length, one row a training slice.
        near, far: distances between which nearly all real slices lie that the denoiser was not trained on.
    """

    mean: Tensor
    components: Tensor
    index: Tensor
    near: float
    far: float

    def distance(self, finder: LesionFinder, pictures: np.ndarray) -> np.ndarray:
        """Distance [B] in [0, 2] of pictures [B, 256, 256] in [0, 1], as they are or mirrored, to the nearest training slice."""
        x = torch.as_tensor(pictures, dtype=torch.float32)
        seen = [self.describe(finder.describe(p)) @ self.index.T for p in (x, x.flip(2))]
        return 1 - torch.stack(seen).amax((0, 2)).numpy()

    def describe(self, features: Tensor) -> Tensor:
        """Features [B, 2048] as directions [B, D] of unit length."""
        return F.normalize((features - self.mean) @ self.components, dim=1)

    @staticmethod
    def of(features: Tensor, components: int = 128) -> Neighbours:
        """The index of training slices with these features [N, 2048], without limits: cosines reach no farther."""
        mean = features.mean(0)
        count = min(components, len(features) - 1)
        _, spread, directions = torch.pca_lowrank(features - mean, q=count, center=False, niter=4)
        scaled = directions * (len(features) ** 0.5 / spread.clamp_min(1e-6))
        empty = Neighbours(mean, scaled, torch.empty(0, count), near=0.0, far=2.0)
        return replace(empty, index=empty.describe(features))

    def save(self, folder: Path) -> None:
        """Writes `neighbours.safetensors` into a pack's `check/`, in half precision."""
        tensors = {"mean": self.mean, "components": self.components, "index": self.index}
        half = {name: value.half().contiguous() for name, value in tensors.items()}
        save_file(half | {"limits": torch.tensor([self.near, self.far])}, folder / FILE)

    @staticmethod
    def load(folder: Path) -> Neighbours | None:
        """Those of a pack's `check/`, or None where it has none."""
        if not (folder / FILE).exists():
            return None
        parts = load_file(folder / FILE)
        near, far = parts.pop("limits").tolist()
        return Neighbours(**{name: value.float() for name, value in parts.items()}, near=near, far=far)
