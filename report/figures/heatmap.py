"""The matrix of sources and targets as a picture.

In comes a :class:`~report.tables.matrix.Matrix`; out comes a PNG: a square a (target, source), its number inside, dark
where the attack is strong. The diagonal has a frame and the strongest attack of a line a star, so that nothing is told
by color alone; the colors are cividis, which color-blind readers see alike (Nunez et al. 2018).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from pulseproof.report.figures.charts import finish
from pulseproof.report.numbers.evaluation import Evaluation
from pulseproof.report.numbers.texts import auc_text, budget_text
from pulseproof.report.tables.matrix import Matrix

DARK = 0.55  # below it white letters are read better


def draw_matrix(evaluation: Evaluation, matrix: Matrix, path: Path) -> bool:
    """Write ``path``; False, and no file, when nothing was measured."""
    targets = [each for each in matrix.targets if each.rows]
    if not targets:
        return False
    values = np.array(
        [[each.rows[name].auc if name in each.rows else np.nan for name in matrix.columns] for each in targets], float
    )
    width = max(7.8, 2.4 + 0.52 * len(matrix.columns))
    figure = Figure(figsize=(width, 2.6 + 0.24 * len(targets)), layout="constrained")
    axes = figure.subplots()
    axes.set_facecolor("white")
    axes.imshow(values, cmap=colormaps["cividis"], vmin=0, vmax=1, aspect="auto")
    for line, target in enumerate(targets):
        for at, name in enumerate(matrix.columns):
            if name not in target.rows:
                continue
            value = values[line, at]
            strong = name == target.strongest
            axes.text(
                at,
                line,
                auc_text(value) + ("*" if strong else ""),
                ha="center",
                va="center",
                fontsize=7,
                weight="bold" if strong else "normal",
                color="white" if value < DARK else "black",
            )
            if name in target.own:
                axes.add_patch(Rectangle((at - 0.46, line - 0.44), 0.92, 0.88, fill=False, edgecolor="#D55E00", lw=1.4))
    axes.set_xticks(range(len(matrix.columns)), matrix.columns, rotation=40, ha="left", fontsize=8)
    axes.set_yticks(range(len(targets)), [each.artifact for each in targets], fontsize=8)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    for line in range(1, len(targets)):
        if targets[line].artifact.partition("/")[0] != targets[line - 1].artifact.partition("/")[0]:
            axes.axhline(line - 0.5, color="white", linewidth=3)
    for at in range(1, len(matrix.columns)):
        if (matrix.columns[at] in matrix.attacks) != (matrix.columns[at - 1] in matrix.attacks):
            axes.axvline(at - 0.5, color="white", linewidth=3)
    axes.set_xlabel("frame: made on this model or this file; star: the strongest attack of the line", fontsize=8)
    what = f"Macro AUC at {budget_text(matrix.budget_mv)}, source and target"
    finish(figure, evaluation, matrix.device, what, [], path)
    return True
