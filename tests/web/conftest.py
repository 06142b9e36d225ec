"""What tests of the page share: the app on a pack with random weights, and a browser that looks at it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.page import CHROMIUM, free_port
from meddiff.settings import HOUSE
from tests.exchange.orthanc import Orthanc

SWITCHES = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the running app has its pack (`packs`) and its bank (`bank`)."""
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="module")
def orthanc(folder: Path) -> Orthanc:
    """The one server that the app may send to; not started yet."""
    return Orthanc(folder / "orthanc")


@pytest.fixture(scope="module")
def address(folder: Path, orthanc: Orthanc) -> Iterator[str]:
    """The running app on a pack with random weights and an empty bank."""
    from meddiff.diffusion.tiny import write_tiny_pack

    write_tiny_pack(folder / "packs")
    port = free_port()
    (folder / "tmp").mkdir()
    environment = os.environ | {
        "MEDDIFF_CHECKPOINTS": str(folder / "packs"),
        "MEDDIFF_CASEBANK": str(folder / "bank"),
        "MEDDIFF_PACS_ALLOWED": orthanc.web,
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
        until = time.monotonic() + 120
        while "is open at" not in (folder / "log").read_text():
            assert app.poll() is None and time.monotonic() < until, (folder / "log").read_text()
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        app.terminate()
        app.wait(60)
    assert list((folder / "tmp").glob("meddiff-*")) == []  # nothing that was uploaded or shown stays behind


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A browser for the tests of a file; each takes a page of its own, which shares nothing with another's."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        yield browser
        browser.close()


@pytest.fixture
def page(address: str, browser: Any) -> Iterator[Any]:
    """The page, and a promise that nothing it fetched came from elsewhere."""
    fetched: list[str] = []
    page = browser.new_page(viewport={"width": 1400, "height": 1000}, accept_downloads=True)
    page.set_default_timeout(120_000)  # two workers and their apps share two cores
    page.on("request", lambda request: fetched.append(request.url))
    page.goto(address)
    page.wait_for_selector("#md-create")
    yield page
    page.close()
    assert fetched
    assert [url for url in fetched if not url.startswith((address, "data:", "blob:"))] == []
