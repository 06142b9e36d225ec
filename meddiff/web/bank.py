"""The Case bank tab: what was kept, found, opened, reviewed, tagged, deleted and brought back, and carried elsewhere as one file."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from pydantic import ValidationError

from meddiff.case import Case, MedDiffError, Plane, Status
from meddiff.conditions.vocabulary import load_pathologies
from meddiff.web import first_use, pacs, viewer
from meddiff.web.create import sentence_of
from meddiff.web.language import say, warn
from meddiff.web.style import alert, note

if TYPE_CHECKING:  # the database's library is loaded when the tab is opened
    from meddiff.bank import Entry, Search

COLUMNS = ["Case", "What was asked", "Check", "Review"]
REVIEWS = [("Draft", "draft"), ("Approved", "approved"), ("Rejected", "rejected")]
PAGE = 200  # rows shown; the filters reach the rest
PICTURES = 24  # shown at a time: each is read, shrunk and stamped when it is first looked at


def rows(entries: Sequence[Entry]) -> list[list[str]]:
    """Cases as rows of the list."""
    return [
        [
            entry.case.id,
            entry.case.request.sentence + (f" [{', '.join(entry.tags)}]" if entry.tags else ""),
            "✓" if entry.case.status is Status.ACCEPTED else "✗",
            entry.review.value,
        ]
        for entry in entries
    ]


def told(entry: Entry) -> str:
    """What people said of a case, as HTML: review, versions, history in short."""
    by = f" by {entry.reviewer} on {entry.reviewed[:10]}: {entry.why}" if entry.reviewer else ""
    versions = f" Version {entry.version} of {entry.versions}." if entry.versions > 1 else ""
    words = (
        f"This case is deleted, since {entry.deleted[:10]}." if entry.deleted else f"Review: {entry.review.value}{by}."
    )
    return f'<p class="md-hint" id="md-told">{html.escape(words + versions)}</p>'


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

    data = thumbnail(Bank().open(case_id, deleted=True).image)
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
    seen: gr.State = gr.State(None)  # id and revision of the case as this visitor saw it
    listed: gr.State = gr.State([])  # id and caption of the cases that the filters let pass
    pictured: gr.State = gr.State([])  # ids in the gallery, in its order
    pathologies = [("All diseases", "")] + [(p.name, key) for key, p in load_pathologies().items()]
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=320), gr.Column(elem_classes="md-card"):
            gr.HTML("<h2>Kept cases</h2>")
            text = gr.Textbox(
                label="Search in sentences, case names, tags and notes",
                placeholder="for example: meningioma",
                elem_id="md-search",
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
                    label="Check",
                    min_width=110,
                )
            with gr.Row():
                decided = gr.Dropdown(
                    [("All", ""), *REVIEWS], value="", label="Review", min_width=110, elem_id="md-bank-review"
                )
                smallest = gr.Number(0, label="From mm", minimum=0, min_width=80, elem_id="md-bank-from")
                largest = gr.Number(0, label="To mm (0: any)", minimum=0, min_width=80, elem_id="md-bank-to")
                tagged = gr.Dropdown([], value=[], multiselect=True, label="Tags", min_width=140)
            gone = gr.Checkbox(False, label="Show the deleted cases instead", elem_id="md-bank-deleted")
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
                        buttons=[], column_widths=["34%", "36%", "11%", "19%"], elem_id="md-bank",
                    )  # fmt: skip
            with gr.Accordion("Carry this list elsewhere, or take another bank in", open=False, elem_id="md-carry"):
                with gr.Row():
                    export = gr.Button("Export what is listed", size="sm", min_width=120, elem_id="md-export")
                    download = gr.DownloadButton(
                        "Download the file", size="sm", visible=False, min_width=120, elem_id="md-export-file"
                    )
                    upload = gr.UploadButton(
                        "Import a file", file_types=[".zip"], size="sm", min_width=120, elem_id="md-import"
                    )
                carried = gr.HTML(elem_id="md-carried")
        with gr.Column(scale=7, min_width=320):
            shown = viewer.build("md-bank-view", "<b>Pick a case to open it.</b>")
            with shown.facts, gr.Column(elem_classes="md-card") as sending:
                before_sent, became = pacs.build(opened)
            with gr.Column(visible=False, elem_classes="md-card") as about:
                said = gr.HTML()
                with gr.Row() as judging:
                    who = gr.Textbox(label="Your name", max_length=200, min_width=120, elem_id="md-who")
                    state = gr.Radio(REVIEWS, label="Your review", min_width=220, elem_id="md-review")
                    why = gr.Textbox(
                        label="Why", placeholder="in a few words", max_length=4000, min_width=160, elem_id="md-why"
                    )
                with gr.Row() as describing:
                    tags = gr.Textbox(label="Tags, with commas between", min_width=160, elem_id="md-tags")
                    notes = gr.Textbox(label="Notes", max_length=4000, min_width=160, elem_id="md-notes")
                with gr.Row():
                    save = gr.Button("Save review, tags and notes", variant="primary", min_width=160, elem_id="md-save")
                    delete = gr.Button("Delete this case", variant="secondary", min_width=120, elem_id="md-delete")
            with gr.Row(visible=False) as undoing:
                undo = gr.Button("Undo", min_width=90, elem_id="md-undo")

    filters = [pathology, plane, status, text, decided, smallest, largest, tagged, gone]

    def asked(*values: Any) -> Search:
        from meddiff.bank import Review, Search

        pathology, plane, status, text, decided, smallest, largest, tags, deleted = values
        return Search(
            pathology=pathology, plane=plane, status=status, text=text, review=Review(decided) if decided else None,
            size_from_mm=smallest or None, size_to_mm=largest or None, tags=tuple(tags or ()), deleted=deleted, limit=PAGE,
        )  # fmt: skip

    def fill(*values: Any) -> list[Any]:
        first_use.load_bank()
        try:
            from meddiff.bank import Bank

            bank = Bank()
            found, known = bank.find(asked(*values)), bank.tags()
        except (MedDiffError, ValidationError) as error:
            words = sentence_of(error)
            warn(words)
            return [gr.skip(), alert(words), *(gr.skip() for _ in range(5))]
        shown_now = (
            f" (these {PAGE} come first; filter to reach the others)" if found.total > len(found.entries) else ""
        )
        if found.total:
            told = f"{found.total} case{'s' if found.total != 1 else ''}{shown_now}"
        elif any(values):
            told = "No case fits these filters."
        else:
            told = "The bank is empty: keep a case on the Create page."
        cases = [(entry.case.id, caption(entry.case)) for entry in found.entries]
        return [
            rows(found.entries), f'<p class="md-hint">{told}</p>', cases, *pictures(cases, PICTURES),
            gr.update(choices=[(tag, tag) for tag in known]),
        ]  # fmt: skip

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

            bank = Bank()
            sealed = bank.open(case_id, deleted=True)
            return _on_page(sealed, bank.entry(case_id), which)
        except MedDiffError as error:
            warn(str(error), "Not opened")
            return {notice: alert(str(error)), **_only_deletable(case_id)}

    def _only_deletable(case_id: str) -> dict[Any, Any]:
        """A damaged case cannot be shown, and can be deleted."""
        try:
            from meddiff.bank import Bank

            entry = Bank().entry(case_id)
        except MedDiffError:
            return {}
        return _on_page(None, entry, "")

    def _on_page(sealed: Any, entry: Entry | None, which: str) -> dict[Any, Any]:
        here = entry is not None and not entry.deleted
        return {
            opened: sealed,
            seen: (entry.case.id, entry.revision) if entry else None,
            about: gr.update(visible=entry is not None),
            said: told(entry) if entry else "",
            **{part: gr.update(visible=here) for part in (judging, describing, save, delete, sending)},
            before_sent: pacs.before(sealed),
            became: "",
            undoing: gr.update(visible=entry is not None and bool(entry.deleted)),
            undo: "Bring it back",
            state: entry.review.value if entry else None,
            why: entry.why if entry else "",
            tags: ", ".join(entry.tags) if entry else "",
            notes: entry.notes if entry else "",
            **dict(zip(shown.outputs, shown.shown(sealed, which, files), strict=True)),
        }

    def store(which_case: tuple[str, int], who: str, state: str, why: str, tags: str, notes: str) -> dict[Any, Any]:
        try:
            from meddiff.bank import Bank, Review

            bank, (case_id, revision) = Bank(), which_case
            wanted = [tag for tag in tags.split(",") if tag.strip()]
            entry = bank.annotate(
                case_id, who, tags=wanted, notes=notes, revision=revision,
                decision=(Review(state), why),
            )  # fmt: skip
        except MedDiffError as error:
            warn(str(error), "Not saved")
            return {said: alert(str(error))}
        gr.Info(say("Saved."))
        return {said: told(entry), seen: (case_id, entry.revision)}

    def remove(which_case: tuple[str, int], who: str, which: str) -> dict[Any, Any]:
        case_id, revision = which_case
        try:
            from meddiff.bank import Bank

            Bank().delete(case_id, who, revision=revision)
        except MedDiffError as error:
            warn(str(error), "Not deleted")
            return {said: alert(str(error))}
        return {
            **_on_page(None, None, which),
            seen: which_case,
            undoing: gr.update(visible=True),
            undo: f"Undo: bring {case_id} back",
        }

    def bring_back(which_case: tuple[str, int], who: str, which: str) -> dict[Any, Any]:
        try:
            from meddiff.bank import Bank

            Bank().restore(which_case[0], who)
        except MedDiffError as error:
            warn(str(error), "Not brought back")
            return {}
        return show(which_case[0], which)

    def give(*values: Any) -> dict[Any, Any]:
        try:
            from meddiff.bank import Bank
            from meddiff.teaching.archive import export_with_questions
            from meddiff.teaching.store import Questions

            path = files / "meddiff-bank.zip"
            out, questions = export_with_questions(Bank(), Questions(), path, asked(*values))
        except (MedDiffError, ValidationError) as error:
            return {carried: alert(sentence_of(error))}
        words = f"{out.cases} case{'s' if out.cases != 1 else ''} in the file, with {len(questions.items)} questions and {len(questions.quizzes)} quizzes."
        if out.on_slices:
            words += f" {out.on_slices} stand on a slice that was given, and show it: give them away only if you may."
        words += "".join(f" Left out: {line}" for line in out.left_out)
        return {carried: note(words), download: gr.update(value=str(path), visible=True)}

    def take(path: str, who: str) -> dict[Any, Any]:
        try:
            from meddiff.bank import Bank
            from meddiff.teaching.archive import import_with_questions
            from meddiff.teaching.store import Questions

            got, taken = import_with_questions(Bank(), Questions(), path, who)
        except MedDiffError as error:
            return {carried: alert(str(error))}
        words = f"{len(got.new)} new, {len(got.new_version)} with a new version, {len(got.there)} were there. Questions: {taken}."
        refused = "".join(f" Refused: {line}." for line in (*got.refused, *taken.refused))
        return {carried: alert(words + refused) if refused else note(words)}

    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    view = [
        opened,
        seen,
        about,
        said,
        judging,
        describing,
        save,
        delete,
        undoing,
        undo,
        state,
        why,
        tags,
        notes,
        notice,
        sending,
        before_sent,
        became,
        *shown.outputs,
    ]
    filled = [table, notice, listed, pictured, gallery, more, tagged]
    changed = [*(part.change for part in (pathology, plane, status, decided, gone)), tagged.input]
    typed = [event for part in (text, smallest, largest) for event in (part.submit, part.blur)]
    gr.on([*changed, *typed], fill, filters, filled, **quiet)
    for picked in (
        table.select(show_row, shown.which, view, **quiet),
        gallery.select(show_picture, [pictured, shown.which], view, **quiet),
    ):
        picked.then(None, js=viewer.scroll_on_phones("md-bank-view"))
    more.click(
        lambda cases, ids: pictures(cases, len(ids) + PICTURES), [listed, pictured], [pictured, gallery, more], **quiet
    )
    shown.wire(opened, lambda sealed: sealed, files)
    save.click(store, [seen, who, state, why, tags, notes], [said, seen], **quiet).then(fill, filters, filled, **quiet)
    delete.click(remove, [seen, who, shown.which], view, **quiet).then(fill, filters, filled, **quiet)
    undo.click(bring_back, [seen, who, shown.which], view, **quiet).then(fill, filters, filled, **quiet)
    export.click(give, filters, [carried, download], **quiet)
    upload.upload(take, [upload, who], [carried], **quiet).then(fill, filters, filled, **quiet)
    return fill, filters, filled
