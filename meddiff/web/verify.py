"""The Verify tab: drop a picture, and read whether it is from MedDiff, which case, how sure, and what was done to it."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import gradio as gr

ENDINGS = [".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".dcm", ".dicom", ".ima", ".nii", ".gz"]
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
                label="PNG, JPEG, DICOM, NIfTI, GIF or a screenshot",
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
        return ["".join(card(v, name) for v in verdicts), gr.update(visible=bool(picture), value=picture)]

    dropped.upload(look, dropped, [told, shown], show_progress="full", show_progress_on=told, api_visibility="private")


def _thumbnail(bank: Any, case_id: str, role: str, files: Path) -> str:
    from meddiff.exchange.atomic import write_atomic
    from meddiff.marking import thumbnail

    kept = bank.open(case_id)
    image = kept.twin if role == "twin" else kept.image
    path = files / case_id / f"{case_id}-{image.provenance.role}-verify.png"
    data = thumbnail(image, 256)
    return str(write_atomic(path, lambda temporary: temporary.write_bytes(data)))


def card(verdict: Any, name: str) -> str:
    """One verdict as HTML: answer, how sure, the witnesses, and what was done."""
    kind = "md-note" if verdict.exit_code == 0 else "md-alert"
    frame = f", frame {verdict.frame + 1} of {verdict.frames}" if verdict.frames > 1 else ""
    said = html.escape(verdict.said.replace(verdict.file, name))
    rows = "".join(
        f"<tr><td><b>{html.escape(e.witness.capitalize())}</b></td><td>{html.escape(e.said)}</td></tr>"
        for e in verdict.evidence
    )
    rows += "".join(
        f'<tr><td class="{"info" if c.harmless else "missed"}">{html.escape(c.name.capitalize())}</td><td>{html.escape(c.said)}</td></tr>'
        for c in verdict.changes
    )
    return (
        f"<h2>{HEADS[verdict.exit_code]}</h2><p class='md-hint'>{html.escape(name)}{frame}</p>"
        f'<div class="{kind}" role="status">{said}</div><p>{html.escape(verdict.sure)}</p>'
        + (f'<div class="md-scroll"><table class="md-table"><tbody>{rows}</tbody></table></div>' if rows else "")
    )
