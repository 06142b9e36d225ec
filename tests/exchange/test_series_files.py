"""A series as files: one patient, a study a visit, dates in order, and every file says that it is synthetic."""

import csv
import json

import numpy as np
import pydicom
import pytest
from PIL import Image

from meddiff.case import SYNTHETIC_NOTICE, MedDiffError
from meddiff.exchange.gif import read_gif_records
from meddiff.exchange.series import REPORT, TABLE, read_report, write_series
from tests.exchange.dicom_support import errors_of
from tests.exchange.series_support import DAYS, SERIES, report_of, series_of, visit_of


@pytest.fixture(scope="module")
def series():
    return series_of()


@pytest.fixture(scope="module")
def folder(series, tmp_path_factory):
    out = tmp_path_factory.mktemp("series")
    write_series(*series, out, ["png", "dicom", "gif", "csv"])
    return out


def test_each_visit_has_its_folder_and_what_is_of_the_series_lies_beside_them(series, folder):
    visits, _ = series
    days = [f"day-{day:03d}" for day in DAYS]
    assert sorted(path.name for path in folder.iterdir()) == sorted([*days, f"{SERIES}.gif", TABLE, REPORT])
    for visit, name in zip(visits, days, strict=True):
        written = {path.name for path in (folder / name).iterdir()}
        assert {f"{visit.case.id}.png", f"{visit.case.id}-twin.dcm", f"{visit.case.id}-record.json"} <= written
        assert not any(path.endswith(".gif") for path in written)


def test_the_animation_shows_the_visits_in_order_with_all_their_records(series, folder):
    visits, _ = series
    assert [record.case_id for record in read_gif_records(folder / f"{SERIES}.gif")] == [v.case.id for v in visits]
    with Image.open(folder / f"{SERIES}.gif") as film:
        for number, visit in enumerate(visits):
            film.seek(number)
            assert np.array_equal(np.asarray(film.convert("L")), visit.image.pixels)


def test_the_table_has_a_line_a_visit_and_the_report_says_synthetic(series, folder):
    visits, report = series
    with (folder / TABLE).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(int(row["day"]), row["case"]) for row in rows] == [
        (d, v.case.id) for d, v in zip(DAYS, visits, strict=True)
    ]
    assert [float(row["measured_mm2"]) for row in rows] == [v.measured_mm2 for v in report.visits]
    assert [row["RANO"] for row in rows] == [v.rano.category.value for v in report.visits]
    assert {row["origin"] for row in rows} == {"synthetic"}
    told = json.loads((folder / REPORT).read_text(encoding="utf-8"))
    assert told["notice"] == SYNTHETIC_NOTICE
    assert type(report).model_validate(told) == report


def images(folder) -> list[pydicom.Dataset]:
    """The DICOM pictures of the visits, in order of their folders."""
    paths = [path for path in folder.glob("day-*/*.dcm") if not path.stem.endswith(("twin", "outline", "report"))]
    return [pydicom.dcmread(path) for path in sorted(paths)]


def test_visits_are_studies_of_one_patient_with_dates_in_order(series, folder):
    shown = images(folder)
    assert {str(ds.PatientID) for ds in shown} == {f"SYNTHETIC-{SERIES}"}
    assert {str(ds.PatientName) for ds in shown} == {f"SYNTHETIC^{SERIES}"}
    assert len({ds.StudyInstanceUID for ds in shown}) == len({ds.SOPInstanceUID for ds in shown}) == 4
    assert [ds.StudyDate for ds in shown] == ["20301130", "20310129", "20310330", "20310529"]
    for ds in shown:
        assert ds.SeriesDate == ds.ContentDate == ds.AcquisitionDate == ds.StudyDate
        assert ds.InstanceCreationDate == "20261124"  # when it was made
    assert [ds.StudyDescription.split("; ")[1] for ds in shown][1] == "visit 2 of 4, day 60"
    assert "from no image" in shown[0].DerivationDescription


def test_picture_twin_outline_and_report_of_a_visit_are_one_study(series, folder):
    for day in DAYS:
        of_visit = [pydicom.dcmread(path) for path in (folder / f"day-{day:03d}").glob("*.dcm")]
        assert len(of_visit) == 4
        for name in ("PatientID", "StudyInstanceUID", "StudyDate", "SeriesDate", "ContentDate", "PatientAge"):
            assert len({str(ds[name].value) for ds in of_visit}) == 1, name


def test_one_frame_of_reference_and_one_lesion_go_through_all_visits(series, folder):
    outlines = [pydicom.dcmread(path) for path in folder.glob("day-*/*-outline.dcm")]
    assert len(outlines) == 4
    assert len({ds.FrameOfReferenceUID for ds in [*images(folder), *outlines]}) == 1
    lesions = {segment.TrackingUID for ds in outlines for segment in ds.SegmentSequence}
    assert len(lesions) == 1
    for path in folder.glob("day-*/*-report.dcm"):
        assert str(pydicom.dcmread(path)).count(next(iter(lesions))) == 2  # asked and measured


def test_acquisitions_of_their_own_have_frames_of_their_own(tmp_path):
    visits = [visit_of(number, acquisition=0.5) for number in (1, 2)]
    report = report_of((100, 200), tuple(v.case.id for v in visits), DAYS[:2])
    write_series(visits, report, tmp_path, ["dicom"])
    assert len({ds.FrameOfReferenceUID for ds in images(tmp_path)}) == 2


def test_the_patient_grows_older(tmp_path):
    visits = [visit_of(number, (0, 400), age=61.5) for number in (1, 2)]
    write_series(visits, report_of((100, 200), tuple(v.case.id for v in visits), (0, 400)), tmp_path, ["dicom"])
    assert [ds.PatientAge for ds in images(tmp_path)] == ["061Y", "062Y"]


def test_pixels_and_outlines_lie_as_they_did_and_the_verifier_finds_no_error(series, folder):
    for visit, ds in zip(series[0], images(folder), strict=True):
        assert np.array_equal(ds.pixel_array, visit.image.pixels)
        outline = pydicom.dcmread(next(folder.glob(f"day-*/{visit.case.id}-outline.dcm")))
        assert np.array_equal(outline.pixel_array.squeeze() > 0, visit.image.fit(visit.mask))
    for path in folder.glob("day-*/*.dcm"):
        assert errors_of(path)[1] == [], path.name


def test_a_film_shows_every_visit_with_its_stamp_and_carries_their_records(series, tmp_path):
    av = pytest.importorskip("av", reason="av is not installed (requirements.txt)")
    from meddiff.exchange.mp4 import RATE, SCALE, TITLE, read_mp4_comment, write_mp4

    visits, _ = series
    path, again = (write_mp4([v.image for v in visits], tmp_path / name) for name in ("a.mp4", "b.mp4"))
    assert path.read_bytes() == again.read_bytes()
    with av.open(str(path)) as film:
        assert film.metadata["title"] == TITLE
        frames = [frame.to_ndarray(format="gray") for frame in film.decode(video=0)]
    assert len(frames) == 4 * RATE
    for number, visit in enumerate(visits):
        shown = frames[number * RATE + 3][::SCALE, ::SCALE].astype(int)
        assert np.abs(shown - visit.image.pixels).mean() < 2
        assert np.abs(shown - visit.image.pixels)[visit.image.box.area].max() < 40  # the stamp can be read
    notice, records = read_mp4_comment(path).split("\n")
    assert notice == SYNTHETIC_NOTICE
    assert [record["case_id"] for record in json.loads(records)] == [v.case.id for v in visits]


def test_a_folder_keeps_one_series_and_a_report_of_other_visits_is_refused(series, folder, tmp_path):
    visits, report = series
    with pytest.raises(MedDiffError, match="not of these visits"):
        write_series(visits[:2], report, tmp_path / "out", ["png"])
    with pytest.raises(MedDiffError, match="'avi' is no format"):
        write_series(visits, report, tmp_path / "out", ["avi"])
    assert not (tmp_path / "out").exists()
    other = report.model_copy(update={"series": "MS-ffffffffffff"})
    before = (folder / REPORT).read_bytes()
    with pytest.raises(MedDiffError, match=f"holds the series {SERIES}"):
        write_series(visits, other, folder, ["csv"])
    assert (folder / REPORT).read_bytes() == before


def test_a_disk_that_fills_up_amid_a_series_leaves_none_of_its_files(series, tmp_path, monkeypatch):
    from meddiff.exchange import series as whole

    def full(*_):
        raise MedDiffError("the disk is full")

    monkeypatch.setattr(whole, "write_gif", full)  # the visits are written before it
    (tmp_path / "mine.txt").write_text("kept")
    with pytest.raises(MedDiffError, match="disk is full"):
        write_series(*series, tmp_path, ["png", "gif"])
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_what_is_no_report_is_said_in_words():
    with pytest.raises(MedDiffError, match="no report of a series"):
        read_report("{}")
