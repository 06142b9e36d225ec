"""Usefulness: what a network learns from synthetic pictures, tested on real ones that nobody trained on.

One small network that outlines the lesion and names its type (the finder's architecture, made narrow) is trained on synthetic
pictures only, on real ones only, and on both, at several shares of the real cases and from several seeds, always for the same number
of steps: what differs is the data. Every training's result is kept, so that a killed run goes on with the next one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from meddiff.conditions.measure import dice
from meddiff.evaluation.keep import kept_json, name_of
from meddiff.evaluation.material import Material, Pictures, Progress
from meddiff.evaluation.records import Curve, Figure, Line, Part
from meddiff.synthesis.finder import TYPES, LesionFinder

Regime = Literal["synthetic", "real", "both"]
DRAWS = 2000
SIDE = 128  # pixels of a picture that is trained on: larger ones are averaged; the network outlines at half of that
SHIFT = 0.06  # largest shift of a picture that is trained on, as a share of its side
SAID = {"dice": "Dice", "type": "Type, balanced accuracy"}


@dataclass(frozen=True)
class Form:
    """How much is trained: shares of the real cases, seeds, steps of `batch` pictures, widths of the network."""

    shares: tuple[float, ...]
    seeds: int
    steps: int
    batch: int = 24
    widths: tuple[int, ...] = (8, 16, 32, 64)
    rate: float = 4e-3


QUICK = Form((0.1, 1.0), seeds=2, steps=240)
FULL = Form((0.1, 0.3, 1.0), seeds=5, steps=2000, widths=(16, 32, 64, 96))


@dataclass(frozen=True)
class Learnt:
    """What trainings from S seeds reach on N test pictures: Dice [S, N] and the type told [S, N], numbers in the order of `TYPES`."""

    dice: np.ndarray
    told: np.ndarray


# ---------------------------------------------------------------- data


def some(types: Sequence[str], share: float, seed: int) -> np.ndarray:
    """Positions of a share of the cases, of each type alike, at least two of each; a smaller share of the same seed lies in a larger one."""
    rng = np.random.default_rng(seed)
    kinds = np.asarray(types)
    picks = []
    for kind in sorted(set(types)):
        mine = rng.permutation(np.flatnonzero(kinds == kind))
        picks.append(mine[: max(2, math.ceil(share * len(mine)))])
    return np.sort(np.concatenate(picks))


def joined(first: Pictures, second: Pictures) -> Pictures:
    """Both sets, one after the other."""
    return Pictures(
        np.concatenate([first.pixels, second.pixels]),
        np.concatenate([first.outlines, second.outlines]),
        first.types + second.types,
        first.planes + second.planes,
        first.findings + second.findings,
        first.spacing_mm,
    )


def training_set(regime: Regime, share: float, seed: int, real: Pictures, synthetic: Pictures) -> Pictures:
    """What a training sees."""
    if regime == "synthetic":
        return synthetic
    mine = real.take(some(real.types, share, seed))
    return mine if regime == "real" else joined(mine, synthetic)


def moved(pictures: Tensor, masks: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Pictures and masks [B, 1, H, W] together, half of them mirrored, each shifted by up to `SHIFT` of its side; black comes in."""
    count, side = len(pictures), pictures.shape[-1]
    both = torch.cat([pictures, masks], 1)
    mirror = torch.rand(count, generator=generator) < 0.5
    both = torch.where(mirror.view(-1, 1, 1, 1), both.flip(3), both)
    most = round(SHIFT * side)
    by = torch.randint(-most, most + 1, (count, 2), generator=generator).tolist()
    padded = F.pad(both, [most] * 4)
    rows = [padded[i, :, most + y : most + y + side, most + x : most + x + side] for i, (y, x) in enumerate(by)]
    both = torch.stack(rows)
    return both[:, :1], both[:, 1:]


# ---------------------------------------------------------------- training and test


def coarse(stack: np.ndarray) -> Tensor:
    """Pictures or outlines [B, H, W] as float [B, 1, h, w], means of square blocks where a side is above `SIDE`."""
    x = torch.from_numpy(stack).unsqueeze(1).float()
    return F.avg_pool2d(x, factor) if (factor := max(1, x.shape[-1] // SIDE)) > 1 else x


def loss_of(outline: Tensor, kind: Tensor, mask: Tensor, types: Tensor) -> Tensor:
    """Cross-entropy and soft Dice of the outline (logits, mask [B, 1, h, w]), and cross-entropy of the type [B, 3]."""
    p = outline.sigmoid()
    overlap = (2 * (p * mask).sum((1, 2, 3)) + 1) / (p.sum((1, 2, 3)) + mask.sum((1, 2, 3)) + 1)
    pixels = F.binary_cross_entropy_with_logits(outline, mask)
    return 4 * pixels + (1 - overlap).mean() + 0.5 * F.cross_entropy(kind, types)


def trained(pictures: Pictures, form: Form, seed: int) -> LesionFinder:
    """A network trained from scratch on pictures; the same pictures, form and seed give the same one."""
    generator = torch.Generator().manual_seed(seed)
    with one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LesionFinder(widths=form.widths).train()
        unit, masks = coarse(pictures.pixels) / 255, coarse(pictures.outlines)
        types = torch.tensor([TYPES.index(kind) for kind in pictures.types])
        weight = 1 / torch.bincount(types, minlength=len(TYPES)).float()[types]  # every type as often as the others
        optimizer = torch.optim.AdamW(model.parameters(), lr=form.rate, weight_decay=1e-3, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, form.rate, total_steps=form.steps, pct_start=0.2)
        for _ in range(form.steps):
            picks = torch.multinomial(weight, form.batch, replacement=True, generator=generator)
            x, m = moved(unit[picks], masks[picks], generator)
            outline, kind = model(x)
            loss = loss_of(
                outline, kind, F.adaptive_avg_pool2d(m, (outline.shape[-2], outline.shape[-1])), types[picks]
            )
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    return model.eval()


@contextmanager
def one_thread() -> Iterator[None]:
    """Computes on one thread: a network so small gains little from a second, loses tenfold where the cores are shared, and its last bits depend on it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@torch.inference_mode()
def tested(model: LesionFinder, pictures: Pictures, batch: int = 32) -> dict[str, list[float]]:
    """Dice to the true outline and the type told (its number) of each picture, at the pictures' own resolution."""
    scores: list[float] = []
    told: list[float] = []
    for start in range(0, len(pictures), batch):
        outline, kind = model(coarse(pictures.pixels[start : start + batch]) / 255)
        truth = pictures.outlines[start : start + batch]
        found = (F.interpolate(outline, size=truth.shape[1:], mode="bilinear", align_corners=False) > 0)[:, 0].numpy()
        scores += [dice(a, b) for a, b in zip(found, truth, strict=True)]
        told += kind.argmax(1).tolist()
    return {"dice": scores, "told": told}


def learnt(
    regime: Regime,
    share: float,
    form: Form,
    real: Pictures,
    synthetic: Pictures,
    test: Pictures,
    folder: Path,
    tell: object = None,
) -> Learnt:
    """Trains from each seed and tests; a training whose result lies in `folder` is not trained again."""
    rows = []
    for seed in range(form.seeds):

        def work(seed: int = seed) -> dict[str, list[float]]:
            return tested(trained(training_set(regime, share, seed, real, synthetic), form, seed), test)

        data = "-".join(
            name_of(p)
            for p in (*([] if regime == "synthetic" else [real]), *([] if regime == "real" else [synthetic]), test)
        )
        how = f"{form.steps}x{form.batch}-{'_'.join(map(str, form.widths))}"
        rows.append(kept_json(folder / f"{regime}-{share:g}-{seed}-{how}-{data}.json", work))
        if callable(tell):
            tell()
    return Learnt(np.array([row["dice"] for row in rows], float), np.array([row["told"] for row in rows], int))


# ---------------------------------------------------------------- intervals over seeds and cases


@dataclass(frozen=True)
class Draws:
    """How often each seed [D, S] and each case [D, N] is drawn, as shares; the first row draws each once: the value itself."""

    seeds: np.ndarray
    cases: np.ndarray

    @staticmethod
    def of(seeds: int, cases: int, draws: int = DRAWS, seed: int = 0) -> Draws:
        """Seeds and cases drawn with replacement, each by itself (Owen, 2007, *pigeonhole bootstrap*)."""
        rng = np.random.default_rng(seed)

        def shares(count: int) -> np.ndarray:
            drawn = rng.multinomial(count, np.full(count, 1 / count), size=draws) / count
            return np.concatenate([np.full((1, count), 1 / count), drawn])

        return Draws(shares(seeds), shares(cases))


def mean_dice(found: Learnt, draws: Draws) -> np.ndarray:
    """Mean Dice over seeds and cases in each draw, [D]."""
    return np.einsum("ds,sn,dn->d", draws.seeds, found.dice, draws.cases, optimize=True)


def balanced_accuracy(found: Learnt, types: np.ndarray, draws: Draws) -> np.ndarray:
    """Mean over the types of the share recognised, over seeds and cases in each draw, [D]; a type that was not drawn does not count.

    Args:
        types: [N], the true ones.
    """
    hits = (found.told == types).astype(float)
    recalls = []
    for kind in np.unique(types):
        mine = draws.cases * (types == kind)
        share = np.einsum("ds,sn,dn->d", draws.seeds, hits, mine, optimize=True)
        total = mine.sum(1)
        recalls.append(np.where(total > 0, share / np.where(total > 0, total, 1), np.nan))
    return np.nanmean(recalls, axis=0)


def fixed_outline(train: Pictures, test: Pictures) -> float:
    """Mean Dice of the one outline that suits most train cases: where lesions lie most often, as large as they are on average."""
    often = train.outlines.mean(0)
    area = max(1, round(float(train.outlines.sum((1, 2)).mean())))
    same = often >= np.sort(often.ravel())[-area]
    return float(np.mean([dice(same, outline) for outline in test.outlines]))


# ---------------------------------------------------------------- the part


def usefulness(material: Material, progress: Progress) -> Part:
    """Trains, tests and compares; results stay in `folder / "usefulness"`, one a training."""
    form = QUICK if material.quick else FULL
    return compared(material.train, material.extra, material.val, form, material.folder / "usefulness", progress)


def compared(real: Pictures, synthetic: Pictures, test: Pictures, form: Form, folder: Path, progress: Progress) -> Part:
    """The comparison on any sets: what is learnt from `real` and `synthetic`, told on `test`."""
    plan: list[tuple[Regime, float]] = [("synthetic", 1.0), *((r, s) for s in form.shares for r in ("real", "both"))]  # type: ignore[list-item]
    steps, done = len(plan) * form.seeds, [0]

    def tell() -> None:
        done[0] += 1
        progress(done[0], steps, "networks trained and tested")

    progress(0, steps, "networks trained and tested")
    found = {(r, s): learnt(r, s, form, real, synthetic, test, folder, tell) for r, s in plan}
    draws = Draws.of(form.seeds, len(test))
    types = np.array([TYPES.index(kind) for kind in test.types])
    drawn = {
        measure: {
            which: mean_dice(one, draws) if measure == "dice" else balanced_accuracy(one, types, draws)
            for which, one in found.items()
        }
        for measure in SAID
    }
    naive = {"dice": (fixed_outline(real, test), "one fixed outline"), "type": (1 / len(np.unique(types)), "chance")}
    return Part(
        name="usefulness",
        title="Usefulness: trained on synthetic pictures, tested on real ones",
        figures=tuple(_figures(drawn, form, len(real), len(synthetic), len(test), naive)),
        curves=tuple(_curve(measure, drawn[measure], form) for measure in SAID),
        remarks=(
            f"{form.seeds} seeds, {form.steps} steps of {form.batch} pictures each, the same for all; intervals over seeds and cases.",
            "A small network, trained briefly: how the three compare counts, not how far each gets.",
            "The source names no patients: a smaller share of the slices need not be a smaller share of the patients.",
        ),
    )


def _told(name: str, draws: np.ndarray) -> dict[str, object]:
    low, high = np.quantile(draws[1:], [0.025, 0.975])
    return {"name": name, "value": float(draws[0]), "low": float(low), "high": float(high), "better": "more"}


def _figures(
    drawn: dict[str, dict[tuple[Regime, float], np.ndarray]],
    form: Form,
    real: int,
    synthetic: int,
    test: int,
    naive: dict[str, tuple[float, str]],
) -> list[Figure]:
    rows = []
    for measure, name in SAID.items():
        values = drawn[measure]
        baseline = {"baseline": naive[measure][0], "baseline_name": naive[measure][1], "count": test}
        ceiling = float(values["real", max(form.shares)][0])
        rows.append(
            Figure.model_validate(
                {
                    "key": f"usefulness.{measure}.synthetic",
                    "real": ceiling,
                    "note": f"{synthetic} synthetic pictures.",
                    **baseline,
                }
                | _told(f"{name}, trained on synthetic only", values["synthetic", 1.0])
            )
        )
        for share in form.shares:
            percent = f"{share:.0%}"
            cases = f"{round(share * real)} real pictures"
            for regime in ("real", "both"):
                said = f"{cases}{f' and {synthetic} synthetic ones' if regime == 'both' else ''}."
                told = _told(
                    f"{name}, trained on {'real only' if regime == 'real' else 'both'}, {percent} of the real cases",
                    values[regime, share],
                )  # type: ignore[index]
                beside = {"real": float(values["real", share][0])} if regime == "both" else {}
                rows.append(
                    Figure.model_validate(
                        {
                            "key": f"usefulness.{measure}.{regime}_{round(100 * share)}",
                            "note": said,
                            **baseline,
                            **beside,
                        }
                        | told
                    )
                )
            gain = values["both", share] - values["real", share]
            rows.append(
                Figure.model_validate(
                    {"key": f"usefulness.{measure}.gain_{round(100 * share)}", "count": test, "baseline": 0.0, "baseline_name": "no gain",
                     "note": "Paired: the same seeds and test cases; above 0 throughout its interval the synthetic pictures help."}
                    | _told(f"{name}, gain of both over real only, {percent} of the real cases", gain)
                )
            )  # fmt: skip
    return rows


def _curve(measure: str, drawn: dict[tuple[Regime, float], np.ndarray], form: Form) -> Curve:
    def line(name: str, each: list[np.ndarray]) -> Line:
        ends = np.array([np.quantile(one[1:], [0.025, 0.975]) for one in each])
        return Line(
            name=name,
            x=tuple(100 * s for s in form.shares),
            y=tuple(float(one[0]) for one in each),
            low=tuple(ends[:, 0].tolist()),
            high=tuple(ends[:, 1].tolist()),
        )

    return Curve(
        key=f"usefulness.{measure}",
        name=f"{SAID[measure]} on real val slices",
        x_name="% of the real cases trained on",
        y_name=SAID[measure],
        lines=(
            line("real only", [drawn["real", s] for s in form.shares]),
            line("real and synthetic", [drawn["both", s] for s in form.shares]),
            line("synthetic only", [drawn["synthetic", 1.0]] * len(form.shares)),
        ),
    )
