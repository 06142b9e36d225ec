"""Imports point one way."""

from __future__ import annotations

import ast
from pathlib import Path

HOUSE = Path(__file__).parent.parent / "meddiff"
BASE = {"case", "settings"}
ALLOWED = {
    "case": set(),
    "settings": set(),
    "imaging": BASE,
    "conditions": BASE | {"imaging"},
    "diffusion": BASE | {"conditions"},
    "marking": BASE,
    "exchange": BASE
    | {"marking"},  # what `bank` and the exporters write; the richer exporters may know synthesis later
    "synthesis": BASE | {"diffusion", "conditions", "imaging", "marking", "exchange"},
    "bank": BASE | {"marking", "exchange"},
    "evaluation": BASE | {"synthesis", "bank", "conditions", "diffusion", "imaging", "marking"},
    "training": BASE | {"imaging", "conditions", "diffusion", "synthesis", "evaluation"},
    "web": BASE | {"imaging", "conditions", "diffusion", "synthesis", "marking", "bank", "exchange"},
    "cli": BASE | {"imaging", "conditions", "diffusion", "synthesis", "marking", "bank", "exchange", "training"},
    "__main__": {"cli"},
}


def rooms_used(source: str) -> set[str]:
    """Rooms of the house that a module's text imports, inside functions too."""
    used = set()
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" if node.module == "meddiff" else node.module for alias in node.names]
        used |= {name.split(".")[1] for name in names if name.startswith("meddiff.")}
    return used - {"__version__"}


def violations(room: str, source: str) -> set[str]:
    """Rooms that `room` imports and may not."""
    return rooms_used(source) - ALLOWED[room] - {room}


def test_every_module_imports_only_what_its_room_may_know():
    wrong = {}
    for path in HOUSE.rglob("*.py"):
        parts = path.relative_to(HOUSE).with_suffix("").parts
        if parts == ("__init__",):
            continue
        if bad := violations(parts[0], path.read_text()):
            wrong["/".join(parts)] = bad
    assert not wrong


def test_an_import_against_the_direction_is_caught():
    assert violations("conditions", "from meddiff.diffusion.pipeline import MedDiffPipeline") == {"diffusion"}
    assert violations("bank", "def f():\n    import meddiff.web.app") == {"web"}
    assert not violations("web", "from meddiff.bank import Bank")


def test_nobody_imports_web_or_training_but_the_command_line():
    for room, known in ALLOWED.items():
        assert "web" not in known
        assert "training" not in known or room == "cli"
