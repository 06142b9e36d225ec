"""One trial after the other: the case is made, worsened as the plan says, sealed, shown to each detector with its twin, measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType

import numpy as np
from scipy import ndimage

from meddiff.case import MaskSpec, Measurement, MedDiffError, Plane, Region, Request, Side, Status
from meddiff.conditions.masks import sample_outline, standard_head
from meddiff.conditions.measure import LesionMeasures, largest_piece, longest_diameter_mm, measure_lesion
from meddiff.conditions.vocabulary import drawn_as
from meddiff.marking.seal import SealedCase, SealedImage
from meddiff.stress.detectors import Guarded, mark_hits
from meddiff.stress.plan import Bound, Hit, StressPlan, Trial
from meddiff.stress.records import DetectorSpec, Measures, Outcome, Pair
from meddiff.synthesis.studio import Attempt, Studio

APART = 8  # pixels between two pieces of a lesion
TRIES = 20  # places tried for each further piece
DRAWN = 0.5  # mean difference of case and twin in the outline, in units of the noise around it, from which a lesion was drawn
OF_THE_HEAD = ("change outside the edit region", "distance to the nearest training slice")  # rows of the check


@dataclass(frozen=True)
class Tested:
    """A trial's outcome, and the case that it was had with; None where no case could be made."""

    outcome: Outcome
    case: SealedCase | None


def guard(spec: DetectorSpec, timeout_s: float) -> Guarded:
    """A detector in a process of its own, as somebody names it."""
    return Guarded(spec.spec, spec.contract, timeout_s, spec.name or None)


def answers_of(detector: Guarded, image: SealedImage, twin: SealedImage, outline: np.ndarray, hit: Hit) -> Pair:
    """What a detector says of a case and its twin, its marks held against the outline bool [H, W]."""
    case, without = detector.look([image, twin])
    return Pair(
        case=mark_hits(case, outline, image.spacing_mm, hit.tolerance_mm, hit.iou),
        twin=mark_hits(without, None, twin.spacing_mm, hit.tolerance_mm, hit.iou),
    )


@dataclass(frozen=True)
class _Made:
    """A unit's case before any acquisition: whether it is fair, and what was measured of it."""

    attempt: Attempt
    unfair: str
    measures: Measures


class Lab:
    """A plan's maker and its detectors, each in a process of its own. Use it with `with`: the detectors end with it.

    Raises:
        MedDiffError: the pack or a detector cannot be had, or a detector does not keep to its contract.
    """

    def __init__(self, plan: StressPlan, detectors: Sequence[DetectorSpec] = ()) -> None:
        self.plan = plan
        self.studio = Studio(plan.pack, plan.precision, threads=1)  # the same pictures by however many processes
        self._stack = ExitStack()
        self.detectors: dict[str, Guarded] = {}
        try:
            for spec in detectors:
                detector = self._stack.enter_context(guard(spec, plan.timeout_s))
                self.detectors[detector.name] = detector
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> Lab:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def run(self, wanted: Iterable[Trial]) -> Iterator[Tested]:
        """Runs trials that share one case but for its acquisition; the case is made once."""
        made: _Made | MedDiffError | None = None
        for trial in wanted:
            if made is None:
                attempt = self._attempt(trial)
                made = attempt if isinstance(attempt, MedDiffError) else self._judged(attempt)
            yield self._failed(trial, made) if isinstance(made, MedDiffError) else self._tested(trial, made)

    def again(
        self, unit: Iterable[Trial], outcomes: Mapping[int, Outcome]
    ) -> Iterator[tuple[Outcome, SealedCase | None]]:
        """The cases of trials that were run before, made again: (outcome as it was, case), the case None where another picture came out.

        Args:
            unit: trials that share one case but for its acquisition.
            outcomes: as they were, by the trials' numbers.
        """
        for tested in self.run(unit):
            outcome = outcomes[tested.outcome.trial]
            yield outcome, tested.case if tested.outcome.sealed == outcome.sealed else None

    def completed(self, trial: Trial) -> Request:
        """A trial's request with everything decided, all pieces of its lesion drawn.

        Raises:
            MedDiffError: what cannot be drawn or placed.
        """
        request = self.studio.complete(self._by_pack(trial.request))
        return self._with_pieces(request, trial.lesions) if trial.lesions > 1 else request

    @staticmethod
    def _with_head(request: Request, head: int | None) -> Request:
        if head is None:
            return request
        once = request.tolerance.model_copy(update={"redraws": 0})
        return request.model_copy(update={"seed": head, "tolerance": once})

    def _by_pack(self, request: Request) -> Request:
        info = self.studio.load().info
        told = {"steps": self.plan.steps or info.steps, "guidance": self.plan.guidance or info.guidance}
        return request.model_copy(update=told)

    def _attempt(self, trial: Trial) -> Attempt | MedDiffError:
        try:
            return self.studio.best(
                self._with_head(self.completed(trial), trial.head), enough=lambda attempt: not self._unfair(attempt)
            )
        except MedDiffError as error:
            return error

    def _failed(self, trial: Trial, error: MedDiffError) -> Tested:
        outcome = Outcome(
            trial=trial.number, block=trial.block, levels=trial.levels, case="", request=trial.request,
            counts=False, accepted=False, reason=f"cannot be made: {error}",
        )  # fmt: skip
        return Tested(outcome, None)

    def _tested(self, trial: Trial, made: _Made) -> Tested:
        attempt, unfair, measures = made.attempt, made.unfair, made.measures
        shown = attempt
        if trial.acquisition is not None:
            shown = self.studio.acquired(attempt, trial.acquisition)
            seen = _value(shown.verdict.measurements, "conspicuity as acquired") or 0.0
            measures = measures.model_copy(update={"conspicuity_acquired": min(measures.conspicuity, seen)})
        sealed = self.studio.sealed(shown.request, shown.made, shown.verdict, shown.outline, None, shown.attempts)
        answers = {
            name: answers_of(detector, sealed.image, sealed.twin, sealed.mask, self.plan.hit)
            for name, detector in self.detectors.items()
        }
        if attempt.outline.any() and not shown.outline.any():
            unfair = "the lesion left the picture with the rotation"
        outcome = Outcome(
            trial=trial.number,
            block=trial.block,
            levels=trial.levels,
            case=sealed.case.id,
            request=shown.request,
            counts=not unfair,
            accepted=attempt.verdict.status is Status.ACCEPTED,
            reason=unfair or attempt.verdict.reason,
            measures=measures,
            sealed=(sealed.image.provenance.sealed_sha256, sealed.twin.provenance.sealed_sha256),
            answers=answers,
        )
        return Tested(outcome, sealed)

    def _unfair(self, attempt: Attempt) -> str:
        """Why a case is not one to hold against a detector, by the plan's bound; empty where it is.

        Under `plausible` the finder has no say: it is a detector, too. It sees something in nearly every slice, since all that it was
        trained on showed a lesion; by its word a small lesion would hardly ever count.
        """
        if self.plan.bound is Bound.CHECK:
            return attempt.verdict.reason
        rows = {row.name: row for row in attempt.verdict.measurements}
        if any(row is not None and row.ok is False for row in (rows.get(name) for name in OF_THE_HEAD)):
            return "the head is not as real ones are, or nearly a copy of one"
        if attempt.outline.any() and _drawn(attempt, self._seen(attempt).noise) < DRAWN:
            return "no lesion was drawn: case and twin hardly differ in the outline"
        return ""

    def _seen(self, attempt: Attempt) -> LesionMeasures:
        plane = attempt.request.findings.plane or Plane.AXIAL
        return measure_lesion(attempt.made.picture, attempt.outline, plane, self._spacing)

    @property
    def _spacing(self) -> tuple[float, float]:
        spacing = self.studio.load().info.spacing_mm
        return spacing, spacing

    def _judged(self, attempt: Attempt) -> _Made:
        seen = self._seen(attempt)
        measures = Measures(
            conspicuity=seen.contrast_to_noise,
            conspicuity_acquired=seen.contrast_to_noise,
            size_mm=longest_diameter_mm(largest_piece(attempt.outline), self._spacing),
            area_mm2=seen.area_mm2,
            lesions=int(ndimage.label(attempt.outline)[1]),
            side=seen.side.value,
            region=seen.region.value,
            margin=seen.margin.value,
            enhancement=seen.enhancement.value,
            distance=_value(attempt.verdict.measurements, "distance to the nearest training slice"),
            drawn=_drawn(attempt, seen.noise),
        )
        return _Made(attempt, self._unfair(attempt), measures)

    def _with_pieces(self, request: Request, count: int) -> Request:
        """A completed request whose lesion has further pieces of its size and kind elsewhere in the brain.

        Raises:
            MedDiffError: when so many do not find room.
        """
        assert request.mask is not None and request.findings.finding is not None
        plane = request.findings.plane or Plane.AXIAL
        outline, head = request.mask.to_array(), standard_head(plane)
        finding = request.findings.finding
        anywhere = finding.model_copy(update={"region": Region.UNKNOWN, "side": Side.UNKNOWN})
        others = request.findings.model_copy(update={"finding": anywhere})
        for piece in range(1, count):
            for attempt in range(TRIES):
                seed = int(np.random.default_rng([request.seed, piece, attempt]).integers(2**31))
                added = sample_outline(others, plane, head, seed, self._spacing, drawn_as=drawn_as(others))
                if not (ndimage.binary_dilation(added, iterations=APART) & outline).any():
                    outline = outline | added
                    break
            else:
                size = f"{finding.size_mm:g} mm" if finding.size_mm else "this size"
                raise MedDiffError(
                    f"{count} lesions of {size} do not find room in one slice: ask for fewer or smaller ones."
                )
        return request.model_copy(update={"mask": MaskSpec.from_array(outline)})


def _drawn(attempt: Attempt, noise: float) -> float:
    """Mean difference of case and twin in the outline, over the noise around it."""
    apart = np.abs(attempt.made.picture - attempt.made.twin_picture)
    return float(apart[attempt.outline].mean()) / noise


def _value(rows: Iterable[Measurement], name: str) -> float | None:
    return next((row.value for row in rows if row.name == name), None)
