"""The Teach tab in a browser: questions written, edited, approved; a quiz picked, kept, taken away, and taken by a learner."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from benchmarks.page import CHROMIUM
from meddiff.bank import Bank
from meddiff.case import MedDiffError
from meddiff.teaching.item import State
from meddiff.teaching.quiz import list_quizzes
from meddiff.teaching.store import ItemSearch, Questions
from meddiff.web.teach import answer_of, edited
from tests.exchange.series_support import series_of
from tests.web.test_practice import questions_on


def test_every_kind_of_question_is_shown_with_its_key():
    told = [answer_of(item) for item in questions_on(series_of(3)[0])]
    assert "✓</td><td>brain abscess" in told[0] and "<td></td><td>glioma" in told[0]
    assert "inside the outline" in told[1] and "30 mm" in told[2] and "B C A" in told[3]


def test_an_edited_question_keeps_what_it_asks_and_must_have_one_right_choice():
    item = questions_on(series_of(3)[0])[0]
    rows = [[False, "brain abscess", ""], [True, "glioma", "Right."], ["", "", ""]]
    new = edited(item, " Which? ", "Look.", "one\n\ntwo", rows, 0)
    assert (new.stem, new.key, new.points) == ("Which?", 1, ("one", "two"))
    assert new.id == item.id and new.choices[1].feedback == "Right."
    with pytest.raises(MedDiffError, match="2 choices are marked as right"):
        edited(item, "Which?", "", "", [[True, "a", ""], [True, "b", ""]], 0)
    with pytest.raises((MedDiffError, ValidationError), match="stem"):
        edited(item, "", "", "", rows, 0)


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: install one to drive the page")
def test_an_educator_makes_a_quiz_and_a_learner_takes_it(page, folder: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    visits = series_of(3)[0]
    bank, questions = Bank(folder / "bank"), Questions(folder / "bank")
    for visit in visits:
        bank.keep(visit)
    items = questions_on(visits)[:3]
    questions.add(items)

    # A draft is read, edited, approved.
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
    for stem in ("What is it most likely?", "Where is the lesion?", "How large is the lesion?"):
        page.locator("#md-teach-list [role=gridcell]", has_text=stem).first.click()
        page.locator("#md-teach-item .stem", has_text=stem).wait_for()
        page.click("#md-teach-approve")
        page.locator("#md-teach-item", has_text="approved").wait_for()
    assert questions.find(ItemSearch(state=State.APPROVED)).total == 3

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
    told = [json.loads(given.answer.answer) for given in questions.answers()]
    assert len(told) == 2
