"""Asked and measured as DICOM SR: a measurement report (TID 1500) of a case, which refers to its picture and outline."""

from __future__ import annotations

import hashlib
import math
from contextlib import suppress
from pathlib import Path

import numpy as np
from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.sr import (
    AlgorithmIdentification,
    CodeContentItem,
    CodedConcept,
    Comprehensive3DSR,
    ContainerContentItem,
    ContentSequence,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    ReferencedSegmentationFrame,
    RelationshipTypeValues,
    SourceImageForMeasurementGroup,
    SourceImageForSegmentation,
    TextContentItem,
    TrackingIdentifier,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from meddiff import case as records
from meddiff.case import MedDiffError, Provenance
from meddiff.exchange.dicom import MAKER, derived_uid, identity, mark, named_uid, parameters, save, to_dataset
from meddiff.exchange.seg import ANATOMY, shows_lesion, to_seg
from meddiff.marking.seal import SealedCase, require_sealed

SCHEME = "99MEDDIFF"  # of words that no public code says; 99 marks a private scheme (PS3.3 8.2)
NAMES: dict[str, Code] = {"longest diameter": codes.SCT.LongAxis}  # rows of the table asked / measured by public codes
WORDS: dict[str, Code] = {
    "left": codes.SCT.Left,
    "right": codes.SCT.Right,
    "midline": codes.SCT.Midline,
    "frontal": codes.SCT.FrontalLobe,
    "parietal": codes.SCT.ParietalLobe,
    "temporal": codes.SCT.TemporalLobe,
    "occipital": codes.SCT.OccipitalLobe,
    "sellar": codes.SCT.SellaTurcica,
}
UNITS: dict[str, Code] = {
    "": codes.UCUM.NoUnits,
    "mm": codes.UCUM.Millimeter,
    "mm2": codes.UCUM.SquareMillimeter,
    "%": codes.UCUM.Percent,
    "grey levels": Code("{greylevel}", "UCUM", "grey levels"),
}
PROCEDURES: dict[str, Code] = {  # PS3.16 CID 100
    "MR": codes.cid100.MRIUnspecifiedBodyRegion,
    "CT": codes.cid100.CTUnspecifiedBodyRegion,
    "CR": codes.cid100.XRUnspecifiedBodyRegion,
}
VERDICTS = {True: "as asked", False: "missed", None: "not judged"}


def to_sr(case: SealedCase) -> Comprehensive3DSR:
    """The measurements of a case as Comprehensive 3D SR, TID 1500: PS3.16 A, PS3.3 A.35.13.

    Two measurement groups tell of one lesion, by one Tracking Unique Identifier: "asked" (TID 1410) is what the request
    says of the outline in the SEG that `to_seg` makes of the same case; "measured" (TID 1501) is what the independent check
    found in the picture. Each measured item carries what was asked, the measurement in words and the verdict. A case
    without a lesion has the second group only.

    Raises:
        MedDiffError: not sealed, or parts of different cases.
    """
    picture = require_sealed(getattr(case, "image", None))
    record = picture.provenance
    if case.case.id != record.case_id:
        raise MedDiffError(
            f"The record is of {case.case.id} and the picture of {record.case_id}: give those of one case."
        )
    image = to_dataset(picture)
    outline = to_seg(picture, case.mask) if case.mask.any() else None
    groups = [_asked(case, image, outline)] if outline else []
    report = MeasurementReport(
        observation_context=_observer(record),
        procedure_reported=PROCEDURES.get(record.request.findings.modality, codes.SCT.ImagingProcedure),
        imaging_measurements=[*groups, _measured(case, image)],
        title=codes.DCM.ImagingMeasurementReport,
        # The image library of a projection needs its orientation in the patient, which is not known.
        referenced_images=[image] if "ImagePositionPatient" in image else None,
    )
    report[0].ContentSequence.append(_verdict(case))
    evidence = [image, outline] if outline else [image]
    document = Comprehensive3DSR(
        evidence=evidence,
        content=report,
        series_instance_uid=derived_uid(record, "series", "report"),
        series_number=1,  # mark() knows it
        sop_instance_uid=derived_uid(
            record, "report", *(str(item.SOPInstanceUID) for item in evidence), case.case.digest()
        ),
        instance_number=1,
        manufacturer=MAKER,
        is_complete=True,
        coding_schemes=[
            CodingSchemeIdentificationItem(SCHEME, name="MedDiff's own words", responsible_organization=MAKER)
        ],
    )
    mark(document, record, "report")
    return document


def write_sr(case: SealedCase, path: str | Path) -> Path:
    """Writes the measurements of a case as a DICOM SR file that refers to the files of `write_dicom` and `write_seg`.

    Raises:
        MedDiffError: as `to_sr`, or the file cannot be written; nothing half-written remains.
    """
    return save(to_sr(case), path)


def coded(words: str) -> CodedConcept:
    """A code for words: a public one where there is one, else a private one that is the same for the same words."""
    if known := {**WORDS, **NAMES}.get(words):
        return CodedConcept.from_code(known)
    return CodedConcept("MD" + hashlib.sha256(words.encode()).hexdigest()[:12], SCHEME, words[:64])


# ---------------------------------------------------------------- the parts of the report


def _observer(record: Provenance) -> ObservationContext:
    """TID 1002: a device observed, nobody else did."""
    device = DeviceObserverIdentifyingAttributes(
        uid=named_uid("device", record.pack_sha256),
        name=MAKER,
        manufacturer_name=MAKER,
        model_name=record.pack,
        serial_number=record.pack_sha256,
    )
    return ObservationContext(
        observer_device_context=ObserverContext(observer_type=codes.DCM.Device, observer_identifying_attributes=device)
    )


def _asked(case: SealedCase, image: Dataset, outline: Dataset) -> PlanarROIMeasurementsAndQualitativeEvaluations:
    """TID 1410: the outline, its area, and what the request says of the lesion."""
    record, finding = case.image.provenance, case.case.request.findings.finding
    row_mm, column_mm = case.image.spacing_mm
    area = Measurement(
        name=codes.SCT.Area, value=float(np.count_nonzero(case.mask)) * row_mm * column_mm, unit=UNITS["mm2"]
    )
    measurements = [area]
    if (diameter := _asked_diameter_mm(case)) is not None:
        measurements.append(Measurement(name=codes.SCT.LongAxis, value=diameter, unit=UNITS["mm"]))
    told = {name: getattr(finding, name).value for name in ("enhancement", "margin", "conspicuity")} if finding else {}
    if finding and finding.pathology:
        told["pathology"] = finding.pathology.replace("_", " ")
    return PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(record),
        session="asked",
        referenced_segment=_frame_of(outline, image),
        finding_type=codes.SCT.Lesion if shows_lesion(record) else codes.DCM.SelectedRegion,
        finding_sites=_site(record, finding.region.value, finding.side.value) if finding else None,
        algorithm_id=_algorithm(record, f"{MAKER} {record.pack}"),
        measurements=measurements,
        qualitative_evaluations=[
            QualitativeEvaluation(coded(name), coded(word)) for name, word in told.items() if word != "unknown"
        ],
    )


def _frame_of(outline: Dataset, image: Dataset) -> ReferencedSegmentationFrame:
    """The outline's one frame, and the picture that it lies on."""
    frame = ReferencedSegmentationFrame(
        sop_class_uid=outline.SOPClassUID,
        sop_instance_uid=outline.SOPInstanceUID,
        frame_number=1,
        segment_number=1,
        source_image=SourceImageForSegmentation.from_source_image(image),
    )
    # Only where there is no frame number (PS3.3 Table 10-3): a frame is of one segment. highdicom writes both.
    del frame[0].ReferencedSOPSequence[0].ReferencedSegmentNumber
    return frame


def _measured(case: SealedCase, image: Dataset) -> MeasurementsAndQualitativeEvaluations:
    """TID 1501: every row of the table asked / measured; numbers as NUM, words as CODE."""
    record, rows = case.image.provenance, case.case.measurements
    seen = {row.name: row.measured for row in rows}
    numbers, words = [], []
    for row in rows:
        if row.value is None or not math.isfinite(row.value):
            words.append(QualitativeEvaluation(coded(row.name), coded(row.measured or "not measured")))
            item = words[-1][0]
        else:
            unit = UNITS.get(row.unit) or Code(f"{{{row.unit.replace(' ', '')[:14]}}}", "UCUM", row.unit)
            numbers.append(Measurement(name=coded(row.name), value=row.value, unit=unit))
            item = numbers[-1][0]
        item.ContentSequence = ContentSequence([*item.get("ContentSequence", []), *_properties(row)])
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(record)
        if case.mask.any()
        else TrackingIdentifier(uid=derived_uid(record, "slice"), identifier=f"{record.case_id} slice"),
        session="measured",
        source_images=[SourceImageForMeasurementGroup.from_source_image(image)],
        finding_sites=_site(record, seen.get("region", ""), seen.get("side", "")),
        algorithm_id=_algorithm(record, f"{MAKER} check, with the finder of {record.pack}"),
        measurements=numbers,
        qualitative_evaluations=words,
    )


def _properties(row: records.Measurement) -> list[TextContentItem | CodeContentItem]:
    """What was asked, the measurement in words, and whether the two agree."""
    relation = RelationshipTypeValues.HAS_PROPERTIES
    words = {"asked": row.asked, "measured": row.measured}
    told = [TextContentItem(coded(name), value, relation) for name, value in words.items() if value]
    return [*told, CodeContentItem(coded("verdict"), coded(VERDICTS[row.ok]), relation)]


def _verdict(case: SealedCase) -> ContainerContentItem:
    """Qualitative Evaluations of TID 1500: what holds of the whole case, and that it is synthetic."""
    contains = RelationshipTypeValues.CONTAINS
    container = ContainerContentItem(Code("C0034375", "UMLS", "Qualitative Evaluations"), relationship_type=contains)
    container.ContentSequence = ContentSequence(
        [
            TextContentItem(codes.DCM.Comment, case.image.provenance.notice, contains),
            CodeContentItem(coded("status of the case"), coded(case.case.status.value), contains),
        ]
    )
    if case.case.reason:
        container.ContentSequence.append(TextContentItem(coded("reason"), case.case.reason, contains))
    return container


def _tracking(record: Provenance) -> TrackingIdentifier:
    who = identity(record)
    return TrackingIdentifier(uid=who.lesion_uid, identifier=who.lesion_id)


def _algorithm(record: Provenance, name: str) -> AlgorithmIdentification:
    """TID 4019."""
    return AlgorithmIdentification(
        name=name,
        version=record.software,
        manufacturer=MAKER,
        family=codes.DCM.ArtificialIntelligence,
        parameters=[f"{key}={value}" for key, value in parameters(record).items()],
    )


def _site(record: Provenance, region: str, side: str) -> list[FindingSite] | None:
    """Where in the patient, as far as public codes tell: a lobe, else the organ; left or right (CID 244)."""
    place = WORDS.get(region) or ANATOMY.get(record.request.findings.anatomy)
    return [FindingSite(place, laterality=WORDS[side] if side in ("left", "right") else None)] if place else None


def _asked_diameter_mm(case: SealedCase) -> float | None:
    """The outline's longest diameter as the check took it, else the size that the request names."""
    for row in case.case.measurements:
        if row.name == "longest diameter":
            with suppress(ValueError):
                return float(row.asked)
    finding = case.case.request.findings.finding
    return finding.size_mm if finding else None
