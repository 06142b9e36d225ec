"""Recipe: slices that stand in the set more than once. `meddiff train duplicates --data DIR`

What a set shows twice is learned by heart first: duplicates are what diffusion models mostly give back, so that they should be taken out before
training (Carlini et al., *Extracting Training Data from Diffusion Models*, USENIX Security 2023).

Two slices are duplicates when their thumbnails of 64x64 pixels correlate by at least `ALIKE`: the same pixels, encoded, sized or windowed
otherwise. The limit lies between two things that the recipe prints: how much altered copies of the set's own slices correlate with
them (the lowest of 150 by each alteration), and how much the most alike of all slices do that are not grouped. In `brain_t1gd` those are planes of one patient
that follow each other at 6 mm: they are alike and different pictures, and stay. A set with thinner slices has neighbours that are more alike:
read the printed pairs there, and raise `--alike`.

Found are neither copies moved by a pixel or more, mirrored ones, nor one patient's pictures of two visits.
"""

from __future__ import annotations

import argparse
import csv
import io
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import shift
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from meddiff.case import MedDiffError
from meddiff.evaluation.heads import thumbnails
from meddiff.training.dataset import BrainSet, load_brain_t1gd

ALIKE = 0.985
ROWS = 1024  # thumbnails compared with all others at a time
COPIES = 150


def group_of(pictures: np.ndarray, alike: float = ALIKE) -> tuple[np.ndarray, float]:
    """Which group of duplicates each picture is in, and how much the most alike two correlate that share no group.

    Groups hang together by pairs: where a is a duplicate of b and b of c, all three are one group.

    Args:
        pictures: uint8 [N, H, W], H and W multiples of 64.
        alike: least correlation of two thumbnails of one picture, above 0 and at most 1.

    Returns:
        Numbers of groups [N], most of them with one picture, and a correlation (-1 where nothing is left to compare).

    Raises:
        MedDiffError: when `alike` is no such number.
    """
    if not 0 < alike <= 1:
        raise MedDiffError(
            f"Slices that correlate by {alike:g} cannot be looked for: give a number above 0, at most 1."
        )
    small = thumbnails(pictures).reshape(len(pictures), -1)
    numbers = np.arange(len(small))
    pairs = [np.empty((2, 0), int)]
    for first in range(0, len(small), ROWS):
        # Rounding: a picture and its exact copy may correlate by a hair less than 1.
        near = small[first : first + ROWS] @ small.T >= alike - 1e-5
        here, there = np.nonzero(near & (numbers > numbers[first : first + ROWS, None]))
        pairs.append(np.stack([here + first, there]))
    here, there = np.hstack(pairs)
    _, groups = connected_components(coo_array((np.ones(len(here)), (here, there)), shape=(len(small),) * 2))
    most = -1.0
    for first in range(0, len(small), ROWS):
        likeness = small[first : first + ROWS] @ small.T
        apart = groups[first : first + ROWS, None] != groups
        most = max(most, float(likeness.max(where=apart, initial=-1.0)))
    return groups, most


def copies_of(pictures: np.ndarray) -> np.ndarray:
    """How many pictures each one's group of duplicates has, itself counted: [N], 1 where it has none."""
    groups, _ = group_of(pictures)
    return np.bincount(groups)[groups]


def altered(pictures: np.ndarray) -> dict[str, np.ndarray]:
    """Pictures uint8 [N, H, W] as a set may hold them a second time."""

    def encoded(picture: np.ndarray, quality: int, part: int) -> np.ndarray:
        height, width = picture.shape
        held = io.BytesIO()
        Image.fromarray(picture).resize((width // part, height // part), Image.Resampling.BILINEAR).save(
            held, "JPEG", quality=quality
        )
        return np.asarray(Image.open(held).resize((width, height), Image.Resampling.BILINEAR))

    def contrast(gamma: float) -> np.ndarray:
        return np.rint(255 * (pictures / 255) ** gamma).astype(np.uint8)

    return {
        "JPEG of quality 30": np.stack([encoded(picture, 30, 1) for picture in pictures]),
        "half the size, JPEG of quality 60": np.stack([encoded(picture, 60, 2) for picture in pictures]),
        "contrast (gamma 0.8)": contrast(0.8),
        "contrast (gamma 1.25)": contrast(1.25),
        "moved by half a pixel down and across": shift(pictures, (0, 0.5, 0.5), order=1),
    }


def write_groups(path: Path, data: BrainSet, groups: np.ndarray) -> list[list[int]]:
    """Writes groups of two and more, a line a slice (group, image, split), and returns their slices' places in the set."""
    found = [np.flatnonzero(groups == number).tolist() for number in np.flatnonzero(np.bincount(groups) > 1)]
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(("group", "image", "split"))
        lines.writerows((n, data.names[i], data.split[i]) for n, members in enumerate(found, 1) for i in members)
    return found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `meddiff train duplicates`."""
    parser.add_argument("--data", type=Path, required=True, help="folder of the brain_t1gd set (docs/data.md)")
    parser.add_argument(
        "--alike", type=float, default=ALIKE, help=f"least correlation of two slices of one picture (default {ALIKE})"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/duplicates.csv"), help="file to write")


def main(args: argparse.Namespace) -> int:
    """Writes the groups, of both splits together, and prints them beside what the limit lies between."""
    data = load_brain_t1gd(args.data)
    groups, most = group_of(data.pictures, args.alike)
    found = write_groups(args.out, data, groups)
    for members in found:
        print("the same picture: " + ", ".join(f"{data.names[i]} ({data.split[i]})" for i in members))
    within = sum(len(members) for members in found)
    print(f"{len(found)} groups of duplicates with {within} of {len(data)} slices, in {args.out}")
    print(f"two slices of different groups correlate by {most:.4f} at most; duplicates by {args.alike:g} at least")
    picks = np.random.default_rng(0).choice(len(data), min(COPIES, len(data)), replace=False)
    real = thumbnails(data.pictures[picks])
    for name, pictures in altered(data.pictures[picks]).items():
        likeness = (thumbnails(pictures) * real).sum((1, 2))
        print(f"copies, {name}: {likeness.min():.4f} at least, {(likeness >= args.alike).mean():.0%} found")
    return 0
