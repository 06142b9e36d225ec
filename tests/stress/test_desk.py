"""The server's runs: one at a time, stopped and gone on with, kept with their detectors."""

import threading
from pathlib import Path

import pytest

from meddiff.case import MedDiffError
from meddiff.stress.desk import Desk, own_copy
from meddiff.stress.estimate import estimate, minutes
from meddiff.stress.journal import Journal
from meddiff.stress.plan import StressPlan, trials, units
from meddiff.stress.records import Contract, DetectorSpec, Kind
from meddiff.stress.run import heading
from tests.stress.simulated import simulate
from tests.stress.tiny_models import write_onnx

PLAN = StressPlan.model_validate(
    {"patients": 3, "steps": 1, "precision": "fp32", "redraws": 0, "base": {"pathology": "glioma"}, "factors": {"noise": [3]}}
)  # fmt: skip


def test_one_run_at_a_time_and_one_that_was_stopped_before_it_began_leaves_nothing(tmp_path):
    desk, loaded = Desk(tmp_path / "stress"), threading.Event()
    run = desk.start(PLAN, [DetectorSpec(spec="segmenter")], before=loaded.wait)
    assert desk.live.busy and desk.live.run == run
    with pytest.raises(MedDiffError, match="one runs at a time"):
        desk.start(PLAN, [DetectorSpec(spec="segmenter")])
    desk.stop()
    assert desk.live.phase == "stopping"
    loaded.set()
    desk.wait(30)
    assert desk.live.phase == "failed" and "stopped before it began" in desk.live.error
    assert desk.listed() == [] and list(desk.folder.iterdir()) == []


def test_a_detector_that_cannot_be_had_ends_the_run_with_a_sentence(tiny_house):
    desk = Desk(tiny_house / "stress")
    desk.start(PLAN, [DetectorSpec(spec=str(tiny_house / "gone.onnx"), contract=Contract(kind=Kind.MASK))])
    desk.wait(60)
    assert desk.live.phase == "failed" and "There is no detector" in desk.live.error and desk.listed() == []


def test_after_a_restart_a_run_is_listed_and_gone_on_with(tiny_house):
    """All of its trials are in the journal: nothing is left to run, and it is finished."""
    spec = DetectorSpec(spec=str(write_onnx(tiny_house)), contract=Contract(kind=Kind.MASK))
    folder = tiny_house / "stress" / "20260101-120000-abcd"
    outcomes = simulate(1, faults=False)[: PLAN.trials()]
    Journal(folder, heading(PLAN, [spec])).add(outcomes[:-1])
    desk = Desk(tiny_house / "stress")
    (listed,) = desk.listed()
    assert (listed.done, listed.total, listed.complete) == (PLAN.trials() - 1, PLAN.trials(), False)
    assert listed.begun == "2026-01-01 12:00" and listed.detectors == ("tiny",)
    before = desk.result(listed.run)
    assert desk.result(listed.run) is before and not before.complete
    Journal(folder, heading(PLAN, [spec])).add(outcomes)
    desk.resume(listed.run)
    desk.wait(60)
    assert desk.live.phase == "finished", desk.live.error
    assert desk.listed()[0].complete and desk.result(listed.run).complete


def test_a_run_keeps_the_files_of_its_detector(tmp_path):
    for name in ("net.xml", "net.bin", "contract.yaml", "other.bin"):
        (tmp_path / name).write_text(name)
    spec = own_copy(DetectorSpec(spec=str(tmp_path / "net.xml")), tmp_path / "run" / "1")
    assert spec.name == "net" and Path(spec.spec).read_text() == "net.xml"
    assert {path.name for path in Path(spec.spec).parent.iterdir()} == {"net.xml", "net.bin", "contract.yaml"}
    for other in ("segmenter", "http://127.0.0.1:9/x"):
        assert own_copy(DetectorSpec(spec=other), tmp_path / "run" / "2").spec == other


@pytest.mark.parametrize("name", ["", "..", "../x", "20260101-000000-abcd", "20260101-000000-abcd/../.."])
def test_no_folder_but_that_of_a_run_can_be_named(name, tmp_path):
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(MedDiffError, match="no such run"):
        Desk(tmp_path / "stress").result(name)


def test_nothing_to_test_is_told_and_a_folder_that_holds_no_run_is_not_listed(tmp_path):
    desk = Desk(tmp_path)
    (tmp_path / "20260101-000000-abcd").mkdir()
    (tmp_path / "20260101-000000-abcd" / "run.json").write_text("no JSON")
    with pytest.raises(MedDiffError, match="no detector to test"):
        desk.start(PLAN, [])
    assert desk.listed() == [] and not desk.live.busy


@pytest.mark.parametrize(
    "fields",
    [
        {"factors": {"size_mm": [10, 20], "noise": "all"}},
        {"factors": {"size_mm": [10, 20], "blur": [1, 2]}, "design": "full"},
        {"factors": {"size_mm": [10, 20, 30], "side": "all", "noise": "all"}, "design": "fractional", "patients": 8},
        {"factors": {"size_mm": [10, 40], "noise": [0, 5]}, "design": "latin-hypercube", "patients": 8},
    ],
)
def test_what_is_told_before_the_run_is_what_the_plan_lays_out(fields):
    plan = StressPlan.model_validate({"patients": 6, **fields})
    told, laid_out = estimate(plan, workers=2), list(trials(plan))
    assert told.trials == len(laid_out)
    assert abs(told.cases - sum(1 for _ in units(laid_out))) <= 1
    assert told.seconds < estimate(plan, workers=1).seconds


def test_times_are_told_in_words():
    assert [minutes(seconds) for seconds in (20, 100, 5399, 9000)] == [
        "1 minute",
        "2 minutes",
        "90 minutes",
        "2.5 hours",
    ]
