"""One DICOMweb server: search (QIDO-RS), store (STOW-RS) and retrieve (WADO-RS) of PS3.18, and nothing but that server."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from http.client import responses
from typing import Any, NoReturn, TypeVar

import requests
from dicomweb_client.api import DICOMwebClient
from pydicom import Dataset
from pydicom.errors import InvalidDicomError
from requests.adapters import HTTPAdapter
from requests.auth import HTTPBasicAuth

from meddiff.case import MedDiffError
from meddiff.exchange.target import Address, Passing, Refused, Target, certificates, require_allowed, tls_context
from meddiff.marking.provenance import content_sha256, require_unchanged

_JSON = "application/dicom+json"
_BUSY = {408, 425, 429, 502, 503, 504}  # the server as a whole; a 500 may be about one instance only
_UNABLE = {405, 406, 501}  # the server does not offer this
_UNREADABLE = (InvalidDicomError, AttributeError, IndexError, KeyError, TypeError, ValueError)
Answer = TypeVar("Answer")

logging.getLogger("retrying").setLevel(
    logging.ERROR
)  # inside dicomweb-client; it prints the stack of what we say in words


class WebServer:
    """See the module. Every method raises `Passing`, `Refused`, or MedDiffError where nothing more can be sent.

    Raises:
        MedDiffError: an address that is not on the list, or a password that would travel in the open.
    """

    def __init__(self, target: Target) -> None:
        self.address = require_allowed(target)
        if self.address.is_encrypted:
            tls_context()  # requests would say what is wrong with a file only after connecting
        self._client = DICOMwebClient(
            str(self.address), session=_OneServer(self.address, target), timeout=target.timeout_s
        )
        self._client.set_http_retry_params(retry=False)  # we retry ourselves, connections too

    def check(self) -> None:
        """Asks for nothing in particular: does it answer, and does it know us?"""
        self._ask(lambda: self._client.search_for_instances(limit=1))

    def has(self, instance: Dataset) -> bool | None:
        """Whether it lists the instance; None: it does not offer to be searched."""
        uid = str(instance.SOPInstanceUID)
        try:
            found = self._ask(lambda: self._client.search_for_instances(search_filters={"SOPInstanceUID": uid}))
        except _Unable:
            return None
        try:  # a server that ignores the filter lists others
            return any(uid in item["00080018"]["Value"] for item in found)
        except (KeyError, TypeError) as error:
            raise self._not_dicomweb() from error

    def store(self, instance: Dataset) -> None:
        """Stores one instance of ours, marked and unchanged: PS3.18 section 10.5."""
        require_unchanged(instance, "This data set")
        try:
            answer = self._ask(lambda: self._client.store_instances([instance]))
        except _Unable as error:
            raise MedDiffError(f"{self.address} takes no instances: {error}.") from error
        except _Rejected as error:
            raise Refused(f"{self.address} refused it: {_failure(error.response) or error}.") from error
        except _UNREADABLE:
            return  # an answer that nobody can read says nothing: what is there then is asked for anyway
        if failed := answer.get("FailedSOPSequence"):
            raise Refused(f"{self.address} refused it: {_failure_of(failed[0])}.")

    def shows_same(self, instance: Dataset) -> bool | None:
        """Whether it gives the instance back with the same content, still marked as synthetic; None: it does not offer that.

        Raises:
            Refused: it gives back something else.
        """
        uids = (str(instance.StudyInstanceUID), str(instance.SeriesInstanceUID), str(instance.SOPInstanceUID))
        try:
            back = self._ask(lambda: self._client.retrieve_instance(*uids))
            same = content_sha256(back) == content_sha256(instance)
        except _Unable:
            return None
        except _Rejected as error:
            if error.response.status_code == 404:
                raise Passing(f"{self.address} lists it, but does not give it back", for_all=False) from error
            raise Refused(f"{self.address} does not give it back: {error}.") from error
        except (*_UNREADABLE, NotImplementedError, RuntimeError) as error:
            raise Refused(f"What {self.address} gives back for it cannot be read.") from error
        if not same:
            raise Refused(f"{self.address} holds something else under its UID.")
        if back.get("SyntheticData") != "YES":
            raise Refused(f"{self.address} holds it, but took Synthetic Data (0008,001C) = YES out of it.")
        return True

    def close(self) -> None:
        """Closes the connections."""
        self._client._session.close()

    def _ask(self, act: Callable[[], Answer]) -> Answer:
        """Does it, and says in our words what went wrong."""
        try:
            return act()
        except requests.exceptions.SSLError as error:
            _tls_failed(self.address, error)
        except requests.exceptions.HTTPError as error:
            self._http_failed(error)
        except requests.exceptions.JSONDecodeError as error:
            raise self._not_dicomweb() from error
        except (requests.exceptions.InvalidSchema, requests.exceptions.InvalidURL) as error:
            raise MedDiffError(f"{self.address} cannot be reached: {error}.") from error
        except requests.exceptions.Timeout as error:
            raise Passing(f"{self.address} did not answer in time") from error
        except (requests.exceptions.RequestException, OSError) as error:
            raise Passing(f"{self.address} does not answer: {_reason(error)}") from error

    def _http_failed(self, error: requests.exceptions.HTTPError) -> NoReturn:
        response = error.response
        if response is None:
            raise Passing(f"{self.address} does not answer") from error
        code, said = (
            response.status_code,
            f"HTTP {response.status_code} {responses.get(response.status_code, '')}".strip(),
        )
        if code == 401:
            raise MedDiffError(
                f"{self.address} lets nobody in without the right user name and password ({said})."
            ) from error
        if code == 403:
            raise MedDiffError(f"{self.address} does not allow this user to do that ({said}).") from error
        if code in _BUSY or code == 500:
            raise Passing(f"{self.address} cannot do it now ({said})", _wait_s(response), code in _BUSY) from error
        if code in _UNABLE:
            raise _Unable(said) from error
        if code == 404 and response.request.method == "GET" and "/instances?" in (response.request.url or ""):
            raise self._not_dicomweb() from error
        raise _Rejected(said, response) from error

    def _not_dicomweb(self) -> MedDiffError:
        return MedDiffError(f"There is no DICOMweb service at {self.address}: check the path, often /dicom-web.")


class _Unable(Exception):
    """The server does not offer what was asked."""


class _Rejected(Refused):
    """The server said no to this request."""

    def __init__(self, said: str, response: requests.Response) -> None:
        super().__init__(said)
        self.response = response


class _OneServer(requests.Session):
    """A session that talks to one server only: no proxy, no .netrc, no redirect, no other host."""

    def __init__(self, address: Address, target: Target) -> None:
        super().__init__()
        self._address = address
        self.trust_env = False
        ca, own = certificates()
        self.verify = ca or True
        self.cert = own
        self.auth = HTTPBasicAuth(target.user.encode(), target.password.encode()) if target.user else None
        self.headers["Accept"] = _JSON
        self.adapters.clear()
        self.mount(address.origin + "/", HTTPAdapter())

    def request(self, method: str, url: str, **how: Any) -> requests.Response:  # type: ignore[override]
        how["allow_redirects"] = False
        how["headers"] = {k: v for k, v in (how.get("headers") or {}).items() if k != "Host"}  # without its port
        response = super().request(method, url, **how)
        if 300 <= response.status_code < 400:
            raise MedDiffError(
                f"{self._address} sends on to {response.headers.get('Location', 'another place')!r}. MedDiff follows "
                "nobody there: give that address itself, if it is the right one and on the list."
            )
        if response.headers.get("Content-Type", "").startswith(_JSON):
            response.headers["Content-Type"] = _JSON  # dicomweb-client knows it without a charset only
        return response


def _tls_failed(address: Address, error: requests.exceptions.SSLError) -> NoReturn:
    text = str(error)
    if "CERTIFICATE_VERIFY_FAILED" in text:
        raise untrusted(address, text) from error
    if "WRONG_VERSION_NUMBER" in text or "RECORD_LAYER_FAILURE" in text or "HTTP_REQUEST" in text:
        raise MedDiffError(f"{address} does not speak TLS: check scheme and port.") from error
    raise Passing(f"The encrypted connection to {address} broke off: {_reason(error)}") from error


def untrusted(address: Address, said: str | ssl.SSLCertVerificationError) -> MedDiffError:
    """The sentence for a certificate that does not verify."""
    text = str(said)
    why = text.partition("certificate verify failed: ")[2].partition(" (_ssl.c")[0] or "it does not verify"
    return MedDiffError(
        f"The certificate of {address} is not trusted: {why.rstrip('.')}. If it is the right server, name the PEM file of the "
        "authority that signed it in MEDDIFF_PACS_CA; nothing was sent."
    )


def _failure(response: requests.Response) -> str:
    """Why an instance was refused, from the Failed SOP Sequence of an answer; empty where it does not tell."""
    try:
        return _failure_of(Dataset.from_json(response.json()).FailedSOPSequence[0])
    except (*_UNREADABLE, requests.exceptions.JSONDecodeError):
        return ""


def _failure_of(item: Dataset) -> str:
    from meddiff.exchange.dimse import status_words

    return status_words(int(item.get("FailureReason") or 0x0110))


def _wait_s(response: requests.Response) -> float:
    """Seconds in *Retry-After*; 0 where it names none, or a date."""
    said = response.headers.get("Retry-After", "")
    return float(said) if said.isdecimal() else 0


def _reason(error: BaseException) -> str:
    """The innermost cause, without the objects that requests and urllib3 wrap around it."""
    while True:
        inner = getattr(error, "reason", None)
        if not isinstance(inner, BaseException):
            inner = next((part for part in error.args if isinstance(part, BaseException)), error.__cause__)
        if inner is None:
            break
        error = inner
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).rpartition(": ")[2].rstrip(".") or type(error).__name__
