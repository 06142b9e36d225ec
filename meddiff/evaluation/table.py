"""An evaluation as a table for a terminal, and as one for a model card."""

from __future__ import annotations

from meddiff.evaluation.records import Evaluation, Figure, Part, Table

OPEN, CLOSE = "<!-- evaluation: filled in by `python -m benchmarks.quality --card` -->", "<!-- /evaluation -->"
WIDE = 58  # characters of a name in the terminal


def number(value: float | None) -> str:
    """Three figures that count; a dash where nothing was measured."""
    if value is None:
        return "\N{EN DASH}"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def interval(figure: Figure) -> str:
    """`0.61 to 0.74`, or nothing."""
    return (
        f"{number(figure.low)} to {number(figure.high)}" if figure.low is not None and figure.high is not None else ""
    )


def verdict(figure: Figure) -> str:
    """What was aimed at, and whether it was reached."""
    return "" if figure.met is None else f"{figure.aim} {'met' if figure.met else 'MISSED'}"


def titled(table: Table) -> str:
    """What a table is, and what its rows and columns are."""
    return f"{table.name} (rows: {table.row_name}; columns: {table.column_name})"


def counted_rows(table: Table) -> tuple[list[str], list[list[str]]]:
    """Heads and cells of a table: a row a kind, its counts among made pictures and, beside them, among real slices, each with its share of the row.

    A dash where a kind was not asked for.
    """
    sides = [("made", table.made), *([("real", table.real)] if table.real else [])]
    heads = [table.row_name, *(f"{side}: {name}" for side, _ in sides for name in table.names)]
    rows = [
        [name, *(cell for _, counts in sides for cell in _cells(counts[place]))]
        for place, name in enumerate(table.names)
    ]
    return heads, rows


def _cells(row: tuple[int, ...]) -> list[str]:
    whole = sum(row)
    return [f"{count} ({count / whole:.0%})" if whole else "\N{EN DASH}" for count in row]


def _text_of(table: Table) -> list[str]:
    heads, rows = counted_rows(table)
    wide = [max(len(row[column]) for row in (heads, *rows)) for column in range(len(heads))]
    lines = [
        "  ".join(f"{cell:{'<' if n == 0 else '>'}{wide[n]}}" for n, cell in enumerate(row)) for row in (heads, *rows)
    ]
    return [f"  {titled(table)}", *(f"  {line.rstrip()}" for line in lines)]


def _markdown_of(table: Table) -> list[str]:
    heads, rows = counted_rows(table)
    return [f"| {' | '.join(row)} |" for row in (heads, ["---"] * len(heads), *rows)]


def as_text(evaluation: Evaluation) -> str:
    """The whole table for a terminal, a line a figure."""
    lines = [
        f"pack {evaluation.pack} {evaluation.pack_sha256[:12]}, {evaluation.precision}, {evaluation.form} form; "
        + ", ".join(f"{count} {name}" for name, count in evaluation.counts.items()),
        f"{'':{WIDE}}{'measured':>10}{'95% interval':>18}{'real':>9}{'baseline':>10}  aim",
    ]
    for part in evaluation.parts:
        lines.append(f"{part.title}  ({part.seconds:.0f} s)")
        for f in part.figures:
            name = f"  {f.name}{', ' + f.unit if f.unit else ''}"
            lines.append(
                f"{name[: WIDE - 1]:{WIDE}}{number(f.value):>10}{interval(f):>18}{number(f.real):>9}{number(f.baseline):>10}  {verdict(f)}".rstrip()
            )
        for table in part.tables:
            lines += ["", *_text_of(table), ""]
        lines += [f"  {remark}" for remark in part.remarks]
    return "\n".join(lines)


def as_markdown(evaluation: Evaluation) -> str:
    """The block of a model card: what was measured with which command, a table a part, how to read what needs it."""
    counts = ", ".join(f"{count} {name}" for name, count in evaluation.counts.items())
    lines = [
        OPEN,
        "",
        f"`{evaluation.command}`, pack `{evaluation.pack_sha256[:12]}` at {evaluation.precision}, {evaluation.form} form, {evaluation.date}: {counts}.",
        '"Real": the same measured on real slices (the ceiling of a score, the floor of a distance). "Baseline": on pictures spoilt on purpose, or by a naive method.',
    ]
    for part in evaluation.parts:
        lines += ["", f"### {part.title}", "", *_rows(part)]
        notes = [f"- {f.name}: {f.note}" for f in part.figures if f.note]
        lines += ["", *notes] if notes else []
        for table in part.tables:
            lines += ["", f"{titled(table)}.", "", *_markdown_of(table), *(["", table.note] if table.note else [])]
        lines += ["", *part.remarks] if part.remarks else []
    return "\n".join([*lines, "", CLOSE])


def _rows(part: Part) -> list[str]:
    rows = ["| measure | measured | 95% interval | real | baseline | cases | aim |", "|---|---|---|---|---|---|---|"]
    for f in part.figures:
        name = f.name + (f", {f.unit}" if f.unit else "")
        baseline = number(f.baseline) + (f" ({f.baseline_name})" if f.baseline is not None and f.baseline_name else "")
        real = number(f.real) if f.real is not None else ""
        rows.append(
            f"| {name} | {number(f.value)} | {interval(f)} | {real} | {baseline if f.baseline is not None else ''} | {f.count or ''} | {verdict(f)} |"
        )
    return rows
