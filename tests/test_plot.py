"""Parts of plots put things where they belong, and words of a person stay words."""

import pytest
from lxml import etree

from meddiff.plot import HIGH, KEY, LEGEND_WORDS, WIDE, Axes, intervals_plot, legend, short, signed, svg


def test_a_point_lies_where_its_axes_say():
    axes = Axes((0, 10), (0, 1))
    left, bottom = axes.place((0, 0))
    right, top = axes.place((10, 1))
    assert axes.place((5, 0.5)) == pytest.approx(((left + right) / 2, (top + bottom) / 2))
    assert 0 < left < right < WIDE and 0 < top < bottom < HIGH


def test_a_band_runs_along_one_line_and_back_along_the_other():
    axes = Axes((0, 1), (0, 1))
    (band,) = etree.fromstring(svg(HIGH, "x", [axes.band([(0, 0.1), (1, 0.2)], [(0, 0.4), (1, 0.6)], KEY)]))
    places = [tuple(map(float, pair.split(","))) for pair in band.get("points").split()]
    known = [axes.place(point) for point in ((0, 0.1), (1, 0.2), (1, 0.6), (0, 0.4))]
    assert [x for x, _ in places] == pytest.approx([x for x, _ in known], abs=0.05)
    assert [y for _, y in places] == pytest.approx([y for _, y in known], abs=0.05)


def test_a_tick_of_a_logarithmic_axis_says_its_number():
    drawing = etree.fromstring(svg(HIGH, "x", [Axes((0, 3), (0, 1)).grid([0, 1], [0.5], lambda at: f"{10**at:g}")]))
    assert [node.text for node in drawing.iter("{*}text")] == ["0.5", "1", "10"]


def test_words_of_a_person_cannot_become_markup():
    rude = '<script>alert("&")</script>'
    axes = Axes((0, 1), (0, 1))
    parts = [axes.dot((0, 0), KEY, rude, (0, 1)), legend([(rude, KEY, "")], 0)]
    for drawing in (svg(HIGH, rude, parts), intervals_plot([(rude, 0, 0.5, (0.4, 0.6))], (0, 1), rude, rude)):
        assert not list(etree.fromstring(drawing).iter("{*}script"))


def test_numbers_and_long_words():
    assert signed(-0.5) == "\N{MINUS SIGN}0.5" and signed(-0.0) == "0"
    assert short("a" * 50, LEGEND_WORDS) == "a" * (LEGEND_WORDS - 1) + "…" and short("ab", 2) == "ab"
