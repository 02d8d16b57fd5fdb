"""What an audit of the attacks found, as a file.

In: what was measured and flagged. Out: an :class:`Audit`, written to ``build/<study>/audit.json`` and read back from
there: ``bench`` marks the rows that a flag concerns as unreliable.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from pulseproof.attacks.aim.norms import BallNorm
from pulseproof.attacks.audit.flags import Flag
from pulseproof.attacks.audit.measured import Again, Kind, MeasuredTarget
from pulseproof.core.errors import InputError
from pulseproof.core.statistics import percentiles
from pulseproof.core.study import Study
from pulseproof.runtime.files import write_text

if TYPE_CHECKING:  # bench reads audits, and must not wait for torch
    from pulseproof.twins.gate import TwinCheck


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class CellEntry(_Frozen):
    """Macro AUC of ``target`` on one signal set, with its 95 % interval over patients (null: it has none). ``norm``:
    the ball that bounds the set, null where none does."""

    target: str
    source: str | None
    method: str
    budget_mv: float
    kind: Kind
    norm: BallNorm | None
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


class TwinEntry(_Frozen):
    """A deployed file beside its twin on the clean recordings, see :class:`twins.gate.TwinCheck`."""

    file: str
    engine: str
    version: str
    records: int
    output_step: float | None
    largest: float
    equal: float
    file_auc: float | None
    twin_auc: float | None
    reason: str | None
    mark: str | None = None
    engine_largest: float | None = None


class FlagEntry(_Frozen):
    """See :class:`attacks.audit.flags.Flag`; null for all sources, methods or budgets of the target."""

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
    cells: tuple[CellEntry, ...]
    rechecks: tuple[RecheckEntry, ...]
    twins: tuple[TwinEntry, ...] = ()
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
        raise InputError(f"{path}: not a readable audit ({problem})", "make it again: pulseproof audit") from None


def cell_of(measured: MeasuredTarget) -> CellEntry:
    """A measured row as the file has it."""
    row, (low, high) = measured.row, measured.interval
    return CellEntry(
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


def twin_entry(file: str, check: TwinCheck) -> TwinEntry:
    """What the gate of twins measured, as the file has it."""
    measured = vars(check) | {"file_auc": _number(check.file_auc), "twin_auc": _number(check.twin_auc)}
    return TwinEntry(file=file, **measured)


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


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
