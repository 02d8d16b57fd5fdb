"""The table: rows as a person's terminal, a README, a spreadsheet or a program wants them.

In comes an :class:`~bench.rows.Evaluation` (or its rows); out comes text. Terminal and markdown show one line an
artifact (:mod:`bench.pivot`); json and csv are the rows themselves, every key, full precision.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from bench.pivot import (
    Line,
    attacked_text,
    auc_text,
    banner,
    budget_text,
    budgets,
    legend,
    lines_of,
    milliseconds,
    not_applicable,
    remarks,
    signed,
    size_text,
    span,
)
from bench.rows import Evaluation, Row
from bench.schema import Device, plain
from core.errors import InputError

KEYS = tuple(Row.model_fields)


def as_json(rows: Sequence[Row]) -> str:
    """A JSON list of objects, the keys of :class:`~bench.rows.Row` in their order, null where nothing was measured."""
    return json.dumps([row.model_dump() for row in rows], indent=1, allow_nan=False) + "\n"


def as_csv(rows: Sequence[Row]) -> str:
    """One header line, one line a row, empty where nothing was measured. No comment lines: the note is a column."""
    text = io.StringIO()
    writer = csv.DictWriter(text, KEYS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(row.model_dump() for row in rows)
    return text.getvalue()


def as_markdown(evaluation: Evaluation) -> str:
    """A title, the note, and for each device a table with its remarks, for a README or a pull request."""
    parts = [f"### {_md(evaluation.head.title)}"]
    if evaluation.note:
        parts.append(f"**{_md(banner(evaluation))}**")
    for device, lines in by_device(evaluation).items():
        columns = header(lines)
        table = [columns, ["---"] * 2 + ["---:"] * (len(columns) - 2)]
        table += [[_md(cell) for cell in cells(line, lines)] for line in lines]
        parts.append(f"Device: {_md(describe_device(evaluation, device))}")
        parts.append("\n".join(f"| {' | '.join(each)} |" for each in table))
        said = remarks(evaluation, device)
        if said:
            parts.append("\n".join(f"- {_md(each)}" for each in said))
    if not any(row.device for row in evaluation.rows):
        parts.append(NOTHING)
    parts.append(_md(legend(evaluation)))
    left_out = not_applicable(evaluation)
    if left_out:
        parts.append("Not applicable:\n\n" + "\n".join(f"- {_md(each)}" for each in left_out))
    return "\n\n".join(parts) + "\n"


NOTHING = "No results yet: run make bench."


def print_terminal(evaluation: Evaluation, console: Console) -> None:
    """Print the table to ``console``; on a narrow terminal as several, none with a cell cut short."""
    console.print(Text(evaluation.head.title, style="bold"))
    if evaluation.note:
        console.print(Text(banner(evaluation), style="bold reverse" if evaluation.head.synthetic else "bold"))
    for device, lines in by_device(evaluation).items():
        console.print(Text(f"Device: {describe_device(evaluation, device)}"))
        whole = _rich_table(lines, range(len(header(lines))))
        if not console.is_terminal:  # a file or a pipe has no width that a table must keep to
            Console(file=console.file, width=_width(whole, console)).print(whole)
        else:
            for columns in _parts(lines, console):
                console.print(_rich_table(lines, columns))
        for each in remarks(evaluation, device):
            console.print(Text(each), soft_wrap=not console.is_terminal)
    if not any(row.device for row in evaluation.rows):
        console.print(Text(NOTHING))
    console.print(Text(legend(evaluation), style="dim"), soft_wrap=not console.is_terminal)
    left_out = not_applicable(evaluation)
    if left_out:
        console.print(Text("Not applicable:"))
        for each in left_out:
            console.print(Text(f"  {each}"), soft_wrap=not console.is_terminal)


def source_target(rows: Sequence[Row], epsilon_mv: float) -> str:
    """Who fools whom at one budget: a line a target (artifact), a column a source, macro AUC in the cells.

    Where several methods were used the lowest AUC stands. The columns without a source (clean, random signs) come
    first. Raises InputError when nothing was made at this budget.
    """
    there = budgets(rows)
    if epsilon_mv not in there:
        have = ", ".join(budget_text(each) for each in there) or "none"
        raise InputError(f"no rows at a budget of {budget_text(epsilon_mv)}", f"budgets there: {have}")
    text = [f"Macro AUC at {budget_text(epsilon_mv)}: a line a target, a column a source (the model attacked)"]
    notes = [(row.note or "").split("; ") for row in rows]
    shared = "; ".join(part for part in notes[0] if all(part in note for note in notes))  # the note of the study
    text += [shared] if shared else []
    for device in dict.fromkeys(row.device for row in rows if row.device is not None):
        own = [row for row in rows if row.device == device and row.epsilon_mv in (0.0, epsilon_mv)]
        plain = dict.fromkeys(str(row.method) for row in own if row.source is None)
        sources = dict.fromkeys(row.source for row in own if row.source is not None)
        table = [[f"{device}", *plain, *sources]]
        for artifact in dict.fromkeys(row.artifact for row in own):
            values = [
                [row.auc for row in own if row.artifact == artifact and row.source is None and row.method == method]
                for method in plain
            ]
            values += [[row.auc for row in own if row.artifact == artifact and row.source == each] for each in sources]
            table.append([artifact, *(auc_text(_lowest(found)) for found in values)])
        widths = [max(len(line[column]) for line in table) for column in range(len(table[0]))]
        text.append("")
        for line in table:
            padded = [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
            text.append("  ".join([line[0].ljust(widths[0]), *padded]).rstrip())
    return "\n".join(text) + "\n"


def by_device(evaluation: Evaluation) -> dict[str, list[Line]]:
    """The lines of each device, devices in the order of the rows."""
    found: dict[str, list[Line]] = {}
    for line in lines_of(evaluation):
        found.setdefault(line.device, []).append(line)
    return found


def describe_device(evaluation: Evaluation, name: str) -> str:
    """The device's name, its evidence and what it is: ``host, measured-on-host, <cpu>, Linux ...``."""
    device: Device | None = next((each for each in evaluation.devices if each.name == name), None)
    if device is None:
        return f"{name}, nothing measured"
    known = [plain(str(device.fingerprint[key])) for key in ("cpu", "machine", "system") if device.fingerprint.get(key)]
    return ", ".join([name, device.evidence, *known])


FIXED = ("model", "recipe", "size", "p50 ms", "p99 ms", "clean AUC", "int - float")


def header(lines: Sequence[Line]) -> list[str]:
    """The columns: those of :data:`FIXED`, then one a budget."""
    return [*FIXED, *(f"{budget_text(budget)}: attack/noise" for budget in _budgets(lines))]


def cells(line: Line, lines: Sequence[Line]) -> list[str]:
    """One line's texts, in the order of :func:`header`."""
    row, difference = line.clean, line.difference
    clean = f"{auc_text(row.auc)} {span(row.auc_low, row.auc_high)}".strip()
    delta = ""
    if difference is not None:
        mark = " *" if line.marked else ""
        delta = f"{signed(difference.estimate)} {span(difference.low, difference.high, sign=True)}{mark}"
    found = [
        row.model,
        row.recipe,
        size_text(row.size_bytes),
        milliseconds(row.latency_p50_ms),
        milliseconds(row.latency_p99_ms),
        "failed" if row.failed else clean,
        delta,
    ]
    for budget in _budgets(lines):
        cell = line.cells.get(budget)
        found.append(f"{attacked_text(cell)} / {auc_text(cell.control)}" if cell else "-")
    return found


def _budgets(lines: Sequence[Line]) -> list[float]:
    return sorted({budget for line in lines for budget in line.cells})


def _parts(lines: Sequence[Line], console: Console) -> list[list[int]]:
    """The columns of each table, as many as fit the terminal; model and recipe stand first in every one."""
    parts = [[0, 1]]
    for column in range(2, len(header(lines))):
        wider = [*parts[-1], column]
        if len(parts[-1]) == 2 or _width(_rich_table(lines, wider), console) <= console.width:
            parts[-1] = wider
        else:
            parts.append([0, 1, column])
    return parts


def _width(table: Table, console: Console) -> int:
    return Measurement.get(console, console.options.update(max_width=1000), table).maximum


def _rich_table(lines: Sequence[Line], columns: Sequence[int]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    names = [name.replace(": ", "\n", 1) for name in header(lines)]
    for column in columns:
        table.add_column(names[column], justify="left" if column < 2 else "right", no_wrap=True)
    before = None
    for line in lines:
        texts = cells(line, lines)
        if line.clean.model == before:
            texts[0] = ""
        elif before is not None:
            table.add_section()
        before = line.clean.model
        style = "yellow" if line.marked else ""
        table.add_row(*(Text(texts[column], style=style) for column in columns))
    return table


def _lowest(values: Sequence[float | None]) -> float | None:
    return min((value for value in values if value is not None), default=None)


def _md(text: str) -> str:
    """Markdown that shows ``text`` as it is, inside a table cell too."""
    for sign in ("\\", "|", "*", "<", ">", "`", "]("):
        text = text.replace(sign, "]\\(" if sign == "](" else f"\\{sign}")
    return " ".join(text.split())
