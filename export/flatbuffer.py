"""TFLite files read and written operator by operator, where no converter makes the graph that the runtime is fast at.

In: an empty graph or a TFLite file, and operators to add. Out: a TFLite file with one input ``signal`` and one output
``scores``. The format: https://github.com/google-ai-edge/LiteRT/blob/main/tflite/schema/schema.fbs.
"""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

from export.job import INPUT, OUTPUT

IDENTIFIER = b"TFL3"
ALIGNMENT = 16  # of a buffer in the file, as the schema demands; the generated writer does not keep it
TYPES = {np.dtype(np.float32): 0, np.dtype(np.int32): 2, np.dtype(np.int8): 9, np.dtype(np.bool_): 6}
OPERATORS: dict[int, str] = {code: name for name, code in vars(schema.BuiltinOperator).items() if name.isupper()}


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


class Graph:
    """One TFLite model with one subgraph, to which tensors and operators can be added."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.graph = model.subgraphs[0]

    @classmethod
    def empty(cls) -> Graph:
        """A graph without tensors."""
        model = schema.ModelT()
        model.version, model.description = 3, "pulseproof"
        model.buffers, model.operatorCodes, model.metadata = [schema.BufferT()], [], []
        graph = schema.SubGraphT()
        graph.name, graph.tensors, graph.operators, graph.inputs, graph.outputs = "main", [], [], [], []
        model.subgraphs = [graph]
        return cls(model)

    @classmethod
    def open(cls, path: Path) -> Graph:
        """Read a TFLite file."""
        return cls(flatbuffer_utils.read_model_from_bytearray(bytearray(path.read_bytes())))

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
        tensor.name, tensor.shape, tensor.type = name, [int(size) for size in shape], TYPES[np.dtype(dtype)]
        tensor.buffer, tensor.isVariable, tensor.hasRank = 0, variable, True
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def add(self, operator: str, inputs: list[int], output: int, options: Any = None, version: int = 1) -> int:
        """Add an operator by its name in the schema; -1 is an input that is left out. Returns ``output``."""
        made = schema.OperatorT()
        made.opcodeIndex = self._code(getattr(schema.BuiltinOperator, operator), version)
        made.inputs, made.outputs = inputs, [output]
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

    def operators(self) -> list[str]:
        """The names of the operators in the order in which they run."""
        codes = [flatbuffer_utils.get_builtin_code_from_operator_code(code) for code in self.model.operatorCodes]
        return [OPERATORS[codes[operator.opcodeIndex]] for operator in self.graph.operators]

    def write(self, path: Path) -> None:
        """Write the file. Its input and output tensors are named, as is its only signature."""
        ends = {int(self.graph.inputs[0]): INPUT, int(self.graph.outputs[0]): OUTPUT}
        for index, tensor in enumerate(self.graph.tensors):
            name = tensor.name.decode() if isinstance(tensor.name, bytes) else tensor.name
            tensor.name = ends.get(index, f"{name}_inner" if name in (INPUT, OUTPUT) else name)
        signature = schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = "serving_default", 0
        signature.inputs, signature.outputs = [], []
        for index, name in ends.items():
            end = schema.TensorMapT()
            end.name, end.tensorIndex = name, index
            (signature.inputs if name == INPUT else signature.outputs).append(end)
        self.model.signatureDefs = [signature]
        for buffer in self.model.buffers:
            buffer.__class__ = _Buffer
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(self.model.Pack(builder), IDENTIFIER)
        path.write_bytes(bytes(builder.Output()))


def rename_ends(path: Path) -> None:
    """Give a converter's file the names of input and output that every artifact has."""
    Graph.open(path).write(path)


def count_operators(path: Path) -> dict[str, int]:
    """{operator: count} of a TFLite file."""
    return dict(sorted(Counter(Graph.open(path).operators()).items()))


def input_step_mv(path: Path) -> float | None:
    """The step to which a file rounds the signal (or the signal less a constant); None where it is not quantized."""
    graph = Graph.open(path)
    centred = {int(graph.graph.inputs[0])}
    for name, operator in zip(graph.operators(), graph.graph.operators, strict=True):
        if int(operator.inputs[0]) not in centred:
            continue
        if name == "SUB":
            centred.add(int(operator.outputs[0]))
        if name == "QUANTIZE":
            return float(graph.graph.tensors[int(operator.outputs[0])].quantization.scale[0])
    return None


def int8_share(path: Path) -> float:
    """Share of the weights that are 8-bit: a quantizer that finds nothing it knows copies the float file."""
    graph = Graph.open(path)
    sizes = {np.dtype(np.int8): 0, np.dtype(np.float32): 0}
    for tensor in graph.graph.tensors:
        for kind in sizes:
            if tensor.type == TYPES[kind] and graph.model.buffers[tensor.buffer].data is not None:
                sizes[kind] += math.prod(int(size) for size in tensor.shape)
    return sizes[np.dtype(np.int8)] / max(1, sum(sizes.values()))
