"""Operators one by one, against the engine of their format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from pulseproof.runtime.engines import open_engine
from pulseproof.twins import NotCoveredError, open_twin
from pulseproof.twins.program import scores_of
from tests.export.making import random_signals
from tests.export.tflite_making import linear_file

SHAPE = (2, 20)
RNG = np.random.default_rng(5)
Constants = dict[str, NDArray[Any]]


def weights(*shape: int) -> NDArray[np.float32]:
    return RNG.normal(size=shape).astype(np.float32)


def single(value: float) -> NDArray[np.float32]:
    return np.array(value, np.float32)


def ints(*values: int) -> NDArray[np.int64]:
    return np.array(values, np.int64)


# name: operator, its constant inputs behind the signal (None: left out), its attributes
ONNX: dict[str, tuple[str, list[NDArray[Any] | None], dict[str, Any]]] = {
    "abs": ("Abs", [], {}),
    "add": ("Add", [weights(2, 1)], {}),
    "sub": ("Sub", [weights(20)], {}),
    "mul": ("Mul", [weights(1)], {}),
    "div": ("Div", [weights(1)], {}),
    "exp": ("Exp", [], {}),
    "sigmoid": ("Sigmoid", [], {}),
    "tanh": ("Tanh", [], {}),
    "neg": ("Neg", [], {}),
    "relu": ("Relu", [], {}),
    "clip both": ("Clip", [single(-0.1), single(0.2)], {}),
    "clip above": ("Clip", [None, single(0.2)], {}),
    "clip none": ("Clip", [], {}),
    "cast": ("Cast", [], {"to": TensorProto.FLOAT}),
    "dropout": ("Dropout", [], {}),
    "identity": ("Identity", [], {}),
    "conv": ("Conv", [weights(4, 2, 5), weights(4)], {"pads": [2, 2], "strides": [2]}),
    "conv uneven pads": ("Conv", [weights(4, 2, 5)], {"pads": [1, 3]}),
    "conv same": ("Conv", [weights(4, 2, 4)], {"auto_pad": "SAME_UPPER", "strides": [3]}),
    "conv same lower": ("Conv", [weights(4, 2, 4)], {"auto_pad": "SAME_LOWER"}),
    "conv valid": ("Conv", [weights(4, 2, 4)], {"auto_pad": "VALID", "dilations": [2]}),
    "conv groups": ("Conv", [weights(4, 1, 3)], {"group": 2}),
    "batch norm": (
        "BatchNormalization",
        [weights(2), weights(2), weights(2), np.abs(weights(2)) + 1],
        {"epsilon": 0.01},
    ),
    "global mean": ("GlobalAveragePool", [], {}),
    "matmul": ("MatMul", [weights(20, 3)], {}),
    "mean": ("ReduceMean", [ints(-1)], {"keepdims": 0}),
    "mean of all": ("ReduceMean", [], {"keepdims": 1}),
    "mean of none": ("ReduceMean", [], {"noop_with_empty_axes": 1}),
    "max": ("ReduceMax", [ints(1, 2)], {}),
    "min": ("ReduceMin", [ints(1)], {}),
    "sum": ("ReduceSum", [ints(2)], {}),
    "reshape": ("Reshape", [ints(0, 4, -1)], {}),
    "flatten": ("Flatten", [], {"axis": 2}),
    "transpose": ("Transpose", [], {"perm": [0, 2, 1]}),
    "transpose all": ("Transpose", [], {}),
    "unsqueeze": ("Unsqueeze", [ints(-1, 1)], {}),
    "squeeze": ("Squeeze", [ints(0)], {}),
    "slice": ("Slice", [ints(-9, 1), ints(2**31, 2), ints(2, 1), ints(2, 1)], {}),
    "gather": ("Gather", [ints(3, -1, 0)], {"axis": 2}),
    "gather one": ("Gather", [np.array(-2, np.int64)], {"axis": -1}),
    "expand": ("Expand", [ints(3, 2, 20)], {}),
    "pad": ("Pad", [ints(0, 0, 2, 0, 1, 3), single(0.5)], {}),
    "pad axes": ("Pad", [ints(2, 3), None, ints(2)], {}),
}


def onnx_file(path: Path, nodes: Sequence[onnx.NodeProto], constants: Constants, opset: int = 20) -> Path:
    """``signal`` through ``nodes`` (the last gives "y"), whose numbers are the scores."""
    tail = [helper.make_node("Reshape", ["y", "_flat"], ["scores"])]
    constants = {**constants, "_flat": ints(1, -1)}
    graph = helper.make_graph(
        [*nodes, *tail],
        "one",
        [helper.make_tensor_value_info("signal", TensorProto.FLOAT, [1, *SHAPE])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, "classes"])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9), path)
    return path


def both(path: Path, n: int = 3) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    signals = random_signals(n, SHAPE, 7)
    engine = open_engine(path)
    return scores_of(open_twin(path), signals), np.concatenate([engine.run(one[None]) for one in signals])


@pytest.mark.parametrize("name", sorted(ONNX))
def test_an_onnx_operator(name: str, tmp_path: Path) -> None:
    operator, inputs, attributes = ONNX[name]
    names = ["" if one is None else f"c{at}" for at, one in enumerate(inputs)]
    constants = {f"c{at}": one for at, one in enumerate(inputs) if one is not None}
    node = helper.make_node(operator, ["signal", *names], ["y"], **attributes)
    twins, engines = both(onnx_file(tmp_path / "one.onnx", [node], constants))
    np.testing.assert_allclose(twins, engines, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.int16])
@pytest.mark.parametrize("zero", [0, 3])
def test_onnx_rounding(kind: type, zero: int, tmp_path: Path) -> None:
    constants: Constants = {"scale": np.array(0.002, np.float32), "zero": np.array(zero, kind)}
    nodes = [
        helper.make_node("QuantizeLinear", ["signal", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"]),
    ]
    opset = 21 if kind is np.int16 else 20  # the first that rounds to 16 bits
    twins, engines = both(onnx_file(tmp_path / "one.onnx", nodes, constants, opset))
    np.testing.assert_array_equal(twins, engines)  # a step of 2 uV: every second sample is a tie


@pytest.mark.parametrize(
    ("operator", "constants", "attributes", "said"),
    [
        ("Det", {}, {}, r"operator Det \(odd\)"),
        ("Cast", {}, {"to": TensorProto.FLOAT16}, "Cast .* data type float16"),
        ("Slice", {"a": ints(19), "b": ints(0), "c": ints(2), "d": ints(-2)}, {}, "Slice .* steps"),
        ("Pad", {"a": ints(0, 0, 1, 0, 0, 1)}, {"mode": "wrap"}, "Pad .* mode=wrap"),
        ("Reshape", {"a": ints(0, -1)}, {"allowzero": 1}, "Reshape .* allowzero=1"),
    ],
)
def test_what_onnx_operators_are_refused(
    operator: str, constants: Constants, attributes: dict[str, Any], said: str, tmp_path: Path
) -> None:
    node = helper.make_node(operator, ["signal", *constants], ["y"], name="odd", **attributes)
    path = onnx_file(tmp_path / "one.onnx", [node], constants)
    with pytest.raises(NotCoveredError, match=said):
        open_twin(path)


@pytest.mark.parametrize(
    "operators", [["ABS"], ["EXP"], ["LOGISTIC"], ["RELU"], ["TANH"], ["ABS", "SQRT"], ["EXP", "LOG"]]
)
def test_a_tflite_operator(operators: list[str], tmp_path: Path) -> None:
    path = linear_file(tmp_path / "one.tflite", [(name, None) for name in operators], SHAPE)
    twins, engines = both(path)
    np.testing.assert_allclose(twins, engines, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("code", "covered"), [(0, True), (1, True), (2, True), (3, True), (4, False)])
def test_activations_of_tflite(code: int, covered: bool, tmp_path: Path) -> None:
    from pulseproof.export.tflite.flatbuffer import Graph

    path = linear_file(tmp_path / "one.tflite", shape=SHAPE)
    graph = Graph.open(path)
    graph.graph.operators[-1].builtinOptions.fusedActivationFunction = code
    assert isinstance(graph.graph.operators[-1].builtinOptions, schema.FullyConnectedOptionsT)
    graph.write(path)
    if covered:
        np.testing.assert_allclose(*both(path), rtol=1e-5, atol=1e-5)
    else:
        with pytest.raises(NotCoveredError, match=r"FULLY_CONNECTED .* the activation"):
            open_twin(path)
