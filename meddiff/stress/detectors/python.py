"""A Python callable, by its name `package.module:callable`, so that another process finds it, too."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from meddiff.case import MedDiffError
from meddiff.stress.detectors.outputs import arrays_of


class PythonModel:
    """A callable that takes the array of its contract and returns one or several, as `outputs.arrays_of` reads them."""

    shape: tuple[int | None, ...] | None = None
    dtype: np.dtype | None = None

    def __init__(self, function: Callable[[np.ndarray], Any]) -> None:
        self._function = function

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        """See `detector.Model`."""
        return arrays_of(self._function(batch))


def import_callable(spec: str) -> Callable[[np.ndarray], Any]:
    """The callable of `package.module:callable`; of a class, one made without arguments.

    Raises:
        MedDiffError: where it cannot be imported or called.
    """
    module_name, _, name = spec.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
    except Exception as error:  # a user's module may raise anything as it is imported
        raise MedDiffError(
            f"The module {module_name} of the detector {spec} cannot be imported ({type(error).__name__}: {error}): "
            "run from the folder that holds it, or put that folder on PYTHONPATH."
        ) from error
    try:
        for part in name.split("."):
            found = getattr(found, part)
        function = found() if inspect.isclass(found) else found
    except Exception as error:
        raise MedDiffError(f"The detector {spec} cannot be made ({type(error).__name__}: {error}).") from error
    if not callable(function):
        raise MedDiffError(f"The detector {spec} is a {type(function).__name__}: give the name of a function or class.")
    return function  # type: ignore[no-any-return]


def name_of(function: Callable[..., Any]) -> str:
    """`package.module:callable`, by which another process imports it.

    Raises:
        MedDiffError: for one that has no such name: a lambda, a function inside another, one typed at a prompt.
    """
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "")
    if not module or module == "__main__" or not name or "<" in name:
        raise MedDiffError(
            f"The detector {name or function!r} cannot be run in a process of its own, because it has no name that can be imported: "
            "put it at the top of a module and give package.module:function."
        )
    return f"{module}:{name}"


def source_of(function: Callable[..., Any]) -> Path | None:
    """The file that a callable, or its class, is written in."""
    try:
        target = inspect.unwrap(function)
        written = target if inspect.isfunction(target) or inspect.isclass(target) else type(target)
        return Path(inspect.getfile(written))
    except TypeError:
        return None
