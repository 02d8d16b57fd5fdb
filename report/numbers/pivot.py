"""Rows to lines: what a person compares, one line an artifact, with its worst case at every budget.

In comes an :class:`~report.numbers.evaluation.Evaluation`; out come lines for the table, the pictures and the report.
What must be said below them is :mod:`report.tables.remarks`. No format and no color here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pulseproof.report.numbers.attacked_through import Counted, Made, made_of
from pulseproof.report.numbers.evaluation import Difference, Evaluation
from pulseproof.report.numbers.flagged import ITS_OWN
from pulseproof.report.numbers.loss_budgets import LossBudgets
from pulseproof.report.numbers.resampled import WORST
from pulseproof.report.numbers.rows import HOST, Row, engine_mark

TOLERANCE = 0.01  # a quantized artifact further than this from its float parent is marked


@dataclass(frozen=True)
class BudgetCell:
    """One artifact at one budget. ``attacked`` is its lowest AUC over every source and method, ``made`` where that
    attack was made; ``complete`` is False when a source was not measured, so that the true worst may be lower.
    ``worst`` is its AUC when each recording is sent as what hurts most, ``controls`` under each noise of that budget.
    ``flags`` are those of the audit for any of its attacks; that an attack is no better than noise, for the lowest.
    ``counted``: through what it was attacked and what it counts for, None without a worst case; ``on_model``: whether
    any of its attacks was made on this model or one of its files. ``proved``: what no disturbance brings its AUC below,
    None where nothing is proved."""

    attacked: float | None
    made: Made | None
    source: str | None
    method: str | None
    complete: bool
    worst: float | None
    controls: dict[str, float]
    flags: tuple[str, ...] = ()
    counted: Counted | None = None
    on_model: bool = False
    proved: float | None = None

    @property
    def noise(self) -> str | None:
        """The control that hurts most."""
        return min(self.controls, key=lambda name: self.controls[name], default=None)

    @property
    def control(self) -> float | None:
        """The AUC under that control."""
        return self.controls[self.noise] if self.noise is not None else None

    @property
    def on_itself(self) -> bool:
        """True for an attack that was made on this model or one of its files."""
        return self.made not in (None, "ensemble", "transfer")


@dataclass(frozen=True)
class DeviceLine:
    """One artifact on one device: its clean row, its difference to the float parent (None also where the engine does
    not give the file's own scores there: that is no cost of quantization), a cell a budget, and the budgets at which it
    loses AUC (None without attacks)."""

    device: str
    clean: Row
    difference: Difference | None
    cells: dict[float, BudgetCell]
    losses: LossBudgets | None = None

    @property
    def marked(self) -> bool:
        """True when the clean AUC lies more than ``TOLERANCE`` from that of the float parent."""
        return self.difference is not None and abs(self.difference.estimate) > TOLERANCE


def lines_of(evaluation: Evaluation) -> list[DeviceLine]:
    """One line an artifact and device, in the order of the bundle; artifacts without a file have none."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in evaluation.rows:
        if row.device is not None:
            groups.setdefault((row.device, row.artifact), []).append(row)
    differences = {(each.device, each.artifact): each for each in evaluation.differences}
    found = []
    for (device, artifact), rows in groups.items():
        clean = next((row for row in rows if row.method == "clean"), rows[0])
        cells = {
            budget: _cell(
                [row for row in rows if row.budget_mv == budget], evaluation.counted.get((device, artifact, budget))
            )
            for budget in budgets(rows)
        }
        lost = evaluation.losses.get((device, artifact))
        difference = None if engine_mark(clean) else differences.get((device, artifact))
        found.append(DeviceLine(device, clean, difference, cells, lost))
    return found


def by_device(evaluation: Evaluation) -> dict[str, list[DeviceLine]]:
    """The lines of each device, devices in the order of the rows."""
    found: dict[str, list[DeviceLine]] = {}
    for line in lines_of(evaluation):
        found.setdefault(line.device, []).append(line)
    return found


def budgets(rows: Sequence[Row]) -> list[float]:
    """The budgets in millivolts, rising, the clean set left out."""
    return sorted({row.budget_mv for row in rows if row.budget_mv})


def middle_budget(rows: Sequence[Row]) -> float | None:
    """The study's middle budget (the lower of two), or None without attacks."""
    found = budgets(rows)
    return found[(len(found) - 1) // 2] if found else None


def fullest_budget(rows: Sequence[Row]) -> float | None:
    """The budget at which most was made (of equal ones that nearest the middle), or None without attacks."""
    found = budgets(rows)
    made = {budget: len({(row.source, row.method) for row in rows if row.budget_mv == budget}) for budget in found}
    middle = (len(found) - 1) / 2
    return max(found, key=lambda budget: (made[budget], -abs(found.index(budget) - middle)), default=None)


def lowest(rows: Sequence[Row]) -> Row | None:
    """The row of the lowest AUC, the first of equal ones; None when nothing was measured."""
    return min((row for row in rows if row.auc is not None), key=lambda row: row.auc or 0.0, default=None)


def _cell(rows: Sequence[Row], counted: Counted | None) -> BudgetCell:
    """The worst case and the control among the rows of one artifact at one budget."""
    attacks = [row for row in rows if row.attack]
    attacked = lowest(attacks)
    worst = next((row for row in rows if row.method == WORST), None)
    flags = [
        flag
        for row in attacks
        for flag in (row.flags or "").split(", ")
        if flag and (row is attacked or flag not in ITS_OWN)
    ]
    return BudgetCell(
        attacked=attacked.auc if attacked else None,
        made=made_of(attacked) if attacked else None,
        source=attacked.source if attacked else None,
        method=attacked.method if attacked else None,
        complete=all(row.auc is not None and row.evidence == HOST for row in attacks),  # others get a part
        worst=worst.auc if worst else None,
        controls={str(row.method): row.auc for row in rows if row.control and row.auc is not None},
        flags=tuple(dict.fromkeys(flags)),
        counted=counted,
        on_model=any(row.auc is not None and made_of(row) not in ("ensemble", "transfer") for row in attacks),
        proved=worst.proved_auc if worst else None,
    )
