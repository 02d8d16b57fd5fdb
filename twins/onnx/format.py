"""ONNX files read: the plain form of a graph, and its constants.

In: an ``.onnx`` file. Out: its ``ModelProto``, every constant an initializer that no caller can override; and arrays.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnx


def load_plain(path: Path) -> onnx.ModelProto:
    """The model with every constant as an initializer, and its own functions written out.

    A file of before 2019 also lists its weights among the inputs: a caller could override them there, so nothing would
    take them for constants.
    """
    import onnx
    from onnx.inliner import inline_local_functions

    model = onnx.load(path)
    if model.functions:
        model = inline_local_functions(model)
    graph = model.graph
    computed = []
    for node in graph.node:
        if node.op_type == "Constant" and (value := constant_value(node)) is not None:
            graph.initializer.append(onnx.numpy_helper.from_array(value, node.output[0]))
        else:
            computed.append(node)
    del graph.node[:]
    graph.node.extend(computed)
    known = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in known]
    del graph.input[:]
    graph.input.extend(inputs)
    model.ir_version = max(model.ir_version, 4)  # from 4 on an initializer need not be an input
    return model


def constant_value(node: onnx.NodeProto) -> NDArray[Any] | None:
    """The array that a Constant node gives; None for a text or a sparse tensor."""
    import onnx

    attribute = node.attribute[0]
    if attribute.name == "value":
        return onnx.numpy_helper.to_array(attribute.t)
    if attribute.name in ("value_float", "value_floats"):
        return np.array(onnx.helper.get_attribute_value(attribute), np.float32)
    if attribute.name in ("value_int", "value_ints"):
        return np.array(onnx.helper.get_attribute_value(attribute), np.int64)
    return None


def constants(graph: onnx.GraphProto) -> dict[str, NDArray[Any]]:
    """{name: array} of the initializers, the Constant nodes, and what is one of them by another name."""
    import onnx

    known = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and (value := constant_value(node)) is not None:
            known[node.output[0]] = value
        if node.op_type == "Identity" and node.input[0] in known:
            known[node.output[0]] = known[node.input[0]]
    return known
