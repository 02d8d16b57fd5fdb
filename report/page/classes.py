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
from pulseproof.report.page.markup import HtmlCell, Section, breakable, bullets, details, esc, paragraph, table


def classes_section(evaluation: Evaluation) -> Section | None:
    """A table a device, that of the weightiest open: clean, and the worst case at the budget of the answers."""
    budget, body = fullest_budget(evaluation.rows), ""
    for device in devices_by_weight(evaluation):
        rows = [row for row in shown(evaluation, device) if row.method == "clean" or row.budget_mv == budget]
        if rows:
            drawn = _table(evaluation, device, rows)
            body += details(f"On {device}", drawn) if body else f"<h3>On {esc(device)}</h3>{drawn}"
    said = legend(evaluation, "marked")
    text = paragraph(said[0], "dim measure") + bullets(said[1:], "dim measure")
    return Section("classes", "Each class", text + body) if body else None


def _table(evaluation: Evaluation, device: str, rows: list[Row]) -> str:
    heads = [
        esc(each.name) + "".join(f"<small>{esc(part)}</small>" for part in behind(each).split(", "))
        for each in evaluation.class_counts
    ]
    columns = ["artifact", "recordings", "macro AUC", *heads]
    lines = []
    for row in rows:
        values = row.class_aucs or {}
        note = over(row.classes, len(values))
        mean = f"<small>{esc(note)}</small>" if note else ""
        lines.append(
            [
                HtmlCell(breakable(row.artifact), row.artifact),
                HtmlCell(esc(setting(row)), setting(row)),
                HtmlCell(f"{auc_text(row.auc)}<small>{span(row.auc_low, row.auc_high)}</small>{mean}", row.auc),
                *(_cell(each, is_failing(row, each)) for each in values.values()),
            ]
        )
    fewer = sorted({row.n for row in rows if row.n is not None and row.n < evaluation.recordings})
    caption = f"One-vs-rest AUC of each class on {device}, with its 95 % interval."
    if fewer:
        counts = " or ".join(f"{n:,}" for n in fewer)
        caption += f" Some rows are of {counts} of the {evaluation.recordings:,} recordings that the heads count."
    return table(caption, columns, lines, label=f"Classes on {device}", classes="sortable", left=2)


def _cell(value: ClassValue, failing: bool) -> HtmlCell:
    mark = ' <strong class="tag">below .5</strong>' if failing else ""
    return HtmlCell(f"{auc_text(value.auc)}{mark}<small>{span(value.auc_low, value.auc_high)}</small>", value.auc)
