"""What a run's folder says for its report: plan, detectors, versions, and the pictures of the cases that fail."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from meddiff.exchange.atomic import write_atomic
from meddiff.stress.journal import HEAD, NAME, read_head
from meddiff.stress.plan import StressPlan
from meddiff.stress.records import Outcome
from meddiff.stress.report import RunSummary, Tested

if TYPE_CHECKING:
    from meddiff.marking.seal import SealedCase
    from meddiff.stress.run import Result


def summary_of(folder: str | Path, command: str = "") -> RunSummary:
    """A run as its folder has it, for `report`.

    Args:
        command: that runs it again.

    Raises:
        MedDiffError: no run there.
    """
    folder = Path(folder)
    head: Any = read_head(folder)
    plan = StressPlan.model_validate(head["plan"])
    begun, journal = (folder / HEAD).stat().st_mtime, folder / NAME
    ended = journal.stat().st_mtime if journal.exists() else begun
    return RunSummary(
        title=plan.name,
        plan=plan_text(plan),
        plan_sha256=hashlib.sha256(plan.canonical_json().encode()).hexdigest(),
        pack=plan.pack,
        pack_sha256=str(head["pack_sha256"]),
        detectors=tuple(
            Tested(name=told["name"], contract=told["contract"], origin=_origin(told["spec"]), sha256=told["sha256"])
            for told in head["detectors"]
        ),
        seed=plan.seed,
        started=datetime.fromtimestamp(begun, UTC).isoformat(timespec="seconds"),
        seconds=max(ended - begun, 0.0),
        command=command,
        versions=(
            ("MedDiff", str(head["software"]).removeprefix("MedDiff ")),
            ("Python", platform.python_version()),
        ),
    )


def plan_text(plan: StressPlan) -> str:
    """A plan as YAML that `read_plan` takes; what stands as it is by default is left out, but for the pack and the seed."""
    told = plan.model_dump(mode="json")
    usual = StressPlan().model_dump(mode="json")
    kept = {
        name: value
        for name, value in told.items()
        if value != usual[name] or name in ("name", "pack", "seed", "design", "patients")
    }
    return yaml.safe_dump(kept, sort_keys=False, allow_unicode=True, default_flow_style=None, width=100)


def write_plan(plan: StressPlan, path: str | Path) -> Path:
    """Writes `plan_text`. Raises MedDiffError as `write_atomic`."""
    return write_atomic(path, lambda temporary: temporary.write_text(plan_text(plan), encoding="utf-8"))


def pictures_of(
    result: Result, outcomes: Sequence[Outcome], progress: Callable[[int, int], None] | None = None
) -> dict[int, SealedCase]:
    """Sealed cases of some trials by their numbers, made again: the report's pictures. A few seconds each.

    Raises:
        MedDiffError: other weights than the run's, or a picture that does not come out the same.
    """
    from meddiff.stress.pack import made_again  # the model comes with it

    wanted = {outcome.trial: outcome for outcome in outcomes if outcome.measures is not None}
    found: dict[int, SealedCase] = {}
    for outcome, case in made_again(result, wanted) if wanted else ():
        found[outcome.trial] = case
        if progress:
            progress(len(found), len(wanted))
    return found


def _origin(spec: str) -> str:
    """Where a detector came from; of a file its name: folders of a server are nobody's business."""
    return spec if spec.startswith(("http://", "https://")) else Path(spec).name
