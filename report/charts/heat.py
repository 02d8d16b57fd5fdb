"""Who fools whom: what stands in each cell of the matrix, and the matrix as a picture.

In comes a :class:`~report.tables.matrix.Matrix`; out come cells, which the page puts into a table, and the same cells
as a drawing. The shade repeats the number of the cell; what was made on the target itself has a frame, the strongest
attack of a line a star. Shades are cividis, which color-blind readers see alike (Nunez et al. 2018).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pulseproof.report.charts.drawing import Box, Drawing, Part, Words
from pulseproof.report.numbers.texts import auc_text
from pulseproof.report.tables.matrix import Matrix, TargetLine

SHADES = 11  # classes h0 (AUC 0) to h10 (AUC 1) of charts.css
CELL, LINE, GAP = 46, 24, 3


@dataclass(frozen=True)
class HeatCell:
    """One cell: its AUC, the class of its shade, whether it is framed, whether it is the strongest of its line."""

    auc: float
    shade: str
    own: bool
    strongest: bool


def heat_cell(target: TargetLine, name: str) -> HeatCell | None:
    """What stands at a target and a source; None where nothing was measured."""
    row = target.rows.get(name)
    if row is None or row.auc is None:
        return None
    return HeatCell(row.auc, f"h{round(row.auc * (SHADES - 1))}", name in target.own, name == target.strongest)


def heat_picture(matrix: Matrix, width_of: Callable[[str], float]) -> Drawing | None:
    """The matrix with its names; None when nothing was measured. ``width_of`` measures a text of 12 px."""
    targets = [each for each in matrix.targets if each.rows]
    if not targets:
        return None
    left = max(width_of(each.artifact) for each in targets) + 10
    top = max(width_of(name) for name in matrix.columns) + 10
    parts: list[Part] = []
    across: list[float] = []
    x = left
    for at, name in enumerate(matrix.columns):
        if at and (name in matrix.attacks) != (matrix.columns[at - 1] in matrix.attacks):
            x += GAP
        across.append(x)
        parts.append(Words((x + CELL / 2 + 4, top - 6), name, anchor="start", turn=90))
        x += CELL
    y, model = top, targets[0].artifact.partition("/")[0]
    for target in targets:
        if target.artifact.partition("/")[0] != model:
            model = target.artifact.partition("/")[0]
            y += GAP
        parts.append(Words((left - 8, y + LINE / 2 + 4), target.artifact, anchor="end"))
        for place, name in zip(across, matrix.columns, strict=True):
            parts += _cell(heat_cell(target, name), place, y)
        y += LINE
    return Drawing(x + 4, y + 2, tuple(parts))


def _cell(cell: HeatCell | None, x: float, y: float) -> list[Part]:
    if cell is None:
        return [Words((x + CELL / 2, y + LINE / 2 + 4), "-", "far")]
    parts: list[Part] = [Box(x, y, CELL, LINE, cell.shade)]
    if cell.own:
        parts.append(Box(x + 1.5, y + 1.5, CELL - 3, LINE - 3, "frame"))
    told = auc_text(cell.auc) + ("*" if cell.strongest else "")
    parts.append(Words((x + CELL / 2, y + LINE / 2 + 4), told, cell.shade))
    return parts
