"""Bounds of a file's scores over every disturbance within a budget, through the file's own graph.

In: a file, or its :class:`~twins.program.Twin`, and recordings in millivolts. Out: the lowest and highest score that
any signal within ``budget_mv`` of each sample (L-infinity) can get, for the very file, its int8 roundings included.
Recorders write whole steps, so what can really be written is a lattice in that ball, and the bounds hold for it all the
more.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pulseproof.certify.proved import ScoreBounds
from pulseproof.certify.trees import read_trees
from pulseproof.models.hardened.ends import UNIT, NoBoundsError
from pulseproof.models.hardened.interval import Bounded
from pulseproof.twins import open_twin
from pulseproof.twins.program import Twin

BATCH = 16  # what a core keeps in its cache


def ball(signals: NDArray[np.float32], budget_mv: float) -> tuple[Tensor, Tensor]:
    """The ends (n, leads, samples), float64 mV, of every signal within ``budget_mv`` of ``signals``, those included
    that the product of steps and the step's size rounds out of it."""
    x = torch.from_numpy(np.ascontiguousarray(signals)).double()
    slack = 4 * UNIT * (x.abs() + budget_mv)
    return x - budget_mv - slack, x + budget_mv + slack


def file_bounds(path: Path, signals: NDArray[np.float32], budget_mv: float) -> ScoreBounds:
    """Bounds of the scores that a file gives ``signals`` (n, leads, samples) mV within ``budget_mv``.

    Raises NotCoveredError and NoBoundsError, which name what has no rule.
    """
    ensemble = read_trees(path)
    if ensemble is None:
        return score_bounds(open_twin(path), signals, budget_mv)
    features, trees = ensemble
    return trees.bounds(score_bounds(features, signals, budget_mv))


def score_bounds(twin: Twin, signals: NDArray[np.float32], budget_mv: float, batch: int = BATCH) -> ScoreBounds:
    """Bounds of the scores of ``signals`` (n, leads, samples) mV within ``budget_mv``.

    Raises NoBoundsError, which names the operator or function that has no rule.
    """

    def one(lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
        found: Any = twin.one(cast(Tensor, Bounded(lower, upper)))
        if not isinstance(found, Bounded):
            raise NoBoundsError("the scores do not depend on the signal")
        return found.lower, found.upper

    lows, highs = [], []
    with torch.no_grad():
        for first in range(0, len(signals), batch):
            lower, upper = torch.func.vmap(one)(*ball(signals[first : first + batch], budget_mv))
            lows.append(lower)
            highs.append(upper)
    return ScoreBounds(torch.cat(lows).numpy(), torch.cat(highs).numpy())
