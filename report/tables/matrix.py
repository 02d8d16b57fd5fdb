"""Who fools whom at one budget: a line a target (artifact), a column a source, macro AUC in the cells.

In comes an :class:`~report.numbers.evaluation.Evaluation`; out comes a :class:`Matrix` a device, and its text, Markdown
and csv. The diagonal are the attacks that were made on the target itself: on its model, or on this very file. An attack
from elsewhere that is stronger says that those on the diagonal are weak, so both are marked, by signs and not by color.

Columns, as far as they were made: ``clean``; each control; each model (the lowest of its methods); ``all-others``, the
ensemble of all models but the target's (an ensemble that holds the target's own model is in the rows alone); for each
file of the target's model that was attacked itself ``<method>:<recipe>``; and ``worst-case``. Attacks in another ball
than L-infinity are left out: they are no match for those that keep to their budget in every sample.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from pulseproof.core.errors import InputError
from pulseproof.core.markdown import markdown, markdown_table
from pulseproof.report.numbers.attacked_through import ENSEMBLE
from pulseproof.report.numbers.evaluation import Evaluation
from pulseproof.report.numbers.pivot import budgets, lowest
from pulseproof.report.numbers.resampled import WORST
from pulseproof.report.numbers.rows import Row
from pulseproof.report.numbers.texts import auc_text, budget_text, csv_text, difference_text
from pulseproof.report.tables.remarks import banner

OTHERS = "all-others"
MARKS = "[ ] made on this model or this file, * strongest attack"


@dataclass(frozen=True)
class TargetLine:
    """One line: the row behind each column (None where nothing was made or measured), which columns are its diagonal,
    and its strongest attack (of equal ones that on the diagonal)."""

    artifact: str
    rows: dict[str, Row]
    own: frozenset[str]
    strongest: str | None

    @property
    def outside(self) -> bool:
        """True when there is a diagonal and the strongest attack is not on it."""
        return self.strongest is not None and bool(self.own) and self.strongest not in self.own

    def text(self, column: str) -> str:
        """``[.559]*``: the AUC and its marks; a dash where there is none."""
        value = auc_text(self.rows[column].auc) if column in self.rows else "-"
        value = f"[{value}]" if column in self.own else value
        return f"{value}*" if column == self.strongest else value


@dataclass(frozen=True)
class Matrix:
    """The matrix of one device at one budget. ``attacks`` are the columns that are attacks of one source."""

    device: str
    budget_mv: float
    columns: tuple[str, ...]
    attacks: frozenset[str]
    targets: tuple[TargetLine, ...]


def matrices(evaluation: Evaluation, budget_mv: float) -> list[Matrix]:
    """One matrix a device. Raises InputError when nothing was made at this budget."""
    there = budgets(evaluation.rows)
    if budget_mv not in there:
        have = ", ".join(budget_text(each) for each in there) or "none"
        raise InputError(f"no rows at a budget of {budget_text(budget_mv)}", f"budgets there: {have}")
    devices = dict.fromkeys(row.device for row in evaluation.rows if row.device is not None)
    return [
        _matrix(
            device,
            budget_mv,
            [row for row in evaluation.rows if row.device == device and row.budget_mv in (0.0, budget_mv)],
        )
        for device in devices
    ]


def _matrix(device: str, budget_mv: float, rows: Sequence[Row]) -> Matrix:
    ranks: dict[str, int] = {}
    cells: dict[str, dict[str, list[Row]]] = {}
    for row in rows:
        found = _column(row)
        line = cells.setdefault(row.artifact, {})
        if found is not None:
            name, rank = found
            ranks[name] = rank
            line.setdefault(name, []).append(row)
    columns = sorted(ranks, key=lambda name: ranks[name])  # stable: within a rank as the bundle has them
    attacks = frozenset(name for name in columns if ranks[name] in ATTACKS)
    targets = [_target(artifact, line, attacks) for artifact, line in cells.items()]
    return Matrix(device, budget_mv, tuple(columns), attacks, tuple(targets))


ATTACKS = (2, 3, 4)  # ranks of columns that are attacks: models, the ensemble, files


def _column(row: Row) -> tuple[str, int] | None:
    """The name and the rank of the column that a row belongs to; None for one that the matrix leaves out."""
    if row.source is None:
        if row.method == WORST:
            return WORST, 5
        return str(row.method), 1 if row.control else 0
    if not row.attack:
        return None
    model, _, recipe = row.source.partition("/")
    if recipe:
        return (f"{row.method}:{recipe}", 4) if model == row.model else None
    if row.source.startswith(ENSEMBLE):
        return (OTHERS, 3) if row.source == ENSEMBLE + row.model else None
    return row.source, 2


def _target(artifact: str, line: dict[str, list[Row]], attacks: frozenset[str]) -> TargetLine:
    model, _, recipe = artifact.partition("/")
    rows = {name: row for name, found in line.items() if (row := lowest(found)) is not None}
    own = frozenset(name for name in rows if name in attacks and name.rpartition(":")[2] in (model, recipe))
    strongest = min(
        (name for name in rows if name in attacks),
        key=lambda name: (rows[name].auc or 0.0, name not in own),
        default=None,
    )
    return TargetLine(artifact, rows, own, strongest)


def outside(evaluation: Evaluation, matrix: Matrix) -> list[str]:
    """One sentence for each target whose strongest attack is not on the diagonal, with the paired difference."""
    said = []
    for target in matrix.targets:
        if not target.outside or target.strongest is None:
            continue
        best = lowest([target.rows[name] for name in target.own])
        difference = evaluation.difference(target.rows[target.strongest], best)
        by = difference_text(difference)
        if difference is not None and difference.high >= 0:
            told = f"{target.strongest} reaches the lowest AUC, within chance of what was made on it ({by})"
        else:
            told = f"{target.strongest} is stronger than what was made on it, by {by}"
        said.append(f"{target.artifact}: {told}.")
    return said


def as_text(evaluation: Evaluation, budget_mv: float) -> str:
    """The matrices for a terminal or a file, columns aligned."""
    text = [f"Macro AUC at {budget_text(budget_mv)}: a line a target, a column a source. {MARKS}."]
    text += [banner(evaluation)] if evaluation.note else []
    for matrix in matrices(evaluation, budget_mv):
        table = [[matrix.device, *matrix.columns]]
        table += [[each.artifact, *(each.text(name) for name in matrix.columns)] for each in matrix.targets]
        widths = [max(len(line[at]) for line in table) for at in range(len(table[0]))]
        text.append("")
        for line in table:
            padded = [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
            text.append("  ".join([line[0].ljust(widths[0]), *padded]).rstrip())
        text += outside(evaluation, matrix)
    return "\n".join(text) + "\n"


def as_markdown(evaluation: Evaluation, budget_mv: float) -> str:
    """The matrices for a page."""
    parts = [f"**{markdown(banner(evaluation))}**"] if evaluation.note else []
    for matrix in matrices(evaluation, budget_mv):
        said = f"Macro AUC at {budget_text(budget_mv)} on {matrix.device}: a line a target, a column a source. {MARKS}."
        parts.append(markdown(said))
        lines = [[each.artifact, *(each.text(name) for name in matrix.columns)] for each in matrix.targets]
        parts.append(markdown_table(["target", *matrix.columns], lines, left=1))
        off = outside(evaluation, matrix)
        if off:
            parts.append("\n".join(f"- {markdown(each)}" for each in off))
    return "\n\n".join(parts) + "\n"


def as_json(evaluation: Evaluation, budget_mv: float) -> str:
    """A JSON list of objects, a device and target each: ``auc`` by column (null where nothing was measured),
    ``diagonal`` (a list of columns) and ``strongest`` (null without an attack)."""
    found = [
        {
            "device": matrix.device,
            "target": each.artifact,
            "budget_mv": budget_mv,
            "auc": {name: each.rows[name].auc if name in each.rows else None for name in matrix.columns},
            "diagonal": [name for name in matrix.columns if name in each.own],
            "strongest": each.strongest,
        }
        for matrix in matrices(evaluation, budget_mv)
        for each in matrix.targets
    ]
    return json.dumps(found, indent=1, allow_nan=False) + "\n"


def as_csv(evaluation: Evaluation, budget_mv: float) -> str:
    """One line a device and target, full precision, empty where nothing was measured; the last columns name the
    diagonal and the strongest attack."""
    found = matrices(evaluation, budget_mv)
    columns = list(dict.fromkeys(name for matrix in found for name in matrix.columns))
    lines = []
    for matrix in found:
        for each in matrix.targets:
            values = [each.rows[name].auc if name in each.rows else None for name in columns]
            own = " ".join(name for name in columns if name in each.own)
            lines.append([matrix.device, each.artifact, budget_mv, *values, own, each.strongest])
    return csv_text(["device", "target", "budget_mv", *columns, "diagonal", "strongest"], lines)
