"""Made-up studies and readings whose truth is known."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import numpy as np

from meddiff.teaching.study import Plan, Question, Reading, Source, make_plan

READERS = ("anna", "ben", "chen", "dora", "emil", "fay")
Rate = Callable[[str, np.random.Generator], dict]  # of an arm's name: what a reader says of one of its pictures


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def plan_of(
    arms: dict[str, tuple[Source, Sequence[str]]], readers: Sequence[str] = READERS, seed: int = 3, **more
) -> Plan:
    """A plan of arms given as the labels of their cases."""
    named = {
        arm: (source, [(label, sha(f"{arm} {label}")) for label in labels]) for arm, (source, labels) in arms.items()
    }
    return make_plan("Real or made", named, readers, seed=seed, **more)


def unpaired(cases: int = 20, **more) -> Plan:
    """Real and synthetic pictures of different cases."""
    return plan_of(
        {
            "real": (Source.REAL, [f"patient {n}" for n in range(cases)]),
            "made": (Source.SYNTHETIC, [f"case {n}" for n in range(cases)]),
        },
        **more,
    )


def paired(cases: int = 20, **more) -> Plan:
    """The same cases real and processed in two ways."""
    labels = [f"patient {n}" for n in range(cases)]
    return plan_of(
        {"real": (Source.REAL, labels), "a": (Source.PROCESSED, labels), "b": (Source.PROCESSED, labels)}, **more
    )


def arm_of(plan: Plan) -> dict[str, str]:
    return {picture.id: arm.name for arm in plan.arms for picture in arm.pictures}


def reading(reader: str, picture: str, **said) -> Reading:
    plain = {question.value: 3 for question in Question}
    return Reading(
        **{**plain, "ai_suspected": False, "confidence": 3, "seconds": 10, **said, "reader": reader, "picture": picture}
    )


def readings_of(plan: Plan, rate: Rate, seed: int = 0) -> list[Reading]:
    """All readings that the plan asks for."""
    rng = np.random.default_rng(seed)
    arms = arm_of(plan)
    return [reading(reader, name, **rate(arms[name], rng)) for reader in plan.readers for name in arms]


def suspect(score: float) -> dict:
    """A suspicion on the scale of ten, from a score of any size: below 0 real, above it made."""
    return {"ai_suspected": bool(score > 0), "confidence": int(np.clip(np.ceil(abs(score)), 1, 5))}


SPREAD = 2.0  # of a reader's suspicion


def guess(arm: str, rng: np.random.Generator) -> dict:
    return suspect(rng.normal(0, SPREAD))


def separated(by: float) -> Rate:
    """Suspicion of made pictures lies `by` spreads above that of real ones."""
    return lambda arm, rng: suspect(rng.normal(by * SPREAD * (0.5 if arm != "real" else -0.5), SPREAD))
