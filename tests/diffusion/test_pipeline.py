"""Sampling: one seed a sample, batch or not; what is known stays."""

from pathlib import Path

import pytest
import torch

from meddiff.case import Plane
from meddiff.conditions.tensors import Conditions, edit_cells, mask_channels
from meddiff.diffusion.checkpoint import open_pipeline
from meddiff.diffusion.denoiser import build_denoiser
from meddiff.diffusion.flow import solver
from meddiff.diffusion.pipeline import filled, passes, sample_latents
from meddiff.diffusion.precision import torch_denoise


@pytest.fixture(scope="module")
def pipeline(tiny_packs: Path):
    return open_pipeline(tiny_packs / "brain-t1gd")


def conditions(count: int) -> Conditions:
    generator = torch.Generator().manual_seed(3)
    return Conditions(
        torch.randn(count, 16, 128, generator=generator),
        torch.zeros(count, 1, 256, 256),
        torch.ones(count, 1, 256, 256),
        torch.zeros(count, 10),
    )


def test_a_sample_does_not_depend_on_its_batch(pipeline):
    asked = conditions(3)
    together = pipeline(asked, [5, 6, 7], steps=2)
    alone = pipeline(asked.sample(1), [6], steps=2)
    assert torch.equal(together[1], alone[0])


def test_the_same_seed_gives_the_same_picture_and_another_does_not(pipeline):
    asked = conditions(1)
    assert torch.equal(pipeline(asked, [1], steps=2), pipeline(asked, [1], steps=2))
    assert not torch.equal(pipeline(asked, [1], steps=2), pipeline(asked, [2], steps=2))


def test_outside_the_edit_region_the_background_stays(pipeline, phantom):
    edit = torch.zeros(1, 1, 256, 256)
    edit[..., 96:144, 96:144] = 1
    asked = conditions(1)
    asked = Conditions(asked.context, asked.mask, edit, asked.clinical)
    background = torch.from_numpy(phantom)[None, None]
    made = pipeline(asked, [1], steps=3, background=background)
    seen = pipeline.vae(background * 2 - 1) / 2 + 0.5
    assert torch.allclose(made[..., :64, :64], seen[..., :64, :64].clamp(0, 1), atol=1e-5)
    assert not torch.allclose(made[..., 100:140, 100:140], seen[..., 100:140, 100:140], atol=1e-2)


def test_an_earlier_picture_stays_the_more_the_later_it_is_lost_in_noise(pipeline, phantom):
    """And the passes are fewer; outside the edit region nothing of it is seen."""
    edit = torch.zeros(1, 1, 256, 256)
    edit[..., 96:144, 96:144] = 1
    asked = conditions(1)
    asked = Conditions(asked.context, asked.mask, edit, asked.clinical)
    background = torch.from_numpy(phantom)[None, None]
    start = 1 - background
    wanted = pipeline.vae(start * 2 - 1).clamp(-1, 1)[..., 104:136, 104:136] / 2 + 0.5
    apart, counted = [], []
    for begin in (0.05, 0.3, 0.8):
        told = []
        made = pipeline(
            asked, [1], steps=8, background=background, start=start, begin=begin, progress=lambda d, t, told=told: told.append(d)
        )  # fmt: skip
        apart.append(float((made[..., 104:136, 104:136] - wanted).abs().mean()))
        counted.append(len(told))
        anew = pipeline(asked, [1], steps=8, background=background)
        assert torch.equal(made[..., :64, :64], anew[..., :64, :64])
    assert apart[0] < apart[1] < apart[2]
    assert counted == [passes(8, begin) for begin in (0.05, 0.3, 0.8)] == [2, 3, 8]


def test_a_head_leaves_room_for_a_lesion_that_is_not_drawn_yet(pipeline, monkeypatch):
    asked = conditions(1)
    place = torch.zeros(1, 1, 256, 256)
    place[..., 150:170, 90:110] = 1
    rooms = []
    monkeypatch.setattr(pipeline, "head", lambda plane, mask, seed: rooms.append(mask))
    pipeline(asked, [1], steps=2, plane=Plane.AXIAL, place=place)
    pipeline(asked, [1], steps=2, plane=Plane.AXIAL)
    assert torch.equal(rooms[0], place) and torch.equal(rooms[1], asked.mask)


def test_progress_counts_every_pass(pipeline):
    told = []
    pipeline(conditions(2), [1, 2], steps=3, progress=lambda done, total: told.append((done, total)))
    assert told == [(n, 6) for n in range(1, 7)]


def test_seeds_and_conditions_must_agree(pipeline):
    with pytest.raises(ValueError, match="2 seeds for 1"):
        pipeline(conditions(1), [1, 2])


def test_an_outline_keeps_its_place_in_quarter_cells():
    mask = torch.zeros(1, 1, 256, 256)
    mask[..., 4:8, 0:4] = 1  # lower left quarter of the first cell
    channels = mask_channels(mask)
    assert channels.shape == (1, 4, 32, 32)
    assert channels[0, :, 0, 0].tolist() == [0, 0, 1, 0]


def test_a_cell_is_open_when_any_pixel_its_latent_sees_is():
    edit = torch.zeros(1, 1, 256, 256)
    edit[..., 19, 19] = 1  # cell 2, and within reach of cell 1's kernel
    assert edit_cells(edit)[0, 0].nonzero().tolist() == [[1, 1], [1, 2], [2, 1], [2, 2]]


def test_an_open_place_starts_from_what_surrounds_it():
    known = torch.full((1, 16, 32, 32), 2.0)
    known[..., 16:] = -1.0
    cells = torch.zeros(1, 1, 32, 32)
    cells[..., 12:16, 4:8] = cells[..., 12:16, 26:30] = 1
    hidden = torch.where(cells > 0, torch.full_like(known, 50.0), known)  # what lies in open cells must not be seen
    start = filled(hidden, cells)
    assert torch.allclose(start, known, atol=1e-4)
    assert torch.isfinite(filled(known, torch.ones_like(cells))).all()


def test_a_network_that_takes_guidance_is_asked_once_a_step_and_told_how_hard():
    asked, heard = conditions(1), []

    def denoise(inputs, time, context, clinical):
        heard.append((len(inputs), clinical[:, -1].tolist()))
        return torch.zeros(len(inputs), 16, 32, 32)

    sample_latents(denoise, solver(2.0), asked, 1, 2, 3.0, one_pass=True)
    assert heard == [(1, [0.5])] * 2  # halfway between 1 and 5
    heard.clear()
    sample_latents(denoise, solver(2.0), asked, 1, 2, 9.0, one_pass=True)
    assert heard == [(2, [0.0, 0.0])] * 2  # harder than it was taught: two passes, as ever
    heard.clear()
    sample_latents(denoise, solver(2.0), asked, 1, 2, 1.0, one_pass=True)
    assert heard == [(1, [0.0])] * 2


def test_a_pack_may_hold_a_network_that_takes_guidance(pipeline):
    known = pipeline.unet, pipeline.denoise
    try:
        torch.manual_seed(0)
        pipeline.unet = build_denoiser((16, 16), heads=2, guided=True)
        pipeline.denoise = torch_denoise(pipeline.unet)
        asked = conditions(1)
        soft, hard = (pipeline(asked, [1], steps=2, guidance=w) for w in (1.0, 5.0))
        assert soft.shape == hard.shape == (1, 1, 256, 256) and not torch.equal(soft, hard)
    finally:
        pipeline.unet, pipeline.denoise = known
