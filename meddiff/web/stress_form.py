"""Stress, the form: which detector is tested, and on what; nothing heavy is loaded for it."""

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
from meddiff.stress.records import Contract, DetectorSpec
from meddiff.web.create import sentence_of
from meddiff.web.style import alert

if TYPE_CHECKING:
    from meddiff.stress.plan import StressPlan
    from meddiff.stress.records import Answer
    from meddiff.stress.run import DetectorInfo

FILE, ADDRESS = "file", "address"
OWN = [("Segmenter (ships with MedDiff)", "segmenter"), ("Classifier (ships with MedDiff)", "classifier")]
SOURCES = [*OWN, ("A model file", FILE)]
BY_ADDRESS = ("An address (HTTP)", ADDRESS)
ENDINGS = [".onnx", ".pt", ".ts", ".pth", ".xml", ".bin", ".tflite", ".yaml", ".yml"]
MODELS = {".onnx", ".pt", ".ts", ".pth", ".xml", ".tflite"}
KINDS = [
    ("A mask: a probability a pixel", "mask"),
    ("Boxes with scores", "boxes"),
    ("One score a picture", "classifier"),
]
IS_CODE = "A model file is a program: it runs on this server, in a process of its own. Load only what you trust."
LESION = {
    "size_mm": "Size", "conspicuity": "Conspicuity", "margin": "Margin", "enhancement": "Enhancement", "region": "Region",
    "side": "Side", "plane": "Plane", "pathology": "Disease", "lesions": "Number of lesions", "age_years": "Age", "sex": "Sex",
}  # fmt: skip
PICTURE = {
    "noise": "Noise", "blur": "Blur", "bias": "Uneven brightness (bias field)", "gain": "Brightness (gain)",
    "resolution": "Coarse resolution", "rotation": "Rotation", "ghosting": "Ghosting (motion)", "jpeg": "JPEG compression",
}  # fmt: skip
DESIGNS = [
    ("One factor at a time", "one-at-a-time"), ("Every combination", "full"), ("A balanced part of the combinations", "fractional"),
    ("Spread evenly (Latin hypercube)", "latin-hypercube"),
]  # fmt: skip
BOUNDS = [("Plausible cases", "plausible"), ("Only cases that pass the check", "check")]
ABOUT_BOUND = (
    "<b>Plausible</b>: a head as real ones are, with a lesion where it was asked. <b>Check</b>: our own lesion finder must see the lesion, "
    "too; it is a detector as well, so hard cases that it misses would be left out."
)
ABOUT_FACTORS = "Each patient is shown under every level, beside a clean twin: the same picture without the lesion."


# ---------------------------------------------------------------- the detector


@dataclass(frozen=True)
class DetectorForm:
    """The fields that name one detector, in the order of `spec_of`."""

    source: Any
    files: Any
    address: Any
    name: Any
    contract: tuple[Any, ...]
    about_file: Any
    about_address: Any

    @property
    def fields(self) -> list[Any]:
        return [self.source, self.files, self.address, self.name, *self.contract]


def detector_form(name: str, first: str) -> DetectorForm:
    """Places the fields of one detector.

    Args:
        name: begins the ids of its parts.
        first: the source that is chosen.
    """
    source = gr.Radio(SOURCES, value=first, label="Detector", elem_id=f"{name}-source")
    with gr.Column(visible=False) as about_file:
        files = gr.File(
            label="Model (.onnx, .pt, .xml with .bin, .tflite), and contract.yaml if there is one", file_count="multiple",
            file_types=ENDINGS, type="filepath", height=130, elem_id=f"{name}-files",
        )  # fmt: skip
        gr.HTML(f'<p class="md-hint">{IS_CODE}</p>')
        with gr.Accordion("What it takes and answers (its contract)", open=True):
            kind = gr.Dropdown(KINDS, value="mask", label="It answers", elem_id=f"{name}-kind")
            with gr.Row():
                rows = gr.Number(256, label="Rows", precision=0, minimum=16, maximum=4096, min_width=80)
                columns = gr.Number(256, label="Columns", precision=0, minimum=16, maximum=4096, min_width=80)
                channels = gr.Dropdown([1, 3], value=1, label="Channels", min_width=80)
            with gr.Row():
                low = gr.Number(0, label="Black is", min_width=80)
                high = gr.Number(1, label="White is", min_width=80)
                spacing = gr.Number(0, label="mm a pixel (0: any)", minimum=0, maximum=10, min_width=80)
            with gr.Row():
                threshold = gr.Number(0.5, label="Threshold", minimum=0, maximum=1, step=0.05, min_width=80, elem_id=f"{name}-threshold")  # fmt: skip
                layout = gr.Dropdown(["NCHW", "NHWC"], value="NCHW", label="Order of the input", min_width=80)
            with gr.Row():
                logits = gr.Checkbox(False, label="It answers logits", min_width=120)
                standardised = gr.Checkbox(False, label="Standardise each picture", min_width=120)
    with gr.Column(visible=False) as about_address:
        address = gr.Textbox(label="Address", placeholder="https://…", max_length=300, elem_id=f"{name}-address")
    called = gr.Textbox(label="Name in the results", placeholder="as it is called", max_length=60, elem_id=f"{name}-name")  # fmt: skip
    source.change(
        lambda chosen: [gr.update(visible=chosen == FILE), gr.update(visible=chosen == ADDRESS)], source,
        [about_file, about_address], show_progress="hidden", api_visibility="private",
    )  # fmt: skip
    contract = (kind, rows, columns, channels, low, high, spacing, threshold, layout, logits, standardised)
    return DetectorForm(source, files, address, called, contract, about_file, about_address)


def sources() -> list[tuple[str, str]]:
    """Where a detector may come from on this server; addresses only where the settings name some.

    Raises:
        MedDiffError: settings that cannot be read.
    """
    from meddiff.exchange.target import allowed_detectors

    return [*SOURCES, BY_ADDRESS] if allowed_detectors() else SOURCES


def spec_of(values: Sequence[Any], folder: Path) -> DetectorSpec:
    """The detector that a filled-in form names; uploaded files are laid together into a new folder below `folder`.

    Raises:
        MedDiffError: what is missing or not allowed, in a sentence.
    """
    source, files, address, name, *contract = values
    called = (name or "").strip()
    if source in {key for _, key in OWN}:
        return DetectorSpec(spec=source, name=called)
    if source == ADDRESS:
        return DetectorSpec(spec=_allowed(address or ""), name=called)
    if source != FILE:
        raise MedDiffError("Choose a detector first.")
    return _of_files([Path(path) for path in files or ()], called, contract, folder)


def contract_of(values: Sequence[Any]) -> Contract:
    """The contract in the fields of a form.

    Raises:
        MedDiffError: a value that cannot be.
    """
    from meddiff.stress.detectors.contract import contract_of as checked

    kind, rows, columns, channels, low, high, spacing, threshold, layout, logits, standardised = values
    told = {
        "kind": kind, "size": (rows, columns), "channels": channels, "low": low, "high": high, "spacing_mm": spacing or None,
        "threshold": threshold, "layout": layout, "logits": logits, "standardised": standardised,
    }  # fmt: skip
    return checked(told, "the form")


def said_of(told: DetectorInfo, answer: Answer) -> str:
    """What a detector is, and what it answered to the probe picture, as HTML."""
    from meddiff.stress.page import input_words

    c = told.contract
    kind = {"mask": "a mask", "boxes": "boxes with scores", "classifier": "one score a picture"}[c.kind.value]
    marks = f", {len(answer.marks)} mark{'s' if len(answer.marks) != 1 else ''}" if c.kind.value != "classifier" else ""
    return (
        f'<div class="md-note" role="status"><b translate="no">{html.escape(told.name)}</b>: it answers {kind} and takes '
        f"{html.escape(input_words(c))}; threshold {c.threshold:g}. "
        f"To the probe picture, a drawn head with a bright spot, it answered {answer.score:.2f}{marks}: it keeps its contract.</div>"
    )


def _allowed(text: str) -> str:
    from meddiff.exchange.target import Address, allowed_detectors

    if not text.strip():
        raise MedDiffError("There is no address yet: write the detector's.")
    address = Address.parse(text)
    if not any(entry.covers(address) for entry in allowed_detectors()):
        raise MedDiffError(
            f"{address} is not among the detectors that this page may ask. Whoever runs this MedDiff names them in "
            "MEDDIFF_DETECTORS_ALLOWED; nothing was sent."
        )
    return str(address)


def _of_files(given: Sequence[Path], name: str, contract: Sequence[Any], folder: Path) -> DetectorSpec:
    models = [path for path in given if path.suffix.lower() in MODELS]
    if len(models) != 1:
        many = f"{len(models)} models were given" if models else "There is no model file yet"
        raise MedDiffError(f"{many}: give one, .onnx, .pt (TorchScript), .xml with its .bin (OpenVINO) or .tflite.")
    model = models[0]
    if model.suffix.lower() == ".xml" and not any(path.suffix.lower() == ".bin" for path in given):
        raise MedDiffError(f"{model.name} keeps its weights in a .bin file: give that, too.")
    declared = [path for path in given if path.suffix.lower() in (".yaml", ".yml")]
    if declared:
        from meddiff.stress.detectors.contract import read_contract

        told = read_contract(declared[0])
    else:
        told = contract_of(contract)
    own = folder / "detectors" / secrets.token_hex(8)
    own.mkdir(parents=True)
    shutil.copy(model, own / model.name)
    for weights in (path for path in given if path.suffix.lower() == ".bin"):
        shutil.copy(weights, own / f"{model.stem}.bin")
    return DetectorSpec(spec=str(own / model.name), contract=told, name=name or model.stem)


# ---------------------------------------------------------------- the plan


def plan_of_form(
    name: str, design: str, patients: float, lesion: Sequence[str], picture: Sequence[str], disease: str, plane: str,
    size: float, bound: str, seed: float,
) -> StressPlan:  # fmt: skip
    """The plan that a filled-in form means; factors with their usual levels.

    Raises:
        MedDiffError: what cannot be, in a sentence.
    """
    from meddiff.stress.plan import LEVELS, StressPlan

    chosen = [*lesion, *picture]
    base = {"pathology": disease, "plane": plane, "size_mm": size}
    told = {
        "name": (name or "").strip() or "stress test", "design": design, "patients": int(patients or 0),
        "factors": {factor: LEVELS[factor] for factor in chosen if factor in LEVELS},
        "base": {key: value for key, value in base.items() if value and key not in chosen}, "bound": bound, "seed": int(seed or 0),
    }  # fmt: skip
    try:
        return StressPlan.model_validate(told)
    except ValidationError as error:
        raise MedDiffError(sentence_of(error)) from error


def text_of_form(*values: Any) -> tuple[str, str]:
    """The form's plan as YAML, and what it will take, as HTML; or no text, and what is wrong."""
    from meddiff.stress.plan import plan_text

    try:
        plan = plan_of_form(*values)
    except MedDiffError as error:
        return "", alert(str(error))
    return plan_text(plan), outlook_of(plan)


def outlook_of_text(text: str) -> str:
    """What the plan in a text will take, as HTML; or what is wrong."""
    from meddiff.stress.plan import plan_of_text

    try:
        return outlook_of(plan_of_text(text))
    except MedDiffError as error:
        return alert(str(error))


def outlook_of(plan: StressPlan) -> str:
    """What a plan will take and what it can tell, before it runs, as HTML."""
    from meddiff.stress.estimate import estimate, minutes

    try:
        told = estimate(plan)
    except MedDiffError as error:
        return alert(str(error))
    power = told.power
    fall = (
        "that is too few patients to tell two levels apart."
        if power.paired is None
        else f"a difference between two levels is likely to be told from {100 * power.paired:.0f} points on."
    )
    return (
        f'<p class="md-outlook"><b>{told.trials:,} trials, about {minutes(told.seconds)}</b> on this server. '
        f"{told.cases:,} cases are made; trials that differ in the picture's quality alone share one.</p>"
        f'<p class="md-hint">Each level is shown on {power.cases} patients: a sensitivity of {power.expected:.0%} will be known to about '
        f"±{100 * power.half_width:.0f} points; {fall}</p>"
    )


def diseases() -> list[tuple[str, str]]:
    """Diseases to choose from."""
    return [(one.name, key) for key, one in load_pathologies().items()]


def planes() -> list[tuple[str, str]]:
    """Planes to choose from."""
    return [(plane.value.capitalize(), plane.value) for plane in Plane]
