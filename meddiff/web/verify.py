"""The Verify tab: drop a picture, and read whether it is from MedDiff, which case, how sure, and what was done to it."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

if TYPE_CHECKING:
    from meddiff.verify import Verdict

ENDINGS = [".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".dcm", ".dicom", ".ima", ".nii", ".gz", ".json"]  # fmt: skip
WITNESSES = ("record", "mark", "fingerprint", "attributes", "bank")
SILENT = {  # what is said of a picture of which a witness says nothing
    "record": "There is none in the file.",
    "mark": "No invisible mark was found in the pixels.",
    "fingerprint": "No kept case was recognised by its looks.",
}
STYLES = {0: "md-note", 1: "md-unsure", 2: "md-alert", 3: "md-alert"}
HEADS = {
    0: "Made by MedDiff",
    1: "Not known to MedDiff",
    2: "Cannot be read",
    3: "Made by MedDiff, but altered or contradictory",
}


def build(files: Path) -> None:
    """Places the tab and wires it; the kept case's sealed thumbnail is written into `files`. What is dropped is deleted once it was looked at."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=320), gr.Column(elem_classes="md-card"):
            gr.HTML("<h2>Is this picture from MedDiff?</h2>")
            dropped = gr.File(
                label="PNG, JPEG, DICOM, NIfTI, GIF, a screenshot, or a record",
                file_types=ENDINGS,
                height=160,
                elem_id="md-verify-file",
            )
            gr.HTML(
                '<p class="md-hint">The file stays on this computer, is only read, and is deleted from the page at once.</p>'
            )
            shown = gr.Image(label="The case kept in the bank", interactive=False, visible=False, height=280, type="filepath", format="png",
                             buttons=[], elem_classes="md-dark", elem_id="md-verify-kept")  # fmt: skip
        with gr.Column(scale=6, min_width=320), gr.Column(elem_classes="md-card"):
            told = gr.HTML('<p class="md-hint">The answer appears here.</p>', elem_id="md-verify-told")

    def look(path: str | None) -> list[Any]:
        if not path:
            return [gr.skip(), gr.update(visible=False, value=None)]
        from meddiff.verify import kept_bank, verify_file

        try:
            bank = kept_bank()
            verdicts = verify_file(path, bank)
        finally:
            Path(path).unlink(missing_ok=True)
        name = Path(path).name
        picture = next((_thumbnail(bank, v.case_id, v.role, files) for v in verdicts if v.kept), None)
        return [cards(verdicts, name), gr.update(visible=bool(picture), value=picture)]

    dropped.upload(look, dropped, [told, shown], show_progress="full", show_progress_on=told, api_visibility="private")


def _thumbnail(bank: Any, case_id: str, role: str, files: Path) -> str:
    from meddiff.exchange.atomic import write_atomic
    from meddiff.marking import thumbnail

    kept = bank.open(case_id)
    image = kept.twin if role == "twin" else kept.image
    path = files / case_id / f"{case_id}-{image.provenance.role}-verify.png"
    data = thumbnail(image, 256)
    return str(write_atomic(path, lambda temporary: temporary.write_bytes(data)))


def cards(verdicts: Sequence[Verdict], name: str) -> str:
    """Verdicts on a file as HTML; frames after each other of which the same is told share a card."""
    told = []
    for _, group in groupby(verdicts, key=lambda verdict: replace(verdict, frame=1)):
        same = list(group)
        first, last = same[0].frame, same[-1].frame
        frames = f", frame {first}" if first == last else f", frames {first} to {last}"
        told.append(card(same[0], name, f"{frames} of {same[0].frames}" if same[0].frames > 1 else ""))
    return "".join(told)


def card(verdict: Verdict, name: str, frames: str = "") -> str:
    """One verdict as HTML: answer, how sure, which witnesses spoke and which did not, and what was done."""
    said = html.escape(verdict.said.replace(verdict.file, name))
    heard = {each.witness: each.said for each in verdict.evidence}
    picture = verdict.role in ("", "case", "twin") and verdict.exit_code != 2
    rows = []
    for witness in WITNESSES:
        if witness in heard:
            rows.append(_row(f"<b>{witness.capitalize()}</b>", heard[witness]))
        elif picture and witness in SILENT:
            rows.append(_row(witness.capitalize(), SILENT[witness], "info", "info"))
    if rows:
        rows.insert(0, '<tr><th colspan="2">Witnesses</th></tr>')
    if verdict.changes:
        rows.append('<tr><th colspan="2">What was done to it since</th></tr>')
    rows += [
        _row(html.escape(c.name.capitalize()), c.said, "info" if c.harmless else "missed") for c in verdict.changes
    ]
    return (
        f"<h2>{HEADS[verdict.exit_code]}</h2><p class='md-hint'>{html.escape(name)}{frames}</p>"
        f'<div class="md-verdict {STYLES[verdict.exit_code]}" role="status">{said}</div>'
        + (f"<p>{html.escape(verdict.sure)}</p>" if verdict.evidence else "")
        + (
            f'<div class="md-scroll"><table class="md-table"><tbody>{"".join(rows)}</tbody></table></div>'
            if rows
            else ""
        )
    )


def _row(what: str, said: str, kind: str = "", told: str = "") -> str:
    """A row of the table: HTML, words, and the class of each."""
    return f'<tr><td class="{kind}">{what}</td><td class="{told}">{html.escape(said)}</td></tr>'
