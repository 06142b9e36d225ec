"""Lesions put into real slices and taken out of them, on the road that a person's own slice takes through the studio.

A lesion is put where the slice has none: into the outline, and with the words, of another head's lesion of the same plane. Taken out is the
slice's own. What must not change is held against the real slice itself, not against what the studio says of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from meddiff.case import MaskSpec, MedDiffError, Request, Task
from meddiff.conditions.masks import edit_region
from meddiff.conditions.measure import dice
from meddiff.conditions.prompt import write_sentence
from meddiff.evaluation.figures import mean_figure, share_figure
from meddiff.evaluation.heads import noted
from meddiff.evaluation.judged import LEAST_MM2, NEAR
from meddiff.evaluation.keep import kept_arrays
from meddiff.evaluation.material import Material, Pictures
from meddiff.evaluation.records import Figure
from meddiff.imaging.read import Slice
from meddiff.synthesis.finder import LesionFinder
from meddiff.synthesis.native import Native, prepare_background
from meddiff.synthesis.studio import Studio

MANY = {True: 12, False: 48}  # slices, each changed twice
SEED = 90_000  # of the first slice, one more for each
TRIED = 40  # other heads' outlines that are tried in a slice


@dataclass(frozen=True)
class Edit:
    """A real slice before and after, and what the finder outlines in both.

    Attributes:
        number: position in `val`.
        before, after: uint8 or uint16 [H, W], the slice's own numbers.
        edit: bool [H, W], where the request lets pixels change.
        outline: bool [256, 256] on the model's grid.
        found_before, found_after: bool [256, 256], all that the finder outlines.
    """

    number: int
    before: np.ndarray
    after: np.ndarray
    edit: np.ndarray
    outline: np.ndarray
    found_before: np.ndarray
    found_after: np.ndarray

    def changed(self, inside: bool) -> np.ndarray:
        """Absolute differences of all pixels inside, or outside, the edit region, grey levels."""
        apart = np.abs(self.after.astype(np.int64) - self.before.astype(np.int64))
        return apart[self.edit if inside else ~self.edit]


def background_of(slices: Pictures, number: int, studio: Studio) -> tuple[Slice, Native]:
    """A real slice as a file of its pixels would be read, and as the pack sees it."""
    info = studio.load().info
    pixels = slices.pixels[number]
    shown = Slice(
        pixels.astype(np.float32), pixels, spacing_mm=(slices.spacing_mm,) * 2, modality=info.modality,
        plane=slices.planes[number],
    )  # fmt: skip
    return shown, prepare_background(shown, info.modality, info.size, info.spacing_mm)


def request_of(studio: Studio, task: Task, shown: Slice, sentence: str, outline: np.ndarray, seed: int) -> Request:
    """A request to change a slice inside an outline, bool [H, W]; still to be completed."""
    info = studio.load().info
    return Request(
        task=task, sentence=sentence, mask=MaskSpec.from_array(outline), seed=seed, steps=info.steps, guidance=info.guidance,
        precision=studio.precision, pack=info.name, background_sha256=shown.sha256,
    )  # fmt: skip


def removal(material: Material, number: int, seed: int) -> Edit | None:
    """A `val` slice with its own lesion taken out; None where the studio refuses its outline."""
    shown, native = background_of(material.val, number, material.studio)
    asked = request_of(material.studio, Task.REMOVE, shown, "no focal lesion", material.val.outlines[number], seed)
    try:
        request = material.studio.complete(asked, shown, native)
    except MedDiffError:
        return None
    return edited(material, number, request, native)


def insertion(material: Material, number: int, seed: int) -> Edit | None:
    """A `val` slice with a lesion put where it shows none; None where the studio refuses every outline that is tried.

    Outlines of other heads are tried in the set's order, from half the set away.
    """
    slices, studio = material.val, material.studio
    shown, native = background_of(slices, number, studio)
    own = ndimage.binary_dilation(slices.outlines[number], iterations=NEAR)
    heads = slices.heads if slices.heads is not None else np.arange(len(slices))
    others = [(number + len(slices) // 2 + step) % len(slices) for step in range(len(slices))]
    others = [i for i in others if slices.planes[i] is slices.planes[number] and heads[i] != heads[number]]
    for other in others[:TRIED]:
        asked = request_of(
            studio, Task.INSERT, shown, write_sentence(slices.findings[other]), slices.outlines[other], seed
        )
        if (edit_region(slices.outlines[other], asked.edit_margin_mm, native.spacing_mm) & own).any():
            continue
        try:
            request = studio.complete(asked, shown, native)
        except MedDiffError:  # outside this head, or on its other side
            continue
        return edited(material, number, request, native)
    return None


def edited(material: Material, number: int, request: Request, native: Native) -> Edit:
    """The slice of a completed request, changed: first seed, nothing redrawn; what was made stays in the folder."""
    assert request.mask is not None
    path = material.folder / "adherence" / "edits" / f"{request.digest()[:20]}.safetensors"
    after = kept_arrays(path, lambda: {"pixels": material.studio.make(request, native).pixels})["pixels"]
    outline = request.mask.to_array()
    found = found_in(material.finder, native.picture, native.shown(after))
    return Edit(
        number=number,
        before=material.val.pixels[number],
        after=after,
        edit=edit_region(outline, request.edit_margin_mm, native.spacing_mm),
        outline=native.grid.forward(outline.astype(np.float32)) > 0.5,
        found_before=found[0],
        found_after=found[1],
    )


def found_in(finder: LesionFinder, *pictures: np.ndarray) -> np.ndarray:
    """What the finder outlines in pictures float32 [256, 256] in [0, 1], bool [N, 256, 256]."""
    return finder.find(np.stack(pictures)).mask()


def near_of(outline: np.ndarray) -> np.ndarray:
    """Where what is found counts as the lesion of an outline, bool [256, 256]."""
    return ndimage.binary_dilation(outline, iterations=NEAR)


def nothing_near(found: np.ndarray, outline: np.ndarray, spacing_mm: float) -> bool:
    """Whether the finder outlines less than `LEAST_MM2` near an outline, both bool [256, 256]."""
    return bool((found & near_of(outline)).sum() * spacing_mm**2 < LEAST_MM2)


def edits(material: Material, tell: Callable[[], None]) -> list[Figure]:
    """Figures of lesions put into, and taken out of, real `val` slices that are spread over the set; `tell` is called after each slice."""
    count = min(MANY[material.quick], len(material.val))
    put, taken = [], []
    for place, number in enumerate(np.linspace(0, len(material.val) - 1, count).round().astype(int).tolist()):
        put.append(insertion(material, number, SEED + place))
        taken.append(removal(material, number, SEED + count + place))
        tell()
    return edit_figures(put, taken, material.val, material.studio.load().info.spacing_mm)


def edit_figures(
    tried_in: Sequence[Edit | None], tried_out: Sequence[Edit | None], slices: Pictures, spacing_mm: float
) -> list[Figure]:
    """What changed outside, whether the lesion asked for is found, and whether one that was taken out still is.

    Args:
        tried_in, tried_out: slices with a lesion put in, and with their own taken out; None: the studio refused.
        slices: that their numbers are positions in.
        spacing_mm: of the model's grid.
    """
    figures = []
    put, taken = ([edit for edit in tried if edit is not None] for tried in (tried_in, tried_out))
    for key, said, made in (("insert", "put in", put), ("remove", "taken out", taken)):
        refused = len(tried_in) - len(made)
        heads = _heads(made, slices)
        outside, inside = ([edit.changed(within) for edit in made] for within in (False, True))
        most = [int(pixels.max(initial=0)) for pixels in outside]
        figures += [
            Figure(
                key=f"adherence.{key}.outside_max", name=f"Real slice, lesion {said}: largest change outside",
                value=float(max(most)) if most else None, unit="grey levels", count=len(made), better="less", aim="<= 0",
                note="Outside the edit region, pixels as made; the mark of a case that leaves changes them by two grey levels at most (docs/safety.md)."
                + (f" {refused} of {len(tried_in)} slices have no place that the studio takes." if refused else ""),
            ),
            mean_figure(
                f"adherence.{key}.outside_mean", f"Real slice, lesion {said}: mean change outside",
                np.array([pixels.mean() for pixels in outside]), heads, unit="grey levels", better="less",
                baseline=np.array([pixels.mean() for pixels in inside]), baseline_name="inside the edit region",
            ),
        ]  # fmt: skip
    near = [near_of(edit.outline) for edit in put]
    now, before = (
        np.array([dice(found & close, edit.outline) for edit, found, close in zip(put, shown, near, strict=True)])
        for shown in ([edit.found_after for edit in put], [edit.found_before for edit in put])
    )
    real = np.array([dice(edit.found_before & near_of(edit.outline), edit.outline) for edit in taken])
    figures.append(
        mean_figure(
            "adherence.insert.dice", "Real slice, lesion put in: Dice found and asked", now, _heads(put, slices),
            better="more", real=real, baseline=before, baseline_name="the slice before",
            note=noted(
                f"Found within {NEAR} pixels of the outline, which is another head's, in a place without a lesion. Real: the slices' own lesions.",
                _heads(put, slices),
            ),
        )
    )  # fmt: skip
    clear = [nothing_near(edit.found_before, edit.outline, spacing_mm) for edit in taken]
    gone = [nothing_near(edit.found_after, edit.outline, spacing_mm) for edit in taken]
    figures.append(
        share_figure(
            "adherence.remove.gone", "Real slice, lesion taken out: nothing found there",
            np.where(clear, np.nan, gone), _heads(taken, slices), better="more",
            real=np.array([nothing_near(edit.found_before, edit.outline, spacing_mm) for edit in put], float),
            note=noted(
                f"Of lesions that it found before: less than {LEAST_MM2:g} mm2 within {NEAR} pixels of the outline. Real: the same in places of "
                "real slices without a lesion.",
                _heads([edit for edit, was_clear in zip(taken, clear, strict=True) if not was_clear], slices),
            ),
        )
    )  # fmt: skip
    return figures


def _heads(made: list[Edit], slices: Pictures) -> np.ndarray | None:
    return None if slices.heads is None else slices.heads[np.array([edit.number for edit in made], int)]
