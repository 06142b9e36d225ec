"""A search told: JSON for machines."""

from __future__ import annotations

import json
from pathlib import Path

from meddiff.exchange.atomic import write_atomic
from meddiff.stress.search import SearchResult

JSON = "search.json"


def write_search(found: SearchResult, folder: str | Path) -> tuple[Path, ...]:
    """Writes what a search found into its folder. Raises MedDiffError as `write_atomic`."""
    text = json.dumps(found.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"
    return (write_atomic(Path(folder) / JSON, lambda file: file.write_text(text, encoding="utf-8")),)
