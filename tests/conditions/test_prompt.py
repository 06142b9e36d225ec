"""Sentences are read as people mean them, and what is not understood is named."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meddiff.case import (
    Conspicuity,
    Enhancement,
    Finding,
    Findings,
    Margin,
    MedDiffError,
    Plane,
    Region,
    Sex,
    Side,
)
from meddiff.conditions.prompt import (
    check_drawable,
    fill_from_pathology,
    paraphrase,
    presets,
    read_clinical,
    read_sentence,
    write_sentence,
)
from meddiff.conditions.vocabulary import load_pathologies

PACK = ("brain-t1gd", "MR", "brain", "T1 post-contrast", tuple(Plane))

findings = st.builds(
    Findings,
    plane=st.none() | st.sampled_from(Plane),
    finding=st.none()
    | st.builds(
        Finding,
        pathology=st.none() | st.sampled_from(sorted(load_pathologies())),
        side=st.sampled_from(Side),
        region=st.sampled_from(Region),
        enhancement=st.sampled_from(Enhancement),
        margin=st.sampled_from(Margin),
        conspicuity=st.sampled_from(Conspicuity),
        size_mm=st.none() | st.integers(1, 120).map(float),
    ),
)


@given(findings)
@settings(max_examples=300, deadline=None)
def test_what_is_written_is_read_back(said):
    assert read_sentence(write_sentence(said)) == said


@given(findings, st.integers(0, 2**31))
@settings(max_examples=300, deadline=None)
def test_other_words_mean_the_same(said, seed):
    assert read_sentence(paraphrase(said, seed)) == said


def test_the_readme_sentence_is_understood():
    said = read_sentence("Axial T1 post-contrast, ring-enhancing left frontal mass, 30 mm, irregular margin")
    assert said.plane is Plane.AXIAL
    assert said.finding == Finding(
        side=Side.LEFT, region=Region.FRONTAL, enhancement=Enhancement.RING, margin=Margin.IRREGULAR, size_mm=30
    )


@pytest.mark.parametrize(
    ("text", "size"),
    [("30 mm", 30), ("3 cm", 30), ("3.0cm", 30), ("about 25 mm", 25), ("12-15 mm", 13.5), ("2 x 3 cm", 30)],
)
def test_sizes_are_read_in_mm(text, size):
    assert read_sentence(f"left frontal mass, {text}").finding.size_mm == size


@pytest.mark.parametrize(
    ("sentence", "named"),
    [
        ("", "empty"),
        ("banana in the sky", "banana"),
        ("une masse frontale gauche", "masse"),
        ("left right mass", "side"),
        ("axial coronal mass", "plane"),
        ("frontal mass, 20 mm and 30 mm", "sizes"),
        ("subdural hematoma", "bleeding"),
        ("normal brain with a glioma", "both"),
        ("multiple lesions", "one focal lesion"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(sentence, named):
    with pytest.raises(MedDiffError, match=named):
        read_sentence(sentence)


@pytest.mark.parametrize("sentence", ["CT head, left frontal mass", "FLAIR, left frontal mass", "chest nodule"])
def test_the_pack_says_what_it_knows_and_what_not(sentence):
    with pytest.raises(MedDiffError, match=r"This pack \(brain-t1gd\) knows MR brain T1 post-contrast, not"):
        check_drawable(read_sentence(sentence), *PACK)


@pytest.mark.parametrize("sentence", ["no focal lesion", "normal axial brain", "coronal, without a lesion", "no mass"])
def test_a_slice_without_a_lesion_can_be_asked_for(sentence):
    assert read_sentence(sentence).finding is None


def test_non_enhancing_is_not_read_as_enhancing():
    assert read_sentence("non-enhancing left temporal mass").finding.enhancement is Enhancement.NONE
    assert read_sentence("left temporal mass, no enhancement").finding.enhancement is Enhancement.NONE


def test_age_and_sex_are_read_and_leave_the_findings_alone():
    sentence = "45-year-old woman, left frontal meningioma, 20 mm"
    assert (read_clinical(sentence).age_years, read_clinical(sentence).sex) == (45, Sex.FEMALE)
    assert read_sentence(sentence).finding.size_mm == 20


def test_filling_keeps_what_was_said_and_is_the_same_for_a_seed():
    said = read_sentence("right pituitary tumor, 15 mm")
    filled = fill_from_pathology(said, 3)
    assert filled == fill_from_pathology(said, 3)
    assert (filled.finding.side, filled.finding.size_mm) == (Side.RIGHT, 15)
    assert filled.finding.region is Region.SELLAR
    assert len({fill_from_pathology(read_sentence("glioma"), seed).finding.size_mm for seed in range(20)}) > 5


def test_every_preset_is_a_sentence_its_pack_can_draw():
    rows = presets()
    assert len(rows) >= 15
    for _, sentence, key in rows:
        said = read_sentence(sentence)
        check_drawable(said, *PACK)
        assert said.finding.pathology == key
