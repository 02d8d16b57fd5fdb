"""What robustness costs: latency (or instructions) of one inference against the AUC under attack, with the Pareto
front.

In comes a :class:`~report.answers.types.Recommendation` with its points; out comes the HTML of the picture, once for a
wide and once for a narrow screen, and a table of the files on the front.
"""

from __future__ import annotations

from collections.abc import Sequence

from pulseproof.report.answers.types import FrontPoint, Recommendation
from pulseproof.report.numbers.attacked_through import WORDS
from pulseproof.report.numbers.loss_budgets import Crossing
from pulseproof.report.numbers.texts import auc_text, budget_text, milliseconds, size_text
from pulseproof.report.page.charts.svg import (
    AxisScale,
    Point,
    legend,
    legend_line,
    legend_mark,
    line,
    linear_ticks,
    log_ticks,
    mark,
    polyline,
    svg,
    words,
)
from pulseproof.report.page.markup import HtmlCell, breakable, esc, figure, table

TOP, LEFT, UNDER = 14, 46, 44
NAME_HEIGHT = 15


def cost_against_auc(recommendation: Recommendation) -> str:
    """The figure and the table of the front; empty when no point has both numbers."""
    points = [each for each in recommendation.front if each.cost and _height(each, recommendation) is not None]
    if not points:
        return ""
    drawn = "".join(
        f'<div class="{name}">{_picture(recommendation, points, width, height)}</div>'
        for name, width, height in (("wide", 760, 430), ("narrow", 350, 400))
    )
    recipes = list(dict.fromkeys(each.artifact.partition("/")[2] for each in points))
    key = legend([*((legend_mark(each), each) for each in recipes), (legend_line("front"), "best AUC for the cost")])
    what = (
        "Median latency of one inference"
        if recommendation.cost == "latency_p50_ms"
        else "Instructions of one inference"
    )
    caption = (
        f"{what} on {recommendation.device} (log axis) against the macro AUC {_under(recommendation)}. Up and to the "
        f"left is better. The dashed line joins those that no cheaper file equals in this AUC. Filled: on the Pareto "
        "front, where no other file is as good in cost, size, clean AUC and attacked AUC together; hollow: off it. "
        f"Ringed: {recommendation.artifact}, the one recommended. A file that was not attacked through its own graph "
        "stands at most where its float parent does; below chance none counts as withstanding more than another."
    )
    return figure(key + drawn, caption) + _front_table(recommendation)


def cost_text(value: float | None, recommendation: Recommendation) -> str:
    """A cost with its unit."""
    if value is None:
        return "-"
    return (
        f"{milliseconds(value)} ms" if recommendation.cost == "latency_p50_ms" else f"{value / 1e6:.3g} M instructions"
    )


def _height(point: FrontPoint, recommendation: Recommendation) -> float | None:
    return point.auc_clean if recommendation.budget_mv is None else point.auc_attacked


def _under(recommendation: Recommendation) -> str:
    if recommendation.budget_mv is None:
        return "of clean recordings"
    return f"in the worst case at {budget_text(recommendation.budget_mv)}"


def _picture(recommendation: Recommendation, points: Sequence[FrontPoint], width: float, height: float) -> str:
    costs = [each.cost or 0.0 for each in points]
    aucs = [_height(each, recommendation) or 0.0 for each in points]
    room = max(0.02, 0.08 * (max(aucs) - min(aucs)))
    bottom, top = max(0.0, min(aucs) - room), min(1.0, max(aucs) + room)
    across = AxisScale(min(costs) / 1.35, max(costs) * 1.35, LEFT, width - 10, log=True)
    up = AxisScale(bottom, top, height - UNDER, TOP)
    unit = 1.0 if recommendation.cost == "latency_p50_ms" else 1e6
    parts = []
    for value in linear_ticks(bottom, top):
        parts.append(line((LEFT, up(value)), (width - 10, up(value)), "grid"))
        parts.append(words((LEFT - 6, up(value) + 4), auc_text(value), "tick", "end"))
    for value in log_ticks(across.low, across.high):
        parts.append(line((across(value), TOP), (across(value), height - UNDER), "grid"))
        parts.append(words((across(value), height - UNDER + 17), f"{value / unit:g}", "tick"))
    name = "median latency, ms" if unit == 1 else "million instructions"
    parts.append(words(((LEFT + width) / 2, height - 6), f"{name} (log axis)", "axis-name"))
    parts.append(words((LEFT, TOP - 4), f"AUC {_under(recommendation)}", "axis-name", "start"))
    places = {each.artifact: (across(each.cost or 1), up(_height(each, recommendation) or 0)) for each in points}
    front = sorted((each for each in points if each.on_front), key=lambda each: each.cost or 0)
    best: list[FrontPoint] = []
    for each in front:  # only those that rise with the cost: size and clean AUC put others on the front too
        if not best or (_height(each, recommendation) or 0) > (_height(best[-1], recommendation) or 0):
            best.append(each)
    parts.append(polyline([places[each.artifact] for each in best], "front"))
    for each in points:
        place = places[each.artifact]
        if each.artifact == recommendation.artifact:
            parts.append(f'<circle class="ring" cx="{place[0]:.1f}" cy="{place[1]:.1f}" r="10"/>')
        says = f"{each.artifact}: {cost_text(each.cost, recommendation)}, {size_text(each.size_bytes)}, clean "
        says += f"{auc_text(each.auc_clean)}, attacked {auc_text(each.auc_attacked)}{_through(each)}"
        recipe = each.artifact.partition("/")[2]
        parts.append(mark(place, recipe, says, "" if each.on_front else "hollow"))
    parts += _names(places, width, height - UNDER)
    gist = f"{len(points)} files, {len(front)} on the front: {', '.join(each.artifact for each in front)}."
    return svg(width, height, f"Cost against AUC. {gist} Recommended: {recommendation.artifact}.", parts)


def _names(places: dict[str, Point], width: float, bottom: float) -> list[str]:
    """Each model's name beside its cheapest or dearest point, where it covers no other name and no marker."""
    taken: list[tuple[float, float, float, float]] = [(x - 6, y - 6, x + 6, y + 6) for x, y in places.values()]
    models: dict[str, list[Point]] = {}
    for artifact, place in places.items():
        models.setdefault(artifact.partition("/")[0], []).append(place)
    parts = []
    for model, own in sorted(models.items(), key=lambda each: min(y for _, y in each[1])):
        long = 7.0 * len(model)
        candidates = [
            (x, y + dy, anchor)
            for dy in (-14, 22, -28, 36, -42, 50, -56, 64)
            for x, y, anchor in ((*max(own), "end"), (*min(own), "start"), (*min(own, key=lambda at: at[1]), "middle"))
        ]
        spot, box = None, (0.0, 0.0, 0.0, 0.0)
        for x, y, anchor in candidates:
            left = {"start": x - 4, "middle": x - long / 2, "end": x - long + 4}[anchor]
            left = min(max(left, LEFT + 2), width - 12 - long)
            box = (left, y - 11, left + long, y + 3)
            free = all(box[2] < a or c < box[0] or box[3] < b or d < box[1] for a, b, c, d in taken)
            if free and y - 10 > TOP and y < bottom - 3:
                spot = (left, y)
                break
        if spot is not None:
            taken.append(box)
            parts.append(words(spot, model, "name", "start"))
    return parts


def _through(point: FrontPoint) -> str:
    """What must be said beside an attacked AUC: how little was tried, and what the file is held to for it."""
    if point.through in (None, "itself"):
        return ""
    own = f" ({auc_text(point.auc_measured)} measured on it)" if point.auc_measured != point.auc_attacked else ""
    return f", {WORDS[point.through]}{own}"


def _losses(point: FrontPoint) -> tuple[Crossing | None, Crossing | None]:
    return (None, None) if point.losses is None else (point.losses.lost, point.losses.chance)


def _front_table(recommendation: Recommendation) -> str:
    front = sorted((each for each in recommendation.front if each.on_front), key=lambda each: each.cost or 0)
    if not front:
        return ""
    heads = ["file", "cost", "size", "clean AUC", f"AUC {esc(_under(recommendation))}", ".05 lost at", ".5 crossed at"]
    heads = heads if recommendation.budget_mv is not None else heads[:4]
    rows = []
    for each in front:
        chosen = each.artifact == recommendation.artifact
        name = breakable(each.artifact) + (' <strong class="tag">recommended</strong>' if chosen else "")
        row = [
            HtmlCell(name, each.artifact),
            HtmlCell(esc(cost_text(each.cost, recommendation)), each.cost),
            HtmlCell(esc(size_text(each.size_bytes)), each.size_bytes),
            HtmlCell(auc_text(each.auc_clean), each.auc_clean),
            HtmlCell(f"{auc_text(each.auc_attacked)}<small>{esc(_through(each)[2:])}</small>", each.auc_attacked),
            *(HtmlCell(esc("-" if number is None else number.text)) for number in _losses(each)),
        ]
        rows.append(row[: len(heads)])
    caption = f"The files on the Pareto front ({recommendation.judged_on}), the cheapest first."
    return table(caption, heads, rows, label="Pareto front", classes="sortable")
