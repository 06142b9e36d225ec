"""The page of a reader study's readers: one picture at a time, or two side by side, and what they say of it. Nothing here tells an arm.

It stands alone: it knows no case, no bank and no other reader, and holds no event of who plans a study.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr

from meddiff.case import MedDiffError
from meddiff.teaching.study import Design, Plan, Question, Reading
from meddiff.web import first_use, reading
from meddiff.web.style import alert, note

if TYPE_CHECKING:  # the database's library is loaded when somebody reads
    from meddiff.teaching.study import Assignment
    from meddiff.teaching.study_store import StudyStore

NAME, PATH = "md-study-room", "read-study"
FOOTER = "Real and synthetic images. Not for diagnosis."
ASK = {
    Question.REALISM: ("Realism", "5: as a real one"),
    Question.ANATOMY: ("Anatomy", "5: all right"),
    Question.VISIBILITY: ("Visibility of the lesion", "5: cannot be missed"),
    Question.MISLEADING: ("Risk that it misleads", "5: high"),
}
SCALE = [(str(value), value) for value in range(1, 6)]
NO_LESION = 0  # of visibility
WELCOME = (
    "<h2>Reader study</h2><p>You see pictures one after the other. Some may be real, some made or changed by AI; nobody tells you which, and they "
    "come in an order of your own. Each answer is kept before the next picture, so you may stop at any time and go on later with the "
    "same name. An answer cannot be changed afterwards.</p>"
)
KEYS = (
    "Keys: 1 to 5 answer the marked question (0: no lesion), Backspace goes back one, X red alert, Enter records. I inverts, + and − zoom, W and S "
    "change the level, A and D the window, R resets."
)
PAUSE = note(
    "Time for a pause, of some days if you can: cases come again in another version, and should be forgotten till then."
)
DONE = note("You have read everything. Thank you.")

# The questions are gone through by keys, wherever the page's focus is, but for fields that take letters.
KEYS_JS = """
const form = element.closest('.md-practice');
let at = 0;
const groups = () => [...form.querySelectorAll('.md-rate')].filter(group => group.offsetParent);
function point(to) {
  const all = groups();
  at = Math.max(0, to);
  all.forEach((group, number) => group.classList.toggle('now', number === at));
}
form.addEventListener('change', event => {
  const group = event.target.closest('.md-rate');
  if (group) point(groups().indexOf(group) + 1);
});
document.addEventListener('keydown', event => {
  if (!form.offsetParent || !groups().length || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches('textarea, [contenteditable], input:not([type=radio]):not([type=checkbox]):not([type=range])')) return;
  if (event.key === 'Backspace') { event.preventDefault(); point(at - 1); return; }
  if (event.key.toLowerCase() === 'x') {
    event.preventDefault(); form.querySelector('.md-alarm input')?.click(); return;
  }
  if (!/^[0-9]$/.test(event.key)) return;
  const group = groups()[at], choices = group ? [...group.querySelectorAll('input[type=radio]')] : [];
  const choice = event.key === '0' ? choices[5] : choices[+event.key - 1];
  if (!choice) return;
  event.preventDefault();
  if (choice.checked) point(at + 1); else choice.click();
});
let seen = '';
new MutationObserver(() => {  // another picture begins with the first question; fields that come later are marked when they come
  const source = form.querySelector('.md-reading img')?.src || '';
  if (source !== seen) { seen = source; point(0); } else point(at);
}).observe(form, {childList: true, subtree: true, attributes: true, attributeFilter: ['src']});
point(0);
"""
# Between the page and that of readers there is no way to click: they are given its address.
CSS = """
.nav-holder { display: none !important; }
.md-card .block.md-rate { border-left: 4px solid transparent !important; padding-left: 6px !important; border-radius: 0 !important; }
.md-card .block.md-rate.now { border-left-color: #45b3a2 !important; }
.md-rate .wrap { gap: 6px !important; } .md-rate label { padding: 5px 10px !important; }
.md-alarm label:has(input:checked) { background: #c8473d !important; color: #fff !important; border-color: #c8473d !important; }
.md-alarm label:has(input:checked) span { color: #fff !important; }
.md-card:not(:has(.md-alarm input:checked)) .md-alarm-why { display: none !important; }
"""


@dataclass
class Seat:
    """What one reader has before them. Lives in memory only; what must last is in the store.

    Attributes:
        shown: neutral ids on the screen, from the left.
        done: pictures read before these.
        rested: pictures after which the last pause was taken.
    """

    study: str = ""
    reader: str = ""
    shown: tuple[str, ...] = ()
    begun: float = 0.0
    done: int = 0
    rested: int = 0


def said_by(plan: Plan, seat: Seat, seconds: float, said: dict[str, Any]) -> tuple[Reading, ...]:
    """What the form says, a reading a picture.

    Args:
        said: a rating by question's name, `ai`, `sure`, `why`, `alert` (numbers of the pictures, as text) and `alert_why`.

    Raises:
        MedDiffError: something was not answered, in a sentence for the reader.
    """
    for question in plan.questions:
        if said[question.value] is None:
            raise MedDiffError(f"{ASK[question][0]} is not rated yet.")
    if said["ai"] is None:
        raise MedDiffError("Say whether AI made it." if plan.design is Design.SINGLE else "Choose which one is AI.")
    if said["sure"] is None:
        raise MedDiffError("Say how sure you are.")
    alerts, why = said["alert"] or [], (said["alert_why"] or "").strip()
    if alerts and not why:
        raise MedDiffError("A red alert needs a reason: say in a few words what may do harm.")
    ratings = {question.value: said[question.value] or None for question in plan.questions}
    return tuple(
        Reading(
            reader=seat.reader,
            picture=picture,
            **ratings,
            ai_suspected=said["ai"] == number if plan.design is Design.PAIRS else bool(said["ai"]),
            confidence=said["sure"],
            red_alert=str(number) in alerts,
            seconds=min(seconds, 86_400),
            ai_reason=(said["why"] or "").strip()[:500],
            alert_reason=why[:500] if str(number) in alerts else "",
        )
        for number, picture in enumerate(seat.shown)
    )


def next_of(given: Assignment, read: Sequence[str]) -> tuple[tuple[str, ...], int]:
    """The pictures that come next, none at the end, and how many were read before."""
    done = set(read)
    left = [at for at, picture in enumerate(given.pictures) if picture not in done]
    if not left:
        return (), len(given.pictures)
    together = 2 if given.design is Design.PAIRS else 1
    first = left[0] - left[0] % together
    return given.pictures[first : first + together], len(given.pictures) - len(left)


def build_reader() -> tuple[Any, list[Any], list[Any]]:
    """Places the page and wires it; returns what opens it, with its inputs and outputs, for when it is loaded."""
    seat = gr.State(Seat())
    kept = gr.BrowserState(["", ""], storage_key="meddiff-study-reader", secret="meddiff")
    with gr.Column(elem_classes="md-practice", elem_id="md-study"):
        notice = gr.HTML(elem_id="md-study-notice")
        with gr.Column(elem_classes="md-card", visible=False) as gate:
            gr.HTML(WELCOME)
            with gr.Row(elem_classes="md-bottom"):
                study = gr.Textbox(label="Study", placeholder="RS-…", min_width=150, elem_id="md-study-id")
                name = gr.Textbox(label="Your name or code in it", min_width=150, elem_id="md-study-name")
                enter = gr.Button("Read", variant="primary", min_width=100, elem_id="md-study-enter")
        rest = gr.Button("Go on now", variant="primary", visible=False, elem_id="md-study-rest")
        with gr.Row(equal_height=False, visible=False) as floor:
            with gr.Column(scale=7, min_width=320):
                room = reading.build(NAME)
                gr.HTML(f'<p class="md-hint md-keys">{KEYS}</p>')
            with gr.Column(scale=5, min_width=320), gr.Column(elem_classes="md-card"):
                at = gr.HTML(elem_id="md-study-at")
                rated = {
                    question: gr.Radio(
                        [*SCALE, ("0 no lesion", NO_LESION)] if question is Question.VISIBILITY else SCALE,
                        label=f"{words} ({scale})", elem_classes="md-rate", elem_id=f"md-study-{question.value}",
                    )
                    for question, (words, scale) in ASK.items()
                }  # fmt: skip
                ai = gr.Radio([], elem_classes="md-rate", elem_id="md-study-ai")
                sure = gr.Radio(
                    SCALE, label="How sure are you of that? (1 a guess, 5 certain)", elem_classes="md-rate", elem_id="md-study-sure"
                )  # fmt: skip
                why = gr.Textbox(label="What gives it away? (if you like)", max_length=500, elem_id="md-study-why")
                alarm = gr.CheckboxGroup(
                    [], label="Whoever learns or decides by it may do harm", elem_classes="md-alarm", elem_id="md-study-alarm"
                )  # fmt: skip
                alarm_why = gr.Textbox(
                    label="Reason for the red alert", max_length=500, elem_classes="md-alarm-why", elem_id="md-study-alarm-why"
                )  # fmt: skip
                complaint = gr.HTML(elem_id="md-study-complaint")
                record = gr.Button(
                    "Record and go on", variant="primary", elem_classes="md-go-on", elem_id="md-study-record"
                )
        with gr.Accordion("Another reader, another study", open=False, visible=False) as own:
            who = gr.HTML(elem_id="md-study-who")
            leave = gr.Button("Leave", elem_id="md-study-leave")
        gr.HTML(html_template="<span></span>", js_on_load=KEYS_JS)

    said: dict[str, Any] = {question.value: field for question, field in rated.items()}
    said |= {"ai": ai, "sure": sure, "why": why, "alert": alarm, "alert_why": alarm_why}
    outputs = [seat, kept, notice, gate, study, rest, floor, room, at, *said.values(), complaint, own, who]

    def store() -> StudyStore:
        from meddiff.teaching.study_store import StudyStore

        return StudyStore()

    def outside(study_now: str = "", words: str = "") -> dict[Any, Any]:
        hidden = {part: gr.update(visible=False) for part in (floor, rest, own)}
        return {seat: Seat(), notice: words, gate: gr.update(visible=True), study: study_now, room: "", **hidden}

    def put(seat_now: Seat) -> dict[Any, Any]:
        """Updates that put the next picture before a reader."""
        from meddiff.teaching.study import assignment
        from meddiff.teaching.study_pictures import picture_png

        studies = store()
        plan = studies.plan(seat_now.study)
        given = assignment(plan, seat_now.reader, studies.suspended(plan.id))
        read = [one.picture for one in studies.readings(plan.id) if one.reader == seat_now.reader]
        seat_now.shown, seat_now.done = next_of(given, read)
        here: dict[Any, Any] = {
            seat: seat_now,
            kept: [seat_now.study, seat_now.reader],
            notice: "",
            complaint: "",
            gate: gr.update(visible=False),
            rest: gr.update(visible=False),
            own: gr.update(visible=True),
            who: f'<p class="md-hint">You read {escape(plan.id)} as <b>{escape(seat_now.reader)}</b>.</p>',
        }
        if not seat_now.shown:
            return {**here, notice: DONE, floor: gr.update(visible=False), room: ""}
        if seat_now.done in given.breaks and seat_now.rested != seat_now.done:
            seat_now.shown = ()
            return {**here, notice: PAUSE, rest: gr.update(visible=True), floor: gr.update(visible=False), room: ""}
        pairs = plan.design is Design.PAIRS
        pictures = [picture_png(plan, studies.showing(plan.id), picture) for picture in seat_now.shown]
        seat_now.begun = time.monotonic()
        together = 2 if pairs else 1
        left = len(set(given.pictures) - set(read))  # a case that was read before it was suspended is still counted
        number, of = len(read) // together + 1, (len(read) + left) // together
        letters = list(reading.LETTERS[: len(pictures)]) if pairs else []
        choices = [(f"{n} {word}", n - 1) for n, word in enumerate(letters or ["real", "made or changed by AI"], 1)]
        alarms = [(f"Red alert on {letter}", str(n)) for n, letter in enumerate(letters)] or [("Red alert", "0")]
        return {
            **here,
            floor: gr.update(visible=True),
            room: reading.unnamed(pictures, letters),
            at: f'<p class="md-hint">{"Pair" if pairs else "Picture"} {number} of {of}</p>',
            **{field: gr.update(value=None, visible=question in plan.questions) for question, field in rated.items()},
            ai: gr.update(choices=choices, value=None, label="Which one is AI?" if pairs else "This picture is"),
            sure: None,
            why: "",
            alarm: gr.update(choices=alarms, value=[]),
            alarm_why: "",
        }

    def sit(study_now: str, name_now: str) -> dict[Any, Any]:
        """Updates for somebody who says that they are a reader."""
        study_now, name_now = study_now.strip(), name_now.strip()
        try:
            plan = next((one for one in store().plans() if one.id.lower() == study_now.lower()), None)
            if plan is None:
                return outside(study_now, alert("There is no such study: take its number from whoever plans it."))
            if name_now not in plan.readers:
                words = "This name reads nothing in this study: ask whoever plans it which name you have there."
                return outside(study_now, alert(words))
            return put(Seat(plan.id, name_now))
        except MedDiffError as error:
            return outside(study_now, alert(str(error)))

    def opened(request: gr.Request, before: Sequence[str]) -> dict[Any, Any]:
        """The page was loaded: go on where this browser's reader was, in the study that the address names."""
        first_use.load_bank()
        asked = dict(request.query_params).get("study", "")
        kept_study, kept_reader = before or ("", "")
        if kept_reader and asked in ("", kept_study):
            return sit(kept_study, kept_reader)
        return outside(asked)

    def rested(seat_now: Seat) -> dict[Any, Any]:
        seat_now.rested = seat_now.done
        try:
            return put(seat_now)
        except MedDiffError as error:
            return {notice: alert(str(error))}

    def recorded(seat_now: Seat, *values: Any) -> dict[Any, Any]:
        """Records what was said, and only then shows what comes next."""
        if not seat_now.shown:
            return {seat: seat_now}
        try:
            studies = store()
            plan = studies.plan(seat_now.study)
            answers = said_by(plan, seat_now, time.monotonic() - seat_now.begun, dict(zip(said, values, strict=True)))
        except MedDiffError as error:
            return {complaint: alert(str(error))}
        try:
            studies.record(plan.id, *answers)
            return put(seat_now)
        except MedDiffError as error:
            try:
                return {**put(seat_now), notice: alert(str(error))}  # it was read in another window
            except MedDiffError as gone:
                return {seat: seat_now, complaint: alert(str(gone))}

    def left() -> dict[Any, Any]:
        return {**outside(), kept: ["", ""]}

    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    up = f"() => {{ if (innerWidth < 760) document.getElementById('{NAME}').scrollIntoView(); }}"
    enter.click(sit, [study, name], outputs, **quiet)
    name.submit(sit, [study, name], outputs, **quiet)
    rest.click(rested, seat, outputs, **quiet)
    record.click(recorded, [seat, *said.values()], outputs, **quiet).then(None, None, js=up)
    leave.click(left, None, outputs, **quiet)
    return opened, [kept], outputs
