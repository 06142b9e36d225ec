"""A detector behind an address, http or https.

What it must speak:

    GET  ADDRESS/contract   the contract as JSON: {"kind": "boxes", "threshold": 0.4}. Where that is not found, GET ADDRESS is asked.
    POST ADDRESS            body: one picture, image/png, 8-bit grey. Answer, as JSON, by the contract's kind:
                            classifier  {"score": 0.87}
                            boxes       {"boxes": [[x0, y0, x1, y1, score], ...]}, in pixels of the picture, edges, upper left corner 0, 0
                            mask        {"mask": "..."}, base64 of an 8-bit grey PNG of the picture's size; 255 is probability 1

The picture is the whole sealed one, visible stamp and rows appended for it included, and without its record, which holds the answer. The server prepares it
itself: size, range, channels, layout and spacing of the contract say nothing here. X-Spacing-mm holds the pixel size, rows and columns.

A server on this machine may always be asked, another only where `MEDDIFF_DETECTORS_ALLOWED` or `MEDDIFF_PACS_ALLOWED` lists it: cases are sent
there.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import requests
from PIL import Image

from meddiff.case import MedDiffError
from meddiff.exchange.target import Address, allowed, allowed_detectors, certificates
from meddiff.stress.detectors.contract import contract_of
from meddiff.stress.detectors.detector import Detector, Late
from meddiff.stress.detectors.prepare import Placement, View
from meddiff.stress.detectors.read import Nonsense, read
from meddiff.stress.records import Answer, Contract, Kind

WAIT_S = 60.0  # for an answer; `Guarded` waits as long as it is told, and no longer than this
_MOST_BYTES = 64 * 2**20


class HttpDetector(Detector):
    """See the module.

    Raises:
        MedDiffError: an address that may not be asked, a server that does not answer, or no contract there.
    """

    wants_png = True

    def __init__(self, address: str, contract: Contract | None = None, name: str | None = None) -> None:
        self.address = _allowed(address)
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy: the address is the one that was allowed
        authority, self._session.cert = certificates()
        self._session.verify = authority or True
        super().__init__(name or self.address.origin.partition("//")[2], contract or self._declared())

    def see(self, view: View) -> Answer:
        """See `Detector.see`."""
        spacing = "{:g} {:g}".format(*view.spacing_mm)
        try:
            answer = self._ask(
                "POST", "", data=view.png, headers={"Content-Type": "image/png", "X-Spacing-mm": spacing}
            )
        except requests.Timeout as error:
            raise Late(f"{self.address} gave no answer within {WAIT_S:g} s.") from error
        if answer.status != 200:
            raise ConnectionError(f"{self.address} answered {answer}.")
        with Image.open(io.BytesIO(view.png)) as picture:
            width, height = picture.size
        contract = self.contract.model_copy(
            update={"size": (height, width), "spacing_mm": None, "layout": "NCHW", "positive": -1}
        )
        placement = Placement.of((height, width), view.spacing_mm, contract)
        return read(_outputs(answer.json(), contract), contract, placement)

    def _declared(self) -> Contract:
        try:
            answer = self._ask("GET", "/contract")
            if answer.status == 404:
                answer = self._ask("GET", "")
        except requests.RequestException as error:
            raise MedDiffError(
                f"{self.address} does not answer ({type(error).__name__}): is the detector running there?"
            ) from error
        if answer.status != 200:
            raise MedDiffError(
                f"{self.address} answered {answer} where its contract was asked for: "
                "let GET ADDRESS/contract give it as JSON, or give the contract yourself."
            )
        try:
            return contract_of(answer.json(), f"the answer of {self.address}")
        except Nonsense as error:
            raise MedDiffError(f"The contract of {self.address} cannot be read: {error}") from error

    def _ask(self, method: str, path: str, **how: Any) -> _Reply:
        how |= {"timeout": WAIT_S, "allow_redirects": False, "stream": True}
        with self._session.request(method, str(self.address) + path, **how) as answer:
            body = answer.raw.read(_MOST_BYTES + 1, decode_content=True)
        if len(body) > _MOST_BYTES:
            raise ConnectionError(f"{self.address} answered more than {_MOST_BYTES >> 20} MB.")
        return _Reply(answer.status_code, answer.reason, body)


@dataclass(frozen=True)
class _Reply:
    status: int
    reason: str
    body: bytes

    def __str__(self) -> str:
        return f"{self.status} {self.reason}".strip()

    def json(self) -> Any:
        """What stands in it. Raises Nonsense where that is no JSON."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise Nonsense("It answered something that is no JSON.") from error


def _allowed(text: str) -> Address:
    address = Address.parse(text)
    if not address.is_web:
        raise MedDiffError(f"{address} is no address of a detector: give http:// or https://.")
    if not address.is_loopback and not any(entry.covers(address) for entry in (*allowed_detectors(), *allowed())):
        raise MedDiffError(
            f"{address} is not on the list of servers that cases may be sent to. If they shall go there, add it to "
            "MEDDIFF_DETECTORS_ALLOWED or MEDDIFF_PACS_ALLOWED (addresses with commas between) and start again; nothing was sent."
        )
    return address


def _outputs(said: Any, contract: Contract) -> list[np.ndarray]:
    """What stands in an answer, as `read` takes it."""
    key = {Kind.CLASSIFIER: "score", Kind.BOXES: "boxes", Kind.MASK: "mask"}[contract.kind]
    if not isinstance(said, dict) or key not in said:
        keys = f"the keys {sorted(said)}" if isinstance(said, dict) else f"a {type(said).__name__}"
        raise Nonsense(f"It answered {keys}, where its contract declares an object with {key!r}.")
    if contract.kind is Kind.MASK:
        return [_decoded(said[key], contract.size)]
    try:
        return [np.array(said[key], np.float64)]
    except (TypeError, ValueError) as error:
        raise Nonsense(f"Its {key!r} holds something else than numbers.") from error


def _decoded(text: Any, size: tuple[int, int]) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(base64.b64decode(text, validate=True)), formats=["PNG"]) as image:
            if image.size != (size[1], size[0]):
                raise Nonsense(
                    f"Its mask has {image.size[1]} x {image.size[0]} pixels and the picture {size[0]} x {size[1]}."
                )
            if image.mode not in ("L", "1"):
                raise Nonsense(f"Its mask is a PNG of mode {image.mode}, where 8-bit grey is declared.")
            return np.asarray(image.convert("L"), np.float64) / 255
    except (binascii.Error, TypeError, ValueError, OSError, SyntaxError) as error:
        raise Nonsense("Its mask is no PNG in base64.") from error
