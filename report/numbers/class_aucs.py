"""The AUC of each class, with its interval: what the macro AUC of a row is the mean of.

In comes an :class:`~report.numbers.evaluation.Evaluation`; out comes text for ``pulseproof table --classes``: for
a reader one line an artifact and setting (clean, and the worst case at each budget), a column a class; for a program
one object a (device, artifact, signal set, class).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pulseproof.core.markdown import markdown, markdown_table
from pulseproof.core.terminal.console import Terminal
from pulseproof.report.numbers.classes import CHANCE, ClassCount, ClassValue, over
from pulseproof.report.numbers.evaluation import Evaluation
from pulseproof.report.numbers.resampled import WORST
from pulseproof.report.numbers.rows import Row
from pulseproof.report.numbers.texts import auc_text, budget_text, csv_text, span
from pulseproof.report.tables.remarks import banner


@dataclass(frozen=True)
class ClassAuc:
    """One class in one row. ``auc`` and its 95 % interval are None where the class has no positive or no negative
    recording; ``recordings`` and ``patients`` are those that have the class, of the recordings that were run."""

    device: str
    model: str
    recipe: str
    signals: str
    name: str
    auc: float | None
    auc_low: float | None
    auc_high: float | None
    recordings: int
    patients: int


def class_aucs(evaluation: Evaluation, rows: Sequence[Row] | None = None) -> list[ClassAuc]:
    """Those of ``rows`` (default: all that were measured), in the order of the rows, classes as in the bundle."""
    return [
        ClassAuc(str(row.device), row.model, row.recipe, str(row.signals), name, **value.model_dump())
        for row in (evaluation.rows if rows is None else rows)
        for name, value in (row.class_aucs or {}).items()
    ]


def as_csv(found: Sequence[ClassAuc]) -> str:
    """One header line, one line a class, full precision, empty where there is no AUC."""
    return csv_text([each.name for each in fields(ClassAuc)], (asdict(each).values() for each in found))


def as_json(found: Sequence[ClassAuc]) -> str:
    """A JSON list of objects, null where there is no AUC."""
    return json.dumps([asdict(each) for each in found], indent=1, allow_nan=False) + "\n"


def shown(evaluation: Evaluation, device: str) -> list[Row]:
    """The rows that a reader compares on a device: of each artifact the clean one and each worst case."""
    return [
        row
        for row in evaluation.rows
        if row.device == device and row.method in ("clean", WORST) and row.class_aucs is not None
    ]


def heads(evaluation: Evaluation) -> list[str]:
    """The columns: what was run, the mean, and one a class with what stands behind it."""
    return ["model", "recipe", "recordings", "macro AUC", *(class_head(each) for each in evaluation.class_counts)]


def class_head(count: ClassCount) -> str:
    """``S: 12 of 108, 9 patients``."""
    return f"{count.name}: {behind(count)}"


def behind(count: ClassCount) -> str:
    """``12 of 108, 9 patients``: what stands behind the AUC of a class."""
    return f"{count.recordings:,} of {count.of:,}, {count.patients:,} patients"


def cells(row: Row) -> list[str]:
    """The texts of one row, in the order of :func:`heads`."""
    values = row.class_aucs or {}
    mean = " ".join(part for part in (_text(row), over(row.classes, len(values))) if part)
    return [
        row.model,
        row.recipe,
        setting(row),
        mean,
        *(_text(each, is_failing(row, each)) for each in values.values()),
    ]


def is_failing(row: Row, value: ClassValue) -> bool:
    """True for a class below chance on clean recordings; under attack that is what the attack is for."""
    return row.method == "clean" and value.auc is not None and value.auc < CHANCE


def setting(row: Row) -> str:
    """``clean`` or ``worst case at 0.02 mV``; of fewer recordings than the bundle has, how many."""
    return "clean" if row.method == "clean" else f"worst case at {budget_text(row.budget_mv or 0)}"


def _text(value: Row | ClassValue, failing: bool = False) -> str:
    return f"{auc_text(value.auc)}{'!' * failing} {span(value.auc_low, value.auc_high)}".strip()


def legend(evaluation: Evaluation, mark: str = "!") -> list[str]:
    """What the columns mean, and which classes have no AUC and why. ``mark``: how a failing class is marked."""
    said = [
        "One-vs-rest AUC of each class, [95 % interval] from the resamples of the macro AUC; "
        f"{mark}: below .5 on clean recordings, so that those of the class are ranked below the others. A head says "
        "how many recordings and patients have the class."
    ]
    return said + [f"{each.undefined}: no AUC." for each in evaluation.class_counts if each.undefined]


def as_markdown(evaluation: Evaluation) -> str:
    """A title, the note, and a table a device."""
    parts = [f"### {markdown(evaluation.head.title)}: each class"]
    if evaluation.note:
        parts.append(f"**{markdown(banner(evaluation))}**")
    for device in evaluation.devices:
        rows = shown(evaluation, device.name)
        if rows:
            parts.append(f"Device: {markdown(device.name)}")
            parts.append(markdown_table(heads(evaluation), [cells(row) for row in rows], left=3))
    return "\n\n".join([*parts, *(markdown(each) for each in legend(evaluation))]) + "\n"


def print_terminal(evaluation: Evaluation, console: Console) -> None:
    """Print the tables to ``console``, as wide as they are where it is no terminal."""
    console.print(Text(f"{evaluation.head.title}: each class", style="bold"))
    if evaluation.note:
        console.print(Text(banner(evaluation), style="bold reverse" if evaluation.head.synthetic else "bold"))
    for device in evaluation.devices:
        rows = shown(evaluation, device.name)
        if not rows:
            continue
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), title=f"Device: {device.name}")
        for at, name in enumerate(heads(evaluation)):
            table.add_column(name.replace(": ", "\n", 1).replace(", ", "\n", 1), justify="left" if at < 3 else "right")
        for row in rows:
            table.add_row(*map(Text, cells(row)))
        wide = console if console.is_terminal else Terminal(file=console.file, width=1000)
        wide.print(table, justify="left")
    for each in legend(evaluation):
        console.print(Text(each, style="dim"), soft_wrap=not console.is_terminal)
