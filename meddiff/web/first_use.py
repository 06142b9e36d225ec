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


def load_stress() -> None:
    """Loads the desk of the stress lab: what the tab needs to be opened and to start a run; neither figures nor the model."""
    with _ONE_AT_A_TIME:
        import meddiff.stress.desk
        import meddiff.stress.estimate  # noqa: F401


def load_evaluation() -> None:
    """Loads what shows an evaluation: records and plots, without the model."""
    with _ONE_AT_A_TIME:
        import meddiff.diffusion.checkpoint
        import meddiff.evaluation.plots
        import meddiff.evaluation.records
        import meddiff.evaluation.table  # noqa: F401


def load_explaining() -> None:
    """Loads what follows words through the model."""
    with _ONE_AT_A_TIME:
        import meddiff.evaluation.explain  # noqa: F401


def load_figures() -> None:
    """Loads the stress lab's figures, without the model, and the learners' answers that stand beside them."""
    with _ONE_AT_A_TIME:
        import meddiff.bank.store
        import meddiff.stress.again
        import meddiff.stress.failures
        import meddiff.stress.page
        import meddiff.stress.scores
        import meddiff.teaching.conspicuity  # noqa: F401
