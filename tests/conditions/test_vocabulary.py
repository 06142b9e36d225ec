"""The pathologies are whole, and a wrong file is named."""

import re
import shutil

import pytest

from meddiff.case import MedDiffError
from meddiff.conditions.growth import ESTIMATE, Gompertz, Logistic
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


def test_each_says_what_to_do_next_and_that_it_is_an_estimate():
    for key, pathology in load_pathologies().items():
        assert pathology.next_steps and pathology.next_steps.source == ESTIMATE, key
        assert len(pathology.next_steps.steps) == 4, key


def test_each_is_told_in_chinese_from_its_look_to_its_next_steps():
    for key, pathology in load_pathologies().items():
        told = pathology.told_in("zh")
        words = [*told.looks.values(), told.course, *told.teaching_points, *(one.apart for one in told.look_alikes)]
        words += [part for step in told.next_steps.steps for part in (step.text, step.why)]
        assert all(re.search("[\u4e00-\u9fff]", word) for word in words), key
        assert [step.best for step in told.next_steps.steps] == [step.best for step in pathology.next_steps.steps], key
        assert told.sources == pathology.sources and pathology.told_in("en") is pathology, key


def test_no_synonym_stands_for_two_pathologies():
    seen: dict[str, str] = {}
    for key, pathology in load_pathologies().items():
        for name in pathology.names:
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


@pytest.mark.parametrize(
    ("name", "old", "new", "named"),
    [
        ("pathologies/glioma.yaml", "drawn_as: glioma", "drawn_as: sarcoma", r"glioma\.yaml, field drawn_as"),
        ("pathologies/glioma.yaml", "ring: 0.45", "ring: 0.65", r"glioma\.yaml, field enhancement: .*add up to 1\.2"),
        ("pathologies/glioma.yaml", "sides: [left, right]", "sides: [top]", r"glioma\.yaml, field sides"),
        ("pathologies/glioma.yaml", "course:", "curse:", r"glioma\.yaml, field (course|curse)"),
        ("pathologies/glioma.yaml", "key: glioma\n", "key: gliom\n", r"glioma\.yaml, field (key|the file)"),
        ("pathologies/glioma.yaml", "\ngrowth:", "\ngroth:", r"glioma\.yaml, field (growth|groth)"),
        (
            "pathologies/glioma.yaml",
            "doubling_days: 50",
            "doubling_days: 0",
            r"glioma\.yaml, field growth\.laws\.0\.law\.gompertz\.doubling_days",
        ),
        ("pathologies/glioma.yaml", "law: gompertz", "law: gompert", r"glioma\.yaml, field growth\.laws\.0\.law"),
        (
            "pathologies/glioma.yaml",
            "limit_mm: 130",
            "limit_mm: 110",
            r"glioma\.yaml, .*gompertz must end above size_mm\.max, not at 110 mm",
        ),
        ("pathologies/germinoma.yaml", "limits:", "speeds:", r"germinoma\.yaml, field growth\.(limits|speeds)"),
        (
            "pathologies/ganglioglioma.yaml",
            "{law: linear, mm_per_year: 0.5}",
            "{law: stable}",
            r"the law 'stable' stands there twice",
        ),
        (
            "pathologies/glioma.yaml",
            "best: true",
            "best: false",
            r"glioma\.yaml, field next_steps: .*0 steps are marked best",
        ),
        ("pathologies/glioma.yaml", "covers: [", "covers: [sarcoma, ", r"glioma\.yaml, field covers: 'sarcoma'"),
        (
            "pathologies/glioma.yaml",
            "zh:\n",
            "zh:\n  drawn_note: 无\n",
            r"glioma\.yaml, .*zh\.drawn_note does not say the same",
        ),
        ("pathologies/germinoma.yaml", "drawn_note: ", "drawn_note: '' #", r"germinoma\.yaml, .*drawn_note is missing"),
    ],
)
def test_every_kind_of_wrong_field_is_named(tmp_path, name, old, new, named):
    folder = copy_prompts(tmp_path)
    path = folder / name
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(MedDiffError, match=named):
        load_pathologies(folder)


def test_a_value_without_a_word_is_named(tmp_path):
    folder = copy_prompts(tmp_path)
    path = folder / "vocabulary.yaml"
    text = re.sub(r"\n  sellar: \[[^]]*\]", "", path.read_text(encoding="utf-8"))
    path.write_text(text, encoding="utf-8")
    with pytest.raises(MedDiffError, match=r"vocabulary\.yaml, .*region has no word for 'sellar'"):
        load_vocabulary(folder)


def test_a_file_that_is_no_text_is_named(tmp_path):
    folder = copy_prompts(tmp_path)
    (folder / "pathologies" / "glioma.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(MedDiffError, match=r"glioma\.yaml cannot be read"):
        load_pathologies(folder)


def test_the_folder_without_pathologies_is_named(tmp_path):
    with pytest.raises(MedDiffError, match="No pathology lies in"):
        load_pathologies(tmp_path)


def test_each_shipped_pathology_teaches_three_to_five_points_with_a_dated_source():
    for key, pathology in load_pathologies().items():
        assert 3 <= len(pathology.teaching_points) <= 5, key
        assert all(source.rstrip(".")[-4:].isdigit() for source in pathology.sources), key
        assert {"T1 post-contrast", "planes"} <= set(pathology.looks), key
        assert len(pathology.looks) >= 3, key


def test_each_growth_says_its_source_or_that_it_is_an_estimate():
    for key, pathology in load_pathologies().items():
        sources = [entry.source for entry in pathology.growth.laws] + [pathology.growth.limits.source]
        assert all(ESTIMATE in source or re.search(r", (19|20)\d\d\b", source) for source in sources), key


def test_growth_can_begin_at_every_size_of_its_pathology():
    for key, pathology in load_pathologies().items():
        limited = [entry.law for entry in pathology.growth.laws if isinstance(entry.law, Gompertz | Logistic)]
        assert all(law.limit_mm > pathology.size_mm.max for law in limited), key


def test_what_is_known_for_its_pace_has_it():
    found = load_pathologies()
    assert found["glioblastoma"].growth.default.law == "gompertz"
    assert found["low_grade_glioma"].growth.default.law == "linear"
    assert found["brain_abscess"].growth.default.law == "response"
    assert found["radiation_necrosis"].growth.default.law == "pseudoprogression"
    assert found["glioblastoma"].growth.limits.doubling_days < found["meningioma"].growth.limits.doubling_days
