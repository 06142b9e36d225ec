"""Looks for the request that a detector misses: not pixel noise, but conditions, patients and acquisitions that a scanner could show.

The search asks Optuna for levels of the plan's factors, makes the case, and minimises

    f = score - threshold            while the lesion is found or nearly so
    f = -ln(1 + c / c_least)         once it is missed: then the more conspicuous the missed lesion, the better

with c its contrast to noise as acquired. A case counts as found by the search only where it is fair by the plan's bound and c is at
least `least_conspicuity`: a lesion that nobody can see is no failure of a detector. Random search has the same budget, the
same seeds and the same space, and stands beside it. (Bergstra et al., NeurIPS 2011, for TPE; Gardner et al., ICML 2014, for constraints.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from meddiff.case import MedDiffError, Record
from meddiff.stress.journal import Journal, read_head, read_journal
from meddiff.stress.plan import NUMBERS, WHOLE, Design, StressPlan, Trial, acquisition_of, patient_seed, request_of
from meddiff.stress.records import Contract, DetectorSpec, Level, Outcome, Pair
from meddiff.stress.run import Job, Processes, detectors_of, heading

if TYPE_CHECKING:
    import optuna

METHODS = ("tpe", "random")
STARTUP = 10  # points drawn evenly before the model of what fails is trusted
GRID = 5  # points along each number of a neighbourhood
BISECTIONS = 4
NEAR = 0.15  # of the space's diagonal: counter-examples of one patient that are nearer are one


class SearchPlan(Record):
    """What is searched.

    Attributes:
        plan: pack, base, bound, patients (so many seeds are chosen among) and factors: of a number the first and last level are the ends
            of its range, of words each is a choice.
        budget: cases made by each method.
        batch: cases asked for at once, whatever the number of processes: results do not depend on it.
        least_conspicuity: contrast to noise as acquired, below which a missed lesion counts as invisible.
        methods: `tpe`, and `random` to compare with.
    """

    plan: StressPlan
    budget: Annotated[int, Field(ge=4, le=10_000)] = 60
    batch: Annotated[int, Field(ge=1, le=64)] = 2
    least_conspicuity: Annotated[float, Field(gt=0, le=20)] = 2.0
    methods: tuple[Literal["tpe", "random"], ...] = METHODS  # type: ignore[assignment]

    @model_validator(mode="after")
    def _has_a_space(self) -> SearchPlan:
        if not self.plan.factors:
            raise ValueError("a search needs factors that vary: name some under `factors`")
        for name, levels in self.plan.factors.items():
            if len(levels) < 2:
                raise ValueError(f"the factor {name!r} has one level: give a range or choices, or put it into base")
        return self


class Found(Record):
    """One counter-example.

    Attributes:
        outcome: of the case that was missed.
        value: f, the lower the worse for the detector.
        also: trials that are the same one.
    """

    outcome: Outcome
    value: float
    also: tuple[int, ...] = ()


class MethodResult(Record):
    """How a method did.

    Attributes:
        tried, fair, missed: cases made, those that are fair, and fair ones with a visible lesion that were missed.
        distinct: missed ones without those that are nearly the same.
        first: how many cases it took to the first; None: there is none.
        best: value after each case, the lowest so far; None before the first fair one.
    """

    method: str
    tried: int
    fair: int
    missed: int
    distinct: int
    first: int | None
    best: tuple[float | None, ...]


class Neighbour(Record):
    """A case that differs from a counter-example in one factor."""

    factor: str
    level: Level
    outcome: Outcome
    missed: bool


class SearchResult(Record):
    """What a search found.

    Attributes:
        methods: how each did on the same budget.
        p: Fisher's exact test of missed against other cases, first method against the second; None with one method.
        found: distinct counter-examples of all methods, the worst first.
        neighbours: around the worst, one factor at a time.
        flip: numbers of two trials, missed and found, that differ least; None where the neighbourhood holds no found one.
        flip_factor: in which they differ.
        outcomes: all, methods one after the other, then the neighbourhood.
    """

    search: SearchPlan
    detector: str
    contract: Contract
    pack_sha256: str
    software: str
    methods: tuple[MethodResult, ...]
    p: float | None
    found: tuple[Found, ...]
    neighbours: tuple[Neighbour, ...]
    flip: tuple[int, int] | None
    flip_factor: str
    outcomes: tuple[Outcome, ...]


def search(
    asked: SearchPlan,
    detector: DetectorSpec,
    folder: str | Path,
    workers: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> SearchResult:
    """Searches, maps the neighbourhood of the worst, and narrows down to the smallest change that flips the answer.

    Can be killed and goes on: every case stands in the folder's journal, and the same search asks for the same cases again.

    Raises:
        MedDiffError: a detector or pack that cannot be had, or a folder of another search.
    """
    head = {**heading(asked.plan, [detector]), "search": asked.model_dump(mode="json")}
    journal = Journal(folder, head)
    (told,) = detectors_of(head)
    job = Job(asked.plan.canonical_json(), (detector.canonical_json(),), str(head["pack_sha256"]))
    with Processes(job, workers) as processes:
        rounds = _Rounds(
            asked, Goal(told.name, told.contract.threshold, asked.least_conspicuity), journal, processes, progress
        )
        for at, method in enumerate(asked.methods):
            rounds.method(method, at * asked.budget)
        rounds.neighbourhood(len(asked.methods) * asked.budget)
    return read_search(folder)


def read_search(folder: str | Path) -> SearchResult:
    """A search as its folder has it, finished or not.

    Raises:
        MedDiffError: the folder holds none.
    """
    head = read_head(folder)
    if "search" not in head:
        raise MedDiffError(f"{folder} holds a run of a plan, not a search: use `meddiff stress report`.")
    asked = SearchPlan.model_validate(head["search"])
    (told,) = detectors_of(head)
    outcomes = read_journal(folder)
    goal = Goal(told.name, told.contract.threshold, asked.least_conspicuity)
    methods, parts = [], []
    for at, method in enumerate(asked.methods):
        own = [o for o in outcomes if at * asked.budget <= o.trial < (at + 1) * asked.budget]
        parts.append(own)
        methods.append(_method_result(method, own, goal, asked.plan))
    begin = len(asked.methods) * asked.budget
    found = distinct([o for part in parts for o in part if goal.missed(o)], goal, asked.plan)
    neighbours, flip, factor = _neighbourhood(
        found[0].outcome if found else None, [o for o in outcomes if o.trial >= begin], goal
    )
    return SearchResult(
        search=asked, detector=told.name, contract=told.contract, pack_sha256=str(head["pack_sha256"]), software=str(head["software"]),
        methods=tuple(methods), p=_fisher(methods), found=found, neighbours=neighbours, flip=flip, flip_factor=factor,
        outcomes=tuple(outcomes),
    )  # fmt: skip


class Goal:
    """What a search minimises, for one detector at its operating point."""

    def __init__(self, detector: str, threshold: float, least_conspicuity: float) -> None:
        self.detector, self.threshold, self.least = detector, threshold, least_conspicuity

    def score(self, outcome: Outcome) -> float:
        """The detector's score for the lesion itself: of its best mark on it, or a classifier's."""
        return score_of(outcome.answers[self.detector])

    def fair(self, outcome: Outcome) -> bool:
        """Whether the case is a fair one whose lesion can be seen."""
        seen = outcome.measures is not None and outcome.measures.conspicuity_acquired >= self.least
        return outcome.counts and seen

    def missed(self, outcome: Outcome) -> bool:
        """Whether a fair case's visible lesion was missed."""
        return self.fair(outcome) and self.score(outcome) < self.threshold

    def value(self, outcome: Outcome) -> float:
        """f of the module; of an unfair case its score alone, so that it says something of what is near."""
        if not outcome.answers or outcome.measures is None:
            return 1.0
        score = self.score(outcome)
        if score >= self.threshold or not outcome.counts:
            return score - self.threshold
        return -math.log1p(outcome.measures.conspicuity_acquired / self.least)

    def constraint(self, outcome: Outcome) -> float:
        """Not above 0 for a fair case: how far its lesion is from being visible, or 1 where the case does not count."""
        if outcome.measures is None or not outcome.counts:
            return 1.0
        return (self.least - outcome.measures.conspicuity_acquired) / self.least


def score_of(pair: Pair) -> float:
    """The score for the lesion itself: of the best mark on it; a classifier has no marks and one score. 0 after a fault."""
    case = pair.case
    if case.fault is not None:
        return 0.0
    if not case.marks:
        return case.score
    return max((mark.score for mark in case.marks if mark.hit), default=0.0)


def trial_at(asked: SearchPlan, number: int, block: int, levels: dict[str, Level], head: int | None = None) -> Trial:
    """A trial of a search.

    Args:
        head: seed of the anatomy, which shall be that of another case.
    """
    seed = patient_seed(asked.plan, block)
    every = {**asked.plan.base, **levels}
    return Trial(
        number,
        block,
        levels,
        request_of(asked.plan, every, seed),
        int(every.get("lesions", 1)),
        acquisition_of(every, seed),
        head,
    )


def distance(first: Outcome, second: Outcome, plan: StressPlan) -> float:
    """How far two cases of a search are apart: root mean square over factors, numbers as a share of their range, words 0 or 1."""
    parts = []
    for name, levels in plan.factors.items():
        a, b = first.levels[name], second.levels[name]
        if name in NUMBERS:
            low, high = float(min(levels)), float(max(levels))  # type: ignore[type-var]
            parts.append((float(a) - float(b)) / max(high - low, 1e-9))
        else:
            parts.append(float(a != b))
    return float(np.sqrt(np.mean(np.square(parts))))


def distinct(missed: Sequence[Outcome], goal: Goal, plan: StressPlan) -> tuple[Found, ...]:
    """Counter-examples without those that are nearly the same: same patient, nearer than `NEAR`. The worst first."""
    kept: list[Found] = []
    for outcome in sorted(missed, key=lambda one: (goal.value(one), one.trial)):
        for at, found in enumerate(kept):
            if found.outcome.block == outcome.block and distance(found.outcome, outcome, plan) < NEAR:
                kept[at] = found.model_copy(update={"also": (*found.also, outcome.trial)})
                break
        else:
            kept.append(Found(outcome=outcome, value=goal.value(outcome)))
    return tuple(kept)


class _Rounds:
    """Asks, makes, tells; from the journal where a case is there already."""

    def __init__(
        self,
        asked: SearchPlan,
        goal: Goal,
        journal: Journal,
        processes: Processes,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self.asked, self.goal, self.journal, self.processes, self.progress = asked, goal, journal, processes, progress

    def method(self, method: str, begin: int) -> None:
        """One method's whole budget."""
        import optuna

        with _quiet():
            study = optuna.create_study(sampler=_sampler(method, self.asked.plan.seed, 0))
            for at in range(0, self.asked.budget, self.asked.batch):
                # A sampler of its own for every round: what it asks depends on what was seen, not on who was there before a kill.
                study.sampler = _sampler(method, self.asked.plan.seed, at)
                asked = [study.ask() for _ in range(min(self.asked.batch, self.asked.budget - at))]
                made = [self._suggested(one, begin + at + n) for n, one in enumerate(asked)]
                outcomes = self._made(made)
                for one, trial in zip(asked, made, strict=True):
                    outcome = outcomes[trial.number]
                    one.set_user_attr("constraint", self.goal.constraint(outcome))
                    study.tell(one, self.goal.value(outcome))

    def neighbourhood(self, begin: int) -> None:
        """Around the worst counter-example, in the same head: every other word, numbers along their range; then between missed and found."""
        missed = [o for o in self.journal.outcomes.values() if o.trial < begin and self.goal.missed(o)]
        found = distinct(missed, self.goal, self.asked.plan)
        if not found:
            return
        worst, number = found[0].outcome, begin
        around = []
        for name, level in around_of(worst, self.asked.plan):
            around.append(trial_at(self.asked, number, worst.block, {**worst.levels, name: level}, worst.request.seed))
            number += 1
        outcomes = list(self._made(around).values())
        best = _nearest_found(worst, outcomes, self.goal, self.asked.plan)
        if best is None:
            return
        factor = _changed(worst, best)
        if factor not in NUMBERS or factor in WHOLE:
            return
        low, high = float(worst.levels[factor]), float(best.levels[factor])
        for step in range(BISECTIONS):
            middle = round((low + high) / 2, 3)
            trial = trial_at(
                self.asked, number + step, worst.block, {**worst.levels, factor: middle}, worst.request.seed
            )
            outcome = self._made([trial])[trial.number]
            if self.goal.missed(outcome):
                low = middle
            else:
                high = middle

    def _suggested(self, one: optuna.trial.Trial, number: int) -> Trial:
        levels: dict[str, Level] = {}
        for name, choices in self.asked.plan.factors.items():
            if name in NUMBERS and name not in WHOLE:
                low, high = float(min(choices)), float(max(choices))  # type: ignore[type-var]
                levels[name] = round(one.suggest_float(name, low, high), 3)
            else:
                levels[name] = one.suggest_categorical(name, list(choices))  # type: ignore[assignment]  # of what it was given
        block = one.suggest_int("patient", 0, self.asked.plan.patients - 1)
        return trial_at(self.asked, number, block, levels)

    def _made(self, wanted: Sequence[Trial]) -> dict[int, Outcome]:
        left = [[trial] for trial in wanted if trial.number not in self.journal.outcomes]
        for outcomes in self.processes.run(left):
            self.journal.add(outcomes)
        if self.progress:
            self.progress(len(self.journal.outcomes), len(self.asked.methods) * self.asked.budget)
        return {trial.number: self.journal.outcomes[trial.number] for trial in wanted}


def around_of(outcome: Outcome, plan: StressPlan) -> Iterator[tuple[str, Level]]:
    """What else each factor could be, the others as they are."""
    for name, levels in plan.factors.items():
        if name in NUMBERS and name not in WHOLE:
            low, high = float(min(levels)), float(max(levels))  # type: ignore[type-var]
            yield from ((name, round(float(level), 3)) for level in np.linspace(low, high, GRID))
        else:
            yield from ((name, level) for level in levels if level != outcome.levels[name])


def _sampler(method: str, seed: int, at: int) -> optuna.samplers.BaseSampler:
    import optuna

    drawn = int(np.random.default_rng([seed, at]).integers(2**31))
    if method == "random":
        return optuna.samplers.RandomSampler(seed=drawn)
    return optuna.samplers.TPESampler(
        seed=drawn, n_startup_trials=STARTUP, multivariate=True, constant_liar=True,
        constraints_func=lambda one: (one.user_attrs.get("constraint", 1.0),),
    )  # fmt: skip


@contextmanager
def _quiet() -> Iterator[None]:
    import warnings

    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is experimental in Optuna
            yield
    finally:
        optuna.logging.set_verbosity(before)


def _method_result(method: str, own: Sequence[Outcome], goal: Goal, plan: StressPlan) -> MethodResult:
    missed = [outcome for outcome in own if goal.missed(outcome)]
    best: list[float | None] = []
    for outcome in own:
        before = best[-1] if best else None
        value = goal.value(outcome) if goal.fair(outcome) else None
        best.append(min((v for v in (before, value) if v is not None), default=None))
    first = next((at for at, outcome in enumerate(own, 1) if goal.missed(outcome)), None)
    return MethodResult(
        method=method, tried=len(own), fair=sum(goal.fair(o) for o in own), missed=len(missed),
        distinct=len(distinct(missed, goal, plan)), first=first, best=tuple(best),
    )  # fmt: skip


def _fisher(methods: Sequence[MethodResult]) -> float | None:
    from scipy.stats import fisher_exact

    if len(methods) < 2:
        return None
    table = [[one.missed, one.tried - one.missed] for one in methods[:2]]
    return float(fisher_exact(table).pvalue)


def _changed(worst: Outcome, other: Outcome) -> str:
    return next((name for name in worst.levels if worst.levels[name] != other.levels[name]), "")


def _nearest_found(worst: Outcome, around: Sequence[Outcome], goal: Goal, plan: StressPlan) -> Outcome | None:
    seen = [o for o in around if goal.fair(o) and not goal.missed(o)]
    return min(seen, key=lambda one: (distance(worst, one, plan), one.trial), default=None)


def _neighbourhood(
    worst: Outcome | None, around: Sequence[Outcome], goal: Goal
) -> tuple[tuple[Neighbour, ...], tuple[int, int] | None, str]:
    """The neighbours of the worst, and the pair of missed and found that lie nearest along one factor."""
    if worst is None:
        return (), None, ""
    neighbours = tuple(
        Neighbour(factor=name, level=outcome.levels[name], outcome=outcome, missed=goal.missed(outcome))
        for outcome in around
        if (name := _changed(worst, outcome))
    )
    pairs = []
    for name in {neighbour.factor for neighbour in neighbours}:
        along = [n.outcome for n in neighbours if n.factor == name]
        for seen in (o for o in along if goal.fair(o) and not goal.missed(o)):
            for missed in (o for o in [worst, *along] if goal.missed(o)):
                pairs.append((_step(name, missed, seen), missed.trial, seen.trial, name))
    if not pairs:
        return neighbours, None, ""
    _, missed_trial, seen_trial, name = min(pairs)
    return neighbours, (missed_trial, seen_trial), name


def _step(name: str, first: Outcome, second: Outcome) -> float:
    """How far two levels of a factor are apart, as a share of what is possible; words are wholly apart."""
    if name not in NUMBERS:
        return 1.0
    low, high = NUMBERS[name]
    return abs(float(first.levels[name]) - float(second.levels[name])) / (high - low)


def search_plan(plan: StressPlan, **fields: object) -> SearchPlan:
    """A search over a plan's factors; its design does not matter."""
    return SearchPlan.model_validate({"plan": plan.model_copy(update={"design": Design.LATIN_HYPERCUBE}), **fields})
