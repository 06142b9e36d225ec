"""`meddiff quiz` and `meddiff items` at the command line.

`cli.parser` calls `add_parsers(verbs)`; each verb made here carries `act=run`, which `cli.main` calls.
"""

from __future__ import annotations

import argparse
import getpass
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meddiff.teaching import figures_commands
from meddiff.teaching.item import ChoiceItem, Kind, State

if TYPE_CHECKING:
    from meddiff.teaching.blueprint import BlueprintTable
    from meddiff.teaching.item import Item
    from meddiff.teaching.quiz import Quiz
    from meddiff.teaching.store import ItemSearch, Questions

Verbs = Any  # what `ArgumentParser.add_subparsers` gives; argparse has no public name for it
SHORT = 70  # letters of a stem in a list
FORMATS = (
    "moodle",
    "qti21",
    "qti30",
    "anki",
    "pdf",
    "slides",
    "table",
)  # of teaching.export, which takes a second to import


def add_parsers(verbs: Verbs) -> tuple[Verbs, Verbs]:
    """Adds `quiz` and `items`; returns what their own verbs are added to, for those that other modules bring."""
    return _quiz_parser(verbs), _items_parser(verbs)


def run(args: argparse.Namespace) -> int:
    """Does what was asked; 0, or 1 where a part could not be done.

    Raises:
        MedDiffError: it cannot be done; one sentence says why.
    """
    from meddiff.teaching.store import Questions

    act = {"quiz": _quiz, "items": _items}[args.verb]
    return act(args, Questions())


def _quiz_parser(verbs: Verbs) -> Verbs:
    acts = _group(verbs, "quiz", "make quizzes of approved items, and look after them")
    listed = _act(acts, "list", "list the quizzes")
    listed.add_argument("--text", default="", help="only where title or id hold these words")
    listed.add_argument("--deleted", action="store_true", help="the deleted quizzes instead")
    made = _act(acts, "make", "pick a quiz out of the approved items and keep it", who=True)
    made.add_argument("title")
    made.add_argument("--number", type=int, default=10, metavar="N", help="how many items (default 10)")
    _filters(made)
    made.add_argument("--normals", type=float, default=0.0, metavar="SHARE", help="of items on normal cases, 0 to 1")
    made.add_argument("--seed", type=int, default=0, help="of what is picked and in which order (default 0)")
    made.add_argument("--shuffle", action="store_true", help="each learner has an order of their own")
    made.add_argument("--seconds", type=int, metavar="S", help="for the whole quiz (default: no limit)")
    made.add_argument("--language", choices=("en", "zh"), default="en", help="default en")
    _act(acts, "show", "show the items of a quiz and what it covers", quiz=True).add_argument(
        "--version", type=int, help="an older version (default: the newest)"
    )
    copied = _act(acts, "copy", "keep a quiz again as one of its own", quiz=True, who=True)
    copied.add_argument("--title", default="", help="of the copy")
    out = _act(acts, "export", "write a quiz for a course system, as cards, on paper or as slides", quiz=True)
    out.add_argument("--format", choices=FORMATS, action="append", help="may be given several times (default moodle)")
    out.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="folder or file (default: here)")
    _act(acts, "delete", "take a quiz out of sight; restore brings it back", quiz=True, who=True)
    _act(acts, "restore", "bring a deleted quiz back", quiz=True, who=True)
    return acts


def _items_parser(verbs: Verbs) -> Verbs:
    acts = _group(verbs, "items", "look after the items: read, approve, edit, retire")
    listed = _act(acts, "list", "list the items that fit, the newest change first")
    made = _act(acts, "write", "write drafts of all questions that the bank's accepted cases are good for", who=True)
    made.add_argument("--seed", type=int, default=0, help="of where the right choice stands (default 0)")
    made.add_argument("--language", choices=("en", "zh"), default="en", help="of their words (default en)")
    out = _act(acts, "export", "write the items that fit into a file that can be edited")
    out.add_argument("file", type=Path, metavar="FILE.json")
    for made in (listed, out):
        _filters(made)
        made.add_argument("--state", choices=[state.value for state in State], help="only in this state")
        made.add_argument("--language", choices=("en", "zh"), default="", help="only in this language")
        made.add_argument(
            "--text", default="", help="only where stem, choices, feedback, points or ids hold these words"
        )
    listed.add_argument("--limit", type=int, default=100, metavar="N", help="at most so many (default 100)")
    listed.add_argument("--offset", type=int, default=0, metavar="N", help="pass over so many first")
    shown = _act(acts, "show", "show an item, its key and its history")
    shown.add_argument("item", metavar="ITEM", help="its id, IT-...")
    shown.add_argument("--version", type=int, help="an older version (default: the newest)")
    for name, what in (("approve", "let learners see items"), ("retire", "take items out of use; their answers stay")):
        made = _act(acts, name, what, who=True)
        made.add_argument("item", nargs="+", metavar="ITEM", help="ids, IT-...")
        made.add_argument("--why", default="", help="the reason")
    edited = _act(acts, "edit", "put the words of an edited file to the items that are there", who=True)
    edited.add_argument("--why", default="", help="the reason")
    taken = _act(acts, "import", "take in items of a file as drafts; what is there stays as it is", who=True)
    for made in (edited, taken):
        made.add_argument("file", type=Path, metavar="FILE.json")
    figures_commands.add_parsers(acts)
    return acts


def _group(verbs: Verbs, name: str, what: str) -> Verbs:
    made = verbs.add_parser(name, help=what, description=_sentence(what))
    made.set_defaults(act=run)
    return made.add_subparsers(dest="do", required=True, metavar="WHAT")


def _act(acts: Verbs, name: str, what: str, quiz: bool = False, who: bool = False) -> argparse.ArgumentParser:
    made: argparse.ArgumentParser = acts.add_parser(name, help=what, description=_sentence(what))
    if quiz:
        made.add_argument("quiz", metavar="QUIZ", help="its id, QZ-...")
    if who:
        add_who(made)
    return made


def add_who(made: argparse.ArgumentParser) -> None:
    """Who does it, for what stands in a history."""
    made.add_argument(
        "--who",
        default=getpass.getuser(),
        metavar="NAME",
        help="who does it (default: you, as the computer knows you)",
    )


def _filters(made: argparse.ArgumentParser) -> None:
    """What both a list of items and a quiz are picked by."""
    made.add_argument(
        "--pathology",
        action="append",
        default=[],
        metavar="KEY",
        help="only this pathology; may be given several times",
    )
    made.add_argument(
        "--kind",
        action="append",
        default=[],
        choices=[kind.value for kind in Kind],
        help="only this kind; may be given several times",
    )
    made.add_argument("--modality", default="", help="only on cases of this modality, MR")
    made.add_argument("--from-difficulty", type=float, metavar="D", help="at least so hard, 0 to 1")
    made.add_argument("--to-difficulty", type=float, metavar="D", help="at most so hard, 0 to 1")


# ---------------------------------------------------------------- quizzes


def _quiz(args: argparse.Namespace, questions: Questions) -> int:
    from meddiff.teaching import quiz as quizzes

    if args.do == "list":
        for entry in quizzes.list_quizzes(questions, args.text, args.deleted):
            quiz, wait = entry.quiz, f"  {len(entry.waiting)} wait for approval" if entry.waiting else ""
            print(f"{quiz.id}  version {quiz.version}  {len(quiz.items):3d} items  {quiz.title}{wait}")
    elif args.do == "make":
        return _make(args, questions)
    elif args.do == "show":
        _show_quiz(questions, quizzes.open_quiz(questions, args.quiz, args.version))
    elif args.do == "copy":
        quiz = quizzes.copy_quiz(questions, args.quiz, args.who, args.title)
        print(f"{quiz.id}  {quiz.title}")
    elif args.do == "export":
        from meddiff.bank import Bank
        from meddiff.teaching.export import export_quiz

        quiz = quizzes.open_quiz(questions, args.quiz)
        held_back = set(questions.held_back())
        items = questions.items([item for item in quiz.items if item not in held_back])
        for item_id in held_back & {*quiz.items}:
            print(f"left out: {item_id}, since a case of it was deleted or rejected", file=sys.stderr)
        for form in args.format or ["moodle"]:
            print(export_quiz(quiz.title, items, Bank().open, args.out, form))
    elif args.do == "delete":
        quizzes.delete_quiz(questions, args.quiz, args.who)
        print(f"{args.quiz} deleted; `meddiff quiz restore {args.quiz}` brings it back")
    else:
        quizzes.restore_quiz(questions, args.quiz, args.who)
        print(f"{args.quiz} is there again")
    return 0


def _make(args: argparse.Namespace, questions: Questions) -> int:
    from meddiff.teaching.blueprint import Blueprint, build_quiz
    from meddiff.teaching.quiz import QuizSettings, save_quiz

    wishes = Blueprint(
        title=args.title,
        number=args.number,
        pathologies=tuple(args.pathology),
        kinds=tuple(Kind(kind) for kind in args.kind),
        modality=args.modality,
        normal_share=args.normals,
        difficulty_from=args.from_difficulty,
        difficulty_to=args.to_difficulty,
        settings=QuizSettings(shuffle=args.shuffle, seconds=args.seconds, language=args.language),
    )
    _show_quiz(questions, save_quiz(questions, build_quiz(questions, wishes, args.seed), args.who))
    return 0


def _show_quiz(questions: Questions, quiz: Quiz) -> None:
    from meddiff.teaching.blueprint import blueprint_of

    print(f"{quiz.id}  version {quiz.version}  {quiz.title}")
    for number, item in enumerate(questions.items(quiz.items), 1):
        print(f"{number:4d}  {_line(item)}")
    print(_table(blueprint_of(questions, quiz)))


def _table(table: BlueprintTable) -> str:
    """What a quiz covers, in a few lines."""
    lines = [f"{table.items} items, {table.normal_share:.0%} on normal cases, about {table.minutes:.0f} minutes"]
    for name, counts in (
        ("pathology", table.pathologies),
        ("kind", table.kinds),
        ("modality", table.modalities),
        ("difficulty", table.difficulties),
    ):
        lines.append(f"{name + ':':12s}{', '.join(f'{count.name} {count.items}' for count in counts)}")
    if table.repeated_cases:
        lines.append(
            f"asked about more than once: {', '.join(table.repeated_cases)}; the feedback of one helps with the next"
        )
    if table.waiting:
        lines.append(f"learners do not see, for want of approval: {', '.join(table.waiting)}")
    if table.held_back:
        lines.append(f"learners do not see, since a case was deleted or rejected: {', '.join(table.held_back)}")
    return "\n".join(lines)


# ---------------------------------------------------------------- items


def _items(args: argparse.Namespace, questions: Questions) -> int:
    from meddiff.teaching.files import read_item_file, write_item_file

    if args.do == "list":
        wanted = _wanted(args).model_copy(update={"limit": args.limit, "offset": args.offset})
        found = questions.find(wanted)
        for item in found.items:
            print(_line(item))
        if found.total > len(found.items):
            print(f"{len(found.items)} of {found.total}; --offset and --limit reach the others", file=sys.stderr)
    elif args.do == "write":
        from meddiff.bank import Bank
        from meddiff.teaching.from_bank import write_from_bank

        written = write_from_bank(questions, Bank(), args.who, args.seed, args.language)
        print(f"{len(written.new)} new drafts from {written.cases} cases")
    elif args.do == "show":
        _show_item(questions, args.item, args.version)
    elif args.do == "approve":
        from meddiff.bank import Bank
        from meddiff.teaching.approval import approve

        for item in approve(questions, Bank(), args.item, args.who, why=args.why):
            print(f"{item.id} {item.state.value}")
    elif args.do == "retire":
        for item_id in [item.id for item in questions.items(args.item)]:  # all are there, or none is decided on
            print(f"{item_id} {questions.retire(item_id, args.who, why=args.why).state.value}")
    elif args.do == "edit":
        for item in questions.edit(read_item_file(args.file), args.who, args.why):
            print(f"{item.id} version {item.version} {item.state.value}")
    elif args.do == "import":
        added = questions.add(read_item_file(args.file), args.who)
        print(f"{len(added.new)} new as drafts, {len(added.there)} were there")
        for item_id in added.differ:
            print(f"{item_id} is there in other words and stays so; `meddiff items edit` changes it", file=sys.stderr)
        return 1 if added.differ else 0
    else:
        items = questions.find(_wanted(args)).items
        print(f"{len(items)} items written to {write_item_file(items, args.file)}")
    return 0


def _wanted(args: argparse.Namespace) -> ItemSearch:
    from meddiff.teaching.store import ItemSearch

    return ItemSearch(
        kinds=tuple(Kind(kind) for kind in args.kind),
        pathologies=tuple(args.pathology),
        state=State(args.state) if args.state else None,
        language=args.language,
        modality=args.modality,
        difficulty_from=args.from_difficulty,
        difficulty_to=args.to_difficulty,
        text=args.text,
    )


def _line(item: Item) -> str:
    """An item in one line of a list."""
    hard = "  - " if item.difficulty is None else f"{item.difficulty:.2f}"
    stem = item.stem if len(item.stem) <= SHORT else item.stem[: SHORT - 1] + "…"
    return f"{item.id}  {item.state.value:8s}  {item.kind.value:9s}  {hard}  {item.pathology or 'normal'}: {stem}"


def _show_item(questions: Questions, item_id: str, version: int | None) -> None:
    item = questions.item(item_id, version)
    shown = {"state", "version", "id"} | ({"key"} if isinstance(item, ChoiceItem) else set())  # marked with a star
    print(f"{item.id}  version {item.version}  {item.state.value}")
    for name, value in item.model_dump(mode="json", exclude=shown).items():
        if name == "choices":
            for number, choice in enumerate(value):
                mark = "*" if isinstance(item, ChoiceItem) and number == item.key else " "
                print(f"  {mark} {choice['text']}" + (f"  ({choice['feedback']})" if choice["feedback"] else ""))
        elif value not in ("", None, []):
            print(f"  {name}: {_told(value)}")
    for change in questions.history(item_id):
        print(f"  {change.at[:19]}  {change.who or '-'}  version {change.version} {change.what}  {change.why}".rstrip())


def _told(value: object) -> str:
    if isinstance(value, list):
        return "; ".join(_told(one) for one in value)
    if isinstance(value, dict):
        return ", ".join(f"{name} {_told(one)}" for name, one in value.items())
    return str(value)


def _sentence(what: str) -> str:
    return what[0].upper() + what[1:] + "."
