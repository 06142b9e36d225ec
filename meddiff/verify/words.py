"""Whether the words of a record are those that MedDiff wrote: anybody can copy or edit them."""

from __future__ import annotations

from meddiff.case import Case, Provenance
from meddiff.marking.seal import SealedCase
from meddiff.verify.answer import Change

OWN = {"created", "sealed_sha256", "mark_version"}  # differ between two makings, or two files, of the same picture


def told_by(record: Provenance) -> str:
    """Who and when, in a sentence without its end."""
    whose = f"the twin of {record.case_id}" if record.role == "twin" else record.case_id
    when = f", made on {record.created[:10]}" if record.created else ""
    rejected = f", which its own check rejected ({record.reason})" if record.status.value == "rejected" else ""
    return f"The record in the file says {whose}{when} by {record.software}{rejected}"


def edited(record: Provenance, kept: SealedCase | None) -> list[Change]:
    """What tells that a record was changed: a case's id is the hash of its request, and the bank has the record too.

    Only records of this version are held against its rules and records: another version may have other fields.
    """
    if record.software != Provenance.model_fields["software"].default:
        return []
    if record.request.case_id() != record.case_id:
        said = "The record was changed: its request is not the one that this id stands for."
        return [Change("record changed", said, False)]
    if kept is None:
        return []
    stored = (kept.twin if record.role == "twin" else kept.image).provenance
    if (stored.software, stored.pixel_sha256) != (record.software, record.pixel_sha256):
        return []  # another making of the case
    return _differing(record, stored, OWN)


def edited_case(case: Case, record: Provenance, kept: SealedCase | None) -> list[Change]:
    """What tells that the case in a `-record.json` was changed."""
    if case.id != record.case_id or case.request != record.request:
        return [Change("record changed", "The record was changed: its two halves name different cases.", False)]
    if kept is None or kept.image.provenance.pixel_sha256 != record.pixel_sha256:
        return []
    if kept.image.provenance.software != record.software:
        return []
    return _differing(case, kept.case, {"created", "attempts"})


def _differing(found: Provenance | Case, kept: Provenance | Case, leave: set[str]) -> list[Change]:
    names = [n for n in type(found).model_fields if n not in leave and getattr(found, n) != getattr(kept, n)]
    if not names:
        return []
    said = f"The record was changed. Not as kept: {', '.join(names).replace('_', ' ')}."
    return [Change("record changed", said, False)]
