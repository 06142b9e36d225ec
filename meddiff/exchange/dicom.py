"""DICOM out: an image of its modality's own kind, marked as synthetic wherever the standard has a place for it.

What a picture, its outline (`seg`) and its report (`sr`) have in common stands here too: whose they are, and their marks.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.errors import InvalidDicomError
from pydicom.sequence import Sequence
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    CTImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    SecondaryCaptureImageStorage,
)

from meddiff.case import MedDiffError, Provenance, Task, Visit, pixel_sha256
from meddiff.exchange.atomic import write_atomic
from meddiff.exchange.nifti import SLICE_MM, axes
from meddiff.marking.provenance import add_private_block, read_private_block
from meddiff.marking.seal import SealedImage, require_sealed

MAKER = "MedDiff"
VISIT_CLOCK = "120000"  # visits have a date, and no time of day
DAYS_A_YEAR = 365.25
SERIES = {"case": 1, "twin": 2, "case outline": 3, "twin outline": 4, "report": 5}  # (0020,0011) of each series


@dataclass(frozen=True)
class Identity:
    """Whose an instance is. Everything that makes instances belong together is decided here, and nowhere else.

    Attributes:
        patient_id, patient_name: (0010,0020), (0010,0010); both say synthetic.
        study_uid, frame_uid: (0020,000D), (0020,0052); picture, twin, outline and report of a case share them.
        lesion_id, lesion_uid: (0062,0020), (0062,0021): names the lesion in outline and report.
        day, clock: DA and TM of the study: of making, or of the visit.
        made_day, made_clock: DA and TM of the moment of making, UTC.
        age_years: at the study; None where it is not told.
    """

    patient_id: str
    patient_name: str
    study_uid: str
    frame_uid: str
    lesion_id: str
    lesion_uid: str
    day: str
    clock: str
    made_day: str
    made_clock: str
    age_years: float | None


def identity(record: Provenance) -> Identity:
    """Whose the files of a case are; visits of a series are studies of one patient, with one lesion."""
    day, clock = record.created[:10].replace("-", ""), record.created[11:19].replace(":", "")
    age = record.request.clinical.age_years
    alone = Identity(
        patient_id=f"SYNTHETIC-{record.case_id}",
        patient_name=f"SYNTHETIC^{record.case_id}",
        study_uid=derived_uid(record, "study"),
        frame_uid=derived_uid(record, "frame"),
        lesion_id=f"{record.case_id} lesion",
        lesion_uid=derived_uid(record, "lesion"),
        day=day,
        clock=clock,
        made_day=day,
        made_clock=clock,
        age_years=age,
    )
    if (visit := record.request.visit) is None:
        return alone
    return replace(
        alone,
        patient_id=f"SYNTHETIC-{visit.series}",
        patient_name=f"SYNTHETIC^{visit.series}",
        frame_uid=named_uid("frame", visit.series) if _one_frame(visit) else alone.frame_uid,
        lesion_id=f"{visit.series} lesion",
        lesion_uid=named_uid("lesion", visit.series),
        day=visit.date.replace("-", ""),
        clock=VISIT_CLOCK,
        age_years=None if age is None else age + visit.day / DAYS_A_YEAR,
    )


def _one_frame(visit: Visit) -> bool:
    """Whether the visits lie on one another, pixel on pixel: each acquisition of its own turns the head a little."""
    try:
        return not json.loads(visit.plan).get("acquisition")
    except (ValueError, AttributeError):
        return False


def named_uid(*what: str) -> str:
    """A UID, always the same for the same words: 2.25 and a UUID named by what it stands for (PS3.5 B.2)."""
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, '|'.join(what)).int}"


def derived_uid(record: Provenance, *what: str) -> str:
    """The UID of something of this case."""
    return named_uid(*what, record.case_id, record.created)


def instance_uid(sealed: SealedImage) -> str:
    """The SOP Instance UID of a sealed image: other pixels or another record make another instance."""
    content = (pixel_sha256(sealed.pixels), sealed.provenance.digest(), repr(sealed.spacing_mm))
    return derived_uid(sealed.provenance, "instance", *content)


def to_dataset(sealed: SealedImage) -> Dataset:
    """The DICOM dataset of a sealed image; UIDs are derived from the case, so that a second export is the same instance.

    MR, CT and CR become images of these kinds, whatever else Secondary Capture. Pixels are stored as they are, in Explicit
    VR Little Endian (PS3.5 A.2): lossless, and read everywhere without a codec.

    Raises:
        MedDiffError: not sealed.
    """
    sealed = require_sealed(sealed)
    record = sealed.provenance
    sop_class, modality, add_modules = _KINDS.get(record.request.findings.modality, _OTHER_KIND)
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.SOPClassUID = sop_class
    ds.SOPInstanceUID = instance_uid(sealed)
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.Modality = modality
    ds.ImageType = ["DERIVED", "SECONDARY"]
    _add_patient_and_study(ds, record)
    _add_pixels(ds, sealed)
    add_modules(ds, sealed)
    mark(ds, record, record.role)
    if record.request.visit:  # PS3.3 C.7.6.1; where no date is told, no acquisition is claimed
        ds.AcquisitionDate, ds.AcquisitionTime = ds.StudyDate, ds.StudyTime
    # How the picture was made: PS3.3 C.12.4 (General Reference), and the Algorithm Identification Macro (10.16). No
    # module of these IODs invokes that macro. Derivation Algorithm Sequence (0022,1612), which other derived objects have
    # it in, is added as Type 3: that makes a Standard Extended SOP Class, as PS3.2 allows.
    ds.DerivationDescription = f"{how_made(record)}; not for diagnosis"
    ds.DerivationAlgorithmSequence = Sequence([_algorithm(record)])
    ds.ImageComments = record.notice
    ds.BurnedInAnnotation = "YES"  # the stamp
    return ds


def write_dicom(sealed: SealedImage, path: str | Path) -> Path:
    """Writes a sealed image as a DICOM file.

    Raises:
        MedDiffError: not sealed, or the file cannot be written; nothing half-written remains.
    """
    return save(to_dataset(sealed), path)


def save(dataset: Dataset, path: str | Path) -> Path:
    """Writes a dataset as a DICOM file (PS3.10), whole or not at all.

    Raises:
        MedDiffError: the file cannot be written; nothing half-written remains.
    """
    return write_atomic(path, lambda temporary: dataset.save_as(temporary, enforce_file_format=True))


def read_dicom_record(path: str | Path) -> Provenance:
    """Provenance of a DICOM file that MedDiff wrote: an image, an outline (SEG) or a report (SR).

    Raises:
        MedDiffError: not a DICOM file of ours, or its record is damaged.
    """
    try:
        dataset = dcmread(path, stop_before_pixels=True)
    except (OSError, InvalidDicomError) as error:
        raise MedDiffError(f"{path} cannot be read as DICOM: it is missing, damaged or something else.") from error
    return read_private_block(dataset, str(path))


def mark(ds: Dataset, record: Provenance, series: str) -> None:
    """Says in a dataset that it is synthetic, by whom and when it was made, and puts the record into its private block.

    The last step of making one: highdicom fills some of these in with the time of day. PS3.3 C.12.1 (SOP Common),
    C.12.1.1.5 (Contributing Equipment), C.7.3.1 (General Series), C.7.5.1 (General Equipment).

    Args:
        series: a key of `SERIES`.
    """
    who = identity(record)
    ds.SyntheticData = "YES"  # (0008,001C)
    ds.ContentQualification = "RESEARCH"  # (0018,9004): not from a medical product
    ds.InstanceCreationDate, ds.InstanceCreationTime = who.made_day, who.made_clock
    ds.SeriesDate = ds.ContentDate = who.day
    ds.SeriesTime = ds.ContentTime = who.clock
    ds.TimezoneOffsetFromUTC = "+0000"
    ds.SeriesInstanceUID = derived_uid(record, "series", series)
    ds.SeriesNumber = SERIES[series]
    ds.SeriesDescription = f"SYNTHETIC {series} (MedDiff)"
    ds.InstanceNumber = 1
    equipment = Dataset()
    equipment.PurposeOfReferenceCodeSequence = Sequence([code_item(codes.DCM.SynthesizingEquipment)])
    equipment.ContributionDescription = record.notice
    for item in (ds, equipment):
        item.Manufacturer = MAKER
        item.ManufacturerModelName = record.pack
        item.DeviceSerialNumber = record.pack_sha256  # 64 hex digits, as long as LO may be
        item.SoftwareVersions = record.software
    ds.ContributingEquipmentSequence = Sequence([equipment])
    add_private_block(ds, record)


def how_made(record: Provenance) -> str:
    """What the model did to the picture, in words: part of an inserted or removed lesion's picture was acquired."""
    if record.request.visit:
        without = (
            "as it was at this visit, without its lesion"
            if record.role == "twin"
            else "and the lesion of this visit put into it"
        )
        return f"Synthetic: made by a diffusion model from no image, {without}"
    if record.request.task is Task.GENERATE:
        again = ", and its lesion taken out by it" if record.role == "twin" else ""
        return f"Synthetic: made by a diffusion model from no image{again}"
    if record.role == "twin":
        return "An acquired image, unchanged but for its marks: the control to a synthetic one"
    did = "put into" if record.request.task is Task.INSERT else "taken out of"
    return f"Synthetic: a lesion was {did} an acquired image by a diffusion model; outside its edit region only marks were added"


def parameters(record: Provenance) -> dict[str, str]:
    """What the model was run with, beside the request itself."""
    request = record.request
    return {
        "pack": f"{record.pack} {record.pack_sha256[:12]}",
        "seed": str(request.seed),
        "steps": str(request.steps),
        "guidance": f"{request.guidance:g}",
        "precision": request.precision,
    }


def code_item(code: Code) -> Dataset:
    """A code as the item of a sequence: PS3.3 8.8."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme_designator, code.meaning
    return item


# ---------------------------------------------------------------- what an image is made of


def _algorithm(record: Provenance) -> Dataset:
    """Algorithm Identification Macro: PS3.3 10.16."""
    item = Dataset()
    item.AlgorithmFamilyCodeSequence = Sequence([code_item(codes.DCM.ArtificialIntelligence)])
    item.AlgorithmName = f"{MAKER} {record.pack}"
    item.AlgorithmVersion = record.software
    item.AlgorithmParameters = ", ".join(f"{name}={value}" for name, value in parameters(record).items())
    item.AlgorithmSource = MAKER
    return item


def _add_patient_and_study(ds: Dataset, record: Provenance) -> None:
    """Patient, General Study, Patient Study: PS3.3 C.7.1.1, C.7.2.1, C.7.2.2."""
    who, clinical = identity(record), record.request.clinical
    ds.PatientName = who.patient_name
    ds.PatientID = who.patient_id
    ds.IssuerOfPatientID = MAKER
    ds.PatientBirthDate = ""
    ds.PatientSex = clinical.sex.value if clinical.sex.value in ("F", "M") else ""
    if who.age_years is not None:
        ds.PatientAge = f"{int(who.age_years):03d}Y"
    ds.PatientComments = record.notice
    ds.PatientIdentityRemoved = "YES"
    ds.DeidentificationMethod = "Synthetic: MedDiff neither reads nor writes an identity"
    ds.StudyInstanceUID = who.study_uid
    ds.StudyID = record.case_id[:16]
    ds.StudyDate, ds.StudyTime = who.day, who.clock
    visit = record.request.visit
    which = f"; visit {visit.number} of {visit.of}, day {visit.day}" if visit else ""
    ds.StudyDescription = f"SYNTHETIC - not for diagnosis{which}"
    ds.AccessionNumber = ""
    ds.ReferringPhysicianName = ""
    ds.BodyPartExamined = record.request.findings.anatomy.upper()[:16]


def _add_pixels(ds: Dataset, sealed: SealedImage) -> None:
    """Image Pixel and VOI LUT: PS3.3 C.7.6.3, C.11.2."""
    pixels = sealed.pixels
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = pixels.shape
    ds.BitsAllocated = 16  # MR and CT images allow no other (C.8.3.1, C.8.2.1)
    ds.BitsStored = pixels.dtype.itemsize * 8
    ds.HighBit = ds.BitsStored - 1
    ds.PixelRepresentation = 0
    high = max(int(pixels[sealed.outside_stamp].max()), 1)
    ds.WindowCenter, ds.WindowWidth = f"{(high + 1) / 2:g}", f"{high + 1:g}"  # 0 to high: C.11.2.1.2
    ds.PixelData = np.ascontiguousarray(pixels.astype("<u2")).tobytes()
    ds["PixelData"].VR = "OW"


def _add_plane(ds: Dataset, sealed: SealedImage) -> None:
    """Frame of Reference and Image Plane: PS3.3 C.7.4.1, C.7.6.2. DICOM is LPS+, our axes are RAS+."""
    across, down, _ = (axis * (-1.0, -1.0, 1.0) + 0.0 for axis in axes(sealed.provenance.request.findings.plane))
    row_mm, column_mm = sealed.spacing_mm
    # Rows appended for the stamp lie below the picture and do not move its centre.
    corner = -(across * column_mm * (sealed.pixels.shape[1] - 1) + down * row_mm * (sealed.height - 1)) / 2 + 0.0
    ds.FrameOfReferenceUID = identity(sealed.provenance).frame_uid
    ds.PositionReferenceIndicator = ""
    ds.PatientPosition = "HFS"
    ds.ImageOrientationPatient = [f"{v:g}" for v in (*across, *down)]
    ds.ImagePositionPatient = [f"{v:.4f}" for v in corner]
    ds.PixelSpacing = [f"{v:.6g}" for v in sealed.spacing_mm]
    ds.SliceThickness = ds.SpacingBetweenSlices = f"{SLICE_MM:g}"


def _add_mr(ds: Dataset, sealed: SealedImage) -> None:
    """MR Image: PS3.3 C.8.3.1. No sequence was run: RM is a research mode, times are unknown."""
    _add_plane(ds, sealed)
    ds.ImageType = ["DERIVED", "SECONDARY", "OTHER"]
    ds.ScanningSequence, ds.SequenceVariant, ds.ScanOptions = "RM", "NONE", ""
    ds.MRAcquisitionType = "2D"
    ds.EchoTime, ds.RepetitionTime, ds.EchoTrainLength = None, None, None


def _add_ct(ds: Dataset, sealed: SealedImage) -> None:
    """CT Image: PS3.3 C.8.2.1. The sealed grey levels are no Hounsfield units, and say so."""
    _add_plane(ds, sealed)
    ds.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]  # of AXIAL and LOCALIZER, whatever the plane
    ds.BitsStored = max(ds.BitsStored, 12)
    ds.HighBit = ds.BitsStored - 1
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "0", "1", "US"
    ds.KVP, ds.AcquisitionNumber = None, None


def _add_cr(ds: Dataset, sealed: SealedImage) -> None:
    """CR Series and CR Image: PS3.3 C.8.1.1, C.8.1.2. A projection has no plane in the patient."""
    ds.ViewPosition, ds.PatientOrientation = "", ""
    ds.ImagerPixelSpacing = [f"{v:.6g}" for v in sealed.spacing_mm]


def _add_secondary_capture(ds: Dataset, sealed: SealedImage) -> None:
    """SC Equipment and SC Image: PS3.3 C.8.6.1, C.8.6.2. SYN is a synthetic image."""
    ds.ConversionType = "SYN"
    ds.PatientOrientation = ""
    ds.NominalScannedPixelSpacing = [f"{v:.6g}" for v in sealed.spacing_mm]


# IOD and Modality (0008,0060) by what the record says; PET without its units and times, say, would be no valid PET.
_KINDS: dict[str, tuple[str, str, Callable[[Dataset, SealedImage], None]]] = {
    "MR": (MRImageStorage, "MR", _add_mr),
    "CT": (CTImageStorage, "CT", _add_ct),
    "CR": (ComputedRadiographyImageStorage, "CR", _add_cr),
}
_OTHER_KIND = (SecondaryCaptureImageStorage, "OT", _add_secondary_capture)
