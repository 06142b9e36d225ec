"""Hallucination: what is in a picture that nobody asked for, and anatomy that cannot be.

Lesions found outside the outline, and marks on twins that should have none. Anatomy by four scores, each higher the less plausible,
each shown to tell real slices from deliberately broken ones: what a score cannot tell there, it cannot tell of a made picture either.
In series: a lesion that changes faster than its disease can.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from types import MappingProxyType

import numpy as np
import torch
from scipy import ndimage
from skimage.measure import regionprops

from meddiff.case import MedDiffError, Plane, Request
from meddiff.conditions.growth import Limits, fastest, too_fast
from meddiff.conditions.measure import head_mask, largest_piece
from meddiff.conditions.place import box
from meddiff.conditions.vocabulary import load_pathologies
from meddiff.diffusion.autoencoder import PatchAutoencoder
from meddiff.evaluation.features import head_or_all
from meddiff.evaluation.figures import mean_figure, share_figure
from meddiff.evaluation.heads import noted
from meddiff.evaluation.judged import LEAST_MM2, NEAR, elsewhere, judged
from meddiff.evaluation.keep import kept_arrays, kept_json, name_of
from meddiff.evaluation.material import Material, Pictures, Progress
from meddiff.evaluation.plates import sealed, write_plate
from meddiff.evaluation.records import Curve, Figure, Line, Part, Plate
from meddiff.statistics import placements, roc_area
from meddiff.synthesis.series import SeriesReport, make_series, plan_of

KEEPS = 0.95  # of real val slices are within a score's threshold
TRAIN_HEADS_QUICK = 600
SHOWN = 12  # least plausible pictures on the plate
SERIES = (
    ("Axial T1 post-contrast, glioma, 22 mm", (0, 60, 120)),
    ("Coronal T1 post-contrast, meningioma, 25 mm", (0, 180, 360)),
    ("Axial T1 post-contrast, glioblastoma, 25 mm", (0, 30, 60, 90)),
    ("Coronal T1 post-contrast, metastasis, 15 mm", (0, 30, 60, 90)),
    ("Sagittal T1 post-contrast, meningioma, 25 mm", (0, 180, 360, 540)),
    ("Axial T1 post-contrast, brain abscess, 28 mm", (0, 14, 28, 42)),
)
SERIES_QUICK = 2
AREA_OFF = 0.35  # a measured ratio of areas may miss the one asked by so much, as a share, as `synthesis.series` allows an area to
VOLUME_SLACK = 0.4  # relative error of a measured ratio of volumes, as `synthesis.series` has it
SCORES = {
    "residual": "Autoencoder residual",
    "asymmetry": "Left against right",
    "distance": "Distance to the nearest training slice",
    "head": "Shape of the head",
}
NOTES = {
    "residual": "Flatters: a made picture comes out of this autoencoder's own decoder.",
    "asymmetry": "Axial and coronal slices only; the lesion and its mirror image are left out.",
    "distance": "The check's own score: pictures that pass the check are within its limits by choice.",
    "head": "Area, solidity, holes, eccentricity and shape of the head mask against real train slices of the plane.",
}


# ---------------------------------------------------------------- slices broken on purpose


def warped(picture: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Bent by smooth random shifts of 9 pixels RMS, as no head is bent."""
    fields = [ndimage.gaussian_filter(rng.normal(size=picture.shape), 14) for _ in range(2)]
    shift = np.stack([field / field.std() * 9 for field in fields])
    return ndimage.map_coordinates(picture, np.indices(picture.shape) + shift, order=1, mode="nearest")


def halves_swapped(picture: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Cut through the middle of the head, left half on the right and right half on the left, each as it was."""
    around = box(head_or_all(picture))
    middle, half = around.left + around.width // 2, around.width // 2
    mixed = picture.copy()
    left, right = picture[:, middle - half : middle], picture[:, middle : middle + half]
    mixed[:, middle - half : middle], mixed[:, middle : middle + half] = right, left
    return mixed


def pasted(picture: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A round piece of another slice, 26 pixels in radius, in a place where that slice has something else."""
    where = _piece(picture, rng, 26)
    shift = rng.integers(20, 50, 2) * rng.choice([-1, 1], 2)
    return np.where(where, np.roll(other, tuple(int(s) for s in shift), (0, 1)), picture)


def blurred_patch(picture: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A round piece, 30 pixels in radius, blurred until no sulcus is left."""
    return np.where(_piece(picture, rng, 30), ndimage.gaussian_filter(picture, 5), picture)


def skull_missing(picture: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A bite out of the head, 34 pixels in radius, filled with the air beside it."""
    head = head_or_all(picture)
    border = np.argwhere(head & ~ndimage.binary_erosion(head, border_value=1))
    row, column = border[rng.integers(len(border))]
    air = rng.permuted(picture[~head]) if (~head).any() else np.zeros(1, picture.dtype)
    return np.where(_disc(picture.shape, row, column, 34), np.resize(air, picture.shape), picture)


BROKEN: dict[str, Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]] = {
    "warped": warped,
    "halves swapped": halves_swapped,
    "piece pasted": pasted,
    "patch blurred": blurred_patch,
    "skull missing": skull_missing,
}


def broken(pictures: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Each picture, float32 [N, 256, 256] in [0, 1], broken in one way, the ways in turn; and which way, [N] of 0 to 4.

    The same seed breaks the same way. `other`, of which a piece is pasted, is the next picture of the set.
    """
    ways = list(BROKEN.values())
    made = [
        ways[i % len(ways)](picture, pictures[(i + 1) % len(pictures)], np.random.default_rng((seed, i)))
        for i, picture in enumerate(pictures)
    ]
    return np.clip(np.stack(made), 0, 1).astype(np.float32), np.arange(len(pictures)) % len(ways)


def _disc(shape: tuple[int, ...], row: float, column: float, radius: float) -> np.ndarray:
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return (rows - row) ** 2 + (columns - column) ** 2 < radius**2


def _piece(picture: np.ndarray, rng: np.random.Generator, radius: float) -> np.ndarray:
    """A disc whose centre lies well inside the head."""
    head = head_or_all(picture)
    deep = ndimage.distance_transform_edt(head)
    inside = np.argwhere(deep >= min(radius, 0.9 * deep.max()))
    row, column = inside[rng.integers(len(inside))]
    return _disc(picture.shape, row, column, radius)


# ---------------------------------------------------------------- how plausible anatomy is


@torch.inference_mode()
def residuals(vae: PatchAutoencoder, pictures: np.ndarray, batch: int = 16) -> np.ndarray:
    """How badly the autoencoder gives the worst place of each picture back, [N].

    The 99.5th percentile over the picture of the absolute residual smoothed over 3 pixels, over the mean of the whole: a seam or a
    piece that is no MR stands out from how well the rest of the same picture is given back.

    Args:
        pictures: float32 [N, 256, 256] in [0, 1].
    """
    found = []
    dtype = vae.encoder.weight.dtype
    for chunk in torch.from_numpy(np.ascontiguousarray(pictures)).unsqueeze(1).split(batch):
        back = vae(chunk.to(dtype) * 2 - 1).float() / 2 + 0.5
        found += [ndimage.gaussian_filter(row, 3) for row in (back.clamp(0, 1) - chunk).abs().squeeze(1).numpy()]
    return np.array([np.percentile(row, 99.5) / (row.mean() + 1e-4) for row in found])


def asymmetry(picture: np.ndarray, outline: np.ndarray, plane: Plane) -> float:
    """1 minus the correlation of a slice with its mirror image about the best axis near the head's middle; NaN for sagittal slices.

    Both are smoothed over 2 pixels; air and the lesion with its mirror image are left out. Axes within 8 pixels and 6 degrees are tried.

    Args:
        picture: [256, 256] in [0, 1]; outline bool [256, 256].
    """
    head = head_mask(picture)
    if plane is Plane.SAGITTAL or not head.any():
        return float("nan")
    # A quarter of the pixels tells the same and takes a fraction of the time; means of four keep the mirror's axis between pixels.
    small = _halved(ndimage.gaussian_filter(picture, 2))
    inside, lesion = _halved(head) > 0.5, _halved(ndimage.binary_dilation(outline, iterations=NEAR)) > 0
    around = box(inside)
    middle = around.left + (around.width - 1) / 2
    best = -1.0
    for degrees in (-6, -3, 0, 3, 6):
        stack = np.stack([small, inside, lesion]).astype(np.float32)
        turned = ndimage.rotate(stack, degrees, (1, 2), reshape=False, order=1) if degrees else stack
        for off in np.arange(-4, 4.5, 0.5):
            best = max(best, _mirror_likeness(turned, middle + off))
    return 1 - best


def _halved(array: np.ndarray) -> np.ndarray:
    """Means of blocks of 2 x 2."""
    return array.reshape(len(array) // 2, 2, -1, 2).mean((1, 3))


def _mirror_likeness(stack: np.ndarray, axis: float) -> float:
    """Correlation of a picture with itself mirrored about a column, where both are head and neither is lesion; stack [3, h, w]."""
    columns = np.rint(2 * axis - np.arange(stack.shape[2])).astype(int)
    valid = (columns >= 0) & (columns < stack.shape[2])
    other = stack[:, :, np.clip(columns, 0, stack.shape[2] - 1)]
    use = ((stack[1] > 0.5) | (other[1] > 0.5)) & (stack[2] < 0.5) & (other[2] < 0.5) & valid
    if use.sum() < 50:
        return -1.0
    x, y = stack[0][use], other[0][use]
    spread = x.std() * y.std()
    return float(((x - x.mean()) * (y - y.mean())).mean() / spread) if spread > 0 else -1.0


def head_shape(picture: np.ndarray) -> np.ndarray:
    """The head in numbers, float [6]: root of area over the picture's side, solidity, share of holes, eccentricity, extent, roughness.

    All NaN where there is no head. Holes are dark pixels that the closed mask fills; roughness is perimeter^2 over 4 pi area.
    """
    head = head_mask(picture)
    if not head.any():
        return np.full(6, np.nan)
    (shape,) = regionprops(head.astype(np.uint8))
    dark = ndimage.gaussian_filter(picture, 1)[head] < 0.25 * np.median(picture[head])
    rough = shape.perimeter**2 / (4 * np.pi * shape.area)
    size = np.sqrt(shape.area) / len(picture)
    return np.array([size, shape.solidity, dark.mean(), shape.eccentricity, shape.extent, rough])


def mahalanobis(
    rows: np.ndarray, planes: Sequence[Plane], known: np.ndarray, known_planes: Sequence[Plane]
) -> np.ndarray:
    """Distance of each row [N, D] from the known rows [M, D] of its plane, in their standard deviations and correlations, [N].

    Mahalanobis, 1936, with a hundredth of the variances added to the diagonal. A row with NaN is infinitely far; without known rows of
    its plane there is no distance, NaN.
    """
    found = np.full(len(rows), np.nan)
    for plane in set(planes):
        mine = np.array([p is plane for p in planes])
        theirs = known[np.array([p is plane for p in known_planes], bool)]
        theirs = theirs[~np.isnan(theirs).any(1)]
        if len(theirs) <= rows.shape[1]:
            continue
        spread = np.cov(theirs.T)
        inverse = np.linalg.inv(spread + 0.01 * np.diag(np.diag(spread)) + 1e-9 * np.eye(len(spread)))
        apart = rows[mine] - theirs.mean(0)
        distance = np.sqrt(np.einsum("nd,de,ne->n", np.nan_to_num(apart), inverse, np.nan_to_num(apart)))
        found[mine] = np.where(np.isnan(apart).any(1), np.inf, distance)
    return found


def plausibility(
    material: Material, pictures: Pictures, unit: np.ndarray | None = None, name: str = ""
) -> dict[str, np.ndarray]:
    """The four scores of each picture, float [N], higher is less plausible; NaN where a score does not apply. Kept in the folder.

    Args:
        unit: other pixels for these outlines and planes, float32 [N, 256, 256] in [0, 1] (broken ones), kept under `name`.
    """
    seen = pictures.unit if unit is None else unit

    def score() -> dict[str, np.ndarray]:
        known, planes = train_heads(material)
        shapes = np.stack([head_shape(picture) for picture in seen])
        each = zip(seen, pictures.outlines, pictures.planes, strict=True)
        index = material.neighbours
        return {
            "residual": residuals(material.studio.load().pipeline.vae, seen),
            "asymmetry": np.array([asymmetry(picture, outline, plane) for picture, outline, plane in each]),
            "distance": index.distance(material.finder, seen) if index else np.full(len(seen), np.nan),
            "head": mahalanobis(shapes, pictures.planes, known, planes),
        }

    path = material.folder / "hallucination" / f"scores-{name_of(pictures)}{name}.safetensors"
    return {key: value.astype(float) for key, value in kept_arrays(path, score).items()}


def train_heads(material: Material) -> tuple[np.ndarray, list[Plane]]:
    """`head_shape` of real train slices [M, 6], and their planes; in quick form of `TRAIN_HEADS_QUICK` of them, evenly chosen."""
    count = min(len(material.train), TRAIN_HEADS_QUICK) if material.quick else len(material.train)
    picks = np.linspace(0, len(material.train) - 1, count).round().astype(int)
    some = material.train.take(picks)
    path = material.folder / "hallucination" / f"heads-{name_of(some)}.safetensors"
    kept = kept_arrays(path, lambda: {"shapes": np.stack([head_shape(picture) for picture in some.unit])})
    return kept["shapes"], list(some.planes)


def threshold_of(real: np.ndarray) -> float:
    """The score that `KEEPS` of real slices do not exceed; NaN is left out, and is the answer where nothing else is."""
    known = real[~np.isnan(real)]
    return float(np.quantile(known, KEEPS)) if len(known) else float("nan")


def area_under(real: np.ndarray, bad: np.ndarray) -> float:
    """ROC AUC: share of pairs in which the bad picture scores higher, a tie is one half (Mann & Whitney, 1947); NaN left out."""
    real, bad = real[~np.isnan(real)], bad[~np.isnan(bad)]
    return float(placements(bad, real)[0].mean()) if len(real) and len(bad) else float("nan")


def roc(real: np.ndarray, bad: np.ndarray, points: int = 60) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Share of real slices and of broken ones above each threshold, from (0, 0) to (1, 1)."""
    real, bad = real[~np.isnan(real)], bad[~np.isnan(bad)]
    steps = np.quantile(np.concatenate([real, bad]), np.linspace(1, 0, points))
    x, y = (tuple(float((values > step).mean()) for step in steps) for values in (real, bad))
    return (0.0, *x, 1.0), (0.0, *y, 1.0)


# ---------------------------------------------------------------- the part


def hallucination(material: Material, progress: Progress) -> Part:
    """Lesions elsewhere, marks on twins, anatomy, series. Scores and series stay in `folder / "hallucination"`."""
    steps = 5
    progress(0, steps, "lesions outside the outline")
    figures = _lesion_figures(material)
    progress(1, steps, "anatomy of real and broken slices")
    whole = material.val.take(np.arange(0, len(material.val), 2 if material.quick else 1))
    bad, ways = broken(whole.unit, material.seed)
    scores = {
        "real": plausibility(material, material.val),
        "broken": plausibility(material, whole, bad, f"-broken-{material.seed}"),
    }
    progress(2, steps, "anatomy of made pictures")
    scores["made"] = plausibility(material, material.made)
    heads = {"real": material.val.heads, "broken": whole.heads, "made": material.made.heads}
    figures += anatomy_figures(scores, ways, heads)
    curve = _rocs(scores)
    plate = _plate(material, scores)
    progress(3, steps, "series")
    reports = _series(material, progress)
    figures += series_figures(reports)
    progress(steps, steps, "done")
    return Part(
        name="hallucination",
        title="Hallucination: what nobody asked for",
        figures=tuple(figures),
        curves=(curve,),
        plates=(plate,),
        remarks=(
            "The finder was trained on slices that all show a lesion, so that it marks something in many that show none; "
            "what it marks elsewhere on real slices stands under real.",
            "A score counts for a made picture only as far as it tells broken slices from real ones: see its AUC.",
        ),
    )


def _lesion_figures(material: Material) -> list[Figure]:
    folder, spacing = material.folder / "judged", material.made.spacing_mm

    def pieces(pictures: Pictures) -> np.ndarray:
        found = judged(pictures, material.finder, folder)
        pairs = zip(found.masks, pictures.outlines, strict=True)
        return np.array([len(elsewhere(mask, outline, spacing)) for mask, outline in pairs], float)

    made, real = pieces(material.made), pieces(material.val)
    shown = material.made
    twins = replace(shown, pixels=material.twins)
    marks = judged(twins, material.finder, folder).masks
    left = np.array([_left(mask, outline, spacing) for mask, outline in zip(marks, shown.outlines, strict=True)], float)
    return [
        mean_figure(
            "hallucination.elsewhere", "Lesions found outside the outline, a picture", made, better="less", real=real,
            groups=shown.heads, note="Pieces of at least 10 mm2 that do not reach within 6 pixels of the outline.",
        ),
        share_figure(
            "hallucination.elsewhere_share", "Pictures with a lesion outside the outline", made > 0, better="less", real=real > 0,
            groups=shown.heads,
        ),
        share_figure(
            "hallucination.twin_elsewhere", "Twins with a mark away from where the lesion was", pieces(twins) > 0, better="less", groups=shown.heads,
            real=real > 0, note="Real: marks elsewhere on real slices; there are no real slices without a lesion to compare with.",
        ),
        share_figure(
            "hallucination.twin_left", "Twins with a mark where the lesion was", left, better="less",
            groups=shown.heads, note="At least 10 mm2 within 6 pixels of the outline.",
        ),
    ]  # fmt: skip


def _left(mask: np.ndarray, outline: np.ndarray, spacing_mm: float) -> bool:
    near = mask & ndimage.binary_dilation(outline, iterations=NEAR)
    return bool(largest_piece(near).sum() * spacing_mm**2 >= LEAST_MM2)


def anatomy_figures(
    scores: Mapping[str, Mapping[str, np.ndarray]],
    ways: np.ndarray,
    heads: Mapping[str, np.ndarray | None] = MappingProxyType({}),
) -> list[Figure]:
    """Each score's AUC of real against broken slices, in all and by the way they are broken, and the share of made pictures beyond.

    Args:
        scores: `real`, `broken` and `made`, each score [N].
        ways: of each broken slice, positions in `BROKEN`.
        heads: of the same three sets, int [N] each, those of broken slices as of the whole ones that they were; None or nothing: not known.
    """
    known = {which: heads.get(which) for which in ("real", "broken", "made")}
    rows = []
    for key, name in SCORES.items():
        real, bad, made = (scores[which][key] for which in ("real", "broken", "made"))
        if np.isnan(real).all() or np.isnan(bad).all():
            rows.append(
                Figure(key=f"hallucination.{key}.auc", name=f"{name}: AUC", value=None, note="does not apply here")
            )
            continue
        area, low, high = _area_with_interval(real, bad, known["real"], known["broken"])
        each = {way: area_under(real, bad[ways == i]) for i, way in enumerate(BROKEN)}
        said = ", ".join(f"{way} {value:.2f}" for way, value in each.items() if not np.isnan(value))
        limit = threshold_of(real)
        rows.append(
            Figure(
                key=f"hallucination.{key}.auc", name=f"{name}: AUC, real against broken slices", value=area,
                low=low, high=high, baseline=0.5, baseline_name="chance", count=int((~np.isnan(bad)).sum()), better="more",
                note=noted(f"By kind: {said}.", known["real"]),
            )
        )  # fmt: skip
        rows.append(
            share_figure(
                f"hallucination.{key}.beyond", f"{name}: made pictures beyond what 95% of real val slices keep",
                _beyond(made, limit), known["made"], better="less", real=_beyond(real, limit), baseline=_beyond(bad, limit),
                baseline_name="broken slices", note=NOTES[key],
            )
        )  # fmt: skip
    return rows


def _area_with_interval(
    real: np.ndarray, bad: np.ndarray, real_heads: np.ndarray | None, bad_heads: np.ndarray | None
) -> tuple[float, float | None, float | None]:
    """Area of bad against real scores with DeLong's interval; a broken slice and the whole one that it was are of one head."""
    scored = [~np.isnan(values) for values in (bad, real)]
    if min(mask.sum() for mask in scored) < 2:
        return area_under(real, bad), None, None
    if real_heads is None or bad_heads is None:
        return roc_area(bad[scored[0]], real[scored[1]])
    return roc_area(bad[scored[0]], real[scored[1]], groups=(bad_heads[scored[0]], real_heads[scored[1]]))


def _beyond(values: np.ndarray, limit: float) -> np.ndarray:
    return np.where(np.isnan(values), np.nan, values > limit)


def _rocs(scores: Mapping[str, Mapping[str, np.ndarray]]) -> Curve:
    lines = []
    for key, name in SCORES.items():
        real, bad = scores["real"][key], scores["broken"][key]
        if not (np.isnan(real).all() or np.isnan(bad).all()):
            x, y = roc(real, bad)
            lines.append(Line(name=f"{name}, AUC {area_under(real, bad):.2f}", x=x, y=y))
    return Curve(
        key="hallucination.roc",
        name="Real slices against broken ones",
        x_name="share of real slices beyond the threshold",
        y_name="share of broken slices beyond it",
        lines=tuple(lines),
    )


def worst_rank(made: Mapping[str, np.ndarray], real: Mapping[str, np.ndarray]) -> np.ndarray:
    """How odd each made picture is by its oddest score: the largest share of real slices below it, plus how far beyond them all; [N]."""
    ranks = []
    for key, values in made.items():
        known = np.sort(real[key][~np.isnan(real[key])])
        if len(known):
            rank = np.searchsorted(known, values, "left") / len(known)
            beyond = np.clip(np.nan_to_num(values, posinf=1e6) / max(known[-1], 1e-9) - 1, 0, 10)
            ranks.append(np.where(np.isnan(values), 0, rank + beyond))
    return np.max(ranks, axis=0) if ranks else np.zeros(len(next(iter(made.values()))))


def _plate(material: Material, scores: Mapping[str, Mapping[str, np.ndarray]]) -> Plate:
    worst = np.argsort(-worst_rank(scores["made"], scores["real"]), kind="stable")[:SHOWN]
    tiles = [
        sealed(material.studio, material.requests[i], material.made.pixels[i], material.made.outlines[i]) for i in worst
    ]
    rows = [tiles[i : i + 4] for i in range(0, len(tiles), 4)]
    file = write_plate(material.folder / "hallucination_worst.png", rows)
    return Plate(
        key="hallucination.worst",
        caption=f"The {len(tiles)} least plausible of {len(material.made)} made pictures, the worst first, by their oddest score.",
        file=file.name,
        synthetic=True,
    )


# ---------------------------------------------------------------- series


def _series(material: Material, progress: Progress) -> list[SeriesReport]:
    """Reports of short series; each stays in the folder. What cannot be drawn (a law that outgrows the head) is left out."""
    asked = SERIES[:SERIES_QUICK] if material.quick else SERIES
    info = material.studio.load().info
    reports = []
    for number, (sentence, days) in enumerate(asked):
        progress(3, 5, f"series {number + 1} of {len(asked)}")
        request = Request(
            sentence=sentence, pack=info.name, seed=material.seed + 700 + number, steps=info.steps,
            guidance=info.guidance, precision=material.studio.precision,
        )  # fmt: skip

        def make(request: Request = request, days: tuple[int, ...] = days) -> object:
            try:
                return make_series(plan_of(request, days, redraws=1), material.studio).report.model_dump(mode="json")
            except MedDiffError as error:
                return {"refused": str(error)}

        # Named by all that decides it, the weights too: other weights draw another series.
        name = request.model_copy(update={"pack_sha256": info.sha256}).digest()[:20]
        kept = kept_json(material.folder / "hallucination" / f"series-{name}.json", make)
        if "refused" not in kept:
            reports.append(SeriesReport.model_validate(kept))
    return reports


def volume_ratios(areas: Sequence[float]) -> np.ndarray:
    """Ratio of volumes from each visit to the next, as (A2 / A1)^(3/2) of areas in one slice: similar shapes; NaN from or to nothing."""
    return np.array([(b / a) ** 1.5 if a > 0 and b > 0 else np.nan for a, b in pairwise(areas)])


def follows_law(asked: Sequence[float], measured: Sequence[float]) -> np.ndarray:
    """1 where the volume ratio between two visits is the one asked, within `AREA_OFF` of area; 0 where not; NaN where a visit shows none."""
    off = np.abs(np.log(volume_ratios(measured)) - np.log(volume_ratios(asked)))
    return np.where(np.isnan(off), np.nan, off <= 1.5 * np.log1p(AREA_OFF))


def faster_than_biology(limits: Limits, days: Sequence[int], areas: Sequence[float]) -> np.ndarray:
    """1 where the volume changed faster between two visits than the disease's limits allow, 0 where not, NaN where a visit shows none."""
    spans = [b - a for a, b in pairwise(days)]
    ratios = volume_ratios(areas)
    return np.array(
        [
            np.nan if np.isnan(ratio) else float(too_fast(limits, span, float(ratio), VOLUME_SLACK) is not None)
            for span, ratio in zip(spans, ratios, strict=True)
        ]
    )


def series_figures(reports: Sequence[SeriesReport]) -> list[Figure]:
    """How series keep to their law, to biology, and to the same head."""
    if not reports:
        missing = "no series could be made"
        names = {
            "law": "Changes as the law asks",
            "pace": "Changes faster than the disease",
            "outside": "Likeness outside",
        }
        return [Figure(key=f"hallucination.series.{k}", name=n, value=None, note=missing) for k, n in names.items()]
    law, pace, outside = [], [], []
    for report in reports:
        finding = report.plan.request.findings.finding
        asked = [visit.drawn_mm2 for visit in report.visits]
        measured = [visit.measured_mm2 for visit in report.visits]
        law.append(follows_law(asked, measured))
        if finding is not None and finding.pathology is not None:
            limits = fastest(load_pathologies()[finding.pathology])
            days = [visit.day for visit in report.visits]
            pace.append(faster_than_biology(limits, days, measured))
        outside += [visit.same_outside for visit in report.visits if visit.same_outside is not None]
    few = f"{len(reports)} short series; volumes from areas in one slice."
    return [
        share_figure(
            "hallucination.series.law", "Series: changes between visits as the law asks, within 35% of area",
            np.concatenate(law), better="more", note=few,
        ),
        share_figure(
            "hallucination.series.pace", "Series: changes faster than the disease can", np.concatenate(pace or [np.zeros(0)]),
            better="less", note=few,
        ),
        Figure(
            key="hallucination.series.outside", name="Series: least likeness to the visit before where nothing changes (SSIM)",
            value=min(outside) if outside else None, count=len(outside), better="more", aim=">= 0.98",
            note="Outside the lesions' edit regions and what was pushed aside; 1: the same pixels.",
        ),
    ]  # fmt: skip
