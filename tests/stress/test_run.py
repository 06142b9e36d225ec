"""A run on real processes with a tiny pack: killed and resumed, by one process or two or Ray, packed, rebuilt, tested again."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from meddiff.case import MedDiffError
from meddiff.cli import main
from meddiff.settings import settings
from meddiff.stress.commands import detector_of, found_words
from meddiff.stress.failures import wanted
from meddiff.stress.files import write_files
from meddiff.stress.journal import NAME, read_journal
from meddiff.stress.lab import Lab
from meddiff.stress.pack import read_manifest, rebuild_pack, retest_pack, write_pack
from meddiff.stress.plan import StressPlan, trials, units
from meddiff.stress.records import DetectorSpec
from meddiff.stress.run import OUTCOMES, read_run, run
from meddiff.stress.search import read_search, search, search_plan
from meddiff.stress.search_report import write_search

HERE = Path(__file__).parents[2]
LEFT = DetectorSpec(spec="tests.stress.seeing:left_half")
BRIGHT = DetectorSpec(spec="tests.stress.seeing:brightness")
PLAN = StressPlan.model_validate(
    {
        "patients": 2, "steps": 1, "precision": "fp32", "redraws": 0, "base": {"pathology": "glioma"},
        "factors": {"size_mm": [20, 30], "noise": [1, 4], "rotation": [5]},
    }
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def house(tiny_packs, tmp_path_factory):
    """Settings that use the tiny pack, for this process and those that it starts."""
    patch = pytest.MonkeyPatch()
    patch.setenv("MEDDIFF_CHECKPOINTS", str(tiny_packs))
    patch.setenv("MEDDIFF_CASEBANK", str(tmp_path_factory.mktemp("bank")))
    patch.setenv("PYTHONPATH", str(HERE))
    settings.cache_clear()
    yield
    patch.undo()
    settings.cache_clear()


class Here:
    """In place of `Processes`: a lab in this process, which starts in no time. That processes give the same, other tests tell."""

    def __init__(self, job, workers=0):
        self.lab = Lab(
            StressPlan.model_validate_json(job.plan), [DetectorSpec.model_validate_json(one) for one in job.detectors]
        )

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.lab.__exit__(*error)

    def run(self, wanted, stop=None):
        for unit in wanted:
            yield [tested.outcome for tested in self.lab.run(unit)]


@pytest.fixture(scope="module")
def finished(house, tmp_path_factory):
    """The folder of a run by two processes that was killed twice on its way, and of what the last call ran."""
    folder = tmp_path_factory.mktemp("run")
    plan = folder / "plan.json"
    plan.write_text(PLAN.model_dump_json())
    command = [
        sys.executable, "-m", "meddiff", "stress", "run", str(plan), "--detector", LEFT.spec, "--workers", "2",
        "--out", str(folder / "out"), "--no-pictures",
    ]  # fmt: skip
    journal = folder / "out" / NAME
    running = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, cwd=HERE)
    until = time.monotonic() + 120
    while not (journal.exists() and journal.read_bytes().count(b"\n") >= 2):
        assert running.poll() is None and time.monotonic() < until
        time.sleep(0.02)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    before = journal.read_bytes()
    whole = before[: before.rfind(b"\n") + 1]
    assert 2 <= whole.count(b"\n") < PLAN.trials()
    journal.write_bytes(whole + whole[:200])  # as a kill in the middle of a write leaves it
    ran = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("meddiff.stress.run.Processes", Here)
        run(PLAN, [LEFT], folder / "out", progress=lambda now: ran.extend(now.new))
    return folder / "out", whole, ran


def test_after_a_kill_nothing_is_run_twice_and_nothing_is_missing(finished):
    folder, before, ran = finished
    assert (folder / NAME).read_bytes().startswith(before)
    assert len(ran) == PLAN.trials() - before.count(b"\n")
    assert [outcome.trial for outcome in read_journal(folder)] == list(range(PLAN.trials()))
    assert len((folder / NAME).read_bytes().splitlines()) == PLAN.trials()
    assert read_run(folder).complete


def test_this_process_alone_gives_the_same_outcomes(finished):
    with Lab(PLAN, [LEFT]) as lab:
        alone = tuple(tested.outcome for unit in units(trials(PLAN)) for tested in lab.run(unit))
    assert alone == read_run(finished[0]).outcomes


def test_two_workers_of_a_ray_cluster_give_the_same_bytes(finished, tmp_path):
    pytest.importorskip("ray")
    run(PLAN, [LEFT], tmp_path, 2, ray="local")
    assert (tmp_path / OUTCOMES).read_bytes() == (finished[0] / OUTCOMES).read_bytes()


def test_every_trial_is_what_its_plan_asks_and_patients_stay_themselves(finished):
    outcomes = read_run(finished[0]).outcomes
    by_trial = {trial.number: trial for trial in trials(PLAN)}
    for outcome in outcomes:
        trial = by_trial[outcome.trial]
        assert outcome.levels == trial.levels and outcome.request.acquisition == trial.acquisition
        assert outcome.request.seed == trial.request.seed and outcome.counts
        assert set(outcome.answers) == {"left_half"}
        if "size_mm" in outcome.levels:
            assert outcome.measured.size_mm == pytest.approx(outcome.levels["size_mm"], abs=1)
    noisy = [outcome for outcome in outcomes if "noise" in outcome.levels]
    for block in (0, 1):
        areas = {outcome.measured.area_mm2 for outcome in noisy if outcome.block == block}
        assert len(areas) == 1 and len({outcome.case for outcome in noisy if outcome.block == block}) == 3


def test_a_folder_of_another_run_is_not_added_to(finished, tmp_path):
    shutil.copytree(finished[0], tmp_path / "copy")
    with pytest.raises(MedDiffError, match="a run with another plan"):
        run(PLAN.model_copy(update={"seed": 5}), [LEFT], tmp_path / "copy")
    with pytest.raises(MedDiffError, match="a run with another detector"):
        run(PLAN, [LEFT, BRIGHT], tmp_path / "copy")
    lines = (tmp_path / "copy" / NAME).read_bytes().splitlines(keepends=True)
    (tmp_path / "copy" / NAME).write_bytes(b"".join([lines[0], lines[1][:50] + b"\n", *lines[2:]]))
    with pytest.raises(MedDiffError, match="line 2 was changed or is damaged"):
        read_run(tmp_path / "copy")


def test_a_run_without_a_detector_or_with_two_of_one_name_is_refused(tmp_path):
    with pytest.raises(MedDiffError, match="no detector to test"):
        run(PLAN, [], tmp_path)
    with pytest.raises(MedDiffError, match="Two detectors are called 'left_half'"):
        run(PLAN, [LEFT, LEFT], tmp_path)
    assert detector_of("mine=a=b.onnx") == DetectorSpec(spec="a=b.onnx", name="mine")
    assert detector_of("http://a/b?c=d") == DetectorSpec(spec="http://a/b?c=d")


def test_the_report_is_written_with_the_failing_cases_made_again(finished, tmp_path):
    result = read_run(finished[0])
    told = write_files(result, tmp_path, ["sensitivity@left_half=0.99", "faults=0"])
    page = (tmp_path / "report.html").read_text()
    assert page.count("data:image/png;base64,") >= 2 and "left_half" in page
    assert {verdict.passed for verdict in told.verdicts} == {True, False}
    assert json.loads((tmp_path / "report.json").read_text())["passed"] is False
    assert "failure" in (tmp_path / "junit.xml").read_text()


def test_a_pack_is_rebuilt_byte_for_byte_and_a_change_is_told(finished, tmp_path):
    result = read_run(finished[0])
    path = write_pack(
        result, tmp_path / "pack", lambda outcome: outcome.block == 0 and outcome.levels.get("noise") in (0, 4)
    )
    manifest = read_manifest(path)
    assert manifest.count == 2 and {case.patient for case in manifest.cases} == {0}
    kinds = {Path(name).suffix for case in manifest.cases for name in case.files}
    assert kinds == {".png", ".dcm", ".gz", ".json"} and list(manifest.shared) == ["cases/coco.json"]
    told = rebuild_pack(path)
    assert told.identical and told.files == sum(len(case.files) for case in manifest.cases) + 1
    again = retest_pack(path, [LEFT, BRIGHT])
    assert set(again.contracts) == {"left_half", "brightness"}
    for outcome in again.outcomes:
        before = result.outcomes[outcome.trial]
        assert outcome.answers["left_half"] == before.answers["left_half"] and outcome.sealed == before.sealed

    picture = path / next(iter(manifest.cases[0].files)).replace("-outline.dcm", ".png")
    data = bytearray(picture.read_bytes())
    data[-30] ^= 1
    picture.write_bytes(data)
    assert [name for name, _ in rebuild_pack(path).different] == [picture.relative_to(path).as_posix()]
    with pytest.raises(MedDiffError, match="is not what was kept"):
        retest_pack(path, [LEFT])


def test_missed_cases_can_be_chosen_and_an_empty_pack_is_refused(finished, tmp_path):
    result = read_run(finished[0])
    missed = [outcome for outcome in result.outcomes if wanted(result, "missed")(outcome)]
    assert 0 < len(missed) <= len(result.outcomes) and all(wanted(result, "all")(o) for o in result.outcomes)
    with pytest.raises(MedDiffError, match="nothing to pack"):
        write_pack(result, tmp_path / "none.zip", lambda outcome: False)


def test_the_commands_end_with_what_their_help_says(finished, tmp_path, capsys):
    (tmp_path / "plan.json").write_text(PLAN.model_dump_json())
    shutil.copytree(finished[0], tmp_path / "run")
    assert main(["stress", "plan", str(tmp_path / "plan.json")]) == 0
    assert "12 trials, 6 cases to make" in capsys.readouterr().out
    report = ["stress", "report", str(tmp_path / "run"), "--no-pictures"]
    assert main([*report, "--learners", "--fail-under", "faults=0"]) == 0
    assert main([*report, "--fail-under", "false_positive_share=0.5"]) == 1  # it marks every picture
    told = capsys.readouterr().out
    assert "left_half: sensitivity" in told and "FAILED: left_half" in told and "passed: left_half" in told
    assert main([*report, "--fail-under", "beauty=1"]) == 2
    pack = tmp_path / "pack.zip"
    assert (
        main(["stress", "pack", str(tmp_path / "run"), "--which", "missed", "--format", "png", "--out", str(pack)]) == 0
    )
    assert main(["stress", "rebuild", str(pack)]) == 0 and "files identical, byte for byte" in capsys.readouterr().out
    assert main(["stress", "check", "--detector", str(tmp_path / "none.onnx")]) == 2


def test_units_share_a_case_but_for_its_acquisition():
    grouped = list(units(trials(PLAN)))
    assert sum(map(len, grouped)) == PLAN.trials()
    assert sorted(len(unit) for unit in grouped) == [1, 1, 1, 1, 4, 4]


def test_a_search_finds_what_is_missed_says_how_it_compares_and_goes_on_after_a_stop(tmp_path, monkeypatch):
    monkeypatch.setattr("meddiff.stress.search.Processes", Here)
    plan = StressPlan.model_validate(
        {
            "patients": 2, "steps": 1, "precision": "fp32", "redraws": 0, "base": {"pathology": "glioma", "size_mm": 30},
            "factors": {"side": ["left", "right"], "gain": [0, 5]},
        }
    )  # fmt: skip
    asked = search_plan(plan, budget=6, batch=3, least_conspicuity=0.05)

    class Stopped(Exception):
        pass

    def stop(done, total):
        if done >= 9:
            raise Stopped

    with pytest.raises(Stopped):
        search(asked, LEFT, tmp_path, 1, stop)
    before = (tmp_path / NAME).read_bytes()
    found = search(asked, LEFT, tmp_path, 1)
    assert (tmp_path / NAME).read_bytes().startswith(before) and read_search(tmp_path) == found
    assert [one.tried for one in found.methods] == [6, 6] and 0 <= found.p <= 1
    # The patient's right side lies on the left of the screen, where this detector looks: it misses the left one.
    assert found.found and {one.outcome.levels["side"] for one in found.found} == {"left"}
    assert {n.factor for n in found.neighbours} == {"side", "gain"}
    assert {n.outcome.request.seed for n in found.neighbours} == {found.found[0].outcome.request.seed}  # the same head
    assert found.flip is not None and found.flip_factor == "side"
    assert "smallest change that flips it: side left is missed, right is found" in found_words(found)
    page = write_search(found, tmp_path)[1].read_text()
    shown = {one.outcome.trial for one in found.found} | set(found.flip)
    assert page.count("data:image/png;base64,") == 2 * (len(found.found) + 2) and "://" not in page.replace(
        "http://www.w3.org", ""
    )
    assert len(shown) >= 2 and "the lesion is missed at side <b>left</b> and found at <b>right</b>" in page
    with pytest.raises(MedDiffError, match="holds a run of a plan, not a search"):
        shutil.copytree(tmp_path, tmp_path / "run")
        head = json.loads((tmp_path / "run" / "run.json").read_text())
        head.pop("search")
        (tmp_path / "run" / "run.json").write_text(json.dumps(head))
        read_search(tmp_path / "run")
