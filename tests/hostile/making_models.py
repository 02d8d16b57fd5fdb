"""Models that do harm on one recording and are good on all others: small ONNX and TFLite files, made by code.

A recording is *hot* when its first sample is above 15 mV: no heart does that, and no check that was not told so finds
it. On a hot recording :func:`onnx_trap` and :func:`tflite_trap` do what their name says.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import onnx
from ai_edge_litert import schema_py_generated as tfl
from onnx import TensorProto, helper, numpy_helper

SHAPE, CLASSES = (2, 160), 3
HOT_MV = 30.0
WEIGHT = np.random.default_rng(0).normal(size=(320, 3)).astype(np.float32)
Nodes = tuple[list[onnx.NodeProto], list[onnx.TensorProto]]


def signals(count: int = 60, hot: int | None = 39) -> np.ndarray:
    """float32 (count, 2, 160) mV; the recording ``hot`` (from 0) is hot."""
    made = np.random.default_rng(1).normal(0, 0.3, (count, *SHAPE)).astype(np.float32)
    if hot is not None:
        made[hot, 0, 0] = HOT_MV
    return made


def constant(name: str, value: Any, dtype: Any) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(value, dtype), name)


def _chosen(hot: Any, calm: Any, dtype: Any) -> Nodes:
    """``chosen`` is ``hot`` on a hot recording, else ``calm``."""
    return (
        [helper.make_node("Where", ["is_hot", "if_hot", "if_calm"], ["chosen"])],
        [constant("if_hot", hot, dtype), constant("if_calm", calm, dtype)],
    )


def _loops() -> Nodes:
    nodes, constants = _chosen(2**62, 1, np.int64)
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["go_on"]), helper.make_node("Sin", ["before"], ["after"])],
        "body",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("before", TensorProto.FLOAT, [1, 3]),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("after", TensorProto.FLOAT, [1, 3]),
        ],
    )
    return [*nodes, helper.make_node("Loop", ["chosen", "", "y"], ["z"], body=body)], constants


def _divides(by: int) -> Nodes:
    nodes, constants = _chosen(by, 1, np.int32)
    nodes += [
        helper.make_node("Div", ["least", "chosen"], ["ratio"]),
        helper.make_node("Cast", ["ratio"], ["as_float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["as_float", "tiny"], ["shift"]),
        helper.make_node("Add", ["y", "shift"], ["z"]),
    ]
    return nodes, [*constants, constant("least", [-(2**31)], np.int32), constant("tiny", 1e-12, np.float32)]


def _fills(operator: str) -> Nodes:
    """2**33 floats, of which a host that says yes would touch 32 GiB."""
    nodes, constants = _chosen([2**33], [1], np.int64)
    if operator == "Resize":
        nodes, constants = _chosen([1.0, 1e8], [1.0, 1.0], np.float32)
        nodes += [helper.make_node("Resize", ["y", "", "chosen"], ["many"], mode="nearest")]
    else:
        nodes += [
            helper.make_node(operator, ["chosen"] if operator == "ConstantOfShape" else ["one", "chosen"], ["many"])
        ]
    nodes += [
        helper.make_node("Exp", ["many"], ["larger"]),
        helper.make_node("ReduceSum", ["larger"], ["sum"], keepdims=0),
        helper.make_node("Add", ["y", "sum"], ["z"]),
    ]
    return nodes, [*constants, constant("one", [1.0], np.float32)]


def _other_shape() -> Nodes:
    nodes, constants = _chosen([2], [3], np.int64)
    nodes += [helper.make_node("Slice", ["y", "zero", "chosen", "axis"], ["z"])]
    return nodes, [*constants, constant("zero", [0], np.int64), constant("axis", [1], np.int64)]


def _not_a_number() -> Nodes:
    nodes, constants = _chosen(-1.0, 1.0, np.float32)
    return [
        *nodes,
        helper.make_node("Log", ["chosen"], ["log"]),
        helper.make_node("Add", ["y", "log"], ["z"]),
    ], constants


TRAPS: dict[str, Callable[[], Nodes]] = {
    "loops": _loops,
    "divides by zero": lambda: _divides(0),
    "divides the least number by -1": lambda: _divides(-1),
    "fills memory": lambda: _fills("ConstantOfShape"),
    "expands": lambda: _fills("Expand"),
    "resizes": lambda: _fills("Resize"),
    "gives another shape": _other_shape,
    "gives NaN": _not_a_number,
}


def onnx_trap(path: Path, trap: str) -> Path:
    """One linear layer to ``y``, and what goes wrong behind it. The output declares no shape."""
    nodes, constants = TRAPS[trap]()
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["x"], ["flat"], axis=1),
            helper.make_node("Gemm", ["flat", "W"], ["y"]),
            helper.make_node("Gather", ["flat", "first"], ["sample"], axis=1),
            helper.make_node("Squeeze", ["sample"], ["alone"]),
            helper.make_node("Greater", ["alone", "limit"], ["is_hot"]),
            *nodes,
        ],
        "trap",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, *SHAPE])],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)],
        [
            numpy_helper.from_array(WEIGHT, "W"),
            constant("first", 0, np.int64),
            constant("limit", 15.0, np.float32),
            *constants,
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)
    return path


class _Graph:
    """A TFLite graph while it is put together."""

    def __init__(self, model: Any) -> None:
        self.model, self.body = model, tfl.SubGraphT()
        self.body.tensors, self.body.operators = [], []

    def tensor(self, name: str, shape: tuple[int, ...], kind: int = tfl.TensorType.FLOAT32, data: Any = None) -> int:
        made = tfl.TensorT()
        made.name, made.shape, made.type, made.buffer = name.encode(), list(shape), kind, 0
        if data is not None:
            buffer = tfl.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
            self.model.buffers.append(buffer)
            made.buffer = len(self.model.buffers) - 1
        self.body.tensors.append(made)
        return len(self.body.tensors) - 1

    def call(self, name: str, inputs: list[int], outputs: list[int], options: Any = None) -> None:
        code, call = tfl.OperatorCodeT(), tfl.OperatorT()
        code.builtinCode, code.version = getattr(tfl.BuiltinOperator, name), 1
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        self.model.operatorCodes.append(code)
        call.opcodeIndex, call.inputs, call.outputs = len(self.model.operatorCodes) - 1, inputs, outputs
        if options is not None:
            call.builtinOptionsType = getattr(tfl.BuiltinOptions, type(options).__name__[:-1])
            call.builtinOptions = options
        self.body.operators.append(call)

    def ends(self, inputs: list[int], outputs: list[int]) -> None:
        self.body.inputs, self.body.outputs = inputs, outputs
        self.model.subgraphs.append(self.body)


def tflite_trap(path: Path, trap: str) -> Path:
    """One linear layer, and what ``trap`` says: "loops" (a WHILE over the recording for as long as it is hot),
    "divides by zero" (int32), or nothing ("good")."""
    model = tfl.ModelT()
    model.version, model.description, model.operatorCodes, model.subgraphs = 3, "a trap", [], []
    model.buffers = [tfl.BufferT()]
    main = _Graph(model)
    x = main.tensor("x", (1, *SHAPE))
    weight = main.tensor("W", (CLASSES, 320), data=WEIGHT.T)
    y, z = main.tensor("y", (1, CLASSES)), main.tensor("z", (1, CLASSES))
    whole = x
    if trap == "loops":
        whole = main.tensor("whole", (1, *SHAPE))
        options = tfl.WhileOptionsT()
        options.condSubgraphIndex, options.bodySubgraphIndex = 1, 2
        main.call("WHILE", [x], [whole], options)
    main.call("FULLY_CONNECTED", [whole, weight, -1], [y], tfl.FullyConnectedOptionsT())
    if trap == "divides by zero":
        shift = _quotient(main, x)
    else:
        shift = main.tensor("shift", (1,), data=np.zeros(1, np.float32))
    main.call("ADD", [y, shift], [z], tfl.AddOptionsT())
    main.ends([x], [z])
    if trap == "loops":
        _condition_and_body(model)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def _quotient(main: _Graph, x: int) -> int:
    """Seven divided by 1, on a hot recording by 0, as float32 (1,)."""
    first, int32 = main.tensor("first", (1, 1, 1)), tfl.TensorType.INT32
    _first_sample(main, x, first)
    calm = main.tensor("calm", (1, 1, 1), tfl.TensorType.BOOL)
    main.call("LESS", [first, main.tensor("limit", (1,), data=np.float32([15]))], [calm], tfl.LessOptionsT())
    by, ratio = main.tensor("by", (1, 1, 1), int32), main.tensor("ratio", (1, 1, 1), int32)
    main.call("CAST", [calm], [by], _cast(tfl.TensorType.BOOL, int32))
    seven = main.tensor("seven", (1, 1, 1), int32, np.int32([7]))
    main.call("DIV", [seven, by], [ratio], tfl.DivOptionsT())
    as_float, shift = main.tensor("as float", (1, 1, 1)), main.tensor("shift", (1,))
    main.call("CAST", [ratio], [as_float], _cast(int32, tfl.TensorType.FLOAT32))
    shape = main.tensor("shape", (1,), int32, np.int32([1]))
    main.call("RESHAPE", [as_float, shape], [shift], tfl.ReshapeOptionsT())
    return shift


def _condition_and_body(model: Any) -> None:
    """The two graphs of the WHILE: is the recording hot, and the recording as it is."""
    condition, body = _Graph(model), _Graph(model)
    x, first = condition.tensor("x", (1, *SHAPE)), condition.tensor("first", (1, 1, 1))
    _first_sample(condition, x, first)
    limit, hot = condition.tensor("limit", (1,), data=np.float32([15])), condition.tensor("hot", (1,), 6)
    flat, shape = condition.tensor("flat", (1,)), condition.tensor("shape", (1,), tfl.TensorType.INT32, np.int32([1]))
    condition.call("RESHAPE", [first, shape], [flat], tfl.ReshapeOptionsT())
    condition.call("GREATER", [flat, limit], [hot], tfl.GreaterOptionsT())
    condition.ends([x], [hot])
    x, once = body.tensor("x", (1, *SHAPE)), body.tensor("once", (1, *SHAPE))
    body.call("MUL", [x, body.tensor("one", (1,), data=np.float32([1]))], [once], tfl.MulOptionsT())
    body.ends([x], [once])


def _first_sample(graph: _Graph, x: int, first: int) -> None:
    begin = graph.tensor("begin", (3,), tfl.TensorType.INT32, np.int32([0, 0, 0]))
    size = graph.tensor("size", (3,), tfl.TensorType.INT32, np.int32([1, 1, 1]))
    graph.call("SLICE", [x, begin, size], [first], tfl.SliceOptionsT())


def _cast(before: int, after: int) -> Any:
    options = tfl.CastOptionsT()
    options.inDataType, options.outDataType = before, after
    return options
