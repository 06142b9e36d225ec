"""To a PACS: what MedDiff sealed, to one server of the allowed list, each instance once, and looked at again there.

    report = send(bank.open("MD-..."), Target("https://pacs.example:8443/dicom-web", "teacher", password))

The server is asked before an instance is sent, and sent instances are searched and (by DICOMweb) read back and compared.
What was done stands in a journal in the bank's folder, so that a send that was cut off goes on where it stopped: call it
again. Where a server cannot be searched, the journal alone says what it has.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol, TypeVar

from filelock import FileLock, Timeout
from pydantic import ValidationError
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    retry_if_result,
    stop_after_attempt,
    stop_after_delay,
    wait_exponential,
    wait_exponential_jitter,
)

from meddiff.case import MedDiffError, Record, Task
from meddiff.exchange.atomic import write_atomic
from meddiff.exchange.dicom import to_dataset
from meddiff.exchange.target import Passing, Refused, Target, require_allowed
from meddiff.marking.provenance import content_sha256, require_unchanged
from meddiff.marking.seal import SealedCase, SealedImage, require_sealed
from meddiff.settings import settings

LONGEST_WAIT_S = 60.0  # that a server's Retry-After is obeyed
Sendable = SealedCase | SealedImage | str | Path
Progress = Callable[[float, str], None]
Answer = TypeVar("Answer")

__all__ = ["Failure", "Report", "Sendable", "Target", "check", "send"]


@dataclass(frozen=True)
class Failure:
    """One instance that the server does not have, or not as it was sent, and why, as a sentence."""

    uid: str
    reason: str


@dataclass(frozen=True)
class Report:
    """What became of each instance, by SOP Instance UID; each is in one of `sent`, `already_there` and `failed`.

    Attributes:
        sent: taken by the server in this call.
        already_there: not sent, because the server has it.
        failed: not there, or not as it was sent.
        unread: those of the first two that were not read back and compared, because DIMSE, or this server, gives
            nothing back; `unlisted` are those of them that could not even be searched for.
    """

    sent: tuple[str, ...] = ()
    already_there: tuple[str, ...] = ()
    failed: tuple[Failure, ...] = ()
    unread: tuple[str, ...] = ()
    unlisted: tuple[str, ...] = ()

    def __str__(self) -> str:
        counts = f"{len(self.sent)} sent, {len(self.already_there)} already there, {len(self.failed)} not sent"
        return counts + (f"; {len(self.unread)} not read back and compared" if self.unread else "")


def send(what: Sendable | Iterable[Sendable], target: Target, progress: Progress | None = None) -> Report:
    """Sends sealed cases (picture and twin), sealed images, or DICOM files that MedDiff wrote, to one server.

    Args:
        progress: called with the share done, 0 to 1, and a word.

    Returns:
        What became of each instance. When the server goes away for good in the middle, the rest stand in `failed`;
        the same call later goes on from there.

    Raises:
        MedDiffError: the target is not allowed, something is not sealed or was changed since, another send to this server is
            under way, or the server cannot be reached or does not let us in. Nothing was sent then.
    """
    require_allowed(target)
    instances = list({str(i.SOPInstanceUID): i for i in _instances(what)}.values())
    tell = progress or (lambda share, word: None)
    outcomes: list[_Outcome] = []
    with _Journal(target) as journal:
        server = _connect(target, instances)
        try:
            for number, instance in enumerate(instances):
                tell(number / len(instances), f"instance {number + 1} of {len(instances)}")
                try:
                    outcomes.append(_deliver(server, instance, journal, target))
                except Refused as refusal:
                    outcomes.append(_Outcome(str(instance.SOPInstanceUID), reason=str(refusal)))
                except MedDiffError as error:
                    if not outcomes:
                        raise
                    why = f"{error} Send it again to go on from here."
                    outcomes += [_Outcome(str(left.SOPInstanceUID), reason=why) for left in instances[number:]]
                    break
        finally:
            server.close()
    tell(1.0, "done")
    return _report(outcomes)


def check(target: Target) -> None:
    """Asks a server whether it answers and lets us in; nothing is sent.

    Raises:
        MedDiffError: what is wrong, in one sentence.
    """
    require_allowed(target)
    server = _connect(target, [])
    try:
        _patiently(target, server.check)
    except Refused as refusal:
        raise MedDiffError(str(refusal)) from refusal
    finally:
        server.close()


# ---------------------------------------------------------------- what may leave


def _instances(what: Sendable | Iterable[Sendable]) -> Iterator[Dataset]:
    """The data sets of what is sealed; the only place here where one is made."""
    for item in [what] if isinstance(what, SealedCase | SealedImage | str | Path) else what:
        if isinstance(item, SealedCase):
            made = _whole(item)
        elif isinstance(item, str | Path):
            made = [_read(Path(item))]
        else:
            made = [to_dataset(require_sealed(item))]
        for instance in made:
            instance.preamble = b"\0" * 128  # PS3.10 section 7.1; some servers keep a file without it as it comes
            yield instance


def _whole(case: SealedCase) -> list[Dataset]:
    """Picture, twin, asked and measured, and the outline where there is a lesion: one study."""
    from meddiff.exchange.seg import to_seg  # highdicom comes with them
    from meddiff.exchange.sr import to_sr

    image, twin = require_sealed(case.image), require_sealed(case.twin)
    outline = [to_seg(twin if case.case.request.task is Task.REMOVE else image, case.mask)] if case.mask.any() else []
    return [to_dataset(image), to_dataset(twin), *outline, to_sr(case)]


def _read(path: Path) -> Dataset:
    """The data set of a DICOM file that MedDiff wrote, unchanged since."""
    try:
        instance = dcmread(path)
        named = all(instance.get(n) for n in ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"))
    except (OSError, InvalidDicomError, ValueError, EOFError) as error:
        raise MedDiffError(f"{path} cannot be read as DICOM: it is missing, damaged or something else.") from error
    require_unchanged(instance, str(path))
    if not named or not instance.file_meta.get("TransferSyntaxUID"):
        raise MedDiffError(f"{path} lacks its UIDs: it was changed since MedDiff wrote it. Export the case again.")
    return instance


# ---------------------------------------------------------------- one instance


class _Server(Protocol):
    def check(self) -> None: ...
    def has(self, instance: Dataset) -> bool | None: ...
    def store(self, instance: Dataset) -> None: ...
    def shows_same(self, instance: Dataset) -> bool | None: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class _Outcome:
    uid: str
    sent: bool = False
    listed: bool = False
    read: bool = False
    reason: str = ""


def _connect(target: Target, instances: list[Dataset]) -> _Server:
    if target.server.is_web:
        from meddiff.exchange.dicomweb import WebServer

        return WebServer(target)
    from meddiff.exchange.dimse import DimseServer

    return DimseServer(target, instances)


def _deliver(server: _Server, instance: Dataset, journal: _Journal, target: Target) -> _Outcome:
    """Sees to it that the server has the instance, once and as it is.

    Raises:
        Refused: it is not there, or something else is.
    """
    uid, content = str(instance.SOPInstanceUID), content_sha256(instance)
    known = journal.read(uid)
    known = known if known and known.content_sha256 == content else None
    asked = _patiently(target, lambda: server.has(instance))
    there = known is not None if asked is None else asked
    entry = Sent(uid=uid, address=str(target.server), content_sha256=content, taken=_now())
    tries = 0

    def put() -> None:
        nonlocal tries
        tries += 1
        if tries == 1 or not server.has(instance):  # when the answer to the first try was lost, it may be there
            server.store(instance)

    if not there:
        _patiently(target, put)
        journal.write(entry)
        if asked is not None and not _settled(server, instance, target):
            raise Refused(
                f"{target.server} said that it took it, but does not list it {target.settle_s:g} s later: it may have "
                "dropped it. Ask who runs it; the next send looks again first."
            )
    read = there and known is not None and known.read
    if not read and _patiently(target, lambda: server.shows_same(instance)):
        read = True
        journal.write(entry.model_copy(update={"read": True}))
    return _Outcome(uid, sent=not there, listed=asked is not None, read=read)


def _settled(server: _Server, instance: Dataset, target: Target) -> bool:
    """Whether the server lists an instance that it took, at once or within its time to settle."""
    asking = Retrying(
        retry=retry_if_result(lambda there: there is False),
        stop=stop_after_delay(target.settle_s),
        wait=wait_exponential(0.1, max=2),
        retry_error_callback=lambda state: False,
    )
    return bool(asking(lambda: _patiently(target, lambda: server.has(instance))))


def _patiently(target: Target, act: Callable[[], Answer]) -> Answer:
    """Does it, and again after a pause where what hindered it may be over.

    Raises:
        Refused: it did not pass, for this instance.
        MedDiffError: it did not pass, for the server as a whole.
    """
    trying = Retrying(
        retry=retry_if_exception_type(Passing),
        stop=stop_after_attempt(target.attempts),
        wait=_pause,
        reraise=True,
    )
    try:
        return trying(act)
    except Passing as error:
        tried = f"{error}. Tried {target.attempts} times" if target.attempts > 1 else str(error)
        raise (MedDiffError if error.for_all else Refused)(f"{tried}.") from error


def _pause(state: RetryCallState) -> float:
    """Seconds: 0.5, 1, 2, ... 8 with a random part, or what the server asks for."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.wait_s if isinstance(error, Passing) else 0.0
    return max(wait_exponential_jitter(initial=0.5, max=8, jitter=0.5)(state), min(asked, LONGEST_WAIT_S))


def _report(outcomes: list[_Outcome]) -> Report:
    good = [outcome for outcome in outcomes if not outcome.reason]
    return Report(
        sent=tuple(o.uid for o in good if o.sent),
        already_there=tuple(o.uid for o in good if not o.sent),
        failed=tuple(Failure(o.uid, o.reason) for o in outcomes if o.reason),
        unread=tuple(o.uid for o in good if not o.read),
        unlisted=tuple(o.uid for o in good if not o.listed),
    )


# ---------------------------------------------------------------- the journal


class Sent(Record):
    """One line of the journal: an instance that a server took."""

    uid: str
    address: str
    content_sha256: str
    taken: str  # ISO 8601, UTC
    read: bool = False  # it was read back and was the same


@dataclass
class _Journal:
    """What one server took, one small file an instance, in the bank's folder; one process at a time writes it."""

    target: Target
    folder: Path = field(init=False)
    _lock: FileLock = field(init=False)

    def __post_init__(self) -> None:
        name = f"{self.target.server} {'' if self.target.server.is_web else self.target.called_aet}"
        self.folder = settings().casebank / "sent" / hashlib.sha256(name.encode()).hexdigest()[:16]
        self._lock = FileLock(self.folder / "lock", timeout=0)

    def __enter__(self) -> _Journal:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
        except Timeout as error:
            raise MedDiffError(
                f"Another MedDiff is sending to {self.target.server} right now: wait until it is done."
            ) from error
        except OSError as error:
            raise MedDiffError(
                f"The journal of what was sent cannot be kept in {self.folder}: {error.strerror or error}. "
                "Choose another folder for the bank (MEDDIFF_CASEBANK); nothing was sent."
            ) from error
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def _path(self, uid: str) -> Path:
        return self.folder / f"{hashlib.sha256(uid.encode()).hexdigest()[:32]}.json"

    def read(self, uid: str) -> Sent | None:
        """What stands there of an instance; nothing, where the file is gone or damaged."""
        try:
            return Sent.model_validate_json(self._path(uid).read_text(encoding="utf-8"))
        except (OSError, ValidationError, ValueError):
            return None

    def write(self, entry: Sent) -> None:
        """Sets down an instance; on the disk when this returns."""
        text = entry.model_dump_json() + "\n"
        write_atomic(self._path(entry.uid), lambda temporary: temporary.write_text(text, encoding="utf-8"))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
