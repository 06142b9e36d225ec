"""The Create tab without a browser: what its form means."""

from __future__ import annotations

import numpy as np
import pytest

from meddiff.case import Findings, MaskSpec, MedDiffError, Plane, Provenance, Request, Task, pixel_sha256
from meddiff.imaging.read import Slice
from meddiff.marking import seal
from meddiff.web import create


def _form(**changes: object) -> dict[str, object]:
    plain = {"sentence": "", "size": "", "age": "", "plane": "", "source": create.MADE, "action": create.INSERT, "sex": "unknown",
            "outline": create.SAMPLED, "pack": "brain-t1gd", "margin": 8.0, "seed": 1, "steps": 4, "guidance": 2.0, "precision": "fp32"}  # fmt: skip
    return plain | changes


def test_taking_a_lesion_out_needs_no_sentence(phantom, phantom_mask, monkeypatch):
    monkeypatch.setattr(create, "_outline", lambda form: MaskSpec.from_array(phantom_mask))
    request = create.request_of(_form(source=create.OWN, action=create.REMOVE), Slice(phantom, phantom))
    assert request.task is Task.REMOVE and request.findings.finding is None


@pytest.mark.parametrize(("source", "how"), [(create.OWN, "upload one"), (create.FIRST, "Make the slice")])
def test_without_a_slice_the_form_says_how_to_get_one(source, how):
    with pytest.raises(MedDiffError, match=how):
        create.request_of(_form(source=source, sentence="left frontal glioma"), None)


def test_a_slice_made_first_keeps_its_stamp_in_words_no_brighter_than_the_anatomy(phantom):
    pixels = np.rint(phantom * 200).astype(np.uint8)
    request = Request(findings=Findings(plane=Plane.AXIAL))
    image = seal(
        pixels,
        Provenance(
            case_id=request.case_id(),
            request=request,
            pack="brain-t1gd",
            pack_sha256="0" * 64,
            pixel_sha256=pixel_sha256(pixels),
        ),
    )
    made = create.made_slice(image, Plane.AXIAL)
    anatomy, words = made.stored[image.outside_stamp], made.stored[image.box.area]
    assert np.array_equal(anatomy, image.pixels[image.outside_stamp])
    assert np.array_equal(words > 100, image.pixels[image.box.area] > 100) and (words > 100).any()
    assert words.max() <= anatomy.max()
    assert (made.spacing_mm, made.plane, made.modality) == (image.spacing_mm, Plane.AXIAL, "MR")
