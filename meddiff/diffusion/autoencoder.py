"""The autoencoder: a lapped linear transform carries the picture, a residual network restores what it loses.

An 8x8 block of MR, projected on its first 16 principal components, already gives the picture back at 35 dB; a
convolutional autoencoder trained from scratch needs hours on two cores to get there. So both ends start as
that projection (a strided convolution whose kernels overlap by half, initialised with the components) and only what
a linear map cannot do, deblocking and texture, is left to a network. Residual shortcuts around the ends of an
autoencoder: Chen et al., *Deep Compression Autoencoder*, ICLR 2025; lapped transforms: Malvar, *Signal Processing
with Lapped Transforms*, 1992.

The latents are those of the linear encoder, so a decoder can be trained further without a word to the denoiser.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

BLOCK = 8  # pixels of the picture along one latent cell
OVERLAP = 4  # pixels by which a kernel reaches into each neighbour


class PatchAutoencoder(ModelMixin, ConfigMixin):
    """Picture [B, 1, H, W] in [-1, 1] <-> latents [B, C, H/8, W/8], each channel near zero mean and unit variance.

    Args:
        latent_channels: C.
        width: channels of the residual network at H/8; half of it at H/4.
        blocks: residual blocks at each of the two resolutions.
    """

    @register_to_config
    def __init__(self, latent_channels: int = 16, width: int = 128, blocks: int = 4) -> None:
        super().__init__()
        kernel = BLOCK + 2 * OVERLAP
        self.encoder = nn.Conv2d(1, latent_channels, kernel, stride=BLOCK, padding=OVERLAP)
        self.decoder = nn.ConvTranspose2d(latent_channels, 1, kernel, stride=BLOCK, padding=OVERLAP)
        self.refine = nn.Sequential(
            nn.Conv2d(latent_channels, width, 3, padding=1),
            *(ResidualBlock(width) for _ in range(blocks)),
            nn.Conv2d(width, 2 * width, 3, padding=1),
            nn.PixelShuffle(2),  # [B, width/2, H/4, W/4]
            *(ResidualBlock(width // 2) for _ in range(blocks)),
            nn.Conv2d(width // 2, 16, 3, padding=1),
            nn.PixelShuffle(4),  # [B, 1, H, W]
        )
        last = self.refine[-2]
        assert isinstance(last, nn.Conv2d)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]
        # Latents are whitened by these; fitted with the encoder, part of the weights.
        self.register_buffer("latent_mean", torch.zeros(1, latent_channels, 1, 1))
        self.register_buffer("latent_std", torch.ones(1, latent_channels, 1, 1))

    def encode(self, picture: Tensor) -> Tensor:
        """Picture [B, 1, H, W] in [-1, 1], H and W multiples of 8 -> whitened latents [B, C, H/8, W/8].

        Raises:
            ValueError: when a side is no multiple of 8.
        """
        if picture.shape[-1] % BLOCK or picture.shape[-2] % BLOCK:
            raise ValueError(f"picture {tuple(picture.shape)}: both sides must be multiples of {BLOCK}")
        return (self.encoder(picture) - self.latent_mean) / self.latent_std

    def decode(self, latents: Tensor) -> Tensor:
        """Whitened latents [B, C, h, w] -> picture [B, 1, 8h, 8w], about [-1, 1], not clipped."""
        return self.decoder(latents * self.latent_std + self.latent_mean) + self.refine(latents)

    def forward(self, picture: Tensor) -> Tensor:
        """Reconstruction of a picture, same shape and range."""
        return self.decode(self.encode(picture))

    @torch.no_grad()
    def start_from_components(self, pictures: Tensor) -> None:
        """Sets both linear ends to the first principal components of 8x8 blocks of pictures [N, 1, H, W] in [-1, 1]."""
        channels = self.config["latent_channels"]
        patches = F.unfold(pictures, BLOCK, stride=BLOCK).transpose(1, 2).reshape(-1, BLOCK * BLOCK).double()  # [n, 64]
        mean = patches.mean(0)
        _, vectors = torch.linalg.eigh(torch.cov((patches - mean).T))
        components = vectors.flip(-1)[:, :channels].T.float()  # [C, 64], largest variance first
        kernels = F.pad(components.view(channels, 1, BLOCK, BLOCK), [OVERLAP] * 4)
        self.encoder.weight.copy_(kernels)
        self.decoder.weight.copy_(kernels)
        # The encoder projects the block as it is; the decoder adds what of the mean block lies outside the span.
        mean32 = mean.float()
        self.encoder.bias.zero_()  # type: ignore[union-attr]
        self.decoder.bias.fill_(float((mean32 - components.T @ (components @ mean32)).mean()))  # type: ignore[union-attr]
        self.whiten(pictures)

    @torch.no_grad()
    def whiten(self, pictures: Tensor) -> None:
        """Fits mean and standard deviation of each latent channel on pictures [N, 1, H, W] in [-1, 1]."""
        raw = torch.cat([self.encoder(chunk) for chunk in pictures.split(64)])
        self.latent_mean.copy_(raw.mean((0, 2, 3), keepdim=True))
        self.latent_std.copy_(raw.std((0, 2, 3), keepdim=True))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around a SiLU, added to their input (Lim et al., EDSR, 2017: no normalisation)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """[B, width, h, w] -> the same shape."""
        return x + self.second(F.silu(self.first(F.silu(x))))
