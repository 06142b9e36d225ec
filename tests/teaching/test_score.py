"""Answers are scored on the true outline in mm, in order, in words; and an answer to something else is refused."""

import numpy as np
import pytest

from meddiff.case import MaskSpec, MedDiffError
from meddiff.teaching.item import Kind, OrderItem, item_id
from meddiff.teaching.score import Answer, Truth, click_distance_mm, score
from meddiff.teaching.write import items_of
from tests.teaching.case_support import disc, made_case

CASE = made_case("glioma", radius=15)  # left frontal, ring, 30 mm
TRUTH = Truth(disc(15), (0.98, 0.98))


def of(kind: Kind, language: str = "en"):
    return items_of(CASE, kinds=[kind], language=language)[0]


def scored(item, truth: Truth | None = None, **given):
    return score(item, Answer(item=item.id, **given), truth)


def test_the_key_is_right_and_a_wrong_choice_is_told_what_tells_it_apart():
    item = of(Kind.DIAGNOSIS)
    good = scored(item, chosen=item.key)
    assert (good.credit, good.right) == (1, True) and good.feedback.startswith("Right: glioma.")
    wrong = (item.key + 1) % len(item.choices)
    bad = scored(item, chosen=wrong)
    assert (bad.credit, bad.right) == (0, False)
    assert bad.feedback.startswith(f"You chose {item.choices[wrong].text}; the answer is glioma.")
    assert bad.feedback.endswith(item.choices[wrong].feedback)


def test_the_first_choice_and_a_size_of_zero_are_answers_and_nothing_is_none():
    item = of(Kind.DIAGNOSIS)
    assert scored(item, chosen=0).feedback != scored(item).feedback
    assert scored(item) == scored(item, confidence=0.5, seconds=3)
    assert scored(item).feedback == "Not answered. The answer is glioma."
    assert scored(of(Kind.SIZE), size_mm=0).feedback.startswith("It measures")
    assert not scored(of(Kind.LOCALISE), TRUTH).right and scored(of(Kind.LOCALISE), TRUTH).credit == 0


@pytest.mark.parametrize(
    ("click", "right"),
    [((90, 160), True), ((90, 175), True), ((90, 178), True), ((90, 179), False), ((0, 0), False), ((268, 10), False)],
)
def test_a_click_is_right_inside_and_within_three_mm(click, right):
    result = scored(of(Kind.LOCALISE), TRUTH, click=click)
    assert (result.right, result.credit) == (right, float(right))


def test_distances_are_in_mm_along_each_axis():
    mask = np.zeros((40, 40), bool)
    mask[20, 20] = True
    truth = Truth(mask, (2.0, 0.5))
    assert click_distance_mm((20, 20), truth) == 0
    assert click_distance_mm((23, 20), truth) == 6.0
    assert click_distance_mm((20, 23), truth) == 1.5
    assert click_distance_mm((22, 26), truth) == 5.0


def test_an_outline_is_worth_its_dice():
    item = of(Kind.LOCALISE)
    assert scored(item, TRUTH, outline=MaskSpec.from_array(disc(15))).credit == 1
    half = disc(15) & (np.arange(256) < 160)
    result = scored(item, TRUTH, outline=MaskSpec.from_array(half))
    expected = 2 * half.sum() / (half.sum() + disc(15).sum())
    assert result.credit == pytest.approx(expected) and result.right
    far = scored(item, TRUTH, outline=MaskSpec.from_array(disc(15, (200, 60))))
    assert far.credit == 0 and not far.right


def test_a_size_is_right_within_the_tolerance_and_worth_less_up_to_twice_it():
    item = of(Kind.SIZE)
    key, limit = item.key_mm, item.tolerance_mm
    got = [scored(item, size_mm=key + share * limit) for share in (0.9, 1.5, 2.5, -0.9)]
    assert [one.right for one in got] == [True, False, False, True]
    assert [one.credit for one in got] == pytest.approx([1, 0.5, 0, 1])


def test_an_order_is_worth_its_share_of_pairs():
    item = OrderItem(id=item_id(Kind.ORDER, "abc"), stem="Order.", cases=("b", "a", "c"), key=("a", "b", "c"))
    assert scored(item, order=("a", "b", "c")).right
    swapped = scored(item, order=("a", "c", "b"))
    assert swapped.credit == pytest.approx(2 / 3) and not swapped.right
    assert scored(item, order=("c", "b", "a")).credit == 0


@pytest.mark.parametrize(
    ("text", "credit"),
    [
        ("Ring-enhancing left frontal glioma", 1.0),
        ("左侧额叶胶质瘤，环形强化", 1.0),
        ("left frontal lobe, rim enhancement", 0.6),
        ("high grade glioma", 0.4),
        ("right frontal ring-enhancing glioma", 0.6),  # no credit for the side, and one taken
        ("left frontal ring-enhancing meningioma", 0.4),
        ("left frontal glioma, no enhancement", 0.6),
        ("left frontal glioma without ring enhancement", 0.6),
        ("left frontal ring-enhancing glioma, no abscess", 1.0),
        ("normal brain, no focal lesion", 0.0),
        ("gliomatosis", 0.0),
    ],
)
def test_free_text_is_worth_what_it_says_less_what_contradicts(text, credit):
    result = scored(of(Kind.FREE_TEXT), text=text)
    assert result.credit == pytest.approx(credit) and result.right == (credit >= 0.5)


def test_free_text_is_told_finding_by_finding():
    result = scored(of(Kind.FREE_TEXT), text="Right frontal glioma, no ring enhancement")
    told = {(one.name, one.against): one.said for one in result.heard}
    assert told == {
        ("diagnosis", False): "said", ("side", False): "missed", ("region", False): "said",
        ("enhancement", False): "denied", ("side", True): "said",
    }  # fmt: skip
    assert result.feedback == (
        "Said: glioma, frontal lobe. Missing: left. Denied, but shown: ring enhancement. Said, but not so: right."
    )
    chinese = scored(of(Kind.FREE_TEXT, "zh"), text="右侧额叶胶质瘤")
    assert chinese.feedback == "已答出：胶质瘤、额叶。 遗漏：左侧、环形强化。 答出但不符：右侧。"


@pytest.mark.parametrize(
    ("kind", "given", "words"),
    [
        (Kind.DIAGNOSIS, {"chosen": 9}, "has 4 choices, and choice 10"),
        (Kind.DIAGNOSIS, {"text": "glioma"}, "asks for diagnosis: it cannot be answered by text"),
        (Kind.LOCALISE, {"size_mm": 3}, "cannot be answered by size_mm"),
        (Kind.LOCALISE, {"click": (1, 1)}, "give the outline of its case"),
        (Kind.DIAGNOSIS, {"chosen": 0, "version": 2}, "version 2, and the item is .*, version 1"),
    ],
)
def test_an_answer_to_something_else_is_refused(kind, given, words):
    with pytest.raises(MedDiffError, match=words):
        scored(of(kind), **given)


def test_what_cannot_be_scored_is_told():
    item = of(Kind.LOCALISE)
    with pytest.raises(MedDiffError, match="true outline is empty"):
        scored(item, Truth(np.zeros((256, 256), bool), (1, 1)), click=(1, 1))
    with pytest.raises(MedDiffError, match="128 by 128 pixels and the picture 256 by 256"):
        scored(item, TRUTH, outline=MaskSpec.from_array(np.ones((128, 128))))
    order = OrderItem(id=item_id(Kind.ORDER, "ab"), stem="Order.", cases=("b", "a"), key=("a", "b"))
    with pytest.raises(MedDiffError, match="put each of them in order, once"):
        scored(order, order=("a", "a"))
    with pytest.raises(ValueError, match="chosen and text are given: answer in one way"):
        Answer(item=item.id, chosen=1, text="glioma")
    with pytest.raises(ValueError, match="finite"):
        Answer(item=item.id, click=(float("nan"), 1))
