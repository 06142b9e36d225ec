"""Requests become cases: decided in full, repeatable, and never changed where they were not asked to."""

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from meddiff.case import Findings, Margin, MaskSpec, MedDiffError, Plane, Request, Side, Status, Task, Tolerance
from meddiff.conditions.masks import edit_region
from meddiff.exchange import write_png
from meddiff.imaging.read import Slice
from meddiff.synthesis.native import carrier, prepare_background
from meddiff.synthesis.rebuild import rebuild, rebuild_picture
from meddiff.synthesis.studio import Studio

SENTENCE = "Axial T1 post-contrast, ring-enhancing left frontal glioma, 35 mm"


@pytest.fixture
def studio(tiny_house) -> Studio:
    return Studio("brain-t1gd", "fp32")


def asked(**changes) -> Request:
    return Request(
        **{"sentence": SENTENCE, "steps": 2, "precision": "fp32", "tolerance": Tolerance(redraws=0), **changes}
    )


def own_slice(phantom, kind=np.uint16, factor=4000, spacing=(0.98, 0.98), modality="MR") -> Slice:
    stored = (phantom * factor).astype(kind)
    return Slice(stored.astype(np.float32), stored, spacing_mm=spacing, modality=modality, plane=Plane.AXIAL)


def test_everything_that_decides_the_pixels_stands_in_the_finished_request(studio):
    case = next(studio.create(asked()))
    request = case.case.request
    assert request.pack_sha256 == studio.load().info.sha256
    assert request.mask.png and request.findings.finding.size_mm == 35
    assert np.array_equal(request.mask.to_array(), case.mask)
    assert case.image.provenance.request == request
    assert case.case.id == request.case_id()


def test_a_healthy_anatomy_has_no_lesion_in_it_and_says_which_seed_it_took(studio):
    request = studio.complete(asked(seed=5))
    one, other = studio.healthy(request), studio.healthy(request)
    assert np.array_equal(one.made.pixels, other.made.pixels) and np.array_equal(one.made.pixels, one.made.twin)
    assert one.request == request  # guidance and findings stay those of the lesion that will be put in
    assert "lesion seen" not in {m.name for m in one.verdict.measurements if m.ok is False}
    assert not np.array_equal(one.made.pixels, studio.make(request).pixels)


def test_the_same_request_gives_the_same_pixels_in_a_batch_or_alone(studio):
    together = list(studio.create(asked(seed=3), count=2))
    alone = next(studio.create(asked(seed=4)))
    assert np.array_equal(together[1].image.pixels, alone.image.pixels)
    assert not np.array_equal(together[0].image.pixels, together[1].image.pixels)


def test_case_and_twin_differ_inside_the_edit_region_only(studio):
    case = next(studio.create(asked()))
    row = next(m for m in case.case.measurements if m.name == "change outside the edit region")
    assert row.value == 0 and row.ok
    assert not np.array_equal(case.image.pixels, case.twin.pixels)


@pytest.mark.parametrize("task", [Task.INSERT, Task.REMOVE])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_real_slice_keeps_every_pixel_outside_the_edit_region(studio, phantom, phantom_mask, task, kind):
    big = np.kron(phantom, np.ones((2, 2), np.float32))[:, 20:480]  # 512x460 at half the spacing
    mask = np.kron(phantom_mask, np.ones((2, 2), bool))[:, 20:480]
    background = own_slice(big, kind, 250 if kind is np.uint8 else 4000, (0.49, 0.49))
    request = asked(task=task, mask=MaskSpec.from_array(mask), background_sha256="0" * 64)
    native = prepare_background(background, "MR", 256, 0.98)
    final = studio.complete(request, background, native)
    made = studio.make(final, native)
    assert made.pixels.dtype == kind and made.pixels.shape == big.shape
    edit = edit_region(mask, final.edit_margin_mm, (0.49, 0.49))
    assert np.array_equal(made.pixels[~edit], background.stored[~edit])
    assert not np.array_equal(made.pixels[edit], background.stored[edit])


def test_a_given_edit_region_replaces_that_of_the_outline(studio, phantom, phantom_mask):
    background = own_slice(phantom)
    native = prepare_background(background, "MR", 256, 0.98)
    request = asked(task=Task.INSERT, mask=MaskSpec.from_array(phantom_mask), background_sha256="0" * 64)
    final = studio.complete(request, background, native)
    own = edit_region(phantom_mask, final.edit_margin_mm, (0.98, 0.98))
    wide = own | np.roll(own, 40, axis=0)
    asked_for = wide.copy()
    made = studio.make(final, native, edit=wide)
    assert np.array_equal(made.pixels[~wide], background.stored[~wide])
    assert not np.array_equal(made.pixels[wide & ~own], background.stored[wide & ~own])
    assert made.outside_change == 0 and np.array_equal(wide, asked_for)


def test_negative_and_broken_numbers_find_a_carrier():
    values = np.linspace(-1000, 1000, 100 * 100).reshape(100, 100)
    whole, broken = np.rint(values), values
    shifted = carrier(Slice(whole.astype(np.float32), whole.astype(np.int16)))
    assert np.array_equal(shifted.astype(int) - 1000, whole.astype(int))
    assert carrier(Slice(broken.astype(np.float32), broken)).max() == 65535


def test_a_slice_keeps_its_numbers_and_its_bit_depth(phantom):
    stored = (phantom * 200).astype(np.uint16)  # dark, but of 16 bits
    kept = carrier(Slice(stored.astype(np.float32), stored))
    assert kept.dtype == np.uint16 and np.array_equal(kept, stored)
    scaled = Slice(stored * np.float32(2.3), stored, slope=2.3)  # MR with a rescale slope (0028,1053)
    assert np.array_equal(carrier(scaled), stored)
    inverted = Slice(np.float32(stored.max()) - stored, stored, slope=-1, intercept=float(stored.max()))  # MONOCHROME1
    assert np.array_equal(carrier(inverted), stored.max() - stored)


def test_nothing_changes_where_the_models_picture_does_not_reach(studio, phantom):
    background = own_slice(phantom, spacing=(1.8, 1.8))  # 460 mm wide: the model sees the middle 251 mm
    native = prepare_background(background, "MR", 256, 0.98)
    unseen = native.grid.back(np.ones((256, 256), np.float32)) < 1
    rows, columns = np.mgrid[:256, :256]
    mask = np.hypot(rows - 70, columns - 128) < 8
    request = asked(task=Task.INSERT, mask=MaskSpec.from_array(mask), background_sha256="0" * 64, edit_margin_mm=30)
    made = studio.make(studio.complete(request, background, native), native)
    assert (edit_region(mask, 30, (1.8, 1.8)) & unseen).any()
    assert np.array_equal(made.pixels[unseen], native.pixels[unseen])
    assert not np.array_equal(made.pixels, native.pixels)
    beyond = asked(task=Task.INSERT, mask=MaskSpec.from_array(np.roll(mask, -14, 0)), background_sha256="0" * 64)
    with pytest.raises(MedDiffError, match="that the model sees"):
        studio.complete(beyond, background, native)


def test_what_misses_its_tolerance_is_redrawn_then_rejected_with_the_reason(studio, monkeypatch):
    from meddiff.synthesis import studio as module
    from meddiff.synthesis.check import Verdict

    seen = []

    def miss(request, *rest):
        seen.append(request.seed)
        return Verdict((), Status.REJECTED, "it missed", score=-len(seen))

    monkeypatch.setattr(module, "check", miss)
    case = next(studio.create(asked(seed=1, tolerance=Tolerance(redraws=2))))
    assert len(set(seen)) == 3
    assert (case.case.status, case.case.reason, case.case.attempts) == (Status.REJECTED, "it missed", 3)
    assert case.case.request.seed == seen[0]  # the best of the three


def test_rebuilding_gives_the_same_pixels_and_says_why_where_not(studio):
    case = next(studio.create(asked()))
    assert rebuild(case, studio).identical
    request = case.case.request.model_copy(update={"steps": 3})
    other = type(case)(case.case.model_copy(update={"request": request}), case.image, case.twin, case.mask)
    report = rebuild(other, studio)
    assert not report.identical and report.largest_difference > 0 and report.note


def test_a_picture_that_was_cut_since_is_refused_in_words(studio, tmp_path):
    path = write_png(next(studio.create(asked())).image, tmp_path / "case.png")
    assert rebuild_picture(path, studio).identical
    with Image.open(path) as image:
        info = PngInfo()
        info.add_itxt("MedDiff", image.text["MedDiff"])
        image.crop((0, 0, 200, 200)).save(tmp_path / "cut.png", pnginfo=info)
    with pytest.raises(MedDiffError, match="cut or resized"):
        rebuild_picture(tmp_path / "cut.png", studio)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sentence": "CT head, left frontal mass"}, "not CT"),
        ({"mask": MaskSpec.from_array(np.zeros((256, 256)))}, "empty"),
        ({"mask": MaskSpec.from_array(np.eye(256) * 0 + (np.arange(256) < 12)[:, None])}, "head|large|outside"),
        ({"mask": MaskSpec.from_array(np.ones((100, 256)))}, "same picture"),
        ({"task": Task.INSERT, "background_sha256": "0" * 64}, "background"),
        ({"sentence": "Axial, no focal lesion", "mask": MaskSpec.from_array(np.ones((256, 256)))}, "no lesion"),
    ],
)
def test_what_cannot_be_drawn_is_said_before_the_first_pass(studio, changes, words):
    with pytest.raises(MedDiffError, match=words):
        next(studio.create(asked(**changes)))


@pytest.mark.parametrize("sentence", ["", "Axial T1 post-contrast, no focal lesion"])
def test_nothing_cannot_be_put_into_a_slice(studio, phantom, sentence):
    request = asked(task=Task.INSERT, sentence=sentence, findings=Findings(), background_sha256="0" * 64)
    with pytest.raises(MedDiffError, match="no lesion"):
        next(studio.create(request, own_slice(phantom)))


def test_a_ct_is_no_background_for_an_mr_pack(studio, phantom, phantom_mask):
    request = asked(task=Task.INSERT, mask=MaskSpec.from_array(phantom_mask), background_sha256="0" * 64)
    with pytest.raises(MedDiffError, match="background is CT"):
        next(studio.create(request, own_slice(phantom, modality="CT")))


def test_too_many_at_once_is_refused(studio):
    with pytest.raises(MedDiffError, match="Between 1 and"):
        next(studio.create(asked(), count=0))


def test_an_outline_that_contradicts_the_sentence_is_refused_in_words(studio, phantom_mask):
    right = MaskSpec.from_array(phantom_mask[:, ::-1])
    with pytest.raises(MedDiffError, match="says left, the outline lies on the patient's right"):
        studio.complete(asked(mask=right))
    with pytest.raises(MedDiffError, match="says 80 mm, the outline is 3. mm across"):
        studio.complete(asked(sentence="Axial T1 post-contrast, mass, 80 mm", mask=MaskSpec.from_array(phantom_mask)))


def test_what_the_sentence_leaves_open_is_told_by_the_drawn_outline_not_by_chance(studio, phantom_mask):
    for seed in range(4):
        finding = studio.complete(
            asked(sentence="Axial T1 post-contrast, glioma", mask=MaskSpec.from_array(phantom_mask), seed=seed)
        ).findings.finding
        assert finding.side is Side.LEFT and finding.margin is Margin.SMOOTH
        assert finding.size_mm == pytest.approx(31, abs=2)
