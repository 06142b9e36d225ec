"""A copy of a training slice is known for one, moved or mirrored; other heads are not."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from meddiff.case import Findings, Plane, Request
from meddiff.synthesis.check import check
from meddiff.synthesis.finder import LesionFinder
from meddiff.synthesis.neighbours import Neighbours
from meddiff.training.neighbours import copies, find_neighbours


def heads(count: int, seed: int) -> np.ndarray:
    """Discs with blotches, each its own, float32 [count, 256, 256]."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:256, :256]
    disc = np.hypot(rows - 128, columns - 128) < 100
    blotches = ndimage.gaussian_filter(rng.standard_normal((count, 256, 256)), (0, 9, 9))
    return np.float32(disc * np.clip(0.4 + 4 * blotches, 0.05, 1))


@pytest.fixture(scope="module")
def finder() -> LesionFinder:
    torch.manual_seed(0)
    return LesionFinder(widths=(8, 16, 32, 32)).eval()


@pytest.fixture(scope="module")
def index(finder) -> Neighbours:
    return find_neighbours(finder, heads(40, 1), heads(60, 2))


def test_copies_are_nearer_than_any_other_head(finder, index):
    others = index.distance(finder, heads(60, 3))
    for name, pictures in copies(heads(40, 1)[:20]).items():
        assert np.median(index.distance(finder, pictures)) < others.min(), name
    assert np.allclose(index.distance(finder, heads(40, 1)[:3, :, ::-1].copy()), 0, atol=1e-4)
    assert ((others > index.near) & (others < index.far)).mean() > 0.8


def test_the_index_survives_its_file_and_holds_no_pictures(finder, index, tmp_path):
    index.save(tmp_path)
    kept = Neighbours.load(tmp_path)
    assert kept is not None and kept.index.shape == (40, 39)
    probe = heads(4, 5)
    assert np.allclose(kept.distance(finder, probe), index.distance(finder, probe), atol=5e-3)
    assert Neighbours.load(tmp_path / "nowhere") is None


def test_too_near_is_called_a_copy_and_too_far_no_plausible_head(finder, index):
    request, nothing = Request(findings=Findings(plane=Plane.AXIAL)), np.zeros((256, 256), bool)

    def reason(picture, limits):
        return check(request, None, picture, picture, nothing, 0, finder, 0.98, limits).reason

    own, other = heads(40, 1)[7], heads(60, 2)[0]
    assert "nearly a copy" in reason(own, index)
    assert reason(other, replace(index, near=0.0, far=2.0)) == ""
    assert "not plausible" in reason(other, replace(index, near=0.0, far=0.01))
