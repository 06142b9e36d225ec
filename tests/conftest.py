"""What many tests need: a tiny pack with random weights, a phantom head, settings that point at a temporary folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

# Two workers share two cores. Said before torch is loaded, and to the apps that tests start: pixels depend on it in the last bit.
THREADS = "1" if "PYTEST_XDIST_WORKER" in os.environ else "2"
os.environ["OMP_NUM_THREADS"] = THREADS

import numpy as np  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402

from meddiff.settings import settings  # noqa: E402

if TYPE_CHECKING:
    from meddiff.synthesis.studio import Studio

torch.set_num_threads(int(THREADS))


@pytest.fixture(scope="session")
def tiny_packs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of checkpoints that holds one pack, `brain-t1gd`, with random weights."""
    from meddiff.diffusion.tiny import write_tiny_pack

    folder = tmp_path_factory.mktemp("checkpoints")
    write_tiny_pack(folder)
    return folder


@pytest.fixture(scope="module")
def tiny_studio(tiny_packs: Path) -> Iterator[Studio]:
    """The tiny pack, opened once for a module whose tests make pictures."""
    from meddiff.synthesis.studio import Studio

    patch = pytest.MonkeyPatch()
    patch.setenv("MEDDIFF_CHECKPOINTS", str(tiny_packs))
    settings.cache_clear()
    yield Studio("brain-t1gd", "fp32")
    patch.undo()
    settings.cache_clear()


@pytest.fixture
def tiny_house(tiny_packs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings that use the tiny pack and an empty bank; returns the temporary folder."""
    monkeypatch.setenv("MEDDIFF_CHECKPOINTS", str(tiny_packs))
    monkeypatch.setenv("MEDDIFF_CASEBANK", str(tmp_path / "bank"))
    settings.cache_clear()
    yield tmp_path
    settings.cache_clear()


def make_phantom(size: int = 256) -> np.ndarray:
    """A head in axial cut: bright skull, grey brain, dark ventricles, an asymmetric lesion; float32 [size, size] in [0, 1]."""
    rows, columns = np.mgrid[:size, :size] / size - 0.5
    radius = np.hypot(rows / 0.34, columns / 0.29)
    picture = np.where(radius < 1, 0.35, 0.0)
    picture[(radius > 0.9) & (radius < 1)] = 0.8
    picture[np.hypot((rows + 0.02) / 0.1, columns / 0.04) < 1] = 0.1
    picture[np.hypot(rows + 0.12, columns - 0.12) < 0.06] = 0.7
    noise = np.random.default_rng(0).normal(0, 0.01, picture.shape)
    return np.clip(picture + noise * (radius < 1), 0, 1).astype(np.float32)


@pytest.fixture
def phantom() -> np.ndarray:
    """See `make_phantom`."""
    return make_phantom()


@pytest.fixture
def phantom_mask() -> np.ndarray:
    """The phantom's lesion, bool [256, 256]."""
    rows, columns = np.mgrid[:256, :256] / 256 - 0.5
    return np.hypot(rows + 0.12, columns - 0.12) < 0.06
