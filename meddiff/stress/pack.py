"""A stress pack: the cases of a run as files that anybody can re-run and rebuild.

    pack/
      manifest.json      seed, plan, model pack's and MedDiff's version, every factor asked and measured, SHA-256 of each file
      cases/             per case: picture and twin (PNG, DICOM, NIfTI), outline (PNG, SEG, NIfTI), report (SR), record; one coco.json

`rebuild_pack` makes every case again from its record alone and compares each file, byte for byte.
"""

from __future__ import annotations

import hashlib
import json
import platform
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, ValidationError

from meddiff import __version__
from meddiff.case import SYNTHETIC_NOTICE, MedDiffError, Provenance, Record, pixel_sha256
from meddiff.conditions.masks import read_mask
from meddiff.exchange.atomic import write_atomic
from meddiff.exchange.case import write_case
from meddiff.exchange.zip import zipped
from meddiff.marking.detect import read_mark
from meddiff.marking.seal import SealedCase, SealedImage, reopen
from meddiff.marking.stamp import shows_stamp
from meddiff.stress.detectors import Guarded
from meddiff.stress.lab import Lab, answers_of, guard
from meddiff.stress.plan import StressPlan, trials, units
from meddiff.stress.records import DetectorSpec, Level, Measures, Outcome
from meddiff.stress.run import Result, another_picture, identify
from meddiff.synthesis.rebuild import rebuild_record
from meddiff.synthesis.studio import Studio

FORMATS = ("png", "dicom", "nifti", "coco")
MANIFEST, CASES = "manifest.json", "cases"
LIBRARIES = ("torch", "openvino", "numpy", "pillow", "scipy", "pydicom", "highdicom", "nibabel")


class PackedCase(Record):
    """A case of a pack: what was asked, what was measured, and its files' SHA-256 by their names."""

    case: str
    trials: tuple[int, ...]  # that show it
    levels: tuple[dict[str, Level], ...]  # that each of those sets
    patient: int
    seed: int
    asked: dict[str, Level]
    measured: Measures
    accepted: bool
    counts: bool
    files: dict[str, str]


class Manifest(Record):
    """What stands in `manifest.json`."""

    kind: Literal["MedDiff stress pack"] = "MedDiff stress pack"
    layout: Literal[1] = 1
    notice: str = SYNTHETIC_NOTICE
    plan: StressPlan
    seed: int
    pack: str
    pack_sha256: str
    precision: str
    software: str = f"MedDiff {__version__}"
    versions: dict[str, str] = Field(default_factory=dict)
    formats: tuple[str, ...]
    cases: tuple[PackedCase, ...]
    shared: dict[str, str] = Field(default_factory=dict)  # files of no single case: coco.json
    licence: str = "CC BY 4.0"
    count: Annotated[int, Field(ge=0)]


@dataclass(frozen=True)
class Rebuilt:
    """What rebuilding a pack gave.

    Attributes:
        cases: how many were made again.
        files: how many files were compared.
        different: names of files that are not the same, byte for byte, each with the reason where one is known.
        versions: of libraries that differ from those the pack was made with, "name 1 -> 2".
    """

    cases: int
    files: int
    different: tuple[tuple[str, str], ...]
    versions: tuple[str, ...]

    @property
    def identical(self) -> bool:
        """Whether every file is the same."""
        return not self.different


def write_pack(
    result: Result,
    path: str | Path,
    wanted: Callable[[Outcome], bool] = lambda outcome: outcome.counts,
    formats: Sequence[str] = FORMATS,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Writes the cases of a run as a pack: a folder, or one file where `path` ends in `.zip`.

    Args:
        wanted: which outcomes' cases; those that could not be made are never in it.
        progress: called with cases done and in all.

    Raises:
        MedDiffError: nothing to write, a folder that holds other things, another pack of weights than the run's, no space.
    """
    path = Path(path)
    chosen = [outcome for outcome in result.outcomes if outcome.measures is not None and wanted(outcome)]
    if not chosen:
        raise MedDiffError("No case of this run fits what was asked for: there is nothing to pack.")
    if path.suffix == ".zip":
        return zipped(path, path.stem, lambda stage: _fill(result, chosen, stage, formats, progress))
    if path.exists() and any(path.iterdir()):
        raise MedDiffError(f"{path} is not empty: give a new folder for the pack.")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".meddiff-") as hidden:
        stage = Path(hidden) / "pack"
        stage.mkdir()
        _fill(result, chosen, stage, formats, progress)
        if path.exists():
            path.rmdir()
        stage.replace(path)
    return path


def read_manifest(folder: str | Path) -> Manifest:
    """The manifest of an unpacked pack; names that lead out of the folder are refused.

    Raises:
        MedDiffError: there is none, or it is damaged.
    """
    path = Path(folder) / MANIFEST
    try:
        told = Manifest.model_validate_json(path.read_bytes())
    except OSError as error:
        raise MedDiffError(f"{folder} is no stress pack: {MANIFEST} is missing.") from error
    except ValidationError as error:
        raise MedDiffError(f"{path} is damaged, or of another version of MedDiff.") from error
    names = [name for case in told.cases for name in case.files] + list(told.shared)
    for name in names:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "\\" in name:
            raise MedDiffError(f"{path} names a file outside the pack ({name}): do not use this pack.")
    return told


@contextmanager
def opened(path: str | Path) -> Iterator[Path]:
    """The folder of a pack; a ZIP is unpacked into a temporary one.

    Raises:
        MedDiffError: no such pack, or a damaged file.
    """
    path = Path(path)
    if path.is_dir():
        yield path
        return
    if not path.is_file():
        raise MedDiffError(f"There is no pack {path}: check the path.")
    with tempfile.TemporaryDirectory(prefix="meddiff-") as hidden:
        try:
            with zipfile.ZipFile(path) as archive:
                archive.extractall(hidden)  # zipfile drops what would lead out of the folder
        except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError) as error:
            raise MedDiffError(f"{path} is no ZIP that can be read: fetch it again.") from error
        found = sorted(Path(hidden).rglob(MANIFEST))
        if not found:
            raise MedDiffError(f"{path} is no stress pack: {MANIFEST} is missing.")
        yield found[0].parent


def rebuild_pack(path: str | Path, progress: Callable[[int, int], None] | None = None) -> Rebuilt:
    """Makes every case of a pack again, from the records in it, and compares each file with its SHA-256 in the manifest.

    Raises:
        MedDiffError: no pack, or the weights it was made with are not installed.
    """
    with opened(path) as folder, tempfile.TemporaryDirectory(prefix="meddiff-") as hidden:
        manifest = read_manifest(folder)
        studio = Studio(manifest.pack, manifest.precision, threads=1)
        if (sha256 := studio.load().info.sha256) != manifest.pack_sha256:
            raise MedDiffError(
                f"The pack was made with {manifest.pack} {manifest.pack_sha256[:12]}, installed is {sha256[:12]}: install that one to "
                "rebuild it."
            )
        again, different = Path(hidden) / CASES, []
        for number, packed in enumerate(manifest.cases, 1):
            why = ""
            try:
                record, attempts = _record(folder, packed)
                report = rebuild_record(record, studio)
                why = report.note
                case = report.sealed.case.model_copy(
                    update={"attempts": attempts}
                )  # which a picture's record does not tell
                write_case(replace(report.sealed, case=case), again, manifest.formats)
            except MedDiffError as error:
                why = str(error)
            different += [
                (name, why) for name, sha256 in packed.files.items() if not _same(folder, hidden, name, sha256)
            ]
            if progress:
                progress(number, len(manifest.cases))
        different += [(name, "") for name, sha256 in manifest.shared.items() if not _same(folder, hidden, name, sha256)]
        here = _versions()
        moved = tuple(
            f"{name} {was} -> {here.get(name, 'none')}"
            for name, was in manifest.versions.items()
            if here.get(name) != was
        )
        files = sum(len(case.files) for case in manifest.cases) + len(manifest.shared)
        return Rebuilt(len(manifest.cases), files, tuple(different), moved)


def retest_pack(
    path: str | Path, detectors: Sequence[DetectorSpec], progress: Callable[[int, int], None] | None = None
) -> Result:
    """Shows the cases of a pack to other detectors, from the pack's own PNG files: nothing is made again, no model is needed.

    Raises:
        MedDiffError: no pack, one without PNG, a file that was changed since, or a detector that cannot be had.
    """
    if not detectors:
        raise MedDiffError(
            "There is no detector to test: name one (`--detector segmenter` takes a reference detector)."
        )
    with opened(path) as folder, ExitStack() as stack:
        manifest = read_manifest(folder)
        known = tuple(identify(detector, manifest.plan.timeout_s) for detector in detectors)
        guarded = [stack.enter_context(guard(detector, manifest.plan.timeout_s)) for detector in detectors]
        outcomes: list[Outcome] = []
        for number, packed in enumerate(manifest.cases, 1):
            outcomes += _retested(folder, packed, manifest.plan, guarded)
            if progress:
                progress(number, len(manifest.cases))
        return Result(
            manifest.plan,
            known,
            manifest.pack_sha256,
            manifest.software,
            tuple(sorted(outcomes, key=lambda outcome: outcome.trial)),
            len(outcomes) == manifest.plan.trials(),
        )


def _retested(folder: Path, packed: PackedCase, plan: StressPlan, guarded: Sequence[Guarded]) -> Iterator[Outcome]:
    def sealed(name: str) -> SealedImage:
        file = f"{CASES}/{name}.png"
        if file not in packed.files:
            raise MedDiffError(f"This pack holds no PNG of {packed.case}: write it again with PNG among its formats.")
        try:
            data = (folder / file).read_bytes()
        except OSError as error:
            raise MedDiffError(f"{file} is missing in this pack: fetch it again.") from error
        return _sealed(reopen(data, packed.files[file], file), packed.case, file)

    image, twin = sealed(packed.case), sealed(f"{packed.case}-twin")
    outline = read_mask(folder / CASES / f"{packed.case}-outline.png")[: image.height]
    record, _ = _record(folder, packed)
    answers = {detector.name: answers_of(detector, image, twin, outline, plan.hit) for detector in guarded}
    for trial, levels in zip(packed.trials, packed.levels, strict=True):
        yield Outcome(
            trial=trial, block=packed.patient, levels=levels, case=packed.case, request=record.request, counts=packed.counts,
            accepted=packed.accepted, reason=record.reason, measures=packed.measured,
            sealed=(image.provenance.sealed_sha256, twin.provenance.sealed_sha256), answers=answers,
        )  # fmt: skip


def _sealed(image: SealedImage, case: str, file: str) -> SealedImage:
    """A picture of somebody's pack, if it is one that left MedDiff: its manifest names a hash, but anybody can write a manifest.

    Raises:
        MedDiffError: it does not carry its marks.
    """
    record = image.provenance
    fair = record.case_id == case and record.sealed_sha256 == pixel_sha256(np.asarray(image.pixels))
    if fair and shows_stamp(image.pixels, image.box):
        reading = read_mark(image.pixels[: image.height]) if record.mark_version is not None else None
        if record.mark_version is None or (reading is not None and reading.case_id == case):
            return image
    raise MedDiffError(
        f"{file} does not carry the marks of {case}: it did not leave MedDiff as it is. Do not use this pack."
    )


def _fill(
    result: Result,
    chosen: Sequence[Outcome],
    stage: Path,
    formats: Sequence[str],
    progress: Callable[[int, int], None] | None,
) -> None:
    """Writes cases and manifest of a pack into a folder."""
    by_trial = {outcome.trial: outcome for outcome in chosen}
    packed: dict[str, PackedCase] = {}
    folder = stage / CASES
    for outcome, case in _made_again(result, by_trial):
        if outcome.case in packed:  # another trial that shows the same case: one patient's reference in a full design
            before = packed[outcome.case]
            more = {"trials": (*before.trials, outcome.trial), "levels": (*before.levels, outcome.levels)}
            packed[outcome.case] = before.model_copy(update=more)
            continue
        written = write_case(case, folder, formats)
        packed[outcome.case] = _packed(result.plan, outcome, stage, written)
        if progress:
            progress(len(packed), len(chosen))
    shared = {
        str(path.relative_to(stage).as_posix()): _sha256(path)
        for path in sorted(folder.iterdir())
        if path.name == "coco.json"
    }
    manifest = Manifest(
        plan=result.plan, seed=result.plan.seed, pack=result.plan.pack, pack_sha256=result.pack_sha256,
        precision=result.plan.precision, versions=_versions(), formats=tuple(formats), cases=tuple(packed.values()), shared=shared,
        count=len(packed),
    )  # fmt: skip
    text = json.dumps(manifest.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"
    write_atomic(stage / MANIFEST, lambda file: file.write_text(text, encoding="utf-8"))


def _packed(plan: StressPlan, outcome: Outcome, stage: Path, written: Sequence[Path]) -> PackedCase:
    assert outcome.measures is not None
    return PackedCase(
        case=outcome.case,
        trials=(outcome.trial,),
        levels=(outcome.levels,),
        patient=outcome.block,
        seed=outcome.request.seed,
        asked={**plan.base, **outcome.levels},
        measured=outcome.measures,
        accepted=outcome.accepted,
        counts=outcome.counts,
        files={path.relative_to(stage).as_posix(): _sha256(path) for path in written if path.name != "coco.json"},
    )


def _made_again(result: Result, wanted: dict[int, Outcome]) -> Iterator[tuple[Outcome, SealedCase]]:
    """The wanted trials' cases, made again; each must be the one that the detectors saw."""
    with Lab(result.plan) as lab:
        if (sha256 := lab.studio.load().info.sha256) != result.pack_sha256:
            raise MedDiffError(
                f"The run was made with {result.plan.pack} {result.pack_sha256[:12]}, installed is {sha256[:12]}: install that one."
            )
        for unit in units(trial for trial in trials(result.plan) if trial.number in wanted):
            for outcome, case in lab.again(unit, wanted):
                if case is None:
                    raise another_picture(outcome.trial)
                yield outcome, case


def _record(folder: Path, packed: PackedCase) -> tuple[Provenance, int]:
    """The provenance of a case's picture, and how many attempts it took."""
    path = folder / CASES / f"{packed.case}-record.json"
    try:
        told = json.loads(path.read_bytes())
        return Provenance.model_validate(told["provenance"]), int(told["attempts"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MedDiffError(f"{path.name} is missing or was changed.") from error


def _same(folder: Path, hidden: str, name: str, sha256: str) -> bool:
    """Whether a file of the pack and the one made again both have the hash that the manifest names."""
    return all(path.is_file() and _sha256(path) == sha256 for path in (folder / name, Path(hidden) / name))


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}}
