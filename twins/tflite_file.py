"""The twin of a TFLite file.

In: a ``.tflite`` file of one recording in, one row of scores out, float32 or with fixed 8- or 16-bit activations. Out:
a :class:`~twins.program.Twin`. The graph is run once on a recording of zeros while it is read, so that what depends on
constants alone (weights behind a DEQUANTIZE) becomes a constant, and what cannot run shows now.

A quantized tensor is held as whole numbers less its zero point, in float32: products and sums of 8-bit numbers are then
exact as long as they stay below 2**24, as they are in the kernels, and 0.0 is 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pulseproof.core.errors import InputError
from pulseproof.export.tflite.flatbuffer import TYPES, Graph
from pulseproof.twins.errors import NotCoveredError
from pulseproof.twins.program import GraphStep, Run, Twin, perform, try_out
from pulseproof.twins.rounding import rescaled, rounded

KINDS = {code: dtype for dtype, code in TYPES.items()}
LIMITS = {np.dtype(np.int8): (-128, 127), np.dtype(np.uint8): (0, 255), np.dtype(np.int16): (-32768, 32767)}
ACTIVATIONS = ("NONE", "RELU", "RELU_N1_TO_1", "RELU6", "TANH", "SIGN_BIT")
_MEND = "export it again"


@dataclass(frozen=True)
class Meaning:
    """What a tensor's numbers mean: ``scale * (q - zero)`` of integers ``low`` to ``high``; ``scale`` is float32
    (channels,) or (1,), None for a tensor that is not quantized. ``channel``: the axis of several scales."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    scale: Tensor | None = None
    zero: int = 0
    channel: int = 0

    @property
    def one(self) -> float:
        """The scale of a tensor that has one."""
        assert self.scale is not None
        return float(self.scale[0])

    @property
    def limits(self) -> tuple[int, int]:
        """The smallest and largest number, less the zero point."""
        low, high = LIMITS[self.dtype]
        return low - self.zero, high - self.zero


class Operator:
    """One operator while the file is read: its options, the meaning of its tensors, the values of its constants."""

    def __init__(self, name: str, raw: Any, reading: _Reading) -> None:
        self.kind, self.masked = name, reading.masked
        self.inputs, self.outputs = [int(at) for at in raw.inputs], [int(at) for at in raw.outputs]
        self.name = reading.graph.name(self.outputs[0])
        self._options, self._reading = raw.builtinOptions, reading

    def option(self, name: str, default: Any = None) -> Any:
        """One of its options."""
        return default if self._options is None else getattr(self._options, name, default)

    def refusal(self, what: str) -> NotCoveredError:
        """What to raise."""
        return NotCoveredError(f"operator {self.kind} ({self.name}) with {what} is not covered")

    def given(self, at: int) -> bool:
        """True when this input is there."""
        return at < len(self.inputs) and self.inputs[at] >= 0

    def meaning(self, at: int) -> Meaning:
        """What the numbers of an input mean."""
        return self._reading.meanings[self.inputs[at]]

    @property
    def result(self) -> Meaning:
        """What the numbers of the (first) output mean."""
        return self._reading.meanings[self.outputs[0]]

    def constant(self, at: int) -> Tensor:
        """An input that must be known while the file is read."""
        name = str(self.inputs[at])
        if name not in self._reading.constants:
            raise self.refusal(f"an input {at} that depends on the signal")
        return self._reading.constants[name]

    def integers(self, at: int) -> list[int]:
        """Whole numbers from a constant input."""
        return [int(value) for value in self.constant(at).reshape(-1)]

    @property
    def quantized(self) -> bool:
        """True when it takes and gives quantized numbers, False when it takes and gives floats; refused in between."""
        kinds = {meaning.scale is not None for meaning in (self.meaning(0), self.result)}
        if len(kinds) == 2:
            raise self.refusal("integers on one side and floats on the other")
        return kinds.pop()

    def finish(self, factor: float | Tensor = 1.0) -> Callable[[Tensor], Tensor]:
        """What happens to a result: its activation, and of a quantized one the rescaling (by ``factor``, from its units
        to one) and rounding. The activation of a quantized one narrows the limits at which it is clipped."""
        code = int(self.option("fusedActivationFunction", 0) or 0)
        if code not in (0, 1, 3):
            raise self.refusal(f"the activation {ACTIVATIONS[code] if code < len(ACTIVATIONS) else code}")
        if self.result.scale is None:
            least, most = (None, None) if code == 0 else (0.0, 6.0 if code == 3 else None)
            return (lambda y: y) if code == 0 else (lambda y: y.clamp(least, most))
        low, high = self.result.limits
        if code:
            low = max(low, 0)
        if code == 3:
            high = min(high, round(6 / self.result.one))
        by, masked = factor / self.result.one, self.masked
        return lambda y: rescaled(y, by, low, high, masked)


@dataclass
class _Reading:
    graph: Graph
    masked: bool
    meanings: list[Meaning]
    constants: dict[str, Tensor]


def read(path: Path, masked: bool = True) -> Twin:
    """See :func:`twins.opening.open_twin`."""
    from pulseproof.twins.tflite_operators import OPERATORS

    graph = Graph.open(path)
    try:
        if len(graph.model.subgraphs) != 1:
            raise NotCoveredError(f"{len(graph.model.subgraphs)} subgraphs: control flow is not covered")
        if len(graph.graph.inputs) != 1 or len(graph.graph.outputs) != 1:
            raise NotCoveredError("a twin takes one input and gives one output")
        meanings = [_meaning(graph, at) for at in range(len(graph.graph.tensors))]
        reading = _Reading(graph, masked, meanings, {})
        reading.constants = {str(at): _constant(reading, at) for at in range(len(meanings)) if graph.is_constant(at)}
        for at, meaning in enumerate(meanings):
            if graph.graph.tensors[at].isVariable:  # the state of a recurrent layer: each recording begins at 0.0
                reading.constants[str(at)] = torch.zeros(meaning.shape)
        steps, shape, ends = _steps(reading, OPERATORS)
    except NotCoveredError:
        raise
    except (RuntimeError, KeyError, IndexError, TypeError, ValueError, AttributeError, AssertionError) as error:
        said = " ".join(str(error).split())[:160]
        raise InputError(f"{path}: its graph does not run ({type(error).__name__}: {said})", _MEND) from None
    return Twin(steps, reading.constants, ends, shape, _output_step(reading))


def _steps(
    reading: _Reading, operators: dict[str, Callable[[Operator], Run]]
) -> tuple[list[GraphStep], tuple[int, int], tuple[str, str]]:
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
            if kind not in operators:
                raise NotCoveredError(f"operator {kind} ({graph.name(int(raw.outputs[0]))}) is not covered")
            operator = Operator(kind, raw, reading)
            names = tuple(str(at) if at >= 0 else "" for at in operator.inputs)
            step = GraphStep(operators[kind](operator), names, tuple(map(str, operator.outputs)), kind)
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


def to_steps(meaning: Meaning, masked: bool, x: Tensor) -> Tensor:
    """Floats to the whole numbers that stand for them, less the zero point."""
    return rounded(x / meaning.one, *meaning.limits, masked)


def _meaning(graph: Graph, at: int) -> Meaning:
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


def _constant(reading: _Reading, at: int) -> Tensor:
    """A constant's numbers: floats and shapes as they are, quantized ones less their zero point, in float32."""
    meaning = reading.meanings[at]
    values = torch.from_numpy(np.array(reading.graph.values(at)).reshape(meaning.shape))
    if meaning.scale is not None:
        return (values.double() - meaning.zero).float()
    return values


def _output_step(reading: _Reading) -> float | None:
    """The step of the scores: of the output tensor, or of what its DEQUANTIZE takes."""
    end = int(reading.graph.graph.outputs[0])
    for kind, _, inputs, outputs in reading.graph.steps():
        if outputs[0] == end and kind == "DEQUANTIZE":
            end = inputs[0]
    meaning = reading.meanings[end]
    return None if meaning.scale is None else meaning.one
