"""Each picture as the independent finder sees it, and what is measured in what it found: shared by all parts that judge case by case.

All is measured in the outline that the finder found, never in the one that was asked: so the same judge makes the same mistakes on
real slices, and its accuracy there is a ceiling that means something.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from meddiff.case import Conspicuity, Enhancement, Margin, Plane, Record, Region, Side
from meddiff.conditions.measure import largest_piece, measure_lesion
from meddiff.evaluation.keep import kept_arrays, kept_json, name_of
from meddiff.evaluation.material import Pictures
from meddiff.synthesis.finder import TYPES, LesionFinder

WORDS = ("side", "region", "enhancement", "margin", "conspicuity")
NEAR = 6  # pixels around an outline in which what is found still counts as the lesion, as `synthesis.check` has it
LEAST_MM2 = 10.0  # of a piece that counts as a lesion of its own


class Seen(Record):
    """What was measured in the largest piece that the finder outlines; diameter 0 and all else unknown where it outlines nothing."""

    diameter_mm: float = 0.0
    side: Side = Side.UNKNOWN
    region: Region = Region.UNKNOWN
    enhancement: Enhancement = Enhancement.UNKNOWN
    margin: Margin = Margin.UNKNOWN
    conspicuity: Conspicuity = Conspicuity.UNKNOWN


@dataclass(frozen=True)
class Judged:
    """Pictures as the finder sees them.

    Attributes:
        masks: bool [N, 256, 256], all that it outlines at its threshold.
        type_probability: [N, 3], in the order of `TYPES`.
        seen: N.
    """

    masks: np.ndarray
    type_probability: np.ndarray
    seen: tuple[Seen, ...]

    @property
    def types(self) -> tuple[str, ...]:
        """The likeliest type of each."""
        return tuple(TYPES[i] for i in self.type_probability.argmax(1))


def judged(pictures: Pictures, finder: LesionFinder, folder: Path) -> Judged:
    """Pictures judged, once: what was found stays in `folder` under a name by the pictures' content."""
    name = name_of(pictures)
    size = pictures.pixels.shape[1:]

    def find() -> dict[str, np.ndarray]:
        found = finder.find(pictures.unit)
        return {"masks": np.packbits(found.mask(), axis=-1), "types": found.type_probability}

    found = kept_arrays(folder / f"{name}.safetensors", find)
    masks = np.unpackbits(found["masks"], axis=-1, count=size[1]).astype(bool)

    def measure() -> list[dict[str, object]]:
        kinds = found["types"].argmax(1)
        each = zip(pictures.unit, masks, pictures.planes, kinds, strict=True)
        return [seen_in(p, m, plane, TYPES[k], pictures.spacing_mm).model_dump(mode="json") for p, m, plane, k in each]

    seen = kept_json(folder / f"{name}.json", measure)
    return Judged(masks, found["types"], tuple(Seen.model_validate(row) for row in seen))


def seen_in(picture: np.ndarray, found: np.ndarray, plane: Plane, kind: str, spacing_mm: float) -> Seen:
    """What a found outline, bool [256, 256], shows in a picture, float32 [256, 256] in [0, 1].

    Args:
        kind: type that the finder tells: the region of a pituitary tumour is known from its name, as captions have it.
    """
    if not found.any():
        return Seen()
    seen = measure_lesion(picture, largest_piece(found), plane, (spacing_mm, spacing_mm))
    region = Region.SELLAR if kind == "pituitary_tumor" else seen.region
    words = {name: getattr(seen, name) for name in WORDS if name != "region"}
    return Seen(diameter_mm=seen.diameter_mm, region=region, **words)


def elsewhere(found: np.ndarray, outline: np.ndarray, spacing_mm: float) -> list[float]:
    """Areas in mm2 of the pieces of a found mask that do not reach within `NEAR` pixels of the outline; both bool [H, W].

    Pieces below `LEAST_MM2` are left out.
    """
    pieces, count = ndimage.label(found)
    areas = np.bincount(pieces.ravel(), minlength=count + 1) * spacing_mm**2
    near = ndimage.binary_dilation(outline, iterations=NEAR) if outline.any() else outline
    touching = set(np.unique(pieces[near]).tolist())
    return [float(areas[i]) for i in range(1, count + 1) if i not in touching and areas[i] >= LEAST_MM2]
