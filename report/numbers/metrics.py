"""What a decision costs: accuracy, F1, precision, recall, specificity, calibration error, and recordings flipped.

In come the scores of one artifact on one signal set, the labels, and the rules by which its model decides; out come the
numbers of one row. Rules come from validation recordings or from nowhere: a number whose threshold is not known is NaN
here and empty in a row, never one from a threshold that was fitted to the recordings it is judged on.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulseproof.bench.wire.schema import ArtifactEntry, TaskEntry
from pulseproof.core.scores import are_probabilities

BINS = 15  # of the calibration error
SPECIFICITIES = ("0.90", "0.95")  # at which a sensitivity is given: keys of specificity_thresholds
NAN = float("nan")


@dataclass(frozen=True)
class Rules:
    """How an artifact decides. ``exclusive``: for the class of the highest score. Else for every class whose score is
    at least its threshold: ``thresholds`` (classes,), None where none are known. ``at_specificity``: thresholds
    (classes,) by the specificity that they had on validation recordings."""

    exclusive: bool
    thresholds: tuple[float, ...] | None
    at_specificity: dict[str, tuple[float, ...]]


@dataclass(frozen=True)
class Metrics:
    """All between 0 and 1, NaN where not known. Means are over the classes that have a positive and a negative
    recording, the same as those of the macro AUC, where nothing else is said; NaN where no class has both.

    ``accuracy``: recordings with every class decided right; ``label_accuracy``: decisions that are right, over all
    classes. ``f1``, ``precision`` (0 of a class that is never decided for), ``recall``, ``specificity``: of these
    decisions. ``sensitivity_90``, ``sensitivity_95``: recall at the thresholds that had this specificity on validation
    recordings. ``calibration_error``: :func:`calibration_error`. ``flipped``: recordings that are decided otherwise
    than in their clean form.
    """

    accuracy: float = NAN
    label_accuracy: float = NAN
    f1: float = NAN
    precision: float = NAN
    recall: float = NAN
    specificity: float = NAN
    sensitivity_90: float = NAN
    sensitivity_95: float = NAN
    calibration_error: float = NAN
    flipped: float = NAN

    def as_array(self) -> NDArray[np.float64]:
        """float64 (metrics,), in the order of the fields."""
        return np.array(astuple(self), np.float64)


NAMES = tuple(each.name for each in fields(Metrics))


def rules_of(task: TaskEntry, artifact: ArtifactEntry) -> Rules:
    """The rules of an artifact: those of its model."""
    return Rules(task.exclusive, artifact.thresholds, dict(artifact.specificity_thresholds or {}))


def decisions(scores: NDArray[Any], rules: Rules) -> NDArray[np.bool_] | None:
    """What is decided for, bool (n, classes), of scores (n, classes); None in a task that needs thresholds and has
    none."""
    if rules.exclusive:
        decided = np.zeros(scores.shape, bool)
        decided[np.arange(len(scores)), scores.argmax(axis=1)] = True
        return decided
    return None if rules.thresholds is None else scores >= np.array(rules.thresholds, np.float32)


def flipped(decided: NDArray[np.bool_] | None, before: NDArray[np.bool_] | None) -> float:
    """The share of recordings of which any decision differs; NaN where one of both is not known."""
    if decided is None or before is None:
        return NAN
    return float((decided != before).any(axis=1).mean())


def metrics(scores: NDArray[Any], labels: NDArray[Any], rules: Rules, clean: NDArray[Any] | None = None) -> Metrics:
    """The metrics of ``scores`` (n, classes) by ``labels`` (n, classes) of 0 and 1. ``clean``: the scores of at least
    these n recordings in their clean form, of the same artifact; without them nothing is said of flips."""
    positive: NDArray[np.bool_] = labels.astype(bool)
    decided = decisions(scores, rules)
    both = positive.any(axis=0) & (~positive).any(axis=0)  # the classes of the macro AUC
    found: dict[str, float] = {}
    if decided is not None:
        right = decided == positive
        hits = (decided & positive).sum(axis=0)
        said, true = decided.sum(axis=0), positive.sum(axis=0)
        found = {
            "accuracy": float(right.all(axis=1).mean()),
            "label_accuracy": float(right.mean()),
            "f1": _mean(2 * hits / np.maximum(said + true, 1), both),
            "precision": _mean(hits / np.maximum(said, 1), both),
            "recall": _mean(hits / np.maximum(true, 1), both),
            "specificity": _mean((~decided & ~positive).sum(axis=0) / np.maximum((~positive).sum(axis=0), 1), both),
        }
    for name, at in zip(("sensitivity_90", "sensitivity_95"), SPECIFICITIES, strict=True):
        if at in rules.at_specificity:
            hits = ((scores >= np.array(rules.at_specificity[at], np.float32)) & positive).sum(axis=0)
            found[name] = _mean(hits / np.maximum(positive.sum(axis=0), 1), both)
    if clean is not None:
        found["flipped"] = flipped(decided, decisions(clean[: len(scores)], rules))
        # Whether scores are probabilities or logits is the artifact's, so it is read off its clean scores alone.
        found["calibration_error"] = calibration_error(probabilities(scores, clean), labels)
    return Metrics(**found)


@dataclass(frozen=True)
class ClassDecisions:
    """What :class:`Metrics` are the means of, float64 (classes,) each: sensitivity and specificity of the decisions and
    the calibration error. NaN where not known: without a threshold, or without a recording of that side."""

    sensitivity: NDArray[np.float64]
    specificity: NDArray[np.float64]
    calibration_error: NDArray[np.float64]


def class_decisions(
    scores: NDArray[Any], labels: NDArray[Any], rules: Rules, clean: NDArray[Any] | None
) -> ClassDecisions:
    """Of ``scores`` (n, classes) by ``labels`` (n, classes); ``clean`` as in :func:`metrics`, without which nothing is
    said of calibration."""
    positive: NDArray[np.bool_] = labels.astype(bool)
    decided, empty = decisions(scores, rules), np.full(positive.shape[1], NAN)
    errors = empty if clean is None else calibration_errors(probabilities(scores, clean), labels)
    if decided is None:
        return ClassDecisions(empty, empty, errors)
    return ClassDecisions(_share(decided & positive, positive), _share(~decided & ~positive, ~positive), errors)


def probabilities(scores: NDArray[Any], clean: NDArray[Any]) -> NDArray[np.float64]:
    """The scores as probabilities: as they are where all ``clean`` scores of the artifact lie within 0 and 1 (by a
    hair), else taken for logits, through the logistic function. That the loss made them logits of each class is
    assumed, not known."""
    scores = np.asarray(scores, np.float64)
    if are_probabilities(clean):
        return np.clip(scores, 0, 1)
    return 0.5 * (1 + np.tanh(scores / 2))  # the logistic function, without an overflow


def calibration_error(probability: NDArray[np.float64], labels: NDArray[Any]) -> float:
    """The expected calibration error: the mean over classes of that of each class, 15 bins of equal mass (Nguyen and
    O'Connor 2015): the distance of the mean probability of a bin from the share of positives in it, weighted by its
    recordings. Recordings of equal probability share a bin, so their order does not matter. It is never quite 0 on few
    recordings, also of a perfect model."""
    return float(np.mean(calibration_errors(probability, labels)))


def calibration_errors(probability: NDArray[np.float64], labels: NDArray[Any]) -> NDArray[np.float64]:
    """That of each class, float64 (classes,)."""
    errors = []
    for column, truth in zip(probability.T, labels.astype(np.float64).T, strict=True):
        rank = np.searchsorted(np.sort(column), column)
        bins = rank * BINS // len(column)
        apart = np.bincount(bins, column - truth, minlength=BINS)
        errors.append(np.abs(apart).sum() / len(column))
    return np.array(errors)


def _share(some: NDArray[np.bool_], of: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Of each column, how many of ``of`` are among ``some``; NaN where there is none."""
    count = of.sum(axis=0)
    return np.where(count > 0, some.sum(axis=0) / np.maximum(count, 1), NAN)


def _mean(values: NDArray[Any], of: Any) -> float:
    return float(values[of].mean()) if of.any() else NAN
