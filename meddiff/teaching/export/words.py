"""The few fixed words of an export, in the languages that items are written in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Language = Literal["en", "zh"]


@dataclass(frozen=True)
class Words:
    """Fixed words of one language; `{}` is filled in.

    Attributes:
        alternative: what a picture is, for whoever cannot see it; gives no answer away.
    """

    language: Language
    notice: str
    alternative: str
    picture: str
    outlined: str
    without: str
    lesion_taken_out: str
    question: str
    key: str
    answer: str
    right: str
    points: str
    sources: str
    lesion: str
    place: str
    size: str
    expected: str
    against: str
    well_done: str
    not_yet: str
    how_to_mark: str
    how_to_order: str
    how_to_score: str
    name: str
    date: str
    page: str
    again: str


ENGLISH = Words(
    language="en",
    notice="Synthetic images. Not for diagnosis.",
    alternative="Synthetic image, not of a patient.",
    picture="Picture {}",
    outlined="The lesion, outlined",
    without="The same anatomy without the lesion",
    lesion_taken_out="The lesion that was taken out, outlined",
    question="Question {}",
    key="Key",
    answer="Answer: {}",
    right="right",
    points="Teaching points",
    sources="Sources",
    lesion="lesion",
    place="inside the outline, or within {:g} mm of it",
    size="{:g} mm, plus or minus {:g} mm",
    expected="The answer should say:",
    against="It should not say:",
    well_done="That is right.",
    not_yet="That is not right.",
    how_to_mark="Mark the place on the picture.",
    how_to_order="Put the pictures in order.",
    how_to_score="Right from {:.0%} of the weight on.",
    name="Name",
    date="Date",
    page="Page {}",
    again="(continued)",
)
CHINESE = Words(
    language="zh",
    notice="合成图像，不得用于诊断。",
    alternative="合成图像，并非患者图像。",
    picture="图 {}",
    outlined="病灶轮廓",
    without="同一解剖结构，无病灶",
    lesion_taken_out="被去除的病灶轮廓",
    question="第 {} 题",
    key="答案",
    answer="答案：{}",
    right="正确",
    points="教学要点",
    sources="参考文献",
    lesion="病灶",
    place="在轮廓内，或距轮廓 {:g} mm 以内",
    size="{:g} mm，误差不超过 {:g} mm",
    expected="答案应包括：",
    against="答案不应包括：",
    well_done="回答正确。",
    not_yet="回答不正确。",
    how_to_mark="请在图上标出位置。",
    how_to_order="请将图像排序。",
    how_to_score="达到权重的 {:.0%} 即为正确。",
    name="姓名",
    date="日期",
    page="第 {} 页",
    again="（续）",
)
WORDS: dict[Language, Words] = {"en": ENGLISH, "zh": CHINESE}
