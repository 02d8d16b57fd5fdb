"""Full-integer TFLite files of :class:`~models.nets.Lstm`: int8 activations and hidden state, int16 cell.

In: a job with calibration recordings. Out: the operators of :mod:`export.tflite.lstm`, all int8, around one
full-integer UNIDIRECTIONAL_SEQUENCE_LSTM. No converter here makes that operator of a torch module: it is written by
hand, to the rules of TFLite's quantized LSTM (Li and Alvarez 2021, "On the quantization of recurrent neural networks",
arXiv 2101.05453; ``PopulateQuantizedLstmParams8x8_16`` in TFLite's ``unidirectional_sequence_lstm.cc``):

    input, hidden state     int8, one scale each; the state's zero point is 0
    weights                 int8, symmetric, one scale for each of the eight matrices
    biases                  int32, in units of input scale x weight scale
    gates before sigmoid    int16 with 2**-12: the kernel's own choice, +-8
    cell                    int16, a power of two from 2**-15 to 2**-9
    five intermediates      only the fifth is read where nothing is projected: the hidden state's scale and zero point
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import linear

from pulseproof.export.job import INPUT, OUTPUT, ExportJob, MadeFile, RefusedError
from pulseproof.export.onnx.files import HISTOGRAM
from pulseproof.export.tflite import lstm as layout
from pulseproof.export.tflite.flatbuffer import Graph
from pulseproof.models.nets import Lstm

VERSION = 1  # of the fused operator, as converters give it to full-integer files; the kernel goes by the tensors' types
INTERMEDIATES = ("input_gate", "forget_gate", "cell_gate", "output_gate", "hidden")
CHUNK = 32  # calibration recordings whose activations are held at a time
LOWEST, HIGHEST = -128, 127  # of int8
CELL_EXPONENTS = range(-15, -8)  # of the powers of two that the kernel takes as the cell's scale
Range = tuple[float, float]


@dataclass(frozen=True)
class Ranges:
    """(lowest, highest) of: ``signal`` (mV); ``own_mean`` (mV), a lead's mean over a recording; ``centred`` (mV), what
    the LSTM takes: the signal, less its own mean where the model subtracts one; ``hidden`` state; ``cell``; ``mean`` of
    the hidden state over time; ``scores``."""

    signal: Range
    own_mean: Range
    centred: Range
    hidden: Range
    cell: Range
    mean: Range
    scores: Range


@dataclass(frozen=True)
class Affine:
    """What an integer means: ``scale * (integer - zero_point)``."""

    scale: float
    zero_point: int


def write_static(job: ExportJob) -> MadeFile:
    """``tflite-int8-static`` of an Lstm: int8 inside, float32 signal and scores. Where a recording loses its own mean,
    it does so before it is rounded. Raises RefusedError without calibration recordings."""
    net, ranges = _start(job)
    graph = Graph.empty()
    signal = graph.tensor(INPUT, (1, *job.shape))
    graph.graph.inputs = [signal]
    centred = layout.subtract_own_mean(graph, signal) if net.normalise.own_mean else signal
    rounded = _int8(graph, "rounded", (1, *job.shape), affine(*ranges.centred))
    graph.add("QUANTIZE", [centred], rounded, schema.QuantizeOptionsT())
    inner = _scores(graph, net, rounded, ranges, "scores.rounded")
    scores = graph.tensor(OUTPUT, (1, layout.last_layer(net).out_features))
    graph.graph.outputs = [graph.add("DEQUANTIZE", [inner], scores, schema.DequantizeOptionsT(), 2)]
    graph.write(job.out)
    return MadeFile(note="own mean subtracted in float" if net.normalise.own_mean else None)


def write_full(job: ExportJob) -> MadeFile:
    """``tflite-int8-full`` of an Lstm: int8 signal and scores too, no float tensor in the file. Where a recording loses
    its own mean, it does so in int8, after it was rounded: a mean below half a step of the signal stays in it. Raises
    RefusedError without calibration recordings."""
    net, ranges = _start(job)
    graph, of_signal = Graph.empty(), affine(*ranges.signal)
    signal = _int8(graph, INPUT, (1, *job.shape), of_signal)
    graph.graph.inputs = [signal]
    centred = _subtract_own_mean(graph, signal, ranges) if net.normalise.own_mean else signal
    graph.graph.outputs = [_scores(graph, net, centred, ranges, OUTPUT)]
    graph.write(job.out)
    said = f"own mean subtracted in int8, after the signal was rounded to steps of {of_signal.scale:.2g} mV"
    return MadeFile(note=said if net.normalise.own_mean else None)


def _start(job: ExportJob) -> tuple[Lstm, Ranges]:
    assert isinstance(job.module, Lstm)
    return job.module, calibrate(job.module, job.calibration, job.method)


def _subtract_own_mean(graph: Graph, signal: int, ranges: Ranges) -> int:
    _, leads, samples = graph.graph.tensors[signal].shape
    mean = _int8(graph, "own_mean", (1, leads, 1), affine(*ranges.own_mean))
    layout.add_own_mean(graph, signal, mean, 2)
    centred = _int8(graph, "centred", (1, leads, samples), affine(*ranges.centred))
    return graph.add("SUB", [signal, mean], centred, schema.SubOptionsT(), 2)


def _scores(graph: Graph, net: Lstm, signal: int, ranges: Ranges, name: str) -> int:
    """From the int8 signal, less its mean, to int8 scores."""
    states = _lstm(graph, net, layout.cut_patches(graph, net, signal), ranges)
    parts, axis = layout.cut_pieces(graph, net, states)
    of_mean, last = affine(*ranges.mean), layout.last_layer(net)
    mean = _int8(graph, "mean", layout.mean_shape(net), of_mean)
    graph.add("MEAN", [parts, axis], mean, schema.ReducerOptionsT(), 2)
    flat = layout.reshape(graph, "means", mean, (1, last.in_features))
    weight, scale = layout.symmetric(last.weight.detach().numpy())
    weights = graph.constant("head.weight", weight, scale)
    bias = _bias(graph, "head.bias", last.bias.detach().numpy(), of_mean.scale, scale)
    scores = _int8(graph, name, (1, last.out_features), affine(*ranges.scores))
    return graph.add("FULLY_CONNECTED", [flat, weights, bias], scores, schema.FullyConnectedOptionsT(), 4)


def _lstm(graph: Graph, net: Lstm, patches: int, ranges: Ranges) -> int:
    inputs, recurrent, bias = layout.folded_weights(net)
    of_input = float(graph.graph.tensors[patches].quantization.scale[0])
    matrices, biases = [], []
    for (gate, weight), (_, values) in zip(layout.by_gate(inputs), layout.by_gate(bias), strict=True):
        quantized, scale = layout.symmetric(weight)
        matrices.append(graph.constant(f"lstm.input_to_{gate}", quantized, scale))
        biases.append(_bias(graph, f"lstm.{gate}.bias", values, of_input, scale))
    for gate, weight in layout.by_gate(recurrent):
        matrices.append(graph.constant(f"lstm.recurrent_to_{gate}", *layout.symmetric(weight)))
    # Some engines reset a variable to zeros, some to its zero point: where that is 0, both mean a state of 0.0.
    of_hidden = Affine(float(np.float32(max(map(abs, ranges.hidden)) / 127)) or 1.0, 0)
    of_cell = Affine(math.ldexp(1.0, cell_exponent(max(map(abs, ranges.cell)))), 0)
    hidden = net.lstm.hidden_size
    variables = [
        _quantized(graph, "lstm.hidden", (1, hidden), of_hidden, np.int8, variable=True),
        _quantized(graph, "lstm.cell", (1, hidden), of_cell, np.int16, variable=True),
    ]
    states = _int8(graph, "states", (1, net.steps, hidden), of_hidden)
    layout.add_lstm(graph, patches, matrices, biases, variables, states, VERSION)
    graph.graph.operators[-1].intermediates = [
        _int8(graph, f"lstm.{name}.intermediate", (0,), of_hidden) for name in INTERMEDIATES
    ]
    return states


def _bias(graph: Graph, name: str, values: NDArray[np.float32], of_input: float, of_weight: float) -> int:
    quantized, scale = bias_int32(values, of_input, of_weight)
    return graph.constant(name, quantized, scale)


def _int8(graph: Graph, name: str, shape: tuple[int, ...], meaning: Affine) -> int:
    return _quantized(graph, name, shape, meaning, np.int8)


def _quantized(
    graph: Graph, name: str, shape: tuple[int, ...], meaning: Affine, kind: type[np.integer], variable: bool = False
) -> int:
    index = graph.tensor(name, shape, kind, variable)
    quantization = schema.QuantizationParametersT()
    quantization.scale, quantization.zeroPoint = [meaning.scale], [meaning.zero_point]
    graph.graph.tensors[index].quantization = quantization
    return index


def affine(low: float, high: float) -> Affine:
    """The int8 scale and zero point that cover ``low`` to ``high`` and hold 0.0 exactly, as TFLite's kernels ask."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = float(np.float32((high - low) / (HIGHEST - LOWEST)))
    if scale == 0:
        return Affine(1.0, 0)
    return Affine(scale, int(np.clip(round(LOWEST - low / scale), LOWEST, HIGHEST)))


def bias_int32(values: NDArray[np.float32], of_input: float, of_weight: float) -> tuple[NDArray[np.int32], float]:
    """A bias in the units in which the kernels add up products, input scale x weight scale, and that scale."""
    scale = float(np.float32(of_input) * np.float32(of_weight))
    limits = np.iinfo(np.int32)
    return np.clip(np.rint(values.astype(np.float64) / scale), limits.min, limits.max).astype(np.int32), scale


def cell_exponent(largest: float) -> int:
    """The exponent of the smallest power of two that is a scale for an int16 cell up to ``largest``, within what the
    kernel takes: beyond +-64 the cell stays at +-64, which has the same tanh in float32."""
    reach = np.iinfo(np.int16).max
    return next((each for each in CELL_EXPONENTS if reach * 2.0**each >= largest), CELL_EXPONENTS[-1])


def calibrate(net: Lstm, signals: NDArray[np.float32], method: str) -> Ranges:
    """Ranges over recordings, float32 (k, leads, samples) mV, by ``method``: minmax, percentile or entropy, the very
    ones with which the ONNX files are calibrated. The cell's are always the extremes: int16 has room for them.

    Raises RefusedError without recordings.
    """
    if len(signals) == 0:
        raise RefusedError("there are no calibration recordings to read the ranges of its activations off")
    from onnxruntime.quantization.calibrate import HistogramCollector

    collector = HistogramCollector(method, scenario="same", **HISTOGRAM)
    extremes: dict[str, Range] = {}
    for first in range(0, len(signals), CHUNK):
        values = _activations(net, signals[first : first + CHUNK])
        for name, seen in values.items():
            low, high = extremes.get(name, (math.inf, -math.inf))
            extremes[name] = (min(low, float(seen.min())), max(high, float(seen.max())))
        if method != "minmax":
            del values["cell"]
            collector.collect({name: [seen] for name, seen in values.items()})
    if method != "minmax":
        found = collector.compute_collection_result()
        extremes |= {name: (float(found[name][0]), float(found[name][1])) for name in found}
    return Ranges(**extremes)


def _activations(net: Lstm, signals: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """Every number of each kind that these recordings give rise to."""
    with torch.inference_mode():
        signal = torch.from_numpy(signals)
        own_mean = signal.mean(dim=2, keepdim=True)
        hidden, cell = _steps(net, net.patches(net.normalise(signal)))
        means = _means(net, hidden)
        scores = net.head(means)
    centred = signal - own_mean if net.normalise.own_mean else signal
    found = {"signal": signal, "own_mean": own_mean, "centred": centred, "hidden": hidden, "cell": cell}
    return {name: values.numpy() for name, values in {**found, "mean": means, "scores": scores}.items()}


def _means(net: Lstm, states: Tensor) -> Tensor:
    """Hidden states (n, steps, hidden) to their means over each piece (n, pieces * hidden)."""
    (n, steps, hidden), pieces = states.shape, net.pieces
    each = steps // pieces
    return states[:, : each * pieces].reshape(n, pieces, each, hidden).mean(dim=2).reshape(n, pieces * hidden)


def _steps(net: Lstm, patches: Tensor) -> tuple[Tensor, Tensor]:
    """Hidden states and cells of all steps, (n, steps, hidden) each."""
    weights = dict(net.lstm.named_parameters())
    inputs = linear(patches, weights["weight_ih_l0"], weights["bias_ih_l0"])
    state = cell = torch.zeros(len(patches), net.lstm.hidden_size)
    states, cells = [], []
    for step in inputs.unbind(dim=1):
        gates = step + linear(state, weights["weight_hh_l0"], weights["bias_hh_l0"])
        entry, forget, new, out = gates.chunk(4, dim=1)
        cell = forget.sigmoid() * cell + entry.sigmoid() * new.tanh()
        state = out.sigmoid() * cell.tanh()
        states.append(state)
        cells.append(cell)
    return torch.stack(states, dim=1), torch.stack(cells, dim=1)
