"""The suite makes what is looked at, keeps it, goes on where it stopped; what it found fills a model card."""

import json
import shutil

import numpy as np
import pytest

from meddiff.case import MedDiffError
from meddiff.conditions.prompt import read_sentence
from meddiff.diffusion.checkpoint import read_info, verify, write_manifest
from meddiff.evaluation import suite
from meddiff.evaluation.card import fill_card
from meddiff.evaluation.material import Pictures
from meddiff.evaluation.records import RESULT, Figure, Part, Plate, Table, read_evaluation
from meddiff.evaluation.table import CLOSE, OPEN, as_text
from meddiff.settings import settings
from meddiff.synthesis.finder import LesionFinder
from meddiff.synthesis.studio import Studio
from tests.evaluation.made_up import heads, told


@pytest.fixture(scope="module")
def house(tiny_packs, tmp_path_factory):
    """A folder of checkpoints whose pack has a finder (random weights)."""
    folder = tmp_path_factory.mktemp("judged")
    shutil.copytree(tiny_packs / "brain-t1gd", folder / "brain-t1gd")
    LesionFinder((8, 8, 8, 8)).save_pretrained(folder / "brain-t1gd" / "check")
    write_manifest(folder / "brain-t1gd")
    patch = pytest.MonkeyPatch()
    patch.setenv("MEDDIFF_CHECKPOINTS", str(folder))
    settings.cache_clear()
    yield folder
    patch.undo()
    settings.cache_clear()


def sets() -> tuple[Pictures, Pictures]:
    findings = read_sentence("axial T1 post-contrast, glioma")
    both = []
    for seed in (1, 2):
        real = heads(6, seed)
        both.append(Pictures(real.pixels, real.outlines, real.types, real.planes, (findings,) * 6, real.spacing_mm))
    return both[0], both[1]


@pytest.fixture(scope="module")
def done(house, tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluation")
    train, val = sets()
    material = suite.prepare(train, val, Studio("brain-t1gd", "fp32"), folder, told, counts=(4, 2))
    return folder, material


def test_pictures_are_made_for_what_val_and_train_ask(done):
    _, material = done
    assert len(material.made) == len(material.twins) == len(material.requests) == 4 and len(material.extra) == 2
    assert np.array_equal(material.made.outlines, material.val.outlines[[0, 2, 3, 5]])
    assert np.array_equal(material.made.heads, material.val.heads[[0, 2, 3, 5]]) and len(material.train.heads) == 6
    for request, pixels in zip(material.requests, material.made.pixels, strict=True):
        assert np.array_equal(material.studio.make(request).pixels, pixels)  # the request alone gives it again
    outside = ~np.stack([np.asarray(r.mask.to_array()) for r in material.requests]).any(0)
    assert (material.made.pixels != material.twins).any() and outside.any()


def test_a_killed_run_makes_only_what_is_missing(done):
    folder, material = done
    files = {path: path.stat().st_mtime_ns for path in (folder / "made").iterdir()}
    lost = sorted(files)[1]
    lost.unlink()
    train, val = sets()
    again = suite.prepare(train, val, Studio("brain-t1gd", "fp32"), folder, told, counts=(4, 2))
    assert np.array_equal(again.made.pixels, material.made.pixels)
    renewed = [path for path, when in files.items() if path.stat().st_mtime_ns != when]
    assert renewed == [lost]


def test_a_folder_belongs_to_one_evaluation(done):
    folder, _ = done
    train, val = sets()
    with pytest.raises(MedDiffError, match=r"another evaluation \(it differs in asked\)"):
        suite.prepare(train, val, Studio("brain-t1gd", "fp32"), folder, told, counts=(5, 2))


def test_parts_are_kept_and_an_unknown_one_is_refused(done):
    folder, material = done
    with pytest.raises(MedDiffError, match="no part beauty: choose from fidelity"):
        suite.run(material, told, ["beauty"])
    first = suite.run(material, told, ["fairness"], "the command")
    when = (folder / "parts" / "fairness.json").stat().st_mtime_ns
    second = suite.run(material, told, ["fairness"], "the command")
    assert (folder / "parts" / "fairness.json").stat().st_mtime_ns == when and first == second
    assert read_evaluation(folder) == second and [part.name for part in second.parts] == ["fairness"]
    assert second.counts == {"real train": 6, "real val": 6, "made": 4, "made from train requests": 2}
    assert "Dice" in as_text(second)
    (folder / "parts" / "fairness.json").write_text("{")
    with pytest.raises(MedDiffError, match="fairness.json is damaged: delete it"):
        suite.run(material, told, ["fairness"])
    (folder / "parts" / "fairness.json").unlink()


def test_a_card_is_filled_in_between_its_marks_and_only_made_pictures_ship(done, house, tmp_path):
    folder, material = done
    pack = tmp_path / "brain-t1gd"
    shutil.copytree(house / "brain-t1gd", pack)
    (pack / "README.md").write_text(f"# Card\n\nby hand\n\n{OPEN}\nold\n{CLOSE}\n\nlimits by hand\n")
    evaluation = suite.run(material, told, ["fairness"], "the command")
    for name in ("made.png", "real.png"):
        (folder / name).write_bytes(b"a picture")
    part = Part(
        name="adherence",
        title="Adherence",
        figures=(Figure(key="adherence.dice", name="outline", value=0.7, low=0.6, high=0.8, real=0.71, aim=">= 0.6", count=4, note="read it"),),
        tables=(
            Table(key="adherence.types", name="Types", row_name="asked", column_name="seen", names=("a", "b"), made=((3, 1), (0, 2)), note="so"),
        ),
        plates=(
            Plate(key="a", caption="made", file="made.png", synthetic=True),
            Plate(key="b", caption="real", file="real.png", synthetic=False),
        ),
    )  # fmt: skip
    fill_card(evaluation.model_copy(update={"parts": (part,)}), folder, pack)
    card = (pack / "README.md").read_text()
    assert "old" not in card and card.startswith("# Card\n\nby hand") and card.endswith("limits by hand\n")
    assert "| outline | 0.7 | 0.6 to 0.8 | 0.71 |  | 4 | >= 0.6 met |" in card and "- outline: read it" in card
    assert (
        "| asked | made: a | made: b |\n| --- | --- | --- |\n| a | 3 (75%) | 1 (25%) |\n| b | 0 (0%) | 2 (100%) |\n\nso"
        in card
    )
    assert "  a      3 (75%)   1 (25%)" in as_text(evaluation.model_copy(update={"parts": (part,)}))
    assert read_evaluation(pack / "evaluation").parts[0].tables == part.tables
    assert sorted(path.name for path in (pack / "evaluation").iterdir()) == ["evaluation.json", "made.png"]
    assert [plate.key for plate in read_evaluation(pack / "evaluation").parts[0].plates] == ["a"]
    assert verify(pack) == read_info(pack).sha256 == write_manifest(pack)  # what is told of a pack does not change it
    other = evaluation.model_copy(update={"pack_sha256": "0" * 64})
    with pytest.raises(MedDiffError, match="measure it again"):
        fill_card(other, folder, pack)


def test_an_evaluation_of_older_code_has_no_tables_and_is_read(done, tmp_path):
    _, material = done
    evaluation = suite.run(material, told, ["fairness"], "the command")
    older = evaluation.model_dump(mode="json")
    for part in older["parts"]:
        del part["tables"]
    (tmp_path / RESULT).write_text(json.dumps(older))
    assert read_evaluation(tmp_path) == evaluation


def test_a_table_that_is_not_square_is_refused():
    with pytest.raises(ValueError, match=r"a\.t needs 2 rows of 2 counts"):
        Table(key="a.t", name="", row_name="", column_name="", names=("a", "b"), made=((1, 2),))


def test_a_damaged_evaluation_is_told_in_words(tmp_path):
    (tmp_path / RESULT).write_text(json.dumps({"pack": "x"}))
    with pytest.raises(MedDiffError, match="benchmarks.quality"):
        read_evaluation(tmp_path)
