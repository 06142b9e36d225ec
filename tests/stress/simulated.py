"""Outcomes of a detector whose truth is known: a psychometric curve, a rate of false marks, and a slice where it fails."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from meddiff.case import Clinical, Finding, Findings, MaskSpec, Plane, Provenance, Request, Sex, pixel_sha256
from meddiff.marking import SealedImage, seal
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
    hit = (mark_at(97, 159, rng.uniform(0.5, 1) if found else rng.uniform(0.05, 0.5), True),)
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


@dataclass(frozen=True)
class Sight:
    """What a run keeps of a trial: its sealed pictures and its outline."""

    image: SealedImage
    twin: SealedImage
    mask: np.ndarray


def sight_of(outcome: Outcome, phantom: np.ndarray) -> Sight:
    """A phantom head with a lesion as contrasting as the outcome says, sealed, and the same without."""
    rows, columns = np.mgrid[:256, :256]
    mask = np.hypot(rows - 97, columns - 159) < outcome.measures.size_mm / 1.96
    noise = np.random.default_rng(outcome.block).normal(0, 0.02, phantom.shape) * (phantom > 0.02)
    around = np.hypot(rows - 97, columns - 159) < 18
    clean = np.where(around, 0.35, phantom) + noise
    lesion = np.clip(clean + 0.02 * outcome.measures.conspicuity_acquired * mask, 0, 1)
    pixels = [np.rint(255 * np.clip(picture, 0, 1)).astype(np.uint8) for picture in (lesion, clean)]
    provenance = [
        Provenance(
            case_id=outcome.case, role=role, request=outcome.request, pack="brain-t1gd", pack_sha256="c" * 64,
            pixel_sha256=pixel_sha256(picture),
        )
        for role, picture in zip(("case", "twin"), pixels, strict=True)
    ]  # fmt: skip
    image = seal(pixels[0], provenance[0], avoid=mask)
    return Sight(image, seal(pixels[1], provenance[1], beside=image), mask)
