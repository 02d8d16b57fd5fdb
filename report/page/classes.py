"""Each class by itself: its AUC clean and in the worst case, a line an artifact, with what stands behind each class.

In comes an :class:`~report.numbers.evaluation.Evaluation`; out comes HTML. The macro AUC of the results is the mean of
these columns; a class below .5 is marked, since the mean hides it.
"""

from __future__ import annotations

from pulseproof.report.numbers.class_aucs import behind, is_failing, legend, setting, shown
from pulseproof.report.numbers.classes import ClassValue, over
from pulseproof.report.numbers.compare import devices_by_weight
from pulseproof.report.numbers.evaluation import Evaluation
from pulseproof.report.numbers.pivot import fullest_budget
from pulseproof.report.numbers.rows import Row
from pulseproof.report.numbers.texts import auc_text, span
from pulseproof.report.page.markup import HeadCell, HtmlCell, HtmlTable, Section, artifact_cell, section, text_cell


def classes_section(evaluation: Evaluation) -> Section | None:
    """A table a device, that of the weightiest open: clean, and the worst case at the budget of the answers."""
    budget, devices = fullest_budget(evaluation.rows), []
    for device in devices_by_weight(evaluation):
        rows = [row for row in shown(evaluation, device) if row.method == "clean" or row.budget_mv == budget]
        if rows:
            devices.append((device, _table(evaluation, device, rows)))
    if not devices:
        return None
    return section("classes", "Each class", legend=legend(evaluation, "marked"), devices=devices)


def _table(evaluation: Evaluation, device: str, rows: list[Row]) -> HtmlTable:
    heads = [HeadCell(each.name, tuple(behind(each).split(", "))) for each in evaluation.class_counts]
    columns: list[str | HeadCell] = ["artifact", "recordings", "macro AUC", *heads]
    lines = []
    for row in rows:
        values = row.class_aucs or {}
        note = over(row.classes, len(values))
        lines.append(
            [
                artifact_cell(row.artifact),
                text_cell(setting(row)),
                HtmlCell(auc_text(row.auc), row.auc, small=(span(row.auc_low, row.auc_high), note)),
                *(_cell(each, is_failing(row, each)) for each in values.values()),
            ]
        )
    fewer = sorted({row.n for row in rows if row.n is not None and row.n < evaluation.recordings})
    caption = f"One-vs-rest AUC of each class on {device}, with its 95 % interval."
    if fewer:
        counts = " or ".join(f"{n:,}" for n in fewer)
        caption += f" Some rows are of {counts} of the {evaluation.recordings:,} recordings that the heads count."
    return HtmlTable(caption, columns, lines, f"Classes on {device}", "sortable", left=2)


def _cell(value: ClassValue, failing: bool) -> HtmlCell:
    below = "below .5" if failing else ""
    return HtmlCell(auc_text(value.auc), value.auc, tag=below, small=(span(value.auc_low, value.auc_high),))
