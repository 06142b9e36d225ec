"""A reading room in the browser: one or several pictures with window, level, zoom, invert, a spot to mark or an outline to draw, and cine, by
mouse, touch or keys.

Pictures come as data in the page, without their record: a picture that asks a question must not carry its answer. Nothing that
is done here changes them; an outline is drawn over them by the browser.

| key | does |
|---|---|
| 1 to 6 | chooses an answer |
| Enter | answers, and after the feedback goes on |
| I, R | inverts, resets the view |
| + and - | zooms |
| W and S, A and D | raise and lower the window's level, narrow and widen it |
| arrow up and down | the visit before and after, where several lie on each other |
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from html import escape
from typing import TYPE_CHECKING

import gradio as gr

from meddiff.case import pixel_sha256
from meddiff.web import language, viewer

if TYPE_CHECKING:
    import numpy as np

    from meddiff.marking.seal import SealedImage

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
KEYS = "Keys: 1 to 6 choose, Enter answers and goes on, I inverts, + and − zoom, W and S change the level, A and D the window, R resets."

_DRAW = '  <button type="button" data-tool="draw" aria-pressed="false" hidden>Draw an outline</button>\n'
_CINE = '  <button type="button" data-tool="cine" aria-pressed="false" hidden>Cine</button>\n'
_RESET = '  <button type="button" data-tool="reset">'
TOOLS_HTML = viewer.TOOLS_HTML.replace(_RESET, _DRAW + _CINE + _RESET)
TOOLS_JS = (
    viewer.WINDOW_JS
    + """
const room = element.closest('.md-room');
const panes = () => [...room.querySelectorAll('.md-reading figure')];
let zoom = 1, shift = [0, 0], turn = 0, clock = null;
function apply() {
  showWindow();
  const reach = (zoom - 1) / 2;
  shift = shift.map(part => Math.min(reach, Math.max(-reach, part)));
  panes().forEach(pane => pane.querySelector('.pane').style.transform =
    `translate(${100 * shift[0]}%, ${100 * shift[1]}%) scale(${zoom})`);
  const several = panes().length > 1;
  tool('cine').hidden = !several;
  const asks = room.querySelector('.md-reading.spot');
  tool('draw').hidden = !asks;
  asks?.classList.toggle('drawing', pressed('draw'));
  const cine = several && pressed('cine');
  room.querySelector('.md-reading')?.classList.toggle('cine', cine);
  panes().forEach((pane, number) => pane.classList.toggle('up', number === turn % panes().length));
}
function step(by) { turn = (turn + by + panes().length) % panes().length; apply(); }
function reset() {
  press('draw', false); resetWindow(); zoom = 1; shift = [0, 0]; turn = 0; apply();
}
function act(name) {
  if (name === 'larger') zoom = Math.min(8, zoom * 1.25);
  if (name === 'smaller') zoom = Math.max(1, zoom / 1.25);
  if (name === 'invert' || name === 'draw') press(name, !pressed(name));
  if (name === 'cine') {
    press(name, !pressed(name));
    clearInterval(clock);
    if (pressed(name)) clock = setInterval(() => panes().length > 1 ? step(1) : clearInterval(clock), 900);
  }
  if (name === 'reset') reset(); else apply();
}
element.addEventListener('input', apply);
element.addEventListener('click', event => { if (event.target.dataset?.tool) act(event.target.dataset.tool); });

// Where the question asks for a place, a click marks a spot, and with Draw pressed dragging draws an outline; else dragging moves the picture.
let held = null;
function pixel(pane, event) {
  const image = pane.querySelector('img'), box = image.getBoundingClientRect();
  return [(event.clientX - box.x) / box.width * image.naturalWidth, (event.clientY - box.y) / box.height * image.naturalHeight];
}
room.addEventListener('pointerdown', event => {
  const pane = event.target.closest('.md-reading .pane');
  if (!pane) return;
  held = {pane, x: event.clientX, y: event.clientY, shift: [...shift], moved: false, corners: null};
  if (pane.closest('.drawing')) { held.corners = [pixel(pane, event)]; event.preventDefault(); }
});
room.addEventListener('pointermove', event => {
  if (!held) return;
  const [dx, dy] = [event.clientX - held.x, event.clientY - held.y];
  if (Math.hypot(dx, dy) > 4) held.moved = true;
  if (held.corners) {
    const [x, y] = pixel(held.pane, event), last = held.corners.at(-1);
    if (Math.hypot(x - last[0], y - last[1]) >= 1) { held.corners.push([x, y]); outline(held.pane, held.corners); }
  } else if (held.moved && zoom > 1) {
    const size = held.pane.parentElement.clientWidth;
    shift = [held.shift[0] + dx / size, held.shift[1] + dy / size]; apply();
  }
});
room.addEventListener('pointerup', event => {
  const was = held; held = null;
  if (was?.corners?.length > 4) {
    was.pane.querySelector('.spot').style.display = 'none';
    write(was.corners.map(([x, y]) => `${y.toFixed(1)}, ${x.toFixed(1)}`).join('; '));
    return;
  }
  if (!was || (was.moved && !was.corners) || !room.querySelector('.md-reading.spot')) return;
  const image = was.pane.querySelector('img'), [x, y] = pixel(was.pane, event);
  if (x < 0 || y < 0 || x >= image.naturalWidth || y >= image.naturalHeight) return;
  mark(was.pane, x, y);
});
function outline(pane, corners) {
  pane.querySelector('.drawn').setAttribute('d', corners.length ? 'M' + corners.map(corner => corner.map(part => part.toFixed(1)).join(' ')).join(' L') + ' Z' : '');
}
function mark(pane, column, row) {
  const spot = pane.querySelector('.spot');
  spot.setAttribute('cx', column); spot.setAttribute('cy', row); spot.removeAttribute('hidden'); spot.style.display = '';
  outline(pane, []);
  write(`${row.toFixed(1)}, ${column.toFixed(1)}`);
}
function write(words) {
  const field = room.parentElement.closest('.md-practice').querySelector('.md-spot textarea, .md-spot input');
  field.value = words;
  field.dispatchEvent(new Event('input', {bubbles: true}));
}
room.addEventListener('wheel', event => {
  if (!event.target.closest('.md-reading')) return;
  event.preventDefault(); act(event.deltaY < 0 ? 'larger' : 'smaller');
}, {passive: false});

// Keys, wherever the page's focus is, but for fields that take letters.
document.addEventListener('keydown', event => {
  if (!room.offsetParent || event.ctrlKey || event.metaKey || event.altKey) return;
  const at = event.target, writes = at.matches('textarea, [contenteditable], input:not([type=radio]):not([type=checkbox]):not([type=range])');
  const practice = room.closest('.md-practice'), key = event.key;
  if (key === 'Enter' && !at.matches('textarea, button, a')) {
    const go = [...practice.querySelectorAll('button.md-go-on')].find(button => button.offsetParent && !button.disabled);
    if (go) { event.preventDefault(); go.click(); }
    return;
  }
  if (writes) return;
  if (/^[1-6]$/.test(key)) {
    const choice = practice.querySelectorAll('.md-choices input[type=radio]')[+key - 1];
    if (choice?.offsetParent && !choice.disabled) { choice.click(); event.preventDefault(); }
    return;
  }
  const nudge = (name, by) => { tool(name).value = +tool(name).value + by; apply(); };
  const does = {i: () => act('invert'), r: () => act('reset'), '+': () => act('larger'), '=': () => act('larger'),
    '-': () => act('smaller'), w: () => nudge('level', 8), s: () => nudge('level', -8), a: () => nudge('window', -8),
    d: () => nudge('window', 8), ArrowUp: () => panes().length > 1 && step(-1), ArrowDown: () => panes().length > 1 && step(1)};
  const run = does[key.length === 1 ? key.toLowerCase() : key];
  if (run && !(key.startsWith('Arrow') && at.matches('input'))) { run(); if (!key.startsWith('Arrow') || panes().length > 1) event.preventDefault(); }
});
// Another question begins with a plain view and nothing marked. Gradio changes what is there in place: pictures are told by their ends.
let seen = '';
new MutationObserver(() => {
  const asks = room.querySelector('.md-reading.spot') !== null;
  const now = [asks, ...panes().map(pane => pane.querySelector('img')?.src.slice(-96))].join();
  if (now === seen) return;
  seen = now;
  if (asks) panes().forEach(pane => { outline(pane, []); pane.querySelector('.spot').style.display = 'none'; });
  reset();
}).observe(room, {childList: true, subtree: true, attributes: true, attributeFilter: ['src', 'class']});
apply();
"""
)

CSS = """
.md-room { background: #0b0f14; border-radius: 10px; overflow: hidden; gap: 0 !important; }
.md-reading { display: grid; gap: 6px; padding: 6px; grid-template-columns: repeat(auto-fit, minmax(min(240px, 100%), 1fr)); justify-items: center; }
.md-reading figure { margin: 0; width: 100%; max-width: 620px; overflow: hidden; position: relative; touch-action: pan-y; }
.md-reading .pane { position: relative; transform-origin: 50% 50%; line-height: 0; }
.md-reading img { width: 100%; image-rendering: auto; user-select: none; -webkit-user-drag: none; pointer-events: auto; }
.md-reading svg { position: absolute; inset: 0; width: 100%; height: 100%; pointer-events: none; }
.md-reading .outline { fill: none; stroke: #2dd4bf; stroke-width: 1.4; vector-effect: non-scaling-stroke; }
.md-reading circle.spot { fill: none; stroke: #fbbf24; stroke-width: 2.5; vector-effect: non-scaling-stroke; }
.md-reading .drawn { fill: none; stroke: #fbbf24; stroke-width: 2; vector-effect: non-scaling-stroke; stroke-linejoin: round; }
.md-reading.spot img { cursor: crosshair; }
.md-reading.drawing figure { touch-action: none; }
.md-reading figcaption { position: absolute; left: 8px; top: 6px; color: #e5e7eb; font: 600 .95rem system-ui, sans-serif; text-shadow: 0 0 4px #000; line-height: 1.2; }
.md-alike .md-reading { grid-template-columns: repeat(auto-fit, minmax(124px, 1fr)); background: #0b0f14; border-radius: 8px; margin: 4px 0 8px; }
.md-alike .md-reading figcaption { position: static; font-size: .78rem; padding: 4px 2px 0; }
.md-alike .md-reading figure { max-width: 200px; }
.md-reading.cine { display: block; max-width: 632px; margin: 0 auto; }
.md-reading.cine figure:not(.up) { display: none; }
.md-spot { position: absolute !important; width: 1px !important; height: 1px !important; overflow: hidden !important; opacity: 0; pointer-events: none; }
"""


def css(name: str) -> str:
    """Puts the window of the room `name` on its pictures."""
    return f"#{name} .md-reading img {{ filter: url(#md-window-{name}); }}"


def build(name: str) -> gr.HTML:
    """Places a room; its pictures are set with `shown`."""
    with gr.Column(elem_classes="md-room", elem_id=name):
        pictures = gr.HTML()
        gr.HTML(html_template=TOOLS_HTML, js_on_load=language.exchange(TOOLS_HTML) + TOOLS_JS, name=name)
    return pictures


def shown(
    pictures: Sequence[SealedImage],
    outlines: Sequence[np.ndarray | None] = (),
    spot: bool = False,
    marked: Sequence[tuple[float, float]] = (),
    captions: Sequence[str] = (),
) -> str:
    """Pictures as HTML, without their records.

    Args:
        outlines: bool [H, W] each, drawn over its picture; None: none.
        spot: whether a click marks a spot.
        marked: rows and columns in pixels of what was marked: one is a spot, several are the corners of an outline.
        captions: default A, B, ... where there are several.
    """
    words = captions or (list(LETTERS) if len(pictures) > 1 else [""])
    figures = []
    for number, picture in enumerate(pictures):
        data = _data(_OnScreen(pixel_sha256(picture.pixels), pixel_sha256(pictures[0].pixels), picture, pictures[0]))
        high, wide = picture.pixels.shape
        outline = outlines[number] if number < len(outlines) else None
        drawn = f'<path class="outline" d="{path_of(outline)}"/>' if outline is not None and outline.any() else ""
        row, column = marked[0] if len(marked) == 1 else (0.0, 0.0)
        hidden = "" if len(marked) == 1 else ' style="display: none"'
        corners = " L".join(f"{across:.1f} {down:.1f}" for down, across in marked) if len(marked) > 1 else ""
        by_hand = f"M{corners} Z" if corners else ""
        label = f"Synthetic picture {words[number]}".strip()
        caption = f"<figcaption>{escape(words[number])}</figcaption>" if words[number] else ""
        figures.append(
            f'<figure><div class="pane"><img alt="{escape(label)}" draggable="false" src="data:image/png;base64,{data}">'
            f'<svg viewBox="0 0 {wide} {high}" aria-hidden="true">{drawn}<path class="drawn" d="{by_hand}"/>'
            f'<circle class="spot" r="5" cx="{column:.1f}" cy="{row:.1f}"{hidden}/></svg></div>{caption}</figure>'
        )
    return f'<div class="md-reading{" spot" if spot else ""}">{"".join(figures)}</div>'


def unnamed(pictures: Sequence[bytes], captions: Sequence[str] = ()) -> str:
    """PNG pictures as HTML that says nothing of what they are: of a reader study.

    Args:
        captions: default none.
    """
    words = captions or [""] * len(pictures)
    figures = []
    for data, word in zip(pictures, words, strict=True):
        caption = f"<figcaption>{escape(word)}</figcaption>" if word else ""
        source = base64.b64encode(data).decode()
        figures.append(
            f'<figure><div class="pane"><img alt="{f"Picture {escape(word)}".strip()}" draggable="false" '
            f'src="data:image/png;base64,{source}"></div>{caption}</figure>'
        )
    return f'<div class="md-reading">{"".join(figures)}</div>'


@dataclass(frozen=True)
class _OnScreen:
    """A picture in the grey levels of another, by the hashes of both."""

    sha256: str
    like_sha256: str
    picture: SealedImage = field(compare=False)
    like: SealedImage = field(compare=False)


@lru_cache(maxsize=64)  # a class looks at the same few pictures at the same time
def _data(shown: _OnScreen) -> str:
    """Bytes of the PNG without its record, as base64."""
    from meddiff.exchange.png import screen_bytes

    return base64.b64encode(screen_bytes(shown.picture, shown.like, record=False)).decode()


def path_of(mask: np.ndarray) -> str:
    """An outline bool [H, W] as an SVG path in pixels."""
    import numpy as np
    from skimage.measure import find_contours

    parts = []
    for contour in find_contours(np.pad(mask, 1).astype(float), 0.5):
        corners = contour - 0.5  # padded by one, and a pixel's middle lies half a pixel in
        parts.append("M" + " L".join(f"{column:.1f} {row:.1f}" for row, column in corners) + " Z")
    return " ".join(parts)
