"""The bank: records in a database, pixels in files named by their own hash.

A case is recorded only after its files are on the disk under their final names. A kill at any moment therefore leaves
either the whole case, or files that nothing names yet, which `tidy()` removes.
"""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from PIL import Image
from sqlalchemy import Engine, String, Text, create_engine, event, select
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from meddiff.case import Case, MedDiffError, pixel_sha256
from meddiff.exchange.atomic import write_atomic
from meddiff.exchange.png import read_png_record, write_mask_png, write_png
from meddiff.marking.seal import SealedCase, SealedImage, reopen
from meddiff.settings import settings

ORPHAN_SECONDS = 600  # a file younger than this may belong to a case that is being kept right now


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
    image: Mapped[str] = mapped_column(String(64))  # SHA-256 of the stamped pixels; names the file
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
                f"The bank in {self.folder} cannot be opened: {str(error).splitlines()[0]}. "
                "Check the folder (MEDDIFF_CASEBANK) and the database (MEDDIFF_DATABASE_URL)."
            ) from error

    def _object(self, digest: str) -> Path:
        return self.folder / "objects" / digest[:2] / f"{digest}.png"

    def keep(self, sealed: SealedCase) -> str:
        """Keeps a case and returns its id; keeping the same case again changes nothing."""
        names = {}
        for role, picture in (("image", sealed.image), ("twin", sealed.twin)):
            names[role] = pixel_sha256(picture.pixels)
            write_png(picture, self._object(names[role]))
        outline = np.asarray(sealed.mask) > 0
        names["mask"] = pixel_sha256(outline)
        write_mask_png(outline, self._object(names["mask"]))
        finding = sealed.case.request.findings.finding
        plane = sealed.case.request.findings.plane
        row = _Row(
            id=sealed.case.id,
            kept=datetime.now(UTC).isoformat(timespec="seconds"),
            status=sealed.case.status.value,
            pathology=(finding.pathology if finding and finding.pathology else ""),
            plane=plane.value if plane else "",
            sentence=sealed.case.request.sentence,
            record=sealed.case.canonical_json(),
            **names,
        )
        try:
            with Session(self.engine) as session, session.begin():
                if session.get(_Row, row.id) is None:
                    session.add(row)
        except IntegrityError:
            pass  # another process kept the same case in this moment
        except SQLAlchemyError as error:
            raise MedDiffError(
                f"The case was not kept: {str(error).splitlines()[0]}. Nothing else was changed."
            ) from error
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
        with Session(self.engine) as session:
            return [Case.model_validate_json(record) for record in session.scalars(query)]

    def open(self, case_id: str) -> SealedCase:
        """A kept case with its pixels.

        Raises:
            MedDiffError: unknown id, or a file that is missing or not what was kept.
        """
        with Session(self.engine) as session:
            row = session.get(_Row, case_id)
            if row is None:
                raise MedDiffError(
                    f"There is no case {case_id!r} in the bank {self.folder}: `meddiff bank list` shows what is."
                )
            record, image, twin, mask = row.record, row.image, row.twin, row.mask
        outline = self._pixels(mask) > 0
        if pixel_sha256(outline) != mask:
            raise self._damaged(mask)
        return SealedCase(Case.model_validate_json(record), self._sealed(image), self._sealed(twin), outline)

    def _pixels(self, digest: str) -> np.ndarray:
        path = self._object(digest)
        try:
            with Image.open(io.BytesIO(path.read_bytes())) as picture:
                pixels = np.asarray(picture)
        except (OSError, SyntaxError) as error:
            raise self._damaged(digest) from error
        return pixels.astype(np.uint16) if pixels.dtype == np.int32 else pixels

    def _sealed(self, digest: str) -> SealedImage:
        pixels = self._pixels(digest)
        if pixel_sha256(pixels) != digest:
            raise self._damaged(digest)
        provenance, spacing, box = read_png_record(self._object(digest))
        return reopen(pixels, provenance, spacing, box)

    def _damaged(self, digest: str) -> MedDiffError:
        return MedDiffError(
            f"The file {self._object(digest)} is missing or not what was kept: restore it from a copy, "
            "or delete the case and rebuild it from its request."
        )

    def delete(self, case_id: str) -> None:
        """Takes a case out of the bank; its files stay until `tidy()`.

        Raises:
            MedDiffError: for an unknown id.
        """
        with Session(self.engine) as session, session.begin():
            row = session.get(_Row, case_id)
            if row is None:
                raise MedDiffError(f"There is no case {case_id!r} in the bank {self.folder}.")
            session.delete(row)

    def tidy(self) -> int:
        """Removes files that no case names and that are older than ten minutes; returns how many."""
        with Session(self.engine) as session:
            named = {name for row in session.execute(select(_Row.image, _Row.twin, _Row.mask)) for name in row}
        removed = 0
        for path in (self.folder / "objects").glob("*/*"):
            if path.stem not in named and time.time() - path.stat().st_mtime > ORPHAN_SECONDS:
                path.unlink()
                removed += 1
        return removed

    def keep_background(self, pixels: np.ndarray) -> str:
        """Keeps a background's native pixels for rebuilding a case; never exported. Returns their SHA-256."""
        digest = pixel_sha256(pixels)
        path = self._background(digest)
        if not path.exists():

            def write(temporary: Path) -> None:
                with open(temporary, "wb") as file:
                    np.save(file, pixels, allow_pickle=False)

            write_atomic(path, write)
        return digest

    def open_background(self, digest: str) -> np.ndarray:
        """The native pixels of a kept background.

        Raises:
            MedDiffError: when it is not kept here, or damaged.
        """
        path = self._background(digest)
        try:
            pixels = np.load(path, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise MedDiffError(
                f"The background {digest[:12]} is not in the bank: give the file with --background."
            ) from error
        if pixel_sha256(pixels) != digest:
            raise MedDiffError(f"The background {path} was changed: give the original file with --background.")
        return pixels

    def _background(self, digest: str) -> Path:
        return self.folder / "backgrounds" / f"{digest}.npy"


def _engine(url: str) -> Engine:
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def _configure(connection, _record) -> None:  # type: ignore[no-untyped-def]
            cursor = connection.cursor()
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute("PRAGMA synchronous=FULL")  # what was shown as kept survives a power cut
            cursor.execute("PRAGMA busy_timeout=10000")
            cursor.close()

    return engine
