"""The results as tables: first a line an artifact with its budgets, then every row.

In comes an :class:`~report.numbers.evaluation.Evaluation`; out comes HTML for the first, and compact data for the
second, which the page's script lays out a hundred rows at a time: thousands of rows in the page itself would take
seconds to open.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from pulseproof.report.numbers.classes import over
from pulseproof.report.numbers.compare import devices_by_weight
from pulseproof.report.numbers.evaluation import Evaluation
from pulseproof.report.numbers.loss_budgets import ABOVE, Crossing
from pulseproof.report.numbers.pivot import BudgetCell, DeviceLine, by_device, fullest_budget
from pulseproof.report.numbers.rows import Row, latency_marks
from pulseproof.report.numbers.texts import auc_text, budget_text, milliseconds, signed, size_text, span
from pulseproof.report.page.markup import HeadCell, HtmlCell, HtmlTable, Section, artifact_cell, data_block, section
from pulseproof.report.page.words import AT_MOST, MADE, NOISE_WORDS, legend, notes
from pulseproof.report.tables.remarks import any_proved, loss_text, remarks
from pulseproof.report.tables.table import NOTHING, describe_device

DIGITS = 6  # significant ones of a number in the page; results.csv has all
# Key, head, and how it is shown (script: tables.js). What a phone shows of a row is in CARD.
COLUMNS = (
    ("model", "artifact", "artifact"),
    ("device", "device", "text"),
    ("method", "method", "text"),
    ("source", "made on", "text"),
    ("budget_mv", "budget, mV", "number"),
    ("n", "n", "whole"),
    ("auc", "AUC", "auc"),
    ("auc_low", "95 % interval", "interval"),
    ("weakest_class", "weakest class", "text"),
    ("weakest_auc", "its AUC", "auc"),
    ("auc_lost", "AUC lost", "signed"),
    ("flipped", "decisions flipped", "share"),
    ("disagreement", "otherwise than float", "share"),
    ("latency_p50_ms", "p50, ms", "three"),
    ("latency_p99_ms", "p99, ms", "three"),
    ("size_bytes", "size, kB", "kilo"),
    ("instructions", "M instr.", "mega"),
    ("snr_db", "SNR, dB", "one"),
    ("flags", "flags", "text"),
    ("auc_counted", "AUC counted", "auc"),
    ("attacked_through", "attacked through", "text"),
    ("loss_budget", ".05 lost at", "text"),
    ("chance_budget", ".5 crossed at", "text"),
    ("proved_auc", "proved AUC", "auc"),
    ("proof_gap", "gap to it", "auc"),
    ("proof", "proof", "text"),
)
CARD = ("model", "method", "source", "budget_mv", "auc", "latency_p50_ms")
HIDDEN = ("recipe", "auc_high")  # shown inside another column
FILTERS = (
    ("device", "device"),
    ("model", "model"),
    ("recipe", "recipe"),
    ("method", "method"),
    ("budget_mv", "budget, mV"),
)


def results_section(evaluation: Evaluation) -> Section:
    """The filters, a table a device with its remarks, and the place of all rows."""
    lines = weighed(evaluation)
    shown = fullest_budget(evaluation.rows)
    devices = [
        (name, _device(evaluation, name, some, shown), remarks(evaluation, name)) for name, some in lines.items()
    ]
    count = sum(row.device is not None for row in evaluation.rows)
    return section(
        "results",
        "All files and all rows",
        _gist(lines, shown),
        devices=devices,
        nothing=NOTHING,
        filters=_filters(evaluation.rows),
        legend=legend(evaluation, [line for some in lines.values() for line in some]),
        count=f"{count:,}",
        notes=notes(evaluation),
        alone=len(evaluation.devices) == 1,
    )


def _gist(lines: Mapping[str, Sequence[DeviceLine]], budget: float | None) -> str:
    """What there is on the weightiest device, from the least to the most."""
    name, some = next(iter(lines.items()), ("", []))
    clean = [line.clean.auc for line in some if line.clean.auc is not None]
    if not clean:
        return "Nothing was measured yet."
    said = f"{len(clean)} files on {name}: clean AUC {auc_text(min(clean))} to {auc_text(max(clean))}"
    cells = [line.cells.get(budget) for line in some] if budget is not None else []
    worst = [cell.worst for cell in cells if cell is not None and cell.worst is not None]
    if worst and budget is not None:
        said += f"; {auc_text(min(worst))} to {auc_text(max(worst))} in the worst case at {budget_text(budget)}"
    times = [line.clean.latency_p50_ms for line in some if line.clean.latency_p50_ms is not None]
    return f"{said}; {milliseconds(min(times))} to {milliseconds(max(times))} ms." if times else f"{said}."


def weighed(evaluation: Evaluation) -> dict[str, list[DeviceLine]]:
    """The lines of each device that it ran, those devices first whose results weigh most."""
    lines = by_device(evaluation)
    order = [*(name for name in devices_by_weight(evaluation) if name in lines), *lines]
    return {name: [line for line in lines[name] if _ran(line)] or lines[name] for name in dict.fromkeys(order)}


def rows_data(evaluation: Evaluation) -> Markup:
    """Every row as a block of data, the weightiest device first: a list a column, where each text stands once and the
    rows hold its number."""
    order = {name: at for at, name in enumerate(weighed(evaluation))}
    rows = sorted((row for row in evaluation.rows if row.device is not None), key=lambda row: order[str(row.device)])
    keys = [key for key, *_ in COLUMNS] + list(HIDDEN)
    columns: dict[str, Any] = {}
    for key in keys:
        values = [getattr(row, key) for row in rows]
        if any(isinstance(value, str) for value in values):
            texts = list(dict.fromkeys(value for value in values if value is not None))
            number = {value: at for at, value in enumerate(texts)}
            columns[key] = {"texts": texts, "at": [-1 if value is None else number[value] for value in values]}
        else:
            columns[key] = [_short(value) for value in values]
    failed = {str(at): row.not_applicable for at, row in enumerate(rows) if row.failed}
    used = [each for each in COLUMNS if any(getattr(row, each[0]) is not None for row in rows)]
    if len(evaluation.devices) == 1:
        used = [each for each in used if each[0] != "device"]
    value = {"count": len(rows), "show": used, "card": CARD, "columns": columns, "failed": failed}
    return data_block("rows-data", value)


def _device(evaluation: Evaluation, name: str, lines: Sequence[DeviceLine], shown: float | None) -> HtmlTable:
    """``shown``: the budget whose column a phone shows."""
    budgets = sorted({budget for line in lines for budget in line.cells})
    counted = any(row.instructions is not None for row in (line.clean for line in lines))
    cost = "M instructions" if counted else "p50, ms"
    heads: list[str | HeadCell] = ["artifact", "size", cost, *([] if counted else ["p99, ms"])]
    heads += [HeadCell("clean AUC", best=True), "int - float", *(["-.05 at, mV", ".5 at, mV"] if budgets else [])]
    heads += [HeadCell(budget_text(budget), budget=f"{budget:g}", best=True) for budget in budgets]
    rows = [_line(line, budgets, counted, any_proved(lines), shown) for line in lines]
    data = [{"device": name, "model": line.clean.model, "recipe": line.clean.recipe} for line in lines]
    caption = (
        f"{describe_device(evaluation, name)}. Clean AUC with its 95 % interval; a column a budget: AUC under the "
        "lowest attack and where that was made; below it the worst case of each recording and the most harmful noise."
    )
    if any_proved(lines):
        caption += (
            " Proved: what no disturbance brings it below, and the gap to the worst case, in which the truth lies."
        )
    return HtmlTable(caption, heads, rows, f"Artifacts on {name}", "sortable results cards", data)


def _ran(line: DeviceLine) -> bool:
    cells = line.cells.values()
    return line.clean.auc is not None or line.clean.failed or any(cell.attacked is not None for cell in cells)


def _line(
    line: DeviceLine, budgets: Sequence[float], counted: bool, proofs: bool, shown: float | None
) -> list[HtmlCell]:
    row, difference = line.clean, line.difference
    clean = "failed" if row.failed else auc_text(row.auc)
    part = over(row.classes, len(row.class_aucs or {})) if row.auc is not None else ""
    cost = row.instructions if counted else row.latency_p50_ms
    priced = milliseconds(cost / 1e6 if counted and cost else cost) + ("?" if latency_marks(row) else "")
    interval = " ".join(filter(None, (span(row.auc_low, row.auc_high), part)))
    delta = HtmlCell("")
    if difference is not None:
        told = f"{signed(difference.estimate)}{' *' if line.marked else ''}"
        delta = HtmlCell(told, difference.estimate, small=(span(difference.low, difference.high, sign=True),))
    found = [
        artifact_cell(row.artifact),
        HtmlCell(size_text(row.size_bytes), row.size_bytes),
        HtmlCell(priced, cost, "key"),
        *([] if counted else [HtmlCell(milliseconds(row.latency_p99_ms), row.latency_p99_ms)]),
        HtmlCell(clean, row.auc, "key", small=(interval,)),
        delta,
    ]
    found += _losses(line) if budgets else []
    return found + [_budget(line.cells.get(budget), proofs, "key" if budget == shown else "") for budget in budgets]


def _losses(line: DeviceLine) -> list[HtmlCell]:
    """The two budgets at which AUC is lost, each with its interval below it."""
    if line.losses is None:
        return [HtmlCell("-"), HtmlCell("-")]
    found = []
    for number in (line.losses.lost, line.losses.chance):
        whole, _, interval = loss_text(line, number).partition(" [")
        held = whole if not interval or not interval.endswith("^") else f"{whole}^"
        shown = f"[{interval.rstrip('^')}" if interval else ""
        found.append(HtmlCell(held, _sortable(number), small=(shown,), hint=number.reason or ""))
    return found


def _sortable(number: Crossing) -> float | None:
    """By what a column is sorted: above the largest budget comes after it."""
    return 10 * number.largest if number.estimate == ABOVE else number.estimate


def _budget(cell: BudgetCell | None, proofs: bool, key: str) -> HtmlCell:
    if cell is None or cell.attacked is None or cell.made is None:
        return HtmlCell("-", classes=f"budget {key}".strip())
    made = " ".join(part for part in (cell.method, "from" if cell.source else "", cell.source) if part)
    noise = (
        "" if cell.noise is None else f" · {auc_text(cell.control)} {NOISE_WORDS.get(cell.noise, (cell.noise, ''))[0]}"
    )
    below = f"worst {auc_text(cell.worst)}{noise}"
    proof = () if not proofs or cell.proved is None else (_proved(cell.proved, cell.worst),)
    return HtmlCell(
        ("" if cell.complete else AT_MOST) + auc_text(cell.attacked),
        cell.attacked,
        f"budget {key}".strip(),
        small=(MADE[cell.made][0], below, *proof),
        hint=made,
        tag="flag" if cell.flags else "",
    )


def _proved(proved: float, worst: float | None) -> str:
    """``proved .798, gap .041``."""
    return f"proved {auc_text(proved)}" + ("" if worst is None else f", gap {auc_text(worst - proved)}")


def _filters(rows: Sequence[Row]) -> list[tuple[str, str, list[str]]]:
    """Of each select its key, its name, and what there is to choose from."""
    fields = []
    for key, name in FILTERS:
        values = sorted({value for row in rows if row.device and (value := getattr(row, key)) is not None})
        if len(values) > 1:  # of one there is nothing to choose
            fields.append((key, name, [_value(value) for value in values]))
    return fields


def _value(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _short(value: Any) -> Any:
    """A number with as many digits as anyone reads; whole ones without a point."""
    if isinstance(value, float):
        short = float(f"{value:.{DIGITS}g}")
        return int(short) if short.is_integer() else short
    return value
