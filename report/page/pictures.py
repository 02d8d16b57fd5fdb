"""The pictures of a report as PNG files, for a paper or a slide.

In come an :class:`~report.numbers.evaluation.Evaluation` and its comparisons; out come the files of
:mod:`report.figures.charts`, :mod:`report.figures.heatmap` and :mod:`report.figures.forest`, a set a device. What was
not measured has no picture, and one of an earlier run is removed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from pulseproof.report.answers.types import Comparison
from pulseproof.report.figures.charts import auc_against_budget, latency_against_auc
from pulseproof.report.figures.forest import draw_forest
from pulseproof.report.figures.heatmap import draw_matrix
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
        pictures: dict[str, Callable[[Path], bool]] = {
            "auc-vs-budget": partial(auc_against_budget, evaluation, lines),
            "latency-vs-auc": partial(latency_against_auc, evaluation, lines, budget),
            "quantized-minus-float": partial(draw_forest, evaluation, comparisons, name),
        }
        if name in found:
            pictures["matrix"] = partial(draw_matrix, evaluation, found[name])
        for stem, draw in pictures.items():
            path = folder / f"{stem}-{name}.png"
            path.unlink(missing_ok=True)
            if draw(path):
                drawn.append(path)
    return drawn
