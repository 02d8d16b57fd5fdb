"""Classical systems: features, a fitted scikit-learn estimator, and the torch module that says the same.

In: an estimator that was fitted here or that somebody brought. Out: :class:`FeatureModel`, features and head in one
module, which the exporters and the attacks use. Its file is :mod:`models.brought.estimator_files`'.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from torch import Tensor, nn

from pulseproof.models.scalers import SCALERS, affine
from pulseproof.models.trees import PER_CLASS, NotTreesError, TreeWalk, decision_threshold, is_trees, tree_arrays

NO_EXPORTER = "trees, forests, boosted trees and logistic regressions have exporters"


class Logistic(nn.Module):
    """Standardise the features, then one linear layer: logits ``(n, classes)``."""

    threshold = 0.0
    mean: Tensor
    scale: Tensor

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))
        self.linear = nn.Linear(features, classes)

    def forward(self, features: Tensor) -> Tensor:
        return self.linear((features - self.mean) * self.scale)


class PythonHead(nn.Module):
    """An estimator that no exporter knows: it can be scored here, and nowhere else.

    ``reason`` says why; ``threshold``: the score above which a class is decided for; ``order``, ``alone``: see
    :func:`head_of`.
    """

    differentiable = False

    def __init__(
        self, estimator: Any, reason: str = NO_EXPORTER, order: Sequence[int] | None = None, alone: bool = False
    ) -> None:
        super().__init__()
        self.estimator = estimator
        self.reason = reason
        self.alone = alone
        self.order = None if order is None else list(order)
        self.threshold = 0.5 if hasattr(estimator, "predict_proba") else 0.0

    def forward(self, features: Tensor) -> Tensor:
        scores = probabilities(self.estimator, features.numpy(), self.alone)
        return torch.from_numpy(scores if self.order is None else scores[:, self.order])


class FeatureModel(nn.Module):
    """Raw millivolts to scores through ``features`` (:class:`~models.features.Features`, or ``nn.Flatten`` where the
    estimator takes the recording itself) and a head."""

    def __init__(self, features: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.features = features
        self.head = head

    @property
    def threshold(self) -> float:
        """The score above which a class is decided for: 0.5 for probabilities, 0 for logits."""
        return float(getattr(self.head, "threshold", 0.0))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


def head_of(estimator: Any, order: Sequence[int] | None = None, alone: bool = False) -> nn.Module:
    """The torch module that gives the scores of a fitted estimator: probabilities of trees and forests, logits of
    boosted trees and logistic regressions, and what the estimator itself gives where no exporter knows it.

    ``order``: which of the estimator's classes is the study's first, second and so on; default: they are the same.
    ``alone``: the study has one class, and only its score is wanted, not that of its absence as well.
    One estimator a class (OneVsRest) gives what each says, before they are made to sum to one; the class it would
    decide for is the same.
    """
    scalers, last = _parts(estimator)
    head: nn.Module | None = None
    reason = NO_EXPORTER
    if scalers is not None and is_trees(last):
        try:
            arrays = tree_arrays(last, scalers, alone)
            if order is not None:
                arrays = replace(arrays, value=np.ascontiguousarray(arrays.value[:, order]))
            head = TreeWalk(arrays, decision_threshold(last))
        except NotTreesError as error:
            reason = str(error)
    elif scalers is not None:
        head = _logistic(last, scalers, order, alone)
    return PythonHead(estimator, reason, order, alone) if head is None else head


def _parts(estimator: Any) -> tuple[list[Any] | None, Any]:
    """(scalers, what comes after them); (None, estimator) where something else stands in between."""
    if not isinstance(estimator, Pipeline):
        return [], estimator
    before = [step for _, step in estimator.steps[:-1] if step is not None and not isinstance(step, str)]
    return (before if all(isinstance(step, SCALERS) for step in before) else None), estimator.steps[-1][1]


def _logistic(
    estimator: Any, scalers: Sequence[Any], order: Sequence[int] | None, alone: bool = False
) -> Logistic | None:
    """A logistic regression a class, or one of all classes, behind scalers; None for anything else."""
    members = estimator.estimators_ if isinstance(estimator, PER_CLASS) else [estimator]
    if not all(isinstance(member, LogisticRegression) for member in members):
        return None
    weight = np.concatenate([member.coef_ for member in members])
    bias = np.concatenate([member.intercept_ for member in members])
    if isinstance(estimator, PER_CLASS):
        if len(weight) != len(members):
            return None
    elif len(weight) == 1 and not alone:  # two classes: the logit of the second is that of the first, negated
        weight, bias = np.concatenate([-weight, weight]), np.concatenate([-bias, bias])
    folded = affine(scalers, weight.shape[1])
    if folded is None:
        return None
    if order is not None:
        weight, bias = weight[order], bias[order]
    head = Logistic(weight.shape[1], len(weight))
    with torch.no_grad():
        head.linear.weight.copy_(torch.tensor(weight))
        head.linear.bias.copy_(torch.tensor(bias))
        head.mean.copy_(torch.tensor(folded[0]))
        head.scale.copy_(torch.tensor(folded[1]))
    return head


def probabilities(estimator: Any, features: NDArray[np.float32], alone: bool = False) -> NDArray[np.float32]:
    """float32 (n, classes): the probability of each label, whichever of scikit-learn's two forms it has; the decision
    value of each where the estimator has no probabilities. ``alone``: see :func:`head_of`."""
    if not hasattr(estimator, "predict_proba"):
        return decision_values(estimator, features, alone)
    given = estimator.predict_proba(features)
    if alone and not isinstance(given, list):
        known = list(estimator.classes_)  # a class that is always or never there has one label, and so one column
        given = given[:, -1:] if known[-1] != 0 else np.zeros((len(given), 1))
    if isinstance(given, list):
        columns = [
            part[:, list(known).index(1)] if 1 in known else np.zeros(len(part))
            for part, known in zip(given, estimator.classes_, strict=True)
        ]
        given = np.stack(columns, axis=1)
    return np.asarray(given, np.float32)


def decision_values(estimator: Any, features: NDArray[np.float32], alone: bool = False) -> NDArray[np.float32]:
    """float32 (n, classes): the decision value of each label. ``alone``: see :func:`head_of`."""
    values = np.asarray(estimator.decision_function(features), np.float32)
    if values.ndim == 2:
        return values
    return values[:, None] if alone else np.stack([-values, values], axis=1)
