"""An ONNX graph gone through node by node, and what a branch or a loop has inside as often as it runs.

In: a graph, and what is known of it. Out: the steps that depend on the signal. A branch whose condition is known stands
in its place (exporters write one where a shape was free), and a loop with a number of turns that is known is written
out, turn by turn. Names inside get a prefix, another one each turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pulseproof.twins.errors import NotCoveredError
from pulseproof.twins.onnx.classical import DOMAIN
from pulseproof.twins.onnx.format import constants as constants_of
from pulseproof.twins.onnx.microsoft import CUSTOM, MICROSOFT
from pulseproof.twins.onnx.node import Node
from pulseproof.twins.onnx.operators import OPERATORS
from pulseproof.twins.steps import GraphStep, Run, Trial

if TYPE_CHECKING:
    import onnx

# float16 is left out: an engine computes in it or beside it, operator by operator, as it likes.
KINDS = ("float32", "float64", "int8", "uint8", "int16", "int32", "int64", "bool")
CONTROL = ("Constant", "If", "Loop")  # read here, not computed
SHAPES = ("Shape", "Size")  # known before the signal is
MOST_TURNS, MOST_DEEP = 2**12, 8  # of all loops of a file, and graphs within graphs
Names = Mapping[str, str]  # of a graph inside: by which name each of its values is known


@dataclass
class GraphReader:
    """``steps``: those that depend on the signal, in their order; what depends on none is computed and put among the
    constants of ``trial``."""

    trial: Trial
    masked: bool
    opset: int
    steps: list[GraphStep] = field(default_factory=list)
    _inner: int = 0
    _turns: int = 0
    _depth: int = 0

    def read(self, nodes: Iterable[onnx.NodeProto], names: Names | None = None, prefix: str = "") -> Names:
        """The nodes one after the other; the names of a graph inside and of all that is around it."""
        known = dict(names or {})
        for written in nodes:
            proto = _renamed(written, known, prefix) if prefix else written
            known.update(zip(written.output, proto.output, strict=True))
            known_here = MICROSOFT if proto.domain == CUSTOM else OPERATORS
            if proto.domain not in ("", "ai.onnx", DOMAIN, CUSTOM):
                raise self._refusal(proto, f"of {proto.domain}")
            if proto.op_type == "If":
                self._branch(proto, known)
            elif proto.op_type == "Loop":
                self._loop(proto, known)
            elif proto.op_type not in known_here:
                raise self._refusal(proto, f"of {proto.domain}" if known_here is MICROSOFT else "")
            else:
                self.trial.expect_known(proto.op_type, proto.input)
                node = Node(proto, self.trial.constants, self.trial.values, self.masked, self.opset)
                self._take(known_here[proto.op_type](node), proto.input, proto.output, proto.op_type)
        return known

    def _refusal(self, proto: onnx.NodeProto, how: str = "") -> NotCoveredError:
        named = f"operator {proto.op_type} ({proto.name or next(iter(proto.output), '')})"
        return NotCoveredError(f"{named} {how}{' ' if how else ''}is not covered")

    def _take(self, run: Run, inputs: Iterable[str], outputs: Iterable[str], kind: str) -> None:
        step = GraphStep(run, tuple(inputs), tuple(outputs), kind)
        if not self.trial.run(step, SHAPES):
            self.steps.append(step)

    def _same(self, inner: str, outer: str) -> None:
        if outer:
            self._take(_identity, [inner], [outer], "Identity")

    def _prefix(self) -> str:
        self._inner += 1
        return f"{self._inner}/"

    def _held(self, graph: onnx.GraphProto, prefix: str) -> dict[str, str]:
        """The constants of a graph inside, among what is known; their names."""
        found = {}
        for name, array in constants_of(graph).items():
            found[name] = f"{prefix}{name}"
            self.trial.constants[found[name]] = self.trial.values[found[name]] = tensor_of(name, array)
        return found

    def _inside(self, graph: onnx.GraphProto, names: Names, held: Names, prefix: str) -> list[str]:
        """The names of what a graph inside gives."""
        if self._depth >= MOST_DEEP:
            raise NotCoveredError(f"graphs more than {MOST_DEEP} deep in each other are not covered")
        self._depth += 1
        nodes = [node for node in graph.node if not node.output or node.output[0] not in held]
        known = self.read(nodes, {**names, **held}, prefix)
        self._depth -= 1
        return [known[one.name] for one in graph.output]

    def _branch(self, proto: onnx.NodeProto, names: Names) -> None:
        if proto.input[0] not in self.trial.constants:
            raise self._refusal(proto, "of the signal")
        wanted = "then_branch" if bool(self.trial.constants[proto.input[0]]) else "else_branch"
        graph, prefix = next(each.g for each in proto.attribute if each.name == wanted), self._prefix()
        found = self._inside(graph, names, self._held(graph, prefix), prefix)
        for inner, outer in zip(found, proto.output, strict=True):
            self._same(inner, outer)

    def _loop(self, proto: onnx.NodeProto, names: Names) -> None:
        inputs = list(proto.input)
        most, go, carried = inputs[0], inputs[1], inputs[2:]
        graph = next(each.g for each in proto.attribute if each.name == "body")
        held = self._held(graph, self._prefix())
        times = MOST_TURNS + 1 if not most else int(self._known(proto, most))
        collected: list[list[str]] = [[] for _ in graph.output[1 + len(carried) :]]
        turn = 0
        while turn < times and (not go or bool(self._known(proto, go))):
            self._turns += 1
            if self._turns > MOST_TURNS:
                raise NotCoveredError(f"loops of more than {MOST_TURNS:,} turns are not covered")
            prefix = self._prefix()
            entries = [one.name for one in graph.input]
            number = f"{prefix}turn"
            self.trial.constants[number] = self.trial.values[number] = torch.tensor(turn)
            own = dict(zip(entries, [number, go or number, *carried], strict=True))
            if not go:
                self.trial.constants[f"{prefix}go"] = self.trial.values[f"{prefix}go"] = torch.tensor(True)
                own[entries[1]] = f"{prefix}go"
            go, *rest = self._inside(graph, {**names, **own}, held, prefix)
            carried, parts = rest[: len(carried)], rest[len(carried) :]
            for each, part in zip(collected, parts, strict=True):
                each.append(part)
            turn += 1
        for inner, outer in zip(carried, proto.output, strict=False):
            self._same(inner, outer)
        for each, outer in zip(collected, proto.output[len(carried) :], strict=True):
            if not each:
                raise self._refusal(proto, "that does not turn")
            self._take(lambda *parts: torch.stack(parts), each, [outer], "Loop")

    def _known(self, proto: onnx.NodeProto, name: str) -> Tensor:
        if name not in self.trial.constants:
            raise self._refusal(proto, "with a number of turns that depends on the signal")
        return self.trial.constants[name].reshape(())


def _identity(x: Tensor) -> Tensor:
    return x


def _renamed(proto: onnx.NodeProto, names: Names, prefix: str) -> onnx.NodeProto:
    """The same node with the names by which its values are known outside."""
    other = type(proto)()
    other.CopyFrom(proto)
    other.input[:] = [names.get(name, name) for name in proto.input]
    other.output[:] = [f"{prefix}{name}" if name else "" for name in proto.output]
    return other


def tensor_of(name: str, array: NDArray[Any]) -> Tensor:
    """A constant of the file. Raises NotCoveredError for a data type that no operator here takes."""
    if str(array.dtype) not in KINDS:
        raise NotCoveredError(f"data type {array.dtype} ({name}) is not covered")
    return torch.from_numpy(np.array(array))  # a copy: onnx's arrays are read-only
