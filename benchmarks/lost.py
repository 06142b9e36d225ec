"""Where quality is lost: `python -m benchmarks.lost --data DIR`

Real `train` slices through the autoencoder alone; lost in noise up to several times and found again by the denoiser, told their own
captions and outlines; and from nothing. If slices found from little noise already lie far from real ones, texture is at fault; if only those from
much noise do, anatomy is. Distances are of EfficientNet-lite0's features from other `train` slices (docs/evaluation.md); the finder's figures are too kind, since
it has seen these slices: compare rows, not with other tables.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.quality import pictures_of
from meddiff.case import MedDiffError
from meddiff.conditions.measure import dice
from meddiff.diffusion.checkpoint import load_pack
from meddiff.diffusion.denoiser import takes_guidance
from meddiff.diffusion.pipeline import sample_latents
from meddiff.evaluation.distances import frechet
from meddiff.evaluation.features import COMPONENTS, INSTALL, Frame, imagenet_space
from meddiff.evaluation.fidelity import blurred
from meddiff.evaluation.memorising import conditions_of
from meddiff.synthesis.finder import LesionFinder
from meddiff.training.dataset import load_brain_t1gd

OTHERS = 640  # slices that say units and stand for reality, half each


def main(arguments: list[str] | None = None) -> int:
    """Prints a row for each way to a picture."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lost", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the brain_t1gd set (docs/data.md)")
    parser.add_argument("--pack", default="brain-t1gd", help="name of a pack in the folder of checkpoints")
    parser.add_argument("--precision", default="int8", choices=("int8", "bf16", "fp32"))
    parser.add_argument("--count", type=int, default=48, help="slices (default 48)")
    parser.add_argument("--times", type=float, nargs="+", default=[0.3, 0.5, 0.75], help="noise levels in (0, 1)")
    parser.add_argument("--guidance", type=float, help="default: the pack's")
    parser.add_argument("--steps", type=int, help="default: the pack's")
    args = parser.parse_args(arguments)
    space = imagenet_space()
    if space is None:
        raise MedDiffError(f"This needs a package: {INSTALL}")
    data = load_brain_t1gd(args.data).where("train")
    pack = load_pack(args.pack, args.precision)
    pipeline, vae = pack.pipeline, pack.pipeline.vae
    finder = LesionFinder.load(pack.folder / "check")
    order = np.random.default_rng(0).permutation(len(data))
    picks, fitted, others = np.split(order[: args.count + OTHERS], [args.count, args.count + OTHERS // 2])
    chosen = data.take(picks.tolist())
    outlines, types = chosen.masks > 127, chosen.type_numbers()
    frame = Frame.of(space.see(data.pictures[fitted], data.masks[fitted] > 127).whole, COMPONENTS)
    reality = frame.reduced(space.see(data.pictures[others], data.masks[others] > 127).whole)
    told = conditions_of(pipeline, pictures_of(chosen))
    steps, guidance = args.steps or pack.info.steps, args.guidance or pack.info.guidance
    print(
        f"pack {pack.info.sha256[:12]} at {args.precision}, {steps} steps, guidance {guidance:g}, {len(picks)} slices"
    )
    print(f"{'way':<28}{'distance':>10}{'Dice':>8}{'type':>8}")

    def row(name: str, pixels: np.ndarray) -> None:
        away = frechet(frame.reduced(space.see(pixels, outlines).whole), reality)
        found = finder.find(pixels.astype(np.float32) / 255)
        overlap = np.mean([dice(a, b) for a, b in zip(found.mask(), outlines, strict=True)])
        right = (found.type_probability.argmax(1) == types).mean()
        print(f"{name:<28}{away:>10.0f}{overlap:>8.3f}{right:>8.3f}", flush=True)

    def as_pixels(latents: Tensor) -> np.ndarray:
        pictures = vae.decode(latents.to(vae.encoder.weight.dtype)).float()
        return np.clip(np.rint((pictures.squeeze(1).numpy() / 2 + 0.5) * 255), 0, 255).astype(np.uint8)

    def made(begin: float | None) -> np.ndarray:
        pictures = []
        for number, plane in enumerate(chosen.planes):
            asked = told.sample(number)
            head = pipeline.head(plane, asked.mask, number)
            until = pipeline.prior.config.until if pipeline.prior is not None else 1.0
            slice_ = latents[number : number + 1] if begin else None
            one_pass = takes_guidance(pipeline.unet)
            drawn = sample_latents(
                pipeline.denoise, pipeline.scheduler, asked, number, steps, guidance, slice_, head, until,
                start=slice_, begin=begin or 1.0, one_pass=one_pass,
            )  # fmt: skip
            pictures.append(as_pixels(drawn))
        return np.concatenate(pictures)

    with torch.inference_mode():
        real = torch.from_numpy(chosen.pictures)[:, None].float() / 127.5 - 1
        latents = vae.encode(real.to(vae.encoder.weight.dtype)).float()
        row("real", chosen.pictures)
        row("real, blurred by 1.5 pixels", blurred(chosen.pictures))
        row("autoencoder alone", as_pixels(latents))
        for begin in args.times:
            row(f"found again from t = {begin:g}", made(begin))
        row("from nothing", made(None))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except MedDiffError as error:
        sys.exit(str(error))
