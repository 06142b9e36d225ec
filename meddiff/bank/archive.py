"""A bank, or part of one, as one file: to back up, to give to a colleague, to ship.

The file is a ZIP: `manifest.json` names every other file with its size and SHA-256, `cases/MD-....json` says what is
kept of a case (all its versions, review, tags, notes, history), `series/MS-....json` is the report of a series, `objects/<SHA-256>.png` are pictures and outlines as
the bank keeps them. Another room may add what it keeps of these cases, `teaching/....json`: the questions (`teaching.archive`). The slices that cases were made on stay where they are: they may show a patient. (The twin of a lesion
put into a slice is that slice, stamped; `meddiff bank export` says how many such cases go.)

Whoever wrote a file also wrote its hashes: they tell damage, not origin. So nothing is believed on import: every name,
size and hash is checked before anything is written; then, case by case, the record must be readable, the pictures must
be PNGs of one size whose own provenance names this case and this request, the stamp must stand where it is said to, and
the invisible mark in the pixels themselves must name this case. A picture that never went through `marking.seal()` does not
come in. A review is believed as a colleague's word is: it comes with its name and reason, and the history says who imported it.

A case is recorded in one transaction after its files are on the disk. An import that was cut off is simply run again: what
is there is passed over. What is here wins: an import never changes the review, tags or notes of a case that is in the bank,
nor brings a deleted one back; a version of it with other pixels is added. A series' report comes in where the bank has a visit of
it and no report.
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from PIL import Image
from pydantic import Field, ValidationError
from sqlalchemy import delete
from sqlalchemy.orm import Session

from meddiff import __version__
from meddiff.bank import fingerprint, review
from meddiff.bank.review import LONGEST_NAME, LONGEST_NOTE, MOST_TAGS, Change, Review
from meddiff.bank.search import Search
from meddiff.bank.store import Bank, Making, pixels_key
from meddiff.bank.tables import CaseRow, HistoryRow, TagRow
from meddiff.case import Case, MedDiffError, Provenance, Record, pixel_sha256
from meddiff.exchange.atomic import write_atomic
from meddiff.exchange.series import read_report
from meddiff.marking.provenance import read_png
from meddiff.marking.stamp import StampBox, shows_stamp

FORMAT, LAYOUT = "meddiff-bank", 2  # 2: files of `teaching/`; without them an archive is of layout 1
LARGEST_MANIFEST = 64 * 2**20  # bytes; some 200,000 files
LARGEST_RECORD = 8 * 2**20
LARGEST_OBJECT = 64 * 2**20
MOST_PIXELS = 4096 * 4096
PAGE = 200  # cases read at a time
_NAME = re.compile(
    r"cases/MD-[0-9a-f]{12}\.json|series/MS-[0-9a-f]{12}\.json|teaching/[a-z]{1,40}\.json|objects/[0-9a-f]{64}\.png"
)
_Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class FileEntry(Record):
    """One file in the archive."""

    sha256: _Hash
    bytes: Annotated[int, Field(ge=0)]


class Manifest(Record):
    """What the archive holds."""

    format: str = FORMAT
    layout: int = LAYOUT
    software: str = f"MedDiff {__version__}"
    created: str
    files: dict[str, FileEntry]


class ArchivedVersion(Record):
    """One making of a case; its files are named by their SHA-256."""

    case: Case
    image: _Hash
    twin: _Hash
    mask: _Hash


class ArchivedCase(Record):
    """What is kept of one case beside its pictures."""

    id: str
    versions: Annotated[tuple[ArchivedVersion, ...], Field(min_length=1, max_length=100)]
    review: Review = Review.DRAFT
    reviewer: Annotated[str, Field(max_length=LONGEST_NAME)] = ""
    why: Annotated[str, Field(max_length=LONGEST_NOTE)] = ""
    reviewed: Annotated[str, Field(max_length=32)] = ""
    tags: Annotated[tuple[str, ...], Field(max_length=MOST_TAGS)] = ()
    notes: Annotated[str, Field(max_length=LONGEST_NOTE)] = ""
    history: tuple[Change, ...] = ()


@dataclass(frozen=True)
class Exported:
    """How many cases went, how many of them stand on a slice that was given, and which were left out and why."""

    cases: int
    on_slices: int
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class Imported:
    """Ids of the cases that are new, that got a new version, and that were there; which, reports of series too, were refused and why."""

    new: tuple[str, ...]
    new_version: tuple[str, ...]
    there: tuple[str, ...]
    refused: tuple[str, ...]


def export_bank(
    bank: Bank,
    path: str | Path,
    wanted: Search | None = None,
    more: Callable[[Sequence[str]], Mapping[str, bytes]] | None = None,
) -> Exported:
    """Writes the cases that are asked for (all of them, whatever `limit` says) into one file.

    Args:
        more: what else goes with the cases of these ids, files by name (`teaching/....json`).

    Raises:
        MedDiffError: nothing to export, or the file cannot be written; nothing half-written remains.
    """
    wanted = wanted or Search()
    files: dict[str, FileEntry] = {}
    told: list[str] = []
    count = on_slices = 0

    def write(temporary: Path) -> None:
        nonlocal count, on_slices
        with zipfile.ZipFile(temporary, "w") as archive:

            def add(name: str, data: bytes, how: int) -> None:
                if name not in files:
                    archive.writestr(zipfile.ZipInfo(name), data, how)
                    files[name] = FileEntry(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))

            for entry in _all(bank, wanted):
                try:
                    record, pictures = _archived(bank, entry)
                except MedDiffError as error:
                    told.append(f"{entry}: {error}")
                    continue
                for digest, data in pictures.items():
                    add(f"objects/{digest}.png", data, zipfile.ZIP_STORED)  # a PNG is compressed already
                add(f"cases/{entry}.json", record.canonical_json().encode(), zipfile.ZIP_DEFLATED)
                if (visit := record.versions[-1].case.request.visit) and (report := _report(bank, visit.series)):
                    add(f"series/{visit.series}.json", report, zipfile.ZIP_DEFLATED)
                count += 1
                on_slices += record.versions[-1].case.request.on_given_slice
            if not count:
                why = f" {told[0]}" if told else " No case fits these filters."
                raise MedDiffError(f"There is nothing to export.{why}")
            cases = [Path(name).stem for name in files if name.startswith("cases/")]
            for name, data in (more(cases) if more else {}).items():
                add(name, data, zipfile.ZIP_DEFLATED)
            layout = LAYOUT if any(name.startswith("teaching/") for name in files) else 1
            manifest = Manifest(layout=layout, created=review.now(), files=files)
            archive.writestr("manifest.json", manifest.canonical_json(), zipfile.ZIP_DEFLATED)

    write_atomic(path, write)
    return Exported(count, on_slices, tuple(told))


def import_bank(
    bank: Bank,
    path: str | Path,
    who: str = "",
    progress: Callable[[float], None] | None = None,
    more: Callable[[Mapping[str, bytes]], None] | None = None,
) -> Imported:
    """Takes the cases of an exported file into a bank; see the module for what is checked.

    Args:
        who: imports; stands in each case's history.
        progress: is told the share that is done, 0 to 1.
        more: takes what other rooms keep of the cases, files of `teaching/` by name, once the cases are in.

    Raises:
        MedDiffError: no such file, not an export of MedDiff, damaged, or of a newer layout: nothing was imported. Also
            when disk or database fail amid it: the cases imported until then are whole, and a second run goes on.
    """
    who = review.name_of(who)
    new: list[str] = []
    newer: list[str] = []
    there: list[str] = []
    refused: list[str] = []
    try:
        with zipfile.ZipFile(path) as archive:
            manifest = _checked_manifest(archive, str(path))
            names = [name for name in archive.namelist() if name.startswith("cases/")]  # the manifest's are sorted
            for number, name in enumerate(reversed(names)):  # newest was written first: the order stays
                case_id = Path(name).stem
                try:
                    outcome = _import_case(bank, archive, manifest, case_id, who)
                    {"new": new, "version": newer, "there": there}[outcome].append(case_id)
                except _Refused as error:
                    refused.append(f"{case_id}: {error}")
                if progress:
                    progress((number + 1) / len(names))
            for name in (name for name in manifest.files if name.startswith("series/")):
                try:
                    _import_report(bank, archive, manifest, Path(name).stem)
                except _Refused as error:
                    refused.append(f"{Path(name).stem}: {error}")
            if more:
                more(
                    {name: _member(archive, manifest, name) for name in manifest.files if name.startswith("teaching/")}
                )
    except FileNotFoundError as error:
        raise MedDiffError(f"There is no file {path}: give the file that `meddiff bank export` wrote.") from error
    except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError, OSError) as error:
        raise MedDiffError(
            f"{path} cannot be read: it is damaged or was not written by `meddiff bank export`."
        ) from error
    return Imported(tuple(new), tuple(newer), tuple(there), tuple(refused))


class _Refused(Exception):
    """One case does not come in, and why."""


def _all(bank: Bank, wanted: Search) -> list[str]:
    """Ids of all cases that are asked for, whatever the page."""
    ids: dict[str, None] = {}
    while True:
        found = bank.find(wanted.model_copy(update={"limit": PAGE, "offset": len(ids)}))
        before = len(ids)
        ids |= dict.fromkeys(entry.case.id for entry in found.entries)
        if len(ids) == before:
            return [*ids]


def _report(bank: Bank, series: str) -> bytes | None:
    """The report of a series as it is kept; None where there is none, or it is damaged."""
    try:
        return bank.series_report(series).encode()
    except MedDiffError:
        return None


def _import_report(bank: Bank, archive: zipfile.ZipFile, manifest: Manifest, series: str) -> None:
    """Takes the report of a series in, where its visits are here and it is not."""
    if _report(bank, series) or not bank.series(series):
        return
    data = _member(archive, manifest, f"series/{series}.json")
    try:
        if read_report(data).series != series:
            raise _Refused("its report is of another series")
        bank.write_report(series, data.decode())
    except (MedDiffError, UnicodeDecodeError) as error:
        raise _Refused(str(error)) from error


def _archived(bank: Bank, case_id: str) -> tuple[ArchivedCase, dict[str, bytes]]:
    """The record of a case for the archive, and its files by their SHA-256."""
    entry, versions = bank.entry(case_id), bank.versions(case_id)
    pictures = {name: bank.read(name) for v in versions for name in (v.image, v.twin, v.mask)}
    record = ArchivedCase(
        id=case_id,
        versions=tuple(ArchivedVersion(case=v.case, image=v.image, twin=v.twin, mask=v.mask) for v in versions),
        review=entry.review,
        reviewer=entry.reviewer,
        why=entry.why,
        reviewed=entry.reviewed,
        tags=entry.tags,
        notes=entry.notes,
        history=bank.history(case_id),
    )
    return record, pictures


def _checked_manifest(archive: zipfile.ZipFile, path: str) -> Manifest:
    """The manifest, when every file in the archive is named by it and is what it says.

    Nothing is ever unpacked to a path of the archive's choosing: files are read by the names that the manifest may have.
    """

    def wrong(why: str) -> MedDiffError:
        return MedDiffError(
            f"{path} was not imported: {why}. Nothing was changed; get the file again from where it came."
        )

    entries = archive.infolist()
    sizes = {entry.filename: entry.file_size for entry in entries}
    if len(sizes) != len(entries):
        raise wrong("it holds two files of one name")
    if sizes.get("manifest.json", LARGEST_MANIFEST + 1) > LARGEST_MANIFEST:
        raise wrong("it has no manifest, or one too large: it is no bank that MedDiff exported")
    try:
        manifest = Manifest.model_validate_json(_read(archive, "manifest.json", LARGEST_MANIFEST))
    except ValidationError as error:
        raise wrong("its manifest cannot be read") from error
    if manifest.format != FORMAT or manifest.layout > LAYOUT:
        raise wrong(
            f"it has layout {manifest.format} {manifest.layout}, and this MedDiff reads {FORMAT} up to {LAYOUT}"
        )
    if strange := set(sizes) ^ {*manifest.files, "manifest.json"}:
        raise wrong(f"its manifest and its files disagree about {min(strange)!r}")
    for name, entry in manifest.files.items():
        if not _NAME.fullmatch(name):
            raise wrong(f"it holds a file {name!r}, which a bank does not have")
        largest = LARGEST_RECORD if name.startswith(("cases/", "series/")) else LARGEST_OBJECT
        if entry.bytes > largest or sizes[name] != entry.bytes:
            raise wrong(f"{name} has {sizes[name]} bytes and not what the manifest says, or more than {largest}")
    for name in manifest.files:
        try:
            _member(archive, manifest, name)
        except _Refused as error:
            raise wrong(str(error)) from error
    return manifest


def _read(archive: zipfile.ZipFile, name: str, largest: int) -> bytes:
    """A file's bytes; never more than `largest` and one, whatever the archive says of its size."""
    with archive.open(name) as file:
        return file.read(largest + 1)


def _member(archive: zipfile.ZipFile, manifest: Manifest, name: str) -> bytes:
    """A file's bytes, as its manifest has them."""
    entry = manifest.files.get(name)
    if entry is None:
        raise _Refused(f"its file {name} is missing")
    data = _read(archive, name, entry.bytes)
    if len(data) != entry.bytes or hashlib.sha256(data).hexdigest() != entry.sha256:
        raise _Refused(f"{name} is not what its manifest says")
    return data


def _import_case(bank: Bank, archive: zipfile.ZipFile, manifest: Manifest, case_id: str, who: str) -> str:
    """Takes one case in: "new", "version" or "there"."""
    try:
        record = ArchivedCase.model_validate_json(_member(archive, manifest, f"cases/{case_id}.json"))
        tags = sorted({review.tag_of(tag) for tag in record.tags})
    except ValidationError as error:
        raise _Refused(f"its record cannot be read ({error.errors()[0]['msg']})") from error
    except MedDiffError as error:
        raise _Refused(str(error)) from error
    if {record.id, *(version.case.id for version in record.versions)} != {case_id}:
        raise _Refused("its record is of another case")
    known = bank.knows(case_id)
    if known == "deleted":
        return "there"
    makings = []
    for version in record.versions:
        files = {role: _object(archive, manifest, getattr(version, role)) for role in ("image", "twin", "mask")}
        pictures = {
            role: _Picture.of(files[name], case_id, role) for role, name in (("case", "image"), ("twin", "twin"))
        }
        pixels = pixels_key(
            pictures["case"].provenance.pixel_sha256, pictures["twin"].provenance.pixel_sha256, version.mask
        )
        if known and bank.holds(case_id, pixels):
            continue
        _check(version, pictures, files["mask"])
        names = {role: bank.write(data) for role, data in files.items()}
        bits = {role: fingerprint.kept_bits(picture.bare()) for role, picture in pictures.items()}
        makings.append(Making(version.case, **names, pixels=pixels, bits=bits))
    if not makings:
        return "there"

    def say(session: Session, row: CaseRow) -> None:
        session.flush()
        session.execute(delete(HistoryRow).where(HistoryRow.case_id == case_id))  # its own comes with it
        ids: dict[int, int] = {}
        for change in record.history:
            review.note(
                session, case_id, change.what, change.who, change.why, change.before, change.after,
                ids.get(change.undoes or 0), change.at,
            )  # fmt: skip
            session.flush()
            ids[change.id] = session.scalars(review.newest(case_id)).one().id
        if record.review is not Review.DRAFT:
            row.review, row.reviewer, row.why, row.reviewed = (
                record.review.value,
                record.reviewer,
                record.why,
                record.reviewed,
            )
        row.notes = record.notes
        session.add_all(TagRow(case_id=case_id, tag=tag) for tag in tags)
        review.note(session, case_id, "imported", who, f"from {manifest.software}, {manifest.created[:10]}", {}, {})

    return "new" if bank.record(makings, who, say) else "version"


def _object(archive: zipfile.ZipFile, manifest: Manifest, digest: str) -> bytes:
    """A picture's bytes, which have the hash that they are named by."""
    name = f"objects/{digest}.png"
    data = _member(archive, manifest, name)
    if manifest.files[name].sha256 != digest:
        raise _Refused(f"{name} is named by another hash than its own")
    return data


@dataclass(frozen=True)
class _Picture:
    """A PNG of the archive, read: pixels [H + appended rows, W], what it says of itself, where its stamp lies."""

    pixels: np.ndarray
    provenance: Provenance
    box: StampBox

    @staticmethod
    def of(data: bytes, case_id: str, role: str) -> _Picture:
        _header(data, role, ("L", "I;16", "I"))
        try:
            pixels, provenance, _, box = read_png(data, f"the {role} picture")
        except MedDiffError as error:
            raise _Refused(str(error)) from error
        if (provenance.case_id, provenance.role) != (case_id, role):
            raise _Refused(f"its {role} picture is the {provenance.role} of {provenance.case_id}")
        if pixels.ndim != 2 or pixels.dtype not in (np.uint8, np.uint16):
            raise _Refused(f"its {role} picture is not grey")
        return _Picture(pixels, provenance, box)

    @property
    def height(self) -> int:
        return self.pixels.shape[0] - self.box.appended_rows

    def bare(self) -> np.ndarray:
        """Without the stamp, as fingerprints are taken."""
        pixels = self.pixels.copy()
        pixels[self.box.area] = pixels.min()
        return pixels[: self.height]


def _header(data: bytes, what: str, modes: tuple[str, ...]) -> None:
    """Refuses what is no PNG, or would be huge once decoded, before it is."""
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            fine = image.mode in modes and image.width * image.height <= MOST_PIXELS and min(image.size) >= 64
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise _Refused(f"its {what} is no PNG") from error
    if not fine:
        raise _Refused(f"its {what} is larger, smaller or of another kind than a bank keeps")


def _check(version: ArchivedVersion, pictures: dict[str, _Picture], mask: bytes) -> None:
    """Refuses a version whose pictures are not this case's, sealed."""
    case = version.case
    for role, picture in pictures.items():
        # Not compared with the hash that the id is made of: a later MedDiff may know more fields of a request.
        if picture.provenance.request != case.request:
            raise _Refused(f"its {role} picture was made by another request than its record says")
        if picture.provenance.sealed_sha256 != pixel_sha256(picture.pixels):
            raise _Refused(
                f"its {role} picture was changed after it was sealed, or by a MedDiff before the invisible mark"
            )
        if not shows_stamp(picture.pixels, picture.box):
            raise _Refused(f"its {role} picture does not carry the words that mark it as synthetic")
        if not _carries_its_mark(picture.pixels[: picture.height], case.id):
            raise _Refused(
                f"its {role} picture does not carry the invisible mark of this case, so it did not leave MedDiff as it is"
            )
    if len({picture.pixels.shape for picture in pictures.values()}) != 1:
        raise _Refused("case and twin differ in size")
    _header(mask, "outline", ("1", "L"))
    with Image.open(io.BytesIO(mask)) as image:
        size = (image.height, image.width)
    if size != (pictures["case"].height, pictures["case"].pixels.shape[1]):
        raise _Refused("its outline is of another size than its picture")


def _carries_its_mark(pixels: np.ndarray, case_id: str) -> bool:
    """Whether the invisible mark in pixels [H, W] names this case."""
    from meddiff.marking.detect import read_mark

    reading = read_mark(pixels)
    return reading is not None and reading.case_id == case_id
