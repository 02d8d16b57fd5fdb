"""A deployed file of trees with a gradient: the file's own features, its own trees, and these softened.

In: an ``.onnx`` file that ends in one TreeEnsembleRegressor, or a ``.tflite`` file whose trees step down by gathers, as
:mod:`export.tree_files` writes both; what stands before may be quantized. Out: a
:class:`~models.classical.FeatureModel`: the twin of the graph before the trees (:mod:`twins`), and a walk over the
trees that the file holds, which :mod:`attacks.soft_trees` softens. So an attack on a file goes through the very
features that it computes, rounded where it rounds.

The walk is held against the engine before it is used. A sum in another order moves a feature by its last digit, and one
that lies so near a limit takes the other branch, so recordings are counted as the export gate counts them.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pulseproof.core import engines
from pulseproof.models.classical import FeatureModel
from pulseproof.models.trees import Tree, TreeArrays, TreeWalk
from pulseproof.runtime.auc import macro_auc
from pulseproof.twins import NotCoveredError, open_twin
from pulseproof.twins.exact import unit_of
from pulseproof.twins.gate import AUC

MOST_NODES = 1 << 22
MOVED = 0.01  # share of recordings that may take another leaf: that of export.gate.bounds.STEPS
TABLES = ("feature", "left", "right", "threshold", "value", "roots")


@dataclass(frozen=True)
class HeldTrees:
    """``moved``: the share of recordings whose scores are not the engine's; ``reason``: why the walk does not hold."""

    moved: float
    reason: str | None


def trees_of(file: Path) -> FeatureModel | None:
    """The file as features and a walk; None for one that does not end in trees. Raises NotCoveredError for trees of
    another kind, and for features that have an operator without a twin."""
    with tempfile.TemporaryDirectory(prefix="pulseproof-") as folder:
        before = Path(folder, f"features{file.suffix}")
        arrays = (_from_onnx if file.suffix == ".onnx" else _from_tflite)(file, before)
        if arrays is None:
            return None
        features = open_twin(before)
        with torch.no_grad():
            count = features(torch.zeros(1, *features.shape)).shape[1:]
    if len(count) != 1 or int(arrays.feature.max()) >= count[0]:
        raise NotCoveredError("trees that ask for a feature that is not there are not covered")
    return FeatureModel(features, TreeWalk(arrays)).eval()


def held_trees(walk: FeatureModel, file: Path, signals: Tensor, labels: NDArray[Any]) -> HeldTrees:
    """``walk`` beside the engine on recordings (k, leads, samples) mV with their labels (k, classes)."""
    engine = engines.engines_of(file.suffix[1:])[0]
    theirs = engines.score(file, signals.numpy(), engine)
    with torch.no_grad():
        own = torch.cat([walk(part) for part in signals.split(64)]).numpy()
    moved = float((np.abs(own - theirs) > unit_of(None, theirs)).any(axis=1).mean())
    if not moved <= MOVED:
        return HeldTrees(moved, f"its trees take other branches than on {engine} for {moved:.1%} of the recordings")
    change = macro_auc(own, labels) - macro_auc(theirs, labels)
    if abs(change) > AUC:
        return HeldTrees(moved, f"its AUC differs from that on {engine} by {change:+.4f}")
    return HeldTrees(moved, None)


def _from_onnx(file: Path, before: Path) -> TreeArrays | None:
    import onnx

    from pulseproof.models.front.onnx_front import keep_output
    from pulseproof.twins.onnx.format import load_plain

    model = load_plain(file)
    graph = model.graph
    nodes = [node for node in graph.node if node.op_type == "TreeEnsembleRegressor"]
    if len(nodes) != 1 or len(graph.output) != 1 or nodes[0].output[0] != graph.output[0].name:
        return None
    (node,) = nodes
    arrays = _ensemble({one.name: onnx.helper.get_attribute_value(one) for one in node.attribute})
    graph.node.remove(node)
    del graph.output[:]
    graph.output.append(onnx.helper.make_tensor_value_info(node.input[0], onnx.TensorProto.FLOAT, None))
    keep_output(model, node.input[0])
    onnx.save(model, before)
    return arrays


def _ensemble(said: dict[str, Any]) -> TreeArrays:
    """The trees of a TreeEnsembleRegressor's attributes (ai.onnx.ml 3)."""
    plain = (
        said.get("aggregate_function", b"SUM") == b"SUM"
        and said.get("post_transform", b"NONE") == b"NONE"
        and not said.get("base_values")
        and set(said["nodes_modes"]) <= {b"BRANCH_LEQ", b"LEAF"}
    )
    tree = np.array(said["nodes_treeids"], np.int64)
    roots = np.flatnonzero(np.diff(tree, prepend=-1))
    places = np.arange(len(tree))
    start = roots[np.searchsorted(roots, places, side="right") - 1]
    if not plain or len(tree) > MOST_NODES or (np.array(said["nodes_nodeids"]) != places - start).any():
        raise NotCoveredError("operator TreeEnsembleRegressor is covered as a sum of trees with their nodes in order")
    leaf = np.array([mode == b"LEAF" for mode in said["nodes_modes"]])
    left, right = (
        np.where(leaf, places, start + np.array(said[f"nodes_{side}nodeids"], np.int64)) for side in ("true", "false")
    )
    value = np.zeros((len(tree), int(said["n_targets"])), np.float32)
    first = {int(number): int(at) for number, at in zip(tree[roots], roots, strict=True)}
    at = [first[one] + node for one, node in zip(said["target_treeids"], said["target_nodeids"], strict=True)]
    np.add.at(value, (at, said["target_ids"]), said["target_weights"])
    limits = np.array(said["nodes_values"], np.float32)
    return _checked(roots, np.array(said["nodes_featureids"], np.int64), limits, left, right, value)


def _from_tflite(file: Path, before: Path) -> TreeArrays | None:
    from pulseproof.export.tflite.flatbuffer import Graph

    graph = Graph.open(file)
    named = {graph.name(at): at for at in range(len(graph.graph.tensors))}
    tables = {name: named.get(f"tree.{name}") for name in TABLES}
    steps = list(graph.steps())
    place = next((at for at, step in enumerate(steps) if graph.name(step[3][0]) == "features.flat"), None)
    if place is None or any(at is None or not graph.is_constant(at) for at in tables.values()):
        return None
    held = {name: np.array(graph.values(at)) for name, at in tables.items() if at is not None}
    if not held["roots"].size or not held["left"].size:
        raise NotCoveredError("trees are covered in a .tflite file that was written here")
    held["value"] = held["value"].reshape(len(held["left"]), -1)
    graph.graph.outputs = [steps[place][2][0]]
    graph.graph.operators = list(graph.graph.operators)[:place]
    graph.prune()
    graph.write(before)
    places = np.arange(len(held["left"]))
    roots = held["roots"].astype(np.int64)
    if len(places) > MOST_NODES or roots[:1].tolist() != [0] or (np.diff(roots) <= 0).any() or roots[-1] >= len(places):
        raise NotCoveredError("trees are covered in a .tflite file that was written here")
    whole = [held[name].astype(np.int64) for name in ("feature", "left", "right")]
    return _checked(roots, whole[0], held["threshold"], whole[1], whole[2], held["value"])


def _checked(roots: Any, feature: Any, threshold: Any, left: Any, right: Any, value: Any) -> TreeArrays:
    """Raises NotCoveredError for nodes that are no trees: a file may come from a stranger."""
    ends = [*roots[1:].tolist(), len(left)]
    try:
        trees = [
            Tree(feature[a:b], threshold[a:b].astype(np.float64), left[a:b] - a, right[a:b] - a, value[a:b])
            for a, b in zip(roots.tolist(), ends, strict=True)
        ]
    except (ValueError, IndexError) as error:
        raise NotCoveredError(f"trees of which {error} are not covered") from None
    depth = max(tree.depth for tree in trees)
    return TreeArrays(roots, feature, threshold.astype(np.float32), left, right, value.astype(np.float32), depth)
