"""The visible stamp: words that anybody can read, in the margin, never over anatomy or lesion."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from meddiff.case import MedDiffError

Language = Literal["en", "zh"]

WORDS: dict[Language, tuple[str, ...]] = {
    "en": ("SYNTHETIC - NOT FOR DIAGNOSIS", "SYNTHETIC", "NOT FOR", "DIAGNOSIS"),  # on one line; on several
    "zh": ("合成图像 - 不得用于诊断", "合成图像", "不得用于", "诊断"),
}
CHINESE_FONT = Path(__file__).parent / "fonts" / "stamp-zh.ttf"  # these words and ids only
PADDING = 2  # pixels around the words
SMALLEST = 9  # font size in pixels below which the words cannot be read
SMALLEST_CHINESE = 12


@dataclass(frozen=True)
class StampBox:
    """Where the stamp lies: first row and column, height and width in pixels; rows appended below the picture, if any; its language."""

    row: int
    column: int
    height: int
    width: int
    appended_rows: int = 0
    language: Language = "en"

    @property
    def area(self) -> tuple[slice, slice]:
        """Rows and columns of the stamp, to index an array with."""
        return slice(self.row, self.row + self.height), slice(self.column, self.column + self.width)


def stamp(
    pixels: np.ndarray, case_id: str, avoid: np.ndarray | None = None, language: Language = "en"
) -> tuple[np.ndarray, StampBox]:
    """Writes the stamp into pixels [H, W] uint8 or uint16.

    The largest of a few sizes that fits a free margin is taken; where none fits, rows are appended below, so that
    pixel (r, c) of the picture stays pixel (r, c).

    The words are as bright as anything in the picture and their box is 0, so that no window can hide them and still
    show the picture. (In 16 bits they are not brighter: viewers that choose the window themselves would turn it dark.)

    Args:
        avoid: bool [H, W] that must stay free, the edit region for one.
        language: of the words.

    Returns:
        the stamped pixels, a new array, and where the stamp lies.

    Raises:
        MedDiffError: a picture too narrow for the words.
    """
    busy = anatomy_of(pixels)
    if avoid is not None:
        busy = busy | (np.asarray(avoid) > 0)
    line, *lines = WORDS[language]
    short = min(pixels.shape)
    for size in (max(round(short / 22), 10), 10, SMALLEST):
        for form in ((line, case_id), (*lines, case_id), (*lines, *_halves(case_id))):
            words = _text(form, size)
            place = _free(busy, *words.shape)
            if place:
                box = StampBox(place[0], place[1], words.shape[0], words.shape[1], language=language)
                return _drawn(pixels, words, box), box
    words = _strip(case_id, pixels.shape[1], max(round(short / 26), SMALLEST), language)
    extended = np.vstack([pixels, np.zeros((words.shape[0], pixels.shape[1]), pixels.dtype)])
    box = StampBox(pixels.shape[0], 0, words.shape[0], words.shape[1], words.shape[0], language)
    return _drawn(extended, words, box), box


def copy_stamp(pixels: np.ndarray, stamped: np.ndarray, box: StampBox) -> np.ndarray:
    """Pixels [H, W] with the stamp of another picture of the same case, in the same place."""
    out = np.vstack([pixels, stamped[stamped.shape[0] - box.appended_rows :]]) if box.appended_rows else pixels.copy()
    out[box.area] = stamped[box.area]
    return out


def anatomy_of(pixels: np.ndarray) -> np.ndarray:
    """Pixels [H, W] that show something: above a small share of the range, grown a little."""
    low, high = float(np.min(pixels)), float(np.percentile(pixels, 99.5))
    shown = ndimage.gaussian_filter(pixels.astype(np.float32), 1.0) > low + 0.06 * max(high - low, 1e-6)
    return ndimage.binary_dilation(ndimage.binary_opening(shown, iterations=1), iterations=2)


def _strip(case_id: str, columns: int, size: int, language: Language) -> np.ndarray:
    """The words [h, at most columns] in the fewest lines that are narrow enough."""
    line, *lines = WORDS[language]
    for form in ((f"{line}  {case_id}",), (line, case_id), (*lines, case_id), (*lines, *_halves(case_id))):
        for height in (size, SMALLEST):
            words = _text(form, height)
            if words.shape[1] <= columns:
                return words
    raise MedDiffError(
        f"A picture {columns} pixels wide has no room for the words that mark it as synthetic: it takes {words.shape[1]}."
    )


def _halves(case_id: str) -> tuple[str, str]:
    middle = (len(case_id) + 1) // 2
    return case_id[:middle], case_id[middle:]


@lru_cache(maxsize=8)
def _chinese_font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(CHINESE_FONT), max(size, SMALLEST_CHINESE))


def _text(lines: tuple[str, ...], size: int) -> np.ndarray:
    """Lines of text as a mask [h, w] of 0 to 1, with padding."""
    latin = ImageFont.load_default(size=size)
    fonts = [[_chinese_font(size) if not letter.isascii() else latin for letter in line] for line in lines]
    widths = [
        [font.getlength(letter) for font, letter in zip(row, line, strict=True)]
        for row, line in zip(fonts, lines, strict=True)
    ]
    height = int(max(font.getbbox(line)[3] for row, line in zip(fonts, lines, strict=True) for font in set(row))) + 1
    width = int(max(sum(row) for row in widths)) + 1
    image = Image.new("L", (width + 2 * PADDING, height * len(lines) + 2 * PADDING))
    draw = ImageDraw.Draw(image)
    draw.fontmode = "L"
    for number, line in enumerate(lines):
        if line.isascii():  # in one piece, with the font's kerning
            draw.text((PADDING, PADDING + number * height), line, fill=255, font=latin)
            continue
        across = float(PADDING)
        for letter, font, wide in zip(line, fonts[number], widths[number], strict=True):
            draw.text((across, PADDING + number * height), letter, fill=255, font=font)
            across += wide
    words = np.asarray(image, np.float32)
    return words / words.max()  # thin strokes of a small font stay below 255


def _free(busy: np.ndarray, height: int, width: int) -> tuple[int, int] | None:
    """Top left corner of the free box [height, width] that is nearest to a corner of the picture, or None."""
    rows, columns = busy.shape
    if height > rows or width > columns:
        return None
    total = np.pad(busy.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    sums = total[height:, width:] - total[:-height, width:] - total[height:, :-width] + total[:-height, :-width]
    if sums.all():
        return None
    # Bottom left is where viewers put such words, and where anatomy is rarest: it wins between equals.
    row, column = np.arange(rows - height + 1)[:, None], np.arange(columns - width + 1)[None]
    bottom, right = rows - height - row, columns - width - column
    distance = np.minimum(row, bottom) + np.minimum(column, right) + 0.5 * (row < bottom) + 0.25 * (right < column)
    best = np.where(sums == 0, distance, np.inf).argmin()
    found = np.unravel_index(best, sums.shape)
    return int(found[0]), int(found[1])


def _drawn(pixels: np.ndarray, words: np.ndarray, box: StampBox) -> np.ndarray:
    """Bright words on a dark box: readable at any window that shows the picture, and inverted."""
    top = int(np.iinfo(pixels.dtype).max)
    bright = int(pixels.max()) or top if pixels.dtype == np.uint16 else top
    out = pixels.copy()
    out[box.area] = np.round(words * bright).astype(pixels.dtype)
    return out


def shows_stamp(pixels: np.ndarray, box: StampBox) -> bool:
    """Whether bright words stand on black where a picture [H, W], stamped, says that its stamp lies."""
    rows, columns = pixels.shape
    inside = box.row >= 0 and box.column >= 0 and box.row + box.height <= rows and box.column + box.width <= columns
    if not inside or not 0 <= box.appended_rows < rows or box.height < 9 or box.width < 40:
        return False
    words = pixels[box.area].astype(np.float32)
    bright = float((words > 0.5 * pixels.max()).mean())
    return 0.03 < bright < 0.6 and float((words == 0).mean()) > 0.3
