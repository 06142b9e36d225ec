"""The path from noise to picture."""

import torch

from meddiff.diffusion.flow import direction, logit_normal, mix, path, renoise, solver, times


def test_times_fall_from_nearly_one_to_zero_and_shift_towards_noise():
    plain, shifted = solver(1.0), solver(3.0)
    for one in (plain, shifted):
        one.set_timesteps(8)
        assert one.sigmas[0] > 0.995 and one.sigmas[-1] == 0
        assert (one.sigmas.diff() < 0).all()
    assert (shifted.sigmas[1:-1] > plain.sigmas[1:-1]).all()


def test_the_true_direction_leads_to_the_picture_in_any_number_of_steps():
    x0, noise = torch.randn(1, 4, 8, 8), torch.randn(1, 4, 8, 8)
    for steps in (1, 3, 8):
        way = solver(2.0)
        way.set_timesteps(steps)
        x = mix(x0, noise, float(way.sigmas[0]))
        for t in way.timesteps:
            x = way.step(noise - x0, t, x).prev_sample
        assert torch.allclose(x, x0, atol=1e-4)


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


def test_training_times_lie_inside_and_mostly_where_lesions_are_decided():
    t = logit_normal(10_000, torch.Generator().manual_seed(0))
    assert t.min() > 0 and t.max() < 1
    assert (t > 0.95).float().mean() > 0.005
    assert ((t > 0.3) & (t < 0.9)).float().mean() > 0.7
    assert 0.1 < (t < 0.4).float().mean() < 0.3


def test_few_passes_are_each_a_picture_lost_in_fresh_noise():
    x0 = torch.randn(1, 4, 8, 8)
    assert times(4, 2.0) == sorted(times(4, 2.0), reverse=True) and times(4, 2.0)[-1] == 0
    sampler = path(renoise(2.0), 4, 0.75)
    assert torch.allclose(sampler.sigmas, 0.75 * torch.tensor(times(4, 2.0)), atol=1e-6)
    generator, twin = torch.Generator().manual_seed(3), torch.Generator().manual_seed(3)
    x = torch.randn(1, 4, 8, 8)
    for t, later, tick in zip(sampler.sigmas[:-1], sampler.sigmas[1:], sampler.timesteps, strict=True):
        x = sampler.step((x - x0) / t, tick, x, generator=generator, return_dict=False)[0]
        fresh = torch.randn(1, 4, 8, 8, generator=twin)
        assert torch.allclose(x, mix(x0, fresh, float(later)), atol=1e-5)
    assert torch.allclose(x, x0, atol=1e-5)
