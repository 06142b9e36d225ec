"""How good a pack is, honestly: `python -m benchmarks.quality --data DIR --pack brain-t1gd --quick`

Every measure of `meddiff.evaluation` on the pack's pictures, beside the same on real `val` slices and on pictures spoilt on purpose, with
intervals. The pictures are made from the captions and outlines of `val` slices, first seed, nothing redrawn. Every judge saw real `train`
slices alone. `--quick` takes half an hour on two cores; without it some hours. It goes on where it stopped; `--card` writes the result into the pack's model card.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

from meddiff.case import MedDiffError
from meddiff.evaluation.card import fill_card
from meddiff.evaluation.material import Pictures
from meddiff.evaluation.records import read_evaluation
from meddiff.evaluation.suite import PARTS, prepare, run
from meddiff.evaluation.table import as_text
from meddiff.settings import settings
from meddiff.synthesis.studio import Studio
from meddiff.training.captions import caption
from meddiff.training.dataset import BrainSet, load_brain_t1gd


def pictures_of(data: BrainSet) -> Pictures:
    """Real slices with the captions that were measured in them."""
    said = [
        caption(picture / np.float32(255), mask > 127, kind, plane, data.spacing_mm)[0]
        for picture, mask, kind, plane in zip(data.pictures, data.masks, data.types, data.planes, strict=True)
    ]
    return Pictures(data.pictures, data.masks > 127, data.types, data.planes, tuple(said), data.spacing_mm)


class Shown:
    """Progress as one line of the terminal, with the time that a stage still takes."""

    def __init__(self) -> None:
        self.what, self.begun, self.first = "", 0.0, 0

    def __call__(self, done: int, total: int, what: str) -> None:
        """Called by the suite and by its parts."""
        now = time.monotonic()
        if what != self.what:
            if self.what:
                print(file=sys.stderr)
            self.what, self.begun, self.first = what, now, done
        gone, moved = now - self.begun, done - self.first
        left = f", {gone / moved * (total - done):.0f} s left" if moved > 0 and done < total else ""
        print(f"\r{what}: {done}/{total}{left}          ", end="", file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Measures, prints the table, and writes what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of the brain_t1gd set (docs/data.md)")
    parser.add_argument("--pack", default="brain-t1gd", help="name of a pack in the folder of checkpoints")
    parser.add_argument("--precision", default="int8", choices=("int8", "bf16", "fp32"))
    parser.add_argument("--quick", action="store_true", help="the short form: 96 pictures, half an hour on two cores")
    parser.add_argument(
        "--count",
        type=int,
        nargs=2,
        metavar=("VAL", "TRAIN"),
        help="pictures to make for each kind of request, instead",
    )
    parser.add_argument(
        "--parts", nargs="+", default=list(PARTS), metavar="PART", help=f"of {', '.join(PARTS)} (default all)"
    )
    parser.add_argument("--out", type=Path, help="folder of this evaluation (default runs/evaluation-PACK)")
    parser.add_argument(
        "--cache", type=Path, default=Path("runs/cache"), help="folder for the set as it is read (default runs/cache)"
    )
    parser.add_argument("--json", type=Path, help="file for machines to write, too")
    parser.add_argument(
        "--card", action="store_true", help="write the result into the pack's model card and evaluation/"
    )
    parser.add_argument(
        "--show", type=Path, metavar="FOLDER", help="print an evaluation that was made before, and measure nothing"
    )
    args = parser.parse_args(arguments)
    try:
        return _measure(args)
    except MedDiffError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1


def _measure(args: argparse.Namespace) -> int:
    folder = args.show or args.out or Path("runs") / f"evaluation-{args.pack}"
    if args.show:
        evaluation = read_evaluation(folder)
    else:
        if args.data is None:
            raise MedDiffError("Give the folder of the real slices (--data), or an evaluation to show (--show).")
        shown = Shown()
        whole = load_brain_t1gd(args.data, args.cache)
        train, val = pictures_of(whole.where("train")), pictures_of(whole.where("val"))
        studio = Studio(args.pack, args.precision)
        material = prepare(train, val, studio, folder, shown, args.quick, tuple(args.count) if args.count else None)
        command = "python -m benchmarks.quality --data DIR" + (" --quick" if args.quick else "")
        command += f" --count {args.count[0]} {args.count[1]}" if args.count else ""
        evaluation = run(material, shown, args.parts, command)
        print(file=sys.stderr)
    print(as_text(evaluation))
    if args.json:
        args.json.write_text(evaluation.model_dump_json(indent=1) + "\n")
    if args.card:
        fill_card(evaluation, folder, settings().checkpoints / args.pack)
    return 0


if __name__ == "__main__":
    sys.exit(main())
