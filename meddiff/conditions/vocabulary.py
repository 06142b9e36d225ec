"""`prompts/`: the vocabulary and one YAML a pathology, read once and checked field by field."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from meddiff.case import Conspicuity, Enhancement, Findings, Margin, MedDiffError, Plane, Record, Region, Side
from meddiff.conditions.growth import Gompertz, Growth, Logistic
from meddiff.settings import settings

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times faster, where PyYAML was built with it
T = TypeVar("T", bound=Record)
Share = Annotated[float, Field(ge=0, le=1)]
Phrase = Annotated[str, Field(min_length=1)]
Phrases = Annotated[tuple[Phrase, ...], Field(min_length=1)]


class Vocabulary(Record):
    """Synonyms by attribute and value; the first of each list is canonical, in English and in Chinese."""

    plane: dict[Plane, Phrases]
    side: dict[Side, Phrases]
    region: dict[Region, Phrases]
    enhancement: dict[Enhancement, Phrases]
    margin: dict[Margin, Phrases]
    conspicuity: dict[Conspicuity, Phrases]
    lesion: Phrases
    negation: Phrases
    absence: Phrases
    sequence: dict[str, Phrases]
    modality: dict[str, Phrases]
    anatomy: dict[str, Phrases]
    unit: dict[Literal["mm", "cm"], Phrases]
    size_phrase: Phrases
    vague_size: Phrases  # "large": asked back for a number
    not_drawn: dict[str, Phrases]  # known things that cannot be asked for
    filler: Phrases

    @model_validator(mode="after")
    def _whole(self) -> Vocabulary:
        """Every value that findings can have, "unknown" apart, has a word."""
        kinds = {"plane": Plane, "side": Side, "region": Region, "enhancement": Enhancement, "margin": Margin}
        for name, kind in {**kinds, "conspicuity": Conspicuity}.items():
            for value in kind:
                if value != "unknown" and value not in getattr(self, name):
                    raise ValueError(f"{name} has no word for {value.value!r}")
        return self


class SizeRange(Record):
    """Longest diameters in mm."""

    min: Annotated[float, Field(gt=0)]
    typical: Annotated[float, Field(gt=0)]
    max: Annotated[float, Field(le=150)]

    @model_validator(mode="after")
    def _in_order(self) -> SizeRange:
        if not self.min <= self.typical <= self.max:
            raise ValueError(f"sizes out of order: min {self.min}, typical {self.typical}, max {self.max}")
        return self


class LookAlike(Record):
    """A pathology that is taken for this one, and what tells the two apart."""

    key: str
    apart: str


class NextStep(Record):
    """Something that may be done next, and why it is the best or not."""

    text: Annotated[str, Field(min_length=1, max_length=300)]
    best: bool = False
    why: Phrase


class NextSteps(Record):
    """What to do next where this pathology is likely: one best step, and steps that are taken for it."""

    source: Phrase
    steps: Annotated[tuple[NextStep, ...], Field(min_length=3, max_length=6)]

    @model_validator(mode="after")
    def _one_best(self) -> NextSteps:
        if (count := sum(step.best for step in self.steps)) != 1:
            raise ValueError(f"{count} steps are marked best: mark one")
        return self


class ChineseStep(Record):
    """A next step in Chinese."""

    text: Annotated[str, Field(min_length=1, max_length=300)]
    why: Phrase


class Chinese(Record):
    """What is told of a pathology, in Chinese; lists are in the order of the English ones."""

    synonyms: tuple[Phrase, ...] = ()
    drawn_note: str = ""
    looks: dict[str, Phrase]
    apart: dict[str, Phrase]  # by the look-alike's key
    course: Phrase
    next_steps: tuple[ChineseStep, ...] = ()
    teaching_points: Phrases


class Pathology(Record):
    """A disease with its looks. Weights are shares of cases as textbooks describe them, for drawing; not epidemiology."""

    key: str
    name: Phrase
    name_zh: str = ""
    synonyms: tuple[Phrase, ...] = ()
    rarity: Phrase
    covers: tuple[str, ...] = ()  # pathologies that may be called by this name too: neither is wrong for the other
    drawn_as: Literal["meningioma", "glioma", "pituitary_tumor"]  # the trained type nearest in look
    drawn_note: str = ""  # what the drawing cannot show of this disease
    looks: dict[str, Phrase]  # sequence -> description; "planes" says which plane shows what best
    size_mm: SizeRange
    regions: dict[Region, Share]
    sides: Annotated[tuple[Side, ...], Field(min_length=1)] = (Side.LEFT, Side.RIGHT)
    margin: dict[Margin, Share]
    enhancement: dict[Enhancement, Share]
    look_alikes: tuple[LookAlike, ...]
    course: Phrase
    growth: Growth  # the same as numbers: the laws it follows, the first by default, and how fast it can change
    next_steps: NextSteps | None = None
    teaching_points: Phrases
    sources: Phrases
    zh: Chinese | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """All names and synonyms, in both languages."""
        chinese = self.zh.synonyms if self.zh else ()
        return tuple(filter(None, (self.name, *self.synonyms, self.name_zh, *chinese)))

    def told_in(self, language: str) -> Pathology:
        """The same with looks, look-alikes, course, next steps, points and notes in a language; English where it has no other.

        Names stay: `name` is English, `name_zh` Chinese.
        """
        said = self.zh if language == "zh" else None
        if said is None:
            return self
        steps = self.next_steps
        if steps and said.next_steps:
            told = zip(steps.steps, said.next_steps, strict=True)
            steps = steps.model_copy(
                update={"steps": tuple(step.model_copy(update=dict(words)) for step, words in told)}
            )
        alike = tuple(one.model_copy(update={"apart": said.apart[one.key]}) for one in self.look_alikes)
        return self.model_copy(
            update={
                "looks": said.looks,
                "look_alikes": alike,
                "course": said.course,
                "next_steps": steps,
                "teaching_points": said.teaching_points,
                "drawn_note": said.drawn_note,
            }
        )

    @field_validator("regions", "margin", "enhancement")
    @classmethod
    def _shares_of_one(cls, value: dict[str, float]) -> dict[str, float]:
        if abs(sum(value.values()) - 1) > 1e-6:
            raise ValueError(f"the weights add up to {sum(value.values()):g}, not to 1")
        if "unknown" in value:
            raise ValueError("'unknown' cannot be drawn")
        return value

    @model_validator(mode="after")
    def _says_what_it_is_drawn_as(self) -> Pathology:
        if self.drawn_as != self.key and not self.drawn_note:
            raise ValueError(f"drawn_note is missing: say what drawing it as {self.drawn_as} cannot show")
        return self

    @model_validator(mode="after")
    def _chinese_is_whole(self) -> Pathology:
        """What is said in Chinese is said of the same things."""
        if (said := self.zh) is None:
            return self
        steps = self.next_steps.steps if self.next_steps else ()
        pairs: dict[str, tuple[object, object]] = {
            "looks": (set(said.looks), set(self.looks)),
            "apart": (set(said.apart), {one.key for one in self.look_alikes}),
            "next_steps": (len(said.next_steps), len(steps)),
            "teaching_points": (len(said.teaching_points), len(self.teaching_points)),
            "drawn_note": (bool(said.drawn_note), bool(self.drawn_note)),
        }
        for name, (chinese, english) in pairs.items():
            if chinese != english:
                raise ValueError(f"zh.{name} does not say the same things as the English: translate each")
        return self

    @model_validator(mode="after")
    def _grows_beyond_its_sizes(self) -> Pathology:
        for law in (entry.law for entry in self.growth.laws):
            if isinstance(law, Gompertz | Logistic) and law.limit_mm <= self.size_mm.max:
                raise ValueError(f"growth: the law {law.law} must end above size_mm.max, not at {law.limit_mm:g} mm")
        return self


def read_yaml(path: Path) -> object:
    """What a YAML file holds.

    Raises:
        MedDiffError: it cannot be read; names file and line.
    """
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        raise MedDiffError(f"{path}{line} cannot be read: {str(error).splitlines()[0]}") from error


def _checked(kind: type[T], path: Path) -> T:
    try:
        return kind.model_validate(read_yaml(path))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the file"
        raise MedDiffError(f"{path.name}, field {field}: {first['msg']}.") from error


@lru_cache(maxsize=4)
def load_vocabulary(folder: Path | None = None) -> Vocabulary:
    """The vocabulary of a prompts folder (default: the one in the settings).

    Raises:
        MedDiffError: naming file and field.
    """
    return _checked(Vocabulary, (folder or settings().prompts) / "vocabulary.yaml")


def pathology_name(key: str) -> str:
    """The English name of a pathology; the key where there is no such, "normal" for none."""
    known = load_pathologies().get(key)
    return known.name if known else key or "normal"


@lru_cache(maxsize=4)
def load_pathologies(folder: Path | None = None) -> dict[str, Pathology]:
    """All pathologies by key.

    Raises:
        MedDiffError: naming file and field; also when a look-alike is no pathology here.
    """
    folder = (folder or settings().prompts) / "pathologies"
    found = {path.stem: _checked(Pathology, path) for path in sorted(folder.glob("*.yaml"))}
    if not found:
        raise MedDiffError(f"No pathology lies in {folder}: install MedDiff again or set MEDDIFF_PROMPTS.")
    for key, pathology in found.items():
        if pathology.key != key:
            raise MedDiffError(f"{key}.yaml, field key: it must be {key!r}, the file's name.")
        for other in pathology.look_alikes:
            if other.key == key:
                raise MedDiffError(f"{key}.yaml, field look_alikes: {key!r} cannot be its own look-alike.")
            if other.key not in found:
                raise MedDiffError(f"{key}.yaml, field look_alikes: there is no pathology {other.key!r}.")
        for covered in pathology.covers:
            if covered == key or covered not in found:
                raise MedDiffError(f"{key}.yaml, field covers: {covered!r} is not another pathology.")
    return found


def drawn_as(findings: Findings) -> str | None:
    """The trained type that stands for the findings' pathology; None where there is no lesion or no pathology is named."""
    finding = findings.finding
    return load_pathologies()[finding.pathology].drawn_as if finding and finding.pathology else None
