"""What the readings of a study say: arms compared, readers' agreement, and whether readers tell made pictures from real ones.

Intervals are 95% percentile intervals of a bootstrap over readers and cases (Efron & Tibshirani 1993): both are drawn again, so
that the interval speaks of other readers and other cases and not of these alone. Cases are drawn within those that are shown in
the same arms, all versions of a case together, so that pairs stay pairs. Where readings are mostly noise such intervals are too
wide (Owen 2007, the pigeonhole bootstrap), and where few readers differ much they are somewhat too narrow.

A suspended case stays in the analysis with what was read of it: to leave out the pictures that readers found worst would flatter
the arm that they are of.
"""

from __future__ import annotations

import csv
import io
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from scipy.stats import mannwhitneyu, wilcoxon

from meddiff.case import MedDiffError, Record
from meddiff.statistics import holm
from meddiff.teaching.study import (
    Arm,
    Decision,
    Design,
    Picture,
    Plan,
    Question,
    Reading,
    Source,
    check_reading,
    suspended_cases,
)

RESAMPLES, MOST_RESAMPLES = 2000, 10_000
LEAST_PAIRS = 6  # five pairs cannot reach 0.05 in a signed rank test
LEAST_UNPAIRED = 4  # of each arm: three against three cannot reach 0.05 in a rank sum test
FEW_READERS = 3  # below, the results say that they tell little of other readers
LEVELS = np.array([*range(-5, 0), *range(1, 6)])  # of `Reading.suspicion`
COLUMNS = (
    "study", "reader", "picture", "case", "arm", "source", "realism", "anatomy", "visibility", "misleading",
    "ai_suspected", "confidence", "suspicion", "red_alert", "seconds", "ai_reason", "alert_reason",
)  # fmt: skip

Interval = tuple[float, float]


class Mean(Record):
    """Mean rating of a question, 1 to 5, with its interval."""

    question: Question
    mean: float
    interval: Interval | None


class ArmResult(Record):
    """One arm: how many pictures were read how often, the ratings, and the shares of AI suspected and of red alerts."""

    arm: str
    source: Source
    pictures: int
    readings: int
    means: tuple[Mean, ...]
    suspected: float
    red_alerts: float
    median_seconds: float


class Comparison(Record):
    """Two arms by one question.

    Attributes:
        n: cases in pairs; of a rank sum test, pictures of both arms together.
        difference: mean rating of `arm` less that of `other`, in points; `interval` of it.
        test: signed rank over cases that both arms show, with the mean of the readers who rated both; else rank sum over pictures.
        p: two-sided; None with too few cases.
        p_holm: corrected for all comparisons of the study (Holm 1979).
    """

    question: Question
    arm: str
    other: str
    test: str
    n: int
    difference: float
    interval: Interval | None
    p: float | None
    p_holm: float | None = None


class Agreement(Record):
    """How far readers agree on one question: 1 wholly, 0 as by chance, below 0 less.

    Attributes:
        question: of the ratings, or `ai suspected`.
        method: Krippendorff's alpha (ordinal or nominal), Cohen's kappa (two readers) or Fleiss' kappa (more).
        value: None where nothing was read twice, or all said the same, so that chance would agree too.
        interval: of a bootstrap over cases alone (Zapf et al. 2016): a reader drawn twice would agree with themselves.
        pictures: that at least two readers rated; of a kappa, all of them.
    """

    question: str
    method: str
    value: float | None
    interval: Interval | None
    pictures: int


class Detection(Record):
    """How well readers tell an arm's pictures from the real ones by their suspicion, -5 to 5.

    Attributes:
        auc: area under the ROC, the mean of the readers' own; 0.5: they guess, 1: they always know.
        curve: (real taken for made, made found), averaged over readers at each false alarm share; its area is `auc`.
        afc2: share of pairs of a made and a real picture, read by the same reader, in which the made one is suspected more, a
            tie one half: two-alternative forced choice. Over pairs of the same case where there are any, else over all pairs,
            where it is the area under each reader's ROC (Hanley & McNeil 1982).
        afc2_of: which pairs these are. Of pairs that were shown side by side, `auc` is the same share, which estimates the same
            area (Green & Swets 1966), and there is no curve: a confidence in a choice between two is no rating of one.
        readers: who read pictures of both kinds.
    """

    arm: str
    readers: int
    auc: float
    auc_interval: Interval | None
    afc2: float
    afc2_interval: Interval | None
    afc2_of: str
    curve: tuple[tuple[float, float], ...]


class Results(Record):
    """Everything that a study says.

    Attributes:
        plan: digest of the plan that it was analysed by.
        asked, readings: how many readings the plan asks for, and how many there are.
        notes: what to keep in mind, a sentence each.
    """

    study: str
    plan: str
    seed: int
    resamples: int
    readers: tuple[str, ...]
    asked: int
    readings: int
    suspended: tuple[str, ...]
    arms: tuple[ArmResult, ...]
    comparisons: tuple[Comparison, ...]
    agreement: tuple[Agreement, ...]
    detection: tuple[Detection, ...]
    notes: tuple[str, ...]


def analyse(
    plan: Plan,
    readings: Iterable[Reading],
    seed: int = 0,
    resamples: int = RESAMPLES,
    decisions: Iterable[Decision] = (),
) -> Results:
    """The results of a study; a reader's first reading of a picture counts.

    Args:
        decisions: on suspended cases, as they were made.
        seed: of the bootstrap.
        resamples: of it, 100 to 10 000.

    Raises:
        MedDiffError: no reading, a reading that does not fit the plan (`check_reading`), or too many resamples.
    """
    if not 100 <= resamples <= MOST_RESAMPLES:
        raise MedDiffError(f"{resamples} resamples cannot be drawn: give 100 to {MOST_RESAMPLES}.")
    grid = _grid(plan, readings)
    boot = _Bootstrap.draw(grid, seed, resamples)
    asked = len(plan.readers) * sum(len(arm.pictures) for arm in plan.arms)
    suspended = suspended_cases(plan, grid.readings, decisions)
    return Results(
        study=plan.id,
        plan=plan.digest(),
        seed=seed,
        resamples=resamples,
        readers=grid.readers,
        asked=asked,
        readings=len(grid.readings),
        suspended=suspended,
        arms=tuple(_arm(grid, boot, arm) for arm in plan.arms if grid.has(arm)),
        comparisons=_holm([c for q in plan.questions for a in combinations(plan.arms, 2) if (c := _compare(grid, boot, q, *a))]),
        agreement=(*(_ordinal(grid, boot, question) for question in plan.questions), *_nominal(grid, boot)),
        detection=tuple(d for arm in plan.arms if arm.source is not Source.REAL and (d := _detect(grid, boot, arm))),
        notes=_notes(grid, asked, suspended),
    )  # fmt: skip


def cohen_kappa(one: Sequence[int], other: Sequence[int]) -> float | None:
    """Agreement of two readers beyond chance (Cohen 1960); None where both say the same of all, so that chance agrees too."""
    a, b = np.asarray(one), np.asarray(other)
    values = np.union1d(a, b)
    by_chance = float(sum((a == value).mean() * (b == value).mean() for value in values))
    return None if math.isclose(by_chance, 1) else float(((a == b).mean() - by_chance) / (1 - by_chance))


def fleiss_kappa(counts: np.ndarray) -> float | None:
    """Agreement of n readers beyond chance (Fleiss 1971); None where all say the same of everything.

    Args:
        counts: [pictures, values], how many readers said each; every row of the same sum n, at least 2.
    """
    n = counts[0].sum()
    agreed = ((counts**2).sum(axis=1) - n) / (n * (n - 1))
    by_chance = float(((counts.sum(axis=0) / counts.sum()) ** 2).sum())
    return None if math.isclose(by_chance, 1) else float((agreed.mean() - by_chance) / (1 - by_chance))


# ------------------------------------------------------------ exports


def csv_text(plan: Plan, readings: Iterable[Reading]) -> str:
    """The readings with their arms, one a line, in the order given: for the study's keeper, not for a reader."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n", restval="")
    writer.writeheader()
    for reading in readings:
        check_reading(plan, reading)
        arm, picture = plan.places[reading.picture]
        row = {**reading.model_dump(mode="json"), "suspicion": reading.suspicion}
        row |= {"study": plan.id, "case": picture.case, "arm": arm.name, "source": arm.source.value}
        writer.writerow({name: "" if row[name] is None else row[name] for name in COLUMNS})
    return out.getvalue()


def imrmc_text(plan: Plan, readings: Iterable[Reading]) -> str:
    """The suspicions as the input of iMRMC (FDA; Gallas, iMRMC user guide): header, `BEGIN DATA:`, one score a line.

    A row is `readerID,caseID,modalityID,score`; the truth of a case is the row of reader -1: 0 real, 1 made. Each arm that was
    made or processed is a modality, against the same real pictures. Ids are numbers, since RJafroc takes nothing else; the lines
    of the header say whose they are.

    Raises:
        MedDiffError: no real picture was read, or none of another source: there is nothing to tell apart; or pairs were shown.
    """
    if plan.design is Design.PAIRS:
        raise MedDiffError(f"{plan.id} shows pairs, and iMRMC takes scores of single pictures: take CSV.")
    grid = _grid(plan, readings)
    real = [p for arm in plan.arms if arm.source is Source.REAL for p in arm.pictures if grid.is_read(p)]
    made = [(arm, [p for p in arm.pictures if grid.is_read(p)]) for arm in plan.arms if arm.source is not Source.REAL]
    made = [(arm, pictures) for arm, pictures in made if pictures]
    if not real or not made:
        raise MedDiffError(f"{plan.id} cannot be written for iMRMC: readings of real and of made pictures are needed.")
    cases = [*real, *(picture for _, pictures in made for picture in pictures)]
    numbers = {picture.id: number for number, picture in enumerate(cases, 1)}
    lines = [
        f"{plan.id} {_plain(plan.title)}",
        "",
        f"NR: {len(grid.readers)}",
        f"N0: {len(real)}",
        f"N1: {len(cases) - len(real)}",
        f"NM: {len(made)}",
        "",
        *(f"reader {number} = {reader}" for number, reader in enumerate(grid.readers, 1)),
        *(f"modality {number} = {arm.name} against real" for number, (arm, _) in enumerate(made, 1)),
        *(f"case {numbers[picture.id]} = {picture.id}" for picture in cases),
        "",
        "BEGIN DATA:",
        *(f"-1,{numbers[picture.id]},truth,{int(number >= len(real))}" for number, picture in enumerate(cases)),
    ]
    for row in range(len(grid.readers)):
        for modality, (_, pictures) in enumerate(made, 1):
            for picture in (*real, *pictures):
                score = grid.suspicion[row, grid.column[picture.id]]
                if not np.isnan(score):
                    lines.append(f"{row + 1},{numbers[picture.id]},{modality},{score:g}")
    return "\n".join(lines) + "\n"


def _plain(title: str) -> str:
    """On one line and without colons, which its readers take for fields of the header."""
    return " ".join(title.replace(":", " -").split())


# ------------------------------------------------------------ readings as arrays


@dataclass(frozen=True)
class _Grid:
    """Readings of R readers and P pictures; nan: not read, or not rated."""

    plan: Plan
    readings: tuple[Reading, ...]
    readers: tuple[str, ...]
    pictures: tuple[Picture, ...]
    column: dict[str, int]
    rating: dict[Question, np.ndarray]  # [R, P] in 1 to 5
    suspicion: np.ndarray  # [R, P]

    def of(self, arm: Arm) -> list[int]:
        return [self.column[picture.id] for picture in arm.pictures]

    def has(self, arm: Arm) -> bool:
        return any(map(self.is_read, arm.pictures))

    def is_read(self, picture: Picture) -> bool:
        return bool(~np.isnan(self.suspicion[:, self.column[picture.id]]).all())


def _grid(plan: Plan, readings: Iterable[Reading]) -> _Grid:
    first: dict[tuple[str, str], Reading] = {}
    for reading in readings:
        check_reading(plan, reading)
        first.setdefault((reading.reader, reading.picture), reading)
    if not first:
        raise MedDiffError(f"{plan.id} has no readings yet: record some first.")
    readers = tuple(name for name in plan.readers if any(reader == name for reader, _ in first))
    pictures = tuple(picture for arm in plan.arms for picture in arm.pictures)
    column = {picture.id: at for at, picture in enumerate(pictures)}
    rating = {question: np.full((len(readers), len(pictures)), np.nan) for question in plan.questions}
    suspicion = np.full((len(readers), len(pictures)), np.nan)
    for (reader, name), reading in first.items():
        at = readers.index(reader), column[name]
        suspicion[at] = reading.suspicion
        for question in plan.questions:
            given = getattr(reading, question.value)
            rating[question][at] = np.nan if given is None else given
    return _Grid(plan, tuple(first.values()), readers, pictures, column, rating, suspicion)


@dataclass(frozen=True)
class _Bootstrap:
    """How often each reader and each picture is drawn: float64 [B, R] and [B, P]."""

    readers: np.ndarray
    pictures: np.ndarray

    @classmethod
    def draw(cls, grid: _Grid, seed: int, resamples: int) -> _Bootstrap:
        """Readers among themselves; cases among those that are shown in the same arms, with all their pictures."""
        rng = np.random.default_rng(seed)
        where: dict[str, list[int]] = defaultdict(list)
        for at, picture in enumerate(grid.pictures):
            where[picture.case].append(at)
        arm_of = {picture.id: number for number, arm in enumerate(grid.plan.arms) for picture in arm.pictures}
        alike: dict[tuple[int, ...], list[list[int]]] = defaultdict(list)
        for columns in where.values():
            alike[tuple(arm_of[grid.pictures[at].id] for at in columns)].append(columns)
        pictures = np.zeros((resamples, len(grid.pictures)))
        for cases in alike.values():
            drawn = _drawn(rng, resamples, len(cases))
            for number, columns in enumerate(cases):
                pictures[:, columns] = drawn[:, number, None]
        return cls(_drawn(rng, resamples, len(grid.readers)), pictures)

    def mean(self, values: np.ndarray, columns: Sequence[int]) -> np.ndarray:
        """Means [B] of [R, C], nan left out, weighted by reader and by picture; nan where nothing was drawn."""
        weight = self.pictures[:, columns]
        total = ((self.readers @ np.nan_to_num(values)) * weight).sum(axis=1)
        count = ((self.readers @ ~np.isnan(values)) * weight).sum(axis=1)
        return _ratio(total, count)


def _drawn(rng: np.random.Generator, resamples: int, n: int) -> np.ndarray:
    return rng.multinomial(n, np.full(n, 1 / n), size=resamples).astype(float)


def _ratio(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def _interval(found: np.ndarray) -> Interval | None:
    """The middle 95% of what was found; None where no resample held anything."""
    known = found[~np.isnan(found)]
    if not len(known):
        return None
    low, high = np.percentile(known, [2.5, 97.5])
    return float(low), float(high)


# ------------------------------------------------------------ arms


def _arm(grid: _Grid, boot: _Bootstrap, arm: Arm) -> ArmResult:
    columns = grid.of(arm)
    mine = {picture.id for picture in arm.pictures}
    readings = [reading for reading in grid.readings if reading.picture in mine]
    means = []
    for question in grid.plan.questions:
        values = grid.rating[question][:, columns]
        if not np.isnan(values).all():
            interval = _interval(boot.mean(values, columns))
            means.append(Mean(question=question, mean=float(np.nanmean(values)), interval=interval))
    return ArmResult(
        arm=arm.name,
        source=arm.source,
        pictures=len(arm.pictures),
        readings=len(readings),
        means=tuple(means),
        suspected=float(np.mean([reading.ai_suspected for reading in readings])),
        red_alerts=float(np.mean([reading.red_alert for reading in readings])),
        median_seconds=float(np.median([reading.seconds for reading in readings])),
    )


def _compare(grid: _Grid, boot: _Bootstrap, question: Question, arm: Arm, other: Arm) -> Comparison | None:
    values = grid.rating[question]
    mine, theirs = ({grid.pictures[at].case: at for at in grid.of(one)} for one in (arm, other))
    shared = [case for case in mine if case in theirs]
    left, right = [mine[case] for case in shared], [theirs[case] for case in shared]
    apart = values[:, left] - values[:, right]  # [R, C]
    rated = ~np.isnan(apart).all(axis=0)
    if rated.any():
        by_case = _mean_over_readers(apart[:, rated])
        return Comparison(
            question=question,
            arm=arm.name,
            other=other.name,
            test="Wilcoxon signed rank",
            n=len(by_case),
            difference=float(np.nanmean(apart)),
            interval=_interval(boot.mean(apart, left)),
            p=_signed_rank(by_case),
        )
    a, b = values[:, grid.of(arm)], values[:, grid.of(other)]
    if np.isnan(a).all() or np.isnan(b).all():
        return None
    one, two = (_mean_over_readers(x[:, ~np.isnan(x).all(axis=0)]) for x in (a, b))
    enough = min(len(one), len(two)) >= LEAST_UNPAIRED
    return Comparison(
        question=question,
        arm=arm.name,
        other=other.name,
        test="Mann-Whitney rank sum",
        n=len(one) + len(two),
        difference=float(np.nanmean(a) - np.nanmean(b)),
        interval=_interval(boot.mean(a, grid.of(arm)) - boot.mean(b, grid.of(other))),
        p=float(mannwhitneyu(one, two).pvalue) if enough else None,
    )


def _mean_over_readers(values: np.ndarray) -> np.ndarray:
    return np.nansum(values, axis=0) / (~np.isnan(values)).sum(axis=0)


def _signed_rank(apart: np.ndarray) -> float | None:
    """Two-sided p of Wilcoxon's signed rank test (1945); differences of zero are left out, and all zero is 1."""
    if len(apart) < LEAST_PAIRS:
        return None
    return 1.0 if np.allclose(apart, 0) else float(wilcoxon(np.round(apart, 9)).pvalue)


def _holm(found: Sequence[Comparison]) -> tuple[Comparison, ...]:
    corrected = iter(holm([row.p for row in found if row.p is not None]))
    return tuple(row if row.p is None else row.model_copy(update={"p_holm": next(corrected)}) for row in found)


# ------------------------------------------------------------ agreement


def _ordinal(grid: _Grid, boot: _Bootstrap, question: Question) -> Agreement:
    values, domain = grid.rating[question], np.arange(1, 6)
    return Agreement(
        question=question.value,
        method="Krippendorff's alpha, ordinal",
        value=_krippendorff(values, domain, "ordinal"),
        interval=_interval(alphas(values, domain, "ordinal", boot.pictures)),
        pictures=_twice(values),
    )


def _nominal(grid: _Grid, boot: _Bootstrap) -> tuple[Agreement, ...]:
    """Of AI suspected: alpha, which bears gaps, and the kappa of the pictures that everybody read."""
    values, domain = np.where(np.isnan(grid.suspicion), np.nan, grid.suspicion > 0), np.array([0, 1])
    found = [
        Agreement(
            question="ai suspected",
            method="Krippendorff's alpha, nominal",
            value=_krippendorff(values, domain, "nominal"),
            interval=_interval(alphas(values, domain, "nominal", boot.pictures)),
            pictures=_twice(values),
        )
    ]
    everybody = ~np.isnan(values).any(axis=0)
    whole = values[:, everybody].astype(int)
    if len(values) > 1 and whole.size:
        drawn = [np.repeat(np.arange(whole.shape[1]), row) for row in boot.pictures[:, everybody].astype(int)]
        if len(values) == 2:
            method, kappa = "Cohen's kappa", cohen_kappa(*whole)
            kappas = [cohen_kappa(*whole[:, row]) if len(row) else None for row in drawn]
        else:
            counts = np.stack([(whole == 0).sum(0), whole.sum(0)], axis=1)
            method, kappa = "Fleiss' kappa", fleiss_kappa(counts)
            kappas = [fleiss_kappa(counts[row]) if len(row) else None for row in drawn]
        found.append(
            Agreement(
                question="ai suspected",
                method=method,
                value=kappa,
                interval=_interval(np.array([np.nan if one is None else one for one in kappas])),
                pictures=whole.shape[1],
            )
        )
    return tuple(found)


def alphas(
    values: np.ndarray, domain: np.ndarray, level: Literal["nominal", "ordinal"], weight: np.ndarray
) -> np.ndarray:
    """Krippendorff's alpha of weighted pictures, [B], which the library does one by one; nan where nothing varies.

    Args:
        values: [R, P] of `domain`; nan: not rated.
        weight: [B, P], how often each picture counts.
    """
    said = (values[:, :, None] == domain).sum(axis=0).astype(float)  # [P, V]
    pairable = said.sum(axis=1)
    said[pairable < 2] = 0
    each = said[:, :, None] * said[:, None, :] - said[:, :, None] * np.eye(len(domain))
    each /= np.maximum(pairable - 1, 1)[:, None, None]
    observed = (weight @ each.reshape(len(each), -1)).reshape(-1, len(domain), len(domain))
    n_c = observed.sum(axis=2)  # [B, V]
    n = n_c.sum(axis=1)
    if level == "nominal":
        apart = np.broadcast_to(1 - np.eye(len(domain)), observed.shape)
    else:  # (sum of n_g from c to k, less half of both ends), squared
        upto = n_c.cumsum(axis=1) - n_c / 2
        apart = (upto[:, :, None] - upto[:, None, :]) ** 2
    by_chance = (n_c[:, :, None] * n_c[:, None, :] * apart).sum(axis=(1, 2))
    return 1 - _ratio((n - 1) * (observed * apart).sum(axis=(1, 2)), by_chance)


def _krippendorff(values: np.ndarray, domain: np.ndarray, level: Literal["nominal", "ordinal"]) -> float | None:
    """Krippendorff's alpha (2004, chapter 11) of [R, P]; None where nothing was rated twice or all ratings are the same."""
    twice = values[:, (~np.isnan(values)).sum(axis=0) > 1]
    if not twice.size or len(np.unique(twice[~np.isnan(twice)])) < 2:
        return None
    from krippendorff import alpha

    return float(alpha(reliability_data=twice, value_domain=domain, level_of_measurement=level))


def _twice(values: np.ndarray) -> int:
    return int(((~np.isnan(values)).sum(axis=0) > 1).sum())


# ------------------------------------------------------------ real or made


def _detect(grid: _Grid, boot: _Bootstrap, arm: Arm) -> Detection | None:
    made = grid.of(arm)
    real = [at for other in grid.plan.arms if other.source is Source.REAL for at in grid.of(other)]
    read = ~np.isnan(grid.suspicion)
    able = np.flatnonzero(read[:, made].any(axis=1) & read[:, real].any(axis=1))
    if not len(able):
        return None
    ones = _Bootstrap(np.ones((1, len(grid.readers))), np.ones((1, len(grid.pictures))))
    auc, intervals = float(_auc(grid, ones, real, made)[0]), _interval(_auc(grid, boot, real, made))
    pairs = _same_case(grid, real, made)
    if len(pairs):
        apart = grid.suspicion[:, pairs[:, 1]] - grid.suspicion[:, pairs[:, 0]]
        won = np.where(np.isnan(apart), np.nan, 0.5 + 0.5 * np.sign(apart))
        afc2, afc2_interval = float(np.nanmean(won)), _interval(boot.mean(won, pairs[:, 1].tolist()))
    else:
        afc2, afc2_interval = auc, intervals
    if grid.plan.design is Design.PAIRS:
        return Detection(
            arm=arm.name, readers=len(able), auc=afc2, auc_interval=afc2_interval, afc2=afc2, afc2_interval=afc2_interval,
            afc2_of="pairs shown side by side", curve=(),
        )  # fmt: skip
    return Detection(
        arm=arm.name,
        readers=len(able),
        auc=auc,
        auc_interval=intervals,
        afc2=afc2,
        afc2_interval=afc2_interval,
        afc2_of="pairs of the same case" if len(pairs) else "all pairs",
        curve=_curve([(grid.suspicion[row, real], grid.suspicion[row, made]) for row in able]),
    )


def _auc(grid: _Grid, boot: _Bootstrap, real: Sequence[int], made: Sequence[int]) -> np.ndarray:
    """Mean over readers of the area under each one's ROC, [B]: how often a made picture scores above a real one, a tie half.

    Counted by level, of which there are ten, so that a resample costs no pairs (Bamber 1975: the area is the Mann-Whitney share).
    """
    total, weight = np.zeros(len(boot.readers)), np.zeros(len(boot.readers))
    for row, scores in enumerate(grid.suspicion):
        below, above = (boot.pictures[:, at] @ (scores[at, None] == LEVELS) for at in (real, made))  # [B, levels]
        won = (above * (below.cumsum(axis=1) - below / 2)).sum(axis=1)
        area = _ratio(won, below.sum(axis=1) * above.sum(axis=1))
        known = ~np.isnan(area)
        total += np.where(known, area, 0) * boot.readers[:, row]
        weight += known * boot.readers[:, row]
    return _ratio(total, weight)


def _same_case(grid: _Grid, real: Sequence[int], made: Sequence[int]) -> np.ndarray:
    """Columns [pairs, 2] of a real and a made picture of one case that some reader read both of."""
    real_of = {grid.pictures[at].case: at for at in real}
    pairs = [(real_of[grid.pictures[at].case], at) for at in made if grid.pictures[at].case in real_of]
    read = ~np.isnan(grid.suspicion)
    return np.array([pair for pair in pairs if (read[:, pair[0]] & read[:, pair[1]]).any()], dtype=int).reshape(-1, 2)


def _curve(scores: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[tuple[float, float], ...]:
    """The readers' ROC curves averaged at each false alarm share, from (0, 0) to (1, 1); its area is the mean of theirs."""
    curves = []
    for real, made in scores:
        real, made = real[~np.isnan(real)], made[~np.isnan(made)]
        cuts = [*LEVELS[::-1], LEVELS[0] - 1]
        curves.append(([0.0, *((real >= cut).mean() for cut in cuts)], [0.0, *((made >= cut).mean() for cut in cuts)]))
    grid = np.unique(np.round([x for false_alarms, _ in curves for x in false_alarms], 12))
    points = []
    for x in grid:  # a curve may stand upright at x: its lower and its upper end
        for side in (-1e-9, 1e-9):
            points.append((float(x), float(np.mean([np.interp(x + side, *curve) for curve in curves]).round(6))))
    return tuple(dict.fromkeys(points))


def _notes(grid: _Grid, asked: int, suspended: Sequence[str]) -> tuple[str, ...]:
    notes = []
    if len(grid.readings) < asked:
        notes.append(f"{asked - len(grid.readings)} of {asked} readings are missing: the results may change.")
    if len(grid.readers) < FEW_READERS:
        said = "One reader" if len(grid.readers) == 1 else f"{len(grid.readers)} readers"
        notes.append(f"{said}: the intervals say little of how others would read.")
    if suspended:
        notes.append(
            f"{len(suspended)} case{'' if len(suspended) == 1 else 's'} suspended by red alerts; what was read before counts."
        )
    return tuple(notes)
