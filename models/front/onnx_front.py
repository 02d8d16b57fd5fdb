"""A front and a tail in an ONNX file, before and behind its own graph, of which no node and no weight is changed.

In: a checked model, a :class:`~models.front.plan.Front`, a :class:`~models.front.tail.Tail`. Out: the same model with
more nodes, all named ``mv-front/...`` or ``mv-tail/...``, in the operator set that the file is of. The nodes of a front
stay float in every recipe (:func:`front_nodes`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pulseproof.core.errors import InputError
from pulseproof.models.front.onnx_nodes import FLOAT, FRONT, FrontNodes
from pulseproof.models.front.onnx_others import put_other
from pulseproof.models.front.plan import Front
from pulseproof.models.front.tail import Tail

if TYPE_CHECKING:
    import onnx

OLDEST = 9  # operator set


def front_nodes(graph: onnx.GraphProto) -> list[str]:
    """The names of the nodes of a front."""
    return [node.name for node in graph.node if FRONT.match(node.name)]


def put_front(model: onnx.ModelProto, front: Front, what: str) -> None:
    """Write the front before the graph of ``model``: it feeds its inputs that are no weights, of which all but one are
    ``front.others``. Raises InputError for an operator set that is too old."""
    from onnx import TensorProto, helper

    known = {tensor.name for tensor in model.graph.initializer}
    known |= {sparse.values.name for sparse in model.graph.sparse_initializer}
    held = {other.name: other for other in front.others}
    given = next(value for value in model.graph.input if value.name not in known and value.name not in held)
    kind, name = given.type.tensor_type.elem_type, given.name
    nodes = FrontNodes(model, "front")
    if nodes.opset < OLDEST:
        raise InputError(
            f"{what}: it is of ONNX's operator set {nodes.opset}, and before its graph must stand: {front.says()}",
            f"raise it with onnx.version_converter.convert_version(model, {OLDEST}) or newer",
        )
    signal = f"{nodes.prefix}signal"
    for value in [value for value in model.graph.input if value.name in held]:
        put_other(nodes, held[value.name], signal, value.type.tensor_type.elem_type)
        model.graph.input.remove(value)
    x = _arithmetic(nodes, front, signal)
    if front.layout.turned:
        x = nodes.add("Transpose", x, perm=[0, 2, 1])
    if not front.layout.usual:
        x = nodes.reshape(x, front.layout.shape)
    if kind != TensorProto.FLOAT:
        x = nodes.add("Cast", x, to=kind)
    nodes.add("Identity", x)
    nodes.made[-1].output[0] = name
    graph = model.graph
    own = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes.made, *own])
    place = list(graph.input).index(given)
    graph.input[place].CopyFrom(helper.make_tensor_value_info(signal, FLOAT, [1, front.leads, front.samples]))
    del graph.value_info[:]  # noted for a free batch, they would contradict what is inferred for one of 1


def _arithmetic(nodes: FrontNodes, front: Front, x: str) -> str:
    if front.clip_mv is not None:
        x = nodes.clip(x, front.clip_mv)
    if front.order is not None:
        x = nodes.add("Gather", x, nodes.constant(front.order, np.int64), axis=1)
    if front.window is not None:
        x = nodes.slice(x, *front.window)
    if front.resampling is not None:
        x = _resampled(nodes, front, x)
    x = nodes.scalar("Mul", x, front.per_mv) if front.per_mv != 1 else x
    x = _normalised(nodes, front, x)
    x = nodes.scalar("Mul", x, front.scale) if front.scale != 1 else x
    return nodes.scalar("Add", x, front.offset) if front.offset else x


def _resampled(nodes: FrontNodes, front: Front, x: str) -> str:
    how, (leads, length) = front.resampling, front.sees
    assert how is not None
    before = front.samples if front.window is None else front.window[1]
    mean = nodes.reduce("ReduceMean", x, (2,))
    x = nodes.reshape(nodes.add("Sub", x, mean), (1, 1, leads, before))
    kernel = nodes.constant(how.kernel[:, None, None], np.float32)
    x = nodes.add("Conv", x, kernel, strides=[1, how.down], pads=[0, how.before, 0, how.after])
    x = nodes.reshape(nodes.add("Transpose", x, perm=[0, 2, 3, 1]), (1, leads, how.blocks * how.up))
    if how.blocks * how.up != length:
        x = nodes.slice(x, 0, length)
    return nodes.add("Add", x, mean)


def _normalised(nodes: FrontNodes, front: Front, x: str) -> str:
    how = front.normalise
    if how in ("zscore", "zscore-lead"):
        axes = (1, 2) if how == "zscore" else (2,)
        centred = nodes.add("Sub", x, nodes.reduce("ReduceMean", x, axes))
        variance = nodes.reduce("ReduceMean", nodes.add("Mul", centred, centred), axes)
        return nodes.add("Div", centred, nodes.add("Sqrt", nodes.scalar("Add", variance, front.small**2)))
    if how == "minmax":
        low, high = (nodes.reduce(operator, x, (1, 2)) for operator in ("ReduceMin", "ReduceMax"))
        return nodes.add("Div", nodes.add("Sub", x, low), nodes.scalar("Add", nodes.add("Sub", high, low), front.small))
    if how == "robust":
        ordered = nodes.sorted(x, front.sees[1])
        low, middle, high = (_weighted(nodes, ordered, pairs) for pairs in front.quartiles)
        return nodes.add(
            "Div", nodes.add("Sub", x, middle), nodes.scalar("Add", nodes.add("Sub", high, low), front.small)
        )
    return x


def _weighted(nodes: FrontNodes, ordered: str, pairs: Sequence[tuple[int, float]]) -> str:
    parts = [nodes.scalar("Mul", nodes.slice(ordered, place, 1), weight) for place, weight in pairs]
    return parts[0] if len(parts) == 1 else nodes.add("Add", *parts)


def keep_output(model: onnx.ModelProto, name: str) -> None:
    """Leave one of the outputs, and the nodes that it is made of."""
    graph = model.graph
    kept = [value for value in graph.output if value.name == name]
    del graph.output[:]
    graph.output.extend(kept)
    needed, nodes = {name}, []
    for node in reversed(graph.node):
        if needed & set(node.output):
            nodes.append(node)
            needed |= {*node.input, *_captured(node)}
    del graph.node[:]
    graph.node.extend(reversed(nodes))


def _captured(node: onnx.NodeProto) -> set[str]:
    """What the graphs inside a node (branches, bodies of loops) may take from outside."""
    names: set[str] = set()
    for attribute in node.attribute:
        for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            for inner in graph.node:
                names |= {*inner.input, *_captured(inner)}
            names |= {value.name for value in graph.output}
    return names


def put_tail(model: onnx.ModelProto, tail: Tail) -> None:
    """Write the tail behind the graph of ``model``, which has one output: float32 (1, classes) comes out."""
    from onnx import helper

    given = model.graph.output[0]
    nodes = FrontNodes(model, "tail")
    x = given.name
    if given.type.tensor_type.elem_type not in (0, FLOAT):
        x = nodes.add("Cast", x, to=FLOAT)
    x = nodes.reshape(x, (1, tail.given))
    if tail.columns is not None:
        x = nodes.add("Gather", x, nodes.constant(tail.columns, np.int64), axis=1)
    if tail.difference:
        first, second = (nodes.add("Gather", x, nodes.constant([at], np.int64), axis=1) for at in (0, 1))
        x = nodes.add("Sub", second, first)
    if tail.complement is not None:
        other = nodes.scalar("Mul", x, -1.0)
        other = nodes.scalar("Add", other, 1.0) if tail.probability else other
        x = nodes.add("Concat", *((other, x) if tail.complement == 1 else (x, other)), axis=1)
    model.graph.node.extend(nodes.made)
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info(x, FLOAT, [1, tail.classes]))
