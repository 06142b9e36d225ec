"""What the tests of series share: sealed visits of one made-up patient, and the report that belongs to them."""

import numpy as np

from meddiff.case import (
    Case,
    Clinical,
    Finding,
    Findings,
    MaskSpec,
    Provenance,
    Request,
    Status,
    Task,
    Visit,
    pixel_sha256,
)
from meddiff.conditions.growth import Stable
from meddiff.conditions.response import Measured, Rule, respond
from meddiff.marking import SealedCase, seal
from meddiff.synthesis.series import Plan, SeriesReport, VisitReport
from tests.conftest import make_phantom
from tests.exchange.dicom_support import ROWS, SPACING_MM, flag

DAYS = (0, 60, 120, 180)
SERIES = "MS-0123456789ab"


def visit_of(number: int, days: tuple[int, ...] = DAYS, age: float | None = 61, acquisition: float = 0.0) -> SealedCase:
    """A sealed visit: the phantom's head, on it the flag, thicker at each visit."""
    plan = Plan(request=Request(), days=days, law=Stable(), first_date="2030-11-30", acquisition=acquisition)
    day = days[number - 1]
    mask = flag()
    for _ in range(number - 1):
        mask = mask | np.roll(mask, 1, 0) | np.roll(mask, 1, 1)
    request = Request(
        task=Task.INSERT,
        background_sha256="b" * 64,
        sentence="Axial T1 post-contrast, glioma",
        findings=Findings(plane="axial", finding=Finding(pathology="glioma")),
        mask=MaskSpec.from_array(mask),
        clinical=Clinical(age_years=age),
        visit=Visit(
            series=SERIES, number=number, of=len(days), day=day, date=plan.date_of(day), plan=plan.canonical_json()
        ),
    )
    healthy = (np.minimum(make_phantom(), 0.5) * 250).astype(np.uint8)

    def sealed(pixels, role, beside=None):
        record = Provenance(
            case_id=request.case_id(), role=role, request=request, pack="brain-t1gd", pack_sha256="a" * 64, checks=ROWS,
            pixel_sha256=pixel_sha256(pixels), created=f"2026-11-24T01:02:0{number}+00:00",
        )  # fmt: skip
        return seal(pixels, record, SPACING_MM, mask, beside=beside)

    image = sealed(np.where(mask, np.uint8(250), healthy), "case")
    record = Case(
        id=request.case_id(),
        request=request,
        measurements=ROWS,
        spacing_mm=SPACING_MM,
        created=image.provenance.created,
    )
    return SealedCase(record, image, sealed(healthy, "twin", image), mask)


def report_of(
    areas: tuple[float, ...], ids: tuple[str, ...] = (), days: tuple[int, ...] = DAYS, missed: tuple[int, ...] = ()
) -> SeriesReport:
    """A report of visits with these areas in mm2, each a disc.

    Args:
        missed: numbers of the visits that missed their area.
    """
    plan = Plan(request=Request(), days=days, law=Stable())
    diameters = [2 * (area / np.pi) ** 0.5 for area in areas]
    measured = [Measured(d, d) for d in diameters]
    rano, recist = respond(Rule.RANO, measured), respond(Rule.RECIST, measured)
    visits = tuple(
        VisitReport(
            number=i + 1, day=days[i], date=plan.date_of(days[i]), case_id=ids[i] if ids else f"MD-{i:012x}",
            asked_mm2=area, drawn_mm2=area, measured_mm2=area, finder_mm2=None, longest_mm=diameters[i],
            perpendicular_mm=diameters[i], same_outside=None, identity=None, rano=rano[i], recist=recist[i], attempts=1,
            status=Status.REJECTED if i + 1 in missed else Status.ACCEPTED,
        )
        for i, area in enumerate(areas)
    )  # fmt: skip
    return SeriesReport(series=SERIES, plan=plan, visits=visits, checks=(), status=Status.ACCEPTED)


def series_of(count: int = 4) -> tuple[list[SealedCase], SeriesReport]:
    """Sealed visits and their report."""
    visits = [visit_of(number, DAYS[:count]) for number in range(1, count + 1)]
    areas = tuple(float(visit.mask.sum()) for visit in visits)
    return visits, report_of(areas, tuple(visit.case.id for visit in visits), DAYS[:count])
