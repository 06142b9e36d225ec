"""The same verbs at the command line. Exit code 0; 2 with one sentence where something was asked that cannot be done."""

from __future__ import annotations

import argparse
import getpass
import importlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from meddiff.case import Clinical, Findings, MaskSpec, Measurement, MedDiffError, Plane, Request, Sex, Status, Task
from meddiff.stress import commands as stress_commands
from meddiff.teaching import account_commands, study_commands
from meddiff.teaching import commands as teaching

if TYPE_CHECKING:
    from meddiff.imaging.read import Slice
    from meddiff.marking.seal import SealedCase
    from meddiff.synthesis.series import SeriesReport

FORMATS = ("png", "png16", "dicom", "nifti", "coco", "gif")  # of exchange.FORMATS, which takes a second to import
SERIES_FORMATS = (*FORMATS, "mp4", "csv")  # of exchange.series
RECIPES = {
    "autoencoder": "the autoencoder, from principal components",
    "text": "our compact BERT and its resampler",
    "finder": "the independent lesion finder, on real images only",
    "neighbours": "the training slices as the check knows them, to tell a copy",
    "duplicates": "slices that stand in the set more than once",
    "denoiser": "the denoiser",
    "distillation": "the denoiser learns to follow its request as hard as it is told, in one pass",
    "adversarial": "the denoiser learns to answer with one sharp picture, against a critic",
    "portable": "the training set in one small file, for a machine that is lent",
    "adapter": "low-rank adapters for a small new set",
    "private": "the denoiser with differential privacy (DP-SGD)",
    "prior": "the atlas of heads that a picture from nothing starts from",
    "pack": "put the parts together into a pack",
    "int8": "the INT8 network of a pack",
    "outlines": "shape statistics of real outlines",
    "captions": "captions measured in each real image",
    "detectors": "the stress lab's two reference detectors, on real images only",
}
EPILOG = """examples:
  meddiff generate "Axial T1 post-contrast, ring-enhancing left frontal mass, 30 mm, irregular margin" --seed 7 --count 4 --out cases
  meddiff insert "left frontal glioma, 30 mm" --background scan.dcm --mask outline.png --format png --format dicom --out cases
  meddiff remove --background scan.dcm --mask outline.png --out cases
  meddiff series "Axial T1 post-contrast, glioma" --visits 0 60 120 180 --law gompertz --seed 5 --out series
  meddiff rebuild MD-0123456789ab
  meddiff packs

Everything that leaves is marked as synthetic. Nothing here is for diagnosis."""


def _making(parser: argparse.ArgumentParser) -> None:
    _asking(parser)
    parser.add_argument("--count", type=int, default=1, help="how many cases (default 1)")
    parser.add_argument("--format", action="append", choices=FORMATS, help="may be given several times (default png)")


def _asking(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--mask",
        type=Path,
        metavar="PNG",
        help="drawn outline, white on black, on the same picture; without it one is sampled",
    )
    parser.add_argument("--seed", type=int, default=0, help="first seed; cases count up from it (default 0)")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder for the files (default: only what --keep keeps)"
    )
    parser.add_argument("--keep", action="store_true", help="keep the cases in the bank (MEDDIFF_CASEBANK)")
    parser.add_argument("--plane", choices=[p.value for p in Plane], help="plane, where the sentence names none")
    parser.add_argument(
        "--size", type=float, metavar="MM", help="longest diameter in mm, where the sentence names none"
    )
    parser.add_argument("--age", type=float, metavar="YEARS", help="age of the patient, recorded with the case")
    parser.add_argument("--sex", choices=("F", "M"), help="sex of the patient, recorded with the case")
    parser.add_argument(
        "--margin",
        type=float,
        default=8.0,
        metavar="MM",
        help="how far the edit region reaches beyond the outline (default 8)",
    )
    parser.add_argument("--steps", type=int, help="passes of the denoiser (default: the pack's)")
    parser.add_argument("--guidance", type=float, help="how hard the request is followed (default: the pack's)")
    parser.add_argument(
        "--redraws", type=int, default=2, help="seeds tried again where a case misses its tolerance (default 2)"
    )
    parser.add_argument(
        "--pack", default="brain-t1gd", help="which model (default brain-t1gd; `meddiff packs` lists them)"
    )
    parser.add_argument("--precision", choices=("int8", "bf16", "fp32"), default="int8", help="default int8")
    _text_encoder(parser)


def _following(parser: argparse.ArgumentParser) -> None:
    """How a lesion changes from visit to visit."""
    parser.add_argument(
        "--visits", type=int, nargs="+", required=True, metavar="DAY", help="days of the visits, since day 0"
    )
    parser.add_argument(
        "--law", default="", metavar="NAME[:FIGURE=VALUE,...]",
        help="how the volume changes: exponential, gompertz, logistic, linear, response, pseudoprogression, stable or resection, with the "
        "pathology's figures or your own (gompertz:doubling_days=90); default: the pathology's first",
    )  # fmt: skip
    parser.add_argument("--first-date", default="2030-01-01", metavar="DATE", help="of day 0 (default 2030-01-01)")
    parser.add_argument(
        "--mass-effect", type=float, default=0.3, metavar="SHARE",
        help="how much of what grows pushes the brain aside, 0 to 1 (default 0.3)",
    )  # fmt: skip
    parser.add_argument(
        "--satellites", type=int, default=0, metavar="N", help="foci that appear as it grows, 0 to 5 (default 0)"
    )
    parser.add_argument(
        "--necrosis", type=float, default=0.0, metavar="SHARE",
        help="share of the area that turns necrotic with size, 0 to 0.8 (default 0)",
    )  # fmt: skip
    parser.add_argument(
        "--acquisition", type=float, default=0.0, metavar="SHARE",
        help="gain, small rotation and noise between visits, 0 to 1 as real follow-ups have them (default 0)",
    )  # fmt: skip
    parser.add_argument(
        "--format", action="append", choices=SERIES_FORMATS,
        help="may be given several times (default png gif csv); series.json and items.json are always written",
    )  # fmt: skip


def _text_encoder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--text-encoder",
        type=Path,
        metavar="DIR",
        help="folder that `meddiff text fit` wrote (default: MEDDIFF_TEXT_ENCODER, else the model's own encoder)",
    )


def _on_background(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--background",
        type=Path,
        required=True,
        metavar="FILE",
        help="slice to change: DICOM, PNG, JPEG, NIfTI or NRRD",
    )
    parser.add_argument(
        "--slice", type=int, metavar="N", help="which slice or frame of a volume (default: the middle one)"
    )


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        prog="meddiff",
        description="Synthetic teaching cases in radiology: made as asked, measured, sealed as synthetic.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name: str, what: str, act: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
        made = verbs.add_parser(name, help=what, description=what[0].upper() + what[1:] + ".")
        made.set_defaults(act=act)
        return made

    make = verb("generate", "make cases from nothing", _generate)
    make.add_argument("sentence", help="what the case shall show, in one sentence")
    _making(make)
    make = verb("insert", "put a lesion into a real slice; every pixel outside the edit region stays as it is", _insert)
    make.add_argument("sentence", help="the lesion, in one sentence")
    _making(make)
    _on_background(make)
    make = verb(
        "remove", "take a lesion out of a real slice; every pixel outside the edit region stays as it is", _remove
    )
    _making(make)
    _on_background(make)

    make = verb("series", "follow one patient over time: visits in which nothing but the lesion changes", _series)
    make.add_argument("sentence", help="the first visit, in one sentence that names a disease")
    _asking(make)
    _following(make)
    make.epilog = "exit code: 0 as asked, 1 made and written although a check rejects it, 2 cannot be made"

    again = verb("rebuild", "make a kept case again and compare: same request, same pixels", _rebuild)
    again.add_argument(
        "case", help="id in the bank (MD-...), or a PNG, DICOM, NIfTI or record (JSON) that MedDiff wrote"
    )
    again.add_argument("--out", type=Path, metavar="DIR", help="folder for the case made again")
    again.add_argument("--format", action="append", choices=FORMATS, help="may be given several times (default png)")
    again.add_argument(
        "--background", type=Path, metavar="FILE", help="the slice it was made on, for insert and remove"
    )
    again.add_argument("--slice", type=int, metavar="N", help="which slice or frame of a volume")
    again.add_argument("--precision", choices=("int8", "bf16", "fp32"), help="default: the precision it was made at")
    _text_encoder(again)

    known = verb(
        "verify", "tell whether a picture is from MedDiff, which case, how sure, and what was done to it", _verify
    )
    known.add_argument(
        "path",
        type=Path,
        help="PNG, JPEG, DICOM, NIfTI, GIF, a screenshot, an outline, a report or a record; or a folder of them",
    )
    known.add_argument("--json", action="store_true", help="one JSON object a picture")
    known.epilog = "exit code: 0 made by MedDiff, 1 not known (which does not mean real), 2 cannot be read, 3 altered or contradictory; of a folder the largest"

    verb("packs", "list the installed models", _packs)

    out = verb("export", "write kept cases as files: picture, twin, outline and record", _export)
    out.add_argument("case", nargs="*", help="ids in the bank (MD-...)")
    out.add_argument("--all", action="store_true", help="every kept case that the filters let pass")
    out.add_argument("--pathology", default="", help="with --all: only this pathology (key)")
    out.add_argument("--plane", default="", help="with --all: only this plane")
    out.add_argument("--status", default="", choices=("", "accepted", "rejected"), help="with --all: only this verdict")
    out.add_argument("--format", action="append", choices=FORMATS, help="may be given several times (default png)")
    out.add_argument("--out", type=Path, metavar="DIR", required=True, help="folder for the files")

    _bank_parser(verb("bank", "look after the kept cases", _bank))

    out = verb("send", "send cases to a PACS on the allowed list (MEDDIFF_PACS_ALLOWED), each instance once", _send)
    out.add_argument(
        "cases", nargs="*", help="ids in the bank (MD-...), or DICOM files that MedDiff wrote; none: ask only"
    )
    out.add_argument("--to", required=True, metavar="ADDRESS", help="https://host:port/path, or dicom+tls://host:port")
    out.add_argument("--user", default="", help="name there; the password is MEDDIFF_PACS_PASSWORD, or asked for")
    out.add_argument("--aet", default="MEDDIFF", help="our AE title, for dicom (default MEDDIFF)")
    out.add_argument("--called-aet", default="ANY-SCP", help="the server's AE title, for dicom (default ANY-SCP)")

    text = verb("text", "exchange the text encoder", _text)
    text.add_argument(
        "do",
        choices=("fit", "test"),
        help="fit: fit a resampler to another encoder, so that it says what the shipped one says; "
        "test: how much of 400 new sentences each encoder says right",
    )
    text.add_argument("name", nargs="?", help="fit: hub name or folder (default emilyalsentzer/Bio_ClinicalBERT)")
    text.add_argument(
        "--out",
        type=Path,
        default=Path("runs/text-fit"),
        help="fit: folder for the fitted resampler (default runs/text-fit)",
    )
    text.add_argument("--minutes", type=float, default=7, help="fit: how long (default 7)")
    text.add_argument(
        "--pack", default="brain-t1gd", help="test: whose own encoder stands beside it (default brain-t1gd)"
    )
    _text_encoder(text)

    train = verbs.add_parser(
        "train", help="run a training recipe", description="Run a training recipe; docs/training.md tells the order."
    )
    teaching.add_parsers(verbs)
    study = verb("study", "plan, run and analyse a double-blind reader study", study_commands.run)
    study_commands.add_parsers(study.add_subparsers(dest="do", required=True, metavar="WHAT"))
    stress = verb(
        "stress",
        "find where a detector breaks: run it on planned cases, search for what it misses",
        _stress,
    )
    stress_commands.add_parsers(stress.add_subparsers(dest="do", required=True, metavar="WHAT"))
    users = verb(
        "users", "say who may log in to the page; nobody has to as long as there is no account", account_commands.run
    )
    account_commands.add_parsers(users.add_subparsers(dest="do", required=True, metavar="WHAT"))
    recipes = train.add_subparsers(dest="recipe", required=True, metavar="RECIPE")
    for name, what in RECIPES.items():
        # The recipes' own arguments need their modules, and torch with them: only the one that is asked for is loaded.
        recipes.add_parser(name, help=what, add_help=False).set_defaults(act=None)
    return top


def _bank_parser(bank: argparse.ArgumentParser) -> None:
    """What can be done with kept cases, one verb each."""
    acts = bank.add_subparsers(dest="do", required=True, metavar="WHAT")

    def act(name: str, what: str, case: bool = False, who: bool = False) -> argparse.ArgumentParser:
        made = acts.add_parser(name, help=what, description=what[0].upper() + what[1:] + ".")
        if case:
            made.add_argument("case", metavar="CASE", help="its id, MD-...")
        if who:
            teaching.add_who(made)
        return made

    def filters(made: argparse.ArgumentParser) -> None:
        made.add_argument("--pathology", default="", help="only this pathology (key)")
        made.add_argument("--plane", default="", choices=("", *(p.value for p in Plane)), help="only this plane")
        made.add_argument(
            "--status", default="", choices=("", "accepted", "rejected"), help="only this verdict of the check"
        )
        made.add_argument("--review", choices=("draft", "approved", "rejected"), help="only in this state of review")
        made.add_argument("--from-mm", type=float, metavar="MM", help="longest diameter at least this")
        made.add_argument("--to-mm", type=float, metavar="MM", help="longest diameter at most this")
        made.add_argument("--tag", action="append", default=[], help="only with this tag; several: with all of them")
        made.add_argument("--text", default="", help="only where sentence, id, tags or notes hold these words")
        made.add_argument("--deleted", action="store_true", help="the deleted cases instead")
        made.add_argument(
            "--sort", default="newest", choices=("newest", "oldest", "largest", "smallest"), help="default newest"
        )

    listed = act("list", "list the cases that fit")
    filters(listed)
    listed.add_argument("--limit", type=int, default=100, help="at most so many (default 100)")
    listed.add_argument("--offset", type=int, default=0, help="pass over so many first")
    shown = act("show", "show what was asked, what was measured, and what people said", case=True)
    shown.add_argument("--version", type=int, help="an older making of the case (default: the newest)")
    act("history", "show every change of a case: when, who, what, why", case=True)
    reviewed = act("review", "approve or reject a case, or make it a draft again", case=True, who=True)
    reviewed.add_argument("state", choices=("draft", "approved", "rejected"))
    reviewed.add_argument("--why", default="", help="the reason; needed for approved and rejected")
    tagged = act("tag", "add and remove tags", case=True, who=True)
    tagged.add_argument("tags", nargs="*", metavar="TAG", help="to add")
    tagged.add_argument(
        "--remove", action="append", default=[], metavar="TAG", help="to remove; may be given several times"
    )
    noted = act("note", "write the notes of a case, over what was there", case=True, who=True)
    noted.add_argument("notes")
    gone = act("delete", "take a case out of sight; undo brings it back", case=True, who=True)
    gone.add_argument("--why", default="", help="the reason")
    act("undo", "take back the last change of a case", case=True, who=True)
    tidy = act("tidy", "remove files that no case needs")
    tidy.add_argument(
        "--deleted-days", type=float, metavar="N", help="also remove for good the cases deleted more than N days ago"
    )
    out = act("export", "write the cases that fit into one file, with all that was said of them")
    out.add_argument("file", type=Path, metavar="FILE.zip")
    filters(out)
    taken = act("import", "take in the cases of an exported file; each picture must carry its mark", who=True)
    taken.add_argument("file", type=Path, metavar="FILE.zip")
    started = act("starter", "take in the cases, questions and quizzes that ship with MedDiff")
    started.add_argument("folder", type=Path, nargs="?", help="default: casebank/starter beside the code")


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line and returns its exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        if given[:1] == ["train"] and len(given) > 1 and given[1] in RECIPES:
            return _train(given[1], given[2:])
        args = parser().parse_args(given)
        return int(args.act(args))
    except MedDiffError as error:
        print(f"meddiff: {error}", file=sys.stderr)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "request"
        said = first["msg"].removeprefix("Value error, ")
        print(f"meddiff: {field}: {said}, not {first['input']!r}.", file=sys.stderr)
    except OSError as error:
        print(
            f"meddiff: {': '.join(str(part) for part in (error.strerror or error, error.filename) if part)}. "
            "Nothing was lost: free some space or choose another folder.",
            file=sys.stderr,
        )
    except KeyboardInterrupt:
        print("meddiff: interrupted; what was finished is kept.", file=sys.stderr)
        return 130
    return 2


def _train(recipe: str, rest: list[str]) -> int:
    module = importlib.import_module(f"meddiff.training.{recipe}")
    own = argparse.ArgumentParser(
        prog=f"meddiff train {recipe}", description=module.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    module.add_arguments(own)
    return int(module.main(own.parse_args(rest)))


def _stress(args: argparse.Namespace) -> int:
    def learners() -> list[tuple[float, bool]]:
        from meddiff.bank import Bank
        from meddiff.teaching.conspicuity import readings_by_conspicuity
        from meddiff.teaching.store import Questions

        return readings_by_conspicuity(Questions(), Bank())

    return stress_commands.run(args, learners)


# ---------------------------------------------------------------- making


def _request(args: argparse.Namespace, task: Task, sentence: str) -> Request:
    from meddiff.case import Tolerance
    from meddiff.conditions.masks import read_mask
    from meddiff.conditions.prompt import read_clinical, read_sentence
    from meddiff.diffusion.checkpoint import read_info
    from meddiff.settings import settings

    folder = settings().checkpoints / args.pack
    info = read_info(folder) if folder.exists() else None
    pack_steps, pack_guidance = (info.steps, info.guidance) if info else (16, 2.0)
    said_in_full = findings = read_sentence(sentence) if sentence else Findings()
    if args.plane and findings.plane is None:
        findings = findings.model_copy(update={"plane": Plane(args.plane)})
    if args.size is not None and findings.finding is not None and findings.finding.size_mm is None:
        finding = findings.finding.model_validate({**findings.finding.model_dump(), "size_mm": args.size})
        findings = findings.model_copy(update={"finding": finding})
    said = read_clinical(sentence)
    age = said.age_years if args.age is None else args.age
    return Request(
        task=task,
        pack=args.pack,
        sentence=sentence if findings == said_in_full else "",  # a sentence wins over findings
        findings=findings,
        mask=MaskSpec.from_array(read_mask(args.mask)) if args.mask else None,
        clinical=Clinical(age_years=age, sex=Sex(args.sex) if args.sex else said.sex),
        background_sha256=None if task is Task.GENERATE else "0" * 64,  # replaced by the real one when the file is read
        edit_margin_mm=args.margin,
        seed=args.seed,
        steps=pack_steps if args.steps is None else args.steps,
        guidance=pack_guidance if args.guidance is None else args.guidance,
        precision=args.precision,
        tolerance=Tolerance(redraws=args.redraws),
    )


def _background(args: argparse.Namespace) -> Slice | None:
    from meddiff.imaging.read import read_image

    path = getattr(args, "background", None)
    return (
        read_image(path, getattr(args, "slice", None), Plane(args.plane) if getattr(args, "plane", None) else None)
        if path
        else None
    )


def _make(args: argparse.Namespace, task: Task, sentence: str) -> int:
    from meddiff.synthesis.studio import Studio

    _require_a_place(args)
    background = _background(args)
    request = _request(args, task, sentence)
    studio = Studio(args.pack, args.precision, args.text_encoder)
    bank = None
    if args.keep:
        from meddiff.bank import Bank

        bank = Bank()
        if background is not None:
            from meddiff.synthesis.native import carrier

            bank.keep_background(carrier(background))

    for case in studio.create(request, background, args.count, _progress):
        _no_progress()
        if args.out:
            from meddiff.exchange import write_case

            write_case(case, args.out, args.format or ["png"])
        if bank:
            bank.keep(case)
        print(table(case))
    return 0


def _require_a_place(args: argparse.Namespace) -> None:
    if args.out is None and not args.keep:
        raise MedDiffError("Say where the cases shall go: --out DIR for files, --keep for the bank, or both.")
    if args.out is not None and args.out.exists() and not args.out.is_dir():
        raise MedDiffError(f"{args.out} is a file: give a folder with --out.")


def _progress(share: float, word: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{share:4.0%}  {word:24s}", end="", file=sys.stderr, flush=True)


def _no_progress() -> None:
    if sys.stderr.isatty():
        print("\r" + " " * 32 + "\r", end="", file=sys.stderr)


def table(case: SealedCase) -> str:
    """Asked and measured, side by side, as text."""
    record = case.case
    lines = [f"{record.id}  {record.status.value}  seed {record.request.seed}  {record.request.sentence}"]
    return "\n".join([*lines, *_measured(record.measurements, record.reason)])


def _measured(rows: Sequence[Measurement], reason: str) -> list[str]:
    """Lines asked / measured / met, and why it was rejected."""
    lines = []
    for row in rows:
        mark = {True: "ok", False: "missed", None: ""}[row.ok]
        lines.append(
            f"  {row.name:34s} asked {row.asked:18s} measured {f'{row.measured} {row.unit}'.strip()}  {mark}".rstrip()
        )
    return [*lines, f"  rejected: {reason}"] if reason else lines


def _generate(args: argparse.Namespace) -> int:
    return _make(args, Task.GENERATE, args.sentence)


def _insert(args: argparse.Namespace) -> int:
    return _make(args, Task.INSERT, args.sentence)


def _remove(args: argparse.Namespace) -> int:
    return _make(args, Task.REMOVE, "")


def _series(args: argparse.Namespace) -> int:
    from meddiff.synthesis.series import make_series, plan_of
    from meddiff.synthesis.studio import Studio

    _require_a_place(args)
    options = {name: getattr(args, name) for name in ("mass_effect", "satellites", "necrosis", "acquisition", "first_date", "redraws")}  # fmt: skip
    plan = plan_of(_request(args, Task.GENERATE, args.sentence), args.visits, args.law, **options)
    series = make_series(plan, Studio(args.pack, args.precision, args.text_encoder), _progress)
    _no_progress()
    if args.out:
        from meddiff.exchange.series import write_series
        from meddiff.teaching.series_items import series_items, write_items

        write_series(series.visits, series.report, args.out, args.format or ["png", "gif", "csv"])
        write_items(series_items(series.report, args.seed), args.out)
    if args.keep:
        from meddiff.bank import Bank

        Bank().keep_series(series.visits, series.report)
    print(series_table(series.report))
    return 0 if series.report.status is Status.ACCEPTED else 1


def series_table(report: SeriesReport) -> str:
    """A series visit by visit, and its checks, as text."""
    lines = [f"{report.series}  {report.status.value}  {report.plan.law.law}  {report.plan.request.sentence}"]
    lines.append("   day  date        case             asked  measured  diameters    RANO      attempts")
    for row in report.visits:
        diameters = f"{row.longest_mm:.0f} x {row.perpendicular_mm:.0f} mm"
        lines.append(
            f"  {row.day:4d}  {row.date}  {row.case_id}  {row.asked_mm2:5.0f}  {row.measured_mm2:5.0f} mm2  {diameters:11s}  "
            f"{row.rano.category.value:8s}  {row.attempts}  {row.reason}".rstrip()
        )
    return "\n".join([*lines, *_measured(report.checks, report.reason)])


# ---------------------------------------------------------------- the other verbs


def _rebuild(args: argparse.Namespace) -> int:
    from meddiff.bank import Bank
    from meddiff.synthesis.rebuild import old_pixels, read_record, rebuild, rebuild_record
    from meddiff.synthesis.studio import Studio

    background = _background(args)
    path = Path(args.case)
    if path.suffix or path.is_file():
        provenance = read_record(path)
        studio = Studio(provenance.request.pack, args.precision or provenance.request.precision, args.text_encoder)
        report = rebuild_record(provenance, studio, background, old_pixels(path))
    else:
        bank = Bank()
        kept = bank.open(args.case)
        request = kept.case.request
        studio = Studio(request.pack, args.precision or request.precision, args.text_encoder)
        given = request.background_sha256 if request.on_given_slice else None
        if given and background is None:
            from meddiff.imaging.read import Slice

            pixels = bank.open_background(given)
            background = Slice(
                pixels.astype("float32"),
                pixels,
                spacing_mm=kept.case.spacing_mm,
                plane=request.findings.plane,
            )
        report = rebuild(kept, studio, background)
    if args.out:
        from meddiff.exchange import write_case

        write_case(report.sealed, args.out, args.format or ["png"])
    if report.identical:
        print(f"{report.case_id}: identical")
        return 0
    apart = (
        f"by up to {report.largest_difference} grey levels"
        if report.largest_difference is not None
        else "in its hash; by how much cannot be said without the old picture"
    )
    print(f"{report.case_id}: differs {apart} ({report.note})")
    return 1


def _verify(args: argparse.Namespace) -> int:
    from meddiff.verify import kept_bank, report

    return report(args.path, kept_bank(), args.json)


def _export(args: argparse.Namespace) -> int:
    from meddiff.bank import Bank, Search
    from meddiff.exchange import write_case

    if bool(args.case) == args.all:
        raise MedDiffError("Name the cases to export (MD-...), or give --all.")
    bank, names = Bank(), list(args.case)
    if args.all:
        wanted = Search(pathology=args.pathology, plane=args.plane, status=args.status, limit=1_000_000)
        names = [entry.case.id for entry in bank.find(wanted).entries]
    for name in names:
        write_case(bank.open(name), args.out, args.format or ["png"])
    print(f"{len(names)} case{'' if len(names) == 1 else 's'} written to {args.out}")
    return 0


def _send(args: argparse.Namespace) -> int:
    from meddiff.bank import Bank
    from meddiff.exchange.pacs import Target, check, send
    from meddiff.exchange.target import require_allowed

    # Settled before a password is asked for; it must not go where nothing may go.
    target = Target(args.to, args.user, calling_aet=args.aet, called_aet=args.called_aet)
    require_allowed(target)
    if args.user:
        target = replace(target, password=_password(f"Password of {args.user} at {target.server}: "))
    if not args.cases:
        check(target)
        print(f"{target.server} answers")
        return 0
    ids = [name for name in args.cases if name.startswith("MD-") and not Path(name).suffix]
    bank = Bank() if ids else None
    what = [bank.open(name) if bank and name in ids else Path(name) for name in args.cases]

    def progress(share: float, word: str) -> None:
        if sys.stderr.isatty():
            print(f"\r{share:4.0%}  {word:24s}", end="\n" if share == 1 else "", file=sys.stderr, flush=True)

    report = send(what, target, progress)
    print(report)
    for failure in report.failed:
        print(f"meddiff: {failure.uid}: {failure.reason}", file=sys.stderr)
    return 1 if report.failed else 0


def _password(question: str) -> str:
    from meddiff.settings import settings

    if (kept := settings().pacs_password) is not None:
        return kept.get_secret_value()
    if not sys.stdin.isatty():
        raise MedDiffError("Give the password in MEDDIFF_PACS_PASSWORD: there is no terminal to ask at.")
    return getpass.getpass(question)


def _packs(args: argparse.Namespace) -> int:
    from meddiff.diffusion.checkpoint import list_packs
    from meddiff.settings import settings

    packs = list_packs()
    if not packs:
        raise MedDiffError(f"No pack is installed in {settings().checkpoints}.")
    for info in packs:
        print(f"{info.name}  {info.sha256[:12]}  {info.title}")
        print(f"  {info.modality} {info.anatomy} {info.sequence}; planes {', '.join(p.value for p in info.planes)}")
        print(
            f"  trained types {', '.join(t.replace('_', ' ') for t in info.types)}; {info.size} pixels at {info.spacing_mm} mm; {info.licence}"
        )
    return 0


def _bank(args: argparse.Namespace) -> int:
    from meddiff.bank import Bank, Review, Search, Sort

    bank = Bank()
    if args.do in ("list", "export"):
        wanted = Search(
            pathology=args.pathology, plane=args.plane, status=args.status, text=args.text, tags=tuple(args.tag),
            review=Review(args.review) if args.review else None, size_from_mm=args.from_mm, size_to_mm=args.to_mm,
            deleted=args.deleted, sort=Sort(args.sort), limit=getattr(args, "limit", 100), offset=getattr(args, "offset", 0),
        )  # fmt: skip
    if args.do == "list":
        found = bank.find(wanted)
        for entry in found.entries:
            size = f"{entry.size_mm:.0f} mm" if entry.size_mm else ""
            tags = f"  [{', '.join(entry.tags)}]" if entry.tags else ""
            case = entry.case
            print(
                f"{case.id}  {case.status.value:8s}  {entry.review.value:8s}  {size:>6s}  {case.request.sentence}{tags}"
            )
        if found.total > len(found.entries):
            print(f"{len(found.entries)} of {found.total}; --offset and --limit reach the others", file=sys.stderr)
    elif args.do == "show":
        print(table(bank.open(args.case, args.version)))
        entry = bank.entry(args.case)
        said = f" by {entry.reviewer}: {entry.why}" if entry.reviewer else ""
        print(f"  version {args.version or entry.version} of {entry.versions}; {entry.review.value}{said}")
        for name, value in (("tags", ", ".join(entry.tags)), ("notes", entry.notes)):
            if value:
                print(f"  {name}: {value}")
    elif args.do == "history":
        for change in bank.history(args.case):
            print(
                f"{change.at[:19]}  {change.who or '-':16s}  {change.what:8s}  {change.why}  {_said(change.after)}".rstrip()
            )
    elif args.do == "review":
        bank.review(args.case, Review(args.state), args.who, args.why)
        print(f"{args.case} {args.state}")
    elif args.do == "tag":
        print(f"{args.case} tags: {', '.join(bank.tag(args.case, args.tags, args.remove, args.who)) or 'none'}")
    elif args.do == "note":
        bank.set_notes(args.case, args.notes, args.who)
        print(f"{args.case} noted")
    elif args.do == "delete":
        bank.delete(args.case, args.who, args.why)
        print(f"{args.case} deleted; `meddiff bank undo {args.case}` brings it back")
    elif args.do == "undo":
        print(f"{args.case}: undone: {bank.undo(args.case, args.who)}")
    elif args.do == "tidy":
        cases = 0 if args.deleted_days is None else bank.deleted_before(args.deleted_days)
        print(f"{bank.tidy(args.deleted_days)} files removed" + (f", {cases} cases gone for good" if cases else ""))
    elif args.do == "export":
        from meddiff.teaching.archive import export_with_questions
        from meddiff.teaching.store import Questions

        out, gone = export_with_questions(bank, Questions(), args.file, wanted)
        with_them = f", with {len(gone.items)} questions and {len(gone.quizzes)} quizzes" if gone.items else ""
        print(f"{out.cases} case{'' if out.cases == 1 else 's'}{with_them} written to {args.file}")
        if out.on_slices:
            print(
                f"{out.on_slices} of them stand on a slice that was given, and show it: give them away only if you may."
            )
        for line in out.left_out:
            print(f"left out: {line}", file=sys.stderr)
        return 1 if out.left_out else 0
    elif args.do == "starter":
        from meddiff.settings import HOUSE
        from meddiff.teaching.starter import take_in
        from meddiff.teaching.store import Questions

        came = take_in(args.folder or HOUSE / "casebank" / "starter", bank, Questions())
        print(f"{came.cases} new cases, {came.items} new questions, {came.quizzes} new quizzes")
        for why in came.refused:
            print(f"not taken: {why}", file=sys.stderr)
    else:
        from meddiff.teaching.archive import import_with_questions
        from meddiff.teaching.store import Questions

        taken, asked = import_with_questions(bank, Questions(), args.file, args.who)
        print(f"{len(taken.new)} new, {len(taken.new_version)} with a new version, {len(taken.there)} were there")
        print(f"questions: {asked}")
        refused = (*taken.refused, *asked.refused)
        for line in refused:
            print(f"refused: {line}", file=sys.stderr)
        return 1 if refused else 0
    return 0


def _said(after: dict[str, object]) -> str:
    """What a change made of a case, in a few words."""
    return "; ".join(
        f"{name}: {value[0] if name == 'review' and isinstance(value, list) else value}"
        for name, value in after.items()
    )


def _text(args: argparse.Namespace) -> int:
    from meddiff.conditions.text import CLINICAL_BERT, TextEncoder
    from meddiff.settings import settings
    from meddiff.training.text import agreement, fit_text

    if args.do == "fit":
        encoder = fit_text(args.name or CLINICAL_BERT, args.out, args.minutes * 60)
        print(f"{encoder.name} is fitted: choose it by --text-encoder {args.out}, or MEDDIFF_TEXT_ENCODER={args.out}.")
        return 0
    from meddiff.diffusion.checkpoint import load_pack

    encoders = [load_pack(args.pack, "fp32").pipeline.text]
    if fitted := args.text_encoder or settings().text_encoder:
        encoders.append(TextEncoder.load_fitted(fitted))
    for encoder in encoders:
        print(encoder.name)
        print("  " + ", ".join(f"{name} {share:.1%}" for name, share in agreement(encoder).items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
