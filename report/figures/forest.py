"""The forest plot as a picture: quantized minus float, each file's paired difference of AUC with its interval.

In come the comparisons of kind ``quantized-minus-float`` (:mod:`report.numbers.compare`); out comes a PNG file for a
paper or a slide, a panel for clean recordings and one for the worst case at the study's budget. The verdict is said by
the shape of the marker, and by its colour as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from pulseproof.report.answers.types import Comparison, Verdict
from pulseproof.report.answers.words import is_attacked
from pulseproof.report.figures.charts import BAND, BLUE, GREEN, VERMILION, finish
from pulseproof.report.numbers.evaluation import Evaluation
from pulseproof.report.numbers.resampled import WORST
from pulseproof.report.numbers.texts import signed

STYLES: dict[Verdict, dict[str, Any]] = {
    "better": {"marker": "^", "color": GREEN},
    "worse": {"marker": "v", "color": VERMILION},
    "no-difference": {"marker": "o", "color": BLUE, "markerfacecolor": "white"},
    "undecided": {"marker": "x", "color": "0.35"},
}
WORDS: dict[Verdict, str] = {
    "better": "better than its float file",
    "worse": "worse than its float file",
    "no-difference": "no difference larger than the band",
    "undecided": "undecided",
}


def draw_forest(evaluation: Evaluation, comparisons: Sequence[Comparison], device: str, path: Path) -> bool:
    """Dot: the difference of macro AUC; bar: its 95 % interval; gray: differences of at most delta. Writes ``path``;
    False, and no file, where nothing was compared on the device."""
    some = [each for each in comparisons if each.kind == "quantized-minus-float" and each.device == device]
    if not some:
        return False
    files = list(dict.fromkeys(each.a for each in some))
    sides = [(title, own) for title, own in _sides(some) if own]
    figure = Figure(figsize=(2.6 + 3.4 * len(sides), 1.9 + 0.24 * len(files)), layout="constrained")
    panels = figure.subplots(1, len(sides), sharex=True, sharey=True, squeeze=False)[0]
    for axes, (title, own) in zip(panels, sides, strict=True):
        _draw_panel(axes, own, files, evaluation.delta)
        axes.set_title(title, fontsize=10)
    panels[0].set_yticks(range(len(files)), files, fontsize=8)
    panels[0].set_ylim(len(files) - 0.4, -0.6)
    verdicts = [verdict for verdict in STYLES if any(each.verdict == verdict for each in some)]
    entries: list[tuple[Artist, str]] = [
        *((Line2D([], [], linestyle="", **STYLES[verdict]), WORDS[verdict]) for verdict in verdicts),
        (Patch(color=BAND), f"at most {evaluation.delta:g}"),
    ]
    finish(figure, evaluation, device, "Quantized minus float", entries, path)
    return True


def _sides(some: Sequence[Comparison]) -> list[tuple[str, list[Comparison]]]:
    clean = [each for each in some if not is_attacked(each)]
    attacked = [each for each in some if is_attacked(each)]
    budget = attacked[0].signals.removeprefix(f"{WORST}-").replace("mV", " mV") if attacked else ""
    return [("clean", clean), (f"worst case at {budget}", attacked)]


def _draw_panel(axes: Axes, own: Sequence[Comparison], files: Sequence[str], delta: float) -> None:
    axes.axvspan(-delta, delta, color=BAND, linewidth=0, zorder=0)
    axes.axvline(0, color="0.4", linewidth=0.8, zorder=1)
    for each in own:
        at, style = files.index(each.a), STYLES[each.verdict]
        axes.plot([each.low, each.high], [at, at], color=style["color"], linewidth=1.2, zorder=2)
        axes.plot(each.estimate, at, linestyle="", markersize=5, zorder=3, **style)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: signed(value)))
    axes.tick_params(axis="x", labelsize=8)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("difference of macro AUC", fontsize=9)
    axes.grid(axis="y", color="0.94")
