"""The report's page: what was tested, how it did, where it breaks, and the cases that show it; for a reader who was not there."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from meddiff.case import SYNTHETIC_NOTICE
from meddiff.exchange.png import screen_bytes
from meddiff.marking.seal import SealedImage, require_sealed
from meddiff.plot import KEY, OTHERS
from meddiff.stress import plots
from meddiff.stress.compare import Comparison
from meddiff.stress.intervals import Estimate
from meddiff.stress.psychometric import TARGETS
from meddiff.stress.records import Answer, Contract, Kind, Outcome
from meddiff.stress.report import LIMITS, Pictures, RunSummary, Shown, failing
from meddiff.stress.scores import DetectorScores, Scores
from meddiff.stress.slices import LEAST, Subgroups, level_name
from meddiff.stress.thresholds import Verdict, failed

_COLOURS = (KEY, *OTHERS)
_KINDS = {
    Kind.CLASSIFIER: "one score a picture",
    Kind.BOXES: "boxes with scores",
    Kind.MASK: "a probability a pixel",
}


def page(
    run: RunSummary,
    outcomes: Sequence[Outcome],
    scores: Scores,
    verdicts: Sequence[Verdict] = (),
    pictures: Pictures | None = None,
    learners: Sequence[tuple[float, bool]] = (),
) -> str:
    """The whole page; see `report.write_report`."""
    shown = failing(outcomes, run.contracts)
    sections = (
        _verdicts(verdicts),
        _headlines(scores),
        _tested(run),
        _counted(scores),
        _conspicuity(scores, learners),
        _factors(scores),
        _slices(scores),
        _open_thresholds(scores),
        _comparisons(scores),
        _faults(scores),
        _failures(run, shown, pictures),
        _limits(),
        _again(run),
    )
    when = f", {run.started}" if run.started else ""
    about = f"Where does the detector break? MedDiff stress report{when}."
    return document(f"{run.title}: stress report", run.title, about, sections)


def document(title: str, headline: str, about: str, sections: Iterable[str]) -> str:
    """A page of its own, style and all, around sections that are HTML already; the words are plain."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
        f'<meta name="color-scheme" content="light dark"><title>{escape(title)}</title><style>{_STYLE}</style></head><body><main>'
        f'<header><h1>{escape(headline)}</h1><p class="soft">{escape(about)}</p>'
        f'<p class="notice">{escape(SYNTHETIC_NOTICE)}</p></header>{"".join(sections)}</main></body></html>\n'
    )


def figures(scores: Scores, learners: Sequence[tuple[float, bool]] = ()) -> str:
    """The page's sections of figures alone, as a piece of HTML without style: for a page of somebody else's."""
    sections = (
        _headlines(scores), _counted(scores), _conspicuity(scores, learners), _factors(scores), _slices(scores),
        _open_thresholds(scores), _comparisons(scores), _faults(scores),
    )  # fmt: skip
    return "".join(sections)


def shown_pair(contracts: Mapping[str, Contract], outcome: Outcome, shown: Shown) -> str:
    """A case beside its clean twin, with the lesion's outline and the detectors' marks above the sealed pictures, as a piece of HTML.

    Raises:
        MedDiffError: a picture that is not sealed.
    """
    return f'<p class="marks-key">{_key_of_marks(contracts)}</p>{_views(contracts, outcome, shown)}'


def facts_of(contracts: Mapping[str, Contract], outcome: Outcome) -> list[tuple[str, str]]:
    """What was asked, what was measured, and what each detector said: (name, words), both HTML."""
    m = outcome.measured
    levels = ", ".join(f"{name} {level_name(level)}" for name, level in outcome.levels.items())
    measured = (
        f"conspicuity {m.conspicuity_acquired:.2g} (before acquisition {m.conspicuity:.2g}), {m.size_mm:.0f} mm, {m.side} {m.region}, "
        f"{m.margin} margin, {m.enhancement} enhancement"
    )
    said = [
        (escape(name), _answer_words(outcome, name, contract))
        for name, contract in contracts.items()
        if name in outcome.answers
    ]
    return [("Asked", escape(levels)), ("Measured", escape(measured)), *said]


# ------------------------------------------------------------ the answer first


def _verdicts(verdicts: Sequence[Verdict]) -> str:
    if not verdicts:
        return ""
    missed = failed(verdicts)
    all_of = f"all {len(verdicts)} thresholds" if len(verdicts) > 1 else "its threshold"
    words = f"Failed: {len(missed)} of {_number(len(verdicts), 'threshold')}" if missed else f"Passed: {all_of}"
    rows = [
        (_mark(verdict.passed), escape(verdict.detector), f"{escape(verdict.name)} {verdict.direction} {verdict.limit:g}", escape(verdict.figure))
        for verdict in sorted(verdicts, key=lambda verdict: verdict.passed)
    ]  # fmt: skip
    strict = "<p class='soft'>Judged by the bad end of each 95% interval.</p>" if verdicts[0].strict else ""
    told = table(("", "Detector", "Threshold", "Measured"), rows)
    return f'<section class="{"bad" if missed else "good"}"><h2>{words}</h2>{strict}{told}</section>'


def _mark(passed: bool) -> str:
    return '<b class="ok">passed</b>' if passed else '<b class="no">failed</b>'


def _headlines(scores: Scores) -> str:
    if not scores.detectors:
        return section("In short", "<p>No detector has answered yet.</p>")
    words = "".join(f"<p>{_in_short(detector)}</p>" for detector in scores.detectors)
    rows = [
        (
            escape(d.name),
            _figure(d.sensitivity),
            _figure(d.false_positive_share),
            _figure(d.false_positives_per_twin, 2),
            _figure(d.pairs_right),
            _figure(d.roc.area, 2) if d.roc else "",
            _figure(d.lroc.area, 2) if d.lroc else "says no place",
            f"{d.fault_count}",
        )
        for d in scores.detectors
    ]
    heads = (
        "Detector", "Lesions found", "Clean twins marked", "False marks a clean twin", "Found and twin clean", "ROC area", "LROC area", "No answer",
    )  # fmt: skip
    return section("In short", words + table(heads, rows) + _methods(scores))


def _in_short(d: DetectorScores) -> str:
    if d.sensitivity.value is None:
        return f"<b>{escape(d.name)}</b>: no trial was scored."
    found = round(d.sensitivity.value * d.trials)
    told = (
        f"<b>{escape(d.name)}</b> found {found} of {d.trials} lesions ({_share(d.sensitivity)}) and marked "
        f"{_plain(d.false_positive_share)} of the clean twins."
    )
    half = d.psychometric.point(0.5)
    if half.value is not None:
        told += f" At conspicuity {half.value:.2g} half of the lesions are found."
    # That faint lesions are missed is said already.
    worst = next((row for row in d.worst if "conspicuity" not in row.words), None)
    if worst is not None:
        told += f" Weakest where {escape(worst.words)}: {worst.found} of {worst.n} found."
    if d.fault_count:
        told += f" It failed to answer {_number(d.fault_count, 'picture')}."
    return told


def _methods(scores: Scores) -> str:
    methods = sorted(
        {e.method for d in scores.detectors for e in (d.sensitivity, d.false_positive_share, d.pairs_right) if e.method}
    )
    draws = max((d.roc.area.draws for d in scores.detectors if d.roc), default=0)
    of_areas = f"; areas by {draws:,} draws of patients" if draws else ""
    return (
        f'<p class="soft">In brackets: 95% intervals over {_number(scores.blocks, "patient")}; of shares by {escape("; ".join(methods))}{of_areas}. '
        "Found: a mark that hits, at or above the detector&#39;s own threshold (a classifier: its score).</p>"
    )


# ------------------------------------------------------------ what was tested


def _tested(run: RunSummary) -> str:
    detectors = [
        (
            escape(d.name),
            _KINDS[d.contract.kind],
            escape(input_words(d.contract)),
            f"{d.contract.threshold:g}",
            escape(d.origin) + (f"<br><code>{escape(d.sha256[:16])}</code>" if d.sha256 else ""),
        )
        for d in run.detectors
    ]
    facts = [
        ("Plan", f"{escape(run.title)} <code>{escape(run.plan_sha256[:16])}</code>"),
        ("Cases made by", f"{escape(run.pack)} <code>{escape(run.pack_sha256[:16])}</code>"),
        ("Pack of the cases", f"<code>{escape(run.cases_sha256)}</code>" if run.cases_sha256 else "none written"),
        ("Seed", str(run.seed)),
        ("Took", f"{run.seconds:.0f} s" if run.seconds else ""),
        ("Versions", escape(", ".join(f"{name} {version}" for name, version in run.versions))),
    ]
    rows = [(f"<th scope='row'>{name}</th>", value) for name, value in facts if value]
    heads = ("Detector", "Answers", "Takes", "Threshold", "From")
    return section("What was tested, on what", table(heads, detectors) + table((), rows))


def input_words(contract: Contract) -> str:
    """What a detector takes, in words: `256 x 256, 1 channel, 0 to 1`."""
    spacing = f", {contract.spacing_mm:g} mm a pixel" if contract.spacing_mm else ""
    channels = "1 channel" if contract.channels == 1 else f"{contract.channels} channels"
    values = "standardised" if contract.standardised else f"{contract.low:g} to {contract.high:g}"
    return f"{contract.size[0]} x {contract.size[1]}, {channels}, {values}{spacing}"


def _counted(scores: Scores) -> str:
    text = (
        f"<p>{_number(scores.trials, 'trial')} made, each a lesion case with its clean twin; {scores.counted} count and are scored, of "
        f"{_number(scores.blocks, 'patient')}.</p>"
    )
    if scores.reasons:
        text += table(("Trials", "Why they do not count"), [(str(n), escape(words)) for words, n in scores.reasons])
    text += "".join(f'<p class="note">{escape(note)}</p>' for note in scores.notes)
    uneven = []
    for factor in dict.fromkeys(row.factor for row in scores.acceptance):
        rows = [row for row in scores.acceptance if row.factor == factor]
        if any(row.counted < row.trials for row in rows):
            uneven.append(_drawing(plots.acceptance_plot(rows), f"By {escape(factor)}"))
    if uneven:
        text += f"<h3>Share of trials that count</h3>{_drawings(uneven)}"
    return section("How many count, and why others do not", text)


# ------------------------------------------------------------ where it breaks


def _conspicuity(scores: Scores, learners: Sequence[tuple[float, bool]]) -> str:
    curves = [(d.name, d.psychometric) for d in scores.detectors if d.psychometric.n]
    if not curves:
        return ""
    rows = []
    for name, curve in curves:
        points = [curve.point(target) for target in TARGETS]
        cells = [
            f"{p.value:.2g}{_between(Estimate(value=p.value, low=p.low, high=p.high), '{:.2g}')}" if p.value is not None else "not told"
            for p in points
        ]  # fmt: skip
        why = " ".join(dict.fromkeys(p.said for p in points if p.said and p.value is None))
        slope = f"{curve.slope:.2g}" if curve.slope is not None else "none"
        rows.append((escape(name), *cells, slope, f"{curve.gamma:.0%}", _percent(curve.lapse), escape(why)))
    heads = ("Detector", "50% found from", "80% found from", "Slope", "Guesses", "Lapses", "Not told because")
    people = f" and of {len(learners)} answers of learners to cases on the same axis" if learners else ""
    caption = (
        f"Share of lesions found against conspicuity{people}: dots with 95% intervals, fitted curves (logistic with lapses, Wichmann &amp; Hill "
        "2001) with bands, and where they cross 50% and 80%."
    )
    text = (
        f'<figure class="wide">{plots.psychometric_plot(curves, learners)}<figcaption>{caption}</figcaption></figure>'
    )
    return section("How faint may a lesion be?", text + table(heads, rows))


def _factors(scores: Scores) -> str:
    text = ""
    for source, words in (
        ("factor", "By the plan&#39;s factors"),
        ("asked", "By what the case was asked to be"),
        ("measured", "By what was measured"),
    ):
        found = []
        for name in _attributes(scores, source):
            rows = [(d.name, s) for d in scores.detectors for s in d.subgroups if s.attribute == name]
            found.append(_drawing(plots.sensitivity_plot(rows), _differs(name, rows)))
        if found:
            text += f"<h3>{words}</h3>{_drawings(found)}"
    if not text:
        return ""
    key = "".join(
        f'<span class="key"><i style="background:{_COLOURS[at % len(_COLOURS)]}"></i>{escape(d.name)}</span>'
        for at, d in enumerate(scores.detectors)
    )
    soft = "<p class='soft'>p: whether the levels differ at all, corrected for all attributes of a detector (Holm).</p>"
    return section("Sensitivity by factor and by subgroup", f"<p>{key}</p>{soft}{text}")


def _attributes(scores: Scores, source: str) -> list[str]:
    return list(dict.fromkeys(s.attribute for d in scores.detectors for s in d.subgroups if s.source == source))


def _differs(name: str, rows: Sequence[tuple[str, Subgroups]]) -> str:
    told, alike = [], []
    for detector, row in rows:
        if row.gap is None or row.p_holm is None:
            continue
        if row.p_holm > 0.05:
            alike.append(row.p_holm)
            continue
        who = f"{escape(detector)}: " if len(rows) > 1 else ""
        told.append(f"{who}{escape(row.worst)} is {_points(row.gap)} below {escape(row.best)} (p {_p(row.p_holm)})")
    if alike:
        others = "the others: " if told else ""
        told.append(f"{others}no difference shown (p {_p(min(alike))}{' or more' if len(alike) > 1 else ''})")
    return f"<b>{escape(name)}</b>. {'; '.join(told) or f'Fewer than two levels with {LEAST} trials'}."


def _points(gap: Estimate) -> str:
    ends = f", {100 * gap.low:.0f} to {100 * gap.high:.0f}" if gap.low is not None and gap.high is not None else ""
    return f"{100 * (gap.value or 0):.0f} points{ends}"


def _slices(scores: Scores) -> str:
    text = ""
    for d in scores.detectors:
        text += f"<h3>{escape(d.name)}</h3>" if len(scores.detectors) > 1 else ""
        if not d.worst:
            text += (
                f"<p>Of {_number(d.slices_looked_at, 'slice')} looked at, none is worse than the rest beyond chance. That is no proof that there "
                "is none.</p>"
            )
            continue
        rows = "".join(
            f"<li>Where <b>{escape(row.words)}</b>, {row.found} of {row.n} lesions were found ({row.sensitivity:.0%}), against "
            f"{row.rest:.0%} of the others (q {_p(row.q)}).</li>"
            for row in d.worst
        )
        text += f"<ol>{rows}</ol>"
    looked_at = ", ".join(f"{d.slices_looked_at}" for d in scores.detectors)
    soft = (
        f'<p class="soft">Found without being asked for: every level and every pair of levels with {LEAST} trials at least ({looked_at} slices). '
        "Fisher&#39;s exact test against all other trials, counts made smaller where trials share a patient (Rao &amp; Scott 1992); q is corrected for "
        "all slices looked at (Benjamini &amp; Hochberg): of those listed, about one in twenty may be chance.</p>"
    )
    return section("Worst slices", text + soft) if scores.detectors else ""


def _open_thresholds(scores: Scores) -> str:
    rocs = [(d.name, d.roc) for d in scores.detectors if d.roc]
    lrocs = [(d.name, d.lroc) for d in scores.detectors if d.lroc]
    frocs = [(d.name, d.froc) for d in scores.detectors if d.froc]
    told = [(d.name, d.calibration) for d in scores.detectors if d.calibration]
    found = []
    if rocs:
        found.append(
            _drawing(plots.roc_plot(rocs), "<b>ROC</b>: cases against their clean twins, by the score of the picture.")
        )
    if lrocs:
        found.append(_drawing(plots.roc_plot(lrocs, True), "<b>LROC</b>: a case counts where the highest mark hits."))
    if frocs:
        caption = "<b>FROC</b>: cases found by any mark against false marks (beside the lesion and on clean twins) a picture. The dot: its own threshold."
        found.append(_drawing(plots.froc_plot(frocs), caption))
    if told:
        caption = "<b>Reliability</b>: on the dashed line a score is a probability. Half of the pictures hold a lesion."
        found.append(_drawing(plots.reliability_plot(told), caption))
    if not found:
        return ""
    rows = [
        (
            escape(d.name),
            _figure(d.roc.area, 2) if d.roc else "",
            _figure(d.lroc.area, 2) if d.lroc else "says no place",
            _figure(d.calibration.ece, 2) if d.calibration else "",
            _figure(d.calibration.brier, 2) if d.calibration else "",
        )
        for d in scores.detectors
    ]
    heads = ("Detector", "ROC area", "LROC area", "Calibration error", "Brier score")
    return section("At every threshold", _drawings(found) + table(heads, rows))


def _comparisons(scores: Scores) -> str:
    if not scores.comparisons:
        return ""
    rows = [
        (
            f"{escape(c.one)} less {escape(c.other)}",
            f"{c.only_one} / {c.only_other}",
            _points_signed(c.difference),
            _p(c.p_found_holm),
            _signed_area(c),
            _p(c.p_auc_holm),
        )
        for c in scores.comparisons
    ]
    heads = ("Detectors", "Found by one alone", "Difference in sensitivity", "p", "Difference in ROC area", "p")
    soft = (
        f'<p class="soft">On the same {_number(scores.comparisons[0].n, "trial")}. Sensitivity: McNemar&#39;s exact test, patient by patient; areas: DeLong, by patient. '
        "All p corrected for the pairs of detectors (Holm).</p>"
    )
    return section("Detectors compared", table(heads, rows) + soft)


def _points_signed(e: Estimate) -> str:
    ends = f" ({100 * e.low:+.0f} to {100 * e.high:+.0f})" if e.low is not None and e.high is not None else ""
    return f"{100 * (e.value or 0):+.0f} points{ends}".replace("-", "\N{MINUS SIGN}")


def _signed_area(c: Comparison) -> str:
    e = c.auc_difference
    ends = f" ({e.low:+.2f} to {e.high:+.2f})" if e.low is not None and e.high is not None else ""
    return f"{e.value or 0:+.2f}{ends}".replace("-", "\N{MINUS SIGN}")


def _faults(scores: Scores) -> str:
    rows = []
    for d in scores.detectors:
        for fault in d.faults:
            said = "<br>".join(f"{times} x <code>{escape(_brief(words))}</code>" for words, times in fault.messages)
            trials = ", ".join(map(str, fault.trials[:12])) + (", ..." if len(fault.trials) > 12 else "")
            rows.append((escape(d.name), fault.kind.value, str(fault.cases), str(fault.twins), trials, said))
    if not rows:
        return section("Faults", "<p>Every picture was answered: no crash, no hang, no nonsense.</p>")
    text = "<p>A case without an answer counts as missed, a twin without one as left clean.</p>"
    heads = ("Detector", "Fault", "Cases", "Twins", "Trials", "What it said")
    return section("Faults", text + table(heads, rows))


def _brief(words: str) -> str:
    return words if len(words) <= 300 else words[:299] + "…"


# ------------------------------------------------------------ the cases that show it


def _failures(run: RunSummary, shown: Sequence[Outcome], pictures: Pictures | None) -> str:
    if not shown:
        return section("Failing cases", "<p>No lesion was missed and no clean twin was marked.</p>")
    cards = "".join(_card(run, outcome, pictures(outcome) if pictures else None) for outcome in shown)
    text = (
        "<p>The clearest lesions that were missed and the surest false alarms, the clearest lesion first; each beside its clean twin, with the same "
        "anatomy and no lesion.</p>"
        f"<p>{_key_of_marks(run.contracts)}</p>"
    )
    return section("Failing cases", f'{text}<div class="cards">{cards}</div>')


def _key_of_marks(contracts: Mapping[str, Contract]) -> str:
    colours = "".join(
        f'<span class="key"><i style="background:{_COLOURS[at % len(_COLOURS)]}"></i>marks of {escape(name)}</span>'
        for at, (name, contract) in enumerate(contracts.items())
        if contract.kind is not Kind.CLASSIFIER
    )
    return f'<span class="key"><i class="outline"></i>outline of the lesion</span>{colours}'


def _card(run: RunSummary, outcome: Outcome, shown: Shown | None) -> str:
    told = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts_of(run.contracts, outcome))
    views = _views(run.contracts, outcome, shown) if shown is not None else '<p class="soft">No picture was kept.</p>'
    return (
        f'<article class="card"><h3>Trial {outcome.trial} <code>{escape(outcome.case)}</code></h3>'
        f"{views}<dl>{told}</dl></article>"
    )


def _answer_words(outcome: Outcome, name: str, contract: Contract) -> str:
    pair = outcome.answers[name]
    return f"case: {_said(pair.case, contract, True)}; twin: {_said(pair.twin, contract, False)}"


def _said(answer: Answer, contract: Contract, lesion: bool) -> str:
    if answer.fault is not None:
        return f'<b class="no">{answer.fault.kind.value}</b>'
    if contract.kind is Kind.CLASSIFIER:
        found = answer.score >= contract.threshold
        words = ("found" if found else "missed") if lesion else ("false alarm" if found else "clean")
        return f'<b class="{"ok" if found == lesion else "no"}">{words}</b> (score {answer.score:.2f})'
    marks = [mark for mark in answer.marks if mark.score >= contract.threshold]
    if lesion:
        found = any(mark.hit for mark in marks)
        best = max((mark.score for mark in answer.marks if mark.hit), default=None)
        why = f"best hit {best:.2f}" if best is not None else "no mark hits"
        beside = sum(not mark.hit for mark in marks)
        more = f", {_number(beside, 'mark')} beside it" if beside else ""
        return f'<b class="{"ok" if found else "no"}">{"found" if found else "missed"}</b> ({why}{more})'
    return f'<b class="no">{_number(len(marks), "false mark")}</b>' if marks else '<b class="ok">clean</b>'


def _views(contracts: Mapping[str, Contract], outcome: Outcome, shown: Shown) -> str:
    image, twin = require_sealed(shown.image), require_sealed(shown.twin)
    outline = plots.outline_svg(shown.mask)
    case, clean = (
        _view(contracts, outcome, picture, image, is_case, outline)
        for picture, is_case in ((image, True), (twin, False))
    )
    return f'<div class="pair">{case}{clean}</div>'


def _view(
    contracts: Mapping[str, Contract],
    outcome: Outcome,
    picture: SealedImage,
    like: SealedImage,
    is_case: bool,
    outline: str,
) -> str:
    high, wide = picture.pixels.shape
    data = base64.b64encode(screen_bytes(picture, like)).decode()
    marks = []
    for number, (name, contract) in enumerate(contracts.items()):
        if name in outcome.answers:
            answer = outcome.answers[name].case if is_case else outcome.answers[name].twin
            for mark in answer.marks:
                if mark.score >= contract.threshold:
                    top, left, bottom, right = mark.box
                    words = escape(f"{name}: {mark.score:.2f}{', hits' if mark.hit else ''}")
                    marks.append(
                        f'<rect x="{left:.1f}" y="{top:.1f}" width="{max(right - left, 1):.1f}" height="{max(bottom - top, 1):.1f}" '
                        f'stroke="{_COLOURS[number % len(_COLOURS)]}"><title>{words}</title></rect>'
                    )
    words = "case" if is_case else "clean twin"
    drawn = f'<g class="outline">{outline}</g>' if is_case else ""
    # The sealed picture itself is untouched; outline and marks lie above it.
    return (
        f'<figure><svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" role="img" aria-label="Trial {outcome.trial}, {words}">'
        f'<image href="data:image/png;base64,{data}" width="{wide}" height="{high}"/>{drawn}<g class="marks">{"".join(marks)}</g></svg>'
        f"<figcaption>{words}</figcaption></figure>"
    )


# ------------------------------------------------------------ what to keep in mind


def _limits() -> str:
    return section("What this does not say", f"<ul>{''.join(f'<li>{escape(words)}</li>' for words in LIMITS)}</ul>")


def _again(run: RunSummary) -> str:
    command = f"<p>Run it again:</p><pre>{escape(run.command)}</pre>" if run.command else ""
    plan = f"<p>The plan:</p><pre>{escape(run.plan)}</pre>" if run.plan else ""
    return section("The same again", command + plan) if command or plan else ""


# ------------------------------------------------------------ words and tables


def section(title: str, text: str) -> str:
    """A section of a page; `title` and `text` are HTML."""
    return f"<section><h2>{title}</h2>{text}</section>"


def _drawing(drawing: str, caption: str) -> str:
    return f"<figure>{drawing}<figcaption>{caption}</figcaption></figure>"


def _drawings(found: Iterable[str]) -> str:
    return f'<div class="drawings">{"".join(found)}</div>'


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of cells that are HTML already; a cell may bring its own tag. It stacks on a phone."""
    head = f"<thead><tr>{''.join(f'<th>{words}</th>' for words in heads)}</tr></thead>" if heads else ""
    names = [*heads, *[""] * 9]  # shown beside each cell where the table is too wide for a phone
    body = "".join(
        "<tr>"
        + "".join(
            cell if cell.startswith("<th") else f'<td data-name="{name}">{f"<span>{cell}</span>" if cell else ""}</td>'
            for name, cell in zip(names, row, strict=False)
        )
        + "</tr>"
        for row in rows
    )
    return f'<div class="table"><table>{head}<tbody>{body}</tbody></table></div>'


def _figure(estimate: Estimate, digits: int = 0) -> str:
    """A share in percent (digits 0), or a number, with its interval."""
    if estimate.value is None:
        return "none"
    form = "{:.0%}" if digits == 0 else f"{{:.{digits}f}}"
    return f"<b>{form.format(estimate.value)}</b>{_between(estimate, form)}"


def _share(estimate: Estimate) -> str:
    if estimate.value is None:
        return "none"
    ends = f", {estimate.low:.0%} to {estimate.high:.0%}" if estimate.interval else ""
    return f"{estimate.value:.0%}{ends}"


def _plain(estimate: Estimate) -> str:
    return "none" if estimate.value is None else f"{estimate.value:.0%}{_between(estimate, '{:.0%}')}"


def _between(estimate: Estimate, form: str) -> str:
    if estimate.low is None and estimate.high is None:
        return ""
    low = "less than measured" if estimate.low is None else form.format(estimate.low)
    high = "more than measured" if estimate.high is None else form.format(estimate.high)
    return f" ({low} to {high})"


def _percent(share: float | None) -> str:
    return "none" if share is None else f"{share:.0%}"


def _p(p: float | None) -> str:
    return "none" if p is None else "below 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def _number(n: int, word: str) -> str:
    return f"{n} {word}{'' if n == 1 else 's'}"


_STYLE = """
:root { color-scheme: light dark; --ground: #f1f5f9; --card: #fff; --ink: #1e293b; --soft: #56657a; --line: #cbd5e1; --ok: #15703f; --no: #b3261e; --warn: #fff4d6; --warn-ink: #6b4e00; }
@media (prefers-color-scheme: dark) { :root { --ground: #0b1220; --card: #131d31; --ink: #e2e8f0; --soft: #a3b1c6; --line: #334155; --ok: #62d196; --no: #ff8a80; --warn: #3a2f10; --warn-ink: #ffe1a0; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 1160px; margin: 0 auto; padding: 20px 16px 48px; }
h1 { font-size: 1.7rem; margin: 0; overflow-wrap: anywhere; } h2 { font-size: 1.2rem; margin: 0 0 .5rem; } h3 { font-size: 1rem; margin: 1rem 0 .4rem; overflow-wrap: anywhere; }
p { margin: .4rem 0; overflow-wrap: anywhere; } li { overflow-wrap: anywhere; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 16px; margin-top: 16px; }
section.good { border-left: 6px solid var(--ok); } section.bad { border-left: 6px solid var(--no); }
.soft, figcaption { color: var(--soft); font-size: .9rem; }
.notice, .note { background: var(--warn); color: var(--warn-ink); border-radius: 6px; padding: 6px 10px; }
.ok { color: var(--ok); } .no { color: var(--no); }
.table { overflow-x: auto; } td > span { min-width: 0; overflow-wrap: anywhere; } table { border-collapse: collapse; width: 100%; font-size: .92rem; margin: .5rem 0; }
th, td { text-align: left; vertical-align: top; padding: 5px 12px 5px 0; border-bottom: 1px solid var(--line); } th { font-weight: 600; } tbody th { white-space: nowrap; }
code, pre { font-family: ui-monospace, monospace; font-size: .85em; overflow-wrap: anywhere; } pre { white-space: pre-wrap; background: var(--ground); padding: 10px; border-radius: 6px; margin: .4rem 0; }
.drawings { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(320px, 100%), 1fr)); gap: 16px; }
figure { margin: 0; min-width: 0; } figure.wide { max-width: 640px; } svg { display: block; width: 100%; height: auto; }
.key { display: inline-block; margin-right: 16px; font-size: .9rem; overflow-wrap: anywhere; } .key i { display: inline-block; width: 12px; height: 12px; border-radius: 3px; margin-right: 6px; } .key i.outline { background: none; border: 2px solid #ffd23f; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(460px, 100%), 1fr)); gap: 16px; }
.card { border: 1px solid var(--line); border-radius: 8px; padding: 12px; } .card h3 { margin-top: 0; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 6px; }
.pair .outline path { stroke: #ffd23f; stroke-width: 1; vector-effect: non-scaling-stroke; } .pair .marks rect { fill: none; stroke-width: 2; vector-effect: non-scaling-stroke; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 10px; margin: .6rem 0 0; font-size: .92rem; } dt { color: var(--soft); max-width: 11em; overflow-wrap: anywhere; } dd { margin: 0; overflow-wrap: anywhere; }
@media screen and (min-width: 641px) { td:first-child { min-width: 7em; } }
@media screen and (max-width: 640px) { main { padding: 14px 10px 32px; } section { padding: 12px; } thead { display: none; } tr { display: block; border-bottom: 1px solid var(--line); padding: 6px 0; } tbody th { display: block; border: 0; padding: 2px 0; } td { display: block; border: 0; padding: 2px 0; } td[data-name]:not([data-name=""]) { display: grid; grid-template-columns: 8.5em 1fr; gap: 8px; } td[data-name]:not([data-name=""])::before { content: attr(data-name); color: var(--soft); } td:empty { display: none !important; } dl { grid-template-columns: 1fr; gap: 0; } dt { max-width: none; } dd { margin-bottom: .3rem; } }
@media print { :root { color-scheme: light; --ground: #fff; --card: #fff; --ink: #000; --soft: #444; --line: #bbb; --ok: #15703f; --no: #b3261e; --warn: #fff; --warn-ink: #000; } section { border: 0; border-top: 1px solid #bbb; border-radius: 0; padding: 10px 0; } body { font-size: 12px; } .cards { grid-template-columns: 1fr 1fr; } figure, .card, tr { break-inside: avoid; } h2, h3 { break-after: avoid; } * { print-color-adjust: exact; } }
"""
