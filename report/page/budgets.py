"""The section of the budgets: the curves of :mod:`report.charts.budget`, a set of pictures a device."""

from __future__ import annotations

from pulseproof.report.charts.budget import budget_curves
from pulseproof.report.numbers.evaluation import Evaluation
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
    return section("budgets", title, devices=found, alone=len(lines) == 1, caption=caption)
