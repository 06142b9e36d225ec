"""The bank: records in a database, pictures in files named by their own hash.

A case is recorded only after its files are on the disk under their final names. A kill at any moment therefore leaves
either the whole case, or files that nothing names yet, which `tidy()` removes. Nothing is ever overwritten: other pixels
under the same id are a new version, a deleted case is only out of sight, and every change of what people say of a case
stays in its history (`review`). The tables and how they grow stand in `tables`.
"""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from PIL import Image
from pydantic import ValidationError
from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from meddiff.bank import fingerprint, review, search
from meddiff.bank.fingerprint import Recognised
from meddiff.bank.review import Change, Review
from meddiff.bank.search import Entry, Found, Search
from meddiff.bank.tables import (
    CaseRow,
    FingerprintRow,
    HistoryRow,
    TagRow,
    VersionRow,
    engine_of,
    prepare,
    size_of,
)
from meddiff.case import Case, MedDiffError, Record, pixel_sha256
from meddiff.exchange.atomic import write_atomic
from meddiff.exchange.png import mask_bytes, png_bytes
from meddiff.exchange.series import SERIES_ID, read_report, report_text
from meddiff.marking.seal import SealedCase, SealedImage, reopen
from meddiff.settings import settings

ORPHAN_SECONDS = 600  # a file younger than this may belong to a case that is being kept right now
UNUSED_BACKGROUND_SECONDS = 24 * 3600  # backgrounds come before their cases, which may take long to make
MOST_VISITS = 1000  # of one series that are looked for
_ATTEMPTS = 5  # when another process records the same case in the same moment


@dataclass(frozen=True)
class Version:
    """One making of a case: its number, when it was kept, its record, and the SHA-256 of its three files."""

    number: int
    kept: str
    case: Case
    image: str
    twin: str
    mask: str


@dataclass(frozen=True)
class Making:
    """What is written of one making of a case: JSON record, SHA-256 of its files, what its pixels are, fingerprints."""

    case: Case
    image: str
    twin: str
    mask: str
    pixels: str
    bits: dict[str, bytes]


class Bank:
    """Cases kept in a folder and a database.

    Args:
        folder: of the pixels; default from the settings.
        url: SQLAlchemy URL of the records; default SQLite in that folder.

    Raises:
        MedDiffError: when the folder or the database cannot be opened, or is of a newer MedDiff.
    """

    def __init__(self, folder: str | Path | None = None, url: str | None = None) -> None:
        self.folder = Path(folder) if folder else settings().casebank
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if url is None:
                url = f"sqlite:///{self.folder.resolve() / 'bank.sqlite'}" if folder else settings().bank_url
            self.engine = engine_of(url)
            prepare(self.engine)
        except (OSError, ImportError, SQLAlchemyError) as error:
            raise MedDiffError(
                f"The bank in {self.folder} cannot be opened: {_reason(error)}. "
                "Check the folder (MEDDIFF_CASEBANK) and the database (MEDDIFF_DATABASE_URL)."
            ) from error

    # ------------------------------------------------------------ cases

    def keep(self, sealed: SealedCase, who: str = "") -> str:
        """Keeps a case and returns its id.

        The same pixels again change nothing, but mend files that were damaged and bring a deleted case back. Other
        pixels under the same id (made on another machine, or at another precision) become the next version, which is
        then the one that is shown; its review starts again as a draft. A visit is tagged with its series, so that a search for
        that finds it.

        Raises:
            MedDiffError: full disk, no permission, or a database that does not answer; the case is then not in the bank.
        """
        case_id, pixels = sealed.case.id, _pixels_of(sealed)
        if self.holds(case_id, pixels):
            return case_id
        files = {"image": png_bytes(sealed.image), "twin": png_bytes(sealed.twin), "mask": mask_bytes(sealed.mask)}
        # Written even where a file of that name lies there: it may be an orphan, and `tidy()` goes by its age.
        names = {role: self.write(data) for role, data in files.items()}
        bits = {role: fingerprint.kept_bits(fingerprint.unstamped(image)) for role, image in _pictures(sealed)}
        self.record(
            [Making(sealed.case, **names, pixels=pixels, bits=bits)], review.name_of(who), _tag_visit(sealed.case)
        )
        return case_id

    def keep_series(self, visits: Sequence[SealedCase], report: Record, who: str = "") -> str:
        """Keeps the visits of a series as cases, and its report; returns the series' id.

        The last visit is kept first, so that lists that begin with the newest show them in order of time. The report is written
        last, over an older one: where it lies, the series is whole.

        Args:
            report: of these visits, a `synthesis.series.SeriesReport`.

        Raises:
            MedDiffError: as `keep`; the visits that were kept until then stay, and keeping the series again goes on.
        """
        text = report_text(report)
        series = read_report(text).series
        for visit in reversed(visits):
            self.keep(visit, who)
        self.write_report(series, text)
        return series

    def series(self, series: str) -> tuple[Entry, ...]:
        """The kept visits of a series in order of time; none where there are none."""
        found = self.find(Search(text=series, limit=MOST_VISITS)).entries
        visits = [(entry.case.request.visit, entry) for entry in found]
        mine = [(visit.number, entry) for visit, entry in visits if visit is not None and visit.series == series]
        return tuple(entry for _, entry in sorted(mine, key=lambda pair: pair[0]))

    def series_report(self, series: str) -> str:
        """The report of a kept series, the JSON of a `synthesis.series.SeriesReport`.

        Raises:
            MedDiffError: none is kept, or it is damaged.
        """
        path = self._report(series)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise MedDiffError(f"The bank has no report of {series}: keep the series again.") from error
        if read_report(text).series != series:
            raise MedDiffError(f"{path} is the report of another series: keep the series again.")
        return text

    def write_report(self, series: str, text: str) -> None:
        """Writes the report of a series, over an older one."""
        write_atomic(self._report(series), lambda temporary: temporary.write_text(text, encoding="utf-8"))

    def record(
        self, makings: Sequence[Making], who: str, first_time: Callable[[Session, CaseRow], None] | None = None
    ) -> bool:
        """Records makings of one case, whose files lie on the disk, in one transaction.

        Args:
            first_time: what else to write when the case was not in the bank.

        Returns:
            whether the case was not in the bank.

        Raises:
            MedDiffError: the database does not answer; nothing was recorded.
        """
        for _ in range(_ATTEMPTS):
            try:
                with self._session(writes=True) as session:
                    case_id = makings[0].case.id
                    new = session.get(CaseRow, case_id, with_for_update=True) is None
                    for making in makings:
                        self._record(session, making, who)
                    if new and first_time:
                        first_time(session, session.get_one(CaseRow, case_id))
                    return new
            except _Taken:  # another process recorded the same case in this moment: look again
                continue
        raise MedDiffError(f"{makings[0].case.id} is being written by others all the time: try again.")

    def list(
        self,
        pathology: str = "",
        plane: str = "",
        status: str = "",
        text: str = "",
        limit: int = 100,
        offset: int = 0,
    ) -> Sequence[Case]:
        """Kept cases, newest first, as `find` has them; empty filters let everything pass."""
        wanted = Search(pathology=pathology, plane=plane, status=status, text=text, limit=limit, offset=offset)
        return [entry.case for entry in self.find(wanted).entries]

    def find(self, wanted: Search) -> Found:
        """Kept cases that are asked for, with what people said of them; see `Search`."""
        with self._session() as session:
            rows = session.scalars(search.page(wanted)).all()
            return Found(entries=search.entries(session, rows, _case), total=session.scalar(search.count(wanted)) or 0)

    def entry(self, case_id: str) -> Entry:
        """What is kept of one case beside its pixels, deleted or not.

        Raises:
            MedDiffError: for an unknown id.
        """
        with self._session() as session:
            return search.entries(session, [self._row(session, case_id, deleted=True)], _case)[0]

    def open(self, case_id: str, version: int | None = None, deleted: bool = False) -> SealedCase:
        """A kept case with its pixels.

        Args:
            version: an older making of it; default the newest.
            deleted: whether a deleted one is opened too, to decide whether it shall come back.

        Raises:
            MedDiffError: unknown id or version, a deleted case, or a file that is missing or not what was kept.
        """
        with self._session() as session:
            row: CaseRow | VersionRow | None = self._row(session, case_id, deleted)
            if version is not None and (row := session.get(VersionRow, (case_id, version))) is None:
                raise MedDiffError(f"{case_id} has no version {version}: `meddiff bank history {case_id}` shows which.")
            assert row is not None
            record, image, twin, mask = row.record, row.image, row.twin, row.mask
        with Image.open(io.BytesIO(self.read(mask))) as picture:
            outline = np.asarray(picture) > 0
        return SealedCase(_case(record), self._sealed(image), self._sealed(twin), outline)

    def versions(self, case_id: str) -> tuple[Version, ...]:
        """All makings of a case, deleted or not, oldest first.

        Raises:
            MedDiffError: for an unknown id.
        """
        with self._session() as session:
            self._row(session, case_id, deleted=True)
            rows = session.scalars(
                select(VersionRow).where(VersionRow.case_id == case_id).order_by(VersionRow.number)
            ).all()
            return tuple(Version(r.number, r.kept, _case(r.record), r.image, r.twin, r.mask) for r in rows)

    def knows(self, case_id: str) -> str:
        """What the bank has of a case: "" nothing, "kept", or "deleted"."""
        with self._session() as session:
            row = session.get(CaseRow, case_id)
            return "" if row is None else "deleted" if row.deleted else "kept"

    def holds(self, case_id: str, pixels: str) -> bool:
        """Whether these pixels of a case are kept, all their files are as they were, and the case is not deleted."""
        with self._session() as session:
            row = session.get(CaseRow, case_id)
            query = select(VersionRow).where(VersionRow.case_id == case_id)
            version = next((v for v in session.scalars(query) if self._same(v, pixels)), None) if row else None
            if version is None or row is None or row.deleted:
                return False
            names = (version.image, version.twin, version.mask)
        try:
            return bool([self.read(name) for name in names])
        except MedDiffError:
            return False

    # ------------------------------------------------------------ what people say of a case

    def review(self, case_id: str, state: Review, who: str, why: str, revision: int | None = None) -> None:
        """Records a person's decision; see `review.set_review`.

        Args:
            revision: of the case as that person saw it (`Entry.revision`).

        Raises:
            MedDiffError: unknown id, no name or reason, or somebody changed the case in between.
        """
        self._change(case_id, revision, lambda session, row: review.set_review(session, row, state, who, why))

    def tag(
        self,
        case_id: str,
        add: Sequence[str] = (),
        remove: Sequence[str] = (),
        who: str = "",
        why: str = "",
        revision: int | None = None,
    ) -> tuple[str, ...]:
        """Adds and removes tags; returns those that the case then has.

        Raises:
            MedDiffError: unknown id, a tag that is none, or somebody changed the case in between.
        """
        taken = {review.tag_of(tag) for tag in remove}

        def act(session: Session, row: CaseRow) -> None:
            kept = [tag for tag in review.tags_of(session, case_id) if tag not in taken]
            review.set_tags(session, row, [*kept, *add], who, why)

        self._change(case_id, revision, act)
        return self.entry(case_id).tags

    def set_notes(self, case_id: str, notes: str, who: str = "", revision: int | None = None) -> None:
        """Replaces the notes of a case.

        Raises:
            MedDiffError: unknown id, notes too long, or somebody changed the case in between.
        """
        self._change(case_id, revision, lambda session, row: review.set_notes(session, row, notes, who))

    def annotate(
        self,
        case_id: str,
        who: str,
        tags: Sequence[str],
        notes: str,
        decision: tuple[Review, str],
        revision: int | None = None,
    ) -> Entry:
        """Puts tags, notes and a decision with its reason in one go, all or none; what is the same stays untouched.

        Raises:
            MedDiffError: as `review`, `tag` and `set_notes`.
        """

        def act(session: Session, row: CaseRow) -> None:
            if (decision[0].value, decision[1].strip()) != (row.review, row.why):
                review.set_review(session, row, decision[0], who, decision[1])
            review.set_tags(session, row, [*tags], who, "")
            review.set_notes(session, row, notes, who)

        self._change(case_id, revision, act)
        return self.entry(case_id)

    def delete(self, case_id: str, who: str = "", why: str = "", revision: int | None = None) -> None:
        """Takes a case out of sight; `undo` or `restore` bring it back until `tidy` removes it for good.

        Raises:
            MedDiffError: for an unknown id, or when somebody changed the case in between.
        """
        self._change(case_id, revision, lambda session, row: review.set_deleted(session, row, True, who, why))

    def restore(self, case_id: str, who: str = "", why: str = "") -> None:
        """Brings a deleted case back; one that is not deleted stays as it is.

        Raises:
            MedDiffError: for an unknown id.
        """

        def act(session: Session, row: CaseRow) -> None:
            if row.deleted:
                review.set_deleted(session, row, False, who, why)

        self._change(case_id, None, act, deleted=True)

    def undo(self, case_id: str, who: str = "") -> str:
        """Takes back the last change of a case that was not taken back yet; returns what it was.

        Raises:
            MedDiffError: unknown id, or nothing is left to undo.
        """
        done: list[str] = []
        self._change(case_id, None, lambda session, row: done.append(review.undo(session, row, who)), deleted=True)
        return done[-1]

    def history(self, case_id: str) -> tuple[Change, ...]:
        """Every change of a case, deleted or not, oldest first.

        Raises:
            MedDiffError: for an unknown id.
        """
        with self._session() as session:
            self._row(session, case_id, deleted=True)
            return review.history(session, case_id)

    def tags(self) -> tuple[str, ...]:
        """All tags of cases that are not deleted, in order."""
        with self._session() as session:
            query = select(TagRow.tag).join(CaseRow, CaseRow.id == TagRow.case_id).where(CaseRow.deleted == "")
            return tuple(session.scalars(query.distinct().order_by(TagRow.tag)))

    # ------------------------------------------------------------ recognising

    def recognise(self, pixels: np.ndarray) -> Recognised | None:
        """The kept case that a picture shows, by its looks alone; None where none is near enough.

        Args:
            pixels: uint8 or uint16 [H, W], as found: resized, windowed, inverted, flipped, a little turned or cropped.

        Raises:
            MedDiffError: no grey picture, or too small.
        """
        asked = fingerprint.asked_bits(pixels)
        self._fingerprint_older()
        kept, owners = self._fingerprints()
        if not owners:
            return None
        index, distance = fingerprint.nearest(asked, kept)
        if distance > fingerprint.THRESHOLD:
            return None
        case_id, version, role = owners[index // fingerprint.VIEWS]
        return Recognised(case_id, version, role, distance, fingerprint.BITS, fingerprint.chance(distance, len(owners)))

    def _fingerprint_older(self) -> None:
        """Takes the fingerprints of versions that have none by today's method: of an older bank, or an older method."""
        there = (
            select(func.count())
            .select_from(FingerprintRow)
            .where(
                FingerprintRow.case_id == VersionRow.case_id,
                FingerprintRow.version == VersionRow.number,
                FingerprintRow.method == fingerprint.METHOD,
            )
            .scalar_subquery()
        )
        columns = (VersionRow.case_id, VersionRow.number, VersionRow.image, VersionRow.twin)
        with self._session() as session:
            missing = session.execute(select(*columns).where(there < 2)).all()
        for case_id, number, image, twin in missing:
            try:
                pictures = {"case": self._sealed(image), "twin": self._sealed(twin)}
            except MedDiffError:  # damaged: opening it says so
                continue
            bits = {role: fingerprint.kept_bits(fingerprint.unstamped(p)) for role, p in pictures.items()}
            try:
                with self._session(writes=True) as session:
                    if session.get(VersionRow, (case_id, number)):
                        _put_fingerprints(session, case_id, number, bits)
            except _Taken:
                pass  # another process was faster

    def _fingerprints(self) -> tuple[np.ndarray, Sequence[tuple[str, int, str]]]:
        """Hashes uint64 [pictures * VIEWS, 4] of cases that are not deleted, and whose they are; read again when the bank changed."""
        key = (str(self.engine.url), str(self.folder.resolve()))
        live = FingerprintRow.case_id.in_(select(CaseRow.id).where(CaseRow.deleted == ""))
        with self._session() as session:
            changes = session.execute(select(func.count(), func.max(HistoryRow.id)).select_from(HistoryRow)).one()
            pictures = session.scalar(select(func.count()).select_from(FingerprintRow)) or 0
            state = (changes[0], changes[1], pictures)
            known = _FINGERPRINTS.get(key)
            if known and known[0] == state:
                return known[1], known[2]
            columns = (FingerprintRow.case_id, FingerprintRow.version, FingerprintRow.role, FingerprintRow.bits)
            query = select(*columns).where(live, FingerprintRow.method == fingerprint.METHOD)
            rows = session.execute(query.order_by(*columns[:3])).all()
        owners = [(case_id, version, role) for case_id, version, role, _ in rows]
        hashes = fingerprint.words(b"".join(bits for *_, bits in rows))
        _FINGERPRINTS[key] = (state, hashes, owners)
        return hashes, owners

    # ------------------------------------------------------------ files

    def tidy(self, deleted_days: float | None = None) -> int:
        """Removes files that no case names, from ten minutes old (backgrounds: from a day); returns how many pictures.

        Reports of series of which no visit is left, deleted or not, go too.

        Args:
            deleted_days: cases deleted longer ago than this go for good, history and all; default: none do.

        Raises:
            MedDiffError: a number of days below 0.
        """
        if deleted_days is not None:
            self._remove_deleted(deleted_days)
        with self._session() as session:
            rows = session.execute(select(VersionRow.image, VersionRow.twin, VersionRow.mask)).all()
            backgrounds = session.scalars(select(CaseRow.background)).all()
        named = {name for row in rows for name in row} | set(backgrounds)
        for path in self.folder.glob("series/MS-*.json"):
            if not self._has_visits(path.stem) and time.time() - path.stat().st_mtime > ORPHAN_SECONDS:
                path.unlink(missing_ok=True)
        pictures = self._remove_unnamed("objects/*/*", named, ORPHAN_SECONDS)
        return pictures + self._remove_unnamed("backgrounds/*", named, UNUSED_BACKGROUND_SECONDS)

    def _has_visits(self, series: str) -> bool:
        with self._session() as session:
            return session.scalar(select(CaseRow.id).where(CaseRow.record.contains(series)).limit(1)) is not None

    def deleted_before(self, days: float) -> int:
        """How many cases were deleted more than `days` ago."""
        with self._session() as session:
            return session.scalar(select(func.count()).select_from(CaseRow).where(*_deleted_before(days))) or 0

    def _remove_deleted(self, days: float) -> None:
        """Removes the records of cases deleted more than `days` ago; their files are then unnamed."""
        with self._session(writes=True) as session:
            ids = session.scalars(select(CaseRow.id).where(*_deleted_before(days)).with_for_update()).all()
            for start in range(0, len(ids), 500):
                part = ids[start : start + 500]
                for table in (FingerprintRow, HistoryRow, TagRow, VersionRow):
                    session.execute(delete(table).where(table.case_id.in_(part)))
                session.execute(delete(CaseRow).where(CaseRow.id.in_(part)))

    def keep_background(self, pixels: np.ndarray) -> str:
        """Keeps a background's native pixels for rebuilding a case; never exported. Returns their SHA-256."""
        digest = pixel_sha256(pixels)
        path = self._background(digest)

        def write(temporary: Path) -> None:
            with open(temporary, "wb") as file:
                np.save(file, pixels, allow_pickle=False)

        write_atomic(path, write, mode=0o600)  # it may show a patient
        return digest

    def open_background(self, digest: str) -> np.ndarray:
        """The native pixels of a kept background.

        Raises:
            MedDiffError: when it is not kept here, or damaged.
        """
        path = self._background(digest)
        if not path.exists():
            raise MedDiffError(f"The background {digest[:12]} is not in the bank: give the file with --background.")
        try:
            pixels = np.load(path, allow_pickle=False)
            whole = pixel_sha256(pixels) == digest
        except (OSError, ValueError, EOFError):
            whole = False
        if not whole:
            raise MedDiffError(f"The background {path} was changed: give the original file with --background.")
        return pixels

    def _background(self, digest: str) -> Path:
        return self.folder / "backgrounds" / f"{digest}.npy"

    def _report(self, series: str) -> Path:
        if not SERIES_ID.fullmatch(series):
            raise MedDiffError(f"{series!r} is no series: an id is MS- and twelve hex digits.")
        return self.folder / "series" / f"{series}.json"

    def _object(self, digest: str) -> Path:
        return self.folder / "objects" / digest[:2] / f"{digest}.png"

    def write(self, data: bytes) -> str:
        """Writes a file under the name of its SHA-256, which it returns."""
        digest = hashlib.sha256(data).hexdigest()
        write_atomic(self._object(digest), lambda temporary: temporary.write_bytes(data))
        return digest

    def read(self, digest: str) -> bytes:
        """The bytes of a file, if they are those that were kept."""
        path = self._object(digest)
        try:
            data = path.read_bytes()
        except OSError:
            data = b""
        if hashlib.sha256(data).hexdigest() != digest:
            raise MedDiffError(
                f"The file {path} is missing or not what was kept: restore it from a copy, "
                "or delete the case and rebuild it from its request."
            )
        return data

    def _sealed(self, digest: str) -> SealedImage:
        return reopen(self.read(digest), digest, str(self._object(digest)))

    def _same(self, version: VersionRow, pixels: str) -> bool:
        """Whether a version is of these pixels; layout 1 did not say, but its files do. Damaged, it is mended by them."""
        if version.pixels:
            return version.pixels == pixels
        try:
            image, twin = (self._sealed(name).provenance.pixel_sha256 for name in (version.image, version.twin))
        except MedDiffError:
            return True
        return pixels_key(image, twin, version.mask) == pixels

    def _record(self, session: Session, making: Making, who: str) -> None:
        """Writes one making of a case: as a new case, a new version, or over the damaged files of the same pixels."""
        case, at = making.case, review.now()
        files = {"image": making.image, "twin": making.twin, "mask": making.mask}
        row = session.get(CaseRow, case.id, with_for_update=True)
        query = select(VersionRow).where(VersionRow.case_id == case.id).order_by(VersionRow.number)
        versions = session.scalars(query).all() if row else []
        same = next((v for v in versions if self._same(v, making.pixels)), None)
        number = same.number if same else len(versions) + 1
        now_is = {"record": case.canonical_json(), "status": case.status.value, "size_mm": size_of(case), **files}
        if row is None:
            finding, plane = case.request.findings.finding, case.request.findings.plane
            row = CaseRow(
                id=case.id,
                kept=at,
                pathology=(finding.pathology if finding and finding.pathology else ""),
                plane=plane.value if plane else "",
                sentence=case.request.sentence,
                background=(case.request.background_sha256 or "") if case.request.on_given_slice else "",
                **now_is,
            )
            session.add(row)
            session.flush()  # the other tables refer to it
            review.note(session, case.id, "kept", who, "", {}, {"version": 1})
        elif same is None:
            before = {"version": row.version, "review": review.review_of(row)}
            row.review, row.reviewer, row.why, row.reviewed = Review.DRAFT.value, "", "", ""
            row.version, row.revision = number, row.revision + 1
            for name, value in now_is.items():
                setattr(row, name, value)
            review.note(session, case.id, "version", who, "other pixels", before, {"version": number})
        elif number == row.version:
            for name, value in now_is.items():
                setattr(row, name, value)
        if row.deleted:
            review.set_deleted(session, row, False, who, "kept again")
        if same is None:
            session.add(
                VersionRow(
                    case_id=case.id, number=number, kept=at, record=case.canonical_json(), pixels=making.pixels, **files
                )
            )
        else:
            same.record, same.pixels = case.canonical_json(), making.pixels
            same.image, same.twin, same.mask = making.image, making.twin, making.mask
        _put_fingerprints(session, case.id, number, making.bits)

    def _row(self, session: Session, case_id: str, deleted: bool = False, lock: bool = False) -> CaseRow:
        """The row of a case.

        Args:
            deleted: whether a deleted one will do.
            lock: until the transaction ends, where the database locks rows.
        """
        row = session.get(CaseRow, case_id, with_for_update=True if lock else None)
        if row is None:
            raise MedDiffError(
                f"There is no case {case_id!r} in the bank {self.folder}: `meddiff bank list` shows what is."
            )
        if row.deleted and not deleted:
            raise MedDiffError(
                f"There is no case {case_id!r} in the bank {self.folder} any more: it was deleted on {row.deleted[:10]}. "
                f"`meddiff bank undo {case_id}` brings it back."
            )
        return row

    def _change(
        self,
        case_id: str,
        revision: int | None,
        act: Callable[[Session, CaseRow], object],
        deleted: bool = False,
    ) -> None:
        """One change of a case in one transaction, if nobody else changed it since `revision`."""
        with self._session(writes=True) as session:
            row = self._row(session, case_id, deleted, lock=True)
            review.unchanged_since(session, row, revision)
            act(session, row)

    def _remove_unnamed(self, pattern: str, named: set[str], seconds: float) -> int:
        """Removes files below the folder that are older than `seconds` and whose name is not in `named`."""
        removed = 0
        for path in self.folder.glob(pattern):
            if path.stem not in named and time.time() - path.stat().st_mtime > seconds:
                path.unlink(missing_ok=True)
                removed += 1
        return removed

    @contextmanager
    def _session(self, writes: bool = False) -> Iterator[Session]:
        """One transaction; what the database complains of becomes a sentence."""
        try:
            with self.engine.connect().execution_options(writes=writes) as connection:
                with Session(connection) as session, connection.begin():
                    yield session
                    session.flush()
        except IntegrityError as error:
            raise _Taken from error
        except SQLAlchemyError as error:
            raise MedDiffError(
                f"The bank's database {self.engine.url.render_as_string()} did not answer: {_reason(error)}. "
                "Nothing was changed: check the disk and MEDDIFF_DATABASE_URL, then try again."
            ) from error


class _Taken(Exception):
    """A row of this id came in between."""


# Hashes by database and folder: state of the bank when they were read, uint64 [pictures * VIEWS, 4], whose they are.
_FINGERPRINTS: dict[tuple[str, str], tuple[object, np.ndarray, Sequence[tuple[str, int, str]]]] = {}


def _deleted_before(days: float) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    if not days >= 0:
        raise MedDiffError(f"Days since a case was deleted are 0 or more, not {days:g}.")
    before = (datetime.now(UTC) - timedelta(days=days)).isoformat(timespec="microseconds")
    return CaseRow.deleted != "", CaseRow.deleted <= before


def _tag_visit(case: Case) -> Callable[[Session, CaseRow], None] | None:
    """Tags a new case with the series it is a visit of."""
    if (visit := case.request.visit) is None:
        return None
    tag = review.tag_of(visit.series)
    return lambda session, row: session.add(TagRow(case_id=row.id, tag=tag))


def _pictures(sealed: SealedCase) -> tuple[tuple[str, SealedImage], ...]:
    return ("case", sealed.image), ("twin", sealed.twin)


def _pixels_of(sealed: SealedCase) -> str:
    mask = hashlib.sha256(mask_bytes(sealed.mask)).hexdigest()
    return pixels_key(sealed.image.provenance.pixel_sha256, sealed.twin.provenance.pixel_sha256, mask)


def pixels_key(image: str, twin: str, mask: str) -> str:
    """What tells one version from another: the pixels before stamp and mark, not the day they were made."""
    return f"{image[:64]}-{twin[:64]}-{mask[:64]}"


def _put_fingerprints(session: Session, case_id: str, number: int, bits: dict[str, bytes]) -> None:
    for role, packed in bits.items():
        session.merge(
            FingerprintRow(case_id=case_id, version=number, role=role, method=fingerprint.METHOD, bits=packed)
        )


def _case(record: str) -> Case:
    try:
        return Case.model_validate_json(record)
    except ValidationError as error:
        raise MedDiffError(
            "A record in the bank cannot be read: another version of MedDiff kept it. Use that version, or update."
        ) from error


def _reason(error: Exception) -> str:
    """What went wrong in the driver's own words, without the statement."""
    return str(getattr(error, "orig", None) or error).splitlines()[0].rstrip(".")
