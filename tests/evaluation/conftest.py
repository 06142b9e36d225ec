"""A pack with random weights, opened once for the parts that make pictures."""

from collections.abc import Iterator

import pytest

from meddiff.settings import settings
from meddiff.synthesis.studio import Studio


@pytest.fixture(scope="module")
def tiny_studio(tiny_packs) -> Iterator[Studio]:
    patch = pytest.MonkeyPatch()
    patch.setenv("MEDDIFF_CHECKPOINTS", str(tiny_packs))
    settings.cache_clear()
    yield Studio("brain-t1gd", "fp32")
    patch.undo()
    settings.cache_clear()
