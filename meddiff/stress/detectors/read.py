"""From what a detector gives back to an answer in the case's pixels; what cannot be an answer is nonsense, said in a sentence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from meddiff.stress.detectors.prepare import Placement
from meddiff.stress.records import Answer, Contract, Kind, Mark

FAINT = 0.2  # of the threshold: pieces of a mask from there on are marks with a low score, which FROC needs
_ROUNDING = 1e-4  # by which float16 and integer models overshoot 0 and 1
_OVERHANG = 1.0  # pixels by which a box may stand out of the picture: rounding, again


class Nonsense(Exception):
    """An answer that cannot be one, in a sentence: what was declared, and what came."""


def read(outputs: Sequence[np.ndarray], contract: Contract, placement: Placement) -> Answer:
    """The answer in what a model gave for one picture.

    | kind | what the model gives |
    |---|---|
    | classifier | one number, or K columns [1, K] of which `positive` is the lesion's; the first output |
    | mask | [1, K, H, W], [1, H, W, K] by the layout, [1, H, W] or [H, W]; K columns as above; the first output |
    | boxes | [N, 5] of x0, y0, x1, y1, score, or [N, 6] with a class behind, a leading 1 allowed; or boxes [N, 4] and scores [N] or [N, K] as two outputs |

    Boxes are in pixels of the picture that the detector got, its upper left corner 0, 0, its lower right one its width and height.

    Raises:
        Nonsense: another shape, NaN or infinity, a probability outside 0 to 1, a box that is inverted or outside.
    """
    if not outputs:
        raise Nonsense(f"It gave nothing, where its contract declares {_declared(contract)}.")
    if contract.kind is Kind.BOXES:  # labels of classes stand beside, as whole numbers
        outputs = [output for output in outputs if output.ndim > 1 or output.dtype.kind == "f"] or outputs
    arrays = [_numbers(output) for output in outputs]
    if contract.kind is Kind.CLASSIFIER:
        return Answer(score=_classified(arrays[0], contract))
    if contract.kind is Kind.MASK:
        probability = placement.back(_mask(arrays[0], contract))
        return answer_of(marks_of_mask(probability, contract, placement.spacing_mm))
    boxes, scores = _boxes(arrays, contract)
    return answer_of(marks_of_boxes(boxes, scores, placement))


def answer_of(marks: Sequence[Mark]) -> Answer:
    """Marks, the highest first, whose score is the picture's."""
    ordered = sorted(marks, key=lambda mark: (-mark.score, mark.row, mark.column))
    return Answer(score=ordered[0].score if ordered else 0.0, marks=tuple(ordered))


def marks_of_mask(probability: np.ndarray, contract: Contract, spacing_mm: tuple[float, float]) -> list[Mark]:
    """Pieces (8-connected) of a mask's probabilities [H, W] as marks, their score the highest probability in them.

    Pieces at the threshold come first. What is fainter, down to `FAINT` of the threshold, is a mark where no such piece lies in it; where single pixels of
    it reach the threshold, they are smaller than a mark, and so its score stays below.
    """
    sure = _pieces(probability >= contract.threshold, contract, spacing_mm)
    faint = _pieces(probability >= max(FAINT * contract.threshold, 1e-6), contract, spacing_mm)
    below = float(np.nextafter(contract.threshold, 0))
    marks = [_mark(sure == number, probability, 1.0) for number in _numbers_of(sure)]
    alone = np.setdiff1d(_numbers_of(faint), faint[sure > 0])
    return marks + [_mark(faint == number, probability, below) for number in alone]


def marks_of_boxes(boxes: np.ndarray, scores: np.ndarray, placement: Placement) -> list[Mark]:
    """Boxes [N, 4] (x0, y0, x1, y1, edges, in the detector's picture) and scores [N] as marks in the case."""
    height, width = placement.picture
    for number, (x0, y0, x1, y1) in enumerate(boxes, 1):
        said = f"Box {number} of {len(boxes)} is x {x0:g} to {x1:g}, y {y0:g} to {y1:g}"
        if not (x0 < x1 and y0 < y1):
            raise Nonsense(f"{said}: its first corner must lie left of and above its last (x0, y0, x1, y1, in pixels).")
        if min(x0, y0) < -_OVERHANG or x1 > width + _OVERHANG or y1 > height + _OVERHANG:
            raise Nonsense(
                f"{said}, outside the picture of {width} x {height} pixels (width x height) that it was given."
            )
    first, last = placement.edges(boxes[:, [1, 0]]), placement.edges(boxes[:, [3, 2]])
    return [
        Mark(
            row=(top + bottom - 1) / 2,
            column=(left + right - 1) / 2,
            box=(top, left, bottom - 1, right - 1),
            score=score,
        )
        for (top, left), (bottom, right), score in zip(first.tolist(), last.tolist(), scores.tolist(), strict=True)
    ]


def _declared(contract: Contract) -> str:
    return {
        Kind.CLASSIFIER: "one probability",
        Kind.MASK: f"a mask of {contract.size[0]} x {contract.size[1]} pixels",
        Kind.BOXES: "boxes with scores",
    }[contract.kind]


def _numbers(output: np.ndarray) -> np.ndarray:
    """An output as finite float64."""
    if output.dtype.kind not in "fiub":
        raise Nonsense(f"It gave {output.dtype} where numbers were expected.")
    values = output.astype(np.float64)
    if values.size and not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).sum())
        raise Nonsense(f"{bad} of its {values.size} numbers {'is' if bad == 1 else 'are'} NaN or infinite.")
    return values


def _probable(values: np.ndarray, what: str) -> np.ndarray:
    """Values that must be probabilities, within rounding."""
    low, high = float(values.min(initial=0)), float(values.max(initial=0))
    if low < -_ROUNDING or high > 1 + _ROUNDING:
        raise Nonsense(
            f"{what} goes from {low:.4g} to {high:.4g}, where probabilities from 0 to 1 are declared "
            "(set `logits: true` in its contract if these are logits)."
        )
    return np.clip(values, 0, 1)


def _column(values: np.ndarray, contract: Contract, what: str) -> np.ndarray:
    """The lesion's probability of values [K, ...]."""
    columns = len(values)
    if not -columns <= contract.positive < columns and columns > 1:
        raise Nonsense(f"{what} has {columns} columns, and the contract's `positive` is {contract.positive}.")
    if not contract.logits:
        return _probable(values[contract.positive if columns > 1 else 0], what)
    from scipy.special import expit, softmax

    return np.asarray(softmax(values, axis=0)[contract.positive] if columns > 1 else expit(values[0]))


def _classified(values: np.ndarray, contract: Contract) -> float:
    if values.size == 0 or values.size != max(values.shape, default=1):
        raise Nonsense(f"It gave numbers of shape {list(values.shape)}, where its contract declares one probability.")
    return float(_column(values.ravel(), contract, "Its answer"))


def _mask(values: np.ndarray, contract: Contract) -> np.ndarray:
    """Probabilities [H, W] of the contract's picture."""
    came, (height, width) = list(values.shape), contract.size
    if values.ndim in (3, 4) and values.shape[0] == 1:
        values = values[0]
    if values.ndim == 2:
        values = values[None]
    elif values.ndim == 3 and contract.layout == "NHWC":
        values = values.transpose(2, 0, 1)
    if values.ndim != 3 or values.shape[1:] != (height, width):
        layout = "[1, K, {}, {}]" if contract.layout == "NCHW" else "[1, {}, {}, K]"
        raise Nonsense(f"Its mask has the shape {came}, where its contract declares {layout.format(height, width)}.")
    return _column(values, contract, "Its mask")


def _boxes(arrays: Sequence[np.ndarray], contract: Contract) -> tuple[np.ndarray, np.ndarray]:
    """Boxes [N, 4] and scores [N]."""
    came = ", ".join(str(list(array.shape)) for array in arrays)
    arrays = [array[0] if array.ndim == 3 and array.shape[0] == 1 else array for array in arrays]
    wrong = Nonsense(
        f"It gave numbers of shape {came}, where its contract declares boxes: [N, 5] or [N, 6], or boxes [N, 4] and scores [N]."
    )
    if len(arrays) == 1:
        table = arrays[0]
        if not table.size:
            return np.empty((0, 4)), np.empty(0)
        if table.ndim != 2 or table.shape[1] not in (5, 6):
            raise wrong
        boxes, scores = table[:, :4], table[:, 4:5]
    else:
        boxes, scores = _apart(arrays, wrong)
    if not len(boxes):
        return np.empty((0, 4)), np.empty(0)
    return boxes, _column(scores.T, contract, "Scores of its boxes")


def _apart(arrays: Sequence[np.ndarray], wrong: Nonsense) -> tuple[np.ndarray, np.ndarray]:
    """Boxes [N, 4] and scores [N, K] among several outputs."""
    boxes = next((a for a in arrays if a.ndim == 2 and a.shape[1] == 4), None)
    if boxes is None:
        raise wrong
    scores = [a for a in arrays if a is not boxes and a.ndim in (1, 2) and len(a) == len(boxes)]
    if not scores:
        raise wrong
    return boxes, scores[0][:, None] if scores[0].ndim == 1 else scores[0]


def _pieces(mask: np.ndarray, contract: Contract, spacing_mm: tuple[float, float]) -> np.ndarray:
    """Pieces of at least `least_mm2` of a mask [H, W], numbered from 1, int [H, W]."""
    from scipy import ndimage

    labels, _ = ndimage.label(mask, np.ones((3, 3)))
    large = np.bincount(labels.ravel()) * spacing_mm[0] * spacing_mm[1] >= contract.least_mm2
    return np.where(large[labels], labels, 0)


def _numbers_of(pieces: np.ndarray) -> np.ndarray:
    numbers = np.unique(pieces)
    return numbers[numbers > 0]


def _mark(piece: np.ndarray, probability: np.ndarray, most: float) -> Mark:
    rows, columns = np.nonzero(piece)
    return Mark(
        row=float(rows.mean()),
        column=float(columns.mean()),
        box=(float(rows.min()), float(columns.min()), float(rows.max()), float(columns.max())),
        score=min(float(probability[piece].max()), most),
    )
