"""Which tests drive the page."""

import pytest

from benchmarks.page import CHROMIUM

BROWSER = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: install one to drive the page"),
]


def in_browser(test):  # type: ignore[no-untyped-def]
    """Marks one test of a file whose others need no browser."""
    for mark in BROWSER:
        test = mark(test)
    return test
