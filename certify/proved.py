"""What bounds of scores prove: a macro and per-class AUC, decisions, sensitivity and specificity.

In: :class:`ScoreBounds` of recordings with labels. Out: numbers that no disturbance within the budget brings
lower, of these recordings. Each positive recording of a class counts with the lowest score that it can get and each
negative one with the highest, all at once, so the AUC of those scores is a lower bound of every AUC that an attack on
them reaches, whatever it aims at. The interval over patients is that of any AUC: it says how it varies with the people,
not how sure the proof is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulseproof.core.statistics import Interval, Resamples, macro, percentiles, resampled_aucs
from pulseproof.runtime.auc import auc, macro_auc

FAR = 1e300  # stands for a score that has no bound


@dataclass(frozen=True)
class ScoreBounds:
    """``lower`` and ``upper``: float64 (n, classes), in the unit of the scores as the file gives them. Behind a sigmoid
    that is sure, scores that differ before it are one: an AUC is proved of what the file gives, ties included."""

    lower: NDArray[np.float64]
    upper: NDArray[np.float64]

    def outside(self, scores: NDArray[Any]) -> NDArray[np.bool_]:
        """bool (k,): which of the first k recordings have a score in ``scores`` (k, classes) outside of its bounds."""
        lower, upper = self.lower[: len(scores)], self.upper[: len(scores)]
        return np.asarray(((scores < lower) | (scores > upper)).any(axis=1))


@dataclass(frozen=True)
class Proof:
    """``auc`` is proved for these recordings, with the 95 % interval of that number over patients; ``class_aucs``
    likewise (NaN where a class lacks a side). ``decided``: share of recordings none of whose decisions can be changed;
    ``sensitivity``, ``specificity``: means over classes, at the thresholds that validation gave. NaN without
    thresholds."""

    auc: float
    auc_low: float
    auc_high: float
    class_aucs: tuple[Interval, ...]
    decided: float
    sensitivity: float
    specificity: float


def worst_ends(bounds: ScoreBounds, labels: NDArray[Any]) -> NDArray[np.float64]:
    """float64 (n, classes): the lowest score where the label is 1, the highest where it is 0."""
    lower = np.nan_to_num(bounds.lower, nan=-FAR, posinf=FAR, neginf=-FAR)
    upper = np.nan_to_num(bounds.upper, nan=FAR, posinf=FAR, neginf=-FAR)
    return np.asarray(np.where(labels != 0, lower, upper), np.float64)


def proved(
    bounds: ScoreBounds,
    labels: NDArray[Any],
    resamples: Resamples,
    thresholds: NDArray[np.float64] | None,
    exclusive: bool,
) -> Proof:
    """What the bounds of recordings with ``labels`` (n, classes) prove. ``thresholds`` (classes,), in the unit of the
    scores, decide each class; where the task is ``exclusive`` the highest score does."""
    scores = worst_ends(bounds, labels)
    drawn = resampled_aucs(scores, labels, resamples)
    low, high = percentiles(macro(drawn))
    aucs = tuple(Interval(auc(scores[:, k], labels[:, k]), *percentiles(drawn[k])) for k in range(labels.shape[1]))
    decided = sensitivity = specificity = float("nan")
    if exclusive:
        decided = float(_sure_of_highest(bounds).mean())
    if thresholds is not None:
        above, below = bounds.lower >= thresholds, bounds.upper < thresholds
        if not exclusive:
            decided = float((above | below).all(axis=1).mean())
        there = labels != 0
        sensitivity = _mean_share(above, there)
        specificity = _mean_share(below, ~there)
    return Proof(macro_auc(scores, labels), low, high, aucs, decided, sensitivity, specificity)


def _sure_of_highest(bounds: ScoreBounds) -> NDArray[np.bool_]:
    """bool (n,): one class's lowest score is above every other's highest."""
    n, classes = bounds.lower.shape
    best = bounds.lower.argmax(axis=1)
    others = np.where(np.arange(classes) == best[:, None], -np.inf, bounds.upper)
    return np.asarray(bounds.lower[np.arange(n), best] > others.max(axis=1))


def _mean_share(held: NDArray[np.bool_], there: NDArray[np.bool_]) -> float:
    """The mean over classes of the share of those that are ``there`` which are ``held``; NaN where none is there."""
    counts = there.sum(axis=0)
    shares = (held & there).sum(axis=0)[counts > 0] / counts[counts > 0]
    return float(shares.mean()) if len(shares) else float("nan")
