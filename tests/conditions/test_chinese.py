"""Sentences in Chinese say the same as in English, and what is written in Chinese is read back."""

import re

import pytest
from hypothesis import given, settings

from meddiff.case import Findings, MedDiffError
from meddiff.conditions.prompt import presets, read_clinical, read_sentence, write_sentence
from meddiff.conditions.vocabulary import load_pathologies, load_vocabulary
from tests.conditions.test_prompt import everything


@given(everything)
@settings(max_examples=300, deadline=None)
def test_what_is_written_in_chinese_is_read_back(said):
    assert read_sentence(write_sentence(said, "zh")) == said


def test_the_canonical_sentence_is_as_a_report_has_it():
    said = read_sentence("轴位T1增强，左额叶环形强化肿块，约30毫米，边缘不规则，胶质瘤")
    assert write_sentence(said, "zh") == "轴位T1增强，左侧额叶环形强化胶质瘤，30 mm，边缘不规则"
    assert write_sentence(said) == "Axial T1 post-contrast, ring-enhancing left frontal glioma, 30 mm, irregular margin"
    assert write_sentence(Findings(), "zh") == "T1增强，未见局灶性病变"


@pytest.mark.parametrize(
    ("chinese", "english"),
    [
        (
            "横断位T1WI增强扫描示左侧额叶见一大小约３０ｍｍ×２５ｍｍ环形强化灶，边界不清，考虑胶质瘤。",
            "axial, ring-enhancing left frontal glioma, 30 mm, irregular margin",
        ),
        (
            "女，58岁。右侧颞叶脑膜瘤伴均匀强化，大小约4.1×3.2×2.8 cm，边界清楚",
            "right temporal meningioma, homogeneous enhancement, 41 mm, smooth margin",
        ),
        ("冠状面增强MRI：鞍区垂体腺瘤，最大径约３厘米", "coronal sellar pituitary tumor, 30 mm"),
        ("矢状位，小脑半球血管网状细胞瘤，直径20～30mm", "sagittal posterior fossa hemangioblastoma, 25 mm"),
        ("左侧额叶胶质瘤，未见明显强化，边缘模糊", "left frontal glioma, no enhancement, irregular margin"),
        ("右侧侧脑室旁占位，强化不均匀，隐约可见", "right deep mass, heterogeneous enhancement, subtle"),
        ("左额叶肿块，无出血、坏死及囊变，边界清楚", "left frontal mass, smooth margin"),
        ("轴位 T1 post-contrast, 左侧 frontal 胶质瘤, 30 mm", "axial left frontal glioma, 30 mm"),
        ("右侧桥小脑角区听神经瘤，明显均匀强化", "right cerebellopontine angle vestibular schwannoma, solid, obvious"),
        ("轴位T1增强，未见异常", "axial, no focal lesion"),
        ("颅脑轴位增强扫描未见明显占位性病变", "axial, no focal lesion"),
        ("没有肿块", "no mass"),
    ],
)
def test_radiologists_wording_is_understood(chinese, english):
    assert read_sentence(chinese) == read_sentence(english)


@pytest.mark.parametrize("attribute", ["plane", "side", "region", "enhancement", "margin", "conspicuity", "sequence"])
def test_every_chinese_word_for_a_value_means_it(attribute):
    for value, phrases in getattr(load_vocabulary(), attribute).items():
        chinese = [phrase for phrase in phrases if not phrase.isascii()]
        assert chinese, value
        for phrase in chinese:
            said = read_sentence(f"病灶，{phrase}")
            owner = said if attribute in ("plane", "sequence") else said.finding
            assert getattr(owner, attribute) == value, phrase


def test_every_disease_is_known_by_its_chinese_name_and_synonyms():
    for key, pathology in load_pathologies().items():
        chinese = [name for name in pathology.names if not name.isascii()]
        assert pathology.name_zh == chinese[0], key
        for name in chinese:
            assert read_sentence(f"左侧额叶{name}，20毫米").finding.pathology == key, name


def test_presets_come_in_chinese():
    for (title, sentence, key), (_, english, other) in zip(presets("zh"), presets(), strict=True):
        assert key == other and not title.isascii()
        assert read_sentence(sentence) == read_sentence(english), key


@pytest.mark.parametrize(
    ("sentence", "age", "sex"),
    [("45岁女性，胶质瘤", 45, "F"), ("患者，男，６个月，髓母细胞瘤", 0.5, "M"), ("女，58岁。脑膜瘤", 58, "F"), ("胶质瘤，3个月后复查", None, "unknown")],
)  # fmt: skip
def test_age_and_sex_are_read_in_chinese(sentence, age, sex):
    clinical = read_clinical(sentence)
    assert (clinical.age_years, clinical.sex) == (age, sex)


@pytest.mark.parametrize(
    ("sentence", "named"),
    [
        ("左侧苹果和香蕉", 'Not understood: "苹果", "香蕉". Use plain radiological Chinese'),
        ("左额叶肿块，最大径三厘米", '"三厘米"'),
        ("左额叶大肿块", 'How large is "大"'),
        ("双侧额叶肿块", "several lesions"),
        ("左额顶叶胶质瘤", "two lobes"),
        ("左额叶肿块，伴瘤周水肿", "oedema"),
        ("左额叶肿块，无环形强化", '"无环形强化" says what the lesion is not'),
        ("左额叶肿块，不是胶质瘤", "both that there is a lesion"),
        ("左侧右侧肿块", '"left" and "right"'),
    ],
)
def test_nothing_is_dropped_in_silence_in_chinese_either(sentence, named):
    with pytest.raises(MedDiffError, match=re.escape(named)):
        read_sentence(sentence)
