"""One DICOM server by DIMSE: C-ECHO, C-FIND at image level and C-STORE (PS3.7 section 9.1), over TLS where asked."""

from __future__ import annotations

import copy
import socket
import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, Association
from pynetdicom.pdu_primitives import UserIdentityNegotiation
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind,
    Verification,
)
from pynetdicom.status import STORAGE_SERVICE_CLASS_STATUS

from meddiff.case import MedDiffError
from meddiff.exchange.target import Passing, Refused, Target, certificates, require_allowed, tls_context
from meddiff.marking.provenance import require_unchanged

_PLAIN = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
_DUPLICATE = 0x0111
_REJECTED: dict[tuple[int | None, int | None], str] = {  # source and reason: PS3.8 table 9-21
    (1, 3): "it does not know our AE title {target.calling_aet!r}: have it entered there, or give another",
    (1, 7): "its AE title is not {target.called_aet!r}: give the right one",
}


class DimseServer:
    """See the module. Every method raises `Passing`, `Refused`, or MedDiffError where nothing more can be sent.

    Args:
        instances: all that shall be stored; their classes and transfer syntaxes are offered to the server.

    Raises:
        MedDiffError: an address that is not on the list, a password that would travel in the open, or a certificate
            file that cannot be used.
    """

    def __init__(self, target: Target, instances: Iterable[Dataset] = ()) -> None:
        self.address = require_allowed(target)
        self._target = target
        self._tls = tls_context() if self.address.is_encrypted else None
        self._link: Association | None = None
        self._searches_lost = 0  # in a row; Orthanc, as it comes, hangs up on whoever it does not let search
        self._ae = AE(target.calling_aet)
        self._ae.acse_timeout = self._ae.dimse_timeout = target.timeout_s
        self._ae.network_timeout = self._ae.connection_timeout = target.timeout_s
        self._ae.add_requested_context(Verification)
        self._ae.add_requested_context(StudyRootQueryRetrieveInformationModelFind)
        for kind, syntax in sorted({(i.SOPClassUID, i.file_meta.TransferSyntaxUID) for i in instances}):
            self._ae.add_requested_context(kind, _PLAIN)
            if syntax not in _PLAIN:
                self._ae.add_requested_context(kind, syntax)

    def check(self) -> None:
        """C-ECHO."""
        link = self._association()
        with self._watched():
            if _accepts(link, Verification) and not link.send_c_echo():
                raise self._lost()

    def has(self, instance: Dataset) -> bool | None:
        """Whether it lists the instance, by C-FIND (PS3.4 C.4.1); None: it does not offer to be searched."""
        if self._searches_lost > 1:
            return None
        link = self._association()
        if not _accepts(link, StudyRootQueryRetrieveInformationModelFind):
            return None
        wanted = Dataset()
        wanted.QueryRetrieveLevel = "IMAGE"
        for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
            setattr(wanted, name, instance[name].value)
        found = False
        with self._watched():
            for status, item in link.send_c_find(wanted, StudyRootQueryRetrieveInformationModelFind):
                if not status:
                    self._searches_lost += 1
                    broken = self._lost()
                    if self._searches_lost > 1:
                        return None
                    raise broken
                self._searches_lost = 0
                if status.Status in (0xFF00, 0xFF01):
                    found |= item is not None and item.get("SOPInstanceUID") == instance.SOPInstanceUID
                elif status.Status != 0x0000:
                    return None
        return found

    def store(self, instance: Dataset) -> None:
        """C-STORE of one instance of ours, marked and unchanged."""
        require_unchanged(instance, "This data set")
        link = self._association()
        kind, syntax = instance.SOPClassUID, instance.file_meta.TransferSyntaxUID
        if not _accepts(link, kind, syntax):
            if not any(_accepts(link, kind, plain) for plain in _PLAIN):
                raise Refused(f"{self.address} takes no {kind.name}.")
            if syntax not in _PLAIN:
                instance = copy.deepcopy(instance)
                instance.decompress()  # lossless as it came, so nothing is lost
        with self._watched():
            status = link.send_c_store(instance)
        if not status:
            raise self._lost()
        code = int(status.Status)
        if code >> 8 == 0xA7:
            raise Passing(f"{self.address} cannot take it now: {status_words(code)}", for_all=False)
        if code not in (0x0000, _DUPLICATE) and code >> 12 != 0xB:  # 0xB...: taken, with a warning
            comment = str(status.get("ErrorComment", ""))
            raise Refused(f"{self.address} refused it: {status_words(code)}{comment and f', {comment!r}'}.")

    def shows_same(self, instance: Dataset) -> bool | None:
        """DIMSE gives nothing back to a sender that is no server itself: None."""
        return None

    def close(self) -> None:
        """Releases the association."""
        if self._link is not None and self._link.is_established:
            self._link.release()
        self._link = None

    def _association(self) -> Association:
        """The association, opened anew where it is gone."""
        if self._link is None or not self._link.is_established:
            try:
                self._link = self._ae.associate(
                    self.address.host,
                    self.address.port,
                    ae_title=self._target.called_aet,
                    tls_args=(self._tls, self.address.host) if self._tls else None,
                    ext_neg=[_identity(self._target)] if self._target.user else None,
                )
            except OSError as error:  # no such host
                raise Passing(f"{self.address} does not answer: {error.strerror or error}") from error
            if not self._link.is_established:
                self._explain(self._link)
        return self._link

    def _explain(self, link: Association) -> None:
        """Raises why there is no association."""
        answer = link.acceptor.primitive
        if link.is_rejected and answer is not None:
            if answer.result == 0x02:  # transient: PS3.8 section 9.3.4
                raise Passing(f"{self.address} cannot take a connection now: {answer.reason_str}")
            why = _REJECTED.get((answer.result_source, answer.diagnostic), answer.reason_str)
            raise MedDiffError(f"{self.address} rejected the connection: {why.format(target=self._target)}.")
        try:  # pynetdicom does not say what went wrong below DICOM, so knock again
            with socket.create_connection((self.address.host, self.address.port), self._target.timeout_s) as plain:
                if self._tls:
                    with self._tls.wrap_socket(plain, server_hostname=self.address.host):
                        pass
        except ssl.SSLCertVerificationError as error:
            from meddiff.exchange.dicomweb import untrusted

            raise untrusted(self.address, error) from error
        except ssl.SSLError as error:
            raise MedDiffError(
                f"{self.address} does not speak TLS as we do ({error.reason or error}): check scheme and port."
            ) from error
        except TimeoutError as error:
            raise Passing(f"{self.address} did not answer in time") from error
        except OSError as error:
            raise Passing(f"{self.address} does not answer: {error.strerror or error}") from error
        hint = "" if certificates()[1] or not self._tls else "; it may want a certificate (MEDDIFF_PACS_CERTIFICATE)"
        raise Passing(f"{self.address} takes the connection, but does not answer in DICOM{hint}")

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """pynetdicom raises RuntimeError where the association went away since it was looked at."""
        try:
            yield
        except RuntimeError as error:
            raise self._lost() from error

    def _lost(self) -> Passing:
        if self._link is not None:
            self._link.abort()
        self._link = None
        return Passing(f"The connection to {self.address} broke off")


def status_words(code: int) -> str:
    """A status of C-STORE, or a failure reason of STOW-RS, in words: PS3.4 table B.2-1, PS3.7 annex C."""
    words = STORAGE_SERVICE_CLASS_STATUS.get(code, ("", ""))[1].strip().rstrip(".")
    return f"{words or 'for a reason that only the server knows'} (0x{code:04X})"


def _accepts(link: Association, kind: str, syntax: str | None = None) -> bool:
    return any(
        context.abstract_syntax == kind and (syntax is None or syntax in context.transfer_syntax)
        for context in link.accepted_contexts
    )


def _identity(target: Target) -> UserIdentityNegotiation:
    """Name and passcode in the association: PS3.7 D.3.3.7."""
    identity = UserIdentityNegotiation()
    identity.user_identity_type = 2 if target.password else 1
    identity.primary_field = target.user.encode()
    if target.password:
        identity.secondary_field = target.password.encode()
    return identity
