"""An empty store of questions on SQLite, and the same on a real PostgreSQL server where one is installed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from meddiff.teaching.store import Questions
from tests.bank.conftest import server, url

__all__ = ["server", "url"]


@pytest.fixture
def questions(url: str) -> Iterator[Questions]:
    """An empty store."""
    made = Questions(url)
    yield made
    made.engine.dispose()
