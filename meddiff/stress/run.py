"""A plan from its first trial to its last: on several processes of one machine, or on a Ray cluster; it can be killed and goes on.

Trials that share a case but for its acquisition are one unit of work, and a pure function of the plan: whichever process runs it,
whenever, the outcomes are the same. Each worker computes on one thread, because the last bit of a picture depends on their number.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import multiprocessing
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meddiff import __version__
from meddiff.case import MedDiffError, Record
from meddiff.exchange.atomic import write_atomic
from meddiff.settings import settings
from meddiff.stress.journal import Journal, read_head, read_journal
from meddiff.stress.plan import StressPlan, Trial, trials, units
from meddiff.stress.records import Answer, Contract, DetectorSpec, Outcome

OUTCOMES = "outcomes.json"
AHEAD = 2  # units that wait for each worker, so that none is idle and a stop is quick
_ALONE = {"MEDDIFF_THREADS": "1", "OMP_NUM_THREADS": "1"}  # of a worker: the last bit of a picture depends on it
AGAIN = 1  # times that units are given out again after a worker died of them


class DetectorInfo(Record):
    """A detector as a run's folder names it; of a file its SHA-256, so that another one under its name is noticed."""

    name: str
    spec: str
    contract: Contract
    sha256: str = ""


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        done, total: trials.
        eta_s: seconds still to go at the pace of this call; None before the first unit.
        new: outcomes since the last call.
    """

    done: int
    total: int
    eta_s: float | None
    new: tuple[Outcome, ...] = ()


@dataclass(frozen=True)
class Result:
    """A run as it stands.

    Attributes:
        plan, detectors: what was run.
        pack_sha256, software: of the cases.
        outcomes: in the order of trials.
        complete: whether every trial of the plan is there.
    """

    plan: StressPlan
    detectors: tuple[DetectorInfo, ...]
    pack_sha256: str
    software: str
    outcomes: tuple[Outcome, ...]
    complete: bool

    @property
    def contracts(self) -> dict[str, Contract]:
        """By the detectors' names."""
        return {detector.name: detector.contract for detector in self.detectors}


def run(
    plan: StressPlan,
    detectors: Sequence[DetectorSpec],
    folder: str | Path,
    workers: int = 0,
    ray: str | None = None,
    progress: Callable[[Progress], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Result:
    """Runs what is still to be run of a plan, and returns all of it.

    Args:
        folder: of the run. With a run of the same plan and detectors in it, only what is missing is run.
        workers: processes; 0: one a core. With Ray: actors, 0: one a CPU of the cluster.
        ray: address of a Ray cluster (`auto`, `ray://host:10001`), or `local` for one on this machine. Detectors and pack must be
            found under the same names on every machine of it.
        progress: called after every unit.
        stop: asked after every unit; True ends the run, which can be resumed.

    Raises:
        MedDiffError: nothing to test, a detector or pack that cannot be had, a folder of another run, a worker that died twice.
    """
    if not detectors:
        raise MedDiffError(
            "There is no detector to test: name one (`--detector segmenter` takes a reference detector)."
        )
    head = heading(plan, detectors)
    journal = Journal(folder, head)
    total = sum(1 for _ in trials(plan))
    left = list(units(trial for trial in trials(plan) if trial.number not in journal.outcomes))
    begun, before = time.monotonic(), len(journal.outcomes)

    def told(new: Iterable[Outcome]) -> None:
        fresh = tuple(new)
        journal.add(fresh)
        done = len(journal.outcomes)
        pace = (done - before) / max(time.monotonic() - begun, 1e-6)
        if progress:
            progress(Progress(done, total, (total - done) / pace if pace else None, fresh))

    told(())
    if left:
        job = Job(plan.canonical_json(), tuple(d.canonical_json() for d in detectors), str(head["pack_sha256"]))
        if ray:
            for outcomes in by_ray(job, left, workers, ray, stop):
                told(outcomes)
        else:
            with Processes(job, min(workers or os.cpu_count() or 1, len(left))) as processes:
                for outcomes in processes.run(left, stop):
                    told(outcomes)
    result = read_run(folder)
    if result.complete:
        write_outcomes(result, Path(folder) / OUTCOMES)
    return result


def heading(plan: StressPlan, detectors: Sequence[DetectorSpec]) -> dict[str, object]:
    """What a run is made of, as its folder keeps it; every detector is tried with one picture first.

    Raises:
        MedDiffError: two detectors of one name, or one that cannot be had or does not keep to its contract.
    """
    from meddiff.diffusion.checkpoint import verify

    known = [identify(detector, plan.timeout_s) for detector in detectors]
    names = [told.name for told in known]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise MedDiffError(f"Two detectors are called {twice!r}: give one of them another name (name=file).")
    return {
        "plan": plan.model_dump(mode="json"),
        "pack_sha256": verify(settings().checkpoints / plan.pack),
        "software": f"MedDiff {__version__}",
        "detectors": [told.model_dump(mode="json") for told in known],
    }


def identify(detector: DetectorSpec, timeout_s: float) -> DetectorInfo:
    """Starts a detector once, which holds it to its contract, and says what it is.

    Raises:
        MedDiffError: it cannot be had, or does not keep to its contract.
    """
    return try_out(detector, timeout_s)[0]


def try_out(detector: DetectorSpec, timeout_s: float) -> tuple[DetectorInfo, Answer]:
    """The same, with its answer to the probe picture.

    Raises:
        MedDiffError: as `identify`.
    """
    from meddiff.stress.detectors import Guarded, probe_image
    from meddiff.stress.detectors.load import file_of

    with Guarded(detector.spec, detector.contract, timeout_s, detector.name or None) as started:
        path = file_of(detector.spec)
        told = DetectorInfo(
            name=started.name,
            spec=detector.spec,
            contract=started.contract,
            sha256=hashlib.sha256(path.read_bytes()).hexdigest() if path else "",
        )
        return told, started.look([probe_image()])[0]


def read_run(folder: str | Path) -> Result:
    """A run as its folder has it, finished or not.

    Raises:
        MedDiffError: no run there, or a damaged one.
    """
    head = read_head(folder)
    plan = StressPlan.model_validate(head["plan"])
    outcomes = read_journal(folder)
    return Result(
        plan,
        detectors_of(head),
        str(head["pack_sha256"]),
        str(head["software"]),
        tuple(outcomes),
        len(outcomes) == sum(1 for _ in trials(plan)),
    )


def detectors_of(head: dict[str, Any]) -> tuple[DetectorInfo, ...]:
    """The detectors that a run's folder names (`journal.read_head`)."""
    return tuple(DetectorInfo.model_validate(told) for told in head["detectors"])


def write_outcomes(result: Result, path: Path) -> Path:
    """All outcomes in the order of trials as JSON: the same plan gives the same bytes, by however many processes."""
    told = json.dumps(
        [outcome.model_dump(mode="json") for outcome in result.outcomes], sort_keys=True, ensure_ascii=False
    )
    return write_atomic(path, lambda file: file.write_text(told + "\n", encoding="utf-8"))


def another_picture(trial: int) -> MedDiffError:
    """What to say where a trial's case comes out otherwise than when it was run."""
    return MedDiffError(
        f"Trial {trial} gives another picture here than when it was run: another model, processor or library. Run the plan again on this "
        "machine."
    )


# ---------------------------------------------------------------- workers


@dataclass(frozen=True)
class Job:
    """What a worker is started with."""

    plan: str
    detectors: tuple[str, ...]
    pack_sha256: str


class _Worker:
    """A lab that runs units."""

    def __init__(self, job: Job) -> None:
        from meddiff.stress.lab import Lab

        plan = StressPlan.model_validate_json(job.plan)
        self.lab = Lab(plan, [DetectorSpec.model_validate_json(told) for told in job.detectors])
        if (sha256 := self.lab.studio.load().info.sha256) != job.pack_sha256:
            raise MedDiffError(
                f"This worker's pack {plan.pack} is {sha256[:12]}, the run's is {job.pack_sha256[:12]}: install the same one everywhere."
            )

    def run(self, unit: Sequence[Trial]) -> list[str]:
        return [tested.outcome.canonical_json() for tested in self.lab.run(unit)]


_worker: _Worker | MedDiffError | None = None


def _start(job: Job) -> None:
    # An exception here would only say that the pool is broken: it is told with the first unit.
    global _worker
    try:
        _worker = _Worker(job)
    except MedDiffError as error:
        _worker = error


def _work(unit: Sequence[Trial]) -> list[str]:
    if isinstance(_worker, MedDiffError):
        raise _worker
    assert _worker is not None
    return _worker.run(unit)


@contextmanager
def single_threaded() -> Iterator[None]:
    """What processes that are started meanwhile read from their environment."""
    before = {name: os.environ.get(name) for name in _ALONE}
    os.environ.update(_ALONE)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


class Processes:
    """Workers on this machine; use it with `with`. One that dies (no memory) is replaced, and its units are given out again once."""

    def __init__(self, job: Job, workers: int = 0) -> None:
        self.job, self.count = job, workers or os.cpu_count() or 1
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *error: object) -> None:
        self._close()

    def run(self, wanted: Sequence[Sequence[Trial]], stop: Callable[[], bool] | None = None) -> Iterator[list[Outcome]]:
        """The outcomes of units, as they are ready.

        Raises:
            MedDiffError: what a worker cannot start with, or a worker that died twice.
        """
        left, died = list(wanted), 0
        while left:
            try:
                for unit, outcomes in self._pooled(left, stop):
                    left.remove(unit)
                    yield outcomes
                return
            except BrokenProcessPool as error:
                self._close()
                died += 1
                if died > AGAIN:
                    raise MedDiffError(
                        f"A worker died twice, near trial {left[0][0].number}: out of memory? Try fewer --workers. What was finished is "
                        "kept."
                    ) from error

    def _pooled(
        self, wanted: Sequence[Sequence[Trial]], stop: Callable[[], bool] | None
    ) -> Iterator[tuple[Sequence[Trial], list[Outcome]]]:
        if self._pool is None:
            spawned = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self.count, spawned, _start, (self.job,))
        waiting = iter(list(wanted))  # of which `run` takes what is done
        running: dict[Future[list[str]], Sequence[Trial]] = {}
        try:
            with single_threaded():  # while processes are started
                for unit in itertools.islice(waiting, AHEAD * self.count):
                    running[self._pool.submit(_work, unit)] = unit
            while running:
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    unit = running.pop(future)
                    yield unit, [Outcome.model_validate_json(line) for line in future.result()]
                    if stop and stop():
                        return
                    if (following := next(waiting, None)) is not None:
                        running[self._pool.submit(_work, following)] = following
        finally:
            for future in running:
                future.cancel()

    def _close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None


def by_ray(
    job: Job, wanted: Sequence[Sequence[Trial]], workers: int, address: str | None, stop: Callable[[], bool] | None
) -> Iterator[list[Outcome]]:
    try:
        import ray
    except ImportError as error:
        raise MedDiffError("Ray is not installed here: `pip install ray`, on every machine of the cluster.") from error
    own = not ray.is_initialized()
    if own:
        try:
            if address == "local":  # what it starts has this process's environment, and needs no other
                with single_threaded():
                    ray.init(num_cpus=workers or None, include_dashboard=False, log_to_driver=False)
            else:
                ray.init(address=address, runtime_env={"env_vars": _ALONE}, log_to_driver=False)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise MedDiffError(f"No Ray cluster answers at {address!r}: {error}") from error
    try:
        count = min(workers or max(1, math.floor(ray.cluster_resources().get("CPU", 1))), len(wanted))
        made: Any = ray.remote(num_cpus=1)(_Worker)
        idle = [made.remote(job) for _ in range(count)]
        waiting, running = iter(wanted), {}
        while True:
            while idle and (unit := next(waiting, None)) is not None:
                worker = idle.pop()
                running[worker.run.remote(unit)] = worker
            if not running:
                return
            (done, *_), _ = ray.wait(list(running))
            idle.append(running.pop(done))
            try:
                lines = ray.get(done)
            except ray.exceptions.RayError as error:
                cause = getattr(error, "cause", None)
                raise MedDiffError(str(cause or error)) from error
            yield [Outcome.model_validate_json(line) for line in lines]
            if stop and stop():
                return
    finally:
        if own:
            ray.shutdown()
