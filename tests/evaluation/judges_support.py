"""Made-up material for the parts that judge: phantom heads with a disc for a lesion, a random pack, a random finder."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from meddiff.case import Conspicuity, Enhancement, Finding, Findings, Margin, MaskSpec, Plane, Region, Request, Side
from meddiff.conditions.prompt import write_sentence
from meddiff.evaluation.material import Material, Pictures
from meddiff.synthesis.finder import TYPES, LesionFinder
from meddiff.synthesis.neighbours import Neighbours
from meddiff.synthesis.studio import Studio
from tests.conftest import make_phantom

PLANES = (Plane.AXIAL, Plane.CORONAL, Plane.SAGITTAL)


def disc(centre: tuple[float, float], radius: float, size: int = 256) -> np.ndarray:
    """bool [size, size]."""
    rows, columns = np.mgrid[:size, :size]
    return np.hypot(rows - centre[0], columns - centre[1]) < radius


def finding_of(kind: str, side: Side = Side.LEFT) -> Finding:
    """A finding that says all words."""
    return Finding(
        pathology=kind,
        side=side,
        region=Region.FRONTAL,
        enhancement=Enhancement.SOLID,
        margin=Margin.SMOOTH,
        conspicuity=Conspicuity.OBVIOUS,
        size_mm=24,
    )


def heads(count: int, seed: int = 0) -> Pictures:
    """Phantom heads with a bright disc at random places; types and planes in turn."""
    rng = np.random.default_rng(seed)
    phantom = make_phantom()
    pixels, outlines, findings = [], [], []
    for i in range(count):
        outline = disc((rng.uniform(90, 150), rng.uniform(90, 165)), rng.uniform(8, 18))
        picture = np.where(outline, 0.75, phantom) * rng.uniform(0.8, 1.0)
        picture = np.clip(picture + rng.normal(0, 0.01, picture.shape), 0, 1)
        pixels.append(np.rint(picture * 255).astype(np.uint8))
        outlines.append(outline)
        findings.append(Findings(plane=PLANES[i % 3], finding=finding_of(TYPES[i % 3])))
    return Pictures(
        np.stack(pixels),
        np.stack(outlines),
        tuple(TYPES[i % 3] for i in range(count)),
        tuple(PLANES[i % 3] for i in range(count)),
        tuple(findings),
        0.98,
    )


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
def _made_up(studio: Studio, count: int) -> Material:
    torch.manual_seed(0)
    finder = LesionFinder(widths=(8, 8, 8, 8)).eval()
    train, val, made = heads(12, 1), heads(9, 2), heads(count, 3)
    index = Neighbours.of(finder.describe(torch.from_numpy(train.unit)), components=4)
    return Material(
        train=train,
        val=val,
        asked=val.take(np.arange(count)),
        made=made,
        twins=np.stack([np.rint(make_phantom() * 255).astype(np.uint8)] * count),
        requests=requests_of(made, studio),
        extra=heads(9, 4),
        studio=studio,
        finder=finder,
        neighbours=index,
        folder=Path(),
    )


def material_of(folder: Path, studio: Studio, count: int = 6) -> Material:
    """All that a part may look at, of phantoms."""
    return replace(_made_up(studio, count), folder=folder)
