"""Tests share two cores: bootstraps that are drawn draw less."""

from collections.abc import Iterator

import pytest

from meddiff.stress import intervals, psychometric


@pytest.fixture(scope="session", autouse=True)
def fewer_draws() -> Iterator[None]:
    """A fifth of the draws; the ideal bootstrap draws nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intervals, "MOST_DRAWS", 2000)
        patch.setattr(psychometric, "DRAWS", 200)
        yield
