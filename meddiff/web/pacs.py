"""Sending the opened case to a PACS: one of the servers that whoever runs this MedDiff allows, and no other."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import gradio as gr

from meddiff.case import MedDiffError
from meddiff.web.language import say
from meddiff.web.style import alert, note

if TYPE_CHECKING:
    from meddiff.exchange.pacs import Report, Target
    from meddiff.marking.seal import SealedCase

NOWHERE = (
    "Nothing may be sent until whoever runs this MedDiff names a server in <b>MEDDIFF_PACS_ALLOWED</b>: "
    "<b>docs/safety.md</b> says how, under “To a PACS”."
)
IN_THE_OPEN = (
    "This page came to you unencrypted from another computer, and a password would go back the same way: none can be given here. "
    "Open the page by https, or on the computer that runs MedDiff."
)
GOES = "Both pictures go, with the outline (SEG) and what was asked and measured (SR), all marked as synthetic."
ON_A_SLICE = (
    "This case was made on a slice that was given. It holds that slice's pixels, and its twin is that slice: "
    "send it only where the original may go."
)


def build(opened: gr.State) -> tuple[gr.HTML, gr.HTML]:
    """Places the accordion and wires it to the opened case; returns what it says: `before` a case is sent, and after."""
    with gr.Accordion("Send to a PACS", open=False, elem_id="md-pacs") as box:
        notice = gr.HTML()
        encrypted = gr.Checkbox(True, visible=False)
        with gr.Column(visible=False) as form:
            address = gr.Dropdown([], label="Server", elem_id="md-pacs-server")
            called = gr.Textbox("ANY-SCP", label="AE title of the server", max_length=16, visible=False, elem_id="md-pacs-aet")  # fmt: skip
            with gr.Row() as login:
                user = gr.Textbox(
                    label="User", placeholder="if it asks for one", min_width=140, elem_id="md-pacs-user",
                    html_attributes=gr.InputHTMLAttributes(autocomplete="off"),
                )  # fmt: skip
                password = gr.Textbox(
                    label="Password", placeholder="used once", type="password", min_width=140, elem_id="md-pacs-password",
                    html_attributes=gr.InputHTMLAttributes(autocomplete="new-password"),
                )  # fmt: skip
            known = gr.HTML()
            with gr.Row():
                ask = gr.Button("Ask the server", size="md", min_width=130, elem_id="md-pacs-ask")
                give = gr.Button("Send this case", size="md", variant="primary", min_width=130, elem_id="md-pacs-send")
            told = gr.HTML(elem_id="md-pacs-told", elem_classes="md-wait")

    def unfold(is_encrypted: bool) -> dict[Any, Any]:
        words, servers = offered(is_encrypted)
        first = servers[0] if servers else None
        return {
            notice: words,
            form: gr.update(visible=bool(servers)),
            address: gr.update(choices=servers, value=first),
            called: gr.update(visible=_has_title(first)),
            login: gr.update(visible=is_encrypted),
        }

    def question(where: str, who: str, secret: str, title: str, progress: gr.Progress = gr.Progress()) -> list[str]:  # noqa: B008
        progress(0, desc=say("Asking the server…"))
        return [asked(where, who, secret, title), ""]

    def delivery(
        sealed: SealedCase | None, where: str, who: str, secret: str, title: str, progress: gr.Progress = gr.Progress()  # noqa: B008
    ) -> list[str]:  # fmt: skip
        progress(0, desc=say("Asking the server…"))
        return [sent(sealed, where, who, secret, title, progress), ""]

    private: dict[str, Any] = {"api_visibility": "private"}
    shown: dict[str, Any] = {"show_progress": "full", "show_progress_on": told, **private}
    box.expand(
        unfold, encrypted, [notice, form, address, called, login], js="() => [window.isSecureContext]",
        show_progress="hidden", **private,
    )  # fmt: skip
    address.input(
        lambda where: gr.update(visible=_has_title(where)), address, called, show_progress="hidden", **private
    )
    how = [address, user, password, called]
    ask.click(question, how, [told, password], **shown)
    give.click(delivery, [opened, *how], [told, password], **shown)
    return known, told


def offered(is_encrypted: bool) -> tuple[str, list[str]]:
    """What to say first, as HTML, and the servers to choose from.

    Args:
        is_encrypted: whether nobody can listen between the browser and this page: it is https, or the same computer.
    """
    from meddiff.exchange.target import allowed

    try:
        servers = [str(server) for server in allowed()]
    except MedDiffError as error:
        return alert(str(error)), []
    if not servers:
        return f'<p class="md-hint">{NOWHERE}</p>', []
    return "" if is_encrypted else f'<p class="md-hint">{IN_THE_OPEN}</p>', servers


def before(sealed: SealedCase | None) -> str:
    """What to know before a case is sent, as HTML."""
    if sealed is None:
        return ""
    warning = alert(ON_A_SLICE) if sealed.case.request.on_given_slice else ""
    return f'<p class="md-hint">{GOES}</p>{warning}'


def asked(address: str, user: str, password: str, called_aet: str) -> str:
    """Asks a server whether it lets us in; the answer as HTML."""
    from meddiff.exchange.pacs import check

    try:
        # One attempt: whoever asks sees the answer, and can ask again.
        target = replace(_target(address, user, password, called_aet), attempts=1)
        check(target)
    except MedDiffError as error:
        return alert(str(error))
    return note(f"{target.server} answers and lets you in. Nothing was sent.")


def sent(sealed: SealedCase | None, address: str, user: str, password: str, called_aet: str, progress: Any) -> str:
    """Sends a case; what became of it as HTML."""
    from meddiff.exchange.pacs import send

    if sealed is None:
        return alert("No case is open: pick one first.")
    try:
        target = _target(address, user, password, called_aet)
        report = send(sealed, target, lambda share, word: progress(share, desc=f"Sending: {word}"))
    except MedDiffError as error:
        return alert(str(error))
    return outcome(report, f"{sealed.case.id} to {target.server}")


def outcome(report: Report, what: str) -> str:
    """A report as HTML: the counts, and each reason why something is not there, with how many it holds for."""
    words = (
        f"{what}: {len(report.sent)} sent, {len(report.already_there)} already there, {len(report.failed)} not sent."
    )
    if report.unread:
        words += f" {len(report.unread)} could not be compared with what the server holds: it gives nothing back."
    if not report.failed:
        return note(words)
    reasons = Counter(failure.reason for failure in report.failed)
    return alert(words + "".join(f"\nNot sent, {count}: {reason}" for reason, count in reasons.items()))


def _target(address: str, user: str, password: str, called_aet: str) -> Target:
    from meddiff.exchange.pacs import Target

    return Target(address or "", user.strip(), password, called_aet=called_aet.strip())


def _has_title(address: str | None) -> bool:
    """Whether a server is called by an AE title: by DIMSE, not by DICOMweb."""
    return (address or "").startswith("dicom")
