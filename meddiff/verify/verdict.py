"""Is this picture from MedDiff, which case is it, how sure is that, and what was done to it since?

Four witnesses are heard, and each is named in the answer: the record in the file (words, which anybody can copy: so the pixels are held against it),
the invisible mark in the pixels, the fingerprint of the kept cases, and the attributes that a file has for synthetic data. Where the bank keeps
the case, the picture is laid on the kept one and what differs is told. Never is a picture called real: what nobody speaks for is *not known*.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from meddiff.case import MedDiffError, Provenance, Task, pixel_sha256
from meddiff.marking.code import CHANCE, number_of
from meddiff.marking.watermark import can_be_read, can_carry, embed
from meddiff.settings import settings
from meddiff.verify.answer import Answer, Change, Evidence, Verdict
from meddiff.verify.companions import attributed, judge_companion
from meddiff.verify.compare import Comparison, compare
from meddiff.verify.open import SMALLEST, Frame, Opened, may_be_looked_at, open_file, two_valued
from meddiff.verify.words import edited, told_by

if TYPE_CHECKING:
    from meddiff.bank import Bank
    from meddiff.marking.detect import Reading
    from meddiff.marking.seal import SealedCase

# The mark lies in the pixels, looks are the pixels, and words can be copied: they are believed in this order.
BELIEVED = ("mark", "fingerprint", "record", "attributes")


# ---------------------------------------------------------------- from a file to verdicts


def kept_bank() -> Bank | None:
    """The bank of the settings, if there is one: looking at a picture makes none."""
    from meddiff.bank import Bank

    there = settings().database_url or (settings().casebank / "bank.sqlite").exists()
    return Bank() if there else None


def verify_file(path: str | Path, bank: Bank | None = None) -> list[Verdict]:
    """Verdicts on a file, one a frame; a file that cannot be read gets one that says why. The file is only read.

    Args:
        path: PNG, JPEG, WebP, BMP, TIFF, GIF, DICOM or NIfTI; an outline, report, record or `coco.json` that MedDiff wrote.
        bank: kept cases to look for; without it only the file speaks.
    """
    path = Path(path)
    try:
        opened = open_file(path)
        if opened.companion:
            return [judge_companion(opened, opened.companion, _kept(bank, opened.companion.names))]
        return [_judge(opened, frame, bank) for frame in opened.frames]
    except MedDiffError as error:
        return [Verdict(str(path), Answer.UNREADABLE, str(error))]


def verify_folder(folder: str | Path, bank: Bank | None = None) -> Iterator[Verdict]:
    """Verdicts on all pictures in a folder and the folders in it, and on what MedDiff wrote beside them, in order of their names.

    Raises:
        MedDiffError: no such folder, or no picture in it.
    """
    folder = Path(folder)
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and may_be_looked_at(path)]
    if not files:
        raise MedDiffError(f"There is no picture in {folder}: give a folder of PNG, JPEG, DICOM or NIfTI files.")
    for path in files:
        yield from verify_file(path, bank)


def _kept(bank: Bank | None, names: Iterable[str]) -> dict[str, SealedCase]:
    """The cases of these ids that the bank has; of one that is damaged there, the file alone speaks."""
    kept = {}
    for case_id in dict.fromkeys(names):
        try:
            if bank is not None:
                kept[case_id] = bank.open(case_id)
        except MedDiffError:
            continue
    return kept


# ---------------------------------------------------------------- the witnesses


def _mark_in(pixels: np.ndarray) -> Reading | None:
    """The invisible mark of the whole picture, or of the picture inside a screenshot: what is quickly tried is tried everywhere first."""
    from meddiff.marking.detect import Search

    searches = [Search(pixels[part]) for part in reversed(parts(pixels))]
    waiting = deque((search, search.stages()) for search in searches)
    while waiting:
        search, stages = waiting.popleft()
        if (candidates := next(stages, None)) is None:
            continue
        if found := search.decoded(candidates):
            return replace(found, false_alarm=sum(each.attempts for each in searches) * CHANCE)
        waiting.append((search, stages))
    return None


def parts(pixels: np.ndarray) -> list[tuple[slice, slice]]:
    """Where in [H, W] a picture may lie: everywhere, then the largest areas that are not one even colour, biggest first.

    A screenshot has even borders, bars and backgrounds; a picture on it is one connected thing that is not even. Where all around is black,
    as around a head, the whole is enough: black neither hides a mark nor looks like anything.
    """
    from scipy import ndimage

    whole = (slice(0, pixels.shape[0]), slice(0, pixels.shape[1]))
    grey = pixels.astype(np.float32)
    step = max(1, round(max(pixels.shape) / 512))
    small = grey[::step, ::step]
    span = max(float(np.ptp(small)), 1e-6)
    uneven = (ndimage.maximum_filter(small, 5) - ndimage.minimum_filter(small, 5)) > 0.02 * span
    found = [whole]
    for thing in (uneven, ndimage.binary_opening(ndimage.binary_fill_holes(uneven), iterations=6)):
        labels, count = ndimage.label(ndimage.binary_closing(thing, iterations=2))
        if not count:
            continue
        sizes = np.bincount(labels.ravel())[1:]
        boxes = ndimage.find_objects(labels)
        for index in np.argsort(-sizes)[:2]:
            rows, columns = (
                slice(s.start * step, min(s.stop * step, n)) for s, n in zip(boxes[index], pixels.shape, strict=True)
            )
            part = (rows, columns)
            smaller = (rows.stop - rows.start) * (columns.stop - columns.start) < 0.97 * pixels.size
            if not smaller or min(rows.stop - rows.start, columns.stop - columns.start) < SMALLEST or part in found:
                continue
            around = np.ones(small.shape, bool)
            around[boxes[index]] = False
            black = float(np.median(small[around])) <= float(small.min()) + 0.03 * span
            if not black and uneven[around].mean() < 0.3:
                found.append(part)
    return found[:4]


def _fingerprint(pixels: np.ndarray, bank: Bank) -> Evidence | None:
    grey = pixels if pixels.dtype in (np.uint8, np.uint16) else _in_bytes(pixels)
    where = parts(grey)
    found = [seen for part in where if (seen := bank.recognise(grey[part])) is not None]
    if not found:
        return None
    best = min(found, key=lambda seen: seen.distance)
    said = f"Its looks are those of the kept {best.role} {best.case_id}: {best.distance} of {best.bits} bits of the fingerprint differ."
    return Evidence("fingerprint", said, best.case_id, min(len(where) * best.chance, 1.0))


def _in_bytes(pixels: np.ndarray) -> np.ndarray:
    low, high = np.percentile(pixels, (0.1, 99.9))
    return np.rint(np.clip((pixels - low) / max(float(high - low), 1e-9), 0, 1) * 255).astype(np.uint8)


def _as_sealed(pixels: np.ndarray, record: Provenance) -> bool | None:
    """Whether these are exactly the pixels that the record's file left with; None where the record does not say."""
    if not record.sealed_sha256:
        return None
    for kind in {pixels.dtype, np.dtype(np.uint8), np.dtype(np.uint16)}:
        if kind.kind == "u" and pixels.min() >= 0 and pixels.max() <= np.iinfo(kind).max:
            same = pixels.astype(kind)
            if np.array_equal(same, pixels) and pixel_sha256(same) == record.sealed_sha256:
                return True
    return False


# ---------------------------------------------------------------- the verdict


@dataclass(frozen=True)
class _Heard:
    """All that the witnesses say of one picture.

    Attributes:
        same: whether the pixels are exactly those it names; None where it names none.
        kept: the bank's case that is believed to be shown, and how the picture lies on it.
    """

    evidence: tuple[Evidence, ...]
    record: Provenance | None
    same: bool | None
    reading: Reading | None
    case_id: str
    kept: SealedCase | None
    comparison: Comparison | None

    @property
    def named(self) -> dict[str, str]:
        """Which case each witness names, in the order in which they are believed."""
        by = {e.witness: e.case_id for e in self.evidence if e.case_id}
        return {witness: by[witness] for witness in BELIEVED if witness in by}

    @property
    def lies_on_kept(self) -> bool:
        return self.comparison is not None and self.comparison.lies_on


def _judge(opened: Opened, frame: Frame, bank: Bank | None) -> Verdict:
    heard = _hear(opened, frame, bank)
    changes = [*_quarrels(heard, frame.pixels), *_changes(heard, opened)]
    answer = _answer(heard, changes)
    known = answer is not Answer.UNKNOWN
    return Verdict(
        opened.name,
        answer,
        _sentence(answer, heard, changes, frame.pixels),
        heard.case_id if known else "",
        _role(heard) if known else "",
        _sure(heard, changes),
        heard.evidence,
        tuple(changes) if known else (),
        frame.number,
        opened.count,
        known and heard.kept is not None,
    )


def _hear(opened: Opened, frame: Frame, bank: Bank | None) -> _Heard:
    pixels, record, evidence = frame.pixels, frame.record, []
    same = _as_sealed(pixels, record) if record else None
    if record:
        held = {
            True: "its pixels are exactly those it names",
            False: "its pixels are not those it names",
            None: "being of an older version, it does not name the pixels that left",
        }[same]
        evidence.append(Evidence("record", f"{told_by(record)}; {held}.", record.case_id))
    elif opened.complaint:
        evidence.append(Evidence("record", opened.complaint))
    flat = two_valued(pixels)
    reading = None if flat else _mark_in(pixels)
    if reading:
        said = f"The invisible mark in the pixels says {reading.case_id}."
        evidence.append(Evidence("mark", said, reading.case_id, reading.false_alarm))
    if bank and not flat and (looks := _fingerprint(pixels, bank)):
        evidence.append(looks)
    evidence += attributed(opened)
    heard = _Heard(tuple(evidence), record, same, reading, "", None, None)
    return _laid_on_kept(heard, pixels, opened, bank)


def _laid_on_kept(heard: _Heard, pixels: np.ndarray, opened: Opened, bank: Bank | None) -> _Heard:
    """Which case is believed: the first that is named and whose kept pixels these are, else the first that is named."""
    names = list(dict.fromkeys(heard.named.values()))
    heard = replace(heard, case_id=next(iter(names), ""))
    for case_id, kept in _kept(bank, names).items():
        reading = heard.reading if heard.reading and heard.reading.case_id == case_id else None
        found = compare(pixels, (kept.image, kept.twin), reading, opened.saved_as)
        if found.lies_on or case_id == heard.case_id:
            heard = replace(heard, case_id=case_id, kept=kept, comparison=found)
        if found.lies_on:
            break
    return heard


def _quarrels(heard: _Heard, pixels: np.ndarray) -> list[Change]:
    """Witnesses that contradict each other."""
    found = []
    if len(set(heard.named.values())) > 1:
        who = ", ".join(f"the {witness} {case_id}" for witness, case_id in heard.named.items())
        found.append(Change("contradiction", f"The witnesses name different cases: {who}.", False))
    if heard.record:
        kept = heard.kept if heard.case_id == heard.record.case_id else None
        found += edited(heard.record, kept)
    spoken = heard.reading or heard.lies_on_kept or "fingerprint" in heard.named
    if heard.record and not spoken and _would_carry(_in_bytes(pixels), heard.record):
        said = "There is a record, but no mark in the pixels, which have room for one: the record may have been put into another picture."
        found.append(Change("mark missing", said, False))
    return found


def _would_carry(pixels: np.ndarray, record: Provenance) -> bool:
    """Whether a picture sealed as the record says would carry the mark; a record that says that it has none is not just believed."""
    if not can_carry(pixels):
        return False
    number = number_of(record.case_id)
    marked = np.clip(pixels + embed(pixels, number), 0, 255).astype(np.uint8)
    return record.mark_version is not None or can_be_read(marked, number)


def _changes(heard: _Heard, opened: Opened) -> list[Change]:
    """What was done to the picture since it left."""
    record, changes = heard.record, list[Change]()
    if heard.comparison:
        changes += heard.comparison.changes
        role = heard.comparison.role
        if record and role and record.role != role:
            changes.append(Change("role", f"The record says {record.role}, the pixels are the {role}'s.", False))
    else:
        changes += _told_by_mark(heard.reading)
        if heard.same is False:
            said = "The pixels are not those that left MedDiff; the case is not in this bank, so how they differ cannot be told."
            changes.append(Change("changed", said, False))
    if opened.coloured:
        changes.append(Change("coloured", "It has colours now."))
    if heard.same:  # 16-bit PNG, GIF and small pictures left with other pixels than those that are kept; a forged record is found out
        changes = [change for change in changes if not change.harmless]
    if opened.complaint:
        changes.append(Change("record damaged", opened.complaint, False))
    elif not record:
        changes.append(Change("record lost", "The record is not in the file any more: every picture leaves with one."))
    if opened.dicom and not opened.attributes:
        said = "No DICOM attribute says that it is synthetic, such as Synthetic Data (0008,001C): in an archive it passes for a patient's."
        changes.append(Change("attributes stripped", said, False))
    return changes


def _told_by_mark(reading: Reading | None) -> list[Change]:
    """What the mark alone tells of a picture's geometry."""
    if reading is None:
        return []
    told, turns = [], (reading.mirrored, reading.upside_down, reading.turned)
    if sum(turns) % 2:
        told.append(Change("mirrored", "It is mirrored: the patient's sides are exchanged.", False))
    elif any(turns):
        told.append(Change("turned", "It is turned by a quarter or half a turn."))
    if reading.inverted:
        told.append(Change("inverted", "Black and white are exchanged."))
    if abs(reading.rotation_deg) >= 0.2:
        told.append(Change("rotated", f"It is rotated by about {abs(reading.rotation_deg):.1f} degrees."))
    return told


def _role(heard: _Heard) -> str:
    if heard.comparison and heard.comparison.lies_on and not heard.same:
        return heard.comparison.role
    return heard.record.role if heard.record else ""


def _answer(heard: _Heard, changes: list[Change]) -> Answer:
    """A likeness alone, which does not bear being laid on the kept picture, is no answer."""
    if not heard.named or (list(heard.named) == ["fingerprint"] and not heard.lies_on_kept):
        return Answer.UNKNOWN
    return Answer.OURS if all(change.harmless for change in changes) else Answer.ALTERED


def _sentence(answer: Answer, heard: _Heard, changes: list[Change], pixels: np.ndarray) -> str:
    if answer is Answer.UNKNOWN:
        if two_valued(pixels):
            return (
                "It has two grey levels at most, as an outline has, and nothing in the file names a case of MedDiff's."
            )
        return "Nothing in it speaks of MedDiff. That does not mean that it shows a patient: marks can be removed, and other programs make pictures too."
    whose = f"{'the twin of ' if _role(heard) == 'twin' else ''}MedDiff's case {heard.case_id}"
    harmless = ", ".join(change.name for change in changes if change.harmless)
    if answer is Answer.ALTERED:
        told = " ".join(change.said for change in changes if not change.harmless)
        also = f" Also: {harmless}." if harmless else ""
        if _believed(heard, changes):
            return f"It is {whose}, but do not trust it as it is. {told}{also}"
        return f"It says that it is {whose}, but do not believe it. {told}{also}"
    exact = heard.same or (heard.comparison is not None and not heard.comparison.changes)
    since = [
        "The pixels are exactly those that left." if exact else "",
        f"Done to it since: {harmless}." if harmless else "",
        "" if exact or heard.kept else "The case is not in this bank: what was done to the pixels cannot be told.",
        _acquired(heard),
    ]
    return " ".join([f"It is {whose}.", *filter(None, since)])


def _believed(heard: _Heard, changes: list[Change]) -> bool:
    """Whether the picture is the case that it is said to be, whatever was done to it."""
    if heard.comparison:
        return heard.comparison.lies_on
    return not any(change.name in ("contradiction", "mark missing") for change in changes)


def _acquired(heard: _Heard) -> str:
    """Of a picture with acquired pixels: what in it is synthetic."""
    record = heard.record or (heard.kept.image.provenance if heard.kept else None)
    if record is None or record.request.task is Task.GENERATE:
        return ""
    if _role(heard) == "twin":
        return "It is an acquired slice, unchanged but for its marks: the control to a synthetic one."
    did = "put into" if record.request.task is Task.INSERT else "taken out of"
    return f"It is an acquired slice; a lesion was {did} it."


def _sure(heard: _Heard, changes: list[Change]) -> str:
    """How sure the answer is, and by whom, in words."""
    by = {e.witness: e for e in heard.evidence}
    if not _believed(heard, changes) and heard.named:
        return "Words can be copied into any file, and the mark's pattern is public: neither makes another picture this case."
    if any(change.name == "contradiction" for change in changes):
        return "Sure of the case, on whose kept pixels it lies: pixels are believed before words."
    if mark := by.get("mark"):
        less = f"fewer than one unmarked picture in {_rounded(1 / max(mark.chance or 1e-12, 1e-12))} seems to carry it by chance"
        also = " The fingerprint agrees." if "fingerprint" in by else ""
        return f"Very sure, by the invisible mark: {less}.{also}"
    if (looks := by.get("fingerprint")) and heard.lies_on_kept:
        less = f"about one other picture in {_rounded(1 / max(looks.chance or 1e-12, 1e-12))} comes as near"
        return f"Fairly sure, by its looks (the fingerprint) alone: {less}. No mark was found in the pixels."
    if "record" in heard.named:
        if heard.same:
            return "By the record alone, and the pixels agree with it. Words can be forged: no mark was found in the pixels."
        return "By the record alone, which anybody can copy into any file."
    if "attributes" in heard.named:
        return "By words in the file alone, which anybody can write. No mark was found in the pixels."
    if "attributes" in by:
        return "Some program says that it is synthetic; nothing says that it was MedDiff."
    if "fingerprint" in by:
        return "It looks a little like a kept case, but does not lie on it."
    return "No record, no mark, and no kept case that looks like it."


def _rounded(number: float) -> str:
    """Two digits, in words from a million."""
    for size, word in ((1e9, "billion"), (1e6, "million")):
        if number >= size:
            return f"{float(f'{number / size:.2g}'):,g} {word}"
    return f"{float(f'{number:.2g}'):,.0f}"
