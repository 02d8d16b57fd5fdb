"""Decision trees and forests as one set of arrays, and as a torch module that walks them.

In: a fitted scikit-learn tree or forest whose target is ``(n, classes)`` of 0 and 1. Out: :class:`TreeArrays`, from
which the exporters write their files, and :class:`TreeWalk`, float32 features ``(n, count)`` to scores ``(n, classes)``
equal to scikit-learn's probabilities. A step has no gradient: the module says ``differentiable = False``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


@dataclass(frozen=True)
class TreeArrays:
    """All nodes of all trees, one after the other; ``roots[t]`` is where tree t begins.

    ``feature`` int64 (nodes,); ``threshold`` float32 (nodes,): go to ``left`` if value <= threshold, else ``right``
    (int64 (nodes,)); a leaf points to itself on both sides. ``value`` float32 (nodes, classes): probability of each
    class at a leaf, already divided by the number of trees. ``depth``: steps after which every walk is at a leaf.
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


def tree_arrays(estimator: Any) -> TreeArrays:
    """Arrays of a fitted ``DecisionTreeClassifier``, ``RandomForestClassifier`` or ``ExtraTreesClassifier``.

    scikit-learn compares float32 features with float64 thresholds. For a float32 value v, ``v <= t`` equals
    ``v <= t32`` when t32 is t rounded to float32 toward minus infinity, so no walk changes.
    """
    members = getattr(estimator, "estimators_", None) or [estimator]
    columns: dict[str, list[NDArray[Any]]] = {key: [] for key in ("feature", "threshold", "left", "right", "value")}
    roots, offset, depth = [], 0, 0
    for member in members:
        tree = member.tree_
        own = np.arange(tree.node_count)
        leaf = tree.children_left < 0
        columns["feature"].append(np.where(leaf, 0, tree.feature))
        columns["threshold"].append(np.where(leaf, np.float32(0), _round_down(tree.threshold)))
        columns["left"].append(np.where(leaf, own, tree.children_left) + offset)
        columns["right"].append(np.where(leaf, own, tree.children_right) + offset)
        columns["value"].append(_positive_share(tree.value, member) / len(members))
        roots.append(offset)
        offset += tree.node_count
        depth = max(depth, int(tree.max_depth))
    joined = {key: np.concatenate(parts) for key, parts in columns.items()}
    return TreeArrays(
        roots=np.array(roots, np.int64),
        feature=joined["feature"].astype(np.int64),
        threshold=joined["threshold"].astype(np.float32),
        left=joined["left"].astype(np.int64),
        right=joined["right"].astype(np.int64),
        value=joined["value"].astype(np.float32),
        depth=depth,
    )


def _round_down(values: NDArray[np.float64]) -> NDArray[np.float32]:
    rounded = values.astype(np.float32)
    return np.where(rounded > values, np.nextafter(rounded, np.float32(-np.inf)), rounded).astype(np.float32)


def _positive_share(value: NDArray[np.float64], member: Any) -> NDArray[np.float64]:
    """``tree_.value`` (nodes, outputs, 2) to the probability of a 1 for every output, (nodes, outputs).

    An output that has only one label in the training data has one column less; its share is that label.
    """
    known = member.classes_ if isinstance(member.classes_, list) else [member.classes_]
    shares = []
    for output, labels in enumerate(known):
        counts = value[:, output, : len(labels)]
        positive = counts[:, list(labels).index(1)] if 1 in labels else np.zeros(len(counts))
        shares.append(positive / counts.sum(axis=1))
    return np.stack(shares, axis=1)


class TreeWalk(nn.Module):
    """Walk all trees at once: ``depth`` times, each recording steps to the left or right node of each tree."""

    differentiable = False
    roots: Tensor
    feature: Tensor
    threshold: Tensor
    left: Tensor
    right: Tensor
    value: Tensor

    def __init__(self, arrays: TreeArrays) -> None:
        super().__init__()
        self.arrays = arrays
        self.depth = arrays.depth
        self.register_buffer("roots", torch.from_numpy(arrays.roots))
        self.register_buffer("feature", torch.from_numpy(arrays.feature))
        self.register_buffer("threshold", torch.from_numpy(arrays.threshold))
        self.register_buffer("left", torch.from_numpy(arrays.left))
        self.register_buffer("right", torch.from_numpy(arrays.right))
        self.register_buffer("value", torch.from_numpy(arrays.value))

    def forward(self, features: Tensor) -> Tensor:
        node = self.roots.unsqueeze(0).expand(features.shape[0], -1)
        for _ in range(self.depth):
            seen = features.gather(1, self.feature[node])
            node = torch.where(seen <= self.threshold[node], self.left[node], self.right[node])
        return self.value[node].sum(dim=1)
