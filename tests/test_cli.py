"""The command line does what the page does, and says in one sentence what it cannot."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from meddiff.case import MedDiffError
from meddiff.cli import main

SENTENCE = "Axial T1 post-contrast, ring-enhancing left frontal glioma, 35 mm"
FAST = ["--precision", "fp32", "--steps", "2", "--redraws", "0"]


def test_help_needs_no_model_and_shows_examples():
    done = subprocess.run([sys.executable, "-m", "meddiff", "--help"], capture_output=True, text=True, check=True)
    assert "meddiff generate" in done.stdout and "diagnosis" in done.stdout


def test_generate_writes_case_twin_outline_and_record_in_every_format(tiny_house, capsys):
    out = tiny_house / "out"
    code = main(["generate", SENTENCE, "--seed", "7", "--count", "2", "--out", str(out), "--format", "png", "--format", "dicom", "--format", "nifti", *FAST])  # fmt: skip
    assert code == 0
    for ending, count in ((".png", 6), (".dcm", 8), (".nii.gz", 6), ("-record.json", 2)):
        assert len(list(out.glob(f"*{ending}"))) == count, ending
    record = json.loads(next(out.glob("*-record.json")).read_text())
    assert record["request"]["sentence"].startswith("Axial T1 post-contrast")
    assert "asked" in capsys.readouterr().out


def test_keep_list_show_rebuild_delete(tiny_house, capsys):
    assert main(["generate", SENTENCE, "--keep", *FAST]) == 0
    assert main(["bank", "list"]) == 0
    name = [line for line in capsys.readouterr().out.splitlines() if line.startswith("MD-")][-1].split()[0]
    assert main(["bank", "show", name]) == 0
    assert main(["rebuild", name]) == 0
    assert f"{name}: identical" in capsys.readouterr().out
    assert main(["bank", "delete", name]) == 0
    assert main(["bank", "show", name]) == 2


def test_the_bank_is_looked_after_at_the_command_line(tiny_house, capsys):
    from meddiff.bank import Bank
    from tests.bank.test_archive import make_head

    name, out = Bank().keep(make_head(1)), str(tiny_house / "bank.zip")
    for arguments, code, words in [
        (["review", name, "approved", "--who", "Ann"], 2, "why"),
        (["review", name, "approved", "--who", "Ann", "--why", "typical"], 0, "approved"),
        (["tag", name, "exam", "easy"], 0, "easy, exam"),
        (["note", name, "show first"], 0, "noted"),
        (["list", "--review", "approved", "--tag", "exam", "--text", "first"], 0, name),
        (["show", name], 0, "approved by Ann: typical"),
        (["export", out, "--tag", "exam"], 0, "1 case written"),
        (["delete", name], 0, f"bank undo {name}"),
        (["list", "--deleted"], 0, name),
        (["show", name], 2, "was deleted"),
        (["undo", name], 0, "undone: deleted"),
        (["import", out], 0, "0 new"),
        (["history", name], 0, "typical"),
        (["delete", name], 0, "deleted"),
        (["tidy", "--deleted-days", "0"], 0, "1 cases gone for good"),
        (["import", out], 0, "1 new"),
        (["show", name], 0, "approved by Ann"),
    ]:
        assert main(["bank", *arguments]) == code, arguments
        said = capsys.readouterr()
        assert words in said.out + said.err, arguments


def test_insert_and_remove_on_an_own_slice_are_rebuilt_from_the_file_alone(tiny_house, phantom, phantom_mask, capsys):
    scan, outline, out = tiny_house / "scan.png", tiny_house / "outline.png", tiny_house / "out"
    Image.fromarray((phantom * 255).astype(np.uint8)).save(scan)
    Image.fromarray(phantom_mask).save(outline)
    given = ["--background", str(scan), "--mask", str(outline), "--out", str(out), *FAST]
    assert main(["insert", "left frontal glioma, 30 mm", *given]) == 0
    assert main(["remove", *given]) == 0
    for path in out.glob("MD-*.png"):
        if not path.stem.endswith(("outline", "twin")):
            assert main(["rebuild", str(path), "--background", str(scan)]) == 0
    assert capsys.readouterr().out.count("identical") == 2


def test_a_series_is_written_kept_listed_and_rebuilt(tiny_house, capsys):
    out = tiny_house / "out"
    followed = ["--visits", "60", "0", "--law", "gompertz:doubling_days=90", "--first-date", "2031-02-28"]
    assert (
        main(["series", SENTENCE, *followed, "--seed", "5", "--out", str(out), "--keep", *FAST]) == 1
    )  # random weights
    said = capsys.readouterr().out
    series, *_ = said.split()
    lines = [line.split() for line in said.splitlines() if " MD-" in line]
    assert [line[:2] for line in lines] == [["0", "2031-02-28"], ["60", "2031-04-29"]]
    assert "rejected: missed: visits whose area misses" in said
    assert {path.name for path in out.iterdir()} == {
        "day-000", "day-060", f"{series}.gif", "measurements.csv", "series.json", "items.json",
    }  # fmt: skip
    assert json.loads((out / "series.json").read_text())["series"] == series
    assert main(["bank", "list", "--text", series]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("MD-")]
    assert listed == [line[2] for line in lines]
    assert main(["rebuild", listed[1]]) == 0
    assert main(["verify", str(out / "day-060" / f"{listed[1]}.png")]) == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["series", SENTENCE, "--visits", "0", "60", "60", "--out", "{out}"], "two visits on day 60"),
        (["series", SENTENCE, "--visits", "-5", "0", "--out", "{out}"], "before the first visit"),
        (["series", SENTENCE, "--visits", "0", "60", "--law", "magic", "--out", "{out}"], "no law 'magic'"),
        (["series", SENTENCE, "--visits", "0", "9", "--first-date", "soon", "--out", "{out}"], "no date"),
        (["series", SENTENCE, "--visits", "0", "60"], "--out"),
        (["series", "axial T1 post-contrast", "--visits", "0", "--out", "{out}"], "follows a disease"),
        (["generate", "banana", "--out", "{out}"], "banana"),
        (["generate", SENTENCE], "--out"),
        (["generate", SENTENCE, "--out", "{out}", "--pack", "nose"], "no pack 'nose'"),
        (["generate", SENTENCE, "--out", "{out}", "--mask", "{out}/none.png"], "none.png"),
        (["generate", SENTENCE, "--out", "{out}", "--age", "400"], "age_years"),
        (["generate", SENTENCE, "--out", "{out}", "--steps", "-3"], "steps"),
        (["generate", SENTENCE, "--out", "{out}", "--steps", "0", "--precision", "fp32"], "steps"),
        (["insert", SENTENCE, "--out", "{out}", "--background", "{out}/none.dcm"], "no file"),
        (["generate", SENTENCE, "--out", "{out}", "--redraws", "-1"], "redraws"),
        (["rebuild", "MD-000000000000"], "no case"),
        (["bank", "show", "MD-000000000000"], "no case"),
        (["bank", "review", "MD-000000000000", "approved"], "no case"),
        (["bank", "import", "{out}/none.zip"], "no file"),
        (["bank", "list", "--from-mm", "30", "--to-mm", "20"], "above the largest"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_exit_code_two(tiny_house, capsys, arguments, words):
    out = tiny_house / "out"
    assert main([part.replace("{out}", str(out)) for part in arguments] + (FAST if arguments[0] in ("generate", "insert", "series") and not {"--steps", "--redraws"} & {*arguments} else [])) == 2  # fmt: skip
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1 and "Traceback" not in said
    assert not out.exists() or not list(out.iterdir())


def test_a_full_disk_is_said_and_leaves_nothing_half_written(tiny_house, capsys, monkeypatch):
    import os

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert main(["generate", SENTENCE, "--out", str(tiny_house / "out"), *FAST]) == 2
    assert "the disk is full" in capsys.readouterr().err
    assert not list((tiny_house / "out").iterdir())


def test_a_disk_that_fills_up_amid_a_case_leaves_none_of_its_files(tiny_house, capsys, monkeypatch):
    from meddiff.exchange import case as whole

    def full(*_):
        raise MedDiffError("the disk is full")

    monkeypatch.setattr(whole, "write_mask_png", full)  # case and twin are written before it
    out = tiny_house / "out"
    out.mkdir()
    (out / "mine.txt").write_text("kept")
    assert main(["generate", SENTENCE, "--out", str(out), *FAST]) == 2
    assert "the disk is full" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == ["mine.txt"]


def test_an_interrupt_is_one_sentence_and_exit_code_130(tiny_house, capsys, monkeypatch):
    from meddiff.synthesis.studio import Studio

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Studio, "make", stop)
    assert main(["generate", SENTENCE, "--out", str(tiny_house / "out"), *FAST]) == 130
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tiny_house / "out").exists()


def test_the_sentence_is_recorded_as_it_was_typed(tiny_house):
    typed = "axial T1 post contrast, left frontal glioma with ring enhancement, 35 mm"
    assert main(["generate", typed, "--out", str(tiny_house / "out"), *FAST]) == 0
    record = json.loads(next((tiny_house / "out").glob("*-record.json")).read_text())
    assert record["request"]["sentence"] == typed


def test_recipes_explain_themselves(capsys):
    with pytest.raises(SystemExit) as done:
        main(["train", "autoencoder", "--help"])
    assert done.value.code == 0
    assert "--data" in capsys.readouterr().out
