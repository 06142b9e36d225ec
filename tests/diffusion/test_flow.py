"""The path from noise to picture."""

import itertools

import torch

from meddiff.diffusion.flow import denoised, direction, euler, logit_normal, mix, times


def test_times_fall_from_one_to_zero_and_shift_towards_noise():
    plain, shifted = times(8, 1.0), times(8, 3.0)
    assert plain[0] == 1 and plain[-1] == 0
    assert (plain.diff() < 0).all()
    assert (shifted[1:-1] > plain[1:-1]).all()


def test_the_true_direction_leads_to_the_picture_in_any_number_of_steps():
    x0, noise = torch.randn(1, 4, 8, 8), torch.randn(1, 4, 8, 8)
    x, path = noise, times(5, 2.0).tolist()
    for t, t_next in itertools.pairwise(path):
        x = euler(x, noise - x0, t, t_next)
    assert torch.allclose(x, x0, atol=1e-5)
    assert torch.allclose(denoised(mix(x0, noise, 0.3), noise - x0, 0.3), x0, atol=1e-5)


def test_without_the_network_the_direction_is_the_best_linear_guess():
    generator = torch.Generator().manual_seed(0)
    x0, noise = (torch.randn(100_000, generator=generator) for _ in range(2))
    for t in (0.1, 0.5, 0.8):
        x = mix(x0, noise, t)
        slope = float((x * (noise - x0)).mean() / (x * x).mean())
        guess = direction(torch.ones(1), torch.zeros(1), t)
        assert abs(float(guess) - slope) < 0.02
        rest = (noise - x0 - direction(x, torch.zeros_like(x), t)) * ((1 - t) ** 2 + t**2) ** 0.5
        assert abs(float(rest.std()) - 1) < 0.02  # what is left for the network has unit spread at every time


def test_training_times_lie_inside_and_reach_far_into_the_noise():
    t = logit_normal(10_000, torch.Generator().manual_seed(0))
    assert t.min() > 0 and t.max() < 1
    assert 0.05 < (t > 0.95).float().mean() < 0.2
    assert 0.1 < (t < 0.4).float().mean() < 0.3
