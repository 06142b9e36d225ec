"""Practice and Teach in a browser: a code, a question, an answer, feedback with the twin; by mouse and by keys; gone on with after a reload."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from meddiff.bank import Bank, Review
from meddiff.exchange.png import read_png_record
from meddiff.marking import SealedCase
from meddiff.teaching.answers import Answer, Answers
from meddiff.teaching.item import Choice, ChoiceItem, Item, Kind, LocaliseItem, OrderItem, SizeItem, State, item_id
from meddiff.teaching.learner import new_learner
from meddiff.teaching.practice import read_cases
from meddiff.teaching.quiz import list_quizzes
from meddiff.teaching.store import ItemSearch, Questions
from meddiff.web.charts import days_plot
from meddiff.web.practice import look_alikes_of, marked_of, scored_of
from meddiff.web.reading import path_of, shown
from tests.exchange.series_support import series_of
from tests.web.browser import in_browser


@pytest.fixture(scope="module")
def visits() -> list[SealedCase]:
    return series_of(3)[0]


def questions_on(visits: list[SealedCase]) -> list[Item]:
    """One question of each way to answer."""
    one, two, three = (visit.case.id for visit in visits)
    common = {"feedback": "The ring is thin.", "points": ("A thin ring is an abscess until proven otherwise.",)}
    return [
        ChoiceItem(
            id=item_id(Kind.DIAGNOSIS, [one]), kind=Kind.DIAGNOSIS, stem="What is the most likely diagnosis?", cases=(one,),
            choices=(Choice(text="brain abscess"), Choice(text="glioma", feedback="Its rim is thick.")), key=0, pathology="brain_abscess", **common,
        ),
        LocaliseItem(id=item_id(Kind.LOCALISE, [two]), stem="Where is the lesion?", cases=(two,), pathology="glioma"),
        SizeItem(id=item_id(Kind.SIZE, [three]), stem="How large is the lesion?", cases=(three,), key_mm=30, tolerance_mm=5),
        OrderItem(
            id=item_id(Kind.ORDER, [three, one, two]), stem="Put the visits in order.", cases=(three, one, two), key=(one, two, three)
        ),
    ]  # fmt: skip


# ---------------------------------------------------------------- without a browser


def test_a_picture_that_asks_a_question_carries_its_notice_and_not_its_answer(visits, tmp_path):
    page = shown([visits[0].image])
    data = base64.b64decode(page.partition("base64,")[2].partition('"')[0])
    assert b"MedDiff" in data and b"NOT FOR DIAGNOSIS" in data.upper()
    for word in (visits[0].case.request.sentence, "glioma", "request"):
        assert word.encode() not in data and word not in page.replace(page[page.index("base64,") :], "")
    (tmp_path / "asked.png").write_bytes(data)
    with pytest.raises(Exception, match="carries no MedDiff record"):
        read_png_record(tmp_path / "asked.png")


def test_an_outline_is_drawn_around_its_pixels(visits):
    import numpy as np

    mask = np.zeros((10, 12), bool)
    mask[2:5, 3:7] = True
    corners = [tuple(map(float, part.split())) for part in path_of(mask).strip("M Z").split(" L")]
    columns, rows = zip(*corners, strict=True)
    assert (min(columns), max(columns), min(rows), max(rows)) == (3, 7, 2, 5)


def test_a_spot_and_an_outline_are_read_as_they_are_written_and_nonsense_is_neither():
    assert marked_of("12.5, 200.0") == [(12.5, 200.0)]
    assert marked_of("1, 2; 3, 4; 5, 6") == [(1, 2), (3, 4), (5, 6)]
    assert marked_of("") == marked_of("here") == marked_of("1, 2; 3") == []


def test_an_outline_that_was_drawn_is_scored_by_its_overlap(visits):
    item, mask = questions_on(visits)[1], visits[1].mask
    rows, columns = mask.nonzero()
    top, bottom, left, right = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
    box = f"{top}, {left}; {top}, {right}; {bottom}, {right}; {bottom}, {left}"
    score, kept = scored_of(item, {"spot": box}, [visits[1]])
    assert score.right and score.credit == pytest.approx(
        2 * mask.sum() / (mask.sum() + (bottom - top) * (right - left))
    )
    assert json.loads(kept)["outline"][0] == [top, left]
    away, _ = scored_of(item, {"spot": "1, 1; 1, 9; 9, 9; 9, 1"}, [visits[1]])
    assert not away.right and away.credit == 0
    point, kept = scored_of(item, {"spot": "1, 1; 1, 1; 1, 1"}, [visits[1]])  # nothing inside: a click
    assert not point.right and json.loads(kept) == {"click": [0.5, 0.5]}


def test_days_show_what_was_right_of_all():
    plot = days_plot([("2026-11-24", 2, 4), ("2026-11-25", 3, 3)])
    assert plot.count('class="all"') == plot.count('class="right"') == 2 and "2 of 4" in plot


def test_look_alikes_stand_side_by_side_where_the_learner_has_read_them(visits, tmp_path):
    bank, questions, items = Bank(tmp_path), Questions(tmp_path), questions_on(visits)
    for visit in visits:
        bank.keep(visit)
    questions.add(items)
    for item in items:
        questions.approve(item.id, "Ann")
    learner = new_learner(questions).id
    abscess = items[0].model_copy(update={"pathology": "glioma"})  # its look-alikes: an abscess for one
    assert read_cases(questions, learner, ["brain_abscess"]) == {}
    questions.answer(
        Answer(learner=learner, item=items[0].id, version=1, token="token-one", credit=1, right=True, answer="{}")
    )
    assert read_cases(questions, learner, ["brain_abscess", "metastasis"]) == {"brain_abscess": visits[0].case.id}
    told = look_alikes_of(abscess, {"brain_abscess": visits[0].image})
    assert told.count("<figure") == 1 and "<figcaption>brain abscess</figcaption>" in told
    assert "<figure" not in look_alikes_of(abscess, {}) and "thinner towards the ventricle" in look_alikes_of(
        abscess, {}
    )


# ---------------------------------------------------------------- in a browser


@pytest.fixture(scope="module")
def stocked(address: str, folder: Path, visits: list[SealedCase]) -> list[Item]:
    """The running app's bank with three cases and four approved questions on them."""
    bank = Bank(folder / "bank")
    for visit in visits:
        bank.keep(visit)
    questions = Questions(folder / "bank")
    items = questions_on(visits)
    questions.add(items)
    return [questions.approve(item.id, "Ann") for item in items]


def _answer(page, item: Item) -> None:  # type: ignore[no-untyped-def]
    """Answers the question that is shown, rightly, as its kind wants it."""
    if item.kind is Kind.DIAGNOSIS:
        page.keyboard.press("1")
        page.locator("#md-practice-choices input:checked").wait_for(state="attached")
    elif item.kind is Kind.LOCALISE:
        mask = Bank(item_bank).open(item.cases[0]).mask
        rows, columns = mask.nonzero()
        middle = sorted(zip(rows, columns, strict=True))[len(rows) // 2]
        image = page.locator("#md-practice-room .md-reading img")
        box = image.bounding_box()
        wide = image.evaluate("image => image.naturalWidth")
        page.mouse.click(
            box["x"] + (middle[1] + 0.5) * box["width"] / wide, box["y"] + (middle[0] + 0.5) * box["width"] / wide
        )
        page.locator("#md-practice-room circle.spot:visible").wait_for()
        page.click("#md-practice-room [data-tool=draw]")  # and then around it, which counts instead
        image.scroll_into_view_if_needed()
        box = image.bounding_box()

        def corner(row: int, column: int) -> tuple[float, float]:
            return box["x"] + column * box["width"] / wide, box["y"] + row * box["width"] / wide

        top, bottom, left, right = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
        page.mouse.move(*corner(top, left))
        page.mouse.down()
        for row, column in ((top, right), (bottom, right), (bottom, left), (top, left)):
            page.mouse.move(*corner(row, column), steps=4)
        page.mouse.up()
        page.locator("#md-practice-room circle.spot").wait_for(state="hidden")
        assert page.locator("#md-practice-room path.drawn").get_attribute("d").count("L") > 8
    elif item.kind is Kind.SIZE:
        page.fill("#md-practice-size input", "31")
    else:
        for case in item.key:  # type: ignore[union-attr]
            page.click("#md-practice-order input")
            page.get_by_role("option", name="ABC"[item.cases.index(case)], exact=True).click()
        page.keyboard.press("Escape")


item_bank: Path


@in_browser
def test_a_learner_reads_every_question_by_its_own_way_and_sees_the_twin(
    page, folder: Path, stocked: list[Item]
) -> None:  # type: ignore[no-untyped-def]
    global item_bank
    item_bank = folder / "bank"
    by_stem = {item.stem: item for item in stocked}
    page.get_by_role("tab", name="Practice").click()
    page.click("#md-practice-join")
    seen = []
    for number in range(len(stocked)):
        page.locator("#md-practice-answer").wait_for()
        stem = page.inner_text("#md-practice-stem .stem")
        assert (
            page.locator("#md-practice-view .md-picture img").count() == 0
        )  # the answer is not there before it is given
        if number == 1:  # a reload in the middle: the same learner, the same question
            code = (
                page.inner_text("#md-practice-who b", timeout=60_000) if page.is_visible("#md-practice-who") else None
            )
            page.reload()
            page.wait_for_selector("#md-create")
            page.get_by_role("tab", name="Practice").click()
            page.locator("#md-practice-answer").wait_for()
            assert page.inner_text("#md-practice-stem .stem") == stem and (code is None or code)
        _answer(page, by_stem[stem])
        page.get_by_label("5 certain").check()
        page.click("#md-practice-answer")
        page.wait_for_selector("#md-practice-feedback .md-badge")
        assert page.inner_text("#md-practice-feedback .md-badge") == "right", (
            stem,
            page.inner_text("#md-practice-feedback"),
        )
        page.wait_for_selector("#md-practice-view .md-picture img")
        if by_stem[stem].kind is not Kind.ORDER:
            assert page.locator("#md-practice-room path.outline").count() == 1
        seen.append(stem)
        page.click("#md-practice-next")
        page.wait_for_function(
            "stem => document.querySelector('#md-practice-stem .stem')?.innerText !== stem || document.querySelector('#md-practice-notice .md-note')",
            arg=stem,
        )
    assert sorted(seen) == sorted(by_stem)
    page.locator("#md-practice-notice .md-note", has_text="next is due").wait_for()
    answers = Questions(folder / "bank").answers(Answers())
    assert len(answers) == len(stocked) and all(given.answer.right and given.answer.seconds > 0 for given in answers)
    assert len({given.answer.learner for given in answers}) == 1


@in_browser
def test_a_learner_takes_their_data_and_erases_it(page, folder: Path, stocked: list[Item], tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    page.get_by_role("tab", name="Practice").click()
    page.click("#md-practice-join")
    page.locator("#md-practice-answer").wait_for()
    page.click("#md-practice-mine > button")
    code = page.inner_text("#md-practice-who b")
    page.click("#md-practice-answer")  # passed over
    page.wait_for_selector("#md-practice-feedback .md-badge")
    with page.expect_download() as waiting:
        page.click("#md-practice-export")
    waiting.value.save_as(tmp_path / "mine.json")
    told = json.loads((tmp_path / "mine.json").read_text())
    assert told["learner"]["id"] == code and len(told["answers"]) == 1
    page.click("#md-practice-erase")
    page.locator("#md-practice-notice .md-alert", has_text="Nothing was erased").wait_for()
    page.fill("#md-practice-erase-code :is(input, textarea)", code)
    page.click("#md-practice-erase")
    page.locator("#md-practice-notice", has_text="is erased").wait_for()
    assert Questions(folder / "bank").answers(Answers(learner=code)) == ()
    page.locator("#md-practice-join").wait_for()


@in_browser
def test_the_view_answers_to_keys_and_fits_a_phone(page, stocked: list[Item]) -> None:  # type: ignore[no-untyped-def]
    page.set_viewport_size({"width": 400, "height": 800})
    page.get_by_role("tab", name="Practice").click()
    page.click("#md-practice-join")
    page.locator("#md-practice-answer").wait_for()
    page.locator("#md-practice-room .md-reading img").first.wait_for()
    slope = "document.querySelector('#md-window-md-practice-room feFuncR').getAttribute('slope')"
    page.keyboard.press("i")
    assert float(page.evaluate(slope)) < 0
    page.keyboard.press("+")
    assert "scale(1.25)" in page.locator("#md-practice-room .pane").first.get_attribute("style")
    page.keyboard.press("r")
    assert float(page.evaluate(slope)) > 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@in_browser
def test_an_educator_makes_a_quiz_and_a_learner_takes_it(
    page, folder: Path, stocked: list[Item], tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    """The last test here: it edits what the others ask."""
    questions = Questions(folder / "bank")

    # A question is read, edited, approved again.
    page.get_by_role("tab", name="Teach").click()
    page.locator("#md-teach-list [role=gridcell]", has_text="Where is the lesion?").first.click()
    page.locator("#md-teach-item", has_text="inside the outline").wait_for()
    assert page.locator("#md-teach-room path.outline").count() == 1
    page.locator("#md-teach-list [role=gridcell]", has_text="most likely diagnosis").first.click()
    page.locator("#md-teach-item", has_text="brain abscess").wait_for()
    page.click("#md-teach-edit > button")
    page.fill("#md-teach-stem textarea", "What is it most likely?")
    page.fill("#md-teach-who input, #md-teach-who textarea", "Ann")
    page.click("#md-teach-save")
    page.locator("#md-teach-notice", has_text="Version 2").wait_for()
    assert questions.find(ItemSearch(state=State.APPROVED)).total == len(stocked) - 1
    page.click("#md-teach-approve")
    page.locator("#md-teach-item", has_text="version 2, approved").wait_for()
    assert questions.find(ItemSearch(state=State.APPROVED)).total == len(stocked)

    # A quiz is picked, its table read, kept and taken away.
    page.get_by_role("tab", name="Quizzes").click()
    page.fill("#md-quiz-title :is(input, textarea)", "Rings")
    page.fill("#md-quiz-count input", "2")
    page.locator("#md-quiz-normals input[type=number]").fill("0")
    page.locator("#md-quiz-normals input[type=number]").press("Tab")
    page.click("#md-quiz-pick")
    page.locator("#md-quiz-blueprint", has_text="about").wait_for()
    page.click("#md-quiz-save")
    page.locator("#md-quiz-notice .md-note", has_text="Rings is saved").wait_for()
    (kept,) = list_quizzes(questions)
    assert kept.quiz.title == "Rings" and len(kept.quiz.items) == 2
    with page.expect_download() as waiting:
        page.click("#md-quiz-take")
    waiting.value.save_as(tmp_path / "quiz.xml")
    assert (tmp_path / "quiz.xml").read_text(encoding="utf-8").count("<question type=") >= 2

    # A learner takes it, passing over everything, and is told how it went.
    page.get_by_role("tab", name="Practice").click()
    page.click("#md-practice-join")
    page.locator("#md-practice-answer").wait_for()
    page.click("#md-practice-what input")
    page.get_by_role("option", name="Quiz: Rings").click()
    for number in (1, 2):
        page.locator("#md-practice-stem", has_text=f"question {number} of 2").wait_for()
        page.click("#md-practice-answer")
        page.wait_for_selector("#md-practice-feedback .md-badge")
        page.click("#md-practice-next")
    page.locator("#md-practice-notice .md-note", has_text="0 of 2 right").wait_for()
    assert len(questions.answers(Answers(quiz=kept.quiz.id))) == 2

    # Whoever teaches looks at how they did, and opens a question out of the list to change it.
    page.get_by_role("tab", name="Teach").click()
    page.get_by_role("tab", name="Statistics").click()
    page.locator("#md-stats-summary", has_text="fewer than 10 answers").wait_for()
    page.locator("#md-stats-list [role=gridcell]", has_text="Diagnosis").first.click()
    page.locator("#md-stats-item", has_text="Fewer than 10 answers").wait_for()
    with page.expect_download() as waiting:
        page.click("#md-stats-csv")
    waiting.value.save_as(tmp_path / "statistics.csv")
    assert kept.quiz.items[0] in (tmp_path / "statistics.csv").read_text(encoding="utf-8-sig")
    page.click("#md-stats-correct")
    page.locator("#md-stats-before .md-note", has_text="corrected by").wait_for()
    page.click("#md-stats-edit")
    page.locator("#md-teach-stem").wait_for()
    assert page.locator("#md-teach-stem textarea").input_value() == "What is it most likely?"

    # A case is taken out of use: its question is held back, and cannot be approved again.
    case = stocked[0].cases[0]
    Bank(folder / "bank").review(case, Review.REJECTED, "Ann", "blurred")
    page.click("#md-teach-approve")
    page.locator("#md-teach-notice .md-alert", has_text="rejected by Ann").wait_for()
    page.fill("#md-teach-search :is(input, textarea)", "likely")
    page.locator("#md-teach-notice .md-alert", has_text="not shown to learners").wait_for()
