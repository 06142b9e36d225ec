"""Approving an item: only where each case that it shows lies whole in the bank and nobody took it out of use.

What happens to a case later counts too: learners do not see an approved item while a case of it is deleted or rejected
(`store.shown_to_learners`); it is back as soon as the case is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from meddiff.bank import Bank, Review
from meddiff.case import MedDiffError, Status
from meddiff.teaching.item import Item
from meddiff.teaching.store import Questions


def approve(
    questions: Questions, bank: Bank, ids: Iterable[str], who: str, version: int | None = None, why: str = ""
) -> tuple[Item, ...]:
    """Lets learners see items; where a case of one is not fit to be shown, none is approved.

    Args:
        version: of an item, the one that was looked at; None: the newest.

    Raises:
        MedDiffError: an item that cannot be approved because of a case; or as `Questions.approve`.
    """
    items = questions.items(list(ids))
    wrong = faults(bank, (case for item in items for case in item.cases))
    for item in items:
        for case in item.cases:
            if wrong[case]:
                raise MedDiffError(f"{item.id} cannot be approved: {wrong[case]}")
    return tuple(questions.approve(item.id, who, version, why) for item in items)


def faults(bank: Bank, cases: Iterable[str]) -> dict[str, str]:
    """Why learners must not see cases, by id, in a sentence each that says what to do; empty where they may.

    Raises:
        MedDiffError: the bank does not answer.
    """
    suspended = _suspended(bank)
    return {case: _fault_of(bank, case, suspended) for case in dict.fromkeys(cases)}


def _fault_of(bank: Bank, case_id: str, suspended: Collection[str]) -> str:
    if not (known := bank.knows(case_id)):
        return f"the bank has no case {case_id}: import the bank that it came from."
    if known == "deleted":
        return f"its case {case_id} was deleted: bring it back in the Case bank (`meddiff bank undo {case_id}`)."
    entry = bank.entry(case_id)
    if entry.case.status is Status.REJECTED:
        return f"its case {case_id} was rejected by its check ({entry.case.reason or 'no reason is kept'}): choose another case."
    if entry.review is Review.REJECTED:
        return f"its case {case_id} was rejected by {entry.reviewer} ({entry.why}): review it again in the Case bank."
    if case_id in suspended:
        return f"its case {case_id} was suspended by readers' red alerts in a study: look at it, and reject it in the Case bank."
    try:
        bank.open(case_id)
    except MedDiffError as error:
        return f"its case {case_id} is damaged ({str(error).rstrip('.')}): keep it again."
    return ""


def _suspended(bank: Bank) -> frozenset[str]:
    """Cases that two readers of a study flagged as misleading."""
    from meddiff.teaching.study_store import StudyStore

    store = StudyStore(bank.engine.url.render_as_string(hide_password=False))
    return frozenset(case for plan in store.plans() for case in store.suspended(plan.id))
