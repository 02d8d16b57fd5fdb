"""The pictures of a report: AUC against budget, and latency against attacked AUC.

In come the lines of one device (:mod:`report.numbers.pivot`); out come PNG files for a page or a paper. Formats and
recipes are told apart by marker, attack and control by line style and filling, models by panel or by name: nothing by
color alone. Colors are those of Okabe and Ito (2008), which color-blind readers can tell apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator
from matplotlib.transforms import Bbox

from pulseproof.core.recipes import recipe_of
from pulseproof.report.numbers.evaluation import Evaluation
from pulseproof.report.numbers.pivot import DeviceLine
from pulseproof.report.numbers.texts import budget_text, milliseconds
from pulseproof.report.tables.remarks import banner
from pulseproof.runtime.files import replacing

BLUE, VERMILION, GREEN, ORANGE = "#0072B2", "#D55E00", "#009E73", "#E69F00"
FORMATS = {"onnx": BLUE, "tflite": VERMILION}
PANELS_PER_LINE = 3
DPI = 150
BAND = "0.85"
WORST_LINE: Literal[":"] = ":"


def auc_against_budget(evaluation: Evaluation, lines: Sequence[DeviceLine], path: Path) -> bool:
    """One panel a model: macro AUC, clean at the left, then at every budget on a log axis of millivolts.

    Solid is the lowest attack, its marker filled where it was made on the model or its file and hollow where it came
    from another model; dotted is the worst case, recording by recording; the gray band holds all controls; bars are the
    clean 95 % interval. Writes ``path``; False, and no file, when no budget was measured.
    """
    budgets = sorted({budget for line in lines for budget in line.cells})
    models = list(dict.fromkeys(line.clean.model for line in lines))
    if not budgets or all(line.clean.auc is None for line in lines):
        return False
    clean_at = budgets[0] / 2.2
    columns = min(PANELS_PER_LINE, len(models))
    shape = (-(-len(models) // columns), columns)
    figure = Figure(figsize=(0.6 + 3.1 * columns, 1.5 + 2.6 * shape[0]), layout="constrained")
    panels = figure.subplots(*shape, sharex=True, sharey=True, squeeze=False)
    for model, axes in zip(models, panels.flat, strict=False):
        own = [line for line in lines if line.clean.model == model]
        _control_band(axes, own, clean_at, budgets)
        for order, line in enumerate(own):
            beside = 1.05 ** (order - (len(own) - 1) / 2)  # equal curves lie side by side, not one over the other
            _budget_lines(axes, line, clean_at, budgets, beside)
        axes.set_title(_named(own), fontsize=10)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator([clean_at, *budgets]))
        axes.xaxis.set_minor_locator(NullLocator())
        names = {clean_at: "clean", **{budget: f"{budget:g}".removeprefix("0") for budget in budgets}}
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _, names=names: _nearest(names, value)))
        axes.tick_params(labelsize=8)
        axes.set_ylim(-0.03, 1.03)
        axes.axhline(0.5, color="0.6", linewidth=0.8, linestyle=(0, (1, 3)))
        axes.grid(axis="y", color="0.92")
    for axes in panels.flat[len(models) :]:
        axes.set_visible(False)
    for axes in panels.flat[max(0, len(models) - columns) : len(models)]:
        axes.xaxis.set_tick_params(labelbottom=True)
        axes.set_xlabel("budget, mV (L-infinity)", fontsize=9)
    figure.supylabel("macro AUC", fontsize=10)
    entries: list[tuple[Artist, str]] = [
        (Line2D([], [], color="0.3", marker="o"), "lowest attack, on the model"),
        (Line2D([], [], color="0.3", marker="o", markerfacecolor="white"), "lowest attack, from another model"),
        (Line2D([], [], color="0.3", linestyle=WORST_LINE), "worst case of each recording"),
        (Patch(color=BAND), "controls of the same budget"),
        (Line2D([], [], color="0.6", linestyle=(0, (1, 3))), "chance"),
        *_recipe_entries(lines),
    ]
    finish(figure, evaluation, lines[0].device, "AUC under attack", entries, path)
    return True


def latency_against_auc(evaluation: Evaluation, lines: Sequence[DeviceLine], budget: float | None, path: Path) -> bool:
    """Median latency (log axis, ms) against macro AUC at ``budget`` under the worst attack, or clean AUC without one.

    One marker an artifact, its shape the recipe, its color the format; the artifacts of a model are joined and named.
    Writes ``path``; False, and no file, when nothing was measured.
    """
    points = []
    for line in lines:
        auc = line.clean.auc if budget is None else line.cells[budget].attacked if budget in line.cells else None
        if auc is not None and line.clean.latency_p50_ms:
            points.append((line, line.clean.latency_p50_ms, auc))
    if not points:
        return False
    figure = Figure(figsize=(7.5, 5.6), layout="constrained")
    axes = figure.subplots()
    axes.set_xscale("log")
    names: dict[str, tuple[float, float]] = {}
    for model in dict.fromkeys(line.clean.model for line, *_ in points):
        own = sorted((latency, auc, line.clean.recipe) for line, latency, auc in points if line.clean.model == model)
        axes.plot([each[0] for each in own], [each[1] for each in own], color="0.75", linewidth=1, zorder=1)
        for latency, auc, recipe in own:
            axes.plot(latency, auc, markersize=8, alpha=0.9, linestyle="", **_style(recipe))
        names[_named([line for line, *_ in points if line.clean.model == model])] = own[-1][:2]
    axes.xaxis.set_major_locator(LogLocator(subs=_tick_factors([latency for _, latency, _ in points])))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: milliseconds(value).rstrip("0").rstrip(".")))
    axes.xaxis.set_minor_locator(NullLocator())
    lowest, highest = min(auc for *_, auc in points), max(auc for *_, auc in points)
    room = max(0.03, 0.1 * (highest - lowest))
    axes.set_ylim(lowest - room, min(highest + room, 1.03))
    axes.margins(x=0.18)
    axes.grid(color="0.92")
    axes.set_xlabel("median latency, ms (batch 1)")
    axes.set_ylabel(
        "clean macro AUC" if budget is None else f"macro AUC under the worst attack at {budget_text(budget)}"
    )
    _place_names(axes, names, [(latency, auc) for _, latency, auc in points])
    finish(figure, evaluation, lines[0].device, "Latency and AUC", _recipe_entries(lines), path)
    return True


def _tick_factors(latencies: Sequence[float]) -> tuple[float, ...]:
    """Where each decade of a latency axis has its ticks: as many as their labels have room for."""
    decades = math.log10(max(latencies) / min(latencies))
    return (1, 1.5, 2, 3, 5, 7) if decades < 1.2 else (1, 2, 5) if decades < 3 else (1,)


def _control_band(axes: Axes, lines: Sequence[DeviceLine], clean_at: float, budgets: Sequence[float]) -> None:
    """From the most to the least harmful control at each budget, over all artifacts of a model."""
    there = [(clean_at, [line.clean.auc for line in lines if line.clean.auc is not None])]
    for budget in budgets:
        cells = [line.cells[budget] for line in lines if budget in line.cells]
        there.append((budget, [auc for cell in cells for auc in cell.controls.values()]))
    there = [(at, values) for at, values in there if values]
    if len(there) > 1:
        low, high = [min(values) for _, values in there], [max(values) for _, values in there]
        axes.fill_between([at for at, _ in there], low, high, color=BAND, linewidth=1.5, zorder=1)


def _budget_lines(axes: Axes, line: DeviceLine, clean_at: float, budgets: Sequence[float], beside: float) -> None:
    """The attacked line of one artifact and its worst case, all points moved by the factor ``beside``."""
    clean, style = line.clean, _style(line.clean.recipe)
    if clean.auc is None:
        return
    if clean.auc_low is not None and clean.auc_high is not None:
        axes.plot([clean_at * beside] * 2, [clean.auc_low, clean.auc_high], color=style["color"], linewidth=1)
    start = (clean_at * beside, clean.auc)
    cells = [(budget * beside, line.cells[budget]) for budget in budgets if budget in line.cells]
    worst = [start, *((at, cell.worst) for at, cell in cells if cell.worst is not None)]
    axes.plot(*zip(*worst, strict=True), color=style["color"], linestyle=WORST_LINE, linewidth=0.9)
    attacked = [start, *((at, cell.attacked) for at, cell in cells if cell.attacked is not None)]
    axes.plot(*zip(*attacked, strict=True), "-", markersize=4, linewidth=0.9, **style)
    elsewhere = [(at, cell.attacked) for at, cell in cells if cell.attacked is not None and not cell.on_itself]
    if elsewhere:
        at, values = zip(*elsewhere, strict=True)
        axes.plot(at, values, linestyle="", markerfacecolor="white", markersize=4, zorder=3, **style)


def _place_names(axes: Axes, names: dict[str, tuple[float, float]], points: Sequence[tuple[float, float]]) -> None:
    """Write each name beside its point, at the first of a few offsets where it covers no other name and no point."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    dots = axes.transData.transform(points)
    taken: list[Bbox] = []
    for name, point in sorted(names.items(), key=lambda each: -each[1][1]):
        text = axes.annotate(name, point, (9, 0), textcoords="offset points", fontsize=9, va="center")
        for offset in ((9, 0), (0, 11), (0, -11), (9, 11), (9, -11), (9, 22), (9, -22), (9, 33), (9, -33)):
            text.set_position(offset)
            text.set_horizontalalignment("left" if offset[0] else "center")
            box = text.get_window_extent(canvas.get_renderer())
            if not box.count_overlaps(taken) and not any(box.contains(*dot) for dot in dots):
                break
        taken.append(box)


def _named(lines: Sequence[DeviceLine]) -> str:
    """The model's name, and beside it when it was attacked by transfer alone: that is no robustness."""
    cells = [cell for line in lines for cell in line.cells.values() if cell.made]
    alone = bool(cells) and not any(cell.on_itself for cell in cells)
    return lines[0].clean.model + (" (by transfer only)" if alone else "")


def _style(recipe: str) -> dict[str, Any]:
    """Color by format, marker by recipe."""
    declared = recipe_of(recipe)
    return {"color": FORMATS[declared.format], "marker": declared.marker}


def _recipe_entries(lines: Sequence[DeviceLine]) -> list[tuple[Artist, str]]:
    recipes = dict.fromkeys(line.clean.recipe for line in lines)
    return [(Line2D([], [], linestyle="", **_style(recipe)), recipe) for recipe in recipes]


def _nearest(names: dict[float, str], value: float) -> str:
    return names[min(names, key=lambda each: abs(each - value))]


def finish(
    figure: Figure,
    evaluation: Evaluation,
    device: str,
    what: str,
    entries: list[tuple[Artist, str]],
    path: Path,
) -> None:
    """Title with the study, the device and the note, a legend below, and the file, whole or not at all."""
    evidence = next((each.evidence for each in evaluation.devices if each.name == device), "")
    title = "\n".join(part for part in (f"{what}: {evaluation.head.title}", f"{device}, {evidence}") if part)
    loud = {"color": VERMILION, "weight": "bold"} if evaluation.head.synthetic else {}
    figure.suptitle("\n".join([title, banner(evaluation)]) if evaluation.note else title, fontsize=10.5, **loud)
    if entries:
        handles, names = zip(*entries, strict=True)
        figure.legend(handles, names, loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=DPI)
