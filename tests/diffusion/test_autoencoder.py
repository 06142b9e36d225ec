"""The autoencoder starts as principal components and keeps its latents while its decoder learns."""

import pytest
import torch

from meddiff.diffusion.autoencoder import PatchAutoencoder
from meddiff.training.autoencoder import reconstruct_psnr, train_autoencoder


def smooth(count: int = 8, size: int = 128) -> torch.Tensor:
    """Smooth random pictures [N, size, size] uint8."""
    noise = torch.rand(count, 1, size // 8, size // 8, generator=torch.Generator().manual_seed(0))
    large = torch.nn.functional.interpolate(noise, size=(size, size), mode="bicubic", align_corners=False)
    return (large.clamp(0, 1) * 255).round().byte().squeeze(1)


@pytest.fixture(scope="module")
def started() -> PatchAutoencoder:
    model = PatchAutoencoder(width=16, blocks=1)
    model.start_from_components(smooth().unsqueeze(1).float() / 127.5 - 1)
    return model


def test_components_alone_already_give_the_picture_back(started):
    assert reconstruct_psnr(started, smooth()) > 35


def test_shapes_and_whitening(started):
    latents = started.encode(smooth().unsqueeze(1).float() / 127.5 - 1)
    assert latents.shape == (8, 16, 16, 16)
    assert torch.allclose(latents.mean((0, 2, 3)), torch.zeros(16), atol=0.05)
    assert torch.allclose(latents.std((0, 2, 3)), torch.ones(16), atol=0.05)
    assert started.decode(latents).shape == (8, 1, 128, 128)


def test_a_side_that_is_no_multiple_of_eight_is_refused(started):
    with pytest.raises(ValueError, match="multiples of 8"):
        started.encode(torch.zeros(1, 1, 100, 96))


def test_training_the_decoder_leaves_every_latent_as_it_was(started, tmp_path):
    import copy

    pictures = smooth(4, 128)
    before = started.encode(pictures.unsqueeze(1).float() / 127.5 - 1)
    model = train_autoencoder(pictures, pictures, tmp_path, 1.5, stage="decoder", start=copy.deepcopy(started), batch=2)
    assert torch.equal(model.encode(pictures.unsqueeze(1).float() / 127.5 - 1), before)
    moved = any(
        not torch.equal(a, b) for a, b in zip(model.refine.parameters(), started.refine.parameters(), strict=True)
    )
    assert moved
    assert (tmp_path / "sheet.png").exists() or (tmp_path / "log.jsonl").exists()


def test_it_is_saved_and_loaded_whole(started, tmp_path):
    started.save_pretrained(tmp_path)
    again = PatchAutoencoder.from_pretrained(tmp_path)
    x = smooth(1).unsqueeze(1).float() / 127.5 - 1
    assert torch.equal(again(x), started(x))
