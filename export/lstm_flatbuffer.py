"""TFLite files of :class:`~models.nets.Lstm`: one fused operator for the whole recurrence, written by hand.

No converter makes it: litert-torch unrolls every time step (16,000 operators for 1,000 steps, 40 times the latency).
In: a job. Out: SLICE (where the last patch is not full), RESHAPE, TRANSPOSE, RESHAPE (the patches),
UNIDIRECTIONAL_SEQUENCE_LSTM, MEAN over time, FULLY_CONNECTED. The normalisation is inside the LSTM's weights: nothing
is padded, so that is exact.

PyTorch's gates stand in the order i f g o, which is TFLite's i f c o, and its two biases add up to TFLite's one. State
and cell are variable tensors: they must be reset before each recording.
"""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray
from torch import nn

from export.flatbuffer import Graph
from export.job import INPUT, OUTPUT, Job
from models.nets import Lstm

GATES = ("input", "forget", "cell", "output")
HYBRID = 2  # the operator's version with int8 weights and float activations


def write_float(job: Job) -> None:
    """``tflite-fp32`` of an Lstm."""
    _write(job, int8=False)


def write_int8_weights(job: Job) -> None:
    """``tflite-int8-weights``: the LSTM's weights int8, one scale a matrix (per channel is not in the hybrid kernel);
    its inputs are quantized while it runs, its state stays float."""
    _write(job, int8=True)


def _write(job: Job, int8: bool) -> None:
    net = job.module
    assert isinstance(net, Lstm)
    (leads, samples), patch, steps, hidden = job.shape, net.patch, net.steps, net.lstm.hidden_size
    graph = Graph.empty()
    signal = graph.tensor(INPUT, (1, leads, samples))
    graph.graph.inputs = [signal]
    if net.normalise.own_mean:
        axis = graph.constant("samples", np.array([2], np.int32))
        keep = schema.ReducerOptionsT()
        keep.keepDims = True
        mean = graph.add("MEAN", [signal, axis], graph.tensor("own_mean", (1, leads, 1)), keep)
        centred = graph.tensor("centred", (1, leads, samples))
        signal = graph.add("SUB", [signal, mean], centred, schema.SubOptionsT())
    if steps * patch < samples:
        begin = graph.constant("begin", np.array([0, 0, 0], np.int32))
        size = graph.constant("size", np.array([1, leads, steps * patch], np.int32))
        kept = graph.tensor("kept", (1, leads, steps * patch))
        signal = graph.add("SLICE", [signal, begin, size], kept, schema.SliceOptionsT())
    cut = _reshape(graph, "cut", signal, (1, leads, steps, patch))
    order = graph.constant("order", np.array([0, 2, 1, 3], np.int32))
    turned = graph.tensor("turned", (1, steps, leads, patch))
    graph.add("TRANSPOSE", [cut, order], turned, schema.TransposeOptionsT())
    patches = _reshape(graph, "patches", turned, (1, steps, leads * patch))
    states = _lstm(graph, net, patches, steps, hidden, int8)
    mean = _mean_over_time(graph, states, steps, net.pieces, hidden)
    linear = net.head[1]
    assert isinstance(linear, nn.Linear)
    weight = graph.constant("head.weight", linear.weight.detach().numpy())
    bias = graph.constant("head.bias", linear.bias.detach().numpy())
    scores = graph.tensor(OUTPUT, (1, linear.out_features))
    graph.add("FULLY_CONNECTED", [mean, weight, bias], scores, schema.FullyConnectedOptionsT())
    graph.graph.outputs = [scores]
    graph.write(job.out)


def _mean_over_time(graph: Graph, states: int, steps: int, pieces: int, hidden: int) -> int:
    """``(1, steps, hidden)`` to ``(1, pieces * hidden)``; steps that do not fill the last piece are cut off."""
    if pieces == 1:
        axis = graph.constant("time", np.array([1], np.int32))
        return graph.add("MEAN", [states, axis], graph.tensor("mean", (1, hidden)), schema.ReducerOptionsT())
    each = steps // pieces
    if each * pieces < steps:
        begin = graph.constant("states.begin", np.array([0, 0, 0], np.int32))
        size = graph.constant("states.size", np.array([1, each * pieces, hidden], np.int32))
        kept = graph.tensor("states.kept", (1, each * pieces, hidden))
        states = graph.add("SLICE", [states, begin, size], kept, schema.SliceOptionsT())
    parted = _reshape(graph, "pieces", states, (1, pieces, each, hidden))
    axis = graph.constant("time", np.array([2], np.int32))
    mean = graph.add("MEAN", [parted, axis], graph.tensor("mean", (1, pieces, hidden)), schema.ReducerOptionsT())
    return _reshape(graph, "means", mean, (1, pieces * hidden))


def _reshape(graph: Graph, name: str, tensor: int, shape: tuple[int, ...]) -> int:
    options = schema.ReshapeOptionsT()
    options.newShape = list(shape)
    wanted = graph.constant(f"{name}.shape", np.array(shape, np.int32))
    return graph.add("RESHAPE", [tensor, wanted], graph.tensor(name, shape), options)


def _lstm(graph: Graph, net: Lstm, patches: int, steps: int, hidden: int, int8: bool) -> int:
    """The fused operator; its 24 inputs in the order of the schema's lstm kernel, -1 for those left out."""
    inputs, recurrent, bias = _folded_weights(net)

    def matrix(name: str, values: NDArray[np.float32]) -> int:
        if not int8:
            return graph.constant(name, values)
        scale = float(np.abs(values).max()) / 127 or 1.0
        return graph.constant(name, np.clip(np.rint(values / scale), -127, 127).astype(np.int8), scale)

    given = [patches]
    for kind, values in (("input", inputs), ("recurrent", recurrent)):
        parts = np.split(values, len(GATES))
        given += [matrix(f"lstm.{kind}_to_{gate}", part) for gate, part in zip(GATES, parts, strict=True)]
    given += [-1, -1, -1]  # peepholes
    given += [graph.constant(f"lstm.{gate}.bias", p) for gate, p in zip(GATES, np.split(bias, len(GATES)), strict=True)]
    given += [-1, -1]  # projection
    given += [graph.tensor(f"lstm.{name}", (1, hidden), variable=True) for name in ("hidden", "cell")]
    given += [-1, -1, -1, -1]  # layer norm
    options = schema.UnidirectionalSequenceLSTMOptionsT()
    options.fusedActivationFunction = schema.ActivationFunctionType.TANH
    states = graph.tensor("states", (1, steps, hidden))
    return graph.add("UNIDIRECTIONAL_SEQUENCE_LSTM", given, states, options, HYBRID if int8 else 1)


def _folded_weights(net: Lstm) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
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
