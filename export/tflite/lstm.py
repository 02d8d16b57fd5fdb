"""TFLite files of :class:`~models.nets.Lstm`: one fused operator for the whole recurrence, written by hand.

No converter makes it: litert-torch unrolls every time step (16,000 operators for 1,000 steps, 40 times the latency).
In: a job. Out: SLICE (where the last patch is not full), RESHAPE, TRANSPOSE, RESHAPE (the patches),
UNIDIRECTIONAL_SEQUENCE_LSTM, MEAN over time, FULLY_CONNECTED. The normalisation is inside the LSTM's weights: nothing
is padded, so that is exact. The full-integer files, which share this layout, are written by
:mod:`export.tflite.lstm_int8`.

PyTorch's gates stand in the order i f g o, which is TFLite's i f c o, and its two biases add up to TFLite's one. State
and cell are variable tensors: they must be reset before each recording.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray
from torch import nn

from pulseproof.export.job import INPUT, OUTPUT, ExportJob, MadeFile, RefusedError
from pulseproof.export.tflite.flatbuffer import Graph
from pulseproof.models.nets import Lstm

GATES = ("input", "forget", "cell", "output")
HYBRID = 2  # the operator's version with int8 weights and float activations
LARGEST_HALF = float(np.finfo(np.float16).max)
Constant = Callable[[Graph, str, NDArray[np.float32]], int]


def write_float(job: ExportJob) -> MadeFile:
    """``tflite-fp32`` of an Lstm: everything in float32."""
    _write(job, lstm=_float, head=_float, version=1)
    return MadeFile()


def write_fp16(job: ExportJob) -> MadeFile:
    """``tflite-fp16`` of an Lstm: weights and biases are float16 in the file, and float32 from a DEQUANTIZE on.

    Raises RefusedError where a weight is beyond float16's 65,504.
    """
    _write(job, lstm=_half, head=_half, version=1)
    return MadeFile(note="float16 in the file only: the engine computes in float32")


def write_dynamic(job: ExportJob) -> MadeFile:
    """``tflite-int8-dynamic`` of an Lstm: the LSTM's weights int8, one scale a matrix (the hybrid kernel knows no scale
    per channel); its inputs are quantized while it runs, its state and cell stay float."""
    _write(job, lstm=_int8, head=_float, version=HYBRID)
    return MadeFile(note="int8 weights in the LSTM; its biases, state and cell and the last layer stay float")


def _write(job: ExportJob, lstm: Constant, head: Constant, version: int) -> None:
    net = job.module
    assert isinstance(net, Lstm)
    graph = Graph.empty()
    signal = graph.tensor(INPUT, (1, *job.shape))
    graph.graph.inputs = [signal]
    patches = cut_patches(graph, net, subtract_own_mean(graph, signal) if net.normalise.own_mean else signal)
    inputs, recurrent, bias = folded_weights(net)
    # The hybrid kernel takes its biases in float, whatever its weights are.
    biases = [(_half if lstm is _half else _float)(graph, f"lstm.{gate}.bias", part) for gate, part in by_gate(bias)]
    matrices = [
        lstm(graph, f"lstm.{kind}_to_{gate}", part)
        for kind, values in (("input", inputs), ("recurrent", recurrent))
        for gate, part in by_gate(values)
    ]
    hidden = net.lstm.hidden_size
    variables = [graph.tensor(f"lstm.{name}", (1, hidden), variable=True) for name in ("hidden", "cell")]
    states = graph.tensor("states", (1, net.steps, hidden))
    add_lstm(graph, patches, matrices, biases, variables, states, version)
    parts, axis = cut_pieces(graph, net, states)
    mean = graph.add("MEAN", [parts, axis], graph.tensor("mean", mean_shape(net)), schema.ReducerOptionsT())
    linear = last_layer(net)
    weight, bias_of_head = (
        head(graph, f"head.{name}", getattr(linear, name).detach().numpy()) for name in ("weight", "bias")
    )
    scores = graph.tensor(OUTPUT, (1, linear.out_features))
    flat = reshape(graph, "means", mean, (1, linear.in_features))
    graph.add("FULLY_CONNECTED", [flat, weight, bias_of_head], scores, schema.FullyConnectedOptionsT())
    graph.graph.outputs = [scores]
    graph.write(job.out)


def _float(graph: Graph, name: str, values: NDArray[np.float32]) -> int:
    return graph.constant(name, values)


def _half(graph: Graph, name: str, values: NDArray[np.float32]) -> int:
    """A float16 constant behind a DEQUANTIZE, which the engines run once, not at every inference."""
    largest = float(np.abs(values).max(initial=0))
    if largest > LARGEST_HALF:
        raise RefusedError(f"{name} holds {largest:.3g}, beyond float16's largest number {LARGEST_HALF:g}")
    small = graph.constant(f"{name}.half", values.astype(np.float16))
    return graph.add("DEQUANTIZE", [small], graph.tensor(name, values.shape), schema.DequantizeOptionsT())


def _int8(graph: Graph, name: str, values: NDArray[np.float32]) -> int:
    quantized, scale = symmetric(values)
    return graph.constant(name, quantized, scale)


def symmetric(values: NDArray[np.float32]) -> tuple[NDArray[np.int8], float]:
    """A matrix as int8 and its one scale: ``values`` is about ``scale * int8``, -127..127, zero stays zero."""
    scale = float(np.float32(np.abs(values).max(initial=0) / 127)) or 1.0
    return np.clip(np.rint(values / scale), -127, 127).astype(np.int8), scale


def subtract_own_mean(graph: Graph, signal: int) -> int:
    """A float signal less each lead's mean."""
    (_, leads, samples) = graph.graph.tensors[signal].shape
    mean = add_own_mean(graph, signal, graph.tensor("own_mean", (1, leads, 1)), 1)
    return graph.add("SUB", [signal, mean], graph.tensor("centred", (1, leads, samples)), schema.SubOptionsT())


def add_own_mean(graph: Graph, signal: int, mean: int, version: int) -> int:
    """Mean over samples, (1, leads, samples) to (1, leads, 1), into the tensor ``mean``."""
    axis = graph.constant("samples", np.array([2], np.int32))
    keep = schema.ReducerOptionsT()
    keep.keepDims = True
    return graph.add("MEAN", [signal, axis], mean, keep, version)


def cut_patches(graph: Graph, net: Lstm, signal: int) -> int:
    """(1, leads, samples) to (1, steps, leads * patch); the samples that do not fill a last patch are cut off."""
    _, leads, samples = graph.graph.tensors[signal].shape
    steps, patch = net.steps, net.patch
    if steps * patch < samples:
        signal = _first(graph, "kept", signal, (1, leads, steps * patch))
    if leads == 1:  # it lies in this order already
        return reshape(graph, "patches", signal, (1, steps, patch))
    cut = reshape(graph, "cut", signal, (1, leads, steps, patch))
    order = graph.constant("order", np.array([0, 2, 1, 3], np.int32))
    turned = _like(graph, "turned", (1, steps, leads, patch), cut)
    graph.add("TRANSPOSE", [cut, order], turned, schema.TransposeOptionsT(), _version(graph, cut))
    return reshape(graph, "patches", turned, (1, steps, leads * patch))


def cut_pieces(graph: Graph, net: Lstm, states: int) -> tuple[int, int]:
    """(1, steps, hidden) as :class:`~models.nets.MeanOverTime` parts it, and the axis to take the mean over; steps that
    do not fill the last piece are cut off."""
    hidden, each = net.lstm.hidden_size, net.steps // net.pieces
    if net.pieces == 1:
        return states, graph.constant("time", np.array([1], np.int32))
    if each * net.pieces < net.steps:
        states = _first(graph, "states.kept", states, (1, each * net.pieces, hidden))
    parted = reshape(graph, "pieces", states, (1, net.pieces, each, hidden))
    return parted, graph.constant("time", np.array([2], np.int32))


def mean_shape(net: Lstm) -> tuple[int, ...]:
    """The shape that MEAN gives of what :func:`cut_pieces` gives."""
    hidden = net.lstm.hidden_size
    return (1, hidden) if net.pieces == 1 else (1, net.pieces, hidden)


def reshape(graph: Graph, name: str, tensor: int, shape: tuple[int, ...]) -> int:
    """The tensor in another shape; itself where it has that shape already."""
    if tuple(graph.graph.tensors[tensor].shape) == shape:
        return tensor
    options = schema.ReshapeOptionsT()
    options.newShape = list(shape)
    wanted = graph.constant(f"{name}.shape", np.array(shape, np.int32))
    return graph.add("RESHAPE", [tensor, wanted], _like(graph, name, shape, tensor), options)


def _first(graph: Graph, name: str, tensor: int, shape: tuple[int, ...]) -> int:
    """The first elements along each axis."""
    begin = graph.constant(f"{name}.begin", np.zeros(len(shape), np.int32))
    size = graph.constant(f"{name}.size", np.array(shape, np.int32))
    kept = _like(graph, name, shape, tensor)
    return graph.add("SLICE", [tensor, begin, size], kept, schema.SliceOptionsT(), _version(graph, tensor))


def _like(graph: Graph, name: str, shape: tuple[int, ...], tensor: int) -> int:
    """A tensor of another's type and scale: what moves numbers about does not change them."""
    other = graph.graph.tensors[tensor]
    index = graph.tensor(name, shape)
    graph.graph.tensors[index].type, graph.graph.tensors[index].quantization = other.type, other.quantization
    return index


def _version(graph: Graph, tensor: int) -> int:
    """The operator version that converters give to SLICE, TRANSPOSE and MEAN: 2 for int8, 1 for float."""
    return 2 if graph.graph.tensors[tensor].type == schema.TensorType.INT8 else 1


def add_lstm(
    graph: Graph,
    patches: int,
    matrices: Sequence[int],
    biases: Sequence[int],
    variables: Sequence[int],
    states: int,
    version: int,
) -> int:
    """The fused operator; its 24 inputs in the order of the schema's lstm kernel, -1 for those left out.

    ``matrices``: input weights of each gate, then recurrent ones; ``variables``: hidden state and cell.
    """
    none, peepholes, projection, layer_norm = -1, 3, 2, 4
    given = [patches, *matrices, *[none] * peepholes, *biases, *[none] * projection, *variables, *[none] * layer_norm]
    options = schema.UnidirectionalSequenceLSTMOptionsT()
    options.fusedActivationFunction = schema.ActivationFunctionType.TANH
    return graph.add("UNIDIRECTIONAL_SEQUENCE_LSTM", given, states, options, version)


def by_gate(values: NDArray[np.float32]) -> list[tuple[str, NDArray[np.float32]]]:
    """A matrix or bias of all gates, gate by gate."""
    return list(zip(GATES, np.split(values, len(GATES)), strict=True))


def last_layer(net: Lstm) -> nn.Linear:
    """The linear layer behind the mean over time."""
    linear = net.head[1]
    assert isinstance(linear, nn.Linear)
    return linear


def folded_weights(net: Lstm) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Input weights, recurrent weights and bias that take millivolts: ``W ((x - m) s) + b = (s W) x + (b - s m W 1)``.

    Computed in float64, so that the only rounding is that of the results.
    """
    lstm = {name: tensor.numpy().astype(np.float64) for name, tensor in net.lstm.state_dict().items()}
    normalise = {name: float(tensor) for name, tensor in net.normalise.state_dict().items()}
    weight = lstm["weight_ih_l0"] * normalise["scale"]
    bias = lstm["bias_ih_l0"] + lstm["bias_hh_l0"]
    if not net.normalise.own_mean:  # a recording's own mean is not known yet: the graph subtracts it
        bias = bias - normalise["mean"] * weight.sum(axis=1)
    return weight.astype(np.float32), lstm["weight_hh_l0"].astype(np.float32), bias.astype(np.float32)
