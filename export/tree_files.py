"""Files of a tree or a forest on features: the feature graph of a converter, and behind it the trees as they are.

In: a job whose module is a :class:`~models.classical.FeatureModel` with a :class:`~models.trees.TreeWalk`. Out: ONNX
with one TreeEnsembleRegressor, or TFLite where each level of the walk is a handful of gathers. The thresholds are
those of the torch module, float32, so that equal features give equal leaves.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pulseproof.export.job import OUTPUT, ExportJob, MadeFile
from pulseproof.export.onnx import files as onnx_files
from pulseproof.models.classical import FeatureModel
from pulseproof.models.trees import TreeArrays, TreeWalk

FEATURES = "features"


def write_onnx(job: ExportJob) -> MadeFile:
    """``onnx-fp32``. One target a class, every leaf adds its classes' values; the sum over trees is the score."""
    import onnx

    features, arrays = _parts(job)
    onnx_files.export_module(features, job.shape, job.out, FEATURES)
    model = onnx.load(job.out)
    node = onnx.helper.make_node(
        "TreeEnsembleRegressor", [FEATURES], [OUTPUT], domain="ai.onnx.ml", **_ensemble(arrays)
    )
    model.graph.node.append(node)
    del model.graph.output[:]
    shape = (1, arrays.value.shape[1])
    model.graph.output.append(onnx.helper.make_tensor_value_info(OUTPUT, onnx.TensorProto.FLOAT, shape))
    model.opset_import.append(onnx.helper.make_opsetid("ai.onnx.ml", 3))
    onnx.checker.check_model(model)
    onnx.save(model, job.out)
    return MadeFile()


def _ensemble(arrays: TreeArrays) -> dict[str, Any]:
    """The attributes of ai.onnx.ml.TreeEnsembleRegressor: nodes numbered from 0 in each tree, root first."""
    nodes, classes = arrays.value.shape
    tree = np.searchsorted(arrays.roots, np.arange(nodes), side="right") - 1
    start = arrays.roots[tree]
    leaf, leaves = arrays.leaf, np.flatnonzero(arrays.leaf)
    within = np.arange(nodes) - start
    return {
        "n_targets": classes,
        "aggregate_function": "SUM",
        "post_transform": "NONE",
        "nodes_treeids": tree.tolist(),
        "nodes_nodeids": within.tolist(),
        "nodes_featureids": arrays.feature.tolist(),
        "nodes_values": arrays.threshold.tolist(),
        "nodes_modes": ["LEAF" if end else "BRANCH_LEQ" for end in leaf],
        "nodes_truenodeids": np.where(leaf, 0, arrays.left - start).tolist(),
        "nodes_falsenodeids": np.where(leaf, 0, arrays.right - start).tolist(),
        "target_treeids": np.repeat(tree[leaves], classes).tolist(),
        "target_nodeids": np.repeat(within[leaves], classes).tolist(),
        "target_ids": np.tile(np.arange(classes), len(leaves)).tolist(),
        "target_weights": arrays.value[leaves].ravel().tolist(),
    }


def write_tflite(job: ExportJob) -> MadeFile:
    """``tflite-fp32``. All trees step down one level at a time: gather each tree's feature and threshold, compare,
    gather the next node. (Converted from torch, each gather brings a dozen operators that check its bounds.)"""
    from ai_edge_litert import schema_py_generated as schema

    from pulseproof.export.tflite.files import convert
    from pulseproof.export.tflite.flatbuffer import Graph

    features, arrays = _parts(job)
    convert(features, job.shape, job.out)
    graph = Graph.open(job.out)
    count, trees = int(graph.graph.tensors[graph.graph.outputs[0]].shape[-1]), len(arrays.roots)
    tables = {
        name: graph.constant(f"tree.{name}", getattr(arrays, name).astype(np.int32))
        for name in ("feature", "left", "right")
    }
    tables["threshold"] = graph.constant("tree.threshold", arrays.threshold)
    value = graph.constant("tree.value", arrays.value)

    def gather(name: str, table: int, index: int, dtype: Any = np.int32) -> int:
        options = schema.GatherOptionsT()
        options.axis = 0
        return graph.add("GATHER", [table, index], graph.tensor(name, (trees,), dtype), options)

    reshape = schema.ReshapeOptionsT()
    reshape.newShape = [count]
    flat = graph.tensor("features.flat", (count,))
    wanted = graph.constant("features.shape", np.array([count], np.int32))
    graph.add("RESHAPE", [int(graph.graph.outputs[0]), wanted], flat, reshape)
    node = graph.constant("tree.roots", arrays.roots.astype(np.int32))
    for level in range(arrays.depth):
        seen = gather(f"{level}.seen", flat, gather(f"{level}.feature", tables["feature"], node), np.float32)
        limit = gather(f"{level}.threshold", tables["threshold"], node, np.float32)
        low = graph.tensor(f"{level}.low", (trees,), np.bool_)
        graph.add("LESS_EQUAL", [seen, limit], low, schema.LessEqualOptionsT())
        sides = [gather(f"{level}.{side}", tables[side], node) for side in ("left", "right")]
        node = graph.tensor(f"{level}.node", (trees,), np.int32)
        graph.add("SELECT_V2", [low, *sides], node, schema.SelectV2OptionsT())
    classes = arrays.value.shape[1]
    leaves = graph.tensor("leaves", (trees, classes))
    graph.add("GATHER", [value, node], leaves, schema.GatherOptionsT())
    total = schema.ReducerOptionsT()
    total.keepDims = True
    axis = graph.constant("trees", np.array([0], np.int32))
    scores = graph.tensor("total", (1, classes))
    graph.add("SUM", [leaves, axis], scores, total)
    graph.graph.outputs = [scores]
    graph.write(job.out)
    return MadeFile()


def _parts(job: ExportJob) -> tuple[Any, TreeArrays]:
    model = job.module
    assert isinstance(model, FeatureModel) and isinstance(model.head, TreeWalk)
    return model.features, model.head.arrays
