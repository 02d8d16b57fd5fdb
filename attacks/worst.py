"""The per-recording worst case over several attacks: an attacker who has many may send the best one of each recording.

In: the scores of one artifact on several signal sets that disturb the same recordings, and their labels. Out: which set
is chosen for each recording, and the macro AUC of that choice. One recording is sent, so one set is chosen for all of
its labels: a choice label by label would be an attack that nobody can carry out.

The AUC is about pairs, so what a recording is best sent as depends on what the others are sent as. A recording's worth
in a set is the share of its opponents (the recordings of the other label) that its score there has passed, weighed over
the labels as the macro AUC weighs them: one of few positives counts more than one of many negatives. Beginning with the
single set that hurts most, the recordings choose anew, some at a time, until nobody would choose another. The AUC of
the result is never above that of any single set. The true worst case may be lower still: this is a descent, and only
with a single label does it find the end for certain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulseproof.runtime.auc import macro_auc

SWEEPS = 20  # far more than it takes: three to six, and it ends where nothing changes
# So many turns a sweep. If all chose at once they would answer opponents who move away in the same moment.
TURNS = 8
SMALLEST_GAIN = 1e-12  # rounding of a sum of shares must not keep a recording changing to and fro


@dataclass(frozen=True)
class WorstCase:
    """``chosen`` intp (n,): the set of each recording; ``scores`` (n, classes) there; ``auc`` the macro AUC of them."""

    chosen: NDArray[np.intp]
    scores: NDArray[np.float32]
    auc: float


def worst_case(scores: NDArray[Any], labels: NDArray[Any]) -> WorstCase:
    """The choice of one set a recording that makes the macro AUC low.

    ``scores`` (sets, n, classes) of one artifact, larger means likelier; ``labels`` (n, classes) of 0 and 1. A class
    without positives or without negatives counts nothing, as in :func:`runtime.auc.macro_auc`. Equal input gives an
    equal choice; of equally good sets the first. Raises ValueError for other shapes, no set, or a score that is NaN.
    """
    scores, positive = np.asarray(scores), np.asarray(labels) != 0
    if scores.ndim != 3 or not len(scores) or scores.shape[1:] != positive.shape:
        raise ValueError(f"scores {scores.shape} and labels {positive.shape} are not (sets, n, classes), (n, classes)")
    if np.isnan(scores).any():
        raise ValueError("a score is NaN and has no rank")
    everyone = np.arange(scores.shape[1])
    single = [macro_auc(each, positive) for each in scores]
    first = 0 if np.isnan(single).all() else int(np.nanargmin(single))
    chosen = np.full(len(everyone), first, np.intp)
    best, lowest = chosen.copy(), single[first]
    for _ in range(SWEEPS):
        changed = False
        for turn in range(TURNS):
            some = everyone[turn::TURNS]
            worth = _worth(scores[:, some], positive[some], scores[chosen, everyone], positive)
            now = worth[chosen[some], np.arange(len(some))]
            better = worth.max(axis=0, initial=-np.inf) > now + SMALLEST_GAIN
            chosen[some[better]] = worth[:, better].argmax(axis=0)
            changed |= bool(better.any())
        if not changed:
            break
        # Those of one turn did choose at once, so a sweep may lose what it gained.
        value = macro_auc(scores[chosen, everyone], positive)
        if value < lowest:
            best, lowest = chosen.copy(), value
    return WorstCase(best, scores[best, everyone], lowest)


def _worth(
    options: NDArray[Any], positive: NDArray[np.bool_], others: NDArray[Any], others_positive: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """What each of ``options`` (sets, k, classes) of k recordings takes from the macro AUC, (sets, k), up to a factor:
    the share of opponents passed over the recording's own side, summed over classes. A tie is half a pass."""
    worth = np.zeros(options.shape[:2])
    for column in range(options.shape[2]):
        for side in (False, True):
            own = positive[:, column] == side
            opponents = np.sort(others[others_positive[:, column] != side, column])
            together = len(others) - len(opponents)
            if not own.any() or not len(opponents):
                continue
            mine = options[:, own, column]
            below = np.searchsorted(opponents, mine, "left") + np.searchsorted(opponents, mine, "right")
            passed = below / (2 * len(opponents))
            worth[:, own] += (1 - passed if side else passed) / together
    return worth
