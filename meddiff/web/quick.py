"""gradio without work that nobody here needs: it is imported in half the time, and a page of a thousand parts stays quick for many visitors.

| where | what it does | what is left out |
|---|---|---|
| `component_meta` | on import it parses the source of every component and compares it with a `.pyi` file beside it, for editors | all of it |
| `state_holder` | before a visitor's first event it describes every part of the page, for links to a visitor's state; half a second in which the server answers nobody | descriptions that nobody asks for |
| `blocks` | it looks at the same constructors' signatures again for every part | looking twice |
| `queueing` | after an event it computes how long events of each kind take, for a monitoring page that we do not show | all of it |

Import this module before gradio.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from types import ModuleType, SimpleNamespace
from typing import Any

from meddiff.quick import change


def _without_stubs(module: ModuleType) -> None:
    if hasattr(module, "create_or_modify_pyi"):
        module.__dict__["create_or_modify_pyi"] = lambda *_args: None


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

    def items(self) -> Any:
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


def _uncounted(module: ModuleType) -> None:
    module.Queue.compute_analytics_summary = lambda queue, _records: queue.cached_event_analytics_summary


LEFT_OUT: dict[str, Callable[[ModuleType], None]] = {
    "gradio.component_meta": _without_stubs,
    "gradio.state_holder": _described_on_demand,
    "gradio.blocks": _signatures_once,
    "gradio.queueing": _uncounted,
}


change("gradio", LEFT_OUT)
