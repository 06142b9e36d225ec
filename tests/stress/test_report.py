"""The report: all in one file, everything from outside escaped, pictures sealed; JSON and JUnit for machines."""

import base64
import io
import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from lxml import etree, html
from PIL import Image

from benchmarks.page import CHROMIUM  # where the browser stands
from meddiff.case import MedDiffError
from meddiff.exchange.png import read_png
from meddiff.stress.records import Contract, Kind
from meddiff.stress.report import RunSummary, Tested, failing, write_json, write_junit, write_report
from meddiff.stress.scores import Scores, score
from meddiff.stress.thresholds import check
from tests.conftest import make_phantom
from tests.stress.simulated import CONTRACTS, blind_in, mark_at, sight_of, simulate

RUDE = "<script>alert('&\"')</script>"
SHOWN = 3  # of the failing cases, with pictures: to seal them takes its time


def renamed(outcomes, names: dict[str, str]):
    return [
        outcome.model_copy(update={"answers": {names.get(name, name): pair for name, pair in outcome.answers.items()}})
        for outcome in outcomes
    ]


@pytest.fixture(scope="module")
def outcomes():
    run = simulate(24, names=("boxes.onnx", "classifier.onnx"), truth=blind_in("posterior fossa"))
    return renamed(run, {"boxes.onnx": RUDE})


@pytest.fixture(scope="module")
def run() -> RunSummary:
    detectors = (
        Tested(name=RUDE, contract=CONTRACTS["boxes.onnx"], origin=RUDE),
        Tested(name="classifier.onnx", contract=CONTRACTS["classifier.onnx"]),
    )
    return RunSummary(
        title=f"Plan {RUDE}", plan=f"title: {RUDE}", plan_sha256="a" * 64, pack=RUDE, pack_sha256="b" * 64, detectors=detectors,
        seconds=12.5, command=f"meddiff stress run {RUDE}", versions=(("MedDiff", RUDE),),
    )  # fmt: skip


@pytest.fixture(scope="module")
def scores(outcomes, run) -> Scores:
    return score(outcomes, run.contracts)


@pytest.fixture(scope="module")
def verdicts(scores):
    return check(["sensitivity=0.8", "false_positive_share=0.5", "faults=0", "c80=99"], scores)


@pytest.fixture(scope="module")
def written(outcomes, run, scores, verdicts, tmp_path_factory) -> Path:
    phantom = make_phantom()
    chosen = {outcome.trial for outcome in failing(outcomes, run.contracts)[:SHOWN]}
    path = tmp_path_factory.mktemp("report") / "report.html"
    return write_report(
        run, outcomes, scores, path, verdicts, lambda o: sight_of(o, phantom) if o.trial in chosen else None
    )


@pytest.fixture(scope="module")
def page(written):
    return html.fromstring(written.read_text(encoding="utf-8"))


def text_of(page) -> str:
    return " ".join(page.text_content().split())


def test_nothing_from_outside_becomes_markup_and_nothing_is_fetched(written, page):
    source = written.read_text(encoding="utf-8")
    assert not list(page.iter("script", "link", "iframe")) and RUDE in page.text_content()
    addresses = [value for node in page.iter() for name, value in node.attrib.items() if name in ("src", "href")]
    assert addresses and all(address.startswith("data:image/png;base64,") for address in addresses)
    assert not re.findall(r"url\(|@import|https?://(?!www\.w3\.org/2000/svg)", source)
    assert "default-src 'none'" in source and "ValueError: &lt;shape&gt;" in source


def test_it_says_what_was_tested_how_it_did_and_what_it_does_not_say(page, scores, run):
    said = text_of(page)
    told = scores.detector(RUDE)
    for words in (
        f"found {round(told.sensitivity.value * told.trials)} of {told.trials} lesions",
        f"{scores.trials} trials made",
        "the lesion is smaller than asked",
        "unequally often by size_mm",
        f"Where {told.worst[0].words}, {told.worst[0].found} of {told.worst[0].n} lesions were found",
        "ValueError: <shape> & 'size' disagree",
        "a failure here is a hypothesis about the detector, to be confirmed on real images",
        "Never for diagnosis",
        "McNemar",
        run.plan_sha256[:16],
        "256 x 256, 1 channel, 0 to 1",
    ):
        assert words in said, words
    headings = [node.text_content() for node in page.iter("h2")]
    assert headings[0] == "Failed: 3 of 8 thresholds" and "Worst slices" in headings and "Failing cases" in headings


def test_failing_cases_stand_beside_their_twins_with_outline_and_marks(page, outcomes, run):
    cards = page.find_class("card")
    shown = failing(outcomes, run.contracts)
    assert len(cards) == len(shown) and [f"Trial {o.trial} {o.case}" for o in shown] == [
        node.text_content() for card in cards for node in card.iter("h3")
    ]
    for card in cards[:SHOWN]:
        pictures = list(card.iter("image"))
        assert [node.text_content() for node in card.iter("figcaption")] == ["case", "clean twin"]
        assert len(pictures) == 2 and len(card.find_class("outline")) == 1
    marks = sum(len(list(card.iter("rect"))) for card in cards[:SHOWN])
    kept = [
        m
        for o in shown[:SHOWN]
        for a in (o.answers[RUDE].case, o.answers[RUDE].twin)
        for m in a.marks
        if m.score >= 0.5
    ]
    assert marks == len(kept) and "No picture was kept" in cards[-1].text_content()


def test_its_pictures_are_sealed_and_carry_their_record(page, tmp_path):
    first = next(page.iter("image")).get("href").removeprefix("data:image/png;base64,")
    path = tmp_path / "x.png"
    path.write_bytes(base64.b64decode(first))
    pixels, provenance, *_ = read_png(path, "x.png")
    assert provenance.case_id.startswith("MD-") and "not for diagnosis" in provenance.notice.lower()
    assert Image.open(io.BytesIO(path.read_bytes())).size == pixels.shape[::-1]


def test_a_picture_that_is_not_sealed_does_not_leave(outcomes, run, scores, tmp_path):
    raw = SimpleNamespace(
        image=np.zeros((256, 256), np.uint8), twin=np.zeros((256, 256), np.uint8), mask=np.zeros((256, 256), bool)
    )
    with pytest.raises(MedDiffError, match="[Ss]ealed"):
        write_report(run, outcomes, scores, tmp_path / "x.html", pictures=lambda outcome: raw)
    assert not list(tmp_path.iterdir())


def test_the_clearest_misses_come_first_and_a_patient_once(outcomes, run):
    shown = failing(outcomes, run.contracts, most=6)
    values = [outcome.measures.conspicuity_acquired for outcome in shown]
    assert values == sorted(values, reverse=True) and len(shown) <= 12 and all(outcome.counts for outcome in shown)
    missed = [
        o for o in outcomes
        if o.counts and not any(m.hit and m.score >= 0.5 for m in o.answers[RUDE].case.marks)
    ]  # fmt: skip
    assert max(missed, key=lambda o: o.measures.conspicuity_acquired) in shown
    (one,) = failing(outcomes, {RUDE: CONTRACTS["boxes.onnx"]}, most=1)
    assert one in missed


def test_a_flawless_detector_has_a_report_without_failures(tmp_path):
    right = mark_at(97, 159, 0.9, True)
    outcomes = [
        o.model_copy(update={"answers": {"a": o.answers["boxes.onnx"].model_copy(update={"case": {"score": 0.9, "marks": (right,)}, "twin": {}})}})
        for o in simulate(4, faults=False)
    ]  # fmt: skip
    outcomes = [type(o).model_validate(o.model_dump()) for o in outcomes]
    contract = Contract(kind=Kind.BOXES)
    run = RunSummary(
        title="t", plan="", plan_sha256="", pack="p", pack_sha256="", detectors=(Tested(name="a", contract=contract),)
    )
    said = text_of(
        html.fromstring(write_report(run, outcomes, score(outcomes, {"a": contract}), tmp_path / "r.html").read_bytes())
    )
    assert (
        "No lesion was missed" in said and "no crash, no hang, no nonsense" in said and "Every lesion was found" in said
    )
    empty = write_report(run, [], score([], {}), tmp_path / "e.html").read_text()
    assert "No detector has answered yet" in empty


def test_json_holds_plan_scores_and_thresholds(run, scores, verdicts, tmp_path):
    told = json.loads(write_json(run, scores, tmp_path / "r.json", verdicts).read_text())
    assert Scores.model_validate(told["scores"]) == scores and RunSummary.model_validate(told["run"]) == run
    assert told["passed"] is False and [row["passed"] for row in told["thresholds"]].count(False) == 3
    assert json.loads(write_json(run, scores, tmp_path / "r.json").read_text())["passed"] is True


def test_junit_holds_a_test_case_a_threshold_and_a_failure_with_its_figure(run, verdicts, tmp_path):
    root = etree.parse(write_junit(run, verdicts, tmp_path / "r.xml")).getroot()
    assert (root.get("tests"), root.get("failures")) == ("8", "3") and root.get("name") == run.title
    suites = {suite.get("name"): suite for suite in root}
    assert set(suites) == {RUDE, "classifier.onnx"} and suites[RUDE].get("tests") == "4"
    failure = suites[RUDE].find("testcase[@name='sensitivity at least 0.8']/failure")
    assert re.search(
        r"sensitivity of .*: 0\.\d+ \(0\.\d+ to 0\.\d+\); it must be at least 0\.8\.", failure.get("message")
    )
    assert suites[RUDE].find("testcase[@name='faults at most 0']/failure") is not None
    assert suites["classifier.onnx"].find("testcase[@name='faults at most 0']/system-out").text.endswith("at most 0.")


def test_characters_that_xml_does_not_know_do_not_break_it(run, verdicts, tmp_path):
    strange = run.model_copy(update={"title": "a\x00\x1b[31mb\ufffe"})
    root = etree.parse(write_junit(strange, verdicts, tmp_path / "r.xml")).getroot()
    assert root.get("name") == "a\ufffd\ufffd[31mb\ufffd"


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
@pytest.mark.parametrize(("wide", "scheme"), [(1400, "light"), (400, "dark")])
def test_on_a_screen_and_on_a_phone_nothing_sticks_out_and_nothing_is_refused(written, wide, scheme):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": wide, "height": 900}, color_scheme=scheme)
        said = []
        page.on("console", lambda message: said.append(message.text))
        page.goto(written.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= wide and said == []
        out = page.evaluate(
            "[...document.querySelectorAll('td, p, li, dd, figcaption')].filter(n => n.scrollWidth > n.clientWidth + 1).length"
        )
        loaded = page.evaluate(
            "Promise.all([...document.querySelectorAll('image')].map(n => { const i = new Image(); i.src = n.href.baseVal; return i.decode().then(() => 1) }))"
        )
        ink, ground = page.evaluate(
            "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
        )
        browser.close()
    light = [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in (ink, ground)]
    assert out == 0 and len(loaded) == 2 * SHOWN
    assert (light[0] < light[1]) == (scheme == "light") and abs(light[0] - light[1]) > 400
