"""A detector in a process of its own: what crashes, hangs or answers nonsense there is a finding, and the run goes on."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from meddiff.case import MedDiffError
from meddiff.stress.detectors.child import send
from meddiff.stress.detectors.detector import faulty, held, probe_image, view_of
from meddiff.stress.detectors.prepare import View
from meddiff.stress.records import Answer, Contract, FaultKind

if TYPE_CHECKING:
    from meddiff.marking.seal import SealedImage

START_S = 120.0  # to load: a large model on a busy machine
MOST_STARTS = 3  # in a row without success, after which a detector stays dead
_CHILD = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from meddiff.stress.detectors.child import main; main()"
)


class Guarded:
    """A detector that cannot take the run down with it. A context manager; the process is started on entering.

    Args:
        spec, contract, name: as in `load_detector`; a callable needs a name that can be imported.
        timeout_s: seconds until a picture without an answer counts as a hang.
        start_s: seconds that loading may take.

    Each process that uses it starts a detector of its own: after a fork, and unpickled in a worker.
    """

    def __init__(
        self,
        spec: str | Path | Callable[..., Any],
        contract: Contract | None = None,
        timeout_s: float = 30.0,
        name: str | None = None,
        start_s: float = START_S,
    ) -> None:
        if timeout_s <= 0 or start_s <= 0:
            raise MedDiffError(
                f"A detector gets {timeout_s:g} s for an answer and {start_s:g} s to load: give more than 0."
            )
        if callable(spec):
            from meddiff.stress.detectors.python import name_of

            spec = name_of(spec)
        self._asked = {
            "spec": str(spec),
            "contract": contract.model_dump(mode="json") if contract else None,
            "name": name,
        }
        self.timeout_s, self.start_s = timeout_s, start_s
        self._forget()

    def _forget(self) -> None:
        self._process: _Process | None = None
        self._told: _Told | None = None
        self._failed_starts = 0
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {"_asked": self._asked, "timeout_s": self.timeout_s, "start_s": self.start_s}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    def __enter__(self) -> Guarded:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def start(self) -> None:
        """Loads the detector and holds it to its contract at a probe picture; nothing where that was done.

        Raises:
            MedDiffError: it cannot be loaded, dies or hangs as it loads, or does not keep its contract.
        """
        if self._told is not None:
            return
        self._running()
        try:
            held(self.name, self.look([probe_image()])[0])
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Ends the detector's process."""
        if self._process is not None:
            self._process.end()
        self._process = self._told = None

    @property
    def name(self) -> str:
        """How results call it."""
        return self._ready().name

    @property
    def contract(self) -> Contract:
        """What it takes and gives."""
        return self._ready().contract

    def look(self, images: Sequence[SealedImage]) -> list[Answer]:
        """Answers to sealed pictures, one each, in their pixels. What goes wrong at one is its fault alone.

        Raises:
            MedDiffError: a picture that is not sealed, or a detector that was not started and cannot be.
        """
        png = self._ready().png
        views = [view_of(image, png) for image in images]
        with self._lock:
            return [self._look(view) for view in views]

    def _look(self, view: View) -> Answer:
        try:
            process = self._running()
        except MedDiffError as error:
            return faulty(FaultKind.CRASH, f"It could not be started again: {error}")
        try:
            return process.ask(view, self.timeout_s)
        except _Gone as gone:
            process.end()
            self._process = None
            return faulty(gone.kind, str(gone))

    def _ready(self) -> _Told:
        if self._told is None:
            self._running()
        assert self._told is not None
        return self._told

    def _running(self) -> _Process:
        """The process, started where there is none, or where it belongs to the process that this one was forked from."""
        if self._process is not None and self._process.owner == os.getpid():
            return self._process
        if self._failed_starts >= MOST_STARTS:
            raise MedDiffError(f"{self._asked['spec']} failed to start {MOST_STARTS} times in a row.")
        self._failed_starts += 1
        process = _Process(self._asked)
        try:
            self._told = process.ready(self.start_s)
        except BaseException:
            process.end()
            raise
        self._process, self._failed_starts = process, 0
        return process


class _Gone(Exception):
    """No answer, and the process is of no more use."""

    def __init__(self, kind: FaultKind, why: str) -> None:
        super().__init__(why)
        self.kind = kind


class _Told:
    """What a detector said of itself when it was loaded."""

    def __init__(self, said: dict[str, Any]) -> None:
        self.name: str = said["name"]
        self.contract = Contract.model_validate(said["contract"])
        self.png: bool = said["png"]


class _Process:
    """One running child, and the thread that reads what it says."""

    def __init__(self, asked: dict[str, Any]) -> None:
        self.owner, self._spec = os.getpid(), asked["spec"]
        path = [entry or os.getcwd() for entry in sys.path]
        self._child = subprocess.Popen(
            [sys.executable, "-c", _CHILD, json.dumps(path), json.dumps(asked)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            start_new_session=True,  # Ctrl-C is the run's to handle, and what the detector starts ends with it
        )
        self.end = weakref.finalize(self, _end, self._child, self.owner)
        self._said: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=_read, args=(self._child, self._said), daemon=True).start()

    def ready(self, seconds: float) -> _Told:
        """Waits until the detector is loaded. Raises MedDiffError where it is not."""
        try:
            said = self._next(seconds)
        except _Gone as gone:
            raise MedDiffError(f"{self._spec} cannot be loaded: {gone}") from gone
        if "failed" in said:
            raise MedDiffError(said["failed"])
        return _Told(said["ready"])

    def ask(self, view: View, seconds: float) -> Answer:
        """The answer to a picture. Raises _Gone."""
        # From a thread: a process that reads nothing must not hold this one up.
        threading.Thread(target=self._send, args=(view,), daemon=True).start()
        try:
            return Answer.model_validate(self._next(seconds))
        except ValidationError as error:
            raise _Gone(FaultKind.NONSENSE, "Something else than an answer came from its process.") from error

    def _send(self, view: View) -> None:
        assert self._child.stdin is not None
        try:
            send(view, self._child.stdin)
        except (OSError, ValueError):  # the process is gone: whoever waits for the answer learns it
            pass

    def _next(self, seconds: float) -> dict[str, Any]:
        try:
            line = self._said.get(timeout=seconds)
        except queue.Empty as error:
            raise _Gone(FaultKind.HANG, f"It did not answer within {seconds:g} s; its process was ended.") from error
        if not line:
            raise _Gone(FaultKind.CRASH, f"Its process ended {_how(self._child.wait())}.")
        try:
            said = json.loads(line)
        except ValueError as error:
            raise _Gone(FaultKind.NONSENSE, "Something else than an answer came from its process.") from error
        return said if isinstance(said, dict) else {}


def _read(child: subprocess.Popen[bytes], said: queue.SimpleQueue[bytes]) -> None:
    """Each line of a child, and an empty one when there will be no more."""
    assert child.stdout is not None
    with child.stdout:
        for line in child.stdout:
            said.put(line)
    said.put(b"")


def _end(child: subprocess.Popen[bytes], owner: int) -> None:
    """Ends a child with all that it started; a fork of the process that started it leaves it alone."""
    if os.getpid() != owner:
        return
    try:
        if hasattr(os, "killpg"):
            os.killpg(child.pid, signal.SIGKILL)
        else:
            child.kill()
    except ProcessLookupError:
        pass
    child.wait()
    if child.stdin is not None:
        try:
            child.stdin.close()
        except OSError:  # what was not yet sent
            pass


def _how(code: int) -> str:
    """How a process ended, in words."""
    if code >= 0:
        return f"with exit code {code}"
    try:
        return f"by {signal.Signals(-code).name}"
    except ValueError:
        return f"by signal {-code}"
