"""A sentence to findings and back, in English, in Chinese and in a mixture of both.

Rules, not a network: what a teacher asked must be shown back word for word, and what was not understood must be named.
The longest known phrase wins; hyphens, case, commas and order do not matter (a comma ends a "no", nothing else).
"""

from __future__ import annotations

import random
import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

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

Language = Literal["en", "zh"]
EXAMPLE = "Axial T1 post-contrast, ring-enhancing left frontal mass, 30 mm, irregular margin"
EXAMPLES: dict[Language, str] = {"en": EXAMPLE, "zh": "轴位T1增强，左侧额叶环形强化肿块，30 mm，边缘不规则"}
_FIELDS = {"side": Side, "region": Region, "enhancement": Enhancement, "margin": Margin, "conspicuity": Conspicuity}

_NUMBER = r"(?:\d+(?:\.\d+|,\d{1,2})?|\.\d+)"
_AGE = re.compile(
    r"(?<![a-z0-9.])(?:(\d{1,3}(?:\.\d)?)[\s-]*"
    r"(?:years?|yrs?|y/?o|岁)(?![a-z])(?:[\s-]*(?:old|of age))?(?!\s*(?:after|later|ago))(?:\s*[fm](?![a-z]))?"
    r"|(\d{1,3})[\s-]*(?:months?[\s-]*(?:old|of age)|个月(?!后|前|来)大?|月龄)"
    r"|aged?\s*:?\s*(\d{1,3})(?!\s*[a-z\d])"
    r"|(\d{1,3})[fm](?![a-z]))"
)
_SEX = re.compile(r"\b(?:woman|female|girl|lady|man|male|boy|gentleman)\b|[女男](?:性|孩|童|婴|士|子)?")
_SEX_LETTER = re.compile(r"(?<=[\ds o])([fm])$")  # "45F", "45 y/o M"
_WOMEN = ("woman", "female", "girl", "lady", "女")
_PARTING = re.compile(r"[,;:()。，；、]|\.(?!\d)|\b(?:but|with|and)\b|但|而|(?<![不未])伴")  # where a "no" ends
_NOUNS = ("margin", "margins", "border", "enhancement", "conspicuity")  # may follow "with"
_ONE_VALUE = ("plane", *_FIELDS, "pathology", "sequence", "modality", "anatomy")


@dataclass(frozen=True)
class _Word:
    """What a phrase means: an attribute and its value; `text` is the phrase, `clause` the part of the sentence it ends in."""

    attribute: str
    value: str
    text: str = ""
    clause: int = 0


def _plain(sentence: str) -> str:
    """Lower case, one kind of digit, space and dash."""
    return re.sub("[\u2010-\u2015\u2212]", "-", unicodedata.normalize("NFKC", sentence)).lower()


def _tokens(text: str) -> list[str]:
    """Words of any script; Chinese characters, pictures and the signs that would change a size stand for themselves."""
    return re.findall(
        r"[\u4e00-\u9fff]|[<>≤≥]|[a-z0-9+]+|[^\W_a-z0-9\u4e00-\u9fff]+|[\u2600-\u27bf\U0001f000-\U0001faff]", text
    )


@lru_cache(maxsize=1)
def _phrases() -> dict[tuple[str, ...], _Word]:
    """Every known phrase and what it means.

    Raises:
        MedDiffError: when one phrase has two meanings in prompts/.
    """
    vocabulary = load_vocabulary()
    table: dict[tuple[str, ...], _Word] = {}

    def add(attribute: str, value: str, phrases: tuple[str, ...]) -> None:
        for phrase in phrases:
            meaning = _Word(attribute, value)
            other = table.setdefault(tuple(_tokens(_plain(phrase))), meaning)
            if other != meaning:
                raise MedDiffError(
                    f'prompts: "{phrase}" means {other.attribute} {other.value} and {attribute} {value}: keep one of them.'
                )

    for key, pathology in load_pathologies().items():
        add("pathology", key, pathology.names)
    for attribute in ("plane", *_FIELDS, "sequence", "modality", "anatomy", "not_drawn"):
        for value, phrases in getattr(vocabulary, attribute).items():
            add(attribute, value, phrases)
    for attribute in ("lesion", "negation", "absence", "vague_size", "filler"):
        add(attribute, "", getattr(vocabulary, attribute))
    add("filler", "", vocabulary.size_phrase)
    return table


@lru_cache(maxsize=1)
def _longest() -> int:
    return max(len(phrase) for phrase in _phrases())


def _meanings(text: str) -> tuple[list[_Word], list[str]]:
    """Known phrases in order, longest first at each place, and the words nobody knows."""
    tokens: list[str] = []
    clauses: list[int] = []
    for clause, part in enumerate(_PARTING.split(text)):
        new = _tokens(part)
        tokens += new
        clauses += [clause] * len(new)
    table, longest = _phrases(), _longest()
    found: list[_Word] = []
    strange: list[str] = []
    place = strange_until = 0
    while place < len(tokens):
        for length in range(min(longest, len(tokens) - place), 0, -1):
            phrase = tuple(tokens[place : place + length])
            if word := table.get(phrase):
                found.append(_Word(word.attribute, word.value, _together(phrase), clauses[place + length - 1]))
                place += length
                break
        else:
            # Chinese is written without spaces: characters in a row that nobody knows are one word.
            if place and strange_until == place and clauses[place] == clauses[place - 1] and _is_chinese(tokens[place]):
                strange[-1] += tokens[place]
            else:
                strange.append(tokens[place])
            place += 1
            strange_until = place if _is_chinese(tokens[place - 1]) else 0
    return found, strange


def _is_chinese(token: str) -> bool:
    return "\u4e00" <= token <= "\u9fff"


def _together(tokens: tuple[str, ...]) -> str:
    """Words with spaces between them, Chinese characters without."""
    return re.sub(r"(?<=[\u4e00-\u9fff]) | (?=[\u4e00-\u9fff])", "", " ".join(tokens))


def _affirmed(words: list[_Word]) -> tuple[list[_Word], bool, list[str]]:
    """Takes the negations out of what a sentence says.

    A "no" reaches to the end of its clause or to the lesion it denies; a list of what is not drawn ("no bleeding, infarct
    or fracture") is negated whole.

    Returns:
        the words that are affirmed; whether a lesion is denied; attributes that are denied while the lesion is not, as
        typed ("no ring enhancement").
    """
    said: list[_Word] = []
    denied: list[str] = []
    held: list[_Word] = []  # what the open negation has reached so far
    negation: _Word | None = None
    absent = listing = False
    for word in [*words, _Word("end", "", clause=-1)]:
        if negation and word.clause != negation.clause:
            denied += [_together((negation.text, one.text)) for one in held if one.attribute in _ONE_VALUE]
            negation, held = None, []
        if word.attribute == "negation":
            negation, listing = word, False
        elif negation and word.attribute in ("lesion", "pathology"):
            absent, negation, held = True, None, []
        elif (negation or listing) and word.attribute == "not_drawn":
            listing = True
        elif negation:
            held.append(word)
        else:
            listing = listing and word.attribute == "filler"
            absent = absent or word.attribute == "absence"
            said.append(word)
    return said, absent, denied


@lru_cache(maxsize=1)
def _size_patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """A size of one to three numbers; and one number of it with its own unit."""
    names = sorted((name for group in load_vocabulary().unit.values() for name in group), key=len, reverse=True)
    unit = rf"(?:{'|'.join(map(re.escape, names))})(?![a-wy-z])"
    one = rf"{_NUMBER}(?:[\s-]*{unit})?"
    more = rf"(?:\s*(?:x|×|\*|by|to|-|~|至|到|乘)\s*{one}){{0,2}}"
    return re.compile(rf"(?<![a-z0-9.])(?<!\d,){one}{more}"), re.compile(rf"({_NUMBER})(?:[\s-]*({unit}))?")


def _sizes(text: str) -> tuple[list[float], str]:
    """Longest diameters in mm named in a text (of a range: the mean), and the text without them."""
    whole, part = _size_patterns()
    factor = {name: 10.0 if key == "cm" else 1.0 for key, names in load_vocabulary().unit.items() for name in names}
    sizes: list[float] = []

    def take(match: re.Match[str]) -> str:
        pairs = part.findall(match.group(0))
        unit = pairs[-1][1]
        if not unit:
            return match.group(0)
        lengths = [float(number.replace(",", ".")) * factor[own or unit] for number, own in pairs]
        is_range = re.search(r"(?:to|-|~|至|到)\s*[\d.]", match.group(0)) is not None
        sizes.append(round(sum(lengths) / len(lengths) if is_range else max(lengths), 3))
        return " "

    return sizes, whole.sub(take, text)


def read_clinical(sentence: str) -> Clinical:
    """Age and sex named in a sentence ("45-year-old woman", "45F", "aged 45", "6-month-old boy"); unknown where none is.

    Raises:
        MedDiffError: for an age above 120 years, two ages or both sexes.
    """
    text = _plain(sentence)
    ages, sexes = set(), set()
    for match in _AGE.finditer(text):
        years, months, aged, letter = match.groups()
        ages.add(float(months) / 12 if months else float(years or aged or letter))
        if sex := _SEX_LETTER.search(match.group(0)):
            sexes.add(Sex.FEMALE if sex.group(1) == "f" else Sex.MALE)
    sexes |= {Sex.FEMALE if word.startswith(_WOMEN) else Sex.MALE for word in _SEX.findall(text)}
    if len(ages) > 1 or len(sexes) > 1:
        raise MedDiffError(f"The sentence names two {'ages' if len(ages) > 1 else 'sexes'}: describe one patient.")
    if ages and max(ages) > 120:
        raise MedDiffError(f"An age of {max(ages):g} years is not possible here: give 0 to 120 years.")
    return Clinical(age_years=round(ages.pop(), 3) if ages else None, sex=sexes.pop() if sexes else Sex.UNKNOWN)


def read_sentence(sentence: str) -> Findings:
    """What a sentence says. Sizes come in mm, to a thousandth.

    Raises:
        MedDiffError: for an empty sentence, words nobody knows, things that cannot be asked for, or words that contradict
            each other; the message names them.
    """
    if not sentence.strip():
        raise MedDiffError(f'The sentence is empty. Describe one lesion, for example: "{EXAMPLE}".')
    sizes, text = _sizes(_SEX.sub(" ", _AGE.sub(" ", _plain(sentence))))
    words, strange = _meanings(text)
    if strange:
        raise MedDiffError(_not_understood(strange))
    said, absent, denied = _affirmed(words)
    values: dict[str, list[str]] = {}
    for word in said:
        listed = values.setdefault(word.attribute, [])
        if word.value not in listed:
            listed.append(word.value)
    _refuse_riddles(values, sizes, absent, denied, [word.text for word in said if word.attribute == "vague_size"])

    def one(attribute: str) -> str | None:
        return values.get(attribute, [None])[0]

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
        anatomy=one("anatomy") or "brain",
        sequence=one("sequence") or "T1 post-contrast",
        plane=Plane(plane) if plane else None,
        finding=finding,
    )


def _not_understood(strange: list[str]) -> str:
    """The message for words nobody knows."""
    if all(word.isdecimal() for word in strange):
        number = strange[0]
        return f'The number "{number}" has no unit: write "{number} mm" or "{number} cm" if it is a size.'
    listed = ", ".join(f'"{word}"' for word in list(dict.fromkeys(strange))[:8])
    in_chinese = any(map(_is_chinese, strange))
    use, example = ("Chinese", EXAMPLES["zh"]) if in_chinese else ("English", EXAMPLE)
    return f'Not understood: {listed}. Use plain radiological {use}, for example: "{example}".'


def _refuse_riddles(
    values: dict[str, list[str]], sizes: list[float], absent: bool, denied: list[str], vague: list[str]
) -> None:
    """Raises MedDiffError where a sentence asks for what cannot be drawn, for two things at once, or leaves a riddle."""
    if "not_drawn" in values:
        raise MedDiffError(
            f"MedDiff cannot be asked for {' or '.join(values['not_drawn'])}: it draws one focal lesion a case, by plane, "
            f'side, region, size, enhancement, margin and conspicuity. Leave that out, for example: "{EXAMPLE}".'
        )
    described = [name for name in ("pathology", "lesion", "enhancement", "margin", "conspicuity") if name in values]
    if absent and (described or sizes):
        raise MedDiffError("The sentence says both that there is a lesion and that there is none: keep one of them.")
    if denied:
        raise MedDiffError(f'"{denied[0]}" says what the lesion is not: say what it is, or leave that out.')
    for attribute in _ONE_VALUE:
        if len(values.get(attribute, [])) > 1:
            both = " and ".join(f'"{_spoken(v)}"' for v in values[attribute])
            raise MedDiffError(f"The sentence says {both} of one lesion's {attribute}: keep one of them.")
    if len(set(sizes)) > 1:
        raise MedDiffError(f"The sentence names {len(set(sizes))} sizes: keep the longest diameter of one lesion.")
    if sizes and not 0 < sizes[0] <= 200:
        raise MedDiffError(f"A lesion of {sizes[0]:g} mm does not fit: give a longest diameter between 1 and 200 mm.")
    if vague and not sizes:
        raise MedDiffError(
            f'How large is "{vague[0]}"? Give the longest diameter, for example "30 mm", or leave it out.'
        )
    if not absent and not sizes and not any(values.get(name) for name in (*_ONE_VALUE, "lesion")):
        raise MedDiffError(f'The sentence describes no finding. For example: "{EXAMPLE}".')


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


@lru_cache(maxsize=512)
def _words(attribute: str, value: str, language: Language = "en") -> tuple[str, ...]:
    """The phrases for a value in a language, the canonical one first.

    Raises:
        MedDiffError: when prompts/vocabulary.yaml has none.
    """
    phrases = getattr(load_vocabulary(), attribute)
    phrases = phrases.get(value, ()) if isinstance(phrases, dict) else phrases
    spoken = tuple(phrase for phrase in phrases if phrase.isascii() is (language == "en"))
    if not spoken:
        raise MedDiffError(
            f"No word is known for {attribute} {value!r}: choose one that prompts/vocabulary.yaml lists."
        )
    return spoken


def _pathology(key: str) -> Pathology:
    """A pathology by its key. Raises MedDiffError where there is none."""
    try:
        return load_pathologies()[key]
    except KeyError:
        raise MedDiffError(f"There is no pathology {key!r}: choose one of {', '.join(load_pathologies())}.") from None


@lru_cache(maxsize=512)
def _nouns(pathology: str | None) -> tuple[str, ...]:
    """What a lesion may be called, the canonical name first."""
    if pathology is None:
        return _words("lesion", "")
    known = _pathology(pathology)
    return (known.name, *(synonym for synonym in known.synonyms if synonym.isascii()))


def _say(findings: Findings, rng: random.Random | None) -> str:
    """The sentence: canonical without a generator, in varied words and order with one."""

    def pick(phrases: tuple[str, ...]) -> str:
        return rng.choice(phrases) if rng else phrases[0]

    opening = [pick(_words("plane", findings.plane.value))] if findings.plane else []
    sequence = pick(_words("sequence", findings.sequence))
    opening.append(sequence if rng else findings.sequence)
    if findings.modality != "MR":
        opening.append(pick(_words("modality", findings.modality)))
    if findings.anatomy != "brain":
        opening.append(pick(_words("anatomy", findings.anatomy)))
    elif rng and findings.modality == "MR" and rng.random() < 0.2:
        opening.append("MR brain")
    if rng and findings.plane and rng.random() < 0.3:
        opening = opening[1:] + opening[:1]
    finding = findings.finding
    if finding is None:
        return _sentence([" ".join(opening), pick(_words("absence", ""))], rng)

    said = {name: pick(_words(name, value)) for name in _FIELDS if (value := getattr(finding, name).value) != "unknown"}
    noun = pick(_nouns(finding.pathology))
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
            after.append(("with " if rng.random() < 0.4 and phrase.endswith(_NOUNS) else "") + phrase)
    if finding.size_mm is not None:
        after.insert(0, _length(finding.size_mm, rng))
    if rng:
        rng.shuffle(after)
        if len(before) > 1 and rng.random() < 0.2:
            return _sentence([" ".join(opening), f"{noun} in the {' '.join(before)}", *after], rng)
    return _sentence([" ".join(opening), " ".join([*before, noun]), *after], rng)


def _length(size_mm: float, rng: random.Random | None) -> str:
    """A size in words; `:g` is exact to a thousandth of a mm up to 200 mm."""
    if rng is None:
        return f"{size_mm:g} mm"
    about = rng.choice(["", "", "about ", "measuring ", "approximately "])
    return f"{about}{size_mm / 10:g} cm" if rng.random() < 0.3 else f"{about}{size_mm:g}{rng.choice([' ', '', '-'])}mm"


def _sentence(parts: list[str], rng: random.Random | None) -> str:
    if rng and rng.random() < 0.25:
        parts = parts[1:] + parts[:1]
    sentence = (", " if rng is None or rng.random() < 0.8 else " ").join(part for part in parts if part)
    return sentence[:1].upper() + sentence[1:]


def write_sentence(findings: Findings, language: Language = "en") -> str:
    """The canonical sentence: `read_sentence` gives the same findings back.

    Raises:
        MedDiffError: a value that prompts/ has no word for in that language.
    """
    return _say(findings, None) if language == "en" else _say_in_chinese(findings)


def _say_in_chinese(findings: Findings) -> str:
    """The canonical Chinese sentence, as a report has it: where and how, what, and then its size and border."""

    def word(attribute: str, value: str) -> str:
        return _words(attribute, value, "zh")[0]

    plane = word("plane", findings.plane.value) if findings.plane else ""
    modality = word("modality", findings.modality) if findings.modality != "MR" else ""
    anatomy = word("anatomy", findings.anatomy) if findings.anatomy != "brain" else ""
    opening = f"{plane}{word('sequence', findings.sequence)}{modality}{anatomy}"
    finding = findings.finding
    if finding is None:
        return f"{opening}，{word('absence', '')}"
    said = {name: word(name, value) for name in _FIELDS if (value := getattr(finding, name).value) != "unknown"}
    noun = _pathology(finding.pathology).name_zh if finding.pathology else word("lesion", "")
    lesion = "".join(said.get(name, "") for name in ("side", "region", "enhancement")) + noun
    size = _length(finding.size_mm, None) if finding.size_mm is not None else ""
    return "，".join(filter(None, (opening, lesion, size, said.get("margin"), said.get("conspicuity"))))


def paraphrase(findings: Findings, seed: int) -> str:
    """The same meaning in other words and another order; nothing left out."""
    return _say(findings, random.Random(seed))


def fill_from_pathology(findings: Findings, seed: int) -> Findings:
    """Draws what the sentence leaves open (place, side, size, margin, enhancement) as the pathology usually has it.

    Without a pathology only side and size are drawn; in a sagittal slice the side stays open, because it cannot be seen.
    The same seed fills the same, and what was said does not move what is drawn for the rest.

    Raises:
        MedDiffError: for a pathology that prompts/ does not have.
    """
    finding = findings.finding
    if finding is None:
        return findings
    rng = random.Random(seed)
    pathology = _pathology(finding.pathology) if finding.pathology else None
    filled: dict[str, object] = {}

    def draw(name: str, weights: dict) -> None:  # type: ignore[type-arg]
        # Drawn always, so that one open field does not move the next.
        choice = rng.choices(list(weights), list(weights.values()))[0]
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
        side, size = rng.choice([Side.LEFT, Side.RIGHT]), rng.triangular(12, 60, 30)
    if finding.side is Side.UNKNOWN and findings.plane is not Plane.SAGITTAL:
        region = filled.get("region", finding.region)
        filled["side"] = Side.MIDLINE if region is Region.SELLAR else side
    if finding.size_mm is None:
        filled["size_mm"] = float(round(size))
    return findings.model_copy(update={"finding": finding.model_copy(update=filled)})


def presets(language: Language = "en") -> list[tuple[str, str, str]]:
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
        title = pathology.name if language == "en" else pathology.name_zh
        rows.append((title, write_sentence(findings, language), key))
    return rows
