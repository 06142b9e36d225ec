"""An atlas of heads: what was put in is what is drawn."""

import copy

import pytest
import torch

from meddiff.case import Plane
from meddiff.diffusion.prior import PLANES, HeadPrior, field, places, unbent

BLANK = torch.zeros(1, 1, 256, 256)


def mask_on(side: str) -> torch.Tensor:
    mask = BLANK.clone()
    mask[..., 96:160, slice(32, 96) if side == "left" else slice(160, 224)] = 1
    return mask


@pytest.fixture(scope="module")
def prior() -> HeadPrior:
    """Two coronal templates: bright on the left, whose lesions lie on the left, and the same on the right."""
    made = HeadPrior(templates=3, components=2, size=32)
    made.plane[:2] = PLANES.index(Plane.CORONAL)
    made.count[:2] = 30
    for number, columns in enumerate((slice(0, 16), slice(16, 32))):
        made.mean[number, :, columns] = 0.6
        made.looks[number, 0] = 0.05
        made.forms[number, 0, 0] = 0.1  # all of it, along the rows
        where = torch.zeros(16, 16)
        where[:, slice(0, 8) if number == 0 else slice(8, 16)] = 0.5
        made.where[number] = where.flatten()
    return made


def drawn(prior: HeadPrior, mask: torch.Tensor, seed: int) -> torch.Tensor:
    return prior.draw(Plane.CORONAL, mask, torch.Generator().manual_seed(seed))


def test_a_drawn_head_is_a_picture_and_follows_its_seed(prior):
    head = drawn(prior, BLANK, 1)
    assert head.shape == (1, 1, 256, 256) and head.min() >= 0 and head.max() <= 1 and head.std() > 0.1
    assert torch.equal(head, drawn(prior, BLANK, 1))
    assert not torch.equal(head, drawn(prior, BLANK, 2))


@pytest.mark.parametrize("side", ["left", "right"])
def test_where_the_lesion_lies_says_what_the_slice_shows(prior, side):
    heads = torch.cat([drawn(prior, mask_on(side), seed) for seed in range(20)])
    left, right = heads[..., :100].mean((1, 2, 3)), heads[..., 156:].mean((1, 2, 3))
    assert ((left > right) == (side == "left")).all()


def test_bending_moves_the_head_and_looks_change_it(prior):
    still = torch.zeros(1, 2)
    plain = prior.picture(0, still, still, torch.ones(1))
    brighter = prior.picture(0, torch.tensor([[1.0, 0.0]]), still, torch.ones(1))
    assert torch.allclose((brighter - plain).mean(), torch.tensor(0.05), atol=0.01)
    moved = prior.picture(0, still, torch.tensor([[1.0, 0.0]]), torch.ones(1))
    edge = [int((row[0, 0, 128] > 0.3).nonzero().max()) for row in (plain, moved)]
    assert edge[1] - edge[0] == pytest.approx(0.1 * 128, abs=2)


def test_unbending_undoes_bending():
    bend = torch.randn(3, 2, 6, 6, generator=torch.Generator().manual_seed(0)) * 0.03
    forward, back = field(bend, 64), unbent(bend, 64)
    there = places(back, 64)
    again = there + torch.nn.functional.grid_sample(forward, there, padding_mode="border", align_corners=False).permute(
        0, 2, 3, 1
    )
    straight = places(torch.zeros_like(back), 64)
    assert (again - straight).abs().max() < 2e-3


def test_a_plane_without_templates_is_refused(prior):
    with pytest.raises(ValueError, match="axial"):
        prior.draw(Plane.AXIAL, BLANK, torch.Generator())


def test_it_survives_its_folder_in_half_precision(prior, tmp_path):
    copy.deepcopy(prior).half().save_pretrained(tmp_path)
    kept = HeadPrior.from_pretrained(tmp_path).float()
    assert torch.allclose(drawn(kept, BLANK, 1), drawn(prior, BLANK, 1), atol=0.02)
