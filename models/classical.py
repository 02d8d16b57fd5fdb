"""Classical systems: features, a fitted scikit-learn estimator, and the torch module that says the same.

In: recordings and a :class:`~models.systems.System` with an estimator. Out: an estimator kept as skops (nothing is ever
unpickled) and :class:`FeatureModel`, features and head in one module, which the exporters and the attacks use.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import skops.io
import torch
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from torch import Tensor, nn

from core.errors import InputError
from models.features import Features
from models.trees import TreeWalk, tree_arrays
from runtime.files import replacing

TREES = (DecisionTreeClassifier, RandomForestClassifier, ExtraTreesClassifier)
# scikit-learn's compiled parts that skops does not trust by itself, name by name: a prefix would also let in whatever
# its modules import (sklearn.datasets._base.urlretrieve).
TRUSTED = (
    "sklearn.tree._tree.Tree",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
)


class Logistic(nn.Module):
    """Standardise the features, then one linear layer: logits ``(n, classes)``."""

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
    """An estimator that no exporter knows: it can be scored here, and nowhere else."""

    differentiable = False

    def __init__(self, estimator: Any) -> None:
        super().__init__()
        self.estimator = estimator

    def forward(self, features: Tensor) -> Tensor:
        return torch.from_numpy(probabilities(self.estimator, features.numpy()))


class FeatureModel(nn.Module):
    """Raw millivolts to scores through :class:`~models.features.Features` and a head."""

    def __init__(self, features: Features, head: nn.Module) -> None:
        super().__init__()
        self.features = features
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


def head_of(estimator: Any) -> nn.Module:
    """The torch module that gives the scores of a fitted estimator."""
    if isinstance(estimator, TREES):
        return TreeWalk(tree_arrays(estimator))
    scaler, linear = None, estimator
    if isinstance(estimator, Pipeline) and len(estimator.steps) == 2 and isinstance(estimator[0], StandardScaler):
        scaler, linear = estimator[0], estimator[1]
    members = linear.estimators_ if isinstance(linear, OneVsRestClassifier) else [linear]
    if not all(isinstance(member, LogisticRegression) and member.coef_.shape[0] == 1 for member in members):
        return PythonHead(estimator)
    head = Logistic(members[0].coef_.shape[1], len(members))
    with torch.no_grad():
        head.linear.weight.copy_(torch.tensor(np.concatenate([member.coef_ for member in members])))
        head.linear.bias.copy_(torch.tensor(np.concatenate([member.intercept_ for member in members])))
        if scaler is not None:
            head.mean.copy_(torch.tensor(scaler.mean_))
            head.scale.copy_(torch.tensor(1 / scaler.scale_))
    return head


def probabilities(estimator: Any, features: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 (n, classes): the probability of each label, whichever of scikit-learn's two forms it has."""
    given = estimator.predict_proba(features)
    if isinstance(given, list):
        columns = [
            part[:, list(known).index(1)] if 1 in known else np.zeros(len(part))
            for part, known in zip(given, estimator.classes_, strict=True)
        ]
        given = np.stack(columns, axis=1)
    return np.asarray(given, np.float32)


def save_estimator(estimator: Any, path: Path) -> None:
    """Write a fitted estimator as skops."""
    with replacing(path) as temporary:
        skops.io.dump(estimator, temporary)
        load_estimator(temporary)  # what could not be read back must not be kept


def load_estimator(path: Path) -> Any:
    """Read a fitted estimator. A file that asks for a type outside scikit-learn's own is refused, not run."""
    try:
        asked = skops.io.get_untrusted_types(file=path)
    except Exception as error:  # skops raises many types on a damaged zip; all mean the same here
        raise InputError(f"{path}: not a readable skops file ({error})", "train the model again") from None
    strange = [name for name in asked if name not in TRUSTED]
    if strange:
        raise InputError(
            f"{path}: holds types that are not trusted: {', '.join(strange)}",
            "only estimators made of scikit-learn's own classes can be kept without unpickling",
        )
    return skops.io.load(path, trusted=asked)
