"""Runs that a server keeps: each in a folder of its own, one at a time in the background, to be stopped, listed and gone on with.

<casebank>/stress/<id>/   run.json, journal.jsonl, and the files of the detectors under test, so that a run can go on after a restart
"""

from __future__ import annotations

import re
import secrets
import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from meddiff.case import MedDiffError
from meddiff.stress.detectors.load import file_of
from meddiff.stress.journal import HEAD, NAME, read_head
from meddiff.stress.plan import StressPlan
from meddiff.stress.records import DetectorSpec
from meddiff.stress.run import OUTCOMES, Progress, Result, read_run, run

_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{4}")
_KEPT = 4  # runs whose outcomes are kept in memory
ENDED = ("", "stopped", "finished", "failed")


@dataclass(frozen=True)
class Live:
    """The run that this server runs now, or ran last.

    Attributes:
        run: its id; empty: none yet.
        phase: `starting` (detectors and model are loaded), `running`, `stopping` (after the case at hand), or one of `ENDED`.
        done, total: trials.
        eta_s: seconds still to go; None: not known.
        error: why it failed.
    """

    run: str = ""
    phase: str = ""
    done: int = 0
    total: int = 0
    eta_s: float | None = None
    error: str = ""

    @property
    def busy(self) -> bool:
        """Whether it is still at work."""
        return self.phase not in ENDED


@dataclass(frozen=True)
class Listed:
    """A run in the list: id, name of its plan, detectors, trials done and in all, whether all are done."""

    run: str
    name: str
    detectors: tuple[str, ...]
    done: int
    total: int
    complete: bool

    @property
    def begun(self) -> str:
        """`2026-01-31 14:05`, UTC, from its id."""
        return f"{self.run[:4]}-{self.run[4:6]}-{self.run[6:8]} {self.run[9:11]}:{self.run[11:13]}"


class Desk:
    """The runs below a folder. Safe to share between threads.

    Args:
        folder: made when the first run starts.
        workers: processes of a run; 0: one a core.
    """

    def __init__(self, folder: str | Path, workers: int = 0) -> None:
        self.folder, self.workers = Path(folder), workers
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._live = Live()
        self._thread: threading.Thread | None = None
        self._results: dict[str, tuple[int, Result]] = {}

    @property
    def live(self) -> Live:
        """What runs now."""
        return self._live

    def start(
        self, plan: StressPlan, detectors: Sequence[DetectorSpec], before: Callable[[], object] | None = None
    ) -> str:
        """Starts a run in the background and returns its id.

        Args:
            before: called first, by the thread of the run; what it raises ends the run.

        Raises:
            MedDiffError: no detector, another run at work, or a folder that cannot be written.
        """
        if not detectors:
            raise MedDiffError("There is no detector to test: choose one first.")
        with self._lock:
            self._require_free()
            name = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
            folder = self.folder / name
            try:
                folder.mkdir(parents=True)
                own = [own_copy(spec, folder / "detectors" / str(at)) for at, spec in enumerate(detectors, 1)]
            except OSError as error:
                shutil.rmtree(folder, ignore_errors=True)
                raise MedDiffError(
                    f"The run cannot be kept in {self.folder}: {error.strerror or error}. Free some space, or let MEDDIFF_CASEBANK name "
                    "another folder."
                ) from error
            self._begin(name, plan, own, before)
        return name

    def resume(self, name: str, before: Callable[[], object] | None = None) -> None:
        """Goes on with a run that was stopped or killed; nothing is run twice.

        Raises:
            MedDiffError: no such run, or another at work.
        """
        head: Any = read_head(self.folder_of(name))
        specs = [
            DetectorSpec(spec=told["spec"], contract=told["contract"], name=told["name"]) for told in head["detectors"]
        ]
        with self._lock:
            self._require_free()
            self._begin(name, StressPlan.model_validate(head["plan"]), specs, before)

    def stop(self) -> None:
        """Ends the run at work after the cases at hand; what is finished is kept. Returns at once."""
        with self._lock:
            if self._live.busy:
                self._stop.set()
                self._live = replace(self._live, phase="stopping")

    def close(self, seconds: float = 30.0) -> None:
        """Stops, and waits until the run has ended, at most so long."""
        self.stop()
        self.wait(seconds)

    def wait(self, seconds: float) -> None:
        """Waits until no run is at work, at most so long."""
        if self._thread is not None:
            self._thread.join(seconds)

    def listed(self) -> list[Listed]:
        """All runs, the newest first; folders that hold none are left out."""
        found = []
        for path in sorted(self.folder.glob("*/" + HEAD), reverse=True):
            name = path.parent.name
            if not _ID.fullmatch(name):
                continue
            try:
                head: Any = read_head(path.parent)
                plan = StressPlan.model_validate(head["plan"])
                detectors = tuple(told["name"] for told in head["detectors"])
            except (
                MedDiffError,
                ValueError,
                KeyError,
                TypeError,
            ):  # of another version, or damaged: opening it would tell
                continue
            complete = (path.parent / OUTCOMES).exists()
            done = plan.trials() if complete else _lines(path.parent / NAME)
            found.append(Listed(name, plan.name, detectors, done, plan.trials(), complete))
        return found

    def result(self, name: str) -> Result:
        """A run as it stands, read anew only where it grew.

        Raises:
            MedDiffError: no such run, or a damaged one.
        """
        folder = self.folder_of(name)
        journal = folder / NAME
        size = journal.stat().st_size if journal.exists() else 0
        known = self._results.get(name)
        if known is not None and known[0] == size:
            return known[1]
        found = read_run(folder)
        self._results = {**dict(list(self._results.items())[1 - _KEPT :]), name: (size, found)}
        return found

    def folder_of(self, name: str) -> Path:
        """The folder of a run that has begun.

        Raises:
            MedDiffError: no such run.
        """
        folder = self.folder / name
        if not _ID.fullmatch(name) or not (folder / HEAD).exists():
            raise MedDiffError("There is no such run here: choose one in the list.")
        return folder

    def _require_free(self) -> None:
        if self._thread is not None and self._thread.is_alive():
            raise MedDiffError(
                f"A run is at work on this server ({self._live.done} of {self._live.total} trials), and one runs at a time: wait until it is "
                "finished, or stop it."
            )

    def _begin(
        self,
        name: str,
        plan: StressPlan,
        detectors: Sequence[DetectorSpec],
        before: Callable[[], object] | None,
    ) -> None:
        self._stop.clear()
        self._live = Live(name, "starting", 0, plan.trials())
        self._thread = threading.Thread(
            target=self._work, args=(name, plan, detectors, before), name="stress", daemon=True
        )
        self._thread.start()

    def _work(
        self,
        name: str,
        plan: StressPlan,
        detectors: Sequence[DetectorSpec],
        before: Callable[[], object] | None,
    ) -> None:
        folder = self.folder / name
        try:
            if before:
                before()
            if self._stop.is_set():
                raise MedDiffError("It was stopped before it began.")
            result = run(plan, detectors, folder, self.workers, progress=self._told, stop=self._stop.is_set)
            self._live = replace(self._live, phase="finished" if result.complete else "stopped", eta_s=None)
        except Exception as error:  # nobody waits for this thread: what went wrong is told by `live`
            words = str(error) if isinstance(error, MedDiffError) else f"{type(error).__name__}: {error}"
            self._live = replace(self._live, phase="failed", error=words, eta_s=None)
            if not (folder / HEAD).exists():  # nothing was begun
                shutil.rmtree(folder, ignore_errors=True)

    def _told(self, progress: Progress) -> None:
        phase = "stopping" if self._stop.is_set() else "running"
        self._live = replace(self._live, phase=phase, done=progress.done, total=progress.total, eta_s=progress.eta_s)


def own_copy(spec: DetectorSpec, folder: Path) -> DetectorSpec:
    """The detector read from the run's own folder, where it is a file: uploads are gone when the server stops."""
    path = Path(spec.spec)
    if spec.spec.startswith(("http://", "https://")) or not path.suffix or not path.is_file():
        return spec
    folder.mkdir(parents=True)
    for part in path.parent.glob("*"):  # weights of an OpenVINO model, a contract
        if part.stem in (path.stem, "contract") and part.is_file():
            shutil.copy(part, folder / part.name)
    own = file_of(str(folder / path.name))
    assert own is not None
    return spec.model_copy(update={"spec": str(own), "name": spec.name or path.stem})


def _lines(path: Path) -> int:
    """Whole lines of a file."""
    try:
        return path.read_bytes().count(b"\n")
    except OSError:
        return 0
