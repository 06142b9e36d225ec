"""One case on the page: the picture beside its twin, window, zoom and invert, asked against measured, and the files.

What is shown is the sealed picture with its stamp and provenance in the file, so that even one saved from the browser says
what it is; 16-bit pictures are shown in 8 bits, downloads keep all. Window, zoom and invert happen in the browser and
change nothing but the view.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np
from PIL import Image

from meddiff.case import Case, Measurement, MedDiffError, Status, Task, pixel_sha256
from meddiff.web import language
from meddiff.web.style import alert

if TYPE_CHECKING:
    from meddiff.marking.seal import SealedCase, SealedImage

WITH, WITHOUT = "With the lesion", "Without it"
BUTTONS = {"png": "PNG", "dicom": "DICOM", "nifti": "NIfTI"}
WHOLE = (
    "The zip holds both pictures in every format, the outline as mask, box (COCO) and DICOM SEG, what was asked and "
    "measured as DICOM SR, a blinking GIF and the record. Making it takes a few seconds."
)

# Window w and level c as DICOM PS3.3 C.11.2.1.2 has them, y = (x - (c - 0.5)) / (w - 1) + 0.5, for grey levels x of 0 to 255;
# an SVG filter does that in one step on values of 0 to 1.
TOOLS_HTML = """
<div class="md-tools" role="group" aria-label="View of the picture">
  <svg aria-hidden="true"><filter id="md-window-${name}" color-interpolation-filters="sRGB" x="0" y="0" width="1" height="1">
    <feComponentTransfer><feFuncR type="linear"/><feFuncG type="linear"/><feFuncB type="linear"/></feComponentTransfer></filter></svg>
  <label>Window <input data-tool="window" type="range" min="2" max="256" value="256"><output>256</output></label>
  <label>Level <input data-tool="level" type="range" min="0" max="255" value="128"><output>128</output></label>
  <span><button type="button" data-tool="smaller" aria-label="Zoom out">−</button>
  <button type="button" data-tool="larger" aria-label="Zoom in">+</button></span>
  <button type="button" data-tool="invert" aria-pressed="false">Invert</button>
  <button type="button" data-tool="reset">Reset view</button>
</div>
"""
WINDOW_JS = """
const tool = name => element.querySelector(`[data-tool="${name}"]`);
const pressed = name => tool(name).getAttribute('aria-pressed') === 'true';
const press = (name, on) => tool(name).setAttribute('aria-pressed', on);
function showWindow() {
  const width = +tool('window').value, level = +tool('level').value;
  let slope = 255 / (width - 1), intercept = 0.5 - (level - 0.5) / (width - 1);
  if (pressed('invert')) { slope = -slope; intercept = 1 - intercept; }
  element.querySelectorAll('feFuncR, feFuncG, feFuncB').forEach(f => {
    f.setAttribute('slope', slope); f.setAttribute('intercept', intercept); });
  for (const name of ['window', 'level']) tool(name).nextElementSibling.textContent = tool(name).value;
}
function resetWindow() { tool('window').value = 256; tool('level').value = 128; press('invert', false); }
"""
TOOLS_JS = (
    WINDOW_JS
    + """
const viewer = element.closest('.md-viewer');
function zoom(direction) {  // gradio's slider zooms by the wheel and pans by dragging: the buttons turn the wheel
  const picture = viewer.querySelector('.md-picture .content img');
  if (!picture) return;
  const box = viewer.querySelector('.md-picture').getBoundingClientRect();
  for (let turn = 0; turn < 7; turn++) picture.dispatchEvent(new WheelEvent('wheel', {deltaY: -100 * direction,
    bubbles: true, cancelable: true, clientX: box.x + box.width / 2, clientY: box.y + box.height / 2}));
}
element.addEventListener('input', showWindow);
element.addEventListener('click', event => {
  const name = event.target.dataset ? event.target.dataset.tool : '';
  if (name === 'larger') zoom(1);
  if (name === 'smaller') zoom(-1);
  if (name === 'invert') press('invert', !pressed('invert'));
  if (name === 'reset') {
    resetWindow();
    viewer.querySelector('.md-picture [title=Undo]')?.click();
  }
  if (name) showWindow();
});
showWindow();
"""
)

# A download button gives a file that is there already; this one is made when it is asked for, and then fetched as if it had been pressed.
SAVE_JS = """
file => {
  if (!file) return;
  const link = document.createElement('a');
  link.href = file.url; link.download = file.orig_name;
  link.click();
}
"""


def scroll_on_phones(name: str, notice: str = "md-notice") -> str:
    """Script that brings the viewer `name` into sight where it stands below the form, unless `notice` has a complaint to read."""
    return (
        f"() => {{ if (innerWidth < 760 && !document.querySelector('#{notice} .md-alert')) "
        f"document.getElementById('{name}').scrollIntoView({{behavior: 'smooth'}}); }}"
    )


def css(name: str) -> str:
    """Puts the window of the viewer `name` on its pictures."""
    return f"#{name} .md-picture img {{ filter: url(#md-window-{name}); }}"


@dataclass(frozen=True)
class Viewer:
    """The components that show one case."""

    name: str
    heading: gr.HTML
    empty: gr.HTML
    stage: gr.Column
    facts: gr.Column
    picture: gr.ImageSlider
    table: gr.HTML
    which: gr.Radio
    downloads: tuple[gr.DownloadButton, ...]
    whole: gr.Button
    archive: gr.DownloadButton
    told: gr.HTML

    @property
    def outputs(self) -> list[Any]:
        """In the order of `shown`."""
        return [self.heading, self.empty, self.stage, self.facts, self.picture, self.table, self.told, *self.downloads]

    def wire(self, state: gr.State, case_of: Callable[[Any], SealedCase | None], folder: Path) -> None:
        """Lets the buttons give what is chosen of the case that `case_of` finds in a visitor's `state`."""
        private: dict[str, Any] = {"api_visibility": "private"}
        self.which.change(
            lambda value, which: self.files(case_of(value), which, folder), [state, self.which], list(self.downloads),
            show_progress="hidden", **private,
        )  # fmt: skip

        def give(value: Any) -> dict[Any, Any]:
            sealed = case_of(value)
            if sealed is None:
                return {self.archive: None, self.told: ""}
            from meddiff.exchange import write_zip

            try:
                path = write_zip(sealed, folder / sealed.case.id / f"{sealed.case.id}.zip")
            except MedDiffError as error:
                return {self.archive: None, self.told: alert(str(error))}
            return {self.archive: str(path), self.told: ""}

        self.whole.click(
            give, state, [self.archive, self.told], show_progress="full", show_progress_on=self.told, **private
        ).then(None, self.archive, js=SAVE_JS)

    def shown(self, sealed: SealedCase | None, which: str, folder: Path) -> list[Any]:
        """Updates that show a case, or nothing; its files are written into `folder`."""
        if sealed is None:
            return [
                "",
                gr.update(visible=True),
                *[gr.update(visible=False)] * 2,
                None,
                "",
                "",
                *(gr.update(value=None) for _ in self.downloads),
            ]
        pair = tuple(str(shown_file(image, folder)) for image in _with_and_without(sealed))
        return [
            heading(sealed.case),
            gr.update(visible=False),
            gr.update(visible=True),
            gr.update(visible=True),
            pair,
            table(sealed.case.measurements),
            "",
            *self.files(sealed, which, folder),
        ]

    def files(self, sealed: SealedCase | None, which: str, folder: Path) -> list[Any]:
        """Updates that let the buttons give the chosen picture in every format."""
        if sealed is None:
            return [gr.update(value=None) for _ in self.downloads]
        image = _with_and_without(sealed)[which == WITHOUT]
        return [gr.update(value=str(picture_file(image, folder, kind))) for kind in BUTTONS]


def _with_and_without(sealed: SealedCase) -> tuple[SealedImage, SealedImage]:
    """The picture with the lesion first; where a lesion was taken out, that is the twin."""
    pair = (sealed.image, sealed.twin)
    return pair[::-1] if sealed.case.request.task is Task.REMOVE else pair


def picture_file(image: SealedImage, folder: Path, kind: str = "png") -> Path:
    """A sealed image as a file below `folder`, written once."""
    from meddiff.exchange import WRITERS  # scipy and pydicom come with it: not while the page starts

    suffix, write = WRITERS[kind]
    path = _place(image, folder) / f"{image.provenance.case_id}-{image.provenance.role}{suffix}"
    return path if path.exists() else write(image, path)


def _place(image: SealedImage, folder: Path) -> Path:
    """Where files of this very picture lie: another version of its case is another folder."""
    return folder / image.provenance.case_id / image.provenance.sealed_sha256[:12]


def build(name: str, empty: str) -> Viewer:
    """Places a viewer; `empty` says what to do while there is nothing to show."""
    with gr.Column(elem_classes="md-viewer", elem_id=name):
        nothing = gr.HTML(f'<div class="md-empty"><div>{empty}</div></div>')
        with gr.Column(visible=False) as stage:
            head = gr.HTML()
            with gr.Column(elem_classes="md-stage"):
                picture = gr.ImageSlider(
                    format="png", image_mode="L", type="filepath", interactive=False, show_label=False, container=False,
                    max_height=620, buttons=[], slider_position=90, elem_classes="md-picture",  # the lesion first, wherever it lies
                )  # fmt: skip
            gr.HTML(html_template=TOOLS_HTML, js_on_load=language.exchange(TOOLS_HTML) + TOOLS_JS, name=name)
    with gr.Column(visible=False) as facts:
        with gr.Column(elem_classes="md-card"):
            gr.HTML("<h2>Asked and measured</h2>")
            rows = gr.HTML()
        with gr.Column(elem_classes="md-card"):
            gr.HTML("<h2>Take it with you</h2>")
            which = gr.Radio([WITH, WITHOUT], value=WITH, container=False, show_label=False)
            with gr.Row():
                downloads = tuple(
                    gr.DownloadButton(label, size="md", min_width=80, elem_id=f"{name}-{kind}")
                    for kind, label in BUTTONS.items()
                )
            whole = gr.Button("Whole case (.zip)", size="md", elem_id=f"{name}-zip")
            gr.HTML(f'<p class="md-hint">{WHOLE}</p>')
            archive = gr.DownloadButton(visible=False)
            told = gr.HTML(elem_classes="md-wait")
    return Viewer(name, head, nothing, stage, facts, picture, rows, which, downloads, whole, archive, told)


def shown_file(image: SealedImage, folder: Path) -> Path:
    """What the browser shows: the sealed PNG, with 16 bits brought to 8 since a browser keeps only the upper ones."""
    if image.pixels.dtype == np.uint8:
        return picture_file(image, folder)
    from meddiff.exchange.atomic import write_atomic
    from meddiff.marking.provenance import png_text

    path = _place(image, folder) / f"{image.provenance.case_id}-{image.provenance.role}-shown.png"
    if path.exists():
        return path
    grey = eight_bits(image.pixels)
    record = image.provenance.model_copy(update={"sealed_sha256": pixel_sha256(grey)})
    text = png_text(record, image.spacing_mm, image.box)
    return write_atomic(path, lambda temporary: Image.fromarray(grey).save(temporary, format="PNG", pnginfo=text))


def eight_bits(pixels: np.ndarray) -> np.ndarray:
    """Numbers [H, W] as uint8 for the screen: their percentiles 0.5 and 99.5 become black and white."""
    low, high = np.percentile(pixels, (0.5, 99.5))
    return np.round(np.clip((pixels - low) / max(high - low, 1e-6), 0, 1) * 255).astype(np.uint8)


def heading(case: Case) -> str:
    """Id, verdict, the sentence, and why a case was rejected."""
    accepted = case.status is Status.ACCEPTED
    words = "meets the request" if accepted else "misses the request"
    reason = "" if accepted else f'<span class="md-reason">{escape(case.reason or "It misses its tolerance.")}</span>'
    tried = f" · {case.attempts} attempts" if case.attempts > 1 else ""
    return (
        f'<div class="md-head"><b>{escape(case.id)}</b><span class="md-badge {case.status.value}">{words}</span>'
        f"<span>seed {case.request.seed}{tried}</span>{reason}"
        f'<span class="asked">{escape(case.request.sentence) or "No sentence"}</span></div>'
    )


def table(measurements: Sequence[Measurement]) -> str:
    """The table asked / measured as HTML."""
    if not measurements:
        return '<p class="md-hint">Nothing was measured here.</p>'
    rows = "".join(_row(measurement) for measurement in measurements)
    return (
        '<div class="md-scroll"><table class="md-table"><thead><tr><th>What</th><th>Asked</th><th>Measured</th><th></th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _row(row: Measurement) -> str:
    verdict = {True: ("ok", "✓ met"), False: ("missed", "✗ missed"), None: ("info", "not judged")}[row.ok]
    unit = f" {escape(row.unit)}" if row.unit else ""
    asked = "anything" if row.asked in ("", "unknown") else escape(row.asked) + unit
    return (
        f"<tr><td>{escape(row.name[:1].upper() + row.name[1:])}</td><td>{asked}</td>"
        f'<td>{escape(row.measured)}{unit}</td><td class="{verdict[0]}">{verdict[1]}</td></tr>'
    )
