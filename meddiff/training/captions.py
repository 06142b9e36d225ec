"""Captions from what is measured in each real image, never from what is not. `meddiff train captions --data DIR`"""

from __future__ import annotations

import argparse
import json
import math
import os
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import numpy as np

from meddiff.case import Finding, Findings, Plane, Region, Side
from meddiff.conditions.measure import LesionMeasures, measure_lesion
from meddiff.training.dataset import BrainSet, load_brain_t1gd

WORDS = ("side", "region", "enhancement", "margin", "conspicuity")


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


def captions_of(data: BrainSet) -> list[tuple[Findings, LesionMeasures]]:
    """Captions of a whole set, in its order."""
    return [
        caption(picture / np.float32(255), mask > 127, kind, plane, data.spacing_mm)
        for picture, mask, kind, plane in zip(data.pictures, data.masks, data.types, data.planes, strict=True)
    ]


def mirrored(findings: Findings) -> Findings:
    """The caption of the slice flipped left to right."""
    finding = findings.finding
    swap = {Side.LEFT: Side.RIGHT, Side.RIGHT: Side.LEFT}
    if finding is None or finding.side not in swap:
        return findings
    return findings.model_copy(update={"finding": finding.model_copy(update={"side": swap[finding.side]})})


def write_captions(data: BrainSet, captions: list[tuple[Findings, LesionMeasures]], path: Path) -> None:
    """One JSON object a line: `image`, `split`, `findings`, `measures`; the file appears whole or not at all."""
    part = path.with_suffix(path.suffix + ".part")
    with open(part, "w") as file:
        for name, split, (findings, measures) in zip(data.names, data.split, captions, strict=True):
            row = {
                "image": name,
                "split": split,
                "findings": findings.model_dump(mode="json"),
                "measures": {key: _short(value) for key, value in asdict(measures).items()},
            }
            file.write(json.dumps(row) + "\n")
    os.replace(part, path)


def distribution(captions: list[tuple[Findings, LesionMeasures]]) -> str:
    """How often each word is said of each type in each plane, and the sizes, as a table."""
    found = [(findings.plane, findings.finding) for findings, _ in captions if findings.finding and findings.plane]
    groups = sorted({(str(f.pathology), plane.value) for plane, f in found})
    lines = [f"{'':16}" + "".join(f"{kind[:10] + ' ' + plane[:3]:>15}" for kind, plane in groups)]
    members = {g: [f for plane, f in found if (str(f.pathology), plane.value) == g] for g in groups}
    lines.append(f"{'slices':16}" + "".join(f"{len(members[g]):>15}" for g in groups))
    for word in WORDS:
        counts = {g: Counter(getattr(f, word).value for f in members[g]) for g in groups}
        lines.append(word)
        for value in sorted(set().union(*counts.values())):
            lines.append(f"  {value:14}" + "".join(f"{counts[g][value]:>15}" for g in groups))
    lines.append("size in mm")
    for share in (5, 50, 95):
        at = [np.percentile([f.size_mm or math.nan for f in members[g]], share) for g in groups]
        lines.append(f"  {f'{share}th of 100':14}" + "".join(f"{size:>15.0f}" for size in at))
    return "\n".join(lines)


def _short(value: object) -> object:
    """Numbers to five digits; JSON has no NaN."""
    if isinstance(value, float):
        return float(f"{value:.5g}") if math.isfinite(value) else None
    return [_short(v) for v in value] if isinstance(value, tuple) else value


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `meddiff train captions`."""
    parser.add_argument("--data", type=Path, required=True, help="folder of the brain_t1gd set (docs/data.md)")
    parser.add_argument("--out", type=Path, default=Path("runs/captions.jsonl"), help="file to write, one case a line")


def main(args: argparse.Namespace) -> int:
    """Writes the captions and prints how often each word occurs."""
    data = load_brain_t1gd(args.data)
    captions = captions_of(data)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write_captions(data, captions, args.out)
    print(distribution(captions))
    return 0
