"""The About tab: what is installed, what it can and cannot do, and how its pictures may be used."""

from __future__ import annotations

import html
from typing import Any

import gradio as gr

from meddiff import __version__
from meddiff.case import MedDiffError
from meddiff.conditions.vocabulary import load_pathologies
from meddiff.settings import settings
from meddiff.web.models import Models

SAFETY = f"""
## What these pictures are for
Teaching, practice reading and testing of image software. They are drawn by a statistical model: no patient is behind them
unless you gave a patient's slice to draw on, and no finding in them is evidence of anything. **They must never be used for diagnosis**, nor be mixed unmarked into
clinical archives or into data that is called real.

## How they are marked
Four things say that a picture is synthetic:

- **Words in the margin** that anybody can read.
- **An invisible mark** in the grey levels, with the number of the case. It outlives JPEG, cropping and screenshots. The lesion is
  left as it is; pictures that are very small or nearly empty have no room for it.
- **A record** in the file: the request, the seed, the model, what was checked, the licence. DICOM files also say *Synthetic Data*.
- **A fingerprint** of each kept case, in the case bank: it recognises the picture even when its marks are gone.

Not sure about a picture? Drop it on the **Verify** tab: it says whether MedDiff made it, which case it is, and what was done to
it since. It never calls a picture real. Nothing leaves this page without its marks. They guard against mistakes; somebody
determined can take them off.

## What stays on this computer
Everything but what you download, and what you send to a PACS: only to a server that whoever runs this MedDiff has named, and as
it comes there is none. The page needs no internet and asks for none. Names, numbers and dates in your files are dropped when a
file is read. A slice you upload is held for this visit, and is stored in the case bank only when you keep a case made from it.

## What MedDiff cannot do
One slice and one focal lesion at a time, from the sequences and planes of the installed pack. It does not know rare anatomy,
operated heads or children well. What it draws is as good as the table *asked and measured* says: read that before you use a case.
It does not replace a radiologist's eye, and a case that passes its check can still look wrong to you. Then throw it away.

MedDiff {__version__}. Code: Apache-2.0. Pictures: the licence in each file.
"""


def build(models: Models) -> tuple[Any, gr.HTML]:
    """Places the tab; returns the handler and the component that tells of the installed packs once they are known."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=6, min_width=320), gr.Column(elem_classes="md-card"):
            gr.Markdown(SAFETY)
        with gr.Column(scale=5, min_width=320):
            with gr.Column(elem_classes="md-card"):
                gr.HTML("<h2>Installed model packs</h2>")
                told = gr.HTML('<p class="md-hint">The model is loading…</p>')
            with gr.Column(elem_classes="md-card"):
                gr.HTML(f"<h2>Diseases in the vocabulary</h2>{_diseases()}")
            with gr.Column(elem_classes="md-card"):
                gr.HTML(
                    "<h2>Folders</h2>"
                    f'<p class="md-hint">Case bank: <b>{html.escape(str(settings().casebank))}</b><br>'
                    f"Model packs: <b>{html.escape(str(settings().checkpoints))}</b><br>"
                    f"Largest file the page takes: <b>{settings().max_upload_mb} MB</b></p>"
                )

    def tell() -> str:
        try:
            packs = models.packs()
        except MedDiffError as error:
            return f'<div class="md-alert">{html.escape(str(error))}</div>'
        if not packs:
            return '<p class="md-hint">None yet. The first command of the README installs one.</p>'
        return "".join(
            f'<table class="md-table"><tr><td><b>{html.escape(p.name)}</b></td><td>{html.escape(p.title)}</td></tr>'
            f"<tr><td>Shows</td><td>{html.escape(f'{p.modality} {p.anatomy}, {p.sequence}')}; {', '.join(plane.value for plane in p.planes)}</td></tr>"
            f"<tr><td>Trained on</td><td>{html.escape(', '.join(_name(key) for key in p.types))}</td></tr>"
            f"<tr><td>Grid</td><td>{p.size} × {p.size} pixels of {p.spacing_mm:g} mm</td></tr>"
            f"<tr><td>Licence</td><td>{html.escape(p.licence)}</td></tr>"
            f"<tr><td>Fingerprint</td><td><code>{p.sha256[:16] or 'none'}</code></td></tr></table>"
            for p in packs
        )

    return tell, told


def _name(key: str) -> str:
    pathology = load_pathologies().get(key)
    return pathology.name if pathology else key


def _diseases() -> str:
    """Every pathology, and whether the model has seen it or draws it by its look."""
    lines = "".join(
        f"<tr><td>{html.escape(p.name)}</td><td>"
        f"{'learned from real images' if p.key == p.drawn_as else 'by its look, from ' + html.escape(_name(p.drawn_as))}</td></tr>"
        for p in load_pathologies().values()
    )
    return f'<div class="md-scroll" style="max-height:360px"><table class="md-table">{lines}</table></div>'
