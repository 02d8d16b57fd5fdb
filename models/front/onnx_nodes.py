"""Nodes of ONNX that are added to a file's own graph, float32 of three axes, in the operator set that it is of.

In: a checked model. Out: nodes and constants under names that it does not have (``mv-front/...``, ``mv-tail/...``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import onnx

FRONT = re.compile(r"mv-front\d*/")
AXES_AS_INPUT = 18  # ReduceMean, ReduceMax and ReduceMin
FLOAT = 1  # of TensorProto.DataType


class FrontNodes:
    """Nodes that are added to a model, under names that it does not have."""

    def __init__(self, model: onnx.ModelProto, place: str) -> None:
        self.model = model
        self.opset = next((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), 0)
        taken = {name for node in model.graph.node for name in (*node.input, *node.output, node.name)}
        taken |= {tensor.name for tensor in model.graph.initializer}
        self.prefix = next(
            prefix
            for prefix in (f"mv-{place}{count or ''}/" for count in range(len(taken) + 2))
            if not any(name.startswith(prefix) for name in taken)
        )
        self.made: list[onnx.NodeProto] = []

    def constant(self, values: Any, kind: Any) -> str:
        """A constant; the name of it."""
        from onnx import numpy_helper

        name = f"{self.prefix}constant_{len(self.model.graph.initializer)}"
        self.model.graph.initializer.append(numpy_helper.from_array(np.asarray(values, kind), name))
        return name

    def add(self, operator: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        """A node; the name of its first output."""
        from onnx import helper

        name = f"{self.prefix}{operator}_{len(self.made)}"
        names = [f"{name}_out{at or ''}" for at in range(outputs)]
        self.made.append(helper.make_node(operator, list(inputs), names, name=name, **attributes))
        return names[0]

    def scalar(self, operator: str, x: str, value: float) -> str:
        return self.add(operator, x, self.constant([value], np.float32))

    def reshape(self, x: str, shape: Sequence[int]) -> str:
        return self.add("Reshape", x, self.constant(shape, np.int64))

    def reduce(self, operator: str, x: str, axes: Sequence[int]) -> str:
        if self.opset < AXES_AS_INPUT:
            return self.add(operator, x, axes=list(axes), keepdims=1)
        return self.add(operator, x, self.constant(axes, np.int64), keepdims=1)

    def slice(self, x: str, first: int, length: int) -> str:
        """Some of the last axis of three."""
        if self.opset < 10:
            return self.add("Slice", x, axes=[2], starts=[first], ends=[first + length])
        return self.add("Slice", x, *(self.constant([one], np.int64) for one in (first, first + length, 2)))

    def clip(self, x: str, most: float) -> str:
        if self.opset < 11:
            return self.add("Clip", x, min=-most, max=most)
        return self.add("Clip", x, *(self.constant(one, np.float32) for one in (-most, most)))

    def sorted(self, x: str, count: int) -> str:
        """The last axis in descending order."""
        if self.opset < 10:
            return self.add("TopK", x, outputs=2, axis=-1, k=count)
        return self.add("TopK", x, self.constant([count], np.int64), outputs=2, axis=-1)
