"""What a typed answer says of the findings, by synonyms: said, denied or missed.

Whole words only, in any script; hyphens, case and plurals do not matter, and of two phrases at one place the longer counts
("low grade glioma" is not "glioma"). A "no" reaches to the end of its clause or to the next word of place ("no oedema on the
left" denies no left), as NegEx has it: Chapman et al., *J Biomed Inform* 34(5), 2001.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from enum import StrEnum

from meddiff.teaching.item import Expected

_PARTING = re.compile(r"[,;:()，。；、]|\.(?!\d)|\b(?:but|with|and)\b|但|伴")
_WORD = re.compile(r"[\u4e00-\u9fff]|[^\W_\u4e00-\u9fff]+")
_NEGATIONS = tuple(tuple(words.split()) for words in (
    "no", "not", "without", "rather than", "instead of", "unlike", "无", "未", "没", "非", "不"))  # fmt: skip
_DENIED_AFTER = (("unlikely",), ("excluded",), ("absent",), ("ruled", "out"), ("less", "likely"), ("除", "外"))
_LINKS = {"is", "are", "was", "were", "can", "be"}  # may stand before "excluded"
_OF_PLACE = {"on", "in", "at"}


class Said(StrEnum):
    """What an answer says of one thing."""

    SAID = "said"
    DENIED = "denied"
    MISSED = "missed"  # neither


def hear(text: str, listened: Sequence[Expected]) -> tuple[Said, ...]:
    """What a text says of each thing that is listened for. What is both said and denied counts as said.

    Where one phrase is a way to say two of them, it counts for the first.
    """
    ways: dict[tuple[str, ...], int] = {}
    for number, one in enumerate(listened):
        for way in one.ways:
            ways.setdefault(tuple(_words(way)), number)
    ways.pop((), None)
    heard = [Said.MISSED] * len(listened)
    for clause in _PARTING.split(_plain(text)):
        for number, denied in _matches(_words(clause), ways):
            if heard[number] is not Said.SAID:
                heard[number] = Said.DENIED if denied else Said.SAID
    return tuple(heard)


def _matches(words: list[str], ways: dict[tuple[str, ...], int]) -> list[tuple[int, bool]]:
    """Numbers of what a clause names, in order, and whether it denies it."""
    longest = max(map(len, ways), default=0)
    found: list[tuple[int, bool]] = []
    denies, place, since = False, 0, 0  # since: first word after the negation
    while place < len(words):
        if length := next((n for n in range(longest, 0, -1) if tuple(words[place : place + n]) in ways), 0):
            number = ways[tuple(words[place : place + length])]
            place += length
            found.append((number, denies or _denied_after(words[place:])))
        elif negation := next((n for n in _NEGATIONS if tuple(words[place : place + len(n)]) == n), None):
            place += len(negation)
            denies, since = True, place
        else:
            denies = denies and (words[place] not in _OF_PLACE or place == since)
            place += 1
    return found


def _denied_after(rest: list[str]) -> bool:
    """Whether the words after a phrase deny it: "abscess is unlikely"."""
    while rest and rest[0] in _LINKS:
        rest = rest[1:]
    return any(tuple(rest[: len(words)]) == words for words in _DENIED_AFTER)


def _plain(text: str) -> str:
    """Lower case, one kind of letter and digit, American spelling."""
    text = unicodedata.normalize("NFKC", text).lower()
    return text.replace("tumour", "tumor").replace("haem", "hem").replace("oedema", "edema")


def _words(text: str) -> list[str]:
    return [_singular(word) for word in _WORD.findall(_plain(text))]


def _singular(word: str) -> str:
    """`abscesses` as `abscess`, `metastases` as `metastasis`, `margins` as `margin`."""
    if word.endswith(("ases", "oses")):
        return word[:-2] + "is"
    if word.endswith("sses"):
        return word[:-2]
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "is", "us")) else word
