"""A class that has one label only in the training data: what scikit-learn puts there, and what is kept of it.

In: a fitted estimator of one estimator a class. Out: the same, its predictors of one answer replaced where a linear
model can say the same. scikit-learn's own is a private type, which is nobody's to keep, and which gives 0 as a
decision value as well as a probability.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import Pipeline

LOG_ODDS = 10.0  # of a class that was always or never there: a probability within 5e-5 of 1 or 0


def is_constant(member: Any) -> bool:
    """True for what OneVsRestClassifier puts in place of a classifier where a class has one label only."""
    return hasattr(member, "y_") and not isinstance(member, ClassifierMixin)


def constant_of(member: Any) -> int:
    """The label, 0 or 1, that a constant member gives."""
    return int(np.ravel(member.y_)[0])


def without_constants(estimator: Any) -> Any:
    """The estimator (or a pipeline that ends in one), in which a logistic regression without weight stands for each
    constant member among logistic regressions. It is changed in place, and returned."""
    last = estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator
    if not isinstance(last, OneVsRestClassifier) or not hasattr(last, "estimators_"):
        return estimator
    real = [member for member in last.estimators_ if not is_constant(member)]
    if all(isinstance(member, LogisticRegression) for member in real) and isinstance(
        last.estimator, LogisticRegression
    ):
        counts = [getattr(member, "n_features_in_", None) for member in last.estimators_]
        count = next((int(each) for each in counts if each is not None), None)
        if count is not None:
            last.estimators_ = [
                _weightless(constant_of(member), count) if is_constant(member) else member
                for member in last.estimators_
            ]
    return estimator


def _weightless(label: int, features: int) -> LogisticRegression:
    made = LogisticRegression()
    made.classes_, made.n_features_in_ = np.array([0, 1]), features
    made.coef_, made.intercept_ = np.zeros((1, features)), np.array([LOG_ODDS if label else -LOG_ODDS])
    made.n_iter_ = np.zeros(1, np.int32)
    return made
