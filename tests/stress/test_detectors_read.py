"""What a detector is given and what its numbers mean, in the case's pixels; which marks are hits."""

from __future__ import annotations

import numpy as np
import pytest

from meddiff.case import MedDiffError
from meddiff.stress.detectors import Nonsense, mark_hits
from meddiff.stress.detectors.detector import MOST_MARKS, Detector
from meddiff.stress.detectors.prepare import Placement, View, prepare
from meddiff.stress.detectors.read import marks_of_mask, read
from meddiff.stress.records import Answer, Contract, Kind, Mark
from tests.stress.tiny_models import disc


def contract(kind: str = "mask", **other) -> Contract:
    return Contract(kind=Kind(kind), **{"threshold": 0.5, **other})


def view(pixels: np.ndarray, spacing: float = 1.0) -> View:
    return View(pixels, (spacing, spacing))


def here(asked: Contract, shape: tuple[int, int] = (256, 256), spacing: float = 1.0) -> Placement:
    return Placement.of(shape, (spacing, spacing), asked)


# ---------------------------------------------------------------- what it is given


def test_black_and_white_are_what_the_contract_says():
    pixels = np.array([[0, 51], [255, 0]], np.uint8).repeat(128, 0).repeat(128, 1)
    batch, _ = prepare(view(pixels), contract(low=-1, high=3, channels=3))
    assert batch.shape == (1, 3, 256, 256) and batch.dtype == np.float32
    assert np.unique(batch) == pytest.approx([-1, -0.2, 3])
    assert prepare(view(pixels), contract(channels=3, layout="NHWC"))[0].shape == (1, 256, 256, 3)
    deep, _ = prepare(view(pixels.astype(np.uint16) * 257), contract(low=-1, high=3, channels=3))
    assert np.allclose(deep, batch, atol=1e-6)
    standard, _ = prepare(view(pixels), contract(high=255, standardised=True))
    assert (standard.mean(), standard.std()) == pytest.approx((0, 1), abs=1e-5)
    flat, _ = prepare(view(np.full((256, 256), 7, np.uint8)), contract(standardised=True))
    assert not flat.any()


@pytest.mark.parametrize(("shape", "size"), [((256, 256), (200, 300)), ((255, 251), (256, 256)), ((64, 80), (33, 97))])
def test_cutting_and_padding_moves_whole_pixels_about_the_middle_and_back(shape, size):
    pixels = np.random.default_rng(0).integers(1, 256, shape, np.uint8)
    asked = contract(size=size)
    batch, placement = prepare(view(pixels), asked)
    rows, columns = (min(a, b) for a, b in zip(shape, size, strict=True))
    assert (batch > 0).sum() == rows * columns
    assert set(np.unique(np.rint(batch * 255)).astype(int)) <= {0, *np.unique(pixels).tolist()}
    back = placement.back(batch[0, 0])
    assert back.shape == shape
    assert np.array_equal(np.rint(back * 255)[back > 0], pixels[back > 0])
    assert (back > 0).sum() == rows * columns


@pytest.mark.parametrize("spacing", [0.5, 1.0, 2.0])
def test_a_thing_stays_where_it_is_on_the_way_there_and_back(spacing):
    """A disc at another pixel size is as large in mm, in the middle's frame, and comes back to its pixels."""
    asked = contract(spacing_mm=1.0)
    pixels = (disc(90, 150, 12) * 255).astype(np.uint8)
    batch, placement = prepare(view(pixels, spacing), asked)
    there = np.argwhere(batch[0, 0] > 0.5)
    middle = 127.5 + (np.array([90, 150]) - 127.5) * spacing
    assert there.mean(0) == pytest.approx(middle, abs=0.3)
    assert len(there) == pytest.approx(disc(90, 150, 12).sum() * spacing**2, rel=0.06)
    (mark,) = read([batch[0]], asked, placement).marks
    assert (mark.row, mark.column) == pytest.approx((90, 150), abs=0.5)
    assert mark.box == pytest.approx((78, 138, 102, 162), abs=2)


def test_boxes_come_back_to_the_case_s_pixels():
    """A picture of 0.5 mm pixels for a case of 1 mm: half the size, about the same middle."""
    asked = contract("boxes", spacing_mm=0.5, size=(256, 256))
    placement = here(asked, (256, 256), 1.0)
    answer = read([np.array([[64, 96, 192, 160, 0.8]])], asked, placement)
    (mark,) = answer.marks
    # x 64 to 192 around the middle 128 is 128 pixels of 0.5 mm: 64 of 1 mm around 128, edges 96 to 160, pixels 96 to 159.
    assert mark.box == (112, 96, 143, 159) and (mark.row, mark.column) == (127.5, 127.5)


# ---------------------------------------------------------------- what its numbers mean


@pytest.mark.parametrize(
    ("output", "more", "score"),
    [
        ([[0.2]], {}, 0.2),
        (0.2, {}, 0.2),
        ([[0.8, 0.2]], {}, 0.2),
        ([[0.8, 0.2]], {"positive": 0}, 0.8),
        ([[0.0]], {"logits": True}, 0.5),
        ([[0.0, np.log(3)]], {"logits": True}, 0.75),
        ([[True]], {}, 1.0),
        ([[1.00005]], {}, 1.0),  # float16
    ],
)
def test_a_classifier_s_column(output, more, score):
    asked = contract("classifier", **more)
    assert read([np.array(output)], asked, here(asked)).score == pytest.approx(score)


def test_a_mask_s_column():
    asked = contract(size=(32, 32), logits=True)
    values = np.zeros((1, 3, 32, 32))
    values[0, 2, 10:20, 5:15] = 5
    (mark,) = [m for m in read([values], asked, here(asked, (32, 32))).marks if m.score > 0.5]
    assert mark.box == (10, 5, 19, 14) and mark.score == pytest.approx(np.exp(5) / (np.exp(5) + 2))
    last = asked.model_copy(update={"layout": "NHWC"})
    assert read([values.transpose(0, 2, 3, 1)], last, here(last, (32, 32))).score == pytest.approx(mark.score)


@pytest.mark.parametrize(
    "outputs",
    [
        [np.array([[[1, 2, 30, 40, 0.7], [5, 6, 7, 8, 0.9]]])],
        [np.array([[1, 2, 30, 40, 0.7, 1], [5, 6, 7, 8, 0.9, 2]])],
        [np.array([[1, 2, 30, 40], [5, 6, 7, 8.0]]), np.array([1, 1]), np.array([0.7, 0.9])],  # torchvision's order
        [np.array([0.7, 0.9]), np.array([[1, 2, 30, 40], [5, 6, 7, 8.0]])],
        [np.array([[1, 2, 30, 40], [5, 6, 7, 8.0]]), np.array([[0.3, 0.7], [0.1, 0.9]])],
    ],
)
def test_boxes_in_every_form(outputs):
    asked = contract("boxes")
    marks = read(outputs, asked, here(asked)).marks
    assert [mark.score for mark in marks] == [0.9, 0.7]
    assert [mark.box for mark in marks] == [(6, 5, 7, 6), (2, 1, 39, 29)]


@pytest.mark.parametrize(
    "empty", [[np.empty((0, 5))], [np.empty((1, 0, 6))], [np.empty((0, 4)), np.empty(0)], [np.empty(0)]]
)
def test_no_box_is_no_mark(empty):
    asked = contract("boxes")
    assert read(empty, asked, here(asked)) == Answer()


@pytest.mark.parametrize(
    ("kind", "outputs", "says"),
    [
        ("classifier", [], "gave nothing"),
        ("classifier", [np.array([[np.nan]])], "1 of its 1 numbers is NaN"),
        ("classifier", [np.array([[1.2]])], "goes from 0 to 1.2"),
        ("classifier", [np.zeros((2, 3))], r"shape \[2, 3\], where its contract declares one probability"),
        ("classifier", [np.zeros((1, 0))], "declares one probability"),
        (
            "mask",
            [np.zeros((1, 1, 128, 128))],
            r"shape \[1, 1, 128, 128\], where its contract declares \[1, K, 256, 256\]",
        ),
        ("mask", [np.full((256, 256), -3.0)], "goes from -3 to 0"),
        ("mask", [np.full((256, 256), np.inf)], "65536 of its 65536 numbers are NaN or infinite"),
        ("mask", [np.full((256, 256), 1 + 2j)], "complex128 where numbers"),
        ("boxes", [np.zeros((3, 7))], "declares boxes"),
        ("boxes", [np.zeros(3), np.zeros((3, 2))], "declares boxes"),
        ("boxes", [np.array([[30, 10, 20, 40, 0.5]])], "Box 1 of 1 is x 30 to 20, y 10 to 40: its first corner"),
        ("boxes", [np.array([[0, 0, 9, 9, 0.5], [-5, 0, 9, 9, 0.5]])], "Box 2 of 2 is x -5 to 9.* outside the picture"),
        ("boxes", [np.array([[0, 0, 9, 999, 0.5]])], "outside the picture of 256 x 256"),
        ("boxes", [np.array([[0, 0, 9, 9, 5]])], "Scores of its boxes goes|go"),
    ],
)
def test_nonsense_is_told_in_a_sentence(kind, outputs, says):
    asked = contract(kind)
    with pytest.raises(Nonsense, match=says):
        read(outputs, asked, here(asked))


def test_a_column_that_is_not_there_is_nonsense():
    asked = contract("classifier", positive=2)
    with pytest.raises(Nonsense, match="2 columns, and the contract's `positive` is 2"):
        read([np.array([[0.1, 0.9]])], asked, here(asked))


# ---------------------------------------------------------------- marks of a mask


def test_pieces_are_marks_with_their_highest_probability():
    probability = np.zeros((256, 256))
    probability[disc(60, 60, 8)] = 0.7
    probability[60, 60] = 0.95
    probability[disc(60, 160, 8)] = 0.3
    probability[disc(180, 100, 1)] = 0.9  # 5 pixels: smaller than a mark
    marks = marks_of_mask(probability, contract(), (1.0, 1.0))
    assert [(round(m.row), round(m.column), m.score) for m in marks] == [(60, 60, 0.95), (60, 160, 0.3)]


def test_what_is_faint_around_a_sure_piece_is_part_of_it():
    probability = np.where(disc(60, 60, 20), 0.2, 0.0)
    probability[disc(60, 60, 6)] = 0.8
    (mark,) = marks_of_mask(probability, contract(), (1.0, 1.0))
    assert mark.box == (54, 54, 66, 66)


def test_a_faint_piece_with_a_sure_speck_stays_below_the_threshold():
    probability = np.where(disc(60, 60, 20), 0.2, 0.0)
    probability[60, 60] = 0.99
    (mark,) = marks_of_mask(probability, contract(), (1.0, 1.0))
    assert mark.score == pytest.approx(0.5) and mark.score < 0.5


def test_the_least_area_is_in_mm2():
    probability = disc(60, 60, 3).astype(float)  # 29 pixels
    assert not marks_of_mask(probability, contract(least_mm2=10), (0.5, 0.5))
    assert marks_of_mask(probability, contract(least_mm2=10), (0.5, 0.7))


def test_only_the_highest_marks_are_kept():
    class Many(Detector):
        def see(self, view):
            boxes = np.array([[i, 0, i + 1, 1, i / 500] for i in range(250)])
            return read([boxes], self.contract, here(self.contract))

    answer = Many("many", contract("boxes")).answer(view(np.zeros((256, 256), np.uint8)))
    assert len(answer.marks) == MOST_MARKS and answer.score == answer.marks[0].score == 249 / 500


# ---------------------------------------------------------------- hits


def mark_at(row: float, column: float, half: float = 5) -> Mark:
    return Mark(row=row, column=column, box=(row - half, column - half, row + half, column + half), score=0.9)


def judged(mark: Mark, outline: np.ndarray | None, spacing: float | tuple[float, float] = 1.0, **how) -> Mark:
    answer = Answer(score=0.9, marks=(mark,))
    marked = mark_hits(answer, outline, spacing, **how)
    assert marked.score == 0.9 and not answer.marks[0].hit
    return marked.marks[0]


def test_a_mark_in_the_lesion_is_a_hit():
    square = np.zeros((256, 256), bool)
    square[95:106, 145:156] = True
    mark = judged(mark_at(100, 150), square)
    assert mark.hit and mark.overlap == 1


@pytest.mark.parametrize(("away", "hit"), [(4.9, True), (5.1, False)])
def test_a_mark_near_the_lesion_is_a_hit_within_the_tolerance(away, hit):
    outline = disc(100, 150, 10)
    mark = judged(mark_at(100, 160 + away, half=0.5), outline)
    assert mark.hit is hit and mark.overlap == 0


def test_the_tolerance_is_in_mm_along_rows_and_columns():
    outline = disc(100, 150, 10)
    assert judged(mark_at(100, 168, 0.5), outline, (1.0, 0.5)).hit  # 8 pixels of 0.5 mm
    assert not judged(mark_at(118, 150, 0.5), outline, (1.0, 0.5)).hit
    assert not judged(mark_at(100, 168, 0.5), outline, 1.0).hit
    assert judged(mark_at(100, 168, 0.5), outline, 1.0, tolerance_mm=9).hit


def test_a_box_that_overlaps_enough_is_a_hit_wherever_its_middle_lies():
    outline = disc(100, 60, 10)
    wide = Mark(row=100, column=100, box=(90, 50, 110, 150), score=0.9)
    mark = judged(wide, outline)
    assert mark.overlap == pytest.approx(21 * 21 / (21 * 101)) and mark.hit
    assert not judged(wide, outline, iou=0.3).hit


def test_of_a_lesion_in_pieces_any_piece_counts():
    outline = disc(60, 60, 8) | disc(180, 180, 8)
    assert judged(mark_at(60, 60, 8), outline).overlap == 1
    assert judged(mark_at(180, 180, 8), outline).hit
    assert not judged(mark_at(120, 120, 3), outline).hit  # between them


@pytest.mark.parametrize("outline", [None, np.zeros((256, 256), bool)])
def test_without_a_lesion_nothing_is_a_hit(outline):
    mark = judged(mark_at(100, 100).model_copy(update={"hit": False, "overlap": 0.5}), outline)
    assert not mark.hit and mark.overlap == 0


def test_a_mark_beyond_the_picture_is_far_from_all():
    outline = np.zeros((256, 256), bool)
    outline[:, 250:] = True
    assert judged(mark_at(100, 258, 0.5), outline).hit
    assert not judged(mark_at(100, 270, 0.5), outline).hit


def test_an_outline_of_another_shape_is_refused():
    with pytest.raises(MedDiffError, match=r"give \[H, W\]"):
        mark_hits(Answer(marks=(mark_at(1, 1),)), np.ones(5), 1.0)
