"""Verdicts on what MedDiff writes beside its pictures: outline, report, record, COCO file.

They carry no mark and look like nothing: no mark is searched in them, and no fingerprint asked. What speaks is words and, in DICOM, a hash of the
content; where the bank keeps the case, outlines and records are held against the kept ones.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from PIL import Image

from meddiff.marking.seal import SealedCase
from meddiff.verify.answer import Answer, Change, Evidence, Verdict
from meddiff.verify.open import Companion, Opened
from meddiff.verify.place import TURNS, turned
from meddiff.verify.words import edited, edited_case, told_by

SAME_OUTLINE = 0.9  # Dice from which a resized outline is the kept one

WHAT = {
    "outline": "the outline of MedDiff's {}: an answer key, no picture",
    "report": "the report on MedDiff's {}, asked and measured: no picture",
    "record": "the record of MedDiff's {}: words alone, no picture",
    "COCO file": "the COCO file of MedDiff's {}: outlines and records, no picture",
}


def judge_companion(opened: Opened, companion: Companion, kept: Mapping[str, SealedCase]) -> Verdict:
    """The verdict on a file that is no picture.

    Args:
        kept: the cases of `companion.names` that the bank has.
    """
    names = companion.names
    if not names:
        said = "It holds no picture, and nothing in it names a case of MedDiff's."
        return Verdict(opened.name, Answer.UNKNOWN, said, evidence=attributed(opened))
    whose = f"case {names[0]}" if len(names) == 1 else f"{len(names)} cases: {', '.join(names)}"
    agreed, changes = _against_bank(companion, kept)
    if companion.complaint:
        changes.insert(0, Change("altered", companion.complaint, False))
    evidence = (*_recorded(companion), *attributed(opened), *agreed)
    what = WHAT[companion.kind].format(whose)
    bad = [change.said for change in changes if not change.harmless]
    answer = Answer.ALTERED if bad else Answer.OURS
    said = f"It is {what}."
    if bad:
        said = f"It says that it is {what.partition(':')[0]}, but do not trust it as it is. {' '.join(bad)}"
    return Verdict(
        opened.name, answer, said, names[0] if len(names) == 1 else "", companion.kind,
        _sure(companion, bool(agreed), bool(bad)), evidence, tuple(changes), kept=bool(kept),
    )  # fmt: skip


def _recorded(companion: Companion) -> list[Evidence]:
    if not companion.records:
        return []
    first = companion.records[0]
    if len(companion.records) > 1:
        said = f"Each of its {len(companion.records)} pictures has its record."
        return [Evidence("record", said, first.case_id if len(companion.names) == 1 else "")]
    held = {True: "; it shows what its hash names", False: "; it does not show what its hash names", None: ""}
    return [Evidence("record", f"{told_by(first)}{held[companion.unchanged]}.", first.case_id)]


def attributed(opened: Opened) -> tuple[Evidence, ...]:
    """What a file says of itself beside a record."""
    if not opened.attributes:
        return ()
    said = "; ".join([*opened.attributes, *([f"case {opened.named}"] if opened.named else [])])
    return (Evidence("attributes", f"{said[0].upper()}{said[1:]}.", opened.named),)


def _against_bank(companion: Companion, kept: Mapping[str, SealedCase]) -> tuple[list[Evidence], list[Change]]:
    """What agrees with the kept cases, and what does not."""
    agreed, changes = [], []
    for record in companion.records:
        changes += edited(record, kept.get(record.case_id))
    if companion.case and companion.records:
        changes += edited_case(companion.case, companion.records[0], kept.get(companion.case.id))
    if companion.kind == "record" and kept and not changes:
        agreed.append(Evidence("bank", "The record is the one that is kept, word by word.", companion.names[0]))
    told = [(id_, _outline(mask, kept[id_])) for id_, mask in companion.outlines if id_ in kept]
    changes += [change for _, found in told for change in found]
    if told and not any(found for _, found in told):
        said = (
            "The outline is the one that is kept, pixel by pixel."
            if len(told) == 1
            else "The outlines are those that are kept."
        )
        agreed.append(Evidence("bank", said, told[0][0] if len(companion.names) == 1 else ""))
    return agreed, changes


def _outline(mask: np.ndarray, kept: SealedCase) -> list[Change]:
    """How an outline [H, W] differs from the kept one, with or without the rows that were added for the stamp."""
    whole = kept.image.fit(kept.mask)
    for wanted in (whole, kept.mask):
        if mask.shape == wanted.shape and np.array_equal(mask, wanted):
            return []
    alike = {turn: _dice(mask, turned(whole, turn)) for turn in TURNS}
    turn = max(alike, key=lambda t: alike[t])
    if alike[turn] < SAME_OUTLINE:
        said = f"The outline is not the one that is kept: Dice {alike[TURNS[0]]:.2f} to it."
        return [Change("altered", said, False)]
    if sum(turn) % 2:
        return [Change("mirrored", "The outline is mirrored: the patient's sides are exchanged.", False)]
    if any(turn):
        return [Change("turned", "The outline is turned by a quarter or half a turn.")]
    if mask.shape != whole.shape:
        said = f"The outline is resized, from {whole.shape[0]} x {whole.shape[1]} to {mask.shape[0]} x {mask.shape[1]}."
        return [Change("resized", said)]
    return [Change("altered", f"The outline was changed: Dice {alike[turn]:.3f} to the kept one.", False)]


def _dice(mask: np.ndarray, wanted: np.ndarray) -> float:
    if mask.shape != wanted.shape:
        size = (mask.shape[1], mask.shape[0])
        wanted = np.asarray(Image.fromarray(wanted).resize(size, Image.Resampling.NEAREST)) > 0
    return 2 * float((mask & wanted).sum()) / max(float(mask.sum() + wanted.sum()), 1.0)


def _sure(companion: Companion, agreed: bool, bad: bool) -> str:
    if bad:
        return "Words can be copied and edited: only what is in the bank tells what left."
    if agreed:
        return "Sure: it agrees with what this bank keeps."
    if companion.unchanged:
        return "By its words, and it shows what their hash names. Words can be forged, and no mark can lie in it."
    return "By its words alone, which anybody can copy or edit: no mark can lie in it."
