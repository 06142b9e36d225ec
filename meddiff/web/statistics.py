"""Teach, Statistics: how good each question was, what to change in a poor one, and difficulties corrected by the answers."""

from __future__ import annotations

import html
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from pydantic import ValidationError

from meddiff.case import MedDiffError
from meddiff.conditions.vocabulary import pathology_name
from meddiff.teaching.item import ChoiceItem, Item
from meddiff.web import more, viewer
from meddiff.web.create import sentence_of
from meddiff.web.models import Models
from meddiff.web.style import alert, note

if TYPE_CHECKING:  # figures and database are loaded when the tab is opened
    from meddiff.teaching.correction import Corrected
    from meddiff.teaching.item_report import Report
    from meddiff.teaching.statistics import ItemStatistics, QuizStatistics

ALL = ("All answers", "")
NONE_YET = "Choose a question in a list to see how it was answered."
MOST_ON_MAP = 60  # questions on the scale; more are no picture any more


@dataclass
class Desk:
    """What an educator looks at. Lives in memory only."""

    report: Report | None = None
    item: str = ""


# ---------------------------------------------------------------- words


def name_of(item: Item, kinds: dict[str, str]) -> str:
    """A question in few words: its kind and its disease."""
    return f"{kinds[item.kind.value]}, {pathology_name(item.pathology)}"


def summary_of(told: Report) -> str:
    """How the quiz, or all questions together, did, and what is not known yet, as HTML."""
    from meddiff.teaching.item_report import limits

    known = told.statistics
    rows = [("First answers", f"{len(told.answers)} of {_plural(known.learners, 'learner')}")] if told.answers else []
    if known.complete:
        rows.append(("Answered all", _plural(known.complete, "learner")))
    if known.mean is not None:
        spread = "" if known.sd is None else f" ± {known.sd:.1f}"
        rows.append(("Points", f"{known.mean:.1f}{spread} of {len(told.items)}"))
    if known.kr20 is not None:
        rows.append(("Reliability", _reliability(known)))
    if known.sem is not None:
        rows.append(("Standard error", f"{known.sem:.1f} points"))
    cells = "".join(f"<tr><td>{name}</td><td>{html.escape(words)}</td></tr>" for name, words in rows)
    hints = "".join(f"<li>{html.escape(words)}</li>" for words in limits(told))
    table = f'<table class="md-table"><tbody>{cells}</tbody></table>' if cells else ""
    return table + (f'<ul class="md-hint md-limits">{hints}</ul>' if hints else "")


def _reliability(known: QuizStatistics) -> str:
    """KR-20 and alpha in words (Nunnally 1978: 0.7 for research, 0.9 where a person's mark hangs on it)."""
    value = known.kr20 or 0.0
    word = "enough for a single mark" if value >= 0.9 else "enough for groups" if value >= 0.7 else "too low for marks"
    alpha = "" if known.alpha is None or abs(known.alpha - value) < 0.005 else f", alpha {known.alpha:.2f}"
    return f"KR-20 {value:.2f}{alpha}: {word}".replace("-0.", "\N{MINUS SIGN}0.")


def rows_of(told: Report, kinds: dict[str, str]) -> list[list[str]]:
    """All questions and their figures, numbered from 1 as on the scale."""
    return [
        [
            str(number), name_of(item, kinds), str(row.n), "–" if row.right is None else f"{row.right:.0%}",
            _figure(row.upper_lower), _figure(row.point_biserial), str(len(row.unused)) if row.choices else "",
        ]
        for number, (item, row) in enumerate(zip(told.items, told.statistics.items, strict=True), 1)
    ]  # fmt: skip


def changes_of(told: Report, kinds: dict[str, str]) -> list[list[str]]:
    """The poor questions with what to change, a sentence a line; numbered as in `rows_of`."""
    from meddiff.teaching.statistics import FEW_ANSWERS

    numbers = {item.id: number for number, item in enumerate(told.items, 1)}
    rows = []
    for item_id, words in told.advice.items():
        item, row = told.of(item_id)
        said = words[:-1] if row.n < FEW_ANSWERS else words  # that there are few answers is told above the list
        rows.append([str(numbers[item_id]), name_of(item, kinds), "\n".join(said)])
    return rows


def detail_of(told: Report, item_id: str, kinds: dict[str, str]) -> str:
    """One question: its figures in words, what to change, who chose what, and the plots, as HTML."""
    from meddiff.teaching.statistics import LEAST_ANSWERS

    item, row = told.of(item_id)
    advice = "".join(f'<div class="md-unsure">{html.escape(words)}</div>' for words in told.advice.get(item_id, ()))
    if not advice:
        few = f"Fewer than {LEAST_ANSWERS} answers: no advice yet." if row.n < LEAST_ANSWERS else "Nothing to change."
        advice = f'<p class="md-hint">{few}</p>'
    return (
        f'<div class="md-question"><h2>{html.escape(name_of(item, kinds))}</h2>'
        f'<p class="md-hint">{item.id}, version {item.version}, {item.state.value}</p><p class="stem">{html.escape(item.stem)}</p>'
        f"{_figures(row)}{advice}{_choices(item, row)}{_plots(told, item, row)}</div>"
    )


def _figures(row: ItemStatistics) -> str:
    if row.right is None:
        return "<p>Nobody has answered it.</p>"
    words = [
        f"{_plural(row.n, 'answer')}, {row.right:.0%} right (95% interval {row.right_low:.0%} to {row.right_high:.0%})"
    ]
    if row.upper_lower is not None:
        words.append(f"discrimination {_figure(row.upper_lower)} (upper less lower 27%)")
    if row.point_biserial is not None:
        words.append(f"{_figure(row.point_biserial)} (point-biserial)")
    if row.rasch is not None:
        words.append(f"difficulty {_figure(row.rasch)} ± {row.rasch_se:.2f} logits")
    if row.slope is not None:
        words.append(f"slope {row.slope:.2f} (2PL)")
    return f"<p>{html.escape('; '.join(words))}.</p>"


def _choices(item: Item, row: ItemStatistics) -> str:
    if not isinstance(item, ChoiceItem) or not row.choices:
        return ""
    seldom = ' class="missed"'
    lines = "".join(
        f"<tr><td>{'✓' if one.key else ''}</td><td>{html.escape(item.choices[one.choice].text)}</td>"
        f"<td{seldom if one.choice in row.unused else ''}>{one.share:.0%}</td><td>{_share(one.upper)}</td><td>{_share(one.lower)}</td></tr>"
        for one in row.choices
    )
    return (
        '<div class="md-scroll"><table class="md-table"><thead><tr><th></th><th>Choice</th><th>All</th><th>Strongest 27%</th>'
        f"<th>Weakest 27%</th></tr></thead><tbody>{lines}</tbody></table></div>"
    )


def _plots(told: Report, item: Item, row: ItemStatistics) -> str:
    from meddiff.teaching import plots
    from meddiff.teaching.statistics import LEAST_ANSWERS, Scale, choices_by_score, right_by_ability

    drawn = []
    if isinstance(item, ChoiceItem) and row.n >= LEAST_ANSWERS:
        shares = choices_by_score(told.table, item)
        if len(shares):
            picture = plots.distractor_curves(shares, [choice.text for choice in item.choices], item.key)
            drawn.append(("Who chooses what, from the weakest to the strongest quarter", picture))
    if row.rasch is not None:
        scale = Scale({}, {}, {one.learner: one.logit for one in told.statistics.abilities})
        seen = right_by_ability(told.table, scale, item.id)
        logit, slope = (row.rasch, 1.0) if row.slope is None else (row.slope_logit or 0.0, row.slope)
        picture = plots.characteristic_curve(logit, slope, seen)
        drawn.append(("Right by ability: line as the model expects, dots as it was", picture))
    figures = "".join(f"<figure><figcaption>{words}</figcaption>{picture}</figure>" for words, picture in drawn)
    return f'<div class="md-plots">{figures}</div>' if figures else ""


def scale_of(told: Report) -> str:
    """Learners and questions on one scale, as HTML; or why there is none."""
    from meddiff.teaching.plots import wright_map

    known = told.statistics
    placed = [
        (str(number), row.rasch) for number, row in enumerate(known.items, 1) if row.rasch is not None
    ]  # the numbers of the list
    if not told.answers or not placed or not known.abilities:
        return f'<p class="md-hint">{html.escape(known.no_scale or "There is no answer yet.")}</p>'
    if len(placed) > MOST_ON_MAP:
        return f'<p class="md-hint">{len(placed)} questions are too many for one picture: choose a quiz.</p>'
    return wright_map([one.logit for one in known.abilities], placed)


def correction_of(told: Corrected) -> tuple[str, str]:
    """What correcting would do, as HTML, and what its button says."""
    if not told.items:
        return (
            '<p class="md-hint">No answer has come yet: difficulties are predicted from size and contrast.</p>',
            "Correct difficulties",
        )
    words = (
        f"{_plural(told.answers, 'first answer')} to {_plural(len(told.items), 'question')}. "
        + (
            f"{_plural(len(told.changed), 'difficulty', 'difficulties')} would change; quizzes are then picked by the corrected ones."
            if told.changed
            else "All difficulties go by them already."
        )
    )  # fmt: skip
    return f'<p class="md-hint">{words}</p>', f"Correct difficulties by {_plural(told.answers, 'answer')}"


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}".replace("-", "\N{MINUS SIGN}")


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"


def _plural(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


# ---------------------------------------------------------------- the tab


@dataclass(frozen=True)
class Room:
    """What the Teach tab wires: what fills the tab, with inputs and outputs, and the button that opens the question in `desk`."""

    fill: Any
    inputs: list[Any]
    outputs: list[Any]
    desk: Any
    edit: Any


def build(models: Models, files: Path, kinds: dict[str, str]) -> Room:
    """Places the tab and wires it.

    Args:
        models: make more cases.
        files: folder for downloads.
        kinds: what each kind of question is called.
    """
    desk = gr.State(Desk())
    with gr.Row(equal_height=False):
        with gr.Column(scale=6, min_width=320):
            with gr.Column(elem_classes="md-card"):
                gr.HTML("<h2>How the questions did</h2>")
                quiz = gr.Dropdown([ALL], value="", label="Answers", elem_id="md-stats-quiz")
                with gr.Row():
                    since = gr.DateTime(label="From", include_time=False, type="string", min_width=130)
                    until = gr.DateTime(label="To", include_time=False, type="string", min_width=130)
                summary = gr.HTML(elem_id="md-stats-summary")
                save = gr.Button("Download as CSV", size="sm", visible=False, elem_id="md-stats-csv")
                saved = gr.DownloadButton(visible=False)
            with gr.Column(visible=False, elem_classes="md-card") as poor:
                gr.HTML("<h2>What to change</h2>")
                change = gr.Dataframe(
                    headers=["No.", "Question", "What to change"], datatype="str", interactive=False, show_label=False, wrap=True,
                    max_height=420, buttons=[], column_widths=["11%", "28%", "61%"], elem_id="md-stats-change", elem_classes="md-list",
                )  # fmt: skip
            with gr.Column(visible=False, elem_classes="md-card") as every:
                gr.HTML("<h2>All questions</h2>")
                table = gr.Dataframe(
                    headers=["No.", "Question", "n", "Right", "27%", "r", "<5%"], datatype="str", interactive=False,
                    show_label=False, wrap=True, max_height=520, buttons=[], elem_id="md-stats-list", elem_classes="md-list",
                    column_widths=["9%", "33%", "10%", "12%", "13%", "13%", "10%"],
                )  # fmt: skip
                gr.HTML(
                    '<p class="md-hint"><b>n</b>: answers; <b>27%</b>: share right of the strongest less that of the weakest 27%; <b>r</b>: point-biserial, '
                    "with the other questions. Below 0.2 a question tells learners apart badly. <b>&lt;5%</b>: wrong choices "
                    "that fewer than 5% take.</p>"
                )
        with gr.Column(scale=6, min_width=320):
            with gr.Column(elem_classes="md-card"):
                detail = gr.HTML(f'<p class="md-hint">{NONE_YET}</p>', elem_id="md-stats-item")
                edit = gr.Button(
                    "Open this question to edit it", variant="primary", visible=False, elem_id="md-stats-edit"
                )
            with gr.Column(elem_classes="md-card"):
                gr.HTML("<h2>Learners and questions on one scale</h2>")
                scale = gr.HTML(elem_id="md-stats-scale")
            with gr.Column(elem_classes="md-card"):
                gr.HTML("<h2>Difficulties</h2>")
                before = gr.HTML(elem_id="md-stats-before")
                correct = gr.Button("Correct difficulties", interactive=False, elem_id="md-stats-correct")
            with gr.Column(elem_classes="md-card"):
                gr.HTML("<h2>Make more cases at a difficulty</h2>")
                more.build(models, "md-more")

    asked = [quiz, since, until]
    shown = [desk, quiz, summary, save, poor, change, every, table, detail, edit, scale, before, correct]

    def filled(*values: Any) -> dict[Any, Any]:
        from meddiff.teaching.correction import corrections
        from meddiff.teaching.item_report import Span, report
        from meddiff.teaching.quiz import list_quizzes
        from meddiff.teaching.store import Questions

        wanted, first, last = values
        try:
            questions = Questions()
            quizzes = [ALL, *((one.quiz.title, one.quiz.id) for one in list_quizzes(questions))]
            wanted = wanted if wanted in {key for _, key in quizzes} else ""
            told = report(questions, Span(quiz=wanted, since=_day(first), until=_day(last)))
            told.statistics  # noqa: B018 (computed here, so that what is wrong is told here)
            words, button = correction_of(found := corrections(questions))
        except (MedDiffError, ValidationError) as error:
            return {summary: alert(sentence_of(error))}
        changes = changes_of(told, kinds)
        return {
            desk: Desk(told),
            quiz: gr.update(choices=quizzes, value=wanted),
            summary: summary_of(told),
            save: gr.update(visible=bool(told.answers)),
            poor: gr.update(visible=bool(changes)),
            change: changes,
            every: gr.update(visible=bool(told.answers)),
            table: rows_of(told, kinds),
            detail: f'<p class="md-hint">{NONE_YET}</p>' if told.answers else "",
            edit: gr.update(visible=False),
            scale: scale_of(told),
            before: words,
            correct: gr.update(value=button, interactive=bool(found.changed)),
        }

    def picked(desk_now: Desk, event: gr.SelectData) -> dict[Any, Any]:
        if desk_now.report is None or not event.row_value or not str(event.row_value[0]).isdigit():
            return {desk: desk_now}
        desk_now.item = desk_now.report.items[int(event.row_value[0]) - 1].id
        return {
            desk: desk_now,
            detail: detail_of(desk_now.report, desk_now.item, kinds),
            edit: gr.update(visible=True),
        }

    def corrected_now() -> dict[Any, Any]:
        from meddiff.teaching.correction import correct as put
        from meddiff.teaching.store import Questions

        try:
            told = put(Questions())
        except MedDiffError as error:
            return {before: alert(str(error))}
        done = _plural(len(told.changed), "difficulty", "difficulties")
        words = f"{done} corrected by {_plural(told.answers, 'first answer')}. The prediction is kept: correcting again goes on from it."
        return {before: note(words), correct: gr.update(interactive=False)}

    def given(desk_now: Desk) -> dict[Any, Any]:
        from meddiff.exchange.atomic import write_atomic
        from meddiff.teaching.item_report import csv_bytes

        if desk_now.report is None:
            return {saved: None}
        data = csv_bytes(desk_now.report)
        path = files / "statistics" / secrets.token_hex(8) / "meddiff-item-statistics.csv"
        try:
            return {saved: str(write_atomic(path, lambda temporary: temporary.write_bytes(data)))}
        except MedDiffError as error:
            return {saved: None, summary: alert(str(error))}

    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    for event in (quiz.input, since.change, until.change):
        event(filled, asked, shown, **quiet)
    for listing in (change, table):
        listing.select(picked, desk, [desk, detail, edit], **quiet).then(
            None, js=viewer.scroll_on_phones("md-stats-item")
        )
    correct.click(corrected_now, None, [before, correct], **quiet)
    save.click(given, desk, [saved, summary], **quiet).then(None, saved, js=viewer.SAVE_JS)
    return Room(filled, asked, shown, desk, edit)


def _day(told: str | None) -> str:
    """An ISO date of what the calendar gives; empty where nothing is chosen."""
    return (told or "")[:10]
