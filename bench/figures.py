"""The pictures of a report: AUC against budget, and latency against attacked AUC.

In come the lines of one device (:mod:`bench.pivot`); out come PNG files for a page or a paper. Formats and recipes are
told apart by marker, attack and control by line style and filling, models by panel or by name: nothing by color alone.
Colors are those of Okabe and Ito (2008), which color-blind readers can tell apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from bench.pivot import Line, banner, budget_text, milliseconds
from bench.rows import Evaluation, is_quantized
from runtime.files import replacing

BLUE, VERMILION, GREEN, ORANGE = "#0072B2", "#D55E00", "#009E73", "#E69F00"
FORMATS = {"onnx": BLUE, "tflite": VERMILION}
MARKERS = {"fp32": "o", "fp16": "D", "int8-static": "s", "int8-dynamic": "^", "int8-weights": "v", "int16x8": "P"}
PANELS_PER_LINE = 3
DPI = 150


def auc_against_budget(evaluation: Evaluation, lines: Sequence[Line], path: Path) -> bool:
    """One panel a model: macro AUC, clean at the left, then at every budget on a log axis of millivolts.

    Solid and filled is the worst attack, dashed and hollow the random-sign control; bars are the clean 95 % interval.
    Writes ``path``; False, and no file, when no budget was measured.
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
        for order, line in enumerate(own):
            _budget_lines(axes, line, clean_at * 1.06 ** (order - (len(own) - 1) / 2), clean_at, budgets)
        axes.set_title(model, fontsize=10)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator([clean_at, *budgets]))
        axes.xaxis.set_minor_locator(NullLocator())
        names = {clean_at: "clean", **{budget: f"{budget:g}" for budget in budgets}}
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _, names=names: _nearest(names, value)))
        axes.tick_params(labelsize=8)
        axes.set_ylim(-0.03, 1.03)
        axes.axhline(0.5, color="0.6", linewidth=0.8, linestyle=(0, (1, 3)))
        axes.grid(axis="y", color="0.92")
    for axes in panels.flat[len(models) :]:
        axes.set_visible(False)
    for axes in panels.flat[max(0, len(models) - columns) : len(models)]:
        axes.xaxis.set_tick_params(labelbottom=True)
    figure.supxlabel("budget, mV (L-infinity)", fontsize=10)
    figure.supylabel("macro AUC", fontsize=10)
    control = Line2D([], [], color="0.3", linestyle="--", marker="o", markerfacecolor="white")
    chance = Line2D([], [], color="0.6", linestyle=(0, (1, 3)))
    worst = Line2D([], [], color="0.3", marker="o")
    entries = [(worst, "worst attack"), (control, "random signs"), (chance, "chance"), *_recipe_entries(lines)]
    _finish(figure, evaluation, lines[0].device, "AUC under attack", entries, path)
    return True


def latency_against_auc(evaluation: Evaluation, lines: Sequence[Line], budget: float | None, path: Path) -> bool:
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
    for model in dict.fromkeys(line.clean.model for line, *_ in points):
        own = sorted((latency, auc, line.clean.recipe) for line, latency, auc in points if line.clean.model == model)
        axes.plot([each[0] for each in own], [each[1] for each in own], color="0.75", linewidth=1, zorder=1)
        for latency, auc, recipe in own:
            axes.plot(latency, auc, markersize=8, alpha=0.9, linestyle="", **_style(recipe))
        axes.annotate(model, own[-1][:2], (8, 0), textcoords="offset points", fontsize=9, va="center")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: milliseconds(value).rstrip("0").rstrip(".")))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_ylim(-0.03, 1.03)
    axes.margins(x=0.18)
    axes.grid(color="0.92")
    axes.set_xlabel("median latency, ms (batch 1)")
    axes.set_ylabel(
        "clean macro AUC" if budget is None else f"macro AUC under the worst attack at {budget_text(budget)}"
    )
    _finish(figure, evaluation, lines[0].device, "Latency and AUC", _recipe_entries(lines), path)
    return True


def _budget_lines(axes: Axes, line: Line, shown_at: float, clean_at: float, budgets: Sequence[float]) -> None:
    """The attacked and the control line of one artifact; clean points lie side by side around ``clean_at``."""
    clean, style = line.clean, _style(line.clean.recipe)
    if clean.auc is None:
        return
    if clean.auc_low is not None and clean.auc_high is not None:
        axes.plot([shown_at] * 2, [clean.auc_low, clean.auc_high], color=style["color"], linewidth=1)
    axes.plot(shown_at, clean.auc, markersize=4.5, linestyle="", **style)
    for attacked in (False, True):
        there = [(clean_at, clean.auc)]
        for budget in budgets:
            cell = line.cells.get(budget)
            value = None if cell is None else cell.attacked if attacked else cell.control
            if value is not None:
                there.append((budget, value))
        if len(there) > 1:
            drawn = {**style, "markerfacecolor": style["color"] if attacked else "white"}
            x, y = zip(*there, strict=True)
            axes.plot(x, y, "-" if attacked else "--", markersize=4.5, linewidth=1, markevery=slice(1, None), **drawn)


def _style(recipe: str) -> dict[str, Any]:
    """Color by format, marker by recipe."""
    kind, _, precision = recipe.partition("-")
    return {"color": FORMATS.get(kind, GREEN), "marker": MARKERS.get(precision, "X" if is_quantized(recipe) else "*")}


def _recipe_entries(lines: Sequence[Line]) -> list[tuple[Line2D, str]]:
    recipes = dict.fromkeys(line.clean.recipe for line in lines)
    return [(Line2D([], [], linestyle="", **_style(recipe)), recipe) for recipe in recipes]


def _nearest(names: dict[float, str], value: float) -> str:
    return names[min(names, key=lambda each: abs(each - value))]


def _finish(
    figure: Figure,
    evaluation: Evaluation,
    device: str,
    what: str,
    entries: list[tuple[Line2D, str]],
    path: Path,
) -> None:
    """Title with the study, the device and the note, a legend below, and the file, whole or not at all."""
    evidence = next((each.evidence for each in evaluation.devices if each.name == device), "")
    figure.suptitle(f"{what}: {evaluation.head.title}\n{device}, {evidence}", fontsize=11)
    if evaluation.note:
        color = VERMILION if evaluation.head.synthetic else "0.3"
        figure.text(0.995, 0.995, banner(evaluation), ha="right", va="top", fontsize=8, color=color, weight="bold")
    handles, names = zip(*entries, strict=True)
    figure.legend(handles, names, loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    FigureCanvasAgg(figure)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=DPI)
