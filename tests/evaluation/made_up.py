"""Material for tests of the parts: made-up heads with a round lesion each, a tiny pack and a finder that know nothing."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from meddiff.case import Conspicuity, Enhancement, Finding, Findings, Margin, MaskSpec, Plane, Region, Request, Side
from meddiff.conditions.prompt import write_sentence
from meddiff.evaluation.heads import same_heads
from meddiff.evaluation.material import Material, Pictures
from meddiff.synthesis.finder import TYPES, LesionFinder
from meddiff.synthesis.neighbours import Neighbours
from meddiff.synthesis.studio import Studio

PLANES = (Plane.AXIAL, Plane.CORONAL, Plane.SAGITTAL)


def disc(centre: tuple[float, float], radius: float, size: int = 256) -> np.ndarray:
    """bool [size, size]."""
    rows, columns = np.mgrid[:size, :size]
    return np.hypot(rows - centre[0], columns - centre[1]) < radius


def finding_of(kind: str) -> Finding:
    """A finding that says all words."""
    return Finding(
        pathology=kind,
        side=Side.LEFT,
        region=Region.FRONTAL,
        enhancement=Enhancement.SOLID,
        margin=Margin.SMOOTH,
        conspicuity=Conspicuity.OBVIOUS,
        size_mm=24,
    )


def heads(count: int, seed: int = 0, lesion: float = 0.35, noise: float = 0.01) -> Pictures:
    """Heads of many shapes, each with a disc `lesion` brighter than its brain, off the midline; types and planes in turn, not together."""
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
    planes = tuple(PLANES[(i + i // 3) % 3] for i in range(count))
    findings = tuple(Findings(plane=plane, finding=finding_of(kind)) for kind, plane in zip(types, planes, strict=True))
    return Pictures(np.stack(pixels), np.stack(outlines), types, planes, findings, 0.98)


def without_lesions(count: int, seed: int) -> np.ndarray:
    """The same heads as `heads` of that seed shows, uint8 [count, 256, 256], without their lesions."""
    return heads(count, seed, lesion=0.0).pixels


def requests_of(pictures: Pictures, studio: Studio) -> tuple[Request, ...]:
    """Completed requests, one for each picture."""
    info = studio.load().info
    return tuple(
        Request(
            sentence=write_sentence(findings),
            findings=findings,
            mask=MaskSpec.from_array(outline),
            seed=i,
            steps=2,
            guidance=2.0,
            precision="fp32",
            pack_sha256=info.sha256,
        )
        for i, (findings, outline) in enumerate(zip(pictures.findings, pictures.outlines, strict=True))
    )


@lru_cache(maxsize=4)
def _judges(train: int) -> tuple[Pictures, LesionFinder, Neighbours]:
    """Real slices to train on, a finder of random weights, and the slices as it knows them."""
    torch.manual_seed(0)
    finder = LesionFinder((8, 16, 32, 48)).eval()
    real = heads(train, 1)
    real = replace(real, heads=same_heads(real))
    index = Neighbours.of(finder.describe(torch.from_numpy(real.unit)))
    return real, finder, Neighbours(index.mean, index.components, index.index, near=0.05, far=1.5)


def material_of(
    folder: Path,
    made: Pictures | None = None,
    twins: np.ndarray | None = None,
    train: int = 28,
    val: int = 20,
    studio: Studio | None = None,
) -> Material:
    """All that a part may look at, of made-up heads: `made` (six, if none are given) for the first val slices, and its twins."""
    made = heads(6, 3) if made is None else made
    twins = without_lesions(len(made), 3) if twins is None else twins
    studio = studio or Studio(precision="fp32")
    real, finder, index = _judges(train)
    held = heads(val, 2)
    held = replace(held, heads=same_heads(held))
    return Material(
        train=real,
        val=held,
        asked=held.take(np.arange(len(made))),
        made=replace(made, heads=held.heads[: len(made)]),
        twins=twins,
        requests=requests_of(made, studio),
        extra=made.take(np.arange(0)),
        studio=studio,
        finder=finder,
        neighbours=index,
        folder=folder,
    )


def told(done: int, of: int, what: str) -> None:
    """Progress that nobody reads; it must count up to its end."""
    assert 0 <= done <= of
