"""What the tests of teaching share: a case as the studio records it, with the table that its check would write."""

from __future__ import annotations

import numpy as np

from meddiff.case import (
    Case,
    Clinical,
    Enhancement,
    Finding,
    Findings,
    Margin,
    MaskSpec,
    Measurement,
    Plane,
    Region,
    Request,
    Side,
    Status,
    Task,
)
from meddiff.conditions.measure import longest_diameter_mm
from meddiff.conditions.vocabulary import load_pathologies

SPACING_MM = (0.98, 0.98)


def disc(radius: float, centre: tuple[int, int] = (90, 160), shape: tuple[int, int] = (256, 256)) -> np.ndarray:
    """A round outline, bool [H, W]; radius in pixels."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return np.hypot(rows - centre[0], columns - centre[1]) <= radius


def made_case(
    pathology: str | None = "glioma",
    plane: Plane = Plane.AXIAL,
    radius: float = 15,
    seed: int = 0,
    measured: dict[str, str] | None = None,
    cnr: float = 2.0,
    left_in_twin: float = 0.0,
    finder_off_mm: float = 0.0,
    task: Task = Task.GENERATE,
    status: Status = Status.ACCEPTED,
    clinical: Clinical | None = None,
) -> Case:
    """A case at its pathology's most usual place and look; `pathology` None: a slice without a lesion.

    Args:
        measured: side, region, enhancement or margin, where something else was measured than asked.
        finder_off_mm: how much larger than the outline the finder saw it.
    """
    background = None if task is Task.GENERATE else "b" * 64
    if pathology is None:
        rows = (Measurement(name="lesion seen by the finder", asked="nothing", measured="nothing", value=0.0),)
        request = Request(
            task=task, findings=Findings(plane=plane), sentence="normal", seed=seed, background_sha256=background
        )
        return Case(id=request.case_id(), request=request, measurements=rows, spacing_mm=SPACING_MM, status=status)
    known = load_pathologies()[pathology]
    region = max(known.regions, key=lambda one: known.regions[one])
    finding = Finding(
        pathology=pathology,
        side=Side.UNKNOWN if plane is Plane.SAGITTAL else Side.MIDLINE if region is Region.SELLAR else known.sides[0],
        region=region,
        enhancement=max(known.enhancement, key=lambda one: known.enhancement[one]),
        margin=max(known.margin, key=lambda one: known.margin[one]),
        size_mm=2 * radius,
    )
    mask = disc(radius)
    request = Request(
        task=task,
        findings=Findings(plane=plane, finding=None if task is Task.REMOVE else finding),
        mask=MaskSpec.from_array(mask),
        clinical=clinical or Clinical(),
        seed=seed,
        background_sha256=background,
    )
    size = longest_diameter_mm(mask, SPACING_MM)
    return Case(
        id=request.case_id(),
        request=request,
        measurements=(*_looks(finding, measured or {}), *_numbers(size, size + finder_off_mm, cnr, left_in_twin)),
        status=status,
        spacing_mm=SPACING_MM,
    )


def _looks(finding: Finding, measured: dict[str, str]) -> tuple[Measurement, ...]:
    """As `synthesis.check` names them; no row for what was not asked, but for the enhancement."""
    rows = []
    for name, value in (
        ("side", finding.side),
        ("region", finding.region),
        ("margin", finding.margin),
        ("enhancement", finding.enhancement),
    ):
        if value not in (Side.UNKNOWN, Margin.UNKNOWN, Enhancement.UNKNOWN) or name == "enhancement":
            row = "enhancement in the outline" if name == "enhancement" else name
            rows.append(Measurement(name=row, asked=value.value, measured=measured.get(name, value.value)))
    return tuple(rows)


def _numbers(size: float, seen: float, cnr: float, left: float) -> tuple[Measurement, ...]:
    return (
        Measurement(
            name="longest diameter", asked=f"{size:.0f}", measured=f"{seen:.0f}", ok=True, value=seen, unit="mm"
        ),
        Measurement(name="lesion left in the twin", asked="nothing", measured=f"{left:.0%}", ok=True, value=left),
        Measurement(name="conspicuity", asked="unknown", measured=f"moderate ({cnr:.1f})", value=cnr),
    )
