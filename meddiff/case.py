"""The records every room of MedDiff exchanges. This module knows nobody else in the house.

Everything here is frozen, validated where it is built, and goes to JSON and back without loss.
Arrays never stand in a record: a record names pixels by their SHA-256, and a mask small enough to be
data (a few hundred bytes as PNG) is carried inside the request that it decides.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
from enum import StrEnum
from typing import Annotated, Any

import numpy as np
from PIL import Image
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from meddiff import __version__

SYNTHETIC_NOTICE = "Synthetic, not for diagnosis. Made by MedDiff; not a patient."
SHIPPED_TEXT_ENCODER = "meddiff-compact-bert"  # every pack holds one; its weights are named by the pack's hash


class MedDiffError(Exception):
    """A sentence for the person: what was wrong, where, and what to do. Exit code 2 at the command line."""


class Record(BaseModel):
    """Base of all records: frozen, no unknown fields, canonical JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def canonical_json(self) -> str:
        """JSON with sorted keys and no spaces: equal records give equal text."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    def digest(self) -> str:
        """SHA-256 of the canonical JSON, 64 hex digits."""
        return hashlib.sha256(self.canonical_json().encode()).hexdigest()


class Plane(StrEnum):
    """Plane of a slice."""

    AXIAL = "axial"
    CORONAL = "coronal"
    SAGITTAL = "sagittal"


class Side(StrEnum):
    """Side of the patient (not of the screen)."""

    LEFT = "left"
    RIGHT = "right"
    MIDLINE = "midline"
    UNKNOWN = "unknown"


class Region(StrEnum):
    """Coarse place in the head, as `conditions.place` derives it from a centroid."""

    FRONTAL = "frontal"
    PARIETAL = "parietal"
    TEMPORAL = "temporal"
    OCCIPITAL = "occipital"
    CENTRAL = "central"  # deep grey matter, corpus callosum, ventricles
    SELLAR = "sellar"
    POSTERIOR_FOSSA = "posterior fossa"
    UNKNOWN = "unknown"


class Enhancement(StrEnum):
    """Pattern of contrast enhancement."""

    RING = "ring"
    SOLID = "solid"  # homogeneous
    HETEROGENEOUS = "heterogeneous"
    NONE = "none"
    UNKNOWN = "unknown"


class Margin(StrEnum):
    """Border of the lesion."""

    SMOOTH = "smooth"
    IRREGULAR = "irregular"
    UNKNOWN = "unknown"


class Conspicuity(StrEnum):
    """Contrast over noise, in three words: |contrast to the surrounding ring| / its noise below 1.5, 1.5 to 4, above."""

    SUBTLE = "subtle"
    MODERATE = "moderate"
    OBVIOUS = "obvious"
    UNKNOWN = "unknown"


class Sex(StrEnum):
    """Sex, as DICOM (0010,0040) has it; unknown is allowed everywhere."""

    FEMALE = "F"
    MALE = "M"
    UNKNOWN = "unknown"


class Task(StrEnum):
    """What a request asks of the model."""

    GENERATE = "generate"  # a case from nothing
    INSERT = "insert"  # a lesion into a given background
    REMOVE = "remove"  # a lesion out of a given background


class Status(StrEnum):
    """Whether a case passed its check."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"


class Finding(Record):
    """One described abnormality. `pathology` is the key of a file in prompts/pathologies (`glioma`), or None."""

    pathology: str | None = None
    side: Side = Side.UNKNOWN
    region: Region = Region.UNKNOWN
    enhancement: Enhancement = Enhancement.UNKNOWN
    margin: Margin = Margin.UNKNOWN
    conspicuity: Conspicuity = Conspicuity.UNKNOWN
    size_mm: Annotated[float, Field(gt=0, le=200)] | None = None  # longest diameter in the slice


class Findings(Record):
    """What a sentence says of a slice. `finding` None means: no focal lesion."""

    modality: str = "MR"
    anatomy: str = "brain"
    sequence: str = "T1 post-contrast"
    plane: Plane | None = None
    finding: Finding | None = None


class Clinical(Record):
    """Clinical values; None or unknown wherever nothing is known."""

    age_years: Annotated[float, Field(ge=0, le=120)] | None = None
    sex: Sex = Sex.UNKNOWN


class MaskSpec(Record):
    """Where the lesion goes: either a drawn outline (1-bit PNG, base64) or the seed of a sampled one.

    `png` wins when both are given. A request that reached the model always carries `png`, so that it can be
    rebuilt without drawing again.
    """

    png: str | None = None
    sample_seed: int | None = None

    @staticmethod
    def from_array(mask: np.ndarray) -> MaskSpec:
        """Packs a mask [H, W] (nonzero = lesion) into a record."""
        buffer = io.BytesIO()
        Image.fromarray(np.asarray(mask) > 0).save(buffer, format="PNG", optimize=True)
        return MaskSpec(png=base64.b64encode(buffer.getvalue()).decode())

    def to_array(self) -> np.ndarray:
        """The drawn mask, bool [H, W]. Raises MedDiffError where there is none or it cannot be read."""
        if self.png is None:
            raise MedDiffError("This request carries no drawn outline: draw one, or let one be sampled.")
        try:
            with Image.open(io.BytesIO(base64.b64decode(self.png, validate=True))) as image:
                return np.asarray(image.convert("L")) > 0
        except Exception as error:  # PIL raises many kinds; all mean the same to the person
            raise MedDiffError("The outline in this request is damaged: draw it again.") from error


class Tolerance(Record):
    """How far a case may miss its request before it is redrawn. Sizes in mm, places as a share of the lesion's diameter."""

    dice: Annotated[float, Field(ge=0, le=1)] = 0.5
    size_relative: Annotated[float, Field(ge=0)] = 0.35
    size_mm: Annotated[float, Field(ge=0)] = 6.0  # whichever of the two sizes allows more counts
    centroid_mm: Annotated[float, Field(ge=0)] = 10.0
    type_probability: Annotated[float, Field(ge=0, le=1)] = 0.15  # the classifier's least for the type asked
    outside_grey_levels: Annotated[int, Field(ge=0)] = 0
    redraws: Annotated[int, Field(ge=0, le=20)] = 2


class Visit(Record):
    """Which visit of which series of one patient a case is."""

    series: str  # `MS-` and 12 hex digits of the plan's hash
    number: Annotated[int, Field(ge=1)]  # from 1, in order of time
    of: Annotated[int, Field(ge=1)]
    day: Annotated[int, Field(ge=0)]  # since day 0 of the law of growth
    date: str  # ISO 8601; made up, as the patient is
    plan: str  # JSON of the series' plan (synthesis.series.Plan), from which every visit is made again


class Acquisition(Record):
    """How a picture was taken worse than it was made; every part is off by default. Applied by `imaging.acquisition`.

    Attributes:
        seed: draws the noise and the bias field.
        noise: standard deviation of the two channels of complex noise (the magnitude is Rician), share of the range.
        blur_mm: standard deviation of a Gaussian point spread.
        bias: largest departure from 1 of a smooth factor over the middle of the picture, as of a receive coil.
        gain: factor of all intensities; what passes white is cut off.
        pixel_factor: pixels so many times as large, then interpolated back.
        degrees: rotation in the plane, counter-clockwise on the screen; the outline turns with it.
        ghosting: strength of two ghosts along the rows' direction (phase encoding), share of the picture's own intensity.
        jpeg_quality: of a JPEG that it went through, 1 to 95; None: through none.
    """

    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    noise: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    blur_mm: Annotated[float, Field(ge=0, le=10)] = 0.0
    bias: Annotated[float, Field(ge=0, le=0.9)] = 0.0
    gain: Annotated[float, Field(ge=0.1, le=4)] = 1.0
    pixel_factor: Annotated[float, Field(ge=1, le=8)] = 1.0
    degrees: Annotated[float, Field(ge=-90, le=90)] = 0.0
    ghosting: Annotated[float, Field(ge=0, le=1)] = 0.0
    jpeg_quality: Annotated[int, Field(ge=1, le=95)] | None = None


class Request(Record):
    """Everything that decides the pixels of one case. Same request, same pack, same precision: same pixels."""

    task: Task = Task.GENERATE
    pack: str = "brain-t1gd"
    pack_sha256: str | None = None  # filled in when the request meets the pack
    sentence: str = ""  # as the person typed it
    text_encoder: str = SHIPPED_TEXT_ENCODER  # which said it; a fitted one is named with a hash of its weights
    findings: Findings = Findings()
    mask: MaskSpec | None = None
    clinical: Clinical = Clinical()
    background_sha256: str | None = None  # of the background picture's pixels; None: the model makes all
    edit_margin_mm: Annotated[float, Field(ge=0, le=60)] = 8.0
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    steps: Annotated[int, Field(ge=1, le=200)] = 16
    guidance: Annotated[float, Field(ge=0, le=20)] = 2.0
    precision: str = "int8"
    tolerance: Tolerance = Tolerance()
    visit: Visit | None = None  # where the case is one of a series
    acquisition: Acquisition | None = None  # where the picture was made worse after it was made

    @model_serializer(mode="wrap")
    def _without_what_is_not_there(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Requests of single cases read, and are named, as they were before there were series and acquisitions."""
        told: dict[str, Any] = handler(self)
        for later in ("visit", "acquisition"):
            if getattr(self, later) is None:
                told.pop(later, None)
        return told

    @field_validator("precision")
    @classmethod
    def _known_precision(cls, value: str) -> str:
        if value not in ("int8", "bf16", "fp32"):
            raise ValueError(f"precision {value!r} is not one of int8, bf16, fp32")
        return value

    @model_validator(mode="after")
    def _background_fits_task(self) -> Request:
        if self.task is not Task.GENERATE and self.background_sha256 is None:
            raise ValueError(f"task {self.task.value} needs a background picture")
        if self.acquisition is not None and (self.background_sha256 is not None or self.visit is not None):
            raise ValueError("an acquisition belongs to a case from nothing: a given slice or a visit has its own")
        return self

    @property
    def on_given_slice(self) -> bool:
        """Whether the picture shows a slice that a person gave; what a visit stands on was made, as its plan says."""
        return self.background_sha256 is not None and self.visit is None

    def case_id(self) -> str:
        """Short name of the case this request makes: `MD-` and 12 hex digits of the request's hash."""
        return "MD-" + self.digest()[:12]


class Measurement(Record):
    """One row of the table asked / measured. `ok` None: measured for information, not judged."""

    name: str  # "diameter", "Dice to outline", "type", ...
    asked: str
    measured: str
    unit: str = ""
    ok: bool | None = None
    value: float | None = None  # the measured number, where it is one


class Provenance(Record):
    """Where a picture comes from; stands in every file that leaves."""

    case_id: str
    notice: str = SYNTHETIC_NOTICE
    role: str = "case"  # "case" or "twin" (same anatomy, no lesion)
    request: Request
    software: str = f"MedDiff {__version__}"
    pack: str
    pack_sha256: str
    pixel_sha256: str  # of the pixels before stamp and mark
    mark_version: int | None = None  # of the invisible mark; None: the picture is too small, empty or noisy to carry it
    sealed_sha256: str = (
        ""  # of the pixels in this file, stamp and mark in them: `verify` compares; filled in by the seal
    )
    parent_sha256: str | None = None  # background given
    status: Status = Status.ACCEPTED
    reason: str = ""
    checks: tuple[Measurement, ...] = ()  # asked and measured, passed, failed or not judged
    licence: str = "CC BY 4.0"
    created: str = ""  # ISO 8601, UTC; not part of what decides the pixels


class Case(Record):
    """One finished case as the bank keeps it: asked and measured side by side, pixels named by their hash."""

    id: str
    request: Request
    measurements: tuple[Measurement, ...] = ()
    status: Status = Status.ACCEPTED
    reason: str = ""  # why rejected, in words
    attempts: int = 1  # seeds tried
    spacing_mm: tuple[float, float] = (0.98, 0.98)  # row, column
    created: str = ""


def pixel_sha256(pixels: np.ndarray) -> str:
    """SHA-256 of an array's dtype, shape and C-ordered bytes, 64 hex digits."""
    pixels = np.ascontiguousarray(pixels)
    digest = hashlib.sha256(f"{pixels.dtype.str}{pixels.shape}".encode())
    digest.update(pixels.tobytes())
    return digest.hexdigest()
