"""Statistics find what was planted in made-up answers, and say nothing where they know nothing."""

import numpy as np
import pytest

from meddiff.case import MedDiffError
from meddiff.statistics import wilson
from meddiff.teaching.difficulty import corrected
from meddiff.teaching.item import Choice, ChoiceItem, FreeTextItem, Kind, LocaliseItem, item_id
from meddiff.teaching.statistics import (
    LEAST_2PL,
    LEAST_RASCH,
    Answer,
    advice,
    choices_by_score,
    cronbach_alpha,
    rasch,
    right_by_ability,
    statistics,
    table_of,
)

# Ten students, ten items: K. L. Wuensch, "The Kuder-Richardson 20" (East Carolina University), worked by hand there.
WUENSCH = """
1111110110
1011011101
1111011001
0010001000
0000010010
1110111111
1101110111
1111111101
0101111101
1101101110
"""


def choice_item(number: int = 0, key: int = 0, choices: int = 4) -> ChoiceItem:
    case = f"MD-{number:012x}"
    return ChoiceItem(
        id=item_id(Kind.DIAGNOSIS, [case]),
        kind=Kind.DIAGNOSIS,
        stem="What is it?",
        cases=(case,),
        choices=tuple(Choice(text=f"disease {letter}") for letter in "ABCDEF"[:choices]),
        key=key,
    )


def answers_of(right: np.ndarray, items, choice: np.ndarray | None = None) -> list[Answer]:
    """Answers of [L, I] of 1, 0 and nan."""
    return [
        Answer(
            learner=f"L{row}",
            item=items[column].id,
            right=bool(right[row, column]),
            choice=None if choice is None or choice[row, column] < 0 else int(choice[row, column]),
        )
        for row in range(len(right))
        for column in range(len(items))
        if not np.isnan(right[row, column])
    ]


def rasch_answers(learners: int, difficulties, seed: int, slopes=1.0) -> tuple[np.ndarray, np.ndarray]:
    """(right [L, I], abilities [L]) of a class N(0, 1)."""
    rng = np.random.default_rng(seed)
    ability = rng.normal(size=learners)
    chance = 1 / (1 + np.exp(-slopes * (ability[:, None] - np.asarray(difficulties))))
    return (rng.random(chance.shape) < chance).astype(float), ability


def class_with(key_choice, learners: int = 200, others: int = 8, key: int = 0):
    """A class, eight sound items, and a ninth in which a learner of ability a in [-1, 1] chooses `key_choice(a, rng)`."""
    rng = np.random.default_rng(5)
    ability = np.linspace(-1, 1, learners)
    right = (rng.random((learners, others)) < (ability[:, None] + 1.4) / 2.8).astype(float)
    chosen = np.array([key_choice(a, rng) for a in ability])
    items = [choice_item(number) for number in range(others)] + [choice_item(99, key)]
    right = np.column_stack([right, chosen == key])
    choice = np.column_stack([np.where(right[:, :others] == 1, 0, 1), chosen])
    return items, answers_of(right, items, choice)


# ------------------------------------------------------------ figures


def test_kr20_is_that_of_the_worked_example():
    right = np.array([[float(mark) for mark in row] for row in WUENSCH.split()])
    assert right.sum(axis=1).tolist() == [8, 7, 7, 2, 2, 9, 8, 9, 7, 7] and right.sum(axis=1).var() == pytest.approx(
        5.84
    )
    told = statistics(answers_of(right, items := [choice_item(number) for number in range(10)]), items)
    assert told.kr20 == pytest.approx(10 / 9 * (1 - (right.mean(0) * (1 - right.mean(0))).sum() / 5.84))
    assert told.kr20 == pytest.approx(told.alpha) and told.complete == 10
    assert told.sem == pytest.approx(told.sd * np.sqrt(1 - told.alpha))


def test_alpha_counts_partial_credit_where_kr20_counts_right_and_wrong():
    items = [choice_item(number) for number in range(3)]
    rng = np.random.default_rng(0)
    credit = np.clip(np.linspace(0, 1, 30)[:, None] + rng.normal(0, 0.1, (30, 3)), 0, 1)
    answers = [
        Answer(
            learner=str(row), item=items[column].id, right=bool(credit[row, column] >= 0.5), credit=credit[row, column]
        )
        for row in range(30)
        for column in range(3)
    ]
    told = statistics(answers, items)
    totals = credit.sum(axis=1)
    by_hand = 3 / 2 * (1 - credit.var(axis=0, ddof=1).sum() / totals.var(ddof=1))
    assert told.alpha == pytest.approx(by_hand) and told.alpha > 0.95
    assert told.kr20 < told.alpha
    assert told.mean == pytest.approx(totals.mean())


def test_the_share_right_has_wilsons_interval():
    # 81 of 263: 0.2553 to 0.3662 in Newcombe (1998), table I, method 3.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0, 0.1611), abs=5e-5) and wilson(20, 20)[1] == pytest.approx(1)
    assert wilson(0, 20)[0] >= 0 and wilson(20, 20)[1] <= 1


def test_groups_at_the_ends_do_not_depend_on_who_comes_first():
    items = [choice_item(number) for number in range(4)]
    right, _ = rasch_answers(40, [-1, 0, 0, 1], seed=3)
    one = statistics(answers_of(right, items), items)
    other = statistics(answers_of(right[::-1], items), items)
    for a, b in zip(one.items, other.items, strict=True):
        assert a.upper_lower == pytest.approx(b.upper_lower)
    assert all(0 < row.upper_lower <= 1 for row in one.items)


def test_upper_and_lower_are_27_percent_each():
    # 100 learners; the first item is right for exactly the best 27, so that it parts the groups wholly.
    right = np.zeros((100, 12))
    for place in range(100):
        right[place, 1 : 1 + place // 9] = 1
    right[73:, 0] = 1
    items = [choice_item(number) for number in range(12)]
    told = statistics(answers_of(right, items), items).items[0]
    assert told.upper_lower == pytest.approx(1.0) and told.right == pytest.approx(0.27)


def test_an_item_does_not_correlate_with_itself():
    rng = np.random.default_rng(2)
    right = (rng.random((4000, 3)) < 0.5).astype(float)  # three coins: nothing in common
    items = [choice_item(number) for number in range(3)]
    told = statistics(answers_of(right, items), items)
    assert all(abs(row.point_biserial) < 0.05 for row in told.items)
    assert np.corrcoef(right[:, 0], right.sum(axis=1))[0, 1] > 0.5  # which the uncorrected figure would be
    assert abs(told.kr20) < 0.1


def test_difficulty_counts_as_the_items_own():
    items = [choice_item(0), choice_item(1)]
    right = np.column_stack([np.arange(10) < 3, np.ones(10)]).astype(float)
    told = statistics(answers_of(right, items), items).items[0]
    assert told.right == 0.3 and told.difficulty == pytest.approx(0.7)


def test_a_prediction_gives_way_to_answers():
    assert corrected(0.2, right=0, total=0) == pytest.approx(0.2)
    assert corrected(0.2, right=0, total=10) == pytest.approx(0.6)
    assert corrected(0.2, right=0, total=1000) > 0.98


# ------------------------------------------------------------ the scale


def test_rasch_difficulties_are_found_again_within_their_error():
    truth = np.linspace(-2, 2, 15)
    right, ability = rasch_answers(400, truth, seed=11)
    items = [choice_item(number) for number in range(15)]
    told = statistics(answers_of(right, items), items, seed=4)
    found, errors = (np.array([getattr(row, name) for row in told.items]) for name in ("rasch", "rasch_se"))
    assert np.abs(found - truth).max() < 0.4
    assert (np.abs(found - truth) < 2 * errors).mean() > 0.8  # 2 errors are to hold 19 of 20
    assert ((errors > 0.08) & (errors < 0.25)).all()  # 1 / sqrt(n p q) is 0.10 to 0.15 here
    assert np.corrcoef([row.logit for row in told.abilities], ability)[0, 1] > 0.8
    assert told.no_scale == ""


def test_the_bootstrap_gives_the_spread_that_other_classes_of_the_same_size_show():
    truth = [-1.5, 0.0, 1.5]
    items = [choice_item(number) for number in range(3)]
    found = []
    for seed in range(60):
        table = table_of(answers_of(rasch_answers(100, truth, seed)[0], items))
        scale = rasch(table, seed, resamples=300)
        found.append((list(scale.difficulties.values()), list(scale.errors.values())))
    difficulties, errors = np.array([pair[0] for pair in found]), np.array([pair[1] for pair in found])
    assert errors.mean(axis=0) == pytest.approx(difficulties.std(axis=0, ddof=1), rel=0.3)


def test_errors_are_the_same_again_with_the_same_seed_and_otherwise_not():
    items = [choice_item(number) for number in range(4)]
    table = table_of(answers_of(rasch_answers(60, [-1, 0, 0.5, 1], seed=1)[0], items))
    assert rasch(table, 7).errors == rasch(table, 7).errors != rasch(table, 8).errors


def test_answers_that_are_missing_do_not_make_an_item_hard():
    truth = np.array([-1.0, 0.0, 1.0, -0.5, 0.5])
    right, _ = rasch_answers(600, truth, seed=8)
    right[300:, 0] = np.nan
    items = [choice_item(number) for number in range(5)]
    told = statistics(answers_of(right, items), items)
    assert told.items[0].n == 300 and told.complete == 300
    assert told.items[0].rasch == pytest.approx(-1, abs=0.3)
    assert told.items[0].rasch_se > told.items[3].rasch_se  # half the answers, and further out


def test_few_learners_get_no_scale_and_are_told_how_many_are_missing():
    items = [choice_item(number) for number in range(5)]
    told = statistics(answers_of(rasch_answers(LEAST_RASCH - 6, np.zeros(5), seed=0)[0], items), items)
    assert "at most 24 answered the same item: wait for 6 more" in told.no_scale
    assert told.no_slopes == told.no_scale
    assert told.abilities == () and all(row.rasch is None for row in told.items)


def test_an_item_that_all_or_none_get_right_has_no_place_on_the_scale():
    items = [choice_item(number) for number in range(5)]
    right, _ = rasch_answers(80, [-1, 0, 1, 0, 0], seed=2)
    right[:, 3], right[:, 4] = 1, 0
    told = statistics(answers_of(right, items), items)
    assert [row.rasch is None for row in told.items] == [False, False, False, True, True]
    right[:, 2] = 1
    refused = statistics(answers_of(right, items), items).no_scale
    assert "needs 3 items" in refused and "there are 2" in refused


def test_slopes_are_fitted_for_many_and_tell_the_sharp_item_from_the_dull():
    slopes = np.array([0.5, 0.5, 2.0, 2.0, 1.0, 1.0])
    right, _ = rasch_answers(LEAST_2PL + 350, np.array([-1, 0.5, -0.5, 1, 0, 0]), seed=6, slopes=slopes)
    items = [choice_item(number) for number in range(6)]
    told = statistics(answers_of(right, items), items)
    found = [row.slope for row in told.items]
    assert max(found[:2]) < 0.8 and min(found[2:4]) > 1.3
    assert told.no_slopes == ""
    few = statistics(answers_of(right[:100], items), items)
    assert "need 250 learners, and 100 answered" in few.no_slopes and few.items[0].slope is None
    assert few.items[0].rasch is not None


# ------------------------------------------------------------ advice


def test_a_wrong_key_is_found_and_named_alone():
    # The strong choose B, the key says A.
    items, answers = class_with(lambda a, rng: 1 if rng.random() < (a + 1.2) / 2.4 else rng.choice([0, 2, 3]))
    told = statistics(answers, items).items[-1]
    assert told.point_biserial < 0 and told.tempting == (1,)
    (sentence,) = advice(items[-1], told)
    assert sentence.startswith("Check the key") and "“disease B”" in sentence and "the key “disease A”" in sentence


def test_a_key_that_nobody_chooses_is_doubted_too():
    items, answers = class_with(lambda a, rng: 2)
    (sentence,) = advice(items[-1], statistics(answers, items).items[-1])
    assert sentence.startswith("Check the key") and "100% choose “disease C”" in sentence


def test_a_useless_distractor_is_found():
    items, answers = class_with(lambda a, rng: 0 if rng.random() < (a + 1.4) / 2.8 else rng.choice([1, 2]))
    told = statistics(answers, items).items[-1]
    assert told.unused == (3,) and told.choices[3].share == 0
    assert advice(items[-1], told) == ("0% choose “disease D”: put a closer look-alike in its place, or leave it out.",)


def test_a_distractor_that_draws_the_strong_is_found():
    def choose(a, rng):  # C takes the strong away from the key, the weak spread over B and D
        if rng.random() < 0.35:
            return 2 if rng.random() < (a + 1) / 2 else int(rng.choice([1, 3]))
        return 0 if rng.random() < (a + 1.6) / 2.6 else int(rng.choice([1, 3]))

    items, answers = class_with(choose, learners=400)
    told = statistics(answers, items).items[-1]
    assert told.tempting == (2,)
    assert any(sentence.startswith("“disease C” draws the strong") for sentence in advice(items[-1], told))


@pytest.mark.parametrize(
    ("choose", "words"),
    [
        (lambda a, rng: 0 if rng.random() < 0.98 else 1, "Too easy"),
        (lambda a, rng: 0 if rng.random() < 0.1 + 0.1 * (a > 0) else rng.choice([1, 2, 3]), "No better than a guess"),
        (lambda a, rng: 0 if rng.random() < 0.5 else rng.choice([1, 2, 3]), "does not tell strong learners from weak"),
        (lambda a, rng: 0 if rng.random() < (1.2 - a) / 2.4 else rng.choice([1, 2, 3]), "Weak learners do better"),
    ],
)
def test_a_poor_item_is_told_what_to_change(choose, words):
    items, answers = class_with(choose, learners=400)
    told = advice(items[-1], statistics(answers, items).items[-1])
    assert any(words in sentence for sentence in told), told


def test_a_sound_item_gets_no_advice():
    items, answers = class_with(lambda a, rng: 0 if rng.random() < (a + 1.4) / 2.8 else rng.choice([1, 2, 3]))
    assert advice(items[-1], statistics(answers, items).items[-1]) == ()


def test_advice_fits_the_kind_of_item():
    case = ("MD-000000000001",)
    spot = LocaliseItem(id=item_id(Kind.LOCALISE, case), stem="Click on the lesion.", cases=case)
    text = FreeTextItem(
        id=item_id(Kind.FREE_TEXT, case), stem="Describe.", cases=case,
        expected=({"name": "side", "ways": ("left",)},),
    )  # fmt: skip
    right = np.zeros((60, 2))
    right[:3, 0], right[:5, 1] = 1, 1
    told = statistics(answers_of(right, [spot, text]), [spot, text])
    assert "widen the tolerance" in advice(spot, told.items[0])[0]
    assert "synonyms" in advice(text, told.items[1])[0]


def test_advice_on_a_small_class_says_that_it_may_change():
    items, answers = class_with(lambda a, rng: 0, learners=30)
    assert advice(items[-1], statistics(answers, items).items[-1])[-1].startswith("Only 30 answers so far")


def test_advice_for_another_item_is_refused():
    items, answers = class_with(lambda a, rng: 0)
    with pytest.raises(MedDiffError, match="give its own"):
        advice(items[0], statistics(answers, items).items[-1])


# ------------------------------------------------------------ edges


@pytest.mark.parametrize("mark", [0.0, 1.0])
def test_all_right_or_all_wrong_leaves_open_what_cannot_be_known(mark):
    items = [choice_item(number) for number in range(4)]
    told = statistics(answers_of(np.full((40, 4), mark), items), items)
    assert told.kr20 is None and told.alpha is None and told.sem is None and told.sd == 0
    assert all(row.right == mark and row.point_biserial is None and row.upper_lower == 0 for row in told.items)
    assert "needs 3 items" in told.no_scale


def test_one_learner_or_none_is_counted_and_no_more():
    items = [choice_item(0), choice_item(1)]
    one = statistics(answers_of(np.array([[1.0, 0.0]]), items), items)
    assert (one.learners, one.mean, one.sd, one.alpha) == (1, 1.0, None, None)
    assert one.items[0].right == 1 and one.items[0].upper_lower is None and advice(items[0], one.items[0]) == ()
    none = statistics([], items)
    assert none.learners == 0 and none.mean is None and none.items[0].n == 0 and none.items[0].right is None
    assert "wait for 30 more" in none.no_scale


def test_a_quiz_of_one_item_has_no_reliability_and_no_discrimination_of_its_own_making():
    items = [choice_item(0)]
    told = statistics(answers_of(rasch_answers(50, [0.0], seed=0)[0], items), items)
    assert told.alpha is None and told.items[0].point_biserial is None
    assert cronbach_alpha(np.ones((1, 1))) is None


def test_the_first_answer_of_a_learner_counts():
    item = choice_item()
    table = table_of([Answer(learner="a", item=item.id, right=False), Answer(learner="a", item=item.id, right=True)])
    assert table.right.tolist() == [[0.0]] and table.choice.tolist() == [[-1]]


def test_answers_to_something_else_are_refused():
    item = choice_item()
    with pytest.raises(MedDiffError, match="not in the quiz"):
        statistics([Answer(learner="a", item="IT-000000000000", right=True)], [item])
    with pytest.raises(MedDiffError, match="choice 5, and it has 4"):
        statistics([Answer(learner="a", item=item.id, right=False, choice=4)], [item])
    with pytest.raises(MedDiffError, match="twice"):
        table_of([], [item.id, item.id])


# ------------------------------------------------------------ for the plots


def test_what_was_seen_rises_with_ability_and_the_key_with_strength():
    items, answers = class_with(lambda a, rng: 0 if rng.random() < (a + 1.4) / 2.8 else rng.choice([1, 2, 3]), 400)
    table = table_of(answers, [item.id for item in items])
    seen = right_by_ability(table, rasch(table), items[-1].id)
    assert sum(n for _, _, n in seen) == 400 and seen[0][0] < seen[-1][0] and seen[0][1] + 0.3 < seen[-1][1]
    shares = choices_by_score(table, items[-1])
    assert shares.shape == (4, 4) and shares.sum(axis=1) == pytest.approx(np.ones(4))
    assert shares[-1, 0] > shares[0, 0] + 0.3
    assert choices_by_score(table_of([], [items[0].id]), items[0]).shape == (0, 4)
    with pytest.raises(MedDiffError, match="not among these answers"):
        right_by_ability(table, rasch(table), "IT-000000000000")
