"""A bank on SQLite, and the same on a real PostgreSQL server where one is installed."""

from __future__ import annotations

import itertools
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from meddiff.bank import Bank

PROGRAMS = Path("/usr/lib/postgresql/15/bin")
_numbers = itertools.count()


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """A PostgreSQL server of this run's own on loopback; its URL without a database's name."""
    if not (PROGRAMS / "initdb").exists():
        pytest.skip("PostgreSQL 15 is not installed: apt-get install postgresql-15")
    # It refuses to run as root: Debian's user postgres runs it then, in a folder of its own.
    runner = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    folder = Path(tempfile.mkdtemp(prefix="meddiff-pg-"))
    if runner:
        shutil.chown(folder, "postgres")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def act(*command: str) -> None:
        subprocess.run([*runner, *command], check=True, stdout=subprocess.DEVNULL, cwd="/", timeout=60)

    data, options = str(folder / "data"), f"-h 127.0.0.1 -p {port} -k {folder}"
    try:
        act(str(PROGRAMS / "initdb"), "-D", data, "-A", "trust", "-U", "meddiff", "-E", "UTF8")
        act(str(PROGRAMS / "pg_ctl"), "-D", data, "-w", "-l", str(folder / "log"), "-o", options, "start")
        try:
            yield f"postgresql://meddiff@127.0.0.1:{port}"
        finally:
            act(str(PROGRAMS / "pg_ctl"), "-D", data, "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def new_database(server: str) -> str:
    """URL of an empty database."""
    import psycopg

    name = f"bank{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"{server}/{name}"


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a new bank's records go."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'bank' / 'bank.sqlite'}"
    return new_database(request.getfixturevalue("server"))


@pytest.fixture
def bank(url: str, tmp_path: Path) -> Iterator[Bank]:
    """An empty bank."""
    made = Bank(tmp_path / "bank", url)
    yield made
    made.engine.dispose()
