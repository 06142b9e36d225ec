"""The Evaluate tab: the figures a pack holds, and where each word of a sentence is heard."""

import base64
import re
import shutil

import pytest

from meddiff.case import MedDiffError
from meddiff.diffusion.checkpoint import read_info
from meddiff.evaluation.records import Curve, Evaluation, Figure, Line, Part, Plate, Table
from meddiff.settings import settings
from meddiff.web import evaluate
from meddiff.web.models import Models

TAKEN = Table(
    key="a.types", name="Types taken for <which>", row_name="asked", column_name="what the finder says", names=("glioma", "meningioma"),
    made=((30, 10), (0, 0)), real=((97, 3), (2, 48)), note="Cases & shares.",
)  # fmt: skip


def evaluation_of(sha256: str) -> Evaluation:
    figures = (
        Figure(key="a.dice", name="outline <asked>", value=0.71, low=0.65, high=0.77, real=0.72, aim=">= 0.6", note="how to read it"),
        Figure(key="a.type", name="type", value=0.5, baseline=0.33, baseline_name="guessed", aim=">= 0.85"),
    )  # fmt: skip
    curve = Curve(
        key="a.c", name="Over steps", x_name="steps", y_name="dB", lines=(Line(name="int8", x=(2, 4), y=(20, 24)),)
    )
    plates = (
        Plate(key="p", caption="made ones", file="made.png", synthetic=True),
        Plate(key="q", caption="real ones", file="real.png", synthetic=False),
    )
    part = Part(name="adherence", title="Adherence", figures=figures, curves=(curve,), tables=(TAKEN,), plates=plates)
    return Evaluation(
        pack="brain-t1gd", pack_sha256=sha256, precision="int8", form="quick", command="python -m benchmarks.quality", date="2026-11-27",
        machine="m", versions={}, counts={"made": 96}, parts=(part,),
    )  # fmt: skip


@pytest.fixture
def pack(tiny_packs, tmp_path, monkeypatch):
    """A pack of its own, as an evaluation writes into it."""
    folder = tmp_path / "checkpoints" / "brain-t1gd"
    shutil.copytree(tiny_packs / "brain-t1gd", folder)
    monkeypatch.setenv("MEDDIFF_CHECKPOINTS", str(folder.parent))
    settings.cache_clear()
    yield folder
    settings.cache_clear()


def test_a_pack_that_was_not_measured_says_how_to_measure_it(pack):
    assert "benchmarks.quality" in evaluate.page_of("brain-t1gd") and "<table" not in evaluate.page_of("brain-t1gd")


def test_figures_aims_curves_and_made_pictures_are_shown(pack):
    kept = pack / "evaluation"
    kept.mkdir()
    for name in ("made.png", "real.png"):
        (kept / name).write_bytes(name.encode())
    (kept / "evaluation.json").write_text(evaluation_of(read_info(pack).sha256).model_dump_json())
    page = evaluate.page_of("brain-t1gd")
    assert "1 of 2 aims met" in page and "outline &lt;asked&gt;" in page and "0.65 to 0.77" in page
    # Each stands among the aims and in its part.
    assert page.count(">met<") == 2 and page.count(">missed<") == 2 and "how to read it" in page and "<svg" in page
    assert base64.b64encode(b"made.png").decode() in page and base64.b64encode(b"real.png").decode() not in page
    assert "Types taken for &lt;which&gt;" in page and "Cases &amp; shares." in page
    taken = re.findall(r"<tr>(.*?)</tr>", page[page.index("Types taken for") :])
    cells = [re.findall(r"<t[hd].*?>(.*?)</t[hd]>", row) for row in taken]
    assert cells[0] == ["asked", "made: glioma", "made: meningioma", "real: glioma", "real: meningioma"]
    assert cells[1:3] == [
        ["glioma", "30 (75%)", "10 (25%)", "97 (97%)", "3 (3%)"],
        ["meningioma", "\N{EN DASH}", "\N{EN DASH}", "2 (4%)", "48 (96%)"],
    ]
    assert "other weights" not in page
    (kept / "evaluation.json").write_text(evaluation_of("0" * 64).model_dump_json())
    assert "other weights" in evaluate.page_of("brain-t1gd")
    (kept / "evaluation.json").write_text("{}")
    with pytest.raises(MedDiffError, match="benchmarks.quality"):
        evaluate.page_of("brain-t1gd")


def test_every_word_of_a_sentence_has_a_map_over_the_sealed_picture(pack, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate, "DEFAULT", ("brain-t1gd", "fp32"))  # the random pack ships no INT8 network
    shown = evaluate.heard_in(Models(), "brain-t1gd", "Axial T1 post-contrast, left frontal glioma, 30 mm", 3)
    words = re.findall(r"<figcaption>(.*?)</figcaption>", shown)
    assert words[0] == "The picture" and {"type: glioma", "side: left", "size: 30 mm"} <= set(words)
    pictures = re.findall(r"base64,([A-Za-z0-9+/=]+)", shown)
    assert len(set(pictures)) == len(words) and all(b"SYNTHETIC" in base64.b64decode(p).upper() for p in pictures)
    assert not list(tmp_path.rglob("*.png"))  # nothing is left behind
    with pytest.raises(MedDiffError):
        evaluate.heard_in(Models(), "brain-t1gd", "a walk in the park", 3)
