"""Rectified flow: the straight path between picture and noise, and the steps along it.

x_t = (1 - t) x_0 + t n, and the network predicts v = n - x_0 (Liu et al., *Flow Straight and Fast*, ICLR 2023).
"""

from __future__ import annotations

from typing import TypeAlias

import torch
from diffusers import DPMSolverMultistepScheduler, FlowMatchLCMScheduler
from torch import Tensor

Sampler: TypeAlias = DPMSolverMultistepScheduler | FlowMatchLCMScheduler


def solver(shift: float) -> DPMSolverMultistepScheduler:
    """The solver of the path, second order with one pass a step: Lu et al., *DPM-Solver++*, 2022 (2M), for flows.

    Times fall from nearly 1 to 0, shifted towards noise: t' = s t / (1 + (s - 1) t) (Esser et al., 2024).
    """
    return DPMSolverMultistepScheduler(
        prediction_type="flow_prediction",
        use_flow_sigmas=True,
        flow_shift=shift,
        solver_order=2,
        final_sigmas_type="zero",
    )


def renoise(shift: float) -> FlowMatchLCMScheduler:
    """Few passes, each a whole picture that is lost in fresh noise before the next: for a denoiser of `training.adversarial`.

    Luo et al., *Latent Consistency Models*, 2023, multistep sampling, on the straight path.
    """
    return FlowMatchLCMScheduler(shift=shift)


def times(steps: int, shift: float) -> list[float]:
    """The times of `steps` passes from 1 on, and 0 at the end, [steps + 1], shifted towards noise as `solver` says."""
    even = [1 - step / steps for step in range(steps + 1)]
    return [shift * t / (1 + (shift - 1) * t) for t in even]


def path(scheduler: Sampler, steps: int, begin: float = 1.0) -> Sampler:
    """A fresh solver with `steps` steps from the time `begin` to the picture; `scheduler` itself is not changed."""
    fresh = type(scheduler).from_config(scheduler.config)
    if isinstance(fresh, FlowMatchLCMScheduler):
        fresh.set_timesteps(sigmas=times(steps, 1.0)[:-1])  # shifted there; its own last time would be nearly 0
    else:
        fresh.set_timesteps(steps)
    fresh.sigmas = fresh.sigmas * begin
    fresh.set_begin_index(0)  # steps are counted, not looked up
    return fresh


def mix(x0: Tensor, noise: Tensor, t: Tensor | float) -> Tensor:
    """x_t of a picture's latents and noise."""
    return (1 - t) * x0 + t * noise


def direction(x: Tensor, output: Tensor, t: Tensor | float) -> Tensor:
    """v from the network's raw output: the best linear guess from x_t, plus what the network adds to it.

    For whitened latents, v = n - x_0 is guessed from x_t alone as (2t - 1) / s^2 x_t with s^2 = (1 - t)^2 + t^2; the rest
    has a spread of 1 / s. So the network never has to learn to hand its input through (Karras et al., EDM, 2022).
    """
    spread = (1 - t) ** 2 + t**2
    return (2 * t - 1) / spread * x + output / spread**0.5


def picture(x: Tensor, output: Tensor, t: Tensor | float) -> Tensor:
    """x_0 that the network's raw output leads to from x at time t, in one straight step."""
    return x - t * direction(x, output, t)


def logit_normal(count: int, generator: torch.Generator, mean: float = 0.6, std: float = 1.1) -> Tensor:
    """Training times [count] in (0, 1), more towards noise (Esser et al., 2024, "resolution-dependent shifting").

    Lesions, ventricles and sulci are decided between t = 0.3 and 0.9. What a head looks like as a whole is decided before, and
    is drawn from the `prior`, so little is spent there. One time is drawn from each of `count` equally likely stretches,
    so that every batch spans them all (stratified sampling).
    """
    device = generator.device
    order = torch.randperm(count, generator=generator, device=device)
    places = (order + torch.rand(count, generator=generator, device=device)) / count
    return torch.sigmoid(torch.special.ndtri(places.clamp(1e-6, 1 - 1e-6)) * std + mean)
