"""More cases at the difficulty that a class needs: the formula of `difficulty` turned round, and what comes out measured.

Size and look-alikes of a request are known before a case is made; its contrast is not: it is expected from the enhancement and the
conspicuity that are asked for, and each case that was made corrects the expectation. Of requests that are expected in the middle of
the range the largest lesion is taken: with the shipped pack the check accepted none of 10 lesions of 12 mm at the first attempt, 2 of 10
of 20 mm, 2 of 10 of 30 mm and 4 of 10 of 45 mm, so that hard cases are had by faint lesions rather than by small ones. The case is made,
checked and measured, and kept only where its check accepts it and its measured difficulty lies in the range. Questions of what is
kept are written as drafts.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Protocol

from pydantic import Field, model_validator

from meddiff.bank import Bank
from meddiff.case import Conspicuity, Enhancement, Finding, Findings, MedDiffError, Plane, Record, Request, Status
from meddiff.conditions.vocabulary import Pathology, load_pathologies
from meddiff.teaching.difficulty import difficulty_at, difficulty_of, measured
from meddiff.teaching.quality import balanced
from meddiff.teaching.store import Questions
from meddiff.teaching.write import items_of

if TYPE_CHECKING:  # torch comes with the studio
    from meddiff.marking.seal import SealedCase

MOST_CASES = 50  # of one wish
TRIES = 4  # cases that are made at most for each that is wanted
DRAWS = 200  # requests that are drawn at most for each disease
ENOUGH = 8  # of them expected in the middle of the range: the largest is taken
DISEASES = 3  # that are drawn for each case
MIDDLE = 0.5  # of the range: where the expected difficulty shall lie
OBSERVED = 4  # cases that an expectation weighs as much as

# Contrast to noise that the shipped pack gives: geometric means of the starter's 49 lesions, within about a factor of two.
CONTRASTS = {
    Enhancement.RING: 1.5,
    Enhancement.NONE: 1.4,
    Enhancement.HETEROGENEOUS: 2.3,
    Enhancement.SOLID: 4.6,
}
# By what factor the word in the request changes it: seen in 18 cases of four diseases, the same seeds with and without it.
ASKED = {Conspicuity.SUBTLE: 0.7, Conspicuity.UNKNOWN: 1.0, Conspicuity.OBVIOUS: 1.3}


class Maker(Protocol):
    """What makes cases: a `synthesis.studio.Studio`."""

    def create(self, request: Request) -> Iterator[SealedCase]: ...


class Wish(Record):
    """What is wanted.

    Attributes:
        pathologies: keys; none: any.
        difficulty_from, difficulty_to: 0 (everybody is right) to 1, both included.
        number: of cases.
        seed: of what is drawn; the same wish makes the same cases.
    """

    pathologies: tuple[str, ...] = ()
    difficulty_from: Annotated[float, Field(ge=0, le=1)]
    difficulty_to: Annotated[float, Field(ge=0, le=1)]
    number: Annotated[int, Field(ge=1, le=MOST_CASES)] = 5
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0

    @model_validator(mode="after")
    def _in_order(self) -> Wish:
        if self.difficulty_from > self.difficulty_to:
            raise ValueError(
                f"the lowest difficulty, {self.difficulty_from:g}, is above the highest, {self.difficulty_to:g}"
            )
        return self

    def holds(self, difficulty: float) -> bool:
        """Whether a difficulty lies in the range."""
        return self.difficulty_from <= difficulty <= self.difficulty_to


class Made(Record):
    """How far it is, after each case.

    Attributes:
        made: cases so far; `accepted` by their check; ids of those `kept`, which also fell within the range.
        drafts: ids of questions that were written of them.
        difficulty: measured, of the last case; None: it was rejected.
    """

    made: int
    accepted: int
    kept: tuple[str, ...]
    drafts: tuple[str, ...]
    difficulty: float | None


class Expectation:
    """What contrast to noise a request is expected to get; it learns from what was made."""

    def __init__(self) -> None:
        self._off: list[tuple[Enhancement, Conspicuity, float]] = []  # by how much the table was wrong, in logarithms

    def contrast(self, finding: Finding) -> float:
        """A geometric mean: the table's, moved by what all cases and then those asked alike were off, `OBSERVED` cases as if right."""
        alike = (finding.enhancement, finding.conspicuity)
        of_all = sum(off for *_, off in self._off) / (OBSERVED + len(self._off))
        mine = [off - of_all for *asked, off in self._off if tuple(asked) == alike]
        return self._table(finding) * math.exp(of_all + sum(mine) / (OBSERVED + len(mine)))

    def difficulty(self, finding: Finding) -> float:
        """Expected of a case with this finding, 0 to 1."""
        return difficulty_at(self.contrast(finding), finding.size_mm or 0, finding.pathology)

    def learn(self, finding: Finding, contrast: float) -> None:
        """Takes in what was measured of a request."""
        off = math.log(max(contrast, 0.05) / self._table(finding))
        self._off.append((finding.enhancement, finding.conspicuity, off))

    @staticmethod
    def _table(finding: Finding) -> float:
        return CONTRASTS[finding.enhancement] * ASKED[finding.conspicuity]


def make_more(
    maker: Maker,
    bank: Bank,
    questions: Questions,
    wish: Wish,
    who: str = "",
    request: Request = Request(),  # noqa: B008 (frozen)
) -> Iterator[Made]:
    """Makes cases until as many as wanted are kept, or `TRIES` times as many were made; tells after each, and may be left at any time.

    Args:
        who: asks for it; stands in the history of cases and questions.
        request: pack, precision, steps and guidance of all.

    Raises:
        MedDiffError: no such pathology, a range that none of them can reach, or a case that cannot be made or kept.
    """
    expectation = Expectation()
    diseases = reachable(wish)
    made = accepted = turn = 0
    kept: list[str] = []
    drafts: list[str] = []
    while len(kept) < wish.number and made < TRIES * wish.number:
        turn += 1
        some = {diseases[(turn + n) % len(diseases)].key: diseases[(turn + n) % len(diseases)] for n in range(DISEASES)}
        findings = max((draw(wish, one, expectation, turn) for one in some.values()), key=_suits(wish, expectation))
        try:
            case = next(iter(maker.create(request.model_copy(update={"findings": findings, "seed": wish.seed + turn}))))
        except MedDiffError:  # a place that this slice does not show: the next draw has another
            if turn > made + TRIES * wish.number:
                raise
            continue
        made += 1
        seen = measured(case.case, "conspicuity")
        if findings.finding and seen and seen.value is not None:
            expectation.learn(findings.finding, seen.value)
        difficulty = None
        if case.case.status is Status.ACCEPTED:
            accepted += 1
            difficulty = difficulty_of(case.case)
            if wish.holds(difficulty):
                kept.append(bank.keep(case, who))
                drafts += questions.add(balanced(items_of(case.case, turn), turn), who).new
        yield Made(made=made, accepted=accepted, kept=tuple(kept), drafts=tuple(drafts), difficulty=difficulty)


def draw(wish: Wish, pathology: Pathology, expectation: Expectation, turn: int) -> Findings:
    """What to ask for: of `ENOUGH` findings that are expected in the middle of the range the largest; without any, the nearest to it.

    Enhancement is drawn as the disease has it, sizes as far as it grows, all alike; place and margin are left to the studio.
    """
    chance = random.Random(f"{wish.seed} {turn} {pathology.key}")
    suits = _suits(wish, expectation)
    plane = list(Plane)[turn % len(Plane)]
    drawn: list[Findings] = []
    found = 0
    while len(drawn) < DRAWS and found < ENOUGH:
        low, high = pathology.size_mm.min, pathology.size_mm.max
        finding = Finding(
            pathology=pathology.key,
            enhancement=chance.choices(list(pathology.enhancement), list(pathology.enhancement.values()))[0],
            conspicuity=chance.choice(list(ASKED)),
            size_mm=round(math.exp(chance.uniform(math.log(low), math.log(high)))),
        )
        drawn.append(Findings(plane=plane, finding=finding))
        found += suits(drawn[-1]) > 0
    return max(drawn, key=suits)


def _suits(wish: Wish, expectation: Expectation) -> Callable[[Findings], float]:
    """How well findings suit a wish: their size in mm where they are expected in the middle of the range, else how far off it, below 0."""
    centre = (wish.difficulty_from + wish.difficulty_to) / 2
    near = MIDDLE * (wish.difficulty_to - wish.difficulty_from) / 2

    def suits(findings: Findings) -> float:
        assert findings.finding is not None
        off = abs(expectation.difficulty(findings.finding) - centre)
        return -off if off > near else findings.finding.size_mm or 0

    return suits


def reachable(wish: Wish) -> tuple[Pathology, ...]:
    """The pathologies of a wish that can be expected in its range.

    Raises:
        MedDiffError: no such pathology, or none of them can; it says how easy and how hard they can be.
    """
    known = load_pathologies()
    if unknown := [key for key in wish.pathologies if key not in known]:
        raise MedDiffError(f"There is no pathology {unknown[0]!r}: choose among {', '.join(known)}.")
    wanted = [known[key] for key in wish.pathologies] or list(known.values())
    ranges = {pathology.key: reach(pathology) for pathology in wanted}
    found = tuple(
        pathology
        for pathology in wanted
        if ranges[pathology.key][0] <= wish.difficulty_to and wish.difficulty_from <= ranges[pathology.key][1]
    )
    if not found:
        low, high = min(low for low, _ in ranges.values()), max(high for _, high in ranges.values())
        names = wanted[0].name if len(wanted) == 1 else "these diseases"
        raise MedDiffError(
            f"Cases of {names} are expected between {low:.2f} and {high:.2f}, by their sizes and contrasts, and "
            f"{wish.difficulty_from:.2f} to {wish.difficulty_to:.2f} is wanted: widen the range, or choose other diseases."
        )
    return found


def reach(pathology: Pathology) -> tuple[float, float]:
    """The easiest and the hardest that a case of a pathology is expected to be, 0 to 1."""
    expectation = Expectation()
    expected = [
        expectation.difficulty(
            Finding(pathology=pathology.key, enhancement=enhancement, conspicuity=word, size_mm=size)
        )
        for enhancement, share in pathology.enhancement.items()
        if share > 0
        for word in ASKED
        for size in (pathology.size_mm.min, pathology.size_mm.max)
    ]
    return min(expected), max(expected)


def told(made: Made, wish: Wish) -> str:
    """How far it is, in words."""
    return (
        f"{made.made} made, {made.accepted} accepted by their check; of these {len(made.kept)} fell within "
        f"{wish.difficulty_from:.2f} to {wish.difficulty_to:.2f}. {len(made.kept)} of {wish.number} wanted are kept in the bank, "
        f"with {len(made.drafts)} questions as drafts."
        if made.accepted
        else f"{made.made} made, none accepted by its check yet."
    )
