"""Rows to lines: what a person compares, one line an artifact, with its worst case at every budget.

In comes an :class:`~bench.rows.Evaluation`; out come lines for the table, the pictures and the report, and the
sentences that must stand below them. No format and no color here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bench.results import GONE
from bench.rows import Difference, Evaluation, Row, is_quantized

CONTROLS = ("random-sign",)  # noise at the same budget: what an attack must be compared with
NOISE = 0.02  # a control further than this from the clean AUC says that the budget itself disturbs
TOLERANCE = 0.01  # a quantized artifact further than this from its float parent is marked
Made = Literal["white-box", "from its float parent", "transfer"]


@dataclass(frozen=True)
class Cell:
    """One artifact at one budget. ``attacked`` is its lowest AUC over every source and method, ``made`` where that
    attack was made; ``complete`` is False when a source was not measured, so that the true worst may be lower.
    ``control`` is its AUC under random noise of the same budget."""

    attacked: float | None
    made: Made | None
    source: str | None
    method: str | None
    complete: bool
    control: float | None


@dataclass(frozen=True)
class Line:
    """One artifact on one device: its clean row, its difference to the float parent, and a cell a budget."""

    device: str
    clean: Row
    difference: Difference | None
    cells: dict[float, Cell]

    @property
    def marked(self) -> bool:
        """True when the clean AUC lies more than ``TOLERANCE`` from that of the float parent."""
        return self.difference is not None and abs(self.difference.estimate) > TOLERANCE


def lines_of(evaluation: Evaluation) -> list[Line]:
    """One line an artifact and device, in the order of the bundle; artifacts without a file have none."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in evaluation.rows:
        if row.device is not None:
            groups.setdefault((row.device, row.artifact), []).append(row)
    differences = {(each.device, each.artifact): each for each in evaluation.differences}
    found = []
    for (device, artifact), rows in groups.items():
        clean = next((row for row in rows if row.method == "clean"), rows[0])
        cells = {budget: _cell([row for row in rows if row.epsilon_mv == budget]) for budget in budgets(rows)}
        found.append(Line(device, clean, differences.get((device, artifact)), cells))
    return found


def budgets(rows: Sequence[Row]) -> list[float]:
    """The budgets in millivolts, rising, the clean set left out."""
    return sorted({row.epsilon_mv for row in rows if row.epsilon_mv})


def middle_budget(rows: Sequence[Row]) -> float | None:
    """The study's middle budget (the lower of two), or None without attacks."""
    found = budgets(rows)
    return found[(len(found) - 1) // 2] if found else None


def _cell(rows: Sequence[Row]) -> Cell:
    """The worst case and the control among the rows of one artifact at one budget."""
    attacks = [row for row in rows if row.method not in CONTROLS]
    measured = [row for row in attacks if row.auc is not None]
    control = next((row.auc for row in rows if row.method in CONTROLS and row.auc is not None), None)
    if not measured:
        return Cell(None, None, None, None, not attacks, control)
    worst = min(measured, key=lambda row: row.auc if row.auc is not None else 1.0)
    made: Made = "transfer"
    if worst.source == worst.model:
        made = "from its float parent" if is_quantized(worst.recipe) else "white-box"
    return Cell(worst.auc, made, worst.source, worst.method, len(measured) == len(attacks), control)


def remarks(evaluation: Evaluation, device: str) -> list[str]:
    """The sentences that must stand below the table of one device, most weighty first."""
    lines = [line for line in lines_of(evaluation) if line.device == device]
    notes = {artifact.name: artifact.note for artifact in evaluation.head.artifacts}
    said: list[str] = []
    told: dict[str, list[str]] = {}
    for line in lines:
        name, difference, note = line.clean.artifact, line.difference, notes.get(line.clean.artifact)
        if line.marked and difference is not None:
            reason = note or "no reason is known: compare its scores before shipping it"
            said.append(
                f"* {name}: clean AUC differs from {difference.parent} by {signed(difference.estimate)} "
                f"{span(difference.low, difference.high, sign=True)}, more than {TOLERANCE:g}: {reason}."
            )
        elif note:
            told.setdefault(note, []).append(name)
    said += [f"{', '.join(names)}: {note}." for note, names in told.items()]
    rows = [row for row in evaluation.rows if row.device == device]
    said += _failures(rows)
    if any(cell.attacked is not None for line in lines for cell in line.cells.values()):
        sources = {row.source for row in rows if row.source is not None}
        alone = sorted({line.clean.model for line in lines} - sources)
        if alone:
            said.append(
                f"{', '.join(alone)}: attacked by transfer only, not on the model itself; the worst case may be lower."
            )
    moved: dict[str, list[str]] = {}
    for line in lines:
        for budget, cell in line.cells.items():
            if None not in (cell.control, line.clean.auc) and abs((cell.control or 0) - (line.clean.auc or 0)) > NOISE:
                moved.setdefault(f"{line.clean.model} at {budget_text(budget)}", []).append(line.clean.recipe)
    if moved:
        named = [f"{where} ({', '.join(recipes)})" for where, recipes in moved.items()]
        said.append(
            f"Random signs alone (one draw) move the AUC by more than {NOISE:g} for {'; '.join(named)}: there the "
            "attack is partly plain noise."
        )
    # What the study no longer asks for is nobody's missing number; it waits there should the study ask again.
    stale = [each for each in evaluation.stale if each.path.parent.parent.name == device and each.reason != GONE]
    if stale:
        reasons = ", ".join(sorted({each.reason for each in stale}))
        said.append(f"{len(stale)} stale result{'s' * (len(stale) != 1)} not used ({reasons}): run make bench.")
    missing = sum(row.auc is None and not row.failed for row in rows)
    if missing:
        said.append(f"{missing} of {len(rows)} runs without a number: run make bench.")
    return said


def banner(evaluation: Evaluation) -> str:
    """What must stand above every table and picture, in full; empty for whole real databases."""
    note = evaluation.note or ""
    if evaluation.head.synthetic:
        note = note.replace("SYNTHETIC", "SYNTHETIC recordings: nothing here is about patients", 1)
    return note


def not_applicable(evaluation: Evaluation) -> list[str]:
    """One sentence a reason why there is no such file, with the recipes that it holds for."""
    reasons: dict[str, list[str]] = {}
    for row in evaluation.rows:
        if row.device is None:
            reasons.setdefault(str(row.not_applicable), []).append(row.artifact)
    return [f"{', '.join(artifacts)}: {reason}" for reason, artifacts in reasons.items()]


def _failures(rows: Sequence[Row]) -> list[str]:
    """One sentence an artifact and reason, however many signal sets it failed on."""
    counts: dict[tuple[str, str], int] = {}
    for row in rows:
        if row.failed and row.not_applicable:
            counts[row.artifact, row.not_applicable] = counts.get((row.artifact, row.not_applicable), 0) + 1
    return [
        f"{artifact}: {reason}" + (f" (on {count} signal sets)" if count > 1 else "")
        for (artifact, reason), count in counts.items()
    ]


def legend(evaluation: Evaluation) -> str:
    """What the columns mean, in the words of the table."""
    return (
        f"AUC: macro one-vs-rest, [95 % interval], {evaluation.resamples:,} bootstrap resamples of "
        f"{evaluation.patients:,} patients. Latency: batch 1, clean recordings. Attacked: the worst over all sources; "
        "w white-box, p made on the float parent, t transfer from another model; "
        "<= a source was not measured. Noise: random signs at the same budget."
    )


def auc_text(value: float | None) -> str:
    """``.912``; a dash where nothing was measured."""
    return "-" if value is None else f"{value:.3f}".removeprefix("0")


def signed(value: float) -> str:
    """``-.004`` or ``+.013``."""
    return f"{value:+.3f}".replace("0.", ".", 1) if abs(value) >= 0.0005 else ".000"


def span(low: float | None, high: float | None, sign: bool = False) -> str:
    """``[.889, .934]``, or nothing where there is no interval."""
    if low is None or high is None:
        return ""
    text = signed if sign else auc_text
    return f"[{text(low)}, {text(high)}]"


def attacked_text(cell: Cell) -> str:
    """``.312w``: the worst case and where it was made; ``<=`` before it when a source is missing."""
    if cell.attacked is None:
        return "-"
    letter = {"white-box": "w", "from its float parent": "p", "transfer": "t", None: ""}[cell.made]
    return f"{'' if cell.complete else '<='}{auc_text(cell.attacked)}{letter}"


def milliseconds(value: float | None) -> str:
    """Three significant digits: ``0.0412``, ``1.20``, ``123``."""
    if value is None:
        return "-"
    return f"{value:#.3g}".rstrip(".") if value < 999.5 else f"{value:,.0f}"


def size_text(size: int | None) -> str:
    """A file size in kB or MB (powers of ten, as vendors of flash count)."""
    if size is None:
        return "-"
    return f"{size / 1e6:.2f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"


def budget_text(budget: float) -> str:
    return f"{budget:g} mV"
