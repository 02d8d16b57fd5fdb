"""Bounds of a tree's or a forest's scores: which leaves any signal in a box of features can reach.

In: an ONNX file whose features end in one TreeEnsembleRegressor (:mod:`export.tree_files`). Out: the twin of its
features, and the trees, which turn bounds of features into bounds of scores. Of one tree they are exact for the box
(Chen et al. 2019, "Robustness Verification of Tree-based Models", arXiv 1906.03849, section 3): a branch is open where
the box holds a value on its side, and the score lies between the least and the largest of the leaves that are left.
Of a forest each tree has its own least, so the sum is a bound. Nothing else is lost but what the features' own bounds
lose.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulseproof.certify.proved import ScoreBounds
from pulseproof.core.errors import InputError
from pulseproof.models.hardened.ends import UNIT, gamma
from pulseproof.twins import NotCoveredError, open_twin
from pulseproof.twins.program import Twin

KIND = "TreeEnsembleRegressor"
BATCH = 16


@dataclass(frozen=True)
class Trees:
    """All nodes of all trees. ``levels``: the inner nodes of each depth, roots first; ``feature``, ``threshold``,
    ``left``, ``right`` (nodes,): left where the feature is at most the threshold. ``leaves`` in the order of their
    trees, whose first leaf stands at ``starts``; ``value`` float64 (leaves, classes)."""

    levels: tuple[NDArray[np.intp], ...]
    roots: NDArray[np.intp]
    feature: NDArray[np.intp]
    threshold: NDArray[np.float32]
    left: NDArray[np.intp]
    right: NDArray[np.intp]
    leaves: NDArray[np.intp]
    starts: NDArray[np.intp]
    value: NDArray[np.float64]

    def bounds(self, features: ScoreBounds) -> ScoreBounds:
        """Bounds of the scores (n, classes) from those of the features (n, count)."""
        lower = np.nan_to_num(features.lower, nan=-np.inf, posinf=np.inf, neginf=-np.inf)
        upper = np.nan_to_num(features.upper, nan=np.inf, posinf=np.inf, neginf=-np.inf)
        parts = [self._some(lower[at : at + BATCH], upper[at : at + BATCH]) for at in range(0, len(lower), BATCH)]
        return ScoreBounds(np.concatenate([low for low, _ in parts]), np.concatenate([high for _, high in parts]))

    def _some(
        self, lower: NDArray[np.float64], upper: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        reached = np.zeros((len(lower), len(self.feature)), bool)
        reached[:, self.roots] = True
        for nodes in self.levels:
            feature, threshold = self.feature[nodes], self.threshold[nodes]
            reached[:, self.left[nodes]] = reached[:, nodes] & (lower[:, feature] <= threshold)
            reached[:, self.right[nodes]] = reached[:, nodes] & (upper[:, feature] > threshold)
        open_leaves = reached[:, self.leaves, None]
        lows, highs = (
            function.reduceat(np.where(open_leaves, self.value, none), self.starts, axis=1)
            for function, none in ((np.minimum, np.inf), (np.maximum, -np.inf))
        )
        # An engine adds the trees up in float32, in whatever order.
        margin = gamma(len(self.roots) + 1, UNIT) * np.maximum(np.abs(lows), np.abs(highs)).sum(axis=1)
        return lows.sum(axis=1) - margin, highs.sum(axis=1) + margin


def read_trees(path: Path) -> tuple[Twin, Trees] | None:
    """The twin of a file's features, which gives them in place of scores, and its trees; None where it has none.

    Raises NotCoveredError for trees of another kind, and InputError for a damaged file.
    """
    if path.suffix != ".onnx":
        return None
    import onnx

    try:
        model = onnx.load(path)
    except Exception as error:  # protobuf's own types
        raise InputError(f"{path}: not a readable ONNX file ({type(error).__name__})", "export it again") from None
    found = [node for node in model.graph.node if node.op_type == KIND]
    if not found:
        return None
    (node, *others), wanted = found, model.graph.output[0].name
    told = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
    modes = set(told.get("nodes_modes", ()))
    plain = told.get("aggregate_function", b"SUM") == b"SUM" and told.get("post_transform", b"NONE") == b"NONE"
    if others or list(node.output) != [wanted] or not plain or not modes <= {b"LEAF", b"BRANCH_LEQ"}:
        raise NotCoveredError(f"operator {KIND} is covered alone, as a sum, at the end, with branches by 'at most'")
    if told.get("base_values"):
        raise NotCoveredError(f"operator {KIND} with base values is not covered")
    model.graph.node.remove(node)
    del model.graph.output[:]
    model.graph.output.append(onnx.helper.make_tensor_value_info(node.input[0], onnx.TensorProto.FLOAT, None))
    with tempfile.TemporaryDirectory() as folder:
        features = Path(folder) / "features.onnx"
        onnx.save(model, features)
        return open_twin(features), _trees(told)


def _trees(told: dict[str, Any]) -> Trees:
    """The arrays of the operator's attributes."""
    trees, within = (np.asarray(told[f"nodes_{what}"], np.intp) for what in ("treeids", "nodeids"))
    place = {pair: at for at, pair in enumerate(zip(trees.tolist(), within.tolist(), strict=True))}
    leaf = np.array([mode == b"LEAF" for mode in told["nodes_modes"]])

    def child(side: str) -> NDArray[np.intp]:
        pairs = zip(trees.tolist(), told[f"nodes_{side}nodeids"], strict=True)
        return np.array([0 if end else place[pair] for end, pair in zip(leaf, pairs, strict=True)], np.intp)

    left, right = child("true"), child("false")
    inner = np.flatnonzero(~leaf)
    roots = np.setdiff1d(np.arange(len(leaf)), np.concatenate([left[inner], right[inner]]))
    levels, nodes = [], roots[~leaf[roots]]
    while len(nodes):
        levels.append(nodes)
        if len(levels) > len(leaf):
            raise NotCoveredError(f"operator {KIND} with branches in a circle is not covered")
        below = np.concatenate([left[nodes], right[nodes]])
        nodes = below[~leaf[below]]
    leaves = np.flatnonzero(leaf)
    leaves = leaves[np.argsort(trees[leaves], kind="stable")]
    value = np.zeros((len(leaf), int(told["n_targets"])))
    for tree, node, target, weight in zip(
        told["target_treeids"], told["target_nodeids"], told["target_ids"], told["target_weights"], strict=True
    ):
        value[place[tree, node], target] += weight
    starts = np.searchsorted(trees[leaves], np.unique(trees[leaves]))
    return Trees(
        levels=tuple(levels),
        roots=roots,
        feature=np.asarray(told["nodes_featureids"], np.intp),
        threshold=np.asarray(told["nodes_values"], np.float32),
        left=left,
        right=right,
        leaves=leaves,
        starts=starts,
        value=value[leaves],
    )
