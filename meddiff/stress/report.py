"""A run told: one self-contained HTML page for people, JSON for machines, JUnit XML for somebody's CI.

Names of detectors and plans, and what a detector said when it failed, come from outside: all of it is escaped where it is written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol
from xml.etree import ElementTree

import numpy as np

from meddiff import __version__
from meddiff.case import SYNTHETIC_NOTICE, Record
from meddiff.exchange.atomic import write_atomic
from meddiff.marking.seal import SealedImage
from meddiff.stress.reads import reads_of
from meddiff.stress.records import Contract, Outcome
from meddiff.stress.scores import Scores
from meddiff.stress.thresholds import Verdict, failed

FORMAT, FORMAT_VERSION = "meddiff-stress-report", 1
MOST_FAILURES = 12  # shown of each detector: about 1.5 MB of pictures
LIMITS = (
    "Synthetic cases from a young model: a failure here is a hypothesis about the detector, to be confirmed on real images.",
    "What was not found to fail was not shown to be safe: the plan covers the factors it names, and nothing else.",
    "Half of the pictures hold a lesion, by design. Calibration, and any figure that depends on how common lesions are, are those "
    "of such a set.",
    "Intervals are of 95% over the patients of this run; they speak of other synthetic patients of the same plan and model.",
    "Conspicuity and the other measured values are measured in the picture by MedDiff; a radiologist may see it otherwise.",
    "Never for diagnosis. This is no certification and no clinical evaluation of the detector.",
)


class Tested(Record):
    """A detector under test: its name in the run, where it came from, the SHA-256 of its file, its contract."""

    name: str
    contract: Contract
    origin: str = ""
    sha256: str = ""


class RunSummary(Record):
    """What was run, on what.

    Attributes:
        title: name of the plan.
        plan: its text, YAML or JSON; plan_sha256: of what it says.
        pack, pack_sha256: of the model that made the cases.
        cases_sha256: hash of the pack of cases, where one was written.
        seed: of the plan.
        started: ISO 8601, UTC; seconds: that it took.
        command: that runs it again.
        versions: (what, version).
    """

    title: str
    plan: str
    plan_sha256: str
    pack: str
    pack_sha256: str
    detectors: tuple[Tested, ...]
    cases_sha256: str = ""
    seed: int = 0
    started: str = ""
    seconds: float = 0.0
    command: str = ""
    versions: tuple[tuple[str, str], ...] = (("MedDiff", __version__),)

    @property
    def contracts(self) -> dict[str, Contract]:
        """By the detectors' names."""
        return {detector.name: detector.contract for detector in self.detectors}


class Shown(Protocol):
    """The sealed pictures of a trial as the detector saw them, and the outline, bool [H, W]; a `SealedCase` is one."""

    @property
    def image(self) -> SealedImage: ...
    @property
    def twin(self) -> SealedImage: ...
    @property
    def mask(self) -> np.ndarray: ...


Pictures = Callable[[Outcome], Shown | None]


def failing(
    outcomes: Sequence[Outcome], contracts: Mapping[str, Contract], most: int = MOST_FAILURES
) -> tuple[Outcome, ...]:
    """The trials worth looking at: of each detector the misses of the clearest lesions, then the surest false alarms.

    Of each detector a third of the places is kept for false alarms where there are as many; no patient stands there twice for the same
    failure. In the order of conspicuity, the clearest first.

    Args:
        most: trials of each detector.
    """
    chosen: dict[int, Outcome] = {}
    for name, contract in contracts.items():
        mine = [outcome for outcome in outcomes if outcome.counts and name in outcome.answers]
        if not mine:
            continue
        reads = reads_of(name, contract, mine)
        clearest = sorted(np.flatnonzero(~reads.found).tolist(), key=lambda at: -mine[at].measured.conspicuity_acquired)
        surest = sorted(np.flatnonzero(reads.alarm).tolist(), key=lambda at: -reads.twin[at])
        alarms = _one_a_patient(mine, surest)[: most // 3]
        misses = _one_a_patient(mine, clearest)[: most - len(alarms)]
        chosen |= {outcome.trial: outcome for outcome in (*misses, *alarms)}
    return tuple(sorted(chosen.values(), key=lambda outcome: -outcome.measured.conspicuity_acquired))


def _one_a_patient(outcomes: Sequence[Outcome], places: Sequence[int]) -> list[Outcome]:
    first: dict[int, Outcome] = {}
    for at in places:
        first.setdefault(outcomes[at].block, outcomes[at])
    return list(first.values())


# ------------------------------------------------------------ files


def write_report(
    run: RunSummary,
    outcomes: Sequence[Outcome],
    scores: Scores,
    path: str | Path,
    verdicts: Sequence[Verdict] = (),
    pictures: Pictures | None = None,
    learners: Sequence[tuple[float, bool]] = (),
) -> Path:
    """Writes one HTML page that needs nothing else: no network, no script; style, plots and pictures are inside.

    Args:
        pictures: gives a trial's sealed pictures, made again or read; None where it has none. Asked for `failing` trials alone.
        learners: (conspicuity, right) of the question bank's answers, drawn on the detectors' axis.

    Raises:
        MedDiffError: a picture that is not sealed, or the file cannot be written; nothing half-written remains.
    """
    from meddiff.stress.page import page

    text = page(run, outcomes, scores, verdicts, pictures, learners)
    return write_atomic(path, lambda temporary: temporary.write_bytes(text.encode("utf-8", "replace")))


def write_json(run: RunSummary, scores: Scores, path: str | Path, verdicts: Sequence[Verdict] = ()) -> Path:
    """Writes plan, versions, every score and every threshold for machines. Raises MedDiffError as `write_atomic`."""
    told = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "notice": SYNTHETIC_NOTICE,
        "limits": LIMITS,
        "run": run.model_dump(mode="json"),
        "passed": not failed(verdicts),
        "thresholds": [verdict.model_dump(mode="json") for verdict in verdicts],
        "scores": scores.model_dump(mode="json"),
    }
    text = json.dumps(told, indent=1, allow_nan=False)
    return write_atomic(path, lambda temporary: temporary.write_text(text + "\n", encoding="utf-8"))


def write_junit(run: RunSummary, verdicts: Sequence[Verdict], path: str | Path) -> Path:
    """Writes JUnit XML: a suite a detector, a test case a threshold, a failure with the figure and its interval.

    Raises:
        MedDiffError: as `write_atomic`.
    """
    root = ElementTree.Element(
        "testsuites",
        name=_xml(run.title),
        tests=str(len(verdicts)),
        failures=str(len(failed(verdicts))),
        errors="0",
        time=f"{run.seconds:.3f}",
    )
    for detector in dict.fromkeys(verdict.detector for verdict in verdicts):
        mine = [verdict for verdict in verdicts if verdict.detector == detector]
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=_xml(detector),
            tests=str(len(mine)),
            failures=str(len(failed(mine))),
            errors="0",
            skipped="0",
            time=f"{run.seconds:.3f}",
        )
        if run.started:
            suite.set("timestamp", _xml(run.started))
        properties = ElementTree.SubElement(suite, "properties")
        for name, value in (("plan", run.plan_sha256), ("pack", run.pack_sha256), ("cases", run.cases_sha256)):
            if value:
                ElementTree.SubElement(properties, "property", name=name, value=_xml(value))
        for verdict in mine:
            name = f"{verdict.name} {verdict.direction} {verdict.limit:g}"
            case = ElementTree.SubElement(suite, "testcase", classname=_xml(detector), name=_xml(name), time="0")
            if verdict.passed:
                ElementTree.SubElement(case, "system-out").text = _xml(verdict.said)
            else:
                failure = ElementTree.SubElement(case, "failure", message=_xml(verdict.said), type="threshold")
                failure.text = _xml(f"{verdict.said} Threshold: {verdict.threshold}")
    ElementTree.indent(root)
    data = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return write_atomic(path, lambda temporary: temporary.write_bytes(data + b"\n"))


# Characters that XML 1.0 (2.2) does not allow, escaped or not: a crash may say anything.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _xml(words: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", words)
