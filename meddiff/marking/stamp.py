"""The visible stamp: words that anybody can read, in the margin, never over anatomy or lesion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

WORDS = "SYNTHETIC - NOT FOR DIAGNOSIS"
PADDING = 2  # pixels around the words


@dataclass(frozen=True)
class StampBox:
    """Where the stamp lies: first row and column, height and width in pixels; rows appended below the picture, if any."""

    row: int
    column: int
    height: int
    width: int
    appended_rows: int = 0


def _text(lines: tuple[str, ...], size: int) -> np.ndarray:
    """Lines of text as a mask [h, w] of 0 to 1, with padding."""
    font = ImageFont.load_default(size=size)
    boxes = [font.getbbox(line) for line in lines]
    height = int(max(box[3] for box in boxes)) + 1
    width = int(max(box[2] for box in boxes)) + 1
    image = Image.new("L", (width + 2 * PADDING, height * len(lines) + 2 * PADDING))
    draw = ImageDraw.Draw(image)
    draw.fontmode = "L"
    for number, line in enumerate(lines):
        draw.text((PADDING, PADDING + number * height), line, fill=255, font=font)
    return np.asarray(image, np.float32) / 255


def _free(busy: np.ndarray, height: int, width: int) -> tuple[int, int] | None:
    """Top left corner of a free box along the border (top and bottom rows first), or None."""
    rows, columns = busy.shape
    if height > rows or width > columns:
        return None
    total = np.pad(busy.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    sums = total[height:, width:] - total[:-height, width:] - total[height:, :-width] + total[:-height, :-width]
    empty = np.argwhere(sums == 0)
    if not len(empty):
        return None
    # Nearest to a corner: bottom left is where viewers put it, and where anatomy is rarest.
    bottom, left = rows - height, 0
    corners = np.array([(bottom, left), (bottom, columns - width), (0, left), (0, columns - width)])
    distances = np.abs(empty[:, None] - corners[None]).sum(2) + np.arange(4)
    row, column = empty[distances.min(1).argmin()]
    return int(row), int(column)


def anatomy_of(pixels: np.ndarray) -> np.ndarray:
    """Pixels [H, W] that show something: above a small share of the range, grown a little."""
    low, high = float(np.min(pixels)), float(np.percentile(pixels, 99.5))
    shown = ndimage.gaussian_filter(pixels.astype(np.float32), 1.0) > low + 0.06 * max(high - low, 1e-6)
    return ndimage.binary_dilation(ndimage.binary_opening(shown, iterations=1), iterations=2)


def stamp(pixels: np.ndarray, case_id: str, avoid: np.ndarray | None = None) -> tuple[np.ndarray, StampBox]:
    """Writes the stamp into pixels [H, W] uint8 or uint16.

    The largest of a few sizes that fits a free margin is taken; where none fits, rows are appended below, so that
    pixel (r, c) of the picture stays pixel (r, c).

    Args:
        avoid: bool [H, W] that must stay free, the edit region for one.

    Returns:
        the stamped pixels, a new array, and where the stamp lies.
    """
    top = np.iinfo(pixels.dtype).max
    bright = int(max(np.percentile(pixels, 99.9), 0.25 * top)) if pixels.dtype == np.uint16 else int(top)
    busy = anatomy_of(pixels)
    if avoid is not None:
        busy = busy | (np.asarray(avoid) > 0)
    short = min(pixels.shape)
    forms = [(WORDS, case_id), ("SYNTHETIC", "NOT FOR", "DIAGNOSIS", case_id)]
    for size in (max(round(short / 22), 10), 10, 9):
        for lines in forms:
            words = _text(tuple(lines), size)
            place = _free(busy, *words.shape)
            if place:
                row, column = place
                box = StampBox(row, column, *words.shape)
                return _drawn(pixels, words, box, bright), box
    words = _text((f"{WORDS}  {case_id}",), max(round(short / 26), 9))
    if words.shape[1] > pixels.shape[1]:
        words = _text((WORDS, case_id), 9)[:, : pixels.shape[1]]
    extended = np.vstack([pixels, np.zeros((words.shape[0], pixels.shape[1]), pixels.dtype)])
    box = StampBox(pixels.shape[0], 0, *words.shape, appended_rows=words.shape[0])
    return _drawn(extended, words, box, bright), box


def _drawn(pixels: np.ndarray, words: np.ndarray, box: StampBox, bright: int) -> np.ndarray:
    """Bright words on a dark box: readable at any window and inverted."""
    out = pixels.copy()
    area = (slice(box.row, box.row + box.height), slice(box.column, box.column + box.width))
    out[area] = np.round(words * bright).astype(pixels.dtype)
    return out
