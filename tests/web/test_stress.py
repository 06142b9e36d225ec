"""The Stress tab: what its form means, what is shown of a run, and in a browser a detector that is tested from its file to its report."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import pytest

from meddiff.case import MedDiffError
from meddiff.settings import settings
from meddiff.stress.desk import Live
from meddiff.stress.failures import failures
from meddiff.stress.plan import ACQUISITION, LEVELS, Bound, Design, StressPlan, plan_of_text
from meddiff.stress.records import Kind
from meddiff.stress.run import DetectorInfo, Result
from meddiff.web import stress_form, stress_view
from tests.stress.simulated import CONTRACTS, simulate
from tests.stress.tiny_models import write_onnx
from tests.web.browser import in_browser

FORM = ("mine", "one-at-a-time", 10, ["size_mm"], ["noise"], "glioma", "coronal", 25, "check", 7)
CONTRACT = ("mask", 256, 256, 1, 0, 1, 0, 0.4, "NCHW", False, False)
NOBODYS = [None, "", ""]  # files, address and name that were not filled in


def test_every_factor_level_and_word_of_the_form_is_one_of_a_plan():
    assert {*stress_form.LESION, *stress_form.PICTURE} == set(LEVELS) and set(stress_form.PICTURE) == set(ACQUISITION)
    assert {value for _, value in stress_form.DESIGNS} == set(Design)
    assert {value for _, value in stress_form.BOUNDS} == set(Bound)
    assert {value for _, value in stress_form.KINDS} == set(Kind)


def test_a_form_becomes_a_plan_as_text_that_runs_as_it_stands():
    text, told = stress_form.text_of_form(*FORM)
    plan = plan_of_text(text)
    assert plan == stress_form.plan_of_form(*FORM)
    assert plan.factors == {"size_mm": LEVELS["size_mm"], "noise": LEVELS["noise"]} and plan.seed == 7
    assert plan.base == {"pathology": "glioma", "plane": "coronal"}  # its size varies
    assert plan.bound is Bound.CHECK and "110 trials, about" in told and "60 cases are made" in told


@pytest.mark.parametrize(
    ("at", "value", "said"),
    [(2, 0, "patients: Input should be greater than or equal to 1"), (7, 500, "size_mm 500")],
)
def test_a_form_that_cannot_be_is_told_in_a_sentence(at, value, said):
    form = [*FORM[:at], value, *FORM[at + 1 :]]
    form[3] = []
    text, told = stress_form.text_of_form(*form)
    assert text == "" and "md-alert" in told and said in told


def test_a_text_that_is_no_plan_is_told_in_a_sentence():
    assert "is no YAML" in stress_form.outlook_of_text("factors: [")
    assert "&#x27;colour&#x27; is no factor" in stress_form.outlook_of_text("factors: {colour: [1]}")


def test_few_patients_are_told_before_the_run_and_many_tell_a_difference():
    few, many = (stress_form.outlook_of(StressPlan(patients=n, factors={"noise": (1.0,)})) for n in (10, 300))
    assert "too few patients to tell two levels apart" in few and "likely to be told from 7 points on" in many


def test_only_what_the_page_offers_can_be_tested(tmp_path, monkeypatch):
    for given in ("tests.stress.seeing:left_half", "/etc/passwd", "http://127.0.0.1:9/x", ""):
        with pytest.raises(MedDiffError, match="Choose a detector first"):
            stress_form.spec_of([given, *NOBODYS, *CONTRACT], tmp_path)
    monkeypatch.setenv("MEDDIFF_DETECTORS_ALLOWED", "https://detector.example/v1")
    settings.cache_clear()
    try:
        for address in (
            "http://127.0.0.1:9/x",
            "https://detector.example/v2",
            "tests.stress.seeing:left_half",
            "file:///etc/passwd",
        ):
            with pytest.raises(MedDiffError, match="nothing was sent|is no address"):
                stress_form.spec_of(["address", None, address, "", *CONTRACT], tmp_path)
        allowed = stress_form.spec_of(["address", None, "https://detector.example/v1/lesions", "", *CONTRACT], tmp_path)
        assert allowed.spec == "https://detector.example:443/v1/lesions"
        assert stress_form.BY_ADDRESS in stress_form.sources()
    finally:
        monkeypatch.undo()
        settings.cache_clear()
    assert stress_form.BY_ADDRESS not in stress_form.sources()


def test_a_model_is_laid_beside_its_weights_and_takes_the_contract_that_came_with_it_or_the_forms(tmp_path):
    given = {name: tmp_path / name[0] / name for name in ("net.xml", "weights.bin", "contract.yaml", "other.onnx")}
    for path in given.values():
        path.parent.mkdir(exist_ok=True)
        path.write_text("kind: boxes\n")

    def spec(*names, contract=CONTRACT):
        return stress_form.spec_of(["file", [str(given[name]) for name in names], "", " mine ", *contract], tmp_path)

    told = spec("net.xml", "weights.bin", "contract.yaml")
    assert told.name == "mine" and told.contract.kind is Kind.BOXES
    assert sorted(path.name for path in Path(told.spec).parent.iterdir()) == ["net.bin", "net.xml"]
    by_form = spec("other.onnx").contract
    assert by_form.threshold == 0.4 and by_form.spacing_mm is None and by_form.size == (256, 256)
    for names, said in (
        ((), "no model file yet"),
        (("net.xml",), "in a .bin file"),
        (("net.xml", "other.onnx"), "2 models"),
    ):
        with pytest.raises(MedDiffError, match=said):
            spec(*names)
    with pytest.raises(MedDiffError, match="low 0 must be below high 0"):
        spec("other.onnx", contract=(*CONTRACT[:5], 0, *CONTRACT[6:]))


# ---------------------------------------------------------------- what is shown


def result_of(blocks: int, names: tuple[str, ...] = ("boxes.onnx",)) -> Result:
    detectors = tuple(DetectorInfo(name=name, spec=name, contract=CONTRACTS[name]) for name in names)
    plan = StressPlan(patients=blocks, factors={"size_mm": (8.0, 16.0, 32.0), "noise": (1.0, 2.0)})
    return Result(plan, detectors, "c" * 64, "MedDiff", tuple(simulate(blocks, names=names)), True)


def test_a_growing_run_shows_the_figures_that_the_finished_one_confirms():
    result = result_of(12, ("boxes.onnx", "classifier.onnx"))
    growing, finished = stress_view.growing(result), stress_view.finished(result, [(1.0, False), (3.0, True)])
    shares = re.compile(r"\d+% \(\d+% to \d+%\) of the lesions found")
    assert shares.findall(growing.head) == shares.findall(finished.head) and len(shares.findall(growing.head)) == 2
    assert growing.curve.startswith("<svg") and "learners" in finished.curve and "learners" not in growing.curve
    assert growing.levels.count("<figcaption>") == 2 and "Size" in growing.levels and not growing.all
    assert "At every threshold" in finished.all and "50% found from" in finished.curve
    assert "No trial is finished yet" in stress_view.growing(Result(result.plan, (), "", "", (), False)).head


def test_figures_of_a_run_at_work_are_computed_once_for_all_and_not_at_every_look():
    known, result = stress_view.Growing(), result_of(4)
    first = known.of("run", result, (), last=False)
    more = Result(result.plan, result.detectors, "", "", result.outcomes[:-1], False)
    assert known.of("run", more, (), last=False) is first  # too soon
    assert known.of("run", result, (), last=False) is first and known.of("run", result, (), last=True).all


def test_failures_are_listed_by_kind_the_clearest_lesion_first():
    result = result_of(12)
    found = failures(result)
    missed = stress_view.rows_of(found, stress_view.MISSED)
    assert missed and [float(row[2]) for row in missed] == sorted((float(row[2]) for row in missed), reverse=True)
    counting = {str(outcome.trial) for outcome in result.outcomes if outcome.counts}
    assert {row[0] for row in missed} <= counting and re.fullmatch(r"Size \d+, Noise \d", missed[0][1])
    silent = stress_view.rows_of(found, stress_view.SILENT)
    assert {int(row[0]) for row in silent} == {
        outcome.trial for outcome in result.outcomes if outcome.counts and any(a.fault for a in (outcome.answers["boxes.onnx"].case, outcome.answers["boxes.onnx"].twin))
    }  # fmt: skip


@pytest.mark.parametrize(
    ("live", "said"),
    [
        (Live("x", "starting", 0, 9), "the model and the detector are loaded"), (Live("x", "running", 3, 9, 200.0), "3 of 9 trials, about 3 minutes left"),
        (Live("x", "stopping", 3, 9), "after the cases at hand"), (Live("x", "stopped", 3, 9), "Stopped at 3 of 9"),
        (Live("x", "failed", 0, 9, error="<b> cannot be loaded."), "&lt;b&gt; cannot be loaded."), (Live("x", "finished", 9, 9), "Finished: 9"), (Live(), ""),
    ],
)  # fmt: skip
def test_how_far_a_run_is_is_told_in_words(live, said):
    told = stress_view.progress_of(live)
    assert said in told and bool(told) == bool(said)


# ---------------------------------------------------------------- in a browser

PLAN = """name: by the page
patients: 1
steps: 1
precision: fp32
redraws: 0
base: {pathology: glioma}
factors: {noise: [4]}
"""


@in_browser
def test_a_detector_is_tested_from_its_file_to_its_report(page, folder: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    model = write_onnx(tmp_path)
    page.get_by_role("tab", name="Stress").click()
    page.locator("#md-stress-outlook", has_text="220 trials").wait_for()
    assert page.get_by_label("An address (HTTP)").count() == 0  # the settings name none
    page.locator("#md-stress-one-source").get_by_label("A model file").check()
    page.set_input_files("#md-stress-one-files input[type=file]", str(model))
    page.locator("#md-stress-one-files", has_text="tiny").wait_for()
    page.click("#md-stress-check")
    page.locator("#md-stress-checked", has_text="it keeps its contract").wait_for()

    page.locator("#md-stress-text button").first.click()
    page.fill("#md-stress-plan textarea", PLAN)
    page.locator("#md-stress-plan textarea").blur()
    page.locator("#md-stress-outlook", has_text="2 trials").wait_for()
    page.click("#md-stress-start")
    page.locator("#md-stress-progress", has_text="Finished: 2 trials").wait_for()
    page.wait_for_selector("#md-stress-curve svg")
    assert re.search(r"tiny\s+\d+% \(\d+% to \d+%\) of the lesions found", page.inner_text("#md-stress-head"))
    (run,) = (folder / "bank" / "stress").glob("*/outcomes.json")
    assert (run.parent / "detectors" / "1" / "tiny.onnx").exists()  # the upload is gone with the page

    missed, alarms = (
        page.locator("#md-stress-which").get_by_label(name) for name in ("Missed lesions", "False alarms")
    )
    if page.locator("#md-stress-listed", has_text="No lesion was missed").count():
        alarms.check()
    else:
        missed.check()
    page.locator("#md-stress-listed", has_text="the clearest lesion first").wait_for()
    page.locator("#md-stress-table [role=gridcell]").first.click()
    page.wait_for_selector("#md-stress-case svg image")
    assert page.locator("#md-stress-case svg").count() == 2 and "case:" in page.inner_text("#md-stress-case")
    page.wait_for_selector("#md-stress-view .md-head")

    page.fill("#md-stress-limits textarea", "faults=0")
    for label, name in (("Report with", "report.html"), ("Pass or fail", "junit.xml"), ("Pack of all", ".zip")):
        page.click("#md-stress-what input")
        page.get_by_role("option", name=label).click()
        with page.expect_download() as waiting:
            page.click("#md-stress-export")
        waiting.value.save_as(tmp_path / name)
    assert "Passed: its threshold" in (tmp_path / "report.html").read_text()
    assert 'failures="0"' in (tmp_path / "junit.xml").read_text()
    with zipfile.ZipFile(tmp_path / ".zip") as pack:
        assert sum(name.endswith("-twin.dcm") for name in pack.namelist()) >= 2
