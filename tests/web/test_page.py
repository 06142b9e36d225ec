"""The page in a real browser: from a sentence to a kept case and a file that says where it comes from."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from meddiff.settings import HOUSE

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
SWITCHES = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: install one to drive the page"),
]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The running app on a pack with random weights and an empty bank."""
    from meddiff.diffusion.tiny import write_tiny_pack

    folder = tmp_path_factory.mktemp("page")
    write_tiny_pack(folder / "packs")
    port = _free_port()
    (folder / "tmp").mkdir()
    environment = os.environ | {
        "MEDDIFF_CHECKPOINTS": str(folder / "packs"),
        "MEDDIFF_CASEBANK": str(folder / "bank"),
        "TMPDIR": str(folder / "tmp"),
    }
    with open(folder / "log", "w") as log:
        app = subprocess.Popen(
            [sys.executable, str(HOUSE / "app.py"), "--port", str(port)],
            env=environment,
            stdout=log,
            stderr=log,
            cwd=folder,
        )
    try:
        until = time.monotonic() + 60
        while "is open at" not in (folder / "log").read_text():
            assert app.poll() is None and time.monotonic() < until, (folder / "log").read_text()
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        app.terminate()
        app.wait(20)
    assert list((folder / "tmp").glob("meddiff-*")) == []  # nothing that was uploaded or shown stays behind


@pytest.fixture
def page(address: str) -> Iterator[object]:
    """The page, and a promise that nothing it fetched came from elsewhere."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    fetched: list[str] = []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        page = browser.new_page(viewport={"width": 1400, "height": 1000}, accept_downloads=True)
        page.set_default_timeout(60_000)
        page.on("request", lambda request: fetched.append(request.url))
        page.goto(address)
        page.wait_for_selector("#md-create")
        yield page
        browser.close()
    assert fetched
    assert [url for url in fetched if not url.startswith((address, "data:", "blob:"))] == []


def _create(page, sentence: str) -> None:  # type: ignore[no-untyped-def]
    page.fill("#md-sentence textarea", sentence)
    page.click("#md-create")


def test_a_sentence_becomes_a_case_that_is_kept_and_downloaded_with_its_origin(page, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    from meddiff.exchange.png import read_png_record

    sentence = "Axial T1 post-contrast, ring-enhancing left frontal mass, 34 mm, irregular margin"
    page.get_by_text("Advanced").click()
    page.get_by_label("Exact (fp32)").check()
    _create(page, sentence)
    page.wait_for_selector("#md-create-view .md-head")
    assert sentence in page.inner_text("#md-create-view .md-head")
    assert page.locator(".md-table:visible tbody tr").count() >= 1
    page.wait_for_function("document.querySelectorAll('#md-create-view .md-picture img').length >= 2")
    assert all(
        page.evaluate(
            "[...document.querySelectorAll('#md-create-view .md-picture img')].map(i => i.naturalWidth === 256)"
        )
    )

    # Invert is in the browser: the filter's slope turns negative.
    page.click("#md-create-view [data-tool=invert]")
    assert page.get_attribute("#md-create-view feFuncR", "slope") == "-1"

    with page.expect_download() as waiting:
        page.click("#md-create-view-png")
    waiting.value.save_as(tmp_path / "case.png")
    provenance, spacing, _ = read_png_record(tmp_path / "case.png")
    assert "Not for diagnosis" in provenance.notice
    assert provenance.request.sentence == sentence
    assert provenance.role == "case" and spacing == (0.98, 0.98)
    assert provenance.case_id in page.inner_text("#md-create-view .md-head")

    page.click("#md-keep")
    page.wait_for_selector("#md-kept .md-note")
    page.get_by_role("tab", name="Case bank").click()
    page.get_by_text(provenance.case_id).locator("visible=true").first.click()
    page.wait_for_selector("#md-bank-view .md-head")
    page.click("#md-delete")
    page.click("#md-delete-sure")
    page.get_by_text("The bank is empty").wait_for()


def test_a_sentence_nobody_understands_is_answered_in_words_and_stays_in_its_box(page) -> None:  # type: ignore[no-untyped-def]
    _create(page, "Axial T1 post-contrast, flubberous left frontal mass")
    page.wait_for_selector("#md-notice .md-alert")
    assert re.search(r"Not understood: .flubberous", page.inner_text("#md-notice"))
    assert "flubberous" in page.input_value("#md-sentence textarea")
    assert page.is_enabled("#md-create")


def test_the_words_not_for_diagnosis_never_leave_the_screen(page) -> None:  # type: ignore[no-untyped-def]
    for width in (1400, 400):
        page.set_viewport_size({"width": width, "height": 800})
        box = page.locator(".md-foot").bounding_box()
        assert box is not None and box["y"] + box["height"] <= 800.5
        assert "Not for diagnosis" in page.inner_text(".md-foot")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_taking_a_lesion_out_needs_no_sentence(phantom, phantom_mask, monkeypatch):
    from meddiff.case import MaskSpec, Task
    from meddiff.imaging.read import Slice
    from meddiff.web import create

    monkeypatch.setattr(create, "_outline", lambda form: MaskSpec.from_array(phantom_mask))
    form = {"sentence": "", "size": "", "age": "", "plane": "", "source": create.OWN, "action": create.REMOVE, "sex": "unknown",
            "pack": "brain-t1gd", "margin": 8.0, "seed": 1, "steps": 4, "guidance": 2.0, "precision": "fp32"}  # fmt: skip
    request = create.request_of(form, Slice(phantom, phantom))
    assert request.task is Task.REMOVE and request.findings.finding is None
