"""TFLite files read: a graph's tensors, operators and constants.

In: a ``.tflite`` file. Out: a :class:`TfliteFile`. The format:
https://github.com/google-ai-edge/LiteRT/blob/main/tflite/schema/schema.fbs.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Self

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

from pulseproof.core.errors import InputError

TYPES: dict[np.dtype[Any], int] = {
    np.dtype(np.float32): 0,
    np.dtype(np.float16): 1,
    np.dtype(np.int32): 2,
    np.dtype(np.uint8): 3,
    np.dtype(np.int64): 4,
    np.dtype(np.bool_): 6,
    np.dtype(np.int16): 7,
    np.dtype(np.int8): 9,
}
FLOATS = (TYPES[np.dtype(np.float32)], TYPES[np.dtype(np.float16)])
EIGHT_BIT = (TYPES[np.dtype(np.int8)], TYPES[np.dtype(np.uint8)])
OPERATORS: dict[int, str] = {code: name for name, code in vars(schema.BuiltinOperator).items() if name.isupper()}


class TfliteFile:
    """One TFLite model; ``graph``: its first subgraph."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.graph = model.subgraphs[0]

    def part(self, number: int) -> Self:
        """The same file with another of its subgraphs as ``graph``: the condition or the body of a loop."""
        other = type(self)(self.model)
        other.graph = self.model.subgraphs[number]
        return other

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read a TFLite file. Raises InputError when it is none."""
        try:
            graph = cls(flatbuffer_utils.read_model_from_bytearray(bytearray(path.read_bytes())))
            graph.operators()
        except OSError:
            raise
        except Exception as error:  # the generated reader checks nothing: damage shows as any error
            raise InputError(
                f"{path}: not a readable TFLite file ({type(error).__name__})", "export it again"
            ) from None
        return graph

    def operators(self) -> list[str]:
        """The names of the operators in the order in which they run."""
        codes = [flatbuffer_utils.get_builtin_code_from_operator_code(code) for code in self.model.operatorCodes]
        names = [OPERATORS.get(code, f"OPERATOR_{code}") for code in codes]
        return [names[operator.opcodeIndex] for operator in self.graph.operators]

    def steps(self) -> list[tuple[str, Any, list[int], list[int]]]:
        """(name, operator, its inputs, its outputs) in the order in which they run; inputs left out are left out."""
        return [
            (name, operator, *([int(at) for at in ends if at >= 0] for ends in (operator.inputs, operator.outputs)))
            for name, operator in zip(self.operators(), self.graph.operators, strict=True)
        ]

    def name(self, tensor: int) -> str:
        """The name of a tensor."""
        name = self.graph.tensors[tensor].name
        return name.decode() if isinstance(name, bytes) else str(name or "")

    def is_constant(self, tensor: int) -> bool:
        """True when the file holds the tensor's values."""
        data = self.model.buffers[self.graph.tensors[tensor].buffer].data
        return data is not None and len(data) > 0

    def values(self, tensor: int) -> np.ndarray:
        """The values of a constant tensor, flat."""
        held = self.graph.tensors[tensor]
        kind: np.dtype[Any] = next(dtype for dtype, code in TYPES.items() if code == held.type)
        return np.frombuffer(bytes(np.asarray(self.model.buffers[held.buffer].data, np.uint8)), kind)

    def size(self, tensor: int) -> int:
        """How many numbers a tensor holds."""
        shape = self.graph.tensors[tensor].shape
        return math.prod(int(size) for size in ([] if shape is None else shape))
