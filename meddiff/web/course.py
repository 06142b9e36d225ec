"""How a patient's course is asked for on the Progression tab: days, laws and sliders in words, and what they ask for as a curve."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from datetime import date as Date
from datetime import timedelta
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from meddiff.case import MedDiffError, Plane
from meddiff.conditions.growth import LAWS, Law, area_ratio, fastest, first_size_mm, parse_law, too_fast, volume_ratio
from meddiff.conditions.masks import MOST_OF_HEAD, standard_head
from meddiff.conditions.prompt import read_sentence
from meddiff.conditions.vocabulary import Pathology, load_pathologies
from meddiff.web.charts import growth_curve, timeline
from meddiff.web.style import alert

EXAMPLE = "Axial T1 post-contrast, ring-enhancing left frontal glioblastoma, 24 mm"
DAYS, FIRST_DATE = "0, 30, 60, 120", "2030-01-01"
PIXEL_MM = 0.98  # of the slice that a curve is drawn for before a model is loaded
LAW_NAMES = {
    "gompertz": "Slowing growth (Gompertz)",
    "exponential": "Even doubling (exponential)",
    "logistic": "Growth up to a limit (logistic)",
    "linear": "Even growth in mm (linear)",
    "response": "Response to treatment",
    "pseudoprogression": "Pseudoprogression",
    "resection": "Surgery, then recurrence",
    "stable": "Stable",
}


class Knob(NamedTuple):
    """A slider of a law's parameter; shares are shown as percent, and an optional parameter is left out at 0."""

    label: str
    low: float
    high: float
    step: float
    value: float
    percent: bool = False
    optional: bool = False


KNOBS = {
    "doubling_days": Knob("Days in which the volume doubles, at the start", 3, 2000, 0.1, 60),
    "limit_mm": Knob("Diameter that it grows towards (mm)", 20, 150, 1, 100),
    "mm_per_year": Knob("Growth of the diameter (mm a year)", 0.1, 60, 0.1, 4),
    "nadir_share": Knob("Smallest volume (% of the first)", 1, 95, 1, 30, percent=True),
    "nadir_day": Knob("Day on which it is smallest", 7, 730, 1, 90),
    "regrowth_doubling_days": Knob("Regrowth: days to double (0: none)", 0, 2000, 1, 0, optional=True),
    "peak_share": Knob("Largest volume (% of the first)", 105, 400, 1, 160, percent=True),
    "peak_day": Knob("Day on which it is largest", 3, 730, 1, 60),
    "settling_share": Knob("Volume where it settles (% of the first)", 1, 150, 1, 60, percent=True),
    "settling_days": Knob("Days from the largest until it has settled", 14, 1000, 1, 120),
    "surgery_day": Knob("Day of surgery", 1, 365, 1, 14),
    "residual_share": Knob("Volume left by surgery (% of the first)", 0, 90, 1, 5, percent=True),
    "recurrence_delay_days": Knob("Days after surgery before it grows again", 0, 1825, 1, 90),
    "recurrence_doubling_days": Knob("Recurrence: days to double (0: none)", 0, 2000, 1, 60, optional=True),
}


def read_days(text: str) -> tuple[int, ...]:
    """Days of visits in order of time, from "0, 60, 120".

    Raises:
        MedDiffError: for what is no day, and two visits on one day.
    """
    words = text.replace(",", " ").replace(";", " ").split()
    if not words:
        raise MedDiffError(f"There is no visit yet: give their days, for example {DAYS}.")
    for word in words:
        if not (word.isascii() and word.isdigit()) or int(word) > 36500:
            raise MedDiffError(
                f"“{word}” is no day of a visit: give whole days from 0, the first visit, for example {DAYS}."
            )
    days = sorted(map(int, words))
    for one, other in pairwise(days):
        if one == other:
            raise MedDiffError(f"There are two visits on day {one}: give each day once.")
    return tuple(days)


def read_date(text: str) -> Date:
    """The date of day 0.

    Raises:
        MedDiffError: for what is no date.
    """
    try:
        return Date.fromisoformat(text.strip())
    except ValueError as error:
        raise MedDiffError(f"“{text.strip()}” is no date: write year, month and day as {FIRST_DATE}.") from error


def disease_of(sentence: str) -> Pathology:
    """The disease that a sentence names.

    Raises:
        MedDiffError: not understood, no lesion, no disease.
    """
    finding = read_sentence(sentence).finding
    if finding is None or finding.pathology is None:
        raise MedDiffError(
            "A series follows a disease: name one in the sentence, glioblastoma or meningioma for example."
        )
    return load_pathologies()[finding.pathology]


def law_choices(disease: Pathology) -> list[tuple[str, str]]:
    """Laws by name, those first that the disease has figures for."""
    own = [entry.law.law for entry in disease.growth.laws]
    others = [law for law in LAW_NAMES if law not in own]
    return [(LAW_NAMES[law], law) for law in own] + [(f"{LAW_NAMES[law]} · own figures", law) for law in others]


def knobs_of(law: str, disease: Pathology) -> dict[str, float]:
    """Where the sliders of a law stand at first, on their own scale: at the disease's figures where it has any."""
    own = next((entry.law.model_dump() for entry in disease.growth.laws if entry.law.law == law), {})
    return {
        name: (own[name] or 0) * (100 if KNOBS[name].percent else 1) if name in own else KNOBS[name].value
        for name in LAWS[law].model_fields
        if name != "law"
    }


def reach(name: str, value: float) -> float:
    """Where a slider ends: days end some way beyond the figure they start at, so that they can be set finely."""
    knob = KNOBS[name]
    if knob.high < 365 or knob.percent:
        return knob.high
    return min(knob.high, max(200, 100 * math.ceil(value * 8 / 100)))


def law_words(law: str, values: dict[str, float]) -> str:
    """A law with what its sliders say, as `parse_law` reads it."""
    told = []
    for name in (name for name in LAWS[law].model_fields if name != "law"):
        knob, value = KNOBS[name], float(values[name] or 0)
        left_out = knob.optional and value == 0
        told.append(f"{name}={'none' if left_out else repr(value / 100 if knob.percent else value)}")
    return f"{law}:{','.join(told)}"


def source_of(law: str, disease: Pathology) -> str:
    """Where the figures come from, as HTML."""
    source = next((entry.source for entry in disease.growth.laws if entry.law.law == law), None)
    if source is None:
        words = f"No figures for {disease.name} by this law are known here: those below are only a start. Set your own."
        return f'<div class="md-hint">{html.escape(words)}</div>'
    return (
        f'<div class="md-hint">The sliders start at figures for <b>{html.escape(disease.name)}</b>: {html.escape(source)}'
        f"{'' if source.endswith('.') else '.'}</div>"
    )


def shown_timeline(days: str, first_date: str) -> str:
    """Visits on a line, as HTML, or what is wrong with them."""
    try:
        found, start = read_days(days), read_date(first_date)
    except MedDiffError as error:
        return alert(str(error))
    return timeline([(day, (start + timedelta(days=day)).isoformat()) for day in found])


def forecast(sentence: str, days: str, law: str, values: dict[str, float]) -> str:
    """What a law asks for before anything is made, as HTML: its curve, and a warning where it cannot be drawn or believed."""
    try:
        found, disease = read_days(days), disease_of(sentence)
        findings = read_sentence(sentence)
        said = findings.finding.size_mm if findings.finding else None
        chosen = parse_law(law_words(law, values), disease)
        start_mm = said or first_size_mm(disease, chosen, found[-1])
        points = np.linspace(0, max(found[-1], 1), 200)
        start_mm2 = float(np.pi * (start_mm / 2) ** 2)
        curve = start_mm2 * area_ratio(chosen, points, start_mm)
        visits = start_mm2 * area_ratio(chosen, found, start_mm)
    except MedDiffError as error:
        return alert(str(error))
    most = MOST_OF_HEAD * float(standard_head(findings.plane or Plane.AXIAL).sum()) * PIXEL_MM**2
    warnings = []
    too_large = next((i for i, area in enumerate(visits) if area > most), None)
    if too_large is not None:
        warnings.append(
            f"On day {found[too_large]} this asks for a lesion {_across(visits[too_large])} across, and a slice of the head "
            f"holds about {_across(most)}: choose fewer days or slower growth."
        )
    warnings += _pace(chosen, disease, found, start_mm)
    drawn = growth_curve(
        list(zip(points, curve, strict=True)), asked=list(zip(found, visits, strict=True)), most_mm2=most
    )
    size = "as in the sentence" if said else f"of {disease.name}, as the sentence names none"
    hint = (
        f"Asked for by this law, from {start_mm:g} mm at day 0 ({size}): {_across(visits[-1])} on day {found[-1]}. "
        "Areas are those of a round lesion; a drawn one is somewhat smaller."
    )
    return drawn + f'<p class="md-hint">{html.escape(hint)}</p>' + "".join(map(alert, warnings))


def _across(area_mm2: float) -> str:
    return f"{2 * np.sqrt(area_mm2 / np.pi):.0f} mm"


def _pace(law: Law, disease: Pathology, days: Sequence[int], start_mm: float) -> list[str]:
    """A sentence for the first span between visits in which the disease could not change that much; surgery may."""
    ratios, surgery = volume_ratio(law, days, start_mm), getattr(law, "surgery_day", None)
    for (one, before), (other, after) in pairwise(zip(days, ratios, strict=True)):
        operated = surgery is not None and one < surgery <= other
        if operated or before == 0 or after == 0:
            continue
        if told := too_fast(fastest(disease), other - one, float(after / before), slack=0.01):
            return [f"Faster than {disease.name} is known to change, day {one} to {other}: {told}"]
    return []
