"""DeLong's variance of AUCs, a referee of the bootstrap: no resampling, where each recording is of another patient.

In come scores and labels of one class; out come AUCs with their covariance, 95 % intervals and the p-value of a
difference. DeLong et al. (Biometrics 44, 1988) give the covariance, Sun and Xu (IEEE Signal Processing Letters 21,
2014) its computation by midranks in O(n log n). Recordings are taken as independent: with several of a patient the
variance is too small, so no interval that is reported comes from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

from pulseproof.core.statistics import LEVEL, Interval


@dataclass(frozen=True)
class DeLong:
    """AUCs float64 (sets,) of several score vectors on the same recordings, and their covariance (sets, sets)."""

    aucs: NDArray[np.float64]
    covariance: NDArray[np.float64]


def delong(scores: NDArray[Any], positive: NDArray[np.bool_]) -> DeLong:
    """``scores`` (sets, n), larger means likelier, and ``positive`` bool (n,).

    Raises ValueError for other shapes, scores that are not finite, and fewer than two recordings of a side, which have
    no variance.
    """
    scores, positive = np.asarray(scores, np.float64), np.asarray(positive, bool)
    if scores.ndim != 2 or scores.shape[1:] != positive.shape or not np.isfinite(scores).all():
        raise ValueError(f"scores {scores.shape} must be finite and (sets, n), positive {positive.shape} (n,)")
    m, n = int(positive.sum()), int((~positive).sum())
    if min(m, n) < 2:
        raise ValueError(f"{m} positive and {n} negative recordings: a variance needs two of each side")
    together = rankdata(scores, axis=1)
    cases, controls = together[:, positive], together[:, ~positive]
    # The structural components: the share of controls below each case, and of cases above each control, ties half.
    of_cases = (cases - rankdata(scores[:, positive], axis=1)) / n
    of_controls = 1 - (controls - rankdata(scores[:, ~positive], axis=1)) / m
    covariance = np.atleast_2d(np.cov(of_cases)) / m + np.atleast_2d(np.cov(of_controls)) / n
    return DeLong(of_cases.mean(axis=1), covariance)


def delong_interval(scores: NDArray[Any], positive: NDArray[np.bool_]) -> Interval:
    """The AUC of ``scores`` (n,) and its 95 % interval by the normal distribution, cut at 0 and 1."""
    found = delong(np.asarray(scores)[np.newaxis], positive)
    auc, half = float(found.aucs[0]), float(norm.isf((1 - LEVEL) / 2) * np.sqrt(found.covariance[0, 0]))
    return Interval(auc, max(0.0, auc - half), min(1.0, auc + half))


def delong_difference(
    scores_a: NDArray[Any], scores_b: NDArray[Any], positive: NDArray[np.bool_]
) -> tuple[Interval, float]:
    """The AUC of ``scores_a`` minus that of ``scores_b``, both (n,) of the same recordings, with its 95 % interval, and
    the two-sided p-value of no difference (1 where the two rank all recordings alike)."""
    found = delong(np.stack([scores_a, scores_b]), positive)
    contrast = np.array([1.0, -1.0])
    estimate = float(contrast @ found.aucs)
    deviation = float(np.sqrt(max(0.0, contrast @ found.covariance @ contrast)))
    half = float(norm.isf((1 - LEVEL) / 2)) * deviation
    p = float(2 * norm.sf(abs(estimate) / deviation)) if deviation > 0 else float(estimate == 0)
    return Interval(estimate, estimate - half, estimate + half), p
