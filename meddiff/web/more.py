"""Make more cases at a difficulty: a small form, progress after each case, and a stop that keeps what was made."""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr
from pydantic import ValidationError

from meddiff.case import MedDiffError, Request
from meddiff.conditions.vocabulary import load_pathologies
from meddiff.web.create import sentence_of
from meddiff.web.models import DEFAULT, Models
from meddiff.web.style import alert, note

if TYPE_CHECKING:
    from meddiff.teaching.more import Made, Wish

ABOUT = (
    "Requests are chosen by size and expected contrast so that the cases should be this hard. Each case is then checked and measured; "
    "only those that are accepted and fall within the range are kept, and their questions are drafts until you approve them."
)

ANEW = 1000  # added to the seed, so that the next run makes other cases


@dataclass(frozen=True)
class Panel:
    """The fields of the form, for whoever fills them in, and the words below it."""

    diseases: Any
    easiest: Any
    hardest: Any
    number: Any
    told: Any

    @property
    def fields(self) -> list[Any]:
        return [self.diseases, self.easiest, self.hardest, self.number]


def build(models: Models, name: str) -> Panel:
    """Places the form and wires it.

    Args:
        name: begins the ids of its parts, which no other form on the page has.
    """
    named = [(disease.name, key) for key, disease in load_pathologies().items()]
    gr.HTML(f'<p class="md-hint">{ABOUT}</p>')
    diseases = gr.Dropdown(named, value=[], multiselect=True, label="Diseases (none: any)", elem_id=f"{name}-diseases")
    with gr.Row():
        easiest = gr.Slider(0, 1, 0.4, step=0.05, label="Difficulty from", min_width=110, elem_id=f"{name}-from")
        hardest = gr.Slider(0, 1, 0.6, step=0.05, label="to", min_width=110, elem_id=f"{name}-to")
    with gr.Row():
        number = gr.Number(5, label="Cases", minimum=1, maximum=50, precision=0, min_width=90, elem_id=f"{name}-number")
        seed = gr.Number(0, label="Seed", minimum=0, precision=0, min_width=80)
    with gr.Row():
        make = gr.Button("Make more cases", variant="primary", min_width=140, scale=3, elem_id=f"{name}-make")
        stop = gr.Button("Stop", interactive=False, min_width=80, scale=1, elem_id=f"{name}-stop")
    told = gr.HTML(elem_id=f"{name}-told", elem_classes="md-wait")
    so_far = gr.State("")

    def run(
        diseases_now: list[str], low: float, high: float, count: float, seed_now: float,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> Iterator[dict[Any, Any]]:  # fmt: skip
        yield {told: "", so_far: "", seed: int(seed_now or 0) + ANEW}
        try:
            progress(0, desc="Loading the model…")
            studio = models.studio(*DEFAULT)
            from meddiff.bank import Bank
            from meddiff.teaching import more
            from meddiff.teaching.store import Questions

            info = studio.load().info
            wish = more.Wish(
                pathologies=tuple(diseases_now), difficulty_from=low, difficulty_to=high, number=int(count or 0),
                seed=int(seed_now or 0),
            )  # fmt: skip
            request = Request(pack=info.name, precision=studio.precision, steps=info.steps, guidance=info.guidance)
            made = None
            progress(0, desc="Making the first case…")
            for made in more.make_more(studio, Bank(), Questions(), wish, request=request):
                words = more.told(made, wish)
                progress(len(made.kept) / wish.number, desc=f"{made.made} made, {len(made.kept)} of {wish.number} kept")
                yield {so_far: words}
            if made is not None:
                yield {told: end_of(made, wish), so_far: ""}
        except (MedDiffError, ValidationError) as error:
            yield {told: alert(sentence_of(error)), so_far: ""}

    def stopped(words: str) -> dict[Any, Any]:
        done = f"Stopped. {words}" if words else "Stopped before the first case was ready."
        return {told: note(done), so_far: ""}

    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    running = make.click(lambda: gr.update(interactive=True), None, stop, **quiet).then(
        run, [diseases, easiest, hardest, number, seed], [told, so_far, seed], show_progress="full", show_progress_on=told,
        concurrency_limit=1, concurrency_id="model", api_visibility="private",
    )  # fmt: skip
    running.then(lambda: gr.update(interactive=False), None, stop, **quiet)
    stop.click(lambda: gr.update(interactive=False), None, stop, cancels=[running], **quiet).then(
        stopped, so_far, [told, so_far], **quiet
    )
    return Panel(diseases, easiest, hardest, number, told)


def end_of(made: Made, wish: Wish) -> str:
    """How it ended, as HTML: a short fall is said."""
    from meddiff.teaching.more import told

    words = told(made, wish)
    if len(made.kept) == wish.number:
        return note(f"{words} Read and approve them in Questions.")
    short = "Widen the range, or make more: the next seed stands in the form."
    return f'<div class="md-unsure" role="status">{html.escape(words)} {short}</div>'
