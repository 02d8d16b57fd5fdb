"""ONNX graphs read and written: their constants, their layers, what a table says of a file.

In: an ``.onnx`` file or its ``ModelProto``. Out: numbers about it, or the same graph in the form that the quantizers
and the half-float converter understand: every constant an initializer that no caller can override, nodes in the order
of their computation.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pulseproof.models.front.onnx_nodes import FRONT
from pulseproof.twins.onnx.format import constants

if TYPE_CHECKING:
    import onnx

OPSET = 20
HALF = 0.5  # of the weights; where fewer are 8-bit, a table must say so
LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
PRODUCTS = ("Gemm", "MatMul")
# What leaves every sample as it is, and only puts it elsewhere.
_MOVES = ("Identity", "Reshape", "Transpose", "Unsqueeze", "Squeeze", "Flatten", "Slice", "Pad")


def save(model: onnx.ModelProto, path: Path) -> None:
    """Write a model: nodes in the order of their computation, and no operator set that no node is of (ONNX Runtime
    lists all that it knows, so that another reader would refuse the file for a set that is not even used)."""
    import onnx
    from onnxruntime.quantization.onnx_model import ONNXModel

    ONNXModel(model).topological_sort()
    used = {"", *(node.domain for graph in graphs(model.graph) for node in graph.node)}
    used |= {node.domain for function in model.functions for node in function.node}
    kept = [one for one in model.opset_import if one.domain in used or one.domain == "ai.onnx"]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    onnx.save(model, path)


def graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """A graph and all inside it (the branches of an If, the body of a Loop)."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from graphs(inner)


def layers(graph: onnx.GraphProto, operators: tuple[str, ...] = LAYERS) -> dict[str, NDArray[Any]]:
    """{node name: weights} of the convolutions and matrix products with constant float weights, in the graph's order.

    A product with a matrix of zeros and ones is none of them: it is a sum, there are no weights to make smaller in it.
    """
    known, found = constants(graph), {}
    for node in graph.node:
        weights = [known[name] for name in node.input[:2] if name in known]
        if FRONT.match(node.name):  # what stands before a brought file's own graph is none of it
            continue
        if node.op_type in operators and weights and weights[0].dtype == np.float32 and not _only_selects(weights[0]):
            found[node.name] = weights[0]
    return found


def _only_selects(weights: NDArray[np.float32]) -> bool:
    return bool(np.isin(weights, (0, 1)).all())


def count_operators(path: Path) -> dict[str, int]:
    """{operator: count} of an ONNX file, constants left out."""
    import onnx

    model = onnx.load(path, load_external_data=False)
    counts = Counter(node.op_type for graph in graphs(model.graph) for node in graph.node if node.op_type != "Constant")
    return dict(sorted(counts.items()))


def int8_share(path: Path) -> float:
    """Share of the weights that are 8-bit: a quantizer that finds nothing it knows copies the float file.

    Weights are arrays of numbers in the file, thresholds and leaves of trees among them.
    """
    import onnx

    kinds = onnx.TensorProto
    eight_bit, floats = (kinds.INT8, kinds.UINT8), (kinds.FLOAT, kinds.FLOAT16, kinds.BFLOAT16, kinds.DOUBLE)
    small = large = 0
    for graph in graphs(onnx.load(path).graph):
        for tensor in (*graph.initializer, *_inline(graph)):
            if tensor.dims:
                small += math.prod(tensor.dims) if tensor.data_type in eight_bit else 0
                large += math.prod(tensor.dims) if tensor.data_type in floats else 0
        large += sum(len(attribute.floats) for node in graph.node for attribute in node.attribute)
    return small / max(1, small + large)


def _inline(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            yield node.attribute[0].t


def share_note(path: Path) -> str | None:
    """What a table says of an int8 file most of whose weights are not 8-bit."""
    share = int8_share(path)
    return None if share > HALF else f"only {share:.0%} of its weights are 8-bit, the others stay float"


def input_step_mv(path: Path) -> float | None:
    """The step, mV, to which a file rounds the signal (or the signal less a constant, or less its own mean).

    None where it does not, where it rounds it to several, or where something in it (features, a layer left in float)
    sees the signal unrounded.
    """
    import onnx

    graph = onnx.load(path).graph
    known = constants(graph)
    signal = next(value.name for value in graph.input if value.name not in known)
    factors = {signal: 1.0}  # tensors that are the signal, up to a shift, times this
    means: set[str] = set()
    steps: set[float] = set()
    for node in graph.node:
        of = next((name for name in node.input if name in factors), None)
        if of is None:
            continue
        factor = _factor(node, of, factors[of], known, means)
        if factor is not None:
            factors[node.output[0]] = factor
        elif node.op_type == "ReduceMean":
            means.add(node.output[0])
        elif node.op_type == "QuantizeLinear" and node.input[1] in known and known[node.input[1]].size == 1:
            steps.add(float(known[node.input[1]].item()) / factors[of])
        elif node.op_type != "Shape":
            return None
    return steps.pop() if len(steps) == 1 else None


def _factor(
    node: onnx.NodeProto, of: str, factor: float, known: Mapping[str, NDArray[Any]], means: set[str]
) -> float | None:
    """By how much a node's output is a multiple of the signal, up to a shift, when its input ``of`` is ``factor`` times
    that; None where it is something else."""
    first = node.input[0] == of
    if node.op_type in _MOVES:
        return factor if first else None
    if len(node.input) != 2:
        return None
    other = node.input[1] if first else node.input[0]
    if node.op_type in ("Add", "Sub") and (other in known or other in means):
        return factor
    by = float(known[other].item()) if other in known and known[other].size == 1 else 0.0
    if by and (node.op_type == "Mul" or (node.op_type == "Div" and first)):
        return factor * (abs(by) if node.op_type == "Mul" else 1 / abs(by))
    return None
