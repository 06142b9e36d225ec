"""The Case bank tab: what was kept, filtered, opened, deleted."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import gradio as gr

from meddiff.case import Case, MedDiffError, Plane, Status
from meddiff.conditions.vocabulary import load_pathologies
from meddiff.web import viewer

COLUMNS = ["Case", "What was asked", "Verdict"]
PAGE = 200  # rows shown; the filters reach the rest


def rows(cases: list[Case]) -> list[list[str]]:
    """Cases as rows of the list."""
    return [
        [case.id, case.request.sentence, "✓ accepted" if case.status is Status.ACCEPTED else "✗ rejected"]
        for case in cases
    ]


def build(files: Path) -> tuple[Any, list[Any], list[Any]]:
    """Places the tab and wires it; returns the handler, inputs and outputs that fill the list."""
    opened = gr.State(None)
    pathologies = [("All diseases", "")] + [(p.name, key) for key, p in load_pathologies().items()]
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=320), gr.Column(elem_classes="md-card"):
            gr.HTML("<h2>Kept cases</h2>")
            text = gr.Textbox(
                label="Search in sentences and case names", placeholder="for example: meningioma", elem_id="md-search"
            )
            with gr.Row():
                pathology = gr.Dropdown(pathologies, value="", label="Disease", min_width=120)
                plane = gr.Dropdown(
                    [("All planes", ""), *((p.value.capitalize(), p.value) for p in Plane)],
                    value="",
                    label="Plane",
                    min_width=110,
                )
                status = gr.Dropdown(
                    [("All", ""), ("Accepted", "accepted"), ("Rejected", "rejected")],
                    value="",
                    label="Verdict",
                    min_width=110,
                )
            table = gr.Dataframe(
                headers=COLUMNS, datatype="str", interactive=False, show_label=False, wrap=True, max_height=520, buttons=[],
                column_widths=["36%", "40%", "24%"], elem_id="md-bank",
            )  # fmt: skip
            notice = gr.HTML()
        with gr.Column(scale=7, min_width=320):
            shown = viewer.build("md-bank-view", "<b>Pick a case from the list to open it.</b>")
            with gr.Row(visible=False) as deleting:
                delete = gr.Button("Delete this case", variant="secondary", min_width=120, elem_id="md-delete")
                sure = gr.Button(
                    "Delete it for good", variant="stop", visible=False, min_width=120, elem_id="md-delete-sure"
                )
                spare = gr.Button("Keep it", visible=False, min_width=90)

    filters = [pathology, plane, status, text]

    def fill(pathology: str, plane: str, status: str, text: str) -> tuple[Any, str]:
        try:
            from meddiff.bank import Bank

            found = list(Bank().list(pathology=pathology, plane=plane, status=status, text=text.strip(), limit=PAGE))
        except MedDiffError as error:
            gr.Warning(html.escape(str(error), quote=False))
            return gr.skip(), f'<div class="md-alert" role="alert">{html.escape(str(error))}</div>'
        if found:
            more = " (the newest; filter to reach older ones)" if len(found) == PAGE else ""
            return rows(found), f'<p class="md-hint">{len(found)} case{"s" if len(found) != 1 else ""}{more}</p>'
        nothing = (
            "No case fits these filters."
            if any((pathology, plane, status, text.strip()))
            else "The bank is empty: keep a case on the Create page."
        )
        return [], f'<p class="md-hint">{nothing}</p>'

    def show(which: str, event: gr.SelectData) -> dict[Any, Any]:
        case_id = event.row_value[0] if event.row_value else ""
        if not case_id:
            return {}
        try:
            from meddiff.bank import Bank

            sealed = Bank().open(case_id)
        except MedDiffError as error:
            gr.Warning(html.escape(str(error), quote=False), title="Not opened")
            return {notice: f'<div class="md-alert" role="alert">{html.escape(str(error))}</div>'}
        return _on_page(sealed, which)

    def _on_page(sealed: Any, which: str) -> dict[Any, Any]:
        return {
            opened: sealed,
            deleting: gr.update(visible=sealed is not None),
            delete: gr.update(visible=True),
            sure: gr.update(visible=False),
            spare: gr.update(visible=False),
            **dict(zip(shown.outputs, shown.shown(sealed, which, files), strict=True)),
        }

    def remove(sealed: Any, which: str) -> dict[Any, Any]:
        try:
            from meddiff.bank import Bank

            Bank().delete(sealed.case.id)
        except MedDiffError as error:
            gr.Warning(html.escape(str(error), quote=False), title="Not deleted")
            return {}
        return _on_page(None, which)

    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    view = [opened, deleting, delete, sure, spare, notice, *shown.outputs]
    gr.on(
        [pathology.change, plane.change, status.change, text.submit, text.blur], fill, filters, [table, notice], **quiet
    )
    table.select(show, shown.which, view, **quiet)
    shown.which.change(
        lambda sealed, which: shown.files(sealed, which, files), [opened, shown.which], list(shown.downloads), **quiet
    )
    asking = [delete, sure, spare]
    delete.click(lambda: [gr.update(visible=v) for v in (False, True, True)], None, asking, **quiet)
    spare.click(lambda: [gr.update(visible=v) for v in (True, False, False)], None, asking, **quiet)
    sure.click(remove, [opened, shown.which], view, **quiet).then(fill, filters, [table, notice], **quiet)
    return fill, filters, [table, notice]
