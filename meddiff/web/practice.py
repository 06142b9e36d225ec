"""The Practice tab: an unknown case, an answer, and feedback that no textbook gives: the same patient without the lesion."""

from __future__ import annotations

import html
import json
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from meddiff.case import MaskSpec, MedDiffError
from meddiff.conditions.vocabulary import load_pathologies, pathology_name
from meddiff.teaching.item import ChoiceItem, Item
from meddiff.teaching.wording import name_of, words_of
from meddiff.web import first_use, reading, viewer
from meddiff.web.charts import days_plot
from meddiff.web.language import visitor
from meddiff.web.style import alert, note

if TYPE_CHECKING:  # the database's library is loaded when the tab is opened
    import numpy as np

    from meddiff.marking.seal import SealedCase, SealedImage
    from meddiff.teaching.practice import Progress
    from meddiff.teaching.score import Score
    from meddiff.teaching.store import ItemSearch, Questions

NAME = "md-practice-room"
WELCOME = (
    "<b>Read cases of rare disease, with an answer key that is right.</b><br>All pictures are synthetic. Nothing about you is asked: "
    "you get a code, and this browser remembers it. Note it down if you want to go on elsewhere."
)
NOTHING_HERE = (
    "There is no question to practise yet. Whoever teaches writes questions from the cases in the bank and approves them, in the "
    "Teach tab or with <code>meddiff items</code>."
)
LOST = "MedDiff was started again since this question was shown, and your answer to it is not kept. Load the page again to go on."
ALIKE = 3  # pictures of look-alikes beside the feedback
DONE = "Nothing is due now, and there is nothing new."
CONFIDENCES = [("1 a guess", 1), ("2", 2), ("3", 3), ("4", 4), ("5 certain", 5)]
ASK = {
    "localise": "Click the middle of the lesion in the picture, or press Draw an outline and draw around it.",
    "order": "Choose the letters in order of time, the earliest first.",
    "size": "Its longest diameter, in mm.",
    "free_text": "Describe what you see in a sentence or two.",
}

TOLD: dict[str, dict[str, str]] = {  # around what a question itself tells, in its language
    "en": {
        "right": "right",
        "partly": "partly right",
        "wrong": "not right",
        "today": " It comes back today.",
        "back": " It comes back on {day}.",
        "remember": "Remember",
        "alike": "Looks like {name}",
    },
    "zh": {
        "right": "正确",
        "partly": "部分正确",
        "wrong": "不正确",
        "today": " 今天会再次出现。",
        "back": " {day} 再次出现。",
        "remember": "要点",
        "alike": "与{name}相似的疾病",
    },
}


@dataclass
class Asked:
    """A question that was put before a learner; whether it is answered stays with it, whatever is put before them meanwhile."""

    item: Item
    cases: list[SealedCase]
    quiz: str  # id; empty: practice
    quiz_version: int | None
    begun: float = field(default_factory=time.monotonic)
    token: str = field(default_factory=lambda: secrets.token_hex(12))
    answered: bool = False


@dataclass
class Desk:
    """What one learner has before them. Lives in memory only; what must last is in the store."""

    learner: str = ""
    quiz: str = ""  # id of the quiz they sit before; empty: practice
    wish: str = ""  # what they practise, a value of `to_do`; empty: all
    asked: Asked | None = None
    modalities: list[str] | None = None  # to choose among; None: not looked up yet
    not_shown: set[str] = field(default_factory=set)  # ids of questions whose pictures are gone or damaged


# ---------------------------------------------------------------- words


def stem_of(item: Item, left: str) -> str:
    """The question, and in a few words how much is left, as HTML."""
    ask = ASK.get(item.kind.value, "")
    asked = f'<p class="md-hint">{html.escape(ask)}</p>' if ask else ""
    return f'<div class="md-question"><p class="md-hint">{html.escape(left)}</p><p class="stem" translate="no">{html.escape(item.stem)}</p>{asked}</div>'


def feedback_of(item: Item, score: Score, due: str, alike: Mapping[str, SealedImage] | None = None) -> str:
    """What the answer was worth and why, teaching points and their sources, as HTML in the question's language.

    Args:
        alike: pictures of look-alikes by their keys.
    """
    words = TOLD[item.language]
    right = words["right" if score.right else "partly" if score.credit > 0 else "wrong"]
    look = "accepted" if score.right else "rejected"
    today = due[:10] == datetime.now(UTC).date().isoformat()
    back = "" if not due else words["today"] if today else words["back"].format(day=due[:10])
    points = "".join(f"<li>{html.escape(point)}</li>" for point in item.points)
    remembered = f"<h3>{words['remember']}</h3><ul>{points}</ul>"
    sources = " ".join(html.escape(source) for source in item.sources)
    sources = f'<p class="md-hint">{sources}</p>' if sources else ""
    return (
        f'<div class="md-feedback" translate="no"><p><span class="md-badge {look}">{right}</span>'
        f'<span class="md-hint">{back}</span></p><p>{html.escape(score.feedback)}</p>'
        f"{f'<p>{html.escape(item.feedback)}</p>' if item.feedback else ''}"
        f"{points and remembered}"
        f"{look_alikes_of(item, alike or {})}{sources}</div>"
    )


def look_alikes_of(item: Item, alike: Mapping[str, SealedImage]) -> str:
    """What looks like this disease, side by side where there are pictures, and what tells them apart, as HTML."""
    diseases, words = load_pathologies(), words_of(item.language)
    disease = diseases.get(item.pathology)
    if disease is None or not disease.look_alikes:
        return ""
    rows = "".join(
        f"<tr><td>{html.escape(name_of(diseases[other.key], words) if other.key in diseases else other.key)}</td><td>{html.escape(other.apart)}</td></tr>"
        for other in disease.told_in(item.language).look_alikes
    )
    heading = TOLD[item.language]["alike"].format(name=name_of(disease, words))
    names = [name_of(diseases[key], words) for key in alike]
    pictures = f'<div class="md-alike">{reading.shown(list(alike.values()), captions=names)}</div>' if alike else ""
    return f'<h3>{html.escape(heading)}</h3>{pictures}<div class="md-scroll"><table class="md-table"><tbody>{rows}</tbody></table></div>'


def look_alike_pictures(item: Item, questions: Questions, learner: str) -> dict[str, SealedImage]:
    """Pictures of up to `ALIKE` look-alikes, by their keys, out of cases that the learner has read: others would give an answer away."""
    from meddiff.bank import Bank
    from meddiff.teaching.practice import read_cases

    disease = load_pathologies().get(item.pathology)
    keys = [one.key for one in disease.look_alikes] if disease else []
    read = read_cases(questions, learner, keys) if keys else {}
    bank = Bank()
    pictures: dict[str, SealedImage] = {}
    for key in (key for key in keys if key in read):
        if len(pictures) == ALIKE:
            break
        with suppress(MedDiffError):  # deleted since
            pictures[key] = bank.open(read[key]).image
    return pictures


def progress_of(told: Progress) -> str:
    """How a learner does, by pathology and over time, as HTML."""
    if not told.by_pathology:
        return '<p class="md-hint">Your progress appears here after the first answer.</p>'
    rows = "".join(
        f"<tr><td>{html.escape(pathology_name(row.pathology))}</td>"
        f"<td>{row.right} of {row.answers}</td><td>{_share(row.recall)}</td><td>{row.due}</td></tr>"
        for row in told.by_pathology
    )
    days: dict[str, tuple[int, int]] = {}
    for day in told.by_day:
        right, answers = days.get(day.day, (0, 0))
        days[day.day] = (right + day.right, answers + day.answers)
    return (
        f"{days_plot([(day, right, answers) for day, (right, answers) in sorted(days.items())])}"
        '<div class="md-scroll"><table class="md-table"><thead><tr><th>Disease</th><th>Right</th><th>Would know now</th><th>Due</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"


# ---------------------------------------------------------------- pictures of an item


def pictures_of(item: Item) -> tuple[list[SealedCase], list[SealedImage]]:
    """The cases of an item, and the pictures that it shows.

    Raises:
        MedDiffError: a case is not in the bank, or damaged.
    """
    from meddiff.bank import Bank

    bank = Bank()
    cases = [bank.open(case_id) for case_id in item.cases]
    return cases, shown_of(item, cases)


def shown_of(item: Item, cases: Sequence[SealedCase]) -> list[SealedImage]:
    """The pictures that an item shows of its cases, each the case or its twin."""
    return [case.image if role == "case" else case.twin for case, (_, role) in zip(cases, item.shown, strict=True)]


def outlines_of(item: Item, cases: Sequence[SealedCase]) -> list[np.ndarray | None]:
    """The lesion's outline in each picture that an item shows, bool [H, W]; None in a twin."""
    return [case.mask if role == "case" else None for case, (_, role) in zip(cases, item.shown, strict=True)]


# ---------------------------------------------------------------- what comes next


def to_do(questions: Questions, modalities: Sequence[str] = ()) -> list[tuple[str, str]]:
    """What a learner can choose to do: practice of all, of one difficulty or modality, or a quiz."""
    from meddiff.teaching.blueprint import bands_of
    from meddiff.teaching.quiz import list_quizzes

    ready = [one.quiz for one in list_quizzes(questions) if len(one.waiting) < len(one.quiz.items)]
    return [
        ("Practice, at my own pace", ""),
        *((f"Practice, {name} questions", f"difficulty {name}") for name in bands_of(questions)),
        *((f"Practice, {name} only", f"modality {name}") for name in modalities),
        *((f"Quiz: {quiz.title}", quiz.id) for quiz in ready),
    ]


def wanted_of(wish: str) -> ItemSearch:
    """What a choice of `to_do` asks of questions."""
    from meddiff.teaching.blueprint import range_of
    from meddiff.teaching.store import ItemSearch

    what, _, name = wish.partition(" ")
    if what == "difficulty":
        low, high = range_of(name)
        return ItemSearch(difficulty_from=low, difficulty_to=high)
    return ItemSearch(modality=name)


def modalities_of(questions: Questions) -> list[str]:
    """Modalities to choose among; none where all questions are on one."""
    found = list(questions.modalities())
    return found if len(found) > 1 else []


def next_of(desk: Desk, questions: Questions) -> tuple[Item | None, str, int | None]:
    """The next question of a learner, how much is left in words, and the version of their quiz; None at the end, and what is told then, as HTML.

    Raises:
        MedDiffError: an unknown learner or quiz.
    """
    from meddiff.teaching.practice import next_turn, outlook
    from meddiff.teaching.quiz import sit

    if desk.quiz:
        sheet = sit(questions, desk.learner, desk.quiz)
        left = [item for item in sheet.items if item.id not in sheet.answered and item.id not in desk.not_shown]
        if not left:
            return None, result_of(questions, desk), None
        limit = f", until {sheet.ends[11:16]} UTC" if sheet.ends else ""
        number = len(sheet.items) - len(left) + 1
        return left[0], f"{sheet.quiz.title}: question {number} of {len(sheet.items)}{limit}", sheet.quiz.version
    wanted = wanted_of(desk.wish)
    turn = next_turn(questions, desk.learner, without=desk.not_shown, language=visitor(), wanted=wanted)
    ahead = outlook(questions, desk.learner, language=visitor(), wanted=wanted)
    if turn is None:
        if ahead.next_due:
            return None, note(f"{DONE} The next is due on {ahead.next_due[:10]}."), None
        return None, f'<div class="md-note">{NOTHING_HERE}</div>', None
    due, new = max(ahead.due - (not turn.new), 0), max(ahead.new - turn.new, 0)
    return turn.item, f"{'New to you' if turn.new else 'You saw this before'} · then {due} due, {new} new", None


def result_of(questions: Questions, desk: Desk) -> str:
    """How a learner did in a quiz, as HTML."""
    from meddiff.teaching.answers import Answers

    answers = questions.answers(Answers(learner=desk.learner, quiz=desk.quiz, first=True))
    right = sum(given.answer.right for given in answers)
    return note(
        f"The quiz is done: {right} of {len(answers)} right. Choose another above, or practise at your own pace."
    )


# ---------------------------------------------------------------- an answer


def marked_of(text: str) -> list[tuple[float, float]]:
    """Rows and columns of what was marked, in pixels from the picture's corner: of a spot one, of an outline its corners; else none."""
    try:
        pairs = [tuple(float(part) for part in pair.split(",")) for pair in text.split(";")]
    except ValueError:
        return []
    return [(pair[0], pair[1]) for pair in pairs] if all(len(pair) == 2 for pair in pairs) else []


def place_of(marked: Sequence[tuple[float, float]], shape: tuple[int, int]) -> dict[str, Any]:
    """What was marked as an answer: an outline filled on pixels [H, W], or a click where there is one corner or nothing inside.

    Rows and columns go from the picture's corner to pixel centres.
    """
    corners = [(row - 0.5, column - 0.5) for row, column in marked]
    if len(corners) > 2:
        import numpy as np
        from skimage.draw import polygon

        filled = np.zeros(shape, bool)
        rows, columns = zip(*corners, strict=True)
        filled[polygon(rows, columns, shape)] = True
        if filled.any():
            return {"outline": MaskSpec.from_array(filled)}
    return {"click": corners[0]} if corners else {}


def scored_of(item: Item, said: dict[str, Any], cases: Sequence[SealedCase]) -> tuple[Score, str]:
    """What the form says as an answer: what it is worth, and its JSON.

    Raises:
        MedDiffError: it cannot be an answer to this item.
    """
    from meddiff.teaching.score import Answer, Truth, score

    kind = item.kind.value
    given: dict[str, Any] = {}
    if isinstance(item, ChoiceItem):
        given["chosen"] = said["choice"]
    elif kind == "localise":
        given |= place_of(marked_of(said["spot"]), cases[0].mask.shape)
    elif kind == "size":
        given["size_mm"] = said["size"]
    elif kind == "order" and said["order"]:
        given["order"] = tuple(item.cases[reading.LETTERS.index(letter)] for letter in said["order"])
    elif kind == "free_text":
        given["text"] = (said["words"] or "").strip()
    answer = Answer(item=item.id, version=item.version, **given)
    truth = Truth(cases[0].mask, cases[0].image.spacing_mm)
    if "outline" in given:  # kept as it was drawn
        given["outline"] = marked_of(said["spot"])
    return score(item, answer, truth), json.dumps(given)


# ---------------------------------------------------------------- the tab


def build(files: Path, whose: Callable[[gr.Request], str] | None = None) -> tuple[Any, list[Any], list[Any]]:
    """Places the tab and wires it; returns what opens it, with its inputs and outputs, for when the tab is chosen.

    Args:
        whose: where people log in, the pseudonym of whoever sent an event: no other is taken then, whatever a browser says.
    """
    desk = gr.State(Desk())
    code = gr.State("") if whose else gr.BrowserState("", storage_key="meddiff-learner", secret="meddiff")
    with gr.Column(elem_classes="md-practice"):
        notice = gr.HTML(elem_id="md-practice-notice")
        with gr.Column(elem_classes="md-card", visible=False) as gate:
            gr.HTML(f'<p id="md-practice-welcome">{WELCOME}</p>')
            with gr.Row():
                mine = gr.Textbox(label="I have a code", placeholder="LR-…", scale=2, elem_id="md-practice-code")
                enter = gr.Button("Go on with my code", scale=1, elem_id="md-practice-enter")
                join = gr.Button("Start practising", variant="primary", scale=1, elem_id="md-practice-join")
        what = gr.Dropdown([], visible=False, show_label=False, container=False, elem_id="md-practice-what")
        with gr.Row(equal_height=False, visible=False) as floor:
            with gr.Column(scale=7, min_width=320):
                room = reading.build(NAME)
                gr.HTML(f'<p class="md-hint md-keys">{reading.KEYS}</p>')
            with gr.Column(scale=5, min_width=320):
                with gr.Column(elem_classes="md-card"):
                    stem = gr.HTML(elem_id="md-practice-stem")
                    choices = gr.Radio(
                        [], visible=False, show_label=False, container=False, elem_classes="md-choices", elem_id="md-practice-choices"
                    )  # fmt: skip
                    size = gr.Number(visible=False, label="mm", minimum=0, elem_id="md-practice-size")
                    words = gr.Textbox(visible=False, show_label=False, lines=3, elem_id="md-practice-words")
                    order = gr.Dropdown(
                        [], visible=False, multiselect=True, label="In order of time", elem_id="md-practice-order"
                    )
                    spot = gr.Textbox(
                        elem_classes="md-spot", show_label=False, container=False, elem_id="md-practice-spot"
                    )
                    sure = gr.Radio(
                        CONFIDENCES,
                        value=None,
                        label="How sure are you?",
                        elem_id="md-practice-sure",
                        elem_classes="md-sure",
                    )
                    answer = gr.Button(
                        "Answer", variant="primary", elem_classes="md-go-on", elem_id="md-practice-answer"
                    )
                with gr.Column(visible=False, elem_classes="md-card") as told:
                    words_back = gr.HTML(elem_id="md-practice-feedback")
                    again = gr.Button(
                        "Next case", variant="primary", elem_classes="md-go-on", elem_id="md-practice-next"
                    )
        with gr.Column(visible=False) as key:
            gr.HTML("<h2>The same patient with the lesion and without it</h2>")
            view = viewer.build("md-practice-view", "")
        with gr.Accordion("My progress and my data", open=False, visible=False, elem_id="md-practice-mine") as own:
            progress = gr.HTML(elem_id="md-practice-progress")
            who = gr.HTML(elem_id="md-practice-who")
            with gr.Row():
                export = gr.Button("Download my data", elem_id="md-practice-export")
                sure_erase = gr.Textbox(label="To erase everything, type your code", elem_id="md-practice-erase-code")
                erase = gr.Button("Erase my data", variant="stop", elem_id="md-practice-erase")
            given = gr.DownloadButton(visible=False)

    asked: list[Any] = [choices, size, words, order, spot, sure]
    outputs: list[Any] = [
        desk, code, notice, gate, what, floor, room, stem, *asked, answer, told, words_back, key, own, progress, who, *view.outputs,
    ]  # fmt: skip

    def at_own_desk(act: Callable[..., dict[Any, Any]]) -> Callable[..., dict[Any, Any]]:
        """An event at the desk of whoever sent it."""

        def told_of(desk_now: Desk, request: gr.Request, *values: Any) -> dict[Any, Any]:
            try:
                learner = whose(request) if whose else desk_now.learner
            except MedDiffError as error:
                return {notice: alert(str(error))}
            return act(desk_now if desk_now.learner == learner else Desk(learner=learner), *values)

        return told_of

    def outside(words_told: str = "") -> dict[Any, Any]:
        """Updates for somebody without a code."""
        return {
            desk: Desk(),
            notice: words_told,
            gate: gr.update(visible=whose is None),
            **_hidden(what, floor, key, own),
        }

    def put(desk_now: Desk, questions: Questions) -> dict[Any, Any]:
        """Updates that put the next question before a learner."""
        from meddiff.teaching.practice import progress as progress_now

        if desk_now.modalities is None:
            desk_now.modalities = modalities_of(questions)
        here: dict[Any, Any] = {desk: desk_now, gate: gr.update(visible=False), own: gr.update(visible=True)}
        here |= {progress: progress_of(progress_now(questions, desk_now.learner))}
        here |= {who: f'<p class="md-hint">Your code: <b>{html.escape(desk_now.learner)}</b></p>'}
        here |= {
            what: gr.update(
                visible=True, choices=to_do(questions, desk_now.modalities), value=desk_now.quiz or desk_now.wish
            )
        }
        quiz, left_out = desk_now.quiz, ""
        while True:
            item, left, version = next_of(desk_now, questions)
            if item is None:
                return {**here, notice: left_out + left, **_hidden(floor, key)}
            try:
                cases, pictures = pictures_of(item)
                break
            except MedDiffError:  # whoever teaches is told in Teach
                desk_now.not_shown.add(item.id)
                left_out = note(f"{item.id} is left out: its picture cannot be shown. Tell whoever teaches.")
        desk_now.asked = Asked(item, cases, quiz, version)
        kind = item.kind.value
        several = list(reading.LETTERS[: len(pictures)])
        listed = [
            (f"{number}  {choice.text}", number - 1) for number, choice in enumerate(getattr(item, "choices", ()), 1)
        ]
        return {
            **here,
            notice: left_out,
            floor: gr.update(visible=True),
            key: gr.update(visible=False),
            told: gr.update(visible=False),
            room: reading.shown(pictures, spot=kind == "localise"),
            stem: stem_of(item, left),
            choices: gr.update(choices=listed, value=None, visible=bool(listed), interactive=True),
            size: gr.update(value=None, visible=kind == "size", interactive=True),
            words: gr.update(value="", visible=kind == "free_text", interactive=True),
            order: gr.update(choices=several, value=[], visible=kind == "order", interactive=True),
            spot: "",
            sure: gr.update(value=None, interactive=True),
            answer: gr.update(visible=True),
        }

    def opened(desk_now: Desk, kept: str) -> dict[Any, Any]:
        """The tab was chosen: go on where this browser's learner was."""
        first_use.load_bank()
        learner = desk_now.learner or kept
        if not learner:
            return outside()
        try:
            from meddiff.teaching.learner import open_learner
            from meddiff.teaching.store import Questions

            questions = Questions()
            open_learner(questions, learner)
            desk_now.learner = learner
            if desk_now.asked is not None and desk_now.asked.answered:
                return {desk: desk_now}  # the feedback stays until they go on
            return put(desk_now, questions)
        except MedDiffError as error:
            return outside(alert(str(error)) if desk_now.learner else "")

    def joined() -> dict[Any, Any]:
        try:
            from meddiff.teaching.learner import new_learner
            from meddiff.teaching.store import Questions

            questions = Questions()
            learner = new_learner(questions)
            return {code: learner.id, **put(Desk(learner=learner.id), questions)}
        except MedDiffError as error:
            return {notice: alert(str(error))}

    def entered(typed: str) -> dict[Any, Any]:
        try:
            from meddiff.teaching.learner import open_learner
            from meddiff.teaching.store import Questions

            questions = Questions()
            learner = open_learner(questions, typed.strip())
            return {code: learner.id, **put(Desk(learner=learner.id), questions)}
        except MedDiffError as error:
            return {notice: alert(str(error))}

    def answered(desk_now: Desk, *values: Any) -> dict[Any, Any]:
        """Scores, keeps and explains an answer."""
        before = desk_now.asked
        if before is None:
            return {notice: alert(LOST)}
        if before.answered:
            return {desk: desk_now}
        said = dict(zip(("choice", "size", "words", "order", "spot", "sure"), values, strict=True))
        try:
            return _answered(desk_now, before, said)
        except MedDiffError as error:
            return {notice: alert(str(error))}

    def _answered(desk_now: Desk, before: Asked, said: dict[str, Any]) -> dict[Any, Any]:
        from meddiff.teaching.answers import Answer
        from meddiff.teaching.practice import answer_turn
        from meddiff.teaching.practice import progress as progress_now
        from meddiff.teaching.store import Questions

        item, cases, pictures = before.item, before.cases, shown_of(before.item, before.cases)
        seconds = time.monotonic() - before.begun
        scored, given_answer = scored_of(item, said, cases)
        questions = Questions()
        told_answer = Answer(
            learner=desk_now.learner, item=item.id, version=item.version, token=before.token, credit=scored.credit,
            right=scored.right, confidence=said["sure"], seconds=seconds, answer=given_answer,
            quiz=before.quiz or None, quiz_version=before.quiz_version,
        )  # fmt: skip
        due = ""
        if before.quiz:
            questions.answer(told_answer)
        else:
            due = answer_turn(questions, told_answer).due
        before.answered = True
        outlines = outlines_of(item, cases)
        updates = dict(zip(view.outputs, view.shown(cases[-1], viewer.WITH, files), strict=True))
        return {
            desk: desk_now,
            notice: "",
            room: reading.shown(pictures, outlines, marked=marked_of(said["spot"])),
            choices: gr.update(interactive=False),
            size: gr.update(interactive=False),
            words: gr.update(interactive=False),
            order: gr.update(interactive=False),
            sure: gr.update(interactive=False),
            answer: gr.update(visible=False),
            told: gr.update(visible=True),
            words_back: feedback_of(item, scored, due, look_alike_pictures(item, questions, desk_now.learner)),
            key: gr.update(visible=True),
            progress: progress_of(progress_now(questions, desk_now.learner)),
            **updates,
        }

    def next_one(desk_now: Desk) -> dict[Any, Any]:
        try:
            from meddiff.teaching.store import Questions

            return put(desk_now, Questions())
        except MedDiffError as error:
            return {notice: alert(str(error))}

    def switched(desk_now: Desk, quiz: str | None) -> dict[Any, Any]:
        is_quiz = (quiz or "").startswith("QZ-")
        desk_now.quiz, desk_now.wish = (quiz or "", "") if is_quiz else ("", quiz or "")
        return next_one(desk_now)

    def give(desk_now: Desk) -> dict[Any, Any]:
        try:
            from meddiff.exchange.atomic import write_atomic
            from meddiff.teaching.learner import export_learner
            from meddiff.teaching.store import Questions

            text = export_learner(Questions(), desk_now.learner)
            path = files / "learners" / secrets.token_hex(8) / f"{desk_now.learner}.json"
            return {
                given: str(write_atomic(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))),
                notice: "",
            }
        except MedDiffError as error:
            return {given: None, notice: alert(str(error))}

    def erased(desk_now: Desk, typed: str) -> dict[Any, Any]:
        if typed.strip() != desk_now.learner:
            return {notice: alert("Type your code to erase everything that is kept under it. Nothing was erased.")}
        try:
            from meddiff.teaching.learner import erase_learner
            from meddiff.teaching.store import Questions

            gone = erase_learner(Questions(), desk_now.learner)
        except MedDiffError as error:
            return {notice: alert(str(error))}
        anew = " Load the page again to begin anew." if whose else ""
        return {code: "", **outside(note(f"All of {desk_now.learner} is erased: {gone.answers} answers.{anew}"))}

    private: dict[str, Any] = {"api_visibility": "private"}
    quiet: dict[str, Any] = {"show_progress": "hidden", **private}
    if whose is None:
        join.click(joined, None, outputs, **quiet)
        enter.click(entered, mine, outputs, **quiet)
    answer.click(at_own_desk(answered), [desk, *asked], outputs, show_progress="hidden", **private)
    what.input(at_own_desk(switched), [desk, what], outputs, **quiet)
    again.click(at_own_desk(next_one), desk, outputs, **quiet)
    export.click(at_own_desk(give), desk, [given, notice], **quiet).then(None, given, js=viewer.SAVE_JS)
    erase.click(at_own_desk(erased), [desk, sure_erase], outputs, **quiet)
    view.wire(desk, _case_of, files)
    return at_own_desk(opened), [desk, code], outputs


def _case_of(desk: Desk) -> SealedCase | None:
    """The case whose twin the feedback shows; nothing before it is answered."""
    before = desk.asked
    return before.cases[-1] if before is not None and before.answered else None


def _hidden(*parts: Any) -> dict[Any, Any]:
    return {part: gr.update(visible=False) for part in parts}
