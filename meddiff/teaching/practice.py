"""Practice: one unknown case after another, each again when it is about to be forgotten.

When an item comes back is decided by FSRS-6 as py-fsrs has it (Ye J et al. A stochastic shortest path algorithm for optimizing
spaced repetition scheduling. KDD 2022), with its published parameters. fsrs asks for a rating; ours comes from the answer:

| rating | rule, the first that holds |
|---|---|
| Again | not right |
| Hard | right, but: credit below `FULL_CREDIT`, or confidence 1 or 2 (a guess), or slower than `SLOW` times what is expected |
| Easy | right, confidence 5, and at least `FAST` times faster than expected |
| Good | any other right answer |

A confidence or a time that was not told decides nothing. A partial credit that does not count as right is Again: in FSRS Hard
means remembered with effort. No chance is added to the intervals: the same answers give the same days.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from statistics import fmean

from fsrs import Card, Rating, Scheduler
from sqlalchemy import select
from sqlalchemy.orm import Session

from meddiff.case import MedDiffError, Record
from meddiff.teaching.answers import LEAST_CONFIDENCE, MOST_CONFIDENCE, Answer, Receipt, learner_row, take
from meddiff.teaching.blueprint import EXPECTED_SECONDS
from meddiff.teaching.item import Item, Kind
from meddiff.teaching.store import ItemSearch, Questions, approved, items_of
from meddiff.teaching.tables import AnswerRow, CardRow, ItemRow, OpenRow

RETENTION = 0.9  # probability of a right answer at which an item comes back; fsrs's own default
FULL_CREDIT = 0.8
SLOW, FAST = 2.0, 2.0
GUESS = LEAST_CONFIDENCE + 1  # confidence up to this is one
REST = timedelta(hours=20)  # a new item on a case that was seen within it waits: its feedback is fresh

_SCHEDULER = Scheduler(desired_retention=RETENTION, enable_fuzzing=False)


class Turn(Record):
    """The item that lies before a learner; `opened` is ISO 8601 in UTC, `new` whether they never practised it."""

    item: Item
    opened: str
    new: bool


class Outlook(Record):
    """How much there is to practise: items due now, items never practised, and when the next is due (UTC, or empty)."""

    due: int
    new: int
    next_due: str


class Reviewed(Record):
    """What came of an answer in practice.

    Attributes:
        rating: again, hard, good or easy; empty where the item was not open and only the answer was kept.
        due: when the item comes back, ISO 8601 in UTC; empty as `rating`.
    """

    receipt: Receipt
    rating: str
    due: str


class PathologyProgress(Record):
    """How a learner does at one pathology, over all answers in practice and quizzes.

    Attributes:
        pathology: key; empty for normal cases.
        answers, right: counts.
        credit: mean, 0 to 1.
        confidence: mean, 1 to 5; None where never told. `seconds`: mean; None where never measured.
        practised: items in spaced repetition; `due`: of these, now.
        recall: mean probability, 0 to 1, that they would be right now, as fsrs predicts; None where none is practised.
    """

    pathology: str
    answers: int
    right: int
    credit: float
    confidence: float | None
    seconds: float | None
    practised: int
    due: int
    recall: float | None


class DayProgress(Record):
    """The same on one day (ISO date, UTC) at one pathology: a point of a plot over time."""

    day: str
    pathology: str
    answers: int
    right: int
    credit: float


class Progress(Record):
    """Rows to plot: by pathology in order of its key, and by day, oldest first."""

    by_pathology: tuple[PathologyProgress, ...]
    by_day: tuple[DayProgress, ...]


def rating_of(
    kind: Kind, credit: float, right: bool, confidence: int | None = None, seconds: float | None = None
) -> Rating:
    """fsrs's rating of an answer, by the module's table.

    Args:
        credit: 0 to 1.
        confidence: 1 to 5, None: not told.
        seconds: 0 or more, None: not measured.
    """
    expected = EXPECTED_SECONDS[kind]
    if not right:
        return Rating.Again
    guessed = confidence is not None and confidence <= GUESS
    slow = seconds is not None and seconds > SLOW * expected
    if credit < FULL_CREDIT or guessed or slow:
        return Rating.Hard
    if confidence == MOST_CONFIDENCE and seconds is not None and seconds * FAST <= expected:
        return Rating.Easy
    return Rating.Good


def next_turn(
    questions: Questions,
    learner: str,
    pathologies: Sequence[str] = (),
    at: datetime | None = None,
    without: Collection[str] = (),
    language: str = "",
    wanted: ItemSearch = ItemSearch(),  # noqa: B008 (frozen)
) -> Turn | None:
    """Opens the next item for a learner, or gives back the one that is open; None where nothing is due and nothing new.

    Items that are due come first, the longest due at the head; then new ones, in an order of the learner's own. What is open
    stays open over a reload or a restart until it is answered, as long as it is approved in the version that was shown
    and of the pathologies wished for.

    Args:
        pathologies: keys that are wished for, "" for normal cases; none: all. One alone gives the answer away.
        at: now, with a time zone; for tests.
        without: ids of items that cannot be shown, since a picture of theirs is gone or damaged.
        language: of the items, where any are approved in it.
        wanted: what else is wished for, modality or difficulties.

    Raises:
        MedDiffError: an unknown learner.
    """
    moment = _moment(at)
    wanted = wanted.model_copy(update={"pathologies": tuple(pathologies)})

    def act(session: Session) -> Turn | None:
        learner_row(session, learner, lock=True)  # two tabs open one item
        lies, cards = session.get(OpenRow, learner), _cards(session, learner)
        there = approved(session, wanted, language)
        there = {key: version for key, version in there.items() if key not in without}
        if lies is not None and there.get(lies.item) != lies.version:
            session.delete(lies)
            session.flush()
            lies = None
        if lies is None:
            item_id = _next(session, learner, there, cards, moment)
            if item_id is None:
                return None
            lies = OpenRow(learner=learner, item=item_id, version=there[item_id], opened=_iso(moment))
            session.add(lies)
        item = items_of(session, [lies.item])[0]
        return Turn(item=item, opened=lies.opened, new=lies.item not in cards)

    return questions.write(act)


def answer_turn(questions: Questions, answer: Answer, at: datetime | None = None) -> Reviewed:
    """Keeps an answer in practice, plans when the item comes back, and closes it.

    An answer to an item that is not open (any more) is kept, but moves no plan: it may be the second of two tabs. The same
    answer sent again changes nothing.

    Args:
        answer: of practice, as it was scored.
        at: now, with a time zone; for tests.

    Raises:
        MedDiffError: an answer in a quiz, an unknown learner or item, or one that no learner may see.
    """
    if answer.quiz is not None:
        raise MedDiffError("This answer is of a quiz: keep it with Questions.answer.")
    moment = _moment(at)

    def act(session: Session) -> Reviewed:
        learner_row(session, answer.learner, lock=True)
        receipt = take(session, answer, _iso(moment))
        lies = session.get(OpenRow, answer.learner)
        if not receipt.new or lies is None or (lies.item, lies.version) != (answer.item, answer.version):
            return Reviewed(receipt=receipt, rating="", due="")
        kind = items_of(session, [answer.item])[0].kind
        rating = rating_of(kind, answer.credit, answer.right, answer.confidence, answer.seconds)
        session.delete(lies)
        return Reviewed(receipt=receipt, rating=rating.name.lower(), due=_plan(session, answer, rating, moment))

    return questions.write(act)


def outlook(
    questions: Questions,
    learner: str,
    pathologies: Sequence[str] = (),
    at: datetime | None = None,
    language: str = "",
    wanted: ItemSearch = ItemSearch(),  # noqa: B008 (frozen)
) -> Outlook:
    """How much there is to practise, of these pathologies or of all, in this language and of what else is wished for, as in `next_turn`.

    Raises:
        MedDiffError: an unknown learner.
    """
    moment = _iso(_moment(at))
    wanted = wanted.model_copy(update={"pathologies": tuple(pathologies)})

    def act(session: Session) -> Outlook:
        learner_row(session, learner)
        cards = _cards(session, learner)
        ids = approved(session, wanted, language)
        dues = [cards[item_id].due for item_id in ids if item_id in cards]
        return Outlook(
            due=sum(due <= moment for due in dues),
            new=len(ids) - len(dues),
            next_due=min((due for due in dues if due > moment), default=""),
        )

    return questions.read(act)


def read_cases(questions: Questions, learner: str, pathologies: Sequence[str]) -> dict[str, str]:
    """Of these pathologies the case of each that a learner answered last, by key: pictures whose answer they know already."""

    def act(session: Session) -> dict[str, str]:
        query = select(AnswerRow.item).join(ItemRow, ItemRow.id == AnswerRow.item).order_by(AnswerRow.id)
        met = (AnswerRow.learner == learner, ItemRow.pathology.in_(pathologies))
        answered = list(dict.fromkeys(session.scalars(query.where(*met))))
        items = items_of(session, answered) if answered else ()
        return {item.pathology: item.cases[0] for item in items if item.kind is not Kind.COMPARE}

    return questions.read(act)


def progress(questions: Questions, learner: str, at: datetime | None = None) -> Progress:
    """How a learner does, by pathology and by day.

    Raises:
        MedDiffError: an unknown learner.
    """
    moment = _moment(at)

    def act(session: Session) -> Progress:
        learner_row(session, learner)
        query = select(AnswerRow, ItemRow.pathology).join(ItemRow, ItemRow.id == AnswerRow.item)
        answered: dict[str, list[AnswerRow]] = {}
        days: dict[tuple[str, str], list[AnswerRow]] = {}
        for row, pathology in session.execute(query.where(AnswerRow.learner == learner).order_by(AnswerRow.id)):
            answered.setdefault(pathology, []).append(row)
            days.setdefault((row.at[:10], pathology), []).append(row)
        carded = select(CardRow, ItemRow.pathology).join(ItemRow, ItemRow.id == CardRow.item)
        cards: dict[str, list[CardRow]] = {}
        for card, pathology in session.execute(carded.where(CardRow.learner == learner)):
            cards.setdefault(pathology, []).append(card)
        return Progress(
            by_pathology=tuple(
                _at_pathology(key, answered[key], cards.get(key, []), moment) for key in sorted(answered)
            ),
            by_day=tuple(_on_day(*key, days[key]) for key in sorted(days)),
        )

    return questions.read(act)


def _next(
    session: Session, learner: str, there: Iterable[str], cards: dict[str, CardRow], moment: datetime
) -> str | None:
    """The longest due, or else the first new one of the learner's own order whose cases have rested."""
    due = sorted((cards[key].due, key) for key in there if key in cards and cards[key].due <= _iso(moment))
    if due:
        return due[0][1]
    new = sorted((key for key in there if key not in cards), key=lambda key: _draw(learner, key))
    fresh = _cases_seen(session, learner, moment - REST)
    rested = (key for key in new if fresh.isdisjoint(items_of(session, [key])[0].cases))
    return next(rested, new[0] if new else None)


def _cases_seen(session: Session, learner: str, since: datetime) -> set[str]:
    """Cases of the items that a learner answered lately."""
    ids = session.scalars(
        select(AnswerRow.item).where(AnswerRow.learner == learner, AnswerRow.at >= _iso(since)).distinct()
    ).all()
    return {case for item in items_of(session, ids) for case in item.cases}


def _draw(learner: str, item: str) -> str:
    """Where an item stands in a learner's own order of new ones."""
    return hashlib.sha256(f"{learner} {item}".encode()).hexdigest()


def _plan(session: Session, answer: Answer, rating: Rating, moment: datetime) -> str:
    """Lets fsrs say when the item comes back; returns that time."""
    row = session.get(CardRow, (answer.learner, answer.item))
    if row is None:
        row = CardRow(learner=answer.learner, item=answer.item, reviews=0)
        session.add(row)
        card = Card(card_id=int(answer.item.removeprefix("IT-"), 16), due=moment)
    else:
        card = Card.from_json(row.card)
    card, _ = _SCHEDULER.review_card(card, rating, moment)
    row.card, row.due, row.reviewed, row.reviews = card.to_json(), _iso(card.due), _iso(moment), row.reviews + 1
    return row.due


def _cards(session: Session, learner: str) -> dict[str, CardRow]:
    return {row.item: row for row in session.scalars(select(CardRow).where(CardRow.learner == learner))}


def _at_pathology(
    pathology: str, rows: Sequence[AnswerRow], cards: Sequence[CardRow], moment: datetime
) -> PathologyProgress:
    recalls = [_SCHEDULER.get_card_retrievability(Card.from_json(row.card), moment) for row in cards]
    return PathologyProgress(
        pathology=pathology,
        answers=len(rows),
        right=sum(row.is_right for row in rows),
        credit=fmean(row.credit for row in rows),
        confidence=_mean(row.confidence for row in rows),
        seconds=_mean(row.seconds for row in rows),
        practised=len(cards),
        due=sum(row.due <= _iso(moment) for row in cards),
        recall=_mean(recalls),
    )


def _on_day(day: str, pathology: str, rows: Sequence[AnswerRow]) -> DayProgress:
    return DayProgress(
        day=day,
        pathology=pathology,
        answers=len(rows),
        right=sum(row.is_right for row in rows),
        credit=fmean(row.credit for row in rows),
    )


def _mean(values: Iterable[float | None]) -> float | None:
    told = [value for value in values if value is not None]
    return fmean(told) if told else None


def _moment(at: datetime | None) -> datetime:
    return (at or datetime.now(UTC)).astimezone(UTC)


def _iso(moment: datetime) -> str:
    """As all times in the store are: it sorts as text."""
    return moment.isoformat(timespec="microseconds")
