"""The page: eight tabs, a line that says whether the model is ready, and a footer that never goes away."""

from __future__ import annotations

import atexit
import html
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # before gradio is imported: it reads this once
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import gradio as gr
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from meddiff.case import MedDiffError
from meddiff.settings import settings
from meddiff.web import (
    about,
    access,
    bank,
    create,
    evaluate,
    language,
    learners,
    practice,
    progression,
    reading,
    stress,
    study,
    study_reader,
    teach,
    verify,
    viewer,
)
from meddiff.web.models import Models
from meddiff.web.style import CSS, FOOTER, theme

TAGLINE = "Synthetic teaching cases from a sentence and an outline."
VIEWERS = ("md-create-view", "md-progression-view", "md-bank-view", "md-practice-view", stress.VIEW)
ROOMS = (practice.NAME, "md-teach-room", "md-quiz-room", study_reader.NAME)
AT_ONCE = 8  # events of one kind
OPEN_TO_ALL = (
    "Nobody has to log in: whoever reaches this address sees and changes everything. `meddiff users add NAME --role educator` "
    "makes the first account, and from the next start on everybody logs in."
)
NOBODY_CAME_S = 10.0  # after which the model is loaded even if no browser has shown the page yet
# The browser itself is told to fetch nothing from elsewhere, whatever a library's page might ask for.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' blob: data:; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)


class StayHome:
    """Adds the content security policy to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"],
                    (b"content-security-policy", POLICY.encode()),
                    (b"referrer-policy", b"no-referrer"),
                    (b"x-content-type-options", b"nosniff"),
                ]
            await send(message)

        await self.app(scope, receive, with_policy if scope["type"] == "http" else send)


def build(models: Models, files: Path, whose: Callable[[gr.Request], str] | None = None) -> gr.Blocks:
    """The whole page.

    Args:
        files: folder for pictures and downloads of this run.
        whose: where people log in, the pseudonym of whoever sent an event.
    """
    with language.Page(title="MedDiff", analytics_enabled=False, delete_cache=(3600, 86400)) as page:
        with gr.Row(elem_classes="md-header"):
            gr.HTML(f'<div class="md-top"><h1>MedDiff</h1><p>{TAGLINE}</p></div>', min_width=320)
            state = gr.HTML(_state(models), elem_id="md-state", min_width=320)
            if whose:
                who_is_in, account = access.place()
        with gr.Tabs():
            with gr.Tab("Create"):
                fields = create.build(models, files)
            with gr.Tab("Practice") as practice_tab:
                go_on, learner, before_them = practice.build(files, whose)
            with gr.Tab("Progression"):
                over_time = progression.build(models, files)
            with gr.Tab("Case bank") as bank_tab:
                fill, filters, filled = bank.build(files)
            with gr.Tab("Teach") as teach_tab:
                list_items, wanted, items_listed = teach.build(models, files)
            with gr.Tab("Stress") as stress_tab:
                open_lab, looked_at, lab_opened = stress.build(models, files)
            with gr.Tab("Evaluate") as evaluate_tab:
                show_figures, chosen, figures_shown = evaluate.build(models)
            with gr.Tab("Verify"):
                verify.build(files)
            with gr.Tab("About"):
                tell, told = about.build(models)
        gr.HTML(f'<div class="md-foot" role="contentinfo">{FOOTER}</div>', elem_classes="md-footer-slot")

        quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        bank_tab.select(fill, filters, filled, **quiet)
        teach_tab.select(list_items, wanted, items_listed, **quiet)
        stress_tab.select(open_lab, looked_at, lab_opened, **quiet)
        evaluate_tab.select(show_figures, chosen, figures_shown, **quiet)
        practice_tab.select(go_on, learner, before_them, **quiet)
        clock = gr.Timer(1.0)
        known = gr.State(
            False
        )  # whether this visitor's form already has the packs' names and defaults: set once, never over a choice

        def tick(packs_known: bool) -> list[Any]:
            if packs_known or models.state[0] == "loading":
                return [_state(models), packs_known, *(gr.skip() for _ in range(5))]
            packs, steps = create.pack_defaults(models)
            return [_state(models), True, tell(), packs, steps, packs, gr.Timer(5.0)]

        if whose:
            page.load(who_is_in, None, account, **quiet)
        page.load(create.in_language, None, [fields["preset"], fields["sentence"], fields["understood"]], **quiet)
        page.load(progression.in_language, None, over_time["sentence"], **quiet)
        page.load(models.load_in_background, **quiet)  # not sooner: two cores show the page faster without it
        clock.tick(
            tick, known, [state, known, told, fields["pack"], fields["steps"], over_time["pack"], clock], **quiet
        )
    with page.route("Reader study", study_reader.PATH, show_in_navbar=False):  # it shows nothing else
        gr.HTML('<div class="md-top"><h1>MedDiff</h1></div>', elem_classes="md-header")
        sit, before, seated = study_reader.build_reader()
        gr.HTML(f'<div class="md-foot" role="contentinfo">{study_reader.FOOTER}</div>', elem_classes="md-footer-slot")
        page.load(sit, before, seated, **quiet)
    return page


def _state(models: Models) -> str:
    kind, words = models.state
    return f'<span class="md-state {kind}" role="status">{html.escape(words)}</span>'


def serve(host: str = "127.0.0.1", port: int = 7860, login: bool = False) -> None:
    """Shows the page and stays until it is stopped; the model loads beside it. Where accounts exist, everybody logs in.

    Args:
        login: do not open without accounts.

    Raises:
        MedDiffError: when the port is taken, vocabulary, settings or accounts cannot be read, or there is no account where
            there must be one.
    """
    behind_login = access.asked_for()
    if login and not behind_login:
        raise MedDiffError("Nobody could log in: make an account first, `meddiff users add NAME --role educator`.")
    files = Path(tempfile.mkdtemp(prefix="meddiff-"))  # readable by this user only; gone when the app stops
    atexit.register(shutil.rmtree, files, ignore_errors=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that uploads are removed then too
    os.environ["GRADIO_TEMP_DIR"] = str(files / "page")
    models = Models()
    look: dict[str, Any] = {
        "theme": theme(),
        "css": CSS
        + reading.CSS
        + study.CSS
        + study_reader.CSS
        + stress.CSS
        + evaluate.CSS
        + "".join(map(viewer.css, VIEWERS))
        + "".join(map(reading.css, ROOMS)),
        "max_file_size": f"{settings().max_upload_mb}mb",
        "ssr_mode": False,
        "pwa": False,
        "mcp_server": False,
        "footer_links": [],
    }

    def opened() -> None:
        print(f"MedDiff is open at http://{host}:{port}  ({FOOTER} Stop it with Ctrl+C.)", flush=True)
        if behind_login:
            print("Everybody logs in: `meddiff users list` shows who can.", flush=True)
        elif not _this_computer_only(host):
            print(OPEN_TO_ALL, flush=True)
        waiting = threading.Timer(NOBODY_CAME_S, models.load_in_background)
        waiting.daemon = True
        waiting.start()

    try:
        if behind_login:
            _serve_behind_login(models, files, host, port, look, opened)
        else:
            _serve(models, files, host, port, look, opened)
    except OSError as error:
        raise MedDiffError(
            f"The page cannot open on {host}:{port}: the port is taken. Choose another with --port."
        ) from error
    finally:
        stress.close()


def _serve(models: Models, files: Path, host: str, port: int, look: dict[str, Any], opened: Callable[[], None]) -> None:
    page = build(models, files / "cases")
    page.queue(default_concurrency_limit=AT_ONCE)
    page.launch(
        server_name=host,
        server_port=port,
        share=False,
        i18n=language.translated(page),
        show_error=True,
        quiet=True,
        prevent_thread_lock=True,
        app_kwargs={"middleware": [Middleware(StayHome)], "docs_url": None, "redoc_url": None, "openapi_url": None},
        **look,
    )
    opened()
    page.block_thread()


def _serve_behind_login(
    models: Models, files: Path, host: str, port: int, look: dict[str, Any], opened: Callable[[], None]
) -> None:
    from meddiff.teaching.accounts import Role
    from meddiff.teaching.store import Questions

    questions = Questions()
    whose = access.whose(questions)
    pages = {
        Role.EDUCATOR: build(models, files / "cases", whose),
        Role.LEARNER: learners.build(files / "cases", whose),
    }
    for page in pages.values():
        page.queue(default_concurrency_limit=AT_ONCE)
    access.serve(pages, questions, host, port, [Middleware(StayHome)], look, opened)


def _this_computer_only(host: str) -> bool:
    return host == "localhost" or host.startswith("127.") or host == "::1"
