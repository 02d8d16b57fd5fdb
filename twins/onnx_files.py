"""ONNX files as twins: float graphs, and static int8 ones with QuantizeLinear and DequantizeLinear (U8S8 and S8S8).

In: the path of an ``.onnx`` file. Out: a :class:`~twins.graph.Twin`. ONNX Runtime fuses the operators between a
DequantizeLinear and a QuantizeLinear to integer ones when it loads a file; here they are computed in float32, from and
to the same integers. The two differ where a sum lies within float32's error of half a step, as two optimisation levels
of ONNX Runtime do. Semantics: https://onnx.ai/onnx/operators, operator sets 13 and later.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from export import onnx_graph
from twins.graph import NotCoveredError, Twin, Walk
from twins.onnx_node import Node
from twins.onnx_operators import OPERATORS
from twins.rounding import Rounding

OLDEST = 13  # the first operator set in which axes are inputs, and DequantizeLinear has an axis
TYPES = (np.float32, np.int64, np.int32, np.int16, np.uint16, np.int8, np.uint8, np.bool_)
ROUNDED = (torch.int8, torch.uint8, torch.int16, torch.uint16)
MOVES = ("Flatten", "Identity", "MaxPool", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze")
PRODUCTS = ("Gemm", "MatMul")


def read_onnx(path: Path, masked: bool) -> Twin:
    """See :func:`twins.open_twin`."""
    model = onnx_graph.load_plain(path)
    oldest = min((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), default=OLDEST)
    if oldest < OLDEST:
        raise NotCoveredError(f"operator set {oldest}, older than {OLDEST}")
    graph = model.graph
    if len(graph.input) != 1 or len(graph.output) != 1:
        raise NotCoveredError(f"{len(graph.input)} inputs and {len(graph.output)} outputs, not one of each")
    walk = Walk(graph.input[0].name, _shape(graph.input[0]))
    for tensor in graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype.type not in TYPES:
            raise NotCoveredError(f"{tensor.name} of type {values.dtype}")
        walk.hold(tensor.name, torch.from_numpy(values.copy()))
    quantized: dict[str, Rounding] = {}
    for proto in graph.node:
        node = Node(proto, walk)
        if proto.op_type == "QuantizeLinear":
            _quantize(node, quantized, masked)
        elif proto.op_type == "DequantizeLinear":
            _dequantize(node, quantized)
        elif proto.op_type not in OPERATORS or proto.domain not in ("", "ai.onnx"):
            of = f" of {proto.domain}" if proto.domain else ""
            raise NotCoveredError(f"the operator {proto.op_type}{of} ({node.name})")
        elif any(name in quantized for name in proto.input):
            raise node.not_covered("integers")
        else:
            run = OPERATORS[proto.op_type](node)
            walk.add(run, node.data, node.outputs)
            _follow_steps(node)
        node.expect_no_more()
    return walk.finish(graph.output[0].name)


def _shape(value: onnx.ValueInfoProto) -> tuple[int, int]:
    """(leads, samples) of the input."""
    about = value.type.tensor_type
    if about.elem_type != onnx.TensorProto.FLOAT:
        raise NotCoveredError(f"an input of type {onnx.TensorProto.DataType.Name(about.elem_type).lower()}")
    sizes = [size.dim_value for size in about.shape.dim]
    if len(sizes) != 3 or sizes[0] > 1 or min(sizes[1:]) < 1:
        raise NotCoveredError(f"an input of shape {sizes} (0: free), not (1, leads, samples)")
    return sizes[1], sizes[2]


def _quantize(node: Node, quantized: dict[str, Rounding], masked: bool) -> None:
    """QuantizeLinear as a rounding: what it gives is the real numbers that its integers stand for."""
    node.expect("axis", 1, 0, -1)  # means nothing where there is one scale
    node.expect("saturate", 1)  # of 8-bit floats
    node.expect("block_size", 0)
    kind, scale, zero = _meaning(node)
    if kind not in ROUNDED:
        raise node.not_covered(f"the type {kind}".replace("torch.", ""))
    if scale.numel() != 1:
        raise node.not_covered("more than one scale")
    limits, at = torch.iinfo(kind), int(zero)
    rounding = Rounding(float(scale), limits.min - at, limits.max - at, masked)
    quantized[node.outputs[0]] = rounding
    node.walk.add(rounding, node.inputs[:1], node.outputs)
    node.walk.rounded[node.outputs[0]] = rounding.scale


def _dequantize(node: Node, quantized: dict[str, Rounding]) -> None:
    """DequantizeLinear: of constants their real numbers; behind a QuantizeLinear nothing is left to do."""
    axis = node.take("axis", 1)
    node.expect("block_size", 0)
    kind, scale, zero = _meaning(node)
    name = str(node.inputs[0])
    if node.constant(0) and name not in quantized:
        integers = node.walk.value(name)
        if scale.numel() > 1:
            shape = [1] * integers.ndim
            shape[axis % (integers.ndim - 1) + 1] = -1
            scale, zero = scale.reshape(shape), zero.reshape(shape)
        node.walk.hold(node.outputs[0], ((integers.float() - zero.float()) * scale)[0])
        return
    if name not in quantized:
        raise node.not_covered("integers that no QuantizeLinear made")
    made, limits = quantized[name], torch.iinfo(kind)
    if scale.numel() != 1 or (made.scale, made.low) != (float(scale), limits.min - int(zero)):
        raise node.not_covered("another scale, zero point or type than the QuantizeLinear before it")
    node.walk.add(lambda x: x, node.inputs[:1], node.outputs)
    node.walk.rounded[node.outputs[0]] = made.scale


def _meaning(node: Node) -> tuple[torch.dtype, Any, Any]:
    """Type of the integers, their scale(s) and zero point(s), without the dimension in front."""
    node.expect_constant(1, 2)
    if node.inputs[1] is None:
        raise node.not_covered("no scale")
    scale = node.walk.value(node.inputs[1])[0]
    if scale.dtype != torch.float32 or not bool((scale > 0).all() and scale.isfinite().all()):
        raise node.not_covered("a scale that is no positive float32")
    if node.has(2):
        zero = node.walk.value(str(node.inputs[2]))[0]
        return zero.dtype, scale, zero
    zeros = torch.zeros_like(scale, dtype=torch.uint8)
    if node.operator == "DequantizeLinear" and node.constant(0):
        return node.walk.value(str(node.inputs[0])).dtype, scale, zeros
    return torch.uint8, scale, zeros


def _follow_steps(node: Node) -> None:
    """How far one step of the last rounding moves what this node gives, where that is told by the graph alone."""
    walk = node.walk
    steps = [walk.rounded.get(str(name)) for name in node.inputs]
    others_fixed = all(node.constant(at) for at in range(1, len(node.inputs)) if node.has(at))
    if not steps or steps[0] is None or not others_fixed:
        return
    if node.operator in (*MOVES, "Add", "Sub"):
        walk.rounded[node.outputs[0]] = steps[0]
    if node.operator in PRODUCTS:
        walk.rounded[node.outputs[0]] = steps[0] * float(walk.value(str(node.inputs[1])).abs().max())
