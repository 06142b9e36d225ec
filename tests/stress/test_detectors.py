"""Detectors of every format: the same model, the same answer; what does not fit its contract is refused before the run."""

from __future__ import annotations

import io
import pickle
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from meddiff.case import MedDiffError
from meddiff.settings import settings
from meddiff.stress.detectors import Guarded, load_detector, probe
from meddiff.stress.records import Contract, FaultKind, Kind
from tests.stress.tiny_models import (
    MASK,
    sealed_disc,
    served,
    tiny,
    tiny_over_http,
    write_onnx,
    write_openvino,
    write_tflite,
    write_torchscript,
)

WRITERS = {
    "onnx": write_onnx,
    "torchscript": write_torchscript,
    "openvino": write_openvino,
    "tflite": write_tflite,
}
PLAIN = Contract(kind=Kind.MASK)


def contract_for(kind: str) -> Contract:
    return Contract(kind=Kind.MASK, layout="NHWC" if kind == "tflite" else "NCHW")


@contextmanager
def detecting(path: Path, contract: Contract):
    """A detector in this process; of TFLite and TorchScript in its own, as in every run: where they ran, torch crashed as it trained."""
    if path.suffix in (".tflite", ".pt"):
        with Guarded(path, contract) as detector:
            yield detector
    else:
        detector = load_detector(path, contract)
        probe(detector)
        yield detector


@pytest.fixture(scope="module")
def image():
    return sealed_disc()


@pytest.fixture(scope="module")
def expected(image):
    return load_detector(tiny).look([image])[0]


def test_the_python_callable_finds_the_disc(expected):
    (mark,) = [mark for mark in expected.marks if mark.score > 0.9]
    assert (mark.row, mark.column) == pytest.approx((100, 150), abs=0.3)
    assert mark.box == pytest.approx((91, 141, 109, 159), abs=1)
    assert expected.score == mark.score and expected.fault is None


@pytest.mark.parametrize("kind", sorted(WRITERS))
def test_every_format_gives_the_same_answer(kind, image, expected, tmp_path):
    with detecting(WRITERS[kind](tmp_path), contract_for(kind)) as detector:
        (answer,) = detector.look([image])
        assert detector.name == "tiny" and answer.fault is None
    assert [mark.box for mark in answer.marks] == [mark.box for mark in expected.marks]
    assert [mark.score for mark in answer.marks] == pytest.approx([mark.score for mark in expected.marks], abs=1e-4)


def test_an_endpoint_gives_the_same_answer_and_gets_a_sealed_picture_without_its_record(image, expected):
    seen = []
    with served(tiny_over_http, seen=seen) as address:
        detector = load_detector(address)
        probe(detector)
        (answer,) = detector.look([image])
    assert answer.marks[0].box == expected.marks[0].box
    assert answer.score == pytest.approx(expected.score, abs=1 / 255)
    headers, body = seen[-1]
    with Image.open(io.BytesIO(body)) as sent:
        assert np.array_equal(np.asarray(sent), image.pixels) and "MedDiff" not in sent.text
    assert headers["Content-Type"] == "image/png" and headers["X-Spacing-mm"] == "0.98 0.98"


def test_whole_numbers_of_a_quantised_model_are_read_by_its_scale(image, tmp_path):
    contract = Contract(kind=Kind.MASK, layout="NHWC", low=-1, high=1, threshold=0.7)
    with detecting(write_tflite(tmp_path, quantised=True), contract) as detector:
        (answer,) = detector.look([image])
    assert answer.fault is None
    assert answer.score == pytest.approx(1 / (1 + np.exp(-0.9)), abs=0.01)


def test_a_model_of_bytes_gets_bytes(image, tmp_path):
    path = write_onnx(tmp_path, kind="uint8")
    (answer,) = load_detector(path, Contract(kind=Kind.CLASSIFIER, high=255)).look([image])
    assert answer.score == pytest.approx(image.pixels[: image.height].mean() / 255, abs=1e-4)
    with pytest.raises(MedDiffError, match=r"takes uint8, and its contract declares values from 0 to 1"):
        load_detector(path, Contract(kind=Kind.CLASSIFIER))


def test_the_contract_lies_beside_the_file(image, tmp_path):
    path = write_onnx(tmp_path)
    with pytest.raises(MedDiffError, match=r"write tiny.yaml or contract.yaml beside it"):
        load_detector(path)
    (tmp_path / "contract.yaml").write_text("kind: mask\nthreshold: 0.3\n")
    assert load_detector(path).contract.threshold == 0.3
    (tmp_path / "tiny.yaml").write_text("kind: mask\nthreshold: 0.4\n")
    assert load_detector(path).contract.threshold == 0.4  # its own wins
    (tmp_path / "tiny.yaml").write_text("kind: mask\nlow: 1\nhigh: 0\nsped: 3\n")
    with pytest.raises(MedDiffError, match=r"tiny.yaml cannot be read: .*sped"):
        load_detector(path)
    (tmp_path / "tiny.yaml").write_text("mask")
    with pytest.raises(MedDiffError, match="holds no contract"):
        load_detector(path)


def test_a_contract_that_the_file_contradicts_is_refused(tmp_path):
    path = write_onnx(tmp_path, channels=3, size=128)
    with pytest.raises(
        MedDiffError, match=r"takes an input of \? x 3 x 128 x 128, and its contract declares 1 x 1 x 256 x 256"
    ):
        load_detector(path, PLAIN)
    with pytest.raises(MedDiffError, match=r"NHWC"):
        Guarded(write_tflite(tmp_path), Contract(kind=Kind.MASK, layout="NHWC", size=(128, 128))).start()


def wrong_shape(batch):
    return np.zeros((1, 1, 64, 64))


def logits(batch):
    return 40.0 * (batch - 0.6)


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (wrong_shape, r"nonsense.*shape \[1, 1, 64, 64\].*declares \[1, K, 256, 256\]"),
        (logits, r"probabilities from 0 to 1 are declared \(set `logits: true`"),
        (lambda batch: None, "crash.*returned None"),
        (lambda batch: np.array([["a"]]), "gave <U1 where numbers were expected"),
        (lambda batch: [[0.1, 0.2], [0.3]], "no array of numbers"),
    ],
)
def test_the_probe_says_what_was_declared_and_what_came(function, says):
    with pytest.raises(MedDiffError, match=says):
        probe(load_detector(function, PLAIN))


def test_logits_are_made_probabilities(image, expected):
    (answer,) = load_detector(logits, Contract(kind=Kind.MASK, logits=True)).look([image])
    assert answer.score == pytest.approx(expected.score, abs=1e-4)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("nothing.onnx", "There is no detector nothing.onnx"),
        ("model.h5", "is no detector: give a file"),
        ("no.such.module:f", "cannot be imported"),
        ("json:nothing", "cannot be made"),
        ("json:__name__", "is a str: give the name of a function"),
        ("http://127.0.0.1:9/x", "does not answer"),
        ("http://detector.example/x", "MEDDIFF_PACS_ALLOWED"),
        ("http://user:secret@127.0.0.1/x", "no address of a server"),
    ],
)
def test_what_is_no_detector_is_refused_in_words(spec, says):
    with pytest.raises(MedDiffError, match=says) as refused:
        load_detector(spec)
    assert "secret" not in str(refused.value)


class Bomb:
    def __reduce__(self):
        return Path.touch, (Path(self.path),)


def test_a_pickle_is_refused_and_not_opened(tmp_path):
    import torch

    bomb = Bomb()
    bomb.path = str(tmp_path / "went off")
    torch.save(bomb, tmp_path / "a.pt")
    (tmp_path / "b.pt").write_bytes(pickle.dumps(bomb))
    for name in ("a.pt", "b.pt"):
        with pytest.raises(MedDiffError, match="is no TorchScript. Pickled models"):
            load_detector(tmp_path / name, PLAIN)
    assert not (tmp_path / "went off").exists()


@pytest.mark.parametrize("ending", [".onnx", ".xml", ".tflite"])
def test_a_damaged_file_is_refused_in_words(ending, tmp_path):
    (tmp_path / f"tiny{ending}").write_bytes(b"no model")
    with (
        pytest.raises(MedDiffError, match=f"tiny{ending} cannot be loaded as"),
        detecting(tmp_path / f"tiny{ending}", PLAIN),
    ):
        pass


BOXES = {"kind": "boxes"}
PROBABLE = {"kind": "classifier", "threshold": 0.4}


@pytest.mark.parametrize(
    ("contract", "answer", "score", "fault"),
    [
        (PROBABLE, {"score": 0.75}, 0.75, None),
        (BOXES, {"boxes": [[10, 20, 30, 60, 0.5], [1, 2, 3, 4, 0.9]]}, 0.9, None),
        (BOXES, {"boxes": []}, 0.0, None),
        (PROBABLE, {"score": "high"}, 0, "something else than numbers"),
        (PROBABLE, {"score": 1.5}, 0, "goes from 0 to 1.5"),
        (BOXES, {"boxes": [[30, 20, 10, 60, 0.5]]}, 0, "must lie left of"),
        (BOXES, {"score": 0.3}, 0, "the keys ['score'], where its contract declares an object with 'boxes'"),
        (BOXES, [1], 0, "a list, where"),
        (MASK, {"mask": "####"}, 0, "no PNG in base64"),
        (PROBABLE, b"<html>", 0, "no JSON"),
    ],
)
def test_what_an_endpoint_answers_is_checked(contract, answer, score, fault, image):
    with served(lambda png: answer, contract) as address:
        (said,) = load_detector(address).look([image])
    assert said.score == pytest.approx(score)
    assert (
        (said.fault is None)
        if fault is None
        else (said.fault.kind is FaultKind.NONSENSE and fault in said.fault.message)
    )


def test_boxes_are_edges_and_marks_are_pixels(image):
    with served(lambda png: {"boxes": [[10, 20, 30, 60, 0.5]]}, BOXES) as address:
        (mark,) = load_detector(address).look([image])[0].marks
    assert mark.box == (20, 10, 59, 29) and (mark.row, mark.column) == (39.5, 19.5)


def test_an_endpoint_that_fails_has_crashed(image):
    with served(lambda png: {}, MASK, status=500) as address:
        detector = load_detector(address)
        (answer,) = detector.look([image])
    assert answer.fault.kind is FaultKind.CRASH and "500 Internal Server Error" in answer.fault.message
    assert detector.look([image])[0].fault.kind is FaultKind.CRASH  # gone


def test_an_endpoint_without_a_contract_needs_one_given():
    with served(tiny_over_http, contract=None) as address:
        with pytest.raises(MedDiffError, match=r"answered 404 Not Found where its contract was asked for"):
            load_detector(address)
        assert load_detector(address, PLAIN, "mine").name == "mine"
    with served(tiny_over_http, contract={"kind": "oracle"}) as address:
        with pytest.raises(MedDiffError, match=r"contract in the answer of .* cannot be read: kind"):
            load_detector(address)


def test_the_stamp_is_no_mark_of_the_detector_s(image):
    assert image.pixels.max() == 255 and image.box.row > 200  # white letters, which the tiny detector sees
    (answer,) = load_detector(tiny).look([image])
    assert answer.marks and all(mark.row < image.box.row for mark in answer.marks)


def test_raw_pixels_are_no_picture_for_a_detector():
    with pytest.raises(MedDiffError, match="sealed"):
        load_detector(tiny).look([np.zeros((256, 256), np.uint8)])


def test_a_guarded_detector_of_a_file_finds_the_same(image, expected, tmp_path):
    with Guarded(write_onnx(tmp_path), PLAIN, timeout_s=30) as detector:
        answers = detector.look([image, image])
    assert answers[0] == answers[1] and answers[0].marks[0].box == expected.marks[0].box


@pytest.mark.shipped_pack
@pytest.mark.parametrize(("name", "kind"), [("segmenter", Kind.MASK), ("classifier", Kind.CLASSIFIER)])
def test_a_reference_detector_ships_and_keeps_its_contract(name, kind, image):
    detector = load_detector(name)
    assert detector.name == name and detector.contract.kind is kind and detector.contract.spacing_mm == 0.98
    probe(detector)
    (answer,) = detector.look([image])
    assert answer.fault is None and 0 <= answer.score <= 1


def test_reference_detectors_that_are_not_there_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDDIFF_CHECKPOINTS", str(tmp_path))
    settings.cache_clear()
    try:
        with pytest.raises(MedDiffError, match="reference detector segmenter is not in"):
            load_detector("segmenter")
    finally:
        monkeypatch.undo()
        settings.cache_clear()
