"""Categories follow the published thresholds, worked by hand, and say what they cannot know."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meddiff.case import MedDiffError
from meddiff.conditions.response import CAVEAT, Category, Measured, Rule, respond

BASELINE, CR, PR, SD, PD, NE = Category


def categories(rule: Rule, *visits: tuple) -> list[Category]:
    return [assessment.category for assessment in respond(rule, [Measured(*visit) for visit in visits])]


@pytest.mark.parametrize(
    ("visits", "expected"),
    [
        # Products 600, 300 (-50%), 375 (+25% from the nadir), though still 37.5% below the baseline.
        ([(30, 20), (20, 15), (25, 15)], [BASELINE, PR, PD]),
        # Products 600, 304 (-49.3%), 372 (+22.4%).
        ([(30, 20), (19, 16), (24, 15.5)], [BASELINE, SD, SD]),
        # The nadir is the baseline where nothing shrank: 600, 740 (+23.3%), 750 (+25%).
        ([(30, 20), (37, 20), (37.5, 20)], [BASELINE, SD, PD]),
        # Growth counts from the nadir, not from the visit before: 600, 400, 480 (+20%), 500 (+25%).
        ([(30, 20), (20, 20), (24, 20), (25, 20)], [BASELINE, SD, SD, PD]),
        # Gone, and back.
        ([(30, 20), (0, 0), (3, 2)], [BASELINE, CR, PD]),
        # A new lesion is progression whatever the old one does.
        ([(30, 20), (10, 10, True), (0, 0, True)], [BASELINE, PD, PD]),
    ],
)
def test_rano_by_hand(visits, expected):
    assert categories(Rule.RANO, *visits) == expected


@pytest.mark.parametrize(
    ("visits", "expected"),
    [
        # 50, 35 (-30%), 42 (+20% and 7 mm).
        ([(50, 20), (35, 20), (42, 20)], [BASELINE, PR, PD]),
        # 20, 14 (-30%), 18 (+28.6%, but only 4 mm; 10% below the baseline), 19 (+35.7% and 5 mm).
        ([(20, 10), (14, 10), (18, 10), (19, 10)], [BASELINE, PR, SD, PD]),
        # 50, 36 (-28%), 43 (+19.4% and 7 mm).
        ([(50, 20), (36, 20), (43, 20)], [BASELINE, SD, SD]),
        # RECIST does not look at the second diameter.
        ([(30, 30), (30, 2), (30, 30)], [BASELINE, SD, SD]),
        ([(30, 20), (0, 0), (3, 2)], [BASELINE, CR, PD]),
        ([(30, 20), (20, 20, True)], [BASELINE, PD]),
    ],
)
def test_recist_by_hand(visits, expected):
    assert categories(Rule.RECIST, *visits) == expected


def test_changes_are_given_against_baseline_and_against_the_smallest_before():
    _, shrunk, grown = respond(Rule.RANO, [(30, 20, False), (20, 15, False), (25, 15, False)])
    assert (shrunk.from_baseline_percent, shrunk.from_nadir_percent) == (-50, -50)
    assert (grown.from_baseline_percent, grown.from_nadir_percent) == (-37.5, 25)


def test_after_a_lesion_had_gone_growth_has_no_percentage():
    _, gone, back = respond(Rule.RECIST, [(30, 20, False), (0, 0, False), (12, 8, False)])
    assert gone.from_baseline_percent == -100
    assert (back.from_baseline_percent, back.from_nadir_percent) == (-60, None)
    assert "back after it had gone" in back.sentence


@pytest.mark.parametrize(
    ("rule", "baseline", "expected"),
    [
        (Rule.RANO, (12, 10), SD),
        (Rule.RANO, (30, 9.9), NE),  # both diameters
        (Rule.RECIST, (10, 3), SD),  # the longest only
        (Rule.RECIST, (9.9, 9), NE),
    ],
)
def test_a_lesion_too_small_at_baseline_gets_no_category(rule, baseline, expected):
    first, second = respond(rule, [(*baseline, False), (*baseline, False)])
    assert second.category is expected
    assert ("not measurable" in first.sentence) == (expected is NE)


def test_a_new_lesion_is_progression_even_where_nothing_was_measurable():
    assert categories(Rule.RANO, (5, 5), (5, 5), (5, 5, True)) == [BASELINE, NE, PD]


def test_the_sentence_says_rule_reason_and_what_is_not_known():
    first, second = respond(Rule.RANO, [(30, 20, False), (24, 15.5, False)])
    assert first.sentence == "Baseline: 30 mm by 20 mm."
    assert second.sentence == (
        "Stable disease by RANO: the product of the two diameters is 38% below the baseline and 38% below its smallest so far; "
        "from these images alone; steroids, clinical status and a confirming scan are not known."
    )


def test_growth_of_what_is_too_small_to_measure_is_told_with_that_doubt():
    assessment = respond(Rule.RANO, [(20, 20, False), (5, 5, False), (6, 6, False)])[-1]
    assert assessment.category is PD
    assert "now too small to measure well" in assessment.sentence


sizes = st.floats(0.5, 120)


@given(st.sampled_from(Rule), st.lists(st.tuples(sizes, sizes, st.booleans()), min_size=1, max_size=8))
def test_every_visit_gets_one_category_and_every_category_its_caveat(rule, drawn):
    visits = [(max(a, b), min(a, b), new and i > 0) for i, (a, b, new) in enumerate(drawn)]
    found = respond(rule, visits)
    assert len(found) == len(visits)
    assert [a.category is BASELINE for a in found] == [i == 0 for i in range(len(found))]
    assert all(CAVEAT in a.sentence for a in found[1:])
    assert all(a.category is PD for a, visit in zip(found, visits, strict=True) if visit[2])


@given(
    st.sampled_from(Rule),
    st.lists(st.tuples(st.floats(10, 100), st.floats(10, 100)), min_size=2, max_size=6),
    st.floats(1, 3),
)
def test_rano_depends_on_proportions_only(rule, drawn, factor):
    visits = [(max(pair), min(pair), False) for pair in drawn]
    larger = [(a * factor, b * factor, False) for a, b, _ in visits]
    if rule is Rule.RANO:
        assert categories(rule, *visits) == categories(rule, *larger)
    else:  # RECIST's 5 mm make small lesions harder to call progressive, never easier
        pairs = zip(categories(rule, *visits), categories(rule, *larger), strict=True)
        assert all(here is not PD or there is PD for here, there in pairs)


@pytest.mark.parametrize(
    ("visits", "sentence"),
    [
        ([], "there is none"),
        ([(30, 20, True)], "no lesion can be new"),
        ([(30, 20, False), (20, 30, False)], "Visit 2 measures 20 mm by 30 mm: give the longest diameter first"),
        ([(30, 0, False)], "Visit 1 measures 30 mm by 0 mm"),
        ([(float("nan"), 0, False)], "Visit 1 measures nan"),
        ([(30, -1, False)], "Visit 1 measures"),
    ],
)
def test_measurements_that_are_none_are_refused(visits, sentence):
    with pytest.raises(MedDiffError, match=sentence):
        respond(Rule.RANO, visits)
