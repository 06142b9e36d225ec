"""How good each question was: difficulty, discrimination, distractors, reliability, and a scale for items and learners.

Answers come in as a table (`table_of`), `statistics` tells of the quiz and of each item, and `advice` says in words what to
change in a poor one. Nothing here knows pictures, pages or databases.

A learner's first answer to an item counts: whoever answers again knows the feedback. An item that was not answered is missing,
and not wrong. Where a figure would say nothing (too few answers, everybody the same) it is None and never a made-up number.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field
from scipy.special import expit
from scipy.stats import norm

from meddiff.case import MedDiffError, Record
from meddiff.statistics import wilson
from meddiff.teaching.item import ChoiceItem, Item, Kind

GROUP = 0.27  # of the learners in the upper and in the lower group (Kelley 1939: sharpest for a normal distribution)
UNUSED = 0.05  # a distractor chosen by fewer does nothing (Haladyna & Downing 1993)
LEAST_ANSWERS = 10  # for discrimination and advice: below, one learner turns the figures round
LEAST_FOR_CHOICES = 20  # for advice on a distractor: 5% is then one learner
FEW_ANSWERS = 50  # below, advice says that it may change
LEAST_RASCH = 30  # learners: difficulties within 1 logit, 19 times in 20 (Linacre 1994)
LEAST_2PL = (
    250  # learners: slopes of fewer are mostly noise (Drasgow 1989 takes 200 for short tests, others 250 to 500)
)
LEAST_ITEMS = 3  # that tell learners apart, for a scale
RESAMPLES = 1000
_MOST_WEIGHTS = 4_000_000  # numbers of one lot of bootstrap weights, 32 MB
_POOR, _EASY, _HARD = 0.1, 0.95, 0.2  # discrimination, share right, share right: beyond, an item gets advice

Share = Annotated[float, Field(ge=0, le=1)]


class Answer(Record):
    """One answer of one learner to one item.

    Attributes:
        right: as the item was scored.
        credit: 0 to 1; None: all or nothing, as `right` says.
        choice: position in the item's choices, from 0; None where nothing is chosen (a click, a size, free text).
    """

    learner: Annotated[str, Field(min_length=1)]
    item: Annotated[str, Field(min_length=1)]
    right: bool
    credit: Share | None = None
    choice: Annotated[int, Field(ge=0)] | None = None


@dataclass(frozen=True)
class Table:
    """Answers as arrays: L learners, I items.

    Attributes:
        right: float64 [L, I], 0 or 1; nan: not answered.
        credit: float64 [L, I] in [0, 1]; nan: not answered.
        choice: int [L, I], from 0; -1: nothing chosen.
    """

    learners: tuple[str, ...]
    items: tuple[str, ...]
    right: np.ndarray
    credit: np.ndarray
    choice: np.ndarray


class ChoiceStatistics(Record):
    """Who chose one of the choices: share of all, of the upper and of the lower group (None with too few answers)."""

    choice: int
    key: bool
    share: Share
    upper: Share | None
    lower: Share | None


class ItemStatistics(Record):
    """How one item did.

    Attributes:
        n: learners who answered it.
        right: share of them that was right, with its 95% Wilson interval; None where nobody answered.
        upper_lower: share right of the upper 27% less that of the lower 27%, -1 to 1.
        point_biserial: correlation with the share right of the other items, -1 to 1.
        choices: of a choice item, the key among them.
        rasch: difficulty in logits, 0: a learner in the middle of the class is right half the time; with its standard error.
        slope, slope_logit: the same by the 2PL model, whose slope is 1 in the Rasch model; only with many learners.
    """

    item: str
    n: int
    right: Share | None = None
    right_low: Share | None = None
    right_high: Share | None = None
    upper_lower: float | None = None
    point_biserial: float | None = None
    choices: tuple[ChoiceStatistics, ...] = ()
    rasch: float | None = None
    rasch_se: float | None = None
    slope: float | None = None
    slope_logit: float | None = None

    @property
    def difficulty(self) -> float | None:
        """0 (everybody is right) to 1 (nobody), as `Item.difficulty` counts."""
        return None if self.right is None else 1 - self.right

    @property
    def unused(self) -> tuple[int, ...]:
        """Distractors that fewer than 5% choose."""
        return tuple(row.choice for row in self.choices if not row.key and row.share < UNUSED)

    @property
    def tempting(self) -> tuple[int, ...]:
        """Distractors that the upper group chooses more than the lower."""
        rows = [row for row in self.choices if not row.key and row.upper is not None and row.lower is not None]
        return tuple(row.choice for row in rows if (row.upper or 0) > (row.lower or 0) + 1e-9)


class Ability(Record):
    """Where a learner stands on the scale, in logits; 0 is the middle of the class."""

    learner: str
    logit: float


class QuizStatistics(Record):
    """How a quiz did.

    Attributes:
        complete: learners who answered every item; reliability is of them.
        mean, sd: of their points, an item one point.
        kr20: Kuder-Richardson 20, of right and wrong. At most 1; below 0 where items disagree.
        alpha: Cronbach's alpha, of credit; the same where there is no partial credit.
        sem: standard error of measurement, in points.
        abilities: none where `no_scale` says, in words, why there is no Rasch scale.
        no_slopes: why there are no slopes (2PL), in words.
    """

    learners: int
    complete: int
    mean: float | None
    sd: float | None
    kr20: float | None
    alpha: float | None
    sem: float | None
    items: tuple[ItemStatistics, ...]
    abilities: tuple[Ability, ...] = ()
    no_scale: str = ""
    no_slopes: str = ""


def table_of(answers: Iterable[Answer], items: Sequence[str] = ()) -> Table:
    """Answers as arrays; the first of a learner to an item counts.

    Args:
        items: ids in the order wanted; those that nobody answered are kept. Default: as they come in the answers.

    Raises:
        MedDiffError: an answer is to an item that is not in `items`, or an item stands there twice.
    """
    answers = list(answers)
    names = list(items) or list(dict.fromkeys(answer.item for answer in answers))
    if len(set(names)) < len(names):
        raise MedDiffError("An item stands twice in the quiz: name each once.")
    learners = list(dict.fromkeys(answer.learner for answer in answers))
    rows, columns = ({name: at for at, name in enumerate(known)} for known in (learners, names))
    right, credit = (np.full((len(learners), len(names)), np.nan) for _ in range(2))
    choice = np.full(right.shape, -1)
    for answer in answers:
        if answer.item not in columns:
            raise MedDiffError(f"An answer is to {answer.item}, which is not in the quiz: give its answers only.")
        at = rows[answer.learner], columns[answer.item]
        if np.isnan(right[at]):
            right[at] = answer.right
            credit[at] = answer.right if answer.credit is None else answer.credit
            choice[at] = -1 if answer.choice is None else answer.choice
    return Table(tuple(learners), tuple(names), right, credit, choice)


def statistics(answers: Iterable[Answer], items: Sequence[Item], seed: int = 0) -> QuizStatistics:
    """How a quiz and each of its items did.

    Args:
        seed: of the bootstrap over learners.

    Raises:
        MedDiffError: as `table_of`, or an answer chooses what its item does not have.
    """
    table = table_of(answers, [item.id for item in items])
    per_item = [_item(table, column, item) for column, item in enumerate(items)]
    whole = ~np.isnan(table.right).any(axis=1)
    points = table.credit[whole].sum(axis=1)
    alpha = cronbach_alpha(table.credit[whole])
    sd = float(points.std(ddof=1)) if len(points) > 1 else None
    scale = rasch(table, seed)
    slopes = _slopes(table, scale)
    return QuizStatistics(
        learners=len(table.learners),
        complete=int(whole.sum()),
        mean=float(points.mean()) if len(points) else None,
        sd=sd,
        kr20=cronbach_alpha(table.right[whole]),  # KR-20 is alpha of zeros and ones
        alpha=alpha,
        sem=None if alpha is None or sd is None else sd * math.sqrt(1 - max(alpha, 0)),
        items=tuple(
            row.model_copy(update={**scale.of(row.item), **slopes.get(row.item, {})}) for row in per_item
        ),
        abilities=tuple(Ability(learner=name, logit=logit) for name, logit in scale.abilities.items()),
        no_scale=scale.refused,
        no_slopes=_no_slopes(table, scale),
    )  # fmt: skip


def cronbach_alpha(credit: np.ndarray) -> float | None:
    """Cronbach's alpha (1951) of [L, I] without gaps; of zeros and ones it is KR-20 (Kuder & Richardson 1937).

    None with fewer than two learners or items, or where all learners have the same points.
    """
    learners, items = credit.shape
    if learners < 2 or items < 2 or np.isclose(credit.sum(axis=1).var(), 0):
        return None
    from girth.common import cronbach_alpha as of_library

    return float(of_library(credit.T))


# ------------------------------------------------------------ one item


def _item(table: Table, column: int, item: Item) -> ItemStatistics:
    answered = ~np.isnan(table.right[:, column])
    right = table.right[answered, column]
    n, hits = len(right), int(right.sum())
    if not n:
        return ItemStatistics(item=item.id, n=0, choices=())
    low, high = wilson(hits, n)
    upper, lower = _groups(_share_right(table.right)[answered])
    told = n >= LEAST_ANSWERS
    return ItemStatistics(
        item=item.id,
        n=n,
        right=hits / n,
        right_low=low,
        right_high=high,
        upper_lower=float(upper @ right - lower @ right) if told else None,
        point_biserial=_point_biserial(table, column) if told else None,
        choices=_choices(table.choice[answered, column], item, upper, lower, told),
    )


def _choices(
    chosen: np.ndarray, item: Item, upper: np.ndarray, lower: np.ndarray, told: bool
) -> tuple[ChoiceStatistics, ...]:
    if not isinstance(item, ChoiceItem):
        return ()
    if chosen.max(initial=-1) >= len(item.choices):
        raise MedDiffError(
            f"An answer to {item.id} is choice {chosen.max() + 1}, and it has {len(item.choices)}: "
            "these are answers to another version of it."
        )
    return tuple(
        ChoiceStatistics(
            choice=choice,
            key=choice == item.key,
            share=float((chosen == choice).mean()),
            upper=min(1.0, float(upper @ (chosen == choice))) if told else None,
            lower=min(1.0, float(lower @ (chosen == choice))) if told else None,
        )
        for choice in range(len(item.choices))
    )


def _share_right(right: np.ndarray) -> np.ndarray:
    """Of what each learner answered, the share that is right: [L]; nan where nothing was answered."""
    answered = (~np.isnan(right)).sum(axis=1)
    return np.where(answered > 0, np.nansum(right, axis=1) / np.maximum(answered, 1), np.nan)


def _groups(score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights of each learner in the upper and in the lower 27%, each [L] and of sum 1.

    Learners with the same score share what is left at the edge of a group, so that no order decides.
    """
    return _top(score), _top(-score)


def _top(score: np.ndarray) -> np.ndarray:
    size = max(1.0, GROUP * len(score))
    edge = np.sort(score)[::-1][math.ceil(size - 1e-9) - 1]
    above, tied = score > edge, score == edge
    return (above + tied * (size - above.sum()) / tied.sum()) / size


def _point_biserial(table: Table, column: int) -> float | None:
    """Correlation of an item with the share right of the others, so that the item does not correlate with itself."""
    rest = _share_right(np.delete(table.right, column, axis=1))
    both = ~np.isnan(rest) & ~np.isnan(table.right[:, column])
    x, y = table.right[both, column], rest[both]
    if len(x) < 2 or np.isclose(x.std(), 0) or np.isclose(y.std(), 0):
        return None
    return float(np.corrcoef(x, y)[0, 1])


# ------------------------------------------------------------ the scale


@dataclass(frozen=True)
class Scale:
    """Items and learners in logits, by name; or why there is none, in words."""

    difficulties: Mapping[str, float]
    errors: Mapping[str, float]
    abilities: Mapping[str, float]
    refused: str = ""

    def of(self, item: str) -> dict[str, float]:
        """What the scale says of an item, as fields of `ItemStatistics`."""
        if item not in self.difficulties:
            return {}
        return {"rasch": self.difficulties[item], "rasch_se": self.errors[item]}


def rasch(table: Table, seed: int = 0, resamples: int = RESAMPLES) -> Scale:
    """The Rasch model by marginal maximum likelihood (girth's `rasch_mml`; Bock & Aitkin 1981).

    P(right) = 1 / (1 + exp(difficulty - ability)). Abilities are taken as normal with a spread of one logit, 0 in the middle of
    the class; a class that is much more or less spread stretches or shrinks the scale by some tenths. An item that all or none
    got right, or that fewer than `LEAST_RASCH` answered, has no place on it. Difficulties lie in -6 to 6; abilities are
    expected a posteriori.

    Args:
        seed: of the bootstrap over learners that gives the standard errors.
        resamples: of it; at least 2.
    """
    n = (~np.isnan(table.right)).sum(axis=0)
    hits = np.nansum(table.right, axis=0)
    used = np.flatnonzero((n >= LEAST_RASCH) & (hits > 0) & (hits < n))
    if refused := _no_rasch(int(n.max(initial=0)), len(used)):
        return Scale({}, {}, {}, refused)
    from girth import ability_eap, rasch_mml

    data = _coded(table.right[:, used])
    difficulty = rasch_mml(data)["Difficulty"]
    errors = _bootstrap(table.right[:, used], seed, resamples)
    ability = ability_eap(data, difficulty, 1.0)
    placed = ~np.isnan(table.right[:, used]).all(axis=1)
    names = [table.items[at] for at in used]
    return Scale(
        dict(zip(names, map(float, difficulty), strict=True)),
        dict(zip(names, map(float, errors), strict=True)),
        {table.learners[at]: float(ability[at]) for at in np.flatnonzero(placed)},
    )


def _no_rasch(most: int, items: int) -> str:
    if most < LEAST_RASCH:
        return (
            f"A scale of items and learners needs {LEAST_RASCH} learners, and at most {most} answered the same item: "
            f"wait for {LEAST_RASCH - most} more."
        )
    if items < LEAST_ITEMS:
        return (
            f"A scale of items and learners needs {LEAST_ITEMS} items that {LEAST_RASCH} learners answered, some right and some "
            f"wrong, and there {'is' if items == 1 else 'are'} {items}: add items of middle difficulty."
        )
    return ""


def _bootstrap(right: np.ndarray, seed: int, resamples: int) -> np.ndarray:
    """Standard errors [I] of the difficulties, learners drawn again with replacement (Efron 1979).

    In `rasch_mml` a difficulty is decided by the item's share right alone, so that all resamples are one table looked up. A
    resample in which all or none are right counts as half an answer short of it, since its difficulty would be infinite.
    """
    answered = ~np.isnan(right)
    hit = np.nan_to_num(right)
    shares, difficulties = _share_curve()
    found = []
    for weights in _weights(np.random.default_rng(seed), resamples, len(right)):
        n = weights @ answered
        share = (weights @ hit) / np.maximum(n, 1)
        edge = 0.5 / np.maximum(n, 1)
        found.append(np.interp(np.clip(share, edge, 1 - edge), shares, difficulties))
    return np.concatenate(found).std(axis=0, ddof=1)


def _share_curve() -> tuple[np.ndarray, np.ndarray]:
    """Share right that a class N(0, 1) has at each difficulty, rising in share: where `rasch_mml` finds an item."""
    ability, weight = np.polynomial.legendre.leggauss(41)  # girth's own quadrature: 41 points in -4.5 to 4.5
    ability, weight = 4.5 * ability, 4.5 * weight
    difficulty = np.linspace(6, -6, 1201)
    return expit(ability - difficulty[:, None]) @ (weight * norm.pdf(ability)), difficulty


def _weights(rng: np.random.Generator, resamples: int, n: int) -> Iterator[np.ndarray]:
    """How often each of n is drawn, float64 [some, n], in lots that fit the memory."""
    lot = max(1, _MOST_WEIGHTS // max(n, 1))
    for first in range(0, resamples, lot):
        yield rng.multinomial(n, np.full(n, 1 / n), size=min(lot, resamples - first)).astype(float)


def _coded(right: np.ndarray) -> np.ndarray:
    """[L, I] with gaps as girth wants it: int [I, L], a gap as its own number."""
    from girth.utilities import INVALID_RESPONSE

    return np.where(np.isnan(right), INVALID_RESPONSE, right).astype(int).T


def _no_slopes(table: Table, scale: Scale) -> str:
    if scale.refused:
        return scale.refused
    if len(scale.abilities) < LEAST_2PL:
        return f"Slopes (2PL) need {LEAST_2PL} learners, and {len(scale.abilities)} answered: the Rasch scale stands for them."
    return ""


def _slopes(table: Table, scale: Scale) -> dict[str, dict[str, float]]:
    """The 2PL model (Birnbaum 1968; girth's `twopl_mml`) of the items on the scale: slopes 0.2 to 5. Empty with few learners."""
    if _no_slopes(table, scale):
        return {}
    from girth import twopl_mml

    names = list(scale.difficulties)
    found = twopl_mml(_coded(table.right[:, [table.items.index(name) for name in names]]))
    pairs = zip(found["Discrimination"], found["Difficulty"], strict=True)
    return {
        name: {"slope": float(slope), "slope_logit": float(logit)}
        for name, (slope, logit) in zip(names, pairs, strict=True)
    }


# ------------------------------------------------------------ for the plots


def right_by_ability(table: Table, scale: Scale, item: str, groups: int = 5) -> tuple[tuple[float, float, int], ...]:
    """What was seen beside an item's curve: (mean ability in logits, share right, learners) of groups of the same size.

    Raises:
        MedDiffError: the item is not in the table.
    """
    column = _column(table, item)
    mine = [at for at, name in enumerate(table.learners) if name in scale.abilities]
    mine = [at for at in mine if not np.isnan(table.right[at, column])]
    mine.sort(key=lambda at: scale.abilities[table.learners[at]])
    found = []
    for group in np.array_split(np.array(mine, dtype=int), groups):
        if len(group):
            ability = np.mean([scale.abilities[table.learners[at]] for at in group])
            found.append((float(ability), float(table.right[group, column].mean()), len(group)))
    return tuple(found)


def choices_by_score(table: Table, item: ChoiceItem, groups: int = 4) -> np.ndarray:
    """Shares of each choice among learners from the weakest to the strongest quarter: float64 [groups, choices].

    Weak and strong is by the other items. Fewer groups where there are fewer learners; none, [0, choices], with no answer.

    Raises:
        MedDiffError: the item is not in the table.
    """
    column = _column(table, item.id)
    rest = _share_right(np.delete(table.right, column, axis=1))
    mine = np.flatnonzero((table.choice[:, column] >= 0) & ~np.isnan(rest))
    mine = mine[np.argsort(rest[mine], kind="stable")]
    parts = [table.choice[group, column] for group in np.array_split(mine, groups) if len(group)]
    shares = [np.bincount(part, minlength=len(item.choices)) / len(part) for part in parts]
    return np.array(shares).reshape(-1, len(item.choices))


def _column(table: Table, item: str) -> int:
    if item not in table.items:
        raise MedDiffError(f"{item} is not among these answers: choose an item of the quiz.")
    return table.items.index(item)


# ------------------------------------------------------------ words

_EASIER: Mapping[Kind, str] = {
    Kind.LOCALISE: "widen the tolerance, or choose a case whose lesion stands out more",
    Kind.SIZE: "widen the tolerance, or choose a lesion with a sharper margin",
    Kind.ORDER: "choose visits that differ more",
    Kind.RESPONSE: "choose visits that differ more, or show the measured diameters",
    Kind.FREE_TEXT: "add synonyms to what is expected, or lower the share that passes",
}
_HARDER: Mapping[Kind, str] = {
    Kind.LOCALISE: "choose a less conspicuous lesion",
    Kind.SIZE: "narrow the tolerance",
    Kind.ORDER: "choose visits that differ less",
    Kind.FREE_TEXT: "expect more findings, or raise the share that passes",
}


def advice(item: Item, stats: ItemStatistics) -> tuple[str, ...]:
    """What to change in an item, a plain sentence each, the most pressing first; none where it does well or has few answers.

    A key that looks wrong is told alone: the rest follows from it. Thresholds: discrimination below 0.1 is poor (Ebel & Frisbie
    1991 revise below 0.2; learners of one class are alike), 95% right is too easy, 20% right or a guess is too hard.

    Raises:
        MedDiffError: the statistics are of another item.
    """
    if stats.item != item.id:
        raise MedDiffError(f"These are the statistics of {stats.item}, and the item is {item.id}: give its own.")
    if stats.n < LEAST_ANSWERS:
        return ()
    told = _bad_key(item, stats) or (*_level(item, stats), *_telling_apart(stats), *_distractors(item, stats))
    if told and stats.n < FEW_ANSWERS:
        return (*told, f"Only {stats.n} answers so far: look again before you change much.")
    return told


def _bad_key(item: Item, stats: ItemStatistics) -> tuple[str, ...]:
    """The strong choose a distractor: more than the weak do where being right goes with being weak, or most of them."""
    if not isinstance(item, ChoiceItem):
        return ()
    best = max(stats.choices, key=lambda row: row.upper or 0)
    key = stats.choices[item.key]
    against = _discrimination(stats) < 0 and best.choice in stats.tempting
    agreed = key.share <= 1 / len(item.choices) and (best.upper or 0) > 0.5
    if best.key or not (against or agreed):
        return ()
    return (
        f"Check the key: of the strongest learners {_percent(best.upper)} choose “{item.choices[best.choice].text}” and "
        f"{_percent(key.upper)} the key “{item.choices[item.key].text}”.",
    )


def _level(item: Item, stats: ItemStatistics) -> tuple[str, ...]:
    right = stats.right or 0.0
    if right >= _EASY:
        change = _HARDER.get(item.kind, "choose a less conspicuous lesion or closer look-alikes")
        return (f"Too easy, {_percent(right)} are right: {change}, or keep it as a first question.",)
    easier = _EASIER.get(item.kind, "choose a more conspicuous lesion, or name the deciding sign in the stem")
    guess = 1 / len(item.choices) if isinstance(item, ChoiceItem) else 0.0
    if guess and right <= guess:
        return (f"No better than a guess, {_percent(right)} are right: {easier}.",)
    return (f"Too hard, {_percent(right)} are right: {easier}.",) if right < _HARD else ()


def _telling_apart(stats: ItemStatistics) -> tuple[str, ...]:
    """Low discrimination, where the item is not so easy or hard that it has to be low."""
    figure = _discrimination(stats)
    if figure >= _POOR or not _HARD <= (stats.right or 0.0) < _EASY:
        return ()
    said = f"(discrimination {figure:.2f})".replace("-", "\N{MINUS SIGN}")
    if figure < -_POOR:
        return (f"Weak learners do better than strong ones {said}: look for a hint or a double meaning in the stem.",)
    return (
        f"It does not tell strong learners from weak ones {said}: ask for one thing only, and show the sign that decides.",
    )


def _distractors(item: Item, stats: ItemStatistics) -> tuple[str, ...]:
    if not isinstance(item, ChoiceItem) or stats.n < LEAST_FOR_CHOICES:
        return ()
    found = []
    for choice in stats.tempting:
        row = stats.choices[choice]
        if _surely_more(row.upper or 0.0, row.lower or 0.0, GROUP * stats.n):
            found.append(
                f"“{item.choices[choice].text}” draws the strong ({_percent(row.upper)}) more than the weak "
                f"({_percent(row.lower)}): it may be right too, so let the picture or the stem speak against it."
            )
    if (stats.right or 0.0) < _EASY:  # of an easy item all distractors are unused: it was said that it is easy
        for choice in stats.unused:
            found.append(
                f"{_percent(stats.choices[choice].share)} choose “{item.choices[choice].text}”: "
                "put a closer look-alike in its place, or leave it out."
            )
    return tuple(found)


def _discrimination(stats: ItemStatistics) -> float:
    """Corrected point-biserial; else upper less lower; else, where neither is known, 0.5: nothing to say."""
    known = [figure for figure in (stats.point_biserial, stats.upper_lower) if figure is not None]
    return known[0] if known else 0.5


def _surely_more(share: float, other: float, n: float) -> bool:
    """Whether a share of n is above another of n by more than chance, one in twenty (pooled z test)."""
    pooled = (share + other) / 2
    return share - other > 1.645 * math.sqrt(2 * pooled * (1 - pooled) / n)


def _percent(share: float | None) -> str:
    return f"{100 * (share or 0.0):.0f}%"
