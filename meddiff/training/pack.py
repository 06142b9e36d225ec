"""Recipe: the parts become a pack. `meddiff train pack --unet runs/adversarial/unet --few --pack checkpoints/brain-t1gd`"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel

from meddiff.case import Plane
from meddiff.conditions.clinical import CLINICAL_DIM
from meddiff.conditions.text import TextEncoder
from meddiff.diffusion.autoencoder import PatchAutoencoder
from meddiff.diffusion.checkpoint import PackInfo, save_pack
from meddiff.diffusion.denoiser import build_denoiser
from meddiff.diffusion.flow import renoise, solver
from meddiff.diffusion.pipeline import MedDiffPipeline
from meddiff.diffusion.prior import HeadPrior
from meddiff.synthesis.finder import TYPES
from meddiff.training.run import read_record, write_record

SHIFT = 2.0  # of the sampling times towards noise
STEPS, GUIDANCE = 8, 3.0  # chosen on requests of `train` slices
FEW_STEPS, FEW_GUIDANCE = 4, 2.0  # the same for a denoiser of `training.adversarial`


def average_of(state: Path) -> tuple[UNet2DConditionModel, int, int]:
    """The averaged denoiser in a running or finished run's `state.pt`, and the steps and samples it was trained for."""
    kept = torch.load(state, map_location="cpu", weights_only=True)
    parts = kept["parts"]["average"]
    weights = {name.removeprefix("module."): value for name, value in parts.items() if name.startswith("module.")}
    widths = tuple(
        weights[f"down_blocks.{i}.resnets.0.conv2.weight"].shape[0]
        for i in range(8)
        if f"down_blocks.{i}.resnets.0.conv2.weight" in weights
    )
    guided = weights["class_embedding.linear_1.weight"].shape[1] > CLINICAL_DIM
    model = build_denoiser(widths, guided=guided)
    model.load_state_dict(weights)
    return model.eval(), kept["step"], kept["samples"]


def assemble(
    vae: Path, unet: Path, text: Path, check: Path | None, prior: Path | None, pack: Path, few: bool = False
) -> str:
    """Writes a pack from its parts and returns its hash.

    Args:
        unet: a saved folder or a run's state.pt.
        few: the denoiser is one of `training.adversarial`, whose every answer is a whole picture: noise is put on it again between passes.
    """
    if unet.is_file():
        network, trained, seen = average_of(unet)
    else:
        network, (trained, seen) = UNet2DConditionModel.from_pretrained(unet), read_record(unet)
    encoder = TextEncoder.load(text)
    pipeline = MedDiffPipeline(
        PatchAutoencoder.from_pretrained(vae),  # type: ignore[arg-type]
        network,  # type: ignore[arg-type]
        renoise(SHIFT) if few else solver(SHIFT),
        encoder.bert,
        encoder.tokenizer,
        encoder.resampler,
        HeadPrior.from_pretrained(prior) if prior else None,  # type: ignore[arg-type]
    )
    pipeline.unet.half()  # half the size; what rounding costs is far below what one pass is off
    if prior:
        pipeline.prior.half()
    if check:
        shutil.copytree(check, pack / "check", dirs_exist_ok=True)
    if trained:
        write_record(pack / "unet", trained, seen)
    info = PackInfo(
        name=pack.name,
        title="Brain MR, T1 post-contrast, three tumour types in three planes",
        modality="MR",
        anatomy="brain",
        sequence="T1 post-contrast",
        planes=tuple(Plane),
        types=TYPES,
        steps=FEW_STEPS if few else STEPS,
        guidance=FEW_GUIDANCE if few else GUIDANCE,
    )
    return save_pack(pack, info, pipeline)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `meddiff train pack`."""
    parser.add_argument("--vae", type=Path, default=Path("runs/autoencoder/vae"), help="the autoencoder's folder")
    parser.add_argument(
        "--unet", type=Path, default=Path("runs/denoiser/state.pt"), help="a denoiser's folder or a run's state.pt"
    )
    parser.add_argument(
        "--text", type=Path, default=Path("runs/text"), help="folder with text_encoder/, tokenizer/, resampler/"
    )
    parser.add_argument("--check", type=Path, default=Path("runs/finder/check"), help="the lesion finder's folder")
    parser.add_argument("--prior", type=Path, default=Path("runs/prior/prior"), help="the head prior's folder")
    parser.add_argument("--pack", type=Path, default=Path("checkpoints/brain-t1gd"), help="folder of the pack to write")
    parser.add_argument(
        "--few",
        action="store_true",
        help="the denoiser is one of meddiff train adversarial: few passes, each a picture",
    )


def main(args: argparse.Namespace) -> int:
    """Writes the pack."""
    print(assemble(args.vae, args.unet, args.text, args.check, args.prior, args.pack, args.few))
    return 0
