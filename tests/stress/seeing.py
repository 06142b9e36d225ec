"""Detectors for tests of the lab, importable by the processes that run them."""

import numpy as np

from meddiff.stress.records import Contract, Kind


def left_half(batch: np.ndarray) -> np.ndarray:
    """Boxes of 16 x 16 pixels all over the left half of a picture of 256 x 256, and nowhere else; float32 [N, 128, 5]."""
    tiles = [(x, y, x + 16, y + 16, 1.0) for y in range(0, 256, 16) for x in range(0, 128, 16)]
    return np.repeat(np.array([tiles], np.float32), len(batch), 0)


def brightness(batch: np.ndarray) -> np.ndarray:
    """The mean of each picture as its score, float32 [N, 1]; falls over pictures that are nearly white."""
    mean = batch.mean((1, 2, 3))
    if (mean > 0.9).any():
        raise ValueError("too bright to look at")
    return mean[:, None].astype(np.float32)


left_half.contract = Contract(kind=Kind.BOXES)
brightness.contract = Contract(kind=Kind.CLASSIFIER, threshold=0.4)
