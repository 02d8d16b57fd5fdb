"""One file's AUC against the budget: its worst case with its interval, noise of the same size, and what is proved.

In come the line of the file (:mod:`report.numbers.pivot`) and the intervals of its worst cases; out comes one drawing,
whose lines are named where they end. Clean stands at the left, where a smaller budget would.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pulseproof.report.charts.drawing import (
    AxisScale,
    Drawing,
    Part,
    Point,
    Words,
    area,
    color_class,
    line,
    linear_ticks,
    mark,
    polyline,
)
from pulseproof.report.numbers.pivot import BudgetCell, DeviceLine
from pulseproof.report.numbers.texts import auc_text, budget_text

LEFT, TOP, UNDER, NAMED = 34, 10, 36, 62  # px: the axis, above, below, and what the names of the lines take
CLEAN_APART = 2.2  # clean stands where a budget smaller by this factor would
LETTER_HEIGHT = 13
Intervals = Mapping[float, tuple[float, float]]


def file_curve(each: DeviceLine, intervals: Intervals, width: float, height: float) -> Drawing | None:
    """The drawing in ``width`` by ``height`` px; None where no budget or no clean AUC was measured. ``intervals``: of
    the worst case, 95 %, by budget."""
    cells = [(budget, cell) for budget, cell in sorted(each.cells.items()) if cell.worst is not None]
    clean = each.clean.auc
    if clean is None or not cells:
        return None
    first, last = cells[0][0], cells[-1][0]
    bottom, right = height - UNDER, width - NAMED
    across = AxisScale(first / CLEAN_APART / 1.2, last * 1.12, LEFT, right, log=True)
    up = AxisScale(0, 1, bottom, TOP)
    start: Point = (across(first / CLEAN_APART), up(clean))
    parts = _axes(across, up, start[0], [budget for budget, _ in cells], width, height)
    noise = [(across(budget), cell.controls) for budget, cell in cells if cell.controls]
    worst = [start, *((across(budget), up(cell.worst or 0.0)) for budget, cell in cells)]
    proved = [(across(budget), up(cell.proved)) for budget, cell in cells if cell.proved is not None]
    ends: list[tuple[float, str]] = [(worst[-1][1], "attacks")]
    if noise:
        upper = [(start[0], start[1] - 1.5), *((x, up(max(found.values())) - 1.5) for x, found in noise)]
        lower = [(start[0], start[1] + 1.5), *((x, up(min(found.values())) + 1.5) for x, found in noise)]
        parts.append(area(upper, lower, "band"))
        parts += polyline(lower, "noise")
        ends.append(((upper[-1][1] + lower[-1][1]) / 2, "noise"))
    color = color_class(each.clean.recipe)
    if proved:
        attacked = [(across(budget), up(cell.worst or 0.0)) for budget, cell in cells if cell.proved is not None]
        parts.append(area([start, *attacked], [start, *proved], "gap"))
        parts += polyline([start, *proved], f"curve proved {color}")
        ends.append((proved[-1][1], "proved"))
    parts += polyline(worst, f"curve {color}")
    shown = {0.0: (each.clean.auc_low, each.clean.auc_high)} | dict(intervals)
    for budget, place in zip((0.0, *(budget for budget, _ in cells)), worst, strict=True):
        low, high = shown.get(budget, (None, None))
        if low is not None and high is not None:
            parts.append(line((place[0], up(low)), (place[0], up(high)), f"curve {color}"))
    parts.append(mark(start, each.clean.recipe, f"clean: {auc_text(clean)}", size=0.8))
    for (budget, cell), place in zip(cells, worst[1:], strict=True):
        filling = "" if cell.counted is None or cell.counted.through == "itself" else "hollow"
        parts.append(mark(place, each.clean.recipe, _told(budget, cell), filling, 0.8))
    parts += _named(ends, right, bottom)
    return Drawing(width, height, tuple(parts), label(each))


def label(each: DeviceLine) -> str:
    """The curve in words."""
    cells = [(budget, cell) for budget, cell in sorted(each.cells.items()) if cell.worst is not None]
    told = "; ".join(_told(budget, cell) for budget, cell in cells)
    return f"AUC of {each.clean.artifact} against the budget. Clean {auc_text(each.clean.auc)}; {told}."


def _told(budget: float, cell: BudgetCell) -> str:
    noise = "" if cell.control is None else f", noise {auc_text(cell.control)}"
    proved = "" if cell.proved is None else f", proved {auc_text(cell.proved)}"
    return f"{budget_text(budget)}: attacks {auc_text(cell.worst)}{noise}{proved}"


def _axes(
    across: AxisScale, up: AxisScale, clean_at: float, budgets: Sequence[float], width: float, height: float
) -> list[Part]:
    parts: list[Part] = []
    bottom, right = height - UNDER, width - NAMED
    for value in linear_ticks(0, 1, 5 if height > 200 else 2):
        parts.append(line((LEFT, up(value)), (right, up(value)), "grid"))
        told = auc_text(value) if 0 < value < 1 else f"{value:.0f}"
        parts.append(Words((LEFT - 6, up(value) + 4), told, "tick", "end"))
    parts.append(line((LEFT, up(0.5)), (right, up(0.5)), "chance"))
    parts.append(Words((clean_at, bottom + 16), "clean", "tick"))
    last = clean_at
    for budget in budgets:
        parts.append(line((across(budget), bottom), (across(budget), bottom + 4), "axis"))
        if across(budget) - last >= 32:  # else the labels touch
            parts.append(Words((across(budget), bottom + 16), f"{budget:g}".removeprefix("0"), "tick"))
            last = across(budget)
    parts.append(Words(((LEFT + right) / 2, height - 4), "largest change of a sample, mV", "tick"))
    return parts


def _named(ends: Sequence[tuple[float, str]], right: float, bottom: float) -> list[Part]:
    """The names of the lines at their ends, and of chance, moved apart where they would touch."""
    chance = TOP + (bottom - TOP) / 2
    asked = sorted([*ends, (chance, "chance")])
    places: list[float] = []
    for y, _ in asked:
        places.append(max(y, places[-1] + LETTER_HEIGHT) if places else y)
    over = max(0.0, places[-1] - bottom)  # the lowest stays above the axis
    for at in range(len(places) - 1, -1, -1):
        limit = bottom if at == len(places) - 1 else places[at + 1] - LETTER_HEIGHT
        places[at] = min(places[at] - (over if at == len(places) - 1 else 0.0), limit)
    return [
        Words((right + 6, y + 4), name, "tick" if name in ("chance", "noise") else "words", "start")
        for y, (_, name) in zip(places, asked, strict=True)
    ]
