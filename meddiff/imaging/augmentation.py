"""Augmentation that keeps anatomy plausible: the parameters are drawn first and kept, then applied.

Any result can be replayed from its `Augmentation`; the same parameters move picture and outline together.

    drawn = draw(seed=7)
    picture, mask = apply(drawn, picture, mask)
    drawn == Augmentation.model_validate_json(drawn.canonical_json())  # kept beside the result, replayed at will
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from meddiff.case import Record

KNOTS = 6  # control points along a side of the elastic field, 50 mm apart on the pack's grid: lobes bend, gyri do not


@dataclass(frozen=True)
class Bounds:
    """Largest changes; wider ones make heads that nobody has.

    Attributes:
        elastic_px: standard deviation of the control points' shifts. Two pixels (2 mm on the pack's grid) over knots
            50 mm apart stretch tissue by a few per cent and never fold it.
        gamma: |log gamma|. A quarter takes middle grey (0.5) to between 0.41 and 0.58; more looks like another sequence.
        noise: standard deviation, share of the range. Above, grey and white matter merge.
        scale: change along rows and along columns. Heads differ by about a tenth along an axis.
        degrees: rotation. Technologists level a head; it is seldom tilted by more.
    """

    elastic_px: float = 2.0
    gamma: float = 0.25
    noise: float = 0.03
    scale: float = 0.10
    degrees: float = 8.0


class Augmentation(Record):
    """What was drawn; goes to JSON and back without loss.

    Attributes:
        seed: draws the noise and the elastic field again.
        elastic_px: standard deviation of the control points' shifts, in pixels.
        gamma: exponent.
        noise: standard deviation, share of the range.
        scale: factors along rows and columns.
        degrees: rotation.
        mirror: left and right exchanged; the words must follow.
    """

    seed: int
    elastic_px: float = 0.0
    gamma: float = 1.0
    noise: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    degrees: float = 0.0
    mirror: bool = False


def draw(seed: int, bounds: Bounds = Bounds(), mirror: bool = False) -> Augmentation:
    """Draws an augmentation from a seed, each parameter evenly within its bound (gamma: evenly in its logarithm).

    Args:
        mirror: whether left and right may be exchanged, which makes a left lesion a right one.
    """
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
    """Picture [H, W] in [0, 1] and mask [H, W], moved together; the picture's intensities changed too.

    Returns:
        Picture float32 [H, W] in [0, 1], and mask bool [H, W] or None.
    """
    where = sampling(drawn, (picture.shape[0], picture.shape[1]))
    noise = np.random.default_rng([drawn.seed, 2]).normal(0, drawn.noise, picture.shape)
    moved = np.clip(ndimage.map_coordinates(picture, where, order=1, mode="constant"), 0, 1)
    changed = np.clip(moved**drawn.gamma + noise, 0, 1).astype(np.float32)
    outline = None if mask is None else ndimage.map_coordinates(mask.astype(np.float32), where, order=1) > 0.5
    if drawn.mirror:
        changed, outline = changed[:, ::-1].copy(), None if outline is None else outline[:, ::-1].copy()
    return changed, outline


def sampling(drawn: Augmentation, shape: tuple[int, int]) -> np.ndarray:
    """Where each pixel of the result is taken from: rows and columns, float64 [2, H, W]; before the mirror."""
    shifts = np.random.default_rng([drawn.seed, 1]).normal(0, drawn.elastic_px, (2, KNOTS, KNOTS))
    shifts[:, [0, -1], :] = shifts[:, :, [0, -1]] = 0  # the border stays
    elastic = np.stack([ndimage.zoom(part, np.array(shape) / KNOTS, order=3) for part in shifts])
    angle = np.deg2rad(drawn.degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    centre = (np.array(shape)[:, None, None] - 1) / 2
    stretched = (np.indices(shape) - centre) / np.array(drawn.scale)[:, None, None]
    return np.tensordot(turn, stretched, 1) + centre + elastic
