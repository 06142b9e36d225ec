"""Which of a detector's marks are the lesion found."""

from __future__ import annotations

import numpy as np

from meddiff.case import MedDiffError
from meddiff.stress.records import Answer, Mark


def mark_hits(
    answer: Answer,
    outline: np.ndarray | None,
    spacing_mm: float | tuple[float, float],
    tolerance_mm: float = 5.0,
    iou: float = 0.1,
) -> Answer:
    """The same answer, with `overlap` and `hit` of each mark.

    A mark is a hit when its middle lies in the outline or at most `tolerance_mm` from it, or when its box overlaps the lesion's by `iou` or more
    (intersection over union). Of a lesion in several pieces, any piece counts, and all of them as one.

    Args:
        outline: bool [H, W] in the case's pixels; None or empty: no lesion, no hit.
        spacing_mm: of a pixel, or of rows and columns.

    Raises:
        MedDiffError: an outline that is not [H, W].
    """
    if outline is None or not np.any(outline):
        return answer.model_copy(update={"marks": tuple(_judged(mark, 0.0, False) for mark in answer.marks)})
    if np.ndim(outline) != 2:
        raise MedDiffError(f"The outline has the shape {np.shape(outline)}: give [H, W], in the case's pixels.")
    from scipy import ndimage

    there = np.asarray(outline) > 0
    spacing = np.broadcast_to(np.asarray(spacing_mm, float), 2)
    away = ndimage.distance_transform_edt(~there, sampling=spacing)
    pieces, _ = ndimage.label(there, np.ones((3, 3)))
    boxes = np.array([_box(place) for place in ndimage.find_objects(pieces) + ndimage.find_objects(there.astype(int))])
    marks = []
    for mark in answer.marks:
        overlap = float(_overlaps(np.array(mark.box), boxes).max())
        hit = _distance(away, mark.row, mark.column, spacing) <= tolerance_mm or overlap >= iou
        marks.append(_judged(mark, overlap, bool(hit)))
    return answer.model_copy(update={"marks": tuple(marks)})


def _judged(mark: Mark, overlap: float, hit: bool) -> Mark:
    return mark.model_copy(update={"overlap": overlap, "hit": hit})


def _box(place: tuple[slice, slice]) -> tuple[int, int, int, int]:
    rows, columns = place
    return rows.start, columns.start, rows.stop - 1, columns.stop - 1


def _distance(away: np.ndarray, row: float, column: float, spacing: np.ndarray) -> float:
    """Distance in mm [H, W] to the outline, read at a point that may lie outside the picture."""
    from scipy import ndimage

    at = np.array([row, column])
    inside = np.clip(at, 0, np.array(away.shape) - 1)
    beyond = float(np.hypot(*((at - inside) * spacing)))
    return beyond + float(ndimage.map_coordinates(away, inside[:, None], order=1)[0])


def _overlaps(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Intersection over union of a box [4] with boxes [N, 4], of first and last pixels: a box of one pixel has the area 1."""
    sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2]) + 1
    shared = np.prod(np.clip(sides, 0, None), axis=1)
    total = np.prod(box[2:] - box[:2] + 1) + np.prod(boxes[:, 2:] - boxes[:, :2] + 1, axis=1) - shared
    return np.clip(shared / total, 0, 1)
