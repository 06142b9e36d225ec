"""Items as a file: JSON that a person can edit and that comes back as it is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from meddiff.case import SYNTHETIC_NOTICE, MedDiffError
from meddiff.exchange.atomic import write_atomic
from meddiff.teaching.item import Item, read_item

FORMAT = "meddiff-items-1"
LARGEST_FILE = 50_000_000  # bytes


def items_text(items: Sequence[Item]) -> str:
    """The items as JSON, one field a line."""
    told = {
        "format": FORMAT,
        "notice": SYNTHETIC_NOTICE,
        "items": [item.model_dump(mode="json") for item in items],
    }
    return json.dumps(told, indent=1, ensure_ascii=False) + "\n"


def write_item_file(items: Sequence[Item], path: str | Path) -> Path:
    """Writes items into one file, whole or not at all.

    Raises:
        MedDiffError: the file cannot be written.
    """
    text = items_text(items)
    return write_atomic(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def read_item_file(path: str | Path) -> tuple[Item, ...]:
    """The items of a file that `write_item_file` wrote, edited or not.

    Raises:
        MedDiffError: no such file, larger than 50 MB, not such a file, or an item in it that is none, by its number.
    """
    path = Path(path)
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise MedDiffError(f"{path} is larger than {LARGEST_FILE // 1_000_000} MB: split it into several files.")
        told = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise MedDiffError(f"{path} cannot be read: {error.strerror}. Check its name.") from error
    except (ValueError, RecursionError) as error:
        raise MedDiffError(f"{path} is no JSON: {error}. Mend it, or export the items again.") from error
    if not isinstance(told, dict) or told.get("format") != FORMAT or not isinstance(told.get("items"), list):
        raise MedDiffError(f"{path} is no file of items: `meddiff items export FILE` writes one.")
    return tuple(_item(path, number, item) for number, item in enumerate(told["items"], 1))


def _item(path: Path, number: int, told: object) -> Item:
    try:
        return read_item(json.dumps(told))
    except MedDiffError as error:
        raise MedDiffError(f"{path}, item {number}: {error} Nothing of the file was taken.") from error
