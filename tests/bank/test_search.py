"""Filters find what they name, and nothing else."""

import pytest
from pydantic import ValidationError

from meddiff.bank import Review, Search, Sort
from tests.bank.test_store import make_case


@pytest.fixture
def filled(bank):
    """Three cases of 10 (asked 30), 20 and no size; the second is approved and tagged."""
    bank.keep(make_case(0, size_mm=30, measured_mm=10))
    name = bank.keep(make_case(1, "meningioma", size_mm=20))
    bank.keep(make_case(2))
    bank.tag(name, ["week_3", "exam"])
    bank.set_notes(name, "50% of students miss it")
    bank.review(name, Review.APPROVED, "Ann", "typical")
    return bank


def seeds(bank, **wanted):
    return [entry.case.request.seed for entry in bank.find(Search(**wanted)).entries]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"size_from_mm": 10, "size_to_mm": 20}, [1, 0]),  # as measured, both ends included
        ({"size_from_mm": 25}, []),
        ({"pathology": "meningioma", "size_to_mm": 20}, [1]),
        ({"review": Review.APPROVED}, [1]),
        ({"review": Review.DRAFT}, [2, 0]),
        ({"tags": ("Exam", "week_3")}, [1]),
        ({"tags": ("exam", "week 4")}, []),
        ({"text": "CASE miss"}, [1]),  # both words, in different places
        ({"text": "week_"}, [1]),
        ({"text": "%"}, [1]),  # the sign itself, not whatever
        ({"text": "_"}, [1]),
        ({"text": "\\"}, []),
        ({"text": "a\0b"}, []),
        ({"status": "rejected"}, []),
        ({"sort": Sort.OLDEST}, [0, 1, 2]),
        ({"sort": Sort.LARGEST}, [1, 0, 2]),
        ({"sort": Sort.SMALLEST}, [0, 1, 2]),
    ],
)
def test_filters_find_what_they_name(filled, wanted, expected):
    assert seeds(filled, **wanted) == expected


def test_pages_say_how_many_there_are_in_all(filled):
    found = filled.find(Search(limit=2, offset=2))
    assert (len(found.entries), found.total) == (1, 3)
    assert filled.tags() == ("exam", "week_3")


def test_sizes_the_wrong_way_round_are_refused():
    with pytest.raises(ValidationError, match="above the largest"):
        Search(size_from_mm=30, size_to_mm=20)
