"""DICOM out: MR Image Storage (or Secondary Capture), marked as synthetic wherever the standard has a place for it."""

from __future__ import annotations

import uuid
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.errors import InvalidDicomError
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

from meddiff.case import MedDiffError, Provenance
from meddiff.exchange.atomic import write_atomic
from meddiff.exchange.nifti import SLICE_MM, axes
from meddiff.marking.provenance import add_private_block, read_private_block
from meddiff.marking.seal import SealedImage, require_sealed

MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def to_dataset(sealed: SealedImage) -> Dataset:
    """The DICOM dataset of a sealed image; UIDs are derived from the case, so that a second export is the same instance."""
    sealed = require_sealed(sealed)
    record, pixels = sealed.provenance, sealed.pixels
    request = record.request
    is_mr = request.findings.modality == "MR"
    day, clock = record.created[:10].replace("-", ""), record.created[11:19].replace(":", "")

    def uid(*what: str) -> str:  # PS3.5 B.2: 2.25 and a UUID as a number, here one named by what it stands for
        return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, '|'.join((*what, record.case_id, record.created))).int}"

    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.SOPClassUID = MR_IMAGE if is_mr else SECONDARY_CAPTURE
    ds.SOPInstanceUID = uid("instance", record.role, record.pixel_sha256)
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SpecificCharacterSet = "ISO_IR 192"

    # Patient and study: PS3.3 C.7.1, C.7.2
    ds.PatientName = f"SYNTHETIC^{record.case_id}"
    ds.PatientID = record.case_id
    ds.PatientBirthDate = ""
    sex = request.clinical.sex.value
    ds.PatientSex = sex if sex in ("F", "M") else ""
    if request.clinical.age_years is not None:
        ds.PatientAge = f"{int(request.clinical.age_years):03d}Y"
    ds.PatientComments = record.notice
    ds.PatientIdentityRemoved = "YES"
    ds.DeidentificationMethod = "Synthetic image, no patient"
    ds.StudyInstanceUID = uid("study")
    ds.SeriesInstanceUID = uid("series", record.role)
    ds.StudyID = record.case_id[:16]
    ds.AccessionNumber = ""
    ds.ReferringPhysicianName = ""
    ds.StudyDate = ds.SeriesDate = ds.ContentDate = day
    ds.StudyTime = ds.SeriesTime = ds.ContentTime = clock
    ds.StudyDescription = "SYNTHETIC - not for diagnosis"
    ds.SeriesDescription = f"SYNTHETIC {record.role} (MedDiff)"
    ds.SeriesNumber = 1 if record.role == "case" else 2
    ds.InstanceNumber = 1
    ds.Modality = "MR" if is_mr else "OT"
    ds.Manufacturer = "MedDiff"
    ds.ManufacturerModelName = record.pack
    ds.SoftwareVersions = record.software
    ds.PatientPosition = "HFS"
    ds.BodyPartExamined = request.findings.anatomy.upper()

    # Synthetic, and by whom: PS3.3 C.12.1 (0008,001C), C.12.1.1.5 Contributing Equipment
    ds.SyntheticData = "YES"
    ds.ImageType = ["DERIVED", "SECONDARY", "OTHER"] if is_mr else ["DERIVED", "SECONDARY"]
    ds.DerivationDescription = (
        "Synthetic image made by a diffusion model; not acquired from a patient; not for diagnosis"
    )
    equipment = Dataset()
    equipment.PurposeOfReferenceCodeSequence = Sequence([_code("109100", "DCM", "Synthesizing Equipment")])
    equipment.Manufacturer = "MedDiff"
    equipment.ManufacturerModelName = record.pack
    equipment.SoftwareVersions = record.software
    equipment.ContributionDescription = record.notice
    ds.ContributingEquipmentSequence = Sequence([equipment])
    ds.BurnedInAnnotation = "YES"  # the stamp
    ds.ImageComments = record.notice

    # Geometry: PS3.3 C.7.6.2; DICOM is LPS+, our axes are RAS+
    flip = np.array([-1.0, -1.0, 1.0])
    across, down, _ = (axis * flip for axis in axes(request.findings.plane))
    spacing = sealed.spacing_mm
    corner = -(across * spacing[1] * (pixels.shape[1] - 1) + down * spacing[0] * (sealed.height - 1)) / 2
    if is_mr:
        ds.ImageOrientationPatient = [f"{v:g}" for v in (*across, *down)]
        ds.ImagePositionPatient = [f"{v:.4f}" for v in corner]
        ds.PixelSpacing = [f"{v:.6g}" for v in spacing]
        ds.SliceThickness = f"{SLICE_MM:g}"
        ds.FrameOfReferenceUID = uid("frame")
        ds.PositionReferenceIndicator = ""
        ds.ScanningSequence, ds.SequenceVariant, ds.ScanOptions = "RM", "NONE", ""
        ds.MRAcquisitionType = "2D"
        ds.EchoTime, ds.RepetitionTime, ds.EchoTrainLength = None, None, None
    else:
        ds.ConversionType = "SYN"
        ds.PatientOrientation = ""
        ds.NominalScannedPixelSpacing = [f"{v:.6g}" for v in spacing]

    # Pixels: PS3.3 C.7.6.3
    bits = pixels.dtype.itemsize * 8
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = pixels.shape
    ds.BitsAllocated = 16  # MR Image Storage allows no other (PS3.3 C.8.3.1)
    ds.BitsStored = bits
    ds.HighBit = bits - 1
    ds.PixelRepresentation = 0
    high = max(int(pixels[sealed.outside_stamp].max()), 1)
    ds.WindowCenter, ds.WindowWidth = f"{(high + 1) / 2:g}", f"{high + 1:g}"  # 0 to high: PS3.3 C.11.2.1.2
    ds.PixelData = np.ascontiguousarray(pixels.astype("<u2")).tobytes()
    ds["PixelData"].VR = "OW"

    add_private_block(ds, record)
    return ds


def write_dicom(sealed: SealedImage, path: str | Path) -> Path:
    """Writes a sealed image as a DICOM file.

    Raises:
        MedDiffError: not sealed, or the file cannot be written; nothing half-written remains.
    """
    dataset = to_dataset(sealed)
    return write_atomic(path, lambda temporary: dataset.save_as(temporary, enforce_file_format=True))


def read_dicom_record(path: str | Path) -> Provenance:
    """Provenance of a DICOM file that MedDiff wrote.

    Raises:
        MedDiffError: not a DICOM file of ours, or its record is damaged.
    """
    try:
        dataset = dcmread(path, stop_before_pixels=True)
    except (OSError, InvalidDicomError) as error:
        raise MedDiffError(f"{path} cannot be read as DICOM: it is missing, damaged or something else.") from error
    return read_private_block(dataset, str(path))
