"""The Teach tab: questions are written from the bank's cases, read, edited and approved; quizzes are picked, looked at and taken away."""

from __future__ import annotations

import html
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from pydantic import ValidationError

from meddiff.case import MedDiffError
from meddiff.conditions.vocabulary import load_pathologies, pathology_name
from meddiff.teaching.item import ChoiceItem, Item, LocaliseItem, OrderItem, SizeItem, read_item
from meddiff.web import first_use, more, reading, statistics, study, viewer
from meddiff.web.create import sentence_of
from meddiff.web.language import visitor
from meddiff.web.models import Models
from meddiff.web.practice import outlines_of, pictures_of
from meddiff.web.style import alert, note

if TYPE_CHECKING:  # the database's library is loaded when the tab is opened
    from meddiff.teaching.blueprint import BlueprintTable
    from meddiff.teaching.quiz import Quiz
    from meddiff.teaching.store import Questions

KINDS = {
    "diagnosis": "Diagnosis",
    "finding": "Finding",
    "location": "Location",
    "next_step": "Next step",
    "normal": "Normal or not",
    "compare": "Compare two",
    "response": "Response to treatment",
    "localise": "Find the lesion",
    "size": "Size",
    "order": "Order of visits",
    "free_text": "Free text",
}
STATES = [("All", ""), ("Draft", "draft"), ("Approved", "approved"), ("Retired", "retired")]
ROWS = 200  # questions in the list; the filters reach the rest
EMPTY = (
    "No question fits. <b>Write questions from the bank's cases</b> makes drafts of every accepted case; read and approve those that you "
    "want learners to see."
)


@dataclass
class Desk:
    """What an educator has before them. Lives in memory only."""

    ids: list[str] = field(default_factory=list)  # in the list
    item: Item | None = None
    quiz: Quiz | None = None
    saved: bool = False


# ---------------------------------------------------------------- words


def line_of(item: Item) -> list[str]:
    """A question as a row of the list."""
    disease = pathology_name(item.pathology)
    hard = "–" if item.difficulty is None else f"{item.difficulty:.2f}"
    return [KINDS[item.kind.value], disease, item.state.value, hard, item.stem]


def answer_of(item: Item) -> str:
    """The question as a learner gets it, its key marked, as HTML."""
    if isinstance(item, ChoiceItem):
        lines = [("✓" if n == item.key else "", one.text, one.feedback) for n, one in enumerate(item.choices)]
    elif isinstance(item, SizeItem):
        lines = [("✓", f"{item.key_mm:.0f} mm", f"within {item.tolerance_mm:.0f} mm")]
    elif isinstance(item, LocaliseItem):
        lines = [("✓", "inside the outline", f"or within {item.tolerance_mm:g} mm of it")]
    elif isinstance(item, OrderItem):
        lines = [("✓", " ".join(reading.LETTERS[item.cases.index(case)] for case in item.key), "in order of time")]
    else:
        lines = [("✓", one.name, ", ".join(one.ways)) for one in item.expected]
    rows = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in line)}</tr>" for line in lines)
    points = "".join(f"<li>{html.escape(point)}</li>" for point in item.points)
    return (
        f'<div class="md-question"><p class="md-hint">{item.id}, version {item.version}, {item.state.value}</p><div translate="no"><p class="stem">{html.escape(item.stem)}</p>'
        f'<div class="md-scroll"><table class="md-table"><tbody>{rows}</tbody></table></div>'
        f"{f'<p>{html.escape(item.feedback)}</p>' if item.feedback else ''}{f'<ul>{points}</ul>' if points else ''}</div></div>"
    )


def faults_of(item: Item, of_cases: Sequence[str] = ()) -> str:
    """What an educator should look at before approving, as HTML.

    Args:
        of_cases: why its cases must not be shown.
    """
    from meddiff.teaching.quality import faults

    found = [*of_cases, *faults(item)]
    if not found:
        return '<p class="md-hint">No fault was found in its form: clue words, length, duplicates, feedback.</p>'
    return "".join(f'<div class="md-alert">{html.escape(fault)}</div>' for fault in found)


def blueprint_table(table: BlueprintTable) -> str:
    """What a quiz covers, as HTML."""
    diseases = load_pathologies()

    def row(what: str, counts: Sequence[Any], names: dict[str, str]) -> str:
        words = ", ".join(f"{names.get(count.name, count.name)} {count.items}" for count in counts)
        return f"<tr><td>{what}</td><td>{html.escape(words)}</td></tr>"

    wait = (
        f"<tr><td>Not approved</td><td>{len(table.waiting)}: learners do not see them</td></tr>"
        if table.waiting
        else ""
    )
    held = (
        f"<tr><td>Held back</td><td>{html.escape(', '.join(table.held_back))}: a case was deleted or rejected, learners do not see them</td></tr>"
        if table.held_back
        else ""
    )
    twice = (
        f"<tr><td>Shown twice</td><td>{html.escape(', '.join(table.repeated_cases))}: the feedback of one gives away the other</td></tr>"
        if table.repeated_cases
        else ""
    )
    return (
        '<div class="md-scroll"><table class="md-table"><tbody>'
        f"<tr><td>Questions</td><td>{table.items}, about {table.minutes:.0f} minutes, {table.normal_share:.0%} normal</td></tr>"
        f"{row('Diseases', table.pathologies, {key: disease.name for key, disease in diseases.items()})}"
        f"{row('Kinds', table.kinds, KINDS)}{row('Modality', table.modalities, {})}{row('Difficulty', table.difficulties, {})}{wait}{held}{twice}</tbody></table></div>"
    )


def held_back_words(ids: Sequence[str]) -> str:
    """That learners do not see approved questions because of their cases, as HTML."""
    if not ids:
        return ""
    shown = ", ".join(ids[:5]) + (" and others" if len(ids) > 5 else "")
    are = "question is" if len(ids) == 1 else "questions are"
    return alert(
        f"{len(ids)} approved {are} not shown to learners, because a case was deleted or rejected in the Case bank: {shown}. "
        "Search for the id, and retire the question or bring the case back."
    )


# ---------------------------------------------------------------- logic between the form and the store


def edited(item: Item, stem: str, feedback: str, points: str, choices: Sequence[Sequence[Any]], number: float) -> Item:
    """An item with other words.

    Args:
        choices: rows of (right, answer, feedback), of a choice item; empty rows are left out.
        number: the key in mm of a size item, the tolerance in mm of one that asks where.

    Raises:
        MedDiffError: more or less than one right choice.
        ValidationError: words or numbers that an item cannot have.
    """
    told: dict[str, Any] = item.model_dump(mode="json")
    told |= {"stem": stem.strip(), "feedback": feedback.strip()}
    told["points"] = [line.strip() for line in points.splitlines() if line.strip()]
    if isinstance(item, ChoiceItem):
        rows = [row for row in choices if str(row[1] or "").strip()]
        right = [n for n, row in enumerate(rows) if str(row[0]).strip().lower() in ("true", "✓", "x", "1", "yes")]
        if len(right) != 1:
            raise MedDiffError(f"{len(right) or 'No'} choices are marked as right: mark one.")
        keys = {choice.text: choice.key for choice in item.choices}
        told["choices"] = [
            {
                "text": str(row[1]).strip(),
                "feedback": str(row[2] or "").strip(),
                "key": keys.get(str(row[1]).strip(), ""),
            }
            for row in rows
        ]
        told["key"] = right[0]
    elif isinstance(item, SizeItem):
        told["key_mm"] = number
    elif isinstance(item, LocaliseItem):
        told["tolerance_mm"] = number
    return read_item(json.dumps(told))


# ---------------------------------------------------------------- the tab


def build(models: Models, files: Path) -> tuple[Any, list[Any], list[Any]]:
    """Places the tab and wires it; returns what fills its list, with inputs and outputs, for when the tab is chosen."""
    desk = gr.State(Desk())
    diseases = [(disease.name, key) for key, disease in load_pathologies().items()]
    kinds = [(name, key) for key, name in KINDS.items()]
    with gr.Tabs() as parts:
        with gr.Tab("Questions", id="questions"), gr.Row(equal_height=False):
            with gr.Column(scale=5, min_width=320), gr.Column(elem_classes="md-card"):
                gr.HTML("<h2>Questions</h2>")
                write = gr.Button("Write questions from the bank's cases", elem_id="md-teach-write")
                text = gr.Textbox(label="Search in questions, answers and names", elem_id="md-teach-search")
                with gr.Row():
                    state = gr.Dropdown(STATES, value="", label="State", min_width=110, elem_id="md-teach-state")
                    kind = gr.Dropdown([("All kinds", ""), *kinds], value="", label="Kind", min_width=130)
                    disease = gr.Dropdown(
                        [("All diseases", "*"), ("Normal", ""), *diseases], value="*", label="Disease", min_width=130
                    )
                notice = gr.HTML(elem_id="md-teach-notice")
                table = gr.Dataframe(
                    headers=["Kind", "Disease", "State", "Hard", "Question"], datatype="str", interactive=False, show_label=False,
                    wrap=True, max_height=520, buttons=[], column_widths=["19%", "20%", "17%", "11%", "33%"], elem_id="md-teach-list",
                )  # fmt: skip
            with gr.Column(scale=7, min_width=320):
                with gr.Column(visible=False) as bench:
                    room = reading.build("md-teach-room")
                    with gr.Column(elem_classes="md-card"):
                        shown = gr.HTML(elem_id="md-teach-item")
                        faults = gr.HTML(elem_id="md-teach-faults")
                        with gr.Row():
                            who = gr.Textbox(label="Your name", max_length=200, min_width=120, elem_id="md-teach-who")
                            approve = gr.Button("Approve", variant="primary", min_width=100, elem_id="md-teach-approve")
                            retire = gr.Button("Retire", min_width=100, elem_id="md-teach-retire")
                    with gr.Accordion("Edit this question", open=False, elem_id="md-teach-edit") as change:
                        stem = gr.Textbox(label="Question", lines=2, elem_id="md-teach-stem")
                        choices = gr.Dataframe(
                            headers=["Right", "Answer", "Feedback to who chooses it"], datatype=["bool", "str", "str"], interactive=True,
                            show_label=False, wrap=True, column_widths=["12%", "33%", "55%"], buttons=[], elem_id="md-teach-choices",
                        )  # fmt: skip
                        number = gr.Number(label="mm", visible=False, elem_id="md-teach-number")
                        feedback = gr.Textbox(label="Feedback to everybody", lines=2)
                        points = gr.Textbox(label="Teaching points, one a line", lines=3)
                        save = gr.Button("Save as a new version, to be approved again", elem_id="md-teach-save")
        with gr.Tab("Quizzes"), gr.Row(equal_height=False):
            with gr.Column(scale=5, min_width=320):
                with gr.Column(elem_classes="md-card"):
                    gr.HTML("<h2>Pick a quiz</h2>")
                    title = gr.Textbox("My quiz", label="Title", max_length=200, elem_id="md-quiz-title")
                    with gr.Row():
                        count = gr.Number(
                            10,
                            label="Questions",
                            minimum=1,
                            maximum=200,
                            precision=0,
                            min_width=90,
                            elem_id="md-quiz-count",
                        )
                        normals = gr.Slider(
                            0, 100, 20, step=5, label="Normal, %", min_width=120, elem_id="md-quiz-normals"
                        )
                        seed = gr.Number(0, label="Seed", precision=0, min_width=80)
                    wished = gr.Dropdown(diseases, value=[], multiselect=True, label="Diseases (none: all)")
                    of_kind = gr.Dropdown(
                        kinds, value=[], multiselect=True, label="Kinds (none: all)", elem_id="md-quiz-kinds"
                    )
                    modality = gr.Dropdown([("All", "")], value="", label="Modality", elem_id="md-quiz-modality")
                    with gr.Row():
                        easiest = gr.Slider(0, 1, 0, step=0.05, label="Difficulty from", min_width=110)
                        hardest = gr.Slider(0, 1, 1, step=0.05, label="to", min_width=110)
                    with gr.Row():
                        shuffle = gr.Checkbox(True, label="Each learner an order of their own")
                        minutes = gr.Number(0, label="Minutes (0: no limit)", minimum=0, precision=0, min_width=110)
                    pick = gr.Button("Pick the questions", variant="primary", elem_id="md-quiz-pick")
                    quiz_notice = gr.HTML(elem_id="md-quiz-notice")
                    with gr.Accordion("Make more cases at this difficulty", open=False, visible=False) as too_few:
                        wanting = more.build(models, "md-quiz-more")
                with gr.Column(elem_classes="md-card"):
                    gr.HTML("<h2>Kept quizzes</h2>")
                    kept = gr.Dropdown([], label="Quiz", elem_id="md-quiz-kept")
                    with gr.Row():
                        copy = gr.Button("Copy", size="sm", min_width=80, elem_id="md-quiz-copy")
                        delete = gr.Button("Delete", size="sm", min_width=80, elem_id="md-quiz-delete")
            with gr.Column(scale=7, min_width=320):
                with gr.Column(visible=False) as sheet:
                    with gr.Column(elem_classes="md-card"):
                        told = gr.HTML(elem_id="md-quiz-told")
                        cover = gr.HTML(elem_id="md-quiz-blueprint")
                        with gr.Row():
                            keep = gr.Button("Save this quiz", variant="primary", min_width=120, elem_id="md-quiz-save")
                            form = gr.Dropdown([], label="Take it with you as", min_width=150, elem_id="md-quiz-format")
                            take = gr.Button("Download", min_width=100, elem_id="md-quiz-take")
                        taken = gr.DownloadButton(visible=False)
                    gr.HTML("<h2>As learners see it</h2>")
                    page_of = gr.Slider(1, 2, 1, step=1, label="Question", elem_id="md-quiz-page")
                    preview_room = reading.build("md-quiz-room")
                    preview = gr.HTML(elem_id="md-quiz-preview")
        with gr.Tab("Statistics") as figures_tab:
            figures = statistics.build(models, files, KINDS)
        with gr.Tab("Reader study") as study_tab:
            list_studies, wanted_of_them, studies_listed = study.build(files)

    filters = [text, state, kind, disease]
    of_item = [desk, notice, bench, room, shown, faults, stem, choices, number, feedback, points]
    short = [too_few, *wanting.fields, wanting.told]
    of_quiz = [desk, quiz_notice, sheet, told, cover, keep, page_of, preview_room, preview, kept]

    def store() -> Questions:
        from meddiff.teaching.store import Questions

        return Questions()

    def complain(where: Any, error: Exception) -> dict[Any, Any]:
        return {where: alert(sentence_of(error))}  # type: ignore[arg-type]

    # ------------------------------------------------------------ questions

    def filled(desk_now: Desk, *wanted: Any) -> dict[Any, Any]:
        first_use.load_bank()
        try:
            from meddiff.teaching.export import FORMATS

            formats, questions = [(told.about, name) for name, told in FORMATS.items()], store()
            return {
                **listed(desk_now, *wanted),
                kept: gr.update(choices=quizzes(questions)),
                modality: gr.update(choices=[("All", ""), *((name, name) for name in questions.modalities())]),
                form: gr.update(choices=formats, value=formats[0][1]),
            }
        except MedDiffError as error:
            return complain(notice, error)

    def listed(desk_now: Desk, *wanted: Any) -> dict[Any, Any]:
        from meddiff.teaching.item import State
        from meddiff.teaching.store import ItemSearch

        words, state_now, kind_now, disease_now = wanted
        questions = store()
        found = questions.find(
            ItemSearch(
                text=words or "", state=State(state_now) if state_now else None, kinds=(kind_now,) if kind_now else (),
                pathologies=() if disease_now == "*" else (disease_now,), limit=ROWS,
            )
        )  # fmt: skip
        desk_now.ids = [item.id for item in found.items]
        more = f" The first {ROWS} are listed: filter to reach the others." if found.total > ROWS else ""
        hint = f"{found.total} questions.{more}" if found.total else EMPTY
        return {
            desk: desk_now,
            notice: f'<p class="md-hint">{hint}</p>{held_back_words(questions.held_back())}',
            table: [line_of(item) for item in found.items],
        }

    def relisted(desk_now: Desk, *wanted: Any) -> dict[Any, Any]:
        try:
            return listed(desk_now, *wanted)
        except MedDiffError as error:
            return complain(notice, error)

    def written(desk_now: Desk, *wanted: Any) -> dict[Any, Any]:
        try:
            from meddiff.bank import Bank
            from meddiff.teaching.from_bank import write_from_bank

            made = write_from_bank(store(), Bank(), language=visitor())
        except (MedDiffError, ValidationError) as error:
            return complain(notice, error)
        updates = listed(desk_now, *wanted)
        words = (
            f"{len(made.new)} new questions from {made.cases} accepted cases; they are drafts until you approve them."
            if made.cases
            else "The bank has no accepted case yet: make some in Create and keep them, or run meddiff bank starter."
        )
        return {**updates, notice: note(words)}

    def chosen(desk_now: Desk, event: gr.SelectData) -> dict[Any, Any]:
        row = event.index[0] if isinstance(event.index, (list, tuple)) else event.index
        if row >= len(desk_now.ids):
            return {desk: desk_now}
        try:
            return placed(desk_now, store().item(desk_now.ids[row]))
        except MedDiffError as error:
            return complain(notice, error)

    def placed(desk_now: Desk, item: Item) -> dict[Any, Any]:
        """Updates that put a question on the bench."""
        from meddiff.bank import Bank
        from meddiff.teaching.approval import faults as faults_in

        desk_now.item = item
        wrong = faults_in(Bank(), item.cases)
        of_cases = [f"The question cannot be approved: {wrong[case]}" for case in item.cases if wrong[case]]
        try:
            cases, pictures = pictures_of(item)
            view = reading.shown(pictures, outlines_of(item, cases))
        except MedDiffError:  # a case that is gone or damaged, as `of_cases` says: the question can still be retired
            view = ""
        rows = (
            [[n == item.key, c.text, c.feedback] for n, c in enumerate(item.choices)]
            if isinstance(item, ChoiceItem)
            else []
        )
        value = (
            item.key_mm if isinstance(item, SizeItem) else item.tolerance_mm if isinstance(item, LocaliseItem) else None
        )
        words = "True size in mm" if isinstance(item, SizeItem) else "Right within so many mm"
        return {
            desk: desk_now,
            bench: gr.update(visible=True),
            room: view,
            shown: answer_of(item),
            faults: faults_of(item, of_cases),
            stem: item.stem,
            choices: gr.update(value=rows, visible=bool(rows)),
            number: gr.update(value=value, label=words, visible=value is not None),
            feedback: item.feedback,
            points: "\n".join(item.points),
        }

    def decide(what: str) -> Any:
        def act(desk_now: Desk, name: str, *wanted: Any) -> dict[Any, Any]:
            if desk_now.item is None:
                return {desk: desk_now}
            try:
                questions = store()
                item = desk_now.item
                if what == "approve":
                    from meddiff.bank import Bank
                    from meddiff.teaching.approval import approve as let_see

                    (item,) = let_see(questions, Bank(), [item.id], name or "", item.version)
                else:
                    item = questions.retire(item.id, name or "")
                return {
                    **listed(desk_now, *wanted),
                    **placed(desk_now, item),
                    notice: note(f"{item.id} is {item.state.value}."),
                }
            except MedDiffError as error:
                return complain(notice, error)

        return act

    def saved(desk_now: Desk, name: str, *values: Any) -> dict[Any, Any]:
        if desk_now.item is None:
            return {desk: desk_now}
        (stem_now, choices_now, number_now, feedback_now, points_now), wanted = values[:5], values[5:]
        try:
            rows = choices_now.values.tolist() if hasattr(choices_now, "values") else choices_now or []
            item = edited(desk_now.item, stem_now, feedback_now, points_now, rows, number_now or 0)
            questions = store()
            (item,) = questions.edit([item], name or "")
            return {
                **listed(desk_now, *wanted),
                **placed(desk_now, item),
                notice: note(f"Version {item.version} of {item.id} is a draft: approve it."),
            }
        except (MedDiffError, ValidationError) as error:
            return complain(notice, error)

    def brought(desk_now: Desk, looked_at: statistics.Desk) -> dict[Any, Any]:
        """Brings a question from the statistics to the bench."""
        try:
            updates = placed(desk_now, store().item(looked_at.item))
            return {**updates, parts: gr.Tabs(selected="questions"), change: gr.update(open=True)}
        except MedDiffError as error:
            return {parts: gr.Tabs(selected="questions"), **complain(notice, error)}

    # ------------------------------------------------------------ quizzes

    def quizzes(questions: Questions) -> list[tuple[str, str]]:
        from meddiff.teaching.quiz import list_quizzes

        return [
            (f"{one.quiz.title} ({len(one.quiz.items)}, version {one.quiz.version})", one.quiz.id)
            for one in list_quizzes(questions)
        ]

    def on_sheet(desk_now: Desk, quiz: Quiz, is_kept: bool, words: str = "") -> dict[Any, Any]:
        """Updates that show a quiz."""
        from meddiff.teaching.blueprint import blueprint_of

        questions = store()
        desk_now.quiz, desk_now.saved = quiz, is_kept
        name = f"{html.escape(quiz.title)}"
        line = f"{quiz.id}, version {quiz.version}" if is_kept else "not saved yet"
        return {
            desk: desk_now,
            quiz_notice: note(words) if words else "",
            sheet: gr.update(visible=True),
            told: f'<h2>{name}</h2><p class="md-hint">{line}</p>',
            cover: blueprint_table(blueprint_of(questions, quiz)),
            keep: gr.update(interactive=not is_kept, value="Saved" if is_kept else "Save this quiz"),
            page_of: gr.update(maximum=max(len(quiz.items), 2), value=1, visible=len(quiz.items) > 1),
            **previewed(desk_now, 1),
            kept: gr.update(choices=quizzes(questions), value=quiz.id if is_kept else None),
        }

    def previewed(desk_now: Desk, which: float) -> dict[Any, Any]:
        if desk_now.quiz is None:
            return {}
        ids = desk_now.quiz.items
        item = store().items([ids[min(int(which), len(ids)) - 1]])[0]
        try:
            view = reading.shown(pictures_of(item)[1])
        except MedDiffError as error:
            return {preview_room: "", preview: alert(f"Learners do not see {item.id}: {error}")}
        listed_choices = "".join(f"<li>{html.escape(choice.text)}</li>" for choice in getattr(item, "choices", ()))
        return {
            preview_room: view,
            preview: f'<div class="md-card md-question" translate="no"><p class="stem">{html.escape(item.stem)}</p><ol>{listed_choices}</ol></div>',
        }

    def picked(desk_now: Desk, *values: Any) -> dict[Any, Any]:
        from meddiff.teaching.blueprint import Blueprint, build_quiz
        from meddiff.teaching.quiz import QuizSettings

        name, number_now, normal, seed_now, diseases_now, kinds_now, modality_now, low, high, mixed, limit = values
        any_difficulty = low <= 0 and high >= 1
        try:
            wishes = Blueprint(
                title=name, number=int(number_now or 0), pathologies=tuple(diseases_now), kinds=tuple(kinds_now), modality=modality_now or "",
                normal_share=normal / 100,
                difficulty_from=None if any_difficulty else low, difficulty_to=None if any_difficulty else high,
                settings=QuizSettings(shuffle=mixed, seconds=int(limit) * 60 if limit else None),
            )  # fmt: skip
            quiz = build_quiz(store(), wishes, int(seed_now or 0))
            return {**on_sheet(desk_now, quiz, False), too_few: gr.update(visible=False)}
        except (MedDiffError, ValidationError) as error:
            return {
                **complain(quiz_notice, error),
                too_few: gr.update(visible=isinstance(error, MedDiffError), open=True),
                wanting.diseases: list(diseases_now),
                wanting.easiest: low,
                wanting.hardest: high,
                wanting.number: min(int(number_now or 1), 10),
                wanting.told: "",
            }

    def kept_now(desk_now: Desk, name: str) -> dict[Any, Any]:
        if desk_now.quiz is None:
            return {desk: desk_now}
        try:
            from meddiff.teaching.quiz import save_quiz

            quiz = save_quiz(store(), desk_now.quiz, name or "")
            return on_sheet(desk_now, quiz, True, f"{quiz.title} is saved. Learners find it in the Practice tab.")
        except MedDiffError as error:
            return complain(quiz_notice, error)

    def opened(desk_now: Desk, quiz_id: str | None) -> dict[Any, Any]:
        if not quiz_id:
            return {desk: desk_now}
        try:
            from meddiff.teaching.quiz import open_quiz

            return on_sheet(desk_now, open_quiz(store(), quiz_id), True)
        except MedDiffError as error:
            return complain(quiz_notice, error)

    def copied(desk_now: Desk, quiz_id: str | None, name: str) -> dict[Any, Any]:
        try:
            from meddiff.teaching.quiz import copy_quiz

            if not quiz_id:
                raise MedDiffError("Choose a quiz first.")
            return on_sheet(desk_now, copy_quiz(store(), quiz_id, name or ""), True, "This is the copy.")
        except MedDiffError as error:
            return complain(quiz_notice, error)

    def deleted(desk_now: Desk, quiz_id: str | None, name: str) -> dict[Any, Any]:
        try:
            from meddiff.teaching.quiz import delete_quiz

            if not quiz_id:
                raise MedDiffError("Choose a quiz first.")
            questions = store()
            delete_quiz(questions, quiz_id, name or "")
            words = f"Deleted. `meddiff quiz restore {quiz_id}` brings it back."
            return {
                desk: desk_now, sheet: gr.update(visible=False), quiz_notice: note(words),
                kept: gr.update(choices=quizzes(questions), value=None),
            }  # fmt: skip
        except MedDiffError as error:
            return complain(quiz_notice, error)

    def given(desk_now: Desk, format_now: str) -> dict[Any, Any]:
        if desk_now.quiz is None:
            return {taken: None}
        try:
            from meddiff.bank import Bank
            from meddiff.teaching.export import export_quiz

            questions = store()
            held_back = set(questions.held_back())
            left_out = [item for item in desk_now.quiz.items if item in held_back]
            items = questions.items([item for item in desk_now.quiz.items if item not in held_back])
            words = f"Left out, since a case was deleted or rejected: {', '.join(left_out)}." if left_out else ""
            folder = files / "quizzes" / secrets.token_hex(8)
            return {
                taken: str(export_quiz(desk_now.quiz.title, items, Bank().open, folder, format_now)),
                quiz_notice: note(words) if words else "",
            }
        except MedDiffError as error:
            return {taken: None, **complain(quiz_notice, error)}

    private: dict[str, Any] = {"api_visibility": "private"}
    quiet: dict[str, Any] = {"show_progress": "hidden", **private}
    lists = [desk, notice, table]
    study_tab.select(list_studies, wanted_of_them, studies_listed, **quiet)
    for component in (text, state, kind, disease):
        component.change(relisted, [desk, *filters], lists, **quiet)
    write.click(written, [desk, *filters], lists, show_progress="full", show_progress_on=notice, **private)
    table.select(chosen, desk, of_item, **quiet)
    approve.click(decide("approve"), [desk, who, *filters], [*of_item, table], **quiet)
    retire.click(decide("retire"), [desk, who, *filters], [*of_item, table], **quiet)
    figures.edit.click(brought, [desk, figures.desk], [*of_item, parts, change], **quiet)
    figures_tab.select(figures.fill, figures.inputs, figures.outputs, **quiet)
    save.click(saved, [desk, who, stem, choices, number, feedback, points, *filters], [*of_item, table], **quiet)
    wishes_of = [title, count, normals, seed, wished, of_kind, modality, easiest, hardest, shuffle, minutes]
    pick.click(picked, [desk, *wishes_of], [*of_quiz, *short], **quiet)
    keep.click(kept_now, [desk, who], of_quiz, **quiet)
    kept.input(opened, [desk, kept], of_quiz, **quiet)
    copy.click(copied, [desk, kept, who], of_quiz, **quiet)
    delete.click(deleted, [desk, kept, who], of_quiz, **quiet)
    page_of.release(previewed, [desk, page_of], [preview_room, preview], **quiet)
    take.click(given, [desk, form], [taken, quiz_notice], **quiet).then(None, taken, js=viewer.SAVE_JS)
    return filled, [desk, *filters], [*lists, kept, modality, form]
