"""Scores that sit at their own extremes: a sigmoid that is flat, or an int8 output that is cut off at its range.

In: the clean scores of what is attacked. Out: for each class the share of recordings whose score is exactly the lowest
or the highest of all, where at least five are. Between such recordings there is no ranking to lose and no gradient to
follow, so that an attack finds nothing where the model may be weak (Carlini and Wagner 2017, "Towards evaluating the
robustness of neural networks", on distilled networks). Trees answer in a few levels everywhere: that is no saturation.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

SATURATED = 0.05  # the share of clean recordings at one end of a class from which on its scores are called saturated
AT_LEAST = 5  # recordings at one end: fewer may be tied by chance where scores are rounded
IN_LEVELS = 0.5  # the share of tied recordings between the ends from which on a float model answers in levels


def at_the_ends(scores: NDArray[Any]) -> NDArray[np.float64]:
    """float64 (classes,): the share of recordings at the fuller end of each class, 0 where these are fewer than five.
    ``scores`` (n, classes), n > 0; a constant class is wholly at its end."""
    ends = np.stack([(scores == scores.min(axis=0)).sum(axis=0), (scores == scores.max(axis=0)).sum(axis=0)])
    fuller = ends.max(axis=0)
    return np.where(fuller >= AT_LEAST, fuller / len(scores), 0.0)


def in_levels(scores: NDArray[Any]) -> bool:
    """True for a model that answers in levels, as a tree does in the shares of its leaves: most recordings between the
    ends are tied with another one. ``scores`` (n, classes) are those of a file without rounding of its own."""
    tied = total = 0
    for column in scores.T:
        between = column[(column > column.min()) & (column < column.max())]
        _, counts = np.unique(between, return_counts=True)
        tied, total = tied + int(counts[counts > 1].sum()), total + len(between)
    return total > 0 and tied > IN_LEVELS * total
