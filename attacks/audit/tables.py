"""What an audit of the attacks found, as tables on the terminal.

In: an :class:`~attacks.audit.file.Audit`. Out: the matrix of sources and targets at every budget, the attack beside the
audit's own runs, and the flags.
"""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from pulseproof.attacks.audit.file import Audit, CellEntry

CONTROLS = "noise"  # the column of all controls together


def tables(audit: Audit) -> Iterator[Table]:
    """The matrix at each budget (without attack first), then the audit's own runs, then the flags."""
    for budget in sorted({cell.budget_mv for cell in audit.cells}):
        yield _matrix(audit, budget)
    if audit.rechecks:
        yield _again(audit)
    found = Table("flag", "target", "source", "method", "mV", "what is wrong", title="Flags")
    for flag in audit.flags:
        budget_mv = "" if flag.budget_mv is None else f"{flag.budget_mv:g}"
        found.add_row(flag.name, flag.target, flag.source or "", flag.method or "", budget_mv, Text(flag.sentence))
    if not audit.flags:
        found.add_row("no flag", "", "", "", "", "every check holds")
    yield found


def _matrix(audit: Audit, budget_mv: float) -> Table:
    """Targets down, sources across; in a cell the lowest AUC that any L-infinity attack, or any noise, reaches."""
    cells = [
        cell
        for cell in audit.cells
        if cell.budget_mv == budget_mv and cell.auc is not None and (cell.norm == "linf" or cell.kind == "control")
    ]
    sources = list(dict.fromkeys(_column(cell) for cell in cells))
    title = _title(audit) + (f"AUC at {budget_mv:g} mV" if budget_mv else "AUC without attack")
    drawn = Table("target", *sources, title=title, caption="* made on the target itself" if budget_mv else None)
    for target in dict.fromkeys(cell.target for cell in cells):
        row = []
        for source in sources:
            there = [cell for cell in cells if cell.target == target and _column(cell) == source]
            lowest = min((cell.auc for cell in there if cell.auc is not None), default=None)
            own = any(cell.source == target for cell in there)
            row.append(_shown(lowest) + (" *" if own else ""))
        drawn.add_row(target, *row)
    return drawn


def _again(audit: Audit) -> Table:
    """The study's attack and the audit's own runs side by side, on the same recordings."""
    runs = list(dict.fromkeys(one.says for one in audit.rechecks))
    title = f"{_title(audit)}AUC of the attack when it is run again, on {audit.rechecked:,} recordings"
    drawn = Table("source", "mV", "attack", *runs, title=title)
    for source, budget in sorted({(one.source, one.budget_mv) for one in audit.rechecks}):
        there = {one.says: one for one in audit.rechecks if (one.source, one.budget_mv) == (source, budget)}
        before = next(iter(there.values())).before
        after = (there[says].after if says in there else None for says in runs)
        drawn.add_row(source, f"{budget:g}", *map(_shown, (before, *after)))
    return drawn


def _title(audit: Audit) -> str:
    return f"{audit.note}: " if audit.note else ""


def _column(cell: CellEntry) -> str:
    """A model's name; what is made on each target's own file, or on all models but its own, shares one column."""
    if cell.source is None:
        return "clean" if cell.method == "clean" else CONTROLS
    if "/" in cell.source:
        return f"its file: {cell.method}"
    return "the others" if cell.source == f"without-{cell.target.partition('/')[0]}" else cell.source


def _shown(auc: float | None) -> str:
    return "" if auc is None else f"{auc:.3f}"
