"""The table: rows as a person's terminal, a README, a spreadsheet or a program wants them.

In comes an :class:`~report.numbers.evaluation.Evaluation` (or its rows); out comes text. Terminal and markdown show one
line an artifact (:mod:`report.numbers.pivot`); json and csv are the rows themselves, every key, full precision.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from pulseproof.bench.wire.schema import Device, plain
from pulseproof.core.markdown import markdown, markdown_table
from pulseproof.core.terminal.console import Terminal
from pulseproof.core.terminal.hints import command
from pulseproof.report.numbers.classes import over
from pulseproof.report.numbers.evaluation import Evaluation
from pulseproof.report.numbers.pivot import DeviceLine, by_device
from pulseproof.report.numbers.rows import Row, latency_marks
from pulseproof.report.numbers.texts import auc_text, budget_text, csv_text, milliseconds, signed, size_text, span
from pulseproof.report.tables.remarks import (
    any_proved,
    attacked_text,
    audited,
    banner,
    legend,
    loss_text,
    noise_text,
    not_applicable,
    remarks,
)

KEYS = tuple(Row.model_fields)


def as_json(rows: Sequence[Row]) -> str:
    """A JSON list of objects, the keys of :class:`~report.numbers.rows.Row` in their order, null where nothing was
    measured."""
    return json.dumps([row.model_dump() for row in rows], indent=1, allow_nan=False) + "\n"


def as_csv(rows: Sequence[Row]) -> str:
    """One header line, one line a row, empty where nothing was measured. No comment lines: the note is a column."""
    lines = [row.model_dump() for row in rows]
    for values in lines:
        if values["class_aucs"] is not None:  # one cell, as JSON; class-aucs.csv has a line a class
            values["class_aucs"] = json.dumps(values["class_aucs"], separators=(",", ":"), allow_nan=False)
    return csv_text(KEYS, (values.values() for values in lines))


def as_markdown(evaluation: Evaluation) -> str:
    """A title, the note, and for each device a table with its remarks, for a README or a pull request."""
    parts = [f"### {markdown(evaluation.head.title)}"]
    if evaluation.note:
        parts.append(f"**{markdown(banner(evaluation))}**")
    for device, lines in by_device(evaluation).items():
        parts.append(f"Device: {markdown(describe_device(evaluation, device))}")
        parts.append(markdown_table(header(lines), [cells(line, lines) for line in lines]))
        said = remarks(evaluation, device)
        if said:
            parts.append("\n".join(f"- {markdown(each)}" for each in said))
    if not any(row.device for row in evaluation.rows):
        parts.append(NOTHING)
    parts.append(markdown(legend(evaluation)))
    flags = audited(evaluation)
    if flags:
        parts.append("Checks of the attacks:\n\n" + "\n".join(f"- {markdown(each)}" for each in flags))
    left_out = not_applicable(evaluation)
    if left_out:
        parts.append("Not applicable:\n\n" + "\n".join(f"- {markdown(each)}" for each in left_out))
    return "\n\n".join(parts) + "\n"


NOTHING = f"No results yet: run {command('bench')}."


def print_terminal(evaluation: Evaluation, console: Console) -> None:
    """Print the table to ``console``; on a narrow terminal as several, none with a cell cut short."""
    console.print(Text(evaluation.head.title, style="bold"))
    if evaluation.note:
        console.print(Text(banner(evaluation), style="bold reverse" if evaluation.head.synthetic else "bold"))
    for device, lines in by_device(evaluation).items():
        console.print(Text(f"Device: {describe_device(evaluation, device)}"))
        whole = _rich_table(lines, range(len(header(lines))))
        if not console.is_terminal:  # a file or a pipe has no width that a table must keep to
            Terminal(file=console.file, width=_width(whole, console)).print(whole)
        else:
            for columns in _parts(lines, console):
                console.print(_rich_table(lines, columns))
        for each in remarks(evaluation, device):
            console.print(Text(each), soft_wrap=not console.is_terminal)
    if not any(row.device for row in evaluation.rows):
        console.print(Text(NOTHING))
    console.print(Text(legend(evaluation), style="dim"), soft_wrap=not console.is_terminal)
    for title, said in (
        ("Checks of the attacks:", audited(evaluation)),
        ("Not applicable:", not_applicable(evaluation)),
    ):
        if said:
            console.print(Text(title))
        for each in said:
            console.print(Text(f"  {each}"), soft_wrap=not console.is_terminal)


def describe_device(evaluation: Evaluation, name: str) -> str:
    """The device's name, its evidence and what it is: ``host, measured-on-host, <cpu>, Linux ...``."""
    device: Device | None = next((each for each in evaluation.devices if each.name == name), None)
    if device is None:
        return f"{name}, nothing measured"
    known = [plain(str(device.fingerprint[key])) for key in ("cpu", "machine", "system") if device.fingerprint.get(key)]
    return ", ".join([name, device.evidence, *known])


FIXED = ("model", "recipe", "size", "p50 ms", "p99 ms", "clean AUC", "int - float")


LOSSES = ("-.05 at mV", ".5 at mV")


def header(lines: Sequence[DeviceLine]) -> list[str]:
    """The columns: those of :data:`FIXED`, where there are attacks those of :data:`LOSSES`, then one a budget."""
    losses = LOSSES if _budgets(lines) else ()
    what = "attack/worst/noise" + "/proved" * any_proved(lines)
    return [*FIXED, *losses, *(f"{budget_text(budget)}: {what}" for budget in _budgets(lines))]


def cells(line: DeviceLine, lines: Sequence[DeviceLine]) -> list[str]:
    """One line's texts, in the order of :func:`header`."""
    row, difference = line.clean, line.difference
    part = over(row.classes, len(row.class_aucs or {})) if row.auc is not None else ""
    clean = " ".join(each for each in (auc_text(row.auc), span(row.auc_low, row.auc_high), part) if each)
    delta = ""
    if difference is not None:
        mark = " *" if line.marked else ""
        delta = f"{signed(difference.estimate)} {span(difference.low, difference.high, sign=True)}{mark}"
    found = [
        row.model,
        row.recipe,
        size_text(row.size_bytes),
        milliseconds(row.latency_p50_ms) + ("?" if latency_marks(row) else ""),
        milliseconds(row.latency_p99_ms),
        "failed" if row.failed else clean,
        delta,
    ]
    if _budgets(lines):
        lost = line.losses
        found += ["-", "-"] if lost is None else [loss_text(line, each) for each in (lost.lost, lost.chance)]
    for budget in _budgets(lines):
        cell = line.cells.get(budget)
        texts = [attacked_text(cell), auc_text(cell.worst), noise_text(cell)] if cell else ["-"]
        if cell and any_proved(lines):
            texts.append(auc_text(cell.proved))
        found.append(" / ".join(texts))
    return found


def _budgets(lines: Sequence[DeviceLine]) -> list[float]:
    return sorted({budget for line in lines for budget in line.cells})


def _parts(lines: Sequence[DeviceLine], console: Console) -> list[list[int]]:
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


def _rich_table(lines: Sequence[DeviceLine], columns: Sequence[int]) -> Table:
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
