"""The private block of a DICOM data set carries the record and tells whether the data set still shows what it left with."""

import io

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from meddiff.case import MedDiffError, Provenance, Request
from meddiff.marking.provenance import add_private_block, require_unchanged

RECORD = Provenance(case_id="MD-1", request=Request(), pack="p", pack_sha256="a" * 64, pixel_sha256="b" * 64)


def data_set():
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = "2.25.1"
    ds.SyntheticData, ds.PatientName = "YES", "SYNTHETIC^MD-1"
    return ds


def picture():
    ds = data_set()
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 12, 11
    ds.Rows, ds.Columns = 4, 6
    ds.PixelData = np.arange(24, dtype="<u2").tobytes()
    ds["PixelData"].VR = "OW"
    add_private_block(ds, RECORD)
    return ds


def report():
    ds, item, measured = data_set(), Dataset(), Dataset()
    item.ValueType, item.TextValue = "TEXT", "Größe: measured 28.3 mm"
    measured.NumericValue = 28.33333333333333  # longer than DS may be; writing shortens it
    item.MeasuredValueSequence = [measured]
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.ContentSequence = [item]
    add_private_block(ds, RECORD)
    return ds


def there_and_back(ds, syntax):
    buffer = io.BytesIO()
    ds.file_meta.TransferSyntaxUID = syntax
    ds.save_as(buffer, implicit_vr=syntax.is_implicit_VR, little_endian=True, enforce_file_format=True)
    return dcmread(io.BytesIO(buffer.getvalue()))


@pytest.mark.parametrize("make", [picture, report])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_a_data_set_is_known_again_in_another_encoding_and_with_more_attributes(make, syntax):
    back = there_and_back(make(), syntax)
    back.InstitutionName = "added by a server"
    assert require_unchanged(back, "it") == RECORD


@pytest.mark.parametrize(
    ("make", "name", "value"),
    [
        (picture, "PixelData", np.arange(1, 25, dtype="<u2").tobytes()),
        (picture, "Columns", 3),
        (picture, "PixelRepresentation", 1),
        (report, "ContentSequence", []),
    ],
)
def test_a_data_set_that_shows_something_else_is_refused(make, name, value):
    back = there_and_back(make(), ExplicitVRLittleEndian)
    setattr(back, name, value)
    with pytest.raises(MedDiffError, match="it does not show what MedDiff wrote|What it shows cannot be read"):
        require_unchanged(back, "it")


def test_a_changed_word_in_a_report_is_seen():
    back = there_and_back(report(), ExplicitVRLittleEndian)
    back.ContentSequence[0].TextValue = "Größe: measured 38.3 mm"
    with pytest.raises(MedDiffError, match="does not show what MedDiff wrote"):
        require_unchanged(back, "it")
