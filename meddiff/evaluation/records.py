"""What the parts of an evaluation give: figures with interval, floor and ceiling; curves; tables of counts; plates of pictures.

One shape for all, so that the table, the model card, the page and the file for machines are each written once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, model_validator

from meddiff.case import MedDiffError, Record

RESULT = "evaluation.json"  # in an evaluation's folder, and in a pack's `evaluation/`
Better = Literal["more", "less", "neither"]


class Figure(Record):
    """One measured number, and what it must be read beside.

    Attributes:
        key: name for machines, in small letters with dots: part first (`fidelity.frechet.finder`), unique in an evaluation.
        name: what was measured, in words a radiologist or a reviewer knows.
        value: None where it could not be measured; `note` then says why.
        low, high: ends of the 95% interval, or None.
        real: the same measured on real images: the floor of a distance, the ceiling of a score. Or None.
        baseline: the same on images that are bad on purpose or on a naive method; `baseline_name` says which. Or None.
        unit: "dB", "mm", "s", "" ...
        count: cases behind it.
        better: which way is better.
        aim: what the pack should reach, as text that `meets` reads (">= 0.85", "<= 0.01"), or "".
        note: one sentence on how to read it, or what biases it; or "".
    """

    key: str = Field(pattern=r"^[a-z0-9_]+(\.[a-z0-9_]+)+$")
    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    real: float | None = None
    baseline: float | None = None
    baseline_name: str = ""
    unit: str = ""
    count: int = 0
    better: Better = "neither"
    aim: str = Field(default="", pattern=r"^((>=|<=|=) -?[0-9.]+)?$")
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the aim is reached; None without an aim or a value."""
        if not self.aim or self.value is None:
            return None
        how, bound = self.aim.split()
        limit = float(bound)
        return {">=": self.value >= limit, "<=": self.value <= limit, "=": self.value == limit}[how]


class Line(Record):
    """One line of a curve: x and y of equal length, the interval of y where it is known."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()


class Curve(Record):
    """A plot: its lines, what its axes say, and points to mark (`marked`: index of a line, index of a point, a word)."""

    key: str
    name: str
    x_name: str
    y_name: str
    lines: tuple[Line, ...]
    marked: tuple[tuple[int, int, str], ...] = ()
    note: str = ""


class Table(Record):
    """How many cases of each kind asked for (rows) were taken for which (columns), of made pictures and of real slices.

    Attributes:
        row_name, column_name: what rows and columns are, in words.
        names: of the kinds, rows and columns alike.
        made, real: counts, a row a kind; `real` empty: not measured.
    """

    key: str
    name: str
    row_name: str
    column_name: str
    names: tuple[str, ...]
    made: tuple[tuple[int, ...], ...]
    real: tuple[tuple[int, ...], ...] = ()
    note: str = ""

    @model_validator(mode="after")
    def _is_square(self) -> Table:
        many = len(self.names)
        for counts in (self.made, self.real):
            if counts and [len(row) for row in counts] != [many] * many:
                raise ValueError(f"the table {self.key} needs {many} rows of {many} counts")
        return self


class Plate(Record):
    """Pictures that show a finding.

    Attributes:
        file: PNG in the evaluation's folder.
        synthetic: whether it holds made pictures alone (sealed); plates with real pictures stay in the folder and are never shipped or shown elsewhere.
    """

    key: str
    caption: str
    file: str
    synthetic: bool


class Part(Record):
    """What one part of the suite found."""

    name: str  # of the module that made it
    title: str
    figures: tuple[Figure, ...]
    curves: tuple[Curve, ...] = ()
    tables: tuple[Table, ...] = ()  # none in evaluations of older code
    plates: tuple[Plate, ...] = ()
    remarks: tuple[str, ...] = ()
    seconds: float = 0.0


class Evaluation(Record):
    """One whole run of the suite on one pack."""

    pack: str
    pack_sha256: str
    precision: str
    form: Literal["quick", "full"]
    command: str  # that prints it
    date: str  # ISO, day only
    machine: str
    versions: dict[str, str]
    counts: dict[str, int]  # real train, real val, made, twins ...
    parts: tuple[Part, ...]

    def figure(self, key: str) -> Figure:
        """The figure of this key. Raises KeyError when there is none."""
        for part in self.parts:
            for figure in part.figures:
                if figure.key == key:
                    return figure
        raise KeyError(key)


def read_evaluation(path: Path) -> Evaluation:
    """An evaluation from its file, or from the folder that holds it.

    Raises:
        MedDiffError: no such file, or a damaged one.
    """
    path = path / RESULT if path.is_dir() else path
    try:
        return Evaluation.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise MedDiffError(
            f"{path} holds no evaluation: run python -m benchmarks.quality (docs/evaluation.md)."
        ) from error
