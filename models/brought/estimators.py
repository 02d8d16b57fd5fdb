"""A scikit-learn estimator: fitted here, or brought fitted, and then what it is to be fed and which class is which.

In: an estimator and recordings, or the task. Out: the fitted estimator; for a brought one the module that feeds it
(features or the recording itself) with the estimator as its head, checked against the estimator's own answers. What is
wrong is an InputError that names the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import sklearn
import torch
from numpy.typing import NDArray
from sklearn.exceptions import NotFittedError
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.utils.validation import check_is_fitted
from torch import nn

from pulseproof.core.errors import InputError
from pulseproof.core.scores import not_finite
from pulseproof.core.study import ModelSpec
from pulseproof.ecg.recordings import Recordings
from pulseproof.models.classical import FeatureModel, PythonHead, decision_values, head_of, probabilities
from pulseproof.models.features import Features
from pulseproof.models.hardened.rounds import ROUNDS, attacked_values
from pulseproof.models.lone_label import without_constants
from pulseproof.models.systems import System, Task
from pulseproof.models.train import draw_weights, scores_of
from pulseproof.models.trees import PER_CLASS
from pulseproof.runtime.words import one_line

ROUNDING = 1e-4  # of a score, or of the largest score where that is above 1


def fit_estimator(
    name: str, system: System, spec: ModelSpec, recordings: Recordings, features: Features, seed: int
) -> Any:
    """The estimator of a system, fitted on the training side; with a defence, on what attacks make of it as well.
    Raises InputError when it cannot be."""
    rows = recordings.indices("train")
    values, labels = scores_of(features, recordings, rows), recordings.labels[rows]
    estimator = _fitted(name, system, spec, values, labels, seed, recordings.about.classes)
    if spec.defence is None:
        return estimator
    clean = labels
    for number in range(1, ROUNDS + 1):
        what, start = f"{name}, round {number} of {ROUNDS}", seed * 1009 + number
        given = (values, labels)
        more = attacked_values(estimator, features, recordings, rows, spec.defence, start, given, what)
        values, labels = np.concatenate([values, more]), np.concatenate([labels, clean])
        estimator = _fitted(name, system, spec, values, labels, seed, recordings.about.classes)
    return estimator


def _fitted(
    name: str,
    system: System,
    spec: ModelSpec,
    values: NDArray[np.float32],
    labels: NDArray[np.uint8],
    seed: int,
    classes: Sequence[str],
) -> Any:
    """The estimator of a system, fitted to ``values`` (n, features) and ``labels`` (n, classes)."""
    assert system.estimator is not None
    try:
        estimator = system.estimator(seed, **spec.options)
    except TypeError as error:
        raise InputError(
            f"[models.{name}]: cannot be built: {one_line(error)}",
            "options are the keywords of the system; an own estimator is called as callable(**options)",
        ) from None
    if spec.balanced:
        draw = np.random.default_rng(seed).choice(len(labels), len(labels), p=draw_weights(labels))
        values, labels = values[draw], labels[draw]
    alone = labels.shape[1] == 1
    try:
        estimator.fit(values, labels[:, 0] if alone and not isinstance(estimator, MultiOutputClassifier) else labels)
        estimator = without_constants(estimator)
        given = probabilities(estimator, values[:2], alone).shape
    except Exception as error:  # scikit-learn refuses in many ways what it was not made for
        both = labels.any(axis=0) & ~labels.astype(bool).all(axis=0)
        one_label = [classes[at] for at in np.flatnonzero(~both).tolist()]
        told = f" ({', '.join(one_label)} without a positive or without a negative one)" if one_label else ""
        raise InputError(
            f"[models.{name}]: cannot be fitted to labels (n, {labels.shape[1]}) of {len(labels)} training recordings"
            f"{told}: {type(error).__name__}: {one_line(error)}",
            "an estimator that takes one label at a time wants sklearn.multiclass.OneVsRestClassifier around it",
        ) from None
    if given != (len(values[:2]), labels.shape[1]):
        raise InputError(
            f"[models.{name}]: the estimator does not give one probability per label",
            "wrap it in sklearn.multiclass.OneVsRestClassifier or sklearn.multioutput.MultiOutputClassifier",
        )
    return estimator


def brought_model(estimator: Any, what: str, task: Task, segments: int) -> FeatureModel:
    """The module of a fitted estimator. ``what`` begins every message; ``segments``: see :mod:`models.features`.

    Raises InputError for an estimator that is not fitted, or was fitted on something else than this task.
    """
    try:
        check_is_fitted(estimator)
        count = int(estimator.n_features_in_)
    except (NotFittedError, TypeError, AttributeError) as error:
        raise InputError(
            f"{what}: not a fitted scikit-learn estimator ({str(error).splitlines()[0]})",
            "fit it before it is kept: trained = true and .skops files are taken as they are",
        ) from None
    if not (hasattr(estimator, "predict_proba") or hasattr(estimator, "decision_function")):
        raise InputError(
            f"{what}: {type(estimator).__name__} has neither predict_proba nor decision_function",
            "bring a classifier that says how likely each class is",
        )
    features = _feeding(count, what, task, segments)
    try:
        head = head_of(estimator, class_order(estimator, task.classes, what), len(task.classes) == 1)
    except ValueError as error:  # indices that do not fit, in a file that was tampered with
        raise InputError(f"{what}: damaged: {one_line(error)}", "fit and write it again") from None
    return FeatureModel(features, head)


def _feeding(count: int, what: str, task: Task, segments: int) -> nn.Module:
    """What gives the estimator its ``count`` numbers a recording."""
    features = Features(task.leads, task.samples, task.fs_hz, segments)
    if count == len(features.names):
        return features
    raw = len(task.leads) * task.samples
    if count == raw:
        return nn.Flatten()
    more, rest = divmod(count - len(features.names) + len(task.leads) * segments, len(task.leads))
    hint = f"; segments = {more} gives {count} features" if not rest and 0 < more <= 200 else ""
    raise InputError(
        f"{what}: takes {count} features; here are {len(features.names)} features a recording, or {raw} samples",
        f"fit it on models.features.Features of these recordings, or on them flattened, lead after lead{hint}",
    )


def class_order(estimator: Any, classes: Sequence[str], what: str) -> list[int] | None:
    """Which of the estimator's classes is the study's first, second and so on; None when they are the same.

    It may have an answer for each class (several labels at once), or one of as many classes as the study has, numbered
    0 to k - 1 in the study's order or called by the study's names. Raises InputError otherwise.
    """
    last = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
    known = getattr(last, "classes_", None)
    mend = f"fit it on labels (n, {len(classes)}) of 0 and 1, or on 0 to {len(classes) - 1} for {', '.join(classes)}"
    if isinstance(known, list):
        if len(known) != len(classes) or any(not set(labels.tolist()) <= {0, 1} for labels in map(np.asarray, known)):
            raise InputError(f"{what}: has {len(known)} outputs, the study {len(classes)} classes of 0 and 1", mend)
        return None
    if len(classes) == 1 and known is not None and len(known) == 2:
        labels = [str(label) for label in known]
        if labels != ["0", "1"] and labels[1] != classes[0]:
            raise InputError(f"{what}: its classes are {', '.join(labels)}, the study's {classes[0]}", mend)
        return None
    if known is None or len(known) != len(classes):
        has = "no classes_" if known is None else f"{len(known)} classes"
        raise InputError(f"{what}: has {has}, the study has {len(classes)}: {', '.join(classes)}", mend)
    if isinstance(last, PER_CLASS) and len(last.estimators_) != len(classes):
        raise InputError(f"{what}: holds {len(last.estimators_)} estimators for {len(classes)} classes", mend)
    names = [str(label) for label in known]
    if sorted(names) == sorted(classes):
        order = [names.index(name) for name in classes]
        return None if order == list(range(len(classes))) else order
    if not np.issubdtype(np.asarray(known).dtype, np.str_) and np.array_equal(known, np.arange(len(classes))):
        return None
    raise InputError(f"{what}: its classes are {', '.join(names)}, the study's {', '.join(classes)}", mend)


def check_model(
    model: FeatureModel,
    estimator: Any,
    what: str,
    classes: Sequence[str],
    signals: NDArray[np.float32],
    ids: Sequence[str] = (),
) -> None:
    """Hold the module's scores against the estimator's own on real recordings, float32 (k, leads, samples) mV, named
    ``ids`` (k,).

    Raises InputError when the estimator does not score them, or when the two differ.
    """
    order = class_order(estimator, classes, what)
    with torch.inference_mode():
        features = model.features(torch.from_numpy(signals))
        try:
            scores = model.head(features).numpy()
            own = (
                scores
                if isinstance(model.head, PythonHead)
                else _own_answers(estimator, features.numpy(), model.threshold, len(classes) == 1)
            )
        except Exception as error:  # scikit-learn refuses in many ways what it was not made for
            raise InputError(
                f"{what}: does not score real recordings: {type(error).__name__}: {one_line(error)}",
                "the estimator gets float32 features (n, count)",
            ) from None
    if scores.shape != (len(signals), len(classes)):
        raise InputError(
            f"{what}: gives scores {scores.shape[1:]} a recording, not ({len(classes)},)", "see the labels"
        )
    strange = not_finite(scores, ids)
    if strange:
        raise InputError(f"{what}: gives scores that are not finite for {strange}", "fit it again")
    if isinstance(model.head, PythonHead):
        return
    last = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
    if model.threshold == 0 and not hasattr(estimator, "decision_function"):
        scores = 1 / (1 + np.exp(-scores))
    elif model.threshold > 0 and isinstance(last, OneVsRestClassifier) and not last.multilabel_ and len(classes) > 1:
        scores = scores / np.maximum(scores.sum(axis=1, keepdims=True), 1e-12)  # as its predict_proba does
    own = own if order is None else own[:, order]
    if float(np.abs(scores - own).max()) > ROUNDING * max(1.0, float(np.abs(own).max())):
        raise InputError(
            f"{what}: the exporters read it as something else than scikit-learn {sklearn.__version__} does",
            "a defect of ours, please report it with the estimator's parameters",
        )


def _own_answers(estimator: Any, features: NDArray[np.float32], threshold: float, alone: bool) -> NDArray[np.float32]:
    """Where the threshold is that of logits and it has them its decision values, else its probabilities; (n, classes),
    the classes in its own order. ``alone``: see :func:`models.classical.head_of`."""
    if threshold > 0 or not hasattr(estimator, "decision_function"):
        return probabilities(estimator, features, alone)
    return decision_values(estimator, features, alone)
