"""Recipe: the INT8 network. `meddiff train int8 --data DIR --pack checkpoints/brain-t1gd`

NNCF post-training quantisation of convolutions and linears (Intel, *Neural Network Compression Framework*). The calibration
inputs are the ones the network meets when it samples: its own latents on the way from noise to picture, at every time, with
and without conditions, from nothing and with a background. Judge by finished pictures (`benchmarks.speed`), not by one pass.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from meddiff.case import Plane
from meddiff.diffusion.checkpoint import open_pipeline, read_info, save_ir, write_manifest
from meddiff.diffusion.pipeline import MedDiffPipeline
from meddiff.training.dataset import load_brain_t1gd
from meddiff.training.denoiser import draw_batch
from meddiff.training.portable import add_source, read_slices
from meddiff.training.slices import Slices, prepare
from meddiff.training.text import CHOICES, read_back

Inputs = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


class Plain(nn.Module):
    """The denoiser with positional inputs and a tensor out, as a graph wants it."""

    def __init__(self, unet: UNet2DConditionModel) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, inputs: Tensor, time: Tensor, context: Tensor, clinical: Tensor) -> Tensor:
        """Predicted direction [B, 16, h, w]."""
        return self.unet(inputs, time, encoder_hidden_states=context, class_labels=clinical, return_dict=False)[0]


@torch.inference_mode()
def calibration_inputs(
    pipeline: MedDiffPipeline, data: Slices, samples: int, steps: int, guidance: float, seed: int = 0
) -> list[Inputs]:
    """What the network is given while the pipeline makes `samples` pictures, each [2, ...]: with and without conditions."""
    generator = torch.Generator().manual_seed(seed)
    seen: list[Inputs] = []
    network = pipeline.denoise

    def recorded(inputs: Tensor, time: float, context: Tensor, clinical: Tensor) -> Tensor:
        times = np.full(len(inputs), time, np.float32)
        seen.append((inputs.numpy().copy(), times, context.numpy().copy(), clinical.numpy().copy()))
        return network(inputs, time, context, clinical)

    pipeline.denoise = recorded
    try:
        for number in range(samples):
            batch = draw_batch(data, pipeline.vae, 1, generator)
            known = pipeline.vae.decode(batch.latents) / 2 + 0.5 if bool(batch.given[0]) else None
            (said,) = read_back(batch.conditions.context, "plane", CHOICES["plane"])
            plane = None if said == "unknown" else Plane(said)
            pipeline(batch.conditions, [seed + number], steps, guidance, known, plane=plane)
    finally:
        pipeline.denoise = network
    return seen


def quantise(pipeline: MedDiffPipeline, inputs: list[Inputs], folder: Path) -> None:
    """Writes the quantised network into `folder` (a pack's `unet-int8/`)."""
    import nncf
    import openvino as ov

    example = tuple(torch.from_numpy(part) for part in inputs[0])
    network = ov.convert_model(Plain(pipeline.unet).eval(), example_input=example)
    shapes = [[-1, *part.shape[1:]] for part in inputs[0]]
    network.reshape({port: ov.PartialShape(shape) for port, shape in zip(network.inputs, shapes, strict=True)})
    quantised = nncf.quantize(
        network,
        nncf.Dataset(inputs, lambda item: list(item)),
        subset_size=len(inputs),
        preset=nncf.QuantizationPreset.MIXED,  # activations are not symmetric around zero after SiLU
        model_type=nncf.ModelType.TRANSFORMER,  # keeps attention's scores and norms in float
        ignored_scope=nncf.IgnoredScope(patterns=[".*conv_in.*", ".*conv_out.*", ".*time_embedding.*"], validate=False),
    )
    save_ir(quantised, folder)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `meddiff train int8`."""
    add_source(parser)
    parser.add_argument("--pack", type=Path, default=Path("checkpoints/brain-t1gd"), help="folder of the pack")
    parser.add_argument("--samples", type=int, default=40, help="pictures whose passes calibrate (default 40)")


def main(args: argparse.Namespace) -> int:
    """Quantises the pack's denoiser and renews the manifest."""
    pipeline = open_pipeline(args.pack)
    slices = (
        read_slices(args.portable) if args.portable else prepare(load_brain_t1gd(args.data).where("train"), wordings=1)
    )
    info = read_info(args.pack)
    inputs = calibration_inputs(pipeline, slices, args.samples, info.steps, info.guidance)
    quantise(pipeline, inputs, args.pack / "unet-int8")
    print(f"{len(inputs)} passes calibrated; pack {write_manifest(args.pack)[:12]}")
    return 0
