"""Captions from what is measured in each real image, never from what is not known.

`meddiff train captions --data DIR --out FILE.jsonl` writes them and prints how often each word occurs.
"""

from __future__ import annotations

import numpy as np

from meddiff.case import Finding, Findings, Plane, Region, Side
from meddiff.conditions.measure import LesionMeasures, measure_lesion


def caption(
    picture: np.ndarray, mask: np.ndarray, pathology: str, plane: Plane, spacing_mm: float
) -> tuple[Findings, LesionMeasures]:
    """Findings of one real slice: picture [H, W] in [0, 1], outline [H, W], its known type and plane."""
    measures = measure_lesion(picture, mask, plane, (spacing_mm, spacing_mm))
    finding = Finding(
        pathology=pathology,
        side=measures.side,
        # From its place alone a pituitary tumour cannot be told from a deep one; from its name it can.
        region=Region.SELLAR if pathology == "pituitary_tumor" else measures.region,
        enhancement=measures.enhancement,
        margin=measures.margin,
        conspicuity=measures.conspicuity,
        size_mm=float(max(1, round(measures.diameter_mm))),
    )
    return Findings(plane=plane, finding=finding), measures


def mirrored(findings: Findings) -> Findings:
    """The caption of the slice flipped left to right."""
    finding = findings.finding
    swap = {Side.LEFT: Side.RIGHT, Side.RIGHT: Side.LEFT}
    if finding is None or finding.side not in swap:
        return findings
    return findings.model_copy(update={"finding": finding.model_copy(update={"side": swap[finding.side]})})
