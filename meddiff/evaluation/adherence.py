"""Adherence: does a picture show what was asked, as judges trained on real images alone see it?

Outline, size, place, type and look are each told as asked against measured in what the finder outlines. The same judge on real `val`
slices, asked for what their captions and outlines say, is the ceiling; each request held against the picture of another request is
the baseline. Then prompt swaps: one word is changed, seed, outline and all other words are kept, and what changes is measured; and
lesions put into real slices and taken out of them (`edits`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
from scipy import ndimage

from meddiff.case import Conspicuity, Enhancement, Findings, Margin, Request
from meddiff.conditions.masks import edit_region
from meddiff.conditions.measure import (
    compactness_of,
    dice,
    largest_piece,
    longest_diameter_mm,
    measure_lesion,
)
from meddiff.conditions.prompt import write_sentence
from meddiff.evaluation.edits import MANY, edits
from meddiff.evaluation.figures import (
    correlation,
    correlation_figure,
    known_mean,
    mean_figure,
    ratio_figure,
    share_figure,
)
from meddiff.evaluation.judged import WORDS, Judged, judged
from meddiff.evaluation.keep import kept_picture
from meddiff.evaluation.material import Material, Pictures, Progress
from meddiff.evaluation.plates import sealed, write_plate
from meddiff.evaluation.records import Figure, Part, Plate, Table
from meddiff.synthesis.finder import TYPES, LesionFinder

OTHER = "another case's request"
HEADS = "Intervals of what was asked against measured count pictures asked for by slices of one head together; word swaps count as they come."
PAIRS_QUICK, PAIRS_FULL = 8, 32  # of each word
SHOWN = 3  # pairs of a word on the plate
GROWN_MM = 8.0  # around the outline: as far as an edit region reaches
SURE = 0.5  # of the finder, for the outline whose margin is measured


# ---------------------------------------------------------------- asked and measured


def hausdorff95_mm(first: np.ndarray, second: np.ndarray, spacing_mm: float) -> float:
    """95th percentile of the distances from one outline's border to the other's, the larger of both ways, in mm.

    Huttenlocher et al., *IEEE Trans. PAMI* 15, 1993, with 95% in place of all, as in the BraTS challenge (Menze et al., 2015). NaN
    where one of the two, bool [H, W], is empty.
    """
    if not first.any() or not second.any():
        return float("nan")
    borders = [mask & ~ndimage.binary_erosion(mask) for mask in (first, second)]
    away = [ndimage.distance_transform_edt(~border) for border in borders]
    return spacing_mm * max(float(np.percentile(away[1 - i][borders[i]], 95)) for i in (0, 1))


def centre_offset_mm(first: np.ndarray, second: np.ndarray, spacing_mm: float) -> float:
    """Distance of the centroids of two outlines, bool [H, W], in mm; NaN where one is empty."""
    if not first.any() or not second.any():
        return float("nan")
    return spacing_mm * float(np.hypot(*np.subtract(ndimage.center_of_mass(first), ndimage.center_of_mass(second))))


@dataclass(frozen=True)
class Asked:
    """What is held against what was measured: outlines bool [N, H, W], their longest diameters in mm [N], types and findings."""

    outlines: np.ndarray
    sizes_mm: np.ndarray
    types: tuple[str, ...]
    findings: tuple[Findings, ...]

    @staticmethod
    def of(pictures: Pictures) -> Asked:
        """What was asked of these pictures."""
        spacing = (pictures.spacing_mm, pictures.spacing_mm)
        sizes = [longest_diameter_mm(largest_piece(outline), spacing) for outline in pictures.outlines]
        return Asked(pictures.outlines, np.array(sizes, float), pictures.types, pictures.findings)

    def shifted(self, by: int) -> Asked:
        """Each case asked for what the case `by` places on was asked."""
        turn = np.roll(np.arange(len(self.types)), -by)
        return Asked(
            self.outlines[turn],
            self.sizes_mm[turn],
            tuple(self.types[i] for i in turn),
            tuple(self.findings[i] for i in turn),
        )


def scores(found: Judged, asked: Asked, spacing_mm: float) -> dict[str, np.ndarray]:
    """Every case's scores, float [N] each; NaN where nothing was found or asked.

    `dice`, `hausdorff`, `offset` (mm), `seen` (0 or 1), `size_error` (mm, signed, measured minus asked), `size` (mm, measured),
    `type` and the `WORDS`: 1 where what was measured is what was asked, 0 where not or where nothing was found.
    """
    masks = list(zip((largest_piece(m) for m in found.masks), asked.outlines, strict=True))
    size = np.array([seen.diameter_mm for seen in found.seen])
    size[size == 0] = np.nan
    told = {
        "dice": [dice(a, b) for a, b in zip(found.masks, asked.outlines, strict=True)],
        "hausdorff": [hausdorff95_mm(a, b, spacing_mm) for a, b in masks],
        "offset": [centre_offset_mm(a, b, spacing_mm) for a, b in masks],
        "seen": found.masks.any((1, 2)),
        "size": size,
        "size_error": size - asked.sizes_mm,
        "type": [a == b for a, b in zip(found.types, asked.types, strict=True)],
    }
    return {name: np.asarray(values, float) for name, values in told.items()} | {
        word: agreement(found, asked, word) for word in WORDS
    }


def agreement(found: Judged, asked: Asked, word: str) -> np.ndarray:
    """1 where the word measured is the word asked, 0 where not, NaN where none was asked; [N]."""
    said = [getattr(f.finding, word).value if f.finding else "unknown" for f in asked.findings]
    seen = [getattr(one, word).value for one in found.seen]
    pairs = zip(said, seen, strict=True)
    return np.array([np.nan if a == "unknown" else float(a == b) for a, b in pairs])


def by_others(found: Judged, asked: Asked, spacing_mm: float, turns: int = 3) -> dict[str, np.ndarray]:
    """`scores` of each picture held against other cases' requests, means over `turns` of them: what a deaf generator would reach."""
    count = len(asked.types)
    shifts = sorted({max(1, round(count * (k + 1) / (turns + 1))) for k in range(turns)} - {count}) or [1]
    all_turns = [scores(found, asked.shifted(by), spacing_mm) for by in shifts]
    return {name: np.concatenate([turn[name] for turn in all_turns]) for name in all_turns[0]}


# ---------------------------------------------------------------- one word changed


@dataclass(frozen=True)
class Swap:
    """One word exchanged for another.

    Attributes:
        word: field of a finding, or `pathology`.
        values: the two that are exchanged, (from, to), as the record has them.
        measure: of picture, outline and finder: a number that shall rise from the first to the second value.
    """

    word: str
    values: tuple[object, object]
    measure: Callable[[np.ndarray, Request, LesionFinder, float], float]


def _rim(picture: np.ndarray, request: Request, finder: LesionFinder, spacing_mm: float) -> float:
    return measure_lesion(picture, _outline(request), request.findings.plane, (spacing_mm,) * 2).rim_over_core


def _contrast(picture: np.ndarray, request: Request, finder: LesionFinder, spacing_mm: float) -> float:
    return measure_lesion(picture, _outline(request), request.findings.plane, (spacing_mm,) * 2).contrast_to_noise


def _raggedness(picture: np.ndarray, request: Request, finder: LesionFinder, spacing_mm: float) -> float:
    """1 minus the compactness of what the finder outlines; the outline asked is the same in both pictures."""
    found = largest_piece(finder.find(picture[None]).mask(SURE)[0])
    return 1 - compactness_of(found) if found.any() else float("nan")


def _chance_of(kind: str, against: str) -> Callable[[np.ndarray, Request, LesionFinder, float], float]:
    def measure(picture: np.ndarray, request: Request, finder: LesionFinder, spacing_mm: float) -> float:
        chance = finder.find(picture[None]).type_probability[0]
        return float(chance[TYPES.index(kind)] - chance[TYPES.index(against)])

    return measure


SWAPS = (
    Swap("enhancement", (Enhancement.SOLID, Enhancement.RING), _rim),
    Swap("conspicuity", (Conspicuity.SUBTLE, Conspicuity.OBVIOUS), _contrast),
    Swap("margin", (Margin.SMOOTH, Margin.IRREGULAR), _raggedness),
    Swap("pathology", ("meningioma", "glioma"), _chance_of("glioma", "meningioma")),
    Swap("pathology", ("meningioma", "pituitary_tumor"), _chance_of("pituitary_tumor", "meningioma")),
)


def with_word(request: Request, word: str, value: object) -> Request:
    """A completed request with one word of its finding changed, in its findings and in its sentence, and nothing else."""
    assert request.findings.finding is not None
    finding = request.findings.finding.model_copy(update={word: value})
    findings = request.findings.model_copy(update={"finding": finding})
    return request.model_copy(update={"findings": findings, "sentence": write_sentence(findings)})


def chosen(requests: Sequence[Request], swap: Swap, most: int) -> list[int]:
    """Positions of the requests to swap a word in: those that say one of its two values, both values in turn; at most `most`."""
    said = [getattr(r.findings.finding, swap.word) if r.findings.finding and r.mask else None for r in requests]
    by_value = [[i for i, value in enumerate(said) if value == wanted] for wanted in swap.values]
    in_turn = [i for pair in zip_longest(*by_value) for i in pair if i is not None]
    return in_turn[:most]


def changes(first: np.ndarray, second: np.ndarray, grown: np.ndarray) -> tuple[float, float]:
    """Mean absolute difference of two pictures [H, W] inside and outside a region, bool [H, W], in the pictures' units."""
    apart = np.abs(first.astype(float) - second.astype(float))
    return float(apart[grown].mean()), float(apart[~grown].mean())


@dataclass(frozen=True)
class SwapResult:
    """Pairs of pictures that differ in one word: pixels uint8 [P, 2, 256, 256], requests, measures [P, 2] and changes [P, 2]."""

    swap: Swap
    requests: list[tuple[Request, Request]]
    pixels: np.ndarray
    measured: np.ndarray
    changed: np.ndarray  # inside, outside; grey levels

    @property
    def moved(self) -> np.ndarray:
        """1 where the measure rose, 0 where not, NaN where it could not be told; [P]."""
        rise = self.measured[:, 1] - self.measured[:, 0]
        return np.where(np.isnan(rise), np.nan, rise > 0)


def swapped(material: Material, swap: Swap, most: int, tell: Callable[[], None]) -> SwapResult:
    """Makes the pairs of one word; each picture stays in the evaluation's folder. A picture that was made already is taken as it is."""
    folder = material.folder / "adherence" / "swaps"
    requests, pixels, measured, changed = [], [], [], []
    for i in chosen(material.requests, swap, most):
        pair = tuple(with_word(material.requests[i], swap.word, value) for value in swap.values)
        own = [getattr(request.findings.finding, swap.word) for request in (material.requests[i], *pair)]
        shown = [
            material.made.pixels[i] if own[0] == own[1 + k] else kept_picture(folder, material.studio, request)
            for k, request in enumerate(pair)
        ]
        grown = edit_region(_outline(pair[0]), GROWN_MM, (material.made.spacing_mm,) * 2)
        units = [picture / np.float32(255) for picture in shown]
        requests.append((pair[0], pair[1]))
        pixels.append(np.stack(shown))
        measured.append(
            [swap.measure(u, r, material.finder, material.made.spacing_mm) for u, r in zip(units, pair, strict=True)]
        )
        changed.append(changes(shown[0], shown[1], grown))
        tell()
    empty = np.zeros((0, 2))
    return SwapResult(
        swap,
        requests,
        np.stack(pixels) if pixels else np.zeros((0, 2, 256, 256), np.uint8),
        np.array(measured, float) if measured else empty,
        np.array(changed, float) if changed else empty,
    )


def other_patients(material: Material, most: int = 32) -> np.ndarray:
    """`changes` between pictures of different requests in one plane, [P, 2]: how all changes when nothing is kept."""
    rows: list[tuple[float, float]] = []
    for i in range(len(material.made)):
        same = [j for j in range(i + 1, len(material.made)) if material.made.planes[j] == material.made.planes[i]]
        if same and len(rows) < most and material.made.outlines[i].any():
            grown = edit_region(material.made.outlines[i], GROWN_MM, (material.made.spacing_mm,) * 2)
            rows.append(changes(material.made.pixels[i], material.made.pixels[same[0]], grown))
    return np.array(rows, float).reshape(-1, 2)


def _outline(request: Request) -> np.ndarray:
    assert request.mask is not None
    return request.mask.to_array()


# ---------------------------------------------------------------- the part


def adherence(material: Material, progress: Progress) -> Part:
    """Asked against measured, and prompt swaps; the swaps' pictures stay in `folder / "adherence"`."""
    spacing = material.made.spacing_mm
    most = PAIRS_QUICK if material.quick else PAIRS_FULL
    steps = 2 + len(SWAPS) * most + min(MANY[material.quick], len(material.val))
    folder = material.folder / "judged"
    progress(0, steps, "judging real slices")
    real_found, real_asked = judged(material.val, material.finder, folder), Asked.of(material.val)
    real = scores(real_found, real_asked, spacing)
    progress(1, steps, "judging made pictures")
    made_found, made_asked = judged(material.made, material.finder, folder), Asked.of(material.made)
    made = scores(made_found, made_asked, spacing)
    others = by_others(made_found, made_asked, spacing)
    heads = material.made.heads, material.val.heads
    figures = measured_figures(made, real, others, made_asked.sizes_mm, real_asked.sizes_mm, heads)

    done = [2]

    def tell(what: str) -> None:
        done[0] += 1
        progress(min(done[0], steps), steps, what)

    results = [swapped(material, swap, most, lambda: tell("pictures with one word changed")) for swap in SWAPS]
    results = [result for result in results if len(result.requests)]
    figures += swap_figures(results, other_patients(material))
    figures += edits(material, lambda: tell("lesions put into real slices and taken out"))
    plates = (_plate(material, results),) if results else ()
    progress(steps, steps, "done")
    return Part(
        name="adherence",
        title="Adherence: what was asked against what was measured",
        figures=tuple(figures),
        tables=(types_taken(made_found, made_asked, real_found, real_asked),),
        plates=plates,
        remarks=(
            "Judged in the outline that the finder found, on made and on real pictures alike; the finder's own mistakes are in both.",
            f"Baseline: each picture held against the requests of other cases ({OTHER}).",
            *([HEADS] if material.made.heads is not None else []),
        ),
    )


def measured_figures(
    made: dict[str, np.ndarray],
    real: dict[str, np.ndarray],
    others: dict[str, np.ndarray],
    made_mm: np.ndarray,
    real_mm: np.ndarray,
    heads: tuple[np.ndarray | None, np.ndarray | None] = (None, None),
) -> list[Figure]:
    """Figures of `scores` on made and real pictures and on others' requests; `made_mm`, `real_mm` the sizes asked.

    Args:
        heads: of the slices that made pictures were asked for by, and of the real ones (`Pictures.heads`).
    """

    def beside(name: str, take: Callable[[np.ndarray], np.ndarray] = np.asarray) -> dict[str, Any]:
        return {"real": take(real[name]), "baseline": take(others[name]), "baseline_name": OTHER, **own}

    own: dict[str, Any] = {"groups": heads[0]}

    only_found = "Of those where the finder found anything; see the share seen."
    rows = [
        mean_figure("adherence.dice", "Dice of outline found and outline asked", made["dice"], better="more", **beside("dice")),
        ratio_figure(
            "adherence.dice_ratio", "Dice, made over real", made["dice"], real["dice"], heads, better="more", aim=">= 0.85",
            real=1.0, note="Above 1 a made lesion is easier to outline than a real one, not truer.",
        ),
        mean_figure(
            "adherence.hausdorff95", "Hausdorff distance, 95%", made["hausdorff"], unit="mm", better="less",
            note=only_found, **beside("hausdorff"),
        ),
        mean_figure(
            "adherence.offset", "Distance of the centroids", made["offset"], unit="mm", better="less", note=only_found,
            **beside("offset"),
        ),
        share_figure("adherence.seen", "Pictures in which the finder outlines anything", made["seen"], better="more", real=real["seen"], **own),
        correlation_figure(
            "adherence.size_r", "Longest diameter asked and measured, r", made_mm, made["size"], better="more", aim=">= 0.9", **own,
            real=_r(real_mm, real["size"]), note="Limited by the finder: the aim lies above what real slices reach, if `real` is below it.",
        ),
        mean_figure(
            "adherence.size_error", "Longest diameter, mean absolute error", np.abs(made["size_error"]), unit="mm",
            better="less", note=only_found, **beside("size_error", np.abs),
        ),
        mean_figure(
            "adherence.size_bias", "Longest diameter, measured minus asked", made["size_error"], unit="mm",
            better="neither", real=real["size_error"], **own, note="0 is best; the finder's own bias stands under real.",
        ),
        share_figure("adherence.type", "Type recognised", made["type"], better="more", **beside("type")),
        ratio_figure(
            "adherence.type_ratio", "Type recognised, made over real", made["type"], real["type"], heads, better="more",
            aim=">= 0.85", real=1.0,
        ),
    ]  # fmt: skip
    names = {
        "side": "Side as asked", "region": "Region as asked", "enhancement": "Enhancement as asked",
        "margin": "Margin as asked", "conspicuity": "Conspicuity as asked",
    }  # fmt: skip
    notes = {"margin": "The margin is the outline's: the word follows from what was drawn, and the finder smooths it."}
    rows += [
        share_figure(f"adherence.{word}", names[word], made[word], better="more", note=notes.get(word, ""), **beside(word))
        for word in WORDS
    ]  # fmt: skip
    return rows


def types_taken(made: Judged, made_asked: Asked, real: Judged, real_asked: Asked) -> Table:
    """How often each type asked is taken for which by the finder, of made pictures and of real slices."""
    return Table(
        key="adherence.types",
        name="Types taken for which",
        row_name="asked",
        column_name="what the finder says",
        names=tuple(kind.replace("_", " ") for kind in TYPES),
        made=confusion(made_asked.types, made.types),
        real=confusion(real_asked.types, real.types),
        note="Cases, and their share of the row; real: the type that the set names.",
    )


def confusion(asked: Sequence[str], told: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    """How many cases of each type asked (rows) are told as which (columns), both in the order of `TYPES`."""
    pairs = Counter(zip(asked, told, strict=True))
    return tuple(tuple(pairs[row, column] for column in TYPES) for row in TYPES)


def _r(x: np.ndarray, y: np.ndarray) -> float | None:
    both = ~(np.isnan(x) | np.isnan(y))
    r = float(correlation(x[both], y[both])) if both.sum() > 2 else float("nan")
    return None if np.isnan(r) else r


def _key(swap: Swap) -> str:
    first, second = (str(value).replace(" ", "_") for value in swap.values)
    return f"adherence.swap.{swap.word}.{first}_{second}"


def _said(swap: Swap) -> str:
    first, second = (str(value).replace("_", " ") for value in swap.values)
    return f"{'type' if swap.word == 'pathology' else swap.word}: {first} to {second}"


def swap_figures(results: Sequence[SwapResult], others: np.ndarray) -> list[Figure]:
    """How often the measure moved the right way, and how much changed inside and outside the outline; `others`: see `other_patients`."""
    rows: list[Figure] = []
    for result in results:
        key, said = _key(result.swap), _said(result.swap)
        rows.append(
            share_figure(
                f"{key}.moved", f"Pairs in which the measure follows the word, {said}", result.moved, better="more",
                baseline=0.5, baseline_name="chance",
            )
        )  # fmt: skip
    if not results:
        return rows
    changed = np.concatenate([result.changed for result in results])
    told: dict[str, Any] = {"unit": "grey levels", "baseline_name": "another patient"}
    return [
        *rows,
        share_figure(
            "adherence.swap.moved", "Pairs in which the measure follows the word, all words",
            np.concatenate([result.moved for result in results]), better="more", baseline=0.5, baseline_name="chance",
        ),
        mean_figure(
            "adherence.swap.inside", "One word changed: mean difference within 8 mm of the outline", changed[:, 0],
            better="neither", baseline=others[:, 0], **told,
        ),
        mean_figure(
            "adherence.swap.outside", "One word changed: mean difference elsewhere", changed[:, 1], better="less",
            baseline=others[:, 1], **told,
        ),
        mean_figure(
            "adherence.swap.elsewhere", "One word changed: difference elsewhere over difference inside",
            changed[:, 1] / np.maximum(changed[:, 0], 1e-6), better="less",
            baseline=known_mean(others[:, 1] / np.maximum(others[:, 0], 1e-6)) if len(others) else None,
            baseline_name="another patient", note="0: only the lesion changes. Air around the head counts as elsewhere.",
        ),
    ]  # fmt: skip


def _plate(material: Material, results: Sequence[SwapResult]) -> Plate:
    rows = []
    for result in results:
        shown = zip(result.requests[:SHOWN], result.pixels[:SHOWN], strict=True)
        rows.append(
            [
                sealed(material.studio, request, pixels, _outline(request))
                for pair, both in shown
                for request, pixels in zip(pair, both, strict=True)
            ]
        )
    file = write_plate(material.folder / "adherence_swaps.png", rows)
    said = "; ".join(_said(result.swap) for result in results)
    return Plate(
        key="adherence.swaps",
        caption=f"Pairs that differ in one word, side by side; rows: {said}.",
        file=file.name,
        synthetic=True,
    )
