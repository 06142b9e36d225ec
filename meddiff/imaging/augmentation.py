"""Augmentation that keeps anatomy plausible: the parameters are drawn first and kept, then applied.

Any result can be replayed from its `Augmentation`; the same parameters move picture and outline together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

GRID = 6  # control points along a side of the elastic field


@dataclass(frozen=True)
class Bounds:
    """Largest changes; wider ones make heads that nobody has."""

    elastic_px: float = 4.0  # a skull does not bend by more without looking broken
    gamma: float = 0.25  # |log gamma|
    noise: float = 0.03  # of the range; above, grey and white matter merge
    scale: float = 0.10  # heads differ by about a tenth along an axis
    degrees: float = 8.0


@dataclass(frozen=True)
class Augmentation:
    """What was drawn.

    Attributes:
        seed: draws the noise and the elastic field again.
        elastic_px: standard deviation of the control points' shifts.
        gamma: exponent.
        noise: standard deviation, share of the range.
        scale: factors along rows and columns.
        degrees: rotation.
        mirror: left and right exchanged; words must follow.
    """

    seed: int
    elastic_px: float
    gamma: float
    noise: float
    scale: tuple[float, float]
    degrees: float
    mirror: bool = False


def draw(seed: int, bounds: Bounds = Bounds(), mirror: bool = False) -> Augmentation:
    """Draws an augmentation from a seed."""
    rng = np.random.default_rng(seed)
    return Augmentation(
        seed=seed,
        elastic_px=float(rng.uniform(0, bounds.elastic_px)),
        gamma=float(np.exp(rng.uniform(-bounds.gamma, bounds.gamma))),
        noise=float(rng.uniform(0, bounds.noise)),
        scale=(
            float(1 + rng.uniform(-bounds.scale, bounds.scale)),
            float(1 + rng.uniform(-bounds.scale, bounds.scale)),
        ),
        degrees=float(rng.uniform(-bounds.degrees, bounds.degrees)),
        mirror=bool(mirror and rng.random() < 0.5),
    )


def apply(
    drawn: Augmentation, picture: np.ndarray, mask: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Picture [H, W] in [0, 1] and mask [H, W], moved together; the picture's intensities changed too."""
    rng = np.random.default_rng([drawn.seed, 1])
    shape = np.array(picture.shape)
    shifts = rng.normal(0, drawn.elastic_px / 2, (2, GRID, GRID))
    shifts[:, [0, -1], :] = shifts[:, :, [0, -1]] = 0  # the border stays
    field = [ndimage.zoom(part, shape / GRID, order=3) for part in shifts]
    angle = np.deg2rad(drawn.degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / np.array(drawn.scale)[:, None]
    centre = (shape - 1) / 2
    rows, columns = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    where = (
        np.tensordot(turn, np.stack([rows - centre[0], columns - centre[1]]), 1)
        + centre[:, None, None]
        + np.stack(field)
    )
    moved = np.clip(ndimage.map_coordinates(picture, where, order=1, mode="constant"), 0, 1)
    changed = np.clip(moved**drawn.gamma + rng.normal(0, drawn.noise, picture.shape), 0, 1).astype(np.float32)
    outline = None if mask is None else ndimage.map_coordinates(mask.astype(np.float32), where, order=1) > 0.5
    if drawn.mirror:
        changed, outline = changed[:, ::-1].copy(), None if outline is None else outline[:, ::-1].copy()
    return changed, outline
