"""The pictures of a report as PNG files, for a paper or a slide.

In come an :class:`~report.numbers.evaluation.Evaluation` and its comparisons; out come the files of
:mod:`report.charts.sheets`, a set a device. What was not measured has no picture, and one of an earlier run is removed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pulseproof.report.answers.types import Comparison
from pulseproof.report.charts.cost import device_picture
from pulseproof.report.charts.sheets import budget_sheet, cost_sheet, forest_sheet, matrix_sheet, write_sheet
from pulseproof.report.numbers.evaluation import Evaluation
from pulseproof.report.numbers.pivot import by_device, fullest_budget, middle_budget
from pulseproof.report.tables.matrix import matrices


def write_pictures(evaluation: Evaluation, comparisons: Sequence[Comparison], folder: Path) -> list[Path]:
    """Write ``auc-vs-budget-``, ``latency-vs-auc-``, ``quantized-minus-float-`` and ``matrix-<device>.png``; return
    those that were drawn."""
    fullest = fullest_budget(evaluation.rows)
    found = {} if fullest is None else {each.device: each for each in matrices(evaluation, fullest)}
    drawn = []
    for name, lines in by_device(evaluation).items():
        budget = middle_budget([row for row in evaluation.rows if row.device == name])
        sheets = {
            "auc-vs-budget": budget_sheet(evaluation, lines),
            "latency-vs-auc": cost_sheet(evaluation, name, device_picture(lines, budget)),
            "quantized-minus-float": forest_sheet(evaluation, comparisons, name),
            "matrix": matrix_sheet(evaluation, found[name]) if name in found else None,
        }
        for stem, sheet in sheets.items():
            path = folder / f"{stem}-{name}.png"
            path.unlink(missing_ok=True)
            if write_sheet(sheet, path):
                drawn.append(path)
    return drawn
