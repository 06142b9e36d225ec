"""The pack that ships runs from end to end, on the precision that is the default."""

import numpy as np
import pytest

from meddiff.case import Request, Tolerance
from meddiff.diffusion.checkpoint import load_pack
from meddiff.settings import HOUSE, settings
from meddiff.synthesis.rebuild import rebuild
from meddiff.synthesis.studio import Studio

pytestmark = [
    pytest.mark.shipped_pack,
    pytest.mark.skipif(
        not (HOUSE / "checkpoints" / "brain-t1gd" / "pack.json").exists(), reason="no pack in checkpoints/"
    ),
]


@pytest.fixture(scope="module")
def studio():
    settings.cache_clear()
    return Studio("brain-t1gd", "int8")


def test_a_sentence_becomes_a_checked_and_sealed_case_that_can_be_rebuilt(studio):
    sentence = "Axial T1 post-contrast, ring-enhancing left frontal mass, 30 mm, irregular margin"
    case = next(studio.create(Request(sentence=sentence, seed=7, steps=8, tolerance=Tolerance(redraws=0))))
    assert case.image.pixels.shape[1] == 256
    names = {row.name for row in case.case.measurements}
    assert {"overlap with the outline (Dice)", "lesion left in the twin", "change outside the edit region"} <= names
    assert rebuild(case, studio).identical
    picture = case.image.pixels[:256].astype(float)
    top = case.image.outside_stamp[:8]
    assert picture[96:160, 96:160].mean() > 3 * picture[:8][top].mean() + 5  # a head in the middle, dark above


def test_int8_and_fp32_make_nearly_the_same_picture(studio):
    request = Request(sentence="Sagittal meningioma, 40 mm", seed=3, steps=8, tolerance=Tolerance(redraws=0))
    exact = Studio("brain-t1gd", "fp32")
    one, two = (s.make_lesion(s.complete(request)) for s in (studio, exact))
    assert -10 * np.log10(np.mean((one - two) ** 2)) > 14  # it ought to be 30: see the model card


def test_the_shipped_text_encoder_hears_every_attribute():
    from meddiff.training.text import agreement

    scores = agreement(load_pack("brain-t1gd", "fp32").pipeline.text, count=60, seed=99)
    assert min(scores.values()) > 0.9
