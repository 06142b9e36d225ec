"""How the page looks: system fonts, calm greys, and a viewer that is dark whatever the page is."""

from __future__ import annotations

from html import escape

import gradio as gr

FOOTER = "Synthetic images. Not for diagnosis."


def theme() -> gr.themes.Base:
    """Slate and teal, with fonts that every computer has: the page fetches nothing from elsewhere."""
    return gr.themes.Base(
        primary_hue=gr.themes.colors.teal,
        secondary_hue=gr.themes.colors.slate,
        neutral_hue=gr.themes.colors.slate,
        radius_size=gr.themes.sizes.radius_md,
        font=["system-ui", "Segoe UI", "Roboto", "Helvetica Neue", "Noto Sans", "sans-serif"],
        font_mono=["ui-monospace", "Consolas", "Menlo", "DejaVu Sans Mono", "monospace"],
    ).set(
        body_text_color_subdued="*neutral_500",
        body_background_fill="*neutral_100",
        body_background_fill_dark="*neutral_950",
        block_background_fill="white",
        block_background_fill_dark="*neutral_900",
        block_border_width="0px",
        block_label_text_weight="500",
        block_title_text_weight="500",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_600",
        button_primary_text_color="white",
    )


def alert(words: str) -> str:
    """What went wrong, as HTML; lines stay lines."""
    return f'<div class="md-alert" role="alert">{escape(words)}</div>'


def note(words: str) -> str:
    """What was done, as HTML."""
    return f'<div class="md-note" role="status">{escape(words)}</div>'


CSS = """
.gradio-container { width: 100%; max-width: 1480px !important; margin: 0 auto !important; padding-bottom: 56px !important; }
.gradio-container > .main { width: 100%; max-width: none !important; }
footer { display: none !important; }

.md-top { display: flex; flex-wrap: wrap; align-items: baseline; gap: 4px 16px; padding: 6px 2px 0; }
.md-top h1 { font-size: 1.45rem; font-weight: 650; margin: 0; letter-spacing: -.01em; }
.md-top p { margin: 0; color: var(--body-text-color-subdued); flex: 1 1 260px; }
#md-state { display: flex; justify-content: flex-end; align-items: center; }
#md-bank, #md-bank *, #md-teach-list, #md-teach-list *, #md-teach-choices *, .md-list, .md-list * { font-family: inherit !important; }
:is(#md-bank, #md-teach-list, .md-list) [role=gridcell] { cursor: pointer; }
:is(#md-bank, #md-teach-list, .md-list) :is(.selection-button, .cell-menu-button) { display: none !important; }
#md-account { display: flex; justify-content: flex-end; align-items: center; }
.md-account { display: inline-flex; align-items: center; gap: 10px; font-size: .9rem; margin: 0; }
.md-account span { color: var(--body-text-color-subdued); overflow-wrap: anywhere; }
.md-account button { border: 1px solid var(--border-color-primary); border-radius: 6px; padding: 3px 10px; cursor: pointer; white-space: nowrap; }
.md-state { display: inline-flex; align-items: center; gap: 8px; font-size: .9rem; color: var(--body-text-color-subdued); }
.md-state::before { content: ""; width: 10px; height: 10px; border-radius: 50%; background: #d9a520; flex: none; }
.md-state.ready::before { background: #2e9e6b; }
.md-state.failed::before { background: #c8473d; }
.md-foot { position: fixed; left: 0; right: 0; bottom: 0; z-index: 60; text-align: center; padding: 9px 12px;
  font-size: .9rem; font-weight: 600; background: #1e2a33; color: #ffd98a; border-top: 1px solid #33434f; }
.md-footer-slot { padding: 0 !important; margin: 0 !important; min-height: 0 !important; border: 0 !important; }

.md-card { background: var(--block-background-fill) !important; border: 1px solid var(--border-color-primary) !important;
  border-radius: 12px !important; padding: 14px 16px 16px !important; gap: 10px !important; }
.md-card > .styler { background: transparent !important; gap: 10px !important; }
.md-card .block, .md-card .form { padding-left: 0 !important; padding-right: 0 !important; box-shadow: none !important;
  border: 0 !important; background: transparent !important; }
.md-card .block { padding-top: 2px !important; padding-bottom: 2px !important; }
.md-card .form { gap: 10px !important; }
.md-card .html-container, .md-viewer .html-container, .md-header .html-container { padding: 0 !important; }
.md-card .block:empty { display: none !important; }
.md-bottom { align-items: end !important; }
.md-bottom button { margin-bottom: 4px; white-space: nowrap; }
.md-card h2 { font-size: 1.02rem; font-weight: 650; margin: 0; }
.md-card .prose * + h2 { margin-top: 20px; }
.md-verdict { margin: 8px 0 10px; } .md-verdict + p { margin: 0 0 8px; }
.md-hint { font-size: .88rem; color: var(--body-text-color-subdued); line-height: 1.4; }
.md-hint b { color: var(--body-text-color); font-weight: 600; }
.md-alert { border-left: 4px solid #c8473d; background: #fdf1ef; color: #6e1f18; padding: 10px 12px; border-radius: 6px; line-height: 1.45; }
.md-note { border-left: 4px solid #2e9e6b; background: #edf7f2; color: #174f37; padding: 10px 12px; border-radius: 6px; line-height: 1.45; }
#md-pacs-server input { text-overflow: ellipsis; margin-right: 22px; }
.md-alert, .md-note { white-space: pre-line; overflow-wrap: anywhere; }
.md-unsure { border-left: 4px solid #c98a1b; background: #fdf6e6; color: #5c4209; padding: 10px 12px; border-radius: 6px; line-height: 1.45; }
.dark .md-unsure { background: #33290f; color: #f3dca5; } .dark .md-alert { background: #3a1a17; color: #ffd3cd; } .dark .md-note { background: #12312a; color: #bfead6; }

.md-go { position: sticky; bottom: 40px; z-index: 40; gap: 8px !important; padding: 10px 0 8px; background: var(--body-background-fill); }
.md-go .html-container { padding: 0 !important; }
:is(#md-progress, #md-first-told, .md-wait):has(.progress-text, .progress-level, .eta-bar) { min-height: 64px; }
:is(#md-progress, #md-first-told, .md-wait) * { font-family: inherit !important; }
#md-gallery .grid-wrap { min-height: 0 !important; max-height: 250px; overflow-y: auto; padding: 2px !important; }
#md-gallery .grid-container { grid-template-columns: repeat(auto-fill, minmax(96px, 1fr)) !important; height: auto !important; }
#md-gallery img, #md-bank-pictures img { background: #000; }
#md-gallery .caption-label, #md-bank-pictures .caption-label { inset: 0 auto auto 0 !important; max-width: 100%; margin: 0; padding: 2px 7px;
  border: 0; border-radius: 0 0 6px 0; font-size: .78rem; background: rgba(11, 15, 19, .75); color: #dbe5ec; }
#md-bank-pictures .grid-wrap { min-height: 0 !important; max-height: 620px; overflow-y: auto; padding: 2px !important; }
#md-bank-pictures .grid-container { grid-template-columns: repeat(auto-fill, minmax(140px, 1fr)) !important; height: auto !important; }

#md-editor { background: #0b0f13 !important; border-radius: 8px !important; overflow: hidden; }
.md-dark, .md-dark .image-frame { background: #0b0f13 !important; }

.md-viewer { background: #0b0f13 !important; border-radius: 12px !important; padding: 12px !important; gap: 8px !important; }
.md-viewer > .styler { background: transparent !important; gap: 8px !important; }
.md-viewer .block, .md-viewer .form { background: transparent !important; border: 0 !important; padding: 0 !important; box-shadow: none !important; }
.md-viewer .md-empty, .md-viewer .md-empty * { color: #8396a3 !important; }
.md-viewer .md-empty b { color: #c9d4dc !important; }
.md-head { display: flex; flex-wrap: wrap; align-items: center; gap: 6px 12px; min-height: 30px; }
.md-head span { color: #c9d4dc !important; }
.md-head b { color: #fff !important; font-weight: 600; font-size: 1.02rem; }
.md-head .asked { flex: 1 1 100%; color: #9fb0bb !important; font-size: .9rem; }
.md-badge { border-radius: 999px; padding: 2px 10px; font-size: .82rem; font-weight: 600; }
.md-head .md-badge.accepted { background: #123d2c; color: #8fe0b8 !important; }
.md-head .md-badge.rejected { background: #4a1d18; color: #ffb9b0 !important; }
.md-empty { display: grid; place-items: center; min-height: 420px; text-align: center; color: #8396a3; padding: 24px; line-height: 1.6;
  border: 1px dashed #2b3943; border-radius: 8px; }
.md-head .md-reason { color: #ffb9b0 !important; font-size: .92rem; }

/* The labels stand above the picture, where they hide no stamp. */
.md-stage { position: relative; background: #000; border-radius: 8px; overflow: hidden; padding-top: 32px !important; }
.md-stage::before, .md-stage::after { position: absolute; z-index: 5; pointer-events: none; border-radius: 6px;
  padding: 2px 9px; font-size: .82rem; background: rgba(11, 15, 19, .75); color: #dbe5ec; }
.md-stage::before { content: "Synthetic, with the lesion"; left: 4px; top: 4px; }
.md-stage::after { content: "Synthetic, without it"; right: 4px; top: 4px; }
:lang(zh) .md-stage::before { content: "合成图像，有病灶"; } :lang(zh) .md-stage::after { content: "合成图像，无病灶"; }
:root:not(:lang(zh)) .md-zh { display: none; }
.md-picture { z-index: 0; isolation: isolate; }
.md-picture img { background: #000 !important; }
.md-picture .icon-button-wrapper { visibility: hidden; }
.md-tools { display: flex; flex-wrap: wrap; align-items: center; gap: 8px 14px; font-size: .88rem; color: #c9d4dc; }
.md-tools label { display: inline-flex; align-items: center; gap: 8px; color: #c9d4dc; }
.md-tools input[type=range] { width: 100px; accent-color: #45b3a2; }
.md-tools output { min-width: 2.4em; font-variant-numeric: tabular-nums; color: #fff; }
.md-tools button { background: #1d2831; color: #dbe5ec; border: 1px solid #33434f; border-radius: 6px; padding: 4px 11px; cursor: pointer; font-size: .88rem; }
.md-tools button:hover { background: #283742; } .md-tools button[aria-pressed=true] { background: #45b3a2; color: #06201c; border-color: #45b3a2; }
.md-tools button:focus-visible, .md-tools input:focus-visible { outline: 2px solid #7fd6c8; outline-offset: 1px; }
.md-tools svg { position: absolute; width: 0; height: 0; }

.md-card table.md-table { width: 100%; border-collapse: collapse; font-size: .93rem; border: 0 !important; margin: 0 !important; }
.md-card .md-table th, .md-card .md-table td, .md-card .md-table tr { border: 0 !important; }
.md-table th { text-align: left; font-weight: 600; color: var(--body-text-color-subdued); padding: 6px 10px 6px 0; font-size: .84rem; }
.md-card .md-table td { padding: 7px 10px 7px 0 !important; border-top: 1px solid var(--border-color-primary) !important; vertical-align: top; }
.md-table .ok { color: #1f7d53; font-weight: 600; white-space: nowrap; } .md-table .missed { color: #b23a30; font-weight: 600; white-space: nowrap; }
.dark .md-table .ok { color: #7fd6ab; } .dark .md-table .missed { color: #ff9d92; }
.md-table .info { color: var(--body-text-color-subdued); }
.md-scroll { overflow-x: auto; contain: inline-size; }

.md-timeline, .md-curve { display: block; width: 100%; max-width: 560px; height: auto; font-family: inherit; overflow: visible; }
.md-timeline { max-width: 440px; }
.md-days { display: block; width: 100%; max-width: 440px; height: auto; font-family: inherit; }
.md-days text { font-size: 11px; fill: var(--body-text-color-subdued); }
.md-days line { stroke: var(--body-text-color-subdued); }
.md-days .all { fill: #94a3b8; opacity: .45; }
.md-days .right { fill: #2b8f81; }
#md-stats-change [role=gridcell] * { white-space: pre-line; }
.md-plots { display: flex; flex-wrap: wrap; gap: 12px; }
.md-plots figure { flex: 1 1 280px; margin: 0; min-width: 0; } .md-plots figcaption { font-size: .88rem; color: var(--body-text-color-subdued); }
.md-plot { display: block; width: 100%; max-width: 440px; height: auto; }
.md-limits { list-style: disc; margin: 8px 0 0 18px; }
.md-question .md-unsure { margin: 6px 0; }
.md-question .stem { font-size: 1.08rem; font-weight: 600; margin: 4px 0; }
@media (max-width: 760px) { .md-keys { display: none; } }
.md-feedback .md-badge.accepted { background: #d1fae5; color: #065f46; padding: 1px 10px; border-radius: 999px; }
.md-feedback .md-badge.rejected { background: #fee2e2; color: #991b1b; padding: 1px 10px; border-radius: 999px; }
.md-feedback h3 { font-size: .95rem; font-weight: 650; margin: 10px 0 2px; }
.md-feedback ul, .md-question ul, .md-question ol { margin: 4px 0 4px 18px; list-style: revert; }
.md-timeline text, .md-curve text { font-size: 11px; fill: var(--body-text-color-subdued); text-anchor: middle; }
.md-timeline .strong { font-weight: 600; fill: var(--body-text-color); }
.md-timeline line, .md-curve polyline { stroke: #2b8f81; stroke-width: 2.5; fill: none; stroke-linejoin: round; }
.md-timeline circle { fill: #2b8f81; }
.md-curve .y { text-anchor: end; }
.md-curve .grid { stroke: var(--border-color-primary); stroke-width: 1; }
.md-curve line.most { stroke: #c8473d; stroke-dasharray: 5 4; }
.md-curve text.most { fill: #c8473d; text-anchor: start; font-size: 10px; }
.md-curve .asked { fill: var(--block-background-fill); stroke: #2b8f81; stroke-width: 2; }
.md-curve .measured { fill: #d9822b; }
.md-line, .md-ring, .md-dot { display: inline-block; vertical-align: middle; box-sizing: border-box; }
.md-line { width: 18px; height: 3px; background: #2b8f81; }
.md-ring, .md-dot { width: 11px; height: 11px; border-radius: 50%; }
.md-ring { border: 2px solid #2b8f81; } .md-dot { background: #d9822b; }
#md-animation :is(.image-container, .image-frame, button) { width: 100% !important; }
#md-animation img { width: 100% !important; object-fit: contain !important; border-radius: 8px; }
.md-difference + .md-hint { margin-top: 8px; }
.md-nothing { display: none !important; }
#md-film .grid-wrap { min-height: 0 !important; overflow-x: auto; padding: 2px !important; }
#md-film .grid-container { display: grid !important; grid-template-columns: none !important; grid-auto-flow: column; grid-auto-columns: minmax(132px, 176px);
  height: auto !important; gap: 8px !important; }
#md-film .thumbnail-lg { display: flex !important; flex-direction: column; height: auto !important; aspect-ratio: auto !important; background: #000; }
#md-film img { background: #000; }
#md-film .caption-label { position: static !important; max-width: 100%; white-space: pre-line; overflow: visible; text-align: center; border: 0; margin: 0; padding: 5px 6px;
  background: transparent; color: #dbe5ec; font-size: .8rem; line-height: 1.35; }
.md-visits small { color: var(--body-text-color-subdued); font-size: .86em; }
.md-visits .visit td:first-child { white-space: nowrap; }
.md-card .md-visits td.why { border-top: 0 !important; padding-top: 0 !important; font-size: .86em; color: var(--body-text-color-subdued); }
/* Two sealed pictures laid over each other by the browser: what differs between them glows on the later one. */
.md-difference { position: relative; margin: 0; width: 100%; background: #000; border-radius: 8px; overflow: hidden; isolation: isolate; }
.md-difference img { display: block; width: 100%; margin: 0; }
.md-difference .ground { filter: brightness(.75); }
.md-difference .glow { position: absolute; inset: 0; isolation: isolate; mix-blend-mode: screen; filter: brightness(2.2); }
.md-difference .glow .over { position: absolute; left: 0; top: 0; mix-blend-mode: difference; }
.md-difference .glow b { position: absolute; background: #000; }
.md-difference .glow i { position: absolute; inset: 0; background: #ff8a1f; mix-blend-mode: multiply; }

@media (max-width: 640px) {
  .gradio-container { padding-left: 8px !important; padding-right: 8px !important; }
  .md-header { display: block !important; } #md-state, #md-account { justify-content: flex-start; }
  .md-card .md-table { font-size: .84rem !important; }
  .md-card .md-table :is(td, th) { padding-right: 6px !important; }
  .md-card table.md-visits { font-size: .69rem !important; }
  .md-card .md-visits :is(td, th) { padding-right: 3px !important; font-size: inherit !important; }
  .md-list .cell-wrap { padding: 6px 2px !important; } .md-list .cell-wrap * { font-size: .76rem !important; }
  .md-empty { min-height: 220px; }
  .md-stage::before, .md-stage::after { font-size: .72rem; padding: 2px 6px; }
  .md-tools input[type=range] { width: 44vw; }
}
"""
