"""The scikit-learn estimators behind the built-in classical systems: one function each, called with a seed and options.

They stand apart from the table of systems, so that a line more in it fits none of them again.
"""

from __future__ import annotations

from typing import Any

from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier


def decision_tree(seed: int, max_depth: int = 6, min_samples_leaf: int = 20) -> DecisionTreeClassifier:
    """CART, one tree for all labels."""
    return DecisionTreeClassifier(max_depth=max_depth, min_samples_leaf=min_samples_leaf, random_state=seed)


def random_forest(
    seed: int, trees: int = 100, max_depth: int = 8, min_samples_leaf: int = 3, class_weight: str | None = None
) -> RandomForestClassifier:
    """Breiman's forest, each tree for all labels."""
    return RandomForestClassifier(
        trees, max_depth=max_depth, min_samples_leaf=min_samples_leaf, class_weight=class_weight, random_state=seed
    )


def logistic_regression(seed: int, C: float = 0.03, class_weight: str | None = None) -> Any:
    """One L2-regularised logistic regression a label, on standardised features."""
    one = LogisticRegression(C=C, max_iter=3000, class_weight=class_weight, random_state=seed)
    return make_pipeline(StandardScaler(), OneVsRestClassifier(one))
