"""COCO out: one `coco.json` for all cases of a folder, with the outline of each lesion as mask and box (cocodataset.org, data format).

The pictures are the sealed PNG files beside it. A twin is a picture without annotations. Cases are added to a file that is there.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from meddiff.case import SYNTHETIC_NOTICE, MedDiffError, Task
from meddiff.exchange.atomic import write_atomic
from meddiff.marking.seal import SealedCase, SealedImage, require_sealed

NAME = "coco.json"
UNNAMED = "lesion"  # category of a lesion without a pathology


def add_to_coco(case: SealedCase, folder: str | Path) -> Path:
    """Adds a case, its twin and its outline to the folder's `coco.json`; a case that is there already is replaced.

    Raises:
        MedDiffError: the file is there and is no COCO file of MedDiff's, or cannot be written.
    """
    path = Path(folder) / NAME
    dataset = _read(path)
    image, twin = _image(case.image), _image(case.twin)
    ids = {image["id"], twin["id"]}
    dataset["images"] = sorted(
        [i for i in dataset["images"] if i["id"] not in ids] + [image, twin], key=lambda i: i["id"]
    )
    dataset["annotations"] = [a for a in dataset["annotations"] if a["image_id"] not in ids]
    if case.mask.any():
        finding = case.case.request.findings.finding
        category = _category(dataset, (finding.pathology if finding else None) or UNNAMED)
        # The lesion is on the picture that was made with it; where one was taken out, on the slice that was given.
        shown = case.twin if case.case.request.task is Task.REMOVE else case.image
        dataset["annotations"].append(_annotation(shown, case.mask, category))
        dataset["annotations"].sort(key=lambda a: a["id"])
    text = json.dumps(dataset, indent=1, sort_keys=True) + "\n"
    return write_atomic(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def png_name(sealed: SealedImage) -> str:
    """The PNG file that a picture is exported as."""
    twin = "-twin" if sealed.provenance.role == "twin" else ""
    return f"{sealed.provenance.case_id}{twin}.png"


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        info = {
            "description": f"MedDiff teaching cases. {SYNTHETIC_NOTICE}",
            "version": "1.0",
            "contributor": "MedDiff",
        }
        return {"info": info, "licenses": [], "images": [], "annotations": [], "categories": []}
    try:
        dataset = json.loads(path.read_text(encoding="utf-8"))
        whole = all(isinstance(dataset[key], list) for key in ("licenses", "images", "annotations", "categories"))
        ours = whole and all("provenance" in image for image in dataset["images"])
    except (OSError, ValueError, KeyError, TypeError):
        ours = False
    if not ours:
        raise MedDiffError(f"{path} is there and is no COCO file of MedDiff's: choose another folder, or move it away.")
    return dict(dataset)


def _image(sealed: SealedImage) -> dict[str, Any]:
    record = require_sealed(sealed).provenance
    number = int(record.case_id.removeprefix("MD-"), 16) * 2 + (
        record.role == "twin"
    )  # below 2^53: exact in every JSON reader
    return {
        "id": number,
        "file_name": png_name(sealed),
        "height": sealed.pixels.shape[0],
        "width": sealed.pixels.shape[1],
        "date_captured": record.created,
        "license_name": record.licence,
        "synthetic": True,
        "spacing_mm": list(sealed.spacing_mm),
        "provenance": record.model_dump(mode="json"),
    }


def _category(dataset: dict[str, Any], name: str) -> int:
    known = {category["name"]: category["id"] for category in dataset["categories"]}
    if name not in known:
        known[name] = max(known.values(), default=0) + 1
        dataset["categories"].append({"id": known[name], "name": name, "supercategory": UNNAMED})
    return int(known[name])


def _annotation(shown: SealedImage, mask: np.ndarray, category: int) -> dict[str, Any]:
    fitted = shown.fit(mask)
    rows, columns = np.nonzero(fitted)
    left, top = int(columns.min()), int(rows.min())
    image = _image(shown)
    return {
        "id": image["id"],
        "image_id": image["id"],
        "category_id": category,
        "segmentation": {"size": list(fitted.shape), "counts": _runs(fitted)},
        "bbox": [left, top, int(columns.max()) - left + 1, int(rows.max()) - top + 1],
        "area": int(fitted.sum()),
        "iscrowd": 0,
    }


def _runs(mask: np.ndarray) -> list[int]:
    """COCO's uncompressed run lengths: down the columns, zeros first."""
    flat = np.concatenate([[False], mask.ravel(order="F")])
    edges = np.flatnonzero(np.diff(flat))
    return np.diff(np.concatenate([[0], edges, [mask.size]])).tolist()
