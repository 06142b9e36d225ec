"""Faults of an item are found, and told in a sentence that says what to change."""

from collections import Counter

import pytest

from meddiff.teaching.item import Choice, ChoiceItem, Expected, FreeTextItem, Kind, item_id
from meddiff.teaching.quality import balanced, faults
from meddiff.teaching.write import compare_items, items_of
from tests.teaching.case_support import made_case

ID = item_id(Kind.DIAGNOSIS, ["MD-000000000001"])


def asked(*texts: str, stem: str = "What is the most likely diagnosis?", keys: tuple[str, ...] = (), **changes):
    choices = tuple(
        Choice(text=text, feedback="Because.", key=key)
        for text, key in zip(texts, keys or ("",) * len(texts), strict=True)
    )
    fields = {"id": ID, "kind": Kind.DIAGNOSIS, "stem": stem, "cases": ("MD-000000000001",), "choices": choices}
    return ChoiceItem.model_validate({**fields, "key": 0, **changes})


def test_a_good_item_has_no_fault():
    assert faults(asked("meningioma", "metastasis", "brain abscess", "glioblastoma")) == ()


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (asked("glioblastoma of the left frontal lobe", "abscess", "metastasis"), 'Choice 1 ("glioblastoma of'),
        (asked("abscess", "a metastasis that was seen before", "lymphoma"), "much longer than the others"),
        (asked("brain abscess", "metastasis", "glioma", stem="Fever, and a ring in the brain?"), '"brain" stands in'),
        (asked("脑脓肿", "转移瘤", "胶质瘤", stem="发热，最可能是哪种脓肿？"), '"脓肿" stands in'),
        (asked("abscess", "it always recurs", "metastasis"), '"always"'),
        (asked("abscess", "all of the above", "metastasis"), '"all of the above"'),
        (asked("脓肿", "以上都是", "转移瘤"), '"以上都"'),
        (asked("abscess", "metastasis", stem="The picture shows an"), "The stem ends with \"an\""),
        (asked("metastasis", "abscess", stem="This is a:"), "does not go with 'abscess'"),
        (asked("brain abscess", "Brain-abscess.", "metastasis"), "says the same as choice 1"),
        (asked("pus", "abscess", keys=("brain_abscess", "brain_abscess")), "stand for the same thing"),
        (
            asked("brain abscess", "left frontal", "glioblastoma", keys=("brain_abscess", "left frontal", "glioblastoma")),
            'Choice 2 ("left frontal") stands for a place, the others for a pathology',
        ),
    ],
)  # fmt: skip
def test_a_fault_is_told_and_is_the_only_one(item, words):
    (told,) = faults(item)
    assert words in told


def test_each_choice_without_feedback_is_named():
    item = asked("abscess", "metastasis")
    silent = item.model_copy(update={"choices": (item.choices[0], Choice(text="metastasis", feedback=" "))})
    assert faults(silent) == ('Choice 2 ("metastasis") has no feedback: say what whoever chooses it should learn.',)


def test_a_word_that_stands_in_a_wrong_choice_too_is_no_clue():
    assert faults(asked("ring enhancement", "no enhancement", stem="Which enhancement is it?")) == ()
    assert faults(asked("abscess", "brain tumour", stem="Fever, and a ring in the brain?")) == ()


def test_a_free_text_stem_that_says_the_answer_is_told():
    item = FreeTextItem(
        id=ID, stem="Describe this meningioma.", cases=("a",),
        expected=(Expected(name="diagnosis", ways=("meningioma",)), Expected(name="side", ways=("left",))),
    )  # fmt: skip
    assert faults(item) == ("The stem says what is asked for (diagnosis: meningioma): take it out.",)
    assert faults(item.model_copy(update={"stem": "Describe it."})) == ()


def test_keys_are_balanced_over_a_set_and_only_the_order_changes():
    items = [items_of(made_case("glioma", seed=number), kinds=[Kind.DIAGNOSIS])[0] for number in range(22)]
    placed = balanced(items, 1)
    assert set(Counter(item.key for item in placed).values()) == {5, 6}
    assert placed == balanced(items, 1) and placed != balanced(items, 2)
    for before, after in zip(items, placed, strict=True):
        assert before.choices[before.key] == after.choices[after.key]
        assert sorted(before.choices, key=str) == sorted(after.choices, key=str)
        assert before.model_copy(update={"choices": (), "key": 0}) == after.model_copy(update={"choices": (), "key": 0})


def test_of_pairs_the_pictures_change_places_and_the_words_do_not():
    pairs = [compare_items(made_case(radius=10, seed=n), made_case(radius=25, seed=n))[0] for n in range(7)]
    twins = [items_of(made_case(seed=n), kinds=[Kind.COMPARE])[0] for n in range(7)]
    placed = balanced([*pairs, *twins], 3)
    assert Counter(item.key for item in placed) == {0: 7, 1: 7}
    for before, after in zip([*pairs, *twins], placed, strict=True):
        assert [choice.text for choice in after.choices] == [choice.text for choice in before.choices]
        assert after.shown[after.key] == before.shown[before.key]
        assert after.choices[after.key].feedback == before.choices[before.key].feedback


def test_answers_with_an_order_of_their_own_stay_where_they_are():
    items = items_of(made_case(), kinds=[Kind.NORMAL, Kind.LOCALISE, Kind.SIZE, Kind.FREE_TEXT])
    assert balanced(items, 5) == items
