"""The bank: records in a database, pictures in files named by their own hash.

A case is recorded only after its files are on the disk under their final names. A kill at any moment therefore leaves
either the whole case, or files that nothing names yet, which `tidy()` removes.
"""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from PIL import Image
from pydantic import ValidationError
from sqlalchemy import Engine, String, Text, create_engine, event, select
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from meddiff.case import Case, MedDiffError, pixel_sha256
from meddiff.exchange.atomic import write_atomic
from meddiff.exchange.png import mask_bytes, png_bytes
from meddiff.marking.seal import SealedCase, SealedImage, reopen
from meddiff.settings import settings

ORPHAN_SECONDS = 600  # a file younger than this may belong to a case that is being kept right now
UNUSED_BACKGROUND_SECONDS = 24 * 3600  # backgrounds come before their cases, which may take long to make


class _Base(DeclarativeBase):
    pass


class _Row(_Base):
    """One kept case; the columns beside the record are what it is searched by."""

    __tablename__ = "cases"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    kept: Mapped[str] = mapped_column(String(32))
    status: Mapped[str] = mapped_column(String(16), index=True)
    pathology: Mapped[str] = mapped_column(String(64), index=True)
    plane: Mapped[str] = mapped_column(String(16), index=True)
    sentence: Mapped[str] = mapped_column(Text)
    record: Mapped[str] = mapped_column(Text)
    background: Mapped[str] = mapped_column(String(64))  # SHA-256 of the native pixels, or empty
    image: Mapped[str] = mapped_column(String(64))  # SHA-256 of the file, pixels and provenance; names it
    twin: Mapped[str] = mapped_column(String(64))
    mask: Mapped[str] = mapped_column(String(64))


class Bank:
    """Cases kept in a folder and a database.

    Args:
        folder: of the pixels; default from the settings.
        url: SQLAlchemy URL of the records; default SQLite in that folder.

    Raises:
        MedDiffError: when the folder or the database cannot be opened.
    """

    def __init__(self, folder: str | Path | None = None, url: str | None = None) -> None:
        self.folder = Path(folder) if folder else settings().casebank
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if url is None:
                url = f"sqlite:///{self.folder.resolve() / 'bank.sqlite'}" if folder else settings().bank_url
            self.engine = _engine(url)
            _Base.metadata.create_all(self.engine)
        except (OSError, SQLAlchemyError) as error:
            raise MedDiffError(
                f"The bank in {self.folder} cannot be opened: {_reason(error)}. "
                "Check the folder (MEDDIFF_CASEBANK) and the database (MEDDIFF_DATABASE_URL)."
            ) from error

    def keep(self, sealed: SealedCase) -> str:
        """Keeps a case and returns its id; keeping it again changes nothing, but mends files that were damaged.

        Raises:
            MedDiffError: full disk, no permission, or a database that does not answer; the case is then not in the bank.
        """
        if self._whole(sealed.case.id):
            return sealed.case.id
        files = {"image": png_bytes(sealed.image), "twin": png_bytes(sealed.twin), "mask": mask_bytes(sealed.mask)}
        # Written even where a file of that name lies there: it may be an orphan, and `tidy()` goes by its age.
        names = {role: self._write(data) for role, data in files.items()}
        finding = sealed.case.request.findings.finding
        plane = sealed.case.request.findings.plane
        row = _Row(
            id=sealed.case.id,
            kept=datetime.now(UTC).isoformat(timespec="microseconds"),
            status=sealed.case.status.value,
            pathology=(finding.pathology if finding and finding.pathology else ""),
            plane=plane.value if plane else "",
            sentence=sealed.case.request.sentence,
            record=sealed.case.canonical_json(),
            background=sealed.case.request.background_sha256 or "",
            **names,
        )
        try:
            with self._session() as session:
                session.merge(row)
        except _Taken:
            pass  # another process kept the same case in this moment
        return sealed.case.id

    def list(
        self,
        pathology: str = "",
        plane: str = "",
        status: str = "",
        text: str = "",
        limit: int = 100,
        offset: int = 0,
    ) -> Sequence[Case]:
        """Kept cases, newest first; empty filters let everything pass, `text` is searched in sentence and id."""
        query = select(_Row.record).order_by(_Row.kept.desc(), _Row.id).limit(limit).offset(offset)
        for column, wanted in ((_Row.pathology, pathology), (_Row.plane, plane), (_Row.status, status)):
            if wanted:
                query = query.where(column == wanted)
        if text:
            query = query.where(
                _Row.sentence.icontains(text, autoescape=True) | _Row.id.icontains(text, autoescape=True)
            )
        with self._session() as session:
            return [_case(record) for record in session.scalars(query)]

    def open(self, case_id: str) -> SealedCase:
        """A kept case with its pixels.

        Raises:
            MedDiffError: unknown id, or a file that is missing or not what was kept.
        """
        with self._session() as session:
            row = session.get(_Row, case_id)
            if row is None:
                raise MedDiffError(
                    f"There is no case {case_id!r} in the bank {self.folder}: `meddiff bank list` shows what is."
                )
            record, image, twin, mask = row.record, row.image, row.twin, row.mask
        with Image.open(io.BytesIO(self._read(mask))) as picture:
            outline = np.asarray(picture) > 0
        return SealedCase(_case(record), self._sealed(image), self._sealed(twin), outline)

    def delete(self, case_id: str) -> None:
        """Takes a case out of the bank; its files stay until `tidy()`.

        Raises:
            MedDiffError: for an unknown id.
        """
        with self._session() as session:
            row = session.get(_Row, case_id)
            if row is None:
                raise MedDiffError(f"There is no case {case_id!r} in the bank {self.folder}.")
            session.delete(row)

    def tidy(self) -> int:
        """Removes files that no case names, from ten minutes old (backgrounds: from a day); returns how many."""
        with self._session() as session:
            rows = session.execute(select(_Row.image, _Row.twin, _Row.mask, _Row.background)).all()
        named = {name for row in rows for name in row}
        pictures = self._remove_unnamed("objects/*/*", named, ORPHAN_SECONDS)
        return pictures + self._remove_unnamed("backgrounds/*", named, UNUSED_BACKGROUND_SECONDS)

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

    def _object(self, digest: str) -> Path:
        return self.folder / "objects" / digest[:2] / f"{digest}.png"

    def _write(self, data: bytes) -> str:
        """Writes a file under the name of its SHA-256, which it returns."""
        digest = hashlib.sha256(data).hexdigest()
        write_atomic(self._object(digest), lambda temporary: temporary.write_bytes(data))
        return digest

    def _read(self, digest: str) -> bytes:
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
        return reopen(self._read(digest), digest, str(self._object(digest)))

    def _whole(self, case_id: str) -> bool:
        """Whether a case is kept and all its files are as they were."""
        with self._session() as session:
            row = session.get(_Row, case_id)
            names = (row.image, row.twin, row.mask) if row else ()
        try:
            return bool([self._read(name) for name in names])
        except MedDiffError:
            return False

    def _remove_unnamed(self, pattern: str, named: set[str], seconds: float) -> int:
        """Removes files below the folder that are older than `seconds` and whose name is not in `named`."""
        removed = 0
        for path in self.folder.glob(pattern):
            if path.stem not in named and time.time() - path.stat().st_mtime > seconds:
                path.unlink(missing_ok=True)
                removed += 1
        return removed

    @contextmanager
    def _session(self) -> Iterator[Session]:
        """One transaction; what the database complains of becomes a sentence."""
        try:
            with Session(self.engine) as session, session.begin():
                yield session
        except IntegrityError as error:
            raise _Taken from error
        except SQLAlchemyError as error:
            raise MedDiffError(
                f"The bank's database {self.engine.url.render_as_string()} did not answer: {_reason(error)}. "
                "Nothing was changed: check the disk and MEDDIFF_DATABASE_URL, then try again."
            ) from error


class _Taken(Exception):
    """A row of this id came in between."""


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


def _engine(url: str) -> Engine:
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def _configure(connection, _record) -> None:  # type: ignore[no-untyped-def]
            cursor = connection.cursor()
            cursor.execute("PRAGMA busy_timeout=10000")  # first: switching to WAL may have to wait too
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute("PRAGMA synchronous=FULL")  # what was shown as kept survives a power cut
            cursor.close()

    return engine
