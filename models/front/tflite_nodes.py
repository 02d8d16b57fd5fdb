"""Operators of TFLite that are added to a file's own graph, by what they compute: float32, most of three axes.

In: a model of the generated classes. Out: the same with more tensors and operators; every method takes and gives the
number of a tensor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from pulseproof.models.front.tflite_writer import TfliteWriter, reduced, scalar_options

PREFIX = "mv-front/"
FLOAT32 = schema.TensorType.FLOAT32


class TfliteNodes(TfliteWriter):
    """See the module."""

    def shape(self, at: int) -> tuple[int, ...]:
        shape = self.graph.tensors[at].shape
        return () if shape is None else tuple(int(size) for size in shape)

    def named(self, what: str) -> str:
        return f"{PREFIX}{what}_{len(self.graph.tensors)}"

    def held(self, values: Any, kind: type = np.int32) -> int:
        return self.constant(self.named("constant"), np.asarray(values, kind))

    def computed(self, operator: str, inputs: list[int], shape: Sequence[int], options: Any = None) -> int:
        """An operator that gives a new float32 tensor of ``shape``."""
        return self.add(operator, inputs, self.tensor(self.named(operator.lower()), tuple(shape)), options)

    def pair(self, operator: str, one: int, two: int) -> int:
        """ADD, SUB, MUL or DIV; ``one`` has the shape of the result."""
        return self.computed(operator, [one, two], self.shape(one), scalar_options(operator))

    def scalar(self, operator: str, x: int, value: float) -> int:
        return self.pair(operator, x, self.held([value], np.float32))

    def hold(self, at: int, values: np.ndarray, shape: Sequence[int]) -> None:
        """Make a tensor that was fed a constant, of the type that it has."""
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
        self.model.buffers.append(buffer)
        tensor = self.graph.tensors[at]
        tensor.buffer, tensor.shape, tensor.shapeSignature = len(self.model.buffers) - 1, list(shape), None

    def greater(self, one: int, two: int) -> int:
        """1 where ``one`` is greater, else 0; of the shape of the larger."""
        shape = max(self.shape(one), self.shape(two), key=lambda sizes: int(np.prod(sizes)))
        truth = self.tensor(self.named("greater"), shape, np.bool_)
        self.add("GREATER", [one, two], truth, schema.GreaterOptionsT())
        options = schema.CastOptionsT()
        options.inDataType, options.outDataType = schema.TensorType.BOOL, FLOAT32
        return self.computed("CAST", [truth], shape, options)

    def smoothed(self, x: int, width: int) -> int:
        """Means over ``width`` places of the last axis of (1, 1, places)."""
        places = self.shape(x)[2]
        options = schema.Pool2DOptionsT()
        options.padding, options.strideH, options.strideW = schema.Padding.VALID, 1, 1
        options.filterHeight, options.filterWidth = width, 1
        pooled = (1, places - width + 1, 1, 1)
        x = self.computed("AVERAGE_POOL_2D", [self.reshape(x, (1, places, 1, 1))], pooled, options)
        return self.reshape(x, (1, 1, pooled[1]))

    def reshape(self, x: int, shape: Sequence[int]) -> int:
        return self.computed("RESHAPE", [x, self.held(shape)], shape, reshape_options(shape))

    def transpose(self, x: int, order: Sequence[int]) -> int:
        old = self.shape(x)
        return self.computed("TRANSPOSE", [x, self.held(order)], [old[at] for at in order], schema.TransposeOptionsT())

    def slice(self, x: int, first: int, length: int) -> int:
        """Some of the last axis of three."""
        sizes = (*self.shape(x)[:2], length)
        return self.computed("SLICE", [x, self.held((0, 0, first)), self.held(sizes)], sizes, schema.SliceOptionsT())

    def gather(self, x: int, places: Sequence[int]) -> int:
        options, old = schema.GatherOptionsT(), self.shape(x)
        options.axis, options.batchDims = 1, 0
        return self.computed("GATHER", [x, self.held(places)], (old[0], len(places), *old[2:]), options)

    def reduce(self, operator: str, x: int, axes: Sequence[int]) -> int:
        places, options = reduced(axes)
        shape = [1 if at in axes else size for at, size in enumerate(self.shape(x))]
        return self.computed(operator, [x, self.held(places)], shape, options)


def reshape_options(shape: Sequence[int]) -> Any:
    """Options of RESHAPE."""
    options = schema.ReshapeOptionsT()
    options.newShape = list(shape)
    return options
