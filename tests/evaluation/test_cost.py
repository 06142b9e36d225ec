"""What a picture costs: distances that are known, counters that are read, settings that are compared."""

import numpy as np
import pytest

from meddiff.diffusion.flow import renoise
from meddiff.evaluation import cost as part
from meddiff.evaluation.cost import cost, energy, fewest_good, psnr
from meddiff.evaluation.plots import curve_plot, nice_reach
from meddiff.evaluation.records import Curve, Figure, Line
from tests.evaluation.made_up import heads, material_of, told


def test_psnr_of_a_known_error():
    black = np.zeros((2, 8, 8))
    assert psnr(black + 0.1, black) == pytest.approx(20) and psnr(black, black) == float("inf")


def test_the_fewest_steps_that_are_as_good():
    assert fewest_good((2, 4, 8, 16), (20.0, 24.8, 25.1, 25.2), 0.5) == 4
    assert fewest_good((2, 4), (1.0, 3.0), 0.5) == 4


def test_energy_is_the_difference_of_the_counters_or_not_told(tmp_path):
    with energy(tmp_path) as used:
        pass
    assert used.joules is None and used.joules_each(4) is None
    counter = tmp_path / "intel-rapl:0" / "energy_uj"
    counter.parent.mkdir()
    counter.write_text("1000000")
    with energy(tmp_path) as used:
        counter.write_text("9000000")
    assert used.joules == 8 and used.joules_each(4) == 2


def test_steps_and_precisions_are_compared_with_the_most_steps_in_float(tiny_studio, tmp_path, monkeypatch):
    monkeypatch.setattr(part, "STEPS", {True: (1, 3)})
    monkeypatch.setattr(part, "PRECISIONS", {True: ("fp32",)})  # the random pack ships no INT8 network
    monkeypatch.setattr(part, "MANY", {True: 2})
    made = heads(3, 2)
    found = cost(material_of(tmp_path, made, made.pixels), told)
    figures = {figure.key: figure for figure in found.figures}
    assert figures["cost.seconds"].value > 0 and figures["cost.size"].value > 0
    assert 5 < figures["cost.psnr"].value < 99
    over_steps = found.curves[0].lines[0]
    assert len(over_steps.x) == 3 and over_steps.y[-1] == 99  # the most steps in float are the reference itself
    assert "<svg" in curve_plot(found.curves[0])


def test_a_sampler_with_fresh_noise_is_compared_at_its_own_number_of_steps(tiny_studio, tmp_path, monkeypatch):
    monkeypatch.setattr(part, "STEPS", {True: (1, 3)})
    monkeypatch.setattr(part, "PRECISIONS", {True: ("fp32",)})
    monkeypatch.setattr(part, "MANY", {True: 2})
    made = heads(3, 2)
    material = material_of(tmp_path, made, made.pixels)
    pipeline = material.studio.load().pipeline
    monkeypatch.setattr(pipeline, "scheduler", renoise(2.0))
    # The reference is a studio of its own: its pack must be put together with the same sampler.
    monkeypatch.setattr(part, "Studio", lambda name, precision: material.studio)
    found = cost(material, told)
    figures = {figure.key: figure for figure in found.figures}
    assert figures["cost.psnr"].value == 99 and "2 steps" in figures["cost.psnr"].name
    assert figures["cost.psnr"].baseline is None
    assert [curve.key for curve in found.curves] == ["cost.dice_over_steps"]


def test_axes_end_at_round_numbers():
    assert nice_reach([0.12, 0.87]) == (0.0, 1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
    low, high, ticks = nice_reach([7, 7])
    assert low < 7 < high and len(ticks) > 2


def test_a_curve_shows_its_lines_bands_and_marks():
    line = Line(name="int8", x=(2, 4, 8), y=(20, 24, 25), low=(19, 23, 24), high=(21, 25, 26))
    plot = curve_plot(
        Curve(key="a.b", name="Quality", x_name="steps", y_name="dB", lines=(line,), marked=((0, 1, "4 steps"),))
    )
    assert plot.count("<polyline") == 1 and plot.count("<polygon") == 1 and "4 steps" in plot and "int8" in plot


def test_an_aim_is_read_as_it_is_written():
    def figure(value, aim):
        return Figure(key="a.b", name="x", value=value, aim=aim).met

    assert figure(0.9, ">= 0.85") and not figure(0.8, ">= 0.85") and figure(0.0, "<= 0.01") and figure(0.0, "= 0")
    assert figure(0.9, "") is None and figure(None, ">= 0.85") is None
