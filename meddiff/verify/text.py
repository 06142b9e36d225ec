"""Verdicts as lines for the command line."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from meddiff.bank import Bank
from meddiff.verify.answer import Verdict
from meddiff.verify.verdict import verify_file, verify_folder


def report(path: Path, bank: Bank | None, as_json: bool = False) -> int:
    """Prints verdicts on a file, or a line a file of a folder and a summary; returns the exit code, of a folder the largest.

    Raises:
        MedDiffError: a folder without pictures.
    """
    if not path.is_dir():
        verdicts = verify_file(path, bank)
        for verdict in verdicts:
            print(json.dumps(verdict.as_dict(), ensure_ascii=False) if as_json else in_full(verdict))
        return max(verdict.exit_code for verdict in verdicts)
    worst, counted = 0, Counter[str]()
    for verdict in verify_folder(path, bank):
        print(json.dumps(verdict.as_dict(), ensure_ascii=False) if as_json else in_a_line(verdict), flush=True)
        counted[verdict.answer.value] += 1
        worst = max(worst, verdict.exit_code)
    if not as_json:
        print("; ".join(f"{count} {words}" for words, count in counted.most_common()))
    return worst


def in_a_line(verdict: Verdict) -> str:
    """File, answer, case and what was done, in one line."""
    done = ", ".join(change.name for change in verdict.changes)
    told = (
        verdict.said if verdict.exit_code == 2 else " ".join(part for part in (verdict.case_id, verdict.role) if part)
    )
    return f"{_where(verdict)}: {verdict.answer.value}  {told}{f' ({done})' if done else ''}".rstrip()


def in_full(verdict: Verdict) -> str:
    """The sentence, how sure it is, and who said what."""
    lines = [f"{_where(verdict)}: {verdict.answer.value}", f"  {verdict.said}"]
    if verdict.sure:
        lines.append(f"  {verdict.sure}")
    lines += [f"  {each.witness:12s}{each.said}" for each in verdict.evidence]
    lines += [f"  {'since' if change.harmless else 'SINCE':12s}{change.said}" for change in verdict.changes]
    return "\n".join(lines)


def _where(verdict: Verdict) -> str:
    return verdict.file if verdict.frames == 1 else f"{verdict.file}, frame {verdict.frame} of {verdict.frames}"
