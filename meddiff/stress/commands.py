"""`meddiff stress`: check a detector, plan, run, report, search, pack, rebuild, test again."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from meddiff.case import MedDiffError

if TYPE_CHECKING:
    from meddiff.stress.files import Reported
    from meddiff.stress.plan import StressPlan
    from meddiff.stress.records import DetectorSpec
    from meddiff.stress.run import Progress, Result
    from meddiff.stress.search import SearchResult

NAMED = re.compile(r"(?P<name>[\w .-]{1,60})=(?P<spec>.+)")
WHICH = ("missed", "counted", "all")
FORMATS = ("png", "dicom", "nifti", "coco")


def add_parsers(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds what the lab can do to the subparsers of `meddiff stress`; the choice is in `args.do`."""

    def act(name: str, what: str) -> argparse.ArgumentParser:
        return sub.add_parser(name, help=what, description=what[0].upper() + what[1:] + ".")

    checked = act("check", "start a detector, show it a probe picture, and say whether it keeps to its contract")
    _detector(checked)
    planned = act("plan", "say what a plan would take and could tell, before anything is run")
    planned.add_argument("plan", type=Path, metavar="PLAN.yaml")
    planned.add_argument(
        "--expect", type=float, default=0.8, metavar="SHARE", help="sensitivity that the figures are for (default 0.8)"
    )
    ran = act("run", "run a plan on one or more detectors; the same command goes on where a run was stopped")
    ran.add_argument("plan", type=Path, metavar="PLAN.yaml")
    _detector(ran)
    ran.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the run and its report")
    _workers(ran)
    ran.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="run on a Ray cluster: auto, ray://host:10001, or local for one on this machine",
    )
    _judged(ran)
    told = act("report", "write the report of a run again, finished or not")
    told.add_argument("run", type=Path, metavar="DIR", help="folder of the run")
    _judged(told)
    looked = act("search", "look for cases that a detector misses, within what is plausible, beside random search")
    looked.add_argument(
        "plan", type=Path, metavar="PLAN.yaml", help="its factors are the space: first and last number, or the words"
    )
    _detector(looked)
    looked.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the search and its report")
    looked.add_argument("--budget", type=int, default=60, metavar="N", help="cases of each method (default 60)")
    looked.add_argument(
        "--least-conspicuity", type=float, default=2.0, metavar="C",
        help="contrast to noise below which a missed lesion counts as invisible (default 2)",
    )  # fmt: skip
    looked.add_argument("--no-random", action="store_true", help="without random search to compare with")
    _workers(looked)
    packed = act("pack", "write cases of a run as a pack that anybody can rebuild and run again")
    packed.add_argument("run", type=Path, metavar="DIR", help="folder of the run")
    packed.add_argument(
        "--out", type=Path, required=True, metavar="PACK", help="a new folder, or a file that ends in .zip"
    )
    packed.add_argument(
        "--which", choices=WHICH, default="counted",
        help="missed: by any of the detectors; counted: those that are scored; all (default counted)",
    )  # fmt: skip
    packed.add_argument("--format", action="append", choices=FORMATS, help="may be given several times (default all)")
    again = act("rebuild", "make every case of a pack again and compare each file, byte for byte")
    again.add_argument("pack", type=Path, metavar="PACK")
    again.epilog = "exit code: 0 identical, 1 not, 2 cannot be rebuilt"
    other = act("retest", "show the cases of a pack to detectors, from the pack's own files")
    other.add_argument("pack", type=Path, metavar="PACK")
    _detector(other)
    other.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the report")
    _judged(other)
    for made in (ran, told, other):
        made.epilog = "exit code: 0 done and every threshold reached, 1 a threshold was missed, 2 cannot be done"


def run(args: argparse.Namespace, learners: Callable[[], Sequence[tuple[float, bool]]]) -> int:
    """Does what was asked; see `add_parsers`.

    Args:
        learners: gives (conspicuity, right) of the question bank's answers, which this room may not know.
    """
    args.learners_of = learners
    acts: dict[str, Callable[[argparse.Namespace], int]] = {
        "check": _check, "plan": _plan, "run": _run, "report": _report, "search": _search, "pack": _pack, "rebuild": _rebuild,
        "retest": _retest,
    }  # fmt: skip
    return acts[args.do](args)


def detector_of(text: str, contract: Path | None = None) -> DetectorSpec:
    """A detector from the command line: a file, an address, `package.module:function` or a reference's name; `name=` may stand before it.

    Raises:
        MedDiffError: a contract that cannot be read.
    """
    from meddiff.stress.detectors.contract import read_contract
    from meddiff.stress.records import DetectorSpec

    named = NAMED.fullmatch(text)
    name, spec = (named["name"].strip(), named["spec"]) if named and "://" not in named["name"] else ("", text)
    return DetectorSpec(spec=spec, name=name, contract=read_contract(contract) if contract else None)


def _detector(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--detector", action="append", required=True, metavar="[NAME=]WHAT",
        help="a file (.onnx, .pt or .ts, .xml, .tflite), http(s)://address, package.module:function, or segmenter or classifier, "
        "which ship with MedDiff; may be given several times",
    )  # fmt: skip
    parser.add_argument(
        "--contract", type=Path, metavar="FILE.yaml",
        help="what a detector takes and gives, where no NAME.yaml or contract.yaml lies beside its file; with one detector only",
    )  # fmt: skip


def _workers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--workers", type=int, default=0, metavar="N", help="processes (default one a core)")


def _judged(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--fail-under", action="append", default=[], metavar="MEASURE=LIMIT",
        help="exit with 1 unless reached: sensitivity=0.8, sensitivity.size_mm.27=0.7, false_positive_share=0.1 (at most), c80=3 "
        "(at most), faults=0; docs/stress.md has them all; may be given several times",
    )  # fmt: skip
    parser.add_argument("--strict", action="store_true", help="judge the bad end of the 95%% interval, not the figure")
    parser.add_argument(
        "--learners",
        action="store_true",
        help="draw the answers in the question bank on the detectors' conspicuity axis",
    )
    parser.add_argument(
        "--no-pictures", action="store_true", help="a report without the failing cases, which are made again for it"
    )


def _specs(args: argparse.Namespace) -> list[DetectorSpec]:
    if args.contract and len(args.detector) > 1:
        raise MedDiffError("--contract is for one detector: with several, lay a contract.yaml beside each one's file.")
    return [detector_of(text, args.contract) for text in args.detector]


# ---------------------------------------------------------------- what is done


def _check(args: argparse.Namespace) -> int:
    from meddiff.stress.run import identify

    for spec in _specs(args):
        told = identify(spec, 30)
        c = told.contract
        spacing = f" of {c.spacing_mm:g} mm" if c.spacing_mm else ""
        print(
            f"{told.name}: {c.kind.value}, {c.size[0]} x {c.size[1]} pixels{spacing}, {c.channels} channel(s), values {c.low:g} to {c.high:g}"
        )
        print(
            f"  operating point {c.threshold:g}; answered the probe picture within its contract"
            + (f"; SHA-256 {told.sha256[:16]}" if told.sha256 else "")
        )
    return 0


def _plan(args: argparse.Namespace) -> int:
    from meddiff.stress.plan import read_plan

    print(outlook(read_plan(args.plan), args.expect))
    return 0


def outlook(plan: StressPlan, expected: float = 0.8) -> str:
    """What a plan would take and could tell, in lines of words."""
    from meddiff.stress.estimate import estimate, minutes
    from meddiff.stress.plan import Design

    told = estimate(plan, expected=expected)
    kind = "points" if plan.design is Design.LATIN_HYPERCUBE else "patients at each level"
    can = told.power
    lines = [
        f"{plan.name}: {plan.design.value}, {plan.patients} {kind}, {told.trials:,} trials, {told.cases:,} cases to make, each with its twin",
        f"about {minutes(told.seconds)} on {os.cpu_count()} cores like those of docs/stress.md; it can be stopped and goes on",
        f"a sensitivity of {expected:.0%} will be told to within +/- {can.half_width:.0%} at each level, if every patient counts",
    ]
    for words, fall in (("the same patients", can.paired), ("other patients", can.unpaired)):
        least = f"a difference of {fall:.0%} or more" if fall is not None else "no difference"
        lines.append(f"between two levels with {words}: {least} is told with 80% power")
    return "\n".join(lines)


def _run(args: argparse.Namespace) -> int:
    from meddiff.stress.plan import read_plan
    from meddiff.stress.run import run as run_plan

    plan = read_plan(args.plan)
    print(outlook(plan), flush=True)
    _judgeable(args)
    begun = time.monotonic()
    result = run_plan(plan, _specs(args), args.out, args.workers, args.ray, _progress())
    print(f"\n{len(result.outcomes):,} trials in {args.out}; this call took {time.monotonic() - begun:.0f} s")
    return _reported(result, args.out, args)


def _report(args: argparse.Namespace) -> int:
    from meddiff.stress.run import read_run

    _judgeable(args)
    return _reported(read_run(args.run), args.run, args)


def _retest(args: argparse.Namespace) -> int:
    from meddiff.stress.pack import retest_pack

    _judgeable(args)
    args.no_pictures = True  # they lie in the pack
    return _reported(retest_pack(args.pack, _specs(args), _count), args.out, args)


def _judgeable(args: argparse.Namespace) -> None:
    """Refuses a threshold that cannot be read before hours are spent."""
    from meddiff.stress.thresholds import parse

    for text in args.fail_under:
        parse(text)


def _reported(result: Result, folder: Path, args: argparse.Namespace) -> int:
    from meddiff.stress.files import write_files

    command = shlex.join(["meddiff", *sys.argv[1:]]) if sys.argv[1:2] == ["stress"] else ""
    answers = args.learners_of() if args.learners else ()
    told = write_files(result, folder, args.fail_under, args.strict, answers, not args.no_pictures, command)
    print(said(told))
    return 0 if all(verdict.passed for verdict in told.verdicts) else 1


def said(told: Reported) -> str:
    """The headline of a report in lines of words."""
    scores = told.scores
    lines = [f"{scores.counted} of {scores.trials} trials count, of {scores.blocks} patients"]
    for d in scores.detectors:
        s, f = d.sensitivity, d.false_positive_share
        lines.append(
            f"{d.name}: sensitivity {_interval(s.value, s.low, s.high)}, clean twins with a false alarm {_interval(f.value, f.low, f.high)}"
        )
        for share in (0.5, 0.8):
            point = d.psychometric.point(share)
            where = _interval(point.value, point.low, point.high, "{:.2f}") if point.value is not None else point.said
            lines.append(f"  {share:.0%} are found from a conspicuity of {where}")
        if d.fault_count:
            lines.append(
                f"  {d.fault_count} pictures without an answer: "
                + ", ".join(f"{row.kind.value} {row.cases + row.twins}" for row in d.faults)
            )
        lines += [f"  worse where {one.words}: {one.found} of {one.n} found" for one in d.worst[:3]]
    lines += [
        f"{'passed' if verdict.passed else 'FAILED'}: {verdict.detector}: {verdict.said}" for verdict in told.verdicts
    ]
    lines += [f"wrote {path}" for path in told.files]
    return "\n".join(lines)


def _interval(value: float | None, low: float | None, high: float | None, form: str = "{:.0%}") -> str:
    if value is None:
        return "not known"
    ends = " to ".join("?" if end is None else form.format(end) for end in (low, high))
    return f"{form.format(value)} ({ends})"


def _search(args: argparse.Namespace) -> int:
    from meddiff.stress.plan import read_plan
    from meddiff.stress.search import search, search_plan
    from meddiff.stress.search_report import write_search

    specs = _specs(args)
    if len(specs) > 1:
        raise MedDiffError("A search looks for what one detector misses: name one.")
    asked = search_plan(
        read_plan(args.plan), budget=args.budget, least_conspicuity=args.least_conspicuity,
        methods=("tpe",) if args.no_random else ("tpe", "random"),
    )  # fmt: skip
    found = search(asked, specs[0], args.out, args.workers, _count)
    print(f"\n{found_words(found)}")
    for path in write_search(found, args.out):
        print(f"wrote {path}")
    return 0


def found_words(found: SearchResult) -> str:
    """What a search found, in lines of words."""
    lines = [
        f"{one.method}: {one.missed} visible lesions missed in {one.tried} cases ({one.distinct} distinct, {one.fair} cases fair)"
        + (f", the first after {one.first}" if one.first else "")
        for one in found.methods
    ]
    if found.p is not None:
        lines.append(f"difference between the methods: p = {found.p:.2g} (Fisher's exact test)")
    for one in found.found[:5]:
        m = one.outcome.measured
        levels = ", ".join(f"{name} {level}" for name, level in one.outcome.levels.items())
        lines.append(
            f"missed: {one.outcome.case}, {m.size_mm:.0f} mm, conspicuity {m.conspicuity_acquired:.1f} ({levels})"
        )
    if found.flip:
        by_trial = {outcome.trial: outcome for outcome in found.outcomes}
        missed, seen = (by_trial[trial] for trial in found.flip)
        name = found.flip_factor
        lines.append(
            f"smallest change that flips it: {name} {missed.levels[name]} is missed, {seen.levels[name]} is found"
        )
    return "\n".join(lines)


def _pack(args: argparse.Namespace) -> int:
    from meddiff.stress.failures import wanted
    from meddiff.stress.pack import write_pack
    from meddiff.stress.run import read_run

    result = read_run(args.run)
    path = write_pack(result, args.out, wanted(result, args.which), args.format or FORMATS, _count)
    print(f"\nwrote {path}; `meddiff stress rebuild {path}` proves it")
    return 0


def _rebuild(args: argparse.Namespace) -> int:
    from meddiff.stress.pack import rebuild_pack

    told = rebuild_pack(args.pack, _count)
    print()
    for name, why in told.different:
        print(f"differs: {name}" + (f" ({why})" if why else ""))
    if told.versions:
        print(f"other versions here: {', '.join(told.versions)}")
    same = told.files - len(told.different)
    print(f"{told.cases} cases made again: {same} of {told.files} files identical, byte for byte")
    return 0 if told.identical else 1


def _progress() -> Callable[[Progress], None]:
    def shown(now: Progress) -> None:
        left = f", about {_span(now.eta_s)} left" if now.eta_s is not None and now.done < now.total else ""
        print(f"\r{now.done:,} of {now.total:,} trials{left}      ", end="", flush=True)

    return shown


def _count(done: int, total: int) -> None:
    print(f"\r{done:,} of {total:,} cases", end="", flush=True)


def _span(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 90
        else f"{seconds / 60:.0f} min"
        if seconds < 5400
        else f"{seconds / 3600:.1f} h"
    )
