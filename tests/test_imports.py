"""Imports point one way, and nothing is imported that the pinned requirements do not bring."""

from __future__ import annotations

import ast
import sys
from graphlib import TopologicalSorter
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
HOUSE = ROOT / "meddiff"
BASE = {"case", "settings"}
MAKERS = BASE | {"imaging", "conditions", "diffusion", "synthesis", "marking"}
ALLOWED: dict[str, set[str]] = {
    "case": set(),
    "settings": set(),
    "plot": set(),  # parts of plots as SVG: words and numbers in, text out
    "statistics": set(),  # of numbers alone
    "quick": set(),  # how libraries are loaded without what nobody here needs
    "imaging": BASE,
    "conditions": BASE | {"imaging"},
    "diffusion": BASE | {"conditions"},
    "marking": BASE,
    "exchange": BASE | {"marking"},  # below `bank`, which stores what the PNG writer writes
    "synthesis": BASE | {"imaging", "conditions", "diffusion", "marking", "exchange"},
    "bank": BASE | {"marking", "exchange"},
    "verify": BASE | {"imaging", "marking", "exchange", "bank"},
    "teaching": MAKERS | {"bank", "exchange", "plot", "statistics"},
    "stress": MAKERS | {"bank", "exchange", "plot", "statistics"},
    "evaluation": MAKERS | {"bank", "exchange", "plot", "statistics"},
    "training": MAKERS | {"evaluation"},
    "web": MAKERS | {"bank", "exchange", "teaching", "stress", "evaluation", "verify", "plot", "quick"},
    "cli": MAKERS | {"bank", "exchange", "teaching", "stress", "evaluation", "training", "verify"},
    "__main__": {"cli"},
}


def modules_used(source: str, package: str = "meddiff") -> set[str]:
    """Full names of the modules that a module's text imports, inside functions too.

    Args:
        package: the package that the module stands in, for imports that begin with a dot.
    """
    used = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            used |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            # `from meddiff import bank` names a room, `from meddiff.bank import Bank` a thing in one.
            used |= {f"{origin}.{alias.name}" for alias in node.names} if origin == "meddiff" else {origin}
    return used


def violations(room: str, source: str, package: str = "meddiff") -> set[str]:
    """Rooms that a module in `room` imports and may not."""
    used = {name.split(".")[1] for name in modules_used(source, package) if name.startswith("meddiff.")}
    return used - {"__version__"} - ALLOWED[room] - {room}


def house() -> list[tuple[str, str, Path]]:
    """Room, package and path of every module but `meddiff/__init__.py`."""
    found = []
    for path in sorted(HOUSE.rglob("*.py")):
        parts = path.relative_to(HOUSE).with_suffix("").parts
        if parts != ("__init__",):
            found.append((parts[0], ".".join(["meddiff", *parts[:-1]]), path))
    return found


@pytest.mark.parametrize(("room", "package", "path"), house(), ids=lambda value: getattr(value, "stem", None))
def test_a_module_imports_only_what_its_room_may_know(room, package, path):
    assert room in ALLOWED, f"{room} is a new room: say in ALLOWED whom it may know"
    assert not violations(room, path.read_text(encoding="utf-8"), package)


@pytest.mark.parametrize(
    ("room", "source", "package", "caught"),
    [
        ("conditions", "from meddiff.diffusion.pipeline import MedDiffPipeline", "meddiff.conditions", {"diffusion"}),
        ("bank", "def f():\n    import meddiff.web.app", "meddiff.bank", {"web"}),
        ("imaging", "from meddiff import marking", "meddiff.imaging", {"marking"}),
        ("marking", "from ..bank.store import Bank", "meddiff.marking", {"bank"}),
        ("diffusion", "from .. import training", "meddiff.diffusion", {"training"}),
        ("case", "from .settings import settings", "meddiff", {"settings"}),
        ("case", "from meddiff import __version__", "meddiff", set()),
        ("bank", "from .store import Bank", "meddiff.bank", set()),
        ("web", "from meddiff.bank import Bank", "meddiff.web", set()),
    ],
)
def test_an_import_against_the_direction_is_caught(room, source, package, caught):
    assert violations(room, source, package) == caught


def test_the_rule_itself_has_no_circle():
    order = list(TopologicalSorter(ALLOWED).static_order())
    assert set(order[:5]) == BASE | {"plot", "statistics", "quick"}


def test_nobody_imports_web_or_cli_and_only_the_command_line_imports_training():
    assert not any("web" in known for known in ALLOWED.values())
    assert {room for room, known in ALLOWED.items() if "cli" in known} == {"__main__"}
    assert {room for room, known in ALLOWED.items() if "training" in known} == {"cli"}


def pinned() -> set[str]:
    """Canonical names in requirements.txt."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return {canonicalize_name(Requirement(line).name) for line in lines if line and not line.startswith(("-", "#"))}


def test_every_requirement_is_pinned_and_torch_comes_first():
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("torch==")
    assert lines[-1] == "-e ."
    for name in ("requirements.txt", "requirements-dev.txt"):
        wanted = (ROOT / name).read_text(encoding="utf-8").splitlines()
        assert all("==" in line for line in wanted if not line.startswith("-")), name


def test_what_the_app_imports_is_in_the_requirements():
    providers = packages_distributions()
    # starlette and the like come with what is pinned: one level is enough to know that a bare machine has them.
    brought = pinned() | {
        canonicalize_name(Requirement(line).name) for name in pinned() for line in requires(name) or ()
    }
    missing = {}
    for room, package, path in [*house(), ("app", "", ROOT / "app.py")]:
        tops = {name.split(".")[0] for name in modules_used(path.read_text(encoding="utf-8"), package)}
        for top in tops - set(sys.stdlib_module_names) - {"meddiff"}:
            if not {canonicalize_name(name) for name in providers.get(top, [top])} & brought and room != "training":
                missing[f"{path.name}: {top}"] = providers.get(top)
    assert not missing, "add them to requirements.txt"
