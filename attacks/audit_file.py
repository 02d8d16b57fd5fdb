"""What an audit of the attacks found, as a file and as tables on the terminal.

In: an :class:`Audit`. Out: ``build/<study>/audit.json``, which ``bench`` reads to mark rows as unreliable, and the
matrix of sources and targets at every budget with the flags below it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError
from rich.markup import escape
from rich.table import Table

from attacks.flags import Again, Flag, Kind, Measured, Norm
from core.errors import InputError
from core.statistics import percentiles
from core.study import Study
from runtime.files import write_text

CONTROLS = "noise"  # the column of all controls together


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Cell(_Frozen):
    """Macro AUC of ``target`` on one signal set, with its 95 % interval over patients (null: it has none). ``norm``:
    the ball that bounds the set, null where none does."""

    target: str
    source: str | None
    method: str
    budget_mv: float
    kind: Kind
    norm: Norm | None
    auc: float | None
    low: float | None
    high: float | None


class RecheckEntry(_Frozen):
    """The attack of ``source`` on itself at one budget (``before``), and once more as ``says`` tells (``after``);
    ``low`` to ``high``: the 95 % interval of after minus before, over patients."""

    says: str
    source: str
    budget_mv: float
    before: float | None
    after: float | None
    low: float | None
    high: float | None


class FlagEntry(_Frozen):
    """See :class:`attacks.flags.Flag`; null for all sources, methods or budgets of the target."""

    name: str
    sentence: str
    target: str
    source: str | None = None
    method: str | None = None
    budget_mv: float | None = None


class Audit(_Frozen):
    """``note``: what must stand beside its numbers; ``rechecked``: the recordings of the audit's own runs; ``sets``:
    {signal set: SHA-256} that were looked at; ``engines``: {file: the engine that scored it}; ``unchecked``: what could
    not be looked at, and why."""

    format: Literal[1] = 1
    study: str
    evidence: Literal["measured-on-host"] = "measured-on-host"
    note: str
    recordings: int
    patients: int
    rechecked: int
    resamples: int
    sets: dict[str, str]
    engines: dict[str, str]
    cells: tuple[Cell, ...]
    rechecks: tuple[RecheckEntry, ...]
    flags: tuple[FlagEntry, ...]
    unchecked: tuple[str, ...]


def audit_path(study: Study, build: Path) -> Path:
    """Where the audit of a study is kept."""
    return build / study.name / "audit.json"


def write_audit(path: Path, audit: Audit) -> None:
    """Write it, whole or not at all."""
    write_text(path, audit.model_dump_json(indent=1) + "\n")


def read_audit(path: Path) -> Audit:
    """Read it back. Raises InputError when it is missing or damaged."""
    try:
        return Audit.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        problem = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise InputError(
            f"{path}: not a readable audit ({problem})", "make it again: python -m attacks audit"
        ) from None


def cell_of(measured: Measured) -> Cell:
    """A measured row as the file has it."""
    row, (low, high) = measured.row, measured.interval
    return Cell(
        target=row.target,
        source=row.source,
        method=row.method or "",
        budget_mv=row.budget_mv or 0.0,
        kind=measured.kind,
        norm=measured.norm,
        auc=_number(measured.auc),
        low=_number(low),
        high=_number(high),
    )


def recheck_of(one: Again) -> RecheckEntry:
    """An attack that was run again as the file has it."""
    low, high = percentiles(one.after.resampled - one.before.resampled)
    row = one.before.row
    return RecheckEntry(
        says=one.says,
        source=row.target,
        budget_mv=row.budget_mv or 0.0,
        before=_number(one.before.auc),
        after=_number(one.after.auc),
        low=_number(low),
        high=_number(high),
    )


def flag_entry(flag: Flag) -> FlagEntry:
    """A flag as the file has it."""
    return FlagEntry(
        name=flag.name,
        sentence=flag.sentence,
        target=flag.row.target,
        source=flag.row.source,
        method=flag.row.method,
        budget_mv=flag.row.budget_mv,
    )


def tables(audit: Audit) -> Iterator[Table]:
    """The matrix at each budget (without attack first), then the audit's own runs, then the flags."""
    for budget in sorted({cell.budget_mv for cell in audit.cells}):
        yield _matrix(audit, budget)
    if audit.rechecks:
        yield _again(audit)
    found = Table("flag", "target", "source", "method", "mV", "what is wrong", title="Flags")
    for flag in audit.flags:
        budget_mv = "" if flag.budget_mv is None else f"{flag.budget_mv:g}"
        found.add_row(flag.name, flag.target, flag.source or "", flag.method or "", budget_mv, escape(flag.sentence))
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


def _column(cell: Cell) -> str:
    """A model's name; what is made on each target's own file, or on all models but its own, shares one column."""
    if cell.source is None:
        return "clean" if cell.method == "clean" else CONTROLS
    if "/" in cell.source:
        return f"its file: {cell.method}"
    return "the others" if cell.source == f"without-{cell.target.partition('/')[0]}" else cell.source


def _shown(auc: float | None) -> str:
    return "" if auc is None else f"{auc:.3f}"


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
