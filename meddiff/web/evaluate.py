"""The Evaluate tab: how good an installed pack was found to be, with pictures; and where each word of a sentence is heard."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from meddiff.case import MedDiffError
from meddiff.settings import settings
from meddiff.web import first_use
from meddiff.web.language import warn
from meddiff.web.models import DEFAULT, Models
from meddiff.web.style import alert, note

if TYPE_CHECKING:  # records come with the tab
    from meddiff.evaluation.records import Evaluation, Figure, Part, Table

NONE_YET = "This pack has not been measured. Whoever has the real slices runs: python -m benchmarks.quality --data DIR --quick --card"
OTHER_WEIGHTS = "These figures are of other weights than the pack now has: measure it again."
CELL = ' class="n"'  # of a number
SENTENCE = "Axial T1 post-contrast, ring-enhancing left frontal glioma, 35 mm, irregular margin"
CSS = """
.md-evaluation > details { margin-top: 10px; border-top: 1px solid var(--border-color-primary); padding-top: 10px; }
.md-evaluation > details > summary { font-size: 1rem; font-weight: 650; }
.md-evaluation .table { overflow-x: auto; contain: inline-size; }
.md-evaluation table { width: 100%; font-size: .88rem; border-collapse: collapse; }
.md-evaluation :is(table, thead, tbody, tr) { border: 0 !important; }
.md-evaluation :is(th, td) { text-align: left; vertical-align: top; padding: 4px 10px 4px 0; border: 0 !important; border-bottom: 1px solid var(--border-color-primary) !important; }
.md-evaluation td.n, .md-evaluation th.n { text-align: right !important; font-variant-numeric: tabular-nums; white-space: nowrap; }
.md-evaluation .met { color: #1f7d53; } .md-evaluation .not { color: #b23a30; } .dark .md-evaluation .met { color: #7fd6ab; } .dark .md-evaluation .not { color: #ff9d92; }
.md-evaluation .soft, .md-evaluation figcaption { font-size: .86rem; color: var(--body-text-color-subdued); overflow-wrap: anywhere; }
.md-evaluation .drawings { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(300px, 100%), 1fr)); gap: 14px; margin-top: 10px; }
.md-evaluation figure { margin: 0; min-width: 0; } .md-evaluation svg, .md-evaluation img { display: block; width: 100%; max-width: 760px; height: auto; }
.md-evaluation details details { margin-top: 6px; font-size: .86rem; } .md-evaluation summary { cursor: pointer; }
.md-heard { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(200px, 100%), 1fr)); gap: 8px; } .md-heard figure { margin: 0; background: #0b0f13; padding: 6px; border-radius: 8px; }
.md-heard img { display: block; width: 100%; height: auto; } .md-heard figcaption { color: #dbe5ec; font-size: .84rem; text-align: center; overflow-wrap: anywhere; }
"""


def build(models: Models) -> tuple[Any, list[Any], list[Any]]:
    """Places the tab and wires it; returns the handler, inputs and outputs that fill it."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=7, min_width=320), gr.Column(elem_classes="md-card"):
            gr.HTML("<h2>How good is this pack?</h2>")
            pack = gr.Dropdown([DEFAULT[0]], value=DEFAULT[0], label="Pack", elem_id="md-evaluate-pack")
            shown = gr.HTML('<p class="md-hint">The figures appear here.</p>', elem_id="md-evaluate-shown")
        with gr.Column(scale=5, min_width=320), gr.Column(elem_classes="md-card"):
            gr.HTML("<h2>Where is each word heard?</h2>")
            sentence = gr.Textbox(SENTENCE, lines=3, label="Sentence", elem_id="md-evaluate-sentence")
            seed = gr.Number(7, precision=0, minimum=0, label="Seed", elem_id="md-evaluate-seed")
            follow = gr.Button("Show where each word is heard", size="md", elem_id="md-evaluate-follow")
            heard = gr.HTML(
                '<p class="md-hint">Orange: where the model listens to the word most while it draws. It is no proof that the word '
                "made what is seen there: the part Explaining says how far the two agree.</p>",
                elem_id="md-evaluate-heard",
            )

    def fill(name: str) -> list[Any]:
        first_use.load_evaluation()
        from meddiff.diffusion.checkpoint import list_packs

        try:
            names = [info.name for info in list_packs()] or [DEFAULT[0]]
            name = name if name in names else names[0]
            return [gr.update(choices=names, value=name), page_of(name)]
        except MedDiffError as error:
            return [gr.skip(), alert(str(error))]

    def listen(name: str, words: str, number: float | None) -> str:
        try:
            return heard_in(models, name, words, int(number or 0))
        except MedDiffError as error:
            warn(str(error))
            return alert(str(error))

    pack.input(lambda name: fill(name)[1], pack, shown, show_progress="hidden", api_visibility="private")
    follow.click(listen, [pack, sentence, seed], heard, show_progress="full", show_progress_on=heard, api_visibility="private")  # fmt: skip
    return fill, [pack], [pack, shown]


def page_of(name: str) -> str:
    """The evaluation that a pack holds, as HTML.

    Raises:
        MedDiffError: a damaged pack or evaluation.
    """
    from meddiff.diffusion.checkpoint import EVALUATION, read_info
    from meddiff.evaluation.records import RESULT, read_evaluation

    folder = settings().checkpoints / name
    kept = folder / EVALUATION
    if not (kept / RESULT).exists():
        return note(NONE_YET)
    evaluation = read_evaluation(kept)
    warning = "" if evaluation.pack_sha256 == read_info(folder).sha256 else alert(OTHER_WEIGHTS)
    return f'<div class="md-evaluation">{warning}{_head(evaluation)}{_aims(evaluation)}{"".join(_part(part, kept) for part in evaluation.parts)}</div>'


def _head(evaluation: Evaluation) -> str:
    aims = [figure for part in evaluation.parts for figure in part.figures if figure.met is not None]
    met = sum(bool(figure.met) for figure in aims)
    counts = ", ".join(f"{count} {html.escape(name)}" for name, count in evaluation.counts.items())
    return (
        f"<p><b>{met} of {len(aims)} aims met.</b> Measured {evaluation.date} on {evaluation.precision}, {evaluation.form} form: {counts}.</p>"
        '<p class="soft">"Real" is the same measured on real slices: the ceiling of a score, the floor of a distance. "Baseline" is measured on pictures '
        f"spoilt on purpose, or by a naive method. Printed by <code>{html.escape(evaluation.command)}</code>.</p>"
    )


def _table(figures: Iterable[Figure]) -> str:
    return (
        '<div class="table"><table><thead><tr><th>Measure</th><th class="n">Measured</th><th class="n">95% interval</th><th class="n">Real</th>'
        f'<th class="n">Baseline</th><th>Aim</th></tr></thead><tbody>{"".join(map(_row, figures))}</tbody></table></div>'
    )


def _aims(evaluation: Evaluation) -> str:
    """What was aimed at, before all that was measured."""
    return _table(figure for part in evaluation.parts for figure in part.figures if figure.met is not None)


def _part(part: Part, folder: Path) -> str:
    from meddiff.evaluation.plots import curve_plot

    notes = "".join(f"<li><b>{html.escape(f.name)}</b>: {html.escape(f.note)}</li>" for f in part.figures if f.note)
    drawings = "".join(
        f"<figure>{curve_plot(curve)}<figcaption>{html.escape(curve.name)}. {html.escape(curve.note)}</figcaption></figure>"
        for curve in part.curves
    )
    tables = "".join(map(_counts, part.tables))
    plates = "".join(
        f'<figure><img src="{_data((folder / plate.file).read_bytes())}" alt="{html.escape(plate.caption)}"><figcaption>{html.escape(plate.caption)}</figcaption></figure>'
        for plate in part.plates
        if plate.synthetic and (folder / plate.file).is_file()
    )
    remarks = "".join(f'<p class="soft">{html.escape(remark)}</p>' for remark in part.remarks)
    return (
        f"<details><summary>{html.escape(part.title)}</summary>"
        + _table(part.figures)
        + (f"<details><summary>How to read these figures</summary><ul>{notes}</ul></details>" if notes else "")
        + (f'<div class="drawings">{drawings}</div>' if drawings else "")
        + tables
        + plates
        + remarks
        + "</details>"
    )


def _counts(table: Table) -> str:
    """What was taken for what, made pictures and real slices side by side."""
    from meddiff.evaluation.table import counted_rows, titled

    heads, rows = counted_rows(table)
    above = "".join(f"<th{'' if n == 0 else CELL}>{html.escape(head)}</th>" for n, head in enumerate(heads))
    body = "".join(
        "<tr>"
        + "".join(f"<td{'' if n == 0 else CELL}>{html.escape(cell)}</td>" for n, cell in enumerate(row))
        + "</tr>"
        for row in rows
    )
    return (
        f'<p class="soft">{html.escape(titled(table))}. {html.escape(table.note)}</p>'
        f'<div class="table"><table><thead><tr>{above}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _row(figure: Figure) -> str:
    from meddiff.evaluation.table import interval, number

    unit = f", {html.escape(figure.unit)}" if figure.unit else ""
    aim = ""
    if figure.met is not None:
        sign = html.escape(figure.aim.replace(">=", "≥").replace("<=", "≤"))
        aim = f'{sign} <b class="{"met" if figure.met else "not"}">{"met" if figure.met else "missed"}</b>'
    real, spoilt = (number(value) if value is not None else "" for value in (figure.real, figure.baseline))
    return (
        f'<tr><td>{html.escape(figure.name)}{unit}</td><td class="n">{number(figure.value)}</td><td class="n">{interval(figure)}</td>'
        f'<td class="n">{real}</td><td class="n" title="{html.escape(figure.baseline_name)}">{spoilt}</td><td>{aim}</td></tr>'
    )


def _data(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


def heard_in(models: Models, pack: str, sentence: str, seed: int) -> str:
    """A case from nothing and a map of each of its words, as HTML; every picture is sealed.

    Raises:
        MedDiffError: a sentence that cannot be drawn, or an unknown pack.
    """
    from meddiff.case import Request

    studio = models.studio(pack, DEFAULT[1])
    first_use.load_explaining()
    from meddiff.evaluation.explain import token_maps, word_maps, words_of
    from meddiff.evaluation.plates import plate_png, sealed

    info = studio.load().info
    request = studio.complete(
        Request(sentence=sentence, seed=seed, pack=pack, steps=info.steps, guidance=info.guidance)
    )
    picture, tokens = token_maps(studio, request)
    image = sealed(studio, request, picture, request.mask.to_array() if request.mask else None)
    maps = word_maps(tokens, words_of(request))
    # What every place hears alike says nothing, and would colour all of the picture.
    tiles = [("The picture", None), *((name, heat - heat.min()) for name, heat in maps.items())]
    told = []
    for name, heat in tiles:
        words, shown = html.escape(name.replace("_", " ")), _data(plate_png([[image]], [[heat]]))
        told.append(f'<figure><img src="{shown}" alt="{words}"><figcaption>{words}</figcaption></figure>')
    return f'<div class="md-heard">{"".join(told)}</div>'
