"""More cases at a difficulty: what is asked for is expected in the range, and only what is measured in it is kept."""

import random
from itertools import islice

import pytest

from meddiff.bank import Bank
from meddiff.case import Case, MaskSpec, Measurement, MedDiffError, Status
from meddiff.conditions.vocabulary import load_pathologies
from meddiff.marking import SealedCase
from meddiff.teaching.difficulty import difficulty_of
from meddiff.teaching.item import State
from meddiff.teaching.more import TRIES, Expectation, Wish, draw, make_more, reach, told
from meddiff.teaching.store import ItemSearch, Questions
from tests.exchange.series_support import series_of
from tests.teaching.case_support import SPACING_MM, disc


class Maker:
    """Stands for a studio: contrasts are `bias` times what is expected at first; every third case is rejected."""

    def __init__(self, bias: float = 1.0, scatter: float = 0.3) -> None:
        self.visits = series_of(2)[0]
        self.bias, self.scatter, self.requests = bias, scatter, []

    def create(self, request):
        self.requests.append(request)
        finding, chance = request.findings.finding, random.Random(request.seed)
        seen = Expectation().contrast(finding) * self.bias * 2 ** chance.gauss(0, self.scatter)
        request = request.model_copy(update={"mask": MaskSpec.from_array(disc(finding.size_mm / 2 / SPACING_MM[0]))})
        case = Case(
            id=request.case_id(), request=request, spacing_mm=SPACING_MM,
            measurements=(Measurement(name="conspicuity", asked="", measured="", value=seen),),
            status=Status.REJECTED if len(self.requests) % 3 == 0 else Status.ACCEPTED,
        )  # fmt: skip
        visit = self.visits[0]
        yield SealedCase(case, visit.image, visit.twin, visit.mask)


@pytest.fixture
def rooms(tmp_path):
    return Bank(tmp_path), Questions(tmp_path)


def test_what_is_drawn_is_expected_in_the_middle_of_the_range_where_a_disease_can_be_so_hard():
    expectation = Expectation()
    for key in ("metastasis", "glioblastoma", "meningioma"):
        low, high = reach(load_pathologies()[key])
        assert low < 0.3 and high > 0.5
        for turn in range(10):
            wish = Wish(difficulty_from=0.4, difficulty_to=0.5, seed=3)
            finding = draw(wish, load_pathologies()[key], expectation, turn).finding
            assert wish.holds(expectation.difficulty(finding))
            assert finding.enhancement in load_pathologies()[key].enhancement


def test_only_accepted_cases_measured_within_the_range_are_kept_with_their_questions_as_drafts(rooms):
    bank, questions = rooms
    wish = Wish(pathologies=("metastasis", "meningioma"), difficulty_from=0.35, difficulty_to=0.5, number=4)
    maker = Maker()
    steps = list(make_more(maker, bank, questions, wish, "Ann"))
    end = steps[-1]
    assert len(end.kept) == 4 and end.made == len(maker.requests) and end.accepted == end.made - end.made // 3
    entries = [bank.entry(case) for case in end.kept]
    assert all(wish.holds(difficulty_of(entry.case)) for entry in entries)
    assert {entry.case.request.findings.finding.pathology for entry in entries} == {"metastasis", "meningioma"}
    found = questions.find(ItemSearch()).items
    assert {item.id for item in found} == set(end.drafts) and {item.state for item in found} == {State.DRAFT}
    assert "4 of 4 wanted are kept" in told(end, wish) and f"{end.made} made" in told(end, wish)


def test_contrasts_other_than_expected_are_learnt_and_a_stop_keeps_what_was_made(rooms):
    bank, questions = rooms
    wish = Wish(pathologies=("meningioma",), difficulty_from=0.4, difficulty_to=0.5, number=12)
    off = list(make_more(Maker(bias=2.2, scatter=0.05), bank, questions, wish))[-1]
    assert len(off.kept) > off.accepted / 3  # without learning, none would fall within
    stopped = list(islice(make_more(Maker(), bank, questions, wish.model_copy(update={"seed": 900})), 3))[-1]
    assert stopped.made == 3 and all(bank.knows(case) for case in stopped.kept)


def test_a_difficulty_that_no_case_can_have_is_told_before_one_is_made(rooms):
    maker = Maker()
    with pytest.raises(MedDiffError, match=r"expected between 0\.\d\d and 0\.\d\d.*0\.95 to 1\.00 is wanted"):
        next(make_more(maker, *rooms, Wish(pathologies=("meningioma",), difficulty_from=0.95, difficulty_to=1)))
    with pytest.raises(MedDiffError, match="no pathology 'gout'"):
        next(make_more(maker, *rooms, Wish(pathologies=("gout",), difficulty_from=0, difficulty_to=1)))
    assert maker.requests == []


def test_it_gives_up_after_some_tries_and_says_how_many_fell_within(rooms):
    wish = Wish(pathologies=("meningioma",), difficulty_from=0.45, difficulty_to=0.46, number=2)
    steps = list(make_more(Maker(bias=30, scatter=0), *rooms, wish))
    assert len(steps) == TRIES * 2 and "these 0 fell within" in told(steps[-1], wish)
