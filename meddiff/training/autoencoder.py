"""Recipe: the autoencoder. `meddiff train autoencoder --data DIR --run runs/autoencoder --minutes 10`

Two stages. `both` moves the linear ends and the restoring network together, from principal components; `decoder`
keeps the encoder, and with it every latent and the denoiser, and trains the restoring network further.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from meddiff.case import MedDiffError
from meddiff.diffusion.autoencoder import PatchAutoencoder
from meddiff.training.dataset import load_brain_t1gd
from meddiff.training.run import Average, Run, learning_rate, write_sheet

CROP = 128  # pixels; a multiple of the autoencoder's block


def reconstruction_loss(output: Tensor, target: Tensor) -> Tensor:
    """L1 plus half the L1 of horizontal and vertical differences; pictures [B, 1, H, W]."""
    error = output - target
    across = error.diff(dim=-1).abs().mean()
    down = error.diff(dim=-2).abs().mean()
    return error.abs().mean() + error.square().mean() * 4 + 0.5 * (across + down)


def random_crops(pictures: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Crops [count, 1, 128, 128] in [-1, 1] of pictures [N, H, W] uint8, mirrored half of the time."""
    picks = torch.randint(len(pictures), (count,), generator=generator).tolist()
    corners = torch.randint(pictures.shape[-1] - CROP + 1, (count, 2), generator=generator).tolist()
    crops = torch.stack(
        [pictures[i, r : r + CROP, c : c + CROP] for i, (r, c) in zip(picks, corners, strict=True)]
    ).unsqueeze(1)
    crops = crops.float() / 127.5 - 1
    return crops.flip(-1) if torch.rand((), generator=generator) < 0.5 else crops


@torch.no_grad()
def reconstruct_psnr(model: PatchAutoencoder, pictures: Tensor) -> float:
    """Mean PSNR in dB (peak 1) of pictures [N, H, W] uint8 passed through the autoencoder."""
    values = []
    for chunk in pictures.split(16):
        x = chunk.unsqueeze(1).float() / 127.5 - 1
        mse = ((model(x).clamp(-1, 1) - x) / 2).square().mean((1, 2, 3))
        values.append(-10 * mse.log10())
    return float(torch.cat(values).mean())


def train_autoencoder(
    train: Tensor,
    val: Tensor,
    folder: str | Path,
    seconds: float,
    stage: str = "both",
    batch: int = 8,
    rate: float = 6e-4,
    latent_noise: float = 0.05,
    start: PatchAutoencoder | None = None,
    seed: int = 0,
) -> PatchAutoencoder:
    """Trains on pictures [N, H, W] uint8 and returns the averaged model; `start` continues from given weights.

    Raises:
        ValueError: for a stage that is neither `both` nor `decoder`.
    """
    if stage not in ("both", "decoder"):
        raise ValueError(f"stage {stage!r}: one of both, decoder")
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = start or PatchAutoencoder()
    if start is None:
        model.start_from_components(train[:: max(1, len(train) // 400)].unsqueeze(1).float() / 127.5 - 1)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    model.encoder.requires_grad_(stage == "both")
    average = Average(model)
    optimizer = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad], lr=rate, betas=(0.9, 0.99), weight_decay=1e-4
    )
    run = Run(folder, seconds)
    run.keep(model=model, average=average, optimizer=optimizer)
    run.resume()
    generator.manual_seed(seed + run.step)
    prepared, optimizer_ = run.accelerator.prepare(model, optimizer)

    def loss() -> Tensor:
        x = random_crops(train, batch, generator).to(run.accelerator.device, memory_format=torch.channels_last)
        latents = model.encode(x)
        # A denoiser's latents are never exact: the decoder learns to live with a little noise on them.
        noise = torch.randn(latents.shape, generator=generator).to(x.device) * latent_noise
        noisy = torch.rand(len(x), 1, 1, 1, generator=generator).to(x.device) < 0.5
        return reconstruction_loss(prepared.decode(latents + noise * noisy), x)

    run.descend(model, optimizer_, average, lambda gone: learning_rate(rate, run.step, gone), loss, batch)
    best: PatchAutoencoder = average.module  # type: ignore[assignment]
    run.log(psnr_val=round(reconstruct_psnr(best, val), 3))
    shown = val[:: max(1, len(val) // 8)][:8].unsqueeze(1)
    write_sheet(
        torch.cat([shown.float() / 255, (best(shown.float() / 127.5 - 1) + 1).detach() / 2]),
        run.folder / "sheet.png",
        8,
    )
    return best


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `meddiff train autoencoder`."""
    parser.add_argument("--data", type=Path, required=True, help="folder of the brain_t1gd set (docs/data.md)")
    parser.add_argument("--run", type=Path, default=Path("runs/autoencoder"), help="folder of state, log and result")
    parser.add_argument("--minutes", type=float, default=7, help="how long to train (default 7)")
    parser.add_argument(
        "--stage",
        choices=("both", "decoder"),
        default="both",
        help="both: from principal components; decoder: keep the encoder and every latent, improve the decoder",
    )
    parser.add_argument("--start", type=Path, help="vae/ folder of a pack to start from (needed for --stage decoder)")


def main(args: argparse.Namespace) -> int:
    """Trains and writes `vae/` into the run's folder."""
    if args.stage == "decoder" and args.start is None:
        raise MedDiffError("--stage decoder keeps an encoder: name the vae/ folder it comes from with --start.")
    data = load_brain_t1gd(args.data)
    start = PatchAutoencoder.from_pretrained(args.start) if args.start else None
    model = train_autoencoder(
        torch.from_numpy(data.where("train").pictures),
        torch.from_numpy(data.where("val").pictures),
        args.run,
        args.minutes * 60,
        stage=args.stage,
        start=start,  # type: ignore[arg-type]
    )
    model.save_pretrained(args.run / "vae")
    return 0
