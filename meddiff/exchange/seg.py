"""The lesion's outline as DICOM SEG: an answer key that lies on its picture in any viewer and says that it is synthetic."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from highdicom import AlgorithmIdentificationSequence
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentationTypeValues, SegmentDescription
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from meddiff.case import MedDiffError, Provenance, Task
from meddiff.exchange.dicom import MAKER, derived_uid, identity, instance_uid, mark, parameters, save, to_dataset
from meddiff.marking.seal import SealedImage, require_sealed

# SNOMED CT codes of what a pack may show; PS3.16 CID 4 (Anatomic Region).
ANATOMY: dict[str, Code] = {"brain": codes.SCT.Brain}


def to_seg(sealed: SealedImage, mask: np.ndarray) -> Segmentation:
    """An outline [H, W] (nonzero = lesion) as a DICOM SEG on the dataset of its picture: PS3.3 A.51, C.8.20.

    One binary segment in one frame, with the picture's size, rows appended for the stamp included, its place in the patient
    where it has one, and its study. The outline is what was *asked*, not what anybody found.

    Raises:
        MedDiffError: not sealed, an outline of another size than its picture, or an empty one.
    """
    sealed = require_sealed(sealed)
    record, fitted = sealed.provenance, sealed.fit(mask)
    if not fitted.any():
        raise MedDiffError(f"The outline of {record.case_id} is empty: there is no lesion to write as DICOM SEG.")
    series = f"{record.role} outline"
    picture = to_dataset(sealed)
    outline = Segmentation(
        source_images=[picture],
        pixel_array=fitted,
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=[_segment(record)],
        series_instance_uid=derived_uid(record, "series", series),
        series_number=1,  # mark() knows it
        sop_instance_uid=derived_uid(record, "outline", instance_uid(sealed), np.packbits(fitted).tobytes().hex()),
        instance_number=1,
        manufacturer=MAKER,
        manufacturer_model_name=record.pack,
        software_versions=record.software,
        device_serial_number=record.pack_sha256,
        content_label="OUTLINE",
        content_description="Outline that was asked; synthetic, not for diagnosis",
        content_creator_name=f"{MAKER}^",
    )
    if "ImagePositionPatient" not in picture:  # then the orientation is asked for, known or not: PS3.3 C.7.6.1
        outline.PatientOrientation = ""
    # highdicom draws this one by chance; a second export shall be the same file.
    for item in (*outline.DimensionOrganizationSequence, *outline.DimensionIndexSequence):
        item.DimensionOrganizationUID = derived_uid(record, "dimensions", outline.SOPInstanceUID)
    mark(outline, record, series)
    return outline


def write_seg(mask: np.ndarray, path: str | Path, like: SealedImage) -> Path:
    """Writes an outline [H, W] as a DICOM SEG file that refers to the file `write_dicom` writes of its picture.

    Raises:
        MedDiffError: as `to_seg`, or the file cannot be written; nothing half-written remains.
    """
    return save(to_seg(like, mask), path)


def shows_lesion(record: Provenance) -> bool:
    """Whether the outlined lesion is in this picture: the twin of a removed one has it, the twin of any other has none."""
    return (record.request.task is Task.REMOVE) == (record.role == "twin")


def _segment(record: Provenance) -> SegmentDescription:
    """Segment Description Macro (PS3.3 C.8.20.4).

    SEMIAUTOMATIC, because a person asked for the lesion, in words or with a drawn line, and MedDiff laid it on the picture.
    """
    who, findings = identity(record), record.request.findings
    name = findings.finding.pathology.replace("_", " ") if findings.finding and findings.finding.pathology else "lesion"
    here = shows_lesion(record)
    anatomy = ANATOMY.get(findings.anatomy)
    return SegmentDescription(
        segment_number=1,
        segment_label=f"synthetic {name}"[:64] if here else "no lesion: where the other picture has it",
        # CID 7150 and 7151; a region without its lesion is no abnormal structure.
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure
        if here
        else codes.SCT.SpatialAndRelationalConcept,
        segmented_property_type=codes.SCT.Lesion if here else codes.DCM.SelectedRegion,
        algorithm_type=SegmentAlgorithmTypeValues.SEMIAUTOMATIC,
        algorithm_identification=AlgorithmIdentificationSequence(
            name=f"{MAKER} {record.pack}",
            family=codes.DCM.ArtificialIntelligence,
            version=record.software,
            source=MAKER,
            parameters=parameters(record),
        ),
        tracking_id=who.lesion_id,
        tracking_uid=who.lesion_uid,
        anatomic_regions=[anatomy] if anatomy else None,
    )
