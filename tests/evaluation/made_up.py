"""Material for tests of the parts: phantom heads with a lesion each, and a tiny pack that knows nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from meddiff.case import Finding, Findings, MaskSpec, Plane, Request
from meddiff.evaluation.material import Material, Pictures
from meddiff.synthesis.finder import TYPES, LesionFinder
from meddiff.synthesis.neighbours import Neighbours
from meddiff.synthesis.studio import Studio


def heads(count: int, seed: int, lesion: float = 0.35, noise: float = 0.01) -> Pictures:
    """Heads of many shapes, each with a round lesion `lesion` brighter than its brain, off the midline; no plane is sagittal."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:256, :256] / 256 - 0.5
    pixels, outlines = [], []
    for _ in range(count):
        height, width = rng.uniform(0.3, 0.4), rng.uniform(0.26, 0.34)
        radius = np.hypot(rows / height, columns / width)
        picture = np.where(radius < 1, rng.uniform(0.3, 0.4), 0.0)
        picture[(radius > 0.92) & (radius < 1)] = 0.8
        picture[np.hypot((rows - rng.uniform(-0.05, 0.05)) / 0.1, columns / 0.05) < 1] = 0.1
        x, y = rng.uniform(0.09, 0.14) * rng.choice([-1, 1]), rng.uniform(-0.12, 0.12)
        outline = np.hypot(rows - y, columns - x) < rng.uniform(0.03, 0.06)
        picture[outline] += lesion
        picture += rng.normal(0, noise, picture.shape) * (radius < 1)
        pixels.append(np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8))
        outlines.append(outline)
    types = tuple(TYPES[i % 3] for i in range(count))
    planes = tuple((Plane.AXIAL, Plane.CORONAL)[i % 2] for i in range(count))
    findings = tuple(
        Findings(plane=plane, finding=Finding(pathology=kind)) for kind, plane in zip(types, planes, strict=True)
    )
    return Pictures(np.stack(pixels), np.stack(outlines), types, planes, findings, 0.98)


def without_lesions(count: int, seed: int) -> np.ndarray:
    """The same heads as `heads` of that seed shows, uint8 [count, 256, 256], without their lesions."""
    return heads(count, seed, lesion=0.0).pixels


def material(folder: Path, made: Pictures, twins: np.ndarray, train: int = 28, val: int = 20) -> Material:
    """Material of made-up heads: `made` for the first val slices; the finder has random weights, as the tiny pack's."""
    torch.manual_seed(0)
    finder = LesionFinder((8, 16, 32, 48)).eval()
    real = heads(train, 1)
    index = Neighbours.of(finder.describe(torch.from_numpy(real.unit)))
    index = Neighbours(index.mean, index.components, index.index, near=0.05, far=1.5)
    held = heads(val, 2)
    asked = held.take(np.arange(len(made)))
    requests = tuple(
        Request(sentence="axial T1 post-contrast, glioma", mask=MaskSpec.from_array(o), seed=i, steps=2, findings=f)
        for i, (o, f) in enumerate(zip(made.outlines, made.findings, strict=True))
    )
    return Material(
        real, held, asked, made, twins, requests, made.take(np.arange(0)), Studio(precision="fp32"), finder, index, folder
    )  # fmt: skip


def told(done: int, of: int, what: str) -> None:
    """Progress that nobody reads; it must count up to its end."""
    assert 0 <= done <= of
