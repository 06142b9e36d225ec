"""The trials that a detector failed at, told one by one: missed lesions, false alarms on clean twins, pictures without an answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from meddiff.stress.reads import reads_of
from meddiff.stress.records import Outcome
from meddiff.stress.run import Result


@dataclass(frozen=True)
class Failure:
    """One trial that counts, and who failed at it.

    Attributes:
        missed, alarmed: names of detectors that did not find its lesion, or marked its clean twin, at their operating points.
        silent: names of those that did not answer one of its pictures.
    """

    outcome: Outcome
    missed: tuple[str, ...]
    alarmed: tuple[str, ...]
    silent: tuple[str, ...]


def failures(result: Result) -> list[Failure]:
    """All of a run, the most conspicuous lesion first."""
    who: dict[int, dict[str, list[str]]] = {}
    for name, contract in result.contracts.items():
        mine = [outcome for outcome in result.outcomes if outcome.counts and name in outcome.answers]
        if not mine:
            continue
        reads = reads_of(name, contract, mine)
        for at, outcome in enumerate(mine):
            pair = outcome.answers[name]
            said = {
                "missed": not reads.found[at],
                "alarmed": bool(reads.alarm[at]),
                "silent": pair.case.fault is not None or pair.twin.fault is not None,
            }
            for what in (what for what, is_so in said.items() if is_so):
                who.setdefault(outcome.trial, {"missed": [], "alarmed": [], "silent": []})[what].append(name)
    found = [
        Failure(outcome, *(tuple(who[outcome.trial][what]) for what in ("missed", "alarmed", "silent")))
        for outcome in result.outcomes
        if outcome.trial in who
    ]
    return sorted(found, key=lambda failure: -failure.outcome.measured.conspicuity_acquired)


def wanted(result: Result, which: str) -> Callable[[Outcome], bool]:
    """Which outcomes `missed` (by any detector), `counted` or `all` means."""
    if which == "all":
        return lambda outcome: True
    if which == "counted":
        return lambda outcome: outcome.counts
    missed = {failure.outcome.trial for failure in failures(result) if failure.missed}
    return lambda outcome: outcome.trial in missed
