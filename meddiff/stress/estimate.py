"""What a plan will take, told before it runs: trials, cases to be made, time, and what so many patients can tell."""

from __future__ import annotations

import itertools
import math
import os

from meddiff.case import Record
from meddiff.stress.plan import Design, StressPlan, trials
from meddiff.stress.power import Power, power

# Of one core of the machine that docs/stress.md was written on: a case with twin, check and seal; a further acquisition of it.
CASE_S, SHOWN_S = 6.0, 0.6
START_S = 20.0  # until the first case: model and detectors are loaded
_LOOKED_AT = 4  # patients whose trials are laid out to count the cases


class Estimate(Record):
    """What a plan will take.

    Attributes:
        trials: pairs of pictures shown to each detector.
        cases: that are made for them; trials that differ in their acquisition alone share one.
        seconds: about, on this machine.
        power: what a level can tell, of the factor with most levels.
    """

    trials: int
    cases: int
    seconds: float
    power: Power


def estimate(plan: StressPlan, workers: int = 0, expected: float = 0.8) -> Estimate:
    """What a plan will take on so many processes (0: one a core), and what it can tell of a sensitivity that is `expected`.

    Raises:
        MedDiffError: a plan whose trials cannot be laid out.
    """
    looked_at = min(plan.patients, _LOOKED_AT)
    laid_out = list(itertools.takewhile(lambda trial: trial.block < looked_at, trials(plan)))
    shared = len({(trial.block, trial.lesions, trial.request.canonical_json()) for trial in laid_out})
    cases = round(shared / looked_at * plan.patients)
    count = round(len(laid_out) / looked_at * plan.patients)
    busy = max(1, min(workers or os.cpu_count() or 1, cases))
    return Estimate(
        trials=count,
        cases=cases,
        seconds=START_S + (cases * CASE_S + (count - cases) * SHOWN_S) / busy,
        power=power(_a_level(plan), expected),
    )


def _a_level(plan: StressPlan) -> int:
    """Patients that each level of the factor with most levels is shown on."""
    most = max((len(levels) for levels in plan.factors.values()), default=1)
    return plan.patients if plan.design is not Design.LATIN_HYPERCUBE else max(1, plan.patients // most)


def minutes(seconds: float) -> str:
    """A time in words: `2 minutes`, `1.5 hours`."""
    if seconds < 90:
        return "1 minute"
    if seconds < 5400:
        return f"{math.ceil(seconds / 60)} minutes"
    return f"{seconds / 3600:.1f} hours"
