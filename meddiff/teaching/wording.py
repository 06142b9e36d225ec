"""The words in which items are written, English and Chinese: stems, choices, feedback. Braces are filled in by the writer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from meddiff.case import Clinical, Enhancement, Findings, Margin, MedDiffError, Plane, Region, Sex, Side
from meddiff.conditions.vocabulary import Pathology, load_vocabulary


@dataclass(frozen=True)
class Words:
    """All sentences of one language. `intro` stands before every stem and says that the picture is synthetic."""

    language: Literal["en", "zh"]
    space: str  # between two sentences
    bracket: str
    plane: dict[Plane, str]
    side: dict[Side, str]
    region: dict[Region, str]
    region_is: dict[Region, str]  # where it lies, for feedback
    look: dict[Enhancement | Margin, str]
    look_is: dict[Enhancement | Margin, str]
    sex: dict[Sex, str]
    place: str  # side and region
    intro: str
    patient: str
    patient_of_age: str
    not_shown: str
    diagnosis: str
    made_to_show: str
    drawing: str
    right_diagnosis: str
    typical: str
    enhancement: str
    margin: str
    measured_look: str
    location: str
    measured_place: str
    place_in: str
    other_side: str
    next_step: str
    normal: str
    lesion_yes: str
    lesion_no: str
    lesion_there: str
    lesion_missed: str
    twin_right: str
    twin_wrong: str
    localise: str
    localise_feedback: str
    size: str
    size_feedback: str
    with_lesion: str
    with_lesion_feedback: str
    has_lesion: str
    is_twin: str
    first: str
    second: str
    larger: str
    measures: str
    which_is: str
    shows: str
    free_text: str


ENGLISH = Words(
    language="en",
    space=" ",
    bracket=" ({place})",
    plane={plane: plane.value for plane in Plane},
    side={Side.LEFT: "left", Side.RIGHT: "right", Side.MIDLINE: "midline"},
    region={
        Region.FRONTAL: "frontal lobe",
        Region.PARIETAL: "parietal lobe",
        Region.TEMPORAL: "temporal lobe",
        Region.OCCIPITAL: "occipital lobe",
        Region.CENTRAL: "central structures",
        Region.SELLAR: "sellar region",
        Region.POSTERIOR_FOSSA: "posterior fossa",
    },
    region_is={
        Region.FRONTAL: "in front of the central sulcus",
        Region.PARIETAL: "behind the central sulcus, above the Sylvian fissure",
        Region.TEMPORAL: "below the Sylvian fissure",
        Region.OCCIPITAL: "behind the parieto-occipital sulcus",
        Region.CENTRAL: "basal ganglia, thalamus, ventricles and corpus callosum",
        Region.SELLAR: "the pituitary fossa and what surrounds it",
        Region.POSTERIOR_FOSSA: "cerebellum and brainstem, below the tentorium",
    },
    look={
        Enhancement.RING: "ring enhancement",
        Enhancement.SOLID: "homogeneous enhancement",
        Enhancement.HETEROGENEOUS: "heterogeneous enhancement",
        Enhancement.NONE: "no enhancement",
        Margin.SMOOTH: "smooth margin",
        Margin.IRREGULAR: "irregular margin",
    },
    look_is={
        Enhancement.RING: "a bright rim around a dark core",
        Enhancement.SOLID: "evenly bright throughout",
        Enhancement.HETEROGENEOUS: "bright and dark parts side by side, without a rim around a core",
        Enhancement.NONE: "no brighter than the tissue around it",
        Margin.SMOOTH: "the outline is close to an ellipse",
        Margin.IRREGULAR: "the outline has lobes, spikes or dents",
    },
    sex={Sex.FEMALE: "woman", Sex.MALE: "man", Sex.UNKNOWN: "person"},
    place="{side} {region}",
    intro="Synthetic {plane} {modality} of a made-up {patient}, {sequence}.",
    patient="{sex}",
    patient_of_age="{sex} of {age} years",
    not_shown="{sequence}, not shown: {look}",
    diagnosis="What is the most likely diagnosis?",
    made_to_show="The case was made to show {name}.",
    drawing="About the picture: {note}",
    right_diagnosis="Its look: {look}",
    typical="Typical of {name}: {look}",
    enhancement="How does the lesion take up contrast?",
    margin="What is the border of the lesion like?",
    measured_look="{look}: {means}. Measured here: {key}.",
    location="Where is the lesion? Sides are the patient's.",
    measured_place="The centre of the lesion was measured there: {means}.",
    place_in="{place}: {means}. The centre of the lesion was measured in another place: {key}.",
    other_side="The other side. The patient's left is on the right of the picture.",
    next_step="The working diagnosis is {name}. Which next step is best?",
    normal="Is there a focal lesion in this slice?",
    lesion_yes="A focal lesion is there",
    lesion_no="No focal lesion is there",
    lesion_there="It was drawn into this picture{place}, and its outline is known.",
    lesion_missed="There is one{place}: compare with the twin, the same anatomy without it.",
    twin_right="This picture has no lesion: none was drawn.",
    twin_wrong="None was drawn here: what looks like one is normal anatomy.",
    localise="Where is the lesion? Click on it, or draw its outline.",
    localise_feedback="The true outline is the one that the lesion was drawn in.",
    size="What is the longest diameter of the lesion in this slice, in mm?",
    size_feedback="The longest diameter of the outline is {size:.0f} mm.",
    with_lesion="Two pictures of one made-up head. Which one shows a focal lesion?",
    with_lesion_feedback="One of the two is the twin of the other: the same anatomy, without the lesion.",
    has_lesion="The lesion was drawn into this picture{place}.",
    is_twin="This one is the twin: the same anatomy, without the lesion.",
    first="The first picture",
    second="The second picture",
    larger="Two synthetic cases with a lesion each. Which lesion has the larger diameter in its slice?",
    measures="Its longest diameter is {size:.0f} mm.",
    which_is="Two synthetic cases: {name} and {other}. Which picture shows {name}?",
    shows="It was made to show {name}. {apart}",
    free_text="Describe the abnormality: side, region, contrast uptake and the most likely diagnosis. Name one diagnosis.",
)

CHINESE = Words(
    language="zh",
    space="",
    bracket="（{place}）",
    plane={Plane.AXIAL: "轴位", Plane.CORONAL: "冠状位", Plane.SAGITTAL: "矢状位"},
    side={Side.LEFT: "左侧", Side.RIGHT: "右侧", Side.MIDLINE: "中线"},
    region={
        Region.FRONTAL: "额叶",
        Region.PARIETAL: "顶叶",
        Region.TEMPORAL: "颞叶",
        Region.OCCIPITAL: "枕叶",
        Region.CENTRAL: "深部",
        Region.SELLAR: "鞍区",
        Region.POSTERIOR_FOSSA: "后颅窝",
    },
    region_is={
        Region.FRONTAL: "中央沟之前",
        Region.PARIETAL: "中央沟之后、外侧裂之上",
        Region.TEMPORAL: "外侧裂之下",
        Region.OCCIPITAL: "顶枕沟之后",
        Region.CENTRAL: "基底节、丘脑、脑室和胼胝体",
        Region.SELLAR: "垂体窝及其周围",
        Region.POSTERIOR_FOSSA: "小脑幕下的小脑和脑干",
    },
    look={
        Enhancement.RING: "环形强化",
        Enhancement.SOLID: "均匀强化",
        Enhancement.HETEROGENEOUS: "不均匀强化",
        Enhancement.NONE: "无强化",
        Margin.SMOOTH: "边缘光滑",
        Margin.IRREGULAR: "边缘不规则",
    },
    look_is={
        Enhancement.RING: "亮环围绕暗的中心",
        Enhancement.SOLID: "整体均匀明亮",
        Enhancement.HETEROGENEOUS: "明暗部分并存，没有围绕中心的环",
        Enhancement.NONE: "不比周围组织更亮",
        Margin.SMOOTH: "轮廓接近椭圆",
        Margin.IRREGULAR: "轮廓有分叶、毛刺或凹陷",
    },
    sex={Sex.FEMALE: "女性", Sex.MALE: "男性", Sex.UNKNOWN: "人"},
    place="{side}{region}",
    intro="合成{plane}{modality}图像（{sequence}），虚构的{patient}。",
    patient="{sex}",
    patient_of_age="{age}岁{sex}",
    not_shown="{sequence}（未显示）：{look}",
    diagnosis="最可能的诊断是什么？",
    made_to_show="本病例按{name}制作。",
    drawing="关于图像：{note}",
    right_diagnosis="表现：{look}",
    typical="{name}的典型表现：{look}",
    enhancement="病灶的对比剂摄取方式是哪一种？",
    margin="病灶的边缘如何？",
    measured_look="{look}：{means}。本例实测：{key}。",
    location="病灶位于何处？左右以患者为准。",
    measured_place="实测病灶中心位于此处：{means}。",
    place_in="{place}：{means}。实测病灶中心位于别处：{key}。",
    other_side="对侧。患者的左侧在图像的右边。",
    next_step="初步诊断为{name}。下一步最佳处理是什么？",
    normal="本层面是否存在局灶性异常？",
    lesion_yes="有局灶性病灶",
    lesion_no="无局灶性病灶",
    lesion_there="病灶是画入本图像的{place}，其轮廓已知。",
    lesion_missed="有病灶{place}：请与其孪生图像（相同解剖、无病灶）比较。",
    twin_right="本图像没有病灶：未画入。",
    twin_wrong="未画入病灶：看似病灶的是正常解剖。",
    localise="病灶在哪里？请点击，或画出其轮廓。",
    localise_feedback="真实轮廓即画入病灶时所用的轮廓。",
    size="病灶在本层面的最长径是多少毫米？",
    size_feedback="轮廓的最长径为 {size:.0f} mm。",
    with_lesion="同一虚构头部的两幅图像。哪一幅有局灶性病灶？",
    with_lesion_feedback="其中一幅是另一幅的孪生图像：相同解剖，无病灶。",
    has_lesion="病灶画入了这幅图像{place}。",
    is_twin="这一幅是孪生图像：相同解剖，无病灶。",
    first="前一幅",
    second="后一幅",
    larger="两个合成病例各有一个病灶。哪一个在其层面上的直径更大？",
    measures="其最长径为 {size:.0f} mm。",
    which_is="两个合成病例：{name}和{other}。哪一幅是{name}？",
    shows="它按{name}制作。{apart}",
    free_text="请描述异常：侧别、部位、对比剂摄取和最可能的诊断。只写一个诊断。",
)

_LANGUAGES = {"en": ENGLISH, "zh": CHINESE}


def words_of(language: str) -> Words:
    """The words of a language, `en` or `zh`.

    Raises:
        MedDiffError: another language.
    """
    if language not in _LANGUAGES:
        raise MedDiffError(f"Items are written in {' or '.join(_LANGUAGES)}, not in {language!r}.")
    return _LANGUAGES[language]


def name_of(pathology: Pathology, words: Words) -> str:
    """The pathology's name in that language, English where it has no other."""
    return (pathology.name_zh if words.language == "zh" else "") or pathology.name


def sequence_of(sequence: str, words: Words) -> str:
    """A sequence's name in that language."""
    if words.language == "en":
        return sequence
    said = load_vocabulary().sequence.get(sequence, ())
    return next((one for one in said if not one.isascii()), sequence)


def place_of(side: Side, region: Region, words: Words) -> str:
    """Side and region in words; the region alone where the slice does not tell the side."""
    if side not in words.side:
        return words.region[region]
    return words.place.format(side=words.side[side], region=words.region[region])


def intro_of(findings: Findings, clinical: Clinical, words: Words) -> str:
    """What the picture is and of whom: synthetic, and of nobody."""
    sex = words.sex[clinical.sex]
    age = clinical.age_years
    patient = words.patient.format(sex=sex) if age is None else words.patient_of_age.format(sex=sex, age=f"{age:g}")
    said = load_vocabulary().modality.get(findings.modality, ())
    modality = next((one for one in said if not one.isascii()), findings.modality)
    return words.intro.format(
        plane=words.plane[findings.plane or Plane.AXIAL],
        modality=modality if words.language == "zh" else findings.modality,
        sequence=sequence_of(findings.sequence, words),
        patient=patient,
    )
