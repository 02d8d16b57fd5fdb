"""The area under the ROC curve, by ranks, on numpy alone.

In come scores and one-vs-rest labels, out comes one number. It is the Mann-Whitney statistic: the share of (positive,
negative) pairs in which the positive recording has the higher score, a tie counting one half (Hanley and McNeil,
Radiology 143, 1982). Only the order of the scores matters, so logits and probabilities give the same value.
"""

from __future__ import annotations

import numpy as np


def auc(scores: np.ndarray, labels: np.ndarray) -> float:
    """Return the AUC of ``scores`` (n,) for ``labels`` (n,) of 0 and 1; NaN when one of the two is missing.

    Raises ``ValueError`` when a score is NaN, since it has no rank.
    """
    scores = np.asarray(scores)
    positive = np.asarray(labels) != 0
    if scores.ndim != 1 or scores.shape != positive.shape:
        raise ValueError(f"scores {scores.shape} and labels {positive.shape} must be one vector each, of one length")
    if np.isnan(scores).any():
        raise ValueError("a score is NaN and has no rank")
    positives = int(positive.sum())
    negatives = len(positive) - positives
    if positives == 0 or negatives == 0:
        return float("nan")
    _, value, count = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = np.cumsum(count) - (count - 1) / 2  # of each distinct value, from 1: tied scores share their mean rank
    above = ranks[value.reshape(-1)][positive].sum() - positives * (positives + 1) / 2
    return float(above / (positives * negatives))


def macro_auc(scores: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean AUC over the classes of ``scores`` (n, classes), ``labels`` (n, classes).

    A class that has no positive or no negative recording has no AUC and is left out of the mean; NaN when that leaves
    none. So it equals scikit-learn's ``roc_auc_score(average="macro")`` wherever that one is defined.
    """
    scores, labels = np.asarray(scores), np.asarray(labels)
    if scores.ndim != 2 or scores.shape != labels.shape:
        raise ValueError(f"scores {scores.shape} and labels {labels.shape} must both be (n, classes)")
    values = [auc(scores[:, column], labels[:, column]) for column in range(scores.shape[1])]
    defined = [value for value in values if not np.isnan(value)]
    return float(np.mean(defined)) if defined else float("nan")
