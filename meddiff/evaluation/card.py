"""A pack's model card is filled in from its evaluation; no figure of it is typed by hand."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from meddiff.case import MedDiffError
from meddiff.diffusion.checkpoint import CARD, EVALUATION, read_info
from meddiff.evaluation.records import RESULT, Evaluation
from meddiff.evaluation.table import CLOSE, OPEN, as_markdown
from meddiff.exchange.atomic import write_atomic


def fill_card(evaluation: Evaluation, folder: Path, pack: Path) -> None:
    """Writes the evaluation into a pack: the table into its card between two marks, the whole and its made pictures into `evaluation/`.

    Plates that show real pictures stay where they are: a pack holds none.

    Args:
        folder: the evaluation's own.
        pack: the pack's folder; its card gets the marks at its end where it has none.

    Raises:
        MedDiffError: the evaluation is of other weights than the pack's.
    """
    sha256 = read_info(pack).sha256
    if evaluation.pack_sha256 != sha256:
        raise MedDiffError(
            f"This evaluation is of the pack {evaluation.pack_sha256[:12]}, and {pack} now is {sha256[:12]}: measure it again."
        )
    kept = pack / EVALUATION
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir()
    parts = []
    for part in evaluation.parts:
        plates = tuple(plate for plate in part.plates if plate.synthetic)
        for plate in plates:
            (kept / plate.file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / plate.file, kept / plate.file)
        parts.append(part.model_copy(update={"plates": plates}))
    shipped = evaluation.model_copy(update={"parts": tuple(parts)})
    write_atomic(kept / RESULT, lambda temporary: temporary.write_text(shipped.model_dump_json(indent=1) + "\n"))
    card = pack / CARD
    before = card.read_text() if card.exists() else f"# {pack.name}\n"
    block = as_markdown(shipped)
    if OPEN in before and CLOSE in before:
        after = re.sub(re.escape(OPEN) + ".*?" + re.escape(CLOSE), lambda _: block, before, flags=re.DOTALL)
    else:
        after = before.rstrip("\n") + "\n\n" + block + "\n"
    write_atomic(card, lambda temporary: temporary.write_text(after))
