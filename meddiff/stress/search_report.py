"""A search told: one self-contained HTML page with the counter-examples beside their twins, and JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from meddiff.exchange.atomic import write_atomic
from meddiff.marking.seal import SealedCase
from meddiff.plot import HIGH, KEY, LINE, OTHERS, Axes, legend, svg
from meddiff.stress.lab import Lab
from meddiff.stress.page import document, facts_of, section, shown_pair, table
from meddiff.stress.plan import plan_text
from meddiff.stress.records import Level, Outcome
from meddiff.stress.report import LIMITS
from meddiff.stress.search import MethodResult, Neighbour, SearchResult, trial_at
from meddiff.stress.slices import level_name

JSON, HTML = "search.json", "search.html"
MOST = 12  # counter-examples shown
NAMES = {"tpe": "search (TPE)", "random": "random search"}


def write_search(found: SearchResult, folder: str | Path, pictures: bool = True) -> tuple[Path, ...]:
    """Writes what a search found into its folder: `search.json` and `search.html`.

    Args:
        pictures: make the counter-examples and the pair that flips again, and show them: some seconds each.

    Raises:
        MedDiffError: a file that cannot be written.
    """
    shown = cases_of(found) if pictures else {}
    told = json.dumps(found.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"
    page = search_page(found, shown)
    return (
        write_atomic(Path(folder) / JSON, lambda file: file.write_text(told, encoding="utf-8")),
        write_atomic(Path(folder) / HTML, lambda file: file.write_bytes(page.encode("utf-8", "replace"))),
    )


def cases_of(found: SearchResult) -> dict[int, SealedCase]:
    """The cases that the page shows, made again, by the numbers of their trials; one that comes out otherwise here is left out."""
    by_trial = {outcome.trial: outcome for outcome in found.outcomes}
    wanted = dict.fromkeys([*(one.outcome.trial for one in found.found[:MOST]), *(found.flip or ())])
    cases: dict[int, SealedCase] = {}
    if wanted:
        around = len(found.search.methods) * found.search.budget  # from there on in the worst one's head
        with Lab(found.search.plan) as lab:
            for number in wanted:
                outcome = by_trial[number]
                head = found.found[0].outcome.request.seed if number >= around else None
                trial = trial_at(found.search, number, outcome.block, outcome.levels, head)
                ((_, case),) = lab.again([trial], by_trial)
                if case is not None:
                    cases[number] = case
    return cases


def search_page(found: SearchResult, shown: Mapping[int, SealedCase]) -> str:
    """The whole page as HTML."""
    title = f"What {found.detector} misses"
    sections = (
        section("In short", _short(found)),
        section("The smallest change that flips it", _flip(found, shown)) if found.flip else "",
        section("Counter-examples", _counter_examples(found, shown)),
        section("Around the worst", _around(found.neighbours, found.search.least_conspicuity))
        if found.neighbours
        else "",
        section("How it was searched", _how(found)),
        section("What this does not say", f"<ul>{''.join(f'<li>{escape(words)}</li>' for words in LIMITS)}</ul>"),
    )
    about = f"Adversarial search within what is plausible: {found.search.plan.name}. MedDiff stress lab."
    return document(f"{title}: {found.search.plan.name}", title, about, sections)


def _short(found: SearchResult) -> str:
    rows = [
        (
            escape(NAMES[one.method]), f"{one.tried}", f"{one.fair}", f"{one.missed}", f"{one.distinct}",
            f"after {one.first}" if one.first else "none",
        )
        for one in found.methods
    ]  # fmt: skip
    heads = ("Method", "Cases made", "Fair, lesion visible", "Missed", "Distinct", "First")
    test = (
        ""
        if found.p is None
        else f"<p>Missed by one method against the other: p {found.p:.2g} (Fisher&#39;s exact test).</p>"
    )
    return f"{table(heads, rows)}{test}<figure class='wide'>{best_plot(found.methods)}</figure>"


def best_plot(methods: Sequence[MethodResult]) -> str:
    """The lowest value so far after each case, a line a method; below 0 a visible lesion is missed."""
    values = [value for one in methods for value in one.best if value is not None]
    if not values:
        return ""
    low, high = min([*values, 0.0]), max([*values, 0.0])
    room = max(0.1, 0.05 * (high - low))
    axes = Axes((1, max(2, *(one.tried for one in methods))), (low - room, high + room))
    # One decimal where that tells them apart: longer numbers reach into the axis' name.
    places = 1 if high - low > 0.5 else 2
    ticks = [round(low + part * (high - low), places) for part in (0, 0.25, 0.5, 0.75, 1)]
    parts = [axes.grid([1, max(one.tried for one in methods)], ticks)]
    parts.append(axes.line([(axes.x[0], 0), (axes.x[1], 0)], OTHERS[4], 1.5, "4 4"))
    said, names = [], []
    for at, one in enumerate(methods):
        points = [(float(n), value) for n, value in enumerate(one.best, 1) if value is not None]
        colour, dash = ((KEY, ""), (OTHERS[0], "6 3"))[at % 2]
        parts.append(axes.line(points, colour, 2.5, dash))
        names.append((NAMES[one.method], colour, dash))
        said.append(
            f"{NAMES[one.method]} reaches {points[-1][1]:.2f}" if points else f"{NAMES[one.method]} has no fair case"
        )
    parts.append(axes.names("Cases made", "Lowest value so far"))
    parts.append(legend(names, HIGH + 6))
    return svg(
        HIGH + LINE * len(names) + 6,
        f"Lowest value after each case: {'; '.join(said)}; below 0 a visible lesion is missed",
        parts,
    )


def _flip(found: SearchResult, shown: Mapping[int, SealedCase]) -> str:
    assert found.flip is not None
    by_trial = {outcome.trial: outcome for outcome in found.outcomes}
    missed, seen = (by_trial[number] for number in found.flip)
    name = found.flip_factor
    words = (
        f"<p>In the same head, all else alike, the lesion is missed at {escape(name)} <b>{escape(_level(missed.levels[name]))}</b> and found at "
        f"<b>{escape(_level(seen.levels[name]))}</b>.</p>"
    )
    return (
        words + f'<div class="cards">{_card(found, missed, shown, "Missed")}{_card(found, seen, shown, "Found")}</div>'
    )


def _counter_examples(found: SearchResult, shown: Mapping[int, SealedCase]) -> str:
    if not found.found:
        return "<p>No visible lesion was missed within this budget. That is no proof that there is none.</p>"
    cards = "".join(
        _card(found, one.outcome, shown, f"Missed{f', and {len(one.also)} more like it' if one.also else ''}")
        for one in found.found[:MOST]
    )
    more = f" The {MOST} worst of {len(found.found)} are shown." if len(found.found) > MOST else ""
    return f"<p>Visible lesions in plausible cases that were missed, the most conspicuous first; each beside its clean twin.{more}</p><div class='cards'>{cards}</div>"


def _card(found: SearchResult, outcome: Outcome, shown: Mapping[int, SealedCase], title: str) -> str:
    contracts = {found.detector: found.contract}
    case = shown.get(outcome.trial)
    views = shown_pair(contracts, outcome, case) if case is not None else '<p class="soft">No picture was made.</p>'
    told = "".join(f"<dt>{name}</dt><dd>{words}</dd>" for name, words in facts_of(contracts, outcome))
    return f'<article class="card"><h3>{escape(title)} <code>{escape(outcome.case)}</code></h3>{views}<dl>{told}</dl></article>'


def _around(neighbours: Sequence[Neighbour], least: float) -> str:
    rows = []
    for name in dict.fromkeys(one.factor for one in neighbours):
        mine = sorted(
            (one for one in neighbours if one.factor == name), key=lambda one: (isinstance(one.level, str), one.level)
        )
        said = ", ".join(f"{escape(_level(one.level))}: {_state(one, least)}" for one in mine)
        rows.append((escape(name), said))
    return "<p>One factor is changed at a time, the others stay as in the worst case.</p>" + table(
        ("Factor", "Level and answer"), rows
    )


def _state(one: Neighbour, least: float) -> str:
    if one.missed:
        return '<b class="no">missed</b>'
    if one.outcome.measures is None or not one.outcome.counts:
        return "not a fair case"
    if one.outcome.measures.conspicuity_acquired < least:
        return "lesion hardly visible"
    return '<b class="ok">found</b>'


def _level(level: Level) -> str:
    return level_name(level) or "as the disease has it"


def _how(found: SearchResult) -> str:
    asked = found.search
    words = (
        f"<p>Each method made {asked.budget} cases, {asked.batch} at a time, among {asked.plan.patients} patients. A case is fair where it is so by the plan&#39;s bound "
        f"({asked.plan.bound.value}) and its lesion&#39;s contrast to noise, as acquired, is {asked.least_conspicuity:g} or more. Minimised is the score less the operating "
        "point; of a missed lesion, the more conspicuous the lower. Model weights "
        f"<code>{escape(found.pack_sha256[:16])}</code>, {escape(found.software)}.</p>"
    )
    return f"{words}<pre>{escape(plan_text(asked.plan))}</pre>"
