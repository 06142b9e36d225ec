"""The page in the visitor's language: English as it stands in the code, or Chinese by `locale/zh-CN.yaml`, whose keys are the English words.

The code of the tabs knows nothing of it. What stands on the page from the beginning is handed to the browser in both languages
(`gr.I18n`), which takes the one it is set to; what the server writes is put into the language that the browser asks for
(`Accept-Language`) on its way out. Text without an entry stays English. Elements with `translate="no"`, as HTML has it, stay as they are:
a question is shown in the language it was approved in.

An entry may have gaps in braces, `{count:d} cases by {name}`: what stands there is put into the Chinese sentence, itself translated where
it has an entry. `:d` is a number, `:*` may reach over the end of a sentence. An entry may hold inline tags, `<b>Create</b> puts it there`, where the order of words needs it.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import Any

import gradio as gr

from meddiff.conditions.prompt import Language

LOCALE = Path(__file__).parent / "locale" / "zh-CN.yaml"
CHINESE = "zh-CN"  # the only tag that gradio's page takes for it: a browser set to zh-TW gets English from both
WORDS = ("label", "placeholder", "info")  # properties of components that hold words
WRITTEN: tuple[type, ...] = (gr.HTML, gr.Markdown, gr.Button)  # components whose value is words
_VISITOR: ContextVar[Language] = ContextVar("visitor", default="en")
_GAP = re.compile(r"\{(\w+)(:[d*])?\}")
_GAPS = {":d": "[0-9.,]+%?", ":*": ".+?", None: r"(?:(?![.] [A-Z]).)+?"}
_TAG = re.compile(r"(<[^>]+>)")
_INLINE = re.compile(r"</?(?:b|i|em|strong|span|small|code|a|br|tspan)\b")
_ATTRIBUTE = re.compile(r'\b(aria-label|alt|title|placeholder)="([^"]+)"')
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_PARAGRAPH = re.compile(
    r"(^## [^\n]*\n|\n\n|\n(?=- ))", re.M
)  # headings, and what parts paragraphs and items of a list
_LETTERS = re.compile(r"[A-Za-z]{2}")


def visitor() -> Language:
    """The language of whoever is answered now."""
    return _VISITOR.get()


def say(words: str) -> str:
    """Words in the visitor's language; only for what does not go out as part of the page, as titles of notices."""
    return in_chinese(words) if visitor() == "zh" else words


def warn(words: str, title: str = "Warning") -> None:
    """A notice that pops up over the page, in the visitor's language."""
    gr.Warning(html.escape(say(words), quote=False), title=say(title))


def of_browser(accepted: str | None) -> Language:
    """The language for an `Accept-Language` header: Chinese where simplified Chinese is what the browser is set to."""
    first = (accepted or "").split(",")[0].split(";")[0].strip()
    return "zh" if first.casefold() == CHINESE.casefold() else "en"


# ---------------------------------------------------------------- words to words


@lru_cache(maxsize=1)
def entries() -> dict[str, str]:
    """English to Chinese: the file's entries, and the names that `prompts/` has in both languages."""
    from meddiff.conditions.vocabulary import load_pathologies, load_vocabulary, read_yaml

    told = read_yaml(LOCALE)
    assert isinstance(told, dict)
    known = {" ".join(english.split()): " ".join(chinese.split()) for english, chinese in told.items()}
    vocabulary = load_vocabulary()
    named = dict[str, str]()
    for attribute in ("plane", "side", "region", "enhancement", "margin", "conspicuity", "sequence"):
        for value, phrases in getattr(vocabulary, attribute).items():
            named[str(value)] = next((phrase for phrase in phrases if not phrase.isascii()), str(value))
    for pathology in load_pathologies().values():
        named[pathology.name] = pathology.name_zh
        if pathology.zh:
            named[pathology.drawn_note] = pathology.zh.drawn_note
    return {word[:1].upper() + word[1:]: chinese for word, chinese in named.items() if chinese} | named | known


@lru_cache(maxsize=1)
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    """Entries with gaps, those that say most first."""
    found = []
    for english, chinese in entries().items():
        gaps = list(_GAP.finditer(english))
        if not gaps:
            continue
        parts = [re.escape(part) for part in re.split(r"\{\w+(?::[d*])?\}", english)]
        regex = parts[0]
        for gap, part in zip(gaps, parts[1:], strict=True):
            regex += f"(?P<{gap[1]}>{_GAPS[gap[2]]}){part}"
        found.append((sum(map(len, parts)), re.compile(regex, re.S), chinese))
    return [(pattern, chinese) for _, pattern, chinese in sorted(found, key=lambda entry: -entry[0])]


def in_chinese(words: str) -> str:
    """Words in Chinese: by the entry of the whole, else line by line, else sentence by sentence; where there is none as they are."""
    plain = " ".join(words.split())
    if not _LETTERS.search(plain):
        return words
    if whole := _known(plain):
        return _around(words, whole)
    if "\n" in words.strip():
        return "\n".join(map(in_chinese, words.split("\n")))
    if listed := _listed(plain):
        return _around(words, listed)
    return _around(words, _by_sentences(_SENTENCE.split(plain)))


def _listed(plain: str) -> str | None:
    """A list in which each part is known, with its count where it has one: "glioma 3, meningioma 2"."""
    parts = [re.fullmatch(r"(.+?)( \d+)?", part) for part in re.split(r"[,;] ", plain)]
    told = [(_known(part[1]), part[2] or "") for part in parts if part]
    if len(told) < 2 or not all(said for said, _ in told):
        return None
    return "、".join(f"{said}{count}" for said, count in told)


def _by_sentences(sentences: list[str]) -> str:
    """Sentences in a row, the longest known rows of them first."""
    told, place = "", 0
    while place < len(sentences):
        ends = range(len(sentences), place, -1)
        rows = ((end, _known(" ".join(sentences[place:end]))) for end in ends)
        end, said = next(((end, said) for end, said in rows if said), (place + 1, sentences[place]))
        told += (" " if told and told[-1] not in "。！？" else "") + said
        place = end
    return told


@lru_cache(maxsize=4096)
def _known(plain: str) -> str | None:
    if (said := entries().get(plain)) is not None:
        return said
    for pattern, chinese in _patterns():
        if match := pattern.fullmatch(plain):
            return chinese.format(**{name: _known(value) or value for name, value in match.groupdict().items()})
    return None


def _around(words: str, told: str) -> str:
    """The same space before and after."""
    before, after = words[: len(words) - len(words.lstrip())], words[len(words.rstrip()) :]
    return before + told + ("" if told.endswith(("：", "。")) and after == " " else after)


# ---------------------------------------------------------------- pages to pages


def html_in_chinese(page: str) -> str:
    """HTML with its text and the words of its attributes in Chinese."""
    out: list[str] = []
    unit: list[str] = []  # text and inline tags between two block tags
    kept = 0  # depth inside an element that must stay as it is
    for token in _TAG.split(page):
        if not token:
            continue
        if kept or not _TAG.fullmatch(token):
            kept += _opens(token) if kept else 0
            (out if kept else unit).append(token)
            continue
        if 'translate="no"' in token or token.startswith(("<style", "<script")):
            out += [*_unit(unit), token]
            unit, kept = [], 1
        elif _INLINE.match(token):
            unit.append(_attributes(token))
        else:
            out += [*_unit(unit), _attributes(token)]
            unit = []
    return "".join([*out, *_unit(unit)])


def markdown_in_chinese(text: str) -> str:
    """Markdown in Chinese, by paragraphs, items of lists and headings (`##`)."""

    def told(part: str) -> str:
        sign = next((sign for sign in ("## ", "- ") if part.startswith(sign)), "")
        return sign + in_chinese(part[len(sign) :])

    return "".join(map(told, _PARAGRAPH.split(text)))


def _opens(token: str) -> int:
    """1 for a tag that opens an element, -1 for one that closes it, 0 for text and for tags of empty elements."""
    if not token.startswith("<") or token.endswith("/>") or re.match(r"<(?:br|img|input|hr)\b", token):
        return 0
    return -1 if token.startswith("</") else 1


def _unit(tokens: list[str]) -> Iterator[str]:
    """Text with inline tags: by the entry of the whole, or of what stands in its outermost tag, else each piece of text by itself."""
    whole = "".join(tokens)
    if any(map(_TAG.fullmatch, tokens)):
        if said := _known(" ".join(whole.split())):
            yield _around(whole, said)
            return
        if len(tokens) > 2 and _TAG.fullmatch(tokens[0]) and tokens[-1].startswith("</"):
            yield from (tokens[0], *_unit(tokens[1:-1]), tokens[-1])
            return
    for token in tokens:
        yield token if _TAG.fullmatch(token) else html.escape(in_chinese(html.unescape(token)), quote=False)


def _attributes(tag: str) -> str:
    def told(match: re.Match[str]) -> str:
        return f'{match[1]}="{html.escape(in_chinese(html.unescape(match[2])))}"'

    return _ATTRIBUTE.sub(told, tag)


def exchange(template: str) -> str:
    """A script for the element of an HTML template that gradio hands out as it is: in a Chinese browser it exchanges the words."""
    found = {
        word for word in (piece.strip() for piece in _TAG.split(template)) if _LETTERS.search(word) and word[0] != "<"
    }
    found |= {match[2] for match in _ATTRIBUTE.finditer(template)}
    return f"""
if (navigator.language === '{CHINESE}') {{
  const words = {json.dumps({word: in_chinese(word) for word in sorted(found)}, ensure_ascii=False)};
  const texts = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {{
    const said = words[texts.currentNode.data.trim()];
    if (said) texts.currentNode.data = texts.currentNode.data.replace(texts.currentNode.data.trim(), said);
  }}
  element.querySelectorAll('[aria-label]').forEach(one => one.setAttribute('aria-label', words[one.getAttribute('aria-label')] ?? one.getAttribute('aria-label')));
}}
"""


# ---------------------------------------------------------------- gradio's page


class Page(gr.Blocks):
    """Blocks whose answers go out in the language that the browser asks for."""

    async def process_api(self, block_fn: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """As gradio's; what is shown of the answer is put into the visitor's language."""
        headers = getattr(kwargs.get("request"), "headers", None)
        language = of_browser(headers.get("accept-language") if headers else None)
        token = _VISITOR.set(language)
        try:
            result = await super().process_api(block_fn, *args, **kwargs)
        finally:
            _VISITOR.reset(token)
        if language == "zh" and isinstance(result.get("data"), list):
            outputs = (self.fns[block_fn] if isinstance(block_fn, int) else block_fn).outputs
            result["data"] = [
                answer_in_chinese(block, data) for block, data in zip(outputs, result["data"], strict=False)
            ]
        return result


def answer_in_chinese(block: Any, data: Any) -> Any:
    """What a component is told, in Chinese: a new value, or an update of its properties."""
    if not (isinstance(data, dict) and data.get("__type__") == "update"):
        return _value_in_chinese(block, data)
    told = dict(data)
    for name in WORDS:
        if isinstance(told.get(name), str):
            told[name] = in_chinese(told[name])
    if isinstance(told.get("choices"), (list, tuple)):
        told["choices"] = [(in_chinese(str(name)), value) for name, value in map(_pair, told["choices"])]
    if "value" in told:
        told["value"] = _value_in_chinese(block, told["value"])
    return told


def _value_in_chinese(block: Any, value: Any) -> Any:
    if isinstance(value, str) and isinstance(block, WRITTEN):
        if isinstance(block, gr.Markdown):
            return markdown_in_chinese(value)
        return html_in_chinese(value) if isinstance(block, gr.HTML) else in_chinese(value)
    if isinstance(block, gr.Gallery) and isinstance(value, list):
        return [{**one, "caption": in_chinese(one["caption"])} if one.get("caption") else one for one in value]
    if isinstance(block, gr.Dataframe) and isinstance(value, dict):
        cells = [[in_chinese(cell) if isinstance(cell, str) else cell for cell in row] for row in value.get("data", [])]
        return {**value, "headers": [in_chinese(name) for name in value.get("headers", [])], "data": cells}
    return value


def _pair(choice: Any) -> tuple[Any, Any]:
    return (choice[0], choice[1]) if isinstance(choice, (list, tuple)) else (choice, choice)


def translated(page: gr.Blocks) -> gr.I18n:
    """Hands the browser the page's words in both languages: marks each that has an entry, and returns the translations to launch with."""
    english: dict[str, str] = {}
    chinese: dict[str, str] = {}

    def marked(words: str, told: str) -> Any:
        if words == told or "}" in words:  # gradio looks for the key's end at the first brace
            return words
        english[words], chinese[words] = words, told
        return mark(words)

    mark = gr.I18n()
    blocks: list[Any] = list(page.blocks.values())

    for block in blocks:
        for name in WORDS:
            if isinstance(words := getattr(block, name, None), str):
                setattr(block, name, marked(words, in_chinese(words)))
        if isinstance(getattr(block, "choices", None), list):
            block.choices = [
                (marked(str(name), in_chinese(str(name))), value) for name, value in map(_pair, block.choices)
            ]
        if isinstance(block, WRITTEN) and isinstance(words := getattr(block, "value", None), str):
            setattr(block, "value", marked(words, _value_in_chinese(block, words)))  # noqa: B010
    return gr.I18n(en=english, **{CHINESE: chinese})
