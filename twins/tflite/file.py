"""The twin of a TFLite file.

In: a ``.tflite`` file of one recording in, one row of scores out, float32 or with fixed 8- or 16-bit activations. Out:
a :class:`~twins.program.Twin`. The graph is run once on a recording of zeros while it is read, so that what depends on
constants alone (weights behind a DEQUANTIZE) becomes a constant, and what cannot run shows now.

A quantized tensor is held as whole numbers less its zero point, in float32: products and sums of 8-bit numbers are then
exact as long as they stay below 2**24, as they are in the kernels, and 0.0 is 0.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pulseproof.core.errors import InputError
from pulseproof.twins.errors import NotCoveredError
from pulseproof.twins.program import Twin
from pulseproof.twins.steps import GraphStep, Run, perform, try_out
from pulseproof.twins.tflite.format import TYPES, TfliteFile
from pulseproof.twins.tflite.node import Meaning, Operator, Reading, to_steps
from pulseproof.twins.tflite.operators import OPERATORS

KINDS = {code: dtype for dtype, code in TYPES.items()}
_MEND = "export it again"


def read(path: Path, masked: bool = True) -> Twin:
    """See :func:`twins.opening.open_twin`."""
    graph = TfliteFile.open(path)
    try:
        if len(graph.model.subgraphs) != 1:
            raise NotCoveredError(f"{len(graph.model.subgraphs)} subgraphs: control flow is not covered")
        if len(graph.graph.inputs) != 1 or len(graph.graph.outputs) != 1:
            raise NotCoveredError("a twin takes one input and gives one output")
        meanings = [_meaning(graph, at) for at in range(len(graph.graph.tensors))]
        reading = Reading(graph, masked, meanings, {})
        reading.constants = {str(at): _constant(reading, at) for at in range(len(meanings)) if graph.is_constant(at)}
        for at, meaning in enumerate(meanings):
            if graph.graph.tensors[at].isVariable:  # the state of a recurrent layer: each recording begins at 0.0
                reading.constants[str(at)] = torch.zeros(meaning.shape)
        steps, shape, ends = _steps(reading)
    except NotCoveredError:
        raise
    except (RuntimeError, KeyError, IndexError, TypeError, ValueError, AttributeError, AssertionError) as error:
        said = " ".join(str(error).split())[:160]
        raise InputError(f"{path}: its graph does not run ({type(error).__name__}: {said})", _MEND) from None
    return Twin(steps, reading.constants, ends, shape, _output_step(reading))


def _steps(reading: Reading) -> tuple[list[GraphStep], tuple[int, int], tuple[str, str]]:
    """The steps that depend on the signal, the shape (leads, samples) of it, and the names of both ends."""
    graph = reading.graph
    entry, end = int(graph.graph.inputs[0]), int(graph.graph.outputs[0])
    if len(reading.meanings[entry].shape) != 3:
        raise NotCoveredError(f"an input {reading.meanings[entry].shape}: a twin takes (1, leads, samples)")
    _, leads, samples = reading.meanings[entry].shape
    first = GraphStep(_enter(reading.meanings[entry], reading.masked), ("signal",), (str(entry),))
    values = {**reading.constants, "signal": torch.zeros(1, leads, samples)}
    steps = [first]
    with torch.no_grad():
        perform(first, values)
        for kind, raw in zip(graph.operators(), graph.graph.operators, strict=True):
            if kind not in OPERATORS:
                raise NotCoveredError(f"operator {kind} ({graph.name(int(raw.outputs[0]))}) is not covered")
            operator = Operator(kind, raw, reading)
            names = tuple(str(at) if at >= 0 else "" for at in operator.inputs)
            step = GraphStep(OPERATORS[kind](operator), names, tuple(map(str, operator.outputs)), kind)
            try_out(step, values)
            if all(name in reading.constants for name in names if name):
                reading.constants.update((name, values[name]) for name in step.outputs)
            else:
                steps.append(step)
    steps.append(GraphStep(_leave(reading.meanings[end]), (str(end),), ("scores",), "DEQUANTIZE"))
    return steps, (leads, samples), ("signal", "scores")


def _enter(meaning: Meaning, masked: bool) -> Run:
    """What :mod:`runtime.engines` does with the signal before the file gets it."""
    if meaning.scale is None:
        return lambda x: x
    return partial(to_steps, meaning, masked)


def _leave(meaning: Meaning) -> Run:
    if meaning.scale is None:
        return lambda y: y
    return lambda y: y * meaning.one


def _meaning(graph: TfliteFile, at: int) -> Meaning:
    tensor = graph.graph.tensors[at]
    if tensor.type not in KINDS:
        raise NotCoveredError(f"data type {tensor.type} ({graph.name(at)}) is not covered")
    dtype = KINDS[tensor.type]
    shape = tuple(int(size) for size in ([] if tensor.shape is None else tensor.shape))
    about = tensor.quantization
    scales = None if about is None else about.scale
    if dtype.kind == "f" or scales is None or len(scales) == 0:
        return Meaning(dtype, shape)
    zeros = {int(zero) for zero in ([0] if about.zeroPoint is None else about.zeroPoint)}
    if len(zeros) != 1:
        raise NotCoveredError(f"several zero points ({graph.name(at)}) are not covered")
    scale = torch.tensor(np.asarray(scales, np.float32))
    return Meaning(dtype, shape, scale, zeros.pop(), int(about.quantizedDimension or 0))


def _constant(reading: Reading, at: int) -> Tensor:
    """A constant's numbers: floats and shapes as they are, quantized ones less their zero point, in float32."""
    meaning = reading.meanings[at]
    values = torch.from_numpy(np.array(reading.graph.values(at)).reshape(meaning.shape))
    if meaning.scale is not None:
        return (values.double() - meaning.zero).float()
    return values


def _output_step(reading: Reading) -> float | None:
    """The step of the scores: of the output tensor, or of what its DEQUANTIZE takes."""
    end = int(reading.graph.graph.outputs[0])
    for kind, _, inputs, outputs in reading.graph.steps():
        if outputs[0] == end and kind == "DEQUANTIZE":
            end = inputs[0]
    meaning = reading.meanings[end]
    return None if meaning.scale is None else meaning.one
