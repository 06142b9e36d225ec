"""`meddiff study`: plan a reader study, give readers their orders, record what they say, decide on alerts, analyse, export."""

from __future__ import annotations

import argparse
import csv
import io
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from meddiff.case import MedDiffError

if TYPE_CHECKING:
    from meddiff.teaching.study import Plan, Reading, Source
    from meddiff.teaching.study_analysis import Interval, Results
    from meddiff.teaching.study_pictures import Place, Showing

QUESTIONS = ("realism", "anatomy", "visibility", "misleading")  # of study.Question, which takes a while to import
FORMATS = ("imrmc", "csv", "json")
CASE_ID = r"MD-[0-9a-f]{12}"  # of a case in the bank
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
        help="columns arm, source (real, synthetic or processed), case (the same word for versions of one case), file (or the id "
        "of a case in the bank, MD-..., and MD-... twin)",
    )  # fmt: skip
    plan.add_argument("--title", required=True, help="of the study, for its keeper")
    plan.add_argument("--readers", nargs="+", required=True, metavar="NAME", help="pseudonyms of who reads")
    plan.add_argument(
        "--ask", nargs="+", choices=QUESTIONS, default=list(QUESTIONS), help="what is rated from 1 to 5 (default all)"
    )
    plan.add_argument(
        "--pairs", action="store_true",
        help="show the real and the made picture of a case side by side, and ask which is AI (2AFC); nothing is rated",
    )  # fmt: skip
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
    act("alerts", "show the cases that readers flagged, with their reasons")
    decided = act("decide", "decide whether readers go on seeing a flagged case")
    decided.add_argument("case", metavar="CASE", help="RC-..., as `alerts` names it")
    decided.add_argument("what", choices=("show", "suspend"))
    decided.add_argument("--who", required=True, metavar="NAME", help="of who decides")
    decided.add_argument("--why", required=True, metavar="WORDS", help="the reason")
    again = act("pictures", "say where a study's pictures are now, so that the page can show them")
    again.add_argument("folder", type=Path, metavar="FOLDER")
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
    acts = {
        "plan": _plan, "assign": _assign, "record": _record, "alerts": _alerts, "decide": _decide, "pictures": _pictures,
        "analyse": _analyse, "export": _export,
    }  # fmt: skip
    return acts[args.do](args)


def _plan(args: argparse.Namespace) -> int:
    from meddiff.teaching.study import Design, Question, make_plan
    from meddiff.teaching.study_pictures import showing_of
    from meddiff.teaching.study_store import StudyStore

    arms, places = read_pictures(args.pictures)
    design = Design.PAIRS if args.pairs else Design.SINGLE
    plan = make_plan(args.title, arms, args.readers, [Question(name) for name in args.ask], args.seed, design)
    store = StudyStore()
    new = store.keep(plan)
    print(f"{plan.id}  {'planned' if new else 'was planned so already'}: {plan.title}")
    for arm in plan.arms:
        print(f"  {arm.name}: {len(arm.pictures)} {arm.source} pictures")
    print(f"  readers: {', '.join(plan.readers)}")
    print(f"  digest: {plan.digest()}  (note it before the first reading)")
    try:
        showing = showing_of(plan, places)
        store.show(plan.id, showing)
        print(f"  readers read at /read-study?study={plan.id} of the page: {made_alike(showing)}")
    except MedDiffError as error:
        print(f"  the page cannot show it: {error}")
    if args.key:
        rows = sorted((name, told_place(places[found.sha256])) for name, (_, found) in plan.places.items())
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows([("picture", "file"), *rows])
        print(_write(args.key, out.getvalue()))
    return 0


def made_alike(showing: Showing) -> str:
    """How a study's pictures are brought to one size, in words."""
    if showing.field_mm is None:
        return f"each picture whole, its longer side {showing.side} pixels"
    return f"{showing.field_mm:.0f} mm of each picture on {showing.side} x {showing.side} pixels"


def told_place(place: Place) -> str:
    """A picture's file, or its case in the bank, as the table of `plan` names it."""
    return f"{place.case}{' twin' if place.twin else ''}" if place.case else place.file


def _assign(args: argparse.Namespace) -> int:
    from meddiff.teaching.study import assignment
    from meddiff.teaching.study_store import StudyStore

    store = StudyStore()
    given = assignment(store.plan(args.study), args.reader, store.suspended(args.study))
    print(given.model_dump_json(indent=2) if args.json else "\n".join(given.pictures))
    return 0


def _record(args: argparse.Namespace) -> int:
    from meddiff.teaching.study import check_together
    from meddiff.teaching.study_store import StudyStore

    store, readings = StudyStore(), read_readings(args.readings)
    together = _together(store.plan(args.study), readings)
    for said in together:  # before the first is recorded
        check_together(store.plan(args.study), said)
    new = sum(len(said) for said in together if store.record(args.study, *said))
    suspended = store.suspended(args.study)
    print(f"{new} readings recorded, {len(readings) - new} were there already")
    if suspended:
        print(f"suspended by red alerts: {', '.join(suspended)}")
    return 0


def _together(plan: Plan, readings: Iterable[Reading]) -> list[list[Reading]]:
    """Readings one by one, or those of a pair by twos, in the order that they came."""
    from meddiff.teaching.study import Design, check_reading

    found: dict[tuple[str, str], list[Reading]] = {}
    for reading in readings:
        check_reading(plan, reading)
        case = plan.places[reading.picture][1].case
        found.setdefault((reading.reader, case if plan.design is Design.PAIRS else reading.picture), []).append(reading)
    return list(found.values()) if plan.design is Design.PAIRS else [[one] for said in found.values() for one in said]


def _alerts(args: argparse.Namespace) -> int:
    from meddiff.teaching.study import flagged_cases
    from meddiff.teaching.study_store import StudyStore

    store = StudyStore()
    plan = store.plan(args.study)
    flagged = flagged_cases(plan, store.readings(args.study), store.decisions(args.study))
    for found in flagged:
        print(f"{found.case}  {'suspended' if found.suspended else 'shown'}")
        for reader, picture, reason in found.said:
            print(f"  {reader} on {picture} ({plan.places[picture][0].name}): {reason or 'no reason given'}")
        if found.decision:
            what = "show" if found.decision.shown else "suspend"
            print(f"  {found.decision.who} decided to {what} it: {found.decision.why}")
    if not flagged:
        print("No case was flagged.")
    return 0


def _decide(args: argparse.Namespace) -> int:
    from meddiff.teaching.study_store import StudyStore

    decision = StudyStore().decide(args.study, args.case, args.what == "show", args.who, args.why)
    print(f"{decision.case}: readers {'go on seeing it' if decision.shown else 'do not see it any more'}")
    return 0


def _pictures(args: argparse.Namespace) -> int:
    from meddiff.teaching.study_pictures import folder_pictures, found_again, gone, showing_of
    from meddiff.teaching.study_store import StudyStore

    store = StudyStore()
    plan = store.plan(args.study)
    here = [one.place for one in folder_pictures(args.folder)]
    try:
        showing, found = found_again(store.showing(args.study), [place.file for place in here])
    except MedDiffError:
        by_hash = {place.sha256: place for place in here}
        wanted = {picture.sha256 for _, picture in plan.places.values()}
        if wanted - by_hash.keys():
            raise
        showing, found = showing_of(plan, by_hash), len(wanted)
    store.show(args.study, showing)
    print(f"{found} pictures found, {len(gone(showing))} missing")
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
    plan, readings = store.plan(args.study), store.readings(args.study)
    return analyse(plan, readings, args.seed, args.resamples, store.decisions(args.study))


def read_pictures(table: Path) -> tuple[dict[str, tuple[Source, list[tuple[str, str]]]], dict[str, Place]]:
    """The arms of a plan from a CSV table, as `study.make_plan` takes them, and the place of each hash.

    Files are named from the table's folder on; cases of the bank by their id, their twins by `MD-... twin`.

    Raises:
        MedDiffError: the table, a file or a case cannot be read, a column is missing, or a source is none or differs within an arm.
    """
    from meddiff.teaching.study import Source

    arms: dict[str, tuple[Source, list[tuple[str, str]]]] = {}
    places: dict[str, Place] = {}
    for line, row in _rows(table, PLAN_COLUMNS):
        if row["source"] not in list(Source):
            raise MedDiffError(
                f"{table}, line {line}: source is {row['source']!r}; write real, synthetic or processed."
            )
        try:
            place = _place(row["file"], table.parent)
        except MedDiffError as error:
            raise MedDiffError(f"{table}, line {line}: {error}") from error
        source, pictures = arms.setdefault(row["arm"], (Source(row["source"]), []))
        if source != row["source"]:
            raise MedDiffError(f"{table}, line {line}: arm {row['arm']} was {source} before; an arm has one source.")
        pictures.append((row["case"], place.sha256))
        places[place.sha256] = place
    return arms, places


def _place(told: str, folder: Path) -> Place:
    from meddiff.teaching.study_pictures import bank_picture, file_place

    case, _, twin = told.partition(" ")
    if re.fullmatch(CASE_ID, case) and twin in ("", "twin"):
        from meddiff.bank import Bank

        return bank_picture(Bank(), case, twin == "twin").place
    return file_place(folder / told)


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
        if not found.curve:
            lines.append(
                f"  {found.arm} told from real: {100 * found.afc2:.0f}%{_between(found.afc2_interval)} of {found.afc2_of}"
            )
            continue
        lines.append(
            f"  {found.arm} told from real: AUC {found.auc:.2f}{_between(found.auc_interval)}, forced choice "
            f"{100 * found.afc2:.0f}% of {found.afc2_of}"
        )
    for agreed in results.agreement:
        value = "cannot be told" if agreed.value is None else f"{agreed.value:.2f}{_between(agreed.interval)}"
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
