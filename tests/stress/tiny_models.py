"""One tiny detector in every format: a pixel is lesion as far as it is brighter than 0.6, sigmoid(40 (x - 0.6))."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from meddiff.marking import SealedImage
from tests.conftest import make_phantom
from tests.exchange.dicom_support import sealed_of

STEEP, LEVEL = 40.0, 0.6
MASK = {"kind": "mask"}


def write_onnx(folder: Path, channels: int = 1, size: int = 256, kind: str = "float") -> Path:
    """[n, channels, size, size] -> [n, channels, size, size]; of `uint8`, [n, 1] of the mean over 255."""
    from onnx import TensorProto, checker, helper, save

    if kind == "uint8":
        nodes = [
            helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["f"], ["m"], axes=[2, 3], keepdims=0),
            helper.make_node("Div", ["m", "c"], ["y"]),
        ]
        constants = [helper.make_tensor("c", TensorProto.FLOAT, [1], [255.0])]
        taken, given = TensorProto.UINT8, ["n", channels]
    else:
        nodes = [
            helper.make_node("Sub", ["x", "level"], ["d"]),
            helper.make_node("Mul", ["d", "steep"], ["l"]),
            helper.make_node("Sigmoid", ["l"], ["y"]),
        ]
        constants = [
            helper.make_tensor("level", TensorProto.FLOAT, [1], [LEVEL]),
            helper.make_tensor("steep", TensorProto.FLOAT, [1], [STEEP]),
        ]
        taken, given = TensorProto.FLOAT, ["n", channels, size, size]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", taken, ["n", channels, size, size])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, given)],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    checker.check_model(model)
    save(model, folder / "tiny.onnx")
    return folder / "tiny.onnx"


_TORCHSCRIPT = """
import sys, torch

class Tiny(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(40.0 * (x - 0.6))

torch.jit.trace(Tiny(), torch.rand(1, 1, 256, 256)).save(sys.argv[1])
"""


def write_torchscript(folder: Path) -> Path:
    """The tiny detector by torch.jit, in a process of its own: after it torch crashed as it trained."""
    subprocess.run([sys.executable, "-c", _TORCHSCRIPT, str(folder / "tiny.pt")], check=True)
    return folder / "tiny.pt"


def write_openvino(folder: Path) -> Path:
    """The tiny detector as OpenVINO IR."""
    import openvino
    from openvino import opset13

    x = opset13.parameter([1, 1, 256, 256], np.float32)
    y = opset13.sigmoid(opset13.multiply(opset13.subtract(x, np.float32(LEVEL)), np.float32(STEEP)))
    openvino.save_model(openvino.Model([y], [x]), folder / "tiny.xml", compress_to_fp16=False)
    return folder / "tiny.xml"


def write_tflite(folder: Path, quantised: bool = False) -> Path:
    """The tiny detector as a flat buffer, [1, 256, 256, 1]; quantised, a sigmoid of int8 alone."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as tfl

    model, graph = tfl.ModelT(), tfl.SubGraphT()
    model.version, model.description, model.subgraphs = 3, "tiny", [graph]
    model.buffers, model.operatorCodes = [tfl.BufferT()], []
    graph.tensors, graph.operators = [], []
    shape = [1, 256, 256, 1]

    def tensor(name: str, sides: list[int], value: float | None = None, scale: tuple[float, int] | None = None) -> int:
        made, buffer = tfl.TensorT(), tfl.BufferT()
        made.name, made.shape, made.type = name, sides, tfl.TensorType.INT8 if scale else tfl.TensorType.FLOAT32
        if scale:
            made.quantization = tfl.QuantizationParametersT()
            made.quantization.scale, made.quantization.zeroPoint = [scale[0]], [scale[1]]
        if value is not None:
            buffer.data = np.frombuffer(np.float32(value).tobytes(), np.uint8)
            model.buffers.append(buffer)
            made.buffer = len(model.buffers) - 1
        graph.tensors.append(made)
        return len(graph.tensors) - 1

    def operator(code: int, inputs: list[int], output: int, options: Any = None, kind: int = 0) -> None:
        of = tfl.OperatorCodeT()
        of.builtinCode = of.deprecatedBuiltinCode = code
        model.operatorCodes.append(of)
        made = tfl.OperatorT()
        made.opcodeIndex, made.inputs, made.outputs = len(model.operatorCodes) - 1, inputs, [output]
        made.builtinOptions, made.builtinOptionsType = options, kind
        graph.operators.append(made)

    operators, options = tfl.BuiltinOperator, tfl.BuiltinOptions
    if quantised:
        x, y = tensor("x", shape, scale=(8 / 127, 0)), tensor("y", shape, scale=(1 / 256, -128))
        operator(operators.LOGISTIC, [x], y)
    else:
        x, y = tensor("x", shape), tensor("y", shape)
        d, steep = tensor("d", shape), tensor("l", shape)
        operator(operators.SUB, [x, tensor("level", [1], LEVEL)], d, tfl.SubOptionsT(), options.SubOptions)
        operator(operators.MUL, [d, tensor("steep", [1], STEEP)], steep, tfl.MulOptionsT(), options.MulOptions)
        operator(operators.LOGISTIC, [steep], y)
    graph.inputs, graph.outputs = [x], [y]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    (folder / "tiny.tflite").write_bytes(builder.Output())
    return folder / "tiny.tflite"


def tiny(batch: np.ndarray) -> np.ndarray:
    """The tiny detector in Python."""
    return 1 / (1 + np.exp(-STEEP * (batch.astype(np.float64) - LEVEL)))


tiny.contract = MASK


def tiny_over_http(png: bytes) -> dict[str, Any]:
    """The tiny detector's answer to a PNG."""
    with Image.open(io.BytesIO(png)) as image:
        answer = np.rint(tiny(np.asarray(image) / 255) * 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(answer).save(buffer, "PNG")
    return {"mask": base64.b64encode(buffer.getvalue()).decode()}


@contextmanager
def served(
    answer: Callable[[bytes], Any], contract: Any = MASK, status: int = 200, seen: list[Any] | None = None
) -> Iterator[str]:
    """The address of a server on this machine that answers POST so; what was sent is kept in `seen`."""

    class Handler(BaseHTTPRequestHandler):
        def _say(self, what: Any, code: int = 200) -> None:
            body = what if isinstance(what, bytes) else json.dumps(what).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            if self.path == "/detect/contract" and contract is not None:
                self._say(contract)
            else:
                self._say({}, 404)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if seen is not None:
                seen.append((dict(self.headers), body))
            self._say(answer(body), status)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/detect"
    finally:
        server.shutdown()
        server.server_close()


def disc(row: float, column: float, radius: float, shape: tuple[int, int] = (256, 256)) -> np.ndarray:
    """bool [H, W]."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return np.hypot(rows - row, columns - column) <= radius


def sealed_disc(
    row: float = 100, column: float = 150, radius: float = 9, size: int = 256, spacing_mm: float = 0.98
) -> SealedImage:
    """The phantom's head, dimmed so that nothing but a disc is brighter than 0.6; sealed."""
    head = np.minimum(make_phantom(size), 0.4)
    head[disc(row, column, radius, head.shape)] = 0.95
    return sealed_of(np.rint(head * 255).astype(np.uint8), spacing_mm=(spacing_mm, spacing_mm))
