"""Who fools whom, as a heat map that is a table: a line a target, a column a source, macro AUC in the cells.

In comes a :class:`~report.tables.matrix.Matrix`; out comes HTML, of the cells of :mod:`report.charts.heat`.
"""

from __future__ import annotations

from collections import Counter

from pulseproof.report.charts.heat import heat_cell
from pulseproof.report.numbers.evaluation import Evaluation
from pulseproof.report.numbers.pivot import fullest_budget
from pulseproof.report.numbers.texts import auc_text, budget_text
from pulseproof.report.page.markup import HeadCell, HtmlCell, HtmlTable, Section, artifact_cell, section
from pulseproof.report.tables.matrix import Matrix, TargetLine, matrices, outside


def transfer_section(evaluation: Evaluation) -> Section | None:
    """The matrix of every device at the budget at which most was made; None without attacks."""
    budget = fullest_budget(evaluation.rows)
    if budget is None:
        return None
    found = [
        each for each in matrices(evaluation, budget) if each.attacks and any(target.rows for target in each.targets)
    ]
    devices = [(_table(each), outside(evaluation, each)) for each in found]
    title = f"Who fools whom at {budget_text(budget)}"
    return section("transfer", title, _gist(found[0]), devices=devices) if devices else None


def _gist(matrix: Matrix) -> str:
    """Which source is the strongest against most files, and against how many it is none of their own."""
    targets = [each for each in matrix.targets if each.rows]
    strongest: Counter[str] = Counter()
    foreign = 0
    for target in targets:
        for name in matrix.columns:
            cell = heat_cell(target, name)
            if cell is not None and cell.strongest:
                strongest[name] += 1
                foreign += not cell.own
    if not strongest:
        return "No attack was measured at this budget."
    name, count = strongest.most_common(1)[0]
    files = {0: "no file is", 1: "1 file is"}.get(foreign, f"{foreign} files are")
    return (
        f"Most often strongest: what was made on {name}, against {count} of {len(targets)} files; {files} harmed most "
        "by an attack that was not made on it or on its model."
    )


def _table(matrix: Matrix) -> HtmlTable:
    heads: list[str | HeadCell] = ["target", *(HeadCell(name, tall=True) for name in matrix.columns)]
    targets = [each for each in matrix.targets if each.rows]
    rows = [[artifact_cell(each.artifact), *(_cell(each, name) for name in matrix.columns)] for each in targets]
    caption = (
        f"Macro AUC on {matrix.device} at {budget_text(matrix.budget_mv)}: a line a target (the file that is run), a "
        "column a source (what the attack was made on). Dark is a strong attack. Framed: made on this model or this "
        "very file; star: the strongest attack of the line."
    )
    return HtmlTable(caption, heads, rows, f"Sources and targets on {matrix.device}", "heat sortable")


def _cell(target: TargetLine, name: str) -> HtmlCell:
    cell = heat_cell(target, name)
    if cell is None:
        return HtmlCell("-", kind="dim")
    classes, told = (f"{cell.shade} own", "made on it") if cell.own else (cell.shade, "")
    return HtmlCell(auc_text(cell.auc), cell.auc, classes, star=cell.strongest, unseen=told)
