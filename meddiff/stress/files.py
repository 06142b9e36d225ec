"""A run's report files: scores and failing cases as HTML, JSON and JUnit, with the run told as the report wants it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from meddiff.case import MedDiffError
from meddiff.marking.seal import SealedCase
from meddiff.stress.lab import Lab
from meddiff.stress.plan import plan_text, trials, units
from meddiff.stress.records import Outcome
from meddiff.stress.report import RunSummary, Tested, failing, write_json, write_junit, write_report
from meddiff.stress.run import Result
from meddiff.stress.scores import Scores, score
from meddiff.stress.thresholds import Verdict, check

HTML, JSON, JUNIT = "report.html", "report.json", "junit.xml"


@dataclass(frozen=True)
class Reported:
    """What was written, and what it says."""

    scores: Scores
    verdicts: tuple[Verdict, ...]
    files: tuple[Path, ...]


def summary_of(result: Result, command: str = "") -> RunSummary:
    """A run as its report tells it."""
    return RunSummary(
        title=result.plan.name,
        plan=plan_text(result.plan),
        plan_sha256=result.plan.digest(),
        pack=result.plan.pack,
        pack_sha256=result.pack_sha256,
        detectors=tuple(
            Tested(name=one.name, contract=one.contract, origin=one.spec, sha256=one.sha256) for one in result.detectors
        ),
        cases_sha256=hashlib.sha256("".join(sha for o in result.outcomes for sha in o.sealed).encode()).hexdigest(),
        seed=result.plan.seed,
        command=command,
        versions=(("MedDiff", result.software.removeprefix("MedDiff ")),),
    )


def write_files(
    result: Result,
    folder: str | Path,
    thresholds: Sequence[str] = (),
    strict: bool = False,
    learners: Sequence[tuple[float, bool]] = (),
    pictures: bool = True,
    command: str = "",
    seed: int = 0,
) -> Reported:
    """Scores a run and writes `report.html`, `report.json` and, where there are thresholds, `junit.xml`.

    Args:
        thresholds: as `stress.thresholds` says.
        learners: (conspicuity, right) of the question bank's answers.
        pictures: make the failing cases again and show them: some seconds each.

    Raises:
        MedDiffError: nothing to score, a threshold that cannot be judged, a file that cannot be written.
    """
    if not result.outcomes:
        raise MedDiffError("This run has no trial yet: there is nothing to report.")
    folder = Path(folder)
    scores = score(result.outcomes, result.contracts, seed)
    verdicts = check(thresholds, scores, strict)
    run = summary_of(result, command)
    shown = cases_again(result, failing(result.outcomes, result.contracts)) if pictures else {}
    files = [
        write_report(run, result.outcomes, scores, folder / HTML, verdicts, lambda one: shown.get(one.trial), learners),
        write_json(run, scores, folder / JSON, verdicts),
    ]
    if verdicts:
        files.append(write_junit(run, verdicts, folder / JUNIT))
    return Reported(scores, verdicts, tuple(files))


def cases_again(result: Result, wanted: Sequence[Outcome]) -> dict[int, SealedCase]:
    """The cases of trials, by their numbers, made again; one that gives another picture here is left out."""
    by_trial = {outcome.trial: outcome for outcome in wanted if outcome.measures is not None}
    made: dict[int, SealedCase] = {}
    if not by_trial:
        return made
    with Lab(result.plan) as lab:
        for unit in units(trial for trial in trials(result.plan) if trial.number in by_trial):
            made |= {outcome.trial: case for outcome, case in lab.again(unit, by_trial) if case is not None}
    return made
