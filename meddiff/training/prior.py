"""Recipe: the Gaussian heads a picture from nothing starts from. `meddiff train prior --data DIR --vae runs/autoencoder/vae`

Closed form, a minute: mean, principal components and what a lesion's place says of its slice, on `train` slices that are
moved a little, so that no component is one patient's.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from meddiff.case import Plane
from meddiff.diffusion.autoencoder import PatchAutoencoder
from meddiff.diffusion.prior import HeadPrior
from meddiff.training.augment import augment
from meddiff.training.dataset import BrainSet, load_brain_t1gd

ROUNDS = 2  # how often each slice is moved and encoded
STRENGTH = 0.3  # of the full augmentation
CHUNK = 64


@torch.no_grad()
def encoded(data: BrainSet, vae: PatchAutoencoder, plane: Plane, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Latents [N, 16, h, w] and outlines [N, 1, 256, 256] of a plane's slices, moved and, where that can be, mirrored."""
    generator = torch.Generator().manual_seed(seed)
    rows = np.flatnonzero([p is plane for p in data.planes])
    latents, masks = [], []
    for picks in np.array_split(np.tile(rows, ROUNDS), max(1, ROUNDS * len(rows) // CHUNK)):
        pictures = torch.from_numpy(data.pictures[picks]).unsqueeze(1).float() / 255
        outlines = torch.from_numpy(data.masks[picks] > 127).unsqueeze(1).float()
        mirror = (torch.rand(len(picks), generator=generator) < 0.5) & (plane is not Plane.SAGITTAL)
        moved, outlines = augment(pictures, outlines, generator, mirror, STRENGTH)
        latents.append(vae.encode(moved * 2 - 1))
        masks.append(F.adaptive_avg_pool2d(outlines, 64))
    return torch.cat(latents), torch.cat(masks)


def fit_prior(data: BrainSet, vae: PatchAutoencoder, components: int = 64) -> HeadPrior:
    """Fits every plane that the set shows and prints how much of its variance the components carry."""
    torch.manual_seed(0)  # the decomposition is a randomised one
    prior = HeadPrior(components=components)
    for plane in Plane:
        if plane in data.planes:
            latents, masks = encoded(data, vae, plane)
            share = prior.fit(plane, latents, masks, vae.latent_std)
            print(f"{plane.value}: {len(latents)} slices, {components} components carry {share:.0%}")
    return prior


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `meddiff train prior`."""
    parser.add_argument("--data", type=Path, required=True, help="folder of the brain_t1gd set (docs/data.md)")
    parser.add_argument("--vae", type=Path, default=Path("checkpoints/brain-t1gd/vae"), help="autoencoder it is for")
    parser.add_argument("--run", type=Path, default=Path("runs/prior"), help="folder of the result")


def main(args: argparse.Namespace) -> int:
    """Writes `prior/` into the run's folder."""
    vae: PatchAutoencoder = PatchAutoencoder.from_pretrained(args.vae).eval()
    prior = fit_prior(load_brain_t1gd(args.data).where("train"), vae)
    prior.half().save_pretrained(args.run / "prior")
    return 0
