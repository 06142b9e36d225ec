"""gradio without work that nobody here needs: it is imported in half the time, and a page of a thousand parts stays quick for many visitors.

| where | what it does | what is left out |
|---|---|---|
| `component_meta` | on import it parses the source of every component and compares it with a `.pyi` file beside it, for editors | all of it |
| `state_holder` | before a visitor's first event it describes every part of the page, for links to a visitor's state; half a second in which the server answers nobody | descriptions that nobody asks for |
| `blocks` | it looks at the same constructors' signatures again for every part | looking twice |

Import this module before gradio.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, ItemsView, Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType, SimpleNamespace
from typing import Any


def _without_stubs(module: ModuleType) -> None:
    if hasattr(module, "create_or_modify_pyi"):
        module.create_or_modify_pyi = lambda *_args: None


def _described_on_demand(module: ModuleType) -> None:
    begin = module.SessionState.__init__

    def begun(session: Any, blocks: Any) -> None:
        begin(session, SimpleNamespace(default_config=blocks.default_config, blocks=()))  # as for a page without parts
        session.config_values = Descriptions(session.blocks_config, blocks.blocks)

    module.SessionState.__init__ = begun


class Descriptions(dict[int, dict[str, Any]]):
    """What gradio calls a session's `config_values`, each made when it is first asked for.

    Args:
        config: the session's own `BlocksConfig`.
        shown: the page's parts, by their numbers.
    """

    def __init__(self, config: Any, shown: Mapping[int, Any]) -> None:
        super().__init__()
        self._config, self._shown = config, shown

    def __missing__(self, key: int) -> dict[str, Any]:
        made: dict[str, Any] = self._config.config_for_block(key, [], self._config.blocks[key])
        self[key] = made
        return made

    def items(self) -> ItemsView[int, dict[str, Any]]:
        """All of the page's parts."""
        for key in self._shown:
            if key in self._config.blocks:
                self[key]
        return super().items()


def _signatures_once(module: ModuleType) -> None:
    quick = ModuleType("inspect")
    quick.__dict__.update(vars(inspect))
    quick.__dict__["signature"] = functools.lru_cache(maxsize=1024)(inspect.signature)
    module.__dict__["inspect"] = quick


LEFT_OUT: dict[str, Callable[[ModuleType], None]] = {
    "gradio.component_meta": _without_stubs,
    "gradio.state_holder": _described_on_demand,
    "gradio.blocks": _signatures_once,
}


class _Then(Loader):
    """Loads a module as its own loader does, then changes it."""

    def __init__(self, loader: Loader, change: Callable[[ModuleType], None]) -> None:
        self._loader, self._change = loader, change

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        self._change(module)


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in LEFT_OUT:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Then(spec.loader, LEFT_OUT[fullname])
        return spec


if "gradio" not in sys.modules:
    sys.meta_path.insert(0, _Finder())
