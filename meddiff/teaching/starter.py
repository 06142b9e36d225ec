"""The starter bank: cases, questions and quizzes that ship, so that the app is useful in its first minute.

It lies in `casebank/starter/`: `cases.zip` (an exported bank), `items.json` and `quizzes.json`. A bank in whose folder it lies takes
it in while it is empty (`take_in_once`), any other by `meddiff bank starter FOLDER`. It is made, with the shipped pack, by

    python -m meddiff.teaching.starter --out casebank/starter
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from meddiff.bank import Bank, Review
from meddiff.bank.archive import export_bank, import_bank
from meddiff.case import MedDiffError, Plane, Record, Request, Status
from meddiff.conditions.vocabulary import load_pathologies
from meddiff.exchange.atomic import write_atomic
from meddiff.settings import settings
from meddiff.teaching.files import read_item_file, write_item_file
from meddiff.teaching.item import Kind, State
from meddiff.teaching.quiz import Quiz, QuizSettings, list_quizzes, save_quiz
from meddiff.teaching.store import ItemSearch, Questions

if TYPE_CHECKING:  # torch comes with it
    from meddiff.marking.seal import SealedCase
    from meddiff.synthesis.studio import Studio

CASES, ITEMS, QUIZZES = "cases.zip", "items.json", "quizzes.json"
WHO = "MedDiff starter"
WHY = "accepted by its check; no radiologist has looked at it yet"


class Taken(Record):
    """What came in: cases, questions and quizzes that were not there before, and what was refused and why."""

    cases: int
    items: int
    quizzes: int
    refused: tuple[str, ...]


def take_in(folder: Path, bank: Bank, questions: Questions) -> Taken:
    """Takes a starter into a bank: its cases with their reviews, its questions approved, its quizzes. What is there stays as it is.

    Raises:
        MedDiffError: no starter in the folder, or it is damaged, or the bank cannot be written.
    """
    if not (folder / CASES).is_file():
        raise MedDiffError(f"There is no starter bank in {folder}: give the folder that holds {CASES}.")
    came = import_bank(bank, folder / CASES, WHO)
    items = read_item_file(folder / ITEMS)
    added = questions.add(items, WHO)
    kept = {case for item in items for case in item.cases if bank.knows(case) == "kept"}
    for item in items:  # pictures were checked as they came in
        if item.id in added.new and kept.issuperset(item.cases):
            questions.approve(item.id, WHO, why=WHY)
    there = {entry.quiz.id for entry in (*list_quizzes(questions), *list_quizzes(questions, deleted=True))}
    quizzes = [Quiz.model_validate(told) for told in json.loads((folder / QUIZZES).read_text(encoding="utf-8"))]
    new = [quiz for quiz in quizzes if quiz.id not in there]
    for quiz in new:
        save_quiz(questions, quiz, WHO)
    return Taken(cases=len(came.new), items=len(added.new), quizzes=len(new), refused=came.refused)


def take_in_once() -> Taken | None:
    """Takes the starter that lies in the bank's own folder into a bank that holds nothing, not even a deleted case; else None.

    Raises:
        MedDiffError: as `take_in`.
    """
    folder = settings().casebank / "starter"
    if not (folder / CASES).is_file():
        return None
    bank = Bank()
    from meddiff.bank import Search

    if bank.find(Search(limit=1)).total or bank.find(Search(limit=1, deleted=True)).total:
        return None
    return take_in(folder, bank, Questions())


# ---------------------------------------------------------------- making one


def sentences() -> Iterator[str]:
    """What the starter's cases are asked to show, without end: each disease in turn, then a slice without a lesion; planes in turn."""
    planes = list(Plane)
    turn = 0
    while True:
        for disease in load_pathologies().values():
            yield f"{planes[turn % 3].value.capitalize()} T1 post-contrast, {disease.name}"
            turn += 1
            if turn % 7 == 0:
                yield f"{planes[turn // 7 % 3].value.capitalize()} T1 post-contrast, no focal lesion"


def accepted(studio: Studio, number: int, seed: int) -> Iterator[SealedCase]:
    """`number` accepted cases, asked for in turn; a sentence that cannot be drawn, or whose case is rejected, is passed over."""
    info = studio.load().info
    made = 0
    for turn, sentence in enumerate(sentences()):
        request = Request(sentence=sentence, seed=seed + turn, steps=info.steps, guidance=info.guidance)
        try:
            case = next(studio.create(request))
        except MedDiffError:  # a place that is not in this slice: the next plane has it
            continue
        if case.case.status is Status.ACCEPTED:
            made += 1
            yield case
        if made == number or turn > 20 * number:
            return


def make(studio: Studio, folder: Path, number: int = 60, seed: int = 50_000) -> Taken:
    """Makes a starter: accepted cases, all questions that they are good for, and three quizzes.

    Raises:
        MedDiffError: too few cases are accepted, or the folder cannot be written.
    """
    from meddiff.teaching.from_bank import write_from_bank

    with tempfile.TemporaryDirectory(prefix="meddiff-") as hidden:
        bank, questions = Bank(Path(hidden)), Questions(Path(hidden))
        for count, case in enumerate(accepted(studio, number, seed), 1):
            bank.keep(case, WHO)
            bank.review(case.case.id, Review.APPROVED, WHO, WHY)
            print(f"{count:3d}  {case.case.id}  {case.case.request.sentence}", flush=True)
        write_from_bank(questions, bank, WHO, seed)
        items = questions.find(ItemSearch()).items
        for item in items:
            questions.approve(item.id, WHO)
        quizzes = [
            _quiz(questions, "Normal or not?", (Kind.NORMAL,), 10, seed),
            _quiz(questions, "Find it and measure it", (Kind.LOCALISE, Kind.SIZE), 10, seed),
            _quiz(questions, "What is it, and what next?", (Kind.DIAGNOSIS, Kind.NEXT_STEP, Kind.FINDING), 10, seed),
        ]
        folder.mkdir(parents=True, exist_ok=True)
        out = export_bank(bank, folder / CASES)
        write_item_file([item.model_copy(update={"state": State.DRAFT}) for item in items], folder / ITEMS)
        told = json.dumps([quiz.model_dump(mode="json") for quiz in quizzes], indent=1, ensure_ascii=False) + "\n"
        write_atomic(folder / QUIZZES, lambda temporary: temporary.write_text(told, encoding="utf-8"))
    return Taken(cases=out.cases, items=len(items), quizzes=len(quizzes), refused=())


def _quiz(questions: Questions, title: str, kinds: tuple[Kind, ...], number: int, seed: int) -> Quiz:
    """A quiz whose id is of its title, so that a newer starter does not bring it twice."""
    from meddiff.teaching.blueprint import Blueprint, build_quiz

    share = 0.5 if kinds == (Kind.NORMAL,) else 0.0
    wishes = Blueprint(title=title, number=number, kinds=kinds, normal_share=share, settings=QuizSettings(shuffle=True))
    quiz = build_quiz(questions, wishes, seed)
    digest = hashlib.sha256(title.encode()).hexdigest()[:12]
    return quiz.model_copy(update={"id": f"QZ-{digest}"})


def main(arguments: list[str] | None = None) -> int:
    """Makes the starter and says what is in it."""
    parser = argparse.ArgumentParser(prog="python -m meddiff.teaching.starter", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("casebank/starter"))
    parser.add_argument("--number", type=int, default=60, help="of accepted cases (default 60)")
    parser.add_argument("--seed", type=int, default=50_000)
    args = parser.parse_args(arguments)
    from meddiff.synthesis.studio import Studio

    made = make(Studio(), args.out, args.number, args.seed)
    print(f"{made.cases} cases, {made.items} questions, {made.quizzes} quizzes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
