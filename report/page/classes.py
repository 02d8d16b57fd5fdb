"""Each class by itself: of the recommended file all that it does there, of every file the AUC, clean and attacked.

In comes an :class:`~report.numbers.evaluation.Evaluation`; out comes HTML. The macro AUC of the results is the mean of
these columns; a class below .5 is marked, since the mean hides it.
"""

from __future__ import annotations

from collections.abc import Sequence

from pulseproof.report.numbers.class_aucs import behind, is_failing, legend, setting, shown
from pulseproof.report.numbers.classes import ClassValue, over
from pulseproof.report.numbers.compare import devices_by_weight
from pulseproof.report.numbers.evaluation import Evaluation
from pulseproof.report.numbers.pivot import fullest_budget
from pulseproof.report.numbers.rows import Row
from pulseproof.report.numbers.texts import auc_text, budget_text, span
from pulseproof.report.page.markup import HeadCell, HtmlCell, HtmlTable, Section, artifact_cell, section, text_cell
from pulseproof.report.tables.per_class import ClassLine

PER_CLASS = "per-class.csv"


def classes_section(evaluation: Evaluation, lines: Sequence[ClassLine] = ()) -> Section | None:
    """The recommended file's own table (of ``lines``), then all files: a table a device, clean, and the worst case at
    the budget of the answers."""
    budget, devices = fullest_budget(evaluation.rows), []
    for device in devices_by_weight(evaluation):
        rows = [row for row in shown(evaluation, device) if row.method == "clean" or row.budget_mv == budget]
        if rows:
            devices.append((device, _table(evaluation, device, rows)))
    if not devices:
        return None
    own = _own(lines, budget) if lines else None
    return section(
        "classes",
        "Each class",
        _gist(evaluation, lines),
        own=own,
        said=_decided(lines),
        csv=PER_CLASS if lines else "",
        legend=legend(evaluation, "marked"),
        devices=devices,
    )


def _gist(evaluation: Evaluation, lines: Sequence[ClassLine]) -> str:
    """The class that the recommended file is worst at, clean and attacked."""
    clean = [each for each in lines if each.signals == "clean" and each.auc is not None]
    if not clean:
        return f"The AUC of each of {len(evaluation.class_counts)} classes, and how many people stand behind it."
    lowest = min(clean, key=lambda each: each.auc or 0.0)
    said = f"Its weakest class is {lowest.name}: AUC {auc_text(lowest.auc)} clean"
    attacked = next((each for each in lines if each.name == lowest.name and each.signals != "clean"), None)
    if attacked is not None:
        said += f", {auc_text(attacked.auc)} in the worst case"
    plural = "person has" if lowest.patients == 1 else "people have"
    return f"{said}; {lowest.patients:,} {plural} it."


def _decided(lines: Sequence[ClassLine]) -> str:
    """What stands behind sensitivity and specificity, or why there are none."""
    if not lines:
        return ""
    if all(each.sensitivity is None for each in lines):
        return "No sensitivity and no specificity: its model has no thresholds, or its scores are not here."
    return (
        "Sensitivity and specificity at the file's operating point: the thresholds that its model has from validation "
        "recordings (or, where a recording has exactly one class, the highest score). Calibration error: how far its "
        "probabilities lie from what comes true, 0 is best; on few people it is never quite 0."
    )


def _own(lines: Sequence[ClassLine], budget: float | None) -> HtmlTable:
    """A line a class; clean and attacked beside each other."""
    clean = {each.name: each for each in lines if each.signals == "clean"}
    worst = {each.name: each for each in lines if each.signals != "clean"}
    sides = [("clean", clean), *([("attacked", worst)] if worst else [])]
    heads: list[str | HeadCell] = ["class", HeadCell("people", ("who have it",))]
    for name in ("AUC", "sensitivity", "specificity", "calibration error"):
        heads += [HeadCell(name, (side,), best=name != "calibration error") for side, _ in sides]
    rows = []
    for name, each in clean.items():
        others = f"{each.patients_without:,} without" if each.patients_without else ""
        row = [text_cell(name), HtmlCell(f"{each.patients:,}", each.patients, small=(others,))]
        for pick in (_auc_of, _sensitivity_of, _specificity_of, _calibration_of):
            row += [pick(side.get(name)) for _, side in sides]
        rows.append(row)
    first = next(iter(clean.values()))
    under = f" and in the worst case at {budget_text(budget)}" if worst and budget is not None else ""
    caption = f"{first.artifact} on {first.device}, class by class: clean{under}."
    return HtmlTable(caption, heads, rows, "Classes of the recommended file", "sortable")


def _auc_of(each: ClassLine | None) -> HtmlCell:
    if each is None:
        return HtmlCell("-")
    return HtmlCell(auc_text(each.auc), each.auc, small=(span(each.auc_low, each.auc_high),))


def _sensitivity_of(each: ClassLine | None) -> HtmlCell:
    return _share(None if each is None else each.sensitivity, 0 if each is None else each.recordings)


def _specificity_of(each: ClassLine | None) -> HtmlCell:
    return _share(None if each is None else each.specificity, 0 if each is None else each.without)


def _calibration_of(each: ClassLine | None) -> HtmlCell:
    value = None if each is None else each.calibration_error
    return HtmlCell(auc_text(value), value)


def _share(value: float | None, of: int) -> HtmlCell:
    """A share with what it is a share of."""
    return (
        HtmlCell("-")
        if value is None
        else HtmlCell(auc_text(value), value, small=(f"{round(value * of):,} of {of:,}",))
    )


def _table(evaluation: Evaluation, device: str, rows: list[Row]) -> HtmlTable:
    heads = [HeadCell(each.name, tuple(behind(each).split(", ")), best=True) for each in evaluation.class_counts]
    columns: list[str | HeadCell] = ["artifact", "recordings", HeadCell("macro AUC", best=True), *heads]
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
