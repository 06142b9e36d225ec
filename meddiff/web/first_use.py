"""What the pages load when they are first used, by one thread at a time.

Python's import locks are one a module: two threads that enter a package which imports its own modules by different doors
(`meddiff.exchange` here, `meddiff.exchange.png` there) wait for each other, and Python lets one of them go on with half a module. Whoever
opens a tab calls this first.
"""

from __future__ import annotations

import threading

_ONE_AT_A_TIME = threading.Lock()


def load_bank() -> None:
    """Loads the bank and what teaches from it."""
    with _ONE_AT_A_TIME:
        import meddiff.bank.store
        import meddiff.teaching.store
        import meddiff.teaching.study_store  # noqa: F401
