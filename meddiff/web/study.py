"""Reader study, for who plans it: arms, readers and design; who has read how much; flagged cases; results and files.

Readers have a page of their own (`study_reader`). Results name the arms: they are shown when they are asked for.
"""

from __future__ import annotations

import html
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from pydantic import ValidationError

from meddiff.case import MedDiffError, Plane
from meddiff.conditions.vocabulary import load_pathologies
from meddiff.teaching.study import Design, Plan, Processing, Question, Reading, Source, flagged_cases, make_plan
from meddiff.web import first_use, reading, viewer
from meddiff.web.create import sentence_of
from meddiff.web.study_reader import ASK, PATH
from meddiff.web.style import alert, note

if TYPE_CHECKING:  # they load libraries that the tab needs when it is used
    from meddiff.teaching.study_analysis import Interval, Results
    from meddiff.teaching.study_pictures import Candidate, Showing
    from meddiff.teaching.study_store import StudyStore

BANK, TWINS, FOLDER, UPLOAD, SAME, NONE = "bank", "twins", "folder", "upload", "same", ""
KINDS = [
    ("Cases of the bank", BANK),
    ("Cases of the bank, without their lesion", TWINS),
    ("A folder on this computer", FOLDER),
    ("Pictures that I upload", UPLOAD),
    ("Arm A's pictures, processed", SAME),
    ("Not used", NONE),
]
SOURCES = [("Real", "real"), ("Processed", "processed"), ("Synthetic", "synthetic")]
DESIGNS = [("One picture at a time, rated", "single"), ("Two side by side: which is AI? (2AFC)", "pairs")]
FORMATS = [("iMRMC", "imrmc"), ("CSV, a line a reading", "csv"), ("JSON, the results", "json")]
SEEN = 4  # pictures of an arm in the preview
ALIKE = (
    "<b>How the arms are made alike.</b> Every picture of every arm goes through the same steps: the place of MedDiff's stamp is emptied (it always lies "
    "in air), all air is made black (with scanner noise and letters beside the patient), {size}, the grey levels are stretched between the same "
    "two percentiles, and the same band with the same words is set below. They are sent without record or name, all of one length in "
    "bytes. <b>What remains:</b> the invisible mark of synthetic pictures, which no eye sees but a program could read; sharpness, noise and "
    "compression that the pictures came with; what lies inside the patient. Look at the pictures below before you keep the plan."
)
REAL = (
    "Files may be DICOM, PNG, JPEG, TIFF, NIfTI or NRRD; those with one name in several arms are one case. Real pictures are shown to readers on the screen and nowhere kept: a folder's stay where they are; uploaded ones are gone when this app "
    "stops. Use pictures that you may show: faces and writing on the patient stay."
)


@dataclass
class Desk:
    """What a planner has before them. Lives in memory only."""

    plan: Plan | None = None
    showing: Showing | None = None
    kept: bool = False


# ---------------------------------------------------------------- words


def progress_table(plan: Plan, readings: Sequence[Reading]) -> str:
    """Who has read how much, as HTML; no arm is named."""
    of = sum(len(arm.pictures) for arm in plan.arms)
    rows = []
    for reader in plan.readers:
        mine = [one for one in readings if one.reader == reader]
        alerts = sum(one.red_alert for one in mine)
        rows.append(f"<tr><td>{html.escape(reader)}</td><td>{len(mine)} of {of}</td><td>{alerts or '–'}</td></tr>")
    return _table(("Reader", "Pictures read", "Red alerts"), rows)


def alerts_table(flagged: Sequence[Any]) -> str:
    """Flagged cases with what readers said, as HTML."""
    if not flagged:
        return '<p class="md-hint">No reader has raised a red alert.</p>'
    rows = []
    for found in flagged:
        said = "<br>".join(
            f"{html.escape(reader)}: {html.escape(reason or 'no reason given')}" for reader, _, reason in found.said
        )
        if found.decision:
            what = "shown again" if found.decision.shown else "kept out"
            said += f"<br><b>{html.escape(found.decision.who)}</b>, {what}: {html.escape(found.decision.why)}"
        state = '<span class="missed">suspended</span>' if found.suspended else '<span class="ok">shown</span>'
        rows.append(f"<tr><td>{found.case}</td><td>{state}</td><td>{said}</td></tr>")
    return _table(("Case", "Now", "What was said"), rows)


def results_html(results: Results) -> str:
    """Results with plots, as HTML."""
    from meddiff.plot import intervals_plot
    from meddiff.teaching.plots import roc_curve

    parts = [
        f'<p class="md-hint">{results.readings} of {results.asked} readings by {len(results.readers)} readers. Intervals: 95%, bootstrap.</p>'
    ]
    parts += [f'<div class="md-unsure">{html.escape(words)}</div>' for words in results.notes]
    colours = {arm.arm: number for number, arm in enumerate(results.arms)}
    ratings = [
        (f"{mean.question.capitalize()}, {arm.arm}", colours[arm.arm], mean.mean, mean.interval)
        for question in Question for arm in results.arms for mean in arm.means if mean.question is question
    ]  # fmt: skip
    if ratings:
        parts.append("<h3>Ratings</h3>" + intervals_plot(ratings, (1, 5), "Mean rating, 1 to 5", "Mean ratings by arm"))
    parts.append(
        _table(
            ("Arm", "Readings", "Called AI", "Red alerts", "Seconds"),
            [
                f"<tr><td>{html.escape(arm.arm)} ({arm.source})</td><td>{arm.readings}</td><td>{arm.suspected:.0%}</td>"
                f"<td>{arm.red_alerts:.0%}</td><td>{arm.median_seconds:.0f}</td></tr>"
                for arm in results.arms
            ],
        )
    )
    if results.comparisons:
        parts.append("<h3>Arms compared</h3>" + _table(
            ("Question", "Difference", "p (Holm)", "Test"),
            [
                f"<tr><td>{html.escape(ASK[row.question][0])}: {html.escape(row.arm)} less {html.escape(row.other)}</td>"
                f"<td>{row.difference:+.2f}{_between(row.interval)}</td><td>{'too few cases' if row.p_holm is None else _p(row.p_holm)}</td>"
                f"<td>{html.escape(row.test)}, n {row.n}</td></tr>"
                for row in results.comparisons
            ],
        ))  # fmt: skip
    if results.detection:
        parts.append("<h3>Told from real</h3>")
        parts += [
            f'<p class="md-hint">{html.escape(found.arm)} against real</p>{roc_curve(found.curve, found.auc, found.arm)}'
            for found in results.detection
            if found.curve
        ]
        shares = [(f"{found.arm}", colours[found.arm], found.afc2, found.afc2_interval) for found in results.detection]
        parts.append(
            intervals_plot(shares, (0, 1), "Forced choice right (0.5: guessing)", "Two-alternative forced choice")
        )
        parts.append(
            _table(
                ("Arm", "AUC", "Forced choice (2AFC)", "Of"),
                [
                    f"<tr><td>{html.escape(found.arm)}</td><td>{f'{found.auc:.2f}{_between(found.auc_interval)}' if found.curve else '–'}</td>"
                    f"<td>{found.afc2:.2f}{_between(found.afc2_interval)}</td><td>{found.afc2_of}</td></tr>"
                    for found in results.detection
                ],
            )
        )
    agreed = [
        (f"{row.question} ({row.method.split(',')[0].split()[-1]})", number, row.value, row.interval)
        for number, row in enumerate(results.agreement)
        if row.value is not None
    ]
    parts.append("<h3>Readers' agreement</h3>")
    if agreed:
        least = min([0.0, *(low for _, _, _, interval in agreed if interval for low in interval)])
        parts.append(
            intervals_plot(
                agreed,
                (-1.0 if least < 0 else 0.0, 1.0),
                "1: wholly, 0: as by chance",
                "Agreement",
            )
        )
    parts.append(
        _table(
            ("Of", "Value", "Measure", "Pictures"),
            [
                f"<tr><td>{html.escape(row.question)}</td><td>{'cannot be told' if row.value is None else f'{row.value:.2f}{_between(row.interval)}'}</td>"
                f"<td>{html.escape(row.method)}</td><td>{row.pictures}</td></tr>"
                for row in results.agreement
            ],
        )
    )
    return f'<div class="md-results">{"".join(parts)}</div>'


def _table(heads: Sequence[str], rows: Sequence[str]) -> str:
    head = "".join(f"<th>{word}</th>" for word in heads)
    return f'<div class="md-scroll"><table class="md-table"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _between(interval: Interval | None) -> str:
    return "" if interval is None else f" [{interval[0]:.2f}, {interval[1]:.2f}]"


def _p(value: float) -> str:
    return "&lt; 0.001" if value < 0.001 else f"{value:.3f}"


def readers_of(text: str) -> list[str]:
    """Readers' names from a field: one a line, or with commas between."""
    return [name.strip() for name in text.replace(",", "\n").splitlines() if name.strip()]


# ---------------------------------------------------------------- arms


def candidates_of(
    wishes: Sequence[Sequence[Any]], disease: str, plane: str, folder: Path, local: bool
) -> dict[str, tuple[Source, list[Candidate]]]:
    """The pictures that each arm may show.

    Args:
        wishes: of each arm: name, kind, source of files, path of a folder, uploaded files, processing.
        folder: where uploaded pictures are put.
        local: whether who asks sits at this computer: nobody else may name its folders.

    Raises:
        MedDiffError: an arm has no picture, no name, or another's name.
    """
    from meddiff.bank import Bank
    from meddiff.teaching import study_pictures

    found: dict[str, tuple[Source, list[Candidate]]] = {}
    for letter, (name, kind, source, path, uploads, processing) in zip("ABC", wishes, strict=True):
        if not kind:
            continue
        name = (name or "").strip()
        if not name or name in found:
            raise MedDiffError(f"Arm {letter} needs a name of its own.")
        if kind in (BANK, TWINS):
            pictures = study_pictures.bank_pictures(Bank(), disease, plane, kind == TWINS)
            if not pictures:
                raise MedDiffError(
                    "No accepted case of the bank fits: choose another disease or plane, or make some in Create."
                )
            found[name] = Source.SYNTHETIC, pictures
        elif kind == FOLDER:
            if not local:
                raise MedDiffError(
                    "A folder can be named at the computer that MedDiff runs on: upload the pictures here."
                )
            found[name] = Source(source), study_pictures.folder_pictures((path or "").strip())
        elif kind == UPLOAD:
            found[name] = Source(source), study_pictures.file_pictures(_put_by(uploads or [], folder))
        else:
            if not found or letter == "A":
                raise MedDiffError("Arm A must have pictures, so that others can show them processed.")
            found[name] = Source.PROCESSED, study_pictures.processed(next(iter(found.values()))[1], processing)
    if not found:
        raise MedDiffError("Choose where at least one arm's pictures come from.")
    return found


def _put_by(uploads: Sequence[str], folder: Path) -> list[Path]:
    """Uploaded pictures under their own names, in a folder that goes when the app stops: the page's own are cleared after a day."""
    own = folder / "study-uploads" / secrets.token_hex(8)
    own.mkdir(parents=True)
    return [Path(shutil.copyfile(upload, own / Path(upload).name)) for upload in uploads]


def is_local(request: gr.Request) -> bool:
    """Whether a request comes from this computer."""
    return request.client is not None and request.client.host in ("127.0.0.1", "::1", "localhost")


# ---------------------------------------------------------------- the tab


def build(files: Path) -> tuple[Any, list[Any], list[Any]]:
    """Places the sub-tab and wires it; returns what fills its list, with inputs and outputs, for when it is chosen."""
    desk = gr.State(Desk())
    diseases = [("All diseases", ""), *((disease.name, key) for key, disease in load_pathologies().items())]
    planes = [("All planes", ""), *((plane.value, plane.value) for plane in Plane)]
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=320):
            with gr.Column(elem_classes="md-card"):
                gr.HTML("<h2>Plan a reader study</h2>")
                title = gr.Textbox("Real or made", label="Title", max_length=200, elem_id="md-plan-title")
                design = gr.Radio(DESIGNS, value="single", label="How pictures are shown", elem_id="md-plan-design")
                asked = gr.CheckboxGroup(
                    [(words, question.value) for question, (words, _) in ASK.items()], value=[question.value for question in Question],
                    label="Rated 1 to 5, beside: real or AI, how sure, red alert", elem_id="md-plan-asked",
                )  # fmt: skip
                arms = [_arm(*given) for given in (("A", "made", BANK), ("B", "real", UPLOAD), ("C", "", NONE))]
                gr.HTML(f'<p class="md-hint">{REAL}</p>')
                with gr.Row():
                    disease = gr.Dropdown(diseases, value="", label="Bank cases of", min_width=130)
                    plane = gr.Dropdown(planes, value="", label="in plane", min_width=110)
                with gr.Row():
                    number = gr.Number(
                        20, label="Pictures an arm, at most", minimum=1, maximum=2000, precision=0, min_width=110, elem_id="md-plan-number"
                    )  # fmt: skip
                    seed = gr.Number(0, label="Seed", precision=0, min_width=80)
                readers = gr.Textbox(
                    label="Readers: names or codes that you give out, one a line", lines=3, elem_id="md-plan-readers",
                    placeholder="reader 1\nreader 2",
                )  # fmt: skip
                draw = gr.Button("Draw the pictures", variant="primary", elem_id="md-plan-draw")
                notice = gr.HTML(elem_id="md-plan-notice")
            with gr.Column(elem_classes="md-card"):
                gr.HTML("<h2>Kept studies</h2>")
                kept = gr.Dropdown([], label="Study", elem_id="md-plan-kept")
        with gr.Column(scale=7, min_width=320):
            empty = gr.HTML(
                '<div class="md-empty"><span>Readers rate pictures without knowing which are real.<br>Choose arms and readers, and '
                "<b>Draw the pictures</b>; or open a kept study.</span></div>"
            )
            with gr.Column(visible=False) as sheet:
                with gr.Column(elem_classes="md-card"):
                    told = gr.HTML(elem_id="md-plan-told")
                    keep = gr.Button("Keep this plan", variant="primary", elem_id="md-plan-keep")
                with gr.Accordion("The pictures as readers see them, by arm", open=True) as looks:
                    made_alike = gr.HTML(elem_id="md-plan-alike")
                    strips = gr.HTML(elem_id="md-plan-strips")
            with gr.Column(visible=False) as running:
                with gr.Column(elem_classes="md-card"):
                    gr.HTML("<h2>Who has read how much</h2>")
                    progress = gr.HTML(elem_id="md-plan-progress")
                    with gr.Row(elem_classes="md-bottom"):
                        joining = gr.Textbox(label="Readers who join", min_width=150, elem_id="md-plan-joining")
                        join = gr.Button("Add them", min_width=90, elem_id="md-plan-join")
                        fresh = gr.Button("Refresh", min_width=90, elem_id="md-plan-refresh")
                    with gr.Column(visible=False) as lost:
                        lost_told = gr.HTML(elem_id="md-plan-lost")
                        again = gr.File(
                            label="The missing pictures", file_count="multiple", height=120, elem_id="md-plan-again"
                        )
                with gr.Column(elem_classes="md-card"):
                    gr.HTML("<h2>Red alerts</h2>")
                    flags = gr.HTML(elem_id="md-plan-alerts")
                    with gr.Column(visible=False) as judge:
                        flagged = gr.Dropdown([], label="Case", elem_id="md-plan-case")
                        flagged_pictures = gr.HTML(elem_id="md-plan-flagged")
                        with gr.Row():
                            who = gr.Textbox(label="Your name", max_length=200, min_width=120, elem_id="md-plan-who")
                            why = gr.Textbox(label="Why", max_length=500, min_width=160, scale=2, elem_id="md-plan-why")
                        with gr.Row():
                            show = gr.Button("Show it again", min_width=110, elem_id="md-plan-show")
                            out = gr.Button("Keep it out", variant="stop", min_width=110, elem_id="md-plan-out")
                with gr.Column(elem_classes="md-card"):
                    gr.HTML(
                        '<h2>Results</h2><p class="md-hint">They name the arms. Whoever still reads should not see them.</p>'
                    )
                    with gr.Row():
                        analyse_it = gr.Button("Show the results", min_width=120, elem_id="md-plan-analyse")
                        form = gr.Dropdown(
                            FORMATS, value="imrmc", show_label=False, container=False, min_width=130, elem_id="md-plan-format"
                        )  # fmt: skip
                        take = gr.Button("Download", min_width=100, elem_id="md-plan-take")
                    taken = gr.DownloadButton(visible=False)
                    results = gr.HTML(elem_id="md-plan-results")

    wishes = [field for arm in arms for field in arm]
    of_study = [
        desk, notice, kept, empty, sheet, told, keep, looks, made_alike, strips, running, progress, lost, lost_told, flags, judge, flagged,
        flagged_pictures, results,
    ]  # fmt: skip

    def store() -> StudyStore:
        from meddiff.teaching.study_store import StudyStore

        return StudyStore()

    def complain(error: Exception) -> dict[Any, Any]:
        return {notice: alert(sentence_of(error))}  # type: ignore[arg-type]

    def names(studies: StudyStore) -> list[tuple[str, str]]:
        return [(f"{plan.title} ({plan.id})", plan.id) for plan in reversed(studies.plans())]

    def filled() -> dict[Any, Any]:
        first_use.load_bank()
        try:
            return {kept: gr.update(choices=names(store()))}
        except MedDiffError as error:
            return complain(error)

    def on_sheet(desk_now: Desk, words: str = "") -> dict[Any, Any]:
        """Updates that show a plan: how its pictures look, and once it is kept how it goes."""
        plan, showing = desk_now.plan, desk_now.showing
        assert plan is not None
        arms_told = ", ".join(f"{arm.name}: {len(arm.pictures)} {arm.source}" for arm in plan.arms)
        line = (
            f'{plan.id}. Readers read at <a href="/{PATH}?study={plan.id}" target="_blank">/{PATH}?study={plan.id}</a> of this page\'s address.'
            if desk_now.kept else "Not kept yet."
        )  # fmt: skip
        digest = f"Digest, to be noted before the first reading: {plan.digest()}" if desk_now.kept else ""
        return {
            desk: desk_now,
            notice: note(words) if words else "",
            empty: gr.update(visible=False),
            sheet: gr.update(visible=True),
            told: f"<h2>{html.escape(plan.title)}</h2><p>{html.escape(arms_told)}. Readers: {html.escape(', '.join(plan.readers))}.</p>"
            f'<p class="md-hint">{line}</p><p class="md-hint md-digest">{digest}</p>',
            keep: gr.update(visible=not desk_now.kept),
            looks: gr.update(open=not desk_now.kept),
            made_alike: f'<p class="md-hint">{_alike(showing)}</p>' if showing else "",
            strips: _strips(plan, showing) if showing else "",
            **(gone_on(desk_now) if desk_now.kept else {running: gr.update(visible=False)}),
        }

    def gone_on(desk_now: Desk) -> dict[Any, Any]:
        """Updates that show how a kept study goes."""
        from meddiff.teaching.study_pictures import gone

        plan, studies = desk_now.plan, store()
        assert plan is not None
        said = studies.readings(plan.id)
        found = flagged_cases(plan, said, studies.decisions(plan.id))
        missing = gone(desk_now.showing) if desk_now.showing else ()
        named = ", ".join(Path(path).name for path in missing[:5]) + (" …" if len(missing) > 5 else "")
        lost_words = f"{len(missing)} pictures are not where they were, and cannot be read: {named}. Give them again, under any name."
        return {
            running: gr.update(visible=True),
            progress: progress_table(plan, said),
            lost: gr.update(visible=bool(missing)),
            lost_told: alert(lost_words),
            flags: alerts_table(found),
            judge: gr.update(visible=bool(found)),
            flagged: gr.update(choices=[one.case for one in found], value=None),
            flagged_pictures: "",
            results: "",
            kept: gr.update(choices=names(studies), value=plan.id),
        }

    def drawn(request: gr.Request, *values: Any) -> dict[Any, Any]:
        from meddiff.teaching import study_pictures

        title_now, design_now, asked_now, disease_now, plane_now, number_now, seed_now, readers_now, *told_arms = values
        try:
            wished = [told_arms[at : at + len(arms[0])] for at in range(0, len(told_arms), len(arms[0]))]
            found = candidates_of(wished, disease_now, plane_now, files, is_local(request))
            way = Design(design_now)
            chosen, places = study_pictures.draw(found, int(number_now or 1), int(seed_now or 0), way)
            asked_of = [Question(one) for one in asked_now]
            plan = make_plan(
                (title_now or "").strip(), chosen, readers_of(readers_now or ""), asked_of, int(seed_now or 0), way
            )
            return on_sheet(Desk(plan, study_pictures.showing_of(plan, places)))
        except (MedDiffError, ValidationError) as error:
            return complain(error)

    def kept_now(desk_now: Desk) -> dict[Any, Any]:
        if desk_now.plan is None or desk_now.showing is None:
            return {desk: desk_now}
        try:
            studies = store()
            studies.keep(desk_now.plan)
            studies.show(desk_now.plan.id, desk_now.showing)
            desk_now.kept = True
            return on_sheet(desk_now, "The plan is kept. Give each reader the link and their name.")
        except MedDiffError as error:
            return complain(error)

    def opened(study: str | None) -> dict[Any, Any]:
        if not study:
            return {kept: gr.update()}
        try:
            studies = store()
            plan = studies.plan(study)
            try:
                return on_sheet(Desk(plan, studies.showing(study), True))
            except MedDiffError as error:
                return {**on_sheet(Desk(plan, None, True)), **complain(error)}
        except MedDiffError as error:
            return complain(error)

    def refreshed(desk_now: Desk) -> dict[Any, Any]:
        return opened(desk_now.plan.id if desk_now.plan and desk_now.kept else None)

    def joined(desk_now: Desk, text: str) -> dict[Any, Any]:
        if desk_now.plan is None:
            return {desk: desk_now}
        try:
            new = [name for name in readers_of(text or "") if name not in desk_now.plan.readers]
            told_plan = desk_now.plan.model_dump(mode="json") | {"readers": [*desk_now.plan.readers, *new]}
            plan = Plan.model_validate(told_plan)
            store().keep(plan)
            return on_sheet(Desk(plan, desk_now.showing, True), f"{len(new)} readers have joined.")
        except (MedDiffError, ValidationError) as error:
            return complain(error)

    def given_again(desk_now: Desk, uploads: list[str] | None) -> dict[Any, Any]:
        if desk_now.plan is None or desk_now.showing is None or not uploads:
            return {desk: desk_now}
        try:
            from meddiff.teaching.study_pictures import found_again

            showing, count = found_again(desk_now.showing, _put_by(uploads, files))
            store().show(desk_now.plan.id, showing)
            return on_sheet(Desk(desk_now.plan, showing, True), f"{count} pictures are there again.")
        except MedDiffError as error:
            return complain(error)

    def looked_at(desk_now: Desk, case: str | None) -> str:
        if desk_now.plan is None or desk_now.showing is None or not case:
            return ""
        try:
            return _versions(desk_now.plan, desk_now.showing, case)
        except MedDiffError as error:
            return alert(str(error))

    def decide(shown: bool) -> Any:
        def act(desk_now: Desk, case: str | None, name: str, reason: str) -> dict[Any, Any]:
            if desk_now.plan is None:
                return {desk: desk_now}
            try:
                if not case:
                    raise MedDiffError("Choose a case first.")
                store().decide(desk_now.plan.id, case, shown, name or "", reason or "")
                return {
                    **gone_on(desk_now),
                    notice: note(f"{case}: readers {'see it again' if shown else 'do not see it any more'}."),
                }
            except MedDiffError as error:
                return complain(error)

        return act

    def analysed(desk_now: Desk) -> dict[Any, Any]:
        if desk_now.plan is None:
            return {desk: desk_now}
        try:
            return {results: results_html(_results(store(), desk_now.plan)), notice: ""}
        except MedDiffError as error:
            return {results: alert(str(error))}

    def given(desk_now: Desk, kind: str) -> dict[Any, Any]:
        if desk_now.plan is None:
            return {taken: None}
        try:
            from meddiff.exchange.atomic import write_atomic
            from meddiff.teaching.study_analysis import csv_text, imrmc_text

            studies, plan = store(), desk_now.plan
            said = studies.readings(plan.id)
            text = (
                imrmc_text(plan, said) if kind == "imrmc"
                else csv_text(plan, said) if kind == "csv"
                else _results(studies, plan).model_dump_json(indent=2) + "\n"
            )  # fmt: skip
            path = files / "studies" / secrets.token_hex(8) / f"{plan.id}.{kind}"
            write_atomic(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
            return {taken: str(path), notice: ""}
        except MedDiffError as error:
            return {taken: None, results: alert(str(error))}

    private: dict[str, Any] = {"api_visibility": "private"}
    quiet: dict[str, Any] = {"show_progress": "hidden", **private}
    of_plan = [title, design, asked, disease, plane, number, seed, readers]
    draw.click(drawn, [*of_plan, *wishes], of_study, show_progress="full", show_progress_on=notice, **private)
    design.change(lambda value: gr.update(visible=value == "single"), design, asked, **quiet)
    for _, kind, source, path, upload, processing in arms:
        kind.change(
            lambda now: [gr.update(visible=now in shown) for shown in ((FOLDER, UPLOAD), (FOLDER,), (UPLOAD,), (SAME,))],
            kind, [source, path, upload, processing], **quiet,
        )  # fmt: skip
    keep.click(kept_now, desk, of_study, **quiet)
    kept.input(opened, kept, of_study, **quiet)
    fresh.click(refreshed, desk, of_study, **quiet)
    join.click(joined, [desk, joining], of_study, **quiet)
    again.upload(given_again, [desk, again], of_study, **quiet)
    flagged.change(looked_at, [desk, flagged], flagged_pictures, **quiet)
    show.click(decide(True), [desk, flagged, who, why], of_study, **quiet)
    out.click(decide(False), [desk, flagged, who, why], of_study, **quiet)
    analyse_it.click(analysed, desk, [desk, notice, results], show_progress="full", show_progress_on=results, **private)
    take.click(given, [desk, form], [taken, notice, results], **quiet).then(None, taken, js=viewer.SAVE_JS)
    return filled, [], [kept, notice]


def _arm(letter: str, name: str, kind: str) -> tuple[Any, ...]:
    """The fields of an arm, in the order of `candidates_of`."""
    with gr.Accordion(
        f"Arm {letter}{'' if kind else ' (if you like)'}", open=bool(kind), elem_id=f"md-plan-arm-{letter}"
    ):
        with gr.Row():
            named = gr.Textbox(name, label="Name, for you", max_length=64, min_width=110)
            kinds = KINDS if letter != "A" else [one for one in KINDS if one[1] not in (SAME, NONE)]
            chosen = gr.Dropdown(kinds, value=kind, label="Pictures", min_width=150, elem_id=f"md-plan-kind-{letter}")
        source = gr.Radio(
            SOURCES, value="real", label="They are", visible=kind in (FOLDER, UPLOAD), elem_id=f"md-plan-source-{letter}"
        )  # fmt: skip
        path = gr.Textbox(label="Folder", visible=kind == FOLDER, elem_id=f"md-plan-folder-{letter}")
        upload = gr.File(
            label="Pictures", file_count="multiple", height=130,
            visible=kind == UPLOAD, elem_id=f"md-plan-upload-{letter}",
        )  # fmt: skip
        processing = gr.Dropdown(
            [one.value for one in Processing],
            value=Processing.SMOOTHED.value,
            label="Processed: they are",
            visible=kind == SAME,
        )
    return named, chosen, source, path, upload, processing


def _results(studies: StudyStore, plan: Plan) -> Results:
    from meddiff.teaching.study_analysis import analyse

    return analyse(plan, studies.readings(plan.id), decisions=studies.decisions(plan.id))


def _alike(showing: Showing) -> str:
    from meddiff.teaching.study_commands import made_alike

    return ALIKE.format(size=f"all are brought to one size ({made_alike(showing)})")


def _strips(plan: Plan, showing: Showing) -> str:
    """The first pictures of each arm, as readers see them, as HTML."""
    from meddiff.teaching.study_pictures import picture_png

    parts = []
    for arm in plan.arms:
        try:
            pngs = [picture_png(plan, showing, picture.id) for picture in arm.pictures[:SEEN]]
            parts.append(f'<h3>{html.escape(arm.name)}</h3><div class="md-strip">{reading.unnamed(pngs)}</div>')
        except MedDiffError as error:
            parts.append(alert(str(error)))
    return "".join(parts)


def _versions(plan: Plan, showing: Showing, case: str) -> str:
    """All versions of a case, named by their arms, as HTML."""
    from meddiff.teaching.study_pictures import picture_png

    versions = [(arm.name, picture.id) for arm, picture in plan.places.values() if picture.case == case]
    pngs = [picture_png(plan, showing, picture) for _, picture in versions]
    return f'<div class="md-strip">{reading.unnamed(pngs, [name for name, _ in versions])}</div>'


CSS = """
.md-strip .md-reading { display: flex; overflow-x: auto; gap: 4px; padding: 4px; background: #0b0f14; border-radius: 8px; contain: inline-size; }
.md-strip .md-reading figure { flex: 0 0 min(172px, 44%); }
.md-results h3 { font-size: .95rem; font-weight: 650; margin: 14px 0 4px; }
.md-results svg.md-plot { display: block; width: 100%; max-width: 520px; height: auto; }
.md-digest { overflow-wrap: anywhere; }
#md-plan-strips h3 { font-size: .9rem; font-weight: 600; margin: 8px 0 4px; }
"""
