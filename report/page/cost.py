"""The section of the cost: the picture of :mod:`report.charts.cost`, once for a wide and once for a narrow screen, and
a table of the files on the front."""

from __future__ import annotations

from pulseproof.report.answers.types import FrontPoint, Recommendation
from pulseproof.report.charts.cost import cost_text, drawn, recommended_picture, through, under
from pulseproof.report.charts.drawing import line_key, mark_key
from pulseproof.report.numbers.loss_budgets import Crossing
from pulseproof.report.numbers.texts import auc_text, size_text
from pulseproof.report.page.markup import HtmlCell, HtmlTable, Section, artifact_cell, section

WIDE, NARROW = (760, 430), (350, 400)


def cost_section(recommendation: Recommendation) -> Section | None:
    """The figure and the table of the front; None when no file has both numbers."""
    picture = recommended_picture(recommendation)
    if picture is None:
        return None
    what = (
        "Median latency of one inference"
        if recommendation.cost == "latency_p50_ms"
        else "Instructions of one inference"
    )
    caption = (
        f"{what} on {recommendation.device} (log axis) against the macro AUC {under(recommendation)}. Up and to the "
        f"left is better. The dashed line joins those that no cheaper file equals in this AUC. Filled: on the Pareto "
        "front, where no other file is as good in cost, size, clean AUC and attacked AUC together; hollow: off it. "
        f"Ringed: {recommendation.artifact}, the one recommended. A file that was not attacked through its own graph "
        "stands at most where its float parent does; below chance none counts as withstanding more than another."
    )
    return section(
        "cost",
        "What robustness costs",
        f"{sum(each.on_front for each in recommendation.front)} of {len(recommendation.front)} files are on the front: "
        "no other file is as good as they in cost, size, clean and attacked AUC at once.",
        caption=caption,
        keys=[*map(mark_key, picture.recipes), line_key("front", "best AUC for the cost")],
        wide=drawn(picture, *WIDE),
        narrow=drawn(picture, *NARROW),
        front=_front_table(recommendation),
    )


def _losses(point: FrontPoint) -> tuple[Crossing | None, Crossing | None]:
    return (None, None) if point.losses is None else (point.losses.lost, point.losses.chance)


def _front_table(recommendation: Recommendation) -> HtmlTable | None:
    front = sorted((each for each in recommendation.front if each.on_front), key=lambda each: each.cost or 0)
    if not front:
        return None
    heads = ["file", "cost", "size", "clean AUC", f"AUC {under(recommendation)}", ".05 lost at", ".5 crossed at"]
    heads = heads if recommendation.budget_mv is not None else heads[:4]
    rows = []
    for each in front:
        chosen = each.artifact == recommendation.artifact
        row = [
            artifact_cell(each.artifact, tag="recommended" if chosen else ""),
            HtmlCell(cost_text(each.cost, recommendation.cost), each.cost),
            HtmlCell(size_text(each.size_bytes), each.size_bytes),
            HtmlCell(auc_text(each.auc_clean), each.auc_clean),
            HtmlCell(auc_text(each.auc_attacked), each.auc_attacked, small=(through(each)[2:],)),
            *map(_loss_cell, _losses(each)),
        ]
        rows.append(row[: len(heads)])
    caption = f"The files on the Pareto front ({recommendation.judged_on}), the cheapest first."
    return HtmlTable(caption, heads, rows, "Pareto front", "sortable")


def _loss_cell(number: Crossing | None) -> HtmlCell:
    """A budget, its interval below it."""
    if number is None:
        return HtmlCell("-")
    told, bracket, interval = number.text.partition(" [")
    return HtmlCell(told, small=(f"[{interval}",) if bracket else ())
