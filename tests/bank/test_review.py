"""What people say of a case is kept, can be taken back, and nobody overwrites what they have not seen."""

import pytest

from meddiff.bank import Review
from meddiff.case import MedDiffError
from tests.bank.test_store import make_case


def test_a_decision_stands_with_name_and_reason(bank):
    name = bank.keep(make_case(1))
    assert bank.entry(name).review is Review.DRAFT
    bank.review(name, Review.REJECTED, "  Ann  Lee ", "ventricle too wide")
    entry = bank.entry(name)
    assert (entry.review, entry.reviewer, entry.why) == (Review.REJECTED, "Ann Lee", "ventricle too wide")
    assert entry.case.status.value == "accepted"  # the machine's verdict stays
    line = bank.history(name)[-1]
    assert (line.who, line.what, line.why) == ("Ann Lee", "review", "ventricle too wide")


@pytest.mark.parametrize(
    ("who", "why", "words"), [("", "fine", "who"), ("Ann", " ", "why"), ("A" * 201, "fine", "200")]
)
def test_a_decision_without_name_or_reason_is_refused(bank, who, why, words):
    name = bank.keep(make_case(1))
    with pytest.raises(MedDiffError, match=words):
        bank.review(name, Review.APPROVED, who, why)
    assert bank.entry(name).review is Review.DRAFT and len(bank.history(name)) == 1


def test_the_second_of_two_who_change_a_case_at_once_is_told(bank):
    name = bank.keep(make_case(1))
    seen = bank.entry(name).revision
    bank.review(name, Review.APPROVED, "Ann", "typical", revision=seen)
    with pytest.raises(MedDiffError, match="changed by Ann"):
        bank.review(name, Review.REJECTED, "Bob", "too easy", revision=seen)
    with pytest.raises(MedDiffError, match="changed by Ann"):
        bank.tag(name, ["easy"], revision=seen)
    assert bank.entry(name).review is Review.APPROVED and bank.entry(name).tags == ()


def test_changes_are_taken_back_one_after_the_other(bank):
    name = bank.keep(make_case(1))
    bank.review(name, Review.APPROVED, "Ann", "typical")
    bank.tag(name, ["Week 3", "easy"])
    bank.set_notes(name, "show first")
    bank.tag(name, remove=["EASY"])
    assert bank.entry(name).tags == ("week 3",)
    assert [bank.undo(name, "Ann") for _ in range(4)] == ["tags", "notes", "tags", "review"]
    entry = bank.entry(name)
    assert (entry.tags, entry.notes, entry.review, entry.reviewer) == ((), "", Review.DRAFT, "")
    with pytest.raises(MedDiffError, match="left to undo"):
        bank.undo(name)
    assert len(bank.history(name)) == 9  # an undo is a change too


@pytest.mark.parametrize("tag", ["", "a,b", "x" * 65, "<b>", "%"])
def test_a_tag_that_is_none_is_refused(bank, tag):
    name = bank.keep(make_case(1))
    with pytest.raises(MedDiffError, match="no tag"):
        bank.tag(name, ["good", tag])
    assert bank.entry(name).tags == ()
