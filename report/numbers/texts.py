"""How numbers are written in every table: AUCs, differences with their intervals, times, sizes, budgets; and csv."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from typing import Any

from pulseproof.core.statistics import Interval
from pulseproof.runtime.words import printable

FORMULA = tuple(
    "=+-@\uff1d\uff0b\uff0d\uff20"
)  # the last four: their wide forms, which some spreadsheets take for them


def auc_text(value: float | None) -> str:
    """``.912``; a dash where nothing was measured."""
    return "-" if value is None else f"{value:.3f}".removeprefix("0")


def signed(value: float) -> str:
    """``-.004`` or ``+.013``."""
    return f"{value:+.3f}".replace("0.", ".", 1) if abs(value) >= 0.0005 else ".000"


def span(low: float | None, high: float | None, sign: bool = False) -> str:
    """``[.889, .934]``, or nothing where there is no interval."""
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return ""
    text = signed if sign else auc_text
    return f"[{text(low)}, {text(high)}]"


def difference_text(difference: Interval | None) -> str:
    """``-.011 [-.013, -.009]``; a dash where one side was not measured."""
    if difference is None:
        return "-"
    return f"{signed(difference.estimate)} {span(difference.low, difference.high, sign=True)}".strip()


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
    """``0.01 mV``."""
    return f"{budget:g} mV"


def csv_text(columns: Sequence[str], lines: Iterable[Iterable[Any]]) -> str:
    """A header line, then one line each; None is an empty cell. A text is never a formula to a spreadsheet: one that
    begins as a formula does gets an apostrophe before it. Numbers are written as they are, in full precision."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([_cell(value) for value in line] for line in (columns, *lines))
    return text.getvalue()


def _cell(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    shown = printable(value)
    return f"'{shown}" if shown.lstrip().startswith(FORMULA) else shown
