"""Through what a file was attacked, and what it counts for: an answer must not be won by what was not tried.

In come the rows of a device and their AUCs on all resamples; out comes for each file and budget whether an attack by
gradient followed its own graph, and the worst case that it counts for in the recommendation, in the gate and in its
loss budgets. A file whose own graph was not followed counts at most what its float parent keeps, which was attacked
through its own; without one, at most what the sibling keeps that was attacked hardest. What is *shown* as its worst
case stays what was measured on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pulseproof.core.recipes import FLOAT, recipe_of
from pulseproof.core.statistics import percentiles
from pulseproof.report.numbers.loss_budgets import LossBudgets, loss_budgets
from pulseproof.report.numbers.resampled import WORST, Resampled
from pulseproof.report.numbers.rows import Row, is_quantized, known

QUERIES = ("square",)  # methods that see a file's scores and nothing else
ENSEMBLE = "without-"  # the source "without-cnn" is all models but the CNN
Made = Literal["white-box", "twin", "from its float parent", "queries", "another file", "ensemble", "transfer"]
Through = Literal["itself", "parent", "sibling", "others"]
WORDS: dict[Through, str] = {
    "itself": "attacked through its own graph",
    "parent": "attacked through its float parent only",
    "sibling": "attacked through another file of its model only",
    "others": "attacked by transfer and queries only",
}


@dataclass(frozen=True)
class Counted:
    """What one file counts for at one budget. ``values`` float64 (1 + resamples,): the worst case that counts, of all
    recordings, then of each resample; ``held_to``: the file whose worst case bounds it, None where none does."""

    through: Through
    values: NDArray[np.float64]
    held_to: str | None = None


CountedKey = tuple[str, str, float]  # device, artifact, budget in mV
# What an Evaluation keeps: by device, artifact and budget; by device and artifact.
CountedWorst = dict[CountedKey, Counted]
Losses = dict[tuple[str, str], LossBudgets]


def made_of(row: Row) -> Made:
    """Where the attack of a row was made, seen from its artifact."""
    source = row.source or ""
    if source == row.model:
        if is_quantized(row.recipe):
            return "from its float parent"
        return "queries" if row.method in QUERIES else "white-box"
    if source == row.artifact:
        return "queries" if row.method in QUERIES else "twin"
    if source.partition("/")[0] == row.model:
        return "another file"
    return "ensemble" if source.startswith(ENSEMBLE) else "transfer"


def through_of(rows: Iterable[Row]) -> Through:
    """Through what a file was attacked by gradient: the nearest of all attacks that were measured among ``rows``."""
    made = {made_of(row) for row in rows if row.attack and row.auc is not None and row.method not in QUERIES}
    if made & {"white-box", "twin"}:
        return "itself"
    if "from its float parent" in made:
        return "parent"
    return "sibling" if "another file" in made else "others"


def weakest(found: Iterable[Through]) -> Through | None:
    """What must be said of a file over several budgets."""
    order: tuple[Through, ...] = ("itself", "parent", "sibling", "others")
    return max(found, key=order.index, default=None)


def counted_worst(rows: Sequence[Row], aucs: Resampled) -> CountedWorst:
    """By device, artifact and budget. ``aucs`` as :class:`report.numbers.resampled.Kept` has them."""
    attacks: dict[CountedKey, list[Row]] = {}
    worst: dict[CountedKey, Row] = {}
    for row in rows:
        if row.device is not None and row.budget_mv and row.auc is not None:
            key = (row.device, row.artifact, row.budget_mv)
            if row.method == WORST:
                worst[key] = row
            elif row.attack:
                attacks.setdefault(key, []).append(row)
    through = {key: through_of(attacks.get(key, ())) for key in worst}
    found: CountedWorst = {}
    for key, row in worst.items():
        own = aucs[str(row.device), row.artifact, str(row.signals)]
        bound = None if through[key] == "itself" else _bound(key, row, worst, through)
        if bound is None:
            found[key] = Counted(through[key], own)
            continue
        other = aucs[str(bound.device), bound.artifact, str(bound.signals)]
        found[key] = Counted(through[key], lower_of(own, row.n, other, bound.n), bound.artifact)
    return found


def lower_of(
    own: NDArray[np.float64], n: int | None, other: NDArray[np.float64], other_n: int | None
) -> NDArray[np.float64]:
    """The lower AUC of two runs, of all recordings and in every resample: in pairs, since both are resampled with the
    same patients. Runs of other recordings are no pair: then the one whose AUC is lower, as a whole."""
    if n == other_n:
        return np.minimum(own, other)
    return other if other[0] < own[0] else own


def _bound(
    key: CountedKey, row: Row, worst: Mapping[CountedKey, Row], through: Mapping[CountedKey, Through]
) -> Row | None:
    """The worst case of the file that a file is held to: its float parent's (of the same format before others), else
    the lowest of its siblings'; of those alone that were attacked through their own graph."""
    device, artifact, budget = key
    kin = [
        each
        for (where, name, at), each in worst.items()
        if (where, at) == (device, budget) and name != artifact and each.model == row.model
        if through[where, name, at] == "itself"
    ]
    floats = [each for each in kin if not is_quantized(each.recipe)]
    if floats:
        own = FLOAT[recipe_of(row.recipe).format]
        return min(floats, key=lambda each: each.recipe != own)
    return min(kin, key=lambda each: each.auc or 0.0, default=None)


def losses(rows: Sequence[Row], aucs: Resampled, counted: CountedWorst) -> Losses:
    """The loss budgets of every file that has a clean AUC and a worst case of the same recordings."""
    found: Losses = {}
    worst = [row for row in rows if row.method == WORST]
    for row in rows:
        if row.method == "clean" and row.device is not None and row.auc is not None:
            budgets, curve = counted_curve(row, worst, counted)
            if budgets:
                clean = aucs[row.device, row.artifact, str(row.signals)]
                found[row.device, row.artifact] = loss_budgets(budgets, curve, clean)
    return found


def counted_curve(clean: Row, rows: Sequence[Row], counted: CountedWorst) -> tuple[list[float], NDArray[np.float64]]:
    """The budgets, rising, and what the file of a clean row counts for there, float64 (budgets, 1 + resamples); those
    left out whose worst case is over other recordings than the clean row."""
    budgets = sorted(
        row.budget_mv or 0.0
        for row in rows
        if (row.device, row.artifact, row.method, row.n) == (clean.device, clean.artifact, WORST, clean.n)
        and (str(row.device), row.artifact, row.budget_mv or 0.0) in counted
    )
    values = [counted[str(clean.device), clean.artifact, budget].values for budget in budgets]
    return budgets, np.stack(values) if values else np.empty((0, 0))


def with_counted(rows: Sequence[Row], counted: CountedWorst, lost: Losses) -> list[Row]:
    """The rows with what they count for: worst cases with theirs, clean rows with the budgets at which AUC is lost."""
    found = []
    for row in rows:
        update: dict[str, float | str | None] = {}
        here = counted.get((str(row.device), row.artifact, row.budget_mv or 0.0)) if row.method == WORST else None
        if here is not None:
            low, high = percentiles(here.values[1:])
            update = {"attacked_through": here.through, "auc_counted": known(here.values[0])}
            update |= {"auc_counted_low": known(low), "auc_counted_high": known(high)}
        of = lost.get((str(row.device), row.artifact)) if row.method == "clean" else None
        if of is not None:
            every = [
                each.through
                for (device, name, _), each in counted.items()
                if (device, name) == (row.device, row.artifact)
            ]
            update["attacked_through"] = weakest(every)
            for name, each in (("loss_budget", of.lost), ("chance_budget", of.chance)):
                keys = (f"{name}_mv", f"{name}_low_mv", f"{name}_high_mv")
                update |= dict(zip(keys, each.numbers, strict=True))
                update[name] = each.reason or each.text
        found.append(row.model_copy(update=update) if update else row)
    return found
