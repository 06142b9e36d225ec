"""Captions say what is measured, nothing else, and survive the mirror."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from meddiff.case import Enhancement, Finding, Findings, Margin, MedDiffError, Plane, Region, Side
from meddiff.conditions.masks import draw_ellipse, standard_head
from meddiff.training import captions, outlines
from meddiff.training.captions import caption, captions_of, distribution, mirrored
from meddiff.training.dataset import BrainSet


def slice_with_disc(plane: Plane = Plane.AXIAL, column: float = 160) -> tuple[np.ndarray, np.ndarray]:
    mask = draw_ellipse((256, 256), (110, column), (15, 15))
    picture = np.where(mask, 0.7, standard_head(plane) * 0.3)
    noise = np.random.default_rng(0).normal(0, 0.02, picture.shape) * (picture > 0)
    return (picture + noise).astype(np.float32), mask


def test_a_caption_says_what_is_painted() -> None:
    findings, measures = caption(*slice_with_disc(), "meningioma", Plane.AXIAL, 0.98)
    finding = findings.finding
    assert finding is not None and findings.plane is Plane.AXIAL
    assert (finding.pathology, finding.side) == ("meningioma", Side.LEFT)
    assert (finding.enhancement, finding.margin) == (Enhancement.SOLID, Margin.SMOOTH)
    assert finding.size_mm == round(measures.diameter_mm) == 30
    assert finding.region is measures.region


def test_sides_are_not_said_of_sagittal_slices() -> None:
    findings, _ = caption(*slice_with_disc(Plane.SAGITTAL), "glioma", Plane.SAGITTAL, 0.98)
    assert findings.finding and findings.finding.side is Side.UNKNOWN


def test_a_pituitary_tumour_is_sellar_by_name() -> None:
    findings, _ = caption(*slice_with_disc(column=128), "pituitary_tumor", Plane.AXIAL, 0.98)
    assert findings.finding and findings.finding.region is Region.SELLAR


def test_the_mirror_swaps_the_sides_and_nothing_else() -> None:
    left = Findings(plane=Plane.AXIAL, finding=Finding(side=Side.LEFT, region=Region.FRONTAL, size_mm=20))
    right = mirrored(left)
    assert right.finding and right.finding.side is Side.RIGHT and mirrored(right) == left
    midline = Findings(finding=Finding(side=Side.MIDLINE))
    assert mirrored(midline) is midline and mirrored(Findings()) == Findings()


def test_a_mirrored_slice_is_captioned_as_the_mirrored_caption() -> None:
    picture, mask = slice_with_disc()
    there, _ = caption(picture, mask, "glioma", Plane.AXIAL, 0.98)
    back, _ = caption(picture[:, ::-1], mask[:, ::-1], "glioma", Plane.AXIAL, 0.98)
    assert back == mirrored(there)


def test_the_command_writes_a_line_a_case_and_prints_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "images").mkdir()
    rows = ["image,mask,tumor,plane,pixel_spacing_mm,split"]
    for i, plane in enumerate(Plane):
        picture, mask = slice_with_disc(plane)
        Image.fromarray((picture * 255).clip(0, 255).astype(np.uint8)).save(tmp_path / f"images/{i}.png")
        Image.fromarray(mask).save(tmp_path / f"images/m{i}.png")
        rows.append(f"images/{i}.png,images/m{i}.png,glioma,{plane.value},0.98,train")
    (tmp_path / "cases.csv").write_text("\n".join(rows) + "\n")
    parser = argparse.ArgumentParser()
    captions.add_arguments(parser)
    out = tmp_path / "new" / "captions.jsonl"
    assert captions.main(parser.parse_args(["--data", str(tmp_path), "--out", str(out)])) == 0
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["image"] for line in lines] == ["images/0.png", "images/1.png", "images/2.png"]
    assert all(Findings.model_validate(line["findings"]).finding for line in lines)
    assert lines[0]["measures"]["diameter_mm"] == pytest.approx(30, abs=1.5)
    assert [path.name for path in out.parent.iterdir()] == ["captions.jsonl"]
    table = capsys.readouterr().out
    assert "glioma axi" in table and "solid" in table and "enhancement" in table


def brain_set(count: int) -> BrainSet:
    """Slices whose brightness falls from top to bottom by their level, in all planes."""
    pictures, masks, planes, names = [], [], [], []
    for i in range(count):
        for plane in Plane:
            picture, mask = slice_with_disc(plane, 120 + i)
            shade = np.linspace(0.5, 0.5 + i / count, 256)[:, None]
            pictures.append((picture * shade * 255).clip(0, 255).astype(np.uint8))
            masks.append(mask.astype(np.uint8) * 255)
            planes.append(plane)
            names.append(f"{plane.value}{i}")
    kinds = ("glioma",) * len(names)
    return BrainSet(
        tuple(names), np.stack(pictures), np.stack(masks), kinds, tuple(planes), 0.98, ("train",) * len(names)
    )


def test_statistics_of_discs_are_those_of_discs() -> None:
    data = brain_set(34)  # the fewest that statistics are made of, and two
    judged = {name: float(name.lstrip("axilcorngst")) / 17 for name in data.names}
    found = outlines.statistics_of(data, judged)
    assert json.loads(json.dumps(found)) == found
    shape = found["shapes"]["glioma/axial"]
    assert shape["count"] == 34 and np.exp(shape["size"]["log_mean"]) == pytest.approx(30, abs=1)
    # A disc's radius is 1 / root pi of the root of its area in every direction.
    assert np.exp(shape["mean"]) == pytest.approx(np.pi**-0.5, rel=0.05)
    assert np.sum(found["places"]["glioma/axial"]) == pytest.approx(34, rel=0.01)


def test_too_few_slices_for_statistics_are_refused() -> None:
    with pytest.raises(MedDiffError, match="too few axial slices"):
        outlines.statistics_of(brain_set(3), {})


def test_the_distribution_counts_every_slice() -> None:
    data = brain_set(2)
    table = distribution(captions_of(data))
    row = next(line for line in table.splitlines() if line.startswith("slices"))
    assert row.split()[1:] == ["2", "2", "2"]
