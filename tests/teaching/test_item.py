"""An item is data that can be answered, whatever was edited."""

import pytest

from meddiff.case import MedDiffError
from meddiff.teaching.item import Choice, ChoiceItem, Kind, OrderItem, item_id, read_item


def asked(**changes) -> ChoiceItem:
    fields = {
        "id": item_id(Kind.DIAGNOSIS, ["MD-000000000001"]),
        "kind": Kind.DIAGNOSIS,
        "stem": "What is the most likely diagnosis?",
        "cases": ("MD-000000000001",),
        "choices": (Choice(text="glioblastoma"), Choice(text="brain abscess", feedback="Its rim is thin.")),
        "key": 0,
    }
    return ChoiceItem.model_validate({**fields, **changes})


def test_an_item_survives_json_as_the_kind_it_is():
    for item in (
        asked(),
        OrderItem(id=item_id(Kind.ORDER, ["a", "b"]), stem="Order.", cases=("a", "b"), key=("b", "a")),
    ):
        again = read_item(item.canonical_json())
        assert again == item and type(again) is type(item)


def test_the_id_is_of_what_is_asked_and_not_of_the_words():
    assert asked().id == asked(stem="Which diagnosis?").id
    assert len(
        {item_id(kind, cases, seed) for kind in Kind for cases in (["a"], ["a", "b"]) for seed in (0, 1)}
    ) == 4 * len(Kind)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"key": 2}, "the key is choice 3, and there are 2"),
        ({"choices": (Choice(text="Glioma"), Choice(text=" glioma "))}, "two choices say 'glioma'"),
        ({"choices": (Choice(text="glioma"),)}, "at least 2"),
        ({"cases": ()}, "at least 1"),
        ({"id": "IT-1"}, "pattern"),
        ({"roles": ("twin", "case")}, "1 cases are shown with 2 roles"),
    ],
)
def test_an_item_that_cannot_be_answered_is_refused_in_words(changes, words):
    with pytest.raises(ValueError, match=words):
        asked(**changes)


def test_an_item_says_which_picture_of_a_case_is_shown():
    assert asked().shown == (("MD-000000000001", "case"),)
    twin = asked(roles=("twin",))
    assert twin.shown == (("MD-000000000001", "twin"),)
    assert read_item(twin.canonical_json()) == twin


def test_what_is_no_item_is_told():
    with pytest.raises(MedDiffError, match="no item of MedDiff"):
        read_item("[]")
    with pytest.raises(MedDiffError, match="the key must name the cases shown"):
        order = OrderItem(id=item_id(Kind.ORDER, ["a", "b"]), stem="Order.", cases=("a", "b"), key=("b", "a"))
        read_item(order.canonical_json().replace('"key":["b","a"]', '"key":["b","b"]'))
