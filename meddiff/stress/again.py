"""Cases of a run made again, and its files written, in a process of its own: it computes on one thread, as the run did, and nobody waits for it.

A case that was opened once is kept in a small bank in the run's folder, and opens at once from then on.
"""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meddiff.case import MedDiffError
from meddiff.stress.run import another_picture, read_run, single_threaded

if TYPE_CHECKING:
    from meddiff.marking.seal import SealedCase
    from meddiff.stress.records import Outcome

OPENED = "opened"  # folder of that bank
_EVERY_S = 0.5


class Again:
    """One process with the model in it, started when it is first needed. Safe to share between threads, one task at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pool: ProcessPoolExecutor | None = None
        self._counted: Any = None

    def case(self, folder: str | Path, outcome: Outcome) -> SealedCase:
        """The sealed case of a run's trial, as the detectors saw it. Some seconds where it was not opened before.

        Raises:
            MedDiffError: a trial without a case, other weights than the run's, or a picture that does not come out the same.
        """
        from meddiff.bank.store import Bank

        bank = Bank(Path(folder) / OPENED)
        if not bank.knows(outcome.case):
            self._do(_keep, str(folder), outcome.trial)
        case = bank.open(outcome.case)
        told = (case.image.provenance.sealed_sha256, case.twin.provenance.sealed_sha256)
        if told != outcome.sealed:
            raise another_picture(outcome.trial)
        return case

    def report(
        self,
        folder: str | Path,
        to: str | Path,
        thresholds: Sequence[str] = (),
        learners: Sequence[tuple[float, bool]] = (),
        pictures: bool = True,
    ) -> tuple[Path, ...]:
        """Writes a run's report into the folder `to`, as `files.write_files` does.

        Raises:
            MedDiffError: as there.
        """
        return tuple(map(Path, self._do(_report, str(folder), str(to), tuple(thresholds), tuple(learners), pictures)))

    def pack(
        self,
        folder: str | Path,
        to: str | Path,
        which: str = "missed",
        progress: Callable[[int, int], None] | None = None,
    ) -> Path:
        """Writes a pack of the cases `which` (`missed`, `counted`, `all`) into the file `to`, which ends in `.zip`.

        Raises:
            MedDiffError: no such case, or as `pack.write_pack`.
        """
        return Path(self._do(_pack, str(folder), str(to), which, progress=progress))

    def close(self) -> None:
        """Ends the process."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)

    def _do(self, what: Callable[..., Any], *args: Any, progress: Callable[[int, int], None] | None = None) -> Any:
        with self._lock:
            if self._pool is None:
                spawned = multiprocessing.get_context("spawn")
                self._counted = spawned.Array("i", 2)
                self._pool = ProcessPoolExecutor(1, spawned, _start, (self._counted,))
            try:
                with single_threaded():
                    self._counted[0] = self._counted[1] = 0
                    future = self._pool.submit(what, *args)
                while not wait([future], _EVERY_S).done:
                    if progress and self._counted[1]:
                        progress(self._counted[0], self._counted[1])
                return future.result()
            except BrokenProcessPool as error:
                self.close()
                raise MedDiffError(
                    "The process that makes cases again died: out of memory? Close other programs and try again."
                ) from error


# ---------------------------------------------------------------- in that process

_counted: Any = None


def _start(counted: Any) -> None:
    global _counted
    _counted = counted


def _keep(folder: str, trial: int) -> None:
    from meddiff.bank.store import Bank
    from meddiff.stress.files import cases_again

    result = read_run(folder)
    wanted = [outcome for outcome in result.outcomes if outcome.trial == trial]
    if not wanted or wanted[0].measures is None:
        raise MedDiffError(f"Trial {trial} has no case that could be shown.")
    made = cases_again(result, wanted)
    if trial not in made:
        raise another_picture(trial)
    Bank(Path(folder) / OPENED).keep(made[trial])


def _report(
    folder: str, to: str, thresholds: tuple[str, ...], learners: tuple[tuple[float, bool], ...], pictures: bool
) -> list[str]:
    from meddiff.stress.files import write_files

    return [
        str(path) for path in write_files(read_run(folder), to, thresholds, learners=learners, pictures=pictures).files
    ]


def _pack(folder: str, to: str, which: str) -> str:
    from meddiff.stress.failures import wanted
    from meddiff.stress.pack import write_pack

    def told(done: int, total: int) -> None:
        _counted[0], _counted[1] = done, total

    result = read_run(folder)
    return str(write_pack(result, to, wanted(result, which), progress=told))
