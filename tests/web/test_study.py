"""A reader study in a browser: planned, read by two to the end, a case suspended for the third, decided on, its results taken away."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import pytest

from meddiff.bank import Bank
from meddiff.case import MedDiffError, Status
from meddiff.marking import SealedCase
from meddiff.teaching.study import Design, Question, Source, assignment
from meddiff.teaching.study_analysis import analyse
from meddiff.teaching.study_store import StudyStore
from meddiff.web.study import candidates_of, readers_of, results_html
from meddiff.web.study_reader import Seat, next_of, said_by
from tests.exchange.dicom_support import case_of, request_of
from tests.teaching.study_support import paired, plan_of, readings_of, separated, unpaired
from tests.teaching.test_study_pictures import real_files
from tests.web.browser import in_browser


def accepted(seed: int) -> SealedCase:
    """An accepted case, another for each seed."""
    whole = case_of(request_of().model_copy(update={"seed": seed}))
    record = whole.case.model_copy(update={"status": Status.ACCEPTED, "reason": ""})
    return SealedCase(record, whole.image, whole.twin, whole.mask)


# ---------------------------------------------------------------- without a browser


def said(**more) -> dict:
    plain = {question.value: 3 for question in Question}
    return {**plain, "ai": 1, "sure": 4, "why": "", "alert": [], "alert_why": "", **more}


def test_a_reading_says_what_the_form_says_and_what_is_missing_is_told():
    plan = unpaired(cases=2)
    seat = Seat(plan.id, "anna", (plan.arms[0].pictures[0].id,))
    (found,) = said_by(plan, seat, 4, said(visibility=0, alert=["0"], alert_why=" no skull ", why="smooth"))
    assert found.ai_suspected and found.visibility is None and found.red_alert and found.seconds == 4
    assert (found.alert_reason, found.ai_reason) == ("no skull", "smooth")
    assert not said_by(plan, seat, 4, said(ai=0))[0].ai_suspected
    for missing, words in (
        ({"realism": None}, "Realism is not rated"),
        ({"ai": None}, "whether AI made it"),
        ({"sure": None}, "how sure"),
        ({"alert": ["0"]}, "needs a reason"),
    ):
        with pytest.raises(MedDiffError, match=words):
            said_by(plan, seat, 4, said(**missing))


def test_a_choice_between_two_becomes_a_reading_of_each():
    plan = plan_of({"real": (Source.REAL, ["1"]), "made": (Source.SYNTHETIC, ["1"])}, design=Design.PAIRS)
    given = assignment(plan, "anna")
    seat = Seat(plan.id, "anna", next_of(given, [])[0])
    left, right = said_by(plan, seat, 4, said(ai=1, alert=["0"], alert_why="no skull"))
    assert (left.picture, right.picture) == given.pictures and (left.ai_suspected, right.ai_suspected) == (False, True)
    assert (left.red_alert, right.red_alert, right.alert_reason, left.realism) == (True, False, "", None)
    assert next_of(given, given.pictures) == ((), 2)


def test_only_who_sits_at_this_computer_may_name_its_folders(tmp_path):
    real_files(tmp_path)
    arm = [("real", "folder", "real", str(tmp_path), None, "")] + [("", "", "", "", None, "")] * 2
    assert len(candidates_of(arm, "", "", tmp_path, local=True)["real"][1]) == 2
    with pytest.raises(MedDiffError, match="upload the pictures here"):
        candidates_of(arm, "", "", tmp_path, local=False)
    assert readers_of(" anna, ben\n\nchen ") == ["anna", "ben", "chen"]


def test_results_show_every_comparison_and_interval():
    plan = paired(cases=12)
    result = analyse(plan, readings_of(plan, separated(1)), resamples=200)
    told = results_html(result)
    assert told.count("<svg") == 5  # ratings, a ROC of each made arm, forced choice, agreement
    assert told.count(" less ") == 12 and "Wilcoxon signed rank" in told and "Fleiss" in told
    assert (
        len(re.findall(r"\[-?\d\.\d\d, -?\d\.\d\d\]", told)) == 12 + 2 * 2 + 2
    )  # the ratings are all 3: no agreement of them


# ---------------------------------------------------------------- in a browser


def _enter(page, link: str, name: str) -> None:  # type: ignore[no-untyped-def]
    page.goto(link)
    page.wait_for_selector("#md-study-enter")
    page.wait_for_function("document.querySelector('#md-study-id :is(input, textarea)').value.startsWith('RS-')")
    page.fill("#md-study-name :is(input, textarea)", name)
    page.click("#md-study-enter")
    page.locator("#md-study-room .md-reading img").wait_for()


def _picture(page) -> str:  # type: ignore[no-untyped-def]
    """The neutral id of the picture on the screen."""
    data = base64.b64decode(page.locator("#md-study-room .md-reading img").get_attribute("src").partition("base64,")[2])
    return re.search(rb"RP-[0-9a-f]{12}", data).group().decode()  # type: ignore[union-attr]


def _read(page, alert: str = "") -> None:  # type: ignore[no-untyped-def]
    """Answers the picture on the screen by keys alone."""
    page.locator("#md-study-realism.now").wait_for()
    for number, key in enumerate("453224", 1):  # realism to misleading, AI, sure
        page.keyboard.press(key)
        page.wait_for_function(
            "n => document.querySelectorAll('#md-study .md-rate input:checked').length === n", arg=number
        )
    if alert:
        page.keyboard.press("x")
        page.locator("#md-study-alarm input:checked").wait_for()
        page.keyboard.press("Enter")  # without a reason it is not taken
        page.locator("#md-study-complaint .md-alert", has_text="needs a reason").wait_for()
        page.fill("#md-study-alarm-why :is(input, textarea)", alert)
        page.click("#md-study-record")
    else:
        page.keyboard.press("Enter")


@in_browser
def test_a_study_from_plan_to_results_and_blind_all_the_way(page, address: str, folder: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    cases = [accepted(seed) for seed in (1, 2)]
    for case in cases:
        Bank(folder / "bank").keep(case)
    store = StudyStore(f"sqlite:///{folder / 'bank' / 'bank.sqlite'}")

    # It is planned, looked at, kept.
    page.get_by_role("tab", name="Teach").click()
    page.get_by_role("tab", name="Reader study").click()
    page.get_by_label("Name, for you").nth(0).fill("zebra")
    page.get_by_label("Name, for you").nth(1).fill("yak")
    page.locator("#md-plan-upload-B input[type=file]").set_input_files(real_files(tmp_path))
    page.locator("#md-plan-upload-B", has_text="Smith 1").wait_for()
    page.fill("#md-plan-readers textarea", "anna, ben\nchen")
    page.click("#md-plan-draw")
    page.locator("#md-plan-told", has_text="zebra: 2 synthetic, yak: 2 real").wait_for()
    assert page.locator("#md-plan-strips img").count() == 4 and store.plans() == ()
    page.click("#md-plan-keep")
    link = address + page.locator("#md-plan-told a").get_attribute("href")
    (plan,) = store.plans()
    bad = plan.arms[0].pictures[0]

    # Two read everything by keys; both raise a red alert at the same picture. One reloads in between.
    for reader in ("anna", "ben"):
        seat = page.context.browser.new_page(viewport={"width": 400 if reader == "ben" else 1400, "height": 900})
        seat.set_default_timeout(120_000)
        _enter(seat, link, reader)
        for place in range(1, 5):
            seat.locator("#md-study-at", has_text=f"Picture {place} of 4").wait_for()
            if place == 3:
                before = _picture(seat)
                seat.reload()
                seat.locator("#md-study-at", has_text="Picture 3 of 4").wait_for()
                assert _picture(seat) == before and len([r for r in store.readings(plan.id) if r.reader == reader]) == 2
            shown = seat.content()
            told = ["zebra", "yak", "Smith", "RC-", "synthetic picture", *(case.case.id for case in cases), *(p.sha256 for a in plan.arms for p in a.pictures)]  # fmt: skip
            assert not [word for word in told if word in shown]
            # Not in the page's source: its own words, in both languages, name every disease.
            assert "glioma" not in seat.inner_text("body")
            assert seat.evaluate("document.documentElement.scrollWidth <= innerWidth")
            _read(seat, "no such anatomy" if _picture(seat) == bad.id else "")
        seat.locator("#md-study-notice .md-note", has_text="read everything").wait_for()
        seat.close()
    assert len(store.readings(plan.id)) == 8 and store.suspended(plan.id) == (bad.case,)

    # The third no longer sees the case; a stranger sees nothing.
    seat = page.context.browser.new_page()
    seat.set_default_timeout(120_000)
    _enter(seat, link, "chen")
    seat.locator("#md-study-at", has_text="Picture 1 of 3").wait_for()
    seat.close()

    # Who plans reads why, decides, sees the results and takes them away.
    page.click("#md-plan-refresh")
    page.locator("#md-plan-alerts", has_text="suspended").wait_for()
    assert page.inner_text("#md-plan-alerts").count("no such anatomy") == 2
    page.click("#md-plan-case input")
    page.get_by_role("option", name=bad.case).click()
    page.locator("#md-plan-flagged img").wait_for()
    page.fill("#md-plan-who :is(input, textarea)", "Eve")
    page.fill("#md-plan-why :is(input, textarea)", "a variant")
    page.click("#md-plan-show")
    page.locator("#md-plan-alerts", has_text="shown again: a variant").wait_for()
    assert store.suspended(plan.id) == ()
    page.click("#md-plan-analyse")
    page.locator("#md-plan-results svg.md-plot").nth(2).wait_for()
    results = page.inner_text("#md-plan-results")
    assert "8 of 12 readings by 2 readers" in results and "AUC" in results and "Krippendorff" in results
    with page.expect_download() as waiting:
        page.click("#md-plan-take")
    waiting.value.save_as(tmp_path / "study.imrmc")
    text = (tmp_path / "study.imrmc").read_text()
    assert waiting.value.suggested_filename == f"{plan.id}.imrmc" and "NR: 2" in text and "BEGIN DATA:" in text
    assert json.loads(store.readings(plan.id)[0].canonical_json())["seconds"] > 0
