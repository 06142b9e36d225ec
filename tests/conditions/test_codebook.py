"""The context is fixed: the same on every machine, different for different findings."""

import hashlib

import torch

from meddiff.case import Enhancement, Finding, Findings, Plane, Side
from meddiff.conditions.codebook import CONTEXT_DIM, TOKENS, codeword, context_of, size_code

GLIOMA = Findings(plane=Plane.AXIAL, finding=Finding(pathology="glioma", side=Side.LEFT, size_mm=30))


def test_the_context_has_its_shape_and_unit_variance():
    context = context_of(GLIOMA, "glioma")
    assert context.shape == (TOKENS, CONTEXT_DIM)
    assert 0.8 < float(context.std()) < 1.2


def test_codewords_are_frozen():
    numbers = (codeword("plane=axial") * 1000).round().to(torch.int32).numpy().tobytes()
    assert hashlib.sha256(numbers).hexdigest()[:12] == "954f3bf120d9"


def test_one_changed_word_changes_its_own_token_and_its_pairs_only():
    other = GLIOMA.model_copy(update={"finding": GLIOMA.finding.model_copy(update={"enhancement": Enhancement.RING})})
    changed = (context_of(GLIOMA, "glioma") != context_of(other, "glioma")).any(1).nonzero().flatten().tolist()
    assert changed == [5, 14, 15]


def test_near_sizes_are_near_and_far_ones_far():
    def apart(a: float, b: float) -> float:
        return float((size_code(a) - size_code(b)).norm())

    assert apart(30, 31) < apart(30, 40) < apart(30, 80)
