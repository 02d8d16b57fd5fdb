"""AUC against the budget of the attack: one small picture a model, on a log axis of millivolts.

In come the lines of one device (:mod:`report.numbers.pivot`); out come the pictures, their gist in words, and the keys
of their legend.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pulseproof.report.charts.drawing import (
    AxisScale,
    Drawing,
    Key,
    Part,
    Point,
    Words,
    area,
    area_key,
    color_class,
    line,
    line_key,
    linear_ticks,
    mark,
    mark_key,
    polyline,
)
from pulseproof.report.numbers.pivot import BudgetCell, DeviceLine
from pulseproof.report.numbers.texts import auc_text, budget_text

WIDTH, HEIGHT = 350, 250
LEFT, RIGHT, TOP, BOTTOM = 34, 340, 10, 214
SMALL = 0.8  # a marker, of its usual size
CLEAN_APART = 2.2  # clean stands where a budget smaller by this factor would
CAPTION = (
    "Macro AUC against the budget (largest change of any sample, mV, log axis), one picture a model; clean at the "
    "left, with its 95 % interval. Solid line: the lowest attack, its marker filled where it was made on the model or "
    "its file, hollow where it came from elsewhere. Dotted line: each recording as the attack that hurts most. Gray: "
    "all controls of the same budget."
)
PROVED = (
    " Dashed line: what is proved, which no disturbance brings the AUC below; the truth lies in the shade between it "
    "and the worst case."
)


@dataclass(frozen=True)
class ModelPanel:
    """The picture of one model, what it shows in a sentence, and whether every attack came from other models."""

    model: str
    drawing: Drawing
    gist: str
    transfer_only: bool


@dataclass(frozen=True)
class BudgetCurves:
    """The pictures of one device, their legend, and what the lines mean."""

    panels: tuple[ModelPanel, ...]
    keys: tuple[Key, ...]
    caption: str = CAPTION


def budget_curves(lines: Sequence[DeviceLine]) -> BudgetCurves | None:
    """A picture a model; None when no budget or no AUC was measured."""
    budgets = sorted({budget for each in lines for budget in each.cells})
    if not budgets or all(each.clean.auc is None for each in lines):
        return None
    models = list(dict.fromkeys(each.clean.model for each in lines))
    panels = [_panel(model, [each for each in lines if each.clean.model == model], budgets) for model in models]
    recipes = list(dict.fromkeys(each.clean.recipe for each in lines))
    keys = [
        *map(mark_key, recipes),
        line_key("curve", "lowest attack"),
        line_key("curve dotted", "worst case of each recording"),
        area_key("band", "controls"),
        line_key("chance", "chance"),
    ]
    if not any(cell.proved is not None for each in lines for cell in each.cells.values()):
        return BudgetCurves(tuple(panels), tuple(keys))
    keys[-1:-1] = [line_key("curve proved", "proved"), area_key("gap", "between proof and attack")]
    return BudgetCurves(tuple(panels), tuple(keys), CAPTION + PROVED)


def scales(budgets: Sequence[float]) -> tuple[AxisScale, AxisScale, float]:
    """Of millivolts and of AUC, and the budget at whose place clean stands."""
    clean_at = budgets[0] / CLEAN_APART
    across = AxisScale(clean_at / 1.25, budgets[-1] * 1.25, LEFT, RIGHT, log=True)
    return across, AxisScale(0, 1, BOTTOM, TOP), clean_at


def _panel(model: str, lines: Sequence[DeviceLine], budgets: Sequence[float]) -> ModelPanel:
    across, up, clean_at = scales(budgets)
    parts = _axes(across, up, clean_at, budgets) + _controls(lines, across, up, clean_at, budgets)
    for order, each in enumerate(lines):
        beside = 1.045 ** (order - (len(lines) - 1) / 2)  # equal curves lie side by side, not one over the other
        parts += _curve(each, across, up, clean_at, budgets, beside)
    made = [cell for each in lines for cell in each.cells.values() if cell.made]
    alone = not any(cell.on_itself for cell in made)
    said = _gist(lines, budgets) + ("; by transfer only" if alone else "")
    return ModelPanel(model, Drawing(WIDTH, HEIGHT, tuple(parts), f"{model}: {said}"), said, alone and bool(made))


def _axes(across: AxisScale, up: AxisScale, clean_at: float, budgets: Sequence[float]) -> list[Part]:
    parts: list[Part] = []
    for value in linear_ticks(0, 1, 5):
        parts.append(line((LEFT, up(value)), (RIGHT, up(value)), "grid"))
        told = auc_text(value) if 0 < value < 1 else f"{value:.0f}"
        parts.append(Words((LEFT - 6, up(value) + 4), told, "tick", "end"))
    parts.append(line((LEFT, up(0.5)), (RIGHT, up(0.5)), "chance"))
    parts.append(Words((across(clean_at), BOTTOM + 17), "clean", "tick"))
    last = across(clean_at)
    for budget in budgets:
        parts.append(line((across(budget), BOTTOM), (across(budget), BOTTOM + 4), "axis"))
        if across(budget) - last >= 28:  # else the labels touch
            parts.append(Words((across(budget), BOTTOM + 17), f"{budget:g}".removeprefix("0"), "tick"))
            last = across(budget)
    parts.append(Words(((LEFT + RIGHT) / 2, HEIGHT - 3), "budget, mV", "tick"))
    return parts


def _controls(
    lines: Sequence[DeviceLine], across: AxisScale, up: AxisScale, clean_at: float, budgets: Sequence[float]
) -> list[Part]:
    """From the most to the least harmful control at each budget, over all artifacts of a model."""
    there = [(clean_at, [each.clean.auc for each in lines if each.clean.auc is not None])]
    for budget in budgets:
        cells = [each.cells[budget] for each in lines if budget in each.cells]
        there.append((budget, [auc for cell in cells for auc in cell.controls.values()]))
    there = [(at, values) for at, values in there if values]
    if len(there) < 2:
        return []
    upper = [(across(at), up(max(values)) - 1) for at, values in there]
    lower = [(across(at), up(min(values)) + 1) for at, values in there]
    return [area(upper, lower, "band")]


def _curve(
    each: DeviceLine, across: AxisScale, up: AxisScale, clean_at: float, budgets: Sequence[float], beside: float
) -> list[Part]:
    """One artifact: its worst case, its lowest attack, its markers; all points moved by the factor ``beside``."""
    clean, color = each.clean, color_class(each.clean.recipe)
    if clean.auc is None:
        return []
    start: Point = (across(clean_at * beside), up(clean.auc))
    cells = [(budget, across(budget * beside), each.cells[budget]) for budget in budgets if budget in each.cells]
    worst = [start, *((at, up(cell.worst)) for _, at, cell in cells if cell.worst is not None)]
    attacked = [start, *((at, up(cell.attacked)) for _, at, cell in cells if cell.attacked is not None)]
    parts = _bracket(cells, start, up, color)
    parts += polyline(worst, f"curve dotted {color}") + polyline(attacked, f"curve {color}")
    if clean.auc_low is not None and clean.auc_high is not None:
        parts.append(line((start[0], up(clean.auc_low)), (start[0], up(clean.auc_high)), f"curve {color}"))
    parts.append(mark(start, clean.recipe, f"{clean.artifact}, clean: {auc_text(clean.auc)}", size=SMALL))
    for budget, at, cell in cells:
        if cell.attacked is not None:
            filling = "" if cell.on_itself else "hollow"
            parts.append(mark((at, up(cell.attacked)), clean.recipe, _told(each, budget, cell), filling, SMALL))
    return parts


def _bracket(cells: Sequence[tuple[float, float, BudgetCell]], start: Point, up: AxisScale, color: str) -> list[Part]:
    """What is proved of one artifact, and the shade up to its worst case."""
    between = [(at, cell.worst, cell.proved) for _, at, cell in cells if cell.proved is not None]
    if not between:
        return []
    lower = [start, *((at, up(proved)) for at, _, proved in between)]
    upper = [start, *((at, up(worst if worst is not None else proved)) for at, worst, proved in between)]
    return [area(upper, lower, "gap"), *polyline(lower, f"curve proved {color}")]


def _told(each: DeviceLine, budget: float, cell: BudgetCell) -> str:
    made = " ".join(part for part in (cell.method, "from" if cell.source else None, cell.source) if part)
    worst = f"; worst case {auc_text(cell.worst)}" if cell.worst is not None else ""
    proved = "" if cell.proved is None else f"; proved {auc_text(cell.proved)}"
    return f"{each.clean.artifact} at {budget_text(budget)}: {auc_text(cell.attacked)} ({made}){worst}{proved}"


def _gist(lines: Sequence[DeviceLine], budgets: Sequence[float]) -> str:
    """``clean .89 to .90; worst case .31 to .35 at 0.01 mV, .05 to .06 at 0.1 mV``: the ends and the middle."""
    said = [f"clean {_range([each.clean.auc for each in lines])}"]
    asked = list(dict.fromkeys((budgets[0], budgets[(len(budgets) - 1) // 2], budgets[-1])))
    found = []
    for budget in asked:
        values = [each.cells[budget].worst for each in lines if budget in each.cells]
        if any(value is not None for value in values):
            found.append(f"{_range(values)} at {budget_text(budget)}")
    if found:
        said.append(f"worst case {', '.join(found)}")
    proved = []
    for budget in asked:
        cells = [each.cells[budget] for each in lines if budget in each.cells]
        lowest: list[float | None] = [cell.proved for cell in cells if cell.proved is not None]
        gaps: list[float | None] = [
            cell.worst - cell.proved for cell in cells if cell.proved is not None and cell.worst is not None
        ]
        if any(lowest):  # a proof of 0 says nothing
            gap = f" (gap {_range(gaps)})" if gaps else ""
            proved.append(f"{_range(lowest)} at {budget_text(budget)}{gap}")
    if proved:
        said.append(f"proved {', '.join(proved)}")
    return "; ".join(said)


def _range(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "not measured"
    low, high = auc_text(min(known)), auc_text(max(known))
    return low if low == high else f"{low} to {high}"
