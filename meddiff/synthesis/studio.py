"""Requests become cases: fill in what was left open, make, check, redraw, seal."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

from meddiff.case import (
    Acquisition,
    Case,
    Conspicuity,
    Findings,
    MaskSpec,
    Measurement,
    MedDiffError,
    Plane,
    Provenance,
    Request,
    Status,
    Task,
    pixel_sha256,
)
from meddiff.conditions.clinical import clinical_vector
from meddiff.conditions.masks import (
    check_mask,
    edit_region,
    sample_outline,
    standard_head,
    told_by_outline,
)
from meddiff.conditions.measure import head_mask, measure_lesion
from meddiff.conditions.place import slice_level
from meddiff.conditions.prompt import check_drawable, fill_from_pathology, read_sentence, write_sentence
from meddiff.conditions.tensors import Conditions
from meddiff.conditions.text import TextEncoder
from meddiff.conditions.vocabulary import drawn_as
from meddiff.diffusion.checkpoint import Pack, load_pack
from meddiff.diffusion.pipeline import AROUND
from meddiff.imaging.acquisition import acquire, turned
from meddiff.imaging.read import Slice
from meddiff.marking.seal import SealedCase, SealedImage, seal
from meddiff.settings import settings
from meddiff.synthesis.check import Verdict, check
from meddiff.synthesis.finder import LesionFinder
from meddiff.synthesis.native import Native, feather, prepare_background
from meddiff.synthesis.neighbours import Neighbours

Progress = Callable[[float, str], None]
NEXT_SEED = 1_000_003  # from one attempt to the next; count steps by one, so the two never meet


@dataclass(frozen=True)
class Made:
    """Pixels of one attempt, before the check and the seal: native pixels and their pictures on the pack's grid."""

    pixels: np.ndarray  # uint8 or uint16 [H, W], with the lesion (or, for REMOVE, without)
    twin: np.ndarray
    picture: np.ndarray  # float32 [256, 256]
    twin_picture: np.ndarray
    outside_change: int


@dataclass(frozen=True)
class Attempt:
    """One attempt at a request, with the seed that it took, and how many there were."""

    request: Request
    made: Made
    verdict: Verdict
    outline: np.ndarray
    attempts: int


class Studio:
    """One pack at one precision, loaded once; safe to share between threads, one case at a time.

    Args:
        pack: name under the folder of checkpoints.
        precision: int8, bf16 or fp32.
        text_encoder: folder that `meddiff text fit` wrote, its encoder says the sentences of new cases; default: the
            one of MEDDIFF_TEXT_ENCODER, or the pack's own.
        threads: that compute; 0: as the settings say. Pictures are the same to the last bit only with the same number.
    """

    def __init__(
        self,
        pack: str = "brain-t1gd",
        precision: str = "int8",
        text_encoder: str | Path | None = None,
        threads: int = 0,
    ) -> None:
        self.name = pack
        self.precision = precision
        self.text_encoder = text_encoder or settings().text_encoder
        self.threads = threads
        self._lock = threading.RLock()
        self._pack: Pack | None = None
        self._finder: LesionFinder | None = None
        self._neighbours: Neighbours | None = None
        self._fitted: TextEncoder | None = None

    def load(self) -> Pack:
        """The pack, loaded at the first call."""
        with self._lock:
            if self._pack is None:
                self._pack = load_pack(self.name, self.precision, threads=self.threads)
                if self._pack.has_finder:
                    self._finder = LesionFinder.load(self._pack.folder / "check")
                    self._neighbours = Neighbours.load(self._pack.folder / "check")
            return self._pack

    @property
    def finder(self) -> LesionFinder | None:
        """The pack's independent finder, if it has one."""
        self.load()
        return self._finder

    @property
    def neighbours(self) -> Neighbours | None:
        """The training slices as the check knows them, if the pack has them."""
        self.load()
        return self._neighbours

    def text(self) -> TextEncoder:
        """The text encoder of new cases, loaded at the first call.

        Raises:
            MedDiffError: when the folder that was chosen holds none, or its encoder cannot be had.
        """
        with self._lock:
            if self._fitted is None and self.text_encoder is not None:
                self._fitted = TextEncoder.load_fitted(self.text_encoder)
            return self._fitted or self.load().pipeline.text

    # ------------------------------------------------------------ the public verbs

    def create(
        self,
        request: Request,
        background: Slice | None = None,
        count: int = 1,
        progress: Progress | None = None,
    ) -> Iterator[SealedCase]:
        """Makes `count` cases, seeds counting up from the request's, each checked and sealed.

        Args:
            background: the slice to change, for insert and remove.
            progress: called with the share done in [0, 1] and a word about it.

        Raises:
            MedDiffError: for anything in the request that cannot be drawn; before the first pass.
        """
        if not 1 <= count <= settings().max_count:
            raise MedDiffError(f"Between 1 and {settings().max_count} cases can be made at once, not {count}.")
        pack = self.load()
        native = None
        if background is not None:
            native = prepare_background(background, pack.info.modality, pack.info.size, pack.info.spacing_mm)
        elif request.task is not Task.GENERATE:
            raise MedDiffError(f"To {request.task.value} a lesion, give the slice to change (--background).")
        for number in range(count):
            asked = request.model_copy(update={"seed": (request.seed + number) % 2**63})
            told = (lambda share, word, n=number: progress((n + share) / count, word)) if progress else None
            with self._lock:  # not while the caller looks at the case: it may go on in another thread
                case = self._case(self.complete(asked, background, native), native, told)
            yield case

    def complete(self, request: Request, background: Slice | None = None, native: Native | None = None) -> Request:
        """The request with everything decided: findings read and filled, outline drawn, pack named.

        Raises:
            MedDiffError: what cannot be understood, drawn or placed.
        """
        info = self.load().info
        findings = read_sentence(request.sentence) if request.sentence.strip() else request.findings
        check_drawable(findings, info.name, info.modality, info.anatomy, info.sequence, info.planes)
        plane = findings.plane or (background.plane if background else None) or Plane.AXIAL
        if background and background.plane and findings.plane and background.plane is not findings.plane:
            raise MedDiffError(
                f"The sentence says {findings.plane.value}, the background is a {background.plane.value} slice: change one of them."
            )
        findings = findings.model_copy(update={"plane": plane})
        if request.task is Task.REMOVE:
            findings = Findings(plane=plane)
        drawn = request.mask is not None and request.mask.png is not None
        if findings.finding is None and request.task is not Task.REMOVE and (native is not None or drawn):
            raise MedDiffError(
                "There is no lesion in this request to put "
                f"{'into the slice' if native is not None else 'inside the outline'}: describe one in the sentence."
            )
        said, findings = findings.finding, fill_from_pathology(findings, request.seed)
        head = head_mask(native.picture) if native else standard_head(plane)
        mask = self._outline(request, findings, native, head)
        if drawn and said and findings.finding and mask is not None:
            # The drawn outline says where and how large, not chance; enhancement it does not tell.
            level = slice_level(native.picture, head, plane) if native else None
            told = told_by_outline(said, plane, _on_grid(mask, native), head, info.spacing_mm, level)
            told = told.model_copy(update={"enhancement": findings.finding.enhancement})
            findings = findings.model_copy(update={"finding": told})
        return request.model_copy(
            update={
                "findings": findings,
                "sentence": request.sentence or write_sentence(findings),
                "pack": info.name,
                "pack_sha256": info.sha256,
                "precision": self.precision,
                "text_encoder": self.text().name,
                "mask": MaskSpec.from_array(mask) if mask is not None else None,
                "background_sha256": pixel_sha256(native.pixels) if native else None,
            }
        )

    # ------------------------------------------------------------ the outline

    def _outline(
        self, request: Request, findings: Findings, native: Native | None, head: np.ndarray
    ) -> np.ndarray | None:
        """The outline on the pixels the case will have, bool [H, W], or None for a slice without a lesion."""
        info = self.load().info
        shape = _shape(native, self.load())
        if request.mask is not None and request.mask.png is not None:
            drawn = _fitted(request.mask.to_array(), shape)
            on_grid = _on_grid(drawn, native)
            if native and (drawn & ~native.seen).any():
                raise MedDiffError(
                    f"The outline lies outside the middle {info.size * info.spacing_mm:.0f} mm of the slice that the "
                    "model sees: draw it there."
                )
            if drawn.any() and not on_grid.any():
                raise MedDiffError("The outline is too small for the model to see: draw a larger one.")
            check_mask(on_grid, head)
            return drawn
        if request.task is Task.REMOVE:
            raise MedDiffError("To remove a lesion, draw its outline (--mask).")
        if findings.finding is None:
            return None
        seed = request.mask.sample_seed if request.mask and request.mask.sample_seed is not None else request.seed
        plane = findings.plane or Plane.AXIAL
        level = slice_level(native.picture, head, plane) if native else None
        drawn = sample_outline(
            findings, plane, head, seed, (info.spacing_mm, info.spacing_mm), drawn_as=drawn_as(findings), level=level
        )
        return native.grid.back(drawn.astype(np.float32)) > 0.5 if native else drawn

    # ------------------------------------------------------------ one case

    def _case(self, request: Request, native: Native | None, progress: Progress | None) -> SealedCase:
        best = self.best(request.model_copy(update={"acquisition": None}), native, progress)
        if request.acquisition is not None:
            best = self.acquired(best, request.acquisition)
        return self.sealed(best.request, best.made, best.verdict, best.outline, native, best.attempts)

    def acquired(self, attempt: Attempt, change: Acquisition) -> Attempt:
        """An attempt from nothing as another acquisition shows it: picture and twin alike, outline turned with them.

        The check judged the picture as it was made; what the lesion still shows is added to its table, not judged.
        """
        made, outline = acquire_made(attempt.made, attempt.outline, change, self.load().info.spacing_mm)
        request = attempt.request.model_copy(update={"acquisition": change})
        rows = attempt.verdict.measurements
        if outline.any():
            rows = (*rows, self._seen_after(made, outline, request, rows))
        return replace(
            attempt, request=request, made=made, outline=outline, verdict=replace(attempt.verdict, measurements=rows)
        )

    def _seen_after(
        self, made: Made, outline: np.ndarray, request: Request, rows: tuple[Measurement, ...]
    ) -> Measurement:
        spacing = self.load().info.spacing_mm
        seen = measure_lesion(made.picture, outline, request.findings.plane or Plane.AXIAL, (spacing, spacing))
        before = next((row.measured for row in rows if row.name == "conspicuity"), "")
        return Measurement(
            name="conspicuity as acquired",
            asked=before,
            measured=seen.conspicuity_words,
            value=seen.contrast_to_noise,
        )

    def best(
        self,
        request: Request,
        native: Native | None = None,
        progress: Progress | None = None,
        enough: Callable[[Attempt], bool] | None = None,
    ) -> Attempt:
        """The first attempt at a completed request that its check accepts, or the best of all; not sealed.

        Args:
            enough: which attempt is taken, in place of those that the check accepts.
        """
        best: Attempt | None = None
        attempts = request.tolerance.redraws + 1
        for number in range(1, attempts + 1):
            tried = request.model_copy(update={"seed": (request.seed + (number - 1) * NEXT_SEED) % 2**63})
            outline = tried.mask.to_array() if tried.mask else np.zeros(_shape(native, self.load()), bool)
            told = (lambda share, n=number: progress(share, f"attempt {n} of {attempts}")) if progress else None
            made = self.make(tried, native, told)
            attempt = Attempt(tried, made, self.verdict(tried, made, outline, native), outline, number)
            taken = enough(attempt) if enough else attempt.verdict.status is Status.ACCEPTED
            if best is None or taken or attempt.verdict.score > best.verdict.score:
                best = attempt
            if taken:
                break
        assert best is not None
        return replace(best, attempts=number)

    def make(
        self,
        request: Request,
        native: Native | None = None,
        progress: Callable[[float], None] | None = None,
        edit: np.ndarray | None = None,
        start: np.ndarray | None = None,
        begin: float = AROUND,
    ) -> Made:
        """Pixels of a completed request: pure, the same for the same request, pack and precision.

        Args:
            edit: bool [H, W], where pixels may change, in place of the outline and the request's margin around it.
            start: float32 [256, 256] in [0, 1], what the edit region of a background is made from, e.g. the lesion as an earlier visit
                shows it; None: what surrounds it.
            begin: time in (0, 1] at which `start` is lost in noise.

        A request tells neither `edit` nor `start`: whoever gives them must be able to give them again, or the case cannot be rebuilt.
        """
        info = self.load().info
        spacing = native.spacing_mm if native else (info.spacing_mm, info.spacing_mm)
        outline = request.mask.to_array() if request.mask else None
        if edit is None and outline is not None:
            edit = edit_region(outline, request.edit_margin_mm, spacing)
        if native is not None and edit is not None:
            edit = edit & native.seen

        def sample(
            findings: Findings,
            mask: np.ndarray | None,
            region: np.ndarray | None,
            known: np.ndarray | None,
            part: int,
            parts: int,
        ) -> np.ndarray:
            told = (lambda done, total: progress((part + done / total) / parts)) if progress else None
            return self._sample(request, findings, mask, region, known, native, told, start, begin)

        nothing = Findings(plane=request.findings.plane)
        if native is None:
            lesion = sample(request.findings, outline, None, None, 0, 2)
            pixels = _to_uint8(lesion)
            if edit is None or outline is None:
                return Made(pixels, pixels.copy(), lesion, lesion, 0)
            # The twin: the same picture with the lesion taken out, all else the very same pixels.
            healthy = sample(nothing, None, edit, pixels / np.float32(255), 1, 2)
            weight = feather(edit, spacing)
            mixed = _to_uint8(pixels / np.float32(255) * (1 - weight) + healthy * weight)
            twin = np.where(edit, mixed, pixels)
            return Made(pixels, twin, pixels / np.float32(255), twin / np.float32(255), _change(pixels, twin, edit))
        assert edit is not None and outline is not None
        remove = request.task is Task.REMOVE
        made = sample(nothing if remove else request.findings, None if remove else outline, edit, native.picture, 0, 1)
        pixels = native.put(made, edit)
        changed = native.shown(pixels)
        outside = _change(native.pixels, pixels, edit)
        return Made(pixels, native.pixels, changed, native.picture, outside)

    def healthy(self, request: Request) -> Attempt:
        """The anatomy of a completed request from nothing, without its lesion but with room for it; not sealed.

        As `best`: the first attempt whose head is as real ones are, or the last of all, with the seed that it took. Without
        guidance: it would draw the absence of a lesion harder, and takes twice the time.
        """
        spared = request.mask.to_array() if request.mask else None
        nothing = Findings(plane=request.findings.plane)
        attempts = request.tolerance.redraws + 1
        for attempt in range(attempts):
            tried = request.model_copy(update={"seed": (request.seed + attempt * NEXT_SEED) % 2**63})
            unguided = tried.model_copy(update={"guidance": 1.0})
            pixels = _to_uint8(self._sample(unguided, nothing, None, place=spared))
            picture = pixels / np.float32(255)
            made = Made(pixels, pixels, picture, picture, 0)
            empty = tried.model_copy(update={"findings": nothing, "mask": None})
            verdict = self.verdict(empty, made, np.zeros(pixels.shape, bool))
            if verdict.status is Status.ACCEPTED:
                break
        return Attempt(tried, made, verdict, np.zeros(pixels.shape, bool), attempt + 1)

    def make_lesion(self, request: Request) -> np.ndarray:
        """The picture alone of a completed request from nothing, float32 [256, 256] in [0, 1]: no twin, no check, not sealed."""
        return self._sample(request, request.findings, request.mask.to_array() if request.mask else None)

    def _sample(
        self,
        request: Request,
        findings: Findings,
        outline: np.ndarray | None,
        edit: np.ndarray | None = None,
        known: np.ndarray | None = None,
        native: Native | None = None,
        progress: Callable[[int, int], None] | None = None,
        start: np.ndarray | None = None,
        begin: float = AROUND,
        place: np.ndarray | None = None,
    ) -> np.ndarray:
        """One pass through the pipeline: a picture float32 [256, 256] in [0, 1]."""
        conditions = self._conditions(findings, outline, edit, native, request)
        background, begun, room = (
            torch.from_numpy(np.ascontiguousarray(array, np.float32))[None, None] if array is not None else None
            for array in (known, start, place)
        )
        pipeline = self.load().pipeline
        plane = request.findings.plane
        made = pipeline(
            conditions, [request.seed], request.steps, request.guidance, background, progress, plane, begun, begin, room
        )
        return made[0, 0].numpy()

    def conditions(self, request: Request) -> Conditions:
        """What the denoiser is told of a completed request from nothing, for its picture with the lesion; one sample."""
        outline = request.mask.to_array() if request.mask else None
        return self._conditions(request.findings, outline, None, None, request)

    def _conditions(
        self,
        findings: Findings,
        outline: np.ndarray | None,
        edit: np.ndarray | None,
        native: Native | None,
        request: Request,
    ) -> Conditions:
        pack = self.load()
        size = pack.info.size

        def grid(mask: np.ndarray | None, empty: float) -> torch.Tensor:
            if mask is None:
                return torch.full((1, 1, size, size), empty)
            on_grid = native.grid.forward(mask) if native else mask.astype(np.float32)
            return torch.from_numpy(np.ascontiguousarray(on_grid, np.float32))[None, None]

        finding = findings.finding
        said = write_sentence(findings)
        clinical = clinical_vector(
            request.clinical,
            finding.size_mm if finding else None,
            finding.conspicuity if finding else Conspicuity.UNKNOWN,
        )
        region = grid(edit, 1.0)
        return Conditions(
            self._named(request.text_encoder)([said]),
            grid(outline, 0.0),
            (region > 0).float(),
            torch.from_numpy(clinical)[None],
        )

    def _named(self, text_encoder: str) -> TextEncoder:
        own = self.load().pipeline.text
        here = own if text_encoder == own.name else self.text()
        if here.name != text_encoder:
            raise MedDiffError(
                f"This case's sentence was read by the text encoder {text_encoder}, here is {here.name}: give the folder "
                "that `meddiff text fit` wrote for it (--text-encoder, or MEDDIFF_TEXT_ENCODER)."
            )
        return here

    def verdict(self, request: Request, made: Made, outline: np.ndarray, native: Native | None = None) -> Verdict:
        """What the check says of made pixels; `outline` bool [H, W] on the case's own pixels."""
        info = self.load().info
        kind = drawn_as(request.findings)
        on_grid = native.grid.forward(outline.astype(np.float32)) > 0.5 if native else outline
        with_lesion, without = made.picture, made.twin_picture
        if request.task is Task.REMOVE:  # here the result is the picture without
            with_lesion, without = without, with_lesion
        return check(
            request,
            kind,
            with_lesion,
            without,
            on_grid,
            made.outside_change,
            self._finder,
            info.spacing_mm,
            self._neighbours,
        )

    def sealed(
        self,
        request: Request,
        made: Made,
        verdict: Verdict,
        outline: np.ndarray,
        native: Native | None,
        attempts: int,
        keep_free: np.ndarray | None = None,
    ) -> SealedCase:
        """Made pixels as a case that may leave.

        Args:
            keep_free: bool [H, W], where no stamp may lie beside the outline itself: the lesion at other visits.
        """
        info = self.load().info
        created = datetime.now(UTC).isoformat(timespec="seconds")
        spacing = native.spacing_mm if native else (info.spacing_mm, info.spacing_mm)
        case = Case(
            id=request.case_id(),
            request=request,
            measurements=verdict.measurements,
            status=verdict.status,
            reason=verdict.reason,
            attempts=attempts,
            spacing_mm=spacing,
            created=created,
        )
        free = outline if keep_free is None else outline | keep_free
        avoid = ndimage.binary_dilation(free, iterations=3) if free.any() else None

        def sealed(pixels: np.ndarray, role: str, beside: SealedImage | None = None) -> SealedImage:
            provenance = Provenance(
                case_id=case.id,
                role=role,
                request=request,
                pack=info.name,
                pack_sha256=info.sha256,
                pixel_sha256=pixel_sha256(pixels),
                parent_sha256=request.background_sha256,
                status=verdict.status,
                reason=verdict.reason,
                checks=verdict.measurements,
                licence=info.licence,
                created=created,
            )
            return seal(pixels, provenance, spacing, avoid, settings().language, beside)

        image = sealed(made.pixels, "case")
        return SealedCase(case, image, sealed(made.twin, "twin", image), outline)


def acquire_made(made: Made, outline: np.ndarray, change: Acquisition, spacing_mm: float) -> tuple[Made, np.ndarray]:
    """Pixels made from nothing and their outline bool [H, W] as another acquisition shows them."""
    spacing = (spacing_mm, spacing_mm)
    pixels, twin = acquire(made.pixels, change, spacing), acquire(made.twin, change, spacing)
    pictures = pixels / np.float32(255), twin / np.float32(255)
    return Made(pixels, twin, *pictures, made.outside_change), turned(outline, change)


def _shape(native: Native | None, pack: Pack) -> tuple[int, int]:
    return native.pixels.shape if native else (pack.info.size, pack.info.size)  # type: ignore[return-value]


def _on_grid(mask: np.ndarray, native: Native | None) -> np.ndarray:
    """An outline on the case's pixels as the model's grid shows it, bool [256, 256]."""
    return native.grid.forward(mask, order=1) > 0.5 if native else mask


def _to_uint8(picture: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(picture * 255), 0, 255).astype(np.uint8)


def _change(first: np.ndarray, second: np.ndarray, edit: np.ndarray) -> int:
    """Largest difference outside the edit region, in the pixels' own grey levels."""
    outside = np.abs(first.astype(np.int64) - second.astype(np.int64))[~edit]
    return int(outside.max()) if outside.size else 0


def _fitted(mask: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A drawn outline on the case's pixels; another size with the same proportions is scaled.

    Raises:
        MedDiffError: when the proportions differ.
    """
    if mask.shape == shape:
        return mask
    if abs(mask.shape[0] / mask.shape[1] - shape[0] / shape[1]) > 0.02:
        raise MedDiffError(
            f"The outline is {mask.shape[1]}x{mask.shape[0]} pixels, the picture {shape[1]}x{shape[0]}: draw it on the same picture."
        )
    rows = (np.arange(shape[0]) * mask.shape[0] / shape[0]).astype(int)
    columns = (np.arange(shape[1]) * mask.shape[1] / shape[1]).astype(int)
    return mask[np.ix_(rows, columns)]
