"""Accounts: kept by a hash, bound to one pseudonym, looked after at the command line."""

from __future__ import annotations

import io

import pytest

from meddiff.case import MedDiffError
from meddiff.cli import main
from meddiff.settings import settings
from meddiff.teaching import accounts
from meddiff.teaching.accounts import (
    Role,
    add_account,
    check_password,
    hash_password,
    learner_of,
    list_accounts,
    remove_account,
    set_password,
)
from meddiff.teaching.answers import Answers
from meddiff.teaching.learner import erase_learner, open_learner
from meddiff.teaching.store import Questions
from meddiff.teaching.tables import AccountRow
from tests.teaching.store_support import answer_to, approve, made

PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "_COST", 2)


def test_an_account_opens_with_its_password_only(questions: Questions) -> None:
    ann = add_account(questions, " Ann  Lee", Role.EDUCATOR, PASSWORD)
    assert ann.name == "ann lee" and check_password(questions, "ANN lee", PASSWORD) == ann
    for name, password in (
        ("ann lee", PASSWORD + "!"),
        ("ann lee", ""),
        ("ann", PASSWORD),
        ("", PASSWORD),
        ("\0", "x" * 9999),
    ):
        assert check_password(questions, name, password) is None
    changed = set_password(questions, "Ann Lee", "another one")
    assert check_password(questions, "ann lee", PASSWORD) is None and changed.changed > ann.changed
    assert check_password(questions, "ann lee", "another one") == changed


def test_a_password_is_kept_as_a_salted_hash(questions: Questions) -> None:
    one, other = hash_password(PASSWORD), hash_password(PASSWORD)
    assert one != other and one.startswith("scrypt$2$8$5$") and PASSWORD not in one
    add_account(questions, "ann", Role.EDUCATOR, PASSWORD)
    assert PASSWORD not in questions.read(lambda session: session.get_one(AccountRow, "ann").password)


def test_what_cannot_be_an_account_is_refused_and_leaves_nothing(questions: Questions) -> None:
    add_account(questions, "ann", Role.EDUCATOR, PASSWORD)
    with pytest.raises(MedDiffError, match="'ann' already"):
        add_account(questions, "Ann", Role.LEARNER, PASSWORD)
    for name, password, why in (
        ("", PASSWORD, "1 to 64"),
        ("a\u200bnn", PASSWORD, "can be seen"),
        ("kim", "short", "8 to 256"),
    ):
        with pytest.raises(MedDiffError, match=why):
            add_account(questions, name, Role.LEARNER, password)
    for act in (remove_account, learner_of):
        with pytest.raises(MedDiffError, match="no account 'kim'"):
            act(questions, "kim")
    assert [account.role for account in list_accounts(questions)] == [Role.EDUCATOR]


def test_an_account_has_one_pseudonym_and_a_new_one_after_it_was_erased(questions: Questions) -> None:
    lee = add_account(questions, "lee", Role.LEARNER, PASSWORD)
    assert learner_of(questions, "Lee") == lee.learner == learner_of(questions, "lee")
    erase_learner(questions, lee.learner)
    anew = learner_of(questions, "lee")
    assert anew != lee.learner and learner_of(questions, "lee") == anew == open_learner(questions, anew).id


def test_answers_outlive_their_account_unless_they_are_erased_with_it(questions: Questions) -> None:
    (item,) = approve(questions, [made()])
    for name, erase, left in (("lee", False, 1), ("kim", True, 0)):
        learner = add_account(questions, name, Role.LEARNER, PASSWORD).learner
        questions.answer(answer_to(item, learner))
        remove_account(questions, name, erase)
        assert len(questions.answers(Answers(learner=learner))) == left
    assert list_accounts(questions) == ()


def test_accounts_are_looked_after_at_the_command_line(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("MEDDIFF_CASEBANK", str(tmp_path / "bank"))
    settings.cache_clear()

    def typed(*words: str, password: str = "") -> str:
        monkeypatch.setattr("sys.stdin", io.StringIO(password + "\n"))
        assert main(["users", *words]) == (0 if "short" not in password else 2)
        printed = capsys.readouterr()
        return printed.out + printed.err

    assert "next start" in typed("add", "Ann", "--role", "educator", password=PASSWORD)
    assert "next start" not in typed("add", "lee", "--role", "learner", password=PASSWORD)
    assert "8 to 256" in typed("password", "lee", password="short")
    assert "new password" in typed("password", "lee", password="another one")
    assert [line.split()[:2] for line in typed("list").splitlines()] == [["ann", "educator"], ["lee", "learner"]]
    assert check_password(Questions(), "lee", "another one")
    assert "stay, under LR-" in typed("remove", "lee")
    assert "nobody has to log in" in typed("remove", "ann")
    settings.cache_clear()
