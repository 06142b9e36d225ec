"""`meddiff users`: who may log in. A password is typed at the terminal, or read from standard input; it is never an argument."""

from __future__ import annotations

import argparse
import getpass
import sys

from meddiff.case import MedDiffError

ROLES = ("educator", "learner")  # of accounts.Role, which takes a while to import
WHO = "The page asks for a name and a password from its next start on."


def add_parsers(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds what can be done with accounts to the subparsers of `meddiff users`; the choice is in `args.do`."""

    def act(name: str, what: str, user: bool = True) -> argparse.ArgumentParser:
        made = sub.add_parser(name, help=what, description=what[0].upper() + what[1:] + ".")
        if user:
            made.add_argument("name", metavar="NAME", help="who logs in; capitals make no difference")
        return made

    added = act("add", "add an account; as soon as there is one, everybody must log in")
    added.add_argument(
        "--role", choices=ROLES, required=True, help="an educator may do everything, a learner practises"
    )
    act("list", "list the accounts and the code that each practises under", user=False)
    act("password", "give an account a new password, and log it out")
    gone = act("remove", "remove an account, and log it out")
    gone.add_argument("--erase", action="store_true", help="erase its answers too (default: they stay, under a code)")


def run(args: argparse.Namespace) -> int:
    """Does what was asked; 0.

    Raises:
        MedDiffError: it cannot be done; one sentence says why.
    """
    from meddiff.teaching import accounts
    from meddiff.teaching.store import Questions

    questions = Questions()
    if args.do == "list":
        for account in accounts.list_accounts(questions):
            print(f"{account.name:24s}  {account.role.value:8s}  {account.learner}")
    elif args.do == "add":
        first = not accounts.list_accounts(questions)
        role = accounts.Role(args.role)
        account = accounts.add_account(questions, accounts.account_name(args.name), role, _password())
        print(f"{account.name} may log in as {role.value}." + (f" {WHO} A page that runs is open until then." if first else ""))  # fmt: skip
    elif args.do == "password":
        accounts.set_password(questions, accounts.account_name(args.name), _password())
        print(f"{accounts.account_name(args.name)} has a new password.")
    else:
        account = accounts.remove_account(questions, args.name, args.erase)
        left = "Its answers are erased." if args.erase else f"Its answers stay, under {account.learner}."
        print(f"{account.name} can log in no more. {left}")
        if not accounts.list_accounts(questions):
            print(
                "That was the last account: from the next start on nobody has to log in, unless app.py is given --login."
            )
    return 0


def _password() -> str:
    """Twice from the terminal, or the first line of standard input."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass("Password: ")
    if getpass.getpass("The same again: ") != password:
        raise MedDiffError("The two passwords differ: nothing was changed.")
    return password
