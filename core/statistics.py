"""AUC with its uncertainty: percentile bootstrap over patients, for one set of scores or a paired difference.

In come scores ``(n, classes)``, labels ``(n, classes)`` and the patient of each recording; out come macro AUCs, one a
resample, and 95 % intervals. Patients, not recordings, are drawn with replacement and bring all their recordings along
(Field and Welsh 2007, "Bootstrapping clustered data"), because recordings of one heart are not independent.

A resample is a vector of patient counts, and the AUC of a resample is the AUC with those counts as weights: nothing is
copied or sorted again. The same counts serve every artifact and signal set, so that any two of them can be compared in
pairs. A class that has lost its positives or its negatives in a resample is left out of that resample's macro average;
where no class is left the resample is NaN and is left out of the interval.

Counts are small whole numbers, so that sums of them, and of their halves at ties, are exact in float32; the AUCs equal
those of scikit-learn on repeated recordings to the last digits of a division. All work is on arrays whose last axis are
the resamples, ``BLOCK`` of them at a time, which stay in a core's cache (``pulseproof perf statistics``).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulseproof.runtime.auc import macro_auc

Floats = NDArray[np.floating[Any]]
LEVEL = 0.95
BLOCK = 1024  # resamples at a time
HALVINGS = 6  # of the thresholds, before those that are left are summed one after the other
EXACT = 2.0**23  # up to here float32 holds every half


@dataclass(frozen=True)
class Resamples:
    """Patients drawn with replacement. ``rows`` intp (n,) is the patient's row of each recording, ``counts`` float32
    (patients, resamples) how often each was drawn: small whole numbers, whose sums float32 holds exactly up to 2^23
    recordings."""

    rows: NDArray[np.intp]
    counts: NDArray[np.float32]

    @cached_property
    def blocks(self) -> list[NDArray[np.float32]]:
        """``counts`` in blocks of at most ``BLOCK`` resamples, each contiguous."""
        starts = range(0, self.counts.shape[1], BLOCK)
        return [np.ascontiguousarray(self.counts[:, start : start + BLOCK]) for start in starts]


@dataclass(frozen=True)
class Interval:
    """An estimate on all recordings and its 95 % percentile interval; NaN where it is not defined."""

    estimate: float
    low: float
    high: float


def draw_resamples(patients: NDArray[Any], count: int, seed: int) -> Resamples:
    """Draw ``count`` resamples of the patients in ``patients`` (n,), as many patients as there are.

    One patient alone says nothing about other patients: the counts are then 0, and with them every interval NaN.
    """
    distinct, rows = np.unique(patients, return_inverse=True)
    if len(distinct) < 2:
        return Resamples(rows, np.zeros((len(distinct), count), np.float32))
    generator = np.random.default_rng(seed)
    counts = np.empty((len(distinct), count), np.float32)
    for column in range(count):
        drawn = generator.integers(0, len(distinct), len(distinct))
        counts[:, column] = np.bincount(drawn, minlength=len(distinct))
    return Resamples(rows, counts)


def weighted_auc(scores: Floats, positive: NDArray[np.bool_], resamples: Resamples) -> NDArray[np.float64]:
    """The AUC of one class in every resample, float64 (resamples,); NaN where it has no positives or no negatives.

    ``scores`` (n,), ``positive`` bool (n,). The AUC is the Mann-Whitney statistic, a tie counts one half (Hanley and
    McNeil 1982), and equals that of the recordings repeated as often as they were drawn.
    """
    if 2 * np.count_nonzero(positive) > len(positive):  # the thresholds are the scores of the rarer side
        return 1 - weighted_auc(scores, ~positive, resamples)
    from scipy import sparse  # late: a table whose intervals are all kept needs none of it

    distinct, threshold = np.unique(scores[positive], return_inverse=True)
    # Between two thresholds all negatives count alike, so each resample needs only the weight in every gap. A negative
    # tied with a threshold goes half below it and half above it.
    others, rows = scores[~positive], resamples.rows[~positive]
    below, above = (np.searchsorted(distinct, others, side) for side in ("left", "right"))
    tied = below != above
    weights = np.where(tied, np.float32(0.5), np.float32(1))
    parts = 2**HALVINGS
    shape = (-(-(len(distinct) + 1) // parts) * parts, len(resamples.counts))  # gaps, up to a multiple of the parts
    gap, row = np.concatenate([below, above[tied]]), np.concatenate([rows, rows[tied]])
    negatives = sparse.csr_array((np.concatenate([weights, weights[tied]]), (gap, row)), shape)
    ones = np.ones(len(threshold), np.float32)
    positives = sparse.csr_array((ones, (threshold, resamples.rows[positive])), shape)
    return np.concatenate([_auc_of(negatives @ counts, positives @ counts) for counts in resamples.blocks])


def _auc_of(negatives: NDArray[np.float32], positives: NDArray[np.float32]) -> NDArray[np.float64]:
    """The AUC of every resample from the weight of the negatives in each gap and of the positives at the threshold that
    ends it, both (gaps, resamples) and both overwritten.

    A positive has won against the negatives of its own gap and of all below. Those below are met pair by pair of
    neighbours, which are then added up: that takes as many steps as there are gaps, and no running sum, which would
    write as much again.
    """
    pairs = negatives.sum(axis=0).astype(np.float64) * positives.sum(axis=0)
    dtype = np.float32 if pairs.max(initial=0) <= EXACT else np.float64
    won = np.einsum("gr,gr->r", negatives, positives, dtype=dtype).astype(np.float64)
    for _ in range(HALVINGS):
        won += np.einsum("gr,gr->r", negatives[::2], positives[1::2], dtype=dtype)
        for weights in (negatives, positives):
            weights[::2] += weights[1::2]
        negatives, positives = negatives[::2], positives[::2]
    lower = np.cumsum(negatives[:-1], axis=0, dtype=np.float64)
    won += np.einsum("gr,gr->r", lower, positives[1:], dtype=np.float64)
    return np.divide(won, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)


def resampled_aucs(scores: Floats, labels: NDArray[Any], resamples: Resamples) -> NDArray[np.float64]:
    """The one-vs-rest AUC of each class in every resample, float64 (classes, resamples); NaN where a class has lost one
    side. ``scores`` and ``labels`` (n, classes)."""
    if scores.shape != labels.shape or not np.isfinite(scores).all():
        raise ValueError(f"scores {scores.shape} must be finite and of the shape of the labels {labels.shape}")
    positive = labels.astype(bool)
    return np.stack([weighted_auc(scores[:, k], positive[:, k], resamples) for k in range(labels.shape[1])])


def macro(by_class: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean over the classes that are defined, float64 (resamples,), of (classes, resamples); NaN where none is."""
    defined = np.isfinite(by_class)
    total = np.where(defined, by_class, 0).sum(axis=0)
    return np.divide(total, defined.sum(axis=0), out=np.full(total.shape, np.nan), where=defined.any(axis=0))


def resampled_macro_auc(scores: Floats, labels: NDArray[Any], resamples: Resamples) -> NDArray[np.float64]:
    """The macro one-vs-rest AUC in every resample, float64 (resamples,). ``scores`` and ``labels`` (n, classes)."""
    return macro(resampled_aucs(scores, labels, resamples))


def percentiles(values: NDArray[np.float64], level: float = LEVEL) -> tuple[float, float]:
    """The percentile interval of bootstrap values, those that are NaN left out; NaN when none is left."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return float("nan"), float("nan")
    low, high = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def interval(
    scores: Floats, labels: NDArray[Any], patients: NDArray[Any], *, count: int = 1000, seed: int = 1
) -> Interval:
    """Macro AUC of ``scores`` (n, classes) with its 95 % interval from ``count`` resamples of the patients."""
    resampled = resampled_macro_auc(scores, labels, draw_resamples(patients, count, seed))
    return Interval(macro_auc(scores, labels), *percentiles(resampled))


def difference(
    scores_a: Floats,
    scores_b: Floats,
    labels: NDArray[Any],
    patients: NDArray[Any],
    *,
    count: int = 1000,
    seed: int = 1,
) -> Interval:
    """Macro AUC of ``scores_a`` minus that of ``scores_b``, both (n, classes) on the same recordings, in pairs.

    Both are resampled with the same patients, so what they share cancels: the interval is that of the difference, and
    narrower than two separate intervals suggest.
    """
    resamples = draw_resamples(patients, count, seed)
    resampled = resampled_macro_auc(scores_a, labels, resamples) - resampled_macro_auc(scores_b, labels, resamples)
    return Interval(macro_auc(scores_a, labels) - macro_auc(scores_b, labels), *percentiles(resampled))
