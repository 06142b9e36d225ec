"""The training set of the denoiser in memory: pictures, outlines, captions as contexts, heads, neighbours."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

from meddiff.case import Conspicuity, Enhancement, Finding, Findings, Margin, Plane, Region, Side
from meddiff.conditions.carry import carried
from meddiff.conditions.clinical import clinical_vector
from meddiff.conditions.codebook import context_of
from meddiff.evaluation.heads import likeness
from meddiff.training.captions import caption, mirrored
from meddiff.training.dataset import BrainSet
from meddiff.training.duplicates import copies_of


@dataclass(frozen=True)
class Slices:
    """The training set in memory.

    Attributes:
        pictures, masks: [N, 256, 256] uint8.
        contexts: [N, 2, K, 16, 128] half: K wordings of the caption, of the slice as it is and mirrored.
        healthy: [N, K, 16, 128] half: K wordings of "no focal lesion" in the slice's plane.
        clinical: [N, 10] float.
        mirrorable: [N] bool: planes in which left and right can be exchanged.
        weight: [N] how often each is drawn.
        heads: [N, 128, 128] uint8, each slice's head as the prior draws it, or None: no heads are shown.
        carried: [N, 256, 256] uint8, each slice with its lesion as a neighbouring slice of the same patient shows it, or None: no follow-ups.
        follows: [N] bool, whether a slice has such a neighbour.
        types: [N], of `synthesis.finder.TYPES`.
    """

    pictures: Tensor
    masks: Tensor
    contexts: Tensor
    healthy: Tensor
    clinical: Tensor
    mirrorable: Tensor
    weight: Tensor
    heads: Tensor | None = None
    carried: Tensor | None = None
    follows: Tensor | None = None
    types: Tensor | None = None

    def to(self, device: torch.device) -> Slices:
        """The same on a device: `draw_batch` works where the set lies."""
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: part.to(device) for name, part in parts.items() if part is not None})


def vary(findings: Findings, rng: random.Random, dropped: float = 0.25) -> Findings:
    """The same slice described with less: each optional word is left out in a quarter of the captions."""
    finding = findings.finding
    if finding is None:
        return findings
    unsaid = {"side": Side.UNKNOWN, "region": Region.UNKNOWN, "enhancement": Enhancement.UNKNOWN, "margin": Margin.UNKNOWN,
              "conspicuity": Conspicuity.UNKNOWN, "size_mm": None, "pathology": None}  # fmt: skip
    left_out = {
        name: value for name, value in unsaid.items() if rng.random() < (0.1 if name == "pathology" else dropped)
    }
    plane = None if rng.random() < 0.05 else findings.plane
    return findings.model_copy(update={"plane": plane, "finding": finding.model_copy(update=left_out)})


def prepare(
    data: BrainSet, wordings: int = 6, seed: int = 0, heads: Tensor | None = None, distinct: bool = False
) -> Slices:
    """Captions of a set, as contexts; trained types stand for themselves.

    Args:
        distinct: draw the slices of a group of duplicates (`training.duplicates`) together as often as one. None is dropped: two
            copies may carry two readers' outlines, and heads and neighbours stay in their places.
    """
    rng = random.Random(seed)
    contexts, healthy, clinical = [], [], []
    for picture, mask, kind, plane in zip(data.pictures, data.masks, data.types, data.planes, strict=True):
        findings, _ = caption(picture / np.float32(255), mask > 127, kind, plane, data.spacing_mm)
        said = [vary(findings, rng) for _ in range(wordings)]
        contexts.append([[_context(f) for f in said], [_context(mirrored(f)) for f in said]])
        nothing = Findings(plane=plane)
        healthy.append([_context(nothing if rng.random() < 0.9 else Findings()) for _ in range(wordings)])
        finding = findings.finding or Finding()
        clinical.append(clinical_vector(size_mm=finding.size_mm, conspicuity=finding.conspicuity))
    return Slices(
        torch.from_numpy(data.pictures),
        torch.from_numpy(data.masks),
        torch.stack([torch.stack([torch.stack(row) for row in pair]) for pair in contexts]).half(),
        torch.stack([torch.stack(row) for row in healthy]).half(),
        torch.from_numpy(np.stack(clinical)),
        torch.tensor([plane is not Plane.SAGITTAL for plane in data.planes]),
        even_weights(data, copies_of(data.pictures) if distinct else None),
        heads,
        *follow_ups(data),
        torch.from_numpy(data.type_numbers()),
    )


SAME_HEAD, SAME_LESION = (
    0.85,
    0.2,
)  # correlation of pictures and overlap (IoU) of outlines of neighbours that show one patient


def follow_ups(data: BrainSet) -> tuple[Tensor, Tensor]:
    """`carried` and `follows` of `Slices`: the neighbour in the set's order that shows the same lesion, the more alike of two.

    The set names no patients; its slices run by type, plane and patient (docs/data.md). Two that follow each other are taken as one patient's
    where the pictures, at a quarter of their size, correlate and the outlines overlap.
    """
    alike = likeness(data.pictures)
    masks = data.masks > 127
    carried_ = data.pictures.copy()
    best = np.zeros(len(data))
    for i, close in enumerate(alike):
        same = (data.types[i], data.planes[i]) == (data.types[i + 1], data.planes[i + 1])
        overlap = (masks[i] & masks[i + 1]).sum() / max((masks[i] | masks[i + 1]).sum(), 1)
        if not same or close < SAME_HEAD or overlap < SAME_LESION:
            continue
        for here, there in ((i, i + 1), (i + 1, i)):
            if close > best[here]:
                best[here] = close
                shown = carried(data.pictures[there], masks[there], masks[here], data.pictures[here])
                carried_[here] = np.clip(np.rint(shown), 0, 255)
    return torch.from_numpy(carried_), torch.from_numpy(best > 0)


def even_weights(data: BrainSet, copies: np.ndarray | None = None) -> Tensor:
    """How often each slice is drawn: every type evenly, plane and size class (below 25, 25 to 45, above 45 mm) about so.

    Args:
        copies: how many slices show the same picture [N]: they count and are drawn as one, each as its part of it.
    """
    part = np.ones(len(data)) if copies is None else 1 / copies
    areas = (data.masks > 127).sum((1, 2)) * data.spacing_mm**2
    across = 2 * np.sqrt(areas / np.pi)
    groups = [(t, p, int(np.digitize(d, (25, 45)))) for t, p, d in zip(data.types, data.planes, across, strict=True)]
    counts: dict[tuple[str, Plane, int], float] = defaultdict(float)
    for group, share in zip(groups, part.tolist(), strict=True):
        counts[group] += share
    # The root keeps a handful of slices in a rare group from being learned by heart.
    weight = torch.tensor([share * counts[g] ** -0.5 for g, share in zip(groups, part.tolist(), strict=True)])
    types = torch.from_numpy(data.type_numbers())
    return weight / torch.zeros(int(types.max()) + 1).index_add_(0, types, weight)[types]


def _context(findings: Findings) -> Tensor:
    return context_of(findings, findings.finding.pathology if findings.finding else None)
