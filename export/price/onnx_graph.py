"""Parameters, multiply-accumulates and activation memory of an ONNX file.

In: the file. Out: its :class:`~export.price.tally.Tally`. Parameters and MACs are read off the file as it is. For
activations the graph is taken as ONNX Runtime runs it after its fusions that hold for every processor ("extended"):
there a QDQ convolution is one int8 operator, so that no float tensor stands between a DequantizeLinear and the
operator that swallows it, and a ReLU is part of its convolution. Shapes are exact: each graph is run once on zeros and
gives all of its tensors. The bodies of If, Loop and Scan are not looked into.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pulseproof.core.errors import InputError
from pulseproof.export.price.tally import Operation, Tally, peak_bytes

if TYPE_CHECKING:
    import onnx

# Inputs that hold weights, of operators that also take scales, zero points or initial states as constants.
WEIGHTS: Mapping[str, tuple[int, ...]] = {
    "ConvInteger": (1,),
    "DequantizeLinear": (0,),
    "DynamicQuantizeLSTM": (1, 2, 3, 7),
    "DynamicQuantizeMatMul": (1, 4),
    "GRU": (1, 2, 3),
    "LSTM": (1, 2, 3, 7),
    "MatMulInteger": (0, 1),
    "MatMulIntegerToFloat": (0, 1, 6),
    "QGemm": (3, 6),
    "QLinearConv": (3, 8),
    "QLinearMatMul": (0, 3),
    "QuantizeLinear": (0,),
    "RNN": (1, 2, 3),
}
# (kernel or right matrix) among the inputs of operators that multiply.
CONVOLUTIONS = {"Conv": 1, "FusedConv": 1, "ConvInteger": 1, "QLinearConv": 3}
PRODUCTS = {
    "DynamicQuantizeMatMul": 1,
    "FusedMatMul": 1,
    "MatMul": 1,
    "MatMulInteger": 1,
    "MatMulIntegerToFloat": 1,
    "QLinearMatMul": 3,
}
GEMMS = {"FusedGemm": 1, "Gemm": 1, "QGemm": 3}
RECURRENT = ("DynamicQuantizeLSTM", "GRU", "LSTM", "RNN")
LAYERS = {*CONVOLUTIONS, *PRODUCTS, *GEMMS, *RECURRENT, "ConvTranspose"}
LINEAR_ML = ("LinearClassifier", "LinearRegressor")  # ai.onnx.ml keeps weights in attributes
VIEWS = {"Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"}
JOINS = {"Add", "Concat", "Div", "Mul", "Sub", "Where"}  # constants made of several constants
ALWAYS_CONSTANT = {"Constant", "Shape", "Size"}  # with a batch of one, shapes are known before anything runs


@dataclass(frozen=True)
class _Array:
    """What is known of a tensor: its shape, and its type as numpy's."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def count(self) -> int:
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        return self.count * self.dtype.itemsize


def tally(path: Path) -> Tally:
    """Count one ONNX file, at batch 1. Raises InputError for one that leaves leads or samples free."""
    import onnx

    model = onnx.load(path)
    _fix_batch(model, path)
    whole = _Graph(model)
    return Tally(
        parameters=whole.parameters(),
        macs=sum(whole.macs(node) for node in model.graph.node),
        activation_bytes=_Graph(_fused(model)).activation_bytes(),
    )


class _Graph:
    """A graph with the shape and type of each of its tensors."""

    def __init__(self, model: onnx.ModelProto) -> None:
        import onnx

        self.nodes = list(model.graph.node)
        self.inputs, self.outputs = ([value.name for value in side] for side in (model.graph.input, model.graph.output))
        self.stored = {
            tensor.name: _Array(tuple(tensor.dims), np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)))
            for tensor in model.graph.initializer
        }
        self.inputs = [name for name in self.inputs if name not in self.stored]
        self.arrays = self.stored | _run(model)
        self.maker = {name: node for node in self.nodes for name in node.output}
        self.stored |= {
            node.output[0]: self.arrays[node.output[0]] for node in self.nodes if node.op_type == "Constant"
        }
        self.scales = {
            name for node in self.nodes if node.op_type == "DynamicQuantizeLinear" for name in node.output[1:]
        }
        self.constants = set(self.stored)
        for node in self.nodes:
            if node.op_type in ALWAYS_CONSTANT or all(name in self.constants for name in node.input if name):
                self.constants |= set(node.output)

    def parameters(self) -> int:
        counts: dict[str, int] = {}
        for node in self.nodes:
            if all(name in self.constants for name in node.output):
                continue
            for at in self._weights_of(node):
                for name in self._origins(node.input[at]):
                    count = self.stored[name].count
                    if node.op_type in RECURRENT and at == 3:
                        count = _added_once(node, count)
                    counts[name] = count
        return sum(counts.values()) + sum(_in_attributes(node) for node in self.nodes)

    def _weights_of(self, node: onnx.NodeProto) -> Iterable[int]:
        """Which inputs of an operator are constants with weights."""
        given = {at: name for at, name in enumerate(node.input) if name in self.constants}
        if node.op_type in WEIGHTS:
            return [at for at in WEIGHTS[node.op_type] if at in given]
        if self.scales & set(node.input):  # the product of the scales of activations and weights
            return []
        floats = [at for at, name in given.items() if self.arrays[name].dtype.kind == "f"]
        return [at for at in floats if node.op_type in LAYERS or self.arrays[given[at]].count > 1]

    def _origins(self, name: str) -> set[str]:
        """The constants in the file from which a constant is computed (cast, dequantized, transposed)."""
        if name in self.stored:
            return {name}
        node = self.maker[name]
        sources = node.input if node.op_type in JOINS else node.input[:1]
        return {origin for source in sources for origin in self._origins(source)}

    def macs(self, node: onnx.NodeProto) -> int:
        """Multiply-accumulates of one operator."""
        kind = node.op_type
        if kind in LINEAR_ML:
            return len(_attribute(node, "coefficients"))
        if kind not in LAYERS or all(name in self.constants for name in node.output):
            return 0
        shapes = [self.arrays[name].shape if name else () for name in node.input]
        places = math.prod(self.arrays[node.output[0]].shape)  # numbers in the result
        if kind in CONVOLUTIONS:
            each = math.prod(shapes[CONVOLUTIONS[kind]][1:])
        elif kind in PRODUCTS:
            right = shapes[PRODUCTS[kind]]
            turned = _attribute(node, "transB", 0) and len(right) > 1
            each = right[-1] if turned or len(right) == 1 else right[-2]
        elif kind in GEMMS:
            each = shapes[GEMMS[kind]][1 if _attribute(node, "transB", 0) else 0]
        elif kind == "ConvTranspose":
            places, each = math.prod(shapes[0]), math.prod(shapes[1][1:])
        else:  # recurrent: steps and batch, in either layout
            places, each = math.prod(shapes[0][:2]), math.prod(shapes[1]) + math.prod(shapes[2])
        return places * each

    def activation_bytes(self) -> int:
        """See :func:`export.price.tally.peak_bytes`."""
        nodes = [node for node in self.nodes if not all(name in self.constants for name in node.output)]
        operations = [
            Operation(tuple(node.input), tuple(name for name in node.output if name), node.op_type in VIEWS)
            for node in nodes
        ]
        sizes = {name: array.bytes for name, array in self.arrays.items() if name not in self.constants}
        return peak_bytes(operations, sizes, self.inputs, self.outputs)


def _attribute(node: onnx.NodeProto, name: str, default: Any = ()) -> Any:
    import onnx

    found = [onnx.helper.get_attribute_value(one) for one in node.attribute if one.name == name]
    return found[0] if found else default


def _added_once(node: onnx.NodeProto, count: int) -> int:
    """Numbers in the bias of a recurrent layer, those that are only ever added to each other taken as one."""
    if node.op_type == "GRU" and _attribute(node, "linear_before_reset", 0):
        return count * 4 // 6  # the new gate multiplies one of its two biases
    return count // 2


def _in_attributes(node: onnx.NodeProto) -> int:
    """Weights in the attributes of ai.onnx.ml: a feature and a threshold a branch, the values of the leaves."""
    if node.op_type == "TreeEnsemble":
        return 2 * len(_attribute(node, "nodes_splits")) + len(_attribute(node, "leaf_weights"))
    if node.op_type in ("TreeEnsembleClassifier", "TreeEnsembleRegressor"):
        branches = sum(mode != b"LEAF" for mode in _attribute(node, "nodes_modes"))
        leaves = len(_attribute(node, "target_weights")) + len(_attribute(node, "class_weights"))
        return 2 * branches + leaves + len(_attribute(node, "base_values"))
    if node.op_type in LINEAR_ML:
        return len(_attribute(node, "coefficients")) + len(_attribute(node, "intercepts"))
    return 0


def _fix_batch(model: onnx.ModelProto, path: Path) -> None:
    stored = {tensor.name for tensor in model.graph.initializer}
    for value in model.graph.input:
        if value.name in stored:
            continue
        for at, size in enumerate(value.type.tensor_type.shape.dim):
            if size.WhichOneof("value") == "dim_value":
                continue
            if at > 0:
                raise InputError(
                    f"{path}: axis {at} of its input {value.name} has no fixed size",
                    "what the file costs depends on it: export it with a fixed number of leads and samples",
                )
            size.dim_value = 1


def _session(model: onnx.ModelProto, fused_to: Path | None = None) -> Any:
    import onnxruntime

    levels = onnxruntime.GraphOptimizationLevel
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = levels.ORT_ENABLE_EXTENDED if fused_to else levels.ORT_DISABLE_ALL
    if fused_to:
        options.optimized_model_filepath = str(fused_to)
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors only
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _fused(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph as ONNX Runtime runs it."""
    import onnx

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fused.onnx"
        _session(model, path)
        return onnx.load(path)


def _run(model: onnx.ModelProto) -> dict[str, _Array]:
    """Shape and type of every tensor, from one run on zeros; nothing is fused, so that all of them exist."""
    import onnx

    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    have = {value.name for value in watched.graph.output}
    made = [name for node in watched.graph.node for name in node.output if name and name not in have]
    watched.graph.output.extend(onnx.ValueInfoProto(name=name) for name in made)
    session = _session(watched)
    fed = {value.name: np.zeros(value.shape, _numpy_type(value.type)) for value in session.get_inputs()}
    names = [value.name for value in session.get_outputs()]
    values = dict(zip(names, session.run(names, fed), strict=True)) | fed
    return {name: _Array(value.shape, value.dtype) for name, value in values.items() if isinstance(value, np.ndarray)}


def _numpy_type(name: str) -> str:
    """``tensor(float)`` as numpy calls it."""
    inner = name.removeprefix("tensor(").removesuffix(")")
    return {"float": "float32", "double": "float64"}.get(inner, inner)
