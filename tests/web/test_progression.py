"""The Progression tab: what its form means, and in a real browser a series that is made, looked at, kept and taken away."""

from __future__ import annotations

import base64
import re
import zipfile
from datetime import date
from pathlib import Path

import pytest

from meddiff.case import MedDiffError
from meddiff.conditions.growth import LAWS, parse_law
from meddiff.conditions.vocabulary import load_pathologies
from meddiff.web import course
from meddiff.web.charts import growth_curve, ticks, timeline
from tests.web.browser import in_browser

DISEASES = load_pathologies()
GLIOBLASTOMA = DISEASES["glioblastoma"]


@pytest.mark.parametrize(
    ("text", "days"), [("0, 60, 120", (0, 60, 120)), ("90 0 30", (0, 30, 90)), ("0;7", (0, 7)), ("5", (5,))]
)
def test_visits_are_read_in_any_order(text, days):
    assert course.read_days(text) == days


@pytest.mark.parametrize(
    ("text", "said"),
    [("0, 60, 60", "two visits on day 60"), ("0, soon", "“soon”"), ("-3, 0", "“-3”"), (" ", "no visit yet"), ("1.5", "“1.5”")],
)  # fmt: skip
def test_days_that_are_none_are_named(text, said):
    with pytest.raises(MedDiffError, match=said):
        course.read_days(text)
    assert said in course.shown_timeline(text, "2030-01-01")


def test_a_date_that_is_none_is_named():
    assert course.read_date("2031-02-03") == date(2031, 2, 3)
    with pytest.raises(MedDiffError, match="“tomorrow” is no date"):
        course.read_date("tomorrow")


def test_every_law_can_be_chosen_and_every_parameter_has_a_slider():
    assert set(course.LAW_NAMES) == set(LAWS)
    parameters = {name for kind in LAWS.values() for name in kind.model_fields} - {"law"}
    assert parameters == set(course.KNOBS)


@pytest.mark.parametrize("key", sorted(DISEASES))
def test_untouched_sliders_say_the_disease_s_own_law(key):
    disease = DISEASES[key]
    for entry in disease.growth.laws:
        values = course.knobs_of(entry.law.law, disease)
        for name, value in values.items():
            knob = course.KNOBS[name]
            assert (knob.low <= value or knob.optional) and value <= course.reach(name, value) <= knob.high
        assert parse_law(course.law_words(entry.law.law, values), disease) == entry.law
        assert entry.source.rstrip(".") in course.source_of(entry.law.law, disease).replace("&#x27;", "'").replace(
            "&amp;", "&"
        )


@pytest.mark.parametrize("law", sorted(LAWS))
def test_a_law_without_figures_starts_at_some_that_can_be_drawn(law):
    for disease in DISEASES.values():
        if law not in {entry.law.law for entry in disease.growth.laws}:
            parse_law(course.law_words(law, course.knobs_of(law, disease)), disease)
            assert "No figures" in course.source_of(law, disease)


def test_the_laws_with_figures_come_first():
    choices = [law for _, law in course.law_choices(GLIOBLASTOMA)]
    own = [entry.law.law for entry in GLIOBLASTOMA.growth.laws]
    assert choices[: len(own)] == own and sorted(choices) == sorted(LAWS)


def _forecast(law: str, days: str, **values: float) -> str:
    return course.forecast(course.EXAMPLE, days, law, {**course.knobs_of(law, GLIOBLASTOMA), **values})


def test_the_curve_is_drawn_before_anything_is_made_with_its_units():
    shown = _forecast("gompertz", "0, 60, 120")
    assert shown.count('class="asked"') == 3 and "md-alert" not in shown
    assert "Days since day 0" in shown and "Area in the slice (mm²)" in shown
    assert "from 24 mm at day 0" in shown


def test_a_law_that_outgrows_the_head_or_the_disease_is_told_before_anything_is_made():
    assert re.search("On day 200 this asks for a lesion .* holds about", _forecast("exponential", "0, 200"))
    assert "Faster than glioblastoma is known to change" in _forecast("exponential", "0, 20", doubling_days=4)
    assert "Faster than" not in _forecast("resection", "0, 30", surgery_day=14)  # surgery is no growth


def test_a_law_that_contradicts_the_lesion_is_a_sentence_instead_of_a_curve():
    assert "cannot grow towards 20 mm" in _forecast("gompertz", "0, 60", limit_mm=20)
    assert "follows a disease" in course.forecast("Axial T1 post-contrast, left frontal mass", "0", "stable", {})


@pytest.mark.parametrize(("highest", "last"), [(1, 1), (982, 1000), (180, 200), (0.3, 0.3), (5000, 6000)])
def test_axes_end_at_a_round_number_at_or_above_the_highest(highest, last):
    assert ticks(highest)[0] == 0 and ticks(highest)[-1] == pytest.approx(last)


def test_dates_that_would_lie_on_each_other_go_below_the_line_or_are_left_out():
    far, near = timeline([(0, "a"), (90, "b")]), timeline([(0, "a"), (1, "b"), (2, "c"), (90, "d")])
    assert far.count("<text") == 2 and 'viewBox="0 0 360 54"' in far
    assert near.count("<circle") == 4 and near.count("<text") == 3 and 'viewBox="0 0 360 92"' in near
    assert "day 2, c" in near  # said all the same


def test_what_fills_the_head_is_drawn_only_where_the_curve_comes_near_it():
    assert "fits the head" not in growth_curve([(0, 100), (10, 200)], most_mm2=5000)
    assert "fits the head" in growth_curve([(0, 100), (10, 4000)], most_mm2=5000)


# ---------------------------------------------------------------- in a browser


def _open(page, days: str) -> None:  # type: ignore[no-untyped-def]
    """The tab, with the arithmetic that the pack with random weights has."""
    page.get_by_role("tab", name="Progression").click()
    page.locator("#md-series-options button").first.click()
    page.locator("#md-series-options").get_by_label("Exact (fp32)").check()
    page.fill("#md-series-days :is(input, textarea)", days)


def _choose_law(page, words: str) -> None:  # type: ignore[no-untyped-def]
    page.click("#md-series-law input")
    page.get_by_role("option", name=words).click()


@in_browser
def test_a_series_is_made_looked_at_kept_and_taken_away(page, folder: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    from meddiff.bank import Bank
    from meddiff.exchange.png import read_png_record

    _open(page, "0, 40, 80")
    page.locator("#md-series-timeline", has_text="2030-03-22").wait_for()
    page.click("#md-series-make")
    page.wait_for_selector("#md-series .md-head")
    page.wait_for_function("document.querySelectorAll('#md-film img').length === 3")
    captions = page.locator("#md-film .caption-label").all_inner_texts()
    assert [re.match(r"Day (\d+)\n(\S+)", words).groups() for words in captions] == [
        ("0", "2030-01-01"),
        ("40", "2030-02-10"),
        ("80", "2030-03-22"),
    ]
    assert "3 visits of one patient" in page.inner_text("#md-series .md-head")

    # Another visit is looked at, beside its twin and beside the first.
    shown = page.inner_text("#md-progression-view .md-head b")
    page.locator("#md-film button").nth(1).click()
    page.wait_for_function(f"document.querySelector('#md-progression-view .md-head b').innerText !== '{shown}'")
    page.get_by_label("The first visit").check()
    above = "getComputedStyle(document.querySelector('#md-progression-view .md-stage'), '::before').content"
    page.wait_for_function(f"{above}.includes('day 0')")

    # The two pictures whose difference the browser shows are sealed files.
    page.get_by_role("tab", name="Changes").click()
    page.wait_for_selector("#md-difference .over")
    records = []
    for source in page.eval_on_selector_all("#md-difference .glow img", "images => images.map(i => i.src)"):
        (tmp_path / "laid.png").write_bytes(base64.b64decode(source.partition(",")[2]))
        records.append(read_png_record(tmp_path / "laid.png")[0])
    assert [record.request.visit.day for record in records] == [0, 40]

    page.get_by_role("tab", name="Growth").click()
    assert page.locator("#md-series-curve circle.measured").count() == 3
    assert page.locator("#md-series-curve circle.asked").count() == 3
    assert page.locator("#md-series-visits tr.visit").count() == 3
    assert page.locator("#md-series-checks tbody tr").count() >= 4

    page.click("#md-series-keep")
    page.wait_for_selector("#md-series-told .md-note")
    bank = Bank(folder / "bank")
    kept = [case for case in bank.list() if case.request.visit]
    assert bank.series_report(kept[0].request.visit.series)
    assert sorted(case.request.visit.day for case in kept) == [0, 40, 80]

    with page.expect_download() as waiting:
        page.click("#md-series-zip")
    waiting.value.save_as(tmp_path / "series.zip")
    with zipfile.ZipFile(tmp_path / "series.zip") as archive:
        archive.extractall(tmp_path / "out")
    (out,) = (tmp_path / "out").iterdir()
    beside = {"series.json", "measurements.csv", "items.json", f"{out.name}.gif", f"{out.name}.mp4"}
    assert {path.name for path in out.iterdir()} == beside | {"day-000", "day-040", "day-080"}
    pictures = [path for path in (tmp_path / "out").rglob("*.png") if not path.stem.endswith("-outline")]
    told = [read_png_record(path)[0] for path in pictures]
    assert {record.case_id for record in told} == {case.id for case in kept}
    assert {record.role for record in told} == {"case", "twin"}
    for case in kept:
        bank.delete(case.id)
    bank.tidy(deleted_days=0)


@in_browser
def test_a_series_that_cannot_be_made_is_answered_in_words(page) -> None:  # type: ignore[no-untyped-def]
    _open(page, "0, 60, 60")
    page.locator("#md-series-timeline .md-alert", has_text="two visits on day 60").wait_for()
    page.click("#md-series-make")
    page.locator("#md-series-notice .md-alert", has_text="two visits on day 60").wait_for()

    page.fill("#md-series-days :is(input, textarea)", "0, 300")
    _choose_law(page, "Even doubling")
    page.locator("#md-series-forecast .md-alert", has_text="a slice of the head holds about").wait_for()
    page.click("#md-series-make")
    page.locator("#md-series-notice .md-alert", has_text="outgrows the head").wait_for()
    page.locator("#md-series-stop:disabled").wait_for()


@in_browser
def test_the_choices_follow_the_disease_and_show_where_their_figures_come_from(page) -> None:  # type: ignore[no-untyped-def]
    _open(page, "0, 365")
    assert page.is_visible("#md-knob-doubling-days") and not page.is_visible("#md-knob-mm-per-year")
    page.fill("#md-series-sentence textarea", "Axial T1 post-contrast, left frontal meningioma, 24 mm")
    page.locator("#md-series-days :is(input, textarea)").focus()
    page.locator("#md-series-understood", has_text="meningioma").wait_for()
    source = DISEASES["meningioma"].growth.laws[0].source
    page.locator("#md-series-source", has_text=source[:40]).wait_for()
    _choose_law(page, "Even growth in mm")
    page.wait_for_selector("#md-knob-mm-per-year")
    assert not page.is_visible("#md-knob-doubling-days")
    before = page.inner_html("#md-series-forecast")
    page.locator("#md-knob-mm-per-year input[type=range]").focus()
    page.keyboard.press("PageUp")
    page.wait_for_function("html => document.querySelector('#md-series-forecast').innerHTML !== html", arg=before)


@in_browser
def test_stop_ends_a_series_and_another_can_be_made(page) -> None:  # type: ignore[no-untyped-def]
    _open(page, ", ".join(map(str, range(0, 200, 10))))
    page.click("#md-series-make")
    page.locator("#md-series-stop:enabled").click()
    page.locator("#md-series-notice .md-note", has_text="Stopped").wait_for()
    page.fill("#md-series-days :is(input, textarea)", "0")
    page.click("#md-series-make")
    page.wait_for_selector("#md-series .md-head")
    assert page.locator("#md-film img").count() == 1


@in_browser
def test_the_tab_fits_a_phone(page) -> None:  # type: ignore[no-untyped-def]
    page.get_by_role("tab", name="Progression").click()  # a phone shows it behind "…"
    page.set_viewport_size({"width": 400, "height": 800})
    page.wait_for_selector("#md-series-make")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
