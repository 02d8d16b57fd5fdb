"""The twin of a TFLite file.

In: a ``.tflite`` file of one recording in, one row of scores out, float32 or with fixed 8- or 16-bit activations. Out:
a :class:`~twins.program.Twin`. The graph is run once on a recording of zeros while it is read, so that what depends on
constants alone (weights behind a DEQUANTIZE) becomes a constant, and what cannot run shows now. A loop with a number of
turns that is known is written out, turn by turn.

A quantized tensor is held as whole numbers less its zero point, in float32: products and sums of 8-bit numbers are then
exact as long as they stay below 2**24, as they are in the kernels, and 0.0 is 0.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pulseproof.core.errors import InputError
from pulseproof.twins.errors import NotCoveredError
from pulseproof.twins.program import Twin
from pulseproof.twins.room import expect_room
from pulseproof.twins.steps import GraphStep, Run, Trial
from pulseproof.twins.tflite.format import TYPES, TfliteFile
from pulseproof.twins.tflite.node import Meaning, Operator, Reading, to_steps
from pulseproof.twins.tflite.operators import OPERATORS

KINDS = {code: dtype for dtype, code in TYPES.items()}
_MEND = "export it again"
MOST_TURNS, MOST_DEEP = 2**12, 8  # of all loops of a file, and loops within loops
# May have integer weights on a float signal.
HYBRID = ("BATCH_MATMUL", "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "UNIDIRECTIONAL_SEQUENCE_LSTM")
CONTROL = ("WHILE",)  # read here, not computed
SHAPES = ("SHAPE",)  # known before the signal is
FAULTS = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


def read(path: Path, masked: bool = True) -> Twin:
    """See :func:`twins.opening.open_twin`."""
    graph = TfliteFile.open(path)
    try:
        if len(graph.graph.inputs) != 1 or len(graph.graph.outputs) != 1:
            raise NotCoveredError("a twin takes one input and gives one output")
        reader = _Reader(graph, masked)
        shape, ends = reader.read()
    except NotCoveredError:
        raise
    except FAULTS as error:
        said = " ".join(str(error).split())[:160]
        raise InputError(f"{path}: its graph does not run ({type(error).__name__}: {said})", _MEND) from None
    step = _output_step(reader.top)
    return Twin(reader.steps, reader.trial.constants, ends, shape, step, reader.own_steps)


class _Reader:
    """A file gone through, operator by operator, and what a loop has inside as often as it turns. ``steps``: those that
    depend on the signal, in their order. ``own_steps``: see :class:`~twins.program.Twin`."""

    def __init__(self, graph: TfliteFile, masked: bool) -> None:
        self.trial, self.steps, self.own_steps = Trial({}, {}), list[GraphStep](), False
        self._graph, self._masked, self._turns, self._inner, self._depth = graph, masked, 0, 0, 0
        self._parts: dict[int, tuple[TfliteFile, list[Meaning]]] = {}
        self.top = self._reading(0, "")

    def read(self) -> tuple[tuple[int, int], tuple[str, str]]:
        """The shape (leads, samples) of the signal, and the names of both ends."""
        graph, top = self.top.graph, self.top
        entry, end = int(graph.graph.inputs[0]), int(graph.graph.outputs[0])
        if len(top.meanings[entry].shape) != 3:
            raise NotCoveredError(f"an input {top.meanings[entry].shape}: a twin takes (1, leads, samples)")
        _, leads, samples = top.meanings[entry].shape
        expect_room("input", (leads, samples))
        for at, meaning in enumerate(top.meanings):
            if graph.graph.tensors[at].isVariable:  # the state of a recurrent layer: each recording begins at 0.0
                expect_room("state", meaning.shape)
                self._know(str(at), torch.zeros(meaning.shape))
        with torch.no_grad():
            self.trial.values["signal"] = torch.zeros(()).expand(1, leads, samples)
            self._take(GraphStep(_enter(top.meanings[entry], self._masked), ("signal",), (top.name(entry),)))
            self._operators(top)
            last = top.name(end)
            if last not in self.trial.values:
                raise ValueError("nothing gives its scores")
            self._take(GraphStep(_leave(top.meanings[end]), (last,), ("scores",), "DEQUANTIZE"))
        return (leads, samples), ("signal", "scores")

    def _reading(self, number: int, prefix: str) -> Reading:
        """A subgraph, its constants among what is known."""
        if number not in self._parts:
            graph = self._graph.part(number)
            meanings = [_meaning(graph, at) for at in range(len(graph.graph.tensors))]
            self._parts[number] = graph, meanings
            held = Reading(graph, self._masked, meanings, self.trial, number)
            for at in range(len(meanings)):
                if graph.is_constant(at):
                    self._know(held.name(at), _constant(held, at))
        graph, meanings = self._parts[number]
        return Reading(graph, self._masked, meanings, self.trial, number, prefix)

    def _know(self, name: str, value: Tensor) -> None:
        self.trial.values[name] = self.trial.constants[name] = value

    def _take(self, step: GraphStep) -> None:
        if not self.trial.run(step, SHAPES):
            self.steps.append(step)

    def _operators(self, reading: Reading) -> None:
        graph = reading.graph
        for kind, raw in zip(graph.operators(), graph.graph.operators, strict=True):
            if kind == "WHILE":
                self._loop(reading, raw)
                continue
            if kind not in OPERATORS:
                raise NotCoveredError(f"operator {kind} ({graph.name(int(raw.outputs[0]))}) is not covered")
            names, given = (tuple(map(reading.name, map(int, ends))) for ends in (raw.inputs, raw.outputs))
            self.trial.expect_known(kind, names)
            operator = Operator(kind, raw, reading)
            self.own_steps |= kind in HYBRID and operator.hybrid
            self._take(GraphStep(OPERATORS[kind](operator), names, given, kind))

    def _loop(self, reading: Reading, raw: Any) -> None:
        """A loop whose number of turns does not depend on the signal, its turns one behind the other."""
        values = [reading.name(int(at)) for at in raw.inputs]
        options = raw.builtinOptions
        while True:
            self._turns += 1
            if self._turns > MOST_TURNS:
                raise NotCoveredError(f"loops of more than {MOST_TURNS:,} turns are not covered")
            ends = self._inside(int(options.condSubgraphIndex), values)
            if ends[0] not in self.trial.constants:
                raise NotCoveredError("operator WHILE with a number of turns that depends on the signal is not covered")
            if not bool(self.trial.constants[ends[0]].reshape(())):
                break
            values = self._inside(int(options.bodySubgraphIndex), values)
        for value, at in zip(values, raw.outputs, strict=True):
            self._take(GraphStep(_same, (value,), (reading.name(int(at)),), "WHILE"))

    def _inside(self, number: int, values: list[str]) -> list[str]:
        """The names of what a subgraph gives for the values of these names."""
        if not 0 < number < len(self._graph.model.subgraphs) or self._depth >= MOST_DEEP:
            raise NotCoveredError("operator WHILE with itself inside, or nothing, is not covered")
        self._inner += 1
        self._depth += 1
        inside = self._reading(number, f"{self._inner}/")
        for value, at in zip(values, inside.graph.graph.inputs, strict=True):
            self._take(GraphStep(_same, (value,), (inside.name(int(at)),), "WHILE"))
        self._operators(inside)
        self._depth -= 1
        return [inside.name(int(at)) for at in inside.graph.graph.outputs]


def _same(x: Tensor) -> Tensor:
    return x


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
