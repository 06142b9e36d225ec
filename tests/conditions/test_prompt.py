"""Sentences are read as people mean them, and what is not understood is named."""

import re

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
from meddiff.conditions.vocabulary import load_pathologies, load_vocabulary

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


everything = st.builds(
    Findings,
    modality=st.sampled_from(sorted(load_vocabulary().modality)),
    anatomy=st.sampled_from(sorted(load_vocabulary().anatomy)),
    sequence=st.sampled_from(sorted(load_vocabulary().sequence)),
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
        size_mm=st.none() | st.integers(1, 200_000).map(lambda thousandths: thousandths / 1000),
    ),
)


@given(everything, st.integers(0, 2**31))
@settings(max_examples=300, deadline=None)
def test_other_modalities_and_crooked_sizes_survive_too(said, seed):
    assert read_sentence(write_sentence(said)) == said
    assert read_sentence(paraphrase(said, seed)) == said


def test_the_canonical_sentence_stays_as_the_text_encoder_learned_it():
    said = Findings(
        plane=Plane.AXIAL,
        finding=Finding(
            pathology="glioma",
            side=Side.LEFT,
            region=Region.FRONTAL,
            enhancement=Enhancement.RING,
            margin=Margin.IRREGULAR,
            conspicuity=Conspicuity.OBVIOUS,
            size_mm=30,
        ),
    )
    canonical = "Axial T1 post-contrast, ring-enhancing left frontal glioma, 30 mm, irregular margin, obvious"
    assert write_sentence(said) == canonical
    assert len({paraphrase(said, seed) for seed in range(200)}) > 190
    assert paraphrase(said, 7) == paraphrase(said, 7)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("2 cm x 3 cm", 30),
        ("20x30x25 mm", 30),
        ("3,5 cm", 35),
        (".8 cm", 8),
        ("10mm-20mm", 15),
        ("9 mm to 1.1 cm", 10),
        ("12–15 mm", 13.5),
        ("30-mm", 30),
        ("30 millimetres in diameter", 30),
        ("3 厘米", 30),
    ],
)
def test_sizes_are_read_however_they_are_written(text, size):
    assert read_sentence(f"left frontal mass, {text}").finding.size_mm == size


def test_the_one_of_t1_is_no_size():
    assert read_sentence("axial T1-30 mm left frontal mass").finding.size_mm == 30


@pytest.mark.parametrize(
    "sentence",
    [
        "no left frontal mass",
        "no ring-enhancing left frontal mass",
        "no mass lesion",
        "no evidence of a tumour",
        "no lesion in the left frontal lobe",
        "axial T1 post-contrast without a focal mass",
    ],
)
def test_a_denied_lesion_is_not_drawn(sentence):
    assert read_sentence(sentence).finding is None


@pytest.mark.parametrize("sentence", ["left temporal mass, not enhancing", "left temporal mass that does not enhance"])
def test_what_does_not_enhance_is_read_so(sentence):
    assert read_sentence(sentence).finding.enhancement is Enhancement.NONE


def test_a_denied_list_of_things_not_drawn_is_harmless():
    said = read_sentence("left frontal mass, no haemorrhage, infarct or calcification, irregular margin")
    assert said == read_sentence("left frontal mass, irregular margin")


@pytest.mark.parametrize(
    ("sentence", "named"),
    [
        ("left frontal mass, no ring enhancement", "no ring enhancement"),
        ("frontal mass, not left", "not left"),
        ("left frontal mass, not a glioma", "both"),
        ("normal brain, ring-enhancing", "both"),
        ("no mass, 30 mm", "both"),
        ("large left frontal mass", '"large"'),
        ("left frontal mass <10 mm", '"<"'),
        ("left frontal mass, 30", "no unit"),
        ("left frontal mass, 300 mm", "300 mm does not fit"),
        ("left frontal mass, 0 mm", "0 mm does not fit"),
        ("left frontal glioma and right meningioma", '"left" and "right"'),
        ("left frontal glioma, left frontal meningioma", '"glioma" and "meningioma"'),
        ("brain metastases", "several lesions"),
        ("left frontoparietal glioma", "two lobes"),
        ("left frontal mass with surrounding oedema", "oedema"),
        ("необычная опухоль", "необычная"),
        ("左侧苹果", "苹"),
        ("🍌", "🍌"),
        ("  ...  ", "no finding"),
        ("please draw an image", "no finding"),
    ],
)
def test_nothing_is_dropped_in_silence(sentence, named):
    with pytest.raises(MedDiffError, match=re.escape(named)):
        read_sentence(sentence)


def test_chinese_is_read():
    said = read_sentence("轴位，左侧额叶胶质瘤，环形强化，30毫米")
    assert said == read_sentence("axial, ring-enhancing left frontal glioma, 30 mm")


@given(st.text(max_size=40))
@settings(max_examples=100, deadline=None)
def test_no_text_whatever_breaks_the_reader(text):
    for read in (read_sentence, read_clinical):
        try:
            read(text)
        except MedDiffError as error:
            assert str(error)


@pytest.mark.parametrize(
    ("sentence", "age", "sex"),
    [
        ("45F, left frontal glioma", 45, Sex.FEMALE),
        ("45 y/o M with a glioma", 45, Sex.MALE),
        ("man aged 61, glioma", 61, Sex.MALE),
        ("6-month-old boy, medulloblastoma", 0.5, Sex.MALE),
        ("glioma, 20 mm", None, Sex.UNKNOWN),
        ("45岁女性，胶质瘤", 45, Sex.FEMALE),
    ],
)
def test_age_and_sex_are_read_as_people_write_them(sentence, age, sex):
    clinical = read_clinical(sentence)
    assert (clinical.age_years, clinical.sex) == (age, sex)
    assert read_sentence(sentence).finding.pathology in ("glioma", "medulloblastoma")


@pytest.mark.parametrize(
    ("sentence", "named"),
    [("200-year-old man, glioma", "200 years"), ("45-year-old man, 50 years", "two ages"), ("woman, man", "two sexes")],
)
def test_an_impossible_patient_is_refused(sentence, named):
    with pytest.raises(MedDiffError, match=named):
        read_clinical(sentence)


def test_a_pack_refuses_a_plane_it_does_not_know():
    with pytest.raises(MedDiffError, match="in axial planes, not sagittal"):
        check_drawable(
            read_sentence("sagittal glioma"), "brain-t1gd", "MR", "brain", "T1 post-contrast", (Plane.AXIAL,)
        )


def test_a_pathology_or_sequence_without_a_word_is_refused():
    with pytest.raises(MedDiffError, match="no pathology 'banana'"):
        write_sentence(Findings(finding=Finding(pathology="banana")))
    with pytest.raises(MedDiffError, match="no pathology 'banana'"):
        fill_from_pathology(Findings(finding=Finding(pathology="banana")), 1)
    with pytest.raises(MedDiffError, match="sequence 'T7'"):
        write_sentence(Findings(sequence="T7"))


def test_only_what_a_pathology_shows_is_drawn_for_it():
    for key, pathology in load_pathologies().items():
        for seed in range(10):
            finding = fill_from_pathology(Findings(plane=Plane.AXIAL, finding=Finding(pathology=key)), seed).finding
            assert finding.region in pathology.regions and finding.enhancement in pathology.enhancement, key
            assert finding.margin in pathology.margin and finding.side is not Side.UNKNOWN, key
            assert pathology.size_mm.min <= finding.size_mm <= pathology.size_mm.max, key


def test_what_was_said_does_not_move_what_is_drawn_for_the_rest():
    open_ = fill_from_pathology(read_sentence("axial glioma"), 11).finding
    said = fill_from_pathology(read_sentence("axial non-enhancing glioma"), 11).finding
    assert said == open_.model_copy(update={"enhancement": Enhancement.NONE})
    assert fill_from_pathology(Findings(), 3) == Findings()


def test_a_low_grade_glioma_keeps_its_grade_and_seldom_enhances():
    said = read_sentence("left frontal low-grade glioma")
    assert "low grade glioma" in write_sentence(said)
    drawn = [fill_from_pathology(said, seed).finding.enhancement for seed in range(100)]
    assert drawn.count(Enhancement.NONE) > 60 and Enhancement.RING not in drawn
