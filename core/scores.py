"""What scores say of themselves: whether they are probabilities, numbers at all, and tell one recording from another.

In: scores ``(n, classes)``. Out: one answer, the same for every room that decides by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Join = Literal["mean", "max"]  # of the scores of a recording's windows
# Float32 arithmetic leaves a probability some steps of 6e-8 outside [0, 1]: a softmax as exp(x - log(sum)), a forest as
# a sum of shares, a half float or an int8 zero point turned back.
HAIR = 1e-6
# Values that differ by no more than this share of the largest are one value, computed twice.
ROUNDING = 1e-6


def are_probabilities(scores: NDArray[Any]) -> bool:
    """True when all scores lie in [0, 1], by a hair: logits of many recordings do not. Scores that are not finite say
    nothing; without any that is, False."""
    values = np.asarray(scores)
    values = values[np.isfinite(values)]
    return bool(len(values)) and bool(values.min() >= -HAIR) and bool(values.max() <= 1 + HAIR)


def listed(names: Sequence[str]) -> str:
    """Some names for a sentence, at most three."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def not_finite(
    scores: NDArray[Any], ids: Sequence[str] | NDArray[np.str_] = (), kind: str = "recordings"
) -> str | None:
    """``2 of 24 recordings (100, 101)``: those of ``scores`` (n, classes) that are not finite, by the database's own
    ``ids`` of the rows where they are known; None where all are."""
    strange = np.flatnonzero(~np.isfinite(scores).all(axis=1))
    if not len(strange):
        return None
    which = f" ({listed([str(ids[at]) for at in strange.tolist()])})" if len(ids) == len(scores) else ""
    return f"{len(strange)} of {len(scores)} {kind}{which}"


def constant_classes(scores: NDArray[Any]) -> NDArray[np.bool_]:
    """bool (classes,): which classes get the same score, up to rounding, in all of ``scores`` (n, classes). One
    recording alone tells nothing of this: then none is."""
    values = np.asarray(scores, np.float64)
    if len(values) < 2:
        return np.zeros(values.shape[1], bool)
    range_ = values.max(axis=0) - values.min(axis=0)
    return np.asarray(range_ <= ROUNDING * np.abs(values).max(axis=0))


def class_spreads(scores: NDArray[Any]) -> NDArray[np.float64]:
    """float64 (classes,): the standard deviation over the recordings of each class's scores (n, classes)."""
    return np.asarray(np.asarray(scores, np.float64).std(axis=0))


def join_scores(scores: NDArray[Any], wholes: NDArray[np.integer[Any]], how: Join) -> NDArray[Any]:
    """(recordings, classes) in the type of ``scores``: the mean or the largest of the windows' of each recording.
    ``scores`` (windows, classes); ``wholes`` (windows,): which recording each is of, those of one side by side."""
    starts = starts_of(wholes)
    if how == "max":
        return np.maximum.reduceat(scores, starts, axis=0)
    counts = np.diff(np.append(starts, len(wholes)))[:, None]
    return (np.add.reduceat(scores, starts, axis=0, dtype=np.float64) / counts).astype(scores.dtype)


def starts_of(wholes: NDArray[np.integer[Any]]) -> NDArray[np.intp]:
    """Where each recording's first window stands."""
    return np.flatnonzero(np.diff(wholes, prepend=wholes[:1] - 1))
