"""Fairness: the main figures by plane, tumour type and lesion size, and by age and sex where they are known.

A generator that is good on the whole may fail the few: every measure is told for each group with a small-sample interval, and the
largest gap between groups of each factor with a p value that knows how many gaps were looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from meddiff.case import Clinical, Request, Sex
from meddiff.conditions.measure import largest_piece, longest_diameter_mm
from meddiff.evaluation.adherence import Asked, scores
from meddiff.evaluation.figures import mean_figure, share_figure
from meddiff.evaluation.hallucination import plausibility, threshold_of
from meddiff.evaluation.judged import elsewhere, judged
from meddiff.evaluation.material import Material, Pictures, Progress
from meddiff.evaluation.records import Figure, Part
from meddiff.statistics import holm

SIZES = (("below_20_mm", 0.0, 20.0), ("20_to_35_mm", 20.0, 35.0), ("above_35_mm", 35.0, np.inf))
AGES = (("below_40", 0.0, 40.0), ("40_to_64", 40.0, 65.0), ("from_65", 65.0, np.inf))
PERMUTATIONS = 5000
LEAST = 5  # cases of a group, to compare it with others
UNKNOWN = "none of these pictures names it: neither the data set nor the requests know age or sex"


@dataclass(frozen=True)
class Measure:
    """One of the main figures: its name, unit and better way, and whether it is a share of cases."""

    key: str
    name: str
    better: str
    share: bool
    unit: str = ""


MEASURES = (
    Measure("dice", "Dice", "more", False),
    Measure("type", "Type recognised", "more", True),
    Measure("size_error", "Diameter, absolute error", "less", False, "mm"),
    Measure("head", "Plausible head", "more", True),
    Measure("elsewhere", "Lesion found elsewhere", "less", True),
    Measure("distance", "Distance to the nearest training slice", "neither", False),
)


def size_class(size_mm: float) -> str:
    """Class of a longest diameter in mm."""
    return _band(size_mm, SIZES)


def age_band(age_years: float | None) -> str | None:
    """Band of an age in years; None where it is not known."""
    return None if age_years is None else _band(age_years, AGES)


def _band(value: float, bands: Sequence[tuple[str, float, float]]) -> str:
    return next(name for name, low, high in bands if low <= value < high)


def groups_of(pictures: Pictures, requests: Sequence[Request] = ()) -> dict[str, list[str | None]]:
    """To which group of each factor each picture belongs; None where it is not known.

    Args:
        requests: of made pictures, one each; they may name age and sex. Without them both are unknown.
    """
    spacing = (pictures.spacing_mm, pictures.spacing_mm)
    sizes = [longest_diameter_mm(largest_piece(outline), spacing) for outline in pictures.outlines]
    clinical: list[Clinical | None] = [request.clinical for request in requests] or [None] * len(pictures)
    return {
        "plane": [plane.value for plane in pictures.planes],
        "type": list(pictures.types),
        "size": [size_class(size) for size in sizes],
        "age": [age_band(c.age_years) if c else None for c in clinical],
        "sex": [{Sex.FEMALE: "female", Sex.MALE: "male"}.get(c.sex) if c else None for c in clinical],
    }


def gap(values: np.ndarray, groups: Sequence[str | None]) -> float:
    """Largest mean of a group minus the smallest; groups below `LEAST` cases do not count, NaN where fewer than two are left."""
    means = _means(*_countable(values, groups))
    return float(np.ptp(means)) if len(means) > 1 else float("nan")


def gap_p(values: np.ndarray, groups: Sequence[str | None], seed: int = 0, permutations: int = PERMUTATIONS) -> float:
    """How often groups dealt to the cases by chance differ by as large a gap: permutation test (Fisher, 1935), never 0; NaN without a gap.

    Args:
        values: [N], NaN where not measured.
        groups: N, None where not known.
    """
    known, member = _countable(values, groups)
    if len(member) < 2:
        return float("nan")
    observed = np.ptp(_means(known, member))
    rng = np.random.default_rng(seed)
    order = rng.permuted(np.tile(np.arange(len(known)), (permutations, 1)), axis=1)
    means = known[order] @ (member / member.sum(1, keepdims=True)).T  # [permutations, groups]
    return float((1 + (np.ptp(means, axis=1) >= observed - 1e-12).sum()) / (1 + permutations))


def _countable(values: np.ndarray, groups: Sequence[str | None]) -> tuple[np.ndarray, np.ndarray]:
    """Known values [M] of cases in groups that are large enough, and who belongs to which, float [groups, M]."""
    values = np.asarray(values, float)
    known = ~np.isnan(values)
    names = [name for name in sorted({g for g in groups if g is not None})]
    member = np.array([[g == name for g in groups] for name in names], float).reshape(len(names), len(values)) * known
    member = member[member.sum(1) >= LEAST]
    use = member.any(0)
    return values[use], member[:, use]


def _means(values: np.ndarray, member: np.ndarray) -> np.ndarray:
    return member @ values / member.sum(1) if len(member) else np.zeros(0)


def group_figures(
    made: Mapping[str, np.ndarray],
    made_groups: Mapping[str, Sequence[str | None]],
    real: Mapping[str, np.ndarray],
    real_groups: Mapping[str, Sequence[str | None]],
) -> list[Figure]:
    """Every measure [N] in every group, with the same on real pictures of that group; factors nobody names as figures without a value."""
    rows = []
    for factor, member in made_groups.items():
        levels = sorted({level for level in member if level is not None})
        if not levels:
            rows.append(
                Figure(key=f"fairness.{factor}.unknown", name=f"All figures by {factor}", value=None, note=UNKNOWN)
            )
        for level in levels:
            mine, theirs = (np.array([g == level for g in groups]) for groups in (member, real_groups[factor]))
            for measure in MEASURES:
                figure = share_figure if measure.share else mean_figure
                rows.append(
                    figure(
                        f"fairness.{factor}.{level}.{measure.key}",
                        f"{measure.name}, {factor} {level.replace('_', ' ')}",
                        made[measure.key][mine],
                        real=real[measure.key][theirs],
                        better=measure.better,
                        unit=measure.unit,
                    )
                )
    return rows


def gap_figures(
    made: Mapping[str, np.ndarray],
    made_groups: Mapping[str, Sequence[str | None]],
    real: Mapping[str, np.ndarray],
    real_groups: Mapping[str, Sequence[str | None]],
    seed: int = 0,
) -> list[Figure]:
    """The largest gap of each measure and factor, with p by permutation of the cases, corrected by Holm for all gaps that were tested."""
    pairs = [(factor, measure) for factor in made_groups for measure in MEASURES]
    values = {pair: gap(made[pair[1].key], made_groups[pair[0]]) for pair in pairs}
    tested = [pair for pair in pairs if not np.isnan(values[pair])]
    corrected = dict(zip(tested, holm([gap_p(made[m.key], made_groups[f], seed) for f, m in tested]), strict=True))
    rows = []
    for factor, measure in tested:
        p = corrected[factor, measure]
        theirs = gap(real[measure.key], real_groups[factor])
        rows.append(
            Figure(
                key=f"fairness.gap.{factor}.{measure.key}",
                name=f"{measure.name}: largest gap between groups by {factor}",
                value=values[factor, measure],
                real=None if np.isnan(theirs) else theirs,
                unit=measure.unit,
                count=int((~np.isnan(made[measure.key])).sum()),
                better="less",
                note=f"p = {p:.3f} after Holm for {len(tested)} gaps"
                + ("." if p >= 0.05 else ": more than chance deals; compare the gap on real slices."),
            )
        )
    return rows


def measured(material: Material, pictures: Pictures) -> dict[str, np.ndarray]:
    """The main figures case by case, [N] each, from what the other parts have kept (or anew, if they have not run)."""
    found = judged(pictures, material.finder, material.folder / "judged")
    told = scores(found, Asked.of(pictures), pictures.spacing_mm)
    odd = plausibility(material, pictures)
    limit = threshold_of(plausibility(material, material.val)["head"])
    pairs = zip(found.masks, pictures.outlines, strict=True)
    return {
        "dice": told["dice"],
        "type": told["type"],
        "size_error": np.abs(told["size_error"]),
        "head": np.where(np.isnan(odd["head"]), np.nan, odd["head"] <= limit),
        "elsewhere": np.array([bool(elsewhere(m, outline, pictures.spacing_mm)) for m, outline in pairs], float),
        "distance": odd["distance"],
    }


def fairness(material: Material, progress: Progress) -> Part:
    """The main figures by group; makes no picture of its own."""
    progress(0, 3, "real slices")
    real, real_groups = measured(material, material.val), groups_of(material.val)
    progress(1, 3, "made pictures")
    made, made_groups = measured(material, material.made), groups_of(material.made, material.requests)
    progress(2, 3, "gaps between groups")
    figures = [
        *gap_figures(made, made_groups, real, real_groups, material.seed),
        *group_figures(made, made_groups, real, real_groups),
    ]
    progress(3, 3, "done")
    return Part(
        name="fairness",
        title="Fairness: the same figures by group",
        figures=tuple(figures),
        remarks=(
            "Plane, type and size go together in the data (pituitary tumours are small and sellar): a gap by one may be that by another.",
            f"Groups below {LEAST} cases are told, not compared.",
        ),
    )
