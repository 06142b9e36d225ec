"""Outcomes of a detector whose truth is known: a psychometric curve, a rate of false marks, and a slice where it fails."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from meddiff.case import Clinical, Finding, Findings, MaskSpec, Plane, Request, Sex
from meddiff.stress.records import Answer, Contract, Fault, FaultKind, Kind, Mark, Measures, Outcome, Pair

OFFSET, SLOPE, LAPSE = -1.0, 2.0, 0.02  # logits, logits a unit of ln conspicuity
FALSE_MARKS = 0.1  # a picture
SIZES_MM, NOISES = (8.0, 16.0, 32.0), (0.0, 1.0, 2.0)
REGIONS = ("frontal", "parietal", "temporal", "posterior fossa")
CONTRACTS = {
    "boxes.onnx": Contract(kind=Kind.BOXES),
    "second.onnx": Contract(kind=Kind.BOXES),
    "classifier.onnx": Contract(kind=Kind.CLASSIFIER),
}

Chance = Callable[[dict, Measures], float]


def conspicuity_at(probability: float) -> float:
    """Where the true curve of a localising detector crosses a probability of detection."""
    s = probability / (1 - LAPSE)
    return math.exp((math.log(s / (1 - s)) - OFFSET) / SLOPE)


def chance(levels: dict, measures: Measures) -> float:
    """The true curve; nothing but conspicuity decides."""
    eta = OFFSET + SLOPE * math.log(measures.conspicuity_acquired)
    return (1 - LAPSE) / (1 + math.exp(-eta))


def blind_in(region: str, share: float = 0.1) -> Chance:
    """The same, but finds few in one region."""
    return lambda levels, measures: chance(levels, measures) * (share if measures.region == region else 1.0)


def simulate(
    blocks: int = 40,
    seed: int = 0,
    truth: Chance = chance,
    names: tuple[str, ...] = ("boxes.onnx",),
    rejected_at: tuple[float, float] = (8.0, 0.3),
    faults: bool = True,
) -> list[Outcome]:
    """A factorial plan of sizes by noises, each patient at all levels.

    Args:
        rejected_at: a size, and the share of its cases that do not count.
        faults: the first detector crashes at two cases and hangs at one twin.
    """
    rng = np.random.default_rng(seed)
    outcomes: list[Outcome] = []
    for block in range(blocks):
        region, side = REGIONS[block % 4], ("left", "right")[block // 4 % 2]
        plane, sex, age = (
            list(Plane)[block % 3],
            (Sex.FEMALE, Sex.MALE)[int(rng.integers(2))],
            float(rng.integers(20, 90)),
        )
        contrast = math.exp(rng.uniform(-0.6, 2.2))
        for size in SIZES_MM:
            for noise in NOISES:
                trial = len(outcomes)
                measures = Measures(
                    conspicuity=contrast,
                    conspicuity_acquired=contrast * math.exp(rng.normal(0, 0.2)) / (1 + 0.4 * noise),
                    size_mm=size * rng.uniform(0.95, 1.05),
                    area_mm2=0.7 * size**2,
                    lesions=1,
                    side=side,
                    region=region,
                    margin=("smooth", "irregular")[int(rng.integers(2))],
                    enhancement=("ring", "solid", "unknown")[int(rng.integers(3))],
                )
                levels = {"size_mm": size, "noise": noise}
                p = truth(levels, measures)
                counts = not (size == rejected_at[0] and rng.random() < rejected_at[1])
                answers = {name: _answer(rng, p, CONTRACTS[name].kind) for name in names}
                if faults and block == 1 and size == SIZES_MM[0] and noise < 2:
                    fault = Fault(kind=FaultKind.CRASH, message="ValueError: <shape> & 'size' disagree")
                    answers[names[0]] = Pair(case=Answer(fault=fault), twin=answers[names[0]].twin)
                if faults and block == 2 and trial % 9 == 4:
                    fault = Fault(kind=FaultKind.HANG, message="no answer in 10 s")
                    answers[names[0]] = Pair(case=answers[names[0]].case, twin=Answer(fault=fault))
                outcomes.append(
                    Outcome(
                        trial=trial,
                        block=block,
                        levels=levels,
                        case=f"MD-{trial:012x}",
                        request=Request(
                            findings=Findings(plane=plane, finding=Finding(pathology="glioma", size_mm=size)),
                            clinical=Clinical(age_years=age, sex=sex),
                            mask=MaskSpec(sample_seed=block),
                            seed=block,
                        ),
                        counts=counts,
                        accepted=counts,
                        reason="" if counts else "the lesion is smaller than asked",
                        measures=measures,
                        sealed=("0" * 64, "1" * 64),
                        answers=answers,
                    )
                )
    return outcomes


def _answer(rng: np.random.Generator, p: float, kind: Kind) -> Pair:
    found = rng.random() < p
    if kind is Kind.CLASSIFIER:
        scores = [rng.beta(5, 2) if found else rng.beta(2, 5), rng.beta(2, 6)]
        return Pair(case=Answer(score=scores[0]), twin=Answer(score=scores[1]))
    hit = (mark_at(60, 60, rng.uniform(0.5, 1) if found else rng.uniform(0.05, 0.5), True),)
    return Pair(case=_marked([*hit, *_false(rng)]), twin=_marked(_false(rng)))


def _false(rng: np.random.Generator) -> list[Mark]:
    return [mark_at(180, 120, rng.uniform(0.3, 0.8), False) for _ in range(rng.poisson(FALSE_MARKS))]


def _marked(marks: list[Mark]) -> Answer:
    ordered = tuple(sorted(marks, key=lambda mark: -mark.score))
    return Answer(score=ordered[0].score if ordered else 0.0, marks=ordered)


def mark_at(row: float, column: float, score: float, hit: bool) -> Mark:
    """A mark of 20 by 20 pixels."""
    box = (row - 10, column - 10, row + 10, column + 10)
    return Mark(row=row, column=column, box=box, score=score, overlap=0.6 if hit else 0.0, hit=hit)
