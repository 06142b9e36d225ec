"""What an evaluation looks at: real slices to train and to test on, and pictures made for the requests that real ones give.

Made pictures are kept in the evaluation's folder one by one, each whole or not at all, so that a killed run goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from meddiff.case import Findings, Plane, Request
from meddiff.synthesis.finder import LesionFinder
from meddiff.synthesis.neighbours import Neighbours
from meddiff.synthesis.studio import Studio

Progress = Callable[[int, int, str], None]  # done, in all, what


@dataclass(frozen=True)
class Pictures:
    """A set of pictures that each show one lesion.

    Attributes:
        pixels: uint8 [N, 256, 256].
        outlines: bool [N, 256, 256], the lesion.
        types: N of the finder's `TYPES`.
        planes: N planes.
        findings: N, what is said (or was asked) of each.
        spacing_mm: side of a pixel.
        heads: int [N], slices with the same number show one head (of made ones: the slices that they were asked for by), or None: not known.
    """

    pixels: np.ndarray
    outlines: np.ndarray
    types: tuple[str, ...]
    planes: tuple[Plane, ...]
    findings: tuple[Findings, ...]
    spacing_mm: float
    heads: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def unit(self) -> np.ndarray:
        """Pixels as float32 [N, 256, 256] in [0, 1]."""
        return self.pixels.astype(np.float32) / np.float32(255)

    def take(self, index: np.ndarray) -> Pictures:
        """The pictures at these positions (or where a bool [N] is true), in that order."""
        where = np.flatnonzero(index) if np.asarray(index).dtype == bool else np.asarray(index)
        return Pictures(
            self.pixels[where],
            self.outlines[where],
            tuple(self.types[i] for i in where),
            tuple(self.planes[i] for i in where),
            tuple(self.findings[i] for i in where),
            self.spacing_mm,
            None if self.heads is None else self.heads[where],
        )


@dataclass(frozen=True)
class Material:
    """Everything that a part may look at.

    Attributes:
        train, val: real slices; the denoiser and every judge saw `train` alone.
        asked: the real `val` slices whose captions and outlines were asked for, one for each made picture, in its order.
        made: what the pack made of these requests, first seed, nothing redrawn.
        twins: uint8 [N, 256, 256], the same pictures with the lesion taken out.
        requests: N, each alone gives its picture again.
        extra: made from captions and outlines of `train` slices, to train on (`usefulness`).
        studio: to make more.
        finder, neighbours: the pack's check.
        folder: where this evaluation keeps its work; a part may use `folder / <its name>`.
        quick: the short form: everything within 30 minutes on two cores.
        seed: of what a part draws by chance.
    """

    train: Pictures
    val: Pictures
    asked: Pictures
    made: Pictures
    twins: np.ndarray
    requests: tuple[Request, ...]
    extra: Pictures
    studio: Studio
    finder: LesionFinder
    neighbours: Neighbours | None
    folder: Path
    quick: bool = True
    seed: int = 0
