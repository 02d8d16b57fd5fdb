"""The paper's row for a trained system: accuracy, macro AUC, F1, precision, recall, and where each comes from.

In: labels uint8 ``(n, classes)`` and scores float32 ``(n, classes)``; thresholds come from validation recordings, never
from the test side. Published rows are in :data:`PUBLISHED`, percent, from ECG-Lens (arXiv 2604.15822), PTB-XL.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.auc import macro_auc

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
    """``accuracy``: share of recordings whose highest score is one of their labels (the paper does not define its
    own). ``auc``: macro one-vs-rest. ``f1``, ``precision``, ``recall``: macro over classes at the thresholds that
    maximise each class's F1 on validation recordings. All between 0 and 1; ``n`` recordings."""

    n: int
    accuracy: float
    auc: float
    f1: float
    precision: float
    recall: float


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


def paper_row(labels: Labels, scores: Scores, thresholds: NDArray[np.float32]) -> PaperRow:
    """The row of one system on one set of recordings."""
    said = scores >= thresholds
    true = (said & (labels == 1)).sum(axis=0)
    precision = true / np.maximum(said.sum(axis=0), 1)
    recall = true / np.maximum(labels.sum(axis=0), 1)
    f1 = 2 * true / np.maximum(said.sum(axis=0) + labels.sum(axis=0), 1)
    top = labels[np.arange(len(labels)), scores.argmax(axis=1)]
    return PaperRow(
        n=len(labels),
        accuracy=float(top.mean()),
        auc=float(macro_auc(scores, labels)),
        f1=float(f1.mean()),
        precision=float(precision.mean()),
        recall=float(recall.mean()),
    )


def paper_cells(metrics: Mapping[str, Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Heads and lines of the paper's table, test side: ours in percent, the published value in parentheses where
    the task is the paper's (PTB-XL, 12 leads)."""
    known = any(found["published"] for found in metrics.values())
    heads = ["model", "n", *(("macro AUC" if name == "auc" else name) + " (paper)" * known for name in FIGURES)]
    lines = []
    for model, found in metrics.items():
        published = PUBLISHED.get(model, {}) if found["published"] else {}
        row = found["test"]
        theirs = ["-" if published.get(name) is None else str(published[name]) for name in FIGURES]
        ours = [f"{100 * row[name]:.1f}" + f" ({said})" * known for name, said in zip(FIGURES, theirs, strict=True)]
        lines.append([model, f"{row['n']:,}", *ours])
    return heads, lines


def paper_table(metrics: Mapping[str, Mapping[str, Any]]) -> str:
    """The paper's table in Markdown."""
    heads, lines = paper_cells(metrics)
    text = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    text += ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join(text) + "\n"
