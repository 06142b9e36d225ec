"""The Create tab: a sentence and an outline become cases."""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np
from pydantic import ValidationError

from meddiff.case import Clinical, Findings, MaskSpec, MedDiffError, Plane, Request, Sex, Task
from meddiff.conditions.prompt import EXAMPLE, EXAMPLES, presets, read_clinical, read_sentence, write_sentence
from meddiff.conditions.vocabulary import load_pathologies
from meddiff.web import viewer
from meddiff.web.language import say, visitor, warn
from meddiff.web.models import DEFAULT, Models

if TYPE_CHECKING:
    from meddiff.imaging.read import Slice
    from meddiff.marking.seal import SealedCase, SealedImage

MADE, FIRST, OWN = "Made with the lesion", "Made first, to draw on", "My own slice"
INSERT, REMOVE = "Put the lesion into it", "Take the lesion out of it"
SAMPLED, DRAWN, UPLOADED = "Drawn for me", "I paint it", "I have a mask file"
PLANES = [("As in the sentence", "")] + [(plane.value.capitalize(), plane.value) for plane in Plane]
SEXES = [("Not given", Sex.UNKNOWN.value), ("Female", Sex.FEMALE.value), ("Male", Sex.MALE.value)]
PRECISIONS = [("Fast (int8)", "int8"), ("Middle (bf16)", "bf16"), ("Exact (fp32)", "fp32")]
IMAGES = [".dcm", ".dicom", ".ima", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".nii", ".gz", ".nrrd", ".nhdr", ".mha"]
EMPTY = "<b>Your cases appear here.</b><br>Describe a lesion, press <b>Create</b>, and compare it with its twin on the slider."
SIDES = "The patient's left is on the right of the screen"
LIES = {
    Plane.AXIAL: f"{SIDES}, the forehead is up.",
    Plane.CORONAL: f"{SIDES}.",
    Plane.SAGITTAL: "The face looks to the left.",
}


@dataclass
class Desk:
    """What one visitor has before them: their slices to draw on, and the cases made so far. Lives in memory only."""

    own: Slice | None = None
    first: Slice | None = None  # made without a lesion, for the lesion to come
    first_shown: str = ""  # its sealed file
    cases: list[SealedCase] = field(default_factory=list)
    backgrounds: dict[str, Slice] = field(default_factory=dict)  # by case id, for keeping
    chosen: int = 0
    kept: set[str] = field(default_factory=set)

    @property
    def case(self) -> SealedCase | None:
        """The case shown."""
        return self.cases[self.chosen] if self.cases else None

    def background(self, source: str) -> Slice | None:
        """The slice that a case shall be made on, if there is one yet."""
        return {OWN: self.own, FIRST: self.first}.get(source)


def sentence_of(error: MedDiffError | ValidationError) -> str:
    """What to tell the person."""
    if isinstance(error, MedDiffError):
        return str(error)
    first = error.errors()[0]
    return f"{'.'.join(str(part) for part in first['loc']) or 'The request'}: {first['msg'].removeprefix('Value error, ')}."


def understood(sentence: str) -> str:
    """What MedDiff reads in a sentence, as HTML: shown under the box before anything is made."""
    try:
        findings = read_sentence(sentence)
    except MedDiffError as error:
        return f'<div class="md-alert">{html.escape(str(error))}</div>'
    said = f"Understood as: <b>{html.escape(write_sentence(findings))}</b>"
    shown = "" if not sentence.isascii() else ' class="md-zh"'  # in Chinese too, where the sentence or the page is
    said += f'<span lang="zh"{shown}><br><b>{html.escape(write_sentence(findings, "zh"))}</b></span>'
    pathology = load_pathologies().get(findings.finding.pathology or "") if findings.finding else None
    if pathology and pathology.drawn_as != pathology.key:
        nearest = load_pathologies()[pathology.drawn_as].name
        said += (
            f"<br>Drawn by its look, from real images of {html.escape(nearest)}. {html.escape(pathology.drawn_note)}"
        )
    return f'<div class="md-hint">{said}</div>'


def in_language() -> list[Any]:
    """Updates of presets, sentence and what is understood of it, for a visitor whose page is not English."""
    language = visitor()
    if language == "en":
        return [gr.skip()] * 3
    rows = presets(language)
    return [
        gr.update(choices=[(title, sentence) for title, sentence, _ in rows]),
        EXAMPLES[language],
        understood(EXAMPLES[language]),
    ]


def number(text: str, what: str, low: float, high: float) -> float | None:
    """A number somebody typed, or None for an empty field.

    Raises:
        MedDiffError: for anything else.
    """
    try:
        value = float(text) if text.strip() else None
    except ValueError:
        value = float("nan")
    if value is not None and not low <= value <= high:
        raise MedDiffError(
            f"{what}: “{text.strip()}” is not a number between {low:g} and {high:g}. Correct it or leave it empty."
        )
    return value


def painted(editor: dict[str, Any] | None) -> np.ndarray | None:
    """What was painted on the editor's layers, outlines filled, as bool [H, W]; None where nothing was."""
    layers = [np.asarray(layer)[..., 3] > 127 for layer in (editor or {}).get("layers", [])]
    if not layers or not any(layer.any() for layer in layers):
        return None
    from scipy.ndimage import binary_fill_holes

    return binary_fill_holes(np.logical_or.reduce(layers))


def made_slice(image: SealedImage, plane: Plane) -> Slice:
    """A slice that the model made, as a background: with its stamp, so that none without exists anywhere.

    The words are dimmed to the brightest of the anatomy: brighter ones would count when the model's window is chosen.
    """
    from meddiff.imaging.read import Slice

    brightest = np.percentile(image.pixels[image.outside_stamp], 99.5).astype(image.pixels.dtype)
    pixels = np.where(image.outside_stamp, image.pixels, np.minimum(image.pixels, brightest))
    modality = image.provenance.request.findings.modality
    return Slice(pixels.astype(np.float32), pixels, 1.0, 0.0, image.spacing_mm, modality, plane, "made by the model")


def canvas(background: Slice | None, plane: Plane, shown: str = "") -> dict[str, Any]:
    """What to paint on: a sealed file, the person's slice, or a plain head with its sides named."""
    if shown:
        return {"background": shown, "layers": [], "composite": None}
    if background is not None:
        grey = viewer.eight_bits(background.pixels)
    else:
        from meddiff.conditions.masks import standard_head

        grey = np.where(standard_head(plane), 92, 22).astype(np.uint8)
    ground = np.dstack([grey, grey, grey, np.full_like(grey, 255)])
    return {"background": ground, "layers": [], "composite": None}


def request_of(form: dict[str, Any], background: Slice | None) -> Request:
    """The form as a request.

    Raises:
        MedDiffError: where the form contradicts itself or lacks what it needs.
        ValidationError: for numbers out of range.
    """
    size, age = number(form["size"], "Size", 1, 120), number(form["age"], "Age", 0, 120)
    extras = [form["plane"], f"{size:g} mm" if size else ""]
    sentence = ", ".join(part for part in (form["sentence"].strip().rstrip(".,"), *extras) if part)
    # Sentence and form are read as one, so that a contradiction between them is found and named.
    # Taking a lesion out needs no words: whatever stands in the field is left aside.
    removing = form["source"] == OWN and form["action"] == REMOVE
    if removing:
        sentence = ""
    findings = Findings() if removing else read_sentence(sentence if form["sentence"].strip() else "")
    task = Task.GENERATE
    if form["source"] != MADE:
        task = Task.REMOVE if removing else Task.INSERT
        if background is None:
            how = "upload one" if form["source"] == OWN else "press “Make the slice”"
            raise MedDiffError(f"There is no slice yet: {how}, or let the anatomy be made with the lesion.")
    said = read_clinical(sentence)
    return Request(
        task=task,
        pack=form["pack"],
        sentence=sentence,
        findings=findings,
        mask=_outline(form),
        clinical=Clinical(
            age_years=said.age_years if age is None else age,
            sex=said.sex if form["sex"] == Sex.UNKNOWN else Sex(form["sex"]),
        ),
        background_sha256=background.sha256 if background is not None and task is not Task.GENERATE else None,
        edit_margin_mm=form["margin"],
        seed=int(form["seed"] or 0),
        steps=int(form["steps"]),
        guidance=form["guidance"],
        precision=form["precision"],
    )


def _outline(form: dict[str, Any]) -> MaskSpec | None:
    if form["outline"] == DRAWN:
        mask = painted(form["editor"])
        if mask is None:
            raise MedDiffError("The outline is empty: paint the lesion on the picture, or let one be drawn for you.")
        return MaskSpec.from_array(mask)
    if form["outline"] == UPLOADED:
        if not form["mask_file"]:
            raise MedDiffError("There is no mask file yet: upload one, paint the lesion, or let one be drawn for you.")
        from meddiff.conditions.masks import read_mask

        return MaskSpec.from_array(read_mask(form["mask_file"]))
    return None


def pack_defaults(models: Models) -> tuple[Any, Any]:
    """Updates of the pack and steps fields, once the installed packs are known."""
    try:
        packs = models.packs()
    except MedDiffError:
        packs = []
    steps = next((pack.steps for pack in packs if pack.name == DEFAULT[0]), None)
    names = [pack.name for pack in packs] or [DEFAULT[0]]
    return gr.update(choices=names), gr.skip() if steps is None else steps


def build(models: Models, files: Path) -> dict[str, Any]:
    """Places the tab and wires it; pictures and downloads are written into `files`. Returns the fields by name."""
    desk = gr.State(Desk())
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=320):
            fields, parts = _form()
            with gr.Column(elem_classes="md-go"):
                notice = gr.HTML(elem_id="md-notice")
                progress_bar = gr.HTML(elem_id="md-progress")
                with gr.Row():
                    stop = gr.Button("Stop", interactive=False, min_width=80, scale=1)
                    create = gr.Button("Create", variant="primary", min_width=140, scale=3, elem_id="md-create")
        with gr.Column(scale=7, min_width=320):
            with gr.Column(elem_classes="md-card", visible=False) as shelf:
                gr.HTML(
                    '<h2>Cases made now</h2><p class="md-hint">Pick one to look at it. They are gone when the page is closed, unless you keep them.</p>'
                )
                gallery = gr.Gallery(
                    format="png", columns=8, height="auto", object_fit="contain", allow_preview=False, interactive=False,
                    show_label=False, container=False, buttons=[], elem_id="md-gallery",
                )  # fmt: skip
            shown = viewer.build("md-create-view", EMPTY)
            with shown.facts, gr.Column(elem_classes="md-card"):
                gr.HTML("<h2>Keep it</h2>")
                keep = gr.Button("Keep this case in the bank", variant="primary", elem_id="md-keep")
                kept_notice = gr.HTML(elem_id="md-kept")

    case_view = [*shown.outputs, keep, kept_notice]

    def on_page(desk: Desk, which: str) -> dict[Any, Any]:
        """Updates that show the chosen case and the shelf."""
        case = desk.case
        kept = case is not None and case.case.id in desk.kept
        return {
            **dict(zip(shown.outputs, shown.shown(case, which, files), strict=True)),
            keep: gr.update(value="Kept in the bank" if kept else "Keep this case in the bank", interactive=not kept),
            kept_notice: "",
        }

    def run(values: dict[Any, Any], progress: gr.Progress = gr.Progress()) -> Iterator[dict[Any, Any]]:  # noqa: B008
        desk_now: Desk = values[desk]
        form = {name: values[component] for name, component in fields.items()}
        background = desk_now.background(form["source"])
        yield {notice: ""}
        try:
            request = request_of(form, background)
            count = int(form["count"] or 1)
            progress(0, desc=say("Loading the model…"))
            studio = models.studio(request.pack, request.precision)
            cases = f"{count} cases" if count > 1 else "the case"
            for sealed in studio.create(
                request, background, count, lambda share, word: progress(share, desc=say(f"Drawing {cases}: {word}"))
            ):
                desk_now.cases = [c for c in desk_now.cases if c.case.id != sealed.case.id] + [sealed]
                desk_now.chosen = len(desk_now.cases) - 1
                if background is not None:
                    desk_now.backgrounds[sealed.case.id] = background
                yield {
                    desk: desk_now,
                    shelf: gr.update(visible=True),
                    gallery: gr.update(value=_thumbnails(desk_now, files), selected_index=desk_now.chosen),
                    **on_page(desk_now, values[shown.which]),
                }
        except (MedDiffError, ValidationError) as error:
            warn(sentence_of(error), "Please check")
            yield {notice: f'<div class="md-alert" role="alert">{html.escape(sentence_of(error))}</div>'}

    def choose(desk_now: Desk, which: str, event: gr.SelectData) -> dict[Any, Any]:
        desk_now.chosen = int(event.index)
        return {desk: desk_now, **on_page(desk_now, which)}

    def keep_case(desk_now: Desk) -> dict[Any, Any]:
        case = desk_now.case
        if case is None:
            return {}
        try:
            from meddiff.bank import Bank

            bank = Bank()
            kept_id = bank.keep(case)
            background = desk_now.backgrounds.get(kept_id)
            if background is not None:
                from meddiff.synthesis.native import carrier

                bank.keep_background(carrier(background))
        except MedDiffError as error:
            warn(str(error), "Not kept")
            return {kept_notice: f'<div class="md-alert" role="alert">{html.escape(str(error))}</div>'}
        desk_now.kept.add(kept_id)
        beside = " Its slice is stored beside it, so that it can be made again." if background is not None else ""
        return {
            desk: desk_now,
            keep: gr.update(value="Kept in the bank", interactive=False),
            kept_notice: f'<div class="md-note" role="status">{html.escape(kept_id)} is in the case bank.{beside}</div>',
        }

    private: dict[str, Any] = {"api_visibility": "private"}
    going = gr.on(
        [create.click, fields["sentence"].submit],
        lambda: gr.update(interactive=True),
        None,
        stop,
        show_progress="hidden",
        **private,
    )
    running = going.then(
        run,
        {desk, shown.which, *fields.values()},
        [desk, notice, shelf, gallery, *case_view],
        show_progress="full",
        show_progress_on=progress_bar,
        concurrency_limit=1,
        concurrency_id="model",
        **private,
    )
    running.then(lambda: gr.update(interactive=False), None, stop, show_progress="hidden", **private)
    running.then(None, js=viewer.scroll_on_phones("md-create-view"))
    stop.click(lambda: gr.update(interactive=False), None, stop, cancels=[running], show_progress="hidden", **private)
    gallery.select(choose, [desk, shown.which], [desk, *case_view], show_progress="hidden", **private)
    keep.click(keep_case, desk, [desk, keep, kept_notice], show_progress="hidden", **private)
    shown.wire(desk, lambda desk_now: desk_now.case, files)
    arranging = _wire_form(desk, fields, parts)
    _wire_first(models, files, desk, fields, parts, arranging, stop)
    return {**fields, "preset": parts["preset"], "understood": parts["understood"]}


def _thumbnails(desk: Desk, files: Path) -> list[tuple[str, str]]:
    return [
        (
            str(viewer.shown_file(c.image, files)),
            f"{'✓' if c.case.status == 'accepted' else '✗'} seed {c.case.request.seed}",
        )
        for c in desk.cases
    ]


def _form() -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields of a request by name, and the parts of the form that come and go."""
    fields: dict[str, Any] = {}
    parts: dict[str, Any] = {}
    with gr.Column(elem_classes="md-card"):
        gr.HTML("<h2>1. What should the picture show?</h2>")
        parts["preset"] = gr.Dropdown(
            [(title[:1].upper() + title[1:], sentence) for title, sentence, _ in presets()],
            value=None,
            label="Start from a disease (optional)",
            elem_id="md-preset",
        )
        fields["sentence"] = gr.Textbox(
            EXAMPLE,
            label="Describe one lesion in plain radiological English",
            lines=2,
            max_lines=4,
            placeholder=f"For example: {EXAMPLE}",
            elem_id="md-sentence",
        )
        parts["understood"] = gr.HTML(understood(EXAMPLE))
    with gr.Column(elem_classes="md-card"):
        gr.HTML("<h2>2. Where does it go?</h2>")
        fields["source"] = gr.Radio([MADE, FIRST, OWN], value=MADE, label="The anatomy around it")
        with gr.Column(visible=False) as parts["own"]:
            parts["file"] = gr.File(
                label="DICOM, PNG, JPEG, NIfTI or NRRD", file_types=IMAGES, height=120, elem_id="md-background"
            )
            with gr.Row():
                parts["slice"] = gr.Textbox(
                    label="Slice number, if it is a volume", placeholder="the middle one", min_width=120
                )
                fields["action"] = gr.Radio([INSERT, REMOVE], value=INSERT, label="What to do")
            parts["told"] = gr.HTML()
        fields["plane"] = gr.Dropdown(PLANES, value="", label="Plane")
        with gr.Column(visible=False) as parts["first"]:
            gr.HTML(
                '<p class="md-hint">The model makes a slice without a lesion in this plane. Paint your lesion on it: '
                "<b>Create</b> puts it there, as often as you like.</p>"
            )
            with gr.Row(elem_classes="md-bottom"):
                parts["first_seed"] = gr.Number(0, label="Seed of the slice", precision=0, min_width=90)
                parts["make_first"] = gr.Button("Make the slice", size="md", min_width=120, elem_id="md-make-first")
                parts["another"] = gr.Button("Another one", size="md", min_width=110)
            parts["first_told"] = gr.HTML(elem_id="md-first-told")
        parts["preview"] = gr.Image(
            format="png",
            label="The slice",
            interactive=False,
            height=240,
            visible=False,
            buttons=[],
            elem_classes="md-dark",
        )
        fields["outline"] = gr.Radio([SAMPLED, DRAWN, UPLOADED], value=SAMPLED, label="The lesion's outline")
        with gr.Column(visible=False) as parts["painting"]:
            parts["hint"] = gr.HTML()
            fields["editor"] = gr.ImageEditor(
                format="png", type="numpy", show_label=False, container=False, sources=[], transforms=[], layers=False,
                brush=gr.Brush(default_size=4, colors=["#2ec4b6"], color_mode="fixed"), eraser=gr.Eraser(default_size=14),
                buttons=[], canvas_size=(256, 256), height=400, elem_id="md-editor",
            )  # fmt: skip
            with gr.Row():
                parts["suggest"] = gr.Button("Suggest an outline to change", size="sm")
                parts["clear"] = gr.Button("Start the outline again", size="sm", elem_id="md-clear")
        fields["mask_file"] = gr.File(
            label="A picture of the outline: white on black, as large as the slice",
            file_types=["image"],
            height=120,
            visible=False,
            elem_id="md-mask",
        )
    with gr.Column(elem_classes="md-card"):
        gr.HTML("<h2>3. Details, if they matter</h2>")
        with gr.Row():
            # Text, not numbers: gradio shows an empty number as 0, and a newborn's age is 0.
            fields["size"] = gr.Textbox(label="Size (mm)", placeholder="any", min_width=90)
            fields["age"] = gr.Textbox(label="Age (years)", placeholder="not given", min_width=90)
            fields["sex"] = gr.Dropdown(SEXES, value=Sex.UNKNOWN.value, label="Sex", min_width=115)
        with gr.Row(elem_classes="md-bottom"):
            fields["count"] = gr.Number(1, label="How many cases", precision=0, min_width=90, elem_id="md-count")
            fields["seed"] = gr.Number(0, label="Seed", precision=0, min_width=90, elem_id="md-seed")
            parts["dice"] = gr.Button("New seed", size="md", min_width=100, scale=0)
        gr.HTML('<p class="md-hint">The same request with the same seed gives the same case.</p>')
        with gr.Accordion("Advanced", open=False):
            fields["pack"] = gr.Dropdown([DEFAULT[0]], value=DEFAULT[0], label="Model pack")
            fields["precision"] = gr.Radio(PRECISIONS, value=DEFAULT[1], label="Arithmetic")
            fields["steps"] = gr.Slider(1, 100, Request().steps, step=1, label="Steps", info="More steps take longer")
            fields["guidance"] = gr.Slider(
                0, 20, Request().guidance, step=0.1, label="How strictly to follow the sentence"
            )
            fields["margin"] = gr.Slider(
                0, 60, Request().edit_margin_mm, step=1, label="Margin around the lesion that may change (mm)"
            )
    return fields, parts


def _wire_form(desk: gr.State, fields: dict[str, Any], parts: dict[str, Any]) -> tuple[Any, list[Any], list[Any]]:
    """Wires the form; returns the handler, inputs and outputs that show what its choices ask for."""
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    sentence, told = fields["sentence"], parts["understood"]
    parts["preset"].input(
        lambda text: (text or EXAMPLES[visitor()], understood(text or EXAMPLES[visitor()])),
        parts["preset"],
        [sentence, told],
        **quiet,
    )
    sentence.blur(understood, sentence, told, **quiet)
    parts["dice"].click(lambda: int(np.random.default_rng().integers(2**31)), None, fields["seed"], **quiet)

    def read(desk_now: Desk, path: str | None, index: str, plane: str) -> dict[Any, Any]:
        desk_now.own, message, alert = None, "", ""
        try:
            if path:
                from meddiff.imaging.read import read_image

                wanted = number(index, "Slice number", 0, 100_000)
                found = read_image(path, None if wanted is None else int(wanted), Plane(plane) if plane else None)
                desk_now.own, message = found, _told(found)
        except MedDiffError as error:
            warn(str(error), "This file cannot be used")
            alert = f'<div class="md-alert" role="alert">{html.escape(str(error))}</div>'
        return {desk: desk_now, parts["told"]: alert or message}

    def arrange(desk_now: Desk, source: str, action: str, outline: str, plane: str, text: str) -> dict[Any, Any]:
        own = source == OWN
        choices = [DRAWN, UPLOADED] if own and action == REMOVE else [SAMPLED, DRAWN, UPLOADED]
        outline = outline if outline in choices else DRAWN
        background = desk_now.background(source)
        ground = None
        if outline == DRAWN or background is not None:
            shown = desk_now.first_shown if source == FIRST else ""
            ground = canvas(background, _plane(plane, text, background), shown)
        painting = outline == DRAWN and (background is not None or source == MADE)
        preview = background is not None and not painting
        return {
            parts["own"]: gr.update(visible=own),
            parts["first"]: gr.update(visible=source == FIRST),
            parts["painting"]: gr.update(visible=painting),
            parts[
                "hint"
            ]: f'<div class="md-hint">Paint the lesion; a closed line is filled. {LIES[_plane(plane, text, background)]}</div>',
            parts["suggest"]: gr.update(visible=background is None),
            fields["editor"]: ground if painting else None,
            fields["outline"]: gr.update(choices=choices, value=outline),
            fields["mask_file"]: gr.update(visible=outline == UPLOADED),
            parts["preview"]: gr.update(visible=preview, value=ground["background"] if preview and ground else None),
        }

    def suggest(plane: str, text: str, size: str) -> Any:
        from meddiff.conditions.masks import sample_outline

        try:
            where = _plane(plane, text, None)
            seed = int(np.random.default_rng().integers(2**31))
            mask = sample_outline(read_sentence(text), where, None, seed, size_mm=number(size, "Size", 1, 120))
        except MedDiffError as error:
            warn(str(error), "No outline")
            return gr.skip()
        paint = np.zeros((*mask.shape, 4), np.uint8)
        paint[mask] = (46, 196, 182, 255)
        return {**canvas(None, where), "layers": [paint]}

    looks = [desk, fields["source"], fields["action"], fields["outline"], fields["plane"], sentence]
    moved = [
        parts["own"],
        parts["first"],
        parts["painting"],
        parts["hint"],
        parts["suggest"],
        fields["editor"],
        fields["outline"],
        fields["mask_file"],
        parts["preview"],
    ]
    gr.on(
        [parts["file"].upload, parts["file"].clear, parts["slice"].submit, parts["slice"].blur],
        read, [desk, parts["file"], parts["slice"], fields["plane"]], [desk, parts["told"]], **quiet,
    ).then(arrange, looks, moved, **quiet)  # fmt: skip
    changes = [fields[name].input for name in ("action", "outline", "plane")]
    gr.on([*changes, parts["clear"].click], arrange, looks, moved, **quiet)
    fields["source"].input(  # a slice is made first in order to paint on it
        lambda source: DRAWN if source == FIRST else gr.skip(), fields["source"], fields["outline"], **quiet
    ).then(arrange, looks, moved, **quiet)
    parts["suggest"].click(suggest, [fields["plane"], sentence, fields["size"]], fields["editor"], **quiet)
    return arrange, looks, moved


def _wire_first(
    models: Models,
    files: Path,
    desk: gr.State,
    fields: dict[str, Any],
    parts: dict[str, Any],
    arranging: Any,
    stop: gr.Button,
) -> None:
    """Wires the slice that the model makes first, to be drawn on."""
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}

    def make(values: dict[Any, Any], progress: gr.Progress = gr.Progress()) -> Iterator[dict[Any, Any]]:  # noqa: B008
        desk_now: Desk = values[desk]
        yield {parts["first_told"]: ""}  # a generator, so that Stop can end it
        form = {name: values[component] for name, component in asked.items()}
        try:
            plane = _plane(form["plane"], form["sentence"], None)
            request = Request(
                pack=form["pack"],
                findings=Findings(plane=plane),
                seed=int(values[parts["first_seed"]] or 0),
                steps=int(form["steps"]),
                guidance=form["guidance"],
                precision=form["precision"],
            )
            progress(0, desc=say("Loading the model…"))
            studio = models.studio(request.pack, request.precision)
            sealed = next(
                studio.create(
                    request, progress=lambda share, word: progress(share, desc=say(f"Making the slice: {word}"))
                )
            )
        except (MedDiffError, ValidationError) as error:
            warn(sentence_of(error), "No slice")
            yield {parts["first_told"]: f'<div class="md-alert" role="alert">{html.escape(sentence_of(error))}</div>'}
            return
        desk_now.first = made_slice(sealed.image, plane)
        desk_now.first_shown = str(viewer.picture_file(sealed.image, files))
        missed = f" Its check says: {html.escape(sealed.case.reason)}." if sealed.case.reason else ""
        said = f'<div class="md-hint">{plane.value.capitalize()} slice without a lesion.{missed}</div>'
        yield {desk: desk_now, parts["first_told"]: said}

    asked = {name: fields[name] for name in ("plane", "sentence", "pack", "steps", "guidance", "precision")}
    makes: dict[str, Any] = {
        "fn": make,
        "inputs": {desk, parts["first_seed"], *asked.values()},
        "outputs": [desk, parts["first_told"]],
        "show_progress": "full",
        "show_progress_on": parts["first_told"],
        "concurrency_limit": 1,
        "concurrency_id": "model",
        "api_visibility": "private",
    }
    seed = parts["first_seed"]
    begun = [
        parts["make_first"].click(lambda: gr.update(interactive=True), None, stop, **quiet),
        parts["another"].click(
            lambda: [int(np.random.default_rng().integers(2**31)), gr.update(interactive=True)],
            None,
            [seed, stop],
            **quiet,
        ),
    ]
    running = [event.then(**makes) for event in begun]
    for event in running:
        event.then(lambda: gr.update(interactive=False), None, stop, **quiet)
        event.then(*arranging, **quiet)
    stop.click(lambda: gr.update(interactive=False), None, stop, cancels=running, **quiet)


def _plane(asked: str, sentence: str, background: Slice | None) -> Plane:
    """The background's plane, else the form's, else the sentence's, else axial."""
    if background is not None and background.plane:
        return background.plane
    if asked:
        return Plane(asked)
    try:
        return read_sentence(sentence).plane or Plane.AXIAL
    except MedDiffError:
        return Plane.AXIAL


def _told(found: Slice) -> str:
    """One line on what was read; no identifier is known here any more."""
    height, width = found.pixels.shape
    spacing = (
        f", {found.spacing_mm[0]:.2f} × {found.spacing_mm[1]:.2f} mm a pixel"
        if found.spacing_mm
        else ", pixel size not stated"
    )
    plane = f", {found.plane.value}" if found.plane else ""
    return (
        f'<div class="md-hint">Read: <b>{html.escape(found.format)}</b>, {html.escape(found.modality)}{plane}, '
        f"{width} × {height} pixels{spacing}. Names and dates stay out.</div>"
    )
