"""The context itself: findings -> 16 tokens, by a fixed codebook.

A denoiser that was trained on one text encoder's output dies with that encoder. So the context is defined without
any encoder: each of nine attributes has a token of its own, whose vector is drawn once and for ever from a generator
seeded by the attribute's name and value, and seven more tokens say pairs of attributes (the place and the side, the
type and its enhancement, ...). Text encoders learn to say this from a sentence (`training.text`); any of them can be put in
another's place, and how much of the meaning one keeps can be counted.

The pathology enters as the trained type it is drawn as: a vector nobody trained on would be noise.
"""

from __future__ import annotations

import hashlib
import math
from functools import lru_cache

import torch
from torch import Tensor

from meddiff.case import Finding, Findings

TOKENS = 16
CONTEXT_DIM = 128
ATTRIBUTES = ("lesion", "plane", "type", "side", "region", "enhancement", "margin", "conspicuity")  # the ninth: size
PAIRS = (
    ("plane", "type"),
    ("plane", "region"),
    ("plane", "side"),
    ("side", "region"),
    ("type", "region"),
    ("type", "enhancement"),
    ("enhancement", "margin"),
)
LARGEST_MM = 128.0


@lru_cache(maxsize=4096)
def codeword(name: str) -> Tensor:
    """The vector [128] of a named value: standard normal numbers, the same on every machine."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:7], "big")
    return torch.randn(CONTEXT_DIM, generator=torch.Generator().manual_seed(seed))


def size_code(size_mm: float | None) -> Tensor:
    """The vector [128] of a length: waves of the length and of its logarithm, unit variance; a codeword if unknown."""
    if size_mm is None:
        return codeword("size=unknown")
    quarter = CONTEXT_DIM // 4
    rates = torch.logspace(0, 1.2, quarter) * math.pi / 2
    linear = min(size_mm, LARGEST_MM) / LARGEST_MM
    logarithm = math.log(max(size_mm, 2.0) / 2) / math.log(LARGEST_MM / 2)
    waves = [f(rates * value) for value in (linear, logarithm) for f in (torch.sin, torch.cos)]
    return torch.cat(waves) * math.sqrt(2)


def values_of(findings: Findings, drawn_as: str | None) -> dict[str, str]:
    """The attributes' values as words; `drawn_as` is the trained type that stands for the pathology, or None."""
    finding = findings.finding or Finding()
    return {
        "lesion": "none" if findings.finding is None else "focal",
        "plane": findings.plane.value if findings.plane else "unknown",
        "type": drawn_as or "unknown",
        "side": finding.side.value,
        "region": finding.region.value,
        "enhancement": finding.enhancement.value,
        "margin": finding.margin.value,
        "conspicuity": finding.conspicuity.value,
    }


def context_of(findings: Findings, drawn_as: str | None) -> Tensor:
    """The context [16, 128] of findings."""
    values = values_of(findings, drawn_as)
    size = findings.finding.size_mm if findings.finding else None
    tokens = [codeword(f"{name}={values[name]}") for name in ATTRIBUTES]
    tokens.append(size_code(size))
    tokens += [codeword(f"{a}={values[a]}&{b}={values[b]}") for a, b in PAIRS]
    return torch.stack(tokens)
