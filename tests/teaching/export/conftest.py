"""One quiz with an item of every kind, made once."""

import pytest

from meddiff.marking import SealedCase
from meddiff.teaching.export.quiz import Quiz, read_quiz
from tests.teaching.export.quiz_support import TITLE, cases, items


@pytest.fixture(scope="session")
def known() -> dict[str, SealedCase]:
    """Sealed cases by id."""
    return cases()


@pytest.fixture(scope="session")
def quiz(known: dict[str, SealedCase]) -> Quiz:
    """A quiz ready to leave."""
    return read_quiz(TITLE, items(known), known.__getitem__)
