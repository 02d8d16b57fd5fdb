"""Files of one operator, for the tests that hold each against the engine of its format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from pulseproof.export.job import INPUT
from pulseproof.export.tflite.flatbuffer import Graph

SHAPE = (2, 20)
RNG = np.random.default_rng(6)
Inputs = list[NDArray[Any] | None]


def weights(*shape: int) -> NDArray[np.float32]:
    return RNG.normal(size=shape).astype(np.float32)


def ints(*values: int) -> NDArray[np.int64]:
    return np.array(values, np.int64)


def single(value: float) -> NDArray[np.float32]:
    return np.array(value, np.float32)


# name: operator, its constant inputs behind the signal (None: left out), its attributes
ONNX: dict[str, tuple[str, Inputs, dict[str, Any]]] = {
    **{
        name.lower(): (name, [], {})
        for name in (
            *("Ceil", "Celu", "Cos", "Elu", "Erf", "Floor", "Gelu", "GlobalMaxPool", "HardSigmoid", "HardSwish"),
            *("LeakyRelu", "LogSoftmax", "Mish", "Reciprocal", "ReduceL1", "ReduceL2", "ReduceLogSumExp"),
            *("ReduceSumSquare", "Round", "Selu", "Sign", "Sin", "Softmax", "Softplus", "Softsign", "ThresholdedRelu"),
        )
    },
    "gelu by tanh": ("Gelu", [], {"approximate": "tanh"}),
    "softmax of leads": ("Softmax", [], {"axis": 1}),
    "prelu": ("PRelu", [weights(2, 1)], {}),
    "pow": ("Pow", [single(2.0)], {}),
    "max": ("Max", [weights(20), weights(2, 1)], {}),
    "min": ("Min", [weights(20)], {}),
    "mean": ("Mean", [weights(20), weights(2, 1)], {}),
    "several": ("Sum", [weights(20), weights(2, 1)], {}),
    "mod": ("Mod", [single(0.3)], {"fmod": 1}),
    "product": ("ReduceProd", [ints(1)], {}),
    "sums so far": ("CumSum", [ints(2)[0]], {}),
    "einsum": ("Einsum", [weights(20, 3)], {"equation": "bls,sk->blk"}),
    "max pool": ("MaxPool", [], {"kernel_shape": [3], "strides": [2]}),
    "max pool padded": ("MaxPool", [], {"kernel_shape": [3], "strides": [2], "pads": [1, 1]}),
    "max pool of all": ("MaxPool", [], {"kernel_shape": [3], "strides": [2], "ceil_mode": 1}),
    "max pool dilated": ("MaxPool", [], {"kernel_shape": [3], "dilations": [3]}),
    "max pool same": ("MaxPool", [], {"kernel_shape": [4], "strides": [3], "auto_pad": "SAME_UPPER"}),
    "mean pool": ("AveragePool", [], {"kernel_shape": [4], "strides": [2]}),
    "mean pool padded": ("AveragePool", [], {"kernel_shape": [4], "strides": [2], "pads": [1, 2]}),
    "mean pool counted": ("AveragePool", [], {"kernel_shape": [4], "pads": [1, 2], "count_include_pad": 1}),
    "mean pool of all": ("AveragePool", [], {"kernel_shape": [3], "strides": [2], "ceil_mode": 1}),
    "layer norm": ("LayerNormalization", [weights(20), weights(20)], {"epsilon": 1e-3}),
    "layer norm of both": ("LayerNormalization", [weights(2, 20)], {"axis": 1}),
    "instance norm": ("InstanceNormalization", [weights(2), weights(2)], {}),
    "length norm": ("LpNormalization", [], {"axis": 2}),
    "conv transpose": ("ConvTranspose", [weights(2, 3, 4), weights(3)], {"strides": [2], "pads": [1, 1]}),
    "lstm": ("LSTM", [weights(1, 16, 20), weights(1, 16, 4), weights(1, 32)], {"hidden_size": 4}),
    "lstm both ways": (
        "LSTM",
        [weights(2, 16, 20), weights(2, 16, 4)],
        {"hidden_size": 4, "direction": "bidirectional"},
    ),
    "gru": ("GRU", [weights(1, 12, 20), weights(1, 12, 4), weights(1, 24)], {"hidden_size": 4}),
    "gru backwards": (
        "GRU",
        [weights(1, 12, 20), weights(1, 12, 4), weights(1, 24)],
        {"hidden_size": 4, "direction": "reverse", "linear_before_reset": 1},
    ),
    "rnn": ("RNN", [weights(1, 4, 20), weights(1, 4, 4), weights(1, 8)], {"hidden_size": 4}),
    "tile": ("Tile", [ints(1, 3, 2)], {}),
    "split": ("Split", [ints(5, 15)], {"axis": 2}),
    "gather elements": ("GatherElements", [ints(3, -1, 0).reshape(1, 1, 3)], {"axis": 2}),
    "pad by edges": ("Pad", [ints(0, 0, 2, 0, 0, 3)], {"mode": "edge"}),
    "pad by mirror": ("Pad", [ints(0, 0, 2, 0, 0, 3)], {"mode": "reflect"}),
    "slice backwards": ("Slice", [ints(-2), ints(-(2**31)), ints(2), ints(-1)], {}),
    "lower triangle": ("Trilu", [], {"upper": 0}),
    "resize": ("Resize", [None, np.array([1, 1, 3], np.float32)], {"mode": "nearest"}),
    "resize by lines": ("Resize", [None, np.array([1, 1, 2], np.float32)], {"mode": "linear"}),
    "reversed": ("ReverseSequence", [ints(2)], {"time_axis": 1, "batch_axis": 0}),
    "cast like": ("CastLike", [single(1.0)], {}),
}
# Those that answer yes, no or a place: cast to numbers behind.
ONNX_ANSWERS: dict[str, tuple[str, Inputs, dict[str, Any]]] = {
    "arg max": ("ArgMax", [], {"axis": 2}),
    "arg min": ("ArgMin", [], {"axis": 1, "keepdims": 0}),
    "equal": ("Equal", [single(0.1)], {}),
    "greater": ("Greater", [weights(20)], {}),
    "greater or equal": ("GreaterOrEqual", [weights(20)], {}),
    "less": ("Less", [weights(20)], {}),
    "less or equal": ("LessOrEqual", [weights(20)], {}),
    "is nan": ("IsNaN", [], {}),
    "size": ("Size", [], {}),
    "shape": ("Shape", [], {}),
}


def _options(kind: str, **values: Any) -> Any:
    made = getattr(schema, f"{kind}OptionsT")()
    for name, value in values.items():
        setattr(made, name, value)
    return made


def _small(*values: int) -> NDArray[np.int32]:
    return np.array(values, np.int32)


def _pool(padding: int) -> Any:
    return _options("Pool2D", padding=padding, strideH=1, strideW=3, filterHeight=1, filterWidth=4)


FOUR = (1, 1, 20, 2)  # as images have it: a row of 20 samples with 2 channels
Case = tuple[str, Inputs, Any, tuple[int, ...], tuple[int, ...]]
# name: operator, its other inputs (None is the signal's place where it is not the first), options, shapes in and out
TFLITE: dict[str, Case] = {
    **{
        name.lower(): (name, [], None, (1, 40), (1, 40))
        for name in (
            *("ABS", "CEIL", "COS", "ELU", "EXP", "FLOOR", "HARD_SWISH", "LOGISTIC", "LOG_SOFTMAX", "NEG", "RELU"),
            *("RELU6", "RELU_0_TO_1", "RELU_N1_TO_1", "ROUND", "SIGN", "SIN", "SQUARE", "TANH", "ZEROS_LIKE"),
        )
    },
    "softmax": ("SOFTMAX", [], _options("Softmax", beta=0.7), (1, 40), (1, 40)),
    "gelu by tanh": ("GELU", [], _options("Gelu", approximate=True), (1, 40), (1, 40)),
    "leaky": ("LEAKY_RELU", [], _options("LeakyRelu", alpha=0.2), (1, 40), (1, 40)),
    "prelu": ("PRELU", [weights(2)], None, FOUR, FOUR),
    "length one": ("L2_NORMALIZATION", [], _options("L2Norm"), (1, 40), (1, 40)),
    "div": ("DIV", [np.abs(weights(1, 40)) + 1], _options("Div"), (1, 40), (1, 40)),
    "sub": ("SUB", [weights(1, 40)], _options("Sub"), (1, 40), (1, 40)),
    "pow": ("POW", [np.full((1, 40), 2, np.float32)], _options("Pow"), (1, 40), (1, 40)),
    "maximum": ("MAXIMUM", [weights(1, 40)], _options("MaximumMinimum"), (1, 40), (1, 40)),
    "minimum": ("MINIMUM", [weights(1, 40)], _options("MaximumMinimum"), (1, 40), (1, 40)),
    "floor div": ("FLOOR_DIV", [np.full((1, 40), 0.3, np.float32)], _options("FloorDiv"), (1, 40), (1, 40)),
    "floor mod": ("FLOOR_MOD", [np.full((1, 40), 0.3, np.float32)], _options("FloorMod"), (1, 40), (1, 40)),
    "difference": ("SQUARED_DIFFERENCE", [weights(1, 40)], None, (1, 40), (1, 40)),
    "sum": ("SUM", [_small(2)], _options("Reducer", keepDims=True), FOUR, (1, 1, 1, 2)),
    "product": ("REDUCE_PROD", [_small(3)], _options("Reducer", keepDims=False), FOUR, (1, 1, 20)),
    "least": ("REDUCE_MIN", [_small(2)], _options("Reducer", keepDims=False), FOUR, (1, 1, 2)),
    "largest": ("REDUCE_MAX", [_small(2)], _options("Reducer", keepDims=True), FOUR, (1, 1, 1, 2)),
    "sums so far": ("CUMSUM", [np.array(1, np.int32)], _options("Cumsum"), (1, 40), (1, 40)),
    "max pool": ("MAX_POOL_2D", [], _pool(0), FOUR, (1, 1, 7, 2)),
    "max pool valid": ("MAX_POOL_2D", [], _pool(1), FOUR, (1, 1, 6, 2)),
    "mean pool": ("AVERAGE_POOL_2D", [], _pool(0), FOUR, (1, 1, 7, 2)),
    "mean pool valid": ("AVERAGE_POOL_2D", [], _pool(1), FOUR, (1, 1, 6, 2)),
    "split": ("SPLIT", [np.array(2, np.int32), None], _options("Split", numSplits=2), FOUR, (1, 1, 10, 2)),
    "split by sizes": (
        "SPLIT_V",
        [_small(5, -1), np.array(2, np.int32)],
        _options("SplitV", numSplits=2),
        FOUR,
        (1, 1, 5, 2),
    ),
    "unpack": ("UNPACK", [], _options("Unpack", num=2, axis=3), FOUR, (1, 1, 20)),
    "slice": ("SLICE", [_small(0, 0, 3, 0), _small(1, 1, 9, -1)], _options("Slice"), FOUR, (1, 1, 9, 2)),
    "strided": (
        "STRIDED_SLICE",
        [_small(0, 0, 1, 0), _small(1, 1, 19, 2), _small(1, 1, 3, 1)],
        _options("StridedSlice", beginMask=1, endMask=8),
        FOUR,
        (1, 1, 6, 2),
    ),
    "one of many": (
        "STRIDED_SLICE",
        [_small(0, 0, -1, 0), _small(1, 1, 0, 2), _small(1, 1, 1, 1)],
        _options("StridedSlice", shrinkAxisMask=4),
        FOUR,
        (1, 1, 2),
    ),
    "gather": ("GATHER", [_small(3, 0, 19)], _options("Gather", axis=2), FOUR, (1, 1, 3, 2)),
    "tile": ("TILE", [_small(1, 2, 1, 2)], None, FOUR, (1, 2, 20, 4)),
    "reverse": ("REVERSE_V2", [_small(2)], None, FOUR, FOUR),
    "pad": ("PAD", [_small(0, 0, 0, 0, 2, 3, 0, 0).reshape(4, 2)], None, FOUR, (1, 1, 25, 2)),
    "pad with": ("PADV2", [_small(0, 0, 0, 0, 2, 3, 0, 0).reshape(4, 2), single(0.5)], None, FOUR, (1, 1, 25, 2)),
    "mirror": (
        "MIRROR_PAD",
        [_small(0, 0, 0, 0, 2, 3, 0, 0).reshape(4, 2)],
        _options("MirrorPad", mode=0),
        FOUR,
        (1, 1, 25, 2),
    ),
    "mirror with edges": (
        "MIRROR_PAD",
        [_small(0, 0, 0, 0, 2, 3, 0, 0).reshape(4, 2)],
        _options("MirrorPad", mode=1),
        FOUR,
        (1, 1, 25, 2),
    ),
    "squeeze": ("SQUEEZE", [], _options("Squeeze", squeezeDims=[1]), FOUR, (1, 20, 2)),
    "to batch": ("SPACE_TO_BATCH_ND", [_small(1, 2), _small(0, 0, 1, 1).reshape(2, 2)], None, FOUR, (2, 1, 11, 2)),
    "from batch": (
        "BATCH_TO_SPACE_ND",
        [_small(1, 2), _small(0, 0, 1, 1).reshape(2, 2)],
        None,
        (2, 1, 10, 2),
        (1, 1, 18, 2),
    ),
    "fill and stack": ("PACK", [weights(*FOUR)], _options("Pack", valuesCount=2, axis=0), FOUR, (2, *FOUR)),
    "repeat": (
        "RESIZE_NEAREST_NEIGHBOR",
        [_small(1, 60)],
        _options("ResizeNearestNeighbor"),
        FOUR,
        (1, 1, 60, 2),
    ),
    "transposed conv": (
        "TRANSPOSE_CONV",
        [_small(1, 1, 40, 3), weights(3, 1, 5, 2), None],
        _options("TransposeConv", padding=0, strideH=1, strideW=2),
        FOUR,
        (1, 1, 40, 3),
    ),
}


def tflite_file(path: Path, case: Case) -> Path:
    """The signal, reshaped, through one operator, its numbers reshaped to a row of scores."""
    kind, inputs, options, before, after = case
    graph = Graph.empty()
    signal = graph.tensor(INPUT, (1, *SHAPE))
    value = _reshaped(graph, signal, before, "before")
    constants = [None if one is None else graph.constant(f"c{at}", one) for at, one in enumerate(inputs)]
    if None in constants:
        names = [value if one is None else one for one in constants]
    else:
        names = [value, *(one for one in constants if one is not None)]
    result = graph.tensor("y", after)
    graph.add(kind, names, result, options)
    if kind in ("SPLIT", "SPLIT_V", "UNPACK"):
        other = (*after[:2], 15, 2) if kind == "SPLIT_V" else after
        operator = graph.graph.operators[-1]
        operator.outputs = [*operator.outputs, graph.tensor("y2", other)]
    scores = _reshaped(graph, result, (1, int(np.prod(after))), "scores")
    graph.graph.inputs, graph.graph.outputs = [signal], [scores]
    graph.write(path)
    return path


def _reshaped(graph: Graph, value: int, shape: tuple[int, ...], name: str) -> int:
    wanted = graph.constant(f"{name} shape", np.array(shape, np.int32))
    return graph.add("RESHAPE", [value, wanted], graph.tensor(name, shape), _options("Reshape", newShape=list(shape)))
