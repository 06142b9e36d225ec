"""Recipe: the INT8 network. `meddiff train int8 --data DIR --pack checkpoints/brain-t1gd`

NNCF post-training quantisation of convolutions and linears (Intel, *Neural Network Compression Framework*). The calibration
inputs are the ones the network meets when it samples: its own latents on the way from noise to picture, at every time, with
and without conditions, from nothing and with a background. Judge by finished pictures (`benchmarks.speed`), not by one pass.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from meddiff.conditions.tensors import Conditions
from meddiff.diffusion.checkpoint import open_pipeline, read_info, save_ir, write_manifest
from meddiff.diffusion.denoiser import fixed_channels
from meddiff.diffusion.flow import direction, euler, times
from meddiff.diffusion.pipeline import MedDiffPipeline
from meddiff.training.dataset import load_brain_t1gd
from meddiff.training.denoiser import Slices, draw_batch, prepare

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
    pipeline: MedDiffPipeline, data: Slices, samples: int = 40, steps: int = 8, guidance: float = 2.0, seed: int = 0
) -> Iterator[Inputs]:
    """Inputs [2, ...] the network meets while it makes `samples` pictures of `steps` passes each."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(samples):
        batch = draw_batch(data, pipeline.vae, 1, generator)
        known = batch.latents if bool(batch.given[0]) else None
        asked: Conditions = batch.conditions
        both = [asked, asked.unconditional()]
        fixed = torch.cat([fixed_channels(c, known) for c in both])
        context = torch.cat([c.context for c in both])
        clinical = torch.cat([c.clinical for c in both])
        x = torch.randn(batch.latents.shape, generator=generator)
        path = times(steps, float(pipeline.scheduler.config.shift)).tolist()
        for t, t_next in itertools.pairwise(path):
            inputs = torch.cat([x.expand(2, -1, -1, -1), fixed], 1)
            yield inputs.numpy(), np.full(2, t * 1000, np.float32), context.numpy(), clinical.numpy()
            out = pipeline.denoise(inputs, t * 1000, context, clinical)
            x = euler(x, direction(x, out[1:] + guidance * (out[:1] - out[1:]), t), t, t_next)


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
    parser.add_argument("--data", type=Path, required=True, help="folder of the brain_t1gd set (docs/data.md)")
    parser.add_argument("--pack", type=Path, default=Path("checkpoints/brain-t1gd"), help="folder of the pack")
    parser.add_argument("--samples", type=int, default=40, help="pictures whose passes calibrate (default 40)")


def main(args: argparse.Namespace) -> int:
    """Quantises the pack's denoiser and renews the manifest."""
    pipeline = open_pipeline(args.pack)
    slices = prepare(load_brain_t1gd(args.data).where("train"), wordings=1)
    info = read_info(args.pack)
    inputs = list(calibration_inputs(pipeline, slices, args.samples, guidance=info.guidance))
    quantise(pipeline, inputs, args.pack / "unet-int8")
    print(f"{len(inputs)} passes calibrated; pack {write_manifest(args.pack)[:12]}")
    return 0
