"""Who fools whom, as a heat map that is a table: a line a target, a column a source, macro AUC in the cells.

In comes a :class:`~report.tables.matrix.Matrix`; out comes HTML. The shade repeats the number that stands in the cell;
what was made on the target itself has a frame, the strongest attack of a line a star. Shades are cividis, which
color-blind readers see alike (Nunez et al. 2018).
"""

from __future__ import annotations

from pulseproof.report.numbers.evaluation import Evaluation
from pulseproof.report.numbers.pivot import fullest_budget
from pulseproof.report.numbers.texts import auc_text, budget_text
from pulseproof.report.page.markup import HtmlCell, Section, breakable, bullets, esc, table
from pulseproof.report.tables.matrix import Matrix, TargetLine, matrices, outside

SHADES = 11  # classes h0 (AUC 0) to h10 (AUC 1) of the style sheet


def heat_section(evaluation: Evaluation) -> Section | None:
    """The matrix of every device at the budget at which most was made; None without attacks."""
    budget = fullest_budget(evaluation.rows)
    if budget is None:
        return None
    body = ""
    for each in matrices(evaluation, budget):
        if each.attacks and any(target.rows for target in each.targets):
            body += _heat(each) + bullets(outside(evaluation, each), "dim")
    return Section("transfer", f"Who fools whom at {budget_text(budget)}", body) if body else None


def _heat(matrix: Matrix) -> str:
    heads = ["target", *(f'<span class="tall">{esc(name)}</span>' for name in matrix.columns)]
    targets = [each for each in matrix.targets if each.rows]
    rows = [
        [HtmlCell(breakable(each.artifact), each.artifact), *(_cell(each, name) for name in matrix.columns)]
        for each in targets
    ]
    caption = (
        f"Macro AUC on {matrix.device} at {budget_text(matrix.budget_mv)}: a line a target (the file that is run), a "
        "column a source (what the attack was made on). Dark is a strong attack. Framed: made on this model or this "
        "very file; star: the strongest attack of the line."
    )
    return table(caption, heads, rows, label=f"Sources and targets on {matrix.device}", classes="heat sortable")


def _cell(target: TargetLine, name: str) -> HtmlCell:
    row = target.rows.get(name)
    if row is None or row.auc is None:
        return HtmlCell('<span class="dim">-</span>')
    shade = f"h{round(row.auc * (SHADES - 1))}"
    star = '<span class="star">*<span class="unseen"> strongest</span></span>' if name == target.strongest else ""
    frame = name in target.own
    told = '<span class="unseen"> made on it</span>' if frame else ""
    return HtmlCell(f"{auc_text(row.auc)}{star}{told}", row.auc, f"{shade} own" if frame else shade)
