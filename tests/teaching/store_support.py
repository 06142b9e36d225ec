"""Items and answers for tests of the store: no pictures are needed."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from meddiff.teaching.answers import Answer
from meddiff.teaching.item import Choice, ChoiceItem, Item, Kind, item_id
from meddiff.teaching.store import Questions

_tokens = itertools.count()


def made(number: int = 0, kind: Kind = Kind.DIAGNOSIS, pathology: str = "glioma", **changes) -> ChoiceItem:
    """An item on one case; another number is another case."""
    cases = changes.pop("cases", (f"MD-{number:012x}",))
    fields = {
        "id": item_id(kind, cases, changes.pop("seed", 0)),
        "kind": kind,
        "stem": f"What is the most likely diagnosis in case {number}?",
        "cases": cases,
        "choices": (Choice(text="glioblastoma"), Choice(text="brain abscess", feedback="Its rim is thin.")),
        "key": 0,
        "pathology": pathology,
    }
    return ChoiceItem.model_validate({**fields, **changes})


def approve(questions: Questions, items: Iterable[Item]) -> tuple[Item, ...]:
    """Puts items into the store and lets learners see them."""
    items = tuple(items)
    questions.add(items)
    return tuple(questions.approve(item.id, "Ann") for item in items)


def answer_to(item: Item, learner: str, /, **changes) -> Answer:
    """A right answer of a learner in practice, with a token of its own."""
    fields = {
        "learner": learner,
        "item": item.id,
        "version": item.version,
        "token": f"token-{next(_tokens):08d}",
        "credit": 1.0,
        "right": True,
        "answer": '{"choice": 0}',
    }
    return Answer.model_validate({**fields, **changes})
