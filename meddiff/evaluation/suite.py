"""The whole evaluation: makes what is looked at, runs every part, keeps each result, goes on where it stopped.

A folder belongs to one evaluation: one pack, precision, form and set of real slices. It holds `run.json` (which), `made/` (a file a picture),
`parts/` (a file a part, written when the part is done) and `evaluation.json` with the plates' PNGs. Nothing in it is needed by a pack but
what `card` takes from it.
"""

from __future__ import annotations

import importlib
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from meddiff import __version__
from meddiff.case import MaskSpec, MedDiffError, Record, Request
from meddiff.conditions.prompt import write_sentence
from meddiff.evaluation.heads import same_heads
from meddiff.evaluation.keep import kept_arrays, name_of
from meddiff.evaluation.material import Material, Pictures, Progress
from meddiff.evaluation.records import RESULT, Evaluation, Part
from meddiff.exchange.atomic import write_atomic
from meddiff.synthesis.finder import LesionFinder
from meddiff.synthesis.neighbours import Neighbours
from meddiff.synthesis.studio import Studio

PARTS = (
    "fidelity",
    "detectability",
    "adherence",
    "memorising",
    "hallucination",
    "fairness",
    "explain",
    "usefulness",
    "cost",
)
SEED = 20_000  # of the first picture for `val`, one more for each
EXTRA_SEED = 60_000  # of the first picture for `train`
COUNTS = {True: (96, 120), False: (306, 600)}  # pictures for `val` and for `train` requests: quick, full
LIBRARIES = ("torch", "diffusers", "openvino", "numpy", "scipy", "scikit-image")
Clock = Callable[[], float]


class Which(Record):
    """What a folder's evaluation is of; another one does not go on there."""

    pack_sha256: str
    precision: str
    quick: bool
    val: str  # name of the real slices (`keep.name_of`)
    train: str
    asked: int
    extra: int
    code: str


def prepare(
    train: Pictures, val: Pictures, studio: Studio, folder: Path, progress: Progress, quick: bool = True,
    counts: tuple[int, int] | None = None,
) -> Material:  # fmt: skip
    """Makes every picture that the parts look at, or reads those that are there already.

    Args:
        train, val: real slices; the pack's denoiser and finder were trained on `train` alone.
        counts: pictures to make for requests of `val` and of `train`; None: `COUNTS`.

    Raises:
        MedDiffError: no finder in the pack, or the folder holds another evaluation.
    """
    pack = studio.load()
    if not pack.has_finder:
        raise MedDiffError(
            f"The pack {pack.info.name} has no check/ to judge with: train a finder first (docs/training.md)."
        )
    many, extra = counts or COUNTS[quick]
    picks = np.linspace(0, len(val) - 1, min(many, len(val))).round().astype(int)
    others = np.linspace(0, len(train) - 1, min(extra, len(train))).round().astype(int)
    which = Which(
        pack_sha256=pack.info.sha256, precision=studio.precision, quick=quick, val=name_of(val), train=name_of(train),
        asked=len(picks), extra=len(others), code=__version__,
    )  # fmt: skip
    _claim(folder, which)
    train, val = (replace(pictures, heads=same_heads(pictures)) for pictures in (train, val))
    asked, lent = val.take(picks), train.take(others)
    asked, made, twins, requests = _make_all(studio, asked, SEED, folder / "made", True, progress, "pictures and twins")
    lent, more, _, _ = _make_all(studio, lent, EXTRA_SEED, folder / "made", False, progress, "pictures to learn from")
    return Material(
        train=train,
        val=val,
        asked=asked,
        made=replace(asked, pixels=made),
        twins=twins,
        requests=requests,
        extra=replace(lent, pixels=more),
        studio=studio,
        finder=LesionFinder.load(pack.folder / "check"),
        neighbours=Neighbours.load(pack.folder / "check"),
        folder=folder,
        quick=quick,
    )


def run(material: Material, progress: Progress, parts: Sequence[str] = PARTS, command: str = "") -> Evaluation:
    """Runs the parts that are not done yet, and writes `evaluation.json` after each.

    Raises:
        MedDiffError: a part of that name does not exist.
    """
    unknown = [name for name in parts if name not in PARTS]
    if unknown:
        raise MedDiffError(f"There is no part {', '.join(unknown)}: choose from {', '.join(PARTS)}.")
    folder = material.folder
    done: dict[str, Part] = {}
    for name in PARTS:
        path = folder / "parts" / f"{name}.json"
        if path.exists():
            done[name] = read_part(path)
        elif name in parts:
            begun = time.monotonic()
            progress(0, 1, name)
            part: Part = getattr(importlib.import_module(f"meddiff.evaluation.{name}"), name)(material, progress)
            part = part.model_copy(update={"seconds": round(time.monotonic() - begun, 1)})
            text = part.model_dump_json(indent=1) + "\n"
            write_atomic(path, partial(Path.write_text, data=text))
            done[name] = part
        _write(material, done, command)
    return _write(material, done, command)


def read_part(path: Path) -> Part:
    """A part's result. Raises MedDiffError when the file is damaged."""
    try:
        return Part.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise MedDiffError(f"{path} is damaged: delete it, and the part is measured again.") from error


def _claim(folder: Path, which: Which) -> None:
    path = folder / "run.json"
    if not path.exists():
        write_atomic(path, lambda temporary: temporary.write_text(which.model_dump_json(indent=1) + "\n"))
        return
    try:
        other = Which.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise MedDiffError(f"{path} is damaged: choose another folder (--out).") from error
    if other != which:
        names = [name for name in Which.model_fields if getattr(other, name) != getattr(which, name)]
        raise MedDiffError(
            f"{folder} holds another evaluation (it differs in {', '.join(names)}): choose another folder (--out), or delete it."
        )


def _make_all(
    studio: Studio, asked: Pictures, seed: int, folder: Path, twin: bool, progress: Progress, what: str
) -> tuple[Pictures, np.ndarray, np.ndarray, tuple[Request, ...]]:
    """Pictures and twins uint8 [N, 256, 256] and the requests that gave them; each is kept when it is made.

    Returns:
        first the real slices that could be asked for: a few outlines lie outside any head that is drawn, and the studio refuses them.
    """
    info = studio.load().info
    kept_of, pictures, twins, requests = [], [], [], []
    for number in range(len(asked)):
        progress(number, len(asked), what)
        wanted = Request(
            sentence=write_sentence(asked.findings[number]),
            mask=MaskSpec.from_array(asked.outlines[number]),
            seed=seed + number,
            steps=info.steps,
            guidance=info.guidance,
            precision=studio.precision,
            pack=info.name,
        )
        try:
            request = studio.complete(wanted)
        except MedDiffError:
            continue
        kept = kept_arrays(folder / f"{seed + number}.safetensors", partial(_make_one, studio, request, twin))
        pictures.append(kept["picture"])
        twins.append(kept.get("twin", np.zeros((0, 0), np.uint8)))
        requests.append(request)
        kept_of.append(number)
    progress(len(asked), len(asked), what)
    return asked.take(np.array(kept_of, int)), np.stack(pictures), np.stack(twins), tuple(requests)


def _make_one(studio: Studio, request: Request, twin: bool) -> dict[str, np.ndarray]:
    """First seed, nothing redrawn: what is judged is the generator, not what its check lets through."""
    if twin:
        made = studio.make(request)
        return {"picture": made.pixels, "twin": made.twin}
    return {"picture": np.rint(studio.make_lesion(request) * 255).clip(0, 255).astype(np.uint8)}


def _write(material: Material, done: dict[str, Part], command: str) -> Evaluation:
    info = material.studio.load().info
    evaluation = Evaluation(
        pack=info.name,
        pack_sha256=info.sha256,
        precision=material.studio.precision,
        form="quick" if material.quick else "full",
        command=command,
        date=datetime.now(UTC).date().isoformat(),
        machine=f"{platform.machine()}, {platform.system()}",
        versions={name: version(name) for name in LIBRARIES} | {"meddiff": __version__},
        counts={
            "real train": len(material.train),
            "real val": len(material.val),
            "made": len(material.made),
            "made from train requests": len(material.extra),
        },
        parts=tuple(done[name] for name in PARTS if name in done),
    )
    write_atomic(
        material.folder / RESULT,
        lambda temporary: temporary.write_text(evaluation.model_dump_json(indent=1) + "\n"),
    )
    return evaluation
