"""Stress, what is shown: how far a run is, its curve as it grows, its figures, its failures, and one case with what was answered."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from meddiff.web.stress_form import LESION, PICTURE
from meddiff.web.style import alert, note

if TYPE_CHECKING:  # figures come with scipy: when the tab is opened
    from meddiff.marking.seal import SealedCase
    from meddiff.stress.desk import Listed, Live
    from meddiff.stress.failures import Failure
    from meddiff.stress.intervals import Estimate
    from meddiff.stress.records import Contract, Outcome
    from meddiff.stress.run import Result
    from meddiff.stress.scores import DetectorScores, Scores

NAMES = {**LESION, **PICTURE}
MISSED, ALARMS, SILENT = "missed", "alarms", "silent"
FAILURES = [("Missed lesions", MISSED), ("False alarms on clean twins", ALARMS), ("No answer", SILENT)]
COLUMNS = ["Trial", "Asked", "Conspicuity", "mm", "By"]
MOST_ROWS = 200
PAUSE = 6.0  # times as long as the figures took, the server does something else before it computes them anew
Learners = Sequence[tuple[float, bool]]
CSS = """
.md-bar { height: 10px; border-radius: 5px; background: var(--border-color-primary); overflow: hidden; margin: 6px 0; }
.md-bar i { display: block; height: 100%; background: #2b8f81; }
#md-stress-plan textarea { font-family: ui-monospace, Consolas, Menlo, monospace !important; font-size: .86rem !important; }
.md-outlook { margin: 0; }
.md-stress svg { display: block; width: 100%; max-width: 520px; height: auto; }
.md-stress .key, .md-pair .key { display: inline-block; margin-right: 14px; font-size: .88rem; overflow-wrap: anywhere; }
.md-stress .key i, .md-pair .key i { display: inline-block; width: 12px; height: 12px; border-radius: 3px; margin-right: 6px; }
.md-pair .key i.outline { border: 2px solid #ffd23f; }
.md-stress .drawings { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(280px, 100%), 1fr)); gap: 14px; }
.md-stress figure { margin: 0; min-width: 0; } .md-stress figcaption, .md-stress .soft { font-size: .86rem; color: var(--body-text-color-subdued); }
.md-stress section + section { margin-top: 18px; } .md-stress h3 { font-size: .95rem; font-weight: 650; margin: 10px 0 4px; }
.md-stress p { margin: 4px 0; overflow-wrap: anywhere; }
.md-stress .table { overflow-x: auto; contain: inline-size; } .md-stress .table table { width: 100%; font-size: .86rem; border-collapse: collapse; }
.md-stress .table :is(th, td) { text-align: left; vertical-align: top; padding: 4px 10px 4px 0; border: 0 !important; border-bottom: 1px solid var(--border-color-primary) !important; }
.md-stress .note { border-left: 4px solid #c98a1b; padding: 4px 10px; } .md-stress ol { margin-left: 20px; list-style: decimal; }
.md-pair .pair { display: grid; grid-template-columns: 1fr 1fr; gap: 6px; background: #0b0f13; padding: 6px; border-radius: 8px; }
.md-pair figure { margin: 0; min-width: 0; } .md-pair svg { display: block; width: 100%; height: auto; } .md-pair figcaption { color: #dbe5ec; font-size: .82rem; text-align: center; }
.md-pair .outline path { stroke: #ffd23f; stroke-width: 1; vector-effect: non-scaling-stroke; }
.md-pair .marks rect { fill: none; stroke-width: 2; vector-effect: non-scaling-stroke; }
.md-pair dl { display: grid; grid-template-columns: max-content 1fr; gap: 3px 12px; margin-top: 8px; font-size: .93rem; }
.md-pair dt { color: var(--body-text-color-subdued); max-width: 9em; overflow-wrap: anywhere; } .md-pair dd { margin: 0; overflow-wrap: anywhere; }
.md-pair .ok { color: #1f7d53; } .md-pair .no { color: #b23a30; } .dark .md-pair .ok { color: #7fd6ab; } .dark .md-pair .no { color: #ff9d92; }
"""


# ---------------------------------------------------------------- how far


def progress_of(live: Live) -> str:
    """How far the run at work is, as HTML; empty where there is none to tell of."""
    if live.phase == "failed":
        return alert(live.error)
    share = live.done / live.total if live.total else 0.0
    bar = f'<div class="md-bar" role="progressbar" aria-valuenow="{100 * share:.0f}"><i style="width:{100 * share:.1f}%"></i></div>'
    if live.phase == "starting":
        return f'<div class="md-hint" role="status">Starting: the model and the detector are loaded.</div>{bar}'
    if live.phase == "stopping":
        return f'<div class="md-hint" role="status">Stopping after the cases at hand.</div>{bar}'
    if live.phase == "running":
        left = f", about {span(live.eta_s)} left" if live.eta_s else ""
        return f'<div class="md-hint" role="status">{live.done} of {live.total} trials{left}.</div>{bar}'
    if live.phase == "stopped":
        return note(f"Stopped at {live.done} of {live.total} trials. Go on with it whenever you like.")
    return note(f"Finished: {live.total} trials.") if live.phase == "finished" else ""


def span(seconds: float) -> str:
    """A time in words: `40 s`, `12 minutes`, `3.4 hours`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def choice_of(run: Listed) -> tuple[str, str]:
    """A run in the list of runs."""
    state = "finished" if run.complete else f"{run.done} of {run.total}"
    return f"{run.begun} · {run.name} · {', '.join(run.detectors)} · {state}", run.run


# ---------------------------------------------------------------- figures


@dataclass(frozen=True)
class Shown:
    """The results on the page, as HTML: the headline, the curve, sensitivity by level, and every other figure."""

    head: str = ""
    curve: str = ""
    levels: str = ""
    all: str = ""


class Growing:
    """Figures of runs as they grow, computed once for everybody who looks, and not too often."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, tuple[int, float, float, Shown]] = {}  # trials, when, how long it took

    def of(self, name: str, result: Result, learners: Learners, last: bool) -> Shown:
        """The figures of a run.

        Args:
            name: of the run.
            last: whether they must be those of all that there is, with every figure; else older ones may be given.
        """
        with self._lock:
            done, at, took, shown = self._known.get(name, (-1, 0.0, 0.0, Shown()))
            if done == len(result.outcomes) and (shown.all or not last):
                return shown
            if not last and time.monotonic() < at + PAUSE * took:
                return shown
            begun = time.monotonic()
            shown = finished(result, learners) if last else growing(result, learners)
            self._known = {name: (len(result.outcomes), time.monotonic(), time.monotonic() - begun, shown)}
            return shown


def growing(result: Result, learners: Learners = ()) -> Shown:
    """The figures of an unfinished run that take little time: shares, the curve, and sensitivity by the plan's levels."""
    from meddiff.stress import plots, slices
    from meddiff.stress.intervals import share
    from meddiff.stress.psychometric import fit
    from meddiff.stress.reads import reads_of

    scored = [outcome for outcome in result.outcomes if outcome.counts]
    if not scored:
        return Shown(head=counted(len(result.outcomes), 0))
    contrast = [outcome.measured.conspicuity_acquired for outcome in scored]
    factors = [one for one in slices.attributes_of(scored) if one.source == "factor"]
    words, curves, by_level = [], [], []
    for name, contract in result.contracts.items():
        reads = reads_of(name, contract, scored)
        words.append(headline(name, share(reads.found, reads.place), share(reads.alarm, reads.place), 0))
        curves.append((name, fit(contrast, reads.found, reads.place, None if reads.locates else reads.alarm)))
        by_level += [(name, slices.shares_of(reads, factor)) for factor in factors]
    drawings = [
        plots.sensitivity_plot([row for row in by_level if row[1].attribute == factor.name]) for factor in factors
    ]
    return Shown(
        head=counted(len(result.outcomes), len(scored)) + "".join(words),
        curve=plots.psychometric_plot(curves, learners),
        levels=_drawings([(factor.name, drawing) for factor, drawing in zip(factors, drawings, strict=True)]),
    )


def finished(result: Result, learners: Learners = ()) -> Shown:
    """All figures of a run as it stands."""
    from meddiff.stress import plots
    from meddiff.stress.page import figures
    from meddiff.stress.scores import score

    scores = score(result.outcomes, result.contracts)
    if not scores.counted:
        return Shown(head=counted(scores.trials, 0), all=_styled(figures(scores)) if scores.detectors else "")
    words = "".join(_headline_of(detector) for detector in scores.detectors)
    curves = [(detector.name, detector.psychometric) for detector in scores.detectors]
    return Shown(
        head=counted(scores.trials, scores.counted) + words + _worst(scores),
        curve=plots.psychometric_plot(curves, learners) + _crossings(scores),
        levels=_drawings(_by_factor(scores)),
        all=_styled(figures(scores, learners)),
    )


def counted(trials: int, scored: int) -> str:
    """How many trials there are, and how many of them count, as HTML."""
    if not trials:
        return '<p class="md-hint">No trial is finished yet.</p>'
    return f'<p class="md-hint">{trials} trials, {scored} of them count: the others missed the bound and are not scored.</p>'


def headline(name: str, found: Estimate, alarm: Estimate, faults: int) -> str:
    """One detector in a line: lesions found, clean twins marked."""
    silent = f" It did not answer {faults} pictures." if faults else ""
    return (
        f'<div class="md-headline"><b translate="no">{escape(name)}</b><p>{share_words(found)} of the lesions found, {share_words(alarm)} of the '
        f"clean twins with a false alarm.{silent}</p></div>"
    )


def share_words(told: Estimate) -> str:
    """`83% (71% to 90%)`."""
    if told.value is None:
        return "none"
    ends = "" if told.interval is None else f" ({told.interval[0]:.0%} to {told.interval[1]:.0%})"
    return f"{told.value:.0%}{ends}"


def _headline_of(detector: DetectorScores) -> str:
    return headline(detector.name, detector.sensitivity, detector.false_positive_share, detector.fault_count)


def _worst(scores: Scores) -> str:
    rows = [
        f"<li><span translate='no'>{escape(d.name)}</span>: where {escape(one.words)}, {one.found} of {one.n} found, against {one.rest:.0%} elsewhere</li>"
        for d in scores.detectors
        for one in d.worst[:4]
    ]
    return f"<h3>Where it is worst</h3><ul class='md-limits'>{''.join(rows)}</ul>" if rows else ""


def _crossings(scores: Scores) -> str:
    """From which conspicuity on half and 80% are found, with intervals, a line a detector."""
    lines = []
    for detector in scores.detectors:
        for target in (0.5, 0.8):
            point = detector.psychometric.point(target)
            if point.value is not None:
                low = "less than was shown" if point.low is None else f"{point.low:.2g}"
                high = "more than was shown" if point.high is None else f"{point.high:.2g}"
                lines.append(
                    f'<li><span translate="no">{escape(detector.name)}</span>: {target:.0%} found from {point.value:.2g} on ({low} to {high})</li>'
                )
            else:
                lines.append(
                    f'<li><span translate="no">{escape(detector.name)}</span>: {target:.0%} not told. {escape(point.said)}</li>'
                )
    return f'<ul class="md-hint md-limits">{"".join(lines)}</ul>'


def _by_factor(scores: Scores) -> list[tuple[str, str]]:
    from meddiff.stress import plots

    names = list(dict.fromkeys(s.attribute for d in scores.detectors for s in d.subgroups if s.source == "factor"))
    return [
        (name, plots.sensitivity_plot([(d.name, s) for d in scores.detectors for s in d.subgroups if s.attribute == name]))
        for name in names
    ]  # fmt: skip


def _drawings(found: Sequence[tuple[str, str]]) -> str:
    figures = "".join(
        f"<figure><figcaption>{escape(NAMES.get(name, name))}</figcaption>{drawing}</figure>" for name, drawing in found
    )
    return f'<div class="drawings">{figures}</div>' if figures else ""


def _styled(report: str) -> str:
    """A piece of the report, which is in English."""
    return f'<div class="md-stress" translate="no" lang="en">{report}</div>'


# ---------------------------------------------------------------- failures


def rows_of(found: Sequence[Failure], which: str) -> list[list[str]]:
    """The list of failures of one kind, the most conspicuous lesion first."""
    from meddiff.stress.slices import level_name

    names = {MISSED: "missed", ALARMS: "alarmed", SILENT: "silent"}
    rows = []
    for failure in found:
        by = getattr(failure, names[which])
        if by:
            m = failure.outcome.measured
            levels = ", ".join(
                f"{NAMES.get(name, name)} {level_name(level)}" for name, level in failure.outcome.levels.items()
            )
            rows.append(
                [str(failure.outcome.trial), levels, f"{m.conspicuity_acquired:.1f}", f"{m.size_mm:.0f}", ", ".join(by)]
            )
    return rows[:MOST_ROWS]


def case_of(contracts: Mapping[str, Contract], outcome: Outcome, sealed: SealedCase) -> str:
    """A case beside its twin with outline and marks, and what each detector answered, as HTML."""
    from meddiff.stress.page import facts_of, shown_pair

    facts = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts_of(contracts, outcome))
    return f'<div class="md-pair">{shown_pair(contracts, outcome, sealed)}<dl>{facts}</dl></div>'
