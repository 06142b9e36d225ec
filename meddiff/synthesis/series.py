"""One patient over time: the same anatomy at dated visits, where nothing but the lesion changes, and that as a law says.

    plan = Plan(request=Request(sentence="Axial T1 post-contrast, glioma, 20 mm", seed=5), days=(0, 60, 120), law=law)
    series = make_series(plan, studio)

A healthy anatomy is made from nothing, with room for the lesion. The outline of day 0 then takes the area that the law asks for on each
day (`conditions.evolve`), and the brain around it moves aside (`conditions.mass_effect`). The lesion is drawn once, where it is largest;
at each visit that look is carried into the visit's outline (`conditions.carry`), lost in noise in part, and drawn again from there (Meng et
al., *SDEdit*, ICLR 2022), so that it stays the same lesion while its detail changes. What lies outside is the same pixel for pixel, but for
what was moved. Each visit is measured against the law, and what misses is drawn again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date as Date
from datetime import timedelta
from itertools import pairwise
from typing import Annotated

import numpy as np
from pydantic import Field, field_validator
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.metrics import structural_similarity

from meddiff.case import (
    SYNTHETIC_NOTICE,
    Findings,
    MaskSpec,
    Measurement,
    MedDiffError,
    Record,
    Request,
    Status,
    Task,
    Visit,
    pixel_sha256,
)
from meddiff.conditions.barriers import barriers
from meddiff.conditions.carry import carried
from meddiff.conditions.evolve import GrowthField, growth_field, necrotic_core, outline_at, with_satellites
from meddiff.conditions.growth import (
    Law,
    area_ratio,
    direction,
    fastest,
    first_size_mm,
    parse_law,
    too_fast,
    volume_ratio,
)
from meddiff.conditions.masks import LEAST_PIXELS, edit_region
from meddiff.conditions.mass_effect import mass_effect, warp
from meddiff.conditions.measure import head_mask, longest_diameter_mm, perpendicular_mm
from meddiff.conditions.prompt import read_sentence, write_sentence
from meddiff.conditions.response import Assessment, Measured, Rule, respond
from meddiff.conditions.vocabulary import load_pathologies
from meddiff.imaging.augmentation import Augmentation, Bounds, apply, draw
from meddiff.imaging.grid import GridTransform
from meddiff.marking.seal import SealedCase
from meddiff.synthesis.native import BRIGHT, Native
from meddiff.synthesis.studio import NEXT_SEED, Made, Studio

MOST_VISITS = 40
SAME_OUTSIDE = 0.98  # SSIM between visits where nothing changes
FOLLOWS = 0.98  # r of areas asked and measured
EVEN = 0.05  # spread of areas over their mean up to which there is no course to follow
REACH = 5  # pixels around the outline in which a change counts as the lesion
DIFFERS = 0.1  # root of the least change, as a share of the range, that shows a lesion
AREA_OFF, AREA_OFF_MM2 = 0.35, 60.0  # a visit's measured area may miss by the larger of the two
CARRY = 0.3  # time at which a carried look is lost in noise: later, and it is another lesion; earlier, and it is a stretched copy
LOOK_PASSES = 5  # of a look, at most: what later passes would add is drawn again at every visit
AS_CARRIED = 1.0  # guidance of a visit: the look is there already, and should not be drawn harder at every visit
BACKWARDS = 0.05  # share of the area by which measured areas may go against the law
FOLLOW_UP = Bounds(elastic_px=0, gamma=0.08, noise=0.015, scale=0, degrees=2.5)  # what real follow-ups differ by


class Plan(Record):
    """Everything that decides a series: the same plan, pack and precision give the same pixels at every visit.

    Attributes:
        request: the first visit as a case from nothing; its outline is that of day 0.
        days: of the visits, since day 0.
        law: how the volume changes.
        mass_effect: 0 (the lesion replaces tissue) to 1 (it pushes all of it aside).
        satellites: further foci that appear as the lesion grows.
        necrosis: share of the area that turns necrotic with size, 0 to 0.8.
        acquisition: 0 (one scanner, one session) to 1: gain, small rotation and noise as real follow-ups have them.
        first_date: ISO 8601, of day 0.
        redraws: seeds tried again for a lesion that misses or whose visits do, and at each visit.
        lesion_seed: of the lesion's look; None: tried from the request's. Filled in when the series is made, as the request is.
    """

    request: Request
    days: Annotated[tuple[int, ...], Field(min_length=1, max_length=MOST_VISITS)]
    law: Law
    mass_effect: Annotated[float, Field(ge=0, le=1)] = 0.3
    satellites: Annotated[int, Field(ge=0, le=5)] = 0
    necrosis: Annotated[float, Field(ge=0, le=0.8)] = 0.0
    acquisition: Annotated[float, Field(ge=0, le=1)] = 0.0
    first_date: str = "2030-01-01"
    redraws: Annotated[int, Field(ge=0, le=10)] = 2
    lesion_seed: Annotated[int | None, Field(ge=0, lt=2**63)] = None

    @field_validator("days")
    @classmethod
    def _in_order_and_once(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if twice := {day for day in value if value.count(day) > 1}:
            raise ValueError(f"two visits on day {min(twice)}: give each day once")
        if min(value) < 0:
            raise ValueError(f"day {min(value)} lies before the first visit: days count from 0")
        return tuple(sorted(value))

    @field_validator("first_date")
    @classmethod
    def _a_date(cls, value: str) -> str:
        try:
            return Date.fromisoformat(value).isoformat()
        except ValueError as error:
            raise ValueError(f"{value!r} is no date: write 2030-01-31") from error

    def series_id(self) -> str:
        """`MS-` and 12 hex digits of the plan's hash."""
        return "MS-" + self.digest()[:12]

    def date_of(self, day: int) -> str:
        """ISO 8601 date of a visit."""
        return (Date.fromisoformat(self.first_date) + timedelta(days=day)).isoformat()


class VisitReport(Record):
    """What one visit was asked to show and what was measured in it. Areas in mm2, lengths in mm."""

    number: int
    day: int
    date: str
    case_id: str
    asked_mm2: float  # by the law
    drawn_mm2: float  # of the outline; 0 where the law asks for less than can be drawn
    measured_mm2: float  # where the visit differs from its twin
    finder_mm2: float | None  # seen by the independent finder; None: the pack has none
    longest_mm: float
    perpendicular_mm: float
    same_outside: float | None  # SSIM to the visit before where nothing changes; None at the first
    identity: float | None  # likeness to the first visit minus that to the nearest other patient
    rano: Assessment
    recist: Assessment
    attempts: int
    status: Status
    reason: str = ""


class SeriesReport(Record):
    """A series measured: visit by visit, and as a whole."""

    notice: str = SYNTHETIC_NOTICE
    series: str
    plan: Plan
    visits: tuple[VisitReport, ...]
    checks: tuple[Measurement, ...]
    status: Status
    reason: str = ""


@dataclass(frozen=True, eq=False)
class Series:
    """A finished series: sealed visits in order of time, and what was measured."""

    visits: tuple[SealedCase, ...]
    report: SeriesReport


Progress = Callable[[float, str], None]


def plan_of(request: Request, days: Sequence[int], law: str = "", **options: object) -> Plan:
    """A plan with the law as a command line names it (`gompertz`, `gompertz:doubling_days=90`); empty: the pathology's own.

    Raises:
        MedDiffError: no lesion, no pathology with laws of growth, an unknown law.
        ValidationError: days or options out of range.
    """
    findings = read_sentence(request.sentence) if request.sentence.strip() else request.findings
    if findings.finding is None:
        raise MedDiffError("There is no lesion in this sentence that could change: describe one.")
    if findings.finding.pathology is None:
        raise MedDiffError("A series follows a disease: name one in the sentence (glioma, meningioma, ...).")
    pathology = load_pathologies()[findings.finding.pathology]
    chosen = parse_law(law, pathology) if law else pathology.growth.default
    if findings.finding.size_mm is None and not (request.mask and request.mask.png):
        request = _sized(request, findings, first_size_mm(pathology, chosen, max(days, default=0)))
    return Plan.model_validate({"request": request, "days": tuple(days), "law": chosen, **options})


def _sized(request: Request, findings: Findings, size_mm: float) -> Request:
    if request.sentence.strip():
        return request.model_copy(update={"sentence": f"{request.sentence.strip().rstrip('.,')}, {size_mm:g} mm"})
    assert findings.finding is not None
    sized = findings.finding.model_copy(update={"size_mm": size_mm})
    return request.model_copy(update={"findings": findings.model_copy(update={"finding": sized})})


# ---------------------------------------------------------------- the series


def make_series(plan: Plan, studio: Studio, progress: Progress | None = None) -> Series:
    """Makes, measures and seals every visit of a plan.

    Raises:
        MedDiffError: what cannot be drawn; a law that outgrows the head names the visit.
    """
    tell = progress or (lambda share, word: None)
    tell(0.0, "anatomy")
    stage = _stage(plan, studio)
    tell(0.2, "lesion")
    shown = _shown(stage)
    drawn: list[_Drawn] = []
    tries = [0] * len(stage.states)  # of each visit, with all looks
    with ThreadPoolExecutor(2) as beside:  # a visit is checked and sealed while the next ones are drawn
        for look in _looks(stage, studio):
            again = ", drawn again" if drawn else ""
            attempts: list[_Attempt] = []
            finishing: list[Future[tuple[SealedCase, float | None]]] = []
            for i, state in enumerate(stage.states):
                attempt = _visit(stage, look, state, i + 1, studio)
                tries[i] += attempt.tries
                attempts.append(replace(attempt, tries=tries[i]))
                if _misses(attempt, stage.spacing_mm):
                    break  # another look is cheaper than the visits that are left
                finishing.append(beside.submit(_checked_and_sealed, attempts[i], shown, studio))
                tell(0.3 + 0.5 * (i + 1) / len(stage.states), f"visit {i + 1} of {len(stage.states)}{again}")
            drawn.append(_Drawn(look, attempts, len(finishing), len(stage.states)))
            if drawn[-1].fits:
                break
            for unwanted in finishing:
                unwanted.cancel()
        best = max(drawn, key=lambda one: (one.fits, one.good, one.r))
        if not best.fits:
            rest = range(len(best.attempts), len(stage.states))
            attempts = best.attempts + [_visit(stage, best.look, stage.states[i], i + 1, studio) for i in rest]
            attempts = [
                replace(attempt, tries=max(n, attempt.tries)) for attempt, n in zip(attempts, tries, strict=True)
            ]
            finishing = [beside.submit(_checked_and_sealed, attempt, shown, studio) for attempt in attempts]
        identity = _identities(attempts, studio)
        visits, found = [], []
        for finished in finishing:
            visit, seen = finished.result()
            visits.append(visit)
            found.append(seen)
            tell(0.8 + 0.18 * len(visits) / len(attempts), f"sealed {len(visits)} of {len(attempts)}")
    report = _report(best.look.plan, stage, attempts, visits, found, identity)
    tell(1.0, "done")
    return Series(tuple(visits), report)


@dataclass(frozen=True, eq=False)
class _Drawn:
    """Visits drawn with one look, up to the first that misses its area; `good` of `wanted` do not miss."""

    look: _Look
    attempts: list[_Attempt]
    good: int
    wanted: int

    @property
    def r(self) -> float:
        """Of areas asked and measured; 1 where there is no course to follow."""
        r = _r(*([float(getattr(one, name).sum()) for one in self.attempts] for name in ("outline", "measured")))
        return 1.0 if r is None else r

    @property
    def fits(self) -> bool:
        """Whether every visit has its area, and the areas follow the law."""
        return self.good == self.wanted and self.r >= FOLLOWS


def _r(asked: Sequence[float], measured: Sequence[float]) -> float | None:
    """Pearson's r of areas asked and measured; None where there is no course to follow."""
    if len(asked) < 3 or np.std(asked) <= EVEN * np.mean(asked):
        return None
    return float(np.corrcoef(asked, measured)[0, 1]) if np.std(measured) else 0.0


def _checked_and_sealed(attempt: _Attempt, shown: np.ndarray, studio: Studio) -> tuple[SealedCase, float | None]:
    """The visit as a case, and the area in mm2 that the finder sees near its outline; None without a finder."""
    verdict = studio.verdict(attempt.request, attempt.made, attempt.outline)
    sealed = studio.sealed(attempt.request, attempt.made, verdict, attempt.outline, None, attempt.tries, shown)
    seen = None if studio.finder is None else (verdict.seen_px or 0) * studio.load().info.spacing_mm ** 2
    return sealed, seen


@dataclass(frozen=True, eq=False)
class VisitAgain:
    """A visit made again: its request and pixels, its outline, and where the lesion is at any visit, bool [H, W]."""

    request: Request
    made: Made
    outline: np.ndarray
    shown: np.ndarray


def visit_again(plan: Plan, number: int, studio: Studio) -> VisitAgain:
    """One visit of a series out of its plan alone, as `make_series` made it; the others are not drawn.

    Raises:
        MedDiffError: the plan has no such visit, or cannot be drawn.
    """
    if not 1 <= number <= len(plan.days):
        raise MedDiffError(f"The series has {len(plan.days)} visits, and no visit {number}.")
    stage = _stage(plan, studio)
    attempt = _visit(stage, next(_looks(stage, studio)), stage.states[number - 1], number, studio)
    return VisitAgain(attempt.request, attempt.made, attempt.outline, _shown(stage))


def _shown(stage: _Stage) -> np.ndarray:
    """Where the lesion is at any visit, bool [H, W]: no stamp lies there."""
    return np.logical_or.reduce([state.outline for state in stage.states])


@dataclass(frozen=True, eq=False)
class _State:
    """What a visit is drawn from: the healthy anatomy moved aside, uint8 [H, W], outline, core, and where the anatomy moved."""

    day: int
    asked_px: float
    anatomy: np.ndarray
    outline: np.ndarray
    core: np.ndarray
    moved: np.ndarray


@dataclass(frozen=True, eq=False)
class _Look:
    """The lesion as it was drawn once, and the plan that names its seed.

    Attributes:
        picture: float32 [H, W] in [0, 1]; None where no visit shows a lesion.
        outline: bool [H, W], of the lesion in it.
        level: from which change it shows (`change_level`).
        score: higher is nearer to what was asked.
        missed: whether the check or its area rejects it.
    """

    plan: Plan
    picture: np.ndarray | None
    outline: np.ndarray
    level: float = DIFFERS
    score: float = 0.0
    missed: bool = False


@dataclass(frozen=True, eq=False)
class _Stage:
    plan: Plan  # its request completed, with the seed that was taken
    states: tuple[_State, ...]
    spacing_mm: float


@dataclass(frozen=True, eq=False)
class _Attempt:
    request: Request
    made: Made
    outline: np.ndarray
    measured: np.ndarray
    tries: int


def _stage(plan: Plan, studio: Studio) -> _Stage:
    """Anatomy and outlines of all visits; no lesion is drawn before all of them fit."""
    info = studio.load().info
    asked = plan.request.model_copy(update={"task": Task.GENERATE, "background_sha256": None, "visit": None})
    first, healthy = _first(asked, studio)
    plan = plan.model_copy(update={"request": first})
    assert first.mask is not None
    outline = first.mask.to_array()
    picture = healthy / np.float32(255)
    plane = first.findings.plane
    assert plane is not None
    speed = barriers(picture, plane, outline)
    start_mm = 2 * float(np.sqrt(outline.sum() / np.pi)) * info.spacing_mm
    ratios = area_ratio(plan.law, plan.days, start_mm)
    field = growth_field(outline, speed, head_mask(picture) | outline, first.seed, info.spacing_mm)
    if plan.satellites:
        field = with_satellites(field, plan.satellites, first.seed, 1.2 * field.start_px)
    states = [
        _state(plan, field, healthy, speed > 0, outline, day, float(ratio) * field.start_px)
        for day, ratio in zip(plan.days, ratios, strict=True)
    ]
    return _Stage(plan, tuple(states), info.spacing_mm)


def _first(asked: Request, studio: Studio) -> tuple[Request, np.ndarray]:
    """The first visit's request as it was taken, and the healthy anatomy, uint8 [H, W].

    A request that names its pack comes from a series or a case: everything in it is decided, and it is made as it stands.
    """
    complete = asked if asked.pack_sha256 else studio.complete(asked)
    if complete.mask is None:
        raise MedDiffError("There is no lesion in this request that could change: describe one.")
    if asked.pack_sha256:
        once = complete.tolerance.model_copy(update={"redraws": 0})
        return asked, studio.healthy(complete.model_copy(update={"tolerance": once})).made.pixels
    anatomy = studio.healthy(complete)
    return anatomy.request, anatomy.made.pixels


def _looks(stage: _Stage, studio: Studio) -> Iterator[_Look]:
    """Looks to draw the visits with: those that the check accepts as they come, then the others, the best first.

    A plan that names its lesion's seed has that one alone.
    """
    state = max(stage.states, key=lambda state: int(state.outline.sum()))
    if not state.outline.any():
        yield _Look(stage.plan, None, state.outline)
        return
    if stage.plan.lesion_seed is not None:
        yield _look(stage, stage.plan.lesion_seed, state, studio)
        return
    missed: list[_Look] = []
    for attempt in range(stage.plan.redraws + 1):
        look = _look(stage, _seed(stage.plan, attempt), state, studio)
        if look.missed:
            missed.append(look)
        else:
            yield look
    yield from sorted(missed, key=lambda look: -look.score)


def _look(stage: _Stage, seed: int, state: _State, studio: Studio) -> _Look:
    """The lesion drawn into its largest outline."""
    request = _request(stage.plan, stage.spacing_mm, state, 0, seed)
    request = request.model_copy(update={"steps": min(request.steps, LOOK_PASSES)})
    made = studio.make(request, on_made(state.anatomy, studio))
    verdict = studio.verdict(request, made, state.outline)
    level = change_level(made.picture, made.twin_picture, state.outline)
    measured = lesion_by_difference(made.picture, made.twin_picture, state.outline, level)
    off = abs(int(measured.sum()) - int(state.outline.sum())) / _allowed_px(state.outline, stage.spacing_mm)
    missed = verdict.status is Status.REJECTED or off > 1
    plan = stage.plan.model_copy(update={"lesion_seed": seed})
    return _Look(plan, made.picture, state.outline, level, verdict.score - off, missed)


def _seed(plan: Plan, attempt: int) -> int:
    return (plan.request.seed + attempt * NEXT_SEED) % 2**63


def _state(
    plan: Plan, field: GrowthField, healthy: np.ndarray, brain: np.ndarray, start: np.ndarray, day: int, area_px: float
) -> _State:
    try:
        outline = outline_at(field, area_px if area_px >= LEAST_PIXELS else 0)
    except MedDiffError as error:
        raise MedDiffError(f"Day {day}: {error}") from error
    push = mass_effect(start, outline, brain, field.spacing_mm, plan.mass_effect)
    moved = np.hypot(*push) > 0.1
    anatomy = healthy
    if moved.any():
        pushed = np.clip(np.rint(warp(healthy.astype(np.float32), push)), 0, 255).astype(np.uint8)
        anatomy = np.where(moved, pushed, healthy)
    core = necrotic_core(outline, field.spacing_mm, plan.necrosis, plan.request.seed)
    return _State(day, area_px, anatomy, outline, core, moved)


# ---------------------------------------------------------------- one visit


def _visit(stage: _Stage, look: _Look, state: _State, number: int, studio: Studio) -> _Attempt:
    """A visit drawn with a look: the first attempt whose area is what the law asks, or the nearest of all."""
    best: _Attempt | None = None
    for attempt in range(look.plan.redraws + 1):
        request = _request(look.plan, stage.spacing_mm, state, number, _seed(look.plan, attempt))
        made = _made(look, request, state, number, studio)
        outline = _turned(look.plan, number, state.outline)
        measured = lesion_by_difference(made.picture, made.twin_picture, outline, look.level)
        tried = _Attempt(request, made, outline, measured, attempt + 1)
        if best is None or _off(tried) < _off(best):
            best = tried
        if not _misses(tried, stage.spacing_mm):
            break
    assert best is not None
    return replace(best, tries=attempt + 1)


def _off(attempt: _Attempt) -> float:
    return abs(int(attempt.measured.sum()) - int(attempt.outline.sum()))


def _misses(attempt: _Attempt, spacing_mm: float) -> bool:
    """Whether a visit's measured area is too far from its outline's."""
    return _off(attempt) > _allowed_px(attempt.outline, spacing_mm)


def _allowed_px(outline: np.ndarray, spacing_mm: float) -> float:
    return max(AREA_OFF * float(outline.sum()), AREA_OFF_MM2 / spacing_mm**2)


def _request(plan: Plan, spacing_mm: float, state: _State, number: int, seed: int) -> Request:
    """A visit's request; 0 is the lesion alone as it is first drawn, no visit."""
    findings, lesion = plan.request.findings, plan.request.findings.finding
    there = state.outline.any()
    if lesion is not None and there:
        size = min(round(longest_diameter_mm(state.outline, (spacing_mm,) * 2), 1), 200.0)
        lesion = lesion.model_copy(update={"size_mm": size})
    findings = findings.model_copy(update={"finding": lesion}) if there else Findings(plane=findings.plane)
    outline = _turned(plan, number, state.outline) if number else state.outline
    visit = Visit(
        series=plan.series_id(),
        number=number,
        of=len(plan.days),
        day=state.day,
        date=plan.date_of(state.day),
        plan=plan.canonical_json(),
    ) if number else None  # fmt: skip
    return plan.request.model_copy(
        update={
            "task": Task.INSERT,
            "sentence": write_sentence(findings),
            "findings": findings,
            "mask": MaskSpec.from_array(outline) if there else None,
            "background_sha256": pixel_sha256(state.anatomy),
            "seed": seed,
            "guidance": AS_CARRIED if number else plan.request.guidance,
            "visit": visit,
        }
    )


def _made(look: _Look, request: Request, state: _State, number: int, studio: Studio) -> Made:
    """Pixels of a visit and of its twin: the lesion's look carried into the anatomy, and both as this visit's scanner shows them."""
    pixels = state.anatomy
    if look.picture is not None and state.outline.any():
        upright = request.model_copy(update={"mask": MaskSpec.from_array(state.outline)})
        start = carried(look.picture, look.outline, state.outline, state.anatomy / np.float32(255))
        if state.core.any():
            start = _with_core(start, state)
        pixels = studio.make(upright, on_made(state.anatomy, studio), start=start, begin=CARRY).pixels
    change = _scanner(look.plan, number)
    case, twin = (_scanned(change, picture) for picture in (pixels, state.anatomy))
    return Made(case, twin, case / np.float32(255), twin / np.float32(255), 0)


def on_made(anatomy: np.ndarray, studio: Studio) -> Native:
    """A picture that the model made, uint8 [256, 256], as a background: its grey levels are the model's own."""
    size = studio.load().info.size
    grid = GridTransform((size, size), size, (0.0, 0.0), (1.0, 1.0))
    spacing = studio.load().info.spacing_mm
    return Native(anatomy, anatomy / np.float32(255), grid, 0.0, 255 * BRIGHT, (spacing, spacing))


def _with_core(picture: np.ndarray, state: _State) -> np.ndarray:
    """The core as dark as necrosis is in T1 post-contrast: below the tissue around the lesion, fading in over its border."""
    around = edit_region(state.outline, 8, (1, 1)) & ~state.outline & (picture > 0.08)
    dark = 0.55 * float(np.median(picture[around])) if around.any() else 0.12
    weight = ndimage.gaussian_filter(state.core.astype(np.float32), 1.2)
    texture = ndimage.gaussian_filter(picture, 0.7) - ndimage.gaussian_filter(picture, 3)
    dimmed = np.minimum(picture, dark + 0.5 * texture)
    return np.clip(picture * (1 - weight) + dimmed * weight, 0, 1)


def _scanner(plan: Plan, number: int) -> Augmentation | None:
    """How this visit's acquisition differs; the first is the reference."""
    if plan.acquisition == 0 or number == 1:
        return None
    share = plan.acquisition
    bounds = Bounds(0, FOLLOW_UP.gamma * share, FOLLOW_UP.noise * share, 0, FOLLOW_UP.degrees * share)
    return draw(plan.request.seed * 101 + number, bounds)


def _scanned(change: Augmentation | None, pixels: np.ndarray) -> np.ndarray:
    if change is None:
        return pixels
    picture, _ = apply(change, pixels / np.float32(255))
    return np.rint(picture * 255).astype(np.uint8)


def _turned(plan: Plan, number: int, mask: np.ndarray) -> np.ndarray:
    """An outline as it lies in this visit's acquisition."""
    change = _scanner(plan, number)
    if change is None or not mask.any():
        return mask
    _, turned = apply(change, np.zeros(mask.shape, np.float32), mask)
    assert turned is not None
    return turned


# ---------------------------------------------------------------- measured


def lesion_by_difference(picture: np.ndarray, twin: np.ndarray, near: np.ndarray, level: float) -> np.ndarray:
    """What a picture shows that its twin does not, bool [H, W]: the lesion, its core filled in.

    Pieces that do not touch `near` are not the lesion.

    Args:
        picture, twin: [H, W] in [0, 1].
        near: bool [H, W], the outline asked; the lesion is looked for within `REACH` pixels of it.
        level: from which the root of the change is the lesion (`change_level`); one for all visits of a patient, as a reader keeps
            one window for them.
    """
    if not near.any():
        return np.zeros(picture.shape, bool)
    apart = ndimage.binary_dilation(near, iterations=REACH) & (_change(picture, twin) > level)
    filled = ndimage.binary_fill_holes(ndimage.binary_closing(apart, iterations=2))
    labels, _ = ndimage.label(ndimage.binary_opening(filled, iterations=1))
    touching = np.unique(labels[near])
    return np.isin(labels, touching[touching > 0])


def change_level(picture: np.ndarray, twin: np.ndarray, near: np.ndarray) -> float:
    """Where Otsu's method parts changed from unchanged pixels around an outline (*IEEE Trans. SMC* 9, 1979).

    Of the root of the change, which brings bright rims and faint parts nearer. Never below `DIFFERS`.
    """
    zone = _change(picture, twin)[ndimage.binary_dilation(near, iterations=REACH)]
    return max(float(threshold_otsu(zone)), DIFFERS) if np.ptp(zone) > 0 else DIFFERS


def _change(picture: np.ndarray, twin: np.ndarray) -> np.ndarray:
    return np.sqrt(np.abs(ndimage.gaussian_filter(picture.astype(np.float32) - twin, 0.7)))


def _report(
    plan: Plan,
    stage: _Stage,
    attempts: list[_Attempt],
    visits: Sequence[SealedCase],
    found: list[float | None],
    identity: list[float | None],
) -> SeriesReport:
    spacing = (stage.spacing_mm, stage.spacing_mm)
    pixel = stage.spacing_mm**2
    diameters = [
        Measured(longest_diameter_mm(a.measured, spacing), perpendicular_mm(a.measured, spacing))
        if a.measured.any()
        else Measured(0.0, 0.0)
        for a in attempts
    ]
    rano, recist = respond(Rule.RANO, diameters), respond(Rule.RECIST, diameters)
    rows = []
    for i, (state, attempt) in enumerate(zip(stage.states, attempts, strict=True)):
        missed = _misses(attempt, stage.spacing_mm)
        reason = (
            f"{attempt.measured.sum() * pixel:.0f} mm2 measured, {attempt.outline.sum() * pixel:.0f} asked"
            if missed
            else ""
        )
        rows.append(
            VisitReport(
                number=i + 1,
                day=state.day,
                date=plan.date_of(state.day),
                case_id=visits[i].case.id,
                asked_mm2=state.asked_px * pixel,
                drawn_mm2=float(attempt.outline.sum() * pixel),
                measured_mm2=float(attempt.measured.sum() * pixel),
                finder_mm2=found[i],
                longest_mm=diameters[i].longest_mm,
                perpendicular_mm=diameters[i].perpendicular_mm,
                same_outside=_same_outside(stage, attempts, i) if i else None,
                identity=identity[i],
                rano=rano[i],
                recist=recist[i],
                attempts=attempt.tries,
                status=Status.REJECTED if missed else Status.ACCEPTED,
                reason=reason,
            )
        )
    checks = _checks(plan, rows)
    misses = [row.name for row in checks if row.ok is False]
    return SeriesReport(
        series=plan.series_id(),
        plan=plan,
        visits=tuple(rows),
        checks=checks,
        status=Status.REJECTED if misses else Status.ACCEPTED,
        reason=f"missed: {', '.join(misses)}" if misses else "",
    )


def _same_outside(stage: _Stage, attempts: list[_Attempt], i: int) -> float:
    """SSIM to the visit before, where neither lesion lies nor the anatomy moved."""
    one, other = attempts[i - 1].made.pixels, attempts[i].made.pixels
    changing = stage.states[i - 1].moved | stage.states[i].moved
    margin = stage.plan.request.edit_margin_mm
    for state in stage.states[i - 1 : i + 1]:
        if state.outline.any():
            changing = changing | edit_region(state.outline, margin, (stage.spacing_mm,) * 2)
    _, local = structural_similarity(one, other, data_range=255, full=True)
    still = ~ndimage.binary_dilation(changing, iterations=4)  # the window of SSIM reaches over three pixels
    return float(local[still].mean()) if still.any() else 1.0


def _identities(attempts: list[_Attempt], studio: Studio) -> list[float | None]:
    """Cosine to the first visit minus that to the nearest other patient, each visit's lesion left out."""
    if studio.finder is None or studio.neighbours is None:
        return [None] * len(attempts)
    healthy = np.stack([a.made.twin_picture for a in attempts])
    import torch

    seen = studio.neighbours.describe(studio.finder.describe(torch.as_tensor(healthy)))
    own = (seen @ seen[0]).tolist()
    others = (seen @ studio.neighbours.index.T).amax(1).tolist()
    return [a - b for a, b in zip(own, others, strict=True)]


def _checks(plan: Plan, rows: Sequence[VisitReport]) -> tuple[Measurement, ...]:
    checks = []
    r = _r([row.drawn_mm2 for row in rows], [row.measured_mm2 for row in rows])
    if r is not None:
        checks.append(_row("areas asked and measured, r", f">= {FOLLOWS}", f"{r:.3f}", r >= FOLLOWS, r))
    against = [
        f"day {one.day} to {other.day}"
        for one, other in pairwise(rows)
        if _goes_against(direction(plan.law, one.day, other.day), one.measured_mm2, other.measured_mm2)
    ]
    checks.append(
        _row("visits that go against the law", "none", ", ".join(against) or "none", not against, float(len(against)))
    )
    missed = [row for row in rows if row.status is Status.REJECTED]
    words = ", ".join(f"day {row.day}" for row in missed) or "none"
    checks.append(_row("visits whose area misses", "none", words, not missed, float(len(missed))))
    same = [row.same_outside for row in rows if row.same_outside is not None]
    if same:
        ok = min(same) >= SAME_OUTSIDE if plan.acquisition == 0 else None
        checks.append(
            _row("likeness where nothing changes, SSIM", f">= {SAME_OUTSIDE}", f"{min(same):.3f}", ok, min(same))
        )
    known = [row.identity for row in rows if row.identity is not None]
    if known:
        least = min(known)
        words = f"nearer by {least:.2f} at least" if least > 0 else f"another is nearer by {-least:.2f}"
        checks.append(_row("the same patient", "nearer than any other", words, least > 0, least))
    checks.append(_pace(plan, rows))
    return tuple(checks)


def _goes_against(way: int | None, before: float, after: float) -> bool:
    slack = BACKWARDS * max(before, after)
    return (way == 1 and after < before - slack) or (way == -1 and after > before + slack)


def _pace(plan: Plan, rows: Sequence[VisitReport]) -> Measurement:
    """Change no faster than the disease's limit; volumes from areas as (A2/A1)^(3/2). Surgery is no growth."""
    finding = plan.request.findings.finding
    if finding is None or finding.pathology is None:
        return _row("pace of change", "as the disease", "not judged: no disease is named", None)
    limits = fastest(load_pathologies()[finding.pathology])
    surgery = getattr(plan.law, "surgery_day", None)
    told = []
    for one, other in pairwise(rows):
        operated = surgery is not None and one.day < surgery <= other.day
        if operated or min(one.drawn_mm2, other.drawn_mm2, one.measured_mm2, other.measured_mm2) <= 0:
            continue
        ratio = (other.measured_mm2 / one.measured_mm2) ** 1.5
        if sentence := too_fast(limits, other.day - one.day, ratio, slack=0.4):
            told.append(f"day {one.day} to {other.day}: {sentence}")
    return _row(
        "pace of change", f"doubling in {limits.doubling_days:g} days at most", " ".join(told) or "within", not told
    )


def _row(name: str, asked: str, measured: str, ok: bool | None, value: float | None = None) -> Measurement:
    return Measurement(name=name, asked=asked, measured=measured, ok=ok, value=value)


# ---------------------------------------------------------------- the law's curve, for people


def curve(plan: Plan, start_mm2: float, points: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Days and areas in mm2 that the law asks for, from day 0 to the last visit."""
    days = np.linspace(0, max(plan.days[-1], 1), points)
    start_mm = 2 * float(np.sqrt(start_mm2 / np.pi))
    return days, start_mm2 * np.cbrt(volume_ratio(plan.law, days, start_mm)) ** 2
