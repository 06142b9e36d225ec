"""Finding cases: what is asked of the bank, and what stands in the answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, model_validator
from sqlalchemy import ColumnElement, Select, exists, func, or_, select
from sqlalchemy.orm import Session

from meddiff.bank.review import Review, plain
from meddiff.bank.tables import CaseRow, TagRow, VersionRow
from meddiff.case import Case, Record


class Sort(StrEnum):
    """Order of the answer; ids break ties, so that pages do not overlap."""

    NEWEST = "newest"
    OLDEST = "oldest"
    LARGEST = "largest"  # cases without a size last
    SMALLEST = "smallest"


class Search(Record):
    """What cases shall have; whatever is left empty lets everything pass.

    Attributes:
        pathology, plane, status: as recorded; `status` is the check's verdict, "accepted" or "rejected".
        review: what people decided.
        size_from_mm, size_to_mm: longest diameter, both ends included: as measured where it was measured, else as
            asked. A case without a lesion has none and passes neither.
        tags: all of them.
        text: every word of it, in sentence, id, tags or notes, whatever the case of its letters.
        deleted: the deleted cases instead of the others.
        limit, offset: which part of the answer.
    """

    pathology: str = ""
    plane: str = ""
    status: str = ""
    review: Review | None = None
    size_from_mm: Annotated[float, Field(ge=0)] | None = None
    size_to_mm: Annotated[float, Field(ge=0)] | None = None
    tags: tuple[str, ...] = ()
    text: str = ""
    deleted: bool = False
    sort: Sort = Sort.NEWEST
    limit: Annotated[int, Field(ge=0)] = 100
    offset: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _sizes_in_order(self) -> Search:
        if self.size_from_mm is not None and self.size_to_mm is not None and self.size_from_mm > self.size_to_mm:
            raise ValueError(
                f"the smallest size, {self.size_from_mm:g} mm, is above the largest, {self.size_to_mm:g} mm"
            )
        return self


class Entry(Record):
    """A kept case without its pixels, and what people said of it.

    `revision` goes back with a change: where somebody else changed the case in between, the change is refused.
    """

    case: Case
    kept: str
    version: int
    versions: int
    size_mm: float | None
    review: Review
    reviewer: str
    why: str
    reviewed: str
    tags: tuple[str, ...]
    notes: str
    deleted: str
    revision: int


class Found(Record):
    """One page of the answer, and how many cases there are in all."""

    entries: tuple[Entry, ...]
    total: int


def conditions(search: Search) -> list[ColumnElement[bool]]:
    """What a row of `cases` must meet."""
    met: list[ColumnElement[bool]] = [CaseRow.deleted != "" if search.deleted else CaseRow.deleted == ""]
    review = search.review.value if search.review else ""
    for column, wanted in (
        (CaseRow.pathology, search.pathology),
        (CaseRow.plane, search.plane),
        (CaseRow.status, search.status),
        (CaseRow.review, review),
    ):
        if wanted:
            met.append(column == wanted)
    if search.size_from_mm is not None:
        met.append(CaseRow.size_mm >= search.size_from_mm)
    if search.size_to_mm is not None:
        met.append(CaseRow.size_mm <= search.size_to_mm)
    met += [_tagged(TagRow.tag == tag.strip().lower()) for tag in search.tags]
    for word in plain(search.text).split():
        columns = (CaseRow.sentence, CaseRow.id, CaseRow.notes)
        met.append(
            or_(
                *(column.icontains(word, autoescape=True) for column in columns),
                _tagged(TagRow.tag.icontains(word, autoescape=True)),
            )
        )
    return met


def page(search: Search) -> Select[CaseRow]:
    """The rows of one page of the answer, in order."""
    orders: dict[Sort, ColumnElement[Any]] = {
        Sort.NEWEST: CaseRow.kept.desc(),
        Sort.OLDEST: CaseRow.kept.asc(),
        Sort.LARGEST: CaseRow.size_mm.desc().nulls_last(),
        Sort.SMALLEST: CaseRow.size_mm.asc().nulls_last(),
    }
    return (
        select(CaseRow)
        .where(*conditions(search))
        .order_by(orders[search.sort], CaseRow.id)
        .limit(search.limit)
        .offset(search.offset)
    )


def count(search: Search) -> Select[int]:
    """How many cases there are in all."""
    return select(func.count()).select_from(CaseRow).where(*conditions(search))


def entries(session: Session, rows: Sequence[CaseRow], read: Callable[[str], Case]) -> tuple[Entry, ...]:
    """Rows with their tags and the number of their versions.

    Args:
        read: makes a `Case` of its JSON.
    """
    ids = [row.id for row in rows]
    tags: dict[str, list[str]] = {}
    for case_id, tag in session.execute(select(TagRow.case_id, TagRow.tag).where(TagRow.case_id.in_(ids))):
        tags.setdefault(case_id, []).append(tag)
    counted = select(VersionRow.case_id, func.count()).where(VersionRow.case_id.in_(ids)).group_by(VersionRow.case_id)
    versions = {case_id: number for case_id, number in session.execute(counted)}
    return tuple(
        Entry(
            case=read(row.record),
            kept=row.kept,
            version=row.version,
            versions=versions.get(row.id, 1),
            size_mm=row.size_mm,
            review=Review(row.review),
            reviewer=row.reviewer,
            why=row.why,
            reviewed=row.reviewed,
            tags=tuple(sorted(tags.get(row.id, ()))),
            notes=row.notes,
            deleted=row.deleted,
            revision=row.revision,
        )
        for row in rows
    )


def _tagged(matches: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists().where(TagRow.case_id == CaseRow.id, matches)
