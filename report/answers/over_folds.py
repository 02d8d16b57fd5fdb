"""The answers over all folds of a study: every person was tested once, by a model that never saw them.

In comes an :class:`~report.numbers.evaluation.Evaluation` a fold and the file that each would ship, out comes a
:class:`FoldLine` a file: its AUC, clean and under the worst case at each budget, as the mean over the folds. Scores of
models that were trained apart are not on one scale, so recordings are ranked within their fold only and the AUCs are
averaged (Forman and Scholz 2010, "Apples-to-apples in cross-validation studies"; Airola et al. 2011). The interval is
that of people drawn anew within every fold; how much another draw of the folds would move it, no single
cross-validation can say (Bengio and Grandvalet 2004), so the lowest and the highest fold stand beside it.
"""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from pulseproof.core.markdown import markdown, markdown_table
from pulseproof.core.recipes import FLOAT, recipe_of
from pulseproof.core.statistics import percentiles
from pulseproof.report.numbers.evaluation import Evaluation
from pulseproof.report.numbers.resampled import WORST
from pulseproof.report.numbers.rows import HOST, Row, is_quantized, known
from pulseproof.report.numbers.texts import auc_text, budget_text, csv_text, signed, span

CLEAN = "clean"


@dataclass(frozen=True)
class FoldAuc:
    """The mean of a number over ``folds``, with its 95 % interval; ``lowest`` and ``highest`` of one fold."""

    estimate: float
    low: float | None
    high: float | None
    lowest: float
    highest: float
    folds: int


@dataclass(frozen=True)
class FoldLine:
    """One file: ``aucs`` by ``clean`` and ``worst-case-0.01mV`` and so on, None where no fold has it; ``minus_float``:
    its clean AUC less that of its float parent, in pairs; ``shipped``: in how many folds it is the one to ship."""

    artifact: str
    aucs: Mapping[str, FoldAuc | None]
    minus_float: FoldAuc | None
    shipped: int


@dataclass(frozen=True)
class OverFolds:
    """All files over all ``folds``. ``recordings`` and ``people`` are those that were tested; ``note`` must stand
    beside every number."""

    title: str
    note: str | None
    folds: int
    recordings: int
    people: int
    lines: tuple[FoldLine, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Clean, then the worst case at each budget, rising."""
        return tuple(dict.fromkeys(key for line in self.lines for key in line.aucs))


def over_folds(title: str, evaluations: Sequence[Evaluation], shipped: Sequence[str | None]) -> OverFolds:
    """``evaluations`` and ``shipped`` a fold. Every evaluation must have been made with a seed of its own: the draws of
    people in two folds have nothing to do with each other."""
    names = list(dict.fromkeys(row.artifact for each in evaluations for row in each.rows))
    times = Counter(shipped)
    budgets = sorted({row.budget_mv or 0.0 for each in evaluations for row in each.rows if row.method == WORST})
    lines = []
    for name in names:
        aucs: dict[str, FoldAuc | None] = {}
        for key, method, budget in ((CLEAN, CLEAN, None), *((f"{WORST}-{b:g}mV", WORST, b) for b in budgets)):
            found = [
                None if (row := _row(each, name, method, budget)) is None else each.counted_values(row)
                for each in evaluations
            ]
            aucs[key] = _mean(found)
        quantized = is_quantized(name.partition("/")[2])
        apart = [each.paired(_row(each, name, CLEAN), _row(each, _parent(name), CLEAN)) for each in evaluations]
        lines.append(FoldLine(name, aucs, _mean(apart) if quantized else None, times[name]))
    notes = list(dict.fromkeys(each.note for each in evaluations if each.note))
    return OverFolds(
        title,
        "; ".join(notes) or None,
        len(evaluations),
        sum(each.recordings for each in evaluations),
        sum(each.patients for each in evaluations),
        tuple(lines),
    )


def _parent(artifact: str) -> str:
    model, _, recipe = artifact.partition("/")
    return f"{model}/{FLOAT[recipe_of(recipe).format]}"


def _row(evaluation: Evaluation, artifact: str, method: str, budget: float | None = None) -> Row | None:
    """The row of a file on this machine; None where it was not measured."""
    rows = (
        row
        for row in evaluation.rows
        if row.artifact == artifact
        and row.method == method
        and row.evidence == HOST
        and row.auc is not None
        and (budget is None or row.budget_mv == budget)
    )
    return next(rows, None)


def _mean(found: Sequence[NDArray[np.float64] | None]) -> FoldAuc | None:
    """Of what each fold has, float64 (1 + resamples,): the mean of all, then of every resample."""
    there = [values for values in found if values is not None and np.isfinite(values[0])]
    if not there:
        return None
    values = np.stack(there)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a resample that is defined in no fold: NaN, and left out
        mean = np.nanmean(values, axis=0)
    low, high = percentiles(mean[1:])
    lowest, highest = float(values[:, 0].min()), float(values[:, 0].max())
    return FoldAuc(float(mean[0]), known(low), known(high), lowest, highest, len(there))


def as_text(found: OverFolds) -> str:
    """The table and its sentences, for a terminal."""
    cells = [_header(found), *(_cells(found, line) for line in found.lines)]
    widths = [max(len(row[place]) for row in cells) for place in range(len(cells[0]))]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    head = [found.title, *([found.note] if found.note else [])]
    return "\n".join([*head, "", *table, "", *_sentences(found)]) + "\n"


def as_markdown(found: OverFolds) -> str:
    """The same for a README."""
    table = markdown_table(_header(found), [_cells(found, line) for line in found.lines], left=1)
    note = f"**{markdown(found.note)}**\n\n" if found.note else ""
    said = "\n".join(f"- {markdown(each)}" for each in _sentences(found))
    return f"### {markdown(found.title)}\n\n{note}{table}\n\n{said}\n"


def as_json(found: OverFolds) -> str:
    """Everything, in full precision."""
    return json.dumps(asdict(found), indent=1, allow_nan=False) + "\n"


def as_csv(found: OverFolds) -> str:
    """A line a file and number."""
    columns = ("artifact", "number", "estimate", "low", "high", "lowest_fold", "highest_fold", "folds", "shipped_in")
    lines = [
        (line.artifact, key, auc.estimate, auc.low, auc.high, auc.lowest, auc.highest, auc.folds, line.shipped)
        for line in found.lines
        for key, auc in (*line.aucs.items(), ("clean-minus-float", line.minus_float))
        if auc is not None
    ]
    return csv_text(columns, lines)


def _header(found: OverFolds) -> list[str]:
    budgets = [f"worst at {budget_text(float(key.removeprefix(f'{WORST}-').removesuffix('mV')))}"
               for key in found.columns if key != CLEAN]  # fmt: skip
    return ["file", "clean AUC", "folds from, to", "int - float", *budgets, "to ship in"]


def _cells(found: OverFolds, line: FoldLine) -> list[str]:
    clean, apart = line.aucs.get(CLEAN), line.minus_float
    spread = "-" if clean is None else f"{auc_text(clean.lowest)} {auc_text(clean.highest)}"
    change = "-" if apart is None else f"{signed(apart.estimate)} {span(apart.low, apart.high, sign=True)}"
    worst = [_auc(found, line.aucs.get(key)) for key in found.columns if key != CLEAN]
    return [line.artifact, _auc(found, clean), spread, change, *worst, f"{line.shipped} of {found.folds}"]


def _auc(found: OverFolds, auc: FoldAuc | None) -> str:
    if auc is None:
        return "-"
    part = "" if auc.folds == found.folds else f" ({auc.folds} of {found.folds} folds)"
    return f"{auc_text(auc.estimate)} {span(auc.low, auc.high)}{part}"


def _sentences(found: OverFolds) -> list[str]:
    said = [
        f"{found.recordings:,} recordings of {found.people:,} people, each tested once, in {found.folds} folds. AUC:"
        " the mean of the folds' own, 95 % intervals from people drawn within each fold; another training set is not in"
        " them.",
    ]
    ships = sorted(((line.shipped, line.artifact) for line in found.lines if line.shipped), reverse=True)
    if ships:
        times = ", ".join(f"{name} in {many}" for many, name in ships)
        said.append(f"Which file to ship, fold by fold: {times}.")
        if len(ships) > 1:
            said.append("The folds disagree: on other people another file may be the better one.")
    return said
