"""How near made follow-ups come to real ones: `python -m benchmarks.progression --data DIR [--series N]`

`--data` names the folder of Brain-Tumor-Progression (docs/data.md): glioblastomas scanned twice, with outlines. Of each patient one
axial slice is taken, that where both outlines together are largest. From the first scan and the second outline the pack makes the
second scan (one seed, no redraw), with the lesion drawn anew and with its look carried over as a series does; both are compared with the
real one beside two baselines: a copy of the first scan, and a copy with its lesion pasted into the second outline. Growth rates fitted on all other patients predict each patient's second volume.

`--series N` makes N series of four visits, over planes and diseases, each by the disease's own law, and prints what was measured.

Lengths are nominal: the headers have lost the spacing, so that pixels are taken as the pack's.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import nibabel
import numpy as np
from scipy import ndimage
from skimage.metrics import structural_similarity
from skimage.morphology import disk

from meddiff.case import MaskSpec, MedDiffError, Plane, Request, Status, Task
from meddiff.conditions.barriers import barriers
from meddiff.conditions.carry import stretched
from meddiff.conditions.growth import fit_population, predict
from meddiff.conditions.masks import edit_region
from meddiff.conditions.mass_effect import mass_effect, warp
from meddiff.conditions.measure import dice, measure_lesion, surrounding
from meddiff.conditions.prompt import read_sentence, write_sentence
from meddiff.imaging.read import Slice
from meddiff.synthesis.finder import LesionFinder
from meddiff.synthesis.native import Native, feather, prepare_background
from meddiff.synthesis.series import AS_CARRIED, CARRY, make_series, plan_of
from meddiff.synthesis.studio import Studio

SEED = 30_000
SPACING = (0.98, 0.98)  # mm, the pack's: the headers say 1
CLOSING_PX = 7  # radius: a rim's pieces are joined where less than twice this lies between them
LEAST_PX, LEAST_SHARE = 20, 0.1  # a piece is a speck below either, the share being that of the largest piece
MARGIN_MM = 8.0  # of the edit region around both outlines
RING_MM = (8.0, 20.0)  # from both outlines: "around the lesion"
PUSH = 0.3  # amplitude of the mass effect, the default of a series
LEVEL = 0.8  # of predicted intervals
RESAMPLES = 4000

# Days between visits, so that the disease's own law changes the lesion by a few tenths of its area at least.
DISEASES = {
    "glioma, 22 mm": 45,
    "metastasis, 15 mm": 60,
    "meningioma, 25 mm": 730,
    "glioblastoma, 25 mm": 40,
    "brain abscess, 28 mm": 30,
}
PLANES = (Plane.AXIAL, Plane.CORONAL, Plane.SAGITTAL)
VISITS = 4


@dataclass(frozen=True, eq=False)
class Pair:
    """One patient's two scans: a slice of each [H, W] in the files' own numbers, cleaned outlines there, volumes in voxels."""

    patient: str
    days: int
    level: int  # of the slice, from 0
    first: np.ndarray
    second: np.ndarray
    before: np.ndarray  # bool [H, W]
    after: np.ndarray
    volumes: tuple[int, int]  # of the cleaned outlines
    enhancing: tuple[int, int]  # of the outlines as they are


@dataclass(frozen=True)
class Scores:
    """How a second scan compares with the real one.

    Attributes:
        intensity: mean within the second outline over the median of the brain around it; asked is that of the real scan.
        around, inside: SSIM to the real scan in the ring around the lesion and within both outlines.
        dice: of the finder's outline to the second outline.
    """

    intensity: float
    around: float
    inside: float
    dice: float


# ---------------------------------------------------------------- the pure pieces


def cleaned(mask: np.ndarray) -> np.ndarray:
    """An outline [H, W] of a rim as the outline of a lesion: gaps of the rim closed, rings filled, specks dropped; bool."""
    room = 2 * CLOSING_PX  # closing eats into what touches the border
    padded = np.pad(np.asarray(mask) > 0, room)
    closed = ndimage.binary_fill_holes(ndimage.binary_closing(padded, disk(CLOSING_PX)))
    whole = ndimage.binary_opening(closed, disk(1))[room:-room, room:-room]
    pieces, _ = ndimage.label(whole)
    sizes = np.bincount(pieces.ravel())[1:]
    large = [i + 1 for i, size in enumerate(sizes) if size >= max(LEAST_PX, LEAST_SHARE * sizes.max())]
    return np.isin(pieces, large)


def matched(picture: np.ndarray, reference: np.ndarray, brain: np.ndarray) -> np.ndarray:
    """A picture [H, W] times the gain that gives it the reference's median in the brain, bool [H, W].

    A gain alone, because air is 0 in both scans. The spread is not matched: where two scans do not lie on each other to the pixel,
    or one is of lower resolution, it tells of that and not of the scanner's scale.
    """
    return picture * (np.median(reference[brain]) / np.median(picture[brain]))


def pasted(picture: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """A picture [H, W] with its lesion stretched or shrunk from one outline to the other, fading out over `MARGIN_MM`."""
    moved = stretched(picture, before, after)
    weight = feather(edit_region(before | after, MARGIN_MM, SPACING), SPACING)
    return picture * (1 - weight) + moved * weight


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean and its 95% interval by bootstrap over patients (percentiles; Efron, 1979)."""
    drawn = np.random.default_rng(SEED).choice(np.asarray(values, float), (RESAMPLES, len(values))).mean(1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(np.mean(values)), float(low), float(high)


def left_out(days: Sequence[int], ratios: Sequence[float]) -> list[tuple[float, float, float]]:
    """Low, median and high of each patient's V2/V1 as the growth rates of all others predict it."""
    told = []
    for i, span in enumerate(days):
        others = [j for j in range(len(days)) if j != i]
        population = fit_population([days[j] for j in others], [ratios[j] for j in others])
        low, median, high = predict(population, span, LEVEL)
        told.append((float(low), float(median), float(high)))
    return told


# ---------------------------------------------------------------- real pairs


def load_pairs(folder: Path) -> list[Pair]:
    """Every patient of the folder.

    Raises:
        MedDiffError: when `visits.csv` or a patient's file is missing, grids differ, or no slice shows the lesion at both visits.
    """
    table = folder / "visits.csv"
    if not table.is_file():
        raise MedDiffError(f"{table} is missing: give the folder of Brain-Tumor-Progression (docs/data.md).")
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file, skipinitialspace=True, escapechar="\\"))
    pairs = [_pair(folder / row["id"], row) for row in rows if (folder / row["id"]).is_dir()]
    if len(pairs) < 3:
        raise MedDiffError(
            f"{folder} holds {len(pairs)} patients: three at least are needed to predict one from the others."
        )
    return pairs


def _pair(folder: Path, row: dict[str, str]) -> Pair:
    first, second, rim_before, rim_after = (
        _volume(folder / f"{name}.nii.gz") for name in ("Pre_Scan_T1", "Post_Scan_T1", "Pre_Mask", "Post_Mask")
    )
    shapes = {volume.shape for volume in (first, second, rim_before, rim_after)}
    if len(shapes) > 1 or first.shape[1:] != (256, 256):
        raise MedDiffError(
            f"{folder}: scans and outlines must share one grid of 256x256 pixels a slice: resample them."
        )
    before, after = (np.stack([cleaned(level) for level in rim]) for rim in (rim_before, rim_after))
    both = before.any((1, 2)) & after.any((1, 2))
    if not both.any():
        raise MedDiffError(f"{folder}: no slice shows an outline at both visits: leave this patient out.")
    level = int(np.argmax(((rim_before > 0) | (rim_after > 0)).sum((1, 2)) * both))
    return Pair(
        patient=folder.name,
        days=(date.fromisoformat(row["endDate"]) - date.fromisoformat(row["initialDate"])).days,
        level=level,
        first=first[level],
        second=second[level],
        before=before[level],
        after=after[level],
        volumes=(int(before.sum()), int(after.sum())),
        enhancing=(int((rim_before > 0).sum()), int((rim_after > 0).sum())),
    )


def _volume(path: Path) -> np.ndarray:
    """Axial levels [N, H, W] as radiologists see them; the files' axes run to the patient's left and back."""
    if not path.is_file():
        raise MedDiffError(f"{path} is missing: give the folder of Brain-Tumor-Progression (docs/data.md).")
    return np.ascontiguousarray(np.asarray(nibabel.load(path).dataobj, np.float32).T)


# ---------------------------------------------------------------- second scans


def background_of(pair: Pair, studio: Studio) -> tuple[Slice, Native]:
    """The first scan as a background; its pixels lie on the model's grid one to one."""
    info = studio.load().info
    image = Slice(pair.first, np.rint(pair.first), spacing_mm=SPACING, modality="MR", plane=Plane.AXIAL)
    return image, prepare_background(image, info.modality, info.size, info.spacing_mm)


def made_second(
    studio: Studio, pair: Pair, image: Slice, native: Native, push: float, carry: float | None = CARRY
) -> np.ndarray:
    """The second scan as the pack makes it from the first scan and the second outline, float32 [256, 256] in [0, 1].

    Args:
        push: amplitude of the mass effect by which the first scan is moved beforehand, 0 to 1.
        carry: time at which the first scan's lesion, pasted into the second outline, is lost in noise, as at the visits of a
            series; None: the lesion is drawn anew.
    """
    brain = barriers(native.picture, Plane.AXIAL, pair.before) > 0
    moved = mass_effect(pair.before, pair.after, brain, SPACING[0], push)
    old = warp(pair.before, moved)
    pixels = np.rint(warp(native.pixels.astype(np.float32), moved)).astype(native.pixels.dtype)
    aside = replace(native, pixels=pixels, picture=native.shown(pixels))

    # What the first scan tells of the lesion's look is said; where and how large it is, the outline tells.
    findings = read_sentence("Axial T1 post-contrast, glioblastoma")
    seen = measure_lesion(native.picture, pair.before, Plane.AXIAL, SPACING)
    assert findings.finding is not None
    finding = findings.finding.model_copy(update={"enhancement": seen.enhancement})
    info = studio.load().info
    request = Request(
        task=Task.INSERT,
        sentence=write_sentence(findings.model_copy(update={"finding": finding})),
        mask=MaskSpec.from_array(pair.after),
        background_sha256=image.sha256,
        seed=SEED + int(pair.patient),
        steps=info.steps,
        guidance=info.guidance if carry is None else AS_CARRIED,
    )
    edit = edit_region(old | pair.after, MARGIN_MM, SPACING)
    complete = studio.complete(request, image, aside)
    if carry is None:
        return studio.make(complete, aside, edit=edit).picture
    start = pasted(aside.picture, old, pair.after)
    return studio.make(complete, aside, edit=edit, start=start, begin=carry).picture


def seconds_of(studio: Studio, pair: Pair) -> dict[str, np.ndarray]:
    """The real second scan and what stands in for it, [256, 256] each, in the first scan's grey levels."""
    image, native = background_of(pair, studio)
    first, lesions = native.picture, pair.before | pair.after
    tissue = (barriers(first, Plane.AXIAL, lesions) > 0) & ~edit_region(lesions, MARGIN_MM, SPACING)
    return {
        "real second scan": np.clip(matched(pair.second, first, tissue), 0, 1),
        "copy of the first": first,
        "copy, lesion pasted": pasted(first, pair.before, pair.after),
        "made anew": made_second(studio, pair, image, native, 0.0, None),
        "made, look carried": made_second(studio, pair, image, native, 0.0),
        "carried, brain pushed": made_second(studio, pair, image, native, PUSH),
    }


def compare(finder: LesionFinder, pair: Pair, pictures: dict[str, np.ndarray]) -> dict[str, Scores]:
    """Scores of each picture against the real second scan, the first of them."""
    real = pictures["real second scan"]
    lesions = pair.before | pair.after
    brain = barriers(pictures["copy of the first"], Plane.AXIAL, lesions) > 0
    near = surrounding(lesions, brain)
    apart = ndimage.distance_transform_edt(~lesions, sampling=SPACING)
    ring = brain & (apart > RING_MM[0]) & (apart <= RING_MM[1])
    low, high = np.percentile(
        real[brain | lesions], [0.5, 99.5]
    )  # the whole range would flatter: brain fills a part of it
    masks = finder.find(np.stack(list(pictures.values())).astype(np.float32)).mask()
    scores = {}
    for (name, picture), found in zip(pictures.items(), masks, strict=True):
        _, alike = structural_similarity(real, picture, data_range=high - low, full=True)
        scores[name] = Scores(
            intensity=float(picture[pair.after].mean() / np.median(picture[near])),
            around=float(alike[ring].mean()),
            inside=float(alike[lesions].mean()),
            dice=dice(found, pair.after),
        )
    return scores


# ---------------------------------------------------------------- tables


def print_pairs(pairs: Sequence[Pair], scores: Sequence[dict[str, Scores]]) -> None:
    """Patient by patient, means with their intervals, and how the made scans differ from the baselines."""
    print(f"{'':34s}{'intensity':>10s}{'SSIM around':>13s}{'SSIM inside':>13s}{'Dice':>7s}")
    for pair, told in zip(pairs, scores, strict=True):
        areas = f"{pair.before.sum()} to {pair.after.sum()} pixels"
        print(f"patient {pair.patient}, {pair.days} days, slice {pair.level + 1}, {areas}")
        for name, s in told.items():
            alike = f"{'':13s}{'':13s}" if name.startswith("real") else f"{s.around:13.3f}{s.inside:13.3f}"
            print(f"  {name:32s}{s.intensity:10.2f}{alike}{s.dice:7.2f}")

    def off(name: str) -> list[float]:
        return [abs(told[name].intensity - told["real second scan"].intensity) for told in scores]

    def of(name: str, what: str) -> list[float]:
        return [getattr(told[name], what) for told in scores]

    measures: dict[str, Callable[[str], list[float]]] = {
        "intensity off by": off,
        "SSIM around": lambda name: of(name, "around"),
        "SSIM inside": lambda name: of(name, "inside"),
        "Dice": lambda name: of(name, "dice"),
    }
    print(f"\nmean of {len(pairs)} patients (few), 95% interval by bootstrap")
    print(f"{'':24s}" + "".join(f"{name:>24s}" for name in measures))
    for name in scores[0]:
        cells = (
            "" if name.startswith("real") and what != "Dice" else _told(interval(values(name)))
            for what, values in measures.items()
        )
        print(f"{name:24s}" + "".join(f"{cell:>24s}" for cell in cells))
    for made in ("made anew", "made, look carried", "carried, brain pushed"):
        for other in ("copy of the first", "copy, lesion pasted"):
            cells = (_told(interval(np.subtract(values(made), values(other)))) for values in measures.values())
            print(f"{made} - {other}\n{'':24s}" + "".join(f"{cell:>24s}" for cell in cells))


def _told(figures: tuple[float, float, float]) -> str:
    return "{:.3f} ({:.3f}, {:.3f})".format(*figures)


def print_prediction(pairs: Sequence[Pair]) -> None:
    """Each patient's second volume as all others predict it, from cleaned outlines and from the outlines as they are."""
    days = [pair.days for pair in pairs]
    for title, volumes in (
        ("volumes of the cleaned outlines", [pair.volumes for pair in pairs]),
        ("volumes of the enhancing voxels as outlined", [pair.enhancing for pair in pairs]),
    ):
        ratios = [after / before for before, after in volumes]
        told = left_out(days, ratios)
        print(f"\n{title}: V2/V1 predicted from the other patients, median and {LEVEL:.0%} interval")
        for pair, ratio, (low, median, high) in zip(pairs, ratios, told, strict=True):
            inside = "inside" if low <= ratio <= high else "outside"
            print(
                f"patient {pair.patient}, {pair.days:4d} days: {median:6.2f} ({low:.2f} to {high:.2f}), real {ratio:.2f}, {inside}"
            )
        covered = sum(low <= ratio <= high for ratio, (low, _, high) in zip(ratios, told, strict=True))
        errors = np.abs(np.log(ratios) - np.log([median for _, median, _ in told]))
        still = np.abs(np.log(ratios))
        print(
            f"{covered} of {len(pairs)} inside; mean |log error| {_told(interval(errors))}, of no change {_told(interval(still))}, "
            f"difference {_told(interval(errors - still))}"
        )


def print_series(studio: Studio, count: int) -> None:
    """Made series, one a line, and what they have in common."""
    info = studio.load().info
    rows = []
    diseases = list(DISEASES.items())
    for i in range(count):
        plane = PLANES[i % len(PLANES)]
        words, span = diseases[i % len(diseases)]
        sentence = f"{plane.value.capitalize()} T1 post-contrast, {words}"
        request = Request(sentence=sentence, seed=SEED + i, steps=info.steps, guidance=info.guidance)
        begun = time.perf_counter()
        try:
            series = make_series(plan_of(request, [span * n for n in range(VISITS)]), studio)
        except MedDiffError as error:
            print(f"{sentence}: refused. {error}")
            continue
        seconds = time.perf_counter() - begun
        report = series.report
        asked, measured = (
            np.array([getattr(v, name) for v in report.visits]) for name in ("asked_mm2", "measured_mm2")
        )
        r = float(np.corrcoef(asked, measured)[0, 1]) if min(asked.std(), measured.std()) > 0 else float("nan")
        same = min(v.same_outside for v in report.visits if v.same_outside is not None)
        margin = min((v.identity for v in report.visits if v.identity is not None), default=float("nan"))
        again = sum(v.attempts > 1 for v in report.visits)
        alone = sum(visit.case.status is Status.ACCEPTED for visit in series.visits)
        rows.append((report.status is Status.ACCEPTED, r, same, margin, again, alone, seconds))
        areas = ", ".join(f"{a:.0f}/{m:.0f}" for a, m in zip(asked, measured, strict=True))
        print(
            f"{sentence}: {report.plan.law.law}, mm2 asked/measured {areas}; r {r:.3f}, SSIM {same:.3f}, identity {margin:.2f}, "
            f"{again} redrawn, {alone} accepted as cases by themselves, {seconds:.1f} s, {report.status.value} {report.reason}",
            flush=True,
        )
    if not rows:
        return
    accepted, r, same, margin, again, alone, seconds = (np.array(column, float) for column in zip(*rows, strict=True))
    warm = seconds[1:] if len(seconds) > 1 else seconds
    table = (
        ("series accepted, share", f"{accepted.mean():.2f}", "1"),
        ("areas asked and measured, r, median", f"{np.nanmedian(r):.3f}", ">= 0.98"),
        ("  least", f"{np.nanmin(r):.3f}", ">= 0.98"),
        ("SSIM where nothing changes, least", f"{same.min():.3f}", ">= 0.98"),
        ("identity margin, least", f"{np.nanmin(margin):.2f}", "> 0"),
        ("visits redrawn, share", f"{again.sum() / (VISITS * len(rows)):.2f}", ""),
        ("visits accepted as cases, share", f"{alone.sum() / (VISITS * len(rows)):.2f}", ""),
        ("seconds a series, warm, median", f"{np.median(warm):.1f}", "<= 5"),
    )
    print(f"\n{len(rows)} series of {VISITS} visits, {count - len(rows)} refused")
    for name, value, aim in table:
        print(f"{name:40s}{value:>10s}   {aim}")


def sheet(pairs: Sequence[Pair], pictures: Sequence[dict[str, np.ndarray]], path: Path) -> None:
    """One row a patient: first scan, real second, pasted, made, made with the brain pushed, both outlines. Real data: keep it private."""
    import torch

    from meddiff.training.run import write_sheet

    rows = [
        np.stack([shown["copy of the first"], shown["real second scan"], *list(shown.values())[2:], outlines])
        for pair, shown in zip(pairs, pictures, strict=True)
        for outlines in [0.4 * pair.before + 0.6 * pair.after]
    ]
    write_sheet(torch.from_numpy(np.concatenate(rows).astype(np.float32))[:, None], path, len(rows[0]))


def main(arguments: list[str] | None = None) -> int:
    """Prints the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.progression", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of Brain-Tumor-Progression (docs/data.md)")
    parser.add_argument("--series", type=int, default=0, help="series to make and measure (default none)")
    parser.add_argument("--pack", default="brain-t1gd")
    parser.add_argument("--precision", default="int8", choices=("int8", "bf16", "fp32"))
    parser.add_argument("--sheet", type=Path, help="PNG of all pairs, for the eye; shows real scans")
    args = parser.parse_args(arguments)
    if args.data is None and args.series < 1:
        parser.error("give --data DIR, --series N, or both")

    studio = Studio(args.pack, args.precision)
    pack = studio.load()
    print(f"pack {pack.info.name} {pack.info.sha256[:12]}, {args.precision}")
    if args.data is not None:
        if studio.finder is None:
            raise MedDiffError(f"The pack {args.pack} has no finder to judge with: choose one that has.")
        pairs = load_pairs(args.data)
        pictures = [seconds_of(studio, pair) for pair in pairs]
        print_pairs(pairs, [compare(studio.finder, p, shown) for p, shown in zip(pairs, pictures, strict=True)])
        print_prediction(pairs)
        if args.sheet:
            sheet(pairs, pictures, args.sheet)
    if args.series > 0:
        print_series(studio, args.series)
    return 0


if __name__ == "__main__":
    sys.exit(main())
