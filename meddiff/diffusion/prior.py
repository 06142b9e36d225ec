"""Where a picture from nothing starts: heads as a Gaussian, one for each plane, in the latent space.

Far in the noise the best prediction of any data is that of a Gaussian with its mean and covariance (Wang and Vastola, *The
Unreasonable Effectiveness of Gaussian Score Approximation for Diffusion Models*, TMLR 2024). So the first stretch of the path
needs no network: a head is drawn from the Gaussian, noise is laid over it, and the denoiser goes on from there. Size, pose and
outline of the head come from here, all that makes a picture of it from the denoiser.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor

from meddiff.case import Plane
from meddiff.diffusion.denoiser import LATENT_CHANNELS
from meddiff.diffusion.flow import mix

PLANES = tuple(Plane)
FIELDS = 8  # the lesion's place is told by how much of each of 8 x 8 fields it covers
RIDGE = 20.0  # slices' worth of doubt about what a lesion's place says of its slice


class HeadPrior(ModelMixin, ConfigMixin):
    """Low-rank Gaussians of whitened latents, given the plane and where the lesion lies.

    Args:
        components: principal components a plane.
        cells: h = w of the latents.
        until: time in (0, 1] at which the denoiser takes over.
    """

    @register_to_config
    def __init__(self, components: int = 64, cells: int = 32, until: float = 0.82) -> None:
        super().__init__()
        planes, shape = len(PLANES), (LATENT_CHANNELS, cells, cells)
        self.mean: Tensor
        self.register_buffer("mean", torch.zeros(planes, *shape))
        self.directions: Tensor
        self.register_buffer("directions", torch.zeros(planes, components, *shape))
        self.rest: Tensor  # spread that the components leave over
        self.register_buffer("rest", torch.ones(planes, LATENT_CHANNELS))
        self.mixing: Tensor  # Cholesky factor of the components' covariance
        self.register_buffer("mixing", torch.zeros(planes, components, components))
        self.given: Tensor  # what a covered field adds
        self.register_buffer("given", torch.zeros(planes, FIELDS**2, components))
        self.usual: Tensor  # mean cover of each field
        self.register_buffer("usual", torch.zeros(planes, FIELDS**2))

    def fit(self, plane: Plane, latents: Tensor, masks: Tensor, weights: Tensor) -> float:
        """Fits one plane.

        Args:
            latents: whitened, [N, 16, h, w].
            masks: [N, 1, H, W] in [0, 1].
            weights: [1, 16, 1, 1], what each channel counts: its spread in the picture.

        Returns:
            the share of the weighted variance that the components carry.
        """
        number = PLANES.index(plane)
        count = min(self.config.components, len(latents) - 1)
        mean = latents.mean(0)
        rows = ((latents - mean) * weights).flatten(1)
        _, _, axes = torch.pca_lowrank(rows, q=count, center=False, niter=4)
        scores = rows @ axes
        fields = cover(masks)
        usual = fields.mean(0)
        seen = fields - usual
        given = torch.linalg.solve(seen.T @ seen + RIDGE * torch.eye(FIELDS**2), seen.T @ scores)
        left = scores - seen @ given
        covariance = left.T @ left / len(left)
        rest = ((rows - scores @ axes.T).view_as(latents) / weights).std((0, 2, 3), correction=0)
        self.mean[number] = mean
        self.directions[number, :count] = (axes.T.view(count, *mean.shape) / weights).contiguous()
        self.rest[number] = rest
        self.mixing[number, :count, :count] = torch.linalg.cholesky(covariance + 1e-4 * torch.eye(count))
        self.given[number, :, :count] = given
        self.usual[number] = usual
        return float(scores.square().sum() / rows.square().sum())

    @torch.inference_mode()
    def start(self, plane: Plane, mask: Tensor, noise: Tensor, generator: torch.Generator) -> Tensor:
        """Latents [1, 16, h, w] at the time `until`, for a lesion outlined by mask [1, 1, H, W] (blank: none told)."""
        number = PLANES.index(plane)
        scores = self.mixing[number] @ torch.randn(self.config.components, generator=generator)
        if mask.any():
            scores = scores + (cover(mask)[0] - self.usual[number]) @ self.given[number]
        head = self.mean[number] + torch.tensordot(scores, self.directions[number], 1)
        rest = torch.randn(head.shape, generator=generator) * self.rest[number].view(-1, 1, 1)
        return mix((head + rest).unsqueeze(0), noise, self.config.until)


def cover(masks: Tensor) -> Tensor:
    """How much of each field outlines [N, 1, H, W] cover, [N, 64] in [0, 1]; a quarter counts as all."""
    return (F.adaptive_avg_pool2d(masks, FIELDS).flatten(1) * 4).clamp(0, 1)
