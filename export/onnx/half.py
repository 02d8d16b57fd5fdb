"""ONNX files in half floats (IEEE 754 binary16): half the size, the same graph.

In: a :class:`~export.job.ExportJob` whose ``source`` is the float32 file. Out: one ``.onnx`` file with float32
``signal`` and ``scores``. Every weight is rounded to the nearest half float. ONNX Runtime has few half-float kernels
for processors: where it has none it computes in float32 between two conversions, so this is a saving of space and not
of time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pulseproof.export.job import ExportJob, MadeFile, RefusedError
from pulseproof.export.onnx import graph as onnx_graph
from pulseproof.models.front.onnx_apart import put_back, take_off
from pulseproof.twins.onnx.format import load_plain

if TYPE_CHECKING:
    import onnx

LARGEST = float(np.finfo(np.float16).max)  # 65504
SMALLEST = float(np.finfo(np.float16).smallest_subnormal)  # 6e-8
# A number that one of these takes is a limit, not a factor: cut to the largest half float it says the same.
LIMITS = ("Clip", "Min", "Max", "Where")


def write_fp16(job: ExportJob) -> MadeFile:
    """``onnx-fp16`` of a net: weights and activations in half floats, but for operators that have none.

    The constants are rounded here, as numpy rounds. The converter would cut what is too large for a half float to 65504
    without a word, so that a weight of 1e5 becomes another one. Raises RefusedError for such a weight.
    """
    import onnx
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

    model = load_plain(job.source)
    users: dict[str, set[str]] = {}
    for graph in onnx_graph.graphs(model.graph):
        for node in graph.node:
            for name in filter(None, node.input):  # an optional input that is left out has no name
                users.setdefault(name, set()).add(node.op_type)
    front = take_off(model)  # in half, what is small beside a variance would be nothing, and microvolts too large
    for tensor in _float_tensors(model.graph):
        used_by = users.get(tensor.name, set())
        if not used_by or not used_by <= set(DEFAULT_OP_BLOCK_LIST):  # those stay float32
            rounded = round_to_half(onnx.numpy_helper.to_array(tensor), used_by, tensor.name)
            tensor.CopyFrom(onnx.numpy_helper.from_array(rounded, tensor.name))
    model = convert_float_to_float16(model, keep_io_types=True)
    if front is not None:
        put_back(model, front)
    onnx_graph.save(model, job.out)
    left = sorted({node.op_type for node in model.graph.node if node.op_type in DEFAULT_OP_BLOCK_LIST})
    left += ["what stands before its owner's graph"] if front is not None else []
    return MadeFile(f"{', '.join(left)} stay float32" if left else None)


def write_fp16_products(job: ExportJob) -> MadeFile:
    """``onnx-fp16`` of features and a head: the weights of the matrix products are half floats, cast to float32 where
    they are used, so that all arithmetic stays float32: a power of 1e-8 mV^2 is no half float.

    Raises RefusedError when there is no matrix product with constant weights in it.
    """
    import onnx

    model = load_plain(job.source)
    graph = model.graph
    halved = {name: weights for name, weights in _product_weights(graph) if np.abs(weights).max(initial=0) <= LARGEST}
    if not halved:
        raise RefusedError("it has no matrix product whose weights could be half floats")
    taken = {name for node in graph.node for name in (*node.input, *node.output)}
    casts = []
    for tensor in graph.initializer:
        if tensor.name in halved:
            name, half = tensor.name, f"{tensor.name}_half"
            while half in taken:
                half += "_"
            tensor.CopyFrom(onnx.numpy_helper.from_array(halved[name].astype(np.float16), half))
            casts.append(onnx.helper.make_node("Cast", [half], [name], name=f"{half}/Cast", to=onnx.TensorProto.FLOAT))
    graph.node.extend(casts)
    onnx_graph.save(model, job.out)
    return MadeFile(
        "the weights of its matrix products are half floats; all arithmetic and every threshold stay float32"
    )


def round_to_half(values: NDArray[np.float32], used_by: set[str], name: str) -> NDArray[np.float32]:
    """The half floats nearest to a constant's values, as float32.

    Two things are not rounded as numpy does. A single number that would become 0 is an epsilon that keeps a division or
    a logarithm finite: it becomes the smallest half float. A limit beyond the largest half float (the maximum of a
    Clip, the "minus infinity" of an attention mask) becomes that one. Raises RefusedError for any other large number.
    """
    large = np.isfinite(values) & (np.abs(values) > LARGEST)
    if large.any():
        mask = used_by == {"Add"} and bool((values[large] < 0).all())
        if not mask and not (used_by and used_by <= set(LIMITS)):
            raise RefusedError(
                f"its constant {name} holds {float(values[large][0]):.3g}, and the largest half float is {LARGEST:g}"
            )
        values = np.where(large, np.copysign(LARGEST, values), values).astype(np.float32)
    rounded = values.astype(np.float16).astype(np.float32)
    if values.size == 1 and values.item() != 0 and rounded.item() == 0:
        return np.copysign(np.full_like(values, SMALLEST), values)
    return rounded


def _float_tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """All float32 constants: initializers, and tensors that are attributes of nodes."""
    import onnx

    for inner in onnx_graph.graphs(graph):
        attributes = (attribute.t for node in inner.node for attribute in node.attribute if attribute.HasField("t"))
        for tensor in (*inner.initializer, *attributes):
            if tensor.data_type == onnx.TensorProto.FLOAT:
                yield tensor


def _product_weights(graph: onnx.GraphProto) -> Iterator[tuple[str, NDArray[Any]]]:
    """(initializer, values) of the weights of the matrix products, each once."""
    products = onnx_graph.layers(graph, onnx_graph.PRODUCTS)
    known = {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        if node.name in products:
            name = next((name for name in node.input[:2] if name in known), None)
            if name is not None:
                yield name, products[node.name]
