"""How good the pack is, on the `val` split: `python -m benchmarks.quality --data DIR [--count 96] [--precision int8]`

Every judge (finder, classifier) was trained on real `train` slices only, and its own figure on real `val` slices stands
beside as the ceiling. The captions and outlines that are asked for are those of `val` slices.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch
from skimage.metrics import structural_similarity

from meddiff.case import MaskSpec, Plane, Request, Task
from meddiff.conditions.measure import dice, largest_piece, longest_diameter_mm
from meddiff.conditions.prompt import write_sentence
from meddiff.diffusion.checkpoint import Pack
from meddiff.imaging.read import Slice
from meddiff.synthesis.finder import TYPES, LesionFinder
from meddiff.synthesis.native import prepare_background
from meddiff.synthesis.neighbours import Neighbours
from meddiff.synthesis.studio import Studio
from meddiff.training.captions import caption
from meddiff.training.dataset import BrainSet, load_brain_t1gd

SEED = 20_000  # of the first sample; one more for each


@torch.inference_mode()
def reconstruction(pack: Pack, pictures: np.ndarray) -> tuple[float, float]:
    """Mean PSNR in dB and SSIM (Wang et al., 2004; data range 1) of pictures [N, 256, 256] in [0, 1] through the autoencoder."""
    vae = pack.pipeline.vae.float()
    psnr, ssim = [], []
    for picture in pictures:
        back = vae(torch.from_numpy(picture)[None, None] * 2 - 1)[0, 0].numpy() / 2 + 0.5
        back = np.clip(back, 0, 1)
        psnr.append(-10 * np.log10(np.mean((back - picture) ** 2)))
        ssim.append(structural_similarity(picture, back, data_range=1.0))
    return float(np.mean(psnr)), float(np.mean(ssim))


def confusion(finder: LesionFinder, pictures: np.ndarray, types: np.ndarray) -> np.ndarray:
    """How many pictures of each type asked (rows) the finder calls what (columns), int [types, types] in its order."""
    found = finder.find(pictures).type_probability
    table = np.zeros((found.shape[1], found.shape[1]), int)
    np.add.at(table, (types, found.argmax(1)), 1)
    return table


def judged(
    finder: LesionFinder, pictures: np.ndarray, outlines: np.ndarray, types: np.ndarray, spacing: float
) -> dict[str, float]:
    """Dice to the outlines asked, share of types recognised, and correlation of asked and measured longest diameters."""
    found = finder.find(pictures)
    masks = found.mask()
    scores = [dice(a, b) for a, b in zip(masks, outlines, strict=True)]
    asked = [longest_diameter_mm(m, (spacing, spacing)) for m in outlines]
    seen = [longest_diameter_mm(largest_piece(m), (spacing, spacing)) for m in masks]
    return {
        "dice": float(np.mean(scores)),
        "dice_sem": float(np.std(scores) / np.sqrt(len(scores))),
        "type": float((found.type_probability.argmax(1) == types).mean()),
        "r": float(np.corrcoef(asked, seen)[0, 1]) if np.std(seen) > 0 else float("nan"),
    }


def outside_limits(index: Neighbours | None, finder: LesionFinder, pictures: np.ndarray) -> tuple[float, float]:
    """Shares of pictures [N, 256, 256] that are as near to a training slice as a copy, and farther from all than real ones."""
    if index is None:
        return float("nan"), float("nan")
    apart = index.distance(finder, pictures)
    return float((apart < index.near).mean()), float((apart > index.far).mean())


def generated(studio: Studio, data: BrainSet, picks: np.ndarray) -> np.ndarray:
    """One picture from nothing for each picked slice's caption and outline, first seed, no redraw; [N, 256, 256]."""
    pictures = []
    for number, i in enumerate(picks):
        findings, _ = caption(
            data.pictures[i] / np.float32(255), data.masks[i] > 127, data.types[i], data.planes[i], data.spacing_mm
        )
        mask = MaskSpec.from_array(data.masks[i] > 127)
        info = studio.load().info
        request = Request(
            sentence=write_sentence(findings), mask=mask, seed=SEED + number, steps=info.steps, guidance=info.guidance
        )
        pictures.append(studio.make_lesion(studio.complete(request)))
        print(f"\r{number + 1}/{len(picks)}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return np.stack(pictures)


def outside_change(studio: Studio, data: BrainSet, picks: np.ndarray, task: Task) -> int:
    """Largest difference in grey levels outside the edit region when a lesion is put into or taken out of real slices."""
    worst = 0
    for number, i in enumerate(picks):
        plane = Plane(data.planes[i])
        background = Slice(
            data.pictures[i].astype(np.float32), data.pictures[i], spacing_mm=(0.98, 0.98), modality="MR", plane=plane
        )
        info = studio.load().info
        native = prepare_background(background, info.modality, info.size, info.spacing_mm)
        outline = data.masks[i] > 127
        request = Request(
            task=task,
            sentence=f"{plane.value} T1 post-contrast, mass" if task is Task.INSERT else "no focal lesion",
            mask=MaskSpec.from_array(outline),
            background_sha256=background.sha256,
            seed=SEED + number,
            steps=4,
        )
        worst = max(worst, studio.make(studio.complete(request, background, native), native).outside_change)
    return worst


def main(arguments: list[str] | None = None) -> int:
    """Prints the table; `--json FILE` writes the figures too."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the brain_t1gd set (docs/data.md)")
    parser.add_argument("--pack", default="brain-t1gd")
    parser.add_argument("--precision", default="int8", choices=("int8", "bf16", "fp32"))
    parser.add_argument(
        "--count", type=int, default=96, help="val slices whose caption and outline are asked for (default 96)"
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--sheet", type=Path, help="PNG of the first 16 pictures made, for the eye")
    args = parser.parse_args(arguments)

    studio = Studio(args.pack, args.precision)
    pack = studio.load()
    finder = LesionFinder.load(pack.folder / "check")
    data = load_brain_t1gd(args.data).where("val")
    real = data.pictures.astype(np.float32) / 255
    outlines, types = data.masks > 127, data.type_numbers()
    psnr, ssim = reconstruction(pack, real)
    ceiling = judged(finder, real, outlines, types, data.spacing_mm)
    picks = np.linspace(0, len(data) - 1, min(args.count, len(data))).round().astype(int)
    made = generated(studio, data, picks)
    reached = judged(finder, made, outlines[picks], types[picks], data.spacing_mm)
    kinds = confusion(finder, made, types[picks])
    index = Neighbours.load(pack.folder / "check")
    copied, strange = outside_limits(index, finder, made)
    copied_real, strange_real = outside_limits(index, finder, real)
    few = picks[:: max(1, len(picks) // 6)]
    insert, remove = (outside_change(studio, data, few, task) for task in (Task.INSERT, Task.REMOVE))

    rows = [
        ("reconstruction PSNR, dB", psnr, "", ">= 34"),
        ("reconstruction SSIM", ssim, "", ">= 0.94"),
        ("lesion Dice, generated / real val", reached["dice"], ceiling["dice"], "ratio >= 0.85"),
        ("  ratio", reached["dice"] / ceiling["dice"], "", ">= 0.85"),
        ("diameter asked / measured, r", reached["r"], ceiling["r"], ">= 0.9"),
        ("type recognised, generated / real val", reached["type"], ceiling["type"], "ratio >= 0.85"),
        ("  ratio", reached["type"] / ceiling["type"], "", ">= 0.85"),
        ("nearer to a training slice than real ones, share", copied, copied_real, "as real"),
        ("farther from all than real ones, share", strange, strange_real, "as real"),
        ("change outside edit region, insert", float(insert), "", "0"),
        ("change outside edit region, remove", float(remove), "", "0"),
    ]
    print(
        f"pack {pack.info.name} {pack.info.sha256[:12]}, {args.precision}, {len(picks)} generated, {len(data)} real val slices"
    )
    print(f"{'':50s}{'reached':>10s}{'real':>10s}   aim")
    for name, value, other, aim in rows:
        print(f"{name:50s}{value:10.3f}{other if other == '' else format(other, '10.3f'):>10}   {aim}")
    for kind, row in zip(TYPES, kinds, strict=True):
        said = ", ".join(f"{other.replace('_', ' ')} {count}" for other, count in zip(TYPES, row, strict=True))
        print(f"asked for {kind.replace('_', ' ')}, the finder says: {said}")
    if args.json:
        args.json.write_text(
            json.dumps(
                {
                    "pack": pack.info.sha256,
                    "count": len(picks),
                    "reached": reached,
                    "real": ceiling,
                    "types": {kind: row.tolist() for kind, row in zip(TYPES, kinds, strict=True)},
                    "psnr": psnr,
                    "ssim": ssim,
                    "copied": copied,
                    "strange": strange,
                    "insert": insert,
                    "remove": remove,
                },
                indent=1,
            )
            + "\n"
        )
    if args.sheet:
        from meddiff.training.run import write_sheet

        shown = np.linspace(0, len(made) - 1, min(16, len(made))).astype(int)
        write_sheet(torch.from_numpy(made[shown])[:, None], args.sheet, 8)
    return 0


if __name__ == "__main__":
    sys.exit(main())
