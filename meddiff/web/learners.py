"""The page of a learner's account: practice, and what the pictures are. Nothing of whoever teaches is on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from meddiff import __version__
from meddiff.web import access, language, practice
from meddiff.web.style import FOOTER

TAGLINE = "Practise reading, on synthetic cases with an answer key that is right."
ABOUT = f"""
## What these pictures are
They are drawn by a statistical model: no patient is behind them. They are for learning, and **must never be used for diagnosis**.
Each says so in its margin, and carries a mark that cannot be seen but can be read.

## What is kept of you
Your answers, how sure you were and how long you took, under a code that stands for your account. Whoever teaches sees answers by
code; whoever looks after this computer can tell which code is whose. In **Practice**, under *My progress and my data*, you can
take all of it with you, or erase it.

MedDiff {__version__}. Code: Apache-2.0. Pictures: the licence in each file.
"""


def build(files: Path, whose: Callable[[gr.Request], str]) -> gr.Blocks:
    """The whole page.

    Args:
        files: folder for pictures and downloads of this run.
        whose: the pseudonym of whoever sent an event.
    """
    with language.Page(title="MedDiff", analytics_enabled=False, delete_cache=(3600, 86400)) as page:
        with gr.Row(elem_classes="md-header"):
            gr.HTML(f'<div class="md-top"><h1>MedDiff</h1><p>{TAGLINE}</p></div>', min_width=320)
            who_is_in, account = access.place()
        with gr.Tabs():
            with gr.Tab("Practice"):
                go_on, learner, before_them = practice.build(files, whose)
            with gr.Tab("About"), gr.Column(elem_classes="md-card"):
                gr.Markdown(ABOUT)
        gr.HTML(f'<div class="md-foot" role="contentinfo">{FOOTER}</div>', elem_classes="md-footer-slot")

        quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        page.load(who_is_in, None, account, **quiet)
        page.load(go_on, learner, before_them, **quiet)
    return page
