"""Asked against measured, on outlines whose distance is known, and prompt swaps on a pack with random weights."""

import numpy as np
import pytest
from PIL import Image

from meddiff.case import Conspicuity, Enhancement, Margin, Region, Side
from meddiff.conditions.prompt import read_sentence
from meddiff.evaluation import adherence as part
from meddiff.evaluation.adherence import (
    SWAPS,
    Asked,
    by_others,
    centre_offset_mm,
    changes,
    chosen,
    confusion,
    hausdorff95_mm,
    scores,
    with_word,
)
from meddiff.evaluation.judged import Judged, Seen, elsewhere, judged
from meddiff.evaluation.keep import kept_arrays, kept_json
from meddiff.synthesis.finder import TYPES
from tests.evaluation.made_up import disc, heads, material_of


def perfect(pictures, **changed) -> Judged:
    """A finder that sees what was asked, exactly."""
    asked = Asked.of(pictures)
    types = np.eye(3)[[TYPES.index(kind) for kind in pictures.types]]
    seen = [
        Seen(
            diameter_mm=size,
            side=Side.LEFT,
            region=Region.FRONTAL,
            enhancement=Enhancement.SOLID,
            margin=Margin.SMOOTH,
            conspicuity=Conspicuity.OBVIOUS,
        )
        for size in asked.sizes_mm
    ]
    return Judged(changed.get("masks", pictures.outlines), types, tuple(seen))


def test_the_hausdorff_distance_of_shifted_discs_is_their_shift():
    one, other = disc((120, 120), 20), disc((120, 130), 20)
    assert hausdorff95_mm(one, other, 0.5) == pytest.approx(5, abs=0.5)
    assert hausdorff95_mm(one, one, 0.5) == 0
    assert np.isnan(hausdorff95_mm(one, np.zeros_like(one), 0.5))


def test_hausdorff_at_95_percent_does_not_hear_a_lone_pixel():
    one = disc((120, 120), 20)
    stray = one.copy()
    stray[5, 5] = True
    assert hausdorff95_mm(one, stray, 1) == 0


def test_the_centroid_offset_is_in_mm():
    assert centre_offset_mm(disc((100, 100), 9), disc((103, 104), 9), 0.98) == pytest.approx(4.9, abs=0.05)


def test_a_finder_that_sees_what_was_asked_reaches_all():
    pictures = heads(6)
    found = scores(perfect(pictures), Asked.of(pictures), 0.98)
    for name in ("dice", "seen", "type", "side", "region", "enhancement", "margin", "conspicuity"):
        assert (found[name] == 1).all(), name
    for name in ("hausdorff", "offset", "size_error"):
        assert (found[name] == 0).all(), name


def test_a_finder_that_sees_nothing_scores_nothing_and_has_no_distances():
    pictures = heads(3)
    blind = Judged(np.zeros_like(pictures.outlines), np.eye(3), (Seen(),) * 3)
    found = scores(blind, Asked.of(pictures), 0.98)
    assert (found["dice"] == 0).all() and (found["side"] == 0).all() and (found["seen"] == 0).all()
    assert np.isnan(found["hausdorff"]).all() and np.isnan(found["size_error"]).all()


def test_words_that_were_not_asked_are_not_judged():
    pictures = heads(3)
    open_side = pictures.findings[0].model_copy(
        update={"finding": pictures.findings[0].finding.model_copy(update={"side": Side.UNKNOWN})}
    )
    asked = Asked.of(pictures)
    asked = Asked(asked.outlines, asked.sizes_mm, asked.types, (open_side, *asked.findings[1:]))
    assert np.isnan(scores(perfect(pictures), asked, 0.98)["side"][0])


def test_against_other_cases_requests_a_perfect_picture_scores_low():
    pictures = heads(9)
    others = by_others(perfect(pictures), Asked.of(pictures), 0.98)
    assert np.nanmean(others["dice"]) < 0.3
    assert others["side"].mean() == 1  # all were asked for the left: the baseline of a word that never changes is 1


def test_figures_of_a_perfect_generator_meet_their_aims():
    pictures = heads(9)
    asked = Asked.of(pictures)
    found = scores(perfect(pictures), asked, 0.98)
    others = by_others(perfect(pictures), asked, 0.98)
    rows = {f.key: f for f in part.measured_figures(found, found, others, asked.sizes_mm, asked.sizes_mm)}
    assert rows["adherence.dice"].value == 1 and rows["adherence.dice"].baseline < 0.3
    for key in ("dice_ratio", "type_ratio", "size_r"):
        assert rows[f"adherence.{key}"].met, key
    assert rows["adherence.type"].low > 0.6 and rows["adherence.type"].high == 1


def test_sizes_that_are_all_a_third_too_large_correlate_and_are_biased():
    pictures = heads(9)
    asked = Asked.of(pictures)
    found = scores(perfect(pictures), asked, 0.98)
    found["size"], found["size_error"] = asked.sizes_mm * 4 / 3, asked.sizes_mm / 3
    rows = {f.key: f for f in part.measured_figures(found, found, found, asked.sizes_mm, asked.sizes_mm)}
    assert rows["adherence.size_r"].value == pytest.approx(1)
    assert rows["adherence.size_bias"].value == pytest.approx(asked.sizes_mm.mean() / 3)


def test_types_taken_for_which_are_counted_by_type_asked():
    asked = ["glioma", "glioma", "meningioma", "pituitary_tumor", "glioma"]
    told = ["glioma", "meningioma", "meningioma", "meningioma", "glioma"]
    assert TYPES == ("meningioma", "glioma", "pituitary_tumor")
    assert confusion(asked, told) == ((1, 0, 0), (1, 2, 0), (1, 0, 0))


def test_pictures_that_were_asked_for_by_one_head_make_intervals_wider():
    pictures = heads(60)
    asked = Asked.of(pictures)
    found = scores(perfect(pictures), asked, 0.98)
    head = np.repeat(np.arange(12), 5)
    found["type"] = (np.random.default_rng(0).random(12) < 0.6)[head].astype(float)
    found["dice"] = np.random.default_rng(1).random(12)[head]

    def width(heads, key):
        rows = part.measured_figures(found, found, found, asked.sizes_mm, asked.sizes_mm, heads)
        row = {f.key: f for f in rows}[f"adherence.{key}"]
        return row.high - row.low

    for key in ("type", "dice", "type_ratio", "dice_ratio"):
        assert width((head, head), key) > 1.5 * width((None, None), key), key


def test_pieces_elsewhere_count_by_area_and_distance():
    outline = disc((100, 100), 12)
    found = outline | disc((100, 114), 4) | disc((180, 60), 5) | disc((40, 200), 1.2)
    assert elsewhere(found, outline, 1.0) == [pytest.approx(disc((180, 60), 5).sum())]
    assert len(elsewhere(found, np.zeros_like(outline), 1.0)) == 2  # no outline: all pieces but the small one


def test_a_changed_word_stands_in_findings_and_sentence_and_nowhere_else(tmp_path, tiny_studio):
    request = material_of(tmp_path, heads(3, 3), studio=tiny_studio).requests[0]
    ring = with_word(request, "enhancement", Enhancement.RING)
    assert read_sentence(ring.sentence).finding.enhancement is Enhancement.RING
    told = ring.model_copy(update={"findings": request.findings, "sentence": request.sentence})
    assert told == request


def test_requests_to_swap_say_one_of_the_two_values_in_turn(tmp_path, tiny_studio):
    requests = list(material_of(tmp_path, heads(6, 3), studio=tiny_studio).requests)
    requests[4] = with_word(requests[4], "enhancement", Enhancement.RING)
    requests[5] = with_word(requests[5], "enhancement", Enhancement.HETEROGENEOUS)
    assert chosen(requests, SWAPS[0], 3) == [0, 4, 1]
    assert 5 not in chosen(requests, SWAPS[0], 99)


def test_change_inside_and_outside_are_told_apart():
    inside = disc((100, 100), 20)
    one = np.zeros((256, 256), np.uint8)
    assert changes(one, np.where(inside, 30, 0).astype(np.uint8), inside) == (30, 0)


def test_the_measures_of_the_swaps_rise_with_what_they_measure(tmp_path, tiny_studio):
    material = material_of(tmp_path, heads(3, 3), studio=tiny_studio)
    request = material.requests[0]
    outline = request.mask.to_array()
    rows, columns = np.nonzero(outline)
    core = disc((rows.mean(), columns.mean()), 0.6 * np.sqrt(outline.sum() / np.pi))
    base = np.full((256, 256), 0.35, np.float32) + np.random.default_rng(0).normal(0, 0.02, (256, 256))
    solid, ring = np.where(outline, 0.8, base), np.where(core, 0.3, np.where(outline, 0.8, base))
    faint = np.where(outline, 0.36, base)
    rim, contrast = SWAPS[0].measure, SWAPS[1].measure
    assert rim(ring, request, material.finder, 0.98) > rim(solid, request, material.finder, 0.98)
    assert contrast(solid, request, material.finder, 0.98) > contrast(faint, request, material.finder, 0.98)


def test_the_part_runs_resumes_and_shows_sealed_pairs(tmp_path, tiny_studio, monkeypatch):
    material = material_of(tmp_path, heads(3, 3), studio=tiny_studio)
    monkeypatch.setattr(part, "PAIRS_QUICK", 1)
    monkeypatch.setattr(part, "SWAPS", SWAPS[:2])
    monkeypatch.setitem(part.MANY, True, 2)
    told = []
    found = part.adherence(material, lambda *what: told.append(what))
    keys = [figure.key for figure in found.figures]
    assert len(keys) == len(set(keys))
    assert {
        "adherence.dice",
        "adherence.dice_ratio",
        "adherence.type",
        "adherence.type_ratio",
        "adherence.size_r",
    } <= set(keys)
    assert told[-1][0] == told[-1][1] and {
        "adherence.swap.moved",
        "adherence.insert.dice",
        "adherence.remove.gone",
    } <= set(keys)
    assert [sum(map(sum, counts)) for counts in (found.tables[0].made, found.tables[0].real)] == [3, 20]
    plate = found.plates[0]
    with Image.open(tmp_path / plate.file) as image:
        assert plate.synthetic and image.size[0] >= 512 and "ynthetic" in image.text["Comment"]
    monkeypatch.setattr(type(tiny_studio), "make_lesion", None)  # nothing is made again
    monkeypatch.setattr(type(tiny_studio), "make", None)
    assert part.adherence(material, lambda *what: None).figures == found.figures


def test_what_was_judged_is_not_taken_for_other_pictures(tmp_path, tiny_studio):
    material = material_of(tmp_path, heads(3, 3), studio=tiny_studio)
    one = judged(material.made, material.finder, tmp_path)
    again = judged(material.made, None, tmp_path)  # no finder is asked
    assert (one.masks == again.masks).all() and one.seen == again.seen
    judged(material.val, material.finder, tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) == 2


def test_what_is_kept_is_worked_out_once(tmp_path):
    calls = []
    for _ in range(2):
        kept = kept_arrays(tmp_path / "a.safetensors", lambda: calls.append(1) or {"x": np.arange(3)})
        assert kept["x"].tolist() == [0, 1, 2]
        assert kept_json(tmp_path / "b.json", lambda: calls.append(1) or [1.5, None]) == [1.5, None]
    assert len(calls) == 2
