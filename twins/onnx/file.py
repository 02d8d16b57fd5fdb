"""The twin of an ONNX file.

In: an ``.onnx`` file of one recording in, one row of scores out. Out: a :class:`~twins.program.Twin`. The graph is run
once on a recording of zeros while it is read: what depends on constants and shapes alone (weights behind a
DequantizeLinear, the shape of an LSTM's first state) becomes a constant, and what cannot run shows now, not later.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pulseproof.core.errors import InputError
from pulseproof.twins.errors import NotCoveredError
from pulseproof.twins.onnx.format import constants as constants_of
from pulseproof.twins.onnx.format import load_plain
from pulseproof.twins.onnx.microsoft import OWN_STEPS as DYNAMIC
from pulseproof.twins.onnx.reader import GraphReader, tensor_of
from pulseproof.twins.program import Twin
from pulseproof.twins.room import expect_room
from pulseproof.twins.steps import Trial

if TYPE_CHECKING:
    import onnx

OWN_STEPS = ("DynamicQuantizeLinear", *DYNAMIC)
OLDEST = 9  # operator set: that of ONNX 1.4, of January 2019
_MEND = "export it again"
FAULTS = (ArithmeticError, AttributeError, LookupError, RuntimeError, StopIteration, TypeError, ValueError)


def read(path: Path, masked: bool = True) -> Twin:
    """See :func:`twins.opening.open_twin`."""
    try:
        model = load_plain(path)
        constants = {name: tensor_of(name, array) for name, array in constants_of(model.graph).items()}
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
        expect_room("input", shape)
        values = {**constants, entry: torch.zeros(()).expand(1, *shape)}
        reader = GraphReader(Trial(values, constants), masked, opset)
        with torch.no_grad():
            reader.read([node for node in model.graph.node if not _is_alias(node, constants)])
        end = model.graph.output[0].name
        if end not in values:
            raise ValueError(f"nothing gives its scores, {end!r}")
        step = _output_step(model.graph, constants)
    except NotCoveredError:
        raise
    except FAULTS as error:
        said = " ".join(str(error).split())[:160]
        raise InputError(f"{path}: its graph does not run ({said})", _MEND) from None
    own_steps = any(one.kind in OWN_STEPS for one in reader.steps)
    return Twin(reader.steps, constants, (entry, end), shape, step, own_steps)


def _is_alias(node: onnx.NodeProto, constants: dict[str, Tensor]) -> bool:
    """True for a constant by another name, as torch's exporter writes equal weights: it is among them already."""
    return node.op_type == "Identity" and node.output[0] in constants


def _signal(path: Path, graph: onnx.GraphProto) -> tuple[str, tuple[int, int]]:
    """The name of the input, and (leads, samples)."""
    if len(graph.input) != 1:
        raise NotCoveredError(f"{len(graph.input)} inputs: a twin takes one")
    declared = [size.dim_value for size in graph.input[0].type.tensor_type.shape.dim]
    if len(declared) != 3 or not (declared[1] and declared[2]):
        raise NotCoveredError("an input without fixed numbers of leads and samples")
    return graph.input[0].name, (declared[1], declared[2])


def _output_step(graph: onnx.GraphProto, constants: dict[str, Tensor]) -> float | None:
    """The scale of the DequantizeLinear that gives the scores."""
    last = next((node for node in graph.node if graph.output[0].name in node.output), None)
    if last is None or last.op_type != "DequantizeLinear":
        return None
    return float(constants[last.input[1]].max())
