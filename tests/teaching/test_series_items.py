"""Items come from what was measured, have one answer, and are asked only where the pictures tell it."""

import json

import pytest

from meddiff.case import SYNTHETIC_NOTICE
from meddiff.teaching.item import Kind, read_item
from meddiff.teaching.quality import faults
from meddiff.teaching.series_items import (
    FILE,
    OPTIONS,
    SeriesItems,
    first_item,
    order_item,
    response_items,
    series_items,
    write_items,
)
from tests.exchange.series_support import report_of


def test_visits_are_shown_in_another_order_and_the_key_is_that_of_time():
    report = report_of((400, 600, 900, 1300))
    for seed in range(20):
        item = order_item(report, seed)
        assert item and item.key == tuple(visit.case_id for visit in report.visits)
        assert item.cases != item.key and sorted(item.cases) == sorted(item.key)
    assert order_item(report, 3) == order_item(report, 3)
    assert len({order_item(report, seed).cases for seed in range(20)}) > 1


def test_the_stem_says_whether_the_lesion_grows_or_shrinks():
    assert "grows" in order_item(report_of((400, 600, 900, 1300)), 0).stem
    assert "shrinks" in order_item(report_of((1300, 900, 600, 0)), 0).stem


@pytest.mark.parametrize(
    ("areas", "missed"),
    [
        ((400, 600, 700, 1300), ()),  # 600 and 700 look alike
        ((400, 400, 900, 1300), ()),
        ((400, 900, 600, 1300), ()),  # up and down
        ((400, 900), ()),  # a guess
        ((400, 600, 900, 1300), (3,)),  # a visit that does not show what was asked
    ],
)
def test_an_order_that_cannot_be_seen_is_not_asked(areas, missed):
    assert order_item(report_of(areas, missed=missed), 0) is None


def test_the_first_of_two_visits_is_asked_in_either_order():
    report = report_of((400, 600, 900, 1300))
    items = [first_item(report, seed) for seed in range(12)]
    assert {item.key for item in items} == {0, 1}
    for item in items:
        assert item.kind is Kind.COMPARE and item.cases[item.key] == report.visits[0].case_id
        assert set(item.cases) == {report.visits[0].case_id, report.visits[-1].case_id} and "grows" in item.stem
    assert "shrinks" in first_item(report_of((900, 400), days=(0, 60)), 0).stem


@pytest.mark.parametrize(
    ("areas", "missed"), [((400, 410, 420, 430), ()), ((400, 900, 600, 1300), ()), ((400, 600, 900, 1300), (2,))]
)
def test_which_came_first_is_not_asked_where_it_cannot_be_seen(areas, missed):
    assert first_item(report_of(areas, missed=missed), 0) is None


def test_a_single_visit_gives_no_item():
    assert series_items(report_of((400,), days=(0,))).items == ()


def test_items_of_a_series_are_those_of_the_bank_and_without_a_fault():
    for areas in ((400, 600, 900, 1300), (400, 180, 170, 0)):
        items = series_items(report_of(areas), 2).items
        assert len({item.id for item in items}) == len(items)
        assert all(read_item(item.canonical_json()) == item and faults(item) == () for item in items)


def test_each_later_visit_is_asked_for_its_category_beside_all_before_it():
    report = report_of((400, 180, 170, 0))
    items = response_items(report)
    assert [item.choices[item.key].key for item in items] == ["PR", "PR", "CR"]
    assert [item.cases for item in items] == [tuple(v.case_id for v in report.visits[:n]) for n in (2, 3, 4)]
    for item, visit in zip(items, report.visits[1:], strict=True):
        assert [choice.key for choice in item.choices] == list(OPTIONS) and f"day {visit.day}?" in item.stem
        assert item.feedback == visit.rano.sentence


def test_no_category_is_asked_of_what_is_not_measurable_or_missed():
    assert response_items(report_of((60, 400, 900, 1300))) == ()  # 8.7 mm at baseline
    assert len(response_items(report_of((400, 600, 900, 1300), missed=(3,)))) == 1


def test_items_are_written_as_data_that_names_cases_and_says_synthetic(tmp_path):
    items = series_items(report_of((400, 600, 900, 1300)), seed=5)
    told = json.loads(write_items(items, tmp_path).read_text(encoding="utf-8"))
    assert (tmp_path / FILE).exists() and told["notice"] == SYNTHETIC_NOTICE
    assert [item["kind"] for item in told["items"]] == ["order", "compare", "response", "response", "response"]
    assert SeriesItems.model_validate(told) == items
