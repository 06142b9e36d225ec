"""Lesions put into real slices and taken out: what leaks out of the edit region is seen, what is left of a lesion too."""

from dataclasses import replace

import numpy as np

from meddiff.case import MedDiffError
from meddiff.conditions.masks import edit_region
from meddiff.evaluation import edits as part
from meddiff.evaluation.edits import Edit, edit_figures, edits, insertion, nothing_near, removal
from tests.evaluation.made_up import disc, heads, material_of

NOTHING = np.zeros((256, 256), bool)


def planted(number: int, found_before: np.ndarray, found_after: np.ndarray, leak: int = 0) -> Edit:
    """A slice changed by 40 grey levels inside the edit region and by `leak` in one pixel outside."""
    before = np.full((256, 256), 100, np.uint8)
    outline = disc((120, 120), 12)
    edit = edit_region(outline, 8, (1, 1))
    after = np.where(edit, 140, before).astype(np.uint8)
    after[5, 5] -= leak
    return Edit(number, before, after, edit, outline, found_before, found_after)


def test_a_single_pixel_that_changes_outside_misses_the_aim():
    lesion = disc((120, 120), 12)
    kept = [planted(i, NOTHING, lesion) for i in range(3)]
    rows = {f.key: f for f in edit_figures(kept, kept, heads(3), 1.0)}
    for key in ("insert", "remove"):
        assert rows[f"adherence.{key}.outside_max"].value == 0 and rows[f"adherence.{key}.outside_max"].met
        assert rows[f"adherence.{key}.outside_mean"].value == 0
        assert rows[f"adherence.{key}.outside_mean"].baseline == 40
    rows = {f.key: f for f in edit_figures([*kept, planted(0, NOTHING, lesion, leak=7), None], kept, heads(3), 1.0)}
    worst = rows["adherence.insert.outside_max"]
    assert worst.value == 7 and worst.met is False and worst.count == 4
    assert "1 of 5 slices" in worst.note
    assert 0 < rows["adherence.insert.outside_mean"].value < 0.001


def test_an_inserted_lesion_is_scored_near_its_outline_beside_the_slice_before_and_real_lesions():
    lesion, far = disc((120, 120), 12), disc((40, 200), 15)
    put = [planted(i, far, lesion | far) for i in range(3)]
    taken = [planted(i, disc((120, 120), 9), NOTHING) for i in range(3)]
    row = {f.key: f for f in edit_figures(put, taken, heads(3), 1.0)}["adherence.insert.dice"]
    assert row.value == 1 and row.baseline == 0
    assert 0.6 < row.real < 0.8


def test_lesions_that_are_gone_are_counted_among_those_that_were_found():
    lesion, rest = disc((120, 120), 12), disc((120, 120), 4)
    taken = [planted(0, lesion, NOTHING), planted(1, lesion, rest), planted(2, NOTHING, NOTHING)]
    put = [planted(0, NOTHING, lesion), planted(1, rest, lesion)]
    slices = replace(heads(3), heads=np.array([0, 1, 2]))
    row = {f.key: f for f in edit_figures(put, taken, slices, 1.0)}["adherence.remove.gone"]
    assert (row.value, row.count, row.real) == (0.5, 2, 0.5) and "(2 heads)" in row.note
    assert nothing_near(disc((120, 120), 1.5), lesion, 1.0)  # nine pixels are no lesion


def test_where_nothing_could_be_made_nothing_is_told():
    rows = edit_figures([None], [None], heads(3), 1.0)
    assert len(rows) == 6 and all(row.value is None and row.met is None for row in rows)


def test_a_lesion_is_put_where_the_slice_has_none_and_its_own_is_taken_out(tmp_path, tiny_studio):
    stuff = material_of(tmp_path, heads(3, 3), studio=tiny_studio)
    own = stuff.val.outlines[4]
    out = removal(stuff, 4, 1)
    assert np.array_equal(out.outline, own) and np.array_equal(out.before, stuff.val.pixels[4])
    put = insertion(stuff, 4, 1)
    assert not (put.edit & own).any() and any(np.array_equal(put.outline, o) for o in stuff.val.outlines)
    for edit in (out, put):
        assert edit.changed(inside=True).mean() > 0 and edit.changed(inside=False).max() == 0
    others = replace(stuff.val, heads=np.zeros(20, int))  # all slices show this head: none lends another's outline
    assert insertion(replace(stuff, val=others), 4, 1) is None


def test_what_was_made_is_not_made_again_and_a_refusal_is_no_end(tmp_path, tiny_studio, monkeypatch):
    stuff = material_of(tmp_path, heads(3, 3), studio=tiny_studio)
    monkeypatch.setitem(part.MANY, True, 2)
    ticks = []
    found = edits(stuff, lambda: ticks.append(1))
    counts = [row.count for row in found if row.key.endswith("outside_max")]
    assert len(ticks) == 2 and counts[1] == 2
    assert len(list((tmp_path / "adherence" / "edits").iterdir())) == sum(counts)
    monkeypatch.setattr(type(tiny_studio), "make", None)
    assert edits(stuff, lambda: None) == found

    def refuse(*asked):
        raise MedDiffError("no")

    monkeypatch.setattr(type(tiny_studio), "complete", refuse)
    assert edits(stuff, lambda: None)[0].value is None
