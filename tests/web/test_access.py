"""Behind the login, by HTTP: nobody gets in without a session, a learner gets at their own practice only, and a class at once loses nothing."""

from __future__ import annotations

import base64
import io
import os
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from PIL import Image

import app
from benchmarks.page import CHROMIUM, free_port
from meddiff.bank import Bank
from meddiff.case import MedDiffError
from meddiff.settings import HOUSE, settings
from meddiff.teaching import accounts
from meddiff.teaching.accounts import Role, add_account, list_accounts, remove_account, set_password
from meddiff.teaching.answers import Answers
from meddiff.teaching.item import Choice, ChoiceItem, Expected, FreeTextItem, Item, Kind, item_id
from meddiff.teaching.quiz import Quiz, delete_quiz, new_quiz_id, save_quiz
from meddiff.teaching.store import Questions
from meddiff.web.access import FREE, FRESH_S, Guesses, asked_for, language_of, login_page
from tests.exchange.series_support import series_of
from tests.web.browser import in_browser
from tests.web.conftest import SWITCHES
from tests.web.visitor import Visitor

CLASS = [f"student {number:02d}" for number in range(50)]
PASSWORD = "correct horse battery"
KEY, DRAFT, HIDDEN = "SECRET the ring is thin", "SECRET draft", "SECRET deleted quiz"
SENTENCE = "Axial T1 post-contrast, glioma"  # of every case in the bank


def questions_on(cases: list[str]) -> list[Item]:
    """Two questions to choose and one to write; what is told after the answer has `KEY` in it."""
    told = {"feedback": KEY, "points": (f"{KEY}, a teaching point.",), "pathology": "brain_abscess"}
    choices = (Choice(text="brain abscess"), Choice(text="glioma", feedback=f"{KEY}, and its is thick."))
    expected = (Expected(name="lesion", ways=("mass", "lesion")),)
    chosen = [
        ChoiceItem(
            id=item_id(Kind.DIAGNOSIS, [case]), kind=Kind.DIAGNOSIS, stem=f"What is it in head {n}?", cases=(case,), choices=choices, key=n, **told,
        )
        for n, case in enumerate(cases[:2])
    ]  # fmt: skip
    written = FreeTextItem(
        id=item_id(Kind.FREE_TEXT, cases[2:]), stem="Describe head 2.", cases=tuple(cases[2:]), expected=expected, **told
    )  # fmt: skip
    return [*chosen, written]


@dataclass(frozen=True)
class School:
    """The running page, and what stands behind it.

    Attributes:
        asked: approved questions, by their stems.
        quiz: id of a quiz of them.
        draft, hidden: ids of an item and a quiz that no learner may see.
    """

    address: str
    folder: Path
    questions: Questions
    asked: dict[str, Item]
    quiz: str
    draft: str
    hidden: str

    def enter(self, name: str) -> Visitor:
        """Somebody who is logged in."""
        visitor = Visitor(self.address)
        assert visitor.log_in(name, PASSWORD).status_code == 303
        return visitor

    def code(self, name: str) -> str:
        """The pseudonym of an account."""
        return next(account.learner for account in list_accounts(self.questions) if account.name == name)

    def said(self, stem: str, right: bool = True, words: str = "", sure: int = 3) -> list[Any]:
        """What the form sends as an answer to a question."""
        item = self.asked[stem]
        if isinstance(item, ChoiceItem):
            return [None, item.key if right else 1 - item.key, None, "", [], "", sure]
        return [None, None, None, f"{'a mass' if right else 'nothing'} {words}".strip(), [], "", sure]

    def answers(self, name: str) -> int:
        """How many answers of somebody are kept."""
        return len(self.questions.answers(Answers(learner=self.code(name))))


@pytest.fixture(scope="module", autouse=True)
def _cheap() -> Iterator[None]:
    """A hash carries its cost, so that the page checks these at once: sixty real ones take the cores half a minute."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(accounts, "_COST", 2)
        yield


@pytest.fixture(scope="module")
def school(tmp_path_factory: pytest.TempPathFactory) -> Iterator[School]:
    """The page with an educator, some learners and a class."""
    folder = tmp_path_factory.mktemp("school")
    (folder / "tmp").mkdir()
    bank, questions = Bank(folder / "bank"), Questions(folder / "bank")
    visits = series_of(3)[0]
    for visit in visits:
        bank.keep(visit)
    ids = [visit.case.id for visit in visits]
    items = questions_on(ids)
    draft = items[0].model_copy(update={"id": item_id(Kind.DIAGNOSIS, ids, 9), "stem": DRAFT})
    questions.add([*items, draft])
    asked = [questions.approve(item.id, "Ann") for item in items]
    quiz = save_quiz(questions, Quiz(id=new_quiz_id(), title="Heads", items=tuple(item.id for item in items)))
    hidden = save_quiz(questions, Quiz(id=new_quiz_id(), title=HIDDEN, items=(items[0].id,)))
    delete_quiz(questions, hidden.id)
    add_account(questions, "Ann", Role.EDUCATOR, PASSWORD)
    with (
        pytest.MonkeyPatch.context() as patch
    ):  # a hash carries its cost: sixty at full cost would take the cores half a minute
        patch.setattr(accounts, "_COST", 2)
        for name in ("lee", "kim", "sam", *CLASS):
            add_account(questions, name, Role.LEARNER, PASSWORD)

    port = free_port()
    environment = os.environ | {
        "MEDDIFF_CHECKPOINTS": str(folder / "no packs"),
        "MEDDIFF_CASEBANK": str(folder / "bank"),
        "TMPDIR": str(folder / "tmp"),
    }
    with open(folder / "log", "w") as log:
        running = subprocess.Popen(
            [sys.executable, str(HOUSE / "app.py"), "--port", str(port)], env=environment, stdout=log, stderr=log, cwd=folder
        )  # fmt: skip
    try:
        until = time.monotonic() + 120
        while "Everybody logs in" not in (folder / "log").read_text():
            assert running.poll() is None and time.monotonic() < until, (folder / "log").read_text()
            time.sleep(0.2)
        address = f"http://127.0.0.1:{port}"
        yield School(address, folder, questions, {item.stem: item for item in asked}, quiz.id, draft.id, hidden.id)
    finally:
        running.terminate()
        running.wait(60)
    assert list((folder / "tmp").glob("meddiff-*")) == []  # nothing that was shown stays behind


def routes() -> list[tuple[str, str]]:
    """Method and path of all that Gradio answers to, with something in each blank."""
    made = gr.routes.App.create_app(gr.Blocks(analytics_enabled=False)).routes
    made = [one for route in made for one in getattr(getattr(route, "original_router", None), "routes", [route])]
    paths = {(method, re.sub(r"\{[^}]*\}", "x", route.path)) for route in made for method in route.methods or ()}
    assert len(paths) > 60
    return sorted(paths | {("GET", "/gradio_api/file=/etc/hostname")})


def status_of(visitor: Visitor, method: str, path: str) -> int:
    """How a request is answered; what is streamed is not waited for."""
    with visitor.client.stream(method, path, json={} if method == "POST" else None) as answer:
        return answer.status_code


def open_practice(visitor: Visitor) -> dict[str, Any]:
    """What the page shows once it is loaded."""
    load = next(event for event in visitor.events() if event["targets"][0][1] == "load" and len(event["inputs"]) == 2)
    return visitor.shown(load, visitor.send(load))


def stem_of(shown: dict[str, Any]) -> str:
    """The question that is shown."""
    found = re.search(r'class="stem"[^>]*>([^<]*)<', shown["md-practice-stem"]["value"])
    assert found
    return found.group(1)


def codes_in(visitor: Visitor) -> set[str]:
    """Whose pseudonyms somebody was told to be theirs."""
    return set(re.findall(r"Your code: <b>(LR-[0-9a-f]{16})", "\n".join(visitor.heard)))


def secrets_in(visitor: Visitor) -> set[str]:
    """Which of what nobody may hear before they answer somebody heard, in words or in what a picture carries."""
    words = "\n".join(visitor.heard)
    for picture in re.findall(r"base64,([A-Za-z0-9+/=]+)", words):
        words += " ".join(map(str, Image.open(io.BytesIO(base64.b64decode(picture))).info.values()))
    assert "NOT FOR DIAGNOSIS" in words.upper()  # pictures were looked at
    return {secret for secret in (KEY, DRAFT, HIDDEN, SENTENCE) if secret in words}


# ---------------------------------------------------------------- the door


def test_nobody_gets_past_the_login(school: School) -> None:
    nobody = Visitor(school.address)
    for method, path in routes():
        if not path.startswith(("/login", "/logout")):
            assert status_of(nobody, method, path) == (303 if path == "/" else 401), (method, path)
    nobody.client.cookies.set(f"meddiff-session-{school.address.rsplit(':')[-1]}", "guessed")
    assert nobody.client.get("/config").json() == {"detail": "You are logged out: load the page again and log in."}


def test_a_learner_reaches_no_route_but_those_of_their_page(school: School) -> None:
    lee = school.enter("lee")
    ours = ("/login", "/login/", "/logout")
    answered = {path for method, path in routes() if path not in ours and status_of(lee, method, path) != 403}
    assert answered == {
        "/", "/config", "/theme.css", "/favicon.ico", "/manifest.json", "/assets/x", "/static/x",
        "/gradio_api/info", "/gradio_api/startup-events", "/gradio_api/heartbeat/x", "/gradio_api/queue/data", "/gradio_api/queue/join",
    }  # fmt: skip


def test_no_event_and_no_word_of_the_educators_page_is_there_for_a_learner(school: School) -> None:
    ann, lee = school.enter("Ann"), school.enter("lee")
    of_ann = {one["props"].get("elem_id") for one in ann.config()["components"]}
    of_lee = {one["props"].get("elem_id") for one in lee.config()["components"]} - {None}
    assert {
        "md-teach-list",
        "md-bank",
        "md-quiz-pick",
        "md-practice-answer",
        "md-stress-start",
        "md-stress-one-files",
    } <= of_ann
    assert all(name.startswith(("md-practice", "md-account")) for name in of_lee)
    own = {event["id"] for event in lee.events()}
    others = [event for event in ann.events() if event["id"] not in own]
    assert len(others) > 40
    for event in others:
        assert lee.send(event)["success"] is False
    assert str(school.folder / "bank") in str(ann.config()) and str(school.folder) not in str(lee.config())


def test_a_wrong_password_is_told_in_a_sentence_and_many_have_to_wait(school: School) -> None:
    visitor = Visitor(school.address)
    for name in ("sam", "nobody at all"):
        refused = visitor.log_in(name, "wrong password")
        assert refused.status_code == 403 and "do not fit each other" in refused.text
        assert not any(cookie.startswith("meddiff-session") for cookie in visitor.client.cookies)
    for _ in range(FREE["both"] - 1):
        visitor.log_in("sam", "wrong password")
    late = visitor.log_in("sam", PASSWORD)  # the right one has to wait too: nobody learns that it is right
    assert late.status_code == 429 and "Try again in" in late.text
    assert "密码错误次数过多" in visitor.log_in("sam", PASSWORD, **{"accept-language": "zh-CN,zh;q=0.9,en;q=0.8"}).text
    assert Visitor(school.address).client.post("/login", data={"name": "kim", "password": PASSWORD}).status_code == 403


def test_a_session_is_a_cookie_that_no_script_reads_and_ends_with_log_out(school: School) -> None:
    kim = Visitor(school.address)
    cookies = kim.log_in("Kim ", PASSWORD).headers.get_list("set-cookie")
    assert len(cookies) == 1 and {"HttpOnly", "Path=/", "SameSite=lax"} <= set(cookies[0].split("; "))
    word = dict(kim.client.cookies)
    assert kim.client.get("/").headers["cache-control"] == "no-store"
    assert kim.client.post("/logout").status_code == 303
    kim.client.cookies.update(word)
    assert kim.client.get("/config").status_code == 401


def test_a_removed_account_and_a_new_password_end_their_sessions(school: School) -> None:
    add_account(school.questions, "max", Role.LEARNER, PASSWORD)
    add_account(school.questions, "mia", Role.EDUCATOR, PASSWORD)
    one, other = school.enter("max"), school.enter("mia")
    assert one.client.get("/config").status_code == other.client.get("/config").status_code == 200
    remove_account(school.questions, "max")
    set_password(school.questions, "mia", "another password")
    time.sleep(FRESH_S + 0.5)
    assert one.client.get("/config").status_code == other.client.get("/config").status_code == 401
    assert other.log_in("mia", PASSWORD).status_code == 403


# ---------------------------------------------------------------- what a learner can hear


def test_before_they_answer_a_learner_hears_no_key_whatever_they_send(school: School) -> None:
    kim, lee = school.enter("kim"), school.enter("lee")
    open_practice(kim)
    stem = stem_of(open_practice(lee))
    answer = lee.event("md-practice-answer")
    ids = [
        school.code("kim"),
        school.draft,
        school.hidden,
        school.asked[stem].id,
        school.asked[stem].cases[0],
        0,
        {"a": 1},
    ]
    for event in lee.events():
        if event["id"] != answer["id"]:
            for value in ids:
                lee.send(event, [value] * len(event["inputs"]))
            lee.send(event, tab=kim.tab)
    for wrong in ({"a": 1}, "nowhere", 99, float(10**300)):
        lee.send(answer, [None, wrong, wrong, wrong, wrong, wrong, wrong])
    assert school.answers("lee") == school.answers("kim") == 0
    assert secrets_in(lee) == set() and codes_in(lee) == {school.code("lee")}

    assert stem_of(open_practice(lee)) == stem
    told = lee.shown(answer, lee.send(answer, school.said(stem)))
    assert (
        KEY in told["md-practice-feedback"]["value"] and school.answers("lee") == 1
    )  # the same test sees it once it is told


def test_a_tab_of_another_is_neither_heard_nor_moved(school: School) -> None:
    kim, lee = school.enter("kim"), school.enter("lee")
    stem = stem_of(open_practice(lee))
    before = school.answers("lee"), school.answers("kim")
    forward = lee.event("md-practice-next")
    body = {"data": [None], "fn_index": forward["id"], "session_hash": lee.tab}
    assert lee.client.post("/gradio_api/queue/join", json=body).status_code == 200
    assert all(message["msg"] != "process_completed" for message in kim.listen(lee.tab))
    assert any(message["msg"] == "process_completed" for message in lee.listen(lee.tab))
    kim.tab = lee.tab
    load = next(event for event in kim.events() if len(event["inputs"]) == 2 and event["targets"][0][1] == "load")
    shown = kim.shown(load, kim.send(load, [None, school.code("lee")]))  # a browser that says it is lee's
    assert school.code("kim") in shown["md-practice-who"]["value"]
    kim.send(kim.event("md-practice-erase"), [None, school.code("lee")])
    kim.send(kim.event("md-practice-answer"), school.said(stem_of(shown)))
    assert (school.answers("lee"), school.answers("kim")) == (before[0], before[1] + 1)
    assert stem_of(open_practice(lee)) == stem and codes_in(kim) == {school.code("kim")}


def test_no_file_of_the_server_is_served_or_taken_for_an_upload(school: School) -> None:
    database = school.folder / "bank" / "bank.sqlite"
    picture = next(path for path in (school.folder / "bank").rglob("*.png"))
    for name in ("lee", "Ann"):
        visitor = school.enter(name)
        for path in (database, picture, HOUSE / "app.py"):
            assert visitor.client.get(f"/gradio_api/file={path}").status_code == 403
        erase = visitor.event("md-practice-erase")
        named = {"path": str(database), "meta": {"_type": "gradio.FileData"}}
        assert visitor.send(erase, [None, named])["success"] is False
    assert list((school.folder / "tmp").rglob("bank.sqlite")) == []  # where Gradio puts what it takes


# ---------------------------------------------------------------- a class


def study(school: School, name: str) -> list[tuple[str, bool]]:
    """Logs in and answers every question, in a quiz or at their own pace; the stems in order, and whether they were right."""
    number, learner = CLASS.index(name), school.enter(name)
    said: list[tuple[str, bool]] = []
    shown = open_practice(learner)
    if number % 2:
        choose = learner.event("md-practice-what", "input")
        shown = learner.shown(choose, learner.send(choose, [None, school.quiz]))
    answer, forward = learner.event("md-practice-answer"), learner.event("md-practice-next")
    for turn in range(len(school.asked)):
        stem = stem_of(shown)
        right = (
            number % 2 == 0 or (number + turn) % 3 > 0
        )  # at one's own pace a wrong one would come back within a minute
        told = learner.shown(answer, learner.send(answer, school.said(stem, right, f"says {name}", 1 + turn)))
        assert ("not right" not in told["md-practice-feedback"]["value"]) is right
        said.append((stem, right))
        if turn < len(school.asked) - 1:
            shown = learner.shown(forward, learner.send(forward))
    assert codes_in(learner) == {school.code(name)}
    return said


def test_a_class_of_fifty_that_answers_at_once_loses_nothing_and_mixes_nothing(school: School) -> None:
    with ThreadPoolExecutor(len(CLASS)) as desks:
        said = dict(zip(CLASS, desks.map(lambda name: study(school, name), CLASS), strict=True))
    for name in CLASS:
        kept = school.questions.answers(Answers(learner=school.code(name)))
        assert len(kept) == len({given.answer.item for given in kept}) == len(school.asked)
        for turn, (given, (stem, right)) in enumerate(zip(kept, said[name], strict=True), 1):
            assert (given.answer.item, given.answer.right) == (school.asked[stem].id, right)
            assert given.answer.confidence == turn
            assert f"says {name}" in given.answer.answer or isinstance(school.asked[stem], ChoiceItem)


# ---------------------------------------------------------------- in a browser


@in_browser
def test_a_learner_logs_in_practises_on_a_phone_and_logs_out(school: School) -> None:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    add_account(school.questions, "Zoë", Role.LEARNER, PASSWORD)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        page = browser.new_page(viewport={"width": 400, "height": 800})
        page.set_default_timeout(120_000)
        page.goto(school.address)
        page.fill("#name", "zoë")
        page.fill("#password", "wrong password")
        page.press("#password", "Enter")
        page.locator("[role=alert]", has_text="do not fit").wait_for()
        page.fill("#password", PASSWORD)
        page.press("#password", "Enter")
        page.locator("#md-practice-room .md-reading img").first.wait_for()
        assert page.get_by_role("tab").all_inner_texts() == ["Practice", "About"]
        page.click("#md-practice-answer")
        page.locator("#md-practice-feedback", has_text=KEY).first.wait_for()
        page.locator("#md-practice-view .md-picture img").first.wait_for()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.click("#md-account button")
        page.locator("#name").wait_for()
        page.goto(school.address)
        assert page.locator("#password").is_visible() and school.answers("zoë") == 1
        browser.close()


# ---------------------------------------------------------------- without a server


def test_wrong_passwords_slow_down_by_name_and_by_address_and_are_forgotten() -> None:
    now = [0.0]
    guesses = Guesses(lambda: now[0])
    assert [guesses.wait("lee", "here") for _ in range(FREE["both"])] == [0.0] * FREE["both"]
    assert guesses.wait("lee", "here") == 1 and guesses.wait("kim", "here") == 0 and guesses.wait("lee", "there") == 0
    now[0] += 1
    assert guesses.wait("lee", "here") == 0 and guesses.wait("lee", "here") == 2
    for number in range(FREE["name"]):
        guesses.wait("sam", f"address {number}")
    assert guesses.wait("sam", "one more") == 1
    now[0] += 1
    assert guesses.wait("sam", "one more") == 0
    guesses.right("sam", "one more")
    assert [guesses.wait("sam", "one more") for _ in range(FREE["both"])] == [0.0] * FREE["both"]
    now[0] += 3600
    assert guesses.wait("lee", "here") == 0


def test_a_form_shows_what_was_typed_as_words_and_speaks_the_browsers_language() -> None:
    page = login_page("en", "word", "Told <b>", '"><script>')
    assert "Told &lt;b&gt;" in page and "<script>" not in page
    assert (language_of("zh-TW,en;q=0.5"), language_of("de,en;q=0.8,zh;q=0.5"), language_of("")) == ("zh", "en", "en")


def test_a_page_asks_for_a_login_as_soon_as_there_is_an_account(
    tiny_house: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not asked_for()
    assert app.main(["--login"]) == 2 and "meddiff users add" in capsys.readouterr().err
    add_account(Questions(), "Ann", Role.EDUCATOR, PASSWORD)
    assert asked_for()
    database = Path(settings().bank_url.removeprefix("sqlite:///"))
    for beside in database.parent.glob("bank.sqlite*"):
        beside.unlink()
    database.write_bytes(b"not a database" * 100)
    with pytest.raises(MedDiffError, match="cannot be read"):  # and is not taken for a bank without accounts
        asked_for()
    with pytest.raises(sqlite3.DatabaseError):
        sqlite3.connect(database).execute("SELECT 1 FROM accounts")
