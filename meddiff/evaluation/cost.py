"""What a picture costs: seconds, memory, size, energy where the machine tells it, and what fewer steps or bits take away.

The reference of each picture is the same request at the same seed with the most steps in float32: how far another setting is from it (PSNR)
says what that setting changes; how well the finder finds the outline in it (Dice) says whether that matters. A sampler that puts fresh noise on
its picture between two passes (`flow.renoise`) makes another picture with every number of steps: there the reference has the pack's own number,
so that precision alone is compared.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from diffusers import FlowMatchLCMScheduler

from meddiff.case import Request
from meddiff.conditions.measure import dice
from meddiff.evaluation.fidelity import psnr
from meddiff.evaluation.material import Material, Progress
from meddiff.evaluation.records import Curve, Figure, Line, Part
from meddiff.synthesis.studio import Studio

STEPS = {True: (2, 4, 8, 16, 32), False: (2, 3, 4, 6, 8, 12, 16, 24, 32, 50)}
PRECISIONS = {True: ("int8",), False: ("int8", "bf16", "fp32")}
MANY = {True: 8, False: 32}  # pictures a setting
RAPL = Path("/sys/class/powercap")
TOLERATED = 0.5  # dB below the best PSNR that still counts as the best: what an eye cannot tell


def cost(material: Material, progress: Progress) -> Part:
    """Times and compares pictures over steps and precisions; see the module."""
    quick = material.quick
    many = min(MANY[quick], len(material.requests))
    picks = np.linspace(0, len(material.requests) - 1, many).round().astype(int)
    requests = [material.requests[i] for i in picks]
    outlines = material.asked.outlines[picks]
    pack = material.studio.load()
    shipped = pack.info.steps
    own = material.studio.precision
    precisions = tuple(dict.fromkeys((own, *PRECISIONS[quick])))
    settings = [(own, steps) for steps in STEPS[quick]] + [(p, shipped) for p in (*precisions, "fp32") if p != own]
    settings = list(dict.fromkeys([*settings, (own, shipped)]))
    fresh = isinstance(pack.pipeline.scheduler, FlowMatchLCMScheduler)
    most = shipped if fresh else max(STEPS[quick])
    exact = Studio(pack.info.name, "fp32")
    total = (len(settings) + 1) * many
    reference = np.stack(
        [made for made, _ in _made(exact, requests, most, lambda n: progress(n, total, "reference in float32"))]
    )
    scores: dict[tuple[str, int], tuple[float, float, float, float | None]] = {}
    studios = {own: material.studio, "fp32": exact}
    for number, (precision, steps) in enumerate(settings, 1):
        studio = studios.setdefault(precision, Studio(pack.info.name, precision))
        with energy() as used:
            told = [
                *_made(
                    studio, requests, steps, lambda n, at=number: progress(at * many + n, total, "steps and precisions")
                )
            ]
        made = np.stack([picture for picture, _ in told])
        seconds = float(np.median([s for _, s in told]))
        found = [dice(a, b) for a, b in zip(material.finder.find(made).mask(), outlines, strict=True)]
        scores[precision, steps] = (seconds, psnr(made, reference), float(np.mean(found)), used.joules_each(many))
    return _told(material, scores, own, shipped, most, many)


def fewest_good(steps: tuple[int, ...], scores: tuple[float, ...], tolerated: float) -> int:
    """The fewest steps whose score is within `tolerated` of the best: where more stops to pay."""
    best = max(scores)
    return min(step for step, score in zip(steps, scores, strict=True) if score >= best - tolerated)


class Energy:
    """Joules that the processors counted between two moments (Intel RAPL); None where the machine does not tell."""

    def __init__(self, before: dict[str, int] | None) -> None:
        self.before = before
        self.joules: float | None = None

    def joules_each(self, count: int) -> float | None:
        """Joules a picture."""
        return None if self.joules is None else self.joules / count


@contextmanager
def energy(root: Path = RAPL) -> Iterator[Energy]:
    """Counts the energy of what runs inside: of the whole processor, so that other work counts too.

    Args:
        root: folder of the counters `intel-rapl:*/energy_uj`.
    """
    used = Energy(_counters(root))
    yield used
    after = _counters(root)
    if used.before is not None and after is not None:
        used.joules = sum(max(0, after[name] - value) for name, value in used.before.items() if name in after) / 1e6


def _counters(root: Path) -> dict[str, int] | None:
    try:
        return {p.parent.name: int(p.read_text()) for p in root.glob("intel-rapl:?/energy_uj")} or None
    except (OSError, ValueError):
        return None


def _made(studio: Studio, requests: list[Request], steps: int, progress: object) -> Iterator[tuple[np.ndarray, float]]:
    """Pictures [256, 256] in [0, 1] and the seconds each took; the first is made twice, so that loading is not timed."""
    studio.make_lesion(requests[0].model_copy(update={"steps": steps, "precision": studio.precision}))
    for number, request in enumerate(requests):
        progress(number)  # type: ignore[operator]
        begun = time.perf_counter()
        picture = studio.make_lesion(request.model_copy(update={"steps": steps, "precision": studio.precision}))
        yield picture, time.perf_counter() - begun


def _told(
    material: Material,
    scores: dict[tuple[str, int], tuple[float, float, float, float | None]],
    own: str,
    shipped: int,
    most: int,
    many: int,
) -> Part:
    steps = tuple(sorted(step for precision, step in scores if precision == own))
    along = [scores[own, step] for step in steps]
    seconds, apart, found, joules = scores[own, shipped]
    exact = scores["fp32", shipped]
    pack = material.studio.load()
    weights = {
        part: _bytes(pack.folder / part) for part in ("unet", "unet-int8", "vae", "text_encoder", "prior", "check")
    }
    small = steps.index(fewest_good(steps, tuple(score[2] for score in along), 0.02))
    good = steps.index(fewest_good(steps, tuple(score[1] for score in along), TOLERATED))
    figures = [
        Figure(key="cost.seconds", name=f"seconds a picture, {own}, {shipped} steps", value=seconds, real=None, baseline=exact[0],
               baseline_name="fp32", unit="s", count=many, better="less", note="Median on the machine named; a case (picture, twin, check, seal) takes about twice as long: `benchmarks.speed`."),
        Figure(key="cost.psnr", name=f"{own} against fp32 with {most} steps", value=min(apart, 99.0), baseline=None if most == shipped else exact[1], baseline_name="" if most == shipped else f"fp32, {shipped} steps",
               unit="dB", count=many, better="more",
               note="What the precision alone changes: every number of steps makes another picture." if most == shipped
               else "The baseline says what fewer steps alone take away; what is missing to it is what INT8 costs."),
        Figure(key="cost.dice", name=f"lesion found in its outline (Dice), {own}, {shipped} steps", value=found, baseline=exact[2], baseline_name="fp32", count=many, better="more"),
        Figure(key="cost.memory", name="most memory of this process", value=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, unit="GiB",
               count=1, better="less", note="Of the whole evaluation, float32 and judges with it; a case alone: `benchmarks.speed`."),
        Figure(key="cost.energy", name="energy a picture", value=joules, unit="J", count=many if joules is not None else 0, better="less",
               note="" if joules is not None else "This machine does not tell its energy (no readable /sys/class/powercap)."),
        Figure(key="cost.size", name="size of the pack", value=sum(weights.values()) / 2**20, unit="MiB", better="less"),
        Figure(key="cost.steps_dice", name="fewest steps whose Dice is within 0.02 of the best", value=float(steps[small]), count=many, better="less"),
    ]  # fmt: skip
    over_steps = (
        Curve(
            key="cost.quality_over_steps",
            name="What more steps bring",
            x_name="seconds a picture",
            y_name="dB from the reference",
            lines=(
                Line(name=own, x=tuple(s[0] for s in along), y=tuple(min(s[1], 99.0) for s in along)),
                *(
                    Line(name=f"{p}, {n} steps", x=(s[0],), y=(min(s[1], 99.0),))
                    for (p, n), s in scores.items()
                    if p != own
                ),
            ),
            marked=((0, good, f"{steps[good]} steps"),),
            note=f"Each dot is a number of steps: {', '.join(map(str, steps))}. Reference: float32, {most} steps.",
        ),
    )
    curves = (
        *(over_steps if most != shipped else ()),
        Curve(
            key="cost.dice_over_steps",
            name="Lesion found over steps",
            x_name="steps",
            y_name="Dice",
            lines=(Line(name=own, x=tuple(map(float, steps)), y=tuple(s[2] for s in along)),),
            marked=((0, small, f"{steps[small]} steps"),),
        ),
    )
    remarks = (
        "Sizes in MiB: " + ", ".join(f"{part} {size / 2**20:.1f}" for part, size in weights.items()) + ".",
        f"Times were taken with {many} pictures a setting on a machine that may have had other work: compare them with each other only.",
    )
    return Part(
        name="cost", title="Cost: seconds, memory, size, energy", figures=tuple(figures), curves=curves, remarks=remarks
    )


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
