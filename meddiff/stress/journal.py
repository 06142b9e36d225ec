"""What a run has done so far: a line of JSON a trial, appended and flushed to disk, read again after a kill.

A line that was cut off by a kill is dropped, and its trial is run again; a trial that stands there is never run twice.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from meddiff.case import MedDiffError
from meddiff.exchange.atomic import write_atomic
from meddiff.stress.records import Outcome

NAME = "journal.jsonl"
HEAD = "run.json"


class Journal:
    """The journal in a run's folder.

    Args:
        folder: of the run; made where it is missing.
        head: what the run is made of (plan, pack's hash, detectors, versions). A folder that was begun with another is refused.

    Raises:
        MedDiffError: the folder holds another run, or a damaged journal.
    """

    def __init__(self, folder: str | Path, head: dict[str, object]) -> None:
        self.folder = Path(folder)
        self.path = self.folder / NAME
        self.folder.mkdir(parents=True, exist_ok=True)
        told = json.dumps(head, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
        before = self.folder / HEAD
        if before.exists():
            if different := _differences(read_head(self.folder), json.loads(told)):
                raise MedDiffError(
                    f"{self.folder} holds a run with another {' and another '.join(different)}: go on with what it was begun "
                    "with, or give another folder."
                )
        else:
            write_atomic(before, lambda path: path.write_text(told, encoding="utf-8"))
        self.outcomes = {outcome.trial: outcome for outcome in read_journal(self.folder, mend=True)}

    def add(self, outcomes: Iterable[Outcome]) -> None:
        """Appends outcomes and waits until the disk has them. Those that are there already are left out.

        Raises:
            MedDiffError: the disk is full or will not be written.
        """
        new = [outcome for outcome in outcomes if outcome.trial not in self.outcomes]
        lines = "".join(outcome.canonical_json() + "\n" for outcome in new).encode()
        try:
            with open(self.path, "ab") as file:
                file.write(lines)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise MedDiffError(
                f"{self.path} cannot be written: {error.strerror or error}. What was finished is kept; free some space and start "
                "the same command again."
            ) from error
        self.outcomes.update((outcome.trial, outcome) for outcome in new)


def read_head(folder: str | Path) -> dict[str, object]:
    """What a run is made of.

    Raises:
        MedDiffError: no run in this folder.
    """
    path = Path(folder) / HEAD
    try:
        told = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise MedDiffError(
            f"{folder} holds no stress run ({HEAD} is missing or damaged): give the folder of one."
        ) from error
    if not isinstance(told, dict):
        raise MedDiffError(f"{path} is damaged: start the run again in another folder.")
    return told


def read_journal(folder: str | Path, mend: bool = False) -> list[Outcome]:
    """The outcomes in a run's folder, in the order of trials.

    Args:
        mend: cut off what a kill left of a last line.

    Raises:
        MedDiffError: a line in the middle that cannot be read, with its number.
    """
    path = Path(folder) / NAME
    if not path.exists():
        return []
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    found: dict[int, Outcome] = {}
    kept = 0
    for number, line in enumerate(lines, 1):
        try:
            if not line.endswith(b"\n"):
                raise ValueError("cut off")
            outcome = Outcome.model_validate_json(line)
        except (ValueError, ValidationError) as error:
            if number == len(lines):
                break
            raise MedDiffError(
                f"{path}, line {number} was changed or is damaged: start the run again in another folder."
            ) from error
        found.setdefault(outcome.trial, outcome)
        kept += len(line)
    if mend and kept < len(whole):
        with open(path, "r+b") as file:
            file.truncate(kept)
            os.fsync(file.fileno())
    return [found[trial] for trial in sorted(found)]


def _differences(old: dict[str, object], new: dict[str, object]) -> list[str]:
    names = {"plan": "plan", "pack_sha256": "model pack", "detectors": "detector", "software": "version of MedDiff"}
    return [words for key, words in names.items() if old.get(key) != new.get(key)]
