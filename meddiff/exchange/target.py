"""Where cases may be sent: an address, read strictly, and the list of those that the settings allow."""

from __future__ import annotations

import ipaddress
import re
import ssl
from dataclasses import dataclass, field

from meddiff.case import MedDiffError
from meddiff.settings import settings

# The whole address must match: what is not in here (user@, ?query, #fragment, %xx, \, spaces, other alphabets) cannot be
# read by one program in this way and by another in that.
_FORM = re.compile(
    r"(?P<scheme>https?|dicom(?:\+tls)?)://"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>(?:/[A-Za-z0-9._~-]+)*)/?",
    re.IGNORECASE | re.ASCII,
)
_PORTS = {"https": 443, "http": 80, "dicom": 104, "dicom+tls": 2762}  # DICOM: PS3.8 section 9.1.1 and PS3.15 B.1
_HOW = (
    "Write https://host:port/path for DICOMweb, dicom+tls://host:port or dicom://host:port for C-STORE, "
    "without user, password or query"
)


@dataclass(frozen=True)
class Address:
    """One server: scheme (`https`, `http`, `dicom+tls`, `dicom`), host in small letters, port, path without last slash."""

    scheme: str
    host: str
    port: int
    path: str = ""

    @staticmethod
    def parse(text: str) -> Address:
        """Reads an address.

        Raises:
            MedDiffError: for anything that is not plainly one.
        """
        match = _FORM.fullmatch(text.strip())
        if match is None:
            raise MedDiffError(f"{_shown(text)} is no address of a server. {_HOW}.")
        scheme, host, path = match["scheme"].lower(), _host(match["host"].lower(), text), match["path"]
        port = int(match["port"]) if match["port"] else _PORTS[scheme]
        if not 0 < port < 65536:
            raise MedDiffError(f"{_shown(text)} names port {port}: ports go from 1 to 65535.")
        if {".", ".."} & set(path.split("/")) or (path and scheme.startswith("dicom")):
            raise MedDiffError(f"{_shown(text)} has a path that cannot stand there. {_HOW}.")
        return Address(scheme, host, port, path)

    def covers(self, other: Address) -> bool:
        """Whether `other` is this server, at this path or below it."""
        same = (self.scheme, self.host, self.port) == (other.scheme, other.host, other.port)
        return same and (other.path + "/").startswith(self.path + "/")

    @property
    def is_web(self) -> bool:
        """DICOMweb, and not DIMSE."""
        return self.scheme in ("https", "http")

    @property
    def is_encrypted(self) -> bool:
        """By TLS."""
        return self.scheme in ("https", "dicom+tls")

    @property
    def is_loopback(self) -> bool:
        """This machine."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def origin(self) -> str:
        """Scheme, host and port, written in one way only."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    def __str__(self) -> str:
        return self.origin + self.path


def _host(host: str, text: str) -> str:
    """A host in the one way it is written here; what a system might take for a number in disguise is refused."""
    try:
        if host.startswith("["):
            return ipaddress.IPv6Address(host[1:-1]).compressed
        last = host.rsplit(".", 1)[-1]
        if last.isdigit() or last.startswith("0x"):  # 127.1, 2130706433 and 0x7f000001 are 127.0.0.1 to many a system
            return str(ipaddress.IPv4Address(host))
    except ValueError as error:
        raise MedDiffError(f"{_shown(text)} has no valid IP address. {_HOW}.") from error
    return host


def _shown(text: str) -> str:
    """An address in a message, without what may be a password."""
    return repr(re.sub(r".*@", "...@", text.strip()))


@dataclass(frozen=True)
class Target:
    """A server to send to, and how.

    Args:
        address: `https://host:port/path` (DICOMweb, up to where `/studies` follows), `dicom+tls://host:port` or
            `dicom://host:port`; `http://` too, with a password only on this machine.
        user: name at that server; HTTP basic, or user identity of the association (PS3.7 D.3.3.7).
        password: never shown, never written anywhere.
        calling_aet: our AE title, for `dicom`.
        called_aet: the server's AE title, for `dicom`.
        timeout_s: seconds to wait for one answer.
        attempts: how often what may pass (no connection, 429, 5xx) is tried.
        settle_s: seconds that a server gets to list what it took.

    Raises:
        MedDiffError: an address, AE title or number that cannot be.
    """

    address: str
    user: str = ""
    password: str = field(default="", repr=False)
    calling_aet: str = "MEDDIFF"
    called_aet: str = "ANY-SCP"
    timeout_s: float = 20
    attempts: int = 5
    settle_s: float = 10

    def __post_init__(self) -> None:
        Address.parse(self.address)
        for title in (self.calling_aet, self.called_aet):  # PS3.5 section 6.2, AE
            if not re.fullmatch(r"[ -\[\]-~]{1,16}", title) or not title.strip():
                raise MedDiffError(f"{title!r} is no AE title: 1 to 16 letters, digits and signs, no backslash.")
        if self.timeout_s <= 0 or self.attempts < 1 or self.settle_s < 0:
            raise MedDiffError("Give a timeout above 0 seconds, at least one attempt, and 0 seconds or more to settle.")
        if ":" in self.user or (self.password and not self.user):
            raise MedDiffError("Give a user name (without a colon) with the password.")

    @property
    def server(self) -> Address:
        """The address, read."""
        return Address.parse(self.address)


def require_allowed(target: Target) -> Address:
    """The address of a target that cases may be sent to.

    Raises:
        MedDiffError: not on the list `MEDDIFF_PACS_ALLOWED`, or a password would travel in the open.
    """
    address = target.server
    if not any(entry.covers(address) for entry in allowed()):
        raise MedDiffError(
            f"{address} is not on the list of servers that cases may be sent to. If they shall go there, add it to "
            "MEDDIFF_PACS_ALLOWED (addresses with commas between) and start again; nothing was sent."
        )
    if target.user and not address.is_encrypted and not address.is_loopback:
        safe = "https" if address.is_web else "dicom+tls"
        raise MedDiffError(
            f"{address} is not encrypted: name and password would travel in the open. Use {safe}://; nothing was sent."
        )
    return address


def allowed() -> tuple[Address, ...]:
    """The list in the settings, `MEDDIFF_PACS_ALLOWED`; empty unless somebody filled it.

    Raises:
        MedDiffError: an entry that is no address.
    """
    return _listed(settings().pacs_allowed, "MEDDIFF_PACS_ALLOWED")


def allowed_detectors() -> tuple[Address, ...]:
    """The detectors that the page may ask by HTTP, `MEDDIFF_DETECTORS_ALLOWED`; empty unless somebody filled it.

    Raises:
        MedDiffError: an entry that is no address, or none of the web.
    """
    found = _listed(settings().detectors_allowed, "MEDDIFF_DETECTORS_ALLOWED")
    for address in found:
        if not address.is_web:
            raise MedDiffError(
                f"MEDDIFF_DETECTORS_ALLOWED cannot be read: {address} is no address of a detector: give http:// or https://."
            )
    return found


def _listed(text: str, variable: str) -> tuple[Address, ...]:
    """Addresses with commas between, as a variable names them."""
    try:
        return tuple(Address.parse(entry) for entry in text.split(",") if entry.strip())
    except MedDiffError as error:
        raise MedDiffError(f"{variable} cannot be read: {error}") from error


def certificates() -> tuple[str | None, str | None]:
    """Files of the trusted authority and of our own certificate, where the settings name them."""
    ca, own = (str(path) if path else None for path in (settings().pacs_ca, settings().pacs_certificate))
    return ca, own


def tls_context() -> ssl.SSLContext:
    """TLS 1.2 or newer, certificate and host name verified (PS3.15 B.12), with the files of `certificates`.

    Raises:
        MedDiffError: a file that is not there or holds something else.
    """
    ca, own = certificates()
    variable, path = "MEDDIFF_PACS_CA", ca
    try:
        context = ssl.create_default_context(cafile=ca)
        if own:
            variable, path = "MEDDIFF_PACS_CERTIFICATE", own
            context.load_cert_chain(own)
    except (ssl.SSLError, OSError) as error:
        holds = "certificates" if path == ca else "our certificate and its key"
        raise MedDiffError(
            f"The file {path} cannot be used ({error.strerror or error}): {variable} names a PEM file with {holds}."
        ) from error
    return context


class Passing(Exception):
    """What may be over in a moment, as a sentence: no connection, a server that is busy.

    Args:
        wait_s: seconds that the server asked for.
        for_all: whether another instance would fare no better.
    """

    def __init__(self, reason: str, wait_s: float = 0, for_all: bool = True) -> None:
        super().__init__(reason)
        self.wait_s, self.for_all = wait_s, for_all


class Refused(Exception):
    """One instance is not taken, as a sentence; the next may be."""
