"""A sentence to findings and back.

Rules, not a network: what a teacher asked must be shown back word for word, and what was not understood must be named.
The longest known phrase wins; hyphens, case, commas and order do not matter.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from functools import lru_cache

from meddiff.case import (
    Clinical,
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
from meddiff.conditions.vocabulary import Pathology, load_pathologies, load_vocabulary

EXAMPLE = "Axial T1 post-contrast, ring-enhancing left frontal mass, 30 mm, irregular margin"
_FIELDS = {"side": Side, "region": Region, "enhancement": Enhancement, "margin": Margin, "conspicuity": Conspicuity}

_NUMBER = r"(\d+(?:\.\d+)?)"
_SIZE = re.compile(
    rf"{_NUMBER}(?:\s*(?:x|×|by|-|–|to)\s*{_NUMBER})?(?:\s*(?:x|×|by)\s*{_NUMBER})?[\s-]*"
    r"(mm|cm|millimet(?:er|re)s?|centimet(?:er|re)s?|毫米|厘米)"
)
_AGE = re.compile(r"(\d{1,3})\s*[- ]?\s*(?:year|yr)s?\s*[- ]?\s*(?:old)?\b")
_SEX = re.compile(r"\b(woman|female|girl|lady|man|male|boy|gentleman)\b")
_WOMEN = {"woman", "female", "girl", "lady"}


@dataclass(frozen=True)
class _Word:
    """What a phrase means: an attribute and its value."""

    attribute: str
    value: str


def _tokens(text: str) -> list[str]:
    """Lower-case words; Chinese characters stand for themselves."""
    return re.findall(r"[a-zà-ÿ0-9+]+|[\u4e00-\u9fff]", text.lower().replace("-", " "))


@lru_cache(maxsize=1)
def _phrases() -> dict[tuple[str, ...], _Word]:
    vocabulary = load_vocabulary()
    table: dict[tuple[str, ...], _Word] = {}

    def add(attribute: str, value: str, words: tuple[str, ...]) -> None:
        for word in words:
            table.setdefault(tuple(_tokens(word)), _Word(attribute, value))

    for key, pathology in load_pathologies().items():
        add(
            "pathology", key, (pathology.name, *pathology.synonyms, *([pathology.name_zh] if pathology.name_zh else []))
        )
    for attribute in ("plane", *_FIELDS, "sequence", "modality", "anatomy", "not_drawn"):
        for value, words in getattr(vocabulary, attribute).items():
            add(attribute, value, words)
    add("lesion", "", vocabulary.lesion)
    add("absence", "", vocabulary.absence)
    add("filler", "", vocabulary.filler)
    return table


@lru_cache(maxsize=1)
def _longest() -> int:
    return max(len(phrase) for phrase in _phrases())


def _meanings(tokens: list[str]) -> tuple[list[_Word], list[str]]:
    """Known phrases in order, longest first at each place, and the words nobody knows."""
    table, found, strange = _phrases(), [], []
    place = 0
    while place < len(tokens):
        for length in range(min(_longest(), len(tokens) - place), 0, -1):
            word = table.get(tuple(tokens[place : place + length]))
            if word:
                found.append(word)
                place += length
                break
        else:
            if tokens[place] in ("no", "without", "not"):
                found.append(_Word("negation", tokens[place]))
            else:
                strange.append(tokens[place])
            place += 1
    return found, strange


def _sizes(text: str) -> tuple[list[float], str]:
    """Longest diameters in mm named in a text, and the text without them."""
    sizes = []

    def take(match: re.Match[str]) -> str:
        numbers = [float(n) for n in match.groups()[:3] if n]
        is_range = bool(re.search(r"\d\s*(?:-|–|to)\s*\d", match.group(0)))
        length = sum(numbers) / len(numbers) if is_range else max(numbers)
        sizes.append(round(length * (10 if match.group(4)[0] in "c厘" else 1), 3))
        return " "

    return sizes, _SIZE.sub(take, text)


def read_clinical(sentence: str) -> Clinical:
    """Age and sex named in a sentence ("45-year-old woman"); unknown where none is."""
    text = sentence.lower()
    age, sex = _AGE.search(text), _SEX.search(text)
    return Clinical(
        age_years=min(float(age.group(1)), 120.0) if age else None,
        sex=Sex.UNKNOWN if not sex else Sex.FEMALE if sex.group(1) in _WOMEN else Sex.MALE,
    )


def read_sentence(sentence: str) -> Findings:
    """What a sentence says.

    Raises:
        MedDiffError: for an empty sentence, words nobody knows, or words that contradict each other; the message names them.
    """
    if not sentence.strip():
        raise MedDiffError(f'The sentence is empty. Describe one lesion, for example: "{EXAMPLE}".')
    text = _SEX.sub(" ", _AGE.sub(" ", sentence.lower()))
    sizes, text = _sizes(text)
    words, strange = _meanings(_tokens(text))
    if strange:
        listed = ", ".join(f'"{word}"' for word in dict.fromkeys(strange))
        raise MedDiffError(f'Not understood: {listed}. Use plain radiological English, for example: "{EXAMPLE}".')

    values: dict[str, list[str]] = {}
    negated = False
    absent = False
    for word in words:
        if word.attribute == "negation":
            negated = True
            continue
        if (word.attribute in ("lesion", "pathology") and negated) or word.attribute == "absence":
            absent = True
        elif word.attribute == "filler":
            continue
        elif not negated:
            values.setdefault(word.attribute, [])
            if word.value not in values[word.attribute]:
                values[word.attribute].append(word.value)
        negated = False

    if "not_drawn" in values:
        raise MedDiffError(
            f"MedDiff does not draw {' or '.join(values['not_drawn'])}: it draws one focal lesion a case. "
            f'For example: "{EXAMPLE}".'
        )
    for attribute in (
        "plane",
        "side",
        "region",
        "enhancement",
        "margin",
        "conspicuity",
        "pathology",
        "sequence",
        "modality",
    ):
        if len(values.get(attribute, [])) > 1:
            both = " and ".join(f'"{_spoken(v)}"' for v in values[attribute])
            raise MedDiffError(f"The sentence says {both} of one lesion's {attribute}: keep one of them.")
    if len(set(sizes)) > 1:
        raise MedDiffError(f"The sentence names {len(set(sizes))} sizes: keep the longest diameter of one lesion.")
    if sizes and not 0 < sizes[0] <= 200:
        raise MedDiffError(f"A lesion of {sizes[0]:g} mm does not fit: give a longest diameter between 1 and 120 mm.")

    def one(attribute: str) -> str | None:
        return values.get(attribute, [None])[0]

    described = any(values.get(a) for a in (*_FIELDS, "pathology", "lesion")) or sizes
    if absent and (values.get("pathology") or values.get("lesion") or sizes):
        raise MedDiffError("The sentence says both that there is a lesion and that there is none: keep one of them.")
    if not absent and not described and not any(values.get(a) for a in ("plane", "sequence", "modality", "anatomy")):
        raise MedDiffError(f'The sentence describes no finding. For example: "{EXAMPLE}".')
    other_anatomy = [a for a in values.get("anatomy", []) if a != "brain"]
    finding = None
    if not absent:
        finding = Finding(
            pathology=one("pathology"),
            size_mm=sizes[0] if sizes else None,
            **{name: kind(one(name) or "unknown") for name, kind in _FIELDS.items()},  # type: ignore[arg-type]
        )
    plane = one("plane")
    return Findings(
        modality=one("modality") or "MR",
        anatomy=other_anatomy[0] if other_anatomy else "brain",
        sequence=one("sequence") or "T1 post-contrast",
        plane=Plane(plane) if plane else None,
        finding=finding,
    )


def check_drawable(
    findings: Findings, pack: str, modality: str, anatomy: str, sequence: str, planes: tuple[Plane, ...]
) -> None:
    """Raises MedDiffError, saying what the pack knows, when findings ask for another modality, anatomy, sequence or plane."""
    knows = f"This pack ({pack}) knows {modality} {anatomy} {sequence}"
    for asked, known in ((findings.modality, modality), (findings.anatomy, anatomy), (findings.sequence, sequence)):
        if asked != known:
            raise MedDiffError(f"{knows}, not {asked}: change the sentence, or choose a pack that knows {asked}.")
    if findings.plane and findings.plane not in planes:
        raise MedDiffError(f"{knows} in {', '.join(p.value for p in planes)} planes, not {findings.plane.value}.")


def _spoken(value: str) -> str:
    """A pathology's name for its key; any other value as it is."""
    pathology = load_pathologies().get(value)
    return pathology.name if pathology else value


def _say(findings: Findings, rng: random.Random | None) -> str:
    """The sentence: canonical without a generator, in varied words and order with one."""
    vocabulary = load_vocabulary()

    def word(attribute: str, value: str) -> str:
        words = [w for w in getattr(vocabulary, attribute)[value] if w.isascii()]
        return rng.choice(words) if rng else words[0]

    opening = []
    if findings.plane:
        opening.append(word("plane", findings.plane.value))
    opening.append(word("sequence", findings.sequence) if rng else findings.sequence)
    if findings.modality != "MR":
        opening.append(word("modality", findings.modality))
    if findings.anatomy != "brain":
        opening.append(word("anatomy", findings.anatomy))
    elif rng and rng.random() < 0.2:
        opening.append("MR brain")
    if rng and findings.plane and rng.random() < 0.3:
        opening = opening[1:] + opening[:1]
    finding = findings.finding
    if finding is None:
        absent = [w for w in vocabulary.absence if w.isascii()]
        return _sentence([" ".join(opening), rng.choice(absent) if rng else absent[0]], rng)

    said = {
        name: word(name, getattr(finding, name).value) for name in _FIELDS if getattr(finding, name).value != "unknown"
    }
    noun = _noun(finding, rng)
    before = [said[name] for name in ("side", "region") if name in said]
    after = []
    for name in ("enhancement", "margin", "conspicuity"):
        if name not in said:
            continue
        phrase = said[name]
        if rng is None:
            if name == "enhancement":
                before.insert(0, phrase)
            else:
                after.append(phrase)
        elif name != "margin" and rng.random() < 0.5:
            before.insert(0, phrase)
        else:
            after.append(("with " if rng.random() < 0.4 else "") + phrase)
    if finding.size_mm is not None:
        after.insert(0, _length(finding.size_mm, rng))
    if rng:
        rng.shuffle(after)
        if len(before) > 1 and rng.random() < 0.2:
            return _sentence([" ".join(opening), f"{noun} in the {' '.join(before)}", *after], rng)
    return _sentence([" ".join(opening), " ".join([*before, noun]), *after], rng)


def _noun(finding: Finding, rng: random.Random | None) -> str:
    if finding.pathology is None:
        nouns: list[str] = [w for w in load_vocabulary().lesion if w.isascii()]
    else:
        pathology = load_pathologies()[finding.pathology]
        nouns = [pathology.name, *(s for s in pathology.synonyms if s.isascii())]
    return rng.choice(nouns) if rng else nouns[0]


def _length(size_mm: float, rng: random.Random | None) -> str:
    if rng is None:
        return f"{size_mm:g} mm"
    about = rng.choice(["", "", "about ", "measuring ", "approximately "])
    return f"{about}{size_mm / 10:g} cm" if rng.random() < 0.3 else f"{about}{size_mm:g}{rng.choice([' ', '', '-'])}mm"


def _sentence(parts: list[str], rng: random.Random | None) -> str:
    if rng and rng.random() < 0.25:
        parts = parts[1:] + parts[:1]
    sentence = (", " if rng is None or rng.random() < 0.8 else " ").join(part for part in parts if part)
    return sentence[:1].upper() + sentence[1:]


def write_sentence(findings: Findings) -> str:
    """The canonical sentence: `read_sentence` gives the same findings back."""
    return _say(findings, None)


def paraphrase(findings: Findings, seed: int) -> str:
    """The same meaning in other words and another order; nothing left out."""
    return _say(findings, random.Random(seed))


def fill_from_pathology(findings: Findings, seed: int) -> Findings:
    """Draws what the sentence leaves open (place, side, size, margin, enhancement) as the pathology usually has it.

    Without a pathology only side and size are drawn. The same seed fills the same.
    """
    finding = findings.finding
    if finding is None:
        return findings
    rng = random.Random(seed)
    pathology: Pathology | None = load_pathologies().get(finding.pathology or "")
    filled: dict[str, object] = {}

    def draw(name: str, weights: dict) -> None:  # type: ignore[type-arg]
        choice = rng.choices(list(weights), list(weights.values()))[
            0
        ]  # drawn always, so that one open field does not move the next
        if getattr(finding, name).value == "unknown":
            filled[name] = choice

    if pathology:
        draw("region", pathology.regions)
        draw("margin", pathology.margin)
        draw("enhancement", pathology.enhancement)
        side = rng.choice(pathology.sides)
        low, typical, high = pathology.size_mm.min, pathology.size_mm.typical, pathology.size_mm.max
        size = rng.triangular(low, high, typical)
    else:
        side, size = rng.choice(["left", "right"]), rng.triangular(12, 60, 30)
    if finding.side is Side.UNKNOWN and findings.plane is not Plane.SAGITTAL:
        region = filled.get("region", finding.region)
        filled["side"] = Side.MIDLINE if region is Region.SELLAR else Side(side)
    if finding.size_mm is None:
        filled["size_mm"] = float(round(size))
    return findings.model_copy(update={"finding": finding.model_copy(update=filled)})


def presets() -> list[tuple[str, str, str]]:
    """(title, sentence, pathology key) of each pathology at its typical look, for filling a form."""
    rows = []
    for key, pathology in load_pathologies().items():
        region = max(pathology.regions, key=lambda r: pathology.regions[r])
        side = Side.MIDLINE if region is Region.SELLAR or pathology.sides[0] == "midline" else Side(pathology.sides[0])
        findings = Findings(
            plane=Plane.CORONAL if region is Region.SELLAR else Plane.AXIAL,
            finding=Finding(
                pathology=key,
                side=side,
                region=region,
                enhancement=max(pathology.enhancement, key=lambda e: pathology.enhancement[e]),
                margin=max(pathology.margin, key=lambda m: pathology.margin[m]),
                size_mm=pathology.size_mm.typical,
            ),
        )
        rows.append((pathology.name, write_sentence(findings), key))
    return rows
