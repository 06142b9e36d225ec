"""Accounts for a page that several people share: a name, a role, a password's hash, and one pseudonym to practise under.

Nobody needs one: as long as there is no account, whoever opens the page may do everything, as one person on a laptop wants it.
From the first account on the page asks everybody to log in (`web.access`).

A password is kept as scrypt makes it (RFC 7914; cost by OWASP's Password Storage Cheat Sheet, the row that takes least memory),
with a salt of its own. The pseudonym is all that the other tables know of a person: who has this table knows who is behind it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import unicodedata
from enum import StrEnum
from functools import cache

from sqlalchemy import select
from sqlalchemy.orm import Session

from meddiff.bank.review import now
from meddiff.case import MedDiffError, Record
from meddiff.teaching.learner import erase_learner, new_learner
from meddiff.teaching.store import Questions
from meddiff.teaching.tables import AccountRow, LearnerRow

LONGEST_NAME = 64
PASSWORD_LENGTHS = (8, 256)  # letters
_COST, _BLOCK, _PARALLEL = 2**14, 8, 5  # 16 MB and about 0.2 s of one core
_MEMORY = 64 * 2**20


class Role(StrEnum):
    """An educator may do everything; a learner practises, and sees nothing else."""

    EDUCATOR = "educator"
    LEARNER = "learner"


class Account(Record):
    """Somebody who may log in. `learner` is their pseudonym; `changed` (ISO 8601, UTC) is when role or password last were."""

    name: str
    role: Role
    learner: str
    changed: str


def add_account(questions: Questions, name: str, role: Role, password: str) -> Account:
    """Makes an account, with a pseudonym to practise under.

    Raises:
        MedDiffError: the name is taken or no name, or the password is too short or too long.
    """
    name, hashed = account_name(name), hash_password(password)
    learner = new_learner(questions).id

    def act(session: Session) -> Account:
        if session.get(AccountRow, name, with_for_update=True) is not None:
            raise MedDiffError(
                f"There is an account {name!r} already: `meddiff users password` gives it a new password."
            )
        row = AccountRow(name=name, role=role.value, password=hashed, learner=learner, changed=now())
        session.add(row)
        return _account(row)

    try:
        return questions.write(act)
    except MedDiffError:
        erase_learner(questions, learner)
        raise


def list_accounts(questions: Questions) -> tuple[Account, ...]:
    """All accounts, by name."""
    rows = select(AccountRow).order_by(AccountRow.name)
    return questions.read(lambda session: tuple(_account(row) for row in session.scalars(rows)))


def remove_account(questions: Questions, name: str, erase: bool = False) -> Account:
    """Removes an account. What was answered under its pseudonym stays, and leads to nobody any more; or is erased too.

    Raises:
        MedDiffError: there is no such account.
    """

    def act(session: Session) -> Account:
        row = _row(session, name)
        session.delete(row)
        return _account(row)

    gone = questions.write(act)
    there = questions.read(lambda session: session.get(LearnerRow, gone.learner) is not None)
    if erase and there:
        erase_learner(questions, gone.learner)
    return gone


def set_password(questions: Questions, name: str, password: str) -> Account:
    """Gives an account a new password; whoever is logged in under it must log in again.

    Raises:
        MedDiffError: there is no such account, or the password is too short or too long.
    """
    hashed = hash_password(password)

    def act(session: Session) -> Account:
        row = _row(session, name)
        row.password, row.changed = hashed, now()
        return _account(row)

    return questions.write(act)


def check_password(questions: Questions, name: str, password: str) -> Account | None:
    """The account of a name and its password; None where they do not fit, after the same work whether or not the name is known."""
    try:
        known = account_name(name)
    except MedDiffError:
        known = ""

    def act(session: Session) -> tuple[Account, str] | None:
        row = session.get(AccountRow, known)
        return (_account(row), row.password) if row else None

    found = questions.read(act)
    fits = _fits(password, found[1] if found else _nobodys())
    return found[0] if found and fits else None


def learner_of(questions: Questions, name: str) -> str:
    """The pseudonym of an account; a new one where the old one was erased.

    Raises:
        MedDiffError: there is no such account.
    """

    def bound(session: Session) -> tuple[str, bool]:
        learner = _row(session, name, lock=False).learner
        return learner, session.get(LearnerRow, learner) is not None

    learner, there = questions.read(bound)
    if there:
        return learner
    fresh = new_learner(questions).id

    def act(session: Session) -> str:
        row = _row(session, name)
        if row.learner == learner:
            row.learner = fresh
        return row.learner

    if (now_bound := questions.write(act)) != fresh:  # another page of theirs was first
        erase_learner(questions, fresh)
    return now_bound


def account_name(name: str) -> str:
    """A name as accounts are known by it: small letters, no spaces around.

    Raises:
        MedDiffError: it is empty, too long, or has signs that cannot be seen.
    """
    known = unicodedata.normalize("NFKC", " ".join(name.split())).casefold()
    if not known or len(known) > LONGEST_NAME or not known.isprintable():
        raise MedDiffError(f"The name of an account has 1 to {LONGEST_NAME} letters or signs that can be seen.")
    return known


def hash_password(password: str) -> str:
    """`scrypt$n$r$p$salt$hash`, salt and hash as base64.

    Raises:
        MedDiffError: the password is shorter than 8 letters or longer than 256.
    """
    shortest, longest = PASSWORD_LENGTHS
    if not shortest <= len(password) <= longest:
        raise MedDiffError(f"A password has {shortest} to {longest} letters or signs.")
    salt = secrets.token_bytes(16)
    made = _scrypt(password, salt, _COST, _BLOCK, _PARALLEL)
    return "$".join(["scrypt", str(_COST), str(_BLOCK), str(_PARALLEL), *(base64.b64encode(b).decode() for b in (salt, made))])  # fmt: skip


def _fits(password: str, kept: str) -> bool:
    _, cost, block, parallel, salt, made = kept.split("$")
    again = _scrypt(password[: PASSWORD_LENGTHS[1]], base64.b64decode(salt), int(cost), int(block), int(parallel))
    return hmac.compare_digest(again, base64.b64decode(made)) and len(password) <= PASSWORD_LENGTHS[1]


def _scrypt(password: str, salt: bytes, cost: int, block: int, parallel: int) -> bytes:
    words = unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")  # the same on every keyboard
    return hashlib.scrypt(words, salt=salt, n=cost, r=block, p=parallel, maxmem=_MEMORY, dklen=32)


@cache
def _nobodys() -> str:
    """The hash of a password that nobody has."""
    return hash_password(secrets.token_hex(16))


def _row(session: Session, name: str, lock: bool = True) -> AccountRow:
    row = session.get(AccountRow, account_name(name), with_for_update=True if lock else None)
    if row is None:
        raise MedDiffError(f"There is no account {name!r}: `meddiff users list` shows who there is.")
    return row


def _account(row: AccountRow) -> Account:
    return Account(name=row.name, role=Role(row.role), learner=row.learner, changed=row.changed)
