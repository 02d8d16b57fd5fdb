"""Parameters, multiply-accumulates and activation memory of a TFLite file.

In: the file, whose main graph is read (not the bodies of control flow). Out: its :class:`~export.price.tally.Tally`.
All sizes are in the file, for batch 1. Operators stand there as they run: ReLUs are part of their layer, and a
tensor of a quantized file has the type in which it is kept. Float16 weights count once, and what a DEQUANTIZE makes of
them is no activation.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.schema_py_generated import TensorType

from pulseproof.export.price.tally import Operation, Tally, peak_bytes
from pulseproof.export.tflite.flatbuffer import Graph

BITS = {
    TensorType.FLOAT64: 64,
    TensorType.FLOAT32: 32,
    TensorType.FLOAT16: 16,
    TensorType.INT64: 64,
    TensorType.UINT64: 64,
    TensorType.INT32: 32,
    TensorType.UINT32: 32,
    TensorType.INT16: 16,
    TensorType.UINT16: 16,
    TensorType.INT8: 8,
    TensorType.UINT8: 8,
    TensorType.BOOL: 8,
    TensorType.INT4: 4,
}
FLOATS = (TensorType.FLOAT64, TensorType.FLOAT32, TensorType.FLOAT16)
LSTM = "UNIDIRECTIONAL_SEQUENCE_LSTM"
LSTM_MATRICES = (1, 2, 3, 4, 5, 6, 7, 8, 16)  # of the input, of the recurrence, and the projection
# Inputs of a layer that hold its weights and biases.
LAYERS: dict[str, tuple[int, ...]] = {
    "BATCH_MATMUL": (0, 1),
    "CONV_2D": (1, 2),
    "DEPTHWISE_CONV_2D": (1, 2),
    "FULLY_CONNECTED": (1, 2),
    "TRANSPOSE_CONV": (1, 3),
    LSTM: (*range(1, 18), *range(20, 24)),
}
BIASES = {"CONV_2D": 2, "DEPTHWISE_CONV_2D": 2, "FULLY_CONNECTED": 2, "TRANSPOSE_CONV": 3}
VIEWS = {"EXPAND_DIMS", "RESHAPE", "SQUEEZE"}


def tally(path: Path, tables: bool = True) -> Tally:
    """Count one TFLite file. ``tables``: constants from which a GATHER picks are parameters; False for a walk through
    trees, whose tables hold the shape of the trees beside their numbers."""
    graph = _Graph(Graph.open(path))
    return Tally(
        parameters=graph.parameters(tables),
        macs=sum(graph.macs(name, operator) for name, operator in graph.operators),
        activation_bytes=graph.activation_bytes(),
    )


class _Graph:
    """The main graph, and which of its tensors are known before it runs."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.tensors = graph.graph.tensors
        self.operators = list(zip(graph.operators(), graph.graph.operators, strict=True))
        self.stored = {at for at in range(len(self.tensors)) if graph.is_constant(at)}
        self.constants = set(self.stored)
        self.maker: dict[int, Any] = {}
        for name, operator in self.operators:
            inputs, outputs = _inputs(operator), _outputs(operator)
            self.maker |= dict.fromkeys(outputs, operator)
            if name != "VAR_HANDLE" and all(at in self.constants for at in inputs if at >= 0):
                self.constants |= set(outputs)

    def shape(self, at: int) -> tuple[int, ...]:
        shape = self.tensors[at].shape
        return () if shape is None else tuple(int(size) for size in shape)

    def parameters(self, tables: bool) -> int:
        found: set[int] = set()
        for name, operator in self.operators:
            if all(at in self.constants for at in _outputs(operator)):
                continue
            for at in self._weights_of(name, _inputs(operator)):
                found |= self._origins(at)
        if not tables:
            found -= {_inputs(operator)[0] for name, operator in self.operators if name == "GATHER"}
        return sum(self.graph.size(at) for at in found)

    def _weights_of(self, name: str, inputs: list[int]) -> Iterable[int]:
        """Which tensors of an operator's inputs are constants with weights."""
        if name in LAYERS:
            wanted = {place: inputs[place] for place in LAYERS[name] if place < len(inputs)}
            bias = wanted.get(BIASES.get(name, -1), -1)
            # Where a layer has no bias, the converter adds one of zeros.
            none = bias in self.stored and not np.any(self.graph.model.buffers[self.tensors[bias].buffer].data)
            return [at for at in wanted.values() if at in self.constants and not (none and at == bias)]
        return [at for at in inputs if at in self.constants and self._is_data(at) and self.graph.size(at) > 1]

    def _is_data(self, at: int) -> bool:
        """Float, or integer with a scale; a bare integer is a shape, an axis or an index."""
        tensor = self.tensors[at]
        return tensor.type in FLOATS or (tensor.quantization is not None and bool(_list(tensor.quantization.scale)))

    def _origins(self, at: int) -> set[int]:
        """The constant in the file from which a constant is computed (dequantized, transposed)."""
        return {at} if at in self.stored else self._origins(_inputs(self.maker[at])[0])

    def macs(self, name: str, operator: Any) -> int:
        """Multiply-accumulates of one operator."""
        inputs, outputs = _inputs(operator), _outputs(operator)
        if name not in LAYERS or all(at in self.constants for at in outputs):
            return 0
        left, right = self.shape(inputs[0]), self.shape(inputs[1])
        places = math.prod(self.shape(outputs[0]))  # numbers in the result
        if name == "CONV_2D":  # weights (outputs, height, width, inputs of a group)
            each = math.prod(right[1:])
        elif name == "DEPTHWISE_CONV_2D":  # (1, height, width, outputs)
            each = math.prod(right[1:3])
        elif name == "TRANSPOSE_CONV":  # (outputs, height, width, inputs), and the signal comes third
            places, each = self.graph.size(inputs[2]), math.prod(right[:3])
        elif name == "BATCH_MATMUL":
            each = left[-2 if operator.builtinOptions.adjX else -1]
        elif name == LSTM:  # steps and batch, in either layout
            matrices = [inputs[place] for place in LSTM_MATRICES if inputs[place] >= 0]
            places, each = math.prod(left[:-1]), sum(self.graph.size(at) for at in matrices)
        else:
            each = right[-1]
        return places * each

    def activation_bytes(self) -> int:
        """See :func:`export.price.tally.peak_bytes`. The state of a recurrent layer is there all the time."""
        operations = [
            Operation(tuple(_inputs(operator)), tuple(_outputs(operator)), name in VIEWS)
            for name, operator in self.operators
        ]
        sizes = {at: self._bytes(at) for at in range(len(self.tensors)) if at not in self.constants}
        states = [at for at, tensor in enumerate(self.tensors) if tensor.isVariable]
        inputs, outputs = ([int(at) for at in side] for side in (self.graph.graph.inputs, self.graph.graph.outputs))
        return peak_bytes(operations, sizes, inputs, outputs, kept=states)

    def _bytes(self, at: int) -> int:
        return math.ceil(self.graph.size(at) * BITS.get(self.tensors[at].type, 0) / 8)


def _inputs(operator: Any) -> list[int]:
    """Tensors that an operator reads; -1 for one that is left out."""
    return [int(at) for at in _list(operator.inputs)]


def _outputs(operator: Any) -> list[int]:
    return [int(at) for at in _list(operator.outputs)]


def _list(values: Any) -> list[Any]:
    """The generated reader gives None, a list or an array."""
    return [] if values is None else list(values)
