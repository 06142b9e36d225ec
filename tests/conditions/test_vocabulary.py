"""The pathologies are whole, and a wrong file is named."""

import shutil

import pytest

from meddiff.case import MedDiffError
from meddiff.conditions.vocabulary import load_pathologies, load_vocabulary
from meddiff.settings import settings
from meddiff.synthesis.finder import TYPES


def test_there_are_at_least_fifteen_and_most_are_rare():
    found = load_pathologies()
    assert len(found) >= 15
    assert sum(p.rarity.startswith("rare") for p in found.values()) >= 10


def test_each_has_what_a_teacher_needs():
    for key, pathology in load_pathologies().items():
        assert pathology.look_alikes and pathology.teaching_points and pathology.sources and pathology.course, key
        assert pathology.drawn_as in TYPES, key
        assert key in TYPES or pathology.drawn_note, f"{key} is drawn as another type and does not say so"
        for weights in (pathology.regions, pathology.margin, pathology.enhancement):
            assert abs(sum(weights.values()) - 1) < 1e-6, key


def test_no_synonym_stands_for_two_pathologies():
    seen: dict[str, str] = {}
    for key, pathology in load_pathologies().items():
        for name in (pathology.name, *pathology.synonyms):
            assert seen.setdefault(name, key) == key, name


def copy_prompts(tmp_path):
    folder = tmp_path / "prompts"
    shutil.copytree(settings().prompts, folder)
    return folder


def test_a_wrong_field_is_named_with_its_file(tmp_path):
    folder = copy_prompts(tmp_path)
    path = folder / "pathologies" / "glioma.yaml"
    path.write_text(path.read_text().replace("max: 110", "max: -3"))
    with pytest.raises(MedDiffError, match=r"glioma\.yaml, field size_mm"):
        load_pathologies(folder)


def test_a_look_alike_that_is_not_there_is_named(tmp_path):
    folder = copy_prompts(tmp_path)
    (folder / "pathologies" / "brain_abscess.yaml").unlink()
    with pytest.raises(MedDiffError, match="brain_abscess"):
        load_pathologies(folder)


def test_broken_yaml_is_named(tmp_path):
    folder = copy_prompts(tmp_path)
    (folder / "vocabulary.yaml").write_text("plane: [axial")
    with pytest.raises(MedDiffError, match=r"vocabulary\.yaml"):
        load_vocabulary(folder)
