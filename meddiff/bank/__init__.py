"""Cases kept.

What this package offers is loaded when it is asked for. Python locks each module while it is imported: were the package to import its
own modules, a thread that enters by `meddiff.bank` and one that enters by `meddiff.bank.review` would wait for each other, and one of
them would be let go on with half a module.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meddiff.bank.fingerprint import Recognised
    from meddiff.bank.review import Change, Review
    from meddiff.bank.search import Entry, Found, Search, Sort
    from meddiff.bank.store import Bank, Version
else:
    _PLACES = {
        "Recognised": "fingerprint",
        **dict.fromkeys(("Change", "Review"), "review"),
        **dict.fromkeys(("Entry", "Found", "Search", "Sort"), "search"),
        **dict.fromkeys(("Bank", "Version"), "store"),
    }

    def __getattr__(name: str) -> object:
        if name not in _PLACES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)


__all__ = ["Bank", "Change", "Entry", "Found", "Recognised", "Review", "Search", "Sort", "Version"]
