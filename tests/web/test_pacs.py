"""Sending from the page, without a browser: what is said before, and what became of it."""

from __future__ import annotations

import pytest

from meddiff.case import Task
from meddiff.exchange.pacs import Failure, Report
from meddiff.settings import settings
from meddiff.web import pacs
from tests.exchange.dicom_support import case_of, request_of


@pytest.fixture
def allow(monkeypatch, tmp_path):
    """`allow(text)`: it is the allowed list; without it the list is empty."""

    def fill(addresses: str) -> None:
        monkeypatch.setenv("MEDDIFF_PACS_ALLOWED", addresses)
        settings.cache_clear()

    monkeypatch.setenv("MEDDIFF_CASEBANK", str(tmp_path / "bank"))
    fill("")
    yield fill
    settings.cache_clear()


def test_without_a_list_the_page_says_who_must_name_a_server_and_where_that_is_written(allow):
    words, servers = pacs.offered(True)
    assert servers == []
    assert all(part in words for part in ("Nothing may be sent", "MEDDIFF_PACS_ALLOWED", "docs/safety.md"))


def test_a_list_that_cannot_be_read_is_said_and_offers_nothing(allow):
    allow("https://pacs.example/dicom-web, nonsense")
    words, servers = pacs.offered(True)
    assert servers == [] and "md-alert" in words and "&#x27;nonsense&#x27;" in words


def test_over_an_unencrypted_connection_servers_are_offered_and_no_password_is_asked_for(allow):
    allow("https://pacs.example/dicom-web, dicom+tls://pacs.example")
    assert pacs.offered(True) == ("", ["https://pacs.example:443/dicom-web", "dicom+tls://pacs.example:2762"])
    words, servers = pacs.offered(False)
    assert len(servers) == 2 and "unencrypted" in words


@pytest.mark.parametrize("task", [Task.INSERT, Task.REMOVE])
def test_of_a_case_on_a_given_slice_it_is_said_before_that_its_twin_is_that_slice(task):
    assert "its twin is that slice" in pacs.before(case_of(request_of(task=task)))
    assert "its twin is that slice" not in pacs.before(case_of())


def test_a_server_that_is_not_on_the_list_gets_nothing_and_the_password_is_not_echoed(allow):
    allow("https://pacs.example/dicom-web")
    where = ("https://evil.example/dicom-web", "teacher", "chalk and talk", "ANY-SCP")
    for words in (pacs.asked(*where), pacs.sent(case_of(), *where, lambda *_, **__: None)):
        assert "md-alert" in words and "is not on the list" in words and "chalk" not in words


def test_failures_are_told_once_a_reason_with_how_many():
    broken = tuple(Failure(uid, "The server <b>is full</b>.") for uid in "ab")
    words = pacs.outcome(Report(sent=("c",), already_there=("d",), failed=(*broken, Failure("e", "No."))), "MD-1 to x")
    assert "md-alert" in words and "MD-1 to x: 1 sent, 1 already there, 3 not sent." in words
    assert (
        words.count("is full") == 1
        and "Not sent, 2: The server &lt;b&gt;is full" in words
        and "Not sent, 1: No." in words
    )
    assert "md-note" in pacs.outcome(Report(sent=("c",)), "MD-1 to x")
