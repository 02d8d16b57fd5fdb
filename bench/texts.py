"""How numbers are written in every table: AUCs, differences with their intervals, times, sizes, budgets."""

from __future__ import annotations

import math

from core.statistics import Interval


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


def markdown(text: str) -> str:
    """Markdown that shows ``text`` as it is, inside a table cell too."""
    for sign in ("\\", "|", "*", "<", ">", "`", "]("):
        text = text.replace(sign, "]\\(" if sign == "](" else f"\\{sign}")
    return " ".join(text.split())


def markdown_table(columns: list[str], lines: list[list[str]], left: int = 2) -> str:
    """A table of Markdown; the first ``left`` columns stand left, the others, which are numbers, right."""
    rows = [columns, ["---"] * left + ["---:"] * (len(columns) - left), *lines]
    shown = [rows[1] if row is rows[1] else [markdown(cell) for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in shown)
