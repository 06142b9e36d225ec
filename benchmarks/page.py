"""Seconds from starting app.py to a page that can be used, to a model that is ready and to the first case: `python -m benchmarks.page`

Create is pressed as soon as it is visible, with the sentence that stands in the form; the case is there when its checked picture is shown.
The browser, a headless Chromium, runs before the clock starts. Each round is a new process of the app with a new page.
"""

from __future__ import annotations

import argparse
import shutil
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

APP = Path(__file__).resolve().parent.parent / "app.py"
CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    """Whether the app answers yet."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def one(page, timeout_s: float) -> tuple[float, float, float]:  # type: ignore[no-untyped-def]
    """Seconds from the start of the app until its Create button is visible, until the page says Ready, and until a case is shown."""
    port = free_port()
    begun = time.perf_counter()
    app = subprocess.Popen([sys.executable, str(APP), "--port", str(port)], stdout=subprocess.DEVNULL)
    try:
        while not listens(port):
            if app.poll() is not None or time.perf_counter() - begun > timeout_s:
                raise SystemExit("The app did not open its page: start `python app.py` and read what it says.")
            time.sleep(0.05)
        page.goto(f"http://127.0.0.1:{port}")
        page.wait_for_selector("#md-create", timeout=timeout_s * 1000)
        shown = time.perf_counter() - begun
        page.click("#md-create")
        page.wait_for_selector("#md-state .ready, #md-state .failed", timeout=timeout_s * 1000)
        if page.locator("#md-state .failed").count():
            raise SystemExit(f"The model did not load: {page.inner_text('#md-state')}")
        ready = time.perf_counter() - begun
        page.wait_for_selector("#md-create-view .md-head", timeout=timeout_s * 1000)
        return shown, ready, time.perf_counter() - begun
    finally:
        app.terminate()
        app.wait(30)


def main(arguments: list[str] | None = None) -> int:
    """Prints a line a round."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="times the app is started (default 3)")
    parser.add_argument("--timeout", type=float, default=120, help="seconds to wait for each (default 120)")
    args = parser.parse_args(arguments)
    if CHROMIUM is None:
        print("There is no Chromium on this machine: install one to time the page.", file=sys.stderr)
        return 2
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        for number in range(args.rounds):
            page = browser.new_page()
            shown, ready, case = one(page, args.timeout)
            page.close()
            print(
                f"round {number + 1}: page shown after {shown:.1f} s, model ready after {ready:.1f} s, first case after {case:.1f} s",
                flush=True,
            )
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
