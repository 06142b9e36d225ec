"""What the comparison with real follow-ups does to outlines, grey levels and baselines, on pictures whose answer is known."""

import nibabel
import numpy as np
import pytest

from benchmarks.progression import Pair, cleaned, compare, interval, left_out, load_pairs, matched, pasted
from meddiff.case import MedDiffError
from meddiff.synthesis.finder import Found

ROWS, COLUMNS = np.mgrid[:256, :256].astype(float)


def ball(row: float, column: float, radius: float) -> np.ndarray:
    return np.hypot(ROWS - row, COLUMNS - column) <= radius


def test_a_speckled_open_ring_becomes_a_full_disc_and_its_specks_go():
    whole = ball(120, 140, 25)
    ring = whole & ~ball(120, 140, 20)
    ring &= np.random.default_rng(0).random(ring.shape) < 0.7
    ring &= ~((np.abs(ROWS - 120) < 4) & (COLUMNS > 140))  # a gap of seven pixels
    ring[30:33, 30:33] = True
    found = cleaned(ring)
    assert not found[:60, :60].any()
    assert (found & whole).sum() / (found | whole).sum() > 0.95


def test_a_second_focus_is_kept_and_an_empty_outline_stays_empty():
    two = ball(80, 80, 20) | ball(180, 180, 8)
    assert np.array_equal(cleaned(two) & ball(180, 180, 12), cleaned(ball(180, 180, 8)))
    assert not cleaned(np.zeros((256, 256))).any()


def test_an_outline_at_the_pictures_border_keeps_its_pixels():
    corner = np.zeros((64, 64), bool)
    corner[:20, :20] = True
    assert (cleaned(corner) & corner).sum() >= corner.sum() - 4


def test_another_gain_is_undone_whatever_the_lesion_does(phantom, phantom_mask):
    brain = (phantom > 0.2) & (phantom < 0.5)
    second = np.where(phantom_mask, 0.9, phantom)
    assert np.allclose(matched(2.7 * second, phantom, brain & ~phantom_mask), second, atol=1e-6)


@pytest.mark.parametrize(("old", "new"), [(12, 20), (20, 12)])
def test_a_pasted_lesion_fills_the_new_outline_and_leaves_nothing_of_the_old_one(old, new):
    before, after = ball(120, 130, old), ball(124, 126, new)
    picture = np.where(before, 0.8, 0.3)
    changed = pasted(picture, before, after)
    assert np.allclose(changed[ball(124, 126, new - 2)], 0.8, atol=0.01)
    assert np.allclose(changed[~ball(124, 126, new + 2)], 0.3, atol=0.01)
    assert np.array_equal(changed[:80], picture[:80])


def test_a_rim_stays_a_rim_when_it_is_pasted_larger():
    before, after = ball(120, 130, 12), ball(120, 130, 24)
    picture = np.where(before & ~ball(120, 130, 6), 0.8, 0.3)
    changed = pasted(picture, before, after)
    assert changed[120, 130 + 18] == pytest.approx(0.8, abs=0.02)
    assert changed[120, 130 + 6] == pytest.approx(0.3, abs=0.02)


def test_the_interval_holds_the_mean_and_closes_where_all_agree():
    mean, low, high = interval([1.0, 2.0, 3.0, 6.0])
    assert mean == 3.0 and 1 <= low < 3 < high <= 6
    assert interval([0.4] * 8) == pytest.approx((0.4, 0.4, 0.4))


def test_nobodys_own_growth_predicts_it():
    days, rate = [50, 100, 80, 60], 0.01
    ratios = [np.exp(rate * span) for span in days]
    ratios[0] = 40.0  # a patient unlike all others
    low, median, high = left_out(days, ratios)[0]
    assert low == pytest.approx(median) == pytest.approx(high) == pytest.approx(np.exp(rate * 50))


class BrightFinder:
    """Finds whatever is brighter than 0.6."""

    def find(self, pictures: np.ndarray) -> Found:
        return Found((pictures > 0.6).astype(np.float32), np.zeros((len(pictures), 3)))


def test_the_real_second_scan_scores_as_itself_and_a_copy_of_the_first_worse(phantom, phantom_mask):
    after = np.roll(phantom_mask, 6, axis=0)
    second = np.where(after, 0.7, np.where(phantom_mask, 0.35, phantom)).astype(np.float32)
    pair = Pair("01", 60, 0, phantom, second, phantom_mask, after, (1, 1), (1, 1))
    told = compare(BrightFinder(), pair, {"real second scan": second, "copy of the first": phantom, "made": second})
    assert told["made"] == told["real second scan"]
    assert told["made"].inside == pytest.approx(1) and told["made"].intensity == pytest.approx(2, rel=0.05)
    assert told["copy of the first"].inside < 0.9 and told["copy of the first"].intensity < 1.9
    assert told["copy of the first"].around == pytest.approx(1)
    assert told["copy of the first"].dice < told["made"].dice


SMALL, LARGE, NOTHING = ball(100, 60, 6), ball(100, 60, 10), np.zeros((256, 256))
VISITS = """id, sliceCount, initialDate, endDate, slices_removed
03, 22, 1992-12-29, 1994-02-17, [[1\\,2]]
07, 22, 1992-02-27, 1992-05-12, [[1\\,2]\\,[1\\,22]]
08, 22, 1991-08-20, 1991-10-17,
10, 22, 1991-07-04, 1991-10-02,
"""


def write_pairs(folder, **changed) -> None:
    """Three of the four patients of `VISITS`, three slices each; patient 10's volumes can be changed."""
    (folder / "visits.csv").write_text(VISITS)
    head = np.where(ball(128, 128, 90), 100.0, 0.0)
    volumes = {
        "Pre_Scan_T1": [head] * 3,
        "Post_Scan_T1": [2 * head] * 3,
        "Pre_Mask": [SMALL, SMALL, NOTHING],
        "Post_Mask": [SMALL, LARGE, NOTHING],
    }
    for patient in ("07", "08", "10"):
        (folder / patient).mkdir()
        for name, levels in (volumes | (changed if patient == "10" else {})).items():
            turned = np.stack(levels).astype(np.float64).T  # the files' axes: left, back, up
            nibabel.save(nibabel.Nifti1Image(turned, np.diag([-1, -1, 1, 1])), folder / patient / f"{name}.nii.gz")


def test_a_pair_is_read_upright_at_its_largest_slice(tmp_path):
    write_pairs(tmp_path)
    pair, *others = load_pairs(tmp_path)
    assert [other.patient for other in others] == ["08", "10"]
    small, large = SMALL, LARGE
    assert (pair.patient, pair.days, pair.level) == ("07", 75, 1)
    assert (pair.after & large).sum() / (pair.after | large).sum() > 0.9
    assert pair.enhancing == (2 * small.sum(), small.sum() + large.sum())
    assert pair.volumes[1] > pair.volumes[0]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"Post_Mask": [NOTHING, NOTHING, LARGE]}, "10: no slice shows an outline at both visits"),
        ({"Post_Mask": [SMALL, LARGE]}, "10: scans and outlines must share one grid"),
    ],
)
def test_a_pair_that_cannot_be_compared_is_named(tmp_path, changed, words):
    write_pairs(tmp_path, **changed)
    with pytest.raises(MedDiffError, match=words):
        load_pairs(tmp_path)


def test_a_folder_without_the_visits_is_refused_in_words(tmp_path):
    with pytest.raises(MedDiffError, match=r"visits\.csv is missing: give the folder"):
        load_pairs(tmp_path)
