"""There is one door: no exporter, download, endpoint or file route gives pixels that are not sealed."""

from __future__ import annotations

import ast
import inspect
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from benchmarks.page import free_port
from meddiff import exchange
from meddiff.case import MedDiffError
from meddiff.marking import SealedCase, thumbnail
from meddiff.settings import HOUSE
from tests.exchange.dicom_support import case_of

# Who may turn arrays into picture files, and what: outlines and sealed pictures.
MAY_ENCODE = {
    "case.py": "the outline inside a request",
    "exchange": "the writers: each takes a sealed image, or an outline",
    "marking": "the seal itself",
    "bank": "sealed pictures, and backgrounds for rebuilding that are never served",
    "evaluation/plates.py": "plates of an evaluation: sealed pictures alone",
    "training": "nobody imports it but the command line",
    "web/bank.py": "a crossed-out tile where a case is damaged",
    "web/viewer.py": "a sealed image in eight bits",
    "diffusion": "weights",
    "imaging/acquisition.py": "a JPEG in memory, decoded at once: what compression does to a picture",
    "conditions": "outlines",
    "evaluation/memorising.py": "sealed pictures, each beside the real slice it is nearest to: stays in the evaluation's folder",
    "teaching/study_pictures.py": "a reader study's pictures, real ones too, for a reader's screen: never a file",
    "teaching/export/slides.py": "a presentation of pictures that the PNG writer made",
}
ENCODERS = {"save", "save_as", "imwrite", "imsave", "tofile", "savez", "savez_compressed"}


@pytest.mark.parametrize("kind", sorted(exchange.WRITERS))
def test_every_exporter_refuses_raw_pixels(kind, tmp_path):
    ending, write = exchange.WRITERS[kind]
    for raw in (np.zeros((256, 256), np.uint8), np.zeros((256, 256), np.uint16), b"bytes", None):
        with pytest.raises(MedDiffError, match="sealed"):
            write(raw, tmp_path / f"x{ending}")
    assert not list(tmp_path.iterdir())


def test_every_function_that_takes_a_sealed_image_refuses_an_array():
    """By their annotations, in all of `exchange` and `marking`, listed in WRITERS or not."""
    import importlib

    seen = 0
    for path in sorted((HOUSE / "meddiff" / "exchange").glob("*.py")):
        module = importlib.import_module(
            f"meddiff.exchange.{path.stem}" if path.stem != "__init__" else "meddiff.exchange"
        )
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if name.startswith("_") or function.__module__ != module.__name__:
                continue
            parameters = list(inspect.signature(function).parameters.values())
            signature = inspect.signature(function)
            if not parameters or str(parameters[0].annotation) != "SealedImage":
                continue
            if str(signature.return_annotation) not in ("Path", "bytes", "Dataset"):
                continue  # names and identifiers
            seen += 1
            needed = [p for p in parameters[1:] if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
            with pytest.raises(MedDiffError, match="[Ss]ealed"):
                function(np.zeros((256, 256), np.uint8), *([Path("/nonexistent/x")] * len(needed)))
    assert seen >= 4
    with pytest.raises(MedDiffError, match="[Ss]ealed"):
        thumbnail(np.zeros((256, 256), np.uint8))


def test_every_writer_of_a_whole_case_refuses_one_whose_picture_or_twin_is_not_sealed(tmp_path):
    """By their annotations too: a `SealedCase` can be put together by hand, the sealed images in it cannot."""
    import importlib

    whole, raw = case_of(), np.zeros((256, 256), np.uint8)
    seen = set()
    for path in sorted((HOUSE / "meddiff" / "exchange").glob("*.py")):
        module = importlib.import_module(f"meddiff.exchange.{path.stem}")
        for name, function in inspect.getmembers(module, inspect.isfunction):
            signature = inspect.signature(function)
            first = next(iter(signature.parameters.values()), None)
            if name.startswith("_") or function.__module__ != module.__name__ or first is None:
                continue
            if str(first.annotation) != "SealedCase":
                continue
            seen.add(name)
            others = {"folder": tmp_path, "path": tmp_path / "x", "formats": list(exchange.FORMATS)}
            given = {parameter: others[parameter] for parameter in list(signature.parameters)[1:]}
            for image, twin in ((raw, whole.twin), (whole.image, raw)):
                if name.endswith("_sr") and twin is raw:  # the report tells of the picture alone
                    continue
                with pytest.raises(MedDiffError, match="[Ss]ealed"):
                    function(SealedCase(whole.case, image, twin, whole.mask), **given)
    assert {"write_case", "write_zip", "write_blink", "add_to_coco", "write_sr"} <= seen
    assert not list(tmp_path.rglob("*"))


def test_every_export_of_a_quiz_refuses_a_case_whose_picture_or_twin_is_not_sealed(tmp_path):
    from meddiff.teaching.export import FORMATS, export_quiz
    from meddiff.teaching.item import Choice, ChoiceItem, Kind, State, item_id

    whole, raw = case_of(), np.zeros((256, 256), np.uint8)
    shown = (whole.case.id,)
    item = ChoiceItem(
        id=item_id(Kind.NORMAL, shown), kind=Kind.NORMAL, stem="Is there a lesion?", cases=shown, state=State.APPROVED,
        choices=(Choice(text="yes"), Choice(text="no")), key=0,
    )  # fmt: skip
    for kind in FORMATS:
        for image, twin in ((raw, whole.twin), (whole.image, raw), (None, whole.twin)):
            case = SealedCase(whole.case, image, twin, whole.mask)
            with pytest.raises(MedDiffError, match="[Ss]ealed"):
                export_quiz("Quiz", [item], {whole.case.id: case}.__getitem__, tmp_path, kind)
    assert not list(tmp_path.iterdir())


def test_exporters_of_quizzes_never_touch_pixels():
    """They are given PNG files by `exchange`: none reads an image's pixels, and none has a library that could draw on them."""
    found, seen = set(), 0
    for path in sorted((HOUSE / "meddiff" / "teaching" / "export").glob("*.py")):
        seen += 1
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr == "pixels":
                found.add(f"{path.name}:{node.lineno} .pixels")
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
                found |= {
                    f"{path.name}:{node.lineno} {name}"
                    for name in names
                    if name.split(".")[0] in ("PIL", "skimage", "cv2")
                }
    assert seen > 9 and not found


def test_pictures_of_a_reader_study_reach_its_pages_and_nothing_else():
    """`picture_png` gives pictures without a stamp, real ones among them: only the pages that show them may call it, and none writes a file."""
    users = set()
    for path in sorted((HOUSE / "meddiff").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if "picture_png" in text or "alike(" in text.replace("made_alike(", ""):
            users.add(path.relative_to(HOUSE / "meddiff").as_posix())
    assert users == {"teaching/study_pictures.py", "web/study.py", "web/study_reader.py"}
    source = (HOUSE / "meddiff" / "teaching" / "study_pictures.py").read_text(encoding="utf-8")
    assert not any(word in source for word in ("write_atomic", "write_bytes", "write_text", 'open("', ', "w'))


def test_nobody_else_turns_arrays_into_picture_files():
    found = set()
    for path in sorted((HOUSE / "meddiff").rglob("*.py")):
        where = path.relative_to(HOUSE / "meddiff").as_posix()
        if any(where == allowed or where.startswith(f"{allowed}/") for allowed in MAY_ENCODE):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ENCODERS:
                found.add(f"{where}:{node.lineno} {node.func.attr}")
    assert not found, "give the picture to an exporter, or say in MAY_ENCODE why not"


# ---------------------------------------------------------------- the running page


@pytest.fixture(scope="module")
def house(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("door")


@pytest.fixture(scope="module")
def address(house: Path, tiny_packs: Path) -> Iterator[str]:
    port = free_port()
    (house / "tmp").mkdir()
    (house / "bank" / "backgrounds").mkdir(parents=True)
    np.save(house / "bank" / "backgrounds" / f"{'a' * 64}.npy", np.zeros((64, 64), np.uint8))
    environment = os.environ | {
        "MEDDIFF_CHECKPOINTS": str(tiny_packs),
        "MEDDIFF_CASEBANK": str(house / "bank"),
        "MEDDIFF_MAX_UPLOAD_MB": "2",
        "TMPDIR": str(house / "tmp"),
    }
    with open(house / "log", "w") as log:
        command = [sys.executable, str(HOUSE / "app.py"), "--port", str(port)]
        app = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=house)
    try:
        until = time.monotonic() + 90
        while "is open at" not in (house / "log").read_text():
            assert app.poll() is None and time.monotonic() < until, (house / "log").read_text()
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        app.terminate()
        app.wait(60)


def test_no_endpoint_is_offered_to_programs(address):
    import httpx

    info = httpx.get(f"{address}/gradio_api/info").json()
    assert info["named_endpoints"] == {} and info["unnamed_endpoints"] == {}
    for path in ("/docs", "/redoc", "/openapi.json", "/gradio_api/mcp/sse"):
        assert httpx.get(address + path, timeout=5).status_code in (403, 404, 405), path


def test_what_endpoints_answer_to_strangers_holds_no_picture_that_is_not_sealed(address, tmp_path):
    """Private endpoints are called all the same, by the queue; whatever file they name is fetched and must carry the record."""
    import re

    import httpx

    from meddiff.exchange.png import read_png_record

    wired = httpx.get(f"{address}/config").json()["dependencies"]
    assert wired

    def told_by(name: str) -> tuple[str, str]:
        answer = httpx.post(f"{address}/gradio_api/call/{name}", json={"data": []}, timeout=60)
        if answer.status_code >= 400:
            return name, ""
        event = answer.json()["event_id"]
        return name, httpx.get(f"{address}/gradio_api/call/{name}/{event}", timeout=60).text

    names = sorted({entry["api_name"] for entry in wired if entry["api_name"]})
    with ThreadPoolExecutor(8) as strangers:
        answers = list(strangers.map(told_by, names))
    assert len(answers) > 20
    for name, told in answers:
        assert "data:image" not in told and "iVBORw0KGgo" not in told, name
        for url in re.findall(r'"url": "([^"]+)"', told):
            (tmp_path / "got.png").write_bytes(httpx.get(url, timeout=10).content)
            read_png_record(tmp_path / "got.png")


def test_file_routes_give_nothing_from_outside_the_page(address, house, tiny_packs):
    import httpx

    wanted = [
        "/etc/passwd",
        str(house / "bank" / "backgrounds" / f"{'a' * 64}.npy"),
        str(house / "bank" / "bank.sqlite"),
        str(next(tiny_packs.rglob("*.safetensors"))),
        str(HOUSE / "app.py"),
        "app.py",
        "../../../../etc/passwd",
        "..%2f..%2f..%2f..%2fetc%2fpasswd",
        "%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "file:///etc/passwd",
        "//etc/passwd",
    ]
    for path in wanted:
        for route in ("/gradio_api/file=", "/file=", "/gradio_api/file/", "/static/", "/gradio_api/stream/"):
            answer = httpx.get(f"{address}{route}{path}", timeout=10)
            assert answer.status_code >= 400, (route, path, answer.status_code)


def test_an_upload_above_the_limit_is_refused_and_leaves_nothing_on_the_disk(address, house):
    import httpx

    before = {path for path in (house / "tmp").rglob("*") if path.is_file()}
    answer = httpx.post(f"{address}/gradio_api/upload", files={"files": ("x.png", b"\0" * (3 * 2**20))}, timeout=30)
    assert answer.status_code == 413
    left = {path for path in (house / "tmp").rglob("*") if path.is_file()} - before
    assert sum(path.stat().st_size for path in left) <= 2 * 2**20


def test_a_file_name_that_climbs_is_brought_to_its_last_part(address, house):
    import httpx

    answer = httpx.post(f"{address}/gradio_api/upload", files={"files": ("../../../climbed.png", b"abc")}, timeout=30)
    assert answer.status_code < 500
    for path in answer.json() if answer.status_code == 200 else ():
        assert Path(path).resolve().is_relative_to((house / "tmp").resolve())
    assert not any("climbed" in path.name for path in house.iterdir())
