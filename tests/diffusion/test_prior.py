"""Heads as a Gaussian: what was fitted is what is drawn."""

import pytest
import torch

from meddiff.case import Plane
from meddiff.diffusion.prior import HeadPrior


def left_or_right(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Latents whose first channel is bright on the lesion's side, and the lesions' outlines."""
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(count, 16, 32, 32, generator=generator) * 0.2 + 0.5
    masks = torch.zeros(count, 1, 256, 256)
    for number in range(count):
        half = slice(0, 16) if number % 2 else slice(16, 32)
        latents[number, 0, :, half] += 2
        masks[number, 0, 96:160, slice(32, 96) if number % 2 else slice(160, 224)] = 1
    return latents, masks


@pytest.fixture(scope="module")
def prior() -> HeadPrior:
    fitted = HeadPrior(components=8, until=0.5)
    carried = fitted.fit(Plane.CORONAL, *left_or_right(200), torch.ones(1, 16, 1, 1))
    assert 0 < carried < 1
    return fitted


def drawn(prior: HeadPrior, mask: torch.Tensor, seed: int) -> torch.Tensor:
    """A head without the noise that lies over it."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.zeros(1, 16, 32, 32)
    return prior.start(Plane.CORONAL, mask, noise, generator) / (1 - prior.config.until)


def test_drawn_heads_have_the_mean_and_spread_of_those_fitted(prior):
    heads = torch.cat([drawn(prior, torch.zeros(1, 1, 256, 256), seed) for seed in range(100)])
    real, _ = left_or_right(200)
    assert torch.allclose(heads.mean((0, 2, 3)), real.mean((0, 2, 3)), atol=0.1)
    assert torch.allclose(heads[:, 1:].std((0, 2, 3)), real[:, 1:].std((0, 2, 3)), atol=0.03)


def test_where_the_lesion_lies_says_what_the_slice_shows(prior):
    for mask, half in zip(left_or_right(2)[1].unsqueeze(1), ("right", "left"), strict=True):
        head = torch.cat([drawn(prior, mask, seed) for seed in range(20)]).mean(0)[0]
        brighter = "left" if head[:, :16].mean() > head[:, 16:].mean() else "right"
        assert brighter == half


def test_the_start_is_noise_as_far_as_the_time_says(prior):
    noise = torch.randn(1, 16, 32, 32, generator=torch.Generator().manual_seed(3))
    blank = torch.zeros(1, 1, 256, 256)
    bare = prior.start(Plane.CORONAL, blank, torch.zeros_like(noise), torch.Generator().manual_seed(1))
    noisy = prior.start(Plane.CORONAL, blank, noise, torch.Generator().manual_seed(1))
    assert torch.allclose(noisy - bare, prior.config.until * noise, atol=1e-5)


def test_it_survives_its_folder_in_half_precision(prior, tmp_path):
    import copy

    copy.deepcopy(prior).half().save_pretrained(tmp_path)
    kept = HeadPrior.from_pretrained(tmp_path).float()
    blank = torch.zeros(1, 1, 256, 256)
    assert kept.config.until == 0.5
    assert torch.allclose(drawn(kept, blank, 1), drawn(prior, blank, 1), atol=0.05)
