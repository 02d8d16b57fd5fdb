"""The twin of an ONNX file.

In: an ``.onnx`` file of one recording in, one row of scores out. Out: a :class:`~twins.program.Twin`. The graph is run
once on a recording of zeros while it is read: what depends on constants and shapes alone (weights behind a
DequantizeLinear, the shape of an LSTM's first state) becomes a constant, and what cannot run shows now, not later.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pulseproof.core.errors import InputError
from pulseproof.twins.errors import NotCoveredError
from pulseproof.twins.onnx import classical
from pulseproof.twins.onnx.format import constants as constants_of
from pulseproof.twins.onnx.format import load_plain
from pulseproof.twins.onnx.node import Node
from pulseproof.twins.onnx.operators import OPERATORS
from pulseproof.twins.program import Twin
from pulseproof.twins.steps import GraphStep, try_out

if TYPE_CHECKING:
    import onnx

# float16 is left out: an engine computes in it or beside it, operator by operator, as it likes.
KINDS = ("float32", "float64", "int8", "uint8", "int16", "int32", "int64", "bool")
OLDEST = 13  # operator set: the first whose DequantizeLinear, Squeeze and ReduceSum are today's
_MEND = "export it again"


def read(path: Path, masked: bool = True) -> Twin:
    """See :func:`twins.opening.open_twin`."""
    try:
        model = load_plain(path)
        constants = {name: _tensor(name, array) for name, array in constants_of(model.graph).items()}
    except NotCoveredError:
        raise
    except Exception as error:  # protobuf's own types, and what onnx raises for an external file that is missing
        raise InputError(f"{path}: not a readable ONNX file ({type(error).__name__})", _MEND) from None
    opset = next((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), 0)
    if opset < OLDEST:
        raise NotCoveredError(f"operator set {opset}: its operators are covered from {OLDEST} on")
    entry, shape = _signal(path, model.graph)
    if len(model.graph.output) != 1:
        raise NotCoveredError(f"{len(model.graph.output)} outputs: a twin gives one")
    try:
        steps = _steps(model.graph, constants, entry, shape, masked)
    except NotCoveredError:
        raise
    except (RuntimeError, KeyError, IndexError, TypeError, ValueError) as error:
        said = " ".join(str(error).split())[:160]
        raise InputError(f"{path}: its graph does not run ({said})", _MEND) from None
    end = model.graph.output[0].name
    return Twin(steps, constants, (entry, end), shape, _output_step(model.graph, constants))


def _signal(path: Path, graph: onnx.GraphProto) -> tuple[str, tuple[int, int]]:
    """The name of the input, and (leads, samples)."""
    if len(graph.input) != 1:
        raise NotCoveredError(f"{len(graph.input)} inputs: a twin takes one")
    declared = [size.dim_value for size in graph.input[0].type.tensor_type.shape.dim]
    if len(declared) != 3 or not (declared[1] and declared[2]):
        raise NotCoveredError("an input without fixed numbers of leads and samples")
    return graph.input[0].name, (declared[1], declared[2])


def _steps(
    graph: onnx.GraphProto, constants: dict[str, Tensor], entry: str, shape: tuple[int, int], masked: bool
) -> list[GraphStep]:
    """The steps that depend on the signal. What depends on none is computed and put among the constants."""
    values: dict[str, Tensor] = {**constants, entry: torch.zeros(1, *shape)}
    steps = []
    with torch.no_grad():
        for proto in graph.node:
            if proto.domain not in ("", "ai.onnx", classical.DOMAIN) or proto.op_type not in OPERATORS:
                raise NotCoveredError(f"operator {proto.op_type} ({proto.name or proto.output[0]}) is not covered")
            node = Node(proto, constants, values, masked)
            step = GraphStep(OPERATORS[proto.op_type](node), tuple(proto.input), tuple(proto.output), proto.op_type)
            try_out(step, values)
            # A shape is known before the signal is.
            if proto.op_type == "Shape" or all(name in constants for name in proto.input if name):
                constants.update((name, values[name]) for name in proto.output if name in values)
            else:
                steps.append(step)
    return steps


def _tensor(name: str, array: NDArray[Any]) -> Tensor:
    if str(array.dtype) not in KINDS:
        raise NotCoveredError(f"data type {array.dtype} ({name}) is not covered")
    return torch.from_numpy(np.array(array))  # a copy: onnx's arrays are read-only


def _output_step(graph: onnx.GraphProto, constants: dict[str, Tensor]) -> float | None:
    """The scale of the DequantizeLinear that gives the scores."""
    last = next(node for node in graph.node if graph.output[0].name in node.output)
    return float(constants[last.input[1]].max()) if last.op_type == "DequantizeLinear" else None
