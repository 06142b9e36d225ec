"""Which slices show one head: they are not independent, and an interval that takes them for such is too narrow.

The set names no patients, but its slices run by type, plane and patient (docs/data.md), and those of one head lie side by side.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from meddiff.evaluation.material import Pictures

THUMB = 64  # side of a thumbnail in pixels, 4 of the picture's each
# Correlation from which neighbours count as one head. Over all neighbours of one type and plane in brain_t1gd's train split there are two heaps,
# about 0.5 and about 0.92, with the dip between 0.6 and 0.65; of slices far apart, which are other heads', 6% reach 0.75. Training's
# follow-ups ask for 0.85 and overlapping outlines, since they must be sure; an interval is better too wide than too narrow.
ONE_HEAD = 0.75


def thumbnails(pixels: np.ndarray) -> np.ndarray:
    """Pictures uint8 [N, H, W] as float32 [N, 64, 64], mean 0 and length 1: their product is their correlation."""
    n, h, w = pixels.shape
    small = pixels.reshape(n, THUMB, h // THUMB, THUMB, w // THUMB).mean((2, 4))
    centred = small - small.mean((1, 2), keepdims=True)
    return (centred / (np.linalg.norm(centred, axis=(1, 2), keepdims=True) + 1e-6)).astype(np.float32)


def likeness(pixels: np.ndarray) -> np.ndarray:
    """Correlation of each picture's thumbnail with the next one's; of pictures uint8 [N, H, W], float32 [N - 1]."""
    small = thumbnails(pixels)
    return np.asarray((small[1:] * small[:-1]).sum((1, 2)))


def same_heads(pictures: Pictures) -> np.ndarray:
    """A number for each slice of a set in its order, int [N], rising: those with the same number show one head.

    Neighbours of one type and plane whose pictures are alike (`ONE_HEAD`); of three such in a row the first and the last are joined, too.
    """
    kinds = list(zip(pictures.types, pictures.planes, strict=True))
    alike = np.array([a == b for a, b in pairwise(kinds)], bool)
    return np.concatenate([[0], np.cumsum(~(alike & (likeness(pictures.pixels) >= ONE_HEAD)))]).astype(int)


def noted(note: str, heads: np.ndarray | None) -> str:
    """A figure's note, and that its interval knows these heads, int [N]; the note alone where they are not known."""
    if heads is None:
        return note
    return f"{note} Interval: slices of one head count together ({len(np.unique(heads))} heads).".strip()
