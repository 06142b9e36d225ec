"""Starts the web app, nothing else: `python app.py`, then open the address it prints."""

from __future__ import annotations

import argparse
import sys

from meddiff.case import MedDiffError


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0, or 2 with a sentence where the app cannot start."""
    parser = argparse.ArgumentParser(
        prog="app.py", description="The MedDiff page: make, check and keep synthetic teaching cases."
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this computer only)")
    parser.add_argument("--port", type=int, default=7860, help="port to listen on (default: 7860)")
    parser.add_argument(
        "--login",
        action="store_true",
        help="do not open without accounts (with accounts, made by `meddiff users add`, everybody logs in anyway)",
    )
    asked = parser.parse_args(arguments)
    try:
        from meddiff.web.app import serve

        serve(asked.host, asked.port, asked.login)
    except MedDiffError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
