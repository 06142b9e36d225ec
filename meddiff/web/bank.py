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
PICTURES = 24  # shown at a time: each is read, shrunk and stamped when it is first looked at


def rows(cases: list[Case]) -> list[list[str]]:
    """Cases as rows of the list."""
    return [
        [case.id, case.request.sentence, "✓ accepted" if case.status is Status.ACCEPTED else "✗ rejected"]
        for case in cases
    ]


def caption(case: Case) -> str:
    """A few words over a small picture: its verdict, what it shows, its plane."""
    finding = case.request.findings.finding
    pathology = load_pathologies().get(finding.pathology or "") if finding else None
    what = pathology.name if pathology else "lesion" if finding else "no lesion"
    plane = case.request.findings.plane
    return f"{'✓' if case.status is Status.ACCEPTED else '✗'} {what}{f', {plane.value}' if plane else ''}"


def small_picture(case_id: str, files: Path) -> Path:
    """The sealed thumbnail of a kept case as a file below `files`, made once.

    Raises:
        MedDiffError: the case was deleted since, or its files are damaged.
    """
    path = files / case_id / f"{case_id}-small.png"
    if path.exists():
        return path
    from meddiff.bank import Bank
    from meddiff.exchange.atomic import write_atomic
    from meddiff.marking import thumbnail

    data = thumbnail(Bank().open(case_id).image)
    return write_atomic(path, lambda temporary: temporary.write_bytes(data))


def no_picture(files: Path) -> Path:
    """What stands in the gallery for a case whose files are damaged: a crossed-out tile."""
    path = files / "no-picture.png"
    if not path.exists():
        from PIL import Image, ImageDraw

        from meddiff.exchange.atomic import write_atomic

        tile = Image.new("L", (128, 128), 40)
        for line in ((32, 32, 96, 96), (96, 32, 32, 96)):
            ImageDraw.Draw(tile).line(line, fill=150, width=4)
        write_atomic(path, lambda temporary: tile.save(temporary, format="PNG"))
    return path


def build(files: Path) -> tuple[Any, list[Any], list[Any]]:
    """Places the tab and wires it; returns the handler, inputs and outputs that fill the list."""
    opened = gr.State(None)
    listed: gr.State = gr.State([])  # id and caption of the cases that the filters let pass
    pictured: gr.State = gr.State([])  # ids in the gallery, in its order
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
            notice = gr.HTML()
            with gr.Tabs():
                with gr.Tab("Pictures"):
                    gallery = gr.Gallery(
                        format="png", columns=3, height="auto", object_fit="contain", allow_preview=False, interactive=False,
                        show_label=False, container=False, buttons=[], elem_id="md-bank-pictures",
                    )  # fmt: skip
                    more = gr.Button("Show older ones", size="sm", visible=False, elem_id="md-bank-more")
                with gr.Tab("List"):
                    table = gr.Dataframe(
                        headers=COLUMNS, datatype="str", interactive=False, show_label=False, wrap=True, max_height=520,
                        buttons=[], column_widths=["36%", "40%", "24%"], elem_id="md-bank",
                    )  # fmt: skip
        with gr.Column(scale=7, min_width=320):
            shown = viewer.build("md-bank-view", "<b>Pick a case to open it.</b>")
            with gr.Row(visible=False) as deleting:
                delete = gr.Button("Delete this case", variant="secondary", min_width=120, elem_id="md-delete")
                sure = gr.Button(
                    "Delete it for good", variant="stop", visible=False, min_width=120, elem_id="md-delete-sure"
                )
                spare = gr.Button("Keep it", visible=False, min_width=90)

    filters = [pathology, plane, status, text]

    def fill(pathology: str, plane: str, status: str, text: str) -> list[Any]:
        try:
            from meddiff.bank import Bank

            found = list(Bank().list(pathology=pathology, plane=plane, status=status, text=text.strip(), limit=PAGE))
        except MedDiffError as error:
            gr.Warning(html.escape(str(error), quote=False))
            alert = f'<div class="md-alert" role="alert">{html.escape(str(error))}</div>'
            return [gr.skip(), alert, *(gr.skip() for _ in range(4))]
        if found:
            newest = " (the newest; filter to reach older ones)" if len(found) == PAGE else ""
            told = f"{len(found)} case{'s' if len(found) != 1 else ''}{newest}"
        elif any((pathology, plane, status, text.strip())):
            told = "No case fits these filters."
        else:
            told = "The bank is empty: keep a case on the Create page."
        cases = [(case.id, caption(case)) for case in found]
        return [rows(found), f'<p class="md-hint">{told}</p>', cases, *pictures(cases, PICTURES)]

    def pictures(cases: list[tuple[str, str]], count: int) -> list[Any]:
        """Updates of the ids, the gallery, and the button that shows more than `count`."""
        ids, items = [], []
        for case_id, words in cases[:count]:
            try:
                items.append((str(small_picture(case_id, files)), words))
            except MedDiffError:  # opened, it says what is wrong with it
                items.append((str(no_picture(files)), f"! damaged: {words.lstrip('✓✗ ')}"))
            ids.append(case_id)
        return [ids, gr.update(value=items, selected_index=None), gr.update(visible=len(cases) > count)]

    def show_picture(ids: list[str], which: str, event: gr.SelectData) -> dict[Any, Any]:
        return show(ids[int(event.index)], which)

    def show_row(which: str, event: gr.SelectData) -> dict[Any, Any]:
        return show(event.row_value[0], which) if event.row_value and event.row_value[0] else {}

    def show(case_id: str, which: str) -> dict[Any, Any]:
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
    filled = [table, notice, listed, pictured, gallery, more]
    gr.on([pathology.change, plane.change, status.change, text.submit, text.blur], fill, filters, filled, **quiet)
    for picked in (
        table.select(show_row, shown.which, view, **quiet),
        gallery.select(show_picture, [pictured, shown.which], view, **quiet),
    ):
        picked.then(None, js=viewer.scroll_on_phones("md-bank-view"))
    more.click(
        lambda cases, ids: pictures(cases, len(ids) + PICTURES), [listed, pictured], [pictured, gallery, more], **quiet
    )
    shown.which.change(
        lambda sealed, which: shown.files(sealed, which, files), [opened, shown.which], list(shown.downloads), **quiet
    )
    asking = [delete, sure, spare]
    delete.click(lambda: [gr.update(visible=v) for v in (False, True, True)], None, asking, **quiet)
    spare.click(lambda: [gr.update(visible=v) for v in (True, False, False)], None, asking, **quiet)
    sure.click(remove, [opened, shown.which], view, **quiet).then(fill, filters, filled, **quiet)
    return fill, filters, filled
