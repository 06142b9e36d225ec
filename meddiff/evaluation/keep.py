"""What a part has worked out stays in its folder, so that a killed run goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from meddiff.case import Request, pixel_sha256
from meddiff.evaluation.material import Pictures
from meddiff.exchange.atomic import write_atomic
from meddiff.synthesis.studio import Studio


def kept_arrays(path: Path, make: Callable[[], Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The arrays that lie at `path` (safetensors), or what `make` gives, which lies there from then on."""
    if not path.exists():
        whole = {name: np.ascontiguousarray(array) for name, array in make().items()}
        write_atomic(path, lambda temporary: save_file(whole, temporary))
    return load_file(path)


def kept_json(path: Path, make: Callable[[], Any]) -> Any:
    """What lies at `path` as JSON, or what `make` gives, which lies there from then on."""
    if not path.exists():
        text = json.dumps(make())
        write_atomic(path, lambda temporary: temporary.write_text(text))
    return json.loads(path.read_text())


def kept_picture(folder: Path, studio: Studio, request: Request) -> np.ndarray:
    """The picture of a completed request from nothing, uint8 [256, 256]; first seed, no check, not sealed."""

    def make() -> dict[str, np.ndarray]:
        return {"pixels": np.clip(np.rint(studio.make_lesion(request) * 255), 0, 255).astype(np.uint8)}

    return kept_arrays(folder / f"{request.digest()[:20]}.safetensors", make)["pixels"]


def name_of(pictures: Pictures) -> str:
    """12 hex digits that name a set by its pixels and outlines: what was kept for others is not taken for it."""
    return pixel_sha256(pictures.pixels)[:6] + pixel_sha256(pictures.outlines)[:6]
