"""The Teach tab in a browser: questions written, edited, approved; a quiz picked, kept, taken away, and taken by a learner."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from meddiff.case import MedDiffError
from meddiff.web.teach import answer_of, edited
from tests.exchange.series_support import series_of
from tests.web.test_practice import questions_on


def test_every_kind_of_question_is_shown_with_its_key():
    told = [answer_of(item) for item in questions_on(series_of(3)[0])]
    assert "✓</td><td>brain abscess" in told[0] and "<td></td><td>glioma" in told[0]
    assert "inside the outline" in told[1] and "30 mm" in told[2] and "B C A" in told[3]


def test_an_edited_question_keeps_what_it_asks_and_must_have_one_right_choice():
    item = questions_on(series_of(3)[0])[0]
    rows = [[False, "brain abscess", ""], [True, "glioma", "Right."], ["", "", ""]]
    new = edited(item, " Which? ", "Look.", "one\n\ntwo", rows, 0)
    assert (new.stem, new.key, new.points) == ("Which?", 1, ("one", "two"))
    assert new.id == item.id and new.choices[1].feedback == "Right."
    with pytest.raises(MedDiffError, match="2 choices are marked as right"):
        edited(item, "Which?", "", "", [[True, "a", ""], [True, "b", ""]], 0)
    with pytest.raises((MedDiffError, ValidationError), match="stem"):
        edited(item, "", "", "", rows, 0)
