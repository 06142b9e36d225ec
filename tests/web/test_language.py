"""The page in Chinese: every word that stands on it has a translation, and what the server writes is put into the visitor's language."""

from __future__ import annotations

import re

import pytest

from meddiff.web import app, language, reading, viewer
from meddiff.web.about import SAFETY
from meddiff.web.create import understood
from meddiff.web.models import Models
from tests.web.browser import in_browser
from tests.web.conftest import CHROMIUM, SWITCHES

ENGLISH = re.compile(r"[A-Za-z]{2}")
TEXT = re.compile(r"<[^>]+>")
# Stay as they are: names, ids, what was typed, sources of figures, sentences that are shown in both languages.
SAME = re.compile(
    r"MedDiff|meddiff stress rebuild|contract\.yaml|\.(?:onnx|pt|xml|bin|tflite)|NCHW|NHWC|https?|HTTP|HTML|YAML|JUnit|sensitivity=0\.8|meningioma|AI|2AFC|TIFF|CSV|JSON|iMRMC|Backspace|RS-…|&lt;|Synthetic Data|Axial T1 post-contrast, ring-enhancing[^<]*|Stensjøen[^<]*|/[\w./-]+|LR-…|README|DICOM|SEG|COCO|SR|PNG|JPEG|"
    r"NIfTI|NRRD|GIF|MP4|Verify|RANO|RECIST|PACS|AE|Enter|int8|bf16|fp32|brain-t1gd|logistic|Gompertz|Dice|mm|MB|T1|zip|Apache|day \d+, [\d-]+|day \d+ \d+"
)


@pytest.fixture(scope="module")
def blocks(tmp_path_factory):
    return app.build(Models(), tmp_path_factory.mktemp("files"))


def test_everything_that_stands_on_the_page_from_the_beginning_has_a_chinese_translation(blocks):
    shown = {}
    for block in list(blocks.blocks.values()):
        words = [getattr(block, name, None) for name in language.WORDS]
        words += [name for name, _ in map(language._pair, getattr(block, "choices", None) or [])]
        words += getattr(block, "headers", None) or []
        if isinstance(block, language.WRITTEN):
            words.append(getattr(block, "value", None))
        for word in filter(lambda word: isinstance(word, str), words):
            told = (
                language._value_in_chinese(block, word)
                if isinstance(block, language.WRITTEN)
                else language.in_chinese(word)
            )
            left = SAME.sub("", TEXT.sub("", told))
            if ENGLISH.search(left):
                shown[word] = left
    assert shown == {}, f"write these into {language.LOCALE}"
    for template in (viewer.TOOLS_HTML, reading.TOOLS_HTML):
        assert not ENGLISH.search(SAME.sub("", TEXT.sub("", language.html_in_chinese(template))))


def test_the_browser_is_given_both_languages_and_keys_that_gradio_can_read(blocks):
    given = language.translated(blocks).translations_dict
    assert given["en"].keys() == given["zh-CN"].keys() and len(given["en"]) > 150
    assert given["zh-CN"]["Keep this case in the bank"] == "存入病例库"
    assert all(english == key and "}" not in key for key, english in given["en"].items())
    labels = {str(getattr(block, "label", "")) for block in blocks.blocks.values()}
    assert any("__i18n__" in label and '"Case bank"' in label for label in labels)


def test_an_entry_has_the_same_gaps_and_tags_in_both_languages():
    for english, chinese in language.entries().items():
        names = [name for name, _ in language._GAP.findall(english)]
        assert set(re.findall(r"\{(\w+)\}", chinese)) <= set(names) and len(set(names)) == len(names), english
        assert sorted(re.findall(r"<[^>]+>", english)) == sorted(re.findall(r"<[^>]+>", chinese)), english


@pytest.mark.parametrize(
    ("english", "chinese"),
    [
        ("413 questions. The first 200 are listed: filter to reach the others.", "413 道题目。列出前 200 道：其余请筛选。"),
        ("Nothing is due now, and there is nothing new. The next is due on 2030-01-02.", "现在没有到期的题目，也没有新题。下一题 2030-01-02 到期。"),
        ("glioma 3, brain abscess 2", "胶质瘤 3、脑脓肿 2"),
        ("✓ glioma, axial", "✓ 胶质瘤，轴位"),
        ('How large is "大"? Give the longest diameter, for example "30 mm", or leave it out.', "“大”是多大？请写最长径，例如“30 mm”，或删去。"),
        ("Words of somebody else. 3 of 5", "Words of somebody else. 5 题中 3 题"),
        (" What nobody translated ", " What nobody translated "),
    ],
)  # fmt: skip
def test_what_the_server_writes_is_exchanged_by_its_entry(english, chinese):
    assert language.in_chinese(english) == chinese


def test_in_html_tags_stay_and_so_does_what_must_not_be_translated():
    told = language.html_in_chinese(
        '<p title="Download">Review: draft. &lt;b&gt;</p><div translate="no"><p>Create<br>Stop</p></div><b>Create</b>'
    )
    assert (
        told
        == '<p title="下载">审核：草稿。&lt;b&gt;</p><div translate="no"><p>Create<br>Stop</p></div><b>生成病例</b>'
    )
    assert "**绝不可用于诊断**" in language.markdown_in_chinese(SAFETY)


@pytest.mark.parametrize(
    ("accepted", "spoken"),
    [("zh-CN,zh;q=0.9,en;q=0.8", "zh"), ("zh-cn", "zh"), ("en-US,en;q=0.9,zh-CN;q=0.8", "en"), ("zh-TW,zh", "en"), ("", "en"), (None, "en")],
)  # fmt: skip
def test_simplified_chinese_is_spoken_where_the_browser_is_set_to_it(accepted, spoken):
    assert language.of_browser(accepted) == spoken


def test_updates_are_exchanged_but_neither_what_was_typed_nor_what_choices_stand_for():
    update = {"__type__": "update", "label": "Size", "choices": ["Draft", ("Approved", "approved")], "value": "Draft"}
    told = language.answer_in_chinese(app.gr.Dropdown(), update)
    assert told == update | {"label": "大小", "choices": [("草稿", "Draft"), ("已批准", "approved")]}
    assert language.answer_in_chinese(app.gr.Textbox(), "Draft") == "Draft"
    assert language.answer_in_chinese(app.gr.Button(), {"__type__": "update", "value": "Saved"})["value"] == "已保存"
    table = language.answer_in_chinese(app.gr.Dataframe(), {"headers": ["State"], "data": [["draft", True, "A stem."]]})
    assert table == {"headers": ["状态"], "data": [["草稿", True, "A stem."]]}


def test_a_sentence_is_shown_back_in_english_and_in_chinese_where_either_the_sentence_or_the_page_is():
    assert 'class="md-zh"' in understood("left frontal glioma") and 'class="md-zh"' not in understood("左额叶胶质瘤")
    for sentence in ("left frontal glioma, 30 mm", "左额叶胶质瘤，30毫米"):
        told = understood(sentence)
        assert "T1 post-contrast, left frontal glioma, 30 mm" in told and "T1增强，左侧额叶胶质瘤，30 mm" in told


@in_browser
def test_a_chinese_browser_sees_a_chinese_page_that_understands_chinese(address):
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        page = browser.new_page(viewport={"width": 400, "height": 860}, locale="zh-CN")
        page.set_default_timeout(120_000)
        page.goto(address)
        page.wait_for_function("document.querySelector('#md-create')?.innerText === '生成病例'")
        page.wait_for_function("document.querySelector('#md-sentence textarea').value.startsWith('轴位T1增强')")
        assert page.inner_text(".md-foot") == "合成图像，不得用于诊断。"
        sentence = page.locator("#md-sentence textarea")
        sentence.fill("横断位增强，右侧颞叶脑膜瘤，直径约3厘米，边界清楚")
        sentence.blur()
        page.wait_for_selector("text=Axial T1 post-contrast, right temporal meningioma, 30 mm, smooth margin")
        page.wait_for_selector("text=轴位T1增强，右侧颞叶脑膜瘤，30 mm，边缘光滑")
        sentence.fill("左侧苹果")
        sentence.blur()
        page.wait_for_selector('text=未能理解："苹果"')
        page.get_by_role("tab", name="练习", exact=True).click()
        page.click("text=开始练习")
        page.wait_for_selector("text=还没有可练习的题目")
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        browser.close()
