"""What a run says of its detectors: every figure with its interval, from the outcomes alone.

Only trials that count are scored (`Outcome.counts`); the others are counted by level, since a level whose cases often fail the
check is shown by its easier cases alone. A trial in which the detector failed to answer counts as missed in the case and as without
a mark in the twin; such faults are also listed by themselves.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from meddiff.case import MedDiffError, Record
from meddiff.stress import compare, curves, slices
from meddiff.stress.compare import Comparison
from meddiff.stress.curves import Calibration, Froc, Roc
from meddiff.stress.intervals import Estimate, drawn, ratio, share
from meddiff.stress.psychometric import Psychometric, fit
from meddiff.stress.reads import Reads, reads_of
from meddiff.stress.records import Contract, FaultKind, Kind, Outcome
from meddiff.stress.slices import Slice, Subgroups

UNEQUAL = 0.1  # difference in the share that counts, from which a level's acceptance is pointed at
FEW_PATIENTS = 20  # below, percentiles of a bootstrap cover less than they say
_MOST_MESSAGES = 5


class Acceptance(Record):
    """Trials of one level of a factor: made, accepted by the check of single cases, and scored."""

    factor: str
    level: str
    trials: int
    accepted: int
    counted: int


class Faults(Record):
    """Failures of one kind: how often in cases and in twins, in which trials, and what was said, commonest first."""

    kind: FaultKind
    cases: int
    twins: int
    trials: tuple[int, ...]
    messages: tuple[tuple[str, int], ...]


class DetectorScores(Record):
    """One detector.

    Attributes:
        sensitivity: share of cases found at its operating point.
        false_positive_share: of clean twins, those with a mark (or alarm) at it; `false_positives_per_twin`: marks a twin.
        pairs_right: share of pairs with the case found and the twin clean.
        subgroups: by the plan's factors, then by what was asked and measured.
        worst: slices found automatically, of `slices_looked_at`.
        froc, lroc: of those that say where.
        faults: of all trials, those that do not count too.
    """

    name: str
    kind: Kind
    threshold: float
    trials: int
    blocks: int
    sensitivity: Estimate
    false_positive_share: Estimate
    false_positives_per_twin: Estimate
    pairs_right: Estimate
    psychometric: Psychometric
    roc: Roc | None
    lroc: Roc | None
    froc: Froc | None
    calibration: Calibration | None
    subgroups: tuple[Subgroups, ...]
    worst: tuple[Slice, ...]
    slices_looked_at: int
    faults: tuple[Faults, ...]

    @property
    def fault_count(self) -> int:
        """Pictures that it did not answer."""
        return sum(row.cases + row.twins for row in self.faults)


class Scores(Record):
    """All that a run says.

    Attributes:
        trials, accepted, counted: made, accepted by the check of single cases, scored.
        blocks: patients among those scored.
        reasons: why trials do not count, commonest first.
        comparisons: detectors in pairs, on the trials that all of them were given.
        notes: what to keep in mind, a sentence each.
    """

    trials: int
    accepted: int
    counted: int
    blocks: int
    seed: int
    reasons: tuple[tuple[str, int], ...]
    acceptance: tuple[Acceptance, ...]
    detectors: tuple[DetectorScores, ...]
    comparisons: tuple[Comparison, ...]
    notes: tuple[str, ...]

    def detector(self, name: str) -> DetectorScores:
        """A detector by its name. Raises MedDiffError for one that is not there."""
        for detector in self.detectors:
            if detector.name == name:
                return detector
        known = ", ".join(detector.name for detector in self.detectors) or "none"
        raise MedDiffError(f"No detector is called {name!r} here: there is {known}.")


def score(outcomes: Sequence[Outcome], contracts: Mapping[str, Contract], seed: int = 0) -> Scores:
    """The scores of a run; of an unfinished one too.

    Args:
        outcomes: of any trials, in any order; of a trial that stands there twice the last counts.
        contracts: of the detectors, by name: their kinds and operating points.
        seed: of the bootstraps that are drawn.

    Raises:
        MedDiffError: an answer of a detector without a contract.
    """
    ordered = [one for _, one in sorted({outcome.trial: outcome for outcome in outcomes}.items())]
    names = list(dict.fromkeys(name for outcome in ordered for name in outcome.answers))
    for name in names:
        if name not in contracts:
            raise MedDiffError(f"There are answers of {name!r} and no contract of it: give what it takes and answers.")
    scored = [outcome for outcome in ordered if outcome.counts]
    acceptance = _acceptance(ordered)
    shared = [outcome for outcome in scored if len(outcome.answers) == len(names)]
    together = [reads_of(name, contracts[name], shared) for name in names] if len(names) > 1 and shared else []
    return Scores(
        trials=len(ordered),
        accepted=sum(outcome.accepted for outcome in ordered),
        counted=len(scored),
        blocks=len({outcome.block for outcome in scored}),
        seed=seed,
        reasons=tuple(Counter(o.reason or "no reason given" for o in ordered if not o.counts).most_common()),
        acceptance=acceptance,
        detectors=tuple(_detector(name, contracts[name], ordered, seed) for name in names),
        comparisons=compare.compare_all(together),
        notes=_notes(scored, acceptance),
    )


def _detector(name: str, contract: Contract, outcomes: Sequence[Outcome], seed: int) -> DetectorScores:
    asked = [outcome for outcome in outcomes if name in outcome.answers]
    mine = [outcome for outcome in asked if outcome.counts]
    reads = reads_of(name, contract, mine)
    attributes = slices.attributes_of(mine)
    figures = {**curves.figures(reads), **slices.gap_figures(reads, attributes)} if mine else {}
    draws = drawn(figures, reads.blocks, len(mine), seed) if mine else {}
    worst, looked_at = slices.worst_slices(reads, attributes) if mine else ((), 0)
    return DetectorScores(
        name=name,
        kind=contract.kind,
        threshold=contract.threshold,
        trials=len(mine),
        blocks=reads.blocks,
        sensitivity=share(reads.found, reads.place),
        false_positive_share=share(reads.alarm, reads.place),
        false_positives_per_twin=ratio(reads.marks, reads.place),
        pairs_right=share(reads.right, reads.place),
        psychometric=_psychometric(reads, mine, seed),
        roc=curves.roc(reads, draws) if mine else None,
        lroc=curves.lroc(reads, draws) if mine and reads.locates else None,
        froc=curves.froc(reads) if mine and reads.locates else None,
        calibration=curves.calibration(reads, draws) if mine else None,
        subgroups=slices.subgroups(reads, attributes, draws) if mine else (),
        worst=worst,
        slices_looked_at=looked_at,
        faults=_faults(name, asked),  # a crash at a case that does not count is a finding all the same
    )


def _psychometric(reads: Reads, outcomes: Sequence[Outcome], seed: int) -> Psychometric:
    """Who only says yes or no may guess right; who must point at the lesion gains nothing from a false mark elsewhere."""
    conspicuity = [outcome.measured.conspicuity_acquired for outcome in outcomes]
    return fit(conspicuity, reads.found, reads.place, None if reads.locates else reads.alarm, seed)


def _faults(name: str, outcomes: Sequence[Outcome]) -> tuple[Faults, ...]:
    cases: Counter[FaultKind] = Counter()
    twins: Counter[FaultKind] = Counter()
    trials: dict[FaultKind, set[int]] = defaultdict(set)
    messages: dict[FaultKind, Counter[str]] = defaultdict(Counter)
    for outcome in outcomes:
        pair = outcome.answers[name]
        for answer, counter in ((pair.case, cases), (pair.twin, twins)):
            if answer.fault is not None:
                counter[answer.fault.kind] += 1
                trials[answer.fault.kind].add(outcome.trial)
                messages[answer.fault.kind][answer.fault.message] += 1
    return tuple(
        Faults(
            kind=kind,
            cases=cases[kind],
            twins=twins[kind],
            trials=tuple(sorted(trials[kind])),
            messages=tuple(messages[kind].most_common(_MOST_MESSAGES)),
        )
        for kind in FaultKind
        if kind in trials
    )


def _acceptance(outcomes: Sequence[Outcome]) -> tuple[Acceptance, ...]:
    return tuple(
        Acceptance(factor=factor, level=level, trials=trials, counted=counted, accepted=accepted)
        for factor, levels in slices.acceptance_of(outcomes).items()
        for level, (trials, counted, accepted) in levels.items()
    )


def _notes(scored: Sequence[Outcome], acceptance: Sequence[Acceptance]) -> tuple[str, ...]:
    found = []
    by_factor: dict[str, dict[str, float]] = defaultdict(dict)
    for row in acceptance:
        by_factor[row.factor][row.level] = row.counted / row.trials
    for factor, shares in by_factor.items():
        worst, best = min(shares, key=lambda at: shares[at]), max(shares, key=lambda at: shares[at])
        if shares[best] - shares[worst] > UNEQUAL:
            found.append(
                f"Cases count unequally often by {factor}: {shares[worst]:.0%} at {worst} and {shares[best]:.0%} at {best}. "
                f"What is scored at {worst} may be its easier (or harder) cases: read that comparison with care."
            )
    if scored and len(scored) < 50:
        found.append(f"Only {len(scored)} trials are scored: intervals are wide, and small differences cannot be told.")
    patients = len({outcome.block for outcome in scored})
    if 0 < patients < FEW_PATIENTS:
        found.append(
            f"Only {patients} patient{' is' if patients == 1 else 's are'} scored: intervals over so few are too narrow. Add patients rather than levels."
        )
    lesions = sum(outcome.measured.lesions > 1 for outcome in scored)
    if lesions:
        found.append(f"{lesions} of the cases hold more than one lesion; such a case is found with any of them.")
    return tuple(found)
