"""Seconds and memory a case, and what INT8 costs: `python -m benchmarks.speed`

Each precision runs in a process of its own, one after the other, so that peak memory is its own. The peer is a denoiser of
Stable Diffusion 1.5's size (diffusers' default `UNet2DConditionModel`, 860M, random weights, fp32), 50 steps with guidance on
64x64 latents; `--peer-passes` of its 100 passes are timed and multiplied.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time

import numpy as np

SENTENCE = "Axial T1 post-contrast, ring-enhancing left frontal glioma, 40 mm, irregular margin"
PEER_STEPS = 50


def one(precision: str, count: int) -> dict[str, object]:
    """Loads the pack at a precision and times cases (picture, twin, check, seal), warm."""
    from meddiff.case import Request, Tolerance
    from meddiff.synthesis.studio import Studio

    begun = time.perf_counter()
    studio = Studio("brain-t1gd", precision)
    info = studio.load().info
    loaded = time.perf_counter() - begun
    request = Request(
        sentence=SENTENCE, seed=1, steps=info.steps, guidance=info.guidance, tolerance=Tolerance(redraws=0)
    )
    list(studio.create(request))  # warm
    first = time.perf_counter() - begun
    begun = time.perf_counter()
    pictures = [case.image.pixels[: case.image.height].tolist() for case in studio.create(request, count=count)]
    seconds = (time.perf_counter() - begun) / count
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    return {
        "precision": precision,
        "load_s": loaded,
        "first_s": first,
        "case_s": seconds,
        "peak_gib": peak,
        "pictures": pictures,
    }


def peer(passes: int) -> dict[str, float]:
    """Seconds a picture of the peer, from a few passes of it (batch 2: with and without the sentence)."""
    import torch
    from diffusers import UNet2DConditionModel

    network = UNet2DConditionModel(sample_size=64, cross_attention_dim=768).eval()
    latents, context = torch.randn(2, 4, 64, 64), torch.randn(2, 77, 768)
    with torch.inference_mode():
        network(latents, 500, context)
        begun = time.perf_counter()
        for _ in range(passes):
            network(latents, 500, context)
        a_pass = (time.perf_counter() - begun) / passes
    size = sum(p.numel() for p in network.parameters()) / 1e6
    return {"parameters_m": size, "pass_s": a_pass, "case_s": a_pass * PEER_STEPS}


def main(arguments: list[str] | None = None) -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument("--count", type=int, default=5, help="cases timed a precision (default 5)")
    parser.add_argument("--peer-passes", type=int, default=2, help="passes of the peer that are timed (default 2)")
    parser.add_argument("--precisions", nargs="+", default=["int8", "bf16", "fp32"], choices=("int8", "bf16", "fp32"))
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.one:
        print(json.dumps(peer(args.peer_passes) if args.one == "peer" else one(args.one, args.count)))
        return 0

    def run(which: str) -> dict:  # type: ignore[type-arg]
        command = [
            sys.executable,
            "-m",
            "benchmarks.speed",
            "--one",
            which,
            "--count",
            str(args.count),
            "--peer-passes",
            str(args.peer_passes),
        ]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return json.loads(done.stdout.splitlines()[-1])

    results = [run(precision) for precision in args.precisions]
    other = run("peer")
    exact = next((np.array(r["pictures"], float) for r in results if r["precision"] == "fp32"), None)
    print(
        f"{'':8s}{'load s':>8s}{'first s':>9s}{'case s':>8s}{'peak GiB':>10s}{'PSNR to fp32':>14s}{'x faster than peer':>20s}"
    )
    for r in results:
        apart = float("inf")
        if exact is not None and r["precision"] != "fp32":
            apart = float(-10 * np.log10(np.mean(((np.array(r["pictures"], float) - exact) / 255) ** 2)))
        print(
            f"{r['precision']:8s}{r['load_s']:8.1f}{r['first_s']:9.1f}{r['case_s']:8.2f}{r['peak_gib']:10.2f}"
            f"{apart:14.1f}{other['case_s'] / r['case_s']:20.0f}"
        )
    print(
        f"peer    {other['parameters_m']:.0f}M parameters, {other['pass_s']:.2f} s a pass of two, "
        f"{other['case_s']:.0f} s for {PEER_STEPS} steps with guidance ({args.peer_passes} passes timed)"
    )
    print(
        "A case is: picture, twin, check by the independent finder, seal. INT8 pictures differ from fp32 by the PSNR above."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
