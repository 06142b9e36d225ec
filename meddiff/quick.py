"""diffusers without bitsandbytes where there is no GPU for it: two of the ten seconds in which a process loads the model code.

diffusers and peft import bitsandbytes, and the compiler of torch with it, wherever it is installed. Its 8-bit kernels run on CUDA only
(`diffusion.precision`). `meddiff` imports this module before anything else could import diffusers.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType


class Changed(Loader):
    """Loads a module as its own loader does, then changes it."""

    def __init__(self, loader: Loader, change: Callable[[ModuleType], None]) -> None:
        self._loader, self._change = loader, change

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        self._change(module)


class Changes(MetaPathFinder):
    """Finds the modules that are to be changed as they are loaded.

    Args:
        changes: what is done to a module, by its name.
    """

    def __init__(self, changes: dict[str, Callable[[ModuleType], None]]) -> None:
        self._changes = changes

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in self._changes:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = Changed(spec.loader, self._changes[fullname])
        return spec


def change(package: str, changes: dict[str, Callable[[ModuleType], None]]) -> None:
    """Lets modules of a package be changed as they are loaded; nothing where it is loaded already."""
    if package not in sys.modules:
        sys.meta_path.insert(0, Changes(changes))


def _without_bitsandbytes(module: ModuleType) -> None:
    import torch

    if not torch.cuda.is_available():
        module.__dict__["_bitsandbytes_available"] = False
        sys.modules.setdefault("bitsandbytes", None)  # type: ignore[arg-type]  # for peft, too: it cannot be found


change("diffusers", {"diffusers.utils.import_utils": _without_bitsandbytes})
