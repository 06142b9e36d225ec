"""Attention maps are shares that add up, listening changes nothing, and planted agreement is told from none."""

import numpy as np
import pytest
import torch

from meddiff.case import MedDiffError
from meddiff.conditions.codebook import PAIRS, TOKENS
from meddiff.evaluation import explain as part
from meddiff.evaluation.explain import (
    LEFT_OUT,
    SLOTS,
    agreement,
    attention_maps,
    change,
    drawn,
    inside_figures,
    mass_inside,
    occlusion_figures,
    overlay,
    token_maps,
    weights_of,
    without,
    words_of,
)
from tests.evaluation.made_up import disc, heads, material_of


def test_all_words_together_say_all_tokens_once():
    assert np.allclose(sum(weights_of(name) for name in SLOTS), 1)
    enhancement = weights_of("enhancement")
    assert enhancement[SLOTS.index("enhancement")] == 1
    assert enhancement[len(SLOTS) + PAIRS.index(("enhancement", "margin"))] == 0.5
    with pytest.raises(ValueError, match="no attribute"):
        weights_of("colour")


def test_a_word_left_out_is_0_in_its_token_and_its_pairs_and_nowhere_else():
    context = torch.ones(1, TOKENS, 128)
    left = without(context, "enhancement")[0].abs().sum(1) == 0
    assert left.nonzero().ravel().tolist() == [5, *(9 + i for i, pair in enumerate(PAIRS) if "enhancement" in pair)]


def test_maps_are_shares_of_one_and_listening_changes_no_pixel(tmp_path, tiny_studio):
    request = material_of(tmp_path, heads(3, 3), studio=tiny_studio).requests[0]
    picture, tokens = token_maps(tiny_studio, request)
    assert tokens.shape == (TOKENS, 256, 256) and np.allclose(tokens.sum(0), 1, atol=1e-4)
    assert (picture == drawn(tiny_studio, request, tiny_studio.conditions(request))).all()
    made = np.clip(np.rint(tiny_studio.make_lesion(request) * 255), 0, 255)
    assert np.abs(made - picture).max() <= 1  # the studio's own picture


def test_a_map_for_every_word_that_is_said(tmp_path, tiny_studio):
    request = material_of(tmp_path, heads(3, 3), studio=tiny_studio).requests[0]
    maps = attention_maps(tiny_studio, request)
    assert {"type: meningioma", "enhancement: solid", "size: 24 mm", "plane: axial"} <= set(maps)
    assert len(maps) == len(words_of(request)) == 9
    assert all(m.shape == (256, 256) and m.dtype == np.float32 and 0 <= m.min() <= m.max() <= 1 for m in maps.values())


def test_a_request_on_a_given_slice_is_refused(tmp_path, tiny_studio):
    request = (
        material_of(tmp_path, heads(3, 3), studio=tiny_studio)
        .requests[0]
        .model_copy(update={"background_sha256": "0" * 64})
    )
    with pytest.raises(MedDiffError, match="given slice"):
        attention_maps(tiny_studio, request)


def test_equal_maps_agree_and_unlike_ones_do_not():
    there, elsewhere = (ndi.astype(np.float32) for ndi in (disc((80, 80), 40), disc((190, 190), 40)))
    assert agreement(there, 3 * there) == pytest.approx(1)
    assert agreement(there, elsewhere) < 0
    assert np.isnan(agreement(there, np.zeros_like(there)))


def test_mass_inside_is_a_share_and_even_attention_is_the_area():
    region = disc((100, 100), 30)
    assert mass_inside(np.ones((256, 256)), region) == pytest.approx(region.mean())
    assert mass_inside(region.astype(float), region) == 1


def test_planted_agreement_beats_other_pictures_maps_and_noise_does_not():
    rng = np.random.default_rng(0)
    places = [disc((60 + 40 * i, 70 + 35 * i), 30).astype(np.float32) for i in range(4)]
    maps = [np.repeat((place + 0.1)[None], TOKENS, 0) for place in places]
    planted = {f.key: f for f in occlusion_figures(maps, [dict.fromkeys(LEFT_OUT, place) for place in places])}
    assert planted["explain.occlusion.gain"].low > 0.3
    noise = [dict.fromkeys(LEFT_OUT, rng.random((256, 256))) for _ in range(4)]
    assert abs({f.key: f for f in occlusion_figures(maps, noise)}["explain.occlusion.gain"].value) < 0.2
    inside = inside_figures(maps, [place > 0 for place in places], [{"size": "24 mm"}] * 4)
    rows = {f.key: f for f in inside}
    assert rows["explain.inside.size"].value > 2 * rows["explain.inside.size"].baseline
    assert rows["explain.inside.margin"].value is None  # nobody said it


def test_an_overlay_is_orange_where_the_map_is_and_leaves_the_rest():
    picture = np.full((260, 256), 100, np.uint8)  # four rows appended for a stamp
    heat = disc((100, 100), 20).astype(float)
    shown = overlay(picture, heat)
    assert shown.shape == (260, 256, 3) and shown.dtype == np.uint8
    assert (shown[200, 200] == 100).all() and (shown[258] == 100).all()
    assert shown[100, 100, 0] > 150 > 60 > shown[100, 100, 2]
    assert (overlay(picture, np.zeros((256, 256))) == 100).all()
    with pytest.raises(ValueError, match="does not fit"):
        overlay(picture[:100], heat)


def test_change_is_where_the_pictures_differ():
    one = np.zeros((256, 256), np.uint8)
    differs = change(one, np.where(disc((90, 90), 15), 50, 0).astype(np.uint8))
    assert np.unravel_index(differs.argmax(), differs.shape) == pytest.approx((90, 90), abs=8)


def test_the_part_runs_and_resumes(tmp_path, tiny_studio, monkeypatch):
    material = material_of(tmp_path, heads(3, 3), studio=tiny_studio)
    monkeypatch.setattr(part, "QUICK", 2)
    found = part.explain(material, lambda *what: None)
    keys = [figure.key for figure in found.figures]
    assert len(keys) == len(set(keys)) and "explain.occlusion.gain" in keys
    assert (tmp_path / found.plates[0].file).exists()
    monkeypatch.setattr(part, "token_maps", None)
    assert part.explain(material, lambda *what: None).figures == found.figures
