"""Decision trees, forests and boosted trees as one set of arrays, and as a torch module that walks them.

In: a fitted scikit-learn tree, forest or boosted ensemble, or one of these a class (OneVsRest, MultiOutput), with or
without scalers in front. Out: :class:`TreeArrays`, from which the exporters write their files, and :class:`TreeWalk`,
float32 features ``(n, count)`` to scores ``(n, classes)`` equal to scikit-learn's probabilities (trees, forests) or
logits (boosted trees). A step has no gradient: the module says ``differentiable = False``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.tree import DecisionTreeClassifier
from torch import Tensor, nn

from pulseproof.models.lone_label import constant_of, is_constant
from pulseproof.models.scalers import raw_thresholds

FORESTS = (RandomForestClassifier, ExtraTreesClassifier)
BOOSTED = (GradientBoostingClassifier, HistGradientBoostingClassifier)
TREES = (DecisionTreeClassifier, *FORESTS, *BOOSTED)
PER_CLASS = (OneVsRestClassifier, MultiOutputClassifier)


class NotTreesError(ValueError):
    """The estimator cannot be said as trees. The message is the reason, a half-sentence."""


@dataclass(frozen=True)
class Tree:
    """One tree. ``feature`` int64, ``threshold`` float64, ``left``, ``right`` int64, all (nodes,), root first: go to
    ``left`` if value <= threshold, else ``right``; a leaf points to itself on both sides. ``value`` float64 (nodes,
    classes): what a leaf adds to the score of each class.

    Raises ValueError when the nodes are no tree: a file from a stranger must not send a walk in circles.
    """

    feature: NDArray[np.int64]
    threshold: NDArray[np.float64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    value: NDArray[np.float64]

    def __post_init__(self) -> None:
        own = np.arange(len(self.left))
        inner = self.left != own
        children = np.concatenate([self.left[inner], self.right[inner]])
        # scikit-learn puts a child behind its parent: then no walk can come back.
        behind = (self.left[inner] > own[inner]).all() and (self.right[inner] > own[inner]).all()
        if not len(own) or not behind or (self.right != own)[~inner].any() or (children >= len(own)).any():
            raise ValueError("its nodes are not a tree")
        if self.feature.min() < 0:
            raise ValueError("a node of a tree asks for a feature below 0")

    @property
    def depth(self) -> int:
        """Steps after which every walk is at a leaf."""
        depth, nodes = 0, np.zeros(1, np.int64)
        while len(nodes := nodes[self.left[nodes] != nodes]):
            nodes = np.concatenate([self.left[nodes], self.right[nodes]])
            depth += 1
        return depth


@dataclass(frozen=True)
class TreeArrays:
    """All nodes of all trees, one after the other; ``roots[t]`` is where tree t begins.

    ``feature`` int64 (nodes,); ``threshold`` float32 (nodes,): go to ``left`` if value <= threshold, else ``right``
    (int64 (nodes,)); a leaf points to itself on both sides. ``value`` float32 (nodes, classes): what a leaf adds to
    each class's score: its probability already divided by the number of trees, or its part of the logit (then the
    leaves of the first tree hold the bias as well). ``depth``: steps after which every walk is at a leaf.
    """

    roots: NDArray[np.int64]
    feature: NDArray[np.int64]
    threshold: NDArray[np.float32]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    value: NDArray[np.float32]
    depth: int

    @property
    def leaf(self) -> NDArray[np.bool_]:
        """Which nodes are leaves."""
        return self.left == np.arange(len(self.left))


def tree_arrays(estimator: Any, scalers: Sequence[Any] = (), alone: bool = False) -> TreeArrays:
    """Arrays of a fitted estimator that :func:`is_trees` knows, behind fitted ``scalers`` (may be none).

    ``alone``: the task has one class, and only its score is wanted, not that of its absence as well. Every walk goes as
    scikit-learn's own on float32 features (:func:`models.scalers.raw_thresholds`). Raises NotTreesError where an
    estimator of that kind holds what trees here cannot say, such as categorical splits.
    """
    if isinstance(estimator, PER_CLASS):
        members, classes = estimator.estimators_, len(estimator.estimators_)
        if len({_gives_logits(member) for member in members}) > 1:
            raise NotTreesError("a class that has only one label in its training data has no logit")
        trees = [_in_column(tree, column, classes) for column, one in enumerate(members) for tree in _trees(one, False)]
    else:
        trees = _trees(estimator, not alone)
    roots = np.cumsum([0, *(len(tree.left) for tree in trees)])[:-1]
    feature = np.concatenate([tree.feature for tree in trees])
    threshold = np.concatenate([tree.threshold for tree in trees])
    left, right = (
        np.concatenate([getattr(tree, side) + root for tree, root in zip(trees, roots, strict=True)])
        for side in ("left", "right")
    )
    if feature.max() >= estimator.n_features_in_:
        raise ValueError("a node of a tree asks for a feature that is not there")
    inner = left != np.arange(len(left))
    limits = np.zeros(len(left), np.float32)
    limits[inner] = raw_thresholds(feature[inner], threshold[inner], scalers, int(estimator.n_features_in_))
    return TreeArrays(
        roots=roots.astype(np.int64),
        feature=feature.astype(np.int64),
        threshold=limits,
        left=left.astype(np.int64),
        right=right.astype(np.int64),
        value=np.concatenate([tree.value for tree in trees]).astype(np.float32),
        depth=max(tree.depth for tree in trees),
    )


def is_trees(estimator: Any) -> bool:
    """True for a tree, a forest, boosted trees, and for one of these a class."""
    members = estimator.estimators_ if isinstance(estimator, PER_CLASS) else [estimator]
    constant = [is_constant(member) for member in members]
    return not all(constant) and all(
        isinstance(member, TREES) or one for member, one in zip(members, constant, strict=True)
    )


def decision_threshold(estimator: Any) -> float:
    """The score above which :class:`TreeWalk` decides for a class: 0.5 for probabilities, 0 for logits."""
    members = estimator.estimators_ if isinstance(estimator, PER_CLASS) else [estimator]
    return 0.0 if _gives_logits(members[0]) else 0.5


def _gives_logits(estimator: Any) -> bool:
    return isinstance(estimator, BOOSTED)


def _trees(estimator: Any, alone: bool) -> list[Tree]:
    """The trees of one estimator. ``value`` has a column a class, or (not ``alone``) one, that of a positive."""
    if is_constant(estimator):
        return [_leaf(np.array([constant_of(estimator)], np.float64))]
    if isinstance(estimator, BOOSTED):
        return _boosted(estimator, alone)
    members = estimator.estimators_ if isinstance(estimator, FORESTS) else [estimator]
    return [_cart(member.tree_, _shares(member.tree_.value, estimator, alone) / len(members)) for member in members]


def _cart(tree: Any, value: NDArray[np.float64]) -> Tree:
    own = np.arange(tree.node_count)
    leaf = tree.children_left < 0
    return Tree(
        np.where(leaf, 0, tree.feature),
        np.where(leaf, 0.0, tree.threshold),
        np.where(leaf, own, tree.children_left),
        np.where(leaf, own, tree.children_right),
        value,
    )


def _shares(value: NDArray[np.float64], estimator: Any, alone: bool) -> NDArray[np.float64]:
    """``tree_.value`` (nodes, outputs, labels) to probabilities (nodes, classes).

    A tree of several outputs gives the probability of a 1 in each; a tree of one output that stands ``alone`` gives
    that of each label, else that of a 1. An output that has only one label in the training data has one column less;
    its share is that label.
    """
    several = isinstance(estimator.classes_, list)
    if alone and not several:
        return np.asarray(value[:, 0] / value[:, 0].sum(axis=1, keepdims=True))
    shares = []
    for output, labels in enumerate(estimator.classes_ if several else [estimator.classes_]):
        counts = value[:, output, : len(labels)]
        positive = counts[:, list(labels).index(1)] if 1 in labels else np.zeros(len(counts))
        shares.append(positive / counts.sum(axis=1))
    return np.stack(shares, axis=1)


def _boosted(estimator: Any, alone: bool) -> list[Tree]:
    """Every tree adds to one logit. What the ensemble starts from is added to the leaves of the first tree."""
    if len(estimator.classes_) < 2:
        raise NotTreesError("a class that has only one label in its training data has no logit")
    if isinstance(estimator, HistGradientBoostingClassifier):
        if estimator.is_categorical_ is not None:
            raise NotTreesError("it has categorical splits, and a feature of a recording is a number")
        rounds = [[_histogram(tree.nodes) for tree in one] for one in estimator._predictors]
    else:
        if not (estimator.init_ == "zero" or type(estimator.init_).__name__ == "DummyClassifier"):
            raise NotTreesError("it starts from another estimator (init) that depends on the features")
        rate = estimator.learning_rate
        rounds = [
            [_cart(tree.tree_, rate * tree.tree_.value[:, 0, :1]) for tree in one] for one in estimator.estimators_
        ]
    columns = len(rounds[0])
    if max(int(tree.feature.max()) for one in rounds for tree in one) >= estimator.n_features_in_:
        raise ValueError("a node of a tree asks for a feature that is not there")  # its C code would read beyond
    trees = [_in_column(tree, column, columns) for one in rounds for column, tree in enumerate(one)]
    nowhere = np.zeros((1, estimator.n_features_in_))
    start = np.ravel(estimator.decision_function(nowhere)) - sum(_value_at(tree, nowhere[0]) for tree in trees)
    first = trees[0]
    trees[0] = Tree(first.feature, first.threshold, first.left, first.right, first.value + start)
    if columns == 1 and alone:  # two classes: the logit of the second is that of the first, negated
        both = [(tree, np.concatenate([-tree.value, tree.value], axis=1)) for tree in trees]
        return [Tree(tree.feature, tree.threshold, tree.left, tree.right, value) for tree, value in both]
    return trees


def _histogram(nodes: NDArray[Any]) -> Tree:
    """A tree of HistGradientBoosting, from its predictor's nodes."""
    own, leaf = np.arange(len(nodes)), nodes["is_leaf"].astype(bool)
    if nodes["is_categorical"].any():
        raise NotTreesError("it has categorical splits, and a feature of a recording is a number")
    return Tree(
        np.where(leaf, 0, nodes["feature_idx"]),
        np.where(leaf, 0.0, nodes["num_threshold"]),
        np.where(leaf, own, nodes["left"].astype(np.int64)),
        np.where(leaf, own, nodes["right"].astype(np.int64)),
        nodes["value"][:, None].astype(np.float64),
    )


def _leaf(value: NDArray[np.float64]) -> Tree:
    """A tree that gives the same to every recording."""
    nothing = np.zeros(1, np.int64)
    return Tree(nothing, np.zeros(1), nothing, nothing, value[None])


def _in_column(tree: Tree, column: int, columns: int) -> Tree:
    """The same tree, its one value a node in one column of many."""
    value = np.zeros((len(tree.left), columns))
    value[:, column] = tree.value[:, 0]
    return Tree(tree.feature, tree.threshold, tree.left, tree.right, value)


def _value_at(tree: Tree, features: NDArray[np.float64]) -> NDArray[np.float64]:
    """What one tree says of one recording, (classes,)."""
    node = 0
    while tree.left[node] != node:
        node = tree.left[node] if features[tree.feature[node]] <= tree.threshold[node] else tree.right[node]
    return np.asarray(tree.value[node])


class TreeWalk(nn.Module):
    """Walk all trees at once: ``depth`` times, each recording steps to the left or right node of each tree.

    ``threshold``: the score above which a class is decided for, 0.5 for probabilities and 0 for logits.
    """

    differentiable = False
    roots: Tensor
    feature: Tensor
    limit: Tensor
    left: Tensor
    right: Tensor
    value: Tensor

    def __init__(self, arrays: TreeArrays, threshold: float = 0.5) -> None:
        super().__init__()
        self.arrays = arrays
        self.depth = arrays.depth
        self.threshold = threshold
        self.register_buffer("roots", torch.from_numpy(arrays.roots))
        self.register_buffer("feature", torch.from_numpy(arrays.feature))
        self.register_buffer("limit", torch.from_numpy(arrays.threshold))
        self.register_buffer("left", torch.from_numpy(arrays.left))
        self.register_buffer("right", torch.from_numpy(arrays.right))
        self.register_buffer("value", torch.from_numpy(arrays.value))

    def forward(self, features: Tensor) -> Tensor:
        node = self.roots.unsqueeze(0).expand(features.shape[0], -1)
        for _ in range(self.depth):
            seen = features.gather(1, self.feature[node])
            node = torch.where(seen <= self.limit[node], self.left[node], self.right[node])
        return self.value[node].sum(dim=1)
