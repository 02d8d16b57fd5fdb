"""The twin of an ONNX file.

In: an ``.onnx`` file of one recording in, one row of scores out. Out: a :class:`~twins.program.Twin`. The graph is run
once on a recording of zeros while it is read: what depends on constants and shapes alone (weights behind a
DequantizeLinear, the shape of an LSTM's first state) becomes a constant, and what cannot run shows now, not later.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pulseproof.core.errors import InputError
from pulseproof.twins.errors import NotCoveredError
from pulseproof.twins.onnx.format import constants as constants_of
from pulseproof.twins.onnx.format import load_plain
from pulseproof.twins.onnx.node import Node
from pulseproof.twins.onnx.operators import OPERATORS
from pulseproof.twins.program import Twin
from pulseproof.twins.room import expect_room
from pulseproof.twins.steps import GraphStep, Run, Trial

if TYPE_CHECKING:
    import onnx

# float16 is left out: an engine computes in it or beside it, operator by operator, as it likes.
KINDS = ("float32", "float64", "int8", "uint8", "int16", "int32", "int64", "bool")
OLDEST = 9  # operator set: that of ONNX 1.4, of January 2019
SHAPES = ("Shape", "Size")  # known before the signal is
_MEND = "export it again"
FAULTS = (ArithmeticError, AttributeError, LookupError, RuntimeError, StopIteration, TypeError, ValueError)


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
        steps = _steps(model.graph, constants, entry, shape, masked, opset)
    except NotCoveredError:
        raise
    except FAULTS as error:
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


@dataclass
class _Reader:
    """The steps that depend on the signal, in their order; what depends on none is computed and put among the
    constants."""

    trial: Trial
    masked: bool
    opset: int
    steps: list[GraphStep] = field(default_factory=list)

    def read(self, nodes: Iterable[onnx.NodeProto]) -> None:
        for proto in nodes:
            if proto.domain in ("", "ai.onnx") and proto.op_type == "If":
                self._branch(proto)
                continue
            if proto.domain not in ("", "ai.onnx") or proto.op_type not in OPERATORS:
                raise NotCoveredError(f"operator {proto.op_type} ({proto.name or proto.output[0]}) is not covered")
            node = Node(proto, self.trial.constants, self.trial.values, self.masked, self.opset)
            self._take(OPERATORS[proto.op_type](node), proto.input, proto.output, proto.op_type)

    def _take(self, run: Run, inputs: Iterable[str], outputs: Iterable[str], kind: str) -> None:
        step = GraphStep(run, tuple(inputs), tuple(outputs), kind)
        if not self.trial.run(step, SHAPES):
            self.steps.append(step)

    def _branch(self, proto: onnx.NodeProto) -> None:
        """The branch of an If whose condition is known, in its place: exporters write one where a shape was free."""
        if proto.input[0] not in self.trial.constants:
            raise NotCoveredError(f"operator If ({proto.name or proto.output[0]}) of the signal is not covered")
        wanted = "then_branch" if bool(self.trial.constants[proto.input[0]]) else "else_branch"
        graph = next(each.g for each in proto.attribute if each.name == wanted)
        for name, array in constants_of(graph).items():
            self.trial.constants[name] = self.trial.values[name] = _tensor(name, array)
        self.read(node for node in graph.node if node.output[0] not in self.trial.constants)
        for inner, outer in zip(graph.output, proto.output, strict=True):
            self._take(lambda x: x, [inner.name], [outer], "Identity")


def _steps(
    graph: onnx.GraphProto,
    constants: dict[str, Tensor],
    entry: str,
    shape: tuple[int, int],
    masked: bool,
    opset: int,
) -> list[GraphStep]:
    expect_room("input", shape)
    values: dict[str, Tensor] = {**constants, entry: torch.zeros(()).expand(1, *shape)}
    reader = _Reader(Trial(values, constants), masked, opset)
    with torch.no_grad():
        reader.read(graph.node)
    return reader.steps


def _tensor(name: str, array: NDArray[Any]) -> Tensor:
    if str(array.dtype) not in KINDS:
        raise NotCoveredError(f"data type {array.dtype} ({name}) is not covered")
    return torch.from_numpy(np.array(array))  # a copy: onnx's arrays are read-only


def _output_step(graph: onnx.GraphProto, constants: dict[str, Tensor]) -> float | None:
    """The scale of the DequantizeLinear that gives the scores."""
    last = next(node for node in graph.node if graph.output[0].name in node.output)
    return float(constants[last.input[1]].max()) if last.op_type == "DequantizeLinear" else None
