"""Recipe: the atlas of heads a picture from nothing starts from. `meddiff train prior --data DIR`

On `train` slices, lesions left out: slices of a plane are sorted into levels (k-means), those of a level bent onto their mean
(congealing: Learned-Miller, *Data Driven Image Models through Continuous Joint Alignment*, 2006), and means and principal components
kept. Writes the prior, and for each slice the head that the prior would draw for it (`heads.npy`), which the denoiser trains on.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from meddiff.case import MedDiffError, Plane
from meddiff.diffusion.prior import FARTHEST, FEWEST, FIELDS, PLANES, HeadPrior, field, places
from meddiff.training.dataset import BrainSet, load_brain_t1gd

LEVELS = 16  # templates a plane
ROUNDS, MOVES = 3, 24  # of bending all slices of a level onto their mean, and steps in each
BRIGHT = 0.35  # what the 95th percentile of every slice is brought to
HEAD = 128  # pixels along a slice's own head in `heads.npy`


def sorted_into_levels(pictures: Tensor, count: int, fewest: int, rounds: int = 25) -> Tensor:
    """k-means of pictures [N, d]; groups below `fewest` are given up to the others. Returns the group of each, [N]."""
    generator = torch.Generator().manual_seed(0)
    centres = pictures[torch.randperm(len(pictures), generator=generator)[:count]].clone()
    for last in range(rounds + 1):
        nearest = torch.cdist(pictures, centres).argmin(1)
        sizes = torch.bincount(nearest, minlength=len(centres))
        if last >= rounds - 1:
            centres = centres[sizes >= min(fewest, int(sizes.max()))]
            nearest = torch.cdist(pictures, centres).argmin(1)
        centres = torch.stack([pictures[nearest == j].mean(0) for j in range(len(centres)) if (nearest == j).any()])
    return torch.cdist(pictures, centres).argmin(1)


def shared_mean(pictures: Tensor, keep: Tensor) -> Tensor:
    """Mean [1, H, W] of pictures [N, 1, H, W] where keep [N, 1, H, W] is 1; where nobody is kept, that of all."""
    kept = keep.sum(0)
    return torch.where(kept > 0.5, (pictures * keep).sum(0) / kept.clamp_min(0.5), pictures.mean(0))


def bend_together(pictures: Tensor, keep: Tensor, controls: int, template: Tensor | None = None) -> Tensor:
    """Control points [N, 2, g, g] that bend pictures [N, 1, H, W] onto a template [1, H, W].

    Without one, onto the mean of all as they are bent; the points are then [0, 0] on average.
    """
    side = pictures.shape[-1]
    bend = torch.zeros(len(pictures), 2, controls, controls)
    mean = template
    for number in range(ROUNDS):
        bend.requires_grad_(True)
        optimizer = torch.optim.Adam([bend], lr=0.015)
        for step in range(MOVES):
            grid = places(field(bend, side), side)
            bent, kept = (F.grid_sample(x, grid, align_corners=False) for x in (pictures, keep))
            if template is None and step % 8 == 0:
                mean = shared_mean(bent, kept).detach()
            assert mean is not None
            apart = bent - mean
            if number < ROUNDS - 1:  # coarse first
                apart = F.avg_pool2d(apart, 3, 1, 1)
            # Bending is cheap where it is even: first and second differences of the control points are what it costs.
            across, down = bend.diff(dim=-1), bend.diff(dim=-2)
            second = across.diff(dim=-1).square().sum() + down.diff(dim=-2).square().sum()
            twist = across.diff(dim=-2).square().sum()
            cost = 0.5 * (second + twist) + 0.1 * (across.square().sum() + down.square().sum())
            loss = 400 * (apart * kept).square().mean((1, 2, 3)).sum() + cost
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        bend = bend.detach()
        if template is None:
            bend = bend - bend.mean(0, keepdim=True)
    return bend


def components(rows: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Principal directions [count, d] of centred rows [N, d], each as long as its standard deviation, and scores [N, count]."""
    directions, scores = torch.zeros(count, rows.shape[1]), torch.zeros(len(rows), count)
    rank = min(count, len(rows) - 1)
    _, lengths, axes = torch.pca_lowrank(rows, q=rank, center=False, niter=4)
    spread = (lengths / len(rows) ** 0.5).clamp_min(1e-6)
    directions[:rank] = (axes * spread).T
    scores[:, :rank] = (rows @ axes / spread).clamp(-FARTHEST, FARTHEST)
    return directions, scores


def fit_prior(
    data: BrainSet, levels: int = LEVELS, rank: int = 12, size: int = 96, controls: int = 6
) -> tuple[HeadPrior, Tensor]:
    """Fits every plane that the set shows; prints how many slices each template stands for.

    Returns:
        the prior, and the heads uint8 [N, 128, 128] that it would draw for the slices themselves.
    """
    torch.manual_seed(0)  # the decomposition is a randomised one
    prior = HeadPrior(levels * len(PLANES), rank, size, controls)
    heads = torch.zeros(len(data), HEAD, HEAD, dtype=torch.uint8)
    number = 0
    for plane in Plane:
        rows = np.flatnonzero([p is plane for p in data.planes])
        if not len(rows):
            continue
        pictures, masks, keep, gain = _plain(data, rows, size)
        if mirrors := plane is not Plane.SAGITTAL:
            pictures, masks, keep = (torch.cat([x, x.flip(-1)]) for x in (pictures, masks, keep))
            gain = gain.repeat(2)
        covered = F.adaptive_avg_pool2d(F.max_pool2d(masks, 9, 1, 4), FIELDS).flatten(1)
        fewest = FEWEST * 2 if mirrors else FEWEST
        level = sorted_into_levels(F.adaptive_avg_pool2d(pictures * keep, 24).flatten(1), levels, fewest)
        for j in level.unique().tolist():
            ours = torch.where(level == j)[0]
            bend, bent, kept = _bent(pictures[ours], keep[ours], controls)
            mean = shared_mean(bent, kept)
            looks, look_scores = components(((bent - mean) * kept).flatten(1), rank)
            form = bend.mean(0)
            forms, form_scores = components((bend - form).flatten(1), rank)
            prior.plane[number] = PLANES.index(plane)
            prior.count[number] = len(ours)
            prior.mean[number] = mean[0]
            prior.looks[number] = looks.view(rank, size, size)
            prior.form[number] = form
            prior.forms[number] = forms.view(rank, *form.shape)
            logs = gain[ours].log()
            prior.gain[number] = torch.stack([logs.mean(), logs.std(correction=0)])
            prior.where[number] = covered[ours].mean(0)
            own = ours < len(rows)  # the mirror images were company only
            drawn = prior.picture(number, look_scores[own], form_scores[own], gain[ours][own])
            heads[torch.from_numpy(rows)[ours[own]]] = _eight_bits(drawn)
            number += 1
        print(f"{plane.value}: {len(rows)} slices, {len(level.unique())} templates", flush=True)
    return prior, heads


def heads_of(prior: HeadPrior, data: BrainSet) -> Tensor:
    """The heads that a fitted prior would draw for slices it was not fitted on, uint8 [N, 128, 128].

    Each slice is bent onto the template of its plane that it is most like; a plane without templates gives black.
    """
    size, controls = prior.config.size, prior.config.controls
    heads = torch.zeros(len(data), HEAD, HEAD, dtype=torch.uint8)
    for plane in Plane:
        rows = np.flatnonzero([p is plane for p in data.planes])
        known = torch.where(prior.plane == PLANES.index(plane))[0]
        if not len(rows) or not len(known):
            continue
        pictures, _, keep, gain = _plain(data, rows, size)
        apart = (pictures - prior.mean[known].unsqueeze(0)).square() * keep  # [N, templates, H, W]
        nearest = known[apart.mean((2, 3)).argmin(1)]
        for template in nearest.unique().tolist():
            ours = torch.where(nearest == template)[0]
            mean = prior.mean[template].unsqueeze(0)
            bend, bent, kept = _bent(pictures[ours], keep[ours], controls, mean)
            looks = _scores(((bent - mean) * kept).flatten(1), prior.looks[template].flatten(1))
            forms = _scores((bend - prior.form[template]).flatten(1), prior.forms[template].flatten(1))
            drawn = prior.picture(template, looks, forms, gain[ours])
            heads[torch.from_numpy(rows)[ours]] = _eight_bits(drawn)
    return heads


def _bent(
    pictures: Tensor, keep: Tensor, controls: int, template: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Control points found at half the size (`bend_together`), and pictures and what is kept [N, 1, s, s] bent by them."""
    half = None if template is None else F.avg_pool2d(template, 2)
    bend = bend_together(F.avg_pool2d(pictures, 2), F.avg_pool2d(keep, 2), controls, half)
    grid = places(field(bend, pictures.shape[-1]), pictures.shape[-1])
    bent, kept = (F.grid_sample(x, grid, align_corners=False) for x in (pictures, keep))
    return bend, bent, kept


def _eight_bits(drawn: Tensor) -> Tensor:
    """Drawn heads [N, 1, 256, 256] in [0, 1] as uint8 [N, 128, 128]."""
    return (F.avg_pool2d(drawn, 2) * 255).round().byte().squeeze(1)


def _scores(rows: Tensor, directions: Tensor) -> Tensor:
    """Scores [N, r] of rows [N, d] on directions [r, d], in standard deviations; 0 where a direction is unused."""
    return (rows @ directions.T / directions.square().sum(1).clamp_min(1e-6)).clamp(-FARTHEST, FARTHEST)


def _plain(data: BrainSet, rows: np.ndarray, size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Slices at the templates' size and of one brightness, their lesions, what is not lesion [N, 1, s, s], and gains [N]."""
    pictures = torch.from_numpy(data.pictures[rows]).unsqueeze(1).float() / 255
    masks = torch.from_numpy(data.masks[rows] > 127).unsqueeze(1).float()
    pictures, masks = (F.adaptive_avg_pool2d(x, size) for x in (pictures, masks))
    gain = pictures.flatten(1).quantile(0.95, dim=1).clamp_min(1e-3) / BRIGHT
    pictures = (pictures / gain.view(-1, 1, 1, 1)).clamp(0, 1)
    keep = 1 - (F.max_pool2d(masks, 5, 1, 2) > 0.2).float()
    return pictures, masks, keep, gain


def read_heads(path: Path, count: int) -> Tensor:
    """The heads that `meddiff train prior` wrote, uint8 [N, 128, 128].

    Raises:
        MedDiffError: when there are none, or they are of another set.
    """
    try:
        heads = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise MedDiffError(f"The slices' heads {path} cannot be read: run meddiff train prior first.") from error
    if heads.shape != (count, HEAD, HEAD):
        raise MedDiffError(f"{path} holds {len(heads)} heads for {count} slices: run meddiff train prior on this set.")
    return torch.from_numpy(heads)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `meddiff train prior`."""
    parser.add_argument("--data", type=Path, required=True, help="folder of the brain_t1gd set (docs/data.md)")
    parser.add_argument("--run", type=Path, default=Path("runs/prior"), help="folder of the result")


def main(args: argparse.Namespace) -> int:
    """Writes `prior/` and `heads.npy` into the run's folder."""
    prior, heads = fit_prior(load_brain_t1gd(args.data).where("train"))
    args.run.mkdir(parents=True, exist_ok=True)
    with open(args.run / "heads.tmp", "wb") as file:
        np.save(file, heads.numpy())
    os.replace(args.run / "heads.tmp", args.run / "heads.npy")
    prior.half().save_pretrained(args.run / "prior")
    return 0
