"""`meddiff study`: plan a reader study, give readers their orders, record what they say, analyse, export."""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from meddiff.case import MedDiffError

if TYPE_CHECKING:
    from meddiff.teaching.study import Reading, Source
    from meddiff.teaching.study_analysis import Interval, Results

QUESTIONS = ("realism", "anatomy", "visibility", "misleading")  # of study.Question, which takes a while to import
FORMATS = ("imrmc", "csv", "json")
PLAN_COLUMNS = {"arm", "source", "case", "file"}


def add_parsers(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds what can be done with studies to the subparsers of `meddiff study`; the choice is in `args.do`."""

    def act(name: str, what: str) -> argparse.ArgumentParser:
        made = sub.add_parser(name, help=what, description=what[0].upper() + what[1:] + ".")
        if name != "plan":
            made.add_argument("study", metavar="STUDY", help="its id, RS-...")
        return made

    plan = act("plan", "plan a study from a table of pictures; only their hashes and neutral ids are kept")
    plan.add_argument(
        "pictures", type=Path, metavar="TABLE.csv",
        help="columns arm, source (real, synthetic or processed), case (the same word for versions of one case), file",
    )  # fmt: skip
    plan.add_argument("--title", required=True, help="of the study, for its keeper")
    plan.add_argument("--readers", nargs="+", required=True, metavar="NAME", help="pseudonyms of who reads")
    plan.add_argument(
        "--ask", nargs="+", choices=QUESTIONS, default=list(QUESTIONS), help="what is rated from 1 to 5 (default all)"
    )
    plan.add_argument("--seed", type=int, default=0, help="of the orders and the neutral ids (default 0)")
    plan.add_argument(
        "--key", type=Path, metavar="FILE.csv", help="also write which neutral id is which file, for whoever shows them"
    )
    given = act("assign", "show the pictures that a reader is to read, in order")
    given.add_argument("reader", metavar="READER", help="pseudonym, as in the plan")
    given.add_argument("--json", action="store_true", help="as JSON, with breaks and questions")
    taken = act("record", "record readings from a file")
    taken.add_argument(
        "readings", type=Path, metavar="FILE",
        help="a JSON object a line, or CSV: reader, picture, the ratings, ai_suspected, confidence, red_alert, seconds",
    )  # fmt: skip
    analysed = act("analyse", "compare the arms, the readers' agreement, and how well made pictures are told")
    _bootstrap(analysed)
    out = act("export", "write the readings for iMRMC or as CSV, or the results as JSON")
    out.add_argument("--format", action="append", choices=FORMATS, help="may be given several times (default csv)")
    out.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the files")
    _bootstrap(out)


def _bootstrap(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap (default 0)")
    parser.add_argument("--resamples", type=int, default=2000, metavar="N", help="of it, 100 to 10000 (default 2000)")


def run(args: argparse.Namespace) -> int:
    """Does what `args.do` says and returns the exit code, 0.

    Raises:
        MedDiffError: it cannot be done, in a sentence.
    """
    acts = {"plan": _plan, "assign": _assign, "record": _record, "analyse": _analyse, "export": _export}
    return acts[args.do](args)


def _plan(args: argparse.Namespace) -> int:
    from meddiff.teaching.study import Question, make_plan
    from meddiff.teaching.study_store import StudyStore

    arms, files = read_pictures(args.pictures)
    plan = make_plan(args.title, arms, args.readers, [Question(name) for name in args.ask], args.seed)
    new = StudyStore().keep(plan)
    print(f"{plan.id}  {'planned' if new else 'was planned so already'}: {plan.title}")
    for arm in plan.arms:
        print(f"  {arm.name}: {len(arm.pictures)} {arm.source} pictures")
    print(f"  readers: {', '.join(plan.readers)}")
    print(f"  digest: {plan.digest()}  (note it before the first reading)")
    if args.key:
        rows = sorted((name, str(files[picture.sha256])) for name, (_, picture) in plan.places.items())
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows([("picture", "file"), *rows])
        print(_write(args.key, out.getvalue()))
    return 0


def _assign(args: argparse.Namespace) -> int:
    from meddiff.teaching.study import assignment
    from meddiff.teaching.study_store import StudyStore

    store = StudyStore()
    given = assignment(store.plan(args.study), args.reader, store.suspended(args.study))
    print(given.model_dump_json(indent=2) if args.json else "\n".join(given.pictures))
    return 0


def _record(args: argparse.Namespace) -> int:
    from meddiff.teaching.study import check_reading
    from meddiff.teaching.study_store import StudyStore

    store, readings = StudyStore(), read_readings(args.readings)
    plan = store.plan(args.study)
    for reading in readings:  # before the first is recorded
        check_reading(plan, reading)
    new = sum(store.record(args.study, reading) for reading in readings)
    suspended = store.suspended(args.study)
    print(f"{new} readings recorded, {len(readings) - new} were there already")
    if suspended:
        print(f"suspended by red alerts: {', '.join(suspended)}")
    return 0


def _analyse(args: argparse.Namespace) -> int:
    print(results_text(_results(args)))
    return 0


def _export(args: argparse.Namespace) -> int:
    from meddiff.teaching.study_analysis import csv_text, imrmc_text
    from meddiff.teaching.study_store import StudyStore

    store = StudyStore()
    plan, readings = store.plan(args.study), store.readings(args.study)
    texts = {
        "imrmc": lambda: imrmc_text(plan, readings),
        "csv": lambda: csv_text(plan, readings),
        "json": lambda: _results(args).model_dump_json(indent=2) + "\n",
    }
    made = {kind: texts[kind]() for kind in args.format or ["csv"]}
    for kind, text in made.items():
        print(_write(args.out / f"{plan.id}.{kind}", text))
    return 0


def _write(path: Path, text: str) -> Path:
    from meddiff.exchange.atomic import write_atomic

    return write_atomic(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def _results(args: argparse.Namespace) -> Results:
    from meddiff.teaching.study_analysis import analyse
    from meddiff.teaching.study_store import StudyStore

    store = StudyStore()
    return analyse(store.plan(args.study), store.readings(args.study), args.seed, args.resamples)


def read_pictures(table: Path) -> tuple[dict[str, tuple[Source, list[tuple[str, str]]]], dict[str, Path]]:
    """The arms of a plan from a CSV table, as `study.make_plan` takes them, and the file of each hash.

    Files are named from the table's folder on.

    Raises:
        MedDiffError: the table or a file cannot be read, a column is missing, or a source is none or differs within an arm.
    """
    from meddiff.teaching.study import Source

    arms: dict[str, tuple[Source, list[tuple[str, str]]]] = {}
    files: dict[str, Path] = {}
    for line, row in _rows(table, PLAN_COLUMNS):
        if row["source"] not in list(Source):
            raise MedDiffError(
                f"{table}, line {line}: source is {row['source']!r}; write real, synthetic or processed."
            )
        path = table.parent / row["file"]
        try:
            sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise MedDiffError(f"{table}, line {line}: {path} cannot be read; give the picture's path.") from error
        source, pictures = arms.setdefault(row["arm"], (Source(row["source"]), []))
        if source != row["source"]:
            raise MedDiffError(f"{table}, line {line}: arm {row['arm']} was {source} before; an arm has one source.")
        pictures.append((row["case"], sha256))
        files[sha256] = path
    return arms, files


def read_readings(path: Path) -> list[Reading]:
    """Readings from JSON Lines or CSV (by the file's ending); empty cells are not rated.

    Raises:
        MedDiffError: the file cannot be read, or a line is no reading; it names the line.
    """
    from pydantic import ValidationError

    from meddiff.teaching.study import Reading

    found = []
    if path.suffix.lower() == ".csv":
        lines: Iterable[tuple[int, object]] = _rows(
            path, {"reader", "picture", "ai_suspected", "confidence", "seconds"}
        )
    else:
        lines = ((number, line) for number, line in enumerate(_text(path).splitlines(), 1) if line.strip())
    for number, said in lines:
        try:
            if isinstance(said, dict):
                said = {name: value for name, value in said.items() if name in Reading.model_fields and value != ""}
                found.append(Reading.model_validate(said))
            else:
                found.append(Reading.model_validate_json(str(said)))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "it"
            raise MedDiffError(f"{path}, line {number} is no reading: {where}: {first['msg']}.") from error
    return found


def results_text(results: Results) -> str:
    """Results as lines for people."""
    lines = [f"{results.study}  {results.readings} of {results.asked} readings by {len(results.readers)} readers"]
    for arm in results.arms:
        means = ", ".join(f"{mean.question} {mean.mean:.2f}{_between(mean.interval)}" for mean in arm.means)
        lines.append(f"  {arm.arm} ({arm.source}): {means}")
        lines.append(
            f"    AI suspected {100 * arm.suspected:.0f}%, red alerts {100 * arm.red_alerts:.1f}%, {arm.median_seconds:.0f} s"
        )
    for row in results.comparisons:
        p = "too few cases for a test" if row.p_holm is None else f"p {row.p_holm:.3f} (Holm)"
        lines.append(
            f"  {row.question}, {row.arm} less {row.other}: {row.difference:+.2f}{_between(row.interval)}, {p}, {row.test}, n {row.n}"
        )
    for found in results.detection:
        lines.append(
            f"  {found.arm} told from real: AUC {found.auc:.2f}{_between(found.auc_interval)}, forced choice "
            f"{100 * found.afc2:.0f}% of {found.afc2_of}"
        )
    for agreed in results.agreement:
        value = "cannot be told" if agreed.value is None else f"{agreed.value:.2f}"
        lines.append(f"  agreement on {agreed.question}: {value} ({agreed.method}, {agreed.pictures} pictures)")
    return "\n".join([*lines, *(f"  note: {note}" for note in results.notes)])


def _between(interval: Interval | None) -> str:
    return "" if interval is None else f" [{interval[0]:.2f}, {interval[1]:.2f}]"


def _rows(path: Path, needed: set[str]) -> list[tuple[int, dict[str, str]]]:
    """Lines of a CSV file with their numbers, spaces around words taken away."""
    reader = csv.DictReader(_text(path).splitlines())
    if missing := needed - {name.strip() for name in reader.fieldnames or ()}:
        raise MedDiffError(f"{path} has no column {min(missing)!r}: the first line must name the columns.")
    return [
        (reader.line_num, {name.strip(): (value or "").strip() for name, value in row.items() if name is not None})
        for row in reader
    ]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise MedDiffError(f"{path} cannot be read as text: give a file in UTF-8.") from error
