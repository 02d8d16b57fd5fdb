"""The section of the budgets: the curves of :mod:`report.charts.budget`, a set of pictures a device."""

from __future__ import annotations

from pulseproof.report.charts.budget import budget_curves
from pulseproof.report.numbers.evaluation import Evaluation
from pulseproof.report.numbers.resampled import WORST
from pulseproof.report.numbers.texts import auc_text, budget_text
from pulseproof.report.page.markup import Section, section
from pulseproof.report.page.table import weighed


def budgets_section(evaluation: Evaluation) -> Section | None:
    """All but the first set folded away: they tell much the same. None when no budget was measured."""
    lines = weighed(evaluation)
    found = [(name, them) for name, own in lines.items() if (them := budget_curves(own)) is not None]
    if not found:
        return None
    fullest = max((them.caption for _, them in found), key=len)
    caption = f"{fullest} The numbers stand in the table above."
    title = "How the AUC falls with the budget"
    return section("budgets", title, _gist(evaluation), devices=found, alone=len(lines) == 1, caption=caption)


def _gist(evaluation: Evaluation) -> str:
    """What the worst case leaves of the models at the smallest and at the largest budget."""
    rows = [row for row in evaluation.rows if row.method == WORST and row.auc is not None and row.budget_mv]
    if not rows:
        return "No worst case was measured."
    told = []
    for budget in dict.fromkeys(select({row.budget_mv for row in rows if row.budget_mv}) for select in (min, max)):
        values = [row.auc for row in rows if row.budget_mv == budget and row.auc is not None]
        ends = dict.fromkeys(auc_text(select(values)) for select in (min, max))
        told.append(f"{' to '.join(ends)} at {budget_text(budget)}")
    return f"In the worst case the files keep an AUC of {', and '.join(told)}; noise of that size stands beside it."
