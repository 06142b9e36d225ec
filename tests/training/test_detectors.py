"""The reference detectors' recipe: which slices are tumour-free, what is a healthy cell, how figures are counted, what is written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

from meddiff.case import MedDiffError, Plane
from meddiff.settings import HOUSE
from meddiff.training import detectors as recipe
from meddiff.training.dataset import BrainSet
from tests.conftest import make_phantom
from tests.stress.tiny_models import disc


def write_patient(folder: Path, tumour: dict[str, list[int]], slices: int = 12, axes: str = "LPS") -> None:
    """Volumes of a patient whose upper left eighth (the patient's right, in front) is bright; tumour in the slices given by visit."""
    folder.mkdir(parents=True)
    rows, columns = np.mgrid[:256, :256]
    scan = np.stack([np.where((rows < 32) & (columns < 32), 400.0, 100.0) + i for i in range(slices)])
    scan[-1] = 0  # padding
    for visit in ("Pre", "Post"):
        mask = np.zeros((slices, 256, 256))
        for at in tumour.get(visit, []):
            mask[at] = disc(128, 60, 9) & ~disc(128, 60, 6)  # a rim, as the source has it
        for name, volume in ((f"{visit}_Scan_T1", scan), (f"{visit}_Mask", mask)):
            # [slice, row from the front, column from the patient's right] -> axes to the left, back and head
            affine = np.diag([-1.0, -1, 1, 1])
            image = nibabel.Nifti1Image(volume.transpose(2, 1, 0).astype(np.float32), affine)
            target = nibabel.orientations.axcodes2ornt(tuple(axes))
            turn = nibabel.orientations.ornt_transform(nibabel.io_orientation(affine), target)
            nibabel.save(image.as_reoriented(turn), folder / f"{name}.nii.gz")


@pytest.mark.parametrize("axes", ["LPS", "RAS"])
def test_tumour_free_is_far_from_the_tumour_of_either_visit(axes, tmp_path):
    write_patient(tmp_path / "07", {"Pre": [4], "Post": [5]}, axes=axes)
    slices = recipe.load_volumes(tmp_path)
    # 12 slices: 4 and 5 show tumour in one visit each, 2 to 7 lie near it, 11 is padding; 0, 1, 8, 9, 10 are free, in both visits.
    assert len(slices) == 2 * 5 + 2 and slices.lesion.sum() == 2 and set(slices.groups) == {"07"}
    picture, mask = slices.pictures[slices.lesion][0], slices.masks[slices.lesion][0]
    assert picture[:30, :30].mean() == pytest.approx(
        0.72 * 255, abs=2
    )  # where it was: in front, on the patient's right
    assert picture[128, 128] == pytest.approx(0.72 * 255 / 4, abs=2)
    assert mask[128, 60] == 255 and set(np.unique(mask)) == {0, 255}  # the rim is filled


def test_volumes_that_are_not_there_are_named(tmp_path):
    with pytest.raises(MedDiffError, match="No patient's folder"):
        recipe.load_volumes(tmp_path / "none")
    (tmp_path / "01").mkdir()
    with pytest.raises(MedDiffError, match=r"Pre_Scan_T1.nii.gz cannot be read"):
        recipe.load_volumes(tmp_path)


def test_what_is_tuned_on_is_the_end_of_each_run():
    planes = tuple([Plane.AXIAL] * 30 + [Plane.CORONAL] * 10)
    data = BrainSet(
        tuple(map(str, range(40))), np.zeros((40, 1, 1)), np.zeros((40, 1, 1)), ("glioma",) * 40, planes, 0.98, ("train",) * 40
    )  # fmt: skip
    assert np.flatnonzero(recipe.tune_part(data, 0.1)).tolist() == [27, 28, 29, 39]


def test_cells_near_the_border_are_neither_lesion_nor_healthy():
    mask = torch.zeros(3, 1, 256, 256)
    mask[0, 0, 96:128, 96:128] = 1  # cells 6 and 7
    mask[1, 0, 100:103, 100:103] = 1  # small: its cell all the same
    shows, healthy = recipe.cells(mask)
    assert shows[0, 0].nonzero().tolist() == [[6, 6], [6, 7], [7, 6], [7, 7]]
    assert shows[1, 0].nonzero().tolist() == [[6, 6]]
    assert not shows[2].any() and healthy[2].all()
    assert not (shows & healthy).any()
    assert healthy[0, 0, 0, 0] and not healthy[0, 0, 5, 5] and not healthy[0, 0, 4, 6] and healthy[0, 0, 6, 15]


def test_the_classifier_s_loss_falls_where_the_lesion_is_said():
    mask = torch.zeros(2, 1, 256, 256)
    mask[0, 0, 96:128, 96:128] = 1
    shows, _ = recipe.cells(mask)
    right = torch.where(shows, 4.0, -4.0)
    wrong = right.roll(8, dims=3)
    losses = [float(recipe.classifier_loss(logits, mask)) for logits in (right, torch.zeros_like(right), wrong)]
    assert losses == sorted(losses) and losses[0] < 0.1
    assert torch.isfinite(recipe.classifier_loss(right[1:], mask[1:]))  # a batch without a lesion


def test_figures_count_lesions_and_false_marks():
    outlines = np.stack([disc(60, 60, 10) | disc(180, 180, 10), disc(60, 60, 10)]).astype(np.uint8) * 255
    slices = recipe.Slices(outlines, outlines, np.array(["a", "a"]))
    said = np.stack([disc(60, 60, 10), disc(200, 60, 10) | disc(60, 200, 2)]) * 0.9
    free = np.stack([disc(99, 99, 9), np.zeros((256, 256))])
    reached = recipe.segmenter_figures(said, slices, free, 0.5, 1.0)
    assert reached.lesions == 3 and reached.sensitivity == pytest.approx(1 / 3)
    assert reached.dice == pytest.approx((2 / 3 + 0) / 2, abs=1e-3)
    assert (reached.false_per_slice, reached.free_false_per_slice) == (0.5, 0.5)  # the speck is no mark


def test_area_under_the_curve_and_calibration():
    assert recipe.auc(np.array([2, 3]), np.array([1, 2])) == 0.875
    draw = np.random.default_rng(0)
    gain, offset = recipe.platt(draw.normal(3, 1, 4000), draw.normal(1, 1, 4000))
    # Two normal distributions a distance d apart: the log odds are d (x - middle).
    assert (gain, offset) == pytest.approx((2, -4), rel=0.1)


def test_the_threshold_is_where_dice_is_highest():
    outlines = disc(60, 60, 10)[None].astype(np.uint8) * 255
    slices = recipe.Slices(outlines, outlines, np.array(["a"]))
    assert recipe.best_threshold(np.where(disc(60, 60, 10), 0.9, 0.42)[None], slices) == 0.45


def few_slices() -> recipe.Slices:
    """Two patients with a slice that shows a lesion and one that shows none, each."""
    picture = (make_phantom() * 255).astype(np.uint8)
    mask = np.zeros((256, 256), np.uint8)
    mask[disc(97, 159, 15)] = 255
    pictures = np.stack([picture, np.minimum(picture, 90)] * 2)
    return recipe.Slices(pictures, np.stack([mask, mask * 0] * 2), np.array(["a", "a", "b", "b"]))


@pytest.fixture(scope="module")
def few() -> recipe.Slices:
    """See `few_slices`."""
    return few_slices()


def test_every_group_is_drawn_as_often_with_a_lesion_as_without(few):
    slices, weight = recipe.drawn(few.where(few.lesion), few.where(np.array([True, True, False, True])), 0.3)
    assert len(slices) == 5 and weight[:2].sum() == pytest.approx(0.7)
    assert weight[2:] == pytest.approx([0.1, 0.1, 0.1])


TRAINED = """
import sys
from pathlib import Path
import numpy as np
import torch
from meddiff.case import MedDiffError
from meddiff.stress.detectors import load_detector
from meddiff.stress.detectors.contract import read_contract
from meddiff.stress.records import Kind
from meddiff.training import detectors as recipe
from tests.training.test_detectors import few_slices

torch.set_num_threads(1)
folder, few, widths = Path(sys.argv[1]), few_slices(), (16, 16, 16)
begun, resume = [], recipe.Run.resume

def resumed(run):
    found = resume(run)
    begun.append(run.step)
    return found

recipe.Run.resume = resumed

def train(folder, seconds):
    return recipe.train(recipe.GridClassifier(widths), recipe.classifier_loss, few, np.ones(4), folder, seconds, batch=2)

def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))

trained = train(folder, 0.3)
left = train(folder, 0)  # as it was left
assert same(trained, left) and begun[0] == 0 < begun[1], begun
further = train(folder, 0.3)
train(folder, 0)
assert begun[2] == begun[1] < begun[3] and not same(left, further), begun
try:
    train(folder / "new", 0)
except MedDiffError as error:
    assert "no trained state" in str(error)
else:
    raise AssertionError("nothing was there to go on with")

for model, kind in (
    (recipe.Probabilities(further, True, 1.5, -0.25).eval(), Kind.CLASSIFIER),
    (recipe.Probabilities(recipe.Segmenter((4, 8, 8, 8))).eval(), Kind.MASK),
):
    recipe.export(model, folder / kind.value, 0.3)
    contract = read_contract(folder / kind.value / "contract.yaml")
    assert contract.kind is kind and contract.threshold == 0.3 and contract.spacing_mm == 0.98
    detector = load_detector(folder / kind.value / "model.onnx")
    assert np.allclose(detector.model(few.x)[0], model.look(few.x), atol=1e-5)
print("all as it should be")
"""


def test_training_goes_on_where_it_stopped_and_what_is_written_keeps_its_contract(tmp_path):
    """In a process of its own: after the detectors' libraries had run in this one, torch crashed as it trained."""
    done = subprocess.run([sys.executable, "-c", TRAINED, str(tmp_path)], capture_output=True, text=True, cwd=HOUSE)
    assert done.stdout.splitlines()[-1:] == ["all as it should be"], done.stderr
