"""The Stress tab: load a detector, choose what varies, watch the curve grow, open any missed case beside its twin, take the report away.

A run belongs to the server, not to the page: it goes on when the page is closed, and whoever opens the tab sees it. Its cases are made
by processes of its own; this process computes figures alone.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from pydantic import ValidationError

from meddiff.case import MedDiffError
from meddiff.settings import settings
from meddiff.web import first_use, stress_form, stress_view, viewer
from meddiff.web.create import sentence_of
from meddiff.web.language import say, warn
from meddiff.web.models import DEFAULT, Models
from meddiff.web.style import alert, note

if TYPE_CHECKING:  # runs and figures are loaded when the tab is opened
    from meddiff.marking.seal import SealedCase
    from meddiff.stress.again import Again
    from meddiff.stress.desk import Desk
    from meddiff.stress.records import DetectorSpec

VIEW = "md-stress-view"
CSS = stress_view.CSS
NOTHING_YET = '<p class="md-hint">Choose a detector and a plan, and press Start; or open an earlier run.</p>'
REPORT, FIGURES, VERDICT, PACK, SCORED = "report.html", "report.json", "junit.xml", "missed", "counted"
FILES = [
    ("Report with the failing cases (HTML)", REPORT), ("Figures for machines (JSON)", FIGURES),
    ("Pass or fail for a build server (JUnit XML)", VERDICT), ("Pack of the missed cases (.zip)", PACK),
    ("Pack of all cases that count (.zip)", SCORED),
]  # fmt: skip
ABOUT_FILES = (
    "Cases are made again for the report and for packs: some seconds each. A pack holds every picture as PNG, DICOM and NIfTI with what was "
    "asked and measured, and <b>meddiff stress rebuild</b> proves it byte for byte."
)
ABOUT_CASE = (
    "Choose a row: the case is shown as the detector saw it, beside its clean twin. It is made again the first time: some seconds, and for "
    "the first case of all up to a minute, while the model is loaded."
)


class Server:
    """What all visitors of this server share: the runs, their figures, and the process that makes cases again."""

    def __init__(self) -> None:
        self.growing = stress_view.Growing()
        self._lock = threading.Lock()
        self._desk: Desk | None = None
        self._again: Again | None = None

    @property
    def desk(self) -> Desk:
        with self._lock:
            if self._desk is None:
                from meddiff.stress.desk import Desk

                self._desk = Desk(settings().casebank.resolve() / "stress")
            return self._desk

    @property
    def again(self) -> Again:
        with self._lock:
            if self._again is None:
                from meddiff.stress.again import Again

                self._again = Again()
            return self._again

    def close(self) -> None:
        """Stops the run at work, which can go on later, and ends the processes."""
        if self._desk is not None:
            self._desk.close()
        if self._again is not None:
            self._again.close()


_SERVER = Server()


def close() -> None:
    """Ends what the tab started on this server: before the app stops."""
    _SERVER.close()


def build(models: Models, files: Path) -> tuple[Any, list[Any], list[Any]]:
    """Places the tab and wires it; returns the handler, inputs and outputs that fill it.

    Args:
        files: folder for pictures, uploads and downloads of this app.
    """
    shown_run = gr.State("")
    seen = gr.State(("", 0, ""))  # run, trials and phase that this visitor was shown
    opened: gr.State = gr.State(None)
    clock = gr.Timer(2.0, active=False)
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=320):
            with gr.Column(elem_classes="md-card"):
                gr.HTML("<h2>Detector under test</h2>")
                first = stress_form.detector_form("md-stress-one", "segmenter")
                two = gr.Checkbox(False, label="Compare with a second detector", elem_id="md-stress-two")
                with gr.Column(visible=False) as beside:
                    second = stress_form.detector_form("md-stress-other", "classifier")
                check = gr.Button("Check the detector", size="md", elem_id="md-stress-check")
                checked = gr.HTML(elem_id="md-stress-checked", elem_classes="md-wait")
            with gr.Column(elem_classes="md-card"):
                gr.HTML("<h2>Plan</h2>")
                lesion = gr.CheckboxGroup(
                    [(words, name) for name, words in stress_form.LESION.items()], value=["size_mm"],
                    label="What varies: lesion and patient", elem_id="md-stress-lesion",
                )  # fmt: skip
                picture = gr.CheckboxGroup(
                    [(words, name) for name, words in stress_form.PICTURE.items()], value=["noise"],
                    label="What varies: quality of the picture, in five severities", elem_id="md-stress-picture",
                )  # fmt: skip
                gr.HTML(f'<p class="md-hint">{stress_form.ABOUT_FACTORS}</p>')
                with gr.Row():
                    disease = gr.Dropdown(stress_form.diseases(), value="glioma", label="Disease", min_width=120)
                    plane = gr.Dropdown(stress_form.planes(), value="axial", label="Plane", min_width=110)
                    size = gr.Number(0, label="Size in mm (0: as usual)", minimum=0, maximum=120, min_width=110)
                with gr.Row():
                    design = gr.Dropdown(
                        stress_form.DESIGNS, value="one-at-a-time", label="Combinations", min_width=180
                    )
                    patients = gr.Number(
                        20, label="Patients", minimum=1, precision=0, min_width=90, elem_id="md-stress-patients"
                    )
                    seed = gr.Number(0, label="Seed", minimum=0, precision=0, min_width=80)
                bound = gr.Radio(stress_form.BOUNDS, value="plausible", label="Which cases count")
                gr.HTML(f'<p class="md-hint">{stress_form.ABOUT_BOUND}</p>')
                outlook = gr.HTML(elem_id="md-stress-outlook")
                with gr.Accordion(
                    "The plan as text (YAML): open, change, keep it", open=False, elem_id="md-stress-text"
                ):
                    name = gr.Textbox("stress test", label="Name", max_length=100, elem_id="md-stress-named")
                    text = gr.Textbox(
                        show_label=False,
                        container=False,
                        lines=10,
                        max_lines=24,
                        max_length=20_000,
                        elem_id="md-stress-plan",
                    )
                    with gr.Row():
                        load = gr.UploadButton(
                            "Open a plan", file_types=[".yaml", ".yml", ".json"], size="sm", min_width=110, elem_id="md-stress-load"
                        )  # fmt: skip
                        keep = gr.Button("Download this plan", size="sm", min_width=110, elem_id="md-stress-keep")
                    kept = gr.DownloadButton(visible=False)
                    gr.HTML('<p class="md-hint">This text is what runs. A choice in the form above writes it anew.</p>')
            with gr.Column(elem_classes="md-card"):
                gr.HTML("<h2>Run</h2>")
                with gr.Row():
                    start = gr.Button("Start", variant="primary", min_width=110, scale=3, elem_id="md-stress-start")
                    stop = gr.Button("Stop", interactive=False, min_width=80, scale=1, elem_id="md-stress-stop")
                progress = gr.HTML(elem_id="md-stress-progress", elem_classes="md-wait")
                runs = gr.Dropdown([], label="Runs on this server", elem_id="md-stress-runs")
                resume = gr.Button("Go on with this run", size="sm", visible=False, elem_id="md-stress-resume")
            with gr.Column(visible=False, elem_classes="md-card") as exporting:
                gr.HTML("<h2>Report and packs</h2>")
                what = gr.Dropdown(FILES, value=REPORT, label="File", elem_id="md-stress-what")
                limits = gr.Textbox(
                    label="It passes if (one a line, may be empty)", placeholder="sensitivity=0.8", lines=2, max_length=2000,
                    elem_id="md-stress-limits",
                )  # fmt: skip
                export = gr.Button("Make the file", size="md", elem_id="md-stress-export")
                exported = gr.HTML(elem_id="md-stress-exported", elem_classes="md-wait")
                given = gr.DownloadButton(visible=False)
                gr.HTML(f'<p class="md-hint">{ABOUT_FILES}</p>')
        with gr.Column(scale=7, min_width=320):
            with gr.Column(elem_classes=["md-card", "md-stress"]):
                gr.HTML("<h2>Where it breaks</h2>")
                head = gr.HTML(NOTHING_YET, elem_id="md-stress-head")
                with gr.Column(visible=False) as figures:
                    gr.HTML("<h3>Share of lesions found, by how clearly they stand out</h3>")
                    curve = gr.HTML(elem_id="md-stress-curve")
                    gr.HTML(
                        '<p class="md-hint">Conspicuity is the contrast of the lesion over the noise around it; below 1.5 a lesion is subtle, from 4 on '
                        "obvious. Learners' answers to questions of the bank lie on the same axis.</p>"
                    )
                    gr.HTML("<h3>By what was varied</h3>")
                    levels = gr.HTML(elem_id="md-stress-levels")
                    with gr.Accordion("All figures", open=False, visible=False, elem_id="md-stress-all") as more:
                        every = gr.HTML()
            with gr.Column(visible=False, elem_classes="md-card") as failing:
                gr.HTML("<h2>Cases that it failed at</h2>")
                which = gr.Radio(
                    stress_view.FAILURES,
                    value=stress_view.MISSED,
                    show_label=False,
                    container=False,
                    elem_id="md-stress-which",
                )
                listed = gr.HTML(elem_id="md-stress-listed")
                table = gr.Dataframe(
                    headers=stress_view.COLUMNS, datatype="str", interactive=False, show_label=False, wrap=True, max_height=360,
                    buttons=[], column_widths=["12%", "36%", "20%", "10%", "22%"], elem_id="md-stress-table", elem_classes="md-list",
                )  # fmt: skip
                gr.HTML(f'<p class="md-hint">{ABOUT_CASE}</p>')
                told = gr.HTML(elem_id="md-stress-told", elem_classes="md-wait")
            with gr.Column(visible=False) as one_case:
                with gr.Column(elem_classes="md-card"):
                    marked = gr.HTML(elem_id="md-stress-case")
                shown = viewer.build(VIEW, "<b>Choose a case in the list.</b>")

    form = [name, design, patients, lesion, picture, disease, plane, size, bound, seed]
    fields_of = (len(first.fields), len(second.fields))
    results = [head, figures, curve, levels, more, every, failing, table, listed, exporting]
    state = [shown_run, seen, progress, stop, resume, runs, clock]

    # ------------------------------------------------------------ what is tested

    def specs(both: bool, values: tuple[Any, ...]) -> list[DetectorSpec]:
        one, other = values[: fields_of[0]], values[fields_of[0] :]
        return [stress_form.spec_of(given, files) for given in ([one, other] if both else [one])]

    def checks(both: bool, *values: Any, progress: gr.Progress = gr.Progress()) -> str:  # noqa: B008
        progress(0, desc=say("Starting the detector…"))
        first_use.load_stress()
        try:
            from meddiff.stress.run import try_out

            return "".join(stress_form.said_of(*try_out(spec, 30.0)) for spec in specs(both, values))
        except (MedDiffError, ValidationError, OSError) as error:
            return alert(sentence_of(error) if not isinstance(error, OSError) else str(error))

    def opened_plan(path: str) -> dict[Any, Any]:
        try:
            from meddiff.stress.plan import plan_text, read_plan

            plan = read_plan(path)
            return {text: plan_text(plan), outlook: stress_form.outlook_of(plan)}
        except MedDiffError as error:
            words = str(error).replace(path, Path(path).name)
            warn(words, "Not opened")
            return {outlook: alert(words)}

    def kept_plan(words: str) -> str | None:
        from meddiff.exchange.atomic import write_atomic

        path = files / "stress" / secrets.token_hex(8) / "plan.yaml"
        return str(write_atomic(path, lambda temporary: temporary.write_text(words or "", encoding="utf-8")))

    # ------------------------------------------------------------ the run

    def model_first() -> None:
        """The page's model is loaded first: two threads must not load its libraries at once."""
        with contextlib.suppress(MedDiffError):
            models.studio(*DEFAULT)

    def started(both: bool, words: str, *values: Any) -> dict[Any, Any]:
        first_use.load_stress()
        try:
            from meddiff.stress.plan import plan_of_text

            plan = plan_of_text(words or "")
            run = _SERVER.desk.start(plan, specs(both, values), model_first)
        except (MedDiffError, ValidationError, OSError) as error:
            words = sentence_of(error) if not isinstance(error, OSError) else str(error)
            warn(words, "Not started")
            return {progress: alert(words)}
        return {**of_run(run), **nothing_opened()}

    def gone_on(run: str) -> dict[Any, Any]:
        first_use.load_stress()
        try:
            _SERVER.desk.resume(run or "", model_first)
        except (MedDiffError, ValidationError) as error:
            warn(sentence_of(error), "Not started")
            return {progress: alert(sentence_of(error))}
        return of_run(run)

    def stopped() -> dict[Any, Any]:
        first_use.load_stress()
        _SERVER.desk.stop()
        return {stop: gr.update(interactive=False), progress: stress_view.progress_of(_SERVER.desk.live)}

    def of_run(run: str, kind: str = stress_view.MISSED) -> dict[Any, Any]:
        """Updates that show a run as it stands."""
        desk = _SERVER.desk
        live = desk.live
        mine, busy = live.run == run, live.busy
        updates: dict[Any, Any] = {
            shown_run: run,
            seen: (run, live.done, live.phase) if mine else (run, 0, ""),
            progress: stress_view.progress_of(live) if mine or busy else "",
            stop: gr.update(interactive=busy and live.phase != "stopping"),
            clock: gr.Timer(active=busy),
        }
        ended = not (mine and busy)
        if ended or not live.done:  # its name is known once its detectors are
            choices = desk.listed()
            complete = {one.run: one.complete for one in choices}
            updates[runs] = gr.update(
                choices=[stress_view.choice_of(one) for one in choices], value=run if run in complete else None
            )
            updates[resume] = gr.update(visible=ended and not busy and not complete.get(run, True))
        try:
            return {**updates, **figures_of(run, kind, ended)}
        except MedDiffError as error:  # nothing is kept of a run that failed before it began
            return {**updates, **no_figures("" if mine else alert(str(error)))}

    def no_figures(words: str = NOTHING_YET) -> dict[Any, Any]:
        hidden = gr.update(visible=False)
        return {head: words or NOTHING_YET, figures: hidden, failing: hidden, exporting: hidden}

    def figures_of(run: str, kind: str, last: bool) -> dict[Any, Any]:
        desk = _SERVER.desk
        if not last and not (desk.folder / run / "run.json").exists():
            return no_figures('<p class="md-hint">The first figures come with the first cases.</p>')
        first_use.load_figures()
        result = desk.result(run)
        told = _SERVER.growing.of(run, result, learners(), last)
        return {
            head: told.head,
            figures: gr.update(visible=bool(told.curve)),
            curve: told.curve,
            levels: told.levels,
            more: gr.update(visible=bool(told.all)),
            every: told.all,
            failing: gr.update(visible=bool(told.curve)),
            **failures_of(run, kind),
            exporting: gr.update(visible=last and bool(told.curve)),
        }

    def failures_of(run: str, kind: str) -> dict[Any, Any]:
        from meddiff.stress.failures import failures

        rows = stress_view.rows_of(failures(_SERVER.desk.result(run)), kind)
        words = {
            stress_view.MISSED: "No lesion was missed so far.", stress_view.ALARMS: "No clean twin was marked so far.",
            stress_view.SILENT: "Every picture was answered so far.",
        }  # fmt: skip
        said = f"{len(rows)} case{'s' if len(rows) != 1 else ''}, the clearest lesion first." if rows else words[kind]
        return {table: rows, listed: f'<p class="md-hint">{said}</p>'}

    def chosen_kind(run: str, kind: str) -> dict[Any, Any]:
        try:
            return failures_of(run, kind)
        except MedDiffError as error:
            return {listed: alert(str(error))}

    def tick(run: str, before: tuple[str, int, str], kind: str) -> dict[Any, Any]:
        first_use.load_stress()
        live = _SERVER.desk.live
        if live.run != run:  # this visitor looks at an earlier run
            return {progress: stress_view.progress_of(live) if live.busy else "", clock: gr.Timer(active=live.busy)}
        if tuple(before) == (run, live.done, live.phase) and live.busy:
            return {seen: before}
        return of_run(run, kind)

    def filled(run: str, kind: str, *values: Any) -> dict[Any, Any]:
        first_use.load_stress()
        try:
            offered = stress_form.sources()
        except MedDiffError as error:
            warn(str(error))
            offered = stress_form.SOURCES
        desk = _SERVER.desk
        words, said = (values[0], None) if values[0] else stress_form.text_of_form(*values[1:])
        updates = {
            first.source: gr.update(choices=offered), second.source: gr.update(choices=offered), text: words,
            outlook: said or stress_form.outlook_of_text(words),
        }  # fmt: skip
        if desk.live.busy and not run:
            return {**updates, **of_run(desk.live.run, kind)}
        if run:
            return {**updates, **of_run(run, kind)}
        updates[runs] = gr.update(choices=[stress_view.choice_of(one) for one in desk.listed()])
        return updates

    def picked_run(run: str, kind: str) -> dict[Any, Any]:
        first_use.load_stress()
        return {**of_run(run or "", kind), **nothing_opened()} if run else {shown_run: run}

    # ------------------------------------------------------------ one case

    def nothing_opened() -> dict[Any, Any]:
        return {opened: None, one_case: gr.update(visible=False), told: ""}

    def open_case(
        run: str, look: str, event: gr.SelectData, progress: gr.Progress = gr.Progress()  # noqa: B008
    ) -> dict[Any, Any]:  # fmt: skip
        if not event.row_value or not str(event.row_value[0]).isdigit():
            return {opened: None}
        progress(0, desc=say("Making the case again…"))
        try:
            desk = _SERVER.desk
            result = desk.result(run)
            number = int(event.row_value[0])
            outcome = next((one for one in result.outcomes if one.trial == number), None)
            if outcome is None:
                raise MedDiffError("There is no such trial in this run: choose one in the list.")
            sealed = _SERVER.again.case(desk.folder_of(run), outcome)
        except MedDiffError as error:
            warn(str(error), "Not opened")
            return {told: alert(str(error)), **{one_case: gr.update(visible=False)}}
        return {
            opened: sealed, one_case: gr.update(visible=True), told: "",
            marked: stress_view.case_of(result.contracts, outcome, sealed),
            **dict(zip(shown.outputs, shown.shown(sealed, look, files), strict=True)),
        }  # fmt: skip

    def learners() -> list[tuple[float, bool]]:
        """Learners' answers on the same axis; none where the bank cannot be read."""
        try:
            from meddiff.bank import Bank
            from meddiff.teaching.conspicuity import readings_by_conspicuity
            from meddiff.teaching.store import Questions

            return readings_by_conspicuity(Questions(), Bank())
        except MedDiffError:
            return []

    # ------------------------------------------------------------ files

    def give(run: str, file: str, wanted: str, progress: gr.Progress = gr.Progress()) -> dict[Any, Any]:  # noqa: B008
        progress(0, desc=say("Starting…"))
        try:
            folder = _SERVER.desk.folder_of(run)
            to = files / "stress" / secrets.token_hex(8)
            thresholds = tuple(line.strip() for line in (wanted or "").splitlines() if line.strip())
            if file in (PACK, SCORED):
                path = _SERVER.again.pack(
                    folder, to / f"stress-{run}-{file}.zip", file,
                    lambda done, all_of: progress(done / all_of, desc=f"{done} / {all_of}"),
                )  # fmt: skip
            else:
                if file == VERDICT and not thresholds:
                    raise MedDiffError(
                        "There is nothing to pass or fail: write what it must reach, for example sensitivity=0.8."
                    )
                written = _SERVER.again.report(folder, to, thresholds, learners(), pictures=file == REPORT)
                path = next(one for one in written if one.name == file)
        except MedDiffError as error:
            warn(str(error), "Not made")
            return {exported: alert(str(error)), given: None}
        return {exported: note("It is made, and goes to your downloads."), given: str(path)}

    private: dict[str, Any] = {"api_visibility": "private"}
    quiet: dict[str, Any] = {"show_progress": "hidden", **private}
    both = [*first.fields, *second.fields]
    case_view = [opened, one_case, told, marked, *shown.outputs]
    two.change(lambda on: gr.update(visible=on), two, beside, **quiet)
    check.click(checks, [two, *both], checked, show_progress="full", show_progress_on=checked, concurrency_limit=1, concurrency_id="stress-check", **private)  # fmt: skip
    changed = [part.change for part in (design, patients, lesion, picture, disease, plane, size, bound, seed, name)]
    gr.on(changed, stress_form.text_of_form, form, [text, outlook], trigger_mode="always_last", **quiet)
    text.blur(stress_form.outlook_of_text, text, outlook, trigger_mode="always_last", **quiet)
    load.upload(opened_plan, load, [text, outlook], **quiet)
    keep.click(kept_plan, text, kept, **quiet).then(None, kept, js=viewer.SAVE_JS)
    start.click(started, [two, text, *both], [*state, *results, *case_view], **quiet)
    resume.click(gone_on, runs, [*state, *results], **quiet)
    stop.click(stopped, None, [stop, progress], **quiet)
    runs.input(picked_run, [runs, which], [*state, *results, *case_view], **quiet)
    clock.tick(tick, [shown_run, seen, which], [*state, *results], **quiet)
    which.change(chosen_kind, [shown_run, which], [table, listed], **quiet)
    table.select(
        open_case, [shown_run, shown.which], case_view, show_progress="full", show_progress_on=told, concurrency_limit=2,
        concurrency_id="stress-again", **private,
    ).then(None, js=viewer.scroll_on_phones("md-stress-case"))  # fmt: skip
    shown.wire(opened, _same, files)
    export.click(
        give, [shown_run, what, limits], [exported, given], show_progress="full", show_progress_on=exported, concurrency_limit=2,
        concurrency_id="stress-again", **private,
    ).then(None, given, js=viewer.SAVE_JS)  # fmt: skip
    return filled, [shown_run, which, text, *form], [*state, *results, first.source, second.source, text, outlook]


def _same(sealed: SealedCase | None) -> SealedCase | None:
    return sealed
