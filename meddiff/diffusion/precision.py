"""One denoiser at several precisions, behind one signature.

| name | CPU | CUDA |
|---|---|---|
| `int8` | OpenVINO IR quantised by NNCF, convolutions and linears, shipped in `unet-int8/` | bitsandbytes 8-bit linears (convolutions stay float) |
| `bf16` | torch bfloat16 | torch bfloat16 |
| `fp32` | torch float32 | torch float32 |
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from meddiff.case import MedDiffError

# (inputs [B, 37, h, w], time in [0, 1000], context [B, 16, 128], clinical [B, 10], or [B, 11] with guidance) -> raw output [B, 16, h, w], see `flow.direction`
Denoise = Callable[[Tensor, float, Tensor, Tensor], Tensor]

PRECISIONS = ("int8", "bf16", "fp32")
IR_NAME = "denoiser.xml"


def torch_denoise(unet: UNet2DConditionModel) -> Denoise:
    """The denoiser as it is in torch, at its weights' precision and on its device; float32 in and out."""

    def denoise(inputs: Tensor, time: float, context: Tensor, clinical: Tensor) -> Tensor:
        device, dtype = unet.device, unet.dtype
        v = unet(
            inputs.to(device, dtype),
            torch.full((len(inputs),), time, device=device),
            encoder_hidden_states=context.to(device, dtype),
            class_labels=clinical.to(device, dtype),
        ).sample
        return v.float().cpu()

    return denoise


def openvino_denoise(folder: Path, threads: int = 0) -> Denoise:
    """The ready-made INT8 network of a pack, compiled for this CPU once a batch size.

    Raises:
        MedDiffError: when the pack ships none, or OpenVINO cannot read it.
    """
    import openvino as ov

    path = folder / IR_NAME
    if not path.exists():
        raise MedDiffError(f"The pack in {folder.parent} ships no INT8 network: use --precision fp32 or bf16.")
    core = ov.Core()
    options: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    if threads:
        options["INFERENCE_NUM_THREADS"] = threads
    try:
        network = core.read_model(path)
    except RuntimeError as error:
        raise MedDiffError(f"The INT8 network {path} cannot be read: install the pack again.") from error
    compiled: dict[int, Any] = {}

    def denoise(inputs: Tensor, time: float, context: Tensor, clinical: Tensor) -> Tensor:
        count = len(inputs)
        if count not in compiled:
            shaped = network.clone()
            shapes = (inputs.shape, (count,), context.shape, clinical.shape)
            shaped.reshape(
                {port: ov.PartialShape(list(shape)) for port, shape in zip(shaped.inputs, shapes, strict=True)}
            )
            compiled[count] = core.compile_model(shaped, "CPU", options)
        times = np.full(count, time, np.float32)
        result = compiled[count]([inputs.numpy(), times, context.numpy(), clinical.numpy()])
        return torch.from_numpy(result[0].copy())

    return denoise


def has_native_bf16() -> bool:
    """Whether this CPU computes in bfloat16 itself; elsewhere it is emulated and some ten times slower."""
    cpu = torch.cpu
    return bool(
        getattr(cpu, "_is_avx512_bf16_supported", lambda: False)()
        or getattr(cpu, "_is_amx_tile_supported", lambda: False)()
    )


def bitsandbytes_denoiser(folder: Path) -> UNet2DConditionModel:
    """The denoiser with 8-bit linears on CUDA, through diffusers' own quantisation.

    Raises:
        MedDiffError: without a CUDA device: bitsandbytes' 8-bit kernels run there only.
    """
    if not torch.cuda.is_available():
        raise MedDiffError("bitsandbytes 8-bit needs a CUDA GPU: on a CPU use int8 (OpenVINO), bf16 or fp32.")
    from diffusers import BitsAndBytesConfig

    unet: UNet2DConditionModel = UNet2DConditionModel.from_pretrained(  # type: ignore[assignment]
        folder, quantization_config=BitsAndBytesConfig(load_in_8bit=True), torch_dtype=torch.float16
    )
    return unet.eval()
