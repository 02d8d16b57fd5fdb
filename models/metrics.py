"""The paper's row for a trained system: accuracy, macro AUC, F1, precision, recall, and where each comes from.

In: labels uint8 ``(n, classes)`` and scores float32 ``(n, classes)``; thresholds come from validation recordings, never
from the test side. What is not defined is None with a reason, never 0. Published rows are in :data:`PUBLISHED`,
percent, from ECG-Lens (arXiv 2604.15822), PTB-XL.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulseproof.core.markdown import markdown_table
from pulseproof.core.scores import listed, not_finite
from pulseproof.runtime.auc import macro_auc

Labels = NDArray[np.uint8]
Scores = NDArray[np.float32]

PUBLISHED: Mapping[str, Mapping[str, int | None]] = {
    "ecg-lens": {"accuracy": 80, "auc": 90, "f1": 78, "precision": 80, "recall": 76},
    "lstm": {"accuracy": 73, "auc": 87, "f1": 72, "precision": 78, "recall": 71},
    "cnn": {"accuracy": 71, "auc": 85, "f1": 69, "precision": 73, "recall": 66},
    "random-forest": {"accuracy": 54, "auc": 62, "f1": 23, "precision": 25, "recall": None},
    "decision-tree": {"accuracy": 52, "auc": 58, "f1": 22, "precision": None, "recall": None},
    "logistic-regression": {"accuracy": 40, "auc": 50, "f1": 21, "precision": 21, "recall": None},
}


FIGURES = ("accuracy", "auc", "f1", "precision", "recall")


@dataclass(frozen=True)
class PaperRow:
    """``accuracy``: share of recordings whose highest score is one of their labels (the paper does not define its own);
    in a task of one class, of those that are decided right. ``auc``: macro one-vs-rest. ``f1``, ``precision``,
    ``recall``: at the thresholds that maximise each class's F1 on validation recordings, macro over the same classes as
    the AUC: those that have a positive and a negative recording here, ``classes_defined`` of the task's ``classes``.
    All between 0 and 1, on ``n`` recordings; None where it is not defined, and then ``reason`` says why, or why
    ``classes_defined`` are fewer."""

    n: int
    accuracy: float | None
    auc: float | None
    f1: float | None
    precision: float | None
    recall: float | None
    classes: int
    classes_defined: int
    reason: str | None


def best_thresholds(labels: Labels, scores: Scores) -> NDArray[np.float32]:
    """(classes,): for each class the score at and above which its F1 is largest. Ties go to the lowest threshold."""
    thresholds = []
    for column in range(labels.shape[1]):
        order = np.argsort(-scores[:, column], kind="stable")
        ranked, hit = scores[order, column], labels[order, column]
        true = np.cumsum(hit)
        f1 = 2 * true / (np.arange(1, len(hit) + 1) + max(int(hit.sum()), 1))
        last_of_value = np.r_[ranked[1:] != ranked[:-1], True]  # a threshold cannot cut between equal scores
        thresholds.append(ranked[np.argmax(np.where(last_of_value, f1, -1.0))])
    return np.array(thresholds, np.float32)


SPECIFICITIES = ("0.90", "0.95")


def specificity_thresholds(labels: Labels, scores: Scores) -> dict[str, list[float]]:
    """By specificity, one of :data:`SPECIFICITIES`: for each class the lowest score at and above which no larger share
    of the negatives lies than it allows. A class without negatives has the lowest score there is."""
    found: dict[str, list[float]] = {}
    for at in SPECIFICITIES:
        found[at] = []
        for column in range(labels.shape[1]):
            negatives = np.sort(scores[labels[:, column] == 0, column])
            kept_out = int(np.ceil(float(at) * len(negatives) - 1e-9))  # so many negatives must stay below
            highest = (
                negatives[kept_out - 1] if kept_out else np.nextafter(scores[:, column].min(), np.float32(-np.inf))
            )
            found[at].append(float(np.nextafter(np.float32(highest), np.float32(np.inf))))
    return found


def paper_row(
    labels: Labels,
    scores: Scores,
    thresholds: NDArray[np.float32] | None,
    names: Sequence[str] = (),
    ids: Sequence[str] = (),
) -> PaperRow:
    """The row of one system on one set of recordings, whose ``ids`` and whose classes' ``names`` serve its reason.
    ``thresholds`` (classes,): None where validation recordings gave none; then nothing is known that needs one."""
    n, classes = labels.shape
    positive: NDArray[np.bool_] = labels.astype(bool)
    defined = positive.any(axis=0) & ~positive.all(axis=0)
    nothing = PaperRow(n, None, None, None, None, None, classes, int(defined.sum()), None)
    strange = not_finite(scores, ids)
    if strange:
        return replace(nothing, classes_defined=0, reason=f"scores that are not finite for {strange}")
    if thresholds is None:
        said, reason = None, "no thresholds: the scores of validation recordings are not finite"
    else:
        said, reason = scores >= thresholds, None
    if not defined.all():
        which = [names[at] if at < len(names) else f"class {at + 1}" for at in np.flatnonzero(~defined).tolist()]
        reason = f"{listed(which)} without a positive or without a negative recording, of {n}"
    found: dict[str, Any] = {}
    if defined.any():
        found["auc"] = float(macro_auc(scores, labels))
    if classes > 1:
        found["accuracy"] = float(positive[np.arange(n), scores.argmax(axis=1)].mean())
    elif said is not None:
        found["accuracy"] = float((said == positive).mean())
    if said is not None and defined.any():
        true, decided, there = (each.sum(axis=0)[defined] for each in (said & positive, said, positive))
        found["precision"] = float((true / np.maximum(decided, 1)).mean())
        found["recall"] = float((true / there).mean())
        found["f1"] = float((2 * true / (decided + there)).mean())
    return replace(nothing, reason=reason, **found)


def paper_cells(metrics: Mapping[str, Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Heads and lines of the paper's table, test side: ours in percent, the published value in parentheses where
    the task is the paper's (PTB-XL, 12 leads). What is not defined is a dash; a column says over how many classes the
    means are, where it is not all of them."""
    known = any(found["published"] for found in metrics.values())
    fewer = any(found["test"].get("reason") for found in metrics.values())
    heads = [
        "model",
        "n",
        *["classes"] * fewer,
        *(("macro AUC" if name == "auc" else name) + " (paper)" * known for name in FIGURES),
    ]
    lines = []
    for model, found in metrics.items():
        published = PUBLISHED.get(model, {}) if found["published"] else {}
        row = found["test"]
        theirs = ["-" if published.get(name) is None else str(published[name]) for name in FIGURES]
        ours = ["-" if row[name] is None else f"{100 * row[name]:.1f}" for name in FIGURES]
        cells = [one + f" ({said})" * known for one, said in zip(ours, theirs, strict=True)]
        over = [f"{row.get('classes_defined', '')} of {row.get('classes', '')}"] * fewer
        lines.append([model, f"{row['n']:,}", *over, *cells])
    return heads, lines


def paper_table(metrics: Mapping[str, Mapping[str, Any]]) -> str:
    """The paper's table in Markdown."""
    heads, lines = paper_cells(metrics)
    return markdown_table(heads, lines, left=len(heads)) + "\n"
