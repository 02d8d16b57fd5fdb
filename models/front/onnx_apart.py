"""The front of an ONNX file taken off, and put back before what became of the rest, for tools that change whole graphs.

In: a model whose graph may begin with a front (:mod:`models.front.onnx_front`). Out: the same without it, and that
front.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pulseproof.models.front.onnx_nodes import FRONT

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class FrontApart:
    """``signal``: the input of the whole file; ``own``: the names of the inputs of the graph behind."""

    signal: onnx.ValueInfoProto
    nodes: tuple[onnx.NodeProto, ...]
    constants: tuple[onnx.TensorProto, ...]
    own: tuple[str, ...]


def take_off(model: onnx.ModelProto) -> FrontApart | None:
    """Take the front off ``model``, whose inputs are then its owner's; None where there is none."""
    import onnx

    graph = model.graph
    nodes = [node for node in graph.node if FRONT.match(node.name)]
    if not nodes:
        return None
    own = tuple(node.output[0] for node in nodes if not FRONT.match(node.output[0]))
    inferred = onnx.shape_inference.infer_shapes(model).graph.value_info
    constants = [tensor for tensor in graph.initializer if FRONT.match(tensor.name)]
    apart = FrontApart(_copy(graph.input[0]), tuple(map(_copy, nodes)), tuple(map(_copy, constants)), own)
    rest = [node for node in graph.node if not FRONT.match(node.name)]
    kept = [tensor for tensor in graph.initializer if not FRONT.match(tensor.name)]
    for field, values in ((graph.node, rest), (graph.initializer, kept)):
        held = [_copy(value) for value in values]
        del field[:]
        field.extend(held)
    known = {value.name: value for value in inferred}
    del graph.input[:]
    graph.input.extend(known[name] for name in own)
    return apart


def put_back(model: onnx.ModelProto, apart: FrontApart) -> None:
    """Put a front before a graph that still takes what it took."""
    graph = model.graph
    given = tuple(value.name for value in graph.input)
    assert given == apart.own, f"its inputs are {given}, not {apart.own}"
    rest = [_copy(node) for node in graph.node]
    del graph.node[:]
    graph.node.extend([*apart.nodes, *rest])
    graph.initializer.extend(apart.constants)
    del graph.input[:]
    graph.input.append(apart.signal)


def _copy(message: Any) -> Any:
    made = type(message)()
    made.CopyFrom(message)
    return made
