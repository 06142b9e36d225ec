"""A whole study at the command line: planned, read, analysed, exported; what is wrong is told with its line."""

import argparse
import csv
import json

import numpy as np
import pytest

from meddiff.case import MedDiffError
from meddiff.settings import settings
from meddiff.teaching.study_commands import add_parsers, read_pictures, read_readings, run
from meddiff.teaching.study_store import StudyStore
from tests.exchange.dicom_support import case_of
from tests.teaching.study_support import arm_of, readings_of, separated
from tests.teaching.test_study_pictures import real_files


@pytest.fixture
def house(tmp_path, monkeypatch):
    """A folder with twelve pictures in a table, and an empty bank."""
    monkeypatch.setenv("MEDDIFF_CASEBANK", str(tmp_path / "bank"))
    monkeypatch.delenv("MEDDIFF_DATABASE_URL", raising=False)
    settings.cache_clear()
    rows = ["arm,source,case,file"]
    for number in range(6):
        for arm, source in (("real", "real"), ("made", "synthetic")):
            name = f"{arm}-{number}.png"
            (tmp_path / name).write_bytes(f"{arm} {number}".encode())
            rows.append(f"{arm},{source},{arm} {number},{name}")
    (tmp_path / "pictures.csv").write_text("\n".join(rows) + "\n")
    yield tmp_path
    settings.cache_clear()


def meddiff_study(*arguments) -> int:
    parser = argparse.ArgumentParser()
    add_parsers(parser.add_subparsers(dest="do", required=True))
    return run(parser.parse_args([str(word) for word in arguments]))


def planned(house, capsys) -> str:
    meddiff_study(
        "plan",
        house / "pictures.csv",
        "--title",
        "Real or made",
        "--readers",
        "anna",
        "ben",
        "--key",
        house / "key.csv",
    )
    return capsys.readouterr().out.split()[0]


def test_a_study_from_plan_to_export(house, capsys):
    study = planned(house, capsys)
    plan = StudyStore().plan(study)
    key = dict(list(csv.reader((house / "key.csv").open()))[1:])
    assert {name: key[name].split("/")[-1].split("-")[0] for name in key} == arm_of(plan)
    assert meddiff_study("assign", study, "anna") == 0
    order = capsys.readouterr().out.split()
    assert sorted(order) == sorted(key)
    meddiff_study("assign", study, "anna", "--json")
    assert json.loads(capsys.readouterr().out)["pictures"] == order

    said = readings_of(plan, separated(4))
    (house / "anna.jsonl").write_text("\n".join(row.canonical_json() for row in said if row.reader == "anna") + "\n\n")
    assert meddiff_study("record", study, house / "anna.jsonl") == 0
    assert "12 readings recorded" in capsys.readouterr().out
    meddiff_study("record", study, house / "anna.jsonl")
    assert "0 readings recorded, 12 were there already" in capsys.readouterr().out
    for row in said[12:]:
        StudyStore().record(study, row)

    assert meddiff_study("analyse", study, "--resamples", "200") == 0
    told = capsys.readouterr().out
    assert "24 of 24 readings by 2 readers" in told and "made told from real: AUC" in told and "Cohen's kappa" in told
    assert (
        meddiff_study(
            "export", study, "--out", house / "out", *("--format", "imrmc", "--format", "csv", "--format", "json")
        )
        == 0
    )
    assert sorted(path.suffix for path in (house / "out").iterdir()) == [".csv", ".imrmc", ".json"]
    results = json.loads((house / "out" / f"{study}.json").read_text())
    assert results["detection"][0]["auc"] > 0.9 and np.isfinite(results["detection"][0]["auc_interval"]).all()
    assert read_readings(house / "out" / f"{study}.csv") == said


def test_two_red_alerts_are_told_and_take_the_picture_from_the_next_reader(house, capsys):
    study = planned(house, capsys)
    name = StudyStore().plan(study).arms[0].pictures[0].id
    head = "reader,picture,realism,anatomy,visibility,misleading,ai_suspected,confidence,red_alert,seconds\n"
    (house / "r.csv").write_text(head + "".join(f"{who},{name},1,1,,5,yes,4,true,9.5\n" for who in ("anna", "ben")))
    meddiff_study("record", study, house / "r.csv")
    assert "suspended by red alerts: RC-" in capsys.readouterr().out
    meddiff_study("assign", study, "anna")
    assert name not in capsys.readouterr().out


def test_one_bad_line_records_none_and_is_named(house, capsys):
    study = planned(house, capsys)
    name = StudyStore().plan(study).arms[0].pictures[0].id
    head = "reader,picture,realism,anatomy,misleading,ai_suspected,confidence,seconds\n"
    for line, words in (
        (f"ben,{name},9,1,1,0,4,1", "line 3 is no reading: realism: .*less than or equal to 5"),
        (f"ben,{name},,1,1,0,4,1", "does not rate realism"),
    ):
        (house / "r.csv").write_text(f"{head}anna,{name},1,1,1,0,4,1\n{line}\n")
        with pytest.raises(MedDiffError, match=words):
            meddiff_study("record", study, house / "r.csv")
    assert StudyStore().readings(study) == ()


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("arm,source,case\na,real,1", "no column 'file'"),
        ("arm,source,case,file\na,fake,1,real-0.png", "line 2: source is 'fake'; write real, synthetic or processed"),
        ("arm,source,case,file\na,real,1,gone.png", "line 2: .*gone.png cannot be read"),
        ("arm,source,case,file\na,real,1,real-0.png\na,synthetic,2,made-0.png", "line 3: arm a was real before"),
    ],
)
def test_a_table_that_is_wrong_is_told_where(house, table, words):
    (house / "bad.csv").write_text(table)
    with pytest.raises(MedDiffError, match=words):
        read_pictures(house / "bad.csv")


def test_a_study_of_the_bank_and_files_is_planned_in_pairs_read_decided_on_and_found_again(house, capsys):
    from meddiff.bank import Bank

    sealed = case_of()
    Bank().keep(sealed)
    (path,) = real_files(house, 1)
    (house / "pairs.csv").write_text(
        f"arm,source,case,file\nreal,real,1,{path.name}\nmade,synthetic,1,{sealed.case.id} twin\n"
    )
    meddiff_study("plan", house / "pairs.csv", "--title", "Which?", "--readers", "anna", "ben", "chen", "--pairs")
    told = capsys.readouterr().out
    study = told.split()[0]
    assert f"readers read at /read-study?study={study}" in told and "256 pixels" in told
    meddiff_study("assign", study, "anna")
    left, right = capsys.readouterr().out.split()
    head = "reader,picture,ai_suspected,confidence,red_alert,seconds,ai_reason,alert_reason\n"
    lines = "".join(
        f"{who},{left},yes,4,true,9,too smooth,no skull\n{who},{right},no,4,,9,,\n" for who in ("anna", "ben")
    )
    (house / "r.csv").write_text(head + lines)
    meddiff_study("record", study, house / "r.csv")
    assert "4 readings recorded" in capsys.readouterr().out
    meddiff_study("alerts", study)
    told = capsys.readouterr().out
    assert told.startswith("RC-0000  suspended") and f"anna on {left}" in told and "no skull" in told
    meddiff_study("decide", study, "RC-0000", "show", "--who", "Eve", "--why", "a variant")
    meddiff_study("assign", study, "chen")
    assert left in capsys.readouterr().out
    meddiff_study("analyse", study, "--resamples", "100")
    assert "of pairs shown side by side" in capsys.readouterr().out
    (house / "moved").mkdir()
    path.rename(house / "moved" / "other.png")
    meddiff_study("pictures", study, house / "moved")
    assert "1 pictures found, 0 missing" in capsys.readouterr().out
