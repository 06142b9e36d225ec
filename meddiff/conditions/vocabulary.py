"""`prompts/`: the vocabulary and one YAML a pathology, read once and checked field by field."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Annotated, TypeVar

import yaml
from pydantic import Field, ValidationError, model_validator

from meddiff.case import Enhancement, Margin, MedDiffError, Record, Region
from meddiff.settings import settings

T = TypeVar("T", bound=Record)
Share = Annotated[float, Field(ge=0, le=1)]


class Vocabulary(Record):
    """Synonyms by attribute and value; the first of each list is canonical."""

    plane: dict[str, tuple[str, ...]]
    side: dict[str, tuple[str, ...]]
    region: dict[str, tuple[str, ...]]
    enhancement: dict[str, tuple[str, ...]]
    margin: dict[str, tuple[str, ...]]
    conspicuity: dict[str, tuple[str, ...]]
    lesion: tuple[str, ...]
    absence: tuple[str, ...]
    sequence: dict[str, tuple[str, ...]]
    modality: dict[str, tuple[str, ...]]
    anatomy: dict[str, tuple[str, ...]]
    not_drawn: dict[str, tuple[str, ...]]
    filler: tuple[str, ...]


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


class Pathology(Record):
    """A disease with its looks. Weights are shares of cases as textbooks describe them, for drawing; not epidemiology."""

    key: str
    name: str
    name_zh: str = ""
    synonyms: tuple[str, ...] = ()
    rarity: str
    drawn_as: str  # the trained type nearest in look
    drawn_note: str = ""  # what the drawing cannot show of this disease
    looks: dict[str, str]  # sequence -> description; "planes" says which plane shows what best
    size_mm: SizeRange
    regions: dict[Region, Share]
    sides: tuple[str, ...] = ("left", "right")
    margin: dict[Margin, Share]
    enhancement: dict[Enhancement, Share]
    look_alikes: tuple[LookAlike, ...]
    course: str
    teaching_points: tuple[str, ...]
    sources: tuple[str, ...]


def _yaml(path: Path) -> object:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise MedDiffError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error


def _checked(kind: type[T], path: Path) -> T:
    try:
        return kind.model_validate(_yaml(path))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the file"
        raise MedDiffError(f"{path.name}, field {field}: {first['msg']}.") from error


@lru_cache(maxsize=4)
def load_vocabulary(folder: Path | None = None) -> Vocabulary:
    """The vocabulary of a prompts folder (default: the one in the settings)."""
    return _checked(Vocabulary, (folder or settings().prompts) / "vocabulary.yaml")


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
            if other.key not in found:
                raise MedDiffError(f"{key}.yaml, field look_alikes: there is no pathology {other.key!r}.")
    return found
