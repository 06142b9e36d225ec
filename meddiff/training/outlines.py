"""Recipe: what real outlines teach, as statistics. `meddiff train outlines --data DIR`

Writes `meddiff/conditions/outlines.json`, from the `train` split only:

| part | per | what |
|---|---|---|
| `shapes` | type and plane | mean and 14 principal components of outlines' log radii, the rest by wave, sizes |
| `places` | type and plane | histogram 16x16 of where lesions lie in the head's box |
| `heads` | plane | mean outline of the head |
| `levels` | plane | linear reading of a slice's level, fitted on slices judged by eye (`levels.csv`) |

No outline of any one slice can be read back from them.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from meddiff.case import MedDiffError, Plane
from meddiff.conditions import place
from meddiff.conditions.masks import DIRECTIONS, mirror_profile, radial_profile
from meddiff.conditions.measure import head_mask, longest_diameter_mm
from meddiff.training.dataset import BrainSet, load_brain_t1gd

COMPONENTS = 14
CELLS = 16
LEVEL_COMPONENTS, LEVEL_RIDGE = 16, 4.0  # a compromise over planes: 8 to 40 and 1 to 10 moved r by less than 0.05
TARGET = Path(place.__file__).parent / "outlines.json"


def shape_statistics(masks: np.ndarray, to_left: np.ndarray, spacing_mm: float) -> dict[str, Any]:
    """Shape and size of outlines.

    Args:
        masks: bool [N, H, W].
        to_left: bool [N], the lesion lies on the left of the screen: it is mirrored, so that all lie on one side.
    """
    profiles, sizes = [], []
    for mask, flip in zip(masks, to_left, strict=True):
        radii, _ = radial_profile(mask)
        profile = np.log(radii)
        profile -= 0.5 * np.log((np.exp(2 * profile)).mean() * np.pi)  # root of the area = 1
        profiles.append(mirror_profile(profile) if flip else profile)
        sizes.append(longest_diameter_mm(mask, (spacing_mm, spacing_mm)))
    x = np.stack(profiles)
    mean = x.mean(0)
    _, _, components = np.linalg.svd(x - mean, full_matrices=False)
    components = components[:COMPONENTS]
    scores = (x - mean) @ components.T
    left = np.abs(np.fft.rfft(x - mean - scores @ components, axis=1)[:, 1:]) / (DIRECTIONS / 2)
    # Medians and quartiles: a few ragged outlines would else make all ragged. Median of a Rayleigh: 1.1774 sigma.
    residual = np.median(left, axis=0) / 1.1774
    roughness = np.log(np.sqrt((left**2).mean(1)))
    low, high = np.percentile(sizes, [2, 98])
    return {
        "count": len(x),
        "mean": _short(mean),
        "components": [_short(c) for c in components],
        "stds": _short((np.percentile(scores, 84, axis=0) - np.percentile(scores, 16, axis=0)) / 2),
        "residual": _short(residual),
        "roughness": round(float(roughness.std()), 3),
        "size": {
            "log_mean": round(float(np.log(sizes).mean()), 3),
            "log_std": round(float(np.log(sizes).std()), 3),
            "low_mm": round(float(low), 1),
            "high_mm": round(float(high), 1),
        },
    }


def place_statistics(points: np.ndarray, plane: Plane) -> list[list[float]]:
    """Smoothed histogram [16, 16] of points (down, across); left and right are alike, except in sagittal slices."""
    counts, _, _ = np.histogram2d(points[:, 0], points[:, 1], bins=CELLS, range=[[0, 1], [0, 1]])
    if plane is not Plane.SAGITTAL:
        counts = (counts + counts[:, ::-1]) / 2
    return [_short(row) for row in ndimage.gaussian_filter(counts, 0.7)]


def head_statistics(heads: np.ndarray) -> dict[str, Any]:
    """Mean outline of heads [N, H, W]: centre and 64 radii as shares of the picture's height."""
    size = heads.shape[1]
    found = [radial_profile(head) for head in heads]
    return {
        "centre": _short(np.mean([centre for _, centre in found], axis=0) / size),
        "radii": _short(np.mean([radii for radii, _ in found], axis=0) / size),
    }


def fit_level(views: np.ndarray, judged: dict[int, float]) -> tuple[dict[str, Any], float]:
    """Ridge regression of the judged levels on the first principal components of all views [N, D].

    Returns:
        the linear reading (weights [D], bias), and its correlation with the judgement on slices left out one by one.
        That flatters: other slices of the same patient stay in, and half of the slices were judged on sheets that an
        earlier fit had sorted.
    """
    mean = views.mean(0)
    _, spread, axes = np.linalg.svd(views - mean, full_matrices=False)
    axes = axes[:LEVEL_COMPONENTS] / (spread[:LEVEL_COMPONENTS, None] / np.sqrt(len(views)))
    rows, level = np.array(list(judged)), np.array(list(judged.values()))
    x = np.c_[(views[rows] - mean) @ axes.T, np.ones(len(rows))]
    ridge = LEVEL_RIDGE * np.diag([1.0] * len(axes) + [0.0])

    def solve(keep: np.ndarray) -> np.ndarray:
        return np.linalg.solve(x[keep].T @ x[keep] + ridge, x[keep].T @ level[keep])

    everyone = np.arange(len(level))
    left_out = [x[i] @ solve(everyone != i) for i in everyone]
    fit = solve(everyone >= 0)
    weights = fit[:-1] @ axes
    bias = float(fit[-1] - mean @ weights)
    return {"weights": _short(weights), "bias": round(bias, 4)}, float(np.corrcoef(left_out, level)[0, 1])


def statistics_of(data: BrainSet, judged: dict[str, float]) -> dict[str, Any]:
    """All statistics of a set; prints how well levels are read.

    Raises:
        MedDiffError: if a type, a plane or judged slices are missing.
    """
    pictures, masks = data.pictures / np.float32(255), data.masks > 127
    heads = np.stack([head_mask(p) for p in pictures])
    planes = np.array([p.value for p in data.planes])
    types = np.array(data.types)
    out: dict[str, Any] = {"shapes": {}, "places": {}, "heads": {}, "levels": {}}
    for plane in Plane:
        mine = np.flatnonzero(planes == plane.value)
        known = {k: judged[data.names[i]] for k, i in enumerate(mine) if data.names[i] in judged}
        if len(mine) < 2 * LEVEL_COMPONENTS or len(known) < LEVEL_COMPONENTS:
            raise MedDiffError(
                f"The set has too few {plane.value} slices for statistics: {len(mine)}, {len(known)} judged."
            )
        out["heads"][plane.value] = head_statistics(heads[mine])
        views = np.stack([place.level_view(pictures[i], heads[i], plane) for i in mine])
        out["levels"][plane.value], agreement = fit_level(views, known)
        print(f"{plane.value:9} level: r = {agreement:.2f} on {len(known)} judged slices, each left out in turn")
        for kind in sorted(set(types[mine])):
            chosen = mine[types[mine] == kind]
            centres = [ndimage.center_of_mass(masks[i]) for i in chosen]
            points = np.array([place.relative(c, heads[i], plane) for c, i in zip(centres, chosen, strict=True)])
            flip = (points[:, 1] < 0.5) & (plane is not Plane.SAGITTAL)
            out["shapes"][f"{kind}/{plane.value}"] = shape_statistics(masks[chosen], flip, data.spacing_mm)
            out["places"][f"{kind}/{plane.value}"] = place_statistics(points, plane)
    return out


def read_levels(path: Path) -> dict[str, float]:
    """Levels judged by eye: image name -> level."""
    with open(path, newline="") as file:
        return {row["image"]: float(row["level"]) for row in csv.DictReader(file)}


def _short(values: np.ndarray) -> list[float]:
    return [float(f"{v:.4g}") for v in np.asarray(values, float)]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `meddiff train outlines`."""
    parser.add_argument("--data", type=Path, required=True, help="folder of the brain_t1gd set (docs/data.md)")
    parser.add_argument("--out", type=Path, default=TARGET, help="file to write (default: the one the program reads)")


def main(args: argparse.Namespace) -> int:
    """Writes the statistics, whole or not at all."""
    judged = read_levels(Path(__file__).parent / "levels.csv")
    text = json.dumps(statistics_of(load_brain_t1gd(args.data).where("train"), judged), separators=(",", ":"))
    part = args.out.with_suffix(".part")
    part.write_text(text + "\n")
    os.replace(part, args.out)
    print(f"{args.out}: {len(text) / 1024:.0f} KB")
    return 0
