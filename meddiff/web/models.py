"""The models behind the page, loaded beside it: the page shows at once, and says when the first case can be made."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from meddiff.case import MedDiffError
from meddiff.web import first_use

if TYPE_CHECKING:
    from meddiff.diffusion.checkpoint import PackInfo
    from meddiff.synthesis.studio import Studio

DEFAULT = ("brain-t1gd", "int8")  # pack, precision


def _open_studio(pack: str, precision: str) -> Studio:
    from meddiff.synthesis.studio import Studio  # torch comes with it: three seconds that the page does not wait for

    studio = Studio(pack, precision)
    studio.load()
    return studio


class Models:
    """Studios by pack and precision; each is loaded once and kept."""

    def __init__(self, opener: Callable[[str, str], Studio] = _open_studio) -> None:
        self._opener = opener
        self._studios: dict[tuple[str, str], Studio] = {}
        self._lock = threading.Lock()
        self._begun = threading.Event()
        self._state, self._words = "loading", "Loading the model…"

    def load_in_background(self) -> None:
        """Loads the default studio in a thread of its own, once, and the starter into an empty bank; a failure is told by `state`, never raised."""
        if not self._begun.is_set():
            self._begun.set()
            threading.Thread(target=self._load_default, name="model", daemon=True).start()

    def _load_default(self) -> None:
        with contextlib.suppress(MedDiffError):  # `state` tells
            self.studio(*DEFAULT)
        with contextlib.suppress(MedDiffError, OSError, ValueError):  # a damaged starter keeps nobody from working
            first_use.load_bank()
            from meddiff.teaching.starter import take_in_once

            take_in_once()

    def studio(self, pack: str, precision: str) -> Studio:
        """The studio of a pack at a precision; waits while it loads.

        Raises:
            MedDiffError: unknown pack, missing or changed files.
        """
        with self._lock:
            if (pack, precision) not in self._studios:
                self._state, self._words = "loading", "Loading the model…"
                try:
                    self._studios[pack, precision] = self._opener(pack, precision)
                except Exception as error:
                    self._state, self._words = "failed", str(error) or type(error).__name__
                    raise
            self._state, self._words = "ready", "Ready"
            return self._studios[pack, precision]

    @property
    def state(self) -> tuple[str, str]:
        """loading, ready or failed, and what to say of it."""
        return self._state, self._words

    def packs(self) -> list[PackInfo]:
        """Installed packs; empty until the model code is loaded, so that nobody waits for it here."""
        if self._state == "loading":
            return []
        from meddiff.diffusion.checkpoint import list_packs

        return list_packs()
