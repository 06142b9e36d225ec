"""The Progression tab: one patient over time. A sentence, dates and a law of growth become visits, measured against that law."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from pydantic import ValidationError

from meddiff.case import MedDiffError, Request, Status
from meddiff.conditions.prompt import read_clinical, read_sentence, write_sentence
from meddiff.conditions.response import CAVEAT, Assessment, Category
from meddiff.conditions.vocabulary import Pathology, load_pathologies
from meddiff.web import viewer
from meddiff.web.charts import growth_curve
from meddiff.web.course import (
    DAYS,
    EXAMPLE,
    FIRST_DATE,
    KNOBS,
    disease_of,
    forecast,
    knobs_of,
    law_choices,
    law_words,
    reach,
    read_date,
    read_days,
    shown_timeline,
    source_of,
)
from meddiff.web.create import PRECISIONS, sentence_of, understood
from meddiff.web.language import say, visitor, warn
from meddiff.web.models import DEFAULT, Models
from meddiff.web.style import alert, note

if TYPE_CHECKING:
    from meddiff.marking.seal import SealedCase, SealedImage
    from meddiff.synthesis.series import Series, SeriesReport, VisitReport

SEED = 1  # of the series that the form offers first
EMPTY = "<b>The visits appear here.</b><br>Describe a lesion, choose how it changes, and press <b>Make the series</b>."
TWIN, FIRST, BEFORE = "Its twin, without the lesion", "The first visit", "The visit before"
CATEGORIES = {
    Category.BASELINE: "Baseline",
    Category.CR: "Complete response",
    Category.PR: "Partial response",
    Category.SD: "Stable disease",
    Category.PD: "Progressive disease",
    Category.NE: "Not evaluable",
}
CHECKS = {  # the checks' names in a sentence
    "areas asked and measured, r": "the measured areas do not follow the law closely enough",
    "visits that go against the law": "between some visits the lesion changes the wrong way",
    "visits whose area misses": "the area of a lesion is not what the law asks",
    "likeness where nothing changes, SSIM": "what should stay the same differs between visits",
    "the same patient": "a visit looks more like another patient",
    "pace of change": "it changes faster than this disease does",
}


@dataclass
class Desk:
    """What one visitor has before them: the series made last. Lives in memory only."""

    series: Series | None = None
    chosen: int = 0
    stop: bool = False  # asked for while a series is made

    @property
    def case(self) -> SealedCase | None:
        """The visit shown."""
        return self.series.visits[self.chosen] if self.series else None


# ---------------------------------------------------------------- what was made


def heading(report: SeriesReport) -> str:
    """The series' name, its verdict, and in words what was missed."""
    accepted = report.status is Status.ACCEPTED
    missed = [f"{CHECKS.get(row.name, row.name)} ({row.measured})" for row in report.checks if row.ok is False]
    reason = f'<span class="md-reason">Not as asked: {html.escape("; ".join(missed))}.</span>' if missed else ""
    count, spans = len(report.visits), f"{report.visits[0].date} to {report.visits[-1].date}"
    return (
        f'<div class="md-head"><b>{html.escape(report.series)}</b>'
        f'<span class="md-badge {report.status.value}">{"follows the law" if accepted else "misses the law"}</span>'
        f"<span>{count} {'visit' if count == 1 else 'visits'} of one patient, {spans}</span>{reason}"
        f'<span class="asked">{html.escape(report.plan.request.sentence)}</span></div>'
    )


def caption(visit: VisitReport) -> str:
    """A few words under a small picture."""
    size = f"{visit.longest_mm:.0f} × {visit.perpendicular_mm:.0f} mm" if visit.longest_mm else "nothing seen"
    return f"Day {visit.day}\n{visit.date}\n{size} · {visit.rano.category.value}"


def curve_of(series: Series) -> str:
    """The law's line with what was asked and measured at each visit, as HTML."""
    from meddiff.synthesis.series import curve

    report, (high, wide) = series.report, series.visits[0].image.spacing_mm
    outline = report.plan.request.mask  # the studio drew it: that of day 0
    assert outline is not None
    start_mm2 = float(outline.to_array().sum()) * high * wide
    line = list(zip(*curve(report.plan, start_mm2, 200), strict=True))
    drawn = growth_curve(
        line,
        asked=[(visit.day, visit.asked_mm2) for visit in report.visits],
        measured=[(visit.day, visit.measured_mm2) for visit in report.visits],
    )
    key = (
        '<span class="md-line"></span> the law, <span class="md-ring"></span> asked at a visit, '
        '<span class="md-dot"></span> measured in its picture'
    )
    return f'{drawn}<p class="md-hint">{key}</p>'


def visits_table(report: SeriesReport) -> str:
    """Visits asked and measured, with both response categories and why, as HTML."""
    columns = ("Visit", "Asked", "Measured", "Across", "RANO", "RECIST")
    head = "".join(f"<th>{name}</th>" for name in columns)
    return (
        f'<div class="md-scroll"><table class="md-table md-visits"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(map(_visit_rows, report.visits))}</tbody></table></div>"
        f'<p class="md-hint">Areas asked and measured in mm², the two diameters across in mm. Categories of RANO and RECIST 1.1 are {html.escape(CAVEAT)}.</p>'
    )


def _visit_rows(visit: VisitReport) -> str:
    """Figures in one row, the categories' sentences in the next."""
    why = " ".join(
        f"{assessment.sentence.removesuffix(f'; {CAVEAT}.').rstrip('.')}." for assessment in _assessed(visit)
    )
    missed = f" This visit misses what was asked: {visit.reason.replace('mm2', 'mm²')}." if visit.reason else ""
    return (
        f'<tr class="visit"><td>Day {visit.day}<br><small>{visit.date}</small></td><td>{visit.asked_mm2:.0f}</td>'
        f'<td class="{"missed" if visit.reason else ""}">{visit.measured_mm2:.0f}</td>'
        f"<td>{visit.longest_mm:.0f} × {visit.perpendicular_mm:.0f}</td>"
        f"{''.join(f'<td>{_short(assessment)}</td>' for assessment in _assessed(visit))}</tr>"
        f'<tr><td class="why" colspan="6">{html.escape(why + missed)}</td></tr>'
    )


def _assessed(visit: VisitReport) -> tuple[Assessment, Assessment]:
    return visit.rano, visit.recist


def _short(found: Assessment) -> str:
    first = found.category is Category.BASELINE
    return f'<b title="{CATEGORIES[found.category]}">{"–" if first else found.category.value}</b>'


def difference(before: SealedImage | None, after: SealedImage | None, words: str, files: Path) -> str:
    """Two sealed pictures laid over each other by the browser, so that what changed glows on the later one; no new picture is made."""
    if before is None or after is None:
        return '<p class="md-hint">This is the first visit: choose a later one to see what changed since the visit before.</p>'
    old, new = (
        "data:image/png;base64," + base64.b64encode(viewer.shown_file(image, files).read_bytes()).decode()
        for image in (before, after)
    )
    hidden = "".join(_stamp_of(image) for image in (before, after))  # case ids differ: that is no change
    return (
        f'<figure class="md-difference" role="img" aria-label="{html.escape(words)}"><img class="ground" alt="" src="{new}">'
        f'<span class="glow"><img alt="" src="{old}"><img class="over" alt="" src="{new}">{hidden}<i></i></span></figure>'
        f'<p class="md-hint">{html.escape(words)}</p>'
    )


def _stamp_of(image: SealedImage) -> str:
    """A black box where a picture's stamp lies, in percent of the picture."""
    (high, wide), box = image.pixels.shape, image.box
    place = {"left": box.column / wide, "top": box.row / high, "width": box.width / wide, "height": box.height / high}
    return f'<b style="{"; ".join(f"{side}: {100 * share:.2f}%" for side, share in place.items())}"></b>'


def series_file(series: Series, folder: Path) -> Path:
    """The whole series as one ZIP: every format of each visit and of the series, its report, and questions that it answers."""
    from meddiff.exchange.series import SERIES_FORMATS, write_series
    from meddiff.exchange.zip import zipped
    from meddiff.teaching.series_items import series_items, write_items

    report = series.report

    def write(stage: Path) -> None:
        write_series(series.visits, report, stage, SERIES_FORMATS)
        write_items(series_items(report, report.plan.request.seed), stage)

    return zipped(folder / report.series / f"{report.series}.zip", report.series, write)


def animation(series: Series, files: Path) -> str | None:
    """The visits one after the other as a sealed GIF; None of a single one."""
    from meddiff.exchange.gif import write_gif

    if len(series.visits) < 2:
        return None
    path = files / series.report.series / f"{series.visits[0].image.provenance.sealed_sha256[:12]}.gif"
    return str(path if path.exists() else write_gif([visit.image for visit in series.visits], path))


# ---------------------------------------------------------------- the tab


@dataclass(frozen=True)
class Form:
    """The fields of a plan, its sliders by parameter, and what the form tells of itself."""

    fields: dict[str, Any] = field(default_factory=dict)
    knobs: dict[str, gr.Slider] = field(default_factory=dict)
    parts: dict[str, Any] = field(default_factory=dict)


def build(models: Models, files: Path) -> dict[str, Any]:
    """Places the tab and wires it; pictures and downloads are written into `files`. Returns the fields by name."""
    desk = gr.State(Desk())
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=320):
            form = _form()
            with gr.Column(elem_classes="md-go"):
                notice = gr.HTML(elem_id="md-series-notice")
                bar = gr.HTML(elem_classes="md-wait")
                with gr.Row():
                    stop = gr.Button("Stop", interactive=False, min_width=80, scale=1, elem_id="md-series-stop")
                    make = gr.Button(
                        "Make the series", variant="primary", min_width=140, scale=3, elem_id="md-series-make"
                    )
        with gr.Column(scale=7, min_width=320):
            result = _Result(files)

    def run(values: dict[Any, Any], progress: gr.Progress = gr.Progress()) -> Iterator[dict[Any, Any]]:  # noqa: B008
        desk_now: Desk = values[desk]
        yield {notice: ""}  # a generator, so that an old complaint goes at once
        try:
            made = _make(models, form, values, desk_now, progress)
        except (MedDiffError, ValidationError) as error:
            words = sentence_of(error)
            if not desk_now.stop:
                warn(words, "Please check")
            yield {notice: note(words) if desk_now.stop else alert(words)}
            return
        desk_now.series, desk_now.chosen = made, len(made.visits) - 1
        yield {desk: desk_now, **result.series(desk_now), **result.visit(desk_now, TWIN, values[result.view.which])}

    def ask_to_stop(desk_now: Desk) -> dict[Any, Any]:
        desk_now.stop = True
        return {stop: gr.update(value="Stopping…", interactive=False)}

    def begin(desk_now: Desk) -> dict[Any, Any]:
        desk_now.stop = False
        return {stop: gr.update(interactive=True)}

    private: dict[str, Any] = {"api_visibility": "private"}
    quiet: dict[str, Any] = {"show_progress": "hidden", **private}
    going = gr.on([make.click, form.fields["sentence"].submit], begin, desk, [stop], **quiet)
    running = going.then(
        run,
        {desk, result.view.which, *form.fields.values(), *form.knobs.values()},
        [desk, notice, *result.outputs],
        show_progress="full",
        show_progress_on=bar,
        concurrency_limit=1,
        concurrency_id="model",
        **private,
    )
    running.then(lambda: gr.update(value="Stop", interactive=False), None, stop, **quiet)
    running.then(None, js=viewer.scroll_on_phones("md-series", "md-series-notice"))
    stop.click(ask_to_stop, desk, [stop], **quiet)
    result.wire(desk)
    _wire_form(form)
    return form.fields


def _make(models: Models, form: Form, values: dict[Any, Any], desk_now: Desk, progress: gr.Progress) -> Series:
    """The series that the form asks for.

    Raises:
        MedDiffError: what the form or the law gets wrong, or when Stop was pressed.
        ValidationError: for options out of range.
    """
    asked = {name: values[component] for name, component in form.fields.items()}
    days, first = read_days(asked["days"]), read_date(asked["first_date"])
    law = law_words(asked["law"], {name: values[knob] for name, knob in form.knobs.items()})
    disease_of(asked["sentence"])
    progress(0, desc=say("Loading the model…"))
    studio = models.studio(asked["pack"], asked["precision"])
    from meddiff.synthesis.series import make_series, plan_of

    request = Request(
        pack=asked["pack"],
        sentence=asked["sentence"].strip(),
        findings=read_sentence(asked["sentence"]),
        clinical=read_clinical(asked["sentence"]),
        seed=int(asked["seed"] or 0),
        steps=studio.load().info.steps,
        guidance=studio.load().info.guidance,
        precision=asked["precision"],
    )
    options = {name: asked[name] for name in ("mass_effect", "satellites", "acquisition")}
    plan = plan_of(request, days, law, necrosis=asked["necrosis"] / 100, first_date=first.isoformat(), **options)

    def tell(share: float, word: str) -> None:
        if desk_now.stop:
            raise MedDiffError("Stopped: nothing was made.")
        progress(share, desc=say(f"Making the series: {word}"))

    return make_series(plan, studio, tell)


class _Result:
    """The components that show a series."""

    def __init__(self, files: Path) -> None:
        self.files = files
        with gr.Column(elem_classes="md-viewer", elem_id="md-series", visible=False) as self.shelf:
            self.head = gr.HTML()
            self.film = gr.Gallery(
                format="png", columns=4, height="auto", object_fit="contain", allow_preview=False, interactive=False,
                show_label=False, container=False, buttons=[], elem_id="md-film",
            )  # fmt: skip
        with gr.Tabs(elem_id="md-series-tabs"):
            with gr.Tab("One visit"):
                with gr.Column(elem_classes="md-card", visible=False) as self.beside:
                    self.other = gr.Radio(
                        [TWIN, FIRST, BEFORE], value=TWIN, label="Compare this visit with", elem_id="md-series-beside"
                    )
                self.labels = gr.HTML(elem_classes="md-nothing")
                self.view = viewer.build("md-progression-view", EMPTY)
            with gr.Tab("Changes", visible=False) as self.changes:
                with gr.Row():
                    with gr.Column(elem_classes="md-card", min_width=300):
                        gr.HTML("<h2>Since the visit before</h2>")
                        self.glow = gr.HTML(elem_id="md-difference")
                    with gr.Column(elem_classes="md-card", min_width=300):
                        gr.HTML("<h2>All visits in turn</h2>")
                        self.moving = gr.Image(
                            format="gif", type="filepath", interactive=False, show_label=False, container=False, buttons=[],
                            elem_id="md-animation", elem_classes="md-dark",
                        )  # fmt: skip
                        self.still = gr.HTML()
            with gr.Tab("Growth", visible=False) as self.growth:
                with gr.Column(elem_classes="md-card"):
                    gr.HTML("<h2>Growth, asked and measured</h2>")
                    self.curve = gr.HTML(elem_id="md-series-curve")
                with gr.Column(elem_classes="md-card"):
                    gr.HTML("<h2>Visits</h2>")
                    self.visits = gr.HTML(elem_id="md-series-visits")
                with gr.Column(elem_classes="md-card"):
                    gr.HTML("<h2>Checks of the series</h2>")
                    self.checks = gr.HTML(elem_id="md-series-checks")
        with gr.Column(elem_classes="md-card", visible=False) as self.leave:
            gr.HTML("<h2>Keep the series, or take it with you</h2>")
            with gr.Row():
                self.keep = gr.Button(
                    "Keep all visits in the bank", variant="primary", min_width=160, elem_id="md-series-keep"
                )
                self.whole = gr.Button("Download the series (.zip)", min_width=160, elem_id="md-series-zip")
            gr.HTML(
                '<p class="md-hint">The zip holds a folder for each visit with every format, the animation as GIF and MP4, the measurements as a table, '
                "the report, and questions for a quiz. Making it takes some seconds a visit.</p>"
            )
            self.archive = gr.DownloadButton(visible=False)
            self.told = gr.HTML(elem_id="md-series-told", elem_classes="md-wait")

    @property
    def outputs(self) -> list[Any]:
        """All that a new series changes."""
        own = [
            self.shelf,
            self.head,
            self.film,
            self.beside,
            self.other,
            self.changes,
            self.growth,
            self.leave,
            self.keep,
        ]
        return [*own, self.moving, self.still, self.curve, self.visits, self.checks, self.told, *self.of_a_visit]

    @property
    def of_a_visit(self) -> list[Any]:
        """All that choosing another visit changes."""
        return [*self.view.outputs, self.labels, self.glow]

    def series(self, desk: Desk) -> dict[Any, Any]:
        """Updates that show a new series as a whole."""
        assert desk.series is not None
        report, visits = desk.series.report, desk.series.visits
        film = [
            (str(viewer.shown_file(visit.image, self.files)), caption(told))
            for visit, told in zip(visits, report.visits, strict=True)
        ]
        moving = animation(desk.series, self.files)
        still = "" if moving else "One visit makes no animation."
        return {
            self.shelf: gr.update(visible=True),
            self.head: heading(report),
            self.film: gr.update(value=film, selected_index=desk.chosen),
            **{part: gr.update(visible=True) for part in (self.beside, self.changes, self.growth, self.leave)},
            self.other: TWIN,
            self.keep: gr.update(value="Keep all visits in the bank", interactive=True),
            self.moving: gr.update(value=moving, visible=moving is not None),
            self.still: f'<p class="md-hint">{still}</p>' if still else "",
            self.curve: curve_of(desk.series),
            self.visits: visits_table(report),
            self.checks: viewer.table(report.checks),
            self.told: "",
        }

    def visit(self, desk: Desk, beside: str, which: str) -> dict[Any, Any]:
        """Updates that show the chosen visit, with its twin or another visit at its left."""
        case = desk.case
        updates = dict(zip(self.view.outputs, self.view.shown(case, which, self.files), strict=True))
        if desk.series is None or case is None:
            return {**updates, self.labels: "", self.glow: ""}
        told, before = desk.series.report.visits, max(desk.chosen - 1, 0)
        labels, picture = "", updates[self.view.picture]
        if beside != TWIN:
            other = 0 if beside == FIRST else before
            left = desk.series.visits[other].image
            picture = tuple(str(viewer.shown_file(image, self.files)) for image in (left, case.image))
            labels = _labels(f"Synthetic, day {told[other].day}", f"Synthetic, day {told[desk.chosen].day}")
        # Most of what is seen first is the chosen visit, wherever its lesion lies.
        updates[self.view.picture] = gr.update(value=picture, slider_position=80 if beside == TWIN else 20)
        earlier = desk.series.visits[before].image if desk.chosen else None
        words = (
            f"Day {told[desk.chosen].day}, synthetic. What differs from day {told[before].day} glows: brighter or darker, the more "
            "the stronger."
        )
        return {**updates, self.labels: labels, self.glow: difference(earlier, case.image, words, self.files)}

    def wire(self, desk: gr.State) -> None:
        """Lets people choose, keep and download."""
        private: dict[str, Any] = {"api_visibility": "private"}
        quiet: dict[str, Any] = {"show_progress": "hidden", **private}

        def choose(desk_now: Desk, beside: str, which: str, event: gr.SelectData) -> dict[Any, Any]:
            desk_now.chosen = int(event.index)
            return {desk: desk_now, **self.visit(desk_now, beside, which)}

        def keep(desk_now: Desk) -> dict[Any, Any]:
            if desk_now.series is None:
                return {self.told: ""}
            try:
                from meddiff.bank import Bank

                Bank().keep_series(desk_now.series.visits, desk_now.series.report)
            except MedDiffError as error:
                return {self.told: alert(str(error))}
            count = len(desk_now.series.visits)
            words = f"{count} {'visit is' if count == 1 else 'visits are'} in the case bank: search it for {desk_now.series.report.series}."
            return {
                desk: desk_now, self.keep: gr.update(value="Kept in the bank", interactive=False), self.told: note(words),
            }  # fmt: skip

        def give(desk_now: Desk) -> dict[Any, Any]:
            if desk_now.series is None:
                return {self.archive: None, self.told: ""}
            try:
                return {self.archive: str(series_file(desk_now.series, self.files)), self.told: ""}
            except MedDiffError as error:
                return {self.archive: None, self.told: alert(str(error))}

        self.film.select(choose, [desk, self.other, self.view.which], [desk, *self.of_a_visit], **quiet)
        self.other.input(self.visit, [desk, self.other, self.view.which], self.of_a_visit, **quiet)
        self.keep.click(keep, desk, [desk, self.keep, self.told], **quiet)
        self.whole.click(
            give, desk, [self.archive, self.told], show_progress="full", show_progress_on=self.told, **private
        ).then(None, self.archive, js=viewer.SAVE_JS)
        self.view.wire(desk, lambda desk_now: desk_now.case, self.files)


def _labels(left: str, right: str) -> str:
    """Other words above the two halves of the picture."""
    stage, left, right = "#md-progression-view .md-stage", say(left), say(right)
    return f'<style>{stage}::before {{ content: "{left}"; }} {stage}::after {{ content: "{right}"; }}</style>'


def in_language() -> Any:
    """An update of the sentence for a visitor whose page is not English."""
    return gr.skip() if visitor() == "en" else write_sentence(read_sentence(EXAMPLE), visitor())


def _form() -> Form:
    form = Form()
    fields, parts = form.fields, form.parts
    disease = disease_of(EXAMPLE)
    law = disease.growth.default.law
    at_first = knobs_of(law, disease)
    with gr.Column(elem_classes="md-card"):
        gr.HTML("<h2>1. What does the first visit show?</h2>")
        fields["sentence"] = gr.Textbox(
            EXAMPLE,
            label="Describe one lesion and name its disease",
            lines=2,
            max_lines=4,
            placeholder=f"For example: {EXAMPLE}",
            elem_id="md-series-sentence",
        )
        parts["understood"] = gr.HTML(understood(EXAMPLE), elem_id="md-series-understood")
    with gr.Column(elem_classes="md-card"):
        gr.HTML("<h2>2. When is the patient scanned?</h2>")
        fields["days"] = gr.Textbox(DAYS, label="Visits, in days since day 0", max_lines=1, elem_id="md-series-days")
        parts["timeline"] = gr.HTML(shown_timeline(DAYS, FIRST_DATE), elem_id="md-series-timeline")
    with gr.Column(elem_classes="md-card"):
        gr.HTML("<h2>3. How does the lesion change?</h2>")
        fields["law"] = gr.Dropdown(law_choices(disease), value=law, label="Course", elem_id="md-series-law")
        parts["source"] = gr.HTML(source_of(law, disease), elem_id="md-series-source")
        for name, knob in KNOBS.items():
            form.knobs[name] = gr.Slider(
                knob.low, reach(name, at_first.get(name, knob.value)), at_first.get(name, knob.value), step=knob.step, label=knob.label,
                visible=name in at_first, elem_id=f"md-knob-{name.replace('_', '-')}",
            )  # fmt: skip
        parts["forecast"] = gr.HTML(forecast(EXAMPLE, DAYS, law, at_first), elem_id="md-series-forecast")
    with gr.Column(elem_classes="md-card"), gr.Accordion("Options", open=False, elem_id="md-series-options"):
        fields["mass_effect"] = gr.Slider(
            0, 1, 0.3, step=0.05, label="Mass effect (0: it replaces the brain, 1: it pushes all of it aside)"
        )
        fields["necrosis"] = gr.Slider(0, 80, 0, step=5, label="Necrotic core when large (% of the lesion)")
        fields["satellites"] = gr.Slider(0, 5, 0, step=1, label="Further foci that appear as it grows")
        fields["acquisition"] = gr.Slider(
            0,
            1,
            0,
            step=0.05,
            label="Differences between scans: brightness, slight turns, noise (0: none, 1: as in practice)",
        )
        with gr.Row():
            fields["seed"] = gr.Number(
                SEED, label="Seed (another patient)", precision=0, min_width=110, elem_id="md-series-seed"
            )
            fields["first_date"] = gr.Textbox(
                FIRST_DATE, label="Date of day 0", max_lines=1, min_width=130, elem_id="md-series-date"
            )
        with gr.Row():
            fields["precision"] = gr.Radio(PRECISIONS, value=DEFAULT[1], label="Arithmetic")
            fields["pack"] = gr.Dropdown([DEFAULT[0]], value=DEFAULT[0], label="Model pack", min_width=140)
    return form


def _wire_form(form: Form) -> None:
    """Keeps choices, sliders, source, timeline and curve in step with what is typed and moved."""
    fields, knobs, parts = form.fields, form.knobs, form.parts
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    known = gr.State(disease_of(EXAMPLE).key)

    def look(values: dict[Any, Any]) -> dict[Any, Any]:
        sliders = {name: values[knob] for name, knob in knobs.items()}
        told = forecast(values[fields["sentence"]], values[fields["days"]], values[fields["law"]], sliders)
        return {parts["forecast"]: told}

    def read(sentence: str, law: str, before: str) -> dict[Any, Any]:
        said = {parts["understood"]: understood(sentence)}
        try:
            disease = disease_of(sentence)
        except MedDiffError:
            return said  # the curve says it
        if disease.key == before:
            return said
        law = law if any(entry.law.law == law for entry in disease.growth.laws) else disease.growth.default.law
        chosen = {fields["law"]: gr.update(choices=law_choices(disease), value=law), known: disease.key}
        return {**said, **chosen, **sliders(law, disease)}

    def sliders(law: str, disease: Pathology) -> dict[Any, Any]:
        at_first = knobs_of(law, disease)
        moved = {
            knob: gr.update(visible=True, value=at_first[name], maximum=reach(name, at_first[name]))
            if name in at_first
            else gr.update(visible=False)
            for name, knob in knobs.items()
        }
        return {parts["source"]: source_of(law, disease), **moved}

    looked: dict[str, Any] = {
        "fn": look,
        "inputs": {fields["sentence"], fields["days"], fields["law"], *knobs.values()},
        "outputs": [parts["forecast"]],
        **quiet,
    }
    moved = [parts["source"], *knobs.values()]
    fields["sentence"].blur(
        read, [fields["sentence"], fields["law"], known], [parts["understood"], fields["law"], known, *moved], **quiet
    ).then(**looked)
    fields["law"].input(
        lambda law, key: sliders(law, load_pathologies()[key]), [fields["law"], known], moved, **quiet
    ).then(**looked)
    # Each step of a slider and each letter is answered, in its order: the last answer is that to what stands there.
    each: dict[str, Any] = {"trigger_mode": "multiple", "concurrency_limit": 1}
    when = [fields["days"], fields["first_date"]]
    gr.on([part.change for part in when], shown_timeline, when, parts["timeline"], **each, **quiet)
    gr.on([fields["days"].change, *(knob.input for knob in knobs.values())], **each, **looked)
