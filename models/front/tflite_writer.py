"""TFLite graphs as they are written: constants, tensors and operators added to a model, and the model as bytes.

In: a model of the generated classes (``schema.ModelT``). Out: the same with more in it. The format:
https://github.com/google-ai-edge/LiteRT/blob/main/tflite/schema/schema.fbs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

IDENTIFIER = b"TFL3"
ALIGNMENT = 16  # of a buffer in the file, as the schema demands; the generated writer does not keep it


class _Buffer(schema.BufferT):
    """A buffer that is written aligned."""

    def Pack(self, builder: flatbuffers.Builder) -> int:  # noqa: N802 (the generated classes' name)
        if self.data is None:
            return int(super().Pack(builder))
        content = bytes(np.asarray(self.data, np.uint8))
        builder.StartVector(1, len(content), ALIGNMENT)
        builder.head = builder.Head() - len(content)
        builder.Bytes[builder.Head() : builder.Head() + len(content)] = content
        data = builder.EndVector()
        schema.BufferStart(builder)
        schema.BufferAddData(builder, data)
        return int(schema.BufferEnd(builder))


def tensor_type(dtype: Any) -> int:
    """The schema's code of a numpy type."""
    return int(getattr(schema.TensorType, np.dtype(dtype).name.upper()))


class TfliteWriter:
    """A model to whose first subgraph, ``graph``, tensors and operators can be added."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.graph = model.subgraphs[0]

    def constant(self, name: str, values: np.ndarray, scale: float | None = None) -> int:
        """Add a constant tensor; with ``scale`` its real values are ``scale * values``."""
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
        self.model.buffers.append(buffer)
        index = self.tensor(name, values.shape, values.dtype)
        self.graph.tensors[index].buffer = len(self.model.buffers) - 1
        if scale is not None:
            quantization = schema.QuantizationParametersT()
            quantization.scale, quantization.zeroPoint = [scale], [0]
            self.graph.tensors[index].quantization = quantization
        return index

    def tensor(
        self, name: str, shape: tuple[int, ...], dtype: Any = np.dtype(np.float32), variable: bool = False
    ) -> int:
        """Add a tensor that is computed, fed, or (``variable``) kept from one call to the next."""
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type = name, [int(size) for size in shape], tensor_type(dtype)
        tensor.buffer, tensor.isVariable, tensor.hasRank = 0, variable, True
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def add(
        self, operator: str, inputs: list[int], output: int, options: Any = None, version: int = 1, *more: int
    ) -> int:
        """Add an operator by its name in the schema; -1 is an input that is left out, ``more`` are further outputs.
        Returns ``output``."""
        made = schema.OperatorT()
        made.opcodeIndex = self._code(getattr(schema.BuiltinOperator, operator), version)
        made.inputs, made.outputs = inputs, [output, *more]
        if options is not None:
            made.builtinOptions = options
            made.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
        self.graph.operators.append(made)
        return output

    def _code(self, builtin: int, version: int) -> int:
        for index, known in enumerate(self.model.operatorCodes):
            if (flatbuffer_utils.get_builtin_code_from_operator_code(known), known.version) == (builtin, version):
                return index
        code = schema.OperatorCodeT()
        code.builtinCode, code.deprecatedBuiltinCode, code.version = builtin, min(builtin, 127), version
        self.model.operatorCodes.append(code)
        return len(self.model.operatorCodes) - 1

    def packed(self) -> bytes:
        """The file."""
        for buffer in self.model.buffers:
            buffer.__class__ = _Buffer
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(self.model.Pack(builder), IDENTIFIER)
        return bytes(builder.Output())


def scalar_options(kind: str) -> Any:
    """Options of ADD, SUB, MUL or DIV, without an activation."""
    return getattr(schema, f"{kind.capitalize()}OptionsT")()


def reduced(axes: Sequence[int]) -> tuple[np.ndarray, Any]:
    """The axes of a reduction that keeps them, and its options."""
    options = schema.ReducerOptionsT()
    options.keepDims = True
    return np.array(axes, np.int32), options
