"""Which layers of an ONNX file can saturate in an engine's kernels, and whether the kernels here do.

In: an ``.onnx`` file. Out: the layers whose signed weights are too large, read off the file alone. An x86 processor
without VNNI multiplies bytes by ``vpmaddubsw``: two products of an unsigned activation (up to 255) and a signed weight
are added in 16 bits, and what is above 32,767 is cut off. With weights of seven bits, 2 * 255 * 64 = 32,640 fits.
Kernels for signed activations flip their sign bit and do the same; unsigned weights are widened first and never
saturate.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pulseproof.twins.onnx.format import constants, load_plain

if TYPE_CHECKING:
    import onnx

LARGEST = 64  # 2 * 255 * 64 < 2**15
# Where the weights of an integer operator are among its inputs.
_INTEGER = {"MatMulInteger": 1, "ConvInteger": 1, "QLinearMatMul": 3, "QLinearConv": 3, "DynamicQuantizeMatMul": 1}
_FLOAT = {"Conv": 1, "Gemm": 1, "MatMul": 1}  # between DequantizeLinear operators


def saturating_layers(path: Path) -> dict[str, int]:
    """{node name: the largest magnitude of its weights} of the convolutions and matrix products whose int8 weights
    exceed :data:`LARGEST`. Raises what onnx raises for a file that it cannot read."""
    graph = load_plain(path).graph
    known = constants(graph)
    made_by = {name: node for node in graph.node for name in node.output}
    found = {}
    for node in graph.node:
        place = _INTEGER.get(node.op_type, _FLOAT.get(node.op_type))
        if place is None or len(node.input) <= place:
            continue
        weights = _integers(node.input[place], known, made_by)
        if weights is not None and weights.dtype == np.int8:
            largest = int(np.abs(weights.astype(np.int16)).max(initial=0))
            if largest > LARGEST:
                found[node.name or node.output[0]] = largest
    return found


def _integers(
    name: str, known: Mapping[str, NDArray[Any]], made_by: Mapping[str, onnx.NodeProto]
) -> NDArray[Any] | None:
    """The stored integers of a constant: itself, or what a DequantizeLinear and moves of it begin with."""
    while name not in known:
        node = made_by.get(name)
        if node is None or node.op_type not in ("DequantizeLinear", "Transpose", "Reshape", "Identity"):
            return None
        name = node.input[0]
    return known[name]


def kernels_saturate() -> bool:
    """True where ONNX Runtime's product of unsigned and signed bytes saturates on this processor: asked by one product
    of 255 and 127, thirty-two times, whose sums of two do not fit into 16 bits."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["a", "b"], ["product"])],
        "asks",
        [helper.make_tensor_value_info("a", TensorProto.UINT8, [1, 32])],
        [helper.make_tensor_value_info("product", TensorProto.INT32, [1, 16])],
        [numpy_helper.from_array(np.full((32, 16), 127, np.int8), "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session: Any = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (product,) = session.run(None, {"a": np.full((1, 32), 255, np.uint8)})
    return bool((product != 32 * 255 * 127).any())
